mod close;
mod decimals;
mod extended_hours;
mod ingest;
mod properties;
mod staleness;

use core::time::Duration;

use super::*;

const US: Calendar = Calendar::us();

fn utc(text: &str) -> Utc {
    Utc(text.parse::<jiff::Timestamp>().unwrap().as_millisecond())
}

/// The given time in New York (winter time) on Tuesday, 13 January 2026. The monotonic clock starts
/// at midnight.
fn tuesday(time: &str) -> Now {
    let utc = utc(&format!("2026-01-13T{time}-05:00"));
    let midnight = Utc(1_768_280_400_000);
    Now::new(Moment::from_millis(utc.millis_since(midnight) as u64), utc)
}

fn later(now: Now, secs: i64) -> Now {
    Now {
        monotonic: if secs < 0 {
            now.monotonic - Duration::from_secs(secs.unsigned_abs())
        } else {
            now.monotonic + Duration::from_secs(secs as u64)
        },
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

/// A watchlist of SPX (index 0) and VIX (index 1), in a box as in the program.
fn watchlist() -> Box<Watchlist> {
    Box::new(Watchlist::new(&symbols(&["SPX", "VIX"])).unwrap())
}

/// A quote that is streamed and received now, with only a price and a timestamp.
fn streamed(price: Price, stamp: Option<Utc>, now: Now) -> Quote {
    Quote::streamed(price, stamp, QuoteSource::Tick, Provenance::default(), now)
}

/// Streams a value whose timestamp is the current time.
fn tick(list: &mut Watchlist, ticker: &str, whole: i64, now: Now) -> Outcome {
    tick_of(list, ticker, whole, now.utc, now)
}

fn tick_of(
    list: &mut Watchlist,
    ticker: &str,
    whole: i64,
    stamp: Option<Utc>,
    now: Now,
) -> Outcome {
    list.heard(Cluster::Indices, now.monotonic);
    let quote = Quote {
        epoch: list.link(Cluster::Indices).epoch,
        ..streamed(price(whole), stamp, now)
    };
    list.value(ticker, quote, now, &US)
}

/// Processes a REST response with this value and timestamp.
fn fetch(list: &mut Watchlist, ticker: &str, whole: i64, stamp: Option<Utc>, now: Now) -> Outcome {
    let quote = Quote::fetched(price(whole), stamp, false, now);
    list.value(ticker, quote, now, &US)
}

/// Processes a REST response that marks the value as the close.
fn fetch_close(list: &mut Watchlist, ticker: &str, whole: i64, stamp: Option<Utc>, now: Now) {
    let quote = Quote {
        is_close: true,
        ..Quote::fetched(price(whole), stamp, false, now)
    };
    list.value(ticker, quote, now, &US);
}

/// Processes a one-minute bar.
fn take_bar(list: &mut Watchlist, ticker: &str, bar: Bar, now: Now) -> Outcome {
    list.bar(
        ticker,
        ChannelKind::Minute,
        bar,
        Provenance::default(),
        now,
        &US,
    )
}

/// A watchlist whose connections are up.
fn linked(names: &[&str], now: Now) -> Box<Watchlist> {
    let mut list = Box::new(Watchlist::new(&symbols(names)).unwrap());
    for cluster in Cluster::ALL {
        list.set_link(cluster, true, now, &US);
    }
    list
}

/// A watchlist of SPX and VIX with one streamed value, and the index of its instrument.
fn ticked(ticker: &str, now: Now) -> (Box<Watchlist>, usize) {
    let mut list = linked(&["SPX", "VIX"], now);
    assert_eq!(tick(&mut list, ticker, 1, now), Outcome::Stored);
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

// Tests of the list.

#[test]
fn the_error_of_an_invalid_watchlist_names_the_remedy() {
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
        "the watchlist has 65 symbols, but the limit is 64: remove 1"
    );
}

#[test]
fn a_changed_watchlist_keeps_the_values_of_the_remaining_symbols() {
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
fn a_full_watchlist_can_be_replaced_by_another_full_watchlist() {
    let name = |n: usize| format!("I:X{n}").parse().unwrap();
    let before: Vec<Symbol> = (0..64).map(name).collect();
    let after: Vec<Symbol> = (32..96).rev().map(name).collect();
    let mut list = Box::new(Watchlist::new(&before).unwrap());
    let now = tuesday("10:00:00");
    tick(&mut list, "I:X40", 4, now);
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
fn a_watchlist_needs_less_than_192_kib() {
    assert!(
        size_of::<Watchlist>() < 192 * 1024,
        "{}",
        size_of::<Watchlist>()
    );
}

// Tests of the order of values.

#[test]
fn the_value_with_the_newer_timestamp_is_kept() {
    let now = tuesday("10:00:00");
    let (mut list, _) = ticked("I:SPX", now);
    let before = Some(Utc(now.utc.unwrap().0 - 1));
    let next = later(now, 1);
    assert_eq!(tick_of(&mut list, "I:SPX", 2, before, next), Outcome::Older);
    assert_eq!(shown(&list), Some(price(1)));
    assert_eq!(
        tick_of(&mut list, "I:DJI", 2, before, next),
        Outcome::Unknown
    );
}

#[test]
fn a_repeated_value_does_not_become_younger() {
    let now = tuesday("10:00:00");
    let (mut list, spx) = ticked("I:SPX", now);
    tick_of(&mut list, "I:SPX", 2, now.utc, later(now, 9));
    assert_eq!(shown(&list), Some(price(2)), "a correction is taken");
    assert_eq!(list.freshness(spx, later(now, 10), &US), Freshness::Live);
    assert_eq!(list.freshness(spx, later(now, 11), &US), stale(11));
}

#[test]
fn a_value_with_a_wrong_timestamp_is_replaced_by_correct_values() {
    let now = tuesday("10:00:00");
    for ahead in [50, 3600, 86_400 * 365] {
        let mut list = linked(&["SPX"], now);
        let bogus = Some(Utc(now.utc.unwrap().0 + ahead * 1000));
        assert_eq!(tick_of(&mut list, "I:SPX", 1, bogus, now), Outcome::Stored);
        assert_eq!(
            list.freshness(0, now, &US),
            Freshness::Live,
            "by its receipt"
        );
        assert_eq!(tick(&mut list, "I:SPX", 2, later(now, 1)), Outcome::Stored);
        assert_eq!(shown(&list), Some(price(2)));
    }
}

#[test]
fn without_an_agreed_time_a_continuing_channel_is_accepted_from_its_second_value() {
    let now = unset(tuesday("10:00:00"));
    let real = |secs: i64| Some(Utc(tuesday("10:00:00").utc.unwrap().0 + secs * 1000));
    let mut list = linked(&["SPX"], now);
    tick_of(&mut list, "I:SPX", 1, real(3600), now);
    assert_eq!(
        tick_of(&mut list, "I:SPX", 2, real(1), later(now, 1)),
        Outcome::Older
    );
    assert_eq!(
        tick_of(&mut list, "I:SPX", 3, real(2), later(now, 2)),
        Outcome::Stored
    );
    // In a burst of delayed values, the timestamps advance but the receive times do not.
    let mut list = linked(&["SPX"], now);
    tick_of(&mut list, "I:SPX", 1, real(30), now);
    for secs in 1..20 {
        assert_eq!(
            tick_of(&mut list, "I:SPX", 2, real(secs), later(now, 1)),
            Outcome::Older
        );
    }
}

#[test]
fn a_repeated_morning_value_does_not_replace_an_afternoon_value() {
    let now = tuesday("15:00:00");
    let (mut list, spx) = ticked("I:SPX", now);
    let morning = tuesday("10:00:00").utc;
    assert_eq!(
        tick_of(&mut list, "I:SPX", 2, morning, later(now, 1)),
        Outcome::Older
    );
    assert_eq!(list.freshness(spx, later(now, 1), &US), Freshness::Live);
}

#[test]
fn a_fresh_streamed_value_has_priority_over_a_rest_response() {
    let now = tuesday("10:00:00");
    let (mut list, spx) = ticked("I:SPX", now);
    let then = later(now, 5);
    assert_eq!(fetch(&mut list, "I:SPX", 2, then.utc, then), Outcome::Older);
    assert_eq!(shown(&list), Some(price(1)));
    let then = later(now, 11);
    assert_eq!(
        fetch(&mut list, "I:SPX", 2, then.utc, then),
        Outcome::Stored
    );
    assert_eq!(list.freshness(spx, then, &US), Freshness::Live);
}

#[test]
fn values_without_timestamps_are_never_fresh_and_do_not_replace_a_value_with_a_timestamp() {
    let now = tuesday("10:00:00");
    let mut list = linked(&["SPX"], now);
    for (second, value) in [(0, 1), (1, 1), (2, 2)] {
        let now = later(now, second);
        tick_of(&mut list, "I:SPX", value, None, now);
        assert_eq!(list.freshness(0, now, &US), Freshness::None);
    }
    let third = later(now, 3);
    tick(&mut list, "I:SPX", 3, third);
    for second in 4..20 {
        tick_of(&mut list, "I:SPX", 4, None, later(now, second));
    }
    assert_eq!(shown(&list), Some(price(3)));
    assert_eq!(list.freshness(0, later(third, 10), &US), Freshness::Live);
    assert_eq!(list.freshness(0, later(third, 11), &US), stale(11));
}

#[test]
fn a_bar_replaces_only_an_older_value() {
    let now = tuesday("10:00:30");
    let (mut list, spx) = ticked("I:SPX", now);
    let mut take = |close, end: &str, now| {
        let bar = bar(close, tuesday(end).utc.unwrap());
        let outcome = take_bar(&mut list, "I:SPX", bar, now);
        (outcome, shown(&list).unwrap())
    };
    // The bars are older than the tick.
    assert_eq!(take(2, "10:00:00", now), (Outcome::Older, price(1)));
    assert_eq!(take(2, "08:00:00", now), (Outcome::Older, price(1)));
    let next = tuesday("10:01:02");
    assert_eq!(take(3, "10:01:00", next), (Outcome::Stored, price(3)));
    // A correction of the same window, then a correction of an earlier window.
    assert_eq!(take(4, "10:01:00", next), (Outcome::Stored, price(4)));
    assert_eq!(take(5, "10:00:00", next), (Outcome::Older, price(4)));
    assert_eq!(
        list.freshness(spx, tuesday("10:02:15"), &US),
        Freshness::Live
    );
    assert_eq!(list.freshness(spx, tuesday("10:02:16"), &US), stale(76));
}

#[test]
fn a_bar_replaces_a_value_without_a_timestamp() {
    let now = tuesday("10:01:01");
    let mut list = linked(&["SPX"], now);
    tick_of(&mut list, "I:SPX", 1, None, now);
    let bar = bar(2, tuesday("10:01:00").utc.unwrap());
    assert_eq!(take_bar(&mut list, "I:SPX", bar, now), Outcome::Stored);
    assert_eq!(list.freshness(0, now, &US), Freshness::Live);
    assert_eq!(take_bar(&mut list, "I:DJI", bar, now), Outcome::Unknown);
}

#[test]
fn a_value_that_arrives_old_is_not_added_to_the_history() {
    let now = tuesday("10:00:00");
    let mut list = linked(&["SPX"], now);
    tick_of(&mut list, "I:SPX", 9, tuesday("09:40:00").utc, now);
    for second in 1..=3 {
        tick(&mut list, "I:SPX", second, later(now, second));
    }
    assert_eq!(
        list.instruments()[0].minutes().points(),
        [price(1), price(2)]
    );
}

// Tests of simulated and real values.

#[test]
fn simulated_data_and_real_data_are_never_mixed() {
    let now = tuesday("10:00:00");
    for real_first in [false, true] {
        let mut list = linked(&["SPX"], now);
        let value = |list: &mut Watchlist, whole, simulated, now: Now| {
            let quote = Quote {
                simulated,
                ..streamed(price(whole), now.utc, now)
            };
            list.value("I:SPX", quote, now, &US)
        };
        value(&mut list, 1, !real_first, now);
        list.set_previous_close("I:SPX", price(5), now.utc.unwrap(), &US);
        list.refill("I:SPX", &[bar(7, now.utc.unwrap())], !real_first);
        assert_eq!(list.instruments()[0].simulated(), !real_first);
        // The new value has an older timestamp, because the clock of a simulated vendor can be
        // ahead of the real vendor's clock.
        let before = later(now, -60);
        assert_eq!(value(&mut list, 2, real_first, before), Outcome::Stored);
        let spx = &list.instruments()[0];
        let quote = spx.quote().unwrap();
        assert_eq!((quote.price, spx.simulated()), (price(2), real_first));
        assert_eq!(
            (spx.change(&quote, now), spx.day(now)),
            (None, DayStats::default())
        );
        assert_eq!(spx.minutes().points(), []);
        // The first message of a new connection is enough to remove the data.
        list.set_simulated(Cluster::Indices, !real_first);
        assert_eq!(list.instruments()[0].quote(), None);
    }
}

#[test]
fn normal_operation_allocates_no_memory() {
    let now = tuesday("09:29:00");
    let mut list = linked(&["SPX", "VIX"], now);
    let counted = allocation_counter::measure(|| {
        for second in 0..600 {
            let now = later(now, second);
            tick(&mut list, "I:SPX", second, now);
            take_bar(&mut list, "I:VIX", bar(second, now.utc.unwrap()), now);
            list.freshness(0, now, &US);
            list.deadline(1, now, &US);
        }
    });
    assert_eq!(counted.count_total, 0);
}
