//! The quotes of the proxy that users already run, with all their traps: what is no price is not
//! shown, what is not JSON is not read, and the token goes nowhere else.
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

/// A row of the answer; both closes are those of `proxy-live`.
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

fn stage(quotes: (String, String)) -> (Proxy, TickerUnderTest) {
    let (clock, hand) = running_ticker::manual_clock();
    let proxy = Proxy::start(clock.clone());
    proxy.behave(|manner| manner.quotes = quotes);
    let source = running_ticker::hub(proxy.address, TOKEN);
    let connector = Connector::new(None).unwrap();
    let stage = TickerUnderTest::new(source, connector, &["SPX", "VIX"], (clock, hand));
    (proxy, stage)
}

/// Has the client ask again, and waits for it.
fn ask_again(proxy: &mut Proxy, stage: &TickerUnderTest) {
    stage.watches_anew();
    proxy.until(|seen| matches!(seen, ProxyEvent::Quotes(path, _) if path.ends_with("=SPX,VIX")));
}

fn value(ticker: &str, price: &str, t: &str) -> String {
    format!(r#"{{"ev":"V","val":{price},"T":"{ticker}","t":{t}}}"#)
}

/// Both values of now.
fn both() -> String {
    let now = START.0.to_string();
    let (spx, vix) = (
        value("I:SPX", "5912.34", &now),
        value("I:VIX", "17.20", &now),
    );
    format!("[{spx},{vix}]")
}

#[test]
fn every_spelling_of_a_quote_is_the_same_quote() {
    for rows in [
        [spx("5900.00", MS), vix("VIX", "17.25", NS)],
        [spx("5900", NS), vix("I:VIX", "1.725e1", MS)],
        [
            vix("I:VIX", "17.25", "1.795444199e12"),
            spx("5.9e3", "1795444199000000"),
        ],
    ] {
        let (_proxy, mut stage) = stage(answer(&rows));
        stage.shows("proxy-quotes-before-the-first-frame");
    }
}

#[test]
fn what_is_no_quote_is_not_drawn_and_costs_no_other() {
    for row in [
        vix("VIX", "0", NS),
        vix("VIX", "0.0", "0"),
        vix("VIX", "-17.25", NS),
        vix("VIX", "null", NS),
        vix("VIX", "\"17.25\"", NS),
        vix("VIX", "17.25", NS).replace("indices-fallback", "error"),
        vix("VIX", "17.25", NS).replace("indices-fallback", "none"),
        // Nobody asked for this one.
        vix("NDX", "17.25", NS),
        vix("", "17.25", NS),
        vix("VIX", "17.25", NS).replace("\"VIX\"", "null"),
        r#"{"error":"NOT_ENTITLED"}"#.into(),
        "null".into(),
        "[17.25]".into(),
    ] {
        let (_proxy, mut stage) = stage(answer(&[row, spx("5900.00", MS)]));
        stage.shows("proxy-quotes-of-spx-alone");
    }
}

#[test]
fn what_is_not_an_answer_leaves_the_stream_alone_and_is_asked_for_again() {
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
        let (mut proxy, mut stage) = stage(quotes);
        proxy.subscribed(4);
        proxy.text(both());
        stage.shows("proxy-live-without-closes");
        // Who has no time is asked when the time is up, whatever the list.
        if !busy {
            proxy.behave(|manner| manner.quotes = good());
            ask_again(&mut proxy, &stage);
            stage.shows("proxy-live");
        }
        assert_eq!(proxy.upgrades(), [0]);
    }
}

#[test]
fn a_redirect_is_not_followed_and_takes_no_token_anywhere() {
    let elsewhere = TcpListener::bind("127.0.0.1:0").unwrap();
    elsewhere.set_nonblocking(true).unwrap();
    for status in [
        "301 Moved Permanently",
        "302 Found",
        "307 Temporary Redirect",
    ] {
        let (head, body) = json(status, "{}");
        let location = format!("http://{}/api/quotes", elsewhere.local_addr().unwrap());
        let (mut proxy, mut stage) = stage((format!("{head}\r\nLocation: {location}"), body));
        proxy.subscribed(4);
        proxy.text(both());
        stage.shows("proxy-live-without-closes");
        // Answered after the redirect: if it was to be followed, it has been.
        proxy.behave(|manner| manner.quotes = good());
        ask_again(&mut proxy, &stage);
        stage.shows("proxy-live");
        let call = elsewhere.accept().map(|_| ()).unwrap_err();
        assert_eq!(call.kind(), std::io::ErrorKind::WouldBlock);
    }
}

#[test]
fn a_quote_of_the_future_does_not_make_its_close_the_last_word() {
    for future in ["1895444199000", "9999999999999", "9999999999999999999"] {
        // The close it brings is of nobody knows which day: it is not taken at all.
        let wrong = [spx("6900.00", future), vix("VIX", "18.25", future)];
        let (mut proxy, mut stage) = stage(answer(&wrong));
        proxy.subscribed(4);
        proxy.text(both());
        stage.shows("proxy-live-without-closes");
        proxy.behave(|manner| manner.quotes = good());
        ask_again(&mut proxy, &stage);
        stage.shows("proxy-live");
    }
}

#[test]
fn a_stamp_that_cannot_be_right_shows_no_wrong_value_and_blocks_none() {
    let now = START.0.to_string();
    let (mut proxy, mut stage) = stage(good());
    proxy.subscribed(4);
    proxy.text(both());
    stage.shows("proxy-live");
    // Old ones replace nothing.
    for t in [
        "1000000000000",
        "1262304000000",
        "1795440000000",
        "1795444199999",
    ] {
        proxy.text(format!("[{}]", value("I:SPX", "1.11", t)));
    }
    proxy.heard();
    proxy.text(format!("[{}]", value("I:VIX", "17.21", &now)));
    stage.shows("proxy-only-vix-has-moved");
    // Those of no time at all, and of the future, are values of now: only their stamp is wrong.
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
    proxy.heard();
    proxy.text(format!("[{}]", value("I:VIX", "17.20", &now)));
    // What comes next is shown as live, whatever came before; and it ages like anything else.
    proxy.text(format!("[{}]", value("I:SPX", "5913.00", &now)));
    stage.shows("proxy-after-the-stamps");
    stage.advance(11);
    stage.shows("proxy-after-the-stamps-11s-later");
}

#[test]
fn while_nothing_streams_quotes_are_asked_for_every_quarter_of_a_minute() {
    let (clock, hand) = running_ticker::manual_clock();
    let mut proxy = Proxy::start(clock.clone());
    proxy.behave(|manner| {
        manner.quotes = good();
        manner.refusal = Some(503);
    });
    let source = running_ticker::hub(proxy.address, TOKEN);
    let connector = Connector::new(None).unwrap();
    let stage = TickerUnderTest::new(source, connector, &["SPX", "VIX"], (clock, hand));
    proxy.until(|seen| matches!(seen, ProxyEvent::Quotes(..)));
    // In small steps, for the wait begins when the client has read the answer.
    let end = Instant::now() + running_ticker::PATIENCE;
    for _ in 0..3 {
        while !proxy.sees(|seen| matches!(seen, ProxyEvent::Quotes(..))) {
            assert!(Instant::now() < end, "never asked again");
            stage.advance(1);
        }
    }
}
