//! What is left to say once a ticker has ended, whatever has ended it: nothing that it has shown is
//! live any more, and nobody else will tell. Owns how long that may take; needs no token and no
//! network.

use std::io;
use std::path::PathBuf;
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use super::{Files, LoadedConfig};
use crate::config::{self, Config, Environment, PanelKind};
use crate::display::{Oled, PanelLight, PanelState, Png};
use crate::render;
use crate::time::Clock;

/// The next start waits for this, so a bus or a disk that hangs is given up.
const TIME_LIMIT: Duration = Duration::from_secs(2);
/// A message that is not acknowledged is tried again; after so many tries nobody is there.
const MAX_ATTEMPTS: usize = 3;
/// Between two tries.
const RETRY_AFTER: Duration = Duration::from_millis(100);

/// See the module.
#[derive(Clone, Debug)]
pub struct StopNotice {
    /// What the ticker went by.
    pub files: Files,
    /// What else it went by.
    pub environment: Environment,
    /// Time.
    pub clock: Clock,
    /// The file in which it has said how its panel does.
    pub state: Option<PathBuf>,
    /// What is said, and what that means.
    pub words: [String; 2],
}

impl StopNotice {
    /// Says it on the panel that the ticker had, unless that was left in order.
    ///
    /// # Errors
    /// The panel does not take it, or not in time. Then whoever is still writing must be ended: it is a
    /// thread of this process.
    pub fn say(self) -> Result<(), String> {
        if self.state.as_deref().and_then(PanelState::read) == Some(PanelState::Left) {
            return Ok(());
        }
        let (done, outcome) = mpsc::channel();
        let saying = thread::Builder::new().name("afterwards".into());
        saying
            .spawn(move || done.send(self.leave()))
            .map_err(|error| error.to_string())?;
        let given_up = |_| format!("nothing was taken within {} s", TIME_LIMIT.as_secs());
        outcome.recv_timeout(TIME_LIMIT).map_err(given_up)?
    }

    fn leave(&self) -> Result<(), String> {
        let (panel, light) = self.in_force();
        let [word, meaning] = &self.words;
        let words = render::notice(panel.oled.size, word, meaning);
        match panel.kind {
            PanelKind::Png => Png::leave(panel.file.clone(), &words)
                .map_err(|error: io::Error| format!("{}: {error}", panel.file.display())),
            PanelKind::Oled => {
                let (bus, address) = (&panel.oled.bus, panel.oled.address);
                let mut tries = MAX_ATTEMPTS;
                loop {
                    tries -= 1;
                    match Oled::linux(panel.oled.clone()).leave(&words, light) {
                        Ok(()) => return Ok(()),
                        Err(fault) if tries == 0 => {
                            return Err(fault.advice(bus, address).to_string());
                        }
                        Err(_) => thread::sleep(RETRY_AFTER),
                    }
                }
            }
            // Its own program tells a terminal, or nobody.
            PanelKind::Terminal => Ok(()),
        }
    }

    /// The panel of the configuration that was in force, and how it glows now: a panel that is off at
    /// night stays so.
    fn in_force(&self) -> (config::PanelConfig, PanelLight) {
        let files = [Some(&self.files.config), self.files.last_good.as_ref()];
        let mut loaded = files
            .into_iter()
            .flatten()
            .filter_map(|path| LoadedConfig::load(path, &self.environment).ok());
        match loaded.next() {
            Some(LoadedConfig { config, .. }) => {
                let light = config.settings.light(self.clock.now());
                (config.panel, light)
            }
            None => {
                let text = Config::text(&self.files.config).unwrap_or_default();
                let panel = Config::panel_of(&text, &self.environment);
                (panel, PanelLight::default())
            }
        }
    }
}
