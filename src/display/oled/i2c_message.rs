//! Builds one I2C message for each update of the panel. This module owns the control bytes and the
//! buffer of the message; it never decides what to send, and it accesses the bus only in
//! [`I2cMessage::flush`].

use display_interface::{DataFormat, DisplayError, WriteOnlyDataCommand};
use embedded_hal::i2c::I2c;

use super::bus_fault::BusFault;

/// The size of the buffer in bytes, enough for a full redraw. A redraw with windows is 60 bytes of
/// settings as pairs and 1 KiB of picture. A page-by-page redraw is 2,029 bytes, with all pages
/// except the last as pairs. No planned update is longer. Linux accepts up to 8,192 bytes in one
/// message.
const CAPACITY: usize = 2112;

/// A display interface that collects commands and data in any order, and sends them as one I2C
/// message.
///
/// Each byte of a message has a control byte before it (Co=1: `80` for a command, `C0` for data).
/// Only the data at the end of a message shares one control byte (Co=0: `40`); SSD1306 data sheet,
/// 8.1.5.2. Commands at the end could also share a control byte, but no message here ends with more
/// than one command.
#[derive(Debug)]
pub(crate) struct I2cMessage<I2C> {
    i2c: I2C,
    address: u8,
    bytes: heapless::Vec<u8, CAPACITY>,
    /// The index of the control byte of the last data bytes; `None` if the message ends with a
    /// command.
    data: Option<usize>,
}

const COMMAND: u8 = 0x80;
const DATA: u8 = 0xC0;
/// The control byte for data up to the end of the message, without further control bytes.
const DATA_TO_THE_END: u8 = 0x40;

impl<I2C> I2cMessage<I2C> {
    pub(crate) const fn new(i2c: I2C, address: u8) -> Self {
        Self {
            i2c,
            address,
            bytes: heapless::Vec::new(),
            data: None,
        }
    }

    /// Returns the number of collected bytes.
    pub(crate) fn len(&self) -> usize {
        self.bytes.len()
    }

    /// Inserts a control byte before each data byte at the end, because more bytes follow.
    fn add_control_bytes(&mut self) -> Result<(), DisplayError> {
        let Some(start) = self.data.take() else {
            return Ok(());
        };
        let count = self.bytes.len() - start - 1;
        self.bytes
            .resize_default(start + 2 * count)
            .map_err(|_| TOO_LONG)?;
        let section = &mut self.bytes[start..];
        // The loop moves the last byte first, so that no byte is overwritten before it has moved.
        for i in (0..count).rev() {
            let byte = section[1 + i];
            section[2 * i] = DATA;
            section[2 * i + 1] = byte;
        }
        Ok(())
    }
}

/// The only error of collecting: the buffer is full.
const TOO_LONG: DisplayError = DisplayError::OutOfBoundsError;

impl<I2C: I2c<Error = BusFault>> I2cMessage<I2C> {
    /// Sends the collected bytes as one message; an empty message is not sent. The buffer is empty
    /// afterwards, even after an error.
    pub(crate) fn flush(&mut self) -> Result<(), BusFault> {
        let sent = match self.bytes.as_slice() {
            [] => Ok(()),
            bytes => self.i2c.write(self.address, bytes),
        };
        self.forget();
        sent
    }

    /// Discards the collected bytes.
    pub(crate) fn forget(&mut self) {
        self.bytes.clear();
        self.data = None;
    }
}

impl<I2C> WriteOnlyDataCommand for I2cMessage<I2C> {
    fn send_commands(&mut self, commands: DataFormat<'_>) -> Result<(), DisplayError> {
        let DataFormat::U8(commands) = commands else {
            return Err(DisplayError::DataFormatNotImplemented);
        };
        self.add_control_bytes()?;
        let start = self.bytes.len();
        let end = start + 2 * commands.len();
        self.bytes.resize(end, COMMAND).map_err(|_| TOO_LONG)?;
        let (pairs, _) = self.bytes[start..].as_chunks_mut();
        for ([_, byte], command) in pairs.iter_mut().zip(commands) {
            *byte = *command;
        }
        Ok(())
    }

    fn send_data(&mut self, data: DataFormat<'_>) -> Result<(), DisplayError> {
        let DataFormat::U8(data) = data else {
            return Err(DisplayError::DataFormatNotImplemented);
        };
        if self.data.is_none() {
            self.data = Some(self.bytes.len());
            self.bytes.push(DATA_TO_THE_END).map_err(|_| TOO_LONG)?;
        }
        self.bytes.extend_from_slice(data).map_err(|_| TOO_LONG)
    }
}

/// Collecting bytes fails only if the buffer is full.
impl From<DisplayError> for BusFault {
    fn from(_: DisplayError) -> Self {
        BusFault::TooLong
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use display_interface::DataFormat::U8;

    #[test]
    fn every_byte_before_the_final_data_has_its_own_control_byte() {
        let mut message = I2cMessage::new((), 0x3c);
        message.send_commands(U8(&[0x21, 1])).unwrap();
        message.send_commands(U8(&[2])).unwrap();
        message.send_data(U8(&[7, 8])).unwrap();
        message.send_data(U8(&[9])).unwrap();
        assert_eq!(message.bytes, [0x80, 0x21, 0x80, 1, 0x80, 2, 0x40, 7, 8, 9]);
        message.send_commands(U8(&[0xAF])).unwrap();
        assert_eq!(
            message.bytes,
            [
                0x80, 0x21, 0x80, 1, 0x80, 2, 0xC0, 7, 0xC0, 8, 0xC0, 9, 0x80, 0xAF
            ]
        );
    }

    #[test]
    fn data_beyond_the_message_capacity_is_refused() {
        let mut message = I2cMessage::new((), 0x3c);
        assert!(message.send_data(U8(&[0; CAPACITY])).is_err());
    }
}
