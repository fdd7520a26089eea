//! The JSON formats of the vendor and of the hub: parsing and serialization. This module opens no
//! connection.

pub mod aggregates;
pub mod instrument_snapshot;
pub mod market_status;
pub mod quotes;
pub mod snapshot;
pub(crate) mod trade_conditions;
pub mod websocket;

/// Formats a server message for one log line: at most 200 characters, and a space in place of each
/// control character.
pub(crate) fn printable(message: &str) -> String {
    message
        .chars()
        .take(200)
        .map(|c| if c.is_control() { ' ' } else { c })
        .collect()
}
