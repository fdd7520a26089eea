//! TLS for the hub. Owns the certificate and the key, and the task that copies bytes between the
//! encrypted connection of a client and the event loop, which uses only plain sockets. Never
//! interprets the copied bytes.

use std::io;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use rustls::ServerConfig;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpStream, UnixStream};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

use crate::time::Clock;

/// The time limit for a client to end its side after the event loop has ended its own side.
const FAREWELL: Duration = Duration::from_secs(2);
/// The time limit for one write of the TLS task. The TLS task must end a blocked write itself,
/// because the event loop cannot end a write in the TLS task.
const STUCK: Duration = Duration::from_secs(60);
/// The sizes of the copy buffers, in bytes. A display sends few bytes and receives frames of
/// prices.
const FROM_CLIENT: usize = 512;
const TO_CLIENT: usize = 4096;

/// A TLS acceptor with the certificate and the key of the hub.
#[derive(Clone)]
pub struct Tls(TlsAcceptor);

impl std::fmt::Debug for Tls {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Tls")
    }
}

impl Tls {
    /// Loads a certificate with its chain and the private key, both in PEM format.
    ///
    /// # Errors
    /// Returns a text with the path of the wrong file and the reason. The text contains no part of
    /// the key.
    pub fn load(certificate: &Path, key: &Path) -> Result<Self, String> {
        let to_text =
            |path: &Path, error: &dyn std::fmt::Display| format!("{}: {error}", path.display());
        let chain = CertificateDer::pem_file_iter(certificate)
            .and_then(Iterator::collect::<Result<Vec<_>, _>>)
            .map_err(|error| to_text(certificate, &error))?;
        if chain.is_empty() {
            return Err(to_text(
                certificate,
                &"the file contains no certificate; expected a PEM file",
            ));
        }
        let secret = PrivateKeyDer::from_pem_file(key).map_err(|error| {
            to_text(key, &format!("the file contains no private key ({error})"))
        })?;
        crate::files::warn_if_readable_by_all(key);
        // The code sets the crypto provider here, so TLS does not depend on a process-wide default.
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let mut config = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .map_err(|error| error.to_string())?
            .with_no_client_auth()
            .with_single_cert(chain, secret)
            .map_err(|error| {
                to_text(
                    certificate,
                    &format!(
                        "the certificate does not match the key {}: {error}",
                        key.display()
                    ),
                )
            })?;
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        Ok(Self(TlsAcceptor::from(Arc::new(config))))
    }

    pub(crate) async fn accept(&self, stream: TcpStream) -> io::Result<TlsStream<TcpStream>> {
        self.0.accept(stream).await
    }
}

/// Copies bytes between a client and the outer end of a socket pair until both sides have ended. If
/// the event loop has ended its side, the client must end its side within the time `FAREWELL`.
pub(crate) async fn carry(stream: TlsStream<TcpStream>, outer: UnixStream, clock: Clock) {
    let (from_client, to_client) = tokio::io::split(stream);
    let (from_hub, to_hub) = outer.into_split();
    let inward = one_way(from_client, to_hub, FROM_CLIENT, &clock);
    let outward = one_way(from_hub, to_client, TO_CLIENT, &clock);
    tokio::pin!(inward, outward);
    tokio::select! {
        // The client has ended its side. The event loop sees the end of the stream and then ends
        // its own side.
        () = &mut inward => outward.await,
        () = &mut outward => {
            let due = clock.now().monotonic + FAREWELL;
            tokio::select! {
                () = inward => {}
                () = clock.sleep_until(due) => {}
            }
        }
    }
}

async fn one_way(
    mut from: impl AsyncRead + Unpin,
    mut to: impl AsyncWrite + Unpin,
    size: usize,
    clock: &Clock,
) {
    let mut buffer = vec![0; size];
    loop {
        let count = match from.read(&mut buffer).await {
            Ok(0) => break,
            Ok(count) => count,
            Err(error) => {
                log::debug!("the TLS connection of a client failed: {error}");
                break;
            }
        };
        // Each write needs a flush, because bytes that do not fit into the socket wait in the TLS
        // session.
        let written = async {
            to.write_all(&buffer[..count]).await?;
            to.flush().await
        };
        let due = clock.now().monotonic + STUCK;
        let outcome = tokio::select! {
            outcome = written => outcome,
            () = clock.sleep_until(due) => Err(io::ErrorKind::TimedOut.into()),
        };
        if let Err(error) = outcome {
            log::debug!("the TLS connection of a client failed: {error}");
            return;
        }
    }
    // On a TLS stream, the shutdown sends `close_notify`. An error does not matter, because the
    // peer has then already left.
    to.shutdown().await.ok();
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::time::{Moment, Now, Utc};
    use rustls::pki_types::ServerName;
    use tokio::net::TcpListener;

    type Client = tokio_rustls::client::TlsStream<TcpStream>;

    /// Returns a TLS client, the event loop's end of the socket pair, and the copy task between
    /// both.
    async fn joined(clock: Clock) -> (Client, UnixStream, impl Future<Output = ()>) {
        let made = rcgen::generate_simple_self_signed(vec!["localhost".to_owned()]).unwrap();
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let server = ServerConfig::builder_with_provider(provider.clone())
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(vec![made.cert.der().clone()], made.signing_key.into())
            .unwrap();
        let mut roots = rustls::RootCertStore::empty();
        roots.add(made.cert.der().clone()).unwrap();
        let client = rustls::ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_root_certificates(roots)
            .with_no_client_auth();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let accepting = async {
            let (stream, _) = listener.accept().await.unwrap();
            Tls(TlsAcceptor::from(Arc::new(server)))
                .accept(stream)
                .await
        };
        let connecting = async {
            let stream = TcpStream::connect(address).await.unwrap();
            let name = ServerName::try_from("localhost").unwrap();
            tokio_rustls::TlsConnector::from(Arc::new(client))
                .connect(name, stream)
                .await
        };
        let (accepted, connected) = tokio::join!(accepting, connecting);
        let (inner, outer) = UnixStream::pair().unwrap();
        let carrying = carry(accepted.unwrap(), outer, clock);
        (connected.unwrap(), inner, carrying)
    }

    #[tokio::test]
    async fn bytes_and_the_end_of_the_stream_are_copied_in_both_directions() {
        let (mut client, mut hub, carrying) = joined(Clock::system()).await;
        let carrying = tokio::spawn(carrying);
        let frames = vec![7; 100_000];
        let (written, mut seen) = (frames.clone(), vec![0; frames.len()]);
        let (sent, read) = tokio::join!(hub.write_all(&written), client.read_exact(&mut seen));
        assert!(sent.is_ok() && read.is_ok() && seen == frames);
        client.write_all(b"pong").await.unwrap();
        client.flush().await.unwrap();
        client.shutdown().await.unwrap();
        let mut received = Vec::new();
        hub.read_to_end(&mut received).await.unwrap();
        assert_eq!(received, b"pong");
        // The last bytes of the event loop arrive although the client has already ended its side.
        hub.write_all(b"bye").await.unwrap();
        drop(hub);
        let mut last = Vec::new();
        client.read_to_end(&mut last).await.unwrap();
        assert_eq!(last, b"bye");
        carrying.await.unwrap();
    }

    #[tokio::test]
    async fn a_client_that_does_not_close_is_disconnected() {
        let start = Now::new(Moment::ZERO, Utc::PLAUSIBLE);
        let (clock, hand) = Clock::manual(start);
        let (mut client, hub, carrying) = joined(clock).await;
        let carrying = tokio::spawn(carrying);
        drop(hub);
        let mut last = Vec::new();
        client.read_to_end(&mut last).await.unwrap();
        assert!(last.is_empty() && !carrying.is_finished());
        while !carrying.is_finished() {
            hand.advance(FAREWELL);
            tokio::task::yield_now().await;
        }
    }

    #[tokio::test]
    async fn a_client_that_reads_nothing_is_disconnected() {
        let start = Now::new(Moment::ZERO, Utc::PLAUSIBLE);
        let (clock, hand) = Clock::manual(start);
        let (_client, mut hub, carrying) = joined(clock).await;
        let carrying = tokio::spawn(carrying);
        let endless = tokio::spawn(async move {
            let frame = [7; 4096];
            while hub.write_all(&frame).await.is_ok() {}
        });
        while !carrying.is_finished() {
            hand.advance(Duration::from_secs(1));
            tokio::time::sleep(Duration::ZERO).await;
        }
        endless.await.unwrap();
    }
}
