//! Whether anybody still draws. Owns when the last picture came and what is shown instead once
//! that is too long ago; reads no clock.
//!
//! A picture is judged at the moment of drawing: one that nobody draws again would look live for
//! ever, whatever has stopped the desk.

use std::time::Duration;

use crate::clock::Moment;
use crate::screen::{self, Frame, Size};

/// The desk draws at least once a minute, for the minute on the glass; with this much on top, a
/// machine that is merely slow is not taken for one that stands still.
const LIMIT: Duration = Duration::from_secs(90);

/// Watches over the pictures of one panel.
#[derive(Debug)]
pub(super) struct Deadman {
    /// When the last picture came, or the watch began.
    fed: Moment,
    /// Whether the notice has taken its place.
    halted: bool,
}

impl Deadman {
    pub(super) const fn new(now: Moment) -> Self {
        Self {
            fed: now,
            halted: false,
        }
    }

    /// A picture has come; whether the notice was up until now.
    pub(super) const fn fed(&mut self, now: Moment) -> bool {
        self.fed = now;
        std::mem::replace(&mut self.halted, false)
    }

    /// Whether the last picture has to go now; said once.
    pub(super) fn halts(&mut self, now: Moment) -> bool {
        let first = !self.halted && now >= self.deadline();
        self.halted |= first;
        first
    }

    /// When to ask again.
    pub(super) fn deadline(&self) -> Moment {
        match self.halted {
            true => Moment::NEVER,
            false => self.fed + LIMIT,
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

    fn secs(secs: u64) -> Moment {
        Moment::from_secs(secs)
    }

    #[test]
    fn who_draws_once_a_minute_is_never_halted() {
        let mut deadman = Deadman::new(secs(0));
        for minute in 0..60 {
            assert!(!deadman.fed(secs(60 * minute)));
            assert!(!deadman.halts(secs(60 * minute + 59)));
        }
    }

    #[test]
    fn ninety_seconds_without_a_picture_halt_once_and_the_next_picture_ends_it() {
        let mut deadman = Deadman::new(secs(0));
        deadman.fed(secs(10));
        assert_eq!(deadman.deadline(), secs(100));
        assert!(!deadman.halts(Moment::from_millis(99_999)));
        assert!(deadman.halts(secs(100)));
        assert!(!deadman.halts(secs(101)));
        assert_eq!(deadman.deadline(), Moment::NEVER);
        assert!(deadman.fed(secs(500)));
        assert_eq!(deadman.deadline(), secs(590));
        assert!(!deadman.halts(secs(501)));
    }
}
