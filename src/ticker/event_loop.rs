//! The running ticker: one session for each cluster, the quotes by REST, the desk that owns what
//! they say, and the panel's slot. The only place where they are wired together.

use std::sync::Arc;

use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;

use crate::display::Mailbox;
use crate::feed::poller;
use crate::feed::poller::{PollRequest, RestDemand};
use crate::feed::session::{FeedSource, Session, SubscriptionDemand};
use crate::feed::{Boxed, Update};
use crate::market::{Calendar, Cluster, WatchlistError};
use crate::net::connector::Connector;
use crate::render::Size;
use crate::systemd::Supervisor;
use crate::ticker::state::{ConfigProblem, TickerSettings, TickerState};
use crate::time::{Clock, Now};

/// Updates that may wait for the desk before a session stops reading.
const QUEUE: usize = 256;
/// By this much (in ms) the agreed time must move at once for it to be a step: what was judged by
/// it is asked for anew.
const STEP: u64 = 60_000;

/// What a service is made of; everything it needs is here.
#[derive(Debug)]
pub struct TickerSetup {
    /// What is shown, and how.
    pub settings: TickerSettings,
    /// Who serves the feed.
    pub source: FeedSource,
    /// How to get there.
    pub connector: Connector,
    /// When the markets are open.
    pub calendar: Calendar,
    /// Of the panel.
    pub size: Size,
    /// Time.
    pub clock: Clock,
    /// Who is told that this runs, and that its loop still turns.
    pub supervisor: Supervisor,
}

/// What may be asked of a running service.
#[derive(Clone, PartialEq, Debug)]
pub enum ControlMessage {
    /// Show this, in this way, from now on.
    Apply(Box<TickerSettings>),
    /// This is wrong with the configuration file, or nothing any more.
    Fault(Option<ConfigProblem>),
    /// Say farewell and end.
    Stop,
}

/// When a service ends by itself.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum RunUntil {
    /// Only when told.
    Stopped,
    /// When every instrument has a value.
    Complete,
}

struct EventLoop {
    desk: TickerState,
    clock: Clock,
    mailbox: Mailbox,
    sessions: Vec<(Cluster, watch::Sender<SubscriptionDemand>)>,
    needs: watch::Sender<RestDemand>,
    /// The agreed time less the monotonic one, in milliseconds: another one after a step.
    offset: Option<i64>,
    /// Such steps so far; the first agreement is one.
    steps: u64,
    /// Every value has been drawn once, and the log has been told.
    complete: bool,
}

/// Runs until told to stop, or until what it was to wait for is there. Returns whether every
/// instrument had a value when it ended. The panel's last picture stays in its slot.
///
/// # Errors
/// The symbols are no watchlist.
#[inline(never)]
pub fn run(
    setup: TickerSetup,
    mailbox: Mailbox,
    controls: mpsc::Receiver<ControlMessage>,
    until: RunUntil,
) -> Boxed<'static, Result<bool, WatchlistError>> {
    Box::pin(serve(setup, mailbox, controls, until))
}

async fn serve(
    setup: TickerSetup,
    mailbox: Mailbox,
    mut controls: mpsc::Receiver<ControlMessage>,
    until: RunUntil,
) -> Result<bool, WatchlistError> {
    let now = setup.clock.now();
    let mut desk = TickerState::new(setup.settings, setup.calendar, setup.size, now)?;
    desk.set_delayed(setup.source.delayed());
    let (updates, mut incoming) = mpsc::channel(QUEUE);
    let source = Arc::new(setup.source);
    let mut sessions = Vec::new();
    let mut links = JoinSet::new();
    for cluster in Cluster::ALL {
        let (demand, wanted) = watch::channel(SubscriptionDemand::default());
        let session = Session {
            cluster,
            source: source.clone(),
            connector: setup.connector.clone(),
            demand: wanted,
            updates: updates.clone(),
            clock: setup.clock.clone(),
        };
        links.spawn(session.run());
        sessions.push((cluster, demand));
    }
    let (needs, asked) = watch::channel(need(&desk, now, 0, 0));
    // Dropped, and so ended, with this function: a question in flight needs no farewell.
    let mut seeding = JoinSet::new();
    seeding.spawn(poller::run_poller(
        setup.connector,
        source,
        asked,
        updates,
        setup.clock.clone(),
    ));

    let mut service = EventLoop {
        desk,
        clock: setup.clock.clone(),
        mailbox,
        sessions,
        needs,
        offset: None,
        steps: 0,
        complete: false,
    };
    service.send_demand();
    let mut drawn = service.show();
    setup.supervisor.ready();
    // Only what this loop has drawn is a sign of life, so it wakes for that too.
    let mut heartbeat = setup.supervisor.heartbeat();
    heartbeat.beat(drawn.monotonic);
    loop {
        // Counted from the moment that was drawn: what was due between then and now is due at once.
        let due = service.desk.deadline(drawn);
        let timer = service.clock.sleep_until(due.min(heartbeat.due()));
        let mut needs_other = false;
        tokio::select! {
            Some(update) = incoming.recv() => {
                needs_other = service.take(&update);
                // All that has come is one picture.
                while let Ok(update) = incoming.try_recv() {
                    needs_other |= service.take(&update);
                }
            }
            () = timer => {}
            control = controls.recv() => match control {
                Some(ControlMessage::Apply(settings)) => {
                    service.apply(*settings);
                    service.send_demand();
                }
                Some(ControlMessage::Fault(fault)) => service.desk.set_fault(fault),
                Some(ControlMessage::Stop) | None => break,
            },
        }
        // Whatever it was that woke this up: under load the timer may never be the first, and each
        // value puts off the look at a clock that is not set.
        let now = service.clock.now();
        if now.monotonic >= due || service.stepped(service.desk.time(now.monotonic)) {
            service.on_timer();
        } else if needs_other {
            service.update_poller();
        }
        drawn = service.show();
        heartbeat.beat(drawn.monotonic);
        if until == RunUntil::Complete && service.desk.complete(service.clock.now()) {
            break;
        }
    }
    setup.supervisor.stopping();
    for (_, demand) in &service.sessions {
        demand.send_modify(|demand| demand.stop = true);
    }
    // Sessions that wait for room in the queue must see that nobody reads it any more.
    drop(incoming);
    while links.join_next().await.is_some() {}
    Ok(service.desk.complete(service.clock.now()))
}

impl EventLoop {
    /// Returns whether it may change what is needed of REST.
    fn take(&mut self, update: &Update) -> bool {
        self.desk.on(update, self.clock.now());
        update.may_change_needs()
    }

    /// Tells who asks REST what is needed of it, if that has changed.
    fn update_poller(&mut self) {
        let now = self.clock.now();
        let agreed = self.desk.time(now.monotonic);
        self.steps += u64::from(self.stepped(agreed));
        self.offset = agreed.offset();
        let list = self.needs.borrow().list;
        let needed = need(&self.desk, now, list, self.desk.returns() + self.steps);
        self.needs.send_if_modified(|need| {
            let changed = *need != needed;
            *need = needed;
            changed
        });
    }

    /// Whether the agreed time is another than when this was last looked at, or the first.
    fn stepped(&self, now: Now) -> bool {
        match (self.offset, now.offset()) {
            (Some(before), Some(after)) => before.abs_diff(after) > STEP,
            (before, after) => before.is_none() && after.is_some(),
        }
    }

    fn apply(&mut self, settings: TickerSettings) {
        let changed = settings.watchlist != self.desk.settings().watchlist;
        match self.desk.apply(settings, self.clock.now()) {
            Ok(()) => {
                self.needs
                    .send_modify(|need| need.list += u64::from(changed));
                self.update_poller();
            }
            // The list was checked by whoever read it; the old one stays.
            Err(error) => log::error!("the watchlist stays as it was: {error}"),
        }
    }

    /// Tells each session what is wanted of it, if that has changed.
    fn send_demand(&self) {
        let now = self.clock.now();
        for (cluster, demand) in &self.sessions {
            let wanted = self.desk.demand(*cluster, now);
            demand.send_if_modified(|demand| {
                let changed = *demand != wanted;
                if changed {
                    *demand = wanted;
                }
                changed
            });
        }
    }

    /// Does what another time brings: sessions open and close with the minute, days begin, and
    /// what REST is asked for becomes another.
    fn on_timer(&mut self) {
        self.desk.advance(self.clock.now());
        self.send_demand();
        self.update_poller();
    }

    /// Draws, and returns for which moment.
    fn show(&mut self) -> Now {
        let now = self.clock.now();
        self.desk.draw(now);
        let until = self.desk.good_until(now);
        self.mailbox
            .put(self.desk.frame(), self.desk.light(), until);
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

/// What a desk needs of REST now; a number of its own for each list and epoch.
fn need(desk: &TickerState, now: Now, list: u64, epoch: u64) -> RestDemand {
    let symbols = desk.watchlist().instruments().iter();
    let polls = symbols
        .zip(desk.poll_intervals(now))
        .map(|(instrument, pace)| PollRequest {
            symbol: instrument.symbol().clone(),
            pace,
        });
    RestDemand {
        polls: polls.collect(),
        list,
        epoch,
        market: desk.market_pace(now),
        // To ten seconds: nobody is to be told anew for less.
        offset: desk
            .time(now.monotonic)
            .offset()
            .map(|offset| offset.div_euclid(10_000) * 10_000),
        minutes: desk
            .days()
            .map(|(symbol, since)| (symbol.clone(), since))
            .collect(),
    }
}
