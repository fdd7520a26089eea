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
            prop::collection::btree_map("age|[ -~]{0,4}", inner, 0..4).prop_map(Value::from_iter),
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
