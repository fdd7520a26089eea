//! The closing handshake of a WebSocket. This module never opens a connection.

use std::time::Duration;

use futures_util::SinkExt;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio_tungstenite::tungstenite;
use tokio_tungstenite::tungstenite::protocol::CloseFrame;
use tokio_tungstenite::tungstenite::protocol::frame::coding::CloseCode;

use super::Boxed;
use super::upgrade::WebSocket;

/// The time limit for the closing handshake. The limit is short, because the program must end
/// within one second.
const FAREWELL_LIMIT: Duration = Duration::from_millis(300);

/// Closes the connection with the closing handshake of RFC 6455, so that the server frees the
/// connection immediately.
#[inline(never)]
pub(crate) fn close(socket: WebSocket, code: Option<CloseCode>) -> Boxed<'static, ()> {
    Box::pin(close_gracefully(socket, code))
}

async fn close_gracefully(mut socket: WebSocket, code: Option<CloseCode>) {
    let closing = async {
        match code {
            Some(code) => {
                let reason = "".into();
                socket.close(Some(CloseFrame { code, reason })).await?;
            }
            // The response frame is queued, and only a further use of the socket sends the frame.
            None => socket.flush().await?,
        }
        // Read to the end and ignore the bytes. A socket that is dropped with unread bytes sends a
        // TCP reset, and the reset can overtake the close frame.
        let stream = socket.get_mut();
        stream.shutdown().await?;
        let mut rest = [0; 1024];
        while stream.read(&mut rest).await? > 0 {}
        Ok::<(), tungstenite::Error>(())
    };
    // The connection ends here in any case, so an error is only logged.
    match tokio::time::timeout(FAREWELL_LIMIT, closing).await {
        Ok(Ok(())) => {}
        Ok(Err(error)) => log::debug!("the closing handshake failed: {error}"),
        Err(_) => log::debug!("the server did not answer the close frame in time"),
    }
}
