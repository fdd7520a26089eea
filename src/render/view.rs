//! The view: all values that the display shows, already judged and ready to draw. The modules that
//! draw a view never use a quote.

use core::time::Duration;

use super::frame::Colours;
use super::parts::change::ChangeText;
use crate::market::{
    Change, Contract, DayStats, Denial, Freshness, NumberFormat, OptionAnalytics, Price,
    SessionPart, ShortText, TopOfBook, Trade,
};

/// The content of the whole display.
#[derive(Clone, Copy, Debug)]
pub struct View<'a> {
    /// The page to show.
    pub page: PageView<'a>,
    /// The local time of day in hours and minutes; `None` while the clock is not set.
    pub time: Option<(u8, u8)>,
    /// The state of the connection.
    pub sign: LinkIcon,
    /// True if the prices are simulated. The display must show this.
    pub simulated: bool,
    /// True if the configuration file has an error and the last valid configuration is in use.
    pub misconfigured: bool,
    /// The active alert of a crossed threshold, if any.
    pub alert: Option<AlertView<'a>>,
    /// The format of prices and of the time.
    pub format: Format,
    /// The colours of the panel.
    pub colours: Colours,
}

/// A page of the display.
#[derive(Clone, Copy, Debug)]
pub enum PageView<'a> {
    /// Two instruments, the first with the large digits. The second instrument may be missing.
    Pair(InstrumentView<'a>, Option<InstrumentView<'a>>),
    /// One instrument alone, with the statistics of its day. Outside the regular hours, the page is
    /// a pair of the close and the latest price.
    Big(InstrumentView<'a>, DayStats),
    /// An option contract with all its known values.
    Contract(OptionView<'a>),
    /// The state of the connection.
    Link(LinkReport),
    /// A text in place of prices, such as an error in the configuration file.
    Notice {
        /// The title of one or two words.
        title: &'a str,
        /// The full text. A layout shows as much of the text as fits.
        text: &'a str,
    },
    /// The notice of the set-up by phone.
    Join {
        /// The name and the code of the network, and the address of the page.
        text: &'a str,
        /// The QR code, with which a phone joins the network: a line for each row of modules, with
        /// `#` for a dark module.
        code: &'a str,
    },
    /// The watchlist is empty.
    Empty,
}

/// The format of prices and of the time.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Format {
    /// The format of prices.
    pub numbers: NumberFormat,
    /// True for the twelve-hour format, such as `2:32p`; false for `14:32`.
    pub twelve_hours: bool,
}

/// An alert for a crossed threshold. The display shows an alert for a limited time.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct AlertView<'a> {
    /// The name of the instrument in the form that people use.
    pub label: &'a str,
    /// The threshold that was crossed.
    pub threshold: Threshold,
    /// The number of decimals of the instrument's prices, 0 to 4.
    pub decimals: u8,
    /// True in the lit half of a flash.
    pub lit: bool,
}

/// The threshold of an alert.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Threshold {
    /// The price is at this value or above it.
    Above(Price),
    /// The price is at this value or below it.
    Below(Price),
    /// The price has moved by at least this amount since the previous close, up or down; in 1/100
    /// of a percent.
    Moved(i64),
}

/// An option contract with all its known values.
#[derive(Clone, Copy, Debug)]
pub struct OptionView<'a> {
    /// The contract as an instrument: the label is the name, and the price is the middle of bid and
    /// ask.
    pub line: InstrumentView<'a>,
    /// The contract that the ticker describes.
    pub contract: Contract<'a>,
    /// The number of days until the last trading day: 0 on that day, negative after it, and `None`
    /// while the clock is not set.
    pub days: Option<i32>,
    /// The best bid and ask; `None` if they are unknown or too old.
    pub book: Option<TopOfBook>,
    /// The last trade and its age.
    pub last: Option<(Trade, Duration)>,
    /// The statistics of the day so far.
    pub day: DayStats,
    /// The calculated values of the contract; `None` if they are unknown or too old.
    pub analytics: Option<OptionAnalytics>,
}

/// The state of the connection.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct LinkReport {
    /// The first hop that fails.
    pub hop: LinkHop,
    /// The time for which the connection has failed, or for which it has worked.
    pub since: Duration,
    /// The freshness of all prices of the watchlist together.
    pub prices: PriceSummary,
    /// The number of messages in the last ten seconds; `None` in the first ten seconds.
    pub messages: Option<u32>,
    /// The latency of the latest values in milliseconds: receive time minus timestamp. `None` if it
    /// is unknown.
    pub latency: Option<i64>,
    /// True if the server lately sent a streamed value without a usable timestamp. The age of such a
    /// value is unknown.
    pub undated: bool,
    /// True if the clock of this machine is set. Without a clock, the latency has no meaning.
    pub clock_set: bool,
    /// The clock that is wrong, if two other clocks agree.
    pub clock: Option<ClockFault>,
    /// The number of reconnections since the start of the program.
    pub reconnects: u32,
    /// The time since the last message; `None` before the first message.
    pub last: Option<Duration>,
    /// The number of hours for which the most used dot of the panel has been lit.
    pub lit_hours: u32,
    /// The clusters of the watchlist that the vendor's plan does not include, by the order of
    /// [`crate::market::Cluster::ALL`].
    pub excluded: [bool; 3],
}

/// The freshness of all prices of the watchlist together.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum PriceSummary {
    /// At least one price is live, delayed or a closing price, so it is not struck out.
    Fresh,
    /// There are prices, and all of them are stale, so they are struck out.
    Struck,
    /// There is no price, so the display shows dashes.
    None,
}

/// A clock that is wrong.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct ClockFault {
    /// The source of the wrong time.
    pub who: TimeSource,
    /// The difference between this clock and the agreed time, in milliseconds; negative if the
    /// clock is behind.
    pub off: i64,
}

/// A source of the time of day.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum TimeSource {
    /// The clock of this machine.
    Own,
    /// The time in the responses of the hub or the vendor.
    Server,
    /// The timestamps of the streamed values.
    Stamps,
}

/// The first hop between this machine and the exchange that fails. All hops before it work.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum LinkHop {
    /// This machine has no network address.
    Address,
    /// The name of the host cannot be resolved.
    Dns,
    /// The clock is not set, so no certificate is valid.
    Clock,
    /// The certificate is not trusted.
    Tls,
    /// Another server responds, such as a captive portal.
    Portal,
    /// The hub cannot be reached or does not respond.
    Hub,
    /// The display connects to the vendor without a hub, and the vendor cannot be reached, does not
    /// respond, or serves another connection with this key.
    Vendor,
    /// The hub rejects the token.
    Token,
    /// The vendor rejects the key. The display has no hub.
    Key,
    /// The vendor's plan includes no cluster of the watchlist. The display has no hub.
    Plan,
    /// The hub responds, but it receives no values from the vendor.
    Upstream,
    /// No hop fails, and values arrive.
    None,
}

/// An instrument on the display.
#[derive(Clone, Copy, Debug)]
pub struct InstrumentView<'a> {
    /// The name in the form that people use, such as `SPX`.
    pub label: &'a str,
    /// The option contract, if the label is the ticker of an option.
    pub contract: Option<Contract<'a>>,
    /// True if the last trading day of the contract is over. The display then shows only the last
    /// price, struck out.
    pub expired: bool,
    /// The part of the trading day to which the price belongs, if the market is open.
    pub part: Option<SessionPart>,
    /// The reason why the vendor serves no values for this instrument. The display then shows
    /// dashes and this reason.
    pub denial: Option<Denial>,
    /// The last price. Without a price the display shows dashes, never 0.
    pub price: Option<Price>,
    /// The change against the previous close; `None` if the close is unknown.
    pub change: Option<Change>,
    /// The number of decimals of all prices of the instrument, 0 to 4. A price loses decimals only
    /// if it does not fit otherwise, and has more decimals only if it would be zero without them.
    pub decimals: u8,
    /// The freshness of the price.
    pub freshness: Freshness,
    /// The price history in even intervals, oldest first.
    pub history: &'a [Price],
}

impl InstrumentView<'_> {
    /// Returns the price if the display may show it. A price without freshness or with a denial is
    /// not shown.
    pub(crate) fn shown_price(&self) -> Option<Price> {
        let known = self.freshness != Freshness::None && self.denial.is_none();
        self.price.filter(|_| known)
    }

    /// Returns true if the price is struck out, which means that it is stale or that the contract
    /// has expired. The display then shows no other values beside the price.
    pub(crate) const fn is_struck(&self) -> bool {
        self.expired || matches!(self.freshness, Freshness::Stale(_))
    }

    /// Returns true if the display shows a live price.
    pub(super) fn is_live(&self) -> bool {
        self.freshness == Freshness::Live && !self.expired && self.shown_price().is_some()
    }

    /// Returns the change as a difference, if the display may show it.
    pub(super) fn shown_difference(&self, numbers: NumberFormat) -> Option<ShortText> {
        Some(self.shown_change()?.difference(self.decimals, numbers))
    }

    /// Returns the change in percent, if the display may show it and the change has a percentage.
    pub(super) fn shown_percent(&self, numbers: NumberFormat) -> Option<ChangeText> {
        ChangeText::new(self.shown_change()?, numbers)
    }

    /// Returns the change if the display may show it. The change of a stale price has no meaning.
    pub(crate) fn shown_change(&self) -> Option<Change> {
        let known = self.shown_price().is_some() && !self.is_struck();
        self.change.filter(|_| known)
    }

    /// Returns the word for the part of the trading day if the display needs it. The regular hours
    /// need no word, and a stale price shows its age instead.
    pub(super) fn shown_part(&self) -> Option<&'static str> {
        let word = match self.part? {
            SessionPart::Regular => return None,
            SessionPart::Pre => "PRE",
            SessionPart::Post => "POST",
            SessionPart::Outside => "EXT",
        };
        let young = matches!(self.freshness, Freshness::Live | Freshness::Delayed);
        let shown = young && !self.expired && self.shown_price().is_some();
        shown.then_some(word)
    }
}

/// The state of the connection, as an icon of eight by eight dots.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum LinkIcon {
    /// Messages arrive.
    Live,
    /// The client connects or authenticates.
    Joining,
    /// The client is connected and expects messages, but no messages arrive.
    Silent,
    /// The client is not connected and waits for the next attempt.
    Down,
    /// The server rejects the connection because of the token, the plan, or another connection with
    /// the same key.
    Refused,
}
