//! The texts of a command line that both programs have: the help of one command, and the errors
//! about a command, an option or its value. Runs no command.

use std::fmt::Display;
use std::str::FromStr;

use lexopt::{Error, Parser, ValueExt};

use crate::config::nearest;

/// The names of the commands of a program, each with the names of its options, separated by spaces.
pub type Commands = [(&'static str, &'static str)];

/// Returns the part of a help text about one command: its entries in the list of the commands, its
/// options, and the options of all commands.
///
/// # Errors
/// The program has no such command.
pub fn help_of(
    help: &str,
    program: &str,
    command: &str,
    commands: &Commands,
) -> Result<String, String> {
    let mut sections = help.split("\n\n");
    let mut list = sections.find_map(|section| section.strip_prefix("Commands:\n"));
    let mut text = String::new();
    let mut inside = false;
    for line in list.take().unwrap_or_default().lines() {
        // The first line of an entry begins with two spaces, and its further lines with more.
        let entry = line.strip_prefix("  ").unwrap_or_default();
        if !entry.starts_with(' ') {
            inside = entry.split(' ').next() == Some(command);
        }
        if inside {
            text = text + line + "\n";
        }
    }
    if text.is_empty() {
        return Err(unknown_command(command, commands));
    }
    let own = |section: &&str| {
        let name = section.strip_prefix("Options for ");
        let name = name.and_then(|rest| rest.split([' ', ':']).next());
        name == Some(command) || section.starts_with("  -h, --help")
    };
    let sections: Vec<&str> = sections.filter(own).collect();
    // The header of the options also names the words behind the command: `Options for say WORD:`.
    let header = sections.iter().find_map(|section| {
        let header = section.strip_prefix("Options for ")?;
        header.strip_prefix(command)?.split_once(':')
    });
    let words = header.map_or("", |(words, _)| words);
    let words = match words.contains('(') {
        true => "",
        false => words,
    };
    let options = sections.join("\n\n");
    Ok(format!(
        "Usage: {program} {command}{words} [OPTIONS]\n\n{text}\n{options}\n"
    ))
}

/// Returns the error for a word that is no command.
pub fn unknown_command(word: &str, commands: &Commands) -> String {
    let names = || commands.iter().map(|(name, _)| *name);
    match nearest(word, names()) {
        Some(near) => format!("unknown command {word:?}, did you mean {near}"),
        None => {
            let names: Vec<&str> = names().collect();
            format!("unknown command {word:?}; expected {}", names.join(", "))
        }
    }
}

/// Returns the error for an option that no command has.
pub fn unknown_option(name: &str, commands: &Commands) -> Error {
    let options = commands.iter().flat_map(|(_, options)| options.split(' '));
    let hint = match nearest(name, options.filter(|option| !option.is_empty())) {
        Some(near) => format!(", did you mean --{near}"),
        None => String::new(),
    };
    format!("invalid option '--{name}'{hint}").into()
}

/// Returns the error for the first of the given options that the command does not have.
pub fn stray_option(command: &str, given: &[String], commands: &Commands) -> Option<Error> {
    let (_, allowed) = commands.iter().find(|(name, _)| *name == command)?;
    let stray = given
        .iter()
        .find(|option| allowed.split(' ').all(|name| name != *option))?;
    Some(format!("the command {command} has no option --{stray}").into())
}

/// Parses the value of an option. The error names the option.
///
/// # Errors
/// The value is missing or wrong.
pub fn value<T: FromStr<Err: Display>>(parser: &mut Parser, option: &str) -> Result<T, Error> {
    let text = text(parser, option)?;
    let parsed = text.parse();
    parsed.map_err(|error| format!("--{option} {text:?}: {error}").into())
}

/// Returns the value of an option as text. The error names the option.
///
/// # Errors
/// The value is missing, or is not UTF-8.
pub fn text(parser: &mut Parser, option: &str) -> Result<String, Error> {
    let text = parser.value()?.string();
    text.map_err(|error| format!("--{option}: {error}").into())
}

#[cfg(test)]
mod tests {
    use super::*;

    const HELP: &str = "desk: prices\n\nUsage: desk\n\nCommands:\n  run       show prices\n            \
                        for ever\n  run off   show none\n  check     look\n\nOptions for run (all):\n      \
                        --config FILE\n\nOptions for check:\n      --json\n\n  -h, --help  this\n\nMore\n";
    const COMMANDS: &Commands = &[("run", "config"), ("check", "json")];

    #[test]
    fn the_help_of_a_command_has_its_entries_and_its_options_only() {
        let help = |command| help_of(HELP, "desk", command, COMMANDS);
        assert_eq!(
            help("run").unwrap(),
            "Usage: desk run [OPTIONS]\n\n  run       show prices\n            for ever\n  run off   \
             show none\n\nOptions for run (all):\n      --config FILE\n\n  -h, --help  this\n"
        );
        assert!(!help("check").unwrap().contains("--config"));
        let wrong = help("chek").unwrap_err();
        assert_eq!(wrong, "unknown command \"chek\", did you mean check");
        let wrong = help("zzzzzz").unwrap_err();
        assert_eq!(wrong, "unknown command \"zzzzzz\"; expected run, check");
    }

    #[test]
    fn an_error_names_the_option() {
        let error = |arguments: &[&str]| {
            let mut parser = Parser::from_args(arguments);
            parser.next().unwrap();
            value::<u8>(&mut parser, "size").unwrap_err().to_string()
        };
        assert_eq!(
            error(&["--size", "x"]),
            "--size \"x\": invalid digit found in string"
        );
        assert!(error(&["--size"]).contains("--size"));
        let near = unknown_option("confg", COMMANDS).to_string();
        assert_eq!(near, "invalid option '--confg', did you mean --config");
        let stray = stray_option("run", &["json".to_owned()], COMMANDS).unwrap();
        assert_eq!(stray.to_string(), "the command run has no option --json");
        assert!(stray_option("run", &["config".to_owned()], COMMANDS).is_none());
    }
}
