//! The storage for the channels of one connection: a fixed array for a display, and a growing list
//! for a hub. This module only stores the entries and never decides the next state of a
//! subscription.

use core::fmt;
use std::collections::{BTreeSet, HashMap};

use super::subscriptions::{CHANNELS, Channels};
use crate::market::{Channel, ChannelKind, Ticker};
use crate::time::Moment;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum SubscriptionState {
    Wanted,
    Asked { at: Moment, again: bool },
    Unanswered,
    Confirmed,
    Unwanted,
}

/// One channel and the state of its subscription on the current connection.
#[derive(Clone, Debug)]
pub struct ChannelEntry {
    pub(super) channel: Channel,
    pub(super) progress: SubscriptionState,
}

impl ChannelEntry {
    pub(super) fn new(channel: Channel) -> Self {
        Self {
            channel,
            progress: SubscriptionState::Wanted,
        }
    }
}

/// The storage for the channels of one connection. The storage of a display has a fixed size; the
/// storage of a hub grows.
pub trait Shelf: Clone + fmt::Debug + Default + Send + 'static {
    /// The type of the list of wanted channels.
    type Wanted: Clone + fmt::Debug + Default + PartialEq + Send + Sync + 'static;

    /// Returns an iterator over the wanted channels.
    fn each(wanted: &Self::Wanted) -> impl Iterator<Item = &Channel>;
    /// Returns true if the list of wanted channels contains this channel.
    fn includes(wanted: &Self::Wanted, channel: &Channel) -> bool;
    /// Returns the index of the entry for exactly this channel.
    fn find(&self, kind: ChannelKind, ticker: &str) -> Option<usize>;
    /// Returns the index of the entry for an event on this channel. The entry can be a wildcard.
    fn covering(&self, kind: ChannelKind, ticker: &str) -> Option<usize> {
        self.find(kind, ticker)
    }
    /// Returns all stored entries.
    fn slots(&self) -> &[ChannelEntry];
    /// Returns all stored entries, so that the caller can change their states.
    fn slots_mut(&mut self) -> &mut [ChannelEntry];
    /// Adds an entry. The storage must not contain the channel of the entry yet.
    fn put(&mut self, slot: ChannelEntry);
    /// Removes and returns the entry at index `at`, which must be valid. Another entry can move to
    /// this index.
    fn take(&mut self, at: usize) -> ChannelEntry;
    /// Removes all entries that fail the test. The other entries keep their order.
    fn retain(&mut self, test: impl FnMut(&ChannelEntry) -> bool);
}

/// The storage of a display, without memory allocation. The size is twice [`CHANNELS`], so that
/// removed and new subscriptions fit at the same time.
pub type Fixed = heapless::Vec<ChannelEntry, { 2 * CHANNELS }>;

impl Shelf for Fixed {
    type Wanted = Channels;

    fn each(wanted: &Channels) -> impl Iterator<Item = &Channel> {
        wanted.iter()
    }

    fn includes(wanted: &Channels, channel: &Channel) -> bool {
        wanted.contains(channel)
    }

    fn find(&self, kind: ChannelKind, ticker: &str) -> Option<usize> {
        self.iter()
            .position(|slot| slot.channel.kind == kind && slot.channel.ticker == ticker)
    }

    fn slots(&self) -> &[ChannelEntry] {
        self
    }

    fn slots_mut(&mut self) -> &mut [ChannelEntry] {
        self
    }

    fn put(&mut self, slot: ChannelEntry) {
        // The array has room for all wanted channels and all previously wanted channels. More
        // changes on one connection before the next send can fill the array. In that case, drop the
        // first unsubscribe request that was not sent yet.
        if self.is_full()
            && let Some(at) = self
                .iter()
                .position(|slot| slot.progress == SubscriptionState::Unwanted)
        {
            self.remove(at);
        }
        let kept = self.push(slot);
        debug_assert!(kept.is_ok(), "twice the room of what can be wanted");
    }

    fn take(&mut self, at: usize) -> ChannelEntry {
        self.swap_remove(at)
    }

    fn retain(&mut self, test: impl FnMut(&ChannelEntry) -> bool) {
        heapless::Vec::retain(self, test);
    }
}

/// The ticker of a wildcard channel such as `V.*`, which carries every instrument of its cluster.
pub const WILDCARD: &str = "*";

/// The storage of a hub. The size depends on the subscriptions of all clients; the hub limits the
/// number of subscriptions when a client requests them. The lookup uses a hash map, because each
/// event of the feed needs one lookup.
#[derive(Clone, Debug, Default)]
pub struct Growing {
    slots: Vec<ChannelEntry>,
    /// The index of each channel in `slots`.
    places: HashMap<Channel, usize>,
}

impl Shelf for Growing {
    type Wanted = BTreeSet<Channel>;

    fn each(wanted: &BTreeSet<Channel>) -> impl Iterator<Item = &Channel> {
        wanted.iter()
    }

    fn includes(wanted: &BTreeSet<Channel>, channel: &Channel) -> bool {
        wanted.contains(channel)
    }

    fn find(&self, kind: ChannelKind, ticker: &str) -> Option<usize> {
        // A text that is too long for a ticker matches no channel.
        let ticker = Ticker::try_from(ticker).ok()?;
        self.places.get(&Channel { kind, ticker }).copied()
    }

    /// An event of a wildcard subscription contains its real ticker, so the lookup falls back to
    /// the wildcard.
    fn covering(&self, kind: ChannelKind, ticker: &str) -> Option<usize> {
        self.find(kind, ticker)
            .or_else(|| self.find(kind, WILDCARD))
    }

    fn slots(&self) -> &[ChannelEntry] {
        &self.slots
    }

    fn slots_mut(&mut self) -> &mut [ChannelEntry] {
        &mut self.slots
    }

    fn put(&mut self, slot: ChannelEntry) {
        self.places.insert(slot.channel.clone(), self.slots.len());
        self.slots.push(slot);
    }

    fn take(&mut self, at: usize) -> ChannelEntry {
        let slot = self.slots.swap_remove(at);
        self.places.remove(&slot.channel);
        if let Some(moved) = self.slots.get(at) {
            self.places.insert(moved.channel.clone(), at);
        }
        slot
    }

    fn retain(&mut self, test: impl FnMut(&ChannelEntry) -> bool) {
        self.slots.retain(test);
        self.places = self
            .slots
            .iter()
            .enumerate()
            .map(|(at, slot)| (slot.channel.clone(), at))
            .collect();
    }
}
