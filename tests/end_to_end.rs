//! Over real sockets, through every fault in turn: the glass tells the truth at each step.
//! Time is moved by hand, so nothing waits and every price is the same at every run.
#![allow(clippy::unwrap_used)]

#[path = "support/running_ticker.rs"]
mod running_ticker;

use deskticker::net::connector::Connector;
use deskticker::simulator::{InjectedFault, Simulator, SimulatorSettings};
use futures_util::{SinkExt, StreamExt};
use running_ticker::{Background, PATIENCE, TickerUnderTest};
use tokio_tungstenite::tungstenite::Message;

fn simulator(settings: SimulatorSettings) -> (Background<Simulator>, TickerUnderTest) {
    let (clock, hand) = running_ticker::manual_clock();
    let simulator = Background::start({
        let clock = clock.clone();
        || async move { Simulator::start(settings, clock).await.unwrap() }
    });
    let source = running_ticker::vendor(simulator.value.address(), "simulated");
    let stage = TickerUnderTest::new(
        source,
        Connector::new(None).unwrap(),
        &["SPX", "VIX"],
        (clock, hand),
    );
    (simulator, stage)
}

fn block_on<T>(future: impl Future<Output = T>) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .build()
        .unwrap();
    runtime.block_on(future)
}

/// Waits until the simulator serves this many channels.
fn subscribed(simulator: &Background<Simulator>, count: usize) {
    let mut channels = simulator.value.subscriptions();
    block_on(async {
        let found = tokio::time::timeout(PATIENCE, channels.wait_for(|held| *held == count)).await;
        found
            .unwrap_or_else(|_| panic!("{count} channels were never held"))
            .unwrap();
    });
}

#[test]
fn the_glass_tells_the_truth_through_every_fault() {
    let (simulator, mut stage) = simulator(SimulatorSettings::default());
    let fault = |fault| block_on(simulator.value.fault(fault));
    subscribed(&simulator, 4);
    stage.shows("story-01-joined-and-nothing-known-yet");
    stage.advance(1);
    stage.shows("story-02-first-values");
    stage.advance(4);
    stage.shows("story-03-spx-moves-and-vix-waits");

    fault(InjectedFault::Silence);
    stage.advance(10);
    stage.shows("story-04-silent-for-10s-is-still-fresh");
    stage.advance(1);
    stage.shows("story-05-silent-for-11s-is-stale");
    stage.advance(11);
    stage.shows("story-06-silent-for-22s-the-link-is-silent");
    fault(InjectedFault::None);
    stage.advance(1);
    stage.shows("story-07-values-again");

    fault(InjectedFault::Abort);
    stage.shows("story-08-the-connection-is-lost");
    // Whether the reconnect or the next price comes first must not matter here.
    fault(InjectedFault::Silence);
    stage.advance(20);
    subscribed(&simulator, 4);
    stage.shows("story-09-connected-again-and-nothing-new-for-20s");
    fault(InjectedFault::None);
    stage.advance(1);
    stage.shows("story-10-values-after-the-reconnect");

    fault(InjectedFault::Garbage);
    stage.advance(12);
    stage.shows("story-11-garbage-is-no-price");
    fault(InjectedFault::Dribble);
    stage.advance(1);
    stage.shows("story-12-one-byte-a-segment-is-a-price");

    fault(InjectedFault::Abort);
    stage.shows("story-13-lost-again");
    fault(InjectedFault::Refusal);
    stage.advance(40);
    stage.shows("story-14-the-key-is-refused");
    fault(InjectedFault::Silence);
    stage.advance(80);
    subscribed(&simulator, 4);
    fault(InjectedFault::None);
    stage.advance(16);
    stage.shows("story-15-let-in-again");

    fault(InjectedFault::Abort);
    stage.shows("story-16-lost-for-good");
    // From now on every attempt ends in the same way.
    drop(simulator);
    stage.advance(3600);
    stage.shows_above("story-17-lost-for-an-hour", 16);
}

#[test]
fn who_is_evicted_says_so_and_does_not_fight() {
    let (simulator, mut stage) = simulator(SimulatorSettings::default());
    subscribed(&simulator, 4);
    stage.advance(1);
    stage.shows("story-02-first-values");
    let address = simulator.value.address();
    let other = Background::start(move || async move {
        let stream = tokio::net::TcpStream::connect(address).await.unwrap();
        let (mut socket, _) =
            tokio_tungstenite::client_async(format!("ws://{address}/indices"), stream)
                .await
                .unwrap();
        socket
            .send(Message::text(r#"{"action":"auth","params":"simulated"}"#))
            .await
            .unwrap();
        for expected in ["connected", "auth_success"] {
            let frame = socket.next().await.unwrap().unwrap().into_text().unwrap();
            assert!(frame.contains(expected), "{frame}");
        }
        socket
    });
    stage.shows("evicted");
    subscribed(&simulator, 0);
    stage.advance(59);
    subscribed(&simulator, 0);
    stage.shows("evicted-for-59s");
    drop(other);
}

#[test]
fn a_channel_that_is_not_in_the_plan_costs_none_of_the_others() {
    let settings = SimulatorSettings {
        refused: vec!["V.I:VIX".into(), "AM.I:VIX".into()],
        ..SimulatorSettings::default()
    };
    let (simulator, mut stage) = simulator(settings);
    subscribed(&simulator, 2);
    stage.advance(1);
    stage.shows("not-in-the-plan");
}

#[test]
fn a_changed_watchlist_is_shown_without_a_reconnect() {
    let (simulator, mut stage) = simulator(SimulatorSettings::default());
    subscribed(&simulator, 4);
    stage.advance(1);
    stage.shows("story-02-first-values");
    let watch = |names: &[&str]| {
        stage
            .controls
            .blocking_send(running_ticker::watch(names))
            .unwrap();
        subscribed(&simulator, 2 * names.len());
    };
    watch(&["SPX"]);
    watch(&["SPX", "NDX"]);
    stage.shows("watchlist-changed");
    stage.advance(16);
    stage.shows("watchlist-changed-and-ticking");
    assert_eq!(simulator.value.connections(), 1);
}

#[test]
fn with_more_than_two_instruments_the_pages_take_turns() {
    let (simulator, mut stage) = simulator(SimulatorSettings::default());
    subscribed(&simulator, 4);
    stage
        .controls
        .blocking_send(running_ticker::watch(&["SPX", "VIX", "NDX"]))
        .unwrap();
    subscribed(&simulator, 6);
    stage.advance(9);
    stage.shows("page-1");
    stage.advance(1);
    stage.shows("page-2");
    stage.advance(10);
    stage.shows("page-1-again");
}
