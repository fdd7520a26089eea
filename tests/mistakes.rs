//! Configurations with a mistake each, as people make them. Each file in `tests/mistakes` has cases:
//! a line `=== NAME`, a configuration, a line `---`, and the messages that the program must print. A
//! message names the file and the line, says what was expected, and shows the corrected line or an
//! example. With `BLESS=1` in the environment, the test writes the present messages to the files.
#![allow(clippy::unwrap_used)]

use std::path::Path;

use deskticker::config::Config;
use deskticker::hub::config::HubConfig;
use deskticker::secret::Environment;

fn environment() -> Environment {
    Environment {
        token: Some("s3cr3t-s3cr3t-s3cr3t".into()),
        key: Some("k3y".into()),
        ..Environment::default()
    }
}

/// The messages about a configuration: its errors, or its warnings.
fn display(text: &str) -> String {
    match Config::parse(text, Path::new("desk.toml"), &environment()) {
        Ok(config) => warnings(&config.warnings),
        Err(errors) => format!("{errors}\n"),
    }
}

fn hub(text: &str) -> String {
    match HubConfig::parse(text, Path::new("hub.toml"), &environment()) {
        Ok(config) => warnings(&config.warnings),
        Err(errors) => format!("{errors}\n"),
    }
}

fn warnings(warnings: &[String]) -> String {
    let lines = warnings.iter().map(|line| format!("warning {line}\n"));
    lines.collect()
}

/// Checks each case of a file, and returns the number of its cases.
fn check(name: &str, messages: fn(&str) -> String) -> usize {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/mistakes");
    let path = folder.join(name);
    let file = std::fs::read_to_string(&path).unwrap();
    let mut now = String::new();
    let mut count = 0;
    for case in file.split("=== ").skip(1) {
        let (title, rest) = case.split_once('\n').unwrap();
        let (text, _) = rest.split_once("---\n").unwrap();
        let told = messages(text);
        assert!(!told.is_empty(), "{title}: nothing is said");
        for line in told.lines() {
            let file = name
                .replace("display.txt", "desk")
                .replace("hub.txt", "hub");
            assert!(line.contains(&format!("{file}.toml:")), "{title}: {line}");
            assert!(!line.contains("s3cr3t"), "{title}: {line}");
        }
        now.push_str(&format!("=== {title}\n{text}---\n{told}\n"));
        count += 1;
    }
    if std::env::var_os("BLESS").is_some() {
        std::fs::write(&path, now).unwrap();
        return count;
    }
    for (is, must) in now.split("=== ").zip(file.split("=== ")) {
        assert_eq!(is.trim_end(), must.trim_end());
    }
    count
}

#[test]
fn each_mistake_is_named_with_file_line_expected_value_and_corrected_line() {
    assert!(check("display.txt", display) >= 50);
    assert!(check("hub.txt", hub) >= 20);
}
