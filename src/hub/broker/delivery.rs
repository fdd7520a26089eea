//! The results of a publication and of a delivery, and the groups of clients with the same
//! subscriptions. The types only hold data.

use std::sync::Arc;

use super::frame_cache::ReadPosition;
use crate::market::Channel;

/// The index of a client in the last-value cache and in the broker. A new client can reuse the
/// index of a client that has left.
pub type ClientSlot = usize;

/// The result of [`LastValueCache::publish`] for one event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PublishOutcome {
    /// The cache has stored the event and has replaced no unsent event.
    Kept,
    /// The cache has stored the event in place of an event that was not sent to all clients yet.
    Replaced,
    /// The cache has dropped the event, because no client is subscribed to its channel.
    Unwanted,
}

/// The state of a client after a delivery.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DeliveryOutcome {
    /// The client can take more frames.
    All,
    /// The client cannot take more frames until the caller calls [`LastValueCache::release`].
    Enough,
}

/// A delivery to one client.
#[derive(Debug)]
pub enum Delivery<'a> {
    /// The bytes of complete WebSocket frames, and the number of these frames.
    Frames(&'a [u8], u64),
    /// The client reads too slowly: more trades were waiting than the limit allows.
    TooSlow,
}

#[derive(Debug, Default)]
pub(super) struct Group {
    pub(super) topics: Arc<[Channel]>,
    /// The indices of the channel slots that the topics cover, in ascending order.
    pub(super) slots: Vec<usize>,
    pub(super) members: Vec<ClientSlot>,
    pub(super) dirty: bool,
    /// The number of trades on the channels of the group since the values were last cleared.
    pub(super) trades: u64,
}

#[derive(Clone, Copy, Debug)]
pub(super) struct Member {
    pub(super) group: usize,
    /// The index of the client in `Group::members`.
    pub(super) place: usize,
    pub(super) position: ReadPosition,
    /// The sequence number up to which the client has all values after the last part of the current
    /// delivery.
    pub(super) goal: u64,
    /// The number of the group's trades that the client has received.
    pub(super) trades: u64,
    pub(super) held: bool,
}
