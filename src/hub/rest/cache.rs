//! How long an answer is good, and when the next may be asked for. Pure: time is an argument.

use std::collections::HashMap;
use std::time::Duration;

use hyper::body::Bytes;
use jiff::fmt::rfc2822;

use super::quotes::QuotesError;
use crate::feed::Failure;
use crate::feed::poller::RestError;
use crate::time::{Moment, Now, Utc};

/// Answers that are kept.
const ENTRIES: usize = 256;
/// Their size together, in bytes.
const SIZE: usize = 8 << 20;
/// An answer older than this is no answer, whatever the reason that there is no newer one.
const STALE_LIMIT: Duration = Duration::from_secs(600);
/// The wait after a key was refused: asking again soon is wrong.
const REFUSED: Duration = Duration::from_secs(60);
/// The wait after "too many requests" that does not say how long: the vendor's smallest plan has
/// five a minute.
const BUSY: Duration = Duration::from_secs(12);
/// The wait after any other failure.
const FAILED: Duration = Duration::from_secs(2);
/// Nobody is told to wait longer than this, in seconds.
const WAIT_LIMIT: u64 = 3600;

/// An answer, and how old it is.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct CachedAnswer {
    pub(crate) body: Bytes,
    pub(crate) age: Duration,
    /// It is past its time, and there is no newer one.
    pub(crate) stale: bool,
}

/// What there is to know of a new answer.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct AnswerInfo {
    /// It is good this long.
    pub(crate) ttl: Duration,
    /// It says that its prices are not real.
    pub(crate) simulated: bool,
}

#[derive(Debug)]
struct CacheEntry {
    body: Bytes,
    at: Moment,
    known: AnswerInfo,
}

/// Until when the vendor is not asked, and why.
#[derive(Clone, Copy, Debug)]
struct VendorBackoff {
    until: Moment,
    reason: Failure,
}

/// The answers, by path. All of them are real, or none is.
#[derive(Debug, Default)]
pub(crate) struct Cache {
    entries: HashMap<String, CacheEntry>,
    /// Whether they are simulated, by the newest word of the vendor; `None` before the first.
    simulated: Option<bool>,
    /// The last of its words on a socket.
    greeted: Option<bool>,
    /// For all that is asked.
    hold: Option<VendorBackoff>,
    /// A plan may have one of the services and lack another.
    refused: HashMap<String, VendorBackoff>,
}

/// What of a path a plan has or lacks: it without its query and, of the bars of one ticker, without
/// their times.
fn service(path: &str) -> &str {
    let path = path.split_once('?').map_or(path, |(service, _)| service);
    path.split_once("/range/")
        .map_or(path, |(ticker, _)| ticker)
}

impl Cache {
    /// Whether the vendor's prices are simulated, as far as it has said so.
    pub(crate) const fn simulated(&self) -> Option<bool> {
        self.simulated
    }

    /// What the vendor last said on a socket, of whether its prices are simulated. It counts once:
    /// what it says by REST after that is newer.
    pub(crate) fn greeted(&mut self, simulated: bool) {
        if self.greeted.replace(simulated) != Some(simulated) {
            self.set_simulated(simulated);
        }
    }

    /// The vendor has said whether its prices are simulated. Answers of the other kind are another
    /// vendor's, and are let go of.
    fn set_simulated(&mut self, simulated: bool) {
        if self.simulated.replace(simulated) != Some(simulated) {
            self.entries
                .retain(|_, entry| entry.known.simulated == simulated);
        }
    }

    /// What there is for a path now; `None` if it is time to ask.
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
        let hold = holds
            .filter(|hold| now < hold.until)
            .max_by_key(|hold| hold.until)?;
        Some(self.instead(path, hold.reason, Some(hold.until), now))
    }

    /// Keeps an answer.
    pub(crate) fn answered(
        &mut self,
        path: &str,
        body: Bytes,
        known: AnswerInfo,
        now: Moment,
    ) -> CachedAnswer {
        // What was asked before the vendor said to wait may be answered after that; it still waits.
        self.hold = self.hold.filter(|hold| now < hold.until);
        self.refused.remove(service(path));
        self.set_simulated(known.simulated);
        let entry = CacheEntry {
            body,
            at: now,
            known,
        };
        let answer = entry.answer(now, false);
        self.entries.insert(path.to_owned(), entry);
        let size = |entries: &HashMap<String, CacheEntry>| -> usize {
            entries.values().map(|entry| entry.body.len()).sum()
        };
        while self.entries.len() > ENTRIES || (self.entries.len() > 1 && size(&self.entries) > SIZE)
        {
            let oldest = self.entries.iter().min_by_key(|(_, entry)| entry.at);
            let Some(path) = oldest.map(|(path, _)| path.clone()) else {
                break;
            };
            self.entries.remove(&path);
        }
        answer
    }

    /// There was no answer: the vendor is left alone for a while, and an old answer is given
    /// instead, if there is one.
    pub(crate) fn failed(
        &mut self,
        path: &str,
        refusal: &RestError,
        now: Now,
    ) -> Result<CachedAnswer, QuotesError> {
        let said = refusal
            .retry_after
            .as_deref()
            .and_then(|text| retry_after(text, now.utc));
        let wait = said.unwrap_or(match refusal.reason {
            reason if reason.refuses() => REFUSED,
            Failure::Busy => BUSY,
            _ => FAILED,
        });
        let hold = VendorBackoff {
            until: now.monotonic + wait,
            // To the vendor we have a key, and no token of a client is meant.
            reason: if refusal.reason == Failure::Token {
                Failure::Key
            } else {
                refusal.reason
            },
        };
        if refusal.reason.refuses() {
            // Nobody shall make this long by asking for one ticker after the other.
            self.refused.retain(|_, held| now.monotonic < held.until);
            if self.refused.len() >= ENTRIES {
                let first = self.refused.iter().min_by_key(|(_, held)| held.until);
                let first = first.map(|(service, _)| service.clone());
                first.map(|service| self.refused.remove(&service));
            }
            self.refused.insert(service(path).to_owned(), hold);
        } else if self.hold.is_none_or(|held| held.until < hold.until) {
            self.hold = Some(hold);
        }
        self.instead(path, hold.reason, Some(hold.until), now.monotonic)
    }

    fn instead(
        &self,
        path: &str,
        reason: Failure,
        until: Option<Moment>,
        now: Moment,
    ) -> Result<CachedAnswer, QuotesError> {
        match self.entries.get(path) {
            Some(entry) if now.since(entry.at) <= STALE_LIMIT => Ok(entry.answer(now, true)),
            _ => Err(QuotesError {
                reason,
                retry_after: until.map(|until| until.since(now).as_millis().div_ceil(1000) as u64),
            }),
        }
    }
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

/// Seconds, or a date (RFC 9110, 10.2.3); a date is worth nothing while the clock is not set.
fn retry_after(text: &str, utc: Option<Utc>) -> Option<Duration> {
    let text = text.trim();
    let secs = match text.parse::<u64>() {
        Ok(secs) => secs,
        Err(_) => {
            let until = rfc2822::parse(text).ok()?.timestamp().as_millisecond();
            u64::try_from(Utc(until).millis_since(utc?))
                .ok()?
                .div_ceil(1000)
        }
    };
    Some(Duration::from_secs(secs.clamp(1, WAIT_LIMIT)))
}

#[cfg(test)]
mod tests {
    use super::*;

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
        // 2026-11-23 14:30 UTC at the start.
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

    /// A cache that was answered at one second.
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
    fn an_answer_is_good_for_its_time_and_then_asked_for_again() {
        let cache = answered();
        assert_eq!(age(cache.look(PATH, at(2))), Some((1, false)));
        assert_eq!(cache.look(PATH, at(3)), None);
        assert_eq!(cache.look(OTHER, at(2)), None);
    }

    #[test]
    fn nobody_asks_before_the_vendor_said_so_whatever_the_symbols() {
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
    fn an_answer_to_another_question_does_not_cut_the_wait_short() {
        let mut cache = Cache::default();
        cache
            .failed(PATH, &refusal(Failure::Busy, Some("30")), now(5))
            .unwrap_err();
        // It was on its way when the vendor said so.
        cache.answered(OTHER, Bytes::from_static(b"{}"), GOOD, at(6));
        assert_eq!(cache.look(PATH, at(6)), error(Failure::Busy, 29));
        assert_eq!(age(cache.look(OTHER, at(34))), Some((28, true)));
        assert_eq!(cache.look(PATH, at(35)), None);
    }

    #[test]
    fn a_date_says_when_to_come_back_too() {
        let mut cache = Cache::default();
        let date = Some("Mon, 23 Nov 2026 14:31:40 GMT");
        cache
            .failed(PATH, &refusal(Failure::Busy, date), now(40))
            .unwrap_err();
        assert_eq!(cache.look(PATH, at(40)), error(Failure::Busy, 60));
        for junk in ["soon", "-5", "", "Mon, 23 Nov 2020 14:31:40 GMT"] {
            assert_eq!(retry_after(junk, now(0).utc), None, "{junk}");
        }
        assert_eq!(retry_after("0", None), Some(Duration::from_secs(1)));
        assert_eq!(
            retry_after("99999999999", None),
            Some(Duration::from_secs(3600))
        );
    }

    #[test]
    fn a_plan_that_lacks_one_service_may_have_another() {
        let mut cache = Cache::default();
        cache
            .failed(PATH, &refusal(Failure::Token, None), now(0))
            .unwrap_err();
        assert_eq!(cache.look(OTHER, at(1)), error(Failure::Key, 59));
        assert_eq!(cache.look(STATUS, at(1)), None);
        assert_eq!(cache.look(OTHER, at(60)), None);
    }

    #[test]
    fn an_answer_of_ten_minutes_ago_is_none() {
        let mut cache = answered();
        let failed =
            |cache: &mut Cache, secs| cache.failed(PATH, &refusal(Failure::Lost, None), now(secs));
        assert!(failed(&mut cache, 601).unwrap().stale);
        assert_eq!(failed(&mut cache, 602).unwrap_err().reason, Failure::Lost);
    }

    #[test]
    fn answers_of_a_vendor_that_was_replaced_are_let_go_of() {
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
        // By its greeting, and by another answer.
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
    fn the_oldest_answers_make_room() {
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
}
