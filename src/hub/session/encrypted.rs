//! The TLS connection of one client after its upgrade. Encrypts and decrypts directly at the socket,
//! without a task or a second socket. Never interprets the decrypted bytes.

use std::io::{self, BufRead, ErrorKind, IoSlice, Read, Write};
use std::sync::{Mutex, MutexGuard, PoisonError};

use rustls::ServerConnection;
use tokio::net::TcpStream;

/// The maximum number of plaintext bytes in one TLS record. At most one record waits for a full
/// socket, so the TLS session of a slow client needs little memory.
const RECORD: usize = 4096;

/// The result of a read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Received {
    /// The number of bytes from the socket. With TLS, these bytes are encrypted.
    pub(crate) count: usize,
    /// False at the end of the stream.
    pub(crate) is_open: bool,
}

/// The socket of a client and its TLS session.
#[derive(Debug)]
pub struct EncryptedSocket {
    pub(super) socket: TcpStream,
    session: Mutex<TlsSession>,
}

#[derive(Debug)]
struct TlsSession {
    connection: ServerConnection,
    /// The number of plaintext bytes in the record that waits for the socket. The caller does not
    /// know yet that these bytes were taken.
    encrypted: usize,
}

/// A socket that never waits. Reads at most `most` bytes.
struct Nonblocking<'a> {
    socket: &'a TcpStream,
    most: usize,
}

impl Read for Nonblocking<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let length = buffer.len().min(self.most);
        self.socket.try_read(&mut buffer[..length])
    }
}

impl Write for Nonblocking<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.socket.try_write(bytes)
    }

    fn write_vectored(&mut self, bytes: &[IoSlice<'_>]) -> io::Result<usize> {
        self.socket.try_write_vectored(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl TlsSession {
    /// Writes the encrypted bytes that wait. Returns the error `WouldBlock` if the socket does not
    /// accept all of them.
    fn flush(&mut self, socket: &TcpStream) -> io::Result<()> {
        let mut target = Nonblocking { socket, most: 0 };
        while self.connection.wants_write() {
            self.connection.write_tls(&mut target)?;
        }
        Ok(())
    }
}

impl EncryptedSocket {
    /// Takes over a connection after its TLS handshake. The caller must have read all decrypted
    /// bytes.
    pub(super) fn new(socket: TcpStream, mut connection: ServerConnection) -> Self {
        connection.set_buffer_limit(Some(RECORD));
        let session = TlsSession {
            connection,
            encrypted: 0,
        };
        Self {
            socket,
            session: Mutex::new(session),
        }
    }

    /// Locks the session. Only the task of the client and the event loop use the session, one after
    /// the other.
    fn session(&self) -> MutexGuard<'_, TlsSession> {
        self.session.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Encrypts and writes one record without a wait. Returns the number of plaintext bytes of the
    /// record after the socket has accepted the whole record. After the error `WouldBlock`, the next
    /// call must begin with the same bytes, because these bytes may already be encrypted.
    pub(super) fn try_write(&self, bytes: &[u8]) -> io::Result<usize> {
        let session = &mut *self.session();
        session.flush(&self.socket)?;
        if session.encrypted == 0 && !bytes.is_empty() {
            let record = &bytes[..bytes.len().min(RECORD)];
            session.encrypted = session.connection.writer().write(record)?;
            if session.encrypted == 0 {
                return Err(ErrorKind::WriteZero.into());
            }
            session.flush(&self.socket)?;
        }
        let taken = std::mem::take(&mut session.encrypted);
        if taken > bytes.len() {
            // The caller has not repeated the bytes of the waiting record.
            return Err(ErrorKind::InvalidInput.into());
        }
        Ok(taken)
    }

    /// Reads at most `most` bytes from the socket without a wait, and passes all decrypted bytes to
    /// `take`. The decrypted bytes of one record can come from several reads.
    pub(super) fn try_read(
        &self,
        most: usize,
        mut take: impl FnMut(&[u8]),
    ) -> io::Result<Received> {
        let session = &mut *self.session();
        let mut source = Nonblocking {
            socket: &self.socket,
            most,
        };
        let count = session.connection.read_tls(&mut source)?;
        let processed = session.connection.process_new_packets();
        let mut plaintext = session.connection.reader();
        while let Ok(chunk) = plaintext.fill_buf()
            && !chunk.is_empty()
        {
            take(chunk);
            let length = chunk.len();
            plaintext.consume(length);
        }
        // An answer of the TLS session to the client, for example an alert. The answer is not
        // important, so a full socket is not an error.
        session.flush(&self.socket).ok();
        let state = processed.map_err(|error| io::Error::new(ErrorKind::InvalidData, error))?;
        Ok(Received {
            count,
            is_open: count > 0 && !state.peer_has_closed(),
        })
    }
}

impl Drop for EncryptedSocket {
    /// Ends the TLS session, so that the client does not report truncated data.
    fn drop(&mut self) {
        let session = self.session.get_mut();
        let session = session.unwrap_or_else(PoisonError::into_inner);
        session.connection.send_close_notify();
        session.flush(&self.socket).ok();
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use rustls::pki_types::ServerName;
    use rustls::{ClientConfig, RootCertStore, ServerConfig};
    use tokio::io::AsyncReadExt;
    use tokio::net::TcpListener;
    use tokio_rustls::client::TlsStream;
    use tokio_rustls::{TlsAcceptor, TlsConnector};

    use super::*;

    /// Returns both ends of a connection after its TLS handshake.
    async fn connected() -> (EncryptedSocket, TlsStream<TcpStream>) {
        let made = rcgen::generate_simple_self_signed(vec!["localhost".to_owned()]).unwrap();
        let certificate = made.cert.der().clone();
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let server = ServerConfig::builder_with_provider(provider.clone());
        let server = server.with_safe_default_protocol_versions().unwrap();
        let server = server.with_no_client_auth();
        let server = server.with_single_cert(vec![certificate.clone()], made.signing_key.into());
        let mut roots = RootCertStore::empty();
        roots.add(certificate).unwrap();
        let client = ClientConfig::builder_with_provider(provider);
        let client = client.with_safe_default_protocol_versions().unwrap();
        let client = client.with_root_certificates(roots).with_no_client_auth();

        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (ours, theirs) = tokio::join!(listener.accept(), TcpStream::connect(address));
        let acceptor = TlsAcceptor::from(Arc::new(server.unwrap()));
        let connector = TlsConnector::from(Arc::new(client));
        let name = ServerName::try_from("localhost").unwrap();
        let (ours, theirs) = tokio::join!(
            acceptor.accept(ours.unwrap().0),
            connector.connect(name, theirs.unwrap())
        );
        let (socket, connection) = ours.unwrap().into_inner();
        (EncryptedSocket::new(socket, connection), theirs.unwrap())
    }

    #[tokio::test]
    async fn the_bytes_of_a_waiting_record_are_never_counted_for_other_bytes() {
        let (ours, mut theirs) = connected().await;
        let full = loop {
            if let Err(error) = ours.try_write(&[1; RECORD]) {
                break error;
            }
        };
        assert_eq!(full.kind(), ErrorKind::WouldBlock);
        tokio::spawn(async move {
            let mut received = vec![0; 1 << 16];
            while theirs
                .read(&mut received)
                .await
                .is_ok_and(|count| count > 0)
            {}
        });
        let error = loop {
            ours.socket.writable().await.unwrap();
            match ours.try_write(&[2]) {
                Err(error) if error.kind() == ErrorKind::WouldBlock => {}
                other => break other.unwrap_err(),
            }
        };
        assert_eq!(error.kind(), ErrorKind::InvalidInput);
    }
}
