//! The hub's HTTP server: it accepts, reads a request's head, answers it or hands the connection on.

pub mod limits;
pub(crate) mod listener;
pub(crate) mod paths;
pub(crate) mod request;
pub(crate) mod response;
pub(crate) mod router;
pub mod tls;
