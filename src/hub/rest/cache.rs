//! Stores the vendor's REST responses, their lifetimes and the backoff after a failure. Pure: the
//! time is an argument, and this module does no I/O.

use std::collections::HashMap;
use std::hash::Hash;
use std::time::Duration;

use hyper::body::Bytes;

use crate::net::failure::Failure;
use crate::net::http::RestError;
use crate::time::{Moment, Now};

/// The failure of a request.
#[derive(Clone, Debug, PartialEq)]
pub struct QuotesError {
    /// The reason of the failure.
    pub reason: Failure,
    /// The number of seconds until the next attempt; the hub sends no request to the vendor before
    /// that time.
    pub retry_after: Option<u64>,
}

/// The maximum number of cached responses.
const ENTRIES: usize = 256;
/// The maximum size of all cached bodies together, in bytes.
const SIZE: usize = 8 << 20;
/// The maximum age of a stale response. An older response is not used, for any kind of failure.
const STALE_LIMIT: Duration = Duration::from_secs(600);
/// The wait after the vendor refuses the key. An early retry would be refused again.
const REFUSED: Duration = Duration::from_secs(60);
/// The wait after a "too many requests" response without `Retry-After`. The vendor's smallest plan
/// allows five requests a minute.
const BUSY: Duration = Duration::from_secs(12);
/// The wait after any other failure.
const FAILED: Duration = Duration::from_secs(2);
/// The maximum value of `Retry-After`.
const WAIT_LIMIT: Duration = Duration::from_secs(3600);

/// A response and its age.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct CachedAnswer {
    pub(crate) body: Bytes,
    pub(crate) age: Duration,
    /// True if the lifetime of the response has ended and no newer response is available.
    pub(crate) stale: bool,
}

/// The properties of a new response.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct AnswerInfo {
    /// The lifetime of the response.
    pub(crate) ttl: Duration,
    /// True if the response reports simulated prices.
    pub(crate) simulated: bool,
}

#[derive(Debug)]
struct CacheEntry {
    body: Bytes,
    at: Moment,
    known: AnswerInfo,
}

/// The end of the wait before the next request to the vendor, and the reason of the wait.
#[derive(Clone, Copy, Debug)]
struct VendorBackoff {
    until: Moment,
    reason: Failure,
}

/// The cached responses by path. All of them are real, or all of them are simulated.
#[derive(Debug, Default)]
pub(crate) struct Cache {
    entries: HashMap<String, CacheEntry>,
    /// The vendor's last report by REST or WebSocket: true if its prices are simulated; `None`
    /// before the first report.
    pub(super) simulated: Option<bool>,
    /// The vendor's last report on a WebSocket connection.
    greeted: Option<bool>,
    /// The backoff for all requests.
    hold: Option<VendorBackoff>,
    /// The last failure that the log contains, until the next response.
    reported: Option<Failure>,
    /// The backoff for each refused service. A plan may include one service and not include another
    /// service.
    refused: HashMap<String, VendorBackoff>,
}

/// Returns the part of a path that a plan includes or excludes: the path without the query. For the
/// bars of a ticker, the times are removed too.
fn service(path: &str) -> &str {
    let path = path.split_once('?').map_or(path, |(service, _)| service);
    path.split_once("/range/")
        .map_or(path, |(ticker, _)| ticker)
}

impl Cache {
    /// Applies the vendor's last report on a WebSocket connection: true if its prices are
    /// simulated. The same report applies only once, because a later REST response is newer than
    /// the report.
    pub(crate) fn greeted(&mut self, simulated: bool) {
        if self.greeted.replace(simulated) != Some(simulated) {
            self.set_simulated(simulated);
        }
    }

    /// Sets whether the vendor's prices are simulated. A change removes the responses of the other
    /// kind, because they belong to another vendor.
    fn set_simulated(&mut self, simulated: bool) {
        if self.simulated.replace(simulated) != Some(simulated) {
            self.entries
                .retain(|_, entry| entry.known.simulated == simulated);
        }
    }

    /// Returns the cached response for a path, or the error during a backoff. Returns `None` if the
    /// caller must send a request.
    pub(crate) fn look(
        &self,
        path: &str,
        now: Moment,
    ) -> Option<Result<CachedAnswer, QuotesError>> {
        if let Some(entry) = self.entries.get(path)
            && now < entry.at + entry.known.ttl
        {
            return Some(Ok(entry.answer(now, false)));
        }
        let holds = self.hold.iter().chain(self.refused.get(service(path)));
        let holds = holds.filter(|hold| now < hold.until);
        let hold = holds.max_by_key(|hold| hold.until)?;
        Some(self.instead(path, *hold, now))
    }

    /// Stores a response and returns it.
    pub(crate) fn answered(
        &mut self,
        path: &str,
        body: Bytes,
        known: AnswerInfo,
        now: Moment,
    ) -> CachedAnswer {
        // A request from before the backoff may be answered during the backoff. The backoff
        // continues.
        self.hold = self.hold.filter(|hold| now < hold.until);
        self.refused.remove(service(path));
        if self.reported.take().is_some() {
            log::info!("the vendor answers REST requests again");
        }
        self.set_simulated(known.simulated);
        let entry = CacheEntry {
            body,
            at: now,
            known,
        };
        let answer = entry.answer(now, false);
        self.entries.insert(path.to_owned(), entry);
        let mut size: usize = self.entries.values().map(|entry| entry.body.len()).sum();
        while self.entries.len() > ENTRIES || (self.entries.len() > 1 && size > SIZE) {
            let removed = remove_first(&mut self.entries, |entry| entry.at);
            size -= removed.map_or(0, |entry| entry.body.len());
        }
        answer
    }

    /// Starts a backoff after a failed request. Returns an old response as stale, if the cache
    /// contains one.
    pub(crate) fn failed(
        &mut self,
        path: &str,
        refusal: &RestError,
        now: Now,
    ) -> Result<CachedAnswer, QuotesError> {
        let reason = match refusal.reason {
            // The hub sends a key to the vendor, so a token error here means the key and not the
            // token of a client.
            Failure::Token => Failure::Key,
            reason => reason,
        };
        let usual = match reason {
            reason if reason.refuses() => REFUSED,
            Failure::Busy => BUSY,
            _ => FAILED,
        };
        let until = now.monotonic + refusal.wait(now.utc, WAIT_LIMIT).unwrap_or(usual);
        let hold = VendorBackoff { until, reason };
        if self.is_new(path, reason) {
            log::warn!(
                "the REST request to the vendor for {} failed: {reason}",
                service(path)
            );
        }
        if reason.refuses() {
            // Requests for many different tickers must not make this map grow without a limit.
            let long_ago = |held: &VendorBackoff| now.monotonic >= held.until + REFUSED;
            self.refused.retain(|_, held| !long_ago(held));
            if self.refused.len() >= ENTRIES {
                remove_first(&mut self.refused, |held| held.until);
            }
            self.refused.insert(service(path).to_owned(), hold);
        } else if self.hold.is_none_or(|held| held.until < until) {
            self.hold = Some(hold);
        }
        self.instead(path, hold, now.monotonic)
    }

    /// Returns true if the log does not contain this failure yet. A refusal belongs to one service;
    /// every other failure is a failure of the vendor's whole REST.
    fn is_new(&mut self, path: &str, reason: Failure) -> bool {
        if reason.refuses() {
            let held = self.refused.get(service(path));
            return held.is_none_or(|held| held.reason != reason);
        }
        self.reported.replace(reason) != Some(reason)
    }

    /// Returns the old response to a request that is not sent during a backoff.
    fn instead(
        &self,
        path: &str,
        hold: VendorBackoff,
        now: Moment,
    ) -> Result<CachedAnswer, QuotesError> {
        match self.entries.get(path) {
            Some(entry) if now.since(entry.at) <= STALE_LIMIT => Ok(entry.answer(now, true)),
            _ => Err(QuotesError {
                reason: hold.reason,
                retry_after: Some(hold.until.since(now).as_millis().div_ceil(1000) as u64),
            }),
        }
    }
}

/// Removes the entry with the smallest order, and returns its value.
pub(super) fn remove_first<K: Clone + Eq + Hash, V, O: Ord>(
    map: &mut HashMap<K, V>,
    order: impl Fn(&V) -> O,
) -> Option<V> {
    let (key, _) = map.iter().min_by_key(|(_, value)| order(value))?;
    let key = key.clone();
    map.remove(&key)
}

impl CacheEntry {
    fn answer(&self, now: Moment, stale: bool) -> CachedAnswer {
        CachedAnswer {
            body: self.body.clone(),
            age: now.since(self.at),
            stale,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::time::Utc;

    const PATH: &str = "/v3/snapshot?ticker.any_of=I:SPX";
    const OTHER: &str = "/v3/snapshot?ticker.any_of=I:VIX";
    const STATUS: &str = "/v1/marketstatus/now";
    const GOOD: AnswerInfo = AnswerInfo {
        ttl: Duration::from_secs(2),
        simulated: false,
    };

    fn at(secs: u64) -> Moment {
        Moment::from_secs(secs)
    }

    fn now(secs: u64) -> Now {
        // The wall clock starts at 2026-11-23 14:30 UTC.
        Now::new(at(secs), Utc(1_795_444_200_000 + 1000 * secs as i64))
    }

    fn refusal(reason: Failure, retry_after: Option<&str>) -> RestError {
        RestError {
            reason,
            retry_after: retry_after.map(str::to_owned),
        }
    }

    fn error(reason: Failure, retry_after: u64) -> Option<Result<CachedAnswer, QuotesError>> {
        Some(Err(QuotesError {
            reason,
            retry_after: Some(retry_after),
        }))
    }

    /// Returns a cache with a response that was stored at second 1.
    fn answered() -> Cache {
        let mut cache = Cache::default();
        cache.answered(PATH, Bytes::from_static(b"{}"), GOOD, at(1));
        cache
    }

    fn age(look: Option<Result<CachedAnswer, QuotesError>>) -> Option<(u64, bool)> {
        let answer = look?.unwrap();
        Some((answer.age.as_secs(), answer.stale))
    }

    #[test]
    fn a_cached_response_is_fresh_until_its_ttl_ends() {
        let cache = answered();
        assert_eq!(age(cache.look(PATH, at(2))), Some((1, false)));
        assert_eq!(cache.look(PATH, at(3)), None);
        assert_eq!(cache.look(OTHER, at(2)), None);
    }

    #[test]
    fn no_request_is_sent_before_the_retry_after_time_of_the_vendor() {
        let mut cache = answered();
        let stale = cache.failed(PATH, &refusal(Failure::Busy, Some("30")), now(5));
        assert_eq!(
            age(Some(stale)),
            Some((4, true)),
            "an old answer says its age"
        );
        assert_eq!(cache.look(OTHER, at(5)), error(Failure::Busy, 30));
        assert_eq!(cache.look(STATUS, at(34)), error(Failure::Busy, 1));
        assert_eq!(age(cache.look(PATH, at(34))), Some((33, true)));
        assert_eq!(cache.look(OTHER, at(35)), None);
    }

    #[test]
    fn a_response_to_an_earlier_request_does_not_shorten_the_backoff() {
        let mut cache = Cache::default();
        cache
            .failed(PATH, &refusal(Failure::Busy, Some("30")), now(5))
            .unwrap_err();
        // The request for this response was sent before the backoff.
        cache.answered(OTHER, Bytes::from_static(b"{}"), GOOD, at(6));
        assert_eq!(cache.look(PATH, at(6)), error(Failure::Busy, 29));
        assert_eq!(age(cache.look(OTHER, at(34))), Some((28, true)));
        assert_eq!(cache.look(PATH, at(35)), None);
    }

    #[test]
    fn a_retry_after_header_can_be_a_date() {
        let mut cache = Cache::default();
        let date = Some("Mon, 23 Nov 2026 14:31:40 GMT");
        cache
            .failed(PATH, &refusal(Failure::Busy, date), now(40))
            .unwrap_err();
        assert_eq!(cache.look(PATH, at(40)), error(Failure::Busy, 60));
        // Without a usable date, the backoff has its usual length.
        for junk in ["soon", "-5", "", "Mon, 23 Nov 2020 14:31:40 GMT"] {
            let mut cache = Cache::default();
            let refusal = refusal(Failure::Busy, Some(junk));
            cache.failed(PATH, &refusal, now(0)).unwrap_err();
            assert_eq!(cache.look(PATH, at(0)), error(Failure::Busy, 12), "{junk}");
        }
        for (text, secs) in [("0", 1), ("99999999999", 3600)] {
            let mut cache = Cache::default();
            let refusal = refusal(Failure::Busy, Some(text));
            cache.failed(PATH, &refusal, now(0)).unwrap_err();
            assert_eq!(cache.look(PATH, at(0)), error(Failure::Busy, secs));
        }
    }

    #[test]
    fn a_plan_without_quotes_can_still_have_the_market_status() {
        let mut cache = Cache::default();
        cache
            .failed(PATH, &refusal(Failure::Token, None), now(0))
            .unwrap_err();
        assert_eq!(cache.look(OTHER, at(1)), error(Failure::Key, 59));
        assert_eq!(cache.look(STATUS, at(1)), None);
        assert_eq!(cache.look(OTHER, at(60)), None);
    }

    #[test]
    fn a_response_older_than_ten_minutes_is_not_used() {
        let mut cache = answered();
        let failed =
            |cache: &mut Cache, secs| cache.failed(PATH, &refusal(Failure::Lost, None), now(secs));
        assert!(failed(&mut cache, 601).unwrap().stale);
        assert_eq!(failed(&mut cache, 602).unwrap_err().reason, Failure::Lost);
    }

    #[test]
    fn the_responses_of_a_replaced_vendor_are_removed() {
        let simulated = AnswerInfo {
            simulated: true,
            ..GOOD
        };
        let body = Bytes::from_static(b"{}");
        let mut cache = Cache::default();
        cache.answered(PATH, body.clone(), simulated, at(1));
        cache.answered(OTHER, body.clone(), simulated, at(1));
        cache.greeted(true);
        assert!(cache.look(PATH, at(2)).is_some());
        // The change is reported first by a greeting, and later by a response.
        cache.greeted(false);
        assert_eq!(cache.look(PATH, at(2)), None);
        cache.answered(PATH, body.clone(), simulated, at(2));
        cache.greeted(false);
        assert!(cache.look(PATH, at(2)).is_some(), "a greeting counts once");
        cache.answered(STATUS, body, GOOD, at(2));
        assert_eq!(cache.look(PATH, at(2)), None);
        assert!(cache.look(STATUS, at(2)).is_some());
        let failed = cache.failed(OTHER, &refusal(Failure::Lost, None), now(3));
        assert_eq!(
            failed.unwrap_err().reason,
            Failure::Lost,
            "nor as stale ones"
        );
    }

    #[test]
    fn the_oldest_responses_are_removed_at_the_size_limit() {
        let mut cache = Cache::default();
        for n in 0..1000 {
            cache.answered(
                &format!("/v3?{n}"),
                Bytes::from(vec![0; 1 << 16]),
                GOOD,
                at(n),
            );
        }
        assert_eq!(cache.entries.len(), SIZE >> 16);
        assert!(cache.entries.contains_key("/v3?999"));
    }

    #[test]
    fn a_failure_is_reported_once_until_the_next_response() {
        let mut cache = Cache::default();
        let mut fails = |path, reason, secs| {
            let new = cache.is_new(path, reason);
            cache.failed(path, &refusal(reason, None), now(secs)).ok();
            new
        };
        assert!(fails(PATH, Failure::Lost, 0));
        assert!(!fails(PATH, Failure::Lost, 2) && !fails(STATUS, Failure::Lost, 4));
        assert!(fails(PATH, Failure::Timeout, 6));
        // A refusal belongs to a service, and does not end with a response of another service.
        assert!(fails(PATH, Failure::Plan, 10));
        cache.answered(STATUS, Bytes::new(), GOOD, at(20));
        assert!(!cache.is_new(PATH, Failure::Plan));
        assert!(cache.is_new(STATUS, Failure::Lost));
    }
}
