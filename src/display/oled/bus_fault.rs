//! The reasons why a panel does not respond, with advice for the owner of the panel. This module
//! owns the meaning of the kernel's error numbers for I2C (kernel documentation, i2c/fault-codes);
//! it never retries.

use std::io;
use std::path::Path;

use embedded_hal::i2c::{Error, ErrorKind, NoAcknowledgeSource};
use rustix::io::Errno;

/// A fault of the I2C bus.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum BusFault {
    /// The bus does not exist: I2C is switched off, or the adapter is unplugged.
    NoBus,
    /// The file exists but is not an I2C bus.
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
        let path = bus.display();
        match self {
            BusFault::NoBus => format!(
                "there is no {path}: enable I2C with `sudo raspi-config nonint do_i2c 0` (or \
                 dtparam=i2c_arm=on in /boot/firmware/config.txt and a reboot), or set the bus to \
                 one of `ls /dev/i2c-*`"
            ),
            BusFault::NotABus => {
                format!("{path} is not an I2C bus: set the bus to one of `ls /dev/i2c-*`")
            }
            BusFault::Denied => format!(
                "no permission to open {path}: `sudo usermod -aG i2c $USER`, then log in again \
                 (for a service: SupplementaryGroups=i2c)"
            ),
            BusFault::NoAnswer => {
                let scan = bus_number(bus).map(|number| {
                    format!(" (`i2cdetect -y {number}` lists the addresses that answer)")
                });
                format!(
                    "nothing answers at {address:#04x} on {path}: check the wiring (SDA, SCL, 3V3, \
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
            BusFault::Errno(errno) => format!(
                "writing to {address:#04x} on {path} failed: {}",
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

/// Returns the number in the name of a bus, such as 1 for `/dev/i2c-1`.
fn bus_number(bus: &Path) -> Option<u32> {
    let name = bus.file_name()?.to_str()?;
    name.strip_prefix("i2c-")?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn advice(errno: Errno) -> String {
        BusFault::from_io(&io::Error::from_raw_os_error(errno.raw_os_error()))
            .advice(Path::new("/dev/i2c-1"), 0x3c)
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
}
