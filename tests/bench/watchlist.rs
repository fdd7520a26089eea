//! A full watchlist at full speed: 64 instruments (indices, shares and 40 option contracts) with
//! 2,000 events a second in total. The events go through real sockets to the complete display
//! program: sessions, ticker state, pages, and an OLED on a bus that accepts every write. The feed
//! runs in a separate process.
//!
//! Measures the cost and the memory growth. At the end, the benchmark compares the display with the
//! newest value of each instrument. `cargo bench --bench watchlist -- --seconds 600` is the long
//! run.
#![allow(clippy::unwrap_used, clippy::print_stdout)]

mod table;
mod usage;

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Write};
use std::process::{Child, Command, ExitCode, Stdio};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use deskticker::config::settings::{PageSpec, TickerSettings};
use deskticker::display::{
    self, Bus, BusFault, Chip, DisplayDevice, Mailbox, MailboxItem, Oled, Rotation,
};
use deskticker::feed::Update;
use deskticker::market::{AssetClass, Calendar, ChannelKind, Price, Symbol, Ticker};
use deskticker::massive::websocket::{MarketData, MarketEvent};
use deskticker::net::connector::Connector;
use deskticker::net::endpoint::Endpoint;
use deskticker::net::source::{FeedProvider, FeedSource};
use deskticker::render::{Frame, Size, WIDTH};
use deskticker::secret::Secret;
use deskticker::systemd::Supervisor;
use deskticker::ticker::event_loop::{self, ControlMessage, RunUntil, TickerSetup};
use deskticker::ticker::state::TickerState;
use deskticker::time::{Clock, Now, Utc};
use embedded_hal::i2c::{ErrorType, I2c, Operation};
use futures_util::{SinkExt, StreamExt};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{broadcast, mpsc};
use tokio_tungstenite::tungstenite::Message;

use table::Table;

/// The number of events a second, for all instruments together.
const RATE: u64 = 2_000;
/// The interval between two sends of the feed. All events of one interval share one frame per
/// connection.
const PERIOD: Duration = Duration::from_millis(5);
const INDICES: [&str; 12] = [
    "SPX", "VIX", "NDX", "DJI", "RUT", "VIX9D", "VVIX", "OEX", "XSP", "MID", "SML", "SKEW",
];
const SHARES: [&str; 12] = [
    "SPY", "QQQ", "AAPL", "MSFT", "NVDA", "AMZN", "GOOGL", "META", "TSLA", "BRK.B", "JPM", "XOM",
];
const CONTRACTS: i64 = 40;

fn watchlist() -> Vec<Symbol> {
    let contracts =
        (0..CONTRACTS).map(|nth| format!("O:SPXW301220C{:08}", (5_000 + 50 * nth) * 1000));
    let named = INDICES.iter().chain(&SHARES).map(|name| (*name).to_owned());
    named
        .chain(contracts)
        .map(|name| name.parse().unwrap())
        .collect()
}

fn main() -> ExitCode {
    let words: Vec<String> = std::env::args().collect();
    if words.iter().any(|word| word == "feed") {
        feed();
        return ExitCode::SUCCESS;
    }
    let seconds = words.iter().position(|word| word == "--seconds");
    let seconds = seconds.map_or(30, |at| words[at + 1].parse().unwrap());
    measure(Duration::from_secs(seconds))
}

// ---- The display program and its measurement

/// An I2C bus that accepts every write and counts the bytes.
#[derive(Clone, Default)]
struct Sink(Arc<AtomicU64>);

impl ErrorType for Sink {
    type Error = BusFault;
}

impl I2c for Sink {
    fn transaction(&mut self, _: u8, operations: &mut [Operation<'_>]) -> Result<(), BusFault> {
        for operation in operations {
            if let Operation::Write(bytes) = operation {
                self.0.fetch_add(1 + bytes.len() as u64, Ordering::Relaxed);
            }
        }
        Ok(())
    }
}

impl Bus for Sink {
    type I2c = Sink;

    fn open(&mut self) -> Result<Sink, BusFault> {
        Ok(self.clone())
    }
}

/// The latest picture on the display, and the number of pictures so far.
type Shown = Arc<Mutex<(Frame, u64)>>;

fn measure(run: Duration) -> ExitCode {
    let mut feed = Feed::start();
    let clock = Clock::system();
    let slot = Mailbox::new(Size::Tall);
    let shown: Shown = Arc::new(Mutex::new((Frame::new(Size::Tall), 0)));
    let sink = Sink::default();
    let glass = {
        let (slot, shown, sink, clock) = (slot.clone(), shown.clone(), sink.clone(), clock.clone());
        std::thread::spawn(move || serve_glass(&slot, &shown, sink, &clock))
    };
    let (controls, receiver) = mpsc::channel(4);
    let settings = TickerSettings {
        interval: Duration::from_secs(3),
        ..TickerSettings::of(watchlist())
    };
    let display = {
        let setup = TickerSetup {
            settings: settings.clone(),
            source: FeedSource::new(
                FeedProvider::Hub,
                Endpoint::parse(&format!("ws://127.0.0.1:{}", feed.port)).unwrap(),
                Some(Secret::new("token").unwrap()),
            ),
            connector: Connector::new(None).unwrap(),
            calendar: Calendar::always_open(),
            size: Size::Tall,
            screen: None,
            clock: clock.clone(),
            supervisor: Supervisor::default(),
        };
        let slot = slot.clone();
        std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build()
                .unwrap();
            let running = event_loop::run(setup, slot, receiver, RunUntil::Stopped);
            runtime.block_on(running).unwrap()
        })
    };
    feed.says("subscribed");
    feed.tell("go");
    // The measurement begins after a warm-up, so that the buffers have their final size.
    std::thread::sleep(Duration::from_secs(5));

    let this = std::process::id();
    let (cpu, bytes, began) = (
        usage::cpu(this),
        sink.0.load(Ordering::Relaxed),
        Instant::now(),
    );
    let pictures = shown.lock().unwrap().1;
    let early = usage::memory(this, "VmRSS").unwrap();
    std::thread::sleep(run);
    let (late, elapsed) = (
        usage::memory(this, "VmRSS").unwrap(),
        began.elapsed().as_secs_f64(),
    );
    let used = usage::cpu(this) - cpu;
    let bytes = sink.0.load(Ordering::Relaxed) - bytes;
    let pictures = shown.lock().unwrap().1 - pictures;

    feed.tell("stop");
    let (events, newest) = feed.last();
    let wrong = compare(&controls, &shown, &settings, &newest, &clock);

    let mut table = Table::new("64 instruments, 2,000 events a second in all");
    table.note("events sent", &events.to_string());
    table.at_most("CPU, of one core", used / elapsed * 100.0, 5.0, "%");
    table.note(
        "the same, of an event",
        &format!("{:.1} us", used / elapsed / RATE as f64 * 1e6),
    );
    let growth = (late - early).max(0.0);
    table.note("resident memory", &format!("{late} KiB"));
    table.at_most(
        &format!("its growth in {elapsed:.0} s"),
        growth,
        64.0,
        "KiB",
    );
    table.note(
        "pictures a second",
        &format!("{:.0}", pictures as f64 / elapsed),
    );
    table.note(
        "bytes on the bus a second",
        &format!("{:.0}", bytes as f64 / elapsed),
    );
    table.at_most(
        "instruments that do not show their newest value",
        wrong as f64,
        0.0,
        "",
    );

    controls.blocking_send(ControlMessage::Stop).unwrap();
    display.join().unwrap();
    slot.close();
    glass.join().unwrap();
    table.end()
}

fn serve_glass(slot: &Mailbox, shown: &Shown, sink: Sink, clock: &Clock) {
    let settings = display::PanelSettings {
        chip: Chip::Ssd1306,
        size: Size::Tall,
        bus: "/dev/i2c-1".into(),
        address: 0x3c,
        rotation: Rotation::Upright,
        dc: None,
        reset: None,
    };
    let mut oled = Oled::new(settings, sink);
    let mut frame = Box::new(Frame::new(Size::Tall));
    loop {
        match slot.take_into(&mut frame, None) {
            MailboxItem::Frame(light, _) => {
                oled.show(&frame, light, clock.now().monotonic);
                let mut shown = shown.lock().unwrap();
                shown.0.clone_from(&frame);
                shown.1 += 1;
            }
            MailboxItem::Nothing => {}
            MailboxItem::Closed => return,
        }
    }
}

/// The number of instruments that do not show the last price of the feed. Each instrument is shown
/// on a page of its own. A new ticker state that has only this price draws the expected picture.
fn compare(
    controls: &mpsc::Sender<ControlMessage>,
    shown: &Shown,
    settings: &TickerSettings,
    newest: &BTreeMap<String, Price>,
    clock: &Clock,
) -> usize {
    let alone = |place: usize| TickerSettings {
        pages: vec![PageSpec::Pair(place, None)],
        ..settings.clone()
    };
    let differs = |place: &usize| {
        let now = clock.now();
        let ticker = settings.watchlist[*place].ticker();
        let expected = digits(&draw(alone(*place), ticker, newest[ticker], now));
        let before = shown.lock().unwrap().1;
        let apply = ControlMessage::Apply(Box::new(alone(*place)));
        controls.blocking_send(apply).unwrap();
        let until = Instant::now() + Duration::from_secs(2);
        loop {
            let (frame, count) = &*shown.lock().unwrap();
            if *count > before && digits(frame) == expected {
                return false;
            }
            if Instant::now() > until {
                println!("{ticker}: {} is not on the glass\n{frame}", newest[ticker]);
                return true;
            }
        }
    };
    (0..settings.watchlist.len()).filter(differs).count()
}

/// The rows of the framebuffer that contain the large digits.
fn digits(frame: &Frame) -> Vec<u8> {
    frame.as_bytes()[WIDTH..5 * WIDTH].to_vec()
}

fn draw(settings: TickerSettings, ticker: &str, price: Price, now: Now) -> Frame {
    let mut desk = TickerState::new(settings, Calendar::always_open(), Size::Tall, now).unwrap();
    let update = Update::Market(
        Ticker::try_from(ticker).unwrap(),
        MarketEvent {
            kind: ChannelKind::Value,
            data: MarketData::Value(price),
            stamp: now.utc,
            age: None,
        },
    );
    desk.on(&update, now);
    desk.draw(now).clone()
}

// ---- The feed process

/// The child process that sends the events.
struct Feed {
    child: Child,
    lines: std::io::Lines<BufReader<std::process::ChildStdout>>,
    port: u16,
}

impl Feed {
    fn start() -> Self {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .arg("feed")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let port = lines.next().unwrap().unwrap().parse().unwrap();
        Self { child, lines, port }
    }

    fn tell(&mut self, word: &str) {
        writeln!(self.child.stdin.as_mut().unwrap(), "{word}").unwrap();
    }

    fn says(&mut self, word: &str) {
        assert_eq!(self.lines.next().unwrap().unwrap(), word);
    }

    /// The number of sent events, and the last price of each instrument.
    fn last(&mut self) -> (u64, BTreeMap<String, Price>) {
        let events = self.lines.next().unwrap().unwrap().parse().unwrap();
        let mut newest = BTreeMap::new();
        for line in self.lines.by_ref().map_while(Result::ok) {
            let Some((ticker, scaled)) = line.split_once(' ') else {
                break;
            };
            newest.insert(
                ticker.to_owned(),
                Price::from_scaled(scaled.parse().unwrap()),
            );
        }
        (events, newest)
    }
}

impl Drop for Feed {
    fn drop(&mut self) {
        self.child.kill().ok();
        self.child.wait().ok();
    }
}

/// The frames for each connection, and the number of acknowledged subscriptions.
struct Air {
    frames: [broadcast::Sender<Arc<str>>; 3],
    subscribed: AtomicU64,
}

const PATHS: [&str; 3] = ["/ws/indices", "/ws/options", "/ws/stocks"];

fn feed() {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    runtime.block_on(async {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        println!("{}", listener.local_addr().unwrap().port());
        let air = Arc::new(Air {
            frames: [(); 3].map(|()| broadcast::channel(64).0),
            subscribed: AtomicU64::new(0),
        });
        let words = Arc::new(Mutex::new(Vec::<String>::new()));
        std::thread::spawn({
            let words = words.clone();
            move || {
                for line in std::io::stdin().lines().map_while(Result::ok) {
                    words.lock().unwrap().push(line);
                }
            }
        });
        tokio::spawn(accept(listener, air.clone()));
        send(&air, &words).await;
        // The connections stay open, so that the last values stay fresh during the comparison.
        std::future::pending::<()>().await;
    });
}

async fn accept(listener: TcpListener, air: Arc<Air>) {
    loop {
        let (stream, _) = listener.accept().await.unwrap();
        tokio::spawn(serve(stream, air.clone()));
    }
}

async fn serve(mut stream: TcpStream, air: Arc<Air>) {
    let mut start = [0; 16];
    while stream
        .peek(&mut start)
        .await
        .is_ok_and(|count| count < 16 && count > 0)
    {}
    let path = PATHS.iter().position(|path| {
        start.starts_with(format!("GET {path}").as_bytes()[..15.min(4 + path.len())].as_ref())
    });
    let Some(cluster) = path else {
        // The server has no REST data. The response to `/healthz` identifies the server as a hub.
        let mut request = [0; 2048];
        let Ok(length) = stream.read(&mut request).await else {
            return;
        };
        let (status, body) = if request[..length].starts_with(b"GET /healthz") {
            ("200 OK", r#"{"clusters":{}}"#)
        } else {
            ("404 Not Found", r#"{"error":"none"}"#)
        };
        let answer = format!(
            "HTTP/1.1 {status}\r\ncontent-type: application/json\r\ncontent-length: {}\r\nconnection: close\r\n\r\n{body}",
            body.len()
        );
        stream.write_all(answer.as_bytes()).await.ok();
        return;
    };
    stream.set_nodelay(true).unwrap();
    let mut frames = air.frames[cluster].subscribe();
    let mut socket = tokio_tungstenite::accept_async(stream).await.unwrap();
    loop {
        tokio::select! {
            frame = frames.recv() => {
                if socket.send(Message::text(frame.unwrap().as_ref())).await.is_err() {
                    return;
                }
            }
            message = socket.next() => match message {
                Some(Ok(Message::Text(text))) if text.contains("\"subscribe\"") => {
                    let channel = text.split('"').nth(7).unwrap();
                    let ack = format!(r#"[{{"ev":"status","status":"success","message":"subscribed to: {channel}"}}]"#);
                    socket.send(Message::text(ack)).await.unwrap();
                    air.subscribed.fetch_add(1, Ordering::Relaxed);
                }
                Some(Ok(_)) => {}
                _ => return,
            },
        }
    }
}

async fn send(air: &Air, words: &Mutex<Vec<String>>) {
    let symbols = watchlist();
    let wanted: u64 = symbols
        .iter()
        .map(|symbol| symbol.channels().count() as u64)
        .sum();
    let mut ticks = tokio::time::interval(PERIOD);
    while air.subscribed.load(Ordering::Relaxed) < wanted {
        ticks.tick().await;
    }
    println!("subscribed");
    let said = |word: &str| words.lock().unwrap().iter().any(|said| said == word);
    while !said("go") {
        ticks.tick().await;
    }
    let mut prices: Vec<i64> = (0..symbols.len() as i64)
        .map(|nth| 1_000_000 + nth * 500_000)
        .collect();
    let mut random = fastrand::Rng::with_seed(7);
    let (mut sent, began) = (0u64, Instant::now());
    while !said("stop") {
        ticks.tick().await;
        let due = began.elapsed().as_micros() as u64 * RATE / 1_000_000;
        let mut events: [Vec<String>; 3] = Default::default();
        while sent < due {
            let place = (sent % symbols.len() as u64) as usize;
            let round = sent / symbols.len() as u64;
            let (symbol, price) = (&symbols[place], &mut prices[place]);
            let turn = if symbol.class() == AssetClass::Option {
                round % 6
            } else {
                0
            };
            if turn < 4 {
                *price = (*price + random.i64(-300..=300) * 100).max(100_000);
            }
            let (cluster, event) = event(symbol, *price, turn);
            events[cluster].push(event);
            sent += 1;
        }
        for (sender, events) in air.frames.iter().zip(events) {
            if !events.is_empty() {
                sender.send(format!("[{}]", events.join(",")).into()).ok();
            }
        }
    }
    println!("{sent}");
    for (symbol, price) in symbols.iter().zip(&prices) {
        println!("{} {price}", symbol.ticker());
    }
    println!();
}

/// An event of this instrument, with the index of its connection. Some events of a contract are
/// trades and bars, which do not change the quote.
fn event(symbol: &Symbol, scaled: i64, turn: u64) -> (usize, String) {
    let Utc(millis) = Utc(SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap()
        .as_millis() as i64);
    let (ticker, price) = (symbol.ticker(), scaled as f64 / 10_000.0);
    match (symbol.class(), turn) {
        (AssetClass::Index, _) => (
            0,
            format!(r#"{{"ev":"V","val":{price},"T":"{ticker}","t":{millis}}}"#),
        ),
        (AssetClass::Equity, _) => (
            2,
            format!(
                r#"{{"ev":"A","sym":"{ticker}","v":200,"av":8642007,"op":{price},"vw":{price},"o":{price},"c":{price},"h":{price},"l":{price},"a":{price},"z":50,"s":{},"e":{millis}}}"#,
                millis - 1000
            ),
        ),
        (AssetClass::Option, 4) => (
            1,
            format!(
                r#"{{"ev":"T","sym":"{ticker}","x":65,"p":{price},"s":1,"c":[233],"t":{millis},"q":{millis}}}"#
            ),
        ),
        (AssetClass::Option, 5) => (
            1,
            format!(
                r#"{{"ev":"A","sym":"{ticker}","v":2,"av":{},"op":{price},"vw":{price},"o":{price},"c":{price},"h":{price},"l":{price},"a":{price},"z":1,"s":{},"e":{}}}"#,
                millis % 100_000,
                millis - 61_000,
                millis - 60_000
            ),
        ),
        (AssetClass::Option, _) => (
            1,
            format!(
                r#"{{"ev":"Q","sym":"{ticker}","bx":302,"ax":302,"bp":{},"ap":{},"bs":17,"as":24,"t":{millis},"q":{millis}}}"#,
                price - 0.05,
                price + 0.05
            ),
        ),
    }
}
