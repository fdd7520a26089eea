//! The last step: the sessions of a running ticker, with its channels, for a few seconds. Takes
//! what they say and shows it to nobody.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;

use super::{CheckContext, Finding, hub};
use crate::config::Config;
use crate::feed::connection::ConnectionPhase;
use crate::feed::session::{Session, SubscriptionDemand};
use crate::feed::subscriptions;
use crate::feed::{Failure, Update};
use crate::market::{Channel, ChannelKind, Cluster, Ticker};
use crate::net::connector::Connector;
use crate::time::{Clock, Moment};

const QUEUE: usize = 64;

/// One link for each cluster that the watchlist needs, and what has come on them.
pub(super) struct ChannelProbe {
    links: JoinSet<()>,
    demand: Vec<watch::Sender<SubscriptionDemand>>,
    updates: mpsc::Receiver<Update>,
    clock: Clock,
    opened: Moment,
    time_limit: Duration,
    /// Something on the watchlist is published at this hour, as far as one knows.
    market_open: bool,
    /// What neither an acknowledgement nor a value has confirmed.
    missing: Vec<Channel>,
    wanted: usize,
    /// Whose the first value was, and after how long.
    first: Option<(String, Duration)>,
    /// Why a link came to nothing.
    failed: Option<(Cluster, Failure)>,
}

impl ChannelProbe {
    pub(super) fn open(context: &CheckContext<'_>, connector: &Connector, config: &Config) -> Self {
        let now = context.clock.now();
        let (updates, incoming) = mpsc::channel(QUEUE);
        let source = Arc::new(config.source.clone());
        let mut links = JoinSet::new();
        let mut demand = Vec::new();
        let mut missing = Vec::new();
        for cluster in Cluster::ALL {
            let channels = subscriptions::route(&config.settings.watchlist, cluster);
            if channels.is_empty() {
                continue;
            }
            missing.extend(channels.iter().cloned());
            let (order, wanted) = watch::channel(SubscriptionDemand {
                channels,
                max_silence: None,
                stop: false,
            });
            demand.push(order);
            let session = Session {
                cluster,
                source: source.clone(),
                connector: connector.clone(),
                demand: wanted,
                updates: updates.clone(),
                clock: context.clock.clone(),
            };
            links.spawn(session.run());
        }
        let market_open = config.settings.watchlist.iter().any(|symbol| {
            now.utc
                .is_none_or(|utc| context.calendar.phase(symbol, utc).is_open())
        });
        Self {
            links,
            demand,
            updates: incoming,
            clock: context.clock.clone(),
            opened: now.monotonic,
            time_limit: context.time_limit,
            market_open,
            wanted: missing.len(),
            missing,
            first: None,
            failed: None,
        }
    }

    /// Until all that is due has come, a link has failed, or the patience is over.
    pub(super) async fn wait_for_values(&mut self) {
        let time_limit = self.time_limit;
        let listening = async {
            while !self.missing.is_empty() || (self.market_open && self.first.is_none()) {
                let Some(update) = self.updates.recv().await else {
                    return;
                };
                self.take(update);
                if self.failed.is_some() {
                    return;
                }
            }
        };
        // What has not come by then is what is judged.
        tokio::time::timeout(time_limit, listening).await.ok();
    }

    fn take(&mut self, update: Update) {
        match update {
            Update::Status(cluster, status) => {
                let failed = matches!(
                    status.phase,
                    ConnectionPhase::Down | ConnectionPhase::Refused
                );
                if let Some(reason) = status.reason.filter(|_| failed) {
                    self.failed = Some((cluster, reason));
                }
            }
            Update::Subscribed(channel) => self.missing.retain(|missing| *missing != channel),
            Update::Value { ticker, .. } => self.confirm_received(ChannelKind::Value, &ticker),
            Update::Quote { ticker, .. } => self.confirm_received(ChannelKind::Quote, &ticker),
            Update::Trade { ticker, .. } => self.confirm_received(ChannelKind::Trade, &ticker),
            Update::Bar { ticker, kind, .. } => self.confirm_received(kind, &ticker),
            // What is not confirmed stays among the missing.
            Update::Unanswered { .. } | Update::ServerTime { .. } => {}
            // By REST, which is not asked here.
            Update::Seed(_) | Update::Minutes { .. } | Update::Market(..) => {}
        }
    }

    /// What comes on a channel confirms it; a price that is not of a whole minute is a value.
    fn confirm_received(&mut self, kind: ChannelKind, ticker: &Ticker) {
        let of = |channel: &Channel| channel.kind == kind && channel.ticker == *ticker;
        self.missing.retain(|channel| !of(channel));
        if matches!(
            kind,
            ChannelKind::Value | ChannelKind::Quote | ChannelKind::Trade
        ) {
            let after = self.clock.now().monotonic.since(self.opened);
            let name = ticker.as_str();
            let name = name.strip_prefix("I:").unwrap_or(name);
            self.first.get_or_insert((name.to_owned(), after));
        }
    }

    /// Says farewell.
    pub(super) async fn close(&mut self) {
        for order in &self.demand {
            order.send_modify(|order| order.stop = true);
        }
        // A session that waits for room in the queue must see that nobody reads it any more.
        self.updates.close();
        while self.links.join_next().await.is_some() {}
    }

    /// `hub` is one of ours, which confirms what it serves; the proxy does not to who comes late.
    pub(super) fn judge(&self, hub: bool) -> Finding {
        const CHECK: &str = "channels";
        if let Some((cluster, reason)) = self.failed {
            return match reason {
                Failure::Token => hub::unwelcome(CHECK),
                _ => {
                    let remedy = "Look at the hub's log, on its machine:\n  journalctl -u deskticker-hub -n 50";
                    Finding::failed(CHECK, format!("{cluster}: {reason}"), remedy)
                }
            };
        }
        let mut found = format!(
            "{} of {} confirmed",
            self.wanted - self.missing.len(),
            self.wanted
        );
        if !self.missing.is_empty() {
            let names: Vec<String> = self
                .missing
                .iter()
                .take(6)
                .map(Channel::to_string)
                .collect();
            let more = if names.len() < self.missing.len() {
                ", …"
            } else {
                ""
            };
            found = format!("{found}, not {}{more}", names.join(", "));
        }
        let found = match &self.first {
            Some((name, after)) => {
                format!("{found}; first value ({name}) in {} ms", after.as_millis())
            }
            None if self.market_open => {
                format!("{found}; no value in {} s", self.time_limit.as_secs())
            }
            None => format!("{found}; the market is closed"),
        };
        let silent = self.market_open && self.first.is_none();
        if hub && !self.missing.is_empty() {
            let remedy =
                "Correct the watchlist: are these spelt as Massive spells them, and in its plan?";
            return Finding::failed(CHECK, found, remedy);
        }
        if silent {
            let remedy = "If it stays so while the market is open, the server gets nothing itself: look at \
                        its log.";
            return Finding::warning(CHECK, found, remedy);
        }
        // The proxy confirms nothing to who comes late.
        Finding::ok(CHECK, found)
    }
}
