//! The counters and gauges of the hub. The tasks of the hub update them without locks, and
//! `/metrics` reads them. The metrics never contain the name of a device.

use std::fmt::Write;
use std::sync::atomic::{AtomicU64, Ordering};

/// A value that only increases.
#[derive(Debug, Default)]
pub struct Counter(AtomicU64);

impl Counter {
    /// Adds `count` to the counter.
    pub fn add(&self, count: u64) {
        self.0.fetch_add(count, Ordering::Relaxed);
    }

    /// Returns the current count.
    pub fn count(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// A value that increases and decreases.
#[derive(Debug, Default)]
pub struct Gauge(AtomicU64);

impl Gauge {
    /// Sets the gauge to `value`.
    pub fn set(&self, value: u64) {
        self.0.store(value, Ordering::Relaxed);
    }

    /// Adds `count` to the gauge.
    pub fn add(&self, count: u64) {
        self.0.fetch_add(count, Ordering::Relaxed);
    }

    /// Subtracts `count` from the gauge.
    pub fn sub(&self, count: u64) {
        self.0.fetch_sub(count, Ordering::Relaxed);
    }

    /// Returns the current value.
    pub fn value(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// All metrics of the hub.
#[derive(Debug, Default)]
pub struct Metrics {
    /// The open WebSocket connections.
    pub clients: Gauge,
    /// The open WebSocket connections that have not authenticated yet.
    pub unauthenticated: Gauge,
    /// The subscriptions of all clients together.
    pub subscriptions: Gauge,
    /// The events that the hub has received from the upstreams.
    pub events_in: Counter,
    /// The events that no client wanted, or that a newer event replaced before the hub sent them.
    pub events_conflated: Counter,
    /// The frames that the hub has written to clients.
    pub frames_out: Counter,
    /// The bytes that the hub has written to clients.
    pub bytes_out: Counter,
    /// The sends that found the socket of the client full.
    pub clients_blocked: Counter,
    /// The clients that the hub has disconnected because they did not answer a ping.
    pub clients_dead: Counter,
    /// The clients that the hub has disconnected because their token was revoked.
    pub clients_revoked: Counter,
    /// The clients that the hub has disconnected because they read their trades too slowly.
    pub slow_consumers: Counter,
    /// The requests that the hub has refused because of a missing or wrong token.
    pub refused_token: Counter,
    /// The connections that the hub has refused because the hub was full.
    pub refused_full: Counter,
    /// The requests that the hub has refused because one address sent too many.
    pub refused_rate: Counter,
    /// The upgrades that the hub has refused because of a foreign origin.
    pub refused_origin: Counter,
    /// The messages that the hub has refused: too large, not JSON, unknown action, or too many
    /// channels.
    pub refused_message: Counter,
    /// The connections that did not authenticate, or did not complete a request, in time.
    pub timeouts: Counter,
}

impl Metrics {
    /// Returns all metrics in the Prometheus text format 0.0.4.
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
                "Subscriptions of all clients together.",
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
                "Events that were not sent: a newer event replaced them, or no client had a \
                 subscription.",
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
                "Times that the socket of a client was full when the hub had data to send.",
                &self.clients_blocked,
            ),
            (
                "clients_dead_total",
                "Clients disconnected because they did not answer a ping.",
                &self.clients_dead,
            ),
            (
                "clients_revoked_total",
                "Clients disconnected because their token was revoked.",
                &self.clients_revoked,
            ),
            (
                "slow_consumers_total",
                "Clients disconnected because they read their trades too slowly.",
                &self.slow_consumers,
            ),
            (
                "refused_tokens_total",
                "Requests refused because of a missing or wrong token.",
                &self.refused_token,
            ),
            (
                "refused_full_total",
                "Connections refused because the hub is full.",
                &self.refused_full,
            ),
            (
                "refused_rate_total",
                "Requests refused because one address sent too many requests.",
                &self.refused_rate,
            ),
            (
                "refused_origins_total",
                "Upgrades refused because the origin is not in the list of allowed origins.",
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

/// Writes the `HELP` and `TYPE` lines, which come before the samples of a metric.
pub(super) fn family(text: &mut String, name: &str, kind: &str, help: &str) {
    // A write to a `String` cannot fail.
    let _ = writeln!(
        text,
        "# HELP deskticker_hub_{name} {help}\n# TYPE deskticker_hub_{name} {kind}"
    );
}

/// Writes one sample. `labels` includes the braces.
pub(super) fn sample(text: &mut String, name: &str, labels: &str, value: impl std::fmt::Display) {
    let _ = writeln!(text, "deskticker_hub_{name}{labels} {value}");
}
