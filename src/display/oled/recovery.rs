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
/// The longest interval between two pieces of the picture and the settings that are sent again, to
/// repair errors that no bus fault has reported. A piece is short, so that a new price never waits
/// for a whole picture.
const HEAL_INTERVAL: Duration = Duration::from_millis(900);
/// The longest time for all pieces, so that a lost byte is repaired within ten seconds. A panel of
/// 128×64 dots has 11 pieces; one of 128×128 dots has 21, so it gets a piece every 471 ms.
const HEAL_ROUND: Duration = Duration::from_millis(9_900);
/// The interval at which all pieces are sent one directly after the other. Only then the panel is
/// turned on again, because a panel that has lost power has random data in its memory. New prices
/// go between the pieces.
const WAKE_INTERVAL: Duration = Duration::from_secs(30);
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
    /// Send a piece of the picture again.
    Heal(Piece),
    /// Send the changes.
    Update,
    /// Send the changes again, and send all state that the failed message may have changed in the
    /// chip.
    Repeat,
}

/// A piece of the picture that is sent again.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Piece {
    /// The number of the piece. Piece 0 includes the settings.
    pub(crate) number: u8,
    /// True if all pieces are sent one directly after the other. After the last one, the memory has
    /// the whole picture, and the panel can be turned on.
    pub(crate) in_series: bool,
}

#[derive(Debug)]
pub(crate) struct PanelRecovery {
    state: RecoveryState,
    /// The number of pieces of a whole picture.
    pieces: u8,
    /// The time of the next attempt to connect; for a connected panel the time of the next piece.
    due: Moment,
    /// The number of the next piece.
    next: u8,
    /// True while all pieces are sent one directly after the other.
    in_series: bool,
    /// The time of the next series.
    wake: Moment,
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
    /// Creates the state of a panel without a connection, for a picture of this number of pieces.
    /// The first step is to connect at once.
    pub(crate) const fn new(pieces: u8) -> Self {
        Self {
            state: RecoveryState::Lost,
            pieces,
            due: Moment::ZERO,
            next: 0,
            in_series: false,
            wake: Moment::ZERO,
            backoff: FIRST_BACKOFF,
            reported: heapless::Vec::new(),
        }
    }

    /// Returns the interval between two pieces.
    fn interval(&self) -> Duration {
        HEAL_INTERVAL.min(HEAL_ROUND / u32::from(self.pieces))
    }

    /// Returns the step that is due now. A heal never comes first: see [`PanelRecovery::heal`].
    pub(crate) fn step(&self, now: Moment) -> RecoveryStep {
        match self.state {
            RecoveryState::Lost if now < self.due => RecoveryStep::Wait,
            RecoveryState::Lost => RecoveryStep::Connect,
            RecoveryState::Connected => RecoveryStep::Update,
            RecoveryState::Torn => RecoveryStep::Repeat,
        }
    }

    /// Returns the piece that is due now, for the time after the changes were sent.
    pub(crate) fn heal(&mut self, now: Moment) -> Option<RecoveryStep> {
        if !self.in_series && now >= self.wake {
            self.in_series = true;
            self.next = 0;
            self.due = now;
        }
        let piece = Piece {
            number: self.next,
            in_series: self.in_series,
        };
        (now >= self.due).then_some(RecoveryStep::Heal(piece))
    }

    /// The time of the next step that is due without a new picture.
    pub(crate) fn deadline(&self) -> Moment {
        match self.state {
            RecoveryState::Lost => self.due,
            RecoveryState::Connected if self.in_series => self.due,
            RecoveryState::Connected => self.due.min(self.wake),
            RecoveryState::Torn => Moment::ZERO,
        }
    }

    /// Registers that the step has succeeded. Returns true if the panel works again after a loss
    /// that has been reported.
    pub(crate) fn worked(&mut self, step: RecoveryStep, now: Moment) -> bool {
        match step {
            RecoveryStep::Wait | RecoveryStep::Update => return false,
            // The failed message may have changed other state of the chip, so everything is sent
            // again soon. Repeated failures never postpone this repair.
            RecoveryStep::Repeat => self.wake = self.wake.min(now + STABLE_AFTER_RECOVERY),
            RecoveryStep::Connect => {
                self.in_series = false;
                self.next = 0;
                self.due = now + self.interval();
                self.wake = now + STABLE_AFTER_RECOVERY;
            }
            RecoveryStep::Heal(piece) => return self.healed(piece, now),
        }
        self.state = RecoveryState::Connected;
        false
    }

    fn healed(&mut self, piece: Piece, now: Moment) -> bool {
        self.next = (piece.number + 1) % self.pieces;
        if self.in_series && self.next > 0 {
            self.due = now;
            return false;
        }
        // The interval counts from the time at which the piece was due, so that the whole picture
        // does not take longer because of late pieces.
        self.due = (self.due + self.interval()).max(now);
        if !std::mem::take(&mut self.in_series) {
            return false;
        }
        self.wake = now + WAKE_INTERVAL;
        self.backoff = FIRST_BACKOFF;
        !std::mem::take(&mut self.reported).is_empty()
    }

    /// Registers that the step has failed. The picture on the panel and the chip's pointer are
    /// unknown afterwards. If the panel was connected until now, the next step is due at once.
    /// Returns true if the fault must be reported: the panel is lost, or it is still lost for a new
    /// reason.
    pub(crate) fn failed(&mut self, step: RecoveryStep, fault: BusFault, now: Moment) -> bool {
        if std::mem::take(&mut self.in_series) {
            // The panel may have lost its power during the series, so a later series begins with the
            // first piece.
            self.next = 0;
            self.wake = now + STABLE_AFTER_RECOVERY;
        }
        match step {
            RecoveryStep::Update => {
                self.state = RecoveryState::Torn;
                return false;
            }
            RecoveryStep::Heal(_) => {
                self.state = RecoveryState::Torn;
                self.due = now + self.interval();
                return false;
            }
            RecoveryStep::Repeat => self.due = now,
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

    const PIECES: u8 = 11;

    /// Performs the steps that are due until a time, as a panel without faults does. Returns the
    /// time of each piece.
    fn heal_until(health: &mut PanelRecovery, end: Moment) -> Vec<(Moment, Piece)> {
        let mut pieces = Vec::new();
        while health.deadline() <= end {
            let now = health.deadline();
            assert_eq!(health.step(now), RecoveryStep::Update);
            let step = health.heal(now).unwrap();
            let RecoveryStep::Heal(piece) = step else {
                panic!("{step:?}");
            };
            health.worked(step, now);
            pieces.push((now, piece));
        }
        pieces
    }

    fn at(secs: u64) -> Moment {
        Moment::from_secs(secs)
    }

    fn millis(millis: u64) -> Moment {
        Moment::from_millis(millis)
    }

    #[test]
    fn a_lost_panel_is_retried_within_a_second_and_reported_once() {
        let mut health = PanelRecovery::new(PIECES);
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
        let mut health = PanelRecovery::new(PIECES);
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
        let mut health = PanelRecovery::new(PIECES);
        health.worked(RecoveryStep::Connect, at(0));
        assert!(!health.failed(RecoveryStep::Update, BusFault::NoAnswer, at(1)));
        assert_eq!(health.step(at(1)), RecoveryStep::Repeat);
        assert!(!health.worked(RecoveryStep::Repeat, at(1)));
        // The failed message does not postpone the time at which everything is sent again.
        assert_eq!(health.wake, at(5));
        health.failed(RecoveryStep::Update, BusFault::NoAnswer, at(2));
        assert!(health.failed(RecoveryStep::Repeat, BusFault::NoAnswer, at(2)));
        assert_eq!(health.step(at(2)), RecoveryStep::Connect);
        health.failed(RecoveryStep::Connect, BusFault::NoAnswer, at(2));
        assert_eq!(health.deadline(), millis(2100));
    }

    #[test]
    fn occasional_failed_messages_do_not_postpone_the_full_refresh() {
        let mut health = PanelRecovery::new(PIECES);
        health.worked(RecoveryStep::Connect, at(0));
        heal_until(&mut health, at(5));
        let mut healed = None;
        for second in 6..30 {
            if second > 6 && health.deadline() < at(second) {
                let pieces = heal_until(&mut health, at(second));
                let whole = pieces.iter().any(|(_, piece)| piece.in_series);
                healed = healed.or(whole.then_some(second));
            }
            assert_eq!(health.step(at(second)), RecoveryStep::Update);
            health.failed(RecoveryStep::Update, BusFault::NoAnswer, at(second));
            health.worked(RecoveryStep::Repeat, at(second));
        }
        assert_eq!(healed, Some(11));
    }

    #[test]
    fn every_piece_is_sent_again_within_ten_seconds() {
        let mut health = PanelRecovery::new(PIECES);
        health.worked(RecoveryStep::Connect, at(0));
        let pieces = heal_until(&mut health, at(600));
        for number in 0..PIECES {
            let times = pieces.iter().filter(|(_, piece)| piece.number == number);
            let times: Vec<Moment> = times.map(|(at, _)| *at).collect();
            for pair in times.windows(2) {
                assert!(pair[1].since(pair[0]).as_millis() <= 10_000, "{number}");
            }
            assert!(at(600).since(*times.last().unwrap()).as_millis() <= 10_000);
        }
    }

    #[test]
    fn one_piece_is_due_each_second_and_a_series_of_all_pieces_each_half_minute() {
        let mut health = PanelRecovery::new(PIECES);
        health.worked(RecoveryStep::Connect, at(0));
        let pieces = heal_until(&mut health, at(100));
        let series = pieces.iter().filter(|(_, piece)| piece.in_series);
        let times: Vec<u64> = series.map(|(at, _)| at.as_millis() / 1000).collect();
        let expected = [[5; 11], [35; 11], [65; 11], [95; 11]];
        assert_eq!(times, expected.as_flattened());
        let single = pieces.iter().filter(|(_, piece)| !piece.in_series);
        let times: Vec<Moment> = single.map(|(at, _)| *at).collect();
        for pair in times.windows(2) {
            assert!(pair[1].since(pair[0]).as_millis() >= 900, "{pair:?}");
        }
    }

    #[test]
    fn late_pieces_do_not_make_the_picture_take_longer() {
        let mut health = PanelRecovery::new(PIECES);
        health.worked(RecoveryStep::Connect, at(0));
        let mut pieces = 0;
        // The display is busy, so each piece is up to 199 ms late.
        for turn in 0..25 {
            let now = millis(200 * turn);
            if let Some(step) = health.heal(now) {
                health.worked(step, now);
                pieces += 1;
            }
        }
        assert_eq!(pieces, 5);
    }

    #[test]
    fn a_failure_during_a_series_restarts_the_series_five_seconds_later() {
        let mut health = PanelRecovery::new(PIECES);
        health.worked(RecoveryStep::Connect, at(0));
        heal_until(&mut health, millis(4_999));
        for number in 0..4 {
            let step = health.heal(at(5)).unwrap();
            let in_series = true;
            assert_eq!(step, RecoveryStep::Heal(Piece { number, in_series }));
            health.worked(step, at(5));
        }
        let step = health.heal(at(5)).unwrap();
        assert!(!health.failed(step, BusFault::NoAnswer, at(5)));
        assert_eq!(health.step(at(5)), RecoveryStep::Repeat);
        health.worked(RecoveryStep::Repeat, at(5));
        assert_eq!(health.heal(at(5)), None, "no loop without a wait");
        heal_until(&mut health, millis(9_999));
        let first = Piece {
            number: 0,
            in_series: true,
        };
        assert_eq!(health.heal(at(10)), Some(RecoveryStep::Heal(first)));
    }

    #[test]
    fn each_different_reason_is_reported_once() {
        let mut health = PanelRecovery::new(PIECES);
        health.failed(RecoveryStep::Connect, BusFault::Denied, at(0));
        assert!(health.failed(RecoveryStep::Connect, BusFault::NoAnswer, at(1)));
        assert!(!health.failed(RecoveryStep::Connect, BusFault::Denied, at(3)));
    }

    #[test]
    fn a_panel_is_reported_as_back_after_its_first_full_refresh() {
        let mut health = PanelRecovery::new(PIECES);
        for second in 0..4 {
            health.failed(RecoveryStep::Connect, BusFault::NoAnswer, at(second));
        }
        assert!(!health.worked(RecoveryStep::Connect, at(4)));
        heal_until(&mut health, millis(8_999));
        let mut reported = Vec::new();
        for _ in 0..PIECES {
            let step = health.heal(at(9)).unwrap();
            reported.push(health.worked(step, at(9)));
        }
        let (last, others) = reported.split_last().unwrap();
        assert!(last & !others.contains(&true), "{reported:?}");
        // The next loss starts with the shortest wait.
        health.failed(RecoveryStep::Repeat, BusFault::NoAnswer, at(40));
        assert_eq!(health.step(at(40)), RecoveryStep::Connect);
        health.failed(RecoveryStep::Connect, BusFault::NoAnswer, at(40));
        assert_eq!(health.deadline(), millis(40_100));
    }

    #[test]
    fn a_loose_wire_does_not_flood_the_log() {
        let mut health = PanelRecovery::new(PIECES);
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
