//! The address and the port at which a server of a program listens. This module never opens a port.

use std::net::SocketAddr;

use super::Mistake;

/// Parses an address with a port. `default` is the example of a message, and completes a port alone
/// or an IP address alone.
///
/// # Errors
/// The text is not complete. The mistake has the completed address if there is one.
pub(crate) fn listen_address(text: &str, default: SocketAddr) -> Result<SocketAddr, Mistake> {
    text.trim().parse().map_err(|_| {
        let reason = format!("{text:?}, expected an address and a port like \"{default}\"");
        match completed_address(text, default) {
            Some(address) => Mistake::with(reason, format!("\"{address}\"")),
            None => reason.into(),
        }
    })
}

/// Completes a port alone or an IP address alone. Returns `None` if the text is neither.
pub(crate) fn completed_address(text: &str, default: SocketAddr) -> Option<SocketAddr> {
    let text = text.trim();
    match text.strip_prefix(':').unwrap_or(text).parse() {
        Ok(port) => Some(SocketAddr::new(default.ip(), port)),
        Err(_) => Some(SocketAddr::new(text.parse().ok()?, default.port())),
    }
}
