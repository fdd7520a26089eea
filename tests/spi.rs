//! Tests of a panel on SPI. The planner writes messages in the form for I2C; the panel must receive the
//! same commands and data, with the level of its DC pin in place of the control bytes.
#![allow(clippy::unwrap_used, missing_docs)]

#[path = "support/i2c_display/mod.rs"]
mod i2c_display;

use std::cell::RefCell;
use std::rc::Rc;

use deskticker::display::oled::spi::{Transport, send};
use deskticker::display::{Bus, BusFault, Chip, DisplayDevice, Oled, Rotation};
use deskticker::display::{PanelLight, PanelSettings};
use deskticker::render::{Frame, Size};
use deskticker::time::Moment;
use embedded_hal::i2c::{ErrorType, I2c, Operation};
use proptest::prelude::*;

use i2c_display::bus::panel_settings;
use i2c_display::chip;
use i2c_display::pictures::{DAY, apply, change, light, random_frame};

/// Control bytes for commands and for data up to the end of a message.
const COMMANDS: u8 = 0x00;
const DATA: u8 = 0x40;

/// An SPI bus with one chip.
#[derive(Clone)]
struct Rig(Rc<RefCell<chip::Chip>>);

impl Transport for Rig {
    fn commands(&mut self, bytes: &[u8]) -> Result<(), BusFault> {
        let message = [&[COMMANDS], bytes].concat();
        self.0.borrow_mut().receive(&message);
        Ok(())
    }

    fn data(&mut self, bytes: &[u8]) -> Result<(), BusFault> {
        let message = [&[DATA], bytes].concat();
        self.0.borrow_mut().receive(&message);
        Ok(())
    }
}

impl Bus for Rig {
    type I2c = Self;
    fn open(&mut self) -> Result<Self, BusFault> {
        Ok(self.clone())
    }
}

impl ErrorType for Rig {
    type Error = BusFault;
}

impl I2c for Rig {
    fn transaction(&mut self, _: u8, operations: &mut [Operation<'_>]) -> Result<(), BusFault> {
        let [Operation::Write(message)] = operations else {
            panic!("not one write");
        };
        send(message, self)
    }
}

impl Rig {
    fn assert_glows(&self, frame: &Frame, light: PanelLight) {
        let rows = self.0.borrow().seen(frame.size().height());
        let seen = rows.map(|rows| {
            let mut seen = Frame::new(frame.size());
            for (y, row) in rows.iter().enumerate() {
                for (x, lit) in row.iter().enumerate() {
                    seen.set(x, y, *lit);
                }
            }
            seen
        });
        assert_eq!(seen, light.on.then(|| light.on_glass(frame)));
    }
}

/// Records commands (false) and data (true).
#[derive(Default)]
struct Recorder(Vec<(bool, u8)>);

impl Transport for Recorder {
    fn commands(&mut self, bytes: &[u8]) -> Result<(), BusFault> {
        self.0.extend(bytes.iter().map(|byte| (false, *byte)));
        Ok(())
    }

    fn data(&mut self, bytes: &[u8]) -> Result<(), BusFault> {
        self.0.extend(bytes.iter().map(|byte| (true, *byte)));
        Ok(())
    }
}

#[test]
fn a_message_ends_without_a_fault_at_every_byte() {
    let message = [0x80, 0x21, 0x80, 1, 0x80, 2, 0xC0, 7, 0x40, 8, 9];
    let all = [
        (false, 0x21),
        (false, 1),
        (false, 2),
        (true, 7),
        (true, 8),
        (true, 9),
    ];
    for length in 0..=message.len() {
        let mut seen = Recorder::default();
        send(&message[..length], &mut seen).unwrap();
        assert!(all.starts_with(&seen.0), "{length}: {:?}", seen.0);
        assert!(length < message.len() || seen.0 == all);
    }
}

proptest! {
    // An integration test has no lib.rs, so proptest has no place for its regression file.
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn every_command_and_data_byte_arrives_once_and_in_order(
        pairs in prop::collection::vec((any::<bool>(), any::<u8>()), 0..400),
        (is_data, end) in (any::<bool>(), prop::collection::vec(any::<u8>(), 0..1100)),
    ) {
        let mut message = Vec::new();
        for (is_data, byte) in &pairs {
            message.extend([if *is_data { 0xC0 } else { 0x80 }, *byte]);
        }
        message.push(if is_data { DATA } else { COMMANDS });
        message.extend(&end);
        let mut seen = Recorder::default();
        send(&message, &mut seen).unwrap();
        let end = end.iter().map(|byte| (is_data, *byte));
        prop_assert_eq!(seen.0, pairs.into_iter().chain(end).collect::<Vec<_>>());
    }

    #[test]
    fn each_chip_shows_every_picture_over_spi(
        kind in 0..4,
        changes in prop::collection::vec((change(), light()), 1..12),
    ) {
        let (chip, mut model) = match kind {
            0 => (Chip::Ssd1306, chip::Chip::ssd1306(7)),
            1 => (Chip::Ssd1309, chip::Chip::ssd1306(7)),
            2 => (Chip::Sh1106 { column: 2 }, chip::Chip::sh1106(2)),
            _ => (Chip::Sh1107 { column: 0 }, chip::Chip::sh1107(0)),
        };
        let size = chip.size_near(Size::Tall);
        if chip == Chip::Ssd1309 {
            // The model of an SSD1306 has power only with its charge pump; an SSD1309 has a supply of
            // its own.
            model.receive(&[COMMANDS, 0x8D, 0x14]);
        }
        let rig = Rig(Rc::new(RefCell::new(model)));
        let settings = PanelSettings {
            bus: "/dev/spidev0.0".into(),
            rotation: Rotation::Upright,
            ..panel_settings(chip, size)
        };
        let mut oled = Oled::new(settings, rig.clone());
        let mut frame = random_frame(size, 1);
        oled.show(&frame, DAY, Moment::ZERO);
        rig.assert_glows(&frame, DAY);
        for (i, (change, light)) in changes.iter().enumerate() {
            apply(&mut frame, change);
            oled.show(&frame, *light, Moment::from_millis(i as u64));
            rig.assert_glows(&frame, *light);
        }
    }
}
