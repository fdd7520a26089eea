//! The cache of the REST responses of the server above, which is the vendor or another hub. It sends
//! each question once for all clients. Owns the responses and the locks of the requests in progress. This module does not
//! define the content of the responses (see `quote_rows`) or their lifetime (see `cache`).

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use hyper::Method;
use hyper::body::Bytes;
use tokio::sync::watch;

pub(crate) use super::cache::CachedAnswer;
use super::cache::{self, AnswerInfo, Cache, QuotesError};
use super::demand::Demand;
use super::quote_rows::{self, QuoteRequest, RowFailure};
use super::split;
use crate::feed::auth::AuthenticatedRest;
use crate::hub::UpstreamServer;
use crate::hub::auth::registry::Device;
use crate::hub::metrics::Metrics;
use crate::market::{Calendar, Symbol, Ticker};
use crate::massive::{self, UnreadableRows, snapshot};
use crate::net::connector::Connector;
use crate::net::failure::Failure;
use crate::net::http::{self, RestError};
use crate::net::source::{FeedProvider, FeedSource};
use crate::time::{Clock, Moment, Now};

/// The maximum number of additional requests that find out which ticker of a refused request the
/// vendor refuses.
const SPLITS: usize = 16;

/// The time after which no further request is split. The other devices wait for these requests.
const SPLIT_LIMIT: Duration = Duration::from_secs(5);

/// The maximum number of different tickers of one device, if the device has no smaller share. More
/// tickers would need too much memory.
const TICKERS_MOST: usize = 10_000;

/// The device that sends a request, with its limit.
#[derive(Clone, Debug)]
pub struct Asker {
    /// The device.
    pub device: Device,
    /// The maximum number of different tickers that the device may request within ten minutes.
    pub most_tickers: usize,
}

/// A cache for the REST responses of the vendor.
pub struct QuoteCache {
    server: watch::Receiver<UpstreamServer>,
    connector: Connector,
    calendar: Calendar,
    clock: Clock,
    /// The vendor's last report on a WebSocket connection: true if its prices are simulated.
    greeted: watch::Receiver<Option<bool>>,
    metrics: Arc<Metrics>,
    /// The cached responses. The lock is held only for short operations, never during an `await`.
    cache: Mutex<Cache>,
    /// The server above to which the refusals in `cache` belong, and its index in its list of hubs.
    asked: Mutex<(UpstreamServer, usize)>,
    /// The client for a hub above, with its short-lived token; `None` before the first request, and
    /// for the vendor.
    rest: Mutex<Option<AuthenticatedRest>>,
    /// The tickers that the devices request.
    demand: Mutex<Demand>,
    /// The lock of the snapshot request in progress. The next request contains the tickers of all
    /// callers that wait for this lock.
    snapshot_lock: tokio::sync::Mutex<()>,
    /// One lock for each path with a request in progress. Other callers with this path wait for the
    /// same response.
    request_locks: Mutex<HashMap<String, Arc<tokio::sync::Mutex<()>>>>,
    /// The tickers whose rows could not be read the last time. Each of them is logged once.
    unreadable: Mutex<UnreadableRows>,
}

/// Returns the body of `/api/quotes` for these tickers, from a vendor snapshot of this age. Returns
/// `None` if the body is not a snapshot.
pub fn answer(tickers: &[&str], snapshot: &[u8], age: Duration, stale: bool) -> Option<String> {
    // The lifetime of the rows is not used here.
    let now = Now {
        monotonic: Moment::ZERO,
        utc: None,
    };
    let request = QuoteRequest::new(tickers, false);
    let symbols = request.symbols().map(Symbol::ticker);
    let symbols: Vec<Ticker> = symbols
        .filter_map(|ticker| Ticker::try_from(ticker).ok())
        .collect();
    let (rows, _) = quote_rows::read(snapshot, &symbols, &Calendar::us(), now)?;
    let rows = rows.into_iter().map(|row| {
        Ok(CachedAnswer {
            body: row.body,
            age: age + row.known.age,
            stale: stale || row.known.stale,
            simulated: row.known.simulated == Some(true),
        })
    });
    Some(quote_rows::body(&request, rows.collect(), false))
}

impl QuoteCache {
    /// Creates an empty cache. `greeted` contains the vendor's last report on a WebSocket
    /// connection: true if its prices are simulated.
    pub fn new(
        server: watch::Receiver<UpstreamServer>,
        connector: Connector,
        calendar: Calendar,
        clock: Clock,
        greeted: watch::Receiver<Option<bool>>,
        metrics: Arc<Metrics>,
    ) -> Self {
        let asked = Mutex::new((server.borrow().clone(), connector.active()));
        Self {
            server,
            asked,
            rest: Mutex::default(),
            connector,
            calendar,
            clock,
            greeted,
            metrics,
            cache: Mutex::default(),
            demand: Mutex::default(),
            snapshot_lock: tokio::sync::Mutex::default(),
            request_locks: Mutex::default(),
            unreadable: Mutex::default(),
        }
    }

    /// Returns the body of `/api/quotes` for these tickers, in the order of the request. Each row
    /// contains `age` in seconds, `stale`, `simulated` and `delayed`; a row without data contains
    /// `error` and `message`.
    ///
    /// # Errors
    /// The vendor gives no usable response, and the cache has no old row, for any ticker.
    pub async fn quotes(
        &self,
        asker: &Asker,
        request: &QuoteRequest<'_>,
    ) -> Result<String, QuotesError> {
        let symbols: Vec<Symbol> = request.symbols().cloned().collect();
        let rows = self.rows(asker, &symbols).await?;
        Ok(quote_rows::body(request, rows, self.is_simulated()))
    }

    /// Returns the row of each symbol, in this order, from the cache or from the vendor.
    ///
    /// # Errors
    /// As [`QuoteCache::quotes`].
    pub(crate) async fn rows(
        &self,
        asker: &Asker,
        symbols: &[Symbol],
    ) -> Result<Vec<Result<CachedAnswer, RowFailure>>, QuotesError> {
        let most = asker.most_tickers.min(TICKERS_MOST);
        let asked = self.clock.now().monotonic;
        let note = |symbol: &Symbol| {
            let ticker = Ticker::try_from(symbol.ticker()).ok()?;
            lock(&self.demand)
                .note(&asker.device, &ticker, most, asked)
                .then_some(ticker)
        };
        let allowed: Vec<Option<Ticker>> = symbols.iter().map(note).collect();
        let missing = || -> Vec<Ticker> {
            let missing = allowed.iter().flatten();
            let mut missing: Vec<Ticker> = missing
                .filter(|ticker| self.cached(ticker).is_none())
                .cloned()
                .collect();
            missing.sort_unstable();
            missing.dedup();
            missing
        };
        if !missing().is_empty() {
            let _turn = self.snapshot_lock.lock().await;
            // The previous owner of the lock may have requested these tickers too.
            let missing = missing();
            if !missing.is_empty() {
                self.fetch(missing).await;
            }
        }
        let row = |ticker: &Option<Ticker>| match ticker {
            None => Err(RowFailure::TooManyTickers(most)),
            Some(ticker) => {
                // The lifetime of a row can end while the hub requests another row of the same
                // client. The response of a replaced vendor is not stored.
                let now = self.clock.now().monotonic;
                let last = || self.current_cache().last(ticker, asked, now).map(Ok);
                let cached = self.cached(ticker).or_else(last);
                let cached = cached.unwrap_or_else(|| Err(Failure::Lost.into()));
                cached.map_err(RowFailure::Vendor)
            }
        };
        if allowed.iter().any(Option::is_none) {
            self.metrics.refused_device_share.add(1);
        }
        let rows: Vec<_> = allowed.iter().map(row).collect();
        // Without any row, the whole response is an error, unless the reasons differ: the reason of
        // one row would then be false for another row.
        if let Some(Err(RowFailure::Vendor(first))) = rows.first()
            && first.reason != Failure::Limit
            && rows.iter().all(|row| match row {
                Err(RowFailure::Vendor(error)) => {
                    (error.reason, error.status) == (first.reason, first.status)
                }
                _ => false,
            })
        {
            return Err(first.clone());
        }
        Ok(rows)
    }

    /// Requests the rows of these tickers, and in the same requests the rows that other devices
    /// need soon. `missing` is sorted. A refusal applies only to `missing`, because the other devices
    /// send their own requests, unless the vendor also refuses the rows of the other devices alone.
    async fn fetch(&self, missing: Vec<Ticker>) {
        let begun = self.clock.now().monotonic;
        let recent = lock(&self.demand).recent(begun);
        let room = missing.len().next_multiple_of(snapshot::TICKERS) - missing.len();
        let due = {
            let cache = self.current_cache();
            let due = recent.into_iter().filter(|ticker| {
                !missing.contains(ticker) && cache.ends_within(ticker, quote_rows::TTL, begun)
            });
            due.take(room).collect::<Vec<_>>()
        };
        let all = [&*missing, &*due].concat();
        let batches = all.chunks(snapshot::TICKERS);
        let mut batches: VecDeque<Vec<Ticker>> = batches.map(<[Ticker]>::to_vec).collect();
        let mut left = SPLITS;
        let mut is_answered = false;
        while let Some(batch) = batches.pop_front() {
            let Err(refusal) = self.fetch_batch(&batch).await else {
                is_answered = true;
                continue;
            };
            let now = self.clock.now();
            if cache::is_about_the_tickers(&refusal) {
                let is_own = |ticker: &Ticker| missing.binary_search(ticker).is_ok();
                let (own, others): (Vec<_>, Vec<_>) = batch.iter().cloned().partition(is_own);
                if !own.is_empty() && !others.is_empty() {
                    batches.extend([own, others]);
                    continue;
                }
                if own.is_empty() && is_answered {
                    continue;
                }
                let answered = |ticker: &Ticker| self.current_cache().has_answered(ticker);
                let parts = split::parts(&batch, &refusal, answered);
                let is_in_time = now.monotonic.since(begun) < SPLIT_LIMIT;
                let may_split = refusal.status.is_some() && is_in_time && others.is_empty();
                if may_split && parts.len() > 1 && parts.len() <= left {
                    left -= parts.len();
                    batches.extend(parts);
                    continue;
                }
            }
            let tickers: Vec<&str> = batch.iter().map(Ticker::as_str).collect();
            self.current_cache().failed(&tickers, &refusal, now);
        }
    }

    /// Requests the rows of these tickers and stores them.
    async fn fetch_batch(&self, batch: &[Ticker]) -> Result<(), RestError> {
        let path = snapshot::path(batch.iter().map(Ticker::as_str));
        let (outcome, before) = self.send(&path).await;
        let now = self.clock.now();
        let outcome = outcome.and_then(|body| {
            let rows = quote_rows::read(&body, batch, &self.calendar, now);
            Ok(rows.ok_or(Failure::Protocol)?)
        });
        self.count(&path, &outcome);
        let (rows, unreadable) = outcome?;
        for row in rows {
            if self.is_replaced(before, row.known.simulated) {
                continue;
            }
            let mut cache = self.current_cache();
            match row.refused {
                Some(reason) => cache.refused_row(&row.ticker, reason, now.monotonic),
                None => cache.answered(&row.ticker, row.body, row.known, now.monotonic),
            }
        }
        let mut known = lock(&self.unreadable);
        let news = massive::news(&mut known, unreadable, |ticker| batch.contains(ticker));
        for (ticker, error) in news {
            log::warn!("{ticker}: the vendor's row in a REST response cannot be read: {error}");
        }
        Ok(())
    }

    /// Returns the body of the market status: the vendor's response with `age` in seconds, `stale`,
    /// `simulated` and `delayed`.
    ///
    /// # Errors
    /// The vendor gives no usable response, and the cache has no old response.
    pub async fn market_status(&self) -> Result<String, QuotesError> {
        let known = |body: &[u8], now| quote_rows::known_status(body, &self.calendar, now);
        let answer = self.ask("/v1/marketstatus/now", known).await?;
        quote_rows::with_age(&answer).ok_or_else(|| Failure::Protocol.into())
    }

    /// Returns true if the vendor has reported simulated prices.
    pub(super) fn is_simulated(&self) -> bool {
        self.simulated() == Some(true)
    }

    /// Returns true if the vendor's prices are simulated; `None` before the vendor's first report.
    pub(crate) fn simulated(&self) -> Option<bool> {
        self.current_cache().simulated
    }

    /// Returns the response for a path, from the cache or from the vendor. `known` reads a new body
    /// and returns `None` if the body is invalid.
    ///
    /// # Errors
    /// The vendor gives no usable response, and the cache has no old response.
    pub(super) async fn ask(
        &self,
        path: &str,
        known: impl Fn(&[u8], Now) -> Option<AnswerInfo>,
    ) -> Result<CachedAnswer, QuotesError> {
        if let Some(cached) = self.cached(path) {
            return cached;
        }
        let request_lock = self.request_lock(path);
        let _mine = request_lock.lock().await;
        // The previous owner of the lock may have stored a response or started a backoff.
        if let Some(cached) = self.cached(path) {
            return cached;
        }
        let (outcome, before) = self.send(path).await;
        let now = self.clock.now();
        let outcome = outcome.and_then(|body| {
            let known = known(&body, now).ok_or(Failure::Protocol)?;
            Ok((body, known))
        });
        self.count(path, &outcome);
        match outcome {
            Ok((_, known)) if self.is_replaced(before, known.simulated) => {
                return Err(Failure::Lost.into());
            }
            Ok((body, known)) => self
                .current_cache()
                .answered(path, body, known, now.monotonic),
            Err(refusal) => self.current_cache().failed(&[path], &refusal, now),
        }
        let cached = self.current_cache().look(path, now.monotonic);
        cached.unwrap_or_else(|| Err(Failure::Lost.into()))
    }

    /// Sends a request to the vendor. Also returns the vendor's last report on a WebSocket
    /// connection before the request.
    async fn send(&self, path: &str) -> (Result<Bytes, RestError>, Option<bool>) {
        let before = *self.greeted.borrow();
        let source = self.server.borrow().rest.clone();
        let outcome = match source.provider {
            FeedProvider::Vendor => http::fetch(&self.connector, &source, Method::GET, path).await,
            FeedProvider::Hub => self.send_to_hub(source, path).await,
        };
        (outcome, before)
    }

    /// Sends a request to the hub above. Requests can run at the same time, so each of them has a
    /// client of its own.
    async fn send_to_hub(&self, source: FeedSource, path: &str) -> Result<Bytes, RestError> {
        let known = lock(&self.rest).clone();
        let known = known.filter(|rest| rest.is_for(&source));
        let mut rest = known.unwrap_or_else(|| {
            AuthenticatedRest::new(self.connector.clone(), source.into(), self.clock.clone())
        });
        let outcome = rest.get(path).await;
        *lock(&self.rest) = Some(rest);
        outcome.map_err(|error| RestError {
            reason: error.reason.for_hub(FeedProvider::Hub),
            ..error
        })
    }

    /// Returns true if the server above does not answer REST requests.
    pub(in crate::hub) fn is_failing(&self) -> bool {
        self.current_cache().is_failing()
    }

    /// Counts a request to the vendor.
    fn count<T>(&self, path: &str, outcome: &Result<T, RestError>) {
        let result = match outcome {
            Ok(_) => "ok".to_owned(),
            Err(refusal) => format!("{:?}", refusal.reason).to_ascii_lowercase(),
        };
        self.metrics.vendor_requests.add(path_of(path), result);
    }

    /// Returns true if the vendor was replaced during a request, and the response comes from the old
    /// vendor.
    fn is_replaced(&self, before: Option<bool>, simulated: Option<bool>) -> bool {
        let after = *self.greeted.borrow();
        after != before && simulated.is_some_and(|simulated| after == Some(!simulated))
    }

    fn cached(&self, question: &str) -> Option<Result<CachedAnswer, QuotesError>> {
        self.current_cache()
            .look(question, self.clock.now().monotonic)
    }

    /// Locks the cache, after it has removed the responses of another vendor and the refusals of
    /// another key.
    fn current_cache(&self) -> MutexGuard<'_, Cache> {
        let mut cache = lock(&self.cache);
        let (mut asked, server) = (lock(&self.asked), self.server.borrow());
        let active = self.connector.active();
        if (&asked.0, asked.1) != (&*server, active) {
            *asked = (server.clone(), active);
            cache.end_backoffs();
        }
        if let Some(simulated) = *self.greeted.borrow() {
            cache.greeted(simulated);
        }
        cache
    }

    fn request_lock(&self, path: &str) -> Arc<tokio::sync::Mutex<()>> {
        let mut request_locks = lock(&self.request_locks);
        request_locks.retain(|_, request_lock| Arc::strong_count(request_lock) > 1);
        request_locks.entry(path.to_owned()).or_default().clone()
    }
}

/// Returns the first two parts of a path of the vendor. The metrics must not contain a ticker.
fn path_of(path: &str) -> &'static str {
    const PATHS: [&str; 3] = ["/v3/snapshot", "/v2/aggs", "/v1/marketstatus"];
    let mut paths = PATHS.into_iter();
    paths
        .find(|known| path.starts_with(known))
        .unwrap_or("(other path)")
}

impl From<Failure> for QuotesError {
    fn from(reason: Failure) -> Self {
        Self {
            reason,
            retry_after: None,
            status: None,
        }
    }
}

/// Locks a mutex. A poisoned lock is safe to use, because the data is consistent after each
/// statement.
pub(super) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
