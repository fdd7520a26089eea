//! Random views for property tests of the display.

use std::ops::Range;
use std::time::Duration;

use deskticker::market::{
    DayStats, Denial, Freshness, NumberFormat, OptionAnalytics, Price, SessionPart, Symbol,
    TopOfBook, Trade,
};
use deskticker::render::{
    AlertView, ClockFault, Colours, Format, InstrumentView, LinkIcon, LinkReport, OptionView,
    PageView, PriceSummary, Threshold, TimeSource, View,
};
use proptest::prelude::*;

use super::{HOPS, SIGNS, stale};

pub(crate) fn some_price() -> impl Strategy<Value = Price> {
    // The prices have a random number of digits. Otherwise most of them would have the maximum
    // number.
    (0u32..13, any::<i64>()).prop_map(|(digits, number)| {
        Price::from_scaled(
            (number % 10i64.pow(digits)).clamp(-Price::MAX.scaled(), Price::MAX.scaled()),
        )
    })
}

pub(crate) fn some_freshness() -> impl Strategy<Value = Freshness> {
    prop_oneof![
        Just(Freshness::Live),
        any::<u64>().prop_map(stale),
        (0u64..1_000_000).prop_map(stale),
        Just(Freshness::Delayed),
        Just(Freshness::Closed),
        Just(Freshness::None),
    ]
}

pub(crate) fn some_age() -> impl Strategy<Value = Duration> {
    prop_oneof![0u64..200, 0u64..1_000_000, any::<u64>()].prop_map(Duration::from_secs)
}

/// An instrument and its optional data.
#[derive(Clone, Debug)]
pub(crate) struct Parts {
    label: String,
    symbol: Option<Symbol>,
    expired: bool,
    part: Option<SessionPart>,
    denial: Option<Denial>,
    price: Option<Price>,
    before: Option<Price>,
    decimals: u8,
    freshness: Freshness,
}

impl Parts {
    fn line<'a>(&'a self, history: &'a [Price]) -> InstrumentView<'a> {
        InstrumentView {
            label: &self.label,
            contract: self.symbol.as_ref().and_then(Symbol::contract),
            expired: self.expired,
            part: self.part,
            denial: self.denial,
            price: self.price,
            change: self
                .before
                .and_then(|before| Some(self.price?.change_from(before))),
            decimals: self.decimals,
            freshness: self.freshness,
            history,
        }
    }
}

pub(crate) fn some_contract() -> impl Strategy<Value = String> {
    (
        "[A-Z]{1,6}",
        20u32..30,
        1u32..13,
        1u32..29,
        "[CP]",
        1u32..100_000_000,
    )
        .prop_map(|(root, year, month, day, side, strike)| {
            format!("{root}{year}{month:02}{day:02}{side}{strike:08}")
        })
}

pub(crate) fn some_instrument(
    label: impl Strategy<Value = String>,
) -> impl Strategy<Value = Parts> {
    (
        label,
        prop::bool::weighted(0.1),
        prop::option::of(prop::sample::select(vec![
            SessionPart::Pre,
            SessionPart::Regular,
            SessionPart::Post,
            SessionPart::Outside,
        ])),
        prop::option::weighted(
            0.2,
            prop::sample::select(vec![Denial::NotEntitled, Denial::NotFound]),
        ),
        prop::option::of(some_price()),
        prop::option::of(some_price()),
        0..=Price::MAX_DECIMALS,
        some_freshness(),
    )
        .prop_map(
            |(label, expired, part, denial, price, before, decimals, freshness)| {
                let symbol: Option<Symbol> = format!("O:{label}").parse().ok();
                Parts {
                    expired: expired && symbol.is_some(),
                    symbol,
                    label,
                    part,
                    denial,
                    price,
                    before,
                    decimals,
                    freshness,
                }
            },
        )
}

pub(crate) fn some_line() -> impl Strategy<Value = Parts> {
    some_instrument(prop_oneof!["[A-Z0-9]{1,6}", some_contract(), ".{0,24}"])
}

/// The data of a page and of the areas around it. `page` selects the kind of page.
#[derive(Clone, Debug)]
pub(crate) struct Glass {
    pub(crate) page: usize,
    first: Parts,
    second: Option<Parts>,
    contract: Parts,
    pub(crate) days: Option<i32>,
    book: Option<TopOfBook>,
    last: Option<(Trade, Duration)>,
    day: DayStats,
    analytics: Option<OptionAnalytics>,
    report: LinkReport,
    words: (String, String),
    alert: Option<(String, Threshold, u8, bool)>,
    time: Option<(u8, u8)>,
    sign: LinkIcon,
    flags: [bool; 3],
    numbers: NumberFormat,
    pub(crate) colours: Colours,
}

/// The pages with prices have the first numbers.
pub(crate) const PRICED: usize = 3;
pub(crate) const PAGES: usize = 6;

impl Glass {
    pub(crate) fn view<'a>(&'a self, history: &'a [Price]) -> View<'a> {
        let page = match self.page {
            0 => PageView::Pair(
                self.first.line(history),
                self.second.as_ref().map(|parts| parts.line(history)),
            ),
            1 => PageView::Big(self.first.line(history), self.day),
            2 => {
                let line = self.contract.line(history);
                PageView::Contract(OptionView {
                    line,
                    contract: line.contract.unwrap(),
                    days: self.days,
                    book: self.book,
                    last: self.last,
                    day: self.day,
                    analytics: self.analytics,
                })
            }
            3 => PageView::Link(self.report),
            4 => PageView::Notice {
                title: &self.words.0,
                text: &self.words.1,
            },
            _ => PageView::Empty,
        };
        let [simulated, misconfigured, twelve_hours] = self.flags;
        View {
            page,
            time: self.time,
            sign: self.sign,
            simulated,
            misconfigured,
            alert: self
                .alert
                .as_ref()
                .map(|(label, threshold, decimals, lit)| AlertView {
                    label,
                    threshold: *threshold,
                    decimals: *decimals,
                    lit: *lit,
                }),
            format: Format {
                numbers: self.numbers,
                twelve_hours,
            },
            colours: self.colours,
        }
    }
}

pub(crate) fn some_analysis() -> impl Strategy<Value = OptionAnalytics> {
    let greek = || prop::option::of(some_price());
    (
        greek(),
        greek(),
        greek(),
        greek(),
        greek(),
        prop::option::of(any::<u64>()),
    )
        .prop_map(
            |(delta, gamma, theta, vega, implied_volatility, open_interest)| OptionAnalytics {
                delta,
                gamma,
                theta,
                vega,
                implied_volatility,
                open_interest,
            },
        )
}

pub(crate) fn some_book() -> impl Strategy<Value = TopOfBook> {
    (some_price(), some_price(), any::<u32>(), 0u32..2000).prop_map(
        |(bid, ask, bid_size, ask_size)| TopOfBook {
            bid,
            ask,
            bid_size,
            ask_size,
        },
    )
}

pub(crate) fn some_day() -> impl Strategy<Value = DayStats> {
    (
        prop::option::of((some_price(), some_price())),
        prop::option::of(prop_oneof![any::<u64>(), 0u64..100_000_000]),
    )
        .prop_map(|(range, volume)| DayStats {
            range: range.map(|(a, b)| (a.min(b), a.max(b))),
            volume,
        })
}

pub(crate) fn some_report() -> impl Strategy<Value = LinkReport> {
    (
        prop::sample::select(&HOPS[..]),
        some_age(),
        prop::sample::select(vec![
            PriceSummary::Fresh,
            PriceSummary::Struck,
            PriceSummary::None,
        ]),
        prop::option::of(any::<u32>()),
        prop::option::of(any::<i64>()),
        any::<(bool, bool)>(),
        prop::option::of(some_clock_fault()),
        any::<u32>(),
        prop::option::of(some_age()),
        any::<u32>(),
        any::<[bool; 3]>(),
    )
        .prop_map(
            |(
                hop,
                since,
                prices,
                messages,
                latency,
                (undated, clock_set),
                clock,
                reconnects,
                last,
                lit_hours,
                excluded,
            )| {
                LinkReport {
                    hop,
                    since,
                    prices,
                    messages,
                    latency,
                    undated,
                    clock_set,
                    clock,
                    reconnects,
                    last,
                    lit_hours,
                    excluded,
                }
            },
        )
}

pub(crate) fn some_clock_fault() -> impl Strategy<Value = ClockFault> {
    let who = prop::sample::select(vec![
        TimeSource::Own,
        TimeSource::Server,
        TimeSource::Stamps,
    ]);
    (who, prop_oneof![-100_000i64..100_000, any::<i64>()])
        .prop_map(|(who, off)| ClockFault { who, off })
}

pub(crate) fn some_alert() -> impl Strategy<Value = (String, Threshold, u8, bool)> {
    let threshold = prop_oneof![
        some_price().prop_map(Threshold::Above),
        some_price().prop_map(Threshold::Below),
        any::<i64>().prop_map(|points| Threshold::Moved(points % 10_000_000)),
    ];
    let decimals = 0..=Price::MAX_DECIMALS;
    (".{0,24}", threshold, decimals, any::<bool>())
}

pub(crate) fn some_numbers() -> impl Strategy<Value = NumberFormat> {
    prop::sample::select(vec![
        NumberFormat::ENGLISH,
        NumberFormat {
            group: Some(b'.'),
            point: b',',
        },
        NumberFormat {
            group: Some(b' '),
            point: b',',
        },
        NumberFormat {
            group: Some(b'\''),
            point: b'.',
        },
        NumberFormat {
            group: None,
            point: b'.',
        },
    ])
}

pub(crate) fn some_glass(pages: Range<usize>) -> impl Strategy<Value = Glass> {
    let prices = (
        some_line(),
        prop::option::of(some_line()),
        some_instrument(some_contract()),
    );
    let details = (
        prop::option::of(prop_oneof![-3i32..4, any::<i32>()]),
        prop::option::of(some_book()),
        prop::option::of((
            (some_price(), any::<u32>()).prop_map(|(price, size)| Trade { price, size }),
            some_age(),
        )),
        some_day(),
        prop::option::of(some_analysis()),
        some_report(),
        (".{0,40}", "(/?[a-z:0-9\u{e4}\u{20ac}./]{1,40} ?){0,12}"),
    );
    let around = (
        prop::option::of(some_alert()),
        prop::option::of((0u8..24, 0u8..60)),
        prop::sample::select(&SIGNS[..]),
        any::<[bool; 3]>(),
        some_numbers(),
        prop::sample::select(vec![Colours::One, Colours::YellowBlue]),
    );
    // Boxes keep the strategies off the stack: two unboxed ones exceed the stack of a test thread.
    let (prices, details, around) = (prices.boxed(), details.boxed(), around.boxed());
    (pages, prices, details, around).prop_map(|(page, prices, details, around)| {
        let (first, second, contract) = prices;
        let (days, book, last, day, analytics, report, words) = details;
        let (alert, time, sign, flags, numbers, colours) = around;
        Glass {
            page,
            first,
            second,
            contract,
            days,
            book,
            last,
            day,
            analytics,
            report,
            words,
            alert,
            time,
            sign,
            flags,
            numbers,
            colours,
        }
    })
}
