//! The vendor's format of one-minute bars: the request path, which the hub also serves, and the
//! response body. Pure: this module does no I/O.

use jiff::ToSpan;
use jiff::civil::Date;
use percent_encoding::percent_decode_str;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::bar_store::{BarRange, CachedBar, CachedBars, MINUTE, NEW_YORK, day};
use crate::market::{Symbol, Ticker};
use crate::massive::aggregates;
use crate::time::Now;

/// The longest span in one request, in milliseconds. Seven days always include the last session,
/// even after the longest weekend.
const LONGEST: i64 = 7 * 24 * 60 * MINUTE;

/// A request for one-minute bars.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct AggregatesRequest {
    symbol: Symbol,
    /// The start of the span, in milliseconds since the Unix epoch.
    from: i64,
    /// The last millisecond of the span.
    to: i64,
}

/// The reason why a request cannot be served, with a message for the client.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum InvalidRequest {
    /// The hub does not serve this kind of request.
    Unserved(&'static str),
    /// The values of the request are invalid.
    Senseless(&'static str),
}

/// Returns the start of a day in New York, in milliseconds since the Unix epoch.
fn midnight(day: Date) -> Option<i64> {
    let begins = day.to_zoned(NEW_YORK.clone()).ok()?;
    Some(begins.timestamp().as_millisecond())
}

/// Returns the first and the last millisecond of a time in a path. The text is a number of
/// milliseconds since the Unix epoch, or a day (YYYY-MM-DD).
fn time(text: &str) -> Option<(i64, i64)> {
    if let Ok(millis) = text.parse::<i64>() {
        // A number of another length has another unit, for example seconds or nanoseconds.
        return (1_000_000_000_000..10_000_000_000_000)
            .contains(&millis)
            .then_some((millis, millis));
    }
    let day: Date = text.parse().ok()?;
    let next = day.checked_add(1.day()).ok()?;
    Some((midnight(day)?, midnight(next)? - 1))
}

impl AggregatesRequest {
    /// Parses `/v2/aggs/ticker/{TICKER}/range/1/minute/{from}/{to}`.
    ///
    /// # Errors
    /// The path requests something else, or its values are invalid.
    pub(crate) fn parse(path: &str) -> Result<Self, InvalidRequest> {
        const ONLY: InvalidRequest = InvalidRequest::Unserved(
            "only bars of one minute are served here: \
             /v2/aggs/ticker/TICKER/range/1/minute/FROM/TO",
        );
        const TIMES: InvalidRequest = InvalidRequest::Senseless(
            "FROM and TO are milliseconds since 1970 or days (YYYY-MM-DD), in this order",
        );
        let mut parts = path
            .strip_prefix("/v2/aggs/ticker/")
            .ok_or(ONLY)?
            .split('/');
        let ticker = parts.next().unwrap_or_default();
        if [parts.next(), parts.next(), parts.next()] != [Some("range"), Some("1"), Some("minute")]
        {
            return Err(ONLY);
        }
        let (Some(from), Some(to), None) = (parts.next(), parts.next(), parts.next()) else {
            return Err(ONLY);
        };
        let ticker = percent_decode_str(ticker).collect::<Vec<u8>>();
        let ticker = String::from_utf8_lossy(&ticker);
        let symbol = ticker
            .parse()
            .map_err(|_| InvalidRequest::Senseless("that is no ticker: write for example I:SPX"))?;
        let (from, _) = time(from).ok_or(TIMES)?;
        let (_, to) = time(to).ok_or(TIMES)?;
        if from > to {
            return Err(TIMES);
        }
        if to - from > LONGEST {
            return Err(InvalidRequest::Senseless("at most seven days at once"));
        }
        Ok(Self { symbol, from, to })
    }

    /// Returns the requested span, up to the current time at most.
    pub(crate) fn span(&self, now: Now) -> BarRange {
        let end = now.utc.map_or(self.to, |utc| utc.0.min(self.to));
        BarRange {
            // The ticker of a symbol is always a valid `Ticker`.
            ticker: Ticker::try_from(self.symbol.ticker()).unwrap_or_default(),
            times: self.from..end.saturating_add(1).max(self.from),
        }
    }

    /// Returns the vendor's path for the days of a span. All requests within these days share the
    /// path, and so share one response.
    pub(crate) fn path(&self, span: &BarRange) -> String {
        // Without a limit the vendor returns five days of an index, and fewer days of a share.
        format!(
            "/v2/aggs/ticker/{}/range/1/minute/{}/{}?adjusted=true&sort=asc&limit=50000",
            span.ticker,
            day(span.times.start),
            day(span.times.end - 1),
        )
    }

    /// Returns the span in which a response is complete: the days of `span`, up to the minute of
    /// the response. This last minute is not complete yet. `made` is the time of the response in
    /// milliseconds since the Unix epoch.
    pub(crate) fn fetched(&self, span: &BarRange, made: Option<i64>) -> BarRange {
        let begins = midnight(day(span.times.start)).unwrap_or(span.times.start);
        let last = day(span.times.end - 1);
        let ends = last.checked_add(1.day()).ok().and_then(midnight);
        let ends = ends.unwrap_or(span.times.end);
        // Without a wall clock, no minute counts as complete.
        let made = made.map_or(begins, |made| made - made.rem_euclid(MINUTE));
        BarRange {
            ticker: span.ticker.clone(),
            times: begins..ends.min(made).max(begins),
        }
    }

    /// Reads the bars of a vendor response (see [`minutes`]).
    pub(crate) fn minutes(&self, body: &[u8]) -> Option<(Vec<CachedBar>, bool)> {
        minutes(body, &self.symbol)
    }

    /// Returns the response body that contains these bars.
    pub(crate) fn body(&self, held: &CachedBars, stale: bool) -> String {
        let minutes = &held.minutes;
        let body = AggregatesBody {
            ticker: self.symbol.ticker(),
            status: "OK",
            query_count: minutes.len(),
            results_count: minutes.len(),
            results: minutes.iter().map(AggregateRow::from).collect(),
            stale,
            simulated: held.simulated,
        };
        // The serialization of these fields cannot fail.
        serde_json::to_string(&body).unwrap_or_default()
    }
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct AggregatesBody<'a> {
    ticker: &'a str,
    status: &'static str,
    query_count: usize,
    results_count: usize,
    results: Vec<AggregateRow<i64>>,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    stale: bool,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    simulated: bool,
}

#[derive(Deserialize, Serialize)]
struct AggregateRow<T> {
    t: T,
    o: f64,
    h: f64,
    l: f64,
    c: f64,
    #[serde(skip_serializing_if = "Option::is_none")]
    v: Option<f64>,
}

impl From<&CachedBar> for AggregateRow<i64> {
    fn from(CachedBar { bar, volume }: &CachedBar) -> Self {
        Self {
            t: bar.start.0,
            o: bar.open.as_f64(),
            h: bar.high.as_f64(),
            l: bar.low.as_f64(),
            c: bar.close.as_f64(),
            v: *volume,
        }
    }
}

impl AggregateRow<f64> {
    fn minute(self, symbol: &Symbol) -> Option<CachedBar> {
        Some(CachedBar {
            bar: aggregates::minute(self.t, [self.o, self.h, self.l, self.c], symbol)?,
            volume: self.v.filter(|volume| *volume >= 0.0),
        })
    }
}

/// Reads the bars of a vendor response. The boolean is true if the response reports simulated
/// prices. Rows that cannot be read are skipped. Returns `None` if the body is not such a response.
/// A response for a day without bars has no `results`.
fn minutes(body: &[u8], symbol: &Symbol) -> Option<(Vec<CachedBar>, bool)> {
    #[derive(Deserialize)]
    struct VendorAggregates {
        status: String,
        results: Option<Vec<Value>>,
        #[serde(default)]
        simulated: Value,
    }
    let answer: VendorAggregates = serde_json::from_slice(body).ok()?;
    let simulated = answer.simulated == Value::Bool(true);
    let rows = answer.results.into_iter().flatten();
    // A response with the status `DELAYED` contains bars too.
    matches!(answer.status.as_str(), "OK" | "DELAYED").then(|| {
        let minutes = rows.filter_map(|row| AggregateRow::deserialize(row).ok()?.minute(symbol));
        (minutes.collect(), simulated)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::time::{Moment, Utc};

    fn parse_times(path: &str) -> Result<(i64, i64), InvalidRequest> {
        let request = AggregatesRequest::parse(&format!("/v2/aggs/ticker/{path}"))?;
        Ok((request.from, request.to))
    }

    #[test]
    fn a_time_is_milliseconds_or_a_date_in_new_york() {
        let open = 1_795_444_200_000;
        let times = format!("I:SPX/range/1/minute/{open}/{}", open + 1);
        assert_eq!(parse_times(&times), Ok((open, open + 1)));
        // The day 2026-11-23 in New York began at 5:00 UTC.
        let begins = open - (9 * 60 + 30) * MINUTE;
        let day = "I%3ASPX/range/1/minute/2026-11-23/2026-11-23";
        assert_eq!(
            parse_times(day),
            Ok((begins, begins + 24 * 60 * MINUTE - 1))
        );
        // The day 2026-11-01 in New York has 25 hours, because daylight saving time ends.
        let long = parse_times("SPY/range/1/minute/2026-11-01/2026-11-01").unwrap();
        assert_eq!(long.1 - long.0 + 1, 25 * 60 * MINUTE);
    }

    #[test]
    fn an_unserved_request_and_an_invalid_request_are_different_errors() {
        for path in [
            "I:SPX/range/5/minute/2026-11-23/2026-11-23",
            "I:SPX/range/1/hour/2026-11-23/2026-11-23",
            "I:SPX/range/1/minute/2026-11-23",
            "I:SPX/prev",
            "",
        ] {
            assert!(
                matches!(parse_times(path), Err(InvalidRequest::Unserved(_))),
                "{path}"
            );
        }
        for path in [
            "hello world/range/1/minute/2026-11-23/2026-11-23",
            "SPY/range/1/minute/2026-11-24/2026-11-23",
            "SPY/range/1/minute/2026-11-01/2026-11-23",
            "SPY/range/1/minute/yesterday/today",
            "SPY/range/1/minute/1795444200/1795444260",
            "SPY/range/1/minute/99999999999999999999/2026-11-23",
        ] {
            assert!(
                matches!(parse_times(path), Err(InvalidRequest::Senseless(_))),
                "{path}"
            );
        }
    }

    #[test]
    fn all_requests_within_a_day_cause_the_same_vendor_request() {
        let open = 1_795_444_200_000;
        let now = Now::new(Moment::ZERO, Utc(open + 90_000));
        for times in [
            format!("{open}/{}", open + 30_000),
            format!("{}/{}", open + 7, open + 99_000_000),
            "2026-11-23/2026-11-23".into(),
        ] {
            let request =
                AggregatesRequest::parse(&format!("/v2/aggs/ticker/SPX/range/1/minute/{times}"));
            let request = request.unwrap();
            let span = request.span(now);
            let path = request.path(&span);
            assert!(
                path.starts_with("/v2/aggs/ticker/I:SPX/range/1/minute/2026-11-23/2026-11-23?"),
                "{path}"
            );
            let all = request.fetched(&span, now.utc.map(|utc| utc.0)).times;
            assert_eq!(all, open - (9 * 60 + 30) * MINUTE..open + MINUTE);
        }
    }

    #[test]
    fn an_invalid_row_does_not_affect_the_other_bars() {
        let body = br#"{"status":"DELAYED","results":[{"t":1795444200000,"o":2,"h":3,"l":1,"c":2.5,"v":7},
            {"t":1795444260000,"o":2,"h":1,"l":3,"c":2}, null, {"t":"now"}, {"t":0,"o":1,"h":1,"l":1,"c":1},
            {"t":1795444320000,"o":0,"h":0,"l":0,"c":0}]}"#;
        let spy = "SPY".parse().unwrap();
        let minutes = |body: &[u8]| minutes(body, &spy);
        let (rows, simulated) = minutes(body).unwrap();
        assert_eq!((rows.len(), simulated), (1, false));
        assert_eq!(rows[0].volume, Some(7.0));
        assert_eq!(
            minutes(br#"{"status":"OK","resultsCount":0,"simulated":true}"#),
            Some((Vec::new(), true))
        );
        assert_eq!(
            minutes(br#"{"status":"OK","results":null}"#),
            Some((Vec::new(), false))
        );
        assert_eq!(minutes(br#"{"status":"ERROR","error":"no"}"#), None);
        assert_eq!(minutes(b"<html>"), None);
    }
}
