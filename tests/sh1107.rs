//! Tests of the driver for the SH1107 chip with 128×128 dots. It makes the same promises as the other
//! drivers, although the chip has no windows, and its lines are columns.
#![allow(clippy::unwrap_used, clippy::print_stdout, missing_docs)]

#[path = "support/i2c_display/mod.rs"]
mod i2c_display;
#[path = "support/views/mod.rs"]
mod views;

use std::time::Duration;

use deskticker::display::{
    BusFault, Chip, DisplayDevice, Oled, PanelLight, PanelSettings, Rotation,
};
use deskticker::market::Freshness;
use deskticker::render::{Frame, PageView, Size, WIDTH};
use deskticker::time::{Moment, Now};
use proptest::prelude::*;

use i2c_display::bus::{Quiet, Rig, assert_whole_after_failures, lose_bytes, panel_settings, tick};
use i2c_display::chip;
use i2c_display::pictures::{DAY, NIGHT, apply, change, light, random_frame};
use views::{day, drawn, line, lines, report, view, walk};

const SIZE: Size = Size::Square;

fn settings(column: u8) -> PanelSettings {
    panel_settings(Chip::Sh1107 { column }, SIZE)
}

fn rig() -> Rig {
    Rig::with(chip::Chip::sh1107(0))
}

fn at(millis: u64) -> Moment {
    Moment::from_millis(millis)
}

fn turned(frame: &Frame) -> Frame {
    let mut turned = Frame::new(SIZE);
    for (x, y) in (0..WIDTH * WIDTH).map(|dot| (dot % WIDTH, dot / WIDTH)) {
        turned.set(x, y, frame.lit(WIDTH - 1 - x, WIDTH - 1 - y));
    }
    turned
}

/// Two prices, in hundredths.
fn pair(first: i64, second: i64) -> Frame {
    let history = walk(100, 5912.41);
    let [first, second] = [first, second].map(|cents| cents as f64 / 100.0);
    drawn(
        &view(PageView::Pair(
            line("SPX", first, 5887.61, &history),
            Some(line("VIX", second, 17.48, &history)),
        )),
        SIZE,
    )
}

#[test]
fn the_picture_is_displayed_for_each_column_offset_and_rotation() {
    for column in [0, 1, 31, 32, 96, 127] {
        for rotation in [Rotation::Upright, Rotation::UpsideDown] {
            let rig = Rig::with(chip::Chip::sh1107(usize::from(column)));
            let mut oled = rig.oled(PanelSettings {
                rotation,
                ..settings(column)
            });
            let show = |oled: &mut Oled<Rig>, frame: &Frame, light: PanelLight| {
                oled.show(frame, light, at(0));
                let mut expected = light.on_glass(frame);
                if rotation == Rotation::UpsideDown {
                    expected = turned(&expected);
                }
                assert_eq!(rig.seen(SIZE), Some(expected), "{column}");
            };
            let mut frame = random_frame(SIZE, 1);
            show(&mut oled, &frame, DAY);
            frame.set(0, 0, !frame.lit(0, 0));
            frame.set(127, 117, !frame.lit(127, 117));
            show(&mut oled, &frame, DAY);
            for shift in [2, -2, 1, 0] {
                show(&mut oled, &frame, PanelLight { shift, ..DAY });
            }
            assert!(!rig.chip().snow);
        }
    }
}

#[test]
fn ticks_pages_and_pieces_show_every_dot_and_a_tick_needs_few_bytes() {
    let rig = rig();
    let mut oled = rig.oled(settings(0));
    let mut random = fastrand::Rng::with_seed(3);
    let history = walk(100, 5912.41);
    let (mut first, mut second) = (591_234, 1_725);
    let (mut ticks, mut bytes) = (0, 0);
    let mut frame = pair(first, second);
    oled.show(&frame, DAY, at(0));
    for second_of_day in 1..600 {
        let now = at(1_000 * second_of_day);
        tick(&mut oled, now);
        rig.assert_shows(&frame);
        rig.messages();
        match second_of_day % 60 {
            // Other pages, and one that is not live.
            20..23 => {
                let big = PageView::Big(line("SPX", 5912.41, 5887.61, &history), day());
                frame = drawn(&view(big), SIZE);
            }
            23..26 => frame = drawn(&view(PageView::Link(report())), SIZE),
            26..29 => {
                let spx = line("SPX", 5912.41, 5887.61, &history);
                let mut stale = view(PageView::Pair(spx, Some(spx)));
                lines(&mut stale)[1].freshness = Freshness::Stale(Duration::from_secs(12));
                frame = drawn(&stale, SIZE);
            }
            _ => {
                first += random.i64(-60..=60);
                second += i64::from(second_of_day % 15 == 0);
                let next = pair(first, second);
                let is_tick = second_of_day % 60 != 29 && second_of_day % 15 != 0;
                if is_tick {
                    oled.show(&next, DAY, now);
                    rig.assert_shows(&next);
                    bytes += rig.messages().iter().sum::<usize>();
                    ticks += 1;
                }
                frame = next;
            }
        }
        // Each seventh message fails at any byte, and is repaired at once.
        if second_of_day % 7 == 0 {
            rig.fail_next(random.usize(0..=140), BusFault::NoAnswer);
            frame.set(random.usize(..WIDTH), random.usize(..WIDTH), true);
        }
        oled.show(&frame, DAY, now);
        rig.assert_shows(&frame);
    }
    let mean = f64::from(bytes as u32) / f64::from(ticks);
    println!("{ticks} ticks: {mean:.1} bytes each");
    assert!(ticks > 400 && mean <= 100.0, "{ticks} {mean}");
    assert_eq!(rig.opened(), 1, "nobody took it for lost");
}

#[test]
fn an_update_cut_off_at_any_byte_is_repaired_at_once() {
    let mut random = fastrand::Rng::with_seed(2);
    let rig = rig();
    let mut oled = rig.oled(settings(0));
    let mut cents = 591_234;
    oled.show(&pair(cents, 1_725), DAY, at(0));
    for i in 1..=300 {
        // The price differs in each step.
        cents += random.i64(1..=60);
        let frame = pair(cents, 1_725 + i as i64);
        rig.fail_after(random.usize(..2), random.usize(0..=60), BusFault::NoAnswer);
        oled.show(&frame, DAY, at(i));
        rig.assert_shows(&frame);
    }
    assert_eq!(rig.opened(), 1, "nobody took it for lost");
}

#[test]
fn a_start_needs_at_most_2300_bytes_and_a_refresh_never_darkens_the_panel() {
    let rig = rig();
    let mut oled = rig.oled(settings(0));
    let frame = random_frame(SIZE, 1);
    oled.show(&frame, DAY, at(0));
    let messages = rig.messages();
    println!("power-up: {messages:?} bytes");
    // The settings, each page, and the command that turns the panel on.
    assert_eq!(messages[1..17], [136; 16]);
    assert_eq!(messages[17..], [3]);
    assert!(messages.iter().sum::<usize>() <= 2_300, "{messages:?}");
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
    let (longest, most) = lose_bytes(&rig(), settings(0));
    println!("a lost byte for at most {longest} ms, a piece of at most {most} bytes");
    assert!((5_000..=10_000).contains(&longest), "{longest}");
    assert!((100..=120).contains(&most), "{most}");
}

#[test]
fn dimming_sets_contrast_precharge_and_vcom_of_this_chip() {
    let rig = rig();
    let mut oled = rig.oled(settings(0));
    for (brightness, expected) in [
        (0, (0, 0x11, 0x22)),
        (128, (128, 0x18, 0x35)),
        (255, (255, 0x1F, 0x3E)),
    ] {
        let light = PanelLight { brightness, ..DAY };
        oled.show(&Frame::new(SIZE), light, at(0));
        let chip = rig.chip();
        assert_eq!((chip.contrast, chip.precharge, chip.vcomh), expected);
    }
}

#[test]
fn a_panel_that_is_off_gets_no_messages_and_ends_with_an_empty_memory() {
    let rig = rig();
    let mut oled = rig.oled(settings(0));
    oled.show(&random_frame(SIZE, 1), DAY, at(0));
    oled.show(&random_frame(SIZE, 1), NIGHT, at(1));
    rig.messages();
    oled.show(&random_frame(SIZE, 2), NIGHT, at(2));
    assert!(rig.messages().is_empty());
    assert_eq!(rig.seen(SIZE), None);
    oled.leave_display(Now {
        monotonic: at(3),
        utc: None,
    });
    rig.chip().on = true;
    rig.assert_shows(&Frame::new(SIZE));
}

#[test]
fn an_update_allocates_nothing() {
    let mut oled = Oled::new(settings(0), Quiet);
    let frames = [
        pair(591_234, 1_725),
        pair(591_341, 1_726),
        random_frame(SIZE, 3),
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
    #![proptest_config(ProptestConfig { failure_persistence: None, cases: 64, ..ProptestConfig::default() })]

    #[test]
    fn the_panel_shows_every_picture_of_any_sequence_and_never_costs_more_than_a_redraw(
        changes in prop::collection::vec((change(), light()), 1..20),
    ) {
        let rig = rig();
        let mut oled = rig.oled(settings(0));
        let mut frame = Frame::new(SIZE);
        oled.show(&frame, DAY, at(0));
        rig.messages();
        let mut on = true;
        for (i, (change, light)) in changes.iter().enumerate() {
            apply(&mut frame, change);
            oled.show(&frame, *light, at(i as u64));
            rig.assert_glows(&frame, *light);
            let messages = rig.messages();
            // A panel that was off receives all settings and the whole picture. A panel that is on
            // receives at most the picture, its brightness and its shift.
            let most = (8 + WIDTH) * SIZE.pages() + if !on && light.on { 28 + 3 } else { 8 + 2 };
            prop_assert!(messages.iter().sum::<usize>() <= most, "{messages:?}");
            on = light.on;
        }
        prop_assert!(!rig.chip().snow);
    }

    #[test]
    fn the_picture_is_whole_again_after_failures_of_any_messages_at_any_byte(
        steps in prop::collection::vec(
            (change(), light(), prop::option::of(0usize..2100)),
            1..30,
        ),
    ) {
        let rig = rig();
        let mut oled = rig.oled(settings(0));
        assert_whole_after_failures(&rig, &mut oled, SIZE, &steps);
        prop_assert!(!rig.chip().snow);
    }
}
