//! An option contract: the properties that its ticker contains.

use core::fmt;

use jiff::civil::{Date, Weekday};

use super::calendar::is_trading_day;
use super::price::{push, push_digits};
use super::{Price, ShortText};

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

const NINE_DIGITS: &str =
    "the strike has nine digits; expected the strike times 1000 in exactly eight digits";

impl<'a> Contract<'a> {
    /// The form of an option ticker, for messages. An example would have a date, and would expire.
    pub(super) const FORM: &'static str = "an option is \"O:\", a root of 1 to 6 letters, YYMMDD, C or \
                                           P, and the strike times 1000 in eight digits";

    /// Parses ROOT YYMMDD C|P STRIKE×1000 from right to left, because a root can end with a digit.
    ///
    /// # Errors
    /// The reason why the text is not a contract.
    pub(super) fn parse(name: &'a str) -> Result<Self, &'static str> {
        if !name.is_ascii() || name.len() < 16 {
            return Err(Self::FORM);
        }
        let (head, strike) = name.split_at(name.len() - 8);
        let (head, side) = head.split_at(head.len() - 1);
        let (root, date) = head.split_at(head.len() - 6);
        let digits = |part: &str| part.bytes().all(|byte| byte.is_ascii_digit());
        if !matches!(side, "C" | "P") {
            let nine = date.ends_with(['C', 'P']) && digits(side) && digits(strike);
            return Err(if nine { NINE_DIGITS } else { Self::FORM });
        }
        let root_fits = root.len() <= 6
            && root.starts_with(|first: char| first.is_ascii_alphabetic())
            && root.bytes().all(|byte| byte.is_ascii_alphanumeric());
        if !root_fits || !digits(date) || !digits(strike) {
            return Err(Self::FORM);
        }
        let date: i32 = date.parse().map_err(|_| Self::FORM)?;
        let thousandths: i64 = strike.parse().map_err(|_| Self::FORM)?;
        let (year, month, day) = (2000 + date / 10_000, date / 100 % 100, date % 100);
        let expiry = Date::new(year as i16, month as i8, day as i8)
            .map_err(|_| "the expiry is not a date; expected YYMMDD after the root")?;
        if thousandths == 0 {
            return Err("the strike is zero");
        }
        Ok(Self {
            root,
            expiry,
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
        // The day before a Friday or a Wednesday is a weekday. If that day is a holiday, the
        // calendar has no session on it.
        let eve = self.expiry.yesterday().ok().filter(|_| by_the_open);
        eve.unwrap_or(self.expiry)
    }

    /// Returns the expiry date, or the trading day before it if the exchanges are closed on that
    /// date. `None` if there is no such day.
    pub(super) fn day_of_trading(&self) -> Option<Date> {
        let mut day = self.expiry;
        for _ in 0..5 {
            if is_trading_day(day) {
                return Some(day);
            }
            day = day.yesterday().ok()?;
        }
        None
    }

    /// The abbreviated month of the expiry, such as `Dec`.
    pub fn month(&self) -> &'static str {
        MONTHS[usize::from(self.expiry.month().unsigned_abs()) - 1]
    }

    /// The strike price without trailing zeros, such as `650` or `652.5`.
    pub fn strike_text(&self) -> ShortText {
        let thousandths = self.strike.scaled().unsigned_abs() / 10;
        let mut text = ShortText::new();
        push_digits(&mut text, thousandths / 1000, 1);
        if !thousandths.is_multiple_of(1000) {
            push(&mut text, b'.');
            push_digits(&mut text, thousandths % 1000, 3);
            text.truncate(text.trim_end_matches('0').len());
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
        let (day, year) = (self.expiry.day(), self.expiry.year() % 100);
        let (month, strike) = (self.month(), self.strike_text());
        let side = if self.call { 'C' } else { 'P' };
        write!(f, "{} {day} {month} {year:02} {strike} {side}", self.root)
    }
}
