//! Where a link keeps its channels: fixed for a display, growing for a hub. Owns their places and
//! never decides what becomes of them.

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

/// One channel, and how far it has come on this connection.
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

/// Where a link keeps its channels: a display in a fixed room, a hub in one that grows.
pub trait Shelf: Clone + fmt::Debug + Default + Send + 'static {
    /// The channels wanted, as whoever wants them lists them.
    type Wanted: Clone + fmt::Debug + Default + PartialEq + Send + Sync + 'static;

    /// Each of the channels wanted.
    fn each(wanted: &Self::Wanted) -> impl Iterator<Item = &Channel>;
    /// Whether this is one of the channels wanted.
    fn includes(wanted: &Self::Wanted, channel: &Channel) -> bool;
    /// Where this channel stands.
    fn find(&self, kind: ChannelKind, ticker: &str) -> Option<usize>;
    /// Where the channel stands that an event on this one belongs to.
    fn covering(&self, kind: ChannelKind, ticker: &str) -> Option<usize> {
        self.find(kind, ticker)
    }
    /// All that is kept.
    fn slots(&self) -> &[ChannelEntry];
    /// All that is kept, to be moved on.
    fn slots_mut(&mut self) -> &mut [ChannelEntry];
    /// Keeps one more, which is not kept yet.
    fn put(&mut self, slot: ChannelEntry);
    /// Takes one out; another may come in its place.
    fn take(&mut self, at: usize) -> ChannelEntry;
    /// Drops what fails the test; the others stay in their order.
    fn retain(&mut self, test: impl FnMut(&ChannelEntry) -> bool);
}

/// A display's: never more than [`CHANNELS`] that are wanted, and nothing allocated.
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
        // Room for all that is wanted beside all that was; more changes than that within one
        // connection, none of them yet sent, give up the oldest unsent farewell.
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

/// The ticker of a channel that carries every instrument of its cluster, `V.*`.
pub const WILDCARD: &str = "*";

/// A hub's: as many as its clients want together (their number is limited where they come in),
/// and found at once, for every event of the feed looks its channel up.
#[derive(Clone, Debug, Default)]
pub struct Growing {
    slots: Vec<ChannelEntry>,
    /// Where each channel stands.
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
        // What is too long to be a ticker is nowhere.
        let ticker = Ticker::try_from(ticker).ok()?;
        self.places.get(&Channel { kind, ticker }).copied()
    }

    /// On a wildcard, events arrive under their real tickers.
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
