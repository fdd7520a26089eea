//! The state of each upstream, for `/healthz` and `/metrics`. The upstream notes each report here
//! when it sends the report; this module never changes a report.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use serde::Serialize;
use serde_json::{Value, json};
use tokio::sync::{Notify, mpsc, watch};

use super::metrics::{family, sample};
use super::server::limits::Limits;
use super::upstream::silence;
use super::{Interest, UpstreamEvent};
use crate::feed::hub_choice::HubState;
use crate::feed::sink::ConsumerGone;
use crate::market::{Calendar, Cluster, Symbol};
use crate::net::failure::Failure;
use crate::time::{Clock, Moment, Now};

/// The state of an upstream, from its reports.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct UpstreamState {
    /// `Ok` if the connection is up, or the reason of the failure; `None` before the first report.
    up: Option<Result<(), Failure>>,
    /// True if the vendor refuses this cluster (see [`UpstreamEvent::Barred`]).
    barred: bool,
    /// The time of the next attempt after a refusal.
    retry_at: Moment,
    /// True if the upstream last reported simulated prices.
    simulated: bool,
    /// The time of the last change of `up` or `barred`.
    since: Moment,
    /// The number of times that the connection has come up.
    connections: u64,
}

impl UpstreamState {
    /// Applies a report. Returns true if `barred` has changed.
    fn apply(&mut self, report: &UpstreamEvent, now: Moment) -> bool {
        let up = match report {
            UpstreamEvent::Up { simulated } => {
                self.simulated = *simulated;
                Ok(())
            }
            UpstreamEvent::Down(reason)
            | UpstreamEvent::Stalled(reason)
            | UpstreamEvent::Barred(reason) => Err(*reason),
            UpstreamEvent::CutOff(_) => Err(Failure::HubUpstream),
            UpstreamEvent::Unanswered(..)
            | UpstreamEvent::Confirmed(_)
            | UpstreamEvent::Unsubscribed(_)
            | UpstreamEvent::Events(_) => return false,
        };
        let barred = matches!(report, UpstreamEvent::Barred(_));
        let is_barred_new = std::mem::replace(&mut self.barred, barred) != barred;
        let is_up_new = self.up != Some(up);
        if is_up_new {
            self.up = Some(up);
            self.connections += u64::from(up.is_ok());
        }
        if is_up_new || is_barred_new {
            self.since = now;
        }
        is_barred_new
    }
}

/// The time of the last event of an upstream. This time is separate from the other state, because
/// each event changes it.
#[derive(Clone, Debug, Default)]
struct LastEvent(Arc<AtomicU64>);

impl LastEvent {
    fn set(&self, now: Moment) {
        // Zero means that no event has arrived.
        self.0.store(now.as_millis().max(1), Ordering::Relaxed);
    }

    fn get(&self) -> Option<Moment> {
        let millis = self.0.load(Ordering::Relaxed);
        (millis > 0).then(|| Moment::from_millis(millis))
    }
}

/// The sender of the reports of an upstream. Notes the state of the upstream with each report.
#[derive(Clone, Debug)]
pub struct ReportSender {
    queue: mpsc::Sender<UpstreamEvent>,
    state: watch::Sender<UpstreamState>,
    last_event: LastEvent,
    news: Arc<Notify>,
    clock: Clock,
}

impl ReportSender {
    /// Creates a sender to the event loop that reads `queue`. `simulated` is the value before the
    /// first report.
    pub fn new(queue: mpsc::Sender<UpstreamEvent>, simulated: bool, clock: Clock) -> Self {
        let state = UpstreamState {
            up: None,
            barred: false,
            retry_at: Moment::ZERO,
            simulated,
            since: clock.now().monotonic,
            connections: 0,
        };
        Self {
            queue,
            state: watch::Sender::new(state),
            last_event: LastEvent::default(),
            news: Arc::default(),
            clock,
        }
    }

    /// Returns a sender that also notifies about each report except events.
    pub(super) fn notifying(self, news: Arc<Notify>) -> Self {
        Self { news, ..self }
    }

    /// Sends a report. Waits while the queue is full.
    ///
    /// # Errors
    /// The event loop has ended.
    pub async fn send(&self, report: UpstreamEvent) -> Result<(), ConsumerGone> {
        let now = self.clock.now().monotonic;
        match report {
            UpstreamEvent::Events(_) => self.last_event.set(now),
            _ => {
                let apply = |state: &mut UpstreamState| state.apply(&report, now);
                self.state.send_if_modified(apply);
                self.news.notify_one();
            }
        }
        self.queue.send(report).await.map_err(|_| ConsumerGone)
    }

    /// Notes the time of the next attempt after a refusal.
    pub(super) fn retry_at(&self, time: Moment) {
        self.state.send_modify(|state| state.retry_at = time);
    }

    /// Returns true if the connection is in use, by the last report.
    pub(super) fn is_up(&self) -> bool {
        self.state.borrow().up == Some(Ok(()))
    }

    /// Returns true if the vendor refuses this cluster.
    pub(super) fn barred(&self) -> bool {
        self.state.borrow().barred
    }

    /// Returns a receiver that changes when the vendor begins or stops to refuse this cluster.
    pub(super) fn barred_changes(&self) -> watch::Receiver<UpstreamState> {
        self.state.subscribe()
    }

    /// Returns the health of the upstream, whose clients have this interest.
    pub fn health(&self, cluster: Cluster, interest: watch::Receiver<Interest>) -> UpstreamHealth {
        UpstreamHealth {
            cluster,
            state: self.state.subscribe(),
            last_event: self.last_event.clone(),
            interest,
        }
    }
}

/// The health of one upstream, as other tasks can observe it.
#[derive(Debug)]
pub struct UpstreamHealth {
    /// The cluster of the upstream.
    pub cluster: Cluster,
    state: watch::Receiver<UpstreamState>,
    last_event: LastEvent,
    interest: watch::Receiver<Interest>,
}

/// The health of an upstream, from the clients' interest, the connection and the market hours.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
enum HealthState {
    /// No client wants a channel of this cluster.
    Idle,
    /// The connection is live.
    Live,
    /// The connection is not live and not necessary, because the market is closed.
    Closed,
    /// The connection is not live, although it is necessary.
    Down,
    /// The vendor refuses the cluster: the key is wrong, or the plan does not include the cluster.
    #[serde(rename = "refused")]
    Barred,
}

impl HealthState {
    /// All states, with their names in the metrics.
    const ALL: [(Self, &str); 5] = [
        (Self::Idle, "idle"),
        (Self::Live, "live"),
        (Self::Closed, "closed"),
        (Self::Down, "down"),
        (Self::Barred, "refused"),
    ];
}

impl UpstreamHealth {
    /// Returns the time of the next attempt if the vendor refuses this cluster; `None` without a
    /// refusal.
    pub(super) fn barred(&self) -> Option<Moment> {
        let state = self.state.borrow();
        state.barred.then_some(state.retry_at)
    }

    /// Returns the state of the hub above as this cluster shows it; `None` if the cluster does not
    /// need the hub, or if the hub does not serve it.
    pub(super) fn hub_state(&self) -> Option<HubState> {
        let state = self.state.borrow();
        if state.barred {
            return (state.up == Some(Err(Failure::Loop))).then_some(HubState::Failed);
        }
        if self.interest.borrow().is_empty() {
            return None;
        }
        Some(match state.up {
            Some(Ok(())) => HubState::Live,
            None | Some(Err(Failure::Done | Failure::Moved)) => HubState::Joining,
            Some(Err(_)) => HubState::Failed,
        })
    }

    /// Returns an instrument that clients want.
    pub(super) fn symbol(&self) -> Option<Symbol> {
        let interest = self.interest.borrow();
        let mut tickers = interest.iter().map(|channel| &channel.ticker);
        tickers.find_map(|ticker| Symbol::from_ticker(ticker))
    }

    fn condition(&self, calendar: &Calendar, now: Now) -> HealthState {
        let interest = self.interest.borrow();
        let state = self.state.borrow();
        if state.barred {
            HealthState::Barred
        } else if interest.is_empty() {
            HealthState::Idle
        } else if state.up == Some(Ok(())) {
            HealthState::Live
        } else if !state.simulated && !open(self.cluster, &interest, calendar, now) {
            HealthState::Closed
        } else {
            HealthState::Down
        }
    }
}

/// Returns true if the market of any wanted channel is open, or if the wall clock is unknown.
fn open(cluster: Cluster, interest: &Interest, calendar: &Calendar, now: Now) -> bool {
    let Some(utc) = now.utc else { return true };
    // One symbol represents each set of trading hours, so that many subscriptions cannot slow down
    // this check. A wildcard includes the VIX, whose hours are longer than those of other indices.
    let volatility = interest
        .iter()
        .any(|channel| channel.ticker == "*" || channel.ticker.starts_with("I:VIX"));
    let names: &[&str] = match cluster {
        Cluster::Indices if volatility => &["SPX", "VIX"],
        Cluster::Indices => &["SPX"],
        Cluster::Options | Cluster::Stocks => &["SPY"],
    };
    names.iter().any(|name| {
        name.parse()
            .is_ok_and(|symbol: Symbol| calendar.phase(&symbol, utc).is_open())
    })
}

/// Returns true if all upstreams are healthy, and the JSON report. `simulated` is true if the
/// vendor's REST responses report simulated prices.
pub fn report(
    all: &[UpstreamHealth],
    simulated: bool,
    calendar: &Calendar,
    now: Now,
) -> (bool, Value) {
    let mut well = true;
    let mut any_simulated = simulated;
    let mut clusters = serde_json::Map::new();
    for health in all {
        let condition = health.condition(calendar, now);
        well &= !matches!(condition, HealthState::Down | HealthState::Barred);
        let state = health.state.borrow().clone();
        any_simulated |= state.simulated;
        let age = |moment: Moment| now.monotonic.since(moment).as_secs_f64();
        let reason = match state.up {
            Some(Err(reason)) if condition != HealthState::Idle => Some(reason.to_string()),
            None if condition == HealthState::Down => Some("not connected yet".to_owned()),
            _ => None,
        };
        clusters.insert(
            health.cluster.path().to_owned(),
            json!({
                "state": condition,
                "why": reason,
                "channels": health.interest.borrow().len(),
                "simulated": state.simulated,
                "stateAgeSeconds": age(state.since),
                "lastEventAgeSeconds": health.last_event.get().map(age),
            }),
        );
    }
    let status = if well { "ok" } else { "degraded" };
    (
        well,
        json!({ "status": status, "simulated": any_simulated, "clusters": Value::Object(clusters) }),
    )
}

/// Writes the health of all upstreams and the configured limits in the Prometheus text format.
/// While the wall clock is unknown, the samples of past times are omitted.
pub fn render(
    text: &mut String,
    all: &[UpstreamHealth],
    limits: &Limits,
    calendar: &Calendar,
    now: Now,
) {
    let each = |text: &mut String, name, help, value: &dyn Fn(&UpstreamHealth) -> Option<f64>| {
        let is_counter = str::ends_with(name, "_total");
        family(
            text,
            name,
            if is_counter { "counter" } else { "gauge" },
            help,
        );
        for health in all {
            if let Some(value) = value(health) {
                sample(
                    text,
                    name,
                    &format!("cluster=\"{}\"", health.cluster),
                    value,
                );
            }
        }
    };
    let timestamp = |at: Moment| Some(now.utc_of(at)?.0 as f64 / 1000.0);
    family(
        text,
        "upstream_state",
        "gauge",
        "The state of the connection to the vendor: 1 for the current state.",
    );
    for health in all {
        let current = health.condition(calendar, now);
        for (state, name) in HealthState::ALL {
            let labels = format!("cluster=\"{}\",state=\"{name}\"", health.cluster);
            sample(text, "upstream_state", &labels, u8::from(state == current));
        }
    }
    each(
        text,
        "upstream_up",
        "Whether the connection to the vendor is live.",
        &|health| Some((health.condition(calendar, now) == HealthState::Live).into()),
    );
    each(
        text,
        "upstream_needed",
        "Whether the connection has to be live: a client has a subscription and the market is \
         open.",
        &|health| {
            let condition = health.condition(calendar, now);
            let interest = health.interest.borrow();
            let needed =
                condition != HealthState::Idle && open(health.cluster, &interest, calendar, now);
            Some(needed.into())
        },
    );
    each(
        text,
        "upstream_changed_timestamp_seconds",
        "The time at which the connection last came up or went down.",
        &|health| timestamp(health.state.borrow().since),
    );
    each(
        text,
        "upstream_connections_total",
        "Times that the connection has come up: 1 and each reconnect.",
        &|health| Some(health.state.borrow().connections as f64),
    );
    each(
        text,
        "upstream_channels",
        "Channels of the upstream that clients subscribe to.",
        &|health| Some(health.interest.borrow().len() as f64),
    );
    // This sample is omitted outside the trading hours, and for channels without a schedule.
    each(
        text,
        "upstream_silence_limit_seconds",
        "The age of the last event above which a value is stale, in the trading hours.",
        &|health| {
            let calendar = match health.state.borrow().simulated {
                true => Calendar::always_open(),
                false => *calendar,
            };
            let limit = silence::limit(&health.interest.borrow(), &calendar, now);
            limit.map(|limit| limit.as_secs_f64())
        },
    );
    // This sample is omitted before the first event, because no time exists then.
    each(
        text,
        "upstream_last_event_timestamp_seconds",
        "The time of the last event.",
        &|health| timestamp(health.last_event.get()?),
    );
    family(
        text,
        "limit",
        "gauge",
        "The configured limits; times in seconds.",
    );
    for (name, value, _) in limits.values() {
        sample(text, "limit", &format!("name=\"{name}\""), value);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::market::Channel;
    use crate::time::Utc;
    use std::time::Duration;

    /// 2026-06-01 was a Monday; 15:00 UTC is 11:00 in New York.
    const OPEN: Utc = Utc(1_780_326_000_000);

    #[test]
    fn a_wildcard_is_open_while_any_of_its_symbols_is_open() {
        let (clock, hand) = Clock::manual(Now::new(Moment::ZERO, OPEN));
        let opened = |topic: &str| {
            let interest = Interest::from([Channel::parse(topic).unwrap()]);
            open(Cluster::Indices, &interest, &Calendar::us(), clock.now())
        };
        // At 5:00 in New York the VIX is the only published index of these.
        hand.set_utc(Some(Utc(OPEN.0 - 6 * 3_600_000)));
        assert!(opened("V.*") && opened("V.I:VIX") && !opened("V.I:SPX"));
        // At 23:00 in New York no index is published.
        hand.set_utc(Some(Utc(OPEN.0 + 12 * 3_600_000)));
        assert!(!opened("V.*"));
    }

    #[tokio::test]
    async fn a_refusal_with_the_reason_of_the_failure_before_is_a_new_state() {
        let (clock, hand) = Clock::manual(Now::new(Moment::ZERO, OPEN));
        let (queue, _arriving) = mpsc::channel(4);
        let reports = ReportSender::new(queue, false, clock.clone());
        let (_interest, wanted) = watch::channel(Interest::new());
        let health = reports.health(Cluster::Indices, wanted);
        for report in [
            UpstreamEvent::Down(Failure::Key),
            UpstreamEvent::Barred(Failure::Key),
        ] {
            hand.advance(Duration::from_secs(60));
            reports.send(report).await.unwrap();
            assert_eq!(health.state.borrow().since, clock.now().monotonic);
        }
    }

    #[tokio::test]
    async fn a_wanted_cluster_must_be_live_while_its_market_is_open() {
        let (clock, hand) = Clock::manual(Now::new(Moment::from_millis(1), OPEN));
        let (interest, wanted) = watch::channel(Interest::new());
        let (queue, _arriving) = mpsc::channel(4);
        let reports = ReportSender::new(queue, false, clock.clone());
        let all = [reports.health(Cluster::Indices, wanted)];
        let health_now = || {
            let (well, report) = report(&all, false, &Calendar::us(), clock.now());
            (well, report["clusters"]["indices"].clone())
        };
        assert_eq!(
            (health_now().0, health_now().1["state"].clone()),
            (true, json!("idle"))
        );

        interest.send_modify(|interest| {
            interest.insert(crate::market::Channel::parse("V.I:SPX").unwrap());
        });
        let (well, indices) = health_now();
        assert!(!well && indices["state"] == "down" && indices["why"] == "not connected yet");

        reports
            .send(UpstreamEvent::Up { simulated: false })
            .await
            .unwrap();
        reports
            .send(UpstreamEvent::Events(Vec::new()))
            .await
            .unwrap();
        hand.advance(Duration::from_millis(1500));
        let (well, indices) = health_now();
        assert!(well && indices["state"] == "live" && indices["lastEventAgeSeconds"] == 1.5);

        reports
            .send(UpstreamEvent::Down(Failure::Key))
            .await
            .unwrap();
        assert!(!health_now().0 && health_now().1["why"] == Failure::Key.to_string());
        let mut text = String::new();
        let limits = Limits::default();
        render(&mut text, &all, &limits, &Calendar::us(), clock.now());
        assert!(text.contains("upstream_up{cluster=\"indices\"} 0\n"));
        assert!(text.contains("upstream_needed{cluster=\"indices\"} 1\n"));
        assert!(text.contains("upstream_silence_limit_seconds{cluster=\"indices\"} 10\n"));
        assert!(text.contains("upstream_state{cluster=\"indices\",state=\"down\"} 1\n"));
        assert!(text.contains("upstream_state{cluster=\"indices\",state=\"live\"} 0\n"));
        assert!(text.contains("upstream_connections_total{cluster=\"indices\"} 1\n"));
        let second = OPEN.0 / 1000;
        for line in [
            format!("last_event_timestamp_seconds{{cluster=\"indices\"}} {second}\n"),
            format!(
                "changed_timestamp_seconds{{cluster=\"indices\"}} {}.5\n",
                second + 1
            ),
        ] {
            assert!(text.contains(&line), "{line} in {text}");
        }

        // At night the market is closed, so a lost connection is not an error.
        hand.set_utc(Some(Utc(OPEN.0 + 12 * 3_600_000)));
        assert_eq!(
            (health_now().0, health_now().1["state"].clone()),
            (true, json!("closed"))
        );
        // Without a wall clock the hub must assume that the market is open.
        hand.set_utc(None);
        assert!(!health_now().0);
    }
}
