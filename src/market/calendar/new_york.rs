//! Conversions between UTC and the time in New York. This module never reads a clock.

use jiff::Timestamp;
use jiff::civil::{Date, DateTime};
use jiff::tz::TimeZone;

use crate::time::Utc;

static NEW_YORK: TimeZone = jiff::tz::get!("America/New_York");

/// Returns the date and the time of day in New York. `None` if the year is out of range.
pub(super) fn civil(at: Utc) -> Option<DateTime> {
    let instant = Timestamp::from_millisecond(at.0).ok()?;
    Some(NEW_YORK.to_datetime(instant))
}

/// Returns the date in New York. A time outside of the supported years counts as 1970.
pub fn new_york_date(at: Utc) -> Date {
    let instant = Timestamp::from_millisecond(at.0).unwrap_or_default();
    NEW_YORK.to_datetime(instant).date()
}

/// Returns the start of a day in New York. `None` if the day is outside of the supported years.
pub fn new_york_midnight(day: Date) -> Option<Utc> {
    utc(day.into())
}

/// Converts a date and a time of day in New York to UTC. The time must not be between 1:00 and
/// 3:00, when the clocks change.
pub(super) fn utc(time: DateTime) -> Option<Utc> {
    let instant = NEW_YORK.to_timestamp(time).ok()?;
    Some(Utc(instant.as_millisecond()))
}
