//! The query of a REST request. A parameter that the hub does not know is an error, because a
//! response to another question would look like the right response. Pure: this module does no I/O.

use std::borrow::Cow;
use std::str::FromStr;

use hyper::StatusCode;
use percent_encoding::percent_decode_str;

/// The reason why the hub refuses a question, for the client.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Refusal {
    pub(crate) status: StatusCode,
    /// The kind of the error, as a fixed text that the log may contain.
    pub(crate) reason: &'static str,
    /// The details for the client. They may repeat text of the client.
    pub(crate) detail: Cow<'static, str>,
}

impl Refusal {
    /// The question is invalid (HTTP status 400).
    pub(crate) fn invalid(detail: impl Into<Cow<'static, str>>) -> Self {
        Self {
            status: StatusCode::BAD_REQUEST,
            reason: "an invalid question",
            detail: detail.into(),
        }
    }

    /// The hub does not serve this kind of question (HTTP status 404).
    pub(crate) fn not_served(detail: impl Into<Cow<'static, str>>) -> Self {
        Self {
            status: StatusCode::NOT_FOUND,
            reason: "not served by this hub",
            detail: detail.into(),
        }
    }
}

/// The parameters that contain the token of the client. The authentication has read them.
pub(crate) const TOKENS: [&str; 2] = ["token", "apiKey"];

/// The parameters of a query, percent-decoded.
#[derive(Debug)]
pub(crate) struct Query(Vec<(String, String)>);

impl Query {
    /// Parses a query that may contain only these parameters, each at most once.
    ///
    /// # Errors
    /// The query contains another parameter, or the same parameter twice.
    pub(crate) fn parse(query: Option<&str>, known: &[&str]) -> Result<Self, Refusal> {
        let decode = |text: &str| {
            let bytes: Vec<u8> = percent_decode_str(text).collect();
            String::from_utf8_lossy(&bytes).into_owned()
        };
        let mut pairs: Vec<(String, String)> = Vec::new();
        for part in query.unwrap_or_default().split('&') {
            let (name, value) = part.split_once('=').unwrap_or((part, ""));
            let name = decode(name);
            if name.is_empty() && value.is_empty() || TOKENS.contains(&&*name) {
                continue;
            }
            if !known.contains(&&*name) {
                let name: String = name.chars().take(40).collect();
                let known = match known {
                    [] => "none".to_owned(),
                    known => known.join(", "),
                };
                let detail = format!(
                    "the hub does not know the parameter {name:?} of this request; the known \
                     parameters are: {known}"
                );
                return Err(Refusal::invalid(detail));
            }
            if pairs.iter().any(|(other, _)| *other == name) {
                return Err(Refusal::invalid(format!(
                    "the parameter {name} occurs twice"
                )));
            }
            pairs.push((name, decode(value)));
        }
        Ok(Self(pairs))
    }

    /// Returns the value of a parameter.
    pub(crate) fn get(&self, name: &str) -> Option<&str> {
        let mut pairs = self.0.iter();
        let (_, value) = pairs.find(|(other, _)| other == name)?;
        Some(value)
    }

    /// Returns the value of a parameter that is a whole number from 1 to `most`.
    ///
    /// # Errors
    /// The value is not such a number.
    pub(crate) fn number(&self, name: &str, most: usize) -> Result<Option<usize>, Refusal> {
        let Some(value) = self.get(name) else {
            return Ok(None);
        };
        match usize::from_str(value) {
            Ok(number) if (1..=most).contains(&number) => Ok(Some(number)),
            _ => Err(Refusal::invalid(format!(
                "{name} is a whole number from 1 to {most}"
            ))),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_unknown_a_repeated_and_an_invalid_parameter_are_errors() {
        let parse = |query: &str| Query::parse(Some(query), &["ticker.any_of", "limit"]);
        let query = parse("ticker.any_of=I%3ASPX,VIX&limit=10&apiKey=x&token=y&").unwrap();
        assert_eq!(query.get("ticker.any_of"), Some("I:SPX,VIX"));
        assert_eq!(query.number("limit", 10), Ok(Some(10)));
        assert!(query.number("limit", 9).is_err());
        for (wrong, words) in [
            ("limit=1&order=asc", "\"order\""),
            ("limit=1&limit=2", "twice"),
            ("LIMIT=1", "the known parameters are: ticker.any_of, limit"),
            ("=1", "does not know"),
        ] {
            let refusal = parse(wrong).unwrap_err();
            assert_eq!(refusal.status, StatusCode::BAD_REQUEST);
            assert!(refusal.detail.contains(words), "{refusal:?}");
        }
        let none = Query::parse(Some("limit=0"), &["limit"]).unwrap();
        assert!(none.number("limit", 9).is_err());
        assert_eq!(Query::parse(None, &[]).unwrap().get("limit"), None);
    }
}
