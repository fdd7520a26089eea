//! The JSON formats of the vendor and of the hub: parsing and serialization. This module opens no
//! connection.

pub mod aggregates;
pub mod instrument_snapshot;
pub mod market_status;
pub mod quotes;
pub mod snapshot;
pub(crate) mod trade_conditions;
pub mod websocket;

use serde::de::{Deserialize, DeserializeOwned, Deserializer};
use serde_json::Value;

/// Reads a flag of a response body. Every JSON value except `true` counts as false.
pub(crate) fn flag<'de, D: Deserializer<'de>>(json: D) -> Result<bool, D::Error> {
    Ok(Value::deserialize(json)? == true)
}

/// Reads the rows of a response body. A row that cannot be read does not affect the other rows.
pub(crate) fn rows<T: DeserializeOwned>(
    rows: impl IntoIterator<Item = Value>,
) -> impl Iterator<Item = T> {
    rows.into_iter().filter_map(|row| {
        T::deserialize(row)
            .inspect_err(|error| log::debug!("cannot parse a row of a response: {error}"))
            .ok()
    })
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
