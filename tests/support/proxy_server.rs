//! A double of the proxy that users already run, over real sockets: it greets nobody, confirms
//! nothing to who comes late, sends everybody everything, and says what it sees.
#![allow(dead_code, unreachable_pub)]

use std::net::SocketAddr;
use std::sync::mpsc as std_mpsc;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use deskticker::time::Clock;
use futures_util::{SinkExt, StreamExt};
use percent_encoding::percent_decode_str;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{broadcast, oneshot};
use tokio_tungstenite::tungstenite::handshake::server::{ErrorResponse, Request, Response};
use tokio_tungstenite::tungstenite::protocol::CloseFrame;
use tokio_tungstenite::tungstenite::{Error, Message, error::ProtocolError};

/// Longer than anything here takes, shorter than anybody's patience.
const PATIENCE: Duration = Duration::from_secs(20);

/// What the proxy sees, in its order.
#[derive(Clone, Debug, PartialEq)]
pub enum ProxyEvent {
    /// `GET /api/quotes…`, with the token of its header.
    Quotes(String, Option<String>),
    /// An upgrade was asked for at this path and query, at this second of the clock.
    Upgrade(String, u64),
    /// A client said this.
    Text(String),
    Ping,
    Pong,
    /// A close frame with this code.
    Farewell(u16),
    /// The connection is over: with a closing handshake, or without.
    Gone(bool),
}

/// What the proxy does on all its open connections.
#[derive(Clone, Debug)]
pub enum ProxyAction {
    Send(Message),
    /// Bytes as they are, past all framing.
    Raw(Vec<u8>),
    Close(u16),
    Abort,
}

/// How it answers.
#[derive(Clone, Debug)]
pub struct ProxyBehaviour {
    /// The token that is let in; all others get a 403.
    pub token: String,
    /// What an upgrade is answered with instead of one.
    pub refusal: Option<u16>,
    /// The status line and headers of `/api/quotes` but for the length, and its body.
    pub quotes: (String, String),
    /// Upgrades are accepted by TCP and never answered.
    pub mute: bool,
    /// The token that `POST /api/ws-token` gives for one upgrade; without one it is a 404.
    pub ticket: Option<String>,
}

/// A running proxy; it ends when this is dropped.
pub struct Proxy {
    pub address: SocketAddr,
    manner: Arc<Mutex<ProxyBehaviour>>,
    demand: broadcast::Sender<ProxyAction>,
    seen: std_mpsc::Receiver<ProxyEvent>,
    /// All that has been seen.
    pub log: Vec<ProxyEvent>,
    /// Dropped, it ends the thread that serves.
    _stop: oneshot::Sender<()>,
}

pub const TOKEN: &str = "eyJ1IjoiYSJ9+/==.0a1b2c";

pub fn json(status: &str, body: &str) -> (String, String) {
    let head = format!("HTTP/1.1 {status}\r\nContent-Type: application/json; charset=utf-8");
    (head, body.to_owned())
}

impl Proxy {
    pub fn start(clock: Clock) -> Self {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .unwrap();
        let listener = runtime
            .block_on(TcpListener::bind(("127.0.0.1", 0)))
            .unwrap();
        let address = listener.local_addr().unwrap();
        let manner = Arc::new(Mutex::new(ProxyBehaviour {
            token: TOKEN.into(),
            refusal: None,
            quotes: json("200 OK", r#"{"results":[]}"#),
            mute: false,
            ticket: None,
        }));
        let (demand, _) = broadcast::channel(16);
        let (sender, seen) = std_mpsc::channel();
        let (stop, stopped) = oneshot::channel();
        let accept = {
            let (manner, demand) = (manner.clone(), demand.clone());
            async move {
                while let Ok((stream, _)) = listener.accept().await {
                    let client = Client {
                        seen: sender.clone(),
                        manner: manner.clone(),
                        clock: clock.clone(),
                    };
                    tokio::spawn(client.serve(stream, demand.clone()));
                }
            }
        };
        std::thread::spawn(move || {
            runtime.block_on(async {
                tokio::select! {
                    () = accept => {}
                    _ = stopped => {}
                }
            });
        });
        Self {
            address,
            manner,
            demand,
            seen,
            log: Vec::new(),
            _stop: stop,
        }
    }

    /// From now on it answers so.
    pub fn behave(&self, change: impl FnOnce(&mut ProxyBehaviour)) {
        change(&mut self.manner.lock().unwrap());
    }

    pub fn act(&self, act: ProxyAction) {
        assert!(self.demand.send(act).is_ok(), "nobody is connected");
    }

    pub fn text(&self, text: impl Into<String>) {
        self.act(ProxyAction::Send(Message::text(text.into())));
    }

    /// Waits until something is seen that was not waited for before.
    #[track_caller]
    pub fn until(&mut self, what: impl Fn(&ProxyEvent) -> bool) -> ProxyEvent {
        let end = Instant::now() + PATIENCE;
        loop {
            let rest = end.saturating_duration_since(Instant::now());
            let Ok(seen) = self.seen.recv_timeout(rest) else {
                panic!("never seen; only {:#?}", self.log);
            };
            self.log.push(seen.clone());
            if what(&seen) {
                return seen;
            }
        }
    }

    /// Whether it is seen soon, for who does something else meanwhile.
    pub fn sees(&mut self, what: impl Fn(&ProxyEvent) -> bool) -> bool {
        let soon = self.seen.recv_timeout(Duration::from_millis(5));
        let Ok(seen) = soon else { return false };
        self.log.push(seen.clone());
        what(&seen)
    }

    /// Waits for this many subscriptions and gives their channels.
    pub fn subscribed(&mut self, count: usize) -> Vec<String> {
        let channels = (0..count).map(|_| {
            let seen = self.until(|seen| matches!(seen, ProxyEvent::Text(_)));
            let ProxyEvent::Text(text) = seen else {
                unreachable!()
            };
            let text = text.strip_prefix(r#"{"action":"subscribe","params":""#);
            let channel = text.and_then(|text| text.strip_suffix(r#""}"#));
            channel.expect("one channel a message").to_owned()
        });
        let mut channels: Vec<String> = channels.collect();
        channels.sort();
        channels
    }

    /// Waits until the client has taken in all that was sent before: a pong leaves it only then.
    pub fn heard(&mut self) {
        // Twice: an answer of ours to a ping of its own may stand behind the first of these.
        for _ in 0..2 {
            self.act(ProxyAction::Send(Message::Ping(Vec::new().into())));
            self.until(|seen| *seen == ProxyEvent::Pong);
        }
    }

    /// At which seconds of the clock upgrades were asked for, as far as was waited.
    pub fn upgrades(&self) -> Vec<u64> {
        let second = |seen: &ProxyEvent| match seen {
            ProxyEvent::Upgrade(_, second) => Some(*second),
            _ => None,
        };
        self.log.iter().filter_map(second).collect()
    }
}

struct Client {
    seen: std_mpsc::Sender<ProxyEvent>,
    manner: Arc<Mutex<ProxyBehaviour>>,
    clock: Clock,
}

impl Client {
    fn see(&self, seen: ProxyEvent) {
        // The test may be over already.
        self.seen.send(seen).ok();
    }

    async fn serve(self, stream: TcpStream, demand: broadcast::Sender<ProxyAction>) {
        let mut head = [0; 2048];
        let line = loop {
            let Ok(size) = stream.peek(&mut head).await else {
                return;
            };
            let text = String::from_utf8_lossy(&head[..size]);
            if let Some((line, _)) = text.split_once("\r\n") {
                break line.to_owned();
            }
            if size == 0 {
                return;
            }
            tokio::task::yield_now().await;
        };
        if line.starts_with("GET /api/quotes?") {
            self.quotes(stream).await;
        } else if line.starts_with("POST /api/ws-token ") {
            self.ticket(stream).await;
        } else if line.starts_with("GET /api/quotes ") {
            let (head, body) = json("400 Bad Request", r#"{"error":"tickers required"}"#);
            self.plain(stream, &head, &body).await;
        } else if ["GET /healthz ", "GET /api/market/", "GET /v2/"]
            .iter()
            .any(|start| line.starts_with(start))
        {
            let head = "HTTP/1.1 404 Not Found\r\nContent-Type: text/html";
            self.plain(stream, head, "<pre>Cannot GET</pre>").await;
        } else {
            self.talk(stream, demand).await;
        }
    }

    async fn ticket(&self, mut stream: TcpStream) {
        if head(&mut stream).await.is_none() {
            return;
        }
        let (head, body) = match &self.manner.lock().unwrap().ticket {
            Some(ticket) => json(
                "200 OK",
                &format!(r#"{{"token":"{ticket}","expiresAt":1795444500000}}"#),
            ),
            None => json("404 Not Found", "{}"),
        };
        self.answer(stream, &head, &body).await;
    }

    async fn quotes(&self, mut stream: TcpStream) {
        let Some(request) = head(&mut stream).await else {
            return;
        };
        let path = request.split(' ').nth(1).unwrap().to_owned();
        let token = request
            .lines()
            .find_map(|line| line.strip_prefix("x-massive-proxy-token: "))
            .map(str::to_owned);
        let (head, body) = self.manner.lock().unwrap().quotes.clone();
        self.see(ProxyEvent::Quotes(path, token));
        self.answer(stream, &head, &body).await;
    }

    /// Answers anybody.
    async fn plain(&self, mut stream: TcpStream, answer_head: &str, body: &str) {
        if head(&mut stream).await.is_some() {
            self.answer(stream, answer_head, body).await;
        }
    }

    /// Express, which serves its REST, writes a `Date`; `ws`, which upgrades, writes none.
    async fn answer(&self, mut stream: TcpStream, head: &str, body: &str) {
        let date = match self.clock.now().utc {
            Some(utc) => format!("Date: {}\r\n", utc.http_date()),
            None => String::new(),
        };
        let length = body.len();
        let answer = format!("{head}\r\n{date}Content-Length: {length}\r\n\r\n{body}");
        // A client that has read enough may be gone.
        stream.write_all(answer.as_bytes()).await.ok();
        stream.shutdown().await.ok();
    }

    /// `None` lets in; otherwise the status.
    fn judge(&self, path: &str, query: &str) -> Option<u16> {
        let manner = self.manner.lock().unwrap();
        let token = query.strip_prefix("token=").unwrap_or_default();
        let token: Vec<u8> = percent_decode_str(token).collect();
        match (manner.refusal, path) {
            (Some(status), _) => Some(status),
            (None, "/ws/indices" | "/ws/options") => {
                let good = match &manner.ticket {
                    Some(ticket) => ticket,
                    None => &manner.token,
                };
                (token != good.as_bytes()).then_some(403)
            }
            _ => Some(404),
        }
    }

    async fn talk(self, stream: TcpStream, demand: broadcast::Sender<ProxyAction>) {
        if self.manner.lock().unwrap().mute {
            self.see(ProxyEvent::Upgrade(String::new(), 0));
            return std::future::pending().await;
        }
        // Told of what is ordered after the upgrade was asked for.
        let mut demand = demand.subscribe();
        let second = self.clock.now().monotonic.as_millis() / 1000;
        #[allow(clippy::result_large_err)]
        let answer = |request: &Request, response: Response| -> Result<Response, ErrorResponse> {
            let uri = request.uri();
            let verdict = self.judge(uri.path(), uri.query().unwrap_or_default());
            self.see(ProxyEvent::Upgrade(uri.to_string(), second));
            match verdict {
                None => Ok(response),
                Some(status) => {
                    let mut refusal = ErrorResponse::new(None);
                    *refusal.status_mut() = status.try_into().unwrap();
                    Err(refusal)
                }
            }
        };
        let Ok(mut socket) = tokio_tungstenite::accept_hdr_async(stream, answer).await else {
            return;
        };
        loop {
            let message = tokio::select! {
                message = socket.next() => message,
                Ok(order) = demand.recv() => {
                    // A client that has closed meanwhile is met at the next turn.
                    match order {
                        ProxyAction::Send(message) => socket.send(message).await.ok(),
                        ProxyAction::Raw(bytes) => socket.get_mut().write_all(&bytes).await.ok(),
                        ProxyAction::Close(code) => {
                            let frame = CloseFrame { code: code.into(), reason: "".into() };
                            socket.close(Some(frame)).await.ok()
                        }
                        ProxyAction::Abort => return,
                    };
                    continue;
                }
            };
            match message {
                Some(Ok(Message::Text(text))) => self.see(ProxyEvent::Text(text.to_string())),
                Some(Ok(Message::Ping(_))) => self.see(ProxyEvent::Ping),
                Some(Ok(Message::Pong(_))) => self.see(ProxyEvent::Pong),
                Some(Ok(Message::Close(frame))) => {
                    self.see(ProxyEvent::Farewell(
                        frame.map_or(1005, |frame| frame.code.into()),
                    ));
                }
                Some(Ok(_)) => {}
                Some(Err(Error::Protocol(ProtocolError::ResetWithoutClosingHandshake)))
                | Some(Err(Error::Io(_))) => return self.see(ProxyEvent::Gone(false)),
                Some(Err(Error::ConnectionClosed)) | None => {
                    return self.see(ProxyEvent::Gone(true));
                }
                Some(Err(error)) => panic!("the client breaks the protocol: {error}"),
            }
        }
    }
}

/// The head of a request; `None` if it ends before.
async fn head(stream: &mut TcpStream) -> Option<String> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(stream.read_u8().await.ok()?);
    }
    Some(String::from_utf8(head).unwrap())
}
