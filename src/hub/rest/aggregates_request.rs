//! A request for one-minute bars: its path, which has the form of the vendor, and its span of time.
//! Pure: this module does no I/O.

use hyper::StatusCode;
use jiff::ToSpan;
use percent_encoding::percent_decode_str;

use super::bar_store::BarRange;
use crate::market::{Symbol, Ticker, new_york_date, new_york_midnight};
use crate::massive::aggregates::{self, MINUTE};
use crate::time::{Now, Utc};

/// The longest span in one request, in milliseconds. Seven days always include the last session,
/// even after the longest weekend.
const LONGEST: i64 = 7 * 24 * 60 * MINUTE;

/// A request for one-minute bars.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct AggregatesRequest {
    pub(super) symbol: Symbol,
    /// The requested span, up to the current time at most.
    pub(super) span: BarRange,
}

impl AggregatesRequest {
    /// Parses `/v2/aggs/ticker/{TICKER}/range/1/minute/{from}/{to}`.
    ///
    /// # Errors
    /// The HTTP status and a message for the client. The hub does not serve this kind of request
    /// (404), or the values of the request are invalid (400).
    pub(crate) fn parse(path: &str, now: Now) -> Result<Self, (StatusCode, &'static str)> {
        const TIMES: &str =
            "FROM and TO are milliseconds since 1970 or days (YYYY-MM-DD), in this order";
        let invalid = |words| (StatusCode::BAD_REQUEST, words);
        let [ticker, from, to] = aggregates::request(path).ok_or((
            StatusCode::NOT_FOUND,
            "only bars of one minute are served here: \
             /v2/aggs/ticker/TICKER/range/1/minute/FROM/TO",
        ))?;
        let ticker: Vec<u8> = percent_decode_str(ticker).collect();
        let symbol: Symbol = String::from_utf8_lossy(&ticker)
            .parse()
            .map_err(|_| invalid("that is no ticker: write for example I:SPX"))?;
        let (from, _) = aggregates::time(from).ok_or(invalid(TIMES))?;
        let (_, to) = aggregates::time(to).ok_or(invalid(TIMES))?;
        match to - from {
            ..0 => return Err(invalid(TIMES)),
            0..=LONGEST => {}
            _ => return Err(invalid("at most seven days at once")),
        }
        let end = now.utc.map_or(to, |utc| utc.0.min(to)) + 1;
        let span = BarRange {
            // The ticker of a symbol is always a valid `Ticker`.
            ticker: Ticker::try_from(symbol.ticker()).unwrap_or_default(),
            times: from..end.max(from),
        };
        Ok(Self { symbol, span })
    }
}

impl BarRange {
    /// Returns the vendor's path for the days of this span. All requests within these days share
    /// the path, and so share one response.
    pub(super) fn path(&self) -> String {
        let [first, last] = [self.times.start, self.times.end - 1].map(|at| new_york_date(Utc(at)));
        aggregates::path(&self.ticker, first, last)
    }

    /// Returns the span in which a response is complete: the days of this span, up to the minute of
    /// the response. This last minute is not complete yet. `made` is the time of the response in
    /// milliseconds since the Unix epoch.
    pub(super) fn complete(&self, made: Option<i64>) -> BarRange {
        let [first, last] = [self.times.start, self.times.end - 1].map(|at| new_york_date(Utc(at)));
        let begins = new_york_midnight(first).map_or(self.times.start, |utc| utc.0);
        let next = last.checked_add(1.day()).ok().and_then(new_york_midnight);
        let ends = next.map_or(self.times.end, |utc| utc.0);
        // Without a wall clock, no minute counts as complete.
        let made = made.map_or(begins, |made| made - made.rem_euclid(MINUTE));
        BarRange {
            ticker: self.ticker.clone(),
            times: begins..ends.min(made).max(begins),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::time::Moment;

    fn parse_times(path: &str) -> Result<(i64, i64), (StatusCode, &'static str)> {
        let unset = Now {
            monotonic: Moment::ZERO,
            utc: None,
        };
        let path = format!("/v2/aggs/ticker/{path}");
        let times = AggregatesRequest::parse(&path, unset)?.span.times;
        Ok((times.start, times.end - 1))
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
            let (status, _) = parse_times(path).unwrap_err();
            assert_eq!(status, StatusCode::NOT_FOUND, "{path}");
        }
        for path in [
            "hello world/range/1/minute/2026-11-23/2026-11-23",
            "SPY/range/1/minute/2026-11-24/2026-11-23",
            "SPY/range/1/minute/2026-11-01/2026-11-23",
            "SPY/range/1/minute/yesterday/today",
            "SPY/range/1/minute/1795444200/1795444260",
            "SPY/range/1/minute/99999999999999999999/2026-11-23",
        ] {
            let (status, _) = parse_times(path).unwrap_err();
            assert_eq!(status, StatusCode::BAD_REQUEST, "{path}");
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
            let path = format!("/v2/aggs/ticker/SPX/range/1/minute/{times}");
            let span = AggregatesRequest::parse(&path, now).unwrap().span;
            let path = span.path();
            assert!(
                path.starts_with("/v2/aggs/ticker/I:SPX/range/1/minute/2026-11-23/2026-11-23?"),
                "{path}"
            );
            let all = span.complete(now.utc.map(|utc| utc.0)).times;
            assert_eq!(all, open - (9 * 60 + 30) * MINUTE..open + MINUTE);
        }
    }
}
