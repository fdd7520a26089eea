//! What a value is worth, at literal times.

use super::*;
use crate::market::Change;

#[test]
fn nothing_known_is_none_and_not_zero() {
    let list = watchlist();
    let now = tuesday("10:00:00");
    assert_eq!(list.freshness(0, now, &US), Freshness::None);
    assert_eq!(list.freshness(99, now, &US), Freshness::None);
    assert_eq!(list.deadline(0, now, &US), Moment::NEVER);
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
fn a_step_of_the_wall_clock_makes_no_stale_value_live() {
    let now = tuesday("11:00:00");
    let (list, spx) = ticked("I:SPX", now);
    let over = later(now, 20);
    for secs in [-3600, 3600, -60, 60, -86_400, 86_400] {
        assert_eq!(
            list.freshness(spx, stepped(over, secs), &US),
            stale(20),
            "{secs}"
        );
    }
    assert_eq!(list.freshness(spx, unset(over), &US), stale(20));
    // And a step into the evening does not make a price of the morning the close.
    assert_eq!(list.freshness(spx, stepped(over, 6 * 3600), &US), stale(20));
}

#[test]
fn without_a_clock_nothing_is_called_closed() {
    let now = unset(tuesday("20:00:00"));
    let mut list = watchlist();
    list.value("I:SPX", Quote::arrived(price(1), None, now));
    assert_eq!(list.freshness(0, now, &US), Freshness::Live);
    assert_eq!(list.freshness(0, later(now, 11), &US), stale(11));
}

#[test]
fn a_value_received_without_a_clock_is_found_old_once_the_clock_is_set() {
    let (now, stamp) = (tuesday("14:00:00"), tuesday("13:00:00").utc);
    let mut list = watchlist();
    list.value("I:SPX", Quote::arrived(price(1), stamp, unset(now)));
    assert_eq!(list.freshness(0, later(now, 2), &US), stale(3602));
    let back = stepped(later(now, 3), -3600);
    assert_eq!(
        list.freshness(0, back, &US),
        stale(3603),
        "found once, for good"
    );
}

#[test]
fn the_last_value_of_a_session_is_its_close() {
    let (list, spx) = ticked("I:SPX", tuesday("15:59:58"));
    assert_eq!(
        list.freshness(spx, tuesday("15:59:59"), &US),
        Freshness::Live
    );
    assert_eq!(
        list.freshness(spx, tuesday("16:00:00"), &US),
        Freshness::Closed
    );
    assert_eq!(
        list.freshness(spx, tuesday("23:00:00"), &US),
        Freshness::Closed
    );
}

#[test]
fn what_comes_after_the_close_is_the_close() {
    let (list, spx) = ticked("I:SPX", tuesday("16:10:00"));
    assert_eq!(
        list.freshness(spx, tuesday("16:10:00"), &US),
        Freshness::Closed
    );
}

#[test]
fn a_price_from_when_the_link_died_is_never_called_the_close() {
    let (list, spx) = ticked("I:SPX", tuesday("14:00:00"));
    assert_eq!(
        list.freshness(spx, tuesday("17:00:00"), &US),
        stale(3 * 3600)
    );
    // The same told by a hub to one who joins at night.
    let mut list = watchlist();
    let now = tuesday("20:00:00");
    list.value(
        "I:SPX",
        Quote::arrived(price(1), tuesday("14:00:00").utc, now),
    );
    assert_eq!(list.freshness(0, now, &US), stale(6 * 3600));
}

#[test]
fn a_close_told_at_night_is_closed() {
    let mut list = watchlist();
    let now = tuesday("20:00:00");
    list.value(
        "I:SPX",
        Quote::arrived(price(1), tuesday("16:00:00").utc, now),
    );
    assert_eq!(list.freshness(0, now, &US), Freshness::Closed);
}

#[test]
fn after_an_open_the_old_close_has_a_minute_of_grace() {
    let (list, vix) = ticked("I:VIX", tuesday("09:14:50"));
    for (time, freshness) in [
        ("09:15:00", Freshness::Closed),
        ("09:29:59", Freshness::Closed),
        ("09:30:00", Freshness::Closed),
        ("09:30:59", Freshness::Closed),
        ("09:31:00", stale(970)),
    ] {
        assert_eq!(list.freshness(vix, tuesday(time), &US), freshness, "{time}");
    }
    // A value of the new session has no grace: it is no close.
    let (list, spx) = ticked("I:SPX", tuesday("09:30:05"));
    assert_eq!(list.freshness(spx, tuesday("09:30:20"), &US), stale(15));
    // Nor has a value that was not the close.
    let (list, vix) = ticked("I:VIX", tuesday("09:00:00"));
    assert_eq!(list.freshness(vix, tuesday("09:30:10"), &US), stale(1810));
}

#[test]
fn a_late_source_is_delayed_until_it_has_told_the_close() {
    let mut list = watchlist();
    let mut tell = |stamp: &str, now: &str| {
        let now = tuesday(now);
        list.value("I:SPX", Quote::arrived(price(1), tuesday(stamp).utc, now));
        list.freshness(0, now, &US)
    };
    assert_eq!(tell("11:00:00", "11:15:00"), Freshness::Delayed);
    assert_eq!(tell("15:50:00", "16:05:00"), Freshness::Delayed);
    assert_eq!(tell("16:00:00", "16:15:00"), Freshness::Closed);
}

#[test]
fn a_late_source_that_falls_silent_is_stale() {
    let mut list = watchlist();
    let now = tuesday("11:15:00");
    list.value(
        "I:SPX",
        Quote::arrived(price(1), tuesday("11:00:00").utc, now),
    );
    assert_eq!(list.freshness(0, later(now, 11), &US), stale(911));
}

#[test]
fn simulated_prices_are_never_closed() {
    let (list, spx) = ticked("I:SPX", tuesday("22:00:00"));
    let calendar = Calendar::always_open();
    assert_eq!(
        list.freshness(spx, tuesday("22:00:10"), &calendar),
        Freshness::Live
    );
    assert_eq!(
        list.freshness(spx, tuesday("22:00:11"), &calendar),
        stale(11)
    );
    assert_eq!(
        list.freshness(spx, tuesday("22:00:11"), &US),
        Freshness::Closed
    );
}

#[test]
fn a_change_is_told_only_against_the_close_of_its_own_day() {
    let now = tuesday("10:00:00");
    let (mut list, _) = ticked("I:SPX", now);
    assert_eq!(list.instruments()[0].change(now), None);
    list.set_previous_close("I:SPX", price(2), now.utc.unwrap(), &US);
    let change = |now| list.instruments()[0].change(now).map(Change::absolute);
    assert_eq!(change(now), Some(price(-1)));
    assert_eq!(change(tuesday("23:00:00")), Some(price(-1)));
    assert_eq!(change(later(now, 86_400)), None);
    assert_eq!(change(unset(now)), None);
}

#[test]
fn a_deadline_is_where_the_next_picture_begins() {
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
    let night = tuesday("16:00:00");
    let open = later(tuesday("09:30:00"), 86_400).monotonic;
    assert_eq!(list.deadline(spx, night, &US), open);
}
