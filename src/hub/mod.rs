//! The hub: one upstream connection per cluster, any number of displays.
//!
//! ```text
//! vendor ─ upstream ─ Report ─▶ fanout ─ Room ─ frame ─▶ every client that wants it
//!                        ◀─ Interest ─┘   ▲
//!                            http ─ Guest ┘  (authenticated, upgraded)
//! ```
//!
//! One `fanout` task owns the room and the clients of a cluster; `room` is pure. A client costs
//! the hub no memory by being slow: the newest of each channel is kept once, and for each client
//! only how far it has seen.

pub mod fanout;
pub mod limits;
pub mod metrics;
pub mod quotes;
pub mod roster;
pub mod token;
pub mod upstream;

use std::collections::BTreeSet;

use hyper::body::Bytes;

use crate::feed::Why;
use crate::market::Channel;

/// One event on its way from an upstream to whoever wants it.
#[derive(Clone, Debug, PartialEq)]
pub struct Relayed {
    /// On which channel.
    pub channel: Channel,
    /// The event as the vendor wrote it: one JSON object. A slice of the frame it came in; whoever
    /// keeps it for long copies it, or it keeps the whole frame.
    pub json: Bytes,
}

/// What the upstream of a cluster tells the fan-out.
#[derive(Clone, Debug, PartialEq)]
pub enum Report {
    /// The connection is in use; what is wanted has been asked for.
    Up {
        /// The other side has said that its prices are simulated.
        simulated: bool,
    },
    /// It is not, and this is why. Values go on being old.
    Down(Why),
    /// The events of one frame, in order.
    Events(Vec<Relayed>),
}

/// What the clients of a cluster want together; the upstream subscribes to it.
pub type Interest = BTreeSet<Channel>;
