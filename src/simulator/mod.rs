//! A simulator of the vendor Massive on loopback: its protocol, plausible prices, and injected
//! faults. The simulator is for the demo and the tests; every greeting states that the prices are
//! simulated.

mod client_connection;
mod market;
mod random_walk;
mod rest;
mod simulated_ticker;

use std::collections::HashMap;
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll};

use http_body_util::Full;
use hyper::body::{Bytes, Incoming};
use hyper::header::{
    CONNECTION, DATE, HeaderValue, SEC_WEBSOCKET_ACCEPT, SEC_WEBSOCKET_KEY, UPGRADE,
};
use hyper::service::service_fn;
use hyper::{Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::handshake::derive_accept_key;
use tokio_tungstenite::tungstenite::protocol::Role;

use crate::market::Cluster;
use crate::net::Boxed;
use crate::time::Clock;
use client_connection::ClientConnection;
use market::Market;
pub use random_walk::RandomWalk;

/// The settings of a simulator.
#[derive(Clone, Debug)]
pub struct SimulatorSettings {
    /// The seed of the random walks. The same seed gives the same prices.
    pub seed: u64,
    /// The speed relative to the real feed, limited to 0.01 to 1000. At 1, SPX has one value a
    /// second and VIX has one value every 15 s.
    pub speed: f64,
    /// The only key that the simulator accepts.
    pub key: String,
    /// The names of channels without entitlement, such as `Q.SPY`. A subscription gets an error.
    pub refused: Vec<String>,
    /// The clusters without entitlement. The authentication of a connection fails.
    pub excluded: Vec<Cluster>,
    /// The tickers without entitlement, both for subscriptions and for REST requests.
    pub denied: Vec<String>,
    /// True if REST responses contain last values. If false, REST responses contain only previous
    /// closes, so the first price of a display comes from the stream.
    pub values: bool,
}

impl Default for SimulatorSettings {
    fn default() -> Self {
        Self {
            seed: 1,
            speed: 1.0,
            key: "simulated".into(),
            refused: Vec::new(),
            excluded: Vec::new(),
            denied: Vec::new(),
            values: false,
        }
    }
}

/// A fault of the simulator. The fault lasts until the next call of [`Simulator::fault`].
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum InjectedFault {
    /// The simulator works without a fault.
    #[default]
    None,
    /// Connections stay open, but the simulator sends no market events on them.
    Silence,
    /// Existing and new connections end without a close frame.
    Abort,
    /// The simulator sends invalid messages in place of prices.
    Garbage,
    /// The simulator refuses every key.
    Refusal,
    /// All data arrives, with one byte in each TCP segment.
    Dribble,
}

/// A running simulator. The simulator stops when this value is dropped.
#[derive(Debug)]
pub struct Simulator {
    address: SocketAddr,
    tally: watch::Receiver<usize>,
    shared: Arc<SimulatorState>,
    _server: JoinSet<()>,
}

impl std::fmt::Debug for SimulatorState {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SimulatorState")
            .field("settings", &self.settings)
            .finish_non_exhaustive()
    }
}

/// The state that all connections share.
struct SimulatorState {
    settings: SimulatorSettings,
    clock: Clock,
    market: Market,
    fault: watch::Receiver<InjectedFault>,
    /// The sequence number of the newest authenticated connection of each cluster. The vendor
    /// allows one connection per cluster and evicts the older connection.
    newest: HashMap<Cluster, watch::Sender<u64>>,
    /// The number of authenticated connections since the start.
    connections: AtomicU64,
    /// The number of REST requests since the start.
    requests: AtomicU64,
}

impl Simulator {
    /// Starts a simulator on a free port of the loopback interface.
    ///
    /// # Errors
    /// Returns an I/O error if no port is available.
    #[inline(never)]
    pub fn start(settings: SimulatorSettings, clock: Clock) -> Boxed<'static, io::Result<Self>> {
        Box::pin(Self::started(settings, clock))
    }

    async fn started(settings: SimulatorSettings, clock: Clock) -> io::Result<Self> {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await?;
        let address = listener.local_addr()?;
        let (fault, fault_seen) = watch::channel(InjectedFault::None);
        let mut server = JoinSet::new();
        let (held, tally) = watch::channel(0);
        let market = Market::start(&settings, clock.clone(), fault, held, &mut server);
        let newest = Cluster::ALL
            .into_iter()
            .map(|cluster| (cluster, watch::Sender::new(0)))
            .collect();
        let connections = AtomicU64::new(0);
        let shared = Arc::new(SimulatorState {
            settings,
            clock,
            market,
            fault: fault_seen,
            newest,
            connections,
            requests: AtomicU64::new(0),
        });
        server.spawn(accept(listener, shared.clone()));
        Ok(Self {
            address,
            tally,
            shared,
            _server: server,
        })
    }

    /// The address on which the simulator listens.
    pub const fn address(&self) -> SocketAddr {
        self.address
    }

    /// The number of subscriptions of all clients together. The receiver reports each change.
    pub fn subscriptions(&self) -> watch::Receiver<usize> {
        self.tally.clone()
    }

    /// The number of connections that were authenticated since the start.
    pub fn connections(&self) -> u64 {
        self.shared.connections.load(Ordering::Relaxed)
    }

    /// The number of REST requests since the start.
    pub fn requests(&self) -> u64 {
        self.shared.requests.load(Ordering::Relaxed)
    }

    /// Activates a fault. Events from before the call are sent without the fault; when this
    /// function returns, the fault affects every later event.
    pub async fn fault(&self, fault: InjectedFault) {
        self.shared.market.fault(fault).await;
    }
}

async fn accept(listener: TcpListener, shared: Arc<SimulatorState>) {
    // Dropping the simulator drops this set, and with the set every connection.
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            accepted = listener.accept() => match accepted {
                Ok((stream, _)) => {
                    connections.spawn(serve(stream, shared.clone()));
                }
                Err(error) => log::debug!("simulator: cannot accept a connection: {error}"),
            },
            Some(_) = connections.join_next() => {}
        }
    }
}

async fn serve(stream: TcpStream, shared: Arc<SimulatorState>) {
    if let Err(error) = stream.set_nodelay(true) {
        log::debug!("simulator: cannot set TCP_NODELAY: {error}");
    }
    let stream = FaultyStream {
        stream,
        fault: shared.fault.clone(),
    };
    // The upgraded connection runs in a separate task. Dropping this set ends that task together
    // with the current task.
    let mut upgraded = JoinSet::new();
    let (sender, mut upgrades) = tokio::sync::mpsc::channel(1);
    let service = service_fn(move |request| answer(request, shared.clone(), sender.clone()));
    let exchange = hyper::server::conn::http1::Builder::new()
        // The function `answer` sets the `Date` header from the simulator's clock.
        .auto_date_header(false)
        .serve_connection(TokioIo::new(stream), service)
        .with_upgrades();
    if let Err(error) = exchange.await {
        log::debug!("simulator: the HTTP connection failed: {error}");
    }
    if let Some(connection) = upgrades.recv().await {
        upgraded.spawn(connection);
    }
    while upgraded.join_next().await.is_some() {}
}

type Upgraded = Pin<Box<dyn Future<Output = ()> + Send>>;

async fn answer(
    request: Request<Incoming>,
    shared: Arc<SimulatorState>,
    upgrades: tokio::sync::mpsc::Sender<Upgraded>,
) -> Result<Response<Full<Bytes>>, hyper::http::Error> {
    let clock = shared.clock.clone();
    let mut answer = undated(request, shared, upgrades).await?;
    if let Some(utc) = clock.now().utc
        && let Ok(date) = HeaderValue::from_str(&utc.http_date())
    {
        answer.headers_mut().insert(DATE, date);
    }
    Ok(answer)
}

async fn undated(
    mut request: Request<Incoming>,
    shared: Arc<SimulatorState>,
    upgrades: tokio::sync::mpsc::Sender<Upgraded>,
) -> Result<Response<Full<Bytes>>, hyper::http::Error> {
    if let Some(answer) = rest::answer(&request, &shared).await {
        return answer;
    }
    let path = request.uri().path();
    let Some(cluster) = Cluster::ALL
        .into_iter()
        .find(|cluster| path.strip_prefix('/') == Some(cluster.path()))
    else {
        return Response::builder()
            .status(StatusCode::NOT_FOUND)
            .body(Full::default());
    };
    let Some(key) = request.headers().get(SEC_WEBSOCKET_KEY) else {
        return Response::builder()
            .status(StatusCode::UPGRADE_REQUIRED)
            .body(Full::default());
    };
    let response = Response::builder()
        .status(StatusCode::SWITCHING_PROTOCOLS)
        .header(CONNECTION, "Upgrade")
        .header(UPGRADE, "websocket")
        .header(SEC_WEBSOCKET_ACCEPT, derive_accept_key(key.as_bytes()))
        .body(Full::default());
    let upgrade = hyper::upgrade::on(&mut request);
    let connection: Upgraded = Box::pin(async move {
        match upgrade.await {
            Ok(upgraded) => {
                let socket =
                    WebSocketStream::from_raw_socket(TokioIo::new(upgraded), Role::Server, None)
                        .await;
                ClientConnection::new(cluster, socket, shared).run().await;
            }
            Err(error) => log::debug!("simulator: the upgrade failed: {error}"),
        }
    });
    if upgrades.send(connection).await.is_err() {
        log::debug!("simulator: the connection ended before its upgrade");
    }
    response
}

/// A TCP connection that sends one byte at a time during `InjectedFault::Dribble`.
struct FaultyStream {
    stream: TcpStream,
    fault: watch::Receiver<InjectedFault>,
}

impl AsyncRead for FaultyStream {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_read(cx, buf)
    }
}

impl AsyncWrite for FaultyStream {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let dribble = *this.fault.borrow() == InjectedFault::Dribble;
        let part = if dribble {
            &buf[..buf.len().min(1)]
        } else {
            buf
        };
        Pin::new(&mut this.stream).poll_write(cx, part)
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_shutdown(cx)
    }
}
