//! The WebSocket upgrade of a new connection (RFC 6455, section 4.1). This module never reads a
//! frame.

use futures_util::future::{Either, select};
use http_body_util::Empty;
use hyper::body::Bytes;
use hyper::client::conn::http1;
use hyper::header::{
    CONNECTION, HOST, HeaderMap, HeaderName, RETRY_AFTER, SEC_WEBSOCKET_ACCEPT, SEC_WEBSOCKET_KEY,
    SEC_WEBSOCKET_VERSION, UPGRADE,
};
use hyper::{Request, StatusCode};
use hyper_util::rt::TokioIo;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::handshake::client::generate_key;
use tokio_tungstenite::tungstenite::handshake::derive_accept_key;
use tokio_tungstenite::tungstenite::protocol::{Role, WebSocketConfig};

use super::connector::{Connector, NetStream};
use super::endpoint::Endpoint;
use super::failure::Failure;
use super::failure_mapping::refusal;
use super::http::RestError;
use super::hub_path::{PATH_HEADER, identities};

/// The largest accepted message, in bytes. A larger message is rejected before parsing.
pub const MESSAGE_LIMIT: usize = 1 << 20;
/// The header with the version of the program in each upgrade response of a deskticker-hub.
pub const HUB_HEADER: HeaderName = HeaderName::from_static("deskticker-hub");

/// An open WebSocket.
pub type WebSocket = WebSocketStream<NetStream>;

/// A WebSocket after its upgrade.
#[derive(Debug)]
pub struct Upgraded {
    /// The WebSocket.
    pub socket: WebSocket,
    /// True if the server is a deskticker-hub, which reports the loss of its upstream connection.
    pub is_hub: bool,
}

impl Connector {
    /// Opens a WebSocket at `path` below the endpoint. `path` includes the query and is already
    /// percent-encoded.
    ///
    /// # Errors
    ///
    /// The reason why the connection or the upgrade failed.
    pub async fn websocket(&self, endpoint: &Endpoint, path: &str) -> Result<Upgraded, RestError> {
        let key = generate_key();
        let request = Request::get(format!("{}{path}", endpoint.base))
            .header(HOST, endpoint.authority())
            .header(CONNECTION, "Upgrade")
            .header(UPGRADE, "websocket")
            .header(SEC_WEBSOCKET_VERSION, "13")
            .header(SEC_WEBSOCKET_KEY, &key);
        let request = match self.hub_path() {
            Some(hub_path) => request.header(PATH_HEADER, hub_path.downward().join(",")),
            None => request,
        };
        let request = request.body(Empty::<Bytes>::new());
        let request = request.map_err(|_| Failure::Protocol)?;
        let failed = |error: hyper::Error| {
            log::debug!("the WebSocket upgrade at {endpoint} failed: {error}");
            if error.is_parse() {
                Failure::Protocol
            } else {
                Failure::Lost
            }
        };
        let stream = TokioIo::new(self.stream(endpoint).await?);
        let (mut sender, connection) = http1::handshake(stream).await.map_err(failed)?;
        let exchange = Box::pin(sender.send_request(request));
        let connection = Box::pin(connection.without_shutdown());
        let (response, connection) = match select(exchange, connection).await {
            Either::Left((response, connection)) => (response, Either::Left(connection)),
            Either::Right((ended, exchange)) => (exchange.await, Either::Right(ended)),
        };
        let response = match response.map_err(failed) {
            Ok(response) => response,
            Err(reason) => return Err(self.without_tls(endpoint, reason).await.into()),
        };
        self.dated(response.headers());
        let status = response.status();
        if status != StatusCode::SWITCHING_PROTOCOLS {
            let mut reason = refusal(status, response.headers(), endpoint);
            if status == StatusCode::BAD_REQUEST {
                reason = self.without_tls(endpoint, reason).await;
            }
            let retry_after = response.headers().get(RETRY_AFTER);
            let retry_after = retry_after.and_then(|value| value.to_str().ok());
            return Err(RestError {
                status: Some(status),
                retry_after: retry_after.map(str::to_owned),
                ..RestError::from(reason)
            });
        }
        if !accepts(response.headers(), &key) {
            return Err(Failure::Protocol.into());
        }
        let is_hub = response.headers().contains_key(HUB_HEADER);
        if let Some(hub_path) = self.hub_path() {
            if !is_hub {
                return Err(Failure::NotDeskticker.into());
            }
            hub_path.set_above(identities(response.headers()));
            if hub_path.is_loop() {
                return Err(Failure::Loop.into());
            }
        }
        let parts = match connection {
            Either::Left(connection) => connection.await,
            Either::Right(ended) => ended,
        };
        let parts = parts.map_err(failed)?;
        let config = WebSocketConfig::default()
            // A frame with prices has a few hundred bytes, so 8 KiB is enough; the default buffers
            // have 128 KiB each.
            .read_buffer_size(8 << 10)
            .write_buffer_size(0)
            // Each message is flushed before the next message, so this value only limits the
            // largest message.
            .max_write_buffer_size(2 * MESSAGE_LIMIT)
            .max_message_size(Some(MESSAGE_LIMIT))
            .max_frame_size(Some(MESSAGE_LIMIT));
        let (stream, read) = (parts.io.into_inner(), parts.read_buf.to_vec());
        let socket =
            WebSocketStream::from_partially_read(stream, read, Role::Client, Some(config)).await;
        Ok(Upgraded { socket, is_hub })
    }
}

/// Returns true if the response accepts the upgrade for this key (RFC 6455, section 4.1).
fn accepts(headers: &HeaderMap, key: &str) -> bool {
    // Apache sends `keep-alive, Upgrade`.
    lists(headers, &CONNECTION, "upgrade")
        && lists(headers, &UPGRADE, "websocket")
        && headers
            .get(SEC_WEBSOCKET_ACCEPT)
            .is_some_and(|accept| accept == &derive_accept_key(key.as_bytes()))
}

/// Returns true if a comma-separated header contains this word, in upper or lower case.
pub(crate) fn lists(headers: &HeaderMap, name: &HeaderName, word: &str) -> bool {
    headers
        .get_all(name)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .any(|part| part.trim().eq_ignore_ascii_case(word))
}

#[cfg(test)]
mod tests {
    use super::*;
    use hyper::header::HeaderValue;

    #[test]
    fn a_connection_header_may_be_a_list_that_contains_upgrade() {
        let key = "dGhlIHNhbXBsZSBub25jZQ==";
        let read = |connection: &'static str, accept: &'static str| {
            let mut headers = HeaderMap::new();
            headers.append(CONNECTION, HeaderValue::from_static(connection));
            headers.append(UPGRADE, HeaderValue::from_static("WebSocket"));
            headers.append(SEC_WEBSOCKET_ACCEPT, HeaderValue::from_static(accept));
            accepts(&headers, key)
        };
        // The example of RFC 6455, section 1.3.
        let accept = "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=";
        for good in ["Upgrade", "upgrade", "keep-alive, Upgrade", "Upgrade,close"] {
            assert!(read(good, accept), "{good}");
        }
        for bad in ["keep-alive", "", "Upgraded"] {
            assert!(!read(bad, accept), "{bad}");
        }
        assert!(!read("Upgrade", "AAAA"));
    }
}
