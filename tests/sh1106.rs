//! Tests of the driver for the SH1106 chip. It makes the same promises as the other drivers,
//! although the chip has no windows.
#![allow(clippy::unwrap_used, clippy::print_stdout, missing_docs)]

#[path = "support/i2c_display/mod.rs"]
mod i2c_display;

use deskticker::display::{
    BusFault, Chip, DisplayDevice, Oled, PanelLight, PanelSettings, Rotation,
};
use deskticker::render::{Frame, Size, WIDTH};
use deskticker::time::{Moment, Now};
use proptest::prelude::*;

use i2c_display::bus::{Quiet, Rig, assert_whole_after_failures, lose_bytes, panel_settings, tick};
use i2c_display::chip;
use i2c_display::pictures::{DAY, NIGHT, apply, change, digits, light, random_frame};

fn settings(size: Size, column: u8) -> PanelSettings {
    panel_settings(Chip::Sh1106 { column }, size)
}

fn rig(first: usize) -> Rig {
    Rig::with(chip::Chip::sh1106(first))
}

fn at(millis: u64) -> Moment {
    Moment::from_millis(millis)
}

fn turned(frame: &Frame) -> Frame {
    let height = frame.size().height();
    let mut turned = Frame::new(frame.size());
    for y in 0..height {
        for x in 0..WIDTH {
            turned.set(x, y, frame.lit(WIDTH - 1 - x, height - 1 - y));
        }
    }
    turned
}

#[test]
fn the_picture_is_displayed_for_each_column_offset_and_rotation() {
    for size in [Size::Tall, Size::Short] {
        for column in 0..=4 {
            for rotation in [Rotation::Upright, Rotation::UpsideDown] {
                let rig = rig(usize::from(column));
                let mut oled = rig.oled(PanelSettings {
                    rotation,
                    ..settings(size, column)
                });
                let show = |oled: &mut Oled<Rig>, frame: &Frame, light: PanelLight| {
                    oled.show(frame, light, at(0));
                    let mut expected = light.on_glass(frame);
                    if rotation == Rotation::UpsideDown {
                        expected = turned(&expected);
                    }
                    assert_eq!(rig.seen(size), Some(expected));
                };
                let mut frame = random_frame(size, 1);
                show(&mut oled, &frame, DAY);
                frame.set(0, 0, !frame.lit(0, 0));
                frame.set(127, 17, !frame.lit(127, 17));
                show(&mut oled, &frame, DAY);
                show(&mut oled, &frame, PanelLight { shift: 2, ..DAY });
                assert!(rig.chip().is_blank_outside(size.height()));
                assert!(!rig.chip().snow);
            }
        }
    }
}

#[test]
fn a_change_of_two_digits_is_one_message_for_each_page() {
    let rig = rig(2);
    let mut oled = rig.oled(settings(Size::Tall, 2));
    oled.show(&digits("5,912.34", "+0.12%"), DAY, at(0));
    println!("power-up: {:?} bytes", rig.messages());
    oled.show(&digits("5,912.41", "+0.12%"), DAY, at(1));
    rig.assert_shows(&digits("5,912.41", "+0.12%"));
    let tick = rig.messages();
    println!("the tick: {tick:?} bytes");
    // Each message sets the page and the column, and contains a run of 14 or 15 bytes.
    assert_eq!(tick, [22, 23]);
}

#[test]
fn a_random_walk_needs_few_bytes_per_tick() {
    let rig = rig(2);
    let mut oled = rig.oled(settings(Size::Tall, 2));
    let mut random = fastrand::Rng::with_seed(1);
    let (mut cents, mut bytes, mut most) = (591_234, 0, 0);
    oled.show(&digits("5,912.34", "+0.12%"), DAY, at(0));
    rig.messages();
    for i in 0..2000 {
        cents += random.i64(-60..=60);
        let (points, rest) = (cents / 100, cents % 100);
        let price = format!("{},{:03}.{rest:02}", points / 1000, points % 1000);
        let frame = digits(&price, "+0.12%");
        oled.show(&frame, DAY, at(i));
        rig.assert_shows(&frame);
        let messages = rig.messages();
        bytes += messages.iter().sum::<usize>();
        most = most.max(messages.iter().sum());
    }
    let mean = bytes as f64 / 2000.0;
    println!("the walk: {mean:.1} bytes a tick, at most {most}");
    assert!(mean <= 80.0, "{mean}");
}

#[test]
fn an_update_cut_off_at_any_byte_is_repaired_at_once() {
    let mut random = fastrand::Rng::with_seed(2);
    let rig = rig(2);
    let mut oled = rig.oled(settings(Size::Tall, 2));
    oled.show(&digits("5,912.34", "+0.12%"), DAY, at(0));
    let mut cents = 591_234;
    for i in 1..=2000 {
        // The price differs in each step.
        cents += random.i64(1..=60);
        let (points, rest) = (cents / 100, cents % 100);
        let price = format!("{},{:03}.{rest:02}", points / 1000, points % 1000);
        let frame = digits(&price, &format!("+0.{:02}%", i % 100));
        rig.fail_next(random.usize(0..=120), BusFault::NoAnswer);
        oled.show(&frame, DAY, at(i));
        rig.assert_shows(&frame);
    }
    assert!(rig.chip().is_blank_outside(64));
    assert_eq!(rig.opened(), 1, "nobody took it for lost");
}

#[test]
fn a_start_needs_at_most_1150_bytes_and_a_refresh_never_darkens_the_panel() {
    let rig = rig(2);
    let mut oled = rig.oled(settings(Size::Tall, 2));
    let frame = random_frame(Size::Tall, 1);
    oled.show(&frame, DAY, at(0));
    let messages = rig.messages();
    println!("power-up: {messages:?} bytes");
    // The settings, each page with the columns beside the picture, and the command that turns the
    // panel on.
    assert_eq!(messages[1..], [140, 140, 140, 140, 140, 140, 140, 140, 3]);
    assert!(messages.iter().sum::<usize>() <= 1150, "{messages:?}");
    let darkened = rig.chip().darkened;
    rig.chip().brown_out(7);
    tick(&mut oled, Moment::from_secs(6));
    rig.assert_shows(&frame);
    // The panel did not turn itself off, and it never showed unwritten memory.
    assert_eq!(rig.chip().darkened, darkened);
    assert!(!rig.chip().snow);
}

#[test]
fn a_lost_byte_is_repaired_within_ten_seconds_by_pieces_of_at_most_120_bytes() {
    for size in [Size::Tall, Size::Short] {
        let (longest, most) = lose_bytes(&rig(2), settings(size, 2));
        println!("{size}: a lost byte for at most {longest} ms, a piece of at most {most} bytes");
        assert!((5_000..=10_000).contains(&longest), "{longest}");
        assert!((100..=120).contains(&most), "{most}");
    }
}

#[test]
fn dimming_sets_contrast_precharge_and_vcom_of_this_chip() {
    let rig = rig(2);
    let mut oled = rig.oled(settings(Size::Tall, 2));
    for (brightness, expected) in [
        (0, (0, 0x11, 0x22)),
        (128, (128, 0x18, 0x35)),
        (255, (255, 0x1F, 0x3E)),
    ] {
        let light = PanelLight { brightness, ..DAY };
        oled.show(&Frame::new(Size::Tall), light, at(0));
        let chip = rig.chip();
        assert_eq!((chip.contrast, chip.precharge, chip.vcomh), expected);
    }
}

#[test]
fn a_panel_that_is_off_gets_no_messages_and_ends_with_an_empty_memory() {
    let rig = rig(2);
    let mut oled = rig.oled(settings(Size::Tall, 2));
    oled.show(&random_frame(Size::Tall, 1), DAY, at(0));
    oled.show(&random_frame(Size::Tall, 1), NIGHT, at(1));
    rig.messages();
    oled.show(&random_frame(Size::Tall, 2), NIGHT, at(2));
    assert!(rig.messages().is_empty());
    assert_eq!(rig.seen(Size::Tall), None);
    oled.leave_display(Now {
        monotonic: at(3),
        utc: None,
    });
    rig.chip().on = true;
    rig.assert_shows(&Frame::new(Size::Tall));
}

#[test]
fn an_update_allocates_nothing() {
    let mut oled = Oled::new(settings(Size::Tall, 2), Quiet);
    let frames = [
        digits("5,912.34", "+0.12%"),
        digits("5,913.41", "+0.13%"),
        random_frame(Size::Tall, 3),
    ];
    let lights = [DAY, DAY, PanelLight { shift: 1, ..DAY }, NIGHT];
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
        column in 0u8..=4,
        changes in prop::collection::vec((change(), light()), 1..20),
    ) {
        let size = if tall { Size::Tall } else { Size::Short };
        let rig = rig(usize::from(column));
        let mut oled = rig.oled(settings(size, column));
        let mut frame = Frame::new(size);
        oled.show(&frame, DAY, at(0));
        rig.messages();
        let mut on = true;
        for (i, (change, light)) in changes.iter().enumerate() {
            apply(&mut frame, change);
            oled.show(&frame, *light, at(i as u64));
            rig.assert_glows(&frame, *light);
            let messages = rig.messages();
            // A panel that was off receives all settings and the whole picture, with the columns
            // beside it. A panel that is on receives at most the picture, its brightness and its
            // shift.
            let woken = !on && light.on;
            let page = if woken { 8 + 132 } else { 8 + WIDTH };
            let most = page * size.pages() + if woken { 27 + 3 } else { 8 + 2 };
            prop_assert!(messages.iter().sum::<usize>() <= most, "{messages:?}");
            on = light.on;
        }
        prop_assert!(rig.chip().is_blank_outside(size.height()));
        prop_assert!(!rig.chip().snow);
    }

    #[test]
    fn the_picture_is_whole_again_after_failures_of_any_messages_at_any_byte(
        steps in prop::collection::vec(
            (change(), light(), prop::option::of(0usize..2100)),
            1..30,
        ),
    ) {
        let rig = rig(2);
        let mut oled = rig.oled(settings(Size::Tall, 2));
        let light = assert_whole_after_failures(&rig, &mut oled, Size::Tall, &steps);
        // A panel that was off all the time never received a picture.
        prop_assert!(!light.on || rig.chip().is_blank_outside(64));
        prop_assert!(!rig.chip().snow);
    }
}
