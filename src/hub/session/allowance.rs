//! The limits for the data that one client may send: a total before its authentication, and rates
//! after that. Owns the state of the limits for one connection. Never reads a clock or a socket.
//!
//! The hub does not close a connection above a limit. The hub stops to read from the connection
//! until the limit allows more data, so the sender has to wait.

use std::time::Duration;

use super::websocket::FrameCounts;
use crate::hub::metrics::{Counter, Metrics};
use crate::hub::server::limits::Limits;
use crate::time::Moment;

/// A client that was silent may send the allowance of this duration at once.
const BURST: Duration = Duration::from_secs(4);

/// The limits for the data from one client.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ReadLimits {
    /// The maximum size of a message in bytes.
    pub(crate) message: usize,
    /// The maximum number of bytes that the hub reads in one turn.
    pub(crate) per_turn: usize,
    /// The maximum number of bytes before the authentication.
    unauthenticated: u64,
    /// The allowances per second: bytes, frames, messages and control frames.
    rates: [u64; 4],
}

impl ReadLimits {
    pub(crate) fn of(limits: &Limits) -> Self {
        Self {
            message: limits.message as usize,
            per_turn: limits.bytes_per_turn as usize,
            unauthenticated: limits.unauthenticated_bytes,
            rates: [
                limits.bytes_per_second,
                limits.frames_per_second,
                limits.messages_per_second,
                limits.controls_per_second,
            ],
        }
    }
}

/// The reason for which the hub does not read from a client.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Pause {
    /// The client has sent all bytes that it may send before its authentication.
    Unauthenticated,
    Bytes,
    Frames,
    Messages,
    Controls,
}

const RATED: [Pause; 4] = [
    Pause::Bytes,
    Pause::Frames,
    Pause::Messages,
    Pause::Controls,
];

impl Pause {
    /// Returns the metric that counts the pauses with this reason. During a pause, the hub does not
    /// read from the client.
    pub(crate) const fn counter(self, metrics: &Metrics) -> &Counter {
        match self {
            Pause::Unauthenticated => &metrics.paused_unauthenticated,
            Pause::Bytes => &metrics.paused_bytes,
            Pause::Frames => &metrics.paused_frames,
            Pause::Messages => &metrics.paused_messages,
            Pause::Controls => &metrics.paused_controls,
        }
    }
}

/// The remaining allowance of one client.
#[derive(Debug)]
pub(crate) struct Allowance {
    limits: ReadLimits,
    unauthenticated: u64,
    /// For each rate, the time up to which the received data has used the allowance, in
    /// microseconds. The time may be in the future, because data may arrive in bursts.
    used: [u64; 4],
}

const fn micros(moment: Moment) -> u64 {
    moment.as_millis().saturating_mul(1000)
}

impl Allowance {
    pub(crate) const fn new(limits: ReadLimits) -> Self {
        Self {
            limits,
            unauthenticated: limits.unauthenticated,
            used: [0; 4],
        }
    }

    /// Takes received data from the allowance.
    pub(crate) fn take(&mut self, bytes: usize, counts: FrameCounts, now: Moment) {
        let bytes = bytes as u64;
        self.unauthenticated = self.unauthenticated.saturating_sub(bytes);
        let counts = [bytes, counts.frames, counts.messages, counts.controls];
        for ((used, rate), count) in self.used.iter_mut().zip(self.limits.rates).zip(counts) {
            let cost = count.saturating_mul(1_000_000) / rate;
            *used = (*used).max(micros(now)).saturating_add(cost);
        }
    }

    /// Returns the number of bytes that the hub may read in one turn.
    pub(crate) fn turn(&self, authenticated: bool) -> usize {
        if authenticated {
            self.limits.per_turn
        } else {
            let left = usize::try_from(self.unauthenticated).unwrap_or(usize::MAX);
            self.limits.per_turn.min(left)
        }
    }

    /// Returns the reason and the end of the pause if the hub may not read now. The pause of an
    /// unauthenticated client ends only with its authentication.
    pub(crate) fn pause(&self, authenticated: bool, now: Moment) -> Option<(Pause, Moment)> {
        if !authenticated && self.unauthenticated == 0 {
            return Some((Pause::Unauthenticated, Moment::NEVER));
        }
        let longest = self.used.iter().zip(RATED).max_by_key(|(used, _)| **used);
        let (used, reason) = longest?;
        let until = used.saturating_sub(BURST.as_micros() as u64).div_ceil(1000);
        let until = Moment::from_millis(until);
        (until > now).then_some((reason, until))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn allowance() -> Allowance {
        Allowance::new(ReadLimits {
            message: 1000,
            per_turn: 4096,
            unauthenticated: 5000,
            rates: [1000, 100, 10, 2],
        })
    }

    fn counts(frames: u64, messages: u64, controls: u64) -> FrameCounts {
        FrameCounts {
            frames,
            messages,
            controls,
        }
    }

    #[test]
    fn a_client_may_send_the_allowance_of_four_seconds_at_once_and_then_must_wait() {
        let start = Moment::from_secs(100);
        for (bytes, counts, reason) in [
            (4000, counts(0, 0, 0), Pause::Bytes),
            (0, counts(400, 0, 0), Pause::Frames),
            (0, counts(0, 40, 0), Pause::Messages),
            (0, counts(0, 0, 8), Pause::Controls),
        ] {
            let mut allowance = allowance();
            allowance.take(bytes, counts, start);
            assert_eq!(allowance.pause(true, start), None);
            allowance.take(bytes, counts, start);
            let until = start + Duration::from_secs(4);
            assert_eq!(allowance.pause(true, start), Some((reason, until)));
            assert_eq!(allowance.pause(true, until), None);
        }
    }

    #[test]
    fn an_unauthenticated_client_may_send_a_total_and_then_waits_for_its_authentication() {
        let mut allowance = allowance();
        assert_eq!(allowance.turn(false), 4096);
        allowance.take(4096, FrameCounts::default(), Moment::ZERO);
        assert_eq!((allowance.turn(false), allowance.turn(true)), (904, 4096));
        allowance.take(904, FrameCounts::default(), Moment::ZERO);
        let forever = Some((Pause::Unauthenticated, Moment::NEVER));
        assert_eq!(allowance.pause(false, Moment::from_secs(900)), forever);
        assert_eq!(allowance.pause(true, Moment::from_secs(900)), None);
    }
}
