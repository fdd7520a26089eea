//! An upgraded connection. Owns the socket and knows which kind it is; never what is said on it.

use std::io;

use tokio::io::{Interest, Ready};
use tokio::net::{TcpStream, UnixStream};

/// What the kernel holds back of a client that does not read, in bytes. It doubles this. Every
/// byte in there is an old price that the client reads before the newest, so it is small.
const SEND_BUFFER: usize = 16 << 10;

/// An upgraded connection, ready for WebSocket frames. TLS is ended in a task of its own, which
/// speaks to the fan-out through a socket pair.
#[derive(Debug)]
pub enum Transport {
    /// A client's own connection.
    Tcp(TcpStream),
    /// The inner end of a connection whose TLS is ended by another task.
    Pair(UnixStream),
}

impl Transport {
    /// Makes small writes leave at once and old ones not pile up in the kernel.
    ///
    /// # Errors
    /// The socket's, if it is gone.
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

    /// Writes what the kernel takes now.
    pub(crate) fn try_write(&self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Transport::Tcp(socket) => socket.try_write(bytes),
            Transport::Pair(socket) => socket.try_write(bytes),
        }
    }

    /// Reads what has come; `Ok(0)` at the end.
    pub(crate) fn try_read(&self, buffer: &mut [u8]) -> io::Result<usize> {
        match self {
            Transport::Tcp(socket) => socket.try_read(buffer),
            Transport::Pair(socket) => socket.try_read(buffer),
        }
    }

    /// Waits until reading, or writing, is worth trying.
    pub(crate) async fn ready(&self, interest: Interest) -> io::Result<Ready> {
        match self {
            Transport::Tcp(socket) => socket.ready(interest).await,
            Transport::Pair(socket) => socket.ready(interest).await,
        }
    }

    /// Reads once.
    pub(crate) async fn read(&self, buffer: &mut [u8]) -> io::Result<usize> {
        loop {
            self.ready(Interest::READABLE).await?;
            match self.try_read(buffer) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                done => return done,
            }
        }
    }

    /// Writes everything.
    pub(crate) async fn write_all(&self, mut bytes: &[u8]) -> io::Result<()> {
        while !bytes.is_empty() {
            match self.try_write(bytes) {
                Ok(count) => bytes = &bytes[count..],
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    self.ready(Interest::WRITABLE).await?;
                }
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }
}
