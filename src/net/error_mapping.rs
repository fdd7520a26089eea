//! What a failure of TLS, of HTTP or of the WebSocket means: one of the reasons that the link and
//! the glass can tell.

use std::io;

use rustls::pki_types::UnixTime;
use tokio_tungstenite::tungstenite::Error;
use tokio_tungstenite::tungstenite::error::{CapacityError, ProtocolError, UrlError};
use tokio_tungstenite::tungstenite::http::StatusCode;
use tokio_tungstenite::tungstenite::protocol::CloseFrame;
use tokio_tungstenite::tungstenite::protocol::frame::coding::CloseCode;

use crate::feed::Failure;
use crate::feed::connection::FeedProvider;
use crate::time::Utc;

/// What a TLS failure means to the owner of the display.
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

/// What is wrong with a certificate, or with the way to it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CertificateProblem {
    /// It is over, since this time where that is known.
    Expired(Option<Utc>),
    /// It begins later, at this time where that is known.
    NotYet(Option<Utc>),
    /// It is for other names.
    Name,
    /// It was issued by an authority that is not trusted.
    Authority,
    /// Anything else, in words for people.
    Other(String),
}

impl CertificateProblem {
    pub(crate) fn of(error: &io::Error) -> Self {
        use rustls::CertificateError as Bad;
        let inner = error.get_ref().and_then(|inner| inner.downcast_ref());
        let Some(rustls::Error::InvalidCertificate(bad)) = inner else {
            return CertificateProblem::Other(error.to_string());
        };
        let at = |time: &UnixTime| i64::try_from(time.as_secs()).ok().map(|s| Utc(s * 1000));
        match bad {
            Bad::Expired => CertificateProblem::Expired(None),
            Bad::ExpiredContext { not_after, .. } => CertificateProblem::Expired(at(not_after)),
            Bad::NotValidYet => CertificateProblem::NotYet(None),
            Bad::NotValidYetContext { not_before, .. } => {
                CertificateProblem::NotYet(at(not_before))
            }
            Bad::NotValidForName | Bad::NotValidForNameContext { .. } => CertificateProblem::Name,
            Bad::UnknownIssuer => CertificateProblem::Authority,
            _ => CertificateProblem::Other(error.to_string()),
        }
    }
}

/// What a failed WebSocket, or a failed upgrade to one, means to the link.
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

/// The code to close with after what the other side should not have sent (RFC 6455, 7.4.1);
/// `None` where nobody is left to be told.
pub fn complaint(error: &Error) -> Option<CloseCode> {
    match error {
        Error::Capacity(_) => Some(CloseCode::Size),
        Error::Utf8(_) => Some(CloseCode::Invalid),
        Error::Protocol(ProtocolError::ResetWithoutClosingHandshake) => None,
        Error::Protocol(_) => Some(CloseCode::Protocol),
        _ => None,
    }
}

/// What an HTTP status means where another was due.
pub fn refusal(status: StatusCode) -> Failure {
    match status.as_u16() {
        401 | 403 => Failure::Token,
        404 | 410 => Failure::Path,
        429 | 500..=510 | 512..=599 => Failure::Busy,
        200..=399 | 511 => Failure::Portal,
        _ => Failure::Protocol,
    }
}

/// What the code of a close frame means to the link.
pub fn farewell(frame: Option<&CloseFrame>, provider: FeedProvider) -> Failure {
    match (frame.map(|frame| u16::from(frame.code)), provider) {
        // What a hub closes with when it refuses (RFC 6455, 7.4.1).
        (Some(1008), FeedProvider::Hub) => Failure::Token,
        // The vendor takes no token, and says so of a key before it closes; what it closes with
        // this alone is the older of two connections.
        (Some(1008), FeedProvider::Vendor) => Failure::Evicted,
        (Some(1012 | 1013), _) => Failure::Restarting,
        _ => Failure::Lost,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_policy_of_a_hub_is_about_the_token_and_of_the_vendor_about_connections() {
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
}
