//! The tickers that each device has requested. The hub requests the tickers of all devices
//! together, and limits the number of different tickers of each device. Pure: the time is an
//! argument.

use std::collections::HashMap;
use std::time::Duration;

use crate::hub::auth::registry::Device;
use crate::market::Ticker;
use crate::time::Moment;

/// The time for which a requested ticker counts towards the limit of its device.
const COUNTED: Duration = Duration::from_secs(600);
/// The time for which a request for quotes also contains the ticker. A display requests a quote
/// every three seconds if the quote is not streamed.
const RECENT: Duration = Duration::from_secs(15);

/// The last request for each ticker, by device.
#[derive(Debug, Default)]
pub(crate) struct Demand {
    devices: HashMap<Device, HashMap<Ticker, Moment>>,
}

impl Demand {
    /// Notes that a device requests a ticker. Returns false if the device has requested `most`
    /// other tickers within ten minutes.
    pub(crate) fn note(
        &mut self,
        device: &Device,
        ticker: &Ticker,
        most: usize,
        now: Moment,
    ) -> bool {
        let asked = self.devices.entry(device.clone()).or_default();
        if let Some(at) = asked.get_mut(ticker) {
            *at = now;
            return true;
        }
        if asked.len() >= most {
            asked.retain(|_, at| now < *at + COUNTED);
        }
        let within = asked.len() < most;
        if within {
            asked.insert(ticker.clone(), now);
        }
        within
    }

    /// Returns the tickers that any device has requested within the last seconds.
    pub(crate) fn recent(&mut self, now: Moment) -> Vec<Ticker> {
        self.devices.retain(|_, asked| {
            asked.retain(|_, at| now < *at + COUNTED);
            !asked.is_empty()
        });
        let asked = self.devices.values().flatten();
        let recent = asked.filter(|(_, at)| now < **at + RECENT);
        let mut tickers: Vec<Ticker> = recent.map(|(ticker, _)| ticker.clone()).collect();
        tickers.sort_unstable();
        tickers.dedup();
        tickers
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_device_has_a_limited_number_of_tickers_and_a_ticker_is_recent_for_seconds() {
        let mut demand = Demand::default();
        let mut note = |device: &str, ticker: &str, secs| {
            let ticker = Ticker::try_from(ticker).unwrap();
            demand.note(&device.into(), &ticker, 2, Moment::from_secs(secs))
        };
        assert!(note("kitchen", "SPY", 0) && note("kitchen", "QQQ", 10));
        assert!(!note("kitchen", "IWM", 20) && note("kitchen", "SPY", 20));
        assert!(note("hall", "IWM", 20) && note("hall", "SPY", 20));
        // The request for QQQ was ten minutes ago.
        assert!(note("kitchen", "IWM", 610) && !note("kitchen", "QQQ", 611));
        let mut recent = |secs| demand.recent(Moment::from_secs(secs));
        assert_eq!(recent(624), ["IWM"]);
        assert_eq!(recent(625), [""; 0]);
        assert_eq!(demand.devices.len(), 1);
    }
}
