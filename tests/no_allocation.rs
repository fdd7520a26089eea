//! Tests of memory allocation: a program that runs for months must not allocate on its way from the
//! text of a frame to the message on the bus.
#![allow(clippy::unwrap_used)]

#[path = "support/i2c_display/mod.rs"]
mod i2c_display;
#[path = "support/pipeline.rs"]
mod pipeline;

use std::time::Duration;

use deskticker::feed::connection::Connection;
use deskticker::feed::connection_status::{ConnectionAction, ConnectionEvent};
use deskticker::feed::{Update, sink};
use deskticker::market::{AssetClass, Calendar, ChannelKind, Cluster, Price, Symbol, Ticker};
use deskticker::massive::websocket::{self, MarketData, MarketEvent};
use deskticker::net::source::FeedProvider;
use deskticker::render::{Size, Threshold};
use deskticker::ticker::state::{self, TickerState};

use i2c_display::bus::{Quiet, Rig};
use pipeline::{StraightLine, at, bar, value, walk};

/// The number of seconds before the count starts. By then each buffer is in use and the panel has
/// been refreshed.
const WARM: u64 = 300;
const TICKS: u64 = 1_000;

/// A pipeline after [`WARM`] seconds with one value of SPX per second and one value of VIX.
fn warm_pipeline() -> StraightLine<Quiet> {
    let mut line = StraightLine::new(Quiet);
    line.seed([("I:SPX", 58_871_200), ("I:VIX", 168_100)]);
    line.hear(&value("I:VIX", 1_725, at(0)), at(0));
    for (second, price) in (1..=WARM).zip(walk(1, 591_234.0, 35.0)) {
        let now = at(1_000 * second);
        line.heal(now);
        line.hear(&value("I:SPX", price, now), now);
    }
    line
}

/// The number of allocations while these texts arrive, one per second.
fn allocations(line: &mut StraightLine<Quiet>, texts: &[String]) -> u64 {
    let counted = allocation_counter::measure(|| {
        for (second, text) in (WARM + 1..).zip(texts) {
            let now = at(1_000 * second);
            line.heal(now);
            line.hear(text, now);
        }
    });
    counted.count_total
}

fn texts(text: impl Fn(u64, i64) -> String) -> Vec<String> {
    let prices = walk(2, 591_234.0, 35.0);
    let seconds = WARM + 1..=WARM + TICKS;
    seconds
        .zip(prices)
        .map(|(at, price)| text(at, price))
        .collect()
}

#[test]
fn a_value_reaches_the_panel_without_an_allocation() {
    let texts = texts(|second, price| value("I:SPX", price, at(1_000 * second)));
    let mut line = warm_pipeline();
    let before = line.picture().clone();
    assert_eq!(allocations(&mut line, &texts), 0);
    assert_ne!(*line.picture(), before);
}

#[test]
fn a_minute_bar_reaches_the_panel_without_an_allocation() {
    let texts = texts(|second, price| bar("I:VIX", price / 300, at(1_000 * second)));
    let mut line = warm_pipeline();
    let before = line.picture().clone();
    assert_eq!(allocations(&mut line, &texts), 0);
    assert_ne!(*line.picture(), before);
}

#[test]
fn a_frame_of_several_events_causes_no_allocation() {
    let texts = texts(|second, price| {
        let now = at(1_000 * second);
        let (spx, vix) = (value("I:SPX", price, now), value("I:VIX", price / 300, now));
        let foreign = value("I:NDX", price, now);
        [spx, vix, foreign].join(",").replace("],[", ",")
    });
    assert_eq!(allocations(&mut warm_pipeline(), &texts), 0);
}

#[test]
fn junk_is_counted_without_an_allocation() {
    let kinds = [
        "",
        "no JSON",
        "[",
        "[]",
        "[1,2]",
        "{\"ev\":\"V\"}",
        r#"[{"ev":"V","val":0,"T":"I:SPX","t":1795444200000}]"#,
        r#"[{"ev":"V","val":"much","T":"I:SPX"}]"#,
        r#"[{"ev":"V","T":"I:SPX"}]"#,
        r#"[{"ev":"X"}]"#,
        r#"[{"ev":"LV","val":7.2,"sym":"O:TSLA210903C00700000"}]"#,
    ];
    let texts = texts(|second, _| kinds[second as usize % kinds.len()].to_owned());
    let mut line = warm_pipeline();
    assert_eq!(allocations(&mut line, &texts), 0);
    assert!(line.junk.iter().sum::<u64>() > TICKS / 2);
}

#[test]
fn a_value_that_becomes_stale_is_redrawn_without_an_allocation() {
    let mut line = warm_pipeline();
    let before = line.picture().clone();
    let counted = allocation_counter::measure(|| {
        for second in WARM + 1..=WARM + TICKS {
            let now = at(1_000 * second);
            line.heal(now);
            line.show(now);
        }
    });
    assert_eq!(counted.count_total, 0);
    assert_ne!(*line.picture(), before);
}

#[test]
fn the_panel_shows_the_picture_that_was_sent() {
    let bus = Rig::new();
    let mut line = StraightLine::new(bus.clone());
    for (second, price) in (1..=WARM).zip(walk(3, 591_234.0, 35.0)) {
        let now = at(1_000 * second);
        bus.messages();
        line.hear(&value("I:SPX", price, now), now);
        bus.assert_shows(line.picture());
    }
}

#[test]
fn the_queue_between_session_and_ticker_state_allocates_nothing_after_its_first_use() {
    let (sender, mut receiver) = tokio::sync::mpsc::channel(256);
    let update = |price| {
        Update::Market(
            Ticker::try_from("I:SPX").unwrap(),
            MarketEvent {
                kind: ChannelKind::Value,
                data: MarketData::Value(Price::from_scaled(price)),
                stamp: None,
                age: None,
            },
        )
    };
    let mut pass = |count| {
        for price in 1..=count {
            sender.try_send(update(price)).unwrap();
            assert_eq!(receiver.try_recv().unwrap(), update(price));
        }
    };
    pass(300);
    assert_eq!(allocation_counter::measure(|| pass(1_000)).count_total, 0);
}

/// A full watchlist: 12 indices, 12 shares and 40 contracts.
fn full_watchlist() -> Vec<Symbol> {
    let indices = "SPX VIX NDX DJI RUT VIX9D VVIX OEX XSP MID SML SKEW";
    let shares = "SPY QQQ AAPL MSFT NVDA AMZN GOOGL META TSLA BRK.B JPM XOM";
    let contracts = (0..40).map(|nth| format!("O:SPXW301220C{:08}", (5_000 + 50 * nth) * 1000));
    let named = indices
        .split(' ')
        .chain(shares.split(' '))
        .map(str::to_owned);
    named
        .chain(contracts)
        .map(|name| name.parse().unwrap())
        .collect()
}

/// The stream event of an instrument in this turn. The kind of event changes with each turn.
fn streamed(symbol: &Symbol, turn: u64, millis: i64) -> String {
    let (ticker, price) = (symbol.ticker(), 100.0 + (turn % 97) as f64 / 10.0);
    let bar = |ev: &str| {
        format!(
            r#"{{"ev":"{ev}","sym":"{ticker}","v":2,"av":{turn},"op":{price},"o":{price},"c":{price},"h":{price},"l":{price},"s":{},"e":{millis}}}"#,
            millis - 1000
        )
    };
    match (symbol.class(), turn % 3) {
        (AssetClass::Index, 2) => bar("AM"),
        (AssetClass::Index, _) => {
            format!(r#"{{"ev":"V","val":{price},"T":"{ticker}","t":{millis}}}"#)
        }
        (AssetClass::Equity, _) => bar("A"),
        (AssetClass::Option, 0) => format!(
            r#"{{"ev":"Q","sym":"{ticker}","bx":302,"ax":302,"bp":{price},"ap":{},"bs":17,"as":24,"t":{millis},"q":1}}"#,
            price + 0.1
        ),
        (AssetClass::Option, 1) => {
            format!(
                r#"{{"ev":"T","sym":"{ticker}","x":65,"p":{price},"s":1,"c":[233],"t":{millis},"q":1}}"#
            )
        }
        (AssetClass::Option, _) => bar("A"),
    }
}

#[test]
fn a_full_watchlist_causes_no_allocation_per_event() {
    let symbols = full_watchlist();
    let settings = state::TickerSettings {
        pages: vec![
            state::PageSpec::Pair(0, Some(1)),
            state::PageSpec::Big(12),
            state::PageSpec::Contract(24),
            state::PageSpec::Link,
        ],
        alerts: vec![state::AlertRule {
            place: 0,
            threshold: Threshold::Above(Price::from_scaled(1_050_000)),
            shown: Duration::from_secs(60),
        }],
        ..state::TickerSettings::of(symbols.clone())
    };
    let mut state = TickerState::new(settings, Calendar::us(), Size::Tall, at(0)).unwrap();
    let mut links = Cluster::ALL.map(|cluster| {
        let mut link = Connection::new(FeedProvider::Hub, 1);
        let demand = state.demand(cluster, at(0));
        link.want(&demand.channels, demand.max_silence, at(0).monotonic);
        assert_eq!(link.next(at(0).monotonic), Some(ConnectionAction::Open));
        link.on(ConnectionEvent::Opened, at(0).monotonic);
        while link.next(at(0).monotonic).is_some() {}
        link
    });
    // The input is long enough to show each page, to end several minutes, and to deliver each kind
    // of event for each instrument.
    let texts: Vec<(usize, String)> = (0..3_000u64)
        .map(|nth| {
            let symbol = &symbols[(nth % 64) as usize];
            let millis = at(100 * nth).utc.unwrap().0;
            let text = format!("[{}]", streamed(symbol, nth / 64, millis));
            (symbol.cluster() as usize, text)
        })
        .collect();
    let (warm, counted) = texts.split_at(1_500);
    let mut stored = 0u64;
    let mut play = |texts: &[(usize, String)], from: u64| {
        for (nth, (cluster, text)) in (from..).zip(texts) {
            let now = at(100 * nth);
            for event in websocket::events(text) {
                let link = &mut links[*cluster];
                if let Some(update) = sink::update(link, &event.unwrap(), now.monotonic) {
                    state.on(&update, now);
                    stored += 1;
                }
            }
            state.advance(now);
            state.draw(now);
        }
    };
    play(warm, 0);
    let allocated = allocation_counter::measure(|| play(counted, 1_500)).count_total;
    assert_eq!((allocated, stored), (0, 3_000));
}
