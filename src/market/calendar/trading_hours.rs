//! The trading hours of each kind of symbol, and the maximum age of a value during the trading
//! hours. This module never reads a clock.

use core::time::Duration;

use jiff::civil::{Date, Weekday};

use super::holidays::{closes_early, is_holiday};
use super::{SessionPart, new_york};
use crate::market::{AssetClass, Contract, QuoteSource, Symbol};
use crate::time::Utc;

/// The kinds of trading hours, in New York time.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Hours {
    /// 9:30–16:00: indices, and options on shares.
    Regular,
    /// 9:30–16:15: volatility indices of Cboe that are computed only in regular hours, and options
    /// on indices and on funds that follow an index.
    Late,
    /// 3:15–9:15 and 9:30–16:15: VIX and related indices.
    Overnight,
    /// 4:00–9:30, 9:30–16:00 and 16:00–20:00: shares.
    Extended,
}

/// A session of a trading day.
pub(super) struct Session {
    pub(super) part: SessionPart,
    pub(super) start: Utc,
    /// The end of the session (exclusive).
    pub(super) end: Utc,
}

/// The roots of options that are traded until 16:15: options on indices and on funds (Cboe, "ETF
/// and ETN options that trade until 4:15 p.m. ET").
const LATE_ROOTS: [&str; 30] = [
    "SPX", "SPXW", "XSP", "NDX", "NDXP", "XND", "RUT", "RUTW", "MRUT", "DJX", "OEX", "XEO", "VIX",
    "VIXW", "SPY", "QQQ", "IWM", "DIA", "DBC", "EEM", "EFA", "GLD", "SLV", "TLT", "UNG", "USO",
    "UVXY", "VXX", "XLE", "XLF",
];

impl Hours {
    /// Returns the trading hours of a symbol. An index counts as published at night unless a
    /// document excludes publication at night. If this assumption is wrong, the error is harmless:
    /// a value is sometimes reported as stale, but the last value before a connection loss is never
    /// shown as a close.
    pub(super) fn of(symbol: &Symbol) -> Hours {
        match symbol.class() {
            AssetClass::Equity => Hours::Extended,
            AssetClass::Option => match symbol.contract() {
                Some(contract) if LATE_ROOTS.contains(&contract.root) => Hours::Late,
                _ => Hours::Regular,
            },
            AssetClass::Index => match symbol.name() {
                name if name.starts_with("VIX") || name == "VVIX" => Hours::Overnight,
                "VXN" | "RVX" | "OVX" | "GVZ" | "SKEW" => Hours::Late,
                _ => Hours::Regular,
            },
        }
    }

    /// Returns the hours on the last trading day of a contract. `self` are the hours on all other
    /// days. Options on indices close on their last day with the index that settles them (Cboe,
    /// "SPX Weeklys").
    pub(super) fn on_last_day(self, contract: &Contract<'_>) -> Hours {
        match contract.root {
            "SPXW" | "NDXP" | "RUTW" | "XSP" | "MRUT" | "XND" | "OEX" | "XEO" => Hours::Regular,
            _ => self,
        }
    }

    /// Returns the sessions of a day, in order. The result is empty on a day without trading.
    pub(super) fn sessions(self, date: Date) -> heapless::Vec<Session, 3> {
        use SessionPart::{Post, Pre, Regular};
        let weekend = matches!(date.weekday(), Weekday::Saturday | Weekday::Sunday);
        let table: &[_] = match self {
            _ if weekend || is_holiday(date) => &[],
            Hours::Regular => &[(Regular, (9, 30), (16, 0))],
            Hours::Late => &[(Regular, (9, 30), (16, 15))],
            Hours::Overnight => &[(Regular, (3, 15), (9, 15)), (Regular, (9, 30), (16, 15))],
            Hours::Extended => &[
                (Pre, (4, 0), (9, 30)),
                (Regular, (9, 30), (16, 0)),
                (Post, (16, 0), (20, 0)),
            ],
        };
        let early = closes_early(date);
        let utc = |(hour, minute): (i8, i8)| {
            // On a day with an early close, all times from 16:00 on are three hours earlier.
            let hour = if early && hour >= 16 { hour - 3 } else { hour };
            new_york::utc(date.at(hour, minute, 0, 0))
        };
        let session = |&(part, start, end): &(SessionPart, _, _)| {
            let (start, end) = (utc(start)?, utc(end)?);
            Some(Session { part, start, end })
        };
        table.iter().filter_map(session).collect()
    }
}

/// The maximum age of a share's price in extended hours. The limit is longer than in regular hours,
/// because trades are rare.
pub(crate) const EXTENDED_STALE_AFTER: Duration = Duration::from_secs(300);

/// Returns the maximum age of a value while its session is open.
///
/// - SPX, NDX, DJI and other indices: 10 s; they are published at least once per second.
/// - VIX and related indices: 45 s; Cboe publishes them every 15 s, so two values may be lost.
/// - Options and shares: 60 s. A contract with rare quotes is reported as stale between two quotes:
///   a quiet market cannot be distinguished from a dead connection.
/// - The close of a minute bar of any symbol: 75 s.
pub fn limit(symbol: &Symbol, source: QuoteSource) -> Duration {
    let usual = match (symbol.class(), Hours::of(symbol)) {
        (AssetClass::Index, Hours::Regular | Hours::Extended) => 10,
        (AssetClass::Index, Hours::Late | Hours::Overnight) => 45,
        (AssetClass::Option | AssetClass::Equity, _) => 60,
    };
    source.limit(Duration::from_secs(usual))
}
