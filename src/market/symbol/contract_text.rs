//! Option contracts as brokers and exchanges write them. A date can have two meanings.

use super::Contract;

const MONTHS: [&str; 12] = [
    "JAN", "FEB", "MAR", "APR", "MAY", "JUN", "JUL", "AUG", "SEP", "OCT", "NOV", "DEC",
];

/// Returns the tickers that an option contract can have, without `O:`, such as
/// `SPY251219C00650000`. The list is empty if the text is no contract, and has two tickers if the
/// date has two meanings. The text can have one of these forms:
///
/// - `SPY251219C00650000`, `SPY   251219C00650000`: the form of the OCC, with or without spaces.
/// - `.SPY251219C650`, `-SPY251219C650`: the strike in dollars (thinkorswim, Fidelity).
/// - `SPY_121925C650`: the month first (TD Ameritrade).
/// - `SPY 19DEC25 650 C`, `SPY Dec 19 '25 650 Call`: the month as a word (Interactive Brokers).
/// - `SPY 2025-12-19 650 C`: the date of ISO 8601.
/// - `SPY 12/19/2025 C650`, `SPY 19/12/2025 650 C`: the date with numbers.
pub(super) fn contract_tickers(text: &str) -> Vec<String> {
    let text = text.to_ascii_uppercase();
    let packed: String = text.split_whitespace().collect();
    if Contract::parse(&packed).is_ok() {
        return vec![packed];
    }
    tickers(&text).unwrap_or_default()
}

fn tickers(text: &str) -> Option<Vec<String>> {
    let tokens = tokens(text.trim_start_matches(['.', '-']))?;
    let (root, rest) = tokens.split_first()?;
    let (dates, rest) = dates(rest, text)?;
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
        // No strike has this number of dollars, so the number is the strike times 1000 without its
        // leading zeros.
        6 | 7 if !strike.contains('.') => strike.parse().ok()?,
        _ => thousandths(strike)?,
    };
    let tickers = dates.into_iter();
    let tickers = tickers.map(|date| format!("{root}{date:06}{side}{strike:08}"));
    let mut tickers: Vec<String> = tickers.collect();
    tickers.dedup();
    tickers.retain(|ticker| Contract::parse(ticker).is_ok());
    Some(tickers)
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

/// Reads the date at the start of the tokens, as the number YYMMDD. Returns each meaning of the date,
/// and the other tokens.
fn dates<'a>(tokens: &'a [&'a str], text: &str) -> Option<(Vec<u32>, &'a [&'a str])> {
    let number = |token: &str| token.parse::<u32>().ok();
    if let [packed, rest @ ..] = tokens
        && packed.len() == 6
        && let Some(date) = number(packed)
    {
        return match text.contains('_') {
            true => Some((vec![date % 100 * 10_000 + date / 100], rest)),
            false => Some((vec![date], rest)),
        };
    }
    let [first, second, third, rest @ ..] = tokens else {
        return None;
    };
    let month = |token: &str| {
        let place = MONTHS.iter().position(|name| *name == token)?;
        u32::try_from(place + 1).ok()
    };
    // The year, the month and the day of each meaning.
    let meanings = if let Some(month) = month(second) {
        vec![(*third, month, number(first)?)]
    } else if let Some(month) = month(first) {
        vec![(*third, month, number(second)?)]
    } else if first.len() == 4 {
        vec![(*first, number(second)?, number(third)?)]
    } else {
        let (one, two) = (number(first)?, number(second)?);
        let mut meanings = vec![(*third, one, two), (*third, two, one)];
        if one > 12 && third.len() == 2 {
            meanings.push((*first, two, number(third)?));
        }
        meanings
    };
    let dates = meanings.into_iter().filter_map(|(year, month, day)| {
        let year = match year.len() {
            2 => number(year)?,
            4 => number(year)?.checked_sub(2000).filter(|year| *year < 100)?,
            _ => return None,
        };
        (month <= 12 && day <= 31).then(|| year * 10_000 + month * 100 + day)
    });
    Some((dates.collect(), rest))
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
            "SPY 19/12/2025 650 C",
            "SPY251219C650000",
            "SPY251219C0650000",
        ] {
            assert_eq!(contract_tickers(text), ["SPY251219C00650000"], "{text}");
        }
        let ticker = contract_tickers(".SPXW261231P6252.5");
        assert_eq!(ticker, ["SPXW261231P06252500"]);
        let adjusted = contract_tickers("BRKB1 251219P00000500");
        assert_eq!(adjusted, ["BRKB1251219P00000500"]);
    }

    #[test]
    fn a_date_with_two_meanings_has_both_contracts() {
        for (text, both) in [
            (
                "SPY 12/11/2025 C650",
                ["SPY251211C00650000", "SPY251112C00650000"],
            ),
            (
                "SPY 03/04/27 650 C",
                ["SPY270304C00650000", "SPY270403C00650000"],
            ),
            (
                "SPY 26/12/18 650 C",
                ["SPY181226C00650000", "SPY261218C00650000"],
            ),
        ] {
            assert_eq!(contract_tickers(text), both, "{text}");
        }
        assert_eq!(contract_tickers("SPY 3/3/27 650 C"), ["SPY270303C00650000"]);
    }

    #[test]
    fn a_text_without_a_date_side_or_strike_is_no_contract() {
        for text in [
            "SPY",
            "SPX VIX",
            "",
            "SPY 251319C650",
            "SPY 19 Dec 650 C",
            "SPY 251219C",
            "SPY 4294967295 1 26 650 C",
            "SPY 1 4294967295 26 650 C",
            "SPY 251219 650 650",
            "SPY 251219C650.12345",
            "SPY 251219C0",
            "TOOLONG 251219C650",
            "é 251219C650",
        ] {
            assert!(contract_tickers(text).is_empty(), "{text}");
        }
    }
}
