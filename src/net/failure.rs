//! Why a link is not live.

use core::fmt;

/// Why a link is not live; in words for the log, and for the glass.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Failure {
    /// This machine has no network.
    Network,
    /// The name of the host has no address.
    Dns,
    /// No TCP connection to it.
    Unreachable,
    /// No TLS session with it: the certificate is not to be trusted, or not for this name.
    Tls,
    /// Its certificate is not yet valid, which is what a clock that is not set looks like.
    Clock,
    /// The token was refused (401 or 403 at the upgrade).
    Token,
    /// Nothing is served at this path (404).
    Path,
    /// It has no room or no time for us (429, 503).
    Busy,
    /// It answered with a redirect or a page: a captive portal, or not a hub at all.
    Portal,
    /// It does not speak the protocol.
    Protocol,
    /// The key was refused, or the plan lacks this cluster.
    Key,
    /// Another connection with the same account took our place.
    Evicted,
    /// No answer in time.
    Timeout,
    /// Nothing came although something was due.
    Silent,
    /// No frame at all for too long.
    Dead,
    /// The connection ended, with or without a farewell.
    Lost,
    /// The server is restarting or asked to try later (close 1012, 1013).
    Restarting,
    /// We ended it: nothing needs it, or the program ends.
    Done,
}

impl Failure {
    /// Whether trying again soon is wrong: the other side has said no.
    pub const fn refuses(self) -> bool {
        matches!(self, Failure::Token | Failure::Key | Failure::Evicted)
    }

    /// Whether somebody was there and said it, rather than nobody.
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
