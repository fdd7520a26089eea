//! The I/O of one [`Connection`]: the socket, the timer and the messages. The session never
//! decides: the session executes the actions of the state machine and passes the received data to
//! its event sink (the ticker state or a hub).

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use futures_util::{SinkExt, StreamExt};
use tokio::sync::watch;
use tokio_tungstenite::tungstenite::protocol::frame::coding::CloseCode;
use tokio_tungstenite::tungstenite::{self, Message, Utf8Bytes};

use super::auth::attempt;
use super::backoff::REQUESTED_LIMIT;
use super::connection_status::{
    ConnectionAction, ConnectionEvent, ConnectionPhase, log_unanswered,
};
use super::sink::{ConsumerGone, EventSink, ServerState};
use super::{Connection, ConnectionStatus};
use crate::market::{Channel, Cluster};
use crate::massive::display_report::DisplayReport;
use crate::massive::websocket::{self, ChannelRefusal, ParseError};
use crate::net::connector::Connector;
use crate::net::failure::Failure;
use crate::net::source::FeedSource;
use crate::net::upgrade::WebSocket;
use crate::net::{Boxed, closing, failure_mapping, path};
use crate::secret::Secret;
use crate::time::{Clock, Moment};

/// The time limit for the transmission of one message. The connection is dropped after this limit.
const SEND_LIMIT: Duration = Duration::from_secs(5);
/// The maximum number of actions between two reads of the socket. Without this limit, thousands of
/// subscription requests in a row would leave the responses unread, and the responses would fill
/// the network buffers.
const MAX_ACTIONS_PER_READ: usize = 64;

/// The demand of the owner of a session.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct SubscriptionDemand {
    /// The wanted channels. The connection closes if the list is empty.
    pub channels: Vec<Channel>,
    /// The maximum time without data at the current time of day; `None` while the market is closed.
    pub max_silence: Option<Duration>,
    /// The report of the display for a deskticker-hub; `None` for a program that is no display.
    pub report: Option<DisplayReport>,
    /// True at the end of the program: the session must close the connection and return.
    pub stop: bool,
}

/// The connection to one cluster.
#[derive(Debug)]
pub struct Session<A: EventSink> {
    /// The cluster of this connection.
    pub cluster: Cluster,
    /// The server of the feed and its secret.
    pub source: Arc<FeedSource>,
    /// The connector that opens the network connections.
    pub connector: Connector,
    /// The current demand of the owner.
    pub demand: watch::Receiver<SubscriptionDemand>,
    /// The event sink for all received events.
    pub updates: A,
    /// The clock for all time limits.
    pub clock: Clock,
}

impl<A: EventSink> Session<A> {
    /// Runs the session until the owner requests a stop or the consumer is gone. The connection
    /// opens and closes as the demand requires.
    #[inline(never)]
    pub fn run(self) -> Boxed<'static, ()> {
        Box::pin(self.run_to_end())
    }

    async fn run_to_end(self) {
        // The seed only spreads the retries of many displays over time, so the seed needs no
        // cryptographic randomness.
        let mut link = Connection::new(self.source.provider, fastrand::u64(..));
        link.set_optional(self.cluster == Cluster::Stocks);
        link.set_awaits_welcome(A::AWAITS_WELCOME);
        let last_status = link.status();
        let server = ServerState::new(self.cluster, self.source.provider, link);
        let (alive, moves) = (self.connector.alive(), self.connector.changes());
        Runner {
            session: self,
            server,
            socket: None,
            last_status,
            pong: Moment::ZERO,
            alive,
            moves,
            report_is_due: false,
            reported: None,
            own_address: None,
            path: None,
        }
        .run()
        .await;
    }
}

struct Runner<A: EventSink> {
    session: Session<A>,
    server: ServerState,
    socket: Option<WebSocket>,
    last_status: ConnectionStatus,
    /// The time until which no data was lost, as the last pong proves.
    pong: Moment,
    /// A receiver that reports each answer of the host on any connection.
    alive: watch::Receiver<()>,
    /// A receiver that reports each change of the hub in use.
    moves: watch::Receiver<usize>,
    /// True if the report of the display may differ from the last report on this connection.
    report_is_due: bool,
    /// The last report on this connection.
    reported: Option<DisplayReport>,
    /// The address of this machine on the open connection, if the connection uses a network
    /// interface that can fail.
    own_address: Option<IpAddr>,
    /// The check of the path to the host, and true if the check is for an open connection.
    path: Option<(bool, Boxed<'static, Option<Failure>>)>,
}

impl<A: EventSink> Runner<A> {
    async fn run(mut self) {
        self.apply_demand();
        while self.step().await.is_ok() {
            // Messages that are already in the buffer need no wait, so a server that sends without
            // a pause would otherwise delay all other tasks.
            tokio::task::consume_budget().await;
        }
        self.close_with(Some(CloseCode::Normal)).await;
    }

    fn now(&self) -> Moment {
        self.session.clock.now().monotonic
    }

    /// Passes the demand of the owner to the state machine.
    fn apply_demand(&mut self) {
        let now = self.now();
        let demand = self.session.demand.borrow_and_update();
        self.server
            .link
            .want(&demand.channels, demand.max_silence, now);
        self.report_is_due = self.server.is_hub;
    }

    /// Sends the report of the display. Only a server that has identified itself as a
    /// deskticker-hub gets the report.
    async fn send_report(&mut self) {
        self.report_is_due = false;
        let report = self.session.demand.borrow().report.clone();
        let changed = report.as_ref().filter(|_| report != self.reported);
        if let Some(message) = changed.map(DisplayReport::message) {
            self.send(Message::text(message)).await;
        }
        self.reported = report;
    }

    /// Executes the due actions, then waits for one event and processes the event.
    async fn step(&mut self) -> Result<(), ConsumerGone> {
        for _ in 0..MAX_ACTIONS_PER_READ {
            let Some(action) = self.server.link.next(self.now()) else {
                break;
            };
            // `open` waits for the end of the attempt, so the new state must be published before
            // the action.
            self.publish_status().await?;
            self.perform(action).await?;
        }
        self.publish_status().await?;
        let phase = self.last_status.phase;
        if self.report_is_due && matches!(phase, ConnectionPhase::Live | ConnectionPhase::Silent) {
            self.send_report().await;
        }
        self.check_path();
        let deadline = self.session.clock.sleep_until(self.server.link.deadline());
        tokio::select! {
            path = checked(&mut self.path) => {
                self.path = None;
                self.server.link.on(ConnectionEvent::Path(path), self.now());
                Ok(())
            }
            message = read(&mut self.socket) => self.receive(message).await,
            () = deadline => Ok(()),
            changed = self.session.demand.changed() => self.demand_changed(changed.is_ok()),
            // The sender is part of the connector of this session, so `changed` never returns an
            // error here.
            Ok(()) = self.alive.changed() => {
                self.server.link.on(ConnectionEvent::Alive, self.now());
                Ok(())
            }
            Ok(()) = self.moves.changed() => {
                self.server.link.on(ConnectionEvent::Moved, self.now());
                Ok(())
            }
        }
    }

    /// Starts a check of the name and the route while the connection waits, and a check of the
    /// network interface while the connection is open.
    fn check_path(&mut self) {
        let open = self.socket.is_some();
        self.path.take_if(|(for_open, _)| *for_open != open);
        if self.path.is_some() {
            return;
        }
        let clock = self.session.clock.clone();
        let check = match self.own_address {
            Some(own) if open => path::check_interface(own, clock),
            _ if self.server.link.is_waiting() => {
                let source = (self.session.source).at(self.session.connector.active());
                path::check(source.endpoint, clock)
            }
            _ => return,
        };
        self.path = Some((open, check));
    }

    fn demand_changed(&mut self, heard: bool) -> Result<(), ConsumerGone> {
        if !heard || self.session.demand.borrow().stop {
            return Err(ConsumerGone);
        }
        self.apply_demand();
        Ok(())
    }

    /// Reports a changed status to the event sink and to the log, once for each change.
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
        status.log_change(&self.last_status, cluster);
        self.last_status = status;
        self.session.updates.status(cluster, status).await
    }

    async fn perform(&mut self, action: ConnectionAction) -> Result<(), ConsumerGone> {
        let message = match action {
            ConnectionAction::Open => return self.open().await,
            ConnectionAction::Authenticate => {
                let secret = self.session.source.secret.as_ref();
                let key = secret.map_or("", Secret::reveal);
                Message::text(websocket::auth(key))
            }
            ConnectionAction::Subscribe(channel) => Message::text(websocket::subscribe(&channel)),
            ConnectionAction::Unsubscribe(channel) => {
                let message = websocket::unsubscribe(&channel);
                self.send(Message::text(message)).await;
                return self.session.updates.unsubscribed(channel).await;
            }
            ConnectionAction::Ping => Message::Ping(Vec::new().into()),
            ConnectionAction::Report(channel, refusal) => {
                // The text of the hub about its limit is already in the log.
                if refusal != ChannelRefusal::Limit {
                    log_unanswered(self.session.source.provider, self.session.cluster, &channel);
                }
                let refusal = self.server.refusal(refusal);
                return self.session.updates.unanswered(channel, refusal).await;
            }
            ConnectionAction::Close(_) => {
                self.close_with(Some(CloseCode::Normal)).await;
                return Ok(());
            }
        };
        self.send(message).await;
        Ok(())
    }

    /// Opens the connection. The attempt ends at the time limit of the state machine.
    async fn open(&mut self) -> Result<(), ConsumerGone> {
        let connector = self.session.connector.clone();
        self.moves.mark_unchanged();
        let source = Arc::new(self.session.source.at(connector.active()));
        let mut attempt = attempt(connector, source, self.session.cluster);
        let began = self.now();
        loop {
            let deadline = self.session.clock.sleep_until(self.server.link.deadline());
            let outcome = tokio::select! {
                outcome = &mut attempt => outcome,
                // The state machine will cancel the attempt. The drop of `attempt` closes its
                // socket.
                () = deadline => return Ok(()),
                Ok(()) = self.moves.changed() => {
                    self.server.link.on(ConnectionEvent::Moved, self.now());
                    return Ok(());
                }
                changed = self.session.demand.changed() => {
                    self.demand_changed(changed.is_ok())?;
                    continue;
                }
            };
            let now = self.now();
            match outcome {
                Ok(opened) => {
                    let own = opened.socket.get_ref().own_address();
                    self.own_address = own.filter(|own| !own.to_canonical().is_loopback());
                    // A check in progress may be for the interface of the previous connection.
                    self.path = None;
                    self.socket = Some(opened.socket);
                    self.server.opened(opened.is_hub, now);
                    (self.reported, self.report_is_due) = (None, opened.is_hub);
                }
                Err(error) => {
                    let link = &mut self.server.link;
                    let utc = self.session.clock.now().utc;
                    if let Some(wait) = error.busy_wait(utc, REQUESTED_LIMIT) {
                        link.on(ConnectionEvent::RetryAfter(wait), now);
                    }
                    link.on(ConnectionEvent::Closed(error.reason), now);
                }
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
            // A server that reads nothing must not delay the end of the program.
            _ = demand.wait_for(|demand| demand.stop) => return,
        };
        let reason = match sent {
            Ok(Ok(())) => return,
            Ok(Err(error)) => failure_mapping::failure(&error),
            Err(_) => Failure::Timeout,
        };
        self.lost(reason);
    }

    /// Closes the connection, if a connection exists, with a closing handshake. `code` is the close
    /// code; `None` completes a close that the server started.
    async fn close_with(&mut self, code: Option<CloseCode>) {
        if let Some(socket) = self.socket.take() {
            closing::close(socket, code).await;
        }
    }

    fn lost(&mut self, reason: Failure) {
        self.socket = None;
        self.server
            .link
            .on(ConnectionEvent::Closed(reason), self.now());
    }

    /// Passes the text of a frame to the event sink.
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
                    self.server.count_parse_error(ParseError::Binary, "");
                }
            },
            Some(Ok(Message::Close(frame))) => {
                let reason = failure_mapping::farewell(
                    frame.as_ref(),
                    self.session.source.provider,
                    self.server.is_hub,
                );
                if let Some(frame) = frame {
                    log::debug!(
                        "{}: the server closed the connection with code {}",
                        self.session.cluster,
                        frame.code
                    );
                }
                self.server.link.on(ConnectionEvent::Closed(reason), now);
                self.close_with(None).await;
            }
            Some(Ok(Message::Pong(_))) => {
                self.pong = now - self.server.proof_lag();
                self.server.link.on(ConnectionEvent::Heard, now);
            }
            Some(Ok(Message::Ping(_) | Message::Frame(_))) => {
                self.server.link.on(ConnectionEvent::Heard, now)
            }
            Some(Err(error)) => {
                log::debug!("{}: the connection failed: {error}", self.session.cluster);
                match failure_mapping::complaint(&error) {
                    Some(code) => {
                        self.server.link.on(
                            ConnectionEvent::Closed(failure_mapping::failure(&error)),
                            now,
                        );
                        self.close_with(Some(code)).await;
                    }
                    None => self.lost(failure_mapping::failure(&error)),
                }
            }
            None => self.lost(Failure::Lost),
        }
        Ok(())
    }
}

/// Waits for the result of the check of the path.
async fn checked(path: &mut Option<(bool, Boxed<'static, Option<Failure>>)>) -> Option<Failure> {
    match path {
        Some((_, path)) => path.await,
        None => std::future::pending().await,
    }
}

async fn read(socket: &mut Option<WebSocket>) -> Option<Result<Message, tungstenite::Error>> {
    match socket {
        Some(socket) => socket.next().await,
        None => std::future::pending().await,
    }
}
