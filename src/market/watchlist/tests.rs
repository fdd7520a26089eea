use core::time::Duration;

use super::*;

mod freshness;
mod properties;

const US: Calendar = Calendar::us();

fn utc(text: &str) -> Utc {
    Utc(text.parse::<jiff::Timestamp>().unwrap().as_millisecond())
}

/// Tuesday 2026-01-13 at this time in New York (winter time); monotonic time runs from midnight.
fn tuesday(time: &str) -> Now {
    let utc = utc(&format!("2026-01-13T{time}-05:00"));
    let midnight = Utc(1_768_280_400_000);
    Now::new(Moment::from_millis(utc.millis_since(midnight) as u64), utc)
}

fn later(now: Now, secs: i64) -> Now {
    Now {
        monotonic: now.monotonic + Duration::from_secs(secs as u64),
        utc: now.utc.map(|utc| Utc(utc.0 + secs * 1000)),
    }
}

fn stepped(now: Now, secs: i64) -> Now {
    Now {
        utc: now.utc.map(|utc| Utc(utc.0 + secs * 1000)),
        ..now
    }
}

fn unset(now: Now) -> Now {
    Now { utc: None, ..now }
}

fn symbols(names: &[&str]) -> Vec<Symbol> {
    names.iter().map(|name| name.parse().unwrap()).collect()
}

fn price(whole: i64) -> Price {
    Price::from_scaled(whole * Price::SCALE)
}

fn stale(secs: u64) -> Freshness {
    Freshness::Stale(Duration::from_secs(secs))
}

/// SPX (0) and VIX (1), boxed as the program keeps it.
fn watchlist() -> Box<Watchlist> {
    Box::new(Watchlist::new(&symbols(&["SPX", "VIX"])).unwrap())
}

/// A list on which this symbol's value arrived as it happened.
fn ticked(ticker: &str, now: Now) -> (Box<Watchlist>, usize) {
    let mut list = watchlist();
    let quote = Quote::arrived(price(1), now.utc, now);
    assert_eq!(list.value(ticker, quote), Outcome::Stored);
    let index = list.find(ticker).unwrap();
    (list, index)
}

fn bar(close: i64, end: Utc) -> Bar {
    Bar {
        open: price(close),
        high: price(close),
        low: price(close),
        close: price(close),
        start: Utc(end.0.saturating_sub(60_000)),
        end,
    }
}

fn shown(list: &Watchlist) -> Option<Price> {
    list.instruments()[0].quote().map(|quote| quote.price)
}

// The list.

#[test]
fn a_list_that_cannot_be_says_what_to_do() {
    let error = |symbols: &[Symbol]| Watchlist::new(symbols).unwrap_err().to_string();
    assert!(error(&[]).contains("name at least one"));
    assert_eq!(
        error(&symbols(&["SPX", "VIX", "I:SPX"])),
        "SPX is on the watchlist twice: remove one of the two"
    );
    let many: Vec<Symbol> = (0..65)
        .map(|n| format!("I:X{n}").parse().unwrap())
        .collect();
    assert!(Watchlist::new(&many[..64]).is_ok());
    assert_eq!(
        error(&many),
        "the watchlist names 65 symbols and 64 fit: remove 1"
    );
}

#[test]
fn a_changed_list_keeps_the_values_of_what_stays_in_the_new_order() {
    let (mut list, _) = ticked("I:VIX", tuesday("10:00:00"));
    list.replace(&symbols(&["NDX", "VIX", "DJI"])).unwrap();
    let names = |list: &Watchlist| -> Vec<String> {
        list.instruments()
            .iter()
            .map(|i| i.symbol().to_string())
            .collect()
    };
    assert_eq!(names(&list), ["NDX", "VIX", "DJI"]);
    assert_eq!(list.instruments()[1].quote().unwrap().price, price(1));
    assert_eq!(list.instruments()[0].quote(), None);
    assert!(list.replace(&symbols(&["SPX", "SPX"])).is_err());
    assert_eq!(names(&list), ["NDX", "VIX", "DJI"]);
}

#[test]
fn a_full_list_can_be_exchanged_for_another_full_list() {
    let name = |n: usize| format!("I:X{n}").parse().unwrap();
    let before: Vec<Symbol> = (0..64).map(name).collect();
    let after: Vec<Symbol> = (32..96).rev().map(name).collect();
    let mut list = Box::new(Watchlist::new(&before).unwrap());
    let now = tuesday("10:00:00");
    list.value("I:X40", Quote::arrived(price(4), None, now));
    list.replace(&after).unwrap();
    let kept: Vec<Symbol> = list
        .instruments()
        .iter()
        .map(|i| i.symbol().clone())
        .collect();
    assert_eq!(kept, after);
    let index = list.find("I:X40").unwrap();
    assert_eq!(list.instruments()[index].quote().unwrap().price, price(4));
}

#[test]
fn the_list_fits_a_small_machine() {
    assert!(
        size_of::<Watchlist>() < 192 * 1024,
        "{}",
        size_of::<Watchlist>()
    );
}

// The order of values.

#[test]
fn the_newer_stamp_wins_whatever_comes_last() {
    let now = tuesday("10:00:00");
    let (mut list, _) = ticked("I:SPX", now);
    let late = Quote::arrived(price(2), Some(Utc(now.utc.unwrap().0 - 1)), later(now, 1));
    assert_eq!(list.value("I:SPX", late), Outcome::Older);
    assert_eq!(shown(&list), Some(price(1)));
    assert_eq!(list.value("I:DJI", late), Outcome::Unknown);
    let stampless = Quote::arrived(price(3), None, later(now, 1));
    assert_eq!(list.value("I:SPX", stampless), Outcome::Stored);
}

#[test]
fn a_value_repeated_does_not_grow_young() {
    let now = tuesday("10:00:00");
    let (mut list, spx) = ticked("I:SPX", now);
    let again = later(now, 9);
    list.value("I:SPX", Quote::arrived(price(2), now.utc, again));
    assert_eq!(shown(&list), Some(price(2)), "a correction is taken");
    assert_eq!(list.freshness(spx, later(now, 10), &US), Freshness::Live);
    assert_eq!(list.freshness(spx, later(now, 11), &US), stale(11));
}

#[test]
fn a_stamp_from_hours_ahead_does_not_block_what_follows() {
    let now = unset(tuesday("10:00:00"));
    let mut list = watchlist();
    let real = tuesday("10:00:00").utc.unwrap();
    let bogus = Quote::arrived(price(1), Some(Utc(real.0 + 7_200_000)), now);
    list.value("I:SPX", bogus);
    let next = Quote::arrived(price(2), Some(real), later(now, 1));
    assert_eq!(list.value("I:SPX", next), Outcome::Stored);
}

#[test]
fn a_hub_that_repeats_the_morning_does_not_replace_the_afternoon() {
    let now = tuesday("15:00:00");
    let (mut list, spx) = ticked("I:SPX", now);
    let morning = Quote::arrived(price(2), tuesday("10:00:00").utc, later(now, 1));
    assert_eq!(list.value("I:SPX", morning), Outcome::Older);
    assert_eq!(list.freshness(spx, later(now, 1), &US), Freshness::Live);
}

#[test]
fn a_bar_is_shown_only_where_it_knows_more() {
    let now = tuesday("10:00:30");
    let (mut list, spx) = ticked("I:SPX", now);
    let mut take = |close, end: &str, now| {
        let outcome = list.bar(
            "I:SPX",
            Kind::Minute,
            bar(close, tuesday(end).utc.unwrap()),
            now,
        );
        (outcome, shown(&list).unwrap())
    };
    // Older than the tick, and far older.
    assert_eq!(take(2, "10:00:00", now), (Outcome::Older, price(1)));
    assert_eq!(take(2, "08:00:00", now), (Outcome::Older, price(1)));
    let next = tuesday("10:01:02");
    assert_eq!(take(3, "10:01:00", next), (Outcome::Stored, price(3)));
    // The same window, corrected; then one before it, corrected.
    assert_eq!(take(4, "10:01:00", next), (Outcome::Stored, price(4)));
    assert_eq!(take(5, "10:00:00", next), (Outcome::Older, price(4)));
    assert_eq!(
        list.freshness(spx, tuesday("10:02:17"), &US),
        Freshness::Live
    );
    assert_eq!(list.freshness(spx, tuesday("10:02:18"), &US), stale(76));
}

#[test]
fn without_a_stamp_a_bar_waits_until_the_value_is_stale() {
    let now = tuesday("10:00:50");
    let mut list = watchlist();
    list.value("I:SPX", Quote::arrived(price(1), None, now));
    let bar = bar(2, tuesday("10:01:00").utc.unwrap());
    let early = later(now, 10);
    assert_eq!(list.bar("I:SPX", Kind::Minute, bar, early), Outcome::Older);
    let late = later(now, 11);
    assert_eq!(list.bar("I:SPX", Kind::Minute, bar, late), Outcome::Stored);
    assert_eq!(list.bar("I:DJI", Kind::Minute, bar, late), Outcome::Unknown);
}

#[test]
fn what_was_old_on_arrival_is_no_part_of_the_history() {
    let mut list = watchlist();
    let now = tuesday("10:00:00");
    list.value(
        "I:SPX",
        Quote::arrived(price(9), tuesday("09:40:00").utc, now),
    );
    for second in 1..=3 {
        let now = later(now, second);
        list.value("I:SPX", Quote::arrived(price(second), now.utc, now));
    }
    assert_eq!(list.instruments()[0].curve(), [price(1), price(2)]);
}

#[test]
fn steady_state_allocates_nothing() {
    let now = tuesday("09:29:00");
    let mut list = watchlist();
    let counted = allocation_counter::measure(|| {
        for second in 0..600 {
            let now = later(now, second);
            let quote = Quote::arrived(price(second), now.utc, now);
            list.value("I:SPX", quote);
            list.bar("I:VIX", Kind::Minute, bar(second, now.utc.unwrap()), now);
            list.freshness(0, now, &US);
            list.deadline(1, now, &US);
        }
    });
    assert_eq!(counted.count_total, 0);
}
