//! Tests of the connection state machine: it reconnects after each failure and respects the
//! backoff. All times are arguments, so no test waits.
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

#[test]
fn a_failure_of_the_name_or_the_route_during_a_wait_is_the_reported_reason() {
    use ConnectionEvent::{Closed, Path};
    // (provider, the reason of the wait, the wait is over when the path is good again)
    for (provider, reason, ends) in [
        (FeedProvider::Hub, Failure::Refused, true),
        (FeedProvider::Hub, Failure::Portal, true),
        (FeedProvider::Hub, Failure::Token, false),
        (FeedProvider::Vendor, Failure::Lost, false),
        (FeedProvider::Vendor, Failure::Key, false),
        (FeedProvider::Vendor, Failure::Network, true),
    ] {
        let mut fixture = ConnectionUnderTest::new(provider);
        let mut now = 0;
        // The waits at the vendor grow with each loss.
        for _ in 0..6 {
            now = fixture.0.deadline().as_millis().max(now);
            assert_eq!(fixture.actions(now), [ConnectionAction::Open]);
            fixture.on(Closed(reason), now);
        }
        now += 100;
        assert_eq!(fixture.on(Path(None), now), []);
        let due = fixture.0.deadline();
        for path in [Failure::Dns, Failure::Network] {
            assert_eq!(fixture.on(Path(Some(path)), now), []);
            assert_eq!(fixture.0.status().reason, Some(path));
            assert_eq!(fixture.0.deadline(), due, "the wait keeps its length");
        }
        fixture.on(Path(None), now);
        assert_eq!(fixture.0.status().reason, Some(reason));
        // An attempt follows another attempt after at least one second.
        let early = at(now + 900).min(due);
        assert_eq!(fixture.0.deadline() <= early, ends, "{provider:?} {reason}");
    }
}

#[test]
fn a_wait_that_the_server_requests_is_kept_although_the_host_answers_and_ends_with_the_host() {
    use ConnectionEvent::{Alive, Closed, Moved, Opened, RetryAfter};
    let wait = |seconds| RetryAfter(Duration::from_secs(seconds));
    for provider in [FeedProvider::Hub, FeedProvider::Vendor] {
        let mut fixture = ConnectionUnderTest::new(provider);
        fixture.actions(0);
        fixture.on(wait(20), 100);
        fixture.on(Closed(Failure::Busy), 100);
        let due = fixture.0.deadline();
        assert!((at(20_100)..=at(21_100)).contains(&due), "{due:?}");
        assert_eq!(fixture.on(Alive, 5_000), []);
        assert_eq!(fixture.0.deadline(), due);
        // The request counts once, and only for the next attempt.
        let then = due.as_millis();
        assert_eq!(fixture.actions(then), [ConnectionAction::Open]);
        fixture.on(Closed(Failure::Refused), then);
        assert!(fixture.0.deadline() < at(then + 5_000));
    }
    // A hub can also request the wait before it closes an open connection. No wait is endless.
    let mut fixture = ConnectionUnderTest::live(0);
    fixture.actions(20_000);
    fixture.on(wait(9_999), 20_000);
    fixture.on(Closed(Failure::Restarting), 20_001);
    let due = fixture.0.deadline();
    assert!((at(140_001)..=at(141_001)).contains(&due), "{due:?}");
    assert_eq!(fixture.on(Moved, 21_000), [ConnectionAction::Open]);
    fixture.on(Opened, 21_100);
    assert_eq!(fixture.phase(), ConnectionPhase::Live);
}

#[test]
fn a_hub_below_a_hub_is_live_only_after_the_welcome_of_that_hub() {
    let mut fixture = ConnectionUnderTest::new(FeedProvider::Hub);
    fixture.0.set_awaits_welcome(true);
    assert_eq!(fixture.actions(0), [ConnectionAction::Open]);
    assert_eq!(fixture.on(ConnectionEvent::Opened, 10), []);
    assert_eq!(fixture.phase(), ConnectionPhase::Joining);
    let subscribe = ConnectionAction::Subscribe(spx());
    assert_eq!(fixture.on(ConnectionEvent::Authenticated, 20), [subscribe]);
    assert_eq!(fixture.phase(), ConnectionPhase::Live);
}

#[test]
fn an_interface_that_fails_under_a_connection_ends_the_connection_at_once() {
    use ConnectionEvent::Path;
    let mut fixture = ConnectionUnderTest::live(0);
    assert_eq!(fixture.on(Path(None), 2_000), []);
    assert_eq!(fixture.phase(), ConnectionPhase::Live);
    let failure = Failure::Network;
    let actions = fixture.on(Path(Some(failure)), 3_000);
    assert_eq!(actions, [ConnectionAction::Close(failure)]);
    let status = fixture.0.status();
    assert_eq!(
        (status.phase, status.reason),
        (ConnectionPhase::Down, Some(failure))
    );
    // The end of the failure ends the wait.
    assert_eq!(fixture.on(Path(None), 3_100), [ConnectionAction::Open]);
}

/// A connection that requests one channel, and the actions that it returns at a given time.
struct ConnectionUnderTest(Connection);

impl ConnectionUnderTest {
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

    /// An event on the channel of the values of an index.
    fn data(&mut self, ticker: &str, millis: u64) -> Vec<ConnectionAction> {
        self.0.data(ChannelKind::Value, ticker, at(millis));
        self.actions(millis)
    }

    fn phase(&self) -> ConnectionPhase {
        self.0.status().phase
    }

    /// A connection to a hub that is live from this time on (in ms).
    fn live(millis: u64) -> Self {
        let mut fixture = Self::new(FeedProvider::Hub);
        assert_eq!(fixture.actions(millis), [ConnectionAction::Open]);
        assert_eq!(
            fixture.on(ConnectionEvent::Opened, millis),
            [ConnectionAction::Subscribe(spx())]
        );
        fixture.on(ConnectionEvent::Subscribed(&spx()), millis);
        fixture
    }

    /// Moves the time forward until the connection acts without an event. Returns that time in ms
    /// and the actions.
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
fn a_connection_without_subscriptions_stays_closed() {
    let mut link = Connection::new(FeedProvider::Hub, 1);
    assert_eq!(link.next(at(0)), None);
    assert_eq!(link.deadline(), Moment::NEVER);
}

#[test]
fn a_hub_receives_subscriptions_at_once_without_a_greeting() {
    let mut fixture = ConnectionUnderTest::new(FeedProvider::Hub);
    assert_eq!(fixture.actions(0), [ConnectionAction::Open]);
    assert_eq!(fixture.phase(), ConnectionPhase::Joining);
    assert_eq!(
        fixture.on(ConnectionEvent::Opened, 50),
        [ConnectionAction::Subscribe(spx())]
    );
    assert_eq!(fixture.phase(), ConnectionPhase::Live);
}

#[test]
fn the_vendor_receives_subscriptions_only_after_the_key_is_accepted() {
    let mut fixture = ConnectionUnderTest::new(FeedProvider::Vendor);
    assert_eq!(fixture.actions(0), [ConnectionAction::Open]);
    assert_eq!(
        fixture.on(ConnectionEvent::Opened, 50),
        [ConnectionAction::Authenticate]
    );
    assert_eq!(fixture.on(ConnectionEvent::Heard, 60), []);
    assert_eq!(
        fixture.on(ConnectionEvent::Authenticated, 70),
        [ConnectionAction::Subscribe(spx())]
    );
}

#[test]
fn an_attempt_without_a_response_ends_after_ten_seconds() {
    for opened in [false, true] {
        let mut fixture = ConnectionUnderTest::new(FeedProvider::Vendor);
        fixture.actions(0);
        if opened {
            fixture.on(ConnectionEvent::Opened, 0);
        }
        assert_eq!(
            fixture.wait(),
            (10_000, vec![ConnectionAction::Close(Failure::Timeout)])
        );
        assert_eq!(fixture.phase(), ConnectionPhase::Down);
    }
}

/// The times of the retries and the waits before them (both in ms), for a server that cannot be
/// reached.
fn waits(provider: FeedProvider, attempts: usize) -> Vec<(u64, u64)> {
    let mut fixture = ConnectionUnderTest::new(provider);
    let mut now = 0;
    fixture.actions(0);
    let wait = |_| {
        fixture.on(ConnectionEvent::Closed(Failure::Unreachable), now);
        let (then, actions) = fixture.wait();
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
fn retries_at_a_hub_are_frequent_for_a_minute_and_then_some_seconds_apart() {
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
fn a_response_of_the_host_ends_the_backoff_for_its_hub_but_not_after_a_refusal() {
    let mut fixture = ConnectionUnderTest::new(FeedProvider::Hub);
    fixture.actions(0);
    fixture.on(ConnectionEvent::Closed(Failure::Unreachable), 70_000);
    assert_eq!(
        fixture.on(ConnectionEvent::Alive, 70_010),
        [ConnectionAction::Open]
    );
    // The connection waits at least one second between two attempts.
    fixture.on(ConnectionEvent::Closed(Failure::Unreachable), 70_020);
    assert_eq!(fixture.on(ConnectionEvent::Alive, 70_030), []);
    assert_eq!(fixture.actions(71_009), []);
    assert_eq!(fixture.actions(71_010), [ConnectionAction::Open]);
    fixture.on(ConnectionEvent::Closed(Failure::Token), 71_020);
    assert_eq!(fixture.on(ConnectionEvent::Alive, 80_000), []);
    assert_eq!(fixture.actions(90_000), []);
    // A connection to the vendor keeps its own backoff.
    let mut fixture = ConnectionUnderTest::new(FeedProvider::Vendor);
    fixture.actions(0);
    fixture.on(ConnectionEvent::Closed(Failure::Unreachable), 5_000);
    assert_eq!(fixture.on(ConnectionEvent::Alive, 5_100), []);
}

#[test]
fn a_silent_connection_to_a_live_host_is_pinged_and_then_replaced() {
    let mut fixture = ConnectionUnderTest::live(0);
    fixture.on(ConnectionEvent::Heard, 10_000);
    let ping = [ConnectionAction::Ping];
    assert_eq!(
        fixture.on(ConnectionEvent::Alive, 12_000),
        [],
        "it was heard just now"
    );
    assert_eq!(fixture.on(ConnectionEvent::Alive, 14_000), ping);
    fixture.on(ConnectionEvent::Heard, 16_900);
    assert_eq!(fixture.actions(18_100), []);
    assert_eq!(fixture.on(ConnectionEvent::Alive, 22_000), ping);
    assert_eq!(
        fixture.actions(24_000),
        [],
        "what has come may not be read yet"
    );
    assert_eq!(fixture.actions(25_499), []);
    // The host is alive, so the connection retries at once.
    let again = [
        ConnectionAction::Close(Failure::Dead),
        ConnectionAction::Open,
    ];
    assert_eq!(fixture.actions(25_500), again);
}

#[test]
fn a_vendor_that_accepts_and_drops_connections_gets_a_growing_backoff() {
    let mut fixture = ConnectionUnderTest::new(FeedProvider::Vendor);
    let mut now = 0;
    fixture.actions(0);
    for _ in 0..8 {
        fixture.on(ConnectionEvent::Opened, now);
        fixture.on(ConnectionEvent::Authenticated, now);
        fixture.on(ConnectionEvent::Heard, now + 900);
        fixture.on(ConnectionEvent::Closed(Failure::Lost), now + 1000);
        now = fixture.wait().0;
    }
    fixture.on(ConnectionEvent::Opened, now);
    fixture.on(ConnectionEvent::Authenticated, now);
    fixture.on(ConnectionEvent::Closed(Failure::Lost), now);
    assert!(
        fixture.wait().0 - now >= 30_000,
        "an open alone must not reset the backoff"
    );
}

#[test]
fn a_connection_open_for_ten_seconds_resets_the_backoff() {
    let mut fixture = ConnectionUnderTest::new(FeedProvider::Hub);
    let mut now = 0;
    fixture.actions(0);
    for _ in 0..6 {
        fixture.on(ConnectionEvent::Closed(Failure::Unreachable), now);
        now = fixture.wait().0;
    }
    fixture.on(ConnectionEvent::Opened, now);
    fixture.on(ConnectionEvent::Heard, now + 10_000);
    fixture.on(ConnectionEvent::Closed(Failure::Lost), now + 10_000);
    assert!(fixture.wait().0 - now - 10_000 <= 1500);
}

#[test]
fn a_refusal_and_an_eviction_cool_down_for_a_minute() {
    for reason in [Failure::Token, Failure::Key, Failure::Evicted] {
        let mut fixture = ConnectionUnderTest::live(0);
        fixture.on(ConnectionEvent::Closed(reason), 20_000);
        assert_eq!(fixture.phase(), ConnectionPhase::Refused);
        let (then, actions) = fixture.wait();
        assert_eq!(actions, [ConnectionAction::Open]);
        assert!((80_000..=95_000).contains(&then), "{reason:?}: {then}");
    }
}

#[test]
fn a_refusal_waits_at_most_75_seconds_for_any_seed() {
    for seed in 0..20 {
        let mut fixture = ConnectionUnderTest(Connection::new(
            FeedProvider::Hub,
            0x9E37_79B9_7F4A_7C15_u64.wrapping_mul(seed),
        ));
        fixture.0.want(&channels(&["V.I:SPX"]), None, at(0));
        fixture.actions(0);
        fixture.on(ConnectionEvent::Closed(Failure::Token), 0);
        let (then, _) = fixture.wait();
        assert!((60_000..=75_000).contains(&then), "{seed}: {then}");
    }
}

#[test]
fn the_first_minute_of_an_outage_ends_after_a_minute() {
    for (lost, range) in [(59_999, 750..=1500), (60_000, 4000..=8000)] {
        let mut fixture = ConnectionUnderTest::new(FeedProvider::Hub);
        fixture.actions(0);
        fixture.on(ConnectionEvent::Closed(Failure::Unreachable), 0);
        fixture.wait();
        fixture.on(ConnectionEvent::Closed(Failure::Unreachable), lost);
        let (then, _) = fixture.wait();
        assert!(range.contains(&(then - lost)), "{lost}: {then}");
    }
}

#[test]
fn all_subscriptions_are_sent_again_after_a_reconnect() {
    let mut fixture = ConnectionUnderTest::live(0);
    fixture
        .0
        .want(&channels(&["V.I:SPX", "V.I:VIX"]), None, at(1));
    assert_eq!(fixture.actions(1).len(), 1);
    fixture.on(ConnectionEvent::Closed(Failure::Lost), 2);
    let (then, actions) = fixture.wait();
    assert_eq!(actions, [ConnectionAction::Open]);
    assert_eq!(fixture.on(ConnectionEvent::Opened, then).len(), 2);
}

#[test]
fn a_changed_watchlist_does_not_reconnect() {
    let mut fixture = ConnectionUnderTest::live(0);
    let vix = Channel::parse("V.I:VIX").unwrap();
    fixture.0.want(&channels(&["V.I:VIX"]), None, at(5));
    let mut actions = fixture.actions(5);
    actions.sort_by_key(|action| format!("{action:?}"));
    assert_eq!(
        actions,
        [
            ConnectionAction::Subscribe(vix),
            ConnectionAction::Unsubscribe(spx())
        ]
    );
    assert_eq!(fixture.phase(), ConnectionPhase::Live);
}

#[test]
fn a_connection_closes_without_subscriptions_and_opens_with_the_next_one() {
    let mut fixture = ConnectionUnderTest::live(0);
    fixture.0.want(&channels(&[]), None, at(5));
    assert_eq!(fixture.actions(5), [ConnectionAction::Close(Failure::Done)]);
    assert_eq!(fixture.phase(), ConnectionPhase::Idle);
    fixture.0.want(&channels(&["V.I:SPX"]), None, at(9));
    assert_eq!(fixture.actions(9), [ConnectionAction::Open]);
}

#[test]
fn a_backoff_continues_while_no_subscription_exists() {
    for (reason, millis) in [(Failure::Key, 60_000), (Failure::Lost, 500)] {
        let mut fixture = ConnectionUnderTest::live(0);
        fixture.on(ConnectionEvent::Closed(reason), 1000);
        fixture.0.want(&channels(&[]), None, at(1100));
        assert_eq!(fixture.actions(1100), []);
        assert_eq!(
            fixture.0.status().reason,
            None,
            "what is not needed is not down"
        );
        assert_eq!(fixture.phase(), ConnectionPhase::Idle);
        fixture.0.want(&channels(&["V.I:SPX"]), None, at(1200));
        assert_eq!(fixture.actions(1200), [], "it hammers");
        assert_eq!(fixture.0.status().reason, Some(reason));
        let (then, actions) = fixture.wait();
        assert_eq!(actions, [ConnectionAction::Open]);
        assert!(then >= 1000 + millis, "{reason:?}: {then}");
    }
}

#[test]
fn a_silent_connection_is_pinged_and_then_closed() {
    let mut fixture = ConnectionUnderTest::live(0);
    assert_eq!(fixture.wait(), (20_000, vec![ConnectionAction::Ping]));
    assert_eq!(
        fixture.wait(),
        (30_000, vec![ConnectionAction::Close(Failure::Dead)])
    );
}

#[test]
fn any_frame_proves_that_the_connection_is_alive() {
    let mut fixture = ConnectionUnderTest::live(0);
    for n in 1..20 {
        assert_eq!(
            fixture.wait(),
            (n * 20_100 - 100, vec![ConnectionAction::Ping])
        );
        assert_eq!(fixture.on(ConnectionEvent::Heard, n * 20_100), []);
    }
    assert_eq!(fixture.phase(), ConnectionPhase::Live);
}

#[test]
fn silence_outside_market_hours_is_normal() {
    let mut fixture = ConnectionUnderTest::live(0);
    for second in 1..3600 {
        fixture.on(ConnectionEvent::Heard, second * 1000);
    }
    assert_eq!(fixture.phase(), ConnectionPhase::Live);
}

#[test]
fn pongs_without_values_in_market_hours_count_as_silence_and_close_the_connection() {
    let mut fixture = ConnectionUnderTest::live(0);
    fixture.0.want(
        &channels(&["V.I:SPX"]),
        Some(Duration::from_secs(20)),
        at(0),
    );
    for second in 1..20 {
        fixture.on(ConnectionEvent::Heard, second * 1000);
        assert_eq!(fixture.phase(), ConnectionPhase::Live);
    }
    fixture.on(ConnectionEvent::Heard, 20_000);
    assert_eq!(fixture.phase(), ConnectionPhase::Silent);
    let mut closed = None;
    for second in 21..200 {
        if let Some(ConnectionAction::Close(reason)) =
            fixture.on(ConnectionEvent::Heard, second * 1000).first()
        {
            closed = Some((second, *reason));
            break;
        }
    }
    assert_eq!(closed, Some((110, Failure::Silent)));
}

#[test]
fn a_silent_connection_without_upstream_reports_is_opened_again_every_20_s() {
    let mut fixture = ConnectionUnderTest::live(0);
    fixture.0.set_reports_upstream(false);
    let max_silence = Some(Duration::from_secs(20));
    fixture.0.want(&channels(&["V.I:SPX"]), max_silence, at(0));
    let mut opened = Vec::new();
    for second in 1..=600 {
        for action in fixture.on(ConnectionEvent::Heard, second * 1000) {
            if action == ConnectionAction::Open {
                opened.push(second);
                fixture.on(ConnectionEvent::Opened, second * 1000);
            }
        }
    }
    let expected: Vec<u64> = (0..29).map(|nth| 22 + nth * 20).collect();
    assert_eq!(opened, expected);
    assert_eq!(fixture.phase(), ConnectionPhase::Silent);
    fixture.data("I:SPX", 601_000);
    assert_eq!(fixture.phase(), ConnectionPhase::Live);
}

#[test]
fn a_repeated_subscription_does_not_hide_a_silence() {
    let mut fixture = ConnectionUnderTest::live(0);
    let max_silence = Some(Duration::from_secs(20));
    for second in 0..=20 {
        let now = at(second * 1000);
        fixture.0.want(&channels(&["V.I:SPX"]), max_silence, now);
        fixture.on(ConnectionEvent::Heard, second * 1000);
    }
    assert_eq!(fixture.phase(), ConnectionPhase::Silent);
    // The market closes, so silence is normal from now on.
    fixture.0.want(&channels(&["V.I:SPX"]), None, at(21_000));
    assert_eq!(fixture.0.deadline(), Moment::ZERO);
    fixture.actions(21_000);
    assert_eq!(
        (fixture.phase(), fixture.0.status().reason),
        (ConnectionPhase::Live, None)
    );
}

#[test]
fn an_immediate_action_has_an_immediate_deadline() {
    let mut fixture = ConnectionUnderTest::new(FeedProvider::Hub);
    assert_eq!(fixture.0.deadline(), Moment::ZERO, "it wants something");
    fixture = ConnectionUnderTest::live(0);
    fixture.0.want(&channels(&[]), None, at(5));
    assert_eq!(fixture.0.deadline(), Moment::ZERO, "it wants nothing more");
    fixture = ConnectionUnderTest::new(FeedProvider::Hub);
    fixture.actions(0);
    fixture.0.want(&channels(&[]), None, at(5));
    assert_eq!(
        fixture.0.deadline(),
        Moment::ZERO,
        "nor does it while it joins"
    );
    // A connection that stays open for ten seconds resets its backoff.
    fixture = ConnectionUnderTest::live(0);
    fixture.on(ConnectionEvent::Closed(Failure::Lost), 1000);
    let (then, _) = fixture.wait();
    fixture.on(ConnectionEvent::Opened, then);
    fixture.on(ConnectionEvent::Subscribed(&spx()), then);
    assert_eq!(fixture.0.deadline(), at(then + 10_000));
}

#[test]
fn every_seed_gives_different_waits() {
    for seed in [0, 1, 2] {
        let mut fixture = ConnectionUnderTest(Connection::new(FeedProvider::Hub, seed));
        fixture.0.want(&channels(&["V.I:SPX"]), None, at(0));
        let mut now = 0;
        let mut waits = std::collections::BTreeSet::new();
        fixture.actions(0);
        for _ in 0..10 {
            fixture.on(ConnectionEvent::Closed(Failure::Unreachable), now);
            let (then, _) = fixture.wait();
            waits.insert(then - now);
            now = then;
        }
        assert!(waits.len() > 5, "{seed}: {waits:?}");
    }
}

#[test]
fn only_a_value_of_a_subscribed_symbol_ends_the_silence() {
    let mut fixture = ConnectionUnderTest::live(0);
    fixture.0.want(
        &channels(&["V.I:SPX"]),
        Some(Duration::from_secs(20)),
        at(0),
    );
    fixture.on(ConnectionEvent::Heard, 20_000);
    assert_eq!(fixture.phase(), ConnectionPhase::Silent);
    fixture.data("I:NDX", 21_000);
    assert_eq!(fixture.phase(), ConnectionPhase::Silent);
    fixture.data("I:SPX", 22_000);
    assert_eq!(fixture.phase(), ConnectionPhase::Live);
}

#[test]
fn silence_before_the_market_opens_does_not_count() {
    let mut fixture = ConnectionUnderTest::live(0);
    for second in 1..600 {
        fixture.on(ConnectionEvent::Heard, second * 1000);
    }
    fixture.0.want(
        &channels(&["V.I:SPX"]),
        Some(Duration::from_secs(20)),
        at(600_000),
    );
    fixture.on(ConnectionEvent::Heard, 601_000);
    assert_eq!(fixture.phase(), ConnectionPhase::Live);
}

#[test]
fn a_connection_reports_the_reason_of_its_failure_until_the_next_live_phase() {
    let mut fixture = ConnectionUnderTest::live(0);
    fixture.on(ConnectionEvent::Closed(Failure::Lost), 1000);
    assert_eq!(fixture.0.status().reason, Some(Failure::Lost));
    let (then, _) = fixture.wait();
    assert_eq!(
        (fixture.phase(), fixture.0.status().reason),
        (ConnectionPhase::Joining, Some(Failure::Lost))
    );
    fixture.on(ConnectionEvent::Opened, then);
    assert_eq!(
        (fixture.phase(), fixture.0.status().reason),
        (ConnectionPhase::Live, None)
    );
    assert_eq!(fixture.0.status().connections, 2);
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
    /// For any order of events, a connection that has subscriptions always has a deadline, never
    /// returns actions without end, and never opens twice within half a second.
    #[test]
    fn no_order_of_events_breaks_a_connection(
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
                Step::Ours => { link.data(ChannelKind::Value, "I:SPX", at(now)); },
                Step::Foreign => { link.data(ChannelKind::Value, "I:NDX", at(now)); },
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
fn a_connection_without_subscribed_values_reopens_with_growing_waits() {
    let mut fixture = ConnectionUnderTest::live(0);
    let max_silence = Some(Duration::from_secs(20));
    fixture.0.want(&channels(&["V.I:SPX"]), max_silence, at(0));
    let heard_until_closed = |fixture: &mut ConnectionUnderTest, from: u64| {
        (1..200)
            .map(|second| from + second * 1000)
            .find(|now| {
                let actions = fixture.on(ConnectionEvent::Heard, *now);
                actions.contains(&ConnectionAction::Close(Failure::Silent))
            })
            .unwrap()
    };
    let mut now = heard_until_closed(&mut fixture, 0);
    let mut waits = Vec::new();
    for _ in 0..8 {
        let (opened, actions) = fixture.wait();
        assert_eq!(actions, [ConnectionAction::Open]);
        waits.push(opened - now);
        fixture.on(ConnectionEvent::Opened, opened);
        now = heard_until_closed(&mut fixture, opened);
    }
    assert!(waits[0] <= 1500, "{waits:?}");
    assert!(waits[3] >= 4000, "{waits:?}");
    assert!(waits[7] >= 30_000, "{waits:?}");
    // A value of a subscribed symbol resets the backoff.
    let (opened, _) = fixture.wait();
    fixture.on(ConnectionEvent::Opened, opened);
    fixture.data("I:SPX", opened + 1000);
    fixture.actions(opened + 11_000);
    fixture.on(ConnectionEvent::Closed(Failure::Lost), opened + 12_000);
    let (again, _) = fixture.wait();
    assert!(again - opened - 12_000 <= 1500);
}

#[test]
fn an_optional_connection_waits_ten_minutes_if_the_server_lacks_its_cluster() {
    for (reason, optional, millis) in [
        (Failure::Path, true, 600_000..=750_000),
        (Failure::Key, true, 600_000..=750_000),
        (Failure::Token, true, 60_000..=75_000),
        (Failure::Lost, true, 500..=1500),
        (Failure::Path, false, 500..=1500),
        (Failure::Key, false, 60_000..=75_000),
    ] {
        let mut fixture = ConnectionUnderTest::new(FeedProvider::Vendor);
        fixture.0.set_optional(optional);
        fixture.actions(0);
        fixture.on(ConnectionEvent::Closed(reason), 0);
        let (then, actions) = fixture.wait();
        assert_eq!(actions, [ConnectionAction::Open]);
        assert!(millis.contains(&then), "{reason:?}: {then}");
    }
}
