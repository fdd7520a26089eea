//! What a user may put on the watchlist, and what it is called on the wire.

use core::fmt;
use core::str::FromStr;

use jiff::civil::{Date, Weekday};

use super::{Numbers, Price, Text};

/// Room for the longest ticker: `O:` + a six-letter root + `YYMMDD` + `C` + eight digits.
pub type Ticker = heapless::String<24>;

/// What kind of instrument a symbol names; decides its cluster, its channels and its hours.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, PartialOrd, Ord)]
pub enum Class {
    /// An index, `I:SPX`.
    Index,
    /// A share or a fund, `SPY`.
    Equity,
    /// A listed option contract, `O:SPY251219C00650000`.
    Option,
}

/// One upstream of the feed: the vendor serves each asset class on a connection of its own.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, PartialOrd, Ord)]
pub enum Cluster {
    /// `/indices`
    Indices,
    /// `/options`
    Options,
    /// `/stocks`; not in every plan.
    Stocks,
}

impl Cluster {
    /// Every cluster a link can be opened to.
    pub const ALL: [Cluster; 3] = [Cluster::Indices, Cluster::Options, Cluster::Stocks];

    /// The last part of its address.
    pub const fn path(self) -> &'static str {
        match self {
            Cluster::Indices => "indices",
            Cluster::Options => "options",
            Cluster::Stocks => "stocks",
        }
    }
}

impl fmt::Display for Cluster {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.path())
    }
}

/// What a channel carries; the part of its name before the first dot.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, PartialOrd, Ord)]
pub enum Kind {
    /// `V`: an index value.
    Value,
    /// `A`: bars of a second.
    Second,
    /// `AM`: bars of a minute.
    Minute,
    /// `Q`: bid and ask.
    Quote,
    /// `T`: trades.
    Trade,
}

impl Kind {
    /// The prefix on the wire.
    pub const fn prefix(self) -> &'static str {
        match self {
            Kind::Value => "V",
            Kind::Second => "A",
            Kind::Minute => "AM",
            Kind::Quote => "Q",
            Kind::Trade => "T",
        }
    }

    fn from_prefix(prefix: &str) -> Option<Self> {
        [
            Kind::Value,
            Kind::Second,
            Kind::Minute,
            Kind::Quote,
            Kind::Trade,
        ]
        .into_iter()
        .find(|kind| kind.prefix() == prefix)
    }
}

/// One stream of one instrument, written `V.I:SPX`.
#[derive(Clone, PartialEq, Eq, Hash, Debug, PartialOrd, Ord)]
pub struct Channel {
    /// What it carries.
    pub kind: Kind,
    /// Of which instrument.
    pub ticker: Ticker,
}

impl Channel {
    /// Reads a name; a ticker is everything after the *first* dot (`T.BRK.B`). `None` if it is
    /// not the name of a channel that this program could have asked for.
    pub fn parse(name: &str) -> Option<Self> {
        let (prefix, ticker) = name.split_once('.')?;
        let kind = Kind::from_prefix(prefix)?;
        let ticker = Ticker::try_from(ticker).ok()?;
        (!ticker.is_empty()).then_some(Self { kind, ticker })
    }
}

impl fmt::Display for Channel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.kind.prefix(), self.ticker)
    }
}

/// One instrument, by the vendor's ticker.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct Symbol {
    class: Class,
    ticker: Ticker,
}

/// Indices that users write without their prefix. Others need it (`I:…`): a bare name could as
/// well be a share's.
const KNOWN_INDICES: [&str; 24] = [
    "SPX", "NDX", "DJI", "RUT", "VIX", "VIX1D", "VIX9D", "VIX3M", "VIX6M", "VIX1Y", "VVIX", "VXN",
    "RVX", "SKEW", "OEX", "XEO", "XSP", "MID", "SML", "COMP", "XAU", "SOX", "OVX", "GVZ",
];

/// Indices whose value is above zero by what they are: prices of shares that are added up, and
/// volatilities. Those of volatility that begin with `VIX` are not in it.
const POSITIVE_INDICES: [&str; 16] = [
    "SPX", "NDX", "DJI", "RUT", "OEX", "XEO", "XSP", "MID", "SML", "COMP", "VVIX", "VXN", "RVX",
    "OVX", "GVZ", "SKEW",
];

/// Whether what a channel of this kind says of a vendor's ticker may be zero or below it:
/// an index such as `I:TICK`, of which more may fall than rise. Never a share, nor a contract.
pub fn may_be_negative(kind: Kind, ticker: &str) -> bool {
    let index = matches!(kind, Kind::Value | Kind::Minute | Kind::Second);
    ticker
        .strip_prefix("I:")
        .is_some_and(|code| index && !code.starts_with("VIX") && !POSITIVE_INDICES.contains(&code))
}

impl Symbol {
    /// Whether its value may be zero or below it.
    pub fn may_be_negative(&self) -> bool {
        may_be_negative(Kind::Value, &self.ticker)
    }

    /// What kind of instrument it is.
    pub const fn class(&self) -> Class {
        self.class
    }

    /// The vendor's ticker: `I:SPX`, `SPY`, `O:SPY251219C00650000`. Case matters there.
    pub fn ticker(&self) -> &str {
        &self.ticker
    }

    /// As people write it: `SPX`, `SPY`, `SPY251219C00650000`.
    pub fn name(&self) -> &str {
        match self.class {
            Class::Equity => &self.ticker,
            Class::Index | Class::Option => &self.ticker[2..],
        }
    }

    /// The cluster that streams it. Not every plan has that of the shares: without it they are
    /// asked for by REST.
    pub const fn cluster(&self) -> Cluster {
        match self.class {
            Class::Index => Cluster::Indices,
            Class::Option => Cluster::Options,
            Class::Equity => Cluster::Stocks,
        }
    }

    /// What the ticker of an option says; `None` for anything else.
    pub fn contract(&self) -> Option<Contract<'_>> {
        if self.class != Class::Option {
            return None;
        }
        Contract::parse(self.name())
    }

    /// The kinds of channel that the display wants of it.
    pub const fn kinds(&self) -> &'static [Kind] {
        match self.class {
            Class::Index => &[Kind::Value, Kind::Minute],
            // A contract's trades and its volume are beside its quote.
            Class::Option => &[Kind::Quote, Kind::Trade, Kind::Second],
            // Bars of a second leave out what is no last price: odd lots, late reports.
            Class::Equity => &[Kind::Second, Kind::Minute],
        }
    }

    /// The channels that the display wants of it.
    pub fn channels(&self) -> impl Iterator<Item = Channel> + '_ {
        self.kinds().iter().map(|&kind| Channel {
            kind,
            ticker: self.ticker.clone(),
        })
    }
}

impl fmt::Display for Symbol {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// What the ticker of an option says.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Contract<'a> {
    /// Of what: `SPY`.
    pub root: &'a str,
    /// The last day on which it is traded.
    pub expiry: Date,
    /// The right to buy; else that to sell.
    pub call: bool,
    /// At what price.
    pub strike: Price,
}

impl<'a> Contract<'a> {
    /// Reads ROOT YYMMDD C|P STRIKE×1000, from the right: a root may end in a digit.
    fn parse(name: &'a str) -> Option<Self> {
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
            // A thousandth is ten of a price's units.
            strike: Price::from_scaled(thousandths * 10),
        })
    }

    /// The last day on which it is traded: the day before its expiry if it is settled by the
    /// opening prices of that day.
    pub fn last_trading_day(&self) -> Date {
        let standard =
            self.expiry.weekday() == Weekday::Friday && (15..=21).contains(&self.expiry.day());
        // Cboe, "SPX options": the monthly ones expire on a third Friday. Those on VIX on a Wednesday.
        let by_the_open = match self.root {
            "SPX" | "NDX" | "RUT" | "DJX" => standard,
            "VIX" | "VIXW" => true,
            _ => false,
        };
        if !by_the_open {
            return self.expiry;
        }
        // Of a Friday's and a Wednesday's the day before is a working day, but for holidays: then the
        // calendar has no session on it.
        self.expiry.yesterday().unwrap_or(self.expiry)
    }

    /// The month of the expiry, `Dec`.
    pub fn month(&self) -> &'static str {
        let place = usize::from(self.expiry.month().unsigned_abs()).wrapping_sub(1);
        MONTHS.get(place).unwrap_or(&"?")
    }

    /// The strike without needless zeros: `650`, `652.5`.
    pub fn strike_text(&self) -> Text {
        let thousandths = self.strike.scaled() / 10;
        let whole = Price::from_scaled(thousandths / 1000 * Price::SCALE);
        let (mut text, _) = whole.parts(Numbers {
            group: None,
            point: b'.',
        });
        let rest = thousandths % 1000;
        if rest > 0 {
            // Cannot fail: five digits, a point and three digits.
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

/// As traders write it: `SPY 19 Dec 25 650 C`.
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

/// Why a text is no symbol; the message says what to write instead.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct SymbolError {
    text: String,
    why: &'static str,
}

impl fmt::Display for SymbolError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?} is not a symbol: {}", self.text, self.why)
    }
}

impl std::error::Error for SymbolError {}

impl FromStr for Symbol {
    type Err = SymbolError;

    fn from_str(text: &str) -> Result<Self, SymbolError> {
        let fail = |why| SymbolError {
            text: text.chars().take(40).collect(),
            why,
        };
        let (class, ticker) = classify(text.trim()).map_err(fail)?;
        // `classify` bounds every part; this is the bound of the sum.
        let ticker = Ticker::try_from(ticker.as_str()).map_err(|_| fail("it is too long"))?;
        Ok(Symbol { class, ticker })
    }
}

fn classify(text: &str) -> Result<(Class, String), &'static str> {
    let upper = || text.to_ascii_uppercase();
    if text.is_empty() {
        return Err("it is empty; write for example \"SPX\"");
    }
    if let Some(code) = text.strip_prefix("I:").or_else(|| text.strip_prefix("i:")) {
        // Index codes are case-sensitive at the vendor, so they stay as they were written.
        let plain =
            (1..=12).contains(&code.len()) && code.bytes().all(|b| b.is_ascii_alphanumeric());
        return if plain {
            Ok((Class::Index, format!("I:{code}")))
        } else {
            Err(
                "after \"I:\" comes the code of an index, 1 to 12 letters and digits, like \"I:SPX\"",
            )
        };
    }
    if let Some(contract) = text.strip_prefix("O:").or_else(|| text.strip_prefix("o:")) {
        let contract = contract.to_ascii_uppercase();
        check_contract(&contract)?;
        return Ok((Class::Option, format!("O:{contract}")));
    }
    if text.contains(':') {
        return Err("the only prefixes are \"I:\" for indices and \"O:\" for options");
    }
    if let Some(caret) = text.strip_prefix('^')
        && KNOWN_INDICES.contains(&caret.to_ascii_uppercase().as_str())
    {
        return Err("write an index without \"^\", like \"SPX\"");
    }
    if KNOWN_INDICES.contains(&upper().as_str()) {
        return Ok((Class::Index, format!("I:{}", upper())));
    }
    if text.len() > 10 && text.bytes().filter(u8::is_ascii_digit).count() >= 8 {
        return Err("an option contract begins with \"O:\", like \"O:SPY251219C00650000\"");
    }
    let mut bytes = text.bytes();
    let plain = text.len() <= 10
        && bytes.next().is_some_and(|b| b.is_ascii_alphabetic())
        && bytes.all(|b| b.is_ascii_alphanumeric() || b == b'.');
    if plain {
        Ok((Class::Equity, upper()))
    } else {
        Err(
            "write an index (\"SPX\", \"I:SPX\"), a share (\"SPY\", \"BRK.B\") or an option (\"O:SPY251219C00650000\")",
        )
    }
}

/// Checks ROOT YYMMDD C|P STRIKE×1000, from the right: a root may end in a digit.
fn check_contract(contract: &str) -> Result<(), &'static str> {
    const FORM: &str = "an option is \"O:\", a root of 1 to 6 letters, YYMMDD, C or P, and the strike times 1000 in eight \
                        digits, like \"O:SPY251219C00650000\"";
    let bytes = contract.as_bytes();
    if !contract.is_ascii() || bytes.len() < 16 {
        return Err(FORM);
    }
    let (head, strike) = bytes.split_at(bytes.len() - 8);
    let (head, side) = head.split_at(head.len() - 1);
    let all_digits = |part: &[u8]| part.iter().all(u8::is_ascii_digit);
    if !matches!(side, b"C" | b"P") {
        let nine = head.last().is_some_and(|b| matches!(b, b'C' | b'P'))
            && all_digits(side)
            && all_digits(strike);
        return Err(if nine {
            "its strike has nine digits; it is the strike times 1000 in exactly eight"
        } else {
            FORM
        });
    }
    let (root, date) = head.split_at(head.len() - 6);
    let root_fits = (1..=6).contains(&root.len())
        && root[0].is_ascii_alphabetic()
        && root.iter().all(u8::is_ascii_alphanumeric);
    if !root_fits || !all_digits(date) || !all_digits(strike) {
        return Err(FORM);
    }
    let two = |at: usize| i16::from(date[at] - b'0') * 10 + i16::from(date[at + 1] - b'0');
    if Date::new(2000 + two(0), two(2) as i8, two(4) as i8).is_err() {
        return Err("its expiry is no date; after the root comes YYMMDD");
    }
    if strike.iter().all(|digit| *digit == b'0') {
        return Err("its strike is zero");
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ticker(text: &str) -> String {
        text.parse::<Symbol>().unwrap().ticker().to_owned()
    }

    fn error(text: &str) -> String {
        text.parse::<Symbol>().unwrap_err().to_string()
    }

    #[test]
    fn users_write_symbols_as_they_know_them() {
        assert_eq!(ticker("SPX"), "I:SPX");
        assert_eq!(ticker(" vix "), "I:VIX");
        assert_eq!(ticker("I:VIX9D"), "I:VIX9D");
        assert_eq!(ticker("spy"), "SPY");
        assert_eq!(ticker("BRK.B"), "BRK.B");
        assert_eq!(ticker("o:spy251219c00650000"), "O:SPY251219C00650000");
        assert_eq!(ticker("O:BRKB1251219P00000500"), "O:BRKB1251219P00000500");
    }

    #[test]
    fn the_class_decides_cluster_and_channels() {
        let names = |text: &str| -> (Cluster, Vec<String>) {
            let symbol: Symbol = text.parse().unwrap();
            (
                symbol.cluster(),
                symbol
                    .channels()
                    .map(|channel| channel.to_string())
                    .collect(),
            )
        };
        assert_eq!(
            names("SPX"),
            (Cluster::Indices, vec!["V.I:SPX".into(), "AM.I:SPX".into()])
        );
        assert_eq!(
            names("O:SPY251219C00650000"),
            (
                Cluster::Options,
                ["Q", "T", "A"]
                    .map(|kind| format!("{kind}.O:SPY251219C00650000"))
                    .to_vec()
            )
        );
        assert_eq!(
            names("SPY"),
            (Cluster::Stocks, vec!["A.SPY".into(), "AM.SPY".into()])
        );
    }

    #[test]
    fn a_contract_is_written_as_traders_read_it() {
        let text = |ticker: &str| {
            let symbol: Symbol = ticker.parse().unwrap();
            symbol.contract().unwrap().to_string()
        };
        assert_eq!(text("O:SPY251219C00650000"), "SPY 19 Dec 25 650 C");
        assert_eq!(text("O:BRKB1260102P00000500"), "BRKB1 2 Jan 26 0.5 P");
        assert_eq!(text("O:SPXW261231P06252500"), "SPXW 31 Dec 26 6252.5 P");
        assert_eq!(text("O:F260116C00012345"), "F 16 Jan 26 12.345 C");
        assert_eq!(text("O:F260116C00012340"), "F 16 Jan 26 12.34 C");
        assert_eq!(text("O:NVDA260116C00000001"), "NVDA 16 Jan 26 0.001 C");
        let longest = "O:ABCDEF261231C99999999";
        assert_eq!(text(longest), "ABCDEF 31 Dec 26 99999.999 C");
        for none in ["SPX", "SPY"] {
            assert_eq!(none.parse::<Symbol>().unwrap().contract(), None);
        }
    }

    #[test]
    fn an_index_may_be_negative_unless_it_is_a_sum_of_prices_or_a_volatility() {
        for text in ["I:TICK", "I:ABC", "I:vixx", "I:SP"] {
            let symbol: Symbol = text.parse().unwrap();
            assert!(symbol.may_be_negative(), "{text}");
            for kind in [Kind::Value, Kind::Minute] {
                assert!(may_be_negative(kind, symbol.ticker()), "{text}");
            }
            assert!(!may_be_negative(Kind::Trade, symbol.ticker()), "{text}");
        }
        let volatile = [
            "VIX", "VIX9D", "VIX1Y", "VVIX", "VXN", "RVX", "OVX", "GVZ", "SKEW",
        ];
        let added = [
            "SPX", "NDX", "DJI", "RUT", "OEX", "XEO", "XSP", "MID", "SML", "COMP",
        ];
        let traded = ["SPY", "TICK", "BRK.B", "O:SPY251219C00650000"];
        for text in volatile.iter().chain(&added).chain(&traded) {
            let symbol: Symbol = text.parse().unwrap();
            assert!(!symbol.may_be_negative(), "{text}");
            for kind in [
                Kind::Value,
                Kind::Second,
                Kind::Minute,
                Kind::Quote,
                Kind::Trade,
            ] {
                assert!(!may_be_negative(kind, symbol.ticker()), "{text}");
            }
        }
    }

    #[test]
    fn a_bad_symbol_is_told_what_is_wrong_with_it() {
        assert!(error("").contains("empty"));
        assert!(error("^SPX").contains("without \"^\""));
        assert!(error("X:BTCUSD").contains("prefixes"));
        assert!(error("I:").contains("code of an index"));
        assert!(error("SPY251219C00650000").contains("begins with \"O:\""));
        assert!(error("O:SPY251219C006500000").contains("nine digits"));
        assert!(error("O:SPY251319C00650000").contains("no date"));
        assert!(error("O:SPY251219X00650000").contains("C or P"));
        assert!(error("O:SPY251219C00000000").contains("zero"));
        assert!(error("O:TOOLONG251219C00650000").contains("1 to 6"));
        assert!(error("hello world").contains("write an index"));
        assert!(error("Ünïcode").contains("write an index"));
    }

    #[test]
    fn a_ticker_is_everything_after_the_first_dot() {
        let channel = Channel::parse("T.BRK.B").unwrap();
        assert_eq!(
            (channel.kind, channel.ticker.as_str()),
            (Kind::Trade, "BRK.B")
        );
        assert_eq!(channel.to_string(), "T.BRK.B");
        for junk in [
            "",
            "V",
            "V.",
            "X.I:SPX",
            "V.aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa",
        ] {
            assert_eq!(Channel::parse(junk), None, "{junk}");
        }
    }

    proptest::proptest! {
        #[test]
        fn no_text_makes_the_parser_panic(text in "\\PC{0,40}") {
            if let Ok(symbol) = text.parse::<Symbol>() {
                proptest::prop_assert_eq!(symbol.ticker().parse::<Symbol>().unwrap(), symbol);
            }
        }
    }
}
