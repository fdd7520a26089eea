//! The program's own core, from the text of a frame to the dots of the glass: the only file of
//! this trial that calls it. What a shell would do around it (sockets, timers, threads) is done
//! here by hand, in the order of `service::run`, `session::Runner` and `display::serve`.

use std::time::Duration;

use deskticker::config::settings::{PageSpec, TickerSettings};
use deskticker::display;
use deskticker::display::{DisplayDevice as _, Mailbox, MailboxItem, Oled, Rotation};
use deskticker::feed::connection::Connection;
use deskticker::feed::connection_status::{ConnectionAction, ConnectionEvent, ConnectionPhase};
use deskticker::feed::sink::{EventSink, ServerState};
use deskticker::feed::{ConnectionStatus, Update, poller};
use deskticker::market::{Calendar, Cluster, Symbol};
use deskticker::massive::market_status;
use deskticker::net::failure::Failure;
use deskticker::net::source::FeedProvider;
use deskticker::render;
use deskticker::render::{Frame, Size};
use deskticker::ticker::state::TickerState;
use deskticker::time::{Moment, Now, Utc};
use futures_util::FutureExt;
use jiff::tz::TimeZone;
use tokio::sync::mpsc;

use super::bus::Chip;
use super::fonts::Glass;
use super::hours::Ms;

/// The three connections, in the order of the program.
pub(crate) const CLUSTERS: usize = Cluster::ALL.len();

/// What a connection asks the world to do.
#[derive(Debug)]
pub(crate) enum Act {
    Open,
    Authenticate,
    /// By the kind's prefix on the wire and the ticker.
    Subscribe(&'static str, String),
    Unsubscribe(&'static str, String),
    Ping,
    Close,
}

/// How an attempt or a connection ends.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum End {
    Reset,
    Unreachable,
    /// 403 at the upgrade.
    Forbidden,
    /// 404 at the upgrade: there is no such cluster.
    Absent,
    /// 503 at the upgrade.
    Busy,
}

/// Which pages are shown, and how.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Layout {
    /// Those that fit the watchlist, each for so many seconds.
    Turning(u64),
    /// Those of a person who likes large figures, each for so many seconds.
    Large(u64),
    /// One of the pages that fit, for ever.
    Pinned(usize),
}

/// When the display looks at itself again.
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
    oled: Oled<Chip>,
    chip: Chip,
    seen: u64,
    /// Until when the panel may show the last picture although nothing comes, in milliseconds.
    pub(crate) vouched: u64,
    drawn: Now,
    /// When the last answer to a ping came on each connection.
    pongs: [Moment; CLUSTERS],
    /// The agreed time less the monotonic one.
    offset: Option<i64>,
    steps: u64,
    /// What is needed of REST may be another.
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
        let chip = Chip::new(seed);
        let panel = display::PanelSettings {
            chip: display::Chip::Ssd1306,
            size: TALL,
            bus: "/dev/i2c-1".into(),
            address: 0x3c,
            rotation: Rotation::Upright,
        };
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
            oled: Oled::new(panel, chip.clone()),
            chip,
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

    /// The panel's memory, for who wants to disturb its bus.
    pub(crate) fn chip(&self) -> &Chip {
        &self.chip
    }

    /// What the glass shows; untouched if nothing was sent since the last look.
    pub(crate) fn look(&mut self, glass: &mut Glass) {
        self.seen = self.chip.look(glass, self.seen);
    }

    /// The text of a frame has come on a connection; true if that ends it.
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

    /// A connection was opened.
    pub(crate) fn opened(&mut self, cluster: usize, now: Now) {
        self.lines[cluster].opened(now.monotonic);
        self.tell(cluster, now);
    }

    /// A connection, or the attempt at one, has ended.
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

    /// An answer to a ping has come.
    pub(crate) fn pong(&mut self, cluster: usize, now: Now) {
        self.pongs[cluster] = now.monotonic;
        self.lines[cluster]
            .link
            .on(ConnectionEvent::Heard, now.monotonic);
        self.tell(cluster, now);
    }

    /// The host has answered somebody: REST, or another connection than this one.
    pub(crate) fn alive(&mut self, but: Option<usize>, now: Now) {
        for cluster in (0..CLUSTERS).filter(|cluster| Some(*cluster) != but) {
            self.lines[cluster]
                .link
                .on(ConnectionEvent::Alive, now.monotonic);
            self.tell(cluster, now);
        }
    }

    /// What a connection wants done next.
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
            ConnectionAction::Report(channel) => {
                let not_authorized = self.lines[cluster].not_authorized;
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

    /// How often REST is to be asked for each instrument, and a number that is another one after
    /// each return of a link.
    pub(crate) fn need(&mut self, now: Now) -> (Vec<Option<Ms>>, u64) {
        self.needs = false;
        let agreed = self.desk.time(now.monotonic);
        self.steps += u64::from(self.stepped(agreed));
        self.offset = offset(agreed);
        let poll_intervals = self.desk.poll_intervals(now);
        let poll_intervals = poll_intervals.map(|pace| pace.map(|pace| pace.as_millis() as Ms));
        (poll_intervals.collect(), self.desk.returns() + self.steps)
    }

    /// An answer about quotes has come; whether it is one.
    pub(crate) fn quotes(&mut self, body: &str, now: Now) -> bool {
        let Ok(quotes) = poller::read(self.provider, body.as_bytes(), &self.watchlist) else {
            return false;
        };
        for seed in quotes.seeds {
            self.take(&Update::Seed(Box::new(seed)), now);
        }
        true
    }

    /// What a hub makes of a snapshot of the vendor's that is so old.
    pub(crate) fn of_hub(tickers: &[String], snapshot: &str, age: Ms) -> String {
        let tickers: Vec<&str> = tickers.iter().map(String::as_str).collect();
        let age = Duration::from_millis(age.max(0) as u64);
        let stale = age > Duration::from_secs(30);
        let answer =
            deskticker::hub::rest::quotes::answer(&tickers, snapshot.as_bytes(), age, stale);
        answer.unwrap()
    }

    /// An answer about the state of the markets has come.
    pub(crate) fn market(&mut self, body: &str, now: Now) {
        if let Some((status, simulated)) = market_status::status(body.as_bytes()) {
            self.take(&Update::Market(status, simulated), now);
        }
    }

    /// An answer, whatever it is, says what time it is.
    pub(crate) fn server_time(&mut self, utc: Ms, now: Now) {
        let update = Update::ServerTime {
            at: now.monotonic,
            utc: Utc(utc),
        };
        self.take(&update, now);
    }

    /// How often the state of the markets is asked for.
    pub(crate) fn market_pace(&self, now: Now) -> Option<Ms> {
        let pace = self.desk.market_pace(now);
        pace.map(|pace| pace.as_millis() as Ms)
    }

    /// The time that the program goes by.
    pub(crate) fn agreed(&self, now: Now) -> Option<Ms> {
        self.desk.time(now.monotonic).utc.map(|utc| utc.0)
    }

    /// Since when the minutes of an instrument are wanted.
    pub(crate) fn minutes_since(&self, place: usize) -> Option<Ms> {
        let symbol = &self.watchlist[place];
        let mut days = self.desk.days();
        days.find(|(wanted, _)| *wanted == symbol)
            .map(|(_, since)| since.0)
    }

    /// What was odd so far: stamps that are ahead, values that are older.
    pub(crate) fn anomalies(&self) -> String {
        format!("{:?}", self.desk.anomalies())
    }

    /// Does what is due and draws: after whatever has come, and at [`Display::deadline`].
    pub(crate) fn wake(&mut self, now: Now) {
        let due = self.desk.deadline(self.drawn);
        if now.monotonic >= due || self.stepped(self.desk.time(now.monotonic)) {
            self.desk.advance(now);
            self.order(now);
            self.needs = true;
        }
        self.show(now);
    }

    /// What the panel's thread does when nobody has drawn for too long.
    pub(crate) fn halt(&mut self, now: Now) {
        let notice = render::notice(TALL, "HALTED", "the program stands still");
        self.oled.show(&notice, self.desk.light(), now.monotonic);
    }

    /// Does what is due on the panel alone.
    pub(crate) fn tick(&mut self, now: Now) {
        if self.oled.deadline() <= now.monotonic {
            self.oled.tick(now.monotonic);
        }
    }

    /// When to wake although nothing comes, in milliseconds of monotonic time.
    pub(crate) fn deadline(&self) -> u64 {
        self.desk.deadline(self.drawn).as_millis()
    }

    /// When the panel has something to do.
    pub(crate) fn panel_deadline(&self) -> u64 {
        self.oled.deadline().as_millis()
    }

    /// When a connection has something to do.
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

/// The cluster that streams a ticker.
pub(crate) fn cluster(ticker: &str) -> usize {
    let symbol: Symbol = ticker.parse().unwrap();
    symbol.cluster() as usize
}

/// The time as the program sees it: since its start, and by a wall clock if that is set.
pub(crate) fn now(since_start: Ms, clock: Option<Ms>) -> Now {
    Now {
        monotonic: Moment::from_millis(since_start.max(0) as u64),
        utc: clock.map(Utc).filter(|utc| *utc >= Utc::PLAUSIBLE),
    }
}
