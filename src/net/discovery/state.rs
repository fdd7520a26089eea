//! The state of the search for a hub, which all users of a connector share. This module searches
//! for nothing.

use std::sync::Mutex;
use std::time::Instant;

use super::query::Announcement;
use crate::net::endpoint::Endpoint;
use crate::net::failure::Failure;

/// The state of the search.
#[derive(Debug, Default)]
pub(in crate::net) struct Discovery {
    /// The last result. The lock is held during a search, so that only one search runs at a time.
    pub(super) last: tokio::sync::Mutex<Option<Found>>,
    /// The hubs of the last search, if it has found several.
    pub(super) several: Mutex<Vec<Announcement>>,
}

/// The result of a search.
#[derive(Clone, Debug)]
pub(super) struct Found {
    pub(super) hub: Result<Endpoint, Failure>,
    /// The last hub that has proved that it knows the token.
    pub(super) known: Option<Endpoint>,
    pub(super) at: Instant,
    /// The number of lost connections at the time of the result.
    pub(super) losses: u32,
}
