//! Tests of the board library. Each file in `boards/` defines one board, so each file must be
//! valid.
#![allow(clippy::unwrap_used)]

use std::path::{Path, PathBuf};

use deskticker::board::{self, Board};
use serde::Deserialize;

const RULES: &str = include_str!("../systemd/60-deskticker.rules");

/// A board file, read by a full TOML parser. The library has its own parser, so the test compares
/// both results.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    model: String,
    bus: String,
    pins: String,
    speed: u32,
    wanted_speed: u32,
    boot_file: String,
    i2c: Vec<String>,
    spi: Vec<String>,
    buttons: Vec<String>,
    target: String,
}

fn files() -> Vec<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("boards");
    let entries = std::fs::read_dir(folder).unwrap();
    let mut files: Vec<PathBuf> = entries
        .map(|entry| entry.unwrap().path())
        .filter(|path| {
            path.extension()
                .is_some_and(|extension| extension == "toml")
        })
        .collect();
    files.sort();
    files
}

#[test]
fn every_board_file_matches_a_board_of_the_library() {
    let files = files();
    let names: Vec<_> = files.iter().map(|path| path.file_stem().unwrap()).collect();
    let known: Vec<_> = Board::all().iter().map(|board| board.name).collect();
    assert_eq!(names, known);
    let expected = [
        "beaglebone",
        "linux",
        "orangepi-zero-2w",
        "orangepi-zero-3",
        "pc",
        "pi-3",
        "pi-4",
        "pi-5",
        "pi-zero-2w",
        "radxa-zero-3",
    ];
    assert_eq!(known, expected);
    for (path, board) in files.iter().zip(Board::all()) {
        let text = std::fs::read_to_string(path).unwrap();
        let file: File =
            toml::from_str(&text).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        assert_eq!(file.model, board.model);
        assert_eq!(file.bus, board.bus);
        assert_eq!(file.pins, board.pins);
        assert_eq!(file.speed, board.speed);
        assert_eq!(file.wanted_speed, board.wanted_speed);
        assert_eq!(file.boot_file, board.boot_file);
        assert_eq!(file.i2c, board.i2c);
        assert_eq!(file.spi, board.spi);
        assert_eq!(file.buttons, board.buttons);
        assert_eq!(file.target, board.target);
    }
}

#[test]
fn every_board_has_a_valid_bus_speed_and_target() {
    let mut models = Vec::new();
    for board in Board::all() {
        let pi = board.model.starts_with("Raspberry Pi ");
        let bus = board.bus.strip_prefix("/dev/").unwrap();
        let number = bus.strip_prefix("i2c-").unwrap();
        // A bus without a number gets its name from the udev rule of the package.
        let name = format!("SYMLINK+=\"{bus}\"");
        assert!(
            number.parse::<u8>().is_ok() || RULES.contains(&name),
            "{board:?}"
        );
        let enabled = board.i2c.iter().chain(board.spi).next().is_some();
        assert!(
            !enabled || board.boot_file.starts_with("/boot/"),
            "{board:?}"
        );
        assert!(!board.pins.is_empty());
        assert!(board.speed <= board.wanted_speed, "{board:?}");
        // These are the speeds of I2C standard mode and fast mode. The panels support no faster
        // mode.
        assert!([100_000, 400_000].contains(&board.wanted_speed));
        assert!(
            [
                "aarch64-unknown-linux-gnu",
                "armv7-unknown-linux-gnueabihf",
                "x86_64-unknown-linux-gnu"
            ]
            .contains(&board.target),
            "{board:?}"
        );
        if pi {
            let speed = format!("dtparam=i2c_arm_baudrate={}", board.wanted_speed);
            assert_eq!(board.boot_file, board::CONFIG_TXT);
            assert_eq!(board.i2c, ["dtparam=i2c_arm=on", &speed]);
            assert_eq!(board.spi, ["dtparam=spi=on"]);
        }
        models.push(board.model);
    }
    let count = models.len();
    models.sort_unstable();
    models.dedup();
    assert_eq!(models.len(), count, "each model once: {models:?}");
}

#[test]
fn a_machine_is_recognised_by_its_model() {
    for (model, name) in [
        ("Raspberry Pi 3 Model B Rev 1.2", "pi-3"),
        ("Raspberry Pi 3 Model B Plus Rev 1.3", "pi-3"),
        ("Raspberry Pi 4 Model B Rev 1.4", "pi-4"),
        ("Raspberry Pi 400 Rev 1.0", "pi-4"),
        ("Raspberry Pi 5 Model B Rev 1.0", "pi-5"),
        ("Raspberry Pi Zero 2 W Rev 1.0", "pi-zero-2w"),
        // The first Pi Zero has another processor, which cannot run 64-bit programs.
        ("Raspberry Pi Zero W Rev 1.1", "linux"),
        ("OrangePi Zero 2W", "orangepi-zero-2w"),
        ("OrangePi Zero3", "orangepi-zero-3"),
        ("Radxa ZERO 3W", "radxa-zero-3"),
        ("Radxa ZERO 3E", "radxa-zero-3"),
        ("TI AM335x BeagleBone Black", "beaglebone"),
        ("Radxa ROCK 4C+", "linux"),
        ("", "linux"),
    ] {
        assert_eq!(Board::for_model(model).name, name, "{model}");
    }
}

#[test]
fn a_machine_without_a_readable_model_is_a_pc() {
    let directory = std::env::temp_dir().join(format!("deskticker-boards-{}", std::process::id()));
    std::fs::create_dir_all(&directory).unwrap();
    let (missing, model) = (directory.join("missing"), directory.join("model"));
    std::fs::write(&model, "Raspberry Pi 4 Model B Rev 1.4\0").unwrap();
    assert_eq!(Board::for_machine(&[&missing, &model]).name, "pi-4");
    assert_eq!(Board::for_machine(&[&missing]).name, "pc");
    // A model name must match up to its terminating zero byte.
    std::fs::write(&model, "Raspberry Pi 5\0").unwrap();
    assert_eq!(Board::for_machine(&[&model]).name, "pi-5");
    // The file does not contain text.
    std::fs::write(&model, [0xFF, 0xFE]).unwrap();
    assert_eq!(Board::for_machine(&[&model]).name, "linux");
    std::fs::remove_dir_all(directory).unwrap();
}

#[test]
fn the_board_list_names_every_board_and_marks_this_machine() {
    let list = board::list(Board::for_model("Raspberry Pi 5 Model B Rev 1.0"));
    for board in Board::all() {
        assert!(list.contains(board.name), "{list}");
        assert!(list.contains(board.model), "{list}");
        for line in board.i2c.iter().chain(board.spi).chain(board.buttons) {
            assert!(list.contains(&format!("    {line}\n")), "{list}");
        }
    }
    let marked: Vec<_> = list.lines().filter(|line| line.contains("this")).collect();
    assert_eq!(marked, ["pi-5 (this machine)"]);
    assert!(list.contains("  bus     /dev/i2c-1, 100 kHz\n"), "{list}");
}
