//! What the clients of a cluster want together. Owns how many want each channel and until when
//! one that nobody wants is kept; never reads a clock.

use std::collections::HashMap;
use std::time::Duration;

use super::last_value::wildcard;
use crate::hub::Interest;
use crate::market::Channel;
use crate::time::Moment;

/// How long the upstream goes on with a channel that nobody wants: a display that restarts, or a
/// page that is turned and turned back, shall find it as it left it.
const LINGER: Duration = Duration::from_secs(5);

/// The union of what all clients want.
#[derive(Debug, Default)]
pub(crate) struct ClientSubscriptions {
    counts: HashMap<Channel, usize>,
    lingering: HashMap<Channel, Moment>,
}

impl ClientSubscriptions {
    /// A client wants one more channel.
    pub(crate) fn add(&mut self, channel: &Channel) {
        *self.counts.entry(channel.clone()).or_default() += 1;
        self.lingering.remove(channel);
    }

    /// A client does not want it any more.
    pub(crate) fn remove(&mut self, channel: &Channel, now: Moment) {
        let Some(count) = self.counts.get_mut(channel) else {
            return;
        };
        *count -= 1;
        if *count == 0 {
            self.counts.remove(channel);
            self.lingering.insert(channel.clone(), now + LINGER);
        }
    }

    /// Drops what nobody has wanted for long enough; whether there was any.
    pub(crate) fn expire(&mut self, now: Moment) -> bool {
        let before = self.lingering.len();
        self.lingering.retain(|_, until| *until > now);
        self.lingering.len() < before
    }

    /// Whether there will be something to drop.
    pub(crate) fn is_lingering(&self) -> bool {
        !self.lingering.is_empty()
    }

    /// How many channels there are, with those that are only kept for a while: they cost the
    /// same.
    pub(crate) fn len(&self) -> usize {
        self.counts.len() + self.lingering.len()
    }

    /// Whether this very channel is among them.
    pub(crate) fn contains(&self, channel: &Channel) -> bool {
        self.counts.contains_key(channel) || self.lingering.contains_key(channel)
    }

    /// What to ask the upstream for.
    pub(crate) fn interest(&self) -> Interest {
        self.counts
            .keys()
            .chain(self.lingering.keys())
            .cloned()
            .collect()
    }

    /// Whether the upstream is asked for this channel.
    pub(crate) fn covers(&self, channel: &Channel) -> bool {
        self.contains(channel) || self.contains(&wildcard(channel.kind))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_channel_is_kept_for_five_seconds_after_the_last_has_left_it() {
        let spx = Channel::parse("V.I:SPX").unwrap();
        let mut wanted = ClientSubscriptions::default();
        wanted.add(&spx);
        wanted.add(&spx);
        wanted.remove(&spx, Moment::from_secs(1));
        assert!(!wanted.is_lingering());
        wanted.remove(&spx, Moment::from_secs(2));
        assert!(wanted.is_lingering() && wanted.len() == 1);
        assert!(!wanted.expire(Moment::from_secs(6)) && wanted.covers(&spx));
        assert!(wanted.expire(Moment::from_secs(7)) && wanted.interest().is_empty());
        assert!(!wanted.is_lingering() && wanted.len() == 0);
    }

    #[test]
    fn who_comes_back_within_them_keeps_it() {
        let all = Channel::parse("V.*").unwrap();
        let mut wanted = ClientSubscriptions::default();
        wanted.add(&all);
        wanted.remove(&all, Moment::ZERO);
        wanted.add(&all);
        assert!(!wanted.expire(Moment::from_secs(60)));
        assert!(wanted.covers(&Channel::parse("V.I:VIX").unwrap()));
        assert!(!wanted.covers(&Channel::parse("AM.I:VIX").unwrap()));
    }
}
