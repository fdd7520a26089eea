//! An upgraded connection. Owns the socket and hides the encryption; never interprets the bytes.

use std::io;

use rustls::ServerConnection;
use tokio::io::{Interest, Ready};
use tokio::net::TcpStream;

use super::encrypted::{EncryptedSocket, Received};

/// The send buffer of the kernel for one client, in bytes; the kernel doubles this value. A slow
/// client must read all old prices in this buffer before the newest price, so the buffer is small.
const SEND_BUFFER: usize = 16 << 10;

/// The size of the read buffer in bytes. The buffer is on the stack and exists only during a read.
/// The limit `bytes_per_turn` is at most this size.
const READ_BUFFER: usize = 4096;

/// An upgraded connection, ready for WebSocket frames.
#[derive(Debug)]
pub enum Transport {
    /// The TCP connection of a client without TLS.
    Tcp(TcpStream),
    /// The TCP connection of a client with TLS, in a box, so that a client without TLS needs no
    /// memory for TLS.
    Tls(Box<EncryptedSocket>),
}

impl Transport {
    /// Creates the transport of a client with TLS, after the handshake. The caller must have read
    /// all decrypted bytes from `connection`.
    pub fn tls(socket: TcpStream, connection: ServerConnection) -> Self {
        Self::Tls(Box::new(EncryptedSocket::new(socket, connection)))
    }

    fn socket(&self) -> &TcpStream {
        match self {
            Transport::Tcp(socket) => socket,
            Transport::Tls(encrypted) => &encrypted.socket,
        }
    }

    /// Sets the socket options: `TCP_NODELAY`, so that small writes leave at once, and a small send
    /// buffer, so that few old prices wait in the kernel.
    ///
    /// # Errors
    /// Returns the error of the socket, for example after the connection has ended.
    pub(crate) fn prepare(&self) -> io::Result<()> {
        let socket = self.socket();
        socket.set_nodelay(true)?;
        rustix::net::sockopt::set_socket_send_buffer_size(socket, SEND_BUFFER)?;
        Ok(())
    }

    /// Writes as many bytes as the kernel accepts without a wait. Returns the number of bytes. After
    /// the error `WouldBlock`, the next call must begin with the same bytes.
    pub(crate) fn try_write(&self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Transport::Tcp(socket) => socket.try_write(bytes),
            Transport::Tls(encrypted) => encrypted.try_write(bytes),
        }
    }

    /// Reads the available bytes without a wait, at most `most` bytes from the socket, and passes
    /// the bytes to `take`.
    pub(crate) fn try_read(
        &self,
        most: usize,
        mut take: impl FnMut(&[u8]),
    ) -> io::Result<Received> {
        let most = most.min(READ_BUFFER);
        match self {
            Transport::Tcp(socket) => {
                let mut piece = [0; READ_BUFFER];
                let count = socket.try_read(&mut piece[..most])?;
                take(&piece[..count]);
                Ok(Received {
                    count,
                    is_open: count > 0,
                })
            }
            Transport::Tls(encrypted) => encrypted.try_read(most, take),
        }
    }

    /// Waits until the socket is ready for a read or a write, as `interest` requests.
    pub(crate) async fn ready(&self, interest: Interest) -> io::Result<Ready> {
        self.socket().ready(interest).await
    }
}
