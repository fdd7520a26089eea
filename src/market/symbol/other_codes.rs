//! Codes of other vendors, and names that people write in place of a symbol. This module never
//! decides the meaning of a valid symbol; it only names what may be meant.

use super::{AssetClass, Symbol, known_index};

/// Names for indices and shares, and the symbols that each name can mean. The vendor has no symbol
/// with such a name.
const OTHER_NAMES: [(&str, &[&str]); 28] = [
    ("GSPC", &["SPX"]),
    ("INX", &["SPX"]),
    ("SP500", &["SPX"]),
    ("US500", &["SPX"]),
    ("SPX500", &["SPX"]),
    ("DJIA", &["DJI"]),
    ("INDU", &["DJI"]),
    ("US30", &["DJI"]),
    ("DJ30", &["DJI"]),
    ("DOWJONES", &["DJI"]),
    ("IXIC", &["COMP"]),
    ("COMPX", &["COMP"]),
    ("CCMP", &["COMP"]),
    ("NASDAQ", &["COMP", "NDX"]),
    ("NASDAQ100", &["NDX"]),
    ("NAS100", &["NDX"]),
    ("NDX100", &["NDX"]),
    ("US100", &["NDX"]),
    ("RUSSELL2000", &["RUT"]),
    ("US2000", &["RUT"]),
    ("APPLE", &["AAPL"]),
    ("AMAZON", &["AMZN"]),
    ("GOOGLE", &["GOOGL", "GOOG"]),
    ("INTEL", &["INTC"]),
    ("MICROSOFT", &["MSFT"]),
    ("NETFLIX", &["NFLX"]),
    ("NVIDIA", &["NVDA"]),
    ("TESLA", &["TSLA"]),
];

/// Names of shares that people may write for an index or for something else.
const MISTAKABLE_SHARES: [&str; 24] = [
    "DAX", "DOW", "FTSE", "UKX", "CAC", "NIKKEI", "HSI", "SMI", "STOXX", "IBEX", "AEX", "TNX",
    "TYX", "FVX", "IRX", "NYA", "TICK", "TRIN", "DXY", "BTC", "ETH", "GOLD", "OIL", "VX",
];

/// The codes of currencies, metals and coins in the names of pairs.
const CURRENCIES: [&str; 18] = [
    "USD", "EUR", "GBP", "JPY", "CHF", "CAD", "AUD", "NZD", "CNH", "HKD", "SEK", "NOK", "XAU",
    "XAG", "BTC", "ETH", "SOL", "XRP",
];

/// The suffixes of other vendors for exchanges of the USA.
const SUFFIXES: [&str; 6] = ["US", "O", "OQ", "N", "K", "P"];

/// The suffixes of shares with more than one letter: warrants, classes, and special trading.
const LONG_CLASSES: [&str; 5] = ["WS", "CL", "WI", "WD", "RT"];

/// The prefixes of other vendors for exchanges and publishers of indices of the USA.
const EXCHANGES: [&str; 13] = [
    "NASDAQ",
    "NYSE",
    "AMEX",
    "NYSEARCA",
    "ARCA",
    "BATS",
    "CBOE",
    "SP",
    "DJ",
    "TVC",
    "INDEXSP",
    "INDEXDJX",
    "INDEXNASDAQ",
];

/// Returns the symbols that a name can mean, independent of the case of the text.
pub(super) fn other_name(text: &str) -> Option<&'static [&'static str]> {
    let mut names = OTHER_NAMES.into_iter();
    let found = names.find(|(name, _)| name.eq_ignore_ascii_case(text));
    found.map(|(_, codes)| codes)
}

/// Returns the symbol that a text of another vendor means, if there is only one: `S&P 500`,
/// `VIX Index`, `AAPL US Equity`, `BRK B`, `NASDAQ:AAPL`.
pub(super) fn meant(text: &str) -> Option<String> {
    let marks = ['"', '\'', '(', ')', ' '];
    let mut upper = text.trim_matches(marks).to_ascii_uppercase();
    if let Some((prefix, rest)) = upper.split_once(':')
        && EXCHANGES.contains(&prefix)
    {
        upper = rest.trim_start_matches(['.', ' ']).to_owned();
    }
    let only = |name: &str| match other_name(name) {
        Some([code]) => Some((*code).to_owned()),
        _ => None,
    };
    let plain: String = upper.chars().filter(char::is_ascii_alphanumeric).collect();
    if let Some(code) = only(&plain) {
        return Some(code);
    }
    let code = upper.trim_start_matches('^');
    let letters = |name: &str| name.bytes().all(|byte| byte.is_ascii_alphabetic());
    let candidate = match upper.split_whitespace().collect::<Vec<_>>()[..] {
        [name, "INDEX"] => match known_index(name) {
            Some(code) => code.to_owned(),
            None if letters(name) => format!("I:{name}"),
            // Most likely a futures contract, such as "ES1 Index".
            None => return None,
        },
        [name, "US" | "UN" | "UW" | "UQ"]
        | [name, "US" | "UN" | "UW" | "UQ", "EQUITY"]
        | [name, "EQUITY"] => name.to_owned(),
        [name, class @ ("A" | "B")] if known_index(name).is_none() => format!("{name}.{class}"),
        _ if code != upper => format!("I:{code}"),
        _ => upper,
    };
    // The parser calls this function after an error in `text`, so only a different text is parsed.
    (candidate != text && candidate.parse::<Symbol>().is_ok()).then_some(candidate)
}

/// Returns the kind of an instrument that the display cannot show, if the text is the code of one.
pub(super) fn foreign_kind(text: &str) -> Option<&'static str> {
    const PAIR: &str = "a pair of currencies";
    const FUTURE: &str = "a futures contract";
    let text = text.strip_suffix("=X").unwrap_or(text);
    let text = text.split_once(':').map_or(text, |(_, rest)| rest);
    let plain = text.replace(['-', '/'], "");
    let mut currencies = CURRENCIES.into_iter();
    if let Some(first) = currencies.find(|first| plain.starts_with(first))
        && CURRENCIES.contains(&&plain[first.len()..])
    {
        return Some(PAIR);
    }
    let letters = text.trim_end_matches(|c: char| c.is_ascii_digit());
    let dated = (1..=2).contains(&(text.len() - letters.len()))
        && (2..=4).contains(&letters.len())
        && letters.ends_with(|month| "FGHJKMNQUVXZ".contains(month));
    (dated || text.ends_with("=F") || text.ends_with("1!") || text.ends_with("2!"))
        .then_some(FUTURE)
}

impl Symbol {
    /// Returns the reason why a valid symbol without a prefix, such as `stock:`, was probably not
    /// meant in this way.
    pub fn doubt(&self) -> Option<String> {
        let name = self.name();
        match self.class {
            AssetClass::Index => {
                let codes = other_name(name)?.join("\" or \"");
                return Some(format!(
                    "the vendor has another code for {self}: write \"{codes}\""
                ));
            }
            AssetClass::Option => {
                let contract = self.contract()?;
                let date = contract.expiry;
                let day = contract.day_of_trading()?;
                return (day != date).then(|| {
                    let day = day.strftime("%y%m%d").to_string();
                    let (head, tail) = self.ticker.split_at(self.ticker.len() - 15);
                    let weekday = date.strftime("%A");
                    format!(
                        "{self} expires on {date}, a {weekday} without trading; perhaps you mean \
                         \"{head}{day}{}\"",
                        &tail[6..]
                    )
                });
            }
            AssetClass::Equity => {}
        }
        let root = name
            .bytes()
            .take_while(|byte| byte.is_ascii_uppercase() || byte.is_ascii_digit());
        let root = &name[..root.count()];
        let (plain, suffix) = name.rsplit_once('.').unwrap_or((name, ""));
        let suffix = suffix.trim_end_matches('w');
        let series = name.strip_suffix(['W', 'P']).and_then(known_index);
        let reason = if MISTAKABLE_SHARES.contains(&name) {
            format!("write I:{name} for the index, if the vendor has it")
        } else if let Some(kind) = foreign_kind(name) {
            format!("the display cannot show {kind}")
        } else if SUFFIXES.contains(&suffix) {
            format!("perhaps you mean \"{plain}\"")
        } else if matches!(suffix, "L" | "F" | "T")
            || suffix.len() > 1 && !LONG_CLASSES.contains(&suffix)
        {
            format!("no share in the USA has the suffix .{suffix}")
        } else if let Some(index) = series {
            format!("perhaps you mean \"{index}\"")
        } else if root.len() > 5 || root.contains(|c: char| c.is_ascii_digit()) {
            "a share in the USA has one to five letters".to_owned()
        } else {
            return None;
        };
        Some(format!(
            "{name} is taken as the share of this name; {reason}; write stock:{name} for the share"
        ))
    }
}
