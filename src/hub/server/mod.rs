//! The HTTP server of the hub. The server accepts connections, reads one request from each
//! connection, and then sends a response or passes the upgraded connection to the event loop. The
//! server never reads or writes prices on an upgraded connection.

pub mod admission;
pub(crate) mod certificate_files;
pub(crate) mod handshakes;
pub mod limits;
pub(crate) mod listener;
pub(crate) mod paths;
pub(crate) mod request;
pub(crate) mod request_head;
pub(crate) mod response;
pub(crate) mod router;
pub mod tls;
mod unanswered;
