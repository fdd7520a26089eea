//! The server side of the WebSocket protocol (RFC 6455) after the upgrade: converts bytes to
//! messages and messages to bytes. Owns only the bytes of an unfinished message, so an idle client
//! needs no buffer. Never reads a socket.

use std::io::Cursor;

use tokio_tungstenite::tungstenite::protocol::frame::FrameHeader;
use tokio_tungstenite::tungstenite::protocol::frame::coding::{Control, Data, OpCode};

/// The opcode of a text frame.
pub const TEXT: OpCode = OpCode::Data(Data::Text);
/// The opcode of a ping.
pub const PING: OpCode = OpCode::Control(Control::Ping);
/// The opcode of a pong.
pub const PONG: OpCode = OpCode::Control(Control::Pong);
/// The opcode of a close frame.
const CLOSE: OpCode = OpCode::Control(Control::Close);

/// A complete message from a client.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Message {
    /// A text message.
    Text(String),
    /// A binary message.
    Binary(Vec<u8>),
    /// A ping. The pong must contain the same bytes (RFC 6455, 5.5.3).
    Ping(Vec<u8>),
    /// A pong. The decoder discards the payload.
    Pong,
    /// A close frame, with the close code if the frame contains one.
    Close(Option<u16>),
}

/// An error in the frames of a client. The connection must be closed after the error.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FrameError {
    /// The client sent a frame that RFC 6455 does not allow.
    Protocol,
    /// The client sent a text or a close reason that is not valid UTF-8.
    Utf8,
    /// The client sent a message that is larger than the limit of the decoder.
    TooLarge,
}

impl FrameError {
    /// Returns the close code for the error (RFC 6455, 7.4.1).
    pub const fn code(self) -> u16 {
        match self {
            FrameError::Protocol => 1002,
            FrameError::Utf8 => 1007,
            FrameError::TooLarge => 1009,
        }
    }
}

/// The number of frames, complete messages and control frames that a decoder has received. A
/// message is a text or a binary message; a control frame is a ping, a pong or a close frame.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct FrameCounts {
    /// The number of frames of any kind.
    pub frames: u64,
    /// The number of complete messages.
    pub messages: u64,
    /// The number of control frames.
    pub controls: u64,
}

/// A frame whose payload is incomplete.
#[derive(Debug)]
struct PartialFrame {
    opcode: OpCode,
    last: bool,
    mask: [u8; 4],
    /// The number of missing payload bytes.
    left: usize,
}

/// Decodes the frames of a client from pieces of any size. The default decoder accepts no data.
#[derive(Debug, Default)]
pub struct Decoder {
    limit: usize,
    /// The bytes of the current head. The first `head_length` bytes are valid.
    head: [u8; 14],
    head_length: usize,
    frame: Option<PartialFrame>,
    /// The type of the current message (`Text` or `Binary`), or `None` between two messages.
    kind: Option<Data>,
    message: Vec<u8>,
    /// The number of bytes at the start of `message` that are valid UTF-8.
    valid: usize,
    control: Vec<u8>,
    /// The frames since the last call of `take_counts`.
    counts: FrameCounts,
    /// True after a close frame or an error.
    ended: bool,
}

impl Decoder {
    /// Creates a decoder for messages of at most `limit` bytes.
    pub fn new(limit: usize) -> Self {
        Self {
            limit,
            ..Self::default()
        }
    }

    /// Takes bytes from the start of `input` until a message is complete. Returns `None` if the
    /// message needs more bytes. Discards all bytes after a close frame or an error.
    ///
    /// # Errors
    /// Returns an error if the client violates the protocol or exceeds the limit. The caller must
    /// then close the connection.
    pub fn decode(&mut self, input: &mut &[u8]) -> Result<Option<Message>, FrameError> {
        if self.ended {
            *input = &[];
            return Ok(None);
        }
        let decoded = self.next(input);
        self.ended = matches!(decoded, Ok(Some(Message::Close(_))) | Err(_));
        decoded
    }

    /// Returns the number of frames since the last call.
    pub fn take_counts(&mut self) -> FrameCounts {
        std::mem::take(&mut self.counts)
    }

    fn next(&mut self, input: &mut &[u8]) -> Result<Option<Message>, FrameError> {
        loop {
            if let Some(frame) = &self.frame {
                if frame.left > 0 && input.is_empty() {
                    return Ok(None);
                }
                if let Some(message) = self.payload(input)? {
                    return Ok(Some(message));
                }
            } else {
                let Some((&byte, rest)) = input.split_first() else {
                    return Ok(None);
                };
                *input = rest;
                self.head[self.head_length] = byte;
                self.head_length += 1;
                self.frame = self.head()?;
            }
        }
    }

    /// Checks the head as soon as the first two bytes are available, so that the decoder refuses a
    /// bad frame before the rest of the frame arrives. Returns `None` if the head is incomplete.
    fn head(&mut self) -> Result<Option<PartialFrame>, FrameError> {
        if self.head_length < 2 {
            return Ok(None);
        }
        // `head` always has the maximum size of a head. The values of missing bytes are not used.
        let mut cursor = Cursor::new(&self.head);
        let Ok(Some((header, length))) = FrameHeader::parse(&mut cursor) else {
            return Err(FrameError::Protocol);
        };
        let broken = match header.opcode {
            OpCode::Data(Data::Continue) => self.kind.is_none(),
            OpCode::Data(_) => self.kind.is_some(),
            OpCode::Control(_) => !header.is_final || self.head[1] & 0x7f > 125,
        };
        let Some(mask) = header.mask else {
            return Err(FrameError::Protocol);
        };
        if broken || header.rsv1 || header.rsv2 || header.rsv3 {
            return Err(FrameError::Protocol);
        }
        if (self.head_length as u64) < cursor.position() {
            return Ok(None);
        }
        // RFC 6455, 5.2: "the minimal number of bytes MUST be used", and the highest bit of a
        // 64-bit length must be 0.
        if header.len(length) != self.head_length || length >> 63 != 0 {
            return Err(FrameError::Protocol);
        }
        let left = usize::try_from(length).map_err(|_| FrameError::TooLarge)?;
        let room = self.limit.saturating_sub(self.message.len());
        if matches!(header.opcode, OpCode::Data(_)) && left > room {
            return Err(FrameError::TooLarge);
        }
        self.head_length = 0;
        self.counts.frames += 1;
        self.counts.controls += u64::from(matches!(header.opcode, OpCode::Control(_)));
        Ok(Some(PartialFrame {
            opcode: header.opcode,
            last: header.is_final,
            mask,
            left,
        }))
    }

    fn payload(&mut self, input: &mut &[u8]) -> Result<Option<Message>, FrameError> {
        let Some(frame) = &mut self.frame else {
            return Ok(None);
        };
        let (taken, rest) = input.split_at(input.len().min(frame.left));
        *input = rest;
        let into = match frame.opcode {
            OpCode::Data(kind) => {
                if kind != Data::Continue {
                    self.kind = Some(kind);
                }
                &mut self.message
            }
            OpCode::Control(_) => &mut self.control,
        };
        into.extend(
            taken
                .iter()
                .zip(frame.mask.iter().cycle())
                .map(|(b, m)| b ^ m),
        );
        // The next piece continues at the mask byte after the last byte of this piece.
        frame.mask.rotate_left(taken.len() % 4);
        frame.left -= taken.len();
        let (opcode, last, whole) = (frame.opcode, frame.last, frame.left == 0);
        if matches!(opcode, OpCode::Data(_)) && self.kind == Some(Data::Text) {
            self.check_text(whole && last)?;
        }
        if !whole {
            return Ok(None);
        }
        self.frame = None;
        let OpCode::Control(control) = opcode else {
            return if last {
                self.message().map(Some)
            } else {
                Ok(None)
            };
        };
        let payload = std::mem::take(&mut self.control);
        match control {
            Control::Close => farewell(&payload).map(Some),
            Control::Ping => Ok(Some(Message::Ping(payload))),
            Control::Pong | Control::Reserved(_) => Ok(Some(Message::Pong)),
        }
    }

    /// Checks that the new bytes of a text message are UTF-8. Two frames may share a code point,
    /// but the message must end with a complete code point.
    fn check_text(&mut self, ended: bool) -> Result<(), FrameError> {
        match std::str::from_utf8(&self.message[self.valid..]) {
            Ok(_) => self.valid = self.message.len(),
            Err(error) if error.error_len().is_some() || ended => return Err(FrameError::Utf8),
            Err(error) => self.valid += error.valid_up_to(),
        }
        Ok(())
    }

    fn message(&mut self) -> Result<Message, FrameError> {
        self.counts.messages += 1;
        let bytes = std::mem::take(&mut self.message);
        self.valid = 0;
        match self.kind.take() {
            Some(Data::Text) => String::from_utf8(bytes)
                .map(Message::Text)
                .map_err(|_| FrameError::Utf8),
            _ => Ok(Message::Binary(bytes)),
        }
    }
}

fn farewell(payload: &[u8]) -> Result<Message, FrameError> {
    let (code, reason) = match payload {
        [] => return Ok(Message::Close(None)),
        [_] => return Err(FrameError::Protocol),
        [high, low, reason @ ..] => (u16::from_be_bytes([*high, *low]), reason),
    };
    // The codes 1004–1006 and 1015 are reserved and must not be sent (RFC 6455, 7.4.1). The codes
    // 1012–1014 were registered after the RFC.
    if !matches!(code, 1000..=1003 | 1007..=1014 | 3000..=4999) {
        return Err(FrameError::Protocol);
    }
    std::str::from_utf8(reason).map_err(|_| FrameError::Utf8)?;
    Ok(Message::Close(Some(code)))
}

/// Writes the head of an unmasked frame. The caller must then write a payload of `length` bytes.
pub fn head(opcode: OpCode, length: usize, into: &mut Vec<u8>) {
    let header = FrameHeader {
        opcode,
        ..FrameHeader::default()
    };
    // A write to a vector cannot fail.
    header.format(length as u64, into).ok();
}

/// Returns a complete frame. A control frame has at most 125 payload bytes (RFC 6455, 5.5).
pub fn frame(opcode: OpCode, payload: &[u8]) -> Vec<u8> {
    let mut frame = Vec::with_capacity(10 + payload.len());
    head(opcode, payload.len(), &mut frame);
    frame.extend(payload);
    frame
}

/// Returns a close frame. Without a code the frame has no payload.
pub fn close(code: Option<u16>) -> Vec<u8> {
    let code = code.map(u16::to_be_bytes);
    frame(CLOSE, code.as_ref().map_or(&[], <[u8; 2]>::as_slice))
}
