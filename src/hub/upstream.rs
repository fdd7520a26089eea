//! The only connection of a cluster to the vendor.

use std::sync::Arc;

use tokio::sync::{mpsc, watch};

use super::{Interest, Report};
use crate::clock::Clock;
use crate::feed::net::Connector;
use crate::feed::session::Source;
use crate::market::Cluster;

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
    /// Time.
    pub clock: Clock,
}

impl Upstream {
    /// Keeps the connection until told to stop; then says farewell.
    pub async fn run(self, mut stop: watch::Receiver<bool>) {
        // An error means that nobody is left to say stop.
        stop.wait_for(|stop| *stop).await.ok();
    }
}
