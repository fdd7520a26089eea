//! The files of the application: its configuration, the last good configuration, and the report of
//! a failed setup. This module owns the last content of these files. It shows nothing.

use std::io::Read;
use std::path::{Path, PathBuf};

use super::LoadedConfig;
use crate::config::{Config, ConfigErrors, FileStamps, FileWatch, LastGood, PanelConfig};
use crate::files::FileStamp;
use crate::market::Calendar;
use crate::secret::Environment;
use crate::ticker::state::ConfigProblem;
use crate::time::Now;

/// The maximum length of the setup report, in bytes: more than the display has space for.
const LINE: u64 = 512;
/// The maximum length of the notice of the set-up by phone: a line, and the largest QR code that
/// fits on a panel.
const NOTICE: u64 = LINE + 64 * 64;

/// The paths of the files of the application.
#[derive(Clone, Debug)]
pub struct Files {
    /// The configuration.
    pub config: PathBuf,
    /// The copy of the last good configuration. If this path is set, a ticker also starts with a
    /// wrong configuration.
    pub last_good: Option<PathBuf>,
    /// The report of a failed setup of the machine. The display shows its first line while the file
    /// exists and is not empty.
    pub fault: Option<PathBuf>,
    /// The notice of the set-up by phone: a line of text, and a QR code of `#` and `.` below it.
    pub phone: Option<PathBuf>,
}

impl Files {
    /// Returns the handle of the copy of the last good configuration, if a file is set.
    fn last_good(&self) -> Option<LastGood> {
        let path = self.last_good.clone()?;
        Some(LastGood::at(path, &self.config))
    }

    /// Loads the copy of the last good configuration. Returns `None` if no copy exists or if the
    /// copy has an error. A relative path in the copy is relative to the folder of the
    /// configuration, and not to the folder of the copy.
    pub(super) fn load_last_good(&self, environment: &Environment) -> Option<LoadedConfig> {
        let text = self.last_good()?.text()?;
        LoadedConfig::parse(&text, &self.config, environment).ok()
    }
}

/// The watcher of the configuration files and of the setup report; see the module documentation.
#[derive(Debug)]
pub struct ConfigWatcher {
    files: Files,
    environment: Environment,
    last_good: Option<LastGood>,
    watch: FileWatch,
    /// The files that the configuration names.
    others: Vec<PathBuf>,
    /// The problem of the configuration.
    wrong: Option<ConfigProblem>,
    /// The problem of the setup.
    setup: Option<ConfigProblem>,
    /// The notice of the set-up by phone.
    phone: Option<ConfigProblem>,
    /// The problem that the last result contained.
    reported: Option<ConfigProblem>,
}

/// The configuration with which the ticker application starts.
#[derive(Debug)]
pub enum InitialConfig {
    /// A good configuration, or the last good one.
    Good(Box<LoadedConfig>),
    /// No good configuration exists; the panel shows the problem.
    Nothing(PanelConfig),
}

/// The result of a check that found a change.
#[derive(Debug)]
pub struct ConfigUpdate {
    /// The configuration, if it has been read again and is good.
    pub loaded: Option<Box<LoadedConfig>>,
    /// The present problem; `None` if there is none.
    pub fault: Option<ConfigProblem>,
}

impl ConfigWatcher {
    /// Creates a watcher for these files and reads nothing yet.
    pub fn new(files: Files, environment: Environment) -> Self {
        Self {
            last_good: files.last_good(),
            files,
            environment,
            watch: FileWatch::default(),
            others: Vec::new(),
            wrong: None,
            setup: None,
            phone: None,
            reported: None,
        }
    }

    /// Does the first check.
    ///
    /// # Errors
    /// The configuration is wrong, and [`Files::last_good`] is not set.
    pub fn begin(
        &mut self,
        now: Now,
    ) -> Result<(InitialConfig, Option<ConfigProblem>), ConfigErrors> {
        let beginning = match (self.judge(now), &self.files.last_good) {
            (Ok(loaded), _) => InitialConfig::Good(loaded),
            (Err(error), None) => return Err(error),
            (Err(error), Some(last)) => match self.files.load_last_good(&self.environment) {
                Some(loaded) => {
                    log_each("", &error);
                    log::warn!(
                        "the ticker uses the last good configuration, {}",
                        last.display()
                    );
                    InitialConfig::Good(Box::new(loaded))
                }
                // At a first start there is no last good configuration. The error to correct is the
                // one of the configuration, so only that error is logged.
                None => {
                    log_each("the ticker waits until this error is corrected: ", &error);
                    let path = &self.files.config;
                    let text = Config::text(path).unwrap_or_default();
                    InitialConfig::Nothing(Config::panel_of(&text, path, &self.environment))
                }
            },
        };
        self.look_at_setup();
        self.reported = self.fault();
        Ok((beginning, self.reported.clone()))
    }

    /// Does another check; returns `None` if nothing has changed. If `requested` is true, a user
    /// has requested a reload, and the configuration is read at once.
    pub fn look(&mut self, requested: bool, now: Now) -> Option<ConfigUpdate> {
        let seen = self.seen();
        let changed = self.watch.look(seen, now.monotonic);
        let judged = (changed || requested).then(|| self.judge(now));
        let loaded = judged.and_then(|judged| {
            let log = |errors| log_each("the ticker keeps its previous configuration: ", &errors);
            judged.map_err(log).ok()
        });
        self.look_at_setup();
        let fault = self.fault();
        if loaded.is_none() && fault == self.reported {
            return None;
        }
        self.reported.clone_from(&fault);
        Some(ConfigUpdate { loaded, fault })
    }

    /// Returns the most important problem. The notice of the set-up by phone comes first, because
    /// nothing works without a network; then the configuration, then the setup.
    fn fault(&self) -> Option<ConfigProblem> {
        let problem = self.phone.as_ref().or(self.wrong.as_ref());
        problem.or(self.setup.as_ref()).cloned()
    }

    fn seen(&self) -> FileStamps {
        FileStamps {
            config: FileStamp::of(&self.files.config),
            others: self.others.iter().map(|path| FileStamp::of(path)).collect(),
        }
    }

    /// Reads the configuration, and stores its text as the last good one if it has no error.
    fn judge(&mut self, now: Now) -> Result<Box<LoadedConfig>, ConfigErrors> {
        // The file stamp is older than the text that is read, so the next check detects a change
        // that happens in between.
        let before = FileStamp::of(&self.files.config);
        let text = Config::text(&self.files.config).map_err(ConfigErrors::from);
        let read = text.and_then(|text| {
            let loaded = LoadedConfig::parse(&text, &self.files.config, &self.environment)?;
            Ok((text, loaded))
        });
        self.others = match &read {
            Ok((_, loaded)) => loaded.config.files(),
            Err(errors) => errors.other_files().map(Path::to_owned).collect(),
        };
        let seen = FileStamps {
            config: before,
            ..self.seen()
        };
        self.watch.judged(seen);
        match read {
            Ok((text, loaded)) => {
                self.wrong = None;
                let expired = |utc| loaded.config.expired(&Calendar::us(), utc);
                let expired = now.utc.map(expired).unwrap_or_default();
                for line in loaded.config.warnings.iter().chain(&expired) {
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
                    code: None,
                });
                Err(error)
            }
        }
    }

    fn look_at_setup(&mut self) {
        let read =
            |path: &Option<PathBuf>, limit| path.as_deref().and_then(|path| head(path, limit));
        let setup = read(&self.files.fault, LINE).map(|(text, _)| ConfigProblem {
            title: "SETUP".to_owned(),
            text,
            code: None,
        });
        self.phone = read(&self.files.phone, NOTICE).map(|(text, code)| ConfigProblem {
            title: "PHONE".to_owned(),
            text,
            code: Some(code),
        });
        if setup != self.setup {
            match &setup {
                Some(fault) => log::warn!("the setup has an error: {}", fault.text),
                None => log::info!("the error of the setup has been corrected"),
            }
            self.setup = setup;
        }
    }
}

/// Logs each error of a configuration in a line of its own; `result` comes before the error.
fn log_each(result: &str, errors: &ConfigErrors) {
    for error in errors.iter() {
        log::error!("{result}{error}");
    }
}

/// Returns the first line of a file, and the rest of it; `None` if the file does not exist or has
/// no text.
fn head(path: &Path, limit: u64) -> Option<(String, String)> {
    let mut bytes = Vec::new();
    let file = std::fs::File::open(path).ok()?;
    file.take(limit).read_to_end(&mut bytes).ok()?;
    let text = String::from_utf8_lossy(&bytes);
    let (line, rest) = text.trim().split_once('\n').unwrap_or((text.trim(), ""));
    (!line.is_empty()).then(|| (line.trim_end().to_owned(), rest.to_owned()))
}
