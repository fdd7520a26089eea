//! Who listens to a session: what a desk is told of each frame, and what is said about the
//! connection itself. It opens and sends nothing; the session does.

use std::hash::{DefaultHasher, Hash, Hasher};

use tokio::sync::mpsc;
use tokio_tungstenite::tungstenite::Utf8Bytes;

use super::link::{Event, Via};
use super::shelf::{Fixed, Shelf};
use super::wire::{self, Junk, Verdict};
use super::{Link, Status, Update, Why};
use crate::clock::{Moment, Utc};
use crate::market::{Channel, Cluster, Kind, Ticker};

/// Different words of the server that are logged on one connection; the rest is for debugging. The
/// proxy passes on to everybody what was said to anybody.
const WORDS: usize = 8;

/// What the vendor says of a channel that the plan does not include.
const NOT_AUTHORIZED: &str = "not authorized";

/// The audience is gone, or somebody has said stop.
#[derive(Debug)]
pub struct Over;

/// To whom a session tells what comes. A slow one slows the reading, and never fills memory.
pub trait Audience: Send + 'static {
    /// Where the link keeps its channels.
    type Shelf: Shelf;

    /// The link has changed its state.
    ///
    /// # Errors
    /// Nobody listens any more.
    fn status(
        &mut self,
        cluster: Cluster,
        status: Status,
    ) -> impl Future<Output = Result<(), Over>> + Send;

    /// A text frame has come. What it says about the connection itself, what it confirms and what
    /// cannot be read is told to the line.
    ///
    /// # Errors
    /// Nobody listens any more.
    fn frame(
        &mut self,
        frame: &Utf8Bytes,
        line: &mut Line<Self::Shelf>,
        now: Moment,
    ) -> impl Future<Output = Result<(), Over>> + Send;

    /// A channel was asked for twice, and never confirmed; and whether the server has said `not
    /// authorized` on this connection.
    ///
    /// # Errors
    /// Nobody listens any more.
    fn unanswered(
        &mut self,
        channel: Channel,
        not_authorized: bool,
    ) -> impl Future<Output = Result<(), Over>> + Send;

    /// An answer of the server that came at this moment had this `Date`. A hub has no use for it.
    ///
    /// # Errors
    /// Nobody listens any more.
    fn server_time(
        &mut self,
        _at: Moment,
        _utc: Utc,
    ) -> impl Future<Output = Result<(), Over>> + Send {
        std::future::ready(Ok(()))
    }
}

/// A link, and what has been said on it.
#[derive(Debug)]
pub struct Line<S> {
    cluster: Cluster,
    via: Via,
    /// The connection itself.
    pub link: Link<S>,
    /// What was said has ended the connection; its socket is to be dropped.
    pub ended: bool,
    /// Whether the greeting said that the prices are not real; `None` before the first frame.
    pub simulated: Option<bool>,
    /// The server has said `not authorized` on this connection: it names no channel.
    pub not_authorized: bool,
    /// The hub has said that it has lost its own upstream.
    pub cut_off: bool,
    /// Counted since the start, by kind.
    junk: [u64; Junk::KINDS],
    /// Hashes of the words of the server that have been logged on this connection.
    words: heapless::Vec<u64, WORDS>,
}

impl<S: Shelf> Line<S> {
    /// On which nothing has been said yet.
    pub const fn new(cluster: Cluster, via: Via, link: Link<S>) -> Self {
        Self {
            cluster,
            via,
            link,
            ended: false,
            simulated: None,
            not_authorized: false,
            cut_off: false,
            junk: [0; Junk::KINDS],
            words: heapless::Vec::new(),
        }
    }

    /// Something came on a channel; true if it is one that was asked for.
    pub fn data(&mut self, kind: Kind, ticker: &str, now: Moment) -> bool {
        let ours = self.link.subscriptions().wants(kind, ticker);
        if ours {
            self.link.on(Event::Data(kind, ticker), now);
        }
        ours
    }

    /// The server has said something about the connection or a subscription.
    pub fn verdict(&mut self, verdict: Verdict, message: &str, now: Moment) {
        let cluster = self.cluster;
        // A hub has already let us in: what it passes on of its own upstream is not about us.
        let vendor = self.via == Via::Vendor;
        match verdict {
            Verdict::Success => {
                if let Some(channel) = wire::subscribed(message) {
                    self.link.on(Event::Subscribed(&channel), now);
                }
            }
            Verdict::AuthSuccess => self.link.on(Event::Authenticated, now),
            Verdict::AuthFailed if vendor => {
                log::warn!("{cluster}: {}", shown(message));
                self.end(Why::Key, now);
            }
            Verdict::MaxConnections if vendor => self.end(Why::Evicted, now),
            Verdict::AuthTimeout if vendor => self.end(Why::Timeout, now),
            // The two stand in one frame, in this order; a greeting alone is that of a real feed.
            Verdict::Connected => self.simulated = Some(false),
            Verdict::Simulated => self.simulated = Some(true),
            Verdict::UpstreamUp => self.cut_off = false,
            Verdict::UpstreamDown
            | Verdict::AuthFailed
            | Verdict::MaxConnections
            | Verdict::AuthTimeout
            | Verdict::Error
            | Verdict::Dropping
            | Verdict::Other => {
                self.cut_off |= verdict == Verdict::UpstreamDown;
                self.not_authorized |= verdict == Verdict::Error && message == NOT_AUTHORIZED;
                let level = if self.is_new(message) {
                    log::Level::Warn
                } else {
                    log::Level::Debug
                };
                log::log!(level, "{cluster}: the server says: {}", shown(message));
            }
        }
    }

    /// Whether these words have not been logged on this connection, and there is room for them.
    fn is_new(&mut self, message: &str) -> bool {
        let mut hasher = DefaultHasher::new();
        message.hash(&mut hasher);
        let hash = hasher.finish();
        !self.words.contains(&hash) && self.words.push(hash).is_ok()
    }

    /// A connection has been opened.
    pub fn opened(&mut self, now: Moment) {
        self.words.clear();
        self.cut_off = false;
        self.not_authorized = false;
        self.simulated = None;
        self.link.on(Event::Opened, now);
    }

    fn end(&mut self, why: Why, now: Moment) {
        self.ended = true;
        self.link.on(Event::Closed(why), now);
    }

    /// Counts junk and logs the first of each kind.
    pub fn junk(&mut self, junk: Junk) {
        let count = &mut self.junk[junk.index()];
        *count += 1;
        if *count == 1 {
            log::warn!(
                "{}: ignored {junk}; more of it is counted, not logged",
                self.cluster
            );
        }
    }
}

/// A desk: told each event that is about its channels, as a value of fixed size.
impl Audience for mpsc::Sender<Update> {
    type Shelf = Fixed;

    async fn status(&mut self, cluster: Cluster, status: Status) -> Result<(), Over> {
        let update = Update::Status(cluster, status);
        self.send(update).await.map_err(|_| Over)
    }

    async fn frame(
        &mut self,
        frame: &Utf8Bytes,
        line: &mut Line<Fixed>,
        now: Moment,
    ) -> Result<(), Over> {
        for event in wire::events(frame) {
            match event {
                Ok(wire::Event::Status(verdict, message)) => {
                    line.verdict(verdict, &message, now);
                    if verdict == Verdict::Success
                        && let Some(channel) = wire::subscribed(&message)
                    {
                        let update = Update::Subscribed(channel);
                        self.send(update).await.map_err(|_| Over)?;
                    }
                }
                Ok(event) => {
                    if let Some(update) = update(&mut line.link, &event, now) {
                        self.send(update).await.map_err(|_| Over)?;
                    }
                }
                Err(junk) => line.junk(junk),
            }
        }
        // A greeting that says nothing else, or none at all, is that of a real feed.
        line.simulated.get_or_insert(false);
        Ok(())
    }

    async fn unanswered(&mut self, channel: Channel, not_authorized: bool) -> Result<(), Over> {
        let update = Update::Unanswered {
            channel,
            not_authorized,
        };
        self.send(update).await.map_err(|_| Over)
    }

    async fn server_time(&mut self, at: Moment, utc: Utc) -> Result<(), Over> {
        let update = Update::ServerTime { at, utc };
        self.send(update).await.map_err(|_| Over)
    }
}

/// What an event says to the desk, and that it came to the link. `None` if it holds no price, or
/// one that nobody asked for.
pub fn update(link: &mut Link, event: &wire::Event<'_>, now: Moment) -> Option<Update> {
    match event {
        wire::Event::Value {
            ticker,
            price,
            stamp,
            age,
        } => Some(Update::Value {
            ticker: ours(link, Kind::Value, ticker, now)?,
            price: *price,
            stamp: *stamp,
            age: *age,
        }),
        wire::Event::Quote {
            ticker,
            book,
            stamp,
            age,
        } => Some(Update::Quote {
            ticker: ours(link, Kind::Quote, ticker, now)?,
            book: *book,
            stamp: *stamp,
            age: *age,
        }),
        wire::Event::Trade {
            ticker,
            trade,
            stamp,
        } => Some(Update::Trade {
            ticker: ours(link, Kind::Trade, ticker, now)?,
            trade: *trade,
            stamp: *stamp,
        }),
        wire::Event::Bar {
            ticker,
            kind,
            bar,
            volume,
            age,
        } => Some(Update::Bar {
            ticker: ours(link, *kind, ticker, now)?,
            kind: *kind,
            bar: *bar,
            volume: *volume,
            age: *age,
        }),
        wire::Event::Status(..) | wire::Event::Unused => None,
    }
}

/// The ticker, if this is something that was asked for.
fn ours(link: &mut Link, kind: Kind, ticker: &str, now: Moment) -> Option<Ticker> {
    if !link.subscriptions().wants(kind, ticker) {
        return None;
    }
    link.on(Event::Data(kind, ticker), now);
    Ticker::try_from(ticker).ok()
}

/// A server's own words, fit for one line of a log.
pub(crate) fn shown(message: &str) -> String {
    message
        .chars()
        .take(200)
        .map(|c| if c.is_control() { ' ' } else { c })
        .collect()
}
