use super::demand::{SHARES, SHARES_EXTENDED};
use super::*;
use crate::clock::Utc;
use crate::feed::link::Phase;
use crate::feed::{Close, Seed, Status, Update, Why};
use crate::market::{Change, Cluster, Price, Symbol, Ticker};

/// Monday 2026-01-12 at 9:35 in New York.
const MONDAY: Utc = Utc(1_768_228_500_000);
const HOUR: i64 = 3_600_000;

fn desk(names: &[&str]) -> Desk {
    let symbols: Vec<Symbol> = names.iter().map(|name| name.parse().unwrap()).collect();
    let settings = Settings {
        zone: jiff::tz::TimeZone::UTC,
        ..Settings::of(symbols)
    };
    Desk::new(settings, Calendar::us(), Size::Tall, at(0, None)).unwrap()
}

fn at(secs: u64, utc: Option<Utc>) -> Now {
    Now {
        monotonic: Moment::from_secs(secs),
        utc: utc.map(|utc| Utc(utc.0 + secs as i64 * 1000)),
    }
}

fn price(whole: i64) -> Price {
    Price::from_scaled(whole * Price::SCALE)
}

fn seed(stamp: Option<Utc>, close: Option<Close>) -> Update {
    Update::Seed(Box::new(Seed {
        price: Some(price(100)),
        stamp,
        previous_close: close,
        ..Seed::empty(Ticker::try_from("I:SPX").unwrap())
    }))
}

fn tick(stamp: Utc) -> Update {
    Update::Value {
        ticker: Ticker::try_from("I:SPX").unwrap(),
        price: price(101),
        stamp: Some(stamp),
        age: None,
    }
}

fn judged(desk: &Desk, now: Now) -> Freshness {
    desk.watchlist.freshness(0, now, &desk.calendar)
}

#[test]
fn a_quote_by_rest_is_no_value_until_the_clock_tells_its_age() {
    let mut desk = desk(&["SPX"]);
    desk.on(&seed(Some(Utc(MONDAY.0 - 600_000)), None), at(1, None));
    assert_eq!(judged(&desk, at(1, None)), Freshness::None);
    assert!(!desk.complete(at(1, None)));
    let set = at(2, Some(MONDAY));
    let age = Duration::from_secs(602);
    assert_eq!(judged(&desk, set), Freshness::Stale(age));
}

#[test]
fn what_is_streamed_stays_live_without_a_clock_and_unknown_rest_does_not_replace_it() {
    let mut desk = desk(&["SPX"]);
    let now = at(1, None);
    desk.on(&tick(MONDAY), now);
    desk.on(&seed(Some(Utc(MONDAY.0 + 1)), None), now);
    assert_eq!(judged(&desk, now), Freshness::Live);
    let shown = desk.watchlist.instruments()[0].quote().unwrap();
    assert_eq!(shown.price, price(101));
}

#[test]
fn a_clock_that_is_days_behind_makes_nothing_closed() {
    let saturday = Utc(MONDAY.0 - 48 * HOUR);
    let mut desk = desk(&["SPX"]);
    desk.on(&tick(MONDAY), at(0, Some(saturday)));
    assert_eq!(judged(&desk, at(1, Some(saturday))), Freshness::Live);
    let stale = Freshness::Stale(Duration::from_secs(20));
    assert_eq!(judged(&desk, at(20, Some(saturday))), stale);
    assert_eq!(desk.oddities().ahead, 1);
    // NTP steps the clock: the value was an hour old when it came.
    let right = Utc(MONDAY.0 + HOUR);
    let stale = Freshness::Stale(Duration::from_secs(3621));
    assert_eq!(judged(&desk, at(21, Some(right))), stale);
}

#[test]
fn a_stamp_minutes_ahead_holds_up_what_follows_for_seconds_only() {
    let mut desk = desk(&["SPX"]);
    desk.on(&tick(Utc(MONDAY.0 + 600_000)), at(0, Some(MONDAY)));
    for secs in 1..=10 {
        let now = at(secs, Some(MONDAY));
        desk.on(&tick(now.utc.unwrap()), now);
    }
    let shown = desk.watchlist.instruments()[0].quote().unwrap();
    assert_eq!(shown.stamp, Some(Utc(MONDAY.0 + 10_000)));
    assert_eq!(desk.oddities().older, 9);
}

#[test]
fn a_close_derived_from_a_value_of_no_known_day_is_refused_and_a_named_one_is_of_now() {
    let now = at(0, Some(MONDAY));
    let change = |close, stamp| {
        let mut desk = desk(&["SPX"]);
        desk.on(&seed(stamp, Some(close)), now);
        desk.on(&tick(MONDAY), now);
        let change = desk.watchlist.instruments()[0].change(now);
        change.map(Change::absolute)
    };
    let future = Some(Utc(MONDAY.0 + 9 * HOUR));
    for stamp in [None, Some(Utc(0)), future] {
        assert_eq!(change(Close::Derived(price(99)), stamp), None, "{stamp:?}");
        assert_eq!(change(Close::Told(price(99)), stamp), Some(price(2)));
    }
    assert_eq!(
        change(Close::Derived(price(99)), Some(MONDAY)),
        Some(price(2))
    );
}

#[test]
fn a_feed_that_is_late_by_definition_is_never_live() {
    let mut desk = desk(&["SPX"]);
    desk.set_delayed(true);
    for utc in [None, Some(MONDAY), Some(Utc(MONDAY.0 + 900_000))] {
        let now = at(1, utc);
        desk.on(&tick(Utc(MONDAY.0 + 1000)), now);
        assert_eq!(judged(&desk, now), Freshness::Delayed, "{utc:?}");
    }
}

#[test]
fn contracts_have_a_long_patience_while_they_are_traded() {
    let desk = desk(&["O:SPY261218C00650000"]);
    let patience = |utc| desk.orders(Cluster::Options, at(0, Some(utc))).patience;
    assert_eq!(patience(MONDAY), Some(Duration::from_secs(300)));
    assert_eq!(patience(Utc(MONDAY.0 + 12 * HOUR)), None);
}

#[test]
fn rest_is_needed_while_a_link_is_not_live_and_its_return_is_counted() {
    let mut desk = desk(&["SPX"]);
    let now = at(0, Some(MONDAY));
    let mut tell = |phase, connections| {
        let status = Status {
            phase,
            why: Some(Why::Lost),
            connections,
            simulated: false,
            cut_off: false,
        };
        desk.on(&Update::Status(Cluster::Indices, status), now);
        let unfed = desk.paces(now).any(|pace| pace.is_some());
        (unfed, desk.returns())
    };
    assert_eq!(tell(Phase::Joining, 0), (true, 0));
    assert_eq!(tell(Phase::Live, 1), (false, 0));
    assert_eq!(tell(Phase::Down, 1), (true, 0));
    assert_eq!(tell(Phase::Live, 2), (false, 1));
}

fn told(name: &str) -> Seed {
    let symbol: Symbol = name.parse().unwrap();
    Seed::empty(Ticker::try_from(symbol.ticker()).unwrap())
}

fn streamed(name: &str, whole: i64, stamp: Utc) -> Update {
    Update::Value {
        ticker: told(name).ticker,
        price: price(whole),
        stamp: Some(stamp),
        age: None,
    }
}

#[test]
fn a_display_started_on_a_sunday_shows_fridays_close_and_its_change() {
    let (friday, sunday) = (
        Utc(MONDAY.0 - 65 * HOUR - 2_100_000),
        Utc(MONDAY.0 - 20 * HOUR),
    );
    let now = at(5, Some(sunday));
    for name in ["SPX", "SPY"] {
        let mut desk = desk(&[name]);
        desk.on(
            &Update::Seed(Box::new(Seed {
                price: Some(price(102)),
                stamp: Some(friday),
                previous_close: Some(Close::Told(price(100))),
                ..told(name)
            })),
            now,
        );
        assert_eq!(judged(&desk, now), Freshness::Closed, "{name}");
        let change = desk.watchlist.instruments()[0].change(now);
        assert_eq!(change.map(Change::absolute), Some(price(2)), "{name}");
        assert_eq!(desk.paces(now).collect::<Vec<_>>(), [None], "{name}");
    }
}

#[test]
fn a_share_is_asked_for_often_while_it_is_traded_and_not_at_all_while_it_streams() {
    let mut desk = desk(&["SPY"]);
    let at_hour = |hours: i64| at(9, Some(Utc(MONDAY.0 + hours * HOUR)));
    let pace = |desk: &Desk, now| desk.paces(now).next().unwrap();
    assert_eq!(pace(&desk, at_hour(0)), Some(SHARES));
    assert_eq!(pace(&desk, at_hour(-2)), Some(SHARES_EXTENDED));
    assert_eq!(pace(&desk, at_hour(8)), Some(SHARES_EXTENDED));
    let now = at_hour(0);
    desk.on(&streamed("SPY", 650, now.utc.unwrap()), now);
    assert_eq!(pace(&desk, now), None);
    let later = at(30, Some(MONDAY));
    assert_eq!(pace(&desk, later), Some(SHARES));
}

#[test]
fn a_share_without_a_trade_before_the_open_shows_its_close_and_a_live_one_its_age() {
    let mut desk = desk(&["SPY"]);
    let monday = |hours: i64, secs| at(secs, Some(Utc(MONDAY.0 + hours * HOUR)));
    // Friday's last trade after the close was hours before trading ended.
    let friday = Utc(MONDAY.0 - 63 * HOUR);
    let seed = Seed {
        price: Some(price(650)),
        stamp: Some(friday),
        ..told("SPY")
    };
    desk.on(&Update::Seed(Box::new(seed)), monday(-4, 0));
    assert_eq!(judged(&desk, monday(-4, 1)), Freshness::Closed);
    let early = monday(-4, 60);
    desk.on(&streamed("SPY", 651, early.utc.unwrap()), early);
    assert_eq!(judged(&desk, monday(-4, 300)), Freshness::Live);
    let stale = Freshness::Stale(Duration::from_secs(301));
    assert_eq!(judged(&desk, monday(-4, 361)), stale);
}

#[test]
fn the_vendors_word_on_its_markets_overrules_the_table_while_it_is_young() {
    let status = |state, as_of| {
        Update::Market(
            crate::market::MarketStatus {
                shares: Some(state),
                s_and_p: Some(state),
                cboe: None,
                nasdaq: None,
                dow_jones: None,
                as_of,
            },
            false,
        )
    };
    let mut desk = desk(&["SPX"]);
    let noon = |secs| at(secs, Some(Utc(MONDAY.0 + 2 * HOUR)));
    desk.on(&streamed("SPX", 5900, noon(0).utc.unwrap()), noon(0));
    assert!(matches!(judged(&desk, noon(60)), Freshness::Stale(_)));
    // Trading was ended at noon, which no table knew.
    let closed = crate::market::State::Closed;
    desk.on(&status(closed, noon(60).utc.unwrap()), noon(60));
    assert_eq!(judged(&desk, noon(61)), Freshness::Closed);
    assert_eq!(desk.orders(Cluster::Indices, noon(61)).patience, None);
    assert!(matches!(judged(&desk, noon(661)), Freshness::Stale(_)));
}

#[test]
fn what_the_vendor_does_not_serve_is_said_and_asked_for_now_and_then() {
    let mut desk = desk(&["SPX"]);
    let now = at(0, Some(MONDAY));
    let seed = Seed {
        denial: Some(crate::market::Denial::NotEntitled),
        ..told("SPX")
    };
    desk.on(&Update::Seed(Box::new(seed)), now);
    assert_eq!(desk.paces(now).collect::<Vec<_>>(), [None]);
    assert!(desk.complete(now), "nothing more is to come");
    // What streams is served, whatever REST says.
    desk.on(&tick(MONDAY), now);
    assert_eq!(desk.watchlist.instruments()[0].denial(), None);
}

#[test]
fn an_expired_contract_is_neither_subscribed_nor_asked_for() {
    let desk = desk(&["O:SPY260109C00650000", "O:SPY260112C00650000"]);
    let now = at(0, Some(MONDAY));
    let channels = desk.orders(Cluster::Options, now).channels;
    assert!(
        channels
            .iter()
            .all(|channel| channel.ticker.contains("260112"))
    );
    assert_eq!(channels.len(), 3);
    assert_eq!(desk.paces(now).next(), Some(None));
}

#[test]
fn a_crossed_threshold_brings_its_page_to_the_front_for_its_time() {
    let mut desk = desk(&["DJI", "NDX", "SPX"]);
    let mut settings = desk.settings().clone();
    settings.alerts = vec![Rule {
        place: 2,
        threshold: crate::screen::Threshold::Above(price(101)),
        shown: Duration::from_secs(60),
    }];
    let now = |secs| at(secs, Some(MONDAY));
    desk.apply(settings, now(0)).unwrap();
    desk.draw(now(1));
    assert_eq!(desk.leaf, Some(Leaf::Pair(0, Some(1))));
    desk.on(&tick(MONDAY), now(2));
    desk.draw(now(2));
    assert_eq!(desk.leaf, Some(Leaf::Pair(2, None)));
    assert!(desk.deadline(now(2)) <= Moment::from_millis(2_500));
    desk.draw(now(62));
    assert_eq!(desk.leaf, Some(Leaf::Pair(0, Some(1))));
}

#[test]
fn the_sessions_minutes_make_the_curve_and_come_back_with_a_refill() {
    let mut desk = desk(&["SPX"]);
    let now = at(0, Some(MONDAY));
    desk.turn(now);
    let bars: Box<[crate::market::Bar]> = (0..4)
        .map(|minute| {
            let start = Utc(MONDAY.0 - 300_000 + minute * 60_000);
            let close = price(100 + minute);
            crate::market::Bar {
                open: close,
                high: close,
                low: close,
                close,
                start,
                end: Utc(start.0 + 60_000),
            }
        })
        .collect();
    let since = desk.days().next().map(|(_, since)| since);
    assert_eq!(since, Some(Utc(MONDAY.0 - 300_000)), "the open, at 9:30");
    let ticker = told("SPX").ticker;
    desk.on(
        &Update::Minutes {
            ticker,
            bars,
            simulated: false,
        },
        now,
    );
    let curve = desk.watchlist.instruments()[0].curve();
    assert_eq!(curve, [100, 101, 102, 103].map(price));
}

#[test]
fn a_bar_with_a_stamp_that_can_be_none_is_counted_as_odd() {
    let mut desk = desk(&["SPX"]);
    let close = price(100);
    let bar = crate::market::Bar {
        open: close,
        high: close,
        low: close,
        close,
        start: Utc(0),
        end: Utc(60_000),
    };
    let update = Update::Bar {
        ticker: told("SPX").ticker,
        kind: crate::market::Kind::Minute,
        bar,
        volume: None,
        age: None,
    };
    desk.on(&update, at(0, Some(MONDAY)));
    assert_eq!(desk.oddities().absurd, 1);
}

#[test]
fn a_picture_is_good_until_the_first_plain_value_on_it_grows_old() {
    let mut desk = desk(&["SPX", "VIX"]);
    let good = |desk: &mut Desk, now: Now| {
        desk.draw(now);
        desk.good_until(now).since(now.monotonic)
    };
    let now = at(1, Some(MONDAY));
    let nothing_plain = Duration::from_secs(90);
    assert_eq!(good(&mut desk, now), nothing_plain);
    desk.on(&tick(now.utc.unwrap()), now);
    // SPX may be ten seconds old.
    let limit = Duration::from_millis(10_001);
    assert_eq!(good(&mut desk, now), limit);
    let later = at(4, Some(MONDAY));
    assert_eq!(
        good(&mut desk, later),
        limit.checked_sub(Duration::from_secs(3)).unwrap()
    );
    let stale = at(12, Some(MONDAY));
    assert_eq!(good(&mut desk, stale), nothing_plain);
}
