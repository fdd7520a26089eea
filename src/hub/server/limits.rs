//! The limits of the hub; every limit is a setting. This module counts connections and requests,
//! but never reads a clock and never refuses a client itself.

use std::collections::HashMap;
use std::net::IpAddr;
use std::ops::RangeInclusive;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use toml::Spanned;

use crate::config::{ConfigReader, ConfigTable, Key, Kind, key, number};
use crate::time::Moment;

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
    /// The maximum number of connections.
    connections: 10_000, 1..=1_000_000, false;
    /// The maximum number of WebSocket connections that have not authenticated yet.
    unauthenticated: 256, 0..=1_000_000, false;
    /// The maximum duration from the upgrade of a connection to its authentication, in seconds.
    authentication: 10, 1..=300, true;
    /// The maximum number of subscriptions of one client.
    subscriptions: 1000, 1..=100_000, true;
    /// The maximum number of distinct channels that all clients of a cluster have together.
    channels: 20_000, 1..=1_000_000, true;
    /// The maximum size of a message from a client, in bytes.
    message: 16_384, 256..=1 << 20, true;
    /// The maximum number of connections and requests per minute from one address.
    per_minute: 600, 1..=1_000_000, false;
    /// The maximum duration from the accept of a connection to the end of the request head, in
    /// seconds. The duration includes the TLS handshake.
    head: 5, 1..=300, false;
    /// The maximum number of trades that may wait for one client. The hub closes a client above
    /// this limit as too slow.
    trades: 1024, 1..=1_000_000, true;
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

/// The maximum number of addresses with an allowance of their own. All further addresses share one
/// allowance.
const ADDRESSES: usize = 4096;

/// The rate limiter: one token bucket for each address, which refills with time.
///
/// The loopback interface has no limit, because many clients can share the address of a program on
/// this machine (the demo, a reverse proxy). Behind a reverse proxy, the limit applies to the
/// address of each client if `trusted_proxy` allows the hub to use `X-Forwarded-For`.
#[derive(Debug, Default)]
pub struct RateLimiter {
    buckets: HashMap<u64, TokenBucket>,
    rest: Option<TokenBucket>,
    swept: Moment,
}

/// The remaining allowance of an address, and the time of its last refill.
#[derive(Clone, Copy, Debug)]
struct TokenBucket {
    /// The remaining allowance, in thousandths of a request.
    left: u64,
    at: Moment,
}

impl TokenBucket {
    fn refill(&mut self, per_minute: u64, now: Moment) {
        let full = per_minute * 1000;
        let elapsed = u64::try_from(now.since(self.at).as_millis()).unwrap_or(u64::MAX);
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

impl RateLimiter {
    /// Takes one request from the allowance of the address. Returns false if the allowance is used
    /// up. `per_minute` is the allowance for one minute.
    pub fn take(&mut self, address: IpAddr, per_minute: u64, now: Moment) -> bool {
        let address = address.to_canonical();
        if address.is_loopback() {
            return true;
        }
        let full = TokenBucket {
            left: per_minute * 1000,
            at: now,
        };
        let key = rate_key(address);
        if let Some(bucket) = self.buckets.get_mut(&key) {
            return bucket.take(per_minute, now);
        }
        if self.buckets.len() >= ADDRESSES && now.since(self.swept) >= Duration::from_secs(1) {
            self.swept = now;
            self.buckets.retain(|_, bucket| {
                bucket.refill(per_minute, now);
                bucket.left < full.left
            });
        }
        if self.buckets.len() >= ADDRESSES {
            return self.rest.get_or_insert(full).take(per_minute, now);
        }
        self.buckets
            .entry(key)
            .or_insert(full)
            .take(per_minute, now)
    }
}

/// Returns the IPv4 address or the /64 prefix of the IPv6 address, because one household can use
/// all IPv6 addresses of a /64 prefix.
fn rate_key(address: IpAddr) -> u64 {
    match address {
        // No peer has an address in the prefix `::/64`, so an IPv4 key never equals an IPv6 key.
        IpAddr::V4(address) => u64::from(address.to_bits()),
        IpAddr::V6(address) => u64::try_from(address.to_bits() >> 64).unwrap_or_default(),
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

    fn address(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    #[test]
    fn an_allowance_is_limited_and_refills_over_time() {
        let mut rates = RateLimiter::default();
        let client = address("192.0.2.1");
        let start = Moment::from_secs(100);
        assert!((0..60).all(|_| rates.take(client, 60, start)));
        assert!(!rates.take(client, 60, start));
        assert!(rates.take(address("192.0.2.2"), 60, start));
        assert!(!rates.take(client, 60, start + Duration::from_millis(999)));
        assert!(rates.take(client, 60, start + Duration::from_secs(1)));
        assert!(!rates.take(client, 60, start + Duration::from_secs(1)));
    }

    #[test]
    fn frequent_requests_do_not_prevent_the_refill_of_an_allowance() {
        let mut rates = RateLimiter::default();
        let client = address("192.0.2.1");
        assert!(rates.take(client, 1, Moment::ZERO));
        let later = (1..=60_000).map(Moment::from_millis);
        assert_eq!(later.filter(|now| rates.take(client, 1, *now)).count(), 1);
    }

    #[test]
    fn all_addresses_of_an_ipv6_network_share_an_allowance_and_loopback_is_exempt() {
        let mut rates = RateLimiter::default();
        assert!(rates.take(address("2001:db8::1"), 1, Moment::ZERO));
        assert!(!rates.take(address("2001:db8::2"), 1, Moment::ZERO));
        assert!(rates.take(address("2001:db8:0:1::2"), 1, Moment::ZERO));
        assert!(rates.take(address("192.0.2.1"), 1, Moment::ZERO));
        assert!(!rates.take(address("::ffff:192.0.2.1"), 1, Moment::ZERO));
        for local in ["127.0.0.1", "::1", "::ffff:127.0.0.1"] {
            assert!((0..9).all(|_| rates.take(address(local), 1, Moment::ZERO)));
        }
    }

    #[test]
    fn too_many_addresses_need_no_more_memory_and_share_an_allowance() {
        let mut rates = RateLimiter::default();
        let flood = |from: u32| (from..from + 10_000).map(|n| IpAddr::V4(n.into()));
        let start = 0x0a00_0000;
        let allowed = flood(start)
            .filter(|address| rates.take(*address, 2, Moment::ZERO))
            .count();
        assert_eq!((allowed, rates.buckets.len()), (ADDRESSES + 2, ADDRESSES));
        // After a minute the limiter removes the old addresses, and a new address gets its own
        // allowance.
        assert!(rates.take(address("192.0.2.1"), 2, Moment::from_secs(60)));
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
