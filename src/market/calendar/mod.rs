//! The trading calendar: the phase of each market at a given time, from the table of trading hours
//! and from the market status that the vendor reports. This module never reads a clock and never
//! allocates.

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

/// Returns the date in New York. A time outside of the supported years counts as 1970.
pub(crate) fn new_york_date(at: Utc) -> Date {
    let instant = Timestamp::from_millisecond(at.0).unwrap_or_default();
    NEW_YORK.to_datetime(instant).date()
}

/// Returns the start of a day in New York. `None` if the day is outside of the supported years.
pub(crate) fn new_york_midnight(day: Date) -> Option<Utc> {
    utc(day, (0, 0))
}

/// The time after the open of a session during which the previous close can still be shown. After
/// this time a missing value is reported as stale.
pub const GRACE: Duration = Duration::from_secs(60);

/// The number of days that are searched for a neighbouring session. The longest closure of a market
/// has four days.
const SEARCH_DAYS: i8 = 8;

/// The state of a market at a given time. The phase is valid for its whole time span, so a caller
/// can cache the phase while the phase [covers](Phase::covers) the current time.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum MarketPhase {
    /// A session is open.
    Open {
        /// The start of the session.
        since: Utc,
        /// The end of the session (exclusive).
        until: Utc,
        /// The end of the previous regular session, whose last value is the close until this
        /// session has its own close. In extended hours this is the end of the last regular
        /// session.
        closed: Utc,
        /// The part of the trading day.
        part: SessionPart,
    },
    /// No session is open.
    Closed {
        /// The end of the last session.
        since: Utc,
        /// The start of the next session.
        until: Utc,
        /// The end of the last regular session, whose last value is the close. A value with a later
        /// timestamp can also be the close.
        close: Utc,
    },
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
    const ALWAYS: MarketPhase = MarketPhase::Open {
        since: Utc(i64::MIN),
        until: Utc(i64::MAX),
        closed: Utc(i64::MIN),
        part: SessionPart::Regular,
    };

    /// Returns true if the phase is valid at this time.
    pub const fn covers(&self, at: Utc) -> bool {
        let (MarketPhase::Open { since, until, .. } | MarketPhase::Closed { since, until, .. }) =
            self;
        since.0 <= at.0 && at.0 < until.0
    }

    /// The end of the phase (exclusive).
    pub const fn until(&self) -> Utc {
        let (MarketPhase::Open { until, .. } | MarketPhase::Closed { until, .. }) = self;
        *until
    }

    /// The start of the phase.
    const fn since(&self) -> Utc {
        let (MarketPhase::Open { since, .. } | MarketPhase::Closed { since, .. }) = self;
        *since
    }

    /// The end of the session whose last value is the current close.
    pub const fn bell(&self) -> Utc {
        let (MarketPhase::Open { closed: bell, .. } | MarketPhase::Closed { close: bell, .. }) =
            self;
        *bell
    }

    /// Returns the same phase with another end of the previous session.
    const fn with_bell(mut self, bell: Utc) -> Self {
        let (MarketPhase::Open { closed: of, .. } | MarketPhase::Closed { close: of, .. }) =
            &mut self;
        *of = bell;
        self
    }

    /// The part of the trading day. `None` if no session is open.
    pub const fn part(&self) -> Option<SessionPart> {
        match self {
            MarketPhase::Open { part, .. } => Some(*part),
            MarketPhase::Closed { .. } => None,
        }
    }

    /// Returns true if a session is open.
    pub const fn is_open(&self) -> bool {
        matches!(self, MarketPhase::Open { .. })
    }
}

/// The validity of a vendor market status, in milliseconds. During this time the status overrides
/// the table.
const STATUS_VALIDITY: i64 = 10 * 60_000;
/// The minimum time between a session boundary in the table and a status that may override the
/// table, in milliseconds. The vendor's status can change a few seconds before or after the
/// boundary.
const STATUS_GUARD: i64 = 20_000;

/// The trading hours from the table, and the latest market status from the vendor.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Calendar {
    rule: HoursRule,
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

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum HoursRule {
    UnitedStates,
    None,
}

impl Calendar {
    /// The trading hours of the United States, with the holidays and early closes of the NYSE,
    /// which are computed from its rules.
    pub const fn us() -> Self {
        Self {
            rule: HoursRule::UnitedStates,
            status: None,
            reported_closures: [None; MarketStatus::GROUPS],
            revision: 0,
        }
    }

    /// A calendar that is always open, for simulated prices: these have no trading hours.
    pub const fn always_open() -> Self {
        Self {
            rule: HoursRule::None,
            status: None,
            reported_closures: [None; MarketStatus::GROUPS],
            revision: 0,
        }
    }

    /// Returns true if the calendar has trading hours.
    pub fn has_hours(&self) -> bool {
        self.rule != HoursRule::None
    }

    /// Stores a market status of the vendor. The status overrides the table for ten minutes,
    /// because the table does not contain a closure that was announced today.
    pub fn set_status(&mut self, status: MarketStatus) {
        // After the server's clock was set back, a new status can have an older timestamp than the
        // previous status.
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
                        // The responses can arrive out of order: a response can be older than the
                        // first "closed" report.
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
        let Some(today) = self.date(at) else {
            return true;
        };
        let since = Self::table(symbol, today, at).since();
        self.status
            .is_some_and(|status| status.as_of.0 >= since.0.saturating_add(STATUS_GUARD))
    }

    /// Returns true if the market of this symbol closed less than 20 s ago. In this time a value
    /// that the vendor marks as the close may not be the last value.
    pub fn closed_moments_ago(&self, symbol: &Symbol, at: Utc) -> bool {
        match self.phase(symbol, at) {
            MarketPhase::Closed { since, .. } => at.0 < since.0.saturating_add(STATUS_GUARD),
            MarketPhase::Open { .. } => false,
        }
    }

    /// A key for cached phases: a cached phase is valid only if the key is unchanged.
    pub(super) const fn revision(&self) -> (bool, u32) {
        (matches!(self.rule, HoursRule::None), self.revision)
    }

    /// Returns the phase of the market of this symbol. The computation of New York time takes some
    /// microseconds, so cache the result while it covers the current time.
    pub fn phase(&self, symbol: &Symbol, at: Utc) -> MarketPhase {
        let Some(today) = self.date(at) else {
            return MarketPhase::ALWAYS;
        };
        let phase = Self::table(symbol, today, at);
        let status = self.status.filter(|status| {
            (status.as_of.0 - STATUS_GUARD..status.as_of.0 + STATUS_VALIDITY).contains(&at.0)
        });
        match status {
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

    /// Corrects the end of the last session in the table if the vendor reported "closed" from
    /// before this end until after it. The session then ended at the first report, or it did not
    /// take place.
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
        // The end of the last session, and the end of the last regular session.
        let (mut last, mut close) = (Utc(i64::MIN), Utc(i64::MIN));
        for offset in -SEARCH_DAYS..=SEARCH_DAYS {
            let Some((date, sessions)) =
                day(today, offset).map(|date| (date, hours.sessions(date)))
            else {
                continue;
            };
            if last_day.is_some_and(|last_day| date > last_day) {
                // An expired contract is not traded any more.
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
        // The table never leads to this result: no closure is longer than `SEARCH_DAYS`.
        MarketPhase::ALWAYS
    }

    /// Returns the start of the first session of the next trading day. Values of the current day,
    /// such as the previous close or the day's range, are invalid from this time on.
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

    /// Returns the current trading day, or the previous trading day if the first session of today
    /// has not started or today has no session. `None` if the calendar has no trading hours.
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

    /// Returns the number of days until the last trading day of a contract, by the date in New
    /// York: 0 on the last day, negative after it. `None` if `at` is out of the supported range.
    pub fn days_left(&self, contract: &Contract<'_>, at: Utc) -> Option<i32> {
        let instant = Timestamp::from_millisecond(at.0).ok()?;
        let today = NEW_YORK.to_datetime(instant).date();
        Some(today.until(contract.last_trading_day()).ok()?.get_days())
    }

    /// Returns the date in New York. `None` if the calendar has no trading hours or the time is not
    /// plausible.
    fn date(&self, at: Utc) -> Option<Date> {
        // A clock outside these years is wrong. The freshness of a value then depends only on its
        // age.
        const YEARS: core::ops::Range<i64> = 946_684_800_000..7_258_118_400_000; // 2000 to 2199
        if self.rule == HoursRule::None || !YEARS.contains(&at.0) {
            return None;
        }
        let instant = Timestamp::from_millisecond(at.0).ok()?;
        Some(NEW_YORK.to_datetime(instant).date())
    }
}

/// Returns true if the phase began before 9:30 and the index is also published at night. The vendor
/// does not document how its market status treats this night session.
fn is_night(symbol: &Symbol, since: Utc) -> bool {
    let began = || {
        let instant = Timestamp::from_millisecond(since.0).ok()?;
        Some(NEW_YORK.to_datetime(instant).time())
    };
    Hours::of(symbol) == Hours::Overnight
        && began().is_none_or(|began| began < jiff::civil::time(9, 30, 0, 0))
}

/// Returns the phase of the table, corrected by the vendor's status.
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
    // The status belongs to the previous phase, or the status describes the day session and the
    // current phase is the night session.
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

/// Converts a time of day in New York to UTC. The result is unambiguous, because no session starts
/// or ends at 2:00, when the clocks change.
fn utc(date: Date, (hour, minute): (i8, i8)) -> Option<Utc> {
    let instant = NEW_YORK.to_timestamp(date.at(hour, minute, 0, 0)).ok()?;
    Some(Utc(instant.as_millisecond()))
}

#[cfg(test)]
mod tests;
