//! A hub with a simulator in place of the vendor, for `--simulate`, the demo and the tests. This
//! module only connects the hub to the simulator and stores no state.

use std::sync::Arc;

use tokio::sync::watch;

use super::auth::authenticator::Authenticator;
use super::{HubSettings, HubSetup};
use crate::market::{Calendar, Cluster};
use crate::net::connector::Connector;
use crate::net::endpoint::Endpoint;
use crate::net::source::{FeedProvider, FeedSource};
use crate::secret::Secret;
use crate::simulator::{self, Simulator};
use crate::systemd::Supervisor;
use crate::time::Clock;

/// Starts a simulator and returns the setup of a hub that serves its prices. The clients of the hub
/// need `token`. The simulator stops when it is dropped.
///
/// # Errors
/// The key is invalid, the simulator cannot listen on a port, or the connector or the authenticator
/// cannot be created.
pub async fn setup(
    vendor: simulator::SimulatorSettings,
    token: &Secret,
    clock: Clock,
) -> Result<(HubSetup, Simulator), String> {
    let key = Secret::new(&vendor.key)?;
    let simulator = Simulator::start(vendor, clock.clone())
        .await
        .map_err(|error| error.to_string())?;
    let source = FeedSource {
        provider: FeedProvider::Vendor,
        endpoint: Endpoint::parse(&format!("ws://{}", simulator.address()))?,
        secret: Some(key),
    };
    let (_, settings) = watch::channel(HubSettings::default());
    let setup = HubSetup {
        rest: source.clone(),
        source,
        connector: Connector::new(None)?,
        clusters: Cluster::ALL.to_vec(),
        simulated: true,
        authenticator: Arc::new(Authenticator::new(None, Some(token))?),
        settings,
        // Simulated prices arrive at every hour.
        calendar: Calendar::always_open(),
        clock,
        supervisor: Supervisor::default(),
    };
    Ok((setup, simulator))
}
