//! Who listens to a session: what a desk is told of each frame, and what is said about the
//! connection itself. It opens and sends nothing; the session does.

use tokio::sync::mpsc;
use tokio_tungstenite::tungstenite::Utf8Bytes;

use super::link::{Event, Via};
use super::shelf::{Fixed, Shelf};
use super::wire::{self, Junk, Verdict};
use super::{Link, Status, Update, Why};
use crate::clock::Moment;
use crate::market::{Cluster, Kind, Price, Ticker};

/// The audience is gone, or somebody has said stop.
#[derive(Debug)]
pub struct Over;

/// To whom a session tells what comes. A slow one slows the reading, and never fills memory.
pub trait Audience {
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
}

/// A link, and what has been said on it.
#[derive(Debug)]
pub struct Line<S> {
    cluster: Cluster,
    via: Via,
    pub(super) link: Link<S>,
    /// What was said has ended the connection; its socket is to be dropped.
    pub(super) ended: bool,
    /// The greeting said that the prices are not real.
    pub(super) simulated: bool,
    /// Counted since the start, by kind.
    junk: [u64; Junk::KINDS],
}

impl<S: Shelf> Line<S> {
    pub(super) const fn new(cluster: Cluster, via: Via, link: Link<S>) -> Self {
        Self {
            cluster,
            via,
            link,
            ended: false,
            simulated: false,
            junk: [0; Junk::KINDS],
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
            Verdict::Connected => self.simulated = false,
            Verdict::Simulated => self.simulated = true,
            Verdict::AuthFailed
            | Verdict::MaxConnections
            | Verdict::AuthTimeout
            | Verdict::Error
            | Verdict::Dropping
            | Verdict::Other => log::warn!("{cluster}: the server says: {}", shown(message)),
        }
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
                Ok(wire::Event::Status(verdict, message)) => line.verdict(verdict, &message, now),
                Ok(event) => {
                    if let Some(update) = update(event, line, now) {
                        self.send(update).await.map_err(|_| Over)?;
                    }
                }
                Err(junk) => line.junk(junk),
            }
        }
        Ok(())
    }
}

/// What the desk is told of an event, if it is about something that was asked for.
fn update(event: wire::Event<'_>, line: &mut Line<Fixed>, now: Moment) -> Option<Update> {
    let mut ours = |kind, ticker: &str| {
        line.data(kind, ticker, now)
            .then(|| Ticker::try_from(ticker).ok())?
    };
    match event {
        wire::Event::Value {
            ticker,
            price,
            stamp,
        } => Some(Update::Value {
            ticker: ours(Kind::Value, &ticker)?,
            price,
            stamp,
        }),
        wire::Event::Quote {
            ticker,
            bid,
            ask,
            stamp,
        } => {
            let ticker = ours(Kind::Quote, &ticker)?;
            // Without a bid there is no middle, and a contract nobody bids for has no price.
            if bid <= Price::from_scaled(0) || ask < bid {
                return None;
            }
            Some(Update::Value {
                ticker,
                price: Price::from_scaled((bid.scaled() + ask.scaled()) / 2),
                stamp,
            })
        }
        wire::Event::Bar { ticker, kind, bar } => Some(Update::Bar {
            ticker: ours(kind, &ticker)?,
            kind,
            bar,
        }),
        wire::Event::Status(..) | wire::Event::Unused => None,
    }
}

/// A server's own words, fit for one line of a log.
fn shown(message: &str) -> String {
    message
        .chars()
        .take(200)
        .map(|c| if c.is_control() { ' ' } else { c })
        .collect()
}
