//! The listener of the hub: accepts connections, handles TLS, reads one request from each
//! connection within a deadline, and passes upgraded connections to the event loop of the cluster.
//! Never decides about access (the module `router` does), and never reads a WebSocket frame.
//!
//! Each connection has only one request, because a display sends few requests before its upgrade.
//! One deadline from the accept therefore covers the whole request, and a client that sends nothing
//! cannot hold a connection slot for long.

use std::convert::Infallible;
use std::future::poll_fn;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use futures_util::FutureExt;
use hyper::Request;
use hyper::body::{Bytes, Incoming};
use hyper::header::{CONNECTION, DATE, HeaderValue};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream, UnixStream};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio_rustls::server::TlsStream;

use super::limits::SlotPermit;
use super::router::{AcceptedUpgrade, Peer, RejectReason, Router};
use super::tls::{self, Tls};
use crate::hub::broker::event_loop::{PendingClient, Transport};
use crate::hub::session::websocket;
use crate::net::Boxed;
use crate::systemd::Heartbeat;
use crate::time::{Clock, Moment};

/// The extra time for the response after a request head has arrived. A quote request must wait for
/// the vendor.
const EXCHANGE_LIMIT: Duration = Duration::from_secs(30);
/// The time limit for a client to read the response and close the connection.
const LINGER: Duration = Duration::from_secs(1);
/// The maximum size of a request head, in bytes. A token needs some dozen bytes; the cookies of a
/// browser need some thousand bytes.
const HEAD_LIMIT: usize = 16 << 10;
/// The maximum number of connections above the limits that get a refusal with a reason at the same
/// time. The hub closes further connections without a response.
const MAX_REFUSALS: u64 = 64;
/// The pause after a failed accept. The usual cause is that all file descriptors are in use, and a
/// closed connection soon makes one free.
const ACCEPT_RETRY: Duration = Duration::from_millis(100);

/// The start of the response to a slow request. The date and an empty line complete the head.
const TOO_SLOW: &str = "HTTP/1.1 408 Request Timeout\r\nConnection: close\r\nContent-Length: 0\r\n";
/// The close code for a client that shall try again later.
const TRY_LATER: u16 = 1013;

/// Returns the current value of the header `Date`, or `None` while the wall clock is not set.
fn date(clock: &Clock) -> Option<HeaderValue> {
    HeaderValue::from_str(&clock.now().utc?.http_date()).ok()
}

/// Accepts connections until the hub stops. Then waits until the remaining connections have ended.
pub(crate) async fn serve(
    listener: TcpListener,
    router: Arc<Router>,
    mut heartbeat: Heartbeat,
    mut stop: watch::Receiver<bool>,
) {
    let mut visits = JoinSet::new();
    let mut failing = false;
    let stopping = stop.clone();
    loop {
        tokio::select! {
            () = crate::hub::stopped(&mut stop) => break,
            accepted = listener.accept() => match accepted {
                Ok((stream, peer)) => {
                    failing = false;
                    if let Some(visit) = start_connection(&router, stream, peer, stopping.clone()) {
                        visits.spawn(visit);
                    }
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
            Some(_) = visits.join_next() => {}
            () = router.clock.sleep_until(heartbeat.due()) => {}
        }
        heartbeat.beat(router.clock.now().monotonic);
    }
    drop(listener);
    while visits.join_next().await.is_some() {}
}

/// Returns the future that serves a new connection, or `None` if the hub closes the connection
/// without a response.
fn start_connection(
    router: &Arc<Router>,
    stream: TcpStream,
    peer: SocketAddr,
    mut stop: watch::Receiver<bool>,
) -> Option<impl Future<Output = ()> + Send + 'static> {
    let settings = router.settings.borrow().clone();
    let clients = router.metrics.clients.value();
    let room = settings.limits.connections.saturating_sub(clients);
    let known = !settings.trusted_proxies.contains(&peer.ip().to_canonical());
    let over_rate = known && !router.within_rate(peer.ip(), &settings);
    let visit = (!over_rate).then(|| router.visits.enter(room)).flatten();
    let refused = match (&visit, over_rate) {
        (Some(_), _) => None,
        (None, true) => Some(RejectReason::Rate),
        (None, false) => Some(RejectReason::Full),
    };
    // A TLS handshake is too expensive for a client above the rate limit. With TLS, the client gets
    // no response.
    let place = if over_rate && settings.tls.is_some() {
        None
    } else {
        visit.or_else(|| router.refusal_slots.enter(MAX_REFUSALS))
    };
    let Some(place) = place else {
        match refused {
            Some(RejectReason::Rate) => router.metrics.refused_rate.add(1),
            _ => router.metrics.refused_full.add(1),
        }
        return None;
    };
    if let Err(error) = stream.set_nodelay(true) {
        log::debug!("cannot set TCP_NODELAY: {error}");
    }
    let visit = HttpConnection {
        router: router.clone(),
        peer_info: Peer {
            peer: peer.ip(),
            local: stream.local_addr().ok(),
            refused,
        },
        deadline: router.clock.now().monotonic + Duration::from_secs(settings.limits.head),
        _place: place,
    };
    let clock = router.clock.clone();
    Some(async move {
        let carried = tokio::select! {
            () = crate::hub::stopped(&mut stop) => None,
            carried = visit.serve_request(stream, settings.tls) => carried,
        };
        // The TLS task continues during the shutdown, because the event loop sends its close frames
        // through this task.
        if let Some((stream, outer)) = carried {
            tls::carry(stream, outer, clock).await;
        }
    })
}

/// One connection from the accept to the upgrade or to the end.
struct HttpConnection {
    router: Arc<Router>,
    peer_info: Peer,
    /// The deadline for the complete head of the request.
    deadline: Moment,
    /// The slot of this connection. The drop of the connection makes the slot free.
    _place: SlotPermit,
}

impl HttpConnection {
    /// Serves the request. For an upgrade over TLS, returns the TLS stream and the outer end of the
    /// socket pair, and the caller must copy bytes between both.
    async fn serve_request(
        self,
        stream: TcpStream,
        tls: Option<Tls>,
    ) -> Option<(TlsStream<TcpStream>, UnixStream)> {
        let Some(tls) = tls else {
            let (stream, read_ahead, admission) = self.exchange(stream).await?;
            self.hand_over(Transport::Tcp(stream), read_ahead, admission);
            return None;
        };
        let stream = tokio::select! {
            accepted = tls.accept(stream) => match accepted {
                Ok(stream) => stream,
                Err(error) => {
                    log::debug!("{}: the TLS handshake failed: {error}", self.peer_info.peer);
                    return None;
                }
            },
            () = self.router.clock.sleep_until(self.deadline) => {
                self.too_slow();
                return None;
            }
        };
        let (stream, read_ahead, admission) = self.exchange(stream).await?;
        match UnixStream::pair() {
            Ok((inner, outer)) => {
                self.hand_over(Transport::Pair(inner), read_ahead, admission);
                Some((stream, outer))
            }
            Err(error) => {
                log::warn!("cannot create a socket pair for a client: {error}");
                None
            }
        }
    }

    /// Reads one request and sends the response. Returns the connection if the request was an
    /// accepted upgrade.
    async fn exchange<S>(&self, stream: S) -> Option<(S, Bytes, AcceptedUpgrade)>
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let admitted = Arc::new(OnceLock::new());
        let begun = Arc::new(AtomicBool::new(false));
        let service = service_fn({
            let (router, peer_info) = (self.router.clone(), self.peer_info);
            let (admitted, begun) = (admitted.clone(), begun.clone());
            move |request: Request<Incoming>| {
                let (router, admitted) = (router.clone(), admitted.clone());
                begun.store(true, Ordering::Relaxed);
                let answering: Boxed<'static, _> = Box::pin(async move {
                    let mut answer = router.answer(&request, peer_info).await;
                    if let Some(date) = date(&router.clock) {
                        answer.headers_mut().insert(DATE, date);
                    }
                    match answer.extensions_mut().remove::<AcceptedUpgrade>() {
                        // Each connection has only one request, so the cell is still empty.
                        Some(admission) => drop(admitted.set(admission)),
                        None => {
                            let close = HeaderValue::from_static("close");
                            answer.headers_mut().insert(CONNECTION, close);
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
        let mut answering = false;
        let in_time = loop {
            tokio::select! {
                done = poll_fn(|cx| connection.poll_without_shutdown(cx)) => {
                    if let Err(error) = done {
                        log::debug!("{}: the connection failed: {error}", self.peer_info.peer);
                    }
                    break true;
                }
                () = self.router.clock.sleep_until(deadline) => {
                    if answering || !begun.load(Ordering::Relaxed) {
                        break false;
                    }
                    answering = true;
                    deadline = deadline + EXCHANGE_LIMIT;
                }
            }
        };
        let parts = connection.into_parts();
        let mut stream = parts.io.into_inner();
        if let (true, Some(admission)) = (in_time, admitted.get()) {
            return Some((stream, parts.read_buf, admission.clone()));
        }
        if !in_time {
            self.too_slow();
            if !begun.load(Ordering::Relaxed) {
                // The hub writes only the bytes that the socket accepts at once, and does not wait
                // for a slow client.
                let date = match self.router.clock.now().utc {
                    Some(utc) => format!("Date: {}\r\n", utc.http_date()),
                    None => String::new(),
                };
                let answer = format!("{TOO_SLOW}{date}\r\n");
                stream.write_all(answer.as_bytes()).now_or_never();
            }
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
