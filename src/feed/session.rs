//! The shell around one [`Link`]: a socket, a timer and the words between them. It decides
//! nothing; it does what the link says and tells its audience (a desk, a hub) what came.

use std::sync::Arc;
use std::time::Duration;

use futures_util::{SinkExt, StreamExt};
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio_tungstenite::tungstenite::protocol::CloseFrame;
use tokio_tungstenite::tungstenite::protocol::frame::coding::CloseCode;
use tokio_tungstenite::tungstenite::{self, Message, Utf8Bytes};

pub use super::audience::update;
use super::audience::{Audience, Line, Over};
use super::link::{Action, DEAD_AFTER, Event, Phase, Via};
use super::net::{self, Connector, Endpoint, Socket};
use super::shelf::Shelf;
use super::subscriptions::Channels;
use super::ticket::ticket;
use super::wire::{self, Junk};
use super::{Boxed, Link, Status, Why};
use crate::clock::{Clock, Moment};
use crate::config::Secret;
use crate::market::{Channel, Cluster};

/// A message must be on its way within this, or the connection is given up.
const SEND_LIMIT: Duration = Duration::from_secs(5);
/// After so many actions the socket is read again, so that who subscribes to thousands of channels
/// does not leave the answers to fill the network's buffers.
const BURST: usize = 64;
/// A farewell may take this long; the program ends within a second.
const FAREWELL_LIMIT: Duration = Duration::from_millis(300);

/// Who serves the feed, and how one is let in.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Source {
    /// A hub (or the proxy), or the vendor.
    pub via: Via,
    /// Where it is.
    pub endpoint: Endpoint,
    /// The token or key; `None` for a hub that asks for none.
    pub secret: Option<Secret>,
}

impl Source {
    /// Whether it is the vendor's endpoint that serves everything late, by its name.
    pub fn delayed(&self) -> bool {
        self.via == Via::Vendor && self.endpoint.host.starts_with("delayed.")
    }

    /// The path of a cluster, with the token where it belongs there. Never to be logged.
    fn path(&self, cluster: Cluster, token: Option<&Secret>) -> String {
        match (self.via, token) {
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

/// What whoever owns a session wants of it.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Orders<W = Channels> {
    /// The channels; none closes the link.
    pub channels: W,
    /// How long they may be silent at this hour; `None` while the market is closed.
    pub patience: Option<Duration>,
    /// The program ends: say farewell and return.
    pub stop: bool,
}

/// One cluster's connection.
#[derive(Debug)]
pub struct Session<A: Audience> {
    /// Which cluster.
    pub cluster: Cluster,
    /// Who serves it.
    pub source: Arc<Source>,
    /// How to get there.
    pub connector: Connector,
    /// What is wanted.
    pub orders: watch::Receiver<Orders<<A::Shelf as Shelf>::Wanted>>,
    /// Where what comes is told.
    pub updates: A,
    /// Time.
    pub clock: Clock,
}

impl<A: Audience> Session<A> {
    /// Keeps the link as the orders want it until they say stop or the audience is gone.
    #[inline(never)]
    pub fn run(self) -> Boxed<'static, ()> {
        Box::pin(self.kept())
    }

    async fn kept(self) {
        // The seed only spreads the retries of many displays.
        let mut link = Link::with_shelf(self.source.via, fastrand::u64(..));
        link.set_spare(self.cluster == Cluster::Stocks);
        let told = link.status();
        let line = Line::new(self.cluster, self.source.via, link);
        let alive = self.connector.alive();
        Runner {
            session: self,
            line,
            socket: None,
            told,
            pong: Moment::ZERO,
            alive,
        }
        .run()
        .await;
    }
}

/// An answer to a ping proves that nothing was lost up to this long before it. The vendor answers for
/// itself. A hub still answers while its own upstream is dead and it has not noticed that yet.
const fn proof_lag(via: Via) -> Duration {
    match via {
        Via::Vendor => Duration::ZERO,
        Via::Hub => DEAD_AFTER.saturating_add(Duration::from_secs(2)),
    }
}

struct Runner<A: Audience> {
    session: Session<A>,
    line: Line<A::Shelf>,
    socket: Option<Socket>,
    told: Status,
    /// Up to when the last answer to a ping proves that nothing was lost.
    pong: Moment,
    /// The host has answered somebody.
    alive: watch::Receiver<u32>,
}

impl<A: Audience> Runner<A> {
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
        self.line.link.want(&orders.channels, orders.patience, now);
    }

    /// Does what is due, then waits for one thing to happen and takes it in.
    async fn step(&mut self) -> Result<(), Over> {
        for _ in 0..BURST {
            let Some(action) = self.line.link.next(self.now()) else {
                break;
            };
            // A connection that becomes one between `Open` and its answer is told as it happens.
            self.tell().await?;
            self.perform(action).await?;
        }
        self.tell().await?;
        let deadline = self.session.clock.sleep_until(self.line.link.deadline());
        tokio::select! {
            message = read(&mut self.socket) => self.hear(message).await,
            () = deadline => Ok(()),
            changed = self.session.orders.changed() => self.ordered(changed.is_ok()),
            // Its sender lives as long as the connector of this session.
            Ok(()) = self.alive.changed() => {
                self.line.link.on(Event::Alive, self.now());
                Ok(())
            }
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
            simulated: self.line.simulated,
            heard: self.pong,
            cut_off: self.line.cut_off,
            ..self.line.link.status()
        };
        if status == self.told {
            return Ok(());
        }
        let cluster = self.session.cluster;
        if matches!(status.phase, Phase::Down | Phase::Refused) {
            self.session.connector.lost();
        }
        if status.phase == Phase::Live && self.told.phase != Phase::Live {
            self.session.connector.answered();
            self.alive.mark_unchanged();
        }
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
        self.session.updates.status(cluster, status).await
    }

    async fn perform(&mut self, action: Action) -> Result<(), Over> {
        let message = match action {
            Action::Open => return self.open().await,
            Action::Authenticate => {
                let key = self
                    .session
                    .source
                    .secret
                    .as_ref()
                    .map_or("", Secret::reveal);
                Message::text(wire::auth(key))
            }
            Action::Subscribe(channel) => Message::text(wire::subscribe(&channel)),
            Action::Unsubscribe(channel) => Message::text(wire::unsubscribe(&channel)),
            Action::Ping => Message::Ping(Vec::new().into()),
            Action::Report(channel) => {
                self.report(&channel);
                let not_authorized = self.line.not_authorized;
                return self
                    .session
                    .updates
                    .unanswered(channel, not_authorized)
                    .await;
            }
            Action::Close(_) => {
                self.part(Some(CloseCode::Normal)).await;
                return Ok(());
            }
        };
        self.send(message).await;
        Ok(())
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
        let mut attempt = attempt(
            self.session.connector.clone(),
            self.session.source.clone(),
            self.session.cluster,
        );
        let began = self.now();
        loop {
            let deadline = self.session.clock.sleep_until(self.line.link.deadline());
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
                    self.line.opened(now);
                }
                Err(why) => self.line.link.on(Event::Closed(why), now),
            }
            if let Some((utc, ago)) = self.session.connector.take_date(now.since(began)) {
                self.session.updates.server_time(now - ago, utc).await?;
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
        self.line.link.on(Event::Closed(why), self.now());
    }

    /// Passes the text of a frame on.
    async fn read(&mut self, text: &Utf8Bytes, now: Moment) -> Result<(), Over> {
        self.line.link.on(Event::Heard, now);
        let told = self.session.updates.frame(text, &mut self.line, now).await;
        if std::mem::take(&mut self.line.ended) {
            self.socket = None;
        }
        told
    }

    async fn hear(
        &mut self,
        message: Option<Result<Message, tungstenite::Error>>,
    ) -> Result<(), Over> {
        let now = self.now();
        match message {
            Some(Ok(Message::Text(text))) => return self.read(&text, now).await,
            // Some relays send their text in binary frames.
            Some(Ok(Message::Binary(bytes))) => match Utf8Bytes::try_from(bytes) {
                Ok(text) => return self.read(&text, now).await,
                Err(_) => {
                    self.line.link.on(Event::Heard, now);
                    self.line.junk(Junk::Binary);
                }
            },
            Some(Ok(Message::Close(frame))) => {
                let why = net::farewell(frame.as_ref(), self.session.source.via);
                if let Some(frame) = frame {
                    log::debug!("{}: closed: {}", self.session.cluster, frame.code);
                }
                self.line.link.on(Event::Closed(why), now);
                self.part(None).await;
            }
            Some(Ok(Message::Pong(_))) => {
                self.pong = now - proof_lag(self.session.source.via);
                self.line.link.on(Event::Heard, now);
            }
            Some(Ok(Message::Ping(_) | Message::Frame(_))) => self.line.link.on(Event::Heard, now),
            Some(Err(error)) => {
                log::debug!("{}: {error}", self.session.cluster);
                match net::complaint(&error) {
                    Some(code) => {
                        self.line.link.on(Event::Closed(net::failure(&error)), now);
                        self.part(Some(code)).await;
                    }
                    None => self.lost(net::failure(&error)),
                }
            }
            None => self.lost(Why::Lost),
        }
        Ok(())
    }
}

/// What a try may take before another is begun beside it: a server that accepts and says nothing, a name
/// server or a packet that is lost would hold up all that follows.
const BESIDE: Duration = Duration::from_millis(1500);
/// So many tries at once at most.
const TRIES: usize = 5;

/// A connection to a cluster, with all that it takes to be let in: the first of some tries to end.
#[inline(never)]
fn attempt(
    connector: Connector,
    source: Arc<Source>,
    cluster: Cluster,
) -> Boxed<'static, Result<Socket, Why>> {
    Box::pin(async move {
        // Dropped with this function, and the tries that have not ended with it.
        let mut tries = JoinSet::new();
        loop {
            tries.spawn(try_once(connector.clone(), source.clone(), cluster));
            let more = source.via == Via::Hub && tries.len() < TRIES;
            let first = if more {
                tokio::time::timeout(BESIDE, tries.join_next()).await.ok()
            } else {
                Some(tries.join_next().await)
            };
            match first {
                Some(Some(Ok(outcome))) => return outcome,
                // It panicked, and that has been told.
                Some(_) => return Err(Why::Lost),
                None => {}
            }
        }
    })
}

async fn try_once(
    connector: Connector,
    source: Arc<Source>,
    cluster: Cluster,
) -> Result<Socket, Why> {
    // A fresh one for each attempt: it is good for one upgrade, and who is at the other end is
    // looked at anew.
    let token = ticket(&connector, &source).await?;
    let path = source.path(cluster, token.as_ref());
    connector.websocket(&source.endpoint, &path, &[]).await
}

async fn read(socket: &mut Option<Socket>) -> Option<Result<Message, tungstenite::Error>> {
    match socket {
        Some(socket) => socket.next().await,
        None => std::future::pending().await,
    }
}

/// Says goodbye as RFC 6455 wants it, so that the server forgets us at once.
#[inline(never)]
fn farewell(socket: Socket, code: Option<CloseCode>) -> Boxed<'static, ()> {
    Box::pin(parting(socket, code))
}

async fn parting(mut socket: Socket, code: Option<CloseCode>) {
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
