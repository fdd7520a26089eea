//! Tests of the manual pages in the packages: each page has exactly the commands and the options that
//! the program prints with --help.
#![allow(clippy::unwrap_used)]

use std::collections::BTreeSet;
use std::process::Command;

fn help(program: &str) -> String {
    let output = Command::new(program).arg("--help").output().unwrap();
    String::from_utf8(output.stdout).unwrap()
}

/// Returns all long options in a text.
fn options(text: &str) -> BTreeSet<String> {
    let starts = text.match_indices("--").map(|(at, _)| &text[at + 2..]);
    let names = starts.map(|rest| {
        let end = rest.find(|char: char| !char.is_ascii_lowercase() && char != '-');
        rest[..end.unwrap_or(rest.len())].to_owned()
    });
    names.filter(|name| !name.is_empty()).collect()
}

/// Returns the first word of each entry in the list of commands of a help text.
fn commands(help: &str) -> BTreeSet<String> {
    let (_, list) = help.split_once("\nCommands:\n").unwrap();
    let (list, _) = list.split_once("\n\n").unwrap();
    let entries = list.lines().filter_map(|line| line.strip_prefix("  "));
    let entries = entries.filter(|entry| !entry.starts_with(' '));
    let names = entries.map(|entry| entry.split(' ').next().unwrap().to_owned());
    names.collect()
}

/// Returns the first word of each entry in the section COMMANDS of a page.
fn described(page: &str) -> BTreeSet<String> {
    let (_, section) = page.split_once("\n.SH COMMANDS\n").unwrap();
    let (section, _) = section.split_once("\n.SH ").unwrap();
    // An entry begins with a macro (.B run) and may have quotes (.BI "token add" " NAME").
    let entries = section.split(".TP\n").skip(1);
    let words = entries.map(|entry| {
        entry
            .split([' ', '\n', '"'])
            .filter(|word| !word.is_empty())
    });
    let names = words.map(|mut words| words.nth(1).unwrap().to_owned());
    names.collect()
}

fn compare(program: &str, page: &str) {
    let help = help(program);
    assert_eq!(
        described(page),
        commands(&help),
        "left: the commands of the manual page, right: those of --help"
    );
    // The page also contains commands of other programs, with their options.
    let (_, own) = page.split_once("\n.SH COMMANDS\n").unwrap();
    assert_eq!(
        options(&own.replace("\\-", "-")),
        options(&help),
        "left: the options of the manual page, right: those of --help"
    );
}

#[test]
fn the_manual_page_of_the_display_has_every_command_and_option() {
    compare(
        env!("CARGO_BIN_EXE_deskticker"),
        include_str!("../systemd/deb/deskticker.1"),
    );
}

#[test]
fn the_manual_page_of_the_hub_has_every_command_and_option() {
    compare(
        env!("CARGO_BIN_EXE_deskticker-hub"),
        include_str!("../systemd/deb/deskticker-hub.1"),
    );
}
