//! Tests of the number of REST connections and REST requests of a display, at a real hub.
#![allow(clippy::unwrap_used)]

#[path = "support/running_ticker.rs"]
mod running_ticker;

use std::net::SocketAddr;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::time::{Duration, Instant};

use deskticker::demo;
use deskticker::display::Mailbox;
use deskticker::hub::Hub;
use deskticker::market::{Calendar, Cluster};
use deskticker::net::connector::Connector;
use deskticker::net::source::FeedSource;
use deskticker::render::Size;
use deskticker::secret::Secret;
use deskticker::simulator::{Simulator, SimulatorSettings};
use deskticker::systemd::Supervisor;
use deskticker::ticker::event_loop::{self, ControlMessage, RunUntil, TickerSetup};
use deskticker::time::{Clock, ManualClock, Moment, Now, Utc};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;

use running_ticker::{Background, START, TIME_LIMIT, settings};

const TOKEN: &str = "a-static-token-of-sufficient-length";
/// 10:30 in New York, when all markets are open.
const MORNING: Utc = Utc(START.0 + 3_600_000);

/// A message of the relay about the connection with this number.
#[derive(Debug)]
enum Passed {
    /// The request line without the version.
    Request(usize, String),
    Response,
}

/// Passes all bytes between the display and the hub, and reports the heads of the messages.
async fn relay(listener: TcpListener, hub: SocketAddr, passed: Sender<Passed>) {
    let mut number = 0;
    while let Ok((client, _)) = listener.accept().await {
        number += 1;
        let server = TcpStream::connect(hub).await.unwrap();
        let (mut from_client, mut to_client) = client.into_split();
        let (mut from_server, mut to_server) = server.into_split();
        let (requests, responses) = (passed.clone(), passed.clone());
        tokio::spawn(async move {
            let mut bytes = vec![0; 64 << 10];
            while let Ok(count @ 1..) = from_client.read(&mut bytes).await {
                let text = String::from_utf8_lossy(&bytes[..count]).into_owned();
                // A request head is small and arrives in one piece.
                if let Some((line, _)) = text.split_once(" HTTP/1.1\r\n") {
                    requests.send(Passed::Request(number, line.to_owned())).ok();
                }
                if to_server.write_all(&bytes[..count]).await.is_err() {
                    break;
                }
            }
        });
        tokio::spawn(async move {
            let mut bytes = vec![0; 64 << 10];
            while let Ok(count @ 1..) = from_server.read(&mut bytes).await {
                let starts = bytes.starts_with(b"HTTP/1.1 ");
                if to_client.write_all(&bytes[..count]).await.is_err() {
                    break;
                }
                if starts {
                    responses.send(Passed::Response).ok();
                }
            }
        });
    }
}

/// A display at a hub of the default clusters, with a relay between both.
struct Stand {
    hand: ManualClock,
    passed: Receiver<Passed>,
    controls: mpsc::Sender<ControlMessage>,
    /// A request follows its cause within this real time.
    quiet: Duration,
    _hub: Background<(Hub, Simulator, SocketAddr)>,
    display: Option<std::thread::JoinHandle<()>>,
}

impl Stand {
    fn new(watchlist: &[&str], quiet: Duration) -> Self {
        let (clock, hand) = Clock::manual(Now::new(Moment::ZERO, MORNING));
        let (sender, passed) = channel();
        let hub = Background::start({
            let clock: Clock = clock.clone();
            move || async move {
                let token = Secret::new(TOKEN).unwrap();
                let vendor = SimulatorSettings {
                    values: true,
                    ..SimulatorSettings::default()
                };
                let (mut setup, simulator) =
                    demo::simulated_hub(vendor, &token, clock).await.unwrap();
                setup.clusters = vec![Cluster::Indices, Cluster::Options];
                let hub = Hub::start(setup, "127.0.0.1:0".parse().unwrap());
                let hub = hub.await.unwrap();
                let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
                let address = listener.local_addr().unwrap();
                tokio::spawn(relay(listener, hub.address(), sender));
                (hub, simulator, address)
            }
        });
        let source: FeedSource = running_ticker::hub(hub.value.2, TOKEN);
        let setup = TickerSetup {
            settings: settings(watchlist),
            source,
            connector: Connector::new(None).unwrap(),
            calendar: Calendar::us(),
            size: Size::Tall,
            screen: None,
            clock,
            supervisor: Supervisor::default(),
        };
        let (controls, receiver) = mpsc::channel(1);
        let display = std::thread::spawn(move || {
            let slot = Mailbox::new(setup.size);
            let running = event_loop::run(setup, slot, receiver, RunUntil::Stopped);
            running_ticker::block_on(running).unwrap();
        });
        Self {
            hand,
            passed,
            controls,
            quiet,
            _hub: hub,
            display: Some(display),
        }
    }

    /// Lets this number of seconds pass, and returns the REST requests in this time with the numbers
    /// of their connections. The clock stands still while a request is in progress.
    fn pass(&self, seconds: u64) -> Vec<(usize, String)> {
        const STEP: Duration = Duration::from_millis(100);
        let mut requests = Vec::new();
        let mut open = 0;
        for _ in 0..seconds * 10 {
            let begun = Instant::now();
            let mut quiet = self.quiet;
            loop {
                assert!(
                    begun.elapsed() < TIME_LIMIT,
                    "{open} requests without an end"
                );
                match self.passed.recv_timeout(quiet) {
                    Ok(Passed::Request(number, line)) => {
                        open += 1;
                        requests.push((number, line));
                    }
                    Ok(Passed::Response) => open -= 1,
                    Err(RecvTimeoutError::Timeout) if open <= 0 => break,
                    Err(RecvTimeoutError::Timeout) => quiet = Duration::from_millis(20),
                    Err(RecvTimeoutError::Disconnected) => panic!("the relay has ended"),
                }
            }
            self.hand.advance(STEP);
        }
        requests.retain(|(_, line)| !line.starts_with("GET /ws/"));
        requests
    }
}

impl Drop for Stand {
    fn drop(&mut self) {
        self.controls.blocking_send(ControlMessage::Stop).ok();
        if let Some(display) = self.display.take() {
            let ended = display.join();
            assert!(std::thread::panicking() || ended.is_ok());
        }
    }
}

fn connections(requests: &[(usize, String)]) -> usize {
    let mut numbers: Vec<usize> = requests.iter().map(|(number, _)| *number).collect();
    numbers.sort_unstable();
    numbers.dedup();
    numbers.len()
}

fn count(requests: &[(usize, String)], start: &str) -> usize {
    let matching = requests.iter().filter(|(_, line)| line.starts_with(start));
    matching.count()
}

#[test]
fn sixty_four_shares_need_one_connection_and_24_requests_a_minute() {
    let names: Vec<String> = (0..64_u8)
        .map(|n| format!("{}{}", char::from(b'A' + n / 8), char::from(b'K' + n % 8)))
        .collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    // Each late request would make the number in a minute smaller, so this test waits longer.
    let stand = Stand::new(&names, Duration::from_millis(6));
    let mut all = stand.pass(60);
    // The bars of the session until now are one request for each share.
    assert_eq!(count(&all, "GET /v2/aggs/"), 64);
    assert!(all.len() < 64 + 24 + 8, "{}: {all:#?}", all.len());
    for _ in 0..3 {
        let minute = stand.pass(60);
        let quotes = count(&minute, "GET /api/quotes");
        assert!((20..=22).contains(&quotes), "{quotes}");
        assert!(minute.len() <= 24, "{minute:#?}");
        // Each request is for all shares.
        let names = |line: &str| line.split(',').count();
        assert!(
            minute
                .iter()
                .all(|(_, line)| names(line) == 64 || !line.contains("tickers"))
        );
        all.extend(minute);
    }
    assert_eq!(connections(&all), 1, "{all:#?}");
}

#[test]
fn streamed_indices_need_one_connection_and_three_requests_a_minute() {
    let stand = Stand::new(&["SPX", "VIX", "I:NDX"], Duration::from_millis(2));
    let mut all = stand.pass(120);
    for _ in 0..10 {
        let minute = stand.pass(60);
        assert!(minute.len() <= 3, "{minute:#?}");
        all.extend(minute);
    }
    assert_eq!(connections(&all), 1, "{all:#?}");
}
