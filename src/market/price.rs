//! Fixed-point prices. The only place that formats money.

use core::fmt;

/// Room for the longest price, separators and sign included.
pub type ShortText = heapless::String<24>;

/// How numbers are written.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct NumberFormat {
    /// Between thousands: an ASCII character, `None` for nothing.
    pub group: Option<u8>,
    /// Before the decimals: an ASCII character.
    pub point: u8,
}

impl NumberFormat {
    /// `5,912.34`
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

/// A price or an index value in 1/10 000 of its unit; exact, ordered, never NaN.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Price(i64);

impl Price {
    /// Units of the fixed-point value in one: four decimals.
    pub const SCALE: i64 = 10_000;
    /// The largest magnitude accepted, 99 999 999.9999: ten times the dearest share ever quoted,
    /// and the most that [`fmt::Display`] is asked to fit. Beyond it a number is junk.
    pub const MAX: Price = Price(999_999_999_999);

    /// From units of 1/10 000; for constants and tests.
    pub const fn from_scaled(scaled: i64) -> Self {
        Self(scaled)
    }

    /// In units of 1/10 000.
    pub const fn scaled(self) -> i64 {
        self.0
    }

    /// From a number of the feed, rounded to the nearest 1/10 000. `None` for what is no price:
    /// not finite, or larger than [`Price::MAX`].
    pub fn from_f64(number: f64) -> Option<Self> {
        let scaled = (number * Self::SCALE as f64).round();
        // A comparison with NaN is false, so NaN is refused too.
        (scaled.abs() <= Self::MAX.0 as f64).then_some(Self(scaled as i64))
    }

    /// As a float, for ratios and curves.
    pub fn as_f64(self) -> f64 {
        self.0 as f64 / Self::SCALE as f64
    }

    /// The text in two parts, `5,912` and `.34`, so that the fraction may be drawn smaller.
    ///
    /// Two decimals; below 1 up to four, so that `0.0001` is not shown as nothing.
    pub fn parts(self, numbers: NumberFormat) -> (ShortText, ShortText) {
        let magnitude = self.0.unsigned_abs();
        // Which decimals are shown depends on the value, not on its rounding: 0.99995 is "1.00".
        let (whole, fraction, digits) = if magnitude >= Self::SCALE as u64 {
            let hundredths = (magnitude + 50) / 100;
            (hundredths / 100, hundredths % 100, 2)
        } else if magnitude.is_multiple_of(100) {
            (0, magnitude / 100, 2)
        } else if magnitude.is_multiple_of(10) {
            (0, magnitude / 10, 3)
        } else {
            (0, magnitude, 4)
        };
        let mut head = ShortText::new();
        // A negative that rounds to nothing cannot occur: four decimals are all there are.
        if self.0 < 0 {
            push(&mut head, b'-');
        }
        grouped(&mut head, whole, numbers);
        let mut tail = ShortText::new();
        push(&mut tail, numbers.point);
        if digits > 3 {
            push(&mut tail, b'0' + (fraction / 1000 % 10) as u8);
        }
        if digits > 2 {
            push(&mut tail, b'0' + (fraction / 100 % 10) as u8);
        }
        push(&mut tail, b'0' + (fraction / 10 % 10) as u8);
        push(&mut tail, b'0' + (fraction % 10) as u8);
        (head, tail)
    }

    /// The change from `base` to this.
    pub fn change_from(self, base: Price) -> Change {
        Change {
            absolute: self.0 - base.0,
            base: base.0,
        }
    }
}

/// Appends an ASCII character; the texts here are sized for the largest price.
fn push(text: &mut ShortText, ascii: u8) {
    let fits = text.push(char::from(ascii)).is_ok();
    debug_assert!(fits, "a price fits its text");
}

/// A whole number as it is written: a volume, an open interest.
pub fn whole(number: u64, numbers: NumberFormat) -> ShortText {
    let mut text = ShortText::new();
    // The largest number takes 20 digits and 6 separators; nobody trades that many.
    grouped(&mut text, number.min(999_999_999_999_999), numbers);
    text
}

/// Appends a whole number with thousands separators.
fn grouped(text: &mut ShortText, number: u64, numbers: NumberFormat) {
    // The most common numbers have one group, and the next most two.
    if number >= 1000 {
        grouped(text, number / 1000, numbers);
        if let Some(group) = numbers.group {
            push(text, group);
        }
    }
    let least = number % 1000;
    if number >= 100 {
        push(text, b'0' + (least / 100) as u8);
    }
    if number >= 10 {
        push(text, b'0' + (least / 10 % 10) as u8);
    }
    push(text, b'0' + (least % 10) as u8);
}

impl fmt::Display for Price {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (whole, fraction) = self.parts(NumberFormat::ENGLISH);
        f.write_str(&whole)?;
        f.write_str(&fraction)
    }
}

/// The difference between two prices.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Change {
    absolute: i64,
    base: i64,
}

impl Change {
    /// In 1/10 000 of the price's unit.
    pub const fn absolute(self) -> Price {
        Price(self.absolute)
    }

    /// In 1/100 of a percent (basis points), rounded half away from zero; `None` if the base is
    /// not positive, for then a percentage means nothing.
    pub fn basis_points(self) -> Option<i64> {
        if self.base <= 0 {
            return None;
        }
        // What prices there are leaves room for this: 2 × Price::MAX is 2e12, an i64 9e18.
        let twice = self.absolute.checked_mul(20_000)? / self.base;
        Some((twice + twice.signum()) / 2)
    }

    /// `+0.24`, with a sign unless it is zero.
    pub fn difference(self, numbers: NumberFormat) -> ShortText {
        let (whole, fraction) = self.absolute().parts(numbers);
        let mut text = ShortText::new();
        if self.absolute > 0 {
            push(&mut text, b'+');
        }
        let fits = text.push_str(&whole).is_ok() && text.push_str(&fraction).is_ok();
        debug_assert!(fits, "a change fits its text");
        text
    }

    /// `+0.42%`, with a sign unless what is written is zero; `None` where there is no percentage.
    pub fn percent(self, numbers: NumberFormat) -> Option<ShortText> {
        let points = self.basis_points()?;
        let mut text = ShortText::new();
        match points {
            ..0 => push(&mut text, b'-'),
            0 => {}
            1.. => push(&mut text, b'+'),
        }
        let magnitude = points.unsigned_abs();
        grouped(&mut text, magnitude / 100, numbers);
        push(&mut text, numbers.point);
        push(&mut text, b'0' + (magnitude / 10 % 10) as u8);
        push(&mut text, b'0' + (magnitude % 10) as u8);
        push(&mut text, b'%');
        Some(text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(number: f64) -> String {
        Price::from_f64(number).unwrap().to_string()
    }

    #[test]
    fn prices_read_as_traders_write_them() {
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
    fn numbers_are_written_as_their_reader_writes_them() {
        let price = Price::from_f64(1_234_567.89).unwrap();
        let text = |group, point| {
            let (whole, fraction) = price.parts(NumberFormat { group, point });
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
    fn what_is_no_price_is_refused() {
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
    fn against_a_base_of_zero_or_less_there_is_no_percentage_but_a_difference() {
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
            assert_eq!(change.difference(NumberFormat::ENGLISH), difference);
        }
    }

    proptest::proptest! {
        #[test]
        fn a_change_has_a_sign_exactly_if_a_figure_of_it_is_not_zero(
            to in -Price::MAX.0..=Price::MAX.0,
            moved in -3_000_000i64..3_000_000,
        ) {
            let from = (to - moved).clamp(-Price::MAX.0, Price::MAX.0);
            let change = Price(to).change_from(Price(from));
            let texts = [Some(change.difference(NumberFormat::ENGLISH)), change.percent(NumberFormat::ENGLISH)];
            for text in texts.iter().flatten() {
                let figure = text.bytes().any(|digit| (b'1'..=b'9').contains(&digit));
                proptest::prop_assert_eq!(text.starts_with('+'), figure && to > from, "{}", text);
                proptest::prop_assert_eq!(text.starts_with('-'), figure && to < from, "{}", text);
            }
        }

        #[test]
        fn every_price_fits_its_text_and_reads_back(scaled in -Price::MAX.0..=Price::MAX.0) {
            let text = Price(scaled).to_string();
            let read: f64 = text.replace(',', "").parse().unwrap();
            let step = if scaled.abs() >= Price::SCALE { 0.005 } else { 0.0 };
            proptest::prop_assert!((read - Price(scaled).as_f64()).abs() <= step + 1e-6, "{}", text);
        }
    }
}
