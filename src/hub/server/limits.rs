//! How much the hub lets anybody ask of it. Every limit is a setting. Counts and decides; it
//! reads no clock and refuses nobody itself.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use crate::time::Moment;

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
    /// Distinct channels that all clients of a cluster may hold together.
    pub channels: usize,
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
            channels: 20_000,
            message: 16 << 10,
            per_minute: 600,
            head: Duration::from_secs(5),
            trades: 1024,
        }
    }
}

/// Addresses that are told apart; what comes from others then shares one allowance.
const ADDRESSES: usize = 4096;

/// How often each address has come lately: a bucket for each, which refills with time.
///
/// The loopback interface is exempt. What comes from there is on this machine (the demo, a
/// reverse proxy) and many clients in one; behind a reverse proxy the clients' own addresses count
/// once `trusted_proxy` says that its `X-Forwarded-For` is to be believed.
#[derive(Debug, Default)]
pub struct RateLimiter {
    buckets: HashMap<u64, TokenBucket>,
    rest: Option<TokenBucket>,
    swept: Moment,
}

/// What is left of an address's allowance, and when that was.
#[derive(Clone, Copy, Debug)]
struct TokenBucket {
    /// In thousandths of a visit.
    left: u64,
    at: Moment,
}

impl TokenBucket {
    fn refill(&mut self, per_minute: u32, now: Moment) {
        let full = u64::from(per_minute) * 1000;
        let elapsed = u64::try_from(now.since(self.at).as_millis()).unwrap_or(u64::MAX);
        let more = elapsed.saturating_mul(u64::from(per_minute)) / 60;
        // Else the time that was too short for a thousandth would be lost, visit by visit.
        if more > 0 || self.left >= full {
            self.left = self.left.saturating_add(more).min(full);
            self.at = now;
        }
    }

    fn take(&mut self, per_minute: u32, now: Moment) -> bool {
        self.refill(per_minute, now);
        match self.left.checked_sub(1000) {
            Some(left) => {
                self.left = left;
                true
            }
            None => false,
        }
    }
}

impl RateLimiter {
    /// Whether another visit from this address is within its allowance, which this uses up.
    pub fn take(&mut self, address: IpAddr, per_minute: u32, now: Moment) -> bool {
        let address = address.to_canonical();
        if address.is_loopback() {
            return true;
        }
        let full = TokenBucket {
            left: u64::from(per_minute) * 1000,
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

/// An IPv4 address, or the /64 of an IPv6 address: one household has as many of the latter as
/// it likes.
fn rate_key(address: IpAddr) -> u64 {
    match address {
        // 0::/64 holds no address that a peer could have, so the two never meet.
        IpAddr::V4(address) => u64::from(address.to_bits()),
        IpAddr::V6(address) => u64::try_from(address.to_bits() >> 64).unwrap_or_default(),
    }
}

/// How many are in; each holds a [`SlotPermit`].
#[derive(Clone, Debug, Default)]
pub struct ConnectionSlots(Arc<AtomicUsize>);

impl ConnectionSlots {
    /// A place, if fewer than `most` are taken.
    pub fn enter(&self, most: usize) -> Option<SlotPermit> {
        self.0
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |count| {
                (count < most).then_some(count + 1)
            })
            .ok()
            .map(|_| SlotPermit(self.clone()))
    }
}

/// One place of a [`ConnectionSlots`], given back when it is dropped.
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
    fn an_allowance_is_used_up_and_comes_back_with_time() {
        let mut rates = RateLimiter::default();
        let peer_info = address("192.0.2.1");
        let start = Moment::from_secs(100);
        assert!((0..60).all(|_| rates.take(peer_info, 60, start)));
        assert!(!rates.take(peer_info, 60, start));
        assert!(rates.take(address("192.0.2.2"), 60, start));
        assert!(!rates.take(peer_info, 60, start + Duration::from_millis(999)));
        assert!(rates.take(peer_info, 60, start + Duration::from_secs(1)));
        assert!(!rates.take(peer_info, 60, start + Duration::from_secs(1)));
    }

    #[test]
    fn asking_often_does_not_keep_an_allowance_from_coming_back() {
        let mut rates = RateLimiter::default();
        let peer_info = address("192.0.2.1");
        assert!(rates.take(peer_info, 1, Moment::ZERO));
        let later = (1..=60_000).map(Moment::from_millis);
        assert_eq!(
            later.filter(|now| rates.take(peer_info, 1, *now)).count(),
            1
        );
    }

    #[test]
    fn a_household_of_ipv6_addresses_is_one_and_loopback_is_exempt() {
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
    fn a_flood_of_addresses_takes_no_more_memory_and_shares_one_allowance() {
        let mut rates = RateLimiter::default();
        let flood = |from: u32| (from..from + 10_000).map(|n| IpAddr::V4(n.into()));
        let start = 0x0a00_0000;
        let let_in = flood(start)
            .filter(|address| rates.take(*address, 2, Moment::ZERO))
            .count();
        assert_eq!((let_in, rates.buckets.len()), (ADDRESSES + 2, ADDRESSES));
        // A minute later those are forgotten, and others have an allowance of their own.
        assert!(rates.take(address("192.0.2.1"), 2, Moment::from_secs(60)));
        assert_eq!(rates.buckets.len(), 1);
    }

    #[test]
    fn a_place_comes_back_when_its_holder_goes() {
        let tally = ConnectionSlots::default();
        let place = tally.enter(1);
        assert!(place.is_some() && tally.enter(1).is_none());
        drop(place);
        assert!(tally.enter(1).is_some());
    }
}
