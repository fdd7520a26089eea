//! The fixture of the end-to-end tests: the ticker event loop over real sockets, a clock that the
//! test moves, and the pictures for the panel.
#![allow(dead_code, unused_imports, unreachable_pub)]

#[path = "basics.rs"]
mod basics;

use std::path::PathBuf;
use std::sync::mpsc as std_mpsc;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use deskticker::config::settings::TickerSettings;
use deskticker::display::Mailbox;
use deskticker::market::Calendar;
use deskticker::net::connector::Connector;
use deskticker::net::endpoint::Endpoint;
use deskticker::net::source::{FeedProvider, FeedSource};
use deskticker::render::{Frame, Size};
use deskticker::secret::Secret;
use deskticker::systemd::Supervisor;
use deskticker::ticker::event_loop::{self, ControlMessage, RunUntil, TickerSetup};
use deskticker::time::{Clock, ManualClock, Moment, Now};
use jiff::tz::TimeZone;
use tokio::sync::mpsc;

pub use basics::{MONDAY as START, TIME_LIMIT, block_on, runtime, symbols};

/// Settings with these symbols and the time zone UTC.
pub fn settings(names: &[&str]) -> TickerSettings {
    TickerSettings {
        zone: TimeZone::UTC,
        ..TickerSettings::of(symbols(names))
    }
}

/// A control message that changes the watchlist to these symbols.
pub fn watch(names: &[&str]) -> ControlMessage {
    ControlMessage::Apply(Box::new(settings(names)))
}

pub fn hub(address: impl std::fmt::Display, token: &str) -> FeedSource {
    FeedSource::new(
        FeedProvider::Hub,
        Endpoint::parse(&format!("ws://{address}")).unwrap(),
        Some(Secret::new(token).unwrap()),
    )
}

pub fn vendor(address: impl std::fmt::Display, key: &str) -> FeedSource {
    FeedSource {
        provider: FeedProvider::Vendor,
        ..hub(address, key)
    }
}

pub fn manual_clock() -> (Clock, ManualClock) {
    Clock::manual(Now {
        monotonic: Moment::ZERO,
        utc: Some(START),
    })
}

/// A ticker in a separate thread. The drop of this value stops the ticker.
pub struct TickerUnderTest {
    pub manual_clock: ManualClock,
    pub controls: mpsc::Sender<ControlMessage>,
    slot: Mailbox,
    last: Option<Frame>,
    thread: Option<JoinHandle<()>>,
}

impl TickerUnderTest {
    pub fn new(
        source: FeedSource,
        connector: Connector,
        watchlist: &[&str],
        clock: (Clock, ManualClock),
    ) -> Self {
        Self::in_hours(Calendar::always_open(), source, connector, watchlist, clock)
    }

    pub fn in_hours(
        calendar: Calendar,
        source: FeedSource,
        connector: Connector,
        watchlist: &[&str],
        clock: (Clock, ManualClock),
    ) -> Self {
        let (clock, manual_clock) = clock;
        let slot = Mailbox::new(Size::Tall);
        let (controls, receiver) = mpsc::channel(4);
        let setup = TickerSetup {
            settings: settings(watchlist),
            source,
            connector,
            calendar,
            size: Size::Tall,
            screen: None,
            clock,
            supervisor: Supervisor::default(),
        };
        let thread = std::thread::spawn({
            let slot = slot.clone();
            move || {
                block_on(event_loop::run(setup, slot, receiver, RunUntil::Stopped)).unwrap();
            }
        });
        Self {
            manual_clock,
            controls,
            slot,
            last: None,
            thread: Some(thread),
        }
    }

    /// Changes the order of the watchlist and restores it, so that the ticker requests everything
    /// again.
    pub fn request_everything_again(&self) {
        for names in [["VIX", "SPX"], ["SPX", "VIX"]] {
            self.controls.blocking_send(watch(&names)).unwrap();
        }
    }

    /// Moves the clock forward in one step, so no thread sees a time in between. Each later message
    /// has the new time as its receive time.
    pub fn advance(&self, secs: u64) {
        self.manual_clock.advance(Duration::from_secs(secs));
    }

    /// Waits until the display shows the golden picture with this name. With `UPDATE_SCREENS=1`
    /// this function writes the current picture to the golden file instead.
    pub fn shows(&mut self, name: &str) {
        self.shows_top_lines(name, usize::MAX);
    }

    /// Compares only this number of lines from the top. The lines below depend on the speed of the
    /// test threads.
    pub fn shows_top_lines(&mut self, name: &str, lines: usize) {
        let framed = |frame: &Frame| -> String {
            let all = framed(frame);
            all.split_inclusive('\n').take(lines).collect()
        };
        let path =
            PathBuf::from(env!("CARGO_MANIFEST_DIR")).join(format!("tests/screens/{name}.txt"));
        if std::env::var_os("UPDATE_SCREENS").is_some() {
            while let Some(frame) = self.slot.take(Duration::from_secs(1)) {
                self.last = Some(frame);
            }
            std::fs::write(&path, framed(self.last.as_ref().unwrap())).unwrap();
            return;
        }
        let expected = std::fs::read_to_string(&path).unwrap_or_default();
        let picture = self.until(|frame| framed(frame) == expected);
        if let Err(last) = picture {
            panic!("{name}: the glass shows\n{last}\ninstead of\n{expected}");
        }
    }

    /// Takes all pictures that have been drawn until now.
    pub fn take_drawn_pictures(&mut self) {
        while let Some(frame) = self.slot.take(Duration::ZERO) {
            self.last = Some(frame);
        }
    }

    /// The last picture that the test has taken.
    pub fn picture(&self) -> Option<Frame> {
        self.last.clone()
    }

    /// Waits until a picture satisfies the condition. After a timeout the error contains the last
    /// picture.
    pub fn until(&mut self, test: impl Fn(&Frame) -> bool) -> Result<(), String> {
        let end = Instant::now() + TIME_LIMIT;
        loop {
            if self.last.as_ref().is_some_and(&test) {
                return Ok(());
            }
            let rest = end.saturating_duration_since(Instant::now());
            match self.slot.take(rest) {
                Some(frame) => self.last = Some(frame),
                None => return Err(self.last.as_ref().map_or("nothing".into(), framed)),
            }
        }
    }
}

impl Drop for TickerUnderTest {
    fn drop(&mut self) {
        // If the ticker has already ended, the result of its thread reports the reason.
        self.controls.blocking_send(ControlMessage::Stop).ok();
        if let Some(thread) = self.thread.take()
            && thread.join().is_err()
            && !std::thread::panicking()
        {
            panic!("the service panicked");
        }
    }
}

/// A picture with a bar at both ends of each line, so that editors keep its spaces.
pub fn framed(frame: &Frame) -> String {
    let mut text = String::new();
    for line in frame.to_string().lines() {
        text.push_str(&format!("│{line}│\n"));
    }
    text
}

/// Runs a future on a separate thread with network access, until the drop of this value.
pub struct Background<T> {
    pub value: T,
    stop: Option<tokio::sync::oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl<T: Send + 'static> Background<T> {
    /// Starts the future and returns its output. Tasks that the future has spawned stay alive in
    /// the thread.
    pub fn start<F, Fut>(make: F) -> Self
    where
        F: FnOnce() -> Fut + Send + 'static,
        Fut: Future<Output = T>,
    {
        let (sender, receiver) = std_mpsc::channel();
        let (stop, stopped) = tokio::sync::oneshot::channel();
        let thread = std::thread::spawn(move || {
            block_on(async {
                sender.send(make().await).ok();
                stopped.await.ok();
            });
        });
        Self {
            value: receiver.recv().unwrap(),
            stop: Some(stop),
            thread: Some(thread),
        }
    }
}

impl<T> Drop for Background<T> {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take() {
            thread.join().ok();
        }
    }
}
