//! The slow clients of one cluster: the clients with unsent bytes. Above the limit of the cluster,
//! this module finds the slowest client, so slow clients of another cluster cannot cost a client
//! its connection. Never reads a clock, and never closes a client itself.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::delivery::ClientSlot;
use crate::hub::metrics::Metrics;
use crate::hub::session::client::Client;
use crate::time::Moment;

/// The clients of one cluster that have unsent bytes, in the order of their last progress.
#[derive(Debug)]
pub(super) struct SlowClients {
    /// The maximum number of bytes that may wait for all clients of the cluster together.
    limit: u64,
    /// The number of bytes that wait for all clients of the cluster.
    bytes: u64,
    /// The metrics of all clusters.
    metrics: Arc<Metrics>,
    /// The clients with unsent bytes. The key is the time at which the socket last accepted bytes,
    /// so the first entry is the slowest client.
    waiting: BTreeSet<(Moment, ClientSlot)>,
}

impl SlowClients {
    pub(super) const fn new(limit: u64, metrics: Arc<Metrics>) -> Self {
        Self {
            limit,
            bytes: 0,
            metrics,
            waiting: BTreeSet::new(),
        }
    }

    /// Counts the bytes that wait for a client. Must be called after each write to the client.
    pub(super) fn note(&mut self, client: &mut Client, now: Moment) {
        let (counted, bytes) = (client.counted, client.waiting_bytes());
        let slot = client.client_id.client_slot;
        self.bytes = self.bytes - counted + bytes;
        self.metrics.bytes_waiting.add(bytes);
        self.metrics.bytes_waiting.sub(counted);
        // Fewer waiting bytes mean that the socket has accepted some of them.
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
        let slowest = self.waiting.first().filter(|_| self.bytes > self.limit);
        slowest.map(|(_, client_slot)| *client_slot)
    }
}
