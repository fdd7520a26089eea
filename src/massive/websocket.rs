//! Bytes ⇄ messages. The only file that knows the vendor's JSON; it never panics, whatever the
//! bytes, and allocates nothing for the events that the display uses.
//!
//! Facts by the vendor's documentation: the server sends arrays of objects, a frame may mix
//! events, types and statuses; the ticker is in `T` for `V` and in `sym` for everything else;
//! every number may be spelled as an integer, a decimal or with an exponent.

use crate::massive::fields;

use std::borrow::Cow;
use std::fmt;
use std::marker::PhantomData;
use std::time::Duration;

use serde::Serialize;

use crate::market::{Bar, Channel, ChannelKind, Price, TopOfBook, Trade, may_be_negative};
use crate::massive::fields::{Fields, FromFields};
use crate::time::Utc;

/// Messages larger than this are refused before they are read, in bytes.
pub const MESSAGE_LIMIT: usize = 1 << 20;

/// One event of a frame.
#[derive(Clone, Debug, PartialEq)]
pub enum MarketEvent<'a> {
    /// A word about the connection or a subscription.
    Status(StatusKind, Cow<'a, str>),
    /// `V`: an index value.
    Value {
        /// Whose.
        ticker: Cow<'a, str>,
        /// The value; above zero but for an index that may be below.
        price: Price,
        /// When, if the stamp could be read.
        stamp: Option<Utc>,
        /// How old a hub says that it is, in its field `age` (milliseconds).
        age: Option<Duration>,
    },
    /// `A` or `AM`: a bar.
    Bar {
        /// Whose.
        ticker: Cow<'a, str>,
        /// Of a second or a minute.
        kind: ChannelKind,
        /// The bar.
        bar: Bar,
        /// How much was traded today, where the bar says (`av`).
        volume: Option<u64>,
        /// How old a hub says that it is.
        age: Option<Duration>,
    },
    /// `Q`: the best bid and ask.
    Quote {
        /// Whose.
        ticker: Cow<'a, str>,
        /// What is bid and asked.
        book: TopOfBook,
        /// When, if the stamp could be read.
        stamp: Option<Utc>,
        /// How old a hub says that it is.
        age: Option<Duration>,
    },
    /// `T`: a trade.
    Trade {
        /// Whose.
        ticker: Cow<'a, str>,
        /// The trade.
        trade: Trade,
        /// When, if the stamp could be read.
        stamp: Option<Utc>,
    },
    /// A known type that this program has no use for (`LULD`, `FMV`, `LV`).
    Unused,
}

/// The `status` of a status event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StatusKind {
    /// The greeting.
    Connected,
    /// The key is good.
    AuthSuccess,
    /// The key is wrong, or the plan lacks this cluster.
    AuthFailed,
    /// Nobody authenticated in time.
    AuthTimeout,
    /// An acknowledgement; the message names the channel.
    Success,
    /// A refusal; it names no channel.
    Error,
    /// Another connection took the place of one.
    MaxConnections,
    /// The server is about to close: we read too slowly, or it says so.
    Dropping,
    /// Our own, said by a simulator behind its greeting: the prices are not real.
    Simulated,
    /// Our hub's own: it has lost the vendor, and nothing will come until it says that it is up.
    UpstreamDown,
    /// Our hub's own: prices are coming again.
    UpstreamUp,
    /// Anything else; to be shown, not obeyed.
    Other,
}

/// What is wrong with a frame or an event; they are counted by kind.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum ParseError {
    /// A binary frame that is not UTF-8.
    Binary,
    /// The frame is no array.
    NoArray,
    /// Something stands between or behind the events.
    Debris,
    /// An event is no JSON object.
    Syntax,
    /// An event lacks a field, or it is of the wrong type.
    Field,
    /// A number that is no price.
    Number,
    /// A type of event nobody has documented.
    Unknown,
}

impl ParseError {
    /// How many kinds there are.
    pub const KINDS: usize = 7;

    /// Its place among the kinds.
    pub const fn index(self) -> usize {
        self as usize
    }
}

impl fmt::Display for ParseError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            ParseError::Binary => "a binary frame that is no text",
            ParseError::NoArray => "a frame that is no array",
            ParseError::Debris => "something between or behind the events of a frame",
            ParseError::Syntax => "an event that is no JSON object",
            ParseError::Field => "an event with a field missing or of the wrong type",
            ParseError::Number => "a number that is no price",
            ParseError::Unknown => "an unknown type of event",
        })
    }
}

/// Reads the events of one text frame in their order. An event that cannot be read costs none
/// of the others: after it the frame goes on where its brackets say that it ends.
pub fn events(frame: &str) -> impl Iterator<Item = Result<MarketEvent<'_>, ParseError>> {
    objects::<Result<MarketEvent<'_>, ParseError>>(frame).map(|object| object?.0)
}

/// One event of a frame, for who passes it on as it is.
#[derive(Clone, Debug, PartialEq)]
pub enum RelayedEventRef<'a> {
    /// A word about the connection or a subscription.
    Status(StatusKind, Cow<'a, str>),
    /// An event on a channel.
    Data {
        /// What it carries.
        kind: ChannelKind,
        /// Of which instrument.
        ticker: Cow<'a, str>,
        /// How old the hub before this one says that it is.
        age: Option<Duration>,
        /// The whole event, as it was written.
        json: &'a str,
    },
    /// A known type that has no channel here (`LULD`, `FMV`, `LV`).
    Unused,
}

/// Reads the events of one text frame as [`events`] does, but only so far as to know whom each is
/// for. What is no JSON is not passed on, for it would spoil the frame it is put in; nor is an
/// index value that is no price.
pub fn passing(frame: &str) -> impl Iterator<Item = Result<RelayedEventRef<'_>, ParseError>> {
    objects::<Result<EventHeader<'_>, ParseError>>(frame).map(|object| {
        let (head, json) = object?;
        Ok(match head? {
            EventHeader::Data { kind, ticker, age } => RelayedEventRef::Data {
                kind,
                ticker,
                age,
                json,
            },
            EventHeader::Event(MarketEvent::Status(status_kind, message)) => {
                RelayedEventRef::Status(status_kind, message)
            }
            EventHeader::Event(_) => RelayedEventRef::Unused,
        })
    })
}

/// As much of an event as who passes it on has to know.
enum EventHeader<'a> {
    Data {
        kind: ChannelKind,
        ticker: Cow<'a, str>,
        age: Option<Duration>,
    },
    Event(MarketEvent<'a>),
}

impl<'a> FromFields<'a> for Result<MarketEvent<'a>, ParseError> {
    fn of(fields: Fields<'a>) -> Self {
        fields.event()
    }
}

impl<'a> FromFields<'a> for Result<EventHeader<'a>, ParseError> {
    fn of(fields: Fields<'a>) -> Self {
        let kind = match fields.ev.as_deref().ok_or(ParseError::Field)? {
            "V" => {
                let ticker = fields.ticker.as_deref().ok_or(ParseError::Field)?;
                value(fields.val, ChannelKind::Value, ticker)?;
                ChannelKind::Value
            }
            "A" => ChannelKind::Second,
            "AM" => ChannelKind::Minute,
            "Q" => ChannelKind::Quote,
            "T" => ChannelKind::Trade,
            _ => return fields.event().map(EventHeader::Event),
        };
        let age = age(fields.age);
        let ticker = match kind {
            ChannelKind::Value => fields.ticker,
            _ => fields.sym,
        };
        let ticker = ticker.ok_or(ParseError::Field)?;
        Ok(EventHeader::Data { kind, ticker, age })
    }
}

/// The objects of the array that a frame is, each read as a `T`.
fn objects<'a, T: FromFields<'a>>(frame: &'a str) -> Objects<'a, T> {
    let rest = frame.trim_ascii();
    let (rest, parse_error) = match rest.strip_prefix('[') {
        Some(rest) => (Some(rest), None),
        None => (None, Some(ParseError::NoArray)),
    };
    Objects {
        rest,
        parse_error,
        read: PhantomData,
    }
}

/// See [`objects`].
#[derive(Clone, Debug)]
struct Objects<'a, T> {
    /// What has not been read yet; `None` after the end of the array.
    rest: Option<&'a str>,
    parse_error: Option<ParseError>,
    read: PhantomData<T>,
}

impl<'a, T: FromFields<'a>> Iterator for Objects<'a, T> {
    /// What an object says, and the object itself.
    type Item = Result<(T, &'a str), ParseError>;

    fn next(&mut self) -> Option<Self::Item> {
        if let Some(parse_error) = self.parse_error.take() {
            return Some(Err(parse_error));
        }
        let mut rest = self.rest?.trim_ascii_start();
        // Not one call a comma: a frame of nothing else has as many as the stack has not.
        while let Some(behind) = rest.strip_prefix(',') {
            rest = behind.trim_ascii_start();
        }
        let Some(first) = rest.bytes().next() else {
            // The closing bracket is missing: the frame was cut.
            self.rest = None;
            return Some(Err(ParseError::Syntax));
        };
        match first {
            b']' => {
                self.rest = None;
                (!rest[1..].trim_ascii().is_empty()).then_some(Err(ParseError::Debris))
            }
            b'{' => {
                if let Some((read, end)) = fields::read(rest) {
                    let (object, rest) = rest.split_at_checked(end)?;
                    self.rest = Some(rest);
                    return Some(Ok((read, object)));
                }
                // Not as it should be: where it ends is then a matter of brackets alone.
                let Some(end) = object_end(rest) else {
                    // The frame was cut within an event.
                    self.rest = None;
                    return Some(Err(ParseError::Syntax));
                };
                let (object, rest) = rest.split_at(end);
                self.rest = Some(rest);
                Some(Err(fields::parse_error(object)))
            }
            _ => {
                // Debris up to where an event may begin again; the search is for ASCII, so it
                // stops at a character's edge.
                let end = rest.find(['{', ']']).unwrap_or(rest.len());
                self.rest = if end == rest.len() {
                    None
                } else {
                    Some(&rest[end..])
                };
                Some(Err(ParseError::Debris))
            }
        }
    }
}

/// Where the object ends that begins here, judged by brackets and strings alone; `None` if it
/// never does.
fn object_end(text: &str) -> Option<usize> {
    let mut depth = 0u32;
    let mut in_string = false;
    let mut escaped = false;
    for (at, byte) in text.bytes().enumerate() {
        if in_string {
            match byte {
                _ if escaped => escaped = false,
                b'\\' => escaped = true,
                b'"' => in_string = false,
                _ => {}
            }
            continue;
        }
        match byte {
            b'"' => in_string = true,
            b'{' | b'[' => depth += 1,
            b'}' | b']' => {
                depth -= 1;
                if depth == 0 {
                    return Some(at + 1);
                }
            }
            _ => {}
        }
    }
    None
}

pub(super) fn number(field: Option<f64>) -> Result<Price, ParseError> {
    Price::from_f64(field.ok_or(ParseError::Field)?).ok_or(ParseError::Number)
}

/// A count: of contracts, of shares. Fractions of a share are no whole one, and what is no count
/// is not known.
pub(crate) fn count(field: Option<f64>) -> Option<u64> {
    // Beyond 2⁵³ a float has no units; nobody trades so many.
    let number = field.filter(|number| (0.0..9e15).contains(number))?;
    Some(number as u64)
}

/// The same, of one order or trade; 0 where it is not known.
pub(crate) fn size(field: Option<f64>) -> u32 {
    count(field).map_or(0, |count| u32::try_from(count).unwrap_or(u32::MAX))
}

/// A price of zero is no price: an index that is unknown must never be drawn as 0.
pub(super) fn positive(field: Option<f64>) -> Result<Price, ParseError> {
    number(field).and_then(|price| {
        if price > Price::from_scaled(0) {
            Ok(price)
        } else {
            Err(ParseError::Number)
        }
    })
}

/// An age in milliseconds. What is none is not known.
pub(super) fn age(field: Option<f64>) -> Option<Duration> {
    let millis = field.filter(|millis| (0.0..1e15).contains(millis))?;
    Some(Duration::from_millis(millis as u64))
}

/// What a channel carries of an instrument: an index that is no sum of prices (`I:TICK`) may be zero or
/// negative.
pub(super) fn value(
    field: Option<f64>,
    kind: ChannelKind,
    ticker: &str,
) -> Result<Price, ParseError> {
    if may_be_negative(kind, ticker) {
        number(field)
    } else {
        positive(field)
    }
}

/// A time in s, ms, µs or ns, told apart by its magnitude (10, 13, 16 and 19 digits). `None` for what is
/// none of them; a value without a stamp is still a value.
pub fn stamp(field: Option<f64>) -> Option<Utc> {
    let number = field?;
    let millis = match number {
        n if (1e9..1e11).contains(&n) => (n * 1e3).round(),
        n if !(1e12..1e20).contains(&n) => return None,
        n if n >= 1e18 => (n / 1e6).round(),
        n if n >= 1e15 => (n / 1e3).round(),
        n => n,
    };
    Some(Utc(millis as i64))
}

/// The channel that an acknowledgement names. Prose is read for nothing but this prefix.
pub fn subscribed(message: &str) -> Option<Channel> {
    Channel::parse(message.strip_prefix("subscribed to: ")?.trim_end())
}

#[derive(Serialize)]
struct ClientCommand<'a> {
    action: &'a str,
    params: &'a str,
}

fn request(action: &str, params: &str) -> String {
    // Two strings always serialise; an empty message would be ignored by the server.
    serde_json::to_string(&ClientCommand { action, params }).unwrap_or_default()
}

/// The message that authenticates with a key.
pub fn auth(key: &str) -> String {
    request("auth", key)
}

/// The message that asks for one channel. One channel a message is what every server and every
/// version of the proxy understands.
pub fn subscribe(channel: &Channel) -> String {
    request("subscribe", &channel.to_string())
}

/// The message that gives one channel back.
pub fn unsubscribe(channel: &Channel) -> String {
    request("unsubscribe", &channel.to_string())
}
