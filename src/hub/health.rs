//! The state of each upstream, for `/healthz` and `/metrics`. This module observes the events
//! between an upstream and its event loop, and never changes these events.

use serde_json::{Value, json};
use tokio::sync::{mpsc, watch};

use super::metrics::{family, sample};
use super::server::limits::Limits;
use super::{Interest, UpstreamEvent};
use crate::market::{Calendar, Cluster, Symbol};
use crate::net::failure::Failure;
use crate::time::{Clock, Moment, Now};

/// The last observed state of an upstream.
#[derive(Clone, Debug, PartialEq)]
pub struct UpstreamState {
    /// `Ok` if the connection is up, or the reason of the failure; `None` before the first report.
    pub up: Option<Result<(), Failure>>,
    /// True if the vendor refuses this cluster (see [`UpstreamEvent::Barred`]).
    pub barred: bool,
    /// True if the upstream last reported simulated prices.
    pub simulated: bool,
    /// The time of the last change of `up`.
    pub since: Moment,
    /// The receive time of the last event; `None` before the first event.
    pub heard: Option<Moment>,
}

/// The health of one upstream, as other tasks can observe it.
#[derive(Debug)]
pub struct UpstreamHealth {
    /// The cluster of the upstream.
    pub cluster: Cluster,
    upstream_state: watch::Receiver<UpstreamState>,
    interest: watch::Receiver<Interest>,
}

/// The health of an upstream, from the clients' interest, the connection and the market hours.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
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
    Barred,
}

impl UpstreamHealth {
    /// Returns the health of an upstream, and a task that forwards the events from `reports` to
    /// `onward` and observes them. The task ends when one of the two channels closes. `simulated`
    /// is the value before the first report of the upstream.
    pub fn between(
        cluster: Cluster,
        simulated: bool,
        mut reports: mpsc::Receiver<UpstreamEvent>,
        onward: mpsc::Sender<UpstreamEvent>,
        interest: watch::Receiver<Interest>,
        clock: Clock,
    ) -> (Self, impl Future<Output = ()> + Send + 'static) {
        let (beat, upstream_state) = watch::channel(UpstreamState {
            up: None,
            barred: false,
            simulated,
            since: clock.now().monotonic,
            heard: None,
        });
        let watching = async move {
            while let Some(report) = reports.recv().await {
                let now = clock.now().monotonic;
                let up = match &report {
                    UpstreamEvent::Up { .. } => Some(Ok(())),
                    UpstreamEvent::Down(reason) => Some(Err(*reason)),
                    UpstreamEvent::Barred => Some(Err(Failure::Key)),
                    UpstreamEvent::Events(_) | UpstreamEvent::Unanswered(_) => None,
                };
                beat.send_modify(|upstream_state| match up {
                    Some(up) => {
                        if upstream_state.up != Some(up) {
                            upstream_state.since = now;
                        }
                        upstream_state.up = Some(up);
                        upstream_state.barred = report == UpstreamEvent::Barred;
                        if let UpstreamEvent::Up { simulated } = report {
                            upstream_state.simulated = simulated;
                        }
                    }
                    None if matches!(report, UpstreamEvent::Events(_)) => {
                        upstream_state.heard = Some(now)
                    }
                    None => {}
                });
                if onward.send(report).await.is_err() {
                    return;
                }
            }
        };
        let health = Self {
            cluster,
            upstream_state,
            interest,
        };
        (health, watching)
    }

    /// Returns the time at which the vendor's refusal of this cluster began; `None` without a
    /// refusal.
    pub(super) fn barred(&self) -> Option<Moment> {
        let upstream_state = self.upstream_state.borrow();
        upstream_state.barred.then_some(upstream_state.since)
    }

    fn condition(&self, calendar: &Calendar, now: Now) -> HealthState {
        let interest = self.interest.borrow();
        if self.upstream_state.borrow().barred {
            HealthState::Barred
        } else if interest.is_empty() {
            HealthState::Idle
        } else if matches!(self.upstream_state.borrow().up, Some(Ok(_))) {
            HealthState::Live
        } else if !open(self.cluster, &interest, calendar, now) {
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
        let upstream_state = health.upstream_state.borrow().clone();
        any_simulated |= upstream_state.simulated;
        let age = |moment: Moment| now.monotonic.since(moment).as_secs_f64();
        let word = match condition {
            HealthState::Idle => "idle",
            HealthState::Live => "live",
            HealthState::Closed => "closed",
            HealthState::Down => "down",
            HealthState::Barred => "refused",
        };
        let reason = match upstream_state.up {
            Some(Err(reason)) if condition != HealthState::Idle => Some(reason.to_string()),
            None if condition == HealthState::Down => Some("not connected yet".to_owned()),
            _ => None,
        };
        clusters.insert(
            health.cluster.path().to_owned(),
            json!({
                "state": word,
                "why": reason,
                "channels": health.interest.borrow().len(),
                "simulated": upstream_state.simulated,
                "stateAgeSeconds": age(upstream_state.since),
                "lastEventAgeSeconds": upstream_state.heard.map(age),
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
pub fn render(
    text: &mut String,
    all: &[UpstreamHealth],
    limits: &Limits,
    calendar: &Calendar,
    now: Now,
) {
    let label = |health: &UpstreamHealth| format!("{{cluster=\"{}\"}}", health.cluster);
    let each = |text: &mut String, name, help, value: &dyn Fn(&UpstreamHealth) -> Option<f64>| {
        family(text, name, "gauge", help);
        for health in all {
            if let Some(value) = value(health) {
                sample(text, name, &label(health), value);
            }
        }
    };
    let truth = |yes: bool| if yes { 1.0 } else { 0.0 };
    each(
        text,
        "upstream_up",
        "Whether the connection to the vendor is live.",
        &|health| Some(truth(health.condition(calendar, now) == HealthState::Live)),
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
            Some(truth(needed))
        },
    );
    each(
        text,
        "upstream_channels",
        "Channels of the upstream that clients subscribe to.",
        &|health| {
            let count = u32::try_from(health.interest.borrow().len()).unwrap_or(u32::MAX);
            Some(count.into())
        },
    );
    // This sample is omitted before the first event, because an age of 0 would look fresh.
    each(
        text,
        "upstream_last_event_age_seconds",
        "Time since the last event.",
        &|health| {
            let heard = health.upstream_state.borrow().heard?;
            Some(now.monotonic.since(heard).as_secs_f64())
        },
    );
    family(
        text,
        "limit",
        "gauge",
        "The configured limits; times in seconds.",
    );
    let count = |number: usize| number.to_string();
    for (name, value) in [
        ("connections", count(limits.connections)),
        ("unauthenticated", count(limits.unauthenticated)),
        (
            "authentication",
            limits.authentication.as_secs_f64().to_string(),
        ),
        ("subscriptions", count(limits.subscriptions)),
        ("channels", count(limits.channels)),
        ("message", count(limits.message)),
        ("per_minute", limits.per_minute.to_string()),
        ("head", limits.head.as_secs_f64().to_string()),
        ("trades", count(limits.trades)),
    ] {
        sample(text, "limit", &format!("{{name=\"{name}\"}}"), value);
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
    async fn a_wanted_cluster_must_be_live_while_its_market_is_open() {
        let (clock, hand) = Clock::manual(Now::new(Moment::ZERO, OPEN));
        let (interest, wanted) = watch::channel(Interest::new());
        let (reports, passing) = mpsc::channel(1);
        let (onward, mut arriving) = mpsc::channel(1);
        let cluster = Cluster::Indices;
        let (health, watching) =
            UpstreamHealth::between(cluster, false, passing, onward, wanted, clock.clone());
        tokio::spawn(watching);
        let all = [health];
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
        // The task forwards the events unchanged, and updates the health before it forwards each
        // event.
        assert_eq!(
            arriving.recv().await,
            Some(UpstreamEvent::Up { simulated: false })
        );
        assert_eq!(
            arriving.recv().await,
            Some(UpstreamEvent::Events(Vec::new()))
        );
        hand.advance(Duration::from_millis(1500));
        let (well, indices) = health_now();
        assert!(well && indices["state"] == "live" && indices["lastEventAgeSeconds"] == 1.5);

        reports
            .send(UpstreamEvent::Down(Failure::Key))
            .await
            .unwrap();
        arriving.recv().await.unwrap();
        assert!(!health_now().0 && health_now().1["why"] == Failure::Key.to_string());
        let mut text = String::new();
        let limits = Limits::default();
        render(&mut text, &all, &limits, &Calendar::us(), clock.now());
        assert!(text.contains("upstream_up{cluster=\"indices\"} 0\n"));
        assert!(text.contains("upstream_needed{cluster=\"indices\"} 1\n"));
        assert!(text.contains("last_event_age_seconds{cluster=\"indices\"} 1.5\n"));

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
