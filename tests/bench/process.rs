//! Measures the program as a process: memory, binary size, and the time until the first values. The
//! program runs with a hub on loopback. Exits with a failure if a value exceeds its limit.
#![allow(clippy::unwrap_used, clippy::print_stdout)]

mod table;
#[path = "process/tick.rs"]
mod tick;
mod usage;

use std::fs;
use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitCode, Stdio};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use futures_util::{SinkExt, StreamExt};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio_tungstenite::tungstenite::Message;

use table::Table;

/// The number of values a second for each index.
const RATE: u64 = 10;
/// The time that the program runs before the memory measurement.
const RUN: Duration = Duration::from_secs(5);
/// The number of program starts. The slowest start is compared with the limit.
const STARTS: usize = 5;
/// The log line that the program writes when every value is on the display for the first time.
const COMPLETE: &str = "all values have arrived";
const MIB: f64 = 1024.0 * 1024.0;

/// Starts a server in a thread of its own. It serves each connection as `serve` says.
fn server<F>(serve: impl Fn(TcpStream) -> F + Send + 'static) -> SocketAddr
where
    F: Future<Output = ()> + Send + 'static,
{
    let (sender, receiver) = std::sync::mpsc::channel();
    std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .unwrap();
        runtime.block_on(async {
            let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
            sender.send(listener.local_addr().unwrap()).unwrap();
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                tokio::spawn(serve(stream));
            }
        });
    });
    receiver.recv().unwrap()
}

/// Serves one connection until the client or an error ends the connection.
async fn serve(stream: TcpStream) {
    let mut start = [0; 8];
    while stream
        .peek(&mut start)
        .await
        .is_ok_and(|count| count < 8 && count > 0)
    {}
    if &start == b"GET /ws/" {
        stream.set_nodelay(true).unwrap();
        values(stream).await;
    } else {
        quotes(stream).await;
    }
}

/// Sends a REST response, so that the program has the previous closes and shows a change.
async fn quotes(mut stream: TcpStream) {
    let mut request = Vec::new();
    while !request.ends_with(b"\r\n\r\n") {
        let mut part = [0; 1024];
        match stream.read(&mut part).await {
            Ok(count @ 1..) => request.extend(&part[..count]),
            _ => return,
        }
    }
    let now = millis();
    let row = |symbol, last, close| {
        format!(r#"{{"symbol":"{symbol}","last":{last},"previousClose":{close},"asOf":{now}}}"#)
    };
    let rows = [row("I:SPX", 5912.3, 5887.12), row("I:VIX", 17.2, 16.81)].join(",");
    // A request without a token gets the same response: the program recognises a hub by the field
    // `clusters`.
    let body = format!(r#"{{"clusters":{{}},"results":[{rows}]}}"#);
    let head = "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\nconnection: close";
    let answer = format!("{head}\r\ncontent-length: {}\r\n\r\n{body}", body.len());
    stream.write_all(answer.as_bytes()).await.ok();
}

/// Sends values as soon as the client has sent its first subscription.
async fn values(stream: TcpStream) {
    let Ok(mut socket) = tokio_tungstenite::accept_async(stream).await else {
        return;
    };
    let mut subscribed = false;
    let mut tick = tokio::time::interval(Duration::from_millis(1000 / RATE));
    let mut count = 0;
    loop {
        tokio::select! {
            message = socket.next() => match message {
                Some(Ok(Message::Text(_))) if !subscribed => {
                    subscribed = true;
                    tick.reset_immediately();
                }
                Some(Ok(_)) => {}
                Some(Err(_)) | None => return,
            },
            _ = tick.tick(), if subscribed => {
                // Outside the trading hours, the program shows a value only after a second one. The
                // bench can run at any time of day, so the second value comes at once.
                let values = if count == 0 { 2 } else { 1 };
                for later in 0..values {
                    count += 1;
                    let (now, step) = (millis() + later, f64::from(count * 7919 % 100) / 100.0);
                    let event = |ticker, price: f64| {
                        format!(r#"{{"ev":"V","val":{price:.2},"T":"{ticker}","t":{now}}}"#)
                    };
                    let events = [event("I:SPX", 5912.0 + step), event("I:VIX", 17.0 + step)];
                    let text = format!("[{}]", events.join(","));
                    if socket.send(Message::text(text)).await.is_err() {
                        return;
                    }
                }
            }
        }
    }
}

fn millis() -> u128 {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap()
        .as_millis()
}

/// A running program. The program ends when this value is dropped.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        // The program may already have ended, so the results of these calls are ignored.
        self.0.kill().ok();
        self.0.wait().ok();
    }
}

/// Starts the program. Returns the process, and the time until every value was on the display.
fn start(config: &Path) -> (Running, Duration) {
    let began = Instant::now();
    let mut child = Command::new(env!("CARGO_BIN_EXE_deskticker"))
        .args(["run", "--config"])
        .arg(config)
        .env("MASSIVE_PROXY_TOKEN", "a-token-of-this-benchmark")
        .env_remove("RUST_LOG")
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut log = BufReader::new(child.stderr.take().unwrap());
    let running = Running(child);
    let mut said = String::new();
    while !said.contains(COMPLETE) {
        let count = log.read_line(&mut said).unwrap();
        assert!(count > 0, "the program ended: {said}");
    }
    let took = began.elapsed();
    // The program may continue to log, so a thread must read the pipe.
    std::thread::spawn(move || std::io::copy(&mut log, &mut std::io::sink()));
    (running, took)
}

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().collect();
    if tick::child(&arguments).is_some() {
        return ExitCode::SUCCESS;
    }
    let directory = std::env::temp_dir().join(format!("deskticker-bench-{}", std::process::id()));
    fs::create_dir_all(&directory).unwrap();
    let picture = directory.join("screen.png");
    let config = directory.join("deskticker.toml");
    let text = format!(
        "watchlist = [\"SPX\", \"VIX\"]\n[hub]\nurl = \"ws://{}\"\n[panel]\nkind = \"png\"\nfile = {:?}\n",
        server(serve),
        picture,
    );
    fs::write(&config, text).unwrap();

    let mut table =
        Table::new("The process: `deskticker run` on plain ws, SPX and VIX ten times a second");
    let slowest = (0..STARTS).map(|_| start(&config).1).max().unwrap();
    table.at_most(
        "from the start to the values, the slowest of 5 starts",
        (slowest.as_secs_f64() * 1e4).round() / 10.0,
        100.0,
        "ms",
    );
    let (running, _) = start(&config);
    std::thread::sleep(RUN);
    match (
        usage::memory(running.0.id(), "VmHWM"),
        usage::memory(running.0.id(), "VmRSS"),
    ) {
        (Some(peak), Some(now)) => {
            table.at_most(
                "peak memory (RSS) after 5 s",
                (peak / 102.4).round() / 10.0,
                8.0,
                "MiB",
            );
            table.note(
                "memory (RSS) then",
                &table::figure((now / 102.4).round() / 10.0, "MiB"),
            );
        }
        _ => table.note("peak memory (RSS)", "no /proc: skipped"),
    }
    assert!(picture.exists(), "it draws");
    drop(running);
    let program = PathBuf::from(env!("CARGO_BIN_EXE_deskticker"));
    let size = fs::metadata(program).unwrap().len() as f64 / MIB;
    // The limit is for the program of a Pi: tests/pi/build.
    table.note(
        "the binary (with unwinding, which a release has not)",
        &table::figure((size * 100.0).round() / 100.0, "MiB"),
    );
    fs::remove_dir_all(directory).unwrap();
    if let Some([ticker, floor, threads]) = tick::measure() {
        let text = |time: f64| table::figure(time.round(), "µs");
        let times = |other: f64| format!("{:.1}", ticker / other);
        table.note(
            "CPU time of a value in the whole process, 50 a second",
            &text(ticker),
        );
        table.note("a loop of one read and one write of 44 bytes", &text(floor));
        table.note("  the value costs so many times the loop", &times(floor));
        table.note("the loop, if a second thread writes", &text(threads));
        table.note("  the value costs so many times this loop", &times(threads));
    }
    table.end()
}
