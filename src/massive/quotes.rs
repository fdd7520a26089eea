//! The rows of `/api/quotes`, which a hub writes and a display reads. The existing proxy sends such
//! rows with fewer fields. When a display reads a row, every field except the symbol may be
//! missing, and a row that cannot be read is skipped. Pure: this module does no I/O.

use std::ops::Not;

use serde::{Deserialize, Serialize};
use serde_json::{Number, Value};

use super::instrument_snapshot::{InstrumentSnapshot, PreviousClose};
use super::snapshot::{self, Greeks, positive};
use super::{UnreadableRows, printable, websocket};
use crate::market::{Price, Symbol, Ticker};

/// The content of a response to a quotes request.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct QuotesReply {
    /// The snapshots, one for each symbol with an entry in the response.
    pub seeds: Vec<InstrumentSnapshot>,
    /// The refused tickers, and the vendor's messages in a form that is safe for the log.
    pub refused: Vec<(Ticker, String)>,
    /// The tickers whose rows cannot be read.
    pub unreadable: UnreadableRows,
    /// True if each row repeats old data, because the hub has no newer data from its vendor.
    pub repeated: bool,
}

/// The response body of `/api/quotes`.
#[derive(Deserialize, Serialize)]
pub(crate) struct QuotesBody<R> {
    pub(crate) results: Vec<R>,
}

/// A row of the response. The proxy sends only the fields up to `source`, with zero for a missing
/// number. The hub omits a missing number, and writes `age`, `stale`, `simulated` and `delayed` in
/// each row.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct QuoteRow {
    pub(crate) symbol: String,
    /// The last value. From the proxy, zero means that there is no data.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) last: Option<f64>,
    /// The change since the previous close.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) change: Option<f64>,
    /// The change in percent, for other clients of the hub.
    #[serde(skip_deserializing, skip_serializing_if = "Option::is_none")]
    pub(crate) change_percent: Option<f64>,
    /// The time of `last`: a Unix timestamp in milliseconds for an index, in nanoseconds for all
    /// other instruments.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) as_of: Option<Number>,
    pub(crate) source: Option<String>,
    /// The reason why the row has no data: an error word of the vendor (`NOT_ENTITLED`,
    /// `NOT_FOUND`) or of the hub. If this field is present, the fields for data have no meaning.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) error: Option<String>,
    /// The meaning of `error`, as a text for people.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) message: Option<String>,
    /// The age of the vendor's response, in seconds with three decimals.
    #[serde(default, skip_serializing_if = "Value::is_null")]
    pub(crate) age: Value,
    /// True if the vendor did not provide a newer row.
    #[serde(default, deserialize_with = "super::flag")]
    pub(crate) stale: bool,
    #[serde(default, deserialize_with = "super::flag")]
    pub(crate) simulated: bool,
    #[serde(default, deserialize_with = "super::flag")]
    pub(crate) delayed: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) previous_close: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) market_status: Option<String>,
    /// True if `last` is the closing price of its session.
    #[serde(default, skip_serializing_if = "Not::not")]
    pub(crate) is_close: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) day_low: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) day_high: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) volume: Option<f64>,
    /// The bid; zero if there is no buyer.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) bid: Option<f64>,
    /// The ask; zero if there is no seller.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) ask: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) bid_size: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) ask_size: Option<f64>,
    /// The time of `bid` and `ask`: a Unix timestamp in nanoseconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) quoted_at: Option<Number>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) last_trade: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) last_trade_size: Option<f64>,
    /// The time of the last trade: a Unix timestamp in nanoseconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) last_trade_at: Option<Number>,
    /// This field and the fields below it have no timestamp. Their age is the age of the response.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) implied_volatility: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) open_interest: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) greeks: Option<Greeks>,
}

/// The error of a row for which the hub has no answer from its vendor.
pub(crate) const NO_ANSWER: &str = "NO_ANSWER";
/// The error of a row that the hub does not request, because the client has reached its limit.
pub(crate) const TOO_MANY_TICKERS: &str = "TOO_MANY_TICKERS";

pub(crate) fn rows(body: &[u8]) -> Result<QuotesReply, serde_json::Error> {
    let body: QuotesBody<Value> = super::body(body)?;
    let mut quotes = QuotesReply::default();
    let mut unreadable = UnreadableRows::new();
    let lost = |row: &Value, error: &serde_json::Error| {
        let symbol = row["symbol"].as_str().and_then(|text| text.parse().ok());
        let ticker = symbol.and_then(|symbol: Symbol| Ticker::try_from(symbol.ticker()).ok());
        unreadable.extend(ticker.map(|ticker| (ticker, printable(&error.to_string()))));
    };
    let mut is_first = true;
    for row in super::rows::<QuoteRow>(body.results, lost) {
        let is_repeated = row.stale || row.error.as_deref() == Some(NO_ANSWER);
        quotes.repeated = is_repeated && (is_first || quotes.repeated);
        is_first = false;
        let Some(seed) = row.seed() else { continue };
        if let Some(words) = row.error.as_ref().filter(|_| seed.denial.is_some()) {
            quotes.refused.push((seed.ticker.clone(), printable(words)));
        }
        quotes.seeds.push(seed);
    }
    quotes.unreadable = unreadable;
    Ok(quotes)
}

impl QuoteRow {
    /// Converts the row to an instrument snapshot. Returns `None` if the row contains no data.
    fn seed(&self) -> Option<InstrumentSnapshot> {
        // The server may send an index with or without the prefix `I:`. A share with the name of an
        // index has the prefix `stock:`.
        let symbol: Symbol = self.symbol.parse().ok()?;
        let mut seed = InstrumentSnapshot::empty(Ticker::try_from(symbol.ticker()).ok()?);
        seed.denial = self.error.as_deref().and_then(snapshot::denial);
        if seed.denial.is_some() {
            return Some(seed);
        }
        if self.error.is_some() || self.source.as_deref() == Some("error") {
            return None;
        }
        // `last: 0` means that there is no data; zero is never a price here.
        let priced = self.source.as_deref() != Some("none");
        let last = self.last.filter(|last| *last != 0.0 && priced);
        seed.price = last.and_then(|last| snapshot::price(last, symbol.may_be_negative()));
        let derived = || {
            // If `last` and `change` are both zero, there is no data, and `seed.price` is `None`. A
            // change of exactly zero beside a price is real data.
            let change = Price::from_f64(self.change?)?;
            Some(Price::from_scaled(seed.price?.scaled() - change.scaled()))
                .filter(|close| *close > Price::from_scaled(0))
                .map(PreviousClose::Derived)
        };
        let reported = self
            .previous_close
            .and_then(positive)
            .map(PreviousClose::Told);
        // If a hub sends `marketStatus` without a previous close, the previous close is unknown.
        // The change in this row is then zero and has no meaning.
        seed.previous_close = match self.market_status {
            Some(_) => reported,
            None => reported.or_else(derived),
        };
        seed.day = snapshot::day(self.day_low, self.day_high, self.volume);
        let stamp = |at: &Option<Number>| websocket::stamp(at.as_ref()?.as_f64());
        let quoted = stamp(&self.quoted_at);
        let sizes = [self.bid_size, self.ask_size];
        seed.book = snapshot::book([self.bid, self.ask], sizes, quoted);
        seed.book_stamp = seed.book.and(quoted);
        seed.trade = snapshot::trade(
            self.last_trade,
            self.last_trade_size,
            stamp(&self.last_trade_at),
        );
        seed.analytics = snapshot::analytics(
            self.greeks.as_ref(),
            self.implied_volatility,
            self.open_interest,
        );
        let said = seed != InstrumentSnapshot::empty(seed.ticker.clone());
        // Indices have milliseconds and stocks have nanoseconds. The magnitude of the timestamp
        // determines its unit.
        seed.stamp = stamp(&self.as_of);
        (seed.delayed, seed.simulated) = (self.delayed, self.simulated);
        seed.age = super::age(&self.age, self.stale);
        seed.is_close = self.is_close && seed.price.is_some();
        said.then_some(seed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    use crate::market::{DayStats, Denial, OptionAnalytics, TopOfBook, Trade};
    use crate::time::Utc;

    fn price(number: f64) -> Option<Price> {
        Price::from_f64(number)
    }

    fn seeds(body: &[u8]) -> Vec<InstrumentSnapshot> {
        rows(body).unwrap().seeds
    }

    #[test]
    fn zero_prices_and_mixed_time_units_of_the_proxy_are_handled() {
        let seeds = seeds(
            br#"{"results":[
            {"symbol":"I:SPX","last":5912.34,"change":24.73,"changePercent":0.42,"asOf":1764086430905,"source":"indices"},
            {"symbol":"VIX","last":17.25,"change":-0.4,"changePercent":-2.27,"asOf":1764086430905642800,"source":"indices-fallback"},
            {"symbol":"NDX","last":0,"change":0,"changePercent":0,"asOf":0,"source":"none"},
            {"symbol":"DJI","last":1,"change":0,"changePercent":0,"asOf":0,"source":"error"},
            {"symbol":"???","last":1,"source":"error"}]}"#,
        );
        assert_eq!(seeds.len(), 2, "a last of 0 is no price: {seeds:?}");
        assert_eq!(seeds[0].ticker, "I:SPX");
        assert_eq!(
            seeds[0].previous_close,
            price(5887.61).map(PreviousClose::Derived)
        );
        assert_eq!(seeds[1].ticker, "I:VIX");
        assert_eq!(
            seeds[1].stamp,
            Some(Utc(1_764_086_430_906)),
            "nanoseconds are told by their magnitude, and rounded"
        );
        assert_eq!(
            seeds[1].previous_close,
            price(17.65).map(PreviousClose::Derived)
        );
    }

    #[test]
    fn a_row_with_a_word_in_place_of_a_number_is_lost_alone_and_named() {
        let reply = rows(
            br#"{"results":[{"symbol":"I:SPX","last":5912.34,"source":"indices"},
            {"symbol":"VIX","last":NaN,"source":"indices"},
            {"symbol":"NDX","last":20000.5,"change":-Infinity,"source":"indices"},
            {"symbol":"SPY","last":590.5,"note":NaN,"source":"stocks"}]}"#,
        )
        .unwrap();
        let tickers: Vec<&str> = reply.seeds.iter().map(|seed| &*seed.ticker).collect();
        assert_eq!(tickers, ["I:SPX", "SPY"]);
        let lost: Vec<&str> = reply
            .unreadable
            .iter()
            .map(|(ticker, _)| &**ticker)
            .collect();
        assert_eq!(lost, ["I:VIX", "I:NDX"]);
        let reasons: Vec<&str> = reply.unreadable.iter().map(|(_, why)| &**why).collect();
        let words = |word| format!("invalid type: string \"{word}\", expected f64");
        assert_eq!(reasons, [words("NaN"), words("-Infinity")]);
    }

    #[test]
    fn the_fields_of_the_hub_are_used_unchanged() {
        let body = br#"{"results":[{"symbol":"I:SPX","last":5912.34,"change":24.73,
            "asOf":1764086430905,"source":"indices","previousClose":5887.5,"delayed":true,
            "dayLow":5880.1,"dayHigh":5920.9}]}"#;
        let seed = seeds(body).remove(0);
        assert_eq!(seed.previous_close, price(5887.5).map(PreviousClose::Told));
        assert!(seed.delayed);
        let range = price(5880.1).zip(price(5920.9));
        assert_eq!((seed.day.range, seed.day.volume), (range, None));
        // A hub sends a previous close only if the price is above zero.
        let body = br#"{"results":[{"symbol":"I:TICK","last":207,"change":0,"asOf":1764086430905,
            "source":"indices","marketStatus":"open"}]}"#;
        let seed = seeds(body).remove(0);
        assert_eq!((seed.price, seed.previous_close), (price(207.0), None));
    }

    #[test]
    fn a_contract_without_a_price_still_has_its_greeks_and_its_book() {
        let body = br#"{"results":[{"symbol":"O:SPY261218C00650000","last":0,"change":0,"asOf":0,
            "source":"none","bid":0,"ask":0.05,"bidSize":0,"askSize":24,"lastTrade":0.04,
            "lastTradeSize":3,"lastTradeAt":1764086430905000000,"impliedVolatility":0.3049,
            "openInterest":8921,"greeks":{"delta":0.55,"theta":-0.0312,"vega":"much"},
            "volume":120,"dayLow":0,"dayHigh":0}]}"#;
        assert_eq!(seeds(body), [], "greeks that cannot be read are junk");
        let body = String::from_utf8_lossy(body).replace("\"much\"", "null");
        let seed = seeds(body.as_bytes()).remove(0);
        let expected = InstrumentSnapshot {
            day: DayStats {
                range: None,
                volume: Some(120),
            },
            analytics: Some(OptionAnalytics {
                delta: price(0.55),
                theta: price(-0.0312),
                implied_volatility: price(0.3049),
                open_interest: Some(8921),
                ..OptionAnalytics::default()
            }),
            book: Some(TopOfBook {
                bid: Price::from_scaled(0),
                ask: Price::from_scaled(500),
                bid_size: 0,
                ask_size: 24,
            }),
            trade: Some((
                Trade {
                    price: Price::from_scaled(400),
                    size: 3,
                },
                Some(Utc(1_764_086_430_905)),
            )),
            ..InstrumentSnapshot::empty(Ticker::try_from("O:SPY261218C00650000").unwrap())
        };
        assert_eq!(seed, expected);
    }

    #[test]
    fn each_row_has_its_age_and_its_simulated_flag_and_a_stale_row_without_an_age_is_old() {
        let read = |more: &str| {
            let body = format!(
                r#"{{"results":[{{{more}"symbol":"I:SPX","last":5912.34,"isClose":true}},
                {{{more}"symbol":"O:SPY261218C00650000","last":0,"source":"none","isClose":true,
                "bid":0,"ask":0,"quotedAt":1764086430905000000}}]}}"#
            );
            seeds(body.as_bytes())
        };
        let snapshots = read(r#""age":220.5,"stale":true,"simulated":true,"#);
        for seed in &snapshots {
            assert_eq!(seed.age, Duration::from_millis(220_500));
            assert!(seed.simulated);
        }
        assert!(snapshots[0].is_close);
        assert!(
            !snapshots[1].is_close,
            "where there is no value it is no close"
        );
        let book = snapshots[1].book.unwrap();
        assert_eq!((book.bid.scaled(), book.ask.scaled()), (0, 0));
        assert_eq!(snapshots[1].book_stamp, Some(Utc(1_764_086_430_905)));
        let age = |more: &str| read(more)[0].age;
        for none in [r#""age":-3,"#, r#""age":"old","#, r#""age":null,"#, ""] {
            assert_eq!(age(none), Duration::ZERO, "{none}");
        }
        let old = Duration::from_secs(1_000_000_000);
        assert_eq!(age(r#""age":1e99,"#), old);
        assert_eq!(age(r#""stale":true,"#), old);
        assert!(!read("").remove(0).simulated);
    }

    #[test]
    fn an_index_value_may_be_negative_and_zero_means_no_data() {
        let last = |symbol: &str, last: &str| {
            let body = format!(
                r#"{{"results":[{{"symbol":"{symbol}","last":{last},"bid":0,"ask":1,"source":"indices"}}]}}"#
            );
            seeds(body.as_bytes())[0].price
        };
        assert_eq!(last("I:TICK", "-311"), price(-311.0));
        assert_eq!(last("I:TICK", "0"), None);
        assert_eq!(last("I:SPX", "-311"), None);
    }

    #[test]
    fn a_denied_symbol_is_reported_with_the_error_code_of_the_vendor() {
        let quotes = rows(
            br#"{"results":[
            {"symbol":"NDX","source":"error","error":"NOT_ENTITLED"},
            {"symbol":"I:ABC","last":5,"source":"error","error":"NOT_FOUND"},
            {"symbol":"VIX","last":5,"source":"indices","error":"TIRED"},
            {"symbol":"SPX","last":0,"source":"error","error":"TIRED"}]}"#,
        )
        .unwrap();
        let actual: Vec<_> = quotes
            .seeds
            .iter()
            .map(|seed| (seed.ticker.as_str(), seed.denial, seed.price))
            .collect();
        assert_eq!(
            actual,
            [
                ("I:NDX", Some(Denial::NotEntitled), None),
                ("I:ABC", Some(Denial::NotFound), None)
            ]
        );
        let words: Vec<_> = quotes.refused.iter().map(|(_, words)| &**words).collect();
        assert_eq!(words, ["NOT_ENTITLED", "NOT_FOUND"]);
    }

    #[test]
    fn a_row_belongs_to_the_index_unless_its_symbol_names_the_share() {
        let seeds = seeds(
            br#"{"results":[
            {"symbol":"COMP","last":23000,"source":"indices"},
            {"symbol":"I:COMP","last":23001,"source":"indices"},
            {"symbol":"stock:COMP","last":7.5,"source":"stocks"},
            {"symbol":"AMpB","last":24.5,"source":"stocks"}]}"#,
        );
        let actual: Vec<_> = seeds
            .iter()
            .map(|seed| (seed.ticker.as_str(), seed.price))
            .collect();
        assert_eq!(
            actual,
            [
                ("I:COMP", price(23_000.0)),
                ("I:COMP", price(23_001.0)),
                ("COMP", price(7.5)),
                ("AMpB", price(24.5))
            ]
        );
    }
}
