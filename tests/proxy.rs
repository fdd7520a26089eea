//! Against the proxy that users already run: no greeting, no acknowledgement, everybody's frames,
//! and a socket that stays open and silent after its own upstream has died.
#![allow(clippy::unwrap_used)]

#[path = "support/proxy_server.rs"]
mod proxy_server;
#[path = "support/running_ticker.rs"]
mod running_ticker;

use deskticker::net::connector::Connector;
use proxy_server::{Proxy, ProxyAction, ProxyEvent, TOKEN, json};
use running_ticker::{START, TickerUnderTest};
use tokio_tungstenite::tungstenite::Message;

const QUOTES: &str = r#"{"results":[
    {"symbol":"I:SPX","last":5900.00,"change":10.00,"changePercent":0.17,"asOf":1795444199000,"source":"indices"},
    {"symbol":"VIX","last":17.25,"change":-0.40,"changePercent":-2.27,"asOf":1795444199000000000,"source":"indices-fallback"}]}"#;

fn stage_of(watchlist: &[&str], prepare: impl FnOnce(&Proxy)) -> (Proxy, TickerUnderTest) {
    let (clock, hand) = running_ticker::manual_clock();
    let proxy = Proxy::start(clock.clone());
    prepare(&proxy);
    let source = running_ticker::hub(proxy.address, TOKEN);
    let connector = Connector::new(None).unwrap();
    (
        proxy,
        TickerUnderTest::new(source, connector, watchlist, (clock, hand)),
    )
}

fn stage(prepare: impl FnOnce(&Proxy)) -> (Proxy, TickerUnderTest) {
    stage_of(&["SPX", "VIX"], prepare)
}

/// A value of now, `secs` after the start.
fn value(ticker: &str, price: &str, secs: i64) -> String {
    let t = START.0 + secs * 1000;
    format!(r#"{{"ev":"V","val":{price},"T":"{ticker}","t":{t}}}"#)
}

fn both(secs: i64) -> String {
    let (spx, vix) = (
        value("I:SPX", "5912.34", secs),
        value("I:VIX", "17.20", secs),
    );
    format!("[{spx},{vix}]")
}

fn with_quotes(proxy: &Proxy) {
    proxy.behave(|manner| manner.quotes = json("200 OK", QUOTES));
}

fn is_upgrade(seen: &ProxyEvent) -> bool {
    matches!(seen, ProxyEvent::Upgrade(..))
}

fn is_quotes(seen: &ProxyEvent) -> bool {
    matches!(seen, ProxyEvent::Quotes(..))
}

/// Makes the client ask for quotes, which proves that it has seen what time it is.
fn asks_for_quotes(proxy: &mut Proxy, stage: &TickerUnderTest) {
    stage.watches_anew();
    proxy.until(|seen| matches!(seen, ProxyEvent::Quotes(path, _) if path.ends_with("=SPX,VIX")));
}

#[test]
fn where_tickets_are_offered_each_upgrade_has_one_and_the_token_stays_out_of_the_address() {
    let (mut proxy, _stage) = stage(|proxy| {
        proxy.behave(|manner| manner.ticket = Some("one/use+only==.ab".into()));
    });
    let ProxyEvent::Upgrade(address, _) = proxy.until(is_upgrade) else {
        unreachable!()
    };
    assert_eq!(address, "/ws/indices?token=one%2Fuse%2Bonly%3D%3D%2Eab");
    proxy.subscribed(4);
}

#[test]
fn who_comes_late_and_is_told_nothing_shows_what_comes() {
    let (mut proxy, mut stage) = stage(with_quotes);
    let ProxyEvent::Upgrade(path, _) = proxy.until(is_upgrade) else {
        unreachable!()
    };
    // `+` would arrive as a space, and `/` and `=` have a meaning of their own.
    let token = path.strip_prefix("/ws/indices?token=").unwrap();
    assert!(!token.contains(['+', '/', '=']), "{token}");
    let decoded: Vec<u8> = percent_encoding::percent_decode_str(token).collect();
    assert_eq!(decoded, TOKEN.as_bytes());
    // Every version of the proxy takes one channel a message.
    let channels = proxy.subscribed(4);
    assert_eq!(channels, ["AM.I:SPX", "AM.I:VIX", "V.I:SPX", "V.I:VIX"]);
    let quotes = proxy.log.iter().find(|seen| is_quotes(seen)).cloned();
    let quotes = quotes.unwrap_or_else(|| proxy.until(is_quotes));
    let expected = "/api/quotes?tickers=SPX,VIX".to_owned();
    assert_eq!(quotes, ProxyEvent::Quotes(expected, Some(TOKEN.into())));
    stage.shows("proxy-quotes-before-the-first-frame");
    proxy.text(both(0));
    stage.shows("proxy-live");
    // What came on a channel confirms it. The others are asked for once more, and then left.
    stage.advance(10);
    assert_eq!(proxy.subscribed(2), ["AM.I:SPX", "AM.I:VIX"]);
    stage.advance(10);
    proxy.text(both(20));
    proxy.heard();
    stage.advance(10);
    proxy.heard();
    assert_eq!(proxy.upgrades(), [0]);
    let said = proxy
        .log
        .iter()
        .filter(|seen| matches!(seen, ProxyEvent::Text(_)));
    assert_eq!(said.count(), 6);
}

#[test]
fn an_option_goes_to_the_other_socket_and_nothing_is_opened_that_nobody_needs() {
    let (mut proxy, mut stage) = stage_of(&["O:SPY261218C00650000"], |_| {});
    let ProxyEvent::Upgrade(path, _) = proxy.until(is_upgrade) else {
        unreachable!()
    };
    assert!(path.starts_with("/ws/options?token="), "{path}");
    assert_eq!(proxy.subscribed(1), ["Q.O:SPY261218C00650000"]);
    proxy.text(format!(
        r#"[{{"ev":"Q","sym":"O:SPY261218C00650000","bx":302,"ax":301,"bp":9.71,"ap":9.75,"bs":17,"as":24,"t":{},"q":8}}]"#,
        START.0
    ));
    stage.shows("proxy-option");
    assert_eq!(proxy.upgrades(), [0]);
}

#[test]
fn what_was_meant_for_others_changes_nothing() {
    let (mut proxy, mut stage) = stage(with_quotes);
    proxy.subscribed(4);
    proxy.text(both(0));
    stage.shows("proxy-live");
    let status = |status: &str, message: &str| {
        format!(r#"{{"ev":"status","status":"{status}","message":"{message}"}}"#)
    };
    // Upstream's own conversation, the acks and refusals of other clients, and their tickers.
    proxy.text(format!(
        "[{}]",
        status("connected", "Connected Successfully")
    ));
    proxy.text(format!("[{}]", status("auth_success", "authenticated")));
    proxy.text(format!("[{}]", status("success", "subscribed to: V.I:NDX")));
    proxy.text(format!(
        "[{}]",
        status("success", "unsubscribed to: V.I:SPX")
    ));
    proxy.text(format!("[{}]", status("error", "not authorized")));
    proxy.text(format!(
        "[{}]",
        status("auth_failed", "authentication failed")
    ));
    proxy.text(format!("[{}]", status("auth_timeout", "")));
    proxy.text(format!("[{}]", status("max_connections", "exceeded")));
    proxy.text(format!("[{}]", value("I:NDX", "1", 0)));
    proxy.text(format!("[{}]", value("SPX", "2", 0)));
    proxy.text(format!("[{}]", value("i:spx", "3", 0)));
    let long = "I:AVERYLONGTICKERTHATFITSNOWHERE";
    proxy.text(format!("[{}]", value(long, "4", 0)));
    proxy.text(format!(
        r#"[{{"ev":"A","sym":"I:SPX","op":1,"o":5,"c":5,"h":5,"l":5,"s":{},"e":{}}}]"#,
        START.0,
        START.0 + 1000
    ));
    proxy.heard();
    // The next price of ours is drawn on what is there, on the same connection.
    proxy.text(format!("[{}]", value("I:VIX", "17.21", 0)));
    stage.shows("proxy-only-vix-has-moved");
    assert_eq!(proxy.upgrades(), [0]);
}

#[test]
fn a_refused_token_cools_down_for_a_minute() {
    let (mut proxy, mut stage) = stage(|proxy| {
        proxy.behave(|manner| {
            manner.token = "another".into();
            manner.quotes = json("403 Forbidden", r#"{"error":"forbidden","message":""}"#);
        });
    });
    proxy.until(is_upgrade);
    stage.shows("proxy-token-refused");
    for _ in 0..11 {
        stage.advance(5);
        asks_for_quotes(&mut proxy, &stage);
    }
    stage.shows("proxy-token-refused");
    proxy.behave(|manner| manner.token = TOKEN.into());
    stage.advance(20);
    proxy.subscribed(4);
    let upgrades = proxy.upgrades();
    assert_eq!(upgrades.len(), 2, "{upgrades:?}");
    assert!(upgrades[1] >= 60, "{upgrades:?}");
}

#[test]
fn a_path_that_is_not_there_is_no_refusal_and_tried_again_soon() {
    let (mut proxy, mut stage) = stage(|proxy| proxy.behave(|manner| manner.refusal = Some(404)));
    proxy.until(is_upgrade);
    stage.shows("proxy-not-found");
    proxy.behave(|manner| manner.refusal = None);
    stage.advance(2);
    proxy.subscribed(4);
    assert_eq!(proxy.upgrades(), [0, 2]);
}

#[test]
fn a_socket_that_stays_open_after_the_upstream_died_is_noticed_and_replaced() {
    let (mut proxy, mut stage) = stage(with_quotes);
    proxy.subscribed(4);
    proxy.text(both(0));
    stage.shows("proxy-live");
    stage.advance(11);
    stage.shows("proxy-silent-for-11s-spx-is-stale");
    stage.advance(9);
    proxy.until(|seen| *seen == ProxyEvent::Ping);
    proxy.heard();
    stage.shows("proxy-silent-for-20s-the-link-is-silent");
    // Answers to pings keep the connection, and nothing else, alive: 90 s of that are enough.
    for _ in 0..4 {
        stage.advance(20);
        proxy.until(|seen| *seen == ProxyEvent::Ping);
        proxy.heard();
    }
    assert_eq!(proxy.upgrades(), [0]);
    stage.shows("proxy-silent-for-100s-nothing-looks-live");
    stage.advance(10);
    assert_eq!(
        proxy.until(|seen| matches!(seen, ProxyEvent::Farewell(_))),
        ProxyEvent::Farewell(1000)
    );
    proxy.until(|seen| *seen == ProxyEvent::Gone(true));
    stage.advance(2);
    proxy.subscribed(4);
    assert_eq!(proxy.upgrades(), [0, 112]);
    proxy.text(both(112));
    stage.shows("proxy-live-after-the-silence");
}

#[test]
fn a_proxy_that_does_not_even_answer_pings_is_left_after_30_s() {
    let (mut proxy, stage) = stage(|_| {});
    proxy.subscribed(4);
    proxy.heard();
    // In one step: whatever it would have answered comes too late.
    stage.advance(30);
    proxy.until(|seen| matches!(seen, ProxyEvent::Farewell(_)));
    stage.advance(2);
    proxy.subscribed(4);
    assert_eq!(proxy.upgrades(), [0, 32]);
}

#[test]
fn text_in_binary_frames_is_read() {
    let (mut proxy, mut stage) = stage(with_quotes);
    proxy.subscribed(4);
    proxy.act(ProxyAction::Send(Message::binary(both(0))));
    stage.shows("proxy-live");
}

#[test]
fn junk_is_no_price_and_costs_no_connection() {
    let (mut proxy, mut stage) = stage(with_quotes);
    proxy.subscribed(4);
    proxy.text(both(0));
    stage.shows("proxy-live");
    proxy.act(ProxyAction::Send(Message::binary(vec![0xff, 0x00])));
    proxy.text(value("I:SPX", "2.00", 0));
    proxy.text(r#"{"error":"upstream"}"#);
    proxy.text("");
    proxy.text("[]");
    for number in [
        "1e999", "-0", "0", "-5912.34", "NaN", "null", "\"5912\"", "1e18",
    ] {
        proxy.text(format!("[{}]", value("I:SPX", number, 0)));
    }
    proxy.heard();
    proxy.text(format!("[{}]", value("I:VIX", "17.21", 0)));
    stage.shows("proxy-only-vix-has-moved");
    assert_eq!(proxy.upgrades(), [0]);
}

#[test]
fn a_message_that_cannot_be_read_ends_the_connection_with_a_reason() {
    let (mut proxy, mut stage) = stage(|_| {});
    // The head of a text frame of 2 MiB and not one byte of it: refused without room for it.
    let mut large = vec![0x81, 127];
    large.extend((2u64 << 20).to_be_bytes());
    // In pieces, of which each is allowed and all together are not.
    let mut pieces = Vec::new();
    for first in [0x01, 0x00, 0x00] {
        pieces.extend([first, 127]);
        pieces.extend((600u64 << 10).to_be_bytes());
        pieces.extend(vec![b' '; 600 << 10]);
    }
    let broken = vec![0x81, 5, b'[', 0xff, 0xfe, 0xfd, b']'];
    let reserved = vec![0xf1, 0];
    let mut secs = 0;
    // Its fault may last, so the waits grow; each is over after one and a half of its base.
    for (bytes, code, wait) in [
        (large, 1009, 2),
        (pieces, 1009, 3),
        (broken, 1007, 6),
        (reserved, 1002, 12),
    ] {
        proxy.subscribed(4);
        proxy.act(ProxyAction::Raw(bytes));
        let farewell =
            proxy.until(|seen| matches!(seen, ProxyEvent::Farewell(_) | ProxyEvent::Gone(_)));
        assert_eq!(farewell, ProxyEvent::Farewell(code));
        stage.shows("proxy-down-and-nothing-known");
        secs += wait;
        stage.advance(wait);
    }
    proxy.subscribed(4);
    proxy.text(both(secs as i64));
    stage.shows("proxy-live-after-the-junk");
}

#[test]
fn a_farewell_is_answered() {
    let (mut proxy, mut stage) = stage(with_quotes);
    proxy.subscribed(4);
    proxy.act(ProxyAction::Close(1012));
    proxy.until(|seen| matches!(seen, ProxyEvent::Farewell(1012)));
    proxy.until(|seen| *seen == ProxyEvent::Gone(true));
    stage.shows("proxy-restarting");
    stage.advance(2);
    proxy.subscribed(4);
}

#[test]
fn a_connection_that_breaks_is_opened_again_and_asks_for_everything() {
    let (mut proxy, mut stage) = stage(with_quotes);
    let first = proxy.subscribed(4);
    proxy.act(ProxyAction::Abort);
    stage.shows("proxy-restarting");
    stage.advance(2);
    assert_eq!(proxy.subscribed(4), first);
}

#[test]
fn a_watchlist_asks_for_its_quotes_again() {
    let (mut proxy, stage) = stage(|_| {});
    proxy.until(is_quotes);
    let watch = running_ticker::watch(&["SPX", "NDX"]);
    stage.controls.blocking_send(watch).unwrap();
    let expected = "/api/quotes?tickers=SPX,NDX".to_owned();
    assert_eq!(
        proxy.until(is_quotes),
        ProxyEvent::Quotes(expected, Some(TOKEN.into()))
    );
}
