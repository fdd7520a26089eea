//! The address of a server: its fields, its parser and its text form. This module never opens a
//! connection.

use std::fmt;
use std::net::IpAddr;

use tokio_tungstenite::tungstenite::http::Uri;

/// The address of a server: the scheme, host, port and path of a URL, without any secret.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Endpoint {
    /// True for `wss` and `https`; false for `ws` and `http`.
    pub secure: bool,
    /// The host name or IP address. An IPv6 address has no brackets here.
    pub host: String,
    /// The TCP port, 1 to 65535.
    pub port: u16,
    /// The path prefix of each request, without a trailing slash.
    pub base: String,
    /// The IP address, if an announcement contained it. Otherwise the host name is resolved.
    pub address: Option<IpAddr>,
}

impl Endpoint {
    /// Returns the endpoint of a hub that is not known yet: the only hub that announces itself.
    pub const fn announced() -> Self {
        Self {
            secure: false,
            host: String::new(),
            port: 0,
            base: String::new(),
            address: None,
        }
    }

    /// Returns true for [`Endpoint::announced`]. Every other endpoint has a host.
    pub const fn is_announced(&self) -> bool {
        self.host.is_empty()
    }

    /// Parses `ws://host:port/base`. The schemes `wss`, `http` and `https` are also valid.
    ///
    /// # Errors
    ///
    /// A message for the user with the error in the text and the expected form.
    pub fn parse(text: &str) -> Result<Self, String> {
        const FORM: &str =
            "expected an address like \"ws://hub.local:3000\" or \"wss://hub.example\"";
        let uri: Uri = text
            .trim()
            .parse()
            .map_err(|error| format!("{FORM} ({error})"))?;
        let secure = match uri.scheme_str().map(str::to_ascii_lowercase).as_deref() {
            Some("ws" | "http") => false,
            Some("wss" | "https") => true,
            Some(other) => return Err(format!("{FORM}, not the scheme \"{other}\"")),
            None => return Err(format!("{FORM}; the \"ws://\" or \"wss://\" is missing")),
        };
        let authority = uri.authority().ok_or(FORM)?;
        if authority.as_str().contains('@') {
            return Err(
                "an address must not contain a user name or a password; write the token to its own \
                 file".into(),
            );
        }
        // The parser removes a fragment without an error.
        if uri.query().is_some() || text.contains('#') {
            return Err(
                "an address must not contain \"?\" or \"#\"; write the token to its own file"
                    .into(),
            );
        }
        let host = authority.host().trim_matches(['[', ']']);
        if host.is_empty() {
            return Err(FORM.into());
        }
        // The parser ignores an invalid port. The default port would then select another server, so
        // the code checks the port here.
        let port = match authority.as_str().rsplit_once(':') {
            Some((_, text)) if !text.ends_with(']') => text.parse().ok().filter(|port| *port > 0),
            _ => Some(if secure { 443 } else { 80 }),
        };
        Ok(Self {
            secure,
            host: host.to_owned(),
            port: port.ok_or(
                "expected a port from 1 to 65535 after the last \":\" of the address, like \
                 \"ws://hub.local:3000\"",
            )?,
            base: uri.path().trim_end_matches('/').to_owned(),
            address: None,
        })
    }

    /// Returns true if the text of this endpoint has no port, so that the port 80 is meant.
    pub(crate) fn lacks_port(&self, text: &str) -> bool {
        let uri: Option<Uri> = text.trim().parse().ok();
        let port = uri.and_then(|uri| Some(uri.authority()?.port().is_some()));
        !self.secure && port == Some(false)
    }

    /// Returns the host and the port in the form of a URL and of the `Host` header.
    pub fn authority(&self) -> String {
        let host = if self.host.contains(':') {
            format!("[{}]", self.host)
        } else {
            self.host.clone()
        };
        if self.port == if self.secure { 443 } else { 80 } {
            host
        } else {
            format!("{host}:{}", self.port)
        }
    }
}

impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.is_announced() {
            return f.write_str("the hub that announces itself in this network");
        }
        let scheme = if self.secure { "wss" } else { "ws" };
        write!(f, "{scheme}://{}{}", self.authority(), self.base)
    }
}
