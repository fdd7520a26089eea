//! The shell around one [`Connection`]: a socket, a timer and the words between them. It decides
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

use super::auth::connect_token;
use super::connection::{
    ConnectionAction, ConnectionEvent, ConnectionPhase, DEAD_AFTER, FeedProvider,
};
use super::shelf::Shelf;
pub use super::sink::update;
use super::sink::{ConsumerGone, EventSink, ServerState};
use super::subscriptions::Channels;
use super::{Boxed, Connection, ConnectionStatus, Failure};
use crate::config::Secret;
use crate::market::{Channel, Cluster};
use crate::massive::websocket;
use crate::massive::websocket::ParseError;
use crate::net::connector;
use crate::net::connector::{Connector, Endpoint, WebSocket};
use crate::time::{Clock, Moment};

/// A message must be on its way within this, or the connection is given up.
const SEND_LIMIT: Duration = Duration::from_secs(5);
/// After so many actions the socket is read again, so that who subscribes to thousands of channels
/// does not leave the answers to fill the network's buffers.
const MAX_ACTIONS_PER_READ: usize = 64;
/// A farewell may take this long; the program ends within a second.
const FAREWELL_LIMIT: Duration = Duration::from_millis(300);

/// Who serves the feed, and how one is let in.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct FeedSource {
    /// A hub (or the proxy), or the vendor.
    pub provider: FeedProvider,
    /// Where it is.
    pub endpoint: Endpoint,
    /// The token or key; `None` for a hub that asks for none.
    pub secret: Option<Secret>,
}

impl FeedSource {
    /// Whether it is the vendor's endpoint that serves everything late, by its name.
    pub fn delayed(&self) -> bool {
        self.provider == FeedProvider::Vendor && self.endpoint.host.starts_with("delayed.")
    }

    /// The path of a cluster, with the token where it belongs there. Never to be logged.
    fn path(&self, cluster: Cluster, token: Option<&Secret>) -> String {
        match (self.provider, token) {
            (FeedProvider::Vendor, _) => format!("/{cluster}"),
            (FeedProvider::Hub, None) => format!("/ws/{cluster}"),
            // A token may hold `+`, `/` and `=` (standard base64).
            (FeedProvider::Hub, Some(token)) => {
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
pub struct SubscriptionDemand<W = Channels> {
    /// The channels; none closes the link.
    pub channels: W,
    /// How long they may be silent at this hour; `None` while the market is closed.
    pub max_silence: Option<Duration>,
    /// The program ends: say farewell and return.
    pub stop: bool,
}

/// One cluster's connection.
#[derive(Debug)]
pub struct Session<A: EventSink> {
    /// Which cluster.
    pub cluster: Cluster,
    /// Who serves it.
    pub source: Arc<FeedSource>,
    /// How to get there.
    pub connector: Connector,
    /// What is wanted.
    pub demand: watch::Receiver<SubscriptionDemand<<A::Shelf as Shelf>::Wanted>>,
    /// Where what comes is told.
    pub updates: A,
    /// Time.
    pub clock: Clock,
}

impl<A: EventSink> Session<A> {
    /// Keeps the link as the orders want it until they say stop or the audience is gone.
    #[inline(never)]
    pub fn run(self) -> Boxed<'static, ()> {
        Box::pin(self.run_to_end())
    }

    async fn run_to_end(self) {
        // The seed only spreads the retries of many displays.
        let mut link = Connection::with_shelf(self.source.provider, fastrand::u64(..));
        link.set_optional(self.cluster == Cluster::Stocks);
        let last_status = link.status();
        let server = ServerState::new(self.cluster, self.source.provider, link);
        let alive = self.connector.alive();
        Runner {
            session: self,
            server,
            socket: None,
            last_status,
            pong: Moment::ZERO,
            alive,
        }
        .run()
        .await;
    }
}

/// An answer to a ping proves that nothing was lost up to this long before it. The vendor answers for
/// itself. A hub still answers while its own upstream is dead and it has not noticed that yet.
const fn proof_lag(provider: FeedProvider) -> Duration {
    match provider {
        FeedProvider::Vendor => Duration::ZERO,
        FeedProvider::Hub => DEAD_AFTER.saturating_add(Duration::from_secs(2)),
    }
}

struct Runner<A: EventSink> {
    session: Session<A>,
    server: ServerState<A::Shelf>,
    socket: Option<WebSocket>,
    last_status: ConnectionStatus,
    /// Up to when the last answer to a ping proves that nothing was lost.
    pong: Moment,
    /// The host has answered somebody.
    alive: watch::Receiver<u32>,
}

impl<A: EventSink> Runner<A> {
    async fn run(mut self) {
        self.apply_demand();
        while self.step().await.is_ok() {}
        self.close_with(Some(CloseCode::Normal)).await;
    }

    fn now(&self) -> Moment {
        self.session.clock.now().monotonic
    }

    /// Takes over what the desk wants.
    fn apply_demand(&mut self) {
        let now = self.now();
        let demand = self.session.demand.borrow_and_update();
        self.server
            .link
            .want(&demand.channels, demand.max_silence, now);
    }

    /// Does what is due, then waits for one thing to happen and takes it in.
    async fn step(&mut self) -> Result<(), ConsumerGone> {
        for _ in 0..MAX_ACTIONS_PER_READ {
            let Some(action) = self.server.link.next(self.now()) else {
                break;
            };
            // A connection that becomes one between `Open` and its answer is told as it happens.
            self.publish_status().await?;
            self.perform(action).await?;
        }
        self.publish_status().await?;
        let deadline = self.session.clock.sleep_until(self.server.link.deadline());
        tokio::select! {
            message = read(&mut self.socket) => self.receive(message).await,
            () = deadline => Ok(()),
            changed = self.session.demand.changed() => self.demand_changed(changed.is_ok()),
            // Its sender lives as long as the connector of this session.
            Ok(()) = self.alive.changed() => {
                self.server.link.on(ConnectionEvent::Alive, self.now());
                Ok(())
            }
        }
    }

    fn demand_changed(&mut self, heard: bool) -> Result<(), ConsumerGone> {
        if !heard || self.session.demand.borrow().stop {
            return Err(ConsumerGone);
        }
        self.apply_demand();
        Ok(())
    }

    /// Tells the desk, and the log, of a change of the link's state: once each.
    async fn publish_status(&mut self) -> Result<(), ConsumerGone> {
        let status = ConnectionStatus {
            simulated: self.server.simulated,
            heard: self.pong,
            cut_off: self.server.cut_off,
            ..self.server.link.status()
        };
        if status == self.last_status {
            return Ok(());
        }
        let cluster = self.session.cluster;
        if matches!(
            status.phase,
            ConnectionPhase::Down | ConnectionPhase::Refused
        ) {
            self.session.connector.lost();
        }
        if status.phase == ConnectionPhase::Live && self.last_status.phase != ConnectionPhase::Live
        {
            self.session.connector.answered();
            self.alive.mark_unchanged();
        }
        if (status.phase, status.reason) != (self.last_status.phase, self.last_status.reason) {
            let phase = format!("{:?}", status.phase).to_lowercase();
            match status.reason {
                Some(reason) if reason != Failure::Done => {
                    if self.last_status.reason != Some(reason) {
                        log::warn!("{cluster}: {phase}: {reason}");
                    }
                }
                _ => log::info!("{cluster}: {phase}"),
            }
        }
        self.last_status = status;
        self.session.updates.status(cluster, status).await
    }

    async fn perform(&mut self, action: ConnectionAction) -> Result<(), ConsumerGone> {
        let message = match action {
            ConnectionAction::Open => return self.open().await,
            ConnectionAction::Authenticate => {
                let key = self
                    .session
                    .source
                    .secret
                    .as_ref()
                    .map_or("", Secret::reveal);
                Message::text(websocket::auth(key))
            }
            ConnectionAction::Subscribe(channel) => Message::text(websocket::subscribe(&channel)),
            ConnectionAction::Unsubscribe(channel) => {
                Message::text(websocket::unsubscribe(&channel))
            }
            ConnectionAction::Ping => Message::Ping(Vec::new().into()),
            ConnectionAction::Report(channel) => {
                self.report(&channel);
                let not_authorized = self.server.not_authorized;
                return self
                    .session
                    .updates
                    .unanswered(channel, not_authorized)
                    .await;
            }
            ConnectionAction::Close(_) => {
                self.close_with(Some(CloseCode::Normal)).await;
                return Ok(());
            }
        };
        self.send(message).await;
        Ok(())
    }

    fn report(&self, channel: &Channel) {
        let cluster = self.session.cluster;
        match self.session.source.provider {
            FeedProvider::Vendor => log::warn!(
                "{cluster}: {channel} was asked for twice and never confirmed: is it in the plan?"
            ),
            // The proxy confirms nothing to who comes late, so this is no fault by itself.
            FeedProvider::Hub => {
                log::info!("{cluster}: {channel} was asked for twice and never confirmed")
            }
        }
    }

    /// Opens the connection; the attempt ends when the link's patience does.
    async fn open(&mut self) -> Result<(), ConsumerGone> {
        let mut attempt = attempt(
            self.session.connector.clone(),
            self.session.source.clone(),
            self.session.cluster,
        );
        let began = self.now();
        loop {
            let deadline = self.session.clock.sleep_until(self.server.link.deadline());
            let outcome = tokio::select! {
                outcome = &mut attempt => outcome,
                // Back to the link, which will give up the attempt; dropping it closes its socket.
                () = deadline => return Ok(()),
                changed = self.session.demand.changed() => {
                    self.demand_changed(changed.is_ok())?;
                    continue;
                }
            };
            let now = self.now();
            match outcome {
                Ok(socket) => {
                    self.socket = Some(socket);
                    self.server.opened(now);
                }
                Err(reason) => self.server.link.on(ConnectionEvent::Closed(reason), now),
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
        let mut demand = self.session.demand.clone();
        let sent = tokio::select! {
            sent = tokio::time::timeout(SEND_LIMIT, socket.send(message)) => sent,
            // A server that reads nothing must not hold up the end of the program.
            _ = demand.wait_for(|demand| demand.stop) => return,
        };
        let reason = match sent {
            Ok(Ok(())) => return,
            Ok(Err(error)) => connector::failure(&error),
            Err(_) => Failure::Timeout,
        };
        self.lost(reason);
    }

    /// Ends the connection, if there is one, in good order: with a code of ours, or with the
    /// answer to the other side's.
    async fn close_with(&mut self, code: Option<CloseCode>) {
        if let Some(socket) = self.socket.take() {
            farewell(socket, code).await;
        }
    }

    fn lost(&mut self, reason: Failure) {
        self.socket = None;
        self.server
            .link
            .on(ConnectionEvent::Closed(reason), self.now());
    }

    /// Passes the text of a frame on.
    async fn read(&mut self, text: &Utf8Bytes, now: Moment) -> Result<(), ConsumerGone> {
        self.server.link.on(ConnectionEvent::Heard, now);
        let last_status = self
            .session
            .updates
            .frame(text, &mut self.server, now)
            .await;
        if std::mem::take(&mut self.server.ended) {
            self.socket = None;
        }
        last_status
    }

    async fn receive(
        &mut self,
        message: Option<Result<Message, tungstenite::Error>>,
    ) -> Result<(), ConsumerGone> {
        let now = self.now();
        match message {
            Some(Ok(Message::Text(text))) => return self.read(&text, now).await,
            // Some relays send their text in binary frames.
            Some(Ok(Message::Binary(bytes))) => match Utf8Bytes::try_from(bytes) {
                Ok(text) => return self.read(&text, now).await,
                Err(_) => {
                    self.server.link.on(ConnectionEvent::Heard, now);
                    self.server.count_parse_error(ParseError::Binary);
                }
            },
            Some(Ok(Message::Close(frame))) => {
                let reason = connector::farewell(frame.as_ref(), self.session.source.provider);
                if let Some(frame) = frame {
                    log::debug!("{}: closed: {}", self.session.cluster, frame.code);
                }
                self.server.link.on(ConnectionEvent::Closed(reason), now);
                self.close_with(None).await;
            }
            Some(Ok(Message::Pong(_))) => {
                self.pong = now - proof_lag(self.session.source.provider);
                self.server.link.on(ConnectionEvent::Heard, now);
            }
            Some(Ok(Message::Ping(_) | Message::Frame(_))) => {
                self.server.link.on(ConnectionEvent::Heard, now)
            }
            Some(Err(error)) => {
                log::debug!("{}: {error}", self.session.cluster);
                match connector::complaint(&error) {
                    Some(code) => {
                        self.server
                            .link
                            .on(ConnectionEvent::Closed(connector::failure(&error)), now);
                        self.close_with(Some(code)).await;
                    }
                    None => self.lost(connector::failure(&error)),
                }
            }
            None => self.lost(Failure::Lost),
        }
        Ok(())
    }
}

/// What a try may take before another is begun beside it: a server that accepts and says nothing, a name
/// server or a packet that is lost would hold up all that follows.
const PARALLEL_AFTER: Duration = Duration::from_millis(1500);
/// So many tries at once at most.
const MAX_ATTEMPTS: usize = 5;

/// A connection to a cluster, with all that it takes to be let in: the first of some tries to end.
#[inline(never)]
fn attempt(
    connector: Connector,
    source: Arc<FeedSource>,
    cluster: Cluster,
) -> Boxed<'static, Result<WebSocket, Failure>> {
    Box::pin(async move {
        // Dropped with this function, and the tries that have not ended with it.
        let mut tries = JoinSet::new();
        loop {
            tries.spawn(try_once(connector.clone(), source.clone(), cluster));
            let more = source.provider == FeedProvider::Hub && tries.len() < MAX_ATTEMPTS;
            let first = if more {
                tokio::time::timeout(PARALLEL_AFTER, tries.join_next())
                    .await
                    .ok()
            } else {
                Some(tries.join_next().await)
            };
            match first {
                Some(Some(Ok(outcome))) => return outcome,
                // It panicked, and that has been told.
                Some(_) => return Err(Failure::Lost),
                None => {}
            }
        }
    })
}

async fn try_once(
    connector: Connector,
    source: Arc<FeedSource>,
    cluster: Cluster,
) -> Result<WebSocket, Failure> {
    // A fresh one for each attempt: it is good for one upgrade, and who is at the other end is
    // looked at anew.
    let token = connect_token(&connector, &source).await?;
    let path = source.path(cluster, token.as_ref());
    connector.websocket(&source.endpoint, &path, &[]).await
}

async fn read(socket: &mut Option<WebSocket>) -> Option<Result<Message, tungstenite::Error>> {
    match socket {
        Some(socket) => socket.next().await,
        None => std::future::pending().await,
    }
}

/// Says goodbye as RFC 6455 wants it, so that the server forgets us at once.
#[inline(never)]
fn farewell(socket: WebSocket, code: Option<CloseCode>) -> Boxed<'static, ()> {
    Box::pin(close_gracefully(socket, code))
}

async fn close_gracefully(mut socket: WebSocket, code: Option<CloseCode>) {
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
