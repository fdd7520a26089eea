//! The reasons why a connection is not live. This module only defines the reasons and their texts,
//! and never detects a failure.

use core::fmt;

use super::source::FeedProvider;

/// The reason why a connection is not live. The `Display` text is for the log and for the user.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Failure {
    /// This machine has no network.
    Network,
    /// No hub announces itself in the local network, and the configuration has no address.
    NoHub,
    /// Several hubs announce themselves in the local network.
    SeveralHubs,
    /// The hub that announces itself did not prove that it knows the token.
    Unproven,
    /// The name of the host cannot be resolved.
    Dns,
    /// No TCP connection to the host is possible.
    Unreachable,
    /// The host refuses TCP connections at this port.
    Refused,
    /// No TLS session with the host is possible, for a reason without its own variant.
    Tls,
    /// The certificate of the host has expired.
    Expired,
    /// The certificate of the host is for other host names.
    HostName,
    /// The certificate of the host comes from an authority that is not trusted.
    Issuer,
    /// The same, although the user has named a certificate: it is another one.
    CaFile,
    /// The certificate that the user has named is another one, or the host does not send its
    /// intermediate certificate.
    CaFileOrIntermediate,
    /// The host sends its certificate without the intermediate certificate.
    Intermediate,
    /// The certificate of the host is not valid yet. The usual cause is an unset clock of this
    /// machine.
    Clock,
    /// The server does not use TLS at this port.
    PlainPort,
    /// The server uses TLS at this port, or redirects from `http` to `https` at the same host.
    TlsRequired,
    /// The server refused the token (HTTP status 401 or 403).
    Token,
    /// A server that is no hub refused a request without a token (HTTP status 401 or 403).
    Filtered,
    /// The server has no resource at this path (HTTP status 404 or 410).
    Path,
    /// The server has none of the paths by which a hub is recognised.
    NotAHub,
    /// The server is not recognised as a hub at the path of its URL, and the path is the likely
    /// cause.
    UrlPath,
    /// The server has no capacity or has an internal error (HTTP status 429 or 5xx, except the
    /// statuses of [`Failure::Gateway`], [`Failure::HubUpstream`] and 511).
    Busy,
    /// A server in front of the hub cannot reach the hub (HTTP status 502 or 504, a web page with
    /// status 503, or a status from 520 to 530 of Cloudflare).
    Gateway,
    /// The hub answers, but it cannot reach the vendor (HTTP status 502 with a JSON body).
    HubUpstream,
    /// The limits of the hub above this hub refuse the tickers of this hub.
    Limit,
    /// The hub above gets its prices from this hub (HTTP status 508, or its path of hubs).
    Loop,
    /// The hub above refuses the token of this hub.
    UpstreamToken,
    /// The server above this hub is no deskticker-hub.
    NotDeskticker,
    /// This hub uses another hub above from now on.
    Moved,
    /// The upgrade request arrived without its headers (HTTP status 426, or the response to an
    /// ordinary request), because a server in front of the hub removes them.
    UpgradeDropped,
    /// The server answered with a redirect or a web page: a captive portal, or a server that is not
    /// a hub.
    Portal,
    /// The data of the server does not follow the protocol.
    Protocol,
    /// A message of the server is larger than 1 MiB.
    TooLarge,
    /// The vendor refused the key.
    Key,
    /// The vendor's plan does not include this cluster, or the data of this request.
    Plan,
    /// Another connection with the same account has replaced this connection.
    Evicted,
    /// The server closed the connection because of its policy (close code 1008, RFC 6455, section
    /// 7.4.1).
    Policy,
    /// The server did not answer within the time limit.
    Timeout,
    /// The expected data did not arrive.
    Silent,
    /// No frame arrived within the time limit.
    Dead,
    /// The connection ended, with or without a closing handshake.
    Lost,
    /// The server is restarting or requested a later retry (close code 1012 or 1013).
    Restarting,
    /// This client ended the connection, because no channel is needed or the program ends.
    Done,
}

impl Failure {
    /// Returns true if the server refused this client, so that an early retry would be wrong.
    pub const fn refuses(self) -> bool {
        matches!(
            self,
            Failure::Token
                | Failure::Key
                | Failure::Plan
                | Failure::Evicted
                | Failure::Policy
                | Failure::Loop
                | Failure::NotDeskticker
        )
    }

    /// Returns the failure of the connection from a hub to the server above it. What this server
    /// refuses is the key or the token of the hub, and not the token of a client.
    pub const fn for_hub(self, above: FeedProvider) -> Self {
        match (self, above) {
            (Failure::Token, FeedProvider::Vendor) => Failure::Key,
            (Failure::Token, FeedProvider::Hub) => Failure::UpstreamToken,
            _ => self,
        }
    }

    /// Returns true if the server does not offer the requested cluster to this client.
    pub const fn is_absence(self) -> bool {
        matches!(self, Failure::Path | Failure::Key | Failure::Plan)
    }

    /// Returns true if a server answered with an error; false if no answer arrived.
    pub const fn answered(self) -> bool {
        matches!(
            self,
            Failure::Token
                | Failure::Filtered
                | Failure::Path
                | Failure::NotAHub
                | Failure::UrlPath
                | Failure::Busy
                | Failure::Gateway
                | Failure::HubUpstream
                | Failure::UpgradeDropped
                | Failure::Portal
                | Failure::Protocol
                | Failure::Loop
                | Failure::NotDeskticker
        )
    }
}

impl std::error::Error for Failure {}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Failure::Network => "this machine has no network: check the cable or the Wi-Fi",
            Failure::NoHub => {
                "no hub announces itself in this network: is the hub running? Or write its url to [hub]"
            }
            Failure::SeveralHubs => {
                "several hubs announce themselves in this network, and none of them is used: write \
                 the url of your hub to [hub]"
            }
            Failure::Unproven => {
                "the hub that announces itself does not know the token of this display, so the hub \
                 does not get the token: create a token there with `deskticker-hub token add NAME`, \
                 or write the url of your hub to [hub]"
            }
            Failure::Dns => "the host's name cannot be resolved: check the network and the address",
            Failure::Unreachable => "the host cannot be reached: is it switched on?",
            Failure::Refused => {
                "the host refuses the connection: is the hub running, and is the port right?"
            }
            Failure::Tls => "the TLS handshake failed: `deskticker doctor` prints the reason",
            Failure::Expired => {
                "the certificate of the server has expired: renew the certificate on the server"
            }
            Failure::HostName => {
                "the certificate of the server is for other host names: write one of these names in \
                 the url, or make a certificate for this host name"
            }
            Failure::Issuer => {
                "the issuer of the server's certificate is not trusted: name the certificate of this \
                 authority in ca_file, or the server's own certificate if it has signed itself"
            }
            Failure::CaFile => {
                "ca_file contains neither the certificate of the server nor the one of its issuer: \
                 copy the right certificate to this file"
            }
            Failure::CaFileOrIntermediate => {
                "ca_file contains another certificate than the one of the issuer, or the server does \
                 not send its intermediate certificate: copy the right certificate to ca_file, or \
                 use fullchain.pem instead of cert.pem on the server"
            }
            Failure::Intermediate => {
                "the server does not send its intermediate certificate: the hub must use \
                 fullchain.pem instead of cert.pem"
            }
            Failure::Clock => "the certificate is not yet valid: this machine's clock is not set",
            Failure::PlainPort => {
                "the server does not use TLS at this port: correct the port, or write ws:// in the url"
            }
            Failure::TlsRequired => "the server requires TLS: write wss:// in the url",
            Failure::Token => "the token was refused",
            Failure::Filtered => {
                "something in front of the hub refuses the request: a login page or a firewall?"
            }
            Failure::Path => {
                "the server has nothing at this address (HTTP 404): is the url right, and does the hub \
                 serve this cluster?"
            }
            Failure::NotAHub => {
                "the server is not recognised as a hub: correct the url; a relay without REST needs \
                 trust = true in [hub]"
            }
            Failure::UrlPath => {
                "no hub answers at the path of the url: write the url without a path, like \
                 ws://HOST:PORT, unless a proxy forwards this path to the hub"
            }
            Failure::Busy => "the server is overloaded or has an internal error",
            Failure::Gateway => "a proxy answers, but the hub behind it does not answer",
            Failure::HubUpstream => "the hub answers, but the vendor does not answer the hub",
            Failure::Limit => {
                "the hub gets its prices from another hub, which allows no more tickers: raise \
                 device_tickers there"
            }
            Failure::Loop => {
                "a loop: the hub above gets its prices from this hub; write another hub to [upstream]"
            }
            Failure::UpstreamToken => {
                "the hub above refuses the token of this hub: create a token there with \
                 `deskticker-hub token add NAME`, and write it to the token_file of [upstream]"
            }
            Failure::NotDeskticker => {
                "the server above this hub is no deskticker-hub: correct the address in [upstream]"
            }
            Failure::Moved => "this hub uses another hub above from now on",
            Failure::UpgradeDropped => {
                "a proxy in front of the hub drops the upgrade to a WebSocket: it must pass on the \
                 headers Upgrade and Connection"
            }
            Failure::Portal => {
                "a redirect or a web page came instead of data: does the network want a login, or is the \
                 url wrong?"
            }
            Failure::Protocol => "the answer of the server does not follow the protocol: is the server a hub?",
            Failure::TooLarge => "the server sent a message of more than 1 MiB",
            Failure::Key => "the vendor refused the key",
            Failure::Plan => "the vendor's plan does not include this data",
            Failure::Evicted => "another connection with the same account has replaced this one",
            Failure::Policy => "the server closed the connection because of its policy (code 1008)",
            Failure::Timeout => "the server did not answer in time",
            Failure::Silent => "no data arrives although the market is open",
            Failure::Dead => "the connection is dead: the server does not answer",
            Failure::Lost => "the connection was lost",
            Failure::Restarting => "the server is restarting",
            Failure::Done => "the connection is no longer needed",
        })
    }
}
