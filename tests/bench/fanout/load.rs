//! The load process: many clients that count the received events and measure their delay. The
//! arguments are `load PORT CLIENTS CHANNELS DEAF`; DEAF is the number of clients that never read.
//! The process prints `ready`, and prints its results after the input line `end TOTAL`.
//!
//! The clients read in one plain loop. A runtime needs more time for a frame than the servers, and
//! its own queue would then be most of the delay.

use std::io::{BufRead, ErrorKind, Read, Write};
use std::net::TcpStream;
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use rustix::buffer::spare_capacity;
use rustix::event::{Timespec, epoll};

use super::tree::TOKEN;

/// The resolution of the measured delays, in microseconds.
const STEP: u64 = 50;

/// The combined measurements of all clients.
#[derive(Default)]
struct Seen {
    frames: u64,
    events: u64,
    delays: Vec<u64>,
}

impl Seen {
    /// The delay below which this share (0 to 1) of all events stayed, in milliseconds.
    fn delay(&self, share: f64) -> f64 {
        let wanted = (self.events as f64 * share).ceil() as u64;
        let mut sum = 0;
        let at = self.delays.iter().position(|count| {
            sum += count;
            sum >= wanted
        });
        at.unwrap_or(0) as f64 * STEP as f64 / 1000.0
    }
}

struct Client {
    socket: TcpStream,
    /// The received bytes of an incomplete frame.
    rest: Vec<u8>,
    /// The number of the newest event on each channel, plus one; zero before the first event.
    newest: Vec<u64>,
}

fn number(bytes: &[u8]) -> u64 {
    let digits = bytes.iter().take_while(|byte| byte.is_ascii_digit());
    digits.fold(0, |sum, digit| sum * 10 + u64::from(digit - b'0'))
}

/// The position after a key. A text search is enough, because every server of this benchmark writes
/// the same keys in the same order.
fn behind(bytes: &[u8], key: &[u8]) -> Option<usize> {
    Some(bytes.windows(key.len()).position(|window| window == key)? + key.len())
}

impl Client {
    fn connect(port: u16, channels: usize, ignoring_input: bool) -> Self {
        let mut socket = TcpStream::connect(("127.0.0.1", port)).unwrap();
        if ignoring_input {
            rustix::net::sockopt::set_socket_recv_buffer_size(&socket, 4096).unwrap();
        }
        let head = format!(
            "GET /ws/indices?token={TOKEN} HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n"
        );
        socket.write_all(head.as_bytes()).unwrap();
        let mut got = Vec::new();
        let mut piece = [0; 4096];
        let mut read = |socket: &mut TcpStream, got: &mut Vec<u8>| {
            let count = socket.read(&mut piece).unwrap();
            assert!(count > 0);
            got.extend(&piece[..count]);
        };
        while behind(&got, b"\r\n\r\n").is_none() {
            read(&mut socket, &mut got);
        }
        let names: Vec<String> = (0..channels).map(|c| format!("V.I:C{c}")).collect();
        let text = format!(r#"{{"action":"subscribe","params":"{}"}}"#, names.join(","));
        let mut frame = vec![0x81, 0x80 | 126];
        frame.extend((text.len() as u16).to_be_bytes());
        frame.extend([0; 4]);
        frame.extend(text.as_bytes());
        // A frame must contain its length in the shortest possible form (RFC 6455, 5.2).
        if text.len() < 126 {
            frame.splice(1..4, [0x80 | text.len() as u8]);
        }
        socket.write_all(&frame).unwrap();
        while behind(&got, b"subscribed to").is_none() || !got.ends_with(b"}]") {
            read(&mut socket, &mut got);
        }
        socket.set_nonblocking(true).unwrap();
        Self {
            socket,
            rest: Vec::new(),
            newest: vec![0; channels],
        }
    }

    /// Reads all bytes that have arrived.
    fn read(&mut self, seen: &mut Seen) {
        let mut piece = [0; 16 << 10];
        loop {
            let count = match self.socket.read(&mut piece) {
                Ok(count) => count,
                // The simple fan-out resets its connections after its last event.
                Err(error) if error.kind() == ErrorKind::ConnectionReset => return,
                Err(error) => return assert_eq!(error.kind(), ErrorKind::WouldBlock),
            };
            if self.rest.is_empty() {
                let used = self.hear(&piece[..count], seen);
                self.rest.extend(&piece[used..count]);
            } else {
                self.rest.extend(&piece[..count]);
                let rest = std::mem::take(&mut self.rest);
                let used = self.hear(&rest, seen);
                self.rest.extend(&rest[used..]);
            }
            if count < piece.len() {
                return;
            }
        }
    }

    /// Processes all complete frames. Returns the number of processed bytes.
    fn hear(&mut self, bytes: &[u8], seen: &mut Seen) -> usize {
        let now = SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .unwrap()
            .as_micros() as u64;
        let mut used = 0;
        while let [_, length, extended @ ..] = &bytes[used..] {
            let (head, length) = match (length, extended) {
                (126, [high, low, ..]) => (4, usize::from(u16::from_be_bytes([*high, *low]))),
                (126.., _) => break,
                (length, _) => (2, usize::from(*length)),
            };
            let Some(payload) = bytes.get(used + head..used + head + length) else {
                break;
            };
            used += head + length;
            seen.frames += 1;
            let mut rest = payload;
            while let Some(at) = behind(rest, b"\"T\":\"I:C") {
                let channel = number(&rest[at..]) as usize;
                rest = &rest[at..];
                let n = number(&rest[behind(rest, b"\"n\":").unwrap()..]);
                let t = number(&rest[behind(rest, b"\"t\":").unwrap()..]);
                assert!(self.newest[channel] <= n + 1, "older after newer");
                self.newest[channel] = n + 1;
                seen.events += 1;
                let step = (now.saturating_sub(t) / STEP) as usize;
                if seen.delays.len() <= step {
                    seen.delays.resize(step + 1, 0);
                }
                seen.delays[step] += 1;
            }
        }
        used
    }
}

/// Connects all clients to the port, waits for the end command and prints the results.
pub(crate) fn run(port: u16, clients: usize, channels: usize, ignoring_input: usize) {
    let mut clients: Vec<_> = (0..clients)
        .map(|at| Client::connect(port, channels, at < ignoring_input))
        .collect();
    println!("ready");
    let (tell, end) = channel();
    std::thread::spawn(move || {
        let mut line = String::new();
        std::io::stdin().lock().read_line(&mut line).unwrap();
        std::thread::sleep(Duration::from_millis(500));
        tell.send(line).unwrap();
    });
    let mut seen = Seen::default();
    let line = read_until_end(&mut clients[ignoring_input..], &mut seen, &end);
    let total: u64 = line.split_whitespace().nth(1).unwrap().parse().unwrap();
    // The channels receive the events in turn, so this is the number of the last event on a
    // channel, plus one.
    let last = |channel: usize| {
        let behind = (total - 1 - channel as u64) % channels as u64;
        total - behind
    };
    let complete = |newest: &[u64]| (0..channels).all(|c| total == 0 || newest[c] == last(c));
    let missing = clients[ignoring_input..]
        .iter()
        .filter(|client| !complete(&client.newest))
        .count();
    println!(
        "{} {} {} {} {missing}",
        seen.frames,
        seen.events,
        seen.delay(0.5),
        seen.delay(0.99)
    );
}

/// Reads what the clients receive, in the order of arrival, until the end command. Returns the
/// command.
fn read_until_end(clients: &mut [Client], seen: &mut Seen, end: &Receiver<String>) -> String {
    let epoll = epoll::create(epoll::CreateFlags::CLOEXEC).unwrap();
    for (at, client) in clients.iter().enumerate() {
        let at = epoll::EventData::new_u64(at as u64);
        epoll::add(&epoll, &client.socket, at, epoll::EventFlags::IN).unwrap();
    }
    // Few events at a time: the clock is read soon after the arrival.
    let mut ready = Vec::with_capacity(16);
    let wait = Timespec {
        tv_sec: 0,
        tv_nsec: 100_000_000,
    };
    loop {
        if let Ok(line) = end.try_recv() {
            return line;
        }
        ready.clear();
        epoll::wait(&epoll, spare_capacity(&mut ready), Some(&wait)).unwrap();
        for event in &ready {
            clients[event.data.u64() as usize].read(seen);
        }
    }
}
