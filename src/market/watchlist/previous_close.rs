//! The close of the previous trading day, which is the base of today's change. This module decides
//! which reported close is kept; it never reads a clock.

use crate::market::{Calendar, Price, Symbol, TradingDay};
use crate::time::Utc;

/// The previous close and the end of the trading day for which it is the base.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct PreviousClose(Option<(Price, Utc)>);

impl PreviousClose {
    /// Returns the previous close of the trading day that contains `utc`, if it is known.
    pub(super) fn at(self, utc: Utc) -> Option<Price> {
        let (close, until) = self.0?;
        (utc < until).then_some(close)
    }

    /// Takes a close that a server reported at `as_of`: the close of the trading day before the day
    /// that contains `as_of`. A close of an earlier day does not replace a later one.
    pub(super) fn report(
        &mut self,
        close: Price,
        as_of: Utc,
        symbol: &Symbol,
        calendar: &Calendar,
    ) {
        // Before the first session of a day, `trading_day` returns the previous trading day.
        let day = calendar.trading_day(symbol, as_of);
        let until = day.map_or(Utc(i64::MAX), |day| day.end);
        if self.0.is_none_or(|(_, known)| known <= until) {
            self.0 = Some((close, until));
        }
    }

    /// Uses the last close that this program received as the previous close of `day`. `as_of` is
    /// the time of this close. The function does nothing if another trading day is between this
    /// time and `day`. A server can still report another previous close.
    pub(super) fn carry_over(
        &mut self,
        close: Price,
        as_of: Utc,
        day: &TradingDay,
        symbol: &Symbol,
        calendar: &Calendar,
    ) {
        if as_of < day.start && calendar.next_day(symbol, as_of) == day.start {
            self.0 = Some((close, day.end));
        }
    }
}
