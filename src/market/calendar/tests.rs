use jiff::Timestamp;
use jiff::civil::Weekday;

use super::holidays::is_holiday;
use super::*;
use crate::market::QuoteSource;

fn at(text: &str) -> Utc {
    Utc(text.parse::<Timestamp>().unwrap().as_millisecond())
}

fn symbol(name: &str) -> Symbol {
    name.parse().unwrap()
}

fn phase(name: &str, time: &str) -> MarketPhase {
    Calendar::us().phase(&symbol(name), at(time))
}

fn open(since: &str, until: &str, closed: &str) -> MarketPhase {
    MarketPhase {
        since: at(since),
        until: at(until),
        bell: at(closed),
        part: Some(SessionPart::Regular),
    }
}

fn closed(since: &str, until: &str) -> MarketPhase {
    MarketPhase {
        since: at(since),
        until: at(until),
        bell: at(since),
        part: None,
    }
}

#[test]
fn a_session_includes_its_first_millisecond_and_excludes_its_end() {
    let tuesday = open(
        "2026-01-13T14:30:00Z",
        "2026-01-13T21:00:00Z",
        "2026-01-12T21:00:00Z",
    );
    let night = closed("2026-01-12T21:00:00Z", "2026-01-13T14:30:00Z");
    assert_eq!(phase("SPX", "2026-01-13T14:29:59.999Z"), night);
    assert_eq!(phase("SPX", "2026-01-13T14:30:00Z"), tuesday);
    assert_eq!(phase("SPX", "2026-01-13T20:59:59.999Z"), tuesday);
    assert_eq!(
        phase("SPX", "2026-01-13T21:00:00Z"),
        closed("2026-01-13T21:00:00Z", "2026-01-14T14:30:00Z")
    );
    assert_eq!(
        phase("O:AAPL261218C00250000", "2026-01-13T14:30:00Z"),
        tuesday
    );
}

#[test]
fn vix_has_a_night_session_a_pause_and_15_extra_minutes() {
    assert_eq!(
        phase("VIX", "2026-01-13T09:00:00Z"),
        open(
            "2026-01-13T08:15:00Z",
            "2026-01-13T14:15:00Z",
            "2026-01-12T21:15:00Z"
        )
    );
    assert_eq!(
        phase("VIX9D", "2026-01-13T14:20:00Z"),
        closed("2026-01-13T14:15:00Z", "2026-01-13T14:30:00Z")
    );
    assert_eq!(
        phase("VIX", "2026-01-13T21:10:00Z"),
        open(
            "2026-01-13T14:30:00Z",
            "2026-01-13T21:15:00Z",
            "2026-01-13T14:15:00Z"
        )
    );
    assert_eq!(
        phase("GVZ", "2026-01-13T09:00:00Z"),
        closed("2026-01-12T21:15:00Z", "2026-01-13T14:30:00Z")
    );
}

#[test]
fn sessions_keep_new_york_time_after_a_daylight_saving_change() {
    // A weekend: Friday has winter time, Monday has summer time.
    assert_eq!(
        phase("SPX", "2026-03-08T12:00:00Z"),
        closed("2026-03-06T21:00:00Z", "2026-03-09T13:30:00Z")
    );
    assert_eq!(
        phase("VIX", "2026-03-09T07:15:00Z"),
        open(
            "2026-03-09T07:15:00Z",
            "2026-03-09T13:15:00Z",
            "2026-03-06T21:15:00Z"
        )
    );
    // The change back to winter time.
    assert_eq!(
        phase("SPX", "2026-11-01T06:30:00Z"),
        closed("2026-10-30T20:00:00Z", "2026-11-02T14:30:00Z")
    );
    assert!(!phase("SPX", "2026-11-02T13:30:00Z").is_open());
    assert!(phase("SPX", "2028-03-13T13:30:00Z").is_open());
    assert!(!phase("SPX", "2028-11-06T13:30:00Z").is_open());
}

#[test]
fn holidays_and_early_closes_are_known() {
    // Thanksgiving 2026, and the early close on the day after Thanksgiving.
    assert_eq!(
        phase("SPX", "2026-11-26T16:00:00Z"),
        closed("2026-11-25T21:00:00Z", "2026-11-27T14:30:00Z")
    );
    assert_eq!(
        phase("SPX", "2026-11-27T17:59:59Z"),
        open(
            "2026-11-27T14:30:00Z",
            "2026-11-27T18:00:00Z",
            "2026-11-25T21:00:00Z"
        )
    );
    assert_eq!(
        phase("SPX", "2026-11-27T18:00:00Z"),
        closed("2026-11-27T18:00:00Z", "2026-11-30T14:30:00Z")
    );
    assert_eq!(
        phase("VIX", "2026-11-27T18:14:59Z"),
        open(
            "2026-11-27T14:30:00Z",
            "2026-11-27T18:15:00Z",
            "2026-11-27T14:15:00Z"
        )
    );
    // Good Friday and the weekend after it.
    assert_eq!(
        phase("VIX", "2027-03-28T12:00:00Z"),
        closed("2027-03-25T20:15:00Z", "2027-03-29T07:15:00Z")
    );
    // New Year's Day 2028 is a Saturday, and the Friday before it is a trading day.
    assert!(phase("SPX", "2027-12-31T20:59:59Z").is_open());
}

#[test]
fn holidays_are_known_in_years_without_a_published_list() {
    for holiday in [
        "2029-03-30",
        "2029-07-04",
        "2033-11-24",
        "2040-03-30",
        "2031-12-25",
    ] {
        assert!(
            !phase("SPX", &format!("{holiday}T16:00:00Z")).is_open(),
            "{holiday}"
        );
    }
    assert!(phase("SPX", "2029-07-03T16:30:00Z").is_open());
    assert!(
        !phase("SPX", "2029-07-03T17:00:00Z").is_open(),
        "the day before is short"
    );
    assert!(phase("SPX", "2029-07-05T15:00:00Z").is_open());
}

#[test]
fn the_end_of_a_contract_depends_on_its_settlement() {
    let open = |name, time: &str| phase(name, &format!("{time}:00Z")).is_open();
    // On its last day an SPXW option closes with the index at 16:00, on all other days at 16:15.
    assert!(open("O:SPXW261217C06000000", "2026-12-16T21:14"));
    assert!(open("O:SPXW261217C06000000", "2026-12-17T20:59"));
    assert!(!open("O:SPXW261217C06000000", "2026-12-17T21:00"));
    // A monthly SPX option is settled at the opening prices of its Friday, so Thursday is its last
    // trading day.
    assert!(open("O:SPX261218C06000000", "2026-12-17T21:14"));
    assert!(!open("O:SPX261218C06000000", "2026-12-18T15:00"));
    let contract = symbol("O:SPX261218C06000000");
    let days = |time| Calendar::us().days_left(&contract.contract().unwrap(), at(time));
    assert_eq!(days("2026-12-17T15:00:00Z"), Some(0));
    assert_eq!(days("2026-12-18T15:00:00Z"), Some(-1));
}

#[test]
fn simulated_prices_and_broken_clocks_have_no_trading_hours() {
    let always = Calendar::always_open().phase(&symbol("SPX"), at("2026-01-11T05:00:00Z"));
    assert!(always.is_open() && always.covers(Utc(0)));
    for broken in [i64::MIN, -1, 0, i64::MAX - 1] {
        assert!(Calendar::us().phase(&symbol("SPX"), Utc(broken)).is_open());
    }
}

#[test]
fn a_trading_day_ends_when_the_next_trading_day_begins() {
    let next = |name, time| Calendar::us().next_day(&symbol(name), at(time));
    assert_eq!(
        next("SPX", "2026-01-09T20:00:00Z"),
        at("2026-01-12T14:30:00Z")
    );
    // The pause of VIX does not end its trading day.
    assert_eq!(
        next("VIX", "2026-01-13T14:20:00Z"),
        at("2026-01-14T08:15:00Z")
    );
    assert_eq!(
        Calendar::always_open().next_day(&symbol("SPX"), Utc(0)),
        Utc(i64::MAX)
    );
}

#[test]
fn each_symbol_has_the_age_limit_of_its_publisher() {
    let secs = |name, source| limit(&symbol(name), source).as_secs();
    assert_eq!(secs("SPX", QuoteSource::Tick), 10);
    assert_eq!(secs("VIX", QuoteSource::Tick), 45);
    assert_eq!(secs("VXN", QuoteSource::Tick), 45);
    assert_eq!(secs("SPX", QuoteSource::Minute), 75);
    assert_eq!(secs("SPX", QuoteSource::Second), 10);
    assert_eq!(secs("O:SPY261218C00650000", QuoteSource::Tick), 60);
}

/// Compares the computed holidays with the list that the exchange published for these years.
#[test]
fn the_computed_holidays_match_the_list_of_the_exchange() {
    let date = |year, month, day| Date::new(year, month, day).unwrap();
    let nth = |year, month, nth, weekday| {
        let first = date(year, month, 1);
        first.nth_weekday_of_month(nth, weekday).unwrap()
    };
    // A holiday on a Saturday is observed on the Friday before, a holiday on a Sunday on the Monday
    // after.
    let observed = |date: Date| match date.weekday() {
        Weekday::Saturday => date.yesterday().unwrap(),
        Weekday::Sunday => date.tomorrow().unwrap(),
        _ => date,
    };
    let (mut holidays, mut early) = (vec![], vec![]);
    for (year, good_friday) in [
        (2026, date(2026, 4, 3)),
        (2027, date(2027, 3, 26)),
        (2028, date(2028, 4, 14)),
    ] {
        // Exception: no holiday is observed on the last trading day of a year.
        if date(year, 1, 1).weekday() != Weekday::Saturday {
            holidays.push(observed(date(year, 1, 1)));
        }
        let thanksgiving = nth(year, 11, 4, Weekday::Thursday);
        holidays.extend([
            nth(year, 1, 3, Weekday::Monday),
            nth(year, 2, 3, Weekday::Monday),
            good_friday,
            nth(year, 5, -1, Weekday::Monday),
            observed(date(year, 6, 19)),
            observed(date(year, 7, 4)),
            nth(year, 9, 1, Weekday::Monday),
            thanksgiving,
            observed(date(year, 12, 25)),
        ]);
        early.extend([
            date(year, 7, 3),
            thanksgiving.tomorrow().unwrap(),
            date(year, 12, 24),
        ]);
    }
    early.retain(|date| {
        !holidays.contains(date) && !matches!(date.weekday(), Weekday::Saturday | Weekday::Sunday)
    });
    let mut day = date(2026, 1, 1);
    while day.year() < 2029 {
        assert_eq!(is_holiday(day), holidays.contains(&day), "{day}");
        let weekend = matches!(day.weekday(), Weekday::Saturday | Weekday::Sunday);
        if !weekend && !is_holiday(day) {
            let open = phase("SPX", &format!("{day}T18:30:00Z")).is_open();
            assert_eq!(open, !early.contains(&day), "{day}");
        }
        day = day.tomorrow().unwrap();
    }
}

proptest::proptest! {
    #[test]
    fn a_phase_covers_its_time_and_the_next_phase_begins_at_its_end(
        millis in 946_684_800_000i64..2_000_000_000_000,
        vix in proptest::bool::ANY,
    ) {
        let symbol = symbol(if vix { "VIX" } else { "SPX" });
        let calendar = Calendar::us();
        let phase = calendar.phase(&symbol, Utc(millis));
        proptest::prop_assert!(phase.covers(Utc(millis)));
        let next = calendar.phase(&symbol, phase.until);
        proptest::prop_assert!(next.covers(phase.until));
        proptest::prop_assert!(next.is_open() != phase.is_open());
        if next.is_open() {
            let MarketPhase { since: until, bell, .. } = next;
            proptest::prop_assert_eq!(phase, MarketPhase { since: bell, until, bell, part: None });
        }
    }
}

fn part(name: &str, time: &str) -> Option<SessionPart> {
    phase(name, time).part
}

#[test]
fn shares_have_extended_hours_that_are_shorter_on_early_close_days() {
    // Tuesday, 13 January 2026; New York time is UTC minus five hours.
    for (time, expected) in [
        ("2026-01-13T08:59:59Z", None),
        ("2026-01-13T09:00:00Z", Some(SessionPart::Pre)),
        ("2026-01-13T14:30:00Z", Some(SessionPart::Regular)),
        ("2026-01-13T21:00:00Z", Some(SessionPart::Post)),
        ("2026-01-14T01:00:00Z", None),
        // The day after Thanksgiving, which has an early close.
        ("2026-11-27T17:59:59Z", Some(SessionPart::Regular)),
        ("2026-11-27T18:00:00Z", Some(SessionPart::Post)),
        ("2026-11-27T22:00:00Z", None),
    ] {
        assert_eq!(part("SPY", time), expected, "{time}");
    }
    // In every part of the day, the close is the close of the last regular session.
    let night = phase("SPY", "2026-01-14T03:00:00Z");
    let expected = MarketPhase {
        since: at("2026-01-14T01:00:00Z"),
        until: at("2026-01-14T09:00:00Z"),
        bell: at("2026-01-13T21:00:00Z"),
        part: None,
    };
    assert_eq!(night, expected);
}

#[test]
fn options_on_indices_and_index_funds_are_traded_15_minutes_longer() {
    let open = |name| part(name, "2026-01-13T21:10:00Z").is_some();
    assert!(open("O:SPXW261218C05900000") && open("O:SPY261218C00650000"));
    assert!(!open("O:AAPL261218C00250000"));
    // The contract is traded on its last day and never after that day.
    assert!(part("O:SPY260113C00650000", "2026-01-13T15:00:00Z").is_some());
    let expired = phase("O:SPY260113C00650000", "2026-01-14T15:00:00Z");
    assert_eq!(expired.until, Utc(i64::MAX));
    assert!(!expired.is_open());
}

#[test]
fn a_trading_day_begins_at_new_york_time_after_a_daylight_saving_change() {
    let calendar = Calendar::us();
    let start = |time| {
        let day = calendar.trading_day(&symbol("SPX"), at(time)).unwrap();
        (day.start, day.end)
    };
    // The clocks go forward on Sunday, 8 March 2026, and back on Sunday, 1 November 2026.
    let friday = at("2026-03-06T14:30:00Z");
    let monday = at("2026-03-09T13:30:00Z");
    assert_eq!(start("2026-03-08T12:00:00Z"), (friday, monday));
    assert_eq!(start("2026-03-09T13:30:00Z").0, monday);
    let friday = at("2026-10-30T13:30:00Z");
    let monday = at("2026-11-02T14:30:00Z");
    assert_eq!(start("2026-11-02T14:29:59Z"), (friday, monday));
    assert_eq!(start("2026-11-02T14:30:00Z").0, monday);
}

#[test]
fn the_days_left_are_counted_by_the_date_in_new_york() {
    let contract = symbol("O:SPY260116C00650000");
    let contract = contract.contract().unwrap();
    let days = |time| Calendar::us().days_left(&contract, at(time)).unwrap();
    assert_eq!(days("2026-01-13T15:00:00Z"), 3);
    assert_eq!(days("2026-01-17T04:59:59Z"), 0, "still the 16th there");
    assert_eq!(days("2026-01-17T05:00:00Z"), -1);
}

#[test]
fn a_recent_status_overrides_the_calendar_only_for_its_own_market() {
    let mut calendar = Calendar::us();
    calendar.set_status(MarketStatus {
        groups: [
            Some(MarketState::Closed),
            Some(MarketState::Open),
            Some(MarketState::Closed),
            None,
            None,
        ],
        as_of: at("2026-01-13T16:00:00Z"),
    });
    let open = |name, time| calendar.phase(&symbol(name), at(time)).is_open();
    let noon = "2026-01-13T16:05:00Z";
    assert!(!open("SPY", noon) && !open("O:AAPL261218C00250000", noon));
    assert!(open("SPX", noon) && open("NDX", noon) && open("DJI", noon));
    assert!(!open("VIX", noon));
    assert!(open("SPY", "2026-01-13T16:10:00Z"), "ten minutes later");
    // A status that was reported before a session began does not apply to that session.
    calendar.set_status(MarketStatus {
        groups: [
            Some(MarketState::Closed),
            Some(MarketState::Closed),
            None,
            None,
            None,
        ],
        as_of: at("2026-01-13T14:29:30Z"),
    });
    let phase = calendar.phase(&symbol("SPX"), at("2026-01-13T14:31:00Z"));
    assert!(phase.is_open());
}

#[test]
fn a_cancelled_session_does_not_change_the_time_of_the_last_close() {
    let mut calendar = Calendar::us();
    let mut with_status = |state, time: &str| {
        calendar.set_status(MarketStatus {
            groups: [Some(state), Some(state), None, None, None],
            as_of: at(time),
        });
        let bell = |name| calendar.phase(&symbol(name), at(time)).bell;
        (bell("SPX"), bell("O:AAPL261218C00250000"))
    };
    // Tuesday, 13 January 2026, from before its open until the evening.
    let monday = at("2026-01-12T21:00:00Z");
    for minutes in (0..600).step_by(5) {
        let time = at("2026-01-13T14:00:00Z").0 + 60_000 * minutes;
        let time = Timestamp::from_millisecond(time).unwrap().to_string();
        assert_eq!(
            with_status(MarketState::Closed, &time),
            (monday, monday),
            "{time}"
        );
    }
    // Shares are traded again in the morning, but the session of the previous day still did not
    // take place.
    let extended = with_status(MarketState::Extended, "2026-01-14T09:01:00Z");
    assert_eq!(extended, (monday, monday));
    let (open, closed) = ("2026-01-14T15:00:00Z", "2026-01-14T21:01:00Z");
    with_status(MarketState::Open, open);
    let wednesday = at("2026-01-14T21:00:00Z");
    assert_eq!(
        with_status(MarketState::Closed, closed),
        (wednesday, wednesday)
    );
}

#[test]
fn the_extended_hours_of_shares_do_not_apply_to_contracts() {
    let mut calendar = Calendar::us();
    calendar.set_status(MarketStatus {
        groups: [Some(MarketState::Extended), None, None, None, None],
        as_of: at("2026-01-13T21:01:00Z"),
    });
    let part = |name| {
        calendar
            .phase(&symbol(name), at("2026-01-13T21:02:00Z"))
            .part
    };
    assert_eq!(
        part("O:SPXW261218C06000000"),
        Some(SessionPart::Regular),
        "until 16:15"
    );
    assert_eq!(part("O:AAPL261218C00250000"), None);
    assert_eq!(part("SPY"), Some(SessionPart::Post));
}
