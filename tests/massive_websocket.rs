//! Tests of the parser for WebSocket frames: no bytes cause a panic or a wrong value, and one bad
//! event does not affect the other events.
#![allow(clippy::unwrap_used)]

use deskticker::market::{ChannelKind, Price, TopOfBook, Trade};
use deskticker::massive::websocket::{
    self, ChannelRefusal, Event, MarketData, MarketEvent, ParseError, RelayedEventRef, StatusKind,
    invalid_price,
};
use deskticker::time::Utc;
use proptest::prelude::*;

const FRAMES: &str = include_str!("frames/massive.jsonl");

fn read(frame: &str) -> Vec<Result<Event<'_>, ParseError>> {
    websocket::events(frame).collect()
}

/// The market data of the event at this index, and its ticker.
fn market(frame: &str, at: usize) -> (String, MarketEvent) {
    match read(frame).remove(at) {
        Ok(Event::Market(ticker, event)) => (ticker.into_owned(), event),
        other => panic!("{other:?}"),
    }
}

fn values(frame: &str) -> Vec<String> {
    websocket::events(frame)
        .filter_map(|event| match event {
            Ok(Event::Market(ticker, event)) => match event.data {
                MarketData::Value(price) => Some(format!("{ticker} {price}")),
                _ => None,
            },
            _ => None,
        })
        .collect()
}

fn price(number: f64) -> Price {
    Price::from_f64(number).unwrap()
}

#[test]
fn every_documented_frame_is_parsed() {
    for frame in FRAMES.lines() {
        for event in read(frame) {
            assert!(event.is_ok(), "{event:?} in {frame}");
        }
    }
    assert_eq!(FRAMES.lines().count(), 24);
}

#[test]
fn an_index_value_has_its_ticker_in_a_capital_t() {
    let event = read(r#"[{"ev":"V","val":3988.5,"T":"I:SPX","t":1678220098130}]"#)
        .remove(0)
        .unwrap();
    let expected = MarketEvent {
        kind: ChannelKind::Value,
        data: MarketData::Value(price(3988.5)),
        age: None,
        stamp: Some(Utc(1_678_220_098_130)),
    };
    assert_eq!(event, Event::Market("I:SPX".into(), expected));
}

#[test]
fn a_bar_has_its_ticker_in_sym_and_a_for_seconds_am_for_minutes() {
    for (ev, kind) in [("A", ChannelKind::Second), ("AM", ChannelKind::Minute)] {
        let frame = format!(
            r#"[{{"ev":"{ev}","sym":"I:SPX","op":1,"o":2,"c":3,"h":4,"l":1.5,"s":1678220675000,"e":1678220676000}}]"#
        );
        let (ticker, event) = market(&frame, 0);
        let MarketData::Bar { bar, volume } = event.data else {
            panic!("no bar")
        };
        assert_eq!((&*ticker, event.kind), ("I:SPX", kind));
        assert_eq!(event.stamp, Some(bar.end));
        assert_eq!(volume, None, "an index has none");
        assert_eq!(
            (bar.open, bar.high, bar.low, bar.close),
            (price(2.0), price(4.0), price(1.5), price(3.0))
        );
    }
}

#[test]
fn an_option_quote_has_bid_and_ask() {
    let frame = FRAMES
        .lines()
        .find(|frame| frame.contains(r#""ev":"Q","sym":"O:"#))
        .unwrap();
    let (ticker, event) = market(frame, 0);
    let MarketData::Quote(book) = event.data else {
        panic!("no quote")
    };
    let expected = TopOfBook {
        bid: price(9.71),
        ask: price(9.81),
        bid_size: 17,
        ask_size: 24,
    };
    assert_eq!((&*ticker, book), ("O:SPY241220P00720000", expected));
    assert_eq!(book.mid(), Some(price(9.76)));
    let crossed = TopOfBook {
        bid: price(9.82),
        ..expected
    };
    assert_eq!(crossed.mid(), None);
}

#[test]
fn a_trade_has_its_price_and_size_and_a_bar_the_volume_of_today() {
    let frame = r#"[{"ev":"T","sym":"O:AMC210827C00037000","x":65,"p":1.54,"s":1,"c":[233],"t":1629820676333,"q":651921857},
        {"ev":"A","sym":"SPY","v":200,"av":8642007.5,"op":25.66,"o":25.3,"c":25.31,"h":25.33,"l":25.3,"s":1610144868000,"e":1610144869000}]"#;
    let (_, event) = market(frame, 0);
    let MarketData::Trade(trade) = event.data else {
        panic!("no trade")
    };
    let expected = Trade {
        price: price(1.54),
        size: 1,
    };
    assert_eq!(
        (trade, event.stamp),
        (expected, Some(Utc(1_629_820_676_333)))
    );
    let MarketData::Bar { volume, .. } = market(frame, 1).1.data else {
        panic!("no bar")
    };
    assert_eq!(volume, Some(8_642_007));
}

#[test]
fn every_status_has_its_own_kind() {
    let cases = [
        ("connected", StatusKind::Connected),
        ("auth_success", StatusKind::AuthSuccess),
        ("auth_failed", StatusKind::AuthFailed),
        ("auth_timeout", StatusKind::AuthTimeout),
        ("success", StatusKind::Success),
        ("error", StatusKind::Error),
        ("max_connections", StatusKind::MaxConnections),
        ("slow_consumer", StatusKind::Dropping),
        ("force_disconnect", StatusKind::Dropping),
        ("simulated", StatusKind::Simulated),
        ("upstream_down", StatusKind::UpstreamDown),
        ("upstream_up", StatusKind::UpstreamUp),
        ("retry_after", StatusKind::RetryAfter),
        ("pending", StatusKind::Pending),
        ("something new", StatusKind::Other),
    ];
    for (status, verdict) in cases {
        let frame = format!(r#"[{{"ev":"status","status":"{status}","message":"words"}}]"#);
        assert_eq!(read(&frame), [Ok(Event::Status(verdict, "words".into()))]);
    }
}

#[test]
fn an_acknowledgement_and_a_refusal_are_recognised_by_their_prefix() {
    assert_eq!(
        websocket::subscribed("subscribed to: V.I:SPX")
            .unwrap()
            .to_string(),
        "V.I:SPX"
    );
    assert_eq!(websocket::subscribed("unsubscribed to: V.I:SPX"), None);
    assert_eq!(websocket::subscribed("not authorized"), None);
    // The refusals of a hub name the channel.
    let refused = |message| {
        let (channel, refusal) = websocket::refused(message)?;
        Some((channel.to_string(), refusal))
    };
    let spx = || "V.I:SPX".to_owned();
    assert_eq!(
        refused("not authorized: V.I:SPX"),
        Some((spx(), ChannelRefusal::NotAuthorized))
    );
    assert_eq!(
        refused("not subscribed to: V.I:SPX: at most 9 channels (subscriptions)"),
        Some((spx(), ChannelRefusal::Limit))
    );
    for other in [
        "not authorized",
        "not subscribed to: V.I:SPX",
        "not subscribed to: X: at most",
    ] {
        assert_eq!(refused(other), None, "{other}");
    }
}

#[test]
fn a_frame_can_mix_all_kinds_of_events_in_any_order() {
    let frame = r#"[{"ev":"status","status":"error","message":"not authorized"},{"T":"I:VIX","t":1678220099130,"ev":"V","val":17.02},{"ev":"LULD","T":"MSFT","h":1,"i":[21]}]"#;
    assert_eq!(read(frame).len(), 3);
    assert_eq!(values(frame), ["I:VIX 17.02"]);
}

#[test]
fn numbers_are_parsed_in_every_json_format() {
    for (spelling, shown) in [
        ("3988", "3,988.00"),
        ("3988.5", "3,988.50"),
        ("1e3", "1,000.00"),
        ("12.0", "12.00"),
        ("1.2E+1", "12.00"),
        ("123456789012e-8", "1,234.57"),
    ] {
        let frame = format!(r#"[{{"ev":"V","val":{spelling},"T":"I:SPX"}}]"#);
        assert_eq!(values(&frame), [format!("I:SPX {shown}")], "{spelling}");
    }
}

#[test]
fn a_number_that_is_no_price_is_refused() {
    for spelling in [
        "1e999", "-1e999", "0", "-0", "0.0", "4.2e-7", "-5", "1e12", "NaN", "Infinity", "\"17\"",
        "null", "true", "[1]", "{}", "0x10", "01", "1_000", "+1", ".5", "--1",
    ] {
        let frame = format!(
            r#"[{{"ev":"V","val":{spelling},"T":"I:SPX","t":1}},{{"ev":"V","val":17.02,"T":"I:VIX"}}]"#
        );
        assert_eq!(values(&frame), ["I:VIX 17.02"], "{spelling}");
        assert_eq!(
            read(&frame).iter().filter(|event| event.is_err()).count(),
            1,
            "{spelling}"
        );
    }
}

#[test]
fn the_unit_of_a_timestamp_follows_from_its_digits_and_a_strange_one_keeps_the_value() {
    let stamp = |t: &str| {
        let frame = format!(r#"[{{"ev":"V","val":1,"T":"I:SPX","t":{t}}}]"#);
        match read(&frame).remove(0) {
            Ok(Event::Market(_, event)) => event.stamp.map(|utc| utc.0),
            other => panic!("{t}: {other:?}"),
        }
    };
    assert_eq!(stamp("1678220098130"), Some(1_678_220_098_130));
    assert_eq!(stamp("1678220098130000"), Some(1_678_220_098_130));
    assert_eq!(stamp("1678220098130000000"), Some(1_678_220_098_130));
    assert_eq!(stamp("1678220098"), Some(1_678_220_098_000));
    for strange in ["0", "-1", "16782200", "1e300", "\"now\"", "null", "[]"] {
        assert_eq!(stamp(strange), None, "{strange}");
    }
}

#[test]
fn every_kind_of_junk_has_its_own_error() {
    for (frame, expected) in [
        (r#"{"ev":"V","val":1,"T":"I:SPX"}"#, ParseError::NoArray),
        ("", ParseError::NoArray),
        ("<html>", ParseError::NoArray),
        ("[1]", ParseError::Debris),
        ("[] trailing", ParseError::Debris),
        ("[", ParseError::Syntax),
        (r#"[{"ev":"V","val":39"#, ParseError::Syntax),
        (r#"[{"ev":"V","T":"I:SPX"}]"#, ParseError::Field),
        (r#"[{"val":1,"T":"I:SPX"}]"#, ParseError::Field),
        (r#"[{"ev":"V","val":1}]"#, ParseError::Field),
        (r#"[{"ev":"V","val":0,"T":"I:SPX"}]"#, ParseError::Number),
        (
            r#"[{"ev":"AM","sym":"I:SPX","o":2,"c":3,"h":1,"l":4,"s":1678220675000,"e":1678220676000}]"#,
            ParseError::Number,
        ),
        (r#"[{"ev":"ZZ"}]"#, ParseError::Unknown),
    ] {
        assert_eq!(read(frame), [Err(expected)], "{frame}");
    }
    assert_eq!(read("[]"), []);
}

#[test]
fn deep_nesting_does_not_overflow_the_stack() {
    let deep = format!(
        r#"[{{"ev":"V","x":{}1{},"val":1,"T":"I:SPX"}},{{"ev":"V","val":2,"T":"I:VIX"}}]"#,
        "[".repeat(500_000),
        "]".repeat(500_000)
    );
    assert_eq!(values(&deep), ["I:SPX 1.00", "I:VIX 2.00"]);
    read(&"[".repeat(1 << 20));
    read(&"[{".repeat(1 << 19));
}

#[test]
fn a_frame_of_maximum_size_with_one_repeated_character_does_not_overflow_the_stack() {
    for sign in [",", "[", "]", "{", "}", "[,", ", ", "{}", "{],", "\"", "\\"] {
        let frame = format!(
            "[{}",
            sign.repeat(deskticker::net::upgrade::MESSAGE_LIMIT / sign.len())
        );
        for end in ["", "]", r#"{"ev":"V","val":1,"T":"I:SPX"}]"#] {
            let frame = format!("{frame}{end}");
            let events = read(&frame).len();
            assert!(events <= frame.len(), "{sign}");
            assert_eq!(websocket::passing(&frame).count(), events, "{sign}{end}");
        }
    }
    // Commas alone only separate; they create no event.
    let commas = ",".repeat(1 << 20);
    let frame = format!(r#"[{commas}{{"ev":"V","val":1,"T":"I:SPX"}}{commas}]"#);
    assert_eq!(values(&frame), ["I:SPX 1.00"]);
}

#[test]
fn every_truncated_frame_gives_only_its_complete_events() {
    for frame in FRAMES.lines() {
        let whole = values(frame);
        for end in 0..frame.len() {
            let part = values(&frame[..end]);
            assert!(whole.starts_with(&part), "{part:?} from {}", &frame[..end]);
        }
    }
}

#[test]
fn every_request_is_one_object_with_one_channel() {
    let channel = websocket::subscribed("subscribed to: V.I:SPX").unwrap();
    assert_eq!(
        websocket::subscribe(&channel),
        r#"{"action":"subscribe","params":"V.I:SPX"}"#
    );
    assert_eq!(
        websocket::unsubscribe(&channel),
        r#"{"action":"unsubscribe","params":"V.I:SPX"}"#
    );
    assert_eq!(
        websocket::auth("a\"b"),
        r#"{"action":"auth","params":"a\"b"}"#
    );
}

/// Changes, removes, doubles and moves bytes of the fixtures. `FUZZ_ROUNDS` sets the number of
/// rounds.
#[test]
fn no_mutation_of_a_frame_causes_a_panic_or_an_invalid_price() {
    let rounds: u64 = std::env::var("FUZZ_ROUNDS")
        .ok()
        .map_or(20_000, |rounds| rounds.parse().unwrap());
    let frames: Vec<&str> = FRAMES.lines().collect();
    for round in 0..rounds {
        let mut random = fastrand::Rng::with_seed(round);
        let mut bytes = frames[random.usize(..frames.len())].as_bytes().to_vec();
        for _ in 0..random.usize(1..8) {
            let at = random.usize(..bytes.len());
            match random.u8(..6) {
                0 => bytes[at] = random.u8(..),
                1 => bytes[at] = *random.choice(b"[]{}\",:\\0-e.tn").unwrap(),
                2 => drop(bytes.remove(at)),
                3 => bytes.insert(at, random.u8(..)),
                4 => bytes.truncate(at.max(1)),
                _ => bytes.extend_from_slice(frames[random.usize(..frames.len())].as_bytes()),
            }
            if bytes.is_empty() {
                bytes.push(b'[');
            }
        }
        for event in websocket::events(&String::from_utf8_lossy(&bytes)) {
            if let Ok(Event::Market(_, event)) = event
                && let MarketData::Value(price) = event.data
            {
                assert!(
                    price > Price::from_scaled(0) && price <= Price::MAX,
                    "seed {round}: {price}"
                );
            }
        }
    }
}

#[test]
fn every_event_on_a_channel_is_relayed_unchanged() {
    let mut passed = Vec::new();
    for frame in FRAMES.lines() {
        for passing in websocket::passing(frame) {
            if let RelayedEventRef::Data {
                kind, ticker, json, ..
            } = passing.unwrap()
            {
                assert!(frame.contains(json));
                passed.push(format!("{}.{ticker}", kind.prefix()));
            }
        }
    }
    let expected = [
        "V.I:SPX",
        "V.I:SPX",
        "V.I:VIX",
        "A.I:SPX",
        "AM.I:SPX",
        "Q.O:SPY241220P00720000",
        "T.O:AMC210827C00037000",
        "A.O:ONEM220121C00025000",
        "AM.O:ONEM220121C00025000",
        "T.MSFT",
        "Q.MSFT",
        "A.SPCE",
    ];
    assert_eq!(passed, expected);
}

#[test]
fn an_event_that_would_break_a_frame_is_not_relayed() {
    for (event, expected) in [
        (r#"{"ev":"V","val":NaN,"T":"I:SPX"}"#, ParseError::Syntax),
        (r#"{"ev":"T","sym":"SPY","p":1e999}"#, ParseError::Number),
        (r#"{"ev":"T","sym":"SPY","p":1,}"#, ParseError::Syntax),
        (r#"{"ev":"T","p":1}"#, ParseError::Field),
        (r#"{"ev":"V","val":0,"T":"I:SPX"}"#, ParseError::Number),
        (r#"{"ev":"V","val":"1","T":"I:SPX"}"#, ParseError::Field),
        (r#"{"ev":"ZZ","sym":"SPY"}"#, ParseError::Unknown),
    ] {
        let frame = format!(r#"[{event},{{"ev":"T","sym":"SPY","p":0.5}}]"#);
        let passing: Vec<_> = websocket::passing(&frame).collect();
        assert_eq!(passing[0], Err(expected), "{event}");
        assert!(
            matches!(passing[1], Ok(RelayedEventRef::Data { .. })),
            "{event}"
        );
    }
}

proptest! {
    #[test]
    fn every_relayed_event_is_valid_json(text in "[\\[{}\\]\",:\\\\a-eV0-9.]{0,60}") {
        let frame = format!(r#"[{{"ev":"T","sym":"SPY","x":{text}}},{{{text}}}]"#);
        for passing in websocket::passing(&frame) {
            if let Ok(RelayedEventRef::Data { json, .. }) = passing {
                let read = serde_json::from_str::<serde_json::Value>(json);
                prop_assert!(read.is_ok(), "{}", json);
            }
        }
    }

    #[test]
    fn no_text_makes_the_frame_parser_panic(text in any::<String>()) {
        read(&text);
        read(&format!("[{text}]"));
        read(&format!("[{{{text}}}]"));
    }

    #[test]
    fn a_good_event_survives_any_junk_beside_it(junk in "[^\\[\\]{}\"\\\\]{0,40}") {
        let frame = format!(r#"[{{"ev":"V","val":{junk},"T":"I:NDX"}},{{"ev":"V","val":17.02,"T":"I:VIX"}}]"#);
        prop_assert!(values(&frame).contains(&"I:VIX 17.02".to_owned()), "{}", frame);
    }
}

#[test]
fn the_ticker_and_the_number_of_an_invalid_price_are_named_and_no_other_text() {
    let frame = r#"[{"ev":"V","val":1.5,"T":"I:VIX"},{"ev":"V","val":0,"T":"I:SPX","x":"s3cr3t"}]"#;
    assert_eq!(invalid_price(frame).as_deref(), Some("I:SPX: val 0"));
    for frame in [
        "",
        "[]",
        r#"[{"ev":"V","val":1.5,"T":"I:VIX"}]"#,
        r#"[{"ev":"V","val":0,"T":"no symbol"}]"#,
    ] {
        assert_eq!(invalid_price(frame), None, "{frame}");
    }
}
