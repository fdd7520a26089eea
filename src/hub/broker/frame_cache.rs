//! Builds WebSocket frames of several events, once for all clients that have seen the same events.
//! Owns the frame buffers and reuses the buffers; never knows the recipients.

use std::collections::VecDeque;
use std::ops::Range;
use std::time::Duration;

use super::age::{self, Arrival};
use crate::hub::session::websocket;
use crate::market::Channel;
use crate::time::Moment;

/// The maximum size of a frame payload, in bytes; only a frame with one very long event is larger.
/// The limit is below 1 MiB, because the vendor's Python client refuses messages of that size.
const MAX_FRAME: usize = 256 << 10;

/// The size at which one delivery to one client stops. The client gets the values of its other
/// channels in the next delivery, so a client with many channels never needs memory for all of
/// their values.
pub(crate) const PART: usize = 64 << 10;

/// The maximum number of different read positions in one group for which frames are shared. The
/// clients at further positions are so far apart that each client gets its own frames.
const SHARED: usize = 8;

/// A frame reports the age of an event only if the event is older than this duration. An event that
/// the hub relays at once is younger.
const FRESH: Duration = Duration::from_secs(1);

/// One channel with its newest event. `json` is empty before the first event, and each event reuses
/// the buffer of `json`.
#[derive(Debug)]
pub(crate) struct ChannelSlot {
    pub(crate) channel: Channel,
    pub(crate) seq: u64,
    pub(crate) json: Vec<u8>,
    pub(crate) arrival: Arrival,
    pub(crate) groups: Vec<usize>,
}

impl ChannelSlot {
    /// Returns true if the event is young enough for a repetition to a new client.
    pub(crate) fn is_repeatable(&self, now: Moment) -> bool {
        self.arrival.age(now) <= age::repeat_limit(&self.channel)
    }
}

/// One trade, stored once for all subscribed clients.
#[derive(Debug)]
pub(crate) struct QueuedTrade {
    pub(crate) seq: u64,
    pub(crate) slot: usize,
    pub(crate) json: Box<[u8]>,
    pub(crate) arrival: Arrival,
}

/// The read position of a client.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct ReadPosition {
    /// The client has the values up to this sequence number.
    pub(crate) values: u64,
    /// The client has the trades up to this sequence number.
    pub(crate) trades: u64,
    /// The first channel slot of the next part, or 0 if the previous delivery was complete.
    pub(crate) next: usize,
    /// True if the values are old values for a new subscription. Each value then contains its age.
    pub(crate) replay: bool,
}

/// The frames that are built for one group during one delivery.
#[derive(Debug, Default)]
pub(crate) struct FrameCache {
    made: Vec<BuiltFrames>,
    used: usize,
    picks: Vec<(u64, EventRef)>,
    /// The JSON texts of the events with an `age` field, one after the other.
    aged: Vec<u8>,
}

#[derive(Debug, Default)]
pub(crate) struct BuiltFrames {
    /// The range of the sequence numbers that a client may have seen last, so that these frames
    /// contain exactly its unseen values. `trades_seen` is the same range for trades.
    values: (u64, u64),
    trades_seen: (u64, u64),
    begin: usize,
    replay: bool,
    /// The first channel slot of the next part, if these frames do not contain all unseen values.
    pub(crate) next: Option<usize>,
    pub(crate) bytes: Vec<u8>,
    /// The number of frames in `bytes`.
    pub(crate) count: u64,
    /// The number of trades among the events in `bytes`.
    pub(crate) trades: u64,
}

#[derive(Clone, Debug)]
enum EventRef {
    Slot(usize),
    Trade(usize),
    /// The byte range of the event in `FrameCache::aged`.
    Aged(Range<usize>),
}

impl FrameCache {
    /// Discards the frames but keeps the buffers.
    pub(crate) fn clear(&mut self) {
        self.used = 0;
    }

    /// Returns the frames with the next part of the events that a client at this position has not
    /// seen. An event older than `FRESH` contains its age.
    pub(crate) fn newer(
        &mut self,
        position: ReadPosition,
        held: &[usize],
        slots: &[ChannelSlot],
        trades: &VecDeque<QueuedTrade>,
        now: Moment,
    ) -> &BuiltFrames {
        let known = self.made[..self.used].iter().position(|made| {
            (made.begin, made.replay) == (position.next, position.replay)
                && (made.values.0..=made.values.1).contains(&position.values)
                && (made.trades_seen.0..=made.trades_seen.1).contains(&position.trades)
        });
        let at = known.unwrap_or_else(|| self.make(position, held, slots, trades, now));
        &self.made[at]
    }

    fn make(
        &mut self,
        position: ReadPosition,
        held: &[usize],
        slots: &[ChannelSlot],
        trades: &VecDeque<QueuedTrade>,
        now: Moment,
    ) -> usize {
        self.picks.clear();
        let (mut values, mut trades_seen) = ((0, u64::MAX), (0, u64::MAX));
        let (mut size, mut next) = (0, None);
        let begin = held.partition_point(|id| *id < position.next);
        for &id in &held[begin..] {
            let seq = slots[id].seq;
            if seq <= position.values {
                values.0 = values.0.max(seq);
                continue;
            }
            if size >= PART {
                next = Some(id);
                break;
            }
            if position.replay && !slots[id].is_repeatable(now) {
                continue;
            }
            size += slots[id].json.len();
            values.1 = values.1.min(seq - 1);
            self.picks.push((seq, EventRef::Slot(id)));
        }
        let mut waiting = 0;
        for (at, trade) in trades.iter().enumerate().rev() {
            if trade.seq <= position.trades {
                // The client already has this trade and all older trades. The sequence number of
                // this trade is the lower bound of the range of these frames.
                trades_seen.0 = trade.seq;
                break;
            }
            if held.binary_search(&trade.slot).is_ok() {
                trades_seen.1 = trades_seen.1.min(trade.seq - 1);
                self.picks.push((trade.seq, EventRef::Trade(at)));
                waiting += 1;
            }
        }
        self.picks.sort_unstable_by_key(|&(seq, _)| seq);
        self.aged.clear();
        for (_, pick) in &mut self.picks {
            let (json, arrival, replay) = match *pick {
                EventRef::Slot(id) => (&*slots[id].json, slots[id].arrival, position.replay),
                EventRef::Trade(at) => (&*trades[at].json, trades[at].arrival, false),
                EventRef::Aged(_) => continue,
            };
            let age = arrival.age(now);
            if replay || age > FRESH {
                let begins = self.aged.len();
                age::write(json, age, &mut self.aged);
                *pick = EventRef::Aged(begins..self.aged.len());
            }
        }
        if self.used == self.made.len() {
            self.made.push(BuiltFrames::default());
        }
        let at = self.used;
        // The entry at index `SHARED` is never found by a search. The next unshared read position
        // overwrites this entry.
        self.used = (self.used + 1).min(SHARED);
        let made = &mut self.made[at];
        (made.values, made.trades_seen) = (values, trades_seen);
        (made.begin, made.replay, made.next) = (position.next, position.replay, next);
        made.trades = waiting;
        made.bytes.clear();
        let events = self.picks.iter().map(|(_, pick)| match pick {
            EventRef::Slot(id) => slots[*id].json.as_slice(),
            EventRef::Trade(at) => &trades[*at].json,
            EventRef::Aged(there) => &self.aged[there.clone()],
        });
        made.count = write(events, &mut made.bytes);
        at
    }
}

/// Writes the last value of each slot with its age into as few frames as possible. Returns the
/// number of frames.
pub(crate) fn replay(slots: &[&ChannelSlot], now: Moment, into: &mut Vec<u8>) -> u64 {
    let events: Vec<Vec<u8>> = slots
        .iter()
        .map(|slot| {
            let mut event = Vec::new();
            age::write(&slot.json, slot.arrival.age(now), &mut event);
            event
        })
        .collect();
    write(events.iter().map(Vec::as_slice), into)
}

/// Writes the events into as few frames as possible. Returns the number of frames.
fn write<'a>(events: impl Iterator<Item = &'a [u8]> + Clone, into: &mut Vec<u8>) -> u64 {
    let mut rest = events.peekable();
    let mut count = 0;
    while rest.peek().is_some() {
        // The payload has one byte (`[` or `,`) before each event and one byte (`]`) at the end.
        let (mut length, mut fitting) = (1, 0);
        for event in rest.clone() {
            if fitting > 0 && length + 1 + event.len() > MAX_FRAME {
                break;
            }
            length += 1 + event.len();
            fitting += 1;
        }
        websocket::head(websocket::TEXT, length, into);
        for at in 0..fitting {
            into.push(if at == 0 { b'[' } else { b',' });
            into.extend(rest.next().unwrap_or_default());
        }
        into.push(b']');
        count += 1;
    }
    count
}
