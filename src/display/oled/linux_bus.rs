//! The bus of a panel on Linux: I2C, or SPI with a line for DC, and the reset line. This module owns
//! the order in which they are opened; it never retries.

use std::path::PathBuf;

use embedded_hal::i2c::{ErrorType, I2c, Operation};

use super::bus_fault::BusFault;
use super::controller::PanelSettings;
use super::gpio::{self, OutputLine};
use super::gpio_line::GpioLine;
use super::i2c::LinuxI2c;
use super::spi::{self, LinuxSpi};
use crate::display::Bus;

/// The bus of a panel.
#[derive(Clone, Debug)]
pub struct LinuxBus {
    /// The path of the bus, such as `/dev/i2c-1` or `/dev/spidev0.0`.
    pub path: PathBuf,
    /// The panel's I2C address in 7 bits; SPI has no addresses.
    pub address: u8,
    /// The GPIO line at the DC pin of a panel on SPI; `None` for I2C.
    pub dc: Option<GpioLine>,
    /// The GPIO line at the RES pin of the panel, if the pin is connected to one.
    pub reset: Option<GpioLine>,
}

impl LinuxBus {
    /// The bus of the panel with these settings.
    pub fn of(settings: &PanelSettings) -> Self {
        Self {
            path: settings.bus.clone(),
            address: settings.address,
            dc: settings.dc,
            reset: settings.reset,
        }
    }
}

impl Bus for LinuxBus {
    type I2c = LinuxPanel;

    /// Resets the panel and opens the bus. The reset comes first: a panel whose bus does not work is
    /// then dark and shows no old price.
    fn open(&mut self) -> Result<LinuxPanel, BusFault> {
        let reset = self.reset.map(gpio::reset).transpose()?;
        let link = match self.dc {
            Some(dc) => Link::Spi(LinuxSpi::open(&self.path, dc)?),
            None => Link::I2c(LinuxI2c::open(&self.path, self.address)?),
        };
        Ok(LinuxPanel {
            link,
            _reset: reset,
        })
    }
}

/// An open bus with its panel.
#[derive(Debug)]
pub struct LinuxPanel {
    link: Link,
    /// Keeps the reset line high while the bus is open.
    _reset: Option<OutputLine>,
}

#[derive(Debug)]
enum Link {
    I2c(LinuxI2c),
    Spi(LinuxSpi),
}

impl ErrorType for LinuxPanel {
    type Error = BusFault;
}

impl I2c for LinuxPanel {
    fn transaction(
        &mut self,
        address: u8,
        operations: &mut [Operation<'_>],
    ) -> Result<(), BusFault> {
        let spi = match &mut self.link {
            Link::I2c(i2c) => return i2c.transaction(address, operations),
            Link::Spi(spi) => spi,
        };
        operations
            .iter_mut()
            .try_for_each(|operation| match operation {
                Operation::Write(message) => spi::send(message, spi),
                // A panel on SPI has no output, and nobody reads from it.
                Operation::Read(_) => Ok(()),
            })
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    #[test]
    fn a_missing_bus_and_a_file_that_is_no_bus_are_different_errors() {
        let open = |path: &str| {
            let path = Path::new(path).to_owned();
            let bus = LinuxBus {
                path,
                address: 0x3c,
                dc: None,
                reset: None,
            };
            bus.clone().open().map(drop)
        };
        assert_eq!(open("/dev/i2c-no-such"), Err(BusFault::NoBus));
        assert_eq!(open("/dev/null"), Err(BusFault::NotABus));
    }
}
