//! The holidays and the early closes of the NYSE, computed by rule for each year. This module never
//! reads a clock.

use jiff::civil::{Date, Weekday};

/// Returns true if the date is a holiday of the NYSE, by its rules (NYSE rule 7.2; Juneteenth since
/// 2022). A holiday on a Saturday is observed on Friday, and a holiday on a Sunday is observed on
/// Monday. The only exception is New Year's Day on a Saturday: the last day of the year stays a
/// trading day.
pub(super) fn is_holiday(date: Date) -> bool {
    use Weekday::{Friday, Monday, Saturday, Sunday, Thursday};
    let (month, day, weekday) = (date.month(), date.day(), date.weekday());
    // The ordinal of the weekday in its month: 1 for the first Monday of the month, for example.
    let nth = (day - 1) / 7 + 1;
    let observed = |holiday: i8| match weekday {
        Saturday | Sunday => false,
        Friday => day == holiday || day + 1 == holiday,
        Monday => day == holiday || day - 1 == holiday,
        _ => day == holiday,
    };
    match (month, weekday) {
        // Martin Luther King Jr. Day, Presidents' Day, Memorial Day, Labor Day and Thanksgiving.
        (1 | 2, Monday) if nth == 3 => true,
        (5, Monday) if day > 24 => true,
        (9, Monday) if nth == 1 => true,
        (11, Thursday) if nth == 4 => true,
        (1, _) => observed(1),
        (3 | 4, Friday) => good_friday(date.year()) == Some(date),
        (6, _) => observed(19),
        (7, _) => observed(4),
        (12, _) => observed(25),
        _ => false,
    }
}

/// Returns true if the NYSE is open on this date, by its rules.
pub(in crate::market) fn is_trading_day(date: Date) -> bool {
    !matches!(date.weekday(), Weekday::Saturday | Weekday::Sunday) && !is_holiday(date)
}

/// Returns true if the NYSE closes at 13:00 on this trading day: on the day after Thanksgiving, and
/// on the day before Independence Day or Christmas if both that day and the holiday are weekdays.
pub(super) fn closes_early(date: Date) -> bool {
    let working = |date: Date| !matches!(date.weekday(), Weekday::Saturday | Weekday::Sunday);
    match (date.month(), date.day()) {
        (11, day) => date.weekday() == Weekday::Friday && (23..=29).contains(&day),
        (7, 3) | (12, 24) => working(date) && date.tomorrow().is_ok_and(working),
        _ => false,
    }
}

/// Good Friday: two days before Easter Sunday, by the algorithm of Meeus, Jones and Butcher.
fn good_friday(year: i16) -> Option<Date> {
    let year = i32::from(year);
    let (a, b, c) = (year % 19, year / 100, year % 100);
    let d = (19 * a + b - b / 4 - (b - (b + 8) / 25 + 1) / 3 + 15) % 30;
    let e = (32 + 2 * (b % 4) + 2 * (c / 4) - d - c % 4) % 7;
    let f = d + e - 7 * ((a + 11 * d + 22 * e) / 451) + 114;
    let easter = Date::new(year as i16, (f / 31) as i8, (f % 31 + 1) as i8).ok()?;
    easter.checked_sub(jiff::Span::new().days(2)).ok()
}
