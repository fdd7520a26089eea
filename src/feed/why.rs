//! Why a link is not live.

use core::fmt;

/// Why a link is not live; in words for the log, and for the glass.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Why {
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

impl Why {
    /// Whether trying again soon is wrong: the other side has said no.
    pub const fn refuses(self) -> bool {
        matches!(self, Why::Token | Why::Key | Why::Evicted)
    }

    /// Whether somebody was there and said it, rather than nobody.
    pub const fn answered(self) -> bool {
        matches!(
            self,
            Why::Token | Why::Path | Why::Busy | Why::Portal | Why::Protocol
        )
    }
}

impl fmt::Display for Why {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Why::Network => "this machine has no network: check the cable or the Wi-Fi",
            Why::Dns => "the host's name cannot be resolved: check the network and the address",
            Why::Unreachable => "the host cannot be reached: is it on, and is the port right?",
            Why::Tls => {
                "TLS failed: the certificate is not trusted or not for this host (see ca_file)"
            }
            Why::Clock => "the certificate is not yet valid: this machine's clock is not set",
            Why::Token => "the token was refused",
            Why::Path => "nothing is served at this address (404): is it a hub?",
            Why::Busy => "the server has no room for us",
            Why::Portal => "something else answered (a redirect or a web page): a captive portal?",
            Why::Protocol => "the server does not speak the protocol",
            Why::Key => "the key was refused, or the plan does not include this cluster",
            Why::Evicted => "another connection with the same account took this one's place",
            Why::Timeout => "no answer in time",
            Why::Silent => "nothing came although the market is open",
            Why::Dead => "no frame for 30 s: the connection is dead",
            Why::Lost => "the connection was lost",
            Why::Restarting => "the server is restarting",
            Why::Done => "no longer needed",
        })
    }
}
