//! The listener of the hub: accepts connections, handles TLS, reads the requests of each connection
//! within a deadline, and passes upgraded connections to the event loop of the cluster. Never
//! decides about access (the module `router` does), and never reads a WebSocket frame.
//!
//! A client that requests `Connection: keep-alive` can send many requests on its connection. Before
//! the first request with a valid token, one deadline from the accept covers all requests, so a
//! client without a token cannot hold a connection slot for long. After it, the connection counts
//! for its device as a WebSocket does, and ends after [`IDLE_LIMIT`] without a request. Each request
//! waits for its turn, so a client that sends many requests at once delays only itself.

use std::convert::Infallible;
use std::future::poll_fn;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Duration;

use futures_util::FutureExt;
use hyper::Request;
use hyper::body::{Bytes, Incoming};
use hyper::header::{CONNECTION, DATE, HeaderValue};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinSet;

use super::admission::{KeptConnection, Origin};
use super::limits::SlotPermit;
use super::request_head::{HEAD_LIMIT, WithHead};
use super::response::RefusalReason;
use super::router::{AcceptedUpgrade, Peer, Router};
use super::tls::{self, Tls};
use crate::hub::auth::registry::Device;
use crate::hub::broker::event_loop::{PendingClient, Transport};
use crate::hub::metrics::Metrics;
use crate::hub::session::allowance::{Allowance, ReadLimits};
use crate::hub::session::websocket::{self, FrameCounts};
use crate::net::Boxed;
use crate::net::upgrade::lists;
use crate::systemd::Heartbeat;
use crate::time::{Moment, Utc};

/// The extra time for the response after a request head has arrived. A quote request must wait for
/// the vendor.
const EXCHANGE_LIMIT: Duration = Duration::from_secs(30);
/// The time for which the hub keeps the connection of a device without a request. It is longer than
/// the longest interval between two requests of a display.
const IDLE_LIMIT: Duration = Duration::from_secs(75);
/// The time limit for a client to read the response and close the connection.
const LINGER: Duration = Duration::from_secs(1);
/// The pause after a failed accept. The usual cause is that all file descriptors are in use, and a
/// closed connection soon makes one free.
const ACCEPT_RETRY: Duration = Duration::from_millis(100);

/// The start of the response to a slow request. The date and an empty line complete the head.
const TOO_SLOW: &str = "HTTP/1.1 408 Request Timeout\r\nConnection: close\r\nContent-Length: 0\r\n";
/// The response to a connection above the limit for unauthenticated connections.
const CROWDED: &[u8] = b"HTTP/1.1 503 Service Unavailable\r\nConnection: close\r\n\
    Content-Length: 0\r\nRetry-After: 10\r\n\r\n";
/// The close code for a client that must try again later.
const TRY_LATER: u16 = 1013;

/// Returns the value of the header `Date`.
fn date(utc: Utc) -> Option<HeaderValue> {
    HeaderValue::from_str(&utc.http_date()).ok()
}

/// Accepts connections until the hub stops. Then waits until the remaining connections have ended.
pub(crate) async fn serve(
    listener: TcpListener,
    router: Arc<Router>,
    mut heartbeat: Heartbeat,
    mut stop: watch::Receiver<bool>,
) {
    let mut connections = JoinSet::new();
    let mut failing = false;
    let stopping = stop.clone();
    loop {
        tokio::select! {
            () = crate::hub::stopped(&mut stop) => break,
            accepted = listener.accept() => match accepted {
                Ok((stream, peer)) => {
                    failing = false;
                    if let Some(connection) = start_connection(&router, stream, peer, stopping.clone()) {
                        connections.spawn(connection);
                    }
                    // The new connection gets its turn before the next accept. A client that has
                    // already sent its request therefore leaves the unauthenticated connections
                    // at once, and endless new connections do not delay the other tasks.
                    tokio::task::yield_now().await;
                }
                Err(error) => {
                    if !failing {
                        log::warn!("cannot accept client connections: {error}; the hub retries");
                    }
                    failing = true;
                    let due = router.clock.now().monotonic + ACCEPT_RETRY;
                    router.clock.sleep_until(due).await;
                }
            },
            Some(_) = connections.join_next() => {}
            () = router.clock.sleep_until(heartbeat.due()) => {}
        }
        heartbeat.beat(router.clock.now().monotonic);
    }
    drop(listener);
    while connections.join_next().await.is_some() {}
}

/// Returns the future that serves a new connection, or `None` if the hub closes the connection
/// before it reads a byte.
fn start_connection(
    router: &Arc<Router>,
    stream: TcpStream,
    peer: SocketAddr,
    mut stop: watch::Receiver<bool>,
) -> Option<impl Future<Output = ()> + Send + 'static> {
    let settings = router.settings.borrow().clone();
    let limits = &settings.limits;
    let origin = Origin::direct(peer.ip());
    let is_proxy = settings.trusted_proxies.contains(&peer.ip().to_canonical());
    let most = limits.unauthenticated;
    let unauthenticated_slot = router
        .admission
        .enter(origin, is_proxy, most, limits.per_minute);
    let Some(unauthenticated_slot) = unauthenticated_slot else {
        if settings.tls.is_none() {
            // The client gets no response if its request arrives before the close.
            stream.try_write(CROWDED).ok();
        }
        return None;
    };
    let now = router.clock.now().monotonic;
    let over_rate = !is_proxy && !unauthenticated_slot.charge(origin, now);
    // A TLS handshake is too expensive for a client above the rate limit.
    if over_rate && settings.tls.is_some() {
        router.metrics.refused_rate.add(1);
        return None;
    }
    let clients = router.metrics.clients.value();
    let place = router
        .visits
        .enter(limits.connections.saturating_sub(clients));
    if let Err(error) = stream.set_nodelay(true) {
        log::debug!("cannot set TCP_NODELAY: {error}");
    }
    let evicted = unauthenticated_slot.clone();
    let connection = HttpConnection {
        router: router.clone(),
        peer_info: Peer {
            peer: peer.ip(),
            is_proxy,
            full: place.is_none(),
            unauthenticated_slot,
            local: stream.local_addr().ok(),
        },
        deadline: now + Duration::from_secs(limits.head),
        _place: place,
    };
    Some(async move {
        tokio::select! {
            () = crate::hub::stopped(&mut stop) => {}
            () = evicted.evicted() => {}
            () = connection.serve_request(stream, settings.tls) => {}
        }
    })
}

/// The state of a connection between its requests.
#[derive(Debug)]
struct Progress {
    /// The time at which the hub closes the connection.
    deadline: Moment,
    /// The deadline for a request with a token.
    head_deadline: Moment,
    requests: u32,
    allowance: Allowance,
    /// True while the hub prepares a response.
    answering: bool,
    /// The place of the connection in the share of its device, if the hub keeps the connection.
    kept: Option<KeptConnection>,
}

impl Progress {
    /// Takes a request from the allowance of the connection. Returns the earliest time of the
    /// response; `None` for the first request, which need not wait for the other tasks.
    fn turn(&mut self, metrics: &Metrics, now: Moment) -> Option<Moment> {
        let request = FrameCounts {
            messages: 1,
            ..FrameCounts::default()
        };
        self.allowance.take(0, request, now);
        let pause = self.allowance.pause(true, now);
        if let Some((reason, _)) = pause {
            reason.counter(metrics).add(1);
        }
        let until = pause.map_or(now, |(_, until)| until);
        (self.requests > 0).then_some(until)
    }

    /// Begins the response to a request. Returns true for the first request of the connection.
    fn begin(&mut self, now: Moment) -> bool {
        self.requests = self.requests.saturating_add(1);
        self.answering = true;
        self.deadline = self.deadline.max(now + EXCHANGE_LIMIT);
        self.requests == 1
    }

    /// Sets the deadline after a response to `device`, which may keep the connection if `may_stay`
    /// is true. Returns true if the hub waits for a further request.
    fn end(&mut self, device: Option<Device>, may_stay: bool, router: &Router) -> bool {
        let now = router.clock.now().monotonic;
        self.answering = false;
        let is_known = device.is_some();
        if !may_stay {
            self.kept = None;
        } else if let Some(device) = device
            && (self.kept.as_ref()).is_none_or(|kept| *kept.device() != device)
        {
            self.kept = router.keep(&device);
        }
        self.deadline = match self.kept {
            Some(_) => now + IDLE_LIMIT,
            None if is_known => now + EXCHANGE_LIMIT,
            // The client gets some time to read the response.
            None => self.head_deadline + LINGER,
        };
        may_stay && (self.kept.is_some() || !is_known)
    }
}

/// Locks the state of a connection. A poisoned lock is safe, because each change is one statement.
fn lock(progress: &Mutex<Progress>) -> MutexGuard<'_, Progress> {
    progress.lock().unwrap_or_else(PoisonError::into_inner)
}

/// One connection from the accept to the upgrade or to the end.
struct HttpConnection {
    router: Arc<Router>,
    peer_info: Peer,
    /// The deadline for the complete head of the request.
    deadline: Moment,
    /// The slot of this connection. The drop of the connection makes the slot free.
    _place: Option<SlotPermit>,
}

impl HttpConnection {
    /// Serves the requests. Passes the connection to the event loop after an upgrade.
    async fn serve_request(self, stream: TcpStream, tls: Option<Tls>) {
        let Some(tls) = tls else {
            if let Some((stream, read_ahead, admission)) = self.exchange(stream).await {
                self.hand_over(Transport::Tcp(stream), read_ahead, admission);
            }
            return;
        };
        let stream = tokio::select! {
            accepted = tls.accept(stream) => match accepted {
                Ok(stream) => stream,
                Err(error) => {
                    log::debug!("{}: the TLS handshake failed: {error}", self.peer_info.peer);
                    return;
                }
            },
            () = self.router.clock.sleep_until(self.deadline) => return self.too_slow(),
        };
        if let Some((stream, read_ahead, admission)) = self.exchange(stream).await {
            let (transport, read_ahead) = tls::upgraded(stream, &read_ahead);
            self.hand_over(transport, read_ahead, admission);
        }
    }

    /// Reads one request and sends the response. Returns the connection if the request was an
    /// accepted upgrade.
    async fn exchange<S>(&self, stream: S) -> Option<(S, Bytes, AcceptedUpgrade)>
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let mut stream = WithHead::new(stream);
        let read = tokio::select! {
            read = stream.read_head() => read,
            () = self.router.clock.sleep_until(self.deadline) => {
                self.too_slow();
                let mut stream = stream.into_inner();
                // The hub writes only the bytes that the socket accepts at once, and does not wait
                // for a slow client.
                let date = match self.router.clock.now().utc {
                    Some(utc) => format!("Date: {}\r\n", utc.http_date()),
                    None => String::new(),
                };
                let answer = format!("{TOO_SLOW}{date}\r\n");
                stream.write_all(answer.as_bytes()).now_or_never();
                self.close_gracefully(stream).await;
                return None;
            }
        };
        if !matches!(read, Ok(true)) {
            log::debug!(
                "{}: the client left before it sent a request",
                self.peer_info.peer
            );
            return None;
        }
        self.respond(stream).await
    }

    /// Sends the response to a request whose head has arrived.
    async fn respond<S>(&self, stream: WithHead<S>) -> Option<(S, Bytes, AcceptedUpgrade)>
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let admitted = Arc::new(OnceLock::new());
        let progress = Arc::new(Mutex::new(Progress {
            deadline: self.deadline,
            head_deadline: self.deadline,
            requests: 0,
            allowance: Allowance::new(ReadLimits::of(&self.router.settings.borrow().limits)),
            answering: false,
            kept: None,
        }));
        let service = service_fn({
            let (router, peer_info) = (self.router.clone(), self.peer_info.clone());
            let (admitted, progress) = (admitted.clone(), progress.clone());
            move |request: Request<Incoming>| {
                let (router, admitted) = (router.clone(), admitted.clone());
                let (progress, peer_info) = (progress.clone(), peer_info.clone());
                let answering: Boxed<'static, _> = Box::pin(async move {
                    let now = router.clock.now().monotonic;
                    let turn = lock(&progress).turn(&router.metrics, now);
                    if let Some(until) = turn {
                        // The other tasks get their turn first, although the HTTP library may already
                        // have read many requests.
                        tokio::task::yield_now().await;
                        router.clock.sleep_until(until).await;
                    }
                    let is_first = lock(&progress).begin(router.clock.now().monotonic);
                    let mut answer = router.answer(&request, &peer_info, is_first).await;
                    if let Some(date) = router.clock.now().utc.and_then(date) {
                        answer.headers_mut().insert(DATE, date);
                    }
                    let device = answer.extensions_mut().remove::<Device>();
                    let may_stay = lists(request.headers(), &CONNECTION, "keep-alive")
                        && answer.extensions().get::<RefusalReason>().is_none()
                        && !peer_info.full;
                    let stays = lock(&progress).end(device, may_stay, &router);
                    match answer.extensions_mut().remove::<AcceptedUpgrade>() {
                        // An upgrade is the last request of its connection, so the cell is empty.
                        Some(admission) => drop(admitted.set(admission)),
                        None => {
                            let word = if stays { "keep-alive" } else { "close" };
                            let word = HeaderValue::from_static(word);
                            answer.headers_mut().insert(CONNECTION, word);
                        }
                    }
                    Ok::<_, Infallible>(answer)
                });
                answering
            }
        });
        let mut connection = http1::Builder::new()
            .max_buf_size(HEAD_LIMIT)
            // The hub sets the header `Date` itself, and only if its wall clock is set, because
            // displays compare their wall clock with this header.
            .auto_date_header(false)
            .serve_connection(TokioIo::new(stream), service);
        let mut deadline = self.deadline;
        let in_time = loop {
            tokio::select! {
                done = poll_fn(|cx| connection.poll_without_shutdown(cx)) => {
                    if let Err(error) = done {
                        log::debug!("{}: the connection failed: {error}", self.peer_info.peer);
                    }
                    break true;
                }
                () = self.router.clock.sleep_until(deadline) => {
                    let later = lock(&progress).deadline;
                    if later <= deadline {
                        break false;
                    }
                    deadline = later;
                }
            }
        };
        let answering = lock(&progress).answering;
        let parts = connection.into_parts();
        let (stream, rest) = parts.io.into_inner().into_parts();
        if let (true, Some(admission)) = (in_time, admitted.get()) {
            // A copy, because the buffer of the HTTP library is large and usually empty.
            let read_ahead = Bytes::from([&parts.read_buf[..], &rest].concat());
            return Some((stream, read_ahead, admission.clone()));
        }
        // A connection that only waits for its next request is not too slow.
        if !in_time && answering {
            self.too_slow();
        }
        self.close_gracefully(stream).await;
        None
    }

    /// Closes the connection so that the response arrives. The kernel resets a connection that is
    /// dropped with unread bytes, and the client would not get the response.
    async fn close_gracefully(&self, mut stream: impl AsyncRead + AsyncWrite + Unpin) {
        let clock = &self.router.clock;
        let due = clock.now().monotonic + LINGER;
        let leaving = async {
            stream.shutdown().await?;
            let mut rest = [0; 1024];
            // The hub does not use the body of a request, so it reads at most 64 KiB of the body.
            for _ in 0..64 {
                if stream.read(&mut rest).await? == 0 {
                    break;
                }
            }
            Ok::<(), std::io::Error>(())
        };
        tokio::select! {
            // The result does not matter, because the connection ends after success and after an
            // error.
            _ = leaving => {}
            () = clock.sleep_until(due) => {}
        }
    }

    fn too_slow(&self) {
        self.router.metrics.timeouts.add(1);
        log::debug!(
            "{}: the client did not send a complete request in time",
            self.peer_info.peer
        );
    }

    fn hand_over(&self, socket: Transport, read_ahead: Bytes, admission: AcceptedUpgrade) {
        let pending_client = PendingClient {
            socket,
            read_ahead,
            device: admission.device,
            address: admission.address,
            unauthenticated_slot: admission.unauthenticated_slot,
            below: admission.below,
        };
        if let Err(pending_client) = admission.acceptor.admit(pending_client) {
            self.router.metrics.refused_full.add(1);
            log::warn!(
                "{}: the queue of new clients is full; the hub refuses a client",
                admission.cluster
            );
            let frame = websocket::close(Some(TRY_LATER));
            if let Err(error) = pending_client.socket.try_write(&frame) {
                log::debug!("{}: the connection failed: {error}", self.peer_info.peer);
            }
        }
    }
}
