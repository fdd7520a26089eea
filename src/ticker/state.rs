//! The ticker state: the only owner of the prices, the pages and the frame. It applies updates,
//! judges the freshness of the values and draws the frame. It reads no clock and never blocks: time
//! is an argument.

mod buttons;
mod ingest;
mod report;
mod status;

use std::cell::Cell;
use std::time::Duration;

use jiff::civil::DateTime;

use super::alerts::Alerts;

use super::light_schedule::{self, ChosenLevel};
use super::link_monitor::LinkMonitor;
use super::page_rotation::PageRotation;
use super::time_consensus::TimeConsensus;
use super::view_builder::ViewBuilder;
pub use crate::config::settings::{AlertRule, PageSpec, TickerSettings};
use crate::display::lit_minutes::LitMinutes;
use crate::display::{MAX_PICTURE_AGE, PanelLight};
use crate::market::{Calendar, Cluster, Freshness, Watchlist, WatchlistError};
use crate::render::screen::ScreenContent;
use crate::render::{self, AlertView, DrawCache, Frame, LinkIcon, PageView, Size, View};
use crate::time::{Moment, Now};
pub use ingest::QuoteAnomalies;

const MINUTE: i64 = 60_000;
/// The interval between two checks while the wall clock is not set. No event reports that the clock
/// has been set.
const CLOCK_CHECK: Duration = Duration::from_secs(5);
/// A problem of the configuration or of the setup of the machine, as text for the display.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ConfigProblem {
    /// The title, one or two words.
    pub title: String,
    /// The complete message; for a configuration error with file and line.
    pub text: String,
    /// A QR code that is shown beside the message: a line for each row of modules, with `#` for a
    /// dark module.
    pub code: Option<String>,
}

impl ConfigProblem {
    /// Returns the page that shows this problem.
    pub fn page(&self) -> PageView<'_> {
        match &self.code {
            Some(code) => PageView::Join {
                text: &self.text,
                code,
            },
            None => PageView::Notice {
                title: &self.title,
                text: &self.text,
            },
        }
    }
}

/// The ticker state: the data of all instruments, the settings, and the frame that shows them.
#[derive(Debug)]
pub struct TickerState {
    pub(super) settings: TickerSettings,
    pub(super) watchlist: Box<Watchlist>,
    pub(super) calendar: Calendar,
    pub(super) time: TimeConsensus,
    /// True if the prices are simulated, by the last report of REST or of a connection.
    pub(super) simulated: bool,
    pub(super) link_monitor: LinkMonitor,
    pages: PageRotation,
    /// The page that was drawn last.
    pub(super) page_spec: Option<PageSpec>,
    pub(super) alerts: Alerts,
    fault: Option<ConfigProblem>,
    /// The content of the last frame in words; `None` if no demo shows the words.
    words: Option<Vec<String>>,
    /// The problem of the search for a hub.
    search: Option<ConfigProblem>,
    lit_minutes: LitMinutes,
    light: PanelLight,
    chosen_level: ChosenLevel,
    draw_cache: DrawCache,
    frame: Frame,
    /// The number of tiles of the big screen; 0 without a big screen.
    tiles: usize,
    /// The time at which the first fresh value on the frame becomes stale.
    valid_until: Moment,
    /// The last minute (since the Unix epoch) and its local time. This cache avoids a time zone
    /// lookup at each draw.
    minute: Option<(i64, DateTime)>,
    pub(super) anomalies: QuoteAnomalies,
}

/// The parts of the state into which the panel's picture is drawn.
struct Canvas<'a> {
    words: Option<&'a mut Vec<String>>,
    draw_cache: &'a mut DrawCache,
    frame: &'a mut Frame,
}

impl TickerState {
    /// Creates a ticker state without data.
    ///
    /// # Errors
    /// The symbols are not a valid watchlist (empty, duplicate or too many).
    pub fn new(
        settings: TickerSettings,
        calendar: Calendar,
        size: Size,
        now: Now,
    ) -> Result<Self, WatchlistError> {
        let watchlist = Box::new(Watchlist::new(&settings.watchlist)?);
        let mut time = TimeConsensus::default();
        time.observe_own(now);
        let mut alerts = Alerts::default();
        alerts.replace(&settings);
        Ok(Self {
            watchlist,
            calendar,
            time,
            simulated: false,
            link_monitor: LinkMonitor::new(now.monotonic),
            pages: PageRotation::new(&settings, now.monotonic),
            page_spec: None,
            alerts,
            fault: None,
            words: None,
            search: None,
            lit_minutes: LitMinutes::new(size),
            light: PanelLight::default(),
            chosen_level: ChosenLevel::default(),
            draw_cache: DrawCache::new(),
            frame: Frame::new(size),
            tiles: 0,
            valid_until: Moment::NEVER,
            minute: None,
            anomalies: QuoteAnomalies::default(),
            settings,
        })
    }

    /// Sets whether the feed is delayed by definition. Values of a delayed feed are never shown as
    /// live.
    pub fn set_delayed(&mut self, delayed: bool) {
        self.watchlist.set_delayed(delayed);
        for cluster in Cluster::ALL {
            self.time.set_delayed(cluster, delayed);
        }
    }

    /// Sets whether the source of the prices is the vendor and not a hub.
    pub fn set_vendor(&mut self, vendor: bool) {
        self.link_monitor.set_vendor(vendor);
    }

    /// Discards the reports of the previous hub about itself, because another hub is in use now.
    pub(super) fn hub_changed(&mut self, now: Moment) {
        // Only hubs can have alternatives, and a hub reports the delay of its prices itself.
        self.watchlist.set_delayed(false);
        self.time.server_changed();
        self.link_monitor.hub_changed(now);
    }

    /// Returns the state of the connections that the prices depend on.
    pub(super) fn icon(&self) -> LinkIcon {
        self.link_monitor.icon()
    }

    /// Returns the time at this moment, by the time sources that agree. The wall time is `None`
    /// until two sources have agreed.
    pub fn time(&self, at: Moment) -> Now {
        self.time.at(at)
    }

    /// Returns the counters of unusual quotes since the start.
    pub const fn anomalies(&self) -> QuoteAnomalies {
        self.anomalies
    }

    /// Applies new settings. An instrument that stays on the watchlist keeps its value and its
    /// history.
    ///
    /// # Errors
    /// The symbols are not a valid watchlist; then nothing has changed.
    pub fn apply(&mut self, settings: TickerSettings, own: Now) -> Result<(), WatchlistError> {
        let now = self.time.observe_own(own);
        self.watchlist.replace(&settings.watchlist)?;
        self.watchlist.start_days(now, &self.calendar);
        self.pages.replace(&settings, now.monotonic);
        self.alerts.replace(&settings);
        self.minute = None;
        self.settings = settings;
        Ok(())
    }

    /// Returns the settings in effect.
    pub const fn settings(&self) -> &TickerSettings {
        &self.settings
    }

    /// Sets the configuration or setup problem for the display; `None` if there is no problem.
    pub fn set_fault(&mut self, fault: Option<ConfigProblem>) {
        self.fault = fault;
    }

    /// Sets the problem of the search for a hub; `None` if there is no problem.
    pub fn set_search_problem(&mut self, search: Option<ConfigProblem>) {
        self.search = search;
    }

    /// Returns the problem for the display.
    fn problem(&self) -> Option<&ConfigProblem> {
        self.fault.as_ref().or(self.search.as_ref())
    }

    /// Returns the calendar of the trading hours.
    pub const fn calendar(&self) -> &Calendar {
        &self.calendar
    }

    /// Returns the watchlist.
    pub const fn watchlist(&self) -> &Watchlist {
        &self.watchlist
    }

    /// Draws the frame for the agreed time. The argument `own` is the time by the clocks of this
    /// machine.
    pub fn draw(&mut self, own: Now) -> &Frame {
        let (valid_until, local) = self.with_view(own, |view, _, _, canvas| {
            if let Some(words) = canvas.words {
                *words = render::words(view);
            }
            render::draw(view, canvas.draw_cache, canvas.frame);
        });
        self.valid_until = valid_until;
        let light = light_schedule::light(&self.settings, local, own.monotonic);
        self.light = self.chosen_level.apply(light);
        &self.frame
    }

    /// Sets the number of instruments that are always on the display beside the page: the tiles of
    /// the big screen.
    pub(super) fn set_tiles(&mut self, tiles: usize) {
        self.tiles = tiles;
    }

    /// Copies the view of [`TickerState::draw`] and the tiles for the big screen. Returns the time up
    /// to which the content is valid, as [`TickerState::good_until`].
    pub fn describe(&mut self, own: Now, content: &mut ScreenContent) -> Moment {
        let tiles = self.tiles;
        let mut span = None;
        let (valid_until, _) = self.with_view(own, |view, reader, page_spec, _| {
            content.set(view);
            for (line, instrument) in (0..tiles).map_while(|place| reader.line(place)) {
                content.push_tile(&line, instrument.simulated());
            }
            let first = page_spec.and_then(PageSpec::first);
            let instruments = reader.watchlist.instruments();
            if let Some(instrument) = first.and_then(|first| instruments.get(first)) {
                span = instrument.minutes().span();
                content.set_day(instrument.day(reader.now));
            }
        });
        let time = |utc| {
            let local = self.settings.local(utc)?;
            Some((local.hour().unsigned_abs(), local.minute().unsigned_abs()))
        };
        let span = span.and_then(|(start, end)| Some((time(start)?, time(end)?)));
        content.set_span(span);
        valid_until.min(own.monotonic + MAX_PICTURE_AGE)
    }

    /// Passes the view for the agreed time to `show`. Returns the time at which the first fresh value
    /// of the view becomes stale, and the local time.
    #[inline(always)]
    fn with_view(
        &mut self,
        own: Now,
        show: impl FnOnce(&View<'_>, ViewBuilder<'_>, Option<PageSpec>, Canvas<'_>),
    ) -> (Moment, Option<DateTime>) {
        let now = self.time.observe_own(own);
        let local = self.local(now);
        self.link_monitor.refresh(now.monotonic);
        let alert = self.alerts.on(now.monotonic);
        let troubled = self.link_monitor.troubled(now.monotonic);
        let current = self.pages.current(now.monotonic, troubled);
        let page_spec = alert.map_or(current, |(rule, _)| Some(self.pages.showing(rule.place)));
        self.page_spec = page_spec;
        let valid_until = Cell::new(Moment::NEVER);
        let reader = ViewBuilder {
            watchlist: &self.watchlist,
            calendar: &self.calendar,
            now,
            decimals: &self.settings.decimals,
            valid_until: &valid_until,
        };
        let page = match (page_spec, self.fault.as_ref().or(self.search.as_ref())) {
            // The text of the problem alternates with the prices. A person needs time to scan a QR
            // code or to type its text, so the QR code stays.
            (_, Some(fault))
                if alert.is_none()
                    && (fault.code.is_some() || self.shows_problem_now(now.monotonic)) =>
            {
                fault.page()
            }
            (Some(PageSpec::Link), _) => {
                let clock = self.time.fault(now.monotonic);
                let hours = self.lit_minutes.hours();
                PageView::Link(self.link_monitor.report(now, reader.prices(), clock, hours))
            }
            (Some(page_spec), _) => reader.page(page_spec),
            (None, _) => PageView::Empty,
        };
        let view = View {
            page,
            time: local.map(|local| (local.hour().unsigned_abs(), local.minute().unsigned_abs())),
            sign: self.link_monitor.icon(),
            simulated: self.link_monitor.simulated()
                || page_spec.is_some_and(|page_spec| reader.simulated(page_spec)),
            misconfigured: self.problem().is_some(),
            alert: alert.and_then(|(rule, lit)| {
                Some(AlertView {
                    label: reader.label(rule.place)?,
                    threshold: rule.threshold,
                    decimals: reader.decimals(rule.place),
                    lit,
                })
            }),
            format: self.settings.format,
            colours: self.settings.colours,
        };
        let canvas = Canvas {
            words: self.words.as_mut(),
            draw_cache: &mut self.draw_cache,
            frame: &mut self.frame,
        };
        show(&view, reader, page_spec, canvas);
        (valid_until.get(), local)
    }

    /// Returns the frame that was drawn last.
    pub const fn frame(&self) -> &Frame {
        &self.frame
    }

    /// Sets whether each frame is also described in words.
    pub fn set_described(&mut self, described: bool) {
        self.words = described.then(Vec::new);
    }

    /// Takes the content of the last frame in words.
    pub(super) fn take_words(&mut self) -> Vec<String> {
        self.words.as_mut().map(std::mem::take).unwrap_or_default()
    }

    /// Returns the light of the panel for the frame that was drawn last.
    pub const fn light(&self) -> PanelLight {
        self.light
    }

    /// Returns true if the display now shows the text of the configuration problem: in every second
    /// page interval.
    fn shows_problem_now(&self, now: Moment) -> bool {
        (now.as_millis() / self.interval_millis()).is_multiple_of(2)
    }

    fn interval_millis(&self) -> u64 {
        let interval = self.settings.interval.as_millis();
        u64::try_from(interval).unwrap_or(u64::MAX).max(1)
    }

    /// Does the work that depends on time alone: starts new trading days and counts the minutes for
    /// the burn-in of the panel. The event loop calls this function when a deadline has passed.
    pub fn advance(&mut self, own: Now) {
        let now = self.time.observe_own(own);
        self.watchlist.start_days(now, &self.calendar);
        self.lit_minutes
            .count_minute(now.monotonic, &self.frame, self.light);
    }

    /// Returns true if each instrument either has a value or is denied by the vendor.
    pub fn complete(&self, own: Now) -> bool {
        let now = self.time.at(own.monotonic);
        let mut instruments = self.watchlist.instruments().iter().enumerate();
        instruments.all(|(index, instrument)| {
            instrument.denial().is_some()
                || self.watchlist.freshness(index, now, &self.calendar) != Freshness::None
        })
    }

    /// Returns the time at which [`TickerState::draw`] would draw a different frame without a new
    /// update.
    pub fn deadline(&self, own: Now) -> Moment {
        let now = self.time.at(own.monotonic);
        let aged = |index| self.watchlist.deadline(index, now, &self.calendar);
        let second = now.monotonic + Duration::from_secs(1);
        let page = match self.page_spec {
            Some(PageSpec::Pair(first, other)) => {
                aged(first).min(other.map_or(Moment::NEVER, aged))
            }
            Some(PageSpec::Big(only)) => aged(only),
            // The page of a contract shows more ages, which change each second.
            Some(PageSpec::Contract(only)) => aged(only).min(second),
            Some(PageSpec::Link) => second,
            None => Moment::NEVER,
        };
        let tiles = (0..self.tiles).map(aged).min().unwrap_or(Moment::NEVER);
        let minute = now.utc.map_or(CLOCK_CHECK, |utc| {
            Duration::from_millis((MINUTE - utc.0.rem_euclid(MINUTE)).unsigned_abs())
        });
        let fault = self.problem().map_or(Moment::NEVER, |_| {
            let millis = self.interval_millis();
            Moment::from_millis((now.monotonic.as_millis() / millis + 1) * millis)
        });
        let troubled = self.link_monitor.troubled(now.monotonic);
        [
            page,
            tiles,
            now.monotonic + minute,
            fault,
            self.pages.deadline(troubled),
            self.link_monitor.trouble(now.monotonic),
            self.alerts.deadline(now.monotonic),
            self.time.deadline(now.monotonic),
            light_schedule::deadline(self.settings.shift, now.monotonic),
        ]
        .into_iter()
        .min()
        .unwrap_or(Moment::NEVER)
    }

    /// Returns the time up to which the last frame is valid without a new draw. At that time, the
    /// first fresh value on the frame becomes stale; the limit is [`MAX_PICTURE_AGE`].
    pub fn good_until(&self, own: Now) -> Moment {
        self.valid_until.min(own.monotonic + MAX_PICTURE_AGE)
    }

    fn local(&mut self, now: Now) -> Option<DateTime> {
        let utc = now.utc?;
        let minute = utc.0.div_euclid(MINUTE);
        if let Some((_, local)) = self.minute.filter(|(known, _)| *known == minute) {
            return Some(local);
        }
        let local = self.settings.local(utc)?;
        self.minute = Some((minute, local));
        Some(local)
    }
}

#[cfg(test)]
#[path = "tests.rs"]
mod tests;
