//! Decides which trades of a share make its last price, from the conditions of each trade. Pure:
//! this module does no I/O.
//!
//! Source: the vendor's list of trade conditions (`/v3/reference/conditions?asset_class=stocks`,
//! and its glossary, <https://massive.com/glossary/us/stocks/conditions-indicators>). The list
//! contains the rules of the consolidated tape (CTA and UTP plans), which define for each condition
//! if the trade updates the last price. If a trade has two conditions, the condition that forbids
//! the update has priority.

/// The conditions of trades that never make a last price.
const NEVER: [i64; 23] = [
    2,  // average price: the average over the orders of a whole day
    5,  // bunched, sold: the trade is reported late
    7,  // cash: the delivery is on the same day
    10, // derivatively priced: the price depends on another price
    15, // the official close of a market center
    16, // the official open of a market center
    20, // next day: the delivery is on the next day
    21, // price variation
    22, // prior reference price: the price belongs to an earlier time
    29, // seller: the seller chooses the day of delivery
    32, // sold out: the trade is reported late
    33, // sold, out of sequence
    37, // odd lot
    42, // not eligible
    43, // not eligible, outside the regular hours
    44, // cancelled
    47, // as of an earlier day
    48, // as of an earlier day, corrected
    49, // as of an earlier day, cancelled
    50, // out of bounds
    52, // contingent: the trade is part of a deal with another price
    53, // qualified contingent
    54, // errored
];

/// The conditions of trades in the extended hours: form T, and form T out of sequence. These trades
/// make no last price in the regular hours.
const EXTENDED: [i64; 2] = [12, 13];

/// Returns true if a trade with these conditions makes a last price. `regular` is true in the
/// regular hours.
pub(crate) fn make_last(conditions: &[i64], regular: bool) -> bool {
    !conditions
        .iter()
        .any(|condition| NEVER.contains(condition) || (regular && EXTENDED.contains(condition)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_an_ordinary_trade_sets_the_last_price() {
        for ordinary in [&[][..], &[0], &[14, 41], &[1, 3], &[25], &[8, 9]] {
            assert!(make_last(ordinary, true), "{ordinary:?}");
        }
        for other in [&[53, 52, 41][..], &[14, 37], &[2], &[22, 14], &[12], &[13]] {
            assert!(!make_last(other, true), "{other:?}");
        }
    }

    #[test]
    fn extended_hours_trades_set_the_price_only_outside_the_regular_hours() {
        assert!(make_last(&[12, 14], false));
        assert!(make_last(&[13], false));
        assert!(!make_last(&[12, 52], false));
        assert!(!make_last(&[12, 37], false));
    }
}
