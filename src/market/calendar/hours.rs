//! The hours of each kind of symbol, the days that have none or fewer, and how old a value may be
//! within them.

use core::time::Duration;

use jiff::civil::{Date, Weekday};

use super::Part;
use crate::market::{Class, Source, Symbol};

/// Days on which the NYSE does not open (`massive-protocol.md`, "Hours and symbols").
pub(super) const HOLIDAYS: [(i16, i8, i8); 29] = [
    (2026, 1, 1),
    (2026, 1, 19),
    (2026, 2, 16),
    (2026, 4, 3),
    (2026, 5, 25),
    (2026, 6, 19),
    (2026, 7, 3),
    (2026, 9, 7),
    (2026, 11, 26),
    (2026, 12, 25),
    (2027, 1, 1),
    (2027, 1, 18),
    (2027, 2, 15),
    (2027, 3, 26),
    (2027, 5, 31),
    (2027, 6, 18),
    (2027, 7, 5),
    (2027, 9, 6),
    (2027, 11, 25),
    (2027, 12, 24),
    (2028, 1, 17),
    (2028, 2, 21),
    (2028, 4, 14),
    (2028, 5, 29),
    (2028, 6, 19),
    (2028, 7, 4),
    (2028, 9, 4),
    (2028, 11, 23),
    (2028, 12, 25),
];

/// Days on which the NYSE closes at 13:00.
pub(super) const EARLY_CLOSES: [(i16, i8, i8); 5] = [
    (2026, 11, 27),
    (2026, 12, 24),
    (2027, 11, 26),
    (2028, 7, 3),
    (2028, 11, 24),
];

/// The hours that a symbol keeps.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Hours {
    /// 9:30–16:00: indices, and options on shares.
    Regular,
    /// 9:30–16:15: volatility indices of Cboe that are calculated from regular hours alone, and
    /// options on indices and on funds that follow them.
    Late,
    /// 3:15–9:15 and 9:30–16:15: VIX and its family.
    Overnight,
    /// 4:00–9:30, 9:30–16:00 and 16:00–20:00: shares.
    Extended,
}

/// A part of the day, from and to, in hours and minutes.
pub(super) type Session = (Part, (i8, i8), (i8, i8));

/// Roots of options that are traded until 16:15: of indices, and of funds (Cboe, "ETF and ETN
/// options that trade until 4:15 p.m. ET").
const LATE_ROOTS: [&str; 30] = [
    "SPX", "SPXW", "XSP", "NDX", "NDXP", "XND", "RUT", "RUTW", "MRUT", "DJX", "OEX", "XEO", "VIX",
    "VIXW", "SPY", "QQQ", "IWM", "DIA", "DBC", "EEM", "EFA", "GLD", "SLV", "TLT", "UNG", "USO",
    "UVXY", "VXX", "XLE", "XLF",
];

impl Hours {
    /// Where it is not known whether an index is published at night, it counts as published: a
    /// value is then called stale too often, never a dead link's last value a close.
    pub(super) fn of(symbol: &Symbol) -> Hours {
        match symbol.class() {
            Class::Equity => Hours::Extended,
            Class::Option => match symbol.contract() {
                Some(contract) if LATE_ROOTS.contains(&contract.root) => Hours::Late,
                _ => Hours::Regular,
            },
            Class::Index if symbol.name().starts_with("VIX") || symbol.name() == "VVIX" => {
                Hours::Overnight
            }
            Class::Index if matches!(symbol.name(), "VXN" | "RVX" | "OVX" | "GVZ" | "SKEW") => {
                Hours::Late
            }
            Class::Index => Hours::Regular,
        }
    }

    /// The sessions of a day, in order.
    pub(super) fn sessions(self, date: Date) -> &'static [Session] {
        use Part::{Post, Pre, Regular};
        let day = (date.year(), date.month(), date.day());
        let weekend = matches!(date.weekday(), Weekday::Saturday | Weekday::Sunday);
        if weekend || HOLIDAYS.contains(&day) {
            return &[];
        }
        match (self, EARLY_CLOSES.contains(&day)) {
            (Hours::Regular, false) => &[(Regular, (9, 30), (16, 0))],
            (Hours::Regular, true) => &[(Regular, (9, 30), (13, 0))],
            (Hours::Late, false) => &[(Regular, (9, 30), (16, 15))],
            (Hours::Late, true) => &[(Regular, (9, 30), (13, 15))],
            (Hours::Overnight, false) => {
                &[(Regular, (3, 15), (9, 15)), (Regular, (9, 30), (16, 15))]
            }
            (Hours::Overnight, true) => {
                &[(Regular, (3, 15), (9, 15)), (Regular, (9, 30), (13, 15))]
            }
            (Hours::Extended, false) => &[
                (Pre, (4, 0), (9, 30)),
                (Regular, (9, 30), (16, 0)),
                (Post, (16, 0), (20, 0)),
            ],
            (Hours::Extended, true) => &[
                (Pre, (4, 0), (9, 30)),
                (Regular, (9, 30), (13, 0)),
                (Post, (13, 0), (17, 0)),
            ],
        }
    }
}

/// Before and after the regular hours a value of a share may be older than usual: trades are
/// rare then.
pub const EXTENDED_LIMIT: Duration = Duration::from_secs(300);

/// How old a value may be while its session is open.
///
/// - SPX, NDX, DJI and other indices: 10 s; they are published once a second or faster.
/// - VIX and its kin: 45 s; Cboe publishes them every 15 s, so two may be lost.
/// - A minute bar's close: 75 s; the next comes 60 s later, and some seconds late.
/// - Options and shares: 60 s. A contract that is rarely quoted then shows its age between two
///   quotes: silence of the market cannot be told from silence of the link.
pub fn limit(symbol: &Symbol, source: Source) -> Duration {
    let secs = match (source, symbol.class(), Hours::of(symbol)) {
        (Source::Minute, ..) => 75,
        (_, Class::Index, Hours::Regular | Hours::Extended) => 10,
        (_, Class::Index, Hours::Late | Hours::Overnight) => 45,
        (_, Class::Option | Class::Equity, _) => 60,
    };
    Duration::from_secs(secs)
}
