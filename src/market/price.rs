//! Fixed-point prices. This is the only module that formats prices as text.

use core::fmt;

/// A text with capacity for the longest price, including separators and sign.
pub type ShortText = heapless::String<24>;

/// The separators in formatted numbers.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct NumberFormat {
    /// The thousands separator: an ASCII character, or `None` for no separator.
    pub group: Option<u8>,
    /// The decimal separator: an ASCII character.
    pub point: u8,
}

impl NumberFormat {
    /// The English format: `5,912.34`.
    pub const ENGLISH: Self = Self {
        group: Some(b','),
        point: b'.',
    };
}

impl Default for NumberFormat {
    fn default() -> Self {
        Self::ENGLISH
    }
}

/// The value of the last shown digit in units of 1/10 000, by the number of decimals.
const STEPS: [u64; Price::MAX_DECIMALS as usize + 1] = [10_000, 1_000, 100, 10, 1];

/// A price or an index value in units of 1/10 000. The value is exact, ordered and never NaN.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Price(i64);

impl Price {
    /// The number of fixed-point units in 1.0: four decimals.
    pub const SCALE: i64 = 10_000;
    /// The largest accepted magnitude, 99 999 999.9999. This is ten times the highest share price
    /// ever quoted, and the longest value that [`ShortText`] must hold. A larger number in the feed
    /// is invalid.
    pub const MAX: Price = Price(999_999_999_999);

    /// The number of decimals that a price has.
    pub const MAX_DECIMALS: u8 = 4;

    /// Creates a price from units of 1/10 000; for constants and tests.
    pub const fn from_scaled(scaled: i64) -> Self {
        Self(scaled)
    }

    /// The price in units of 1/10 000.
    pub const fn scaled(self) -> i64 {
        self.0
    }

    /// Converts a number from the feed, rounded to the nearest 1/10 000. `None` if the number is
    /// not finite or larger than [`Price::MAX`].
    pub fn from_f64(number: f64) -> Option<Self> {
        let scaled = (number * Self::SCALE as f64).round();
        // A comparison with NaN is false, so NaN is rejected too.
        (scaled.abs() <= Self::MAX.0 as f64).then_some(Self(scaled as i64))
    }

    /// The price as a float, for ratios and curves.
    pub fn as_f64(self) -> f64 {
        self.0 as f64 / Self::SCALE as f64
    }

    /// Returns the usual number of decimals of this price: two, or three or four for a price below
    /// 1 that has so many, so that `0.0001` is not shown as zero.
    pub const fn usual_decimals(self) -> u8 {
        match self.0.unsigned_abs() {
            10_000.. => 2,
            magnitude if magnitude.is_multiple_of(100) => 2,
            magnitude if magnitude.is_multiple_of(10) => 3,
            _ => Self::MAX_DECIMALS,
        }
    }

    /// Returns the least number of decimals that shows the exact price.
    pub fn exact_decimals(self) -> u8 {
        let is_exact = |decimals: &u8| self.0 % STEPS[usize::from(*decimals)] as i64 == 0;
        let mut fewer = 0..Self::MAX_DECIMALS;
        fewer.find(is_exact).unwrap_or(Self::MAX_DECIMALS)
    }

    /// Formats the price as two texts, `5,912` and `.34`, so that the display can draw the decimals
    /// smaller. The price is rounded to this number of decimals, 0 to [`Price::MAX_DECIMALS`]; a
    /// half is rounded away from zero. Without decimals, the second text is empty. A price other than
    /// zero has as many decimals as necessary for a digit other than 0.
    pub fn parts(self, decimals: u8, numbers: NumberFormat) -> (ShortText, ShortText) {
        let decimals = decimals.min(Self::MAX_DECIMALS);
        let step = STEPS[usize::from(decimals)];
        let one = Self::SCALE as u64 / step;
        let units = (self.0.unsigned_abs() + step / 2) / step;
        if units == 0 && self.0 != 0 {
            return self.parts(decimals + 1, numbers);
        }
        let (mut head, mut tail) = (ShortText::new(), ShortText::new());
        if self.0 < 0 {
            push(&mut head, b'-');
        }
        grouped(&mut head, units / one, numbers);
        if decimals > 0 {
            push(&mut tail, numbers.point);
            push_digits(&mut tail, units % one, decimals.into());
        }
        (head, tail)
    }

    /// The change from `base` to this price.
    pub fn change_from(self, base: Price) -> Change {
        Change {
            absolute: self.0 - base.0,
            base: base.0,
        }
    }
}

/// Appends an ASCII character. The capacity is enough for the longest price.
pub(super) fn push(text: &mut ShortText, ascii: u8) {
    let fits = text.push(char::from(ascii)).is_ok();
    debug_assert!(fits, "a price fits its text");
}

/// Appends a whole number with at least this many digits.
pub(super) fn push_digits(text: &mut ShortText, number: u64, least: u32) {
    // The recursion is shallow: a price has at most eight digits before the point.
    if least > 1 || number >= 10 {
        push_digits(text, number / 10, least.saturating_sub(1));
    }
    push(text, b'0' + (number % 10) as u8);
}

/// Formats a whole number with thousands separators, such as a volume or an open interest.
pub fn whole(number: u64, numbers: NumberFormat) -> ShortText {
    let mut text = ShortText::new();
    // The largest `u64` would not fit: 20 digits and 6 separators. No real volume is that large.
    grouped(&mut text, number.min(999_999_999_999_999), numbers);
    text
}

/// Returns a percentage from units of its last decimal, without a sign if it is zero.
fn percentage<const DECIMALS: u32>(units: i64, numbers: NumberFormat) -> ShortText {
    let mut text = ShortText::new();
    match units {
        ..0 => push(&mut text, b'-'),
        0 => {}
        1.. => push(&mut text, b'+'),
    }
    let (units, one) = (units.unsigned_abs(), const { 10u64.pow(DECIMALS) });
    grouped(&mut text, units / one, numbers);
    push(&mut text, numbers.point);
    push_digits(&mut text, units % one, DECIMALS);
    push(&mut text, b'%');
    text
}

/// Appends a whole number with thousands separators.
fn grouped(text: &mut ShortText, number: u64, numbers: NumberFormat) {
    if number < 1000 {
        return push_digits(text, number, 1);
    }
    // The recursion is shallow: most numbers have one or two groups of digits.
    grouped(text, number / 1000, numbers);
    if let Some(group) = numbers.group {
        push(text, group);
    }
    push_digits(text, number % 1000, 3);
}

impl fmt::Display for Price {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (whole, fraction) = self.parts(self.usual_decimals(), NumberFormat::ENGLISH);
        f.write_str(&whole)?;
        f.write_str(&fraction)
    }
}

/// The change between two prices.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Change {
    absolute: i64,
    base: i64,
}

impl Change {
    /// The difference of the two prices, in the same unit as the prices.
    pub const fn absolute(self) -> Price {
        Price(self.absolute)
    }

    /// The change in basis points (1/100 of a percent), rounded half away from zero. `None` if the
    /// base is zero or negative, because a percentage has no meaning then.
    pub fn basis_points(self) -> Option<i64> {
        self.ratio(10_000)
    }

    /// Returns the change as a part of its base, in units of 1/`units`, rounded half away from
    /// zero.
    fn ratio(self, units: i64) -> Option<i64> {
        if self.base <= 0 {
            return None;
        }
        // The multiplication cannot overflow with valid prices: 2 × `Price::MAX` is 2e12, and an
        // `i64` holds 9e18.
        let twice = self.absolute.checked_mul(2 * units)? / self.base;
        Some((twice + twice.signum()) / 2)
    }

    /// Formats the difference like a price with this number of decimals, such as `+0.24`. The text
    /// has a sign unless the difference is zero.
    pub fn difference(self, decimals: u8, numbers: NumberFormat) -> ShortText {
        let (whole, fraction) = self.absolute().parts(decimals, numbers);
        let mut text = ShortText::new();
        if self.absolute > 0 {
            push(&mut text, b'+');
        }
        let fits = text.push_str(&whole).is_ok() && text.push_str(&fraction).is_ok();
        debug_assert!(fits, "a change fits its text");
        text
    }

    /// Formats the change in percent, such as `+0.42%`. The text has a sign unless the rounded
    /// value is zero. `None` if there is no percentage (see [`Change::basis_points`]).
    pub fn percent(self, numbers: NumberFormat) -> Option<ShortText> {
        Some(percentage::<2>(self.basis_points()?, numbers))
    }

    /// Formats the change in percent with one decimal, such as `+0.4%`.
    pub fn short_percent(self, numbers: NumberFormat) -> Option<ShortText> {
        Some(percentage::<1>(self.ratio(1_000)?, numbers))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(number: f64) -> String {
        Price::from_f64(number).unwrap().to_string()
    }

    #[test]
    fn prices_have_the_format_that_traders_use() {
        assert_eq!(text(5912.34), "5,912.34");
        assert_eq!(text(17.25), "17.25");
        assert_eq!(text(3988.0), "3,988.00");
        assert_eq!(text(123_456.78), "123,456.78");
        assert_eq!(text(1_234_567.891), "1,234,567.89");
        assert_eq!(text(114.128), "114.13");
        assert_eq!(text(-12.34), "-12.34");
        assert_eq!(text(0.05), "0.05");
        assert_eq!(text(0.0001), "0.0001");
        assert_eq!(text(0.125), "0.125");
        assert_eq!(text(0.0), "0.00");
        assert_eq!(text(-0.0), "0.00");
        assert_eq!(text(999.995), "1,000.00");
        assert_eq!(text(1e3), "1,000.00");
    }

    #[test]
    fn a_price_is_rounded_to_its_number_of_decimals_but_never_to_zero() {
        let text = |number, decimals| {
            let price = Price::from_f64(number).unwrap();
            let (whole, fraction) = price.parts(decimals, NumberFormat::ENGLISH);
            format!("{whole}{fraction}")
        };
        assert_eq!(text(5912.3456, 4), "5,912.3456");
        assert_eq!(text(5912.3456, 3), "5,912.346");
        assert_eq!(text(5912.5, 0), "5,913");
        assert_eq!(text(0.0, 0), "0");
        assert_eq!(text(0.0244, 0), "0.02");
        assert_eq!(text(0.5, 0), "1");
        assert_eq!(text(-0.0049, 2), "-0.005");
        assert_eq!(text(0.0001, 0), "0.0001");
        assert_eq!(text(-0.005, 2), "-0.01");
        assert_eq!(text(999.9996, 3), "1,000.000");
        let decimals = |number| Price::from_f64(number).unwrap().exact_decimals();
        assert_eq!(
            [6000.0, 12.5, -12.25, 0.005, 0.0001].map(decimals),
            [0, 1, 2, 3, 4]
        );
        let change = |to: f64, from: f64| {
            let to = Price::from_f64(to).unwrap();
            to.change_from(Price::from_f64(from).unwrap())
        };
        let small = change(5912.3039, 5912.3);
        assert_eq!(small.difference(2, NumberFormat::ENGLISH), "+0.004");
        assert_eq!(small.difference(4, NumberFormat::ENGLISH), "+0.0039");
        let short = |to, from| {
            change(to, from)
                .short_percent(NumberFormat::ENGLISH)
                .unwrap()
        };
        assert_eq!(short(98.47, 100.0), "-1.5%");
        assert_eq!(short(100.049, 100.0), "0.0%", "it is not rounded twice");
        assert_eq!(short(100.05, 100.0), "+0.1%");
    }

    #[test]
    fn numbers_use_the_configured_group_and_decimal_separators() {
        let price = Price::from_f64(1_234_567.89).unwrap();
        let text = |group, point| {
            let (whole, fraction) = price.parts(2, NumberFormat { group, point });
            format!("{whole}{fraction}")
        };
        assert_eq!(text(Some(b'.'), b','), "1.234.567,89");
        assert_eq!(text(Some(b' '), b','), "1 234 567,89");
        assert_eq!(text(Some(b'\''), b'.'), "1'234'567.89");
        assert_eq!(text(None, b'.'), "1234567.89");
        assert_eq!(whole(8_921, NumberFormat::ENGLISH), "8,921");
        assert_eq!(
            whole(u64::MAX, NumberFormat::ENGLISH),
            "999,999,999,999,999"
        );
    }

    #[test]
    fn a_number_that_is_no_valid_price_is_refused() {
        for junk in [f64::NAN, f64::INFINITY, f64::NEG_INFINITY, 1e9, -1e300] {
            assert_eq!(Price::from_f64(junk), None, "{junk}");
        }
        assert_eq!(Price::from_f64(99_999_999.999_9), Some(Price::MAX));
        assert_eq!(Price::from_f64(4.2e-7), Some(Price(0)));
    }

    #[test]
    fn a_change_is_given_in_percent_of_its_base() {
        let change = |to: f64, from: f64| {
            let to = Price::from_f64(to).unwrap();
            to.change_from(Price::from_f64(from).unwrap())
                .percent(NumberFormat::ENGLISH)
                .map(|text| text.to_string())
        };
        assert_eq!(change(5912.34, 5887.61), Some("+0.42%".into()));
        assert_eq!(change(87.66, 100.0), Some("-12.34%".into()));
        assert_eq!(change(100.0, 100.0), Some("0.00%".into()));
        assert_eq!(change(99.997, 100.0), Some("0.00%".into()));
        assert_eq!(change(100.003, 100.0), Some("0.00%".into()));
        assert_eq!(change(99.995, 100.0), Some("-0.01%".into()));
        assert_eq!(change(5000.0, 1.0), Some("+499,900.00%".into()));
    }

    #[test]
    fn a_change_from_zero_or_less_has_a_difference_but_no_percentage() {
        for (to, from, difference) in [
            (5.0, 0.0, "+5.00"),
            (0.0, 0.0, "0.00"),
            (-311.0, -312.0, "+1.00"),
            (312.0, -1_313.0, "+1,625.00"),
            (-2_000.0, -1.0, "-1,999.00"),
        ] {
            let price = |number| Price::from_f64(number).unwrap();
            let change = price(to).change_from(price(from));
            assert_eq!(change.basis_points(), None, "{to} {from}");
            assert_eq!(change.percent(NumberFormat::ENGLISH), None, "{to} {from}");
            assert_eq!(change.difference(2, NumberFormat::ENGLISH), difference);
        }
    }

    proptest::proptest! {
        #[test]
        fn a_change_has_a_sign_exactly_if_a_shown_digit_is_not_zero(
            to in -Price::MAX.0..=Price::MAX.0,
            moved in -3_000_000i64..3_000_000,
            decimals in 0..=Price::MAX_DECIMALS,
        ) {
            let from = (to - moved).clamp(-Price::MAX.0, Price::MAX.0);
            let change = Price(to).change_from(Price(from));
            let numbers = NumberFormat::ENGLISH;
            let texts = [
                Some(change.difference(decimals, numbers)),
                change.percent(numbers),
                change.short_percent(numbers),
            ];
            for text in texts.iter().flatten() {
                let figure = text.bytes().any(|digit| (b'1'..=b'9').contains(&digit));
                proptest::prop_assert_eq!(text.starts_with('+'), figure && to > from, "{}", text);
                proptest::prop_assert_eq!(text.starts_with('-'), figure && to < from, "{}", text);
            }
        }

        #[test]
        fn every_price_fits_into_its_text_and_can_be_parsed_back(scaled in -Price::MAX.0..=Price::MAX.0) {
            let price = Price(scaled);
            for decimals in 0..=Price::MAX_DECIMALS {
                let (whole, fraction) = price.parts(decimals, NumberFormat::ENGLISH);
                let text = format!("{whole}{fraction}");
                let read: f64 = text.replace(',', "").parse().unwrap();
                let exact = price.exact_decimals() <= decimals;
                let half = if exact { 0.0 } else { 0.5 / 10f64.powi(decimals.into()) };
                proptest::prop_assert!((read - price.as_f64()).abs() <= half + 1e-6, "{}", text);
                let places = text.split_once('.').map_or(0, |(_, places)| places.len());
                let rounded = price.scaled().unsigned_abs() < STEPS[usize::from(decimals)].div_ceil(2);
                let small = rounded && scaled != 0;
                proptest::prop_assert!(places == usize::from(decimals) || small, "{}", text);
                proptest::prop_assert_eq!(read == 0.0, scaled == 0, "{}", text);
                proptest::prop_assert_eq!(text.starts_with('-'), read < 0.0, "{}", text);
            }
        }
    }
}
