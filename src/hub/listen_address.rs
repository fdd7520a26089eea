//! The address at which the hub listens: its default, its forms, and a hint for an address that this
//! machine does not have. This module never accepts a connection.

use std::net::{SocketAddr, TcpListener};

use toml::Spanned;

use crate::config::{ConfigReader, Mistake};

/// The default listen address: every network interface, and the port of the existing proxy.
pub const DEFAULT_LISTEN: &str = "0.0.0.0:3000";

impl ConfigReader<'_> {
    /// Reads the setting `listen`, which must be complete.
    pub(super) fn listen(&self, listen: Option<Spanned<String>>) -> Option<SocketAddr> {
        match &listen {
            Some(listen) => self.read("listen", listen, |text: &str| {
                parse_listen(text).map_err(|reason| match completed_listen(text) {
                    Some(address) => Mistake::with(reason, format!("\"{address}\"")),
                    None => reason.into(),
                })
            }),
            None => parse_listen(DEFAULT_LISTEN).ok(),
        }
    }
}

/// Parses a listen address with a port.
fn parse_listen(text: &str) -> Result<SocketAddr, String> {
    text.trim()
        .parse()
        .map_err(|_| format!("{text:?}, expected an address and a port like \"{DEFAULT_LISTEN}\""))
}

/// Parses a listen address that the user types. A port alone or an IP address alone is completed.
///
/// # Errors
/// The text is neither an address nor a port; the message shows the expected form.
pub fn typed_listen(text: &str) -> Result<SocketAddr, String> {
    completed_listen(text).map_or_else(|| parse_listen(text), Ok)
}

/// Completes a port alone or an IP address alone. Returns `None` if the text is neither.
fn completed_listen(text: &str) -> Option<SocketAddr> {
    let text = text.trim();
    let default = parse_listen(DEFAULT_LISTEN).ok()?;
    match text.strip_prefix(':').unwrap_or(text).parse() {
        Ok(port) => Some(SocketAddr::new(default.ip(), port)),
        Err(_) => Some(SocketAddr::new(text.parse().ok()?, default.port())),
    }
}

/// Returns a hint if no interface of this machine has the IP address now.
pub fn foreign_address(address: SocketAddr) -> Option<String> {
    let free = SocketAddr::new(address.ip(), 0);
    let error = TcpListener::bind(free).err()?;
    (error.kind() == std::io::ErrorKind::AddrNotAvailable).then(|| {
        format!(
            "no interface of this machine has the address {}; for all addresses of this machine write \
             listen = \"0.0.0.0:{}\"",
            address.ip(),
            address.port()
        )
    })
}
