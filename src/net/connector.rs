//! Outgoing connections: DNS, TCP, TLS and the WebSocket upgrade. The code of the feed uses rustls
//! only through the `net` module. This module never interprets market data.

use std::fmt::Debug;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use hyper::header::{DATE, HeaderMap};
use rustix::net::sockopt::set_tcp_user_timeout;
use rustls::ClientConfig;
use rustls::pki_types::pem::{self, PemObject};
use rustls::pki_types::{CertificateDer, ServerName};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use super::Boxed;
use super::discovery::state::Discovery;
use super::endpoint::Endpoint;
use super::failure::Failure;
use super::failure_mapping::{CertificateProblem, not_after};
use super::hub_path::HubPath;
use super::path::{is_routed, resolved};
use super::rest_connection::{RestConnection, UNACKNOWLEDGED};
use super::trust::Verifier;
use crate::time::Utc;

/// The wait for one address before the next address is tried in parallel.
const ATTEMPT_DELAY: Duration = Duration::from_millis(300);
/// The wait before all addresses that have not answered are tried again.
const RETRY_ADDRESSES_AFTER: Duration = Duration::from_millis(900);
/// The maximum number of rounds over all addresses. The feed cancels an attempt after 10 s, which
/// is before the end of the last round.
const ROUNDS: usize = 10;

/// The wait for an answer to a TLS handshake before a request without TLS shows if the server uses
/// TLS. The handshake continues meanwhile.
const HANDSHAKE_PATIENCE: Duration = Duration::from_secs(3);
/// The time limit of an attempt to find out if a server uses TLS.
const PROBE_LIMIT: Duration = Duration::from_secs(2);

/// A TCP connection with or without TLS.
pub type NetStream = Box<dyn ByteStream>;

/// A stream of bytes in both directions.
pub trait ByteStream: AsyncRead + AsyncWrite + Debug + Send + Unpin {
    /// Returns the address of this machine on the connection.
    fn own_address(&self) -> Option<IpAddr>;
}

impl ByteStream for TcpStream {
    fn own_address(&self) -> Option<IpAddr> {
        self.local_addr().ok().map(|address| address.ip())
    }
}

impl ByteStream for TlsStream<TcpStream> {
    fn own_address(&self) -> Option<IpAddr> {
        self.get_ref().0.own_address()
    }
}

/// Opens connections. The connector contains the trusted certificates and the state that all users
/// of the connector share.
#[derive(Clone, Debug)]
pub struct Connector {
    tls: Arc<ClientConfig>,
    /// True if the user has named a certificate.
    has_ca_file: bool,
    /// The place in the tree of hubs, if this program is a hub below another hub.
    hub_path: Option<HubPath>,
    shared: Arc<SharedNetState>,
}

#[derive(Debug, Default)]
struct SharedNetState {
    /// The number of lost or failed connections.
    losses: AtomicU32,
    /// The index in `PROBE_PATHS` of the path that last verified a hub (false: 0, true: 1).
    probe: AtomicBool,
    /// The `Date` header of the latest response and its receive time, until a caller takes both.
    date: Mutex<Option<(Utc, Instant)>>,
    /// The channel that reports each response of the host.
    alive: watch::Sender<()>,
    /// The index of the hub in use in the list of hubs of the source.
    active: watch::Sender<usize>,
    /// The open connection for REST requests. A request holds the lock until its end.
    rest: Arc<tokio::sync::Mutex<Option<RestConnection>>>,
    /// The number of the newest connection for REST requests.
    rest_id: AtomicU64,
    /// The search for a hub that announces itself.
    discovery: Discovery,
}

/// The slot of the connection for REST requests, locked by one request.
pub(super) type RestSlot = tokio::sync::OwnedMutexGuard<Option<RestConnection>>;

impl Connector {
    /// Creates a connector that trusts the usual certificate authorities and the certificates of an
    /// optional PEM file, each as an authority and as the certificate of a server. The usual
    /// authorities are compiled in, so that an image needs no certificate store.
    ///
    /// # Errors
    ///
    /// A message for the user if the file cannot be read, contains no certificate or contains a
    /// damaged certificate.
    pub fn new(ca_file: Option<&Path>) -> Result<Self, String> {
        let mut roots = rustls::RootCertStore {
            roots: webpki_roots::TLS_SERVER_ROOTS.into(),
        };
        let mut named = Vec::new();
        if let Some(path) = ca_file {
            let to_text = |error: &dyn std::fmt::Display| format!("{}: {error}", path.display());
            let read = |error| match error {
                pem::Error::Io(error) => to_text(&error),
                // The message of the library shows a section name as decimal bytes, so this program
                // has its own message.
                _ => to_text(&"the file contains a damaged certificate; expected a PEM file"),
            };
            let mut certificates = CertificateDer::pem_file_iter(path)
                .map_err(read)?
                .peekable();
            if certificates.peek().is_none() {
                return Err(to_text(
                    &"the file contains no certificate; expected a PEM file",
                ));
            }
            for certificate in certificates {
                let certificate = certificate.map_err(read)?;
                let added = roots.add(certificate.clone());
                added.map_err(|error| to_text(&error))?;
                named.push(certificate);
            }
        }
        // The provider is explicit, so the code does not depend on a process-wide default.
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let verifier = Verifier::new(roots, named, provider.clone())?;
        let config = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .map_err(|error| error.to_string())?
            .dangerous()
            .with_custom_certificate_verifier(Arc::new(verifier))
            .with_no_client_auth();
        Ok(Self {
            tls: Arc::new(config),
            has_ca_file: ca_file.is_some(),
            hub_path: None,
            shared: Arc::default(),
        })
    }

    /// Returns the connector of a hub that is below another hub. Each upgrade then contains the place
    /// of this hub in the tree, and only a deskticker-hub that closes no loop is accepted.
    #[must_use]
    pub fn below_a_hub(self, hub_path: HubPath) -> Self {
        Self {
            hub_path: Some(hub_path),
            ..self
        }
    }

    pub(super) const fn hub_path(&self) -> Option<&HubPath> {
        self.hub_path.as_ref()
    }

    pub(super) fn has_ca_file(&self) -> bool {
        self.has_ca_file
    }

    pub(super) fn discovery(&self) -> &Discovery {
        &self.shared.discovery
    }

    /// Records a lost connection. The machine can be in another network now, so each verified hub
    /// must be verified again.
    pub(crate) fn lost(&self) {
        self.shared.losses.fetch_add(1, Ordering::Relaxed);
    }

    /// Returns the number of lost connections. A changed number invalidates an earlier
    /// verification.
    pub(crate) fn losses(&self) -> u32 {
        self.shared.losses.load(Ordering::Relaxed)
    }

    /// Returns the index in `PROBE_PATHS` of the path that last verified a hub (false: 0, true: 1).
    pub(crate) fn probe(&self) -> bool {
        self.shared.probe.load(Ordering::Relaxed)
    }

    pub(crate) fn set_probe(&self, probe: bool) {
        self.shared.probe.store(probe, Ordering::Relaxed);
    }

    /// Records a response of the host, so that a waiting session can retry earlier.
    pub(crate) fn answered(&self) {
        self.shared.alive.send_replace(());
    }

    /// Returns a receiver that reports each response of the host.
    pub(crate) fn alive(&self) -> watch::Receiver<()> {
        self.shared.alive.subscribe()
    }

    /// Returns the index of the hub in use in the list of hubs of the source.
    pub(crate) fn active(&self) -> usize {
        *self.shared.active.borrow()
    }

    /// Returns a receiver that reports each change of the hub in use.
    pub(crate) fn changes(&self) -> watch::Receiver<usize> {
        self.shared.active.subscribe()
    }

    /// Moves all connections to another hub of the source.
    pub(crate) fn set_active(&self, place: usize) {
        self.lost();
        if let Some(hub_path) = &self.hub_path {
            hub_path.set_above(Vec::new());
        }
        self.shared.active.send_replace(place);
    }

    /// Returns a connector with the same trusted certificates, for requests to another server.
    /// Responses to these requests do not count as responses of the server in use.
    pub(crate) fn separate(&self) -> Self {
        Self {
            tls: self.tls.clone(),
            has_ca_file: self.has_ca_file,
            hub_path: None,
            shared: Arc::default(),
        }
    }

    /// Stores the `Date` header of a response and the current time as its receive time.
    pub(crate) fn dated(&self, headers: &HeaderMap) {
        let date = headers.get(DATE).and_then(|date| date.to_str().ok());
        if let Some(utc) = date.and_then(Utc::from_http_date) {
            *self.date() = Some((utc, Instant::now()));
        }
    }

    /// Takes the `Date` header of the latest response and the time since its arrival. Each date is
    /// returned once. The result is `None` if no new date exists, or if the exchange took too long
    /// (`took`) for an exact time.
    pub(crate) fn take_date(&self, took: Duration) -> Option<(Utc, Duration)> {
        let (utc, arrival) = self.date().take()?;
        (took <= MAX_DATE_EXCHANGE).then(|| (utc, arrival.elapsed()))
    }

    /// Locks the stored date. A poisoned lock is safe, because a panic cannot leave a partial date.
    fn date(&self) -> MutexGuard<'_, Option<(Utc, Instant)>> {
        self.shared
            .date
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }

    /// Returns the slot of the connection for REST requests; `None` if another request uses the
    /// connection for longer than `wait`.
    pub(super) async fn rest_slot(&self, wait: Duration) -> Option<RestSlot> {
        timeout(wait, self.shared.rest.clone().lock_owned())
            .await
            .ok()
    }

    /// Returns the number of a new connection for REST requests.
    pub(super) fn next_rest_id(&self) -> u64 {
        self.shared.rest_id.fetch_add(1, Ordering::Relaxed) + 1
    }

    /// Opens a byte stream like [`Connector::stream`]. The system closes the stream if the server
    /// does not acknowledge sent bytes within [`UNACKNOWLEDGED`].
    pub(super) fn rest_stream<'a>(
        &'a self,
        endpoint: &'a Endpoint,
    ) -> Boxed<'a, Result<NetStream, Failure>> {
        Box::pin(self.opened(endpoint, Some(UNACKNOWLEDGED)))
    }

    /// Opens a plain or encrypted byte stream to the host.
    ///
    /// # Errors
    ///
    /// `Network`, `Dns`, `Unreachable`, `Tls`, `Clock` or `Lost`.
    #[inline(never)]
    pub fn stream<'a>(&'a self, endpoint: &'a Endpoint) -> Boxed<'a, Result<NetStream, Failure>> {
        Box::pin(self.opened(endpoint, None))
    }

    async fn opened(
        &self,
        endpoint: &Endpoint,
        unacknowledged: Option<Duration>,
    ) -> Result<NetStream, Failure> {
        let addresses = resolved(endpoint).await?;
        let stream =
            first_to_connect(addresses.iter().copied())
                .await
                .map_err(|error| match error.map(|error| error.kind()) {
                    Some(io::ErrorKind::ConnectionRefused) => Failure::Refused,
                    _ if addresses.into_iter().any(is_routed) => Failure::Unreachable,
                    _ => Failure::Network,
                })?;
        // Send small messages without a delay, because a subscription request has only a few bytes.
        // A socket without this option still works.
        if let Err(error) = stream.set_nodelay(true) {
            log::debug!("cannot set TCP_NODELAY: {error}");
        }
        let limit = unacknowledged.and_then(|limit| u32::try_from(limit.as_millis()).ok());
        if let Some(limit) = limit
            && let Err(error) = set_tcp_user_timeout(&stream, limit)
        {
            log::debug!("cannot set TCP_USER_TIMEOUT: {error}");
        }
        if !endpoint.secure {
            return Ok(Box::new(stream));
        }
        match self.handshake(endpoint, stream).await {
            Ok(stream) => Ok(Box::new(stream)),
            Err(problem) => {
                log::debug!(
                    "the TLS handshake with {} failed: {problem:?}",
                    endpoint.host
                );
                Err(problem.failure())
            }
        }
    }

    /// Performs a TLS handshake. A server without TLS can answer with other bytes, close the
    /// connection or stay silent; in the last two cases a request without TLS finds it out.
    #[inline(never)]
    fn handshake<'a>(
        &'a self,
        endpoint: &'a Endpoint,
        stream: TcpStream,
    ) -> Boxed<'a, Result<TlsStream<TcpStream>, CertificateProblem>> {
        Box::pin(async move {
            let server = stream.peer_addr().ok();
            let plain_port = || CertificateProblem::Other(Failure::PlainPort, String::new());
            let silent = async {
                tokio::time::sleep(HANDSHAKE_PATIENCE).await;
                if !serves_without_tls(server, endpoint).await {
                    std::future::pending().await
                }
            };
            let problem = tokio::select! {
                outcome = self.encrypted(endpoint, stream)? => match outcome {
                    Ok(stream) => return Ok(stream),
                    Err(error) => CertificateProblem::of(&error),
                },
                () = silent => return Err(plain_port()),
            };
            match problem.failure() == Failure::Lost && serves_without_tls(server, endpoint).await {
                true => Err(plain_port()),
                false => Err(problem),
            }
        })
    }

    fn encrypted(
        &self,
        endpoint: &Endpoint,
        stream: TcpStream,
    ) -> Result<Boxed<'static, io::Result<TlsStream<TcpStream>>>, CertificateProblem> {
        let name = ServerName::try_from(endpoint.host.clone())
            .map_err(|_| CertificateProblem::Name(Vec::new()))?;
        let tls = TlsConnector::from(self.tls.clone());
        Ok(Box::pin(tls.connect(name, stream)))
    }

    /// Returns the reason why an exchange without TLS failed: [`Failure::TlsRequired`] if the server
    /// uses TLS at this port, otherwise `reason`. Some TLS servers answer a request without TLS with
    /// an alert or with status 400, and others only close the connection, so a TLS handshake finds
    /// it out.
    #[inline(never)]
    pub(super) fn without_tls<'a>(
        &'a self,
        endpoint: &'a Endpoint,
        reason: Failure,
    ) -> Boxed<'a, Failure> {
        Box::pin(async move {
            let handshake = async {
                let addresses = resolved(endpoint).await.ok()?;
                let stream = first_to_connect(addresses.into_iter()).await.ok()?;
                // A certificate that is not trusted proves TLS too.
                let outcome = self.encrypted(endpoint, stream).ok()?.await;
                let problem = outcome
                    .err()
                    .map(|error| CertificateProblem::of(&error).failure());
                Some(!matches!(problem, Some(Failure::PlainPort | Failure::Lost)))
            };
            if !endpoint.secure
                && timeout(PROBE_LIMIT, handshake).await.ok().flatten() == Some(true)
            {
                return Failure::TlsRequired;
            }
            reason
        })
    }

    /// Performs a TLS handshake over `stream`, and drops the session. Returns the end of the
    /// validity of the server's certificate, which is trusted for this endpoint. The result is
    /// `None` if the end is not known.
    ///
    /// # Errors
    ///
    /// The problem with the certificate, or the reason why the handshake failed.
    pub async fn certificate(
        &self,
        endpoint: &Endpoint,
        stream: TcpStream,
    ) -> Result<Option<Utc>, CertificateProblem> {
        let stream = self.handshake(endpoint, stream).await?;
        let shown = stream.get_ref().1.peer_certificates();
        Ok(shown.and_then(<[_]>::first).and_then(not_after))
    }
}

/// The maximum duration of an exchange whose `Date` header is used as a time source. In a longer
/// exchange the server can create the response at any moment, and the system can stop this program
/// for some time, so the date is not exact.
const MAX_DATE_EXCHANGE: Duration = Duration::from_secs(5);

/// Returns true if the server answers an HTTP request without TLS. A TLS server can refuse such a
/// request with status 400.
async fn serves_without_tls(server: Option<SocketAddr>, endpoint: &Endpoint) -> bool {
    let exchange = async {
        let mut stream = TcpStream::connect(server?).await.ok()?;
        let host = endpoint.authority();
        let request = format!("GET / HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n");
        stream.write_all(request.as_bytes()).await.ok()?;
        let mut start = [0; "HTTP/1.1 200".len()];
        stream.read_exact(&mut start).await.ok()?;
        Some(start.starts_with(b"HTTP/1.") && !start.ends_with(b" 400"))
    };
    timeout(PROBE_LIMIT, exchange).await.ok().flatten() == Some(true)
}

/// Connects to the addresses in the resolver's order and returns the first successful connection
/// (RFC 8305, "Happy Eyeballs"). The next address is tried after [`ATTEMPT_DELAY`], or earlier if
/// all open attempts have failed. Thus a broken IPv6 route does not use up the time in which IPv4
/// would answer.
///
/// All addresses without an answer are tried again in the next round. The kernel waits longer
/// before each repetition of a lost SYN, so without new attempts the return of a host would remain
/// undetected for seconds.
async fn first_to_connect(
    addresses: impl Iterator<Item = SocketAddr> + Clone,
) -> Result<TcpStream, Option<io::Error>> {
    // The end of this function drops the set and cancels all open attempts.
    let mut calls = JoinSet::new();
    let mut last = None;
    for round in 0..ROUNDS {
        for address in addresses.clone() {
            calls.spawn(async move { (address, TcpStream::connect(address).await) });
            match timeout(ATTEMPT_DELAY, answer(&mut calls)).await {
                Ok(Ok(stream)) => return Ok(stream),
                Ok(Err(error)) => last = error.or(last),
                Err(_) => {}
            }
        }
        if round + 1 < ROUNDS
            && let Ok(answered) = timeout(RETRY_ADDRESSES_AFTER, answer(&mut calls)).await
        {
            return answered.map_err(|error| error.or(last));
        }
    }
    answer(&mut calls).await.map_err(|error| error.or(last))
}

/// Returns the first successful connection, or the last error if all attempts have failed.
async fn answer(
    calls: &mut JoinSet<(SocketAddr, io::Result<TcpStream>)>,
) -> Result<TcpStream, Option<io::Error>> {
    let mut last = None;
    while let Some(call) = calls.join_next().await {
        match call {
            Ok((_, Ok(stream))) => return Ok(stream),
            Ok((address, Err(error))) => {
                log::debug!("cannot connect to {address}: {error}");
                last = Some(error);
            }
            Err(error) => log::debug!("a connection attempt failed: {error}"),
        }
    }
    Err(last)
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::net::{TcpListener, TcpSocket};

    /// A listener with a full queue. The listener does not answer further connection attempts.
    async fn black_hole() -> (TcpListener, Vec<TcpStream>) {
        let socket = TcpSocket::new_v4().unwrap();
        socket.bind("127.0.0.1:0".parse().unwrap()).unwrap();
        let listener = socket.listen(0).unwrap();
        let address = listener.local_addr().unwrap();
        let mut connections = Vec::new();
        while let Ok(connection) =
            timeout(Duration::from_millis(200), TcpStream::connect(address)).await
        {
            connections.push(connection.unwrap());
            assert!(connections.len() < 64, "this queue has no end");
        }
        (listener, connections)
    }

    #[tokio::test]
    async fn an_address_that_never_answers_does_not_delay_the_next_address() {
        let (hole, _calls) = black_hole().await;
        let open = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let [hole, open] = [&hole, &open].map(|listener| listener.local_addr().unwrap());
        let connecting = first_to_connect([hole, hole, hole, open].into_iter());
        let stream = timeout(Duration::from_secs(3), connecting).await.unwrap();
        assert_eq!(stream.unwrap().peer_addr().unwrap(), open);
    }

    #[tokio::test]
    async fn unreachable_addresses_cause_an_immediate_failure() {
        let closed = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = closed.local_addr().unwrap();
        drop(closed);
        let connecting = first_to_connect([address, address].into_iter());
        let stream = timeout(Duration::from_secs(3), connecting).await.unwrap();
        assert!(stream.is_err());
        assert!(first_to_connect(std::iter::empty()).await.is_err());
    }
}
