//! One client connection of the simulator, with the WebSocket protocol of the vendor. Owns the
//! socket and the subscriptions of the client; `Market` owns the prices.

use std::sync::Arc;
use std::time::Duration;

use futures_util::{SinkExt, StreamExt};
use hyper::upgrade::Upgraded;
use hyper_util::rt::TokioIo;
use serde::Deserialize;
use serde_json::json;
use tokio::sync::broadcast;
use tokio::sync::broadcast::error::RecvError;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::protocol::CloseFrame;
use tokio_tungstenite::tungstenite::protocol::frame::coding::CloseCode;
use tokio_tungstenite::tungstenite::{Error, Message};

use super::InjectedFault;
use super::market::{Market, MarketNews};
use crate::market::{Channel, Cluster};

const AUTH_LIMIT: Duration = Duration::from_secs(10);

/// Invalid messages that the vendor never sends. `InjectedFault::Garbage` replaces prices with
/// these messages.
const GARBAGE: [&str; 8] = [
    r#"[{"ev":"V","val":NaN,"T":"I:SPX","t":1678220098130}]"#,
    r#"[{"ev":"V","val":1e999,"T":"I:SPX","t":1678220098130}]"#,
    r#"[{"ev":"V","val":"1","T":"I:SPX","t":1678220098130},{"ev":"V","val":0,"T":"I:SPX"}]"#,
    r#"[{"ev":"V","val":39"#,
    r#"{"ev":"V","val":1.23,"T":"I:SPX","t":1678220098130}"#,
    "[[[[[[[[[[[[[[[[[[[[",
    "<html><body>502 Bad Gateway</body></html>",
    r#"[{"ev":"ZZ"},null,17,"text",[]] trailing"#,
];

#[derive(Deserialize)]
struct ClientMessage {
    action: String,
    #[serde(default)]
    params: String,
}

pub(super) struct ClientConnection {
    cluster: Cluster,
    socket: WebSocketStream<TokioIo<Upgraded>>,
    market: Arc<Market>,
    /// The sequence number of this connection among the authenticated connections of the cluster;
    /// `None` before the authentication.
    number: Option<u64>,
    channels: Vec<Channel>,
    garbage: usize,
    fault: InjectedFault,
}

impl Drop for ClientConnection {
    fn drop(&mut self) {
        self.market.release(self.channels.len());
    }
}

fn status(status: &str, message: &str) -> String {
    json!({ "ev": "status", "status": status, "message": message }).to_string()
}

impl ClientConnection {
    /// Serves a client until the connection ends.
    pub(super) async fn run(
        cluster: Cluster,
        socket: WebSocketStream<TokioIo<Upgraded>>,
        market: Arc<Market>,
    ) {
        let fault = *market.fault.borrow();
        let mut connection = Self {
            cluster,
            socket,
            number: None,
            channels: Vec::new(),
            garbage: 0,
            fault,
            market,
        };
        match connection.talk().await {
            Ok(()) | Err(Error::ConnectionClosed) => {}
            Err(error) => log::debug!("simulator: the connection of a client failed: {error}"),
        }
    }

    /// Serves the client until the connection ends. The error is `ConnectionClosed` if the
    /// simulator drops the connection.
    async fn talk(&mut self) -> Result<(), Error> {
        let mut news = self.market.news.subscribe();
        let mut newest = self.market.newest[&self.cluster].subscribe();
        let clock = self.market.clock.clone();
        let auth_due = clock.now().monotonic + AUTH_LIMIT;
        if self.fault == InjectedFault::Abort {
            return Err(Error::ConnectionClosed);
        }
        let greeting = [
            status("connected", "Connected Successfully"),
            status("simulated", "These prices are simulated."),
        ];
        self.send(&greeting).await?;
        loop {
            tokio::select! {
                message = self.socket.next() => match message {
                    Some(Ok(Message::Text(text))) => self.receive(&text).await?,
                    Some(Ok(_)) => {}
                    Some(Err(error)) => return Err(error),
                    None => return Ok(()),
                },
                first = news.recv() => match first {
                    Ok(first) => self.forward(first, &mut news).await?,
                    Err(RecvError::Lagged(_)) => {}
                    Err(RecvError::Closed) => return Ok(()),
                },
                Ok(()) = newest.changed() => {
                    if self.number.is_some_and(|number| number < *newest.borrow()) {
                        let reason = "Maximum number of websocket connections exceeded. ";
                        return self.close("max_connections", reason).await;
                    }
                }
                () = clock.sleep_until(auth_due), if self.number.is_none() => {
                    return self.close("auth_timeout", "No authentication request received.").await;
                }
            }
        }
    }

    /// Sends a status, and closes the connection with code 1008.
    async fn close(&mut self, word: &str, message: &str) -> Result<(), Error> {
        self.send(&[status(word, message)]).await?;
        let frame = CloseFrame {
            code: CloseCode::Policy,
            reason: "".into(),
        };
        self.socket.close(Some(frame)).await
    }

    /// Sends all events in one frame. Sends nothing if there is no event.
    async fn send(&mut self, events: &[String]) -> Result<(), Error> {
        if events.is_empty() {
            return Ok(());
        }
        let frame = format!("[{}]", events.join(","));
        self.socket.send(Message::text(frame)).await
    }

    /// Forwards events and faults of the market to the client. All events that are ready share one
    /// frame.
    async fn forward(
        &mut self,
        first: MarketNews,
        news: &mut broadcast::Receiver<MarketNews>,
    ) -> Result<(), Error> {
        let mut ready = Vec::new();
        let mut next = Some(first);
        while let Some(item) = next {
            match item {
                MarketNews::Tick(tick) if self.channels.contains(&tick.channel) => {
                    ready.push(tick.json.clone());
                }
                MarketNews::Tick(_) => {}
                MarketNews::Fault(fault) => {
                    self.relay(&std::mem::take(&mut ready)).await?;
                    self.fault = fault;
                    if fault == InjectedFault::Abort {
                        return Err(Error::ConnectionClosed);
                    }
                }
            }
            // An error ends this loop only. The next `recv` in `talk` reports a closed channel.
            next = news.try_recv().ok();
        }
        self.relay(&ready).await
    }

    async fn relay(&mut self, events: &[String]) -> Result<(), Error> {
        match self.fault {
            InjectedFault::Silence => Ok(()),
            InjectedFault::Garbage if !events.is_empty() => {
                let junk = GARBAGE[self.garbage % GARBAGE.len()];
                self.garbage += 1;
                if self.garbage.is_multiple_of(3) {
                    let binary = Message::binary(vec![0xff, 0xfe, 0x00]);
                    self.socket.send(binary).await?;
                }
                self.socket.send(Message::text(junk)).await
            }
            _ => self.send(events).await,
        }
    }

    async fn receive(&mut self, text: &str) -> Result<(), Error> {
        let Ok(request) = serde_json::from_str::<ClientMessage>(text) else {
            return self.send(&[status("error", "invalid request")]).await;
        };
        match (request.action.as_str(), self.number) {
            ("auth", None) => self.authenticate(&request.params).await,
            ("subscribe", Some(_)) => self.subscribe(&request.params).await,
            ("unsubscribe", Some(_)) => self.unsubscribe(&request.params).await,
            _ => self.send(&[status("error", "not authorized")]).await,
        }
    }

    async fn authenticate(&mut self, key: &str) -> Result<(), Error> {
        let settings = &self.market.settings;
        let excluded = settings.excluded.contains(&self.cluster);
        if key != settings.key || excluded || self.fault == InjectedFault::Refusal {
            let words = if excluded {
                "Your plan doesn't include websocket access."
            } else {
                "authentication failed"
            };
            self.send(&[status("auth_failed", words)]).await?;
            // The simulator drops the connection without a close frame, as the vendor does.
            return Err(Error::ConnectionClosed);
        }
        let newest = &self.market.newest[&self.cluster];
        newest.send_modify(|newest| *newest += 1);
        self.number = Some(*newest.borrow());
        self.send(&[status("auth_success", "authenticated")]).await
    }

    async fn subscribe(&mut self, params: &str) -> Result<(), Error> {
        let mut answers = Vec::new();
        for name in params.split(',').map(str::trim) {
            // The vendor sends no response to an unknown channel name.
            let Some(channel) = Channel::parse(name) else {
                continue;
            };
            let refused = &self.market.settings.refused;
            if self.market.denies(&channel.ticker) || refused.iter().any(|refused| refused == name)
            {
                answers.push(status("error", "not authorized"));
            } else if !self.channels.contains(&channel) {
                // The vendor does not acknowledge an existing subscription again.
                self.market.hold(&channel.ticker);
                self.channels.push(channel);
                answers.push(status("success", &format!("subscribed to: {name}")));
            }
        }
        self.send(&answers).await
    }

    async fn unsubscribe(&mut self, params: &str) -> Result<(), Error> {
        let mut answers = Vec::new();
        for name in params.split(',').map(str::trim) {
            let mut channels = self.channels.iter();
            if let Some(at) = channels.position(|channel| channel.to_string() == name) {
                self.channels.swap_remove(at);
                self.market.release(1);
                answers.push(status("success", &format!("unsubscribed to: {name}")));
            }
        }
        self.send(&answers).await
    }
}
