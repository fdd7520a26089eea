//! Until when the picture on the glass is good, and what takes its place then. Owns that moment;
//! reads no clock.
//!
//! A picture is judged at the moment of drawing: one that nobody draws again would look live for
//! ever, whatever has stopped the desk. So each carries until when it is good, and losing live
//! needs nobody who draws.

use std::time::Duration;

use crate::render;
use crate::render::{Frame, Size};
use crate::time::Moment;

/// For how long a picture is good that has nothing plain on it, and any other at most. The desk
/// draws at least once a minute, for the minute on the glass; with this much on top, a machine that
/// is merely slow is not taken for one that stands still.
pub const MAX_PICTURE_AGE: Duration = Duration::from_secs(90);
/// The desk draws again at the very moment until which its picture is good. It has this long to do
/// so, or each value that grows old would flash HALTED first.
const REDRAW_ALLOWANCE: Duration = Duration::from_millis(50);
/// A machine that was merely slow is not worth a line in the log.
const LOG_AFTER: Duration = Duration::from_secs(1);

/// Watches over the pictures of one panel.
#[derive(Debug)]
pub(super) struct StallWatch {
    until: Moment,
    state: StallState,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum StallState {
    /// The picture is good.
    Good,
    /// The notice has taken its place.
    NoticeShown,
    /// And the log has been told.
    Logged,
}

/// What is to be done now.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum StallAction {
    Nothing,
    /// The picture has to go: the notice takes its place.
    ShowNotice,
    /// The log is to be told.
    Log,
}

impl StallWatch {
    pub(super) fn new(now: Moment) -> Self {
        Self {
            until: now + MAX_PICTURE_AGE,
            state: StallState::Good,
        }
    }

    /// A picture has come that is good until then; whether the log was told that none came.
    pub(super) fn picture_received(&mut self, until: Moment, now: Moment) -> bool {
        self.until = until.min(now + MAX_PICTURE_AGE);
        std::mem::replace(&mut self.state, StallState::Good) == StallState::Logged
    }

    /// What to do now; each thing is said once.
    pub(super) fn due(&mut self, now: Moment) -> StallAction {
        if now < self.deadline() {
            return StallAction::Nothing;
        }
        match self.state {
            StallState::Good => {
                self.state = StallState::NoticeShown;
                StallAction::ShowNotice
            }
            StallState::NoticeShown => {
                self.state = StallState::Logged;
                StallAction::Log
            }
            StallState::Logged => StallAction::Nothing,
        }
    }

    /// When to ask again.
    pub(super) fn deadline(&self) -> Moment {
        match self.state {
            StallState::Good => self.until + REDRAW_ALLOWANCE,
            StallState::NoticeShown => self.until + REDRAW_ALLOWANCE + LOG_AFTER,
            StallState::Logged => Moment::NEVER,
        }
    }
}

/// What is shown in the place of a picture that nobody vouches for any more.
pub(super) fn notice(size: Size) -> Frame {
    render::notice(size, "HALTED", "the program stands still")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(millis: u64) -> Moment {
        Moment::from_millis(millis)
    }

    #[test]
    fn who_draws_in_time_is_never_halted() {
        let mut stall_watch = StallWatch::new(at(0));
        for tenth in 0..600 {
            let now = at(10_000 * tenth);
            assert!(!stall_watch.picture_received(now + Duration::from_secs(10), now));
            // The desk draws again when the picture ceases to be good, and needs a moment.
            let last = now + Duration::from_millis(10_049);
            assert_eq!(stall_watch.due(last), StallAction::Nothing);
        }
    }

    #[test]
    fn a_picture_goes_when_it_ceases_to_be_good_and_the_log_hears_of_it_a_second_later() {
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
    fn a_machine_that_was_slow_is_not_told() {
        let mut stall_watch = StallWatch::new(at(0));
        stall_watch.picture_received(at(20_000), at(10_000));
        assert_eq!(stall_watch.due(at(20_500)), StallAction::ShowNotice);
        assert!(!stall_watch.picture_received(at(30_000), at(20_900)));
    }

    #[test]
    fn no_picture_is_good_for_longer_than_ninety_seconds() {
        let mut stall_watch = StallWatch::new(at(0));
        assert_eq!(stall_watch.deadline(), at(90_050));
        stall_watch.picture_received(Moment::NEVER, at(10_000));
        assert_eq!(stall_watch.due(at(100_050)), StallAction::ShowNotice);
    }
}
