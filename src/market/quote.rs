//! What is known of one instrument at one moment: values, bars, trades, and what they are worth.

use core::time::Duration;

use super::Price;
use crate::clock::{Moment, Utc};

/// A value as it arrived: an index value, a last price, or a bar's close.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Quote {
    /// The value.
    pub price: Price,
    /// From when its age is counted: when it was received, or earlier if it was old by then.
    pub born: Moment,
    /// The feed's own stamp, where it gave a plausible one. Orders values, never ages them.
    pub stamp: Option<Utc>,
    /// The source serves its values late (by 15 minutes, at Massive).
    pub delayed: bool,
}

/// One bar of a second (`A`) or a minute (`AM`).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Bar {
    /// First price of the window.
    pub open: Price,
    /// Highest price of the window.
    pub high: Price,
    /// Lowest price of the window.
    pub low: Price,
    /// Last price of the window.
    pub close: Price,
    /// The official opening price of the day, where the feed gives it.
    pub day_open: Option<Price>,
    /// Start of the window: with the symbol the key of a bar, for a bar may come again, corrected.
    pub start: Utc,
    /// End of the window.
    pub end: Utc,
}

/// One trade of an option or a share.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Trade {
    /// Price of one.
    pub price: Price,
    /// How many, in 1/10 000: sizes of shares may be fractional.
    pub size: Price,
    /// When, by the exchange.
    pub stamp: Option<Utc>,
}

/// What a value on the glass is worth, judged with the calendar at the moment of drawing.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Freshness {
    /// Young enough for its kind, its session open.
    Live,
    /// Older than its kind may be while its session is open; the age is given.
    Stale(Duration),
    /// Young, but from a source that serves it late.
    Delayed,
    /// The session is over and this is its last value.
    Closed,
    /// There is no value.
    None,
}
