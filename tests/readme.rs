//! Tests of the README: each command in it exists, with each of its options, a test runs each command,
//! and each picture is one of the golden pictures.
#![allow(clippy::unwrap_used)]

use std::io::{BufRead, BufReader};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};

const README: &str = include_str!("../README.md");

/// Programs of the system that the README uses.
const SYSTEM: &[&str] = &[
    "apt",
    "cd",
    "chown",
    "cross",
    "curl",
    "dd",
    "echo",
    "install",
    "nano",
    "printf",
    "sh",
    "systemctl",
    "xz",
];

/// Returns each command in the shell blocks, without `sudo`, variables and comments.
fn commands() -> Vec<Vec<String>> {
    let blocks = README.split("\n```sh\n").skip(1);
    let blocks = blocks.map(|rest| rest.split_once("\n```").unwrap().0);
    let lines = blocks
        .flat_map(str::lines)
        .filter(|line| !line.starts_with('#'));
    let mut commands = Vec::new();
    for line in lines {
        let line = line.split(" # ").next().unwrap();
        for command in line.split(['|', ';']).flat_map(|part| part.split("&&")) {
            let words = command.split_whitespace();
            let words = words.skip_while(|word| *word == "sudo" || word.contains('='));
            let words: Vec<String> = words.map(str::to_owned).collect();
            if !words.is_empty() {
                commands.push(words);
            }
        }
    }
    commands
}

/// Checks the options of one of the two programs, and its command.
fn check_program(program: &str, words: &[String]) {
    let path = match program {
        "deskticker" => env!("CARGO_BIN_EXE_deskticker"),
        _ => env!("CARGO_BIN_EXE_deskticker-hub"),
    };
    let output = Command::new(path).arg("--help").output().unwrap();
    let help = String::from_utf8(output.stdout).unwrap();
    let known = |word: &str| help.split_whitespace().any(|other| other == word);
    if let Some(command) = words.first().filter(|word| !word.starts_with("--")) {
        assert!(known(command), "{program} has no command {command:?}");
    }
    for option in words.iter().filter(|word| word.starts_with("--")) {
        assert!(known(option), "{program} has no option {option}");
    }
}

#[test]
fn each_command_of_the_readme_exists_with_its_options() {
    let manifest = include_str!("../Cargo.toml");
    let all = commands();
    assert!(all.len() > 20, "{all:?}");
    for words in &all {
        let (name, rest) = words.split_first().unwrap();
        match name.as_str() {
            "cargo" => {
                let named = rest.iter().position(|word| word == "--bin");
                let program = named.map_or("deskticker", |place| &rest[place + 1]);
                if let Some(place) = rest.iter().position(|word| word == "--") {
                    check_program(program, &rest[place + 1..]);
                }
                if let Some(place) = rest.iter().position(|word| word == "--bench") {
                    assert!(manifest.contains(&format!("name = \"{}\"", rest[place + 1])));
                }
            }
            "deskticker" | "deskticker-hub" => check_program(name, rest),
            path if path.contains('/') => {
                let file = Path::new(env!("CARGO_MANIFEST_DIR")).join(path);
                let mode = file.metadata().unwrap().permissions().mode();
                assert_eq!(mode & 0o111, 0o111, "{path} is not executable");
            }
            other => assert!(SYSTEM.contains(&other), "an unknown command: {words:?}"),
        }
    }
}

/// The test that runs a command of the README.
enum Proof {
    /// [`the_commands_of_the_readme_for_a_hub_and_a_display_work_as_printed`].
    Here,
    /// This file of the repository, which contains this text.
    Suite(&'static str, &'static str),
    /// No test runs the command, for this reason.
    None(&'static str),
}

/// The beginning of each line of the README's shell blocks, and its proof.
const PROOFS: &[(&str, Proof)] = &[
    (
        "cargo run --release -- demo",
        Proof::Suite(".ci/run", "--release -- demo"),
    ),
    ("cargo test", Proof::Suite(".ci/run", "cargo test --locked")),
    (
        "cargo build --release &&",
        Proof::Suite("tests/packages/run", "systemd/deb/build"),
    ),
    (
        "cargo build --release",
        Proof::Suite(".ci/run", "cargo build --locked --release"),
    ),
    ("cargo run --release --bin deskticker-hub", Proof::Here),
    (
        "sudo boards/image",
        Proof::Suite("tests/pi/image", "boards/image pi-3"),
    ),
    ("xz -dc", Proof::None("it overwrites a memory card")),
    (
        "curl -fsSL https://HOST/install | sudo sh -s",
        Proof::Suite("tests/packages/repository", "sh -s -- deskticker-hub"),
    ),
    (
        "curl -fsSL https://HOST/install | sudo sh",
        Proof::Suite("tests/packages/repository", "/tmp/install | sh"),
    ),
    (
        "sudo apt install ./deskticker-hub",
        Proof::Suite("tests/packages/repository", "apt-get install"),
    ),
    (
        "sudo apt install ./deskticker",
        Proof::Suite("tests/packages/repository", "apt-get install"),
    ),
    (
        "sudo deskticker setup",
        Proof::Suite(
            "tests/packages/upgrade.py",
            "\"/usr/bin/deskticker\", \"setup\"",
        ),
    ),
    (
        "echo TOKEN | sudo deskticker setup",
        Proof::Suite("tests/packages/upgrade.py", "startswith(\"echo \")"),
    ),
    (
        "sudo deskticker-hub setup",
        Proof::Suite("tests/packages/upgrade.py", "deskticker-hub setup"),
    ),
    (
        "sudo deskticker-hub token add",
        Proof::Suite("tests/packages/upgrade.py", "token add"),
    ),
    (
        "sudo deskticker-hub check",
        Proof::Suite("tests/hub_program.rs", "\"check\""),
    ),
    (
        "sudo deskticker-hub certificate",
        Proof::Suite("tests/hub_tls.rs", "certificate"),
    ),
    (
        "sudo deskticker doctor",
        Proof::Suite("tests/doctor.rs", "doctor"),
    ),
    (
        "sudo systemctl enable --now deskticker-console",
        Proof::Suite("tests/systemd/prove.py", "deskticker-console.service"),
    ),
    (
        "sudo systemctl enable --now deskticker-hub",
        Proof::Suite("tests/packages/upgrade.py", "\"--now\""),
    ),
    (
        "sudo systemctl restart deskticker",
        Proof::Suite("tests/packages/upgrade.py", "\"restart\""),
    ),
    ("sudo nano", Proof::None("a person edits")),
    (
        "sudo install -m 600 /dev/stdin",
        Proof::None("a person pastes"),
    ),
    ("CROSS_CONFIG=", Proof::None("it needs Docker")),
    (
        "deskticker demo --panel oled",
        Proof::None("it needs a panel"),
    ),
    (
        "deskticker-hub token add kitchen --file devices",
        Proof::Here,
    ),
    ("printf '[devices]", Proof::Here),
    ("MASSIVE_API_KEY=… deskticker-hub --config", Proof::Here),
    ("MASSIVE_PROXY_TOKEN=… deskticker", Proof::Here),
    (
        "tests/pi/build && systemd/deb/build",
        Proof::Suite("tests/packages/run", "--target"),
    ),
    (
        "systemd/deb/release",
        Proof::Suite("tests/packages/release", "systemd/deb/release"),
    ),
];

/// Returns the lines of the shell blocks. A block with a script of its own begins with `#!`.
fn lines() -> Vec<&'static str> {
    let blocks = README.split("\n```sh\n").skip(1);
    let blocks = blocks.map(|rest| rest.split_once("\n```").unwrap().0);
    let blocks = blocks.filter(|block| !block.starts_with("#!"));
    let lines = blocks.flat_map(str::lines);
    lines.filter(|line| !line.starts_with('#')).collect()
}

#[test]
fn a_test_runs_each_command_of_the_readme() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let lines = lines();
    for line in &lines {
        let proof = PROOFS.iter().find(|(start, _)| line.starts_with(start));
        let (_, proof) = proof.unwrap_or_else(|| panic!("no test runs {line:?}"));
        match proof {
            Proof::Here => {}
            Proof::Suite(file, text) => {
                let content = std::fs::read_to_string(root.join(file)).unwrap();
                assert!(content.contains(text), "{file} does not run {line:?}");
            }
            Proof::None(reason) => assert!(!reason.is_empty()),
        }
    }
    for (start, _) in PROOFS {
        assert!(
            lines.iter().any(|line| line.starts_with(start)),
            "{start} is not in the README"
        );
    }
}

/// Starts a shell command with the built programs in its path, and returns the process and its
/// output line by line, both streams together.
fn shell(command: &str, folder: &Path) -> (Child, impl Iterator<Item = String> + use<>) {
    let programs = Path::new(env!("CARGO_BIN_EXE_deskticker"))
        .parent()
        .unwrap();
    let path = format!("{}:{}", programs.display(), std::env::var("PATH").unwrap());
    let mut shell = Command::new("sh");
    // `exec` makes the process of the last command the process of the shell.
    let (before, last) = command.rsplit_once('\n').unwrap_or(("", command));
    let (variables, program) = last.split_once("deskticker").unwrap();
    let script = format!("{before}\n{variables} exec deskticker{program} 2>&1");
    shell
        .arg("-c")
        .arg(script)
        .current_dir(folder)
        .env("PATH", path);
    shell
        .env("RUST_LOG", "info")
        .stdin(Stdio::null())
        .stdout(Stdio::piped());
    let mut child = shell.spawn().unwrap();
    let output = BufReader::new(child.stdout.take().unwrap());
    (child, output.lines().map(Result::unwrap))
}

#[test]
fn the_commands_of_the_readme_for_a_hub_and_a_display_work_as_printed() {
    let folder = std::env::temp_dir().join(format!("deskticker-readme-{}", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    let lines = lines();
    let at = |start: &str| {
        lines
            .iter()
            .position(|line| line.starts_with(start))
            .unwrap()
    };
    let first = at("deskticker-hub token add kitchen --file devices");
    let port = |command: String| {
        command.replace(
            "deskticker-hub --",
            "deskticker-hub --listen 127.0.0.1:0 --",
        )
    };

    let simulate = lines[at("cargo run --release --bin deskticker-hub")];
    let (_, arguments) = simulate.split_once(" -- ").unwrap();
    let (mut hub, mut said) = shell(&port(format!("deskticker-hub {arguments}")), &folder);
    assert!(
        said.any(|line| line.contains("deskticker")),
        "the hub prints the commands for a display"
    );
    hub.kill().unwrap();
    hub.wait().unwrap();

    let commands = port(
        lines[first..first + 3]
            .join("\n")
            .replace('…', "a-key-for-this-test"),
    );
    // A real key would need the vendor.
    let (mut hub, mut said) = shell(&format!("{commands} --simulate"), &folder);
    let all: Vec<String> = said
        .by_ref()
        .take_while(|line| !line.contains("listening"))
        .collect();
    assert!(
        std::fs::read_to_string(folder.join("devices"))
            .unwrap()
            .contains("kitchen"),
        "{all:?}"
    );
    hub.kill().unwrap();
    hub.wait().unwrap();

    let display =
        lines[at("MASSIVE_PROXY_TOKEN=… deskticker")].replace('…', "a-token-for-this-test");
    let config = "[hub]\nurl = \"ws://127.0.0.1:1\"\n[panel]\nkind = \"png\"\nfile = \"a.png\"\n";
    std::fs::write(folder.join("deskticker.toml"), config).unwrap();
    let (mut display, mut said) = shell(&format!("{display} --config deskticker.toml"), &folder);
    assert!(
        said.any(|line| line.contains("showing")),
        "the display runs"
    );
    display.kill().unwrap();
    display.wait().unwrap();
    std::fs::remove_dir_all(folder).unwrap();
}

#[test]
fn each_picture_and_each_link_of_the_readme_leads_to_something() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let headings: Vec<String> = README
        .lines()
        .filter(|line| line.starts_with('#'))
        .map(|line| {
            line.trim_start_matches('#')
                .trim()
                .to_lowercase()
                .replace(' ', "-")
        })
        .collect();
    for link in README.split("](").skip(1) {
        let target = link.split(')').next().unwrap();
        if let Some(heading) = target.strip_prefix('#') {
            assert!(
                headings.iter().any(|known| known == heading),
                "no section {heading:?}"
            );
        } else if !target.contains("://") {
            assert!(root.join(target).exists(), "{target} does not exist");
        }
    }
}

/// The pictures of the README: each one shows a frame of a file of golden pictures.
const PICTURES: &[(&str, &str, &str)] = &[
    ("demo", "pair-freshness", "simulated, live, 128x64"),
    ("live", "pair-freshness", "both live, 128x64"),
    ("stale", "pair-freshness", "both stale, 128x64"),
    ("delayed", "pair-freshness", "both delayed, 128x64"),
    ("closed", "pair-freshness", "both closed, 128x64"),
    ("none", "pair-states", "nothing known yet, 128x64"),
    ("lost", "pair-states", "down, 128x64"),
    ("big", "big", "live, 128x64"),
    ("contract", "contract", "live, 128x64"),
    ("shares", "pair-shares", "regular, 128x64"),
    ("link", "link", "hub, 128x64"),
    ("yellow-blue", "yellow-blue", "pair, live, 128x64"),
    ("square", "square-pair", "both live, 128x128"),
    ("square-big", "square-big", "live, 128x128"),
];
/// The number of dots in a row of each display.
const WIDTH: usize = 128;
/// The number of pixels of a picture for each dot of the display.
const SCALE: usize = 4;

/// The colours of a lit dot: of a panel of one colour, and of the two parts of a panel of two colours.
const WHITE: [u8; 3] = [255, 255, 255];
const YELLOW: [u8; 3] = [255, 216, 64];
const BLUE: [u8; 3] = [96, 176, 255];

/// Returns the pixels of a frame in a file of golden pictures, with three bytes for each pixel.
fn golden(file: &str, frame: &str) -> Vec<u8> {
    let path = format!("{}/tests/screens/{file}.txt", env!("CARGO_MANIFEST_DIR"));
    let text = std::fs::read_to_string(path).unwrap();
    let mut lines = text.lines();
    lines.find(|line| *line == frame).unwrap();
    let mut pixels = Vec::new();
    for (at, line) in lines.take_while(|line| !line.is_empty()).enumerate() {
        let colour = match (file, at) {
            ("yellow-blue", ..8) => YELLOW,
            ("yellow-blue", _) => BLUE,
            _ => WHITE,
        };
        // A character has two dots, one above the other.
        let dots: Vec<char> = line.chars().take(WIDTH).collect();
        for lit in [['▀', '█'], ['▄', '█']] {
            let dot = |dot: &char| if lit.contains(dot) { colour } else { [0; 3] };
            let row = dots.iter().flat_map(|character| [dot(character); SCALE]);
            let row: Vec<u8> = row.flatten().collect();
            (0..SCALE).for_each(|_| pixels.extend(&row));
        }
    }
    pixels
}

#[test]
fn each_picture_of_the_readme_shows_a_golden_picture() {
    for picture in README.split("](tests/screens/").skip(1) {
        let name = picture.split(".png)").next().unwrap();
        assert!(PICTURES.iter().any(|(known, ..)| *known == name), "{name}");
    }
    for (name, file, frame) in PICTURES {
        let path = format!("{}/tests/screens/{name}.png", env!("CARGO_MANIFEST_DIR"));
        let expected = golden(file, frame);
        let width = WIDTH * SCALE;
        let height = expected.len() / 3 / width;
        if std::env::var_os("BLESS").is_some() {
            let output = std::fs::File::create(&path).unwrap();
            let mut encoder = png::Encoder::new(output, width as u32, height as u32);
            encoder.set_color(png::ColorType::Rgb);
            encoder
                .write_header()
                .unwrap()
                .write_image_data(&expected)
                .unwrap();
        }
        let input = std::io::BufReader::new(std::fs::File::open(&path).unwrap());
        let mut reader = png::Decoder::new(input).read_info().unwrap();
        let mut pixels = vec![0; expected.len()];
        let info = reader.next_frame(&mut pixels).unwrap();
        assert_eq!(
            (info.width as usize, info.height as usize),
            (width, height),
            "{name}"
        );
        assert!(
            pixels == expected,
            "{name}.png: run this test with BLESS=1 and look at the picture"
        );
    }
}
