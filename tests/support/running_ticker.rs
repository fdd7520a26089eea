//! A stage for end-to-end tests: the service and a simulator over real sockets, a clock moved by
//! hand, and the frames that a panel would get.
#![allow(dead_code, unreachable_pub)]

use std::path::PathBuf;
use std::sync::mpsc as std_mpsc;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use deskticker::config::settings::TickerSettings;
use deskticker::display::Mailbox;
use deskticker::market::{Calendar, Symbol};
use deskticker::net::connector::Connector;
use deskticker::net::endpoint::Endpoint;
use deskticker::net::source::FeedProvider;
use deskticker::net::source::FeedSource;
use deskticker::render::{Frame, Size};
use deskticker::secret::Secret;
use deskticker::systemd::Supervisor;
use deskticker::ticker::event_loop;
use deskticker::ticker::event_loop::{ControlMessage, RunUntil, TickerSetup};
use deskticker::time::{Clock, ManualClock, Moment, Now, Utc};
use jiff::tz::TimeZone;
use tokio::sync::mpsc;

/// 2026-11-23 14:30 UTC, a Monday in New York's market hours.
pub const START: Utc = Utc(1_795_444_200_000);

/// Longer than anything here takes, shorter than anybody's patience.
pub const PATIENCE: Duration = Duration::from_secs(20);

/// These symbols, and the clock on the glass in UTC.
pub fn settings(names: &[&str]) -> TickerSettings {
    TickerSettings {
        zone: TimeZone::UTC,
        ..TickerSettings::of(symbols(names))
    }
}

/// Asks for other symbols.
pub fn watch(names: &[&str]) -> ControlMessage {
    ControlMessage::Apply(Box::new(settings(names)))
}

pub fn symbols(names: &[&str]) -> Vec<Symbol> {
    names.iter().map(|name| name.parse().unwrap()).collect()
}

pub fn hub(address: impl std::fmt::Display, token: &str) -> FeedSource {
    FeedSource {
        provider: FeedProvider::Hub,
        endpoint: Endpoint::parse(&format!("ws://{address}")).unwrap(),
        secret: Some(Secret::new(token).unwrap()),
    }
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

/// A service in a thread of its own; ends with the stage.
pub struct TickerUnderTest {
    pub hand: ManualClock,
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
        let (clock, hand) = clock;
        let slot = Mailbox::new(Size::Tall);
        let (controls, receiver) = mpsc::channel(4);
        let setup = TickerSetup {
            settings: settings(watchlist),
            source,
            connector,
            calendar: Calendar::always_open(),
            size: Size::Tall,
            clock,
            supervisor: Supervisor::default(),
        };
        let thread = std::thread::spawn({
            let slot = slot.clone();
            move || {
                let runtime = tokio::runtime::Builder::new_current_thread()
                    .enable_all()
                    .build()
                    .unwrap();
                runtime
                    .block_on(event_loop::run(setup, slot, receiver, RunUntil::Stopped))
                    .unwrap();
            }
        });
        Self {
            hand,
            controls,
            slot,
            last: None,
            thread: Some(thread),
        }
    }

    /// Changes the list of SPX and VIX and back, so that everything is asked for anew.
    pub fn watches_anew(&self) {
        for names in [["VIX", "SPX"], ["SPX", "VIX"]] {
            self.controls.blocking_send(watch(&names)).unwrap();
        }
    }

    /// Lets time pass in one step, so that nobody sees a moment between: what comes is received
    /// at the new time, at every run.
    pub fn advance(&self, secs: u64) {
        self.hand.advance(Duration::from_secs(secs));
    }

    /// Waits until the glass shows the golden picture of this name. `UPDATE_SCREENS=1` writes the
    /// picture that stands still instead.
    pub fn shows(&mut self, name: &str) {
        self.shows_above(name, usize::MAX);
    }

    /// The same for so many lines from the top: what is below them depends on how fast the threads
    /// of this test were.
    pub fn shows_above(&mut self, name: &str, lines: usize) {
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

    /// Looks at what has been drawn up to now.
    pub fn catch_up(&mut self) {
        while let Some(frame) = self.slot.take(Duration::ZERO) {
            self.last = Some(frame);
        }
    }

    /// What was looked at last.
    pub fn picture(&self) -> Option<Frame> {
        self.last.clone()
    }

    /// Waits until the picture satisfies a test; the last one seen if it never does.
    pub fn until(&mut self, test: impl Fn(&Frame) -> bool) -> Result<(), String> {
        let end = Instant::now() + PATIENCE;
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
        // A service that has ended by itself is what its thread then says.
        self.controls.blocking_send(ControlMessage::Stop).ok();
        if let Some(thread) = self.thread.take()
            && thread.join().is_err()
            && !std::thread::panicking()
        {
            panic!("the service panicked");
        }
    }
}

/// A picture with a frame around it, so that no editor eats its spaces.
pub fn framed(frame: &Frame) -> String {
    let mut text = String::new();
    for line in frame.to_string().lines() {
        text.push_str(&format!("│{line}│\n"));
    }
    text
}

/// Runs a future that needs a network on a thread of its own, for as long as the guard lives.
pub struct Background<T> {
    pub value: T,
    stop: Option<tokio::sync::oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl<T: Send + 'static> Background<T> {
    /// What the future gives is used here; what it spawned lives on there.
    pub fn start<F, Fut>(make: F) -> Self
    where
        F: FnOnce() -> Fut + Send + 'static,
        Fut: Future<Output = T>,
    {
        let (sender, receiver) = std_mpsc::channel();
        let (stop, stopped) = tokio::sync::oneshot::channel();
        let thread = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build()
                .unwrap();
            runtime.block_on(async {
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
