//! Tests of the display at the end of the program: no price stays on the panel of a program that
//! has ended.
#![allow(clippy::unwrap_used, missing_docs)]

#[path = "support/child_process.rs"]
mod child_process;
#[path = "support/i2c_display/mod.rs"]
mod i2c_display;
#[path = "support/proxy_server.rs"]
mod proxy_server;

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use deskticker::display::{
    BusFault, Chip, DisplayDevice, PanelLight, PanelSettings, PanelState, png,
};
use deskticker::render::{self, Frame, Size};
use deskticker::time::{Moment, Now};
use rustix::process::Signal;

use child_process::{Program, configured, directory};
use i2c_display::bus::{Rig, panel_settings};
use i2c_display::pictures;

const END: Now = Now {
    monotonic: Moment::from_secs(9),
    utc: None,
};

fn settings() -> PanelSettings {
    panel_settings(Chip::Ssd1306, Size::Tall)
}

fn at(millis: u64) -> Moment {
    Moment::from_millis(millis)
}

fn random_frame(seed: u64) -> Frame {
    pictures::random_frame(Size::Tall, seed)
}

#[test]
fn the_end_of_the_program_leaves_the_panel_dark_and_its_memory_empty() {
    let rig = Rig::new();
    let mut oled = rig.oled(settings());
    oled.show(&random_frame(1), PanelLight::default(), at(0));
    oled.leave_display(END);
    assert!(!rig.chip().on);
    rig.chip().on = true;
    rig.assert_shows(&Frame::new(Size::Tall));
}

#[test]
fn a_lost_panel_is_opened_once_more_and_turned_off() {
    for arrived in [0, 2, 4, 500] {
        let rig = Rig::new();
        let mut oled = rig.oled(settings());
        oled.show(&random_frame(1), PanelLight::default(), at(0));
        // The first message fails, its repetition fails, and so does the repetition after the bus
        // is opened again.
        for arrived in [arrived, 0, 0] {
            rig.fail_next(arrived, BusFault::NoAnswer);
        }
        oled.show(&random_frame(2), PanelLight::default(), at(100));
        assert!(rig.chip().on, "it still shows a price");
        oled.leave_display(END);
        assert_eq!(rig.opened(), 3);
        assert!(!rig.chip().on);
        rig.chip().on = true;
        rig.assert_shows(&Frame::new(Size::Tall));
    }
}

#[test]
fn a_failed_last_message_is_repeated_exactly_once() {
    let rig = Rig::new();
    let mut oled = rig.oled(settings());
    oled.show(&random_frame(1), PanelLight::default(), at(0));
    rig.fail_next(0, BusFault::NoAnswer);
    oled.leave_display(END);
    assert!(!rig.chip().on);
    let rig = Rig::new();
    let mut oled = rig.oled(settings());
    rig.missing(Some(BusFault::NoBus));
    oled.show(&random_frame(1), PanelLight::default(), at(0));
    oled.leave_display(END);
    assert_eq!(rig.opened(), 2);
}

/// Runs the command that systemd runs after the ticker has ended for any reason (ExecStopPost=).
/// Returns true if the command succeeds, and its duration.
fn run_stop_command(folder: &Path, config: &Path, more: &[&str]) -> (bool, Duration) {
    let start = Instant::now();
    let status = Command::new(env!("CARGO_BIN_EXE_deskticker"))
        .args(["say", "ENDED", "nothing here is live", "--after-stop"])
        .arg("--config")
        .arg(config)
        .args(more)
        .env("RUNTIME_DIRECTORY", folder)
        .stderr(Stdio::null())
        .status()
        .unwrap();
    (status.success(), start.elapsed())
}

fn says_ended(file: &Path) -> bool {
    let ended = render::notice(Size::Tall, "ENDED", "nothing here is live");
    std::fs::read(file).is_ok_and(|picture| picture == png::encode(&ended).unwrap())
}

/// Starts a ticker, waits for its first picture, and kills the ticker. Returns the folder and the
/// configuration.
fn kill_ticker(name: &str, signal: Signal) -> (PathBuf, PathBuf) {
    // No hub runs at this address. The ticker also draws a picture when it cannot connect.
    let config = configured(name, &"127.0.0.1:1", "kind = \"png\"");
    let folder = config.parent().unwrap().to_owned();
    let (file, state) = (folder.join("screen.png"), folder.join(PanelState::FILE));
    let environment = [("RUNTIME_DIRECTORY", folder.to_str().unwrap())];
    let mut program = Program::start(&["--config", config.to_str().unwrap()], &environment);
    while !file.exists() || PanelState::read(&state) != Some(PanelState::Shown) {
        assert!(program.is_running(), "{}", program.output());
        std::thread::sleep(Duration::from_millis(5));
    }
    program.end(signal);
    (folder, config)
}

#[test]
fn the_picture_of_a_killed_ticker_is_replaced_by_ended() {
    for (name, signal) in [("kill", Signal::KILL), ("abort", Signal::ABORT)] {
        let (folder, config) = kill_ticker(name, signal);
        let file = folder.join("screen.png");
        assert!(!says_ended(&file), "nobody has told it");
        let (well, took) = run_stop_command(&folder, &config, &[]);
        assert!(well && says_ended(&file));
        assert!(took < Duration::from_secs(1), "{took:?}");
    }
}

#[test]
fn a_wrong_configuration_uses_the_panel_of_the_last_good_one_for_ended() {
    let (folder, config) = kill_ticker("last-good", Signal::KILL);
    let (last, other) = (folder.join("last.toml"), folder.join("other.png"));
    let good = std::fs::read_to_string(&config).unwrap();
    let copy = good.replace("screen.png", "other.png");
    // The last line of a copy names its configuration.
    let copy = format!("{copy}# The last good copy of {}\n", config.display());
    std::fs::write(&last, copy).unwrap();
    std::fs::write(&config, format!("watchlist = 5\n{good}")).unwrap();
    let more = ["--last-good", last.to_str().unwrap()];
    assert!(run_stop_command(&folder, &config, &more).0);
    assert!(says_ended(&other));
    // Without the last good configuration, the command uses the panel of the wrong one. The command
    // needs no token.
    std::fs::remove_file(folder.join("token")).unwrap();
    assert!(run_stop_command(&folder, &config, &more).0);
    assert!(says_ended(&folder.join("screen.png")));
}

#[test]
fn a_panel_that_ended_in_order_is_not_written_again() {
    let (folder, config) = kill_ticker("order", Signal::TERM);
    let file = folder.join("screen.png");
    assert!(says_ended(&file));
    assert_eq!(
        PanelState::read(&folder.join(PanelState::FILE)),
        Some(PanelState::Left)
    );
    std::fs::remove_file(&file).unwrap();
    assert!(run_stop_command(&folder, &config, &[]).0);
    assert!(!file.exists());
}

#[test]
fn a_blocked_command_ends_after_two_seconds() {
    let folder = directory("hangs");
    // Opening a FIFO blocks until a writer opens it, and no writer exists.
    let config = folder.join("desk.toml");
    let made = Command::new("mkfifo").arg(&config).status();
    assert!(made.unwrap().success());
    let (well, took) = run_stop_command(&folder, &config, &[]);
    assert!(!well);
    assert!(
        took >= Duration::from_secs(2) && took < Duration::from_secs(4),
        "{took:?}"
    );
}
