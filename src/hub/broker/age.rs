//! The age of an event, and the JSON field that reports the age to clients. This module reads no
//! clock.
//!
//! A hub sends last values again to new clients, and sends values late to clients that read slowly.
//! Such an event has the field `age`, in milliseconds. The field is an extension of this hub: the
//! vendor has no such field, and the vendor's clients ignore the field.

use std::time::Duration;

use crate::time::Moment;

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

/// Writes an event with `age` as its first field. An `age` field that the event already has is
/// dropped.
pub(crate) fn write(json: &[u8], age: Duration, into: &mut Vec<u8>) {
    let inner = json.strip_prefix(b"{");
    let Some(mut rest) = inner.and_then(|inner| inner.strip_suffix(b"}")) else {
        // The hub relays only JSON objects, so this branch is only a fallback. It copies the input.
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
mod tests {
    use super::*;
    use serde_json::Value;

    fn aged(json: &str) -> String {
        let mut text = Vec::new();
        write(json.as_bytes(), Duration::from_millis(29_004), &mut text);
        String::from_utf8(text).unwrap()
    }

    #[test]
    fn every_event_contains_exactly_one_age() {
        for (json, expected) in [
            ("{}", r#"{"age":29004}"#),
            ("{ }", r#"{"age":29004}"#),
            (r#"{"ev":"V"}"#, r#"{"age":29004,"ev":"V"}"#),
            (r#"{"age":1}"#, r#"{"age":29004}"#),
            (
                r#"{"age":1,"ev":"V","age":"x"}"#,
                r#"{"age":29004,"ev":"V"}"#,
            ),
            (
                r#"{ "\u0061ge" : [1,{"age":2}] ,"T":"I:SPX"}"#,
                r#"{"age":29004,"T":"I:SPX"}"#,
            ),
            (
                r#"{"a":",\"age\":","b":[{"age":1}, 2],"\\":"}"}"#,
                r#"{"age":29004,"a":",\"age\":","b":[{"age":1}, 2],"\\":"}"}"#,
            ),
        ] {
            assert_eq!(aged(json), expected);
        }
    }

    #[test]
    fn the_age_from_the_previous_hub_is_added_to_the_age_in_this_hub() {
        let arrival = Arrival {
            at: Moment::from_secs(3),
            age: Duration::from_secs(26),
        };
        assert_eq!(
            arrival.age(Moment::from_millis(3500)),
            Duration::from_millis(26_500)
        );
        assert_eq!(
            Arrival::new(Moment::from_secs(3)).age(Moment::from_secs(1)),
            Duration::ZERO
        );
    }

    fn any_json() -> impl proptest::strategy::Strategy<Value = Value> {
        use proptest::prelude::*;
        let leaf = prop_oneof![
            any::<i32>().prop_map(Value::from),
            "[ -~]{0,6}".prop_map(Value::from),
            any::<bool>().prop_map(Value::from),
        ];
        leaf.prop_recursive(3, 24, 4, |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
                prop::collection::btree_map("age|[ -~]{0,4}", inner, 0..4)
                    .prop_map(Value::from_iter),
            ]
        })
    }

    proptest::proptest! {
        #[test]
        fn only_the_age_of_an_event_is_changed(json in any_json(), spaces: bool) {
            let mut json = json;
            let text = if spaces {
                serde_json::to_string_pretty(&json).unwrap()
            } else {
                json.to_string()
            };
            let read: Value = serde_json::from_str(&aged(&text)).unwrap();
            if let Some(object) = json.as_object_mut() {
                object.insert("age".into(), 29_004.into());
            }
            proptest::prop_assert_eq!(read, json);
        }
    }
}
