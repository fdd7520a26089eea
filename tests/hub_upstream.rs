//! Tests of the connection of the hub to the vendor, over real sockets: one connection per cluster,
//! and the hub relays each event unchanged. The test moves the clock.
#![allow(clippy::unwrap_used)]

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use deskticker::hub::health::ReportSender;
use deskticker::hub::rest::aggregates::BarCache;
use deskticker::hub::upstream::Upstream;
use deskticker::hub::{Interest, RelayedEvent, UpstreamEvent, UpstreamServer};
use deskticker::market::{Channel, Cluster};
use deskticker::net::connector::Connector;
use deskticker::net::endpoint::Endpoint;
use deskticker::net::failure::Failure;
use deskticker::net::hub_path::HubPath;
use deskticker::net::source::{FeedProvider, FeedSource};
use deskticker::secret::Secret;
use deskticker::simulator::{InjectedFault, Simulator, SimulatorSettings};
use deskticker::time::{Clock, ManualClock, Moment, Now, Utc};
use futures_util::{SinkExt, StreamExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{mpsc, watch};
use tokio::task::JoinHandle;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::Message;

/// 2026-11-23 15:30 UTC, a Monday during market hours in New York.
const START: Utc = Utc(1_795_447_800_000);
/// The time limit of each wait. Only a failed test waits this long.
const TIME_LIMIT: Duration = Duration::from_secs(20);
/// The time to wait for a local connection that must not be opened.
const SHORT_WAIT: Duration = Duration::from_millis(100);

fn interest(names: &[&str]) -> Interest {
    names
        .iter()
        .map(|name| Channel::parse(name).unwrap())
        .collect()
}

/// An upstream whose reports the test reads.
struct UpstreamUnderTest {
    manual_clock: ManualClock,
    interest: watch::Sender<Interest>,
    reports: mpsc::Receiver<UpstreamEvent>,
    vendor: watch::Sender<UpstreamServer>,
    stop: watch::Sender<bool>,
    task: JoinHandle<()>,
}

impl UpstreamUnderTest {
    fn start(
        address: impl std::fmt::Display,
        key: &str,
        cluster: Cluster,
        clock: (Clock, ManualClock),
    ) -> Self {
        let (interest, wanted) = watch::channel(BTreeSet::new());
        let (sender, reports) = mpsc::channel(256);
        let (stop, stopped) = watch::channel(false);
        let source = FeedSource::new(
            FeedProvider::Vendor,
            Endpoint::parse(&format!("ws://{address}")).unwrap(),
            Some(Secret::new(key).unwrap()),
        );
        let (vendor, current) = watch::channel(UpstreamServer {
            rest: source.clone(),
            source,
        });
        let upstream = Upstream {
            cluster,
            server: current,
            connector: Connector::new(None).unwrap(),
            interest: wanted,
            hub_path: HubPath::default(),
            reports: ReportSender::new(sender, false, clock.0.clone()),
            minutes: BarCache::default(),
            greeted: watch::Sender::default(),
            metrics: Arc::default(),
            clock: clock.0,
        };
        Self {
            manual_clock: clock.1,
            interest,
            reports,
            vendor,
            stop,
            task: tokio::spawn(upstream.run(stopped)),
        }
    }

    fn want(&self, names: &[&str]) {
        self.interest.send_replace(interest(names));
    }

    /// Gives the upstream another key.
    fn change_key(&self, key: &str) {
        let secret = Some(Secret::new(key).unwrap());
        self.vendor
            .send_modify(|vendor| vendor.source.secret = secret);
    }

    fn advance(&self, secs: u64) {
        self.manual_clock.advance(Duration::from_secs(secs));
    }

    async fn report(&mut self) -> UpstreamEvent {
        let report = tokio::time::timeout(TIME_LIMIT, self.reports.recv()).await;
        report.expect("no report").expect("the upstream has ended")
    }

    /// The next report that is not about events.
    async fn state(&mut self) -> UpstreamEvent {
        loop {
            let report = self.report().await;
            if !matches!(
                report,
                UpstreamEvent::Events(_)
                    | UpstreamEvent::Confirmed(_)
                    | UpstreamEvent::Unsubscribed(_)
            ) {
                return report;
            }
        }
    }

    /// The channels and the JSON texts of the events in the next frame.
    async fn events(&mut self) -> Vec<(String, String)> {
        let events = loop {
            match self.report().await {
                UpstreamEvent::Events(events) => break events,
                UpstreamEvent::Confirmed(_) | UpstreamEvent::Unsubscribed(_) => {}
                other => panic!("{other:?} instead of events"),
            }
        };
        let text = |event: RelayedEvent| {
            let json = String::from_utf8(event.json.to_vec()).unwrap();
            (event.channel.to_string(), json)
        };
        events.into_iter().map(text).collect()
    }
}

fn manual_clock() -> (Clock, ManualClock) {
    Clock::manual(Now::new(Moment::ZERO, START))
}

/// An upstream of the cluster indices, and its simulator.
async fn simulated() -> (Simulator, UpstreamUnderTest) {
    let clock = manual_clock();
    let simulator = Simulator::start(SimulatorSettings::default(), clock.0.clone())
        .await
        .unwrap();
    let fixture =
        UpstreamUnderTest::start(simulator.address(), "simulated", Cluster::Indices, clock);
    (simulator, fixture)
}

async fn wait_for_subscriptions(simulator: &Simulator, count: usize) {
    let mut held = simulator.subscriptions();
    let found = tokio::time::timeout(TIME_LIMIT, held.wait_for(|held| *held == count)).await;
    found
        .unwrap_or_else(|_| panic!("{count} channels were never held"))
        .unwrap();
}

const UP: UpstreamEvent = UpstreamEvent::Up { simulated: true };

#[tokio::test]
async fn no_connection_is_opened_before_the_first_subscription() {
    let (simulator, mut fixture) = simulated().await;
    fixture.advance(60);
    tokio::time::sleep(SHORT_WAIT).await;
    assert_eq!(simulator.connections(), 0);
    fixture.want(&["V.I:SPX"]);
    assert_eq!(fixture.report().await, UP);
    wait_for_subscriptions(&simulator, 1).await;
    fixture.advance(1);
    let events = fixture.events().await;
    assert_eq!(events[0].0, "V.I:SPX");
    assert_eq!(simulator.connections(), 1);
}

#[tokio::test]
async fn changed_subscriptions_use_the_same_connection() {
    let (simulator, mut fixture) = simulated().await;
    fixture.want(&["V.I:SPX"]);
    assert_eq!(fixture.state().await, UP);
    wait_for_subscriptions(&simulator, 1).await;
    fixture.want(&["V.I:SPX", "V.I:VIX", "AM.I:SPX"]);
    wait_for_subscriptions(&simulator, 3).await;
    fixture.want(&["V.I:VIX"]);
    let mut cancelled = Interest::new();
    while cancelled.len() < 2 {
        if let UpstreamEvent::Unsubscribed(channel) = fixture.report().await {
            cancelled.insert(channel);
        }
    }
    assert_eq!(cancelled, interest(&["V.I:SPX", "AM.I:SPX"]));
    wait_for_subscriptions(&simulator, 1).await;
    fixture.advance(1);
    assert_eq!(fixture.events().await[0].0, "V.I:VIX");
    fixture.want(&[]);
    assert_eq!(fixture.state().await, UpstreamEvent::Down(Failure::Done));
    wait_for_subscriptions(&simulator, 0).await;
    assert_eq!(simulator.connections(), 1);
    fixture.want(&["V.I:SPX"]);
    assert_eq!(fixture.state().await, UP);
}

#[tokio::test]
async fn all_subscriptions_are_sent_again_after_a_lost_connection() {
    let (simulator, mut fixture) = simulated().await;
    fixture.want(&["V.I:SPX", "V.I:VIX"]);
    assert_eq!(fixture.state().await, UP);
    wait_for_subscriptions(&simulator, 2).await;
    simulator.fault(InjectedFault::Abort);
    assert_eq!(fixture.state().await, UpstreamEvent::Down(Failure::Lost));
    wait_for_subscriptions(&simulator, 0).await;
    // The upstream subscribes to the channels that are requested at the time of the reconnect.
    fixture.want(&["V.I:SPX", "V.I:VIX", "V.I:NDX"]);
    simulator.fault(InjectedFault::None);
    fixture.advance(3);
    assert_eq!(fixture.state().await, UP);
    wait_for_subscriptions(&simulator, 3).await;
    assert_eq!(simulator.connections(), 2);
}

#[tokio::test]
async fn an_evicted_upstream_reports_the_eviction_and_waits_a_minute() {
    let (simulator, mut fixture) = simulated().await;
    fixture.want(&["V.I:SPX"]);
    assert_eq!(fixture.state().await, UP);
    let stream = TcpStream::connect(simulator.address()).await.unwrap();
    let url = format!("ws://{}/indices", simulator.address());
    let (mut other, _) = tokio_tungstenite::client_async(url, stream).await.unwrap();
    let auth = r#"{"action":"auth","params":"simulated"}"#;
    other.send(Message::text(auth)).await.unwrap();
    assert_eq!(fixture.state().await, UpstreamEvent::Down(Failure::Evicted));
    fixture.advance(59);
    tokio::time::sleep(SHORT_WAIT).await;
    assert_eq!(simulator.connections(), 2, "it fights");
    fixture.advance(20);
    assert_eq!(fixture.state().await, UP);
}

#[tokio::test]
async fn silence_in_market_hours_and_its_end_are_reported() {
    let (simulator, mut fixture) = simulated().await;
    fixture.want(&["V.I:SPX"]);
    assert_eq!(fixture.state().await, UP);
    wait_for_subscriptions(&simulator, 1).await;
    fixture.advance(1);
    fixture.events().await;
    simulator.fault(InjectedFault::Silence);
    fixture.advance(21);
    assert_eq!(
        fixture.state().await,
        UpstreamEvent::Stalled(Failure::Silent)
    );
    simulator.fault(InjectedFault::None);
    fixture.advance(1);
    assert_eq!(fixture.state().await, UP);
    assert_eq!(simulator.connections(), 1);
}

#[tokio::test]
async fn garbage_is_not_relayed() {
    let (simulator, mut fixture) = simulated().await;
    fixture.want(&["V.I:SPX"]);
    assert_eq!(fixture.state().await, UP);
    wait_for_subscriptions(&simulator, 1).await;
    simulator.fault(InjectedFault::Garbage);
    for _ in 0..12 {
        fixture.advance(1);
        // The simulator sends one garbage frame each second.
        tokio::time::sleep(SHORT_WAIT / 10).await;
    }
    while let Ok(report) = fixture.reports.try_recv() {
        assert!(matches!(report, UpstreamEvent::Confirmed(_)), "{report:?}");
    }
    simulator.fault(InjectedFault::None);
    fixture.advance(1);
    assert_eq!(fixture.events().await.last().unwrap().0, "V.I:SPX");
}

#[tokio::test]
async fn each_cluster_has_its_own_connection() {
    let (simulator, mut indices) = simulated().await;
    let (address, clock) = (simulator.address(), manual_clock());
    let mut options = UpstreamUnderTest::start(address, "simulated", Cluster::Options, clock);
    indices.want(&["V.I:SPX"]);
    assert_eq!(indices.state().await, UP);
    options.want(&["Q.O:SPY251219C00650000"]);
    assert_eq!(options.state().await, UP);
    wait_for_subscriptions(&simulator, 2).await;
    indices.advance(2);
    assert_eq!(indices.events().await[0].0, "V.I:SPX");
    assert_eq!(options.events().await[0].0, "Q.O:SPY251219C00650000");
    assert_eq!(simulator.connections(), 2, "neither evicts the other");
}

#[tokio::test]
async fn a_stopped_upstream_closes_its_connection() {
    let (simulator, mut fixture) = simulated().await;
    fixture.want(&["V.I:SPX"]);
    assert_eq!(fixture.state().await, UP);
    wait_for_subscriptions(&simulator, 1).await;
    fixture.stop.send_replace(true);
    tokio::time::timeout(Duration::from_secs(1), fixture.task)
        .await
        .unwrap()
        .unwrap();
    wait_for_subscriptions(&simulator, 0).await;
}

/// A vendor with scripted messages. It counts the connections.
struct ScriptedVendor {
    listener: TcpListener,
    arrival: Arc<AtomicUsize>,
}

impl ScriptedVendor {
    async fn start() -> (Self, std::net::SocketAddr, Arc<AtomicUsize>) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let arrival = Arc::new(AtomicUsize::new(0));
        let counter = arrival.clone();
        (Self { listener, arrival }, address, counter)
    }

    /// Accepts the next connection, sends the greeting and reads the key.
    async fn greet(&self) -> WebSocketStream<TcpStream> {
        let (stream, _) = self.listener.accept().await.unwrap();
        self.arrival.fetch_add(1, Ordering::Relaxed);
        let mut socket = tokio_tungstenite::accept_async(stream).await.unwrap();
        let hello = r#"[{"ev":"status","status":"connected","message":"Connected Successfully"}]"#;
        socket.send(Message::text(hello)).await.unwrap();
        let auth = socket.next().await.unwrap().unwrap();
        assert_eq!(
            auth.to_text().unwrap(),
            r#"{"action":"auth","params":"the-key"}"#
        );
        socket
    }
}

/// Refuses each connection with this message, and counts the connections.
async fn refusing(vendor: ScriptedVendor) {
    loop {
        let mut socket = vendor.greet().await;
        let no = r#"[{"ev":"status","status":"auth_failed","message":"Your plan doesn't include websocket access."}]"#;
        // The connection ends without a close frame, as with the real vendor.
        socket.send(Message::text(no)).await.unwrap();
    }
}

#[tokio::test]
async fn a_refused_key_is_sent_again_after_growing_waits_although_clients_come_and_go() {
    let (vendor, address, arrival) = ScriptedVendor::start().await;
    tokio::spawn(refusing(vendor));
    let mut fixture =
        UpstreamUnderTest::start(address, "the-key", Cluster::Options, manual_clock());
    fixture.want(&["Q.O:SPY251219C00650000"]);
    for (round, wait) in [30, 60, 120, 240, 480, 600, 600].into_iter().enumerate() {
        assert_eq!(fixture.state().await, UpstreamEvent::Barred(Failure::Plan));
        fixture.want(&[]);
        fixture.advance(wait / 2);
        fixture.want(&["Q.O:SPY251219C00650000"]);
        fixture.advance(wait / 2 - 1);
        tokio::time::sleep(SHORT_WAIT).await;
        assert_eq!(arrival.load(Ordering::Relaxed), round + 1, "it hammers");
        assert!(fixture.reports.try_recv().is_err(), "it is refused still");
        fixture.advance(2);
        // The upstream requests the cluster again, and gets the same refusal.
        assert_eq!(fixture.state().await, UpstreamEvent::Down(Failure::Done));
    }
}

#[tokio::test]
async fn a_refused_key_is_sent_again_at_once_after_a_reload_of_the_settings() {
    let (vendor, address, arrival) = ScriptedVendor::start().await;
    tokio::spawn(refusing(vendor));
    let mut fixture =
        UpstreamUnderTest::start(address, "the-key", Cluster::Options, manual_clock());
    fixture.want(&["Q.O:SPY251219C00650000"]);
    for round in 1..4 {
        assert_eq!(fixture.state().await, UpstreamEvent::Barred(Failure::Plan));
        assert_eq!(arrival.load(Ordering::Relaxed), round);
        fixture.vendor.send_modify(|_| {});
        assert_eq!(fixture.state().await, UpstreamEvent::Down(Failure::Done));
    }
}

#[tokio::test]
async fn a_changed_key_is_used_at_once() {
    let clock = manual_clock();
    let simulator = Simulator::start(SimulatorSettings::default(), clock.0.clone());
    let simulator = simulator.await.unwrap();
    let mut fixture =
        UpstreamUnderTest::start(simulator.address(), "wrong", Cluster::Indices, clock);
    fixture.want(&["V.I:SPX"]);
    assert_eq!(fixture.state().await, UpstreamEvent::Barred(Failure::Key));
    fixture.change_key("simulated");
    assert_eq!(fixture.state().await, UpstreamEvent::Down(Failure::Done));
    assert_eq!(fixture.state().await, UP);
    // The key is also changed while the connection is in use.
    fixture.change_key("wrong");
    let gap = UpstreamEvent::Down(Failure::Restarting);
    assert_eq!(fixture.state().await, gap);
    assert_eq!(fixture.state().await, UpstreamEvent::Barred(Failure::Key));
    fixture.change_key("simulated");
    assert_eq!(fixture.state().await, UpstreamEvent::Down(Failure::Done));
    assert_eq!(fixture.state().await, UP);
}

#[tokio::test]
async fn the_gap_between_two_keys_is_reported_before_the_vendor_answers_the_new_key() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let mut fixture = UpstreamUnderTest::start(address, "one", Cluster::Indices, manual_clock());
    fixture.want(&["V.I:SPX"]);
    let (stream, _) = listener.accept().await.unwrap();
    let mut session = tokio_tungstenite::accept_async(stream).await.unwrap();
    let status =
        |status: &str| Message::text(format!(r#"[{{"ev":"status","status":"{status}"}}]"#));
    session.send(status("connected")).await.unwrap();
    session.next().await;
    session.send(status("auth_success")).await.unwrap();
    let up = UpstreamEvent::Up { simulated: false };
    assert_eq!(fixture.state().await, up);
    fixture.change_key("two");
    let gap = UpstreamEvent::Down(Failure::Restarting);
    assert_eq!(fixture.state().await, gap);
    // The test never answers the new connection.
    listener.accept().await.unwrap();
}

#[tokio::test]
async fn a_key_that_was_valid_before_is_sent_again_after_a_minute() {
    let (simulator, mut fixture) = simulated().await;
    fixture.want(&["V.I:SPX"]);
    assert_eq!(fixture.state().await, UP);
    simulator.fault(InjectedFault::Abort);
    assert_eq!(fixture.state().await, UpstreamEvent::Down(Failure::Lost));
    simulator.fault(InjectedFault::Refusal);
    fixture.advance(3);
    assert_eq!(fixture.state().await, UpstreamEvent::Down(Failure::Key));
    simulator.fault(InjectedFault::None);
    fixture.advance(76);
    assert_eq!(fixture.state().await, UP);
}

#[tokio::test]
async fn an_unconfirmed_channel_is_reported_by_its_name() {
    let clock = manual_clock();
    let settings = SimulatorSettings {
        refused: vec!["V.I:NDX".into()],
        ..SimulatorSettings::default()
    };
    let simulator = Simulator::start(settings, clock.0.clone()).await.unwrap();
    let mut fixture =
        UpstreamUnderTest::start(simulator.address(), "simulated", Cluster::Indices, clock);
    fixture.want(&["V.I:NDX", "V.I:SPX"]);
    assert_eq!(fixture.state().await, UP);
    wait_for_subscriptions(&simulator, 1).await;
    let ndx = Channel::parse("V.I:NDX").unwrap();
    let telling = async {
        loop {
            match fixture.reports.recv().await.unwrap() {
                UpstreamEvent::Unanswered(channel, _) => return channel,
                UpstreamEvent::Confirmed(channels) => assert!(!channels.contains(&ndx)),
                _ => {}
            }
        }
    };
    let passing = async {
        loop {
            fixture.manual_clock.advance(Duration::from_secs(1));
            for _ in 0..50 {
                tokio::task::yield_now().await;
            }
        }
    };
    let told = async {
        tokio::select! {
            told = telling => told,
            () = passing => unreachable!("time goes on"),
        }
    };
    assert_eq!(tokio::time::timeout(TIME_LIMIT, told).await.unwrap(), ndx);
}

#[tokio::test]
async fn every_kind_of_event_is_relayed_unchanged_and_in_order() {
    // The vendor chooses the white space, the order of the fields and the format of the numbers.
    const EVENTS: [(&str, &str); 7] = [
        (
            "V.I:SPX",
            r#"{ "ev":"V",  "val":3988.50, "T":"I:SPX","t":1678220098130}"#,
        ),
        (
            "V.I:VIX",
            r#"{"T":"I:VIX","ev":"V","val":1.7e1,"new":{"a":[1,"]}"]}}"#,
        ),
        (
            "A.I:SPX",
            r#"{"ev":"A","sym":"I:SPX","op":1,"o":2,"c":3,"h":4,"l":1,"s":1678220675000,"e":1678220676000}"#,
        ),
        (
            "AM.SPCE",
            r#"{"ev":"AM","sym":"SPCE","v":200.5,"dv":"200.0","o":25.39,"c":25.39,"h":25.39,"l":25.39,"s":1610144868000,"e":1610144869000}"#,
        ),
        (
            "T.BRK.B",
            r#"{"ev":"T","sym":"BRK.B","x":4,"i":"12345","z":3,"p":114.125,"s":100,"c":[0,12],"t":1536036818784,"q":3681328}"#,
        ),
        (
            "Q.MSFT",
            r#"{"ev":"Q","sym":"MSFT","bx":4,"bp":0,"bs":0,"ax":7,"ap":0,"as":0,"t":1536036818784,"q":50385480,"z":3}"#,
        ),
        (
            "Q.O:SPY241220P00720000",
            r#"{"ev":"Q","sym":"O:SPY241220P00720000","bp":9.71,"ap":9.81,"t":1644506128351}"#,
        ),
    ];
    let wanted = [
        "V.*",
        "A.I:SPX",
        "AM.SPCE",
        "T.BRK.B",
        "Q.MSFT",
        "Q.O:SPY241220P00720000",
    ];
    let (vendor, address, _) = ScriptedVendor::start().await;
    let server = tokio::spawn(async move {
        let mut socket = vendor.greet().await;
        let yes = r#"[{"ev":"status","status":"auth_success","message":"authenticated"}]"#;
        socket.send(Message::text(yes)).await.unwrap();
        let mut asked = BTreeSet::new();
        while asked.len() < wanted.len() {
            let Message::Text(text) = socket.next().await.unwrap().unwrap() else {
                continue;
            };
            let json: serde_json::Value = serde_json::from_str(&text).unwrap();
            assert_eq!(json["action"], "subscribe");
            asked.insert(json["params"].as_str().unwrap().to_owned());
        }
        assert_eq!(
            asked,
            wanted.iter().map(|name| (*name).to_owned()).collect()
        );
        let all: Vec<&str> = EVENTS.iter().map(|event| event.1).collect();
        let junk = r#"{"ev":"V","val":NaN,"T":"I:SPX"},{"ev":"LULD","T":"MSFT","h":1},{"ev":"V","val":0,"T":"I:SPX"},{"ev":"T","sym":"FOREIGN","p":1}"#;
        let frame = format!("[{junk},\n {} ]", all.join(" , "));
        socket.send(Message::text(frame)).await.unwrap();
        // The task ends when the hub closes the connection.
        while let Some(Ok(_)) = socket.next().await {}
    });
    let mut fixture = UpstreamUnderTest::start(address, "the-key", Cluster::Stocks, manual_clock());
    fixture.want(&wanted);
    assert_eq!(
        fixture.state().await,
        UpstreamEvent::Up { simulated: false }
    );
    let expected: Vec<(String, String)> = EVENTS
        .iter()
        .map(|(channel, json)| ((*channel).to_owned(), (*json).to_owned()))
        .collect();
    assert_eq!(fixture.events().await, expected);
    fixture.stop.send_replace(true);
    server.await.unwrap();
}

#[tokio::test]
async fn an_unreachable_vendor_is_reported_once_and_retried() {
    let free = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = free.local_addr().unwrap();
    drop(free);
    let mut fixture =
        UpstreamUnderTest::start(address, "the-key", Cluster::Indices, manual_clock());
    fixture.want(&["V.I:SPX"]);
    assert_eq!(fixture.state().await, UpstreamEvent::Down(Failure::Refused));
    fixture.advance(120);
    tokio::time::sleep(SHORT_WAIT).await;
    assert!(
        fixture.reports.try_recv().is_err(),
        "the same is not said twice"
    );
}
