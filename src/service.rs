//! The running ticker: one session for each cluster, the quotes by REST, the desk that owns what
//! they say, and the panel's slot. The only place where they are wired together.

use std::sync::Arc;

use jiff::tz::TimeZone;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;

use crate::clock::{Clock, Now};
use crate::desk::Desk;
use crate::feed::Update;
use crate::feed::net::Connector;
use crate::feed::rest::{self, Need};
use crate::feed::session::{Orders, Session, Source};
use crate::market::{Calendar, Cluster, Symbol, WatchlistError};
use crate::panel::Slot;
use crate::screen::Size;
use crate::supervisor::Supervisor;

/// Updates that may wait for the desk before a session stops reading.
const QUEUE: usize = 256;
/// By this much (in ms) the wall clock must move at once for it to be a step: what was judged by
/// it is asked for anew.
const STEP: u64 = 60_000;

/// What a service is made of; everything it needs is here.
#[derive(Debug)]
pub struct Setup {
    /// What is shown.
    pub watchlist: Vec<Symbol>,
    /// Who serves the feed.
    pub source: Source,
    /// How to get there.
    pub connector: Connector,
    /// When the markets are open.
    pub calendar: Calendar,
    /// Of the clock on the glass.
    pub zone: TimeZone,
    /// Of the panel.
    pub size: Size,
    /// Time.
    pub clock: Clock,
    /// Who is told that this runs, and that its loop still turns.
    pub supervisor: Supervisor,
}

/// What may be asked of a running service.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Control {
    /// Show these from now on.
    Watch(Vec<Symbol>),
    /// Say farewell and end.
    Stop,
}

/// When a service ends by itself.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Until {
    /// Only when told.
    Stopped,
    /// When every instrument has a value.
    Complete,
}

struct Service {
    desk: Desk,
    clock: Clock,
    slot: Slot,
    sessions: Vec<(Cluster, watch::Sender<Orders>)>,
    needs: watch::Sender<Need>,
    /// The wall clock less the monotonic one, in milliseconds: another one after a step.
    offset: Option<i64>,
    /// Such steps so far; the setting of the clock is one.
    steps: u64,
    /// Every value has been drawn once, and the log has been told.
    complete: bool,
}

/// Runs until told to stop, or until what it was to wait for is there. Returns whether every
/// instrument had a value when it ended. The panel's last picture stays in its slot.
///
/// # Errors
/// The symbols are no watchlist.
pub async fn run(
    setup: Setup,
    slot: Slot,
    mut controls: mpsc::Receiver<Control>,
    until: Until,
) -> Result<bool, WatchlistError> {
    let mut desk = Desk::new(&setup.watchlist, setup.calendar, setup.zone, setup.size)?;
    desk.set_delayed(setup.source.delayed());
    let (updates, mut incoming) = mpsc::channel(QUEUE);
    let source = Arc::new(setup.source);
    let mut sessions = Vec::new();
    let mut links = JoinSet::new();
    for cluster in Cluster::ALL {
        let (orders, wanted) = watch::channel(Orders::default());
        let session = Session {
            cluster,
            source: source.clone(),
            connector: setup.connector.clone(),
            orders: wanted,
            updates: updates.clone(),
            clock: setup.clock.clone(),
        };
        links.spawn(session.run());
        sessions.push((cluster, orders));
    }
    let (needs, asked) = watch::channel(Need {
        symbols: setup.watchlist,
        unfed: true,
        ..Need::default()
    });
    // Dropped, and so ended, with this function: a question in flight needs no farewell.
    let mut seeding = JoinSet::new();
    seeding.spawn(rest::keep_asking(
        setup.connector,
        source,
        asked,
        updates,
        setup.clock.clone(),
    ));

    let mut service = Service {
        desk,
        clock: setup.clock.clone(),
        slot,
        sessions,
        needs,
        offset: offset(setup.clock.now()),
        steps: 0,
        complete: false,
    };
    service.order();
    let mut drawn = service.show();
    setup.supervisor.ready();
    // Only what this loop has drawn is a sign of life, so it wakes for that too.
    let mut heartbeat = setup.supervisor.heartbeat();
    heartbeat.beat(drawn.monotonic);
    loop {
        // Counted from the moment that was drawn: what was due between then and now is due at once.
        let due = service.desk.deadline(drawn).min(heartbeat.due());
        let due = service.clock.sleep_until(due);
        tokio::select! {
            Some(update) = incoming.recv() => {
                let mut told = service.take(&update);
                // All that has come is one picture.
                while let Ok(update) = incoming.try_recv() {
                    told |= service.take(&update);
                }
                if told {
                    service.need();
                }
            }
            // Sessions open and close with the minute; what comes on a link changes no order.
            () = due => {
                service.order();
                service.need();
            }
            control = controls.recv() => match control {
                Some(Control::Watch(symbols)) => {
                    service.watch(symbols);
                    service.order();
                }
                Some(Control::Stop) | None => break,
            },
        }
        drawn = service.show();
        heartbeat.beat(drawn.monotonic);
        if until == Until::Complete && service.desk.complete(service.clock.now()) {
            break;
        }
    }
    setup.supervisor.stopping();
    for (_, orders) in &service.sessions {
        orders.send_modify(|orders| orders.stop = true);
    }
    // Sessions that wait for room in the queue must see that nobody reads it any more.
    drop(incoming);
    while links.join_next().await.is_some() {}
    Ok(service.desk.complete(service.clock.now()))
}

impl Service {
    /// Returns whether it may change what is needed of REST.
    fn take(&mut self, update: &Update) -> bool {
        self.desk.on(update, self.clock.now());
        matches!(update, Update::Status(..) | Update::Seed(_))
    }

    /// Tells who asks REST what is needed of it, if that has changed.
    fn need(&mut self) {
        let now = self.clock.now();
        let offset = offset(now);
        let stepped = match (self.offset, offset) {
            (Some(before), Some(after)) => before.abs_diff(after) > STEP,
            (before, after) => before.is_none() && after.is_some(),
        };
        if stepped {
            self.steps += 1;
        }
        self.offset = offset;
        let (epoch, unfed) = (self.desk.returns() + self.steps, self.desk.unfed(now));
        self.needs.send_if_modified(|need| {
            let changed = (need.epoch, need.unfed) != (epoch, unfed);
            (need.epoch, need.unfed) = (epoch, unfed);
            changed
        });
    }

    fn watch(&mut self, symbols: Vec<Symbol>) {
        match self.desk.watch(&symbols) {
            Ok(()) => {
                self.needs.send_modify(|need| {
                    need.symbols = symbols;
                    need.list += 1;
                });
            }
            // The list was checked by whoever read it; the old one stays.
            Err(error) => log::error!("the watchlist stays as it was: {error}"),
        }
    }

    /// Tells each session what is wanted of it, if that has changed.
    fn order(&self) {
        let now = self.clock.now();
        for (cluster, orders) in &self.sessions {
            let wanted = self.desk.orders(*cluster, now);
            orders.send_if_modified(|orders| {
                let changed = *orders != wanted;
                if changed {
                    *orders = wanted;
                }
                changed
            });
        }
    }

    /// Draws, and returns for which moment.
    fn show(&mut self) -> Now {
        let now = self.clock.now();
        self.slot.put(self.desk.draw(now));
        if !self.complete && self.desk.complete(now) {
            self.complete = true;
            log::info!(
                "every value has been drawn, {} ms after the start",
                now.monotonic.as_millis()
            );
        }
        now
    }
}

fn offset(now: Now) -> Option<i64> {
    let elapsed = i64::try_from(now.monotonic.as_millis()).unwrap_or(i64::MAX);
    Some(now.utc?.0.saturating_sub(elapsed))
}
