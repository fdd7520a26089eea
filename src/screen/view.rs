//! What the glass is to say, judged and ready to draw. Nothing after this sees a quote.

use crate::market::{Change, Freshness, Price};

/// One screenful.
#[derive(Clone, Copy, Debug)]
pub struct View<'a> {
    /// The instrument with the large digits.
    pub primary: Option<Line<'a>>,
    /// The instrument below it.
    pub secondary: Option<Line<'a>>,
    /// Local time of day, hours and minutes; `None` while the clock has not been set.
    pub time: Option<(u8, u8)>,
    /// The state of the link.
    pub sign: Sign,
    /// The prices are simulated, and the glass must say so.
    pub simulated: bool,
}

/// One instrument on the screen.
#[derive(Clone, Copy, Debug)]
pub struct Line<'a> {
    /// As people write it, `SPX`.
    pub label: &'a str,
    /// The last value; drawn as dashes, never as 0, while there is none.
    pub price: Option<Price>,
    /// Against the previous close, once that is known.
    pub change: Option<Change>,
    /// What the value is worth.
    pub freshness: Freshness,
    /// The history, oldest first, evenly spaced.
    pub history: &'a [Price],
}

/// The state of the link, told apart at eight pixels.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Sign {
    /// Frames arrive.
    Live,
    /// Connecting or authenticating.
    Joining,
    /// Connected, but nothing comes although something should.
    Silent,
    /// Not connected; waiting to try again.
    Down,
    /// The other side said no: token, plan, or another connection took our place.
    Refused,
}
