//! The REST poller, which requests quotes, the market status and minute bars over HTTP. REST has
//! data that the WebSocket never sends: the previous close, the data of the day, and the computed
//! data of a contract. REST also supplies the last value if no value is streamed. The parsers treat
//! suspicious values as missing, for example `last: 0`. This module never opens a WebSocket.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use hyper::Method;
use tokio::sync::mpsc::{self, error::SendError};
use tokio::sync::watch;

use super::auth::AuthenticatedRest;
use super::poll_schedule::{PollJob, RestDemand, Schedule};
use super::{Update, rest_paths};
use crate::market::{Denial, Symbol, Ticker};
use crate::massive::instrument_snapshot::InstrumentSnapshot;
use crate::massive::quotes::{self, QuotesReply};
use crate::massive::{self, UnreadableRows, aggregates, market_status, printable, snapshot};
use crate::net::connector::Connector;
use crate::net::failure::Failure;
use crate::net::http::{self, RestError};
use crate::net::source::{FeedProvider, FeedSource};
use crate::time::{Clock, Now, Utc};

/// The maximum accepted wait from a `Retry-After` header.
const RETRY_AFTER_LIMIT: Duration = Duration::from_secs(600);

/// The failures and refusals that were already logged. The same failure is logged again only after
/// a change.
#[derive(Debug, Default)]
struct ReportedFailures {
    /// The last failure of each service, by the name of the service.
    failures: HashMap<&'static str, Failure>,
    refused: Vec<(Ticker, String)>,
    unreadable: UnreadableRows,
}

impl ReportedFailures {
    /// Returns true if a failure is new and must be logged.
    fn failure(&mut self, service: &'static str, reason: Failure) -> bool {
        self.failures.insert(service, reason) != Some(reason)
    }

    /// Records a successful response. Returns true if the last request of this service failed.
    fn recovered(&mut self, service: &'static str) -> bool {
        self.failures.remove(service).is_some()
    }

    /// Returns the refusals in `now` that were not logged yet, and stores all refusals in `now`.
    /// `asked` contains the symbols of the request.
    fn refused(
        &mut self,
        now: Vec<(Ticker, String)>,
        requested: &[Symbol],
    ) -> Vec<(Ticker, String)> {
        massive::news(&mut self.refused, now, |ticker| is_one(ticker, requested))
    }
}

/// Sends REST data to the ticker state until the ticker state is gone. The poller sends requests at
/// the start, after a change of the watchlist, after a reconnect, at the required interval, and
/// rarely without a specific need. The wait after a failure grows with each failure. Only one
/// request runs at a time.
pub async fn run_poller(
    connector: Connector,
    source: Arc<FeedSource>,
    mut needs: watch::Receiver<RestDemand>,
    updates: mpsc::Sender<Update>,
    clock: Clock,
) {
    let mut moves = connector.changes();
    let mut poller = RestPoller {
        provider: source.provider,
        rest_client: AuthenticatedRest::new(connector, source, clock.clone()),
        updates,
        clock,
        schedule: Schedule::new(),
        outcome: None,
        cut_off: false,
        reported: ReportedFailures::default(),
        offset: None,
    };
    poller.want(&needs.borrow_and_update());
    loop {
        match needs.has_changed() {
            Ok(true) => poller.want(&needs.borrow_and_update()),
            Ok(false) => {}
            Err(_) => return,
        }
        let now = poller.now();
        if let Some(job) = poller.schedule.next(now) {
            tokio::select! {
                biased;
                _ = moves.changed() => poller.hub_changed(&needs.borrow_and_update()),
                outcome = poller.perform(&job) => if outcome.is_err() {
                    return;
                },
            }
            continue;
        }
        tokio::select! {
            _ = moves.changed() => poller.hub_changed(&needs.borrow_and_update()),
            () = poller.clock.sleep_until(poller.schedule.due(now)) => {}
            // The start of the loop processes a new demand and the end of its sender, so restore
            // the change flag here.
            _ = needs.changed() => needs.mark_changed(),
        }
    }
}

struct RestPoller {
    provider: FeedProvider,
    rest_client: AuthenticatedRest,
    updates: mpsc::Sender<Update>,
    clock: Clock,
    schedule: Schedule,
    /// The last outcome that the ticker state received; `None` before the first outcome of this
    /// hub.
    outcome: Option<Result<(), Failure>>,
    /// True if the last quotes only repeat old data: the hub is cut off from its vendor.
    cut_off: bool,
    reported: ReportedFailures,
    /// The offset of the agreed time; see [`RestDemand::offset`].
    offset: Option<i64>,
}

impl RestPoller {
    fn want(&mut self, need: &RestDemand) {
        self.schedule.want(need);
        self.offset = need.offset;
    }

    /// Requests everything again from the hub that is in use now. The failures of the previous hub
    /// and the waits that the previous hub requested do not apply to this hub.
    fn hub_changed(&mut self, need: &RestDemand) {
        (self.schedule, self.outcome, self.cut_off) = (Schedule::new(), None, false);
        self.reported = ReportedFailures::default();
        self.want(need);
    }

    /// Returns the monotonic time, and the agreed wall-clock time if an agreed time exists.
    fn now(&self) -> Now {
        Now::with_offset(self.clock.now().monotonic, self.offset)
    }

    /// Sends the request of a job and passes the result to the ticker state. The error means that
    /// the ticker state is gone.
    async fn perform(&mut self, job: &PollJob) -> Result<(), SendError<Update>> {
        let began = self.clock.now().monotonic;
        let outcome = match job {
            PollJob::Quotes(symbols) => self.quotes(symbols).await,
            PollJob::Market => self.market().await,
            PollJob::Minutes(symbol, from) => self.minutes(symbol, *from).await,
        };
        let now = self.now();
        if let Some((utc, ago)) = self.rest_client.take_date(now.monotonic.since(began)) {
            let at = now.monotonic - ago;
            self.updates.send(Update::ServerTime { at, utc }).await?;
        }
        let failure = outcome.as_ref().err().map(|refusal| refusal.reason);
        // Not every server offers the market status and the minute bars, so an error response to such
        // a request is no failure of the server.
        let is_error_response = |reason: Failure| reason.answered() || reason.refuses();
        if matches!(job, PollJob::Quotes(_)) || !failure.is_some_and(is_error_response) {
            let outcome = match failure {
                Some(reason) => Err(reason),
                None if self.cut_off => Err(Failure::HubUpstream),
                None => Ok(()),
            };
            if self.outcome.replace(outcome) != Some(outcome) || outcome.is_err() {
                self.updates.send(Update::Rest(outcome)).await?;
            }
        }
        match outcome {
            Ok(updates) => {
                if self.reported.recovered(job.service()) {
                    log::info!("the REST requests for {} succeed again", job.service());
                }
                self.schedule.answered(job, &updates, now.monotonic);
                for update in updates {
                    self.updates.send(update).await?;
                }
            }
            Err(refusal) => {
                let (reason, wait) = (refusal.reason, refusal.wait(now.utc, RETRY_AFTER_LIMIT));
                self.schedule.failed(job, reason, wait, now.monotonic);
                // Log each failure only once: a hub without quotes can still have a working
                // WebSocket.
                if self.reported.failure(job.service(), reason) {
                    // The existing proxy of the users offers only quotes, so a failure of another
                    // service is not a warning.
                    let level = match job {
                        PollJob::Quotes(_) => log::Level::Warn,
                        PollJob::Market | PollJob::Minutes(..) => log::Level::Info,
                    };
                    log::log!(
                        level,
                        "the REST request for {} failed: {reason}",
                        job.service()
                    );
                }
            }
        }
        Ok(())
    }

    async fn quotes(&mut self, symbols: &[Symbol]) -> Result<Vec<Update>, RestError> {
        let path = rest_paths::quotes(self.provider, symbols);
        let reply = match self.rest_client.get(&path).await {
            Ok(body) => read(self.provider, &body, symbols)?,
            Err(refusal) if refusal.reason == Failure::Plan => {
                let now = self.clock.now().monotonic;
                if !self.schedule.not_in_plan(symbols, now) {
                    return Ok(Vec::new());
                }
                denied(symbols)
            }
            Err(refusal) => return Err(refusal),
        };
        let QuotesReply {
            seeds,
            refused,
            unreadable,
            repeated,
        } = reply;
        self.cut_off = repeated;
        let known = &mut self.reported.unreadable;
        for (ticker, error) in massive::news(known, unreadable, |ticker| is_one(ticker, symbols)) {
            log::warn!("{ticker}: the row in the REST response cannot be read: {error}");
        }
        for (ticker, words) in self.reported.refused(refused, symbols) {
            log::warn!("{ticker}: the vendor refused the quote: {words}");
        }
        let seeds = seeds.into_iter().map(Box::new);
        Ok(seeds.map(Update::Seed).collect())
    }

    async fn market(&mut self) -> Result<Vec<Update>, RestError> {
        let path = rest_paths::market_status(self.provider);
        let body = self.rest_client.get(path).await?;
        let (status, simulated) = market_status::status(&body).ok_or(Failure::Protocol)?;
        Ok(vec![Update::MarketStatus(status, simulated)])
    }

    async fn minutes(&mut self, symbol: &Symbol, from: Utc) -> Result<Vec<Update>, RestError> {
        // No bars exist before the start of the trading day.
        let Some(to) = self.now().utc.filter(|to| *to > from) else {
            return Ok(Vec::new());
        };
        let path = rest_paths::aggregates(symbol, from, to);
        let body = self.rest_client.get(&path).await?;
        let (bars, simulated) =
            aggregates::bars(&body, symbol, from, to).ok_or(Failure::Protocol)?;
        // A response without bars needs no update.
        let ticker = Ticker::try_from(symbol.ticker()).ok();
        let ticker = ticker.filter(|_| !bars.is_empty());
        let update = ticker.map(|ticker| Update::Minutes {
            ticker,
            bars,
            simulated,
        });
        Ok(update.into_iter().collect())
    }
}

/// Returns the reply for symbols that the vendor's plan does not include.
fn denied(symbols: &[Symbol]) -> QuotesReply {
    let tickers = symbols
        .iter()
        .filter_map(|symbol| Ticker::try_from(symbol.ticker()).ok());
    QuotesReply {
        seeds: tickers
            .clone()
            .map(|ticker| InstrumentSnapshot {
                denial: Some(Denial::NotEntitled),
                ..InstrumentSnapshot::empty(ticker)
            })
            .collect(),
        refused: tickers
            .map(|ticker| (ticker, Failure::Plan.to_string()))
            .collect(),
        unreadable: UnreadableRows::default(),
        repeated: false,
    }
}

/// Requests the REST data of these symbols once. The request sends the secret to the server, so the
/// caller must verify a hub without TLS before this call.
///
/// # Errors
///
/// The reason why no valid response arrived. A response without some of the symbols is valid.
pub async fn quotes(
    connector: &Connector,
    source: &FeedSource,
    symbols: &[Symbol],
) -> Result<QuotesReply, Failure> {
    let path = rest_paths::quotes(source.provider, symbols);
    let body = http::fetch(connector, source, Method::GET, &path).await;
    let body = body.map_err(|refusal| refusal.reason)?;
    read(source.provider, &body, symbols)
}

/// Parses the response to a quotes request, and keeps only the requested symbols.
///
/// # Errors
///
/// [`Failure::Protocol`] if the body is not a valid response.
pub fn read(
    provider: FeedProvider,
    body: &[u8],
    symbols: &[Symbol],
) -> Result<QuotesReply, Failure> {
    let answer = match provider {
        FeedProvider::Hub => quotes::rows(body),
        FeedProvider::Vendor => snapshot::read(body).map(|snapshot| QuotesReply {
            seeds: snapshot.seeds().collect(),
            refused: refusals(&snapshot.rows),
            unreadable: snapshot.unreadable,
            repeated: false,
        }),
    };
    let mut answer = answer.map_err(|error| {
        log::debug!("cannot parse the quotes response: {error}");
        Failure::Protocol
    })?;
    let requested = |ticker: &Ticker| is_one(ticker, symbols);
    answer.unreadable.retain(|(ticker, _)| requested(ticker));
    answer.seeds.retain(|seed| requested(&seed.ticker));
    answer.refused.retain(|(ticker, _)| requested(ticker));
    Ok(answer)
}

/// Returns true if the ticker belongs to one of the symbols.
fn is_one(ticker: &Ticker, symbols: &[Symbol]) -> bool {
    symbols.iter().any(|symbol| symbol.ticker() == ticker)
}

/// Returns the vendor's messages for the refused tickers.
fn refusals(rows: &[snapshot::SnapshotRow]) -> Vec<(Ticker, String)> {
    let words = |row: &snapshot::SnapshotRow| {
        let ticker = Ticker::try_from(row.ticker.as_str()).ok()?;
        Some((ticker, printable(row.error.as_ref()?)))
    };
    rows.iter().filter_map(words).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn symbols(names: &[&str]) -> Vec<Symbol> {
        names.iter().map(|name| name.parse().unwrap()).collect()
    }

    #[test]
    fn a_refusal_is_reported_once_in_a_single_line_and_only_for_requested_symbols() {
        let body = br#"{"results":[{"ticker":"I:SPX","error":"NOT\nENTITLED\u001b[31m"},
            {"ticker":"I:\nforged","error":"NOT_FOUND"},{"ticker":"I:NDX","error":"NOT_FOUND"},
            {"ticker":"I:VIX","error":"NOT_FOUND"}]}"#;
        let (spx, vix) = (symbols(&["SPX"]), symbols(&["VIX"]));
        let refused = read(FeedProvider::Vendor, body, &spx).unwrap().refused;
        let refusal = (
            Ticker::try_from("I:SPX").unwrap(),
            "NOT ENTITLED [31m".into(),
        );
        assert_eq!(refused, [refusal]);
        let other = read(FeedProvider::Vendor, body, &vix).unwrap();
        assert_eq!(other.seeds[0].denial, Some(Denial::NotFound));
        let mut reported = ReportedFailures::default();
        assert_eq!(reported.refused(refused.clone(), &spx), refused);
        assert_eq!(reported.refused(refused.clone(), &spx), []);
        // A response about another symbol does not change the state of this symbol.
        assert_eq!(reported.refused(other.refused.clone(), &vix), other.refused);
        assert_eq!(reported.refused(refused.clone(), &spx), []);
        assert_eq!(reported.refused(Vec::new(), &spx), []);
        assert_eq!(reported.refused(refused.clone(), &spx), refused);
    }

    #[test]
    fn a_row_that_cannot_be_read_costs_no_other_row_of_the_vendor() {
        let body = br#"{"results":[{"ticker":"I:SPX","value":NaN},{"ticker":"I:NDX","value":NaN},
            {"ticker":"I:VIX","value":17.5,"last_updated":1795444199000000000}]}"#;
        let reply = read(FeedProvider::Vendor, body, &symbols(&["SPX", "VIX"])).unwrap();
        assert_eq!((reply.seeds.len(), reply.unreadable.len()), (1, 1));
        assert_eq!(reply.unreadable[0].0, "I:SPX");
    }

    #[test]
    fn a_failure_is_reported_at_each_change_of_its_reason() {
        let mut reported = ReportedFailures::default();
        let mut failure = |reason| reported.failure("quotes", reason);
        let news = [Failure::Timeout, Failure::Timeout, Failure::Busy].map(&mut failure);
        assert_eq!(news, [true, false, true]);
        assert!(reported.recovered("quotes") && !reported.recovered("quotes"));
        assert!(reported.failure("quotes", Failure::Busy));
        assert!(reported.failure("market status", Failure::Busy));
    }
}
