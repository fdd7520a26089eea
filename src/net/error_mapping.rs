//! The mapping from TLS, HTTP and WebSocket errors to the reasons in [`Failure`], which the
//! connection and the display use. This module never retries and never logs.

use std::io;
use std::time::Duration;

use rustls::client::verify_server_cert_signed_by_trust_anchor;
use rustls::pki_types::{CertificateDer, UnixTime};
use rustls::server::ParsedCertificate;
use rustls::{CertificateError, RootCertStore};
use tokio_tungstenite::tungstenite::Error;
use tokio_tungstenite::tungstenite::error::{CapacityError, ProtocolError, UrlError};
use tokio_tungstenite::tungstenite::http::StatusCode;
use tokio_tungstenite::tungstenite::protocol::CloseFrame;
use tokio_tungstenite::tungstenite::protocol::frame::coding::CloseCode;

use super::failure::Failure;
use super::source::FeedProvider;
use crate::time::Utc;

/// Maps an error of a TLS handshake to a [`Failure`].
pub(crate) fn tls_failure(error: &io::Error) -> Failure {
    use rustls::CertificateError::{NotValidYet, NotValidYetContext};
    match error
        .get_ref()
        .and_then(|inner| inner.downcast_ref::<rustls::Error>())
    {
        Some(rustls::Error::InvalidCertificate(NotValidYet | NotValidYetContext { .. })) => {
            Failure::Clock
        }
        Some(_) => Failure::Tls,
        None => Failure::Lost,
    }
}

/// The problem with the certificate of a server or with its TLS handshake.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CertificateProblem {
    /// The certificate has expired. The field contains the end of its validity, if known.
    Expired(Option<Utc>),
    /// The certificate is not valid yet. The field contains the start of its validity, if known.
    NotYet(Option<Utc>),
    /// The certificate is for other host names.
    Name,
    /// The issuer of the certificate is an authority that is not trusted.
    Authority,
    /// Another problem, as a message for the user.
    Other(String),
}

impl CertificateProblem {
    pub(crate) fn of(error: &io::Error) -> Self {
        use rustls::CertificateError as Bad;
        let inner = error.get_ref().and_then(|inner| inner.downcast_ref());
        let Some(rustls::Error::InvalidCertificate(bad)) = inner else {
            return CertificateProblem::Other(error.to_string());
        };
        match bad {
            Bad::Expired => CertificateProblem::Expired(None),
            Bad::ExpiredContext { not_after, .. } => CertificateProblem::Expired(utc(*not_after)),
            Bad::NotValidYet => CertificateProblem::NotYet(None),
            Bad::NotValidYetContext { not_before, .. } => {
                CertificateProblem::NotYet(utc(*not_before))
            }
            Bad::NotValidForName | Bad::NotValidForNameContext { .. } => CertificateProblem::Name,
            Bad::UnknownIssuer => CertificateProblem::Authority,
            _ => CertificateProblem::Other(error.to_string()),
        }
    }
}

fn utc(time: UnixTime) -> Option<Utc> {
    let millis = i64::try_from(time.as_secs()).ok()?.checked_mul(1000)?;
    Some(Utc(millis))
}

/// Returns the end of the validity of a certificate; `None` if the bytes are no certificate. The
/// certificate is not verified here: a verification for the far future fails, and its error
/// contains the end of the validity.
pub(crate) fn not_after(certificate: &CertificateDer<'_>) -> Option<Utc> {
    let parsed = ParsedCertificate::try_from(certificate).ok()?;
    let far_future = UnixTime::since_unix_epoch(Duration::MAX);
    let roots = RootCertStore::empty();
    match verify_server_cert_signed_by_trust_anchor(&parsed, &roots, &[], far_future, &[]) {
        Err(rustls::Error::InvalidCertificate(CertificateError::ExpiredContext {
            not_after,
            ..
        })) => utc(not_after),
        _ => None,
    }
}

/// Maps the error of a WebSocket or of an upgrade to a [`Failure`].
pub fn failure(error: &Error) -> Failure {
    match error {
        Error::Http(response) => refusal(response.status()),
        Error::Url(UrlError::TlsFeatureNotEnabled) => Failure::Tls,
        Error::Capacity(CapacityError::MessageTooLong { .. }) | Error::Utf8(_) => Failure::Protocol,
        Error::Protocol(
            ProtocolError::ResetWithoutClosingHandshake | ProtocolError::HandshakeIncomplete,
        ) => Failure::Lost,
        Error::Protocol(_) | Error::HttpFormat(_) | Error::Url(_) | Error::Capacity(_) => {
            Failure::Protocol
        }
        _ => Failure::Lost,
    }
}

/// Returns the close code for an error in the data of the server (RFC 6455, section 7.4.1). Returns
/// `None` for any other error, for example after the loss of the connection.
pub fn complaint(error: &Error) -> Option<CloseCode> {
    match error {
        Error::Capacity(_) => Some(CloseCode::Size),
        Error::Utf8(_) => Some(CloseCode::Invalid),
        Error::Protocol(ProtocolError::ResetWithoutClosingHandshake) => None,
        Error::Protocol(_) => Some(CloseCode::Protocol),
        _ => None,
    }
}

/// Maps an unexpected HTTP status to a [`Failure`].
pub fn refusal(status: StatusCode) -> Failure {
    match status.as_u16() {
        401 | 403 => Failure::Token,
        404 | 410 => Failure::Path,
        429 | 500..=510 | 512..=599 => Failure::Busy,
        200..=399 | 511 => Failure::Portal,
        _ => Failure::Protocol,
    }
}

/// Maps the code of a close frame to a [`Failure`]. `None` stands for a close frame without a code.
pub fn farewell(frame: Option<&CloseFrame>, provider: FeedProvider) -> Failure {
    match (frame.map(|frame| u16::from(frame.code)), provider) {
        // A hub uses close code 1008 (policy violation) for a refusal (RFC 6455, section 7.4.1).
        (Some(1008), FeedProvider::Hub) => Failure::Token,
        // The vendor uses no token, and reports a refused key in a message before the close frame.
        // A close code 1008 alone means that the vendor has closed the older of two connections.
        (Some(1008), FeedProvider::Vendor) => Failure::Evicted,
        (Some(1012 | 1013), _) => Failure::Restarting,
        _ => Failure::Lost,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_policy_close_means_a_bad_token_at_a_hub_and_an_eviction_at_the_vendor() {
        let close = CloseFrame {
            code: CloseCode::Policy,
            reason: "".into(),
        };
        assert_eq!(farewell(Some(&close), FeedProvider::Hub), Failure::Token);
        assert_eq!(
            farewell(Some(&close), FeedProvider::Vendor),
            Failure::Evicted
        );
        assert!(Failure::Evicted.refuses());
        assert_eq!(farewell(None, FeedProvider::Vendor), Failure::Lost);
    }

    fn certificate_until(year: i32) -> CertificateDer<'static> {
        let mut params = rcgen::CertificateParams::new(vec!["hub.local".to_owned()]).unwrap();
        params.not_before = rcgen::date_time_ymd(1990, 1, 1);
        params.not_after = rcgen::date_time_ymd(year, 3, 4);
        let key = rcgen::KeyPair::generate().unwrap();
        params.self_signed(&key).unwrap().der().clone()
    }

    #[test]
    fn the_expiry_of_a_certificate_is_read_from_both_date_formats() {
        // The four times are 1999-03-04, 2027-03-04, 2049-03-04 and 2100-03-04, each at 00:00 UTC.
        for (year, seconds) in [
            (1999, 920_505_600),
            (2027, 1_804_118_400),
            (2049, 2_498_428_800),
            (2100, 4_107_801_600),
        ] {
            assert_eq!(
                not_after(&certificate_until(year)),
                Some(Utc(seconds * 1000)),
                "{year}"
            );
        }
    }

    #[test]
    fn a_truncated_or_corrupt_certificate_causes_no_panic() {
        let der = certificate_until(2027);
        for length in 0..der.len() {
            let part = CertificateDer::from(&der[..length]);
            assert_eq!(not_after(&part), None, "{length}");
        }
        for at in 0..der.len() {
            for byte in [0x00, 0x7f, 0x80, 0x84, 0xff] {
                let mut broken = der.to_vec();
                broken[at] = byte;
                // The result does not matter, but the call must not panic.
                let _ = not_after(&broken.into());
            }
        }
    }
}
