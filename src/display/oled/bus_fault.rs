//! The reasons why a panel does not respond, with advice for the owner of the panel. This module
//! owns the meaning of the kernel's error numbers for I2C (kernel documentation, i2c/fault-codes),
//! SPI and GPIO lines; it never retries.

use std::io;
use std::path::Path;

use embedded_hal::digital;
use embedded_hal::i2c::{Error, ErrorKind, NoAcknowledgeSource};
use rustix::io::Errno;

use super::gpio_line::GpioLine;
use crate::board::{Board, MODEL};

/// A fault of the bus.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum BusFault {
    /// The bus does not exist: it is switched off, or the adapter is unplugged.
    NoBus,
    /// The file exists but is not a bus of this kind.
    NotABus,
    /// The user of the program has no permission to open the bus.
    Denied,
    /// No device acknowledges the address. A Raspberry Pi reports EREMOTEIO, other boards report
    /// ENXIO.
    NoAnswer,
    /// A bus line is held low, or the bus never became free.
    Stuck,
    /// A kernel driver uses the address.
    Claimed,
    /// A GPIO line of the panel cannot be used, with the error number from the kernel.
    Gpio(GpioLine, i32),
    /// Any other error number from the kernel.
    Errno(i32),
    /// A message does not fit into the buffer. Such a message is a bug of this program.
    TooLong,
}

impl BusFault {
    /// Converts an error from opening or writing the bus.
    pub fn from_io(error: &io::Error) -> Self {
        // An error without an error number does not come from the kernel, so the error counts as
        // number 0.
        let errno = error.raw_os_error().unwrap_or(0);
        match Errno::from_raw_os_error(errno) {
            Errno::NOENT | Errno::NODEV => BusFault::NoBus,
            Errno::NOTTY | Errno::INVAL | Errno::ISDIR | Errno::NOTDIR => BusFault::NotABus,
            Errno::ACCESS | Errno::PERM => BusFault::Denied,
            Errno::REMOTEIO | Errno::NXIO => BusFault::NoAnswer,
            Errno::TIMEDOUT | Errno::AGAIN => BusFault::Stuck,
            Errno::BUSY => BusFault::Claimed,
            _ => BusFault::Errno(errno),
        }
    }

    /// Returns the fault as a sentence for the owner of the panel at `address` (7 bits) on `bus`,
    /// with advice on how to fix the fault.
    pub fn advice(self, bus: &Path, address: u8) -> String {
        self.advice_on(Board::for_machine(&MODEL), bus, address)
    }

    /// Returns the advice for this board; see [`BusFault::advice`].
    fn advice_on(self, board: &Board, bus: &Path, address: u8) -> String {
        let (path, place) = (bus.display(), place(bus, address));
        let (kind, group, all) = match is_spi(bus) {
            true => ("SPI", "spi", "/dev/spidev*"),
            false => ("I2C", "i2c", "/dev/i2c-*"),
        };
        match self {
            BusFault::NoBus => {
                // The advice is one line of the log.
                let remedy = board.bus_remedy(is_spi(bus));
                let remedy = remedy.split_whitespace().collect::<Vec<_>>().join(" ");
                format!("there is no {path}: {remedy}")
            }
            BusFault::NotABus => {
                format!("{path} is not an {kind} bus: set the bus to one of `ls {all}`")
            }
            BusFault::Denied => format!(
                "no permission to open {path}: `sudo usermod -aG {group} $USER`, then log in again \
                 (for a service: SupplementaryGroups={group})"
            ),
            BusFault::NoAnswer => {
                let scan = bus_number(bus).map(|number| {
                    format!(" (`i2cdetect -y {number}` lists the addresses that answer)")
                });
                format!(
                    "nothing answers at {place}: check the wiring (SDA, SCL, 3V3, \
                     GND), or the address{}",
                    scan.unwrap_or_default()
                )
            }
            BusFault::Stuck => format!(
                "{path} is stuck, because a line is always low or the bus is always busy: check \
                 SDA and SCL for a short circuit, then disconnect the power of the panel for a \
                 moment"
            ),
            BusFault::Claimed => format!(
                "a kernel driver uses {address:#04x} on {path}: remove the dtoverlay of that \
                 driver (such as ssd1306) from config.txt"
            ),
            BusFault::Gpio(line, errno) => gpio_advice(line, errno),
            BusFault::Errno(errno) => format!(
                "writing to {place} failed: {}",
                io::Error::from_raw_os_error(errno)
            ),
            BusFault::TooLong => "a message is longer than its buffer".to_owned(),
        }
    }
}

impl Error for BusFault {
    fn kind(&self) -> ErrorKind {
        match self {
            BusFault::NoAnswer => ErrorKind::NoAcknowledge(NoAcknowledgeSource::Unknown),
            BusFault::Stuck => ErrorKind::Bus,
            _ => ErrorKind::Other,
        }
    }
}

impl digital::Error for BusFault {
    fn kind(&self) -> digital::ErrorKind {
        digital::ErrorKind::Other
    }
}

fn gpio_advice(line: GpioLine, errno: i32) -> String {
    let chip = line.path();
    let chip = chip.display();
    match Errno::from_raw_os_error(errno) {
        Errno::NOENT | Errno::NXIO | Errno::NODEV => {
            format!(
                "there is no {chip}: set the GPIOs of the panel (dc, reset) to lines of a chip in \
                 `ls /dev/gpiochip*`"
            )
        }
        Errno::ACCESS | Errno::PERM => format!(
            "no permission to open {chip}: `sudo usermod -aG gpio $USER`, then log in again (for a \
             service: SupplementaryGroups=gpio)"
        ),
        Errno::BUSY => format!(
            "{line} is in use: stop the other program, or remove the dtoverlay of its driver \
             (`gpioinfo` names both)"
        ),
        Errno::INVAL => {
            format!(
                "{chip} has no line {}: `gpioinfo` lists its lines",
                line.line
            )
        }
        Errno::NOTTY => format!("{chip} is not a GPIO chip: `gpiodetect` lists the chips"),
        errno => format!("{line} cannot be used: {}", io::Error::from(errno)),
    }
}

/// Returns true if this is the path of an SPI bus, such as `/dev/spidev0.0`.
pub fn is_spi(bus: &Path) -> bool {
    let name = bus.file_name().and_then(|name| name.to_str());
    name.is_some_and(|name| name.starts_with("spidev"))
}

/// Returns the place of a panel in words: `0x3c on /dev/i2c-1`, or `/dev/spidev0.0`.
pub fn place(bus: &Path, address: u8) -> String {
    match is_spi(bus) {
        true => bus.display().to_string(),
        false => format!("{address:#04x} on {}", bus.display()),
    }
}

/// Returns the number in the name of a bus, such as 1 for `/dev/i2c-1`.
fn bus_number(bus: &Path) -> Option<u32> {
    let name = bus.file_name()?.to_str()?;
    name.strip_prefix("i2c-")?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn advice(errno: Errno) -> String {
        BusFault::from_io(&io::Error::from_raw_os_error(errno.raw_os_error())).advice_on(
            pi(),
            Path::new("/dev/i2c-1"),
            0x3c,
        )
    }

    fn pi() -> &'static Board {
        Board::for_model("Raspberry Pi 4 Model B Rev 1.5")
    }

    #[test]
    fn the_advice_for_a_missing_bus_is_that_of_the_board() {
        let advice = |model: &str, bus: &str| {
            BusFault::NoBus.advice_on(Board::for_model(model), Path::new(bus), 0x3c)
        };
        let pc = advice("no device tree", "/dev/i2c-usb");
        assert!(
            pc.contains("there is no /dev/i2c-usb: Connect a bridge"),
            "{pc}"
        );
        let other = advice("OrangePi Zero3", "/dev/spidev1.1");
        assert!(other.contains("Add to /boot/armbianEnv.txt"), "{other}");
        for advice in [pc, other] {
            assert!(!advice.contains("raspi-config"), "{advice}");
        }
    }

    #[test]
    fn every_common_bus_error_has_a_remedy() {
        for (errno, expected) in [
            (Errno::NOENT, "raspi-config nonint do_i2c 0"),
            (Errno::ACCESS, "usermod -aG i2c"),
            (Errno::REMOTEIO, "nothing answers at 0x3c on /dev/i2c-1"),
            (Errno::NXIO, "i2cdetect -y 1"),
            (Errno::TIMEDOUT, "stuck"),
            (Errno::BUSY, "dtoverlay"),
            (Errno::NOTTY, "not an I2C bus"),
            (Errno::IO, "0x3c on /dev/i2c-1 failed"),
        ] {
            let advice = advice(errno);
            assert!(advice.contains(expected), "{errno:?}: {advice}");
        }
    }

    #[test]
    fn the_advice_for_an_spi_bus_names_spi() {
        for (errno, expected) in [
            (
                Errno::NOENT,
                "there is no /dev/spidev0.0: Add to /boot/firmware/config.txt, and reboot: \
                 dtparam=spi=on or, on Raspberry Pi OS: sudo raspi-config nonint do_spi 0",
            ),
            (Errno::ACCESS, "usermod -aG spi"),
            (Errno::NOTTY, "/dev/spidev0.0 is not an SPI bus: "),
            (Errno::IO, "writing to /dev/spidev0.0 failed: "),
        ] {
            let fault = BusFault::from_io(&io::Error::from_raw_os_error(errno.raw_os_error()));
            let advice = fault.advice_on(pi(), Path::new("/dev/spidev0.0"), 0x3c);
            assert!(advice.contains(expected), "{errno:?}: {advice}");
            assert!(
                !advice.contains("i2c") && !advice.contains("0x3c"),
                "{advice}"
            );
        }
    }

    #[test]
    fn every_common_error_of_a_line_has_a_remedy() {
        let line = GpioLine { chip: 4, line: 17 };
        for (errno, expected) in [
            (Errno::NOENT, "there is no /dev/gpiochip4: "),
            (Errno::ACCESS, "usermod -aG gpio"),
            (Errno::BUSY, "line 17 of /dev/gpiochip4 is in use: "),
            (Errno::INVAL, "/dev/gpiochip4 has no line 17: "),
            (Errno::NOTTY, "not a GPIO chip"),
            (Errno::IO, "line 17 of /dev/gpiochip4 cannot be used: "),
        ] {
            let fault = BusFault::Gpio(line, errno.raw_os_error());
            let advice = fault.advice(Path::new("/dev/i2c-1"), 0x3c);
            assert!(advice.contains(expected), "{errno:?}: {advice}");
        }
    }
}
