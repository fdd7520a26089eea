//! Basic views for tests of the display.
#![allow(dead_code)]

pub(crate) mod arbitrary;
pub(crate) mod goldens;

use std::time::Duration;

use deskticker::market::{
    Contract, DayStats, Freshness, OptionAnalytics, Price, Symbol, TopOfBook, Trade,
};
use deskticker::render::{
    Colours, DrawCache, Format, Frame, InstrumentView, LinkHop, LinkIcon, LinkReport, OptionView,
    PageView, PriceSummary, Size, View, draw,
};

/// All display sizes.
pub(crate) const SIZES: [Size; 3] = [Size::Tall, Size::Short, Size::Square];
/// All link icons.
pub(crate) const SIGNS: [LinkIcon; 5] = [
    LinkIcon::Live,
    LinkIcon::Joining,
    LinkIcon::Silent,
    LinkIcon::Down,
    LinkIcon::Refused,
];
/// All hops at which the connection can fail, and the state without a failure.
pub(crate) const HOPS: [LinkHop; 12] = [
    LinkHop::Address,
    LinkHop::Dns,
    LinkHop::Clock,
    LinkHop::Tls,
    LinkHop::Portal,
    LinkHop::Hub,
    LinkHop::Vendor,
    LinkHop::Token,
    LinkHop::Key,
    LinkHop::Plan,
    LinkHop::Upstream,
    LinkHop::None,
];

pub(crate) fn price(number: f64) -> Price {
    Price::from_f64(number).unwrap()
}

pub(crate) fn stale(seconds: u64) -> Freshness {
    Freshness::Stale(Duration::from_secs(seconds))
}

/// A walk of this number of points that ends near a price. The points are the same in each run.
pub(crate) fn walk(points: usize, near: f64) -> Vec<Price> {
    let mut seed = 7u64;
    let mut value = near * 0.998;
    (0..points)
        .map(|_| {
            seed = seed
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(99);
            value += near * 1e-4 * ((seed >> 60) as f64 - 7.2);
            price(value)
        })
        .collect()
}

pub(crate) fn line<'a>(
    label: &'a str,
    now: f64,
    before: f64,
    history: &'a [Price],
) -> InstrumentView<'a> {
    InstrumentView {
        label,
        contract: None,
        expired: false,
        part: None,
        denial: None,
        price: Some(price(now)),
        change: Some(price(now).change_from(price(before))),
        decimals: price(now).usual_decimals(),
        freshness: Freshness::Live,
        history,
    }
}

pub(crate) fn waiting(label: &str) -> InstrumentView<'_> {
    InstrumentView {
        price: None,
        change: None,
        freshness: Freshness::None,
        ..line(label, 1.0, 1.0, &[])
    }
}

pub(crate) fn symbol(text: &str) -> Symbol {
    text.parse().unwrap()
}

/// The line of an option.
pub(crate) fn option<'a>(
    symbol: &'a Symbol,
    now: f64,
    before: f64,
    history: &'a [Price],
) -> InstrumentView<'a> {
    InstrumentView {
        contract: symbol.contract(),
        ..line(symbol.name(), now, before, history)
    }
}

/// A view of a page in the normal state.
pub(crate) fn view(page: PageView<'_>) -> View<'_> {
    View {
        page,
        time: Some((14, 32)),
        sign: LinkIcon::Live,
        simulated: false,
        misconfigured: false,
        alert: None,
        format: Format::default(),
        colours: Colours::One,
    }
}

pub(crate) fn ordinary(history: &[Price]) -> View<'_> {
    view(PageView::Pair(
        line("SPX", 5912.41, 5887.61, history),
        Some(line("VIX", 17.25, 17.48, &[])),
    ))
}

/// The range of SPX on this day.
pub(crate) fn day() -> DayStats {
    DayStats {
        range: Some((price(5880.12), price(5930.55))),
        volume: None,
    }
}

/// A contract with all optional data.
pub(crate) fn sheet<'a>(symbol: &'a Symbol, history: &'a [Price]) -> OptionView<'a> {
    let line = option(symbol, 12.34, 12.0, history);
    let contract: Contract<'a> = symbol.contract().unwrap();
    OptionView {
        line,
        contract,
        days: Some(25),
        book: Some(TopOfBook {
            bid: price(12.30),
            ask: price(12.38),
            bid_size: 10,
            ask_size: 25,
        }),
        last: Some((
            Trade {
                price: price(12.4),
                size: 2,
            },
            Duration::from_secs(3),
        )),
        day: DayStats {
            range: Some((price(11.9), price(13.05))),
            volume: Some(8_921),
        },
        analytics: Some(OptionAnalytics {
            delta: Some(price(0.5123)),
            gamma: Some(price(0.0123)),
            theta: Some(price(-0.1234)),
            vega: Some(price(0.4567)),
            implied_volatility: Some(price(0.3049)),
            open_interest: Some(45_678),
        }),
    }
}

pub(crate) fn report() -> LinkReport {
    LinkReport {
        hop: LinkHop::None,
        since: Duration::from_secs(2 * 3600),
        prices: PriceSummary::Fresh,
        messages: Some(123),
        latency: Some(45),
        undated: false,
        clock_set: true,
        clock: None,
        reconnects: 3,
        last: Some(Duration::from_secs(1)),
        lit_hours: 1_234,
        excluded: [false; 3],
    }
}

/// The instrument lines of a view.
pub(crate) fn lines<'v, 'a>(view: &'v mut View<'a>) -> Vec<&'v mut InstrumentView<'a>> {
    match &mut view.page {
        PageView::Pair(first, second) => [Some(first), second.as_mut()]
            .into_iter()
            .flatten()
            .collect(),
        PageView::Big(line, ..) | PageView::Contract(OptionView { line, .. }) => vec![line],
        PageView::Link(_) | PageView::Notice { .. } | PageView::Join { .. } | PageView::Empty => {
            vec![]
        }
    }
}

pub(crate) fn drawn(view: &View<'_>, size: Size) -> Frame {
    let mut frame = Frame::new(size);
    draw(view, &mut DrawCache::new(), &mut frame);
    frame
}
