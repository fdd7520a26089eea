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

impl GpioLine {
    /// The name under which this program uses a line.
    pub const USER: &str = "deskticker";

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
            _ => Err(format!(
                "{text}, expected the number of a GPIO, like 17, or a chip and its line, like \
                 \"gpiochip1:17\""
            )),
        }
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
    }
}
