//! The reasons why a connection is not live. This module only defines the reasons and their texts,
//! and never detects a failure.

use core::fmt;

/// The reason why a connection is not live. The `Display` text is for the log and for the user.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Failure {
    /// This machine has no network.
    Network,
    /// The name of the host cannot be resolved.
    Dns,
    /// No TCP connection to the host is possible.
    Unreachable,
    /// No TLS session with the host is possible: the certificate is not trusted, or the certificate
    /// is for another name.
    Tls,
    /// The certificate of the host is not valid yet. The usual cause is an unset clock of this
    /// machine.
    Clock,
    /// The server refused the token (HTTP status 401 or 403, or close code 1008 of a hub).
    Token,
    /// The server has no resource at this path (HTTP status 404 or 410).
    Path,
    /// The server has no capacity or has an internal error (HTTP status 429 or 5xx, except 511).
    Busy,
    /// The server answered with a redirect or a web page: a captive portal, or a server that is not
    /// a hub.
    Portal,
    /// The data of the server does not follow the protocol.
    Protocol,
    /// The server refused the key, or the plan does not include this cluster.
    Key,
    /// Another connection with the same account has replaced this connection.
    Evicted,
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
    /// This client ended the connection, because no channel is wanted or the program ends.
    Done,
}

impl Failure {
    /// Returns true if the server refused this client, so that an early retry would be wrong.
    pub const fn refuses(self) -> bool {
        matches!(self, Failure::Token | Failure::Key | Failure::Evicted)
    }

    /// Returns true if a server answered with an error; false if no answer arrived.
    pub const fn answered(self) -> bool {
        matches!(
            self,
            Failure::Token | Failure::Path | Failure::Busy | Failure::Portal | Failure::Protocol
        )
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Failure::Network => "this machine has no network: check the cable or the Wi-Fi",
            Failure::Dns => "the host's name cannot be resolved: check the network and the address",
            Failure::Unreachable => "the host cannot be reached: is it on, and is the port right?",
            Failure::Tls => {
                "TLS failed: the certificate is not trusted or not for this host (see ca_file)"
            }
            Failure::Clock => "the certificate is not yet valid: this machine's clock is not set",
            Failure::Token => "the token was refused",
            Failure::Path => "nothing is served at this address (404): is it a hub?",
            Failure::Busy => "the server has no room for us",
            Failure::Portal => {
                "something else answered (a redirect or a web page): a captive portal?"
            }
            Failure::Protocol => "the server does not speak the protocol",
            Failure::Key => "the key was refused, or the plan does not include this cluster",
            Failure::Evicted => "another connection with the same account took this one's place",
            Failure::Timeout => "no answer in time",
            Failure::Silent => "nothing came although the market is open",
            Failure::Dead => "no frame for 30 s: the connection is dead",
            Failure::Lost => "the connection was lost",
            Failure::Restarting => "the server is restarting",
            Failure::Done => "no longer needed",
        })
    }
}
