//! The subscription manager: the channels of a watchlist for each cluster, and the state of each
//! subscription. The code is pure: this module returns the requests to send and never sends a
//! request.

use core::time::Duration;
use std::collections::{HashMap, HashSet};

use crate::market::{Channel, ChannelKind, Cluster, Symbol, Ticker, WILDCARD};
use crate::massive::websocket::ChannelRefusal;
use crate::time::Moment;

/// The time limit for the confirmation of a channel. After the limit, the channel is requested a
/// second time. After the same limit for the second request, the channel is reported.
pub const CONFIRM: Duration = Duration::from_secs(10);

/// The time after which a channel is requested again that a hub has refused because of a limit.
const LIMIT_RETRY: Duration = Duration::from_secs(60);

/// Up to this number of channels, a comparison with each channel is faster than a hash.
const LINEAR_SEARCH_LIMIT: usize = 24;

/// Returns the channels of all symbols that belong to this cluster.
pub fn route<'a>(symbols: impl IntoIterator<Item = &'a Symbol>, cluster: Cluster) -> Vec<Channel> {
    symbols
        .into_iter()
        .filter(|symbol| symbol.cluster() == cluster)
        .flat_map(Symbol::channels)
        .collect()
}

/// An action for one channel.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SubscriptionAction {
    /// Request the subscription from the server.
    Subscribe(Channel),
    /// Cancel the subscription at the server.
    Unsubscribe(Channel),
    /// Report that the server refused the channel or confirmed neither of two requests.
    Report(Channel, ChannelRefusal),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum SubscriptionState {
    Wanted,
    Asked {
        at: Moment,
        again: bool,
    },
    /// The server is a hub, and waits for the answer of the vendor without a time limit.
    Deferred,
    Refused(ChannelRefusal),
    /// The channel is reported, and is requested again at this time.
    Unanswered(Moment),
    Confirmed,
    Unwanted,
}

/// One channel and the state of its subscription on the current connection.
#[derive(Clone, Debug)]
struct ChannelEntry {
    channel: Channel,
    progress: SubscriptionState,
}

/// The wanted channels of one connection, and the state of each subscription. The table grows and
/// allocates only when the wanted channels change.
#[derive(Clone, Debug, Default)]
pub struct SubscriptionTable {
    /// The entries of the table. Each channel occurs once.
    entries: Vec<ChannelEntry>,
    /// The index of each channel in `entries`. A hub has thousands of channels.
    index: HashMap<Channel, usize>,
    /// The earliest time of the next action. Before this time, a hub does not need to search
    /// through thousands of channels at every event.
    due: Moment,
}

impl SubscriptionTable {
    /// Replaces the list of wanted channels. The table will request each new channel, cancel each
    /// removed channel and keep each remaining channel unchanged.
    pub fn want(&mut self, channels: &[Channel]) {
        self.due = Moment::ZERO;
        let wanted: HashSet<&Channel> = channels.iter().collect();
        for entry in &mut self.entries {
            match (wanted.contains(&entry.channel), entry.progress) {
                (false, _) => entry.progress = SubscriptionState::Unwanted,
                (true, SubscriptionState::Unwanted) => entry.progress = SubscriptionState::Wanted,
                (true, _) => {}
            }
        }
        for channel in channels {
            if !self.index.contains_key(channel) {
                self.index.insert(channel.clone(), self.entries.len());
                self.entries.push(ChannelEntry {
                    channel: channel.clone(),
                    progress: SubscriptionState::Wanted,
                });
            }
        }
    }

    /// Returns the index of the entry for an event on this channel. The entry can be a wildcard.
    fn find(&self, kind: ChannelKind, ticker: &str) -> Option<usize> {
        // This search runs for each received value. A comparison with all entries is fast, because
        // the table of a display is small.
        if self.entries.len() <= LINEAR_SEARCH_LIMIT {
            let is = |entry: &ChannelEntry, name: &str| {
                entry.channel.kind == kind && entry.channel.ticker == name
            };
            let find = |name| self.entries.iter().position(|entry| is(entry, name));
            return find(ticker).or_else(|| find(WILDCARD));
        }
        let find = |ticker: &str| {
            let ticker = Ticker::try_from(ticker).ok()?;
            self.index.get(&Channel { kind, ticker }).copied()
        };
        find(ticker).or_else(|| find(WILDCARD))
    }

    /// Removes and returns the channel at this index. The last entry moves to the index.
    fn remove(&mut self, at: usize) -> Channel {
        let entry = self.entries.swap_remove(at);
        self.index.remove(&entry.channel);
        if let Some(moved) = self.entries.get(at) {
            self.index.insert(moved.channel.clone(), at);
        }
        entry.channel
    }

    /// Resets the table after the end of a connection. The table drops all removed channels, and
    /// will request all wanted channels again.
    pub fn forget(&mut self) {
        self.due = Moment::ZERO;
        self.entries
            .retain(|entry| entry.progress != SubscriptionState::Unwanted);
        self.index.clear();
        for (at, entry) in self.entries.iter_mut().enumerate() {
            entry.progress = SubscriptionState::Wanted;
            self.index.insert(entry.channel.clone(), at);
        }
    }

    /// Returns true if no channel is wanted.
    pub fn is_empty(&self) -> bool {
        self.entries
            .iter()
            .all(|slot| slot.progress == SubscriptionState::Unwanted)
    }

    /// Returns true if this channel is wanted. A proxy can send all data to all clients, so the
    /// session must filter the data with this function.
    pub fn wants(&self, kind: ChannelKind, ticker: &str) -> bool {
        self.find(kind, ticker)
            .is_some_and(|at| self.entries[at].progress != SubscriptionState::Unwanted)
    }

    /// Marks a channel as confirmed, and returns true if the channel is wanted. Data on a channel
    /// also counts as a confirmation, because a server does not acknowledge an existing
    /// subscription a second time.
    pub fn confirm(&mut self, kind: ChannelKind, ticker: &str) -> bool {
        let Some(at) = self.find(kind, ticker) else {
            return false;
        };
        match &mut self.entries[at].progress {
            SubscriptionState::Unwanted => false,
            progress => {
                *progress = SubscriptionState::Confirmed;
                true
            }
        }
    }

    /// Notes that the server will confirm or refuse the channel later, so the request has no time
    /// limit.
    pub fn defer(&mut self, channel: &Channel) {
        if let Some(&at) = self.index.get(channel)
            && let progress @ SubscriptionState::Asked { .. } = &mut self.entries[at].progress
        {
            *progress = SubscriptionState::Deferred;
        }
    }

    /// Notes that the server has refused the channel.
    pub fn refuse(&mut self, channel: &Channel, refusal: ChannelRefusal) {
        let Some(&at) = self.index.get(channel) else {
            return;
        };
        match &mut self.entries[at].progress {
            SubscriptionState::Wanted
            | SubscriptionState::Unwanted
            | SubscriptionState::Unanswered(_) => {}
            progress => {
                *progress = SubscriptionState::Refused(refusal);
                self.due = Moment::ZERO;
            }
        }
    }

    /// Returns the number of confirmed channels and the number of wanted channels.
    pub fn confirmed(&self) -> (usize, usize) {
        let count = |test: fn(SubscriptionState) -> bool| {
            self.entries
                .iter()
                .filter(|slot| test(slot.progress))
                .count()
        };
        (
            count(|progress| progress == SubscriptionState::Confirmed),
            count(|progress| progress != SubscriptionState::Unwanted),
        )
    }

    /// Returns the next action on a live connection, or `None` if no action is due. The caller
    /// repeats the call until the result is `None`.
    pub fn next(&mut self, now: Moment) -> Option<SubscriptionAction> {
        if now < self.due {
            return None;
        }
        for at in 0..self.entries.len() {
            let ChannelEntry { channel, progress } = &mut self.entries[at];
            match *progress {
                SubscriptionState::Unanswered(retry) if now < retry => {}
                SubscriptionState::Wanted | SubscriptionState::Unanswered(_) => {
                    *progress = SubscriptionState::Asked {
                        at: now,
                        again: false,
                    };
                    return Some(SubscriptionAction::Subscribe(channel.clone()));
                }
                SubscriptionState::Asked { at, again: false } if now >= at + CONFIRM => {
                    *progress = SubscriptionState::Asked {
                        at: now,
                        again: true,
                    };
                    return Some(SubscriptionAction::Subscribe(channel.clone()));
                }
                SubscriptionState::Asked { at, again: true } if now >= at + CONFIRM => {
                    *progress = SubscriptionState::Unanswered(Moment::NEVER);
                    let refusal = ChannelRefusal::Unconfirmed;
                    return Some(SubscriptionAction::Report(channel.clone(), refusal));
                }
                SubscriptionState::Refused(refusal) => {
                    *progress = SubscriptionState::Unanswered(match refusal {
                        ChannelRefusal::Limit => now + LIMIT_RETRY,
                        _ => Moment::NEVER,
                    });
                    return Some(SubscriptionAction::Report(channel.clone(), refusal));
                }
                SubscriptionState::Unwanted => {
                    return Some(SubscriptionAction::Unsubscribe(self.remove(at)));
                }
                SubscriptionState::Asked { .. }
                | SubscriptionState::Deferred
                | SubscriptionState::Confirmed => {}
            }
        }
        let due = self.entries.iter().map(|slot| match slot.progress {
            SubscriptionState::Wanted
            | SubscriptionState::Unwanted
            | SubscriptionState::Refused(_) => Moment::ZERO,
            SubscriptionState::Asked { at, .. } => at + CONFIRM,
            SubscriptionState::Unanswered(retry) => retry,
            SubscriptionState::Deferred | SubscriptionState::Confirmed => Moment::NEVER,
        });
        self.due = due.min().unwrap_or(Moment::NEVER);
        None
    }

    /// Returns the time at which [`SubscriptionTable::next`] can return an action without a new
    /// event.
    pub const fn deadline(&self) -> Moment {
        self.due
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn channels(names: &[&str]) -> Vec<Channel> {
        names
            .iter()
            .map(|name| Channel::parse(name).unwrap())
            .collect()
    }

    fn requests(subscriptions: &mut SubscriptionTable, secs: u64) -> Vec<String> {
        core::iter::from_fn(|| subscriptions.next(Moment::from_secs(secs)))
            .map(|request| match request {
                SubscriptionAction::Subscribe(channel) => format!("+{channel}"),
                SubscriptionAction::Unsubscribe(channel) => format!("-{channel}"),
                SubscriptionAction::Report(channel, _) => format!("?{channel}"),
            })
            .collect()
    }

    #[test]
    fn each_channel_goes_to_the_connection_of_its_asset_class() {
        let symbols: Vec<Symbol> = ["SPX", "O:SPY251219C00650000", "VIX"]
            .iter()
            .map(|text| text.parse().unwrap())
            .collect();
        assert_eq!(
            route(&symbols, Cluster::Indices),
            channels(&["V.I:SPX", "AM.I:SPX", "V.I:VIX", "AM.I:VIX"])
        );
        assert_eq!(
            route(&symbols, Cluster::Options),
            channels(&[
                "Q.O:SPY251219C00650000",
                "T.O:SPY251219C00650000",
                "A.O:SPY251219C00650000"
            ])
        );
        assert_eq!(route(&symbols, Cluster::Stocks), channels(&[]));
    }

    #[test]
    fn a_changed_watchlist_sends_only_the_difference() {
        let mut subscriptions = SubscriptionTable::default();
        subscriptions.want(&channels(&["V.I:SPX", "V.I:VIX"]));
        assert_eq!(requests(&mut subscriptions, 0), ["+V.I:SPX", "+V.I:VIX"]);
        assert!(subscriptions.confirm(ChannelKind::Value, "I:SPX"));
        subscriptions.want(&channels(&["V.I:SPX", "V.I:NDX"]));
        let mut sent = requests(&mut subscriptions, 1);
        sent.sort();
        assert_eq!(sent, ["+V.I:NDX", "-V.I:VIX"]);
        assert!(
            !subscriptions.confirm(ChannelKind::Value, "I:VIX"),
            "an ack too late is nobody's"
        );
    }

    #[test]
    fn a_new_connection_subscribes_to_exactly_the_wanted_channels() {
        let mut subscriptions = SubscriptionTable::default();
        subscriptions.want(&channels(&["V.I:SPX", "V.I:VIX"]));
        requests(&mut subscriptions, 0);
        subscriptions.confirm(ChannelKind::Value, "I:SPX");
        subscriptions.want(&channels(&["V.I:SPX"]));
        subscriptions.forget();
        assert_eq!(requests(&mut subscriptions, 5), ["+V.I:SPX"]);
    }

    #[test]
    fn an_unconfirmed_channel_is_requested_once_more_and_then_reported_once() {
        let mut subscriptions = SubscriptionTable::default();
        subscriptions.want(&channels(&["V.I:SPX", "V.I:XYZ"]));
        requests(&mut subscriptions, 0);
        subscriptions.confirm(ChannelKind::Value, "I:SPX");
        assert_eq!(subscriptions.deadline(), Moment::from_secs(10));
        assert_eq!(requests(&mut subscriptions, 9), [""; 0]);
        assert_eq!(requests(&mut subscriptions, 10), ["+V.I:XYZ"]);
        assert_eq!(requests(&mut subscriptions, 20), ["?V.I:XYZ"]);
        assert_eq!(subscriptions.deadline(), Moment::NEVER);
        assert_eq!(requests(&mut subscriptions, 99), [""; 0]);
        assert_eq!(subscriptions.confirmed(), (1, 2));
    }

    #[test]
    fn a_hub_that_waits_for_the_vendor_has_no_time_limit_and_its_refusal_is_reported_at_once() {
        let mut subscriptions = SubscriptionTable::default();
        let [spx, xyz] = ["V.I:SPX", "V.I:XYZ"].map(|name| Channel::parse(name).unwrap());
        subscriptions.want(&[spx.clone(), xyz.clone()]);
        requests(&mut subscriptions, 0);
        subscriptions.defer(&spx);
        subscriptions.defer(&xyz);
        assert_eq!(requests(&mut subscriptions, 99), [""; 0]);
        assert_eq!(subscriptions.deadline(), Moment::NEVER);
        assert!(subscriptions.confirm(spx.kind, &spx.ticker));
        subscriptions.refuse(&xyz, ChannelRefusal::NotAuthorized);
        assert_eq!(subscriptions.deadline(), Moment::ZERO);
        assert_eq!(requests(&mut subscriptions, 99), ["?V.I:XYZ"]);
        assert_eq!(requests(&mut subscriptions, 99), [""; 0]);
        assert_eq!(subscriptions.confirmed(), (1, 2));
    }

    #[test]
    fn a_channel_above_a_limit_of_a_hub_is_reported_at_once_and_requested_again_after_a_minute() {
        let mut subscriptions = SubscriptionTable::default();
        let spx = Channel::parse("V.I:SPX").unwrap();
        subscriptions.want(std::slice::from_ref(&spx));
        for minute in [0, 60, 120] {
            assert_eq!(requests(&mut subscriptions, minute), ["+V.I:SPX"]);
            subscriptions.refuse(&spx, ChannelRefusal::Limit);
            assert_eq!(requests(&mut subscriptions, minute), ["?V.I:SPX"]);
            assert_eq!(requests(&mut subscriptions, minute + 59), [""; 0]);
            assert_eq!(subscriptions.deadline(), Moment::from_secs(minute + 60));
        }
        assert_eq!(requests(&mut subscriptions, 180), ["+V.I:SPX"]);
        assert!(subscriptions.confirm(spx.kind, &spx.ticker));
        assert_eq!(subscriptions.confirmed(), (1, 1));
    }

    #[test]
    fn a_channel_without_a_subscription_is_neither_wanted_nor_confirmed() {
        let mut subscriptions = SubscriptionTable::default();
        subscriptions.want(&channels(&["V.I:SPX"]));
        assert!(subscriptions.wants(ChannelKind::Value, "I:SPX"));
        assert!(!subscriptions.wants(ChannelKind::Minute, "I:SPX"));
        assert!(!subscriptions.wants(ChannelKind::Value, "I:NDX"));
        assert!(!subscriptions.confirm(ChannelKind::Value, "I:NDX"));
    }

    #[test]
    fn a_hub_can_add_and_remove_thousands_of_channels() {
        let mut subscriptions = SubscriptionTable::default();
        let list = |numbers: std::ops::Range<usize>| -> Vec<Channel> {
            numbers
                .map(|n| Channel::parse(&format!("V.I:N{n}")).unwrap())
                .collect()
        };
        subscriptions.want(&list(0..5000));
        let now = Moment::from_secs(1);
        assert_eq!(
            core::iter::from_fn(|| subscriptions.next(now)).count(),
            5000
        );
        for n in 0..5000 {
            assert!(subscriptions.confirm(ChannelKind::Value, &format!("I:N{n}")));
        }
        subscriptions.want(&list(2500..5100));
        let requests: Vec<SubscriptionAction> =
            core::iter::from_fn(|| subscriptions.next(now)).collect();
        assert_eq!(requests.len(), 2600);
        assert_eq!(subscriptions.confirmed(), (2500, 2600));
        for n in 2500..5100 {
            assert!(
                subscriptions.confirm(ChannelKind::Value, &format!("I:N{n}")),
                "{n}"
            );
        }
        assert!(!subscriptions.wants(ChannelKind::Value, "I:N0"));
        subscriptions.forget();
        assert_eq!(
            core::iter::from_fn(|| subscriptions.next(now)).count(),
            2600
        );
    }

    #[test]
    fn a_wildcard_subscription_covers_each_real_ticker() {
        let mut subscriptions = SubscriptionTable::default();
        let channel = |name| Channel::parse(name).unwrap();
        subscriptions.want(&[channel("V.*"), channel("V.I:SPX")]);
        assert!(subscriptions.confirm(ChannelKind::Value, "I:NDX"));
        assert_eq!(subscriptions.confirmed(), (1, 2), "by the wildcard");
        assert!(subscriptions.confirm(ChannelKind::Value, "I:SPX"));
        assert_eq!(subscriptions.confirmed(), (2, 2));
        assert!(!subscriptions.wants(ChannelKind::Minute, "I:NDX"));
    }
}
