//! The one owner of what is known: applies updates, judges them, and draws. Pure but for the
//! frame that it draws into: time is an argument, and it waits for nothing.

mod alerts;
mod night;
mod pages;
mod pulse;
mod reader;
mod settings;
mod wear;

use std::time::Duration;

use jiff::Timestamp;
use jiff::civil::DateTime;

use crate::clock::{Moment, Now, Utc};
use crate::feed::link::Phase;
use crate::feed::session::Orders;
use crate::feed::{Close, Seed, Update, subscriptions};
use crate::market::{
    Calendar, Class, Cluster, Day, Freshness, Instrument, Outcome, Part, Quote, Source, Symbol,
    Watchlist, WatchlistError, limit,
};
use crate::panel::Light;
use crate::screen::{self, Alert, Frame, Glyphs, Kept, Page, Size, View};
use alerts::Alerts;
pub use night::{Minute, Night};
use pages::Pages;
use pulse::Pulse;
use reader::Reader;
pub use settings::{Leaf, Rule, Settings};
use wear::Wear;

const MINUTE: i64 = 60_000;
/// Contracts may go unquoted for long; all of them for this long while they are traded, only if
/// nothing arrives any more.
const CONTRACTS: Duration = Duration::from_secs(300);
/// While the clock is not set, it is looked at this often: nothing tells when it is.
const CLOCK_CHECK: Duration = Duration::from_secs(5);
/// A share that streams is not asked for; it streams if something came within this.
const STREAMS: Duration = Duration::from_secs(10);

/// How often REST is asked for a share while it is traded,
const SHARES: Duration = Duration::from_millis(2_500);
/// before and after the regular hours,
const SHARES_EXTENDED: Duration = Duration::from_secs(5);
/// and for anything else of which nothing streams, and for what is computed of a contract. The
/// vendor's free plan allows five calls a minute.
const UNFED: Duration = Duration::from_secs(15);

/// What has come and was not taken as it was. Each is told to the log at its first.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Oddities {
    /// Values older than the one known.
    pub older: u64,
    /// Stamps that can be none: dropped, and the value kept.
    pub absurd: u64,
    /// Stamps ahead of this machine's clock: not believed until the clock agrees.
    pub ahead: u64,
}

/// A configuration that is wrong, while the last good one is in force.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Fault {
    /// A word or two.
    pub title: String,
    /// In full, with its place.
    pub text: String,
}

/// What is known and how it is shown.
#[derive(Debug)]
pub struct Desk {
    settings: Settings,
    watchlist: Box<Watchlist>,
    calendar: Calendar,
    pulse: Pulse,
    pages: Pages,
    /// What is on the glass.
    leaf: Option<Leaf>,
    alerts: Alerts,
    fault: Option<Fault>,
    wear: Wear,
    light: Light,
    glyphs: Glyphs,
    kept: Kept,
    frame: Frame,
    /// The local time of the last minute asked for; a time zone is not looked up at each tick.
    minute: Option<(i64, DateTime)>,
    oddities: Oddities,
}

impl Desk {
    /// A desk that knows nothing yet.
    ///
    /// # Errors
    /// The symbols are no watchlist.
    pub fn new(
        settings: Settings,
        calendar: Calendar,
        size: Size,
        now: Now,
    ) -> Result<Self, WatchlistError> {
        let mut watchlist = Box::new(Watchlist::new(&settings.watchlist)?);
        watchlist.turn(now, &calendar);
        let mut alerts = Alerts::default();
        alerts.replace(&settings.alerts);
        Ok(Self {
            watchlist,
            calendar,
            pulse: Pulse::new(now.monotonic),
            pages: Pages::new(&settings, now.monotonic),
            leaf: None,
            alerts,
            fault: None,
            wear: Wear::new(),
            light: Light::default(),
            glyphs: Glyphs::new(),
            kept: Kept::new(),
            frame: Frame::new(size),
            minute: None,
            oddities: Oddities::default(),
            settings,
        })
    }

    /// Whether the feed is late by definition: then nothing of it is ever shown as live.
    pub const fn set_delayed(&mut self, delayed: bool) {
        self.watchlist.set_delayed(delayed);
    }

    /// What was odd since the start.
    pub const fn oddities(&self) -> Oddities {
        self.oddities
    }

    /// Other settings; what stays on the watchlist keeps its value and history.
    ///
    /// # Errors
    /// The symbols are no watchlist; then nothing has changed.
    pub fn apply(&mut self, settings: Settings, now: Now) -> Result<(), WatchlistError> {
        self.watchlist.replace(&settings.watchlist)?;
        self.watchlist.turn(now, &self.calendar);
        self.pages.replace(&settings, now.monotonic);
        self.alerts.replace(&settings.alerts);
        self.minute = None;
        self.settings = settings;
        Ok(())
    }

    /// The settings in force.
    pub const fn settings(&self) -> &Settings {
        &self.settings
    }

    /// What is wrong with the configuration, to be said on the glass; `None` if nothing is.
    pub fn set_fault(&mut self, fault: Option<Fault>) {
        self.fault = fault;
    }

    /// When the markets are open.
    pub const fn calendar(&self) -> &Calendar {
        &self.calendar
    }

    /// The watchlist.
    pub const fn watchlist(&self) -> &Watchlist {
        &self.watchlist
    }

    /// Takes in what a session or REST says. What is not on the watchlist any more, or older than
    /// what is known, changes nothing.
    pub fn on(&mut self, update: &Update, now: Now) {
        match update {
            Update::Status(cluster, status) => {
                self.pulse.status(*cluster, *status, now.monotonic);
            }
            // What is asked for is the session's business; what comes of it is the desk's.
            Update::Subscribed(_) => {}
            Update::Value {
                ticker,
                price,
                stamp,
            } => {
                let quote = Quote::arrived(*price, *stamp, now);
                self.heard(*stamp, &quote, now);
                let outcome = self.watchlist.value(ticker, quote);
                self.took(ticker, outcome, now);
            }
            Update::Bar {
                ticker,
                kind,
                bar,
                volume,
            } => {
                let close = Quote::arrived(bar.close, Some(bar.end), now);
                self.stamped(Some(bar.end), &close, now);
                // A bar's latency is its length, and says nothing of the way.
                self.pulse.message(None, now);
                let outcome = self.watchlist.bar(ticker, *kind, *bar, now);
                if volume.is_some() {
                    let day = Day {
                        volume: *volume,
                        ..Day::default()
                    };
                    self.watchlist.set_day(ticker, day, now, &self.calendar);
                }
                // A bar is late by its nature: only values are worth a word when they are.
                if outcome == Outcome::Stored {
                    self.took(ticker, outcome, now);
                }
            }
            Update::Quote {
                ticker,
                book,
                stamp,
            } => {
                let quote = book
                    .middle()
                    .map(|price| Quote::arrived(price, *stamp, now));
                if let Some(quote) = &quote {
                    self.heard(*stamp, quote, now);
                }
                let outcome = self.watchlist.book(ticker, *book, quote);
                self.took(ticker, outcome, now);
            }
            Update::Trade {
                ticker,
                trade,
                stamp,
            } => {
                let quote = Quote::arrived(trade.price, *stamp, now);
                self.heard(*stamp, &quote, now);
                self.watchlist.trade(ticker, *trade, quote);
            }
            Update::Minutes { ticker, bars } => {
                self.watchlist.turn(now, &self.calendar);
                self.watchlist.refill(ticker, bars);
            }
            Update::Market(status) => self.calendar.set_status(*status),
            Update::Seed(seed) => self.seed(seed, now),
        }
    }

    fn seed(&mut self, seed: &Seed, now: Now) {
        self.pulse.answered(now.monotonic);
        let Self {
            watchlist,
            calendar,
            ..
        } = self;
        watchlist.set_denial(&seed.ticker, seed.denial, now);
        if seed.day != Day::default() {
            watchlist.set_day(&seed.ticker, seed.day, now, calendar);
        }
        if let Some(analysis) = seed.analysis {
            watchlist.set_analysis(&seed.ticker, analysis, now);
        }
        // Of one without a stamp nobody can tell the age.
        if let Some((trade, Some(stamp))) = seed.trade {
            let quote = Quote::fetched(trade.price, Some(stamp), seed.delayed, now);
            watchlist.trade(&seed.ticker, trade, quote);
        }
        let fetched = |price| Quote::fetched(price, seed.stamp, seed.delayed, now);
        // Without a stamp nobody knows how old it is: a value of Friday must not look like one of
        // now, so it is not taken at all.
        if let Some(quote) = seed.price.map(fetched) {
            self.stamped(seed.stamp, &quote, now);
            if quote.stamp.is_some() {
                // Not counted when older: REST is often behind the stream.
                let outcome = match seed.book.filter(|book| book.middle() == Some(quote.price)) {
                    Some(book) => self.watchlist.book(&seed.ticker, book, Some(quote)),
                    None => self.watchlist.value(&seed.ticker, quote),
                };
                if outcome == Outcome::Stored {
                    self.took(&seed.ticker, outcome, now);
                }
            }
        }
        // A stamp that the clock does not vouch for says no day: with one of the future this
        // close would be the last word for as long.
        let believed = |close| {
            fetched(close)
                .stamp
                .filter(|_| fetched(close).lag.is_some())
        };
        let close = seed.previous_close.and_then(|close| match close {
            Close::Told(close) => Some((close, believed(close).or(now.utc)?)),
            // Of Friday's value and change it is Thursday's close, whatever the day is now.
            Close::Derived(close) => Some((close, believed(close)?)),
        });
        if let Some((close, as_of)) = close {
            self.watchlist
                .set_previous_close(&seed.ticker, close, as_of, &self.calendar);
        }
    }

    /// Counts a stamp that is not believed.
    fn stamped(&mut self, stamp: Option<Utc>, quote: &Quote, now: Now) {
        if stamp.is_some() && quote.stamp.is_none() {
            if self.oddities.absurd == 0 {
                log::warn!("a value came with a stamp that can be none; it is dropped");
            }
            self.oddities.absurd += 1;
        } else if quote.is_ahead(now) {
            if self.oddities.ahead == 0 {
                log::warn!("a stamp is ahead of this machine's clock: one of the two is wrong");
            }
            self.oddities.ahead += 1;
        }
    }

    /// A value was streamed.
    fn heard(&mut self, stamp: Option<Utc>, quote: &Quote, now: Now) {
        self.stamped(stamp, quote, now);
        self.pulse.message(stamp, now);
    }

    fn took(&mut self, ticker: &str, outcome: Outcome, now: Now) {
        match outcome {
            Outcome::Older => {
                if self.oddities.older == 0 {
                    // Mostly REST was a moment ahead of what the hub repeats to who joins.
                    log::debug!("a value came that is older than the one known; it is left out");
                }
                self.oddities.older += 1;
            }
            Outcome::Stored => self.watch_out(ticker, now),
            Outcome::Unknown => {}
        }
    }

    /// Whether a new value raises an alert.
    fn watch_out(&mut self, ticker: &str, now: Now) {
        if self.settings.alerts.is_empty() {
            return;
        }
        let place = self.watchlist.find(ticker);
        let Some(place) = place.filter(|place| self.alerts.watches(*place)) else {
            return;
        };
        let fresh = self.watchlist.freshness(place, now, &self.calendar);
        if let (Freshness::Live | Freshness::Delayed, Some(instrument)) =
            (fresh, self.watchlist.instruments().get(place))
            && let Some(quote) = instrument.quote()
        {
            let change = instrument.change(now);
            self.alerts.look(place, quote.price, change, now.monotonic);
        }
    }

    /// How often a link has returned: then REST is asked what was missed.
    pub fn returns(&self) -> u64 {
        self.pulse.returns()
    }

    /// How often REST is to be asked for each instrument, in the order of the watchlist; `None`
    /// for now and then.
    pub fn paces(&self, now: Now) -> impl Iterator<Item = Option<Duration>> + '_ {
        let places = 0..self.watchlist.instruments().len();
        places.map(move |place| self.pace(place, now))
    }

    fn pace(&self, place: usize, now: Now) -> Option<Duration> {
        let instrument = self.watchlist.instruments().get(place)?;
        let symbol = instrument.symbol();
        if instrument.denial().is_some() || self.expired(symbol, now) {
            return None;
        }
        let freshness = self.watchlist.freshness(place, now, &self.calendar);
        let part = instrument.part(now, &self.calendar);
        if symbol.class() == Class::Equity {
            let streams = instrument.quote().is_some_and(|quote| {
                quote.source != Source::Rest && now.monotonic.since(quote.received) <= STREAMS
            });
            return match part {
                _ if streams => None,
                Some(Part::Pre | Part::Post) => Some(SHARES_EXTENDED),
                Some(Part::Regular) => Some(SHARES),
                // Without a clock nobody knows whether it is traded.
                None if freshness != Freshness::Closed => Some(UNFED),
                None => None,
            };
        }
        let live = self.pulse.link(symbol.cluster()).phase == Phase::Live;
        let unfed = !live && freshness != Freshness::Closed;
        let shown = self.leaf == Some(Leaf::Contract(place))
            && (part.is_some() || instrument.analysis(now.monotonic, Duration::MAX).is_none());
        (unfed || shown).then_some(UNFED)
    }

    /// Since when the minutes of each instrument's trading day are wanted.
    pub fn days(&self) -> impl Iterator<Item = (&Symbol, Utc)> {
        let instruments = self.watchlist.instruments().iter();
        instruments.filter_map(|instrument| {
            let day = instrument.minutes().day()?;
            Some((instrument.symbol(), day.start))
        })
    }

    fn expired(&self, symbol: &Symbol, now: Now) -> bool {
        let days = |contract| self.calendar.days_left(&contract, now.utc?);
        symbol
            .contract()
            .and_then(days)
            .is_some_and(|days| days < 0)
    }

    /// What a cluster's session is to do.
    pub fn orders(&self, cluster: Cluster, now: Now) -> Orders {
        let symbols = || {
            let symbols = self.watchlist.instruments().iter().map(Instrument::symbol);
            symbols.filter(|symbol| !self.expired(symbol, now))
        };
        let patience = symbols()
            .filter(|symbol| symbol.cluster() == cluster)
            .filter(|symbol| {
                now.utc.is_some_and(|utc| {
                    // Before and after the regular hours there may be no trade for hours.
                    let phase = self.calendar.phase(symbol, utc);
                    phase.part() == Some(Part::Regular)
                })
            })
            .map(|symbol| match symbol.class() {
                // Index values come by a timetable.
                Class::Index => 2 * limit(symbol, Source::Tick),
                Class::Option | Class::Equity => CONTRACTS,
            })
            .min();
        Orders {
            channels: subscriptions::route(symbols(), cluster),
            patience,
            stop: false,
        }
    }

    /// Draws what is to be seen now.
    pub fn draw(&mut self, now: Now) -> &Frame {
        let local = self.local(now);
        self.pulse.look(now.monotonic);
        let sign = self.pulse.sign();
        let alert = self.alerts.on(now.monotonic);
        let troubled = self.pulse.troubled(now.monotonic);
        let turned = self.pages.turn(now.monotonic, troubled);
        let leaf = alert.map_or(turned, |(rule, _)| Some(self.pages.showing(rule.place)));
        self.leaf = leaf;
        let reader = Reader {
            watchlist: &self.watchlist,
            calendar: &self.calendar,
            now,
        };
        let page = match (leaf, &self.fault) {
            // The words take turns with the prices.
            (_, Some(fault)) if alert.is_none() && self.tells_fault(now.monotonic) => {
                Page::Notice {
                    title: &fault.title,
                    text: &fault.text,
                }
            }
            (Some(Leaf::Link), _) => Page::Link(self.pulse.report(now, self.wear.hours())),
            (Some(leaf), _) => reader.page(leaf),
            (None, _) => Page::Empty,
        };
        let view = View {
            page,
            time: local.map(|local| (local.hour().unsigned_abs(), local.minute().unsigned_abs())),
            sign,
            simulated: self.pulse.simulated(),
            misconfigured: self.fault.is_some(),
            alert: alert.and_then(|(rule, lit)| {
                Some(Alert {
                    label: reader.label(rule.place)?,
                    threshold: rule.threshold,
                    lit,
                })
            }),
            format: self.settings.format,
        };
        screen::draw(&view, &self.glyphs, &mut self.kept, &mut self.frame);
        let Settings {
            nights,
            brightness,
            shift,
            ..
        } = &self.settings;
        self.light = night::light(nights, *brightness, *shift, local, now.monotonic);
        &self.frame
    }

    /// What was drawn last.
    pub const fn frame(&self) -> &Frame {
        &self.frame
    }

    /// How the panel is to glow with it.
    pub const fn light(&self) -> Light {
        self.light
    }

    /// Whether a fault of the configuration is told in full now: every other of the intervals.
    fn tells_fault(&self, now: Moment) -> bool {
        let interval = self.settings.interval.as_millis().max(1);
        (u128::from(now.as_millis()) / interval).is_multiple_of(2)
    }

    /// What is due at another time, to be called when one has come: days begin, and the panel
    /// wears.
    pub fn turn(&mut self, now: Now) {
        self.watchlist.turn(now, &self.calendar);
        self.wear.turn(now.monotonic, &self.frame, self.light);
    }

    /// Whether every instrument has a value, or will have none.
    pub fn complete(&self, now: Now) -> bool {
        let mut instruments = self.watchlist.instruments().iter().enumerate();
        instruments.all(|(place, instrument)| {
            instrument.denial().is_some()
                || self.watchlist.freshness(place, now, &self.calendar) != Freshness::None
        })
    }

    /// When [`Desk::draw`] would draw something else although nothing comes.
    pub fn deadline(&self, now: Now) -> Moment {
        let aged = |place| self.watchlist.deadline(place, now, &self.calendar);
        let page = match self.leaf {
            Some(Leaf::Pair(first, second)) => aged(first).min(second.map_or(Moment::NEVER, aged)),
            // What else is on these pages ages by the second.
            Some(Leaf::Big(only)) => aged(only),
            Some(Leaf::Contract(only)) => aged(only).min(now.monotonic + Duration::from_secs(1)),
            Some(Leaf::Link) => now.monotonic + Duration::from_secs(1),
            None => Moment::NEVER,
        };
        let minute = now.utc.map_or(now.monotonic + CLOCK_CHECK, |utc| {
            now.monotonic
                + Duration::from_millis((MINUTE - utc.0.rem_euclid(MINUTE)).unsigned_abs())
        });
        let fault = match &self.fault {
            Some(_) => {
                let interval = self.settings.interval;
                let millis = u64::try_from(interval.as_millis())
                    .unwrap_or(u64::MAX)
                    .max(1);
                Moment::from_millis((now.monotonic.as_millis() / millis + 1) * millis)
            }
            None => Moment::NEVER,
        };
        let troubled = self.pulse.troubled(now.monotonic);
        [
            page,
            minute,
            fault,
            self.pages.deadline(troubled),
            self.pulse.trouble(now.monotonic),
            self.alerts.deadline(now.monotonic),
            night::deadline(self.settings.shift, now.monotonic),
        ]
        .into_iter()
        .min()
        .unwrap_or(Moment::NEVER)
    }

    fn local(&mut self, now: Now) -> Option<DateTime> {
        let utc = now.utc?;
        let minute = utc.0.div_euclid(MINUTE);
        if let Some((known, local)) = self.minute
            && known == minute
        {
            return Some(local);
        }
        let instant = Timestamp::from_millisecond(utc.0).ok()?;
        let local = self.settings.zone.to_datetime(instant);
        self.minute = Some((minute, local));
        Some(local)
    }
}

#[cfg(test)]
mod tests;
