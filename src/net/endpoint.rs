//! Where a server is.

use std::fmt;

use tokio_tungstenite::tungstenite::http::Uri;

/// Where a server is: the scheme, host, port and path of a URL, without any secret.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Endpoint {
    /// `wss` or `https`, not `ws` or `http`.
    pub secure: bool,
    /// Host name or address; an IPv6 address without its brackets.
    pub host: String,
    /// TCP port.
    pub port: u16,
    /// What comes before the path of a request, without a trailing slash.
    pub base: String,
}

impl Endpoint {
    /// Reads `ws://host:port/base` (or `wss`, `http`, `https`).
    ///
    /// # Errors
    /// What is wrong with the text and what to write instead.
    pub fn parse(text: &str) -> Result<Self, String> {
        const FORM: &str =
            "expected an address like \"ws://hub.local:3000\" or \"wss://hub.example\"";
        let uri: Uri = text
            .trim()
            .parse()
            .map_err(|error| format!("{FORM} ({error})"))?;
        let secure = match uri.scheme_str() {
            Some("ws" | "http") => false,
            Some("wss" | "https") => true,
            Some(other) => return Err(format!("{FORM}, not the scheme \"{other}\"")),
            None => return Err(format!("{FORM}; the \"ws://\" or \"wss://\" is missing")),
        };
        let authority = uri.authority().ok_or(FORM)?;
        if authority.as_str().contains('@') {
            return Err(
                "an address holds no user name or password; the token has a file of its own".into(),
            );
        }
        // The parser drops a fragment in silence.
        if uri.query().is_some() || text.contains('#') {
            return Err(
                "an address holds no \"?\" and no \"#\"; the token has a file of its own".into(),
            );
        }
        let host = authority
            .host()
            .trim_start_matches('[')
            .trim_end_matches(']');
        if host.is_empty() {
            return Err(FORM.into());
        }
        // The parser takes what is no port for none, and another port is another server.
        let port = match authority.as_str().rsplit_once(':') {
            Some((_, text)) if !text.ends_with(']') => text.parse().ok().filter(|port| *port > 0),
            _ => Some(if secure { 443 } else { 80 }),
        };
        Ok(Self {
            secure,
            host: host.to_owned(),
            port: port.ok_or(
                "after the last \":\" of an address comes its port, 1 to 65535, like \"ws://hub.local:3000\"",
            )?,
            base: uri.path().trim_end_matches('/').to_owned(),
        })
    }

    /// Host and port as they stand in a URL and in the `Host` header.
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
        write!(
            f,
            "{}://{}{}",
            if self.secure { "wss" } else { "ws" },
            self.authority(),
            self.base
        )
    }
}
