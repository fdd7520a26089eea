//! What is newest on each channel, and how far each client has seen. Owns no socket and reads no
//! clock: what it repeats says how old it is, by the time it is told. A slow client costs no memory: nothing is queued for it but trades, and those once for
//! all clients; what it missed of the rest is made from the newest when it reads again.
//!
//! Clients with the same channels stand in one group. A frame is made once for all in a group who
//! have seen the same, which is all of them that keep up.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;

use super::conflation;
use super::conflation::FrameCache;
use crate::hub::Arrival;
use crate::market::{Channel, ChannelKind, Ticker};
use crate::time::Moment;

/// A client's place in the room.
pub type ClientSlot = usize;

/// Whether a topic, which may be a wildcard like `V.*`, means this channel.
pub fn covers(topic: &Channel, channel: &Channel) -> bool {
    topic.kind == channel.kind && (topic.ticker == channel.ticker || is_wildcard(topic))
}

/// All channels of a kind, `V.*`.
pub(crate) fn wildcard(kind: ChannelKind) -> Channel {
    let mut ticker = Ticker::new();
    // One character always fits.
    let _ = ticker.push('*');
    Channel { kind, ticker }
}

fn is_wildcard(topic: &Channel) -> bool {
    topic.ticker == "*"
}

/// What became of an event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PublishOutcome {
    /// It is the newest.
    Kept,
    /// It is the newest, and the one before it had not been sent to everybody.
    Replaced,
    /// Nobody wants it.
    Unwanted,
}

/// What to do with a client after it has been given something.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DeliveryOutcome {
    /// It can take more.
    All,
    /// It cannot until [`LastValueCache::release`].
    Enough,
}

/// What a sweep says of one client.
#[derive(Debug)]
pub enum Delivery<'a> {
    /// Frames, to be written as they are, and how many they are.
    Frames(&'a [u8], u64),
    /// It has let too many trades wait.
    TooSlow,
}

/// One channel; `json` is empty until something came. Its buffer is used again for each event.
#[derive(Debug)]
pub(crate) struct ChannelSlot {
    channel: Channel,
    pub(crate) seq: u64,
    pub(crate) json: Vec<u8>,
    pub(crate) arrival: Arrival,
    groups: Vec<usize>,
}

/// One trade, for all who want it.
#[derive(Debug)]
pub(crate) struct QueuedTrade {
    pub(crate) seq: u64,
    pub(crate) slot: usize,
    pub(crate) json: Box<[u8]>,
    pub(crate) arrival: Arrival,
}

#[derive(Debug, Default)]
struct Group {
    topics: Arc<[Channel]>,
    /// The slots that the topics cover; sorted.
    slots: Vec<usize>,
    members: Vec<ClientSlot>,
    dirty: bool,
    /// Trades on its channels so far.
    trades: u64,
}

#[derive(Clone, Copy, Debug)]
struct Member {
    group: usize,
    /// Its index among the members of the group.
    place: usize,
    seen: u64,
    /// How many of the group's trades it has had.
    trades: u64,
    held: bool,
}

/// The newest of each channel, and who has seen it.
#[derive(Debug)]
pub struct LastValueCache {
    slots: Vec<ChannelSlot>,
    free_slots: Vec<usize>,
    by_channel: HashMap<Channel, usize>,
    groups: Vec<Group>,
    free_groups: Vec<usize>,
    by_topics: HashMap<Arc<[Channel]>, usize>,
    /// The groups that hold a kind's wildcard. Who holds a channel by its name is found in its
    /// slot: there is one as long as anybody holds it.
    wildcard_groups: HashMap<ChannelKind, Vec<usize>>,
    members: Vec<Option<Member>>,
    free_client_slots: Vec<ClientSlot>,
    /// Oldest first; empty while nobody is held.
    trades: VecDeque<QueuedTrade>,
    /// Trades waiting for one client; one more and it is too slow.
    trade_limit: usize,
    /// Trades since everybody who can was last given them.
    pending_trades: usize,
    held: usize,
    seq: u64,
    swept: u64,
    dirty: Vec<usize>,
    frames: FrameCache,
}

impl LastValueCache {
    /// An empty room in which a client may let so many trades wait.
    pub fn new(trade_limit: usize) -> Self {
        Self {
            slots: Vec::new(),
            free_slots: Vec::new(),
            by_channel: HashMap::new(),
            // The first group is of those who want nothing.
            groups: vec![Group::default()],
            free_groups: Vec::new(),
            by_topics: HashMap::from([(Arc::default(), 0)]),
            wildcard_groups: HashMap::new(),
            members: Vec::new(),
            free_client_slots: Vec::new(),
            trades: VecDeque::new(),
            trade_limit: trade_limit.max(1),
            pending_trades: 0,
            held: 0,
            seq: 0,
            swept: 0,
            dirty: Vec::new(),
            frames: FrameCache::default(),
        }
    }

    /// Somebody comes in, and wants nothing yet.
    pub fn join(&mut self) -> ClientSlot {
        let client_slot = self.free_client_slots.pop().unwrap_or_else(|| {
            self.members.push(None);
            self.members.len() - 1
        });
        let place = self.groups[0].members.len();
        self.groups[0].members.push(client_slot);
        self.members[client_slot] = Some(Member {
            group: 0,
            place,
            seen: self.seq,
            trades: self.groups[0].trades,
            held: false,
        });
        client_slot
    }

    /// Somebody leaves; the seat is free for the next.
    pub fn leave(&mut self, client_slot: ClientSlot) {
        let Some(member) = self.members[client_slot].take() else {
            return;
        };
        self.held -= usize::from(member.held);
        self.leave_group(member);
        self.free_client_slots.push(client_slot);
    }

    /// What a client wants; sorted.
    pub fn topics(&self, client_slot: ClientSlot) -> &[Channel] {
        let group = self.members[client_slot].map_or(0, |member| member.group);
        &self.groups[group].topics
    }

    /// Makes these the topics of a client. Frames with the newest of each channel that it did not
    /// have before go into `replay`, each with its age; how many they are is returned. Trades are
    /// not repeated: a trade is a thing that happened, not a state.
    pub fn set_topics(
        &mut self,
        client_slot: ClientSlot,
        mut topics: Vec<Channel>,
        now: Moment,
        replay: &mut Vec<u8>,
    ) -> u64 {
        let Some(member) = self.members[client_slot] else {
            return 0;
        };
        topics.sort_unstable();
        topics.dedup();
        let group = self.group(topics);
        if group == member.group {
            return 0;
        }
        // What it has not seen is left to the next sweep: here goes only what is older than that.
        let (before, slots) = (&self.groups[member.group].slots, &self.slots);
        let missing = self.groups[group].slots.iter().filter(|&&id| {
            (1..=member.seen).contains(&slots[id].seq) && before.binary_search(&id).is_err()
        });
        let mut missing: Vec<&ChannelSlot> = missing.map(|&id| &slots[id]).collect();
        missing.sort_unstable_by_key(|slot| slot.seq);
        let count = conflation::replay(&missing, now, replay);

        let unseen = self
            .trades
            .iter()
            .rev()
            .take_while(|trade| trade.seq > member.seen);
        let slots = &self.groups[group].slots;
        let unseen = unseen
            .filter(|trade| slots.binary_search(&trade.slot).is_ok())
            .count() as u64;
        self.leave_group(member);
        let to = &mut self.groups[group];
        self.members[client_slot] = Some(Member {
            group,
            place: to.members.len(),
            trades: to.trades.saturating_sub(unseen),
            ..member
        });
        to.members.push(client_slot);
        if self.groups[group]
            .slots
            .iter()
            .any(|&id| self.slots[id].seq > member.seen)
            || unseen > 0
        {
            self.mark_dirty(group);
        }
        count
    }

    /// Takes in an event, which came then.
    pub fn publish(&mut self, channel: &Channel, json: &[u8], arrival: Arrival) -> PublishOutcome {
        let id = match self.by_channel.get(channel) {
            Some(&id) => id,
            None => {
                // Nobody holds it by its name, else it would have a slot.
                if self
                    .wildcard_groups
                    .get(&channel.kind)
                    .is_none_or(Vec::is_empty)
                {
                    return PublishOutcome::Unwanted;
                }
                self.slot(channel)
            }
        };
        self.seq += 1;
        let groups = std::mem::take(&mut self.slots[id].groups);
        let mut fate = PublishOutcome::Kept;
        if channel.kind == ChannelKind::Trade {
            if groups.is_empty() {
                fate = PublishOutcome::Unwanted;
            } else {
                self.remember(id, json, arrival);
            }
        } else {
            let slot = &mut self.slots[id];
            if slot.seq > self.swept {
                fate = PublishOutcome::Replaced;
            }
            slot.seq = self.seq;
            slot.arrival = arrival;
            slot.json.clear();
            slot.json.extend_from_slice(json);
        }
        for &group in &groups {
            self.groups[group].trades += u64::from(channel.kind == ChannelKind::Trade);
            self.mark_dirty(group);
        }
        self.slots[id].groups = groups;
        fate
    }

    /// Whether somebody has something to be given.
    pub fn is_dirty(&self) -> bool {
        !self.dirty.is_empty()
    }

    /// Whether so many trades have come that waiting longer would make everybody too slow.
    pub fn should_flush_trades(&self) -> bool {
        self.pending_trades >= self.trade_limit.div_ceil(2)
    }

    /// Gives everybody who can take it what they have not seen.
    pub fn deliver_pending(
        &mut self,
        now: Moment,
        mut give: impl FnMut(ClientSlot, Delivery<'_>) -> DeliveryOutcome,
    ) {
        for group in std::mem::take(&mut self.dirty) {
            self.groups[group].dirty = false;
            self.frames.clear();
            for place in 0..self.groups[group].members.len() {
                let client_slot = self.groups[group].members[place];
                self.serve(client_slot, now, &mut give);
            }
        }
        self.frames.clear();
        self.swept = self.seq;
        self.pending_trades = 0;
        if self.held == 0 && !self.trades.is_empty() {
            self.trades.clear();
        }
    }

    /// Gives one client nothing more until it is released.
    pub fn hold(&mut self, client_slot: ClientSlot) {
        if let Some(member) = &mut self.members[client_slot]
            && !std::mem::replace(&mut member.held, true)
        {
            self.held += 1;
        }
    }

    /// A client can take more, and is given what it has not seen.
    pub fn release(
        &mut self,
        client_slot: ClientSlot,
        now: Moment,
        mut give: impl FnMut(ClientSlot, Delivery<'_>) -> DeliveryOutcome,
    ) {
        if let Some(member) = &mut self.members[client_slot]
            && std::mem::take(&mut member.held)
        {
            self.held -= 1;
        }
        self.frames.clear();
        self.serve(client_slot, now, &mut give);
        self.frames.clear();
    }

    /// Lets go of all values: they are old, and who comes now must not take them for new.
    pub fn clear_values(&mut self) {
        for slot in &mut self.slots {
            slot.seq = 0;
            slot.json.clear();
        }
        self.trades.clear();
        self.pending_trades = 0;
        for group in &mut self.groups {
            group.trades = 0;
        }
        for member in self.members.iter_mut().flatten() {
            member.trades = 0;
            member.seen = self.seq;
        }
    }

    /// Lets go of the channels that nobody has and that are not to be kept.
    pub fn retain(&mut self, mut keep: impl FnMut(&Channel) -> bool) {
        let before = self.free_slots.len();
        for id in 0..self.slots.len() {
            let slot = &mut self.slots[id];
            if self.by_channel.get(&slot.channel) == Some(&id)
                && slot.groups.is_empty()
                && !keep(&slot.channel)
            {
                self.by_channel.remove(&slot.channel);
                slot.json = Vec::new();
                slot.seq = 0;
                self.free_slots.push(id);
            }
        }
        if self.free_slots.len() > before {
            // Whoever has the slot next shall not be given them.
            let (slots, by_channel) = (&self.slots, &self.by_channel);
            self.trades
                .retain(|trade| by_channel.get(&slots[trade.slot].channel) == Some(&trade.slot));
        }
    }

    fn serve(
        &mut self,
        client_slot: ClientSlot,
        now: Moment,
        give: &mut impl FnMut(ClientSlot, Delivery<'_>) -> DeliveryOutcome,
    ) {
        let Some(member) = &mut self.members[client_slot] else {
            return;
        };
        let group = &self.groups[member.group];
        let waiting = group.trades.saturating_sub(member.trades);
        if member.held && waiting <= self.trade_limit as u64 {
            return;
        }
        let made = self
            .frames
            .newer(member.seen, &group.slots, &self.slots, &self.trades, now);
        member.seen = self.seq;
        member.trades = group.trades;
        // Some that waited may have been let go of while the client was held.
        if member.held || made.trades < waiting {
            give(client_slot, Delivery::TooSlow);
        } else if made.count > 0
            && give(client_slot, Delivery::Frames(&made.bytes, made.count))
                == DeliveryOutcome::Enough
        {
            member.held = true;
            self.held += 1;
        }
    }

    /// Keeps a trade until all who can have been given it; those who are held can fall behind by
    /// four times what may wait for one of them.
    fn remember(&mut self, slot: usize, json: &[u8], arrival: Arrival) {
        self.trades.push_back(QueuedTrade {
            seq: self.seq,
            slot,
            json: json.into(),
            arrival,
        });
        self.pending_trades += 1;
        if self.trades.len() > 4 * self.trade_limit {
            self.trades.pop_front();
        }
    }

    fn mark_dirty(&mut self, group: usize) {
        if !std::mem::replace(&mut self.groups[group].dirty, true) {
            self.dirty.push(group);
        }
    }

    /// The slot of a channel, made if there is none: then only wildcards can cover it, so a new
    /// channel costs no more with many clients and channels than with few.
    fn slot(&mut self, channel: &Channel) -> usize {
        if let Some(&id) = self.by_channel.get(channel) {
            return id;
        }
        let mut slot = ChannelSlot {
            channel: channel.clone(),
            seq: 0,
            json: Vec::new(),
            arrival: Arrival::default(),
            groups: Vec::new(),
        };
        let free = self.free_slots.pop();
        let id = free.unwrap_or(self.slots.len());
        if let Some(wildcard_groups) = self.wildcard_groups.get(&channel.kind) {
            slot.groups.clone_from(wildcard_groups);
            for &at in wildcard_groups {
                let slots = &mut self.groups[at].slots;
                if let Err(place) = slots.binary_search(&id) {
                    slots.insert(place, id);
                }
            }
        }
        match free {
            Some(id) => self.slots[id] = slot,
            None => self.slots.push(slot),
        }
        self.by_channel.insert(channel.clone(), id);
        id
    }

    /// The group of those who want this, made if there is none.
    fn group(&mut self, topics: Vec<Channel>) -> usize {
        if let Some(&group) = self.by_topics.get(topics.as_slice()) {
            return group;
        }
        let mut slots = Vec::new();
        for topic in &topics {
            if is_wildcard(topic) {
                let covered = self
                    .by_channel
                    .iter()
                    .filter(|(channel, _)| covers(topic, channel));
                slots.extend(covered.map(|(_, &id)| id));
            } else {
                slots.push(self.slot(topic));
            }
        }
        slots.sort_unstable();
        slots.dedup();
        let group = self.free_groups.pop().unwrap_or_else(|| {
            self.groups.push(Group::default());
            self.groups.len() - 1
        });
        for &id in &slots {
            self.slots[id].groups.push(group);
        }
        for topic in topics.iter().filter(|topic| is_wildcard(topic)) {
            self.wildcard_groups
                .entry(topic.kind)
                .or_default()
                .push(group);
        }
        let topics: Arc<[Channel]> = topics.into();
        self.by_topics.insert(topics.clone(), group);
        let made = &mut self.groups[group];
        made.topics = topics;
        made.slots = slots;
        group
    }

    /// Takes a member out of its group, and the group away with the last.
    fn leave_group(&mut self, member: Member) {
        let group = &mut self.groups[member.group];
        group.members.swap_remove(member.place);
        if let Some(&moved) = group.members.get(member.place)
            && let Some(moved) = &mut self.members[moved]
        {
            moved.place = member.place;
        }
        if !group.members.is_empty() || member.group == 0 {
            return;
        }
        for id in std::mem::take(&mut group.slots) {
            self.slots[id].groups.retain(|&other| other != member.group);
        }
        for topic in group.topics.iter().filter(|topic| is_wildcard(topic)) {
            if let Some(wildcard_groups) = self.wildcard_groups.get_mut(&topic.kind) {
                wildcard_groups.retain(|&other| other != member.group);
            }
        }
        self.by_topics.remove(&group.topics);
        group.topics = Arc::default();
        group.trades = 0;
        self.free_groups.push(member.group);
    }
}
