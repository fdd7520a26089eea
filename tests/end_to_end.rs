//! Tests of the whole ticker over real sockets, through each kind of fault. The display must never
//! show an old price as live. The test moves the clock, so nothing waits and each run has the same
//! prices.
#![allow(clippy::unwrap_used)]

#[path = "support/running_ticker.rs"]
mod running_ticker;

use deskticker::config::settings::{PageSpec, TickerSettings};
use deskticker::market::Cluster;
use deskticker::net::connector::Connector;
use deskticker::simulator::{InjectedFault, Simulator, SimulatorSettings};
use deskticker::ticker::event_loop::ControlMessage;
use futures_util::{SinkExt, StreamExt};
use tokio_tungstenite::tungstenite::Message;

use running_ticker::{Background, TIME_LIMIT, TickerUnderTest, block_on};

fn simulator(settings: SimulatorSettings) -> (Background<Simulator>, TickerUnderTest) {
    simulator_for(settings, &["SPX", "VIX"])
}

fn simulator_for(
    settings: SimulatorSettings,
    watchlist: &[&str],
) -> (Background<Simulator>, TickerUnderTest) {
    let (clock, manual_clock) = running_ticker::manual_clock();
    let simulator = Background::start({
        let clock = clock.clone();
        || async move { Simulator::start(settings, clock).await.unwrap() }
    });
    let source = running_ticker::vendor(simulator.value.address(), "simulated");
    let display = TickerUnderTest::new(
        source,
        Connector::new(None).unwrap(),
        watchlist,
        (clock, manual_clock),
    );
    (simulator, display)
}

/// Waits until the simulator has this number of subscriptions.
fn wait_for_subscriptions(simulator: &Background<Simulator>, count: usize) {
    let mut channels = simulator.value.subscriptions();
    block_on(async {
        let found =
            tokio::time::timeout(TIME_LIMIT, channels.wait_for(|held| *held == count)).await;
        found
            .unwrap_or_else(|_| panic!("{count} channels were never held"))
            .unwrap();
    });
}

#[test]
fn the_display_shows_no_stale_price_as_live_through_every_fault() {
    let (simulator, mut display) = simulator(SimulatorSettings::default());
    let fault = |fault| simulator.value.fault(fault);
    wait_for_subscriptions(&simulator, 4);
    display.shows("story-01-joined-and-nothing-known-yet");
    display.advance(1);
    display.shows("story-02-first-values");
    display.advance(4);
    display.shows("story-03-spx-moves-and-vix-waits");

    fault(InjectedFault::Silence);
    display.advance(10);
    display.shows("story-04-silent-for-10s-is-still-fresh");
    display.advance(1);
    display.shows("story-05-silent-for-11s-is-stale");
    display.advance(11);
    display.shows("story-06-silent-for-22s-the-link-is-silent");
    fault(InjectedFault::None);
    display.advance(1);
    display.shows("story-07-values-again");

    fault(InjectedFault::Abort);
    display.shows("story-08-the-connection-is-lost");
    // Without this fault, the first new price could arrive before or after the reconnect.
    fault(InjectedFault::Silence);
    display.advance(20);
    wait_for_subscriptions(&simulator, 4);
    display.shows("story-09-connected-again-and-nothing-new-for-20s");
    fault(InjectedFault::None);
    display.advance(1);
    display.shows("story-10-values-after-the-reconnect");

    fault(InjectedFault::Garbage);
    display.advance(12);
    display.shows("story-11-garbage-is-no-price");
    fault(InjectedFault::Dribble);
    display.advance(1);
    display.shows("story-12-one-byte-a-segment-is-a-price");

    fault(InjectedFault::Abort);
    display.shows("story-13-lost-again");
    fault(InjectedFault::Refusal);
    display.advance(40);
    display.shows("story-14-the-key-is-refused");
    fault(InjectedFault::Silence);
    display.advance(80);
    wait_for_subscriptions(&simulator, 4);
    fault(InjectedFault::None);
    display.advance(16);
    display.shows("story-15-let-in-again");

    fault(InjectedFault::Abort);
    display.shows("story-16-lost-for-good");
    // The simulator has stopped, so each further attempt fails in the same way.
    drop(simulator);
    display.advance(3600);
    display.shows_top_lines("story-17-lost-for-an-hour", 16);
}

#[test]
fn an_evicted_display_shows_the_eviction_and_does_not_reconnect_at_once() {
    let (simulator, mut display) = simulator(SimulatorSettings::default());
    wait_for_subscriptions(&simulator, 4);
    display.advance(1);
    display.shows("story-02-first-values");
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
    display.shows("evicted");
    wait_for_subscriptions(&simulator, 0);
    display.advance(59);
    wait_for_subscriptions(&simulator, 0);
    display.shows("evicted-for-59s");
    drop(other);
}

#[test]
fn a_channel_outside_the_plan_does_not_affect_other_channels() {
    let settings = SimulatorSettings {
        refused: vec!["V.I:VIX".into(), "AM.I:VIX".into()],
        ..SimulatorSettings::default()
    };
    let (simulator, mut display) = simulator(settings);
    wait_for_subscriptions(&simulator, 2);
    display.advance(1);
    display.shows("not-in-the-plan");
}

#[test]
fn a_cluster_outside_the_plan_is_one_line_of_the_link_page_and_no_alarm() {
    let settings = SimulatorSettings {
        excluded: vec![Cluster::Options],
        denied: vec!["O:SPY261218C00650000".into()],
        ..SimulatorSettings::default()
    };
    let watchlist = ["SPX", "O:SPY261218C00650000"];
    let (simulator, mut display) = simulator_for(settings, &watchlist);
    wait_for_subscriptions(&simulator, 2);
    display.advance(1);
    display.shows("plan-without-options-index");
    display.advance(9);
    display.shows("plan-without-options-contract");
    // A failure shows the link page after ten seconds.
    display.advance(9);
    display.shows("plan-without-options-contract");
    let pages = TickerSettings {
        pages: vec![PageSpec::Link],
        ..running_ticker::settings(&watchlist)
    };
    let apply = ControlMessage::Apply(Box::new(pages));
    display.controls.blocking_send(apply).unwrap();
    // The lines above the last one depend on the speed of the test threads.
    let expected = include_str!("screens/plan-without-options-link.txt");
    let shown = display.until(|frame| running_ticker::framed(frame).ends_with(expected));
    shown.unwrap_or_else(|last| panic!("the glass shows\n{last}"));
}

#[test]
fn a_plan_without_any_cluster_and_a_wrong_key_are_named_on_the_link_page() {
    for (name, settings) in [
        (
            "plan-without-indices",
            SimulatorSettings {
                excluded: vec![Cluster::Indices],
                denied: vec!["I:SPX".into(), "I:VIX".into()],
                ..SimulatorSettings::default()
            },
        ),
        (
            "wrong-key",
            SimulatorSettings {
                key: "another".into(),
                ..SimulatorSettings::default()
            },
        ),
    ] {
        let (_simulator, mut display) = simulator(settings);
        display.shows(&format!("{name}-at-the-start"));
        display.advance(11);
        display.shows_top_lines(name, 16);
    }
}

#[test]
fn a_changed_watchlist_is_displayed_without_a_reconnect() {
    let (simulator, mut display) = simulator(SimulatorSettings::default());
    wait_for_subscriptions(&simulator, 4);
    display.advance(1);
    display.shows("story-02-first-values");
    let watch = |names: &[&str]| {
        display
            .controls
            .blocking_send(running_ticker::watch(names))
            .unwrap();
        wait_for_subscriptions(&simulator, 2 * names.len());
    };
    watch(&["SPX"]);
    watch(&["SPX", "NDX"]);
    display.shows("watchlist-changed");
    display.advance(16);
    display.shows("watchlist-changed-and-ticking");
    assert_eq!(simulator.value.connections(), 1);
}

#[test]
fn pages_alternate_with_more_than_two_instruments() {
    let (simulator, mut display) = simulator(SimulatorSettings::default());
    wait_for_subscriptions(&simulator, 4);
    display
        .controls
        .blocking_send(running_ticker::watch(&["SPX", "VIX", "NDX"]))
        .unwrap();
    wait_for_subscriptions(&simulator, 6);
    display.advance(9);
    display.shows("page-1");
    display.advance(1);
    display.shows("page-2");
    display.advance(10);
    display.shows("page-1-again");
}
