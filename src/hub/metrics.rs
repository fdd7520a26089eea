//! What the hub counts. Shared by its tasks, written without locks, read by `/metrics`.

use std::sync::atomic::{AtomicU64, Ordering};

/// A number that only grows.
#[derive(Debug, Default)]
pub struct Counter(AtomicU64);

impl Counter {
    /// One more.
    pub fn add(&self, count: u64) {
        self.0.fetch_add(count, Ordering::Relaxed);
    }

    /// How many so far.
    pub fn count(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// A number that goes up and down.
#[derive(Debug, Default)]
pub struct Gauge(AtomicU64);

impl Gauge {
    /// It is this now.
    pub fn set(&self, value: u64) {
        self.0.store(value, Ordering::Relaxed);
    }

    /// This many more.
    pub fn add(&self, count: u64) {
        self.0.fetch_add(count, Ordering::Relaxed);
    }

    /// This many fewer.
    pub fn sub(&self, count: u64) {
        self.0.fetch_sub(count, Ordering::Relaxed);
    }

    /// What it is.
    pub fn value(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// Everything that is counted.
#[derive(Debug, Default)]
pub struct Metrics {
    /// Open connections that have been upgraded.
    pub clients: Gauge,
    /// Of these, not yet authenticated.
    pub unauthenticated: Gauge,
    /// Channels held by all clients together.
    pub subscriptions: Gauge,
    /// Events received from upstreams.
    pub events_in: Counter,
    /// Events that no client wanted to have, or that a newer one replaced before it was sent.
    pub events_conflated: Counter,
    /// Frames written to clients.
    pub frames_out: Counter,
    /// Bytes written to clients.
    pub bytes_out: Counter,
    /// Clients whose socket was full when they were to be sent something.
    pub clients_blocked: Counter,
    /// Clients that answered no ping and were dropped.
    pub clients_dead: Counter,
    /// Clients closed because their token was revoked.
    pub clients_revoked: Counter,
    /// Clients closed for being too slow for their trades.
    pub slow_consumers: Counter,
    /// Requests refused for a bad token.
    pub refused_token: Counter,
    /// Connections refused because the hub is full.
    pub refused_full: Counter,
    /// Requests refused for coming too often from one address.
    pub refused_rate: Counter,
    /// Upgrades refused for a foreign origin.
    pub refused_origin: Counter,
    /// Messages refused: too large, not JSON, unknown action, too many channels.
    pub refused_message: Counter,
    /// Connections that did not authenticate, or did not finish a request, in time.
    pub timeouts: Counter,
}
