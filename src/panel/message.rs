//! One update is one I2C message. Owns the control bytes and the buffer they are gathered in;
//! never decides what to send, and never touches the bus but in [`OneMessage::flush`].

use display_interface::{DataFormat, DisplayError, WriteOnlyDataCommand};
use embedded_hal::i2c::I2c;

use super::fault::Fault;

/// Room for a full redraw: 60 bytes of settings as pairs, 1 KiB of picture. A plan of windows is
/// never dearer than the window around them all.
const CAPACITY: usize = 1280;

/// A display interface that gathers commands and data, in any order, and sends them as one I2C
/// message.
///
/// A message is a row of sections of commands or data. Only the last one can run to the end of
/// the message behind a single control byte (Co=0: `00` commands, `40` data); in those before it
/// each byte has a control byte of its own (Co=1: `80`, `C0`); SSD1306 data sheet, 8.1.5.2.
#[derive(Debug)]
pub(super) struct OneMessage<I2C> {
    i2c: I2C,
    address: u8,
    bytes: heapless::Vec<u8, CAPACITY>,
    /// Where the last section's control byte is.
    last: Option<usize>,
}

const COMMANDS: u8 = 0x00;
const DATA: u8 = 0x40;
/// Co: another control byte follows the next byte.
const CONTINUATION: u8 = 0x80;

impl<I2C> OneMessage<I2C> {
    pub(super) const fn new(i2c: I2C, address: u8) -> Self {
        Self {
            i2c,
            address,
            bytes: heapless::Vec::new(),
            last: None,
        }
    }

    /// Appends to the last section if it is of that kind, or starts a new one.
    fn push(&mut self, kind: u8, bytes: &[u8]) -> Result<(), DisplayError> {
        if self.last.is_none_or(|last| self.bytes[last] != kind) {
            self.pair_up()?;
            self.last = Some(self.bytes.len());
            self.bytes.push(kind).map_err(|_| TOO_LONG)?;
        }
        self.bytes.extend_from_slice(bytes).map_err(|_| TOO_LONG)
    }

    /// Rewrites the last section with a control byte for each of its bytes, for another follows.
    fn pair_up(&mut self) -> Result<(), DisplayError> {
        let Some(start) = self.last.take() else {
            return Ok(());
        };
        let control = self.bytes[start] | CONTINUATION;
        let count = self.bytes.len() - start - 1;
        self.bytes
            .resize_default(start + 2 * count)
            .map_err(|_| TOO_LONG)?;
        let section = &mut self.bytes[start..];
        // From the end, so that no byte is overwritten before it has moved.
        for i in (0..count).rev() {
            let byte = section[1 + i];
            section[2 * i] = control;
            section[2 * i + 1] = byte;
        }
        Ok(())
    }
}

/// The only error of gathering.
const TOO_LONG: DisplayError = DisplayError::OutOfBoundsError;

impl<I2C: I2c<Error = Fault>> OneMessage<I2C> {
    /// Sends what was gathered as one message, or nothing if there is nothing. What was gathered
    /// is forgotten in any case.
    pub(super) fn flush(&mut self) -> Result<(), Fault> {
        let sent = match self.bytes.is_empty() {
            true => Ok(()),
            false => self.i2c.write(self.address, &self.bytes),
        };
        self.forget();
        sent
    }

    /// Forgets what was gathered.
    pub(super) fn forget(&mut self) {
        self.bytes.clear();
        self.last = None;
    }
}

impl<I2C> WriteOnlyDataCommand for OneMessage<I2C> {
    fn send_commands(&mut self, commands: DataFormat<'_>) -> Result<(), DisplayError> {
        match commands {
            DataFormat::U8(bytes) => self.push(COMMANDS, bytes),
            _ => Err(DisplayError::DataFormatNotImplemented),
        }
    }

    fn send_data(&mut self, data: DataFormat<'_>) -> Result<(), DisplayError> {
        match data {
            DataFormat::U8(bytes) => self.push(DATA, bytes),
            _ => Err(DisplayError::DataFormatNotImplemented),
        }
    }
}

/// Gathering fails only for want of room.
impl From<DisplayError> for Fault {
    fn from(_: DisplayError) -> Self {
        Fault::TooLong
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use display_interface::DataFormat::U8;

    #[test]
    fn all_sections_but_the_last_have_a_control_byte_for_each_byte() {
        let mut message = OneMessage::new((), 0x3c);
        message.send_commands(U8(&[0x21, 1])).unwrap();
        message.send_commands(U8(&[2])).unwrap();
        message.send_data(U8(&[7, 8])).unwrap();
        message.send_data(U8(&[9])).unwrap();
        assert_eq!(message.bytes, [0x80, 0x21, 0x80, 1, 0x80, 2, 0x40, 7, 8, 9]);
        message.send_commands(U8(&[0xAF])).unwrap();
        assert_eq!(
            message.bytes,
            [
                0x80, 0x21, 0x80, 1, 0x80, 2, 0xC0, 7, 0xC0, 8, 0xC0, 9, 0x00, 0xAF
            ]
        );
    }

    #[test]
    fn what_does_not_fit_is_refused() {
        let mut message = OneMessage::new((), 0x3c);
        assert!(message.send_data(U8(&[0; CAPACITY])).is_err());
    }
}
