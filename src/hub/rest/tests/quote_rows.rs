use hyper::body::Bytes;
use serde_json::json;

use super::*;
use crate::time::Moment;

fn answer(body: String) -> CachedAnswer {
    CachedAnswer {
        body: Bytes::from(body),
        age: Duration::from_micros(3_220_500),
        stale: false,
        simulated: false,
    }
}

fn new_rows(tickers: &[&str], results: &Value, now: Now) -> (Vec<NewRow>, UnreadableRows) {
    let request = QuoteRequest::new(tickers, false);
    let batch = request.symbols().map(Symbol::ticker);
    let batch: Vec<_> = batch
        .map(|ticker| Ticker::try_from(ticker).unwrap())
        .collect();
    let snapshot = json!({ "status": "OK", "results": results }).to_string();
    read(snapshot.as_bytes(), &batch, &Calendar::us(), now).unwrap()
}

fn rows_with(has_zeros: bool, tickers: &[&str], results: &Value) -> Vec<Value> {
    let now = Now::new(Moment::ZERO, Utc(1_795_444_200_000));
    let (rows, _) = new_rows(tickers, results, now);
    let rows = rows.into_iter().map(|row| {
        let body = String::from_utf8(row.body.into()).unwrap();
        Ok(answer(body))
    });
    let body = body(
        &QuoteRequest::new(tickers, has_zeros),
        rows.collect(),
        false,
    );
    let mut body: Value = serde_json::from_str(&body).unwrap();
    serde_json::from_value(body["results"].take()).unwrap()
}

fn rows(tickers: &[&str], results: &Value) -> Vec<Value> {
    rows_with(false, tickers, results)
}

#[test]
fn an_index_row_has_all_fields_of_the_proxy_and_some_more() {
    let results = json!([{ "ticker": "I:SPX", "value": 5912.34, "market_status": "regular_trading",
        "timeframe": "REAL-TIME", "last_updated": 1_764_086_430_905_642_800_i64,
        "session": { "close": 5912.34, "previous_close": 5887.61, "low": 5879.5, "high": 5920.25 } }]);
    let row = json!({ "symbol": "I:SPX", "last": 5912.34, "change": 24.73, "changePercent": 0.42,
        "asOf": 1_764_086_430_906_i64, "source": "indices", "previousClose": 5887.61,
        "marketStatus": "regular_trading", "dayLow": 5879.5, "dayHigh": 5920.25,
        "age": 3.22, "stale": false, "simulated": false, "delayed": false });
    assert_eq!(rows(&["SPX"], &results), [row]);
}

#[test]
fn a_row_without_data_says_why_and_has_no_price() {
    let results = json!([
        { "ticker": "I:VIX", "session": { "close": 17.25 }, "timeframe": "DELAYED" },
        { "ticker": "I:NDX", "error": "NOT_ENTITLED", "message": "Not entitled." },
        { "ticker": "I:NOSUCH", "error": "NOT_FOUND" },
        { "ticker": "SPY", "value": 0, "last_quote": { "bid": 0, "ask": 0, "bid_size": 0, "ask_size": 0 },
          "session": { "close": 0, "previous_close": 600.5, "low": 0, "high": 0, "volume": 0 } },
    ]);
    let requested = ["SPY", "hello world", "VIX", "NDX", "I:RUT", "I:NOSUCH"];
    let seen = |has_zeros: bool| -> Vec<_> {
        let rows = rows_with(has_zeros, &requested, &results);
        let text = |row: &Value, word: &str| row[word].as_str().map(str::to_owned);
        let seen = rows.iter().map(|row| {
            let symbol = text(row, "symbol").unwrap();
            (
                symbol,
                row["last"].as_f64(),
                text(row, "source").unwrap(),
                text(row, "error"),
            )
        });
        seen.collect()
    };
    let expected = [
        ("SPY", None, "none", None),
        ("hello world", None, "error", Some("INVALID_TICKER")),
        ("I:VIX", Some(17.25), "indices-fallback", None),
        ("NDX", None, "error", Some("NOT_ENTITLED")),
        ("I:RUT", None, "none", Some("NO_DATA")),
        ("I:NOSUCH", None, "error", Some("NOT_FOUND")),
    ];
    let expected = expected.map(|(symbol, last, source, error)| {
        (
            symbol.to_owned(),
            last,
            source.to_owned(),
            error.map(str::to_owned),
        )
    });
    assert_eq!(seen(false), expected);
    // With `missing=zero`, the rows are those of the existing proxy.
    let zeros = expected.map(|(symbol, last, source, _)| {
        let last = last.or(Some(0.0));
        (symbol, last, source, None)
    });
    assert_eq!(seen(true), zeros);
    let rows = rows(&requested, &results);
    assert_eq!(rows[0]["previousClose"], 600.5);
    assert_eq!(
        (&rows[2]["delayed"], &rows[0]["delayed"]),
        (&json!(true), &json!(false))
    );
    assert_eq!(rows[3]["message"], "Not entitled.");
    assert!(
        rows.iter()
            .all(|row| row["simulated"] == false && row["stale"] == false)
    );
    let unknown = [
        "last",
        "change",
        "changePercent",
        "asOf",
        "error",
        "message",
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
    assert_eq!((row.get("last"), &row["source"]), (None, &json!("none")));
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
fn a_row_has_a_longer_ttl_while_its_market_is_closed() {
    // 2026-11-23 is a Monday; 14:30 UTC is 9:30 in New York.
    let open = 1_795_444_200_000;
    let ttl = |status: &str, at: Option<i64>| {
        let row = json!([{ "ticker": "I:SPX", "market_status": status }]);
        let now = Now {
            monotonic: Moment::ZERO,
            utc: at.map(Utc),
        };
        let (rows, _) = new_rows(&["SPX", "NDX"], &row, now);
        // The response has no row for the other ticker.
        assert_eq!(rows[1].known.ttl, TTL);
        rows[0].known.ttl.as_millis()
    };
    let night = Some(open - 6 * 3_600_000);
    assert_eq!(ttl("regular_trading", night), 2000);
    assert_eq!(ttl("closed", night), 30_000);
    // After the market opens, the cache must not return a row of the previous session.
    assert_eq!(ttl("closed", Some(open - 12_345)), 12_345);
    assert_eq!(ttl("closed", Some(open)), 2000);
    assert_eq!(ttl("closed", None), 2000);
    let now = Now::new(Moment::ZERO, Utc(open));
    assert!(read(b"<html>", &[], &Calendar::us(), now).is_none());
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
    assert_eq!((known.ttl, known.simulated), (STATUS_TTL, Some(true)));
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
    assert_eq!(rows[1]["asOf"], 1_764_086_430_000_000_000_i64);
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
        (rows[3].get("last"), &rows[3]["source"]),
        (None, &json!("none"))
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
fn a_row_of_another_hub_keeps_its_age_and_its_marks() {
    let now = Now::new(Moment::ZERO, Utc(1_795_444_200_000));
    let row = json!([{ "ticker": "I:SPX", "value": 5912.34, "age": 7.5, "stale": true, "simulated": true }]);
    let (rows, _) = new_rows(&["SPX"], &row, now);
    let known = rows[0].known;
    assert_eq!(
        (known.age.as_millis(), known.stale, known.simulated),
        (7500, true, Some(true))
    );
    for (error, refused) in [
        ("NO_ANSWER", Some(Failure::HubUpstream)),
        ("TOO_MANY_TICKERS", Some(Failure::Limit)),
        ("NOT_FOUND", None),
    ] {
        let row = json!([{ "ticker": "I:SPX", "error": error }]);
        let (rows, _) = new_rows(&["SPX"], &row, now);
        assert_eq!((rows[0].refused, rows[0].known.simulated), (refused, None));
    }
    let unreadable = json!([{ "ticker": "I:SPX", "value": "much" }]);
    let (rows, unreadable) = new_rows(&["SPX"], &unreadable, now);
    assert_eq!((rows.len(), unreadable.len()), (1, 1));
    let body: Value = serde_json::from_slice(&rows[0].body).unwrap();
    assert_eq!(body["error"], "UNREADABLE");
}

#[test]
fn a_market_status_contains_its_age() {
    let mut answer = answer(r#"{"market":"open","exchanges":{"nyse":"open"}}"#.to_owned());
    (answer.stale, answer.simulated) = (true, true);
    let status = with_age(&answer).unwrap();
    let expected = json!({ "market": "open", "exchanges": { "nyse": "open" }, "age": 3.22,
        "stale": true, "simulated": true, "delayed": false });
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
    let set = QuoteRequest::new(&tickers, false);
    let vendor: Vec<_> = set.symbols().map(Symbol::ticker).collect();
    assert_eq!(vendor, ["COMP", "I:COMP", "AMpB", "AMPB"]);
    let rows = rows(&tickers, &results);
    let actual: Vec<_> = rows
        .iter()
        .map(|row| (row["symbol"].as_str().unwrap(), row["last"].as_f64()))
        .collect();
    let expected = [
        ("stock:COMP", Some(7.5)),
        ("I:COMP", Some(23_000.5)),
        ("AMpB", Some(24.5)),
        ("AMPB", None),
    ];
    assert_eq!(actual, expected);
    for ((text, _), requested) in actual.iter().zip(set.symbols()) {
        assert_eq!(
            text.parse::<Symbol>().as_ref(),
            Ok(requested),
            "as a display reads it"
        );
    }
}
