//! The REST API of the simulator: snapshots, minute bars and market status in the vendor's format.
//! Each response contains `"simulated": true`. This module owns no prices.

use std::sync::atomic::Ordering;

use http_body_util::Full;
use hyper::body::{Bytes, Incoming};
use hyper::header::{AUTHORIZATION, CONTENT_TYPE};
use hyper::{Request, Response, StatusCode};
use jiff::civil::Date;
use jiff::tz::TimeZone;
use jiff::{Timestamp, ToSpan};
use serde_json::{Value, json};

use super::simulated_ticker::{DaySummary, TradedBar};
use super::{InjectedFault, RandomWalk, SimulatorState};
use crate::market::{AssetClass, Price};
use crate::time::Utc;

static NEW_YORK: TimeZone = jiff::tz::get!("America/New_York");

type RestResponse = Result<Response<Full<Bytes>>, hyper::http::Error>;

/// Creates the response to a REST request. Returns `None` if the path is not a REST path.
pub(super) async fn answer(
    request: &Request<Incoming>,
    shared: &SimulatorState,
) -> Option<RestResponse> {
    let service = request.uri().path();
    let bars = service.strip_prefix("/v2/aggs/ticker/");
    if bars.is_none() && !matches!(service, "/v3/snapshot" | "/v1/marketstatus/now") {
        return None;
    }
    shared.requests.fetch_add(1, Ordering::Relaxed);
    let bearer = format!("Bearer {}", shared.settings.key);
    let allowed = request
        .headers()
        .get(AUTHORIZATION)
        .is_some_and(|value| value.as_bytes() == bearer.as_bytes());
    if !allowed || *shared.fault.borrow() == InjectedFault::Refusal {
        let refused = Response::builder().status(StatusCode::UNAUTHORIZED);
        return Some(refused.body(Full::default()));
    }
    let body = if let Some(bars) = bars {
        match minutes(bars, shared).await {
            Ok(body) => body,
            Err(status) => return Some(Response::builder().status(status).body(Full::default())),
        }
    } else if service == "/v3/snapshot" {
        snapshot(request.uri().query().unwrap_or_default(), shared).await
    } else {
        market_status(shared)
    };
    Some(
        Response::builder()
            .header(CONTENT_TYPE, "application/json")
            .body(Full::from(body.to_string())),
    )
}

fn now(shared: &SimulatorState) -> Utc {
    shared.clock.now().utc.unwrap_or(Utc::PLAUSIBLE)
}

/// The response of the universal snapshot, `/v3/snapshot`.
async fn snapshot(query: &str, shared: &SimulatorState) -> Value {
    let tickers = query
        .split('&')
        .find_map(|pair| pair.strip_prefix("ticker.any_of="))
        .unwrap_or_default();
    let mut rows = Vec::new();
    for ticker in tickers.split(',') {
        if shared.settings.denied.iter().any(|denied| denied == ticker) {
            rows.push(json!({
                "ticker": ticker, "error": "NOT_ENTITLED", "message": "Not entitled to this ticker.",
            }));
            continue;
        }
        let Some(walk) = RandomWalk::new(ticker, shared.settings.seed) else {
            rows.push(
                json!({ "ticker": ticker, "error": "NOT_FOUND", "message": "Ticker not found." }),
            );
            continue;
        };
        if !shared.settings.values {
            rows.push(json!({
                "ticker": ticker,
                "session": { "previous_close": walk.previous_close().as_f64() },
            }));
            continue;
        }
        if let Some(day_summary) = shared.market.day_summary(walk.ticker()).await {
            rows.push(row(&walk, &day_summary, now(shared)));
        }
    }
    json!({ "status": "OK", "simulated": true, "results": rows })
}

/// The minute bars of a ticker. The path has the form `{TICKER}/range/1/minute/{from}/{to}`. An
/// error is the HTTP status of the response.
async fn minutes(path: &str, shared: &SimulatorState) -> Result<Value, StatusCode> {
    let parts: Vec<&str> = path.split('/').collect();
    let [ticker, "range", "1", "minute", from, to] = parts[..] else {
        return Err(StatusCode::NOT_FOUND);
    };
    if shared.settings.denied.iter().any(|denied| denied == ticker) {
        return Err(StatusCode::FORBIDDEN);
    }
    let (Some(from), Some(to)) = (time(from, 0), time(to, 1)) else {
        return Err(StatusCode::BAD_REQUEST);
    };
    let mut rows = Vec::new();
    if let Some(walk) = RandomWalk::new(ticker, shared.settings.seed)
        && shared.settings.values
    {
        let minutes = shared.market.minutes(walk.ticker()).await;
        for TradedBar { bar, volume } in minutes {
            if !(from..=to).contains(&bar.start.0) {
                continue;
            }
            let mut row = json!({ "o": bar.open.as_f64(), "c": bar.close.as_f64(),
                "h": bar.high.as_f64(), "l": bar.low.as_f64(), "t": bar.start.0 });
            if walk.class() != AssetClass::Index {
                row["v"] = json!(volume);
            }
            rows.push(row);
        }
    }
    Ok(json!({
        "ticker": ticker, "status": "OK", "simulated": true, "adjusted": true,
        "queryCount": rows.len(), "resultsCount": rows.len(), "results": rows,
    }))
}

/// Parses milliseconds since the Unix epoch, or a date in New York. For a date, 0 `days` gives its
/// first millisecond and 1 gives its last millisecond.
fn time(text: &str, days: i64) -> Option<i64> {
    if let Ok(millis) = text.parse() {
        return Some(millis);
    }
    let day: Date = text.parse().ok()?;
    let begins = day.checked_add(days.days()).ok()?;
    let begins = begins.to_zoned(NEW_YORK.clone()).ok()?;
    Some(begins.timestamp().as_millisecond() - days)
}

fn row(walk: &RandomWalk, day_summary: &DaySummary, now: Utc) -> Value {
    let price = day_summary.price;
    let ticker = walk.ticker().as_str();
    let close = walk.previous_close();
    let change = Price::from_scaled(price.scaled() - close.scaled()).as_f64();
    let nanos = now.0.saturating_mul(1_000_000);
    let mut row = json!({
        "ticker": ticker, "timeframe": "REAL-TIME", "last_updated": nanos,
        "session": {
            "change": change, "change_percent": change / close.as_f64() * 100.0,
            "close": price.as_f64(), "previous_close": close.as_f64(),
            "high": day_summary.high.as_f64(), "low": day_summary.low.as_f64(),
        },
    });
    match walk.class() {
        AssetClass::Index => {
            row["type"] = json!("indices");
            row["market_status"] = json!("regular_trading");
            row["value"] = json!(price.as_f64());
        }
        AssetClass::Option | AssetClass::Equity => {
            let (bid, ask) = walk.around(price);
            let (size, at) = day_summary.traded;
            let unit = if walk.class() == AssetClass::Equity {
                100
            } else {
                1
            };
            row["type"] = json!("stocks");
            row["market_status"] = json!("open");
            row["session"]["volume"] = json!(day_summary.volume);
            row["last_quote"] = json!({ "bid": bid.as_f64(), "ask": ask.as_f64(), "bid_size": 17 * unit,
                                        "ask_size": 24 * unit, "midpoint": price.as_f64(), "last_updated": nanos });
            row["last_trade"] = json!({ "price": price.as_f64(), "size": size, "exchange": 4,
                                        "sip_timestamp": at.saturating_mul(1_000_000) });
            if walk.class() == AssetClass::Equity {
                return row;
            }
            row["type"] = json!("options");
            row["greeks"] =
                json!({ "delta": 0.5413, "gamma": 0.0112, "theta": -0.1874, "vega": 0.8126 });
            row["implied_volatility"] = json!(0.3049);
            row["open_interest"] = json!(8921);
        }
    }
    row
}

/// The market status: every market is open, because simulated prices have no trading hours.
fn market_status(shared: &SimulatorState) -> Value {
    let time = Timestamp::from_millisecond(now(shared).0).unwrap_or_default();
    json!({
        "simulated": true, "market": "open", "serverTime": time.to_string(), "afterHours": false, "earlyHours": false,
        "exchanges": { "nasdaq": "open", "nyse": "open", "otc": "open" },
        "indicesGroups": { "s_and_p": "open", "cgi": "open", "nasdaq": "open", "dow_jones": "open" },
    })
}
