//! What may be changed while the desk runs.

use core::time::Duration;

use jiff::tz::TimeZone;

use super::night::Night;
use super::pages;
use crate::market::Symbol;
use crate::screen::{Format, Threshold};

/// What is shown, and how. Every place is one on the watchlist.
#[derive(Clone, Debug, PartialEq)]
pub struct Settings {
    /// What is watched, in this order.
    pub watchlist: Vec<Symbol>,
    /// The pages, in this order; none for those that fit the watchlist.
    pub pages: Vec<Leaf>,
    /// How long each page is shown.
    pub interval: Duration,
    /// The page, by its place among the pages, that is shown for ever.
    pub pin: Option<usize>,
    /// What raises an alert.
    pub alerts: Vec<Rule>,
    /// How numbers and the time are written.
    pub format: Format,
    /// Of the clock on the glass and of the nights.
    pub zone: TimeZone,
    /// The panel's brightness by day, 0 to 255.
    pub brightness: u8,
    /// When it is dimmed or off; of two that overlap the first counts.
    pub nights: Vec<Night>,
    /// Whether the picture wanders by a row or two, so that no dot burns in.
    pub shift: bool,
}

impl Settings {
    /// Each page is shown this long unless told otherwise.
    pub const INTERVAL: Duration = Duration::from_secs(10);

    /// Those of a watchlist of which nothing else is said.
    pub fn of(watchlist: Vec<Symbol>) -> Self {
        Self {
            watchlist,
            pages: Vec::new(),
            interval: Self::INTERVAL,
            pin: None,
            alerts: Vec::new(),
            format: Format::default(),
            zone: TimeZone::system(),
            brightness: 0x7f,
            nights: Vec::new(),
            shift: true,
        }
    }

    /// The pages in their order: those that were chosen, or else those that fit the watchlist.
    pub fn leaves(&self) -> Vec<Leaf> {
        match self.pages.as_slice() {
            [] => pages::fitting(&self.watchlist),
            chosen => chosen.to_vec(),
        }
    }
}

/// What one page shows.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Leaf {
    /// Two instruments, or one.
    Pair(usize, Option<usize>),
    /// One instrument alone, with its day.
    Big(usize),
    /// An option contract.
    Contract(usize),
    /// The state of the connection.
    Link,
}

impl Leaf {
    /// Whether an instrument is on it.
    pub fn shows(self, place: usize) -> bool {
        match self {
            Leaf::Pair(first, second) => first == place || second == Some(place),
            Leaf::Big(only) | Leaf::Contract(only) => only == place,
            Leaf::Link => false,
        }
    }
}

/// What raises an alert.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Rule {
    /// Whose value.
    pub place: usize,
    /// What it must cross.
    pub threshold: Threshold,
    /// For how long the alert is shown.
    pub shown: Duration,
}
