//! Reads the state of each market from the vendor's response or from a hub's copy of the response.
//! Pure: this module does no I/O.

use jiff::Timestamp;
use serde_json::Value;

use crate::market::{MarketState, MarketStatus};
use crate::time::Utc;

/// Reads a market status response. The boolean is true if the markets are simulated. Returns `None`
/// if the response has no time or no known market state. The time is required, because a hub may
/// repeat an old response.
pub fn status(body: &[u8]) -> Option<(MarketStatus, bool)> {
    let body: Value = super::body(body).ok()?;
    let time: Timestamp = body["serverTime"].as_str()?.parse().ok()?;
    let indices = &body["indicesGroups"];
    let shares = state(&body["exchanges"]["nyse"]);
    let status = MarketStatus {
        groups: [
            shares.or_else(|| state(&body["market"])),
            state(&indices["s_and_p"]),
            state(&indices["cgi"]),
            state(&indices["nasdaq"]),
            state(&indices["dow_jones"]),
        ],
        as_of: Utc(time.as_millisecond()),
    };
    let said = status.groups.iter().any(Option::is_some);
    said.then_some((status, body["simulated"] == true))
}

fn state(word: &Value) -> Option<MarketState> {
    match word.as_str()? {
        "open" => Some(MarketState::Open),
        "extended-hours" => Some(MarketState::Extended),
        "closed" => Some(MarketState::Closed),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_market_has_its_own_state_and_the_time_comes_from_the_response() {
        let body = br#"{"market":"extended-hours","serverTime":"2026-11-23T09:30:00-05:00",
            "exchanges":{"nasdaq":"open","nyse":"extended-hours"},"age":3,"stale":true,
            "indicesGroups":{"s_and_p":"closed","cgi":"open","nasdaq":"maybe","dow_jones":5}}"#;
        let expected = MarketStatus {
            groups: [
                Some(MarketState::Extended),
                Some(MarketState::Closed),
                Some(MarketState::Open),
                None,
                None,
            ],
            as_of: Utc(1_795_444_200_000),
        };
        assert_eq!(status(body), Some((expected, false)));
        let body = String::from_utf8_lossy(body).replace("\"stale\":", "\"simulated\":");
        assert_eq!(status(body.as_bytes()), Some((expected, true)));
    }

    #[test]
    fn index_groups_are_optional_and_the_market_state_applies_to_shares() {
        let body = br#"{"market":"closed","serverTime":"2026-11-23T14:30:00Z"}"#;
        let (status, simulated) = status(body).unwrap();
        assert!(!simulated);
        assert_eq!(
            status.groups,
            [Some(MarketState::Closed), None, None, None, None]
        );
    }

    #[test]
    fn a_body_without_a_time_or_a_market_is_no_status() {
        for body in [
            r#"{"market":"open"}"#,
            r#"{"market":"open","serverTime":null}"#,
            r#"{"market":"open","serverTime":"2026-11-23T14:30:00"}"#,
            r#"{"market":"open","serverTime":1795444200000}"#,
            r#"{"serverTime":"2026-11-23T14:30:00Z"}"#,
            r#"{"market":"ajar","serverTime":"2026-11-23T14:30:00Z"}"#,
            "[]",
            "null",
            "",
            "<html>",
        ] {
            assert_eq!(status(body.as_bytes()), None, "{body}");
        }
    }
}
