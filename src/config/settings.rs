//! What may be changed while the desk runs.

use core::time::Duration;

use jiff::tz::TimeZone;

use crate::market::Symbol;
use crate::render::{Format, Threshold};
use crate::ticker::dimming::DimmingPeriod;
use crate::ticker::pages;

/// What is shown, and how. Every place is one on the watchlist.
#[derive(Clone, Debug, PartialEq)]
pub struct TickerSettings {
    /// What is watched, in this order.
    pub watchlist: Vec<Symbol>,
    /// The pages, in this order; none for those that fit the watchlist.
    pub pages: Vec<PageSpec>,
    /// How long each page is shown.
    pub interval: Duration,
    /// The page, by its place among the pages, that is shown for ever.
    pub pin: Option<usize>,
    /// What raises an alert.
    pub alerts: Vec<AlertRule>,
    /// How numbers and the time are written.
    pub format: Format,
    /// Of the clock on the glass and of the nights.
    pub zone: TimeZone,
    /// The panel's brightness by day, 0 to 255.
    pub brightness: u8,
    /// When it is dimmed or off; of two that overlap the first counts.
    pub dimming_periods: Vec<DimmingPeriod>,
    /// Whether the picture wanders by a row or two, so that no dot burns in.
    pub shift: bool,
}

impl TickerSettings {
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
            dimming_periods: Vec::new(),
            shift: true,
        }
    }

    /// The pages in their order: those that were chosen, or else those that fit the watchlist.
    pub fn page_specs(&self) -> Vec<PageSpec> {
        match self.pages.as_slice() {
            [] => pages::fitting(&self.watchlist),
            chosen => chosen.to_vec(),
        }
    }
}

/// What one page shows.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum PageSpec {
    /// Two instruments, or one.
    Pair(usize, Option<usize>),
    /// One instrument alone, with its day.
    Big(usize),
    /// An option contract.
    Contract(usize),
    /// The state of the connection.
    Link,
}

impl PageSpec {
    /// Whether an instrument is on it.
    pub fn shows(self, place: usize) -> bool {
        match self {
            PageSpec::Pair(first, second) => first == place || second == Some(place),
            PageSpec::Big(only) | PageSpec::Contract(only) => only == place,
            PageSpec::Link => false,
        }
    }
}

/// What raises an alert.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct AlertRule {
    /// Whose value.
    pub place: usize,
    /// What it must cross.
    pub threshold: Threshold,
    /// For how long the alert is shown.
    pub shown: Duration,
}
