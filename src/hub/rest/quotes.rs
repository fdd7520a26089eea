//! The cache of the vendor's REST, which sends each request to the vendor once for all clients.
//! Owns the responses and the locks of the requests in progress. This module does not define the
//! content of the responses (see `quote_rows`) or their lifetime (see `cache`).

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use hyper::Method;
use hyper::body::Bytes;
use tokio::sync::watch;

pub(crate) use super::cache::CachedAnswer;
use super::cache::{AnswerInfo, Cache, QuotesError};
use super::quote_rows::{self, RequestedTicker};
use crate::hub::Vendor;
use crate::hub::metrics::Metrics;
use crate::market::Calendar;
use crate::massive::{self, UnreadableRows, snapshot};
use crate::net::connector::Connector;
use crate::net::failure::Failure;
use crate::net::http;
use crate::time::{Clock, Now};

/// A cache in front of the vendor's REST.
#[derive(Debug)]
pub struct QuoteCache {
    vendor: watch::Receiver<Vendor>,
    connector: Connector,
    calendar: Calendar,
    clock: Clock,
    /// The vendor's last report on a WebSocket connection: true if its prices are simulated.
    greeted: watch::Receiver<Option<bool>>,
    metrics: Arc<Metrics>,
    /// The cached responses. The lock is held only for short operations, never during an `await`.
    cache: Mutex<Cache>,
    /// One lock for each path with a request in progress. Other callers with this path wait for the
    /// same response.
    request_locks: Mutex<HashMap<String, Arc<tokio::sync::Mutex<()>>>>,
    /// The tickers whose rows could not be read the last time. Each of them is logged once.
    unreadable: Mutex<UnreadableRows>,
}

/// Returns the body of `/api/quotes` for these tickers, from a vendor snapshot of this age. Returns
/// `None` if the body is not a snapshot.
pub fn answer(tickers: &[&str], snapshot: &[u8], age: Duration, stale: bool) -> Option<String> {
    let body = Bytes::copy_from_slice(snapshot);
    quote_rows::body(
        &quote_rows::requested(tickers),
        &[CachedAnswer { body, age, stale }],
    )
    .ok()
    .map(|(body, _)| body)
}

impl QuoteCache {
    /// Creates an empty cache. `greeted` contains the vendor's last report on a WebSocket
    /// connection: true if its prices are simulated.
    pub fn new(
        vendor: watch::Receiver<Vendor>,
        connector: Connector,
        calendar: Calendar,
        clock: Clock,
        greeted: watch::Receiver<Option<bool>>,
        metrics: Arc<Metrics>,
    ) -> Self {
        Self {
            vendor,
            connector,
            calendar,
            clock,
            greeted,
            metrics,
            cache: Mutex::default(),
            request_locks: Mutex::default(),
            unreadable: Mutex::default(),
        }
    }

    /// Returns the body of `/api/quotes` for these tickers, in the form and the order of the
    /// request.
    ///
    /// Besides the rows, the body contains `age` in seconds, `stale: true` if no newer response is
    /// available, and `simulated: true` if the vendor reports simulated prices.
    ///
    /// # Errors
    /// The vendor gives no usable response, and the cache has no old response.
    pub async fn quotes(&self, tickers: &[&str]) -> Result<String, QuotesError> {
        let requested = quote_rows::requested(tickers);
        // Requests for the same tickers share one path, even if the order or the spelling is
        // different.
        let mut set: Vec<&str> = requested
            .iter()
            .filter_map(RequestedTicker::ticker)
            .collect();
        set.sort_unstable();
        set.dedup();
        let mut answers = Vec::new();
        for part in set.chunks(snapshot::TICKERS) {
            let path = snapshot::path(part.iter().copied());
            let known = |body: &[u8], now| quote_rows::known(body, &requested, &self.calendar, now);
            answers.push(self.ask(&path, known).await?);
        }
        let (body, unreadable) = quote_rows::body(&requested, &answers).map_err(|error| {
            log::debug!("cannot parse the quotes response of the vendor: {error}");
            Failure::Protocol
        })?;
        let mut known = lock(&self.unreadable);
        let news = massive::news(&mut known, unreadable, |ticker| {
            set.contains(&ticker.as_str())
        });
        for (ticker, error) in news {
            log::warn!("{ticker}: the vendor's row in a REST response cannot be read: {error}");
        }
        Ok(body)
    }

    /// Returns the body of `/api/market/status`: the vendor's response with its `age` in seconds,
    /// and `stale: true` if no newer response is available.
    ///
    /// # Errors
    /// The vendor gives no usable response, and the cache has no old response.
    pub async fn market_status(&self) -> Result<String, QuotesError> {
        let known = |body: &[u8], now| quote_rows::known_status(body, &self.calendar, now);
        let answer = self.ask("/v1/marketstatus/now", known).await?;
        quote_rows::aged_status(&answer).map_err(|_| Failure::Protocol.into())
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
        let before = *self.greeted.borrow();
        let source = self.vendor.borrow().rest.clone();
        let outcome = http::fetch(&self.connector, &source, Method::GET, path).await;
        let now = self.clock.now();
        let outcome = outcome.and_then(|body| {
            let known = known(&body, now).ok_or(Failure::Protocol)?;
            Ok((body, known))
        });
        let result = match &outcome {
            Ok(_) => "ok".to_owned(),
            Err(refusal) => format!("{:?}", refusal.reason).to_ascii_lowercase(),
        };
        self.metrics.vendor_requests.add(path_of(path), result);
        let mut cache = self.current_cache();
        let after = *self.greeted.borrow();
        match outcome {
            // The vendor was replaced during the request, and this response comes from the old
            // vendor.
            Ok((_, known)) if after != before && after == Some(!known.simulated) => {
                Err(Failure::Lost.into())
            }
            Ok((body, known)) => Ok(cache.answered(path, body, known, now.monotonic)),
            Err(refusal) => cache.failed(path, &refusal, now),
        }
    }

    fn cached(&self, path: &str) -> Option<Result<CachedAnswer, QuotesError>> {
        self.current_cache().look(path, self.clock.now().monotonic)
    }

    /// Locks the cache, after it has removed the responses of another vendor.
    fn current_cache(&self) -> MutexGuard<'_, Cache> {
        let mut cache = lock(&self.cache);
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
        }
    }
}

/// Locks a mutex. A poisoned lock is safe to use, because the data is consistent after each
/// statement.
pub(super) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
