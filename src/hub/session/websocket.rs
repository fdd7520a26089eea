//! The server side of the WebSocket protocol (RFC 6455) after the upgrade: converts bytes to
//! messages and messages to bytes. Owns only the bytes of an unfinished message, so an idle client
//! needs no buffer. Never reads a socket, except in [`echo`] for tests.

use std::time::Duration;

use hyper::body::Bytes;

use super::transport::Transport;

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

/// The frame types. The opcode is in the lower four bits of the first byte (RFC 6455, 5.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Opcode {
    Continuation = 0,
    Text = 1,
    Binary = 2,
    Close = 8,
    Ping = 9,
    Pong = 10,
}

impl Opcode {
    const fn read(byte: u8) -> Option<Self> {
        match byte & 0x0f {
            0 => Some(Opcode::Continuation),
            1 => Some(Opcode::Text),
            2 => Some(Opcode::Binary),
            8 => Some(Opcode::Close),
            9 => Some(Opcode::Ping),
            10 => Some(Opcode::Pong),
            _ => None,
        }
    }

    const fn is_control(self) -> bool {
        matches!(self, Opcode::Close | Opcode::Ping | Opcode::Pong)
    }
}

/// The position of the next byte within a frame.
#[derive(Clone, Copy, Debug)]
enum ParseState {
    /// The next byte belongs to the head. The value is the number of head bytes so far.
    Head(u8),
    /// The next byte belongs to the payload. `left` is the number of missing payload bytes.
    Payload {
        opcode: Opcode,
        last: bool,
        mask: [u8; 4],
        left: usize,
    },
}

/// Decodes the frames of a client from pieces of any size.
#[derive(Debug)]
pub struct Decoder {
    limit: usize,
    place: ParseState,
    head: [u8; 14],
    /// The type of the current message (`Text` or `Binary`), or `None` between two messages.
    kind: Option<Opcode>,
    message: Vec<u8>,
    /// The number of bytes at the start of `message` that are valid UTF-8.
    valid: usize,
    control: Vec<u8>,
}

impl Decoder {
    /// Creates a decoder for messages of at most `limit` bytes.
    pub const fn new(limit: usize) -> Self {
        Self {
            limit,
            place: ParseState::Head(0),
            head: [0; 14],
            kind: None,
            message: Vec::new(),
            valid: 0,
            control: Vec::new(),
        }
    }

    /// Takes bytes from the start of `input` until a message is complete. Returns `None` if the
    /// message needs more bytes.
    ///
    /// # Errors
    /// Returns an error if the client violates the protocol or exceeds the limit. The caller must
    /// then discard all further bytes and close the connection.
    pub fn decode(&mut self, input: &mut &[u8]) -> Result<Option<Message>, FrameError> {
        loop {
            if let ParseState::Head(had) = self.place {
                let Some((&byte, rest)) = input.split_first() else {
                    return Ok(None);
                };
                *input = rest;
                self.head[usize::from(had)] = byte;
                self.place = self.head(had + 1)?;
            }
            if let ParseState::Payload { left, .. } = self.place {
                if left > 0 && input.is_empty() {
                    return Ok(None);
                }
                if let Some(message) = self.payload(input)? {
                    return Ok(Some(message));
                }
            }
        }
    }

    /// Checks the head as soon as the first two bytes are available, so that the decoder refuses a
    /// bad frame before the rest of the frame arrives.
    fn head(&self, had: u8) -> Result<ParseState, FrameError> {
        if had < 2 {
            return Ok(ParseState::Head(had));
        }
        let [first, second, ..] = self.head;
        let opcode = Opcode::read(first).ok_or(FrameError::Protocol)?;
        let last = first & 0x80 != 0;
        let short = second & 0x7f;
        let reserved = first & 0x70 != 0;
        let bare = second & 0x80 == 0;
        let broken = match opcode {
            Opcode::Continuation => self.kind.is_none(),
            Opcode::Text | Opcode::Binary => self.kind.is_some(),
            Opcode::Close | Opcode::Ping | Opcode::Pong => !last || short > 125,
        };
        if reserved || bare || broken {
            return Err(FrameError::Protocol);
        }
        let extended = match short {
            126 => 2,
            127 => 8,
            _ => 0,
        };
        if had < 2 + extended + 4 {
            return Ok(ParseState::Head(had));
        }
        let (length, mask) = self.head[2..].split_at(usize::from(extended));
        let length = match extended {
            0 => u64::from(short),
            _ => length
                .iter()
                .fold(0, |sum, &byte| sum << 8 | u64::from(byte)),
        };
        // RFC 6455, 5.2: "the minimal number of bytes MUST be used", and the highest bit of a
        // 64-bit length must be 0.
        if (extended == 2 && length < 126)
            || (extended == 8 && (length < 1 << 16 || length >> 63 != 0))
        {
            return Err(FrameError::Protocol);
        }
        let before = if opcode.is_control() {
            0
        } else {
            self.message.len()
        };
        let left = usize::try_from(length).map_err(|_| FrameError::TooLarge)?;
        if !opcode.is_control() && left > self.limit.saturating_sub(before) {
            return Err(FrameError::TooLarge);
        }
        Ok(ParseState::Payload {
            opcode,
            last,
            mask: [mask[0], mask[1], mask[2], mask[3]],
            left,
        })
    }

    fn payload(&mut self, input: &mut &[u8]) -> Result<Option<Message>, FrameError> {
        let ParseState::Payload {
            opcode,
            last,
            ref mut mask,
            ref mut left,
        } = self.place
        else {
            return Ok(None);
        };
        if matches!(opcode, Opcode::Text | Opcode::Binary) {
            self.kind = Some(opcode);
        }
        let (taken, rest) = input.split_at(input.len().min(*left));
        *input = rest;
        *left -= taken.len();
        let into = if opcode.is_control() {
            &mut self.control
        } else {
            &mut self.message
        };
        into.extend(taken.iter().zip(mask.iter().cycle()).map(|(b, m)| b ^ m));
        // The next piece continues at the mask byte after the last byte of this piece.
        mask.rotate_left(taken.len() % 4);
        let whole = *left == 0;
        if !opcode.is_control() && self.kind == Some(Opcode::Text) {
            self.check_text(whole && last)?;
        }
        if !whole {
            return Ok(None);
        }
        self.place = ParseState::Head(0);
        match opcode {
            Opcode::Ping => Ok(Some(Message::Ping(std::mem::take(&mut self.control)))),
            Opcode::Pong => {
                self.control = Vec::new();
                Ok(Some(Message::Pong))
            }
            Opcode::Close => farewell(&std::mem::take(&mut self.control)).map(Some),
            Opcode::Continuation | Opcode::Text | Opcode::Binary if last => {
                self.message().map(Some)
            }
            Opcode::Continuation | Opcode::Text | Opcode::Binary => Ok(None),
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
        let bytes = std::mem::take(&mut self.message);
        self.valid = 0;
        match self.kind.take() {
            Some(Opcode::Text) => String::from_utf8(bytes)
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

fn head(opcode: Opcode, length: usize, into: &mut Vec<u8>) {
    into.push(0x80 | opcode as u8);
    match length {
        0..=125 => into.push(length as u8),
        126..=0xffff => {
            into.push(126);
            into.extend((length as u16).to_be_bytes());
        }
        _ => {
            into.push(127);
            into.extend((length as u64).to_be_bytes());
        }
    }
}

/// Writes the head of a text frame. The caller must then write a payload of `length` bytes.
pub fn text_head(length: usize, into: &mut Vec<u8>) {
    head(Opcode::Text, length, into);
}

/// Writes a complete text frame.
pub fn text(text: &str, into: &mut Vec<u8>) {
    text_head(text.len(), into);
    into.extend(text.as_bytes());
}

/// Writes a ping frame without a payload.
pub fn ping(into: &mut Vec<u8>) {
    head(Opcode::Ping, 0, into);
}

/// Writes a pong frame with the payload of the ping, at most 125 bytes (RFC 6455, 5.5).
pub fn pong(payload: &[u8], into: &mut Vec<u8>) {
    head(Opcode::Pong, payload.len(), into);
    into.extend(payload);
}

/// Writes a close frame. The reason is cut to 123 bytes, because a control frame has at most 125
/// payload bytes (RFC 6455, 5.5). Without a code the frame has no payload.
pub fn close(code: Option<u16>, reason: &str, into: &mut Vec<u8>) {
    let Some(code) = code else {
        return head(Opcode::Close, 0, into);
    };
    let mut end = reason.len().min(123);
    while !reason.is_char_boundary(end) {
        end -= 1;
    }
    head(Opcode::Close, 2 + end, into);
    into.extend(code.to_be_bytes());
    into.extend(&reason.as_bytes()[..end]);
}

/// Sends every text and binary message back to the client until the connection ends. WebSocket
/// conformance suites use this function to test the decoder.
pub async fn echo(socket: Transport, read_ahead: Bytes) {
    let mut decoder = Decoder::new(16 << 20);
    let mut buffer = read_ahead.to_vec();
    let mut out = Vec::new();
    loop {
        let mut input = buffer.as_slice();
        let ended = loop {
            match decoder.decode(&mut input) {
                Ok(None) => break false,
                Ok(Some(Message::Text(said))) => text(&said, &mut out),
                Ok(Some(Message::Binary(said))) => {
                    head(Opcode::Binary, said.len(), &mut out);
                    out.extend(said);
                }
                Ok(Some(Message::Ping(payload))) => pong(&payload, &mut out),
                Ok(Some(Message::Pong)) => {}
                Ok(Some(Message::Close(code))) => {
                    close(code, "", &mut out);
                    break true;
                }
                Err(fault) => {
                    close(Some(fault.code()), "", &mut out);
                    break true;
                }
            }
        };
        if socket.write_all(&out).await.is_err() {
            return;
        }
        out.clear();
        buffer.resize(64 << 10, 0);
        if ended {
            // The kernel resets a connection that is closed with unread bytes, and the client would
            // not get the close frame. This loop therefore reads the remaining bytes first.
            let drained = async { while socket.read(&mut buffer).await.is_ok_and(|n| n > 0) {} };
            tokio::time::timeout(Duration::from_millis(200), drained)
                .await
                .ok();
            return;
        }
        match socket.read(&mut buffer).await {
            Ok(count) if count > 0 => buffer.truncate(count),
            _ => return,
        }
    }
}
