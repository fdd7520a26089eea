//! The stand for the attacks: the built hub as a process, a vendor in front of the hub, and an honest
//! display behind the hub. Measures which values the display receives and how late.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use deskticker::hub::auth::registry::RegistryFile;
use futures_util::{SinkExt, StreamExt};
use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::broadcast;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::protocol::Role;

use super::attackers;

/// The longest wait for anything that must happen.
pub(crate) const LIMIT: Duration = Duration::from_secs(20);

/// The number of channels of the display. The values use the channels in turn, because the hub may
/// replace an unsent value by a newer one of the same channel.
const CHANNELS: u64 = 50;

/// The vendor: confirms everything, and sends the same frames on each connection.
pub(crate) struct Vendor {
    pub(crate) address: SocketAddr,
    frames: broadcast::Sender<String>,
}

impl Vendor {
    async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (frames, _) = broadcast::channel(4096);
        let sender = frames.clone();
        tokio::spawn(async move {
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                let frames = sender.subscribe();
                tokio::spawn(async move {
                    if let Ok(socket) = tokio_tungstenite::accept_async(stream).await {
                        session(socket, frames).await;
                    }
                });
            }
        });
        Self { address, frames }
    }

    /// Sends a frame to the hub.
    pub(crate) fn send(&self, frame: String) {
        self.frames.send(frame).ok();
    }
}

async fn session(mut socket: WebSocketStream<TcpStream>, mut frames: broadcast::Receiver<String>) {
    let status = |status: &str, message: &str| {
        format!(r#"{{"ev":"status","status":"{status}","message":"{message}"}}"#)
    };
    let hello = format!("[{}]", status("connected", "Connected Successfully"));
    socket.send(Message::text(hello)).await.ok();
    loop {
        let answer = tokio::select! {
            Ok(frame) = frames.recv() => frame,
            received = socket.next() => match received {
                Some(Ok(Message::Text(text))) => {
                    let request: Value = serde_json::from_str(&text).unwrap();
                    let names = request["params"].as_str().unwrap_or_default().split(',');
                    let all: Vec<String> = match request["action"].as_str() {
                        Some("auth") => vec![status("auth_success", "authenticated")],
                        Some("subscribe") => names
                            .map(|name| status("success", &format!("subscribed to: {name}")))
                            .collect(),
                        _ => continue,
                    };
                    format!("[{}]", all.join(","))
                }
                Some(Ok(_)) => continue,
                _ => return,
            },
        };
        if socket.send(Message::text(answer)).await.is_err() {
            return;
        }
    }
}

/// The hub as a process, with its vendor and its devices.
pub(crate) struct Stand {
    hub: Child,
    pub(crate) address: SocketAddr,
    pub(crate) vendor: Vendor,
    tokens: Vec<String>,
    number: u64,
}

impl Drop for Stand {
    fn drop(&mut self) {
        self.hub.kill().ok();
        self.hub.wait().ok();
    }
}

impl Stand {
    /// Starts a hub with these further lines of configuration.
    pub(crate) async fn start(name: &str, more: &str) -> Self {
        let folder = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(format!("attacks-{name}"));
        std::fs::remove_dir_all(&folder).ok();
        std::fs::create_dir_all(&folder).unwrap();
        let vendor = Vendor::start().await;
        let port = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = port.local_addr().unwrap();
        drop(port);
        let devices = folder.join("devices");
        let registry = RegistryFile::new(&devices);
        let tokens = ["display", "first", "second"].map(|name| registry.add(name).unwrap());
        let config = folder.join("hub.toml");
        let text = format!(
            "listen = \"{address}\"\nannounce = false\n[devices]\nfile = {devices:?}\n{more}\n\
             [massive]\nurl = \"ws://{}\"\nclusters = [\"indices\", \"options\"]\n",
            vendor.address
        );
        std::fs::write(&config, text).unwrap();
        // Another build of the hub can be measured with the variable HUB.
        let built = env!("CARGO_BIN_EXE_deskticker-hub").to_owned();
        let program = std::env::var("HUB").unwrap_or(built);
        let log = std::fs::File::create(folder.join("log")).unwrap();
        let hub = Command::new(program)
            .args(["run", "--config"])
            .arg(&config)
            .env_remove("MASSIVE_PROXY_TOKEN")
            .env("MASSIVE_API_KEY", "a-key-of-the-vendor")
            .stdout(Stdio::null())
            .stderr(log)
            .spawn()
            .unwrap();
        let tokens = tokens.into();
        let stand = Self {
            hub,
            address,
            vendor,
            tokens,
            number: 0,
        };
        let end = Instant::now() + LIMIT;
        while TcpStream::connect(address).await.is_err() {
            assert!(Instant::now() < end, "the hub does not start");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        stand
    }

    /// The token of a device: 0 is the honest display.
    pub(crate) fn token(&self, device: usize) -> &str {
        &self.tokens[device]
    }

    /// A line of the hub's process status in KiB, for example `VmRSS`.
    fn memory(&self, name: &str) -> u64 {
        let path = format!("/proc/{}/status", self.hub.id());
        let text = std::fs::read_to_string(path).unwrap_or_default();
        let line = text.lines().find_map(|line| line.strip_prefix(name));
        let number = line.and_then(|line| line.split_whitespace().nth(1)?.parse().ok());
        number.expect("the hub runs")
    }

    /// Begins a new measurement of the peak of memory. Returns the memory in use in KiB.
    pub(crate) fn reset_memory(&self) -> u64 {
        // Linux resets the peak after a write of 5 (proc(5)).
        std::fs::write(format!("/proc/{}/clear_refs", self.hub.id()), "5").unwrap();
        self.memory("VmRSS")
    }

    /// The peak of memory since `reset_memory`, in KiB.
    pub(crate) fn peak_memory(&self) -> u64 {
        self.memory("VmHWM")
    }

    /// An authenticated display with the channels of the measurement.
    pub(crate) async fn display(&self) -> WebSocketStream<TcpStream> {
        let upgrade = attackers::upgrade("/ws/indices", Some(self.token(0)));
        let mut stream = TcpStream::connect(self.address).await.unwrap();
        let status = attackers::exchange(&mut stream, &upgrade).await;
        assert_eq!(status, Some(101), "the display is refused");
        let mut socket = WebSocketStream::from_raw_socket(stream, Role::Client, None).await;
        let names: Vec<String> = (0..CHANNELS).map(|n| format!("V.I:D{n}")).collect();
        let request = format!(r#"{{"action":"subscribe","params":"{}"}}"#, names.join(","));
        socket.send(Message::text(request)).await.unwrap();
        let confirmed = async {
            while let Some(Ok(message)) = socket.next().await {
                if message
                    .to_text()
                    .is_ok_and(|text| text.contains("subscribed to"))
                {
                    return;
                }
            }
            panic!("the display is disconnected");
        };
        tokio::time::timeout(LIMIT, confirmed)
            .await
            .expect("a confirmation");
        socket
    }

    /// Sends numbered values through the hub, 100 per second. Returns the number of values that the
    /// display received, and the longest delay.
    pub(crate) async fn measure(
        &mut self,
        display: &mut WebSocketStream<TcpStream>,
        count: u64,
    ) -> (usize, Duration) {
        let first = self.number;
        self.number += count;
        let mut sent = BTreeMap::new();
        let mut received = BTreeMap::new();
        let mut ticks = tokio::time::interval(Duration::from_millis(10));
        ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        let mut next = first;
        let begun = Instant::now();
        let end = begun + Duration::from_millis(10 * count) + Duration::from_secs(3);
        while received.len() < count as usize && Instant::now() < end {
            tokio::select! {
                _ = ticks.tick(), if next < self.number => {
                    sent.insert(next, Instant::now());
                    self.vendor.send(format!(
                        r#"[{{"ev":"V","T":"I:D{}","val":{next},"t":1795444200000}}]"#,
                        next % CHANNELS
                    ));
                    next += 1;
                }
                message = display.next() => {
                    let now = Instant::now();
                    let Some(Ok(message)) = message else { break };
                    let Ok(text) = message.to_text() else { continue };
                    let events: Vec<Value> = serde_json::from_str(text).unwrap_or_default();
                    for event in events {
                        if let Some(number) = event["val"].as_u64().filter(|n| *n >= first) {
                            received.entry(number).or_insert(now);
                        }
                    }
                }
                () = tokio::time::sleep_until(end.into()) => {}
            }
        }
        let delays = received
            .iter()
            .filter_map(|(number, at)| Some(*at - *sent.get(number)?));
        (received.len(), delays.max().unwrap_or(Duration::MAX))
    }

    /// The value of a metric of the hub.
    pub(crate) async fn metric(&self, name: &str) -> f64 {
        let mut stream = TcpStream::connect(self.address).await.unwrap();
        let request = b"GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n";
        stream.write_all(request).await.unwrap();
        let mut page = String::new();
        stream.read_to_string(&mut page).await.ok();
        let name = format!("deskticker_hub_{name} ");
        let line = page.lines().find_map(|line| line.strip_prefix(&name));
        line.and_then(|value| value.parse().ok()).unwrap_or(-1.0)
    }

    /// Sends one event of each kind for ten thousand tickers.
    pub(crate) async fn publish_all(&self) {
        for first in (0..10_000).step_by(250) {
            let events = (first..first + 250).flat_map(|n| {
                let bar = |kind: &str| {
                    format!(
                        r#"{{"ev":"{kind}","sym":"I:T{n}","op":3985.67,"o":3985.67,"c":3985.67,"h":3985.67,"l":3985.67,"s":1678220675805,"e":1678220675905}}"#
                    )
                };
                let value =
                    format!(r#"{{"ev":"V","T":"I:T{n}","val":3985.67,"t":1678220675805}}"#);
                [value, bar("A"), bar("AM")]
            });
            let events: Vec<String> = events.collect();
            self.vendor.send(format!("[{}]", events.join(",")));
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }

    /// Returns true if `/healthz` answers within a second.
    pub(crate) async fn is_healthy(&self) -> bool {
        let asking = async {
            let mut stream = TcpStream::connect(self.address).await.ok()?;
            attackers::exchange(&mut stream, "GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n").await
        };
        let answer = tokio::time::timeout(Duration::from_secs(1), asking).await;
        answer == Ok(Some(200))
    }
}
