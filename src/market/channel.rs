//! The channels of the feed: one cluster, one kind of event and one ticker.

use core::fmt;

/// A text with capacity for the longest ticker: `O:` + a six-letter root + `YYMMDD` + `C` + eight
/// digits.
pub type Ticker = heapless::String<24>;

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

/// The prefixes of the channel names.
const PREFIXES: [(ChannelKind, &str); 5] = [
    (ChannelKind::Value, "V"),
    (ChannelKind::Second, "A"),
    (ChannelKind::Minute, "AM"),
    (ChannelKind::Quote, "Q"),
    (ChannelKind::Trade, "T"),
];

impl ChannelKind {
    /// The prefix in the channel name.
    pub const fn prefix(self) -> &'static str {
        // The entries of the table are in the order of the variants.
        PREFIXES[self as usize].1
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
    /// Returns the wildcard for all channels of a kind, for example `V.*`.
    pub(crate) fn wildcard(kind: ChannelKind) -> Self {
        // A ticker always has space for one character, so the conversion cannot fail.
        let ticker = Ticker::try_from(WILDCARD).unwrap_or_default();
        Self { kind, ticker }
    }

    /// Returns true if this channel is a wildcard.
    pub(crate) fn is_wildcard(&self) -> bool {
        self.ticker == WILDCARD
    }

    /// Returns true if a subscription to this channel or wildcard includes the other channel.
    pub fn covers(&self, other: &Self) -> bool {
        self.kind == other.kind && (self.ticker == other.ticker || self.is_wildcard())
    }

    /// Parses a channel name. The ticker is the text after the *first* dot (`T.BRK.B`). `None` if
    /// the text is not the name of a channel that this program can subscribe to.
    pub fn parse(name: &str) -> Option<Self> {
        let (prefix, ticker) = name.split_once('.')?;
        let (kind, _) = PREFIXES.into_iter().find(|(_, known)| *known == prefix)?;
        let ticker = Ticker::try_from(ticker).ok()?;
        (!ticker.is_empty()).then_some(Self { kind, ticker })
    }
}

impl fmt::Display for Channel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.kind.prefix(), self.ticker)
    }
}
