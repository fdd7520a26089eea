//! The REST request paths at the vendor and at a hub. Pure: this module does no I/O.

use crate::market::Symbol;
use crate::massive::{self, snapshot};
use crate::net::source::FeedProvider;
use crate::time::Utc;

/// Returns the path of a quotes request for these symbols.
pub(super) fn quotes(provider: FeedProvider, symbols: &[Symbol]) -> String {
    match provider {
        FeedProvider::Hub => {
            // The proxy expects the plain names of indices.
            let names: Vec<String> = symbols.iter().map(Symbol::to_string).collect();
            format!("/api/quotes?tickers={}", names.join(","))
        }
        FeedProvider::Vendor => snapshot::path(symbols.iter().map(Symbol::ticker)),
    }
}

/// Returns the path of the market status request.
pub(super) const fn market_status(provider: FeedProvider) -> &'static str {
    match provider {
        FeedProvider::Hub => "/api/market/status",
        FeedProvider::Vendor => "/v1/marketstatus/now",
    }
}

/// Returns the request path, which is the same at the vendor and at a hub.
pub(super) fn aggregates(symbol: &Symbol, from: Utc, to: Utc) -> String {
    massive::aggregates::path(symbol.ticker(), from.0, to.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// 2026-11-23, 9:30 and 12:00 in New York.
    const OPEN: Utc = Utc(1_795_444_200_000);
    const NOON: Utc = Utc(1_795_453_200_000);

    #[test]
    fn the_path_contains_the_full_ticker_and_both_times_in_milliseconds() {
        let path = |text: &str| aggregates(&text.parse().unwrap(), OPEN, NOON);
        assert_eq!(
            path("O:SPY261218C00650000"),
            "/v2/aggs/ticker/O:SPY261218C00650000/range/1/minute/1795444200000/1795453200000\
             ?adjusted=true&sort=asc&limit=50000"
        );
        for (text, ticker) in [
            ("SPX", "/I:SPX/"),
            ("stock:COMP", "/COMP/"),
            ("COMP", "/I:COMP/"),
        ] {
            let path = path(text);
            assert!(path.contains(ticker), "{path}");
        }
    }
}
