//! One HTTP request and its response. This module follows no redirect and reads no unnecessary
//! data. The code checks only the status and the content type, and never interprets the JSON.

use std::time::Duration;

use http_body_util::{BodyExt, Empty, Limited};
use hyper::body::Bytes;
use hyper::header::{
    ACCEPT, AUTHORIZATION, CONTENT_TYPE, HOST, HeaderMap, HeaderName, RETRY_AFTER,
};
use hyper::{Method, Request, StatusCode};
use hyper_util::rt::TokioIo;

use super::connector::Connector;
use super::endpoint::Endpoint;
use super::failure::Failure;
use super::source::{FeedProvider, FeedSource};
use super::{Boxed, error_mapping};
use crate::time::Utc;

/// The time limit of a request and its response.
const LIMIT: Duration = Duration::from_secs(10);
/// The maximum size of a response body, in bytes.
const BODY_LIMIT: usize = 1 << 20;
/// The header in which the proxy and the hub expect the token of a request.
const TOKEN_HEADER: &str = "x-massive-proxy-token";
/// The maximum accepted wait from a `Retry-After` header, in seconds.
const RETRY_AFTER_LIMIT: u64 = 600;

/// The reason why a request failed, and the wait that the server requested.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RestError {
    /// The reason why the request failed.
    pub reason: Failure,
    /// The `Retry-After` header of the response: seconds or a date.
    pub retry_after: Option<String>,
}

impl RestError {
    /// Returns the wait that the server requested (RFC 9110, section 10.2.3), limited to 1 s to 10
    /// min. Returns `None` for a date while the clock is not set.
    pub(crate) fn wait(&self, utc: Option<Utc>) -> Option<Duration> {
        let text = self.retry_after.as_deref()?.trim();
        let secs = match text.parse::<u64>() {
            Ok(secs) => secs,
            Err(_) => {
                let millis = Utc::from_http_date(text)?.millis_since(utc?).max(0);
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

/// Requests the JSON body at `path` below the endpoint.
///
/// # Errors
///
/// The reason why no JSON body arrived, and the wait that the server requested.
pub async fn get(
    connector: &Connector,
    endpoint: &Endpoint,
    path: &str,
    source: &FeedSource,
) -> Result<Bytes, RestError> {
    fetch(connector, endpoint, Method::GET, path, source).await
}

/// Sends a request without a body, and returns the JSON body of a response with status 200.
///
/// # Errors
///
/// The reason why no JSON body arrived, and the wait that the server requested.
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
            reason: error_mapping::refusal(answer.status),
            retry_after: answer.header(&RETRY_AFTER).map(str::to_owned),
        });
    }
    // The server sent a web page in place of JSON.
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
}

impl HttpAnswer {
    /// Returns the value of a header, if the value is text.
    pub(crate) fn header(&self, name: &HeaderName) -> Option<&str> {
        self.headers.get(name)?.to_str().ok()
    }
}

/// Sends a request without a body to the source, and returns the response with any status.
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
    exchange(connector, &source.endpoint, method, path, source, true).await
}

/// Sends a request with the time limit [`LIMIT`]. If `whole` is true, the function reads the JSON
/// body of every status.
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
        // The exchange makes progress only while the connection runs. After the end of the
        // connection, the exchange can still return the data that the connection has already read.
        _ = connection => exchange.await,
    }
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
}
