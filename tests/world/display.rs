//! Drives the program's own core, from the text of a frame to the dots of the display. Only this
//! file of the simulated world calls the program. It does the work of sockets, timers and threads
//! by hand, in the order of `service::run`, `session::Runner` and `display::serve`.

use std::time::Duration;

use deskticker::config::settings::{PageSpec, TickerSettings};
use deskticker::display::{self, DisplayDevice as _, Mailbox, MailboxItem, Oled};
use deskticker::feed::connection::Connection;
use deskticker::feed::connection_status::{ConnectionAction, ConnectionEvent, ConnectionPhase};
use deskticker::feed::sink::{EventSink, ServerState};
use deskticker::feed::{ConnectionStatus, Update, poller};
use deskticker::market::{Calendar, Cluster, Symbol};
use deskticker::massive::market_status;
use deskticker::massive::websocket::ChannelRefusal;
use deskticker::net::failure::Failure;
use deskticker::net::source::FeedProvider;
use deskticker::render::{self, Frame, Size};
use deskticker::ticker::state::TickerState;
use deskticker::time::{Moment, Now, Utc};
use futures_util::FutureExt;
use jiff::tz::TimeZone;
use tokio::sync::mpsc;

use super::bus::PanelBus;
use super::fonts::Glass;
use super::hours::Ms;
use super::i2c_display::bus::panel_settings;

/// The number of connections: one for each cluster, in the program's order.
pub(crate) const CLUSTERS: usize = Cluster::ALL.len();

/// An action that a connection requests from the simulated world.
#[derive(Debug)]
pub(crate) enum Act {
    Open,
    Authenticate,
    /// The prefix of the channel kind on the wire, and the ticker.
    Subscribe(&'static str, String),
    Unsubscribe(&'static str, String),
    Ping,
    Close,
}

/// The result of a failed connection attempt, or the cause of the end of a connection.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum End {
    Reset,
    Unreachable,
    /// The server answers the upgrade with 403.
    Forbidden,
    /// The server answers the upgrade with 404: this cluster does not exist.
    Absent,
    /// The server answers the upgrade with 503.
    Busy,
}

/// The pages that are shown, and the time for which each one is shown.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Layout {
    /// The default pages for the watchlist; each one is shown for this number of seconds.
    Turning(u64),
    /// Pages with large figures; each one is shown for this number of seconds.
    Large(u64),
    /// One of the default pages, shown all the time.
    Pinned(usize),
}

/// The program's core with its connections, its ticker state and its panel.
pub(crate) struct Display {
    provider: FeedProvider,
    watchlist: Vec<Symbol>,
    desk: TickerState,
    lines: [ServerState; CLUSTERS],
    told: [ConnectionStatus; CLUSTERS],
    sender: mpsc::Sender<Update>,
    updates: mpsc::Receiver<Update>,
    slot: Mailbox,
    taken: Box<Frame>,
    oled: Oled<PanelBus>,
    bus: PanelBus,
    seen: u64,
    /// The monotonic time in milliseconds until which the panel may show the last picture without
    /// an update.
    pub(crate) vouched: u64,
    drawn: Now,
    /// The time of the last pong on each connection.
    pongs: [Moment; CLUSTERS],
    /// The agreed time minus the monotonic time, in milliseconds.
    offset: Option<i64>,
    steps: u64,
    /// True if the poll intervals of REST may have changed.
    pub(crate) needs: bool,
}

const TALL: Size = Size::Tall;

impl Display {
    pub(crate) fn new(
        tickers: &[String],
        vendor: bool,
        delayed: bool,
        layout: Layout,
        seed: u64,
        now: Now,
    ) -> Self {
        let watchlist: Vec<Symbol> = tickers.iter().map(|name| name.parse().unwrap()).collect();
        let mut settings = TickerSettings {
            zone: TimeZone::get("America/New_York").unwrap(),
            shift: false,
            ..TickerSettings::of(watchlist.clone())
        };
        match layout {
            Layout::Turning(seconds) => settings.interval = Duration::from_secs(seconds),
            Layout::Large(seconds) => {
                settings.interval = Duration::from_secs(seconds);
                settings.pages = vec![
                    PageSpec::Big(0),
                    PageSpec::Pair(1, Some(4)),
                    PageSpec::Big(3),
                    PageSpec::Pair(5, Some(2)),
                    PageSpec::Contract(4),
                    PageSpec::Big(2),
                ];
            }
            Layout::Pinned(page) => settings.pin = Some(page),
        }
        let provider = if vendor {
            FeedProvider::Vendor
        } else {
            FeedProvider::Hub
        };
        let mut desk = TickerState::new(settings, Calendar::us(), TALL, now).unwrap();
        desk.set_delayed(vendor && delayed);
        let (sender, updates) = mpsc::channel(256);
        let lines = Cluster::ALL.map(|cluster| {
            let mut link = Connection::new(provider, seed ^ cluster as u64);
            link.set_optional(cluster == Cluster::Stocks);
            ServerState::new(cluster, provider, link)
        });
        let bus = PanelBus::new(seed);
        let panel = panel_settings(display::Chip::Ssd1306, TALL);
        let told = [0, 1, 2].map(|at: usize| status(&lines[at], Moment::ZERO));
        let mut display = Self {
            provider,
            watchlist,
            desk,
            lines,
            told,
            sender,
            updates,
            slot: Mailbox::new(TALL),
            taken: Box::new(Frame::new(TALL)),
            oled: Oled::new(panel, bus.clone()),
            bus,
            seen: u64::MAX,
            vouched: 0,
            drawn: now,
            pongs: [Moment::ZERO; CLUSTERS],
            offset: None,
            steps: 0,
            needs: true,
        };
        display.order(now);
        display.show(now);
        display
    }

    /// The simulated bus. A fault uses it to disturb the panel.
    pub(crate) fn bus(&self) -> &PanelBus {
        &self.bus
    }

    /// Copies the visible dots to `glass`; leaves `glass` as it is if no message came after the
    /// last call.
    pub(crate) fn look(&mut self, glass: &mut Glass) {
        self.seen = self.bus.look(glass, self.seen);
    }

    /// Handles the text of a frame from a connection; returns true if the frame ends the
    /// connection.
    pub(crate) fn frame(&mut self, cluster: usize, text: &str, now: Now) -> bool {
        let line = &mut self.lines[cluster];
        line.link.on(ConnectionEvent::Heard, now.monotonic);
        let bytes = text.into();
        let done = self
            .sender
            .frame(&bytes, line, now.monotonic)
            .now_or_never();
        assert!(matches!(done, Some(Ok(()))), "the queue has room");
        let ended = std::mem::take(&mut self.lines[cluster].ended);
        self.tell(cluster, now);
        while let Ok(update) = self.updates.try_recv() {
            self.take(&update, now);
        }
        self.needs |= ended;
        ended
    }

    /// Handles an opened connection.
    pub(crate) fn opened(&mut self, cluster: usize, is_hub: bool, now: Now) {
        self.lines[cluster].opened(is_hub, now.monotonic);
        self.tell(cluster, now);
    }

    /// Handles the end of a connection or of a connection attempt.
    pub(crate) fn closed(&mut self, cluster: usize, end: End, now: Now) {
        let reason = match end {
            End::Reset => Failure::Lost,
            End::Unreachable => Failure::Unreachable,
            End::Forbidden => Failure::Token,
            End::Absent => Failure::Path,
            End::Busy => Failure::Busy,
        };
        self.lines[cluster]
            .link
            .on(ConnectionEvent::Closed(reason), now.monotonic);
        self.tell(cluster, now);
    }

    /// Handles a pong.
    pub(crate) fn pong(&mut self, cluster: usize, now: Now) {
        self.pongs[cluster] = now.monotonic;
        self.lines[cluster]
            .link
            .on(ConnectionEvent::Heard, now.monotonic);
        self.tell(cluster, now);
    }

    /// Reports to all connections except `but` that the host has answered: by REST or on another
    /// connection.
    pub(crate) fn alive(&mut self, but: Option<usize>, now: Now) {
        for cluster in (0..CLUSTERS).filter(|cluster| Some(*cluster) != but) {
            self.lines[cluster]
                .link
                .on(ConnectionEvent::Alive, now.monotonic);
            self.tell(cluster, now);
        }
    }

    /// Returns the next action of a connection, or `None` if it has nothing to do now.
    pub(crate) fn next(&mut self, cluster: usize, now: Now) -> Option<Act> {
        let action = self.lines[cluster].link.next(now.monotonic);
        self.tell(cluster, now);
        let split = |channel: deskticker::market::Channel| {
            (channel.kind.prefix(), channel.ticker.to_string())
        };
        Some(match action? {
            ConnectionAction::Open => Act::Open,
            ConnectionAction::Authenticate => Act::Authenticate,
            ConnectionAction::Subscribe(channel) => {
                let (kind, ticker) = split(channel);
                Act::Subscribe(kind, ticker)
            }
            ConnectionAction::Unsubscribe(channel) => {
                let (kind, ticker) = split(channel);
                Act::Unsubscribe(kind, ticker)
            }
            ConnectionAction::Ping => Act::Ping,
            ConnectionAction::Report(channel, refusal) => {
                let refusal = self.lines[cluster].refusal(refusal);
                let not_authorized = refusal == ChannelRefusal::NotAuthorized;
                let update = Update::Unanswered {
                    channel,
                    not_authorized,
                };
                self.take(&update, now);
                return self.next(cluster, now);
            }
            ConnectionAction::Close(_) => Act::Close,
        })
    }

    fn tell(&mut self, cluster: usize, now: Now) {
        let status = status(&self.lines[cluster], self.pongs[cluster]);
        if status != self.told[cluster] {
            let before = std::mem::replace(&mut self.told[cluster], status).phase;
            if status.phase == ConnectionPhase::Live && before != ConnectionPhase::Live {
                self.alive(Some(cluster), now);
            }
            self.take(&Update::Status(Cluster::ALL[cluster], status), now);
        }
    }

    fn take(&mut self, update: &Update, now: Now) {
        self.desk.on(update, now);
        self.needs |= update.may_change_needs();
    }

    /// Returns the poll interval of each instrument in milliseconds, and a counter that changes
    /// after each reconnection and each step of the agreed time.
    pub(crate) fn need(&mut self, now: Now) -> (Vec<Option<Ms>>, u64) {
        self.needs = false;
        let agreed = self.desk.time(now.monotonic);
        self.steps += u64::from(self.stepped(agreed));
        self.offset = offset(agreed);
        let poll_intervals = self.desk.poll_intervals(now);
        let poll_intervals = poll_intervals.map(|pace| pace.map(|pace| pace.as_millis() as Ms));
        (poll_intervals.collect(), self.desk.returns() + self.steps)
    }

    /// Handles a REST response with quotes; returns false if the program cannot read the response.
    pub(crate) fn quotes(&mut self, body: &str, now: Now) -> bool {
        let Ok(quotes) = poller::read(self.provider, body.as_bytes(), &self.watchlist) else {
            return false;
        };
        let outcome = match quotes.repeated {
            true => Err(Failure::HubUpstream),
            false => Ok(()),
        };
        self.take(&Update::Rest(outcome), now);
        for seed in quotes.seeds {
            self.take(&Update::Seed(Box::new(seed)), now);
        }
        true
    }

    /// Returns the hub's response for a vendor snapshot of this age in milliseconds.
    pub(crate) fn of_hub(tickers: &[String], snapshot: &str, age: Ms) -> String {
        let tickers: Vec<&str> = tickers.iter().map(String::as_str).collect();
        let age = Duration::from_millis(age.max(0) as u64);
        let stale = age > Duration::from_secs(30);
        let answer =
            deskticker::hub::rest::quotes::answer(&tickers, snapshot.as_bytes(), age, stale);
        answer.unwrap()
    }

    /// Handles a REST response with the market status.
    pub(crate) fn market(&mut self, body: &str, now: Now) {
        if let Some((status, simulated)) = market_status::status(body.as_bytes()) {
            self.take(&Update::MarketStatus(status, simulated), now);
        }
    }

    /// Handles the server time (the `Date` of any HTTP response), in milliseconds.
    pub(crate) fn server_time(&mut self, utc: Ms, now: Now) {
        let update = Update::ServerTime {
            at: now.monotonic,
            utc: Utc(utc),
        };
        self.take(&update, now);
    }

    /// Returns the interval between two requests for the market status, in milliseconds.
    pub(crate) fn market_pace(&self, now: Now) -> Option<Ms> {
        let pace = self.desk.market_pace(now);
        pace.map(|pace| pace.as_millis() as Ms)
    }

    /// Returns the agreed time of the program in milliseconds, or `None` while the time is unknown.
    pub(crate) fn agreed(&self, now: Now) -> Option<Ms> {
        self.desk.time(now.monotonic).utc.map(|utc| utc.0)
    }

    /// Returns the time from which the program needs the minute bars of an instrument.
    pub(crate) fn minutes_since(&self, place: usize) -> Option<Ms> {
        let symbol = &self.watchlist[place];
        let mut days = self.desk.days();
        days.find(|(wanted, _)| *wanted == symbol)
            .map(|(_, since)| since.0)
    }

    /// Returns the anomalies so far, such as timestamps ahead of the time and values older than the
    /// stored one.
    pub(crate) fn anomalies(&self) -> String {
        format!("{:?}", self.desk.anomalies())
    }

    /// Advances the ticker state if its deadline has passed or the time has stepped, and draws. The
    /// world calls this function after each event and at [`Display::deadline`].
    pub(crate) fn wake(&mut self, now: Now) {
        let due = self.desk.deadline(self.drawn);
        if now.monotonic >= due || self.stepped(self.desk.time(now.monotonic)) {
            self.desk.advance(now);
            self.order(now);
            self.needs = true;
        } else if self.needs {
            self.order(now);
        }
        self.show(now);
    }

    /// Shows HALTED, as the panel's thread does when the main thread sends no new picture in time.
    pub(crate) fn halt(&mut self, now: Now) {
        let notice = render::notice(TALL, "HALTED", "the program stands still");
        self.oled.show(&notice, self.desk.light(), now.monotonic);
    }

    /// Lets the panel do its own work that is due, such as a retry.
    pub(crate) fn tick(&mut self, now: Now) {
        if self.oled.deadline() <= now.monotonic {
            self.oled.tick(now.monotonic);
        }
    }

    /// Returns the next deadline of the ticker state, in milliseconds of monotonic time.
    pub(crate) fn deadline(&self) -> u64 {
        self.desk.deadline(self.drawn).as_millis()
    }

    /// Returns the next deadline of the panel, in milliseconds of monotonic time.
    pub(crate) fn panel_deadline(&self) -> u64 {
        self.oled.deadline().as_millis()
    }

    /// Returns the next deadline of a connection, in milliseconds of monotonic time.
    pub(crate) fn line_deadline(&self, cluster: usize) -> u64 {
        self.lines[cluster].link.deadline().as_millis()
    }

    fn order(&mut self, now: Now) {
        for (at, cluster) in Cluster::ALL.into_iter().enumerate() {
            let demand = self.desk.demand(cluster, now);
            self.lines[at]
                .link
                .want(&demand.channels, demand.max_silence, now.monotonic);
        }
    }

    fn show(&mut self, now: Now) {
        self.drawn = now;
        self.desk.draw(now);
        let until = self.desk.good_until(now);
        self.vouched = until.as_millis();
        self.slot.put(self.desk.frame(), self.desk.light(), until);
        let taken = self.slot.take_into(&mut self.taken, Some(Duration::ZERO));
        if let MailboxItem::Frame(light, until) = taken {
            self.oled.good_until(until, now);
            self.oled.show(&self.taken, light, now.monotonic);
        }
    }

    fn stepped(&self, now: Now) -> bool {
        match (self.offset, offset(now)) {
            (Some(before), Some(after)) => before.abs_diff(after) > 60_000,
            (before, after) => before.is_none() && after.is_some(),
        }
    }
}

fn status(line: &ServerState, heard: Moment) -> ConnectionStatus {
    ConnectionStatus {
        heard,
        simulated: line.simulated,
        cut_off: line.cut_off,
        ..line.link.status()
    }
}

fn offset(now: Now) -> Option<i64> {
    Some(now.utc?.0.saturating_sub(now.monotonic.as_millis() as i64))
}

/// Returns the index of the cluster that streams a ticker.
pub(crate) fn cluster(ticker: &str) -> usize {
    let symbol: Symbol = ticker.parse().unwrap();
    symbol.cluster() as usize
}

/// Returns the time as the program sees it: milliseconds since its start, and the wall clock. A
/// wall clock before the earliest plausible time counts as not set.
pub(crate) fn now(since_start: Ms, clock: Option<Ms>) -> Now {
    Now {
        monotonic: Moment::from_millis(since_start.max(0) as u64),
        utc: clock.map(Utc).filter(|utc| *utc >= Utc::PLAUSIBLE),
    }
}
