use super::*;
use crate::feed::{Close, Status, Why};
use crate::market::{Change, Price, Ticker};

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
