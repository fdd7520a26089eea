//! Parses the frames of the WebSocket connection and builds the messages to the server. Together
//! with `fields`, this module is the only one that contains the vendor's WebSocket JSON. The code
//! never panics, for any input, and allocates nothing for the events that the display uses.
//!
//! Facts from the vendor's documentation: the server sends arrays of objects. One frame can contain
//! events of different types and status messages. The ticker is in `T` for `V` events and in `sym`
//! for all other events. A number can be an integer, a decimal or a number with an exponent.

mod fields;

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt;
use std::marker::PhantomData;
use std::time::Duration;

use serde::Serialize;

use super::websocket::fields::{Fields, FromFields};
use crate::market::{Bar, Channel, ChannelKind, Price, Symbol, TopOfBook, Trade, may_be_negative};
use crate::time::Utc;

/// One event of a frame.
#[derive(Clone, Debug, PartialEq)]
pub enum Event<'a> {
    /// A message about the connection or a subscription, with its text.
    Status(StatusKind, Cow<'a, str>),
    /// Market data of the instrument with this ticker.
    Market(Cow<'a, str>, MarketEvent),
    /// A known event type that this program does not use (`LULD`, `FMV`, `LV`).
    Unused,
}

/// The market data of one event.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct MarketEvent {
    /// The kind of the channel of the event.
    pub kind: ChannelKind,
    /// The prices.
    pub data: MarketData,
    /// The time of the data by the clock of the feed, for a bar the end of the bar; `None` if the
    /// timestamp is missing or invalid.
    pub stamp: Option<Utc>,
    /// The age that a hub reports in its field `age` (milliseconds); `None` if the field is
    /// missing. A hub repeats its last value to a new client, so the data can be old.
    pub age: Option<Duration>,
}

/// The prices of an event.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum MarketData {
    /// `V`: the value of an index. The value is above zero, except for an index that can be zero or
    /// negative.
    Value(Price),
    /// `A` or `AM`: a bar of one second or of one minute.
    Bar {
        /// The prices and the time span of the bar.
        bar: Bar,
        /// The volume of the day so far (field `av`), in shares or contracts; `None` if the field
        /// is missing.
        volume: Option<u64>,
    },
    /// `Q`: the best bid and ask.
    Quote(TopOfBook),
    /// `T`: a trade.
    Trade(Trade),
}

/// The kind of a status event, from its field `status`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StatusKind {
    /// `connected`: the greeting of the server.
    Connected,
    /// `auth_success`: the server accepts the key.
    AuthSuccess,
    /// `auth_failed`: the key is wrong, or the plan does not include this cluster.
    AuthFailed,
    /// `auth_timeout`: the client did not authenticate in time.
    AuthTimeout,
    /// `success`: an acknowledgement. The message names the channel.
    Success,
    /// `error`: a refusal. The message of the vendor names no channel; the message of a hub does.
    Error,
    /// `pending`: an extension of this project's hub. The hub has requested the channel from the
    /// vendor, and sends `success` or `error` after the answer of the vendor.
    Pending,
    /// `max_connections`: a new connection has replaced an existing connection.
    MaxConnections,
    /// `slow_consumer` or `force_disconnect`: the server is about to close the connection, for
    /// example because the client reads too slowly.
    Dropping,
    /// `simulated`: an extension of this project. A simulator sends this status after its greeting,
    /// because its prices are not real.
    Simulated,
    /// `upstream_down`: an extension of this project's hub. The hub has lost the vendor and sends
    /// no new data until it sends `upstream_up`.
    UpstreamDown,
    /// `upstream_up`: an extension of this project's hub. The hub receives prices again.
    UpstreamUp,
    /// `retry_after`: an extension of this project's hub. The hub is about to close the connection;
    /// the message is the number of seconds after which the client should connect again.
    RetryAfter,
    /// Any other status. The program shows the text and does not act on it.
    Other,
}

/// The reason why a frame or an event cannot be read. The program counts the errors by kind.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum ParseError {
    /// A binary frame is not valid UTF-8.
    Binary,
    /// The frame is not a JSON array.
    NoArray,
    /// The frame contains other text between its events or after its last event.
    Debris,
    /// An event is not a complete and valid JSON object.
    Syntax,
    /// A field of an event is missing or has the wrong type.
    Field,
    /// A number is not a valid price.
    Number,
    /// The event type is not in the vendor's documentation.
    Unknown,
}

impl ParseError {
    /// The number of error kinds.
    pub const KINDS: usize = 7;

    /// Returns the index of this kind, from 0 to `KINDS - 1`.
    pub const fn index(self) -> usize {
        self as usize
    }
}

impl fmt::Display for ParseError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            ParseError::Binary => "a binary frame that is not text",
            ParseError::NoArray => "a frame that is not a JSON array",
            ParseError::Debris => "unexpected data between or after the events of a frame",
            ParseError::Syntax => "an event that is not a JSON object",
            ParseError::Field => "an event with a missing field or a field of the wrong type",
            ParseError::Number => "a number that is not a valid price",
            ParseError::Unknown => "an unknown type of event",
        })
    }
}

/// Reads the events of one text frame in order. An event that cannot be read does not affect the
/// other events: the reader finds the end of the event by its brackets and continues after the end.
pub fn events(frame: &str) -> impl Iterator<Item = Result<Event<'_>, ParseError>> {
    objects::<Result<Event<'_>, ParseError>>(frame).map(|object| object?.0)
}

/// Returns the ticker and the numbers of the first event whose price is invalid, for the log. Other
/// fields are not repeated: a server can put any text in them.
pub fn invalid_price(frame: &str) -> Option<String> {
    let json = objects::<Result<Event<'_>, ParseError>>(frame).find_map(|object| match object {
        Ok((Err(ParseError::Number), json)) => Some(json),
        _ => None,
    })?;
    let fields: BTreeMap<String, serde_json::Value> = serde_json::from_str(json).ok()?;
    let ticker = ["T", "sym"].into_iter().find_map(|name| fields.get(name));
    let ticker: Symbol = ticker?.as_str()?.parse().ok()?;
    let prices = ["val", "p", "bp", "ap", "o", "h", "l", "c"].into_iter();
    let prices = prices.filter_map(|name| Some(format!("{name} {}", fields.get(name)?.as_f64()?)));
    let prices = prices.collect::<Vec<_>>().join(", ");
    Some(format!("{}: {prices}", ticker.ticker()))
}

/// One event of a frame, for a program that forwards the event unchanged.
#[derive(Clone, Debug, PartialEq)]
pub enum RelayedEventRef<'a> {
    /// A message about the connection or a subscription, with its text and the age of the state that
    /// a hub reports.
    Status(StatusKind, Cow<'a, str>, Option<Duration>),
    /// An event on a channel.
    Data {
        /// The kind of the channel.
        kind: ChannelKind,
        /// The ticker of the instrument.
        ticker: Cow<'a, str>,
        /// The age that an upstream hub reports; `None` if the event has no age.
        age: Option<Duration>,
        /// The time of a value, a quote or a trade by the clock of the feed; `None` for a bar.
        stamp: Option<Utc>,
        /// The complete JSON text of the event, as received.
        json: &'a str,
    },
    /// A known event type without a channel in this program (`LULD`, `FMV`, `LV`).
    Unused,
}

/// Reads the events of one text frame like [`events`], but only the fields that identify the
/// channel of each event. Invalid JSON gives an error and no event, because it would make the
/// outgoing frame invalid. An index value that is not a valid price gives an error too.
pub fn passing(frame: &str) -> impl Iterator<Item = Result<RelayedEventRef<'_>, ParseError>> {
    objects::<Result<EventHeader<'_>, ParseError>>(frame).map(|object| {
        let (head, json) = object?;
        Ok(match head? {
            EventHeader::Data {
                kind,
                ticker,
                age,
                stamp,
            } => RelayedEventRef::Data {
                kind,
                ticker,
                age,
                stamp,
                json,
            },
            EventHeader::Other(Event::Status(status_kind, message), age) => {
                RelayedEventRef::Status(status_kind, message, age)
            }
            EventHeader::Other(..) => RelayedEventRef::Unused,
        })
    })
}

/// The part of an event that a forwarding program needs.
enum EventHeader<'a> {
    Data {
        kind: ChannelKind,
        ticker: Cow<'a, str>,
        age: Option<Duration>,
        stamp: Option<Utc>,
    },
    /// Any other event, with the age that a hub reports.
    Other(Event<'a>, Option<Duration>),
}

impl<'a> FromFields<'a> for Result<Event<'a>, ParseError> {
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
            _ => {
                let age = age(fields.age);
                return Ok(EventHeader::Other(fields.event()?, age));
            }
        };
        let age = age(fields.age);
        let stamp = match kind {
            ChannelKind::Second | ChannelKind::Minute => None,
            _ => stamp(fields.t),
        };
        let ticker = match kind {
            ChannelKind::Value => fields.ticker,
            _ => fields.sym,
        };
        let ticker = ticker.ok_or(ParseError::Field)?;
        Ok(EventHeader::Data {
            kind,
            ticker,
            age,
            stamp,
        })
    }
}

/// Returns an iterator over the objects in the array of a frame. Each object is read as a `T`.
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

/// The iterator that [`objects`] returns.
#[derive(Clone, Debug)]
struct Objects<'a, T> {
    /// The unread part of the frame; `None` after the end of the array.
    rest: Option<&'a str>,
    parse_error: Option<ParseError>,
    read: PhantomData<T>,
}

impl<'a, T: FromFields<'a>> Iterator for Objects<'a, T> {
    /// The value that an object contains, and the JSON text of the object.
    type Item = Result<(T, &'a str), ParseError>;

    fn next(&mut self) -> Option<Self::Item> {
        if let Some(parse_error) = self.parse_error.take() {
            return Some(Err(parse_error));
        }
        let mut rest = self.rest?.trim_ascii_start();
        // A loop skips the commas, because recursion could overflow the stack on a frame of only
        // commas.
        while let Some(behind) = rest.strip_prefix(',') {
            rest = behind.trim_ascii_start();
        }
        let Some(first) = rest.bytes().next() else {
            // The closing bracket is missing, because the frame is truncated.
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
                // The object is invalid, so only the brackets can show the end of the object.
                let Some(end) = object_end(rest) else {
                    // The frame ends inside an event.
                    self.rest = None;
                    return Some(Err(ParseError::Syntax));
                };
                let (object, rest) = rest.split_at(end);
                self.rest = Some(rest);
                Some(Err(fields::parse_error(object)))
            }
            _ => {
                // Invalid text is skipped up to the next possible start of an event. The search
                // looks for ASCII characters, so the slice begins at a character boundary.
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

/// Returns the length in bytes of the object at the start of `text`. Only brackets and strings are
/// checked. Returns `None` if the object has no end.
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

/// A number of contracts or shares, without fractions. Returns `None` if the field is missing,
/// negative or too large.
pub(crate) fn count(field: Option<f64>) -> Option<u64> {
    // An `f64` cannot represent every integer above 2⁵³. Real volumes are much smaller.
    let number = field.filter(|number| (0.0..9e15).contains(number))?;
    Some(number as u64)
}

/// The size of one order or trade, at most `u32::MAX`. The size is 0 if the field is missing or
/// invalid.
pub(crate) fn size(field: Option<f64>) -> u32 {
    count(field).map_or(0, |count| u32::try_from(count).unwrap_or(u32::MAX))
}

/// Reads a price above zero. Zero is an error, because the display must never show an unknown index
/// as 0.
pub(super) fn positive(field: Option<f64>) -> Result<Price, ParseError> {
    number(field).and_then(|price| {
        if price > Price::from_scaled(0) {
            Ok(price)
        } else {
            Err(ParseError::Number)
        }
    })
}

/// An age from a field in milliseconds. Returns `None` if the field is missing or out of range.
pub(super) fn age(field: Option<f64>) -> Option<Duration> {
    let millis = field.filter(|millis| (0.0..1e15).contains(millis))?;
    Some(Duration::from_millis(millis as u64))
}

/// Reads the price that a channel reports for a ticker. Only an index such as `I:TICK`, which is
/// not a sum of prices, can be zero or negative.
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

/// Reads a Unix timestamp in s, ms, µs or ns. The magnitude determines the unit (10, 13, 16 or 19
/// digits). Any other number gives `None` and not an error: the event still shows that the channel
/// and the connection work.
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

/// Returns the channel that an acknowledgement names. The function reads only the text after the
/// prefix `subscribed to: `; it ignores all other messages.
pub fn subscribed(message: &str) -> Option<Channel> {
    Channel::parse(message.strip_prefix("subscribed to: ")?.trim_end())
}

/// Returns the channel that a hub has requested from the vendor.
pub fn requested(message: &str) -> Option<Channel> {
    Channel::parse(message.strip_prefix("requested from the vendor: ")?)
}

/// The reason why a server does not send a channel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ChannelRefusal {
    /// The vendor's plan does not include the channel.
    NotAuthorized,
    /// The server is a hub and has reached a limit. The hub can accept the channel later.
    Limit,
    /// The server confirmed neither of two requests.
    Unconfirmed,
}

/// Returns the channel that a hub has refused, and the reason.
pub fn refused(message: &str) -> Option<(Channel, ChannelRefusal)> {
    let (channel, refusal) = match message.strip_prefix("not authorized: ") {
        Some(channel) => (channel, ChannelRefusal::NotAuthorized),
        None => {
            let rest = message.strip_prefix("not subscribed to: ")?;
            (rest.split_once(": ")?.0, ChannelRefusal::Limit)
        }
    };
    Some((Channel::parse(channel)?, refusal))
}

#[derive(Serialize)]
struct ClientCommand<'a> {
    action: &'a str,
    params: &'a str,
}

fn request(action: &str, params: &str) -> String {
    // The serialization of two strings cannot fail, and the server would ignore an empty message.
    serde_json::to_string(&ClientCommand { action, params }).unwrap_or_default()
}

/// Returns the message that authenticates with a key.
pub fn auth(key: &str) -> String {
    request("auth", key)
}

/// Returns the message that subscribes to one channel. Each message names one channel, because
/// every server and every version of the proxy supports this form.
pub fn subscribe(channel: &Channel) -> String {
    request("subscribe", &channel.to_string())
}

/// Returns the message that unsubscribes from one channel.
pub fn unsubscribe(channel: &Channel) -> String {
    request("unsubscribe", &channel.to_string())
}
