//! The only connection of a cluster to the vendor. Owns what is asked of it and for how long it
//! may be silent; the session below it connects, and passes events on as they were written.

use std::sync::Arc;
use std::time::Duration;

use hyper::body::Bytes;
use tokio::sync::{mpsc, watch};
use tokio_tungstenite::tungstenite::Utf8Bytes;

use super::minutes::Minutes;
use super::{Came, Interest, Relayed, Report};
use crate::clock::{Clock, Moment, Now};
use crate::feed::audience::{Audience, Line, Over};
use crate::feed::link::Phase;
use crate::feed::net::Connector;
use crate::feed::session::{Orders, Session, Source};
use crate::feed::shelf::{Growing, WILDCARD};
use crate::feed::wire::{self, Passing};
use crate::feed::{Status, Why};
use crate::market::{self, Calendar, Channel, Class, Cluster, Kind, Symbol, Ticker};

/// Contracts whose quotes one connection may carry, by the vendor's documentation.
pub const CONTRACTS: usize = 1000;

/// The hour is looked at this often: markets open and close to the minute, and NTP may set the
/// clock at any time.
const LOOK: Duration = Duration::from_secs(15);

/// How long the vendor is left alone after it has refused the key where it never let it in: a plan
/// that lacks a cluster does not get it within a minute, and who hammers may be locked out.
pub const BARRED: Duration = Duration::from_secs(600);

/// What an upstream is made of.
#[derive(Debug)]
pub struct Upstream {
    /// Which cluster.
    pub cluster: Cluster,
    /// The vendor, with the key.
    pub source: Arc<Source>,
    /// How to get there.
    pub connector: Connector,
    /// What the clients want; the connection is open while that is something.
    pub interest: watch::Receiver<Interest>,
    /// To the fan-out.
    pub reports: mpsc::Sender<Report>,
    /// Where the bars of a minute are kept.
    pub minutes: Minutes,
    /// Where it is written whether the vendor says that its prices are simulated.
    pub greeted: watch::Sender<Option<bool>>,
    /// Time.
    pub clock: Clock,
}

impl Upstream {
    /// Keeps the connection until told to stop; then says farewell.
    pub async fn run(self, stop: watch::Receiver<bool>) {
        let (orders, wanted) = watch::channel(Orders::default());
        let (marked, simulated) = watch::channel(false);
        let barred = watch::Sender::new(false);
        let session = Session {
            cluster: self.cluster,
            source: self.source,
            connector: self.connector,
            orders: wanted,
            updates: Relay {
                reports: self.reports.clone(),
                told: None,
                simulated: marked,
                barred: barred.clone(),
                proven: false,
                minutes: self.minutes,
                greeted: self.greeted,
            },
            clock: self.clock.clone(),
        };
        let conductor = Conductor {
            cluster: self.cluster,
            interest: self.interest,
            simulated,
            orders,
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
struct Conductor {
    cluster: Cluster,
    interest: watch::Receiver<Interest>,
    simulated: watch::Receiver<bool>,
    orders: watch::Sender<Orders<Interest>>,
    /// What was ordered last.
    held: Interest,
    /// Some of the interest cannot be had, and the log has it.
    refused: bool,
    /// The vendor lets us in for nothing here.
    barred: watch::Sender<bool>,
    refusals: watch::Receiver<bool>,
    /// Until when it is left alone.
    until: Option<Moment>,
    reports: mpsc::Sender<Report>,
    clock: Clock,
}

impl Conductor {
    async fn run(mut self, mut stop: watch::Receiver<bool>) {
        loop {
            self.order();
            let look = self.clock.now().monotonic + LOOK;
            let next = self.until.map_or(look, |until| until.min(look));
            tokio::select! {
                // An error of any of these means that nobody is left to serve.
                _ = stop.wait_for(|stop| *stop) => break,
                changed = self.interest.changed() => if changed.is_err() { break },
                changed = self.simulated.changed() => if changed.is_err() { break },
                changed = self.refusals.changed() => if changed.is_err() { break },
                () = self.orders.closed() => break,
                () = self.clock.sleep_until(next) => {}
            }
            if !self.keep_out().await {
                break;
            }
        }
        self.orders.send_modify(|orders| orders.stop = true);
    }

    /// Leaves the vendor alone while it must be; false if nobody is left to be told of the end.
    async fn keep_out(&mut self) -> bool {
        let now = self.clock.now().monotonic;
        let barred = *self.refusals.borrow_and_update();
        match self.until {
            None if barred => {
                let minutes = BARRED.as_secs() / 60;
                log::warn!(
                    "{}: not asked for again within {minutes} minutes; displays are told to do \
                     without (take it out of massive.clusters if the plan lacks it)",
                    self.cluster
                );
                self.until = Some(now + BARRED);
                true
            }
            Some(until) if now >= until => {
                self.until = None;
                self.barred.send_replace(false);
                self.reports.send(Report::Down(Why::Done)).await.is_ok()
            }
            _ => true,
        }
    }

    fn order(&mut self) {
        let interest = self.interest.borrow_and_update();
        let (wanted, refused) = if self.until.is_some() {
            (Interest::new(), false)
        } else {
            let wanted = affordable(self.cluster, &interest, &self.held);
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
        let patience = patience(&wanted, &calendar, self.clock.now());
        self.orders.send_if_modified(|orders| {
            let changed = orders.channels != wanted || orders.patience != patience;
            if changed {
                orders.channels.clone_from(&wanted);
                orders.patience = patience;
            }
            changed
        });
        self.held = wanted;
    }
}

/// What one connection may carry of what is wanted; what is already held stays. The vendor has no
/// `Q.*` for options and limits the contracts.
fn affordable(cluster: Cluster, wanted: &Interest, held: &Interest) -> Interest {
    let limited = |channel: &Channel| cluster == Cluster::Options && channel.kind == Kind::Quote;
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
fn patience(wanted: &Interest, calendar: &Calendar, now: Now) -> Option<Duration> {
    let utc = now.utc?;
    let due = wanted.iter().filter_map(|channel| {
        let source = match channel.kind {
            Kind::Value | Kind::Second => market::Source::Tick,
            Kind::Minute => market::Source::Minute,
            Kind::Quote | Kind::Trade => return None,
        };
        // Whoever takes all indices takes SPX.
        let ticker = if channel.kind == Kind::Value && channel.ticker == WILDCARD {
            "I:SPX"
        } else {
            channel.ticker.as_str()
        };
        let symbol = Symbol::of_ticker(ticker)?;
        (symbol.class() == Class::Index && calendar.phase(&symbol, utc).is_open())
            .then(|| 2 * market::limit(&symbol, source))
    });
    due.min()
}

/// Tells the fan-out what the session hears.
struct Relay {
    reports: mpsc::Sender<Report>,
    /// The last report but events; nothing is said twice.
    told: Option<Report>,
    simulated: watch::Sender<bool>,
    /// The vendor lets us in for nothing here, and is left alone.
    barred: watch::Sender<bool>,
    /// It has let us in before: the key is good, and the plan has this cluster.
    proven: bool,
    minutes: Minutes,
    greeted: watch::Sender<Option<bool>>,
}

impl Relay {
    async fn tell(&mut self, report: Report) -> Result<(), Over> {
        self.reports.send(report).await.map_err(|_| Over)
    }
}

impl Audience for Relay {
    type Shelf = Growing;

    async fn status(&mut self, _: Cluster, status: Status) -> Result<(), Over> {
        let is_simulated = status.simulated == Some(true);
        self.simulated.send_if_modified(|simulated| {
            std::mem::replace(simulated, is_simulated) != is_simulated
        });
        if status.phase == Phase::Live {
            self.proven = true;
            // Before anybody is told: nothing of another vendor is repeated from here on.
            let before = self.greeted.send_replace(Some(is_simulated));
            if before != Some(is_simulated) {
                self.minutes.seen(is_simulated, Vec::new()).await;
            }
        }
        let report = match (status.phase, status.why) {
            // Nothing is asked for while it lasts, and that is no news.
            _ if *self.barred.borrow() => return Ok(()),
            // Not so an upgrade that is refused: that was something before the vendor.
            (Phase::Refused, Some(Why::Key)) if !self.proven => {
                self.told = None;
                self.tell(Report::Barred).await?;
                self.barred.send_replace(true);
                return Ok(());
            }
            (Phase::Live, _) => Report::Up {
                simulated: is_simulated,
            },
            (Phase::Idle, _) => Report::Down(Why::Done),
            // To the vendor we have a key, and no token of a client is meant.
            (_, Some(Why::Token)) => Report::Down(Why::Key),
            (_, Some(why)) => Report::Down(why),
            // On its way for the first time: neither up nor a failure.
            (_, None) => return Ok(()),
        };
        if self.told.as_ref() == Some(&report) {
            return Ok(());
        }
        self.told = Some(report.clone());
        self.tell(report).await
    }

    async fn frame(
        &mut self,
        frame: &Utf8Bytes,
        line: &mut Line<Growing>,
        now: Moment,
    ) -> Result<(), Over> {
        let (mut events, mut bars) = (Vec::new(), Vec::new());
        let bytes = Bytes::from(frame.clone());
        for passing in wire::passing(frame) {
            match passing {
                Ok(Passing::Status(verdict, message)) => line.verdict(verdict, &message, now),
                Ok(Passing::Data {
                    kind,
                    ticker,
                    age,
                    json,
                }) => {
                    // What was just given back may still come; it is nobody's.
                    if line.data(kind, &ticker, now)
                        && let Ok(ticker) = Ticker::try_from(ticker.as_ref())
                    {
                        let relayed = Relayed {
                            channel: Channel { kind, ticker },
                            json: bytes.slice_ref(json.as_bytes()),
                            came: Came {
                                at: now,
                                age: age.unwrap_or_default(),
                            },
                        };
                        if kind == Kind::Minute {
                            bars.push(relayed.clone());
                        }
                        events.push(relayed);
                    }
                }
                Ok(Passing::Unused) => {}
                Err(junk) => line.junk(junk),
            }
        }
        if events.is_empty() {
            return Ok(());
        }
        if !bars.is_empty() {
            let simulated = *self.simulated.borrow();
            self.minutes.seen(simulated, bars).await;
        }
        self.tell(Report::Events(events)).await
    }

    async fn unanswered(&mut self, channel: Channel, _: bool) -> Result<(), Over> {
        self.tell(Report::Unanswered(channel)).await
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::Utc;

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
        patience(&interest(names), &Calendar::us(), now).map(|patience| patience.as_secs())
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
        assert_eq!(patience(&wanted, &Calendar::us(), unknown), None);
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
        let carried = |wanted: &Interest| affordable(Cluster::Options, wanted, &held);
        assert_eq!(carried(&wanted), held);
        let others = interest(&["T.O:SPY251219C00650000", "T.*", "Q.*"]);
        let wanted = wanted.union(&others).cloned().collect();
        assert_eq!(carried(&wanted).len(), 1002, "there is no Q.* on options");
        let shares = interest(&["Q.*", "Q.SPY"]);
        assert_eq!(affordable(Cluster::Stocks, &shares, &held), shares);
    }
}
