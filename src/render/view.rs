//! What the glass is to say, judged and ready to draw. Nothing after this sees a quote.

use core::time::Duration;

use crate::market::{
    Change, Contract, DayStats, Denial, Freshness, NumberFormat, OptionAnalytics, Price,
    SessionPart, TopOfBook, Trade,
};

/// One screenful.
#[derive(Clone, Copy, Debug)]
pub struct View<'a> {
    /// What is on it.
    pub page: PageView<'a>,
    /// Local time of day, hours and minutes; `None` while the clock has not been set.
    pub time: Option<(u8, u8)>,
    /// The state of the link.
    pub sign: LinkIcon,
    /// The prices are simulated, and the glass must say so.
    pub simulated: bool,
    /// The configuration file is wrong, and the last good one is in force.
    pub misconfigured: bool,
    /// A threshold that was crossed.
    pub alert: Option<AlertView<'a>>,
    /// How numbers and the time are written.
    pub format: Format,
}

/// What is on a screen.
#[derive(Clone, Copy, Debug)]
pub enum PageView<'a> {
    /// Two instruments, the first with the large digits; the second may be missing.
    Pair(InstrumentView<'a>, Option<InstrumentView<'a>>),
    /// One instrument alone, with its day, and its price outside the known hours while the close
    /// is in the price's place.
    Big(InstrumentView<'a>, DayStats, Option<ExtendedQuote>),
    /// An option contract and all that is known of it.
    Contract(OptionView<'a>),
    /// The state of the connection.
    Link(LinkReport),
    /// Words in place of prices, such as the error of a configuration file.
    Notice {
        /// A word or two.
        title: &'a str,
        /// In full; as much of it is shown as fits.
        text: &'a str,
    },
    /// The watchlist is empty.
    Empty,
}

/// How numbers and the time are written.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Format {
    /// Of prices.
    pub numbers: NumberFormat,
    /// `2:32p` rather than `14:32`.
    pub twelve_hours: bool,
}

/// A threshold that was crossed, shown until it is acknowledged by time.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct AlertView<'a> {
    /// Whose, as people write it.
    pub label: &'a str,
    /// What was crossed.
    pub threshold: Threshold,
    /// The lit half of a flash.
    pub lit: bool,
}

/// What raises an alert.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Threshold {
    /// The value is at this or above it.
    Above(Price),
    /// The value is at this or below it.
    Below(Price),
    /// The value has moved by so much since the previous close, either way; in 1/100 of a
    /// percent.
    Moved(i64),
}

/// An option contract and all that is known of it.
#[derive(Clone, Copy, Debug)]
pub struct OptionView<'a> {
    /// Which: its label is the name, its price the middle of the book.
    pub line: InstrumentView<'a>,
    /// What its ticker says.
    pub contract: Contract<'a>,
    /// Days until its last trading day; 0 on it, negative behind it, `None` without a clock.
    pub days: Option<i32>,
    /// The book; `None` if it is not known, or too old to be one.
    pub book: Option<TopOfBook>,
    /// The last trade, and how old it is.
    pub last: Option<(Trade, Duration)>,
    /// The day so far.
    pub day: DayStats,
    /// What is computed of it; `None` if it is not known, or too old.
    pub analytics: Option<OptionAnalytics>,
}

/// The last price outside the known hours, once it is too old to stand in the price's place.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct ExtendedQuote {
    /// The price.
    pub price: Price,
    /// Against the close; `None` if it is not known.
    pub change: Option<Change>,
    /// How old it is.
    pub age: Duration,
}

/// The state of the connection.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct LinkReport {
    /// Where it fails.
    pub hop: LinkHop,
    /// For how long it has failed, or has been good.
    pub since: Duration,
    /// What the prices on the watchlist are worth.
    pub prices: PriceSummary,
    /// Messages in the last ten seconds; `None` in the first ten.
    pub messages: Option<u32>,
    /// Received less stamped, in milliseconds, of the latest values; `None` if it is not known.
    pub latency: Option<i64>,
    /// Something has set this machine's clock: only then does the latency mean anything.
    pub clock_set: bool,
    /// A clock that is wrong while two others agree.
    pub clock: Option<ClockFault>,
    /// Connections lost and made again since the start.
    pub reconnects: u32,
    /// Since the last message.
    pub last: Option<Duration>,
    /// The hours that the most used dot of the panel has been lit, and those of the panel.
    pub burn_in: (u32, u32),
}

/// What the prices on the watchlist are worth, all together.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum PriceSummary {
    /// At least one is shown plain: live, delayed or a close.
    Fresh,
    /// There are prices, and every one of them is struck out.
    Struck,
    /// There is none: dashes.
    None,
}

/// A clock that is wrong.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct ClockFault {
    /// Whose.
    pub who: TimeSource,
    /// By how much it is ahead of the agreed time, in milliseconds; negative if it is behind.
    pub off: i64,
}

/// Who says what time it is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum TimeSource {
    /// This machine.
    Own,
    /// The hub or the vendor, in its answers.
    Server,
    /// The stamps of the values that are streamed.
    Stamps,
}

/// The first hop on the way to the exchange that fails; those before it are good.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum LinkHop {
    /// This machine has no address: no network.
    Address,
    /// The host's name cannot be resolved.
    Dns,
    /// The clock is not set, and no certificate is valid.
    Clock,
    /// The certificate is not to be trusted.
    Tls,
    /// Something else answers: a captive portal.
    Portal,
    /// The hub, or the vendor where there is none, cannot be reached or does not answer.
    Hub,
    /// The token or key is refused.
    Token,
    /// The hub is there, and nothing comes from behind it.
    Upstream,
    /// None: values arrive.
    None,
}

/// One instrument on the screen.
#[derive(Clone, Copy, Debug)]
pub struct InstrumentView<'a> {
    /// As people write it, `SPX`.
    pub label: &'a str,
    /// What the label says, if it is the ticker of an option.
    pub contract: Option<Contract<'a>>,
    /// It is a contract whose last day is over: there is nothing but its last price, struck out.
    pub expired: bool,
    /// The part of the trading day the value is of, if its market is open.
    pub part: Option<SessionPart>,
    /// The vendor serves nothing of it, and why: then there are dashes, and the reason.
    pub denial: Option<Denial>,
    /// The last value; drawn as dashes, never as 0, while there is none.
    pub price: Option<Price>,
    /// Against the previous close, once that is known.
    pub change: Option<Change>,
    /// What the value is worth.
    pub freshness: Freshness,
    /// The history, oldest first, evenly spaced.
    pub history: &'a [Price],
}

impl InstrumentView<'_> {
    /// The price, if it may be shown: one that is said to be none, or is not served, is none.
    pub(super) fn shown_price(&self) -> Option<Price> {
        let known = self.freshness != Freshness::None && self.denial.is_none();
        self.price.filter(|_| known)
    }

    /// Whether it is struck out: it is old, or of a contract that has expired. Then nothing that
    /// is known beside it is shown either.
    pub(super) const fn is_struck(&self) -> bool {
        self.expired || matches!(self.freshness, Freshness::Stale(_))
    }

    /// The change, if it may be shown: that of an old price is no change.
    pub(super) fn shown_change(&self) -> Option<Change> {
        let known = self.shown_price().is_some() && !self.is_struck();
        self.change.filter(|_| known)
    }

    /// The part of the day, if it is worth saying: the regular hours are what everybody expects,
    /// and of an old value its age is.
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

    /// Whether its freshness needs a mark: dashes have no age and are not delayed, but that the
    /// session is over is worth saying, for it is why there is nothing.
    pub(super) fn marked(&self) -> bool {
        self.shown_price().is_some() || self.freshness == Freshness::Closed
    }
}

/// The state of the link, told apart at eight pixels.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum LinkIcon {
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
