//! A request for one-minute bars: its path, which has the form of the vendor, and its span of time.
//! Pure: this module does no I/O.

use std::ops::Range;

use jiff::ToSpan;
use percent_encoding::percent_decode_str;

use super::bar_store::BarRange;
use super::query::{Query, Refusal};
use crate::market::{Symbol, Ticker, new_york_date, new_york_midnight};
use crate::massive::aggregates::{self, MINUTE, TradedBar};
use crate::time::{Now, Utc};

/// The longest span in one request, in milliseconds. Seven days always include the last session,
/// even after the longest weekend.
const LONGEST: i64 = 7 * 24 * 60 * MINUTE;

/// The oldest bars that the hub serves, in days before now. The hub is for the current sessions, and
/// a plan of the vendor may not include older bars.
const OLDEST: i64 = 31;

/// The tolerance for a clock of the client that is ahead of the clock of the hub.
const AHEAD: i64 = 5 * MINUTE;

/// The default of the parameter `limit`, as at the vendor.
const LIMIT: usize = 5000;
/// The maximum of the parameter `limit`, as at the vendor.
const LIMIT_MOST: usize = 50_000;

/// A request for one-minute bars.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct AggregatesRequest {
    pub(super) symbol: Symbol,
    /// The requested span, up to the current time at most.
    pub(super) span: BarRange,
    /// True if the newest bar comes first.
    pub(super) descending: bool,
    /// The maximum number of bars in the response.
    pub(super) limit: usize,
}

/// Returns the symbol of a percent-encoded ticker in a path.
///
/// # Errors
/// The text is no ticker of the vendor.
pub(super) fn symbol(ticker: &str) -> Result<Symbol, Refusal> {
    let ticker: Vec<u8> = percent_decode_str(ticker).collect();
    Symbol::from_ticker(&String::from_utf8_lossy(&ticker)).ok_or(Refusal::invalid(
        "the text is no ticker of the vendor: write for example I:SPX, SPY or O:SPY251219C00650000",
    ))
}

impl AggregatesRequest {
    /// Parses `/v2/aggs/ticker/{TICKER}/range/1/minute/{from}/{to}` with its query.
    ///
    /// # Errors
    /// The hub does not serve this kind of request (404), or the values of the request are invalid
    /// (400).
    pub(crate) fn parse(path: &str, query: Option<&str>, now: Now) -> Result<Self, Refusal> {
        const TIMES: &str =
            "FROM and TO are milliseconds since 1970 or days (YYYY-MM-DD), in this order";
        let [ticker, from, to] = aggregates::request(path).ok_or(Refusal::not_served(
            "only bars of one minute and the bar of the previous day are served here: \
             /v2/aggs/ticker/TICKER/range/1/minute/FROM/TO and /v2/aggs/ticker/TICKER/prev",
        ))?;
        let query = Query::parse(query, &["adjusted", "sort", "limit"])?;
        let descending = match query.get("sort") {
            None | Some("asc") => false,
            Some("desc") => true,
            Some(_) => return Err(Refusal::invalid("sort is asc or desc")),
        };
        check_adjusted(&query)?;
        let limit = query.number("limit", LIMIT_MOST)?.unwrap_or(LIMIT);
        let symbol = symbol(ticker)?;
        let (from, _) = aggregates::time(from).ok_or(Refusal::invalid(TIMES))?;
        let (_, to) = aggregates::time(to).ok_or(Refusal::invalid(TIMES))?;
        match to - from {
            ..0 => return Err(Refusal::invalid(TIMES)),
            0..=LONGEST => {}
            _ => return Err(Refusal::invalid("at most seven days at once")),
        }
        // Without a wall clock, the hub cannot check the times, so the vendor checks them.
        if let Some(Utc(now)) = now.utc {
            if from > now + AHEAD {
                return Err(Refusal::invalid(
                    "FROM is in the future, so there are no bars yet (a date is a date in New York)",
                ));
            }
            if from < now - OLDEST * 24 * 60 * MINUTE {
                let detail = format!("the hub serves only the bars of the last {OLDEST} days");
                return Err(Refusal::invalid(detail));
            }
        }
        let end = now.utc.map_or(to, |utc| utc.0.min(to)) + 1;
        let span = BarRange {
            // The ticker of a symbol is always a valid `Ticker`.
            ticker: Ticker::try_from(symbol.ticker()).unwrap_or_default(),
            times: from..end.max(from),
        };
        Ok(Self {
            symbol,
            span,
            descending,
            limit,
        })
    }

    /// Puts the bars in the requested order, and removes the bars above the limit. Returns the path
    /// of the request for the removed bars, if there are any.
    pub(super) fn limit(&self, bars: &mut Vec<TradedBar>) -> Option<String> {
        if self.descending {
            bars.reverse();
        }
        let next = bars.get(self.limit)?.bar.start.0;
        bars.truncate(self.limit);
        let Range { start, end } = self.span.times;
        let (from, to, sort) = match self.descending {
            true => (start, next, "desc"),
            false => (next, end - 1, "asc"),
        };
        let (ticker, limit) = (&self.span.ticker, self.limit);
        let path = aggregates::range(ticker, from, to);
        Some(format!("{path}?sort={sort}&limit={limit}"))
    }
}

/// Checks the parameter `adjusted`. The hub has only bars that are adjusted for splits.
pub(super) fn check_adjusted(query: &Query) -> Result<(), Refusal> {
    match query.get("adjusted") {
        None | Some("true") => Ok(()),
        _ => Err(Refusal::invalid(
            "adjusted is true: the hub has no other bars",
        )),
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

    fn parse_times(path: &str) -> Result<(i64, i64), u16> {
        let unset = Now {
            monotonic: Moment::ZERO,
            utc: None,
        };
        let path = format!("/v2/aggs/ticker/{path}");
        let request = AggregatesRequest::parse(&path, None, unset);
        let times = request
            .map_err(|refusal| refusal.status.as_u16())?
            .span
            .times;
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
            assert_eq!(parse_times(path), Err(404), "{path}");
        }
        for path in [
            "hello world/range/1/minute/2026-11-23/2026-11-23",
            "spy/range/1/minute/2026-11-23/2026-11-23",
            "SPY/range/1/minute/2026-11-24/2026-11-23",
            "SPY/range/1/minute/2026-11-01/2026-11-23",
            "SPY/range/1/minute/yesterday/today",
            "SPY/range/1/minute/1795444200/1795444260",
            "SPY/range/1/minute/99999999999999999999/2026-11-23",
        ] {
            assert_eq!(parse_times(path), Err(400), "{path}");
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
            let path = format!("/v2/aggs/ticker/I:SPX/range/1/minute/{times}");
            let span = AggregatesRequest::parse(&path, None, now).unwrap().span;
            let path = span.path();
            assert!(
                path.starts_with("/v2/aggs/ticker/I:SPX/range/1/minute/2026-11-23/2026-11-23?"),
                "{path}"
            );
            let all = span.complete(now.utc.map(|utc| utc.0)).times;
            assert_eq!(all, open - (9 * 60 + 30) * MINUTE..open + MINUTE);
        }
    }

    #[test]
    fn a_senseless_question_is_refused_with_a_reason() {
        let now = Now::new(Moment::ZERO, Utc(1_795_444_200_000));
        let refused = |times: &str, query: &str| {
            let path = format!("/v2/aggs/ticker/SPY/range/1/minute/{times}");
            let refusal = AggregatesRequest::parse(&path, Some(query), now).unwrap_err();
            assert_eq!(refusal.status.as_u16(), 400);
            refusal.detail
        };
        assert!(refused("2026-11-24/2026-11-24", "").contains("future"));
        assert!(refused("2010-01-04/2010-01-04", "").contains("31 days"));
        assert!(refused("2026-10-22/2026-10-22", "").contains("31 days"));
        assert!(refused("2026-11-23/2026-11-20", "").contains("in this order"));
        let today = "2026-11-23/2026-11-24";
        assert!(refused(today, "adjusted=false").contains("adjusted"));
        assert!(refused(today, "sort=up").contains("asc or desc"));
        assert!(refused(today, "limit=0").contains("limit"));
        assert!(refused(today, "explain=true").contains("\"explain\""));
    }

    #[test]
    fn the_bars_above_the_limit_have_a_request_of_their_own() {
        let open = 1_795_444_200_000;
        let now = Now::new(Moment::ZERO, Utc(open + 10 * MINUTE));
        let bar = |minute: i64| TradedBar {
            bar: crate::market::Bar {
                open: crate::market::Price::from_scaled(1),
                high: crate::market::Price::from_scaled(1),
                low: crate::market::Price::from_scaled(1),
                close: crate::market::Price::from_scaled(1),
                start: Utc(open + minute * MINUTE),
                end: Utc(open + (minute + 1) * MINUTE),
            },
            volume: None,
            average: None,
            trades: None,
        };
        let read = |sort: &str| {
            let mut found = Vec::new();
            let mut next = Some(format!(
                "/v2/aggs/ticker/SPY/range/1/minute/{open}/{}?sort={sort}&limit=2",
                open + 99 * MINUTE
            ));
            while let Some(path) = next {
                let (path, query) = path.split_once('?').unwrap();
                let request = AggregatesRequest::parse(path, Some(query), now).unwrap();
                let mut bars: Vec<_> = (0..5).map(bar).collect();
                bars.retain(|bar| request.span.times.contains(&bar.bar.start.0));
                next = request.limit(&mut bars);
                found.extend(bars.iter().map(|bar| (bar.bar.start.0 - open) / MINUTE));
            }
            found
        };
        assert_eq!(read("asc"), [0, 1, 2, 3, 4]);
        assert_eq!(read("desc"), [4, 3, 2, 1, 0]);
    }
}
