//! A whole demo on a panel: the prices, and one after the other the faults that the display can
//! detect. This module decides the order of the events and describes them below the picture. The
//! display is the same as outside a demo, and it receives every fault over real sockets.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use tokio::sync::mpsc;
use tokio::task::{JoinHandle, JoinSet};
use tokio::time::{Instant, sleep};

use super::{hub_before, hub_source, settings_of, usual_watchlist};
use crate::config::settings::{AlertRule, TickerSettings};
use crate::display::Mailbox;
use crate::display::caption::Caption;
use crate::display::screen::ScreenMailbox;
use crate::hub::Hub;
use crate::market::{Calendar, Symbol, WatchlistError};
use crate::net::connector::Connector;
use crate::render::{Colours, Threshold};
use crate::secret::Secret;
use crate::simulator::{InjectedFault, Simulator, SimulatorSettings};
use crate::systemd::Supervisor;
use crate::ticker::event_loop::{self, ControlMessage, RunUntil, TickerSetup};
use crate::time::{Clock, ManualClock, Moment, Now, Utc};

/// The real time between two steps of the clocks of a demo.
const STEP: Duration = Duration::from_millis(20);
/// The time before the first fault, and between two faults.
const CALM: Duration = Duration::from_secs(6);
/// The time between the start of a demo and the end of its session. The curve of the session is
/// then almost complete.
const BEFORE_THE_BELL: Duration = Duration::from_secs(30 * 60);

const KEYS: &str = "simulated prices · s: silence, h: hub dies, b: bell, a: alert, c: clock, ?, q";
const WITHOUT_KEYS: &str = "simulated prices · Ctrl-C ends";
const HELP: &str = "A price is either fresh or visibly not fresh. s: the feed falls silent. h: the \
                    hub dies. b: the closing bell rings. a: an alert fires. c: the clock is wrong. \
                    q: quit.";

/// The settings of a demo.
#[derive(Clone, Debug)]
pub struct DemoSettings {
    /// The rate of the values relative to the real feed.
    pub speed: f64,
    /// The symbols; an empty list selects the usual symbols.
    pub watchlist: Vec<Symbol>,
    /// The colours of the panel.
    pub colours: Colours,
    /// The mailbox of the big screen, if there is one.
    pub screen: Option<ScreenMailbox>,
}

/// The person in front of a demo.
pub struct Viewer {
    /// The text below the picture.
    pub caption: Caption,
    /// The pressed keys; `None` without a keyboard.
    pub keys: Option<mpsc::Receiver<char>>,
    /// The request to end the demo.
    pub stops: mpsc::Receiver<ControlMessage>,
}

/// The clocks of a demo: one of the display, and one of the servers. Both begin in the afternoon of
/// a trading day and advance together, until a scene sets the clock of the display.
#[derive(Debug)]
pub struct DemoClocks {
    display: (Clock, ManualClock),
    servers: (Clock, ManualClock),
    /// The end of the session.
    bell: Utc,
    /// The factor between the real time and the time of the demo.
    rate: AtomicU32,
}

impl DemoClocks {
    /// Creates the clocks for a demo that starts now.
    pub fn new() -> Arc<Self> {
        let utc = Clock::system().now().utc.unwrap_or(Utc::PLAUSIBLE);
        let days = Symbol::from_ticker("I:SPX");
        let day = days.and_then(|spx| Calendar::us().trading_day(&spx, utc));
        let bell = day.map_or(utc + BEFORE_THE_BELL, |day| day.close);
        let start = Now::new(Moment::ZERO, bell - BEFORE_THE_BELL);
        Arc::new(Self {
            display: Clock::manual(start),
            servers: Clock::manual(start),
            bell,
            rate: 1.into(),
        })
    }

    /// Returns the clock of the display.
    pub fn display(&self) -> Clock {
        self.display.0.clone()
    }

    fn advance(&self, real: Duration) {
        let by = real * self.rate.load(Ordering::Relaxed);
        self.servers.1.advance(by);
        self.display.1.advance(by);
    }

    /// Sets the wall clocks. `off` is the clock of the display minus the clock of the servers.
    fn set(&self, utc: Utc, off: Duration) {
        self.servers.1.set_utc(Some(utc));
        self.display.1.set_utc(Some(utc + off));
    }

    fn utc(&self) -> Utc {
        self.servers.0.now().utc.unwrap_or(self.bell)
    }
}

/// The events of a demo, in their order.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Scene {
    Silence,
    Alert,
    HubDies,
    WrongClock,
    Bell,
}

const SCENES: [(Scene, char); 5] = [
    (Scene::Silence, 's'),
    (Scene::Alert, 'a'),
    (Scene::HubDies, 'h'),
    (Scene::WrongClock, 'c'),
    (Scene::Bell, 'b'),
];

/// Runs a demo until the viewer ends it.
///
/// # Errors
/// A message, if a symbol is not simulated or a server cannot start.
pub async fn show(
    settings: DemoSettings,
    clocks: Arc<DemoClocks>,
    mailbox: Mailbox,
    mut viewer: Viewer,
) -> Result<(), String> {
    let unknown = |symbol: &&Symbol| !Simulator::knows(symbol);
    if let Some(symbol) = settings.watchlist.iter().find(unknown) {
        return Err(format!(
            "the demo has no prices of {symbol}; it has every share, every option contract and the \
             indices SPX, NDX, DJI, RUT, VIX, VIX9D, VIX3M and VVIX"
        ));
    }
    // The set ends the task at the end of the demo.
    let mut driver = JoinSet::new();
    driver.spawn({
        let clocks = clocks.clone();
        async move {
            let mut last = Instant::now();
            loop {
                sleep(STEP).await;
                let now = Instant::now();
                clocks.advance(now - last);
                last = now;
            }
        }
    });
    viewer.caption.set_keys(match viewer.keys {
        Some(_) => KEYS,
        None => WITHOUT_KEYS,
    });
    let mut stage = Stage::start(settings, clocks, mailbox, viewer.caption.clone()).await?;
    let mut tour = SCENES.iter().cycle();
    let mut pressed = None;
    let outcome = loop {
        let scene = match pressed.take() {
            Some(scene) => Some(scene),
            None => tokio::select! {
                () = sleep(CALM) => tour.next().map(|(scene, _)| *scene),
                key = key(&mut viewer.keys) => match key {
                    'q' => break Ok(()),
                    '?' => {
                        stage.caption.set_message(HELP);
                        None
                    }
                    key => scene_of(key),
                },
                _ = viewer.stops.recv() => break Ok(()),
            },
        };
        let Some(scene) = scene else { continue };
        let played = tokio::select! {
            played = stage.play(scene) => played,
            // A key ends the scene.
            key = key(&mut viewer.keys) => {
                if key == 'q' {
                    break Ok(());
                }
                pressed = scene_of(key);
                Ok(())
            }
            _ = viewer.stops.recv() => break Ok(()),
        };
        let restored = match played {
            Ok(()) => stage.calm().await,
            failed => failed,
        };
        if restored.is_err() {
            break restored;
        }
    };
    stage.end().await;
    outcome
}

fn scene_of(key: char) -> Option<Scene> {
    let found = SCENES.iter().find(|(_, known)| *known == key);
    found.map(|(scene, _)| *scene)
}

/// Waits for a key, for ever if there is no keyboard.
async fn key(keys: &mut Option<mpsc::Receiver<char>>) -> char {
    if let Some(receiver) = keys
        && let Some(key) = receiver.recv().await
    {
        return key.to_ascii_lowercase();
    }
    std::future::pending().await
}

/// The running parts of a demo: the vendor, the hub and the display.
struct Stage {
    demo: DemoSettings,
    clocks: Arc<DemoClocks>,
    mailbox: Mailbox,
    caption: Caption,
    token: Secret,
    key: Secret,
    settings: TickerSettings,
    simulator: Simulator,
    /// The hub; `None` while it is dead.
    hub: Option<Hub>,
    /// The address of the hub. A new hub gets the same address.
    address: std::net::SocketAddr,
    controls: mpsc::Sender<ControlMessage>,
    display: JoinHandle<Result<bool, WatchlistError>>,
    /// True if the market of this stage closes.
    closes: bool,
}

impl Stage {
    async fn start(
        demo: DemoSettings,
        clocks: Arc<DemoClocks>,
        mailbox: Mailbox,
        caption: Caption,
    ) -> Result<Self, String> {
        Self::at(demo, clocks, mailbox, caption, BEFORE_THE_BELL, false).await
    }

    /// Starts all parts at this time before the bell. If `closes` is true, the market closes then.
    async fn at(
        demo: DemoSettings,
        clocks: Arc<DemoClocks>,
        mailbox: Mailbox,
        caption: Caption,
        before: Duration,
        closes: bool,
    ) -> Result<Self, String> {
        clocks.set(clocks.bell - before, Duration::ZERO);
        let vendor = SimulatorSettings {
            speed: demo.speed,
            values: true,
            closes: closes.then_some(clocks.bell),
            ..SimulatorSettings::default()
        };
        let (key, token) = (Secret::new(&vendor.key)?, Secret::new("demo")?);
        let simulator = Simulator::start(vendor, clocks.servers.0.clone())
            .await
            .map_err(|error| error.to_string())?;
        let setup = hub_before(&simulator, key.clone(), &token, clocks.servers.0.clone())?;
        let hub = Hub::start(setup, ([127, 0, 0, 1], 0).into())
            .await
            .map_err(|error| error.to_string())?;
        let watchlist = match demo.watchlist.as_slice() {
            [] => usual_watchlist(&clocks.servers.0)?,
            chosen => chosen.to_vec(),
        };
        let settings = settings_of(watchlist, demo.colours);
        let setup = TickerSetup {
            settings: settings.clone(),
            source: hub_source(hub.address(), token.clone())?,
            connector: Connector::new(None)?,
            calendar: Calendar::us(),
            size: mailbox.size(),
            screen: demo.screen.clone(),
            clock: clocks.display(),
            supervisor: Supervisor::default(),
        };
        let (controls, receiver) = mpsc::channel(4);
        let running = event_loop::run(setup, mailbox.clone(), receiver, RunUntil::Stopped);
        Ok(Self {
            demo,
            clocks,
            mailbox,
            caption,
            token,
            key,
            settings,
            simulator,
            address: hub.address(),
            hub: Some(hub),
            controls,
            display: tokio::spawn(running),
            closes,
        })
    }

    async fn end(self) {
        self.controls.send(ControlMessage::Stop).await.ok();
        // The display also ends if its event loop has failed.
        self.display.await.ok();
    }

    /// Starts a new simulator, a new hub and a new display at the time `before` the bell, and stops
    /// the old programs. If `closes` is true, the market closes at the bell.
    async fn restart(&mut self, before: Duration, closes: bool) -> Result<(), String> {
        let next = Self::at(
            self.demo.clone(),
            self.clocks.clone(),
            self.mailbox.clone(),
            self.caption.clone(),
            before,
            closes,
        );
        self.controls.send(ControlMessage::Stop).await.ok();
        // The old display must not draw after the new display.
        (&mut self.display).await.ok();
        *self = next.await?;
        Ok(())
    }

    async fn apply(&self, change: impl FnOnce(&mut TickerSettings)) {
        let mut settings = self.settings.clone();
        change(&mut settings);
        let message = ControlMessage::Apply(Box::new(settings));
        self.controls.send(message).await.ok();
    }

    fn show_message(&self, text: impl Into<String>) {
        self.caption.set_message(text);
    }

    /// Ends all faults.
    async fn calm(&mut self) -> Result<(), String> {
        self.clocks.rate.store(1, Ordering::Relaxed);
        if self.closes {
            self.restart(BEFORE_THE_BELL, false).await?;
        }
        self.clocks.set(self.clocks.utc(), Duration::ZERO);
        self.simulator.fault(InjectedFault::None);
        self.revive().await?;
        self.apply(|_| {}).await;
        self.show_message("");
        Ok(())
    }

    /// Starts the hub again if it is dead.
    async fn revive(&mut self) -> Result<(), String> {
        if self.hub.is_some() {
            return Ok(());
        }
        let clock = self.clocks.servers.0.clone();
        let setup = hub_before(&self.simulator, self.key.clone(), &self.token, clock)?;
        let hub = Hub::start(setup, self.address).await;
        self.hub = Some(hub.map_err(|error| error.to_string())?);
        Ok(())
    }

    async fn play(&mut self, scene: Scene) -> Result<(), String> {
        match scene {
            Scene::Silence => self.silence().await,
            Scene::Alert => self.alert().await,
            Scene::HubDies => return self.hub_dies().await,
            Scene::WrongClock => self.wrong_clock().await,
            Scene::Bell => return self.bell().await,
        }
        Ok(())
    }

    async fn silence(&mut self) {
        let name = self.first();
        self.apply(|settings| settings.pin = Some(0)).await;
        self.simulator.fault(InjectedFault::Silence);
        self.show_message(format!(
            "DONE: the vendor sends nothing, but every connection stays open. LOOK: the price of \
             {name} stands still, and it may do so for 10 s."
        ));
        seconds(11).await;
        self.show_message(format!(
            "DONE: the vendor sends nothing. LOOK: {name} is older than 10 s, so its price is \
             struck out and shows its age."
        ));
        seconds(6).await;
    }

    async fn alert(&mut self) {
        let name = self.first();
        let rule = AlertRule {
            place: 0,
            threshold: Threshold::Moved(1),
            shown: Duration::from_secs(8),
        };
        self.apply(|settings| settings.alerts.push(rule)).await;
        self.show_message(format!(
            "DONE: an alert for {name}, which has moved since the last close. LOOK: the page of \
             {name} comes forward, and its line flashes."
        ));
        seconds(8).await;
    }

    async fn hub_dies(&mut self) -> Result<(), String> {
        if let Some(hub) = self.hub.take() {
            hub.stop().await;
        }
        self.show_message(
            "DONE: the hub is dead. LOOK: the sign at the top right is a cross. After 10 s the page \
             of the connection says HUB, and prices are struck out.",
        );
        seconds(15).await;
        self.revive().await?;
        self.show_message("DONE: the hub is back. LOOK: the bars return, and so do the prices.");
        seconds(5).await;
        Ok(())
    }

    async fn wrong_clock(&mut self) {
        let link = self.settings.pages.len() - 1;
        self.apply(|settings| settings.pin = Some(link)).await;
        self.clocks
            .set(self.clocks.utc(), Duration::from_secs(15 * 60));
        self.show_message(
            "DONE: the clock of this machine is 15 minutes ahead. LOOK: within 6 s the page of the \
             connection names the clock. Prices stay right: no single clock is trusted.",
        );
        seconds(13).await;
    }

    async fn bell(&mut self) -> Result<(), String> {
        let name = self.first();
        self.restart(Duration::from_secs(6), true).await?;
        self.apply(|settings| settings.pin = Some(0)).await;
        self.show_message(
            "DONE: it is 6 s before the end of the session. LOOK: the last prices arrive.",
        );
        seconds(7).await;
        self.show_message(format!(
            "DONE: the bell has rung; time now runs 20 times as fast. LOOK: {name} says CLOSED as \
             soon as a source confirms the close, and not earlier."
        ));
        self.clocks.rate.store(20, Ordering::Relaxed);
        seconds(4).await;
        self.clocks.rate.store(1, Ordering::Relaxed);
        self.show_message(format!(
            "DONE: the bell has rung and the vendor has confirmed the close. LOOK: the price of \
             {name} is not struck out any more, and has the word CLOSED."
        ));
        seconds(6).await;
        Ok(())
    }

    /// Returns the name of the first instrument.
    fn first(&self) -> String {
        let first = self.settings.watchlist.first();
        first.map(Symbol::to_string).unwrap_or_default()
    }
}

async fn seconds(count: u64) {
    sleep(Duration::from_secs(count)).await;
}
