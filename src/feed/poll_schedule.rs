//! When what is asked of REST. Pure: time is an argument, and it asks nothing itself.
//!
//! Each symbol has a pace of its own; what is due at about the same time is one request. Waits are
//! measured from the answer, so that a slow server is asked less often, and who refuses is not
//! asked again before its time, whatever the pace.

use std::time::Duration;

use super::poller::{PollRequest, RestDemand};
use crate::feed::{Failure, Update};
use crate::market::Symbol;
use crate::time::{Moment, Now, Utc};

/// Asked again this long after a complete answer: the previous close changes once a day.
const ASK_AGAIN: Duration = Duration::from_secs(600);
/// Asked again this long after a failure; it doubles up to [`ASK_AGAIN`].
const RETRY_FIRST: Duration = Duration::from_secs(5);
/// Asked again no later than this after a failure while a symbol has a pace.
const RETRY_IN_NEED: Duration = Duration::from_secs(60);
/// Asked again no sooner than this after an answer because a link has returned.
const AFTER_RECONNECT: Duration = Duration::from_secs(15);
/// No pace is faster.
const FASTEST: Duration = Duration::from_secs(1);
/// What is due within this of a request joins it.
const JOIN: Duration = Duration::from_millis(500);
/// Tickers in one address, so that no proxy on the way finds it too long.
const BATCH: usize = 64;

/// The state of the markets is asked for no sooner after a failure.
const MARKET: Duration = Duration::from_secs(60);
/// Between the minutes of one symbol and those of the next: 64 symbols must not hammer.
const MINUTES_APART: Duration = Duration::from_millis(250);
/// A link that returns again and again has the minutes asked for no more often.
const MINUTES_AGAIN: Duration = Duration::from_secs(60);
/// What the other side does not have is not asked for again before this.
const NOT_SERVED_RETRY: Duration = Duration::from_secs(3600);

/// What may be asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum RestService {
    Quotes,
    Market,
    Minutes,
}

impl RestService {
    /// For the log.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            RestService::Quotes => "quotes",
            RestService::Market => "market status",
            RestService::Minutes => "minutes",
        }
    }

    /// How its failures are logged: the proxy that users already run has quotes alone.
    pub(crate) const fn level(self) -> log::Level {
        match self {
            RestService::Quotes => log::Level::Warn,
            RestService::Market | RestService::Minutes => log::Level::Info,
        }
    }
}

/// What is to be asked for now.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum PollJob {
    /// The quotes of these.
    Quotes(Vec<Symbol>),
    /// The state of the markets.
    Market,
    /// The minutes of this one since then.
    Minutes(Symbol, Utc),
}

impl PollJob {
    pub(crate) const fn service(&self) -> RestService {
        match self {
            PollJob::Quotes(_) => RestService::Quotes,
            PollJob::Market => RestService::Market,
            PollJob::Minutes(..) => RestService::Minutes,
        }
    }
}

/// A doubling wait.
#[derive(Clone, Copy, Debug)]
struct Retry(Duration);

impl Retry {
    const START: Self = Self(RETRY_FIRST);

    fn next(&mut self) -> Duration {
        let wait = self.0;
        self.0 = (wait * 2).min(ASK_AGAIN);
        wait
    }
}

/// What the last failure of the quotes means.
#[derive(Clone, Copy, Debug)]
struct PollBackoff {
    since: Moment,
    wait: Duration,
    /// The other side has no time: nothing makes this shorter than a minute.
    busy: bool,
    epoch: u64,
}

/// A symbol whose quotes are wanted.
#[derive(Clone, Debug)]
struct Item {
    ask: PollRequest,
    /// When it was last answered for, and the epoch in which that was asked.
    answered: Option<(Moment, u64)>,
    /// The longest wait after that: shorter while something is missing in the answer.
    wait: Duration,
    retry: Retry,
    /// The vendor serves nothing of it: no pace makes that come sooner.
    denied: bool,
}

impl Item {
    fn new(ask: &PollRequest) -> Self {
        Self {
            ask: ask.clone(),
            answered: None,
            wait: ASK_AGAIN,
            retry: Retry::START,
            denied: false,
        }
    }

    fn due(&self, epoch: u64) -> Moment {
        let Some((answered, asked)) = self.answered else {
            return Moment::ZERO;
        };
        let mut wait = self.wait;
        if let Some(pace) = self.ask.pace.filter(|_| !self.denied) {
            wait = wait.min(pace.max(FASTEST));
        }
        if asked != epoch {
            wait = wait.min(AFTER_RECONNECT);
        }
        answered + wait
    }
}

/// A symbol whose minutes are wanted.
#[derive(Clone, Debug)]
struct BarsRequest {
    symbol: Symbol,
    from: Utc,
    /// `NEVER` once they are there.
    due: Moment,
    /// When they came.
    answered: Moment,
}

/// What is wanted, what was answered, and so what is due.
#[derive(Debug)]
pub(crate) struct Schedule {
    items: Vec<Item>,
    hold: Option<PollBackoff>,
    retry: Retry,
    list: u64,
    epoch: u64,
    /// The epoch in which the last job was begun.
    asked: u64,
    /// `NEVER` while nobody wants it.
    market: Moment,
    /// How often that is, and when it was last answered.
    market_pace: Duration,
    market_answered: Option<Moment>,
    market_retry: Retry,
    spans: Vec<BarsRequest>,
    /// No minutes before this.
    minutes: Moment,
    minutes_retry: Retry,
    /// Nothing at all before this: it was said so.
    closed: Moment,
}

impl Schedule {
    /// For who needs nothing yet.
    pub(crate) const fn new() -> Self {
        Self {
            items: Vec::new(),
            hold: None,
            retry: Retry::START,
            list: 0,
            epoch: 0,
            asked: 0,
            market: Moment::NEVER,
            market_pace: MARKET,
            market_answered: None,
            market_retry: Retry::START,
            spans: Vec::new(),
            minutes: Moment::ZERO,
            minutes_retry: Retry::START,
            closed: Moment::ZERO,
        }
    }

    /// Makes this what is needed.
    pub(crate) fn want(&mut self, need: &RestDemand) {
        let relisted = need.list != self.list;
        let anew = relisted || need.epoch != self.epoch;
        (self.list, self.epoch) = (need.list, need.epoch);
        if relisted {
            // It is asked for at once, but not of who has just said that there is no room.
            self.items.clear();
            self.hold = self.hold.filter(|hold| hold.busy);
        }
        let items = need.polls.iter().map(|ask| {
            let mut old = self.items.iter();
            let old = old.find(|item| item.ask.symbol == ask.symbol).cloned();
            let mut item = old.unwrap_or_else(|| Item::new(ask));
            item.ask.pace = ask.pace;
            item
        });
        self.items = items.collect();
        match need.market {
            None => self.market = Moment::NEVER,
            Some(_) if self.market == Moment::NEVER => self.market = Moment::ZERO,
            Some(pace) => {
                if let Some(answered) = self.market_answered {
                    self.market = self.market.min(answered + pace);
                }
            }
        }
        self.market_pace = need.market.unwrap_or(MARKET);
        let spans = need.minutes.iter().map(|(symbol, from)| {
            let mut old = self.spans.iter();
            let old = old.find(|span| span.symbol == *symbol && span.from == *from);
            let mut span = old.cloned().unwrap_or_else(|| BarsRequest {
                symbol: symbol.clone(),
                from: *from,
                due: Moment::ZERO,
                answered: Moment::ZERO,
            });
            if anew && span.due == Moment::NEVER {
                span.due = span.answered + MINUTES_AGAIN;
            }
            span
        });
        self.spans = spans.collect();
    }

    /// What is to be asked for now; it is answered by [`Schedule::answered`] or
    /// [`Schedule::failed`].
    pub(crate) fn next(&mut self, now: Now) -> Option<PollJob> {
        let at = now.monotonic;
        self.asked = self.epoch;
        if at < self.closed {
            return None;
        }
        if at >= self.quotes_due() {
            return Some(PollJob::Quotes(self.batch(at + JOIN)));
        }
        if at >= self.market {
            return Some(PollJob::Market);
        }
        if at < self.minutes_due(now) {
            return None;
        }
        let span = self.spans.iter().min_by_key(|span| span.due)?;
        Some(PollJob::Minutes(span.symbol.clone(), span.from))
    }

    /// When [`Schedule::next`] has something to say, if nothing happens before.
    pub(crate) fn due(&self, now: Now) -> Moment {
        let due = self.quotes_due().min(self.market);
        due.min(self.minutes_due(now)).max(self.closed)
    }

    fn quotes_due(&self) -> Moment {
        let dues = self.items.iter().map(|item| item.due(self.epoch));
        let due = dues.min().unwrap_or(Moment::NEVER);
        let Some(hold) = self.hold else { return due };
        let mut wait = hold.wait;
        if self.items.iter().any(|item| item.ask.pace.is_some()) {
            wait = wait.min(RETRY_IN_NEED);
        }
        if hold.epoch != self.epoch && !hold.busy {
            wait = wait.min(AFTER_RECONNECT);
        }
        due.max(hold.since + wait)
    }

    fn minutes_due(&self, now: Now) -> Moment {
        // Until the clock is set nobody knows until when they could be asked for.
        if now.utc.is_none() {
            return Moment::NEVER;
        }
        let due = self.spans.iter().map(|span| span.due).min();
        due.map_or(Moment::NEVER, |due| due.max(self.minutes))
    }

    /// Those that are due by then, in the order of the watchlist; the longest due if they are too
    /// many for one request, so that a fast pace starves nobody.
    fn batch(&self, by: Moment) -> Vec<Symbol> {
        let due = |index: &usize| self.items[*index].due(self.epoch);
        let mut indices: Vec<usize> = (0..self.items.len())
            .filter(|index| due(index) <= by)
            .collect();
        if indices.len() > BATCH {
            indices.sort_by_key(due);
            indices.truncate(BATCH);
            indices.sort_unstable();
        }
        let symbols = indices.iter().map(|index| &self.items[*index].ask.symbol);
        symbols.cloned().collect()
    }

    /// A job has its answer, which says this.
    pub(crate) fn answered(&mut self, job: &PollJob, answer: &[Update], now: Moment) {
        match job {
            PollJob::Quotes(symbols) => {
                (self.hold, self.retry) = (None, Retry::START);
                let asked = self.asked;
                let items = self.items.iter_mut();
                for item in items.filter(|item| symbols.contains(&item.ask.symbol)) {
                    let ticker = item.ask.symbol.ticker();
                    let seed = answer.iter().find_map(|update| match update {
                        Update::Seed(seed) if seed.ticker == ticker => Some(seed),
                        _ => None,
                    });
                    item.denied = seed.is_some_and(|seed| seed.denial.is_some());
                    let complete = !item.denied
                        && seed.is_some_and(|seed| seed.price.is_none() || seed.stamp.is_some());
                    item.answered = Some((now, asked));
                    if complete {
                        (item.wait, item.retry) = (ASK_AGAIN, Retry::START);
                    } else {
                        item.wait = item.retry.next();
                    }
                }
            }
            PollJob::Market => {
                self.market = now + self.market_pace;
                self.market_answered = Some(now);
                self.market_retry = Retry::START;
            }
            PollJob::Minutes(symbol, _) => {
                self.minutes_retry = Retry::START;
                self.span(symbol, Moment::NEVER, now);
                self.minutes = now + MINUTES_APART;
            }
        }
    }

    /// A job has no answer; `retry_after` is how long to wait by the other side's own words.
    pub(crate) fn failed(
        &mut self,
        job: &PollJob,
        reason: Failure,
        retry_after: Option<Duration>,
        now: Moment,
    ) {
        if let Some(retry_after) = retry_after {
            self.closed = self.closed.max(now + retry_after);
        }
        match job {
            PollJob::Quotes(_) => {
                self.hold = Some(PollBackoff {
                    since: now,
                    wait: retry_after.unwrap_or_else(|| self.retry.next()),
                    busy: reason == Failure::Busy,
                    epoch: self.asked,
                });
            }
            PollJob::Market => {
                let wait = self.market_retry.next().max(MARKET);
                self.market_answered = None;
                self.market = now
                    + if is_not_served(reason) {
                        NOT_SERVED_RETRY
                    } else {
                        wait
                    };
            }
            PollJob::Minutes(symbol, _) => {
                let wait = self.minutes_retry.next();
                // The next time it is another's turn: the fault may be this one's alone.
                self.span(
                    symbol,
                    now + if reason.refuses() {
                        NOT_SERVED_RETRY
                    } else {
                        wait
                    },
                    now,
                );
                self.minutes = now
                    + match reason {
                        Failure::Path => NOT_SERVED_RETRY,
                        reason if reason.refuses() => MINUTES_APART,
                        _ => wait,
                    };
            }
        }
    }

    fn span(&mut self, symbol: &Symbol, due: Moment, now: Moment) {
        for span in self.spans.iter_mut().filter(|span| span.symbol == *symbol) {
            (span.due, span.answered) = (due, now);
        }
    }
}

/// Whether the other side has no such thing, or not for us.
const fn is_not_served(reason: Failure) -> bool {
    reason.refuses() || matches!(reason, Failure::Path)
}

#[cfg(test)]
#[path = "tests/poll_schedule.rs"]
mod tests;
