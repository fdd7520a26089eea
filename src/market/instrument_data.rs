//! The additional data of an instrument: order book, last trade, day statistics and option
//! analytics. All types have a fixed size. This module stores data and never judges their
//! freshness.

use super::{AssetClass, Price, Symbol};
use crate::time::Utc;

/// The best bid and ask.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct TopOfBook {
    /// The best bid price; zero if there is no bid.
    pub bid: Price,
    /// The best ask price; zero if there is no ask.
    pub ask: Price,
    /// The size at the bid, in contracts or shares.
    pub bid_size: u32,
    /// The size at the ask, in contracts or shares.
    pub ask_size: u32,
}

impl TopOfBook {
    /// The price in the middle between bid and ask. `None` if there is no ask, if the book is
    /// crossed, or if the spread is too wide for a meaningful price: wider than 1.00 and wider than
    /// the middle itself (a book of 0.01 × 500 has no price of 250). A contract without a bid and
    /// with a small ask has half of the ask as its price.
    pub fn mid(&self) -> Option<Price> {
        let (bid, ask) = (self.bid.scaled(), self.ask.scaled());
        if ask <= 0 || bid < 0 || bid > ask {
            return None;
        }
        let (spread, mid) = (ask - bid, (bid + ask) / 2);
        (spread <= Price::SCALE || spread <= mid).then_some(Price::from_scaled(mid))
    }
}

/// A trade.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Trade {
    /// The price of the trade.
    pub price: Price,
    /// The size in contracts or shares; 0 if the size is unknown.
    pub size: u32,
}

/// The statistics of the trading day up to now, from a REST response.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct DayStats {
    /// The lowest and the highest price.
    pub range: Option<(Price, Price)>,
    /// The traded volume, in contracts or shares.
    pub volume: Option<u64>,
}

/// The analytics of an option contract, which only the REST API provides. The values are
/// fixed-point in units of 1/10 000, like prices.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct OptionAnalytics {
    /// The change of the contract's price per change of the underlying's price.
    pub delta: Option<Price>,
    /// The change of delta per change of the underlying's price.
    pub gamma: Option<Price>,
    /// The change of the contract's price per day.
    pub theta: Option<Price>,
    /// The change of the contract's price per percentage point of volatility.
    pub vega: Option<Price>,
    /// The implied volatility as a fraction: 0.3049 is 30.49 %.
    pub implied_volatility: Option<Price>,
    /// The open interest, in contracts.
    pub open_interest: Option<u64>,
}

/// The reason why the vendor returns no data for a ticker.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Denial {
    /// `NOT_ENTITLED`: the subscription plan does not include this ticker.
    NotEntitled,
    /// `NOT_FOUND`: there is no such ticker.
    NotFound,
}

/// The state of a market, as the vendor reports it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum MarketState {
    /// The market is in regular hours.
    Open,
    /// The market is in extended hours, before or after the regular hours.
    Extended,
    /// The market is closed.
    Closed,
}

/// The market status of the vendor (`/v1/marketstatus/now`). A recent status overrides the table of
/// trading hours.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct MarketStatus {
    /// The state of each group of markets: shares with their options; the indices of S&P; of Cboe
    /// (VIX); of Nasdaq; of Dow Jones. `None` if the status does not contain the group.
    pub groups: [Option<MarketState>; Self::GROUPS],
    /// The time of the status.
    pub as_of: Utc,
}

impl MarketStatus {
    /// The number of groups of markets.
    pub const GROUPS: usize = 5;

    /// Returns the index of this symbol's group in [`groups`](Self::groups). An index without a
    /// known group belongs to the shares, because it is computed from prices of shares.
    pub(super) fn group(symbol: &Symbol) -> usize {
        match symbol.class() {
            AssetClass::Equity | AssetClass::Option => 0,
            AssetClass::Index => match symbol.name() {
                "SPX" | "OEX" | "XEO" | "XSP" | "MID" | "SML" => 1,
                name if name.starts_with("VIX") => 2,
                "VVIX" | "VXN" | "RVX" | "OVX" | "GVZ" | "SKEW" => 2,
                "NDX" | "COMP" | "XND" => 3,
                "DJI" => 4,
                _ => 0,
            },
        }
    }

    /// Returns the state of the market of this symbol. `None` if the status contains no information
    /// about this market.
    pub fn of(&self, symbol: &Symbol) -> Option<MarketState> {
        let group = Self::group(symbol);
        let state = self.groups[group]?;
        let counts = match symbol.class() {
            AssetClass::Equity => true,
            // Options are not traded in the extended hours of shares.
            AssetClass::Option => state != MarketState::Extended,
            // An index has no extended hours. An index without its own group closes when shares
            // close, but an open market for shares does not prove that the index is computed.
            AssetClass::Index => group != 0 || state == MarketState::Closed,
        };
        counts.then_some(state)
    }
}
