//! Tests of the quotes of the hub, over real sockets: the hub combines the requests of all clients
//! into one vendor request, and it pauses when the vendor requests a pause. The test moves the
//! clock.
#![allow(clippy::unwrap_used)]

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use deskticker::hub::Vendor;
use deskticker::hub::rest::cache::QuotesError;
use deskticker::hub::rest::quotes::QuoteCache;
use deskticker::market::Calendar;
use deskticker::net::connector::Connector;
use deskticker::net::endpoint::Endpoint;
use deskticker::net::failure::Failure;
use deskticker::net::source::{FeedProvider, FeedSource};
use deskticker::secret::Secret;
use deskticker::simulator::{InjectedFault, Simulator, SimulatorSettings};
use deskticker::time::{Clock, ManualClock, Moment, Now, Utc};
use serde_json::Value;
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
        watch::channel(Vendor {
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
    let body = quotes
        .quotes(&["VIX", CONTRACT, "SPX", "SPY", "I:NOSUCH"])
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
        (&rows[4]["last"], &rows[4]["source"], &rows[4]["denial"]),
        (
            &Value::from(0.0),
            &Value::from("error"),
            &Value::from("NOT_FOUND")
        )
    );
}

#[tokio::test]
async fn a_share_is_never_confused_with_an_index_of_the_same_name() {
    let simulator = simulator().await;
    let (quotes, ..) = quotes(simulator.address(), "simulated");
    let asked = ["COMP", "stock:COMP", "AMpB", "AMPB"];
    let body = json(&quotes.quotes(&asked).await.unwrap());
    let row = |place: usize| {
        let row = &body["results"][place];
        (
            row["symbol"].as_str().unwrap(),
            row["source"].as_str().unwrap(),
            row["last"].as_f64().unwrap(),
        )
    };
    assert_eq!(
        row(0),
        ("COMP", "error", 0.0),
        "nobody has that index there"
    );
    assert_eq!((row(1).0, row(1).1), ("stock:COMP", "stocks"));
    assert_eq!((row(2).0, row(3).0), ("AMpB", "AMPB"));
    assert!(row(1).2 > 0.0 && row(2).2 != row(3).2, "{body}");
}

#[tokio::test]
async fn a_share_row_contains_its_day_its_book_and_its_last_trade() {
    let simulator = simulator_of(SimulatorSettings {
        denied: vec!["MSFT".into()],
        ..SimulatorSettings::default()
    })
    .await;
    let (quotes, ..) = quotes(simulator.address(), "simulated");
    let body = json(&quotes.quotes(&["SPY", "MSFT"]).await.unwrap());
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
        (&msft["source"], &msft["denial"]),
        (&"error".into(), &"NOT_ENTITLED".into())
    );
}

#[tokio::test]
async fn requests_for_the_same_symbols_share_one_vendor_request() {
    let simulator = simulator().await;
    let (quotes, manual_clock, _) = quotes(simulator.address(), "simulated");
    let (one, two, three, four) = tokio::join!(
        quotes.quotes(&["SPX", "VIX"]),
        quotes.quotes(&["VIX", "SPX"]),
        quotes.quotes(&["I:SPX", "I:VIX", "SPX"]),
        quotes.quotes(&["SPX", "VIX"]),
    );
    assert_eq!(simulator.requests(), 1);
    assert_eq!(one.unwrap(), four.unwrap());
    assert_eq!(json(&two.unwrap())["results"][0]["symbol"], "I:VIX");
    assert_eq!(
        json(&three.unwrap())["results"].as_array().unwrap().len(),
        3
    );
    manual_clock.advance(Duration::from_secs(1));
    let body = json(&quotes.quotes(&["SPX", "VIX"]).await.unwrap());
    assert_eq!((&body["age"], simulator.requests()), (&Value::from(1.0), 1));
    manual_clock.advance(Duration::from_secs(1));
    let body = json(&quotes.quotes(&["SPX", "VIX"]).await.unwrap());
    assert_eq!((&body["age"], simulator.requests()), (&Value::from(0.0), 2));
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
    quotes.quotes(&["SPX"]).await.unwrap();
    simulator.fault(InjectedFault::Refusal);
    manual_clock.advance(Duration::from_secs(3));
    let body = json(&quotes.quotes(&["SPX"]).await.unwrap());
    assert_eq!(
        (&body["age"], &body["stale"]),
        (&Value::from(3.0), &Value::from(true))
    );
    let refused = |secs| QuotesError {
        reason: Failure::Key,
        retry_after: Some(secs),
    };
    assert_eq!(quotes.quotes(&["VIX"]).await, Err(refused(60)));
    manual_clock.advance(Duration::from_secs(59));
    assert_eq!(quotes.quotes(&["VIX"]).await, Err(refused(1)));
    assert_eq!(simulator.requests(), 2);
    simulator.fault(InjectedFault::None);
    manual_clock.advance(Duration::from_secs(1));
    quotes.quotes(&["VIX"]).await.unwrap();
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
    };
    let (one, two) = tokio::join!(quotes.quotes(&["SPX"]), quotes.quotes(&["SPX"]));
    assert_eq!((one, two), (Err(busy(30)), Err(busy(30))));
    manual_clock.advance(Duration::from_secs(29));
    assert_eq!(quotes.market_status().await, Err(busy(1)));
    assert_eq!(count.load(Ordering::Relaxed), 1);
    manual_clock.advance(Duration::from_secs(1));
    let body = json(&quotes.quotes(&["SPX"]).await.unwrap());
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
        let error = quotes.quotes(&["SPX"]).await.unwrap_err();
        assert_eq!(error.reason, reason);
        assert!(error.retry_after.is_some());
        manual_clock.advance(Duration::from_secs(60));
    }
}
