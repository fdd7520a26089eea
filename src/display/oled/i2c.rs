//! An I2C bus of Linux. Owns the open device; never retries, and keeps the kernel's error number.
//!
//! `linux_embedded_hal::I2cdev` would do, were it not that it allocates for each message and that
//! its `ErrorKind` does not tell an unplugged panel (EREMOTEIO on a Pi) from a stuck bus
//! (ETIMEDOUT): both are `Other`.

use std::io;
use std::path::PathBuf;

use embedded_hal::i2c::{ErrorType, I2c, Operation};
use linux_embedded_hal::i2cdev::core::I2CDevice;
use linux_embedded_hal::i2cdev::linux::{LinuxI2CDevice, LinuxI2CError};

use super::bus_error::BusFault;
use crate::display::Bus;

/// Where a bus of Linux is.
#[derive(Clone, Debug)]
pub struct LinuxBus {
    /// Such as `/dev/i2c-1`.
    pub path: PathBuf,
    /// The panel's address, 7 bits.
    pub address: u8,
}

impl Bus for LinuxBus {
    type I2c = LinuxI2c;

    fn open(&mut self) -> Result<LinuxI2c, BusFault> {
        LinuxI2CDevice::new(&self.path, u16::from(self.address))
            .map(|device| LinuxI2c {
                device,
                address: self.address,
            })
            .map_err(fault)
    }
}

/// An open bus of Linux, for the one address it was opened for.
#[derive(Debug)]
pub struct LinuxI2c {
    device: LinuxI2CDevice,
    address: u8,
}

impl ErrorType for LinuxI2c {
    type Error = BusFault;
}

impl I2c for LinuxI2c {
    fn write(&mut self, address: u8, bytes: &[u8]) -> Result<(), BusFault> {
        debug_assert_eq!(address, self.address);
        self.device.write(bytes).map_err(fault)
    }

    /// One message for each operation; nothing here needs a repeated START.
    fn transaction(
        &mut self,
        address: u8,
        operations: &mut [Operation<'_>],
    ) -> Result<(), BusFault> {
        debug_assert_eq!(address, self.address);
        operations.iter_mut().try_for_each(|operation| {
            match operation {
                Operation::Write(bytes) => self.device.write(bytes),
                Operation::Read(bytes) => self.device.read(bytes),
            }
            .map_err(fault)
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
    fn a_missing_bus_and_a_file_that_is_none_are_told_apart() {
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
