//! The REST request paths at the vendor and at a hub. Pure: this module does no I/O.

use crate::market::{AssetClass, Symbol};
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

/// Returns the request path, which has the same form at the vendor and at a hub. The hub reads a
/// symbol as people write it, so a share keeps a prefix such as `stock:`.
pub(super) fn aggregates(provider: FeedProvider, symbol: &Symbol, from: Utc, to: Utc) -> String {
    match (provider, symbol.class()) {
        (FeedProvider::Hub, AssetClass::Equity) => {
            massive::aggregates::path(&symbol.to_string(), from.0, to.0)
        }
        _ => massive::aggregates::path(symbol.ticker(), from.0, to.0),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// 2026-11-23, 9:30 and 12:00 in New York.
    const OPEN: Utc = Utc(1_795_444_200_000);
    const NOON: Utc = Utc(1_795_453_200_000);

    #[test]
    fn the_path_contains_the_full_ticker_and_both_times_in_milliseconds() {
        let path = |provider, text: &str| aggregates(provider, &text.parse().unwrap(), OPEN, NOON);
        assert_eq!(
            path(FeedProvider::Hub, "O:SPY261218C00650000"),
            "/v2/aggs/ticker/O:SPY261218C00650000/range/1/minute/1795444200000/1795453200000\
             ?adjusted=true&sort=asc&limit=50000"
        );
        for (provider, text, ticker) in [
            (FeedProvider::Hub, "SPX", "/I:SPX/"),
            (FeedProvider::Hub, "stock:COMP", "/stock:COMP/"),
            (FeedProvider::Vendor, "stock:COMP", "/COMP/"),
            (FeedProvider::Vendor, "COMP", "/I:COMP/"),
        ] {
            let path = path(provider, text);
            assert!(path.contains(ticker), "{path}");
        }
    }
}
