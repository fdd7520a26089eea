//! The processes of a tree of hubs: a vendor that publishes the events of the bench, and whole hubs, one
//! below the other.

use std::sync::Arc;

use deskticker::hub::auth::authenticator::Authenticator;
use deskticker::hub::server::limits::Limits;
use deskticker::hub::{Hub, HubSettings, HubSetup, UpstreamServer};
use deskticker::market::{Calendar, Cluster};
use deskticker::net::connector::Connector;
use deskticker::net::endpoint::Endpoint;
use deskticker::net::source::{FeedProvider, FeedSource};
use deskticker::secret::Secret;
use deskticker::systemd::Supervisor;
use deskticker::time::Clock;
use futures_util::{SinkExt, StreamExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{broadcast, watch};
use tokio_tungstenite::tungstenite::{Message, Utf8Bytes};

use super::servers::{Plan, plans, runtime};

/// The token of each hub, and the key of the vendor.
pub(crate) const TOKEN: &str = "the-token-of-the-bench";

/// Runs the vendor: it confirms every subscription, and sends all events to all connections.
pub(crate) fn vendor() {
    runtime().block_on(async {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        println!("port {}", listener.local_addr().unwrap().port());
        let (events, _) = broadcast::channel(4096);
        let published = events.clone();
        tokio::spawn(async move {
            loop {
                let (socket, _) = listener.accept().await.unwrap();
                socket.set_nodelay(true).unwrap();
                tokio::spawn(connection(socket, published.subscribe()));
            }
        });
        let mut plans = plans();
        while let Some(plan) = plans.recv().await {
            publish(plan, &events).await;
            println!("done");
        }
    });
}

async fn publish(plan: Plan, events: &broadcast::Sender<Utf8Bytes>) {
    let start = std::time::Instant::now();
    for number in 0..plan.total {
        tokio::time::sleep_until(plan.due(start, number).into()).await;
        let text = format!("[{}]", plan.event(number).1);
        events.send(text.into()).unwrap();
    }
}

/// One connection of a hub.
async fn connection(socket: TcpStream, mut events: broadcast::Receiver<Utf8Bytes>) {
    let Ok(mut socket) = tokio_tungstenite::accept_async(socket).await else {
        return;
    };
    let status = |status: &str, message: &str| {
        Message::text(format!(
            r#"[{{"ev":"status","status":"{status}","message":"{message}"}}]"#
        ))
    };
    socket
        .send(status("connected", "Connected Successfully"))
        .await
        .unwrap();
    loop {
        let answer = tokio::select! {
            event = events.recv() => Message::Text(event.unwrap()),
            message = socket.next() => match message {
                Some(Ok(Message::Text(text))) => {
                    let request: serde_json::Value = serde_json::from_str(&text).unwrap();
                    match request["action"].as_str() {
                        Some("auth") => status("auth_success", "authenticated"),
                        _ => {
                            let name = request["params"].as_str().unwrap();
                            status("success", &format!("subscribed to: {name}"))
                        }
                    }
                }
                Some(Ok(_)) => continue,
                _ => return,
            },
        };
        if socket.send(answer).await.is_err() {
            return;
        }
    }
}

/// Runs a whole hub. The server above it is at this port; `is_hub` is true if it is a hub.
pub(crate) fn hub(is_hub: bool, port: &str) {
    let provider = match is_hub {
        true => FeedProvider::Hub,
        false => FeedProvider::Vendor,
    };
    let token = Secret::new(TOKEN).unwrap();
    let endpoint = Endpoint::parse(&format!("ws://127.0.0.1:{port}")).unwrap();
    let source = FeedSource::new(provider, endpoint, Some(token.clone()));
    runtime().block_on(async {
        let upstream = UpstreamServer {
            rest: source.clone(),
            source,
        };
        // The load connects as fast as it can.
        let limits = Limits {
            handshakes: 100_000,
            ..Limits::default()
        };
        let settings = HubSettings {
            limits,
            ..HubSettings::default()
        };
        let setup = HubSetup {
            upstream: watch::channel(upstream).1,
            connector: Connector::new(None).unwrap(),
            clusters: vec![Cluster::Indices],
            simulated: false,
            authenticator: Arc::new(Authenticator::new(None, Some(&token)).unwrap()),
            settings: watch::channel(settings).1,
            calendar: Calendar::us(),
            clock: Clock::system(),
            supervisor: Supervisor::default(),
        };
        let hub = Hub::start(setup, "127.0.0.1:0".parse().unwrap()).await;
        // The hub stops when it is dropped.
        let hub = hub.unwrap();
        println!("port {}", hub.address().port());
        std::future::pending::<()>().await;
    });
}
