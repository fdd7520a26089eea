//! What answers are made of: a status, our own words as JSON, and why somebody was refused. Decides
//! nothing.

use http_body_util::Full;
use hyper::body::Bytes;
use hyper::header::{CACHE_CONTROL, CONTENT_TYPE, HeaderName, RETRY_AFTER};
use hyper::http::HeaderValue;
use hyper::{Response, StatusCode};
use serde_json::json;

use super::quotes::QuotesError;

pub(super) type Answer = Response<Full<Bytes>>;

/// Why somebody was refused, in our own words.
#[derive(Clone, Copy)]
pub(super) struct Reason(pub(super) &'static str);

/// An answer that lets nobody in. Boxed, for it is the rare end of every path.
pub(super) type Refusal = Box<Answer>;

/// What a caller is told if the vendor gives no answer. 403 if it has refused the key or the plan.
pub(super) fn failed(error: &QuotesError) -> Answer {
    let (status, word) = if error.why.refuses() {
        (StatusCode::FORBIDDEN, "not authorized by the vendor")
    } else {
        (StatusCode::BAD_GATEWAY, "no answer from the vendor")
    };
    let body = json!({ "error": word, "message": error.why.to_string() });
    let answer = json_text(status, body.to_string());
    match error.retry_after {
        Some(seconds) => with(answer, RETRY_AFTER, &seconds.to_string()),
        None => answer,
    }
}

pub(super) fn refuse(
    status: StatusCode,
    message: &'static str,
    headers: &[(HeaderName, &str)],
) -> Refusal {
    let body = json!({ "error": message });
    let mut answer = json_text(status, body.to_string());
    answer.extensions_mut().insert(Reason(message));
    for (name, value) in headers {
        answer = with(answer, name.clone(), value);
    }
    Box::new(answer)
}

pub(super) fn json_text(status: StatusCode, body: String) -> Answer {
    let mut answer = Response::new(Full::from(body));
    *answer.status_mut() = status;
    let answer = with(answer, CONTENT_TYPE, "application/json");
    with(answer, CACHE_CONTROL, "no-store")
}

pub(super) fn with(mut answer: Answer, name: HeaderName, value: &str) -> Answer {
    // Every value here is made of our own words and numbers; one that is not is left out.
    if let Ok(value) = HeaderValue::from_str(value) {
        answer.headers_mut().insert(name, value);
    }
    answer
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::feed::Why;

    #[test]
    fn what_the_vendor_refuses_is_403_and_what_it_cannot_do_502() {
        let told = |why, retry_after| {
            let answer = failed(&QuotesError { why, retry_after });
            let retry = answer.headers().get(RETRY_AFTER).cloned();
            (answer.status().as_u16(), retry)
        };
        let nine = Some(HeaderValue::from_static("9"));
        assert_eq!(told(Why::Busy, Some(9)), (502, nine));
        assert_eq!(told(Why::Timeout, None), (502, None));
        assert_eq!(told(Why::Key, None), (403, None));
        assert_eq!(told(Why::Token, None), (403, None));
    }
}
