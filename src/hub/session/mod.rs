//! The session of one client: its connection, its WebSocket frames and its requests.

pub(crate) mod allowance;
pub(crate) mod client;
pub mod encrypted;
pub(crate) mod protocol;
pub mod transport;
pub mod websocket;
