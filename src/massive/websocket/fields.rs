//! Reads the fields of one event of any type. The parser ignores unexpected types, and it allocates
//! only for a string with escape sequences.

use std::borrow::Cow;
use std::fmt;
use std::marker::PhantomData;

use serde::de::{Deserialize, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};

use super::{
    Event, MarketData, MarketEvent, ParseError, StatusKind, age, count, number, positive, size,
    stamp, value,
};
use crate::market::{Bar, ChannelKind, Price, TopOfBook, Trade};

/// The fields that this program reads from an event. Each event type uses some of these fields.
#[derive(Default)]
pub(crate) struct Fields<'a> {
    pub(crate) ev: Option<Cow<'a, str>>,
    pub(crate) status: Option<Cow<'a, str>>,
    pub(crate) message: Option<Cow<'a, str>>,
    /// The JSON field `T`.
    pub(crate) ticker: Option<Cow<'a, str>>,
    pub(crate) sym: Option<Cow<'a, str>>,
    pub(crate) val: Option<f64>,
    pub(crate) t: Option<f64>,
    pub(crate) o: Option<f64>,
    pub(crate) h: Option<f64>,
    pub(crate) l: Option<f64>,
    pub(crate) c: Option<f64>,
    pub(crate) s: Option<f64>,
    pub(crate) e: Option<f64>,
    pub(crate) bp: Option<f64>,
    pub(crate) ap: Option<f64>,
    pub(crate) bs: Option<f64>,
    pub(crate) asked: Option<f64>,
    pub(crate) p: Option<f64>,
    pub(crate) av: Option<f64>,
    /// The age in milliseconds. Only a hub sends this field.
    pub(crate) age: Option<f64>,
}

/// A type that can be built from the fields of an event. The deserializer calls `of` directly,
/// because each move of the large `Fields` struct costs time.
pub(crate) trait FromFields<'a>: Sized {
    /// Builds the value from the fields.
    fn of(fields: Fields<'a>) -> Self;
}

/// Reads the object at the start of `text`. Returns the value and the length of the object in
/// bytes; `None` if the object is invalid.
pub(crate) fn read<'a, T: FromFields<'a>>(text: &'a str) -> Option<(T, usize)> {
    let mut objects = serde_json::Deserializer::from_str(text).into_iter();
    let Read(read) = objects.next()?.ok()?;
    Some((read, objects.byte_offset()))
}

/// A wrapper that implements `Deserialize` for each [`FromFields`] type.
struct Read<T>(T);

impl<'a> Fields<'a> {
    pub(crate) fn event(self) -> Result<Event<'a>, ParseError> {
        let kind = match self.ev.as_deref().ok_or(ParseError::Field)? {
            "V" => ChannelKind::Value,
            "A" => ChannelKind::Second,
            "AM" => ChannelKind::Minute,
            "Q" => ChannelKind::Quote,
            "T" => ChannelKind::Trade,
            "status" => return self.status(),
            "LULD" | "FMV" | "LV" => return Ok(Event::Unused),
            _ => return Err(ParseError::Unknown),
        };
        let ticker = match kind {
            ChannelKind::Value => &self.ticker,
            _ => &self.sym,
        };
        let ticker = ticker.as_deref().ok_or(ParseError::Field)?;
        let data = self.data(kind, ticker)?;
        let stamp = match data {
            MarketData::Bar { bar, .. } => Some(bar.end),
            _ => stamp(self.t),
        };
        let event = MarketEvent {
            kind,
            data,
            stamp,
            age: age(self.age),
        };
        let ticker = match kind {
            ChannelKind::Value => self.ticker,
            _ => self.sym,
        };
        Ok(Event::Market(ticker.ok_or(ParseError::Field)?, event))
    }

    fn status(self) -> Result<Event<'a>, ParseError> {
        let status_kind = match self.status.as_deref().ok_or(ParseError::Field)? {
            "connected" => StatusKind::Connected,
            "auth_success" => StatusKind::AuthSuccess,
            "auth_failed" => StatusKind::AuthFailed,
            "auth_timeout" => StatusKind::AuthTimeout,
            "success" => StatusKind::Success,
            "error" => StatusKind::Error,
            "pending" => StatusKind::Pending,
            "max_connections" => StatusKind::MaxConnections,
            "simulated" => StatusKind::Simulated,
            "upstream_down" => StatusKind::UpstreamDown,
            "upstream_up" => StatusKind::UpstreamUp,
            "retry_after" => StatusKind::RetryAfter,
            "slow_consumer" | "force_disconnect" => StatusKind::Dropping,
            _ => StatusKind::Other,
        };
        Ok(Event::Status(status_kind, self.message.unwrap_or_default()))
    }

    fn data(&self, kind: ChannelKind, ticker: &str) -> Result<MarketData, ParseError> {
        Ok(match kind {
            ChannelKind::Value => MarketData::Value(value(self.val, kind, ticker)?),
            ChannelKind::Second | ChannelKind::Minute => {
                let price = |field| value(field, kind, ticker);
                let bar = Bar {
                    open: price(self.o)?,
                    high: price(self.h)?,
                    low: price(self.l)?,
                    close: price(self.c)?,
                    start: stamp(self.s).ok_or(ParseError::Field)?,
                    end: stamp(self.e).ok_or(ParseError::Field)?,
                };
                MarketData::Bar {
                    bar: bar.checked().ok_or(ParseError::Number)?,
                    volume: count(self.av),
                }
            }
            ChannelKind::Quote => {
                // A missing side means that there are no orders on this side.
                let side = |field: Option<f64>| number(field.or(Some(0.0)));
                let (bid, ask) = (side(self.bp)?, side(self.ap)?);
                if bid.min(ask) < Price::from_scaled(0) {
                    return Err(ParseError::Number);
                }
                MarketData::Quote(TopOfBook {
                    bid,
                    ask,
                    bid_size: size(self.bs),
                    ask_size: size(self.asked),
                })
            }
            ChannelKind::Trade => MarketData::Trade(Trade {
                price: positive(self.p)?,
                size: size(self.s),
            }),
        })
    }
}

impl<'de, T: FromFields<'de>> Deserialize<'de> for Read<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Object<T>(PhantomData<T>);
        impl<'de, T: FromFields<'de>> Visitor<'de> for Object<T> {
            type Value = Read<T>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an event")
            }

            fn visit_map<M: MapAccess<'de>>(self, mut map: M) -> Result<Read<T>, M::Error> {
                let mut fields = Fields::default();
                while let Some(LenientValue::Text(key)) = map.next_key::<LenientValue<'de>>()? {
                    let value = map.next_value::<LenientValue<'de>>()?;
                    match key.as_ref() {
                        "ev" => fields.ev = value.text(),
                        "status" => fields.status = value.text(),
                        "message" => fields.message = value.text(),
                        "T" => fields.ticker = value.text(),
                        "sym" => fields.sym = value.text(),
                        "val" => fields.val = value.number(),
                        "t" => fields.t = value.number(),
                        "o" => fields.o = value.number(),
                        "h" => fields.h = value.number(),
                        "l" => fields.l = value.number(),
                        "c" => fields.c = value.number(),
                        "s" => fields.s = value.number(),
                        "e" => fields.e = value.number(),
                        "bp" => fields.bp = value.number(),
                        "ap" => fields.ap = value.number(),
                        "bs" => fields.bs = value.number(),
                        "as" => fields.asked = value.number(),
                        "p" => fields.p = value.number(),
                        "av" => fields.av = value.number(),
                        "age" => fields.age = value.number(),
                        _ => {}
                    }
                }
                Ok(Read(T::of(fields)))
            }
        }
        deserializer.deserialize_map(Object(PhantomData))
    }
}

/// Returns the error for an object that cannot be read.
pub(crate) fn parse_error(object: &str) -> ParseError {
    match serde_json::from_str::<Read<Result<Event<'_>, ParseError>>>(object) {
        // serde_json reports a syntax error for `1e999`, but the number is only out of range.
        Err(error)
            if error.classify() == serde_json::error::Category::Syntax
                && error.to_string().starts_with("number out of range") =>
        {
            ParseError::Number
        }
        _ => ParseError::Syntax,
    }
}

/// A JSON value of any type. A field of an unexpected type must not invalidate an event that does
/// not use the field (`c` is a price in a bar, a list in a trade and a number in a quote).
enum LenientValue<'a> {
    Number(f64),
    Text(Cow<'a, str>),
    Other,
}

impl<'a> LenientValue<'a> {
    fn number(self) -> Option<f64> {
        if let LenientValue::Number(number) = self {
            Some(number)
        } else {
            None
        }
    }

    fn text(self) -> Option<Cow<'a, str>> {
        if let LenientValue::Text(text) = self {
            Some(text)
        } else {
            None
        }
    }
}

impl<'de> Deserialize<'de> for LenientValue<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Any;
        impl<'de> Visitor<'de> for Any {
            type Value = LenientValue<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a value")
            }
            fn visit_f64<E>(self, number: f64) -> Result<LenientValue<'de>, E> {
                Ok(LenientValue::Number(number))
            }
            fn visit_i64<E>(self, number: i64) -> Result<LenientValue<'de>, E> {
                Ok(LenientValue::Number(number as f64))
            }
            fn visit_u64<E>(self, number: u64) -> Result<LenientValue<'de>, E> {
                Ok(LenientValue::Number(number as f64))
            }
            fn visit_borrowed_str<E>(self, text: &'de str) -> Result<LenientValue<'de>, E> {
                Ok(LenientValue::Text(Cow::Borrowed(text)))
            }
            fn visit_str<E>(self, text: &str) -> Result<LenientValue<'de>, E> {
                Ok(LenientValue::Text(Cow::Owned(text.to_owned())))
            }
            fn visit_bool<E>(self, _: bool) -> Result<LenientValue<'de>, E> {
                Ok(LenientValue::Other)
            }
            fn visit_unit<E>(self) -> Result<LenientValue<'de>, E> {
                Ok(LenientValue::Other)
            }
            fn visit_seq<S: SeqAccess<'de>>(
                self,
                mut seq: S,
            ) -> Result<LenientValue<'de>, S::Error> {
                while seq.next_element::<IgnoredAny>()?.is_some() {}
                Ok(LenientValue::Other)
            }
            fn visit_map<M: MapAccess<'de>>(
                self,
                mut map: M,
            ) -> Result<LenientValue<'de>, M::Error> {
                while map.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
                Ok(LenientValue::Other)
            }
        }
        deserializer.deserialize_any(Any)
    }
}
