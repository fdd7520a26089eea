//! The parts of an HTTP response: the status, the JSON body and the reason for a refusal. This
//! module never decides about a request.

use http_body_util::Full;
use hyper::body::Bytes;
use hyper::header::{
    ACCESS_CONTROL_ALLOW_HEADERS, ACCESS_CONTROL_ALLOW_METHODS, ACCESS_CONTROL_ALLOW_ORIGIN,
    ACCESS_CONTROL_EXPOSE_HEADERS, ACCESS_CONTROL_MAX_AGE, CACHE_CONTROL, CONTENT_TYPE, HeaderName,
    RETRY_AFTER, VARY,
};
use hyper::http::HeaderValue;
use hyper::{Response, StatusCode};
use serde_json::json;

use crate::hub::rest::cache::QuotesError;
use crate::hub::rest::query::Refusal;

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
    let status = error.status.map_or(0, |status| status.as_u16());
    let (code, word, message) = match status {
        // The vendor refuses this question, which no retry changes.
        400 | 402 | 404..=428 | 430..=499 => (
            StatusCode::UNPROCESSABLE_ENTITY,
            "the vendor refuses this question",
            format!("the vendor has answered with HTTP status {status}"),
        ),
        _ if error.reason.refuses() => (
            StatusCode::FORBIDDEN,
            "not authorized by the vendor",
            error.reason.to_string(),
        ),
        _ => (
            StatusCode::BAD_GATEWAY,
            "no answer from the vendor",
            error.reason.to_string(),
        ),
    };
    let body = json!({ "status": "ERROR", "error": word, "message": message });
    let answer = json_text(code, body.to_string());
    match error
        .retry_after
        .filter(|_| code != StatusCode::UNPROCESSABLE_ENTITY)
    {
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
    Err(refused(status, message, message, headers))
}

/// Returns the response to an invalid question.
pub(crate) fn refuse_question(refusal: Refusal) -> RefusedResponse {
    let Refusal {
        status,
        reason,
        detail,
    } = refusal;
    refused(status, reason, &detail, &[])
}

/// Returns a refusal. `reason` is for the log, and `message` is for the client.
fn refused(
    status: StatusCode,
    reason: &'static str,
    message: &str,
    headers: &[(HeaderName, &str)],
) -> RefusedResponse {
    // The vendor's clients expect `status`.
    let body = json!({ "status": "ERROR", "error": message });
    let mut answer = json_text(status, body.to_string());
    answer.extensions_mut().insert(RefusalReason(reason));
    for (name, value) in headers {
        answer = with(answer, name.clone(), value);
    }
    Box::new(answer)
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

/// Permits a web page of this origin to read the response.
pub(crate) fn allow_origin(answer: HttpResponse, origin: &str) -> HttpResponse {
    let answer = with(answer, ACCESS_CONTROL_ALLOW_ORIGIN, origin);
    let answer = with(answer, ACCESS_CONTROL_EXPOSE_HEADERS, "Retry-After");
    with(answer, VARY, "Origin")
}

/// Returns the permission for a web page to send a request with one of these methods and with a
/// token in a header.
pub(crate) fn preflight(methods: &str) -> HttpResponse {
    let mut answer = Response::new(Full::default());
    *answer.status_mut() = StatusCode::NO_CONTENT;
    let answer = with(answer, ACCESS_CONTROL_ALLOW_METHODS, methods);
    let headers = "Authorization, X-Massive-Proxy-Token";
    let answer = with(answer, ACCESS_CONTROL_ALLOW_HEADERS, headers);
    with(answer, ACCESS_CONTROL_MAX_AGE, "600")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::net::failure::Failure;

    #[test]
    fn a_vendor_refusal_is_status_403_and_a_vendor_failure_is_502() {
        let status_and_retry = |reason, retry_after| {
            let answer = from_vendor(Err(QuotesError {
                retry_after,
                ..QuotesError::from(reason)
            }));
            let retry = answer.headers().get(RETRY_AFTER).cloned();
            (answer.status().as_u16(), retry)
        };
        let nine = Some(HeaderValue::from_static("9"));
        assert_eq!(status_and_retry(Failure::Busy, Some(9)), (502, nine));
        assert_eq!(status_and_retry(Failure::Timeout, None), (502, None));
        assert_eq!(status_and_retry(Failure::Key, None), (403, None));
        assert_eq!(status_and_retry(Failure::Token, None), (403, None));
        let refused = from_vendor(Err(QuotesError {
            status: Some(StatusCode::NOT_FOUND),
            ..QuotesError::from(Failure::Path)
        }));
        assert_eq!(refused.status(), StatusCode::UNPROCESSABLE_ENTITY);
    }
}
