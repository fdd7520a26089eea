//! The event sink of a session: the trait for the receiver of frames, and the processing of status
//! messages about the connection. This module never opens a connection and never sends a message to
//! the server.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::time::Duration;

use tokio::sync::mpsc;
use tokio_tungstenite::tungstenite::Utf8Bytes;

use super::connection::DEAD_AFTER;
use super::connection_status::ConnectionEvent;
use super::{Connection, ConnectionStatus, Update};
use crate::market::{Channel, ChannelKind, Cluster, Ticker};
use crate::massive::printable;
use crate::massive::websocket::{self, ChannelRefusal, Event, ParseError, StatusKind};
use crate::net::failure::Failure;
use crate::net::source::FeedProvider;
use crate::time::{Moment, Utc};

/// The maximum number of different server messages that are logged as warnings on one connection.
/// Further messages are logged at debug level. The limit is necessary because the proxy forwards
/// each status message to all of its clients.
const MAX_LOGGED_MESSAGES: usize = 8;

/// The vendor's error message for a channel that the plan does not include.
const NOT_AUTHORIZED: &str = "not authorized";

/// The error value for a consumer that is gone or for a session that must stop.
#[derive(Debug)]
pub struct ConsumerGone;

/// The receiver of the events of a session. A slow receiver delays the reads from the socket, so
/// memory use stays limited.
pub trait EventSink: Send + 'static {
    /// True if a hub counts as live only after its welcome; see [`Connection::set_awaits_welcome`].
    const AWAITS_WELCOME: bool = false;

    /// Receives a new state of the connection.
    ///
    /// # Errors
    ///
    /// [`ConsumerGone`] if the consumer is gone.
    fn status(
        &mut self,
        cluster: Cluster,
        status: ConnectionStatus,
    ) -> impl Future<Output = Result<(), ConsumerGone>> + Send;

    /// Receives a text frame. The implementation passes status messages, confirmations and parse
    /// errors to `server`.
    ///
    /// # Errors
    ///
    /// [`ConsumerGone`] if the consumer is gone.
    fn frame(
        &mut self,
        frame: &Utf8Bytes,
        server: &mut ServerState,
        now: Moment,
    ) -> impl Future<Output = Result<(), ConsumerGone>> + Send;

    /// Receives a channel that the server does not send, and the reason. A channel above a limit of a
    /// hub is received again after each further request.
    ///
    /// # Errors
    ///
    /// [`ConsumerGone`] if the consumer is gone.
    fn unanswered(
        &mut self,
        channel: Channel,
        refusal: ChannelRefusal,
    ) -> impl Future<Output = Result<(), ConsumerGone>> + Send;

    /// Receives a channel whose subscription the session has cancelled. The default implementation
    /// does nothing, because a display needs only the values.
    ///
    /// # Errors
    ///
    /// [`ConsumerGone`] if the consumer is gone.
    fn unsubscribed(
        &mut self,
        _channel: Channel,
    ) -> impl Future<Output = Result<(), ConsumerGone>> + Send {
        std::future::ready(Ok(()))
    }

    /// Receives the `Date` header of a server response, and the receive time of the response. The
    /// default implementation does nothing, because a hub does not use the server time.
    ///
    /// # Errors
    ///
    /// [`ConsumerGone`] if the consumer is gone.
    fn server_time(
        &mut self,
        _at: Moment,
        _utc: Utc,
    ) -> impl Future<Output = Result<(), ConsumerGone>> + Send {
        std::future::ready(Ok(()))
    }
}

/// A connection, and the state that follows from the messages of the server.
#[derive(Debug)]
pub struct ServerState {
    cluster: Cluster,
    provider: FeedProvider,
    /// The state machine of the connection.
    pub link: Connection,
    /// True if the server is a deskticker-hub.
    pub is_hub: bool,
    /// True if a status message ended the connection. The session must then drop the socket.
    pub ended: bool,
    /// `Some(true)` if the greeting marks the prices as simulated; `None` before the first frame.
    pub simulated: Option<bool>,
    /// True if the server sent `not authorized` on this connection. The status message names no
    /// channel.
    pub not_authorized: bool,
    /// True if the hub reported the loss of its own upstream connection.
    pub cut_off: bool,
    /// The number of parse errors since the start, by kind.
    parse_error: [u64; ParseError::KINDS],
    /// The hashes of the server messages that were logged on this connection.
    logged: heapless::Vec<u64, MAX_LOGGED_MESSAGES>,
}

impl ServerState {
    /// Creates the state of a connection before its first message.
    pub const fn new(cluster: Cluster, provider: FeedProvider, link: Connection) -> Self {
        Self {
            cluster,
            provider,
            link,
            is_hub: false,
            ended: false,
            simulated: None,
            not_authorized: false,
            cut_off: false,
            parse_error: [0; ParseError::KINDS],
            logged: heapless::Vec::new(),
        }
    }

    /// Returns the difference between the arrival of a pong and the time up to which this pong
    /// proves that no data was lost. The difference is zero for the vendor. A hub still answers
    /// while its own upstream connection is dead and the hub has not detected the loss yet.
    /// Therefore the difference for a hub is the detection time plus a margin.
    pub(super) const fn proof_lag(&self) -> Duration {
        match self.provider {
            FeedProvider::Vendor => Duration::ZERO,
            FeedProvider::Hub => DEAD_AFTER.saturating_add(Duration::from_secs(2)),
        }
    }

    /// Records an event on a channel. Returns true if the channel is wanted.
    pub fn data(&mut self, kind: ChannelKind, ticker: &str, now: Moment) -> bool {
        self.link.data(kind, ticker, now)
    }

    /// Processes a status message about the connection or about a subscription.
    pub fn handle_status(&mut self, status_kind: StatusKind, message: &str, now: Moment) {
        let cluster = self.cluster;
        // A hub authenticates its clients at the upgrade. Therefore an authentication message from
        // a hub concerns the upstream connection of the hub, and not this connection.
        let vendor = self.provider == FeedProvider::Vendor;
        match status_kind {
            StatusKind::Success => {
                if let Some(channel) = websocket::subscribed(message) {
                    self.link.on(ConnectionEvent::Subscribed(&channel), now);
                }
            }
            StatusKind::Pending => {
                if let Some(channel) = websocket::requested(message) {
                    self.link.on(ConnectionEvent::Requested(&channel), now);
                }
            }
            StatusKind::AuthSuccess => self.link.on(ConnectionEvent::Authenticated, now),
            StatusKind::AuthFailed if vendor => {
                log::warn!(
                    "{cluster}: the server refused the key: {}",
                    printable(message)
                );
                // The vendor says "Your plan doesn't include websocket access".
                let plan = message.to_ascii_lowercase().contains("plan");
                self.end(if plan { Failure::Plan } else { Failure::Key }, now);
            }
            StatusKind::MaxConnections if vendor => self.end(Failure::Evicted, now),
            StatusKind::AuthTimeout if vendor => self.end(Failure::Timeout, now),
            // A simulator sends `Connected` and then `Simulated` in one frame. A frame with
            // `Connected` alone comes from a real feed.
            StatusKind::Connected => self.simulated = Some(false),
            StatusKind::Simulated => self.simulated = Some(true),
            StatusKind::UpstreamUp => self.cut_off = false,
            StatusKind::RetryAfter => {
                if let Ok(seconds) = message.parse() {
                    let wait = Duration::from_secs(seconds);
                    self.link.on(ConnectionEvent::RetryAfter(wait), now);
                }
            }
            StatusKind::UpstreamDown
            | StatusKind::AuthFailed
            | StatusKind::MaxConnections
            | StatusKind::AuthTimeout
            | StatusKind::Error
            | StatusKind::Dropping
            | StatusKind::Other => {
                self.cut_off |= status_kind == StatusKind::UpstreamDown;
                if status_kind == StatusKind::Error {
                    self.not_authorized |= message == NOT_AUTHORIZED;
                    if let Some((channel, refusal)) = websocket::refused(message) {
                        self.link
                            .on(ConnectionEvent::Refused(&channel, refusal), now);
                    }
                }
                let level = if self.is_new(message) {
                    log::Level::Warn
                } else {
                    log::Level::Debug
                };
                log::log!(
                    level,
                    "{cluster}: status message of the server: {}",
                    printable(message)
                );
            }
        }
    }

    /// Returns the reason why the server does not send a channel. The vendor's refusal names no
    /// channel, so the refusal counts as the reason for each unconfirmed channel of this
    /// connection.
    pub fn refusal(&self, refusal: ChannelRefusal) -> ChannelRefusal {
        match refusal {
            ChannelRefusal::Unconfirmed if self.not_authorized => ChannelRefusal::NotAuthorized,
            refusal => refusal,
        }
    }

    /// Returns true if the message was not logged on this connection before and the list of logged
    /// messages is not full.
    fn is_new(&mut self, message: &str) -> bool {
        let mut hasher = DefaultHasher::new();
        message.hash(&mut hasher);
        let hash = hasher.finish();
        !self.logged.contains(&hash) && self.logged.push(hash).is_ok()
    }

    /// Resets the state for a new connection. `is_hub` is true for a deskticker-hub.
    pub fn opened(&mut self, is_hub: bool, now: Moment) {
        self.is_hub = is_hub;
        // The vendor has no upstream connection, so no report is missing.
        let reports_upstream = is_hub || self.provider == FeedProvider::Vendor;
        self.link.set_reports_upstream(reports_upstream);
        self.logged.clear();
        self.cut_off = false;
        self.not_authorized = false;
        self.simulated = None;
        self.link.on(ConnectionEvent::Opened, now);
    }

    fn end(&mut self, reason: Failure, now: Moment) {
        self.ended = true;
        self.link.on(ConnectionEvent::Closed(reason), now);
    }

    /// Counts a parse error in a frame, and logs the first parse error of each kind.
    pub fn count_parse_error(&mut self, parse_error: ParseError, frame: &str) {
        let count = &mut self.parse_error[parse_error.index()];
        *count += 1;
        if *count == 1 {
            let price = websocket::invalid_price(frame);
            let price = price.filter(|_| parse_error == ParseError::Number);
            let price = price.map_or_else(String::new, |price| format!(" ({price})"));
            log::warn!(
                "{}: the server sent {parse_error}{price}, which is ignored; further errors of this kind are \
                 counted, but not logged",
                self.cluster
            );
        }
    }
}

/// The ticker state as an event sink. The sink converts each event on a wanted channel to an
/// [`Update`].
impl EventSink for mpsc::Sender<Update> {
    async fn status(
        &mut self,
        cluster: Cluster,
        status: ConnectionStatus,
    ) -> Result<(), ConsumerGone> {
        let update = Update::Status(cluster, status);
        self.send(update).await.map_err(|_| ConsumerGone)
    }

    async fn frame(
        &mut self,
        frame: &Utf8Bytes,
        server: &mut ServerState,
        now: Moment,
    ) -> Result<(), ConsumerGone> {
        for event in websocket::events(frame) {
            let update = match event {
                Ok(Event::Status(status_kind, message)) => {
                    server.handle_status(status_kind, &message, now);
                    let subscribed = websocket::subscribed(&message);
                    subscribed
                        .filter(|_| status_kind == StatusKind::Success)
                        .map(Update::Subscribed)
                }
                Ok(event) => update(&mut server.link, &event, now),
                Err(parse_error) => {
                    server.count_parse_error(parse_error, frame);
                    None
                }
            };
            if let Some(update) = update {
                self.send(update).await.map_err(|_| ConsumerGone)?;
            }
        }
        // A greeting without `Simulated`, or a first frame without any greeting, comes from a real
        // feed.
        server.simulated.get_or_insert(false);
        Ok(())
    }

    async fn unanswered(
        &mut self,
        channel: Channel,
        refusal: ChannelRefusal,
    ) -> Result<(), ConsumerGone> {
        let update = Update::Unanswered {
            channel,
            not_authorized: refusal == ChannelRefusal::NotAuthorized,
        };
        self.send(update).await.map_err(|_| ConsumerGone)
    }

    async fn server_time(&mut self, at: Moment, utc: Utc) -> Result<(), ConsumerGone> {
        let update = Update::ServerTime { at, utc };
        self.send(update).await.map_err(|_| ConsumerGone)
    }
}

/// Converts market data to an [`Update`], and records the event in the state machine of the
/// connection. Returns `None` for other events, and if the channel of the event is not wanted.
pub fn update(link: &mut Connection, event: &Event<'_>, now: Moment) -> Option<Update> {
    let Event::Market(ticker, event) = event else {
        return None;
    };
    if !link.data(event.kind, ticker, now) {
        return None;
    }
    Some(Update::Market(Ticker::try_from(&**ticker).ok()?, *event))
}
