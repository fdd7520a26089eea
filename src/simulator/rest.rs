//! The REST API of the simulator: snapshots, minute bars and market status in the vendor's format.
//! Each response contains `"simulated": true`. This module owns no prices.

use std::sync::atomic::Ordering;

use hyper::header::{AUTHORIZATION, CONTENT_TYPE, HeaderValue};
use hyper::{Request, StatusCode};
use jiff::Timestamp;
use serde_json::{Value, json};

use super::market::Market;
use super::random_walk::TradedBar;
use super::simulated_ticker::{SimulatedTicker, merge};
use super::{InjectedFault, SimulatorResponse, empty};
use crate::market::{AssetClass, Price};
use crate::massive::aggregates::{self, MINUTE};
use crate::time::Utc;

/// Creates the response to a REST request. Returns `None` if the path is not a REST path.
pub(super) fn answer<B>(request: &Request<B>, market: &Market) -> Option<SimulatorResponse> {
    let path = request.uri().path();
    let service: fn(&Request<B>, &Market) -> Result<String, StatusCode> = match path {
        "/v3/snapshot" => |request, market| Ok(snapshot(request.uri().query(), market)),
        "/v1/marketstatus/now" => |_, market| Ok(market_status(market)),
        "/v1/marketstatus/upcoming" => |_, _| Ok(upcoming()),
        _ if path.starts_with("/v2/aggs/ticker/") && path.ends_with("/prev") => {
            |request, market| previous(request.uri().path(), market)
        }
        _ if path.starts_with("/v2/aggs/ticker/") => {
            |request, market| minutes(request.uri().path(), market)
        }
        _ => return None,
    };
    market.requests.fetch_add(1, Ordering::Relaxed);
    let bearer = format!("Bearer {}", market.settings.key);
    let key = request.headers().get(AUTHORIZATION);
    let allowed = key.is_some_and(|key| key.as_bytes() == bearer.as_bytes());
    if !allowed || *market.fault.borrow() == InjectedFault::Refusal {
        return Some(empty(StatusCode::UNAUTHORIZED));
    }
    Some(match service(request, market) {
        Err(status) => empty(status),
        Ok(body) => {
            let mut response = SimulatorResponse::new(body.into());
            let json = HeaderValue::from_static("application/json");
            response.headers_mut().insert(CONTENT_TYPE, json);
            response
        }
    })
}

/// The response of the universal snapshot, `/v3/snapshot`.
fn snapshot(query: Option<&str>, market: &Market) -> String {
    let pairs = query.unwrap_or_default().split('&');
    let tickers = pairs
        .filter_map(|pair| pair.strip_prefix("ticker.any_of="))
        .next();
    let row = |ticker: &str| {
        if market.denies(ticker) {
            return json!({
                "ticker": ticker, "error": "NOT_ENTITLED", "message": "Not entitled to this ticker.",
            });
        }
        let row = market.look(ticker, |traded| {
            // A silent vendor has no new value in REST either.
            let silent = *market.fault.borrow() == InjectedFault::Silence;
            if market.settings.values && !silent {
                let last = market.settings.closes.unwrap_or(Utc(i64::MAX));
                let mut row = row(traded, market.utc().min(last));
                if market.is_closed() {
                    row["market_status"] = json!("closed");
                }
                return row;
            }
            let close = traded.walk.previous_close.as_f64();
            json!({ "ticker": ticker, "session": { "previous_close": close } })
        });
        row.unwrap_or_else(
            || json!({ "ticker": ticker, "error": "NOT_FOUND", "message": "Ticker not found." }),
        )
    };
    let rows: Vec<Value> = tickers.unwrap_or_default().split(',').map(row).collect();
    json!({ "status": "OK", "simulated": true, "results": rows }).to_string()
}

/// The minute bars of a ticker. An error is the HTTP status of the response.
fn minutes(path: &str, market: &Market) -> Result<String, StatusCode> {
    let [ticker, from, to] = aggregates::request(path).ok_or(StatusCode::NOT_FOUND)?;
    if market.denies(ticker) {
        return Err(StatusCode::FORBIDDEN);
    }
    let (from, _) = aggregates::time(from).ok_or(StatusCode::BAD_REQUEST)?;
    let (_, to) = aggregates::time(to).ok_or(StatusCode::BAD_REQUEST)?;
    if to < from {
        return Err(StatusCode::BAD_REQUEST);
    }
    let minutes = |traded: &SimulatedTicker| {
        let is_index = traded.walk.class == AssetClass::Index;
        let bars = traded.minutes().into_iter();
        bars.filter(|traded| (from..=to).contains(&traded.bar.start.0))
            .map(|TradedBar { bar, volume }| aggregates::TradedBar {
                bar,
                volume: (!is_index).then_some(volume as f64),
                average: (!is_index).then(|| bar.close.as_f64()),
                trades: (!is_index).then_some(volume as f64 / 100.0),
            })
            .collect::<Vec<_>>()
    };
    let bars = if market.settings.values {
        market.look(ticker, minutes).unwrap_or_default()
    } else {
        Vec::new()
    };
    let mut body = aggregates::body(ticker, &bars);
    body.insert("simulated".into(), true.into());
    Ok(Value::Object(body).to_string())
}

/// The bar of the previous day. The simulator knows only the close of that day.
fn previous(path: &str, market: &Market) -> Result<String, StatusCode> {
    let ticker = aggregates::previous(path).ok_or(StatusCode::NOT_FOUND)?;
    if market.denies(ticker) {
        return Err(StatusCode::FORBIDDEN);
    }
    let close = market.look(ticker, |traded| traded.walk.previous_close.as_f64());
    let day_ago = market.utc().0 - 24 * 60 * MINUTE;
    let rows = close.map(|close| {
        json!({ "T": ticker, "t": day_ago, "o": close, "h": close, "l": close, "c": close })
    });
    let rows: Vec<Value> = rows.into_iter().collect();
    let body = json!({
        "status": "OK", "simulated": true, "ticker": ticker, "adjusted": true,
        "queryCount": rows.len(), "resultsCount": rows.len(), "results": rows,
    });
    Ok(body.to_string())
}

/// The next holidays, as the vendor lists them.
fn upcoming() -> String {
    json!([
        { "exchange": "NYSE", "name": "Thanksgiving", "date": "2026-11-26", "status": "closed" },
        {
            "exchange": "NYSE", "name": "Thanksgiving", "date": "2026-11-27", "status": "early-close",
            "open": "2026-11-27T14:30:00.000Z", "close": "2026-11-27T18:00:00.000Z",
        },
    ])
    .to_string()
}

fn row(traded: &SimulatedTicker, now: Utc) -> Value {
    let walk = &traded.walk;
    let (price, close) = (walk.price(), walk.previous_close.as_f64());
    let change = Price::from_scaled(price.scaled() - walk.previous_close.scaled()).as_f64();
    let nanos = now.0.saturating_mul(1_000_000);
    let mut row = json!({
        "ticker": walk.ticker.as_str(), "timeframe": "REAL-TIME", "last_updated": nanos,
        "session": {
            "change": change, "change_percent": change / close * 100.0,
            "close": price.as_f64(), "previous_close": close,
            "high": traded.high.as_f64(), "low": traded.low.as_f64(),
        },
    });
    if walk.class == AssetClass::Index {
        let value = json!({
            "type": "indices", "market_status": "regular_trading", "value": price.as_f64(),
        });
        merge(&mut row, value);
        return row;
    }
    let (bid, ask) = walk.around(price);
    let (size, at) = traded.traded;
    row["session"]["volume"] = json!(traded.volume);
    merge(
        &mut row,
        json!({
            "type": "stocks", "market_status": "open",
            "last_quote": {
                "bid": bid.as_f64(), "ask": ask.as_f64(), "bid_size": 17 * walk.lot(),
                "ask_size": 24 * walk.lot(), "midpoint": price.as_f64(), "last_updated": nanos,
            },
            "last_trade": {
                "price": price.as_f64(), "size": size, "exchange": 4,
                "sip_timestamp": at.saturating_mul(1_000_000),
            },
        }),
    );
    if walk.class == AssetClass::Option {
        merge(
            &mut row,
            json!({
                "type": "options", "implied_volatility": 0.3049, "open_interest": 8921,
                "greeks": { "delta": 0.5413, "gamma": 0.0112, "theta": -0.1874, "vega": 0.8126 },
            }),
        );
    }
    row
}

/// The market status: every market is open, or every market is closed.
fn market_status(market: &Market) -> String {
    let time = Timestamp::from_millisecond(market.utc().0).unwrap_or_default();
    let state = if market.is_closed() { "closed" } else { "open" };
    json!({
        "simulated": true, "market": state, "serverTime": time.to_string(), "afterHours": false, "earlyHours": false,
        "exchanges": { "nasdaq": state, "nyse": state, "otc": state },
        "indicesGroups": { "s_and_p": state, "cgi": state, "nasdaq": state, "dow_jones": state },
    })
    .to_string()
}
