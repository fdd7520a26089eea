//! Whether the panel can be relied on, as a state machine. Owns when to try again, when to heal
//! and what is worth a line in the log; never touches the bus and reads no clock.

use std::time::Duration;

use super::bus_error::BusFault;
use crate::time::Moment;

/// The first wait after a loss and a try that failed at once; each further one doubles.
const FIRST_BACKOFF: Duration = Duration::from_millis(100);
/// The longest wait. What the panel shows meanwhile may be a price of before, so the first message
/// that it would take is not to be missed by long; one that nobody takes costs nothing.
const LAST_BACKOFF: Duration = Duration::from_secs(1);
/// The longest wait for a bus that is stuck: each try takes a second or more, and the kernel writes
/// each to its log.
const STUCK_BACKOFF: Duration = Duration::from_secs(10);
/// How often everything is sent again, so that what nobody noticed heals. 1.1 KB each time (2.1 of
/// an SH1106), a third of a percent of a bus at 100 kHz.
const REDRAW_INTERVAL: Duration = Duration::from_secs(30);
/// How long a panel that came back has to hold out before it counts as well; then it is healed
/// for the first time.
const STABLE_AFTER_RECOVERY: Duration = Duration::from_secs(5);

/// What is to be done now.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum RecoveryStep {
    /// Nothing: it is not time to try again.
    Wait,
    /// Open the bus and send everything.
    Connect,
    /// Send everything, without darkening the panel.
    Heal,
    /// Send what changed.
    Update,
    /// Send what changed again, and trust nothing that the message before may have told the chip.
    Repeat,
}

/// What is worth a line in the log.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum PanelEvent {
    /// The panel is lost, or still lost for another reason.
    Lost(BusFault),
    /// It is well again.
    Back,
}

#[derive(Debug)]
pub(crate) struct PanelRecovery {
    state: RecoveryState,
    backoff: Duration,
    /// The reasons told since the panel was last well. A loose wire fails in several ways in
    /// turn; each is told once.
    reported: heapless::Vec<BusFault, 8>,
}

#[derive(Debug)]
enum RecoveryState {
    Lost {
        until: Moment,
    },
    Connected {
        heal: Moment,
    },
    /// A message has not arrived whole, and a picture that is half old and half new may be a price
    /// that never was.
    Torn {
        heal: Moment,
    },
}

impl PanelRecovery {
    /// A panel nobody has spoken to yet.
    pub(crate) const fn new() -> Self {
        Self {
            state: RecoveryState::Lost {
                until: Moment::ZERO,
            },
            backoff: FIRST_BACKOFF,
            reported: heapless::Vec::new(),
        }
    }

    /// What to do now.
    pub(crate) fn step(&self, now: Moment) -> RecoveryStep {
        match self.state {
            RecoveryState::Lost { until } if now < until => RecoveryStep::Wait,
            RecoveryState::Lost { .. } => RecoveryStep::Connect,
            RecoveryState::Connected { heal } if now < heal => RecoveryStep::Update,
            RecoveryState::Connected { .. } => RecoveryStep::Heal,
            RecoveryState::Torn { .. } => RecoveryStep::Repeat,
        }
    }

    /// When there is something to do even if nothing changes.
    pub(crate) const fn deadline(&self) -> Moment {
        match self.state {
            RecoveryState::Lost { until } => until,
            RecoveryState::Connected { heal } => heal,
            RecoveryState::Torn { .. } => Moment::ZERO,
        }
    }

    /// The step was done.
    pub(crate) fn worked(&mut self, step: RecoveryStep, now: Moment) -> Option<PanelEvent> {
        match step {
            RecoveryStep::Wait | RecoveryStep::Update => None,
            RecoveryStep::Repeat => {
                // What else the message before may have spoilt is not left for long; and messages
                // that fail again and again do not put that off.
                let heal = self.deadline_of_heal().min(now + STABLE_AFTER_RECOVERY);
                self.state = RecoveryState::Connected { heal };
                None
            }
            RecoveryStep::Connect => {
                self.state = RecoveryState::Connected {
                    heal: now + STABLE_AFTER_RECOVERY,
                };
                None
            }
            RecoveryStep::Heal => {
                self.state = RecoveryState::Connected {
                    heal: now + REDRAW_INTERVAL,
                };
                self.backoff = FIRST_BACKOFF;
                let was_lost = !self.reported.is_empty();
                self.reported.clear();
                was_lost.then_some(PanelEvent::Back)
            }
        }
    }

    /// The step failed: whatever the panel showed and wherever its pointer was is unknown now. Of
    /// a panel that was there until now the next step is to be done at once.
    pub(crate) fn failed(
        &mut self,
        step: RecoveryStep,
        fault: BusFault,
        now: Moment,
    ) -> Option<PanelEvent> {
        match step {
            RecoveryStep::Update => {
                self.state = RecoveryState::Torn {
                    heal: self.deadline_of_heal(),
                };
                return None;
            }
            RecoveryStep::Repeat | RecoveryStep::Heal => {
                self.state = RecoveryState::Lost { until: now }
            }
            RecoveryStep::Connect | RecoveryStep::Wait => {
                let longest = match fault {
                    BusFault::Stuck => STUCK_BACKOFF,
                    _ => LAST_BACKOFF,
                };
                self.state = RecoveryState::Lost {
                    until: now + self.backoff.min(longest),
                };
                self.backoff = (self.backoff * 2).min(longest);
            }
        }
        let new = !self.reported.contains(&fault);
        (new && self.reported.push(fault).is_ok()).then_some(PanelEvent::Lost(fault))
    }

    const fn deadline_of_heal(&self) -> Moment {
        match self.state {
            RecoveryState::Lost { .. } => Moment::NEVER,
            RecoveryState::Connected { heal } | RecoveryState::Torn { heal } => heal,
        }
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
    fn a_lost_panel_is_tried_again_within_a_second_and_told_once() {
        let mut health = PanelRecovery::new();
        assert_eq!(health.step(at(0)), RecoveryStep::Connect);
        let lost = Some(PanelEvent::Lost(BusFault::NoAnswer));
        assert_eq!(
            health.failed(RecoveryStep::Connect, BusFault::NoAnswer, at(0)),
            lost
        );
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
            assert_eq!(
                health.failed(RecoveryStep::Connect, BusFault::NoAnswer, now),
                None
            );
            assert_eq!(health.deadline(), millis(until));
        }
    }

    #[test]
    fn a_stuck_bus_is_tried_ever_more_rarely() {
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
    fn a_message_that_failed_is_repeated_at_once_and_a_panel_that_is_lost_tried_at_once() {
        let mut health = PanelRecovery::new();
        health.worked(RecoveryStep::Connect, at(0));
        assert_eq!(
            health.failed(RecoveryStep::Update, BusFault::NoAnswer, at(1)),
            None
        );
        assert_eq!(health.step(at(1)), RecoveryStep::Repeat);
        assert_eq!(health.worked(RecoveryStep::Repeat, at(1)), None);
        // All is sent again as soon as it would have been without that.
        assert_eq!(health.deadline(), at(5));
        health.failed(RecoveryStep::Update, BusFault::NoAnswer, at(2));
        let lost = Some(PanelEvent::Lost(BusFault::NoAnswer));
        assert_eq!(
            health.failed(RecoveryStep::Repeat, BusFault::NoAnswer, at(2)),
            lost
        );
        assert_eq!(health.step(at(2)), RecoveryStep::Connect);
        health.failed(RecoveryStep::Connect, BusFault::NoAnswer, at(2));
        assert_eq!(health.deadline(), millis(2100));
    }

    #[test]
    fn messages_that_fail_now_and_then_do_not_put_off_the_healing() {
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
    fn another_reason_is_told_once_too() {
        let mut health = PanelRecovery::new();
        health.failed(RecoveryStep::Connect, BusFault::Denied, at(0));
        let lost = Some(PanelEvent::Lost(BusFault::NoAnswer));
        assert_eq!(
            health.failed(RecoveryStep::Connect, BusFault::NoAnswer, at(1)),
            lost
        );
        assert_eq!(
            health.failed(RecoveryStep::Connect, BusFault::Denied, at(3)),
            None
        );
    }

    #[test]
    fn a_panel_is_back_once_it_has_proven_itself() {
        let mut health = PanelRecovery::new();
        for second in 0..4 {
            health.failed(RecoveryStep::Connect, BusFault::NoAnswer, at(second));
        }
        assert_eq!(health.worked(RecoveryStep::Connect, at(4)), None);
        assert_eq!(health.step(at(8)), RecoveryStep::Update);
        assert_eq!(health.step(at(9)), RecoveryStep::Heal);
        assert_eq!(
            health.worked(RecoveryStep::Heal, at(9)),
            Some(PanelEvent::Back)
        );
        assert_eq!(health.deadline(), at(39));
        assert_eq!(health.worked(RecoveryStep::Heal, at(39)), None);
        // And the next loss starts from the shortest wait.
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
            let news = match health.step(at(second)) {
                step @ (RecoveryStep::Update | RecoveryStep::Repeat) => {
                    health.failed(step, BusFault::NoAnswer, at(second))
                }
                step => health.worked(step, at(second)),
            };
            lines += usize::from(news.is_some());
        }
        assert_eq!(lines, 1);
    }
}
