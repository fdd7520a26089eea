//! Verifies the certificate of a server. Adds two cases to the verifier of the library: a
//! certificate that is marked as an authority and that the user has named itself, and a server that
//! does not send its intermediate certificate. This module opens no connection and reads no file.

use std::sync::Arc;

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::{WebPkiServerVerifier, verify_server_name};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::server::ParsedCertificate;
use rustls::{
    CertificateError, DigitallySignedStruct, Error, OtherError, RootCertStore, SignatureScheme,
};
use webpki::EndEntityCert;

use super::failure::Failure;

/// The identifier `id-ad-caIssuers` (RFC 5280, section 4.2.2.1) as DER. A public authority writes
/// the address of its intermediate certificate after this identifier into each certificate.
const CA_ISSUERS: &[u8] = &[0x06, 8, 0x2b, 0x06, 0x01, 0x05, 0x05, 0x07, 0x30, 0x02];

/// The verifier of server certificates.
#[derive(Debug)]
pub(super) struct Verifier {
    library: Arc<WebPkiServerVerifier>,
    /// The certificates that the user has named. Each of them is also an authority in `library`.
    named: Vec<CertificateDer<'static>>,
}

impl Verifier {
    /// Creates a verifier that trusts the authorities in `roots` and the certificates in `named`.
    ///
    /// # Errors
    /// The library refuses the authorities.
    pub(super) fn new(
        roots: RootCertStore,
        named: Vec<CertificateDer<'static>>,
        provider: Arc<rustls::crypto::CryptoProvider>,
    ) -> Result<Self, String> {
        let library = WebPkiServerVerifier::builder_with_provider(Arc::new(roots), provider);
        let library = library.build().map_err(|error| error.to_string())?;
        Ok(Self { library, named })
    }

    /// Returns the reason why a certificate from an unknown issuer is not trusted. `signature` is
    /// true if the name of the issuer is known, and its key is another one.
    fn distrust(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        signature: bool,
    ) -> Failure {
        let alone = intermediates.is_empty() && !is_self_signed(end_entity);
        match self.named.is_empty() {
            _ if alone && needs_intermediate(end_entity) => Failure::Intermediate,
            true => Failure::Issuer,
            false if alone && !signature => Failure::CaFileOrIntermediate,
            false => Failure::CaFile,
        }
    }
}

impl ServerCertVerifier for Verifier {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        let library = &self.library;
        let verdict =
            library.verify_server_cert(end_entity, intermediates, server_name, ocsp_response, now);
        let signature = match &verdict {
            Err(Error::InvalidCertificate(CertificateError::BadSignature)) => true,
            Err(Error::InvalidCertificate(CertificateError::UnknownIssuer)) => false,
            // `openssl req -x509` marks each certificate as an authority, and the library accepts
            // no authority as the certificate of a server.
            Err(error) if is(error, &webpki::Error::CaUsedAsEndEntity) => false,
            _ => return verdict,
        };
        // The library reports these errors after its check of the validity and before its check of
        // the name.
        if self.named.iter().any(|named| named == end_entity) {
            verify_server_name(&ParsedCertificate::try_from(end_entity)?, server_name)?;
            return Ok(ServerCertVerified::assertion());
        }
        let reason = self.distrust(end_entity, intermediates, signature);
        Err(CertificateError::Other(OtherError(Arc::new(reason))).into())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.library
            .verify_tls12_signature(message, certificate, signature)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.library
            .verify_tls13_signature(message, certificate, signature)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.library.supported_verify_schemes()
    }
}

/// Returns true if the library refused the certificate for this reason.
pub(crate) fn is(error: &Error, reason: &webpki::Error) -> bool {
    match error {
        Error::InvalidCertificate(CertificateError::Other(other)) => {
            other.0.downcast_ref() == Some(reason)
        }
        _ => false,
    }
}

/// Returns true if the certificate comes from an authority that publishes its intermediate
/// certificates. A server must send such a certificate together with the intermediate one. Returns
/// false for a certificate that has signed itself.
pub(crate) fn needs_intermediate(certificate: &CertificateDer<'_>) -> bool {
    let mut parts = certificate.windows(CA_ISSUERS.len());
    !is_self_signed(certificate) && parts.any(|part| part == CA_ISSUERS)
}

/// Returns true if the certificate names itself as its issuer, or cannot be read.
fn is_self_signed(certificate: &CertificateDer<'_>) -> bool {
    let parsed = EndEntityCert::try_from(certificate);
    parsed.map_or(true, |parsed| parsed.issuer() == parsed.subject())
}
