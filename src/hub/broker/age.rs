//! The age of an event, and the JSON field that reports the age to clients. This module reads no
//! clock.
//!
//! A hub sends last values again to new clients, and sends values late to clients that read slowly.
//! Such an event has the field `age`, in milliseconds. The field is an extension of this hub: the
//! vendor has no such field, and the vendor's clients ignore the field.

use std::time::Duration;

use crate::market::{self, Channel, ChannelKind, QuoteSource, Symbol};
use crate::time::Moment;

/// The maximum age for a ticker that this program does not know. It is equal to the limit of an
/// option.
const UNKNOWN_SYMBOL: Duration = Duration::from_secs(60);

/// The receive time of an event, and the age that the event already had at the receive time.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Arrival {
    /// The receive time of the event in this process.
    pub at: Moment,
    /// The age that the previous hub in a chain of hubs reported for the event. The ages of all
    /// hubs in the chain add up.
    pub age: Duration,
}

impl Arrival {
    /// Returns the arrival of a new event, with age zero.
    pub const fn new(at: Moment) -> Self {
        Self {
            at,
            age: Duration::ZERO,
        }
    }

    /// Returns the age of the event at the time `now`.
    pub(crate) const fn age(self, now: Moment) -> Duration {
        now.since(self.at).saturating_add(self.age)
    }
}

/// Returns the maximum age of an event that the hub repeats to a new client. Clients that do not
/// know the field `age` take a repeated value for a new value, so the hub does not repeat a value
/// that the display would show as stale.
pub(crate) fn repeat_limit(channel: &Channel) -> Duration {
    let source = match channel.kind {
        ChannelKind::Value | ChannelKind::Quote | ChannelKind::Trade => QuoteSource::Tick,
        ChannelKind::Second => QuoteSource::Second,
        ChannelKind::Minute => QuoteSource::Minute,
    };
    let symbol = Symbol::from_ticker(&channel.ticker);
    // The program does not know the trading hours of this ticker.
    symbol.map_or(UNKNOWN_SYMBOL, |symbol| market::limit(&symbol, source))
}

/// Writes an event with `age` as its first field. An `age` field that the event already has is
/// dropped.
pub(crate) fn write(json: &[u8], age: Duration, into: &mut Vec<u8>) {
    let inner = json.strip_prefix(b"{");
    let Some(mut rest) = inner.and_then(|inner| inner.strip_suffix(b"}")) else {
        // The hub relays only JSON objects, so this branch is only a fallback, which copies the
        // input.
        into.extend_from_slice(json);
        return;
    };
    into.extend_from_slice(b"{\"age\":");
    into.extend_from_slice(age.as_millis().to_string().as_bytes());
    while !rest.is_empty() {
        let end = member_end(rest);
        let member = &rest[..end];
        rest = rest.get(end + 1..).unwrap_or_default();
        if !member.trim_ascii().is_empty() && !is_age(member) {
            into.push(b',');
            into.extend_from_slice(member);
        }
    }
    into.push(b'}');
}

/// Returns the index of the comma after the first member, or the length of `members` if the first
/// member is the last one.
fn member_end(members: &[u8]) -> usize {
    let (mut depth, mut in_string, mut escaped) = (0_u32, false, false);
    for (at, byte) in members.iter().enumerate() {
        match byte {
            _ if escaped => escaped = false,
            b'\\' if in_string => escaped = true,
            b'"' => in_string = !in_string,
            _ if in_string => {}
            b'{' | b'[' => depth += 1,
            b'}' | b']' => depth = depth.saturating_sub(1),
            b',' if depth == 0 => return at,
            _ => {}
        }
    }
    members.len()
}

/// Returns true if the name of the member is `age`. The name may contain JSON escapes.
fn is_age(member: &[u8]) -> bool {
    let mut names = serde_json::Deserializer::from_slice(member).into_iter::<String>();
    matches!(names.next(), Some(Ok(name)) if name == "age")
}

#[cfg(test)]
#[path = "tests/age.rs"]
mod tests;
