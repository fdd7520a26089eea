//! The subscriptions of all clients of one cluster together. Owns the number of subscribers of each
//! channel, the confirmations of the vendor, and the expiry time of channels without subscribers;
//! never reads a clock.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::time::Duration;

use super::delivery::ClientSlot;
use crate::hub::Interest;
use crate::hub::auth::registry::Device;
use crate::market::{Channel, ChannelKind};
use crate::time::Moment;

/// The duration for which the upstream keeps a channel without subscribers. A display that restarts
/// or returns to a page within this duration gets the last value of the channel at once.
const LINGER: Duration = Duration::from_secs(5);

/// One channel in the union of the subscriptions.
#[derive(Debug, Default)]
struct Subscribed {
    /// The number of subscribers of each device; `None` for clients without a device.
    subscribers: BTreeMap<Option<Device>, usize>,
    /// The device whose share contains the channel: the first device that requested the channel, and
    /// after its last subscriber another device that still wants the channel.
    owner: Option<Device>,
    /// True if the vendor has confirmed the channel on the current connection.
    is_confirmed: bool,
    /// The subscribers that have no confirmation yet.
    waiting: BTreeSet<ClientSlot>,
}

/// A channel without subscribers, which the upstream still has.
#[derive(Debug)]
struct Lingering {
    until: Moment,
    owner: Option<Device>,
    is_confirmed: bool,
}

/// The number of channels and of contracts with quotes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct ChannelCounts {
    pub(crate) channels: usize,
    pub(crate) contracts: usize,
}

/// The union of the subscriptions of all clients.
#[derive(Debug, Default)]
pub(crate) struct ClientSubscriptions {
    subscribed: HashMap<Channel, Subscribed>,
    lingering: HashMap<Channel, Lingering>,
    /// The confirmed channels that were removed and that the upstream still has. The vendor would not
    /// confirm them a second time.
    leaving: HashSet<Channel>,
    owned: HashMap<Device, ChannelCounts>,
    contracts: usize,
    /// The number of subscribers without a confirmation, of all channels together.
    waiting: usize,
}

/// Returns true for the quotes of a contract. The vendor limits the number of these channels.
pub(crate) fn is_contract(channel: &Channel) -> bool {
    channel.kind == ChannelKind::Quote && channel.ticker.starts_with("O:")
}

impl ClientSubscriptions {
    /// Adds one subscriber to a channel. A new channel belongs to the share of the device.
    pub(crate) fn add(
        &mut self,
        channel: &Channel,
        client_slot: ClientSlot,
        device: Option<&Device>,
    ) {
        let lingering = self.lingering.remove(channel);
        let was_confirmed = lingering.as_ref().is_some_and(|before| before.is_confirmed)
            || self.leaving.remove(channel);
        if let Some(before) = lingering {
            self.disown(channel, before.owner);
        }
        let subscribed = self.subscribed.entry(channel.clone()).or_default();
        let is_new = subscribed.subscribers.is_empty();
        *subscribed.subscribers.entry(device.cloned()).or_default() += 1;
        subscribed.is_confirmed |= was_confirmed;
        if !subscribed.is_confirmed && subscribed.waiting.insert(client_slot) {
            self.waiting += 1;
        }
        if is_new {
            subscribed.owner = device.cloned();
            self.own(channel, device);
        }
    }

    /// Removes one subscriber from a channel. The upstream keeps a channel without subscribers for
    /// the duration `LINGER`.
    pub(crate) fn remove(
        &mut self,
        channel: &Channel,
        client_slot: ClientSlot,
        device: Option<&Device>,
        now: Moment,
    ) {
        let Some(subscribed) = self.subscribed.get_mut(channel) else {
            return;
        };
        if subscribed.waiting.remove(&client_slot) {
            self.waiting -= 1;
        }
        let device = device.cloned();
        if let Some(count) = subscribed.subscribers.get_mut(&device) {
            *count -= 1;
            if *count == 0 {
                subscribed.subscribers.remove(&device);
            }
        }
        // `None` is the smallest key, so a device has priority over clients without a device.
        let Some(next) = subscribed.subscribers.keys().next_back().cloned() else {
            let lingering = Lingering {
                until: now + LINGER,
                owner: subscribed.owner.take(),
                is_confirmed: subscribed.is_confirmed,
            };
            self.subscribed.remove(channel);
            self.lingering.insert(channel.clone(), lingering);
            return;
        };
        if !subscribed.subscribers.contains_key(&subscribed.owner) {
            let before = std::mem::replace(&mut subscribed.owner, next.clone());
            self.disown(channel, before);
            self.own(channel, next.as_ref());
        }
    }

    /// Adds a channel to the share of a device.
    fn own(&mut self, channel: &Channel, owner: Option<&Device>) {
        let contracts = usize::from(is_contract(channel));
        self.contracts += contracts;
        if let Some(owner) = owner {
            let owned = self.owned.entry(owner.clone()).or_default();
            owned.channels += 1;
            owned.contracts += contracts;
        }
    }

    /// Notes that the vendor has confirmed a channel. Returns the subscribers that have waited for
    /// the confirmation.
    pub(crate) fn confirm(&mut self, channel: &Channel) -> BTreeSet<ClientSlot> {
        if let Some(lingering) = self.lingering.get_mut(channel) {
            lingering.is_confirmed = true;
        }
        let Some(subscribed) = self.subscribed.get_mut(channel) else {
            return BTreeSet::new();
        };
        subscribed.is_confirmed = true;
        let waiting = std::mem::take(&mut subscribed.waiting);
        self.waiting -= waiting.len();
        waiting
    }

    /// Notes that the upstream has cancelled the subscription to a channel. A channel that was
    /// requested again before needs a new confirmation.
    pub(crate) fn unsubscribed(&mut self, channel: &Channel) {
        self.leaving.remove(channel);
        if let Some(subscribed) = self.subscribed.get_mut(channel) {
            subscribed.is_confirmed = false;
        }
        if let Some(lingering) = self.lingering.get_mut(channel) {
            lingering.is_confirmed = false;
        }
    }

    /// Returns true if the vendor has confirmed this channel on the current connection.
    pub(crate) fn is_confirmed(&self, channel: &Channel) -> bool {
        let subscribed = self.subscribed.get(channel).map(|held| held.is_confirmed);
        let lingering = || self.lingering.get(channel).map(|held| held.is_confirmed);
        let is_confirmed = subscribed.or_else(lingering);
        is_confirmed.unwrap_or_else(|| self.leaving.contains(channel))
    }

    /// Returns true if a subscriber waits for a confirmation.
    pub(crate) const fn is_anyone_waiting(&self) -> bool {
        self.waiting > 0
    }

    /// Forgets the confirmations after the end of the connection to the vendor.
    pub(crate) fn forget_confirmations(&mut self) {
        for subscribed in self.subscribed.values_mut() {
            subscribed.is_confirmed = false;
        }
        for lingering in self.lingering.values_mut() {
            lingering.is_confirmed = false;
        }
        self.leaving.clear();
    }

    /// Removes a channel from the share of its device.
    fn disown(&mut self, channel: &Channel, owner: Option<Device>) {
        let contracts = usize::from(is_contract(channel));
        self.contracts -= contracts;
        let Some(owner) = owner else { return };
        if let Some(owned) = self.owned.get_mut(&owner) {
            owned.channels -= 1;
            owned.contracts -= contracts;
            if owned.channels == 0 {
                self.owned.remove(&owner);
            }
        }
    }

    /// Returns the number of channels and contracts of all clients.
    pub(crate) fn counts(&self) -> ChannelCounts {
        ChannelCounts {
            channels: self.len(),
            contracts: self.contracts,
        }
    }

    /// Returns the number of channels and contracts in the share of a device.
    pub(crate) fn counts_of(&self, device: &Device) -> ChannelCounts {
        self.owned.get(device).copied().unwrap_or_default()
    }

    /// Removes the channels that have had no subscriber for the duration `LINGER`. Returns true if
    /// at least one channel was removed.
    pub(crate) fn expire(&mut self, now: Moment) -> bool {
        let expired: Vec<_> = self
            .lingering
            .extract_if(|_, lingering| lingering.until <= now)
            .collect();
        let is_any = !expired.is_empty();
        for (channel, lingering) in expired {
            self.disown(&channel, lingering.owner);
            if lingering.is_confirmed {
                self.leaving.insert(channel);
            }
        }
        is_any
    }

    /// Returns true if at least one channel without subscribers waits for its removal.
    pub(crate) fn is_lingering(&self) -> bool {
        !self.lingering.is_empty()
    }

    /// Returns the number of channels. The number includes channels without subscribers until their
    /// removal, because these channels cost the same.
    pub(crate) fn len(&self) -> usize {
        self.subscribed.len() + self.lingering.len()
    }

    /// Returns true if the set contains exactly this channel. A wildcard does not count.
    pub(crate) fn contains(&self, channel: &Channel) -> bool {
        self.subscribed.contains_key(channel) || self.lingering.contains_key(channel)
    }

    /// Returns the channels that the upstream must subscribe to.
    pub(crate) fn interest(&self) -> Interest {
        self.subscribed
            .keys()
            .chain(self.lingering.keys())
            .cloned()
            .collect()
    }

    /// Returns true if the upstream subscribes to this channel by name or by wildcard.
    pub(crate) fn covers(&self, channel: &Channel) -> bool {
        self.contains(channel) || self.contains(&Channel::wildcard(channel.kind))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_channel_is_kept_for_five_seconds_after_its_last_client_leaves() {
        let spx = Channel::parse("V.I:SPX").unwrap();
        let mut wanted = ClientSubscriptions::default();
        wanted.add(&spx, 0, None);
        wanted.add(&spx, 0, None);
        wanted.remove(&spx, 0, None, Moment::from_secs(1));
        assert!(!wanted.is_lingering());
        wanted.remove(&spx, 0, None, Moment::from_secs(2));
        assert!(wanted.is_lingering() && wanted.len() == 1);
        assert!(!wanted.expire(Moment::from_secs(6)) && wanted.covers(&spx));
        assert!(wanted.expire(Moment::from_secs(7)) && wanted.interest().is_empty());
        assert!(!wanted.is_lingering() && wanted.len() == 0);
    }

    #[test]
    fn a_client_that_returns_in_time_keeps_the_channel() {
        let all = Channel::parse("V.*").unwrap();
        let mut wanted = ClientSubscriptions::default();
        wanted.add(&all, 0, None);
        wanted.remove(&all, 0, None, Moment::ZERO);
        wanted.add(&all, 0, None);
        assert!(!wanted.expire(Moment::from_secs(60)));
        assert!(wanted.covers(&Channel::parse("V.I:VIX").unwrap()));
        assert!(!wanted.covers(&Channel::parse("AM.I:VIX").unwrap()));
    }

    #[test]
    fn a_channel_belongs_to_a_device_that_wants_it_or_wanted_it_last() {
        let quote = Channel::parse("Q.O:SPY251219C00650000").unwrap();
        let (kitchen, hallway): (Device, Device) = ("kitchen".into(), "hallway".into());
        let mut wanted = ClientSubscriptions::default();
        let one = ChannelCounts {
            channels: 1,
            contracts: 1,
        };
        let none = ChannelCounts::default();
        let shares = |wanted: &ClientSubscriptions| {
            let of = |device| wanted.counts_of(device);
            (wanted.counts(), of(&kitchen), of(&hallway))
        };
        wanted.add(&quote, 0, Some(&kitchen));
        wanted.add(&quote, 0, Some(&kitchen));
        wanted.add(&quote, 0, Some(&hallway));
        wanted.remove(&quote, 0, Some(&kitchen), Moment::ZERO);
        assert_eq!(shares(&wanted), (one, one, none));
        wanted.remove(&quote, 0, Some(&kitchen), Moment::ZERO);
        assert_eq!(shares(&wanted), (one, none, one));
        // The channel costs the same until the upstream drops the channel.
        wanted.remove(&quote, 0, Some(&hallway), Moment::ZERO);
        assert_eq!(shares(&wanted), (one, none, one));
        wanted.add(&quote, 0, Some(&kitchen));
        wanted.add(&quote, 0, None);
        assert_eq!(shares(&wanted), (one, one, none));
        wanted.remove(&quote, 0, Some(&kitchen), Moment::ZERO);
        assert_eq!(shares(&wanted), (one, none, none));
        wanted.remove(&quote, 0, None, Moment::ZERO);
        assert!(wanted.expire(Moment::from_secs(9)));
        assert_eq!(shares(&wanted), (none, none, none));
    }

    #[test]
    fn each_subscriber_gets_one_confirmation_and_only_from_the_current_connection() {
        let spx = Channel::parse("V.I:SPX").unwrap();
        let mut wanted = ClientSubscriptions::default();
        wanted.add(&spx, 1, None);
        wanted.add(&spx, 2, None);
        wanted.add(&spx, 3, None);
        wanted.remove(&spx, 2, None, Moment::ZERO);
        assert!(!wanted.is_confirmed(&spx) && wanted.is_anyone_waiting());
        assert_eq!(wanted.confirm(&spx), BTreeSet::from([1, 3]));
        assert_eq!(wanted.confirm(&spx), BTreeSet::new());
        assert!(wanted.is_confirmed(&spx) && !wanted.is_anyone_waiting());
        // A channel without subscribers keeps its confirmation.
        wanted.remove(&spx, 1, None, Moment::ZERO);
        wanted.remove(&spx, 3, None, Moment::ZERO);
        wanted.add(&spx, 4, None);
        assert!(wanted.is_confirmed(&spx) && !wanted.is_anyone_waiting());
        // The upstream has not cancelled the subscription yet.
        wanted.remove(&spx, 4, None, Moment::ZERO);
        assert!(wanted.expire(Moment::from_secs(5)) && wanted.interest().is_empty());
        wanted.add(&spx, 4, None);
        assert!(wanted.is_confirmed(&spx) && !wanted.is_anyone_waiting());
        // The upstream cancels the subscription, and requests the channel again.
        wanted.unsubscribed(&spx);
        wanted.add(&spx, 6, None);
        assert_eq!(wanted.confirm(&spx), BTreeSet::from([6]));
        wanted.remove(&spx, 6, None, Moment::ZERO);
        wanted.remove(&spx, 4, None, Moment::ZERO);
        wanted.expire(Moment::from_secs(5));
        wanted.unsubscribed(&spx);
        assert!(!wanted.is_confirmed(&spx));
        wanted.add(&spx, 4, None);
        assert_eq!(wanted.confirm(&spx), BTreeSet::from([4]));
        wanted.forget_confirmations();
        wanted.add(&spx, 5, None);
        assert_eq!(wanted.confirm(&spx), BTreeSet::from([5]));
    }
}
