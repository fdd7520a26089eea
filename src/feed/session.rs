//! The shell around one [`Link`]: a socket, a timer and the words between them. It decides
//! nothing; it does what the link says and tells the desk what came.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::Arc;
use std::time::Duration;

use futures_util::{SinkExt, StreamExt};
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::sync::{mpsc, watch};
use tokio_tungstenite::tungstenite::protocol::CloseFrame;
use tokio_tungstenite::tungstenite::protocol::frame::coding::CloseCode;
use tokio_tungstenite::tungstenite::{self, Message};

use super::link::{Action, Event, Via};
use super::net::{self, Connector, Endpoint, Socket};
use super::subscriptions::Channels;
use super::wire::{self, Junk, Verdict};
use super::{Link, Status, Update, Why};
use crate::clock::{Clock, Moment};
use crate::config::Secret;
use crate::market::{Channel, Cluster, Kind, Price, Ticker};

/// A message must be on its way within this, or the connection is given up.
const SEND_LIMIT: Duration = Duration::from_secs(5);
/// Different words of the server that are logged on one connection; the rest is for debugging. The
/// proxy passes on to everybody what was said to anybody.
const WORDS: usize = 8;
/// A farewell may take this long; the program ends within a second.
const FAREWELL_LIMIT: Duration = Duration::from_millis(300);

/// Who serves the feed, and how one is let in.
#[derive(Clone, Debug)]
pub struct Source {
    /// A hub (or the proxy), or the vendor.
    pub via: Via,
    /// Where it is.
    pub endpoint: Endpoint,
    /// The token or key; `None` for a hub that asks for none.
    pub secret: Option<Secret>,
}

impl Source {
    /// The path of a cluster, with the token where it belongs there. Never to be logged.
    fn path(&self, cluster: Cluster) -> String {
        match (self.via, &self.secret) {
            (Via::Vendor, _) => format!("/{cluster}"),
            (Via::Hub, None) => format!("/ws/{cluster}"),
            // A token may hold `+`, `/` and `=` (standard base64).
            (Via::Hub, Some(token)) => {
                format!(
                    "/ws/{cluster}?token={}",
                    utf8_percent_encode(token.reveal(), NON_ALPHANUMERIC)
                )
            }
        }
    }
}

/// What the desk wants of a session.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Orders {
    /// The channels; none closes the link.
    pub channels: Channels,
    /// How long they may be silent at this hour; `None` while the market is closed.
    pub patience: Option<Duration>,
    /// The program ends: say farewell and return.
    pub stop: bool,
}

/// One cluster's connection.
#[derive(Debug)]
pub struct Session {
    /// Which cluster.
    pub cluster: Cluster,
    /// Who serves it.
    pub source: Arc<Source>,
    /// How to get there.
    pub connector: Connector,
    /// What is wanted.
    pub orders: watch::Receiver<Orders>,
    /// Where what comes is told. Bounded: a desk that lags slows the reading, never fills memory.
    pub updates: mpsc::Sender<Update>,
    /// Time.
    pub clock: Clock,
}

/// The desk is gone, or has said stop.
struct Over;

impl Session {
    /// Keeps the link as the orders want it until they say stop or the desk is gone.
    pub async fn run(self) {
        // The seed only spreads the retries of many displays.
        let link = Link::new(self.source.via, fastrand::u64(..));
        let told = link.status();
        Runner {
            session: self,
            link,
            socket: None,
            told,
            simulated: false,
            junk: [0; Junk::KINDS],
            words: heapless::Vec::new(),
        }
        .run()
        .await;
    }
}

struct Runner {
    session: Session,
    link: Link,
    socket: Option<Socket>,
    told: Status,
    /// The greeting said that the prices are not real.
    simulated: bool,
    /// Counted since the start, by kind.
    junk: [u64; Junk::KINDS],
    /// Hashes of the words of the server that have been logged on this connection.
    words: heapless::Vec<u64, WORDS>,
}

impl Runner {
    async fn run(mut self) {
        self.obey();
        while self.step().await.is_ok() {}
        self.part(Some(CloseCode::Normal)).await;
    }

    fn now(&self) -> Moment {
        self.session.clock.now().monotonic
    }

    /// Takes over what the desk wants.
    fn obey(&mut self) {
        let now = self.now();
        let orders = self.session.orders.borrow_and_update();
        self.link.want(&orders.channels, orders.patience, now);
    }

    /// Does what is due, then waits for one thing to happen and takes it in.
    async fn step(&mut self) -> Result<(), Over> {
        while let Some(action) = self.link.next(self.now()) {
            // A connection that becomes one between `Open` and its answer is told as it happens.
            self.tell().await?;
            self.perform(action).await?;
        }
        self.tell().await?;
        let deadline = self.session.clock.sleep_until(self.link.deadline());
        tokio::select! {
            message = read(&mut self.socket) => self.hear(message).await,
            () = deadline => Ok(()),
            changed = self.session.orders.changed() => self.ordered(changed.is_ok()),
        }
    }

    fn ordered(&mut self, heard: bool) -> Result<(), Over> {
        if !heard || self.session.orders.borrow().stop {
            return Err(Over);
        }
        self.obey();
        Ok(())
    }

    /// Tells the desk, and the log, of a change of the link's state: once each.
    async fn tell(&mut self) -> Result<(), Over> {
        let status = Status {
            simulated: self.simulated,
            ..self.link.status()
        };
        if status == self.told {
            return Ok(());
        }
        let cluster = self.session.cluster;
        if (status.phase, status.why) != (self.told.phase, self.told.why) {
            let phase = format!("{:?}", status.phase).to_lowercase();
            match status.why {
                Some(why) if why != Why::Done => {
                    if self.told.why != Some(why) {
                        log::warn!("{cluster}: {phase}: {why}");
                    }
                }
                _ => log::info!("{cluster}: {phase}"),
            }
        }
        self.told = status;
        self.session
            .updates
            .send(Update::Status(cluster, status))
            .await
            .map_err(|_| Over)
    }

    async fn perform(&mut self, action: Action) -> Result<(), Over> {
        match action {
            Action::Open => self.open().await,
            Action::Authenticate => {
                let key = self
                    .session
                    .source
                    .secret
                    .as_ref()
                    .map_or("", Secret::reveal);
                self.send(Message::text(wire::auth(key))).await;
                Ok(())
            }
            Action::Subscribe(channel) => {
                self.send(Message::text(wire::subscribe(&channel))).await;
                Ok(())
            }
            Action::Unsubscribe(channel) => {
                self.send(Message::text(wire::unsubscribe(&channel))).await;
                Ok(())
            }
            Action::Ping => {
                self.send(Message::Ping(Vec::new().into())).await;
                Ok(())
            }
            Action::Report(channel) => {
                self.report(&channel);
                Ok(())
            }
            Action::Close(_) => {
                self.part(Some(CloseCode::Normal)).await;
                Ok(())
            }
        }
    }

    fn report(&self, channel: &Channel) {
        let cluster = self.session.cluster;
        match self.session.source.via {
            Via::Vendor => log::warn!(
                "{cluster}: {channel} was asked for twice and never confirmed: is it in the plan?"
            ),
            // The proxy confirms nothing to who comes late, so this is no fault by itself.
            Via::Hub => log::info!("{cluster}: {channel} was asked for twice and never confirmed"),
        }
    }

    /// Opens the connection; the attempt ends when the link's patience does.
    async fn open(&mut self) -> Result<(), Over> {
        let source = self.session.source.clone();
        let connector = self.session.connector.clone();
        let cluster = self.session.cluster;
        let attempt = async move {
            connector
                .websocket(&source.endpoint, &source.path(cluster), &[])
                .await
        };
        tokio::pin!(attempt);
        loop {
            let deadline = self.session.clock.sleep_until(self.link.deadline());
            let outcome = tokio::select! {
                outcome = &mut attempt => outcome,
                // Back to the link, which will give up the attempt; dropping it closes its socket.
                () = deadline => return Ok(()),
                changed = self.session.orders.changed() => {
                    self.ordered(changed.is_ok())?;
                    continue;
                }
            };
            let now = self.now();
            match outcome {
                Ok(socket) => {
                    self.socket = Some(socket);
                    self.words.clear();
                    self.link.on(Event::Opened, now);
                }
                Err(why) => self.link.on(Event::Closed(why), now),
            }
            return Ok(());
        }
    }

    async fn send(&mut self, message: Message) {
        let Some(socket) = &mut self.socket else {
            return;
        };
        let mut orders = self.session.orders.clone();
        let sent = tokio::select! {
            sent = tokio::time::timeout(SEND_LIMIT, socket.send(message)) => sent,
            // A server that reads nothing must not hold up the end of the program.
            _ = orders.wait_for(|orders| orders.stop) => return,
        };
        let why = match sent {
            Ok(Ok(())) => return,
            Ok(Err(error)) => net::failure(&error),
            Err(_) => Why::Timeout,
        };
        self.lost(why);
    }

    /// Ends the connection, if there is one, in good order: with a code of ours, or with the
    /// answer to the other side's.
    async fn part(&mut self, code: Option<CloseCode>) {
        if let Some(socket) = self.socket.take() {
            farewell(socket, code).await;
        }
    }

    fn lost(&mut self, why: Why) {
        self.socket = None;
        self.link.on(Event::Closed(why), self.now());
    }

    async fn hear(
        &mut self,
        message: Option<Result<Message, tungstenite::Error>>,
    ) -> Result<(), Over> {
        let now = self.now();
        match message {
            Some(Ok(Message::Text(text))) => {
                self.link.on(Event::Heard, now);
                for event in wire::events(&text) {
                    match event {
                        Ok(event) => self.take(event, now).await?,
                        Err(junk) => self.count(junk),
                    }
                }
            }
            Some(Ok(Message::Binary(_))) => {
                self.link.on(Event::Heard, now);
                self.count(Junk::Binary);
            }
            Some(Ok(Message::Close(frame))) => {
                let why = net::farewell(frame.as_ref());
                if let Some(frame) = frame {
                    log::debug!("{}: closed: {}", self.session.cluster, frame.code);
                }
                self.link.on(Event::Closed(why), now);
                self.part(None).await;
            }
            Some(Ok(Message::Ping(_) | Message::Pong(_) | Message::Frame(_))) => {
                self.link.on(Event::Heard, now)
            }
            Some(Err(error)) => {
                log::debug!("{}: {error}", self.session.cluster);
                match net::complaint(&error) {
                    Some(code) => {
                        self.link.on(Event::Closed(net::failure(&error)), now);
                        self.part(Some(code)).await;
                    }
                    None => self.lost(net::failure(&error)),
                }
            }
            None => self.lost(Why::Lost),
        }
        Ok(())
    }

    /// Takes in one event of a frame.
    async fn take(&mut self, event: wire::Event<'_>, now: Moment) -> Result<(), Over> {
        if let wire::Event::Status(verdict, message) = event {
            self.verdict(verdict, &message, now);
            return Ok(());
        }
        match update(&mut self.link, &event, now) {
            Some(update) => self.session.updates.send(update).await.map_err(|_| Over),
            None => Ok(()),
        }
    }

    fn verdict(&mut self, verdict: Verdict, message: &str, now: Moment) {
        let cluster = self.session.cluster;
        // A hub has already let us in: what it passes on of its own upstream is not about us.
        let vendor = self.session.source.via == Via::Vendor;
        match verdict {
            Verdict::Success => {
                if let Some(channel) = wire::subscribed(message) {
                    self.link.on(Event::Subscribed(&channel), now);
                }
            }
            Verdict::AuthSuccess => self.link.on(Event::Authenticated, now),
            Verdict::AuthFailed if vendor => {
                log::warn!("{cluster}: {}", shown(message));
                self.lost(Why::Key);
            }
            Verdict::MaxConnections if vendor => self.lost(Why::Evicted),
            Verdict::AuthTimeout if vendor => self.lost(Why::Timeout),
            // The two stand in one frame, in this order; a greeting alone is that of a real feed.
            Verdict::Connected => self.simulated = false,
            Verdict::Simulated => self.simulated = true,
            Verdict::AuthFailed
            | Verdict::MaxConnections
            | Verdict::AuthTimeout
            | Verdict::Error
            | Verdict::Dropping
            | Verdict::Other => {
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

    /// Counts junk and logs the first of each kind.
    fn count(&mut self, junk: Junk) {
        let count = &mut self.junk[junk.index()];
        *count += 1;
        if *count == 1 {
            log::warn!(
                "{}: ignored {junk}; more of it is counted, not logged",
                self.session.cluster
            );
        }
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
        } => Some(Update::Value {
            ticker: ours(link, Kind::Value, ticker, now)?,
            price: *price,
            stamp: *stamp,
        }),
        wire::Event::Quote {
            ticker,
            bid,
            ask,
            stamp,
        } => {
            let ticker = ours(link, Kind::Quote, ticker, now)?;
            // Without a bid there is no middle, and a contract nobody bids for has no price.
            let quoted = *bid > Price::from_scaled(0) && bid <= ask;
            quoted.then(|| Update::Value {
                ticker,
                price: Price::from_scaled((bid.scaled() + ask.scaled()) / 2),
                stamp: *stamp,
            })
        }
        wire::Event::Bar { ticker, kind, bar } => Some(Update::Bar {
            ticker: ours(link, *kind, ticker, now)?,
            kind: *kind,
            bar: *bar,
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
fn shown(message: &str) -> String {
    message
        .chars()
        .take(200)
        .map(|c| if c.is_control() { ' ' } else { c })
        .collect()
}

async fn read(socket: &mut Option<Socket>) -> Option<Result<Message, tungstenite::Error>> {
    match socket {
        Some(socket) => socket.next().await,
        None => std::future::pending().await,
    }
}

/// Says goodbye as RFC 6455 wants it, so that the server forgets us at once.
async fn farewell(mut socket: Socket, code: Option<CloseCode>) {
    let closing = async {
        match code {
            Some(code) => {
                let reason = "".into();
                socket.close(Some(CloseFrame { code, reason })).await?;
            }
            // The answer is ready; it waits for a next use of the socket.
            None => socket.flush().await?,
        }
        // To the end of the bytes, whatever they are: a socket that is dropped with some unread
        // is reset, and a reset overtakes the close frame.
        let stream = socket.get_mut();
        stream.shutdown().await?;
        let mut rest = [0; 1024];
        while stream.read(&mut rest).await? > 0 {}
        Ok::<(), tungstenite::Error>(())
    };
    // The connection ends here in any case; only the log may want to know how.
    match tokio::time::timeout(FAREWELL_LIMIT, closing).await {
        Ok(Ok(())) => {}
        Ok(Err(error)) => log::debug!("farewell: {error}"),
        Err(_) => log::debug!("farewell: no answer"),
    }
}
