//! Whether the panel can be relied on, as a state machine. Owns when to try again, when to heal
//! and what is worth a line in the log; never touches the bus and reads no clock.

use std::time::Duration;

use super::fault::Fault;
use crate::clock::Moment;

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
    /// Send what changed again, and trust nothing that the message before may have told the chip.
    Repeat,
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
            State::Torn { .. } => Step::Repeat,
        }
    }

    /// When there is something to do even if nothing changes.
    pub(super) const fn deadline(&self) -> Moment {
        match self.state {
            State::Lost { until } => until,
            State::Connected { heal } => heal,
            State::Torn { .. } => Moment::ZERO,
        }
    }

    /// The step was done.
    pub(super) fn worked(&mut self, step: Step, now: Moment) -> Option<News> {
        match step {
            Step::Wait | Step::Update => None,
            Step::Repeat => {
                // What else the message before may have spoilt is not left for long; and messages
                // that fail again and again do not put that off.
                let heal = self.deadline_of_heal().min(now + PROVEN);
                self.state = State::Connected { heal };
                None
            }
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

    /// The step failed: whatever the panel showed and wherever its pointer was is unknown now. Of
    /// a panel that was there until now the next step is to be done at once.
    pub(super) fn failed(&mut self, step: Step, fault: Fault, now: Moment) -> Option<News> {
        match step {
            Step::Update => {
                self.state = State::Torn {
                    heal: self.deadline_of_heal(),
                };
                return None;
            }
            Step::Repeat | Step::Heal => self.state = State::Lost { until: now },
            Step::Connect | Step::Wait => {
                let longest = match fault {
                    Fault::Stuck => STUCK_BACKOFF,
                    _ => LAST_BACKOFF,
                };
                self.state = State::Lost {
                    until: now + self.backoff.min(longest),
                };
                self.backoff = (self.backoff * 2).min(longest);
            }
        }
        let new = !self.told.contains(&fault);
        (new && self.told.push(fault).is_ok()).then_some(News::Lost(fault))
    }

    const fn deadline_of_heal(&self) -> Moment {
        match self.state {
            State::Lost { .. } => Moment::NEVER,
            State::Connected { heal } | State::Torn { heal } => heal,
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
        let mut health = Health::new();
        assert_eq!(health.step(at(0)), Step::Connect);
        let lost = Some(News::Lost(Fault::NoAnswer));
        assert_eq!(health.failed(Step::Connect, Fault::NoAnswer, at(0)), lost);
        for (failed, until) in [
            (100, 300),
            (300, 700),
            (700, 1500),
            (1500, 2500),
            (2500, 3500),
        ] {
            let now = millis(failed);
            assert_eq!(health.deadline(), now);
            assert_eq!(health.step(now - Duration::from_millis(1)), Step::Wait);
            assert_eq!(health.step(now), Step::Connect);
            assert_eq!(health.failed(Step::Connect, Fault::NoAnswer, now), None);
            assert_eq!(health.deadline(), millis(until));
        }
    }

    #[test]
    fn a_stuck_bus_is_tried_ever_more_rarely() {
        let mut health = Health::new();
        let mut waits = Vec::new();
        let mut now = at(0);
        for _ in 0..9 {
            health.failed(Step::Connect, Fault::Stuck, now);
            waits.push(health.deadline().since(now).as_millis());
            now = health.deadline();
        }
        let expected = [100, 200, 400, 800, 1600, 3200, 6400, 10_000, 10_000];
        assert_eq!(waits, expected);
    }

    #[test]
    fn a_message_that_failed_is_repeated_at_once_and_a_panel_that_is_lost_tried_at_once() {
        let mut health = Health::new();
        health.worked(Step::Connect, at(0));
        assert_eq!(health.failed(Step::Update, Fault::NoAnswer, at(1)), None);
        assert_eq!(health.step(at(1)), Step::Repeat);
        assert_eq!(health.worked(Step::Repeat, at(1)), None);
        // All is sent again as soon as it would have been without that.
        assert_eq!(health.deadline(), at(5));
        health.failed(Step::Update, Fault::NoAnswer, at(2));
        let lost = Some(News::Lost(Fault::NoAnswer));
        assert_eq!(health.failed(Step::Repeat, Fault::NoAnswer, at(2)), lost);
        assert_eq!(health.step(at(2)), Step::Connect);
        health.failed(Step::Connect, Fault::NoAnswer, at(2));
        assert_eq!(health.deadline(), millis(2100));
    }

    #[test]
    fn messages_that_fail_now_and_then_do_not_put_off_the_healing() {
        let mut health = Health::new();
        health.worked(Step::Connect, at(0));
        health.worked(Step::Heal, at(5));
        let mut healed = None;
        for second in 6..30 {
            match health.step(at(second)) {
                Step::Heal => healed = healed.or(Some(second)),
                step => {
                    assert_eq!(step, Step::Update);
                    health.failed(Step::Update, Fault::NoAnswer, at(second));
                    health.worked(Step::Repeat, at(second));
                }
            }
        }
        assert_eq!(healed, Some(11));
    }

    #[test]
    fn another_reason_is_told_once_too() {
        let mut health = Health::new();
        health.failed(Step::Connect, Fault::Denied, at(0));
        let lost = Some(News::Lost(Fault::NoAnswer));
        assert_eq!(health.failed(Step::Connect, Fault::NoAnswer, at(1)), lost);
        assert_eq!(health.failed(Step::Connect, Fault::Denied, at(3)), None);
    }

    #[test]
    fn a_panel_is_back_once_it_has_proven_itself() {
        let mut health = Health::new();
        for second in 0..4 {
            health.failed(Step::Connect, Fault::NoAnswer, at(second));
        }
        assert_eq!(health.worked(Step::Connect, at(4)), None);
        assert_eq!(health.step(at(8)), Step::Update);
        assert_eq!(health.step(at(9)), Step::Heal);
        assert_eq!(health.worked(Step::Heal, at(9)), Some(News::Back));
        assert_eq!(health.deadline(), at(39));
        assert_eq!(health.worked(Step::Heal, at(39)), None);
        // And the next loss starts from the shortest wait.
        health.failed(Step::Heal, Fault::NoAnswer, at(40));
        assert_eq!(health.step(at(40)), Step::Connect);
        health.failed(Step::Connect, Fault::NoAnswer, at(40));
        assert_eq!(health.deadline(), millis(40_100));
    }

    #[test]
    fn a_loose_wire_does_not_flood_the_log() {
        let mut health = Health::new();
        let mut lines = 0;
        for second in 0..3600 {
            let news = match health.step(at(second)) {
                step @ (Step::Update | Step::Repeat) => {
                    health.failed(step, Fault::NoAnswer, at(second))
                }
                step => health.worked(step, at(second)),
            };
            lines += usize::from(news.is_some());
        }
        assert_eq!(lines, 1);
    }
}
