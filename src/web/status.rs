//! The status of the display as data: the link, and each instrument with its freshness. Pure; the
//! ticker fills it, and the web page writes it as JSON or as metrics.

use serde::Serialize;

/// The status of a display at one moment.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Status {
    /// The version of the program.
    pub version: &'static str,
    /// The time since the start of the program in milliseconds.
    pub uptime_ms: u64,
    /// The agreed time (RFC 3339); `None` while no two time sources agree.
    pub time: Option<String>,
    /// The content of the glass in words, one entry for each instrument and one for the connection;
    /// empty if a value has become stale since the words were made.
    pub glass: Vec<String>,
    /// True if a price on the watchlist is simulated.
    pub simulated: bool,
    /// The problem of the configuration or of the set-up; `None` if there is none.
    pub problem: Option<String>,
    /// The state of the link; `None` while no configuration is in effect.
    pub link: Option<LinkStatus>,
    /// Each instrument of the watchlist, in its order.
    pub values: Vec<ValueStatus>,
}

/// The state of the link to the prices.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct LinkStatus {
    /// `live`, `joining`, `silent`, `down` or `refused`.
    pub state: &'static str,
    /// The first hop that fails, such as `hub`; `None` if no hop fails.
    pub failing: Option<&'static str>,
    /// The time for which the link has had this state, in milliseconds.
    pub since_ms: u64,
    /// The number of messages in the last ten seconds; `None` in the first ten seconds.
    pub messages: Option<u32>,
    /// The time from the timestamp of a value to its receipt, in milliseconds; `None` without an
    /// agreed time.
    pub latency_ms: Option<i64>,
    /// The number of reconnections since the start.
    pub reconnects: u32,
    /// The time since the last message in milliseconds; `None` before the first message.
    pub last_message_ms: Option<u64>,
    /// The number of hours for which the most used dot of the panel has been lit.
    pub lit_hours: u32,
}

/// One instrument.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct ValueStatus {
    /// The name, such as `SPX`.
    pub symbol: String,
    /// The price; `None` if it is unknown, never 0 for it.
    pub price: Option<f64>,
    /// The number of decimals of its prices, 0 to 4.
    pub decimals: u8,
    /// The change since the previous close; `None` if it is unknown or has no meaning.
    pub change: Option<f64>,
    /// The same in percent.
    pub change_percent: Option<f64>,
    /// `live`, `delayed`, `closed`, `stale` or `none`.
    pub freshness: &'static str,
    /// The time at which the price was true (RFC 3339); `None` if it is unknown.
    pub as_of: Option<String>,
    /// The age of the price in milliseconds; `None` if it is unknown.
    pub age_ms: Option<u64>,
    /// The time for which this entry stays true without news, in milliseconds. After it, the
    /// price is stale.
    pub valid_ms: u64,
    /// `pre`, `regular`, `post` or `outside`: the part of the trading day of the price; `None` if
    /// the market is closed.
    pub session: Option<&'static str>,
    /// True if the price is simulated.
    pub simulated: bool,
    /// The reason why the vendor serves no price, such as `no access`; `None` if it does.
    pub denied: Option<&'static str>,
}

impl ValueStatus {
    /// Makes the entry `age` milliseconds older. An entry whose validity is over becomes stale.
    /// Returns true in this case.
    fn grow_older(&mut self, age: u64) -> bool {
        if let Some(known) = &mut self.age_ms {
            *known = known.saturating_add(age);
        }
        let is_over = matches!(self.freshness, "live" | "delayed") && self.valid_ms <= age;
        if is_over {
            (self.freshness, self.change, self.change_percent) = ("stale", None, None);
        }
        self.valid_ms = self.valid_ms.saturating_sub(age);
        is_over
    }
}

impl Status {
    /// Returns the status `age` milliseconds later, if nothing has happened since.
    pub(super) fn older(&self, age: u64) -> Self {
        let mut status = self.clone();
        status.uptime_ms = status.uptime_ms.saturating_add(age);
        let mut is_over = false;
        for value in &mut status.values {
            is_over |= value.grow_older(age);
        }
        if is_over {
            status.glass.clear();
        }
        status
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_whose_validity_is_over_is_stale_and_has_no_change() {
        let value = ValueStatus {
            symbol: "SPX".into(),
            price: Some(5912.34),
            decimals: 2,
            change: Some(1.0),
            change_percent: Some(0.1),
            freshness: "live",
            as_of: None,
            age_ms: Some(9_900),
            valid_ms: 100,
            session: Some("regular"),
            simulated: false,
            denied: None,
        };
        let aged = |age| {
            let status = Status {
                values: vec![value.clone()],
                glass: vec!["SPX 5,912.34, live".into()],
                ..Status::default()
            };
            let mut status = status.older(age);
            (status.values.remove(0), status.glass.len())
        };
        let (live, words) = aged(99);
        assert_eq!((live.freshness, live.valid_ms, words), ("live", 1, 1));
        let (stale, words) = aged(100);
        assert_eq!(words, 0, "they say that the value is live");
        assert_eq!((stale.freshness, stale.change), ("stale", None));
        assert_eq!((stale.age_ms, stale.valid_ms), (Some(10_000), 0));
    }
}
