//! The authentication of clients: the device registry, the device tokens and the short-lived
//! tokens. The hub stores only hashes of the device tokens, never the tokens.

pub mod authenticator;
pub mod registry;
pub mod sessions;
