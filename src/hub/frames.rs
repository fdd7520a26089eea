//! Frames of several events, made once for all who have seen the same. Owns their buffers, which
//! are used again; never knows whom they are for.

use std::collections::VecDeque;
use std::ops::RangeInclusive;

use super::room::{Slot, Trade};
use super::websocket;

/// No frame is longer than this, in bytes, unless a single event is: the vendor's Python client
/// refuses a mebibyte.
const FRAME: usize = 256 << 10;

/// Clients of one group that have seen this many different states share their frames; the rest
/// are so far apart that each gets its own.
const SHARED: usize = 8;

/// What has been made for one group.
#[derive(Debug, Default)]
pub(super) struct Frames {
    made: Vec<Made>,
    used: usize,
    picks: Vec<(u64, Pick)>,
}

#[derive(Debug)]
pub(super) struct Made {
    /// Whoever has seen up to here, from the first to the last, misses exactly this.
    seen: RangeInclusive<u64>,
    pub(super) bytes: Vec<u8>,
    /// How many frames the bytes are.
    pub(super) count: u64,
    /// How many of the events are trades.
    pub(super) trades: u64,
}

#[derive(Clone, Copy, Debug)]
enum Pick {
    Slot(usize),
    Trade(usize),
}

impl Frames {
    /// Forgets what was made.
    pub(super) fn clear(&mut self) {
        self.used = 0;
    }

    /// The frames with everything newer than `seen`.
    pub(super) fn newer(
        &mut self,
        seen: u64,
        held: &[usize],
        slots: &[Slot],
        trades: &VecDeque<Trade>,
    ) -> &Made {
        let known = self.made[..self.used]
            .iter()
            .position(|made| made.seen.contains(&seen));
        let at = known.unwrap_or_else(|| self.make(seen, held, slots, trades));
        &self.made[at]
    }

    fn make(
        &mut self,
        seen: u64,
        held: &[usize],
        slots: &[Slot],
        trades: &VecDeque<Trade>,
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
            pick(slots[id].seq, Pick::Slot(id));
        }
        let mut waiting = 0;
        for (at, trade) in trades.iter().enumerate().rev() {
            if trade.seq <= seen {
                // What is before it has been seen too.
                pick(trade.seq, Pick::Trade(at));
                break;
            }
            if held.binary_search(&trade.slot).is_ok() {
                pick(trade.seq, Pick::Trade(at));
                waiting += 1;
            }
        }
        self.picks.sort_unstable_by_key(|&(seq, _)| seq);
        if self.used == self.made.len() {
            self.made.push(Made {
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
        let events = self.picks.iter().map(|&(_, pick)| match pick {
            Pick::Slot(id) => slots[id].json.as_slice(),
            Pick::Trade(at) => &trades[at].json,
        });
        made.count = write(events, &mut made.bytes);
        at
    }
}

/// Writes events into as few frames as may be; how many is returned.
pub(super) fn write<'a>(events: impl Iterator<Item = &'a [u8]> + Clone, into: &mut Vec<u8>) -> u64 {
    let mut rest = events.peekable();
    let mut count = 0;
    while rest.peek().is_some() {
        // Brackets, and a comma before each event but the first.
        let (mut length, mut fitting) = (1, 0);
        for event in rest.clone() {
            if fitting > 0 && length + 1 + event.len() > FRAME {
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
