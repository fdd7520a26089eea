//! The vendor's REST, asked once for all displays. Owns the answers and when the next may be asked
//! for; what they mean is `rows`, how long they are good is `cache`.

use crate::hub::rest::quote_rows;

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use hyper::body::Bytes;
use tokio::sync::watch;

use crate::feed::session::FeedSource;
use crate::feed::{Failure, poller};
pub(crate) use crate::hub::rest::cache::CachedAnswer;
use crate::hub::rest::cache::{AnswerInfo, Cache};
use crate::hub::rest::quote_rows::RequestedTicker;
use crate::market::Calendar;
use crate::massive::snapshot;
use crate::net::connector::{Connector, Endpoint};
use crate::time::{Clock, Now};

/// Minutes are good this long: until there is another.
const MINUTES_TTL: Duration = Duration::from_secs(60);

/// A cache in front of the vendor's REST.
#[derive(Debug)]
pub struct QuoteCache {
    source: Arc<FeedSource>,
    endpoint: Endpoint,
    connector: Connector,
    calendar: Calendar,
    clock: Clock,
    /// Whether the vendor's prices are simulated, by what it last said on a socket.
    greeted: watch::Receiver<Option<bool>>,
    /// Held for moments, never while somebody waits.
    cache: Mutex<Cache>,
    /// Whose turn it is to ask for a path; the others wait for the same answer.
    request_locks: Mutex<HashMap<String, Arc<tokio::sync::Mutex<()>>>>,
}

/// Why there is no answer.
#[derive(Clone, Debug, PartialEq)]
pub struct QuotesError {
    /// The reason.
    pub reason: Failure,
    /// After how many seconds to ask again; before that the vendor is not asked.
    pub retry_after: Option<u64>,
}

/// The body of `/api/quotes` for these tickers, as a hub makes it of a snapshot of the vendor's that
/// is so old; `None` if that is no snapshot.
pub fn answer(tickers: &[&str], snapshot: &[u8], age: Duration, stale: bool) -> Option<String> {
    let asked: Vec<_> = tickers
        .iter()
        .map(|ticker| RequestedTicker::new(ticker))
        .collect();
    let body = Bytes::copy_from_slice(snapshot);
    quote_rows::body(&asked, &[CachedAnswer { body, age, stale }]).ok()
}

impl QuoteCache {
    /// An empty cache. `greeted` is whether the vendor's prices are simulated, as far as it has
    /// said so on a socket.
    pub fn new(
        source: Arc<FeedSource>,
        connector: Connector,
        calendar: Calendar,
        clock: Clock,
        greeted: watch::Receiver<Option<bool>>,
    ) -> Self {
        Self {
            endpoint: poller::vendor_rest(&source.endpoint),
            source,
            connector,
            calendar,
            clock,
            greeted,
            cache: Mutex::default(),
            request_locks: Mutex::default(),
        }
    }

    /// The body of `/api/quotes` for these tickers, as the caller wrote them and in that order.
    ///
    /// Beside the rows it has `age`, in seconds, `stale: true` where the vendor could not be asked
    /// again in time, and `simulated: true` where the vendor says so.
    ///
    /// # Errors
    /// Why there is no answer.
    pub async fn quotes(&self, tickers: &[&str]) -> Result<String, QuotesError> {
        let asked: Vec<RequestedTicker<'_>> = tickers
            .iter()
            .map(|ticker| RequestedTicker::new(ticker))
            .collect();
        // The same set is the same request, however it was written.
        let mut set: Vec<&str> = asked.iter().filter_map(RequestedTicker::ticker).collect();
        set.sort_unstable();
        set.dedup();
        let mut answers = Vec::new();
        for part in set.chunks(snapshot::TICKERS) {
            let path = snapshot::path(part.iter().copied());
            let known = |body: &[u8], now| quote_rows::known(body, &asked, &self.calendar, now);
            answers.push(self.ask(&path, known).await?);
        }
        quote_rows::body(&asked, &answers).map_err(|error| {
            log::debug!("quotes: {error}");
            Failure::Protocol.into()
        })
    }

    /// The body of `/api/market/status`: the vendor's, with its `age` in seconds, and `stale: true`
    /// where the vendor could not be asked again in time.
    ///
    /// # Errors
    /// Why there is no answer.
    pub async fn market_status(&self) -> Result<String, QuotesError> {
        let known = |body: &[u8], now| quote_rows::known_status(body, &self.calendar, now);
        let answer = self.ask("/v1/marketstatus/now", known).await?;
        quote_rows::aged_status(&answer).map_err(|_| Failure::Protocol.into())
    }

    /// The vendor's minutes at a path of its own. `simulated` is whether they say that they are not
    /// real; `None` if they cannot be read.
    ///
    /// # Errors
    /// Why there is no answer.
    pub(crate) async fn minutes(
        &self,
        path: &str,
        simulated: impl Fn(&[u8]) -> Option<bool>,
    ) -> Result<CachedAnswer, QuotesError> {
        let known = |body: &[u8], _| {
            Some(AnswerInfo {
                ttl: MINUTES_TTL,
                simulated: simulated(body)?,
            })
        };
        self.ask(path, known).await
    }

    /// Whether the vendor's prices are simulated, as far as it has said so.
    pub(crate) fn simulated(&self) -> Option<bool> {
        self.current_cache().simulated()
    }

    /// The answer at a path: kept, or new. `known` reads a new one; `None` if it cannot be
    /// understood.
    async fn ask(
        &self,
        path: &str,
        known: impl Fn(&[u8], Now) -> Option<AnswerInfo>,
    ) -> Result<CachedAnswer, QuotesError> {
        if let Some(cached) = self.cached(path) {
            return cached;
        }
        let request_lock = self.request_lock(path);
        let _mine = request_lock.lock().await;
        // Whoever had the turn before may have brought the answer, or a reason not to ask.
        if let Some(cached) = self.cached(path) {
            return cached;
        }
        let before = *self.greeted.borrow();
        let outcome = poller::get(&self.connector, &self.endpoint, path, &self.source).await;
        let now = self.clock.now();
        let outcome = outcome.and_then(|body| match known(&body, now) {
            Some(known) => Ok((body, known)),
            None => Err(Failure::Protocol.into()),
        });
        let mut cache = self.current_cache();
        let after = *self.greeted.borrow();
        match outcome {
            // The vendor was replaced while it was asked, and this is the old one's answer.
            Ok((_, known)) if after != before && after == Some(!known.simulated) => {
                Err(Failure::Lost.into())
            }
            Ok((body, known)) => Ok(cache.answered(path, body, known, now.monotonic)),
            Err(refusal) => {
                log::warn!("quotes: {}", refusal.reason);
                cache.failed(path, &refusal, now)
            }
        }
    }

    fn cached(&self, path: &str) -> Option<Result<CachedAnswer, QuotesError>> {
        self.current_cache().look(path, self.clock.now().monotonic)
    }

    /// The cache, without what another vendor has said.
    fn current_cache(&self) -> std::sync::MutexGuard<'_, Cache> {
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

impl From<Failure> for QuotesError {
    fn from(reason: Failure) -> Self {
        Self {
            reason,
            retry_after: None,
        }
    }
}

/// What is behind these locks is whole after each statement, so a panic elsewhere spoils nothing.
fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
