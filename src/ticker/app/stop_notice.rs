//! The notice on the panel after a ticker process has ended, for any reason: the last picture is
//! not live any more, and no other program replaces it. This module owns the time limit of the
//! notice. It needs no token and no network.

use std::path::PathBuf;
use std::sync::mpsc;
use std::time::Duration;
use std::{io, thread};

use super::{Files, LoadedConfig};
use crate::config::{self, Config, PanelKind};
use crate::display::screen::Screen;
use crate::display::{Oled, PanelLight, PanelState, Png};
use crate::render;
use crate::secret::Environment;
use crate::time::Clock;

/// The limit for the whole notice. The next start waits for the notice, so a bus or a disk that
/// hangs must not block it.
const TIME_LIMIT: Duration = Duration::from_secs(2);
/// The number of attempts. A message without acknowledgement is sent again; after this number of
/// attempts, the panel counts as absent.
const MAX_ATTEMPTS: usize = 3;
/// The pause between two attempts.
const RETRY_AFTER: Duration = Duration::from_millis(100);

/// The notice that replaces the last picture after the process has ended; see the module
/// documentation.
#[derive(Clone, Debug)]
pub struct StopNotice {
    /// The configuration files of the ticker that has ended.
    pub files: Files,
    /// The environment of the ticker that has ended.
    pub environment: Environment,
    /// The clock, which selects the dimming period.
    pub clock: Clock,
    /// The file in which the ticker has stored the state of its panel.
    pub state: Option<PathBuf>,
    /// The title of the notice and its explanation.
    pub words: [String; 2],
}

impl StopNotice {
    /// Shows the notice on the panel of the ticker, unless the ticker has already left the panel in
    /// order.
    ///
    /// # Errors
    /// The panel does not accept the notice, or does not accept it in time. After a timeout, a
    /// thread of this process may still write, so the caller must end the process.
    pub fn say(self) -> Result<(), String> {
        if self.state.as_deref().and_then(PanelState::read) == Some(PanelState::Left) {
            return Ok(());
        }
        let (done, outcome) = mpsc::channel();
        let saying = thread::Builder::new().name("afterwards".into());
        saying
            .spawn(move || done.send(self.leave()))
            .map_err(|error| error.to_string())?;
        let given_up = |_| {
            format!(
                "the panel did not accept the notice within {} s",
                TIME_LIMIT.as_secs()
            )
        };
        outcome.recv_timeout(TIME_LIMIT).map_err(given_up)?
    }

    fn leave(&self) -> Result<(), String> {
        let (panel, light) = self.in_force();
        let [word, meaning] = &self.words;
        let words = render::notice(panel.oled.size, word, meaning);
        let screen = panel.screen.clone().map_or(Ok(()), |settings| {
            let shown = Screen::new(settings)
                .and_then(|mut screen| screen.leave(Some([word, meaning]), light));
            shown.map_err(|error| format!("screen: {error}"))
        });
        let panel = match panel.kind {
            PanelKind::Png => Png::leave(panel.file.clone(), &words)
                .map_err(|error: io::Error| format!("{}: {error}", panel.file.display())),
            PanelKind::Oled => {
                let (bus, address) = (&panel.oled.bus, panel.oled.address);
                let attempt = || Oled::linux(panel.oled.clone()).leave(&words, light);
                let mut shown = attempt();
                for _ in 1..MAX_ATTEMPTS {
                    if shown.is_err() {
                        thread::sleep(RETRY_AFTER);
                        shown = attempt();
                    }
                }
                shown.map_err(|fault| fault.advice(bus, address))
            }
            // Only the ticker process itself can write to its terminal, so there is nothing to show
            // here.
            PanelKind::Terminal | PanelKind::Screen => Ok(()),
        };
        panel.and(screen)
    }

    /// Returns the panel of the last configuration, and its present light. A panel that a dimming
    /// period has turned off stays off.
    fn in_force(&self) -> (config::PanelConfig, PanelLight) {
        let loaded = LoadedConfig::load(&self.files.config, &self.environment).ok();
        let loaded = loaded.or_else(|| self.files.load_last_good(&self.environment));
        match loaded {
            Some(LoadedConfig { config, .. }) => {
                let light = config.settings.light(self.clock.now());
                (config.panel, light)
            }
            None => {
                let path = &self.files.config;
                let text = Config::text(path).unwrap_or_default();
                let panel = Config::panel_of(&text, path, &self.environment);
                (panel, PanelLight::default())
            }
        }
    }
}
