//! The one-minute bars of a session: the request path and the response body of the vendor, which a
//! hub and the simulator serve too. Pure: this module does no I/O.

use std::fmt::Display;
use std::time::Duration;

use jiff::ToSpan;
use jiff::civil::Date;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Number, Value, json};

use super::snapshot::price;
use super::websocket;
use crate::market::{Bar, Symbol, new_york_midnight};
use crate::time::Utc;

/// The length of a bar, in milliseconds.
pub(crate) const MINUTE: i64 = 60_000;

/// The start of the request path. The ticker follows.
const PATH: &str = "/v2/aggs/ticker/";

/// A bar and its trades. An index has no trades.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct TradedBar {
    pub(crate) bar: Bar,
    /// The volume in shares or contracts; `None` if the volume is unknown.
    pub(crate) volume: Option<f64>,
    /// The volume-weighted average price; `None` if the price is unknown.
    pub(crate) average: Option<f64>,
    /// The number of trades; `None` if the number is unknown. A streamed bar has no such number.
    pub(crate) trades: Option<f64>,
}

/// The content of a response.
#[derive(Debug, PartialEq)]
pub(crate) struct Aggregates {
    /// `OK` or `DELAYED` in a valid response of the vendor.
    pub(crate) status: Option<String>,
    pub(crate) bars: Vec<TradedBar>,
    pub(crate) provenance: Provenance,
}

/// The origin of a response. Only a hub sends `age`, `stale` and `delayed`; only a hub or a
/// simulator sends `simulated`.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) struct Provenance {
    /// The age of the vendor's response.
    pub(crate) age: Duration,
    /// True if the newest bars can be missing, because the vendor did not provide them.
    pub(crate) stale: bool,
    pub(crate) simulated: bool,
    pub(crate) delayed: bool,
}

impl Provenance {
    /// Adds these properties to a response body.
    pub(crate) fn write(self, body: &mut Map<String, Value>) {
        body.insert("age".into(), (self.age.as_millis() as f64 / 1e3).into());
        body.insert("stale".into(), self.stale.into());
        body.insert("simulated".into(), self.simulated.into());
        body.insert("delayed".into(), self.delayed.into());
        if self.delayed {
            body.insert("status".into(), "DELAYED".into());
        }
    }
}

/// A response body that another program has written.
#[derive(Deserialize)]
struct AggregatesBody {
    ticker: Option<String>,
    status: Option<String>,
    /// This field is absent if there were no trades.
    results: Option<Vec<Value>>,
    #[serde(default)]
    age: Value,
    #[serde(default, deserialize_with = "super::flag")]
    stale: bool,
    #[serde(default, deserialize_with = "super::flag")]
    simulated: bool,
    #[serde(default, deserialize_with = "super::flag")]
    delayed: bool,
}

/// One bar of the body. `t` is the start of the bar: a Unix timestamp in milliseconds.
#[derive(Deserialize, Serialize)]
struct AggregateRow {
    t: Number,
    o: f64,
    h: f64,
    l: f64,
    c: f64,
    #[serde(skip_serializing_if = "Option::is_none")]
    v: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    vw: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    n: Option<f64>,
}

impl AggregateRow {
    /// Converts the row to a bar. Returns `None` if the bar is not valid for this symbol.
    fn bar(&self, symbol: &Symbol) -> Option<TradedBar> {
        let price = |number| price(number, symbol.may_be_negative());
        let start = websocket::stamp(self.t.as_f64())?;
        let bar = Bar {
            open: price(self.o)?,
            high: price(self.h)?,
            low: price(self.l)?,
            close: price(self.c)?,
            start,
            end: Utc(start.0 + MINUTE),
        };
        Some(TradedBar {
            bar: bar.checked()?,
            volume: self.v.filter(|volume| *volume >= 0.0),
            average: self.vw.filter(|average| *average > 0.0),
            trades: self.n.filter(|trades| *trades >= 0.0),
        })
    }
}

impl From<&TradedBar> for AggregateRow {
    fn from(traded: &TradedBar) -> Self {
        let bar = &traded.bar;
        Self {
            t: bar.start.0.into(),
            o: bar.open.as_f64(),
            h: bar.high.as_f64(),
            l: bar.low.as_f64(),
            c: bar.close.as_f64(),
            v: traded.volume,
            vw: traded.average,
            n: traded.trades,
        }
    }
}

/// Returns the request path. A time is a number of milliseconds since the Unix epoch, or a day in
/// New York (YYYY-MM-DD).
pub(crate) fn path(ticker: &str, from: impl Display, to: impl Display) -> String {
    // Without a limit the vendor returns five days of an index, and fewer days of a share.
    let range = range(ticker, from, to);
    format!("{range}?adjusted=true&sort=asc&limit=50000")
}

/// Returns the request path without its query.
pub(crate) fn range(ticker: &str, from: impl Display, to: impl Display) -> String {
    format!("{PATH}{ticker}/range/1/minute/{from}/{to}")
}

/// Returns the ticker and both times of a request path without its query. Returns `None` if the
/// path does not request one-minute bars.
pub(crate) fn request(path: &str) -> Option<[&str; 3]> {
    let parts: Vec<&str> = path.strip_prefix(PATH)?.split('/').collect();
    match parts[..] {
        [ticker, "range", "1", "minute", from, to] => Some([ticker, from, to]),
        _ => None,
    }
}

/// Returns the request path for the bar of the previous day.
pub(crate) fn previous_path(ticker: &str) -> String {
    format!("{PATH}{ticker}/prev")
}

/// Returns the ticker of a request path for the bar of the previous day.
pub(crate) fn previous(path: &str) -> Option<&str> {
    let ticker = path.strip_prefix(PATH)?.strip_suffix("/prev")?;
    (!ticker.contains('/')).then_some(ticker)
}

/// Returns the first and the last millisecond of a time in a request path.
pub(crate) fn time(text: &str) -> Option<(i64, i64)> {
    if let Ok(millis) = text.parse::<i64>() {
        // A number of another length has another unit, for example seconds or nanoseconds.
        return (1_000_000_000_000..10_000_000_000_000)
            .contains(&millis)
            .then_some((millis, millis));
    }
    let day: Date = text.parse().ok()?;
    let next = day.checked_add(1.day()).ok()?;
    Some((new_york_midnight(day)?.0, new_york_midnight(next)?.0 - 1))
}

/// Reads a response for this symbol. Bars that cannot be read are skipped. Returns `None` if the
/// body is not a response for this symbol.
pub(crate) fn read(body: &[u8], symbol: &Symbol) -> Option<Aggregates> {
    let body: AggregatesBody = super::body(body)
        .inspect_err(|error| log::debug!("cannot parse the minute bars: {error}"))
        .ok()?;
    let rows = super::rows::<AggregateRow>(body.results.into_iter().flatten(), |_, _| ());
    let is_for_symbol = body.ticker.is_none_or(|ticker| ticker == symbol.ticker());
    is_for_symbol.then(|| Aggregates {
        provenance: Provenance {
            age: super::age(&body.age, body.stale),
            stale: body.stale,
            simulated: body.simulated,
            delayed: body.delayed || body.status.as_deref() == Some("DELAYED"),
        },
        status: body.status,
        bars: rows.filter_map(|row| row.bar(symbol)).collect(),
    })
}

/// Returns the response body that contains these bars, in the form of the vendor.
pub(crate) fn body(ticker: &str, bars: &[TradedBar]) -> Map<String, Value> {
    let rows: Vec<AggregateRow> = bars.iter().map(AggregateRow::from).collect();
    let body = json!({
        "ticker": ticker,
        "status": "OK",
        "adjusted": true,
        "queryCount": bars.len(),
        "resultsCount": bars.len(),
        "count": bars.len(),
        "results": rows,
    });
    match body {
        Value::Object(body) => body,
        _ => Map::new(),
    }
}

/// Reads the bars of a response for this symbol, in order, from `from` to `to`. Invalid bars and
/// bars outside this span are skipped. The boolean is true if the response reports simulated
/// prices. Returns `None` if the body is not a response for this symbol.
pub fn bars(body: &[u8], symbol: &Symbol, from: Utc, to: Utc) -> Option<(Box<[Bar]>, bool)> {
    let answer = read(body, symbol)?;
    let mut last = from.0 - 1;
    let bars = answer.bars.into_iter().map(|traded| traded.bar);
    let bars = bars.filter(|bar| {
        let fits = bar.start.0 > last && bar.start <= to;
        if fits {
            last = bar.start.0;
        }
        fits
    });
    Some((bars.collect(), answer.provenance.simulated))
}

#[cfg(test)]
mod tests {
    use super::*;

    const OPEN: Utc = Utc(1_795_444_200_000);
    const NOON: Utc = Utc(1_795_453_200_000);

    fn closes(body: &str) -> Option<Vec<(i64, f64)>> {
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
        assert_eq!(closes(&answer(&rows)), None);
        let rows: Vec<String> = rows
            .iter()
            .map(|row| row.replace("1e999", "1e99"))
            .collect();
        assert_eq!(closes(&answer(&rows)), Some(expected.to_vec()));
    }

    #[test]
    fn an_empty_response_is_valid_and_a_response_for_another_ticker_is_refused() {
        assert_eq!(closes(r#"{"status":"OK"}"#), Some(vec![]));
        assert_eq!(closes(r#"{"results":null}"#), Some(vec![]));
        assert_eq!(closes(r#"{"results":[]}"#), Some(vec![]));
        let other = answer(&[row(0, "1 1 1 1")]).replace("I:SPX", "I:NDX");
        assert_eq!(closes(&other), None);
        assert_eq!(closes("<html>"), None);
    }

    #[test]
    fn a_bar_has_its_volume_and_the_body_can_be_read_back() {
        let body = br#"{"status":"DELAYED","results":[{"t":1795444200000,"o":2,"h":3,"l":1,"c":2.5,"v":7},
            {"t":1795444260000,"o":2,"h":3,"l":1,"c":2,"v":8,"vw":2.25,"n":9},
            {"t":1795444260000,"o":2,"h":1,"l":3,"c":2}, null, {"t":"now"}, {"t":0,"o":1,"h":1,"l":1,"c":1},
            {"t":1795444320000,"o":0,"h":0,"l":0,"c":0}]}"#;
        let spy = "SPY".parse().unwrap();
        let answer = read(body, &spy).unwrap();
        assert_eq!((answer.bars.len(), answer.provenance.simulated), (2, false));
        assert_eq!(answer.bars[0].volume, Some(7.0));
        assert!(answer.provenance.delayed);
        let bars = answer.bars[..1].to_vec();
        let written = super::body("SPY", &bars);
        assert_eq!(
            Value::Object(written),
            json!({
                "ticker": "SPY", "status": "OK", "adjusted": true, "queryCount": 1,
                "resultsCount": 1, "count": 1,
                "results": [{"t": 1795444200000_i64, "o": 2.0, "h": 3.0, "l": 1.0, "c": 2.5, "v": 7.0}],
            })
        );
        let written = Value::Object(super::body("SPY", &answer.bars)).to_string();
        let again = read(written.as_bytes(), &spy).unwrap();
        assert_eq!(again.bars, answer.bars);
        let average_and_trades = (again.bars[1].average, again.bars[1].trades);
        assert_eq!(average_and_trades, (Some(2.25), Some(9.0)));
    }

    #[test]
    fn simulated_minutes_are_marked_as_simulated() {
        let simulated = |more: &str| {
            let body = answer(&[row(0, "1 1 1 1")]).replacen('{', &format!("{{{more}"), 1);
            let answer = bars(body.as_bytes(), &"SPX".parse().unwrap(), OPEN, NOON);
            let (bars, simulated) = answer.unwrap();
            assert_eq!(bars.len(), 1);
            simulated
        };
        assert!(simulated(r#""simulated":true,"#));
        for real in ["", r#""simulated":false,"#, r#""simulated":null,"#] {
            assert!(!simulated(real), "{real}");
        }
    }
}
