//! No price stays on the panel of a program that has ended.
#![allow(clippy::unwrap_used, missing_docs)]

mod glass;

use deskticker::clock::{Moment, Now};
use deskticker::panel::{Chip, Fault, Glass, Light, Rotation, Settings};
use deskticker::screen::{Frame, Size};
use glass::bus::{ADDRESS, Rig};

const END: Now = Now {
    monotonic: Moment::from_secs(9),
    utc: None,
};

fn settings() -> Settings {
    Settings {
        chip: Chip::Ssd1306,
        size: Size::Tall,
        bus: "/dev/i2c-1".into(),
        address: ADDRESS,
        rotation: Rotation::Upright,
    }
}

fn at(millis: u64) -> Moment {
    Moment::from_millis(millis)
}

fn random_frame(seed: u64) -> Frame {
    let mut random = fastrand::Rng::with_seed(seed);
    let mut frame = Frame::new(Size::Tall);
    random.fill(frame.as_bytes_mut());
    frame
}

#[test]
fn goodbye_leaves_it_dark_and_its_memory_empty() {
    let rig = Rig::new();
    let mut oled = rig.oled(settings());
    oled.show(&random_frame(1), Light::default(), at(0));
    oled.goodbye(END);
    assert!(!rig.chip().on);
    rig.chip().on = true;
    rig.assert_shows(&Frame::new(Size::Tall));
}

#[test]
fn a_panel_that_was_just_lost_is_opened_once_more_to_go_dark() {
    for arrived in [0, 2, 4, 500] {
        let rig = Rig::new();
        let mut oled = rig.oled(settings());
        oled.show(&random_frame(1), Light::default(), at(0));
        // Once more, and once more with the bus opened anew.
        for arrived in [arrived, 0, 0] {
            rig.fail_next(arrived, Fault::NoAnswer);
        }
        oled.show(&random_frame(2), Light::default(), at(100));
        assert!(rig.chip().on, "it still shows a price");
        oled.goodbye(END);
        assert_eq!(rig.opened(), 3);
        assert!(!rig.chip().on);
        rig.chip().on = true;
        rig.assert_shows(&Frame::new(Size::Tall));
    }
}

#[test]
fn a_goodbye_that_fails_is_tried_once_more_and_no_longer() {
    let rig = Rig::new();
    let mut oled = rig.oled(settings());
    oled.show(&random_frame(1), Light::default(), at(0));
    rig.fail_next(0, Fault::NoAnswer);
    oled.goodbye(END);
    assert!(!rig.chip().on);
    let rig = Rig::new();
    let mut oled = rig.oled(settings());
    rig.missing(Some(Fault::NoBus));
    oled.show(&random_frame(1), Light::default(), at(0));
    oled.goodbye(END);
    assert_eq!(rig.opened(), 2);
}
