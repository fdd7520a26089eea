//! The name of a GPIO line of Linux, and its form in the configuration. This module opens nothing.

use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;

/// A line of a GPIO chip of Linux.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct GpioLine {
    /// The number of the chip: 0 for `/dev/gpiochip0`.
    pub chip: u8,
    /// The number of the line on the chip. On a Raspberry Pi, this is the number of the GPIO.
    pub line: u16,
}

/// The pins of the header of a Raspberry Pi that have a GPIO, each with its number.
const HEADER: [(u8, u8); 26] = [
    (3, 2),
    (5, 3),
    (7, 4),
    (8, 14),
    (10, 15),
    (11, 17),
    (12, 18),
    (13, 27),
    (15, 22),
    (16, 23),
    (18, 24),
    (19, 10),
    (21, 9),
    (22, 25),
    (23, 11),
    (24, 8),
    (26, 7),
    (29, 5),
    (31, 6),
    (32, 12),
    (33, 13),
    (35, 19),
    (36, 16),
    (37, 26),
    (38, 20),
    (40, 21),
];

impl GpioLine {
    /// The name under which this program uses a line.
    pub const USER: &str = "deskticker";

    /// Returns the GPIO of a pin on the header of a Raspberry Pi, for a text such as `pin 11`.
    pub fn of_pin(text: &str) -> Option<u8> {
        let lower = text.trim().to_ascii_lowercase();
        let pin = lower.strip_prefix("pin").or(lower.strip_prefix("physical"));
        let pin: u8 = pin?.trim().parse().ok()?;
        let (_, gpio) = HEADER.iter().find(|(known, _)| *known == pin)?;
        Some(*gpio)
    }

    /// The path of the chip, such as `/dev/gpiochip0`.
    pub fn path(self) -> PathBuf {
        PathBuf::from(format!("/dev/gpiochip{}", self.chip))
    }
}

/// Reads `17` or `GPIO17`, a line of the first chip, or `gpiochip1:17`.
impl FromStr for GpioLine {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let lower = text.trim().to_ascii_lowercase();
        let (chip, line) = lower.split_once(':').unwrap_or(("0", &lower));
        let chip = chip.trim_start_matches("/dev/");
        let chip = chip.trim_start_matches("gpiochip").trim().parse();
        let line = line.trim().trim_start_matches("gpio").trim().parse();
        match (chip, line) {
            (Ok(chip), Ok(line)) => Ok(Self { chip, line }),
            _ => Err(format!("{text:?}, expected {}", expected(text))),
        }
    }
}

/// Returns the words for what a wrong text of a line should be.
fn expected(text: &str) -> String {
    match GpioLine::of_pin(text) {
        Some(gpio) => format!(
            "the number of a GPIO; on a Raspberry Pi, this pin of the header is GPIO {gpio}"
        ),
        None => "the number of a GPIO, like 17, or a chip and its line, like \"gpiochip1:17\""
            .to_owned(),
    }
}

/// Writes `line 17 of /dev/gpiochip0`.
impl fmt::Display for GpioLine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "line {} of {}", self.line, self.path().display())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_read_with_and_without_its_chip() {
        let line = |chip, line| Ok(GpioLine { chip, line });
        for (text, expected) in [
            ("17", line(0, 17)),
            ("GPIO17", line(0, 17)),
            ("gpiochip1:5", line(1, 5)),
            ("/dev/gpiochip4: 27", line(4, 27)),
        ] {
            assert_eq!(text.parse(), expected, "{text}");
        }
        for text in ["", "-1", "P9_12", "gpiochip300:1", "gpiochip1"] {
            let error = text.parse::<GpioLine>().unwrap_err();
            assert!(error.contains("expected the number of a GPIO"), "{error}");
        }
        for text in ["pin 11", "Pin11", "physical 11"] {
            let error = text.parse::<GpioLine>().unwrap_err();
            assert!(
                error.ends_with("this pin of the header is GPIO 17"),
                "{error}"
            );
        }
    }
}
