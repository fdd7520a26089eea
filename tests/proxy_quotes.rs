//! Tests of the quotes of the existing proxy. The client displays only valid prices, reads only
//! JSON, and sends the token to no other host.
#![allow(clippy::unwrap_used)]

#[path = "support/proxy_server.rs"]
mod proxy_server;
#[path = "support/running_ticker.rs"]
mod running_ticker;

use std::net::TcpListener;
use std::time::Instant;

use deskticker::net::connector::Connector;

use proxy_server::{Proxy, ProxyEvent, TOKEN, json};
use running_ticker::{START, TickerUnderTest};

/// A row of the response. Both previous closes are those of the picture `proxy-live`.
fn spx(last: &str, as_of: &str) -> String {
    format!(
        r#"{{"symbol":"I:SPX","last":{last},"change":10.00,"changePercent":0.17,"asOf":{as_of},"source":"indices"}}"#
    )
}

fn vix(symbol: &str, last: &str, as_of: &str) -> String {
    format!(
        r#"{{"symbol":"{symbol}","last":{last},"change":-0.40,"changePercent":-2.27,"asOf":{as_of},"source":"indices-fallback"}}"#
    )
}

fn answer(rows: &[String]) -> (String, String) {
    json("200 OK", &format!(r#"{{"results":[{}]}}"#, rows.join(",")))
}

const MS: &str = "1795444199000";
const NS: &str = "1795444199000000000";

fn good() -> (String, String) {
    answer(&[spx("5900.00", MS), vix("VIX", "17.25", NS)])
}

fn start_display(quotes: (String, String)) -> (Proxy, TickerUnderTest) {
    let (clock, manual_clock) = running_ticker::manual_clock();
    let proxy = Proxy::start(clock.clone());
    proxy.behave(|behaviour| behaviour.quotes = quotes);
    let source = running_ticker::hub(proxy.address, TOKEN);
    let connector = Connector::new(None).unwrap();
    let display = TickerUnderTest::new(source, connector, &["SPX", "VIX"], (clock, manual_clock));
    (proxy, display)
}

/// Makes the client request the quotes again, and waits for the request.
fn request_quotes_again(proxy: &mut Proxy, display: &TickerUnderTest) {
    display.request_everything_again();
    proxy.until(|seen| matches!(seen, ProxyEvent::Quotes(path, _) if path.ends_with("=SPX,VIX")));
}

fn value(ticker: &str, price: &str, t: &str) -> String {
    format!(r#"{{"ev":"V","val":{price},"T":"{ticker}","t":{t}}}"#)
}

/// Current values of both symbols.
fn both() -> String {
    let now = START.0.to_string();
    let (spx, vix) = (
        value("I:SPX", "5912.34", &now),
        value("I:VIX", "17.20", &now),
    );
    format!("[{spx},{vix}]")
}

#[test]
fn every_format_of_a_quote_gives_the_same_quote() {
    for rows in [
        [spx("5900.00", MS), vix("VIX", "17.25", NS)],
        [spx("5900", NS), vix("I:VIX", "1.725e1", MS)],
        [
            vix("I:VIX", "17.25", "1.795444199e12"),
            spx("5.9e3", "1795444199000000"),
        ],
    ] {
        let (_proxy, mut display) = start_display(answer(&rows));
        display.shows("proxy-quotes-before-the-first-frame");
    }
}

#[test]
fn an_invalid_quote_is_not_drawn_and_does_not_affect_other_quotes() {
    for row in [
        vix("VIX", "0", NS),
        vix("VIX", "0.0", "0"),
        vix("VIX", "-17.25", NS),
        vix("VIX", "null", NS),
        vix("VIX", "\"17.25\"", NS),
        vix("VIX", "17.25", NS).replace("indices-fallback", "error"),
        vix("VIX", "17.25", NS).replace("indices-fallback", "none"),
        // The client did not request this symbol.
        vix("NDX", "17.25", NS),
        vix("", "17.25", NS),
        vix("VIX", "17.25", NS).replace("\"VIX\"", "null"),
        r#"{"error":"NOT_ENTITLED"}"#.into(),
        "null".into(),
        "[17.25]".into(),
    ] {
        let (_proxy, mut display) = start_display(answer(&[row, spx("5900.00", MS)]));
        display.shows("proxy-quotes-of-spx-alone");
    }
}

#[test]
fn an_invalid_quotes_response_does_not_affect_the_stream_and_is_requested_again() {
    let html = "<html><body>Welcome to this hotel</body></html>";
    let page = "HTTP/1.1 200 OK\r\nContent-Type: text/html".to_owned();
    let large = format!(r#"{{"results":[],"x":"{}"}}"#, "x".repeat(2 << 20));
    for quotes in [
        (page.clone(), html.to_owned()),
        (page, good().1),
        json("200 OK", html),
        json("200 OK", ""),
        json("200 OK", "null"),
        json("200 OK", r#"{"results":"none"}"#),
        json("200 OK", &good().1[..80]),
        json("200 OK", &"[".repeat(100_000)),
        json("200 OK", &large),
        json("400 Bad Request", r#"{"error":"tickers required"}"#),
        json("403 Forbidden", &good().1),
        json("502 Bad Gateway", r#"{"error":"upstream","message":"x"}"#),
        json("204 No Content", ""),
        ("not http at all".into(), String::new()),
        (String::new(), String::new()),
    ] {
        let busy = quotes.0.contains("502");
        let (mut proxy, mut display) = start_display(quotes);
        proxy.wait_for_subscriptions(4);
        proxy.text(both());
        display.shows("proxy-live-without-closes");
        // After the status 502 the client waits for its backoff, even if the watchlist changes.
        if !busy {
            proxy.behave(|behaviour| behaviour.quotes = good());
            request_quotes_again(&mut proxy, &display);
            display.shows("proxy-live");
        }
        assert_eq!(proxy.upgrades(), [0]);
    }
}

#[test]
fn a_redirect_is_not_followed_and_leaks_no_token() {
    let elsewhere = TcpListener::bind("127.0.0.1:0").unwrap();
    elsewhere.set_nonblocking(true).unwrap();
    for status in [
        "301 Moved Permanently",
        "302 Found",
        "307 Temporary Redirect",
    ] {
        let (head, body) = json(status, "{}");
        let location = format!("http://{}/api/quotes", elsewhere.local_addr().unwrap());
        let (mut proxy, mut display) =
            start_display((format!("{head}\r\nLocation: {location}"), body));
        proxy.wait_for_subscriptions(4);
        proxy.text(both());
        display.shows("proxy-live-without-closes");
        // The second request comes after the redirect, so a client that follows redirects has
        // already connected.
        proxy.behave(|behaviour| behaviour.quotes = good());
        request_quotes_again(&mut proxy, &display);
        display.shows("proxy-live");
        let call = elsewhere.accept().map(|_| ()).unwrap_err();
        assert_eq!(call.kind(), std::io::ErrorKind::WouldBlock);
    }
}

#[test]
fn the_close_of_a_quote_from_the_future_is_ignored() {
    for future in ["1895444199000", "9999999999999", "9999999999999999999"] {
        // The date of this close is unknown, so the client ignores the close.
        let wrong = [spx("6900.00", future), vix("VIX", "18.25", future)];
        let (mut proxy, mut display) = start_display(answer(&wrong));
        proxy.wait_for_subscriptions(4);
        proxy.text(both());
        display.shows("proxy-live-without-closes");
        proxy.behave(|behaviour| behaviour.quotes = good());
        request_quotes_again(&mut proxy, &display);
        display.shows("proxy-live");
    }
}

#[test]
fn an_impossible_timestamp_shows_no_wrong_value_and_blocks_no_later_value() {
    let now = START.0.to_string();
    let (mut proxy, mut display) = start_display(good());
    proxy.wait_for_subscriptions(4);
    proxy.text(both());
    display.shows("proxy-live");
    // Values with old timestamps do not replace newer values.
    for t in [
        "1000000000000",
        "1262304000000",
        "1795440000000",
        "1795444199999",
    ] {
        proxy.text(format!("[{}]", value("I:SPX", "1.11", t)));
    }
    proxy.wait_until_processed();
    proxy.text(format!("[{}]", value("I:VIX", "17.21", &now)));
    display.shows("proxy-only-vix-has-moved");
    // A value with an impossible or future timestamp counts as a current value; the client ignores
    // its timestamp.
    for t in [
        "0",
        "-1",
        "1e999",
        "null",
        "9999999999999",
        "9223372036854775807",
        "1e19",
    ] {
        proxy.text(format!("[{}]", value("I:SPX", "5900.00", t)));
        proxy.text(format!("[{}]", value("I:SPX", "5912.34", &now)));
    }
    proxy.wait_until_processed();
    proxy.text(format!("[{}]", value("I:VIX", "17.20", &now)));
    // The next value is live, whatever came before, and it becomes stale as usual.
    proxy.text(format!("[{}]", value("I:SPX", "5913.00", &now)));
    display.shows("proxy-after-the-stamps");
    display.advance(11);
    display.shows("proxy-after-the-stamps-11s-later");
}

#[test]
fn quotes_are_requested_every_15_seconds_while_no_stream_exists() {
    let (clock, manual_clock) = running_ticker::manual_clock();
    let mut proxy = Proxy::start(clock.clone());
    proxy.behave(|behaviour| {
        behaviour.quotes = good();
        behaviour.refusal = Some(503);
    });
    let source = running_ticker::hub(proxy.address, TOKEN);
    let connector = Connector::new(None).unwrap();
    let display = TickerUnderTest::new(source, connector, &["SPX", "VIX"], (clock, manual_clock));
    proxy.until(|seen| matches!(seen, ProxyEvent::Quotes(..)));
    // The clock moves in small steps, because the wait begins when the client has read the
    // response.
    let end = Instant::now() + running_ticker::TIME_LIMIT;
    for _ in 0..3 {
        while !proxy.sees_soon(|seen| matches!(seen, ProxyEvent::Quotes(..))) {
            assert!(Instant::now() < end, "never asked again");
            display.advance(1);
        }
    }
}
