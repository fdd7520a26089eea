//! The set-up of a display and of a hub on a new machine: questions at the terminal, each with a
//! check at once, then the files, the bus and the service. The same answers can be options. Each
//! step first shows its changes, and keeps the text that the user has written.

mod console;
mod display;
mod edit;
mod hub;
mod hub_above;
mod panel;
mod service;

use std::io::Read;
use std::path::{Path, PathBuf};

use crate::config::Config;
use crate::doctor::{CheckState, Finding};
use crate::files::check_regular;
use crate::hub::config::HubConfig;
use crate::secret::{Environment, Secret, UNIT_SECRETS, read_secret};
use console::Console;
pub use display::{DisplayOptions, set_up as display};
pub use hub::{HubOptions, set_up as hub};

/// Shows the changes and the unit that will be started, and writes the files if the user agrees.
/// Returns true if the files are written.
fn carry_out(
    files: Vec<(PathBuf, String, u32)>,
    unit: Option<&str>,
    console: &Console,
    dry_run: bool,
) -> Result<bool, String> {
    console.say("The set-up");
    for (path, text, mode) in &files {
        let name = path.display();
        let old = std::fs::read_to_string(path);
        let old = old.as_deref();
        match old {
            Ok(old) if old == text => console.say(&format!("  leaves {name} as it is")),
            _ if mode & 0o007 == 0 => {
                console.say(&format!("  writes the secret to {name}, mode {mode:04o}"));
            }
            Ok(old) => console.say(&format!("  changes {name}:{}", edit::difference(old, text))),
            Err(_) => console.say(&format!("  writes {name}")),
        }
    }
    if let Some(unit) = unit {
        console.say(&format!(
            "  runs systemctl enable {unit} and systemctl restart {unit}"
        ));
    }
    if dry_run {
        console.say("Nothing was changed (--dry-run).");
        return Ok(false);
    }
    if !console.agrees("Go on?")? {
        console.say("Nothing was changed.");
        return Ok(false);
    }
    for (path, text, mode) in files {
        if let Some(kept) = edit::write(&path, &text, mode)? {
            console.say(&format!(
                "The old {} is now {}.",
                path.display(),
                kept.display()
            ));
        }
    }
    Ok(true)
}

/// Returns an error if the configuration is no regular file, or if this process cannot write the
/// files of the service.
fn check_permission(path: &Path, dry_run: bool) -> Result<(), String> {
    check_regular(path).map_err(|error| format!("{}: {error}", path.display()))?;
    let system = path.parent() == Some(Path::new(UNIT_SECRETS));
    match system && !dry_run && !rustix::process::geteuid().is_root() {
        true => Err(format!(
            "the set-up writes to {UNIT_SECRETS} and starts a service: run this command with sudo"
        )),
        false => Ok(()),
    }
}

/// Returns the text of a configuration, or the text of the package if there is no file.
fn present(path: &Path, sample: &str) -> Result<String, String> {
    if !path.exists() {
        return Ok(sample.to_owned());
    }
    let text = Config::text(path).map_err(|error| error.to_string())?;
    match toml::de::DeTable::parse(&text) {
        Ok(_) => Ok(text),
        Err(error) => Err(format!(
            "{}: {error}\nCorrect this file first, or move it away; nothing was changed",
            path.display()
        )),
    }
}

/// Returns the secret from its file or its environment variable, if the user has given one.
fn given_secret(
    file: Option<&Path>,
    variable: Option<&str>,
    kind: &str,
) -> Result<Option<String>, String> {
    let Some(file) = file else {
        return Ok(variable.map(str::to_owned));
    };
    if file == Path::new("-") {
        let mut text = String::new();
        let read = std::io::stdin().take(4096).read_to_string(&mut text);
        return read
            .map(|_| Some(text))
            .map_err(|error| format!("standard input: {error}"));
    }
    let secret = read_secret(file, kind).map_err(|reason| format!("{}: {reason}", file.display()));
    secret.map(|secret| Some(secret.reveal().to_owned()))
}

/// Returns the observation of a finding. If the check has failed, returns the observation with the
/// remedy as the error.
fn good(finding: Finding) -> Result<String, String> {
    match finding.state {
        CheckState::Failed => {
            let remedy = finding.remedy.unwrap_or_default().replace('\n', "\n  ");
            Err(format!("{}\n  {remedy}", finding.found))
        }
        _ => Ok(finding.found),
    }
}

/// The secrets of a hub. Without any of them, the prices are simulated.
#[derive(Default)]
struct HubSecrets<'a> {
    key: Option<&'a Secret>,
    upstream_token: Option<&'a Secret>,
}

/// Reads the configuration of a hub with these secrets.
fn hub_config(text: &str, path: &Path, secrets: HubSecrets<'_>) -> Result<HubConfig, String> {
    let revealed = |secret: Option<&Secret>| secret.map(|secret| secret.reveal().to_owned());
    let environment = Environment {
        key: revealed(secrets.key),
        upstream_token: revealed(secrets.upstream_token),
        ..Environment::default()
    };
    let text = edit::without_key(text, "massive", "key_file");
    let text = edit::without_key(&text, "upstream", "token_file");
    HubConfig::parse(&text, path, &environment).map_err(|error| error.to_string())
}

fn absolute(path: PathBuf) -> Result<PathBuf, String> {
    std::path::absolute(path).map_err(|error| error.to_string())
}

/// Returns a string of TOML.
fn quoted(text: &str) -> String {
    format!("{text:?}")
}
