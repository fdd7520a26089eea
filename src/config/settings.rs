//! The settings that can change while the ticker runs.

use core::time::Duration;

use jiff::civil::DateTime;
use jiff::tz::TimeZone;

use crate::display::buttons::GPIO;
use crate::market::{AssetClass, Symbol};
use crate::render::{Colours, Format, Threshold};

/// The content of the display and its format. Every `place` in these settings is an index of the
/// watchlist.
#[derive(Clone, Debug, PartialEq)]
pub struct TickerSettings {
    /// The symbols, in the order of the configuration.
    pub watchlist: Vec<Symbol>,
    /// The pages, in this order. An empty list selects the default pages of the watchlist.
    pub pages: Vec<PageSpec>,
    /// The display time of each page.
    pub interval: Duration,
    /// The index of the page that is always shown; `None` lets the pages rotate.
    pub pin: Option<usize>,
    /// The alert rules.
    pub alerts: Vec<AlertRule>,
    /// The number of decimals of some instruments, 0 to 4: the index of the instrument and the
    /// number. The prices of the others have their usual number of decimals.
    pub decimals: Vec<(usize, u8)>,
    /// The format of prices and of the time.
    pub format: Format,
    /// The time zone of the displayed clock and of the dimming periods.
    pub zone: TimeZone,
    /// The brightness of the panel outside the dimming periods, 0 to 255.
    pub brightness: u8,
    /// The periods in which the panel is dimmed or off. If two periods overlap, the first period
    /// counts.
    pub dimming_periods: Vec<DimmingPeriod>,
    /// True if the picture moves by a row from time to time, to prevent burn-in. A picture of two
    /// colours never moves, because each row has its colour.
    pub shift: bool,
    /// The input devices whose buttons turn the pages; see [`crate::display::buttons::watch`].
    pub buttons: Vec<String>,
    /// The colours of the panel.
    pub colours: Colours,
}

impl TickerSettings {
    /// The default display time of each page.
    pub const INTERVAL: Duration = Duration::from_secs(10);

    /// Returns the default settings for a watchlist.
    pub fn of(watchlist: Vec<Symbol>) -> Self {
        Self {
            watchlist,
            pages: Vec::new(),
            interval: Self::INTERVAL,
            pin: None,
            alerts: Vec::new(),
            decimals: Vec::new(),
            format: Format::default(),
            zone: TimeZone::system(),
            brightness: 0x7f,
            dimming_periods: Vec::new(),
            shift: true,
            buttons: vec![GPIO.to_owned()],
            colours: Colours::One,
        }
    }

    /// Returns the pages in their order: the configured pages, or else the default pages of the
    /// watchlist.
    pub fn page_specs(&self) -> Vec<PageSpec> {
        match self.pages.as_slice() {
            [] => default_pages(&self.watchlist),
            chosen => chosen.to_vec(),
        }
    }
}

/// The content of one page. Each number is an index of the watchlist.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum PageSpec {
    /// Two instruments, or only one.
    Pair(usize, Option<usize>),
    /// One instrument with large digits and its day range.
    Big(usize),
    /// An option contract.
    Contract(usize),
    /// The state of the connection.
    Link,
}

impl PageSpec {
    /// Returns the first instrument of the page.
    pub fn first(self) -> Option<usize> {
        match self {
            PageSpec::Pair(first, _) | PageSpec::Big(first) | PageSpec::Contract(first) => {
                Some(first)
            }
            PageSpec::Link => None,
        }
    }

    /// Returns true if the page shows this instrument.
    pub fn shows(self, place: usize) -> bool {
        match self {
            PageSpec::Pair(first, second) => first == place || second == Some(place),
            PageSpec::Big(only) | PageSpec::Contract(only) => only == place,
            PageSpec::Link => false,
        }
    }
}

/// A rule that raises an alert.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct AlertRule {
    /// The index of the instrument on the watchlist.
    pub place: usize,
    /// The threshold that the value must cross.
    pub threshold: Threshold,
    /// The duration of the alert on the display.
    pub shown: Duration,
}

/// A minute of the day, 0 to 1440.
pub type MinuteOfDay = u16;

/// A daily period in which the panel is dimmed or off.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct DimmingPeriod {
    /// The weekdays on which the period begins; index 0 is Monday.
    pub days: [bool; 7],
    /// The first minute of the period, 0 to 1439.
    pub from: MinuteOfDay,
    /// The end of the period, exclusive, 0 to 1440. If `to` is not later than `from`, the period
    /// ends on the next day.
    pub to: MinuteOfDay,
    /// The brightness, 0 to 255; `None` turns the panel off.
    pub brightness: Option<u8>,
}

impl DimmingPeriod {
    /// Returns true if the period contains this local time. At a clock change, the displayed local
    /// time counts.
    pub(crate) fn covers(&self, local: DateTime) -> bool {
        let today = usize::from(local.weekday().to_monday_zero_offset().unsigned_abs());
        let yesterday = (today + 6) % 7;
        let minute = MinuteOfDay::from(local.hour().unsigned_abs()) * 60
            + MinuteOfDay::from(local.minute().unsigned_abs());
        if self.from < self.to {
            self.days[today] && (self.from..self.to).contains(&minute)
        } else {
            (self.days[today] && minute >= self.from) || (self.days[yesterday] && minute < self.to)
        }
    }
}

/// Returns the default pages of a watchlist: pairs of instruments, and one page for each contract.
fn default_pages(watchlist: &[Symbol]) -> Vec<PageSpec> {
    let contract = |place: &usize| watchlist[*place].class() == AssetClass::Option;
    let (contracts, priced): (Vec<usize>, Vec<usize>) = (0..watchlist.len()).partition(contract);
    let pairs = priced.chunks(2);
    let pairs = pairs.map(|pair| PageSpec::Pair(pair[0], pair.get(1).copied()));
    let contracts = contracts.into_iter().map(PageSpec::Contract);
    pairs.chain(contracts).collect()
}
