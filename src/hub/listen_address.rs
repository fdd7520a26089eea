//! The address at which the hub listens: its default, its forms, and a hint for an address that this
//! machine does not have. This module never accepts a connection.

use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener};

use toml::Spanned;

use crate::config::{ConfigReader, completed_address, listen_address};

/// The default listen address: every network interface, and the port of the existing proxy.
pub const DEFAULT_LISTEN: &str = "0.0.0.0:3000";

/// The same as an address.
const DEFAULT: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::UNSPECIFIED), 3000);

impl ConfigReader<'_> {
    /// Reads the setting `listen`, which must be complete.
    pub(super) fn listen(&self, listen: Option<Spanned<String>>) -> Option<SocketAddr> {
        match &listen {
            Some(listen) => self.read("listen", listen, |text: &str| listen_address(text, DEFAULT)),
            None => Some(DEFAULT),
        }
    }
}

/// Parses a listen address that the user types. A port alone or an IP address alone is completed.
///
/// # Errors
/// The text is neither an address nor a port; the message shows the expected form.
pub fn typed_listen(text: &str) -> Result<SocketAddr, String> {
    let parsed = || listen_address(text, DEFAULT).map_err(|mistake| mistake.reason().to_owned());
    completed_address(text, DEFAULT).map_or_else(parsed, Ok)
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
