//! Builds one I2C message after the other. This module owns the control bytes and the buffer of the
//! message; it never decides what to send, and it accesses the bus only in [`I2cMessage::flush`].

use display_interface::{DataFormat, DisplayError, WriteOnlyDataCommand};
use embedded_hal::i2c::I2c;

use super::bus_fault::BusFault;

/// The size of the buffer in bytes. The longest message is a whole picture with the commands of its
/// window: 1,037 bytes. Linux accepts up to 8,192 bytes in one message.
const CAPACITY: usize = 1088;

/// A display interface that collects commands, or commands and then data, and sends them as one I2C
/// message.
///
/// Commands before data each have their own control byte (Co=1: `80`), and the data up to the end of
/// the message share one (Co=0: `40`). A message of commands alone needs only one control byte
/// (Co=0: `00`); SSD1306 data sheet, 8.1.5.2. A control byte for each data byte (`C0`) is never sent,
/// because no public driver of an SSD1306, SSD1309 or SSD1315 is known that sends it. So nothing can
/// follow data in the same message.
#[derive(Debug)]
pub(crate) struct I2cMessage<I2C> {
    i2c: I2C,
    address: u8,
    bytes: heapless::Vec<u8, CAPACITY>,
    /// True if the message contains data.
    has_data: bool,
}

/// The control byte for one command, with another control byte after it.
const COMMAND: u8 = 0x80;
/// The control byte for commands up to the end of the message.
const COMMANDS_TO_THE_END: u8 = 0x00;
/// The control byte for data up to the end of the message.
const DATA_TO_THE_END: u8 = 0x40;

impl<I2C> I2cMessage<I2C> {
    pub(crate) const fn new(i2c: I2C, address: u8) -> Self {
        Self {
            i2c,
            address,
            bytes: heapless::Vec::new(),
            has_data: false,
        }
    }

    /// Replaces the control bytes of a message without data by one control byte.
    fn share_control_byte(&mut self) {
        if self.has_data || self.bytes.is_empty() {
            return;
        }
        let commands = self.bytes.len() / 2;
        self.bytes[0] = COMMANDS_TO_THE_END;
        for i in 0..commands {
            self.bytes[1 + i] = self.bytes[1 + 2 * i];
        }
        self.bytes.truncate(1 + commands);
    }
}

/// The only error of collecting: the buffer is full, or a command comes after data.
const TOO_LONG: DisplayError = DisplayError::OutOfBoundsError;

impl<I2C: I2c<Error = BusFault>> I2cMessage<I2C> {
    /// Sends the collected bytes as one message; an empty message is not sent. The buffer is empty
    /// afterwards, even after an error.
    pub(crate) fn flush(&mut self) -> Result<(), BusFault> {
        self.share_control_byte();
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
        self.has_data = false;
    }
}

impl<I2C> WriteOnlyDataCommand for I2cMessage<I2C> {
    fn send_commands(&mut self, commands: DataFormat<'_>) -> Result<(), DisplayError> {
        let DataFormat::U8(commands) = commands else {
            return Err(DisplayError::DataFormatNotImplemented);
        };
        if self.has_data {
            return Err(TOO_LONG);
        }
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
        if !self.has_data {
            self.has_data = true;
            self.bytes.push(DATA_TO_THE_END).map_err(|_| TOO_LONG)?;
        }
        self.bytes.extend_from_slice(data).map_err(|_| TOO_LONG)
    }
}

/// Collecting bytes fails only if the message does not fit.
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
    fn each_command_before_the_data_has_its_own_control_byte() {
        let mut message = I2cMessage::new((), 0x3c);
        message.send_commands(U8(&[0x21, 1])).unwrap();
        message.send_commands(U8(&[2])).unwrap();
        message.send_data(U8(&[7, 8])).unwrap();
        message.send_data(U8(&[9])).unwrap();
        message.share_control_byte();
        assert_eq!(message.bytes, [0x80, 0x21, 0x80, 1, 0x80, 2, 0x40, 7, 8, 9]);
    }

    #[test]
    fn commands_without_data_share_one_control_byte() {
        let mut message = I2cMessage::new((), 0x3c);
        message.share_control_byte();
        assert!(message.bytes.is_empty());
        message.send_commands(U8(&[0x21, 1])).unwrap();
        message.send_commands(U8(&[2])).unwrap();
        message.share_control_byte();
        assert_eq!(message.bytes, [0x00, 0x21, 1, 2]);
    }

    #[test]
    fn a_command_after_data_is_refused() {
        let mut message = I2cMessage::new((), 0x3c);
        message.send_data(U8(&[7])).unwrap();
        assert!(message.send_commands(U8(&[0xAF])).is_err());
        assert_eq!(message.bytes, [0x40, 7]);
    }

    #[test]
    fn data_beyond_the_message_capacity_is_refused() {
        let mut message = I2cMessage::new((), 0x3c);
        assert!(message.send_data(U8(&[0; CAPACITY])).is_err());
    }
}
