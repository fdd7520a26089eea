//! The content of the big screen, with values of its own: a copy of a [`View`] and of the wall of
//! tiles that another thread can draw. The copy keeps every judgement of the view and judges nothing.

use core::time::Duration;

use crate::market::{
    Change, Contract, DayStats, Denial, Freshness, HISTORY_POINTS, OptionAnalytics, Price,
    SessionPart, Ticker, TopOfBook, Trade,
};
use crate::render::{
    AlertView, Colours, Format, InstrumentView, LinkIcon, LinkReport, OptionView, PageView,
    Threshold, View,
};

/// The maximum number of tiles.
pub const TILES: usize = 12;

/// A copy of an [`InstrumentView`].
#[derive(Clone, Debug)]
struct Line {
    label: Ticker,
    /// The root of a contract and the rest of the contract.
    contract: Option<(Ticker, jiff::civil::Date, bool, Price)>,
    expired: bool,
    part: Option<SessionPart>,
    denial: Option<Denial>,
    price: Option<Price>,
    change: Option<Change>,
    decimals: u8,
    freshness: Freshness,
    history: heapless::Vec<Price, HISTORY_POINTS>,
}

impl Line {
    fn of(view: &InstrumentView<'_>, curve: bool) -> Self {
        let own = |text: &str| Ticker::try_from(text).unwrap_or_default();
        let history = view.history.get(..view.history.len().min(HISTORY_POINTS));
        let history = history.filter(|_| curve).unwrap_or_default();
        Self {
            label: own(view.label),
            contract: (view.contract).map(|it| (own(it.root), it.expiry, it.call, it.strike)),
            expired: view.expired,
            part: view.part,
            denial: view.denial,
            price: view.price,
            change: view.change,
            decimals: view.decimals,
            freshness: view.freshness,
            history: heapless::Vec::from_slice(history).unwrap_or_default(),
        }
    }

    fn contract(&self) -> Option<Contract<'_>> {
        let (root, expiry, call, strike) = self.contract.as_ref()?;
        Some(Contract {
            root,
            expiry: *expiry,
            call: *call,
            strike: *strike,
        })
    }

    fn view(&self) -> InstrumentView<'_> {
        InstrumentView {
            label: &self.label,
            contract: self.contract(),
            expired: self.expired,
            part: self.part,
            denial: self.denial,
            price: self.price,
            change: self.change,
            decimals: self.decimals,
            freshness: self.freshness,
            history: &self.history,
        }
    }
}

/// The fields of an option beside its line.
#[derive(Clone, Copy, Debug)]
struct Sheet {
    days: Option<i32>,
    book: Option<TopOfBook>,
    last: Option<(Trade, Duration)>,
    day: DayStats,
    analytics: Option<OptionAnalytics>,
}

/// A copy of a [`PageView`].
#[expect(
    clippy::large_enum_variant,
    reason = "a box would allocate memory for each price"
)]
#[derive(Clone, Debug)]
enum Page {
    Pair(Line, Option<Line>),
    Big(Line, DayStats),
    Contract(Line, Sheet),
    Link(LinkReport),
    Notice(String, String),
    Join(String, String),
    Empty,
}

/// The times of day between which the curve was recorded: hours and minutes of its start and end.
pub type CurveSpan = ((u8, u8), (u8, u8));

/// The content of the big screen; see the module documentation.
#[derive(Clone, Debug)]
pub struct ScreenContent {
    page: Page,
    time: Option<(u8, u8)>,
    sign: LinkIcon,
    simulated: bool,
    misconfigured: bool,
    alert: Option<(Ticker, Threshold, u8, bool)>,
    format: Format,
    /// The statistics of the day of the first instrument of the page.
    day: DayStats,
    span: Option<CurveSpan>,
    tiles: heapless::Vec<Line, TILES>,
}

impl Default for ScreenContent {
    /// An empty watchlist.
    fn default() -> Self {
        Self {
            page: Page::Empty,
            time: None,
            sign: LinkIcon::Down,
            simulated: false,
            misconfigured: false,
            alert: None,
            format: Format::default(),
            day: DayStats::default(),
            span: None,
            tiles: heapless::Vec::new(),
        }
    }
}

impl ScreenContent {
    /// Copies a view and removes all tiles. The copy of a price allocates no memory.
    pub fn set(&mut self, view: &View<'_>) {
        self.page = match &view.page {
            PageView::Pair(first, second) => {
                let second = second.as_ref().map(|second| Line::of(second, false));
                Page::Pair(Line::of(first, true), second)
            }
            PageView::Big(line, day) => Page::Big(Line::of(line, true), *day),
            PageView::Contract(sheet) => Page::Contract(
                Line::of(
                    &InstrumentView {
                        contract: Some(sheet.contract),
                        ..sheet.line
                    },
                    true,
                ),
                Sheet {
                    days: sheet.days,
                    book: sheet.book,
                    last: sheet.last,
                    day: sheet.day,
                    analytics: sheet.analytics,
                },
            ),
            PageView::Link(report) => Page::Link(*report),
            PageView::Notice { title, text } => {
                Page::Notice((*title).to_owned(), (*text).to_owned())
            }
            PageView::Join { text, code } => Page::Join((*text).to_owned(), (*code).to_owned()),
            PageView::Empty => Page::Empty,
        };
        self.time = view.time;
        self.sign = view.sign;
        self.simulated = view.simulated;
        self.misconfigured = view.misconfigured;
        self.alert = view.alert.map(|alert| {
            let label = Ticker::try_from(alert.label).unwrap_or_default();
            (label, alert.threshold, alert.decimals, alert.lit)
        });
        self.format = view.format;
        self.day = DayStats::default();
        self.span = None;
        self.tiles.clear();
    }

    /// Adds a tile, if there is room. `simulated` marks the whole screen.
    pub fn push_tile(&mut self, line: &InstrumentView<'_>, simulated: bool) {
        if self.tiles.push(Line::of(line, false)).is_ok() {
            self.simulated |= simulated;
        }
    }

    /// Sets the statistics of the day of the page's first instrument.
    pub const fn set_day(&mut self, day: DayStats) {
        self.day = day;
    }

    /// Sets the times of the curve of the page's first instrument.
    pub const fn set_span(&mut self, span: Option<CurveSpan>) {
        self.span = span;
    }

    /// The statistics of the day of the page's first instrument.
    pub const fn day(&self) -> DayStats {
        self.day
    }

    /// The times of the curve.
    pub const fn span(&self) -> Option<CurveSpan> {
        self.span
    }

    /// The instruments of the tiles.
    pub fn tiles(&self) -> impl ExactSizeIterator<Item = InstrumentView<'_>> + Clone {
        self.tiles.iter().map(Line::view)
    }

    /// Returns the copied view.
    pub fn view(&self) -> View<'_> {
        let page = match &self.page {
            Page::Pair(first, second) => {
                PageView::Pair(first.view(), second.as_ref().map(Line::view))
            }
            Page::Big(line, day) => PageView::Big(line.view(), *day),
            Page::Contract(line, sheet) => match line.contract() {
                Some(contract) => PageView::Contract(OptionView {
                    line: line.view(),
                    contract,
                    days: sheet.days,
                    book: sheet.book,
                    last: sheet.last,
                    day: sheet.day,
                    analytics: sheet.analytics,
                }),
                None => PageView::Pair(line.view(), None),
            },
            Page::Link(report) => PageView::Link(*report),
            Page::Notice(title, text) => PageView::Notice { title, text },
            Page::Join(text, code) => PageView::Join { text, code },
            Page::Empty => PageView::Empty,
        };
        View {
            page,
            time: self.time,
            sign: self.sign,
            simulated: self.simulated,
            misconfigured: self.misconfigured,
            alert: (self.alert.as_ref()).map(|(label, threshold, decimals, lit)| AlertView {
                label,
                threshold: *threshold,
                decimals: *decimals,
                lit: *lit,
            }),
            format: self.format,
            colours: Colours::One,
        }
    }
}
