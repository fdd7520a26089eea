//! What the hub counts. Shared by its tasks, written without locks, read by `/metrics`; it never
//! holds the name of a device.

use std::fmt::Write;
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

impl Metrics {
    /// All of it as Prometheus reads it (text format 0.0.4).
    pub fn render(&self) -> String {
        let gauges = [
            ("clients", "Open WebSocket connections.", &self.clients),
            (
                "unauthenticated_clients",
                "Open WebSocket connections that have not authenticated yet.",
                &self.unauthenticated,
            ),
            (
                "subscriptions",
                "Channels held by all clients together.",
                &self.subscriptions,
            ),
        ];
        let counters = [
            (
                "events_received_total",
                "Events received from the vendor.",
                &self.events_in,
            ),
            (
                "events_conflated_total",
                "Events that a newer one replaced before they were sent, or that nobody wanted.",
                &self.events_conflated,
            ),
            (
                "frames_sent_total",
                "Frames written to clients.",
                &self.frames_out,
            ),
            (
                "bytes_sent_total",
                "Bytes written to clients.",
                &self.bytes_out,
            ),
            (
                "clients_blocked_total",
                "Times that a client's socket was full when it was to be sent something.",
                &self.clients_blocked,
            ),
            (
                "clients_dead_total",
                "Clients that answered no ping and were dropped.",
                &self.clients_dead,
            ),
            (
                "clients_revoked_total",
                "Clients closed because their token was revoked.",
                &self.clients_revoked,
            ),
            (
                "slow_consumers_total",
                "Clients closed for being too slow for their trades.",
                &self.slow_consumers,
            ),
            (
                "refused_tokens_total",
                "Requests refused for a missing or wrong token.",
                &self.refused_token,
            ),
            (
                "refused_full_total",
                "Connections refused because the hub is full.",
                &self.refused_full,
            ),
            (
                "refused_rate_total",
                "Requests refused for coming too often from one address.",
                &self.refused_rate,
            ),
            (
                "refused_origins_total",
                "Upgrades refused for a foreign origin.",
                &self.refused_origin,
            ),
            (
                "refused_messages_total",
                "Messages refused: too large, not JSON, unknown action, too many channels.",
                &self.refused_message,
            ),
            (
                "timeouts_total",
                "Connections that did not authenticate, or did not finish a request, in time.",
                &self.timeouts,
            ),
        ];
        let mut text = String::with_capacity(4096);
        for (name, help, gauge) in gauges {
            family(&mut text, name, "gauge", help);
            sample(&mut text, name, "", gauge.value());
        }
        for (name, help, counter) in counters {
            family(&mut text, name, "counter", help);
            sample(&mut text, name, "", counter.count());
        }
        text
    }
}

/// What stands before the samples of one name.
pub(super) fn family(text: &mut String, name: &str, kind: &str, help: &str) {
    // Writing to a String cannot fail.
    let _ = writeln!(
        text,
        "# HELP deskticker_hub_{name} {help}\n# TYPE deskticker_hub_{name} {kind}"
    );
}

/// One number; `labels` with their braces.
pub(super) fn sample(text: &mut String, name: &str, labels: &str, value: impl std::fmt::Display) {
    let _ = writeln!(text, "deskticker_hub_{name}{labels} {value}");
}
