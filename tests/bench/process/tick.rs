//! The CPU time of one tick in the whole process, from the frame on the socket to the message for the
//! panel. Beside it in the same run: a loop that only reads the same bytes and writes as many as a
//! tick writes, in one thread and in two.

use std::fs::{File, OpenOptions};
use std::io::{Read, Write};
use std::net::SocketAddr;
use std::process::Command;
use std::sync::{Arc, Condvar, Mutex};
use std::time::Duration;

use deskticker::config::settings::TickerSettings;
use deskticker::display::{Bus, BusFault, Chip, Oled, PanelSettings, PanelThread, Rotation};
use deskticker::market::Calendar;
use deskticker::net::connector::Connector;
use deskticker::net::endpoint::Endpoint;
use deskticker::net::source::{FeedProvider, FeedSource};
use deskticker::render::Size;
use deskticker::systemd::Supervisor;
use deskticker::ticker::event_loop::{self, RunUntil, TickerSetup};
use deskticker::time::Clock;
use embedded_hal::i2c::{ErrorType, I2c, Operation};
use futures_util::{SinkExt, StreamExt};
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;
use tokio_tungstenite::tungstenite::Message;

/// Values of SPX a second.
const RATE: u32 = 50;
/// The bytes that a tick writes to the bus.
const MESSAGE: usize = 44;
const WARM_UP: Duration = Duration::from_secs(2);
const RUN: Duration = Duration::from_secs(8);

/// A bus on which each message is one `write`, as on `/dev/i2c-1`.
struct FileBus;

struct FileI2c(File);

impl Bus for FileBus {
    type I2c = FileI2c;

    fn open(&mut self) -> Result<FileI2c, BusFault> {
        let file = OpenOptions::new().write(true).open("/dev/null");
        file.map(FileI2c).map_err(|error| BusFault::from_io(&error))
    }
}

impl ErrorType for FileI2c {
    type Error = BusFault;
}

impl I2c for FileI2c {
    fn transaction(&mut self, _: u8, operations: &mut [Operation<'_>]) -> Result<(), BusFault> {
        for operation in operations {
            match operation {
                Operation::Write(bytes) => {
                    let written = self.0.write_all(bytes);
                    written.map_err(|error| BusFault::from_io(&error))?;
                }
                Operation::Read(bytes) => bytes.fill(0),
            }
        }
        Ok(())
    }
}

/// The two programs that the bench starts, by the arguments of the bench. Returns `None` for the bench
/// itself.
pub(crate) fn child(arguments: &[String]) -> Option<()> {
    let at = arguments
        .iter()
        .position(|word| word.starts_with("--child-"))?;
    let address: SocketAddr = arguments[at + 1].parse().unwrap();
    match arguments[at].as_str() {
        "--child-ticker" => ticker(address),
        "--child-loop" => read_and_write(address),
        _ => read_and_hand_over(address),
    }
    Some(())
}

fn ticker(address: SocketAddr) {
    let clock = Clock::system();
    let settings = PanelSettings {
        chip: Chip::Ssd1306,
        size: Size::Tall,
        bus: "/dev/null".into(),
        address: 0x3c,
        rotation: Rotation::Upright,
        dc: None,
        reset: None,
    };
    let panel = PanelThread::spawn(Oled::new(settings, FileBus), Size::Tall, clock.clone());
    let (mailbox, _panel) = panel.unwrap();
    let setup = TickerSetup {
        settings: TickerSettings::of(vec!["SPX".parse().unwrap()]),
        source: FeedSource::new(
            FeedProvider::Hub,
            Endpoint::parse(&format!("ws://{address}")).unwrap(),
            None,
        ),
        connector: Connector::new(None).unwrap(),
        calendar: Calendar::always_open(),
        size: Size::Tall,
        screen: None,
        clock,
        supervisor: Supervisor::default(),
    };
    let (_controls, receiver) = tokio::sync::mpsc::channel(1);
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    let run = event_loop::run(setup, mailbox, receiver, RunUntil::Stopped);
    runtime.block_on(run).unwrap();
}

/// Reads and writes, and does nothing else.
fn read_and_write(address: SocketAddr) {
    let mut sink = OpenOptions::new().write(true).open("/dev/null").unwrap();
    read_raw(address, |bytes| sink.write_all(bytes).unwrap());
}

/// Reads, and hands the bytes to a second thread that writes them. A program needs this thread if its
/// reads must never wait for its writes, because a write to `/dev/i2c-1` blocks.
fn read_and_hand_over(address: SocketAddr) {
    let shared = Arc::new((Mutex::new(None::<[u8; MESSAGE]>), Condvar::new()));
    let receiver = shared.clone();
    std::thread::spawn(move || {
        let mut sink = OpenOptions::new().write(true).open("/dev/null").unwrap();
        loop {
            let waiting = receiver.0.lock().unwrap();
            let mut waiting = receiver.1.wait_while(waiting, |bytes| bytes.is_none());
            let bytes = waiting.as_mut().unwrap().take().unwrap();
            drop(waiting);
            sink.write_all(&bytes).unwrap();
        }
    });
    read_raw(address, |bytes| {
        *shared.0.lock().unwrap() = Some(bytes.try_into().unwrap());
        shared.1.notify_one();
    });
}

/// Calls `write` with as many bytes as a tick writes, each time when bytes arrive.
fn read_raw(address: SocketAddr, mut write: impl FnMut(&[u8])) {
    let mut stream = std::net::TcpStream::connect(address).unwrap();
    let mut buffer = [0; 4096];
    stream.write_all(b"raw").unwrap();
    while stream.read(&mut buffer).is_ok_and(|count| count > 0) {
        write(&buffer[..MESSAGE]);
    }
}

/// Serves the same values to both: in WebSocket frames, or as they are.
async fn serve(stream: TcpStream, raw: bool) {
    let mut tick = tokio::time::interval(Duration::from_secs(1) / RATE);
    let mut count = 0_u32;
    let mut text = || {
        count += 1;
        let price = if count.is_multiple_of(2) {
            "5912.34"
        } else {
            "5912.41"
        };
        let stamp = super::millis();
        format!(r#"[{{"ev":"V","val":{price},"T":"I:SPX","t":{stamp}}}]"#)
    };
    if raw {
        let mut stream = stream;
        loop {
            tick.tick().await;
            if stream.write_all(text().as_bytes()).await.is_err() {
                return;
            }
        }
    }
    let Ok(mut socket) = tokio_tungstenite::accept_async(stream).await else {
        return;
    };
    while !matches!(socket.next().await, Some(Ok(Message::Text(_))) | None) {}
    loop {
        tokio::select! {
            message = socket.next() => if !matches!(message, Some(Ok(_))) {
                return;
            },
            _ = tick.tick() => if socket.send(Message::text(text())).await.is_err() {
                return;
            },
        }
    }
}

/// Serves a connection by its first bytes: raw, by WebSocket, or by REST.
async fn choose(stream: TcpStream) {
    stream.set_nodelay(true).unwrap();
    let mut start = [0; 8];
    while stream
        .peek(&mut start)
        .await
        .is_ok_and(|count| (1..3).contains(&count))
    {}
    match &start[..3] {
        b"raw" => serve(stream, true).await,
        _ if &start == b"GET /ws/" => serve(stream, false).await,
        _ => super::quotes(stream).await,
    }
}

/// The CPU time of all threads of a process so far (proc(5), `schedstat`). `None` without that file.
fn cpu(process: u32) -> Option<Duration> {
    let tasks = std::fs::read_dir(format!("/proc/{process}/task")).ok()?;
    let mut nanoseconds = 0;
    for task in tasks {
        let text = std::fs::read_to_string(task.ok()?.path().join("schedstat")).ok()?;
        nanoseconds += text.split(' ').next()?.parse::<u64>().ok()?;
    }
    Some(Duration::from_nanos(nanoseconds))
}

/// Measures the three programs at the same time. Returns the microseconds for each value of the
/// ticker, of the loop and of the loop with two threads; `None` if the system does not report CPU
/// times.
pub(crate) fn measure() -> Option<[f64; 3]> {
    let address = super::server(choose);
    let programs = ["--child-ticker", "--child-loop", "--child-threads"].map(|name| {
        let program = std::env::current_exe().unwrap();
        let child = Command::new(program)
            .args([name, &address.to_string()])
            .spawn();
        super::Running(child.unwrap())
    });
    std::thread::sleep(WARM_UP);
    let now = || programs.each_ref().map(|program| cpu(program.0.id()));
    let before = now();
    std::thread::sleep(RUN);
    let after = now();
    let mut each = [0.0; 3];
    for ((each, before), after) in each.iter_mut().zip(before).zip(after) {
        let used = after?.checked_sub(before?)?;
        *each = used.as_secs_f64() * 1e6 / (RUN.as_secs_f64() * f64::from(RATE));
    }
    Some(each)
}
