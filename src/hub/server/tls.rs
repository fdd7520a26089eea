//! TLS for the hub. Owns the certificate and the key, and the TLS handshake of each client. Never
//! interprets the decrypted bytes.

use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use hyper::body::Bytes;
use rustls::ServerConfig;
use rustls::pki_types::PrivateKeyDer;
use tokio::net::TcpStream;
use tokio::sync::watch;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

use super::certificate_files;
use super::request_head::HEAD_LIMIT;
use super::unanswered::Unanswered;
use crate::files::FileStamp;
use crate::hub::HubSettings;
use crate::hub::auth::authenticator::POLL;
use crate::hub::broker::event_loop::Transport;
use crate::time::{Clock, Utc};

/// The maximum number of bytes that a client may send during the TLS handshake before the hub sends
/// its next bytes. The first message of the usual programs has 200 to 2,000 bytes. The TLS library
/// alone would store up to 64 KiB.
const HANDSHAKE_LIMIT: usize = 8 << 10;
/// The maximum number of bytes that a client may send after the handshake before the hub sends its
/// next bytes: the largest head of a request, and the bytes that TLS adds.
const REQUEST_LIMIT: usize = HEAD_LIMIT + (2 << 10);

/// A TLS acceptor with the certificate and the key of the hub, and the files of both.
#[derive(Clone)]
pub struct Tls {
    acceptor: TlsAcceptor,
    files: Arc<TlsFiles>,
}

/// The encrypted connection of a client that sends HTTP requests.
pub(crate) type Encrypted = TlsStream<Unanswered<TcpStream>>;

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
    /// Returns a text with the path of the wrong file and the reason; see [`Tls::load_each`].
    pub fn load(certificate: &Path, key: &Path) -> Result<Self, String> {
        let errors = |errors: [Option<String>; 2]| errors.into_iter().flatten().collect::<Vec<_>>();
        Self::load_each(certificate, key).map_err(|both| errors(both).join("; "))
    }

    /// Loads the files like [`Tls::load`].
    ///
    /// # Errors
    /// Returns the error of the certificate and the error of the key. The texts contain no part of
    /// the key.
    pub(crate) fn load_each(certificate: &Path, key: &Path) -> Result<Self, [Option<String>; 2]> {
        // The metadata is older than the content, so a change in between causes another read.
        let stamps = [certificate, key].map(FileStamp::of);
        let chain = certificate_files::chain(certificate);
        let (chain, secret) = match (chain, certificate_files::key(key)) {
            (Ok(chain), Ok(secret)) => (chain, secret),
            (chain, secret) => return Err([chain.err(), secret.err()]),
        };
        crate::files::warn_if_readable_by_all(key);
        let config = server_config(certificate, key, chain.clone(), secret);
        let config = config.map_err(|error| [Some(error), None])?;
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

    /// Performs the TLS handshake.
    pub(crate) async fn accept(&self, stream: TcpStream) -> io::Result<Encrypted> {
        let stream = Unanswered::new(stream, HANDSHAKE_LIMIT);
        let mut stream = self.acceptor.accept(stream).await?;
        stream.get_mut().0.allow(REQUEST_LIMIT);
        Ok(stream)
    }
}

/// Returns the configuration of the TLS library, or the error of the certificate.
fn server_config(
    certificate: &Path,
    key: &Path,
    chain: certificate_files::Chain,
    secret: PrivateKeyDer<'static>,
) -> Result<ServerConfig, String> {
    // The code sets the crypto provider here, so TLS does not depend on a process-wide default.
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let mut config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|error| error.to_string())?
        .with_no_client_auth()
        .with_single_cert(chain, secret)
        .map_err(|error| match error {
            rustls::Error::InconsistentKeys(_) => format!(
                "{}: the certificate does not match the key {}; the certificate of the hub must be \
                 the first one in its file",
                certificate.display(),
                key.display()
            ),
            error => format!(
                "{}: the certificate cannot be used ({error}); create another one with \
                 `deskticker-hub certificate NAME`",
                certificate.display()
            ),
        })?;
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(config)
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

/// Returns the transport of an upgraded connection, and all decrypted bytes after the request.
/// `read_ahead` are the bytes that the HTTP library has already read.
pub(crate) fn upgraded(stream: Encrypted, read_ahead: &[u8]) -> (Transport, Bytes) {
    let (stream, mut connection) = stream.into_inner();
    let mut read_ahead = read_ahead.to_vec();
    // This read ends with an error if the stream is still open. The bytes before the end stay in the
    // vector.
    connection.reader().read_to_end(&mut read_ahead).ok();
    (
        Transport::tls(stream.into_inner(), connection),
        read_ahead.into(),
    )
}
