//! The servers under measurement, each in a process of its own: the hub's fan-out and the floor.
//! Both servers read `start CHANNELS PERIOD_US TOTAL` from standard input.

use std::io::{BufRead, ErrorKind, Read, Write};
use std::net::TcpListener;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use deskticker::hub::auth::authenticator::Authenticator;
use deskticker::hub::broker::event_loop::{Fanout, PendingClient, Transport};
use deskticker::hub::metrics::Metrics;
use deskticker::hub::server::limits::Limits;
use deskticker::hub::{Arrival, Interest, RelayedEvent, UpstreamEvent};
use deskticker::market::{Channel, Cluster};
use deskticker::time::Clock;
use hyper::body::Bytes;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::sync::{mpsc, watch};

/// The response to every upgrade request. The load does not check the accept key.
const SWITCHING: &[u8] = b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: x\r\n\r\n";

/// The events that a server must publish.
#[derive(Clone, Copy)]
pub(crate) struct Plan {
    channels: u64,
    period: Duration,
    pub(crate) total: u64,
}

impl Plan {
    fn read() -> Option<Self> {
        let mut line = String::new();
        std::io::stdin()
            .lock()
            .read_line(&mut line)
            .ok()
            .filter(|&n| n > 0)?;
        let mut numbers = line
            .split_whitespace()
            .skip(1)
            .map(|word| word.parse::<u64>().unwrap());
        Some(Self {
            channels: numbers.next()?,
            period: Duration::from_micros(numbers.next()?),
            total: numbers.next()?,
        })
    }

    pub(crate) fn due(&self, start: Instant, number: u64) -> Instant {
        start + self.period * u32::try_from(number).unwrap()
    }

    pub(crate) fn event(&self, number: u64) -> (String, String) {
        let ticker = format!("I:C{}", number % self.channels);
        let value = 5000.0 + (number % 100) as f64 / 4.0;
        let micros = SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .unwrap()
            .as_micros();
        let json =
            format!(r#"{{"ev":"V","val":{value},"T":"{ticker}","n":{number},"t":{micros}}}"#);
        (format!("V.{ticker}"), json)
    }
}

pub(crate) fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap()
}

/// The plans from the standard input.
pub(crate) fn plans() -> mpsc::Receiver<Plan> {
    let (tell, plans) = mpsc::channel(1);
    std::thread::spawn(move || {
        while let Some(plan) = Plan::read() {
            tell.blocking_send(plan).unwrap();
        }
    });
    plans
}

/// Runs the hub's fan-out without the rest of the hub.
pub(crate) fn hub() {
    runtime().block_on(async {
        let (reports, inbox) = mpsc::channel(1024);
        let (interest, mut wanted) = watch::channel(Interest::new());
        let (_stop, stopped) = watch::channel(false);
        let metrics = Arc::new(Metrics::default());
        let device: Arc<str> = "bench".into();
        let authenticator = Arc::new(Authenticator::single(device.clone(), "bench").unwrap());
        let clock = Clock::system();
        let (fanout, door) = Fanout::new(
            Cluster::Indices,
            inbox,
            interest,
            authenticator,
            Limits::default(),
            metrics.clone(),
            clock.clone(),
        );
        tokio::spawn(fanout.run(stopped));
        // The vendor confirms each channel.
        let confirming = reports.clone();
        tokio::spawn(async move {
            while wanted.changed().await.is_ok() {
                let channels = wanted.borrow_and_update().iter().cloned().collect();
                let confirmed = UpstreamEvent::Confirmed(channels);
                confirming.send(confirmed).await.unwrap();
            }
        });
        let listener = tokio::net::TcpSocket::new_v4().unwrap();
        listener.bind("127.0.0.1:0".parse().unwrap()).unwrap();
        let listener = listener.listen(4096).unwrap();
        println!("port {}", listener.local_addr().unwrap().port());
        tokio::spawn(async move {
            loop {
                let (mut socket, _) = listener.accept().await.unwrap();
                let (door, device) = (door.clone(), device.clone());
                tokio::spawn(async move {
                    let mut head = Vec::with_capacity(512);
                    while !head.ends_with(b"\r\n\r\n") {
                        if socket.read_buf(&mut head).await.unwrap_or(0) == 0 {
                            return;
                        }
                    }
                    socket.write_all(SWITCHING).await.unwrap();
                    let pending_client = PendingClient {
                        socket: Transport::Tcp(socket),
                        read_ahead: Bytes::new(),
                        device: Some(device),
                        address: None,
                        unauthenticated_slot: None,
                        below: None,
                    };
                    door.admit(pending_client).unwrap();
                });
            }
        });
        let mut plans = plans();
        while let Some(plan) = plans.recv().await {
            publish(plan, &reports, &clock).await;
            println!("done blocked={}", metrics.clients_blocked.value());
        }
    });
}

async fn publish(plan: Plan, reports: &mpsc::Sender<UpstreamEvent>, clock: &Clock) {
    let start = Instant::now();
    let mut number = 0;
    while number < plan.total {
        tokio::time::sleep_until(plan.due(start, number).into()).await;
        let mut events = Vec::new();
        while number < plan.total && plan.due(start, number) <= Instant::now() && events.len() < 256
        {
            let (channel, json) = plan.event(number);
            events.push(RelayedEvent {
                channel: Channel::parse(&channel).unwrap(),
                json: json.into(),
                arrival: Arrival::new(clock.now().monotonic),
            });
            number += 1;
        }
        reports.send(UpstreamEvent::Events(events)).await.unwrap();
    }
}

/// Runs the floor: a simple loop with one write of the same bytes per frame. A client with a full
/// socket misses the frame.
pub(crate) fn floor() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    println!("port {}", listener.local_addr().unwrap().port());
    let (door, inside) = std::sync::mpsc::channel();
    std::thread::spawn(move || {
        for socket in listener.incoming() {
            let mut socket = socket.unwrap();
            let mut head = [0; 4096];
            assert!(socket.read(&mut head).unwrap() > 0);
            socket.write_all(SWITCHING).unwrap();
            let acks = r#"[{"ev":"status","status":"success","message":"subscribed to: all"}]"#;
            socket.write_all(&frame(acks)).unwrap();
            socket.set_nodelay(true).unwrap();
            socket.set_nonblocking(true).unwrap();
            door.send(socket).unwrap();
        }
    });
    while let Some(plan) = Plan::read() {
        let mut sockets: Vec<_> = inside.try_iter().collect();
        let start = Instant::now();
        for number in 0..plan.total {
            std::thread::sleep(
                plan.due(start, number)
                    .saturating_duration_since(Instant::now()),
            );
            let bytes = frame(&format!("[{}]", plan.event(number).1));
            for socket in &mut sockets {
                match socket.write(&bytes) {
                    Ok(count) => assert!(count > 0),
                    Err(error) => assert_eq!(error.kind(), ErrorKind::WouldBlock),
                }
            }
        }
        println!("done");
    }
}

fn frame(text: &str) -> Vec<u8> {
    use deskticker::hub::session::websocket;
    websocket::frame(websocket::TEXT, text.as_bytes())
}
