//! Network connections: name resolution, TCP, TLS, the WebSocket upgrade and HTTP requests. This
//! module never interprets market data.

pub mod connector;
pub(crate) mod dns;
pub(crate) mod endpoint;
pub(crate) mod error_mapping;
pub(crate) mod failure;
pub(crate) mod http;
