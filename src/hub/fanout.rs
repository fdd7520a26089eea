//! The owner of a cluster's clients: one task that takes in what the upstream and the clients say
//! and writes to each what it has not seen. Owns when that is done; never what is said.

use std::sync::Arc;
use std::time::Duration;

use hyper::body::Bytes;
use tokio::sync::{mpsc, watch};

use super::hall::Hall;
use super::limits::Limits;
use super::metrics::Metrics;
use super::room::Fate;
pub use super::socket::Socket;
use super::token::{Device, Gate};
use super::{Interest, Relayed, Report};
use crate::clock::{Clock, Moment};
use crate::market::Cluster;
use crate::supervisor::Heartbeat;

/// How often it is looked after who is late, dead or no longer wanted.
const HOUSEKEEPING: Duration = Duration::from_secs(1);

/// How much of one kind is taken in before the others get their turn.
const AT_ONCE: usize = 256;

/// How long all farewells together may take.
const FAREWELLS: Duration = Duration::from_millis(1000);

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
    /// Who wants to know that this turns; nobody, unless it is set.
    pub heartbeat: Heartbeat,
    /// Clients are told that the prices are simulated before the upstream has said so; they are
    /// not, unless it is set.
    pub simulated: bool,
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
                heartbeat: Heartbeat::default(),
                simulated: false,
                guests,
            },
            Door(door),
        )
    }

    /// Serves until told to stop; then closes every client with 1012.
    pub async fn run(self, mut stop: watch::Receiver<bool>) {
        let (tell, mut said) = mpsc::channel(1024);
        let Self {
            cluster,
            mut reports,
            interest,
            gate,
            limits,
            metrics,
            clock,
            mut heartbeat,
            simulated,
            mut guests,
        } = self;
        let mut roster = gate.roster();
        let mut hall = Hall::new(cluster, gate, limits, metrics.clone(), clock.clone(), tell);
        hall.simulated = simulated;
        // Not before this is the next sweep, and then.
        let mut paced = Moment::ZERO;
        let mut checked = Moment::ZERO;
        let (mut reporting, mut policed) = (true, true);
        loop {
            let mut due = if hall.room.is_dirty() {
                paced
            } else {
                Moment::NEVER
            };
            if !hall.is_empty() || hall.wanted.is_lingering() {
                due = due.min(checked + HOUSEKEEPING);
            }
            due = due.min(heartbeat.due());
            tokio::select! {
                _ = stop.wait_for(|stop| *stop) => break,
                report = reports.recv(), if reporting => match report {
                    Some(report) => {
                        let mut next = Some(report);
                        for _ in 0..AT_ONCE {
                            let Some(report) = next.take() else { break };
                            take(&mut hall, &metrics, report);
                            next = reports.try_recv().ok();
                        }
                        if let Some(report) = next {
                            take(&mut hall, &metrics, report);
                        }
                    }
                    None => reporting = false,
                },
                Some((who, heard)) = said.recv() => {
                    hall.hear(who, heard);
                    for _ in 0..AT_ONCE {
                        let Ok((who, heard)) = said.try_recv() else { break };
                        hall.hear(who, heard);
                    }
                }
                guest = guests.recv(), if !guests.is_closed() || !guests.is_empty() => {
                    if let Some(guest) = guest {
                        hall.admit(guest);
                    }
                }
                changed = roster.changed(), if policed => {
                    policed = changed.is_ok();
                    hall.enforce_roster();
                }
                () = clock.sleep_until(due) => {}
            }
            let now = clock.now().monotonic;
            if hall.room.is_dirty() && now >= paced {
                let frames = hall.sweep();
                paced = pace(now, clock.now().monotonic, frames);
            }
            if now >= checked + HOUSEKEEPING {
                checked = now;
                hall.keep_house();
            }
            heartbeat.beat(now);
            if let Some(wanted) = hall.new_interest() {
                interest.send_if_modified(|known| {
                    let changed = *known != wanted;
                    *known = wanted;
                    changed
                });
            }
        }
        hall.close_all();
        let farewells = async {
            while !hall.is_empty()
                && let Some((who, heard)) = said.recv().await
            {
                hall.hear(who, heard);
            }
        };
        // By the machine's clock: whoever stops the program waits by that too.
        tokio::time::timeout(FAREWELLS, farewells).await.ok();
    }
}

/// When the next sweep may begin, after one of so many frames. A write costs the same for one
/// event as for ten, so the more clients a sweep has, the more events it should have: a hub for a
/// family sends each event at once, one for a thousand displays gathers for 20 ms from sweep to
/// sweep. However long a sweep takes, others get their turn behind it.
fn pace(begun: Moment, ended: Moment, frames: u64) -> Moment {
    let gathered = begun + Duration::from_millis((frames / 50).min(20));
    let rested = ended + Duration::from_millis((frames / 256).min(4));
    gathered.max(rested)
}

fn take(hall: &mut Hall, metrics: &Metrics, report: Report) {
    match report {
        Report::Up { simulated } => hall.upstream_up(simulated),
        Report::Down(why) => hall.upstream_down(why),
        Report::Barred => hall.upstream_barred(),
        Report::Unanswered(channel) => hall.upstream_unanswered(channel),
        Report::Events(events) => {
            metrics.events_in.add(events.len() as u64);
            hall.answered(&events);
            let mut conflated = 0;
            for event in &events {
                let Relayed {
                    channel,
                    json,
                    came,
                } = event;
                conflated += u64::from(hall.room.publish(channel, json, *came) != Fate::Kept);
                if hall.room.is_pressed() {
                    hall.sweep();
                }
            }
            metrics.events_conflated.add(conflated);
        }
    }
}
