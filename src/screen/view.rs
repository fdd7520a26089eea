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

impl<'a> View<'a> {
    /// What there is to show, the large one first: a second instrument alone is the first.
    pub(super) fn lines(&self) -> Option<(&Line<'a>, Option<&Line<'a>>)> {
        match (&self.primary, &self.secondary) {
            (Some(primary), secondary) => Some((primary, secondary.as_ref())),
            (None, Some(only)) => Some((only, None)),
            (None, None) => None,
        }
    }
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

impl Line<'_> {
    /// The price, if it may be shown: one that is said to be none is none.
    pub(super) fn shown_price(&self) -> Option<Price> {
        self.price.filter(|_| self.freshness != Freshness::None)
    }

    /// The change, if it may be shown: that of an old price is no change.
    pub(super) fn shown_change(&self) -> Option<Change> {
        let known = self.shown_price().is_some() && !matches!(self.freshness, Freshness::Stale(_));
        self.change.filter(|_| known)
    }

    /// Whether its freshness needs a mark: dashes have no age and are not delayed, but that the
    /// session is over is worth saying, for it is why there is nothing.
    pub(super) fn marked(&self) -> bool {
        self.shown_price().is_some() || self.freshness == Freshness::Closed
    }
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
