//! The vendor's universal snapshot: what is asked, and what its rows say. Pure; `rest` asks.
//!
//! Read suspiciously: every field may be missing, a day that has not begun is all zeros, and a
//! row that cannot be read costs none of the others. The display and the hub read rows here, by
//! the same rules: which number is the price, whether it is the close, and whether it is late.

mod conditions;

use serde::Deserialize;
use serde_json::Value;

use super::{Close, Seed, wire};
use crate::clock::Utc;
use crate::market::{Analysis, Book, Class, Day, Denial, Price, Symbol, Ticker, Trade};

/// The most tickers of one request, by the vendor's documentation.
pub const TICKERS: usize = 250;

/// The path that asks for these tickers, of whatever classes.
pub fn path<'a>(tickers: impl IntoIterator<Item = &'a str>) -> String {
    let tickers: Vec<&str> = tickers.into_iter().collect();
    // Without a limit the vendor gives the first ten.
    format!(
        "/v3/snapshot?ticker.any_of={}&limit={TICKERS}",
        tickers.join(",")
    )
}

/// What the vendor says of one ticker.
#[derive(Clone, Debug, Deserialize, PartialEq)]
pub struct Row {
    /// Which.
    pub ticker: String,
    /// `NOT_FOUND`, `NOT_ENTITLED`: then there is nothing else.
    pub error: Option<String>,
    /// An index's.
    pub value: Option<f64>,
    /// Of the row, in nanoseconds.
    pub last_updated: Option<f64>,
    /// `open`, `closed`, `regular_trading`, …
    pub market_status: Option<String>,
    /// `REAL-TIME` or `DELAYED`; of a share or a contract it stands in its trade and its quote.
    pub timeframe: Option<String>,
    /// Of the day.
    pub session: Option<Session>,
    /// Of a share or a contract.
    pub last_trade: Option<LastTrade>,
    /// Of a share or a contract.
    pub last_quote: Option<LastQuote>,
    /// Of a contract; absent, or empty, deep in the money.
    pub greeks: Option<Greeks>,
    /// Of a contract, as a fraction.
    pub implied_volatility: Option<f64>,
    /// Of a contract.
    pub open_interest: Option<f64>,
}

/// The day so far, or the last one.
#[derive(Clone, Debug, Deserialize, PartialEq)]
pub struct Session {
    /// The last price of it.
    pub close: Option<f64>,
    /// The close before it.
    pub previous_close: Option<f64>,
    /// Its highest price.
    pub high: Option<f64>,
    /// Its lowest price.
    pub low: Option<f64>,
    /// How much was traded in it; an index has none.
    pub volume: Option<f64>,
}

/// The last trade.
#[derive(Clone, Debug, Deserialize, PartialEq)]
pub struct LastTrade {
    /// At what price.
    pub price: Option<f64>,
    /// Of so many contracts or shares.
    pub size: Option<f64>,
    /// When, in nanoseconds.
    pub sip_timestamp: Option<f64>,
    /// Under which conditions: the vendor's own numbers.
    pub conditions: Option<Vec<i64>>,
    /// `REAL-TIME` or `DELAYED`.
    pub timeframe: Option<String>,
}

/// The best bid and ask.
#[derive(Clone, Debug, Deserialize, PartialEq)]
pub struct LastQuote {
    /// What buyers pay.
    pub bid: Option<f64>,
    /// What sellers want.
    pub ask: Option<f64>,
    /// For how much.
    pub bid_size: Option<f64>,
    /// For how much.
    pub ask_size: Option<f64>,
    /// When, in nanoseconds.
    pub last_updated: Option<f64>,
    /// `REAL-TIME` or `DELAYED`.
    pub timeframe: Option<String>,
}

/// How a contract's price moves.
#[derive(Clone, Debug, Default, Deserialize, serde::Serialize, PartialEq)]
pub struct Greeks {
    /// With the underlying.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub delta: Option<f64>,
    /// Of delta, with the underlying.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub gamma: Option<f64>,
    /// With time.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub theta: Option<f64>,
    /// With volatility.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub vega: Option<f64>,
}

/// What an answer says.
#[derive(Clone, Debug, PartialEq)]
pub struct Snapshot {
    /// Its rows; those that cannot be read are left out.
    pub rows: Vec<Row>,
    /// It says that its prices are not real: a simulator's word, which the vendor does not use.
    pub simulated: bool,
}

#[derive(Deserialize)]
struct Answer {
    #[serde(default)]
    results: Vec<Value>,
    #[serde(default)]
    simulated: Value,
}

/// Reads an answer.
///
/// # Errors
/// It is no answer of the vendor's.
pub fn read(body: &[u8]) -> Result<Snapshot, serde_json::Error> {
    let answer: Answer = serde_json::from_slice(body)?;
    let rows = answer.results.into_iter().filter_map(|row| {
        Row::deserialize(row)
            .inspect_err(|error| log::debug!("a row of a snapshot: {error}"))
            .ok()
    });
    Ok(Snapshot {
        rows: rows.collect(),
        simulated: answer.simulated == Value::Bool(true),
    })
}

impl Snapshot {
    /// What the display takes of it.
    pub(super) fn seeds(&self) -> impl Iterator<Item = Seed> {
        self.rows.iter().filter_map(|row| {
            let mut seed = row.seed()?;
            seed.simulated = self.simulated;
            Some(seed)
        })
    }
}

/// The last price of a row.
struct Last {
    price: Price,
    stamp: Option<Utc>,
    /// It is the close of its session.
    is_close: bool,
}

impl Row {
    /// What it says.
    pub(crate) fn seed(&self) -> Option<Seed> {
        let symbol = Symbol::of_ticker(&self.ticker)?;
        let mut seed = Seed::empty(Ticker::try_from(symbol.ticker()).ok()?);
        if let Some(words) = &self.error {
            seed.denial = Some(denial(words)?);
            return Some(seed);
        }
        if let Some(session) = &self.session {
            seed.day = day(session.low, session.high, session.volume);
        }
        if let Some(quote) = &self.last_quote {
            let stamp = wire::stamp(quote.last_updated);
            let sizes = [quote.bid_size, quote.ask_size];
            seed.book = book([quote.bid, quote.ask], sizes, stamp);
            seed.book_stamp = seed.book.and(stamp);
        }
        seed.trade = self.trade(symbol.class(), seed.day);
        let last = match symbol.class() {
            Class::Index => self.index(&symbol),
            Class::Equity => self.share(seed.trade),
            Class::Option => self.contract(&seed),
        };
        if let Some(last) = last {
            (seed.price, seed.stamp) = (Some(last.price), last.stamp);
            seed.is_close = last.is_close;
        }
        if symbol.class() == Class::Option {
            let (greeks, volatility) = (self.greeks.as_ref(), self.implied_volatility);
            seed.analysis = analysis(greeks, volatility, self.open_interest);
        }
        seed.delayed = self.is_delayed(symbol.class());
        seed.previous_close = self.previous_close().map(Close::Told);
        Some(seed)
    }

    /// The value of an index, if it says one.
    pub(crate) fn value(&self, symbol: &Symbol) -> Option<Price> {
        price(self.value?, symbol.may_be_negative())
    }

    fn index(&self, symbol: &Symbol) -> Option<Last> {
        Some(Last {
            price: self.value(symbol).or_else(|| {
                let close = self.session.as_ref()?.close?;
                price(close, symbol.may_be_negative())
            })?,
            stamp: wire::stamp(self.last_updated),
            is_close: self.is_closed(),
        })
    }

    /// A share is worth its last trade. Once its market is closed that may be one of after hours,
    /// and the close of its session counts.
    fn share(&self, trade: Option<(Trade, Option<Utc>)>) -> Option<Last> {
        let close = || {
            Some(Last {
                price: self.close()?,
                stamp: wire::stamp(self.last_updated),
                is_close: self.is_closed(),
            })
        };
        let closed = self.is_closed().then(close).flatten();
        let traded = || match trade {
            Some((trade, Some(stamp))) => Some(Last {
                price: trade.price,
                stamp: Some(stamp),
                is_close: false,
            }),
            // Before and after the regular hours the session's close is not what a share is worth
            // now, whatever the time of the row.
            _ if self.is_extended() && self.last_trade.is_some() => None,
            _ => close(),
        };
        closed.or_else(traded)
    }

    /// Only a quote of a known time: the last trade of a contract, which is also the close of its
    /// session, may be days old.
    fn contract(&self, seed: &Seed) -> Option<Last> {
        Some(Last {
            price: seed.book?.middle()?,
            stamp: Some(seed.book_stamp?),
            is_close: self.is_closed(),
        })
    }

    /// The last trade. One of a share that makes no last price is none: it is of another time,
    /// another kind of delivery, or made by another price.
    fn trade(&self, class: Class, day: Day) -> Option<(Trade, Option<Utc>)> {
        let last = self.last_trade.as_ref()?;
        let (trade, stamp) = trade(last.price, last.size, last.sip_timestamp)?;
        if class == Class::Equity {
            let regular = self.is_regular();
            let outside = |(low, high)| trade.price < low || high < trade.price;
            let conditions = last.conditions.as_deref().unwrap_or_default();
            if !conditions::make_last(conditions, regular)
                || (regular && day.range.is_some_and(outside))
            {
                return None;
            }
        }
        Some((trade, stamp))
    }

    /// Whether the vendor says that the market of this one is closed.
    pub(crate) fn is_closed(&self) -> bool {
        self.market_status.as_deref() == Some("closed")
    }

    fn is_regular(&self) -> bool {
        matches!(
            self.market_status.as_deref(),
            Some("open" | "regular_trading")
        )
    }

    fn is_extended(&self) -> bool {
        matches!(
            self.market_status.as_deref(),
            Some("early_trading" | "late_trading" | "extended-hours")
        )
    }

    /// Whether the vendor says that it serves the price of this one late.
    fn is_delayed(&self, class: Class) -> bool {
        let quote = || self.last_quote.as_ref()?.timeframe.as_deref();
        let trade = || self.last_trade.as_ref()?.timeframe.as_deref();
        let row = self.timeframe.as_deref();
        let word = match class {
            Class::Index => row,
            Class::Equity => trade().or(row).or_else(quote),
            Class::Option => quote().or(row),
        };
        word == Some("DELAYED")
    }

    /// The last price of the session.
    fn close(&self) -> Option<Price> {
        self.session.as_ref()?.close.and_then(positive)
    }

    /// The close before the session.
    pub fn previous_close(&self) -> Option<Price> {
        let close = self.session.as_ref()?.previous_close?;
        positive(close)
    }
}

/// Why a ticker is served nothing of, if these words say so.
pub(super) fn denial(words: &str) -> Option<Denial> {
    match words {
        "NOT_ENTITLED" => Some(Denial::NotEntitled),
        "NOT_FOUND" => Some(Denial::NotFound),
        _ => None,
    }
}

/// A day that has not begun is all zeros, and says nothing.
pub(super) fn day(low: Option<f64>, high: Option<f64>, volume: Option<f64>) -> Day {
    let range = low.and_then(positive).zip(high.and_then(positive));
    Day {
        range: range.filter(|(low, high)| low <= high),
        volume: wire::count(volume).filter(|volume| *volume > 0),
    }
}

/// The best bid and ask. Nobody may bid: that is zero. Nobody may ask: that is zero, or not told.
/// Where both are zero it must be known when that was so, or nothing was told.
pub(super) fn book(
    [bid, ask]: [Option<f64>; 2],
    sizes: [Option<f64>; 2],
    stamp: Option<Utc>,
) -> Option<Book> {
    let zero = Price::from_scaled(0);
    let side = |number| Price::from_f64(number).filter(|price| *price >= zero);
    let (bid, ask) = (side(bid?)?, side(ask.unwrap_or(0.0))?);
    let [bid_size, ask_size] = sizes.map(wire::size);
    let told = bid > zero || ask > zero || stamp.is_some();
    told.then_some(Book {
        bid,
        ask,
        bid_size,
        ask_size,
    })
}

/// A trade, and when it was made in nanoseconds.
pub(super) fn trade(
    price: Option<f64>,
    traded: Option<f64>,
    at: Option<f64>,
) -> Option<(Trade, Option<Utc>)> {
    let trade = Trade {
        price: positive(price?)?,
        size: wire::size(traded),
    };
    Some((trade, wire::stamp(at)))
}

/// What is computed of a contract; `None` if nothing is.
pub(super) fn analysis(
    greeks: Option<&Greeks>,
    implied_volatility: Option<f64>,
    open_interest: Option<f64>,
) -> Option<Analysis> {
    let greek = |of: fn(&Greeks) -> Option<f64>| Price::from_f64(of(greeks?)?);
    let analysis = Analysis {
        delta: greek(|greeks| greeks.delta),
        gamma: greek(|greeks| greeks.gamma),
        theta: greek(|greeks| greeks.theta),
        vega: greek(|greeks| greeks.vega),
        implied_volatility: implied_volatility.and_then(positive),
        open_interest: wire::count(open_interest),
    };
    (analysis != Analysis::default()).then_some(analysis)
}

/// A price of zero is no price.
pub fn positive(number: f64) -> Option<Price> {
    price(number, false)
}

/// The same, but of an index that may be negative it is a value.
pub(super) fn price(number: f64, may_be_negative: bool) -> Option<Price> {
    let price = Price::from_f64(number)?;
    (may_be_negative || price > Price::from_scaled(0)).then_some(price)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn price(number: f64) -> Option<Price> {
        Price::from_f64(number)
    }

    fn seeds(body: &str) -> Vec<Seed> {
        read(body.as_bytes()).unwrap().seeds().collect()
    }

    fn one(row: &str) -> Seed {
        seeds(&format!(r#"{{"status":"OK","results":[{row}]}}"#)).remove(0)
    }

    #[test]
    fn an_error_for_one_ticker_costs_none_of_the_others() {
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
        let told: Vec<_> = seeds
            .iter()
            .map(|seed| (&*seed.ticker, seed.price, seed.previous_close, seed.denial))
            .collect();
        let close = |number| price(number).map(Close::Told);
        assert_eq!(
            told,
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
    fn no_results_are_no_error() {
        for body in [r#"{"results":[]}"#, r#"{"status":"OK"}"#] {
            assert_eq!(seeds(body), []);
        }
    }

    #[test]
    fn a_share_is_worth_its_last_trade_of_a_known_time_else_the_close_of_its_session() {
        let row = |trade: &str| {
            one(&format!(
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
        for trade in [
            "null",
            "{}",
            r#"{"price":601.25}"#,
            r#"{"price":0,"sip_timestamp":1764086430000000000}"#,
        ] {
            let closed = row(trade);
            assert_eq!(
                (closed.price, closed.stamp),
                (price(601.0), Some(Utc(1_764_086_430_905))),
                "{trade}"
            );
        }
        let unborn = one(
            r#"{"ticker":"SPY","last_updated":0,"session":{"close":0,"high":0,"low":0,"volume":0,"previous_close":600}}"#,
        );
        assert_eq!((unborn.price, unborn.stamp), (None, None));
        assert_eq!(unborn.day, Day::default());
    }

    #[test]
    fn a_contract_is_worth_the_middle_of_a_quote_of_a_known_time() {
        let row = |quote: &str| {
            one(&format!(
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
        let analysis = quoted.analysis.unwrap();
        assert_eq!(
            (analysis.delta, analysis.vega, analysis.open_interest),
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
        // The middle is a price of the book's rule, and a book without one is still a book.
        let worthless = row(r#"{"bid":0,"ask":0.05,"last_updated":1764086430905000000}"#);
        let book = worthless.book.unwrap();
        assert_eq!((book.bid.scaled(), book.ask.scaled()), (0, 500));
        assert_eq!(worthless.price, book.middle());
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
        let deep = one(r#"{"ticker":"O:SPY251219C00650000","greeks":{},"open_interest":-1}"#);
        assert_eq!(deep.analysis, None);
    }

    /// A share whose last trade is this, and whose market is in that state.
    fn share(trade: &str, status: &str) -> Seed {
        one(&format!(
            r#"{{"ticker":"SPY","market_status":"{status}","last_updated":1764086431000000000,
            "last_trade":{{"size":100,"sip_timestamp":1764086430000000000,{trade}}},
            "session":{{"close":249.75,"previous_close":248.0,"high":250.2,"low":248.9}}}}"#
        ))
    }

    #[test]
    fn a_trade_that_makes_no_last_price_is_none() {
        let right = (price(249.75), Some(Utc(1_764_086_431_000)), false);
        for trade in [
            r#""price":257.6591,"conditions":[53,52,41]"#,
            r#""price":249.8,"conditions":[37]"#,
            // Of before the open, or of after the close.
            r#""price":249.8,"conditions":[12]"#,
            // It contradicts the session's own range.
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
    fn after_hours_a_share_is_worth_what_it_is_traded_for_then_or_nothing_is_known() {
        for status in ["early_trading", "late_trading"] {
            // The session's range is that of the regular hours.
            let traded = share(r#""price":251.5,"conditions":[12]"#, status);
            let stamp = Some(Utc(1_764_086_430_000));
            assert_eq!((traded.price, traded.stamp), (price(251.5), stamp));
            assert!(!traded.is_close);
            let other = share(r#""price":251.5,"conditions":[12,52]"#, status);
            assert_eq!((other.price, other.trade), (None, None));
        }
    }

    #[test]
    fn a_closed_row_says_the_close_and_never_a_trade_of_after_hours() {
        let seed = share(r#""price":251.5,"conditions":[12]"#, "closed");
        assert_eq!((seed.price, seed.is_close), (price(249.75), true));
        assert_eq!(seed.trade.map(|(trade, _)| trade.price), price(251.5));
        let value = |status: &str| {
            let row = format!(
                r#"{{"ticker":"I:SPX","value":5912.34,"market_status":"{status}","last_updated":1764086431000000000}}"#
            );
            (one(&row).price, one(&row).is_close)
        };
        assert_eq!(value("closed"), (price(5912.34), true));
        assert_eq!(value("regular_trading"), (price(5912.34), false));
        let quote = |status: &str| {
            let row = format!(
                r#"{{"ticker":"O:SPY251219C00650000","market_status":"{status}","session":{{"close":1.0}},
                "last_quote":{{"bid":9.71,"ask":9.81,"last_updated":1764086431000000000}}}}"#
            );
            (one(&row).price, one(&row).is_close)
        };
        assert_eq!(quote("closed"), (price(9.76), true));
        assert_eq!(quote("open"), (price(9.76), false));
        let unquoted = one(
            r#"{"ticker":"O:SPY251219C00650000","market_status":"closed","session":{"close":1.0}}"#,
        );
        assert_eq!((unquoted.price, unquoted.is_close), (None, false));
    }

    #[test]
    fn what_is_late_says_so_in_the_trade_or_quote_that_the_price_is_of() {
        let row = |ticker: &str, trade: &str, quote: &str| {
            one(&format!(
                r#"{{"ticker":"{ticker}","last_trade":{{"price":9.75,"timeframe":"{trade}","sip_timestamp":1764086430000000000}},
                "last_quote":{{"bid":9.71,"ask":9.81,"timeframe":"{quote}","last_updated":1764086430000000000}}}}"#
            ))
            .delayed
        };
        assert!(row("SPY", "DELAYED", "REAL-TIME"));
        assert!(!row("SPY", "REAL-TIME", "DELAYED"));
        assert!(row("O:SPY251219C00650000", "REAL-TIME", "DELAYED"));
        assert!(!row("O:SPY251219C00650000", "DELAYED", "REAL-TIME"));
        assert!(one(r#"{"ticker":"I:SPX","value":1,"timeframe":"DELAYED"}"#).delayed);
    }

    #[test]
    fn an_index_of_which_more_may_fall_than_rise_has_values_below_zero() {
        let value =
            |ticker: &str, row: &str| one(&format!(r#"{{"ticker":"{ticker}",{row}}}"#)).price;
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
    fn an_answer_that_is_not_real_makes_no_real_price() {
        let simulated = |more: &str| {
            let body =
                format!(r#"{{"status":"OK"{more},"results":[{{"ticker":"I:SPX","value":1}}]}}"#);
            seeds(&body)[0].simulated
        };
        assert!(simulated(r#","simulated":true"#));
        assert!(!simulated(""));
        assert!(!simulated(r#","simulated":false"#));
    }
}
