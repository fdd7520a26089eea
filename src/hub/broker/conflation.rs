//! Frames of several events, made once for all who have seen the same. Owns their buffers, which
//! are used again; never knows whom they are for.

use std::collections::VecDeque;
use std::ops::{Range, RangeInclusive};
use std::time::Duration;

use super::age;
use super::last_value::{ChannelSlot, QueuedTrade};
use crate::hub::session::websocket;
use crate::time::Moment;

/// No frame is longer than this, in bytes, unless a single event is: the vendor's Python client
/// refuses a mebibyte.
const MAX_FRAME: usize = 256 << 10;

/// Clients of one group that have seen this many different states share their frames; the rest
/// are so far apart that each gets its own.
const SHARED: usize = 8;

/// An event that is older than this says so; what is on its way through the hub is younger.
const FRESH: Duration = Duration::from_secs(1);

/// What has been made for one group.
#[derive(Debug, Default)]
pub(crate) struct FrameCache {
    made: Vec<BuiltFrames>,
    used: usize,
    picks: Vec<(u64, EventRef)>,
    /// Events with their ages, one after the other.
    aged: Vec<u8>,
}

#[derive(Debug)]
pub(crate) struct BuiltFrames {
    /// Whoever has seen up to here, from the first to the last, misses exactly this.
    seen: RangeInclusive<u64>,
    pub(crate) bytes: Vec<u8>,
    /// How many frames the bytes are.
    pub(crate) count: u64,
    /// How many of the events are trades.
    pub(crate) trades: u64,
}

#[derive(Clone, Debug)]
enum EventRef {
    Slot(usize),
    Trade(usize),
    /// There, among those with their ages.
    Aged(Range<usize>),
}

impl FrameCache {
    /// Forgets what was made.
    pub(crate) fn clear(&mut self) {
        self.used = 0;
    }

    /// The frames with everything newer than `seen`. What is not new any more says its age.
    pub(crate) fn newer(
        &mut self,
        seen: u64,
        held: &[usize],
        slots: &[ChannelSlot],
        trades: &VecDeque<QueuedTrade>,
        now: Moment,
    ) -> &BuiltFrames {
        let known = self.made[..self.used]
            .iter()
            .position(|made| made.seen.contains(&seen));
        let at = known.unwrap_or_else(|| self.make(seen, held, slots, trades, now));
        &self.made[at]
    }

    fn make(
        &mut self,
        seen: u64,
        held: &[usize],
        slots: &[ChannelSlot],
        trades: &VecDeque<QueuedTrade>,
        now: Moment,
    ) -> usize {
        self.picks.clear();
        let (mut first, mut last) = (0, u64::MAX);
        let mut pick = |seq: u64, pick| {
            if seq > seen {
                last = last.min(seq - 1);
                self.picks.push((seq, pick));
            } else {
                first = first.max(seq);
            }
        };
        for &id in held {
            pick(slots[id].seq, EventRef::Slot(id));
        }
        let mut waiting = 0;
        for (at, trade) in trades.iter().enumerate().rev() {
            if trade.seq <= seen {
                // What is before it has been seen too.
                pick(trade.seq, EventRef::Trade(at));
                break;
            }
            if held.binary_search(&trade.slot).is_ok() {
                pick(trade.seq, EventRef::Trade(at));
                waiting += 1;
            }
        }
        self.picks.sort_unstable_by_key(|&(seq, _)| seq);
        self.aged.clear();
        for (_, pick) in &mut self.picks {
            let (json, arrival) = match *pick {
                EventRef::Slot(id) => (&*slots[id].json, slots[id].arrival),
                EventRef::Trade(at) => (&*trades[at].json, trades[at].arrival),
                EventRef::Aged(_) => continue,
            };
            let age = arrival.age(now);
            if age > FRESH {
                let begins = self.aged.len();
                age::write(json, age, &mut self.aged);
                *pick = EventRef::Aged(begins..self.aged.len());
            }
        }
        if self.used == self.made.len() {
            self.made.push(BuiltFrames {
                seen: 0..=0,
                bytes: Vec::new(),
                count: 0,
                trades: 0,
            });
        }
        let at = self.used;
        // The last one is overwritten by the next that nobody shares.
        self.used = (self.used + 1).min(SHARED);
        let made = &mut self.made[at];
        made.seen = first..=last;
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

/// Writes what these slots hold, each with its age, into as few frames as may be; how many is
/// returned.
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

/// Writes events into as few frames as may be; how many is returned.
fn write<'a>(events: impl Iterator<Item = &'a [u8]> + Clone, into: &mut Vec<u8>) -> u64 {
    let mut rest = events.peekable();
    let mut count = 0;
    while rest.peek().is_some() {
        // Brackets, and a comma before each event but the first.
        let (mut length, mut fitting) = (1, 0);
        for event in rest.clone() {
            if fitting > 0 && length + 1 + event.len() > MAX_FRAME {
                break;
            }
            length += 1 + event.len();
            fitting += 1;
        }
        websocket::text_head(length, into);
        for at in 0..fitting {
            into.push(if at == 0 { b'[' } else { b',' });
            into.extend(rest.next().unwrap_or_default());
        }
        into.push(b']');
        count += 1;
    }
    count
}
