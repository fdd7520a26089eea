//! The newest event of a channel, and one queued trade. Both only hold data.

use super::age::Arrival;
use crate::market::Channel;

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

/// One trade, stored once for all subscribed clients.
#[derive(Debug)]
pub(crate) struct QueuedTrade {
    pub(crate) seq: u64,
    pub(crate) slot: usize,
    pub(crate) json: Box<[u8]>,
    pub(crate) arrival: Arrival,
}
