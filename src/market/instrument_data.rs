//! What else is known of an instrument beside its value: the book, the last trade, the day, and
//! what is computed of a contract. Values of fixed size; judges nothing.

use super::{AssetClass, Price, Symbol};
use crate::time::Utc;

/// The best bid and ask.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct TopOfBook {
    /// What buyers pay; zero if nobody bids.
    pub bid: Price,
    /// What sellers want; zero if nobody asks.
    pub ask: Price,
    /// How much is bid for, in contracts or shares.
    pub bid_size: u32,
    /// How much is asked for, in contracts or shares.
    pub ask_size: u32,
}

impl TopOfBook {
    /// Between bid and ask. `None` where nobody asks, where the two are crossed, and where they are
    /// too far apart to say what a contract is worth: by more than 1.00 and by more than the middle
    /// itself (0.01 × 500 is not worth 250). A contract that nobody bids for is worth half of a
    /// small ask.
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
    /// At this price.
    pub price: Price,
    /// Of so many contracts or shares; 0 where it is not known.
    pub size: u32,
}

/// The trading day so far, as REST tells it.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct DayStats {
    /// The lowest and the highest price.
    pub range: Option<(Price, Price)>,
    /// How much was traded, in contracts or shares.
    pub volume: Option<u64>,
}

/// What is computed of a contract; REST alone has it. Fixed-point like prices, in 1/10 000.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct OptionAnalytics {
    /// By how much the contract moves with its underlying.
    pub delta: Option<Price>,
    /// By how much delta moves with the underlying.
    pub gamma: Option<Price>,
    /// What a day costs.
    pub theta: Option<Price>,
    /// By how much it moves with a point of volatility.
    pub vega: Option<Price>,
    /// Implied volatility, as a fraction: 0.3049 is 30.49 %.
    pub implied_volatility: Option<Price>,
    /// Contracts that are open.
    pub open_interest: Option<u64>,
}

/// Why the vendor serves nothing of one ticker.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Denial {
    /// `NOT_ENTITLED`: the plan does not include it.
    NotEntitled,
    /// `NOT_FOUND`: there is no such ticker.
    NotFound,
}

/// Whether a market is open, as the vendor says.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum MarketState {
    /// Regular trading.
    Open,
    /// Before or after it.
    Extended,
    /// No trading.
    Closed,
}

/// What the vendor says of its markets (`/v1/marketstatus/now`); overrules the table of sessions
/// while it is young.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct MarketStatus {
    /// Shares, and the options on them.
    pub shares: Option<MarketState>,
    /// `s_and_p`: SPX and its family.
    pub s_and_p: Option<MarketState>,
    /// `cgi`: VIX and its family.
    pub cboe: Option<MarketState>,
    /// `nasdaq`: NDX, COMP.
    pub nasdaq: Option<MarketState>,
    /// `dow_jones`: DJI.
    pub dow_jones: Option<MarketState>,
    /// When it was true.
    pub as_of: Utc,
}

impl MarketStatus {
    /// How many groups of markets there are.
    pub(super) const GROUPS: usize = 5;

    /// What is said of each group.
    pub(super) const fn groups(&self) -> [Option<MarketState>; Self::GROUPS] {
        [
            self.shares,
            self.s_and_p,
            self.cboe,
            self.nasdaq,
            self.dow_jones,
        ]
    }

    /// The place of this symbol's group among them. An index of no group that is known is computed
    /// of shares.
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

    /// What is said of the market of this symbol.
    pub fn of(&self, symbol: &Symbol) -> Option<MarketState> {
        let group = Self::group(symbol);
        let state = self.groups()[group]?;
        let counts = match symbol.class() {
            AssetClass::Equity => true,
            // Contracts are not traded in the extended hours of shares.
            AssetClass::Option => state != MarketState::Extended,
            // An index has no extended hours. One without a group of its own closes with shares, but an
            // open market for shares does not mean that it is computed.
            AssetClass::Index => group != 0 || state == MarketState::Closed,
        };
        counts.then_some(state)
    }
}
