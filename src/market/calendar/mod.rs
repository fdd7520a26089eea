//! When a market is open, in New York time, by the table and by the vendor's word. Never reads a
//! clock and never allocates.

mod trading_hours;

use core::time::Duration;

use jiff::Timestamp;
use jiff::civil::Date;
use jiff::tz::TimeZone;

use super::day_bars::TradingDay;
use super::{Contract, MarketState, MarketStatus, Symbol};
use crate::time::Utc;
use trading_hours::Hours;
pub use trading_hours::{EXTENDED_STALE_AFTER, limit};

static NEW_YORK: TimeZone = jiff::tz::get!("America/New_York");

/// How long after an open the last close may stand before a new value is missed.
pub const GRACE: Duration = Duration::from_secs(60);

/// More days than the longest closure has (four), so that a neighbouring session is found.
const SEARCH_DAYS: i8 = 8;

/// What a market does around a moment; holds for the whole span it names, so it can be kept
/// until it no longer [covers](Phase::covers) the time.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum MarketPhase {
    /// A session is on.
    Open {
        /// Its start.
        since: Utc,
        /// Its end; the first moment that no longer belongs to it.
        until: Utc,
        /// The end of the session whose last value is the close until this one has its own: for
        /// the hours before and after regular trading the end of the last regular session.
        closed: Utc,
        /// Which part of the day it is.
        part: SessionPart,
    },
    /// No session is on.
    Closed {
        /// When it began: the end of the last session.
        since: Utc,
        /// The next open.
        until: Utc,
        /// The end of the session whose last value is the close: of the last regular one. Later
        /// values are closes too.
        close: Utc,
    },
}

/// A part of the trading day.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum SessionPart {
    /// Trading of shares before the regular hours.
    Pre,
    /// The regular hours, and for an index all hours in which it is published.
    Regular,
    /// Trading of shares after the regular hours.
    Post,
    /// None of the hours that the table knows: values come although none are expected. No session
    /// of the calendar is of this part; who judges a value says so.
    Outside,
}

impl MarketPhase {
    /// A phase without end, for which there are no hours.
    const ALWAYS: MarketPhase = MarketPhase::Open {
        since: Utc(i64::MIN),
        until: Utc(i64::MAX),
        closed: Utc(i64::MIN),
        part: SessionPart::Regular,
    };

    /// Whether it still holds at this time.
    pub const fn covers(&self, at: Utc) -> bool {
        let (MarketPhase::Open { since, until, .. } | MarketPhase::Closed { since, until, .. }) =
            self;
        since.0 <= at.0 && at.0 < until.0
    }

    /// When it is over.
    pub const fn until(&self) -> Utc {
        let (MarketPhase::Open { until, .. } | MarketPhase::Closed { until, .. }) = self;
        *until
    }

    /// When it began.
    const fn since(&self) -> Utc {
        let (MarketPhase::Open { since, .. } | MarketPhase::Closed { since, .. }) = self;
        *since
    }

    /// The end of the session whose last value is the close now.
    pub const fn bell(&self) -> Utc {
        let (MarketPhase::Open { closed: bell, .. } | MarketPhase::Closed { close: bell, .. }) =
            self;
        *bell
    }

    /// The same phase after a session that ended at another time.
    const fn with_bell(mut self, bell: Utc) -> Self {
        let (MarketPhase::Open { closed: of, .. } | MarketPhase::Closed { close: of, .. }) =
            &mut self;
        *of = bell;
        self
    }

    /// The part of the day that is on, if a session is.
    pub const fn part(&self) -> Option<SessionPart> {
        match self {
            MarketPhase::Open { part, .. } => Some(*part),
            MarketPhase::Closed { .. } => None,
        }
    }

    /// Whether a session is on.
    pub const fn is_open(&self) -> bool {
        matches!(self, MarketPhase::Open { .. })
    }
}

/// For how long after it was true the vendor's word on its markets is worth more than the table.
const STATUS_VALIDITY: i64 = 10 * 60_000;
/// And not before so long after a session's begin or end by the table: the two may change a moment
/// apart.
const STATUS_GUARD: i64 = 20_000;

/// Which hours are kept at all, and what the vendor says of them at the moment.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Calendar {
    rule: HoursRule,
    status: Option<MarketStatus>,
    /// For how long, without a break, the vendor has last called each group of markets closed.
    reported_closures: [Option<ReportedClosure>; MarketStatus::GROUPS],
    /// Another number for each status: comparing it is cheaper.
    revision: u32,
}

/// The vendor's words, one after the other without a long pause, that a market is closed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct ReportedClosure {
    first: Utc,
    last: Utc,
    /// The word before the first was that it is open: it closed then.
    began: bool,
    /// The vendor has said something else since.
    over: bool,
}

impl ReportedClosure {
    /// The end of the session that was to begin at `open`: when the market closed, or `before`, the
    /// end of the session before it, if there was none that is known of.
    fn bell(&self, open: Utc, before: Utc) -> Utc {
        if self.began && self.first > open {
            self.first
        } else {
            before
        }
    }
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum HoursRule {
    UnitedStates,
    None,
}

impl Calendar {
    /// The sessions of the United States, with the holidays and early closes of the NYSE by its rules.
    pub const fn us() -> Self {
        Self {
            rule: HoursRule::UnitedStates,
            status: None,
            reported_closures: [None; MarketStatus::GROUPS],
            revision: 0,
        }
    }

    /// Never closed: simulated prices know no hours.
    pub const fn always_open() -> Self {
        Self {
            rule: HoursRule::None,
            status: None,
            reported_closures: [None; MarketStatus::GROUPS],
            revision: 0,
        }
    }

    /// Whether there are any hours.
    pub fn has_hours(&self) -> bool {
        self.rule != HoursRule::None
    }

    /// Takes the vendor's word on its markets: for ten minutes it overrules the table, which
    /// knows of no closure that was announced this morning.
    pub fn set_status(&mut self, status: MarketStatus) {
        // After the server's clock was set back, a new word may be dated before the last one.
        let before = self.status.filter(|before| {
            before.as_of.0.abs_diff(status.as_of.0) < STATUS_VALIDITY.unsigned_abs()
        });
        for (group, state) in status.groups().into_iter().enumerate() {
            let known = &mut self.reported_closures[group];
            let at = status.as_of;
            *known = match (state, *known) {
                (Some(MarketState::Closed), Some(known))
                    if !known.over && at.0 < known.last.0 + STATUS_VALIDITY =>
                {
                    Some(ReportedClosure {
                        // It may be an answer that is older than the first one that said so.
                        first: known.first.min(at),
                        last: known.last.max(at),
                        ..known
                    })
                }
                (Some(MarketState::Closed), _) => Some(ReportedClosure {
                    first: at,
                    last: at,
                    began: before.is_some_and(|before| before.groups()[group].is_some()),
                    over: false,
                }),
                (_, known) => known.map(|known| ReportedClosure {
                    over: true,
                    ..known
                }),
            };
        }
        self.status = Some(status);
        self.revision = self.revision.wrapping_add(1);
    }

    /// Forgets the vendor's word: it came from another source than the prices.
    pub const fn forget_status(&mut self) {
        self.status = None;
        self.reported_closures = [None; MarketStatus::GROUPS];
        self.revision = self.revision.wrapping_add(1);
    }

    /// Whether the vendor's word that is known was said since the present phase of this symbol
    /// began: a word of before says nothing of it.
    pub fn has_current_status(&self, symbol: &Symbol, at: Utc) -> bool {
        let Some(today) = self.date(at) else {
            return true;
        };
        let since = Self::table(symbol, today, at).since();
        self.status
            .is_some_and(|status| status.as_of.0 >= since.0.saturating_add(STATUS_GUARD))
    }

    /// Whether the market of this symbol has closed so short a time ago that what is called its close
    /// may not be the last value.
    pub fn closed_moments_ago(&self, symbol: &Symbol, at: Utc) -> bool {
        match self.phase(symbol, at) {
            MarketPhase::Closed { since, .. } => at.0 < since.0.saturating_add(STATUS_GUARD),
            MarketPhase::Open { .. } => false,
        }
    }

    /// What tells whether a phase that was kept is of this calendar.
    pub(super) const fn revision(&self) -> (bool, u32) {
        (matches!(self.rule, HoursRule::None), self.revision)
    }

    /// What the market of this symbol does at this time. A computation in New York time, some
    /// microseconds: keep the answer while it covers the time.
    pub fn phase(&self, symbol: &Symbol, at: Utc) -> MarketPhase {
        let Some(today) = self.date(at) else {
            return MarketPhase::ALWAYS;
        };
        let phase = Self::table(symbol, today, at);
        let told = self.status.filter(|status| {
            (status.as_of.0 - STATUS_GUARD..status.as_of.0 + STATUS_VALIDITY).contains(&at.0)
        });
        match told {
            Some(status) => {
                let reported_closures = self.reported_closures[MarketStatus::group(symbol)];
                let phase = match reported_closures {
                    Some(called) => self.without_cancelled_session(phase, symbol, called),
                    None => phase,
                };
                apply_vendor_status(phase, symbol, status, reported_closures)
            }
            None => phase,
        }
    }

    /// What follows the table's last session if the vendor has called the market closed from before
    /// its end until after it: the session ended when it did, or never was.
    fn without_cancelled_session(
        &self,
        phase: MarketPhase,
        symbol: &Symbol,
        called: ReportedClosure,
    ) -> MarketPhase {
        let bell = phase.bell();
        if phase.since() < bell || called.first >= bell || (called.over && called.last < bell) {
            return phase;
        }
        let corrected = || {
            let open = self.trading_day(symbol, Utc(bell.0 - 1))?.open;
            let eve = Utc(open.0 - 1);
            let before = Self::table(symbol, self.date(eve)?, eve).bell();
            Some(phase.with_bell(called.bell(open, before)))
        };
        corrected().unwrap_or(phase)
    }

    fn table(symbol: &Symbol, today: Date, at: Utc) -> MarketPhase {
        let hours = Hours::of(symbol);
        let contract = symbol.contract();
        let last_day = contract.as_ref().map(Contract::last_trading_day);
        // The ends of the last session, and of the last regular one.
        let (mut last, mut close) = (Utc(i64::MIN), Utc(i64::MIN));
        for offset in -SEARCH_DAYS..=SEARCH_DAYS {
            let Some((date, sessions)) =
                day(today, offset).map(|date| (date, hours.sessions(date)))
            else {
                continue;
            };
            if last_day.is_some_and(|last_day| date > last_day) {
                // An expired contract is traded no more.
                return MarketPhase::Closed {
                    since: last,
                    until: Utc(i64::MAX),
                    close,
                };
            }
            for (part, start, end) in sessions {
                let end = match &contract {
                    Some(contract) if Some(date) == last_day => {
                        trading_hours::on_last_day(contract, *end)
                    }
                    _ => *end,
                };
                let (Some(start), Some(end)) = (utc(date, *start), utc(date, end)) else {
                    continue;
                };
                if end <= at {
                    last = end;
                    if *part == SessionPart::Regular {
                        close = end;
                    }
                } else if start <= at {
                    return MarketPhase::Open {
                        since: start,
                        until: end,
                        closed: close,
                        part: *part,
                    };
                } else {
                    return MarketPhase::Closed {
                        since: last,
                        until: start,
                        close,
                    };
                }
            }
        }
        // Unreachable with the table above: no closure lasts as long as REACH.
        MarketPhase::ALWAYS
    }

    /// When the next trading day after the one of this time begins: its first session's start.
    /// What is said "of the day" (a previous close, a range) is worth nothing from then on.
    pub fn next_day(&self, symbol: &Symbol, at: Utc) -> Utc {
        let hours = Hours::of(symbol);
        self.date(at)
            .and_then(|today| {
                (1..=SEARCH_DAYS).find_map(|offset| {
                    let date = day(today, offset)?;
                    let (_, start, _) = hours.sessions(date).first()?;
                    utc(date, *start)
                })
            })
            .unwrap_or(Utc(i64::MAX))
    }

    /// The trading day of this time: the one that is on, or the last one before. `None` where
    /// there are no hours.
    pub fn trading_day(&self, symbol: &Symbol, at: Utc) -> Option<TradingDay> {
        let today = self.date(at)?;
        let hours = Hours::of(symbol);
        (-SEARCH_DAYS..=0).rev().find_map(|offset| {
            let date = day(today, offset)?;
            let sessions = hours.sessions(date);
            let (_, start, _) = sessions.first()?;
            let start = utc(date, *start)?;
            let regular = || {
                sessions
                    .iter()
                    .filter(|(part, ..)| *part == SessionPart::Regular)
            };
            let ((_, open, _), (_, _, close)) = (regular().next()?, regular().next_back()?);
            (start <= at).then_some(TradingDay {
                start,
                open: utc(date, *open)?,
                close: utc(date, *close)?,
                end: self.next_day(symbol, start),
            })
        })
    }

    /// How many days it is until the last trading day of a contract, by New York's date: 0 on it,
    /// negative after it.
    pub fn days_left(&self, contract: &Contract<'_>, at: Utc) -> Option<i32> {
        let instant = Timestamp::from_millisecond(at.0).ok()?;
        let today = NEW_YORK.to_datetime(instant).date();
        Some(today.until(contract.last_trading_day()).ok()?.get_days())
    }

    /// The day in New York; `None` where this calendar has nothing to say.
    fn date(&self, at: Utc) -> Option<Date> {
        // A clock beyond these years is broken; values are then judged by their age alone.
        const YEARS: core::ops::Range<i64> = 946_684_800_000..7_258_118_400_000; // 2000 to 2199
        if self.rule == HoursRule::None || !YEARS.contains(&at.0) {
            return None;
        }
        let instant = Timestamp::from_millisecond(at.0).ok()?;
        Some(NEW_YORK.to_datetime(instant).date())
    }
}

/// Whether a phase began before the regular hours of an index that is published at night, too.
/// Nobody has documented what the vendor's status says of that.
fn is_night(symbol: &Symbol, since: Utc) -> bool {
    let began = || {
        let instant = Timestamp::from_millisecond(since.0).ok()?;
        Some(NEW_YORK.to_datetime(instant).time())
    };
    Hours::of(symbol) == Hours::Overnight
        && began().is_none_or(|began| began < jiff::civil::time(9, 30, 0, 0))
}

/// What the table says, corrected by what the vendor says.
fn apply_vendor_status(
    table: MarketPhase,
    symbol: &Symbol,
    status: MarketStatus,
    reported_closures: Option<ReportedClosure>,
) -> MarketPhase {
    let Some(state) = status.of(symbol) else {
        return table;
    };
    let (MarketPhase::Open { since, until, .. } | MarketPhase::Closed { since, until, .. }) = table;
    // It was true of the phase before; or it is of the day's trading, and this is the night's.
    if status.as_of.0 < since.0.saturating_add(STATUS_GUARD) || is_night(symbol, since) {
        return table;
    }
    let until = until.min(Utc(status.as_of.0 + STATUS_VALIDITY));
    match (table, state) {
        (
            MarketPhase::Open {
                closed,
                part: SessionPart::Regular,
                ..
            },
            MarketState::Closed,
        ) => MarketPhase::Closed {
            since,
            until,
            close: reported_closures.map_or(closed, |called| called.bell(since, closed)),
        },
        (
            MarketPhase::Open {
                closed,
                part: SessionPart::Regular,
                ..
            },
            MarketState::Extended,
        ) => MarketPhase::Open {
            since,
            until,
            closed,
            part: SessionPart::Post,
        },
        (MarketPhase::Closed { close, .. }, MarketState::Open) => MarketPhase::Open {
            since,
            until,
            closed: close,
            part: SessionPart::Regular,
        },
        _ => table,
    }
}

fn day(date: Date, offset: i8) -> Option<Date> {
    date.checked_add(jiff::Span::new().days(offset)).ok()
}

/// A time of day in New York. No session begins or ends where clocks change (at 2:00), so the
/// answer is never ambiguous.
fn utc(date: Date, (hour, minute): (i8, i8)) -> Option<Utc> {
    let instant = NEW_YORK.to_timestamp(date.at(hour, minute, 0, 0)).ok()?;
    Some(Utc(instant.as_millisecond()))
}

#[cfg(test)]
mod tests;
