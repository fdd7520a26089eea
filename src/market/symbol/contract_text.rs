//! Option contracts as brokers and exchanges write them. Returns the ticker only if the text has
//! one meaning.

use super::Contract;

const MONTHS: [&str; 12] = [
    "JAN", "FEB", "MAR", "APR", "MAY", "JUN", "JUL", "AUG", "SEP", "OCT", "NOV", "DEC",
];

/// Returns the ticker of an option contract without `O:`, such as `SPY251219C00650000`. The text
/// can have one of these forms:
///
/// - `SPY251219C00650000`, `SPY   251219C00650000`: the form of the OCC, also with 21 characters.
/// - `.SPY251219C650`, `-SPY251219C650`: the strike in dollars (thinkorswim, Fidelity).
/// - `SPY_121925C650`: the month first (TD Ameritrade).
/// - `SPY 19DEC25 650 C`, `SPY Dec 19 '25 650 Call`: the month as a word (Interactive Brokers).
/// - `SPY 2025-12-19 650 C`: the date of ISO 8601.
/// - `SPY 12/19/2025 C650`: the date of the USA, if the day is above 12.
pub(super) fn contract_ticker(text: &str) -> Option<String> {
    let text = text.to_ascii_uppercase();
    let packed: String = text.split_whitespace().collect();
    if Contract::parse(&packed).is_ok() {
        return Some(packed);
    }
    let tokens = tokens(text.trim_start_matches(['.', '-']))?;
    let (root, rest) = tokens.split_first()?;
    let (date, rest) = date(rest, &text)?;
    let (side, strike) = match rest {
        [first, second] => match (side(first), side(second)) {
            (Some(side), None) => (side, second),
            (None, Some(side)) => (side, first),
            _ => return None,
        },
        _ => return None,
    };
    let strike = match strike.len() {
        // Eight digits are always the strike times 1000.
        8 if !strike.contains('.') => strike.parse().ok()?,
        _ => thousandths(strike)?,
    };
    let ticker = format!("{root}{date:06}{side}{strike:08}");
    Contract::parse(&ticker).is_ok().then_some(ticker)
}

/// Splits a text into words and numbers. Returns `None` for an unexpected character.
fn tokens(text: &str) -> Option<Vec<&str>> {
    let mut tokens = Vec::new();
    let mut rest = text;
    while let Some(first) = rest.chars().next() {
        let length = if first.is_ascii_alphabetic() {
            rest.find(|c: char| !c.is_ascii_alphabetic())
        } else if first.is_ascii_digit() {
            rest.find(|c: char| !c.is_ascii_digit() && c != '.')
        } else if " '$_/-".contains(first) {
            rest = &rest[1..];
            continue;
        } else {
            return None;
        };
        let (token, behind) = rest.split_at(length.unwrap_or(rest.len()));
        tokens.push(token);
        rest = behind;
    }
    Some(tokens)
}

/// Reads the date at the start of the tokens, as the number YYMMDD. Returns the other tokens too.
fn date<'a>(tokens: &'a [&'a str], text: &str) -> Option<(u32, &'a [&'a str])> {
    let number = |token: &str| token.parse::<u32>().ok();
    if let [packed, rest @ ..] = tokens
        && packed.len() == 6
        && let Some(date) = number(packed)
    {
        return match text.contains('_') {
            true => Some((date % 100 * 10_000 + date / 100, rest)),
            false => Some((date, rest)),
        };
    }
    let [first, second, third, rest @ ..] = tokens else {
        return None;
    };
    let month = |token: &str| {
        let place = MONTHS.iter().position(|name| *name == token)?;
        u32::try_from(place + 1).ok()
    };
    let (year, month, day) = if let Some(month) = month(second) {
        (*third, month, number(first)?)
    } else if let Some(month) = month(first) {
        (*third, month, number(second)?)
    } else if first.len() == 4 {
        (*first, number(second)?, number(third)?)
    } else if number(second)? > 12 {
        (*third, number(first)?, number(second)?)
    } else {
        return None;
    };
    let year = match year.len() {
        2 => number(year)?,
        4 => number(year)?.checked_sub(2000).filter(|year| *year < 100)?,
        _ => return None,
    };
    (month <= 12 && day <= 31).then_some((year * 10_000 + month * 100 + day, rest))
}

fn side(token: &str) -> Option<char> {
    match token {
        "C" | "CALL" => Some('C'),
        "P" | "PUT" => Some('P'),
        _ => None,
    }
}

/// Reads a strike in dollars with at most three decimal digits.
fn thousandths(strike: &str) -> Option<u32> {
    let (whole, part) = strike.split_once('.').unwrap_or((strike, ""));
    let part = format!("{part:0<3}");
    let digits = part.len() == 3 && part.bytes().all(|byte| byte.is_ascii_digit());
    let part: u32 = part.parse().ok().filter(|_| digits)?;
    let whole: u32 = whole.parse().ok().filter(|whole| *whole < 100_000)?;
    Some(whole * 1000 + part)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_contract_can_have_the_form_of_each_broker() {
        for text in [
            "SPY251219C00650000",
            "SPY   251219C00650000",
            ".SPY251219C650",
            "-SPY251219C650",
            "SPY_121925C650",
            "SPY 19DEC25 650 C",
            "SPY 19 Dec 25 650 C",
            "SPY Dec 19 '25 $650 Call",
            "SPY Dec 19 2025 650.00 Call",
            "SPY 2025-12-19 650 C",
            "SPY 12/19/2025 C650",
            "spy 12/19/25 650c",
        ] {
            let ticker = contract_ticker(text);
            assert_eq!(ticker.as_deref(), Some("SPY251219C00650000"), "{text}");
        }
        let ticker = contract_ticker(".SPXW261231P6252.5");
        assert_eq!(ticker.as_deref(), Some("SPXW261231P06252500"));
        let adjusted = contract_ticker("BRKB1 251219P00000500");
        assert_eq!(adjusted.as_deref(), Some("BRKB1251219P00000500"));
    }

    #[test]
    fn a_text_with_two_meanings_is_no_contract() {
        for text in [
            "SPY",
            "SPX VIX",
            "",
            "SPY 12/11/2025 C650",
            "SPY 251319C650",
            "SPY 19 Dec 650 C",
            "SPY 251219C",
            "SPY 251219 650 650",
            "SPY 251219C650.12345",
            "SPY 251219C0",
            "TOOLONG 251219C650",
            "é 251219C650",
        ] {
            assert_eq!(contract_ticker(text), None, "{text}");
        }
    }
}
