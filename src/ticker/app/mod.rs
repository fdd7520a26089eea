//! A ticker as its configuration has it, for as long as it runs: what is changed in the file is
//! changed on the glass, and what is wrong there is said on it while the last good one stays in
//! force. Owns the service and the panel's thread, and makes anew only what has to be; signals and
//! the environment are its caller's.

mod panel_host;
mod reload;
mod stop_notice;

use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use tokio::sync::mpsc;
use tokio::task::JoinSet;

use crate::config::{self, Config, ConfigError, Environment, PanelKind};
use crate::display;
use crate::display::{FinalPicture, Mailbox, Oled, PanelLight, Png, Terminal};
use crate::market::{Calendar, Symbol};
use crate::net::connector::Connector;
use crate::render;
use crate::render::{DrawCache, FontSet, Format, Frame, LinkIcon, PageView, View};
use crate::systemd::Supervisor;
use crate::ticker::event_loop;
use crate::ticker::event_loop::{ControlMessage, RunUntil, TickerSetup};
use crate::ticker::state::ConfigProblem;
use crate::time::Clock;
use panel_host::{PanelHost, StatusSinks};
pub use reload::{ConfigUpdate, ConfigWatcher, Files, InitialConfig};
pub use stop_notice::StopNotice;

/// How often the files are looked at.
const CHECK_INTERVAL: Duration = Duration::from_secs(2);

/// A configuration that is good, with what opens its connections.
#[derive(Debug)]
pub struct LoadedConfig {
    /// The configuration.
    pub config: Config,
    connector: Connector,
}

impl LoadedConfig {
    /// Reads a configuration and all the files that it names.
    ///
    /// # Errors
    /// The first thing that is wrong.
    pub fn load(path: &Path, environment: &Environment) -> Result<Self, ConfigError> {
        Self::parse(&Config::text(path)?, path, environment)
    }

    fn parse(text: &str, path: &Path, environment: &Environment) -> Result<Self, ConfigError> {
        let config = Config::parse(text, path, environment)?;
        let connector = config.connector()?;
        Ok(Self { config, connector })
    }

    /// A service that shows it.
    pub fn setup(&self, clock: Clock) -> TickerSetup {
        TickerSetup {
            settings: self.config.settings.clone(),
            source: self.config.source.clone(),
            connector: self.connector.clone(),
            calendar: Calendar::us(),
            size: self.config.panel.oled.size,
            clock,
            supervisor: Supervisor::default(),
        }
    }

    /// The symbols, as people write them.
    pub fn names(&self) -> String {
        let symbols = self.config.settings.watchlist.iter();
        symbols
            .map(Symbol::to_string)
            .collect::<Vec<_>>()
            .join(", ")
    }
}

/// Starts the thread of a panel.
///
/// # Errors
/// The system refuses another thread.
pub fn start_panel(
    panel: &config::PanelConfig,
    leave: FinalPicture,
    caption: &str,
    clock: Clock,
) -> io::Result<(Mailbox, display::PanelThread)> {
    let size = panel.oled.size;
    match panel.kind {
        PanelKind::Oled => {
            display::PanelThread::spawn(Oled::linux(panel.oled.clone()), size, clock)
        }
        PanelKind::Terminal => display::PanelThread::spawn(Terminal::stdout(caption), size, clock),
        PanelKind::Png => display::PanelThread::spawn(Png::new(&panel.file, leave), size, clock),
    }
}

/// Why a station ends that nobody has told to.
#[derive(Debug)]
pub enum TickerError {
    /// The configuration is wrong, and there is no other.
    Config(ConfigError),
    /// Anything else.
    Other(String),
}

/// What a station is made of.
#[derive(Debug)]
pub struct TickerApp {
    /// What it goes by.
    pub files: Files,
    /// What else it goes by.
    pub environment: Environment,
    /// Time.
    pub clock: Clock,
    /// Who is told that it runs.
    pub supervisor: Supervisor,
    /// The file that says how its panel does; see [`display::State`].
    pub state: Option<PathBuf>,
}

impl TickerApp {
    /// Runs until `stops` has something, or its sender is gone; what comes from `reloads` has the
    /// configuration read at once.
    ///
    /// # Errors
    /// See [`TickerError`].
    pub async fn run(
        self,
        stops: mpsc::Receiver<()>,
        reloads: mpsc::Receiver<()>,
    ) -> Result<(), TickerError> {
        let mut config_watcher = ConfigWatcher::new(self.files, self.environment);
        let begun = config_watcher.begin(self.clock.now());
        let (beginning, fault) = begun.map_err(TickerError::Config)?;
        let (sender, news) = mpsc::channel(4);
        // Dropped, and so ended, with this function.
        let mut looking = JoinSet::new();
        let keeping = watch_files(
            config_watcher,
            reloads,
            sender,
            self.clock.clone(),
            self.supervisor.clone(),
        );
        looking.spawn(keeping);
        let (wiring, mut loaded) = match beginning {
            InitialConfig::Good(loaded) => (loaded.config.panel.clone(), Some(loaded)),
            InitialConfig::Nothing(panel) => (panel, None),
        };
        let other = |error: io::Error| TickerError::Other(error.to_string());
        let sinks = StatusSinks {
            supervisor: self.supervisor.clone(),
            file: self.state,
        };
        let mut running = Running {
            panel_host: PanelHost::new(wiring, self.clock.clone(), sinks).map_err(other)?,
            clock: self.clock,
            part: self.supervisor.part(),
            supervisor: self.supervisor,
            stops,
            news,
            fault,
        };
        let outcome = loop {
            let next = match loaded {
                Some(loaded) => running.show(loaded).await,
                None => Ok(running.wait().await),
            };
            let next = match next {
                Ok(Some(next)) => next,
                Ok(None) => break Ok(()),
                Err(failure) => break Err(failure),
            };
            let replaced = running.panel_host.replace(&next.config.panel);
            replaced.map_err(other)?;
            loaded = Some(next);
        };
        running.panel_host.end();
        outcome
    }
}

struct Running {
    clock: Clock,
    supervisor: Supervisor,
    /// Of the supervisor, for what is made anew.
    part: Supervisor,
    stops: mpsc::Receiver<()>,
    news: mpsc::Receiver<ConfigUpdate>,
    fault: Option<ConfigProblem>,
    panel_host: PanelHost,
}

impl Running {
    /// Shows what a configuration says, until it is told to stop (`None`) or there is another one
    /// that needs more than other settings.
    async fn show(
        &mut self,
        loaded: Box<LoadedConfig>,
    ) -> Result<Option<Box<LoadedConfig>>, TickerError> {
        log::info!(
            "showing {} from {}",
            loaded.names(),
            loaded.config.source.endpoint
        );
        self.panel_host
            .set_title(format!("showing {}", loaded.names()));
        let (controls, receiver) = mpsc::channel(4);
        if self.fault.is_some() {
            // There is room: it is the first.
            controls
                .try_send(ControlMessage::Fault(self.fault.clone()))
                .ok();
        }
        let setup = TickerSetup {
            supervisor: self.part.clone(),
            ..loaded.setup(self.clock.clone())
        };
        let mailbox = self.panel_host.mailbox().clone();
        let service = event_loop::run(setup, mailbox, receiver, RunUntil::Stopped);
        let (ran, next) = tokio::join!(service, self.forward_changes(loaded, controls));
        ran.map_err(|error| TickerError::Other(error.to_string()))?;
        Ok(next)
    }

    /// Tells a service what comes; when this returns, it ends.
    async fn forward_changes(
        &mut self,
        mut loaded: Box<LoadedConfig>,
        controls: mpsc::Sender<ControlMessage>,
    ) -> Option<Box<LoadedConfig>> {
        let mut look = self.clock.now().monotonic + panel_host::CHECK_INTERVAL;
        loop {
            let news = tokio::select! {
                _ = self.stops.recv() => {
                    self.supervisor.stopping();
                    return None;
                }
                () = self.clock.sleep_until(look) => {
                    look = self.clock.now().monotonic + panel_host::CHECK_INTERVAL;
                    if self.panel_host.look() {
                        return Some(loaded);
                    }
                    continue;
                }
                // The service has ended by itself, and says why.
                () = controls.closed() => return None,
                Some(news) = self.news.recv() => news,
            };
            if news.fault != self.fault {
                self.fault.clone_from(&news.fault);
                // Where nobody hears it any more, the next turn sees that.
                controls.send(ControlMessage::Fault(news.fault)).await.ok();
            }
            let Some(next) = news.loaded else { continue };
            let rewired = next.config.panel != loaded.config.panel;
            if rewired || !next.config.same_source(&loaded.config) {
                return Some(next);
            }
            log::info!("watchlist: {}", next.names());
            self.panel_host
                .set_title(format!("showing {}", next.names()));
            loaded = next;
            let settings = Box::new(loaded.config.settings.clone());
            controls.send(ControlMessage::Apply(settings)).await.ok();
        }
    }

    /// Says what is wrong until it is told to stop (`None`) or something can be shown.
    async fn wait(&mut self) -> Option<Box<LoadedConfig>> {
        let mailbox = self.panel_host.mailbox().clone();
        self.panel_host
            .set_title("waiting until the configuration is mended".to_owned());
        let (font_set, mut draw_cache) = (FontSet::new(), DrawCache::new());
        let mut frame = Frame::new(mailbox.size());
        let mut heartbeat = self.part.heartbeat();
        self.part.ready();
        loop {
            let fault = self.fault.as_ref();
            let view = View {
                page: PageView::Notice {
                    title: fault.map_or("CONFIG", |fault| &fault.title),
                    text: fault.map_or("", |fault| &fault.text),
                },
                time: None,
                sign: LinkIcon::Down,
                simulated: false,
                misconfigured: true,
                alert: None,
                format: Format::default(),
            };
            render::draw(&view, &font_set, &mut draw_cache, &mut frame);
            let now = self.clock.now().monotonic;
            mailbox.put(
                &frame,
                PanelLight::default(),
                now + display::MAX_PICTURE_AGE,
            );
            heartbeat.beat(now);
            tokio::select! {
                _ = self.stops.recv() => {
                    self.supervisor.stopping();
                    return None;
                }
                Some(news) = self.news.recv() => {
                    self.fault = news.fault;
                    if news.loaded.is_some() {
                        return news.loaded;
                    }
                }
                () = self.clock.sleep_until(heartbeat.due().min(now + panel_host::CHECK_INTERVAL)) => {
                    // No other panel is waited for before there is a configuration.
                    self.panel_host.look();
                }
            }
        }
    }
}

/// Looks at the files now and then, and at once when asked to. On threads of its own: a file may be
/// on a network drive, and the prices do not wait for that.
async fn watch_files(
    mut config_watcher: ConfigWatcher,
    mut reloads: mpsc::Receiver<()>,
    news: mpsc::Sender<ConfigUpdate>,
    clock: Clock,
    supervisor: Supervisor,
) {
    loop {
        let next = clock.now().monotonic + CHECK_INTERVAL;
        let asked = tokio::select! {
            Some(()) = reloads.recv() => true,
            () = clock.sleep_until(next) => false,
        };
        if asked {
            supervisor.reloading();
        }
        let now = clock.now();
        let looking = tokio::task::spawn_blocking(move || {
            let found = config_watcher.look(asked, now);
            (config_watcher, found)
        });
        let Ok((back, found)) = looking.await else {
            // It panicked, and that has been told.
            return;
        };
        config_watcher = back;
        if let Some(found) = found
            && news.send(found).await.is_err()
        {
            return;
        }
        if asked {
            supervisor.ready();
        }
    }
}
