//! The admission of WebSocket handshakes: a limited number in any second. After a restart of the hub
//! or of a network, all clients come back together, so a client above the limit gets a time at which
//! there is room for it. Pure: the time is an argument.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use crate::time::Moment;

/// The time in which the number of handshakes is limited.
const WINDOW: Duration = Duration::from_secs(1);
/// The longest wait that the hub requests, in seconds.
const LONGEST: u64 = 60;

/// The handshakes of the last second, and the promised times of the refused clients.
#[derive(Debug, Default)]
pub(crate) struct Handshakes {
    /// The times of the admitted handshakes within the last second, oldest first.
    admitted: VecDeque<Moment>,
    /// The number of clients that were asked to come back in each second of the monotonic clock.
    promised: BTreeMap<u64, u64>,
}

impl Handshakes {
    /// Admits a handshake if fewer than `most` handshakes were admitted within the last second.
    ///
    /// # Errors
    /// The number of seconds after which the client should try again. The hub names each second to
    /// at most `most` clients, except the last one.
    pub(crate) fn admit(&mut self, most: u64, now: Moment) -> Result<(), u64> {
        while self.admitted.front().is_some_and(|&at| at + WINDOW <= now) {
            self.admitted.pop_front();
        }
        if (self.admitted.len() as u64) < most {
            self.admitted.push_back(now);
            return Ok(());
        }
        let second = now.as_millis() / 1000;
        self.promised = self.promised.split_off(&second);
        let has_room = |wait: &u64| {
            let promised = self.promised.get(&(second + wait));
            promised.is_none_or(|promised| *promised < most)
        };
        let wait = (1..LONGEST).find(has_room).unwrap_or(LONGEST);
        *self.promised.entry(second + wait).or_default() += 1;
        Err(wait)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_second_has_more_handshakes_than_allowed_and_refused_clients_are_spread() {
        let mut handshakes = Handshakes::default();
        let at = Moment::from_millis;
        let waits: Vec<_> = (0..8).map(|_| handshakes.admit(3, at(5400))).collect();
        let (ok, [one, two]) = (Ok(()), [1, 2].map(Err));
        assert_eq!(waits, [ok, ok, ok, one, one, one, two, two]);
        assert_eq!(
            handshakes.admit(3, at(6399)),
            Err(1),
            "the second is not over"
        );
        assert_eq!(handshakes.admit(3, at(6400)), Ok(()));
        // The promises of past seconds are forgotten.
        assert_eq!(handshakes.promised.len(), 2);
        for _ in 0..1000 {
            let _ = handshakes.admit(3, at(6400));
        }
        assert_eq!(handshakes.admit(3, at(6400)), Err(LONGEST));
        assert!(handshakes.promised.len() as u64 <= LONGEST + 1);
    }

    #[test]
    fn ten_thousand_clients_are_back_within_a_minute_and_no_second_has_more_than_the_limit() {
        const MOST: u64 = 250;
        let mut handshakes = Handshakes::default();
        // The clients come within two seconds, and each waits as requested and up to one second
        // longer.
        let mut random = fastrand::Rng::with_seed(7);
        let mut due: BTreeMap<u64, u64> = BTreeMap::new();
        for _ in 0..10_000 {
            *due.entry(random.u64(0..2000)).or_default() += 1;
        }
        let mut admitted = Vec::new();
        while let Some((at, count)) = due.pop_first() {
            for _ in 0..count {
                match handshakes.admit(MOST, Moment::from_millis(at)) {
                    Ok(()) => admitted.push(at),
                    Err(wait) => {
                        let back = at + 1000 * wait + random.u64(0..1000);
                        *due.entry(back).or_default() += 1;
                    }
                }
            }
        }
        assert_eq!(admitted.len(), 10_000);
        let last = *admitted.last().unwrap();
        assert!(last < 60_000, "{last}");
        let windows = admitted.windows(MOST as usize + 1);
        assert!(windows.clone().count() > 0);
        for window in windows {
            assert!(window[MOST as usize] - window[0] >= 1000, "{window:?}");
        }
    }
}
