//! The paths and methods of the hub's HTTP server, and the names of both for the log. All functions
//! are pure; this module never handles a request.

use hyper::Method;

use crate::market::Cluster;

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Route {
    Socket(Cluster),
    Token,
    Quotes,
    Minutes,
    Market,
    Health,
    Metrics,
}

impl Route {
    pub(crate) fn of(path: &str) -> Option<Self> {
        match path {
            "/api/ws-token" => Some(Self::Token),
            "/api/quotes" => Some(Self::Quotes),
            "/api/market/status" => Some(Self::Market),
            "/healthz" => Some(Self::Health),
            "/metrics" => Some(Self::Metrics),
            _ if path.starts_with("/v2/aggs/") => Some(Self::Minutes),
            // The hub also serves the paths of the vendor, so a client of the vendor works after a
            // change of only the host.
            _ => {
                let name = path.strip_prefix("/ws/").or(path.strip_prefix('/'))?;
                let mut all = Cluster::ALL.into_iter();
                all.find(|cluster| cluster.path() == name).map(Self::Socket)
            }
        }
    }

    pub(crate) const fn methods(self) -> (&'static [Method], &'static str) {
        match self {
            Self::Socket(_) => (&[Method::GET], "GET"),
            Self::Token => (&[Method::POST], "POST"),
            _ => (&[Method::GET, Method::HEAD], "GET, HEAD"),
        }
    }

    /// Returns the name of the route for the log. The log must not contain text from a client, so
    /// the name is fixed.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Socket(Cluster::Indices) => "/ws/indices",
            Self::Socket(Cluster::Options) => "/ws/options",
            Self::Socket(Cluster::Stocks) => "/ws/stocks",
            Self::Token => "/api/ws-token",
            Self::Quotes => "/api/quotes",
            Self::Minutes => "/v2/aggs",
            Self::Market => "/api/market/status",
            Self::Health => "/healthz",
            Self::Metrics => "/metrics",
        }
    }
}

/// Returns the name of the method for the log. A client can send any word as a method, and the log
/// must not contain text from a client.
pub(crate) fn method_name(method: &Method) -> &'static str {
    match *method {
        Method::GET => "GET",
        Method::HEAD => "HEAD",
        Method::POST => "POST",
        Method::PUT => "PUT",
        Method::PATCH => "PATCH",
        Method::DELETE => "DELETE",
        Method::OPTIONS => "OPTIONS",
        Method::CONNECT => "CONNECT",
        Method::TRACE => "TRACE",
        _ => "(unknown method)",
    }
}
