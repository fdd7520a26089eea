//! The connections that have not authenticated yet, and the request rates of addresses and devices.
//! Decides which of these connections must make way for a new one. Never reads a clock and never
//! closes a connection itself.
//!
//! A client without a token counts for its address, and a device counts for itself. Therefore
//! displays behind one NAT router do not use up the allowance of each other.

use std::collections::{BTreeMap, HashMap};
use std::net::IpAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;

use super::limits::{RateLimiter, SlotPermit};
use crate::hub::auth::registry::{Device, STATIC};
use crate::hub::auth::sessions::DeviceSession;
use crate::hub::metrics::Metrics;
use crate::time::Moment;

/// The maximum number of addresses with an allowance of their own.
const ADDRESSES: usize = 4096;
/// The maximum number of devices with an allowance of their own, which is more than the maximum
/// size of a device registry.
const DEVICES: usize = 1 << 16;

/// The part of all unauthenticated connections that one address may have.
const SHARE: u64 = 4;

/// The connection between the client and the hub: direct, or through a proxy.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Via {
    Direct,
    TrustedProxy,
    /// The request has the headers of a reverse proxy, but the peer is no trusted proxy. The
    /// address of the client is then unknown.
    UnknownProxy,
}

/// Returns the number of unauthenticated connections that one address may have.
fn share_of(most: u64) -> u64 {
    (most / SHARE).max(1)
}

/// The address of a client, as far as the hub knows it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Origin {
    /// The address of the client, or of an unknown proxy; `None` if a trusted proxy did not send a
    /// valid address.
    pub(crate) address: Option<IpAddr>,
    pub(crate) via: Via,
}

impl Origin {
    /// The origin of a connection without a reverse proxy.
    pub(crate) fn direct(peer: IpAddr) -> Self {
        Self {
            address: Some(peer.to_canonical()),
            via: Via::Direct,
        }
    }

    /// Returns true if the client is a program on this machine. A program has no rate limit,
    /// because many clients can share its address (the demo, a benchmark).
    pub(crate) fn is_this_machine(self) -> bool {
        self.via == Via::Direct && self.address.is_some_and(|address| address.is_loopback())
    }

    /// Returns true if the client is on this machine or in a private network.
    pub(crate) fn is_private(self) -> bool {
        match self.address {
            _ if self.via == Via::UnknownProxy => false,
            Some(IpAddr::V4(address)) => {
                address.is_loopback() || address.is_private() || address.is_link_local()
            }
            Some(IpAddr::V6(address)) => {
                address.is_loopback()
                    || address.is_unique_local()
                    || address.is_unicast_link_local()
            }
            None => false,
        }
    }

    /// Returns the key of the address: the IPv4 address or the /64 prefix of the IPv6 address,
    /// because one household can use all IPv6 addresses of a /64 prefix. All clients with an
    /// unknown address have the same key.
    pub(crate) fn key(self) -> u64 {
        match self.address {
            // No peer has an address in the prefix `::/64` except loopback, so an IPv4 key never
            // equals another IPv6 key.
            Some(IpAddr::V4(address)) => u64::from(address.to_bits()),
            Some(IpAddr::V6(address)) => (address.to_bits() >> 64) as u64,
            None => u64::MAX,
        }
    }
}

impl std::fmt::Display for Origin {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.address {
            Some(address) => address.fmt(f),
            None => f.write_str("(unknown address behind the proxy)"),
        }
    }
}

/// The admission of connections. All clones share the same state.
#[derive(Clone, Debug)]
pub(crate) struct Admission(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    state: Mutex<State>,
    metrics: Arc<Metrics>,
}

#[derive(Debug)]
struct State {
    /// The unauthenticated connections of each address, oldest first.
    entrances: HashMap<u64, BTreeMap<u64, Arc<Notify>>>,
    count: u64,
    /// The number of connections since the start.
    number: u64,
    strangers: RateLimiter<u64>,
    devices: RateLimiter<Device>,
}

impl Shared {
    /// Locks the state. A poisoned lock is safe to use, because a panic cannot leave the state
    /// half-changed.
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn held(&self, key: u64) -> u64 {
        let held = self.entrances.get(&key);
        held.map_or(0, |held| held.len() as u64)
    }

    /// Removes a connection. Returns its notification; `None` if the connection was removed before.
    fn remove(&mut self, key: u64, number: u64) -> Option<Arc<Notify>> {
        let held = self.entrances.get_mut(&key)?;
        let removed = held.remove(&number)?;
        if held.is_empty() {
            self.entrances.remove(&key);
        }
        self.count -= 1;
        Some(removed)
    }

    /// Returns the oldest connection of the address with the most connections.
    fn next_to_evict(&self) -> Option<(u64, u64)> {
        let oldest = |held: &BTreeMap<u64, Arc<Notify>>| held.keys().next().copied();
        self.entrances
            .iter()
            .filter_map(|(key, held)| Some((held.len(), *key, oldest(held)?)))
            .max_by_key(|&(length, _, oldest)| (length, std::cmp::Reverse(oldest)))
            .map(|(_, key, oldest)| (key, oldest))
    }
}

impl Admission {
    pub(crate) fn new(metrics: Arc<Metrics>) -> Self {
        Self(Arc::new(Shared {
            state: Mutex::new(State {
                entrances: HashMap::new(),
                count: 0,
                number: 0,
                strangers: RateLimiter::new(ADDRESSES),
                devices: RateLimiter::new(DEVICES),
            }),
            metrics,
        }))
    }

    /// Adds a new connection from this peer. `most` is the limit for all unauthenticated
    /// connections together. `is_proxy` is true for a trusted reverse proxy, which may use the
    /// whole limit. Returns `None` if the peer already has its full share. If the limit is reached,
    /// the oldest connection of the address with the most connections must make way.
    pub(crate) fn enter(
        &self,
        peer: Origin,
        is_proxy: bool,
        most: u64,
        per_minute: u64,
    ) -> Option<UnauthenticatedSlot> {
        let key = peer.key();
        let share = if is_proxy { u64::MAX } else { share_of(most) };
        let mut state = self.0.lock();
        if state.held(key) >= share {
            self.0.metrics.refused_unauthenticated.add(1);
            return None;
        }
        while state.count >= most {
            let (key, number) = state.next_to_evict()?;
            state.remove(key, number)?.notify_one();
            self.0.metrics.evicted_unauthenticated.add(1);
            self.0.metrics.unauthenticated_connections.sub(1);
        }
        state.number += 1;
        state.count += 1;
        let number = state.number;
        let evicted = Arc::new(Notify::new());
        let held = state.entrances.entry(key).or_default();
        held.insert(number, evicted.clone());
        self.0.metrics.unauthenticated_connections.add(1);
        Some(UnauthenticatedSlot(Arc::new(Inner {
            shared: self.0.clone(),
            key: AtomicU64::new(key),
            number,
            evicted,
            per_minute,
            charge: Mutex::new(Charge::None),
        })))
    }
}

/// The place of one connection that has not authenticated yet. All clones are the same place. The
/// drop of the last clone frees the place.
#[derive(Clone, Debug)]
pub struct UnauthenticatedSlot(Arc<Inner>);

/// The state of the rate limit for the first request of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Charge {
    /// The request has not been counted, or the address has no rate limit.
    None,
    /// The request is counted in the allowance of the address with this key.
    Taken(u64),
    /// The allowance of the address is used up.
    Over,
}

#[derive(Debug)]
struct Inner {
    shared: Arc<Shared>,
    /// The key of the client's address; see [`Origin::key`].
    key: AtomicU64,
    number: u64,
    evicted: Arc<Notify>,
    per_minute: u64,
    charge: Mutex<Charge>,
}

impl UnauthenticatedSlot {
    /// Waits until this connection must make way for another connection.
    pub(crate) async fn evicted(&self) {
        self.0.evicted.notified().await;
    }

    /// Counts the request for its address, unless it is already counted. Returns false if the
    /// allowance of the address is used up.
    pub(crate) fn charge(&self, origin: Origin, now: Moment) -> bool {
        let mut charge = self.0.lock_charge();
        if *charge == Charge::None && !origin.is_this_machine() {
            let key = origin.key();
            let mut state = self.0.shared.lock();
            *charge = match state.strangers.take(key, self.0.per_minute, now) {
                true => Charge::Taken(key),
                false => Charge::Over,
            };
        }
        *charge != Charge::Over
    }

    /// Counts a further request on the same connection for its address. Returns false if the
    /// allowance of the address is used up.
    pub(crate) fn charge_again(&self, origin: Origin, now: Moment) -> bool {
        *self.0.lock_charge() = Charge::None;
        self.charge(origin, now)
    }

    /// Moves a connection from a proxy to the address of its client. Returns false if this address
    /// already has its full share of the connections.
    pub(crate) fn belongs_to(&self, origin: Origin, most: u64) -> bool {
        let key = origin.key();
        let before = self.0.key.load(Ordering::Relaxed);
        if key == before {
            return true;
        }
        let mut state = self.0.shared.lock();
        if state.held(key) >= share_of(most) {
            self.0.shared.metrics.refused_unauthenticated.add(1);
            return false;
        }
        if let Some(evicted) = state.remove(before, self.0.number) {
            state.count += 1;
            let held = state.entrances.entry(key).or_default();
            held.insert(self.0.number, evicted);
            self.0.key.store(key, Ordering::Relaxed);
        }
        true
    }

    /// Removes the connection from the unauthenticated ones, and counts it for its device instead
    /// of its address. Returns false if the allowance is used up. The static token belongs to no
    /// device, so a client with this token still counts for its address.
    pub(crate) fn authenticated(&self, device: &Device, now: Moment) -> bool {
        self.0.free();
        let charge = *self.0.lock_charge();
        if **device == *STATIC || charge == Charge::None {
            return charge != Charge::Over;
        }
        *self.0.lock_charge() = Charge::None;
        let mut state = self.0.shared.lock();
        if let Charge::Taken(key) = charge {
            state.strangers.give_back(&key);
        }
        state.devices.take(device.clone(), self.0.per_minute, now)
    }
}

impl Inner {
    fn lock_charge(&self) -> MutexGuard<'_, Charge> {
        self.charge.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn free(&self) {
        let key = self.key.load(Ordering::Relaxed);
        if self.shared.lock().remove(key, self.number).is_some() {
            self.shared.metrics.unauthenticated_connections.sub(1);
        }
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        self.free();
    }
}

/// The place of a connection that the hub keeps for the next REST request of a device. The drop of
/// this value makes the place free.
#[derive(Debug)]
pub(crate) struct KeptConnection {
    session: DeviceSession,
    _slot: SlotPermit,
}

impl KeptConnection {
    pub(crate) const fn new(session: DeviceSession, slot: SlotPermit) -> Self {
        Self {
            session,
            _slot: slot,
        }
    }

    /// Returns the device whose share contains the connection.
    pub(crate) const fn device(&self) -> &Device {
        self.session.device()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    fn from(text: &str) -> Origin {
        Origin::direct(text.parse().unwrap())
    }

    fn admission() -> (Admission, Arc<Metrics>) {
        let metrics = Arc::new(Metrics::default());
        (Admission::new(metrics.clone()), metrics)
    }

    fn is_evicted(unauthenticated_slot: &UnauthenticatedSlot) -> bool {
        use futures_util::FutureExt;
        unauthenticated_slot.evicted().now_or_never().is_some()
    }

    #[test]
    fn one_address_has_at_most_a_quarter_of_the_unauthenticated_connections() {
        let (admission, metrics) = admission();
        let enter = |address: &str| admission.enter(from(address), false, 256, 9);
        let mut held: Vec<_> = (0..900).map_while(|_| enter("192.0.2.1")).collect();
        assert_eq!(held.len(), 64);
        assert!(enter("192.0.2.2").is_some() && enter("2001:db8::1").is_some());
        assert_eq!(metrics.refused_unauthenticated.value(), 1);
        held.pop();
        assert!(enter("192.0.2.1").is_some());
        drop(held);
        assert_eq!(metrics.unauthenticated_connections.value(), 0);
    }

    #[test]
    fn the_oldest_connection_of_the_fullest_address_makes_way() {
        let (admission, metrics) = admission();
        let enter = |address: &str| admission.enter(from(address), false, 8, 9).unwrap();
        let (first, second) = (enter("192.0.2.1"), enter("192.0.2.2"));
        let third = enter("192.0.2.2");
        let others: Vec<_> = (3..8).map(|n| enter(&format!("192.0.2.{n}"))).collect();
        let new = enter("192.0.2.9");
        assert!(is_evicted(&second));
        assert_eq!(metrics.unauthenticated_connections.value(), 8);
        // All addresses now have one connection, so the oldest of all makes way.
        let newest = enter("192.0.2.10");
        assert!(is_evicted(&first) && !is_evicted(&third) && !is_evicted(&new));
        assert_eq!(metrics.evicted_unauthenticated.value(), 2);
        drop((first, second, third, others, new, newest));
        assert_eq!(metrics.unauthenticated_connections.value(), 0);
    }

    #[test]
    fn devices_behind_one_address_count_for_themselves_and_strangers_for_the_address() {
        let (admission, _) = admission();
        let enter = || admission.enter(from("192.0.2.1"), false, 999, 2).unwrap();
        let now = Moment::from_secs(9);
        let device = |name: &str| -> bool {
            let unauthenticated_slot = enter();
            unauthenticated_slot.charge(from("192.0.2.1"), now);
            unauthenticated_slot.authenticated(&name.into(), now)
        };
        assert!((0..9).all(|n| device(&n.to_string()) && device(&n.to_string())));
        assert!(!device("3"));
        let stranger = || enter().charge(from("192.0.2.1"), now);
        assert!(stranger() && stranger() && !stranger());
        // The static token counts for the address, and a device is still accepted.
        assert!(!device(STATIC) && device("kitchen"));
    }

    #[test]
    fn all_addresses_of_an_ipv6_network_are_one_address_and_only_this_machine_has_no_limit() {
        let (admission, _) = admission();
        let charge = |origin: Origin| {
            let unauthenticated_slot = admission.enter(origin, true, 999, 1).unwrap();
            unauthenticated_slot.charge(origin, Moment::ZERO)
        };
        assert!(charge(from("2001:db8::1")) && !charge(from("2001:db8::2")));
        assert!(charge(from("2001:db8:0:1::2")));
        assert!(charge(from("192.0.2.1")) && !charge(from("::ffff:192.0.2.1")));
        for local in ["127.0.0.1", "::1", "::ffff:127.0.0.1"] {
            assert!((0..9).all(|_| charge(from(local))));
        }
        for via in [Via::TrustedProxy, Via::UnknownProxy] {
            let address = Some("127.0.0.2".parse().unwrap());
            let proxied = Origin { address, via };
            charge(proxied);
            assert!(!charge(proxied));
        }
    }

    #[test]
    fn a_connection_from_a_proxy_belongs_to_the_address_of_its_client() {
        let (admission, metrics) = admission();
        let proxy = from("127.0.0.1");
        let client = Origin {
            address: Some("198.51.100.1".parse().unwrap()),
            via: Via::TrustedProxy,
        };
        let enter = || admission.enter(proxy, true, 8, 9).unwrap();
        let held = [enter(), enter(), enter()];
        assert!(held[0].belongs_to(client, 8) && held[1].belongs_to(client, 8));
        assert!(!held[2].belongs_to(client, 8));
        drop(held);
        assert_eq!(metrics.unauthenticated_connections.value(), 0);
        let held: Vec<_> = (0..20).map(|_| enter()).collect();
        assert_eq!(
            held.iter()
                .filter(|unauthenticated_slot| is_evicted(unauthenticated_slot))
                .count(),
            12
        );
        assert!(held[19].authenticated(&"kitchen".into(), Moment::ZERO + Duration::ZERO));
        assert_eq!(metrics.unauthenticated_connections.value(), 7);
    }
}
