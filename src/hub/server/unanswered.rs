//! Limits the bytes that a client may send without an answer. The TLS library stores incomplete
//! messages, and reads messages without content in an endless loop. Never interprets the bytes.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// A stream that ends with an error if the peer sends too many bytes before the next write.
#[derive(Debug)]
pub(crate) struct Unanswered<S> {
    stream: S,
    /// The number of bytes that the peer may send after a write.
    limit: usize,
    left: usize,
}

impl<S> Unanswered<S> {
    pub(crate) const fn new(stream: S, limit: usize) -> Self {
        Self {
            stream,
            limit,
            left: limit,
        }
    }

    /// Changes the limit. The peer may now send this number of bytes.
    pub(crate) const fn allow(&mut self, limit: usize) {
        (self.limit, self.left) = (limit, limit);
    }

    pub(crate) fn into_inner(self) -> S {
        self.stream
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Unanswered<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        ready!(Pin::new(&mut self.stream).poll_read(context, buffer))?;
        let count = buffer.filled().len() - before;
        match self.left.checked_sub(count) {
            Some(left) => {
                self.left = left;
                Poll::Ready(Ok(()))
            }
            None => Poll::Ready(Err(io::Error::other(
                "the client has sent too many bytes without an answer",
            ))),
        }
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Unanswered<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.left = self.limit;
        Pin::new(&mut self.stream).poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}
