//! The commands `token add`, `token list` and `token revoke`: they change the device registry.

use std::path::{Path, PathBuf};

use deskticker::hub::auth::registry::RegistryFile;
use deskticker::hub::config;

use crate::arguments::TokenCommand;
use crate::{ExitReason, say};

/// Performs the command on `file`, or else on the device registry of the configuration.
pub(super) fn change(
    change: TokenCommand,
    file: Option<PathBuf>,
    config: Option<&Path>,
) -> Result<(), ExitReason> {
    let path = match file {
        Some(file) => file,
        None => config::devices_file(config).map_err(ExitReason::config)?,
    };
    let file = RegistryFile::new(&path);
    match change {
        TokenCommand::Add(name) => {
            let token = file.add(&name).map_err(ExitReason::other)?;
            // Standard output contains only the token, so that the user can redirect the token to a
            // file.
            eprintln!(
                "The token of {name:?} is printed only once. Write the token to the token_file of \
                 the display:"
            );
            say(&format!("{token}\n"))?;
        }
        TokenCommand::List => {
            let names = file.list().map_err(ExitReason::other)?;
            if names.is_empty() {
                eprintln!("{} has no device with a token.", file.path().display());
            }
            for name in names {
                say(&format!("{name}\n"))?;
            }
        }
        TokenCommand::Revoke(name) => {
            let incomplete = file.revoke(&name).map_err(ExitReason::other)?;
            eprintln!(
                "The token of {name:?} is revoked. A running hub disconnects this display within \
                 seconds."
            );
            if let Some(error) = incomplete {
                return Err(ExitReason::other(format!(
                    "the revocation is effective, but the file could not be replaced, so a copy \
                     from a backup may contain the old line. Make room and revoke again: {error}"
                )));
            }
        }
    }
    Ok(())
}
