//! Tests of a display with several hubs, over real sockets: the next hub if one is down or cut off
//! from its vendor, and back to the first one when it works again.
#![allow(clippy::unwrap_used)]

#[path = "support/proxy_server.rs"]
mod proxy_server;
#[path = "support/running_ticker.rs"]
mod running_ticker;

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use deskticker::demo;
use deskticker::hub::Hub;
use deskticker::market::Calendar;
use deskticker::net::connector::Connector;
use deskticker::net::source::FeedSource;
use deskticker::secret::Secret;
use deskticker::simulator::{InjectedFault, Simulator, SimulatorSettings};
use deskticker::time::{Clock, Moment, Now, Utc};

use proxy_server::{Proxy, ProxyAction, ProxyEvent, TOKEN, json};
use running_ticker::{Background, START, TickerUnderTest, manual_clock};

/// A hub with a simulated vendor. Both stop when this value is dropped.
type HubAndVendor = Background<(SocketAddr, Hub, Simulator)>;

fn hub_at(address: &str, clock: &Clock) -> HubAndVendor {
    let (address, clock) = (address.parse().unwrap(), clock.clone());
    Background::start(move || async move {
        let vendor = SimulatorSettings {
            values: true,
            ..SimulatorSettings::default()
        };
        let token = Secret::new(TOKEN).unwrap();
        let hub = demo::simulated_hub(vendor, &token, clock).await;
        let (setup, simulator) = hub.unwrap();
        let hub = Hub::start(setup, address).await.unwrap();
        (hub.address(), hub, simulator)
    })
}

fn source_of(first: SocketAddr, second: SocketAddr) -> FeedSource {
    FeedSource {
        alternatives: vec![running_ticker::hub(second, TOKEN).endpoint],
        ..running_ticker::hub(first, TOKEN)
    }
}

/// Lets the time pass until the condition is true. Returns the passed time of the clock.
#[track_caller]
fn wait(display: &TickerUnderTest, what: &str, mut is_true: impl FnMut() -> bool) -> Duration {
    const STEP: Duration = Duration::from_millis(100);
    let end = Instant::now() + Duration::from_secs(60);
    let mut passed = Duration::ZERO;
    while !is_true() {
        assert!(Instant::now() < end, "{what}: never, in {passed:?}");
        display.manual_clock.advance(STEP);
        passed += STEP;
        std::thread::sleep(Duration::from_millis(20));
    }
    passed
}

/// Returns true if the display uses this hub, and thus this vendor has subscriptions.
fn is_used(hub: &HubAndVendor) -> bool {
    *hub.value.2.subscriptions().borrow() == 4
}

#[test]
fn the_next_hub_replaces_a_hub_that_is_down_or_cut_off_until_the_first_one_works_again() {
    let (clock, manual) = manual_clock();
    let first = hub_at("127.0.0.1:0", &clock);
    let second = hub_at("127.0.0.1:0", &clock);
    let source = source_of(first.value.0, second.value.0);
    let connector = Connector::new(None).unwrap();
    let display = TickerUnderTest::new(source, connector, &["SPX", "VIX"], (clock.clone(), manual));
    wait(&display, "the first hub", || is_used(&first));
    assert_eq!(
        second.value.2.requests(),
        0,
        "REST uses the hub of the sockets"
    );
    assert_eq!(second.value.2.connections(), 0);

    // The vendor refuses the first hub: this hub reports that it is cut off.
    first.value.2.fault(InjectedFault::Abort);
    wait(&display, "the loss of the vendor", || !is_used(&first));
    first.value.2.fault(InjectedFault::Refusal);
    let took = wait(&display, "the second hub after a refusal", || {
        is_used(&second)
    });
    assert!(took < Duration::from_secs(15), "{took:?}");
    wait(&display, "REST of the second hub", || {
        second.value.2.requests() > 0
    });
    // The first hub answers, but it is still cut off.
    let check = Duration::from_secs(40);
    let begun = clock.now().monotonic;
    wait(&display, "40 s", || clock.now().monotonic >= begun + check);
    assert!(is_used(&second) && !is_used(&first));
    first.value.2.fault(InjectedFault::None);
    wait(&display, "the first hub without its fault", || {
        is_used(&first)
    });
    wait(&display, "no use of the second hub", || !is_used(&second));

    let address = first.value.0.to_string();
    drop(first);
    let took = wait(&display, "the second hub after an end", || is_used(&second));
    assert!(took < Duration::from_secs(15), "{took:?}");
    let first = hub_at(&address, &clock);
    wait(&display, "the first hub after its restart", || {
        is_used(&first)
    });
    wait(&display, "no use of the second hub", || !is_used(&second));
}

#[test]
fn values_of_two_hubs_keep_the_order_of_their_timestamps_and_each_hub_is_verified() {
    const QUOTES: &str = r#"{"results":[
        {"symbol":"I:SPX","last":5900.00,"change":10.00,"changePercent":0.17,"asOf":1795444199000,"source":"indices"},
        {"symbol":"VIX","last":17.25,"change":-0.40,"changePercent":-2.27,"asOf":1795444199000000000,"source":"indices-fallback"}]}"#;
    let value = |ticker: &str, price: &str, millis: i64| {
        let t = START.0 + millis;
        format!(r#"{{"ev":"V","val":{price},"T":"{ticker}","t":{t}}}"#)
    };
    let (clock, manual) = manual_clock();
    let mut hubs = [(); 2].map(|()| Proxy::start(clock.clone()));
    for hub in &hubs {
        hub.behave(|behaviour| behaviour.quotes = json("200 OK", QUOTES));
    }
    let source = source_of(hubs[0].address, hubs[1].address);
    let connector = Connector::new(None).unwrap();
    let mut display = TickerUnderTest::new(source, connector, &["SPX", "VIX"], (clock, manual));
    let [first, second] = &mut hubs;
    first.wait_for_subscriptions(4);
    let both = [value("I:SPX", "5912.34", 0), value("I:VIX", "17.20", 0)];
    first.text(format!("[{}]", both.join(",")));
    display.shows("proxy-live");

    first.behave(|behaviour| behaviour.refusal = Some(503));
    first.act(ProxyAction::Abort);
    wait(&display, "the second hub", || {
        while second.sees_soon(|_| true) {}
        let texts = second.log.iter();
        texts
            .filter(|seen| matches!(seen, ProxyEvent::Text(_)))
            .count()
            == 4
    });
    // The second hub repeats an older value of one index, and sends a newer one of the other.
    let both = [value("I:SPX", "5000.00", -50), value("I:VIX", "17.21", 50)];
    second.text(format!("[{}]", both.join(",")));
    second.wait_until_processed();
    display.shows("proxy-only-vix-has-moved");
}

/// Starts a display with one share and two hubs that answer REST requests with this row. The clock
/// begins at `start`.
fn shares_alone(calendar: Calendar, start: Utc, row: &str) -> ([Proxy; 2], TickerUnderTest) {
    let (clock, manual) = Clock::manual(Now::new(Moment::ZERO, start));
    let hubs = [(); 2].map(|()| Proxy::start(clock.clone()));
    let quotes = format!(r#"{{"results":[{row}]}}"#);
    for hub in &hubs {
        hub.behave(|behaviour| behaviour.quotes = json("200 OK", &quotes));
    }
    let source = source_of(hubs[0].address, hubs[1].address);
    let connector = Connector::new(None).unwrap();
    let clock = (clock, manual);
    let display = TickerUnderTest::in_hours(calendar, source, connector, &["SPY"], clock);
    (hubs, display)
}

#[test]
fn a_display_of_shares_stays_at_a_working_hub_while_the_market_is_closed_and_nothing_is_requested()
{
    const HOUR: i64 = 3_600_000;
    // 0:30 in New York, after the close at 16:00 of the day before.
    let (night, close) = (Utc(START.0 + 15 * HOUR), START.0 + 6 * HOUR + HOUR / 2);
    let row = format!(
        r#"{{"symbol":"SPY","last":590.5,"change":1.0,"changePercent":0.2,"asOf":{close}000000,"source":"stocks","previousClose":589.5,"isClose":true}}"#
    );
    let (mut hubs, display) = shares_alone(Calendar::us(), night, &row);
    let mut passed = 0;
    wait(&display, "three minutes", || {
        display.manual_clock.advance(Duration::from_millis(900));
        passed += 1;
        passed == 180
    });
    let is_quotes = |event: &ProxyEvent| matches!(event, ProxyEvent::Quotes(..));
    hubs[0].until(is_quotes);
    assert!(!hubs[1].sees_soon(|_| true), "{:?}", hubs[1].log);
}

#[test]
fn shares_come_from_the_next_hub_in_seconds_although_the_failed_hub_requested_a_long_wait() {
    let stamp = START.0;
    let row = format!(
        r#"{{"symbol":"SPY","last":590.5,"change":1.0,"changePercent":0.2,"asOf":{stamp}000000,"source":"stocks"}}"#
    );
    let (mut hubs, display) = shares_alone(Calendar::always_open(), START, &row);
    let [first, second] = &mut hubs;
    let is_quotes = |event: &ProxyEvent| matches!(event, ProxyEvent::Quotes(..));
    first.until(is_quotes);
    first.behave(|behaviour| {
        let full = "503 Service Unavailable\r\nRetry-After: 600";
        behaviour.quotes = json(full, r#"{"error":"full"}"#);
        behaviour.refusal = Some(503);
    });
    let took = wait(&display, "REST of the second hub", || {
        second.sees_soon(is_quotes)
    });
    assert!(took < Duration::from_secs(15), "{took:?}");
}
