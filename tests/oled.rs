//! Tests of the OLED driver: its promises for any fault on the bus.
#![allow(clippy::unwrap_used, clippy::print_stdout, missing_docs)]

#[path = "support/captured_log.rs"]
mod captured_log;
#[path = "support/i2c_display/mod.rs"]
mod i2c_display;

use std::time::Duration;

use deskticker::display::{
    BusFault, Chip, DisplayDevice, Oled, PanelLight, PanelSettings, Rotation,
};
use deskticker::render::{Frame, Size, WIDTH, notice};
use deskticker::time::{Moment, Now};
use proptest::prelude::*;

use i2c_display::bus::{Quiet, Rig, assert_whole_after_failures, lose_bytes, panel_settings, tick};
use i2c_display::pictures::{DAY, NIGHT, apply, change, digits, light, random_frame};

fn settings(size: Size) -> PanelSettings {
    panel_settings(Chip::Ssd1306, size)
}

const END: Now = Now {
    monotonic: Moment::from_secs(9),
    utc: None,
};

fn at(millis: u64) -> Moment {
    Moment::from_millis(millis)
}

fn secs(secs: u64) -> Moment {
    Moment::from_secs(secs)
}

#[test]
fn a_change_of_two_digits_is_one_message_of_at_most_44_bytes() {
    let rig = Rig::new();
    let mut oled = rig.oled(settings(Size::Tall));
    oled.show(&digits("5,912.34", "+0.12%"), DAY, at(0));
    rig.messages();
    oled.show(&digits("5,912.41", "+0.12%"), DAY, at(100));
    rig.assert_shows(&digits("5,912.41", "+0.12%"));
    let first = rig.messages();
    println!("the tick: {first:?} bytes");
    assert_eq!(first.len(), 1);
    assert!(first[0] <= 44, "{first:?}");
    oled.show(&digits("5,912.38", "+0.12%"), DAY, at(200));
    let kept = rig.messages();
    println!("the tick with the window kept: {kept:?} bytes");
    assert!(kept[0] <= 32, "{kept:?}");
}

#[test]
fn a_notice_stays_after_the_end_of_the_program_until_the_next_program_draws() {
    let rig = Rig::new();
    let words = notice(Size::Tall, "STARTING", "the system comes up");
    let leave = |light| rig.oled(settings(Size::Tall)).leave(&words, light);
    leave(NIGHT).unwrap();
    assert!(!rig.chip().is_lit());
    leave(DAY).unwrap();
    rig.assert_shows(&words);
    let mut oled = rig.oled(settings(Size::Tall));
    oled.show(&digits("5,912.34", "+0.12%"), DAY, at(0));
    rig.assert_shows(&digits("5,912.34", "+0.12%"));

    rig.fail_next(3, BusFault::NoAnswer);
    assert_eq!(leave(DAY), Err(BusFault::NoAnswer));
}

#[test]
fn a_random_walk_needs_at_most_67_bytes_per_tick_on_average() {
    let rig = Rig::new();
    let mut oled = rig.oled(settings(Size::Tall));
    let mut random = fastrand::Rng::with_seed(1);
    let mut points = 5912.34;
    let mut ticks = 0;
    let mut bytes = 0;
    let mut worst = 0;
    for i in 0..5000u64 {
        // The sum of twelve uniform numbers is nearly a normal distribution. Its standard deviation
        // here is 0.35.
        let normal: f64 = (0..12).map(|_| random.f64()).sum::<f64>() - 6.0;
        points += 0.35 * normal;
        let cents = (points * 100.0).round() as i64;
        let (whole, cents) = (cents / 100, cents % 100);
        let price = format!("{},{:03}.{cents:02}", whole / 1000, whole % 1000);
        let percent = format!("{:+.2}%", (points / 5900.0 - 1.0) * 100.0);
        let frame = digits(&price, &percent);
        oled.show(&frame, DAY, at(i));
        rig.assert_shows(&frame);
        let messages = rig.messages();
        if i > 0 {
            ticks += 1;
            bytes += messages.iter().sum::<usize>();
            worst = worst.max(messages.iter().sum());
        }
    }
    let mean = bytes as f64 / f64::from(ticks);
    println!("the walk: {mean:.1} bytes a tick, at most {worst}");
    assert!(mean <= 67.0, "{mean}");
}

#[test]
fn a_full_redraw_is_one_message() {
    let rig = Rig::new();
    let mut oled = rig.oled(settings(Size::Tall));
    oled.show(&random_frame(Size::Tall, 1), DAY, at(0));
    rig.messages();
    oled.show(&random_frame(Size::Tall, 2), DAY, at(1));
    rig.assert_shows(&random_frame(Size::Tall, 2));
    // The window is already set, so the message contains 1024 data bytes, one control byte and the
    // address byte.
    let messages = rig.messages();
    println!("a full redraw: {messages:?} bytes");
    assert_eq!(messages.len(), 1);
    assert!(messages[0] <= 1026, "{messages:?}");
}

#[test]
fn an_unchanged_picture_sends_nothing() {
    let rig = Rig::new();
    let mut oled = rig.oled(settings(Size::Tall));
    oled.show(&random_frame(Size::Tall, 1), DAY, at(0));
    rig.messages();
    oled.show(&random_frame(Size::Tall, 1), DAY, at(1));
    assert!(rig.messages().is_empty());
}

#[test]
fn the_bus_stays_closed_until_the_first_picture() {
    let rig = Rig::new();
    let mut oled = rig.oled(settings(Size::Tall));
    assert_eq!(oled.deadline(), Moment::NEVER);
    oled.leave_display(END);
    assert_eq!(rig.opened(), 0);
}

#[test]
fn the_panel_turns_on_only_after_its_picture_arrives() {
    let rig = Rig::new();
    let mut oled = rig.oled(settings(Size::Short));
    let frame = random_frame(Size::Short, 1);
    oled.show(&frame, DAY, at(0));
    rig.assert_shows(&frame);
    println!("power-up, 128x32: {:?} bytes", rig.messages());
    assert!(!rig.chip().snow);
}

#[test]
fn a_panel_mounted_upside_down_shows_the_rotated_picture() {
    for size in [Size::Tall, Size::Short] {
        let rig = Rig::new();
        let mut oled = rig.oled(PanelSettings {
            rotation: Rotation::UpsideDown,
            ..settings(size)
        });
        let frame = random_frame(size, 1);
        oled.show(&frame, DAY, at(0));
        assert_eq!(turned(&rig.seen(size).unwrap()), frame);
    }
}

#[test]
fn dimming_sets_contrast_precharge_and_vcomh_with_one_message_of_eight_bytes() {
    let rig = Rig::new();
    let mut oled = rig.oled(settings(Size::Tall));
    for (i, (brightness, expected)) in [
        (0, (0, 0x11, 0x00)),
        (128, (128, 0x81, 0x20)),
        (255, (255, 0xF1, 0x30)),
    ]
    .into_iter()
    .enumerate()
    {
        let frame = digits(&format!("5,912.3{i}"), "+0.12%");
        let light = PanelLight { brightness, ..DAY };
        oled.show(&frame, light, at(i as u64));
        rig.assert_shows(&frame);
        let chip = rig.chip();
        assert_eq!((chip.contrast, chip.precharge, chip.vcomh), expected);
        drop(chip);
        let messages = rig.messages();
        assert!(i == 0 || messages[0] == 8, "{messages:?}");
        // The next message does not repeat the brightness.
        oled.show(&frame, light, at(i as u64));
        assert!(rig.messages().is_empty());
    }
}

#[test]
fn a_shift_sends_four_bytes_and_moves_the_picture() {
    for size in [Size::Tall, Size::Short] {
        for rotation in [Rotation::Upright, Rotation::UpsideDown] {
            let rig = Rig::new();
            let mut oled = rig.oled(PanelSettings {
                rotation,
                ..settings(size)
            });
            let frame = random_frame(size, 1);
            oled.show(&frame, DAY, at(0));
            rig.messages();
            for shift in [1, 2, -1, -2, 0] {
                let light = PanelLight { shift, ..DAY };
                oled.show(&frame, light, at(0));
                let mut seen = rig.seen(size).unwrap();
                if rotation == Rotation::UpsideDown {
                    seen = turned(&seen);
                }
                assert_eq!(seen, light.on_glass(&frame), "{shift}");
                assert_eq!(rig.messages(), [4]);
            }
        }
    }
}

/// The picture rotated by 180 degrees.
fn turned(frame: &Frame) -> Frame {
    let mut turned = Frame::new(frame.size());
    for y in 0..frame.size().height() {
        for x in 0..WIDTH {
            let lit = frame.lit(WIDTH - 1 - x, frame.size().height() - 1 - y);
            turned.set(x, y, lit);
        }
    }
    turned
}

#[test]
fn turning_off_sends_three_bytes_and_later_pictures_send_nothing() {
    let rig = Rig::new();
    let mut oled = rig.oled(settings(Size::Tall));
    oled.show(&random_frame(Size::Tall, 1), DAY, at(0));
    rig.messages();
    oled.show(&random_frame(Size::Tall, 2), NIGHT, at(1));
    assert_eq!(rig.messages(), [3]);
    assert!(!rig.chip().is_lit());
    for i in 0..100 {
        let frame = random_frame(Size::Tall, i);
        let brightness = (i % 7) as u8;
        let light = PanelLight {
            brightness,
            shift: (i % 3) as i8,
            ..NIGHT
        };
        oled.show(&frame, light, at(2 + i));
    }
    assert!(rig.messages().is_empty());
}

#[test]
fn turning_on_again_sends_all_settings_and_the_whole_picture() {
    let rig = Rig::new();
    let mut oled = rig.oled(settings(Size::Tall));
    let light = PanelLight {
        brightness: 9,
        shift: -2,
        ..DAY
    };
    oled.show(&random_frame(Size::Tall, 1), DAY, at(0));
    oled.show(&random_frame(Size::Tall, 1), NIGHT, at(1));
    rig.chip().brown_out(5);
    let frame = random_frame(Size::Tall, 2);
    oled.show(&frame, light, at(2));
    rig.assert_glows(&frame, light);
    assert_eq!(rig.chip().contrast, 9);
    assert!(!rig.chip().snow);
}

#[test]
fn a_refresh_keeps_a_panel_that_is_off_dark() {
    let rig = Rig::new();
    let mut oled = rig.oled(settings(Size::Tall));
    let frame = random_frame(Size::Tall, 1);
    oled.show(&frame, DAY, at(0));
    oled.show(&frame, NIGHT, at(1));
    // A glitch on the bus can turn the panel on.
    rig.chip().on = true;
    for second in 1..=40 {
        tick(&mut oled, secs(second));
    }
    assert!(!rig.chip().is_lit());
    // The panel still has the settings for its next start.
    assert_eq!(rig.chip().contrast, 128);
}

#[test]
fn a_refresh_sends_brightness_and_shift_again() {
    let rig = Rig::new();
    let mut oled = rig.oled(settings(Size::Tall));
    let frame = random_frame(Size::Tall, 1);
    let light = PanelLight {
        brightness: 3,
        shift: 1,
        ..DAY
    };
    oled.show(&frame, light, at(0));
    rig.chip().brown_out(5);
    for second in 1..=6 {
        tick(&mut oled, secs(second));
    }
    rig.assert_glows(&frame, light);
    assert_eq!(rig.chip().contrast, 3);
}

#[test]
fn a_panel_that_comes_back_at_night_stays_dark_until_morning() {
    let rig = Rig::new();
    rig.missing(Some(BusFault::NoBus));
    let mut oled = rig.oled(settings(Size::Tall));
    let frame = random_frame(Size::Tall, 1);
    oled.show(&frame, NIGHT, at(0));
    rig.missing(None);
    rig.chip().on = true;
    oled.tick(secs(1));
    assert!(!rig.chip().is_lit());
    // Three messages fail, and the fourth one succeeds.
    for _ in 0..3 {
        rig.fail_next(1, BusFault::NoAnswer);
    }
    oled.show(&frame, DAY, secs(2));
    assert!(!rig.chip().is_lit());
    oled.tick(oled.deadline());
    rig.assert_shows(&frame);
    assert!(!rig.chip().snow);
}

#[test]
fn a_chip_with_an_external_supply_gets_no_charge_pump() {
    let rig = Rig::new();
    let mut oled = rig.oled(PanelSettings {
        chip: Chip::Ssd1309,
        ..settings(Size::Tall)
    });
    oled.show(&Frame::new(Size::Tall), DAY, at(0));
    assert!(rig.chip().on);
    assert!(!rig.chip().is_lit());
}

#[test]
fn a_refresh_repairs_an_unnoticed_glitch_without_turning_the_panel_off() {
    let rig = Rig::new();
    let mut oled = rig.oled(settings(Size::Tall));
    let frame = random_frame(Size::Tall, 1);
    oled.show(&frame, DAY, at(0));
    let darkened = rig.chip().darkened;
    for second in 1..=40 {
        if second == 7 {
            rig.chip().corrupt(3, 64);
            assert_ne!(rig.seen(Size::Tall).unwrap(), frame);
        }
        tick(&mut oled, secs(second));
    }
    rig.assert_shows(&frame);
    assert_eq!(rig.chip().darkened, darkened);
}

#[test]
fn a_lost_byte_is_repaired_within_ten_seconds_by_pieces_of_at_most_120_bytes() {
    for size in [Size::Tall, Size::Short] {
        let (longest, most) = lose_bytes(&Rig::new(), settings(size));
        println!("{size}: a lost byte for at most {longest} ms, a piece of at most {most} bytes");
        assert!((5_000..=10_000).contains(&longest), "{longest}");
        assert!((100..=120).contains(&most), "{most}");
    }
}

#[test]
fn a_piece_of_the_picture_leaves_the_window_of_the_last_update_set() {
    let rig = Rig::new();
    let mut oled = rig.oled(settings(Size::Tall));
    oled.show(&digits("5,912.34", "+0.12%"), DAY, at(0));
    oled.show(&digits("5,912.41", "+0.12%"), DAY, at(500));
    rig.messages();
    tick(&mut oled, at(1_000));
    assert!(!rig.messages().is_empty());
    oled.show(&digits("5,912.38", "+0.12%"), DAY, at(1_500));
    rig.assert_shows(&digits("5,912.38", "+0.12%"));
    let kept = rig.messages();
    assert!(kept.len() == 1 && kept[0] <= 32, "{kept:?}");
}

#[test]
fn a_new_price_comes_before_the_piece_of_the_picture_that_is_due() {
    let rig = Rig::new();
    let mut oled = rig.oled(settings(Size::Tall));
    oled.show(&digits("5,912.34", "+0.12%"), DAY, at(0));
    rig.messages();
    oled.show(&digits("5,912.41", "+0.12%"), DAY, at(1_000));
    assert_eq!(rig.messages()[0], 44);
}

#[test]
fn a_panel_after_an_unnoticed_power_loss_shows_the_picture_and_never_noise() {
    let rig = Rig::new();
    let mut oled = rig.oled(settings(Size::Tall));
    let mut frame = random_frame(Size::Tall, 1);
    oled.show(&frame, DAY, at(0));
    rig.chip().brown_out(99);
    for second in 1..=31 {
        frame.set(0, 0, second % 2 == 0);
        oled.show(&frame, DAY, secs(second));
        tick(&mut oled, secs(second));
    }
    rig.assert_shows(&frame);
    assert!(!rig.chip().snow);
}

#[test]
fn a_message_cut_off_within_a_command_does_not_corrupt_the_next_message() {
    // The message begins 80 21 80 a 80 b. After the cut, the chip waits for two arguments or for
    // one.
    for arrived in [2, 4] {
        let rig = Rig::new();
        let mut oled = rig.oled(settings(Size::Tall));
        oled.show(&digits("5,911.34", "+0.12%"), DAY, at(0));
        let darkened = rig.chip().darkened;
        rig.fail_next(arrived, BusFault::NoAnswer);
        let frame = digits("5,912.34", "+0.12%");
        oled.show(&frame, DAY, at(0));
        rig.assert_shows(&frame);
        // The panel does not go dark.
        assert_eq!(rig.chip().darkened, darkened);
    }
}

#[test]
fn a_failure_between_two_messages_of_an_update_is_repaired_at_once_and_sends_nothing_twice() {
    let rig = Rig::new();
    let mut oled = rig.oled(settings(Size::Tall));
    oled.show(&digits("5,912.34", "+0.12%"), DAY, at(0));
    rig.messages();
    // The percent has its own window, which arrives. The window of the price fails.
    let frame = digits("5,912.41", "+0.13%");
    rig.fail_after(1, 20, BusFault::NoAnswer);
    oled.show(&frame, DAY, at(0));
    rig.assert_shows(&frame);
    let messages = rig.messages();
    let first = messages[0];
    println!("an update that failed in its second message: {messages:?} bytes");
    assert!(first < 30, "the percent: {messages:?}");
    // After the failure, the driver sends the settings that may have changed, and the price.
    assert_eq!(messages[1..], [27, 44], "{messages:?}");
}

#[test]
fn a_settings_message_cut_off_at_any_byte_is_repaired_at_once() {
    // A command whose argument is missing takes the first byte of the next message as its argument:
    // this can be the mode of the memory, the number of rows or the charge pump.
    for arrived in 0..28 {
        let rig = Rig::new();
        let mut oled = rig.oled(settings(Size::Tall));
        let mut frame = digits("5,911.34", "+0.12%");
        oled.show(&frame, DAY, secs(0));
        rig.fail_next(arrived, BusFault::NoAnswer);
        oled.tick(secs(1));
        rig.assert_glows(&frame, DAY);
        frame = digits("5,912.41", "+0.13%");
        oled.show(&frame, DAY, secs(1));
        rig.assert_glows(&frame, DAY);
    }
}

/// The number of bytes that a bus at 100 kHz transfers in 100 ms, with nine clock cycles per byte.
const TORN: usize = 1111;

/// Pictures of a random walk of prices. Some change one window, some change two, and some change
/// the whole picture.
fn walk(seed: u64) -> impl Iterator<Item = Frame> {
    let mut random = fastrand::Rng::with_seed(seed);
    let mut cents = 591_234;
    std::iter::repeat_with(move || {
        cents += random.i64(-60..=60);
        if random.u8(..) < 8 {
            return random_frame(Size::Tall, random.u64(..));
        }
        let (points, rest) = (cents / 100, cents % 100);
        let price = format!("{},{:03}.{rest:02}", points / 1000, points % 1000);
        digits(&price, &format!("{:+.2}%", cents as f64 / 5_900.0 - 100.0))
    })
}

#[test]
fn an_update_cut_off_at_any_byte_is_repaired_within_100_ms_of_bus_time() {
    let mut random = fastrand::Rng::with_seed(2);
    let rig = Rig::new();
    let mut oled = rig.oled(settings(Size::Tall));
    let mut last = Frame::new(Size::Tall);
    oled.show(&last, DAY, at(0));
    rig.messages();
    let (mut repeated, mut longest) = (0, 0);
    for frame in walk(3).take(5_000) {
        let arrived = match random.bool() {
            // Most messages of the walk are shorter than 80 bytes.
            true => random.usize(0..=80),
            false => random.usize(0..=1100),
        };
        let darkened = rig.chip().darkened;
        if frame != last {
            rig.fail_next(arrived, BusFault::NoAnswer);
        }
        // The time stands still, so that no piece of the picture is due.
        oled.show(&frame, DAY, at(0));
        rig.assert_shows(&frame);
        let sent: usize = rig.messages().iter().sum();
        if frame == last {
            continue;
        }
        // The bytes until the picture is right again: the bytes that arrived, and the repeated
        // message. A panel that goes dark counts only up to the third command, which turns the
        // panel off.
        let until_seen = match rig.chip().darkened > darkened {
            true => 8,
            false => sent,
        };
        longest = longest.max(1 + arrived.min(sent) + until_seen);
        repeated += 1;
        last = frame;
    }
    assert!(repeated > 4_000, "{repeated}");
    assert!(longest <= TORN, "{longest} bytes");
    assert_eq!(rig.opened(), 1, "nobody took it for lost");
}

#[test]
fn the_first_message_that_arrives_after_failures_shows_a_whole_picture() {
    let mut random = fastrand::Rng::with_seed(4);
    for failures in 1..=6 {
        let rig = Rig::new();
        let mut oled = rig.oled(settings(Size::Tall));
        oled.show(&Frame::new(Size::Tall), DAY, at(0));
        rig.messages();
        let mut now = at(0);
        for frame in walk(failures).take(300) {
            for _ in 0..failures {
                rig.fail_next(random.usize(0..=80), BusFault::NoAnswer);
            }
            now = now + Duration::from_secs(1);
            oled.show(&frame, DAY, now);
            // The driver retries most messages at once, and each other message within a second.
            while rig.seen(Size::Tall).as_ref() != Some(&frame) {
                let dark = rig.seen(Size::Tall).is_none();
                let sent = rig.messages();
                assert!(sent.is_empty() || dark, "one has arrived: {sent:?}");
                assert!(oled.deadline().since(now) <= Duration::from_secs(1));
                now = oled.deadline();
                oled.tick(now);
            }
            rig.messages();
            rig.assert_shows(&frame);
            assert!(!rig.chip().snow);
        }
    }
}

#[test]
fn a_missing_bus_is_retried_until_the_bus_appears() {
    let rig = Rig::new();
    rig.missing(Some(BusFault::NoBus));
    let mut oled = rig.oled(settings(Size::Tall));
    let frame = random_frame(Size::Tall, 1);
    oled.show(&frame, DAY, at(0));
    assert_eq!(oled.deadline(), at(100));
    oled.tick(at(99));
    oled.tick(at(100));
    assert_eq!(rig.opened(), 2);
    rig.missing(None);
    oled.tick(secs(3));
    rig.assert_shows(&frame);
}

#[test]
fn a_lost_panel_is_logged_once_and_its_return_once() {
    captured_log::start(log::LevelFilter::Info);
    let rig = Rig::new();
    rig.missing(Some(BusFault::Denied));
    let mut oled = rig.oled(settings(Size::Tall));
    for second in 0..86_400 {
        oled.show(&random_frame(Size::Tall, 1), DAY, secs(second));
    }
    let lines = captured_log::take();
    assert_eq!(lines.len(), 1, "{lines:?}");
    assert!(lines[0].contains("usermod -aG i2c"), "{lines:?}");
    rig.missing(None);
    for second in 86_400..86_500 {
        oled.show(&random_frame(Size::Tall, 1), DAY, secs(second));
    }
    let lines = captured_log::take();
    assert_eq!(lines.len(), 1, "{lines:?}");
    assert!(lines[0].contains("answers again"), "{lines:?}");
}

#[test]
fn an_update_allocates_nothing() {
    // The test uses a quiet bus, because the bus with the chip model allocates memory.
    let mut oled = Oled::new(settings(Size::Tall), Quiet);
    let frames = [
        digits("5,912.34", "+0.12%"),
        digits("5,913.41", "+0.13%"),
        random_frame(Size::Tall, 3),
    ];
    let dim = PanelLight {
        brightness: 1,
        shift: 2,
        ..DAY
    };
    let lights = [DAY, DAY, dim, NIGHT];
    let steps = frames.iter().cycle().zip(lights.iter().cycle());
    for (i, (frame, light)) in steps.take(24).enumerate() {
        let counted = allocation_counter::measure(|| oled.show(frame, *light, at(i as u64)));
        // The first update opens the bus.
        assert!(i == 0 || counted.count_total == 0, "{i}: {counted:?}");
    }
}

proptest! {
    // An integration test has no lib.rs, so proptest has no place for its regression file.
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn the_panel_shows_every_picture_of_any_sequence_and_never_costs_more_than_a_redraw(
        tall: bool,
        changes in prop::collection::vec((change(), light()), 1..20),
    ) {
        let size = if tall { Size::Tall } else { Size::Short };
        let rig = Rig::new();
        let mut oled = rig.oled(settings(size));
        let mut frame = Frame::new(size);
        oled.show(&frame, DAY, at(0));
        rig.messages();
        let mut on = true;
        for (i, (change, light)) in changes.iter().enumerate() {
            apply(&mut frame, change);
            oled.show(&frame, *light, at(i as u64));
            rig.assert_glows(&frame, *light);
            let messages = rig.messages();
            // A panel that was off receives all settings and the whole picture. A panel that is on
            // receives at most the whole picture, its brightness and its shift.
            let woken = !on && light.on;
            let most = WIDTH * size.pages() + if woken { 14 + 29 + 3 } else { 14 + 8 + 2 };
            prop_assert!(messages.iter().sum::<usize>() <= most, "{messages:?}");
            on = light.on;
        }
        prop_assert!(!rig.chip().snow);
    }

    #[test]
    fn the_picture_is_whole_again_after_failures_of_any_messages_at_any_byte(
        steps in prop::collection::vec(
            (change(), light(), prop::option::of(0usize..1200)),
            1..30,
        ),
    ) {
        let rig = Rig::new();
        let mut oled = rig.oled(settings(Size::Tall));
        assert_whole_after_failures(&rig, &mut oled, Size::Tall, &steps);
        prop_assert!(!rig.chip().snow);
    }
}
