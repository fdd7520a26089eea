//! The responses in the form of the vendor, so that a hub can be the vendor of another hub and of
//! the vendor's own REST clients: snapshots, the bar of the previous day and the next holidays. Each
//! row has the additional fields `age` (seconds), `stale`, `simulated` and `delayed`.

use std::time::Duration;

use hyper::body::Bytes;
use serde_json::{Map, Value, json};

use super::aggregates_request::{check_adjusted, symbol};
use super::cache::{AnswerInfo, CachedAnswer, QuotesError};
use super::query::{Query, Refusal};
use super::quote_rows::{self, RowFailure};
use super::quotes::{Asker, QuoteCache};
use crate::market::{AssetClass, Symbol};
use crate::massive::snapshot::{self, SnapshotRow};
use crate::massive::{aggregates, body};
use crate::net::failure::Failure;

/// The default of the parameter `limit` of a snapshot request, as at the vendor.
const LIMIT: usize = 10;
/// The lifetime of the bar of the previous day.
const PREVIOUS_TTL: Duration = Duration::from_secs(60);
/// The lifetime of the list of holidays.
const UPCOMING_TTL: Duration = Duration::from_secs(3600);

/// A request for snapshots: `/v3/snapshot` or `/v3/snapshot/indices`.
#[derive(Debug, PartialEq)]
pub(crate) struct SnapshotRequest {
    /// The tickers of the vendor, and their symbols; `None` for an unknown kind of ticker.
    tickers: Vec<(String, Option<Symbol>)>,
    /// The tickers above the limit of the request.
    rest: Vec<String>,
    limit: usize,
}

impl SnapshotRequest {
    /// Parses the query of a request. `indices` is true for `/v3/snapshot/indices`.
    ///
    /// # Errors
    /// The query has no tickers, too many tickers or an unknown parameter.
    pub(crate) fn parse(query: Option<&str>, indices: bool) -> Result<Self, Refusal> {
        const NEEDED: &str = "ticker.any_of is needed: the tickers, with commas between them";
        let query = Query::parse(query, &["ticker.any_of", "limit"])?;
        let limit = query.number("limit", snapshot::TICKERS)?.unwrap_or(LIMIT);
        let tickers = query.get("ticker.any_of").unwrap_or_default().split(',');
        let tickers = tickers.map(str::trim).filter(|ticker| !ticker.is_empty());
        let mut tickers: Vec<String> = tickers.map(str::to_owned).collect();
        let mut seen = std::collections::HashSet::new();
        tickers.retain(|ticker| seen.insert(ticker.clone()));
        if tickers.is_empty() {
            return Err(Refusal::invalid(NEEDED));
        }
        if tickers.len() > snapshot::TICKERS {
            let detail = format!("too many tickers: {} at most", snapshot::TICKERS);
            return Err(Refusal::invalid(detail));
        }
        let rest = tickers.split_off(limit.min(tickers.len()));
        let is_served = |symbol: &Symbol| !indices || symbol.class() == AssetClass::Index;
        let tickers = tickers.into_iter().map(|ticker| {
            let symbol = Symbol::from_ticker(&ticker).filter(is_served);
            (ticker, symbol)
        });
        Ok(Self {
            tickers: tickers.collect(),
            rest,
            limit,
        })
    }
}

impl QuoteCache {
    /// Returns the response to a snapshot request, and the query of the request for the tickers
    /// above the limit.
    ///
    /// # Errors
    /// The vendor gives no usable response, and the cache has no old row, for any ticker.
    pub(crate) async fn snapshots(
        &self,
        asker: &Asker,
        request: &SnapshotRequest,
    ) -> Result<(Map<String, Value>, Option<String>), QuotesError> {
        let symbols = request
            .tickers
            .iter()
            .filter_map(|(_, symbol)| symbol.clone());
        let symbols: Vec<Symbol> = symbols.collect();
        let mut found = self.rows(asker, &symbols).await?.into_iter();
        let simulated = self.is_simulated();
        let rows: Vec<Value> = request
            .tickers
            .iter()
            .map(|(ticker, symbol)| {
                let found = symbol.as_ref().and_then(|_| found.next());
                Value::Object(row(ticker, found, simulated))
            })
            .collect();
        let body = json!({ "status": "OK", "count": rows.len(), "results": rows });
        let next = (!request.rest.is_empty()).then(|| {
            let tickers = request.rest.join(",");
            format!("ticker.any_of={tickers}&limit={}", request.limit)
        });
        match body {
            Value::Object(body) => Ok((body, next)),
            _ => Err(Failure::Protocol.into()),
        }
    }

    /// Returns the bar of the previous day, for a path like `/v2/aggs/ticker/I:SPX/prev`.
    ///
    /// # Errors
    /// The vendor gives no usable response, and the cache has no old response.
    pub(crate) async fn previous_bar(&self, symbol: &Symbol) -> Result<String, QuotesError> {
        let known = |text: &[u8], _| {
            let body: Map<String, Value> = body(text).ok()?;
            let is_valid = body
                .get("status")
                .is_some_and(|word| *word == "OK" || *word == "DELAYED");
            is_valid.then(|| quote_rows::info(&body, PREVIOUS_TTL))
        };
        let path = format!(
            "{}?adjusted=true",
            aggregates::previous_path(symbol.ticker())
        );
        let answer = self.ask(&path, known).await?;
        quote_rows::with_age(&answer).ok_or_else(|| Failure::Protocol.into())
    }

    /// Returns the next holidays. Each row has the additional fields, because the response of the
    /// vendor is a list.
    ///
    /// # Errors
    /// The vendor gives no usable response, and the cache has no old response.
    pub(crate) async fn upcoming(&self) -> Result<String, QuotesError> {
        // The vendor does not mark simulated holidays, so the response does not change the kind of
        // the prices.
        let known = |text: &[u8], _| {
            let rows: Vec<Map<String, Value>> = body(text).ok()?;
            let first = rows.first().cloned().unwrap_or_default();
            let info = quote_rows::info(&first, UPCOMING_TTL);
            Some(AnswerInfo {
                simulated: None,
                ..info
            })
        };
        let answer = self.ask("/v1/marketstatus/upcoming", known).await?;
        let rows: Option<Vec<Map<String, Value>>> = serde_json::from_slice(&answer.body).ok();
        let mut rows = rows.ok_or(Failure::Protocol)?;
        for row in &mut rows {
            quote_rows::mark(row, &answer);
        }
        Ok(json!(rows).to_string())
    }
}

/// Parses the path and the query of a request for the bar of the previous day. Returns `None` for
/// another path.
pub(crate) fn previous_request(path: &str, query: Option<&str>) -> Option<Result<Symbol, Refusal>> {
    let ticker = aggregates::previous(path)?;
    let checked = Query::parse(query, &["adjusted"]).and_then(|query| check_adjusted(&query));
    Some(checked.and_then(|()| symbol(ticker)))
}

/// Returns the row of a ticker. `found` is `None` if the vendor has no such kind of ticker.
/// `simulated` is true for a row without data, if the other prices of the vendor are simulated.
fn row(
    ticker: &str,
    found: Option<Result<CachedAnswer, RowFailure>>,
    simulated: bool,
) -> Map<String, Value> {
    let error = |word: &str, message: &str| {
        let row = [("ticker", ticker), ("error", word), ("message", message)];
        let row = row.map(|(name, text)| (name.to_owned(), text.into()));
        let mut row = Map::from_iter(row);
        let now = CachedAnswer {
            body: Bytes::new(),
            age: Duration::ZERO,
            stale: false,
            simulated,
        };
        quote_rows::mark(&mut row, &now);
        row
    };
    let answer = match found {
        Some(Ok(answer)) => answer,
        Some(Err(failure)) => {
            let (word, message) = failure.words();
            return error(word, &message);
        }
        None => return error("NOT_FOUND", "no such ticker"),
    };
    let mut row: Map<String, Value> = serde_json::from_slice(&answer.body)
        .unwrap_or_else(|_| error("UNREADABLE", "the row of the vendor cannot be read"));
    quote_rows::mark(&mut row, &answer);
    let known: Option<SnapshotRow> = serde_json::from_slice(&answer.body).ok();
    let class = Symbol::from_ticker(ticker).map(|symbol| symbol.class());
    let delayed = known
        .zip(class)
        .is_some_and(|(known, class)| known.is_delayed(class));
    row.insert("delayed".into(), delayed.into());
    row
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_snapshot_request_has_tickers_of_the_vendor_and_a_limit() {
        let parse = |query: &str, indices| SnapshotRequest::parse(Some(query), indices);
        let request = parse("ticker.any_of=I:SPX,COMP,spy,I:SPX&limit=2", false).unwrap();
        let classes = request
            .tickers
            .iter()
            .map(|(_, symbol)| Some(symbol.as_ref()?.class()));
        let classes: Vec<_> = classes.collect();
        assert_eq!(classes, [Some(AssetClass::Index), Some(AssetClass::Equity)]);
        assert_eq!((request.rest, request.limit), (vec!["spy".to_owned()], 2));
        let indices = parse("ticker.any_of=I:SPX,COMP", true).unwrap();
        assert_eq!(indices.tickers[1], ("COMP".to_owned(), None));
        let many: Vec<String> = (0..251).map(|n| format!("I:A{n}")).collect();
        for (query, words) in [
            ("", "is needed"),
            ("ticker.any_of=,", "is needed"),
            ("ticker=I:SPX", "\"ticker\""),
            ("ticker.any_of=I:SPX&limit=251", "1 to 250"),
            (&*format!("ticker.any_of={}", many.join(",")), "too many"),
        ] {
            let refusal = parse(query, false).unwrap_err();
            assert!(refusal.detail.contains(words), "{refusal:?}");
        }
    }
}
