//! The ticker application, from its start to its end. A change of the configuration file changes
//! the display; a wrong file produces a notice, and the last good configuration stays in effect.
//! The application owns the event loop and the panel thread, and restarts only the parts that need
//! it. The caller handles signals and the environment.

mod panel_host;
mod reload;
mod stop_notice;

use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use tokio::sync::mpsc;
use tokio::task::JoinSet;

use super::event_loop::{self, ControlMessage, RunUntil, TickerSetup};
use super::state::ConfigProblem;
use crate::config::{self, Config, ConfigErrors, PanelKind};
use crate::display::buttons;
use crate::display::caption::Caption;
use crate::display::screen::{ScreenMailbox, ScreenThread};
use crate::display::{
    self, FinalPicture, Locked, Mailbox, NoPanel, Oled, PanelLight, PanelLock, PanelThread, Png,
    Terminal,
};
use crate::market::{Calendar, Symbol};
use crate::net::connector::Connector;
use crate::render::screen::ScreenContent;
use crate::render::{self, Colours, DrawCache, Format, Frame, LinkIcon, PageView, View};
use crate::secret::Environment;
use crate::systemd::Supervisor;
use crate::time::Clock;
use crate::web::{StatusQuestion, WebPage};
use panel_host::PanelHost;
pub use reload::{ConfigUpdate, ConfigWatcher, Files, InitialConfig};
pub use stop_notice::StopNotice;

/// The interval between two checks of the files.
const CHECK_INTERVAL: Duration = Duration::from_secs(2);

/// A valid configuration and the connector for its connections.
#[derive(Debug)]
pub struct LoadedConfig {
    /// The configuration.
    pub config: Config,
    connector: Connector,
}

impl LoadedConfig {
    /// Reads a configuration and all files that it names.
    ///
    /// # Errors
    /// All problems.
    pub fn load(path: &Path, environment: &Environment) -> Result<Self, ConfigErrors> {
        Self::parse(&Config::text(path)?, path, environment)
    }

    fn parse(text: &str, path: &Path, environment: &Environment) -> Result<Self, ConfigErrors> {
        let config = Config::parse(text, path, environment)?;
        let connector = config.connector()?;
        Ok(Self { config, connector })
    }

    /// Returns the setup of an event loop for this configuration, without a supervisor.
    pub fn setup(&self, clock: Clock) -> TickerSetup {
        TickerSetup {
            settings: self.config.settings.clone(),
            source: self.config.source.clone(),
            connector: self.connector.clone(),
            calendar: Calendar::us(),
            size: self.config.panel.oled.size,
            screen: None,
            clock,
            supervisor: Supervisor::default(),
        }
    }

    /// Returns the symbols in their usual form (`SPX`), separated by commas.
    pub fn names(&self) -> String {
        let symbols = self.config.settings.watchlist.iter();
        let names: Vec<String> = symbols.map(Symbol::to_string).collect();
        names.join(", ")
    }
}

/// Starts the panel thread, which locks its panel. `caption` is the text of a demo.
///
/// # Errors
/// Another process has locked the panel, or the system cannot start another thread.
pub fn start_panel(
    panel: &config::PanelConfig,
    leave: FinalPicture,
    caption: Option<Caption>,
    clock: Clock,
) -> io::Result<(Mailbox, PanelThread)> {
    let size = panel.oled.size;
    let (mailbox, thread) = match panel.kind {
        PanelKind::Oled => {
            let oled = panel.oled.clone();
            let locked = Locked {
                _lock: PanelLock::of_bus(&oled.bus, oled.address)?,
                device: Oled::linux(oled).assumed(panel.assumed),
            };
            PanelThread::spawn(locked, size, clock)
        }
        PanelKind::Terminal => PanelThread::spawn(Terminal::stdout(caption.clone()), size, clock),
        PanelKind::Png => {
            let locked = Locked {
                _lock: PanelLock::of_file(&panel.file)?,
                device: Png::new(&panel.file, leave),
            };
            PanelThread::spawn(locked, size, clock)
        }
        PanelKind::Screen => PanelThread::spawn(NoPanel, size, clock),
    }?;
    if let Some(caption) = caption {
        mailbox.describe_in(caption);
    }
    Ok((mailbox, thread))
}

/// Starts the thread of the big screen, which locks its device; `None` without a big screen.
///
/// # Errors
/// Another process has locked the device, or the system cannot start another thread.
pub fn start_screen(
    panel: &config::PanelConfig,
    clock: Clock,
) -> io::Result<Option<(ScreenMailbox, ScreenThread)>> {
    let screen = panel.screen.clone();
    screen
        .map(|screen| ScreenThread::spawn(screen, clock))
        .transpose()
}

/// The reason why the application ends without a stop request.
#[derive(Debug)]
pub enum TickerError {
    /// The configuration is wrong, and [`Files::last_good`] is not set.
    Config(ConfigErrors),
    /// Any other error.
    Other(String),
}

/// The ticker application before its start: its files, environment, clock and supervisor.
#[derive(Debug)]
pub struct TickerApp {
    /// The paths of its files.
    pub files: Files,
    /// The environment of the process.
    pub environment: Environment,
    /// The source of the time.
    pub clock: Clock,
    /// The supervisor (systemd), which receives the state of the process.
    pub supervisor: Supervisor,
    /// The file for the state of the panel, see [`display::PanelState`]. With `None`, the
    /// application writes no file.
    pub state: Option<PathBuf>,
}

impl TickerApp {
    /// Runs until `stops` receives a message or its sender is dropped. Each message from `reloads`
    /// causes an immediate read of the configuration.
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
        let (clock, supervisor) = (self.clock, self.supervisor);
        // The set aborts its task when this function returns.
        let mut looking = JoinSet::new();
        looking.spawn(watch_files(
            config_watcher,
            reloads,
            sender,
            clock.clone(),
            supervisor.clone(),
        ));
        let (wiring, mut loaded) = match beginning {
            InitialConfig::Good(loaded) => (loaded.config.panel.clone(), Some(loaded)),
            InitialConfig::Nothing(panel) => (panel, None),
        };
        let other = |error: io::Error| TickerError::Other(error.to_string());
        let panel = PanelHost::new(wiring, clock.clone(), supervisor.clone(), self.state);
        let (page, questions) = WebPage::start(clock.clone());
        let mut running = Running {
            panel_host: panel.map_err(other)?,
            page,
            questions,
            clock,
            part: supervisor.part(),
            supervisor,
            stops,
            news,
            fault,
        };
        let outcome = loop {
            let next = match loaded {
                Some(loaded) => running.show(loaded).await,
                None => Ok(running.wait().await),
            };
            let Ok(Some(next)) = next else {
                break next.map(drop);
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
    /// A part of the supervisor for the event loop. Each new event loop uses the same heartbeat.
    part: Supervisor,
    stops: mpsc::Receiver<()>,
    news: mpsc::Receiver<ConfigUpdate>,
    fault: Option<ConfigProblem>,
    panel_host: PanelHost,
    page: WebPage,
    /// The questions of the visitors of the page.
    questions: mpsc::Receiver<StatusQuestion>,
}

impl Running {
    /// Runs an event loop for a configuration. Returns `None` after a stop request, or the next
    /// configuration if that needs a new event loop.
    async fn show(
        &mut self,
        loaded: Box<LoadedConfig>,
    ) -> Result<Option<Box<LoadedConfig>>, TickerError> {
        let title = format!("showing {}", loaded.names());
        log::info!("{title} from {}", loaded.config.source.endpoint);
        self.panel_host.set_title(title);
        let (controls, receiver) = mpsc::channel(4);
        if self.fault.is_some() {
            // The channel is empty, so the first message always fits.
            controls
                .try_send(ControlMessage::Fault(self.fault.clone()))
                .ok();
        }
        let setup = TickerSetup {
            supervisor: self.part.clone(),
            screen: self.panel_host.screen().cloned(),
            ..loaded.setup(self.clock.clone())
        };
        self.open_page(&loaded.config);
        let mailbox = self.panel_host.mailbox().clone();
        let service = event_loop::run(setup, mailbox, receiver, RunUntil::Stopped);
        let (ran, next) = tokio::join!(service, self.forward_changes(loaded, controls));
        ran.map_err(|error| TickerError::Other(error.to_string()))?;
        Ok(next)
    }

    /// Opens or closes the page, and lets it have each picture.
    fn open_page(&self, config: &Config) {
        self.page.configure(config.page.clone());
        if config.page.is_some() {
            let mirror = self.page.mirror().clone();
            self.panel_host.mailbox().mirror_in(mirror);
        }
    }

    /// Sends changes to the event loop. When this function returns, it drops `controls`, and the
    /// event loop ends.
    async fn forward_changes(
        &mut self,
        mut loaded: Box<LoadedConfig>,
        controls: mpsc::Sender<ControlMessage>,
    ) -> Option<Box<LoadedConfig>> {
        let mut look = self.clock.now().monotonic + panel_host::CHECK_INTERVAL;
        let watch = |names: &[String]| buttons::watch(names.to_owned(), Path::new("/"));
        let mut pressed = watch(&loaded.config.settings.buttons);
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
                Some(button) = pressed.recv() => {
                    controls.send(ControlMessage::Press(button)).await.ok();
                    continue;
                }
                Some(question) = self.questions.recv() => {
                    controls.send(ControlMessage::Ask(question)).await.ok();
                    continue;
                }
                // The event loop has ended by itself and returns its reason.
                () = controls.closed() => return None,
                Some(news) = self.news.recv() => news,
            };
            if news.fault != self.fault {
                self.fault.clone_from(&news.fault);
                // A send error means that the event loop has ended; the next iteration detects it.
                controls.send(ControlMessage::Fault(news.fault)).await.ok();
            }
            let Some(next) = news.loaded else { continue };
            let rewired = next.config.panel != loaded.config.panel;
            if rewired || !next.config.same_source(&loaded.config) {
                return Some(next);
            }
            let title = format!("showing {}", next.names());
            log::info!("the new configuration is in effect; {title}");
            self.panel_host.set_title(title);
            if next.config.settings.buttons != loaded.config.settings.buttons {
                pressed = watch(&next.config.settings.buttons);
            }
            loaded = next;
            self.open_page(&loaded.config);
            let settings = Box::new(loaded.config.settings.clone());
            controls.send(ControlMessage::Apply(settings)).await.ok();
        }
    }

    /// Shows the configuration problem. Returns `None` after a stop request, or the first valid
    /// configuration.
    async fn wait(&mut self) -> Option<Box<LoadedConfig>> {
        let mailbox = self.panel_host.mailbox().clone();
        self.panel_host
            .set_title("waiting for a valid configuration".to_owned());
        let mut draw_cache = DrawCache::new();
        let mut frame = Frame::new(mailbox.size());
        let mut heartbeat = self.part.heartbeat();
        self.part.ready();
        loop {
            let fault = self.fault.as_ref();
            let view = View {
                page: fault.map_or(
                    PageView::Notice {
                        title: "CONFIG",
                        text: "",
                    },
                    ConfigProblem::page,
                ),
                time: None,
                sign: LinkIcon::Down,
                simulated: false,
                misconfigured: true,
                alert: None,
                format: Format::default(),
                colours: Colours::default(),
            };
            render::draw(&view, &mut draw_cache, &mut frame);
            let now = self.clock.now().monotonic;
            mailbox.put(
                &frame,
                PanelLight::default(),
                now + display::MAX_PICTURE_AGE,
            );
            if let Some(screen) = self.panel_host.screen() {
                let mut content = Box::<ScreenContent>::default();
                content.set(&view);
                let until = now + display::MAX_PICTURE_AGE;
                screen.put(&mut content, PanelLight::default(), until);
            }
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
                    // The result is not needed: no other panel can wait before the first
                    // configuration is valid.
                    self.panel_host.look();
                }
            }
        }
    }
}

/// Checks the files at intervals, and at once on request. The checks run on blocking threads,
/// because a file can be on a network drive and must not delay the prices.
async fn watch_files(
    mut config_watcher: ConfigWatcher,
    mut reloads: mpsc::Receiver<()>,
    news: mpsc::Sender<ConfigUpdate>,
    clock: Clock,
    supervisor: Supervisor,
) {
    loop {
        let next = clock.now().monotonic + CHECK_INTERVAL;
        let reload_requested = tokio::select! {
            Some(()) = reloads.recv() => true,
            () = clock.sleep_until(next) => false,
        };
        if reload_requested {
            supervisor.reloading();
        }
        let now = clock.now();
        let looking = tokio::task::spawn_blocking(move || {
            let found = config_watcher.look(reload_requested, now);
            (config_watcher, found)
        });
        let Ok((back, found)) = looking.await else {
            // The check has panicked, and the panic hook has reported the panic.
            return;
        };
        config_watcher = back;
        if let Some(found) = found
            && news.send(found).await.is_err()
        {
            return;
        }
        if reload_requested {
            supervisor.ready();
        }
    }
}
