//! Changes of files that belong to the user: one key of a TOML file or some lines of a boot
//! configuration. Each other character of the file stays, and the old file is kept beside the new
//! one.

use std::fs;
use std::io;
use std::ops::Range;
use std::os::unix::fs::{MetadataExt, PermissionsExt, fchown};
use std::path::{Path, PathBuf};

use toml::de::{DeTable, DeValue};

use crate::files::{check_regular, replace_file};

/// Returns the place of a value in the text, and its content if it is a string. The table "" has
/// the keys before the first table.
fn value(text: &str, table: &str, key: &str) -> Option<(Range<usize>, Option<String>)> {
    let document = DeTable::parse(text).ok()?;
    let table = match table {
        "" => document.get_ref(),
        table => document.get_ref().get(table)?.get_ref().as_table()?,
    };
    let value = table.get(key)?;
    Some((value.span(), value.get_ref().as_str().map(str::to_owned)))
}

/// Returns the string of a key, if the file has this key.
pub(super) fn string(text: &str, table: &str, key: &str) -> Option<String> {
    value(text, table, key)?.1
}

/// Returns true if the file has this key.
pub(super) fn has(text: &str, table: &str, key: &str) -> bool {
    value(text, table, key).is_some()
}

/// Returns true if the value of a key is `true`.
pub(super) fn is_true(text: &str, table: &str, key: &str) -> bool {
    value(text, table, key).is_some_and(|(span, _)| &text[span] == "true")
}

/// Returns the list of strings of a key at the top of the file, in one line.
pub(super) fn list(text: &str, key: &str) -> Option<String> {
    let document = DeTable::parse(text).ok()?;
    let DeValue::Array(values) = document.get_ref().get(key)?.get_ref() else {
        return None;
    };
    let values = values.iter().filter_map(|value| value.get_ref().as_str());
    Some(values.collect::<Vec<_>>().join(", "))
}

/// Returns the text in which the key has the value `new`. If the text does not contain the key, its
/// line is inserted below its commented example, or else below the header of its table. A missing
/// table is added at the end.
pub(super) fn set(text: &str, table: &str, key: &str, new: &str) -> String {
    if let Some((span, _)) = value(text, table, key) {
        return format!("{}{new}{}", &text[..span.start], &text[span.end..]);
    }
    let line = format!("{key} = {new}\n");
    let Some(section) = section(text, table) else {
        let gap = if text.ends_with('\n') || text.is_empty() {
            ""
        } else {
            "\n"
        };
        return format!("{text}{gap}\n[{table}]\n{line}");
    };
    let example = |line: &str| {
        let name = line.strip_prefix('#').and_then(|rest| rest.split_once('='));
        name.is_some_and(|(name, _)| name.trim_end() == key)
    };
    let mut lines = lines(text).filter(|(at, _)| section.contains(at));
    let header = match table {
        "" => 0,
        _ => section.start + text[section.start..].find('\n').map_or(0, |end| end + 1),
    };
    let below = lines.find(|(_, line)| example(line));
    let at = below.map_or(header, |(at, line)| at + line.len());
    let gap = if text[..at].ends_with('\n') || at == 0 {
        ""
    } else {
        "\n"
    };
    format!("{}{gap}{line}{}", &text[..at], &text[at..])
}

/// Returns the text in which the lines of a key are comments.
pub(super) fn without_key(text: &str, table: &str, key: &str) -> String {
    match value(text, table, key) {
        Some((span, _)) => {
            let start = text[..span.start].rfind('\n').map_or(0, |end| end + 1);
            without(text, start..span.end)
        }
        None => text.to_owned(),
    }
}

/// Returns the text in which the lines of a table are comments.
pub(super) fn without_table(text: &str, table: &str) -> String {
    match section(text, table) {
        Some(section) => without(text, section),
        None => text.to_owned(),
    }
}

fn without(text: &str, place: Range<usize>) -> String {
    let line = |(at, line): (usize, &str)| {
        let inactive = line.trim().is_empty() || line.starts_with('#');
        let mark = if place.contains(&at) && !inactive {
            "#"
        } else {
            ""
        };
        format!("{mark}{line}")
    };
    lines(text).map(line).collect()
}

/// The lines of a text with their line ends, each with the place at which it begins.
fn lines(text: &str) -> impl Iterator<Item = (usize, &str)> {
    let mut at = 0;
    text.split_inclusive('\n').map(move |line| {
        at += line.len();
        (at - line.len(), line)
    })
}

/// Returns the place of a table: its header, and the lines up to the next header.
fn section(text: &str, table: &str) -> Option<Range<usize>> {
    let header = |line: &str| {
        let name = line.trim_start().strip_prefix('[')?.split(']').next()?;
        Some(name.trim().to_owned())
    };
    let mut headers = lines(text).filter_map(|(at, line)| Some((at, header(line)?)));
    let start = match table {
        "" => 0,
        _ => headers.find(|(_, name)| name == table)?.0,
    };
    let end = headers.next().map_or(text.len(), |(at, _)| at);
    Some(start..end)
}

/// Returns the text of a `config.txt` of a Raspberry Pi with these lines. A line that is a comment
/// becomes active; a missing line is added at the end, for all models.
pub(super) fn boot_lines(text: &str, wanted: &[&str]) -> String {
    let mut text = text.to_owned();
    for wanted in wanted {
        let setting = wanted.rsplit_once('=').map_or(*wanted, |(name, _)| name);
        // The lines below a filter like [cm4] are only for some models.
        let mut all = true;
        let mut everywhere = Vec::new();
        for (at, line) in lines(&text) {
            if line.starts_with('[') {
                all = line.trim() == "[all]";
            } else if all {
                everywhere.push((at, line.trim_end()));
            }
        }
        if everywhere.iter().any(|(_, line)| line.trim() == *wanted) {
            continue;
        }
        let fits = |line: &str| {
            let active = line.trim_start_matches('#').trim();
            active
                .rsplit_once('=')
                .is_some_and(|(name, _)| name == setting)
        };
        if let Some((at, line)) = everywhere.into_iter().find(|(_, line)| fits(line)) {
            let end = at + line.len();
            text.replace_range(at..end, wanted);
            continue;
        }
        if !text.ends_with('\n') {
            text.push('\n');
        }
        if !all {
            text.push_str("[all]\n");
        }
        text.push_str(&format!("{wanted}\n"));
    }
    text
}

/// Returns the lines that differ, with `-` for an old line and `+` for a new line.
pub(super) fn difference(old: &str, new: &str) -> String {
    let missing = |from: &str, other: &str, sign: &str| -> String {
        let lines = from
            .lines()
            .filter(|line| other.lines().all(|other| other != *line));
        lines.map(|line| format!("\n    {sign} {line}")).collect()
    };
    missing(old, new, "-") + &missing(new, old, "+")
}

/// Writes a file as a whole, and keeps its old content in another file with `.old` after its name.
/// An existing file keeps its owner and its mode; a file with a secret loses the permissions of all
/// other users. Returns the path of the old content, if the old content was different.
///
/// # Errors
/// A message for the user with the path. The old file stays unchanged.
pub(super) fn write(path: &Path, content: &str, mode: u32) -> Result<Option<PathBuf>, String> {
    // The target of a symbolic link is replaced, and not the link.
    let path = fs::canonicalize(path).unwrap_or_else(|_| path.to_owned());
    let failed = |error: io::Error| {
        let hint = match error.kind() {
            io::ErrorKind::PermissionDenied => "; run this command with sudo",
            _ => "",
        };
        format!("{} cannot be written: {error}{hint}", path.display())
    };
    check_regular(&path).map_err(failed)?;
    if let Some(folder) = path.parent() {
        fs::create_dir_all(folder).map_err(failed)?;
    }
    let (old, data) = match fs::read(&path) {
        Ok(old) => (old, Some(fs::metadata(&path).map_err(failed)?)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => (Vec::new(), None),
        Err(error) => return Err(failed(error)),
    };
    let secret = mode & 0o007 == 0;
    let mode = data.as_ref().map_or(mode, |data| {
        data.permissions().mode() & if secret { 0o770 } else { 0o777 }
    });
    if old == content.as_bytes() {
        return Ok(None);
    }
    let replace = |path: &Path, content: &[u8]| -> io::Result<()> {
        let file = replace_file(path, content, mode, true)?;
        let Some(data) = &data else { return Ok(()) };
        let made = file.metadata()?;
        match (made.uid(), made.gid()) == (data.uid(), data.gid()) {
            true => Ok(()),
            false => fchown(&file, Some(data.uid()), Some(data.gid())),
        }
    };
    let mut kept = None;
    if !old.is_empty() {
        let numbers = std::iter::once(String::new()).chain((2..).map(|number| number.to_string()));
        let mut names = numbers.map(|number| {
            let mut name = path.as_os_str().to_owned();
            name.push(format!(".old{number}"));
            PathBuf::from(name)
        });
        kept = names.find(|name| !name.exists());
    }
    if let Some(kept) = &kept {
        replace(kept, &old).map_err(failed)?;
    }
    replace(&path, content.as_bytes()).map_err(failed)?;
    Ok(kept)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The file of the package, in which all settings are examples.
    const SAMPLE: &str = include_str!("../../systemd/deb/deskticker.toml");

    #[test]
    fn a_key_is_changed_in_place_and_each_other_character_stays() {
        let text = "# mine\nwatchlist = [ # two\n \"SPX\",\n] # and more\n[hub] # near\nurl = \"ws://a\" # old\n";
        let text = set(text, "hub", "url", "\"ws://b\"");
        let text = set(&text, "", "watchlist", "[\"VIX\"]");
        let text = set(&text, "hub", "token_file", "\"/t\"");
        let text = set(&text, "panel", "size", "\"128x32\"");
        let expected = "# mine\nwatchlist = [\"VIX\"] # and more\n[hub] # near\ntoken_file = \"/t\"\n\
                        url = \"ws://b\" # old\n\n[panel]\nsize = \"128x32\"\n";
        assert_eq!(text, expected);
        assert_eq!(string(&text, "hub", "url").as_deref(), Some("ws://b"));
        assert_eq!(list(&text, "watchlist").as_deref(), Some("VIX"));
        let text = without_key(&text, "hub", "token_file");
        assert!(text.contains("\n#token_file = \"/t\"\nurl"), "{text}");
        let text = without_table(&text, "hub");
        assert!(text.contains("\n#[hub] # near\n#token_file = \"/t\"\n#url = "));
        assert!(toml::from_str::<toml::Table>(&text).is_ok_and(|table| table.len() == 2));
    }

    #[test]
    fn a_new_key_is_below_its_example_in_the_table() {
        let text = set(SAMPLE, "panel", "address", "0x3d");
        let text = set(&text, "panel", "brightness", "9");
        let text = set(&text, "", "watchlist", "[\"SPY\"]");
        assert!(text.contains("#address = 0x3c\naddress = 0x3d\n"), "{text}");
        // The table `[[night]]` also has a brightness.
        let (nights, panel) = text.split_once("[panel]").unwrap();
        assert!(!nights.contains("\nbrightness") && panel.contains("\nbrightness = 9\n"));
        assert!(text.contains("#watchlist = [\"SPX\", \"VIX\"]\nwatchlist = [\"SPY\"]\n"));
        let added = difference(SAMPLE, &text);
        let expected = "\n    + watchlist = [\"SPY\"]\n    + address = 0x3d\n    + brightness = 9";
        assert_eq!(added, expected);
    }

    #[test]
    fn the_lines_of_the_bus_are_active_for_all_models_and_only_once() {
        let wanted = ["dtparam=i2c_arm=on", "dtparam=i2c_arm_baudrate=400000"];
        // The first and the last lines are those of the `config.txt` of Raspberry Pi OS.
        let stock = "# a comment\n#dtparam=i2c_arm=on\n#dtparam=i2s=on\n[cm5]\ndtoverlay=dwc2\n";
        let text = boot_lines(stock, &wanted);
        let expected = "# a comment\ndtparam=i2c_arm=on\n#dtparam=i2s=on\n[cm5]\ndtoverlay=dwc2\n\
                        [all]\ndtparam=i2c_arm_baudrate=400000\n";
        assert_eq!(text, expected);
        assert_eq!(boot_lines(&text, &wanted), text);
        let off = boot_lines("dtparam=i2c_arm=off\n[all]\n", &wanted[..1]);
        assert_eq!(off, "dtparam=i2c_arm=on\n[all]\n");
        let elsewhere = boot_lines("[pi4]\ndtparam=i2c_arm=on", &wanted[..1]);
        assert_eq!(
            elsewhere,
            "[pi4]\ndtparam=i2c_arm=on\n[all]\ndtparam=i2c_arm=on\n"
        );
    }
}
