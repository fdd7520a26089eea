//! Configurations with a mistake each, as people make them. Each file in `tests/mistakes` has cases:
//! a line `=== NAME`, a configuration, a line `---`, and the messages that the program must print. A
//! message names the file and the line, says what was expected, and shows the corrected line or an
//! example. With `BLESS=1` in the environment, the test writes the present messages to the files.
//!
//! A corrected line is applied as a person would apply it: the program must accept the line, and the
//! line must mean what the person has written.
#![allow(clippy::unwrap_used)]

use std::path::Path;

use deskticker::config::Config;
use deskticker::hub::config::HubConfig;
use deskticker::secret::Environment;

fn environment() -> Environment {
    Environment {
        token: Some("s3cr3t-s3cr3t-s3cr3t".into()),
        key: Some("k3y".into()),
        upstream_token: Some("s3cr3t-s3cr3t-s3cr3t".into()),
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
        apply(title, text, &told, messages);
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

/// The number of a line and the corrected line in a message.
fn correction(message: &str) -> Option<(usize, &str)> {
    let (_, line) = message.rsplit_once("; write: ")?;
    let (_, place) = message.split_once(".toml:")?;
    Some((place.split(':').next()?.parse().ok()?, line))
}

/// Returns the text with all corrected lines of the messages, and the numbers of these lines.
fn corrected(text: &str, told: &str) -> (String, Vec<usize>) {
    let mut lines: Vec<&str> = text.lines().collect();
    let corrections = told.lines().filter_map(correction);
    let numbers = corrections.map(|(number, line)| {
        lines[number - 1] = line;
        number
    });
    let numbers = numbers.collect();
    (lines.join("\n"), numbers)
}

/// Applies the corrected lines of the messages: the program has nothing more to say about these
/// lines, except a warning about a rare meaning.
fn apply(title: &str, text: &str, told: &str, messages: fn(&str) -> String) {
    for message in told.lines() {
        if let Some(line) = message.split("; for example: ").nth(1)
            && let Some((_, place)) = message.split_once(".toml:")
        {
            let number: usize = place.split(':').next().unwrap().parse().unwrap();
            let refused = text.lines().nth(number - 1).unwrap();
            assert_ne!(
                line,
                refused.trim(),
                "{title}: the example is the refused line"
            );
        }
        let Some((number, line)) = correction(message) else {
            continue;
        };
        let old = text.lines().nth(number - 1).unwrap();
        let old = old.trim_matches([' ', '\t']);
        assert_ne!(line, old, "{title}: the corrected line is the refused line");
        let items = |line: &str| {
            line.split([',', ';'])
                .filter(|item| item.trim().len() > 1)
                .count()
        };
        let fewer = items(line) < items(old.split("//").next().unwrap());
        assert!(
            !fewer || told.contains("twice") || told.contains("you mean"),
            "{title}: {line:?} has lost an item"
        );
    }
    accepted(title, text, told, messages);
}

/// Checks that the program accepts all corrected lines of the messages.
fn accepted(title: &str, text: &str, told: &str, messages: fn(&str) -> String) {
    let (new, numbers) = corrected(text, told);
    let again = messages(&new);
    for message in again.lines().filter(|line| !line.starts_with("warning ")) {
        let same = |number: &usize| message.contains(&format!(".toml:{number}: "));
        let header = correction(message).is_some_and(|(_, line)| line.starts_with('['));
        let refused = numbers.iter().any(same) && !header && !message.contains(" has no ");
        assert!(
            !refused,
            "{title}: the corrected line is refused: {message}"
        );
    }
}

/// What a configuration means.
fn display_meaning(text: &str) -> Option<String> {
    let config = Config::parse(text, Path::new("desk.toml"), &environment()).ok()?;
    Some(format!(
        "{:?} {:?} {:?}",
        config.settings, config.source, config.panel
    ))
}

fn hub_meaning(text: &str) -> Option<String> {
    let config = HubConfig::parse(text, Path::new("hub.toml"), &environment()).ok()?;
    let config = HubConfig {
        warnings: Vec::new(),
        ..config
    };
    Some(format!("{config:?}"))
}

/// A way to write a right line wrong.
type Slip = fn(&str) -> String;

/// The mistakes that people make when they type or copy a line.
const SLIPS: [(&str, Slip); 22] = [
    ("none", str::to_owned),
    ("no quotes", |line| line.replace('"', "")),
    ("single quotes", |line| line.replace('"', "'")),
    ("typographic quotes", |line| {
        let mut open = false;
        let quote = |c| match c {
            '"' => {
                open = !open;
                if open { '“' } else { '”' }
            }
            c => c,
        };
        line.chars().map(quote).collect()
    }),
    ("the last quote is missing", |line| {
        let (before, behind) = line.rsplit_once('"').unwrap_or((line, ""));
        format!("{before}{behind}")
    }),
    ("the first quote is missing", |line| {
        line.replacen('"', "", 1)
    }),
    ("a quote too much", |line| format!("{line}\"")),
    ("a colon", |line| line.replacen(" =", ":", 1)),
    ("no equals sign", |line| line.replacen("= ", "", 1)),
    ("a semicolon", |line| format!("{line};")),
    ("a comma", |line| format!("{line},")),
    ("a comment of another language", |line| {
        format!("{line} // mine")
    }),
    ("a no-break space behind", |line| format!("{line}\u{a0}")),
    ("no-break spaces", |line| line.replace(' ', "\u{a0}")),
    ("an invisible character", |line| format!("\u{200b}{line}")),
    ("no commas", |line| line.replace(',', "")),
    ("semicolons in the list", |line| line.replace(',', ";")),
    ("one pair of quotes for all", |line| {
        let line = line.replace("\", \"", ", ");
        line.replace(['[', ']'], "")
    }),
    ("one pair of quotes in brackets", |line| {
        line.replace("\", \"", ", ")
    }),
    ("no brackets", |line| line.replace(['[', ']'], "")),
    ("the key misspelt", |line| {
        let end = line.find(' ').unwrap_or(1);
        format!("{}{}", &line[..end - 1], &line[end..])
    }),
    ("small letters", str::to_lowercase),
];

/// Right lines, each with the lines above it and below it.
const DISPLAY_LINES: [(&str, &str, &str); 21] = [
    ("", "watchlist = [\"SPX\", \"VIX\"]", HUB),
    ("", "watchlist = [\"BRK.B\", \"SPY\", \"I:TICK\"]", HUB),
    ("", "watchlist = [\"O:SPY271217C00650000\"]", HUB),
    ("", "time_zone = \"Europe/Berlin\"", HUB),
    ("", "clock = \"12h\"", HUB),
    ("", "numbers = \"1.234,56\"", HUB),
    ("[hub]\n", "url = \"ws://hub.local:3000\"", ""),
    ("[hub]\n", "url = [\"ws://a:3000\", \"ws://b:3000\"]", ""),
    (HUB_PANEL, "address = 0x3d", ""),
    (HUB_PANEL, "shift = false", ""),
    (HUB_PANEL, "chip = \"sh1106\"", ""),
    (HUB_PANEL, "size = \"128x32\"", ""),
    (HUB_PANEL, "brightness = 20", ""),
    (HUB_SCREEN, "theme = \"light\"", ""),
    (HUB_SCREEN, "rotation = 90", ""),
    (HUB_PAGES, "show = [\"SPX VIX\", \"link\"]", ""),
    (HUB_PAGES, "pin = \"SPX VIX\"", ""),
    (HUB_NIGHT, "days = [\"fri\", \"sat\", \"sun\"]", ""),
    (HUB_NIGHT, "days = [\"sat\"]", ""),
    (HUB_ALERT, "above = 6000.5", ""),
    (
        HUB,
        "[[night]]\nfrom = \"09:00\"",
        "to = \"06:00\"\noff = true\n",
    ),
];
const HUB: &str = "[hub]\nurl = \"ws://hub:3000\"\n";
const HUB_PANEL: &str = "[hub]\nurl = \"ws://hub:3000\"\n[panel]\n";
const HUB_SCREEN: &str = "[hub]\nurl = \"ws://hub:3000\"\n[screen]\n";
const HUB_PAGES: &str = "[hub]\nurl = \"ws://hub:3000\"\n[pages]\n";
const HUB_NIGHT: &str =
    "[hub]\nurl = \"ws://hub:3000\"\n[[night]]\nfrom = \"22:00\"\nto = \"06:00\"\noff = true\n";
const HUB_ALERT: &str = "[hub]\nurl = \"ws://hub:3000\"\n[[alert]]\nsymbol = \"SPX\"\n";

const HUB_LINES: [(&str, &str, &str); 7] = [
    ("", "listen = \"127.0.0.1:3000\"", ""),
    ("", "announce = false", ""),
    (
        "",
        "origins = [\"https://a.example\", \"https://b.example\"]",
        "",
    ),
    ("", "hosts = [\"a.example\", \"b.example\"]", ""),
    ("", "trusted_proxy = [\"127.0.0.1\"]", ""),
    ("[massive]\n", "clusters = [\"indices\", \"stocks\"]", ""),
    ("[limits]\n", "head = 7", ""),
];

/// Writes each line with up to two slips. The program understands the line as it was meant, or
/// refuses it; a corrected line means what was meant. Returns the number of the lines that were
/// corrected or understood.
fn slips(
    lines: &[(&str, &str, &str)],
    messages: fn(&str) -> String,
    meaning: fn(&str) -> Option<String>,
) -> usize {
    let mut understood = 0;
    for (before, line, behind) in lines {
        let text = |line: &str| format!("{before}{line}\n{behind}");
        let meant = meaning(&text(line)).expect(line);
        for (number, (first_name, first)) in SLIPS.into_iter().enumerate() {
            for (second_name, second) in SLIPS.into_iter().skip(number) {
                let wrong = second(&first(line));
                let place = format!("{wrong:?}, {first_name}, {second_name}");
                let wrong = text(&wrong);
                let told = messages(&wrong);
                let accepted = meaning(&wrong);
                let fixed = match accepted {
                    Some(_) => accepted,
                    None => {
                        apply(&place, &wrong, &told, messages);
                        let (new, numbers) = corrected(&wrong, &told);
                        meaning(&new).filter(|_| !numbers.is_empty())
                    }
                };
                let Some(fixed) = fixed else { continue };
                assert_eq!(fixed, meant, "{place}\n{told}");
                understood += 1;
            }
        }
    }
    understood
}

#[test]
fn a_corrected_line_means_what_was_written_with_one_or_two_slips() {
    let display = slips(&DISPLAY_LINES, display, display_meaning);
    let hub = slips(&HUB_LINES, hub, hub_meaning);
    // Nearly all of the 4807 lines of a display and 1771 lines of a hub.
    assert!(display > 4000 && hub > 1600, "{display} and {hub}");
}

/// The setting of each kind, as a file that is then changed at random.
const SAMPLE: &str = "watchlist = [\"SPX\", \"BRK.B\",\n  \"VIX\"] # mine\ntime_zone = \"Europe/Berlin\"\n\
    [hub]\nurl = \"ws://hub:3000\"\n[panel]\naddress = 0x3c\nchip = \"sh1106\"\nshift = true\n\
    [pages]\nshow = [\"SPX VIX\", \"link\", \"BRK.B\"]\ninterval = 10\n[[alert]]\nsymbol = \"SPX\"\n\
    above = 6000.0\n[[night]]\ndays = [\"sat\", \"sun\"]\nfrom = \"22:00\"\nto = \"06:00\"\noff = true\n";

proptest::proptest! {
    #![proptest_config(proptest::test_runner::Config {
        cases: 100,
        failure_persistence: None,
        ..proptest::test_runner::Config::default()
    })]
    #[test]
    fn a_corrected_line_is_accepted_after_any_change_of_a_file(
        changes in proptest::collection::vec(
            (0..SAMPLE.len(), 0..4_usize, "[]=\"',;:#/ \\\\A-Za-z0-9\u{a0}“”\n\\[]{0,3}"), 1..5)
    ) {
        let mut text = SAMPLE.to_owned();
        for (start, length, new) in changes {
            let place = |at: usize| (at..=text.len()).find(|at| text.is_char_boundary(*at));
            let (start, end) = (place(start), place(start + length));
            let (start, end) = (start.unwrap_or(text.len()), end.unwrap_or(text.len()));
            text.replace_range(start..end, &new);
        }
        let told = display(&text);
        accepted(&text, &text, &told, display);
    }
}
