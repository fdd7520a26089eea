//! The hub's frame decoder in a server that sends every message back, for Autobahn's cases. The upgrade
//! and the echo are in this file; the decoder and the encoder are those of the hub.
#![allow(clippy::print_stdout)]

use std::io;
use std::time::Duration;

use deskticker::hub::session::websocket::{Decoder, Message, PONG, TEXT, close, frame};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio_tungstenite::tungstenite::handshake::derive_accept_key;
use tokio_tungstenite::tungstenite::protocol::frame::coding::{Data, OpCode};

#[tokio::main(flavor = "current_thread")]
async fn main() -> io::Result<()> {
    let listener = TcpListener::bind(("127.0.0.1", 0)).await?;
    println!("listening on {}", listener.local_addr()?);
    loop {
        let (stream, _) = listener.accept().await?;
        tokio::spawn(async move {
            if let Err(error) = serve(stream).await {
                println!("{error}");
            }
        });
    }
}

async fn serve(mut stream: TcpStream) -> io::Result<()> {
    stream.set_nodelay(true)?;
    let mut head = Vec::new();
    // A byte at a time, so that nothing behind the head is read.
    while !head.ends_with(b"\r\n\r\n") {
        head.push(stream.read_u8().await?);
    }
    let head = String::from_utf8_lossy(&head);
    let key = head.lines().find_map(|line| {
        let (name, value) = line.split_once(':')?;
        name.eq_ignore_ascii_case("sec-websocket-key")
            .then(|| value.trim())
    });
    let key = key.ok_or_else(|| io::Error::other("no upgrade to a WebSocket"))?;
    let accept = derive_accept_key(key.as_bytes());
    let answer = format!(
        "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
         Sec-WebSocket-Accept: {accept}\r\n\r\n"
    );
    stream.write_all(answer.as_bytes()).await?;
    echo(stream).await
}

/// Sends every text and binary message back until the connection ends.
async fn echo(mut stream: TcpStream) -> io::Result<()> {
    let mut decoder = Decoder::new(16 << 20);
    let mut buffer = vec![0; 64 << 10];
    loop {
        let count = stream.read(&mut buffer).await?;
        if count == 0 {
            return Ok(());
        }
        let mut input = &buffer[..count];
        let (mut out, mut ended) = (Vec::new(), false);
        loop {
            match decoder.decode(&mut input) {
                Ok(None) => break,
                Ok(Some(Message::Text(said))) => out.extend(frame(TEXT, said.as_bytes())),
                Ok(Some(Message::Binary(said))) => {
                    out.extend(frame(OpCode::Data(Data::Binary), &said));
                }
                Ok(Some(Message::Ping(payload))) => out.extend(frame(PONG, &payload)),
                Ok(Some(Message::Pong)) => {}
                Ok(Some(Message::Close(code))) => {
                    out.extend(close(code));
                    ended = true;
                }
                Err(fault) => {
                    out.extend(close(Some(fault.code())));
                    ended = true;
                }
            }
        }
        stream.write_all(&out).await?;
        if ended {
            // The kernel resets a connection that is closed with unread bytes, and the client would
            // not get the close frame. This loop therefore reads the remaining bytes first.
            let drained = async { while stream.read(&mut buffer).await.is_ok_and(|n| n > 0) {} };
            tokio::time::timeout(Duration::from_millis(200), drained)
                .await
                .ok();
            return Ok(());
        }
    }
}
