//! Tests of `Freshness::Closed`: the display shows a value as closed only if the value is the close
//! of the session. All times are literal.

use super::*;
use crate::market::{MarketState, MarketStatus};

const CONTRACT: &str = "O:AAPL261218C00250000";

/// Simulates a frame, such as a pong, on all connections.
fn pong(list: &mut Watchlist, now: Now) {
    for cluster in Cluster::ALL {
        list.heard(cluster, now.monotonic);
    }
}

#[test]
fn the_last_value_is_the_close_after_silence_on_an_unbroken_connection() {
    let (mut list, spx) = ticked("I:SPX", tuesday("15:59:58"));
    let at = |list: &Watchlist, time| list.freshness(spx, tuesday(time), &US);
    assert_eq!(at(&list, "16:00:00"), Freshness::Live);
    assert_eq!(at(&list, "16:00:09"), stale(11), "the link may be dead");
    pong(&mut list, tuesday("16:00:09"));
    assert_eq!(
        at(&list, "16:00:09"),
        stale(11),
        "it was not the limit after the bell"
    );
    pong(&mut list, tuesday("16:00:10"));
    assert_eq!(at(&list, "16:00:10"), Freshness::Closed);
    assert_eq!(at(&list, "23:00:00"), Freshness::Closed);
}

#[test]
fn an_official_close_that_arrives_minutes_after_the_session_is_accepted() {
    let (mut list, spx) = ticked("I:SPX", tuesday("15:59:59"));
    for (time, whole) in [
        ("16:00:02", 2),
        ("16:00:05", 3),
        ("16:04:50", 4),
        ("16:20:00", 5),
    ] {
        let now = tuesday(time);
        assert_eq!(tick(&mut list, "I:SPX", whole, now), Outcome::Stored);
        assert_eq!(list.freshness(spx, now, &US), Freshness::Live, "{time}");
        let silent = later(now, 11);
        pong(&mut list, silent);
        let shown = list.shown(spx, silent, &US).unwrap();
        assert_eq!(shown.freshness, Freshness::Closed, "{time}");
        assert_eq!(shown.quote.unwrap().price, price(whole));
    }
    // The value stays closed all night, and also after a connection loss.
    let night = tuesday("22:00:00");
    list.set_link(Cluster::Indices, false, night, &US);
    list.set_link(Cluster::Indices, true, later(night, 5), &US);
    assert_eq!(
        list.freshness(spx, later(night, 60), &US),
        Freshness::Closed
    );
}

#[test]
fn a_value_that_was_stale_at_the_close_stays_stale_until_a_source_reports_the_close() {
    // A day with an early close at 13:00.
    let friday = |time: &str| {
        let utc = utc(&format!("2026-11-27T{time}-05:00"));
        Now::new(Moment::from_millis((utc.0 - 1_795_755_600_000) as u64), utc)
    };
    for broken in [false, true] {
        let mut list = linked(&["SPX"], friday("12:00:00"));
        tick(&mut list, "I:SPX", 1, friday("12:59:40"));
        assert_eq!(list.freshness(0, friday("12:59:58"), &US), stale(18));
        if broken {
            list.set_link(Cluster::Indices, false, friday("12:59:59"), &US);
        }
        pong(&mut list, friday("13:10:00"));
        assert_eq!(list.freshness(0, friday("13:00:02"), &US), stale(22));
        assert!(matches!(
            list.freshness(0, friday("18:00:00"), &US),
            Freshness::Stale(_)
        ));
        fetch_close(
            &mut list,
            "I:SPX",
            2,
            friday("13:05:00").utc,
            friday("18:00:01"),
        );
        let shown = list.shown(0, friday("18:00:01"), &US).unwrap();
        assert_eq!(shown.freshness, Freshness::Closed);
        assert_eq!(shown.quote.unwrap().price, price(2));
    }
}

#[test]
fn a_value_stays_stale_if_the_connection_breaks_before_enough_silence() {
    let (mut list, spx) = ticked("I:SPX", tuesday("15:59:59"));
    tick(&mut list, "I:SPX", 2, tuesday("16:00:01"));
    list.set_link(Cluster::Indices, false, tuesday("16:00:05"), &US);
    list.set_link(Cluster::Indices, true, tuesday("16:00:06"), &US);
    pong(&mut list, tuesday("17:00:00"));
    let age = stale(3599);
    assert_eq!(list.freshness(spx, tuesday("17:00:00"), &US), age);
}

#[test]
fn the_last_price_of_a_dead_connection_is_never_the_close() {
    let (mut list, spx) = ticked("I:SPX", tuesday("14:00:00"));
    pong(&mut list, tuesday("17:00:00"));
    assert_eq!(
        list.freshness(spx, tuesday("17:00:00"), &US),
        stale(3 * 3600)
    );
}

#[test]
fn a_fetched_value_at_night_is_the_close_by_its_flag_or_its_timestamp() {
    let night = tuesday("22:00:00");
    for (name, stamp, with_flag, without_flag) in [
        ("SPX", "16:04:50", true, true),
        ("SPX", "15:59:51", true, true),
        ("SPX", "15:52:00", true, false),
        // The close of an index can be reported late, but not by hours.
        ("SPX", "16:45:00", true, true),
        ("SPX", "18:00:01", true, false),
        ("SPY", "15:52:00", true, false),
        ("SPY", "15:59:30", true, true),
        ("SPY", "16:01:00", true, true),
        ("SPY", "16:01:01", true, false),
        // Shares are traded after the regular hours: such a price is not the close.
        ("SPY", "19:59:00", true, false),
        (CONTRACT, "15:40:00", true, false),
        (CONTRACT, "10:00:00", true, false),
        (CONTRACT, "15:59:30", true, true),
    ] {
        let symbol: Symbol = name.parse().unwrap();
        let closed = |close: bool| {
            let mut list = linked(&[name], night);
            let fetch_row = if close {
                |list: &mut Watchlist, ticker: &str, stamp, now| {
                    fetch_close(list, ticker, 1, stamp, now)
                }
            } else {
                |list: &mut Watchlist, ticker: &str, stamp, now| {
                    fetch(list, ticker, 1, stamp, now);
                }
            };
            fetch_row(&mut list, symbol.ticker(), tuesday(stamp).utc, night);
            list.freshness(0, night, &US) == Freshness::Closed
        };
        assert_eq!(
            (closed(true), closed(false)),
            (with_flag, without_flag),
            "{name} {stamp}"
        );
    }
    // The last known close of a contract can be days old. A close that is days old, or twelve hours
    // older than the end of the session, is not the current close.
    let friday = Utc(tuesday("15:40:00").utc.unwrap().0 - 4 * 86_400_000);
    for old in [friday, tuesday("04:00:00").utc.unwrap()] {
        let mut list = linked(&[CONTRACT], night);
        fetch_close(&mut list, CONTRACT, 1, Some(old), night);
        assert!(matches!(list.freshness(0, night, &US), Freshness::Stale(_)));
    }
}

#[test]
fn a_response_that_arrives_too_early_does_not_make_a_close() {
    for (ticker, before, since) in [
        ("I:SPX", "16:29:59", "16:30:00"),
        (CONTRACT, "16:00:59", "16:01:00"),
    ] {
        let mut list = linked(&[ticker], tuesday("15:59:00"));
        let last = tuesday("15:59:59").utc;
        let at = |list: &Watchlist| list.freshness(0, tuesday("16:31:00"), &US);
        fetch(&mut list, ticker, 1, last, tuesday(before));
        assert_eq!(at(&list), stale(1861), "{ticker}");
        fetch(&mut list, ticker, 1, last, tuesday(since));
        assert_eq!(at(&list), Freshness::Closed, "{ticker}");
    }
}

#[test]
fn a_reported_close_replaces_only_values_that_arrived_before_the_report() {
    let stamp = |time| tuesday(time).utc;
    let value = |list: &mut Watchlist| {
        tick_of(list, "I:SPX", 1, stamp("15:59:55"), tuesday("16:00:04"));
    };
    let close = |list: &mut Watchlist, now| {
        fetch_close(list, "I:SPX", 2, stamp("15:59:50"), tuesday(now));
    };
    let mut list = linked(&["SPX"], tuesday("15:59:00"));
    value(&mut list);
    close(&mut list, "16:01:00");
    let seen = list.shown(0, tuesday("16:01:30"), &US).unwrap();
    assert_eq!(seen.freshness, Freshness::Closed);
    assert_eq!(seen.quote.unwrap().price, price(2));
    // The source reported the close before the value arrived, so the close does not include the
    // value.
    let mut list = linked(&["SPX"], tuesday("15:59:00"));
    close(&mut list, "16:00:03");
    value(&mut list);
    assert_eq!(list.freshness(0, tuesday("16:01:30"), &US), stale(95));
}

#[test]
fn an_evening_price_is_not_the_close_on_the_next_morning() {
    let morning = tuesday("05:00:00");
    let mut list = linked(&["SPY"], morning);
    let evening = Some(Utc(tuesday("19:59:00").utc.unwrap().0 - 86_400_000));
    fetch(&mut list, "SPY", 1, evening, morning);
    assert_eq!(list.freshness(0, morning, &US), stale(9 * 3600 + 60));
}

#[test]
fn an_older_value_never_replaces_the_close() {
    let (mut list, spx) = ticked("I:SPX", tuesday("15:59:59"));
    let then = tuesday("16:05:00");
    pong(&mut list, then);
    assert_eq!(list.freshness(spx, then, &US), Freshness::Closed);
    // A corrected bar of 15:50, a replay from another hub, and a late REST row.
    let stamp = tuesday("15:50:00").utc;
    take_bar(&mut list, "I:SPX", bar(7, stamp.unwrap()), then);
    tick_of(&mut list, "I:SPX", 8, tuesday("15:59:30").utc, then);
    tick_of(
        &mut list,
        "I:SPX",
        8,
        tuesday("15:59:31").utc,
        later(then, 1),
    );
    fetch(&mut list, "I:SPX", 9, stamp, then);
    let shown = list.shown(spx, then, &US).unwrap();
    assert_eq!(shown.freshness, Freshness::Closed);
    assert_eq!(shown.quote.unwrap().price, price(1));
}

#[test]
fn a_share_shows_its_close_after_its_limit_until_the_next_trade() {
    let mut list = linked(&["SPY"], tuesday("15:59:00"));
    let last = tuesday("15:59:59");
    tick(&mut list, "SPY", 1, last);
    let at = |list: &Watchlist, time| list.freshness(0, tuesday(time), &US);
    assert_eq!(at(&list, "16:00:59"), Freshness::Live);
    assert_eq!(at(&list, "16:01:00"), stale(61), "its link may be dead");
    pong(&mut list, tuesday("16:01:01"));
    assert_eq!(at(&list, "16:04:00"), Freshness::Closed);
    tick(&mut list, "SPY", 2, tuesday("16:10:00"));
    assert_eq!(
        at(&list, "16:15:00"),
        Freshness::Live,
        "trades are rare then"
    );
    assert_eq!(at(&list, "16:15:01"), stale(301));
    // After the extended hours the display shows the close again.
    tick(&mut list, "SPY", 3, tuesday("19:59:00"));
    assert_eq!(at(&list, "20:04:00"), Freshness::Live);
    let shown = list.shown(0, tuesday("20:04:01"), &US).unwrap();
    assert_eq!(shown.freshness, Freshness::Closed);
    assert_eq!(shown.quote.unwrap().price, price(1));
}

#[test]
fn the_close_stays_valid_for_a_minute_after_the_open() {
    let (mut list, vix) = ticked("I:VIX", tuesday("09:14:50"));
    pong(&mut list, tuesday("09:15:50"));
    for (time, freshness) in [
        ("09:15:35", Freshness::Live),
        ("09:15:50", Freshness::Closed),
        ("09:29:59", Freshness::Closed),
        ("09:30:00", Freshness::Closed),
        ("09:30:59", Freshness::Closed),
        ("09:31:00", stale(970)),
    ] {
        assert_eq!(list.freshness(vix, tuesday(time), &US), freshness, "{time}");
    }
    let half = tuesday("09:30:30");
    let ends = tuesday("09:31:00").monotonic;
    assert_eq!(list.deadline(vix, half, &US), ends);
    // A value of the new session has no grace period, because it is not a close.
    let (list, spx) = ticked("I:SPX", tuesday("09:30:05"));
    assert_eq!(list.freshness(spx, tuesday("09:30:20"), &US), stale(15));
    // A value with the timestamp of the open has no grace period either.
    let mut list = linked(&["SPX"], tuesday("09:29:00"));
    let open = tuesday("09:30:00").utc;
    fetch(&mut list, "I:SPX", 1, open, tuesday("09:30:12"));
    assert_eq!(list.freshness(0, tuesday("09:30:20"), &US), stale(20));
    // A value that was not the close has no grace period either.
    let (list, vix) = ticked("I:VIX", tuesday("09:00:00"));
    assert_eq!(list.freshness(vix, tuesday("09:30:10"), &US), stale(1810));
}

#[test]
fn yesterdays_close_is_the_base_of_todays_change() {
    let monday = |time: &str| later(tuesday(time), 0);
    let mut list = linked(&["SPX"], monday("15:00:00"));
    list.start_days(monday("15:00:00"), &US);
    tick(&mut list, "I:SPX", 100, monday("15:59:59"));
    pong(&mut list, monday("16:01:00"));
    let open = later(tuesday("09:30:00"), 86_400);
    list.start_days(open, &US);
    let first = later(open, 1);
    tick(&mut list, "I:SPX", 103, first);
    let spx = &list.instruments()[0];
    let change = spx.change(&spx.quote().unwrap(), first).unwrap();
    assert_eq!(change.absolute(), price(3));
    // At 9:30:02 the vendor still sends yesterday's row, which contains yesterday's close.
    let mut list = linked(&["SPX"], open);
    list.start_days(open, &US);
    tick(&mut list, "I:SPX", 103, first);
    fetch_close(
        &mut list,
        "I:SPX",
        100,
        tuesday("16:20:00").utc,
        later(open, 2),
    );
    list.start_days(later(open, 2), &US);
    let spx = &list.instruments()[0];
    let change = spx.change(&spx.quote().unwrap(), later(open, 2)).unwrap();
    assert_eq!(
        (change.absolute(), shown(&list)),
        (price(3), Some(price(103)))
    );
}

fn market_status(state: MarketState, as_of: Option<Utc>) -> MarketStatus {
    MarketStatus {
        groups: [Some(state), Some(state), Some(state), None, None],
        as_of: as_of.unwrap(),
    }
}

#[test]
fn a_closed_market_status_makes_no_close_from_a_dead_connection() {
    let mut calendar = US;
    let (mut list, spx) = ticked("I:SPX", tuesday("11:00:00"));
    list.set_link(Cluster::Indices, false, tuesday("11:00:30"), &US);
    calendar.set_status(market_status(MarketState::Closed, tuesday("12:30:00").utc));
    let age = stale(90 * 60 + 60);
    assert_eq!(list.freshness(spx, tuesday("12:31:00"), &calendar), age);
    // On an unbroken connection the value is the close, and it stays the close after each further
    // status.
    let mut calendar = US;
    calendar.set_status(market_status(MarketState::Open, tuesday("12:29:00").utc));
    let (mut list, spx) = ticked("I:SPX", tuesday("12:29:55"));
    for time in ["12:30:00", "12:31:00", "12:35:00"] {
        calendar.set_status(market_status(MarketState::Closed, tuesday(time).utc));
        pong(&mut list, tuesday(time));
    }
    let closed = list.freshness(spx, tuesday("12:36:00"), &calendar);
    assert_eq!(closed, Freshness::Closed);
}

#[test]
fn the_previous_close_stays_if_the_vendor_reports_a_day_without_trading() {
    let mut calendar = US;
    let night = tuesday("07:00:00");
    let mut list = linked(&["SPX"], night);
    let monday = Some(Utc(tuesday("16:20:00").utc.unwrap().0 - 86_400_000));
    fetch_close(&mut list, "I:SPX", 1, monday, night);
    for time in ["09:20:00", "09:29:50", "09:30:10", "09:30:25", "09:30:40"] {
        calendar.set_status(market_status(MarketState::Closed, tuesday(time).utc));
        let now = tuesday(time);
        assert_eq!(
            list.freshness(0, now, &calendar),
            Freshness::Closed,
            "{time}"
        );
    }
    let now = tuesday("09:31:00");
    assert_eq!(list.freshness(0, now, &calendar), Freshness::Closed);
}

#[test]
fn a_day_without_trading_shows_the_previous_close_for_every_start_time() {
    for first in ["07:00", "13:00"] {
        let start = tuesday(&format!("{first}:00"));
        for ticker in ["I:SPX", "I:TICK", "SPY", "O:SPXW260116C06950000"] {
            let mut calendar = US;
            let mut list = linked(&[ticker], start);
            let bell = Some(Utc(tuesday("16:00:00").utc.unwrap().0 - 86_400_000));
            fetch_close(&mut list, ticker, 1, bell, start);
            let mut now = start;
            while now.utc < tuesday("17:00:00").utc {
                calendar.set_status(market_status(MarketState::Closed, now.utc));
                let regular = now.utc >= tuesday("09:31:00").utc;
                if regular {
                    let freshness = list.freshness(0, now, &calendar);
                    assert_eq!(freshness, Freshness::Closed, "{ticker} {first} {now:?}");
                }
                now = later(now, 60);
            }
        }
    }
}

#[test]
fn after_an_ordinary_trading_day_the_previous_close_is_stale() {
    let mut calendar = US;
    let start = tuesday("15:00:00");
    let mut list = linked(&["SPX"], start);
    let bell = Some(Utc(tuesday("16:00:00").utc.unwrap().0 - 86_400_000));
    fetch_close(&mut list, "I:SPX", 1, bell, start);
    for time in ["16:20:30", "16:25:00", "16:30:00"] {
        calendar.set_status(market_status(MarketState::Closed, tuesday(time).utc));
        let freshness = list.freshness(0, tuesday(time), &calendar);
        assert!(matches!(freshness, Freshness::Stale(_)), "{time}");
    }
}

#[test]
fn the_close_of_a_share_is_accepted_with_any_row_timestamp() {
    let now = tuesday("20:05:00");
    let mut list = linked(&["SPY"], now);
    fetch(&mut list, "SPY", 9, tuesday("19:59:30").utc, now);
    fetch_close(&mut list, "SPY", 1, tuesday("20:04:50").utc, later(now, 1));
    let shown = list.shown(0, later(now, 2), &US).unwrap();
    let seen = (shown.freshness, shown.quote.map(|quote| quote.price));
    assert_eq!(seen, (Freshness::Closed, Some(price(1))));
}

#[test]
fn an_index_row_without_a_close_flag_is_no_close_for_half_an_hour() {
    let mut list = linked(&["SPX"], tuesday("15:59:00"));
    let row = tuesday("16:00:24");
    fetch(&mut list, "I:SPX", 1, tuesday("16:00:05").utc, row);
    let freshness = list.freshness(0, later(row, 60), &US);
    assert!(matches!(freshness, Freshness::Stale(_)), "{freshness:?}");
    let reported = tuesday("16:02:00");
    fetch_close(&mut list, "I:SPX", 2, tuesday("16:01:00").utc, reported);
    assert_eq!(list.freshness(0, reported, &US), Freshness::Closed);
    // Half an hour after the end of the session, the last value is the close, even if its row is
    // not marked as a close.
    let late = tuesday("16:31:00");
    let mut list = linked(&["SPX"], late);
    fetch(&mut list, "I:SPX", 1, tuesday("16:00:05").utc, late);
    assert_eq!(list.freshness(0, late, &US), Freshness::Closed);
}

#[test]
fn the_silence_of_a_late_stream_starts_after_its_lag() {
    let mut list = linked(&["SPX"], tuesday("15:59:00"));
    let arrival = tuesday("16:00:27");
    tick_of(&mut list, "I:SPX", 1, tuesday("15:59:58").utc, arrival);
    let at = |list: &mut Watchlist, time| {
        pong(list, tuesday(time));
        list.freshness(0, tuesday(time), &US)
    };
    assert_eq!(at(&mut list, "16:00:38"), stale(40));
    assert_eq!(at(&mut list, "16:00:39"), Freshness::Closed);
}

#[test]
fn a_recent_index_value_is_not_the_close_even_with_a_close_flag() {
    let now = tuesday("16:01:00");
    let mut list = linked(&["SPX"], now);
    fetch_close(&mut list, "I:SPX", 1, tuesday("16:00:58").utc, now);
    assert_eq!(list.freshness(0, now, &US), Freshness::Live);
    assert_eq!(list.freshness(0, tuesday("16:01:08"), &US), Freshness::Live);
    assert_eq!(
        list.freshness(0, tuesday("16:01:09"), &US),
        Freshness::Closed
    );
    let mut list = linked(&["SPX"], now);
    fetch_close(&mut list, "I:SPX", 1, tuesday("15:59:59").utc, now);
    assert_eq!(list.freshness(0, now, &US), Freshness::Closed);
}

#[test]
fn a_share_shows_its_close_before_the_first_trade_of_the_morning() {
    let monday = |time: &str| Some(Utc(tuesday(time).utc.unwrap().0 - 86_400_000));
    let mut list = linked(&["SPY"], tuesday("03:50:00"));
    let morning = tuesday("04:00:05");
    fetch_close(&mut list, "SPY", 7, monday("16:00:00"), tuesday("03:50:00"));
    // In the morning the REST row still contains the last trade of the previous evening.
    fetch(&mut list, "SPY", 8, monday("19:58:00"), morning);
    let shown = list.shown(0, morning, &US).unwrap();
    assert_eq!(shown.freshness, Freshness::Closed);
    assert_eq!(shown.quote.unwrap().price, price(7));
    let first = tuesday("04:10:00");
    fetch(&mut list, "SPY", 9, first.utc, first);
    assert_eq!(list.freshness(0, first, &US), Freshness::Live);
    // A price from before the open is not the close.
    assert_eq!(list.freshness(0, tuesday("09:30:30"), &US), stale(19_230));
}

#[test]
fn a_close_with_a_timestamp_of_this_morning_stays_the_close_of_the_last_session() {
    let mut list = linked(&["SPY"], tuesday("03:59:00"));
    for morning in ["04:00:00", "04:00:30", "09:29:59"].map(tuesday) {
        fetch_close(&mut list, "SPY", 7, morning.utc, morning);
        let shown = list.shown(0, morning, &US).unwrap();
        assert_eq!(shown.freshness, Freshness::Closed);
        assert_eq!(shown.quote.unwrap().price, price(7));
    }
}
