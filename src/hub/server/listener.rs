//! The hub's front: accepts connections, ends TLS, reads one request from each within a deadline
//! and hands those that are upgraded to their fan-out. Decides nothing about who comes in
//! (`routes`), and reads no WebSocket frame.
//!
//! One request a connection: a display asks rarely and then upgrades, and so a deadline counted
//! from the accept holds for everything, and a place is never held by somebody who says nothing.

use std::convert::Infallible;
use std::future::poll_fn;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use futures_util::FutureExt;
use hyper::Request;
use hyper::StatusCode;
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
use super::response::HttpResponse;
use super::router::{AcceptedUpgrade, Peer, RejectReason, Router};
use super::tls::{self, Tls};
use crate::hub::broker::event_loop::{PendingClient, Transport};
use crate::systemd::Heartbeat;
use crate::time::{Clock, Moment};

/// What an answer may take once the request is there; quotes wait for the vendor.
const EXCHANGE_LIMIT: Duration = Duration::from_secs(30);
/// How long the other side may take to see the answer and close.
const LINGER: Duration = Duration::from_secs(1);
/// No head is larger; a token has some dozen bytes, a browser's cookies some thousand.
const HEAD_LIMIT: usize = 16 << 10;
/// Connections beyond the limits that are told why they are not served; more are just closed.
const MAX_REFUSALS: usize = 64;
/// After an accept that failed: mostly no file descriptors are left, and one will be.
const ACCEPT_RETRY: Duration = Duration::from_millis(100);

/// Behind it come the date and the end of the head.
const TOO_SLOW: &str = "HTTP/1.1 408 Request Timeout\r\nConnection: close\r\nContent-Length: 0\r\n";
/// A WebSocket close frame with 1013, try again later.
const TRY_LATER: [u8; 4] = [0x88, 2, 0x03, 0xf5];

/// The header `Date` of an answer that is given now.
fn date(clock: &Clock) -> Option<HeaderValue> {
    HeaderValue::from_str(&clock.now().utc?.http_date()).ok()
}

/// Serves until told to stop; then ends what is left.
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
                        log::warn!("no connection can be accepted: {error}");
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

/// What to do with a new connection; nothing, if not even a refusal has room.
fn start_connection(
    router: &Arc<Router>,
    stream: TcpStream,
    peer: SocketAddr,
    mut stop: watch::Receiver<bool>,
) -> Option<impl Future<Output = ()> + Send + 'static> {
    let settings = router.settings.borrow().clone();
    let clients = usize::try_from(router.metrics.clients.value()).unwrap_or(usize::MAX);
    let room = settings.limits.connections.saturating_sub(clients);
    let known = !settings.trusted_proxies.contains(&peer.ip().to_canonical());
    let (refused, place) = if known && !router.within_rate(peer.ip(), &settings) {
        // A TLS handshake costs more than whoever comes too often is worth.
        let worth = settings.tls.is_none();
        let place = worth
            .then(|| router.refusal_slots.enter(MAX_REFUSALS))
            .flatten();
        (Some(RejectReason::Rate), place)
    } else {
        match router.visits.enter(room) {
            Some(place) => (None, Some(place)),
            None => (
                Some(RejectReason::Full),
                router.refusal_slots.enter(MAX_REFUSALS),
            ),
        }
    };
    let Some(place) = place else {
        match refused {
            Some(RejectReason::Rate) => router.metrics.refused_rate.add(1),
            _ => router.metrics.refused_full.add(1),
        }
        return None;
    };
    if let Err(error) = stream.set_nodelay(true) {
        log::debug!("TCP_NODELAY: {error}");
    }
    let visit = HttpConnection {
        router: router.clone(),
        peer_info: Peer {
            peer: peer.ip(),
            refused,
        },
        deadline: router.clock.now().monotonic + settings.limits.head,
        _place: place,
    };
    let clock = router.clock.clone();
    Some(async move {
        let carried = tokio::select! {
            () = crate::hub::stopped(&mut stop) => None,
            carried = visit.serve_request(stream, settings.tls) => carried,
        };
        // At the end the fan-out still has to say farewell through this.
        if let Some((stream, outer)) = carried {
            tls::carry(stream, outer, clock).await;
        }
    })
}

/// One connection until it is upgraded or over.
struct HttpConnection {
    router: Arc<Router>,
    peer_info: Peer,
    /// When the head of the request must be there.
    deadline: Moment,
    /// Held as long as this is.
    _place: SlotPermit,
}

impl HttpConnection {
    /// Gives back what is still to be carried, if it is a client within TLS.
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
                    log::debug!("{}: TLS: {error}", self.peer_info.peer);
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
                log::warn!("no socket for a client: {error}");
                None
            }
        }
    }

    /// One request and its answer; the connection, if that was an upgrade.
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
                let answering = async move {
                    let (mut answer, admission) = router.answer(&request, peer_info).await;
                    if let Some(date) = date(&router.clock) {
                        answer.headers_mut().insert(DATE, date);
                    }
                    if answer.status() != StatusCode::SWITCHING_PROTOCOLS {
                        let close = HeaderValue::from_static("close");
                        answer.headers_mut().insert(CONNECTION, close);
                    }
                    if let Some(admission) = admission {
                        // There is one request a connection, so this is the first.
                        admitted.set(admission).ok();
                    }
                    Ok::<_, Infallible>(answer)
                };
                let boxed: Pin<Box<dyn Future<Output = Result<HttpResponse, Infallible>> + Send>> =
                    Box::pin(answering);
                boxed
            }
        });
        let mut connection = http1::Builder::new()
            .max_buf_size(HEAD_LIMIT)
            // By the hub's own clock, and none while that is not set: displays check theirs by it.
            .auto_date_header(false)
            .serve_connection(TokioIo::new(stream), service);
        let mut deadline = self.deadline;
        let mut answering = false;
        let in_time = loop {
            tokio::select! {
                done = poll_fn(|cx| connection.poll_without_shutdown(cx)) => {
                    if let Err(error) = done {
                        log::debug!("{}: {error}", self.peer_info.peer);
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
                // As far as it goes at once: nobody waits for somebody who is slow.
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

    /// Closes so that the answer arrives: a connection that is dropped with bytes unread is reset,
    /// and the answer with it.
    async fn close_gracefully(&self, mut stream: impl AsyncRead + AsyncWrite + Unpin) {
        let clock = &self.router.clock;
        let due = clock.now().monotonic + LINGER;
        let leaving = async {
            stream.shutdown().await?;
            let mut rest = [0; 1024];
            // A body that nobody asked for is read no further than this.
            for _ in 0..64 {
                if stream.read(&mut rest).await? == 0 {
                    break;
                }
            }
            Ok::<(), std::io::Error>(())
        };
        tokio::select! {
            // However it ends, it has ended.
            _ = leaving => {}
            () = clock.sleep_until(due) => {}
        }
    }

    fn too_slow(&self) {
        self.router.metrics.timeouts.add(1);
        log::debug!("{}: no whole request in time", self.peer_info.peer);
    }

    fn hand_over(&self, socket: Transport, read_ahead: Bytes, admission: AcceptedUpgrade) {
        let mut acceptors = self.router.acceptors.iter();
        let Some((_, acceptor)) = acceptors.find(|(cluster, _)| *cluster == admission.cluster)
        else {
            return;
        };
        let pending_client = PendingClient {
            socket,
            read_ahead,
            device: admission.device,
        };
        if let Err(pending_client) = acceptor.admit(pending_client) {
            self.router.metrics.refused_full.add(1);
            log::warn!(
                "the {} fan-out takes no more clients now",
                admission.cluster
            );
            let told = match &pending_client.socket {
                Transport::Tcp(stream) => stream.try_write(&TRY_LATER),
                Transport::Pair(stream) => stream.try_write(&TRY_LATER),
            };
            if let Err(error) = told {
                log::debug!("{}: {error}", self.peer_info.peer);
            }
        }
    }
}
