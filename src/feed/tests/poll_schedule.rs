use super::*;
use crate::market::{Denial, Price, Ticker};
use crate::massive::instrument_snapshot::InstrumentSnapshot;

/// The start of a trading day.
const DAY: Utc = Utc(1_795_426_200_000);

fn at(millis: u64) -> Now {
    Now::new(Moment::from_millis(millis), Utc(DAY.0 + 1 + millis as i64))
}

fn symbol(name: &str) -> Symbol {
    name.parse().unwrap()
}

fn need(polls: &[(&str, Option<u64>)]) -> RestDemand {
    let poll_request = |(name, pace): &(&str, Option<u64>)| PollRequest {
        symbol: symbol(name),
        pace: pace.map(Duration::from_millis),
    };
    RestDemand {
        polls: polls.iter().map(poll_request).collect(),
        ..RestDemand::default()
    }
}

fn seed(name: &str) -> InstrumentSnapshot {
    let mut seed = InstrumentSnapshot::empty(Ticker::try_from(symbol(name).ticker()).unwrap());
    seed.price = Price::from_f64(1.0);
    seed.stamp = Some(DAY);
    seed
}

fn updates(seeds: &[InstrumentSnapshot]) -> Vec<Update> {
    let boxed = |seed: &InstrumentSnapshot| Update::Seed(Box::new(seed.clone()));
    seeds.iter().map(boxed).collect()
}

/// A schedule with helper functions that execute its jobs.
struct Bench(Schedule);

impl Bench {
    fn new(need: &RestDemand) -> Self {
        let mut schedule = Schedule::new();
        schedule.want(need);
        Self(schedule)
    }

    /// Returns the next job and its due time in milliseconds.
    fn first(&mut self, now: u64) -> (u64, PollJob) {
        let due = self.0.due(at(now)).max(Moment::from_millis(now));
        assert_ne!(due, Moment::NEVER, "nothing is ever asked for");
        if due.as_millis() > now {
            let early = at(due.as_millis() - 1);
            assert_eq!(self.0.next(early), None, "before its time");
        }
        let job = self.0.next(at(due.as_millis()));
        (due.as_millis(), job.expect("due, and nothing to do"))
    }

    /// Answers the next quotes job, and returns its due time in milliseconds and its symbol names.
    fn quotes(&mut self, now: u64) -> (u64, Vec<String>) {
        let (due, job) = self.first(now);
        let PollJob::Quotes(symbols) = &job else {
            panic!("{job:?}")
        };
        let names: Vec<String> = symbols.iter().map(|symbol| symbol.name().into()).collect();
        let seeds: Vec<InstrumentSnapshot> = names.iter().map(|name| seed(name)).collect();
        let due_at = Moment::from_millis(due);
        self.0.answered(&job, &updates(&seeds), due_at);
        (due, names)
    }

    fn fails(&mut self, now: u64, reason: Failure, retry_after: Option<u64>) -> u64 {
        let (due, job) = self.first(now);
        let retry_after = retry_after.map(Duration::from_millis);
        self.0
            .failed(&job, reason, retry_after, Moment::from_millis(due));
        due
    }
}

#[test]
fn polls_due_at_the_same_time_share_a_request_and_slow_polls_still_happen() {
    let mut bench = Bench::new(&need(&[
        ("SPX", None),
        ("SPY", Some(2500)),
        ("QQQ", Some(60_000)),
    ]));
    assert_eq!(
        bench.quotes(0),
        (0, vec!["SPX".into(), "SPY".into(), "QQQ".into()])
    );
    let mut now = 0;
    let mut counts = [0; 3];
    while now < 601_000 {
        let (due, names) = bench.quotes(now);
        assert_eq!(due, now + 2500);
        now = due;
        for (count, name) in counts.iter_mut().zip(["SPX", "SPY", "QQQ"]) {
            *count += usize::from(names.iter().any(|requested| requested == name));
        }
    }
    assert_eq!(counts, [1, 241, 10]);
}

#[test]
fn polls_within_half_a_second_share_a_request() {
    let mut bench = Bench::new(&need(&[
        ("SPY", Some(2000)),
        ("QQQ", Some(2500)),
        ("DIA", Some(2501)),
    ]));
    bench.quotes(0);
    assert_eq!(bench.quotes(0), (2000, vec!["SPY".into(), "QQQ".into()]));
    assert_eq!(bench.quotes(2000), (2501, vec!["DIA".into()]));
}

#[test]
fn the_poll_interval_starts_at_the_response_and_is_at_least_a_second() {
    let mut bench = Bench::new(&need(&[("SPY", Some(1))]));
    let (_, job) = bench.first(0);
    bench
        .0
        .answered(&job, &updates(&[seed("SPY")]), Moment::from_millis(7000));
    assert_eq!(bench.0.due(at(7000)), Moment::from_millis(8000));
}

#[test]
fn a_request_has_at_most_64_symbols_and_the_longest_waiting_symbols_go_first() {
    let names: Vec<String> = (0..70).map(|n| format!("S{}", n + 10)).collect();
    let polls: Vec<_> = names
        .iter()
        .map(|name| (name.as_str(), Some(1000)))
        .collect();
    let mut bench = Bench::new(&need(&polls));
    let (_, first) = bench.quotes(0);
    let (_, second) = bench.quotes(0);
    assert_eq!((first.len(), second.len()), (64, 6));
    let (_, job) = bench.first(5000);
    let PollJob::Quotes(symbols) = &job else {
        panic!()
    };
    assert_eq!(symbols.len(), 64);
    bench.0.answered(&job, &[], Moment::from_millis(6500));
    // The six symbols that were not in the last request come before the symbols in the last
    // request.
    let (_, last) = bench.quotes(6500);
    assert_eq!(last[last.len() - 6..], second);
}

#[test]
fn an_incomplete_response_is_requested_again_soon_and_then_less_often() {
    let mut bench = Bench::new(&need(&[("SPX", None), ("VIX", None)]));
    let mut unstamped = seed("VIX");
    unstamped.stamp = None;
    let mut waits = Vec::new();
    let mut now = 0;
    for _ in 0..9 {
        let (due, job) = bench.first(now);
        let answer = updates(&[seed("SPX"), unstamped.clone()]);
        bench.0.answered(&job, &answer, Moment::from_millis(due));
        waits.push((due - now) / 1000);
        now = due;
    }
    assert_eq!(waits, [0, 5, 10, 20, 40, 80, 160, 285, 35]);
    assert_eq!(
        waits.iter().skip(1).take(7).sum::<u64>(),
        600,
        "with the other's round"
    );
}

#[test]
fn a_denied_symbol_is_requested_less_and_less_often() {
    let mut bench = Bench::new(&need(&[("SPY", Some(2500))]));
    let mut denied = seed("SPY");
    denied.denial = Some(Denial::NotEntitled);
    let mut waits = Vec::new();
    let mut now = 0;
    for _ in 0..4 {
        let (due, job) = bench.first(now);
        bench
            .0
            .answered(&job, &updates(&[denied.clone()]), Moment::from_millis(due));
        waits.push(due - now);
        now = due;
    }
    assert_eq!(waits, [0, 5000, 10_000, 20_000]);
}

#[test]
fn a_reconnect_causes_a_single_request_15_seconds_after_the_last_response() {
    let mut needed = need(&[("SPX", None)]);
    let mut bench = Bench::new(&needed);
    bench.quotes(100_000);
    needed.epoch = 1;
    bench.0.want(&needed);
    // A failure does not cancel the request that the reconnect caused.
    assert_eq!(bench.fails(100_000, Failure::Lost, None), 115_000);
    assert_eq!(bench.quotes(115_000).0, 120_000);
    assert_eq!(bench.0.due(at(120_000)), Moment::from_millis(720_000));
}

#[test]
fn failures_double_the_wait_up_to_a_minute_with_a_pace_and_ten_minutes_without() {
    for (pace, expected) in [
        (Some(2500), [5, 10, 20, 40, 60, 60, 60, 60, 60]),
        (None, [5, 10, 20, 40, 80, 160, 320, 600, 600]),
    ] {
        let mut bench = Bench::new(&need(&[("SPY", pace)]));
        let mut now = bench.fails(0, Failure::Unreachable, None);
        let waits = expected.map(|_| {
            let due = bench.fails(now, Failure::Busy, None);
            let wait = (due - now) / 1000;
            now = due;
            wait
        });
        assert_eq!(waits, expected);
        bench.quotes(now);
        assert_eq!(
            bench.0.retry.next(),
            RETRY_FIRST,
            "an answer, and all is well"
        );
    }
}

#[test]
fn no_request_is_sent_before_the_retry_after_time_of_the_server() {
    let mut needed = need(&[("SPY", Some(2500))]);
    needed.market = Some(MARKET);
    needed.minutes = vec![(symbol("SPY"), DAY)];
    let mut bench = Bench::new(&needed);
    assert_eq!(bench.fails(0, Failure::Busy, Some(300_000)), 0);
    // Neither a new watchlist nor a reconnect shortens the wait.
    needed.list += 1;
    needed.epoch += 1;
    bench.0.want(&needed);
    assert_eq!(bench.quotes(0).0, 300_000);
    assert_eq!(bench.0.next(at(300_000)), Some(PollJob::Market));
}

#[test]
fn a_new_watchlist_ends_the_backoff_unless_the_server_is_busy() {
    for (reason, due) in [
        (Failure::Unreachable, 1000),
        (Failure::Portal, 1000),
        (Failure::Busy, 5000),
    ] {
        let mut needed = need(&[("SPX", None)]);
        let mut bench = Bench::new(&needed);
        bench.fails(0, reason, None);
        needed.list = 1;
        bench.0.want(&needed);
        assert_eq!(bench.quotes(1000).0, due, "{reason:?}");
    }
}

#[test]
fn the_market_status_is_requested_each_minute_or_hourly_if_not_available() {
    let mut needed = need(&[]);
    let mut bench = Bench::new(&needed);
    assert_eq!(bench.0.due(at(0)), Moment::NEVER);
    needed.market = Some(MARKET);
    bench.0.want(&needed);
    assert_eq!(bench.first(0), (0, PollJob::Market));
    bench.0.answered(&PollJob::Market, &[], Moment::ZERO);
    assert_eq!(bench.fails(0, Failure::Timeout, None), 60_000);
    assert_eq!(bench.fails(60_000, Failure::Path, None), 120_000);
    assert_eq!(bench.fails(120_000, Failure::Token, None), 3_720_000);
    assert_eq!(bench.first(3_720_000).0, 7_320_000);
    needed.market = None;
    bench.0.want(&needed);
    assert_eq!(bench.0.due(at(9_000_000)), Moment::NEVER);
}

#[test]
fn minute_bars_are_requested_once_and_for_a_single_symbol_at_a_time() {
    let mut needed = need(&[]);
    needed.minutes = ["SPX", "VIX", "SPY"]
        .map(|name| (symbol(name), DAY))
        .to_vec();
    let mut bench = Bench::new(&needed);
    let undated = Now {
        monotonic: Moment::from_secs(1),
        utc: None,
    };
    assert_eq!(bench.0.next(undated), None, "until when is not known");
    assert_eq!(bench.0.due(undated), Moment::NEVER);
    let mut now = 0;
    for (wait, name) in [(0, "SPX"), (250, "VIX"), (250, "SPY")] {
        let (due, job) = bench.first(now);
        assert_eq!(
            (due - now, &job),
            (wait, &PollJob::Minutes(symbol(name), DAY))
        );
        bench.0.answered(&job, &[], Moment::from_millis(due));
        now = due;
    }
    assert_eq!(bench.0.due(at(now)), Moment::NEVER);
    // After the reconnect, the bars of the first symbol are requested 60 s after their last
    // response.
    needed.epoch = 1;
    bench.0.want(&needed);
    assert_eq!(bench.first(now).0, 60_000);
    // The bars of another day are requested immediately.
    needed.minutes[1].1 = Utc(DAY.0 + 1);
    bench.0.want(&needed);
    let another = PollJob::Minutes(symbol("VIX"), Utc(DAY.0 + 1));
    assert_eq!(bench.first(1000), (1000, another));
}

#[test]
fn a_failed_minute_bar_request_does_not_delay_other_symbols_for_long() {
    let mut needed = need(&[]);
    needed.minutes = ["SPX", "VIX"].map(|name| (symbol(name), DAY)).to_vec();
    let mut bench = Bench::new(&needed);
    assert_eq!(bench.fails(0, Failure::Protocol, None), 0);
    let (due, job) = bench.first(0);
    assert_eq!((due, &job), (5000, &PollJob::Minutes(symbol("VIX"), DAY)));
    // The plan does not include this symbol, but the plan can include the next symbol.
    bench
        .0
        .failed(&job, Failure::Token, None, Moment::from_millis(5000));
    assert_eq!(bench.fails(5000, Failure::Path, None), 5250);
    // The server does not offer minute bars, so the wait for all symbols is one hour.
    assert_eq!(bench.first(5250).0, 3_605_250);
}

#[test]
fn after_a_refusal_by_the_plan_each_class_is_requested_alone() {
    let mut bench = Bench::new(&need(&[
        ("SPX", None),
        ("SPY", Some(2500)),
        ("QQQ", Some(2500)),
    ]));
    let (_, job) = bench.first(0);
    let PollJob::Quotes(symbols) = &job else {
        panic!("{job:?}")
    };
    assert!(!bench.0.not_in_plan(symbols, Moment::ZERO));
    bench.0.answered(&job, &[], Moment::ZERO);
    let (due, names) = bench.quotes(0);
    assert_eq!((due, names), (2500, vec!["SPY".into(), "QQQ".into()]));
    assert!(
        bench
            .0
            .not_in_plan(&[symbol("SPY"), symbol("QQQ")], Moment::ZERO)
    );
    assert_eq!(bench.quotes(2500).1, ["SPX"]);
}

#[test]
fn other_responses_delay_the_market_status_by_one_interval_at_most() {
    let mut needed = need(&[("SPY", Some(2500))]);
    needed.market = Some(Duration::from_secs(30));
    let mut bench = Bench::new(&needed);
    bench.quotes(0);
    assert_eq!(bench.first(0), (0, PollJob::Market));
    bench.0.answered(&PollJob::Market, &[], Moment::ZERO);
    let mut now = 0;
    while now < 57_500 {
        now = bench.quotes(now).0;
    }
    assert_eq!(bench.quotes(now).0, 60_000);
    assert_eq!(bench.first(60_000), (60_000, PollJob::Market));
    // Without other requests there is no delay.
    needed.polls[0].pace = None;
    bench.0.want(&needed);
    bench
        .0
        .answered(&PollJob::Market, &[], Moment::from_secs(60));
    assert_eq!(bench.first(60_000), (90_000, PollJob::Market));
}
