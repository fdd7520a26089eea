//! The use of several hubs by a display, or by a hub below them: follows the state of the
//! connections, checks the first hub while another one is in use, and moves all connections to the
//! chosen hub. The decisions are in `hub_choice`.

use std::future::pending;
use std::sync::Arc;

use super::auth::hub_works;
use super::hub_choice::{HubChoice, HubState};
use crate::market::Symbol;
use crate::net::Boxed;
use crate::net::connector::Connector;
use crate::net::source::FeedSource;
use crate::time::{Clock, Moment};

/// The hubs of the source, and the hub in use; see the module documentation.
pub(crate) struct Failover {
    choice: HubChoice,
    /// The user of the hubs, for the log: `the display` or `this hub`.
    user: &'static str,
    source: Arc<FeedSource>,
    connector: Connector,
    clock: Clock,
    /// The check of the first hub that is in progress.
    check: Option<Boxed<'static, bool>>,
}

impl Failover {
    pub(crate) fn new(
        user: &'static str,
        source: Arc<FeedSource>,
        connector: Connector,
        clock: Clock,
    ) -> Self {
        let count = 1 + source.alternatives.len();
        Self {
            choice: HubChoice::new(count, clock.now().monotonic),
            user,
            source,
            connector,
            clock,
            check: None,
        }
    }

    /// Follows the state of the hub in use. `symbol` is a wanted instrument for the check of the
    /// first hub. Returns true if another hub is in use from now on.
    pub(crate) fn follow(&mut self, state: HubState, symbol: Option<&Symbol>) -> bool {
        let now = self.clock.now().monotonic;
        let changes = self.choice.observe(state, now);
        if changes {
            let before = self.source.at(self.connector.active()).endpoint.authority();
            self.check = None;
            self.use_chosen();
            let next = self.source.at(self.choice.active()).endpoint.authority();
            let user = self.user;
            log::warn!("the hub {before} fails: {user} uses the hub {next}");
        }
        if self.choice.must_check(now) {
            let first = self.source.at(0);
            let (connector, clock) = (self.connector.separate(), self.clock.clone());
            let symbol = symbol.cloned();
            let check = async move { hub_works(connector, first, clock, symbol.as_ref()).await };
            self.check = Some(Box::pin(check));
        }
        changes
    }

    /// Returns the time of the next decision without an event.
    pub(crate) fn deadline(&self, state: HubState) -> Moment {
        self.choice.deadline(state)
    }

    /// Waits for the end of the check of the first hub, and uses that hub if it works again. Returns
    /// true if the first hub is in use from now on.
    pub(crate) async fn checked(&mut self) -> bool {
        let works = match &mut self.check {
            Some(check) => check.await,
            None => pending().await,
        };
        self.check = None;
        let returns = self.choice.checked(works, self.clock.now().monotonic);
        if returns {
            self.use_chosen();
            let first = self.source.endpoint.authority();
            let user = self.user;
            log::info!("the hub {first} works again: {user} uses this hub");
        }
        returns
    }

    fn use_chosen(&self) {
        self.connector.set_active(self.choice.active());
    }
}
