//! Who may connect: the registered devices, their tokens and the tokens for one connection.

pub mod authenticator;
pub mod registry;
