//! The subscription manager: watchlist → channels of each cluster, routed, diffed, confirmed.
//! Pure; it says what to send and never sends.

use core::time::Duration;

use crate::clock::Moment;
use crate::market::{CAPACITY, Channel, Cluster, Kind, Symbol};

/// The most channels one link holds: two for each instrument.
pub const CHANNELS: usize = 2 * CAPACITY;

/// How long a channel may stay unconfirmed before it is asked for again, and then reported.
pub const CONFIRM: Duration = Duration::from_secs(10);

/// The channels of one link.
pub type Channels = heapless::Vec<Channel, CHANNELS>;

/// The channels of a watchlist that belong to one cluster.
pub fn route<'a>(symbols: impl IntoIterator<Item = &'a Symbol>, cluster: Cluster) -> Channels {
    symbols
        .into_iter()
        .filter(|symbol| symbol.cluster() == Some(cluster))
        .flat_map(Symbol::channels)
        // The watchlist has room for half as many instruments.
        .take(CHANNELS)
        .collect()
}

/// What is to be done for a channel.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Request {
    /// Ask for it.
    Subscribe(Channel),
    /// Give it back.
    Unsubscribe(Channel),
    /// Say that it has been asked for twice and nobody has answered.
    Report(Channel),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Progress {
    Wanted,
    Asked { at: Moment, again: bool },
    Unanswered,
    Confirmed,
    Unwanted,
}

/// The channels that one link wants, and how far each has come on this connection.
#[derive(Clone, Debug, Default)]
pub struct Subscriptions {
    /// Each channel once; never more than [`CHANNELS`] that are wanted.
    held: heapless::Vec<(Channel, Progress), { 2 * CHANNELS }>,
}

impl Subscriptions {
    /// Makes these the channels wanted. What is new will be asked for, what is gone given back,
    /// what stays is not touched.
    pub fn want(&mut self, channels: &Channels) {
        for (held, progress) in &mut self.held {
            match (channels.contains(held), *progress) {
                (false, _) => *progress = Progress::Unwanted,
                (true, Progress::Unwanted) => *progress = Progress::Wanted,
                (true, _) => {}
            }
        }
        for channel in channels {
            if !self.held.iter().any(|(held, _)| held == channel) {
                // Room for all that is wanted beside all that was; more changes than that within
                // one connection, none of them yet sent, give up the oldest unsent farewell.
                if self.held.is_full()
                    && let Some(at) = self
                        .held
                        .iter()
                        .position(|(_, progress)| *progress == Progress::Unwanted)
                {
                    self.held.remove(at);
                }
                let kept = self.held.push((channel.clone(), Progress::Wanted));
                debug_assert!(kept.is_ok(), "twice the room of what can be wanted");
            }
        }
    }

    /// The connection is gone: nothing is held any more, and all that is wanted must be asked for.
    pub fn forget(&mut self) {
        self.held
            .retain(|(_, progress)| *progress != Progress::Unwanted);
        for (_, progress) in &mut self.held {
            *progress = Progress::Wanted;
        }
    }

    /// Whether anything is wanted.
    pub fn is_empty(&self) -> bool {
        self.held
            .iter()
            .all(|(_, progress)| *progress == Progress::Unwanted)
    }

    /// Whether this is one of the channels wanted. On a proxy that sends everybody everything,
    /// what was not asked for must be told apart.
    pub fn wants(&self, kind: Kind, ticker: &str) -> bool {
        self.find(kind, ticker)
            .is_some_and(|at| self.held[at].1 != Progress::Unwanted)
    }

    fn find(&self, kind: Kind, ticker: &str) -> Option<usize> {
        self.held
            .iter()
            .position(|(channel, _)| channel.kind == kind && channel.ticker == ticker)
    }

    /// The server has acknowledged a channel, or sent something on it: a channel that is already
    /// held is not acknowledged a second time. True if it is one of ours.
    pub fn confirm(&mut self, kind: Kind, ticker: &str) -> bool {
        match self.find(kind, ticker).map(|at| &mut self.held[at].1) {
            Some(Progress::Unwanted) | None => false,
            Some(progress) => {
                *progress = Progress::Confirmed;
                true
            }
        }
    }

    /// How many channels are confirmed, and how many wanted.
    pub fn confirmed(&self) -> (usize, usize) {
        let count = |test: fn(Progress) -> bool| {
            self.held
                .iter()
                .filter(|(_, progress)| test(*progress))
                .count()
        };
        (
            count(|progress| progress == Progress::Confirmed),
            count(|progress| progress != Progress::Unwanted),
        )
    }

    /// The next thing to do on a live connection, until there is none.
    pub fn next(&mut self, now: Moment) -> Option<Request> {
        for at in 0..self.held.len() {
            let (channel, progress) = &mut self.held[at];
            match *progress {
                Progress::Wanted => {
                    *progress = Progress::Asked {
                        at: now,
                        again: false,
                    };
                    return Some(Request::Subscribe(channel.clone()));
                }
                Progress::Asked { at, again: false } if now >= at + CONFIRM => {
                    *progress = Progress::Asked {
                        at: now,
                        again: true,
                    };
                    return Some(Request::Subscribe(channel.clone()));
                }
                Progress::Asked { at, again: true } if now >= at + CONFIRM => {
                    *progress = Progress::Unanswered;
                    return Some(Request::Report(channel.clone()));
                }
                Progress::Unwanted => {
                    return Some(Request::Unsubscribe(self.held.swap_remove(at).0));
                }
                Progress::Asked { .. } | Progress::Unanswered | Progress::Confirmed => {}
            }
        }
        None
    }

    /// When [`Subscriptions::next`] will have something to do without anything happening.
    pub fn deadline(&self) -> Moment {
        let due = self.held.iter().map(|(_, progress)| match *progress {
            Progress::Wanted | Progress::Unwanted => Moment::ZERO,
            Progress::Asked { at, .. } => at + CONFIRM,
            Progress::Unanswered | Progress::Confirmed => Moment::NEVER,
        });
        due.min().unwrap_or(Moment::NEVER)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn channels(names: &[&str]) -> Channels {
        names
            .iter()
            .map(|name| Channel::parse(name).unwrap())
            .collect()
    }

    fn requests(subscriptions: &mut Subscriptions, secs: u64) -> Vec<String> {
        core::iter::from_fn(|| subscriptions.next(Moment::from_secs(secs)))
            .map(|request| match request {
                Request::Subscribe(channel) => format!("+{channel}"),
                Request::Unsubscribe(channel) => format!("-{channel}"),
                Request::Report(channel) => format!("?{channel}"),
            })
            .collect()
    }

    #[test]
    fn each_channel_goes_to_the_link_of_its_class() {
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
            channels(&["Q.O:SPY251219C00650000"])
        );
    }

    #[test]
    fn a_changed_watchlist_sends_only_the_difference() {
        let mut subscriptions = Subscriptions::default();
        subscriptions.want(&channels(&["V.I:SPX", "V.I:VIX"]));
        assert_eq!(requests(&mut subscriptions, 0), ["+V.I:SPX", "+V.I:VIX"]);
        assert!(subscriptions.confirm(Kind::Value, "I:SPX"));
        subscriptions.want(&channels(&["V.I:SPX", "V.I:NDX"]));
        let mut sent = requests(&mut subscriptions, 1);
        sent.sort();
        assert_eq!(sent, ["+V.I:NDX", "-V.I:VIX"]);
        assert!(
            !subscriptions.confirm(Kind::Value, "I:VIX"),
            "an ack too late is nobody's"
        );
    }

    #[test]
    fn a_new_connection_asks_for_everything_wanted_and_nothing_else() {
        let mut subscriptions = Subscriptions::default();
        subscriptions.want(&channels(&["V.I:SPX", "V.I:VIX"]));
        requests(&mut subscriptions, 0);
        subscriptions.confirm(Kind::Value, "I:SPX");
        subscriptions.want(&channels(&["V.I:SPX"]));
        subscriptions.forget();
        assert_eq!(requests(&mut subscriptions, 5), ["+V.I:SPX"]);
    }

    #[test]
    fn an_unconfirmed_channel_is_asked_for_once_more_and_then_reported_once() {
        let mut subscriptions = Subscriptions::default();
        subscriptions.want(&channels(&["V.I:SPX", "V.I:XYZ"]));
        requests(&mut subscriptions, 0);
        subscriptions.confirm(Kind::Value, "I:SPX");
        assert_eq!(subscriptions.deadline(), Moment::from_secs(10));
        assert_eq!(requests(&mut subscriptions, 9), [""; 0]);
        assert_eq!(requests(&mut subscriptions, 10), ["+V.I:XYZ"]);
        assert_eq!(requests(&mut subscriptions, 20), ["?V.I:XYZ"]);
        assert_eq!(subscriptions.deadline(), Moment::NEVER);
        assert_eq!(requests(&mut subscriptions, 99), [""; 0]);
        assert_eq!(subscriptions.confirmed(), (1, 2));
    }

    #[test]
    fn what_was_not_asked_for_is_told_apart() {
        let mut subscriptions = Subscriptions::default();
        subscriptions.want(&channels(&["V.I:SPX"]));
        assert!(subscriptions.wants(Kind::Value, "I:SPX"));
        assert!(!subscriptions.wants(Kind::Minute, "I:SPX"));
        assert!(!subscriptions.wants(Kind::Value, "I:NDX"));
        assert!(!subscriptions.confirm(Kind::Value, "I:NDX"));
    }

    #[test]
    fn watchlists_that_change_wholly_again_and_again_fit() {
        let mut subscriptions = Subscriptions::default();
        for round in 0..10 {
            let list: Channels = (0..CHANNELS)
                .map(|n| Channel::parse(&format!("V.I:R{round}N{n}")).unwrap())
                .collect();
            subscriptions.want(&list);
            assert_eq!(subscriptions.confirmed().1, CHANNELS);
        }
    }
}
