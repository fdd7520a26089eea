//! Parsing of symbols as people and the vendor write them. Lower-case letters have a meaning in the
//! ticker of a share, so the parser changes the case only if the text has no other valid meaning.

use core::fmt;
use core::str::FromStr;
use std::borrow::Cow;

use super::contract_text::contract_tickers;
use super::other_codes::{foreign_kind, meant, other_name};
use super::{AssetClass, Contract, Symbol, Ticker, known_index};

/// The maximum length of a share's ticker.
const MAX_SHARE_NAME: usize = 10;
/// The maximum length of an index code.
const MAX_INDEX_CODE: usize = 12;

/// The suffixes for exchanges outside the USA that no class of a share has.
const FOREIGN_EXCHANGES: [&str; 40] = [
    "DE", "PA", "MI", "AS", "BR", "MC", "SW", "VX", "ST", "HE", "CO", "OL", "VI", "LS", "TO", "HK",
    "SS", "SZ", "AX", "NZ", "SA", "MX", "KS", "KQ", "TW", "NS", "BO", "SI", "BE", "DU", "HM", "MU",
    "SG", "IR", "IS", "TA", "JK", "BK", "SR", "IL",
];

/// The reason why a text is not a symbol. The message also explains how to correct the text.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct SymbolError {
    text: String,
    reason: Cow<'static, str>,
}

impl fmt::Display for SymbolError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?} is not a symbol: {}", self.text, self.reason)
    }
}

impl std::error::Error for SymbolError {}

impl SymbolError {
    /// Returns the symbol that the user most likely means, if there is only one.
    pub fn meant(&self) -> Option<String> {
        meant(&self.text)
    }
}

/// The asset class and the vendor's ticker, or the reason why the text is not a symbol.
type Classified<'a> = Result<(AssetClass, Cow<'a, str>), Cow<'static, str>>;

/// Parses a symbol as people write it.
///
/// - `SPX`, `vix`: the well-known indices. Any other index is written as `I:` and its code, and its
///   case is kept. `I:spx` is `I:SPX`. An unknown code with only lower-case letters is rejected,
///   because no such index is known.
/// - `SPY`, `BRK.B`, `AMpB`: a share; its case is kept. A text without upper-case letters is
///   converted to upper case, because no ticker of a share has only lower-case letters.
/// - `stock:COMP`: the share, if an index has the same name.
/// - `O:SPY251219C00650000`: an option contract, in upper or lower case, or in the form of a
///   broker.
/// - `^GSPC`, `$SPX.X`, `.DJI`: a well-known index as other vendors write it.
/// - `BRK-B`, `BRK/B`: the share `BRK.B`.
impl FromStr for Symbol {
    type Err = SymbolError;

    fn from_str(text: &str) -> Result<Self, SymbolError> {
        let fail = |reason| SymbolError {
            text: text.chars().take(40).collect(),
            reason,
        };
        let (class, ticker) = classify(text.trim()).map_err(fail)?;
        // `classify` limits the length of each part; the capacity of `Ticker` limits the whole
        // text.
        let ticker = Ticker::try_from(&*ticker).map_err(|_| fail("the text is too long".into()))?;
        Ok(Symbol { class, ticker })
    }
}

impl Symbol {
    /// Returns the instrument for a ticker of the vendor: `I:SPX`, `COMP` (the share), `O:SPY…`.
    /// `None` if the text is not a vendor ticker, for example `spy` or `I:spx`.
    pub fn from_ticker(ticker: &str) -> Option<Self> {
        let is_share = !ticker.contains(':');
        let read = if is_share {
            share(ticker)
        } else {
            classify(ticker)
        };
        let (class, read) = read.ok()?;
        let ticker = Ticker::try_from(ticker).ok()?;
        (*ticker == read).then_some(Symbol { class, ticker })
    }
}

fn classify(text: &str) -> Classified<'_> {
    if text.is_empty() {
        return Err("the text is empty; write for example \"SPX\"".into());
    }
    if let Some((prefix, rest)) = text.split_once(':') {
        return match prefix {
            "I" | "i" => index(rest),
            "O" | "o" => {
                let contract = rest.to_ascii_uppercase();
                match Contract::parse(&contract) {
                    Ok(_) => Ok((AssetClass::Option, format!("O:{contract}").into())),
                    Err(reason) => option(rest).unwrap_or(Err(reason.into())),
                }
            }
            _ if prefix.eq_ignore_ascii_case("stock") => share(rest),
            _ => Err(unknown(text).unwrap_or(
                "the only prefixes are \"I:\" for indices, \"O:\" for options and \"stock:\" for \
                 shares"
                    .into(),
            )),
        };
    }
    if let Some(code) = known_index(text) {
        // A text with upper- and lower-case letters, such as "SpX", can also be a share.
        return if text.contains(char::is_lowercase)
            && text.contains(char::is_uppercase)
            && is_share(text)
        {
            Err(format!("write \"{code}\" for the index, \"stock:{text}\" for the share").into())
        } else {
            Ok((AssetClass::Index, format!("I:{code}").into()))
        };
    }
    if let Some(codes) = other_name(text) {
        let name = text.to_ascii_uppercase();
        let codes = codes.join("\" or \"");
        return Err(format!(
            "you mean \"{codes}\"; write \"stock:{name}\" for a share with the symbol {name}"
        )
        .into());
    }
    if let Some(index) = marked_index(text) {
        return index;
    }
    if let Some(option) = option(text) {
        return option;
    }
    if text.len() > MAX_SHARE_NAME && text.bytes().filter(u8::is_ascii_digit).count() >= 5 {
        return Err(Contract::FORM.into());
    }
    share(text)
}

/// Parses an option contract as people write it. Returns `None` if the text is no contract.
fn option(text: &str) -> Option<Classified<'_>> {
    match &contract_tickers(text)[..] {
        [] => None,
        [contract] => Some(Ok((AssetClass::Option, format!("O:{contract}").into()))),
        contracts => {
            let contracts = contracts.join("\" or \"O:");
            Some(Err(format!(
                "the date has two meanings; write \"O:{contracts}\""
            )
            .into()))
        }
    }
}

/// Returns the reason why a text is no symbol, if its meaning is known.
fn unknown(text: &str) -> Option<Cow<'static, str>> {
    match (meant(text), foreign_kind(&text.to_ascii_uppercase())) {
        (Some(meant), _) => Some(format!("you mean \"{meant}\"").into()),
        (None, Some(kind)) => Some(format!("the display cannot show {kind}").into()),
        (None, None) => None,
    }
}

/// Parses an index with the mark of another vendor: `^SPX`, `$SPX`, `.SPX`, `SPX.X`, `$SPX.X`.
/// Returns `None` for a text without such a mark.
fn marked_index(text: &str) -> Option<Classified<'_>> {
    let unmarked = text.trim_start_matches(['^', '$', '.']);
    let name = unmarked.strip_suffix(".X").or(unmarked.strip_suffix(".x"));
    let name = name.unwrap_or(unmarked);
    if name == text {
        return None;
    }
    let code = match other_name(name) {
        Some([code]) => known_index(code),
        _ => known_index(name),
    };
    match code {
        Some(code) => Some(Ok((AssetClass::Index, format!("I:{code}").into()))),
        None if text.starts_with(['^', '$']) && !name.is_empty() && index(name).is_ok() => {
            let name = name.to_ascii_uppercase();
            let reason = match text.starts_with('$') {
                true => format!("write \"I:{name}\" for the index, \"{name}\" for the share"),
                false => format!("write the index as \"I:\" and its code, like \"I:{name}\""),
            };
            Some(Err(reason.into()))
        }
        None => None,
    }
}

/// Parses the text after `I:`.
fn index(code: &str) -> Classified<'_> {
    let plain = (1..=MAX_INDEX_CODE).contains(&code.len())
        && code.bytes().all(|b| b.is_ascii_alphanumeric());
    if !plain {
        return Err(
            "expected the code of an index after \"I:\", 1 to 12 letters and digits, like \"I:SPX\""
                .into(),
        );
    }
    if known_index(code).is_none()
        && code.contains(char::is_lowercase)
        && !code.contains(char::is_uppercase)
    {
        let code = code.to_ascii_uppercase();
        return Err(
            format!("the code of an index has only capital letters; write \"I:{code}\"").into(),
        );
    }
    let ticker = format!("I:{}", known_index(code).unwrap_or(code));
    Ok((AssetClass::Index, ticker.into()))
}

/// Parses the ticker of a share.
fn share(text: &str) -> Classified<'_> {
    if let Some((name, exchange)) = text.rsplit_once('.')
        && FOREIGN_EXCHANGES.contains(&&*exchange.to_ascii_uppercase())
    {
        return Err(format!(
            "\".{exchange}\" is an exchange outside the USA, and the vendor has only exchanges of the \
             USA; a listing there may have another name than \"{name}\""
        )
        .into());
    }
    if is_share(text) {
        return Ok((AssetClass::Equity, text.into()));
    }
    let upper = text.to_ascii_uppercase();
    if let Some(ticker) = with_other_separator(&upper) {
        return Ok((AssetClass::Equity, ticker.into()));
    }
    if !is_share(&upper) {
        return Err(unknown(text).unwrap_or(
            "write an index (\"SPX\", \"I:SPX\"), a share (\"SPY\", \"BRK.B\", \"AMpB\") or an \
             option (\"O:\", then the symbol, YYMMDD, C or P, and eight digits)"
                .into(),
        ));
    }
    if text.contains(char::is_uppercase) {
        return Err(format!(
            "a small letter has a meaning in the symbol of a share: \"AMpB\" is a preferred share, \
             \"GEVw\" is a when-issued share; write \"{upper}\" for the ordinary share"
        )
        .into());
    }
    Ok((AssetClass::Equity, upper.into()))
}

/// Returns the ticker of a share with another separator before its class: `BRK-B`, `BRK/B`,
/// `BAC-PL`.
fn with_other_separator(upper: &str) -> Option<String> {
    let (root, class) = upper.split_once(['-', '/'])?;
    let class = match class.as_bytes() {
        [letter] if letter.is_ascii_uppercase() => format!(".{class}"),
        [b'P', series] | [b'P', b'R', series] => format!("p{}", char::from(*series)),
        b"WS" | b"WT" => ".WS".to_owned(),
        b"UN" => ".U".to_owned(),
        _ => return None,
    };
    Some(format!("{root}{class}")).filter(|ticker| is_share(ticker))
}

/// Returns true if the text is the ticker of a share in the notation of the consolidated tape: a
/// root in upper case; then `p` and an optional series for a preferred share, or `r` for a right;
/// then classes, warrants and units after a dot; then `w` for a share that is traded when issued.
fn is_share(text: &str) -> bool {
    let plain = |byte: &u8| byte.is_ascii_uppercase() || byte.is_ascii_digit();
    let bytes = text.as_bytes();
    let bytes = bytes.strip_suffix(b"w").unwrap_or(bytes);
    let root = bytes.iter().take_while(|byte| plain(byte)).count();
    let (root, rest) = bytes.split_at(root);
    let rest = match rest {
        [b'p', series, rest @ ..] if series.is_ascii_uppercase() => rest,
        [b'p' | b'r', rest @ ..] => rest,
        rest => rest,
    };
    let parts = match rest {
        [] => true,
        [b'.', parts @ ..] => parts
            .split(|byte| *byte == b'.')
            .all(|part| !part.is_empty() && part.iter().all(plain)),
        _ => false,
    };
    text.len() <= MAX_SHARE_NAME && root.first().is_some_and(u8::is_ascii_uppercase) && parts
}

#[cfg(test)]
mod tests {
    use super::*;

    fn symbol(text: &str) -> Symbol {
        text.parse().unwrap()
    }

    fn ticker(text: &str) -> String {
        symbol(text).ticker().to_owned()
    }

    #[track_caller]
    fn refused(text: &str, words: &[&str]) {
        let error = text.parse::<Symbol>().unwrap_err().to_string();
        for word in words {
            assert!(error.contains(word), "{error}");
        }
    }

    #[test]
    fn users_can_write_symbols_in_every_usual_form() {
        assert_eq!(ticker("SPX"), "I:SPX");
        assert_eq!(ticker(" vix "), "I:VIX");
        assert_eq!(ticker("Vix"), "I:VIX");
        assert_eq!(ticker("I:VIX9D"), "I:VIX9D");
        assert_eq!(ticker("spy"), "SPY");
        assert_eq!(ticker("BRK.B"), "BRK.B");
        assert_eq!(ticker("brk.b"), "BRK.B");
        assert_eq!(ticker("o:spy251219c00650000"), "O:SPY251219C00650000");
        assert_eq!(ticker("O:BRKB1251219P00000500"), "O:BRKB1251219P00000500");
    }

    #[test]
    fn a_symbol_as_other_vendors_write_it_is_taken_if_it_has_one_meaning() {
        for text in [
            "^GSPC", "^SPX", "$SPX", ".SPX", "SPX.X", "$SPX.X", ".INX", "^spx",
        ] {
            assert_eq!(ticker(text), "I:SPX", "{text}");
        }
        assert_eq!(ticker("^IXIC"), "I:COMP");
        assert_eq!(ticker("$COMPX"), "I:COMP");
        assert_eq!(ticker(".DJI"), "I:DJI");
        for text in ["BRK-B", "BRK/B", "brk-b"] {
            assert_eq!(ticker(text), "BRK.B", "{text}");
        }
        assert_eq!(ticker("BAC-PL"), "BACpL");
        assert_eq!(ticker("ACHR-WT"), "ACHR.WS");
        for text in [
            "SPY251219C00650000",
            "SPY 19DEC25 650 C",
            "O:.SPY251219C650",
        ] {
            assert_eq!(ticker(text), "O:SPY251219C00650000", "{text}");
        }
        assert_eq!(symbol("stock:GSPC").to_string(), "stock:GSPC");
    }

    #[test]
    fn the_small_letters_of_a_share_are_part_of_its_name() {
        for text in [
            "AMpB", "BACpL", "GEVw", "Fr", "ABRp", "BACpLw", "ABCrw", "BRK.Aw", "ACHR.WS", "AAC.U",
            "ABCp.CL", "ZVZZT", "SPXw",
        ] {
            let symbol = symbol(text);
            assert_eq!(
                (symbol.class(), symbol.ticker()),
                (AssetClass::Equity, text)
            );
            assert_eq!(symbol.to_string(), text);
        }
        let ordinary = "write \"NVDA\" for the ordinary share";
        for text in ["Nvda", "NVDa", "nvdA"] {
            refused(text, &["a small letter has a meaning", ordinary]);
        }
        refused("BRK.b", &["write \"BRK.B\""]);
        refused("AMpb", &["write \"AMPB\"", "\"AMpB\" is a preferred share"]);
        for text in ["BRK.", "BRK..B", ".B", "1AB", "ABCDEFGHIJK"] {
            refused(text, &["write an index"]);
        }
        assert_eq!((ticker("p"), ticker("w")), ("P".into(), "W".into()));
    }

    #[test]
    fn a_share_and_an_index_with_the_same_name_are_different_symbols() {
        let (index, share) = (symbol("COMP"), symbol("stock:COMP"));
        assert_eq!(
            (index.class(), index.ticker()),
            (AssetClass::Index, "I:COMP")
        );
        assert_eq!(
            (share.class(), share.ticker()),
            (AssetClass::Equity, "COMP")
        );
        assert_eq!((index.name(), share.name()), ("COMP", "COMP"));
        assert_eq!(index.to_string(), "COMP");
        assert_eq!(share.to_string(), "stock:COMP");
        assert_eq!(symbol("Stock:comp"), share);
        assert_eq!(symbol("stock:SPY"), symbol("SPY"));
        assert_eq!(symbol("stock:AMpB").to_string(), "AMpB");
        // `SpX` is the preferred share of S, series X.
        refused(
            "SpX",
            &["\"SPX\" for the index", "\"stock:SpX\" for the share"],
        );
        assert_eq!(symbol("stock:SpX").to_string(), "stock:SpX");
        refused("stock:I:SPX", &["write an index"]);
        refused("stock:Comp", &["write \"COMP\""]);
        refused("stock:", &["write an index"]);
    }

    #[test]
    fn the_case_of_an_index_code_is_corrected_only_for_known_indices() {
        assert_eq!(ticker("I:spx"), "I:SPX");
        assert_eq!(ticker("i:Vix9d"), "I:VIX9D");
        assert_eq!(ticker("I:TICK"), "I:TICK");
        assert_eq!(ticker("I:AbC"), "I:AbC");
        assert_eq!(symbol("I:TICK").to_string(), "I:TICK");
        refused("I:tick", &["only capital letters", "write \"I:TICK\""]);
    }

    #[test]
    fn a_vendor_ticker_is_case_sensitive_and_a_plain_name_is_a_share() {
        let class = |ticker| Symbol::from_ticker(ticker).map(|symbol| symbol.class());
        assert_eq!(class("COMP"), Some(AssetClass::Equity));
        assert_eq!(class("I:COMP"), Some(AssetClass::Index));
        assert_eq!(class("AMpB"), Some(AssetClass::Equity));
        assert_eq!(class("O:SPY251219C00650000"), Some(AssetClass::Option));
        for none in [
            "spy",
            "I:spx",
            "i:SPX",
            "o:SPY251219C00650000",
            "stock:COMP",
            " SPY",
            "",
            "*",
            "O:spy251219C00650000",
            "O:SPY",
        ] {
            assert_eq!(class(none), None, "{none}");
        }
    }

    #[test]
    fn the_error_of_an_invalid_symbol_names_the_mistake() {
        refused("", &["empty"]);
        refused("X:ABC", &["prefixes", "stock:"]);
        refused("X:BTCUSD", &["a pair of currencies"]);
        refused("I:", &["code of an index"]);
        refused("SPY251319C00650000", &["YYMMDD, C or P"]);
        refused("^FTSE", &["like \"I:FTSE\""]);
        refused("^NASDAQ", &["like \"I:NASDAQ\""]);
        refused("SAP.DE", &["outside the USA", "\"SAP\""]);
        for (text, code) in [("GSPC", "SPX"), ("djia", "DJI"), ("IXIC", "COMP")] {
            let mean = format!("you mean \"{code}\"");
            let share = format!("\"stock:{}\" for a share", text.to_ascii_uppercase());
            refused(text, &[&mean, &share]);
        }
        refused("NASDAQ", &["\"COMP\" or \"NDX\""]);
        refused("O:SPY251219C006500000", &["nine digits"]);
        refused("O:SPY251319C00650000", &["not a date"]);
        refused("O:SPY251219X00650000", &["C or P"]);
        refused("O:SPY251219C00000000", &["zero"]);
        refused("O:TOOLONG251219C00650000", &["1 to 6"]);
        refused("hello world", &["write an index"]);
        refused("Ünïcode", &["write an index"]);
    }

    proptest::proptest! {
        #[test]
        fn a_parsed_symbol_parses_again_to_the_same_symbol(
            text in "\\PC{0,40}|[A-Z:. ]{1,12}( US| B| INDEX| EQUITY|=X)|(i:|I:|o:|O:|stock:|)([A-Za-z0-9.^$/-]{1,12}|GSPC|DJIA|[A-Z]{1,4}p[A-Z]?w?|\
                     [Cc][Oo][Mm][Pp]|[Ss][Pp][Xx]|spy251219[cp]00650000)",
        ) {
            if let Ok(symbol) = text.parse::<Symbol>() {
                proptest::prop_assert_eq!(&symbol.to_string().parse::<Symbol>().unwrap(), &symbol);
                proptest::prop_assert_eq!(Symbol::from_ticker(symbol.ticker()), Some(symbol));
            }
        }
    }
}
