//! One update is one I2C message. Owns the control bytes and the buffer they are gathered in;
//! never decides what to send, and never touches the bus but in [`I2cMessage::flush`].

use display_interface::{DataFormat, DisplayError, WriteOnlyDataCommand};
use embedded_hal::i2c::I2c;

use super::bus_error::BusFault;

/// Room for a full redraw: 60 bytes of settings as pairs and 1 KiB of picture, or, of a chip that
/// is told page by page, 2,029 bytes with all but the last page as pairs. No plan is dearer.
/// Linux takes 8,192 bytes at once.
const CAPACITY: usize = 2112;

/// A display interface that gathers commands and data, in any order, and sends them as one I2C
/// message.
///
/// Each byte of a message has a control byte before it (Co=1: `80` command, `C0` data), but for
/// data at its end, which need only one (Co=0: `40`); SSD1306 data sheet, 8.1.5.2. Commands at
/// its end could do the same; nothing here sends more than one of those.
#[derive(Debug)]
pub(crate) struct I2cMessage<I2C> {
    i2c: I2C,
    address: u8,
    bytes: heapless::Vec<u8, CAPACITY>,
    /// Where the control byte is of the data at the end, if there are any.
    data: Option<usize>,
}

const COMMAND: u8 = 0x80;
const DATA: u8 = 0xC0;
/// No other control byte follows.
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

    fn commands(&mut self, commands: &[u8]) -> Result<(), DisplayError> {
        self.add_control_bytes()?;
        let start = self.bytes.len();
        self.bytes
            .resize(start + 2 * commands.len(), COMMAND)
            .map_err(|_| TOO_LONG)?;
        let (pairs, _) = self.bytes[start..].as_chunks_mut();
        for ([_, byte], command) in pairs.iter_mut().zip(commands) {
            *byte = *command;
        }
        Ok(())
    }

    fn data(&mut self, data: &[u8]) -> Result<(), DisplayError> {
        if self.data.is_none() {
            self.data = Some(self.bytes.len());
            self.bytes.push(DATA_TO_THE_END).map_err(|_| TOO_LONG)?;
        }
        self.bytes.extend_from_slice(data).map_err(|_| TOO_LONG)
    }

    /// How many bytes have been gathered.
    pub(crate) fn len(&self) -> usize {
        self.bytes.len()
    }

    /// Gives the data at the end a control byte each, for something follows.
    fn add_control_bytes(&mut self) -> Result<(), DisplayError> {
        let Some(start) = self.data.take() else {
            return Ok(());
        };
        let count = self.bytes.len() - start - 1;
        self.bytes
            .resize_default(start + 2 * count)
            .map_err(|_| TOO_LONG)?;
        let section = &mut self.bytes[start..];
        // From the end, so that no byte is overwritten before it has moved.
        for i in (0..count).rev() {
            let byte = section[1 + i];
            section[2 * i] = DATA;
            section[2 * i + 1] = byte;
        }
        Ok(())
    }
}

/// The only error of gathering.
const TOO_LONG: DisplayError = DisplayError::OutOfBoundsError;

impl<I2C: I2c<Error = BusFault>> I2cMessage<I2C> {
    /// Sends what was gathered as one message, or nothing if there is nothing. What was gathered
    /// is forgotten in any case.
    pub(crate) fn flush(&mut self) -> Result<(), BusFault> {
        let sent = match self.bytes.is_empty() {
            true => Ok(()),
            false => self.i2c.write(self.address, &self.bytes),
        };
        self.forget();
        sent
    }

    /// Forgets what was gathered.
    pub(crate) fn forget(&mut self) {
        self.bytes.clear();
        self.data = None;
    }
}

impl<I2C> WriteOnlyDataCommand for I2cMessage<I2C> {
    fn send_commands(&mut self, commands: DataFormat<'_>) -> Result<(), DisplayError> {
        match commands {
            DataFormat::U8(bytes) => self.commands(bytes),
            _ => Err(DisplayError::DataFormatNotImplemented),
        }
    }

    fn send_data(&mut self, data: DataFormat<'_>) -> Result<(), DisplayError> {
        match data {
            DataFormat::U8(bytes) => self.data(bytes),
            _ => Err(DisplayError::DataFormatNotImplemented),
        }
    }
}

/// Gathering fails only for want of room.
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
    fn all_but_the_data_at_the_end_have_a_control_byte_for_each_byte() {
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
    fn what_does_not_fit_is_refused() {
        let mut message = I2cMessage::new((), 0x3c);
        assert!(message.send_data(U8(&[0; CAPACITY])).is_err());
    }
}
