//! The counters, gauges and histograms of the hub. The tasks of the hub update the metrics on the
//! path of an event without locks and without allocations, and `/metrics` reads them.

pub(super) mod devices;
pub(super) mod process;

use std::collections::BTreeMap;
use std::fmt::Write;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use crate::market::Cluster;

/// A metric. The value of a gauge can also decrease.
#[derive(Debug, Default)]
pub struct Metric<const GAUGE: bool>(AtomicU64);

/// A value that only increases.
pub type Counter = Metric<false>;

/// A value that increases and decreases.
pub type Gauge = Metric<true>;

impl<const GAUGE: bool> Metric<GAUGE> {
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

/// The upper bounds of the buckets of a histogram, in microseconds. The last bucket has no bound. The
/// longest delay is for a feed that is delayed by 15 minutes.
const BOUNDS: [u64; 16] = [
    100,
    500,
    1_000,
    2_500,
    5_000,
    10_000,
    25_000,
    50_000,
    100_000,
    250_000,
    500_000,
    1_000_000,
    2_500_000,
    10_000_000,
    60_000_000,
    1_000_000_000,
];

/// A distribution of durations.
#[derive(Debug, Default)]
pub struct Histogram {
    buckets: [AtomicU64; BOUNDS.len() + 1],
    /// The sum of all durations, in microseconds.
    sum: AtomicU64,
}

impl Histogram {
    /// Adds one duration.
    pub fn observe(&self, duration: Duration) {
        let micros = u64::try_from(duration.as_micros()).unwrap_or(u64::MAX);
        let bucket = BOUNDS.partition_point(|bound| *bound < micros);
        self.buckets[bucket].fetch_add(1, Ordering::Relaxed);
        self.sum.fetch_add(micros, Ordering::Relaxed);
    }

    /// Returns the number of durations.
    pub fn count(&self) -> u64 {
        let buckets = self.buckets.iter();
        buckets.map(|bucket| bucket.load(Ordering::Relaxed)).sum()
    }
}

/// The same metric for each cluster.
#[derive(Debug, Default)]
pub struct ByCluster<M>([M; Cluster::ALL.len()]);

impl<M> ByCluster<M> {
    /// Returns the metric of one cluster.
    pub const fn of(&self, cluster: Cluster) -> &M {
        &self.0[cluster as usize]
    }
}

impl<const GAUGE: bool> ByCluster<Metric<GAUGE>> {
    /// Returns the sum over all clusters.
    pub fn value(&self) -> u64 {
        self.0.iter().map(Metric::value).sum()
    }
}

/// Counters of REST requests, by path and result. The path is a fixed text of the hub, so the number
/// of counters is limited.
#[derive(Debug, Default)]
pub struct RequestCounts(Mutex<BTreeMap<(&'static str, String), u64>>);

impl RequestCounts {
    /// Counts one request.
    pub fn add(&self, path: &'static str, result: impl ToString) {
        let mut counts = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        *counts.entry((path, result.to_string())).or_default() += 1;
    }
}

/// A metric with its representation in the text format.
trait Exposed {
    /// The type, and the end of the name.
    const KIND: (&'static str, &'static str);

    /// Writes the samples. `labels` are the labels of the metric itself, without braces.
    fn write(&self, text: &mut String, name: &str, labels: &str);
}

impl<const GAUGE: bool> Exposed for Metric<GAUGE> {
    const KIND: (&'static str, &'static str) = if GAUGE {
        ("gauge", "")
    } else {
        ("counter", "_total")
    };

    fn write(&self, text: &mut String, name: &str, labels: &str) {
        sample(text, name, labels, self.value());
    }
}

impl Exposed for Histogram {
    const KIND: (&'static str, &'static str) = ("histogram", "_seconds");

    fn write(&self, text: &mut String, name: &str, labels: &str) {
        let (bucket_name, mut count) = (format!("{name}_bucket"), 0);
        let bounds = BOUNDS.iter().map(|bound| (*bound as f64 / 1e6).to_string());
        for (bucket, bound) in self.buckets.iter().zip(bounds.chain(["+Inf".to_owned()])) {
            count += bucket.load(Ordering::Relaxed);
            let comma = if labels.is_empty() { "" } else { "," };
            let labels = format!("{labels}{comma}le=\"{bound}\"");
            sample(text, &bucket_name, &labels, count);
        }
        let sum = self.sum.load(Ordering::Relaxed) as f64 / 1e6;
        sample(text, &format!("{name}_sum"), labels, sum);
        sample(text, &format!("{name}_count"), labels, count);
    }
}

impl<M: Exposed> Exposed for ByCluster<M> {
    const KIND: (&'static str, &'static str) = M::KIND;

    fn write(&self, text: &mut String, name: &str, _: &str) {
        for cluster in Cluster::ALL {
            let labels = format!("cluster=\"{cluster}\"");
            self.of(cluster).write(text, name, &labels);
        }
    }
}

impl Exposed for RequestCounts {
    const KIND: (&'static str, &'static str) = Counter::KIND;

    fn write(&self, text: &mut String, name: &str, _: &str) {
        let counts = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        for ((path, result), count) in counts.iter() {
            let labels = format!("path=\"{path}\",code=\"{result}\"");
            sample(text, name, &labels, count);
        }
    }
}

/// Declares each metric once. The doc comment of a metric is also its `HELP` text. The metrics of a
/// group, after `by`, are one metric with a label.
macro_rules! metrics {
    (
        $(#[doc = $help:literal] $name:ident: $kind:ty;)*
        groups
        $(#[doc = $about:literal] $group:ident by $label:ident {
            $(#[doc = $meaning:literal] $field:ident: $value:literal;)*
        })*
    ) => {
        /// All metrics of the hub.
        #[derive(Debug, Default)]
        pub struct Metrics {
            $(#[doc = $help] pub $name: $kind,)*
            $($(#[doc = $meaning] pub $field: Counter,)*)*
        }

        impl Metrics {
            /// Returns all metrics in the Prometheus text format 0.0.4.
            pub fn render(&self) -> String {
                let mut text = String::with_capacity(16 << 10);
                $(
                    let (kind, end) = <$kind>::KIND;
                    let name = [stringify!($name), end].concat();
                    family(&mut text, &name, kind, $help.trim());
                    self.$name.write(&mut text, &name, "");
                )*
                $(
                    let name = concat!(stringify!($group), "_total");
                    family(&mut text, name, "counter", $about.trim());
                    $(
                        let labels = concat!(stringify!($label), "=\"", $value, "\"");
                        self.$field.write(&mut text, name, labels);
                    )*
                )*
                text
            }
        }
    };
}

metrics! {
    /// Open WebSocket connections.
    clients: ByCluster<Gauge>;
    /// Open WebSocket connections that have not authenticated yet.
    unauthenticated_clients: ByCluster<Gauge>;
    /// Open connections that have not authenticated yet, from their accept on.
    unauthenticated_connections: Gauge;
    /// Subscriptions of all clients together.
    subscriptions: ByCluster<Gauge>;
    /// Messages received from the vendor.
    messages_received: ByCluster<Counter>;
    /// Bytes received from the vendor.
    bytes_received: ByCluster<Counter>;
    /// Events received from the vendor.
    events_received: ByCluster<Counter>;
    /// Events that were not sent: a newer event replaced them, or no client had a subscription.
    events_conflated: ByCluster<Counter>;
    /// Frames written to clients.
    frames_sent: ByCluster<Counter>;
    /// Bytes written to clients.
    bytes_sent: ByCluster<Counter>;
    /// Time from the vendor's timestamp of a value, a quote or a trade to its receipt, by the wall clock of the hub.
    vendor_latency: ByCluster<Histogram>;
    /// Time from the receipt of a message of the vendor to the end of its delivery to all clients that can take data.
    delivery_latency: ByCluster<Histogram>;
    /// Time that the hub needs for one delivery to all clients.
    delivery_duration: ByCluster<Histogram>;
    /// Times that the socket of a client was full when the hub had data to send.
    clients_blocked: ByCluster<Counter>;
    /// Bytes that wait for slow clients.
    bytes_waiting: Gauge;
    /// Responses to HTTP requests of clients.
    http_requests: RequestCounts;
    /// REST requests to the vendor; the code is ok or the reason of the failure.
    vendor_requests: RequestCounts;

    groups

    /// Clients that the hub disconnected, and connections that it closed before their authentication.
    disconnected by reason {
        /// Clients disconnected as the slowest ones because too many bytes waited for all clients.
        clients_shed: "shed";
        /// Clients disconnected because they did not answer a ping.
        clients_dead: "dead";
        /// Clients disconnected because their token was revoked.
        clients_revoked: "revoked";
        /// Clients disconnected because they read their trades too slowly.
        slow_consumers: "slow";
        /// Connections that had not authenticated yet and were closed for a new connection.
        evicted_unauthenticated: "evicted";
        /// Connections that did not authenticate, or did not finish a request, in time.
        timeouts: "timeout";
    }
    /// Pauses in which the hub did not read from a client that was above this limit.
    paused by limit {
        /// Pauses in which the hub did not read from a client that had not authenticated yet.
        paused_unauthenticated: "unauthenticated_bytes";
        /// Pauses in which the hub did not read from a client that had sent too many bytes per second.
        paused_bytes: "bytes_per_second";
        /// Pauses in which the hub did not read from a client that had sent too many frames per second.
        paused_frames: "frames_per_second";
        /// Pauses in which the hub did not read from a client that had sent too many messages per second.
        paused_messages: "messages_per_second";
        /// Pauses in which the hub did not read from a client that had sent too many control frames per second.
        paused_controls: "controls_per_second";
    }
    /// Connections, requests, messages and channels that the hub refused.
    refused by reason {
        /// Requests refused because of a missing or wrong token.
        refused_tokens: "token";
        /// Connections refused because the hub is full.
        refused_full: "full";
        /// Requests refused because one address or one device sent too many requests.
        refused_rate: "rate";
        /// Upgrades put off because the hub has admitted enough handshakes within the last second.
        refused_handshakes: "handshakes";
        /// Connections and channels refused because a device already has its share.
        refused_device_share: "device_share";
        /// Channels refused because all clients together have as many as the hub or the vendor allows.
        refused_channels: "channels";
        /// Connections refused because of the limit for connections that have not authenticated yet.
        refused_unauthenticated: "unauthenticated";
        /// Upgrades refused because the origin is not in the list of allowed origins.
        refused_origins: "origin";
        /// Messages refused: too large, not JSON, unknown action, too many channels.
        refused_messages: "message";
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

/// Writes one sample. `labels` are without braces.
pub(super) fn sample(text: &mut String, name: &str, labels: &str, value: impl std::fmt::Display) {
    let _ = match labels {
        "" => writeln!(text, "deskticker_hub_{name} {value}"),
        labels => writeln!(text, "deskticker_hub_{name}{{{labels}}} {value}"),
    };
}

/// Escapes a text of a client or of a person, for use as the value of a label.
pub(super) fn label_value(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '\\' => escaped.push_str("\\\\"),
            '"' => escaped.push_str("\\\""),
            '\n' => escaped.push_str("\\n"),
            character => escaped.push(character),
        }
    }
    escaped
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_histogram_counts_each_duration_in_all_buckets_above_it() {
        let histogram = Histogram::default();
        for micros in [0, 100, 101, 7_000_000, u64::MAX / 2] {
            histogram.observe(Duration::from_micros(micros));
        }
        assert_eq!(histogram.count(), 5);
        let mut text = String::new();
        histogram.write(&mut text, "delay_seconds", "cluster=\"indices\"");
        for line in [
            "delay_seconds_bucket{cluster=\"indices\",le=\"0.0001\"} 2",
            "delay_seconds_bucket{cluster=\"indices\",le=\"0.0005\"} 3",
            "delay_seconds_bucket{cluster=\"indices\",le=\"2.5\"} 3",
            "delay_seconds_bucket{cluster=\"indices\",le=\"10\"} 4",
            "delay_seconds_bucket{cluster=\"indices\",le=\"1000\"} 4",
            "delay_seconds_bucket{cluster=\"indices\",le=\"+Inf\"} 5",
            "delay_seconds_count{cluster=\"indices\"} 5",
        ] {
            let line = format!("deskticker_hub_{line}\n");
            assert!(text.contains(&line), "{line} in {text}");
        }
    }

    #[test]
    fn the_events_of_one_cluster_do_not_count_for_another_one() {
        let metrics = Metrics::default();
        metrics.events_received.of(Cluster::Options).add(3);
        let text = metrics.render();
        assert!(text.contains("events_received_total{cluster=\"options\"} 3\n"));
        assert!(text.contains("events_received_total{cluster=\"indices\"} 0\n"));
        assert_eq!(metrics.events_received.value(), 3);
    }

    #[test]
    fn a_text_cannot_end_its_label() {
        assert_eq!(label_value("a\"} 1\n\\"), "a\\\"} 1\\n\\\\");
    }
}
