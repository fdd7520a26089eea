//! Runs one world in virtual time: the exchanges, the server, the network and the display. A run
//! ends at the first broken rule or at the end of the world.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use super::display::{self, Act, CLUSTERS, Display, End};
use super::faults::{Fault, What};
use super::fonts::Glass;
use super::hours::{DAY, HOUR, MINUTE, Ms, SECOND, local, utc};
use super::judge::{Broken, Demand, Judge, Known, Moment, Rule, Standing};
use super::plan::{Part, Span, is_contract, limit, regular, spans};
use super::reader::{Figure, Page, Reader, Word};
use super::scenario::{Kind, Scenario, clock};
use super::tape::{COUNT, NAMES, SPX, SPXW, SPY, Session, Sort, TICK, Tape, VIX};
use super::words::{Form, Row, Stamp, frame, status};

/// The greatest transit time in milliseconds without a fault.
const WAY: Ms = 90;

/// An event of the simulated world.
#[derive(Debug)]
enum Event {
    /// The exchange makes a value.
    Emit(usize),
    /// The simulated server makes a value.
    Simulate(usize),
    /// A minute ends, so its bars are due.
    Minute,
    /// A value leaves a delayed source.
    Leave(Flight),
    /// A value arrives at the display.
    Arrive(usize, u32, Flight, Option<Ms>),
    /// A status message arrives at the display.
    Say(usize, u32, Box<str>),
    /// The server answers a connection attempt.
    Answered(usize, u32, Result<(), End>),
    Pong(usize, u32),
    Lost(usize, u32, End),
    /// A REST response arrives.
    Told(Question),
    Begin(usize),
    Finish(usize),
}

#[derive(Clone, Copy, Debug)]
struct Flight {
    place: usize,
    index: u32,
    form: Form,
    stamp: Stamp,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Question {
    Quotes(u8),
    Market,
}

/// A connection from the server's side.
#[derive(Clone, Copy, Debug, Default)]
struct Connection {
    epoch: u32,
    open: bool,
    /// True if no packet passes and no side has got an error.
    dead: bool,
    /// The subscriptions, by instrument and by kind: V, Q, A, AM.
    wanted: [[bool; 4]; COUNT],
    /// The arrival time of the last message: a connection keeps the order of its messages.
    last: Ms,
    /// True while a connection attempt waits for its answer.
    calling: bool,
}

fn kind(prefix: &str) -> Option<usize> {
    ["V", "Q", "A", "AM"]
        .iter()
        .position(|kind| *kind == prefix)
}

/// The counters of all worlds.
#[derive(Clone, Debug, Default)]
pub(crate) struct Counts {
    pub(crate) values: u64,
    pub(crate) pictures: u64,
    pub(crate) days: f64,
    pub(crate) faults: [u64; What::ALL.len()],
    pub(crate) words: [u64; Word::ALL.len()],
    pub(crate) plain: u64,
    pub(crate) struck: u64,
    pub(crate) dashes: u64,
    pub(crate) no_time: u64,
    /// The milliseconds from the end of a network fault to the next fresh value on the display.
    pub(crate) recoveries: Vec<u32>,
}

impl Counts {
    /// Adds the counters of another world.
    pub(crate) fn add(&mut self, other: &Self) {
        let pairs = self.faults.iter_mut().zip(other.faults);
        pairs
            .chain(self.words.iter_mut().zip(other.words))
            .for_each(|(sum, more)| *sum += more);
        self.values += other.values;
        self.pictures += other.pictures;
        self.days += other.days;
        self.plain += other.plain;
        self.struck += other.struck;
        self.dashes += other.dashes;
        self.no_time += other.no_time;
        self.recoveries.extend(&other.recoveries);
    }
}

/// The result of a world.
pub(crate) struct Outcome {
    pub(crate) broken: Option<Broken>,
    pub(crate) story: Vec<String>,
    pub(crate) counts: Counts,
}

struct World<'a> {
    scenario: &'a Scenario,
    now: Ms,
    queue: BinaryHeap<Reverse<(Ms, u64, u32)>>,
    events: Vec<Option<Event>>,
    free: Vec<u32>,
    sequence: u64,
    random: fastrand::Rng,
    tickers: Vec<String>,
    clusters: [usize; COUNT],
    tapes: [Tape; COUNT],
    spans: [Vec<Span>; COUNT],
    at: [usize; COUNT],
    display: Display,
    connections: [Connection; CLUSTERS],
    kind: Kind,
    simulated: bool,
    /// The values that a hub repeats: the last value of each channel, and its receive time at the
    /// hub.
    cache: [[Option<(Flight, Ms)>; 4]; COUNT],
    active: Vec<usize>,
    /// The time at which the last value of each instrument leaves its source.
    send_times: [Ms; COUNT],
    known: [Known; COUNT],
    real: [Option<Ms>; COUNT],
    /// The time since which two time sources have been right without a break.
    timed: Option<Ms>,
    /// True if two time sources were right at some time and no two wrong ones have agreed since.
    remembered: bool,
    /// True if the program may know the time from the server's `Date` and the ends of bars.
    perhaps_timed: bool,
    /// True if a bar of a share has arrived with a right timestamp.
    barred: bool,
    dated: Option<(Ms, bool)>,
    /// The last two streamed timestamps of each cluster: the receive time, and true if the timestamp
    /// was right.
    streamed: [[Option<(Ms, bool)>; 2]; 3],
    /// The same with the ends of minute bars: the program may use them, too, but need not.
    streamed_or_barred: [[Option<(Ms, bool)>; 2]; 3],
    disordered: Ms,
    broken_since: Option<Ms>,
    // The state of the REST client
    poll_intervals: Vec<Option<Ms>>,
    epoch: u64,
    answered: [Option<(Ms, u64)>; COUNT],
    asked_epoch: u64,
    hold: Ms,
    retry: Ms,
    market: Ms,
    asking: bool,
    text: String,
    // The state of the display
    reader: Reader,
    glass: Glass,
    page: Page,
    standing: [Option<Standing>; 2],
    torn: Ms,
    cuts: u64,
    forms: [Option<String>; COUNT],
    story: Vec<String>,
    counts: Counts,
    recovering: Option<Ms>,
    /// The requirements, and the time until which they are valid.
    demanded: ([Demand; COUNT], Ms),
    quiet: Ms,
    halted: bool,
    on: [bool; COUNT],
    over: [bool; COUNT],
    unclosed: [bool; COUNT],
    hushed: [Option<Ms>; COUNT],
    /// True if the log of the world contains the REST responses.
    loud: bool,
}

/// Runs a world until a rule is broken or its time is over.
pub(crate) fn run(scenario: &Scenario) -> Outcome {
    let mut world = World::new(scenario);
    let broken = world.live();
    let mut counts = world.counts;
    counts.days = (world.now - scenario.start) as f64 / DAY as f64;
    Outcome {
        broken,
        story: world.story,
        counts,
    }
}

impl<'a> World<'a> {
    fn new(scenario: &'a Scenario) -> Self {
        let tickers = scenario.tickers();
        let clusters: Vec<usize> = tickers.iter().map(|name| display::cluster(name)).collect();
        let first = local(scenario.start).0;
        let days = first - 1..=first + 2;
        let span = |place| {
            let mut spans = spans(place, days.clone(), &scenario.habits);
            for fault in &scenario.faults {
                let run = fault.what == What::Outside && fault.place == place;
                if run {
                    spans.push(Span {
                        from: fault.from,
                        to: fault.until,
                        part: Part::Outside,
                        gap: (1_000, 1_000),
                        day: local(fault.from).0,
                    });
                }
            }
            spans.sort_by_key(|span| span.from);
            spans
        };
        let early = display::now(0, None);
        let mut world = Self {
            scenario,
            now: utc(first - 1, 12 * HOUR),
            queue: BinaryHeap::new(),
            events: Vec::new(),
            free: Vec::new(),
            sequence: 0,
            random: fastrand::Rng::with_seed(scenario.seed ^ 0xD15_1A7),
            clusters: [0, 1, 2, 3, 4, 5].map(|at: usize| clusters[at]),
            tapes: [0, 1, 2, 3, 4, 5].map(|place| Tape::new(place, scenario.seed)),
            spans: [0, 1, 2, 3, 4, 5].map(span),
            at: [0; COUNT],
            display: Display::new(
                &tickers,
                scenario.kind.is_vendor(),
                scenario.kind == Kind::LateVendor,
                scenario.layout,
                scenario.seed,
                early,
            ),
            tickers,
            connections: Default::default(),
            // A proxy has no simulated prices, so a hub serves them until the replacement.
            kind: if scenario.simulated {
                Kind::Hub
            } else {
                scenario.kind
            },
            simulated: scenario.simulated,
            cache: [[None; 4]; COUNT],
            active: Vec::new(),
            send_times: [0; COUNT],
            known: Default::default(),
            real: [None; COUNT],
            timed: None,
            remembered: false,
            perhaps_timed: false,
            barred: false,
            dated: None,
            streamed: Default::default(),
            streamed_or_barred: Default::default(),
            disordered: 0,
            broken_since: None,
            poll_intervals: vec![None; COUNT],
            epoch: 0,
            answered: [None; COUNT],
            asked_epoch: 0,
            hold: 0,
            retry: 5 * SECOND,
            market: 0,
            asking: false,
            text: String::with_capacity(4096),
            reader: Reader::new(&NAMES),
            glass: [0; 1024],
            page: Page::default(),
            standing: [None; 2],
            torn: 0,
            cuts: 0,
            forms: Default::default(),
            story: Vec::new(),
            counts: Counts::default(),
            recovering: None,
            demanded: Default::default(),
            quiet: 0,
            halted: false,
            on: [false; COUNT],
            over: [false; COUNT],
            unclosed: [false; COUNT],
            hushed: [None; COUNT],
            loud: std::env::var_os("WORLD").is_some(),
        };
        world.past(first);
        world
    }

    /// Makes the closing prices of the two previous sessions and all values before the start of the
    /// display.
    fn past(&mut self, first: i64) {
        let habits = self.scenario.habits;
        let start = self.scenario.start;
        let has = |place, day| regular(place, day, &habits).is_some();
        for place in 0..COUNT {
            let mut days = Vec::new();
            let mut day = first - 2;
            while days.len() < 2 {
                if has(place, day) {
                    days.push(day);
                }
                day -= 1;
            }
            for day in days.into_iter().rev() {
                let Some((_, bell)) = regular(place, day, &habits) else {
                    continue;
                };
                let (part, at) = match place {
                    SPX => (Part::Close, bell + 290 * SECOND),
                    // On some days the last trade is minutes before the bell.
                    SPY => (Part::Close, bell - [0, 8 * MINUTE][(day % 2) as usize]),
                    // On some days the last quote of a contract is minutes before the bell, too.
                    5 => (
                        Part::Regular,
                        bell - [3_000, 20 * MINUTE][(day % 2) as usize],
                    ),
                    _ => (Part::Regular, bell - 2_000),
                };
                while self.tapes[place].session.day != day {
                    self.tapes[place].tell(at, part, day, false);
                }
            }
            // The loop below makes the values of yesterday and of today before the start.
            self.at[place] = 0;
        }
        let mut due = [Ms::MAX; COUNT];
        for (place, due) in due.iter_mut().enumerate() {
            *due = self.spans[place].first().map_or(Ms::MAX, |span| span.from);
        }
        #[allow(clippy::needless_range_loop)]
        for place in 0..COUNT {
            while due[place] < start {
                let at = due[place];
                due[place] = self.emit_at(place, at);
                let late = at + self.scenario.kind.delay();
                if late >= start {
                    // The delayed value is still in transit at the start.
                    let index = self.tapes[place].values.len() as u32 - 1;
                    let flight = self.stamped(place, index, Form::of(place));
                    self.push(late, Event::Leave(flight));
                }
            }
            if due[place] < Ms::MAX {
                self.push(due[place], Event::Emit(place));
            }
        }
        self.now = start;
        if self.scenario.simulated {
            for place in 0..COUNT {
                self.push(start + 300 * place as Ms, Event::Simulate(place));
            }
        }
        self.push(start - start % MINUTE + MINUTE + 700, Event::Minute);
        for (at, fault) in self.scenario.faults.iter().enumerate() {
            let (from, until) = (fault.from, fault.until);
            self.push(from.max(start), Event::Begin(at));
            self.push(until.max(start), Event::Finish(at));
        }
    }

    fn push(&mut self, at: Ms, event: Event) {
        let slot = match self.free.pop() {
            Some(slot) => {
                self.events[slot as usize] = Some(event);
                slot
            }
            None => {
                self.events.push(Some(event));
                self.events.len() as u32 - 1
            }
        };
        self.sequence += 1;
        self.queue.push(Reverse((at, self.sequence, slot)));
    }

    fn active(&self, what: What) -> Option<&Fault> {
        let faults = self.active.iter().map(|at| &self.scenario.faults[*at]);
        let mut found = faults.filter(|fault| fault.what == what);
        found.next()
    }

    fn active_of(&self, what: What, place: usize) -> bool {
        let mut faults = self.active.iter().map(|at| &self.scenario.faults[*at]);
        faults.any(|fault| fault.what == what && fault.place == place)
    }

    /// Returns the time of the display's own clock, or `None` if the clock is not set.
    fn own(&self) -> Option<Ms> {
        if self.active(What::ClockUnset).is_some() {
            return None;
        }
        let off = self.active(What::ClockOff).map_or(0, |fault| fault.size);
        Some(self.now + off)
    }

    fn time(&self) -> deskticker::time::Now {
        display::now(self.now - self.scenario.start, self.own())
    }

    fn way(&mut self) -> Ms {
        self.random.i64(15..WAY)
    }

    // ---- The exchanges

    /// Makes the next value, and returns the time of the one after it.
    fn emit_at(&mut self, place: usize, at: Ms) -> Ms {
        let span = self.spans[place][self.at[place]];
        let worthless = self.scenario.worthless
            && place == SPXW
            && span.day == self.scenario.habits.expiry
            && span.to - at < HOUR;
        self.tapes[place].tell(at, span.part, span.day, worthless);
        let (least, most) = span.gap;
        let gap = if most <= least {
            least
        } else {
            self.random.i64(least..most)
        };
        // A one-second bar ends at a whole second.
        let next = at
            + if place == SPY {
                gap - gap % SECOND
            } else {
                gap
            };
        if most > 0 && next < span.to {
            return next;
        }
        loop {
            self.at[place] += 1;
            let Some(span) = self.spans[place].get(self.at[place]) else {
                return Ms::MAX;
            };
            // The search skips a period that has no length or that began in the past.
            if span.from > at && (span.from < span.to || span.gap.1 == 0) {
                return span.from;
            }
        }
    }

    fn emit(&mut self, place: usize) {
        let at = self.now;
        let next = self.emit_at(place, at);
        if next < Ms::MAX {
            self.push(next, Event::Emit(place));
        }
        let index = self.tapes[place].values.len() as u32 - 1;
        self.counts.values += 1;
        self.send(place, index, Form::of(place));
    }

    fn simulate(&mut self, place: usize) {
        if !self.simulated {
            return;
        }
        let index = self.tapes[place].simulate(self.now);
        self.counts.values += 1;
        let gap = self.random.i64(1_000..4_000);
        self.push(self.now + gap, Event::Simulate(place));
        let flight = self.stamped(place, index, Form::of(place));
        self.take_off(flight);
    }

    /// Sends the minute bars of SPX and SPY, made from the values within the minute.
    fn minute(&mut self) {
        let end = self.now - self.now % MINUTE;
        self.push(end + MINUTE + 700, Event::Minute);
        for place in [SPX, SPY] {
            let tape = &self.tapes[place];
            let Some(last) = tape.session.last else {
                continue;
            };
            let value = tape.get(last);
            // A one-second bar that ends with the minute belongs to this minute.
            let (from, to) = if place == SPY {
                (end - MINUTE + 1, end + 1)
            } else {
                (end - MINUTE, end)
            };
            if (from..to).contains(&value.at) && tape.last == Some(last) {
                self.send(place, last, Form::Minute(end));
            }
        }
    }

    /// Sends a value from the exchange to the clients of the vendor, unless a fault prevents it.
    fn send(&mut self, place: usize, index: u32, form: Form) {
        if self.simulated {
            return;
        }
        let silent = self.active(What::SilenceAll).is_some()
            || self.active_of(What::SilenceOne, place)
            || self.active_of(What::NotAuthorized, place);
        if silent {
            return;
        }
        let flight = self.stamped(place, index, form);
        let late = if self.active(What::Late).is_some() {
            29 * SECOND
        } else {
            0
        };
        let bar = if place == SPY { 900 } else { 0 };
        // The source sends the values in the order of their creation.
        let send_times = &mut self.send_times[place];
        *send_times = (self.now + self.scenario.kind.delay() + late + bar).max(*send_times);
        match *send_times {
            now if now == self.now => self.take_off(flight),
            later => self.push(later, Event::Leave(flight)),
        }
    }

    fn stamped(&self, place: usize, index: u32, form: Form) -> Flight {
        let value = self.tapes[place].get(index);
        let off = self.active(What::StampsOff).map_or(0, |fault| fault.size);
        let at = value.at + off;
        let stamp = if self.active(What::NoStamp).is_some() {
            Stamp::None
        } else if self.active(What::Seconds).is_some() {
            Stamp::Seconds(at)
        } else {
            Stamp::Millis(at)
        };
        let form = match form {
            Form::Minute(end) => Form::Minute(end + off),
            form => form,
        };
        Flight {
            place,
            index,
            form,
            stamp,
        }
    }

    /// Handles a value that arrives at the server, and forwards it to the display.
    fn take_off(&mut self, flight: Flight) {
        let hub = !self.kind.is_vendor();
        if hub && (self.active(What::UpstreamLost).is_some() || self.is_down()) {
            return;
        }
        let Some(kind) = kind(flight.form.prefix()) else {
            return;
        };
        self.cache[flight.place][kind] = Some((flight, self.now));
        self.forward(flight, None);
    }

    fn forward(&mut self, flight: Flight, age: Option<Ms>) {
        let cluster = self.clusters[flight.place];
        let way = self.way();
        let connection = &mut self.connections[cluster];
        let wanted =
            kind(flight.form.prefix()).is_some_and(|kind| connection.wanted[flight.place][kind]);
        if !connection.open || connection.dead || !wanted {
            return;
        }
        let epoch = connection.epoch;
        let at = (self.now + way).max(connection.last);
        connection.last = at;
        self.push(at, Event::Arrive(cluster, epoch, flight, age));
    }

    // ---- The server and the network

    fn is_down(&self) -> bool {
        self.active(What::Down).is_some()
            || self
                .active(What::Replaced)
                .is_some_and(|fault| self.now >= fault.from)
    }

    /// Returns the time until which all data is held up, if a fault holds it up.
    fn held(&self) -> Option<Ms> {
        let mut stalls = [What::Stall, What::Stopped, What::Held].into_iter();
        let stall = stalls.find_map(|what| self.active(what));
        stall.map(|fault| fault.until)
    }

    fn drop_all(&mut self, end: End) {
        for cluster in 0..CLUSTERS {
            let connection = &mut self.connections[cluster];
            if connection.open && !connection.dead {
                connection.open = false;
                let epoch = connection.epoch;
                self.push(self.now + 5, Event::Lost(cluster, epoch, end));
            }
        }
    }

    fn begin(&mut self, at: usize) {
        let fault = self.scenario.faults[at];
        self.active.push(at);
        self.counts.faults[What::ALL
            .iter()
            .position(|what| *what == fault.what)
            .unwrap_or(0)] += 1;
        self.note(fault.told().to_string());
        match fault.what {
            What::Reset => self.drop_all(End::Reset),
            What::Forbidden => self.drop_all(End::Reset),
            What::Down | What::Replaced => {
                self.cache = [[None; 4]; COUNT];
                self.drop_all(End::Reset);
            }
            What::HalfOpen => {
                for connection in &mut self.connections {
                    connection.dead |= connection.open;
                }
            }
            What::UpstreamLost if self.kind == Kind::Proxy => {
                // The proxy's connections stay open and silent for ever.
                for connection in &mut self.connections {
                    connection.wanted = Default::default();
                }
            }
            What::UpstreamLost => self.announce("upstream_down", "the vendor is away"),
            What::Evicted => self.announce(
                "max_connections",
                "Maximum number of websocket connections exceeded.",
            ),
            What::Stray => {
                let index = self.tapes[fault.place].odd(self.now, Sort::Stray);
                self.send(fault.place, index, Form::of(fault.place));
            }
            What::Ahead => self.ahead(fault.place),
            What::Replay => self.replay(&fault),
            What::Correction => self.correct(&fault),
            What::Naks => self.display.bus().refuse(12),
            What::NotAuthorized => self.drop_all(End::Reset),
            _ => {}
        }
        // A timestamp ahead of the time is plainly wrong, except that of a late source.
        let disorders = match fault.what {
            What::StampsOff | What::NoStamp | What::Seconds => true,
            What::Ahead => self.scenario.kind.delay() > 0,
            _ => false,
        };
        if disorders {
            // The slowest instrument may need two values, and delayed values are still in transit.
            let until = fault.until + self.scenario.kind.delay() + 35 * SECOND;
            self.disordered = self.disordered.max(until);
        }
        let breaks = matches!(
            fault.what,
            What::Reset
                | What::HalfOpen
                | What::Down
                | What::UpstreamLost
                | What::Evicted
                | What::Forbidden
                | What::SilenceAll
                | What::SilenceOne
                | What::Late
                | What::Stall
                | What::Stopped
                | What::Held
        );
        if breaks {
            self.broken_since = Some(self.now);
        }
    }

    fn finish(&mut self, at: usize) {
        let fault = self.scenario.faults[at];
        self.active.retain(|active| *active != at);
        match fault.what {
            What::Replaced => {
                self.simulated = false;
                self.kind = self.scenario.kind;
                self.known.iter_mut().for_each(Known::forget);
                self.cache = [[None; 4]; COUNT];
            }
            What::UpstreamLost if self.kind != Kind::Proxy => self.announce("upstream_up", "again"),
            What::Naks => self.display.bus().refuse(0),
            What::HalfOpen => {
                // TCP sends the first packet of an attempt again, so that a waiting attempt
                // succeeds now.
                for cluster in 0..CLUSTERS {
                    if self.connections[cluster].calling {
                        let way = self.random.i64(100..1_000);
                        self.answer_call(cluster, way);
                    }
                }
            }
            What::NotAuthorized => {}
            _ => {}
        }
        // The recovery time is measured only while SPX arrives and is shown all the time.
        let regular = regular(SPX, local(self.now).0, &self.scenario.habits);
        let comes = regular.is_some_and(|(open, bell)| {
            (open + MINUTE..bell - MINUTE).contains(&self.now) && !self.kind.is_vendor()
        });
        let away = matches!(fault.what, What::Reset | What::Down | What::HalfOpen);
        if away && comes && self.scenario.layout == super::display::Layout::Pinned(0) {
            self.recovering = Some(self.now);
        }
    }

    fn announce(&mut self, word: &str, message: &str) {
        for cluster in 0..CLUSTERS {
            let Connection {
                open, dead, epoch, ..
            } = self.connections[cluster];
            if open && !dead {
                self.push(
                    self.now + 20,
                    Event::Say(cluster, epoch, status(word, message).into()),
                );
            }
        }
    }

    fn ahead(&mut self, place: usize) {
        let now = self.now - self.scenario.kind.delay();
        let told = |value: &super::tape::Value| matches!(value.sort, Sort::Told(_));
        let values = &self.tapes[place].values;
        let last = values
            .iter()
            .rposition(|value| value.at <= now && told(value));
        let Some(last) = last.filter(|_| !self.simulated) else {
            return;
        };
        if now - values[last].at > limit(place, Part::Regular) {
            return;
        }
        let last = last as u32;
        let mut flight = self.stamped(place, last, Form::of(place));
        if let Stamp::Millis(at) = flight.stamp {
            flight.stamp = Stamp::Millis(at + 50 * SECOND);
        }
        self.take_off(flight);
    }

    /// Sends an old value again, as another hub behind the same address would.
    fn replay(&mut self, fault: &Fault) {
        let tape = &self.tapes[fault.place];
        let now = self.now - self.scenario.kind.delay();
        let old = tape
            .values
            .iter()
            .rposition(|value| value.at < now - fault.size && matches!(value.sort, Sort::Told(_)));
        let Some(old) = old.filter(|old| now - tape.values[*old].at < 10 * MINUTE) else {
            return;
        };
        if self.simulated {
            return;
        }
        let flight = self.stamped(fault.place, old as u32, Form::of(fault.place));
        let age = now - self.tapes[fault.place].values[old].at;
        self.forward(flight, (self.kind == Kind::Hub).then_some(age));
    }

    /// Sends a minute bar again with a close that differs from the true one.
    fn correct(&mut self, fault: &Fault) {
        let place = fault.place;
        let end = self.now - fault.size;
        let end = end - end % MINUTE;
        let tape = &mut self.tapes[place];
        let within = tape.values.iter().rev().find(|value| {
            (end - MINUTE..end).contains(&value.at) && matches!(value.sort, Sort::Told(_))
        });
        // A correction of the last value of all would be correct to show, so this fault needs a
        // newer value.
        let over = tape.last.is_some_and(|last| tape.get(last).at > end);
        let Some(price) = within.map(|value| value.price + 700).filter(|_| over) else {
            return;
        };
        if tape.find(super::tape::shown(price)).is_some() {
            return;
        }
        let index = tape.add(super::tape::Value {
            at: end,
            sort: Sort::Correction,
            price,
            book: [0; 2],
        });
        self.send(place, index, Form::Minute(end));
    }

    fn act(&mut self, cluster: usize, act: Act) {
        match act {
            Act::Open => {
                let connection = &mut self.connections[cluster];
                connection.epoch += 1;
                connection.calling = true;
                connection.open = false;
                if self.active(What::HalfOpen).is_none() {
                    let way = self.way();
                    self.answer_call(cluster, way);
                }
            }
            Act::Authenticate => self.say(cluster, status("auth_success", "authenticated")),
            Act::Subscribe(prefix, ticker) => self.subscribe(cluster, prefix, &ticker),
            Act::Unsubscribe(prefix, ticker) => {
                let place = self.tickers.iter().position(|name| *name == ticker);
                if let (Some(place), Some(kind)) = (place, kind(prefix)) {
                    self.connections[cluster].wanted[place][kind] = false;
                }
            }
            Act::Ping => {
                let Connection {
                    open, dead, epoch, ..
                } = self.connections[cluster];
                if open && !dead {
                    let at = self.now + 2 * self.way();
                    self.push(at, Event::Pong(cluster, epoch));
                }
            }
            Act::Close => {
                let connection = &mut self.connections[cluster];
                connection.epoch += 1;
                (connection.open, connection.calling) = (false, false);
            }
        }
    }

    fn answer_call(&mut self, cluster: usize, way: Ms) {
        let shares = cluster == self.clusters[SPY];
        let absent =
            !self.scenario.sockets || shares && (!self.scenario.shares || self.kind == Kind::Proxy);
        let answer = if self.is_down() {
            Err(End::Unreachable)
        } else if self.active(What::Forbidden).is_some() {
            Err(End::Forbidden)
        } else if absent {
            Err(End::Absent)
        } else {
            Ok(())
        };
        let epoch = self.connections[cluster].epoch;
        self.push(self.now + 2 * way, Event::Answered(cluster, epoch, answer));
    }

    fn say(&mut self, cluster: usize, text: String) {
        let way = self.way();
        let connection = &mut self.connections[cluster];
        if !connection.open || connection.dead {
            return;
        }
        let at = (self.now + way).max(connection.last);
        connection.last = at;
        let epoch = connection.epoch;
        self.push(at, Event::Say(cluster, epoch, text.into()));
    }

    fn subscribe(&mut self, cluster: usize, prefix: &str, ticker: &str) {
        let Some(kind) = kind(prefix) else { return };
        let Some(place) = self.tickers.iter().position(|name| name == ticker) else {
            return;
        };
        let denied = self.active_of(What::NotAuthorized, place);
        if denied {
            self.say(cluster, status("error", "not authorized"));
            return;
        }
        let mute = self.kind == Kind::Proxy && self.active(What::UpstreamLost).is_some();
        self.connections[cluster].wanted[place][kind] = !mute;
        if self.kind == Kind::Proxy {
            return;
        }
        self.say(
            cluster,
            status("success", &format!("subscribed to: {prefix}.{ticker}")),
        );
        if !self.kind.is_vendor()
            && let Some((flight, arrival)) = self.cache[place][kind]
        {
            self.forward(flight, Some(self.now - arrival));
        }
    }

    // ---- The REST client

    /// Starts the next REST request that is due.
    fn ask(&mut self) {
        let time = self.time();
        if self.display.needs {
            let (poll_intervals, epoch) = self.display.need(time);
            if epoch != self.epoch {
                // After a reconnection an earlier REST failure says little, so the wait becomes
                // shorter.
                self.hold = self.hold.min(self.now + 5 * SECOND);
            }
            (self.poll_intervals, self.epoch) = (poll_intervals, epoch);
        }
        if self.asking || self.now < self.hold || self.held().is_some() {
            return;
        }
        let due = |place: usize| self.due(place);
        let question = if (0..COUNT).any(|place| due(place) <= self.now) {
            let joined = (0..COUNT).filter(|place| due(*place) <= self.now + 500);
            Question::Quotes(joined.fold(0, |all, place| all | 1 << place))
        } else if self.now >= self.market {
            if self.display.market_pace(time).is_none() {
                self.market = self.now + MINUTE;
                return;
            }
            Question::Market
        } else {
            return;
        };
        self.asking = true;
        self.asked_epoch = self.epoch;
        let way = if self.active(What::HalfOpen).is_some() {
            10 * SECOND
        } else {
            3 * self.way()
        };
        self.push(self.now + way, Event::Told(question));
    }

    fn due(&self, place: usize) -> Ms {
        let Some((answered, epoch)) = self.answered[place] else {
            return 0;
        };
        let mut wait = self.poll_intervals[place]
            .map_or(600 * SECOND, |pace| pace.clamp(SECOND, 600 * SECOND));
        if epoch != self.epoch {
            wait = wait.min(15 * SECOND);
        }
        answered + wait
    }

    /// Returns the time of the next REST request.
    fn asks_at(&self) -> Ms {
        if self.asking {
            return Ms::MAX;
        }
        let due = (0..COUNT)
            .map(|place| self.due(place))
            .min()
            .unwrap_or(Ms::MAX);
        due.min(self.market)
            .max(self.hold)
            .max(self.held().unwrap_or(0))
    }

    fn told(&mut self, question: Question) {
        self.asking = false;
        let time = self.time();
        let failed = self.active(What::RestFails).is_some()
            || self.active(What::HalfOpen).is_some()
            || !self.kind.is_vendor() && self.is_down();
        if failed {
            self.hold = self.now + self.retry;
            self.retry = (self.retry * 2).min(60 * SECOND);
            return;
        }
        self.retry = 5 * SECOND;
        let off = self.active(What::DateOff).map_or(0, |fault| fault.size);
        let date = (self.now - 20 + off).div_euclid(SECOND) * SECOND;
        self.display.alive(None, time);
        self.display.server_time(date, time);
        self.dated = Some((self.now, off == 0));
        match question {
            Question::Market => {
                self.market = self.now + self.display.market_pace(time).unwrap_or(60 * SECOND);
                if self.kind != Kind::Proxy {
                    let body = self.market_status(off);
                    self.display.market(&body, time);
                }
            }
            Question::Quotes(places) => self.quotes(places),
        }
    }

    fn quotes(&mut self, places: u8) {
        let time = self.time();
        let stale = self.active(What::RestStale).map_or(0, |fault| fault.size);
        let mut text = std::mem::take(&mut self.text);
        text.clear();
        text.push_str(r#"{"results":["#);
        let mut told = Vec::new();
        for place in (0..COUNT).filter(|place| places >> place & 1 == 1) {
            self.answered[place] = Some((self.now, self.asked_epoch));
            if text.ends_with('}') {
                text.push(',');
            }
            let began = text.len();
            if let Some(index) = self.row(place, stale, &mut text) {
                told.push((place, index));
            } else {
                text.truncate(began);
            }
            if text.ends_with(',') {
                text.pop();
            }
        }
        text.push(']');
        if self.simulated {
            text.push_str(r#","simulated":true"#);
        }
        text.push('}');
        if !self.kind.is_vendor() && self.kind != Kind::Proxy {
            let asked = (0..COUNT).filter(|place| places >> place & 1 == 1);
            let tickers: Vec<String> = asked.map(|place| self.tickers[place].clone()).collect();
            text = Display::of_hub(&tickers, &text, stale);
        }
        if self.loud {
            self.note(text.clone());
        }
        let read = self.display.quotes(&text, time);
        assert!(read, "{text}");
        self.text = text;
        for (place, index) in told {
            if self.denied(place) {
                continue;
            }
            if !self.active_of(What::Ineligible, place) {
                self.known[place].told(index);
            }
            let priced = self.tapes[place].get(index).is_price();
            if !self.simulated && priced {
                self.real[place].get_or_insert(self.now);
            }
        }
    }

    /// Returns true if REST refuses an instrument, too.
    fn denied(&self, place: usize) -> bool {
        let mut faults = self.active.iter().map(|at| &self.scenario.faults[*at]);
        faults.any(|fault| {
            fault.what == What::NotAuthorized && fault.place == place && fault.size > 0
        })
    }

    /// Writes the REST row of an instrument, and returns the index of its value.
    fn row(&mut self, place: usize, stale: Ms, text: &mut String) -> Option<u32> {
        let asked = self.now - 60 - stale - self.kind.delay();
        let tape = &self.tapes[place];
        // The row contains the last quote even if the quote has no midpoint.
        let real =
            |index: &usize| matches!(tape.values[*index].sort, Sort::Told(_) | Sort::NoPrice);
        let (last, mut session, before): (u32, Session, Session);
        if self.simulated {
            let index = tape
                .values
                .iter()
                .rposition(|value| value.sort == Sort::Simulated && value.at <= asked)?;
            last = index as u32;
            (session, before) = (Session::default(), Session::default());
        } else {
            let mut index = (0..tape.values.len())
                .rev()
                .find(|index| real(index) && tape.values[*index].at <= asked)?;
            let begun = tape
                .session
                .first
                .is_none_or(|first| tape.get(first).at <= asked);
            let mut shown = match begun {
                true => (tape.session, tape.before),
                // A delayed source has not seen the new session yet.
                false => (tape.before, Session::default()),
            };
            let yesterday = self.active(What::RestYesterday).is_some();
            let of_session = tape.session.last.is_some_and(|_| {
                let (open, _) =
                    regular(place, tape.session.day, &self.scenario.habits).unwrap_or((0, 0));
                let first = if place == SPY {
                    utc(tape.session.day, 4 * HOUR)
                } else {
                    open.min(utc(tape.session.day, 3 * HOUR))
                };
                tape.values[index].at >= first
            });
            if yesterday || !of_session {
                index = tape
                    .before
                    .close()
                    .filter(|_| tape.session.last.is_some())
                    .map_or(index, |close| close as usize);
                if tape.session.last.is_some() && (yesterday || !of_session) {
                    shown = (tape.before, Session::default());
                }
            }
            last = index as u32;
            (session, before) = shown;
            // The row contains only values that the source had at the time of the request.
            let by_then = |index: u32| tape.get(index).at <= asked;
            session.official = session.official.filter(|official| by_then(*official));
            if session.day == tape.session.day && !self.is_closed(place, asked) {
                // While the session is open, the row's close is the last price so far.
                session.last = session.last.map(|_| last);
            } else if session.last.is_some_and(|last| !by_then(last)) {
                let regular = |value: &super::tape::Value| {
                    let parts = Sort::Told(Part::Regular) == value.sort
                        || Sort::Told(Part::After) == value.sort;
                    parts && value.at <= asked
                };
                let found = tape.values.iter().rposition(regular);
                session.last = found.map(|found| found as u32);
            }
            if self.kind.delay() > 0 {
                session.range = None;
            }
        }
        let value = *tape.get(last);
        let closed = !self.simulated && self.is_closed(place, asked);
        let odd = self.active_of(What::Ineligible, place).then(|| {
            let found = tape
                .values
                .iter()
                .rev()
                .find(|value| value.sort == Sort::Ineligible);
            found.copied()
        });
        let odd = match odd {
            Some(None) => {
                let index = self.tapes[place].odd(self.now - 200, Sort::Ineligible);
                Some(*self.tapes[place].get(index))
            }
            Some(found) => found,
            None => None,
        };
        let denied = self.denied(place);
        let row = Row {
            ticker: &self.tickers[place],
            place,
            tape: &self.tapes[place],
            last: &value,
            session: &session,
            before: &before,
            status: match closed {
                true => "closed",
                false => self.market_word(place, asked),
            },
            kind: self.kind,
            off: self.active(What::StampsOff).map_or(0, |fault| fault.size),
            odd: odd.as_ref(),
            denied,
            extended: self.scenario.habits.extended
                && matches!(
                    value.sort,
                    Sort::Told(Part::Pre | Part::Post | Part::Outside)
                ),
        };
        match self.kind {
            Kind::Proxy => row.proxy(text),
            _ => row.vendor(text),
        }
        Some(last)
    }

    /// Returns true if the market of an instrument is really closed, outside all its trading hours.
    fn is_closed(&self, place: usize, at: Ms) -> bool {
        let day = local(at).0;
        let habits = &self.scenario.habits;
        let mut hours = spans(place, day..=day, habits).into_iter();
        let on = hours.any(|span| {
            let known = matches!(span.part, Part::Regular | Part::Pre | Part::Post);
            known && (span.from - 5 * SECOND..span.to).contains(&at)
        });
        !on
    }

    /// Returns the market status word for a market that is not closed.
    fn market_word(&self, place: usize, at: Ms) -> &'static str {
        match place {
            SPY => match regular(SPY, local(at).0, &self.scenario.habits) {
                Some((open, _)) if at < open => "early_trading",
                Some((_, bell)) if at >= bell => "late_trading",
                _ => "open",
            },
            place if is_contract(place) => "open",
            _ => "regular_trading",
        }
    }

    fn market_status(&self, off: Ms) -> String {
        let at = self.now - 30;
        let on = |place: usize| {
            let day = local(at).0;
            let hours = regular(place, day, &self.scenario.habits);
            hours.is_some_and(|(open, bell)| (open..bell).contains(&at))
        };
        let word = |on: bool| if on { "open" } else { "closed" };
        let shares = match (on(SPY), self.is_closed(SPY, at)) {
            (true, _) => "open",
            (false, false) => "extended-hours",
            (false, true) => "closed",
        };
        let stamp = jiff::Timestamp::from_millisecond(at + off).unwrap();
        format!(
            r#"{{"market":"{shares}","serverTime":"{stamp}","exchanges":{{"nyse":"{shares}","nasdaq":"{shares}"}},"indicesGroups":{{"s_and_p":"{}","cgi":"{}"}}}}"#,
            word(on(SPX)),
            word(on(1))
        )
    }

    // ---- The event loop

    fn live(&mut self) -> Option<Broken> {
        let end = self.scenario.end;
        let mut rounds = 0;
        loop {
            let next = self.next_time();
            if next >= end {
                self.now = end;
                return None;
            }
            rounds += 1;
            assert!(
                rounds < 20_000,
                "time stands still at {}: {}",
                clock(self.now),
                self.waits()
            );
            if next > self.now {
                rounds = 0;
                if let Some(broken) = self.pass(next) {
                    return Some(broken);
                }
                self.now = next;
            }
            self.happen();
            if let Some(broken) = self.look() {
                return Some(broken);
            }
        }
    }

    /// Describes all pending deadlines, for the error message when virtual time stops.
    fn waits(&self) -> String {
        let lines = [0, 1, 2].map(|cluster| self.display.line_deadline(cluster));
        format!(
            "now {} desk {} panel {} lines {lines:?} rest {} {}",
            self.now - self.scenario.start,
            self.display.deadline(),
            self.display.panel_deadline(),
            self.asks_at() - self.scenario.start,
            self.scenario.told(),
        )
    }

    /// Returns the time of the next event or deadline.
    fn next_time(&self) -> Ms {
        let event = self.queue.peek().map_or(Ms::MAX, |Reverse((at, _, _))| *at);
        let start = self.scenario.start;
        let mono = |at: u64| start.saturating_add(Ms::try_from(at).unwrap_or(Ms::MAX));
        let mut next = mono(self.display.deadline()).min(mono(self.display.panel_deadline()));
        for cluster in 0..CLUSTERS {
            next = next.min(mono(self.display.line_deadline(cluster)));
        }
        next = next.min(self.asks_at());
        if let Some(stopped) = self.active(What::Stopped) {
            next = next.max(stopped.until);
        }
        if let Some(held) = self.active(What::Held) {
            // Only the panel's thread runs.
            let halts = mono(self.display.vouched).max(self.now);
            next = if self.halted {
                held.until
            } else {
                halts.min(held.until)
            };
        }
        // A cut message must be repaired by this time, so the judge looks again then.
        let mended = if self.torn > self.now {
            self.torn
        } else {
            Ms::MAX
        };
        event.min(next).min(mended).max(self.now)
    }

    /// Checks, before the time moves to `to`, that each plain price may stay plain until then.
    fn pass(&mut self, to: Ms) -> Option<Broken> {
        if self.active(What::Stopped).is_some() || self.torn > self.now {
            return None;
        }
        if skipped(Rule::Beyond) {
            return None;
        }
        let standing = self
            .standing
            .into_iter()
            .flatten()
            .find(|standing| standing.until < to - 1)?;
        let sight = match self.page.first.place == Some(standing.place) {
            true => self.page.first,
            false => self.page.second?,
        };
        let truth = format!(
            "plain until {}, and nothing is due before {}",
            clock(standing.until),
            clock(to)
        );
        Some(Broken {
            rule: Rule::Beyond,
            place: standing.place,
            at: standing.until,
            glass: seen(&sight),
            truth,
        })
    }

    /// Handles all events and deadlines of the current time.
    fn happen(&mut self) {
        let mut told = false;
        while let Some(Reverse((at, _, slot))) = self.queue.peek().copied() {
            if at > self.now {
                break;
            }
            self.queue.pop();
            let event = self.events[slot as usize].take();
            self.free.push(slot);
            if let Some(event) = event {
                told |= self.on(event);
            }
        }
        if self.active(What::Stopped).is_some() {
            return;
        }
        let time = self.time();
        if self.active(What::Held).is_some() {
            if self.display.vouched <= time.monotonic.as_millis() && !self.halted {
                self.halted = true;
                self.display.halt(time);
            }
            return;
        }
        self.halted = false;
        for cluster in 0..CLUSTERS {
            for _ in 0..64 {
                if self.display.line_deadline(cluster) > time.monotonic.as_millis() && !told {
                    break;
                }
                match self.display.next(cluster, time) {
                    Some(act) => self.act(cluster, act),
                    None => break,
                }
            }
        }
        self.ask();
        if told || self.display.deadline() <= time.monotonic.as_millis() || self.display.needs {
            self.display.wake(time);
            self.counts.pictures += 1;
            if self.display.needs {
                self.ask();
            }
        }
        self.display.tick(time);
    }

    /// Handles one event; returns true if the display received something.
    fn on(&mut self, event: Event) -> bool {
        let time = self.time();
        match event {
            Event::Emit(place) => self.emit(place),
            Event::Simulate(place) => self.simulate(place),
            Event::Minute => self.minute(),
            Event::Leave(flight) => self.take_off(flight),
            Event::Begin(at) => self.begin(at),
            Event::Finish(at) => self.finish(at),
            Event::Arrive(cluster, epoch, flight, age) => {
                return self.arrive(cluster, epoch, flight, age);
            }
            Event::Say(cluster, epoch, text) => {
                if !self.reaches(cluster, epoch) {
                    return false;
                }
                if let Some(until) = self.held() {
                    self.push(until, Event::Say(cluster, epoch, text));
                    return false;
                }
                if self.display.frame(cluster, &text, time) {
                    self.act(cluster, Act::Close);
                }
                return true;
            }
            Event::Pong(cluster, epoch) => {
                if !self.reaches(cluster, epoch) {
                    return false;
                }
                if let Some(until) = self.held() {
                    self.push(until, Event::Pong(cluster, epoch));
                    return false;
                }
                self.display.pong(cluster, time);
                return true;
            }
            Event::Answered(cluster, epoch, answer) => {
                if let Some(until) = self.held() {
                    self.push(until, Event::Answered(cluster, epoch, answer));
                    return false;
                }
                return self.answer(cluster, epoch, answer);
            }
            Event::Lost(cluster, epoch, end) => {
                if let Some(until) = self
                    .active(What::Stopped)
                    .or_else(|| self.active(What::Held))
                    .map(|fault| fault.until)
                {
                    self.push(until, Event::Lost(cluster, epoch, end));
                    return false;
                }
                if self.connections[cluster].epoch == epoch {
                    self.display.closed(cluster, end, time);
                    return true;
                }
            }
            Event::Told(question) => {
                if let Some(until) = self.held() {
                    self.push(until, Event::Told(question));
                    return false;
                }
                self.told(question);
                return true;
            }
        }
        false
    }

    fn reaches(&self, cluster: usize, epoch: u32) -> bool {
        let connection = &self.connections[cluster];
        connection.epoch == epoch && connection.open && !connection.dead
    }

    fn arrive(&mut self, cluster: usize, epoch: u32, flight: Flight, age: Option<Ms>) -> bool {
        if !self.reaches(cluster, epoch) {
            return false;
        }
        if let Some(until) = self.held() {
            self.push(until, Event::Arrive(cluster, epoch, flight, age));
            return false;
        }
        let time = self.time();
        let Flight {
            place, index, form, ..
        } = flight;
        let value = *self.tapes[place].get(index);
        let mut text = std::mem::take(&mut self.text);
        frame(
            &mut text,
            &self.tickers[place],
            &value,
            form,
            flight.stamp,
            age,
        );
        if self.loud && std::env::var_os("FRAMES").is_some() {
            self.note(format!(
                "agreed {:?} {text}",
                self.display.agreed(time).map(|at| at - self.now)
            ));
        }
        let ended = self.display.frame(cluster, &text, time);
        assert!(!ended, "a value ends no connection");
        self.text = text;
        if let Form::Minute(end) = form {
            if value.sort != Sort::Correction {
                self.known[place].barred(index, end, self.now);
            }
        } else if flight.stamp != Stamp::None {
            // The program never shows a value without a timestamp, so only values with a timestamp
            // count as known. A value with a wrong timestamp may be a repetition, so it is recorded
            // as such. A timestamp in seconds is right. One that is ahead of the time is plainly wrong, so the
            // next value takes its place at once.
            let (stamped, ahead) = match flight.stamp {
                Stamp::Millis(at) | Stamp::Seconds(at) => {
                    let ahead = at > self.now + 10 * SECOND && self.kind.delay() == 0;
                    (at == value.at, ahead)
                }
                Stamp::None => (false, false),
            };
            let age = age.unwrap_or(0);
            self.known[place].streamed(&self.tapes[place], index, self.now, age, stamped, ahead);
        }
        if value.sort != Sort::Simulated {
            self.real[place].get_or_insert(self.now);
        }
        let right = self.active(What::StampsOff).is_none() && self.active(What::Late).is_none();
        let told = value.sort != Sort::Stray;
        if age.is_none() && told {
            let add = |[last, before]: &mut [Option<(Ms, bool)>; 2]| {
                *before = last.replace((self.now, right));
            };
            add(&mut self.streamed_or_barred[cluster]);
            if matches!(form, Form::Value | Form::Quote) {
                add(&mut self.streamed[cluster]);
            }
        }
        self.barred |= form == Form::Second && right && told;
        true
    }

    fn answer(&mut self, cluster: usize, epoch: u32, answer: Result<(), End>) -> bool {
        let time = self.time();
        let connection = &mut self.connections[cluster];
        if connection.epoch != epoch || !connection.calling {
            return false;
        }
        connection.calling = false;
        let off = self.active(What::DateOff).map_or(0, |fault| fault.size);
        let date = (self.now - 20 + off).div_euclid(SECOND) * SECOND;
        match answer {
            Err(end) => {
                if end != End::Unreachable {
                    self.display.server_time(date, time);
                    self.dated = Some((self.now, off == 0));
                }
                self.display.closed(cluster, end, time);
            }
            Ok(()) => {
                let connection = &mut self.connections[cluster];
                *connection = Connection {
                    epoch,
                    open: true,
                    last: self.now,
                    ..Connection::default()
                };
                for place in (0..COUNT).filter(|place| self.clusters[*place] == cluster) {
                    self.known[place].connected();
                }
                let is_hub = self.kind != Kind::Proxy;
                self.display.opened(cluster, is_hub, time);
                self.display.server_time(date, time);
                self.dated = Some((self.now, off == 0));
                match self.kind {
                    Kind::Proxy => {}
                    _ if self.simulated => {
                        let greeting = r#"[{"ev":"status","status":"connected","message":"Connected Successfully"},{"ev":"status","status":"simulated","message":"prices are simulated"}]"#;
                        self.say(cluster, greeting.into());
                    }
                    _ => self.say(cluster, status("connected", "Connected Successfully")),
                }
                if self.active(What::UpstreamLost).is_some()
                    && !self.kind.is_vendor()
                    && self.kind != Kind::Proxy
                {
                    self.say(cluster, status("upstream_down", "the vendor is away"));
                }
            }
        }
        true
    }

    // ---- The display and the judge

    fn look(&mut self) -> Option<Broken> {
        if self.active(What::Stopped).is_some() {
            return None;
        }
        self.witness();
        let cuts = self.display.bus().cut();
        if cuts != self.cuts {
            // The program repeats a cut message at once, so the picture is torn for 100 ms at most.
            // If the repetition fails, too, the program opens the panel again within about a
            // second.
            let again = cuts > self.cuts + 1 || self.torn > self.now;
            self.torn = self.now + if again { 1_200 } else { 100 };
            self.cuts = cuts;
        }
        self.display.look(&mut self.glass);
        let (page, changed) = self.reader.read(&self.glass);
        if changed {
            self.page = page;
            self.count(&page);
        }
        if self.torn > self.now {
            self.standing = [None; 2];
            return None;
        }
        if self.now >= self.demanded.1 {
            self.demanded = self.demands();
            let day = local(self.now).0;
            let on = regular(SPY, day, &self.scenario.habits).is_some_and(|(open, bell)| {
                (open - 15 * SECOND..bell + MINUTE).contains(&self.now)
            });
            self.quiet = if on { MINUTE } else { Ms::MAX };
            let now = self.now - self.kind.delay();
            self.over = [0, 1, 2, 3, 4, 5].map(|place| {
                let mut known = self.spans[place]
                    .iter()
                    .filter(|span| span.part != Part::Outside);
                !known.any(|span| (span.from..span.to).contains(&now))
            });
            self.unclosed = [0, 1, 2, 3, 4, 5].map(|place| self.is_unclosed(place));
            self.hushed = [0, 1, 2, 3, 4, 5].map(|place| self.hushed_since(place));
            self.on = [0, 1, 2, 3, 4, 5].map(|place| {
                let mut known = self.spans[place]
                    .iter()
                    .filter(|span| span.part == Part::Regular);
                known.any(|span| (span.from + MINUTE..span.to - 11 * SECOND).contains(&now))
            });
        }
        let demands = self.demanded.0;
        let judge = Judge {
            tapes: &self.tapes,
            known: &self.known,
            moment: self.moment(),
            demands,
            quiet: [self.quiet; COUNT],
            on: self.on,
            over: self.over,
            unclosed: self.unclosed,
            hushed: self.hushed,
        };
        let mut standing = [None; 2];
        let sights = [Some(page.first), page.second];
        let mut found = None;
        for (sight, standing) in sights.iter().flatten().zip(&mut standing) {
            let broken = judge
                .look(&page, sight, standing)
                .filter(|(rule, _)| !skipped(*rule));
            if let (Some((rule, truth)), Some(place)) = (broken, sight.place) {
                found = found.or(Some((rule, place, seen(sight), truth)));
            }
        }
        if found.is_none() && changed {
            let minute = (local(self.now).1 / MINUTE) as u16;
            let broken = judge
                .look_around(&page, minute)
                .filter(|(rule, _)| !skipped(*rule));
            if let Some((rule, truth)) = broken {
                let place = page.first.place.unwrap_or(0);
                let glass = format!(
                    "{} time {:?} change {:?}",
                    seen(&page.first),
                    page.time,
                    page.change
                );
                found = Some((rule, place, glass, truth));
            }
        }
        self.standing = standing;
        if let Some(since) = self.recovering
            && standing
                .iter()
                .flatten()
                .any(|standing| standing.place == SPX)
            && self.tapes[SPX]
                .last
                .is_some_and(|last| self.tapes[SPX].get(last).at > since)
        {
            self.recovering = None;
            if self.counts.recoveries.len() < 1_000 {
                self.counts.recoveries.push((self.now - since) as u32);
            }
        }
        let (rule, place, glass, truth) = found?;
        if self.loud || matches!(rule, Rule::Readable | Rule::WrongDigits) {
            let lines = picture(&self.glass);
            self.story.extend(lines);
        }
        Some(Broken {
            rule,
            place,
            at: self.now,
            glass,
            truth,
        })
    }

    /// Finds the time sources that are right now, and the time since which two of them are right.
    fn witness(&mut self) {
        let own = self.own() == Some(self.now);
        let date = self.dated.is_some_and(|(_, right)| right);
        // One timestamp alone can be wrong, so the program needs two of one connection.
        let recent = |value: &Option<(Ms, bool)>| {
            value.is_some_and(|(at, right)| right && self.now - at < MINUTE)
        };
        let two = |streams: &[[Option<(Ms, bool)>; 2]; 3]| {
            let mut streams = streams.iter();
            streams.any(|values| values.iter().all(recent))
        };
        let stamps = two(&self.streamed);
        let right = u8::from(own) + u8::from(date) + u8::from(stamps);
        let wrong = |fault: Option<&Fault>| fault.map(|fault| fault.size);
        let off = [
            wrong(self.active(What::ClockOff)),
            wrong(self.active(What::DateOff)),
            wrong(self.active(What::StampsOff)),
        ];
        let pairs = [(0, 1), (0, 2), (1, 2)];
        let conspired = pairs.iter().any(|(a, b)| match (off[*a], off[*b]) {
            (Some(a), Some(b)) => (a - b).abs() < 10 * SECOND,
            _ => false,
        });
        // The program may still use what two time sources reported earlier.
        self.remembered = !conspired && (self.remembered || right >= 2 || date && self.barred);
        self.perhaps_timed = !conspired && date && two(&self.streamed_or_barred);
        let lasting = self.timed.is_some() && !conspired && right >= 1;
        match right >= 2 || lasting {
            true => {
                self.timed.get_or_insert(self.now);
            }
            false => self.timed = None,
        }
        if conspired {
            self.timed = None;
        }
    }

    fn moment(&self) -> Moment {
        let late = [What::Late, What::Stall, What::Stopped, What::Held]
            .into_iter()
            .any(|what| self.active(what).is_some());
        let (unordered, last_unstamped) = self.unordered();
        Moment {
            now: self.now,
            timed: self.timed.is_some() || self.remembered,
            perhaps_timed: self.perhaps_timed,
            own: self.own() == Some(self.now),
            sure: self.own() == Some(self.now)
                && self
                    .timed
                    .is_some_and(|since| self.now - since > 2 * SECOND),
            disordered: self.now < self.disordered,
            unordered,
            unreachable_since: self.unreachable_since(),
            ahead: self
                .active(What::StampsOff)
                .map_or(0, |fault| fault.size.max(0)),
            misstamped: self.misstamped(11 * MINUTE),
            last_unstamped,
            delay: self.kind.delay(),
            late: if late { 31 * SECOND } else { 0 },
            real: if self.scenario.simulated {
                self.real
            } else {
                [None; COUNT]
            },
            broken: self.broken_since,
        }
    }

    /// Returns true if the program cannot know which value was the closing price: for example, the
    /// timestamps were behind at the bell, or the proxy returned a value from outside the hours.
    /// The proxy marks no value as a close.
    fn is_unclosed(&self, place: usize) -> bool {
        let Tape {
            session, before, ..
        } = &self.tapes[place];
        let hours = |day| regular(place, day, &self.scenario.habits);
        // The close of the previous session stands until the open.
        let stands = hours(session.day).is_some_and(|(open, _)| self.now < open + 20 * MINUTE);
        let before = hours(before.day).filter(|_| stands);
        let mut bells = hours(session.day).into_iter().chain(before);
        bells.any(|(_, bell)| {
            let mut faults = self.scenario.faults.iter();
            faults.any(|fault| match fault.what {
                What::StampsOff => {
                    let late = self.scenario.kind.delay() + 10 * MINUTE - fault.size;
                    fault.size < 0 && fault.from < bell + 10 * MINUTE && fault.until + late > bell
                }
                // If values are late around the bell, the last one that arrived in time looks like
                // the close.
                What::Late => fault.from < bell + 30 * MINUTE && fault.until > bell - MINUTE,
                What::Outside => self.kind == Kind::Proxy && fault.place == place,
                // With an ineligible last trade, the program cannot know from REST that the share
                // is traded.
                What::Ineligible => {
                    let on = fault.from..fault.until + 10 * SECOND;
                    place == SPY && on.contains(&self.now)
                }
                _ => false,
            })
        })
    }

    /// Returns the time at which the source of an instrument became silent or late, if that
    /// happened so shortly before the bell that the last value was within its limit at the bell.
    fn hushed_since(&self, place: usize) -> Option<Ms> {
        let day = self.tapes[place].session.day;
        let (_, bell) = regular(place, day, &self.scenario.habits)?;
        let before = bell - 2 * limit(place, Part::Regular)..bell + 30 * MINUTE;
        let mut faults = self.scenario.faults.iter();
        let found = faults.find(|fault| {
            let what = matches!(fault.what, What::SilenceAll | What::SilenceOne | What::Late);
            what && fault.touches(place, self.scenario) && before.contains(&fault.from)
        });
        found.map(|fault| fault.from)
    }

    /// Returns the start of the faults that have kept data from the display without a pause of
    /// about a minute.
    fn unreachable_since(&self) -> Option<Ms> {
        let faults = self.scenario.faults.iter().rev();
        let mut since = None;
        for fault in faults.filter(|fault| fault.from <= self.now && fault.what.blocks_input()) {
            let until = since.unwrap_or(self.now);
            if fault.until + self.scenario.kind.delay() + 75 * SECOND > until {
                since = Some(since.map_or(fault.from, |since: Ms| since.min(fault.from)));
            }
        }
        since
    }

    /// Returns true if timestamps are wrong, or were wrong within the last `after` milliseconds.
    fn misstamped(&self, after: Ms) -> bool {
        self.scenario.faults.iter().any(|fault| {
            fault.what == What::StampsOff && (fault.from..fault.until + after).contains(&self.now)
        })
    }

    /// Returns two flags. The first is true if the program cannot tell which of two values is
    /// newer: all timestamps are behind the time, or values without a timestamp have waited with
    /// others. The second is true if values have no timestamp, or had none a short time ago.
    fn unordered(&self) -> (bool, bool) {
        let on = |what: What, after: Ms| {
            let mut faults = self.scenario.faults.iter();
            faults.any(|fault| {
                let behind = what != What::StampsOff || fault.size < 0;
                let lasts = fault.from..fault.until + after;
                fault.what == what && behind && lasts.contains(&self.now)
            })
        };
        let waits = [What::Stall, What::Stopped, What::Held, What::Late];
        let last_unstamped = on(What::NoStamp, self.scenario.kind.delay() + 75 * SECOND);
        let waited = last_unstamped && waits.iter().any(|what| on(*what, 35 * SECOND));
        let delay = self.scenario.kind.delay();
        // A timestamp that is too high still looks old if the source is delayed; and an older value
        // never replaces a bar.
        let over = delay + 75 * SECOND;
        let late = delay > 0 && (on(What::Ahead, over) || self.misstamped(over));
        let behind = on(What::StampsOff, delay + 40 * SECOND);
        (waited || behind || late, last_unstamped)
    }

    /// Returns the requirements for each instrument, and the time until which they are valid. A
    /// fault that can affect an instrument removes its requirements.
    fn demands(&self) -> ([Demand; COUNT], Ms) {
        let mut demands = [Demand::default(); COUNT];
        let scenario = self.scenario;
        // If the own clock is wrong, the program needs more time to hear from two other time
        // sources.
        let own = self.own() == Some(self.now);
        let enough = if own { 5 * SECOND } else { 90 * SECOND };
        let timed = self.timed.is_some_and(|since| self.now - since > enough);
        let up = self.now - scenario.start;
        if !timed || up < 20 * SECOND || self.simulated {
            return (demands, self.now);
        }
        // Sessions open and close at whole minutes.
        let mut until = (self.now + 10 * SECOND).min(self.now - self.now % MINUTE + MINUTE);
        for (place, demand) in demands.iter_mut().enumerate() {
            let streamed =
                scenario.sockets && (place != SPY || scenario.shares && self.kind != Kind::Proxy);
            let mut live = streamed || place == SPY;
            let regular = regular(place, local(self.now).0, &scenario.habits);
            let on = regular.is_some_and(|(open, bell)| (open..bell).contains(&self.now));
            let mut since = 0;
            let gap = match place {
                SPY if !on => 230,
                SPY if scenario.habits.thin => 100,
                SPX => 5,
                VIX => 16,
                _ => 13,
            } * SECOND;
            let mut closed = up > 60 * SECOND && self.kind != Kind::Proxy && place != TICK;
            for fault in &scenario.faults {
                if fault.from > self.now {
                    until = until.min(fault.from);
                    continue;
                }
                // A display that missed a value waits for the next one.
                let slow = if streamed { gap } else { 25 * SECOND };
                let way = if fault.what.is_of_source() {
                    slow + self.kind.delay()
                } else {
                    slow
                };
                // The server resets the connection, so that the program subscribes to all channels
                // again.
                let reset = fault.what == What::NotAuthorized && fault.place != place;
                let fault = &if reset {
                    Fault {
                        what: What::Reset,
                        until: fault.from + 2_001,
                        ..*fault
                    }
                } else {
                    *fault
                };
                let mut over = fault.over(scenario).saturating_add(way);
                if fault.what == What::UpstreamLost && self.kind == Kind::Proxy {
                    // At night the program cannot notice that the proxy has become silent.
                    let open = match place {
                        VIX => 3 * HOUR + 15 * MINUTE,
                        _ => 9 * HOUR + 30 * MINUTE,
                    };
                    let open = utc(local(self.now).0, open);
                    over = over.max(open.max(fault.until) + MINUTE);
                }
                // One of three time sources may be wrong without an effect. Timestamps behind the
                // time are an exception: their values look late. A value that REST alone provides
                // has no other age than that of its timestamp.
                let plain = streamed && self.kind.delay() == 0;
                let late = fault.what == What::StampsOff && (fault.size < 0 || !plain);
                let excused = (late || !fault.what.is_of_time()) && fault.touches(place, scenario);
                live &= !excused || self.now > over;
                if excused {
                    // Values that were sent during the fault may be lost.
                    since = since.max(over);
                }
                // A value without a timestamp that comes just after the bell looks like one from
                // outside the hours. The close returns 15 minutes after the last of those.
                let later = match fault.what {
                    What::NoStamp => 17 * MINUTE,
                    _ => 12 * MINUTE,
                } + self.kind.delay();
                closed &= self.now > over.max(fault.until).saturating_add(later);
            }
            let habits = &scenario.habits;
            let day = local(self.now - self.kind.delay()).0;
            let quiet = spans(place, day - 1..=day + 1, habits).iter().all(|span| {
                let margin = if is_contract(place) || place == SPY {
                    12 * MINUTE
                } else {
                    45 * MINUTE
                };
                let at = self.now - self.kind.delay();
                at < span.from - 5 * SECOND || at > span.to + margin
            });
            closed &= quiet && !(place == SPXW && day > habits.expiry);
            // The row of a contract has no close but its last quote, if that quote has a midpoint.
            let tape = &self.tapes[place];
            let next = tape
                .session
                .last
                .and_then(|last| tape.values.get(last as usize + 1));
            closed &= next.is_none_or(|next| next.sort != Sort::NoPrice);
            closed &= !(is_contract(place)
                && scenario.faults.iter().any(|fault| {
                    let there = scenario.start < fault.from && !scenario.simulated;
                    fault.what == What::Outside && fault.place == place && !there
                }));
            // A display that started after an unscheduled closure cannot know of it in the evening.
            // For VIX no source reports that the night session was cancelled, too.
            closed &= habits.closure.is_none_or(|closure| {
                let (begin, close) = (utc(closure, 3 * HOUR), utc(closure, 16 * HOUR));
                // A display that could not receive the market status for minutes cannot know of the
                // closure either.
                let heard = !scenario.faults.iter().any(|fault| {
                    let unsure = fault.what.blocks_input() || fault.what.is_of_time();
                    unsure && fault.until - fault.from > 8 * MINUTE
                });
                let heard = heard && scenario.start < close && !scenario.simulated;
                self.now < begin || place != VIX && heard
            });
            *demand = Demand {
                live,
                since,
                closed,
                way: if streamed { 2_500 } else { 9_000 },
            };
        }
        (demands, until)
    }

    fn count(&mut self, page: &Page) {
        let sights = [Some(page.first), page.second];
        for sight in sights.iter().flatten() {
            let Some(place) = sight.place else { continue };
            for (at, (word, _)) in Word::ALL.iter().enumerate() {
                self.counts.words[at] += u64::from(sight.words.has(*word));
            }
            let form = match sight.figure {
                figure if figure.is_struck() => {
                    self.counts.struck += 1;
                    "struck"
                }
                Figure::Number { .. } => {
                    self.counts.plain += 1;
                    "plain"
                }
                _ => {
                    self.counts.dashes += 1;
                    "dashes"
                }
            };
            let form = format!("{form}{:?}", sight.words);
            if self.forms[place].as_ref() != Some(&form) {
                self.note(format!("{} {}", NAMES[place], seen(sight)));
                self.forms[place] = Some(form);
            }
        }
        if page.first.place.is_none() && page.first.words.has(Word::Halted) {
            self.counts.words[9] += 1;
        }
        if page.first.place.is_some() && page.time.is_none() {
            self.counts.no_time += 1;
        }
    }

    fn note(&mut self, text: String) {
        if self.story.len() > 4_000 {
            self.story.drain(..2_000);
        }
        self.story.push(format!("{} {text}", clock(self.now)));
    }
}

/// The rules that the judge skips, one bit each: this helps to find a fault that a known fault
/// hides.
static SKIPPED: std::sync::atomic::AtomicU32 = std::sync::atomic::AtomicU32::new(0);

/// Skips the rule with this name from now on.
pub(crate) fn skip(name: &str) {
    let found = Rule::ALL
        .into_iter()
        .find(|rule| format!("{rule:?}") == name);
    let rule = found.expect("a rule of this name");
    SKIPPED.fetch_or(1 << rule as u32, std::sync::atomic::Ordering::Relaxed);
}

fn skipped(rule: Rule) -> bool {
    SKIPPED.load(std::sync::atomic::Ordering::Relaxed) >> rule as u32 & 1 == 1
}

/// Describes one instrument on the display.
fn seen(sight: &super::reader::Sight) -> String {
    let number = match sight.figure {
        Figure::Number { scaled, .. } => {
            let struck = if sight.figure.is_struck() {
                " struck"
            } else {
                ""
            };
            format!("{:.4}{struck}", scaled as f64 / 10_000.0)
        }
        other => format!("{other:?}").to_lowercase(),
    };
    format!("{number}{:?}", sight.words)
}

/// Draws the display in characters, two rows of dots a line.
fn picture(glass: &Glass) -> Vec<String> {
    let lit = |x: usize, y: usize| glass[y / 8 * 128 + x] >> (y % 8) & 1 == 1;
    let line = |y: usize| {
        let dots = (0..128).map(|x| match (lit(x, y), lit(x, y + 1)) {
            (false, false) => ' ',
            (true, false) => '▀',
            (false, true) => '▄',
            (true, true) => '█',
        });
        dots.collect()
    };
    (0..64).step_by(2).map(line).collect()
}
