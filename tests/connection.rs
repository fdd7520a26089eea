//! A link finds its way back, and hammers nobody on the way. Times are literal; nothing waits.
#![allow(clippy::unwrap_used)]

use std::time::Duration;

use deskticker::feed::connection::Connection;
use deskticker::feed::connection_status::{ConnectionAction, ConnectionEvent, ConnectionPhase};
use deskticker::market::{Channel, ChannelKind};
use deskticker::net::failure::Failure;
use deskticker::net::source::FeedProvider;
use deskticker::time::Moment;

fn at(millis: u64) -> Moment {
    Moment::from_millis(millis)
}

fn channels(names: &[&str]) -> Vec<Channel> {
    names
        .iter()
        .map(|name| Channel::parse(name).unwrap())
        .collect()
}

fn spx() -> Channel {
    Channel::parse("V.I:SPX").unwrap()
}

/// A link that wants one channel, and all that it does at a moment.
struct Bench(Connection);

impl Bench {
    fn new(provider: FeedProvider) -> Self {
        let mut link = Connection::new(provider, 42);
        link.want(&channels(&["V.I:SPX"]), None, Moment::ZERO);
        Self(link)
    }

    fn actions(&mut self, millis: u64) -> Vec<ConnectionAction> {
        std::iter::from_fn(|| self.0.next(at(millis))).collect()
    }

    fn on(&mut self, event: ConnectionEvent<'_>, millis: u64) -> Vec<ConnectionAction> {
        self.0.on(event, at(millis));
        self.actions(millis)
    }

    fn phase(&self) -> ConnectionPhase {
        self.0.status().phase
    }

    /// A hub's link, live from the moment given.
    fn live(millis: u64) -> Self {
        let mut bench = Self::new(FeedProvider::Hub);
        assert_eq!(bench.actions(millis), [ConnectionAction::Open]);
        assert_eq!(
            bench.on(ConnectionEvent::Opened, millis),
            [ConnectionAction::Subscribe(spx())]
        );
        bench.on(ConnectionEvent::Subscribed(&spx()), millis);
        bench
    }

    /// Lets time pass until the link acts by itself; the moment in milliseconds and what it does.
    fn wait(&mut self) -> (u64, Vec<ConnectionAction>) {
        for _ in 0..10 {
            let due = self.0.deadline();
            assert_ne!(
                due,
                Moment::NEVER,
                "a link that wants something never waits for ever"
            );
            let actions = self.actions(due.as_millis());
            if !actions.is_empty() {
                return (due.as_millis(), actions);
            }
        }
        panic!(
            "a deadline that passes without an action, again and again: {:?}",
            self.0
        );
    }
}

#[test]
fn a_link_that_nothing_needs_stays_closed() {
    let mut link = Connection::new(FeedProvider::Hub, 1);
    assert_eq!(link.next(at(0)), None);
    assert_eq!(link.deadline(), Moment::NEVER);
}

#[test]
fn a_hub_is_asked_for_channels_at_once_without_waiting_for_a_greeting() {
    let mut bench = Bench::new(FeedProvider::Hub);
    assert_eq!(bench.actions(0), [ConnectionAction::Open]);
    assert_eq!(bench.phase(), ConnectionPhase::Joining);
    assert_eq!(
        bench.on(ConnectionEvent::Opened, 50),
        [ConnectionAction::Subscribe(spx())]
    );
    assert_eq!(bench.phase(), ConnectionPhase::Live);
}

#[test]
fn the_vendor_is_asked_for_channels_only_after_it_accepts_the_key() {
    let mut bench = Bench::new(FeedProvider::Vendor);
    assert_eq!(bench.actions(0), [ConnectionAction::Open]);
    assert_eq!(
        bench.on(ConnectionEvent::Opened, 50),
        [ConnectionAction::Authenticate]
    );
    assert_eq!(bench.on(ConnectionEvent::Heard, 60), []);
    assert_eq!(
        bench.on(ConnectionEvent::Authenticated, 70),
        [ConnectionAction::Subscribe(spx())]
    );
}

#[test]
fn an_attempt_without_an_answer_is_given_up_after_ten_seconds() {
    for opened in [false, true] {
        let mut bench = Bench::new(FeedProvider::Vendor);
        bench.actions(0);
        if opened {
            bench.on(ConnectionEvent::Opened, 0);
        }
        assert_eq!(
            bench.wait(),
            (10_000, vec![ConnectionAction::Close(Failure::Timeout)])
        );
        assert_eq!(bench.phase(), ConnectionPhase::Down);
    }
}

/// The waits between the first attempts at a server that is not there.
fn waits(provider: FeedProvider, attempts: usize) -> Vec<(u64, u64)> {
    let mut bench = Bench::new(provider);
    let mut now = 0;
    bench.actions(0);
    let wait = |_| {
        bench.on(ConnectionEvent::Closed(Failure::Unreachable), now);
        let (then, actions) = bench.wait();
        assert_eq!(actions, [ConnectionAction::Open]);
        let wait = then - now;
        now = then;
        (now, wait)
    };
    (0..attempts).map(wait).collect()
}

#[test]
fn at_the_vendor_the_backoff_doubles_up_to_a_minute_and_jitters() {
    let waits = waits(FeedProvider::Vendor, 9);
    for ((_, wait), base) in waits.iter().zip([1, 2, 4, 8, 16, 32, 60, 60, 60]) {
        let range = base * 500..=base * 1500;
        assert!(
            range.contains(wait),
            "{wait} ms is not around {base} s in {waits:?}"
        );
    }
}

#[test]
fn at_a_hub_tries_are_close_together_for_a_minute_and_some_seconds_apart_later() {
    let mut all = std::collections::BTreeSet::new();
    for (at, wait) in waits(FeedProvider::Hub, 200) {
        let range = if at - wait < 60_000 {
            750..=1500
        } else {
            4000..=8000
        };
        assert!(range.contains(&wait), "{wait} ms after {at} ms");
        all.insert(wait);
    }
    assert!(all.len() > 100, "displays do not come back as one");
}

#[test]
fn any_answer_of_the_host_ends_a_wait_for_its_hub_and_none_ends_a_refusal() {
    let mut bench = Bench::new(FeedProvider::Hub);
    bench.actions(0);
    bench.on(ConnectionEvent::Closed(Failure::Unreachable), 70_000);
    assert_eq!(
        bench.on(ConnectionEvent::Alive, 70_010),
        [ConnectionAction::Open]
    );
    // Never sooner than a second after the last try.
    bench.on(ConnectionEvent::Closed(Failure::Unreachable), 70_020);
    assert_eq!(bench.on(ConnectionEvent::Alive, 70_030), []);
    assert_eq!(bench.actions(71_009), []);
    assert_eq!(bench.actions(71_010), [ConnectionAction::Open]);
    bench.on(ConnectionEvent::Closed(Failure::Token), 71_020);
    assert_eq!(bench.on(ConnectionEvent::Alive, 80_000), []);
    assert_eq!(bench.actions(90_000), []);
    // The vendor keeps its own pace.
    let mut bench = Bench::new(FeedProvider::Vendor);
    bench.actions(0);
    bench.on(ConnectionEvent::Closed(Failure::Unreachable), 5_000);
    assert_eq!(bench.on(ConnectionEvent::Alive, 5_100), []);
}

#[test]
fn a_connection_that_is_silent_while_its_host_answers_others_must_prove_itself() {
    let mut bench = Bench::live(0);
    bench.on(ConnectionEvent::Heard, 10_000);
    let ping = [ConnectionAction::Ping];
    assert_eq!(
        bench.on(ConnectionEvent::Alive, 12_000),
        [],
        "it was heard just now"
    );
    assert_eq!(bench.on(ConnectionEvent::Alive, 14_000), ping);
    bench.on(ConnectionEvent::Heard, 16_900);
    assert_eq!(bench.actions(18_100), []);
    assert_eq!(bench.on(ConnectionEvent::Alive, 22_000), ping);
    assert_eq!(
        bench.actions(24_000),
        [],
        "what has come may not be read yet"
    );
    assert_eq!(bench.actions(25_499), []);
    // The host is known to live, so that the next try is at once.
    let again = [
        ConnectionAction::Close(Failure::Dead),
        ConnectionAction::Open,
    ];
    assert_eq!(bench.actions(25_500), again);
}

#[test]
fn a_vendor_that_accepts_and_drops_is_not_hammered() {
    let mut bench = Bench::new(FeedProvider::Vendor);
    let mut now = 0;
    bench.actions(0);
    for _ in 0..8 {
        bench.on(ConnectionEvent::Opened, now);
        bench.on(ConnectionEvent::Authenticated, now);
        bench.on(ConnectionEvent::Heard, now + 900);
        bench.on(ConnectionEvent::Closed(Failure::Lost), now + 1000);
        now = bench.wait().0;
    }
    bench.on(ConnectionEvent::Opened, now);
    bench.on(ConnectionEvent::Authenticated, now);
    bench.on(ConnectionEvent::Closed(Failure::Lost), now);
    assert!(
        bench.wait().0 - now >= 30_000,
        "an open alone must not reset the backoff"
    );
}

#[test]
fn a_connection_that_has_lived_ten_seconds_is_trusted_again() {
    let mut bench = Bench::new(FeedProvider::Hub);
    let mut now = 0;
    bench.actions(0);
    for _ in 0..6 {
        bench.on(ConnectionEvent::Closed(Failure::Unreachable), now);
        now = bench.wait().0;
    }
    bench.on(ConnectionEvent::Opened, now);
    bench.on(ConnectionEvent::Heard, now + 10_000);
    bench.on(ConnectionEvent::Closed(Failure::Lost), now + 10_000);
    assert!(bench.wait().0 - now - 10_000 <= 1500);
}

#[test]
fn a_refusal_and_an_eviction_cool_down_for_a_minute() {
    for reason in [Failure::Token, Failure::Key, Failure::Evicted] {
        let mut bench = Bench::live(0);
        bench.on(ConnectionEvent::Closed(reason), 20_000);
        assert_eq!(bench.phase(), ConnectionPhase::Refused);
        let (then, actions) = bench.wait();
        assert_eq!(actions, [ConnectionAction::Open]);
        assert!((80_000..=95_000).contains(&then), "{reason:?}: {then}");
    }
}

#[test]
fn whatever_the_seed_a_refusal_waits_a_minute_and_a_quarter_at_most() {
    for seed in 0..20 {
        let mut bench = Bench(Connection::new(
            FeedProvider::Hub,
            0x9E37_79B9_7F4A_7C15_u64.wrapping_mul(seed),
        ));
        bench.0.want(&channels(&["V.I:SPX"]), None, at(0));
        bench.actions(0);
        bench.on(ConnectionEvent::Closed(Failure::Token), 0);
        let (then, _) = bench.wait();
        assert!((60_000..=75_000).contains(&then), "{seed}: {then}");
    }
}

#[test]
fn the_first_minute_of_an_outage_ends_after_a_minute() {
    for (lost, range) in [(59_999, 750..=1500), (60_000, 4000..=8000)] {
        let mut bench = Bench::new(FeedProvider::Hub);
        bench.actions(0);
        bench.on(ConnectionEvent::Closed(Failure::Unreachable), 0);
        bench.wait();
        bench.on(ConnectionEvent::Closed(Failure::Unreachable), lost);
        let (then, _) = bench.wait();
        assert!(range.contains(&(then - lost)), "{lost}: {then}");
    }
}

#[test]
fn everything_wanted_is_asked_for_again_after_a_reconnect() {
    let mut bench = Bench::live(0);
    bench
        .0
        .want(&channels(&["V.I:SPX", "V.I:VIX"]), None, at(1));
    assert_eq!(bench.actions(1).len(), 1);
    bench.on(ConnectionEvent::Closed(Failure::Lost), 2);
    let (then, actions) = bench.wait();
    assert_eq!(actions, [ConnectionAction::Open]);
    assert_eq!(bench.on(ConnectionEvent::Opened, then).len(), 2);
}

#[test]
fn a_changed_watchlist_does_not_reconnect() {
    let mut bench = Bench::live(0);
    let vix = Channel::parse("V.I:VIX").unwrap();
    bench.0.want(&channels(&["V.I:VIX"]), None, at(5));
    let mut actions = bench.actions(5);
    actions.sort_by_key(|action| format!("{action:?}"));
    assert_eq!(
        actions,
        [
            ConnectionAction::Subscribe(vix),
            ConnectionAction::Unsubscribe(spx())
        ]
    );
    assert_eq!(bench.phase(), ConnectionPhase::Live);
}

#[test]
fn a_link_closes_when_nothing_needs_it_and_opens_when_something_does() {
    let mut bench = Bench::live(0);
    bench.0.want(&channels(&[]), None, at(5));
    assert_eq!(bench.actions(5), [ConnectionAction::Close(Failure::Done)]);
    assert_eq!(bench.phase(), ConnectionPhase::Idle);
    bench.0.want(&channels(&["V.I:SPX"]), None, at(9));
    assert_eq!(bench.actions(9), [ConnectionAction::Open]);
}

#[test]
fn a_wait_is_sat_out_although_nothing_is_wanted_meanwhile() {
    for (reason, millis) in [(Failure::Key, 60_000), (Failure::Lost, 500)] {
        let mut bench = Bench::live(0);
        bench.on(ConnectionEvent::Closed(reason), 1000);
        bench.0.want(&channels(&[]), None, at(1100));
        assert_eq!(bench.actions(1100), []);
        assert_eq!(
            bench.0.status().reason,
            None,
            "what is not needed is not down"
        );
        assert_eq!(bench.phase(), ConnectionPhase::Idle);
        bench.0.want(&channels(&["V.I:SPX"]), None, at(1200));
        assert_eq!(bench.actions(1200), [], "it hammers");
        assert_eq!(bench.0.status().reason, Some(reason));
        let (then, actions) = bench.wait();
        assert_eq!(actions, [ConnectionAction::Open]);
        assert!(then >= 1000 + millis, "{reason:?}: {then}");
    }
}

#[test]
fn silence_is_answered_with_a_ping_and_then_with_a_close() {
    let mut bench = Bench::live(0);
    assert_eq!(bench.wait(), (20_000, vec![ConnectionAction::Ping]));
    assert_eq!(
        bench.wait(),
        (30_000, vec![ConnectionAction::Close(Failure::Dead)])
    );
}

#[test]
fn any_frame_counts_as_life() {
    let mut bench = Bench::live(0);
    for n in 1..20 {
        assert_eq!(
            bench.wait(),
            (n * 20_100 - 100, vec![ConnectionAction::Ping])
        );
        assert_eq!(bench.on(ConnectionEvent::Heard, n * 20_100), []);
    }
    assert_eq!(bench.phase(), ConnectionPhase::Live);
}

#[test]
fn off_hours_silence_is_no_alarm() {
    let mut bench = Bench::live(0);
    for second in 1..3600 {
        bench.on(ConnectionEvent::Heard, second * 1000);
    }
    assert_eq!(bench.phase(), ConnectionPhase::Live);
}

#[test]
fn pongs_without_values_in_market_hours_are_silence_and_end_in_a_new_connection() {
    let mut bench = Bench::live(0);
    bench.0.want(
        &channels(&["V.I:SPX"]),
        Some(Duration::from_secs(20)),
        at(0),
    );
    for second in 1..20 {
        bench.on(ConnectionEvent::Heard, second * 1000);
        assert_eq!(bench.phase(), ConnectionPhase::Live);
    }
    bench.on(ConnectionEvent::Heard, 20_000);
    assert_eq!(bench.phase(), ConnectionPhase::Silent);
    let mut closed = None;
    for second in 21..200 {
        if let Some(ConnectionAction::Close(reason)) =
            bench.on(ConnectionEvent::Heard, second * 1000).first()
        {
            closed = Some((second, *reason));
            break;
        }
    }
    assert_eq!(closed, Some((110, Failure::Silent)));
}

#[test]
fn asking_again_for_the_same_does_not_hide_a_silence() {
    let mut bench = Bench::live(0);
    let max_silence = Some(Duration::from_secs(20));
    for second in 0..=20 {
        let now = at(second * 1000);
        bench.0.want(&channels(&["V.I:SPX"]), max_silence, now);
        bench.on(ConnectionEvent::Heard, second * 1000);
    }
    assert_eq!(bench.phase(), ConnectionPhase::Silent);
    // The market closes: then silence is no alarm any more.
    bench.0.want(&channels(&["V.I:SPX"]), None, at(21_000));
    assert_eq!(bench.0.deadline(), Moment::ZERO);
    bench.actions(21_000);
    assert_eq!(
        (bench.phase(), bench.0.status().reason),
        (ConnectionPhase::Live, None)
    );
}

#[test]
fn what_is_to_be_done_at_once_is_due_at_once() {
    let mut bench = Bench::new(FeedProvider::Hub);
    assert_eq!(bench.0.deadline(), Moment::ZERO, "it wants something");
    bench = Bench::live(0);
    bench.0.want(&channels(&[]), None, at(5));
    assert_eq!(bench.0.deadline(), Moment::ZERO, "it wants nothing more");
    bench = Bench::new(FeedProvider::Hub);
    bench.actions(0);
    bench.0.want(&channels(&[]), None, at(5));
    assert_eq!(
        bench.0.deadline(),
        Moment::ZERO,
        "nor does it while it joins"
    );
    // A connection that came back has proven itself ten seconds later.
    bench = Bench::live(0);
    bench.on(ConnectionEvent::Closed(Failure::Lost), 1000);
    let (then, _) = bench.wait();
    bench.on(ConnectionEvent::Opened, then);
    bench.on(ConnectionEvent::Subscribed(&spx()), then);
    assert_eq!(bench.0.deadline(), at(then + 10_000));
}

#[test]
fn every_seed_makes_waits_that_differ() {
    for seed in [0, 1, 2] {
        let mut bench = Bench(Connection::new(FeedProvider::Hub, seed));
        bench.0.want(&channels(&["V.I:SPX"]), None, at(0));
        let mut now = 0;
        let mut waits = std::collections::BTreeSet::new();
        bench.actions(0);
        for _ in 0..10 {
            bench.on(ConnectionEvent::Closed(Failure::Unreachable), now);
            let (then, _) = bench.wait();
            waits.insert(then - now);
            now = then;
        }
        assert!(waits.len() > 5, "{seed}: {waits:?}");
    }
}

#[test]
fn a_value_of_ours_ends_the_silence_and_somebody_elses_does_not() {
    let mut bench = Bench::live(0);
    bench.0.want(
        &channels(&["V.I:SPX"]),
        Some(Duration::from_secs(20)),
        at(0),
    );
    bench.on(ConnectionEvent::Heard, 20_000);
    assert_eq!(bench.phase(), ConnectionPhase::Silent);
    bench.on(ConnectionEvent::Data(ChannelKind::Value, "I:NDX"), 21_000);
    assert_eq!(bench.phase(), ConnectionPhase::Silent);
    bench.on(ConnectionEvent::Data(ChannelKind::Value, "I:SPX"), 22_000);
    assert_eq!(bench.phase(), ConnectionPhase::Live);
}

#[test]
fn the_silence_before_the_opening_bell_counts_for_nothing() {
    let mut bench = Bench::live(0);
    for second in 1..600 {
        bench.on(ConnectionEvent::Heard, second * 1000);
    }
    bench.0.want(
        &channels(&["V.I:SPX"]),
        Some(Duration::from_secs(20)),
        at(600_000),
    );
    bench.on(ConnectionEvent::Heard, 601_000);
    assert_eq!(bench.phase(), ConnectionPhase::Live);
}

#[test]
fn a_link_says_why_it_is_down_until_it_is_live_again() {
    let mut bench = Bench::live(0);
    bench.on(ConnectionEvent::Closed(Failure::Lost), 1000);
    assert_eq!(bench.0.status().reason, Some(Failure::Lost));
    let (then, _) = bench.wait();
    assert_eq!(
        (bench.phase(), bench.0.status().reason),
        (ConnectionPhase::Joining, Some(Failure::Lost))
    );
    bench.on(ConnectionEvent::Opened, then);
    assert_eq!(
        (bench.phase(), bench.0.status().reason),
        (ConnectionPhase::Live, None)
    );
    assert_eq!(bench.0.status().connections, 2);
}

#[derive(Clone, Debug)]
enum Step {
    Pass(u32),
    Opened,
    Authenticated,
    Acked,
    Heard,
    Ours,
    Foreign,
    Closed(Failure),
    Want(bool, Option<u8>),
}

proptest::proptest! {
    /// Whatever happens in whatever order: the link never waits for ever while it wants
    /// something, never spins, and never opens two connections within half a second.
    #[test]
    fn no_order_of_events_confuses_a_link(
        vendor: bool,
        steps in proptest::collection::vec(proptest::prop_oneof![
            (0u32..40_000).prop_map(Step::Pass),
            Just(Step::Opened), Just(Step::Authenticated), Just(Step::Acked), Just(Step::Heard),
            Just(Step::Ours), Just(Step::Foreign),
            proptest::sample::select(vec![Failure::Lost, Failure::Token, Failure::Dns, Failure::Evicted]).prop_map(Step::Closed),
            (proptest::prelude::any::<bool>(), proptest::option::of(1u8..90)).prop_map(|(some, max_silence)| Step::Want(some, max_silence)),
        ], 0..200),
    ) {
        let mut link = Connection::new(if vendor { FeedProvider::Vendor } else { FeedProvider::Hub }, 7);
        let mut now = 0u64;
        let mut wants = false;
        let mut opened: Option<u64> = None;
        let mut gave_up = false;
        for step in steps {
            match step {
                Step::Pass(millis) => now += u64::from(millis),
                Step::Opened => link.on(ConnectionEvent::Opened, at(now)),
                Step::Authenticated => link.on(ConnectionEvent::Authenticated, at(now)),
                Step::Acked => link.on(ConnectionEvent::Subscribed(&spx()), at(now)),
                Step::Heard => link.on(ConnectionEvent::Heard, at(now)),
                Step::Ours => link.on(ConnectionEvent::Data(ChannelKind::Value, "I:SPX"), at(now)),
                Step::Foreign => link.on(ConnectionEvent::Data(ChannelKind::Value, "I:NDX"), at(now)),
                Step::Closed(reason) => link.on(ConnectionEvent::Closed(reason), at(now)),
                Step::Want(some, max_silence) => {
                    wants = some;
                    gave_up |= !some;
                    let list = if some { channels(&["V.I:SPX"]) } else { channels(&[]) };
                    link.want(&list, max_silence.map(|secs| Duration::from_secs(secs.into())), at(now));
                }
            }
            let mut count = 0;
            while let Some(action) = link.next(at(now)) {
                count += 1;
                proptest::prop_assert!(count < 10, "it spins: {:?}", link);
                if action == ConnectionAction::Open {
                    if let Some(before) = opened.filter(|_| !gave_up) {
                        proptest::prop_assert!(now - before >= 500, "it hammers: {:?}", link);
                    }
                    (opened, gave_up) = (Some(now), false);
                }
            }
            proptest::prop_assert!(!wants || link.deadline() != Moment::NEVER);
            proptest::prop_assert!(link.deadline() > at(now), "due, and nothing done: {:?}", link);
        }
    }
}

use proptest::prelude::{Just, Strategy};

#[test]
fn a_link_on_which_nothing_of_ours_ever_comes_is_opened_more_and_more_seldom() {
    let mut bench = Bench::live(0);
    let max_silence = Some(Duration::from_secs(20));
    bench.0.want(&channels(&["V.I:SPX"]), max_silence, at(0));
    let heard_until_closed = |bench: &mut Bench, from: u64| {
        (1..200)
            .map(|second| from + second * 1000)
            .find(|now| {
                let actions = bench.on(ConnectionEvent::Heard, *now);
                actions.contains(&ConnectionAction::Close(Failure::Silent))
            })
            .unwrap()
    };
    let mut now = heard_until_closed(&mut bench, 0);
    let mut waits = Vec::new();
    for _ in 0..8 {
        let (opened, actions) = bench.wait();
        assert_eq!(actions, [ConnectionAction::Open]);
        waits.push(opened - now);
        bench.on(ConnectionEvent::Opened, opened);
        now = heard_until_closed(&mut bench, opened);
    }
    assert!(waits[0] <= 1500, "{waits:?}");
    assert!(waits[3] >= 4000, "{waits:?}");
    assert!(waits[7] >= 30_000, "{waits:?}");
    // A value of ours, and it is as if nothing had been.
    let (opened, _) = bench.wait();
    bench.on(ConnectionEvent::Opened, opened);
    bench.on(
        ConnectionEvent::Data(ChannelKind::Value, "I:SPX"),
        opened + 1000,
    );
    bench.actions(opened + 11_000);
    bench.on(ConnectionEvent::Closed(Failure::Lost), opened + 12_000);
    let (again, _) = bench.wait();
    assert!(again - opened - 12_000 <= 1500);
}

#[test]
fn a_spare_link_leaves_a_server_without_its_cluster_alone_for_ten_minutes() {
    for (reason, optional, millis) in [
        (Failure::Path, true, 600_000..=750_000),
        (Failure::Key, true, 600_000..=750_000),
        (Failure::Token, true, 60_000..=75_000),
        (Failure::Lost, true, 500..=1500),
        (Failure::Path, false, 500..=1500),
        (Failure::Key, false, 60_000..=75_000),
    ] {
        let mut bench = Bench::new(FeedProvider::Vendor);
        bench.0.set_optional(optional);
        bench.actions(0);
        bench.on(ConnectionEvent::Closed(reason), 0);
        let (then, actions) = bench.wait();
        assert_eq!(actions, [ConnectionAction::Open]);
        assert!(millis.contains(&then), "{reason:?}: {then}");
    }
}
