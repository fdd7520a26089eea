use super::*;

fn price(number: f64) -> Option<Price> {
    Price::from_f64(number)
}

fn seeds(body: &str) -> Vec<InstrumentSnapshot> {
    read(body.as_bytes()).unwrap().seeds().collect()
}

fn parse(row: &str) -> InstrumentSnapshot {
    seeds(&format!(r#"{{"status":"OK","results":[{row}]}}"#)).remove(0)
}

#[test]
fn an_error_for_a_ticker_does_not_affect_the_other_tickers() {
    let seeds = seeds(
        r#"{"status":"OK","results":[
        {"ticker":"AMpB","error":"NOT_ENTITLED","message":"Not entitled to this ticker."},
        {"ticker":"I:RUT","error":"NOT_TODAY"},
        {"ticker":"I:DJI","type":"indices","value":3822.39,"last_updated":1679597116344223500,
         "session":{"change":-50.01,"close":3822.39,"previous_close":3812.19,
                    "high":3834.41,"low":38217.11}},
        {"ticker":"I:NDX","value":"a lot"}, null,
        {"ticker":"I:VIX","session":{"previous_close":17.65,"high":17.9,"low":17.1}},
        {"ticker":"NOPE","error":"NOT_FOUND"}]}"#,
    );
    let actual: Vec<_> = seeds
        .iter()
        .map(|seed| (&*seed.ticker, seed.price, seed.previous_close, seed.denial))
        .collect();
    let close = |number| price(number).map(PreviousClose::Told);
    assert_eq!(
        actual,
        [
            ("AMpB", None, None, Some(Denial::NotEntitled)),
            ("I:DJI", price(3822.39), close(3812.19), None),
            ("I:VIX", None, close(17.65), None),
            ("NOPE", None, None, Some(Denial::NotFound)),
        ]
    );
    assert_eq!(seeds[1].day.range, None, "a high below its low is none");
    assert_eq!(seeds[2].day.range, price(17.1).zip(price(17.9)));
}

#[test]
fn an_empty_result_list_is_no_error() {
    for body in [r#"{"results":[]}"#, r#"{"status":"OK"}"#] {
        assert_eq!(seeds(body), []);
    }
}

#[test]
fn a_share_has_the_price_of_its_last_timed_trade_or_of_its_session_close() {
    let row = |trade: &str| {
        parse(&format!(
            r#"{{"ticker":"SPY","last_updated":1764086430905000000,"last_trade":{trade},
            "session":{{"close":601.0,"previous_close":600,"high":602.5,"low":598.25,"volume":1234567.8}}}}"#
        ))
    };
    let traded = row(r#"{"price":601.25,"size":100,"sip_timestamp":1764086430000000000}"#);
    assert_eq!(
        (traded.price, traded.stamp),
        (price(601.25), Some(Utc(1_764_086_430_000)))
    );
    let size = traded.trade.map(|(trade, _)| trade.size);
    assert_eq!((size, traded.day.volume), (Some(100), Some(1_234_567)));
    assert_eq!(traded.day.range, price(598.25).zip(price(602.5)));
    for (trade, stamp) in [
        ("null", 1_764_086_430_905),
        ("{}", 1_764_086_430_905),
        (r#"{"price":601.25}"#, 1_764_086_430_905),
        (
            r#"{"price":0,"sip_timestamp":1764086430000000000}"#,
            1_764_086_430_000,
        ),
    ] {
        let closed = row(trade);
        assert_eq!(
            (closed.price, closed.stamp),
            (price(601.0), Some(Utc(stamp))),
            "{trade}"
        );
    }
    let unborn = parse(
        r#"{"ticker":"SPY","last_updated":0,"session":{"close":0,"high":0,"low":0,"volume":0,"previous_close":600}}"#,
    );
    assert_eq!((unborn.price, unborn.stamp), (None, None));
    assert_eq!(unborn.day, DayStats::default());
}

#[test]
fn a_contract_has_the_mid_price_of_a_quote_with_a_timestamp() {
    let row = |quote: &str| {
        parse(&format!(
            r#"{{"ticker":"O:SPY251219C00650000","implied_volatility":0.3049,"open_interest":8921,
            "greeks":{{"delta":-0.55,"gamma":0.0112}},"last_quote":{quote},"last_updated":1764086430905000000,
            "last_trade":{{"price":1.0,"sip_timestamp":1764000000000000000}},"session":{{"close":1.0}}}}"#
        ))
    };
    let quoted = row(
        r#"{"bid":9.71,"ask":9.81,"bid_size":17,"ask_size":5e9,"last_updated":1764086430905000000}"#,
    );
    assert_eq!(quoted.price, price(9.76));
    assert_eq!(quoted.stamp, Some(Utc(1_764_086_430_905)));
    let book = quoted.book.unwrap();
    assert_eq!((book.bid_size, book.ask_size), (17, u32::MAX));
    let analytics = quoted.analytics.unwrap();
    assert_eq!(
        (analytics.delta, analytics.vega, analytics.open_interest),
        (price(-0.55), None, Some(8921))
    );
    for quote in [
        "null",
        r#"{"bid":9.71,"ask":9.81}"#,
        r#"{"bid":0.05,"ask":0,"last_updated":1764086430905000000}"#,
        r#"{"bid":0.05,"last_updated":1764086430905000000}"#,
        r#"{"bid":9.81,"ask":9.71,"last_updated":1764086430905000000}"#,
        r#"{"bid":-1,"ask":9.71,"last_updated":1764086430905000000}"#,
    ] {
        assert_eq!(row(quote).price, None, "{quote}");
    }
    // The price follows `TopOfBook::mid`. A book without a middle price is still a valid book.
    let worthless = row(r#"{"bid":0,"ask":0.05,"last_updated":1764086430905000000}"#);
    let book = worthless.book.unwrap();
    assert_eq!((book.bid.scaled(), book.ask.scaled()), (0, 500));
    assert_eq!(worthless.price, book.mid());
    assert_eq!(worthless.book_stamp, Some(Utc(1_764_086_430_905)));
    for nobody in [r#""ask":0,"#, ""] {
        let quote = format!(r#"{{"bid":0,{nobody}"last_updated":1764086430905000000}}"#);
        let book = row(&quote).book.unwrap();
        assert_eq!((book.bid.scaled(), book.ask.scaled()), (0, 0), "{quote}");
    }
    for unknown in [
        r#"{"bid":0,"ask":0}"#,
        r#"{"ask":0.05}"#,
        r#"{"bid":1,"ask":-1}"#,
    ] {
        let unknown = row(unknown);
        assert_eq!((unknown.book, unknown.book_stamp), (None, None));
    }
    let deep = parse(r#"{"ticker":"O:SPY251219C00650000","greeks":{},"open_interest":-1}"#);
    assert_eq!(deep.analytics, None);
}

/// Returns the snapshot of a share with this last trade and this market status.
fn share(trade: &str, status: &str) -> InstrumentSnapshot {
    parse(&format!(
        r#"{{"ticker":"SPY","market_status":"{status}","last_updated":1764086431000000000,
        "last_trade":{{"size":100,"sip_timestamp":1764086430000000000,{trade}}},
        "session":{{"close":249.75,"previous_close":248.0,"high":250.2,"low":248.9}}}}"#
    ))
}

#[test]
fn a_trade_that_sets_no_last_price_is_ignored() {
    let right = (price(249.75), Some(Utc(1_764_086_430_000)), false);
    for trade in [
        r#""price":257.6591,"conditions":[53,52,41]"#,
        r#""price":249.8,"conditions":[37]"#,
        // A trade before the open or after the close.
        r#""price":249.8,"conditions":[12]"#,
        // A trade outside the price range of the session.
        r#""price":257.6591"#,
        r#""price":248.89,"conditions":[]"#,
    ] {
        let seed = share(trade, "open");
        assert_eq!((seed.price, seed.stamp, seed.is_close), right, "{trade}");
        assert_eq!(seed.trade, None, "{trade}");
    }
    let traded = share(r#""price":250.2,"conditions":[14,41]"#, "open");
    assert_eq!(traded.price, price(250.2));
}

#[test]
fn after_hours_a_share_has_the_price_of_its_last_valid_trade_or_no_price() {
    for status in ["early_trading", "late_trading"] {
        // The price range of the session covers only the regular hours, so it does not exclude this
        // trade.
        let traded = share(r#""price":251.5,"conditions":[12]"#, status);
        let stamp = Some(Utc(1_764_086_430_000));
        assert_eq!((traded.price, traded.stamp), (price(251.5), stamp));
        assert!(!traded.is_close);
        let other = share(r#""price":251.5,"conditions":[12,52]"#, status);
        assert_eq!((other.price, other.trade), (None, None));
    }
}

#[test]
fn a_closed_row_contains_the_close_and_not_an_after_hours_trade() {
    let seed = share(r#""price":251.5,"conditions":[12]"#, "closed");
    assert_eq!((seed.price, seed.is_close), (price(249.75), true));
    assert_eq!(seed.trade.map(|(trade, _)| trade.price), price(251.5));
    let value = |status: &str| {
        let row = format!(
            r#"{{"ticker":"I:SPX","value":5912.34,"market_status":"{status}","last_updated":1764086431000000000}}"#
        );
        (parse(&row).price, parse(&row).is_close)
    };
    assert_eq!(value("closed"), (price(5912.34), true));
    assert_eq!(value("regular_trading"), (price(5912.34), false));
    let quote = |status: &str| {
        let row = format!(
            r#"{{"ticker":"O:SPY251219C00650000","market_status":"{status}","session":{{"close":1.0}},
            "last_quote":{{"bid":9.71,"ask":9.81,"last_updated":1764086431000000000}}}}"#
        );
        (parse(&row).price, parse(&row).is_close)
    };
    assert_eq!(quote("closed"), (price(9.76), true));
    assert_eq!(quote("open"), (price(9.76), false));
    let unquoted = parse(
        r#"{"ticker":"O:SPY251219C00650000","market_status":"closed","session":{"close":1.0}}"#,
    );
    assert_eq!((unquoted.price, unquoted.is_close), (None, false));
}

#[test]
fn the_delayed_flag_comes_from_the_trade_or_quote_of_the_price() {
    let row = |ticker: &str, trade: &str, quote: &str| {
        parse(&format!(
            r#"{{"ticker":"{ticker}","last_trade":{{"price":9.75,"timeframe":"{trade}","sip_timestamp":1764086430000000000}},
            "last_quote":{{"bid":9.71,"ask":9.81,"timeframe":"{quote}","last_updated":1764086430000000000}}}}"#
        ))
        .delayed
    };
    assert!(row("SPY", "DELAYED", "REAL-TIME"));
    assert!(!row("SPY", "REAL-TIME", "DELAYED"));
    assert!(row("O:SPY251219C00650000", "REAL-TIME", "DELAYED"));
    assert!(!row("O:SPY251219C00650000", "DELAYED", "REAL-TIME"));
    assert!(parse(r#"{"ticker":"I:SPX","value":1,"timeframe":"DELAYED"}"#).delayed);
}

#[test]
fn a_market_breadth_index_can_have_negative_values() {
    let value = |ticker: &str, row: &str| parse(&format!(r#"{{"ticker":"{ticker}",{row}}}"#)).price;
    for (row, number) in [
        (r#""value":-311"#, -311.0),
        (r#""value":0"#, 0.0),
        (r#""session":{"close":-12.5}"#, -12.5),
    ] {
        assert_eq!(value("I:TICK", row), price(number), "{row}");
        for ticker in ["I:SPX", "I:VIX9D", "I:RUT"] {
            assert_eq!(value(ticker, row), None, "{ticker} {row}");
        }
    }
}

#[test]
fn an_index_in_a_closed_market_has_its_close_and_no_later_value() {
    let row = |status: &str| {
        let seed = parse(&format!(
            r#"{{"ticker":"I:SPX","market_status":"{status}","value":5905,"session":{{"close":5900}}}}"#
        ));
        (seed.price, seed.is_close)
    };
    assert_eq!(row("closed"), (price(5900.0), true));
    assert_eq!(row("regular_trading"), (price(5905.0), false));
    let unbegun =
        r#"{"ticker":"I:TICK","market_status":"closed","value":-311,"session":{"close":0}}"#;
    assert_eq!(parse(unbegun).price, price(-311.0));
}

#[test]
fn a_simulated_response_makes_only_simulated_prices() {
    let simulated = |more: &str| {
        let body = format!(r#"{{"status":"OK"{more},"results":[{{"ticker":"I:SPX","value":1}}]}}"#);
        seeds(&body)[0].simulated
    };
    assert!(simulated(r#","simulated":true"#));
    assert!(!simulated(""));
    assert!(!simulated(r#","simulated":false"#));
}

#[test]
fn the_close_of_a_share_is_not_newer_than_its_last_trade() {
    let row = |trade: &str| {
        let text = format!(
            r#"{{"results":[{{"ticker":"SPY","market_status":"closed","session":{{"close":589.4}},
            {trade}"last_updated":1764061200000000000}}]}}"#
        );
        let snapshot = read(text.as_bytes()).unwrap();
        let seed = snapshot.seeds().next().unwrap();
        (seed.stamp, seed.is_close)
    };
    let traded = r#""last_trade":{"price":589.4,"sip_timestamp":1764032400000000000},"#;
    assert_eq!(row(traded), (Some(Utc(1_764_032_400_000)), true));
    assert_eq!(row(""), (Some(Utc(1_764_061_200_000)), true));
}
