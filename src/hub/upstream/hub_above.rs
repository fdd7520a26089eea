//! The hub above this hub: asks it for its health at intervals, chooses another hub of the list if it
//! fails, and finds a loop of hubs. The sessions of the clusters carry the prices, and never this
//! module.

use std::future::pending;
use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};
use tokio::sync::{Notify, watch};

use crate::feed::auth::AuthenticatedRest;
use crate::feed::failover::Failover;
use crate::feed::hub_choice::HubState;
use crate::hub::UpstreamServer;
use crate::hub::health::UpstreamHealth;
use crate::hub::rest::quotes::QuoteCache;
use crate::market::Symbol;
use crate::massive::printable;
use crate::net::Boxed;
use crate::net::connector::Connector;
use crate::net::failure::Failure;
use crate::net::hub_path::{HubPath, is_identity};
use crate::net::source::{FeedProvider, FeedSource};
use crate::time::{Clock, Moment};

/// The interval between two requests for the health of the hub above.
const INTERVAL: Duration = Duration::from_secs(5);
/// The interval that replaces [`INTERVAL`] when a connection to the hub above has failed. The last report
/// may then no longer be true.
const FAILED_INTERVAL: Duration = Duration::from_secs(1);
/// The instrument for the check of the first hub, if no client wants an instrument.
const USUAL: &str = "SPX";

/// The last report of the hub above, for the health of this hub.
#[derive(Clone, Debug, Default)]
pub(crate) struct AboveReport {
    /// The address of the hub.
    url: String,
    /// The time and the outcome of the last request; `None` before the first outcome.
    last: Option<(Moment, Result<Value, Failure>)>,
}

impl AboveReport {
    /// Returns the part of the health report about the hub above. It contains the report of that hub,
    /// and thus the whole path up to the vendor.
    pub(in crate::hub) fn json(&self, now: Moment) -> Value {
        let (age, report, why) = match &self.last {
            None => (None, None, None),
            Some((at, Ok(report))) => (Some(*at), Some(report), None),
            Some((at, Err(reason))) => (Some(*at), None, Some(reason.to_string())),
        };
        json!({
            "url": self.url,
            "ageSeconds": age.map(|at| now.since(at).as_secs_f64()),
            "why": why,
            "report": report,
        })
    }

    /// Returns true if the last outcome shows a hub that answers.
    fn answers(&self) -> Option<bool> {
        self.last.as_ref().map(|(_, outcome)| outcome.is_ok())
    }
}

/// Everything that the task about the hub above needs.
pub(in crate::hub) struct HubAbove {
    /// The server above, with its updates: a new token.
    pub(in crate::hub) server: watch::Receiver<UpstreamServer>,
    /// The connector of all connections to the hub above.
    pub(in crate::hub) connector: Connector,
    /// The upstream of each cluster.
    pub(in crate::hub) clusters: Vec<UpstreamHealth>,
    /// Notifies about each new state of a cluster.
    pub(in crate::hub) news: Arc<Notify>,
    /// The cache of the REST responses of the hub above.
    pub(in crate::hub) quotes: Arc<QuoteCache>,
    /// The place of this hub in the tree.
    pub(in crate::hub) hub_path: HubPath,
    /// The last report, for the health of this hub.
    pub(in crate::hub) report: watch::Sender<AboveReport>,
    /// The monotonic clock and the wall clock.
    pub(in crate::hub) clock: Clock,
}

impl HubAbove {
    /// Runs until `stop` becomes true.
    pub(in crate::hub) async fn run(mut self, mut stop: watch::Receiver<bool>) {
        loop {
            let source = Arc::new(self.server.borrow_and_update().source.clone());
            tokio::select! {
                () = crate::hub::stopped(&mut stop) => return,
                () = self.follow(source) => {}
            }
        }
    }

    /// Follows the hubs of this source until the source changes.
    async fn follow(&mut self, source: Arc<FeedSource>) {
        let (connector, clock) = (self.connector.clone(), self.clock.clone());
        let mut failover = Failover::new("this hub", source.clone(), connector, clock);
        let mut rest = self.client(&source);
        let mut asking = None;
        let (mut asked, mut due) = (Moment::ZERO, Moment::ZERO);
        self.begin(&source);
        loop {
            let (now, state) = (self.clock.now().monotonic, self.state());
            if failover.follow(state, self.symbol().as_ref()) {
                self.begin(&source);
                (asking, due) = (None, Moment::ZERO);
            }
            if asking.is_none() && now >= due {
                (asked, due) = (now, now + INTERVAL);
                asking = Some(ask(rest.clone(), source.provider));
            }
            let wake = due.min(failover.deadline(self.state()));
            tokio::select! {
                // Without a sender there are no updates.
                Ok(()) = self.server.changed() => if self.server.borrow().source != *source {
                    return;
                },
                (used, outcome) = answered(&mut asking) => {
                    asking = None;
                    // The client has learned a short-lived token.
                    rest = used;
                    self.note(outcome);
                }
                returns = failover.checked() => if returns {
                    self.begin(&source);
                    (asking, due) = (None, Moment::ZERO);
                },
                () = self.news.notified() => if self.state() == HubState::Failed {
                    due = due.min(asked + FAILED_INTERVAL);
                },
                () = self.clock.sleep_until(wake) => {}
            }
        }
    }

    /// Returns the state of the hub in use: of the worst cluster that needs it. If none needs it,
    /// the answers of the hub to requests count.
    fn state(&self) -> HubState {
        let states = self.clusters.iter().filter_map(UpstreamHealth::hub_state);
        let worst = states.max_by_key(|state| match state {
            HubState::Live => 0,
            HubState::Joining => 1,
            HubState::Failed => 2,
        });
        worst.unwrap_or_else(|| match self.report.borrow().answers() {
            _ if self.quotes.is_failing() => HubState::Failed,
            None => HubState::Joining,
            Some(true) => HubState::Live,
            Some(false) => HubState::Failed,
        })
    }

    /// Returns an instrument for the check of the first hub.
    fn symbol(&self) -> Option<Symbol> {
        let wanted = self.clusters.iter().find_map(UpstreamHealth::symbol);
        wanted.or_else(|| USUAL.parse().ok())
    }

    /// Begins with the hub in use: nothing is known about it.
    fn begin(&self, source: &FeedSource) {
        let endpoint = source.at(self.connector.active()).endpoint;
        self.report.send_replace(AboveReport {
            url: endpoint.to_string(),
            last: None,
        });
    }

    fn client(&self, source: &Arc<FeedSource>) -> AuthenticatedRest {
        AuthenticatedRest::new(self.connector.clone(), source.clone(), self.clock.clone())
    }

    /// Notes the outcome of a request, and logs a change.
    fn note(&self, outcome: Result<Value, Failure>) {
        let ids = outcome.as_ref().map(hubs_of).unwrap_or_default();
        self.hub_path.set_above(ids);
        let now = self.clock.now().monotonic;
        self.report.send_modify(|report| {
            let before = report.last.as_ref().map(|(_, outcome)| outcome.as_ref());
            let url = &report.url;
            match (&outcome, before) {
                (Ok(_), Some(Ok(_))) => {}
                (Ok(new), _) => log_version(url, new),
                (Err(reason), Some(Err(old))) if reason == old => {}
                (Err(reason), _) => {
                    log::warn!("the hub above, {url}, does not report its health: {reason}");
                }
            }
            report.last = Some((now, outcome));
        });
    }
}

/// Returns the identities in a report: the hub itself and the hubs above it.
fn hubs_of(report: &Value) -> Vec<String> {
    let ids = report["hubs"].as_array().into_iter().flatten();
    let ids = ids.filter_map(Value::as_str).filter(|id| is_identity(id));
    ids.map(str::to_owned).collect()
}

/// Logs the version of the hub above, with a warning if it differs from the own version.
fn log_version(url: &str, report: &Value) {
    const OWN: &str = env!("CARGO_PKG_VERSION");
    match report["version"].as_str() {
        Some(OWN) => log::info!("the hub above, {url}, answers; its version is {OWN}"),
        other => {
            let other = other.map_or("unknown".to_owned(), printable);
            log::warn!(
                "the hub above, {url}, has another version than this hub: {other} and {OWN}; it is \
                 used, but give both hubs the same version"
            );
        }
    }
}

/// A request in progress. It returns its client and its outcome.
type Asking = Boxed<'static, (AuthenticatedRest, Result<Value, Failure>)>;

/// Starts a request for the health of the hub in use.
fn ask(mut rest: AuthenticatedRest, provider: FeedProvider) -> Asking {
    Box::pin(async move {
        let outcome = match rest.health().await {
            // Everybody gets a report, but only a valid token gets a short-lived token.
            Ok(_) if !rest.has_issued_token() => Err(Failure::Token),
            Ok(report) => serde_json::from_slice(&report).map_err(|_| Failure::Protocol),
            Err(error) => Err(error.reason),
        };
        (rest, outcome.map_err(|reason| reason.for_hub(provider)))
    })
}

/// Waits for the outcome of the request in progress.
async fn answered(asking: &mut Option<Asking>) -> (AuthenticatedRest, Result<Value, Failure>) {
    match asking {
        Some(asking) => asking.await,
        None => pending().await,
    }
}
