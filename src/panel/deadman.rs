//! Until when the picture on the glass is good, and what takes its place then. Owns that moment;
//! reads no clock.
//!
//! A picture is judged at the moment of drawing: one that nobody draws again would look live for
//! ever, whatever has stopped the desk. So each carries until when it is good, and losing live
//! needs nobody who draws.

use std::time::Duration;

use crate::clock::Moment;
use crate::screen::{self, Frame, Size};

/// For how long a picture is good that has nothing plain on it, and any other at most. The desk
/// draws at least once a minute, for the minute on the glass; with this much on top, a machine that
/// is merely slow is not taken for one that stands still.
pub const VOUCHED: Duration = Duration::from_secs(90);
/// The desk draws again at the very moment until which its picture is good. It has this long to do
/// so, or each value that grows old would flash HALTED first.
const GRACE: Duration = Duration::from_millis(50);
/// A machine that was merely slow is not worth a line in the log.
const SLOW: Duration = Duration::from_secs(1);

/// Watches over the pictures of one panel.
#[derive(Debug)]
pub(super) struct Deadman {
    until: Moment,
    stage: Stage,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Stage {
    /// The picture is good.
    Good,
    /// The notice has taken its place.
    Struck,
    /// And the log has been told.
    Told,
}

/// What is to be done now.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Due {
    Nothing,
    /// The picture has to go: the notice takes its place.
    Strike,
    /// The log is to be told.
    Tell,
}

impl Deadman {
    pub(super) fn new(now: Moment) -> Self {
        Self {
            until: now + VOUCHED,
            stage: Stage::Good,
        }
    }

    /// A picture has come that is good until then; whether the log was told that none came.
    pub(super) fn fed(&mut self, until: Moment, now: Moment) -> bool {
        self.until = until.min(now + VOUCHED);
        std::mem::replace(&mut self.stage, Stage::Good) == Stage::Told
    }

    /// What to do now; each thing is said once.
    pub(super) fn due(&mut self, now: Moment) -> Due {
        if now < self.deadline() {
            return Due::Nothing;
        }
        match self.stage {
            Stage::Good => {
                self.stage = Stage::Struck;
                Due::Strike
            }
            Stage::Struck => {
                self.stage = Stage::Told;
                Due::Tell
            }
            Stage::Told => Due::Nothing,
        }
    }

    /// When to ask again.
    pub(super) fn deadline(&self) -> Moment {
        match self.stage {
            Stage::Good => self.until + GRACE,
            Stage::Struck => self.until + GRACE + SLOW,
            Stage::Told => Moment::NEVER,
        }
    }
}

/// What is shown in the place of a picture that nobody vouches for any more.
pub(super) fn notice(size: Size) -> Frame {
    screen::notice(size, "HALTED", "the program stands still")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(millis: u64) -> Moment {
        Moment::from_millis(millis)
    }

    #[test]
    fn who_draws_in_time_is_never_halted() {
        let mut deadman = Deadman::new(at(0));
        for tenth in 0..600 {
            let now = at(10_000 * tenth);
            assert!(!deadman.fed(now + Duration::from_secs(10), now));
            // The desk draws again when the picture ceases to be good, and needs a moment.
            let last = now + Duration::from_millis(10_049);
            assert_eq!(deadman.due(last), Due::Nothing);
        }
    }

    #[test]
    fn a_picture_goes_when_it_ceases_to_be_good_and_the_log_hears_of_it_a_second_later() {
        let mut deadman = Deadman::new(at(0));
        deadman.fed(at(20_000), at(10_000));
        assert_eq!(deadman.deadline(), at(20_050));
        assert_eq!(deadman.due(at(20_049)), Due::Nothing);
        assert_eq!(deadman.due(at(20_050)), Due::Strike);
        assert_eq!(deadman.deadline(), at(21_050));
        assert_eq!(deadman.due(at(21_049)), Due::Nothing);
        assert_eq!(deadman.due(at(21_050)), Due::Tell);
        assert_eq!(deadman.deadline(), Moment::NEVER);
        assert_eq!(deadman.due(at(99_000)), Due::Nothing);
        assert!(deadman.fed(at(110_000), at(100_000)));
        assert_eq!(deadman.deadline(), at(110_050));
    }

    #[test]
    fn a_machine_that_was_slow_is_not_told() {
        let mut deadman = Deadman::new(at(0));
        deadman.fed(at(20_000), at(10_000));
        assert_eq!(deadman.due(at(20_500)), Due::Strike);
        assert!(!deadman.fed(at(30_000), at(20_900)));
    }

    #[test]
    fn no_picture_is_good_for_longer_than_ninety_seconds() {
        let mut deadman = Deadman::new(at(0));
        assert_eq!(deadman.deadline(), at(90_050));
        deadman.fed(Moment::NEVER, at(10_000));
        assert_eq!(deadman.due(at(100_050)), Due::Strike);
    }
}
