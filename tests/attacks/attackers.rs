//! The attackers: connections that send without a pause, hold what they can, or do not read. Each
//! attack runs in a thread with its own runtime until it is stopped.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpSocket, TcpStream};

/// The head of an upgrade request.
pub(crate) fn upgrade(path: &str, token: Option<&str>) -> String {
    let bearer = token.map(|token| format!("Authorization: Bearer {token}\r\n"));
    format!(
        "GET {path} HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
         Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n{}\r\n",
        bearer.unwrap_or_default()
    )
}

/// Sends a request and returns the status; `None` if the hub closes the connection.
pub(crate) async fn exchange(stream: &mut TcpStream, request: &str) -> Option<u16> {
    stream.write_all(request.as_bytes()).await.ok()?;
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        let byte = stream.read_u8().await.ok()?;
        head.push(byte);
    }
    String::from_utf8_lossy(&head).get(9..12)?.parse().ok()
}

/// Connects from this loopback address.
pub(crate) async fn connect_from(from: [u8; 4], to: SocketAddr) -> Option<TcpStream> {
    let socket = TcpSocket::new_v4().ok()?;
    socket.bind((from, 0).into()).ok()?;
    socket.connect(to).await.ok()
}

/// A masked frame with the mask zero.
pub(crate) fn frame(first: u8, payload: &[u8]) -> Vec<u8> {
    let mut frame = vec![first];
    match payload.len() {
        length @ 0..=125 => frame.push(0x80 | length as u8),
        length => {
            frame.push(0x80 | 126);
            frame.extend((length as u16).to_be_bytes());
        }
    }
    frame.extend([0; 4]);
    frame.extend(payload);
    frame
}

/// A text message.
pub(crate) fn text(message: &str) -> Vec<u8> {
    frame(0x81, message.as_bytes())
}

/// An attack in progress. The drop of this value ends the attack.
pub(crate) struct Attack {
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Attack {
    pub(crate) fn start<F: Future<Output = ()>>(
        attack: impl FnOnce() -> F + Send + 'static,
    ) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = stop.clone();
        let thread = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build()
                .unwrap();
            runtime.block_on(async {
                let ended = async {
                    while !stopped.load(Ordering::Relaxed) {
                        tokio::time::sleep(Duration::from_millis(10)).await;
                    }
                };
                let local = tokio::task::LocalSet::new();
                tokio::select! {
                    () = local.run_until(attack()) => {}
                    () = ended => {}
                }
            });
        });
        Self {
            stop,
            thread: Some(thread),
        }
    }
}

impl Drop for Attack {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            thread.join().ok();
        }
    }
}

/// Connects again and again, and sends the same frames without a pause and without a read.
pub(crate) fn flood(
    hub: SocketAddr,
    connections: usize,
    token: Option<&str>,
    once: Vec<u8>,
    again: Vec<u8>,
) -> Attack {
    let head = upgrade("/ws/indices", token);
    let piece = again.repeat((1 << 16) / again.len() + 1);
    Attack::start(move || async move {
        let each = (0..connections).map(|_| {
            let (head, once, piece) = (head.clone(), once.clone(), piece.clone());
            tokio::task::spawn_local(async move {
                loop {
                    if let Ok(mut stream) = TcpStream::connect(hub).await
                        && exchange(&mut stream, &head).await == Some(101)
                        && stream.write_all(&once).await.is_ok()
                    {
                        let (mut reads, mut writes) = stream.split();
                        let writing = async { while writes.write_all(&piece).await.is_ok() {} };
                        let mut received = [0; 1 << 12];
                        let reading =
                            async { while matches!(reads.read(&mut received).await, Ok(1..)) {} };
                        tokio::join!(writing, reading);
                    }
                    tokio::time::sleep(Duration::from_millis(1)).await;
                }
            })
        });
        for task in each.collect::<Vec<_>>() {
            task.await.ok();
        }
    })
}

/// The head of a REST request on a connection that the hub shall keep.
pub(crate) fn rest(line: &str, token: &str) -> String {
    format!(
        "{line} HTTP/1.1\r\nHost: x\r\nConnection: keep-alive\r\nAuthorization: Bearer {token}\r\n\r\n"
    )
}

/// Sends the same REST request without a pause on kept connections, and reads the responses. Opens
/// each ended connection again.
pub(crate) fn pipeline(hub: SocketAddr, connections: usize, head: &str) -> Attack {
    let piece = head.repeat((1 << 16) / head.len() + 1).into_bytes();
    Attack::start(move || async move {
        let each = (0..connections).map(|_| {
            let piece = piece.clone();
            tokio::task::spawn_local(async move {
                loop {
                    if let Ok(mut stream) = TcpStream::connect(hub).await {
                        let (mut reads, mut writes) = stream.split();
                        let writing = async { while writes.write_all(&piece).await.is_ok() {} };
                        let mut received = [0; 1 << 14];
                        let reading =
                            async { while matches!(reads.read(&mut received).await, Ok(1..)) {} };
                        tokio::select! { () = writing => {}, () = reading => {} }
                    }
                    tokio::time::sleep(Duration::from_millis(1)).await;
                }
            })
        });
        for task in each.collect::<Vec<_>>() {
            task.await.ok();
        }
    })
}

/// From each address, holds as many connections as the hub allows, and replaces each lost one. Every
/// connection sends `head` and then nothing.
pub(crate) fn hold(hub: SocketAddr, addresses: u8, each: usize, head: String) -> Attack {
    Attack::start(move || async move {
        let mut tasks = Vec::new();
        for address in 1..=addresses {
            for _ in 0..each {
                let head = head.clone();
                tasks.push(tokio::task::spawn_local(async move {
                    loop {
                        if let Some(mut stream) = connect_from([127, 0, 7, address], hub).await
                            && stream.write_all(head.as_bytes()).await.is_ok()
                        {
                            let mut received = [0; 512];
                            while matches!(stream.read(&mut received).await, Ok(1..)) {}
                        }
                        tokio::time::sleep(Duration::from_millis(100)).await;
                    }
                }));
            }
        }
        for task in tasks {
            task.await.ok();
        }
    })
}

/// Connections of a device that subscribe to everything and read nothing.
pub(crate) fn deaf(hub: SocketAddr, connections: usize, token: &str) -> Attack {
    let head = upgrade("/ws/indices", Some(token));
    Attack::start(move || async move {
        let mut held = Vec::new();
        for _ in 0..connections {
            let socket = TcpSocket::new_v4().unwrap();
            // A small buffer, so that the values wait in the hub and not in the kernel.
            socket.set_recv_buffer_size(4096).unwrap();
            if let Ok(mut stream) = socket.connect(hub).await
                && exchange(&mut stream, &head).await == Some(101)
            {
                let all = text(r#"{"action":"subscribe","params":"V.*,A.*,AM.*"}"#);
                stream.write_all(&all).await.ok();
                held.push(stream);
            }
        }
        std::future::pending::<()>().await;
    })
}
