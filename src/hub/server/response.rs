//! The parts of an HTTP response: the status, the JSON body and the reason for a refusal. This
//! module never decides about a request.

use http_body_util::Full;
use hyper::body::Bytes;
use hyper::header::{CACHE_CONTROL, CONTENT_TYPE, HeaderName, RETRY_AFTER};
use hyper::http::HeaderValue;
use hyper::{Response, StatusCode};
use serde_json::json;

use crate::hub::rest::cache::QuotesError;

pub(crate) type HttpResponse = Response<Full<Bytes>>;

/// The reason for a refusal, as a fixed text of the hub that the log may contain.
#[derive(Clone, Copy)]
pub(crate) struct RefusalReason(pub(crate) &'static str);

/// The response to a refused request. The response is boxed, because refusals are rare and a large
/// error type would make each `Result` large.
pub(crate) type RefusedResponse = Box<HttpResponse>;

/// Returns the response to a vendor request: the body, or after a failure status 403 if the vendor
/// refused the key or the plan, otherwise status 502.
pub(crate) fn from_vendor(body: Result<String, QuotesError>) -> HttpResponse {
    let error = match body {
        Ok(body) => return json_text(StatusCode::OK, body),
        Err(error) => error,
    };
    let (status, word) = if error.reason.refuses() {
        (StatusCode::FORBIDDEN, "not authorized by the vendor")
    } else {
        (StatusCode::BAD_GATEWAY, "no answer from the vendor")
    };
    let body = json!({ "error": word, "message": error.reason.to_string() });
    let answer = json_text(status, body.to_string());
    match error.retry_after {
        Some(seconds) => with(answer, RETRY_AFTER, &seconds.to_string()),
        None => answer,
    }
}

/// Refuses a request with this status and this reason.
///
/// # Errors
/// Always returns the response as the error.
pub(crate) fn refuse<T>(
    status: StatusCode,
    message: &'static str,
    headers: &[(HeaderName, &str)],
) -> Result<T, RefusedResponse> {
    let body = json!({ "error": message });
    let mut answer = json_text(status, body.to_string());
    answer.extensions_mut().insert(RefusalReason(message));
    for (name, value) in headers {
        answer = with(answer, name.clone(), value);
    }
    Err(Box::new(answer))
}

pub(crate) fn json_text(status: StatusCode, body: String) -> HttpResponse {
    let mut answer = Response::new(Full::from(body));
    *answer.status_mut() = status;
    let answer = with(answer, CONTENT_TYPE, "application/json");
    with(answer, CACHE_CONTROL, "no-store")
}

pub(crate) fn with(mut answer: HttpResponse, name: HeaderName, value: &str) -> HttpResponse {
    // Every header value consists of fixed texts and numbers of the hub. An invalid value would be
    // omitted.
    if let Ok(value) = HeaderValue::from_str(value) {
        answer.headers_mut().insert(name, value);
    }
    answer
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::net::failure::Failure;

    #[test]
    fn a_vendor_refusal_is_status_403_and_a_vendor_failure_is_502() {
        let status_and_retry = |reason, retry_after| {
            let answer = from_vendor(Err(QuotesError {
                reason,
                retry_after,
            }));
            let retry = answer.headers().get(RETRY_AFTER).cloned();
            (answer.status().as_u16(), retry)
        };
        let nine = Some(HeaderValue::from_static("9"));
        assert_eq!(status_and_retry(Failure::Busy, Some(9)), (502, nine));
        assert_eq!(status_and_retry(Failure::Timeout, None), (502, None));
        assert_eq!(status_and_retry(Failure::Key, None), (403, None));
        assert_eq!(status_and_retry(Failure::Token, None), (403, None));
    }
}
