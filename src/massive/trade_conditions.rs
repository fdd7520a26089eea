//! Which trades of a share make its last price, by the conditions they were made under. Pure.
//!
//! Source: the vendor's list of trade conditions (`/v3/reference/conditions?asset_class=stocks`,
//! and its glossary, <https://massive.com/glossary/us/stocks/conditions-indicators>), whose rules of
//! the consolidated tape (CTA and UTP plans) say for each whether it updates the last price. Of two
//! conditions the one that forbids it counts.

/// Those that never make one.
const NEVER: [i64; 23] = [
    2,  // average price: of a whole day's orders
    5,  // bunched, sold: reported late
    7,  // cash: delivered the same day
    10, // derivatively priced: made by another price
    15, // a market center's official close
    16, // a market center's official open
    20, // next day: delivered tomorrow
    21, // price variation
    22, // prior reference price: of an earlier time
    29, // seller: delivered when the seller likes
    32, // sold out: reported late
    33, // sold, out of sequence
    37, // odd lot
    42, // not eligible
    43, // not eligible, outside the regular hours
    44, // cancelled
    47, // as of an earlier day
    48, // as of an earlier day, corrected
    49, // as of an earlier day, cancelled
    50, // out of bounds
    52, // contingent: part of a deal with another price
    53, // qualified contingent
    54, // errored
];

/// Those of the hours before and after the regular ones: form T, and the same out of sequence. They
/// make no last price of the regular hours.
const EXTENDED: [i64; 2] = [12, 13];

/// Whether a trade of these conditions makes a last price: of the regular hours, if these are on.
pub(crate) fn make_last(conditions: &[i64], regular: bool) -> bool {
    !conditions
        .iter()
        .any(|condition| NEVER.contains(condition) || (regular && EXTENDED.contains(condition)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_contingent_trade_makes_no_last_price_and_an_ordinary_one_does() {
        for ordinary in [&[][..], &[0], &[14, 41], &[1, 3], &[25], &[8, 9]] {
            assert!(make_last(ordinary, true), "{ordinary:?}");
        }
        for other in [&[53, 52, 41][..], &[14, 37], &[2], &[22, 14], &[12], &[13]] {
            assert!(!make_last(other, true), "{other:?}");
        }
    }

    #[test]
    fn trades_outside_the_regular_hours_make_a_price_there_and_nowhere_else() {
        assert!(make_last(&[12, 14], false));
        assert!(make_last(&[13], false));
        assert!(!make_last(&[12, 52], false));
        assert!(!make_last(&[12, 37], false));
    }
}
