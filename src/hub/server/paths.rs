//! The paths and methods of the hub's HTTP server, and the names of both for the log. All functions
//! are pure; this module never handles a request.

use hyper::Method;

use crate::market::Cluster;
use crate::net::discovery::proof;

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Route {
    Socket(Cluster),
    Token,
    Proof,
    Rest(RestRoute),
    Health,
    Metrics,
}

/// The REST routes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum RestRoute {
    /// The quotes in the form of the existing proxy, with additional fields.
    Quotes,
    Market,
    // The routes below have the paths and the form of the vendor.
    Snapshot,
    SnapshotIndices,
    /// The bars of a session, and the bar of the previous day.
    Aggregates,
    VendorMarket,
    Upcoming,
}

/// The start of the paths of all bars.
const AGGREGATES: &str = "/v2/aggs/";

/// The name of each route for the log, which is also the path of the route, except for the bars.
const NAMES: [(Route, &str); 14] = [
    (Route::Socket(Cluster::Indices), "/ws/indices"),
    (Route::Socket(Cluster::Options), "/ws/options"),
    (Route::Socket(Cluster::Stocks), "/ws/stocks"),
    (Route::Token, "/api/ws-token"),
    (Route::Proof, proof::PATH),
    (Route::Rest(RestRoute::Quotes), "/api/quotes"),
    (Route::Rest(RestRoute::Market), "/api/market/status"),
    (Route::Rest(RestRoute::Snapshot), "/v3/snapshot"),
    (
        Route::Rest(RestRoute::SnapshotIndices),
        "/v3/snapshot/indices",
    ),
    (Route::Rest(RestRoute::VendorMarket), "/v1/marketstatus/now"),
    (
        Route::Rest(RestRoute::Upcoming),
        "/v1/marketstatus/upcoming",
    ),
    (Route::Rest(RestRoute::Aggregates), AGGREGATES),
    (Route::Health, "/healthz"),
    (Route::Metrics, "/metrics"),
];

impl Route {
    pub(crate) fn of(path: &str) -> Option<Self> {
        if path.starts_with(AGGREGATES) {
            return Some(Self::Rest(RestRoute::Aggregates));
        }
        let mut routes = NAMES.iter();
        // The hub also serves the paths of the vendor, so a client of the vendor works after a
        // change of only the host.
        let found =
            routes.find(|(_, name)| *name == path || name.strip_prefix("/ws") == Some(path));
        found.map(|(route, _)| *route)
    }

    pub(crate) const fn methods(self) -> (&'static [Method], &'static str) {
        match self {
            Self::Socket(_) => (&[Method::GET], "GET"),
            Self::Token | Self::Proof => (&[Method::POST], "POST"),
            _ => (&[Method::GET, Method::HEAD], "GET, HEAD"),
        }
    }

    /// Returns the name of the route for the log. The log must not contain text from a client, so
    /// the name is fixed.
    pub(crate) fn name(self) -> &'static str {
        let found = NAMES.iter().find(|(route, _)| *route == self);
        found.map_or("", |(_, name)| name)
    }
}

/// Returns the name of the method for the log. A client can send any word as a method, and the log
/// must not contain text from a client.
pub(crate) fn method_name(method: &Method) -> &str {
    match method.as_str() {
        name @ ("GET" | "HEAD" | "POST" | "PUT" | "PATCH" | "DELETE" | "OPTIONS" | "CONNECT"
        | "TRACE") => name,
        _ => "(unknown method)",
    }
}
