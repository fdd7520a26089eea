//! The only connection of a cluster to the vendor. Owns what is asked of it and for how long it
//! may be silent; the session below it connects, and passes events on as they were written.

use std::sync::Arc;
use std::time::Duration;

use hyper::body::Bytes;
use tokio::sync::{mpsc, watch};
use tokio_tungstenite::tungstenite::Utf8Bytes;

use super::rest::aggregates::BarCache;
use super::{Arrival, Interest, RelayedEvent, UpstreamEvent};
use crate::feed::connection::ConnectionPhase;
use crate::feed::session::{FeedSource, Session, SubscriptionDemand};
use crate::feed::shelf::{Growing, WILDCARD};
use crate::feed::sink::{ConsumerGone, EventSink, ServerState};
use crate::feed::{ConnectionStatus, Failure};
use crate::market::{self, AssetClass, Calendar, Channel, ChannelKind, Cluster, Symbol, Ticker};
use crate::massive::websocket;
use crate::massive::websocket::RelayedEventRef;
use crate::net::connector::Connector;
use crate::time::{Clock, Moment, Now};

/// Contracts whose quotes one connection may carry, by the vendor's documentation.
pub const CONTRACTS: usize = 1000;

/// The hour is looked at this often: markets open and close to the minute, and NTP may set the
/// clock at any time.
const CHECK_INTERVAL: Duration = Duration::from_secs(15);

/// How long the vendor is left alone after it has refused the key where it never let it in: a plan
/// that lacks a cluster does not get it within a minute, and who hammers may be locked out.
pub const DENIED_FOR: Duration = Duration::from_secs(600);

/// What an upstream is made of.
#[derive(Debug)]
pub struct Upstream {
    /// Which cluster.
    pub cluster: Cluster,
    /// The vendor, with the key.
    pub source: Arc<FeedSource>,
    /// How to get there.
    pub connector: Connector,
    /// What the clients want; the connection is open while that is something.
    pub interest: watch::Receiver<Interest>,
    /// To the fan-out.
    pub reports: mpsc::Sender<UpstreamEvent>,
    /// Where the bars of a minute are kept.
    pub minutes: BarCache,
    /// Where it is written whether the vendor says that its prices are simulated.
    pub greeted: watch::Sender<Option<bool>>,
    /// Time.
    pub clock: Clock,
}

impl Upstream {
    /// Keeps the connection until told to stop; then says farewell.
    pub async fn run(self, stop: watch::Receiver<bool>) {
        let (demand, wanted) = watch::channel(SubscriptionDemand::default());
        let (marked, simulated) = watch::channel(false);
        let barred = watch::Sender::new(false);
        let session = Session {
            cluster: self.cluster,
            source: self.source,
            connector: self.connector,
            demand: wanted,
            updates: UpstreamSink {
                reports: self.reports.clone(),
                last_report: None,
                simulated: marked,
                barred: barred.clone(),
                proven: false,
                minutes: self.minutes,
                greeted: self.greeted,
            },
            clock: self.clock.clone(),
        };
        let conductor = UpstreamPolicy {
            cluster: self.cluster,
            interest: self.interest,
            simulated,
            demand,
            held: Interest::new(),
            refused: false,
            refusals: barred.subscribe(),
            barred,
            until: None,
            reports: self.reports,
            clock: self.clock,
        };
        tokio::join!(session.run(), conductor.run(stop));
    }
}

/// Turns what the clients want, and the hour, into orders for the session.
struct UpstreamPolicy {
    cluster: Cluster,
    interest: watch::Receiver<Interest>,
    simulated: watch::Receiver<bool>,
    demand: watch::Sender<SubscriptionDemand<Interest>>,
    /// What was ordered last.
    held: Interest,
    /// Some of the interest cannot be had, and the log has it.
    refused: bool,
    /// The vendor lets us in for nothing here.
    barred: watch::Sender<bool>,
    refusals: watch::Receiver<bool>,
    /// Until when it is left alone.
    until: Option<Moment>,
    reports: mpsc::Sender<UpstreamEvent>,
    clock: Clock,
}

impl UpstreamPolicy {
    async fn run(mut self, mut stop: watch::Receiver<bool>) {
        loop {
            self.order();
            let look = self.clock.now().monotonic + CHECK_INTERVAL;
            let next = self.until.map_or(look, |until| until.min(look));
            tokio::select! {
                // An error of any of these means that nobody is left to serve.
                _ = stop.wait_for(|stop| *stop) => break,
                changed = self.interest.changed() => if changed.is_err() { break },
                changed = self.simulated.changed() => if changed.is_err() { break },
                changed = self.refusals.changed() => if changed.is_err() { break },
                () = self.demand.closed() => break,
                () = self.clock.sleep_until(next) => {}
            }
            if !self.hold_off().await {
                break;
            }
        }
        self.demand.send_modify(|demand| demand.stop = true);
    }

    /// Leaves the vendor alone while it must be; false if nobody is left to be told of the end.
    async fn hold_off(&mut self) -> bool {
        let now = self.clock.now().monotonic;
        let barred = *self.refusals.borrow_and_update();
        match self.until {
            None if barred => {
                let minutes = DENIED_FOR.as_secs() / 60;
                log::warn!(
                    "{}: not asked for again within {minutes} minutes; displays are told to do \
                     without (take it out of massive.clusters if the plan lacks it)",
                    self.cluster
                );
                self.until = Some(now + DENIED_FOR);
                true
            }
            Some(until) if now >= until => {
                self.until = None;
                self.barred.send_replace(false);
                self.reports
                    .send(UpstreamEvent::Down(Failure::Done))
                    .await
                    .is_ok()
            }
            _ => true,
        }
    }

    fn order(&mut self) {
        let interest = self.interest.borrow_and_update();
        let (wanted, refused) = if self.until.is_some() {
            (Interest::new(), false)
        } else {
            let wanted = within_plan(self.cluster, &interest, &self.held);
            let refused = wanted.len() < interest.len();
            (wanted, refused)
        };
        drop(interest);
        if refused && !self.refused {
            log::warn!(
                "{}: more is wanted than one connection may carry ({CONTRACTS} contracts' quotes, \
                 and not \"Q.*\" of options); the rest is not asked for",
                self.cluster
            );
        }
        self.refused = refused;
        let calendar = if *self.simulated.borrow_and_update() {
            Calendar::always_open()
        } else {
            Calendar::us()
        };
        let max_silence = max_silence(&wanted, &calendar, self.clock.now());
        self.demand.send_if_modified(|demand| {
            let changed = demand.channels != wanted || demand.max_silence != max_silence;
            if changed {
                demand.channels.clone_from(&wanted);
                demand.max_silence = max_silence;
            }
            changed
        });
        self.held = wanted;
    }
}

/// What one connection may carry of what is wanted; what is already held stays. The vendor has no
/// `Q.*` for options and limits the contracts.
fn within_plan(cluster: Cluster, wanted: &Interest, held: &Interest) -> Interest {
    let limited =
        |channel: &Channel| cluster == Cluster::Options && channel.kind == ChannelKind::Quote;
    let mut carried: Interest = wanted
        .iter()
        .filter(|channel| !limited(channel))
        .cloned()
        .collect();
    let contracts = wanted
        .iter()
        .filter(|channel| limited(channel) && channel.ticker != WILDCARD);
    let (old, new): (Vec<&Channel>, Vec<&Channel>) =
        contracts.partition(|channel| held.contains(*channel));
    carried.extend(old.into_iter().chain(new).take(CONTRACTS).cloned());
    carried
}

/// How long all of these may be silent now; `None` while that is normal. Index values and bars
/// come by a timetable; a contract or a share may go unquoted for as long as it likes.
fn max_silence(wanted: &Interest, calendar: &Calendar, now: Now) -> Option<Duration> {
    let utc = now.utc?;
    let due = wanted.iter().filter_map(|channel| {
        let source = match channel.kind {
            ChannelKind::Value | ChannelKind::Second => market::QuoteSource::Tick,
            ChannelKind::Minute => market::QuoteSource::Minute,
            ChannelKind::Quote | ChannelKind::Trade => return None,
        };
        // Whoever takes all indices takes SPX.
        let ticker = if channel.kind == ChannelKind::Value && channel.ticker == WILDCARD {
            "I:SPX"
        } else {
            channel.ticker.as_str()
        };
        let symbol = Symbol::from_ticker(ticker)?;
        (symbol.class() == AssetClass::Index && calendar.phase(&symbol, utc).is_open())
            .then(|| 2 * market::limit(&symbol, source))
    });
    due.min()
}

/// Tells the fan-out what the session hears.
struct UpstreamSink {
    reports: mpsc::Sender<UpstreamEvent>,
    /// The last report but events; nothing is said twice.
    last_report: Option<UpstreamEvent>,
    simulated: watch::Sender<bool>,
    /// The vendor lets us in for nothing here, and is left alone.
    barred: watch::Sender<bool>,
    /// It has let us in before: the key is good, and the plan has this cluster.
    proven: bool,
    minutes: BarCache,
    greeted: watch::Sender<Option<bool>>,
}

impl UpstreamSink {
    async fn send(&mut self, report: UpstreamEvent) -> Result<(), ConsumerGone> {
        self.reports.send(report).await.map_err(|_| ConsumerGone)
    }
}

impl EventSink for UpstreamSink {
    type Shelf = Growing;

    async fn status(&mut self, _: Cluster, status: ConnectionStatus) -> Result<(), ConsumerGone> {
        let is_simulated = status.simulated == Some(true);
        self.simulated.send_if_modified(|simulated| {
            std::mem::replace(simulated, is_simulated) != is_simulated
        });
        if status.phase == ConnectionPhase::Live {
            self.proven = true;
            // Before anybody is told: nothing of another vendor is repeated from here on.
            let before = self.greeted.send_replace(Some(is_simulated));
            if before != Some(is_simulated) {
                self.minutes.seen(is_simulated, Vec::new()).await;
            }
        }
        let report = match (status.phase, status.reason) {
            // Nothing is asked for while it lasts, and that is no news.
            _ if *self.barred.borrow() => return Ok(()),
            // Not so an upgrade that is refused: that was something before the vendor.
            (ConnectionPhase::Refused, Some(Failure::Key)) if !self.proven => {
                self.last_report = None;
                self.send(UpstreamEvent::Barred).await?;
                self.barred.send_replace(true);
                return Ok(());
            }
            (ConnectionPhase::Live, _) => UpstreamEvent::Up {
                simulated: is_simulated,
            },
            (ConnectionPhase::Idle, _) => UpstreamEvent::Down(Failure::Done),
            // To the vendor we have a key, and no token of a client is meant.
            (_, Some(Failure::Token)) => UpstreamEvent::Down(Failure::Key),
            (_, Some(reason)) => UpstreamEvent::Down(reason),
            // On its way for the first time: neither up nor a failure.
            (_, None) => return Ok(()),
        };
        if self.last_report.as_ref() == Some(&report) {
            return Ok(());
        }
        self.last_report = Some(report.clone());
        self.send(report).await
    }

    async fn frame(
        &mut self,
        frame: &Utf8Bytes,
        server: &mut ServerState<Growing>,
        now: Moment,
    ) -> Result<(), ConsumerGone> {
        let (mut events, mut bars) = (Vec::new(), Vec::new());
        let bytes = Bytes::from(frame.clone());
        for passing in websocket::passing(frame) {
            match passing {
                Ok(RelayedEventRef::Status(status_kind, message)) => {
                    server.handle_status(status_kind, &message, now)
                }
                Ok(RelayedEventRef::Data {
                    kind,
                    ticker,
                    age,
                    json,
                }) => {
                    // What was just given back may still come; it is nobody's.
                    if server.data(kind, &ticker, now)
                        && let Ok(ticker) = Ticker::try_from(ticker.as_ref())
                    {
                        let relayed = RelayedEvent {
                            channel: Channel { kind, ticker },
                            json: bytes.slice_ref(json.as_bytes()),
                            arrival: Arrival {
                                at: now,
                                age: age.unwrap_or_default(),
                            },
                        };
                        if kind == ChannelKind::Minute {
                            bars.push(relayed.clone());
                        }
                        events.push(relayed);
                    }
                }
                Ok(RelayedEventRef::Unused) => {}
                Err(parse_error) => server.count_parse_error(parse_error),
            }
        }
        if events.is_empty() {
            return Ok(());
        }
        if !bars.is_empty() {
            let simulated = *self.simulated.borrow();
            self.minutes.seen(simulated, bars).await;
        }
        self.send(UpstreamEvent::Events(events)).await
    }

    async fn unanswered(&mut self, channel: Channel, _: bool) -> Result<(), ConsumerGone> {
        self.send(UpstreamEvent::Unanswered(channel)).await
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::time::Utc;

    /// 2026-11-23, a Monday: 14:30 UTC is 9:30 in New York.
    const OPEN: Utc = Utc(1_795_444_200_000);

    fn interest(names: &[&str]) -> Interest {
        names
            .iter()
            .map(|name| Channel::parse(name).unwrap())
            .collect()
    }

    fn patience_at(names: &[&str], utc: Utc) -> Option<u64> {
        let now = Now::new(Moment::ZERO, utc);
        max_silence(&interest(names), &Calendar::us(), now).map(|max_silence| max_silence.as_secs())
    }

    #[test]
    fn silence_is_suspicious_only_where_something_is_due() {
        let later = Utc(OPEN.0 + 60_000);
        assert_eq!(patience_at(&["V.I:SPX", "V.I:VIX"], later), Some(20));
        assert_eq!(patience_at(&["V.I:VIX"], later), Some(90));
        assert_eq!(patience_at(&["AM.I:SPX"], later), Some(150));
        assert_eq!(patience_at(&["V.*"], later), Some(20));
        assert_eq!(patience_at(&["T.SPY", "AM.SPY"], later), None);
        assert_eq!(patience_at(&["Q.O:SPY251219C00650000"], later), None);
        let night = Utc(OPEN.0 - 12 * 3_600_000);
        assert_eq!(patience_at(&["V.I:SPX"], night), None);
        let unknown = Now {
            monotonic: Moment::ZERO,
            utc: None,
        };
        let wanted = interest(&["V.I:SPX"]);
        assert_eq!(max_silence(&wanted, &Calendar::us(), unknown), None);
    }

    #[test]
    fn a_connection_carries_a_thousand_contracts_and_keeps_those_it_has() {
        let quotes = |numbers: std::ops::Range<usize>| -> Interest {
            numbers
                .map(|n| Channel::parse(&format!("Q.O:SPY251219C{:08}", n + 1)).unwrap())
                .collect()
        };
        let held = quotes(500..1500);
        let wanted = quotes(0..1500);
        let carried = |wanted: &Interest| within_plan(Cluster::Options, wanted, &held);
        assert_eq!(carried(&wanted), held);
        let others = interest(&["T.O:SPY251219C00650000", "T.*", "Q.*"]);
        let wanted = wanted.union(&others).cloned().collect();
        assert_eq!(carried(&wanted).len(), 1002, "there is no Q.* on options");
        let shares = interest(&["Q.*", "Q.SPY"]);
        assert_eq!(within_plan(Cluster::Stocks, &shares, &held), shares);
    }
}
