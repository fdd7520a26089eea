//! The mirror of the glass in a browser, over a WebSocket. A viewer gets the parts of the picture
//! that have changed, and nothing while the picture stays the same. Each viewer has the picture that
//! it was sent last, so a slow viewer gets the newest picture next and never a queue.
//!
//! All messages are binary. Their first byte is the kind:
//! - 0: a new glass: height in pages (1 byte), light, validity, and all bytes of the picture, as in
//!   the memory of the panel;
//! - 1: changes: light, validity, and windows (see [`write_changes`]);
//! - 2: the answer to a message of the browser: light, validity, and the bytes of that message.
//!
//! The light is 1 byte: 0 if the panel is off. The validity is the time for which the picture stays
//! true without news, in milliseconds (2 bytes, the lower one first; at most 65,535). The browser
//! sends a number each second, and counts the validity from the time at which it has sent the
//! number of the last answer. Therefore a message that was under way for an hour is never news.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use futures_util::{SinkExt, StreamExt};
use http_body_util::Full;
use hyper::body::{Bytes, Incoming};
use hyper::header::{
    CONNECTION, HeaderValue, SEC_WEBSOCKET_ACCEPT, SEC_WEBSOCKET_KEY, SEC_WEBSOCKET_VERSION,
    UPGRADE,
};
use hyper::upgrade::{OnUpgrade, Upgraded};
use hyper::{Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::handshake::derive_accept_key;
use tokio_tungstenite::tungstenite::protocol::{Role, WebSocketConfig};
use tokio_tungstenite::tungstenite::{Error, Message};

use super::Site;
use super::response::{Answer, refuse};
use crate::display::{MirroredPicture, write_changes};
use crate::net::upgrade::lists;
use crate::render::{Frame, Size};

/// The largest number of open mirrors.
const VIEWERS: usize = 16;
/// A viewer that sends nothing for this time is gone. A browser sends a number each second, and
/// once a minute from a tab in the background.
const SILENCE: Duration = Duration::from_secs(90);
/// The time limit for the write of one message.
const WRITE_LIMIT: Duration = Duration::from_secs(5);
/// The largest message of a browser in bytes.
const MESSAGE: usize = 16;

/// A place among the viewers. Its drop frees the place.
struct Place(Arc<AtomicUsize>);

impl Place {
    fn take(viewers: &Arc<AtomicUsize>) -> Option<Self> {
        let free = |count| (count < VIEWERS).then_some(count + 1);
        let taken = viewers.fetch_update(Ordering::Relaxed, Ordering::Relaxed, free);
        taken.is_ok().then(|| Self(viewers.clone()))
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

/// Answers the request for a mirror, and serves it in a task of its own.
pub(super) fn upgrade(
    mut request: Request<Incoming>,
    site: &Arc<Site>,
    viewers: &Arc<AtomicUsize>,
) -> Answer {
    let headers = request.headers();
    let key = headers.get(SEC_WEBSOCKET_KEY).cloned();
    let asks = lists(headers, &UPGRADE, "websocket")
        && lists(headers, &CONNECTION, "upgrade")
        && headers
            .get(SEC_WEBSOCKET_VERSION)
            .is_some_and(|version| version == "13");
    let (true, Some(key)) = (asks, key) else {
        return refuse(StatusCode::UPGRADE_REQUIRED, "this address is a WebSocket");
    };
    let Some(place) = Place::take(viewers) else {
        return refuse(StatusCode::SERVICE_UNAVAILABLE, "too many viewers");
    };
    let upgraded = hyper::upgrade::on(&mut request);
    tokio::spawn(serve(upgraded, site.clone(), place));
    let mut answer = Response::new(Full::default());
    *answer.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
    let headers = answer.headers_mut();
    headers.insert(CONNECTION, HeaderValue::from_static("Upgrade"));
    headers.insert(UPGRADE, HeaderValue::from_static("websocket"));
    if let Ok(accept) = HeaderValue::try_from(derive_accept_key(key.as_bytes())) {
        headers.insert(SEC_WEBSOCKET_ACCEPT, accept);
    }
    answer
}

async fn serve(upgraded: OnUpgrade, site: Arc<Site>, _place: Place) {
    let Ok(stream) = upgraded.await else { return };
    let config = WebSocketConfig::default()
        .read_buffer_size(256)
        .write_buffer_size(0)
        .max_message_size(Some(MESSAGE))
        .max_frame_size(Some(MESSAGE));
    let stream = TokioIo::new(stream);
    let socket = WebSocketStream::from_raw_socket(stream, Role::Server, Some(config)).await;
    let viewer = Viewer {
        socket,
        site,
        shown: Box::new(Frame::new(Size::Tall)),
        next: Box::new(Frame::new(Size::Tall)),
        sent: None,
    };
    // The end of a viewer has no other cause than the viewer.
    viewer.run().await.ok();
}

struct Viewer {
    socket: WebSocketStream<TokioIo<Upgraded>>,
    site: Arc<Site>,
    /// The picture that the browser has.
    shown: Box<Frame>,
    next: Box<Frame>,
    /// The number of this picture; `None` before the first one.
    sent: Option<u64>,
}

impl Viewer {
    /// Serves the viewer until it leaves or is silent.
    async fn run(mut self) -> Result<(), Error> {
        self.update().await?;
        let clock = self.site.clock.clone();
        let mut until = clock.now().monotonic + SILENCE;
        loop {
            let number = self.sent.unwrap_or_default();
            let mirror = self.site.mirror.clone();
            tokio::select! {
                () = mirror.changed(number) => drop(self.update().await?),
                message = self.socket.next() => match message {
                    Some(Ok(Message::Binary(number))) => {
                        until = clock.now().monotonic + SILENCE;
                        // The answer is about the picture that the browser has then.
                        let picture = self.update().await?;
                        self.answer(&number, picture).await?;
                    }
                    Some(Ok(Message::Ping(_) | Message::Pong(_) | Message::Text(_))) => {}
                    Some(Ok(Message::Close(_) | Message::Frame(_))) | None => return Ok(()),
                    Some(Err(error)) => return Err(error),
                },
                () = clock.sleep_until(until) => return Ok(()),
            }
        }
    }

    /// Sends what has changed since the last message. Returns the picture that the browser has then.
    async fn update(&mut self) -> Result<MirroredPicture, Error> {
        let picture = self.site.mirror.look(&mut self.next);
        if self.sent == Some(picture.number) {
            return Ok(picture);
        }
        let mut message = Vec::with_capacity(128);
        if self.sent.is_none() || self.shown.size() != self.next.size() {
            message.extend([0, self.next.size().pages() as u8]);
            self.write_state(picture, &mut message);
            message.extend(self.next.as_bytes());
        } else {
            message.push(1);
            self.write_state(picture, &mut message);
            write_changes(&self.shown, &self.next, &mut message);
        }
        self.send(message).await?;
        self.sent = Some(picture.number);
        std::mem::swap(&mut self.shown, &mut self.next);
        Ok(picture)
    }

    /// Answers a number of the browser.
    async fn answer(&mut self, number: &[u8], picture: MirroredPicture) -> Result<(), Error> {
        let mut message = vec![2];
        self.write_state(picture, &mut message);
        message.extend(number);
        self.send(message).await
    }

    /// Adds the light and the validity of a picture.
    fn write_state(&self, picture: MirroredPicture, message: &mut Vec<u8>) {
        let left = picture.until.since(self.site.clock.now().monotonic);
        let left = u16::try_from(left.as_millis()).unwrap_or(u16::MAX);
        message.push(u8::from(picture.light.on));
        message.extend(left.to_le_bytes());
    }

    async fn send(&mut self, message: Vec<u8>) -> Result<(), Error> {
        let due = self.site.clock.now().monotonic + WRITE_LIMIT;
        tokio::select! {
            sent = self.socket.send(Message::Binary(Bytes::from(message))) => sent,
            () = self.site.clock.sleep_until(due) => Err(Error::ConnectionClosed),
        }
    }
}
