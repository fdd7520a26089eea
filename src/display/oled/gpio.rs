//! A GPIO line of Linux, through the kernel's character device (`/dev/gpiochipN`), and the reset of
//! a panel by such a line. This module owns the line while it is in use; it never decides when a
//! panel is reset.

use std::fs::File;
use std::path::Path;
use std::thread;
use std::time::Duration;

use embedded_hal::digital::{ErrorType, OutputPin};
use gpiocdev_uapi::v2::{
    Error, LineFlags, LineRequest, LineValues, Name, get_line, get_line_info, set_line_values,
};

use super::bus_fault::BusFault;
use super::gpio_line::GpioLine;

/// How long the reset line is low, and how long the chip rests afterwards. The chips need 3 µs
/// (SSD1306 and SSD1309 data sheets, "Power ON and OFF sequence") or 10 µs (SH1106 data sheet,
/// "Reset Timing"), but a module can have a capacitor at its RES pin.
const RESET: Duration = Duration::from_millis(10);

/// Returns the name of the program or driver that uses the line; `None` if the line is free. The
/// name can be empty. `chip` is the file of the chip. The line does not change.
///
/// # Errors
/// The file cannot be opened, or it is not a chip with this line.
pub fn user(line: GpioLine, chip: &Path) -> Result<Option<String>, BusFault> {
    let info = get_line_info(&open(line, chip)?, line.line.into());
    let info = info.map_err(|error| fault(line, &error))?;
    let used = info.flags.contains(LineFlags::USED);
    Ok(used.then(|| info.consumer.as_os_str().to_string_lossy().into_owned()))
}

fn open(line: GpioLine, chip: &Path) -> Result<File, BusFault> {
    let chip = File::options().read(true).write(true).open(chip);
    chip.map_err(|error| BusFault::Gpio(line, error.raw_os_error().unwrap_or_default()))
}

/// An output line. No other program can use the line until this value is dropped.
#[derive(Debug)]
pub(super) struct OutputLine {
    line: GpioLine,
    request: File,
}

impl OutputLine {
    /// Makes the line an output with this level.
    pub(super) fn open(line: GpioLine, high: bool) -> Result<Self, BusFault> {
        let mut request = LineRequest {
            consumer: Name::from(GpioLine::USER),
            num_lines: 1,
            ..LineRequest::default()
        };
        request.offsets.set(0, line.line.into());
        request.config.flags = LineFlags::OUTPUT;
        request.config.add_values(&LineValues::from_slice(&[high]));
        let request =
            get_line(&open(line, &line.path())?, request).map_err(|error| fault(line, &error))?;
        Ok(Self { line, request })
    }

    fn set(&mut self, high: bool) -> Result<(), BusFault> {
        set_line_values(&self.request, &LineValues::from_slice(&[high]))
            .map_err(|error| fault(self.line, &error))
    }
}

impl ErrorType for OutputLine {
    type Error = BusFault;
}

impl OutputPin for OutputLine {
    fn set_low(&mut self) -> Result<(), BusFault> {
        self.set(false)
    }

    fn set_high(&mut self) -> Result<(), BusFault> {
        self.set(true)
    }
}

fn fault(line: GpioLine, error: &Error) -> BusFault {
    let errno = match error {
        Error::Os(errno) => errno.0,
        // Only a read of events has this error.
        Error::UnderRead(_) => 0,
    };
    BusFault::Gpio(line, errno)
}

/// Resets the panel at this line. The panel is dark afterwards, and the chip has lost all settings.
/// The line stays high until the returned value is dropped.
pub(super) fn reset(line: GpioLine) -> Result<OutputLine, BusFault> {
    let mut pin = OutputLine::open(line, true)?;
    pulse(&mut pin, thread::sleep)?;
    Ok(pin)
}

/// Sets the pin low and then high, with a wait after both.
fn pulse<P: OutputPin>(pin: &mut P, wait: impl Fn(Duration)) -> Result<(), P::Error> {
    pin.set_low()?;
    wait(RESET);
    pin.set_high()?;
    wait(RESET);
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::cell::RefCell;
    use std::convert::Infallible;

    use super::*;

    /// Records each level of a line, and each wait.
    #[derive(Default)]
    struct Recorder(RefCell<Vec<Result<bool, Duration>>>);

    impl ErrorType for &Recorder {
        type Error = Infallible;
    }

    impl OutputPin for &Recorder {
        fn set_low(&mut self) -> Result<(), Infallible> {
            self.0.borrow_mut().push(Ok(false));
            Ok(())
        }

        fn set_high(&mut self) -> Result<(), Infallible> {
            self.0.borrow_mut().push(Ok(true));
            Ok(())
        }
    }

    #[test]
    fn a_reset_is_low_for_longer_than_each_chip_needs_and_ends_high() {
        let line = Recorder::default();
        pulse(&mut &line, |time| line.0.borrow_mut().push(Err(time))).unwrap();
        let [Ok(false), Err(low), Ok(true), Err(rest)] = line.0.take()[..] else {
            panic!("not low, then high");
        };
        let needed = Duration::from_micros(10);
        assert!(low >= needed && rest >= needed, "{low:?}, {rest:?}");
    }

    #[test]
    fn a_missing_chip_is_a_fault_of_the_line() {
        let line = GpioLine {
            chip: 250,
            line: 17,
        };
        let fault = OutputLine::open(line, true).map(drop);
        assert_eq!(fault, Err(BusFault::Gpio(line, 2)));
    }
}
