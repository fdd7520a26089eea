//! The one owner of what is known: applies updates, judges them, and draws. Pure but for the
//! frame that it draws into: time is an argument, and it waits for nothing.

mod agreed_time;
mod alerts;
mod demand;
mod intake;
mod night;
mod pages;
mod pulse;
mod reader;
mod settings;
mod wear;

use std::cell::Cell;
use std::time::Duration;

use jiff::Timestamp;
use jiff::civil::DateTime;

use crate::clock::{Moment, Now};
use crate::market::{Calendar, Cluster, Freshness, Watchlist, WatchlistError};
use crate::panel::{Light, VOUCHED};
use crate::screen::{self, Alert, Frame, Glyphs, Kept, Page, Size, View};
use agreed_time::AgreedTime;
use alerts::Alerts;
pub use intake::Oddities;
pub use night::{Minute, Night};
use pages::Pages;
use pulse::Pulse;
use reader::Reader;
pub use settings::{Leaf, Rule, Settings};
use wear::Wear;

const MINUTE: i64 = 60_000;
/// While the clock is not set, it is looked at this often: nothing tells when it is.
const CLOCK_CHECK: Duration = Duration::from_secs(5);
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
    time: AgreedTime,
    /// What REST and the links say is simulated.
    simulated: bool,
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
    /// Until when that is good.
    good: Moment,
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
        let watchlist = Box::new(Watchlist::new(&settings.watchlist)?);
        let mut time = AgreedTime::default();
        time.look(now);
        let mut alerts = Alerts::default();
        alerts.replace(&settings);
        Ok(Self {
            watchlist,
            calendar,
            time,
            simulated: false,
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
            good: Moment::NEVER,
            minute: None,
            oddities: Oddities::default(),
            settings,
        })
    }

    /// Whether the feed is late by definition: then nothing of it is ever shown as live.
    pub fn set_delayed(&mut self, delayed: bool) {
        self.watchlist.set_delayed(delayed);
        for cluster in Cluster::ALL {
            self.time.set_delayed(cluster, delayed);
        }
    }

    /// What time it is at this moment, by those witnesses that agree; `None` while no two do.
    pub fn time(&self, at: Moment) -> Now {
        self.time.at(at)
    }

    /// What was odd since the start.
    pub const fn oddities(&self) -> Oddities {
        self.oddities
    }

    /// Other settings; what stays on the watchlist keeps its value and history.
    ///
    /// # Errors
    /// The symbols are no watchlist; then nothing has changed.
    pub fn apply(&mut self, settings: Settings, own: Now) -> Result<(), WatchlistError> {
        let now = self.time.look(own);
        self.watchlist.replace(&settings.watchlist)?;
        self.watchlist.turn(now, &self.calendar);
        self.pages.replace(&settings, now.monotonic);
        self.alerts.replace(&settings);
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

    /// Draws what is to be seen now, by the machine's own clock and the others.
    pub fn draw(&mut self, own: Now) -> &Frame {
        let now = self.time.look(own);
        let local = self.local(now);
        self.pulse.look(now.monotonic);
        let sign = self.pulse.sign();
        let alert = self.alerts.on(now.monotonic);
        let troubled = self.pulse.troubled(now.monotonic);
        let turned = self.pages.turn(now.monotonic, troubled);
        let leaf = alert.map_or(turned, |(rule, _)| Some(self.pages.showing(rule.place)));
        self.leaf = leaf;
        let good = Cell::new(Moment::NEVER);
        let reader = Reader {
            watchlist: &self.watchlist,
            calendar: &self.calendar,
            now,
            good: &good,
        };
        let page = match (leaf, &self.fault) {
            // The words take turns with the prices.
            (_, Some(fault)) if alert.is_none() && self.tells_fault(now.monotonic) => {
                Page::Notice {
                    title: &fault.title,
                    text: &fault.text,
                }
            }
            (Some(Leaf::Link), _) => {
                let clock = self.time.fault(now.monotonic);
                let hours = self.wear.hours();
                Page::Link(self.pulse.report(now, reader.prices(), clock, hours))
            }
            (Some(leaf), _) => reader.page(leaf),
            (None, _) => Page::Empty,
        };
        let view = View {
            page,
            time: local.map(|local| (local.hour().unsigned_abs(), local.minute().unsigned_abs())),
            sign,
            simulated: self.pulse.simulated() || leaf.is_some_and(|leaf| reader.simulated(leaf)),
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
        self.good = good.get();
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
    pub fn turn(&mut self, own: Now) {
        let now = self.time.look(own);
        self.watchlist.turn(now, &self.calendar);
        self.wear.turn(now.monotonic, &self.frame, self.light);
    }

    /// Whether every instrument has a value, or will have none.
    pub fn complete(&self, own: Now) -> bool {
        let now = self.time.at(own.monotonic);
        let mut instruments = self.watchlist.instruments().iter().enumerate();
        instruments.all(|(place, instrument)| {
            instrument.denial().is_some()
                || self.watchlist.freshness(place, now, &self.calendar) != Freshness::None
        })
    }

    /// When [`Desk::draw`] would draw something else although nothing comes.
    pub fn deadline(&self, own: Now) -> Moment {
        let now = self.time.at(own.monotonic);
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
            self.time.deadline(now.monotonic),
            night::deadline(self.settings.shift, now.monotonic),
        ]
        .into_iter()
        .min()
        .unwrap_or(Moment::NEVER)
    }

    /// Until when the picture drawn last is good although nobody draws another: the first moment at
    /// which a value that is plain on it is so no longer, for its age alone.
    pub fn good_until(&self, own: Now) -> Moment {
        self.good.min(own.monotonic + VOUCHED)
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
