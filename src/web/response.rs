//! The answers of the web page. This module never decides who may read them.

use http_body_util::Full;
use hyper::body::Bytes;
use hyper::header::{CONTENT_TYPE, HeaderValue};
use hyper::{Response, StatusCode};

/// The type of an answer.
pub(super) type Answer = Response<Full<Bytes>>;

const JSON: &str = "application/json";

/// Returns a value as JSON.
pub(super) fn json(value: &impl serde::Serialize) -> Answer {
    match serde_json::to_vec(value) {
        Ok(text) => body(JSON, text.into()),
        Err(error) => refuse(StatusCode::INTERNAL_SERVER_ERROR, &error.to_string()),
    }
}

/// Returns a body of this media type.
pub(super) fn body(kind: &'static str, bytes: Bytes) -> Answer {
    let mut answer = Response::new(Full::new(bytes));
    answer
        .headers_mut()
        .insert(CONTENT_TYPE, HeaderValue::from_static(kind));
    answer
}

/// Returns an answer without content but its reason.
pub(super) fn refuse(status: StatusCode, reason: &str) -> Answer {
    let mut answer = body("text/plain; charset=utf-8", format!("{reason}\n").into());
    *answer.status_mut() = status;
    answer
}
