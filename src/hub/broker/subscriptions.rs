//! The subscriptions of all clients of one cluster together. Owns the number of subscribers of each
//! channel and the expiry time of channels without subscribers; never reads a clock.

use std::collections::HashMap;
use std::time::Duration;

use crate::hub::Interest;
use crate::market::Channel;
use crate::time::Moment;

/// The duration for which the upstream keeps a channel without subscribers. A display that restarts
/// or returns to a page within this duration gets the last value of the channel at once.
const LINGER: Duration = Duration::from_secs(5);

/// The union of the subscriptions of all clients.
#[derive(Debug, Default)]
pub(crate) struct ClientSubscriptions {
    counts: HashMap<Channel, usize>,
    lingering: HashMap<Channel, Moment>,
}

impl ClientSubscriptions {
    /// Adds one subscriber to a channel.
    pub(crate) fn add(&mut self, channel: &Channel) {
        *self.counts.entry(channel.clone()).or_default() += 1;
        self.lingering.remove(channel);
    }

    /// Removes one subscriber from a channel. The upstream keeps a channel without subscribers for
    /// the duration `LINGER`.
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

    /// Removes the channels that have had no subscriber for the duration `LINGER`. Returns true if
    /// at least one channel was removed.
    pub(crate) fn expire(&mut self, now: Moment) -> bool {
        let before = self.lingering.len();
        self.lingering.retain(|_, until| *until > now);
        self.lingering.len() < before
    }

    /// Returns true if at least one channel without subscribers waits for its removal.
    pub(crate) fn is_lingering(&self) -> bool {
        !self.lingering.is_empty()
    }

    /// Returns the number of channels. The number includes channels without subscribers until their
    /// removal, because these channels cost the same.
    pub(crate) fn len(&self) -> usize {
        self.counts.len() + self.lingering.len()
    }

    /// Returns true if the set contains exactly this channel. A wildcard does not count.
    pub(crate) fn contains(&self, channel: &Channel) -> bool {
        self.counts.contains_key(channel) || self.lingering.contains_key(channel)
    }

    /// Returns the channels that the upstream must subscribe to.
    pub(crate) fn interest(&self) -> Interest {
        self.counts
            .keys()
            .chain(self.lingering.keys())
            .cloned()
            .collect()
    }

    /// Returns true if the upstream subscribes to this channel by name or by wildcard.
    pub(crate) fn covers(&self, channel: &Channel) -> bool {
        self.contains(channel) || self.contains(&Channel::wildcard(channel.kind))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_channel_is_kept_for_five_seconds_after_its_last_client_leaves() {
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
    fn a_client_that_returns_in_time_keeps_the_channel() {
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
