//! Stores the vendor's REST responses, their lifetimes and the backoff after a failure. Pure: the
//! time is an argument, and this module does no I/O.
//!
//! A response answers one question. The question is the path of a request or, for a row of a
//! snapshot, the ticker of the row: a snapshot request contains the tickers of many devices, and
//! each row has its own lifetime. A failure applies only to its own question, unless the failure
//! shows that the vendor cannot answer other questions either.

use std::collections::HashMap;
use std::hash::Hash;
use std::time::Duration;

use hyper::StatusCode;
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
    /// The HTTP status of the vendor's response; `None` without such a response.
    pub status: Option<StatusCode>,
}

/// The maximum number of cached responses.
const ENTRIES: usize = 8192;
/// The maximum size of all cached bodies together, in bytes.
const SIZE: usize = 8 << 20;
/// The maximum age of a stale response. An older response is not used, for any kind of failure.
const STALE_LIMIT: Duration = Duration::from_secs(600);
/// The wait after the vendor refuses the key or the plan. An early retry would be refused again.
const REFUSED: Duration = Duration::from_secs(60);
/// The wait after the vendor refuses a question for another reason.
const REFUSED_QUESTION: Duration = Duration::from_secs(5);
/// The wait after a "too many requests" response without `Retry-After`. The vendor's smallest plan
/// allows five requests a minute.
const BUSY: Duration = Duration::from_secs(12);
/// The wait after any other failure.
const FAILED: Duration = Duration::from_secs(2);
/// The maximum value of `Retry-After`.
const WAIT_LIMIT: Duration = Duration::from_secs(3600);
/// The service of the snapshots, whose questions are tickers.
const SNAPSHOT: &str = "/v3/snapshot";

/// A response and its age.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct CachedAnswer {
    pub(crate) body: Bytes,
    pub(crate) age: Duration,
    /// True if the lifetime of the response has ended and no newer response is available.
    pub(crate) stale: bool,
    /// True if the vendor's prices are simulated.
    pub(crate) simulated: bool,
}

/// The properties of a new response.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) struct AnswerInfo {
    /// The lifetime of the response.
    pub(crate) ttl: Duration,
    /// True if the response reports simulated prices; `None` for a response without prices, which
    /// does not show the kind of the prices.
    pub(crate) simulated: Option<bool>,
    /// The age of the response at its receive time, if the vendor is a hub.
    pub(crate) age: Duration,
    /// True if the vendor is a hub and reports that it has no newer response.
    pub(crate) stale: bool,
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
    status: Option<StatusCode>,
}

/// The questions to which a failure applies.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Scope {
    /// The vendor cannot be reached, or accepts no request for now.
    All,
    /// The vendor refuses the key for this service, or is a hub that limits this service.
    Service,
    /// The vendor refuses or cannot answer this question.
    Question,
}

impl Scope {
    fn of(refusal: &RestError, service: &str) -> Self {
        // The hub above refuses the token of this hub.
        if refusal.reason == Failure::UpstreamToken {
            return Scope::All;
        }
        match refusal.status.map(|status| status.as_u16()) {
            Some(401) => Scope::Service,
            // A vendor that is a hub has a separate limit for bars, so this failure may not apply
            // to snapshots. If the limit applies to all requests, the next request for a snapshot
            // is refused too, and the backoff then applies to all services.
            Some(429) if service != SNAPSHOT => Scope::Service,
            Some(300..=399 | 429 | 502..=504 | 511 | 520..=530) => Scope::All,
            Some(_) => Scope::Question,
            None => match refusal.reason {
                // The body cannot be read, or the response takes too long.
                Failure::Protocol | Failure::TooLarge | Failure::Timeout => Scope::Question,
                _ => Scope::All,
            },
        }
    }
}

/// Returns true if a failed snapshot request does not affect other tickers, so that a request with
/// fewer tickers can succeed. A vendor that does not respond in time gets no such request.
pub(crate) fn is_about_the_tickers(refusal: &RestError) -> bool {
    Scope::of(refusal, SNAPSHOT) == Scope::Question && refusal.reason != Failure::Timeout
}

/// The cached responses by question. All of them are real, or all of them are simulated.
#[derive(Debug, Default)]
pub(crate) struct Cache {
    entries: HashMap<String, CacheEntry>,
    /// The size of all bodies together, in bytes.
    size: usize,
    /// The vendor's last report by REST or WebSocket: true if its prices are simulated; `None`
    /// before the first report.
    pub(super) simulated: Option<bool>,
    /// The vendor's last report on a WebSocket connection.
    greeted: Option<bool>,
    /// The backoff for all requests.
    hold: Option<VendorBackoff>,
    /// The last failure that the log contains, until the next response.
    reported: Option<Failure>,
    /// The backoff for each refused service and each refused question.
    refused: HashMap<String, VendorBackoff>,
    /// The time of the last log line about a refused question.
    warned: Option<Moment>,
}

/// Returns the service of a question: the first two parts of the path.
fn service(question: &str) -> &str {
    if !question.starts_with('/') {
        return SNAPSHOT;
    }
    let end = question.match_indices(['/', '?']).nth(2);
    end.map_or(question, |(end, _)| &question[..end])
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
                .retain(|_, entry| entry.known.simulated != Some(!simulated));
            self.size = self.entries.values().map(|entry| entry.body.len()).sum();
        }
    }

    /// Returns the cached response to a question, or the error during a backoff. Returns `None` if
    /// the caller must send a request.
    pub(crate) fn look(
        &self,
        question: &str,
        now: Moment,
    ) -> Option<Result<CachedAnswer, QuotesError>> {
        if let Some(entry) = self.entries.get(question)
            && now < entry.at + entry.known.ttl
        {
            return Some(Ok(self.answer(entry, now, false)));
        }
        let holds = self.hold.iter();
        let holds = holds.chain(self.refused.get(service(question)));
        let holds = holds.chain(self.refused.get(question));
        let holds = holds.filter(|hold| now < hold.until);
        let hold = holds.max_by_key(|hold| hold.until)?;
        Some(match self.entries.get(question) {
            Some(entry) if now.since(entry.at) + entry.known.age <= STALE_LIMIT => {
                Ok(self.answer(entry, now, true))
            }
            _ => Err(QuotesError {
                reason: hold.reason,
                retry_after: Some(hold.until.since(now).as_millis().div_ceil(1000) as u64),
                status: hold.status,
            }),
        })
    }

    /// Returns the cached response to a question without regard to a backoff. The response is
    /// marked as stale if its lifetime had ended at `asked`, the time of the client's request.
    pub(crate) fn last(&self, question: &str, asked: Moment, now: Moment) -> Option<CachedAnswer> {
        let entry = self.entries.get(question)?;
        let age = now.since(entry.at) + entry.known.age;
        let stale = entry.at + entry.known.ttl <= asked;
        (age <= STALE_LIMIT).then(|| self.answer(entry, now, stale))
    }

    fn answer(&self, entry: &CacheEntry, now: Moment, stale: bool) -> CachedAnswer {
        CachedAnswer {
            body: entry.body.clone(),
            age: now.since(entry.at) + entry.known.age,
            stale: stale || entry.known.stale,
            simulated: self.simulated == Some(true),
        }
    }

    /// Ends every backoff, because the server above has a new secret or another address.
    pub(crate) fn end_backoffs(&mut self) {
        (self.hold, self.reported) = (None, None);
        self.refused.clear();
    }

    /// Returns true if the server above does not answer: the last request has failed, for a reason
    /// that applies to all requests.
    pub(crate) fn is_failing(&self) -> bool {
        self.reported.is_some()
    }

    /// Returns true if the question is not refused, and the lifetime of its response ends within
    /// this time.
    pub(crate) fn ends_within(&self, question: &str, limit: Duration, now: Moment) -> bool {
        let refused = self.refused.get(question);
        let entry = self.entries.get(question);
        refused.is_none_or(|hold| now >= hold.until)
            && entry.is_none_or(|entry| entry.at + entry.known.ttl <= now + limit)
    }

    /// Returns true if the vendor has answered the question before.
    pub(crate) fn has_answered(&self, question: &str) -> bool {
        self.entries.contains_key(question)
    }

    /// Stores a response.
    pub(crate) fn answered(&mut self, question: &str, body: Bytes, known: AnswerInfo, now: Moment) {
        // The response to an earlier request can arrive during a backoff. The backoff continues.
        self.hold = self.hold.filter(|hold| now < hold.until);
        let service = service(question);
        if self
            .refused
            .get(service)
            .is_some_and(|hold| now >= hold.until)
        {
            self.refused.remove(service);
        }
        self.refused.remove(question);
        if self.reported.take().is_some() {
            log::info!("the vendor answers REST requests again");
        }
        if let Some(simulated) = known.simulated {
            self.set_simulated(simulated);
        }
        self.size += body.len();
        let entry = CacheEntry {
            body,
            at: now,
            known,
        };
        let replaced = self.entries.insert(question.to_owned(), entry);
        self.size -= replaced.map_or(0, |entry| entry.body.len());
        while self.entries.len() > ENTRIES || (self.entries.len() > 1 && self.size > SIZE) {
            let removed = remove_first(&mut self.entries, |entry| entry.at);
            self.size -= removed.map_or(0, |entry| entry.body.len());
        }
    }

    /// Starts a backoff after a failed request for these questions.
    pub(crate) fn failed(&mut self, questions: &[&str], refusal: &RestError, now: Now) {
        let first = questions.first().copied().unwrap_or(SNAPSHOT);
        let (scope, reason) = (Scope::of(refusal, service(first)), refusal.reason);
        let usual = match refusal.status.map(|status| status.as_u16()) {
            Some(429 | 503) => BUSY,
            Some(401 | 403) => REFUSED,
            Some(400..=499) => REFUSED_QUESTION,
            _ => FAILED,
        };
        let until = now.monotonic + refusal.wait(now.utc, WAIT_LIMIT).unwrap_or(usual);
        let hold = VendorBackoff {
            until,
            reason,
            status: refusal.status,
        };
        let level = match self.is_new(scope, first, reason, now.monotonic) {
            true => log::Level::Warn,
            false => log::Level::Debug,
        };
        let status = refusal.status.map_or(0, |status| status.as_u16());
        log::log!(
            level,
            "the REST request to the vendor for {first} failed: {reason} (HTTP status {status}, 0 \
             without a response)"
        );
        match scope {
            Scope::All => {
                if self.hold.is_none_or(|held| held.until < until) {
                    self.hold = Some(hold);
                }
            }
            Scope::Service => self.refuse(service(first), hold, now.monotonic),
            Scope::Question => {
                for question in questions {
                    self.refuse(question, hold, now.monotonic);
                }
            }
        }
    }

    /// Starts a backoff for one ticker, because the vendor is a hub that has no row for this
    /// ticker, and reports the reason. The previous row stays.
    pub(crate) fn refused_row(&mut self, ticker: &str, reason: Failure, now: Moment) {
        let wait = if reason == Failure::Limit {
            REFUSED
        } else {
            FAILED
        };
        let hold = VendorBackoff {
            until: now + wait,
            reason,
            status: None,
        };
        self.refuse(ticker, hold, now);
    }

    fn refuse(&mut self, key: &str, hold: VendorBackoff, now: Moment) {
        // Many different questions must not make this map grow without a limit.
        if self.refused.len() >= ENTRIES {
            self.refused.retain(|_, held| now < held.until);
        }
        if self.refused.len() >= ENTRIES {
            remove_first(&mut self.refused, |held| held.until);
        }
        self.refused.insert(key.to_owned(), hold);
    }

    /// Returns true if the log must contain this failure. Refused questions have one log line a
    /// minute, because a client can send any number of invalid questions.
    fn is_new(&mut self, scope: Scope, question: &str, reason: Failure, now: Moment) -> bool {
        match scope {
            Scope::All => self.reported.replace(reason) != Some(reason),
            Scope::Service => {
                let held = self.refused.get(service(question));
                held.is_none_or(|held| held.reason != reason)
            }
            Scope::Question => {
                let quiet = self.warned.is_some_and(|at| now.since(at) < REFUSED);
                if !quiet {
                    self.warned = Some(now);
                }
                !quiet
            }
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::time::Utc;

    const SPX: &str = "I:SPX";
    const VIX: &str = "I:VIX";
    const STATUS: &str = "/v1/marketstatus/now";
    const BARS: &str = "/v2/aggs/ticker/SPY/range/1/minute/2026-11-23/2026-11-23?sort=asc";
    const GOOD: AnswerInfo = AnswerInfo {
        ttl: Duration::from_secs(2),
        simulated: Some(false),
        age: Duration::ZERO,
        stale: false,
    };

    fn at(secs: u64) -> Moment {
        Moment::from_secs(secs)
    }

    fn now(secs: u64) -> Now {
        // The wall clock starts at 2026-11-23 14:30 UTC.
        Now::new(at(secs), Utc(1_795_444_200_000 + 1000 * secs as i64))
    }

    /// A response with this status.
    fn refusal(status: u16, retry_after: Option<&str>) -> RestError {
        RestError {
            reason: match status {
                401 => Failure::Key,
                403 => Failure::Plan,
                404 => Failure::Path,
                429 | 500 | 503 => Failure::Busy,
                _ => Failure::Protocol,
            },
            retry_after: retry_after.map(str::to_owned),
            status: StatusCode::from_u16(status).ok(),
            redirect: None,
        }
    }

    fn error(status: u16, retry_after: u64) -> Option<Result<CachedAnswer, QuotesError>> {
        let RestError { reason, status, .. } = refusal(status, None);
        Some(Err(QuotesError {
            reason,
            retry_after: Some(retry_after),
            status,
        }))
    }

    /// Returns a cache with a response that was stored at second 1.
    fn answered() -> Cache {
        let mut cache = Cache::default();
        cache.answered(SPX, Bytes::from_static(b"{}"), GOOD, at(1));
        cache
    }

    fn age(look: Option<Result<CachedAnswer, QuotesError>>) -> Option<(u64, bool)> {
        let answer = look?.unwrap();
        Some((answer.age.as_secs(), answer.stale))
    }

    #[test]
    fn a_cached_response_is_fresh_until_its_ttl_ends() {
        let cache = answered();
        assert_eq!(age(cache.look(SPX, at(2))), Some((1, false)));
        assert_eq!(cache.look(SPX, at(3)), None);
        assert_eq!(cache.look(VIX, at(2)), None);
        assert!(!cache.ends_within(SPX, Duration::from_secs(1), at(1)));
        assert!(cache.ends_within(SPX, Duration::from_secs(2), at(1)));
    }

    #[test]
    fn the_ages_of_stacked_hubs_add_up() {
        let mut cache = Cache::default();
        let old = AnswerInfo {
            age: Duration::from_secs(7),
            stale: true,
            ..GOOD
        };
        cache.answered(SPX, Bytes::new(), old, at(1));
        assert_eq!(age(cache.look(SPX, at(2))), Some((8, true)));
    }

    #[test]
    fn a_refused_question_does_not_hold_another_question() {
        for status in [400, 403, 404, 410, 414, 422, 500] {
            let mut cache = answered();
            for question in [BARS, "NOSUCH", STATUS] {
                cache.failed(&[question], &refusal(status, None), now(5));
                let refused = cache.look(question, at(5)).unwrap().unwrap_err();
                assert_eq!(refused.status, StatusCode::from_u16(status).ok());
            }
            for question in [
                SPX,
                VIX,
                "/v2/aggs/ticker/SPY/prev",
                "/v1/marketstatus/upcoming",
            ] {
                assert_eq!(cache.look(question, at(5)), None, "{status} {question}");
            }
            assert!(!cache.ends_within("NOSUCH", Duration::MAX, at(5)));
        }
        // The same is true for a body that cannot be read, or that does not arrive in time.
        for reason in [Failure::Protocol, Failure::Timeout] {
            let mut cache = Cache::default();
            cache.failed(&[BARS], &reason.into(), now(0));
            assert_eq!(cache.look(VIX, at(0)), None);
            assert_eq!(cache.look(BARS, at(2)), None);
        }
    }

    #[test]
    fn a_vendor_that_cannot_answer_gets_no_further_question() {
        for refusal in [refusal(503, None), Failure::Refused.into()] {
            let mut cache = Cache::default();
            cache.failed(&[BARS], &refusal, now(0));
            assert!(cache.look(VIX, at(1)).unwrap().is_err());
        }
    }

    #[test]
    fn no_request_is_sent_before_the_retry_after_time_of_the_vendor() {
        let mut cache = answered();
        cache.failed(&[SPX], &refusal(429, Some("30")), now(5));
        let stale = age(cache.look(SPX, at(5)));
        assert_eq!(stale, Some((4, true)), "an old answer says its age");
        assert_eq!(cache.look(VIX, at(5)), error(429, 30));
        assert_eq!(cache.look(STATUS, at(34)), error(429, 1));
        assert_eq!(age(cache.look(SPX, at(34))), Some((33, true)));
        assert_eq!(cache.look(VIX, at(35)), None);
    }

    #[test]
    fn a_hub_that_limits_the_requests_for_bars_still_gets_the_other_questions() {
        let mut cache = answered();
        cache.failed(&[BARS], &refusal(429, Some("10")), now(5));
        assert_eq!(
            cache.look("/v2/aggs/ticker/SPY/prev", at(5)),
            error(429, 10)
        );
        for question in [SPX, VIX, STATUS] {
            assert_eq!(cache.look(question, at(5)), None);
        }
        // The response to an earlier request does not shorten the wait.
        cache.answered(BARS, Bytes::new(), GOOD, at(6));
        let previous = "/v2/aggs/ticker/SPY/prev";
        assert_eq!(cache.look(previous, at(14)), error(429, 1));
        assert_eq!(cache.look(previous, at(15)), None);
    }

    #[test]
    fn a_row_that_another_hub_refuses_leaves_the_previous_row_and_the_other_tickers() {
        let mut cache = answered();
        cache.refused_row(SPX, Failure::HubUpstream, at(4));
        assert_eq!(age(cache.look(SPX, at(5))), Some((4, true)));
        cache.refused_row(VIX, Failure::Limit, at(5));
        let refused = cache.look(VIX, at(64)).unwrap().unwrap_err();
        assert_eq!(
            (refused.reason, refused.retry_after),
            (Failure::Limit, Some(1))
        );
        for question in ["I:NDX", STATUS] {
            assert_eq!(cache.look(question, at(5)), None);
        }
    }

    #[test]
    fn a_response_without_prices_does_not_change_the_kind_of_the_prices() {
        let mut cache = Cache::default();
        let no_prices = AnswerInfo {
            simulated: None,
            ..GOOD
        };
        cache.answered("NOSUCH", Bytes::new(), no_prices, at(1));
        assert_eq!(cache.simulated, None);
        let simulated = AnswerInfo {
            simulated: Some(true),
            ..GOOD
        };
        cache.answered(SPX, Bytes::new(), simulated, at(1));
        cache.answered(VIX, Bytes::new(), no_prices, at(1));
        for question in [SPX, VIX, "NOSUCH"] {
            assert!(cache.look(question, at(1)).unwrap().unwrap().simulated);
        }
    }

    #[test]
    fn a_response_to_an_earlier_request_does_not_shorten_the_backoff() {
        let mut cache = Cache::default();
        cache.failed(&[SPX], &refusal(429, Some("30")), now(5));
        // The request for this response was sent before the backoff.
        cache.answered(VIX, Bytes::from_static(b"{}"), GOOD, at(6));
        assert_eq!(cache.look(SPX, at(6)), error(429, 29));
        assert_eq!(age(cache.look(VIX, at(34))), Some((28, true)));
        assert_eq!(cache.look(SPX, at(35)), None);
    }

    #[test]
    fn a_retry_after_header_can_be_a_date() {
        let mut cache = Cache::default();
        let date = Some("Mon, 23 Nov 2026 14:31:40 GMT");
        cache.failed(&[SPX], &refusal(429, date), now(40));
        assert_eq!(cache.look(SPX, at(40)), error(429, 60));
        // Without a usable date, the backoff has its usual length.
        for junk in ["soon", "-5", "", "Mon, 23 Nov 2020 14:31:40 GMT"] {
            let mut cache = Cache::default();
            cache.failed(&[SPX], &refusal(429, Some(junk)), now(0));
            assert_eq!(cache.look(SPX, at(0)), error(429, 12), "{junk}");
        }
        for (text, secs) in [("0", 1), ("99999999999", 3600)] {
            let mut cache = Cache::default();
            cache.failed(&[SPX], &refusal(429, Some(text)), now(0));
            assert_eq!(cache.look(SPX, at(0)), error(429, secs));
        }
    }

    #[test]
    fn a_key_that_is_refused_for_quotes_can_still_have_the_market_status() {
        let mut cache = Cache::default();
        cache.failed(&[SPX], &refusal(401, None), now(0));
        assert_eq!(cache.look(VIX, at(1)), error(401, 59));
        assert_eq!(cache.look(STATUS, at(1)), None);
        assert_eq!(cache.look(VIX, at(60)), None);
    }

    #[test]
    fn a_new_key_ends_every_backoff() {
        let mut cache = Cache::default();
        for (question, status) in [(SPX, 401), (BARS, 403), (STATUS, 429)] {
            cache.failed(&[question], &refusal(status, None), now(0));
        }
        cache.end_backoffs();
        for question in [SPX, BARS, STATUS] {
            assert_eq!(cache.look(question, at(0)), None);
        }
    }

    #[test]
    fn a_response_older_than_ten_minutes_is_not_used() {
        let mut cache = answered();
        let failed = |cache: &mut Cache, secs| {
            cache.failed(&[SPX], &Failure::Lost.into(), now(secs));
            cache.look(SPX, at(secs)).unwrap()
        };
        assert!(failed(&mut cache, 601).unwrap().stale);
        assert_eq!(failed(&mut cache, 602).unwrap_err().reason, Failure::Lost);
    }

    #[test]
    fn the_responses_of_a_replaced_vendor_are_removed() {
        let simulated = AnswerInfo {
            simulated: Some(true),
            ..GOOD
        };
        let body = Bytes::from_static(b"{}");
        let mut cache = Cache::default();
        cache.answered(SPX, body.clone(), simulated, at(1));
        cache.answered(VIX, body.clone(), simulated, at(1));
        cache.greeted(true);
        assert!(cache.look(SPX, at(2)).is_some());
        // The change is reported first by a greeting, and later by a response.
        cache.greeted(false);
        assert_eq!(cache.look(SPX, at(2)), None);
        cache.answered(SPX, body.clone(), simulated, at(2));
        cache.greeted(false);
        assert!(cache.look(SPX, at(2)).is_some(), "a greeting counts once");
        cache.answered(STATUS, body, GOOD, at(2));
        assert_eq!(cache.look(SPX, at(2)), None);
        assert!(cache.look(STATUS, at(2)).is_some());
        cache.failed(&[VIX], &Failure::Lost.into(), now(3));
        let failed = cache.look(VIX, at(3)).unwrap();
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
            let body = Bytes::from(vec![0; 1 << 16]);
            cache.answered(&format!("/v3?{}", n % 500), body, GOOD, at(n));
        }
        assert_eq!((cache.entries.len(), cache.size), (SIZE >> 16, SIZE));
        assert!(cache.entries.contains_key("/v3?499"));
    }

    #[test]
    fn a_failure_is_reported_once_until_the_next_response() {
        let mut cache = Cache::default();
        let mut fails = |question, refusal: RestError, secs| {
            let scope = Scope::of(&refusal, service(question));
            let new = cache.is_new(scope, question, refusal.reason, at(secs));
            cache.failed(&[question], &refusal, now(secs));
            new
        };
        assert!(fails(SPX, Failure::Lost.into(), 0));
        assert!(!fails(SPX, Failure::Lost.into(), 2) && !fails(STATUS, Failure::Lost.into(), 4));
        assert!(fails(SPX, Failure::Dns.into(), 6));
        // A refused key belongs to a service, and does not end with a response of another service.
        assert!(fails(SPX, refusal(401, None), 10));
        assert!(!fails(VIX, refusal(401, None), 10));
        // Refused questions have one line a minute.
        assert!(fails(BARS, refusal(404, None), 20));
        assert!(!fails("NOSUCH", refusal(404, None), 79));
        assert!(fails("NOSUCH", refusal(404, None), 81));
        cache.answered(STATUS, Bytes::new(), GOOD, at(90));
        assert!(!cache.is_new(Scope::Service, SPX, Failure::Key, at(90)));
        assert!(cache.is_new(Scope::All, STATUS, Failure::Dns, at(90)));
    }
}
