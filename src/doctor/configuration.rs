//! Checks the configuration and reports the source of its secret. Never reports the secret itself.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use super::{Finding, network};
use crate::config::{Config, ConfigErrors, SecretName};
use crate::display::buttons;
use crate::secret::Environment;

pub(super) fn configuration(file: &Path, config: &Config) -> Finding {
    let count = config.settings.watchlist.len();
    let mut place = network::place(&config.source.endpoint);
    for hub in &config.source.alternatives {
        place.push_str(&format!(" or {}", network::place(hub)));
    }
    let s = if count == 1 { "" } else { "s" };
    let found = format!("{}: {count} instrument{s}, {place}", file.display());
    match config.warnings.is_empty() {
        true => Finding::ok("configuration", found),
        false => Finding::warning("configuration", found, config.warnings.join("\n")),
    }
}

pub(super) fn wrong(error: &ConfigErrors) -> Finding {
    let remedy = "Correct the configuration; the README lists every setting. If only root may read \
                  a file, run:\n  sudo deskticker doctor";
    Finding::failed("configuration", error.to_string(), remedy)
}

/// Reports the source of the token or key. A loaded configuration always has a secret, so this
/// function does not handle a missing secret.
pub(super) fn token(config: &Config, environment: &Environment) -> Finding {
    let name = SecretName::of(config.source.provider);
    let Some(path) = name.file(config.secret_file.as_deref(), environment) else {
        return Finding::ok("token", format!("from the variable {}", name.variable));
    };
    let found = format!("from {}", path.display());
    let mode = fs::metadata(&path).map_or(0, |data| data.permissions().mode());
    if mode & 0o004 != 0 {
        let found = format!("{found}, which every user of this machine can read");
        let remedy = format!("  sudo chmod 600 {}", path.display());
        return Finding::warning("token", found, remedy);
    }
    Finding::ok("token", found)
}

/// Checks that each named input device exists. Returns `None` if the configuration names none.
pub(super) fn buttons(config: &Config, root: &Path) -> Option<Finding> {
    let names = &config.settings.buttons;
    if names.iter().all(|name| name == buttons::GPIO) {
        return None;
    }
    Some(match buttons::missing(names, root) {
        None => Finding::ok("buttons", "each named input device exists"),
        Some(found) => Finding::warning(
            "buttons",
            found,
            "Write the name of the device to `buttons`, or connect the device.",
        ),
    })
}
