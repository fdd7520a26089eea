//! The longest normal silence of the channels of an upstream. Pure: the time is an argument.

use std::time::Duration;

use crate::hub::Interest;
use crate::market::{self, AssetClass, Calendar, ChannelKind, Symbol};
use crate::time::Now;

/// Returns the time after which one of these channels is stale although its market is open; `None`
/// if any silence is normal. Index values and bars arrive on a schedule, but a contract or a share
/// may have no new quote for any length of time.
pub(in crate::hub) fn limit(wanted: &Interest, calendar: &Calendar, now: Now) -> Option<Duration> {
    let utc = now.utc?;
    let due = wanted.iter().filter_map(|channel| {
        let source = match channel.kind {
            ChannelKind::Value | ChannelKind::Second => market::QuoteSource::Tick,
            ChannelKind::Minute => market::QuoteSource::Minute,
            ChannelKind::Quote | ChannelKind::Trade => return None,
        };
        // A subscription to all index values includes SPX.
        let ticker = if channel.kind == ChannelKind::Value && channel.is_wildcard() {
            "I:SPX"
        } else {
            channel.ticker.as_str()
        };
        let symbol = Symbol::from_ticker(ticker)?;
        (symbol.class() == AssetClass::Index && calendar.phase(&symbol, utc).is_open())
            .then(|| market::limit(&symbol, source))
    });
    due.min()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::market::Channel;
    use crate::time::{Moment, Utc};

    /// 2026-11-23 is a Monday; 14:30 UTC is 9:30 in New York.
    const OPEN: Utc = Utc(1_795_444_200_000);

    fn interest(names: &[&str]) -> Interest {
        let channels = names.iter().map(|name| Channel::parse(name).unwrap());
        channels.collect()
    }

    fn limit_at(names: &[&str], utc: Utc) -> Option<u64> {
        let now = Now::new(Moment::ZERO, utc);
        limit(&interest(names), &Calendar::us(), now).map(|limit| limit.as_secs())
    }

    #[test]
    fn silence_has_a_limit_only_while_values_are_expected() {
        let later = Utc(OPEN.0 + 60_000);
        assert_eq!(limit_at(&["V.I:SPX", "V.I:VIX"], later), Some(10));
        assert_eq!(limit_at(&["V.I:VIX"], later), Some(45));
        assert_eq!(limit_at(&["AM.I:SPX"], later), Some(75));
        assert_eq!(limit_at(&["V.*"], later), Some(10));
        assert_eq!(limit_at(&["T.SPY", "AM.SPY"], later), None);
        assert_eq!(limit_at(&["Q.O:SPY251219C00650000"], later), None);
        let night = Utc(OPEN.0 - 12 * 3_600_000);
        assert_eq!(limit_at(&["V.I:SPX"], night), None);
        let unknown = Now {
            monotonic: Moment::ZERO,
            utc: None,
        };
        let wanted = interest(&["V.I:SPX"]);
        assert_eq!(limit(&wanted, &Calendar::us(), unknown), None);
    }
}
