//! Reads the head of a request before the HTTP library gets the connection. A half-sent head then
//! needs only the memory of its bytes; the HTTP library reserves 24 KiB for each connection. Never
//! interprets the head.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, ReadBuf};

/// The maximum size of a request head, in bytes. A token needs some dozen bytes; the cookies of a
/// browser need some thousand bytes.
pub(crate) const HEAD_LIMIT: usize = 16 << 10;
/// The number of bytes by which the buffer of an incomplete head grows.
const STEP: usize = 512;

/// A connection with bytes that were already read from it.
#[derive(Debug)]
pub(crate) struct WithHead<S> {
    head: Vec<u8>,
    /// The number of bytes of `head` that the reader has received again.
    taken: usize,
    stream: S,
}

impl<S: AsyncRead + Unpin> WithHead<S> {
    pub(crate) const fn new(stream: S) -> Self {
        Self {
            head: Vec::new(),
            taken: 0,
            stream,
        }
    }

    /// Reads until the head is complete, too large, or no HTTP. Returns false if the client ends
    /// the connection before that. Does not lose bytes if the caller drops the future.
    pub(crate) async fn read_head(&mut self) -> io::Result<bool> {
        loop {
            let seen = self.head.len();
            self.head.reserve_exact(STEP);
            if self.stream.read_buf(&mut self.head).await? == 0 {
                return Ok(false);
            }
            // The HTTP library also accepts a head whose lines end without a carriage return.
            let new = &self.head[seen.saturating_sub(2)..];
            let complete = new.windows(3).any(|window| window == b"\n\r\n")
                || new.windows(2).any(|window| window == b"\n\n");
            let is_http = self.head[0].is_ascii_alphabetic();
            if complete || !is_http || self.head.len() >= HEAD_LIMIT {
                return Ok(true);
            }
        }
    }

    pub(crate) fn into_inner(self) -> S {
        self.stream
    }

    /// Returns the stream, and the bytes that the reader has not received yet.
    pub(crate) fn into_parts(mut self) -> (S, Vec<u8>) {
        self.head.drain(..self.taken);
        (self.stream, self.head)
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for WithHead<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let rest = &self.head[self.taken..];
        if rest.is_empty() {
            return Pin::new(&mut self.stream).poll_read(context, buffer);
        }
        let count = rest.len().min(buffer.remaining());
        buffer.put_slice(&rest[..count]);
        self.taken += count;
        if self.taken == self.head.len() {
            self.head = Vec::new();
            self.taken = 0;
        }
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for WithHead<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures_util::FutureExt;
    use tokio::io::{AsyncWriteExt, duplex};

    #[tokio::test]
    async fn a_head_is_complete_at_its_empty_line_and_is_read_again_with_the_bytes_after_it() {
        for end in ["\r\n\r\n", "\n\n", "\n\r\n"] {
            let (mut client, hub) = duplex(1 << 16);
            let mut stream = WithHead::new(hub);
            let head = format!("GET / HTTP/1.1\r\nX: {}{end}", "x".repeat(2000));
            for piece in head.as_bytes().chunks(7) {
                assert!(stream.read_head().now_or_never().is_none());
                client.write_all(piece).await.unwrap();
            }
            client.write_all(b"rest").await.unwrap();
            assert!(stream.read_head().await.unwrap());
            drop(client);
            let mut read = String::new();
            stream.read_to_string(&mut read).await.unwrap();
            assert_eq!(read, format!("{head}rest"));
        }
    }

    #[tokio::test]
    async fn a_head_that_is_too_large_or_no_http_is_not_read_to_its_end() {
        for (bytes, complete) in [
            (vec![b'G'; HEAD_LIMIT], true),
            (b"\x16\x03\x01".to_vec(), true),
            (b"GET /".to_vec(), false),
        ] {
            let (mut client, hub) = duplex(1 << 16);
            client.write_all(&bytes).await.unwrap();
            drop(client);
            let mut stream = WithHead::new(hub);
            assert_eq!(stream.read_head().await.unwrap(), complete);
        }
    }
}
