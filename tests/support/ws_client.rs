//! A WebSocket client from a library that is not part of this project.
#![allow(dead_code, unreachable_pub, clippy::unwrap_used)]

#[path = "basics.rs"]
mod basics;

use futures_util::{SinkExt, StreamExt};
use serde_json::Value;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::protocol::Role;

use basics::TIME_LIMIT;

pub async fn within_time<T>(what: impl Future<Output = T>) -> T {
    tokio::time::timeout(TIME_LIMIT, what)
        .await
        .expect("an answer")
}

/// A WebSocket client of a hub.
pub struct Client<S = TcpStream>(pub WebSocketStream<S>);

impl<S: AsyncRead + AsyncWrite + Unpin> Client<S> {
    /// A client on a socket after the WebSocket upgrade.
    pub async fn new(socket: S) -> Self {
        Self(WebSocketStream::from_raw_socket(socket, Role::Client, None).await)
    }

    pub async fn send_text(&mut self, text: &str) {
        self.0.send(Message::text(text)).await.unwrap();
    }

    pub async fn message(&mut self) -> Message {
        within_time(self.0.next())
            .await
            .expect("no end")
            .expect("no failure")
    }

    /// The events of the next text frame.
    pub async fn frame(&mut self) -> Vec<Value> {
        loop {
            match self.message().await {
                Message::Text(text) => return serde_json::from_str(&text).expect("an array"),
                Message::Ping(_) | Message::Pong(_) => {}
                other => panic!("{other:?} is no text"),
            }
        }
    }

    /// The next event that matches the condition.
    pub async fn event(&mut self, wanted: impl Fn(&Value) -> bool) -> Value {
        let reading = async {
            loop {
                if let Some(event) = self.frame().await.into_iter().find(&wanted) {
                    return event;
                }
            }
        };
        within_time(reading).await
    }

    pub async fn statuses(&mut self) -> Vec<String> {
        let frame = self.frame().await;
        let text = |event: &Value, key: &str| event[key].as_str().unwrap_or("none").to_owned();
        frame
            .iter()
            .map(|event| format!("{} {}", text(event, "status"), text(event, "message")))
            .collect()
    }

    /// The values of the next frame, for example `V.I:SPX 7`.
    pub async fn values(&mut self) -> Vec<String> {
        let frame = self.frame().await;
        frame
            .iter()
            .map(|event| format!("{} {}", event["c"].as_str().unwrap_or("?"), event["n"]))
            .collect()
    }

    pub async fn request_channels(&mut self, names: &str) {
        self.send_text(&format!(r#"{{"action":"subscribe","params":"{names}"}}"#))
            .await;
    }

    /// Subscribes, and checks that the next frames confirm exactly these channels, if necessary
    /// after the answer of the vendor.
    pub async fn subscribe(&mut self, names: &str) {
        self.request_channels(names).await;
        let mut missing: Vec<&str> = names.split(',').collect();
        while !missing.is_empty() {
            for status in self.statuses().await {
                if let Some(name) = status.strip_prefix("success subscribed to: ") {
                    let at = missing.iter().position(|missing| *missing == name);
                    missing.remove(at.expect(name));
                } else {
                    let name = status.strip_prefix("pending requested from the vendor: ");
                    assert!(missing.contains(&name.expect(&status)), "{status}");
                }
            }
        }
    }

    /// Subscribes while other events arrive, and waits until the first channel is confirmed.
    pub async fn subscribe_amid_events(&mut self, names: &str) {
        self.request_channels(names).await;
        let first = names.split(',').next().unwrap();
        self.event(|event| event["message"] == format!("subscribed to: {first}"))
            .await;
    }

    /// Checks that the pong is the next frame and that no other frame comes before the pong.
    pub async fn assert_only_pong(&mut self) {
        self.send_text(r#"{"action":"ping"}"#).await;
        assert_eq!(self.statuses().await, ["pong pong"]);
    }

    /// The close code of the connection; 0 if the close frame has no code.
    pub async fn close_code(&mut self) -> u16 {
        loop {
            match self.message().await {
                Message::Close(Some(frame)) => return frame.code.into(),
                Message::Close(None) => return 0,
                _ => {}
            }
        }
    }
}
