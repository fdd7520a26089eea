//! The days and hours of the New York markets, from this test's own table. It does not use the
//! program's calendar: a shared table would hide an error from this test.

/// Milliseconds, as a duration or as a time since the Unix epoch (UTC).
pub(crate) type Ms = i64;

pub(crate) const SECOND: Ms = 1_000;
pub(crate) const MINUTE: Ms = 60 * SECOND;
pub(crate) const HOUR: Ms = 60 * MINUTE;
pub(crate) const DAY: Ms = 24 * HOUR;

/// Returns the day number since 1970-01-01 (proleptic Gregorian calendar; Hinnant's algorithm).
pub(crate) const fn number(year: i64, month: i64, day: i64) -> i64 {
    let year = if month <= 2 { year - 1 } else { year };
    let era = year.div_euclid(400);
    let of_era = year - era * 400;
    let of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    era * 146_097 + of_era * 365 + of_era / 4 - of_era / 100 + of_year - 719_468
}

/// Returns the date (year, month, day) of a day number.
pub(crate) const fn date(number: i64) -> (i64, i64, i64) {
    let shifted = number + 719_468;
    let era = shifted.div_euclid(146_097);
    let of_era = shifted - era * 146_097;
    let year = (of_era - of_era / 1_460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year + year / 4 - year / 100);
    let month = (5 * of_year + 2) / 153;
    let day = of_year - (153 * month + 2) / 5 + 1;
    let month = if month < 10 { month + 3 } else { month - 9 };
    let year = year + era * 400 + if month <= 2 { 1 } else { 0 };
    (year, month, day)
}

/// Returns the weekday of a day number; 0 is Sunday.
pub(crate) const fn weekday(number: i64) -> i64 {
    (number + 4).rem_euclid(7)
}

/// Returns the day number of the `nth` Sunday of a month.
const fn sunday(year: i64, month: i64, nth: i64) -> i64 {
    let first = number(year, month, 1);
    first + (7 - weekday(first)) % 7 + 7 * (nth - 1)
}

/// Returns the days on which the clocks change in New York: the second Sunday of March (forward)
/// and the first Sunday of November (back).
pub(crate) const fn changes(year: i64) -> (i64, i64) {
    (sunday(year, 3, 2), sunday(year, 11, 1))
}

/// Returns the difference between UTC and New York time at a local time of a day.
const fn behind(number: i64, of_day: Ms) -> Ms {
    let (forward, back) = changes(date(number).0);
    let summer = (number > forward || number == forward && of_day >= 2 * HOUR)
        && (number < back || number == back && of_day < 2 * HOUR);
    if summer { 4 * HOUR } else { 5 * HOUR }
}

/// Converts a local time of a day in New York to UTC.
pub(crate) const fn utc(number: i64, of_day: Ms) -> Ms {
    number * DAY + of_day + behind(number, of_day)
}

/// Returns the day number in New York and the time of day in milliseconds.
pub(crate) const fn local(at: Ms) -> (i64, Ms) {
    // Standard time is the first assumption; it is wrong only during daylight saving time.
    let winter = at - 5 * HOUR;
    let (day, of_day) = (winter.div_euclid(DAY), winter.rem_euclid(DAY));
    let (forward, back) = changes(date(day).0);
    let summer = (day > forward || day == forward && of_day >= 2 * HOUR)
        && (day < back || day == back && of_day < HOUR);
    let here = if summer { at - 4 * HOUR } else { winter };
    (here.div_euclid(DAY), here.rem_euclid(DAY))
}

/// The kind of a day on the markets.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Kept {
    Full,
    Half,
    Closed,
}

/// The market holidays (source: NYSE, "Holidays and Trading Hours").
const HOLIDAYS: [(i64, i64, i64); 29] = [
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
const HALVES: [(i64, i64, i64); 5] = [
    (2026, 11, 27),
    (2026, 12, 24),
    (2027, 11, 26),
    (2028, 7, 3),
    (2028, 11, 24),
];

/// Returns the kind of a day by the table. The table does not contain unscheduled closures.
pub(crate) fn kept(day: i64) -> Kept {
    let date = date(day);
    if matches!(weekday(day), 0 | 6) || HOLIDAYS.contains(&date) {
        Kept::Closed
    } else if HALVES.contains(&date) {
        Kept::Half
    } else {
        Kept::Full
    }
}

/// Returns the last day with a session before this day.
pub(crate) fn before(day: i64) -> i64 {
    let mut day = day - 1;
    while kept(day) == Kept::Closed {
        day -= 1;
    }
    day
}

/// The kinds of days that the generator draws on purpose, because special days are rare in a
/// uniform draw.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Sort {
    Ordinary,
    Half,
    ClocksForward,
    ClocksBack,
    YearsTurn,
    Holiday,
    Weekend,
}

impl Sort {
    pub(crate) const ALL: [Self; 7] = [
        Self::Ordinary,
        Self::Half,
        Self::ClocksForward,
        Self::ClocksBack,
        Self::YearsTurn,
        Self::Holiday,
        Self::Weekend,
    ];

    /// Draws a day of this kind. The clocks change on a Sunday, so that kind includes the Saturday
    /// before and the Monday after.
    pub(crate) fn day(self, random: &mut fastrand::Rng) -> i64 {
        let year = random.i64(2026..=2028);
        let any = |random: &mut fastrand::Rng| number(year, 1, 1) + random.i64(5..360);
        let of = |random: &mut fastrand::Rng, table: &[(i64, i64, i64)]| {
            let (year, month, day) = table[random.usize(0..table.len())];
            number(year, month, day)
        };
        match self {
            Self::Half => of(random, &HALVES),
            // The first holiday is left out: the day before it is earlier than the program's
            // earliest plausible time.
            Self::Holiday => of(random, &HOLIDAYS[1..]),
            Self::ClocksForward => changes(year).0 + random.i64(-1..=1),
            Self::ClocksBack => changes(year).1 + random.i64(-1..=1),
            Self::YearsTurn => number(random.i64(2026..=2027), 12, 31) + random.i64(0..=1),
            Self::Weekend => loop {
                let day = any(random);
                if matches!(weekday(day), 0 | 6) {
                    return day;
                }
            },
            Self::Ordinary => loop {
                let day = any(random);
                if kept(day) == Kept::Full {
                    return day;
                }
            },
        }
    }
}
