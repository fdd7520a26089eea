//! Tests against a double of the existing proxy. The proxy sends no greeting and no confirmations,
//! sends all frames to all clients, and keeps a silent socket open after its own upstream has
//! failed.
#![allow(clippy::unwrap_used)]

#[path = "support/proxy_server.rs"]
mod proxy_server;
#[path = "support/running_ticker.rs"]
mod running_ticker;

use deskticker::net::connector::Connector;
use deskticker::net::source::FeedSource;
use tokio_tungstenite::tungstenite::Message;

use proxy_server::{Proxy, ProxyAction, ProxyEvent, TOKEN, json};
use running_ticker::{START, TickerUnderTest};

const QUOTES: &str = r#"{"results":[
    {"symbol":"I:SPX","last":5900.00,"change":10.00,"changePercent":0.17,"asOf":1795444199000,"source":"indices"},
    {"symbol":"VIX","last":17.25,"change":-0.40,"changePercent":-2.27,"asOf":1795444199000000000,"source":"indices-fallback"}]}"#;

fn start_display_of(watchlist: &[&str], prepare: impl FnOnce(&Proxy)) -> (Proxy, TickerUnderTest) {
    start(watchlist, |_| {}, prepare)
}

fn start(
    watchlist: &[&str],
    change: impl FnOnce(&mut FeedSource),
    prepare: impl FnOnce(&Proxy),
) -> (Proxy, TickerUnderTest) {
    let (clock, manual_clock) = running_ticker::manual_clock();
    let proxy = Proxy::start(clock.clone());
    prepare(&proxy);
    let mut source = running_ticker::hub(proxy.address, TOKEN);
    change(&mut source);
    let connector = Connector::new(None).unwrap();
    (
        proxy,
        TickerUnderTest::new(source, connector, watchlist, (clock, manual_clock)),
    )
}

fn start_display(prepare: impl FnOnce(&Proxy)) -> (Proxy, TickerUnderTest) {
    start_display_of(&["SPX", "VIX"], prepare)
}

/// A value event with a timestamp of `secs` seconds after the start.
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
    proxy.behave(|behaviour| behaviour.quotes = json("200 OK", QUOTES));
}

fn is_upgrade(seen: &ProxyEvent) -> bool {
    matches!(seen, ProxyEvent::Upgrade(..))
}

fn is_quotes(seen: &ProxyEvent) -> bool {
    matches!(seen, ProxyEvent::Quotes(..))
}

/// Makes the client request quotes. The request shows that the client has seen the current time.
fn request_quotes(proxy: &mut Proxy, display: &TickerUnderTest) {
    display.request_everything_again();
    proxy.until(|seen| matches!(seen, ProxyEvent::Quotes(path, _) if path.ends_with("=SPX,VIX")));
}

#[test]
fn an_upgrade_uses_a_short_lived_token_if_the_proxy_offers_one() {
    let (mut proxy, _display) = start_display(|proxy| {
        proxy.behave(|behaviour| behaviour.ticket = Some("one/use+only==.ab".into()));
    });
    let ProxyEvent::Upgrade(address, _) = proxy.until(is_upgrade) else {
        unreachable!()
    };
    assert_eq!(address, "/ws/indices?token=one%2Fuse%2Bonly%3D%3D%2Eab");
    proxy.wait_for_subscriptions(4);
}

#[test]
fn a_proxy_without_a_web_page_is_recognised_too() {
    let (mut proxy, _display) = start_display(|proxy| {
        proxy.behave(|behaviour| {
            behaviour.page = json(
                "500 Internal Server Error",
                r#"{"error":"Internal server error"}"#,
            );
        });
    });
    proxy.wait_for_subscriptions(4);
}

#[test]
fn a_relay_without_rest_is_used_if_the_configuration_trusts_it_and_gets_no_token_otherwise() {
    let relay = |proxy: &Proxy| proxy.behave(|behaviour| behaviour.relay = true);
    let (mut proxy, mut display) = start(&["SPX", "VIX"], |source| source.trusted = true, relay);
    proxy.wait_for_subscriptions(4);
    proxy.text(both(0));
    display.shows("proxy-live-without-closes");
    drop(display);

    let (mut proxy, mut display) = start_display(relay);
    for path in ["/healthz", "/api/quotes"] {
        let probe = format!("GET {path} HTTP/1.1");
        proxy.until(|seen| matches!(seen, ProxyEvent::Plain(line) if *line == probe));
    }
    display.shows("proxy-down-and-nothing-known");
    assert!(!proxy.log.iter().any(is_upgrade), "{:#?}", proxy.log);
    let asked =
        |line: &str| line.starts_with("GET /healthz ") || line == "GET /api/quotes HTTP/1.1";
    for seen in &proxy.log {
        assert!(
            matches!(seen, ProxyEvent::Plain(line) if asked(line)),
            "{seen:?}"
        );
    }
}

#[test]
fn a_late_client_without_confirmations_shows_the_received_values() {
    let (mut proxy, mut display) = start_display(with_quotes);
    let ProxyEvent::Upgrade(path, _) = proxy.until(is_upgrade) else {
        unreachable!()
    };
    // The token must be encoded: a server reads `+` as a space, and `/` and `=` have a meaning in a
    // URL.
    let token = path.strip_prefix("/ws/indices?token=").unwrap();
    assert!(!token.contains(['+', '/', '=']), "{token}");
    let decoded: Vec<u8> = percent_encoding::percent_decode_str(token).collect();
    assert_eq!(decoded, TOKEN.as_bytes());
    // All versions of the proxy accept one channel per message.
    let channels = proxy.wait_for_subscriptions(4);
    assert_eq!(channels, ["AM.I:SPX", "AM.I:VIX", "V.I:SPX", "V.I:VIX"]);
    let quotes = proxy.log.iter().find(|seen| is_quotes(seen)).cloned();
    let quotes = quotes.unwrap_or_else(|| proxy.until(is_quotes));
    let expected = "/api/quotes?tickers=SPX,VIX".to_owned();
    assert_eq!(quotes, ProxyEvent::Quotes(expected, Some(TOKEN.into())));
    display.shows("proxy-quotes-before-the-first-frame");
    proxy.text(both(0));
    display.shows("proxy-live");
    // A value confirms its channel. The client requests each other channel once more, and then
    // never again.
    display.advance(10);
    assert_eq!(proxy.wait_for_subscriptions(2), ["AM.I:SPX", "AM.I:VIX"]);
    display.advance(10);
    proxy.text(both(20));
    proxy.wait_until_processed();
    display.advance(10);
    proxy.wait_until_processed();
    assert_eq!(proxy.upgrades(), [0]);
    let said = proxy
        .log
        .iter()
        .filter(|seen| matches!(seen, ProxyEvent::Text(_)));
    assert_eq!(said.count(), 6);
}

#[test]
fn an_option_uses_the_options_socket_and_no_other_socket_is_opened() {
    let (mut proxy, mut display) = start_display_of(&["O:SPY261218C00650000"], |_| {});
    let ProxyEvent::Upgrade(path, _) = proxy.until(is_upgrade) else {
        unreachable!()
    };
    assert!(path.starts_with("/ws/options?token="), "{path}");
    assert_eq!(proxy.wait_for_subscriptions(1), ["Q.O:SPY261218C00650000"]);
    proxy.text(format!(
        r#"[{{"ev":"Q","sym":"O:SPY261218C00650000","bx":302,"ax":301,"bp":9.71,"ap":9.75,"bs":17,"as":24,"t":{},"q":8}}]"#,
        START.0
    ));
    display.shows("proxy-option");
    assert_eq!(proxy.upgrades(), [0]);
}

#[test]
fn frames_for_other_clients_change_nothing() {
    let (mut proxy, mut display) = start_display(with_quotes);
    proxy.wait_for_subscriptions(4);
    proxy.text(both(0));
    display.shows("proxy-live");
    let status = |status: &str, message: &str| {
        format!(r#"{{"ev":"status","status":"{status}","message":"{message}"}}"#)
    };
    // The messages of the upstream itself, the confirmations and refusals of other clients, and
    // their tickers.
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
    proxy.wait_until_processed();
    // The next subscribed price changes the same picture, on the same connection.
    proxy.text(format!("[{}]", value("I:VIX", "17.21", 0)));
    display.shows("proxy-only-vix-has-moved");
    assert_eq!(proxy.upgrades(), [0]);
}

#[test]
fn a_refused_token_causes_a_backoff_of_a_minute() {
    let (mut proxy, mut display) = start_display(|proxy| {
        proxy.behave(|behaviour| {
            behaviour.token = "another".into();
            behaviour.quotes = json("403 Forbidden", r#"{"error":"forbidden","message":""}"#);
        });
    });
    proxy.until(is_upgrade);
    display.shows("proxy-token-refused");
    for _ in 0..11 {
        display.advance(5);
        request_quotes(&mut proxy, &display);
    }
    display.shows("proxy-token-refused");
    proxy.behave(|behaviour| behaviour.token = TOKEN.into());
    display.advance(20);
    proxy.wait_for_subscriptions(4);
    let upgrades = proxy.upgrades();
    assert_eq!(upgrades.len(), 2, "{upgrades:?}");
    assert!(upgrades[1] >= 60, "{upgrades:?}");
}

#[test]
fn a_missing_path_is_no_refusal_and_is_retried_soon() {
    let (mut proxy, mut display) =
        start_display(|proxy| proxy.behave(|behaviour| behaviour.refusal = Some(404)));
    proxy.until(is_upgrade);
    display.shows("proxy-not-found");
    proxy.behave(|behaviour| behaviour.refusal = None);
    display.advance(2);
    proxy.wait_for_subscriptions(4);
    assert_eq!(proxy.upgrades(), [0, 2]);
}

#[test]
fn an_open_socket_with_a_dead_upstream_is_detected_and_replaced() {
    let (mut proxy, mut display) = start_display(with_quotes);
    proxy.wait_for_subscriptions(4);
    proxy.text(both(0));
    display.shows("proxy-live");
    display.advance(11);
    display.shows("proxy-silent-for-11s-spx-is-stale");
    display.advance(9);
    proxy.until(|seen| *seen == ProxyEvent::Ping);
    proxy.wait_until_processed();
    display.shows("proxy-silent-for-20s-the-link-is-silent");
    // Pongs keep the connection open, but they do not make prices fresh. The proxy connects to the
    // vendor again only for a new client, so the display opens a new connection every 20 s.
    display.advance(2);
    for nth in 0..5 {
        assert_eq!(
            proxy.until(|seen| matches!(seen, ProxyEvent::Farewell(_))),
            ProxyEvent::Farewell(1000)
        );
        proxy.until(|seen| *seen == ProxyEvent::Gone(true));
        proxy.wait_for_subscriptions(4);
        assert_eq!(proxy.upgrades().last(), Some(&(22 + 20 * nth)));
        display.advance(20);
    }
    proxy.wait_for_subscriptions(4);
    display.shows("proxy-silent-for-122s-nothing-looks-live");
    proxy.text(both(122));
    display.shows("proxy-live-after-the-silence");
}

#[test]
fn a_proxy_that_answers_no_pings_is_disconnected_after_30_s() {
    let (mut proxy, display) = start_display(|_| {});
    proxy.wait_for_subscriptions(4);
    proxy.wait_until_processed();
    // The clock moves in one step, so each pong arrives too late.
    display.advance(30);
    proxy.until(|seen| matches!(seen, ProxyEvent::Farewell(_)));
    display.advance(2);
    proxy.wait_for_subscriptions(4);
    assert_eq!(proxy.upgrades(), [0, 32]);
}

#[test]
fn text_in_a_binary_frame_is_read() {
    let (mut proxy, mut display) = start_display(with_quotes);
    proxy.wait_for_subscriptions(4);
    proxy.act(ProxyAction::Send(Message::binary(both(0))));
    display.shows("proxy-live");
}

#[test]
fn junk_is_no_price_and_does_not_close_the_connection() {
    let (mut proxy, mut display) = start_display(with_quotes);
    proxy.wait_for_subscriptions(4);
    proxy.text(both(0));
    display.shows("proxy-live");
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
    proxy.wait_until_processed();
    proxy.text(format!("[{}]", value("I:VIX", "17.21", 0)));
    display.shows("proxy-only-vix-has-moved");
    assert_eq!(proxy.upgrades(), [0]);
}

#[test]
fn a_message_that_cannot_be_read_ends_the_connection_with_a_reason() {
    let (mut proxy, mut display) = start_display(|_| {});
    // The head of a text frame of 2 MiB without its data. The client refuses the frame before it
    // allocates memory for it.
    let mut large = vec![0x81, 127];
    large.extend((2u64 << 20).to_be_bytes());
    // Each fragment is small enough, but their sum is not.
    let mut pieces = Vec::new();
    for first in [0x01, 0x00, 0x00] {
        pieces.extend([first, 127]);
        pieces.extend((600u64 << 10).to_be_bytes());
        pieces.extend(vec![b' '; 600 << 10]);
    }
    let broken = vec![0x81, 5, b'[', 0xff, 0xfe, 0xfd, b']'];
    let reserved = vec![0xf1, 0];
    let mut secs = 0;
    // A protocol fault may last, so the backoff grows. Each wait is at most one and a half times
    // its base.
    for (bytes, code, wait) in [
        (large, 1009, 2),
        (pieces, 1009, 3),
        (broken, 1007, 6),
        (reserved, 1002, 12),
    ] {
        proxy.wait_for_subscriptions(4);
        proxy.act(ProxyAction::Raw(bytes));
        let farewell =
            proxy.until(|seen| matches!(seen, ProxyEvent::Farewell(_) | ProxyEvent::Gone(_)));
        assert_eq!(farewell, ProxyEvent::Farewell(code));
        display.shows("proxy-down-and-nothing-known");
        secs += wait;
        display.advance(wait);
    }
    proxy.wait_for_subscriptions(4);
    proxy.text(both(secs as i64));
    display.shows("proxy-live-after-the-junk");
}

#[test]
fn a_close_frame_is_answered() {
    let (mut proxy, mut display) = start_display(with_quotes);
    proxy.wait_for_subscriptions(4);
    proxy.act(ProxyAction::Close(1012));
    proxy.until(|seen| matches!(seen, ProxyEvent::Farewell(1012)));
    proxy.until(|seen| *seen == ProxyEvent::Gone(true));
    display.shows("proxy-restarting");
    display.advance(2);
    proxy.wait_for_subscriptions(4);
}

#[test]
fn a_broken_connection_is_reopened_with_all_subscriptions() {
    let (mut proxy, mut display) = start_display(with_quotes);
    let first = proxy.wait_for_subscriptions(4);
    proxy.act(ProxyAction::Abort);
    display.shows("proxy-restarting");
    display.advance(2);
    assert_eq!(proxy.wait_for_subscriptions(4), first);
}

#[test]
fn a_changed_watchlist_requests_its_quotes() {
    let (mut proxy, display) = start_display(|_| {});
    proxy.until(is_quotes);
    let watch = running_ticker::watch(&["SPX", "NDX"]);
    display.controls.blocking_send(watch).unwrap();
    let expected = "/api/quotes?tickers=SPX,NDX".to_owned();
    assert_eq!(
        proxy.until(is_quotes),
        ProxyEvent::Quotes(expected, Some(TOKEN.into()))
    );
}
