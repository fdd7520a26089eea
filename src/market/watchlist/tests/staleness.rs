//! Tests of the freshness of a value at literal times during the trading hours.

use super::*;
use crate::market::Change;

#[test]
fn an_unknown_value_is_none_and_not_zero() {
    let list = watchlist();
    let now = tuesday("10:00:00");
    assert_eq!(list.freshness(0, now, &US), Freshness::None);
    assert_eq!(list.freshness(99, now, &US), Freshness::None);
}

#[test]
fn a_value_is_live_up_to_its_limit_and_then_stale() {
    for (ticker, limit) in [("I:SPX", 10), ("I:VIX", 45)] {
        let now = tuesday("10:00:00");
        let (list, index) = ticked(ticker, now);
        assert_eq!(
            list.freshness(index, later(now, limit), &US),
            Freshness::Live
        );
        let over = later(now, limit + 1);
        assert_eq!(list.freshness(index, over, &US), stale(limit as u64 + 1));
    }
}

#[test]
fn a_value_that_arrives_late_has_its_true_age() {
    let now = tuesday("10:00:00");
    let mut list = linked(&["SPX"], now);
    tick_of(
        &mut list,
        "I:SPX",
        1,
        Some(Utc(now.utc.unwrap().0 - 29_000)),
        now,
    );
    assert_eq!(list.freshness(0, now, &US), stale(29));
}

#[test]
fn a_cached_value_of_the_hub_has_the_age_that_the_hub_reports() {
    for now in [tuesday("10:00:00"), unset(tuesday("10:00:00"))] {
        let mut list = linked(&["SPX"], now);
        let from_hub = Provenance {
            age: Duration::from_secs(29),
            ..Provenance::default()
        };
        let stamp = tuesday("09:59:31").utc;
        let quote = Quote::streamed(price(1), stamp, QuoteSource::Tick, from_hub, now);
        list.value("I:SPX", quote, now, &US);
        assert_eq!(list.freshness(0, now, &US), stale(29));
    }
}

#[test]
fn without_an_agreed_time_no_value_is_closed_and_fetched_values_are_not_shown() {
    let now = unset(tuesday("20:00:00"));
    let mut list = linked(&["SPX", "VIX"], now);
    tick_of(&mut list, "I:SPX", 1, tuesday("20:00:00").utc, now);
    assert_eq!(list.freshness(0, now, &US), Freshness::Live);
    assert_eq!(list.freshness(0, later(now, 11), &US), stale(11));
    fetch_close(&mut list, "I:VIX", 2, tuesday("16:15:00").utc, now);
    assert_eq!(list.freshness(1, now, &US), Freshness::None);
    assert_eq!(
        list.freshness(1, tuesday("20:00:01"), &US),
        Freshness::Closed
    );
}

#[test]
fn a_change_of_the_agreed_time_never_makes_a_stale_value_live() {
    let now = tuesday("11:00:00");
    let (list, spx) = ticked("I:SPX", now);
    let over = later(now, 20);
    for secs in [-86_400, -3600, -60] {
        assert_eq!(
            list.freshness(spx, stepped(over, secs), &US),
            stale(20),
            "{secs}"
        );
    }
    for secs in [60, 3600, 6 * 3600] {
        let age = stale(20 + secs as u64);
        assert_eq!(list.freshness(spx, stepped(over, secs), &US), age, "{secs}");
    }
    assert_eq!(list.freshness(spx, unset(over), &US), stale(20));
}

#[test]
fn a_delayed_source_is_delayed_until_its_close_has_arrived() {
    let start = tuesday("11:00:00");
    let mut list = linked(&["SPX"], start);
    let late = Provenance {
        delayed: true,
        ..Provenance::default()
    };
    let receive = |list: &mut Watchlist, stamp: &str, now: &str| {
        let now = tuesday(now);
        list.heard(Cluster::Indices, now.monotonic);
        let quote = Quote::streamed(price(1), tuesday(stamp).utc, QuoteSource::Tick, late, now);
        list.value("I:SPX", quote, now, &US);
        list.freshness(0, now, &US)
    };
    assert_eq!(
        receive(&mut list, "11:00:00", "11:15:00"),
        Freshness::Delayed
    );
    assert_eq!(list.freshness(0, tuesday("11:15:11"), &US), stale(911));
    assert_eq!(
        receive(&mut list, "15:50:00", "16:05:00"),
        Freshness::Delayed
    );
    assert_eq!(
        receive(&mut list, "16:00:00", "16:15:00"),
        Freshness::Delayed
    );
    assert_eq!(list.freshness(0, tuesday("16:15:11"), &US), stale(911));
    list.heard(Cluster::Indices, tuesday("16:17:20").monotonic);
    assert_eq!(
        list.freshness(0, tuesday("16:17:20"), &US),
        Freshness::Closed
    );
}

#[test]
fn simulated_prices_are_never_closed() {
    let (list, spx) = ticked("I:SPX", tuesday("15:59:58"));
    let calendar = Calendar::always_open();
    assert_eq!(
        list.freshness(spx, tuesday("16:00:08"), &calendar),
        Freshness::Live
    );
    assert_eq!(
        list.freshness(spx, tuesday("16:00:09"), &calendar),
        stale(11)
    );
}

#[test]
fn a_change_is_shown_only_against_the_previous_close_of_the_same_day() {
    let now = tuesday("10:00:00");
    let (mut list, _) = ticked("I:SPX", now);
    let change = |list: &Watchlist, now| {
        let spx = &list.instruments()[0];
        spx.change(&spx.quote().unwrap(), now).map(Change::absolute)
    };
    assert_eq!(change(&list, now), None);
    list.set_previous_close("I:SPX", price(2), now.utc.unwrap(), &US);
    assert_eq!(change(&list, now), Some(price(-1)));
    assert_eq!(change(&list, tuesday("23:00:00")), Some(price(-1)));
    assert_eq!(change(&list, later(now, 86_400)), None);
    assert_eq!(change(&list, unset(now)), None);
}

#[test]
fn the_day_range_comes_from_a_source_and_includes_the_price() {
    let now = tuesday("13:30:00");
    let mut list = linked(&["SPX"], now);
    list.start_days(now, &US);
    for second in 0..5 {
        tick(&mut list, "I:SPX", 100 + second, later(now, second));
    }
    let range = |list: &Watchlist| list.instruments()[0].day(now).range;
    assert_eq!(range(&list), None, "what was seen is not the day");
    let day = |low, high| DayStats {
        range: Some((price(low), price(high))),
        volume: None,
    };
    // Yesterday's REST row, which a vendor can still send today.
    let yesterday = later(now, -86_400).utc.unwrap();
    list.set_day("I:SPX", day(10, 20), yesterday, now, &US);
    assert_eq!(range(&list), None);
    list.set_day("I:SPX", day(90, 101), now.utc.unwrap(), now, &US);
    assert_eq!(range(&list), Some((price(90), price(104))));
}

#[test]
fn each_part_of_a_contract_has_its_own_age() {
    let now = tuesday("11:00:00");
    let name = "O:SPXW261218C05900000";
    let mut list = linked(&[name], now);
    let book = TopOfBook {
        bid: price(10),
        ask: price(11),
        bid_size: 1,
        ask_size: 1,
    };
    let hour_ago = tuesday("10:00:00").utc;
    let quote = Quote::fetched(price(10), hour_ago, false, now);
    list.book(name, book, quote, now, &US);
    let analytics = OptionAnalytics {
        delta: Some(price(1)),
        ..OptionAnalytics::default()
    };
    let as_of = crate::market::AsOf::heard(hour_ago, Duration::ZERO, now);
    list.set_analytics(name, analytics, as_of, now);
    let contract = &list.instruments()[0];
    assert_eq!(list.freshness(0, now, &US), stale(3600));
    assert_eq!(contract.book(now, Duration::from_secs(60)), None);
    assert_eq!(contract.analytics(now, Duration::from_secs(60)), None);
    // A cached response from the hub has the age that the hub reports.
    let as_of = crate::market::AsOf::heard(None, Duration::from_secs(220), now);
    list.set_analytics(name, analytics, as_of, now);
    let contract = &list.instruments()[0];
    assert_eq!(contract.analytics(now, Duration::from_secs(60)), None);
    assert!(contract.analytics(now, Duration::from_secs(300)).is_some());
    // An older response changes nothing.
    let older = crate::market::AsOf::heard(None, Duration::from_secs(280), now);
    list.set_analytics(name, OptionAnalytics::default(), older, now);
    let analytics = list.instruments()[0].analytics(now, Duration::from_secs(300));
    assert_eq!(analytics.unwrap().delta, Some(price(1)));
}

#[test]
fn a_book_without_a_mid_price_removes_the_price_immediately() {
    let now = tuesday("11:00:00");
    let name = "O:SPXW261125C06500000";
    let mut list = linked(&[name], now);
    let receive = |list: &mut Watchlist, bid: f64, ask: f64, secs: i64| {
        let now = later(now, secs);
        let side = |side| Price::from_f64(side).unwrap();
        let book = TopOfBook {
            bid: side(bid),
            ask: side(ask),
            bid_size: 10,
            ask_size: 10,
        };
        let quote = match book.mid() {
            Some(mid) => streamed(mid, now.utc, now),
            None => Quote {
                void: true,
                ..streamed(price(0), now.utc, now)
            },
        };
        list.book(name, book, quote, now, &US);
        let shown = list.shown(0, now, &US).unwrap();
        (
            shown.quote.map(|quote| quote.price.as_f64()),
            shown.freshness,
        )
    };
    assert_eq!(
        receive(&mut list, 0.05, 0.10, 0),
        (Some(0.075), Freshness::Live)
    );
    assert_eq!(
        receive(&mut list, 0.0, 0.05, 1),
        (Some(0.025), Freshness::Live)
    );
    for (bid, ask) in [(0.05, 0.0), (0.0, 0.0), (0.10, 0.05), (0.01, 500.0)] {
        assert_eq!(
            receive(&mut list, 0.0, 0.05, 2),
            (Some(0.025), Freshness::Live)
        );
        assert_eq!(
            receive(&mut list, bid, ask, 3),
            (None, Freshness::None),
            "{bid} {ask}"
        );
        let contract = &list.instruments()[0];
        assert!(
            contract
                .book(later(now, 3), Duration::from_secs(1))
                .is_some()
        );
        list = linked(&[name], now);
    }
}

#[test]
fn the_deadline_is_the_time_of_the_next_visible_change() {
    let now = tuesday("10:00:00");
    let (list, spx) = ticked("I:SPX", now);
    let wait = |now: Now| list.deadline(spx, now, &US).since(now.monotonic);
    assert_eq!(wait(now), Duration::from_millis(10_001));
    assert_eq!(wait(later(now, 11)), Duration::from_secs(1));
    assert_eq!(wait(later(now, 59)), Duration::from_secs(1));
    assert_eq!(wait(later(now, 70)), Duration::from_secs(50));
    assert_eq!(wait(later(now, 3660)), Duration::from_secs(3540));
    let (list, spx) = ticked("I:SPX", tuesday("15:59:55"));
    let last = tuesday("15:59:56");
    assert_eq!(list.deadline(spx, last, &US), tuesday("16:00:00").monotonic);
}
