//! How much the hub lets anybody ask of it. Every limit is a setting.

use std::time::Duration;

/// The limits; the defaults suit a hub for some thousand displays on a small machine.
#[derive(Clone, Debug, PartialEq)]
pub struct Limits {
    /// Connections in all.
    pub connections: usize,
    /// Connections that have not authenticated yet.
    pub unauthenticated: usize,
    /// How long a connection may go without authenticating.
    pub authentication: Duration,
    /// Channels one client may hold.
    pub subscriptions: usize,
    /// The largest message from a client, in bytes.
    pub message: usize,
    /// New connections and requests per minute from one address.
    pub per_minute: u32,
    /// How long the first byte and the whole head of a request may take.
    pub head: Duration,
    /// Trades waiting for one client; one more and it is too slow.
    pub trades: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            connections: 10_000,
            unauthenticated: 256,
            authentication: Duration::from_secs(10),
            subscriptions: 1000,
            message: 16 << 10,
            per_minute: 600,
            head: Duration::from_secs(5),
            trades: 1024,
        }
    }
}
