//! Symbols: the instruments that a user can put on the watchlist, and their names in the vendor's
//! protocol. Parsing of user input is in `symbol_text`.

mod text;

use core::fmt;
pub use text::SymbolError;

use jiff::civil::{Date, Weekday};

use super::{NumberFormat, Price, ShortText};

/// A text with capacity for the longest ticker: `O:` + a six-letter root + `YYMMDD` + `C` + eight
/// digits.
pub type Ticker = heapless::String<24>;

/// The kind of instrument, which decides the cluster, the channels and the trading hours.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, PartialOrd, Ord)]
pub enum AssetClass {
    /// An index, such as `I:SPX`.
    Index,
    /// A share or a fund, such as `SPY`.
    Equity,
    /// A listed option contract, such as `O:SPY251219C00650000`.
    Option,
}

/// A WebSocket endpoint of the vendor: each asset class has its own endpoint and its own
/// connection.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, PartialOrd, Ord)]
pub enum Cluster {
    /// The endpoint `/indices`.
    Indices,
    /// The endpoint `/options`.
    Options,
    /// The endpoint `/stocks`, which not every subscription plan includes.
    Stocks,
}

impl Cluster {
    /// All clusters that a connection can be opened to.
    pub const ALL: [Cluster; 3] = [Cluster::Indices, Cluster::Options, Cluster::Stocks];

    /// The last segment of the endpoint's URL path.
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

/// The kind of data in a channel: the part of the channel name before the first dot.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, PartialOrd, Ord)]
pub enum ChannelKind {
    /// `V`: index values.
    Value,
    /// `A`: one-second bars.
    Second,
    /// `AM`: one-minute bars.
    Minute,
    /// `Q`: bid and ask.
    Quote,
    /// `T`: trades.
    Trade,
}

impl ChannelKind {
    /// The prefix in the channel name.
    pub const fn prefix(self) -> &'static str {
        match self {
            ChannelKind::Value => "V",
            ChannelKind::Second => "A",
            ChannelKind::Minute => "AM",
            ChannelKind::Quote => "Q",
            ChannelKind::Trade => "T",
        }
    }

    fn from_prefix(prefix: &str) -> Option<Self> {
        [
            ChannelKind::Value,
            ChannelKind::Second,
            ChannelKind::Minute,
            ChannelKind::Quote,
            ChannelKind::Trade,
        ]
        .into_iter()
        .find(|kind| kind.prefix() == prefix)
    }
}

/// The ticker of a wildcard channel such as `V.*`, which carries every instrument of its cluster.
pub const WILDCARD: &str = "*";

/// A stream of one kind of data for one instrument, written as `V.I:SPX`.
#[derive(Clone, PartialEq, Eq, Hash, Debug, PartialOrd, Ord)]
pub struct Channel {
    /// The kind of data.
    pub kind: ChannelKind,
    /// The vendor's ticker of the instrument.
    pub ticker: Ticker,
}

impl Channel {
    /// Parses a channel name. The ticker is the text after the *first* dot (`T.BRK.B`). `None` if
    /// this program cannot have subscribed to a channel with this name.
    pub fn parse(name: &str) -> Option<Self> {
        let (prefix, ticker) = name.split_once('.')?;
        let kind = ChannelKind::from_prefix(prefix)?;
        let ticker = Ticker::try_from(ticker).ok()?;
        (!ticker.is_empty()).then_some(Self { kind, ticker })
    }
}

impl fmt::Display for Channel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.kind.prefix(), self.ticker)
    }
}

/// One instrument, identified by the vendor's ticker. `Display` writes the text that a user enters:
/// `SPX`, `I:TICK`, `SPY`, `stock:COMP`, `O:SPY251219C00650000`. Parsing that text returns the same
/// symbol.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct Symbol {
    pub(super) class: AssetClass,
    pub(super) ticker: Ticker,
}

/// Indices that users can write without the prefix `I:`. All other indices need the prefix, because
/// a name without a prefix can also be a share.
pub(super) const KNOWN_INDICES: [&str; 24] = [
    "SPX", "NDX", "DJI", "RUT", "VIX", "VIX1D", "VIX9D", "VIX3M", "VIX6M", "VIX1Y", "VVIX", "VXN",
    "RVX", "SKEW", "OEX", "XEO", "XSP", "MID", "SML", "COMP", "XAU", "SOX", "OVX", "GVZ",
];

/// Indices whose value is always positive: sums of share prices, and volatilities. The volatility
/// indices whose name begins with `VIX` are not in this list.
const POSITIVE_INDICES: [&str; 16] = [
    "SPX", "NDX", "DJI", "RUT", "OEX", "XEO", "XSP", "MID", "SML", "COMP", "VVIX", "VXN", "RVX",
    "OVX", "GVZ", "SKEW",
];

/// Returns true if a value on this kind of channel can be zero or negative for this vendor ticker.
/// This is possible for an index such as `I:TICK` (rising minus falling shares), but never for a
/// share or an option contract.
pub fn may_be_negative(kind: ChannelKind, ticker: &str) -> bool {
    let index = matches!(
        kind,
        ChannelKind::Value | ChannelKind::Minute | ChannelKind::Second
    );
    ticker
        .strip_prefix("I:")
        .is_some_and(|code| index && !code.starts_with("VIX") && !POSITIVE_INDICES.contains(&code))
}

impl Symbol {
    /// Returns true if the value of the symbol can be zero or negative.
    pub fn may_be_negative(&self) -> bool {
        may_be_negative(ChannelKind::Value, &self.ticker)
    }

    /// The kind of instrument.
    pub const fn class(&self) -> AssetClass {
        self.class
    }

    /// The vendor's ticker, such as `I:SPX`, `SPY`, `O:SPY251219C00650000`. The ticker is
    /// case-sensitive.
    pub fn ticker(&self) -> &str {
        &self.ticker
    }

    /// The name on the display, such as `SPX`, `SPY`, `SPY251219C00650000`. A share and an index
    /// can have the same name.
    pub fn name(&self) -> &str {
        match self.class {
            AssetClass::Equity => &self.ticker,
            AssetClass::Index | AssetClass::Option => &self.ticker[2..],
        }
    }

    /// Returns the text for the share that has, or can have in the future, the same name as this
    /// index: `stock:COMP`. `None` if the symbol is not such an index, or if the index is so well
    /// known that no exchange would list a share with its name.
    pub fn share_alternative(&self) -> Option<String> {
        let name = self.name();
        let famous = name.starts_with("VIX") || matches!(name, "SPX" | "NDX" | "DJI" | "RUT");
        let shared = self.class == AssetClass::Index && KNOWN_INDICES.contains(&name) && !famous;
        shared.then(|| format!("stock:{name}"))
    }

    /// The cluster that streams the symbol. If the subscription plan does not include the cluster
    /// for shares, the prices of shares come from the REST API.
    pub const fn cluster(&self) -> Cluster {
        match self.class {
            AssetClass::Index => Cluster::Indices,
            AssetClass::Option => Cluster::Options,
            AssetClass::Equity => Cluster::Stocks,
        }
    }

    /// Returns the contract that the ticker of an option describes. `None` for any other symbol.
    pub fn contract(&self) -> Option<Contract<'_>> {
        if self.class != AssetClass::Option {
            return None;
        }
        Contract::parse(self.name())
    }

    /// The kinds of channels that the display subscribes to for this symbol.
    pub const fn kinds(&self) -> &'static [ChannelKind] {
        match self.class {
            AssetClass::Index => &[ChannelKind::Value, ChannelKind::Minute],
            // The display shows the trades and the volume of a contract next to its quote.
            AssetClass::Option => &[ChannelKind::Quote, ChannelKind::Trade, ChannelKind::Second],
            // One-second bars exclude trades that do not set the last price, such as odd lots and
            // late reports.
            AssetClass::Equity => &[ChannelKind::Second, ChannelKind::Minute],
        }
    }

    /// The channels that the display subscribes to for this symbol.
    pub fn channels(&self) -> impl Iterator<Item = Channel> + '_ {
        self.kinds().iter().map(|&kind| Channel {
            kind,
            ticker: self.ticker.clone(),
        })
    }
}

impl fmt::Display for Symbol {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = self.name();
        let known = KNOWN_INDICES
            .iter()
            .any(|index| index.eq_ignore_ascii_case(name));
        match self.class {
            AssetClass::Index if known => f.write_str(name),
            AssetClass::Equity if known => write!(f, "stock:{name}"),
            AssetClass::Index | AssetClass::Equity | AssetClass::Option => {
                f.write_str(&self.ticker)
            }
        }
    }
}

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

#[cfg(test)]
mod tests {
    use super::*;

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
        for text in ["I:TICK", "I:ABC", "I:Vixx", "I:SP"] {
            let symbol: Symbol = text.parse().unwrap();
            assert!(symbol.may_be_negative(), "{text}");
            for kind in [ChannelKind::Value, ChannelKind::Minute] {
                assert!(may_be_negative(kind, symbol.ticker()), "{text}");
            }
            assert!(
                !may_be_negative(ChannelKind::Trade, symbol.ticker()),
                "{text}"
            );
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
                ChannelKind::Value,
                ChannelKind::Second,
                ChannelKind::Minute,
                ChannelKind::Quote,
                ChannelKind::Trade,
            ] {
                assert!(!may_be_negative(kind, symbol.ticker()), "{text}");
            }
        }
    }

    #[test]
    fn a_ticker_is_everything_after_the_first_dot() {
        let channel = Channel::parse("T.BRK.B").unwrap();
        assert_eq!(
            (channel.kind, channel.ticker.as_str()),
            (ChannelKind::Trade, "BRK.B")
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
}
