//! The owner of a cluster's clients: writes to each what it has not seen.

use std::sync::Arc;

use hyper::body::Bytes;
use tokio::net::{TcpStream, UnixStream};
use tokio::sync::{mpsc, watch};

use super::limits::Limits;
use super::metrics::Metrics;
use super::token::{Device, Gate};
use super::{Interest, Report};
use crate::clock::Clock;
use crate::market::Cluster;

/// An upgraded connection, ready for WebSocket frames. TLS is ended in a task of its own, which
/// speaks to the fan-out through a socket pair.
#[derive(Debug)]
pub enum Socket {
    /// A client's own connection.
    Tcp(TcpStream),
    /// The inner end of a connection whose TLS is ended by another task.
    Pair(UnixStream),
}

/// Somebody who has come in.
#[derive(Debug)]
pub struct Guest {
    /// The connection.
    pub socket: Socket,
    /// What was read behind the head of the request.
    pub read_ahead: Bytes,
    /// Who it is; `None` for one that is still to authenticate, by an `auth` action.
    pub device: Option<Device>,
}

/// Where guests are let in.
#[derive(Clone, Debug)]
pub struct Door(mpsc::Sender<Guest>);

impl Door {
    /// Lets somebody in; gives the guest back if there is no room.
    ///
    /// # Errors
    /// The guest, if the fan-out has ended or cannot take another now.
    pub fn admit(&self, guest: Guest) -> Result<(), Guest> {
        self.0.try_send(guest).map_err(|error| error.into_inner())
    }
}

/// What a fan-out is made of.
#[derive(Debug)]
pub struct Fanout {
    /// Which cluster.
    pub cluster: Cluster,
    /// What its upstream says.
    pub reports: mpsc::Receiver<Report>,
    /// What its clients want.
    pub interest: watch::Sender<Interest>,
    /// Who is let in, and who no longer is.
    pub gate: Arc<Gate>,
    /// How much a client may ask.
    pub limits: Limits,
    /// What is counted.
    pub metrics: Arc<Metrics>,
    /// Time.
    pub clock: Clock,
    guests: mpsc::Receiver<Guest>,
}

impl Fanout {
    /// A fan-out and the door to it.
    pub fn new(
        cluster: Cluster,
        reports: mpsc::Receiver<Report>,
        interest: watch::Sender<Interest>,
        gate: Arc<Gate>,
        limits: Limits,
        metrics: Arc<Metrics>,
        clock: Clock,
    ) -> (Self, Door) {
        let (door, guests) = mpsc::channel(1024);
        (
            Self {
                cluster,
                reports,
                interest,
                gate,
                limits,
                metrics,
                clock,
                guests,
            },
            Door(door),
        )
    }

    /// Serves until told to stop; then closes every client with 1012.
    pub async fn run(mut self, mut stop: watch::Receiver<bool>) {
        tokio::select! {
            _ = stop.wait_for(|stop| *stop) => {}
            _ = self.guests.recv() => {}
        }
    }
}
