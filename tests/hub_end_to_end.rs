//! Tests of the whole hub (listener, broker and upstream) with a simulator as its vendor.
#![allow(clippy::unwrap_used)]

#[path = "support/hub_server/mod.rs"]
mod hub_server;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use deskticker::demo;
use deskticker::feed::Update;
use deskticker::feed::connection_status::ConnectionPhase;
use deskticker::feed::poll_schedule::{PollRequest, RestDemand};
use deskticker::feed::poller::run_poller;
use deskticker::feed::session::{Session, SubscriptionDemand};
use deskticker::hub::auth::authenticator::Authenticator;
use deskticker::hub::auth::registry::RegistryFile;
use deskticker::hub::server::tls::Tls;
use deskticker::hub::{Hub, HubSettings};
use deskticker::market::{Channel, Cluster};
use deskticker::net::connector::Connector;
use deskticker::net::endpoint::Endpoint;
use deskticker::net::source::{FeedProvider, FeedSource};
use deskticker::net::upgrade::WebSocket;
use deskticker::secret::Secret;
use deskticker::simulator::{self, InjectedFault, Simulator};
use deskticker::time::{Clock, ManualClock, Moment, Now};
use futures_util::{SinkExt, StreamExt};
use tokio_tungstenite::tungstenite::Message;

use hub_server::{START, TIME_LIMIT, TOKEN, block_on, directory, hub_before, hub_below};

struct Whole {
    hub: Hub,
    manual_clock: ManualClock,
    _simulator: Simulator,
}

async fn whole(settings: HubSettings, devices: Option<&RegistryFile>) -> Whole {
    let (clock, manual_clock) = Clock::manual(Now::new(Moment::ZERO, START));
    let token = Secret::new(TOKEN).unwrap();
    let vendor = simulator::SimulatorSettings::default();
    let (mut setup, simulator) = demo::simulated_hub(vendor, &token, clock).await.unwrap();
    setup.settings = tokio::sync::watch::channel(settings).1;
    if let Some(file) = devices {
        let path = file.path().to_owned();
        setup.authenticator = Authenticator::new(Some(path), Some(&token)).unwrap().into();
    }
    let hub = Hub::start(setup, SocketAddr::from(([127, 0, 0, 1], 0)))
        .await
        .unwrap();
    Whole {
        hub,
        manual_clock,
        _simulator: simulator,
    }
}

impl Whole {
    async fn join(&self, connector: &Connector, scheme: &str, query: &str) -> WebSocket {
        let endpoint = Endpoint::parse(&format!("{scheme}://{}", self.hub.address())).unwrap();
        let path = format!("/ws/indices{query}");
        connector.websocket(&endpoint, &path).await.unwrap().socket
    }

    /// Moves the clock forward until a message matches the condition.
    async fn until(&self, socket: &mut WebSocket, mut wanted: impl FnMut(&Message) -> bool) {
        let passing = async {
            loop {
                self.manual_clock.advance(Duration::from_millis(500));
                for _ in 0..50 {
                    tokio::task::yield_now().await;
                }
            }
        };
        let reading = async {
            while let Some(message) = socket.next().await {
                if wanted(&message.unwrap()) {
                    return;
                }
            }
            panic!("the connection ended without it");
        };
        let both = async {
            tokio::select! {
                () = passing => {}
                () = reading => {}
            }
        };
        tokio::time::timeout(TIME_LIMIT, both).await.unwrap();
    }
}

fn closed_with(message: &Message, code: u16) -> bool {
    matches!(message, Message::Close(Some(frame)) if u16::from(frame.code) == code)
}

fn text_with(message: &Message, words: &str) -> bool {
    matches!(message, Message::Text(text) if text.contains(words))
}

fn subscribe() -> Message {
    Message::text(r#"{"action":"subscribe","params":"V.I:SPX"}"#)
}

#[test]
fn ages_add_up_from_hub_to_hub() {
    block_on(async {
        let (first, simulator) = hub_before(simulator::SimulatorSettings::default()).await;
        let second = hub_below(&[first.address()], TOKEN).await;
        let mut watcher = first.join("indices").await;
        // The limit of the VIX is 45 s. A hub repeats no value beyond the limit of its symbol.
        watcher.subscribe_amid_events("V.I:VIX").await;
        let value = watcher.event(|event| event["ev"] == "V");
        let value = first.while_time_passes(value).await;
        assert_eq!(
            value.get("age"),
            None,
            "what is new is as the vendor wrote it"
        );
        // From now on, the symbol is silent, but the connection is not.
        simulator.fault(InjectedFault::Silence);
        let (before, after) = (Duration::from_secs(7), Duration::from_secs(5));
        first.manual_clock.advance(before);
        let mut early = second.join("indices").await;
        early.subscribe_amid_events("V.I:VIX").await;
        let repeated = early.event(|event| event["ev"] == "V");
        let repeated = second.while_time_passes(repeated).await;
        assert_eq!(repeated["val"], value["val"]);
        let age = |event: &serde_json::Value| Duration::from_millis(event["age"].as_u64().unwrap());
        let once = age(&repeated);
        assert!((before..before + after).contains(&once), "{once:?}");
        second.manual_clock.advance(after);
        let mut late = second.join("indices").await;
        late.subscribe_amid_events("V.I:VIX").await;
        let twice = age(&late.event(|event| event["ev"] == "V").await);
        assert!(
            (once + after..once + 2 * after).contains(&twice),
            "{twice:?}"
        );
    });
}

#[test]
fn a_channel_that_the_vendor_refuses_is_never_confirmed_and_named_behind_two_hubs_too() {
    block_on(async {
        let (first, _simulator) = hub_before(simulator::SimulatorSettings {
            refused: vec!["V.I:NDX".into()],
            ..simulator::SimulatorSettings::default()
        })
        .await;
        let second = hub_below(&[first.address()], TOKEN).await;
        let mut client = second.join("indices").await;
        client
            .send_text(r#"{"action":"subscribe","params":"V.I:NDX,V.I:SPX"}"#)
            .await;
        let has = |event: &serde_json::Value, message: &str| {
            assert!(event["message"] != "subscribed to: V.I:NDX", "{event}");
            event["message"] == message
        };
        client
            .event(|event| has(event, "subscribed to: V.I:SPX"))
            .await;
        // Only the first hub has a time limit for the answer of the vendor.
        let refusal = client.event(|event| has(event, "not authorized: V.I:NDX"));
        assert_eq!(first.while_time_passes(refusal).await["status"], "error");
    });
}

#[test]
fn prices_arrive_over_tls_and_a_stop_sends_a_close_frame() {
    block_on(async {
        let folder = directory("whole-tls");
        let made = rcgen::generate_simple_self_signed(vec!["127.0.0.1".to_owned()]).unwrap();
        let (certificate, key) = (folder.join("hub.crt"), folder.join("hub.key"));
        std::fs::write(&certificate, made.cert.pem()).unwrap();
        std::fs::write(&key, made.signing_key.serialize_pem()).unwrap();
        let settings = HubSettings {
            tls: Some(Tls::load(&certificate, &key).unwrap()),
            ..HubSettings::default()
        };
        let whole = whole(settings, None).await;
        let connector = Connector::new(Some(&certificate)).unwrap();
        let mut socket = whole
            .join(&connector, "wss", &format!("?token={TOKEN}"))
            .await;
        socket.send(subscribe()).await.unwrap();
        let price = |message: &Message| text_with(message, r#""ev":"V""#);
        whole.until(&mut socket, price).await;
        let Whole { hub, .. } = whole;
        let stopping = tokio::spawn(hub.stop());
        let farewell = async {
            while let Some(Ok(message)) = socket.next().await {
                if closed_with(&message, 1012) {
                    return true;
                }
            }
            false
        };
        let said = tokio::time::timeout(TIME_LIMIT, farewell).await.unwrap();
        assert!(said);
        drop(socket);
        let ended = tokio::time::timeout(Duration::from_secs(2), stopping);
        ended.await.unwrap().unwrap();
    });
}

#[test]
fn clients_that_never_read_do_not_delay_the_stop() {
    block_on(async {
        let whole = whole(HubSettings::default(), None).await;
        let connector = Connector::new(None).unwrap();
        let mut silent = Vec::new();
        for _ in 0..50 {
            let query = format!("?token={TOKEN}");
            silent.push(whole.join(&connector, "ws", &query).await);
        }
        let asked = Instant::now();
        whole.hub.stop().await;
        let took = asked.elapsed();
        // The hub waited for the clients. The upper bound leaves time for a slow machine within the
        // limit of two seconds.
        let waited = Duration::from_millis(900)..Duration::from_millis(1600);
        assert!(waited.contains(&took), "{took:?}");
        drop(silent);
    });
}

#[test]
fn a_client_that_never_authenticates_is_closed() {
    block_on(async {
        let whole = whole(HubSettings::default(), None).await;
        let connector = Connector::new(None).unwrap();
        let mut socket = whole.join(&connector, "ws", "").await;
        whole
            .until(&mut socket, |message| closed_with(message, 1008))
            .await;
    });
}

#[test]
fn a_revoked_device_is_disconnected_and_other_devices_stay() {
    block_on(async {
        let file = RegistryFile::new(directory("whole-revoked").join("devices"));
        let kitchen = file.add("kitchen").unwrap();
        let whole = whole(HubSettings::default(), Some(&file)).await;
        let connector = Connector::new(None).unwrap();
        let mut out = whole
            .join(&connector, "ws", &format!("?token={kitchen}"))
            .await;
        let mut stays = whole
            .join(&connector, "ws", &format!("?token={TOKEN}"))
            .await;
        stays.send(subscribe()).await.unwrap();
        file.revoke("kitchen").unwrap();
        whole
            .until(&mut out, |message| closed_with(message, 1008))
            .await;
        let price = |message: &Message| text_with(message, r#""ev":"V""#);
        whole.until(&mut stays, price).await;
    });
}

#[test]
fn a_display_recognises_the_hub_over_plaintext_and_receives_all_requested_data() {
    block_on(async {
        let whole = whole(HubSettings::default(), None).await;
        let (clock, _manual_clock) = Clock::manual(Now::new(Moment::ZERO, START));
        let source = Arc::new(FeedSource::new(
            FeedProvider::Hub,
            Endpoint::parse(&format!("ws://{}", whole.hub.address())).unwrap(),
            Some(Secret::new(TOKEN).unwrap()),
        ));
        let connector = Connector::new(None).unwrap();
        let (sender, mut updates) = tokio::sync::mpsc::channel(64);
        let channels = [Channel::parse("V.I:SPX").unwrap()];
        let (_orders, wanted) = tokio::sync::watch::channel(SubscriptionDemand {
            channels: channels.into_iter().collect(),
            ..SubscriptionDemand::default()
        });
        let session = Session {
            cluster: Cluster::Indices,
            source: source.clone(),
            connector: connector.clone(),
            demand: wanted,
            updates: sender.clone(),
            clock: clock.clone(),
        };
        tokio::spawn(session.run());
        let (_needs, asked) = tokio::sync::watch::channel(RestDemand {
            polls: vec![PollRequest {
                symbol: "O:SPY261218C00650000".parse().unwrap(),
                pace: None,
            }],
            market: Some(Duration::from_secs(60)),
            ..RestDemand::default()
        });
        tokio::spawn(run_poller(connector, source, asked, sender, clock));
        let (mut live, mut seed, mut market) = (false, None, None);
        while !live || seed.is_none() || market.is_none() {
            let next = tokio::time::timeout(TIME_LIMIT, updates.recv()).await;
            match next.expect("nothing more comes").unwrap() {
                Update::Status(_, status) => live |= status.phase == ConnectionPhase::Live,
                Update::Seed(told) => seed = Some(told),
                Update::MarketStatus(told, _) => market = Some(told),
                _ => {}
            }
        }
        let seed = seed.unwrap();
        assert_eq!(seed.ticker, "O:SPY261218C00650000");
        assert!(seed.previous_close.is_some(), "{seed:?}");
        assert!(market.unwrap().groups[1].is_some());
    });
}
