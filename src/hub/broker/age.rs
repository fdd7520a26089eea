//! How old an event is, and how that is said in it. Reads no clock.
//!
//! A hub repeats its newest values to who comes later, and keeps them for who reads slowly. Such
//! an event says how old it is in a field of ours, `age`, in milliseconds; the vendor has no such
//! field, and its clients ignore it.

use std::time::Duration;

use crate::time::Moment;

/// When something came, and how old it was said to be then.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Arrival {
    /// When it came here.
    pub at: Moment,
    /// How old it was by the word of the hub before this one; ages add up.
    pub age: Duration,
}

impl Arrival {
    /// It has come now, and is new.
    pub const fn new(at: Moment) -> Self {
        Self {
            at,
            age: Duration::ZERO,
        }
    }

    /// How old it is now.
    pub(crate) const fn age(self, now: Moment) -> Duration {
        now.since(self.at).saturating_add(self.age)
    }
}

/// Writes an event with its age, in place of one that it may say.
pub(crate) fn write(json: &[u8], age: Duration, into: &mut Vec<u8>) {
    let inner = json.strip_prefix(b"{");
    let Some(mut rest) = inner.and_then(|inner| inner.strip_suffix(b"}")) else {
        // Nothing else is ever passed on.
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

/// Where the first member of an object ends: at its comma, or with the object.
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

/// Whether the name of a member is `age`, however it is written.
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
    fn an_age_is_said_once_whatever_the_event_looks_like() {
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
    fn ages_add_up_from_hub_to_hub() {
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
        let page_spec = prop_oneof![
            any::<i32>().prop_map(Value::from),
            "[ -~]{0,6}".prop_map(Value::from),
            any::<bool>().prop_map(Value::from),
        ];
        page_spec.prop_recursive(3, 24, 4, |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
                prop::collection::btree_map("age|[ -~]{0,4}", inner, 0..4)
                    .prop_map(Value::from_iter),
            ]
        })
    }

    proptest::proptest! {
        #[test]
        fn nothing_but_the_age_is_changed(json in any_json(), spaces: bool) {
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
