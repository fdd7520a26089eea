//! The use of several hubs: follows the state of the connections, checks the first hub while
//! another one is in use, and moves all connections to the chosen hub. The decisions are in
//! `feed::hub_choice`.

use std::future::pending;
use std::sync::Arc;

use crate::feed::auth::hub_works;
use crate::feed::hub_choice::{HubChoice, HubState};
use crate::market::Symbol;
use crate::net::Boxed;
use crate::net::connector::Connector;
use crate::net::source::FeedSource;
use crate::render::LinkIcon;
use crate::time::{Clock, Moment};

/// The hubs of the source, and the hub in use; see the module documentation.
pub(super) struct Failover {
    choice: HubChoice,
    source: Arc<FeedSource>,
    connector: Connector,
    clock: Clock,
    /// The check of the first hub that is in progress.
    check: Option<Boxed<'static, bool>>,
}

impl Failover {
    pub(super) fn new(source: Arc<FeedSource>, connector: Connector, clock: Clock) -> Self {
        let count = 1 + source.alternatives.len();
        Self {
            choice: HubChoice::new(count, clock.now().monotonic),
            source,
            connector,
            clock,
            check: None,
        }
    }

    /// Follows the state of the connections. `symbol` is an instrument of the watchlist for the
    /// check of the first hub. Returns true if another hub is in use from now on.
    pub(super) fn follow(&mut self, icon: LinkIcon, symbol: Option<&Symbol>) -> bool {
        let now = self.clock.now().monotonic;
        let changes = self.choice.observe(state(icon), now);
        if changes {
            let before = self.source.at(self.connector.active()).endpoint.authority();
            self.check = None;
            self.use_chosen();
            let next = self.source.at(self.choice.active()).endpoint.authority();
            log::warn!("the hub {before} fails: the display uses the hub {next}");
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
    pub(super) fn deadline(&self, icon: LinkIcon) -> Moment {
        self.choice.deadline(state(icon))
    }

    /// Waits for the end of the check of the first hub, and uses that hub if it works again. Returns
    /// true if the first hub is in use from now on.
    pub(super) async fn checked(&mut self) -> bool {
        let works = match &mut self.check {
            Some(check) => check.await,
            None => pending().await,
        };
        self.check = None;
        let returns = self.choice.checked(works, self.clock.now().monotonic);
        if returns {
            self.use_chosen();
            let first = self.source.endpoint.authority();
            log::info!("the hub {first} works again: the display uses this hub");
        }
        returns
    }

    fn use_chosen(&self) {
        self.connector.set_active(self.choice.active());
    }
}

const fn state(icon: LinkIcon) -> HubState {
    match icon {
        LinkIcon::Live => HubState::Live,
        LinkIcon::Joining => HubState::Joining,
        LinkIcon::Silent | LinkIcon::Down | LinkIcon::Refused => HubState::Failed,
    }
}
