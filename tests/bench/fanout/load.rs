//! The load process: many clients that count the received events and measure their delay. The
//! arguments are `load PORT CLIENTS CHANNELS DEAF`; DEAF is the number of clients that never read.
//! The process prints `ready`, and prints its results after the input line `end TOTAL`.

use std::cell::RefCell;
use std::io::BufRead;
use std::rc::Rc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::{Semaphore, mpsc};

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
    async fn connect(port: u16, channels: usize, ignoring_input: bool) -> Self {
        let mut socket = TcpStream::connect(("127.0.0.1", port)).await.unwrap();
        if ignoring_input {
            rustix::net::sockopt::set_socket_recv_buffer_size(&socket, 4096).unwrap();
        }
        let head = "GET /ws/indices HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n";
        socket.write_all(head.as_bytes()).await.unwrap();
        let mut got = Vec::new();
        while behind(&got, b"\r\n\r\n").is_none() {
            assert!(socket.read_buf(&mut got).await.unwrap() > 0);
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
        socket.write_all(&frame).await.unwrap();
        while behind(&got, b"subscribed to").is_none() || !got.ends_with(b"}]") {
            assert!(socket.read_buf(&mut got).await.unwrap() > 0);
        }
        Self {
            socket,
            rest: Vec::new(),
            newest: vec![0; channels],
        }
    }

    async fn listen(&mut self, seen: &RefCell<Seen>) {
        let mut piece = [0; 16 << 10];
        loop {
            self.socket.readable().await.unwrap();
            match self.socket.try_read(&mut piece) {
                Ok(0) => return,
                Ok(count) if self.rest.is_empty() => {
                    let used = self.hear(&piece[..count], &mut seen.borrow_mut());
                    self.rest.extend(&piece[used..count]);
                }
                Ok(count) => {
                    self.rest.extend(&piece[..count]);
                    let rest = std::mem::take(&mut self.rest);
                    let used = self.hear(&rest, &mut seen.borrow_mut());
                    self.rest.extend(&rest[used..]);
                }
                Err(_) => {}
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
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    let local = tokio::task::LocalSet::new();
    local.block_on(&runtime, async {
        let seen = Rc::new(RefCell::new(Seen::default()));
        let all: Rc<RefCell<Vec<Vec<u64>>>> = Rc::new(RefCell::new(vec![Vec::new(); clients]));
        let turnstile = Rc::new(Semaphore::new(32));
        let inside = Rc::new(Semaphore::new(0));
        let (end, ended) = tokio::sync::watch::channel(false);
        let mut tasks = Vec::new();
        for at in 0..clients {
            let (seen, all, turnstile, inside) =
                (seen.clone(), all.clone(), turnstile.clone(), inside.clone());
            let mut ended = ended.clone();
            tasks.push(tokio::task::spawn_local(async move {
                let pass = turnstile.acquire().await.unwrap();
                let mut client = Client::connect(port, channels, at < ignoring_input).await;
                drop(pass);
                inside.add_permits(1);
                if at >= ignoring_input {
                    tokio::select! {
                        () = client.listen(&seen) => {}
                        _ = ended.wait_for(|ended| *ended) => {}
                    }
                } else {
                    ended.wait_for(|ended| *ended).await.unwrap();
                }
                all.borrow_mut()[at] = std::mem::take(&mut client.newest);
            }));
        }
        inside.acquire_many(clients as u32).await.unwrap().forget();
        println!("ready");
        let (tell, mut lines) = mpsc::channel(1);
        std::thread::spawn(move || {
            let mut line = String::new();
            std::io::stdin().lock().read_line(&mut line).unwrap();
            tell.blocking_send(line).unwrap();
        });
        let line = lines.recv().await.unwrap();
        let total: u64 = line.split_whitespace().nth(1).unwrap().parse().unwrap();
        tokio::time::sleep(Duration::from_millis(500)).await;
        end.send_replace(true);
        for task in tasks {
            task.await.unwrap();
        }
        // The channels receive the events in turn, so this is the number of the last event on a
        // channel, plus one.
        let last = |channel: usize| {
            let behind = (total - 1 - channel as u64) % channels as u64;
            total - behind
        };
        let complete =
            |newest: &Vec<u64>| (0..channels).all(|c| total == 0 || newest[c] == last(c));
        let missing = all.borrow()[ignoring_input..]
            .iter()
            .filter(|newest| !complete(newest))
            .count();
        let seen = seen.borrow();
        println!(
            "{} {} {} {} {missing}",
            seen.frames,
            seen.events,
            seen.delay(0.5),
            seen.delay(0.99)
        );
    });
}
