//! Who listens to a session: what a desk is told of each frame, and what is said about the
//! connection itself. It opens and sends nothing; the session does.

use std::hash::{DefaultHasher, Hash, Hasher};

use tokio::sync::mpsc;
use tokio_tungstenite::tungstenite::Utf8Bytes;

use super::connection::{ConnectionEvent, FeedProvider};
use super::shelf::{Fixed, Shelf};
use super::{Connection, ConnectionStatus, Failure, Update};
use crate::market::{Channel, ChannelKind, Cluster, Ticker};
use crate::massive::websocket;
use crate::massive::websocket::{ParseError, StatusKind};
use crate::time::{Moment, Utc};

/// Different words of the server that are logged on one connection; the rest is for debugging. The
/// proxy passes on to everybody what was said to anybody.
const MAX_LOGGED_MESSAGES: usize = 8;

/// What the vendor says of a channel that the plan does not include.
const NOT_AUTHORIZED: &str = "not authorized";

/// The audience is gone, or somebody has said stop.
#[derive(Debug)]
pub struct ConsumerGone;

/// To whom a session tells what comes. A slow one slows the reading, and never fills memory.
pub trait EventSink: Send + 'static {
    /// Where the link keeps its channels.
    type Shelf: Shelf;

    /// The link has changed its state.
    ///
    /// # Errors
    /// Nobody listens any more.
    fn status(
        &mut self,
        cluster: Cluster,
        status: ConnectionStatus,
    ) -> impl Future<Output = Result<(), ConsumerGone>> + Send;

    /// A text frame has come. What it says about the connection itself, what it confirms and what
    /// cannot be read is told to the line.
    ///
    /// # Errors
    /// Nobody listens any more.
    fn frame(
        &mut self,
        frame: &Utf8Bytes,
        server: &mut ServerState<Self::Shelf>,
        now: Moment,
    ) -> impl Future<Output = Result<(), ConsumerGone>> + Send;

    /// A channel was asked for twice, and never confirmed; and whether the server has said `not
    /// authorized` on this connection.
    ///
    /// # Errors
    /// Nobody listens any more.
    fn unanswered(
        &mut self,
        channel: Channel,
        not_authorized: bool,
    ) -> impl Future<Output = Result<(), ConsumerGone>> + Send;

    /// An answer of the server that came at this moment had this `Date`. A hub has no use for it.
    ///
    /// # Errors
    /// Nobody listens any more.
    fn server_time(
        &mut self,
        _at: Moment,
        _utc: Utc,
    ) -> impl Future<Output = Result<(), ConsumerGone>> + Send {
        std::future::ready(Ok(()))
    }
}

/// A link, and what has been said on it.
#[derive(Debug)]
pub struct ServerState<S> {
    cluster: Cluster,
    provider: FeedProvider,
    /// The connection itself.
    pub link: Connection<S>,
    /// What was said has ended the connection; its socket is to be dropped.
    pub ended: bool,
    /// Whether the greeting said that the prices are not real; `None` before the first frame.
    pub simulated: Option<bool>,
    /// The server has said `not authorized` on this connection: it names no channel.
    pub not_authorized: bool,
    /// The hub has said that it has lost its own upstream.
    pub cut_off: bool,
    /// Counted since the start, by kind.
    parse_error: [u64; ParseError::KINDS],
    /// Hashes of the words of the server that have been logged on this connection.
    logged: heapless::Vec<u64, MAX_LOGGED_MESSAGES>,
}

impl<S: Shelf> ServerState<S> {
    /// On which nothing has been said yet.
    pub const fn new(cluster: Cluster, provider: FeedProvider, link: Connection<S>) -> Self {
        Self {
            cluster,
            provider,
            link,
            ended: false,
            simulated: None,
            not_authorized: false,
            cut_off: false,
            parse_error: [0; ParseError::KINDS],
            logged: heapless::Vec::new(),
        }
    }

    /// Something came on a channel; true if it is one that was asked for.
    pub fn data(&mut self, kind: ChannelKind, ticker: &str, now: Moment) -> bool {
        let wanted_ticker = self.link.subscriptions().wants(kind, ticker);
        if wanted_ticker {
            self.link.on(ConnectionEvent::Data(kind, ticker), now);
        }
        wanted_ticker
    }

    /// The server has said something about the connection or a subscription.
    pub fn handle_status(&mut self, status_kind: StatusKind, message: &str, now: Moment) {
        let cluster = self.cluster;
        // A hub has already let us in: what it passes on of its own upstream is not about us.
        let vendor = self.provider == FeedProvider::Vendor;
        match status_kind {
            StatusKind::Success => {
                if let Some(channel) = websocket::subscribed(message) {
                    self.link.on(ConnectionEvent::Subscribed(&channel), now);
                }
            }
            StatusKind::AuthSuccess => self.link.on(ConnectionEvent::Authenticated, now),
            StatusKind::AuthFailed if vendor => {
                log::warn!("{cluster}: {}", printable(message));
                self.end(Failure::Key, now);
            }
            StatusKind::MaxConnections if vendor => self.end(Failure::Evicted, now),
            StatusKind::AuthTimeout if vendor => self.end(Failure::Timeout, now),
            // The two stand in one frame, in this order; a greeting alone is that of a real feed.
            StatusKind::Connected => self.simulated = Some(false),
            StatusKind::Simulated => self.simulated = Some(true),
            StatusKind::UpstreamUp => self.cut_off = false,
            StatusKind::UpstreamDown
            | StatusKind::AuthFailed
            | StatusKind::MaxConnections
            | StatusKind::AuthTimeout
            | StatusKind::Error
            | StatusKind::Dropping
            | StatusKind::Other => {
                self.cut_off |= status_kind == StatusKind::UpstreamDown;
                self.not_authorized |=
                    status_kind == StatusKind::Error && message == NOT_AUTHORIZED;
                let level = if self.is_new(message) {
                    log::Level::Warn
                } else {
                    log::Level::Debug
                };
                log::log!(level, "{cluster}: the server says: {}", printable(message));
            }
        }
    }

    /// Whether these words have not been logged on this connection, and there is room for them.
    fn is_new(&mut self, message: &str) -> bool {
        let mut hasher = DefaultHasher::new();
        message.hash(&mut hasher);
        let hash = hasher.finish();
        !self.logged.contains(&hash) && self.logged.push(hash).is_ok()
    }

    /// A connection has been opened.
    pub fn opened(&mut self, now: Moment) {
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

    /// Counts junk and logs the first of each kind.
    pub fn count_parse_error(&mut self, parse_error: ParseError) {
        let count = &mut self.parse_error[parse_error.index()];
        *count += 1;
        if *count == 1 {
            log::warn!(
                "{}: ignored {parse_error}; more of it is counted, not logged",
                self.cluster
            );
        }
    }
}

/// A desk: told each event that is about its channels, as a value of fixed size.
impl EventSink for mpsc::Sender<Update> {
    type Shelf = Fixed;

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
        server: &mut ServerState<Fixed>,
        now: Moment,
    ) -> Result<(), ConsumerGone> {
        for event in websocket::events(frame) {
            match event {
                Ok(websocket::MarketEvent::Status(status_kind, message)) => {
                    server.handle_status(status_kind, &message, now);
                    if status_kind == StatusKind::Success
                        && let Some(channel) = websocket::subscribed(&message)
                    {
                        let update = Update::Subscribed(channel);
                        self.send(update).await.map_err(|_| ConsumerGone)?;
                    }
                }
                Ok(event) => {
                    if let Some(update) = update(&mut server.link, &event, now) {
                        self.send(update).await.map_err(|_| ConsumerGone)?;
                    }
                }
                Err(parse_error) => server.count_parse_error(parse_error),
            }
        }
        // A greeting that says nothing else, or none at all, is that of a real feed.
        server.simulated.get_or_insert(false);
        Ok(())
    }

    async fn unanswered(
        &mut self,
        channel: Channel,
        not_authorized: bool,
    ) -> Result<(), ConsumerGone> {
        let update = Update::Unanswered {
            channel,
            not_authorized,
        };
        self.send(update).await.map_err(|_| ConsumerGone)
    }

    async fn server_time(&mut self, at: Moment, utc: Utc) -> Result<(), ConsumerGone> {
        let update = Update::ServerTime { at, utc };
        self.send(update).await.map_err(|_| ConsumerGone)
    }
}

/// What an event says to the desk, and that it came to the link. `None` if it holds no price, or
/// one that nobody asked for.
pub fn update(
    link: &mut Connection,
    event: &websocket::MarketEvent<'_>,
    now: Moment,
) -> Option<Update> {
    match event {
        websocket::MarketEvent::Value {
            ticker,
            price,
            stamp,
            age,
        } => Some(Update::Value {
            ticker: wanted_ticker(link, ChannelKind::Value, ticker, now)?,
            price: *price,
            stamp: *stamp,
            age: *age,
        }),
        websocket::MarketEvent::Quote {
            ticker,
            book,
            stamp,
            age,
        } => Some(Update::Quote {
            ticker: wanted_ticker(link, ChannelKind::Quote, ticker, now)?,
            book: *book,
            stamp: *stamp,
            age: *age,
        }),
        websocket::MarketEvent::Trade {
            ticker,
            trade,
            stamp,
        } => Some(Update::Trade {
            ticker: wanted_ticker(link, ChannelKind::Trade, ticker, now)?,
            trade: *trade,
            stamp: *stamp,
        }),
        websocket::MarketEvent::Bar {
            ticker,
            kind,
            bar,
            volume,
            age,
        } => Some(Update::Bar {
            ticker: wanted_ticker(link, *kind, ticker, now)?,
            kind: *kind,
            bar: *bar,
            volume: *volume,
            age: *age,
        }),
        websocket::MarketEvent::Status(..) | websocket::MarketEvent::Unused => None,
    }
}

/// The ticker, if this is something that was asked for.
fn wanted_ticker(
    link: &mut Connection,
    kind: ChannelKind,
    ticker: &str,
    now: Moment,
) -> Option<Ticker> {
    if !link.subscriptions().wants(kind, ticker) {
        return None;
    }
    link.on(ConnectionEvent::Data(kind, ticker), now);
    Ticker::try_from(ticker).ok()
}

/// A server's own words, fit for one line of a log.
pub(crate) fn printable(message: &str) -> String {
    message
        .chars()
        .take(200)
        .map(|c| if c.is_control() { ' ' } else { c })
        .collect()
}
