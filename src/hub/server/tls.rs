//! TLS for the hub. Owns the certificate and the key, and the task that copies bytes between the
//! encrypted connection of a client and the event loop, which uses only plain sockets. Never
//! interprets the copied bytes.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use rustls::ServerConfig;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpStream, UnixStream};
use tokio::sync::watch;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

use super::certificate_files;
use crate::files::FileStamp;
use crate::hub::HubSettings;
use crate::hub::auth::authenticator::POLL;
use crate::time::{Clock, Utc};

/// The time limit for a client to end its side after the event loop has ended its own side.
const FAREWELL: Duration = Duration::from_secs(2);
/// The time limit for one write of the TLS task. The TLS task must end a blocked write itself,
/// because the event loop cannot end a write in the TLS task.
const STUCK: Duration = Duration::from_secs(60);
/// The sizes of the copy buffers, in bytes. A display sends few bytes and receives frames of
/// prices.
const FROM_CLIENT: usize = 512;
const TO_CLIENT: usize = 4096;

/// A TLS acceptor with the certificate and the key of the hub, and the files of both.
#[derive(Clone)]
pub struct Tls {
    acceptor: TlsAcceptor,
    files: Arc<TlsFiles>,
}

/// The files of a certificate and its key, as they were read.
struct TlsFiles {
    certificate: PathBuf,
    key: PathBuf,
    stamps: Stamps,
    chain: certificate_files::Chain,
}

/// The metadata of the certificate file and of the key file.
type Stamps = [Option<FileStamp>; 2];

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
        // The metadata is older than the content, so a change in between causes another read.
        let stamps = [certificate, key].map(FileStamp::of);
        let chain = certificate_files::chain(certificate)?;
        let secret = certificate_files::key(key)?;
        crate::files::warn_if_readable_by_all(key);
        // The code sets the crypto provider here, so TLS does not depend on a process-wide default.
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let mut config = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .map_err(|error| error.to_string())?
            .with_no_client_auth()
            .with_single_cert(chain.clone(), secret)
            .map_err(|error| match error {
                rustls::Error::InconsistentKeys(_) => format!(
                    "{}: the certificate does not match the key {}; the certificate of the hub must \
                     be the first one in its file",
                    certificate.display(),
                    key.display()
                ),
                rustls::Error::InvalidCertificate(error) => format!(
                    "{}: the certificate cannot be used ({error:?}); create another one with \
                     `deskticker-hub certificate NAME`",
                    certificate.display()
                ),
                _ => format!(
                    "{}: this kind of key is not supported; expected ECDSA (P-256 or P-384), \
                     Ed25519, or RSA with 2048 to 8192 bits",
                    key.display()
                ),
            })?;
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        Ok(Self {
            acceptor: TlsAcceptor::from(Arc::new(config)),
            files: Arc::new(TlsFiles {
                certificate: certificate.to_owned(),
                key: key.to_owned(),
                stamps,
                chain,
            }),
        })
    }

    /// Returns a warning for each reason why displays refuse the certificate, or will refuse it
    /// soon.
    pub fn warnings(&self, now: Option<Utc>) -> Vec<String> {
        certificate_files::warnings(&self.files.certificate, &self.files.chain, now)
    }

    fn stamps(&self) -> Stamps {
        [&self.files.certificate, &self.files.key].map(|path| FileStamp::of(path))
    }

    fn reload(&self) -> Result<Self, String> {
        Self::load(&self.files.certificate, &self.files.key)
    }

    pub(crate) async fn accept(&self, stream: TcpStream) -> io::Result<TlsStream<TcpStream>> {
        self.acceptor.accept(stream).await
    }
}

/// Reads a new certificate when its files have changed, for example after a renewal by certbot, and
/// logs the warnings about the certificate. A wrong file changes nothing. Ends when `stop` becomes
/// true.
pub async fn watch(
    settings: watch::Sender<HubSettings>,
    clock: Clock,
    mut stop: watch::Receiver<bool>,
) {
    let mut last = Stamps::default();
    let mut refused = None;
    let mut said = Vec::new();
    loop {
        let tls = settings.borrow().tls.clone();
        if let Some(tls) = &tls {
            let seen = tls.stamps();
            // The certificate and the key are replaced one after the other, so the files are read
            // when two checks have seen the same version.
            let settled = std::mem::replace(&mut last, seen) == seen;
            if settled && seen != tls.files.stamps && refused != Some(seen) {
                match tls.reload() {
                    Ok(new) => {
                        settings.send_modify(|settings| settings.tls = Some(new));
                        log::info!("the certificate has been read again");
                    }
                    Err(error) => {
                        log::error!("the hub keeps its previous certificate: {error}");
                        refused = Some(seen);
                    }
                }
            }
        }
        let tls = settings.borrow().tls.clone();
        let warnings = tls.map_or_else(Vec::new, |tls| tls.warnings(clock.now().utc));
        for warning in warnings.iter().filter(|warning| !said.contains(*warning)) {
            log::warn!("{warning}");
        }
        said = warnings;
        tokio::select! {
            () = clock.sleep_until(clock.now().monotonic + POLL) => {}
            () = crate::hub::stopped(&mut stop) => return,
        }
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
            TlsAcceptor::from(Arc::new(server)).accept(stream).await
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
