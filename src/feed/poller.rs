//! Quotes over HTTP: what the WebSocket never says (the previous close, the day, what is computed
//! of a contract), and the last value when nothing streams. Asks politely and parses
//! suspiciously: `last: 0` is no data.

use crate::massive::aggregates;
use crate::massive::market_status;
use crate::massive::quotes;

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{mpsc, watch};

pub use crate::massive::aggregates::bars;
pub(crate) use crate::massive::aggregates::minute;
pub use crate::massive::market_status::status;
pub(super) use crate::net::http::fetch;
pub(crate) use crate::net::http::{HttpAnswer, ask};
pub use crate::net::http::{RestError, get, vendor_rest};

use super::auth::AuthenticatedRest;
use super::connection::FeedProvider;
use super::session::FeedSource;
use super::sink::printable;
use super::{Failure, InstrumentSnapshot, Update};
use crate::feed::poll_schedule::{PollJob, RestService, Schedule};
use crate::market::{Symbol, Ticker};
use crate::massive::snapshot;
use crate::net::connector::{Connector, Endpoint};
use crate::time::{Clock, Now, Utc};

/// What the desk needs of REST.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct RestDemand {
    /// The quotes of these; what is due at about the same time is one request.
    pub polls: Vec<PollRequest>,
    /// Another number for each watchlist: it is asked for at once.
    pub list: u64,
    /// Another number after each return of a link and each step of the clock: what was known
    /// before may be old, or was judged wrongly.
    pub epoch: u64,
    /// How often the state of the markets is needed; `None` for never.
    pub market: Option<Duration>,
    /// The agreed wall time less the monotonic one, in milliseconds, to some seconds; `None` while there
    /// is none.
    pub offset: Option<i64>,
    /// The minutes of these since then, the start of a trading day: once for each list and epoch,
    /// and again after a failure.
    pub minutes: Vec<(Symbol, Utc)>,
}

/// How often the quotes of one symbol are needed.
#[derive(Clone, Debug, PartialEq)]
pub struct PollRequest {
    /// Whose.
    pub symbol: Symbol,
    /// So long after an answer they are asked for again; `None` if now and then will do.
    pub pace: Option<Duration>,
}

/// What has been said of the other side's words, each once until they change.
#[derive(Debug, Default)]
struct ReportedFailures {
    /// By service.
    failures: [Option<Failure>; 3],
    refused: Vec<(Ticker, String)>,
}

impl ReportedFailures {
    /// Whether a failure is news; `None` is an answer.
    fn failure(&mut self, service: RestService, reason: Option<Failure>) -> bool {
        let before = &mut self.failures[service as usize];
        std::mem::replace(before, reason) != reason && reason.is_some()
    }

    /// Those of these refusals, of the answer about these symbols, that are news.
    fn refused(&mut self, now: Vec<(Ticker, String)>, asked: &[Symbol]) -> Vec<(Ticker, String)> {
        let known = |said: &(Ticker, String)| self.refused.contains(said);
        let news = now.iter().filter(|said| !known(said)).cloned().collect();
        let about = |ticker: &Ticker| asked.iter().any(|symbol| symbol.ticker() == ticker);
        self.refused.retain(|(ticker, _)| !about(ticker));
        self.refused.extend(now);
        news
    }
}

/// Keeps the desk supplied by REST until it is gone: at the start, when the watchlist changes or a
/// link returns, at the pace that is needed, now and then besides, and with growing waits while
/// there is no answer. One request at a time.
pub async fn run_poller(
    connector: Connector,
    source: Arc<FeedSource>,
    mut needs: watch::Receiver<RestDemand>,
    updates: mpsc::Sender<Update>,
    clock: Clock,
) {
    let mut poller = RestPoller {
        provider: source.provider,
        rest_client: AuthenticatedRest::new(connector, source, clock.clone()),
        updates,
        clock,
        schedule: Schedule::new(),
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
            if poller.perform(&job).await.is_err() {
                return;
            }
            continue;
        }
        tokio::select! {
            () = poller.clock.sleep_until(poller.schedule.due(now)) => {}
            // Looked at above, its end too.
            _ = needs.changed() => needs.mark_changed(),
        }
    }
}

/// The desk is gone.
struct ConsumerGone;

struct RestPoller {
    provider: FeedProvider,
    rest_client: AuthenticatedRest,
    updates: mpsc::Sender<Update>,
    clock: Clock,
    schedule: Schedule,
    reported: ReportedFailures,
    /// Of the agreed time, see [`RestDemand`].
    offset: Option<i64>,
}

impl RestPoller {
    fn want(&mut self, need: &RestDemand) {
        self.schedule.want(need);
        self.offset = need.offset;
    }

    /// The agreed time, if there is one.
    fn now(&self) -> Now {
        Now::with_offset(self.clock.now().monotonic, self.offset)
    }

    /// Asks, and tells the desk the answer.
    async fn perform(&mut self, job: &PollJob) -> Result<(), ConsumerGone> {
        let began = self.clock.now().monotonic;
        let outcome = match job {
            PollJob::Quotes(symbols) => self.quotes(symbols).await,
            PollJob::Market => self.market().await,
            PollJob::Minutes(symbol, from) => self.minutes(symbol, *from).await,
        };
        let now = self.now();
        if let Some((utc, ago)) = self.rest_client.take_date(now.monotonic.since(began)) {
            let at = now.monotonic - ago;
            let update = Update::ServerTime { at, utc };
            self.updates.send(update).await.map_err(|_| ConsumerGone)?;
        }
        let service = job.service();
        let updates = match outcome {
            Ok(updates) => updates,
            Err(refusal) => {
                let said = refusal.wait(now.utc);
                self.schedule
                    .failed(job, refusal.reason, said, now.monotonic);
                // Once: a hub without quotes is no fault of its link.
                if self.reported.failure(service, Some(refusal.reason)) {
                    log::log!(service.level(), "{}: {}", service.name(), refusal.reason);
                }
                return Ok(());
            }
        };
        self.reported.failure(service, None);
        self.schedule.answered(job, &updates, now.monotonic);
        for update in updates {
            self.updates.send(update).await.map_err(|_| ConsumerGone)?;
        }
        Ok(())
    }

    async fn quotes(&mut self, symbols: &[Symbol]) -> Result<Vec<Update>, RestError> {
        let body = self.rest_client.get(&path(self.provider, symbols)).await?;
        let QuotesReply { seeds, refused } = read(self.provider, &body, symbols)?;
        for (ticker, words) in self.reported.refused(refused, symbols) {
            log::warn!("{ticker}: the vendor says {words}");
        }
        let seeds = seeds.into_iter();
        Ok(seeds.map(|seed| Update::Seed(Box::new(seed))).collect())
    }

    async fn market(&mut self) -> Result<Vec<Update>, RestError> {
        let body = self
            .rest_client
            .get(market_status::path(self.provider))
            .await?;
        let (status, simulated) = market_status::status(&body).ok_or(Failure::Protocol)?;
        Ok(vec![Update::Market(status, simulated)])
    }

    async fn minutes(&mut self, symbol: &Symbol, from: Utc) -> Result<Vec<Update>, RestError> {
        // Before a day has begun there is nothing of it.
        let Some(to) = self.now().utc.filter(|to| *to > from) else {
            return Ok(Vec::new());
        };
        let path = aggregates::path(self.provider, symbol, from, to);
        let body = self.rest_client.get(&path).await?;
        let (bars, simulated) =
            aggregates::bars(&body, symbol, from, to).ok_or(Failure::Protocol)?;
        // Nothing traded is nothing to tell.
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

/// What an answer says.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct QuotesReply {
    /// Of each symbol of which it says something.
    pub seeds: Vec<InstrumentSnapshot>,
    /// The words for those it refuses, fit for a log.
    pub refused: Vec<(Ticker, String)>,
}

/// Asks once for what REST knows of these symbols. The secret goes to whoever is at the other end:
/// a plaintext hub must have been recognised before.
///
/// # Errors
/// Why there is no answer; an answer that lacks a symbol is no error.
pub async fn quotes(
    connector: &Connector,
    source: &FeedSource,
    symbols: &[Symbol],
) -> Result<QuotesReply, Failure> {
    let path = path(source.provider, symbols);
    let body = get(connector, &endpoint(source), &path, source).await;
    read(
        source.provider,
        &body.map_err(|refusal| refusal.reason)?,
        symbols,
    )
}

/// Where the REST of a source is.
pub(super) fn endpoint(source: &FeedSource) -> Endpoint {
    match source.provider {
        FeedProvider::Hub => source.endpoint.clone(),
        FeedProvider::Vendor => vendor_rest(&source.endpoint),
    }
}

/// Where the quotes of these are asked for.
fn path(provider: FeedProvider, symbols: &[Symbol]) -> String {
    match provider {
        FeedProvider::Hub => {
            // Indices by their plain names, as the proxy knows them.
            let names: Vec<String> = symbols.iter().map(Symbol::to_string).collect();
            format!("/api/quotes?tickers={}", names.join(","))
        }
        FeedProvider::Vendor => snapshot::path(symbols.iter().map(Symbol::ticker)),
    }
}

/// What an answer says of those that were asked for.
///
/// # Errors
/// It is no answer.
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
        }),
    };
    let mut answer = answer.map_err(|error| {
        log::debug!("quotes: {error}");
        Failure::Protocol
    })?;
    let asked = |ticker: &Ticker| symbols.iter().any(|symbol| symbol.ticker() == ticker);
    answer.seeds.retain(|seed| asked(&seed.ticker));
    answer.refused.retain(|(ticker, _)| asked(ticker));
    Ok(answer)
}

/// The vendor's words for what it refuses.
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
    use crate::market::Denial;

    fn symbols(names: &[&str]) -> Vec<Symbol> {
        names.iter().map(|name| name.parse().unwrap()).collect()
    }

    #[test]
    fn the_vendors_words_are_told_once_in_one_line_and_only_for_what_was_asked() {
        let body = br#"{"results":[{"ticker":"I:SPX","error":"NOT\nENTITLED\u001b[31m"},
            {"ticker":"I:\nforged","error":"NOT_FOUND"},{"ticker":"I:NDX","error":"NOT_FOUND"},
            {"ticker":"I:VIX","error":"NOT_FOUND"}]}"#;
        let (spx, vix) = (symbols(&["SPX"]), symbols(&["VIX"]));
        let refused = read(FeedProvider::Vendor, body, &spx).unwrap().refused;
        let words = (
            Ticker::try_from("I:SPX").unwrap(),
            "NOT ENTITLED [31m".into(),
        );
        assert_eq!(refused, [words]);
        let other = read(FeedProvider::Vendor, body, &vix).unwrap();
        assert_eq!(other.seeds[0].denial, Some(Denial::NotFound));
        let mut reported = ReportedFailures::default();
        assert_eq!(reported.refused(refused.clone(), &spx), refused);
        assert_eq!(reported.refused(refused.clone(), &spx), []);
        // An answer about another says nothing about this one.
        assert_eq!(reported.refused(other.refused.clone(), &vix), other.refused);
        assert_eq!(reported.refused(refused.clone(), &spx), []);
        assert_eq!(reported.refused(Vec::new(), &spx), []);
        assert_eq!(reported.refused(refused.clone(), &spx), refused);
    }

    #[test]
    fn a_failure_is_told_at_each_change_of_its_reason() {
        let mut reported = ReportedFailures::default();
        let news = [
            Some(Failure::Timeout),
            Some(Failure::Timeout),
            Some(Failure::Busy),
            None,
            Some(Failure::Busy),
        ]
        .map(|reason| reported.failure(RestService::Quotes, reason));
        assert_eq!(news, [true, false, true, false, true]);
        assert!(reported.failure(RestService::Market, Some(Failure::Busy)));
    }

    #[test]
    fn the_vendors_late_endpoint_is_known_by_its_name() {
        let delayed = |provider, text: &str| {
            let endpoint = Endpoint::parse(text).unwrap();
            let secret = None;
            FeedSource {
                provider,
                endpoint,
                secret,
            }
            .delayed()
        };
        assert!(delayed(FeedProvider::Vendor, "wss://delayed.massive.com"));
        assert!(!delayed(FeedProvider::Vendor, "wss://socket.massive.com"));
        assert!(!delayed(FeedProvider::Hub, "wss://delayed.example.org"));
    }
}
