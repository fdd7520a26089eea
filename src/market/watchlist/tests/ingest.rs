//! Tests of the processing of incoming values, at literal times.

use super::*;
use crate::market::SessionPart;

const CONTRACT: &str = "O:AAPL261218C00250000";

fn quote(list: &Watchlist) -> Quote {
    list.instruments()[0].quote().unwrap()
}

#[test]
fn a_newer_fetched_value_replaces_a_fetched_value_of_any_age() {
    let now = tuesday("10:00:00");
    let mut list = linked(&["SPX"], now);
    fetch(&mut list, "I:SPX", 1, now.utc, now);
    let then = later(now, 5);
    assert_eq!(
        fetch(&mut list, "I:SPX", 2, then.utc, then),
        Outcome::Stored
    );
    assert_eq!(shown(&list), Some(price(2)));
}

#[test]
fn a_value_that_arrives_by_stream_and_by_rest_counts_as_streamed() {
    let now = tuesday("10:00:00");
    let (mut list, _) = ticked("I:SPX", now);
    let then = later(now, 11);
    let again = Quote::fetched(price(1), now.utc, true, then);
    assert_eq!(list.value("I:SPX", again, then, &US), Outcome::Stored);
    assert_eq!(quote(&list).source, QuoteSource::Tick);
    assert!(quote(&list).delayed, "one that says so is enough");
    let again = Quote::fetched(price(1), now.utc, false, then);
    list.value("I:SPX", again, then, &US);
    assert!(quote(&list).delayed);
    assert_eq!(quote(&list).as_of.received, now.monotonic);
    let mut list = linked(&["SPX"], now);
    fetch(&mut list, "I:SPX", 1, now.utc, now);
    tick_of(&mut list, "I:SPX", 1, now.utc, later(now, 1));
    assert_eq!(quote(&list).source, QuoteSource::Tick);
    assert_eq!(quote(&list).as_of.received, now.monotonic);
}

#[test]
fn a_book_without_a_mid_price_removes_the_price_of_the_same_time() {
    let now = tuesday("11:00:00");
    let mut list = linked(&[CONTRACT], now);
    tick(&mut list, CONTRACT, 1, now);
    let void = Quote {
        void: true,
        ..streamed(price(0), now.utc, now)
    };
    list.value(CONTRACT, void, now, &US);
    assert_eq!(shown(&list), None);
    tick(&mut list, CONTRACT, 2, now);
    assert_eq!(shown(&list), Some(price(2)));
}

#[test]
fn a_timestamp_in_the_future_does_not_determine_the_market_phase() {
    let now = tuesday("10:00:00");
    let mut list = linked(&["SPX"], now);
    let night = tuesday("22:00:00").utc;
    assert_eq!(tick_of(&mut list, "I:SPX", 1, night, now), Outcome::Stored);
}

#[test]
fn a_fetched_price_outside_the_hours_is_live_and_marked() {
    for (stamp, part) in [
        ("16:30:05", Some(SessionPart::Outside)),
        ("16:01:00.001", Some(SessionPart::Outside)),
        // The value is within its limit after the end of the session, so it belongs to the session.
        ("16:01:00", None),
    ] {
        let now = later(tuesday(stamp), 5);
        let mut list = linked(&[CONTRACT], now);
        fetch(&mut list, CONTRACT, 1, tuesday(stamp).utc, now);
        let shown = list.shown(0, now, &US).unwrap();
        let seen = (shown.freshness, shown.part);
        assert_eq!(seen, (Freshness::Live, part), "{stamp}");
    }
}

#[test]
fn a_value_at_the_close_is_accepted_and_a_later_value_needs_confirmation() {
    for (name, time, outcome) in [
        (CONTRACT, "16:00:02", Outcome::Stored),
        (CONTRACT, "16:00:02.001", Outcome::Doubted),
        ("I:SPX", "16:30:00", Outcome::Stored),
        ("I:SPX", "16:30:00.001", Outcome::Doubted),
    ] {
        let mut list = linked(&[name], tuesday("15:59:00"));
        tick(&mut list, name, 1, tuesday("15:59:59"));
        assert_eq!(tick(&mut list, name, 2, tuesday(time)), outcome, "{time}");
    }
}

#[test]
fn an_index_settles_only_if_its_values_and_its_connection_reached_the_close() {
    let mut list = linked(&["SPX"], tuesday("15:00:00"));
    tick(&mut list, "I:SPX", 1, tuesday("15:50:00"));
    let settled = tuesday("16:04:50");
    assert_eq!(tick(&mut list, "I:SPX", 2, settled), Outcome::Doubted);
    let (mut list, _) = ticked("I:SPX", tuesday("15:59:59"));
    list.set_link(Cluster::Indices, false, tuesday("16:00:03"), &US);
    list.set_link(Cluster::Indices, true, tuesday("16:00:04"), &US);
    assert_eq!(tick(&mut list, "I:SPX", 2, settled), Outcome::Doubted);
}

#[test]
fn outside_the_hours_an_older_value_changes_nothing() {
    let now = tuesday("16:30:00");
    let mut list = linked(&[CONTRACT], now);
    tick(&mut list, CONTRACT, 1, now);
    tick(&mut list, CONTRACT, 2, later(now, 1));
    let next = later(now, 2);
    assert_eq!(
        tick_of(&mut list, CONTRACT, 3, now.utc, next),
        Outcome::Older
    );
    assert_eq!(shown(&list), Some(price(2)));
    assert_eq!(list.freshness(0, next, &US), Freshness::Live);
}

#[test]
fn outside_the_hours_an_empty_book_removes_the_price_but_not_the_close() {
    let now = tuesday("16:30:00");
    let mut list = linked(&[CONTRACT], now);
    let void = |now: Now| Quote {
        void: true,
        ..streamed(price(0), now.utc, now)
    };
    fetch_close(&mut list, CONTRACT, 7, tuesday("15:59:59").utc, now);
    let take = |list: &mut Watchlist, quote, now| list.value(CONTRACT, quote, now, &US);
    assert_eq!(take(&mut list, void(now), now), Outcome::Older);
    assert_eq!(shown(&list), Some(price(7)));
    tick(&mut list, CONTRACT, 1, later(now, 1));
    tick(&mut list, CONTRACT, 2, later(now, 2));
    assert_eq!(shown(&list), Some(price(2)));
    let next = later(now, 3);
    assert_eq!(take(&mut list, void(next), next), Outcome::Stored);
    assert_eq!(list.freshness(0, next, &US), Freshness::None);
    tick(&mut list, CONTRACT, 3, later(now, 4));
    assert_eq!(list.freshness(0, later(now, 4), &US), Freshness::Live);
}

#[test]
fn a_reported_close_does_not_end_a_run_outside_the_hours() {
    let now = tuesday("16:30:00");
    let mut list = linked(&[CONTRACT], now);
    tick(&mut list, CONTRACT, 1, now);
    tick(&mut list, CONTRACT, 2, later(now, 1));
    for (stamp, whole) in [("16:00:00", 7), ("16:00:30", 8), ("16:00:01", 9)] {
        fetch_close(
            &mut list,
            CONTRACT,
            whole,
            tuesday(stamp).utc,
            later(now, 6),
        );
        let shown = list.shown(0, later(now, 6), &US).unwrap();
        assert_eq!(shown.freshness, Freshness::Live);
        assert_eq!(shown.quote.unwrap().price, price(2));
    }
    let shown = list.shown(0, later(now, 3600), &US).unwrap();
    assert_eq!(shown.freshness, Freshness::Closed);
    assert_eq!(shown.quote.unwrap().price, price(8));
}

#[test]
fn a_price_outside_the_hours_never_becomes_the_close() {
    let mut list = linked(&["SPX"], tuesday("15:00:00"));
    tick(&mut list, "I:SPX", 1, tuesday("15:50:00"));
    tick(&mut list, "I:SPX", 2, tuesday("17:05:00"));
    tick(&mut list, "I:SPX", 3, tuesday("17:05:01"));
    assert_eq!(shown(&list), Some(price(3)));
    let silent = tuesday("17:06:00");
    list.heard(Cluster::Indices, silent.monotonic);
    list.set_link(Cluster::Indices, false, silent, &US);
    assert_eq!(list.freshness(0, tuesday("17:30:01"), &US), stale(1500));
}

#[test]
fn a_display_started_after_the_close_still_detects_the_close_of_an_index() {
    let mut list = linked(&["SPX"], tuesday("16:00:10"));
    let change = |list: &Watchlist, now| {
        let shown = list.shown(0, now, &US)?;
        list.instruments()[0].change(shown.quote?, now)
    };
    list.set_previous_close("I:SPX", price(4), tuesday("15:00:00").utc.unwrap(), &US);
    assert_eq!(
        tick(&mut list, "I:SPX", 4, tuesday("16:00:12")),
        Outcome::Doubted
    );
    let last = tuesday("16:00:13");
    assert_eq!(tick(&mut list, "I:SPX", 5, last), Outcome::Stored);
    assert_eq!(list.freshness(0, last, &US), Freshness::Live);
    let today = change(&list, last).unwrap();
    assert_eq!(
        today,
        price(5).change_from(price(4)),
        "since yesterday's close"
    );
    let silent = tuesday("16:00:24");
    list.heard(Cluster::Indices, silent.monotonic);
    assert_eq!(list.freshness(0, silent, &US), Freshness::Closed);
}

#[test]
fn a_closing_price_never_has_the_timestamp_of_a_later_value() {
    for (name, ticker, bell) in [("SPX", "I:SPX", "16:30:00"), ("SPY", "SPY", "16:00:00")] {
        let now = tuesday("22:00:00");
        let mut list = linked(&[name], now);
        tick(&mut list, ticker, 1, now);
        tick(&mut list, ticker, 2, later(now, 1));
        // The row has the timestamp of the last price, and it contains the close.
        let then = later(now, 70);
        fetch_close(&mut list, ticker, 7, later(now, 1).utc, then);
        assert_eq!(shown(&list), Some(price(2)), "{name}");
        let close = list.instruments()[0].close.unwrap();
        assert_eq!(close.as_of.stamp, tuesday(bell).utc, "{name}");
        let shown = list.shown(0, later(now, 3000), &US).unwrap();
        assert_eq!(shown.freshness, Freshness::Closed);
        assert_eq!(shown.quote.unwrap().price, price(7));
    }
}

#[test]
fn a_close_with_a_future_timestamp_is_not_the_current_close() {
    let now = tuesday("16:05:00");
    let mut list = linked(&["SPX"], now);
    fetch_close(&mut list, "I:SPX", 7, tuesday("17:00:00").utc, now);
    assert_eq!(list.freshness(0, now, &US), Freshness::None);
}

#[test]
fn a_fetched_value_that_the_stream_repeats_belongs_to_the_stream() {
    let now = tuesday("16:00:00");
    let mut list = linked(&["SPX"], now);
    fetch(&mut list, "I:SPX", 1, now.utc, now);
    tick_of(&mut list, "I:SPX", 1, now.utc, later(now, 1));
    assert_eq!(quote(&list).epoch, list.link(Cluster::Indices).epoch);
    // The next value is therefore accepted at once, even if it arrives minutes later.
    let next = tuesday("16:04:50");
    assert_eq!(tick(&mut list, "I:SPX", 2, next), Outcome::Stored);
}

#[test]
fn without_an_agreed_time_the_last_fetched_close_replaces_the_earlier_close() {
    let unset = Now {
        utc: None,
        ..tuesday("17:00:00")
    };
    let mut list = linked(&["SPX"], unset);
    fetch_close(&mut list, "I:SPX", 1, tuesday("16:00:05").utc, unset);
    fetch_close(
        &mut list,
        "I:SPX",
        2,
        tuesday("16:04:50").utc,
        later(unset, 60),
    );
    assert_eq!(quote(&list).price, price(2));
}

#[test]
fn a_value_from_before_the_clock_is_set_starts_a_run_outside_the_hours() {
    let now = tuesday("22:00:00");
    let mut list = linked(&["SPX"], now);
    let unset = Now { utc: None, ..now };
    tick_of(&mut list, "I:SPX", 1, now.utc, unset);
    assert_eq!(tick(&mut list, "I:SPX", 2, later(now, 1)), Outcome::Stored);
    assert!(quote(&list).outside);
}

#[test]
fn after_a_row_at_the_close_a_single_index_value_is_accepted() {
    let mut list = linked(&["SPX"], tuesday("16:00:03"));
    let now = tuesday("16:00:04");
    fetch(&mut list, "I:SPX", 1, tuesday("16:00:02").utc, now);
    assert_eq!(tick(&mut list, "I:SPX", 2, later(now, 1)), Outcome::Stored);
    assert_eq!(shown(&list), Some(price(2)));
}

#[test]
fn a_value_of_today_never_becomes_yesterdays_close() {
    let mut list = linked(&["SPX"], tuesday("09:00:00"));
    let morning = tuesday("10:00:00");
    fetch(&mut list, "I:SPX", 1, morning.utc, later(morning, 12));
    tick(&mut list, "I:SPX", 2, tuesday("10:05:00"));
    tick(&mut list, "I:SPX", 3, tuesday("20:00:00"));
    tick(&mut list, "I:SPX", 4, tuesday("20:00:01"));
    assert_eq!(shown(&list), Some(price(4)));
    assert_eq!(list.freshness(0, tuesday("20:30:01"), &US), stale(1800));
}

#[test]
fn the_next_price_of_a_share_confirms_the_close_before_that_price() {
    let mut list = linked(&["SPY"], tuesday("15:59:00"));
    tick(&mut list, "SPY", 1, tuesday("15:59:59"));
    // No other frame, such as a pong, has arrived.
    let next = tuesday("16:10:00");
    let quote = Quote {
        epoch: list.link(Cluster::Stocks).epoch,
        ..streamed(price(2), next.utc, next)
    };
    list.value("SPY", quote, next, &US);
    let shown = list.shown(0, tuesday("20:30:00"), &US).unwrap();
    assert_eq!(shown.freshness, Freshness::Closed);
    assert_eq!(shown.quote.unwrap().price, price(1));
}

#[test]
fn a_lost_connection_does_not_turn_a_value_into_the_close() {
    let now = tuesday("09:00:00");
    let mut list = linked(&["SPX"], now);
    let monday = Some(Utc(tuesday("16:20:00").utc.unwrap().0 - 86_400_000));
    fetch_close(&mut list, "I:SPX", 9, monday, now);
    let last = tuesday("15:00:00");
    tick(&mut list, "I:SPX", 1, last);
    list.set_link(Cluster::Indices, false, later(last, 30), &US);
    assert_eq!(list.freshness(0, tuesday("17:00:00"), &US), stale(7200));
}

#[test]
fn a_corrected_close_is_shown_even_after_the_connection_breaks() {
    let last = tuesday("15:59:59");
    let night = tuesday("22:00:00");
    let seen = |list: &Watchlist| {
        let shown = list.shown(0, night, &US).unwrap();
        (shown.quote.unwrap().price, shown.freshness)
    };
    let (mut list, _) = ticked("I:SPX", last);
    let proven = tuesday("16:05:00");
    list.heard(Cluster::Indices, proven.monotonic);
    list.set_link(Cluster::Indices, false, proven, &US);
    fetch(&mut list, "I:SPX", 2, last.utc, night);
    assert_eq!(seen(&list), (price(2), Freshness::Closed));
    // The second part tests a close that a source has reported.
    let (mut list, _) = ticked("I:SPX", last);
    list.set_link(Cluster::Indices, false, tuesday("16:00:01"), &US);
    fetch_close(&mut list, "I:SPX", 3, last.utc, night);
    assert_eq!(seen(&list), (price(3), Freshness::Closed));
    fetch(&mut list, "I:SPX", 4, last.utc, night);
    assert_eq!(seen(&list), (price(4), Freshness::Closed));
}

#[test]
fn a_bar_corrects_only_its_own_window_and_kind() {
    let now = tuesday("10:01:00");
    let end = now.utc.unwrap();
    let take = |list: &mut Watchlist, kind, close| {
        list.bar(
            "I:SPX",
            kind,
            bar(close, end),
            Provenance::default(),
            now,
            &US,
        )
    };
    let (mut list, _) = ticked("I:SPX", now);
    assert_eq!(take(&mut list, ChannelKind::Minute, 2), Outcome::Older);
    assert_eq!(shown(&list), Some(price(1)));
    let mut list = linked(&["SPX"], now);
    take(&mut list, ChannelKind::Second, 1);
    assert_eq!(take(&mut list, ChannelKind::Minute, 2), Outcome::Older);
    assert_eq!(shown(&list), Some(price(1)));
    assert_eq!(take(&mut list, ChannelKind::Second, 3), Outcome::Stored);
    assert_eq!(shown(&list), Some(price(3)));
}

#[test]
fn a_bar_sets_the_high_and_low_of_its_minute_unless_its_time_is_in_the_future() {
    let now = tuesday("10:01:00");
    let end = now.utc.unwrap();
    let wide = |end| Bar {
        high: price(9),
        low: price(2),
        ..bar(5, end)
    };
    let range = |kind, before: &[Bar], end: Utc| {
        let mut list = linked(&["SPX"], now);
        list.start_days(now, &US);
        for bar in before {
            list.bar(
                "I:SPX",
                ChannelKind::Second,
                *bar,
                Provenance::default(),
                now,
                &US,
            );
        }
        list.bar("I:SPX", kind, wide(end), Provenance::default(), now, &US);
        list.instruments()[0].minutes().range()
    };
    let whole = Some((price(2), price(9)));
    assert_eq!(range(ChannelKind::Minute, &[], end), whole);
    assert_eq!(range(ChannelKind::Second, &[], end), whole);
    // The bar of a minute replaces the range that was built from single values.
    let wrong = Bar {
        high: price(99),
        start: Utc(end.0 - 30_000),
        ..bar(5, Utc(end.0 - 29_000))
    };
    assert_eq!(range(ChannelKind::Minute, &[wrong], end), whole);
    for kind in [ChannelKind::Minute, ChannelKind::Second] {
        assert_eq!(range(kind, &[], Utc(end.0 + 60_000)), None);
    }
}

#[test]
fn a_delayed_void_book_without_a_timestamp_gives_way_to_the_next_value_with_a_timestamp() {
    let start = tuesday("11:00:00");
    let mut list = linked(&["SPX"], start);
    let delayed = Provenance {
        delayed: true,
        ..Provenance::default()
    };
    let value =
        |whole, stamp, now| Quote::streamed(price(whole), stamp, QuoteSource::Tick, delayed, now);
    let void = Quote {
        void: true,
        ..value(1, None, start)
    };
    assert_eq!(list.value("I:SPX", void, start, &US), Outcome::Stored);
    let third = later(start, 5);
    let stamp = third.utc.map(|utc| Utc(utc.0 - 900_050));
    assert_eq!(
        list.value("I:SPX", value(3, stamp, third), third, &US),
        Outcome::Stored
    );
    let shown = list.shown(0, third, &US).unwrap();
    assert_eq!(
        (shown.quote.unwrap().price, shown.freshness),
        (price(3), Freshness::Delayed)
    );
}
