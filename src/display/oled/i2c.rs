//! An I2C bus of Linux. This module owns the open device; it never retries, and it keeps the
//! kernel's error number.
//!
//! `linux_embedded_hal::I2cdev` is not used, because it allocates for each message. Its `ErrorKind`
//! is also too coarse: an unplugged panel (EREMOTEIO on a Raspberry Pi) and a stuck bus (ETIMEDOUT)
//! are both `Other`.

use std::io;
use std::path::PathBuf;

use embedded_hal::i2c::{ErrorType, I2c, Operation};
use linux_embedded_hal::i2cdev::core::I2CDevice;
use linux_embedded_hal::i2cdev::linux::{LinuxI2CDevice, LinuxI2CError};

use super::bus_fault::BusFault;
use crate::display::Bus;

/// The path of an I2C bus of Linux and the address of the panel.
#[derive(Clone, Debug)]
pub struct LinuxBus {
    /// The path of the bus, such as `/dev/i2c-1`.
    pub path: PathBuf,
    /// The panel's address in 7 bits.
    pub address: u8,
}

impl Bus for LinuxBus {
    type I2c = LinuxI2c;

    fn open(&mut self) -> Result<LinuxI2c, BusFault> {
        let address = self.address;
        let device = LinuxI2CDevice::new(&self.path, u16::from(address)).map_err(fault)?;
        Ok(LinuxI2c { device, address })
    }
}

/// An open I2C bus of Linux, for the one address that was given at opening.
#[derive(Debug)]
pub struct LinuxI2c {
    device: LinuxI2CDevice,
    address: u8,
}

impl ErrorType for LinuxI2c {
    type Error = BusFault;
}

impl I2c for LinuxI2c {
    /// Sends each operation as a separate message, because this program does not need a repeated
    /// START.
    fn transaction(
        &mut self,
        address: u8,
        operations: &mut [Operation<'_>],
    ) -> Result<(), BusFault> {
        debug_assert_eq!(address, self.address);
        operations.iter_mut().try_for_each(|operation| {
            let done = match operation {
                Operation::Write(bytes) => self.device.write(bytes),
                Operation::Read(bytes) => self.device.read(bytes),
            };
            done.map_err(fault)
        })
    }
}

fn fault(error: LinuxI2CError) -> BusFault {
    BusFault::from_io(&io::Error::from(error))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_missing_bus_and_a_file_that_is_no_bus_are_different_errors() {
        let open = |path: &str| {
            LinuxBus {
                path: path.into(),
                address: 0x3c,
            }
            .open()
            .map(drop)
        };
        assert_eq!(open("/dev/i2c-no-such"), Err(BusFault::NoBus));
        assert_eq!(open("/dev/null"), Err(BusFault::NotABus));
    }
}
