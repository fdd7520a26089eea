use hyper::body::Bytes;
use serde_json::json;

use super::*;
use crate::time::Moment;

fn answer(results: &Value) -> CachedAnswer {
    CachedAnswer {
        body: Bytes::from(json!({ "status": "OK", "results": results }).to_string()),
        age: Duration::from_micros(3_220_500),
        stale: false,
    }
}

fn rows(tickers: &[&str], results: &Value) -> Vec<Value> {
    let (body, _) = body(&requested(tickers), &[answer(results)]).unwrap();
    let mut body: Value = serde_json::from_str(&body).unwrap();
    assert_eq!(body["age"], 3.22);
    assert_eq!(body.get("simulated"), None);
    serde_json::from_value(body["results"].take()).unwrap()
}

#[test]
fn an_index_row_has_all_fields_of_the_proxy_and_some_more() {
    let results = json!([{ "ticker": "I:SPX", "value": 5912.34, "market_status": "regular_trading",
        "timeframe": "REAL-TIME", "last_updated": 1_764_086_430_905_642_800_i64,
        "session": { "close": 5912.34, "previous_close": 5887.61, "low": 5879.5, "high": 5920.25 } }]);
    let row = json!({ "symbol": "I:SPX", "last": 5912.34, "change": 24.73, "changePercent": 0.42,
        "asOf": 1_764_086_430_906_i64, "source": "indices", "previousClose": 5887.61,
        "marketStatus": "regular_trading", "dayLow": 5879.5, "dayHigh": 5920.25 });
    assert_eq!(rows(&["SPX"], &results), [row]);
}

#[test]
fn rows_have_the_requested_order_and_an_unknown_price_is_zero() {
    let results = json!([
        { "ticker": "I:VIX", "session": { "close": 17.25 }, "timeframe": "DELAYED" },
        { "ticker": "I:NDX", "error": "NOT_ENTITLED", "message": "Not entitled." },
        { "ticker": "I:NOSUCH", "error": "NOT_FOUND" },
        { "ticker": "SPY", "value": 0, "last_quote": { "bid": 0, "ask": 0, "bid_size": 0, "ask_size": 0 },
          "session": { "close": 0, "previous_close": 600.5, "low": 0, "high": 0, "volume": 0 } },
    ]);
    let requested = ["SPY", "hello world", "VIX", "NDX", "I:RUT", "I:NOSUCH"];
    let rows = rows(&requested, &results);
    let actual: Vec<_> = rows
        .iter()
        .map(|row| {
            (
                row["symbol"].as_str().unwrap(),
                row["last"].as_f64().unwrap(),
                row["source"].as_str().unwrap(),
            )
        })
        .collect();
    assert_eq!(
        actual,
        [
            ("SPY", 0.0, "none"),
            ("hello world", 0.0, "error"),
            ("I:VIX", 17.25, "indices-fallback"),
            ("NDX", 0.0, "error"),
            ("I:RUT", 0.0, "none"),
            ("I:NOSUCH", 0.0, "error"),
        ]
    );
    assert_eq!(rows[0]["change"], 0.0, "of nothing there is no change");
    assert_eq!(rows[0]["previousClose"], 600.5);
    assert_eq!(rows[2]["delayed"], true);
    assert_eq!(rows[3]["denial"], "NOT_ENTITLED");
    assert_eq!(rows[5]["denial"], "NOT_FOUND");
    assert_eq!(rows[1].get("denial"), None);
    let unknown = [
        "denial",
        "dayLow",
        "dayHigh",
        "volume",
        "bid",
        "ask",
        "bidSize",
        "askSize",
        "lastTrade",
    ];
    for word in unknown {
        assert_eq!(rows[0].get(word), None, "{word}");
    }
}

#[test]
fn a_contract_row_has_the_mid_price_the_greeks_and_the_quote_time() {
    let results = json!([{ "ticker": "O:SPY251219C00650000", "implied_volatility": 0.3049,
        "open_interest": 8921, "greeks": { "delta": 0.55, "gamma": 0.01, "theta": -0.03, "vega": 0.7 },
        "last_quote": { "bid": 9.71, "ask": 9.81, "bid_size": 17, "ask_size": 24, "last_updated": 1_764_086_430_905_000_000_i64 },
        "last_trade": { "price": 1.0, "size": 3, "sip_timestamp": 1_764_000_000_000_000_000_i64 },
        "session": { "close": 1.0, "previous_close": 9.48, "high": 1.5, "low": 0.75, "volume": 1203 } }]);
    let row = rows(&["O:SPY251219C00650000"], &results).remove(0);
    assert_eq!(row["last"], 9.76);
    assert_eq!(row["asOf"], 1_764_086_430_905_000_000_i64);
    assert_eq!((&row["bid"], &row["ask"]), (&json!(9.71), &json!(9.81)));
    assert_eq!(row["source"], "options");
    assert_eq!(row["greeks"]["theta"], -0.03);
    assert_eq!(row["impliedVolatility"], 0.3049);
    assert_eq!(row["openInterest"], 8921.0);
    let number = |word: &str| row[word].as_f64().unwrap();
    assert_eq!((number("bidSize"), number("askSize")), (17.0, 24.0));
    assert_eq!((number("dayLow"), number("dayHigh")), (0.75, 1.5));
    assert_eq!(number("volume"), 1203.0);
    assert_eq!((number("lastTrade"), number("lastTradeSize")), (1.0, 3.0));
    assert_eq!(row["lastTradeAt"], 1_764_000_000_000_000_000_i64);
}

#[test]
fn the_session_close_of_a_contract_is_not_its_current_price() {
    let results = json!([{ "ticker": "O:SPY251219C00650000", "greeks": {},
        "last_quote": { "bid": 0.01 },
        "session": { "close": 1.0, "previous_close": 9.48 } }]);
    let row = rows(&["O:SPY251219C00650000"], &results).remove(0);
    assert_eq!(
        (&row["last"], &row["source"]),
        (&json!(0.0), &json!("none"))
    );
    assert_eq!(row.get("greeks"), None);
}

#[test]
fn a_share_row_has_the_last_trade_and_its_time_in_nanoseconds() {
    let results = json!([{ "ticker": "SPY", "last_updated": 1_764_086_430_905_000_000_i64,
        "last_trade": { "price": 601.25, "sip_timestamp": 1_764_086_430_000_000_000_i64 },
        "session": { "close": 601.0, "previous_close": 600.0 } }]);
    let row = rows(&["spy"], &results).remove(0);
    assert_eq!(row["last"], 601.25);
    assert_eq!(row["asOf"], 1_764_086_430_000_000_000_i64);
    assert_eq!(row["changePercent"], 0.2083);
}

#[test]
fn a_response_has_a_longer_ttl_while_every_market_is_closed() {
    // 2026-11-23 is a Monday; 14:30 UTC is 9:30 in New York.
    let open = 1_795_444_200_000;
    let ttl = |statuses: &[&str], at: Option<i64>| {
        let rows: Vec<Value> = statuses
            .iter()
            .map(|status| json!({ "ticker": "I:SPX", "market_status": status }))
            .collect();
        let now = Now {
            monotonic: Moment::ZERO,
            utc: at.map(Utc),
        };
        let requested = requested(&["SPX", "NDX"]);
        let body = answer(&json!(rows)).body;
        let known = known(&body, &requested, &Calendar::us(), now).unwrap();
        known.ttl.as_millis()
    };
    let night = Some(open - 6 * 3_600_000);
    assert_eq!(ttl(&["regular_trading", "closed"], night), 2000);
    assert_eq!(ttl(&["closed", "closed"], night), 30_000);
    assert_eq!(ttl(&[], night), 2000);
    // After the market opens, the cache must not return a row of the previous session.
    assert_eq!(ttl(&["closed"], Some(open - 12_345)), 12_345);
    assert_eq!(ttl(&["closed"], Some(open)), 2000);
    assert_eq!(ttl(&["closed"], None), 2000);
    let now = Now::new(Moment::ZERO, Utc(open));
    assert_eq!(known(b"<html>", &[], &Calendar::us(), now), None);
}

#[test]
fn a_market_status_is_cached_for_a_minute_and_not_beyond_an_open_or_close() {
    let open = 1_795_444_200_000;
    let ttl = |body: &[u8], at: i64| {
        let now = Now::new(Moment::ZERO, Utc(at));
        known_status(body, &Calendar::us(), now).map(|known| known.ttl.as_secs())
    };
    let status = br#"{"market":"closed"}"#;
    assert_eq!(ttl(status, open - 120_000), Some(60));
    assert_eq!(ttl(status, open - 20_000), Some(20));
    assert_eq!(ttl(status, open), Some(60));
    // The regular hours of SPX and of shares end first, at 16:00 in New York. This end limits the
    // lifetime.
    assert_eq!(ttl(status, open + 6 * 3_600_000 + 1_790_000), Some(10));
    assert_eq!(ttl(b"[]", open), None);
    let unknown = Now {
        monotonic: Moment::ZERO,
        utc: None,
    };
    let known = known_status(br#"{"simulated":true}"#, &Calendar::us(), unknown).unwrap();
    assert_eq!((known.ttl, known.simulated), (STATUS_TTL, true));
}

#[test]
fn a_row_contains_the_close_flag_and_the_time_of_its_book() {
    let results = json!([
        { "ticker": "I:SPX", "value": 5912.34, "market_status": "closed" },
        { "ticker": "SPY", "market_status": "closed", "last_updated": 1_764_086_431_000_000_000_i64,
          "last_trade": { "price": 602.5, "conditions": [12], "sip_timestamp": 1_764_086_430_000_000_000_i64 },
          "session": { "close": 601.0, "previous_close": 600.0 } },
        { "ticker": "O:SPY251219C00650000", "market_status": "open", "session": { "close": 1.0 },
          "last_quote": { "bid": 9.71, "ask": 9.81, "timeframe": "DELAYED",
                          "last_updated": 1_764_086_430_905_000_000_i64 } },
        { "ticker": "O:SPY251219C00660000", "market_status": "closed",
          "last_quote": { "bid": 0.05, "last_updated": 1_764_086_430_905_000_000_i64 } },
    ]);
    let requested = ["SPX", "SPY", "O:SPY251219C00650000", "O:SPY251219C00660000"];
    let rows = rows(&requested, &results);
    let closes: Vec<_> = rows.iter().map(|row| row.get("isClose")).collect();
    assert_eq!(closes, [Some(&json!(true)), Some(&json!(true)), None, None]);
    assert_eq!(
        (&rows[1]["last"], &rows[1]["lastTrade"]),
        (&json!(601.0), &json!(602.5))
    );
    assert_eq!(rows[1]["asOf"], 1_764_086_431_000_000_000_i64);
    assert_eq!(rows[2]["delayed"], true);
    for row in &rows[2..] {
        assert_eq!(row["quotedAt"], 1_764_086_430_905_000_000_i64);
    }
    // The row has a bid but no ask, so there is a book but no price.
    assert_eq!(
        (&rows[3]["bid"], &rows[3]["ask"]),
        (&json!(0.05), &json!(0.0))
    );
    assert_eq!(
        (&rows[3]["last"], &rows[3]["source"]),
        (&json!(0.0), &json!("none"))
    );
}

#[test]
fn a_trade_that_sets_no_last_price_appears_in_no_row() {
    let results = json!([{ "ticker": "SPY", "type": "stocks", "market_status": "open",
        "timeframe": "REAL-TIME", "last_updated": 1_764_086_430_000_000_000_i64,
        "last_trade": { "price": 257.6591, "size": 251_065, "conditions": [53, 52, 41], "exchange": 4,
                        "sip_timestamp": 1_764_086_430_000_000_000_i64 },
        "last_quote": { "bid": 249.74, "ask": 249.76, "last_updated": 1_764_086_430_000_000_000_i64 },
        "session": { "close": 249.75, "previous_close": 248.0, "high": 250.2, "low": 248.9 } }]);
    let row = rows(&["SPY"], &results).remove(0);
    assert_eq!(
        (&row["last"], &row["change"]),
        (&json!(249.75), &json!(1.75))
    );
    assert_eq!((row.get("lastTrade"), row.get("isClose")), (None, None));
}

#[test]
fn a_simulated_response_is_marked_as_simulated() {
    let mut simulated = answer(&json!([]));
    simulated.body = Bytes::from_static(br#"{"simulated":true,"results":[]}"#);
    let real = answer(&json!([]));
    let requested = requested(&["SPX"]);
    for answers in [vec![simulated.clone()], vec![real, simulated]] {
        let body: Value = serde_json::from_str(&body(&requested, &answers).unwrap().0).unwrap();
        assert_eq!(body["simulated"], true);
    }
}

#[test]
fn a_market_status_contains_its_age() {
    let mut answer = answer(&json!([]));
    answer.body =
        Bytes::from_static(br#"{"simulated":true,"market":"open","exchanges":{"nyse":"open"}}"#);
    answer.stale = true;
    let status = aged_status(&answer).unwrap();
    let expected = json!({ "market": "open", "exchanges": { "nyse": "open" }, "age": 3.22, "stale": true, "simulated": true });
    assert_eq!(serde_json::from_str::<Value>(&status).unwrap(), expected);
}

#[test]
fn a_share_with_the_name_of_an_index_is_never_the_index() {
    let results = json!([
        { "ticker": "COMP", "last_trade": { "price": 7.5, "sip_timestamp": 1_764_086_430_000_000_000_i64 } },
        { "ticker": "I:COMP", "value": 23_000.5 },
        { "ticker": "AMpB", "last_trade": { "price": 24.5, "sip_timestamp": 1_764_086_430_000_000_000_i64 } },
    ]);
    let tickers = ["stock:COMP", "COMP", "AMpB", "AMPB"];
    let set = requested(&tickers);
    let vendor: Vec<_> = set.iter().filter_map(RequestedTicker::ticker).collect();
    assert_eq!(vendor, ["COMP", "I:COMP", "AMpB", "AMPB"]);
    let rows = rows(&tickers, &results);
    let actual: Vec<_> = rows
        .iter()
        .map(|row| {
            (
                row["symbol"].as_str().unwrap(),
                row["last"].as_f64().unwrap(),
            )
        })
        .collect();
    let expected = [
        ("stock:COMP", 7.5),
        ("I:COMP", 23_000.5),
        ("AMpB", 24.5),
        ("AMPB", 0.0),
    ];
    assert_eq!(actual, expected);
    for ((text, _), requested) in actual.iter().zip(&set) {
        assert_eq!(
            text.parse::<Symbol>().ok(),
            requested.symbol,
            "as a display reads it"
        );
    }
}
