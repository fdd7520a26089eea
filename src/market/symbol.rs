//! Symbols: the instruments that a user can put on the watchlist, and their names in the vendor's
//! protocol. Parsing of user input is in `text`.

mod contract_text;
mod other_codes;
mod text;

use core::fmt;

use super::channel::{Channel, ChannelKind, Cluster, Ticker};
use super::option_contract::Contract;
use other_codes::other_name;
pub use text::SymbolError;

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
const KNOWN_INDICES: [&str; 24] = [
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
    let code = match kind {
        ChannelKind::Quote | ChannelKind::Trade => None,
        ChannelKind::Value | ChannelKind::Minute | ChannelKind::Second => ticker.strip_prefix("I:"),
    };
    code.is_some_and(|code| !code.starts_with("VIX") && !POSITIVE_INDICES.contains(&code))
}

/// Returns the code of a well-known index, independent of the case of the text.
fn known_index(text: &str) -> Option<&'static str> {
    let mut codes = KNOWN_INDICES.into_iter();
    codes.find(|code| code.eq_ignore_ascii_case(text))
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
        let is_option = self.class == AssetClass::Option;
        is_option.then(|| Contract::parse(self.name()).ok())?
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
        match self.class {
            AssetClass::Index if known_index(name).is_some() => f.write_str(name),
            AssetClass::Equity if known_index(name).is_some() || other_name(name).is_some() => {
                write!(f, "stock:{name}")
            }
            _ => f.write_str(&self.ticker),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_asset_class_determines_the_cluster_and_the_channels() {
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
    fn a_contract_has_the_format_that_traders_use() {
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
    fn an_index_may_be_negative_except_price_indices_and_volatility_indices() {
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
