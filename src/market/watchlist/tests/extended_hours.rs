//! Tests of values outside the known trading hours. The calendar only explains why no values come.
//! A price that still changes is never shown as CLOSED.

use super::*;
use crate::market::SessionPart;

/// Returns the given time of day on Saturday, 17 January 2026.
fn saturday(time: &str) -> Now {
    later(tuesday(time), 4 * 86_400)
}

fn closed_on_friday(name: &str) -> Box<Watchlist> {
    let now = saturday("08:00:00");
    let mut list = linked(&[name], now);
    let ticker: Symbol = name.parse().unwrap();
    let friday = Some(Utc(saturday("16:00:00").utc.unwrap().0 - 86_400_000));
    fetch_close(&mut list, ticker.ticker(), 100, friday, now);
    list
}

#[test]
fn a_single_stray_print_is_never_shown_and_changes_nothing() {
    let mut list = closed_on_friday("SPX");
    let now = saturday("12:00:00");
    list.start_days(now, &US);
    assert_eq!(tick(&mut list, "I:SPX", 18, now), Outcome::Doubted);
    let shown = list.shown(0, now, &US).unwrap();
    assert_eq!(
        (shown.quote.unwrap().price, shown.freshness),
        (price(100), Freshness::Closed)
    );
    assert_eq!(list.instruments()[0].minutes().points(), []);
    // A second value one hour later does not confirm the first value.
    assert_eq!(
        tick(&mut list, "I:SPX", 18, later(now, 3600)),
        Outcome::Doubted
    );
    // Correct REST responses are still accepted.
    let friday = Some(Utc(saturday("16:04:50").utc.unwrap().0 - 86_400_000));
    let night = later(now, 7200);
    fetch_close(&mut list, "I:SPX", 101, friday, night);
    let shown = list.shown(0, night, &US).unwrap();
    assert_eq!(
        (shown.quote.unwrap().price, shown.freshness),
        (price(101), Freshness::Closed)
    );
}

#[test]
fn a_stray_print_from_before_the_clock_is_set_is_replaced_by_the_close() {
    let now = saturday("12:00:00");
    let mut list = linked(&["SPX"], unset(now));
    let outcome = tick_of(&mut list, "I:SPX", 18, now.utc, unset(now));
    assert_eq!(outcome, Outcome::Stored);
    let now = later(now, 7200);
    let friday = Some(Utc(saturday("16:04:50").utc.unwrap().0 - 86_400_000));
    fetch_close(&mut list, "I:SPX", 101, friday, now);
    let shown = list.shown(0, now, &US).unwrap();
    assert_eq!(
        (shown.quote.unwrap().price, shown.freshness),
        (price(101), Freshness::Closed)
    );
}

#[test]
fn a_moving_price_outside_the_known_hours_is_live_and_marked_from_its_second_value() {
    for (name, time) in [
        ("O:NVDA261218C00200000", "08:00:00"),
        ("O:NVDA261218C00200000", "16:05:00"),
        ("O:SPXW261218C05900000", "03:00:00"),
        ("O:SPXW261218C05900000", "16:30:00"),
        ("SPY", "22:30:00"),
    ] {
        let now = tuesday(time);
        let mut list = linked(&[name], later(now, -10));
        // A source reports the close of today or of yesterday.
        let bell = if now.utc >= tuesday("16:00:00").utc {
            tuesday("16:00:00").utc
        } else {
            Some(Utc(tuesday("16:00:00").utc.unwrap().0 - 86_400_000))
        };
        fetch_close(&mut list, name, 100, bell, later(now, -10));
        assert_eq!(
            tick(&mut list, name, 101, now),
            Outcome::Doubted,
            "{name} {time}"
        );
        for second in 1..100 {
            let now = later(now, second);
            assert_eq!(tick(&mut list, name, 101 + second, now), Outcome::Stored);
            let shown = list.shown(0, now, &US).unwrap();
            let seen = (shown.freshness, shown.part, shown.quote.unwrap().price);
            assert_eq!(
                seen,
                (
                    Freshness::Live,
                    Some(SessionPart::Outside),
                    price(101 + second)
                )
            );
        }
        // The values stop: first the display shows the last value as stale with its age, then the
        // close.
        let stopped = later(now, 99 + 61);
        assert_eq!(list.freshness(0, stopped, &US), stale(61), "{name} {time}");
        let back = later(now, 99 + 60 + 900);
        let shown = list.shown(0, back, &US).unwrap();
        let seen = (shown.freshness, shown.quote.unwrap().price);
        assert_eq!(seen, (Freshness::Closed, price(100)), "{name} {time}");
        // A layout with enough space shows the value next to the close, with its own age.
        let (_, outside) = list.outside_hours(0, back, &US).unwrap();
        let seen = (outside.quote.unwrap().price, outside.freshness);
        assert_eq!(seen, (price(200), stale(960)));
    }
}

#[test]
fn a_repeated_stray_print_or_its_bar_is_no_second_print() {
    let mut list = closed_on_friday("SPX");
    let print = saturday("12:00:40");
    assert_eq!(tick(&mut list, "I:SPX", 18, print), Outcome::Doubted);
    let again = print.utc.map(|utc| Utc(utc.0 + 5));
    let outcome = tick_of(&mut list, "I:SPX", 18, again, later(print, 5));
    assert_eq!(outcome, Outcome::Doubted);
    let minute = saturday("12:01:02");
    let end = saturday("12:01:00").utc.unwrap();
    let outcome = take_bar(&mut list, "I:SPX", bar(18, end), minute);
    assert_eq!(outcome, Outcome::Doubted);
    assert_eq!(list.freshness(0, minute, &US), Freshness::Closed);
    // The bar of the next minute is a second value.
    let next = later(minute, 60);
    let outcome = take_bar(&mut list, "I:SPX", bar(19, Utc(end.0 + 60_000)), next);
    assert_eq!(outcome, Outcome::Stored);
}

#[test]
fn a_price_outside_the_known_hours_has_no_change_without_a_known_close() {
    let now = saturday("12:00:00");
    let mut list = linked(&["SPX"], now);
    list.set_previous_close("I:SPX", price(50), saturday("08:00:00").utc.unwrap(), &US);
    tick(&mut list, "I:SPX", 101, now);
    tick(&mut list, "I:SPX", 102, later(now, 1));
    let spx = &list.instruments()[0];
    assert_eq!(spx.change(&spx.quote().unwrap(), later(now, 1)), None);
}

#[test]
fn a_stopped_run_of_prices_needs_two_values_again() {
    let mut list = closed_on_friday("SPX");
    let now = saturday("12:00:00");
    tick(&mut list, "I:SPX", 101, now);
    tick(&mut list, "I:SPX", 102, later(now, 1));
    assert_eq!(list.freshness(0, later(now, 1), &US), Freshness::Live);
    assert_eq!(
        tick(&mut list, "I:SPX", 50, later(now, 600)),
        Outcome::Doubted
    );
    assert_eq!(list.freshness(0, later(now, 600), &US), stale(599));
}

#[test]
fn a_stopped_run_is_replaced_by_the_close_after_15_minutes_or_at_the_open() {
    let mut list = closed_on_friday("SPX");
    let now = saturday("12:00:00");
    tick(&mut list, "I:SPX", 101, now);
    let now = later(now, 1);
    tick(&mut list, "I:SPX", 102, now);
    let soon = later(now, 905);
    assert_eq!(list.freshness(0, soon, &US), stale(905));
    let wait = list.deadline(0, soon, &US).since(soon.monotonic);
    assert_eq!(wait, Duration::from_secs(5));
    assert_eq!(list.freshness(0, later(now, 910), &US), Freshness::Closed);
    // Tuesday: the session is open, and no value has arrived since the open.
    let mut list = linked(&["SPX"], tuesday("09:00:00"));
    let monday = Some(Utc(tuesday("16:20:00").utc.unwrap().0 - 86_400_000));
    fetch_close(&mut list, "I:SPX", 100, monday, tuesday("09:00:00"));
    tick(&mut list, "I:SPX", 101, tuesday("09:29:00"));
    tick(&mut list, "I:SPX", 102, tuesday("09:29:01"));
    assert_eq!(shown(&list), Some(price(102)));
    let seen = list.shown(0, tuesday("09:30:10"), &US).unwrap();
    assert_eq!(seen.freshness, Freshness::Closed);
    assert_eq!(seen.quote.unwrap().price, price(100));
}

#[test]
fn the_change_of_a_price_outside_the_known_hours_is_relative_to_the_close() {
    let mut list = closed_on_friday("SPX");
    let now = saturday("12:00:00");
    list.set_previous_close("I:SPX", price(50), saturday("08:00:00").utc.unwrap(), &US);
    tick(&mut list, "I:SPX", 101, now);
    tick(&mut list, "I:SPX", 102, later(now, 1));
    let spx = &list.instruments()[0];
    let change = spx.change(&spx.quote().unwrap(), later(now, 1)).unwrap();
    assert_eq!(change.absolute(), price(2));
}

/// Returns the close and the later price of the first instrument, with the freshness and the part
/// of the later price.
fn both(list: &Watchlist, now: Now) -> Option<(Price, Price, Freshness, SessionPart)> {
    let (close, later) = list.outside_hours(0, now, &US)?;
    assert_eq!(close.freshness, Freshness::Closed);
    let part = later.part.unwrap();
    Some((
        close.quote?.price,
        later.quote?.price,
        later.freshness,
        part,
    ))
}

#[test]
fn a_share_has_its_close_and_its_later_price_from_the_bell_until_the_next_open() {
    let mut list = linked(&["SPY"], tuesday("15:59:00"));
    tick(&mut list, "SPY", 100, tuesday("15:59:58"));
    assert_eq!(both(&list, tuesday("15:59:58")), None, "regular hours");
    tick(&mut list, "SPY", 101, tuesday("16:10:00"));
    let seen = |now| both(&list, now);
    let post = |freshness| Some((price(100), price(101), freshness, SessionPart::Post));
    assert_eq!(seen(tuesday("16:10:00")), post(Freshness::Live));
    assert_eq!(seen(tuesday("16:15:00")), post(Freshness::Live));
    assert_eq!(seen(tuesday("16:15:01")), post(stale(301)));
    assert_eq!(seen(tuesday("20:30:00")), post(stale(15_600)));
    // Wednesday morning: the price of the evening stays until the first price of the morning.
    let wednesday = |time| later(tuesday(time), 86_400);
    list.start_days(wednesday("04:30:00"), &US);
    assert_eq!(both(&list, wednesday("04:30:00")), post(stale(44_400)));
    tick(&mut list, "SPY", 102, wednesday("05:00:00"));
    let early = Some((price(100), price(102), Freshness::Live, SessionPart::Pre));
    assert_eq!(both(&list, wednesday("05:00:00")), early);
    tick(&mut list, "SPY", 103, wednesday("09:30:01"));
    assert_eq!(both(&list, wednesday("09:30:01")), None);
}

#[test]
fn a_share_without_a_known_close_or_without_a_later_price_has_no_pair() {
    let mut list = linked(&["SPY"], tuesday("16:30:00"));
    tick(&mut list, "SPY", 101, tuesday("16:30:00"));
    assert_eq!(both(&list, tuesday("16:30:00")), None, "no close");
    let mut list = linked(&["SPY"], tuesday("20:30:00"));
    fetch_close(
        &mut list,
        "SPY",
        100,
        tuesday("16:00:00").utc,
        tuesday("20:30:00"),
    );
    assert_eq!(both(&list, tuesday("20:30:00")), None, "no later price");
}

#[test]
fn an_index_that_settles_after_the_bell_has_no_price_outside_the_hours() {
    let mut list = linked(&["SPX"], tuesday("15:59:00"));
    tick(&mut list, "I:SPX", 100, tuesday("15:59:59"));
    tick(&mut list, "I:SPX", 101, tuesday("16:00:20"));
    for time in ["16:00:20", "16:10:00", "18:00:00"] {
        assert_eq!(both(&list, tuesday(time)), None, "{time}");
    }
}
