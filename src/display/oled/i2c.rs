//! An I2C bus of Linux. This module owns the open device; it never retries, and it keeps the
//! kernel's error number.
//!
//! `linux_embedded_hal::I2cdev` is not used, because it allocates for each message. Its `ErrorKind`
//! is also too coarse: an unplugged panel (EREMOTEIO on a Raspberry Pi) and a stuck bus (ETIMEDOUT)
//! are both `Other`.

use std::io;
use std::path::Path;

use embedded_hal::i2c::{ErrorType, I2c, Operation};
use linux_embedded_hal::i2cdev::core::I2CDevice;
use linux_embedded_hal::i2cdev::linux::{LinuxI2CDevice, LinuxI2CError};

use super::bus_fault::BusFault;

/// An open I2C bus of Linux, for the one address that was given at opening.
#[derive(Debug)]
pub(super) struct LinuxI2c {
    device: LinuxI2CDevice,
    address: u8,
}

impl LinuxI2c {
    /// Opens the bus at this path, such as `/dev/i2c-1`, for an address in 7 bits.
    pub(super) fn open(path: &Path, address: u8) -> Result<Self, BusFault> {
        let device = LinuxI2CDevice::new(path, u16::from(address)).map_err(fault)?;
        Ok(Self { device, address })
    }
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
