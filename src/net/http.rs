//! One request and its answer. Follows no redirect, reads no more than it needs, and judges
//! nothing but the status and whether there is JSON.

use std::time::Duration;

use http_body_util::{BodyExt, Empty, Limited};
use hyper::body::Bytes;
use hyper::header::{
    ACCEPT, AUTHORIZATION, CONTENT_TYPE, HOST, HeaderMap, HeaderName, RETRY_AFTER,
};
use hyper::{Method, Request, StatusCode};
use hyper_util::rt::TokioIo;
use jiff::fmt::rfc2822;

use crate::feed::connection::FeedProvider;
use crate::feed::session::FeedSource;
use crate::feed::{Boxed, Failure};
use crate::net::connector;
use crate::net::connector::{Connector, Endpoint};
use crate::time::Utc;

/// The answer must be here within this.
const LIMIT: Duration = Duration::from_secs(10);
/// An answer larger than this is refused, in bytes.
const BODY_LIMIT: usize = 1 << 20;
/// Where the proxy and the hub look for the token of a request.
const TOKEN_HEADER: &str = "x-massive-proxy-token";
/// Whoever says when to come again is believed up to this, in seconds.
const RETRY_AFTER_LIMIT: u64 = 600;

/// The vendor's REST stands beside its sockets, `api.` for `socket.` or `delayed.`; any other
/// host (a simulator) serves both.
pub fn vendor_rest(sockets: &Endpoint) -> Endpoint {
    let mut endpoint = sockets.clone();
    for prefix in ["socket.", "delayed."] {
        if let Some(domain) = sockets.host.strip_prefix(prefix) {
            endpoint.host = format!("api.{domain}");
        }
    }
    endpoint
}

/// Why there is no answer, and what was said about asking again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RestError {
    /// The reason.
    pub reason: Failure,
    /// The `Retry-After` of the answer: seconds, or a date.
    pub retry_after: Option<String>,
}

impl RestError {
    /// How long to wait by the other side's own words (RFC 9110, 10.2.3), 1 s to 10 min. A date is
    /// worth nothing while the clock is not set.
    pub(crate) fn wait(&self, utc: Option<Utc>) -> Option<Duration> {
        let text = self.retry_after.as_deref()?.trim();
        let secs = match text.parse::<u64>() {
            Ok(secs) => secs,
            Err(_) => {
                let until = rfc2822::parse(text).ok()?.timestamp().as_millisecond();
                let millis = Utc(until).millis_since(utc?).max(0);
                millis.unsigned_abs().div_ceil(1000)
            }
        };
        Some(Duration::from_secs(secs.clamp(1, RETRY_AFTER_LIMIT)))
    }
}

impl From<Failure> for RestError {
    fn from(reason: Failure) -> Self {
        Self {
            reason,
            retry_after: None,
        }
    }
}

/// The JSON at a path below the endpoint.
///
/// # Errors
/// Why there is none.
pub async fn get(
    connector: &Connector,
    endpoint: &Endpoint,
    path: &str,
    source: &FeedSource,
) -> Result<Bytes, RestError> {
    fetch(connector, endpoint, Method::GET, path, source).await
}

/// The JSON that answers a request without a body.
///
/// # Errors
/// Why there is none.
pub(crate) async fn fetch(
    connector: &Connector,
    endpoint: &Endpoint,
    method: Method,
    path: &str,
    source: &FeedSource,
) -> Result<Bytes, RestError> {
    let answer = exchange(connector, endpoint, method, path, source, false).await?;
    if answer.status != StatusCode::OK {
        return Err(RestError {
            reason: connector::refusal(answer.status),
            retry_after: answer.header(&RETRY_AFTER).map(str::to_owned),
        });
    }
    // A web page where JSON was due.
    Ok(answer.json.ok_or(Failure::Portal)?)
}

/// What a server says to a request, before anybody has judged it.
#[derive(Debug)]
pub(crate) struct HttpAnswer {
    /// Its status.
    pub(crate) status: StatusCode,
    headers: HeaderMap,
    /// Its body, if that is JSON; of another status than 200 only where it was asked for.
    pub(crate) json: Option<Bytes>,
}

impl HttpAnswer {
    /// A header, if it is text.
    pub(crate) fn header(&self, name: &HeaderName) -> Option<&str> {
        self.headers.get(name)?.to_str().ok()
    }
}

/// What the source answers to a request without a body, whatever it is.
///
/// # Errors
/// Why it answers nothing.
pub(crate) async fn ask(
    connector: &Connector,
    source: &FeedSource,
    method: Method,
    path: &str,
) -> Result<HttpAnswer, Failure> {
    exchange(connector, &source.endpoint, method, path, source, true).await
}

/// `whole` reads the JSON of every status.
#[inline(never)]
fn exchange<'a>(
    connector: &'a Connector,
    endpoint: &'a Endpoint,
    method: Method,
    path: &'a str,
    source: &'a FeedSource,
    whole: bool,
) -> Boxed<'a, Result<HttpAnswer, Failure>> {
    Box::pin(async move {
        let exchange = exchanged(connector, endpoint, method, path, source, whole);
        let answer = tokio::time::timeout(LIMIT, exchange).await;
        answer.map_err(|_| Failure::Timeout)?
    })
}

async fn exchanged(
    connector: &Connector,
    endpoint: &Endpoint,
    method: Method,
    path: &str,
    source: &FeedSource,
    whole: bool,
) -> Result<HttpAnswer, Failure> {
    let mut builder = Request::builder()
        .method(method)
        .uri(format!("{}{path}", endpoint.base))
        .header(HOST, endpoint.authority())
        .header(ACCEPT, "application/json");
    if let Some(secret) = &source.secret {
        builder = match source.provider {
            FeedProvider::Hub => builder.header(TOKEN_HEADER, secret.reveal()),
            FeedProvider::Vendor => {
                builder.header(AUTHORIZATION, format!("Bearer {}", secret.reveal()))
            }
        };
    }
    let request = builder
        .body(Empty::<Bytes>::new())
        .map_err(|_| Failure::Protocol)?;
    let stream = connector.stream(endpoint).await?;
    let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream))
        .await
        .map_err(|_| Failure::Lost)?;
    let exchange = async {
        let response = sender
            .send_request(request)
            .await
            .map_err(|_| Failure::Lost)?;
        let (head, body) = response.into_parts();
        connector.dated(&head.headers);
        let json = head.headers.get(CONTENT_TYPE).is_some_and(|kind| {
            kind.to_str().is_ok_and(|kind| {
                kind.trim_start()
                    .to_ascii_lowercase()
                    .starts_with("application/json")
            })
        });
        let json = if json && (whole || head.status == StatusCode::OK) {
            let body = Limited::new(body, BODY_LIMIT).collect().await;
            Some(body.map_err(|_| Failure::Protocol)?.to_bytes())
        } else {
            None
        };
        Ok(HttpAnswer {
            status: head.status,
            headers: head.headers,
            json,
        })
    };
    tokio::pin!(exchange);
    tokio::select! {
        outcome = &mut exchange => outcome,
        // Driving the connection is what lets the exchange go on; when it has ended, what it had
        // read is still there to be taken.
        _ = connection => exchange.await,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_says_when_to_come_again_is_believed_within_reason() {
        // 2026-11-23 14:30:00 UTC, a Monday.
        let utc = Some(Utc(1_795_444_200_000));
        let wait = |text: &str, utc| {
            let refusal = RestError {
                reason: Failure::Busy,
                retry_after: Some(text.to_owned()),
            };
            refusal.wait(utc).map(|wait| wait.as_secs())
        };
        assert_eq!(wait(" 7 ", utc), Some(7));
        assert_eq!(wait("0", utc), Some(1));
        assert_eq!(wait("86400", None), Some(600));
        assert_eq!(wait("Mon, 23 Nov 2026 14:30:42 GMT", utc), Some(42));
        assert_eq!(wait("Mon, 23 Nov 2026 14:00:00 GMT", utc), Some(1));
        assert_eq!(wait("Tue, 24 Nov 2026 14:00:00 GMT", utc), Some(600));
        assert_eq!(wait("Mon, 23 Nov 2026 14:30:42 GMT", None), None);
        for junk in ["soon", "-1", "1.5", ""] {
            assert_eq!(wait(junk, utc), None, "{junk}");
        }
        assert_eq!(RestError::from(Failure::Busy).wait(utc), None);
    }

    #[test]
    fn the_vendors_rest_stands_beside_its_sockets() {
        let rest = |text: &str| vendor_rest(&Endpoint::parse(text).unwrap()).to_string();
        assert_eq!(rest("wss://socket.massive.com"), "wss://api.massive.com");
        assert_eq!(rest("wss://delayed.massive.com"), "wss://api.massive.com");
        assert_eq!(rest("ws://127.0.0.1:9"), "ws://127.0.0.1:9");
    }
}
