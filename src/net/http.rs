//! One HTTP request and its response, on a connection that stays open for the next request. This
//! module follows no redirect. The code checks only the status and the content type, and never
//! interprets the JSON.

use std::time::Duration;

use http_body_util::Empty;
use hyper::body::Bytes;
use hyper::header::{
    ACCEPT, AUTHORIZATION, CONNECTION, HOST, HeaderMap, HeaderName, LOCATION, RETRY_AFTER,
};
use hyper::{Method, Request, StatusCode, Uri};

use super::connector::Connector;
use super::endpoint::Endpoint;
use super::failure::Failure;
use super::rest_connection::{JSON, RestConnection, RestRequest};
use super::source::{FeedProvider, FeedSource};
use super::{Boxed, failure_mapping};
use crate::time::Utc;

/// The time limit of a request and its response.
const LIMIT: Duration = Duration::from_secs(10);
/// The header in which the proxy and the hub expect the token of a request.
const TOKEN_HEADER: &str = "x-massive-proxy-token";

/// The reason why a request failed, and the wait that the server requested.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RestError {
    /// The reason why the request failed.
    pub reason: Failure,
    /// The `Retry-After` header of the response: seconds or a date.
    pub retry_after: Option<String>,
    /// The HTTP status of the response; `None` if no response with an error status arrived.
    pub status: Option<StatusCode>,
    /// The host name to which the response redirects.
    pub redirect: Option<String>,
}

impl RestError {
    /// Returns the wait that the server requested (RFC 9110, section 10.2.3): at least one second,
    /// and at most `limit`. Returns `None` for a date in the past, and for a date while the clock
    /// is not set.
    pub(crate) fn wait(&self, utc: Option<Utc>, limit: Duration) -> Option<Duration> {
        let text = self.retry_after.as_deref()?.trim();
        let secs = match text.parse::<u64>() {
            Ok(secs) => secs,
            Err(_) => {
                let millis = Utc::from_http_date(text)?.millis_since(utc?);
                u64::try_from(millis).ok()?.div_ceil(1000)
            }
        };
        Some(Duration::from_secs(secs).clamp(Duration::from_secs(1), limit))
    }

    /// Returns the wait that an overloaded server requested (HTTP status 429 or 503); see
    /// [`RestError::wait`].
    pub(crate) fn busy_wait(&self, utc: Option<Utc>, limit: Duration) -> Option<Duration> {
        let is_busy = matches!(self.status.map(|status| status.as_u16()), Some(429 | 503));
        is_busy.then(|| self.wait(utc, limit)).flatten()
    }
}

impl From<Failure> for RestError {
    fn from(reason: Failure) -> Self {
        Self {
            reason,
            retry_after: None,
            status: None,
            redirect: None,
        }
    }
}

/// Sends a request without a body to the REST endpoint of the source, and returns the JSON body of
/// a response with status 200.
///
/// # Errors
///
/// The reason why no JSON body arrived, and the wait that the server requested.
pub(crate) async fn fetch(
    connector: &Connector,
    source: &FeedSource,
    method: Method,
    path: &str,
) -> Result<Bytes, RestError> {
    let answer = exchange(connector, source, method, path, false, None).await?;
    if answer.status != StatusCode::OK {
        return Err(answer.error(source));
    }
    // A response with status 200 and without JSON is a web page, for example a login page.
    Ok(answer.json.ok_or(Failure::Portal)?)
}

/// The response of a server, before any check of its status.
#[derive(Debug)]
pub(crate) struct HttpAnswer {
    /// The HTTP status of the response.
    pub(crate) status: StatusCode,
    headers: HeaderMap,
    /// The body, if the body is JSON. For any status other than 200, the body is present only if
    /// the caller requested all bodies.
    pub(crate) json: Option<Bytes>,
    /// The number of the connection that delivered the response.
    pub(crate) connection: u64,
}

impl HttpAnswer {
    /// Returns the value of a header, if the value is text.
    pub(crate) fn header(&self, name: &HeaderName) -> Option<&str> {
        self.headers.get(name)?.to_str().ok()
    }

    /// Returns the reason of an unexpected response of this source, and the wait that the server
    /// requested.
    pub(crate) fn error(&self, source: &FeedSource) -> RestError {
        let reason = failure_mapping::refusal(self.status, &self.headers, &source.endpoint);
        let vendor = source.provider == FeedProvider::Vendor;
        RestError {
            // The vendor uses no token. Its status 401 means a refused key, and its status 403
            // means a plan without the data.
            reason: match reason {
                Failure::Token if vendor && self.status == StatusCode::FORBIDDEN => Failure::Plan,
                Failure::Token if vendor => Failure::Key,
                reason => reason,
            },
            retry_after: self.header(&RETRY_AFTER).map(str::to_owned),
            status: Some(self.status),
            redirect: self.header(&LOCATION).and_then(|to| {
                let to: Uri = to.parse().ok()?;
                to.host().map(str::to_owned)
            }),
        }
    }
}

/// Sends a request without a body to the REST endpoint of the source, and returns the response with
/// any status.
///
/// # Errors
///
/// The reason why no response arrived.
pub(crate) async fn ask(
    connector: &Connector,
    source: &FeedSource,
    method: Method,
    path: &str,
) -> Result<HttpAnswer, Failure> {
    ask_on(connector, source, method, path, None).await
}

/// Does the same as [`ask`]. If `only` is the number of a connection, the request is sent only on
/// this connection.
///
/// # Errors
///
/// As [`ask`], and [`Failure::Lost`] if the connection `only` is no longer open.
pub(crate) async fn ask_on(
    connector: &Connector,
    source: &FeedSource,
    method: Method,
    path: &str,
    only: Option<u64>,
) -> Result<HttpAnswer, Failure> {
    exchange(connector, source, method, path, true, only).await
}

/// Sends a request with the time limit [`LIMIT`]. If `whole` is true, the function reads the JSON
/// body of every status.
#[inline(never)]
fn exchange<'a>(
    connector: &'a Connector,
    source: &'a FeedSource,
    method: Method,
    path: &'a str,
    whole: bool,
    only: Option<u64>,
) -> Boxed<'a, Result<HttpAnswer, Failure>> {
    let exchange = exchange_without_limit(connector, source, method, path, whole, only);
    let limited = tokio::time::timeout(LIMIT, exchange);
    Box::pin(async { limited.await.map_err(|_| Failure::Timeout)? })
}

async fn exchange_without_limit(
    connector: &Connector,
    source: &FeedSource,
    method: Method,
    path: &str,
    whole: bool,
    only: Option<u64>,
) -> Result<HttpAnswer, Failure> {
    let endpoint = source.rest_endpoint();
    let request = request(source, &endpoint, method, path)?;
    // All requests share one connection. The connection is back in its slot at the end of the
    // exchange; a cancelled exchange drops the connection.
    let mut slot = connector.rest_slot(slot_wait(source.provider)).await;
    let kept = slot.as_mut().and_then(|slot| slot.take());
    let kept = kept.filter(|kept| kept.is_open_to(&endpoint));
    let mut answered = None;
    if let Some(kept) = kept.filter(|kept| only.is_none_or(|only| only == kept.id)) {
        let id = kept.id;
        // If no response arrives, the server has closed the connection after the previous request.
        answered = kept
            .send(request.clone(), whole)
            .await
            .map(|outcome| (id, outcome));
    }
    let (id, outcome) = match answered {
        Some(answered) => answered,
        None if only.is_some() => return Err(Failure::Lost),
        None => {
            let id = connector.next_rest_id();
            let stream = connector.rest_stream(&endpoint).await?;
            let opened = RestConnection::begin(stream, &endpoint, id).await?;
            match opened.send(request, whole).await {
                Some(outcome) => (id, outcome),
                None => return Err(connector.without_tls(&endpoint, Failure::Lost).await),
            }
        }
    };
    let (answer, kept) = outcome?;
    // A server is identified with a request without a secret.
    let is_first = source.secret.is_none();
    if is_first && answer.status == StatusCode::BAD_REQUEST && answer.json.is_none() {
        let reason = connector.without_tls(&endpoint, Failure::Protocol).await;
        if reason == Failure::TlsRequired {
            return Err(reason);
        }
    }
    if let Some(slot) = &mut slot {
        **slot = kept;
    }
    connector.dated(&answer.headers);
    Ok(HttpAnswer {
        status: answer.status,
        headers: answer.headers,
        json: answer.json,
        connection: id,
    })
}

/// Returns the maximum wait for the end of another request on the shared connection. After this
/// wait the request gets a connection of its own. A hub requests data for many displays from the
/// vendor, so its requests do not wait for each other.
const fn slot_wait(provider: FeedProvider) -> Duration {
    match provider {
        FeedProvider::Hub => Duration::from_millis(500),
        FeedProvider::Vendor => Duration::ZERO,
    }
}

/// Returns the request with the headers for the server and with the secret of the source.
fn request(
    source: &FeedSource,
    endpoint: &Endpoint,
    method: Method,
    path: &str,
) -> Result<RestRequest, Failure> {
    let mut builder = Request::builder()
        .method(method)
        .uri(format!("{}{path}", endpoint.base))
        .header(HOST, endpoint.authority())
        .header(CONNECTION, "keep-alive")
        .header(ACCEPT, JSON);
    if let Some(secret) = &source.secret {
        builder = match source.provider {
            FeedProvider::Hub => builder.header(TOKEN_HEADER, secret.reveal()),
            FeedProvider::Vendor => {
                builder.header(AUTHORIZATION, format!("Bearer {}", secret.reveal()))
            }
        };
    }
    builder
        .body(Empty::<Bytes>::new())
        .map_err(|_| Failure::Protocol)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_retry_after_time_is_at_least_a_second_and_at_most_ten_minutes() {
        // The time is 2026-11-23 14:30:00 UTC, a Monday.
        let utc = Some(Utc(1_795_444_200_000));
        let wait = |text: &str, utc| {
            let refusal = RestError {
                retry_after: Some(text.to_owned()),
                ..RestError::from(Failure::Busy)
            };
            let limit = Duration::from_secs(600);
            refusal.wait(utc, limit).map(|wait| wait.as_secs())
        };
        assert_eq!(wait(" 7 ", utc), Some(7));
        assert_eq!(wait("0", utc), Some(1));
        assert_eq!(wait("86400", None), Some(600));
        assert_eq!(wait("Mon, 23 Nov 2026 14:30:42 GMT", utc), Some(42));
        assert_eq!(wait("Tue, 24 Nov 2026 14:00:00 GMT", utc), Some(600));
        assert_eq!(wait("Mon, 23 Nov 2026 14:30:42 GMT", None), None);
        // A date in the past is no usable wait, so the caller uses its own wait.
        for junk in ["soon", "-1", "1.5", "", "Mon, 23 Nov 2026 14:00:00 GMT"] {
            assert_eq!(wait(junk, utc), None, "{junk}");
        }
        let limit = Duration::from_secs(3600);
        let busy = RestError::from(Failure::Busy);
        assert_eq!(busy.wait(utc, limit), None);
        let retry_after = Some("99999999999".to_owned());
        let long = RestError {
            retry_after,
            ..busy
        };
        assert_eq!(long.wait(None, limit), Some(limit));
    }
}
