//! Computes when the panel is dimmed or off, and by how many rows the picture is shifted. The
//! functions are pure: they read no clock and control no panel.

use jiff::Timestamp;
use jiff::civil::DateTime;

use crate::config::settings::TickerSettings;
use crate::display::PanelLight;
use crate::render::Colours;
use crate::time::{Moment, Now, Utc};

/// The time between two shifts of the picture, in milliseconds.
const SHIFT_INTERVAL: u64 = 180_000;
/// The shifts of the picture, in rows, one after the other. The picture moves by only one row at a
/// time and stays within one row of its normal place.
const SHIFTS: [i8; 4] = [0, 1, 0, -1];

impl TickerSettings {
    /// Returns the light of the panel now, by the wall clock of this machine and without a shift of
    /// the picture. This function is for callers that draw without a ticker state.
    pub fn light(&self, now: Now) -> PanelLight {
        let local = now.utc.and_then(|utc| self.local(utc));
        PanelLight {
            shift: 0,
            ..light(self, local, now.monotonic)
        }
    }

    /// Returns the time of day in the configured time zone.
    pub(crate) fn local(&self, utc: Utc) -> Option<DateTime> {
        let instant = Timestamp::from_millisecond(utc.0).ok()?;
        Some(self.zone.to_datetime(instant))
    }
}

/// Returns the light of the panel. Without a local time, the brightness of the day is used.
pub(crate) fn light(settings: &TickerSettings, local: Option<DateTime>, now: Moment) -> PanelLight {
    let mut periods = settings.dimming_periods.iter();
    let night = local.and_then(|local| periods.find(|night| night.covers(local)));
    let step = (now.as_millis() / SHIFT_INTERVAL) as usize % SHIFTS.len();
    PanelLight {
        on: night.is_none_or(|night| night.brightness.is_some()),
        brightness: (night.and_then(|night| night.brightness)).unwrap_or(settings.brightness),
        shift: match (settings.shift, settings.colours) {
            (true, Colours::One) => SHIFTS[step],
            _ => 0,
        },
    }
}

/// The levels of brightness that a person can choose.
const LEVELS: [u8; 5] = [0, 16, 64, 127, 255];

/// The brightness that a person has chosen. It stays in effect until the schedule changes the light,
/// so that a bright evening does not become a bright night.
#[derive(Clone, Copy, Default, Debug)]
pub(crate) struct ChosenLevel {
    level: Option<u8>,
    /// The light of the schedule at the last call: on or off, and the brightness.
    scheduled: (bool, u8),
}

impl ChosenLevel {
    /// Returns the light of the panel for the light of the schedule.
    pub(crate) fn apply(&mut self, light: PanelLight) -> PanelLight {
        let scheduled = (light.on, light.brightness);
        if scheduled != self.scheduled {
            self.scheduled = scheduled;
            self.level = None;
        }
        match self.level {
            // A person who presses the button wants to see something, also at night.
            Some(brightness) => PanelLight {
                on: true,
                brightness,
                ..light
            },
            None => light,
        }
    }

    /// Chooses the next level above or below the present light.
    pub(crate) fn step(&mut self, brighter: bool, present: PanelLight) {
        let level = match (brighter, present.on) {
            (true, false) => Some(LEVELS[0]),
            (true, true) => LEVELS.into_iter().find(|level| *level > present.brightness),
            (false, _) => LEVELS
                .into_iter()
                .rfind(|level| *level < present.brightness),
        };
        self.level = level.or(self.level);
    }
}

/// Returns the time of the next shift of the picture, or [`Moment::NEVER`] if shifting is disabled.
pub(crate) fn deadline(shift: bool, now: Moment) -> Moment {
    if !shift {
        return Moment::NEVER;
    }
    Moment::from_millis((now.as_millis() / SHIFT_INTERVAL + 1).saturating_mul(SHIFT_INTERVAL))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::settings::{DimmingPeriod, MinuteOfDay};

    const WEEK: [bool; 7] = [true; 7];
    const FRIDAY: [bool; 7] = [false, false, false, false, true, false, false];

    fn night(
        days: [bool; 7],
        from: MinuteOfDay,
        to: MinuteOfDay,
        brightness: Option<u8>,
    ) -> DimmingPeriod {
        DimmingPeriod {
            days,
            from,
            to,
            brightness,
        }
    }

    fn settings(dimming_periods: &[DimmingPeriod], shift: bool) -> TickerSettings {
        TickerSettings {
            dimming_periods: dimming_periods.to_vec(),
            brightness: 200,
            shift,
            ..TickerSettings::of(Vec::new())
        }
    }

    fn at(dimming_periods: &[DimmingPeriod], local: &str) -> (bool, u8) {
        let local = Some(local.parse().unwrap());
        let light = light(&settings(dimming_periods, false), local, Moment::ZERO);
        (light.on, light.brightness)
    }

    #[test]
    fn a_dimming_period_can_continue_after_midnight() {
        let dimming_periods = [night(FRIDAY, 22 * 60, 6 * 60 + 30, Some(9))];
        for (local, dimmed) in [
            ("2026-11-27T21:59", false), // Friday
            ("2026-11-27T22:00", true),
            ("2026-11-28T06:29", true),
            ("2026-11-28T06:30", false),
            ("2026-11-28T22:00", false),
            ("2026-11-27T06:00", false),
        ] {
            let expected = (true, if dimmed { 9 } else { 200 });
            assert_eq!(at(&dimming_periods, local), expected, "{local}");
        }
    }

    #[test]
    fn a_chosen_brightness_lasts_until_the_schedule_changes_the_light() {
        let mut chosen = ChosenLevel::default();
        let day = PanelLight {
            brightness: 127,
            ..PanelLight::default()
        };
        let mut shown = chosen.apply(day);
        assert_eq!(shown, day);
        for (brighter, expected) in [(true, 255), (true, 255), (false, 127), (false, 64)] {
            chosen.step(brighter, shown);
            shown = chosen.apply(day);
            assert_eq!((shown.on, shown.brightness), (true, expected));
        }
        let off = PanelLight { on: false, ..day };
        shown = chosen.apply(off);
        assert_eq!(shown, off);
        chosen.step(true, shown);
        assert_eq!(
            (chosen.apply(off).on, chosen.apply(off).brightness),
            (true, 0)
        );
        assert_eq!(chosen.apply(day), day);
    }

    #[test]
    fn the_first_matching_dimming_period_applies_and_can_turn_the_panel_off() {
        let off = night(WEEK, 60, 120, None);
        let dim = night(WEEK, 0, 1440, Some(1));
        assert_eq!(at(&[off, dim], "2026-11-27T01:30"), (false, 200));
        assert_eq!(at(&[off, dim], "2026-11-27T23:59"), (true, 1));
        assert_eq!(at(&[dim, off], "2026-11-27T01:30"), (true, 1));
    }

    #[test]
    fn a_dimming_period_follows_the_local_time_at_a_clock_change() {
        // 2:30 occurs twice on the last Sunday of October, and never on the last Sunday of March.
        let dimming_periods = [night(WEEK, 2 * 60, 3 * 60, None)];
        assert_eq!(at(&dimming_periods, "2026-10-25T02:30"), (false, 200));
        assert_eq!(at(&dimming_periods, "2026-03-29T03:00"), (true, 200));
    }

    #[test]
    fn without_a_clock_no_dimming_period_applies() {
        let dimming_periods = [night(WEEK, 0, 1440, None)];
        assert!(light(&settings(&dimming_periods, false), None, Moment::ZERO).on);
    }

    #[test]
    fn the_picture_shifts_by_a_row_every_three_minutes_and_returns() {
        let shift = |secs| light(&settings(&[], true), None, Moment::from_secs(secs)).shift;
        assert_eq!([0, 179, 180, 360, 540, 720].map(shift), [0, 0, 1, 0, -1, 0]);
        assert_eq!(
            deadline(true, Moment::from_secs(200)),
            Moment::from_secs(360)
        );
        assert_eq!(deadline(false, Moment::ZERO), Moment::NEVER);
    }
}
