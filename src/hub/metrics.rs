//! The counters and gauges of the hub. The tasks of the hub update them without locks, and
//! `/metrics` reads them. The metrics never contain the name of a device.

use std::fmt::Write;
use std::sync::atomic::{AtomicU64, Ordering};

/// A metric. The value of a gauge can also decrease.
#[derive(Debug, Default)]
pub struct Metric<const GAUGE: bool>(AtomicU64);

/// A value that only increases.
pub type Counter = Metric<false>;

/// A value that increases and decreases.
pub type Gauge = Metric<true>;

impl<const GAUGE: bool> Metric<GAUGE> {
    /// The type and the end of the name in the text format.
    const KIND: (&str, &str) = if GAUGE {
        ("gauge", "")
    } else {
        ("counter", "_total")
    };

    /// Adds `count` to the value.
    pub fn add(&self, count: u64) {
        self.0.fetch_add(count, Ordering::Relaxed);
    }

    /// Returns the current value.
    pub fn value(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

impl Gauge {
    /// Subtracts `count` from the value.
    pub fn sub(&self, count: u64) {
        self.0.fetch_sub(count, Ordering::Relaxed);
    }
}

/// Declares each metric once. The doc comment of a metric is also its `HELP` text.
macro_rules! metrics {
    ($(#[doc = $help:literal] $name:ident: $kind:ident;)*) => {
        /// All metrics of the hub.
        #[derive(Debug, Default)]
        pub struct Metrics {
            $(#[doc = $help] pub $name: $kind,)*
        }

        impl Metrics {
            /// Returns all metrics in the Prometheus text format 0.0.4.
            pub fn render(&self) -> String {
                let mut text = String::with_capacity(4096);
                $(
                    let (kind, end) = $kind::KIND;
                    let name = [stringify!($name), end].concat();
                    family(&mut text, &name, kind, $help.trim());
                    sample(&mut text, &name, "", self.$name.value());
                )*
                text
            }
        }
    };
}

metrics! {
    /// Open WebSocket connections.
    clients: Gauge;
    /// Open WebSocket connections that have not authenticated yet.
    unauthenticated_clients: Gauge;
    /// Open connections that have not authenticated yet, from their accept on.
    unauthenticated_connections: Gauge;
    /// Subscriptions of all clients together.
    subscriptions: Gauge;
    /// Events received from the vendor.
    events_received: Counter;
    /// Events that were not sent: a newer event replaced them, or no client had a subscription.
    events_conflated: Counter;
    /// Frames written to clients.
    frames_sent: Counter;
    /// Bytes written to clients.
    bytes_sent: Counter;
    /// Times that the socket of a client was full when the hub had data to send.
    clients_blocked: Counter;
    /// Bytes that wait for slow clients.
    bytes_waiting: Gauge;
    /// Clients disconnected as the slowest ones because too many bytes waited for all clients.
    clients_shed: Counter;
    /// Clients disconnected because they did not answer a ping.
    clients_dead: Counter;
    /// Clients disconnected because their token was revoked.
    clients_revoked: Counter;
    /// Clients disconnected because they read their trades too slowly.
    slow_consumers: Counter;
    /// Pauses in which the hub did not read from a client that had not authenticated yet.
    paused_unauthenticated: Counter;
    /// Pauses in which the hub did not read from a client that had sent too many bytes per second.
    paused_bytes: Counter;
    /// Pauses in which the hub did not read from a client that had sent too many frames per second.
    paused_frames: Counter;
    /// Pauses in which the hub did not read from a client that had sent too many messages per second.
    paused_messages: Counter;
    /// Pauses in which the hub did not read from a client that had sent too many control frames per second.
    paused_controls: Counter;
    /// Requests refused because of a missing or wrong token.
    refused_tokens: Counter;
    /// Connections refused because the hub is full.
    refused_full: Counter;
    /// Requests refused because one address or one device sent too many requests.
    refused_rate: Counter;
    /// Connections and channels refused because a device already has its share.
    refused_device_share: Counter;
    /// Channels refused because all clients together have as many as the hub or the vendor allows.
    refused_channels: Counter;
    /// Connections refused because of the limit for connections that have not authenticated yet.
    refused_unauthenticated: Counter;
    /// Connections that had not authenticated yet and were closed for a new connection.
    evicted_unauthenticated: Counter;
    /// Upgrades refused because the origin is not in the list of allowed origins.
    refused_origins: Counter;
    /// Messages refused: too large, not JSON, unknown action, too many channels.
    refused_messages: Counter;
    /// Connections that did not authenticate, or did not finish a request, in time.
    timeouts: Counter;
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
