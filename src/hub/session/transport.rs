//! An upgraded connection. Owns the socket and hides the kind of the socket; never interprets the
//! bytes.

use std::io;

use tokio::io::{Interest, Ready};
use tokio::net::{TcpStream, UnixStream};

/// The send buffer of the kernel for one client, in bytes; the kernel doubles this value. A slow
/// client must read all old prices in this buffer before the newest price, so the buffer is small.
const SEND_BUFFER: usize = 16 << 10;

/// An upgraded connection, ready for WebSocket frames. A separate task handles TLS and exchanges
/// bytes with the event loop through a socket pair.
#[derive(Debug)]
pub enum Transport {
    /// The TCP connection of a client without TLS.
    Tcp(TcpStream),
    /// The inner end of a socket pair. The TLS task of the client holds the outer end.
    Pair(UnixStream),
}

impl Transport {
    /// Sets the socket options: `TCP_NODELAY`, so that small writes leave at once, and a small send
    /// buffer, so that few old prices wait in the kernel.
    ///
    /// # Errors
    /// Returns the error of the socket, for example after the connection has ended.
    pub(crate) fn prepare(&self) -> io::Result<()> {
        match self {
            Transport::Tcp(socket) => {
                socket.set_nodelay(true)?;
                rustix::net::sockopt::set_socket_send_buffer_size(socket, SEND_BUFFER)?;
            }
            Transport::Pair(socket) => {
                rustix::net::sockopt::set_socket_send_buffer_size(socket, SEND_BUFFER)?;
            }
        }
        Ok(())
    }

    /// Writes as many bytes as the kernel accepts without a wait. Returns the number of bytes.
    pub(crate) fn try_write(&self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Transport::Tcp(socket) => socket.try_write(bytes),
            Transport::Pair(socket) => socket.try_write(bytes),
        }
    }

    /// Reads the available bytes without a wait. Returns `Ok(0)` at the end of the stream.
    pub(crate) fn try_read(&self, buffer: &mut [u8]) -> io::Result<usize> {
        match self {
            Transport::Tcp(socket) => socket.try_read(buffer),
            Transport::Pair(socket) => socket.try_read(buffer),
        }
    }

    /// Waits until the socket is ready for a read or a write, as `interest` requests.
    pub(crate) async fn ready(&self, interest: Interest) -> io::Result<Ready> {
        match self {
            Transport::Tcp(socket) => socket.ready(interest).await,
            Transport::Pair(socket) => socket.ready(interest).await,
        }
    }
}
