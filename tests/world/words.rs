//! The text that servers send: the frames of a stream and the bodies of REST responses.

use std::fmt::Write;

use super::hours::{MINUTE, Ms, SECOND};
use super::scenario::Kind;
use super::tape::{NVDA, SPXW, SPY, Session, Tape, Value};

/// The channel on which a value is sent.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Form {
    /// `V`: an index value.
    Value,
    /// `Q`: a quote.
    Quote,
    /// `A`: a bar of one second.
    Second,
    /// `AM`: a bar of one minute; the field is the end of the minute.
    Minute(Ms),
}

impl Form {
    pub(crate) const fn of(place: usize) -> Self {
        match place {
            SPXW | NVDA => Self::Quote,
            SPY => Self::Second,
            _ => Self::Value,
        }
    }

    /// Returns the prefix of the channel on the wire.
    pub(crate) const fn prefix(self) -> &'static str {
        match self {
            Self::Value => "V",
            Self::Quote => "Q",
            Self::Second => "A",
            Self::Minute(_) => "AM",
        }
    }
}

/// The timestamp of a value on the wire.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Stamp {
    Millis(Ms),
    Seconds(Ms),
    None,
}

/// A number in 1/10 000, formatted as a JSON number.
struct Decimal(i64);

impl std::fmt::Display for Decimal {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let sign = if self.0 < 0 { "-" } else { "" };
        let size = self.0.unsigned_abs();
        let (whole, fraction) = (size / 10_000, size % 10_000);
        if fraction % 100 == 0 {
            write!(f, "{sign}{whole}.{:02}", fraction / 100)
        } else {
            write!(f, "{sign}{whole}.{fraction:04}")
        }
    }
}

/// Writes the frame of one value. `age` is the age in milliseconds that a hub adds to a repeated
/// value.
pub(crate) fn frame(
    text: &mut String,
    ticker: &str,
    value: &Value,
    form: Form,
    stamp: Stamp,
    age: Option<Ms>,
) {
    text.clear();
    let price = Decimal(value.price);
    let at = match stamp {
        Stamp::Millis(at) | Stamp::Seconds(at) => at,
        Stamp::None => value.at,
    };
    let unit = |at: Ms| match stamp {
        Stamp::Seconds(_) => at / SECOND,
        _ => at,
    };
    let done = match form {
        Form::Value => write!(text, r#"[{{"ev":"V","val":{price},"T":"{ticker}""#),
        Form::Quote => {
            let [bid, ask] = value.book.map(Decimal);
            write!(
                text,
                r#"[{{"ev":"Q","sym":"{ticker}","bx":302,"ax":312,"bp":{bid},"ap":{ask},"bs":12,"as":7"#
            )
        }
        Form::Second => write!(
            text,
            r#"[{{"ev":"A","sym":"{ticker}","v":300,"av":4000000,"op":{price},"vw":{price},"o":{price},"c":{price},"h":{price},"l":{price},"a":{price},"z":60,"s":{},"e":{}"#,
            unit(at - SECOND),
            unit(at)
        ),
        Form::Minute(end) => write!(
            text,
            r#"[{{"ev":"AM","sym":"{ticker}","op":{price},"o":{price},"c":{price},"h":{price},"l":{price},"s":{},"e":{}"#,
            unit(end - MINUTE),
            unit(end)
        ),
    };
    done.expect("a string takes all");
    let stamped = matches!(form, Form::Value | Form::Quote) && stamp != Stamp::None;
    if stamped {
        write!(text, r#","t":{}"#, unit(at)).expect("a string takes all");
    }
    if let Some(age) = age {
        write!(text, r#","age":{age}"#).expect("a string takes all");
    }
    text.push_str("}]");
}

/// Returns the frame of a status message.
pub(crate) fn status(status: &str, message: &str) -> String {
    format!(r#"[{{"ev":"status","status":"{status}","message":"{message}"}}]"#)
}

/// The data of one instrument for a REST response.
#[derive(Clone, Copy)]
pub(crate) struct Row<'a> {
    pub(crate) ticker: &'a str,
    pub(crate) place: usize,
    pub(crate) tape: &'a Tape,
    pub(crate) last: &'a Value,
    pub(crate) session: &'a Session,
    pub(crate) before: &'a Session,
    /// The market status in the words of this kind of row.
    pub(crate) status: &'static str,
    /// The kind of the server.
    pub(crate) kind: Kind,
    /// The error of the vendor's timestamps in milliseconds.
    pub(crate) off: Ms,
    /// A trade that does not set the last price; the row reports it as the last trade.
    pub(crate) odd: Option<&'a Value>,
    pub(crate) denied: bool,
    /// True if the last trade has the condition for extended hours.
    pub(crate) extended: bool,
}

impl Row<'_> {
    fn close_of(&self, session: &Session) -> Option<Decimal> {
        let close = session.close()?;
        Some(Decimal(self.tape.get(close).price))
    }

    fn nanos(&self, at: Ms) -> i64 {
        (at + self.off) * 1_000_000
    }

    /// Writes the row in the format of the vendor's snapshot.
    pub(crate) fn vendor(&self, text: &mut String) {
        self.vendor_row(text).expect("a string takes all");
    }

    fn vendor_row(&self, text: &mut String) -> std::fmt::Result {
        let Self { ticker, .. } = self;
        if self.denied {
            return write!(
                text,
                r#"{{"ticker":"{ticker}","error":"NOT_ENTITLED","message":"Not entitled to this ticker."}}"#
            );
        }
        let status = self.status;
        let late = if self.kind.delay() > 0 {
            "DELAYED"
        } else {
            "REAL-TIME"
        };
        let nanos = self.nanos(self.last.at);
        let price = Decimal(self.last.price);
        write!(
            text,
            r#"{{"ticker":"{ticker}","market_status":"{status}","session":{{"change":0"#
        )?;
        if let Some(close) = self.close_of(self.session) {
            write!(text, r#","close":{close}"#)?;
        }
        if let Some(close) = self.close_of(self.before) {
            write!(text, r#","previous_close":{close}"#)?;
        }
        if let Some((low, high)) = self.session.range {
            write!(text, r#","low":{},"high":{}"#, Decimal(low), Decimal(high))?;
        }
        text.push('}');
        match self.place {
            SPXW | NVDA => {
                let [bid, ask] = self.last.book.map(Decimal);
                // The last trade of a contract belongs to the session of the row, which can be an
                // earlier one than that of the quote.
                if let Some(last) = self.session.last {
                    let last = self.tape.get(last);
                    let (price, at) = (Decimal(last.price), self.nanos(last.at));
                    write!(
                        text,
                        r#","last_trade":{{"price":{price},"size":1,"sip_timestamp":{at},"timeframe":"{late}"}}"#
                    )?;
                }
                write!(
                    text,
                    r#","type":"options","greeks":{{"delta":0.51,"gamma":0.01,"theta":-0.2,"vega":0.3}},"implied_volatility":0.21,"open_interest":1200,"last_quote":{{"bid":{bid},"ask":{ask},"bid_size":3,"ask_size":4,"last_updated":{nanos},"timeframe":"{late}"}}}}"#
                )
            }
            SPY => {
                let (price, conditions, at) = match self.odd {
                    Some(odd) => (Decimal(odd.price), "[53,52,41]", self.nanos(odd.at)),
                    // Outside the regular hours each trade has the condition 12 (extended hours).
                    None if self.extended => (price, "[12]", nanos),
                    None => (price, "[]", nanos),
                };
                write!(
                    text,
                    r#","type":"stocks","last_trade":{{"price":{price},"size":100,"conditions":{conditions},"sip_timestamp":{at},"timeframe":"{late}"}},"last_updated":{nanos}}}"#
                )
            }
            _ => write!(
                text,
                r#","type":"indices","value":{price},"timeframe":"{late}","last_updated":{nanos}}}"#
            ),
        }
    }

    /// Writes the row in the format of the proxy's quotes.
    pub(crate) fn proxy(&self, text: &mut String) {
        self.proxy_row(text).expect("a string takes all");
    }

    fn proxy_row(&self, text: &mut String) -> std::fmt::Result {
        let Self { ticker, last, .. } = self;
        let as_of = match self.place {
            0..=2 => last.at + self.off,
            _ => self.nanos(last.at),
        };
        let (price, change) = match self.close_of(self.before) {
            Some(before) => (last.price, last.price - before.0),
            None => (last.price, 0),
        };
        let (price, change) = (Decimal(price), Decimal(change));
        write!(
            text,
            r#"{{"symbol":"{ticker}","last":{price},"change":{change},"changePercent":0.1,"asOf":{as_of},"source":"indices"}}"#
        )
    }
}
