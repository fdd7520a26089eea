//! The mapping from TLS, HTTP and WebSocket errors to the reasons in [`Failure`], which the
//! connection and the display use. This module never retries and never logs.

use std::io;
use std::time::Duration;

use hyper::header::{CONTENT_TYPE, HeaderMap, LOCATION};
use hyper::{StatusCode, Uri};
use rustls::client::verify_server_cert_signed_by_trust_anchor;
use rustls::pki_types::{CertificateDer, UnixTime};
use rustls::server::ParsedCertificate;
use rustls::{CertificateError, RootCertStore};
use tokio_tungstenite::tungstenite::Error;
use tokio_tungstenite::tungstenite::error::ProtocolError;
use tokio_tungstenite::tungstenite::protocol::CloseFrame;
use tokio_tungstenite::tungstenite::protocol::frame::coding::CloseCode;

use super::endpoint::Endpoint;
use super::failure::Failure;
use super::source::FeedProvider;
use super::trust;
use crate::time::Utc;

/// The problem with the certificate of a server or with its TLS handshake.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CertificateProblem {
    /// The certificate has expired. The field contains the end of its validity, if known.
    Expired(Option<Utc>),
    /// The certificate is not valid yet. The field contains the start of its validity, if known.
    NotYet(Option<Utc>),
    /// The certificate is for these other host names and addresses. The list is empty if the
    /// certificate names no host.
    Name(Vec<String>),
    /// Another problem, and the text of the library about it.
    Other(Failure, String),
}

impl CertificateProblem {
    /// Returns the reason for the connection and the display.
    pub fn failure(&self) -> Failure {
        match self {
            CertificateProblem::Expired(_) => Failure::Expired,
            CertificateProblem::NotYet(_) => Failure::Clock,
            CertificateProblem::Name(_) => Failure::HostName,
            CertificateProblem::Other(failure, _) => *failure,
        }
    }

    pub(crate) fn of(error: &io::Error) -> Self {
        use rustls::CertificateError as Bad;
        let other = |failure| CertificateProblem::Other(failure, error.to_string());
        let (inner, bad) = match error.get_ref().and_then(|inner| inner.downcast_ref()) {
            Some(inner @ rustls::Error::InvalidCertificate(bad)) => (inner, bad),
            // The first bytes of the server are no TLS record.
            Some(rustls::Error::InvalidMessage(_)) => return other(Failure::PlainPort),
            Some(_) => return other(Failure::Tls),
            None => return other(Failure::Lost),
        };
        if let Bad::Other(reason) = bad
            && let Some(reason) = reason.0.downcast_ref::<Failure>()
        {
            return other(*reason);
        }
        match bad {
            // Only a certificate of version 3 contains host names.
            Bad::Other(_) if trust::is(inner, &webpki::Error::UnsupportedCertVersion) => {
                CertificateProblem::Name(Vec::new())
            }
            Bad::Expired => CertificateProblem::Expired(None),
            Bad::ExpiredContext { not_after, .. } => CertificateProblem::Expired(utc(*not_after)),
            Bad::NotValidYet => CertificateProblem::NotYet(None),
            Bad::NotValidYetContext { not_before, .. } => {
                CertificateProblem::NotYet(utc(*not_before))
            }
            Bad::NotValidForName => CertificateProblem::Name(Vec::new()),
            Bad::NotValidForNameContext { presented, .. } => {
                CertificateProblem::Name(presented.iter().map(|name| plain(name)).collect())
            }
            _ => other(Failure::Tls),
        }
    }
}

/// Extracts the name from a text of the library like `DnsName("hub.local")` or `IpAddress(::1)`.
fn plain(name: &str) -> String {
    let inner = name.split_once('(').map_or(name, |(_, inner)| inner);
    inner.trim_matches(['"', ')']).to_owned()
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

/// Maps the error of a WebSocket to a [`Failure`].
pub fn failure(error: &Error) -> Failure {
    match error {
        Error::Capacity(_) => Failure::TooLarge,
        Error::Protocol(ProtocolError::ResetWithoutClosingHandshake) => Failure::Lost,
        Error::Protocol(_) | Error::Utf8(_) => Failure::Protocol,
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

/// Maps an unexpected HTTP response of the server at `endpoint` to a [`Failure`].
pub fn refusal(status: StatusCode, headers: &HeaderMap, endpoint: &Endpoint) -> Failure {
    let text = |name| headers.get(name).and_then(|value| value.to_str().ok());
    let is =
        |kind: &str| text(CONTENT_TYPE).is_some_and(|text| text.trim_start().starts_with(kind));
    let secure = || {
        let to: Uri = text(LOCATION)?.parse().ok()?;
        Some(to.scheme_str() == Some("https") && to.host() == Some(&*endpoint.host))
    };
    match status.as_u16() {
        401 | 403 => Failure::Token,
        404 | 410 => Failure::Path,
        426 => Failure::UpgradeDropped,
        502 if is("application/json") => Failure::HubUpstream,
        502 | 504 | 520..=530 => Failure::Gateway,
        503 if is("text/html") => Failure::Gateway,
        508 => Failure::Loop,
        429 | 500..=510 | 512..=599 => Failure::Busy,
        300..=399 if !endpoint.secure && secure() == Some(true) => Failure::TlsRequired,
        200..=399 | 511 => Failure::Portal,
        _ => Failure::Protocol,
    }
}

/// Maps the code of a close frame to a [`Failure`]. `None` stands for a close frame without a code.
/// `is_hub` is true for a deskticker-hub.
pub fn farewell(frame: Option<&CloseFrame>, provider: FeedProvider, is_hub: bool) -> Failure {
    match (frame.map(|frame| u16::from(frame.code)), provider) {
        // A deskticker-hub uses close code 1008 (policy violation) only for a refused token.
        (Some(1008), FeedProvider::Hub) if is_hub => Failure::Token,
        (Some(1008), FeedProvider::Hub) => Failure::Policy,
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
    use hyper::header::HeaderName;

    #[test]
    fn a_policy_close_means_a_bad_token_at_a_hub_and_an_eviction_at_the_vendor() {
        let close = CloseFrame {
            code: CloseCode::Policy,
            reason: "".into(),
        };
        let (hub, vendor) = (FeedProvider::Hub, FeedProvider::Vendor);
        assert_eq!(farewell(Some(&close), hub, true), Failure::Token);
        assert_eq!(farewell(Some(&close), hub, false), Failure::Policy);
        assert_eq!(farewell(Some(&close), vendor, false), Failure::Evicted);
        assert!(Failure::Evicted.refuses());
        assert_eq!(farewell(None, vendor, false), Failure::Lost);
    }

    #[test]
    fn each_kind_of_http_refusal_has_its_own_reason() {
        let endpoint = Endpoint::parse("ws://hub.local:3000").unwrap();
        for (status, header, expected) in [
            (401, "", Failure::Token),
            (403, "Content-Type: application/json", Failure::Token),
            // The library `ws` of Node refuses an upgrade with this content type.
            (403, "Content-Type: text/html", Failure::Token),
            (404, "Content-Type: text/html", Failure::Path),
            (426, "Upgrade: websocket", Failure::UpgradeDropped),
            (429, "", Failure::Busy),
            (500, "Content-Type: text/html", Failure::Busy),
            (502, "Content-Type: text/html", Failure::Gateway),
            (502, "Content-Type: application/json", Failure::HubUpstream),
            (503, "Content-Type: text/html", Failure::Gateway),
            (503, "Content-Type: text/plain", Failure::Busy),
            (521, "Content-Type: text/html", Failure::Gateway),
            (301, "Location: https://hub.local/", Failure::TlsRequired),
            (302, "Location: https://login.example/", Failure::Portal),
            (302, "Location: http://hub.local/login", Failure::Portal),
            (302, "", Failure::Portal),
            (508, "Content-Type: application/json", Failure::Loop),
            (511, "", Failure::Portal),
            (400, "", Failure::Protocol),
        ] {
            let mut headers = HeaderMap::new();
            if let Some((name, value)) = header.split_once(": ") {
                let name = HeaderName::from_bytes(name.as_bytes()).unwrap();
                headers.insert(name, value.parse().unwrap());
            }
            let status = StatusCode::from_u16(status).unwrap();
            assert_eq!(
                refusal(status, &headers, &endpoint),
                expected,
                "{status} {header}"
            );
        }
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
