//! The server of the feed: its type, its address and the secret for it. Pure: this module opens no
//! connection.

use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};

use super::endpoint::Endpoint;
use crate::market::Cluster;
use crate::secret::Secret;

/// The type of the server. The type determines the method of authentication.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FeedProvider {
    /// A hub or the proxy. The address contains the token, and a successful upgrade confirms the
    /// token. The server can omit the greeting and the acknowledgements, and can forward status
    /// messages for other clients.
    Hub,
    /// The vendor. The client sends its key in an `auth` message, and the server confirms the key
    /// with `auth_success`.
    Vendor,
}

/// The server of the feed, and the secret for its authentication.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct FeedSource {
    /// The type of the server: a hub (or the proxy), or the vendor.
    pub provider: FeedProvider,
    /// The address of the server.
    pub endpoint: Endpoint,
    /// The token or key; `None` for a hub without authentication.
    pub secret: Option<Secret>,
    /// True if this client sends its token without a verification of the server, because the
    /// configuration trusts every server at this address.
    pub trusted: bool,
    /// The addresses of further hubs with the same secret. They are used in this order if the hub
    /// at `endpoint` fails.
    pub alternatives: Vec<Endpoint>,
}

impl FeedSource {
    /// Creates a source whose server is verified before it receives the secret.
    pub const fn new(provider: FeedProvider, endpoint: Endpoint, secret: Option<Secret>) -> Self {
        Self {
            provider,
            endpoint,
            secret,
            trusted: false,
            alternatives: Vec::new(),
        }
    }

    /// Returns the source with only the hub at this index: 0 is `endpoint`, and the alternatives
    /// follow.
    pub fn at(&self, place: usize) -> Self {
        let alternative = place
            .checked_sub(1)
            .and_then(|place| self.alternatives.get(place));
        Self {
            endpoint: alternative.unwrap_or(&self.endpoint).clone(),
            alternatives: Vec::new(),
            ..self.clone()
        }
    }

    /// Returns true if the host name is the name of the vendor's endpoint for delayed data.
    pub fn delayed(&self) -> bool {
        self.provider == FeedProvider::Vendor && self.endpoint.host.starts_with("delayed.")
    }

    /// Returns the WebSocket path of a cluster. For a hub, the query contains the token, so the
    /// path must never be logged.
    pub(crate) fn path(&self, cluster: Cluster, token: Option<&Secret>) -> String {
        match (self.provider, token) {
            (FeedProvider::Vendor, _) => format!("/{cluster}"),
            (FeedProvider::Hub, None) => format!("/ws/{cluster}"),
            // A token can contain `+`, `/` and `=` (standard base64), so the query needs
            // percent-encoding.
            (FeedProvider::Hub, Some(token)) => {
                format!(
                    "/ws/{cluster}?token={}",
                    utf8_percent_encode(token.reveal(), NON_ALPHANUMERIC)
                )
            }
        }
    }

    /// Returns the REST endpoint of this source. The REST host of the vendor begins with `api.` in
    /// place of `socket.` or `delayed.`. Any other host (for example a simulator) serves REST and
    /// WebSockets at the same address.
    pub(crate) fn rest_endpoint(&self) -> Endpoint {
        let mut endpoint = self.endpoint.clone();
        let mut prefixes = ["socket.", "delayed."].into_iter();
        if self.provider == FeedProvider::Vendor
            && let Some(domain) = prefixes.find_map(|prefix| endpoint.host.strip_prefix(prefix))
        {
            endpoint.host = format!("api.{domain}");
        }
        endpoint
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn source(provider: FeedProvider, text: &str) -> FeedSource {
        FeedSource::new(provider, Endpoint::parse(text).unwrap(), None)
    }

    #[test]
    fn the_endpoint_for_delayed_data_is_recognised_by_its_host_name() {
        let delayed = |provider, text: &str| source(provider, text).delayed();
        assert!(delayed(FeedProvider::Vendor, "wss://delayed.massive.com"));
        assert!(!delayed(FeedProvider::Vendor, "wss://socket.massive.com"));
        assert!(!delayed(FeedProvider::Hub, "wss://delayed.example.org"));
    }

    #[test]
    fn the_rest_host_of_the_vendor_follows_from_its_websocket_host() {
        let rest = |text: &str| {
            let source = source(FeedProvider::Vendor, text);
            source.rest_endpoint().to_string()
        };
        assert_eq!(rest("wss://socket.massive.com"), "wss://api.massive.com");
        assert_eq!(rest("wss://delayed.massive.com"), "wss://api.massive.com");
        assert_eq!(rest("ws://127.0.0.1:9"), "ws://127.0.0.1:9");
        let hub = source(FeedProvider::Hub, "wss://socket.example.org");
        assert_eq!(hub.rest_endpoint(), hub.endpoint);
    }
}
