//! The unsent bytes of the clients of one cluster. The limit applies to the clients of all clusters
//! together. Above the limit, this module finds the slowest client of its own cluster. Never reads
//! a clock, and never closes a client itself.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::delivery::ClientSlot;
use crate::hub::metrics::Metrics;
use crate::hub::session::client::Client;
use crate::time::Moment;

/// The clients of one cluster that have unsent bytes, in the order of their last progress.
#[derive(Debug)]
pub(super) struct TotalBacklog {
    /// The maximum number of bytes that may wait for all clients of all clusters together.
    limit: u64,
    metrics: Arc<Metrics>,
    /// The clients with unsent bytes. The key is the time at which the socket last accepted bytes,
    /// so the first entry is the slowest client.
    waiting: BTreeSet<(Moment, ClientSlot)>,
}

impl TotalBacklog {
    pub(super) const fn new(limit: u64, metrics: Arc<Metrics>) -> Self {
        Self {
            limit,
            metrics,
            waiting: BTreeSet::new(),
        }
    }

    /// Counts the bytes that wait for a client. Must be called after each write to the client.
    pub(super) fn note(&mut self, client: &mut Client, now: Moment) {
        let (counted, bytes) = (client.counted, client.waiting_bytes());
        let slot = client.client_id.client_slot;
        self.metrics.bytes_waiting.add(bytes);
        self.metrics.bytes_waiting.sub(counted);
        // Fewer bytes mean that the socket has taken some.
        if counted == 0 || bytes < counted {
            self.waiting.remove(&(client.took_bytes, slot));
            client.took_bytes = now;
        }
        if bytes > 0 {
            self.waiting.insert((client.took_bytes, slot));
        }
        client.counted = bytes;
    }

    /// Returns the client whose socket has taken no bytes for the longest time, if more bytes wait
    /// than allowed.
    pub(super) fn to_shed(&self) -> Option<ClientSlot> {
        let is_over = self.metrics.bytes_waiting.value() > self.limit;
        let slowest = self.waiting.first().filter(|_| is_over);
        slowest.map(|(_, client_slot)| *client_slot)
    }
}
