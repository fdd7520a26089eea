//! Our WebSocket client against Autobahn's cases: connects as the display and the hub do, and
//! echoes what it gets. Speaks the protocol of Autobahn's fuzzing server, whose verdict counts.

use deskticker::net::connector::Connector;
use deskticker::net::endpoint::Endpoint;
use deskticker::net::upgrade::WebSocket;
use futures_util::{SinkExt, StreamExt};
use tokio_tungstenite::tungstenite::Message;

const AGENT: &str = "deskticker";

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), String> {
    let address = std::env::args().nth(1).ok_or("expected HOST:PORT")?;
    let endpoint = Endpoint::parse(&format!("ws://{address}"))?;
    let connector = Connector::new(None)?;
    let open = async |path: String| -> Result<WebSocket, String> {
        let socket = connector.websocket(&endpoint, &path).await;
        let opened = socket.map_err(|error| format!("{path}: {}", error.reason));
        Ok(opened?.socket)
    };
    let mut counter = open("/getCaseCount".into()).await?;
    let count = match counter.next().await {
        Some(Ok(Message::Text(text))) => text.parse::<u32>().map_err(|error| error.to_string())?,
        other => return Err(format!("no count of cases but {other:?}")),
    };
    for case in 1..=count {
        echo(open(format!("/runCase?case={case}&agent={AGENT}")).await?).await;
    }
    // Its report is written when this connection is over.
    let mut report = open(format!("/updateReports?agent={AGENT}")).await?;
    while let Some(Ok(_)) = report.next().await {}
    Ok(())
}

/// Until the other side has had enough. How it ends is what the server judges.
async fn echo(mut socket: WebSocket) {
    while let Some(Ok(message)) = socket.next().await {
        if (message.is_text() || message.is_binary()) && socket.send(message).await.is_err() {
            return;
        }
    }
}
