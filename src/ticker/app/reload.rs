//! What is to be known of the files around a ticker: its configuration, the last good one, and
//! whatever says that setting it up went wrong. Owns what was last read of them; shows nothing.

use std::io::Read;
use std::path::{Path, PathBuf};

use super::LoadedConfig;
use crate::config::{
    Config, ConfigError, Environment, FileStamp, FileStamps, FileWatch, LastGood, PanelConfig,
};
use crate::market::Calendar;
use crate::ticker::state::ConfigProblem;
use crate::time::Now;

/// Of the line that is shown of a setup that went wrong, in bytes: more than a glass has room for.
const LINE: u64 = 512;

/// Where the files are.
#[derive(Clone, Debug)]
pub struct Files {
    /// The configuration.
    pub config: PathBuf,
    /// Where the last good one is remembered. With it, a ticker starts whatever the configuration
    /// is like.
    pub last_good: Option<PathBuf>,
    /// While this is there and not empty, its first line is shown: what set this machine up could
    /// not do what it was asked for.
    pub fault: Option<PathBuf>,
}

/// See the module.
#[derive(Debug)]
pub struct ConfigWatcher {
    files: Files,
    environment: Environment,
    calendar: Calendar,
    last_good: Option<LastGood>,
    watch: FileWatch,
    /// The files that the configuration names.
    others: Vec<PathBuf>,
    /// What is wrong with the configuration.
    wrong: Option<ConfigProblem>,
    /// What went wrong with the setup.
    setup: Option<ConfigProblem>,
    /// Which fault has been told.
    reported: Option<ConfigProblem>,
}

/// With what a ticker begins.
#[derive(Debug)]
pub enum InitialConfig {
    /// A good configuration, or the last good one.
    Good(Box<LoadedConfig>),
    /// There is none, and this is the panel to say so on.
    Nothing(PanelConfig),
}

/// What another look has brought.
#[derive(Debug)]
pub struct ConfigUpdate {
    /// The configuration, if it has been read again and is good.
    pub loaded: Option<Box<LoadedConfig>>,
    /// What is wrong from now on.
    pub fault: Option<ConfigProblem>,
}

impl ConfigWatcher {
    /// For these files; nothing is read yet.
    pub fn new(files: Files, environment: Environment) -> Self {
        Self {
            last_good: files.last_good.clone().map(LastGood::at),
            files,
            environment,
            calendar: Calendar::us(),
            watch: FileWatch::default(),
            others: Vec::new(),
            wrong: None,
            setup: None,
            reported: None,
        }
    }

    /// The first look.
    ///
    /// # Errors
    /// The configuration is wrong, and nobody wants the last good one.
    pub fn begin(
        &mut self,
        now: Now,
    ) -> Result<(InitialConfig, Option<ConfigProblem>), ConfigError> {
        let beginning = match self.judge(now) {
            Ok(loaded) => InitialConfig::Good(loaded),
            Err(error) => {
                let Some(last) = &self.last_good else {
                    return Err(error);
                };
                match LoadedConfig::load(last.path(), &self.environment) {
                    Ok(loaded) => {
                        log::error!("{error}");
                        log::warn!(
                            "the last good configuration is in force, {}",
                            last.path().display()
                        );
                        InitialConfig::Good(Box::new(loaded))
                    }
                    // That of a first start need not be there; what is to be mended is the other.
                    Err(_) => {
                        log::error!("{error}; waiting until that is mended");
                        let text = Config::text(&self.files.config).unwrap_or_default();
                        InitialConfig::Nothing(Config::panel_of(&text, &self.environment))
                    }
                }
            }
        };
        self.look_at_setup();
        self.reported = self.fault();
        Ok((beginning, self.reported.clone()))
    }

    /// Another look, which mostly brings nothing. `asked` by somebody, it judges at once whatever is
    /// there.
    pub fn look(&mut self, asked: bool, now: Now) -> Option<ConfigUpdate> {
        let seen = self.seen();
        let changed = self.watch.look(seen, now.monotonic);
        let loaded = (changed || asked).then(|| self.judge(now));
        let loaded = loaded.and_then(|judged| {
            let reason = |error| log::error!("the configuration stays as it was: {error}");
            judged.map_err(reason).ok()
        });
        self.look_at_setup();
        let fault = self.fault();
        if loaded.is_none() && fault == self.reported {
            return None;
        }
        self.reported.clone_from(&fault);
        Some(ConfigUpdate { loaded, fault })
    }

    /// What is most in need of being mended.
    fn fault(&self) -> Option<ConfigProblem> {
        self.wrong.as_ref().or(self.setup.as_ref()).cloned()
    }

    fn seen(&self) -> FileStamps {
        FileStamps {
            config: FileStamp::of(&self.files.config),
            others: self.others.iter().map(|path| FileStamp::of(path)).collect(),
        }
    }

    /// Reads the configuration, and remembers it if it is good.
    fn judge(&mut self, now: Now) -> Result<Box<LoadedConfig>, ConfigError> {
        // From before it is read, so that a change meanwhile is seen by the next look.
        let before = FileStamp::of(&self.files.config);
        let read = Config::text(&self.files.config).and_then(|text| {
            let loaded = LoadedConfig::parse(&text, &self.files.config, &self.environment)?;
            Ok((text, loaded))
        });
        self.others = match &read {
            Ok((_, loaded)) => loaded.config.files(),
            Err(error) => error.other_file().map(Path::to_owned).into_iter().collect(),
        };
        let seen = FileStamps {
            config: before,
            ..self.seen()
        };
        self.watch.judged(seen);
        match read {
            Ok((text, loaded)) => {
                self.wrong = None;
                for line in now
                    .utc
                    .iter()
                    .flat_map(|utc| loaded.config.expired(&self.calendar, *utc))
                {
                    log::warn!("{line}");
                }
                if let Some(last) = &mut self.last_good {
                    last.remember(&text, loaded.config.source.secret.as_ref());
                }
                Ok(Box::new(loaded))
            }
            Err(error) => {
                self.wrong = Some(ConfigProblem {
                    title: "CONFIG".to_owned(),
                    text: error.brief(),
                });
                Err(error)
            }
        }
    }

    fn look_at_setup(&mut self) {
        let line = self.files.fault.as_deref().and_then(first_line);
        let setup = line.map(|text| ConfigProblem {
            title: "SETUP".to_owned(),
            text,
        });
        if setup != self.setup {
            match &setup {
                Some(fault) => log::warn!("the setup went wrong: {}", fault.text),
                None => log::info!("what went wrong with the setup has been mended"),
            }
            self.setup = setup;
        }
    }
}

/// The first line of a file, if there is one.
fn first_line(path: &Path) -> Option<String> {
    let mut bytes = Vec::new();
    let file = std::fs::File::open(path).ok()?;
    file.take(LINE).read_to_end(&mut bytes).ok()?;
    let text = String::from_utf8_lossy(&bytes);
    let line = text.trim_start().lines().next()?.trim_end();
    (!line.is_empty()).then(|| line.to_owned())
}
