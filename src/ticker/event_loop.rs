//! The event loop of the running ticker: one session for each cluster, the REST poller, the ticker
//! state that owns their data, and the mailbox of the panel. This module is the only place that
//! connects these parts.

use std::panic;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;

use super::state::{ConfigProblem, TickerState};
use crate::config::settings::TickerSettings;
use crate::display::Mailbox;
use crate::display::buttons::Button;
use crate::display::screen::ScreenMailbox;
use crate::feed::connection_status::ConnectionPhase;
use crate::feed::failover::Failover;
use crate::feed::hub_choice::HubState;
use crate::feed::poll_schedule::{PollRequest, RestDemand};
use crate::feed::session::{Session, SubscriptionDemand};
use crate::feed::{ConnectionStatus, Update, poller};
use crate::market::{Calendar, Cluster, Instrument, WatchlistError};
use crate::massive::display_report::DisplayReport;
use crate::net::connector::Connector;
use crate::net::discovery;
use crate::net::failure::Failure;
use crate::net::source::{FeedProvider, FeedSource};
use crate::render::screen::{ScreenContent, TILES};
use crate::render::{LinkIcon, Size};
use crate::systemd::Supervisor;
use crate::time::{Clock, Moment, Now};
use crate::web::StatusQuestion;

/// The capacity of the channel for updates. If it is full, the sessions stop reading until the
/// event loop has taken updates.
const QUEUE: usize = 256;
/// The limit for a clock step, in milliseconds. After a larger change of the agreed time, REST is
/// polled again, because the old values were judged by the wrong time.
const STEP: u64 = 60_000;

/// The time of the first report to the hub after the start, when the first values have arrived.
const FIRST_REPORT: Duration = Duration::from_secs(5);
/// The interval between two reports to the hub.
const REPORT_INTERVAL: Duration = Duration::from_secs(30);

/// The parts and settings that an event loop needs.
#[derive(Debug)]
pub struct TickerSetup {
    /// The watchlist, the pages and the other settings of the display.
    pub settings: TickerSettings,
    /// The source of the feed.
    pub source: FeedSource,
    /// The connector that opens the connections to the source.
    pub connector: Connector,
    /// The calendar of the trading hours.
    pub calendar: Calendar,
    /// The size of the panel.
    pub size: Size,
    /// The mailbox of the big screen, if there is one.
    pub screen: Option<ScreenMailbox>,
    /// The source of the time.
    pub clock: Clock,
    /// The supervisor (systemd), which receives the start of the event loop and its heartbeats.
    pub supervisor: Supervisor,
}

/// A command for a running event loop.
#[derive(Debug)]
pub enum ControlMessage {
    /// Apply these settings.
    Apply(Box<TickerSettings>),
    /// Show this problem of the configuration; `None` means that the problem is solved.
    Fault(Option<ConfigProblem>),
    /// A person has pressed this button.
    Press(Button),
    /// Answer this question of the web page.
    Ask(StatusQuestion),
    /// Close the connections and end.
    Stop,
}

/// The condition under which an event loop ends.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum RunUntil {
    /// The event loop ends only after a [`ControlMessage::Stop`] or when the control channel is
    /// closed.
    Stopped,
    /// The event loop also ends when every instrument has a value.
    Complete,
}

struct EventLoop {
    state: TickerState,
    connector: Connector,
    clock: Clock,
    mailbox: Mailbox,
    /// The mailbox of the big screen, and a content to fill.
    screen: Option<(ScreenMailbox, Box<ScreenContent>)>,
    failover: Failover,
    sessions: Vec<(Cluster, watch::Sender<SubscriptionDemand>)>,
    needs: watch::Sender<RestDemand>,
    /// The agreed wall time minus the monotonic time, in milliseconds, at the last comparison. A
    /// clock step changes this value.
    offset: Option<i64>,
    /// The number of steps of the agreed time since the start. The first agreed time counts as a
    /// step.
    steps: u64,
    /// The last report for the hub, and the time of the next report.
    report: Option<DisplayReport>,
    report_due: Moment,
    /// True if every value has arrived and the log has an entry about it.
    complete: bool,
}

/// Runs until it is stopped, or until the condition in `until` is true. Returns true if every
/// instrument had a value at the end. The last picture stays in the mailbox.
///
/// # Errors
/// The symbols are not a valid watchlist (empty, duplicate or too many).
pub async fn run(
    setup: TickerSetup,
    mailbox: Mailbox,
    controls: mpsc::Receiver<ControlMessage>,
    until: RunUntil,
) -> Result<bool, WatchlistError> {
    // The loop is a task. If a session wakes the future of `block_on` instead, tokio makes a system
    // call before that future runs. The set aborts the task when the caller drops this future.
    let mut tasks = JoinSet::new();
    tasks.spawn(serve(setup, mailbox, controls, until));
    match tasks.join_next().await {
        Some(Err(error)) if error.is_panic() => panic::resume_unwind(error.into_panic()),
        Some(Ok(ended)) => ended,
        // No other code can abort the task, so this case does not occur.
        _ => Ok(false),
    }
}

async fn serve(
    setup: TickerSetup,
    mailbox: Mailbox,
    mut controls: mpsc::Receiver<ControlMessage>,
    until: RunUntil,
) -> Result<bool, WatchlistError> {
    let now = setup.clock.now();
    let mut state = TickerState::new(setup.settings, setup.calendar, setup.size, now)?;
    state.set_delayed(setup.source.delayed());
    state.set_vendor(setup.source.provider == FeedProvider::Vendor);
    state.set_described(mailbox.caption().is_some());
    let screen = setup.screen.map(|screen| (screen, Box::default()));
    state.set_tiles(if screen.is_some() { TILES } else { 0 });
    let (updates, mut incoming) = mpsc::channel(QUEUE);
    let source = Arc::new(setup.source);
    let connector = setup.connector.clone();
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
    let failover = Failover::new(
        "the display",
        source.clone(),
        setup.connector.clone(),
        setup.clock.clone(),
    );
    let (needs, demanded) = watch::channel(need(&state, now, 0, 0));
    // The set aborts the poller when this function returns; a request in progress needs no clean
    // end.
    let mut seeding = JoinSet::new();
    seeding.spawn(poller::run_poller(
        setup.connector,
        source,
        demanded,
        updates,
        setup.clock.clone(),
    ));

    let mut event_loop = EventLoop {
        state,
        connector,
        clock: setup.clock.clone(),
        mailbox,
        screen,
        failover,
        sessions,
        needs,
        offset: None,
        steps: 0,
        report: None,
        report_due: now.monotonic + FIRST_REPORT,
        complete: false,
    };
    event_loop.send_demand();
    let mut drawn = event_loop.show();
    setup.supervisor.ready();
    // The heartbeat follows each draw, as proof that the loop works. The loop therefore also wakes
    // up when a heartbeat is due.
    let mut heartbeat = setup.supervisor.heartbeat();
    heartbeat.beat(drawn.monotonic);
    loop {
        // The deadline counts from the time of the last draw, so a deadline that has passed since
        // then is due at once.
        let due = event_loop.state.deadline(drawn);
        let hubs = event_loop
            .failover
            .deadline(hub_state(event_loop.state.icon()));
        let timer = event_loop.clock.sleep_until(
            due.min(hubs)
                .min(heartbeat.due())
                .min(event_loop.report_due),
        );
        let mut needs_other = false;
        tokio::select! {
            Some(update) = incoming.recv() => {
                needs_other = event_loop.take(&update);
                // All waiting updates go into one picture.
                while let Ok(update) = incoming.try_recv() {
                    needs_other |= event_loop.take(&update);
                }
            }
            () = timer => {}
            returns = event_loop.failover.checked() => {
                if returns {
                    event_loop.hub_changed();
                }
            }
            control = controls.recv() => match control {
                Some(ControlMessage::Apply(settings)) => {
                    event_loop.apply(*settings);
                    event_loop.send_demand();
                }
                Some(ControlMessage::Fault(fault)) => event_loop.state.set_fault(fault),
                Some(ControlMessage::Press(button)) => {
                    let now = event_loop.clock.now();
                    event_loop.state.press(button, now.monotonic);
                    needs_other = true;
                }
                Some(ControlMessage::Ask(question)) => {
                    let status = event_loop.state.display_status(event_loop.clock.now());
                    // The visitor may have left.
                    question.send(Box::new(status)).ok();
                }
                Some(ControlMessage::Stop) | None => break,
            },
        }
        event_loop.follow_hubs();
        // The deadline is checked after each wake-up, for any cause. Under load the timer branch
        // may never be selected, and each draw moves the deadline at which an unset clock is
        // checked.
        let now = event_loop.clock.now();
        if now.monotonic >= due || event_loop.stepped(event_loop.state.time(now.monotonic)) {
            event_loop.on_timer();
        } else if needs_other {
            event_loop.update_poller();
            event_loop.send_demand();
        }
        drawn = event_loop.show();
        heartbeat.beat(drawn.monotonic);
        if drawn.monotonic >= event_loop.report_due {
            event_loop.report_to_hub(drawn);
        }
        if until == RunUntil::Complete && event_loop.state.complete(event_loop.clock.now()) {
            break;
        }
    }
    setup.supervisor.stopping();
    for (_, demand) in &event_loop.sessions {
        demand.send_modify(|demand| demand.stop = true);
    }
    // A session that waits for space in the channel must see that the receiver is closed.
    drop(incoming);
    while links.join_next().await.is_some() {}
    Ok(event_loop.state.complete(event_loop.clock.now()))
}

impl EventLoop {
    /// Applies an update. Returns true if the update may change the REST demand.
    fn take(&mut self, update: &Update) -> bool {
        if let Update::Status(_, status) = update {
            self.note_search(status);
        }
        self.state.on(update, self.clock.now());
        update.may_change_needs()
    }

    /// Shows the names of the hubs if several announce themselves, until a connection works or
    /// fails for another reason.
    fn note_search(&mut self, status: &ConnectionStatus) {
        let problem = match status.reason {
            Some(Failure::SeveralHubs) => {
                let hubs = discovery::several(&self.connector);
                (hubs.len() > 1).then(|| ConfigProblem {
                    title: format!("{} HUBS", hubs.len()),
                    text: discovery::places(&hubs).replace("deskticker-hub on ", "")
                        + ": write one as url",
                    code: None,
                })
            }
            None if status.phase != ConnectionPhase::Live => return,
            _ => None,
        };
        self.state.set_search_problem(problem);
    }

    /// Sends the REST demand to the poller if the demand has changed.
    fn update_poller(&mut self) {
        let now = self.clock.now();
        let agreed = self.state.time(now.monotonic);
        self.steps += u64::from(self.stepped(agreed));
        self.offset = agreed.offset();
        let list = self.needs.borrow().list;
        let needed = need(&self.state, now, list, self.state.returns() + self.steps);
        self.needs.send_if_modified(|need| {
            let changed = *need != needed;
            *need = needed;
            changed
        });
    }

    /// Returns true if the agreed time has made a step since the last comparison, or exists for the
    /// first time.
    fn stepped(&self, now: Now) -> bool {
        match (self.offset, now.offset()) {
            (Some(before), Some(after)) => before.abs_diff(after) > STEP,
            (before, after) => before.is_none() && after.is_some(),
        }
    }

    fn apply(&mut self, settings: TickerSettings) {
        let changed = settings.watchlist != self.state.settings().watchlist;
        match self.state.apply(settings, self.clock.now()) {
            Ok(()) => {
                self.needs
                    .send_modify(|need| need.list += u64::from(changed));
                self.update_poller();
            }
            // The watchlist was checked when the configuration was read, so an error is unexpected.
            // The old watchlist stays in effect.
            Err(error) => log::error!("the ticker keeps its previous watchlist: {error}"),
        }
    }

    /// Sends each session its subscriptions and its limit of silence if they have changed.
    fn send_demand(&self) {
        let now = self.clock.now();
        for (cluster, demand) in &self.sessions {
            let wanted = SubscriptionDemand {
                report: self.report.clone(),
                ..self.state.demand(*cluster, now)
            };
            demand.send_if_modified(|demand| {
                let changed = *demand != wanted;
                if changed {
                    *demand = wanted;
                }
                changed
            });
        }
    }

    /// Gives the sessions a new report for the hub.
    fn report_to_hub(&mut self, now: Now) {
        self.report = Some(self.state.display_report(now));
        self.report_due = now.monotonic + REPORT_INTERVAL;
        self.send_demand();
    }

    /// Moves the connections to another hub if the hub in use fails.
    fn follow_hubs(&mut self) {
        let first = self.state.watchlist().instruments().first();
        let symbol = first.map(Instrument::symbol);
        if self.failover.follow(hub_state(self.state.icon()), symbol) {
            self.hub_changed();
        }
    }

    fn hub_changed(&mut self) {
        self.state.hub_changed(self.clock.now().monotonic);
    }

    /// Does the work that depends on time: sessions open and close with the trading hours, trading
    /// days begin, and the REST demand changes.
    fn on_timer(&mut self) {
        self.state.advance(self.clock.now());
        self.send_demand();
        self.update_poller();
    }

    /// Draws a frame, puts it into the mailbox, and returns the time of the draw.
    fn show(&mut self) -> Now {
        let now = self.clock.now();
        self.state.draw(now);
        let until = self.state.good_until(now);
        if let Some(caption) = self.mailbox.caption() {
            caption.set_seen(self.state.take_words());
        }
        self.mailbox
            .put(self.state.frame(), self.state.light(), until);
        // The big screen comes second, so that it never delays the panel.
        if let Some((screen, content)) = &mut self.screen {
            let until = self.state.describe(now, content);
            screen.put(content, self.state.light(), until);
        }
        if !self.complete && self.state.complete(now) {
            self.complete = true;
            log::info!(
                "all values have arrived, {} ms after the start",
                now.monotonic.as_millis()
            );
        }
        now
    }
}

/// Returns the present REST demand. The arguments `list` and `epoch` are the counters of the
/// watchlist and of reconnections and clock steps.
fn need(state: &TickerState, now: Now, list: u64, epoch: u64) -> RestDemand {
    let symbols = state.watchlist().instruments().iter();
    let polls = symbols
        .zip(state.poll_intervals(now))
        .map(|(instrument, pace)| PollRequest {
            symbol: instrument.symbol().clone(),
            pace,
        });
    RestDemand {
        polls: polls.collect(),
        list,
        epoch,
        market: state.market_pace(now),
        // The offset is rounded to ten seconds, so that a small change does not wake the poller.
        offset: state
            .time(now.monotonic)
            .offset()
            .map(|offset| offset.div_euclid(10_000) * 10_000),
        minutes: state
            .days()
            .map(|(symbol, since)| (symbol.clone(), since))
            .collect(),
    }
}

/// Returns the state of the hub in use, as the header shows it.
const fn hub_state(icon: LinkIcon) -> HubState {
    match icon {
        LinkIcon::Live => HubState::Live,
        LinkIcon::Joining => HubState::Joining,
        LinkIcon::Silent | LinkIcon::Down | LinkIcon::Refused => HubState::Failed,
    }
}
