//! Whether the panel can be relied on, as a state machine. Owns when to try again, when to heal
//! and what is worth a line in the log; never touches the bus and reads no clock.

use std::time::Duration;

use super::fault::Fault;
use crate::clock::Moment;

/// The first wait after a loss; each further one doubles.
const FIRST_BACKOFF: Duration = Duration::from_secs(1);
/// The longest wait: somebody who has just plugged the panel in is watching it.
const LAST_BACKOFF: Duration = Duration::from_secs(10);
/// How often everything is sent again, so that what nobody noticed heals. 1.1 KB each time (2.1 of
/// an SH1106), a third of a percent of a bus at 100 kHz.
const HEAL: Duration = Duration::from_secs(30);
/// How long a panel that came back has to hold out before it counts as well; then it is healed
/// for the first time.
const PROVEN: Duration = Duration::from_secs(5);

/// What is to be done now.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Step {
    /// Nothing: it is not time to try again.
    Wait,
    /// Open the bus and send everything.
    Connect,
    /// Send everything, without darkening the panel.
    Heal,
    /// Send what changed.
    Update,
}

/// What is worth a line in the log.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum News {
    /// The panel is lost, or still lost for another reason.
    Lost(Fault),
    /// It is well again.
    Back,
}

#[derive(Debug)]
pub(super) struct Health {
    state: State,
    backoff: Duration,
    /// The reasons told since the panel was last well. A loose wire fails in several ways in
    /// turn; each is told once.
    told: heapless::Vec<Fault, 8>,
}

#[derive(Debug)]
enum State {
    Lost { until: Moment },
    Connected { heal: Moment },
}

impl Health {
    /// A panel nobody has spoken to yet.
    pub(super) const fn new() -> Self {
        Self {
            state: State::Lost {
                until: Moment::ZERO,
            },
            backoff: FIRST_BACKOFF,
            told: heapless::Vec::new(),
        }
    }

    /// What to do now.
    pub(super) fn step(&self, now: Moment) -> Step {
        match self.state {
            State::Lost { until } if now < until => Step::Wait,
            State::Lost { .. } => Step::Connect,
            State::Connected { heal } if now < heal => Step::Update,
            State::Connected { .. } => Step::Heal,
        }
    }

    /// When there is something to do even if nothing changes.
    pub(super) const fn deadline(&self) -> Moment {
        match self.state {
            State::Lost { until } => until,
            State::Connected { heal } => heal,
        }
    }

    /// The step was done.
    pub(super) fn worked(&mut self, step: Step, now: Moment) -> Option<News> {
        match step {
            Step::Wait | Step::Update => None,
            Step::Connect => {
                self.state = State::Connected { heal: now + PROVEN };
                None
            }
            Step::Heal => {
                self.state = State::Connected { heal: now + HEAL };
                self.backoff = FIRST_BACKOFF;
                let was_lost = !self.told.is_empty();
                self.told.clear();
                was_lost.then_some(News::Back)
            }
        }
    }

    /// The step failed: whatever the panel showed and wherever its pointer was is unknown now.
    pub(super) fn failed(&mut self, fault: Fault, now: Moment) -> Option<News> {
        self.state = State::Lost {
            until: now + self.backoff,
        };
        self.backoff = (self.backoff * 2).min(LAST_BACKOFF);
        let new = !self.told.contains(&fault);
        (new && self.told.push(fault).is_ok()).then_some(News::Lost(fault))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(secs: u64) -> Moment {
        Moment::from_secs(secs)
    }

    #[test]
    fn a_lost_panel_is_tried_ever_more_rarely_and_told_once() {
        let mut health = Health::new();
        assert_eq!(health.step(at(0)), Step::Connect);
        let lost = Some(News::Lost(Fault::NoAnswer));
        assert_eq!(health.failed(Fault::NoAnswer, at(0)), lost);
        for (failed, until) in [(1, 3), (3, 7), (7, 15), (15, 25), (25, 35)] {
            assert_eq!(health.deadline(), at(failed));
            assert_eq!(
                health.step(at(failed) - Duration::from_millis(1)),
                Step::Wait
            );
            assert_eq!(health.step(at(failed)), Step::Connect);
            assert_eq!(health.failed(Fault::NoAnswer, at(failed)), None);
            assert_eq!(health.deadline(), at(until));
        }
    }

    #[test]
    fn another_reason_is_told_once_too() {
        let mut health = Health::new();
        health.failed(Fault::Denied, at(0));
        let lost = Some(News::Lost(Fault::NoAnswer));
        assert_eq!(health.failed(Fault::NoAnswer, at(1)), lost);
        assert_eq!(health.failed(Fault::Denied, at(3)), None);
    }

    #[test]
    fn a_panel_is_back_once_it_has_proven_itself() {
        let mut health = Health::new();
        health.failed(Fault::NoAnswer, at(0));
        assert_eq!(health.worked(Step::Connect, at(1)), None);
        assert_eq!(health.step(at(5)), Step::Update);
        assert_eq!(health.step(at(6)), Step::Heal);
        assert_eq!(health.worked(Step::Heal, at(6)), Some(News::Back));
        assert_eq!(health.deadline(), at(36));
        assert_eq!(health.worked(Step::Heal, at(36)), None);
        // And the next loss starts from the shortest wait.
        health.failed(Fault::NoAnswer, at(40));
        assert_eq!(health.deadline(), at(41));
    }

    #[test]
    fn a_loose_wire_does_not_flood_the_log() {
        let mut health = Health::new();
        let mut lines = 0;
        for second in 0..3600 {
            let step = health.step(at(second));
            if step == Step::Update {
                lines += usize::from(health.failed(Fault::NoAnswer, at(second)).is_some());
            } else {
                lines += usize::from(health.worked(step, at(second)).is_some());
            }
        }
        assert_eq!(lines, 1);
    }
}
