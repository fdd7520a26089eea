//! The one-minute bars of the session, for displays that connect in the middle of the session. The
//! cache receives every minute bar that passes. Older bars are requested from the vendor once for
//! all clients, and merged.

use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use serde::Deserialize;
use serde_json::{Map, Value};

pub(crate) use super::aggregates_request::AggregatesRequest;
use super::bar_store::BarStore;
use super::cache::{AnswerInfo, QuotesError};
use super::quotes::{QuoteCache, lock};
use crate::hub::RelayedEvent;
use crate::hub::auth::registry::Device;
use crate::market::{ChannelKind, Symbol};
use crate::massive::aggregates::{self, Aggregates, Provenance, TradedBar};
use crate::massive::websocket::{self, Event, MarketData};
use crate::time::Now;

/// The lifetime of a response of the vendor: one minute later there is a new bar.
const TTL: Duration = Duration::from_secs(60);

/// A handle to the one-minute bars. All clones share the bars.
#[derive(Clone, Debug, Default)]
pub struct BarCache(Arc<Mutex<BarStore>>);

impl BarCache {
    /// Stores the bars that passed on the minute channels of an upstream, if there are any.
    /// `simulated` is true if the prices of the upstream are simulated.
    pub(crate) fn seen(&self, simulated: bool, bars: &[RelayedEvent]) {
        let mut store = self.store();
        store.set_simulated(simulated);
        for event in bars {
            if let Some(bar) = streamed(event) {
                store.stream(&event.channel.ticker, bar);
            }
        }
    }

    /// Returns the response for the requested bars, and the path of the request for the bars above
    /// its limit. If the vendor does not provide the bars that did not pass through this hub, the
    /// response contains only the stored bars and `stale: true`.
    ///
    /// # Errors
    /// The reason of the failed request, if there is no bar to return.
    pub(crate) async fn answer(
        &self,
        quotes: &QuoteCache,
        device: &Device,
        request: &AggregatesRequest,
        now: Now,
    ) -> Result<(Map<String, Value>, Option<String>), QuotesError> {
        let AggregatesRequest { symbol, span, .. } = request;
        if let Some(simulated) = quotes.simulated() {
            // If the vendor has changed between real and simulated prices, it is possible that only
            // a REST response shows the change.
            self.store().set_simulated(simulated);
        }
        let mut held = self.store().read(span, device);
        let mut provenance = Provenance::default();
        let mut is_delayed = false;
        if !held.whole {
            let known = |body: &[u8], _| fetched(body, symbol).map(|fetched| info(&fetched));
            let answer = quotes.ask(&span.path(), known).await;
            let mut bars = Vec::new();
            if let Ok(answer) = &answer
                && let Some(fetched) = fetched(&answer.body, symbol)
            {
                // A vendor that is a hub can lack the newest bars.
                let complete = !fetched.provenance.stale;
                let made = now.utc.filter(|_| complete);
                let made = made.map(|utc| utc.0 - answer.age.as_millis() as i64);
                let mut store = self.store();
                store.set_simulated(fetched.provenance.simulated);
                is_delayed = fetched.provenance.delayed;
                store.merge(&span.complete(made), &fetched.bars, is_delayed);
                bars = fetched.bars;
            }
            held = self.store().read(span, device);
            // The store keeps fewer bars than a long span has.
            let newer = held
                .bars
                .first()
                .map_or(i64::MAX, |first| first.bar.start.0);
            bars.retain(|bar| bar.bar.start.0 < newer && span.times.contains(&bar.bar.start.0));
            bars.append(&mut held.bars);
            held.bars = bars;
            provenance = match answer {
                Err(error) if held.bars.is_empty() => return Err(error),
                Err(_) => Provenance {
                    stale: true,
                    ..provenance
                },
                Ok(answer) => Provenance {
                    stale: answer.stale,
                    age: answer.age,
                    ..provenance
                },
            };
        }
        provenance.simulated = held.simulated;
        // The store may have dropped the series during the request.
        provenance.delayed = held.delayed || is_delayed;
        let next = request.limit(&mut held.bars);
        let mut body = aggregates::body(symbol.ticker(), &held.bars);
        provenance.write(&mut body);
        Ok((body, next))
    }

    fn store(&self) -> MutexGuard<'_, BarStore> {
        lock(&self.0)
    }
}

/// Returns the properties of a new response.
fn info(fetched: &Aggregates) -> AnswerInfo {
    let Provenance {
        age,
        stale,
        simulated,
        ..
    } = fetched.provenance;
    AnswerInfo {
        ttl: TTL,
        simulated: Some(simulated),
        age,
        stale,
    }
}

/// Reads the vendor's response for a symbol. Returns `None` if the body is not a valid response.
fn fetched(body: &[u8], symbol: &Symbol) -> Option<Aggregates> {
    let answer = aggregates::read(body, symbol)?;
    // A response with the status `DELAYED` contains bars too.
    matches!(answer.status.as_deref(), Some("OK" | "DELAYED")).then_some(answer)
}

/// Reads the bar of an event.
fn streamed(event: &RelayedEvent) -> Option<TradedBar> {
    /// The trades of a bar, which `websocket` does not read.
    #[derive(Default, Deserialize)]
    struct BarTrades {
        v: Option<f64>,
        vw: Option<f64>,
    }
    let json = std::str::from_utf8(&event.json).ok()?;
    let frame = format!("[{json}]");
    let Some(Ok(Event::Market(_, event))) = websocket::events(&frame).next() else {
        return None;
    };
    let MarketData::Bar { bar, .. } = event.data else {
        return None;
    };
    let BarTrades { v, vw } = serde_json::from_str(json).unwrap_or_default();
    (event.kind == ChannelKind::Minute).then_some(TradedBar {
        bar,
        volume: v.filter(|volume| *volume >= 0.0),
        average: vw.filter(|average| *average > 0.0),
        trades: None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::hub::Arrival;
    use crate::hub::rest::bar_store::BarRange;
    use crate::market::{Channel, Ticker};
    use crate::massive::aggregates::MINUTE;

    #[test]
    fn a_response_of_the_vendor_has_a_valid_status() {
        let fetched = |body: &str| fetched(body.as_bytes(), &"SPY".parse().unwrap());
        for (body, simulated) in [
            (r#"{"status":"OK","resultsCount":0,"simulated":true}"#, true),
            (r#"{"status":"DELAYED","results":null}"#, false),
        ] {
            let answer = fetched(body).unwrap();
            assert_eq!(
                (answer.bars.len(), answer.provenance.simulated),
                (0, simulated)
            );
        }
        assert_eq!(fetched(r#"{"status":"ERROR","error":"no"}"#), None);
        assert_eq!(fetched(r#"{"results":[]}"#), None);
        assert_eq!(fetched("<html>"), None);
    }

    #[test]
    fn streamed_bars_are_cached_and_a_corrected_bar_replaces_the_old_bar() {
        let minutes = BarCache::default();
        let start = 1_795_444_200_000_i64;
        let bar = |start: i64, close: &str| {
            RelayedEvent {
            channel: Channel::parse("AM.SPY").unwrap(),
            json: format!(
                r#"{{"ev":"AM","sym":"SPY","v":{close}0,"vw":1.25,"av":9000,"o":2,"c":{close},"h":3e0,"l":1,"s":{start},"e":{}}}"#,
                start + MINUTE
            )
            .into(),
            arrival: Arrival::default(),
        }
        };
        let mut broken = bar(start, "2.5");
        broken.json = r#"{"ev":"AM","sym":"SPY","o":0}"#.into();
        minutes.seen(false, &[bar(start, "2.5"), broken]);
        let more = vec![bar(start + MINUTE, "2"), bar(start, "1.5")];
        minutes.seen(false, &more);
        let span = BarRange {
            ticker: Ticker::try_from("SPY").unwrap(),
            times: start..start + 2 * MINUTE,
        };
        let held = minutes.store().read(&span, &"kitchen".into());
        let bars: Vec<_> = held
            .bars
            .iter()
            .map(|minute| (minute.bar.close.as_f64(), minute.volume, minute.average))
            .collect();
        let average = Some(1.25);
        assert_eq!(
            bars,
            [(1.5, Some(1.5), average), (2.0, Some(20.0), average)]
        );
        assert!(held.whole && !held.simulated);
        // After a change to another vendor, no bar of the old vendor is returned.
        minutes.seen(true, &[]);
        let held = minutes.store().read(&span, &"kitchen".into());
        assert!(held.bars.is_empty() && !held.whole && held.simulated);
    }
}
