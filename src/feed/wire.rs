//! Bytes ⇄ messages. The only file that knows the vendor's JSON; it never panics, whatever the
//! bytes, and allocates nothing for the events that the display uses.
//!
//! Facts by the vendor's documentation: the server sends arrays of objects, a frame may mix
//! events, types and statuses; the ticker is in `T` for `V` and in `sym` for everything else;
//! every number may be spelled as an integer, a decimal or with an exponent.

use std::borrow::Cow;
use std::fmt;

use serde::Serialize;
use serde::de::{Deserialize, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};

use crate::clock::Utc;
use crate::market::{Bar, Channel, Kind, Price};

/// Messages larger than this are refused before they are read, in bytes.
pub const MESSAGE_LIMIT: usize = 1 << 20;

/// One event of a frame.
#[derive(Clone, Debug, PartialEq)]
pub enum Event<'a> {
    /// A word about the connection or a subscription.
    Status(Verdict, Cow<'a, str>),
    /// `V`: an index value.
    Value {
        /// Whose.
        ticker: Cow<'a, str>,
        /// The value; never zero.
        price: Price,
        /// When, if the stamp could be read.
        stamp: Option<Utc>,
    },
    /// `A` or `AM`: a bar.
    Bar {
        /// Whose.
        ticker: Cow<'a, str>,
        /// Of a second or a minute.
        kind: Kind,
        /// The bar.
        bar: Bar,
    },
    /// `Q`: the best bid and ask.
    Quote {
        /// Whose.
        ticker: Cow<'a, str>,
        /// What buyers pay; zero if there is none.
        bid: Price,
        /// What sellers want; above zero.
        ask: Price,
        /// When, if the stamp could be read.
        stamp: Option<Utc>,
    },
    /// A known type that this program has no use for (`T`, `LULD`, `FMV`, `LV`).
    Unused,
}

/// The `status` of a status event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
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
    /// Anything else; to be shown, not obeyed.
    Other,
}

/// What is wrong with a frame or an event; they are counted by kind.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Junk {
    /// A binary frame, where only text is due.
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

impl Junk {
    /// How many kinds there are.
    pub const KINDS: usize = 7;

    /// Its place among the kinds.
    pub const fn index(self) -> usize {
        self as usize
    }
}

impl fmt::Display for Junk {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Junk::Binary => "a binary frame",
            Junk::NoArray => "a frame that is no array",
            Junk::Debris => "something between or behind the events of a frame",
            Junk::Syntax => "an event that is no JSON object",
            Junk::Field => "an event with a field missing or of the wrong type",
            Junk::Number => "a number that is no price",
            Junk::Unknown => "an unknown type of event",
        })
    }
}

/// Reads the events of one text frame in their order. An event that cannot be read costs none
/// of the others: after it the frame goes on where its brackets say that it ends.
pub fn events(frame: &str) -> Events<'_> {
    let rest = frame.trim_ascii();
    match rest.strip_prefix('[') {
        Some(rest) => Events {
            rest: Some(rest),
            junk: None,
        },
        None => Events {
            rest: None,
            junk: Some(Junk::NoArray),
        },
    }
}

/// See [`events`].
#[derive(Clone, Debug)]
pub struct Events<'a> {
    /// What has not been read yet; `None` after the end of the array.
    rest: Option<&'a str>,
    junk: Option<Junk>,
}

impl<'a> Iterator for Events<'a> {
    type Item = Result<Event<'a>, Junk>;

    fn next(&mut self) -> Option<Self::Item> {
        if let Some(junk) = self.junk.take() {
            return Some(Err(junk));
        }
        let rest = self.rest?.trim_ascii_start();
        let Some(first) = rest.bytes().next() else {
            // The closing bracket is missing: the frame was cut.
            self.rest = None;
            return Some(Err(Junk::Syntax));
        };
        match first {
            b']' => {
                self.rest = None;
                (!rest[1..].trim_ascii().is_empty()).then_some(Err(Junk::Debris))
            }
            b',' => {
                self.rest = Some(&rest[1..]);
                self.next()
            }
            b'{' => {
                if let Some((event, rest)) = read(rest) {
                    self.rest = Some(rest);
                    return Some(event);
                }
                // Not as it should be: where it ends is then a matter of brackets alone.
                let Some(end) = object_end(rest) else {
                    // The frame was cut within an event.
                    self.rest = None;
                    return Some(Err(Junk::Syntax));
                };
                let (object, rest) = rest.split_at(end);
                self.rest = Some(rest);
                Some(Err(fault(object)))
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
                Some(Err(Junk::Debris))
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

/// The object that begins here, if it is as it should be, and what comes after it.
fn read(text: &str) -> Option<(Result<Event<'_>, Junk>, &str)> {
    let mut objects = serde_json::Deserializer::from_str(text).into_iter::<Fields<'_>>();
    let event = objects.next()?.ok()?.event();
    Some((event, text.get(objects.byte_offset()..)?))
}

/// What is to be said of an object that could not be read.
fn fault(object: &str) -> Junk {
    match serde_json::from_str::<Fields<'_>>(object) {
        // serde_json calls `1e999` a syntax error; here it is a number that is none.
        Err(error)
            if error.classify() == serde_json::error::Category::Syntax
                && error.to_string().starts_with("number out of range") =>
        {
            Junk::Number
        }
        _ => Junk::Syntax,
    }
}

fn number(field: Option<f64>) -> Result<Price, Junk> {
    Price::from_f64(field.ok_or(Junk::Field)?).ok_or(Junk::Number)
}

/// A price of zero is no price: an index that is unknown must never be drawn as 0.
fn positive(field: Option<f64>) -> Result<Price, Junk> {
    number(field).and_then(|price| {
        if price > Price::from_scaled(0) {
            Ok(price)
        } else {
            Err(Junk::Number)
        }
    })
}

/// A time in ms, µs or ns, told apart by its magnitude (13, 16 and 19 digits). `None` for what is
/// none of them; a value without a stamp is still a value.
pub fn stamp(field: Option<f64>) -> Option<Utc> {
    let number = field?;
    let millis = match number {
        n if !(1e12..1e20).contains(&n) => return None,
        n if n >= 1e18 => (n / 1e6).round(),
        n if n >= 1e15 => (n / 1e3).round(),
        n => n,
    };
    Some(Utc(millis as i64))
}

/// The fields of an event that this program reads, of whichever type the event is.
#[derive(Default)]
struct Fields<'a> {
    ev: Option<Cow<'a, str>>,
    status: Option<Cow<'a, str>>,
    message: Option<Cow<'a, str>>,
    /// `T`
    ticker: Option<Cow<'a, str>>,
    sym: Option<Cow<'a, str>>,
    val: Option<f64>,
    t: Option<f64>,
    op: Option<f64>,
    o: Option<f64>,
    h: Option<f64>,
    l: Option<f64>,
    c: Option<f64>,
    s: Option<f64>,
    e: Option<f64>,
    bp: Option<f64>,
    ap: Option<f64>,
}

impl<'a> Fields<'a> {
    fn event(mut self) -> Result<Event<'a>, Junk> {
        let kind = self.ev.take().ok_or(Junk::Field)?;
        match kind.as_ref() {
            "V" => Ok(Event::Value {
                price: positive(self.val)?,
                ticker: self.ticker.ok_or(Junk::Field)?,
                stamp: stamp(self.t),
            }),
            "A" => self.bar(Kind::Second),
            "AM" => self.bar(Kind::Minute),
            "Q" => {
                let bid = number(self.bp)?;
                let ask = positive(self.ap)?;
                if bid < Price::from_scaled(0) {
                    return Err(Junk::Number);
                }
                Ok(Event::Quote {
                    ticker: self.sym.ok_or(Junk::Field)?,
                    bid,
                    ask,
                    stamp: stamp(self.t),
                })
            }
            "status" => {
                let verdict = match self.status.as_deref().ok_or(Junk::Field)? {
                    "connected" => Verdict::Connected,
                    "auth_success" => Verdict::AuthSuccess,
                    "auth_failed" => Verdict::AuthFailed,
                    "auth_timeout" => Verdict::AuthTimeout,
                    "success" => Verdict::Success,
                    "error" => Verdict::Error,
                    "max_connections" => Verdict::MaxConnections,
                    "simulated" => Verdict::Simulated,
                    "slow_consumer" | "force_disconnect" => Verdict::Dropping,
                    _ => Verdict::Other,
                };
                Ok(Event::Status(verdict, self.message.unwrap_or_default()))
            }
            "T" | "LULD" | "FMV" | "LV" => Ok(Event::Unused),
            _ => Err(Junk::Unknown),
        }
    }

    fn bar(self, kind: Kind) -> Result<Event<'a>, Junk> {
        let bar = Bar {
            open: positive(self.o)?,
            high: positive(self.h)?,
            low: positive(self.l)?,
            close: positive(self.c)?,
            day_open: positive(self.op).ok(),
            start: stamp(self.s).ok_or(Junk::Field)?,
            end: stamp(self.e).ok_or(Junk::Field)?,
        };
        let ordered = bar.low <= bar.high
            && (bar.low..=bar.high).contains(&bar.open)
            && (bar.low..=bar.high).contains(&bar.close)
            && bar.start < bar.end;
        if !ordered {
            return Err(Junk::Number);
        }
        Ok(Event::Bar {
            ticker: self.sym.ok_or(Junk::Field)?,
            kind,
            bar,
        })
    }
}

impl<'de> Deserialize<'de> for Fields<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Object;
        impl<'de> Visitor<'de> for Object {
            type Value = Fields<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an event")
            }

            fn visit_map<M: MapAccess<'de>>(self, mut map: M) -> Result<Fields<'de>, M::Error> {
                let mut fields = Fields::default();
                while let Some(Loose::Text(key)) = map.next_key::<Loose<'de>>()? {
                    let value = map.next_value::<Loose<'de>>()?;
                    match key.as_ref() {
                        "ev" => fields.ev = value.text(),
                        "status" => fields.status = value.text(),
                        "message" => fields.message = value.text(),
                        "T" => fields.ticker = value.text(),
                        "sym" => fields.sym = value.text(),
                        "val" => fields.val = value.number(),
                        "t" => fields.t = value.number(),
                        "op" => fields.op = value.number(),
                        "o" => fields.o = value.number(),
                        "h" => fields.h = value.number(),
                        "l" => fields.l = value.number(),
                        "c" => fields.c = value.number(),
                        "s" => fields.s = value.number(),
                        "e" => fields.e = value.number(),
                        "bp" => fields.bp = value.number(),
                        "ap" => fields.ap = value.number(),
                        _ => {}
                    }
                }
                Ok(fields)
            }
        }
        deserializer.deserialize_map(Object)
    }
}

/// Any JSON value; a field of an unexpected type must not cost the event that does not need it
/// (`c` is a price in a bar, a list in a trade and a number in a quote).
enum Loose<'a> {
    Number(f64),
    Text(Cow<'a, str>),
    Other,
}

impl<'a> Loose<'a> {
    fn number(self) -> Option<f64> {
        if let Loose::Number(number) = self {
            Some(number)
        } else {
            None
        }
    }

    fn text(self) -> Option<Cow<'a, str>> {
        if let Loose::Text(text) = self {
            Some(text)
        } else {
            None
        }
    }
}

impl<'de> Deserialize<'de> for Loose<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Any;
        impl<'de> Visitor<'de> for Any {
            type Value = Loose<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a value")
            }
            fn visit_f64<E>(self, number: f64) -> Result<Loose<'de>, E> {
                Ok(Loose::Number(number))
            }
            fn visit_i64<E>(self, number: i64) -> Result<Loose<'de>, E> {
                Ok(Loose::Number(number as f64))
            }
            fn visit_u64<E>(self, number: u64) -> Result<Loose<'de>, E> {
                Ok(Loose::Number(number as f64))
            }
            fn visit_borrowed_str<E>(self, text: &'de str) -> Result<Loose<'de>, E> {
                Ok(Loose::Text(Cow::Borrowed(text)))
            }
            fn visit_str<E>(self, text: &str) -> Result<Loose<'de>, E> {
                Ok(Loose::Text(Cow::Owned(text.to_owned())))
            }
            fn visit_bool<E>(self, _: bool) -> Result<Loose<'de>, E> {
                Ok(Loose::Other)
            }
            fn visit_unit<E>(self) -> Result<Loose<'de>, E> {
                Ok(Loose::Other)
            }
            fn visit_seq<S: SeqAccess<'de>>(self, mut seq: S) -> Result<Loose<'de>, S::Error> {
                while seq.next_element::<IgnoredAny>()?.is_some() {}
                Ok(Loose::Other)
            }
            fn visit_map<M: MapAccess<'de>>(self, mut map: M) -> Result<Loose<'de>, M::Error> {
                while map.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
                Ok(Loose::Other)
            }
        }
        deserializer.deserialize_any(Any)
    }
}

/// The channel that an acknowledgement names. Prose is read for nothing but this prefix.
pub fn subscribed(message: &str) -> Option<Channel> {
    Channel::parse(message.strip_prefix("subscribed to: ")?.trim_end())
}

#[derive(Serialize)]
struct Request<'a> {
    action: &'a str,
    params: &'a str,
}

fn request(action: &str, params: &str) -> String {
    // Two strings always serialise; an empty message would be ignored by the server.
    serde_json::to_string(&Request { action, params }).unwrap_or_default()
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
