//! Tests of the big screen with a folder in place of sysfs and a file in place of the device: the
//! formats, a monitor that is switched on late, unplugged or replaced, and the end of the program.
#![allow(clippy::unwrap_used)]

#[path = "support/big_screen/mod.rs"]
mod big_screen;
#[path = "support/child_process.rs"]
mod child_process;
#[path = "support/views/mod.rs"]
mod views;

use std::fs;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use deskticker::display::PanelLight;
use deskticker::display::screen::{
    PixelFormat, Screen, ScreenRotation, ScreenSettings, ScreenThread,
};
use deskticker::market::Price;
use deskticker::render::PageView;
use deskticker::render::screen::{Look, ScreenContent, notice};
use deskticker::time::{Clock, Moment, Now};
use rustix::process::Signal;

use big_screen::{Picture, content, look, wall};
use child_process::{Program, configured, directory, run};
use views::{day, line, stale, view, walk};

/// A byte that the program writes nowhere by chance.
const UNTOUCHED: u8 = 0xA7;

/// A framebuffer that is a folder and a file.
struct Fake {
    settings: ScreenSettings,
}

impl Fake {
    fn new(name: &str) -> Self {
        let folder = directory(name);
        let settings = ScreenSettings {
            device: folder.join("fb0"),
            sysfs: folder.join("graphics"),
            ..ScreenSettings::default()
        };
        Self { settings }
    }

    /// Connects a monitor, or another one. Each row of the device has `more` bytes after its pixels.
    fn plug(&self, (width, height): (usize, usize), bits: usize, more: usize) {
        let Self { settings } = self;
        fs::create_dir_all(&settings.sysfs).unwrap();
        let stride = width * bits / 8 + more;
        for (name, text) in [
            ("virtual_size", format!("{width},{}\n", 2 * height)),
            ("mode", format!("U:{width}x{height}p-60\n")),
            ("stride", format!("{stride}\n")),
            ("bits_per_pixel", format!("{bits}\n")),
            ("name", "vc4drmfb\n".to_owned()),
        ] {
            fs::write(settings.sysfs.join(name), text).unwrap();
        }
        fs::remove_file(&settings.device).ok();
        fs::write(&settings.device, vec![UNTOUCHED; stride * height]).unwrap();
    }

    fn unplug(&self) {
        fs::remove_dir_all(&self.settings.sysfs).unwrap();
        fs::remove_file(&self.settings.device).unwrap();
    }

    /// Checks that the device shows this picture, turned like the monitor, and that the bytes after
    /// the pixels of a row are untouched.
    #[track_caller]
    fn assert_shows(&self, picture: &Picture, bits: usize, more: usize) {
        let bytes = fs::read(&self.settings.device).unwrap();
        let format = self.settings.format.or(PixelFormat::usual(bits)).unwrap();
        let (wide, high) = picture.size;
        let (width, height) = match self.settings.rotation {
            ScreenRotation::Upright | ScreenRotation::UpsideDown => (wide, high),
            _ => (high, wide),
        };
        let stride = width * bits / 8 + more;
        for (y, row) in bytes.chunks(stride).take(height).enumerate() {
            let (pixels, rest) = row.split_at(width * bits / 8);
            assert!(rest.iter().all(|byte| *byte == UNTOUCHED), "after row {y}");
            for (x, pixel) in pixels.chunks(bits / 8).enumerate() {
                let (px, py) = match self.settings.rotation {
                    ScreenRotation::Upright => (x, y),
                    ScreenRotation::Clockwise => (y, high - 1 - x),
                    ScreenRotation::UpsideDown => (wide - 1 - x, high - 1 - y),
                    ScreenRotation::CounterClockwise => (wide - 1 - y, x),
                };
                let expected = packed(picture.pixels[py * wide + px], format);
                assert_eq!(pixel, &expected[..bits / 8], "at {x}, {y}");
            }
        }
    }
}

/// A pixel in the format of the device, little-endian, as the kernel describes it.
fn packed(pixel: u32, format: PixelFormat) -> [u8; 4] {
    let [_, red, green, blue] = pixel.to_be_bytes().map(u32::from);
    let word = match format {
        PixelFormat::R5g6b5 => ((red / 8) << 11) | ((green / 4) << 5) | (blue / 8),
        PixelFormat::X1r5g5b5 => ((red / 8) << 10) | ((green / 8) << 5) | (blue / 8),
        PixelFormat::R8g8b8 | PixelFormat::X8r8g8b8 => (red << 16) | (green << 8) | blue,
        PixelFormat::X8b8g8r8 => (blue << 16) | (green << 8) | red,
    };
    word.to_le_bytes()
}

fn at(seconds: u64) -> Moment {
    Moment::from_secs(seconds)
}

fn price(now: f64, history: &[Price]) -> ScreenContent {
    let page = PageView::Big(line("SPX", now, 5887.61, history), day());
    content(&view(page), &wall(history)[1..4])
}

#[test]
fn each_format_stride_size_and_rotation_shows_the_same_picture() {
    let history = walk(100, 5912.41);
    let light = PanelLight::default();
    use PixelFormat::{R5g6b5, X1r5g5b5, X8b8g8r8};
    use ScreenRotation::{Clockwise, CounterClockwise, Upright, UpsideDown};
    for (nth, (size, bits, more, format, rotation)) in [
        ((640, 480), 32, 0, None, Upright),
        ((640, 480), 16, 0, None, Upright),
        ((640, 480), 24, 8, None, Upright),
        ((800, 480), 16, 64, Some(R5g6b5), UpsideDown),
        ((480, 800), 32, 128, Some(X8b8g8r8), Upright),
        ((640, 480), 16, 2, Some(X1r5g5b5), Clockwise),
        ((641, 481), 32, 4, None, CounterClockwise),
        ((1920, 1080), 32, 0, None, Upright),
    ]
    .into_iter()
    .enumerate()
    {
        let mut fake = Fake::new(&format!("format-{nth}"));
        (fake.settings.format, fake.settings.rotation) = (format, rotation);
        fake.plug(size, bits, more);
        let seen = match rotation {
            Upright | UpsideDown => (size.0 as i32, size.1 as i32),
            _ => (size.1 as i32, size.0 as i32),
        };
        let mut screen = Screen::new(fake.settings.clone()).unwrap();
        for now in [5912.41, 5912.57, 5899.99] {
            let content = price(now, &history);
            screen.show(&content, light, at(1));
            fake.assert_shows(&Picture::of(&content, look(seen.0, seen.1)), bits, more);
        }
    }
}

#[test]
fn a_monitor_that_is_late_unplugged_or_another_one_shows_the_price_within_five_seconds() {
    let history = walk(100, 5912.41);
    let light = PanelLight::default();
    let fake = Fake::new("hotplug");
    let mut screen = Screen::new(fake.settings.clone()).unwrap();
    let content = price(5912.41, &history);
    screen.show(&content, light, at(1));
    let mut now = 1;
    // The thread calls the screen at its deadlines, also when no price moves.
    let mut wait = |screen: &mut Screen, seconds: u64| {
        for _ in 0..seconds {
            now += 1;
            screen.tick(&content, light, at(now));
        }
    };
    wait(&mut screen, 7);
    for (size, bits) in [
        ((640, 480), 32),
        ((1280, 720), 32),
        ((1280, 720), 16),
        ((480, 800), 16),
    ] {
        fake.plug(size, bits, 0);
        wait(&mut screen, 4);
        let look = look(size.0 as i32, size.1 as i32);
        fake.assert_shows(&Picture::of(&content, look), bits, 0);
        fake.unplug();
        wait(&mut screen, 3);
    }
    // The same monitor as before, on a new device.
    fake.plug((480, 800), 16, 0);
    wait(&mut screen, 4);
    fake.assert_shows(&Picture::of(&content, look(480, 800)), 16, 0);
}

#[test]
fn only_the_changed_digits_are_written_and_everything_once_a_minute() {
    let history = walk(100, 5912.41);
    let light = PanelLight::default();
    let fake = Fake::new("changes");
    fake.plug((1920, 1080), 32, 0);
    let mut screen = Screen::new(fake.settings.clone()).unwrap();
    screen.show(&price(5912.41, &history), light, at(1));
    let size = fs::metadata(&fake.settings.device).unwrap().len() as usize;
    let changed = |screen: &mut Screen, now, second| {
        fs::write(&fake.settings.device, vec![UNTOUCHED; size]).unwrap();
        screen.show(&price(now, &history), light, at(second));
        let bytes = fs::read(&fake.settings.device).unwrap();
        bytes.iter().filter(|byte| **byte != UNTOUCHED).count()
    };
    let written = changed(&mut screen, 5912.42, 2);
    assert!((1..250_000).contains(&written), "{written} of {size} bytes");
    assert_eq!(changed(&mut screen, 5912.42, 3), 0, "nothing has changed");
    // A few bytes of the picture are the same as the untouched ones.
    let written = changed(&mut screen, 5912.42, 62);
    assert!(
        written > size * 99 / 100,
        "the console may have written: {written} of {size}"
    );
}

#[test]
fn night_off_and_shift_change_the_screen() {
    let history = walk(100, 5912.41);
    let fake = Fake::new("night");
    fake.plug((640, 480), 32, 0);
    let mut screen = Screen::new(fake.settings.clone()).unwrap();
    let content = price(5912.41, &history);
    let day = look(640, 480);
    for (light, look) in [
        (
            PanelLight {
                brightness: 10,
                ..PanelLight::default()
            },
            Look {
                brightness: 10,
                ..day
            },
        ),
        (
            PanelLight {
                shift: 1,
                ..PanelLight::default()
            },
            Look { shift: 1, ..day },
        ),
        (
            PanelLight {
                on: false,
                ..PanelLight::default()
            },
            Look { on: false, ..day },
        ),
        (PanelLight::default(), day),
    ] {
        screen.show(&content, light, at(1));
        fake.assert_shows(&Picture::of(&content, look), 32, 0);
    }
    let dark = Picture::of(&content, Look { on: false, ..day });
    assert!(dark.pixels.iter().all(|pixel| *pixel == 0));
}

#[test]
fn a_screen_whose_event_loop_stands_still_shows_halted() {
    let history = walk(100, 5912.41);
    let fake = Fake::new("halted");
    fake.plug((640, 480), 32, 0);
    let start = Now {
        monotonic: Moment::ZERO,
        utc: None,
    };
    let (clock, hand) = Clock::manual(start);
    let (mailbox, mut thread) = ScreenThread::spawn(fake.settings.clone(), clock).unwrap();
    let shows = |expected: &ScreenContent| {
        let picture = Picture::of(expected, look(640, 480));
        let expected: Vec<u8> = picture
            .pixels
            .iter()
            .flat_map(|it| it.to_le_bytes())
            .collect();
        let end = Instant::now() + Duration::from_secs(20);
        while fs::read(&fake.settings.device).unwrap() != expected {
            assert!(Instant::now() < end, "it never shows this");
            std::thread::yield_now();
        }
    };
    let content = price(5912.41, &history);
    let light = PanelLight::default();
    mailbox.put(&mut Box::new(content.clone()), light, at(10));
    shows(&content);
    hand.advance(Duration::from_millis(10_050));
    shows(&notice("HALTED", "the program stands still"));
    // A content that arrives too late is never shown; a valid one is.
    mailbox.put(&mut Box::new(content.clone()), light, at(9));
    shows(&notice("HALTED", "the program stands still"));
    mailbox.put(&mut Box::new(content.clone()), light, at(30));
    shows(&content);
    assert!(thread.finish(Duration::from_secs(20)));
    let bytes = fs::read(&fake.settings.device).unwrap();
    assert!(
        bytes.chunks(4).all(|pixel| pixel == [0; 4]),
        "black at the end"
    );
}

#[test]
fn a_second_program_cannot_use_the_same_screen() {
    let fake = Fake::new("second");
    let (_mailbox, mut thread) =
        ScreenThread::spawn(fake.settings.clone(), Clock::system()).unwrap();
    let error = ScreenThread::spawn(fake.settings.clone(), Clock::system()).unwrap_err();
    assert!(error.to_string().contains("uses the screen"), "{error}");
    assert!(thread.finish(Duration::from_secs(20)));
    ScreenThread::spawn(fake.settings, Clock::system())
        .unwrap()
        .1
        .finish(Duration::ZERO);
}

/// Writes a configuration with this screen, and without a small panel.
fn screen_configured(fake: &Fake, name: &str) -> PathBuf {
    let ScreenSettings { device, sysfs, .. } = &fake.settings;
    let table = format!("kind = \"screen\"\n[screen]\ndevice = {device:?}\nsysfs = {sysfs:?}\n");
    configured(name, &"127.0.0.1:9", &table)
}

#[test]
fn the_program_draws_and_leaves_the_screen_black_or_says_ended_after_its_death() {
    let fake = Fake::new("program");
    let config = screen_configured(&fake, "program-config");
    let config = config.to_str().unwrap();
    for signal in [Signal::TERM, Signal::KILL] {
        fake.plug((640, 480), 32, 0);
        let mut program = Program::start(&["--config", config], &[]);
        program.wait_for_line("640x480 pixels of 32 bits");
        let drawn = || {
            let bytes = fs::read(&fake.settings.device).unwrap();
            bytes.last() != Some(&UNTOUCHED) && bytes.chunks(4).any(|pixel| pixel != [0; 4])
        };
        while !drawn() {
            assert!(program.is_running(), "{}", program.output());
            std::thread::yield_now();
        }
        program.end(signal);
        let black = fs::read(&fake.settings.device)
            .unwrap()
            .chunks(4)
            .all(|it| it == [0; 4]);
        assert_eq!(black, signal == Signal::TERM);
    }
    let (code, _, error) = run(&[
        "say",
        "ENDED",
        "nothing here is live",
        "--after-stop",
        "--config",
        config,
    ]);
    assert_eq!(code, 0, "{error}");
    let ended = notice("ENDED", "nothing here is live");
    fake.assert_shows(&Picture::of(&ended, look(640, 480)), 32, 0);
    let (code, _, error) = run(&["say", "STARTING", "", "--config", config]);
    assert_eq!(code, 0, "{error}");
    fake.assert_shows(&Picture::of(&notice("STARTING", ""), look(640, 480)), 32, 0);
    fake.unplug();
    let (code, ..) = run(&["say", "STARTING", "", "--config", config]);
    assert_eq!(code, 1);
}

#[test]
fn a_screen_and_a_panel_run_together() {
    let fake = Fake::new("together");
    fake.plug((640, 480), 16, 0);
    let ScreenSettings { device, sysfs, .. } = &fake.settings;
    let table = format!("kind = \"png\"\n[screen]\ndevice = {device:?}\nsysfs = {sysfs:?}\n");
    let config = configured("together-config", &"127.0.0.1:9", &table);
    let picture = config.with_file_name("screen.png");
    let mut program = Program::start(&["--config", config.to_str().unwrap()], &[]);
    while !picture.exists() || fs::read(device).unwrap().last() == Some(&UNTOUCHED) {
        assert!(program.is_running(), "{}", program.output());
        std::thread::yield_now();
    }
    program.end(Signal::TERM);
}

#[test]
fn a_stale_price_is_marked_on_the_screen() {
    let history = walk(100, 5912.41);
    let fake = Fake::new("stale");
    fake.plug((640, 480), 32, 0);
    let mut screen = Screen::new(fake.settings.clone()).unwrap();
    for freshness in [deskticker::market::Freshness::Live, stale(11), stale(12)] {
        let mut spx = line("SPX", 5912.41, 5887.61, &history);
        spx.freshness = freshness;
        let content = content(&view(PageView::Big(spx, day())), &[]);
        screen.show(&content, PanelLight::default(), at(1));
        fake.assert_shows(&Picture::of(&content, look(640, 480)), 32, 0);
    }
}
