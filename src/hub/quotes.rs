//! The vendor's REST, asked once for all displays. Owns the answers and when the next may be asked
//! for; what they mean is `rows`, how long they are good is `cache`.

mod cache;
mod rows;

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use crate::clock::Clock;
use crate::feed::net::{Connector, Endpoint};
use crate::feed::session::Source;
use crate::feed::{Why, rest, snapshot};
pub(super) use cache::Answer;
use cache::Cache;
use rows::Asked;

/// A market status is good this long.
const STATUS_TTL: Duration = Duration::from_secs(60);
/// Minutes are good this long: until there is another.
const MINUTES_TTL: Duration = Duration::from_secs(60);

/// A cache in front of the vendor's REST.
#[derive(Debug)]
pub struct Quotes {
    source: Arc<Source>,
    endpoint: Endpoint,
    connector: Connector,
    clock: Clock,
    /// Held for moments, never while somebody waits.
    cache: Mutex<Cache>,
    /// Whose turn it is to ask for a path; the others wait for the same answer.
    turns: Mutex<HashMap<String, Arc<tokio::sync::Mutex<()>>>>,
}

/// Why there is no answer.
#[derive(Clone, Debug, PartialEq)]
pub struct QuotesError {
    /// The reason.
    pub why: Why,
    /// After how many seconds to ask again; before that the vendor is not asked.
    pub retry_after: Option<u64>,
}

impl Quotes {
    /// An empty cache.
    pub fn new(source: Arc<Source>, connector: Connector, clock: Clock) -> Self {
        Self {
            endpoint: rest::vendor_rest(&source.endpoint),
            source,
            connector,
            clock,
            cache: Mutex::default(),
            turns: Mutex::default(),
        }
    }

    /// The body of `/api/quotes` for these tickers, as the caller wrote them and in that order.
    ///
    /// Beside the rows it has `age`, in seconds, and `stale: true` where the vendor could not be
    /// asked again in time.
    ///
    /// # Errors
    /// Why there is no answer.
    pub async fn quotes(&self, tickers: &[&str]) -> Result<String, QuotesError> {
        let asked: Vec<Asked<'_>> = tickers.iter().map(|ticker| Asked::new(ticker)).collect();
        // The same set is the same request, however it was written.
        let mut set: Vec<&str> = asked.iter().filter_map(Asked::ticker).collect();
        set.sort_unstable();
        set.dedup();
        let mut answers = Vec::new();
        for part in set.chunks(snapshot::TICKERS) {
            let path = snapshot::path(part.iter().copied());
            answers.push(self.ask(&path, rows::ttl).await?);
        }
        rows::body(&asked, &answers).map_err(|error| {
            log::debug!("quotes: {error}");
            Why::Protocol.into()
        })
    }

    /// The body of `/api/market/status`: the vendor's, with its `age` in seconds, and `stale: true`
    /// where the vendor could not be asked again in time.
    ///
    /// # Errors
    /// Why there is no answer.
    pub async fn market_status(&self) -> Result<String, QuotesError> {
        let object = |body: &[u8]| rows::status(body).ok().map(|_| STATUS_TTL);
        let answer = self.ask("/v1/marketstatus/now", object).await?;
        rows::aged_status(&answer).map_err(|_| Why::Protocol.into())
    }

    /// The vendor's minutes at a path of its own, of which `known` knows whether they can be read.
    ///
    /// # Errors
    /// Why there is no answer.
    pub(super) async fn minutes(
        &self,
        path: &str,
        known: impl Fn(&[u8]) -> bool,
    ) -> Result<Answer, QuotesError> {
        self.ask(path, |body| known(body).then_some(MINUTES_TTL))
            .await
    }

    /// The answer at a path: kept, or new. `ttl` says how long a new one is good, or that it
    /// cannot be understood.
    async fn ask(
        &self,
        path: &str,
        ttl: impl Fn(&[u8]) -> Option<Duration>,
    ) -> Result<Answer, QuotesError> {
        if let Some(kept) = self.kept(path) {
            return kept;
        }
        let turn = self.turn(path);
        let _mine = turn.lock().await;
        // Whoever had the turn before may have brought the answer, or a reason not to ask.
        if let Some(kept) = self.kept(path) {
            return kept;
        }
        let outcome = rest::get(&self.connector, &self.endpoint, path, &self.source).await;
        let outcome = outcome.and_then(|body| match ttl(&body) {
            Some(ttl) => Ok((body, ttl)),
            None => Err(Why::Protocol.into()),
        });
        let now = self.clock.now();
        let mut cache = lock(&self.cache);
        match outcome {
            Ok((body, ttl)) => Ok(cache.answered(path, body, ttl, now.monotonic)),
            Err(refusal) => {
                log::warn!("quotes: {}", refusal.why);
                cache.failed(path, &refusal, now)
            }
        }
    }

    fn kept(&self, path: &str) -> Option<Result<Answer, QuotesError>> {
        lock(&self.cache).look(path, self.clock.now().monotonic)
    }

    fn turn(&self, path: &str) -> Arc<tokio::sync::Mutex<()>> {
        let mut turns = lock(&self.turns);
        turns.retain(|_, turn| Arc::strong_count(turn) > 1);
        turns.entry(path.to_owned()).or_default().clone()
    }
}

impl From<Why> for QuotesError {
    fn from(why: Why) -> Self {
        Self {
            why,
            retry_after: None,
        }
    }
}

/// What is behind these locks is whole after each statement, so a panic elsewhere spoils nothing.
fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
