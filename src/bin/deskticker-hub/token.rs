//! The commands `token add`, `token list` and `token revoke`: they change the device registry.

use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};

use deskticker::hub::auth::registry::{RegistryFile, STATIC};
use deskticker::hub::config;
use deskticker::hub::local_api::{self, DeviceRow};
use jiff::Timestamp;
use jiff::tz::TimeZone;

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
            match local_api::devices(file.path()) {
                Ok(rows) => say(&table(&rows))?,
                Err(error) => {
                    let lines: Vec<String> = names.iter().map(|name| format!("{name}\n")).collect();
                    say(&lines.concat())?;
                    eprintln!("{}", unknown_state(&error, &file));
                }
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

/// Returns the sentence about a hub whose devices are unknown.
fn unknown_state(error: &io::Error, file: &RegistryFile) -> String {
    let file = file.path().display();
    match error.kind() {
        ErrorKind::ConnectionRefused => format!(
            "No running hub uses {file}, so the last connections of the displays are unknown."
        ),
        ErrorKind::PermissionDenied => {
            "The hub shows the connections of the displays only to root and to its own user: use \
             sudo."
                .to_owned()
        }
        _ => format!("The running hub does not show the connections of the displays: {error}."),
    }
}

/// Returns the devices as a table with a heading.
fn table(rows: &[DeviceRow]) -> String {
    let heading = ["NAME", "STATE", "LAST SEEN", "ADDRESS", "VERSION"].map(str::to_owned);
    let lines: Vec<[String; 5]> = [heading].into_iter().chain(rows.iter().map(line)).collect();
    let mut widths = [0; 5];
    for line in &lines {
        for (width, cell) in widths.iter_mut().zip(line) {
            *width = (*width).max(cell.chars().count());
        }
    }
    let mut text = String::new();
    for line in &lines {
        let cells = line.iter().zip(widths);
        let padded: Vec<String> = cells
            .map(|(cell, width)| format!("{cell:width$}"))
            .collect();
        text.push_str(padded.join("  ").trim_end());
        text.push('\n');
    }
    text
}

fn line(row: &DeviceRow) -> [String; 5] {
    let mut state = row.state.clone();
    // The display reports only the kinds of values that it has.
    let values = row.report.iter().flat_map(|report| report.freshness());
    for (freshness, count) in values.filter(|(_, count)| *count > 0) {
        state.push_str(&format!(
            ", {count} {}",
            if freshness == "none" {
                "unknown"
            } else {
                freshness
            }
        ));
    }
    let seen = row
        .last_seen
        .and_then(|millis| Timestamp::from_millisecond(millis).ok());
    let seen = seen.map(|seen| seen.to_zoned(TimeZone::system()));
    let seen = seen.map(|seen| seen.strftime("%Y-%m-%d %H:%M:%S").to_string());
    let address = row.address.map(|address| address.to_string());
    let version = row.report.as_ref().map(|report| report.version.clone());
    let name = match row.device.as_str() {
        STATIC => "(static token)".to_owned(),
        name => name.to_owned(),
    };
    [Some(name), Some(state), seen, address, version]
        .map(|cell| cell.unwrap_or_else(|| "-".to_owned()))
}
