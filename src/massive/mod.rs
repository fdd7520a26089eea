//! The JSON formats of the vendor and of the hub: parsing and serialization. This module opens no
//! connection.

pub mod aggregates;
pub mod display_report;
pub mod instrument_snapshot;
pub mod market_status;
pub mod quotes;
pub mod snapshot;
pub(crate) mod trade_conditions;
pub mod websocket;

use std::time::Duration;

use serde::de::{Deserialize, DeserializeOwned, Deserializer};
use serde_json::Value;

use crate::market::Ticker;

/// Reads a flag of a response body. Every JSON value except `true` counts as false.
pub(crate) fn flag<'de, D: Deserializer<'de>>(json: D) -> Result<bool, D::Error> {
    Ok(Value::deserialize(json)? == true)
}

/// The largest age, in seconds. A larger age is reduced to this value, so that a sum of ages cannot
/// overflow.
const AGE_LIMIT: f64 = 1e9;

/// Returns the age that a hub reports in the field `age` of a row or a body, in seconds. A row that
/// is marked as stale without a valid age has an unknown age, and counts as very old.
pub(crate) fn age(age: &Value, stale: bool) -> Duration {
    let unknown = if stale { AGE_LIMIT } else { 0.0 };
    let valid = age.as_f64().filter(|age| *age >= 0.0);
    Duration::from_secs_f64(valid.unwrap_or(unknown).min(AGE_LIMIT))
}

/// Parses a response body. JSON has no NaN and no infinity, but some programs write these words in
/// place of a number. Such a word makes only its own row unreadable.
pub(crate) fn body<T: DeserializeOwned>(body: &[u8]) -> Result<T, serde_json::Error> {
    serde_json::from_slice(body).or_else(|error| match without_words(body) {
        Some(readable) => serde_json::from_slice(&readable),
        None => Err(error),
    })
}

/// Puts each NaN and each infinity outside a string in quotes, so that the body is valid JSON. The
/// field with such a string cannot be read as a number. Returns `None` if the body contains none of
/// these words.
fn without_words(body: &[u8]) -> Option<Vec<u8>> {
    let mut readable = Vec::with_capacity(body.len());
    let (mut found, mut quoted, mut at) = (false, false, 0);
    while let Some(&byte) = body.get(at) {
        let rest = &body[at..];
        let word = ["NaN", "Infinity", "-Infinity"]
            .into_iter()
            .find(|word| !quoted && rest.starts_with(word.as_bytes()));
        if let Some(word) = word {
            readable.extend(format!("{word:?}").into_bytes());
            (found, at) = (true, at + word.len());
            continue;
        }
        let escaped = quoted && byte == b'\\';
        let length = if escaped { rest.len().min(2) } else { 1 };
        quoted ^= byte == b'"';
        readable.extend(&rest[..length]);
        at += length;
    }
    found.then_some(readable)
}

/// Reads the rows of a response body. A row that cannot be read does not affect the other rows: the
/// function `unreadable` receives this row and the error.
pub(crate) fn rows<T: DeserializeOwned>(
    rows: impl IntoIterator<Item = Value>,
    mut unreadable: impl FnMut(&Value, &serde_json::Error),
) -> impl Iterator<Item = T> {
    rows.into_iter()
        .filter_map(move |row| match T::deserialize(&row) {
            Ok(read) => Some(read),
            Err(error) => {
                log::debug!("cannot parse a row of a response: {error}");
                unreadable(&row, &error);
                None
            }
        })
}

/// The tickers whose rows cannot be read, each with the error.
pub type UnreadableRows = Vec<(Ticker, String)>;

/// Adds the entries of `now` to `known`, in place of the old entries of the requested tickers.
/// Returns the entries that were not in `known` before.
pub(crate) fn news(
    known: &mut Vec<(Ticker, String)>,
    now: Vec<(Ticker, String)>,
    requested: impl Fn(&Ticker) -> bool,
) -> Vec<(Ticker, String)> {
    let news = now.iter().filter(|said| !known.contains(said));
    let news = news.cloned().collect();
    known.retain(|(ticker, _)| !requested(ticker));
    known.extend(now);
    news
}

/// Formats a server message for one log line: at most 200 characters, and a space in place of each
/// control character.
pub(crate) fn printable(message: &str) -> String {
    message
        .chars()
        .take(200)
        .map(|c| if c.is_control() { ' ' } else { c })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_in_place_of_numbers_are_replaced_only_outside_strings() {
        let read = |text: &str| body::<Value>(text.as_bytes()).map(|value| value.to_string());
        let all = r#"{"a":NaN,"b":[-Infinity,Infinity],"c":"NaN \" NaN","d":"\\","e":NaN}"#;
        let expected =
            r#"{"a":"NaN","b":["-Infinity","Infinity"],"c":"NaN \" NaN","d":"\\","e":"NaN"}"#;
        assert_eq!(read(all).unwrap(), expected);
        for broken in [
            r#"{"a":NaM}"#,
            r#"{"a":"NaN}"#,
            r#"{"a":"NaN\\"#,
            "",
            "NaN NaN",
        ] {
            assert!(read(broken).is_err(), "{broken}");
        }
    }
}
