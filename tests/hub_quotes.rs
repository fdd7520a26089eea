//! Tests of the quotes of the hub, over real sockets: the hub combines the requests of all clients
//! into one vendor request, and it pauses when the vendor requests a pause. The test moves the
//! clock.
#![allow(clippy::unwrap_used)]

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use deskticker::hub::UpstreamServer;
use deskticker::hub::rest::cache::QuotesError;
use deskticker::hub::rest::quote_rows::QuoteRequest;
use deskticker::hub::rest::quotes::{Asker, QuoteCache};
use deskticker::market::Calendar;
use deskticker::net::connector::Connector;
use deskticker::net::endpoint::Endpoint;
use deskticker::net::failure::Failure;
use deskticker::net::source::{FeedProvider, FeedSource};
use deskticker::secret::Secret;
use deskticker::simulator::{InjectedFault, Simulator, SimulatorSettings};
use deskticker::time::{Clock, ManualClock, Moment, Now, Utc};
use hyper::StatusCode;
use serde_json::{Value, json as value};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio::sync::watch;

const START: Utc = Utc(1_795_447_800_000);
const CONTRACT: &str = "O:SPY251219C00650000";

fn quotes(address: impl std::fmt::Display, key: &str) -> (QuoteCache, ManualClock, Clock) {
    let (clock, manual_clock) = Clock::manual(Now::new(Moment::ZERO, START));
    let source = FeedSource::new(
        FeedProvider::Vendor,
        Endpoint::parse(&format!("ws://{address}")).unwrap(),
        Some(Secret::new(key).unwrap()),
    );
    let quotes = QuoteCache::new(
        watch::channel(UpstreamServer {
            rest: source.clone(),
            source,
        })
        .1,
        Connector::new(None).unwrap(),
        Calendar::us(),
        clock.clone(),
        watch::Sender::default().subscribe(),
        Arc::default(),
    );
    (quotes, manual_clock, clock)
}

/// Requests quotes as the only device of a hub.
async fn ask(quotes: &QuoteCache, tickers: &[&str]) -> Result<String, QuotesError> {
    let asker = Asker {
        device: "kitchen".into(),
        most_tickers: usize::MAX,
    };
    quotes
        .quotes(&asker, &QuoteRequest::new(tickers, false))
        .await
}

async fn simulator() -> Simulator {
    simulator_of(SimulatorSettings::default()).await
}

async fn simulator_of(settings: SimulatorSettings) -> Simulator {
    let (clock, manual_clock) = Clock::manual(Now::new(Moment::ZERO, START));
    // Without the handle, the clock stands still.
    drop(manual_clock);
    let settings = SimulatorSettings {
        values: true,
        ..settings
    };
    Simulator::start(settings, clock).await.unwrap()
}

fn json(body: &str) -> Value {
    serde_json::from_str(body).unwrap()
}

#[tokio::test]
async fn every_requested_row_is_returned_in_order() {
    let simulator = simulator().await;
    let (quotes, ..) = quotes(simulator.address(), "simulated");
    let body = ask(&quotes, &["VIX", CONTRACT, "SPX", "SPY", "I:NOSUCH"])
        .await
        .unwrap();
    let body = json(&body);
    let rows = body["results"].as_array().unwrap();
    let symbols: Vec<&str> = rows
        .iter()
        .map(|row| row["symbol"].as_str().unwrap())
        .collect();
    assert_eq!(symbols, ["I:VIX", CONTRACT, "I:SPX", "SPY", "I:NOSUCH"]);
    assert_eq!(rows[0]["last"], 17.25);
    assert_eq!(rows[0]["previousClose"], 17.65);
    assert_eq!(rows[0]["marketStatus"], "regular_trading");
    assert_eq!(rows[0]["asOf"], START.0);
    assert_eq!(rows[1]["last"], 9.76);
    assert_eq!(rows[1]["greeks"]["delta"], 0.5413);
    assert_eq!(rows[2]["change"], 24.73);
    assert_eq!(
        (rows[4].get("last"), &rows[4]["source"], &rows[4]["error"]),
        (None, &Value::from("error"), &Value::from("NOT_FOUND"))
    );
}

#[tokio::test]
async fn a_share_is_never_confused_with_an_index_of_the_same_name() {
    let simulator = simulator().await;
    let (quotes, ..) = quotes(simulator.address(), "simulated");
    let asked = ["COMP", "stock:COMP", "AMpB", "AMPB"];
    let body = json(&ask(&quotes, &asked).await.unwrap());
    let row = |place: usize| {
        let row = &body["results"][place];
        (
            row["symbol"].as_str().unwrap(),
            row["source"].as_str().unwrap(),
            row["last"].as_f64(),
        )
    };
    assert_eq!(
        row(0),
        ("COMP", "error", None),
        "nobody has that index there"
    );
    assert_eq!((row(1).0, row(1).1), ("stock:COMP", "stocks"));
    assert_eq!((row(2).0, row(3).0), ("AMpB", "AMPB"));
    assert!(row(1).2 > Some(0.0) && row(2).2 != row(3).2, "{body}");
}

#[tokio::test]
async fn a_share_row_contains_its_day_its_book_and_its_last_trade() {
    let simulator = simulator_of(SimulatorSettings {
        denied: vec!["MSFT".into()],
        ..SimulatorSettings::default()
    })
    .await;
    let (quotes, ..) = quotes(simulator.address(), "simulated");
    let body = json(&ask(&quotes, &["SPY", "MSFT"]).await.unwrap());
    let (spy, msft) = (&body["results"][0], &body["results"][1]);
    assert_eq!(
        (&spy["source"], &spy["last"]),
        (&"stocks".into(), &590.87.into())
    );
    let number = |word: &str| {
        spy[word]
            .as_f64()
            .unwrap_or_else(|| panic!("{word} of {spy}"))
    };
    assert!((number("dayLow")..=number("dayHigh")).contains(&590.87));
    assert_eq!((number("bid"), number("ask")), (590.86, 590.88));
    assert_eq!((number("bidSize"), number("askSize")), (1700.0, 2400.0));
    assert_eq!(
        (number("lastTrade"), number("lastTradeSize")),
        (590.87, 100.0)
    );
    assert!(number("volume") > 1e6);
    assert_eq!(spy["lastTradeAt"], START.0 * 1_000_000);
    assert_eq!(spy["asOf"], spy["lastTradeAt"]);
    assert_eq!(spy.get("greeks"), None);
    assert_eq!(
        (&msft["source"], &msft["error"]),
        (&"error".into(), &"NOT_ENTITLED".into())
    );
}

#[tokio::test]
async fn requests_for_the_same_symbols_share_one_vendor_request() {
    let simulator = simulator().await;
    let (quotes, manual_clock, _) = quotes(simulator.address(), "simulated");
    let (one, two, three, four) = tokio::join!(
        ask(&quotes, &["SPX", "VIX"]),
        ask(&quotes, &["VIX", "SPX"]),
        ask(&quotes, &["I:SPX", "I:VIX", "SPX"]),
        ask(&quotes, &["SPX", "VIX"]),
    );
    assert_eq!(simulator.requests(), 1);
    assert_eq!(one.unwrap(), four.unwrap());
    assert_eq!(json(&two.unwrap())["results"][0]["symbol"], "I:VIX");
    assert_eq!(
        json(&three.unwrap())["results"].as_array().unwrap().len(),
        3
    );
    manual_clock.advance(Duration::from_secs(1));
    let body = json(&ask(&quotes, &["SPX", "VIX"]).await.unwrap());
    let age = &body["results"][0]["age"];
    assert_eq!((age, simulator.requests()), (&Value::from(1.0), 1));
    manual_clock.advance(Duration::from_secs(1));
    let body = json(&ask(&quotes, &["SPX", "VIX"]).await.unwrap());
    let age = &body["results"][0]["age"];
    assert_eq!((age, simulator.requests()), (&Value::from(0.0), 2));
}

#[tokio::test]
async fn the_market_status_comes_from_the_vendor_and_is_cached_for_a_minute() {
    let simulator = simulator().await;
    let (quotes, manual_clock, _) = quotes(simulator.address(), "simulated");
    for age in [0.0, 59.0] {
        let status = json(&quotes.market_status().await.unwrap());
        assert_eq!(status["market"], "open");
        assert_eq!(status["indicesGroups"]["cgi"], "open");
        assert_eq!(status["age"], age);
        manual_clock.advance(Duration::from_secs(59));
    }
    quotes.market_status().await.unwrap();
    assert_eq!(simulator.requests(), 2);
}

#[tokio::test]
async fn a_refused_key_is_reported_and_not_sent_again_for_a_minute() {
    let simulator = simulator().await;
    let (quotes, manual_clock, _) = quotes(simulator.address(), "simulated");
    ask(&quotes, &["SPX"]).await.unwrap();
    simulator.fault(InjectedFault::Refusal);
    manual_clock.advance(Duration::from_secs(3));
    let body = json(&ask(&quotes, &["SPX"]).await.unwrap());
    let row = &body["results"][0];
    assert_eq!(
        (&row["age"], &row["stale"]),
        (&Value::from(3.0), &Value::from(true))
    );
    let refused = |secs| QuotesError {
        reason: Failure::Key,
        retry_after: Some(secs),
        status: Some(StatusCode::UNAUTHORIZED),
    };
    assert_eq!(ask(&quotes, &["VIX"]).await, Err(refused(60)));
    manual_clock.advance(Duration::from_secs(59));
    assert_eq!(ask(&quotes, &["VIX"]).await, Err(refused(1)));
    assert_eq!(simulator.requests(), 2);
    simulator.fault(InjectedFault::None);
    manual_clock.advance(Duration::from_secs(1));
    ask(&quotes, &["VIX"]).await.unwrap();
}

/// An HTTP server that sends these responses one after the other and counts the requests.
async fn scripted(answers: &'static [&'static str]) -> (std::net::SocketAddr, Arc<AtomicUsize>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let count = Arc::new(AtomicUsize::new(0));
    let counter = count.clone();
    tokio::spawn(async move {
        for answer in answers {
            let (mut stream, _) = listener.accept().await.unwrap();
            counter.fetch_add(1, Ordering::Relaxed);
            let mut request = Vec::new();
            while !request.ends_with(b"\r\n\r\n") {
                request.push(stream.read_u8().await.unwrap());
            }
            stream.write_all(answer.as_bytes()).await.unwrap();
        }
    });
    (address, count)
}

#[tokio::test]
async fn no_request_is_sent_before_retry_after_has_passed() {
    let (address, count) = scripted(&[
        "HTTP/1.1 429 Too Many Requests\r\nRetry-After: 30\r\nContent-Length: 0\r\n\r\n",
        "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 14\r\n\r\n{\"results\":[]}",
    ])
    .await;
    let (quotes, manual_clock, _) = quotes(address, "the-key");
    let busy = |secs| QuotesError {
        reason: Failure::Busy,
        retry_after: Some(secs),
        status: Some(StatusCode::TOO_MANY_REQUESTS),
    };
    let (one, two) = tokio::join!(ask(&quotes, &["SPX"]), ask(&quotes, &["SPX"]));
    assert_eq!((one, two), (Err(busy(30)), Err(busy(30))));
    manual_clock.advance(Duration::from_secs(29));
    assert_eq!(quotes.market_status().await, Err(busy(1)));
    assert_eq!(count.load(Ordering::Relaxed), 1);
    manual_clock.advance(Duration::from_secs(1));
    let body = json(&ask(&quotes, &["SPX"]).await.unwrap());
    assert_eq!(body["results"][0]["source"], "none");
}

#[tokio::test]
async fn a_web_page_or_junk_is_an_error_and_no_quote() {
    let (address, _) = scripted(&[
        "HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nContent-Length: 6\r\n\r\n<html>",
        "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 5\r\n\r\n[1,2]",
        "HTTP/1.1 503 Service Unavailable\r\nContent-Length: 0\r\n\r\n",
    ])
    .await;
    let (quotes, manual_clock, _) = quotes(address, "the-key");
    for reason in [
        Failure::Portal,
        Failure::Protocol,
        Failure::Busy,
        Failure::Refused,
    ] {
        let error = ask(&quotes, &["SPX"]).await.unwrap_err();
        assert_eq!(error.reason, reason);
        assert!(error.retry_after.is_some());
        manual_clock.advance(Duration::from_secs(60));
    }
}

/// The number of periods that the test observes.
const PERIODS: usize = 10;

#[tokio::test]
async fn ten_displays_with_overlapping_lists_cost_the_vendor_one_request_a_period() {
    let simulator = simulator().await;
    let (quotes, manual_clock, _) = quotes(simulator.address(), "simulated");
    // Each display has three tickers, of which its neighbours have two.
    let all: Vec<String> = (0..12)
        .map(|n| format!("T{}", char::from(b'A' + n)))
        .collect();
    let lists: Vec<Vec<&str>> = (0..10)
        .map(|n| all[n..n + 3].iter().map(String::as_str).collect())
        .collect();
    let mut total = 0;
    for period in 0..PERIODS {
        let before = simulator.requests();
        // The displays ask one after the other within the period of two seconds.
        for list in &lists {
            let body = json(&ask(&quotes, list).await.unwrap());
            let rows = body["results"].as_array().unwrap();
            let age = |row: &Value| row["age"].as_f64().unwrap();
            let good = |row: &Value| row["last"].as_f64() > Some(0.0) && age(row) < 2.0;
            assert!(rows.len() == 3 && rows.iter().all(good), "{body}");
            manual_clock.advance(Duration::from_millis(200));
        }
        let requests = simulator.requests() - before;
        if period > 0 {
            assert_eq!(requests, 1, "in period {period}");
        }
        total += requests;
    }
    // In the first period the hub learns the lists.
    assert!(total as usize <= PERIODS - 1 + lists.len());
}

#[tokio::test]
async fn displays_that_ask_at_the_same_time_share_a_request() {
    let simulator = simulator().await;
    let (quotes, ..) = quotes(simulator.address(), "simulated");
    let lists = [
        ["SPY", "QQQ"],
        ["QQQ", "AAPL"],
        ["AAPL", "MSFT"],
        ["SPY", "NVDA"],
    ];
    let asked = lists.iter().map(|list| ask(&quotes, list));
    for body in futures_util::future::join_all(asked).await {
        let body = json(&body.unwrap());
        assert!(body["results"][1]["last"].as_f64() > Some(0.0), "{body}");
    }
    // The first display asks at once, and the second request is for all others.
    assert_eq!(simulator.requests(), 2);
}

/// The status of a response with a body that is no snapshot.
const UNREADABLE: &str = "200 OK";

/// A vendor that refuses each request with one of these tickers as a whole, and the tickers of its
/// requests.
async fn refusing(
    wrong: &'static [&'static str],
    status: &'static str,
) -> (std::net::SocketAddr, Arc<Mutex<Vec<String>>>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let asked = Arc::new(Mutex::new(Vec::new()));
    let noted = asked.clone();
    tokio::spawn(async move {
        loop {
            let (mut stream, _) = listener.accept().await.unwrap();
            let mut request = Vec::new();
            while !request.ends_with(b"\r\n\r\n") {
                request.push(stream.read_u8().await.unwrap());
            }
            let request = String::from_utf8(request).unwrap();
            let (_, list) = request.split_once("any_of=").unwrap();
            let list = list[..list.find('&').unwrap()].to_owned();
            let tickers: Vec<&str> = list.split(',').collect();
            let is_refused = tickers.iter().any(|ticker| wrong.contains(ticker));
            let row = |ticker: &&str| value!({ "ticker": ticker, "session": { "close": 5.5 } });
            let rows: Vec<Value> = tickers.iter().map(row).collect();
            let (status, body) = match is_refused {
                true if status == UNREADABLE => (status, value!("wrong ticker")),
                true => (
                    status,
                    value!({ "status": "ERROR", "error": "wrong ticker" }),
                ),
                false => ("200 OK", value!({ "status": "OK", "results": rows })),
            };
            noted.lock().unwrap().push(list);
            let body = body.to_string();
            let answer = format!(
                "HTTP/1.1 {status}\r\nContent-Type: application/json\r\nConnection: close\r\n\
                 Content-Length: {}\r\n\r\n{body}",
                body.len()
            );
            stream.write_all(answer.as_bytes()).await.unwrap();
        }
    });
    (address, asked)
}

#[tokio::test]
async fn a_ticker_that_the_vendor_refuses_costs_no_other_ticker_its_row() {
    for status in [
        "400 Bad Request",
        "404 Not Found",
        "500 Internal Server Error",
    ] {
        let (address, asked) = refusing(&["BAD", "WORSE"], status).await;
        let (quotes, manual_clock, _) = quotes(address, "the-key");
        let good = |body: String, places: &[usize]| {
            let body = json(&body);
            for place in places {
                let row = &body["results"][*place];
                assert_eq!(
                    (&row["last"], &row["age"]),
                    (&5.5.into(), &0.0.into()),
                    "{body}"
                );
            }
            body
        };
        good(ask(&quotes, &["SPY", "QQQ"]).await.unwrap(), &[0, 1]);
        // A request with good and wrong tickers still gets the good rows.
        manual_clock.advance(Duration::from_secs(2));
        let list = ["AAPL", "BAD", "MSFT", "WORSE", "NVDA"];
        let body = good(ask(&quotes, &list).await.unwrap(), &[0, 2, 4]);
        for place in [1, 3] {
            let row = &body["results"][place];
            assert_eq!(
                (row.get("last"), &row["error"]),
                (None, &"NO_ANSWER".into())
            );
        }
        // The other device is not affected, and the wrong tickers are not asked for again at once.
        let before = asked.lock().unwrap().len();
        good(ask(&quotes, &["SPY", "QQQ"]).await.unwrap(), &[0, 1]);
        manual_clock.advance(Duration::from_millis(1900));
        good(
            ask(&quotes, &["SPY", "MSFT"])
                .await
                .map(|body| body.replace("1.9", "0.0"))
                .unwrap(),
            &[0, 1],
        );
        assert!(before <= 12, "{before} requests");
        assert_eq!(asked.lock().unwrap().len(), before);
    }
}

#[tokio::test]
async fn the_wrong_tickers_of_one_device_never_cost_another_device_its_row() {
    // More wrong tickers than further requests can find.
    let name = |n: u8| format!("BAD{}", char::from(b'A' + n));
    let wrong: Vec<&'static str> = (0..26).map(|n| &*name(n).leak()).collect();
    let wrong: &'static [&'static str] = wrong.leak();
    for status in ["400 Bad Request", UNREADABLE] {
        let (address, asked) = refusing(wrong, status).await;
        let (quotes, manual_clock, _) = quotes(address, "the-key");
        let ask_as = async |device: &str, tickers: &[&str]| {
            let asker = Asker {
                device: device.into(),
                most_tickers: 500,
            };
            let request = QuoteRequest::new(tickers, false);
            quotes.quotes(&asker, &request).await
        };
        for _ in 0..3 {
            // The second request contains the tickers of the two devices that wait for the first.
            let (_, refused, row, other) = tokio::join!(
                ask_as("hall", &["QQQ"]),
                ask_as("greedy", wrong),
                ask_as("kitchen", &["AAPL"]),
                ask_as("office", &["SPY"]),
            );
            assert!(refused.is_err());
            for body in [row, other] {
                let row = json(&body.unwrap())["results"][0].take();
                assert_eq!((&row["last"], &row["age"]), (&5.5.into(), &0.0.into()));
            }
            // The refusal of the wrong tickers ends together with the rows of the others.
            manual_clock.advance(Duration::from_secs(5));
        }
        let asked = asked.lock().unwrap().len();
        assert!(asked <= 3 * 22, "{asked} requests");
    }
}

#[tokio::test]
async fn a_vendor_that_refuses_everything_gets_few_requests_although_many_devices_ask() {
    let name = |n: u8| format!("A{}", char::from(b'A' + n));
    let all: Vec<&'static str> = (0..26).map(|n| &*name(n).leak()).collect();
    let all: &'static [&'static str] = all.leak();
    for status in ["500 Internal Server Error", "404 Not Found", UNREADABLE] {
        let (address, asked) = refusing(all, status).await;
        let (quotes, ..) = quotes(address, "the-key");
        let quotes = &quotes;
        let asking = all.iter().map(|ticker| async move {
            let asker = Asker {
                device: (*ticker).into(),
                most_tickers: 500,
            };
            let request = QuoteRequest::new(&[ticker], false);
            assert!(quotes.quotes(&asker, &request).await.is_err());
        });
        futures_util::future::join_all(asking).await;
        let asked = asked.lock().unwrap().len();
        // The first device asks alone, and the second one together with all others.
        assert_eq!(asked, 4, "{status}");
    }
}

#[tokio::test]
async fn rows_that_are_missing_for_different_reasons_say_each_its_own() {
    let (address, _) = scripted(&[
        "HTTP/1.1 403 Forbidden\r\nContent-Type: application/json\r\nContent-Length: 2\r\n\r\n{}",
        "HTTP/1.1 503 Service Unavailable\r\nContent-Length: 0\r\n\r\n",
        "HTTP/1.1 403 Forbidden\r\nContent-Type: application/json\r\nContent-Length: 2\r\n\r\n{}",
    ])
    .await;
    let (quotes, ..) = quotes(address, "the-key");
    let body = json(&ask(&quotes, &[CONTRACT, "SPY"]).await.unwrap());
    let error = |row: usize| body["results"][row]["error"].as_str();
    assert_eq!(
        (error(0), error(1)),
        (Some("NOT_ENTITLED"), Some("NO_ANSWER"))
    );
    // A response without any row and with one reason stays an error.
    let error = ask(&quotes, &[CONTRACT]).await.unwrap_err();
    assert_eq!(error.reason, Failure::Plan);
}

#[tokio::test]
async fn a_class_outside_the_plan_costs_the_other_classes_nothing() {
    let (address, asked) = refusing(&["SPY", "QQQ"], "403 Forbidden").await;
    let (quotes, ..) = quotes(address, "the-key");
    let body = json(&ask(&quotes, &["SPY", "I:TICK", "QQQ"]).await.unwrap());
    assert_eq!(body["results"][0]["error"], "NOT_ENTITLED");
    assert_eq!(body["results"][1]["last"], 5.5);
    ask(&quotes, &["SPY", "I:TICK", "QQQ"]).await.unwrap();
    let asked = asked.lock().unwrap().clone();
    assert_eq!(asked, ["I:TICK,QQQ,SPY", "I:TICK", "QQQ,SPY"]);
}

#[tokio::test]
async fn fifteen_hundred_tickers_of_one_device_cost_the_others_nothing() {
    let simulator = simulator().await;
    let (quotes, manual_clock, _) = quotes(simulator.address(), "simulated");
    let greedy = Asker {
        device: "greedy".into(),
        most_tickers: 500,
    };
    let letter = |n: usize| char::from(b'A' + (n % 26) as u8);
    let name = |n: usize| format!("{}{}{}", letter(n / 676), letter(n / 26), letter(n));
    let names: Vec<String> = (0..1500).map(name).collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    for _ in 0..3 {
        let before = simulator.requests();
        let mut served = 0;
        for list in names.chunks(250) {
            let body = quotes
                .quotes(&greedy, &QuoteRequest::new(list, false))
                .await;
            let body = json(&body.unwrap());
            let rows = body["results"].as_array().unwrap();
            let refused = |row: &&Value| row["error"] == "TOO_MANY_TICKERS";
            served += 250 - rows.iter().filter(refused).count();
            // The other device gets its rows at their usual age.
            let other = json(&ask(&quotes, &["I:SPX", "I:VIX"]).await.unwrap());
            assert_eq!(other["results"][0]["last"], 5912.34);
            assert!(other["results"][0]["age"].as_f64() < Some(2.0));
        }
        assert_eq!(served, 500);
        // One request for each 250 tickers of the share, and one for the other device.
        assert!(simulator.requests() - before <= 3);
        manual_clock.advance(Duration::from_secs(2));
    }
}
