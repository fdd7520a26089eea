//! Tests of the REST requests of the display, over real sockets. The display sends no token to a
//! server that is not a hub, and it respects a requested pause.
#![allow(clippy::unwrap_used)]

#[path = "support/running_ticker.rs"]
mod running_ticker;

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener};
use std::sync::mpsc::{Receiver, channel};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use deskticker::feed::Update;
use deskticker::feed::poll_schedule::{PollRequest, RestDemand};
use deskticker::feed::poller::run_poller;
use deskticker::feed::session::{Session, SubscriptionDemand};
use deskticker::market::{Channel, Cluster, MarketState};
use deskticker::net::connector::Connector;
use deskticker::net::failure::Failure;
use deskticker::net::source::FeedSource;
use deskticker::time::{Clock, ManualClock, Utc};
use tokio::sync::{mpsc, watch};

use running_ticker::{START, TIME_LIMIT, symbols};

const TOKEN: &str = "eyJ1IjoiYSJ9+/==.0a1b2c";

/// The status line with the headers, and the body.
type Answer = (&'static str, String);

fn json(body: &str) -> Answer {
    ("200 OK\r\nContent-Type: application/json", body.to_owned())
}

/// A server that responds to one request per connection and records each received byte.
struct ServerDouble {
    address: SocketAddr,
    heard: Arc<Mutex<Vec<u8>>>,
    /// The method and the path of each request.
    requests: Receiver<String>,
}

impl ServerDouble {
    fn start(answer: impl Fn(&str) -> Answer + Send + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let heard: Arc<Mutex<Vec<u8>>> = Arc::default();
        let (sender, requests) = channel();
        let keep = heard.clone();
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let mut stream = stream.unwrap();
                let mut head = Vec::new();
                let mut byte = [0];
                while !head.ends_with(b"\r\n\r\n") && stream.read_exact(&mut byte).is_ok() {
                    head.push(byte[0]);
                    keep.lock().unwrap().push(byte[0]);
                }
                let head = String::from_utf8_lossy(&head);
                let request = head.split(" HTTP/").next().unwrap();
                let (head, body) = answer(request);
                let length = body.len();
                let text = format!("HTTP/1.1 {head}\r\nContent-Length: {length}\r\n\r\n{body}");
                // The client or the test may have ended already.
                stream.write_all(text.as_bytes()).ok();
                sender.send(request.to_owned()).ok();
            }
        });
        Self {
            address,
            heard,
            requests,
        }
    }

    /// Returns the next request that begins with this text, and skips the requests before it.
    #[track_caller]
    fn until(&self, start: &str) -> String {
        loop {
            let request = self.requests.recv_timeout(TIME_LIMIT).unwrap();
            if request.starts_with(start) {
                return request;
            }
        }
    }

    /// Returns the next requests in their order.
    #[track_caller]
    fn next<const COUNT: usize>(&self) -> [String; COUNT] {
        [(); COUNT].map(|()| self.requests.recv_timeout(TIME_LIMIT).unwrap())
    }
}

/// A REST poller and a WebSocket session in a separate thread.
struct RestClient {
    manual_clock: ManualClock,
    needs: watch::Sender<RestDemand>,
    updates: mpsc::Receiver<Update>,
    _orders: watch::Sender<SubscriptionDemand>,
    _thread: running_ticker::Background<()>,
}

impl RestClient {
    fn start(source: FeedSource, need: RestDemand, channels: &[&str]) -> Self {
        Self::at(source, need, channels, running_ticker::manual_clock())
    }

    fn at(
        source: FeedSource,
        need: RestDemand,
        channels: &[&str],
        (clock, manual_clock): (Clock, ManualClock),
    ) -> Self {
        let (needs, asked) = watch::channel(need);
        let (sender, updates) = mpsc::channel(64);
        let (demand, wanted) = watch::channel(SubscriptionDemand {
            channels: channels
                .iter()
                .map(|name| Channel::parse(name).unwrap())
                .collect(),
            ..SubscriptionDemand::default()
        });
        let source = Arc::new(source);
        let connector = Connector::new(None).unwrap();
        let session = Session {
            cluster: Cluster::Indices,
            source: source.clone(),
            connector: connector.clone(),
            demand: wanted,
            updates: sender.clone(),
            clock: clock.clone(),
        };
        let thread = running_ticker::Background::start(move || async move {
            tokio::spawn(session.run());
            tokio::spawn(run_poller(connector, source, asked, sender, clock));
        });
        Self {
            manual_clock,
            needs,
            updates,
            _orders: demand,
            _thread: thread,
        }
    }

    fn advance(&self, millis: u64) {
        self.manual_clock.advance(Duration::from_millis(millis));
    }
}

fn need(names: &[&str], pace: Option<u64>) -> RestDemand {
    let ask = |symbol| PollRequest {
        symbol,
        pace: pace.map(Duration::from_secs),
    };
    RestDemand {
        polls: symbols(names).into_iter().map(ask).collect(),
        offset: Some(START.0),
        ..RestDemand::default()
    }
}

#[test]
fn a_captive_portal_receives_no_token_and_is_reported() {
    let redirect = "302 Found\r\nLocation: http://10.0.0.1/login\r\nContent-Type: application/json";
    let page = "<html><body>Welcome to this hotel</body></html>";
    for (head, body) in [
        (redirect, "{}"),
        ("200 OK\r\nContent-Type: text/html", page),
        ("200 OK\r\nContent-Type: application/json", page),
        (
            "200 OK\r\nContent-Type: application/json",
            r#"{"captive":true}"#,
        ),
        ("403 Forbidden\r\nContent-Type: text/html", page),
        (
            "511 Network Authentication Required\r\nContent-Type: text/html",
            page,
        ),
    ] {
        let portal = ServerDouble::start(move |_| (head, body.to_owned()));
        let source = running_ticker::hub(portal.address, TOKEN);
        let mut needed = need(&["SPX"], Some(2));
        needed.market = Some(Duration::from_secs(60));
        needed.minutes = vec![(symbols(&["SPX"]).remove(0), Utc(START.0 - 1))];
        let mut poller = RestClient::start(source, needed, &["V.I:SPX"]);
        let portal_is_told = |update: Option<Update>| match update.expect("the session has ended") {
            Update::Status(_, status) => {
                matches!(status.reason, Some(Failure::Portal | Failure::Filtered))
            }
            Update::Rest(outcome) => {
                assert!(matches!(outcome, Err(Failure::Portal | Failure::Filtered)));
                false
            }
            other => panic!("{other:?}"),
        };
        while !portal_is_told(poller.updates.blocking_recv()) {}
        // The client makes four kinds of requests: the WebSocket and three REST services. The test
        // waits for three of each.
        let end = Instant::now() + TIME_LIMIT;
        let mut asked = 0;
        while asked < 12 {
            assert!(Instant::now() < end, "only {asked} questions");
            match portal.requests.recv_timeout(Duration::from_millis(5)) {
                Ok(_) => asked += 1,
                Err(_) => poller.advance(60_000),
            }
        }
        let heard = String::from_utf8_lossy(&portal.heard.lock().unwrap()).into_owned();
        assert!(heard.contains("GET /healthz"), "{heard}");
        for secret in ["token", "authorization", "eyJ1", "0a1b2c", "bearer"] {
            assert!(!heard.to_lowercase().contains(secret), "{head}: {heard}");
        }
        drop(poller.updates);
    }
}

/// A double of the vendor. The client sends the key without a check, because a TLS certificate
/// would identify the real vendor.
fn vendor(answer: impl Fn(&str) -> Answer + Send + 'static) -> (ServerDouble, FeedSource) {
    let double = ServerDouble::start(answer);
    let source = running_ticker::vendor(double.address, "key");
    (double, source)
}

const SNAPSHOT: &str = r#"{"results":[{"ticker":"SPY","last_trade":{"price":600,"sip_timestamp":1795444199000000000}}]}"#;

/// Waits for the next update that is no outcome of a request.
fn next(poller: &mut RestClient) -> Update {
    loop {
        match poller.updates.blocking_recv().unwrap() {
            Update::Rest(_) => {}
            update => return update,
        }
    }
}

#[test]
fn a_symbol_is_polled_at_its_pace() {
    let (double, source) = vendor(|_| json(SNAPSHOT));
    let mut poller = RestClient::start(source, need(&["SPY"], Some(2)), &[]);
    for _ in 0..3 {
        let path = "GET /v3/snapshot?ticker.any_of=SPY&limit=250";
        assert_eq!(double.next(), [path]);
        let Update::Seed(seed) = next(&mut poller) else {
            panic!("no seed");
        };
        assert_eq!(seed.ticker, "SPY");
        poller.advance(2000);
    }
}

#[test]
fn a_server_that_requests_a_pause_gets_no_request_before_its_end() {
    let times = Arc::new(Mutex::new(Vec::new()));
    let (clock, manual_clock) = running_ticker::manual_clock();
    let (double, source) = vendor({
        let (times, clock) = (times.clone(), clock.clone());
        move |_| {
            times
                .lock()
                .unwrap()
                .push(clock.now().monotonic.as_millis());
            let busy = "429 Too Many Requests\r\nRetry-After: 90";
            (busy, String::new())
        }
    });
    let poller = RestClient::at(source, need(&["SPY"], Some(1)), &[], (clock, manual_clock));
    double.next::<1>();
    let end = Instant::now() + TIME_LIMIT;
    while double.requests.try_recv().is_err() {
        assert!(Instant::now() < end, "never asked again");
        poller.advance(1000);
        poller.needs.send_modify(|need| need.list += 1);
        std::thread::yield_now();
    }
    let times = times.lock().unwrap();
    assert!(times[1] - times[0] >= 90_000, "{times:?}");
}

#[test]
fn market_status_and_minute_bars_are_read_from_the_vendor_and_from_a_hub() {
    let answer = |request: &str, simulated: bool| {
        let word = if simulated {
            r#"{"simulated":true,"#
        } else {
            "{"
        };
        let json = |body: &str| json(&body.replacen('{', word, 1));
        let path = request.split(' ').nth(1).unwrap();
        match path.split('?').next().unwrap() {
            "/healthz" => json(r#"{"clusters":{}}"#),
            "/api/market/status" | "/v1/marketstatus/now" => {
                json(r#"{"market":"open","serverTime":"2026-11-23T09:30:00-05:00"}"#)
            }
            path if path.starts_with("/v2/aggs/ticker/I:SPX/range/1/minute/") => json(
                r#"{"ticker":"I:SPX","results":[{"t":1795444140000,"o":1,"h":2,"l":1,"c":2}]}"#,
            ),
            _ => json(r#"{"x":1}"#),
        }
    };
    for (hub, simulated) in [(false, false), (false, true), (true, false), (true, true)] {
        let double = ServerDouble::start(move |request| answer(request, simulated));
        let source = match hub {
            true => running_ticker::hub(double.address, TOKEN),
            false => running_ticker::vendor(double.address, "key"),
        };
        let mut needed = need(&[], None);
        needed.market = Some(Duration::from_secs(60));
        needed.minutes = vec![(symbols(&["SPX"]).remove(0), Utc(START.0 - 60_000))];
        let mut poller = RestClient::start(source, needed, &[]);
        let Update::MarketStatus(status, told) = next(&mut poller) else {
            panic!("no markets");
        };
        assert_eq!(
            (status.groups[0], status.as_of),
            (Some(MarketState::Open), START)
        );
        assert_eq!(told, simulated);
        let Some(Update::Minutes {
            ticker,
            bars,
            simulated: told,
        }) = poller.updates.blocking_recv()
        else {
            panic!("no minutes");
        };
        assert_eq!(
            (ticker.as_str(), bars.len(), bars[0].end),
            ("I:SPX", 1, START)
        );
        assert_eq!(told, simulated);
        let asked = double.until("GET /v2/");
        let span = format!("/{}/{}?adjusted=true&sort=asc", START.0 - 60_000, START.0);
        assert!(asked.contains(&span), "{asked}");
    }
}
