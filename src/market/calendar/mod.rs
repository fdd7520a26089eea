//! The trading calendar: the phase of each market at a given time, from the table of trading hours
//! and from the market status that the vendor reports. This module never reads a clock and never
//! allocates.

mod holidays;
mod new_york;
mod trading_hours;

use core::time::Duration;
pub(super) use holidays::is_trading_day;

use jiff::civil::{Date, time};

use super::day_bars::TradingDay;
use super::{Contract, MarketState, MarketStatus, Symbol};
use crate::time::Utc;
pub use new_york::{new_york_date, new_york_midnight};
pub(super) use trading_hours::EXTENDED_STALE_AFTER;
use trading_hours::Hours;
pub use trading_hours::limit;

/// The number of days that are searched for a neighbouring session. The longest closure of a market
/// has four days.
const SEARCH_DAYS: i8 = 8;

/// The state of a market at a given time. The phase is valid for its whole time span, so a caller
/// can cache the phase while the phase [covers](Self::covers) the current time.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct MarketPhase {
    /// The start of the open session, or the end of the last session.
    pub since: Utc,
    /// The end of the open session (exclusive), or the start of the next session.
    pub until: Utc,
    /// The end of the last regular session, whose last value is the close. While no session is
    /// open, a value with a later timestamp can also be the close.
    pub bell: Utc,
    /// The part of the trading day. `None` if no session is open.
    pub part: Option<SessionPart>,
}

/// A part of the trading day.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum SessionPart {
    /// The extended hours of shares before the regular hours.
    Pre,
    /// The regular hours. For an index, this part includes all hours in which the index is
    /// published.
    Regular,
    /// The extended hours of shares after the regular hours.
    Post,
    /// The time outside all hours in the table. The calendar never returns this part: the freshness
    /// check sets it for a value that arrives although no session is open.
    Outside,
}

impl MarketPhase {
    /// An open phase without end, for instruments and clocks without trading hours.
    const ALWAYS: MarketPhase = MarketPhase {
        since: Utc(i64::MIN),
        until: Utc(i64::MAX),
        bell: Utc(i64::MIN),
        part: Some(SessionPart::Regular),
    };

    /// Returns true if the phase is valid at this time.
    pub fn covers(&self, at: Utc) -> bool {
        (self.since..self.until).contains(&at)
    }

    /// Returns true if a session is open.
    pub const fn is_open(&self) -> bool {
        self.part.is_some()
    }
}

/// The validity of a vendor market status. During this time the status overrides the table.
const STATUS_VALIDITY: Duration = Duration::from_secs(10 * 60);
/// The minimum time between a session boundary in the table and a status that may override the
/// table. The vendor's status can change a few seconds before or after the boundary.
const STATUS_GUARD: Duration = Duration::from_secs(20);

/// The trading hours from the table, and the latest market status from the vendor.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Calendar {
    has_hours: bool,
    status: Option<MarketStatus>,
    /// For each group of markets, the latest unbroken period in which the vendor reported "closed".
    reported_closures: [Option<ReportedClosure>; MarketStatus::GROUPS],
    /// A counter that changes with each new status. A cached phase is checked with this counter,
    /// because the comparison is cheaper than the comparison of two statuses.
    revision: u32,
}

/// A series of vendor reports, without a long gap, that a market is closed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct ReportedClosure {
    first: Utc,
    last: Utc,
    /// True if the vendor reported "open" before the first "closed" report, so the market closed at
    /// `first`.
    began: bool,
    /// True if the vendor has since reported that the market is not closed.
    over: bool,
}

impl ReportedClosure {
    /// Returns the end of the session that should have started at `open`: the time of the first
    /// "closed" report if the session took place, or else `before`, the end of the previous
    /// session.
    fn bell(&self, open: Utc, before: Utc) -> Utc {
        if self.began && self.first > open {
            self.first
        } else {
            before
        }
    }
}

impl Calendar {
    /// The trading hours of the United States, with the holidays and early closes of the NYSE,
    /// which are computed from its rules.
    pub const fn us() -> Self {
        Self {
            has_hours: true,
            status: None,
            reported_closures: [None; MarketStatus::GROUPS],
            revision: 0,
        }
    }

    /// A calendar that is always open, for simulated prices: these have no trading hours.
    pub const fn always_open() -> Self {
        Self {
            has_hours: false,
            ..Self::us()
        }
    }

    /// Returns true if the calendar has trading hours.
    pub const fn has_hours(&self) -> bool {
        self.has_hours
    }

    /// Stores a market status of the vendor. The status overrides the table for ten minutes,
    /// because the table does not contain a closure that was announced today.
    pub fn set_status(&mut self, status: MarketStatus) {
        let at = status.as_of;
        // After the server's clock was set back, a new status can have an older timestamp than the
        // previous status.
        let recent = |before: &MarketStatus| {
            Duration::from_millis(before.as_of.0.abs_diff(at.0)) < STATUS_VALIDITY
        };
        let before = self.status.filter(recent);
        for (group, known) in self.reported_closures.iter_mut().enumerate() {
            let is_closed = status.groups[group] == Some(MarketState::Closed);
            match known {
                Some(known) if !is_closed => known.over = true,
                Some(known) if !known.over && at < known.last + STATUS_VALIDITY => {
                    // The responses can arrive out of order: a response can be older than the first
                    // "closed" report.
                    known.first = known.first.min(at);
                    known.last = known.last.max(at);
                }
                _ if is_closed => {
                    *known = Some(ReportedClosure {
                        first: at,
                        last: at,
                        began: before.is_some_and(|before| before.groups[group].is_some()),
                        over: false,
                    });
                }
                _ => {}
            }
        }
        self.status = Some(status);
        self.revision = self.revision.wrapping_add(1);
    }

    /// Removes the vendor's status. This is necessary when the source of the prices changes,
    /// because the status came from the old source.
    pub const fn forget_status(&mut self) {
        self.status = None;
        self.reported_closures = [None; MarketStatus::GROUPS];
        self.revision = self.revision.wrapping_add(1);
    }

    /// Returns true if the latest status was reported after the current phase of this symbol began.
    /// An older status does not apply to the current phase. Also returns true for a calendar
    /// without trading hours, which needs no status.
    pub fn has_current_status(&self, symbol: &Symbol, at: Utc) -> bool {
        self.date(at).is_none_or(|today| {
            let since = table(symbol, today, at).since;
            let is_current = |status: MarketStatus| status.as_of >= since + STATUS_GUARD;
            self.status.is_some_and(is_current)
        })
    }

    /// Returns true if the market of this symbol closed less than 20 s ago. In this time a value
    /// that the vendor marks as the close may not be the last value.
    pub fn closed_moments_ago(&self, symbol: &Symbol, at: Utc) -> bool {
        let phase = self.phase(symbol, at);
        !phase.is_open() && at < phase.since + STATUS_GUARD
    }

    /// A key for cached phases: a cached phase is valid only if the key is unchanged.
    pub(super) const fn revision(&self) -> (bool, u32) {
        (self.has_hours, self.revision)
    }

    /// Returns the phase of the market of this symbol. The computation of New York time takes some
    /// microseconds, so cache the result while it covers the current time.
    pub fn phase(&self, symbol: &Symbol, at: Utc) -> MarketPhase {
        let Some(today) = self.date(at) else {
            return MarketPhase::ALWAYS;
        };
        let table = table(symbol, today, at);
        let applies = |status: &MarketStatus| {
            (status.as_of - STATUS_GUARD..status.as_of + STATUS_VALIDITY).contains(&at)
        };
        let Some(status) = self.status.filter(applies) else {
            return table;
        };
        let closure = self.reported_closures[MarketStatus::group(symbol)];
        let corrected =
            closure.and_then(|closure| self.without_cancelled_session(table, symbol, closure));
        let table = corrected.unwrap_or(table);
        let MarketPhase { since, bell, .. } = table;
        // The status belongs to the previous phase, or the status describes the day session and the
        // current phase is the night session.
        if status.as_of < since + STATUS_GUARD || is_night(symbol, since) {
            return table;
        }
        let (part, bell) = match (table.part, status.of(symbol)) {
            (Some(SessionPart::Regular), Some(MarketState::Closed)) => {
                let bell = closure.map_or(bell, |closure| closure.bell(since, bell));
                (None, bell)
            }
            (Some(SessionPart::Regular), Some(MarketState::Extended)) => {
                (Some(SessionPart::Post), bell)
            }
            (None, Some(MarketState::Open)) => (Some(SessionPart::Regular), bell),
            _ => return table,
        };
        MarketPhase {
            until: table.until.min(status.as_of + STATUS_VALIDITY),
            bell,
            part,
            ..table
        }
    }

    /// Corrects the end of the last session in the table if the vendor reported "closed" from
    /// before this end until after it. The session then ended at the first report, or it did not
    /// take place. `None` if the table is correct.
    fn without_cancelled_session(
        &self,
        phase: MarketPhase,
        symbol: &Symbol,
        closure: ReportedClosure,
    ) -> Option<MarketPhase> {
        let bell = phase.bell;
        if phase.since < bell || closure.first >= bell || (closure.over && closure.last < bell) {
            return None;
        }
        let open = self.trading_day(symbol, Utc(bell.0 - 1))?.open;
        let eve = Utc(open.0 - 1);
        let before = table(symbol, self.date(eve)?, eve).bell;
        Some(MarketPhase {
            bell: closure.bell(open, before),
            ..phase
        })
    }

    /// Returns the start of the first session of the next trading day. Values of the current day,
    /// such as the previous close or the day's range, are invalid from this time on.
    pub fn next_day(&self, symbol: &Symbol, at: Utc) -> Utc {
        let hours = Hours::of(symbol);
        let start = |date| Some(hours.sessions(date).first()?.start);
        let next = |today| (1..=SEARCH_DAYS).find_map(|offset| start(day(today, offset)?));
        self.date(at).and_then(next).unwrap_or(Utc(i64::MAX))
    }

    /// Returns the current trading day, or the previous trading day if the first session of today
    /// has not started or today has no session. `None` if the calendar has no trading hours.
    pub fn trading_day(&self, symbol: &Symbol, at: Utc) -> Option<TradingDay> {
        let today = self.date(at)?;
        let hours = Hours::of(symbol);
        (-SEARCH_DAYS..=0).rev().find_map(|offset| {
            let sessions = hours.sessions(day(today, offset)?);
            let start = sessions.first().filter(|first| first.start <= at)?.start;
            let regular = sessions.iter();
            let mut regular = regular.filter(|session| session.part == SessionPart::Regular);
            Some(TradingDay {
                start,
                open: regular.clone().next()?.start,
                close: regular.next_back()?.end,
                end: self.next_day(symbol, start),
            })
        })
    }

    /// Returns the number of days until the last trading day of a contract, by the date in New
    /// York: 0 on the last day, negative after it. `None` if `at` is out of the supported range.
    pub fn days_left(&self, contract: &Contract<'_>, at: Utc) -> Option<i32> {
        let today = new_york::civil(at)?.date();
        Some(today.until(contract.last_trading_day()).ok()?.get_days())
    }

    /// Returns the date in New York. `None` if the calendar has no trading hours or the time is not
    /// plausible.
    fn date(&self, at: Utc) -> Option<Date> {
        // A clock outside these years is wrong. The freshness of a value then depends only on its
        // age.
        const YEARS: core::ops::Range<i64> = 946_684_800_000..7_258_118_400_000; // 2000 to 2199
        (self.has_hours && YEARS.contains(&at.0)).then(|| new_york_date(at))
    }
}

/// Returns the phase from the table of trading hours.
fn table(symbol: &Symbol, today: Date, at: Utc) -> MarketPhase {
    let contract = symbol.contract();
    let last_day = contract.as_ref().map(Contract::last_trading_day);
    let usual = Hours::of(symbol);
    let days = (-SEARCH_DAYS..=SEARCH_DAYS)
        .filter_map(|offset| day(today, offset))
        .take_while(|date| last_day.is_none_or(|last_day| *date <= last_day));
    let sessions = days.flat_map(|date| match &contract {
        Some(contract) if Some(date) == last_day => usual.on_last_day(contract).sessions(date),
        _ => usual.sessions(date),
    });
    // The end of the last session, and the end of the last regular session.
    let (mut last, mut bell) = (Utc(i64::MIN), Utc(i64::MIN));
    for session in sessions {
        if at < session.end {
            let is_open = session.start <= at;
            return MarketPhase {
                since: if is_open { session.start } else { last },
                until: if is_open { session.end } else { session.start },
                bell,
                part: is_open.then_some(session.part),
            };
        }
        last = session.end;
        if session.part == SessionPart::Regular {
            bell = session.end;
        }
    }
    // Only an expired contract has no later session: no closure is longer than `SEARCH_DAYS`.
    MarketPhase {
        since: last,
        until: Utc(i64::MAX),
        bell,
        part: None,
    }
}

/// Returns true if the phase began before 9:30 and the index is also published at night. The vendor
/// does not document how its market status treats this night session.
fn is_night(symbol: &Symbol, since: Utc) -> bool {
    Hours::of(symbol) == Hours::Overnight
        && new_york::civil(since).is_none_or(|began| began.time() < time(9, 30, 0, 0))
}

fn day(date: Date, offset: i8) -> Option<Date> {
    date.checked_add(jiff::Span::new().days(offset)).ok()
}

#[cfg(test)]
mod tests;
