//! The last check: opens the sessions and subscriptions of a running ticker for a limited time.
//! Counts the received data and never displays the prices.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;

use super::{CheckContext, Finding, hub};
use crate::config::Config;
use crate::feed::connection_status::ConnectionPhase;
use crate::feed::session::{Session, SubscriptionDemand};
use crate::feed::{Update, poller, subscriptions};
use crate::market::{AsOf, Channel, ChannelKind, Cluster, Symbol, Ticker};
use crate::massive::quotes::QuotesReply;
use crate::massive::websocket::MarketEvent;
use crate::net::connector::Connector;
use crate::net::failure::Failure;
use crate::net::source::FeedSource;
use crate::time::{Clock, Moment};

const QUEUE: usize = 64;

/// One session for each cluster that the watchlist needs, and the results so far.
pub(super) struct ChannelProbe {
    links: JoinSet<()>,
    demand: Vec<watch::Sender<SubscriptionDemand>>,
    updates: mpsc::Receiver<Update>,
    clock: Clock,
    opened: Moment,
    time_limit: Duration,
    /// True if the calendar has an open phase for at least one symbol, or if the wall clock is not
    /// set.
    market_open: bool,
    /// The channels that neither an acknowledgement nor an event has confirmed.
    missing: Vec<Channel>,
    wanted: usize,
    /// The symbol of the first value, and the time from the start of the check to this value.
    first: Option<(String, Duration)>,
    /// The symbol of a value without a usable timestamp. Its age is unknown.
    undated: Option<String>,
    /// True if a hub reported the loss of its vendor. The hub then confirms no channel.
    cut_off: bool,
    /// The cluster of a failed session, and the reason of the failure.
    failed: Option<(Cluster, Failure)>,
    /// The shares of the watchlist that the server does not stream.
    by_rest: Vec<Symbol>,
    /// The REST response for these shares.
    quotes: Option<Result<QuotesReply, Failure>>,
    shares: Vec<Symbol>,
}

impl ChannelProbe {
    pub(super) fn open(context: &CheckContext<'_>, connector: &Connector, config: &Config) -> Self {
        let now = context.clock.now();
        let (updates, incoming) = mpsc::channel(QUEUE);
        let watchlist = &config.settings.watchlist;
        let is_open = |symbol| {
            now.utc
                .is_none_or(|utc| context.calendar.phase(symbol, utc).is_open())
        };
        let mut probe = Self {
            links: JoinSet::new(),
            demand: Vec::new(),
            updates: incoming,
            clock: context.clock.clone(),
            opened: now.monotonic,
            time_limit: context.time_limit,
            market_open: watchlist.iter().any(is_open),
            wanted: 0,
            missing: Vec::new(),
            first: None,
            failed: None,
            undated: None,
            cut_off: false,
            by_rest: Vec::new(),
            quotes: None,
            shares: watchlist
                .iter()
                .filter(|symbol| symbol.cluster() == Cluster::Stocks)
                .cloned()
                .collect(),
        };
        let source = Arc::new(config.source.clone());
        for cluster in Cluster::ALL {
            let channels = subscriptions::route(watchlist, cluster);
            if channels.is_empty() {
                continue;
            }
            probe.missing.extend(channels.iter().cloned());
            let (order, demand) = watch::channel(SubscriptionDemand {
                channels,
                ..SubscriptionDemand::default()
            });
            probe.demand.push(order);
            let session = Session {
                cluster,
                source: source.clone(),
                connector: connector.clone(),
                demand,
                updates: updates.clone(),
                clock: context.clock.clone(),
            };
            probe.links.spawn(session.run());
        }
        probe.wanted = probe.missing.len();
        probe
    }

    /// Waits until all expected data has arrived, a session has failed, or the time limit has
    /// passed.
    pub(super) async fn wait_for_values(&mut self) {
        let time_limit = self.time_limit;
        let listening = async {
            while self.failed.is_none() && (!self.missing.is_empty() || self.lacks_value()) {
                let Some(update) = self.updates.recv().await else {
                    return;
                };
                self.take(update);
            }
        };
        // A timeout is no error at this point, because `judge` reports the missing channels.
        tokio::time::timeout(time_limit, listening).await.ok();
    }

    fn take(&mut self, update: Update) {
        match update {
            Update::Status(cluster, status) => {
                self.cut_off |= status.cut_off;
                if matches!(
                    status.phase,
                    ConnectionPhase::Down | ConnectionPhase::Refused
                ) && let Some(reason) = status.reason
                {
                    if cluster == Cluster::Stocks && reason.is_absence() {
                        self.expect_shares_by_rest();
                    } else {
                        self.failed = Some((cluster, reason));
                    }
                }
            }
            Update::Subscribed(channel) => self.missing.retain(|missing| *missing != channel),
            Update::Market(ticker, event) => self.confirm_received(&event, &ticker),
            // These updates confirm no channel, so `missing` stays unchanged.
            Update::Unanswered { .. } | Update::ServerTime { .. } | Update::Rest(_) => {}
            // REST responses cause these updates, and this check sends no REST requests for data.
            Update::Seed(_) | Update::Minutes { .. } | Update::MarketStatus(..) => {}
        }
    }

    /// Expects the shares by REST, because the server has no stream of shares.
    fn expect_shares_by_rest(&mut self) {
        let shares = std::mem::take(&mut self.shares);
        let streamed = subscriptions::route(&shares, Cluster::Stocks);
        self.missing.retain(|channel| !streamed.contains(channel));
        self.wanted -= streamed.len();
        self.by_rest.extend(shares);
    }

    /// Requests the shares that the server does not stream, as the ticker does. The server must be
    /// verified before this call.
    pub(super) async fn request_shares(&mut self, connector: &Connector, source: &FeedSource) {
        if !self.by_rest.is_empty() {
            self.quotes = Some(poller::quotes(connector, source, &self.by_rest).await);
        }
    }

    /// Any event on a channel confirms the channel. A value, quote or trade also counts as the
    /// first value; an aggregate bar does not.
    fn confirm_received(&mut self, event: &MarketEvent, ticker: &Ticker) {
        let kind = event.kind;
        self.missing
            .retain(|channel| channel.kind != kind || channel.ticker != *ticker);
        let value = [ChannelKind::Value, ChannelKind::Quote, ChannelKind::Trade].contains(&kind);
        if value {
            let now = self.clock.now();
            let name = ticker.as_str();
            let name = name.strip_prefix("I:").unwrap_or(name);
            if AsOf::heard(event.stamp, Duration::ZERO, now)
                .stamp
                .is_none()
            {
                self.undated.get_or_insert_with(|| name.to_owned());
            }
            let after = now.monotonic.since(self.opened);
            self.first.get_or_insert((name.to_owned(), after));
        }
    }

    /// Returns true while the market is open and no value has arrived.
    const fn lacks_value(&self) -> bool {
        self.market_open && self.first.is_none() && self.wanted > 0
    }

    /// Stops all sessions and waits until every session has ended.
    pub(super) async fn close(&mut self) {
        for order in &self.demand {
            order.send_modify(|order| order.stop = true);
        }
        // A session may wait for space in the queue. A closed queue lets the session continue and
        // end.
        self.updates.close();
        while self.links.join_next().await.is_some() {}
    }

    /// Judges the received data. `hub` is true for a deskticker-hub, which confirms every channel
    /// that the vendor confirms. The proxy sends no confirmation to a client that connects late, so
    /// a missing confirmation is a failure only with a hub.
    pub(super) fn judge(&self, hub: bool, source: &FeedSource) -> Finding {
        const CHECK: &str = "channels";
        if let Some((cluster, reason)) = self.failed {
            let mut finding = hub::failed(CHECK, &reason.into(), source);
            finding.found.insert_str(0, &format!("{cluster}: "));
            return finding;
        }
        let no_access = "Does the Massive plan include these shares? The ticker shows NO ACCESS.";
        let shares = match &self.quotes {
            None => String::new(),
            Some(Err(Failure::Token)) => {
                let found = "the server refuses the REST request for the shares";
                return Finding::warning(CHECK, found, no_access);
            }
            Some(Err(reason)) => {
                let found = format!("the REST request for the shares failed: {reason}");
                return Finding::failed(CHECK, found, hub::READ_LOG);
            }
            Some(Ok(reply)) if !reply.refused.is_empty() => {
                let names = reply.refused.iter().map(|(ticker, _)| ticker.to_string());
                let names = names.collect::<Vec<_>>().join(", ");
                let found = format!("the vendor refuses the REST request for {names}");
                return Finding::warning(CHECK, found, no_access);
            }
            Some(Ok(_)) if self.wanted == 0 => {
                return Finding::ok(CHECK, "shares come by REST");
            }
            Some(Ok(_)) => "; shares come by REST".to_owned(),
        };
        let confirmed = self.wanted - self.missing.len();
        let mut found = format!("{confirmed} of {} confirmed{shares}", self.wanted);
        if !self.missing.is_empty() {
            let shown = self.missing.iter().take(6).map(Channel::to_string);
            let more = if self.missing.len() > 6 { ", …" } else { "" };
            let shown = shown.collect::<Vec<_>>().join(", ");
            found = format!("{found}, not confirmed: {shown}{more}");
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
        if hub && !self.missing.is_empty() && !self.cut_off {
            let remedy = "Correct the watchlist: does Massive use this spelling, and does the \
                          Massive plan include these symbols?";
            return Finding::failed(CHECK, found, remedy);
        }
        if let Some(name) = &self.undated {
            let found = format!("{found}; a value of {name} has no usable timestamp (field t)");
            let remedy = "The ticker shows no such value as live, because its age is unknown. Does \
                          the server pass the timestamps of the vendor on?";
            return Finding::warning(CHECK, found, remedy);
        }
        if self.lacks_value() || self.cut_off {
            let remedy = "If no value arrives while the market is open, the server itself receives \
                          no data: read the log of the server.";
            return Finding::warning(CHECK, found, remedy);
        }
        // The proxy sends no confirmation to a client that connects late, so missing confirmations
        // are acceptable here.
        Finding::ok(CHECK, found)
    }
}
