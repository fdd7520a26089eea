//! The limits of the hub; every limit is a setting. This module counts connections and requests,
//! but never reads a clock and never refuses a client itself.

use std::collections::HashMap;
use std::hash::Hash;
use std::ops::RangeInclusive;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use toml::Spanned;

use crate::config::{ConfigReader, ConfigTable, Key, Kind, key, number};
use crate::time::{Moment, millis};

/// Declares each limit once: `name: default, range, restart;`. `restart` is true if the hub uses a
/// changed value only after a restart.
macro_rules! limits {
    ($($(#[$doc:meta])* $name:ident: $default:literal, $range:expr, $restart:literal;)*) => {
        /// The limits of the hub. The defaults suit a hub for some thousand displays on a small
        /// machine.
        #[derive(Clone, Debug, PartialEq)]
        pub struct Limits {
            $($(#[$doc])* pub $name: u64,)*
        }

        impl Default for Limits {
            fn default() -> Self {
                Self { $($name: $default,)* }
            }
        }

        impl Limits {
            /// Returns the name and the value of each limit. The last field is true if the hub uses
            /// a changed value only after a restart.
            pub fn values(&self) -> impl Iterator<Item = (&'static str, u64, bool)> {
                [$((stringify!($name), self.$name, $restart),)*].into_iter()
            }
        }

        /// The settings of the table `limits`.
        pub(crate) const KEYS: &[Key] = &[
            $(key("limits", stringify!($name), Kind::Whole, stringify!($default)),)*
        ];

        impl Limits {
            /// Reads the table `limits` of the configuration file.
            pub(crate) fn read(reader: &ConfigReader<'_>, mut table: ConfigTable<'_, '_>) -> Self {
                let mut limits = Self::default();
                $(
                    let value = table.whole(stringify!($name));
                    checked(reader, stringify!($name), value, &mut limits.$name, $range);
                )*
                table.finish();
                limits
            }
        }
    };
}

limits! {
    /// The maximum number of connections. At most an eighth of them are kept REST connections without
    /// a request.
    connections: 10_000, 1..=1_000_000, false;
    /// The maximum number of connections that have not authenticated yet, from the accept to the
    /// authentication. Each of these connections needs up to 30 KiB. One address may have a
    /// quarter of these connections.
    unauthenticated: 256, 4..=1_000_000, false;
    /// The maximum number of bytes that a WebSocket client may send before its authentication. The
    /// hub then reads no more data until the client has authenticated.
    unauthenticated_bytes: 4096, 512..=1 << 20, true;
    /// The maximum duration from the upgrade of a connection to its authentication, in seconds.
    authentication: 10, 1..=300, true;
    /// The maximum number of subscriptions of one client.
    subscriptions: 1000, 1..=100_000, true;
    /// The maximum number of distinct channels that all clients of a cluster have together.
    channels: 20_000, 1..=1_000_000, true;
    /// The maximum size of a message from a client, in bytes.
    message: 16_384, 256..=1 << 20, true;
    /// The maximum number of bytes that the hub reads from one client in one turn, before it serves
    /// the other clients.
    bytes_per_turn: 4096, 256..=4096, true;
    /// The maximum number of bytes per second from one client. Here and in the next three limits, a
    /// client that was silent may send the allowance of four seconds at once. The hub does not read
    /// from a client above one of these limits until the allowance has refilled.
    bytes_per_second: 16_384, 256..=1 << 30, true;
    /// The maximum number of WebSocket frames per second from one client.
    frames_per_second: 100, 1..=1_000_000, true;
    /// The maximum number of messages per second from one client, or of REST requests on one
    /// connection.
    messages_per_second: 50, 1..=1_000_000, true;
    /// The maximum number of control frames (ping, pong, close) per second from one client.
    controls_per_second: 20, 1..=1_000_000, true;
    /// The maximum number of connections and requests per minute from one device, and from one
    /// address without the token of a device.
    per_minute: 600, 1..=1_000_000, false;
    /// The maximum number of WebSocket handshakes with a token within any second. A client above this
    /// limit gets status 503 and the time at which there is room.
    handshakes: 250, 1..=100_000, false;
    /// The maximum duration from the accept of a connection to the end of the request head, in
    /// seconds. The duration includes the TLS handshake.
    head: 5, 1..=300, false;
    /// The maximum number of connections of one device. A kept REST connection counts too. This limit and the next two do not apply
    /// while the hub has only one device (or only the static token), because a share protects other
    /// devices.
    device_connections: 2500, 1..=1_000_000, true;
    /// The maximum number of channels of a cluster that only clients of one device have requested.
    device_channels: 5000, 1..=1_000_000, true;
    /// The maximum number of contracts whose quotes only clients of one device have requested.
    device_contracts: 250, 1..=1000, true;
    /// The maximum number of different tickers whose quotes one device may request by REST within
    /// ten minutes. This limit does not apply while the hub has only one device.
    device_tickers: 500, 1..=1_000_000, false;
    /// The maximum number of requests for bars per minute from one device.
    device_bars: 120, 1..=1_000_000, false;
    /// The maximum number of trades that may wait for one client. The hub closes a client above
    /// this limit as too slow.
    trades: 1024, 1..=1_000_000, true;
    /// The maximum number of bytes that may wait for all slow clients together. Each cluster has an
    /// equal part. Above its part, the hub disconnects the slowest clients of the cluster. The
    /// default is about half of the memory that remains in the service (256 MiB) while 10,000
    /// clients with TLS are idle (12 KiB for each, and up to 30 KiB for a kept REST connection).
    waiting_bytes: 67_108_864, 65_536..=1 << 40, true;
}

fn checked(
    reader: &ConfigReader<'_>,
    name: &str,
    value: Option<Spanned<i64>>,
    to: &mut u64,
    range: RangeInclusive<u64>,
) {
    let expected = format!("{} to {}", range.start(), range.end());
    reader.set(to, name, &value, |value: &i64| {
        number(*value, range, &expected)
    });
}

/// The rate limiter: one token bucket for each key, which refills with time. A key is an address or
/// a device.
#[derive(Debug)]
pub struct RateLimiter<K> {
    buckets: HashMap<K, TokenBucket>,
    /// The maximum number of keys with a bucket of their own. All further keys share one bucket.
    most: usize,
    rest: Option<TokenBucket>,
    swept: Moment,
}

/// The remaining allowance of a key, and the time of its last refill.
#[derive(Clone, Copy, Debug)]
struct TokenBucket {
    /// The remaining allowance, in thousandths of a request.
    left: u64,
    at: Moment,
}

impl TokenBucket {
    fn refill(&mut self, per_minute: u64, now: Moment) {
        let full = per_minute * 1000;
        let elapsed = millis(now.since(self.at));
        let more = elapsed.saturating_mul(per_minute) / 60;
        // `at` changes only after a refill. Otherwise frequent calls would lose the time that is
        // too short for one thousandth.
        if more > 0 || self.left >= full {
            self.left = self.left.saturating_add(more).min(full);
            self.at = now;
        }
    }

    fn take(&mut self, per_minute: u64, now: Moment) -> bool {
        self.refill(per_minute, now);
        let left = self.left.checked_sub(1000);
        self.left = left.unwrap_or(self.left);
        left.is_some()
    }
}

impl<K: Eq + Hash> RateLimiter<K> {
    /// Creates a rate limiter with separate buckets for at most this number of keys.
    pub fn new(most: usize) -> Self {
        Self {
            buckets: HashMap::new(),
            most,
            rest: None,
            swept: Moment::ZERO,
        }
    }

    /// Takes one request from the allowance of the key. Returns false if the allowance is used up.
    /// `per_minute` is the allowance for one minute.
    pub fn take(&mut self, key: K, per_minute: u64, now: Moment) -> bool {
        let full = TokenBucket {
            left: per_minute * 1000,
            at: now,
        };
        if let Some(bucket) = self.buckets.get_mut(&key) {
            return bucket.take(per_minute, now);
        }
        if self.buckets.len() >= self.most && now.since(self.swept) >= Duration::from_secs(1) {
            self.swept = now;
            self.buckets.retain(|_, bucket| {
                bucket.refill(per_minute, now);
                bucket.left < full.left
            });
        }
        if self.buckets.len() >= self.most {
            return self.rest.get_or_insert(full).take(per_minute, now);
        }
        self.buckets
            .entry(key)
            .or_insert(full)
            .take(per_minute, now)
    }

    /// Gives one request back to the allowance of the key.
    pub fn give_back(&mut self, key: &K) {
        let bucket = self.buckets.get_mut(key).or(self.rest.as_mut());
        if let Some(bucket) = bucket {
            bucket.left += 1000;
        }
    }
}

/// The number of connections in use. Each connection holds a [`SlotPermit`].
#[derive(Clone, Debug, Default)]
pub struct ConnectionSlots(Arc<AtomicU64>);

impl ConnectionSlots {
    /// Returns a permit, or `None` if `most` or more permits are in use.
    pub fn enter(&self, most: u64) -> Option<SlotPermit> {
        self.0
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |count| {
                (count < most).then_some(count + 1)
            })
            .ok()
            .map(|_| SlotPermit(self.clone()))
    }
}

/// One permit of [`ConnectionSlots`]. The drop of the permit makes its slot free.
#[derive(Debug)]
pub struct SlotPermit(ConnectionSlots);

impl Drop for SlotPermit {
    fn drop(&mut self) {
        self.0.0.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_allowance_is_limited_and_refills_over_time() {
        let mut rates = RateLimiter::new(9);
        let start = Moment::from_secs(100);
        assert!((0..60).all(|_| rates.take("kitchen", 60, start)));
        assert!(!rates.take("kitchen", 60, start));
        assert!(rates.take("hallway", 60, start));
        assert!(!rates.take("kitchen", 60, start + Duration::from_millis(999)));
        assert!(rates.take("kitchen", 60, start + Duration::from_secs(1)));
        assert!(!rates.take("kitchen", 60, start + Duration::from_secs(1)));
        rates.give_back(&"kitchen");
        assert!(rates.take("kitchen", 60, start + Duration::from_secs(1)));
        assert!(!rates.take("kitchen", 60, start + Duration::from_secs(1)));
    }

    #[test]
    fn frequent_requests_do_not_prevent_the_refill_of_an_allowance() {
        let mut rates = RateLimiter::new(9);
        assert!(rates.take("kitchen", 1, Moment::ZERO));
        let later = (1..=60_000).map(Moment::from_millis);
        assert_eq!(
            later.filter(|now| rates.take("kitchen", 1, *now)).count(),
            1
        );
    }

    #[test]
    fn too_many_keys_need_no_more_memory_and_share_an_allowance() {
        let mut rates = RateLimiter::new(100);
        let allowed = (0..1000)
            .filter(|key| rates.take(*key, 2, Moment::ZERO))
            .count();
        assert_eq!((allowed, rates.buckets.len()), (102, 100));
        // After a minute the limiter removes the old keys, and a new key gets its own allowance.
        assert!(rates.take(5000, 2, Moment::from_secs(60)));
        assert_eq!(rates.buckets.len(), 1);
    }

    #[test]
    fn a_connection_slot_is_free_again_after_its_connection_ends() {
        let slots = ConnectionSlots::default();
        let slot = slots.enter(1);
        assert!(slot.is_some() && slots.enter(1).is_none());
        drop(slot);
        assert!(slots.enter(1).is_some());
    }
}
