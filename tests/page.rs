//! Tests of the web page of a display, over real sockets against the built program. The reader of
//! the mirror and of the pictures shares no code with the program.
#![allow(clippy::unwrap_used, clippy::print_stdout)]

#[path = "support/child_process.rs"]
mod child_process;
#[path = "support/proxy_server.rs"]
mod proxy_server;

use std::io::{ErrorKind, Read, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant, SystemTime};

use deskticker::time::Clock;
use serde_json::Value;
use tokio_tungstenite::tungstenite::protocol::Role;
use tokio_tungstenite::tungstenite::{Message, WebSocket};

use child_process::{Program, configured};
use proxy_server::Proxy;

const LIMIT: Duration = Duration::from_secs(20);

/// A display with a page, and its hub.
struct Display {
    program: Program,
    proxy: Proxy,
    address: String,
}

impl Display {
    fn start(name: &str, page: &str) -> Self {
        let mut proxy = Proxy::start(Clock::system());
        let panel = format!("kind = \"png\"\n[page]\nlisten = \"127.0.0.1:0\"\n{page}");
        let config = configured(name, &proxy.address, &panel);
        let mut program = Program::start(&["--config", config.to_str().unwrap()], &[]);
        let line = program.wait_for_line("the page of this display is at http://");
        let address = line.split("http://").nth(1).unwrap();
        let address = address.trim().trim_end_matches('/').to_owned();
        proxy.wait_for_subscriptions(4);
        Self {
            program,
            proxy,
            address,
        }
    }

    /// Sends a value and one just before it, because the display does not show a single value from
    /// outside the trading hours.
    fn send(&self, value: f64) {
        let now = SystemTime::UNIX_EPOCH.elapsed().unwrap().as_millis();
        for (value, time) in [(value - 0.01, now - 1), (value, now)] {
            self.proxy.text(format!(
                r#"[{{"ev":"V","val":{value:.2},"T":"I:SPX","t":{time}}}]"#
            ));
        }
    }

    fn connect(&self) -> TcpStream {
        let stream = TcpStream::connect(&self.address).unwrap();
        stream.set_read_timeout(Some(LIMIT)).unwrap();
        stream
    }

    /// Sends a request and returns the head and the body of the answer.
    fn request(&self, request: &str) -> (String, Vec<u8>) {
        let mut stream = self.connect();
        stream.write_all(request.as_bytes()).unwrap();
        answer(&mut stream)
    }

    fn get(&self, path: &str) -> (String, Vec<u8>) {
        let host = &self.address;
        self.request(&format!(
            "GET {path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n"
        ))
    }

    fn json(&self, path: &str) -> Value {
        let (head, body) = self.get(path);
        assert!(head.starts_with("HTTP/1.1 200"), "{head}");
        serde_json::from_slice(&body).unwrap()
    }

    /// Waits until the first value has this price.
    fn wait_for_price(&self, price: f64) -> Value {
        let end = Instant::now() + LIMIT;
        loop {
            let values = self.json("/api/values");
            if values[0]["price"] == price {
                return values;
            }
            assert!(Instant::now() < end, "{values}");
        }
    }

    fn viewer(&self) -> Viewer {
        let mut stream = self.connect();
        let host = &self.address;
        let request = format!(
            "GET /api/glass HTTP/1.1\r\nHost: {host}\r\nOrigin: http://{host}\r\nConnection: Upgrade\r\n\
             Upgrade: websocket\r\nSec-WebSocket-Version: 13\r\n\
             Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
        );
        stream.write_all(request.as_bytes()).unwrap();
        let head = head(&mut stream);
        // The answer to the key of RFC 6455, section 1.3.
        assert!(head.starts_with("HTTP/1.1 101"), "{head}");
        assert!(head.contains("s3pPLMBiTxaQ9kYGzzhZRbK+xOo="), "{head}");
        Viewer {
            socket: WebSocket::from_raw_socket(stream, Role::Client, None),
            glass: Vec::new(),
            sizes: Vec::new(),
        }
    }

    /// The picture at `/screen.png`, one entry for each dot.
    fn picture(&self) -> Vec<bool> {
        let (head, body) = self.get("/screen.png");
        assert!(head.contains("image/png"), "{head}");
        let mut reader = png::Decoder::new(std::io::Cursor::new(body))
            .read_info()
            .unwrap();
        let mut pixels = vec![0; reader.output_buffer_size().unwrap()];
        let info = reader.next_frame(&mut pixels).unwrap();
        let (width, height) = (info.width as usize, info.height as usize);
        let scale = width / 128;
        let dots = (0..height / scale).flat_map(|y| (0..128).map(move |x| (x, y)));
        dots.map(|(x, y)| pixels[y * scale * width + x * scale] != 0)
            .collect()
    }
}

/// Reads the head of an answer.
fn head(stream: &mut TcpStream) -> String {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        let mut byte = [0];
        match stream.read(&mut byte) {
            Ok(1) => head.push(byte[0]),
            _ => break,
        }
    }
    String::from_utf8(head).unwrap()
}

fn answer(stream: &mut TcpStream) -> (String, Vec<u8>) {
    let head = head(stream);
    let mut body = Vec::new();
    stream.read_to_end(&mut body).ok();
    (head, body)
}

/// A browser that shows the mirror.
struct Viewer {
    socket: WebSocket<TcpStream>,
    glass: Vec<u8>,
    /// The size of each message.
    sizes: Vec<usize>,
}

impl Viewer {
    /// Reads one message. Returns its validity in milliseconds, and the number that it answers.
    fn read(&mut self) -> (u16, Option<u32>) {
        let message = loop {
            match self.socket.read().unwrap() {
                Message::Binary(bytes) => break bytes,
                other => assert!(other.is_ping() || other.is_pong(), "{other:?}"),
            }
        };
        self.sizes.push(message.len());
        let state = if message[0] == 0 { 2 } else { 1 };
        let valid = u16::from_le_bytes([message[state + 1], message[state + 2]]);
        let mut rest = &message[state + 3..];
        match message[0] {
            0 => {
                assert_eq!(rest.len(), usize::from(message[1]) * 128);
                self.glass = rest.to_vec();
            }
            1 => {
                while let [top, left, bottom, right, bytes @ ..] = rest {
                    let width = usize::from(right - left) + 1;
                    rest = bytes;
                    for page in *top..=*bottom {
                        let at = usize::from(page) * 128 + usize::from(*left);
                        self.glass[at..at + width].copy_from_slice(&rest[..width]);
                        rest = &rest[width..];
                    }
                }
            }
            _ => return (valid, Some(u32::from_be_bytes(rest.try_into().unwrap()))),
        }
        (valid, None)
    }

    /// Asks with a number, and reads up to its answer. Returns its validity.
    fn ask(&mut self, number: u32) -> u16 {
        let question = number.to_be_bytes().to_vec();
        self.socket.send(Message::binary(question)).unwrap();
        loop {
            if let (valid, Some(answered)) = self.read() {
                assert_eq!(answered, number);
                return valid;
            }
        }
    }

    fn picture(&self) -> Vec<bool> {
        let height = self.glass.len() / 16;
        let dots = (0..height).flat_map(|y| (0..128).map(move |x| (x, y)));
        dots.map(|(x, y)| self.glass[y / 8 * 128 + x] >> (y % 8) & 1 == 1)
            .collect()
    }
}

#[test]
fn the_mirror_is_the_glass_dot_for_dot_and_a_change_costs_few_bytes() {
    let display = Display::start("mirror", "");
    display.send(5912.34);
    display.wait_for_price(5912.34);
    let mut viewer = display.viewer();
    let valid = viewer.ask(1);
    assert!(valid > 0);
    assert_eq!(viewer.picture(), display.picture());
    let known = viewer.sizes.len();
    display.send(5912.41);
    display.wait_for_price(5912.41);
    viewer.ask(2);
    assert_eq!(viewer.picture(), display.picture());
    // The clock of the glass may have moved on in between.
    let changes: usize = viewer.sizes[known..viewer.sizes.len() - 1].iter().sum();
    println!("changes after a new price: {changes} bytes");
    assert!((1..=200).contains(&changes), "{:?}", viewer.sizes);
    let mut other = display.viewer();
    other.ask(7);
    assert_eq!(other.picture(), viewer.picture());
}

#[test]
fn the_values_have_a_freshness_an_age_and_an_end_and_unknown_ones_are_null() {
    let mut display = Display::start("values", "");
    let before = display.json("/api/values");
    assert_eq!(before[0]["symbol"], "SPX");
    for unknown in ["price", "change", "as_of", "age_ms"] {
        assert_eq!(before[0][unknown], Value::Null, "{before}");
    }
    assert_eq!(before[0]["freshness"], "none");
    display.send(5912.34);
    let values = display.wait_for_price(5912.34);
    let value = &values[0];
    assert!(value["as_of"].as_str().unwrap().ends_with('Z'), "{value}");
    assert!(value["age_ms"].as_u64().unwrap() < 20_000, "{value}");
    assert!(value["valid_ms"].as_u64().unwrap() <= 60_000, "{value}");
    assert_eq!(value["decimals"], 2);
    assert_eq!(values[1]["price"], Value::Null);
    let status = display.json("/api/status");
    assert_eq!(status["link"]["state"], "live");
    assert_eq!(status["values"][0]["symbol"], "SPX");
    let words = status["glass"].to_string();
    assert!(words.contains("5,912.34"), "{words}");
    let (head, metrics) = display.get("/metrics");
    assert!(head.contains("text/plain; version=0.0.4"), "{head}");
    let metrics = String::from_utf8(metrics).unwrap();
    assert!(
        metrics.contains("deskticker_price{symbol=\"SPX\",freshness="),
        "{metrics}"
    );
    assert!(!metrics.contains("symbol=\"VIX\""), "{metrics}");
    let (head, _) = display.get("/healthz");
    assert!(head.starts_with("HTTP/1.1 200"), "{head}");
    assert!(display.program.is_running());
}

#[test]
fn each_answer_forbids_caches_and_the_page_forbids_foreign_content() {
    let display = Display::start("headers", "");
    for path in [
        "/",
        "/page.js",
        "/page.css",
        "/screen.png",
        "/api/status",
        "/metrics",
        "/nothing",
    ] {
        let (head, body) = display.get(path);
        for wanted in ["cache-control: no-store", "x-content-type-options: nosniff"] {
            assert!(head.contains(wanted), "{path}: {head}");
        }
        assert!(!body.is_empty(), "{path}");
        assert!(!head.contains("access-control"), "{path}: {head}");
    }
    let (head, _) = display.get("/");
    let policy = head
        .lines()
        .find(|line| line.starts_with("content-security-policy"));
    let policy = policy.unwrap();
    for wanted in [
        "default-src 'none'",
        "frame-ancestors 'none'",
        "form-action 'none'",
    ] {
        assert!(policy.contains(wanted), "{policy}");
    }
    assert!(!policy.contains("unsafe"), "{policy}");
}

#[test]
fn foreign_pages_other_methods_and_broken_requests_are_refused() {
    let display = Display::start("foreign", "hosts = [\"ticker.lan\"]");
    let host = &display.address;
    let code = |request: String| {
        let (head, _) = display.request(&request);
        head.split(' ').nth(1).unwrap_or("closed").to_owned()
    };
    let get = |path: &str, headers: &str| {
        code(format!(
            "GET {path} HTTP/1.1\r\n{headers}Connection: close\r\n\r\n"
        ))
    };
    assert_eq!(get("/api/values", &format!("Host: {host}\r\n")), "200");
    assert_eq!(get("/api/values", "Host: ticker.lan\r\n"), "200");
    for (headers, name) in [
        ("Host: evil.example\r\n".to_owned(), "rebinding"),
        (
            format!("Host: {host}\r\nOrigin: http://evil.example\r\n"),
            "foreign origin",
        ),
        (format!("Host: {host}\r\nOrigin: null\r\n"), "no origin"),
        (String::new(), "no host"),
    ] {
        assert_eq!(get("/api/values", &headers), "403", "{name}");
        assert_eq!(get("/api/glass", &headers), "403", "{name}");
    }
    let twice = format!("Host: {host}\r\nHost: {host}\r\n");
    assert_eq!(get("/", &twice), "400");
    for path in [
        "/../etc/passwd",
        "/%2e%2e/etc/passwd",
        "/api/values/",
        "//",
        "/page.js%00",
    ] {
        assert_eq!(get(path, &format!("Host: {host}\r\n")), "404", "{path}");
    }
    let absolute = "http://evil.example/api/values";
    assert_eq!(get(absolute, "Host: evil.example\r\n"), "403");
    assert_eq!(get("/api/glass", &format!("Host: {host}\r\n")), "426");
    for method in ["POST", "PUT", "DELETE", "OPTIONS"] {
        let answer = code(format!(
            "{method} /api/values HTTP/1.1\r\nHost: {host}\r\nContent-Length: 3\r\nConnection: close\r\n\r\na=b"
        ));
        assert_eq!(answer, "405", "{method}");
    }
    // Two lengths could hide a second request.
    let smuggled = format!(
        "GET / HTTP/1.1\r\nHost: {host}\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\
         Connection: close\r\n\r\n0\r\n\r\nGET /api/values HTTP/1.1\r\n\r\n"
    );
    let (head, body) = display.request(&smuggled);
    let answers = String::from_utf8_lossy(&body).matches("HTTP/1.1").count();
    assert_eq!(answers, 0, "{head}");
    let long = format!("Host: {host}\r\nX: {}\r\n", "x".repeat(40_000));
    assert_ne!(get("/", &long), "200");
    assert_eq!(get("/", &format!("Host: {host}\r\n")), "200");
}

#[test]
fn silent_connections_neither_close_the_page_nor_delay_a_price() {
    let display = Display::start("silent", "");
    let mut idle = Vec::new();
    for number in 0..400 {
        let mut stream = display.connect();
        if number % 2 == 0 {
            stream.write_all(b"GET / HTTP/1.1\r\nHost: ").ok();
        }
        idle.push(stream);
    }
    let mut viewer = display.viewer();
    viewer.ask(1);
    let start = Instant::now();
    display.send(5912.34);
    display.wait_for_price(5912.34);
    assert!(
        start.elapsed() < Duration::from_secs(2),
        "{:?}",
        start.elapsed()
    );
    viewer.ask(2);
    assert_eq!(viewer.picture(), display.picture());
    // The oldest silent connections were closed.
    idle[0].set_read_timeout(Some(LIMIT)).unwrap();
    let ended = idle[0].read(&mut [0; 64]);
    assert!(
        matches!(ended, Ok(0))
            || ended.is_err_and(|error| error.kind() == ErrorKind::ConnectionReset)
    );
}

#[test]
fn a_viewer_that_reads_nothing_delays_neither_the_glass_nor_another_viewer() {
    let mut display = Display::start("slow", "");
    let slow: Vec<Viewer> = (0..10).map(|_| display.viewer()).collect();
    let mut viewer = display.viewer();
    for cents in 0..300 {
        display.send(5900.0 + f64::from(cents) / 10.0);
        display.proxy.wait_until_processed();
        viewer.ask(cents);
    }
    display.wait_for_price(5929.9);
    viewer.ask(1_000);
    assert_eq!(viewer.picture(), display.picture());
    for mut slow in slow {
        // It gets what it has missed, and ends with the same picture.
        slow.ask(2_000);
        assert_eq!(slow.picture(), viewer.picture());
    }
}

#[test]
fn more_viewers_than_places_are_refused_and_a_place_is_free_again() {
    let display = Display::start("places", "");
    let mut viewers: Vec<Viewer> = (0..16).map(|_| display.viewer()).collect();
    let upgrade = format!(
        "GET /api/glass HTTP/1.1\r\nHost: {}\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
         Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n",
        display.address
    );
    let code = || {
        let mut stream = display.connect();
        stream.write_all(upgrade.as_bytes()).unwrap();
        head(&mut stream)[9..12].to_owned()
    };
    assert_eq!(code(), "503");
    viewers.pop();
    let end = Instant::now() + LIMIT;
    while code() != "101" {
        assert!(Instant::now() < end);
    }
}

#[test]
fn the_page_follows_the_configuration_and_a_taken_port_is_reported() {
    let mut display = Display::start("follows", "");
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let busy = taken.local_addr().unwrap();
    let panel = format!("kind = \"png\"\n[page]\nlisten = \"{busy}\"");
    let hub = display.proxy.address;
    let config = configured("follows-next", &hub, &panel);
    let text = std::fs::read_to_string(&config).unwrap();
    let own = config
        .parent()
        .unwrap()
        .with_file_name("page-follows")
        .join("desk.toml");
    let picture = own.with_file_name("screen.png");
    let text: String = text
        .lines()
        .map(|line| match line.starts_with("file") {
            true => format!("file = {picture:?}\n"),
            false => format!("{line}\n"),
        })
        .collect();
    std::fs::write(&own, &text).unwrap();
    display.program.signal(rustix::process::Signal::HUP);
    let line = display.program.wait_for_line("cannot open");
    assert!(line.contains(&busy.to_string()), "{line}");
    assert!(
        TcpStream::connect(&display.address).is_err(),
        "the old port is closed"
    );
    drop(taken);
    display
        .program
        .wait_for_line(&format!("the page of this display is at http://{busy}/"));
    display.address = busy.to_string();
    let (head, _) = display.get("/");
    assert!(head.starts_with("HTTP/1.1 200"), "{head}");
}
