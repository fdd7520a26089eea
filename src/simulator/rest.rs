//! The simulator's REST: snapshots and the market's status, as the vendor writes them.

use std::sync::atomic::Ordering;

use http_body_util::Full;
use hyper::body::{Bytes, Incoming};
use hyper::header::{AUTHORIZATION, CONTENT_TYPE};
use hyper::{Request, Response, StatusCode};
use jiff::Timestamp;
use serde_json::{Value, json};

use super::{Fault, Shared, Walk};
use crate::clock::Utc;
use crate::market::{Class, Price};

type Answer = Result<Response<Full<Bytes>>, hyper::http::Error>;

/// Answers a request for anything but a WebSocket; `None` if there is nothing at its path.
pub(super) async fn answer(request: &Request<Incoming>, shared: &Shared) -> Option<Answer> {
    let service = request.uri().path();
    if !matches!(service, "/v3/snapshot" | "/v1/marketstatus/now") {
        return None;
    }
    shared.requests.fetch_add(1, Ordering::Relaxed);
    let bearer = format!("Bearer {}", shared.settings.key);
    let allowed = request
        .headers()
        .get(AUTHORIZATION)
        .is_some_and(|value| value.as_bytes() == bearer.as_bytes());
    if !allowed || *shared.fault.borrow() == Fault::Refusal {
        let refused = Response::builder().status(StatusCode::UNAUTHORIZED);
        return Some(refused.body(Full::default()));
    }
    let body = if service == "/v3/snapshot" {
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

fn now(shared: &Shared) -> Utc {
    shared.clock.now().utc.unwrap_or(Utc::PLAUSIBLE)
}

/// The universal snapshot.
async fn snapshot(query: &str, shared: &Shared) -> Value {
    let tickers = query
        .split('&')
        .find_map(|pair| pair.strip_prefix("ticker.any_of="))
        .unwrap_or_default();
    let mut rows = Vec::new();
    for ticker in tickers.split(',') {
        let Some(walk) = Walk::new(ticker, shared.settings.seed) else {
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
        let price = shared.market.price(walk.ticker()).await;
        rows.push(row(&walk, price.unwrap_or(walk.price()), now(shared)));
    }
    json!({ "status": "OK", "results": rows })
}

fn row(walk: &Walk, price: Price, now: Utc) -> Value {
    let ticker = walk.ticker().as_str();
    let close = walk.previous_close();
    let change = Price::from_scaled(price.scaled() - close.scaled()).as_f64();
    let nanos = now.0.saturating_mul(1_000_000);
    let mut row = json!({
        "ticker": ticker, "timeframe": "REAL-TIME", "last_updated": nanos,
        "session": {
            "change": change, "change_percent": change / close.as_f64() * 100.0,
            "close": price.as_f64(), "previous_close": close.as_f64(),
        },
    });
    match walk.class() {
        Class::Index => {
            row["type"] = json!("indices");
            row["market_status"] = json!("regular_trading");
            row["value"] = json!(price.as_f64());
        }
        Class::Option | Class::Equity => {
            let (bid, ask) = walk.around(price);
            row["type"] = json!("options");
            row["market_status"] = json!("open");
            row["last_quote"] = json!({ "bid": bid.as_f64(), "ask": ask.as_f64(), "bid_size": 17, "ask_size": 24,
                                        "midpoint": price.as_f64(), "last_updated": nanos });
            row["greeks"] =
                json!({ "delta": 0.5413, "gamma": 0.0112, "theta": -0.1874, "vega": 0.8126 });
            row["implied_volatility"] = json!(0.3049);
            row["open_interest"] = json!(8921);
        }
    }
    row
}

/// Simulated prices know no hours: everything is open.
fn market_status(shared: &Shared) -> Value {
    let time = Timestamp::from_millisecond(now(shared).0).unwrap_or_default();
    json!({
        "market": "open", "serverTime": time.to_string(), "afterHours": false, "earlyHours": false,
        "exchanges": { "nasdaq": "open", "nyse": "open", "otc": "open" },
        "indicesGroups": { "s_and_p": "open", "cgi": "open", "nasdaq": "open", "dow_jones": "open" },
    })
}
