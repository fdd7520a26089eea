//! The schedule of the REST requests. The code is pure: the caller passes the time, and this module
//! never sends a request.
//!
//! Each symbol has its own poll interval, and symbols that are due at about the same time share one
//! request. Each wait starts at the response, so that a slow server receives fewer requests. If the
//! server requests a wait, no poll interval shortens this wait.

use std::time::Duration;

use super::Update;
use crate::market::Symbol;
use crate::net::failure::Failure;
use crate::time::{Moment, Now, Utc};

/// The REST data that the ticker state needs.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct RestDemand {
    /// The symbols whose quotes are needed. Symbols that are due at about the same time share one
    /// request.
    pub polls: Vec<PollRequest>,
    /// A number that changes with each watchlist. The quotes of a new watchlist are requested
    /// immediately.
    pub list: u64,
    /// A number that changes after each reconnect and each step of the wall clock. Data from before
    /// the change can be stale or wrongly judged, so the poller requests the data again.
    pub epoch: u64,
    /// The interval between two requests for the market status; `None` if the status is not needed.
    pub market: Option<Duration>,
    /// The agreed wall clock minus the monotonic clock, in milliseconds, with a resolution of some
    /// seconds; `None` while no agreed time exists.
    pub offset: Option<i64>,
    /// The symbols whose minute bars are needed, and the start of the trading day of each symbol.
    /// The poller requests each entry once for each `list` and `epoch`, and again after a failure.
    pub minutes: Vec<(Symbol, Utc)>,
}

/// The poll interval for the quotes of one symbol.
#[derive(Clone, Debug, PartialEq)]
pub struct PollRequest {
    /// The symbol to poll.
    pub symbol: Symbol,
    /// The wait between a response and the next request; `None` if the long default interval is
    /// enough.
    pub pace: Option<Duration>,
}

/// The wait after a complete response. A long wait is enough, because the previous close changes
/// once a day.
const ASK_AGAIN: Duration = Duration::from_secs(600);
/// The first wait after a failure. The wait doubles up to [`ASK_AGAIN`].
const RETRY_FIRST: Duration = Duration::from_secs(5);
/// The maximum wait after a failed quotes request while any symbol has a poll interval.
const RETRY_IN_NEED: Duration = Duration::from_secs(60);
/// The minimum wait between a response and a request that a reconnect causes.
const AFTER_RECONNECT: Duration = Duration::from_secs(15);
/// The minimum poll interval.
const FASTEST: Duration = Duration::from_secs(1);
/// A symbol that becomes due within this time joins the current request.
const JOIN: Duration = Duration::from_millis(500);
/// The maximum number of tickers in one request. More tickers can make the address too long for a
/// proxy on the network path.
const BATCH: usize = 64;

/// The minimum wait after a failed request for the market status.
const MARKET: Duration = Duration::from_secs(60);
/// The pause between the requests for the minute bars of two symbols. The pause prevents 64
/// requests in a short time.
const MINUTES_APART: Duration = Duration::from_millis(250);
/// The minimum interval between two requests for the minute bars of one symbol after reconnects.
const MINUTES_AGAIN: Duration = Duration::from_secs(60);
/// The wait before the next request for data that the server does not offer.
const NOT_SERVED_RETRY: Duration = Duration::from_secs(3600);

/// A request that is due now.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum PollJob {
    /// The quotes of these symbols.
    Quotes(Vec<Symbol>),
    /// The state of the markets.
    Market,
    /// The minute bars of this symbol since this time.
    Minutes(Symbol, Utc),
}

impl PollJob {
    /// Returns the name of the requested data for the log.
    pub(crate) const fn service(&self) -> &'static str {
        match self {
            PollJob::Quotes(_) => "quotes",
            PollJob::Market => "market status",
            PollJob::Minutes(..) => "minutes",
        }
    }
}

/// The number of failures in a row.
#[derive(Clone, Copy, Debug, Default)]
struct Retry(u32);

impl Retry {
    /// Counts a failure, and returns the wait after it. The wait doubles after each failure, up to
    /// [`ASK_AGAIN`].
    fn next(&mut self) -> Duration {
        let wait = RETRY_FIRST.saturating_mul(2_u32.saturating_pow(self.0));
        self.0 = self.0.saturating_add(1);
        wait.min(ASK_AGAIN)
    }
}

/// The backoff after the last failed quotes request.
#[derive(Clone, Copy, Debug)]
struct PollBackoff {
    since: Moment,
    wait: Duration,
    /// True if the server was overloaded. In this case, neither a new watchlist nor a reconnect
    /// shortens the wait.
    busy: bool,
    epoch: u64,
}

/// A symbol whose quotes are wanted.
#[derive(Clone, Debug)]
struct Item {
    ask: PollRequest,
    /// The time of the last response to a request for this symbol, and the connection epoch of that
    /// request.
    answered: Option<(Moment, u64)>,
    /// The maximum wait after the last response. The wait is shorter if the response lacked data.
    wait: Duration,
    retry: Retry,
    /// True if the vendor serves no data for this symbol. The poll interval is then ignored.
    denied: bool,
}

impl Item {
    fn new(ask: &PollRequest) -> Self {
        Self {
            ask: ask.clone(),
            answered: None,
            wait: ASK_AGAIN,
            retry: Retry::default(),
            denied: false,
        }
    }

    fn due(&self, epoch: u64) -> Moment {
        let Some((answered, request_epoch)) = self.answered else {
            return Moment::ZERO;
        };
        let mut wait = self.wait;
        if let Some(pace) = self.ask.pace.filter(|_| !self.denied) {
            wait = wait.min(pace.max(FASTEST));
        }
        if request_epoch != epoch {
            wait = wait.min(AFTER_RECONNECT);
        }
        answered + wait
    }
}

/// A symbol whose minute bars are wanted.
#[derive(Clone, Debug)]
struct BarsRequest {
    symbol: Symbol,
    from: Utc,
    /// The time of the next request; `NEVER` after a successful response.
    due: Moment,
    /// The time of the last response or failure.
    answered: Moment,
}

/// The REST demand, the results of the past requests, and the times of the next requests.
#[derive(Debug, Default)]
pub(crate) struct Schedule {
    items: Vec<Item>,
    hold: Option<PollBackoff>,
    retry: Retry,
    list: u64,
    epoch: u64,
    /// The epoch at the start of the last job.
    request_epoch: u64,
    /// The time of the next market status request; `NEVER` while the status is not wanted.
    market: Moment,
    /// The interval between two market status requests.
    market_pace: Duration,
    market_answered: Option<Moment>,
    market_retry: Retry,
    /// The time of the last response to any request.
    any_answered: Moment,
    /// True after the refusal of a request for several classes of symbols. Each further request is
    /// for one class, because the plan of a vendor includes or excludes a whole class.
    by_class: bool,
    spans: Vec<BarsRequest>,
    /// The earliest time of the next minute-bar request for any symbol.
    minutes: Moment,
    minutes_retry: Retry,
    /// The earliest time of the next request of any kind, as the server requested with
    /// `Retry-After`.
    closed: Moment,
}

impl Schedule {
    /// Creates a schedule without any demand.
    pub(crate) fn new() -> Self {
        Self {
            market: Moment::NEVER,
            market_pace: MARKET,
            ..Self::default()
        }
    }

    /// Replaces the demand.
    pub(crate) fn want(&mut self, need: &RestDemand) {
        let relisted = need.list != self.list;
        let anew = relisted || need.epoch != self.epoch;
        (self.list, self.epoch) = (need.list, need.epoch);
        if relisted {
            // The poller requests a new watchlist immediately, except from an overloaded server.
            self.items.clear();
            self.hold = self.hold.filter(|hold| hold.busy);
        }
        let items = need.polls.iter().map(|ask| {
            let mut old = self.items.iter();
            let old = old.find(|item| item.ask.symbol == ask.symbol).cloned();
            Item {
                ask: ask.clone(),
                ..old.unwrap_or_else(|| Item::new(ask))
            }
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

    /// Returns the request that is due now, or `None`. The caller reports the result with
    /// [`Schedule::answered`] or [`Schedule::failed`].
    pub(crate) fn next(&mut self, now: Now) -> Option<PollJob> {
        let at = now.monotonic;
        self.request_epoch = self.epoch;
        if at < self.closed {
            return None;
        }
        if at >= self.quotes_due() {
            return Some(PollJob::Quotes(self.batch(at + JOIN)));
        }
        if at >= self.market_due() {
            return Some(PollJob::Market);
        }
        if at < self.minutes_due(now) {
            return None;
        }
        let span = self.spans.iter().min_by_key(|span| span.due)?;
        Some(PollJob::Minutes(span.symbol.clone(), span.from))
    }

    /// Returns the time at which [`Schedule::next`] returns a request, if no event occurs before.
    pub(crate) fn due(&self, now: Now) -> Moment {
        let due = self.quotes_due().min(self.market_due());
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

    /// Returns the time of the next market status request. Each response contains the time of the
    /// server, so a recent response to another request delays this request by up to one interval.
    fn market_due(&self) -> Moment {
        let Some(answered) = self.market_answered else {
            return self.market;
        };
        let latest = answered + self.market_pace * 2;
        let quiet = self.any_answered + self.market_pace;
        self.market.max(quiet.min(latest))
    }

    fn minutes_due(&self, now: Now) -> Moment {
        // The current wall-clock time is the end of the requested interval, so no request is
        // possible before the clock is set.
        if now.utc.is_none() {
            return Moment::NEVER;
        }
        let due = self.spans.iter().map(|span| span.due).min();
        due.map_or(Moment::NEVER, |due| due.max(self.minutes))
    }

    /// Returns the symbols that are due at `by`, in the order of the watchlist. If the symbols do
    /// not fit into one request, the symbols with the oldest due times come first, so that a short
    /// poll interval cannot block the others.
    fn batch(&self, by: Moment) -> Vec<Symbol> {
        let due = |index: &usize| self.items[*index].due(self.epoch);
        let mut indices: Vec<usize> = (0..self.items.len())
            .filter(|index| due(index) <= by)
            .collect();
        let class = |index: &usize| self.items[*index].ask.symbol.class();
        if self.by_class
            && let Some(first) = indices.iter().min_by_key(|index| due(index)).map(class)
        {
            indices.retain(|index| class(index) == first);
        }
        if indices.len() > BATCH {
            indices.sort_by_key(due);
            indices.truncate(BATCH);
            indices.sort_unstable();
        }
        let symbols = indices.iter().map(|index| &self.items[*index].ask.symbol);
        symbols.cloned().collect()
    }

    /// Records the response to a job, and sets the times of the next requests.
    pub(crate) fn answered(&mut self, job: &PollJob, answer: &[Update], now: Moment) {
        self.any_answered = now;
        match job {
            PollJob::Quotes(symbols) => {
                (self.hold, self.retry) = (None, Retry::default());
                let request_epoch = self.request_epoch;
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
                    item.answered = Some((now, request_epoch));
                    if complete {
                        (item.wait, item.retry) = (ASK_AGAIN, Retry::default());
                    } else {
                        item.wait = item.retry.next();
                    }
                }
            }
            PollJob::Market => {
                self.market = now + self.market_pace;
                self.market_answered = Some(now);
                self.market_retry = Retry::default();
            }
            PollJob::Minutes(symbol, _) => {
                self.minutes_retry = Retry::default();
                self.span(symbol, Moment::NEVER, now);
                self.minutes = now + MINUTES_APART;
            }
        }
    }

    /// Records that the vendor refuses the quotes of these symbols to this plan. Returns true if
    /// the refusal is final for each symbol; false if the symbols will be requested class by class.
    pub(crate) fn not_in_plan(&mut self, symbols: &[Symbol], now: Moment) -> bool {
        self.any_answered = now;
        let mut classes = symbols.iter().map(Symbol::class);
        let first = classes.next();
        if !self.by_class && classes.any(|class| Some(class) != first) {
            self.by_class = true;
            return false;
        }
        true
    }

    /// Records the failure of a job. `retry_after` is the wait that the server requested.
    pub(crate) fn failed(
        &mut self,
        job: &PollJob,
        reason: Failure,
        retry_after: Option<Duration>,
        now: Moment,
    ) {
        // A refusal applies only to its own data, so the wait does not apply to other requests.
        if let Some(retry_after) = retry_after.filter(|_| !reason.refuses()) {
            self.closed = self.closed.max(now + retry_after);
        }
        match job {
            PollJob::Quotes(_) => {
                self.hold = Some(PollBackoff {
                    since: now,
                    wait: retry_after.unwrap_or_else(|| self.retry.next()),
                    busy: reason == Failure::Busy,
                    epoch: self.request_epoch,
                });
            }
            PollJob::Market => {
                let wait = self.market_retry.next().max(MARKET);
                self.market_answered = None;
                self.market = now
                    + match reason {
                        Failure::Path => NOT_SERVED_RETRY,
                        reason if reason.refuses() => NOT_SERVED_RETRY,
                        _ => wait,
                    };
            }
            PollJob::Minutes(symbol, _) => {
                let wait = self.minutes_retry.next();
                // The failure can be specific to this symbol, so the next request is for another
                // symbol.
                let (wait, wait_of_others) = match reason {
                    Failure::Path => (wait, NOT_SERVED_RETRY),
                    reason if reason.refuses() => (NOT_SERVED_RETRY, MINUTES_APART),
                    _ => (wait, wait),
                };
                self.span(symbol, now + wait, now);
                self.minutes = now + wait_of_others;
            }
        }
    }

    fn span(&mut self, symbol: &Symbol, due: Moment, now: Moment) {
        for span in self.spans.iter_mut().filter(|span| span.symbol == *symbol) {
            (span.due, span.answered) = (due, now);
        }
    }
}

#[cfg(test)]
#[path = "tests/poll_schedule.rs"]
mod tests;
