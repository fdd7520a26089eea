//! A simulator of the vendor Massive on loopback: its protocol, plausible prices, and injected
//! faults. The simulator is for the demo and the tests; every greeting states that the prices are
//! simulated.

mod client_connection;
mod market;
mod random_walk;
mod rest;
mod simulated_ticker;

use std::convert::Infallible;
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::task::{Context, Poll};

use http_body_util::Full;
use hyper::body::{Bytes, Incoming};
use hyper::header::{
    CONNECTION, DATE, HeaderValue, SEC_WEBSOCKET_ACCEPT, SEC_WEBSOCKET_KEY, UPGRADE,
};
use hyper::service::service_fn;
use hyper::upgrade::OnUpgrade;
use hyper::{Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use tokio::io::AsyncWrite;
use tokio::net::tcp::OwnedWriteHalf;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::handshake::derive_accept_key;
use tokio_tungstenite::tungstenite::protocol::Role;

use crate::market::{Cluster, Symbol};
use crate::net::Boxed;
use crate::time::{Clock, Utc};
use client_connection::ClientConnection;
use market::Market;

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
    /// The end of the trading hours; `None` if the market is always open. After this time, no more
    /// values arrive and REST reports closing prices.
    pub closes: Option<Utc>,
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
            closes: None,
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
    market: Arc<Market>,
    _server: JoinSet<()>,
}

impl Simulator {
    /// Returns true if the simulator knows this symbol: every share and contract, and a few
    /// indices.
    pub fn knows(symbol: &Symbol) -> bool {
        random_walk::RandomWalk::new(symbol.ticker(), 0).is_some()
    }

    /// Starts a simulator on a free port of the loopback interface.
    ///
    /// # Errors
    /// Returns an I/O error if no port is available.
    #[inline(never)]
    pub fn start(settings: SimulatorSettings, clock: Clock) -> Boxed<'static, io::Result<Self>> {
        Box::pin(async {
            let listener = TcpListener::bind(("127.0.0.1", 0)).await?;
            let address = listener.local_addr()?;
            let market = Arc::new(Market::new(settings, clock));
            let mut server = JoinSet::new();
            server.spawn(accept(listener, market.clone()));
            let trading = market.clone();
            server.spawn(async move { trading.run().await });
            Ok(Self {
                address,
                market,
                _server: server,
            })
        })
    }

    /// The address on which the simulator listens.
    pub const fn address(&self) -> SocketAddr {
        self.address
    }

    /// The number of subscriptions of all clients together. The receiver reports each change.
    pub fn subscriptions(&self) -> watch::Receiver<usize> {
        self.market.held.subscribe()
    }

    /// The number of connections that were authenticated since the start.
    pub fn connections(&self) -> u64 {
        let counts = self.market.newest.values();
        counts.map(|newest| *newest.borrow()).sum()
    }

    /// The number of REST requests since the start.
    pub fn requests(&self) -> u64 {
        self.market.requests.load(Ordering::Relaxed)
    }

    /// Activates a fault. Events from before the call are sent without the fault; when this
    /// function returns, the fault affects every later event.
    pub fn fault(&self, fault: InjectedFault) {
        self.market.inject(fault);
    }
}

async fn accept(listener: TcpListener, market: Arc<Market>) {
    // Dropping the simulator drops this set, and with the set every connection.
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            accepted = listener.accept() => match accepted {
                Ok((stream, _)) => {
                    connections.spawn(serve(stream, market.clone()));
                }
                Err(error) => log::debug!("simulator: cannot accept a connection: {error}"),
            },
            Some(_) = connections.join_next() => {}
        }
    }
}

async fn serve(stream: TcpStream, market: Arc<Market>) {
    if let Err(error) = stream.set_nodelay(true) {
        log::debug!("simulator: cannot set TCP_NODELAY: {error}");
    }
    let (reader, writer) = stream.into_split();
    let fault = market.fault.subscribe();
    let stream = tokio::io::join(reader, FaultyWriter { writer, fault });
    let (sender, mut upgrades) = mpsc::channel(1);
    let shared = market.clone();
    let service = service_fn(move |request| answer(request, shared.clone(), sender.clone()));
    let exchange = hyper::server::conn::http1::Builder::new()
        // The function `answer` sets the `Date` header from the simulator's clock.
        .auto_date_header(false)
        .serve_connection(TokioIo::new(stream), service)
        .with_upgrades();
    if let Err(error) = exchange.await {
        log::debug!("simulator: the HTTP connection failed: {error}");
    }
    let Some((cluster, upgrade)) = upgrades.recv().await else {
        return;
    };
    match upgrade.await {
        Ok(upgraded) => {
            let stream = TokioIo::new(upgraded);
            let socket = WebSocketStream::from_raw_socket(stream, Role::Server, None).await;
            ClientConnection::run(cluster, socket, market).await;
        }
        Err(error) => log::debug!("simulator: the WebSocket upgrade failed: {error}"),
    }
}

type SimulatorResponse = Response<Full<Bytes>>;

/// Creates a response without a body.
fn empty(status: StatusCode) -> SimulatorResponse {
    let mut response = SimulatorResponse::default();
    *response.status_mut() = status;
    response
}

/// Answers a request, and passes the upgrade of a WebSocket request to `upgrades`.
async fn answer(
    mut request: Request<Incoming>,
    market: Arc<Market>,
    upgrades: mpsc::Sender<(Cluster, OnUpgrade)>,
) -> Result<SimulatorResponse, Infallible> {
    let response = rest::answer(&request, &market);
    let mut response = response.unwrap_or_else(|| websocket(&mut request, &upgrades));
    if let Some(utc) = market.clock.now().utc
        && let Ok(date) = HeaderValue::from_str(&utc.http_date())
    {
        response.headers_mut().insert(DATE, date);
    }
    Ok(response)
}

fn websocket(
    request: &mut Request<Incoming>,
    upgrades: &mpsc::Sender<(Cluster, OnUpgrade)>,
) -> SimulatorResponse {
    let mut clusters = Cluster::ALL.into_iter();
    let name = request.uri().path().strip_prefix('/');
    let Some(cluster) = clusters.find(|cluster| name == Some(cluster.path())) else {
        return empty(StatusCode::NOT_FOUND);
    };
    let key = request.headers().get(SEC_WEBSOCKET_KEY);
    let accept = key.map(|key| HeaderValue::try_from(derive_accept_key(key.as_bytes())));
    let Some(Ok(accept)) = accept else {
        return empty(StatusCode::UPGRADE_REQUIRED);
    };
    let mut response = empty(StatusCode::SWITCHING_PROTOCOLS);
    response.headers_mut().extend([
        (CONNECTION, HeaderValue::from_static("Upgrade")),
        (UPGRADE, HeaderValue::from_static("websocket")),
        (SEC_WEBSOCKET_ACCEPT, accept),
    ]);
    // The queue has a free place, because a connection is upgraded only once.
    upgrades
        .try_send((cluster, hyper::upgrade::on(request)))
        .ok();
    response
}

/// The writing half of a TCP connection. During `InjectedFault::Dribble`, this half sends one byte
/// at a time.
struct FaultyWriter {
    writer: OwnedWriteHalf,
    fault: watch::Receiver<InjectedFault>,
}

impl AsyncWrite for FaultyWriter {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        let dribbles = *self.fault.borrow() == InjectedFault::Dribble;
        let length = if dribbles {
            buf.len().min(1)
        } else {
            buf.len()
        };
        Pin::new(&mut self.writer).poll_write(cx, &buf[..length])
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.writer).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.writer).poll_shutdown(cx)
    }
}
