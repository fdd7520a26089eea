//! A double of the existing proxy, over real sockets. The proxy sends no greeting, confirms nothing
//! to late clients, and sends all frames to all clients. The double reports its events to the test.
#![allow(dead_code, unused_imports, unreachable_pub)]

#[path = "basics.rs"]
mod basics;

use std::net::SocketAddr;
use std::sync::{Arc, Mutex, mpsc as std_mpsc};
use std::time::{Duration, Instant};

use deskticker::time::Clock;
use futures_util::{SinkExt, StreamExt};
use percent_encoding::percent_decode_str;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{broadcast, oneshot};
use tokio_tungstenite::tungstenite::error::ProtocolError;
use tokio_tungstenite::tungstenite::handshake::server::{ErrorResponse, Request, Response};
use tokio_tungstenite::tungstenite::protocol::CloseFrame;
use tokio_tungstenite::tungstenite::{Error, Message};

pub use basics::PROXY_TOKEN as TOKEN;
use basics::{TIME_LIMIT, runtime};

/// An event that the proxy reports to the test.
#[derive(Clone, Debug, PartialEq)]
pub enum ProxyEvent {
    /// A request `GET /api/quotes…`: its path and the token from its header.
    Quotes(String, Option<String>),
    /// A request to a relay that is no upgrade: its first line.
    Plain(String),
    /// An upgrade request: its path with the query, and its time in seconds of the clock.
    Upgrade(String, u64),
    /// A text message from a client.
    Text(String),
    Ping,
    Pong,
    /// A close frame with this code.
    Farewell(u16),
    /// The end of a connection: true after a closing handshake, false without one.
    Gone(bool),
}

/// An action of the proxy on all of its open connections.
#[derive(Clone, Debug)]
pub enum ProxyAction {
    Send(Message),
    /// Sends raw bytes without framing.
    Raw(Vec<u8>),
    Close(u16),
    Abort,
}

/// The behaviour of the proxy.
#[derive(Clone, Debug)]
pub struct ProxyBehaviour {
    /// The accepted token. All other tokens get the status 403.
    pub token: String,
    /// The status that refuses each upgrade.
    pub refusal: Option<u16>,
    /// The response to `/api/quotes`: the status line with the headers, without the length, and the
    /// body.
    pub quotes: (String, String),
    /// The response to an unknown path, in the form of `quotes`. The proxy returns its web page.
    pub page: (String, String),
    /// If true, the proxy accepts TCP connections but never responds to an upgrade.
    pub mute: bool,
    /// If true, the server is a relay of the library `ws` without any REST: it answers each request
    /// that is no upgrade with 426.
    pub relay: bool,
    /// The short-lived token that `POST /api/ws-token` returns. If there is none, the status is
    /// 404.
    pub ticket: Option<String>,
}

/// A running proxy. The drop of this value stops the proxy.
pub struct Proxy {
    pub address: SocketAddr,
    behaviour: Arc<Mutex<ProxyBehaviour>>,
    demand: broadcast::Sender<ProxyAction>,
    seen: std_mpsc::Receiver<ProxyEvent>,
    /// All events until now.
    pub log: Vec<ProxyEvent>,
    /// The drop of this sender ends the thread of the proxy.
    _stop: oneshot::Sender<()>,
}

pub fn json(status: &str, body: &str) -> (String, String) {
    let head = format!("HTTP/1.1 {status}\r\nContent-Type: application/json; charset=utf-8");
    (head, body.to_owned())
}

impl Proxy {
    pub fn start(clock: Clock) -> Self {
        let runtime = runtime();
        let listener = runtime
            .block_on(TcpListener::bind(("127.0.0.1", 0)))
            .unwrap();
        let address = listener.local_addr().unwrap();
        let behaviour = Arc::new(Mutex::new(ProxyBehaviour {
            token: TOKEN.into(),
            refusal: None,
            quotes: json("200 OK", r#"{"results":[]}"#),
            page: (
                "HTTP/1.1 200 OK\r\nContent-Type: text/html; charset=UTF-8".to_owned(),
                "<!doctype html><title>proxy</title>".to_owned(),
            ),
            mute: false,
            relay: false,
            ticket: None,
        }));
        let (demand, _) = broadcast::channel(16);
        let (sender, seen) = std_mpsc::channel();
        let (stop, stopped) = oneshot::channel();
        let accept = {
            let (behaviour, demand) = (behaviour.clone(), demand.clone());
            async move {
                while let Ok((stream, _)) = listener.accept().await {
                    let client = Client {
                        seen: sender.clone(),
                        behaviour: behaviour.clone(),
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
            behaviour,
            demand,
            seen,
            log: Vec::new(),
            _stop: stop,
        }
    }

    /// Changes the behaviour from now on.
    pub fn behave(&self, change: impl FnOnce(&mut ProxyBehaviour)) {
        change(&mut self.behaviour.lock().unwrap());
    }

    pub fn act(&self, act: ProxyAction) {
        assert!(self.demand.send(act).is_ok(), "nobody is connected");
    }

    pub fn text(&self, text: impl Into<String>) {
        self.act(ProxyAction::Send(Message::text(text.into())));
    }

    /// Waits for the next event that matches the condition, and returns the event.
    #[track_caller]
    pub fn until(&mut self, what: impl Fn(&ProxyEvent) -> bool) -> ProxyEvent {
        let end = Instant::now() + TIME_LIMIT;
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

    /// Returns true if the next event comes within 5 ms and matches. A test can do other work
    /// between two calls.
    pub fn sees_soon(&mut self, what: impl Fn(&ProxyEvent) -> bool) -> bool {
        let soon = self.seen.recv_timeout(Duration::from_millis(5));
        let Ok(seen) = soon else { return false };
        self.log.push(seen.clone());
        what(&seen)
    }

    /// Waits for this number of subscriptions and returns their channels in sorted order.
    pub fn wait_for_subscriptions(&mut self, count: usize) -> Vec<String> {
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

    /// Waits until the client has processed all earlier messages. The client sends its pong only
    /// then.
    pub fn wait_until_processed(&mut self) {
        // Two pings are necessary, because the first pong may belong to an earlier ping.
        for _ in 0..2 {
            self.act(ProxyAction::Send(Message::Ping(Vec::new().into())));
            self.until(|seen| *seen == ProxyEvent::Pong);
        }
    }

    /// The times of the upgrade requests in the log, in seconds of the clock.
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
    behaviour: Arc<Mutex<ProxyBehaviour>>,
    clock: Clock,
}

impl Client {
    fn see(&self, seen: ProxyEvent) {
        // The test may have ended already.
        self.seen.send(seen).ok();
    }

    async fn serve(self, stream: TcpStream, demand: broadcast::Sender<ProxyAction>) {
        let mut head = [0; 2048];
        let upgrade;
        let line = loop {
            let Ok(size) = stream.peek(&mut head).await else {
                return;
            };
            let text = String::from_utf8_lossy(&head[..size]);
            if let Some((line, rest)) = text.split_once("\r\n")
                && rest.ends_with("\r\n\r\n")
            {
                upgrade = rest.to_lowercase().contains("upgrade: websocket\r\n");
                break line.to_owned();
            }
            if size == 0 {
                return;
            }
            tokio::task::yield_now().await;
        };
        if self.behaviour.lock().unwrap().relay && !upgrade {
            self.see(ProxyEvent::Plain(line));
            let head = "HTTP/1.1 426 Upgrade Required\r\nContent-Type: text/plain";
            self.plain(stream, head, "Upgrade Required").await;
        } else if line.starts_with("GET /api/quotes?") {
            self.quotes(stream).await;
        } else if line.starts_with("POST /api/ws-token ") {
            self.ticket(stream).await;
        } else if line.starts_with("GET /api/quotes ") {
            let (head, body) = json("403 Forbidden", r#"{"error":"Forbidden"}"#);
            self.plain(stream, &head, &body).await;
        } else if !upgrade {
            let page = self.behaviour.lock().unwrap().page.clone();
            self.plain(stream, &page.0, &page.1).await;
        } else {
            self.talk(stream, demand).await;
        }
    }

    async fn ticket(&self, mut stream: TcpStream) {
        if head(&mut stream).await.is_none() {
            return;
        }
        let (head, body) = match &self.behaviour.lock().unwrap().ticket {
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
        let (head, body) = self.behaviour.lock().unwrap().quotes.clone();
        self.see(ProxyEvent::Quotes(path, token));
        self.answer(stream, &head, &body).await;
    }

    /// Sends a response without a check of the token.
    async fn plain(&self, mut stream: TcpStream, answer_head: &str, body: &str) {
        if head(&mut stream).await.is_some() {
            self.answer(stream, answer_head, body).await;
        }
    }

    /// Express serves the REST responses of the real proxy and adds a `Date`. Its `ws` library
    /// serves the upgrades and adds none.
    async fn answer(&self, mut stream: TcpStream, head: &str, body: &str) {
        let date = match self.clock.now().utc {
            Some(utc) => format!("Date: {}\r\n", utc.http_date()),
            None => String::new(),
        };
        let length = body.len();
        let answer = format!("{head}\r\n{date}Content-Length: {length}\r\n\r\n{body}");
        // The client may have closed the connection already.
        stream.write_all(answer.as_bytes()).await.ok();
        stream.shutdown().await.ok();
    }

    /// Returns `None` if the proxy accepts the upgrade, otherwise the status of its refusal.
    fn judge(&self, path: &str, query: &str) -> Option<u16> {
        let behaviour = self.behaviour.lock().unwrap();
        let token = query.strip_prefix("token=").unwrap_or_default();
        let token: Vec<u8> = percent_decode_str(token).collect();
        match (behaviour.refusal, path) {
            (Some(status), _) => Some(status),
            (None, "/ws/indices" | "/ws/options") => {
                let good = match &behaviour.ticket {
                    Some(ticket) => ticket,
                    None => &behaviour.token,
                };
                (token != good.as_bytes()).then_some(403)
            }
            _ => Some(404),
        }
    }

    async fn talk(self, stream: TcpStream, demand: broadcast::Sender<ProxyAction>) {
        if self.behaviour.lock().unwrap().mute {
            self.see(ProxyEvent::Upgrade(String::new(), 0));
            return std::future::pending().await;
        }
        // The receiver gets only actions after the upgrade request.
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
                    // The library `ws` of the real proxy adds this header.
                    let html = "text/html".parse().unwrap();
                    refusal.headers_mut().insert("Content-Type", html);
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
                    // A failed send means that the client has closed. The next turn of the loop
                    // handles this event.
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

/// Reads the head of a request, or returns `None` if the connection ends first.
async fn head(stream: &mut TcpStream) -> Option<String> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(stream.read_u8().await.ok()?);
    }
    Some(String::from_utf8(head).unwrap())
}
