//! Tests of the README: each command in it exists, with each of its options, and each picture is one of
//! the golden pictures. Other suites run the commands: the demo in .ci/run, the packages and the set-up
//! in tests/packages, the image in tests/pi.
#![allow(clippy::unwrap_used)]

use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Command;

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
    ("demo", "pair-freshness", "simulated, live"),
    ("live", "pair-freshness", "both live"),
    ("stale", "pair-freshness", "both stale"),
    ("closed", "pair-freshness", "both closed"),
    ("none", "pair-states", "nothing known yet"),
    ("big", "big", "live"),
    ("contract", "contract", "live"),
    ("shares", "pair-shares", "regular"),
    ("link", "link", "hub"),
];
/// The number of pixels of a picture for each dot of the display.
const SCALE: usize = 4;

/// Returns the gray pixels of a frame of 128×64 dots in a file of golden pictures.
fn golden(file: &str, frame: &str) -> Vec<u8> {
    let path = format!("{}/tests/screens/{file}.txt", env!("CARGO_MANIFEST_DIR"));
    let text = std::fs::read_to_string(path).unwrap();
    let mut lines = text.lines();
    let title = format!("{frame}, 128x64");
    lines.find(|line| *line == title).unwrap();
    let mut pixels = Vec::new();
    for line in lines.take(32) {
        // A character has two dots, one above the other.
        let dots: Vec<char> = line.chars().take(128).collect();
        for lit in [['▀', '█'], ['▄', '█']] {
            let row = dots
                .iter()
                .flat_map(|dot| [if lit.contains(dot) { u8::MAX } else { 0 }; SCALE]);
            let row: Vec<u8> = row.collect();
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
        let (width, height) = (128 * SCALE, 64 * SCALE);
        if std::env::var_os("BLESS").is_some() {
            let output = std::fs::File::create(&path).unwrap();
            let mut encoder = png::Encoder::new(output, width as u32, height as u32);
            encoder.set_color(png::ColorType::Grayscale);
            encoder
                .write_header()
                .unwrap()
                .write_image_data(&expected)
                .unwrap();
        }
        let input = std::io::BufReader::new(std::fs::File::open(&path).unwrap());
        let mut reader = png::Decoder::new(input).read_info().unwrap();
        let mut pixels = vec![0; width * height];
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
