//! The state machine that recovers a panel after bus faults. This module decides when to retry,
//! when to send everything again, and which faults are logged; it never accesses the bus, and it
//! never reads a clock.

use std::time::Duration;

use super::bus_fault::BusFault;
use crate::time::Moment;

/// The first wait after a failed connection. Each further wait is twice as long.
const FIRST_BACKOFF: Duration = Duration::from_millis(100);
/// The longest wait for a lost panel. The panel may still show an old price, so a retry must come
/// soon after the panel responds again. A message without a response costs nothing.
const LAST_BACKOFF: Duration = Duration::from_secs(1);
/// The longest wait for a stuck bus. Each attempt takes a second or more, and the kernel logs each
/// attempt.
const STUCK_BACKOFF: Duration = Duration::from_secs(10);
/// The interval at which everything is sent again, to repair errors that no bus fault has reported.
/// Each time costs 1.1 KB (2.1 KB for an SH1106), a third of a percent of a bus at 100 kHz.
const REDRAW_INTERVAL: Duration = Duration::from_secs(30);
/// The time for which a reconnected panel must work before it counts as recovered. After this time,
/// everything is sent again for the first time.
const STABLE_AFTER_RECOVERY: Duration = Duration::from_secs(5);

/// The step that is due now.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum RecoveryStep {
    /// Do nothing: the next attempt is not due yet.
    Wait,
    /// Open the bus and send everything.
    Connect,
    /// Send everything, and do not turn the panel off first.
    Heal,
    /// Send the changes.
    Update,
    /// Send the changes again, and send all state that the failed message may have changed in the
    /// chip.
    Repeat,
}

#[derive(Debug)]
pub(crate) struct PanelRecovery {
    state: RecoveryState,
    /// The time of the next attempt to connect; for a connected panel the time at which everything
    /// is sent again.
    due: Moment,
    backoff: Duration,
    /// The faults that have been reported since the panel last worked. A loose wire causes several
    /// faults one after another, and each fault is reported once.
    reported: heapless::Vec<BusFault, 8>,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum RecoveryState {
    Lost,
    Connected,
    /// A message was interrupted. A picture that is half old and half new can show a price that
    /// never existed.
    Torn,
}

impl PanelRecovery {
    /// Creates the state of a panel without a connection. The first step is to connect at once.
    pub(crate) const fn new() -> Self {
        Self {
            state: RecoveryState::Lost,
            due: Moment::ZERO,
            backoff: FIRST_BACKOFF,
            reported: heapless::Vec::new(),
        }
    }

    /// Returns the step that is due now.
    pub(crate) fn step(&self, now: Moment) -> RecoveryStep {
        match self.state {
            RecoveryState::Lost if now < self.due => RecoveryStep::Wait,
            RecoveryState::Lost => RecoveryStep::Connect,
            RecoveryState::Connected if now < self.due => RecoveryStep::Update,
            RecoveryState::Connected => RecoveryStep::Heal,
            RecoveryState::Torn => RecoveryStep::Repeat,
        }
    }

    /// The time of the next step that is due without a new picture.
    pub(crate) const fn deadline(&self) -> Moment {
        match self.state {
            RecoveryState::Lost | RecoveryState::Connected => self.due,
            RecoveryState::Torn => Moment::ZERO,
        }
    }

    /// Registers that the step has succeeded. Returns true if the panel works again after a loss
    /// that has been reported.
    pub(crate) fn worked(&mut self, step: RecoveryStep, now: Moment) -> bool {
        self.due = match step {
            RecoveryStep::Wait | RecoveryStep::Update => return false,
            // The failed message may have changed other state of the chip, so everything is sent
            // again soon. Repeated failures never postpone this repair.
            RecoveryStep::Repeat => self.due.min(now + STABLE_AFTER_RECOVERY),
            RecoveryStep::Connect => now + STABLE_AFTER_RECOVERY,
            RecoveryStep::Heal => now + REDRAW_INTERVAL,
        };
        self.state = RecoveryState::Connected;
        if step != RecoveryStep::Heal {
            return false;
        }
        self.backoff = FIRST_BACKOFF;
        !std::mem::take(&mut self.reported).is_empty()
    }

    /// Registers that the step has failed. The picture on the panel and the chip's pointer are
    /// unknown afterwards. If the panel was connected until now, the next step is due at once.
    /// Returns true if the fault must be reported: the panel is lost, or it is still lost for a new
    /// reason.
    pub(crate) fn failed(&mut self, step: RecoveryStep, fault: BusFault, now: Moment) -> bool {
        match step {
            RecoveryStep::Update => {
                self.state = RecoveryState::Torn;
                return false;
            }
            RecoveryStep::Repeat | RecoveryStep::Heal => self.due = now,
            RecoveryStep::Connect | RecoveryStep::Wait => {
                let longest = match fault {
                    BusFault::Stuck => STUCK_BACKOFF,
                    _ => LAST_BACKOFF,
                };
                self.due = now + self.backoff.min(longest);
                self.backoff = (self.backoff * 2).min(longest);
            }
        }
        self.state = RecoveryState::Lost;
        !self.reported.contains(&fault) && self.reported.push(fault).is_ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(secs: u64) -> Moment {
        Moment::from_secs(secs)
    }

    fn millis(millis: u64) -> Moment {
        Moment::from_millis(millis)
    }

    #[test]
    fn a_lost_panel_is_retried_within_a_second_and_reported_once() {
        let mut health = PanelRecovery::new();
        assert_eq!(health.step(at(0)), RecoveryStep::Connect);
        assert!(health.failed(RecoveryStep::Connect, BusFault::NoAnswer, at(0)));
        for (failed, until) in [
            (100, 300),
            (300, 700),
            (700, 1500),
            (1500, 2500),
            (2500, 3500),
        ] {
            let now = millis(failed);
            assert_eq!(health.deadline(), now);
            assert_eq!(
                health.step(now - Duration::from_millis(1)),
                RecoveryStep::Wait
            );
            assert_eq!(health.step(now), RecoveryStep::Connect);
            assert!(!health.failed(RecoveryStep::Connect, BusFault::NoAnswer, now));
            assert_eq!(health.deadline(), millis(until));
        }
    }

    #[test]
    fn a_stuck_bus_is_retried_at_increasing_intervals_up_to_ten_seconds() {
        let mut health = PanelRecovery::new();
        let mut waits = Vec::new();
        let mut now = at(0);
        for _ in 0..9 {
            health.failed(RecoveryStep::Connect, BusFault::Stuck, now);
            waits.push(health.deadline().since(now).as_millis());
            now = health.deadline();
        }
        let expected = [100, 200, 400, 800, 1600, 3200, 6400, 10_000, 10_000];
        assert_eq!(waits, expected);
    }

    #[test]
    fn a_failed_message_and_a_lost_panel_are_both_retried_at_once() {
        let mut health = PanelRecovery::new();
        health.worked(RecoveryStep::Connect, at(0));
        assert!(!health.failed(RecoveryStep::Update, BusFault::NoAnswer, at(1)));
        assert_eq!(health.step(at(1)), RecoveryStep::Repeat);
        assert!(!health.worked(RecoveryStep::Repeat, at(1)));
        // The failed message does not postpone the time at which everything is sent again.
        assert_eq!(health.deadline(), at(5));
        health.failed(RecoveryStep::Update, BusFault::NoAnswer, at(2));
        assert!(health.failed(RecoveryStep::Repeat, BusFault::NoAnswer, at(2)));
        assert_eq!(health.step(at(2)), RecoveryStep::Connect);
        health.failed(RecoveryStep::Connect, BusFault::NoAnswer, at(2));
        assert_eq!(health.deadline(), millis(2100));
    }

    #[test]
    fn occasional_failed_messages_do_not_postpone_the_full_refresh() {
        let mut health = PanelRecovery::new();
        health.worked(RecoveryStep::Connect, at(0));
        health.worked(RecoveryStep::Heal, at(5));
        let mut healed = None;
        for second in 6..30 {
            match health.step(at(second)) {
                RecoveryStep::Heal => healed = healed.or(Some(second)),
                step => {
                    assert_eq!(step, RecoveryStep::Update);
                    health.failed(RecoveryStep::Update, BusFault::NoAnswer, at(second));
                    health.worked(RecoveryStep::Repeat, at(second));
                }
            }
        }
        assert_eq!(healed, Some(11));
    }

    #[test]
    fn each_different_reason_is_reported_once() {
        let mut health = PanelRecovery::new();
        health.failed(RecoveryStep::Connect, BusFault::Denied, at(0));
        assert!(health.failed(RecoveryStep::Connect, BusFault::NoAnswer, at(1)));
        assert!(!health.failed(RecoveryStep::Connect, BusFault::Denied, at(3)));
    }

    #[test]
    fn a_panel_is_reported_as_back_after_its_first_full_refresh() {
        let mut health = PanelRecovery::new();
        for second in 0..4 {
            health.failed(RecoveryStep::Connect, BusFault::NoAnswer, at(second));
        }
        assert!(!health.worked(RecoveryStep::Connect, at(4)));
        assert_eq!(health.step(at(8)), RecoveryStep::Update);
        assert_eq!(health.step(at(9)), RecoveryStep::Heal);
        assert!(health.worked(RecoveryStep::Heal, at(9)));
        assert_eq!(health.deadline(), at(39));
        assert!(!health.worked(RecoveryStep::Heal, at(39)));
        // The next loss starts with the shortest wait.
        health.failed(RecoveryStep::Heal, BusFault::NoAnswer, at(40));
        assert_eq!(health.step(at(40)), RecoveryStep::Connect);
        health.failed(RecoveryStep::Connect, BusFault::NoAnswer, at(40));
        assert_eq!(health.deadline(), millis(40_100));
    }

    #[test]
    fn a_loose_wire_does_not_flood_the_log() {
        let mut health = PanelRecovery::new();
        let mut lines = 0;
        for second in 0..3600 {
            let reported = match health.step(at(second)) {
                step @ (RecoveryStep::Update | RecoveryStep::Repeat) => {
                    health.failed(step, BusFault::NoAnswer, at(second))
                }
                step => health.worked(step, at(second)),
            };
            lines += usize::from(reported);
        }
        assert_eq!(lines, 1);
    }
}
