//! What is served at which path, to which methods. Pure; logs get their words for a request here.

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
            // The vendor's own paths too: a client that is only given another host then works.
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

    /// What is logged of a path: nothing that the other side wrote.
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

/// What is logged of a method: one may be any word, and nothing that the other side wrote is.
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
