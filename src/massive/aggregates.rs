//! The one-minute bars of a session: the request path and the response body. Pure: this module does
//! no I/O.

use serde::Deserialize;
use serde_json::Value;

use super::quotes::LenientRow;
use super::snapshot::price;
use super::websocket;
use crate::market::{Bar, Symbol};
use crate::time::Utc;

/// The length of a bar, in milliseconds.
const MINUTE: i64 = 60_000;

#[derive(Deserialize)]
struct AggregatesReply {
    ticker: Option<String>,
    /// This field is absent if there were no trades.
    results: Option<Vec<LenientRow<AggregateFields>>>,
    #[serde(default)]
    simulated: Value,
}

#[derive(Deserialize)]
struct AggregateFields {
    t: f64,
    o: f64,
    h: f64,
    l: f64,
    c: f64,
}

/// Reads the bars of a response for this symbol, in order, from `from` to `to`. Invalid bars and
/// bars outside this span are skipped. The boolean is true if the response reports simulated
/// prices. Returns `None` if the body is not a response for this symbol.
pub fn bars(body: &[u8], symbol: &Symbol, from: Utc, to: Utc) -> Option<(Box<[Bar]>, bool)> {
    let answer: AggregatesReply = serde_json::from_slice(body)
        .inspect_err(|error| log::debug!("cannot parse the minute bars: {error}"))
        .ok()?;
    if answer
        .ticker
        .is_some_and(|ticker| ticker != symbol.ticker())
    {
        return None;
    }
    let simulated = answer.simulated == Value::Bool(true);
    let mut last = from.0 - 1;
    let rows = answer.results.unwrap_or_default();
    let bars = rows.iter().filter_map(LenientRow::good);
    let bars = bars.filter_map(|row| minute(row.t, [row.o, row.h, row.l, row.c], symbol));
    let bars = bars.filter(|bar| {
        let fits = bar.start.0 > last && bar.start <= to;
        if fits {
            last = bar.start.0;
        }
        fits
    });
    Some((bars.collect(), simulated))
}

/// Builds the bar of one row from the start of the minute (a Unix timestamp in any unit) and the
/// open, high, low and close prices. Returns `None` if the bar is not valid for this symbol.
pub(crate) fn minute(
    start: f64,
    [open, high, low, close]: [f64; 4],
    symbol: &Symbol,
) -> Option<Bar> {
    let price = |number| price(number, symbol.may_be_negative());
    let start = websocket::stamp(Some(start))?;
    let bar = Bar {
        open: price(open)?,
        high: price(high)?,
        low: price(low)?,
        close: price(close)?,
        start,
        end: Utc(start.0 + MINUTE),
    };
    bar.checked()
}

#[cfg(test)]
mod tests {
    use super::*;

    const OPEN: Utc = Utc(1_795_444_200_000);
    const NOON: Utc = Utc(1_795_453_200_000);

    fn read(body: &str) -> Option<Vec<(i64, f64)>> {
        let (bars, _) = bars(body.as_bytes(), &"SPX".parse().unwrap(), OPEN, NOON)?;
        let start_and_close = |bar: &Bar| {
            assert_eq!(bar.end.0 - bar.start.0, 60_000);
            (bar.start.0 - OPEN.0, bar.close.as_f64())
        };
        Some(bars.iter().map(start_and_close).collect())
    }

    fn row(minute: i64, prices: &str) -> String {
        let [o, h, l, c]: [&str; 4] = prices.split(' ').collect::<Vec<_>>().try_into().unwrap();
        let t = OPEN.0 + minute * MINUTE;
        format!(r#"{{"t":{t},"o":{o},"h":{h},"l":{l},"c":{c},"v":1.5,"vw":2,"n":3}}"#)
    }

    fn answer(rows: &[String]) -> String {
        let rows = rows.join(",");
        format!(r#"{{"ticker":"I:SPX","status":"OK","resultsCount":1,"results":[{rows}]}}"#)
    }

    #[test]
    fn an_invalid_minute_does_not_affect_the_other_minutes() {
        let rows = [
            row(0, "5900 5901.5 5899 5.9e3"),
            row(1, "5900 5901 5899 5902"),
            row(2, "5900 5901 5899 0"),
            row(3, "5900 5901 5899 null"),
            row(4, "5900 5899 5901 5900"),
            row(5, "5900 5901 5899 -5900"),
            row(6, "5900 1e999 5899 5900"),
            "null".into(),
            "{}".into(),
            row(7, "5900 5901 5899 5900.25"),
            // The first four of these rows are skipped: a duplicate, an earlier minute, a minute
            // before the start of the span and a minute after its end.
            row(7, "5900 5901 5899 5899"),
            row(4, "5900 5901 5899 5899"),
            row(-1, "5900 5901 5899 5899"),
            row(151, "5900 5901 5899 5899"),
            row(150, "5900 5901 5899 5899"),
        ];
        let expected = [(0, 5900.0), (7 * MINUTE, 5900.25), (150 * MINUTE, 5899.0)];
        // The parser rejects the whole response because `1e999` is out of range. A real server does
        // not send such a number.
        assert_eq!(read(&answer(&rows)), None);
        let rows: Vec<String> = rows
            .iter()
            .map(|row| row.replace("1e999", "1e99"))
            .collect();
        assert_eq!(read(&answer(&rows)), Some(expected.to_vec()));
    }

    #[test]
    fn an_empty_response_is_valid_and_a_response_for_another_ticker_is_refused() {
        assert_eq!(read(r#"{"status":"OK"}"#), Some(vec![]));
        assert_eq!(read(r#"{"results":null}"#), Some(vec![]));
        assert_eq!(read(r#"{"results":[]}"#), Some(vec![]));
        let other = answer(&[row(0, "1 1 1 1")]).replace("I:SPX", "I:NDX");
        assert_eq!(read(&other), None);
        assert_eq!(read("<html>"), None);
    }

    #[test]
    fn simulated_minutes_are_marked_as_simulated() {
        let simulated = |more: &str| {
            let body = answer(&[row(0, "1 1 1 1")]).replacen('{', &format!("{{{more}"), 1);
            let read = bars(body.as_bytes(), &"SPX".parse().unwrap(), OPEN, NOON);
            let (bars, simulated) = read.unwrap();
            assert_eq!(bars.len(), 1);
            simulated
        };
        assert!(simulated(r#""simulated":true,"#));
        for real in ["", r#""simulated":false,"#, r#""simulated":null,"#] {
            assert!(!simulated(real), "{real}");
        }
    }
}
