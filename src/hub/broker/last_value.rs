//! The last-value cache of one cluster: the newest event of each channel, and the read position of
//! each client. Owns no socket and reads no clock; the caller passes the time as an argument.
//!
//! A slow client costs no extra memory. The cache queues only trades, and queues each trade once
//! for all clients. For the other channels, a client that reads again gets the newest values and
//! not the missed values (conflation).
//!
//! Clients with the same subscriptions form one group. The cache builds a frame once for all
//! clients of a group with the same read position. All clients that read fast enough have the same
//! position.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;

use super::delivery::{ClientSlot, Delivery, DeliveryOutcome, Group, Member, PublishOutcome};
use super::frame_cache::{self, ChannelSlot, FrameCache, QueuedTrade, ReadPosition};
use crate::hub::Arrival;
use crate::market::{Channel, ChannelKind};
use crate::time::Moment;

/// The newest event of each channel, and the read position of each client.
#[derive(Debug)]
pub struct LastValueCache {
    slots: Vec<ChannelSlot>,
    free_slots: Vec<usize>,
    by_channel: HashMap<Channel, usize>,
    groups: Vec<Group>,
    free_groups: Vec<usize>,
    by_topics: HashMap<Arc<[Channel]>, usize>,
    /// The groups with a wildcard subscription, by kind. The groups that hold a channel by name are
    /// in the slot of the channel; the slot exists as long as any group holds the channel.
    wildcard_groups: Vec<(ChannelKind, usize)>,
    members: Vec<Option<Member>>,
    free_client_slots: Vec<ClientSlot>,
    /// The queued trades, oldest first. After a delivery, the queue is empty if no client is held.
    trades: VecDeque<QueuedTrade>,
    /// The maximum number of trades that may wait for one client.
    trade_limit: usize,
    seq: u64,
    swept: u64,
    dirty: Vec<usize>,
    frames: FrameCache,
}

impl LastValueCache {
    /// Creates an empty cache. `trade_limit` is the maximum number of trades that may wait for one
    /// client; a limit of 0 counts as 1.
    pub fn new(trade_limit: usize) -> Self {
        Self {
            slots: Vec::new(),
            free_slots: Vec::new(),
            by_channel: HashMap::new(),
            // Group 0 contains the clients without subscriptions and always exists.
            groups: vec![Group::default()],
            free_groups: Vec::new(),
            by_topics: HashMap::from([(Arc::default(), 0)]),
            wildcard_groups: Vec::new(),
            members: Vec::new(),
            free_client_slots: Vec::new(),
            trades: VecDeque::new(),
            trade_limit: trade_limit.max(1),
            seq: 0,
            swept: 0,
            dirty: Vec::new(),
            frames: FrameCache::default(),
        }
    }

    /// Adds a client without subscriptions and returns the slot of the client.
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
            position: ReadPosition {
                values: self.seq,
                trades: self.seq,
                ..ReadPosition::default()
            },
            goal: self.seq,
            trades: self.groups[0].trades,
            held: false,
        });
        client_slot
    }

    /// Removes a client. A new client can reuse the slot.
    pub fn leave(&mut self, client_slot: ClientSlot) {
        let Some(member) = self.members[client_slot].take() else {
            return;
        };
        self.leave_group(member);
        self.free_client_slots.push(client_slot);
    }

    /// Returns the subscriptions of a client in ascending order.
    pub fn topics(&self, client_slot: ClientSlot) -> &[Channel] {
        let group = self.members[client_slot].map_or(0, |member| member.group);
        &self.groups[group].topics
    }

    /// Replaces the subscriptions of a client. Appends frames with the last values of the added
    /// channels to `replay`, each value with its age, and returns the number of frames. A value that
    /// is older than the limit of its symbol is not replayed. Trades are not replayed, because a
    /// trade is an event and not a state.
    pub fn set_topics(
        &mut self,
        client_slot: ClientSlot,
        mut topics: Vec<Channel>,
        now: Moment,
        replay: &mut Vec<u8>,
    ) -> u64 {
        let Some(mut member) = self.members[client_slot] else {
            return 0;
        };
        topics.sort_unstable();
        topics.dedup();
        let group = self.group(topics);
        if group == member.group {
            return 0;
        }
        // The next delivery begins again with the first channel. It sends the values that are newer
        // than `values`. The replay contains only the older values.
        member.position.next = 0;
        let values = member.position.values;
        let (before, slots) = (&self.groups[member.group].slots, &self.slots);
        let missing = self.groups[group].slots.iter().filter(|&&id| {
            (1..=values).contains(&slots[id].seq)
                && before.binary_search(&id).is_err()
                && slots[id].is_repeatable(now)
        });
        let mut missing: Vec<&ChannelSlot> = missing.map(|&id| &slots[id]).collect();
        let size: usize = missing.iter().map(|slot| slot.json.len()).sum();
        let count = if size > frame_cache::PART {
            // The next deliveries send all values in parts. The client receives some values a
            // second time.
            (member.position.values, member.position.replay) = (0, true);
            0
        } else {
            missing.sort_unstable_by_key(|slot| slot.seq);
            frame_cache::replay(&missing, now, replay)
        };

        let (values, trades) = (member.position.values, member.position.trades);
        let covered = &self.groups[group].slots;
        let unseen = self
            .trades
            .iter()
            .filter(|trade| trade.seq > trades && covered.binary_search(&trade.slot).is_ok());
        let unseen = unseen.count() as u64;
        let is_dirty = unseen > 0 || covered.iter().any(|&id| slots[id].seq > values);
        self.leave_group(member);
        let to = &mut self.groups[group];
        self.members[client_slot] = Some(Member {
            group,
            place: to.members.len(),
            trades: to.trades.saturating_sub(unseen),
            ..member
        });
        to.members.push(client_slot);
        if is_dirty {
            self.mark_dirty(group);
        }
        count
    }

    /// Stores an event with its receive time, and marks the subscribed groups for the next
    /// delivery.
    pub fn publish(&mut self, channel: &Channel, json: &[u8], arrival: Arrival) -> PublishOutcome {
        let mut wildcards = self.wildcard_groups.iter();
        let id = match self.by_channel.get(channel) {
            Some(&id) => id,
            // A channel that a client holds by name always has a slot. Only a wildcard can cover a
            // channel without a slot.
            None if wildcards.any(|(kind, _)| *kind == channel.kind) => self.slot(channel),
            None => return PublishOutcome::Unwanted,
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

    /// Returns true if at least one group has events to deliver.
    pub fn is_dirty(&self) -> bool {
        !self.dirty.is_empty()
    }

    /// Returns true if half of the trade limit has arrived since the last delivery. With more
    /// waiting trades, all clients would soon exceed the limit.
    pub fn should_flush_trades(&self) -> bool {
        let delivered = |trade: &QueuedTrade| trade.seq <= self.swept;
        let pending = self.trades.len() - self.trades.partition_point(delivered);
        pending >= self.trade_limit.div_ceil(2)
    }

    /// Delivers the unseen events through `give` to each client that can take frames. A held client
    /// gets [`Delivery::TooSlow`] if too many trades wait for the client.
    pub fn deliver_pending(
        &mut self,
        now: Moment,
        mut give: impl FnMut(ClientSlot, Delivery<'_>) -> DeliveryOutcome,
    ) {
        for group in std::mem::take(&mut self.dirty) {
            self.groups[group].dirty = false;
            self.frames.clear();
            let mut unfinished = false;
            for place in 0..self.groups[group].members.len() {
                let client_slot = self.groups[group].members[place];
                unfinished |= self.serve(client_slot, now, &mut give);
            }
            if unfinished {
                self.mark_dirty(group);
            }
        }
        self.frames.clear();
        self.swept = self.seq;
        if !self.trades.is_empty() && !self.members.iter().flatten().any(|member| member.held) {
            self.trades.clear();
        }
    }

    /// Stops the deliveries to a client until [`LastValueCache::release`].
    pub fn hold(&mut self, client_slot: ClientSlot) {
        if let Some(member) = &mut self.members[client_slot] {
            member.held = true;
        }
    }

    /// Resumes the deliveries to a client, and delivers the unseen events at once.
    pub fn release(
        &mut self,
        client_slot: ClientSlot,
        now: Moment,
        mut give: impl FnMut(ClientSlot, Delivery<'_>) -> DeliveryOutcome,
    ) {
        if let Some(member) = &mut self.members[client_slot] {
            member.held = false;
        }
        self.frames.clear();
        if self.serve(client_slot, now, &mut give)
            && let Some(member) = self.members[client_slot]
        {
            self.mark_dirty(member.group);
        }
        self.frames.clear();
    }

    /// Deletes all values and queued trades, so that a new client does not take old values for new
    /// values.
    pub fn clear_values(&mut self) {
        for slot in &mut self.slots {
            slot.seq = 0;
            slot.json.clear();
        }
        self.trades.clear();
        for group in &mut self.groups {
            group.trades = 0;
        }
        for member in self.members.iter_mut().flatten() {
            member.trades = 0;
            member.position = ReadPosition {
                values: self.seq,
                trades: self.seq,
                ..ReadPosition::default()
            };
        }
    }

    /// Removes each channel that has no subscribed client and for which `keep` returns false.
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
            // The next channel in a removed slot must not get the queued trades of the removed
            // channel.
            let (slots, by_channel) = (&self.slots, &self.by_channel);
            self.trades
                .retain(|trade| by_channel.get(&slots[trade.slot].channel) == Some(&trade.slot));
        }
    }

    /// Delivers the next part of the unseen events to a client. Returns true if the client can take
    /// more frames and has not received all unseen events.
    fn serve(
        &mut self,
        client_slot: ClientSlot,
        now: Moment,
        give: &mut impl FnMut(ClientSlot, Delivery<'_>) -> DeliveryOutcome,
    ) -> bool {
        let Some(member) = &mut self.members[client_slot] else {
            return false;
        };
        let group = &self.groups[member.group];
        let waiting = group.trades.saturating_sub(member.trades);
        if member.held && waiting <= self.trade_limit as u64 {
            return false;
        }
        if member.position.next == 0 {
            member.goal = self.seq;
        }
        let (held, position) = (&group.slots, member.position);
        let made = (self.frames).newer(position, held, &self.slots, &self.trades, now);
        member.position.trades = self.seq;
        member.trades = group.trades;
        match made.next {
            Some(next) => member.position.next = next,
            None => {
                member.position.values = member.goal;
                (member.position.next, member.position.replay) = (0, false);
            }
        }
        // A held client gets here only if too many trades wait. Fewer trades in the frames than
        // waiting trades means that the queue has dropped trades while the client was held.
        if member.held || made.trades < waiting {
            give(client_slot, Delivery::TooSlow);
            return false;
        }
        if made.count > 0
            && give(client_slot, Delivery::Frames(&made.bytes, made.count))
                == DeliveryOutcome::Enough
        {
            member.held = true;
            return false;
        }
        made.next.is_some()
    }

    /// Queues a trade until all clients that can take frames have received the trade. The queue
    /// holds at most four times the trade limit for held clients; then it drops the oldest trade.
    fn remember(&mut self, slot: usize, json: &[u8], arrival: Arrival) {
        self.trades.push_back(QueuedTrade {
            seq: self.seq,
            slot,
            json: json.into(),
            arrival,
        });
        if self.trades.len() > 4 * self.trade_limit {
            self.trades.pop_front();
        }
    }

    fn mark_dirty(&mut self, group: usize) {
        if !std::mem::replace(&mut self.groups[group].dirty, true) {
            self.dirty.push(group);
        }
    }

    /// Returns the slot of a channel, and creates the slot if necessary. Only groups with a
    /// wildcard can cover a new channel, so the cost does not grow with the number of clients and
    /// channels.
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
        let wildcards = self.wildcard_groups.iter();
        for &(_, at) in wildcards.filter(|(kind, _)| *kind == channel.kind) {
            slot.groups.push(at);
            let slots = &mut self.groups[at].slots;
            if let Err(place) = slots.binary_search(&id) {
                slots.insert(place, id);
            }
        }
        match free {
            Some(id) => self.slots[id] = slot,
            None => self.slots.push(slot),
        }
        self.by_channel.insert(channel.clone(), id);
        id
    }

    /// Returns the group with these topics, and creates the group if necessary. The topics must be
    /// sorted and unique.
    fn group(&mut self, topics: Vec<Channel>) -> usize {
        if let Some(&group) = self.by_topics.get(topics.as_slice()) {
            return group;
        }
        let mut slots = Vec::new();
        for topic in &topics {
            if topic.is_wildcard() {
                let covered = self
                    .by_channel
                    .iter()
                    .filter(|(channel, _)| topic.covers(channel));
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
        for topic in topics.iter().filter(|topic| topic.is_wildcard()) {
            self.wildcard_groups.push((topic.kind, group));
        }
        let topics: Arc<[Channel]> = topics.into();
        self.by_topics.insert(topics.clone(), group);
        let made = &mut self.groups[group];
        made.topics = topics;
        made.slots = slots;
        group
    }

    /// Removes a member from its group. Also removes the group if it has no member then.
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
        self.wildcard_groups
            .retain(|&(_, other)| other != member.group);
        self.by_topics.remove(&group.topics);
        group.topics = Arc::default();
        group.trades = 0;
        self.free_groups.push(member.group);
    }
}
