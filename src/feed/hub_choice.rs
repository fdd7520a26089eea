//! The choice among several hubs: the next hub if the current one fails, and the first hub again
//! when it works again. Pure: this module reads no clock and opens no connection.

use core::time::Duration;

use crate::time::Moment;

/// The time after which the next hub replaces a hub that fails.
const FAILED_FOR: Duration = Duration::from_secs(4);
/// The time that replaces [`FAILED_FOR`] while the first connection to a hub is being opened.
const JOINING_FOR: Duration = Duration::from_secs(9);
/// The maximum of [`FAILED_FOR`] and [`JOINING_FOR`], which double after each unsuccessful round
/// over all hubs.
const LONGEST: Duration = Duration::from_secs(60);
/// The interval between two checks of the first hub while another hub is in use.
const CHECK_INTERVAL: Duration = Duration::from_secs(10);
/// The number of good checks in a row after which the first hub is used again.
const GOOD_CHECKS: u32 = 2;
/// The time for which the first hub must work after a return. If it fails earlier, the next return
/// needs twice as many good checks, up to [`MOST_CHECKS`].
const PROVEN_AFTER: Duration = Duration::from_secs(60);
const MOST_CHECKS: u32 = 64;

/// The state of the hub in use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HubState {
    /// Values can arrive.
    Live,
    /// The connection is being opened, and nothing has failed yet.
    Joining,
    /// The hub is down, refuses this client, or is cut off from its vendor.
    Failed,
}

/// The hub in use and the times of its failures.
#[derive(Clone, Debug)]
pub struct HubChoice {
    count: usize,
    active: usize,
    /// The start of the use of this hub.
    since: Moment,
    /// The time since which the hub is not live; `None` while it is live.
    failing: Option<Moment>,
    /// True if the hub was live since `since`.
    was_live: bool,
    /// The number of changes of the hub since a hub was last live.
    changes: u32,
    /// The time of the next check of the first hub.
    check: Moment,
    good: u32,
    /// The number of good checks that a return needs.
    needed: u32,
}

impl HubChoice {
    /// Creates the choice among this number of hubs. The first hub is in use.
    pub fn new(count: usize, now: Moment) -> Self {
        Self {
            count,
            active: 0,
            since: now,
            failing: Some(now),
            was_live: false,
            changes: 0,
            check: Moment::NEVER,
            good: 0,
            needed: GOOD_CHECKS,
        }
    }

    /// Returns the index of the hub in use.
    pub const fn active(&self) -> usize {
        self.active
    }

    /// Records the state of the hub in use. Returns true if another hub must be used from now on.
    pub fn observe(&mut self, state: HubState, now: Moment) -> bool {
        if state == HubState::Live {
            (self.failing, self.was_live, self.changes) = (None, true, 0);
            if self.active == 0 && now >= self.since + PROVEN_AFTER {
                self.needed = GOOD_CHECKS;
            }
            return false;
        }
        self.failing.get_or_insert(now);
        if self.count < 2 || now < self.failure(state) {
            return false;
        }
        if self.active == 0 && self.was_live && now < self.since + PROVEN_AFTER {
            self.needed = (self.needed * 2).min(MOST_CHECKS);
        }
        self.changes = self.changes.saturating_add(1);
        self.use_hub((self.active + 1) % self.count, now);
        true
    }

    /// Returns the time at which a hub in this state has failed.
    fn failure(&self, state: HubState) -> Moment {
        let limit = match state {
            HubState::Live => return Moment::NEVER,
            HubState::Joining => JOINING_FOR,
            HubState::Failed => FAILED_FOR,
        };
        let rounds = self.changes / u32::try_from(self.count).unwrap_or(u32::MAX);
        let limit = limit
            .saturating_mul(2_u32.saturating_pow(rounds))
            .min(LONGEST);
        self.failing
            .map_or(Moment::NEVER, |failing| failing + limit)
    }

    /// Returns true if the first hub must be checked now. The caller reports the result with
    /// [`HubChoice::checked`].
    pub fn must_check(&mut self, now: Moment) -> bool {
        let due = now >= self.check;
        if due {
            self.check = Moment::NEVER;
        }
        due
    }

    /// Records the result of a check of the first hub. Returns true if the first hub must be used
    /// from now on.
    pub fn checked(&mut self, works: bool, now: Moment) -> bool {
        if self.active == 0 {
            return false;
        }
        self.good = if works { self.good + 1 } else { 0 };
        self.check = now + CHECK_INTERVAL;
        let returns = self.good >= self.needed;
        if returns {
            self.use_hub(0, now);
        }
        returns
    }

    /// Returns the time at which [`HubChoice::observe`] or [`HubChoice::must_check`] can return
    /// true for a hub that stays in this state.
    pub fn deadline(&self, state: HubState) -> Moment {
        match self.count {
            0 | 1 => Moment::NEVER,
            _ => self.failure(state).min(self.check),
        }
    }

    fn use_hub(&mut self, hub: usize, now: Moment) {
        (self.active, self.since, self.good) = (hub, now, 0);
        (self.failing, self.was_live) = (Some(now), false);
        self.check = match hub {
            0 => Moment::NEVER,
            _ => now + CHECK_INTERVAL,
        };
    }
}

#[cfg(test)]
mod tests {
    use super::HubState::{Failed, Joining, Live};
    use super::*;

    fn at(secs: u64) -> Moment {
        Moment::from_secs(secs)
    }

    #[test]
    fn the_next_hub_is_used_after_some_seconds_of_failure_and_the_first_after_two_good_checks() {
        let mut choice = HubChoice::new(2, at(0));
        assert!(!choice.observe(Joining, at(8)));
        assert!(!choice.observe(Live, at(8)));
        assert_eq!(choice.deadline(Live), Moment::NEVER);
        assert!(!choice.observe(Live, at(100)));
        assert!(!choice.observe(Failed, at(102)));
        assert_eq!(choice.deadline(Failed), at(106));
        assert!(choice.observe(Failed, at(106)));
        assert_eq!(choice.active(), 1);
        assert!(!choice.observe(Live, at(107)));
        assert!(!choice.must_check(at(115)) && choice.must_check(at(116)));
        assert!(!choice.must_check(at(116)), "a check is in progress");
        assert!(!choice.checked(true, at(117)));
        assert!(choice.must_check(at(127)) && !choice.checked(false, at(127)));
        assert!(choice.must_check(at(137)) && !choice.checked(true, at(137)));
        assert!(choice.must_check(at(147)) && choice.checked(true, at(147)));
        assert_eq!(choice.active(), 0);
        assert!(!choice.must_check(at(999)));
    }

    #[test]
    fn a_first_hub_that_fails_soon_after_a_return_needs_more_good_checks() {
        let mut choice = HubChoice::new(2, at(0));
        choice.observe(Live, at(1));
        let mut now = 1;
        for needed in [4, 8, 16] {
            assert!(!choice.observe(Failed, at(now)));
            assert!(choice.observe(Failed, at(now + 4)));
            now += 4;
            for nth in 1..=choice.needed {
                assert_eq!(choice.checked(true, at(now)), nth == choice.needed);
            }
            assert_eq!(choice.needed, needed);
            choice.observe(Live, at(now));
        }
        assert!(!choice.observe(Live, at(now + 60)));
        assert_eq!(choice.needed, GOOD_CHECKS);
    }

    #[test]
    fn while_all_hubs_fail_each_of_them_gets_longer_turns() {
        let mut choice = HubChoice::new(3, at(0));
        let mut turns = Vec::new();
        for now in 0..400 {
            if choice.observe(Failed, at(now)) {
                turns.push((now, choice.active()));
            }
        }
        let first = [(4, 1), (8, 2), (12, 0), (20, 1), (28, 2), (36, 0), (52, 1)];
        assert_eq!(turns[..7], first);
        let gaps: Vec<u64> = turns.windows(2).map(|pair| pair[1].0 - pair[0].0).collect();
        assert_eq!(gaps.iter().max(), Some(&60));
        let mut alone = HubChoice::new(1, at(0));
        assert!(!alone.observe(Failed, at(999)));
        assert_eq!(alone.deadline(Failed), Moment::NEVER);
    }
}
