//! Tests of bug reports from users. Each test plays a short recorded input through the whole
//! pipeline, from the text of a frame to the displayed quote, and covers all inputs of the same
//! kind.
#![allow(clippy::unwrap_used)]

use std::time::Duration;

use deskticker::config::settings::TickerSettings;
use deskticker::feed::connection::Connection;
use deskticker::feed::connection_status::{ConnectionAction, ConnectionEvent, ConnectionPhase};
use deskticker::feed::{ConnectionStatus, Update, sink};
use deskticker::market::{Calendar, Cluster, Freshness, Price, SessionPart};
use deskticker::massive::websocket;
use deskticker::net::source::FeedProvider;
use deskticker::render::Size;
use deskticker::ticker::state::TickerState;
use deskticker::time::{Moment, Now, Utc};
use jiff::Timestamp;

/// The ticker state of one symbol, a live connection, and a clock that agrees with the server
/// clock.
struct Display {
    state: TickerState,
    connection: Connection,
    start: Utc,
}

impl Display {
    /// Creates a display that starts at this time in New York, in winter (UTC-5).
    fn new(symbol: &str, cluster: Cluster, time: &str) -> Self {
        let start: Timestamp = format!("{time}-05:00").parse().unwrap();
        let start = Utc(start.as_millisecond());
        let now = Now::new(Moment::ZERO, start);
        let settings = TickerSettings::of(vec![symbol.parse().unwrap()]);
        let mut state = TickerState::new(settings, Calendar::us(), Size::Tall, now).unwrap();
        let mut connection = Connection::new(FeedProvider::Hub, 1);
        let demand = state.demand(cluster, now);
        connection.want(&demand.channels, demand.max_silence, now.monotonic);
        assert_eq!(connection.next(now.monotonic), Some(ConnectionAction::Open));
        connection.on(ConnectionEvent::Opened, now.monotonic);
        while connection.next(now.monotonic).is_some() {}
        let status = ConnectionStatus {
            simulated: Some(false),
            ..connection.status()
        };
        assert_eq!(status.phase, ConnectionPhase::Live);
        state.on(&Update::Status(cluster, status), now);
        let at = now.monotonic;
        state.on(&Update::ServerTime { at, utc: start }, now);
        Self {
            state,
            connection,
            start,
        }
    }

    fn at(&self, secs: u64) -> Now {
        let utc = self.start.0 + i64::try_from(secs).unwrap() * 1000;
        Now::new(Moment::from_secs(secs), Utc(utc))
    }

    /// Receives the text of a frame this many seconds after the start. `NOW` and `NOW-…` in the
    /// text become timestamps in ms. Returns the number of events that could not be read.
    fn receive_frame(&mut self, frame: &str, secs: u64) -> usize {
        let now = self.at(secs);
        let utc = now.utc.unwrap().0;
        let mut text = frame.to_owned();
        for less in ["-2000", "-1000", ""] {
            let stamp = utc + less.parse::<i64>().unwrap_or(0);
            text = text.replace(&format!("NOW{less}"), &stamp.to_string());
        }
        let mut junk = 0;
        self.connection.on(ConnectionEvent::Heard, now.monotonic);
        for event in websocket::events(&text) {
            let Ok(event) = event else {
                junk += 1;
                continue;
            };
            if let Some(update) = sink::update(&mut self.connection, &event, now.monotonic) {
                self.state.on(&update, now);
            }
        }
        junk
    }

    /// The displayed price, its freshness, and the part of the trading day that is displayed with
    /// it.
    fn shown(&self, secs: u64) -> (Option<f64>, Freshness, Option<SessionPart>) {
        let now = self.state.time(self.at(secs).monotonic);
        let list = self.state.watchlist();
        let shown = list.shown(0, now, self.state.calendar()).unwrap();
        let price = shown.quote.map(|quote| quote.price.as_f64());
        (price, shown.freshness, shown.part)
    }

    fn freshness(&self, secs: u64) -> Freshness {
        self.shown(secs).1
    }
}

fn frames(file: &str) -> Vec<&str> {
    file.lines().filter(|line| line.starts_with('[')).collect()
}

fn stale(freshness: Freshness) -> Option<u64> {
    match freshness {
        Freshness::Stale(age) => Some(age.as_secs()),
        _ => None,
    }
}

#[test]
fn an_index_below_zero_is_displayed() {
    let input = include_str!("bug_reports/01-negative-index.frames");
    let mut display = Display::new("I:TICK", Cluster::Indices, "2026-11-25T11:00:00");
    for (nth, frame) in frames(input).into_iter().enumerate() {
        let secs = nth as u64 + 1;
        assert_eq!(display.receive_frame(frame, secs), 0);
        let expected = [-311.0, 312.0, -313.0][nth];
        assert_eq!(display.shown(secs).0, Some(expected));
        assert_eq!(display.freshness(secs), Freshness::Live);
    }
    // Zero is a valid value of TICK, but not of SPX.
    display.receive_frame(r#"[{"ev":"V","val":0,"T":"I:TICK","t":NOW}]"#, 5);
    assert_eq!(display.shown(5).0, Some(0.0));
    let mut display = Display::new("SPX", Cluster::Indices, "2026-11-25T11:00:00");
    for value in ["0", "-1"] {
        let frame = format!(r#"[{{"ev":"V","val":{value},"T":"I:SPX","t":NOW}}]"#);
        assert_eq!(display.receive_frame(&frame, 1), 1, "refused and counted");
        assert_eq!(display.shown(1).0, None);
    }
}

#[test]
fn a_value_without_a_usable_timestamp_never_looks_live_even_if_its_price_changes() {
    let far = 1_764_086_400_000_i64 + 2 * 366 * 86_400_000;
    let far = format!(r#","t":{far}"#);
    for stamp in [
        "",
        r#","t":null"#,
        r#","t":0"#,
        r#","t":-5"#,
        r#","t":1764086"#,
        &far,
    ] {
        for changes in [0, 1] {
            let mut display = Display::new("SPX", Cluster::Indices, "2026-11-25T11:00:00");
            let receive = |display: &mut Display, secs: u64| {
                let value = 6000 + secs % 5 * changes;
                let frame = format!(r#"[{{"ev":"V","val":{value},"T":"I:SPX"{stamp}}}]"#);
                assert_eq!(display.receive_frame(&frame, secs), 0);
            };
            for secs in 1..=90 {
                receive(&mut display, secs);
                assert_eq!(display.freshness(secs), Freshness::None, "{stamp}");
            }
            // A value with a timestamp is live at once, and the others do not keep it live.
            display.receive_frame(r#"[{"ev":"V","val":5000,"T":"I:SPX","t":NOW}]"#, 91);
            assert_eq!(display.shown(91).0, Some(5000.0));
            for secs in 92..=120 {
                receive(&mut display, secs);
                let age = secs - 91;
                let expected = if age <= 10 {
                    Freshness::Live
                } else {
                    Freshness::Stale(Duration::from_secs(age))
                };
                assert_eq!(
                    (display.shown(secs).0, display.freshness(secs)),
                    (Some(5000.0), expected)
                );
            }
        }
    }
    // A timestamp in seconds is usable.
    let mut display = Display::new("SPX", Cluster::Indices, "2026-11-25T11:00:00");
    let seconds = display.start.0 / 1000;
    let frame = format!(r#"[{{"ev":"V","val":6000,"T":"I:SPX","t":{seconds}}}]"#);
    display.receive_frame(&frame, 1);
    assert_eq!(display.freshness(1), Freshness::Live);
}

#[test]
fn a_contract_without_a_bid_has_half_of_its_ask_as_price() {
    let input = include_str!("bug_reports/02-worthless-option.frames");
    let [first, second] = frames(input)[..] else {
        panic!("two frames");
    };
    let name = "O:SPXW261125C06500000";
    let mut display = Display::new(name, Cluster::Options, "2026-11-25T11:00:00");
    display.receive_frame(first, 1);
    assert_eq!(display.shown(1).0, Some(0.075));
    for secs in 2..100 {
        display.receive_frame(second, secs);
        let shown = (display.shown(secs).0, display.freshness(secs));
        assert_eq!(shown, (Some(0.025), Freshness::Live));
    }
    let contract = &display.state.watchlist().instruments()[0];
    let book = contract.book(display.at(99), std::time::Duration::from_secs(1));
    let book = book.unwrap();
    assert_eq!(
        (book.bid, book.ask),
        (Price::from_scaled(0), Price::from_scaled(500))
    );
    // A quote without an ask, or with an ask below the bid, has no mid price, so the display shows
    // dashes at once.
    for (secs, ask) in [(101, r#""ap":0,"#), (103, ""), (105, r#""ap":0.01,"#)] {
        display.receive_frame(second, secs - 1);
        let frame = second.replace(r#""bp":0,"ap":0.05,"#, &format!(r#""bp":0.02,{ask}"#));
        assert_eq!(display.receive_frame(&frame, secs), 0, "{frame}");
        assert_eq!(
            (display.shown(secs).0, display.freshness(secs)),
            (None, Freshness::None)
        );
    }
}

#[test]
fn a_contract_quoted_outside_known_hours_is_live_and_marked_and_becomes_stale() {
    let input = include_str!("bug_reports/10-option-early-session.frames");
    let frame = frames(input)[0];
    for time in ["2026-11-25T08:00:00", "2026-11-25T16:05:00"] {
        let name = "O:NVDA261218C00200000";
        let mut display = Display::new(name, Cluster::Options, time);
        for secs in 1..30 {
            let bid = 9.6 + secs as f64 / 10.0;
            let quote = format!(r#""bp":{bid:.1},"ap":{:.1}"#, bid + 0.2);
            display.receive_frame(&frame.replace(r#""bp":9.6,"ap":9.8"#, &quote), secs);
            let (price, freshness, part) = display.shown(secs);
            if secs == 1 {
                assert_eq!(
                    (price, freshness),
                    (None, Freshness::None),
                    "one proves nothing"
                );
            } else {
                let mid = (bid * 10.0 + 1.0).round() / 10.0;
                assert_eq!(price, Some(mid), "{time}");
                assert_eq!(
                    (freshness, part),
                    (Freshness::Live, Some(SessionPart::Outside))
                );
            }
        }
        assert_eq!(stale(display.freshness(29 + 61)), Some(61));
    }
}

#[test]
fn a_share_traded_at_night_is_live_and_marked_and_not_closed() {
    let input = include_str!("bug_reports/11-overnight-share.frames");
    let frame = frames(input)[0];
    let mut display = Display::new("SPY", Cluster::Stocks, "2026-11-24T22:30:00");
    for secs in 1..6 {
        let price = 603 + secs;
        display.receive_frame(&frame.replace("604", &price.to_string()), secs);
        if secs > 1 {
            let expected = (
                Some(price as f64),
                Freshness::Live,
                Some(SessionPart::Outside),
            );
            assert_eq!(display.shown(secs), expected);
        }
    }
    assert_eq!(stale(display.freshness(70)), Some(66));
}

#[test]
fn a_contract_settled_in_the_morning_is_closed_the_evening_before_and_then_expired() {
    let input = include_str!("bug_reports/15-am-settled.json");
    let stamp: Timestamp = "2026-12-17T16:14:30-05:00".parse().unwrap();
    let body = input.replace(
        "THU_17_DEC_16_14_30_MS",
        &stamp.as_millisecond().to_string(),
    );
    let name = "O:SPX261218C06000000";
    let mut display = Display::new(name, Cluster::Options, "2026-12-17T18:00:00");
    let symbols = [name.parse().unwrap()];
    let answer =
        deskticker::feed::poller::read(FeedProvider::Hub, body.as_bytes(), &symbols).unwrap();
    for seed in answer.seeds {
        display
            .state
            .on(&Update::Seed(Box::new(seed)), display.at(1));
    }
    assert_eq!(
        (display.shown(1).0, display.freshness(1)),
        (Some(12.0), Freshness::Closed)
    );
    let symbol: deskticker::market::Symbol = name.parse().unwrap();
    let contract = symbol.contract().unwrap();
    let days = |secs| {
        let utc = display.at(secs).utc.unwrap();
        display.state.calendar().days_left(&contract, utc)
    };
    assert_eq!(
        (days(1), days(86_400)),
        (Some(0), Some(-1)),
        "EXPIRED on Friday"
    );
}
