//! The stall watch: it replaces a picture that is no longer valid with a notice. This module owns
//! the time until which the picture is valid; it never reads a clock.
//!
//! The event loop judges the freshness of prices when it draws a picture. If the event loop stops,
//! the last picture would look live without end. Therefore each picture contains the time until
//! which it is valid, and the panel thread can replace the picture without the event loop.

use std::time::Duration;

use crate::render::{self, Frame, Size};
use crate::time::Moment;

/// The longest validity of a picture. It applies even to a picture without a live or delayed value.
/// The event loop draws at least once a minute, because the picture contains the time of day. The
/// additional 30 s prevent a false notice on a slow machine.
pub const MAX_PICTURE_AGE: Duration = Duration::from_secs(90);
/// The time that the event loop has for a redraw after the validity of a picture ends. Without this
/// time, each value that becomes stale would show the HALTED notice for a moment.
const REDRAW_ALLOWANCE: Duration = Duration::from_millis(50);
/// The delay between the notice and the log line, so that a machine that is only slow for a moment
/// does not write to the log.
const LOG_AFTER: Duration = Duration::from_secs(1);

/// The stall watch of one panel.
#[derive(Debug)]
pub(super) struct StallWatch {
    until: Moment,
    /// The next action of this stall; [`StallAction::Nothing`] after the log line.
    next: StallAction,
}

/// The action that is due now.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum StallAction {
    Nothing,
    /// Replace the picture with the notice.
    ShowNotice,
    /// Write the stall to the log.
    Log,
}

impl StallWatch {
    pub(super) fn new(now: Moment) -> Self {
        Self {
            until: now + MAX_PICTURE_AGE,
            next: StallAction::ShowNotice,
        }
    }

    /// Registers a new picture that is valid until `until`. Returns true if the stall before this
    /// picture has been logged.
    pub(super) fn picture_received(&mut self, until: Moment, now: Moment) -> bool {
        self.until = until.min(now + MAX_PICTURE_AGE);
        std::mem::replace(&mut self.next, StallAction::ShowNotice) == StallAction::Nothing
    }

    /// Returns the action that is due now. Each action of a stall is returned once.
    pub(super) fn due(&mut self, now: Moment) -> StallAction {
        if now < self.deadline() {
            return StallAction::Nothing;
        }
        let after = match self.next {
            StallAction::ShowNotice => StallAction::Log,
            StallAction::Log | StallAction::Nothing => StallAction::Nothing,
        };
        std::mem::replace(&mut self.next, after)
    }

    /// The time of the next action; [`Moment::NEVER`] if no action remains.
    pub(super) fn deadline(&self) -> Moment {
        match self.next {
            StallAction::ShowNotice => self.until + REDRAW_ALLOWANCE,
            StallAction::Log => self.until + REDRAW_ALLOWANCE + LOG_AFTER,
            StallAction::Nothing => Moment::NEVER,
        }
    }
}

/// The notice that replaces a picture that is no longer valid.
pub(crate) fn notice(size: Size) -> Frame {
    render::notice(size, "HALTED", "the program stands still")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(millis: u64) -> Moment {
        Moment::from_millis(millis)
    }

    #[test]
    fn a_ticker_that_draws_in_time_keeps_its_picture() {
        let mut stall_watch = StallWatch::new(at(0));
        for tenth in 0..600 {
            let now = at(10_000 * tenth);
            assert!(!stall_watch.picture_received(now + Duration::from_secs(10), now));
            // The event loop draws again at the end of the validity and needs some milliseconds for
            // that.
            let last = now + Duration::from_millis(10_049);
            assert_eq!(stall_watch.due(last), StallAction::Nothing);
        }
    }

    #[test]
    fn an_expired_picture_is_replaced_and_the_stall_is_logged_a_second_later() {
        let mut stall_watch = StallWatch::new(at(0));
        stall_watch.picture_received(at(20_000), at(10_000));
        assert_eq!(stall_watch.deadline(), at(20_050));
        assert_eq!(stall_watch.due(at(20_049)), StallAction::Nothing);
        assert_eq!(stall_watch.due(at(20_050)), StallAction::ShowNotice);
        assert_eq!(stall_watch.deadline(), at(21_050));
        assert_eq!(stall_watch.due(at(21_049)), StallAction::Nothing);
        assert_eq!(stall_watch.due(at(21_050)), StallAction::Log);
        assert_eq!(stall_watch.deadline(), Moment::NEVER);
        assert_eq!(stall_watch.due(at(99_000)), StallAction::Nothing);
        assert!(stall_watch.picture_received(at(110_000), at(100_000)));
        assert_eq!(stall_watch.deadline(), at(110_050));
    }

    #[test]
    fn a_delay_of_less_than_a_second_is_not_logged() {
        let mut stall_watch = StallWatch::new(at(0));
        stall_watch.picture_received(at(20_000), at(10_000));
        assert_eq!(stall_watch.due(at(20_500)), StallAction::ShowNotice);
        assert!(!stall_watch.picture_received(at(30_000), at(20_900)));
    }

    #[test]
    fn a_picture_is_valid_for_at_most_ninety_seconds() {
        let mut stall_watch = StallWatch::new(at(0));
        assert_eq!(stall_watch.deadline(), at(90_050));
        stall_watch.picture_received(Moment::NEVER, at(10_000));
        assert_eq!(stall_watch.due(at(100_050)), StallAction::ShowNotice);
    }
}
