//! Measures the cost of a tick on the big screen at 1920×1080 with twelve tiles, from the content to
//! the writes to the device, and the memory of the program with such a screen. The device is a file
//! in memory. Exits with a failure if a value exceeds its limit.
#![allow(clippy::unwrap_used, clippy::print_stdout)]

#[path = "../support/big_screen/mod.rs"]
mod big_screen;
mod table;
mod usage;
#[path = "../support/views/mod.rs"]
mod views;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Stdio};
use std::time::{Duration, Instant};

use deskticker::display::PanelLight;
use deskticker::display::screen::{Screen, ScreenSettings};
use deskticker::render::PageView;
use deskticker::time::Moment;
use rustix::time::{ClockId, clock_gettime};

use table::Table;

const SIZE: (usize, usize) = (1920, 1080);
/// The number of ticks in a second.
const RATE: f64 = 20.0;
const TICKS: u64 = 2_000;
/// The limits: a part of a core in percent, and the memory in KiB.
const CORE: f64 = 1.0;
const MEMORY: f64 = 12.0 * 1024.0;

/// Makes a framebuffer of a folder and a file in memory.
fn framebuffer(folder: &Path) -> ScreenSettings {
    fs::remove_dir_all(folder).ok();
    fs::create_dir_all(folder).unwrap();
    for (name, text) in [
        ("virtual_size", format!("{},{}", SIZE.0, SIZE.1)),
        ("stride", (SIZE.0 * 4).to_string()),
        ("bits_per_pixel", "32".to_owned()),
    ] {
        fs::write(folder.join(name), text).unwrap();
    }
    fs::write(folder.join("fb0"), vec![0; SIZE.0 * SIZE.1 * 4]).unwrap();
    ScreenSettings {
        device: folder.join("fb0"),
        sysfs: folder.to_owned(),
        ..ScreenSettings::default()
    }
}

/// The CPU time of this thread in seconds, with the time in the kernel.
fn cpu() -> f64 {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    time.tv_sec as f64 + time.tv_nsec as f64 / 1e9
}

/// The CPU time of a tick, and of a complete repaint, in seconds.
fn ticks(settings: ScreenSettings) -> (f64, f64) {
    let history = views::walk(128, 5912.34);
    let mut screen = Screen::new(settings).unwrap();
    let light = PanelLight::default();
    let mut seed = 7u64;
    let mut price = 5912.34;
    let mut tick = |screen: &mut Screen, nth: u64, light| {
        seed = seed
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(99);
        // A random walk with the deviation of SPX from one second to the next.
        price += ((seed >> 33) % 121) as f64 / 100.0 - 0.6;
        let spx = views::line("SPX", price, 5887.61, &history);
        let mut tiles = big_screen::wall(&history);
        tiles[0] = spx;
        let page = PageView::Big(spx, views::day());
        let content = big_screen::content(&views::view(page), &tiles);
        // The time between two ticks is 50 ms. The checks of the kernel's files are included.
        screen.show(
            &content,
            light,
            Moment::from_millis(1_000 + nth * 50 % 59_000),
        );
    };
    let start = cpu();
    tick(&mut screen, 0, light);
    let first = cpu() - start;
    // The masks of all digits are ready after some ticks.
    (1..200).for_each(|nth| tick(&mut screen, nth, light));
    let start = cpu();
    (200..200 + TICKS).for_each(|nth| tick(&mut screen, nth, light));
    ((cpu() - start) / TICKS as f64, first)
}

/// The peak of the memory of the program with a screen in KiB.
fn memory(settings: &ScreenSettings, folder: &Path) -> Option<f64> {
    let config = folder.join("desk.toml");
    let ScreenSettings { device, sysfs, .. } = settings;
    let text = format!(
        "[massive]\nurl = \"ws://127.0.0.1:9\"\n[screen]\ndevice = {device:?}\nsysfs = {sysfs:?}\n"
    );
    fs::write(&config, text).unwrap();
    fs::write(device, vec![0; SIZE.0 * SIZE.1 * 4]).unwrap();
    let program = Command::new(env!("CARGO_BIN_EXE_deskticker"))
        .arg("--config")
        .arg(&config)
        .env("MASSIVE_API_KEY", "key")
        .stderr(Stdio::null())
        .spawn();
    let mut program = program.unwrap();
    let end = Instant::now() + Duration::from_secs(4);
    while Instant::now() < end {
        std::thread::sleep(Duration::from_millis(100));
    }
    let drawn = fs::read(device).unwrap().iter().any(|byte| *byte != 0);
    assert!(drawn, "the program has drawn nothing");
    let peak = usage::memory(program.id(), "VmHWM");
    program.kill().unwrap();
    program.wait().unwrap();
    peak
}

fn main() -> ExitCode {
    let shared = Path::new("/dev/shm");
    let folder = match shared.is_dir() {
        true => shared.to_owned(),
        false => std::env::temp_dir(),
    };
    let folder: PathBuf = folder.join(format!("deskticker-screen-{}", std::process::id()));
    let settings = framebuffer(&folder);
    let (tick, whole) = ticks(settings.clone());
    let mut table = Table::new("the big screen, 1920x1080, 32 bits, twelve tiles");
    table.note(
        "CPU time of the first picture",
        &format!("{:.1} ms", whole * 1e3),
    );
    table.note("CPU time of a tick", &format!("{:.0} us", tick * 1e6));
    table.at_most(
        "a core at 20 ticks a second",
        tick * RATE * 100.0,
        CORE,
        "%",
    );
    match memory(&settings, &folder) {
        Some(peak) => table.at_most("peak memory (RSS) of the program", peak, MEMORY, "KiB"),
        None => table.note("peak memory (RSS) of the program", "no /proc: skipped"),
    }
    fs::remove_dir_all(&folder).ok();
    table.end()
}
