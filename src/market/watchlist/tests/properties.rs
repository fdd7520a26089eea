//! Property tests: statements that are true for every sequence of values and clock changes.

use proptest::prelude::*;

use super::*;

#[derive(Clone, Debug)]
enum Step {
    /// A streamed value whose timestamp has this offset to the wall clock, in milliseconds. `None`
    /// for a value without a timestamp.
    Value(Option<i64>),
    /// A REST value with this timestamp offset in milliseconds, and true if it is delayed.
    Fetched(i64, bool),
    Bar(i64),
    Pass(u64),
    /// A change of the wall clock by this number of milliseconds.
    Set(i64),
    Unset,
}

fn step() -> impl Strategy<Value = Step> {
    let offset = prop_oneof![
        -90_000i64..90_000,
        (-40i64..5).prop_map(|secs| secs * 1000),
        -1_100_000i64..-800_000,
        -100_000_000i64..100_000_000,
        any::<i64>(),
    ];
    prop_oneof![
        3 => proptest::option::of(offset.clone()).prop_map(Step::Value),
        2 => (offset.clone(), any::<bool>()).prop_map(|(offset, late)| Step::Fetched(offset, late)),
        2 => offset.clone().prop_map(Step::Bar),
        4 => prop_oneof![(0u64..20).prop_map(|secs| secs * 1000), 0u64..20_000, 0u64..100_000, 0u64..100_000_000].prop_map(Step::Pass),
        1 => prop_oneof![Just(3_600_000i64), Just(-3_600_000), offset].prop_map(Step::Set),
        1 => Just(Step::Unset),
    ]
}

/// The text that the display shows for this freshness.
fn picture(freshness: Freshness) -> String {
    match freshness {
        Freshness::Stale(age) => match age.as_secs() {
            secs @ 0..60 => format!("{secs}s"),
            secs @ 60..3600 => format!("{}m", secs / 60),
            secs @ 3600..86_400 => format!("{}h", secs / 3600),
            secs => format!("{}d", secs / 86_400),
        },
        other => format!("{other:?}"),
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1000))]
    #[test]
    fn a_value_older_than_its_limit_is_never_live_and_deadlines_are_exact(
        steps in proptest::collection::vec(step(), 1..40),
        vix in any::<bool>(),
    ) {
        let mut list = linked(&["SPX", "VIX"], tuesday("15:00:00"));
        let (index, ticker) = if vix { (1, "I:VIX") } else { (0, "I:SPX") };
        let mut now = tuesday("15:00:00");
        // The time at which the last new price was stored, and the maximum age of that price in
        // seconds.
        let mut last = None;
        for step in steps {
            let real = now.utc.unwrap_or(Utc(1_768_323_600_000));
            let stamp = |offset: i64| Utc(real.0.saturating_add(offset));
            // The comparison includes `heard`, because a streamed bar replaces a REST row with the
            // same timestamp and an unknown age.
            let stored = |list: &Watchlist| {
                let as_of = list.instruments()[index].quote()?.as_of;
                Some((as_of.stamp?, as_of.heard))
            };
            let before = stored(&list);
            let (outcome, limit) = match step {
                Step::Value(offset) => {
                    (tick_of(&mut list, ticker, 1, offset.map(stamp), now), if vix { 45 } else { 10 })
                }
                Step::Fetched(offset, late) => {
                    let quote = Quote::fetched(price(3), Some(stamp(offset)), late, now);
                    (list.value(ticker, quote, now, &US), if vix { 45 } else { 10 })
                }
                Step::Bar(offset) => {
                    (take_bar(&mut list, ticker, bar(2, stamp(offset)), now), 75)
                }
                Step::Pass(millis) => {
                    let by = Duration::from_millis(millis);
                    now.monotonic = now.monotonic + by;
                    now.utc = now.utc.map(|utc| Utc(utc.0.saturating_add(millis as i64)));
                    (Outcome::Unknown, 0)
                }
                Step::Set(by) => {
                    now.utc = Some(stamp(by));
                    (Outcome::Unknown, 0)
                }
                Step::Unset => {
                    now.utc = None;
                    (Outcome::Unknown, 0)
                }
            };
            let repeated = before.is_some() && before == stored(&list);
            if outcome == Outcome::Stored && !repeated {
                last = Some((now.monotonic, limit));
            }
            let freshness = list.freshness(index, now, &US);
            if let Freshness::Live | Freshness::Delayed = freshness {
                let (at, limit) = last.unwrap();
                prop_assert!(now.monotonic.since(at) <= Duration::from_secs(limit));
            }
            if now.utc.is_none() {
                prop_assert_ne!(freshness, Freshness::Closed);
            }
            let deadline = list.deadline(index, now, &US);
            prop_assert!(deadline > now.monotonic);
            // The displayed text does not change before the deadline.
            let wait = deadline.since(now.monotonic).min(Duration::from_secs(1_000_000));
            let before = i64::try_from(wait.as_millis()).unwrap() - 1;
            let then = Now {
                monotonic: now.monotonic + Duration::from_millis(before as u64),
                utc: now.utc.map(|utc| Utc(utc.0.saturating_add(before))),
            };
            prop_assert_eq!(picture(list.freshness(index, then, &US)), picture(freshness));
        }
    }
}
