//! An option contract, as its ticker describes the contract.

use core::fmt;

use jiff::civil::{Date, Weekday};

use super::{NumberFormat, Price, ShortText};

/// The properties of an option contract, parsed from its ticker.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Contract<'a> {
    /// The root of the ticker, which names the underlying, such as `SPY`.
    pub root: &'a str,
    /// The expiry date.
    pub expiry: Date,
    /// True for a call (the right to buy), false for a put (the right to sell).
    pub call: bool,
    /// The strike price.
    pub strike: Price,
}

impl<'a> Contract<'a> {
    /// Parses ROOT YYMMDD C|P STRIKE×1000 from right to left, because a root can end with a digit.
    pub(super) fn parse(name: &'a str) -> Option<Self> {
        let (root, rest) = name.split_at_checked(name.len().checked_sub(15)?)?;
        let (date, rest) = rest.split_at_checked(6)?;
        let (side, strike) = rest.split_at_checked(1)?;
        let date: i32 = date.parse().ok()?;
        let (year, month, day) = (2000 + date / 10_000, date / 100 % 100, date % 100);
        let thousandths: i64 = strike.parse().ok()?;
        Some(Self {
            root,
            expiry: Date::new(year as i16, month as i8, day as i8).ok()?,
            call: side == "C",
            // One thousandth is ten units of `Price`.
            strike: Price::from_scaled(thousandths * 10),
        })
    }

    /// The last trading day: the day before the expiry if the opening prices of the expiry day
    /// settle the contract, or else the expiry day.
    pub fn last_trading_day(&self) -> Date {
        let standard =
            self.expiry.weekday() == Weekday::Friday && (15..=21).contains(&self.expiry.day());
        // Cboe, "SPX options": monthly options on these indices expire on the third Friday of a
        // month. Options on VIX expire on a Wednesday.
        let by_the_open = match self.root {
            "SPX" | "NDX" | "RUT" | "DJX" => standard,
            "VIX" | "VIXW" => true,
            _ => false,
        };
        if !by_the_open {
            return self.expiry;
        }
        // The day before a Friday or a Wednesday is a weekday. If that day is a holiday, the
        // calendar has no session on it.
        self.expiry.yesterday().unwrap_or(self.expiry)
    }

    /// The abbreviated month of the expiry, such as `Dec`.
    pub fn month(&self) -> &'static str {
        let place = usize::from(self.expiry.month().unsigned_abs()).wrapping_sub(1);
        MONTHS.get(place).unwrap_or(&"?")
    }

    /// The strike price without trailing zeros, such as `650` or `652.5`.
    pub fn strike_text(&self) -> ShortText {
        let thousandths = self.strike.scaled() / 10;
        let whole = Price::from_scaled(thousandths / 1000 * Price::SCALE);
        let (mut text, _) = whole.parts(NumberFormat {
            group: None,
            point: b'.',
        });
        let rest = thousandths % 1000;
        if rest > 0 {
            // The text has enough capacity: five digits, a decimal point and three digits.
            let _ = text.push('.');
            for digit in [rest / 100, rest / 10 % 10, rest % 10] {
                let _ = text.push(char::from(b'0' + digit as u8));
            }
            let kept = text.trim_end_matches('0').len();
            text.truncate(kept);
        }
        text
    }
}

const MONTHS: [&str; 12] = [
    "Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec",
];

/// Writes the contract in the usual form of traders: `SPY 19 Dec 25 650 C`.
impl fmt::Display for Contract<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} {} {} {:02} {} {}",
            self.root,
            self.expiry.day(),
            self.month(),
            self.expiry.year() % 100,
            self.strike_text(),
            if self.call { 'C' } else { 'P' }
        )
    }
}
