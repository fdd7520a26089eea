//! The files with the certificate and the private key of the hub: reads both files, reports an
//! error with its remedy, and judges the certificate. The functions log nothing and open no
//! connection.

use std::io::ErrorKind;
use std::path::Path;

use rustls::crypto::ring::sign::any_supported_type;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use webpki::EndEntityCert;

use crate::net::failure_mapping::not_after;
use crate::net::trust::needs_intermediate;
use crate::time::Utc;

/// The identifier of the extension `subjectAltName` (RFC 5280, section 4.2.1.6) as DER.
const SUBJECT_ALT_NAME: &[u8] = &[0x06, 3, 0x55, 0x1d, 17];
/// The remaining validity, in days, below which a certificate causes a warning: an automatic
/// renewal would have replaced the certificate earlier.
const SOON: i64 = 10;
const DAY: i64 = 86_400_000;

/// The certificate of the hub, followed by the certificates of its issuers.
pub(super) type Chain = Vec<CertificateDer<'static>>;

/// Reads the certificates of a PEM file.
pub(super) fn chain(path: &Path) -> Result<Chain, String> {
    let bytes = bytes(path)?;
    let shown = path.display();
    match CertificateDer::pem_slice_iter(&bytes).collect::<Result<Chain, _>>() {
        Ok(chain) if !chain.is_empty() => Ok(chain),
        Ok(_) if is_key(&bytes) => Err(format!(
            "{shown}: the file contains a private key and no certificate; exchange the files of cert \
             and key in [tls], if they are swapped"
        )),
        Ok(_) if EndEntityCert::try_from(&CertificateDer::from(&*bytes)).is_ok() => Err(format!(
            "{shown}: the certificate is in the binary form DER; write it in the form PEM to another \
             file with `openssl x509 -inform DER -in {shown} -out hub.pem`, and name that file in \
             [tls]"
        )),
        Ok(_) => Err(format!(
            "{shown}: the file contains no certificate; expected a PEM file"
        )),
        Err(_) => Err(format!(
            "{shown}: the file contains a damaged certificate; expected a PEM file"
        )),
    }
}

/// Reads the private key of a PEM file, and checks that the TLS library supports it.
pub(super) fn key(path: &Path) -> Result<PrivateKeyDer<'static>, String> {
    let bytes = bytes(path)?;
    let shown = path.display();
    // Both forms of an encrypted key have this word in their PEM header.
    if contains(&bytes, b"ENCRYPTED") {
        return Err(format!(
            "{shown}: the private key is encrypted, and the hub has no passphrase; write the key \
             without a passphrase to another file with `openssl pkey -in {shown} -out hub.key`, set \
             its mode with `chmod 600 hub.key`, and name that file in [tls]"
        ));
    }
    let key = PrivateKeyDer::from_pem_slice(&bytes).map_err(|_| {
        if PrivateKeyDer::try_from(&*bytes).is_ok() {
            format!(
                "{shown}: the private key is in the binary form DER; write it in the form PEM to \
                 another file with `openssl pkey -inform DER -in {shown} -out hub.key`, set its mode \
                 with `chmod 600 hub.key`, and name that file in [tls]"
            )
        } else if contains(&bytes, b"BEGIN CERTIFICATE") {
            format!(
                "{shown}: the file contains a certificate and no private key; exchange the files of \
                 cert and key in [tls], if they are swapped"
            )
        } else {
            format!("{shown}: the file contains no private key; expected the PEM file of the key")
        }
    })?;
    match any_supported_type(&key) {
        Ok(_) => Ok(key),
        Err(_) => Err(format!(
            "{shown}: this kind of key is not supported; expected ECDSA (P-256 or P-384), Ed25519, or \
             RSA with 2048 to 8192 bits"
        )),
    }
}

fn is_key(bytes: &[u8]) -> bool {
    contains(bytes, b"PRIVATE KEY-----") || PrivateKeyDer::try_from(bytes).is_ok()
}

fn contains(bytes: &[u8], part: &[u8]) -> bool {
    bytes.windows(part.len()).any(|window| window == part)
}

fn bytes(path: &Path) -> Result<Vec<u8>, String> {
    std::fs::read(path).map_err(|error| match error.kind() {
        ErrorKind::PermissionDenied => format!(
            "{}: the file may not be read by {}; the hub runs as this user: give a copy of the file \
             to this user (the README has a script for certbot, in \"TLS\")",
            path.display(),
            user()
        ),
        _ => format!("{}: {error}", path.display()),
    })
}

/// Returns the name of the user of this process. A dynamic user of systemd is not in `/etc/passwd`,
/// but systemd sets `USER` for the service.
fn user() -> String {
    let id = rustix::process::geteuid().as_raw();
    let file = std::fs::read_to_string("/etc/passwd").unwrap_or_default();
    let listed = file.lines().find_map(|line| {
        let mut fields = line.split(':');
        let name = fields.next()?;
        (fields.nth(1)?.parse() == Ok(id)).then(|| name.to_owned())
    });
    let name = listed.or_else(|| std::env::var("USER").ok());
    name.unwrap_or_else(|| format!("the user {id}"))
}

/// Returns a warning for each reason why displays refuse this chain of the file `path`, or will
/// refuse it soon.
pub(super) fn warnings(path: &Path, chain: &[CertificateDer<'_>], now: Option<Utc>) -> Vec<String> {
    let Some(first) = chain.first() else {
        return Vec::new();
    };
    let shown = path.display();
    let mut said = Vec::new();
    if chain.len() == 1 && needs_intermediate(first) {
        said.push(format!(
            "{shown}: the intermediate certificate is missing, so displays refuse this certificate: \
             use fullchain.pem instead of cert.pem"
        ));
    }
    if !contains(first, SUBJECT_ALT_NAME) {
        said.push(format!(
            "{shown}: the certificate has no subjectAltName, so displays refuse this certificate (the \
             name in its subject does not count): create another one with `deskticker-hub \
             certificate NAME`"
        ));
    }
    if let (Some(end), Some(now)) = (not_after(first), now) {
        let left = end.millis_since(now);
        if left < 0 {
            said.push(format!(
                "{shown}: the certificate has expired on {}, so displays refuse this certificate: \
                 renew it; the hub reads a new file within seconds",
                end.day()
            ));
        } else if left < SOON * DAY {
            said.push(format!(
                "{shown}: the certificate expires on {}: renew it; the hub reads a new file within \
                 seconds",
                end.day()
            ));
        }
    }
    said
}
