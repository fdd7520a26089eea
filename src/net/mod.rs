//! Network connections: name resolution, the search for a hub, TCP, TLS, the WebSocket upgrade and
//! HTTP requests. This module never interprets market data.

pub(crate) mod closing;
pub mod connector;
pub(crate) mod discovery;
pub mod endpoint;
pub mod failure;
pub mod failure_mapping;
pub mod http;
pub mod hub_path;
pub(crate) mod path;
pub(crate) mod rest_connection;
pub mod source;
pub(crate) mod trust;
pub mod upgrade;

use std::pin::Pin;

/// A boxed future, for functions that run once per connection or less often. The compiler generates
/// the code of a boxed function once, in this library. Without the box, each program and each
/// caller would contain a copy of that code.
pub type Boxed<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;
