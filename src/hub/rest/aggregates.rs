//! The one-minute bars of the session, for displays that connect in the middle of the session. One
//! task owns the bars and receives every minute bar that passes. Older bars are requested from the
//! vendor once for all clients, and merged.

use serde::Deserialize;
use tokio::sync::{mpsc, oneshot};

pub(crate) use super::aggregates_request::{AggregatesRequest, InvalidRequest};
use super::bar_store::{BarRange, BarStore, CachedBar, CachedBars};
use super::cache::QuotesError;
use super::quotes::QuoteCache;
use crate::hub::RelayedEvent;
use crate::market::ChannelKind;
use crate::massive::websocket::{self, Event, MarketData};
use crate::time::Now;

/// The maximum number of queued commands. A full queue makes the upstreams and the requests wait.
const QUEUE: usize = 64;

enum BarCommand {
    /// Bars that passed on the minute channels of an upstream, and true if the prices of the
    /// upstream are simulated.
    Seen(bool, Vec<RelayedEvent>),
    /// The vendor's complete bars of a span, and true if their prices are simulated.
    Fetched(BarRange, Vec<CachedBar>, bool),
    Read(BarRange, oneshot::Sender<CachedBars>),
}

/// A handle to the task that owns the one-minute bars.
#[derive(Clone, Debug)]
pub struct BarCache(mpsc::Sender<BarCommand>);

impl BarCache {
    /// Returns a handle to an empty store, and the task that owns the store. The task must run as
    /// long as a handle exists.
    pub fn new() -> (Self, impl Future<Output = ()> + Send + 'static) {
        let (commands, ordered) = mpsc::channel(QUEUE);
        (Self(commands), keep(ordered))
    }

    /// Reports the bars that passed on the minute channels of an upstream, if there are any.
    /// `simulated` is true if the prices of the upstream are simulated.
    pub(crate) async fn seen(&self, simulated: bool, bars: Vec<RelayedEvent>) {
        self.order(BarCommand::Seen(simulated, bars)).await;
    }

    /// Returns the response body for the requested bars. If the vendor does not provide the bars
    /// that did not pass through this hub, the body contains only the stored bars and
    /// `stale: true`.
    ///
    /// # Errors
    /// The reason of the failed request, if there is no bar to return.
    pub(crate) async fn answer(
        &self,
        quotes: &QuoteCache,
        request: &AggregatesRequest,
        now: Now,
    ) -> Result<String, QuotesError> {
        let span = request.span(now);
        let mut held = self.read(&span).await;
        let reported = quotes
            .simulated()
            .filter(|reported| *reported != held.simulated);
        if let Some(simulated) = reported {
            // The vendor has changed between real and simulated prices, and only a REST response
            // shows the change.
            self.seen(simulated, Vec::new()).await;
            held = self.read(&span).await;
        }
        if held.whole {
            return Ok(request.body(&held, false));
        }
        let path = request.path(&span);
        let simulated = |body: &[u8]| Some(request.minutes(body)?.1);
        let answer = quotes.minutes(&path, simulated).await;
        let stale = match &answer {
            Ok(answer) => {
                let made = now.utc.map(|utc| utc.0 - answer.age.as_millis() as i64);
                let (fetched, simulated) = request.minutes(&answer.body).unwrap_or_default();
                let span = request.fetched(&span, made);
                self.order(BarCommand::Fetched(span, fetched, simulated))
                    .await;
                answer.stale
            }
            Err(_) => true,
        };
        let held = self.read(&span).await;
        match answer {
            Err(error) if held.minutes.is_empty() => Err(error),
            _ => Ok(request.body(&held, stale)),
        }
    }

    async fn read(&self, span: &BarRange) -> CachedBars {
        let (reply, held) = oneshot::channel();
        self.order(BarCommand::Read(span.clone(), reply)).await;
        held.await.unwrap_or_default()
    }

    async fn order(&self, order: BarCommand) {
        // An error means that the owner of the bars has ended, because the hub is ending.
        self.0.send(order).await.ok();
    }
}

async fn keep(mut commands: mpsc::Receiver<BarCommand>) {
    let mut store = BarStore::default();
    let mut text = String::new();
    while let Some(order) = commands.recv().await {
        match order {
            BarCommand::Seen(simulated, bars) => {
                store.set_simulated(simulated);
                for event in bars {
                    if let Some(minute) = read(&event, &mut text) {
                        store.stream(&event.channel.ticker, minute);
                    }
                }
            }
            BarCommand::Fetched(span, minutes, simulated) => {
                store.set_simulated(simulated);
                store.merge(&span, minutes);
            }
            // The receiver of the response may have stopped waiting.
            BarCommand::Read(span, reply) => drop(reply.send(store.read(&span))),
        }
    }
}

/// The volume of a bar, which `websocket` does not read.
#[derive(Deserialize)]
struct BarVolume {
    v: Option<f64>,
}

/// Reads the bar of an event. `text` is a buffer that is reused for each event.
fn read(event: &RelayedEvent, text: &mut String) -> Option<CachedBar> {
    let json = std::str::from_utf8(&event.json).ok()?;
    text.clear();
    text.push('[');
    text.push_str(json);
    text.push(']');
    let Some(Ok(Event::Market(_, event))) = websocket::events(text).next() else {
        return None;
    };
    let MarketData::Bar { bar, .. } = event.data else {
        return None;
    };
    let traded = serde_json::from_str(json).ok();
    let volume = traded.and_then(|traded: BarVolume| traded.v);
    (event.kind == ChannelKind::Minute).then_some(CachedBar {
        bar,
        volume: volume.filter(|volume| *volume >= 0.0),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::hub::Arrival;
    use crate::hub::rest::bar_store::MINUTE;
    use crate::market::Channel;
    use crate::market::Ticker;

    #[tokio::test]
    async fn streamed_bars_are_cached_and_a_corrected_bar_replaces_the_old_bar() {
        let (minutes, keeping) = BarCache::new();
        tokio::spawn(keeping);
        let start = 1_795_444_200_000_i64;
        let bar = |start: i64, close: &str| {
            RelayedEvent {
            channel: Channel::parse("AM.SPY").unwrap(),
            json: format!(
                r#"{{"ev":"AM","sym":"SPY","v":{close}0,"av":9000,"o":2,"c":{close},"h":3e0,"l":1,"s":{start},"e":{}}}"#,
                start + MINUTE
            )
            .into(),
            arrival: Arrival::default(),
        }
        };
        let mut broken = bar(start, "2.5");
        broken.json = r#"{"ev":"AM","sym":"SPY","o":0}"#.into();
        minutes.seen(false, vec![bar(start, "2.5"), broken]).await;
        let more = vec![bar(start + MINUTE, "2"), bar(start, "1.5")];
        minutes.seen(false, more).await;
        let span = BarRange {
            ticker: Ticker::try_from("SPY").unwrap(),
            times: start..start + 2 * MINUTE,
        };
        let held = minutes.read(&span).await;
        let bars: Vec<_> = held
            .minutes
            .iter()
            .map(|minute| (minute.bar.close.as_f64(), minute.volume))
            .collect();
        assert_eq!(bars, [(1.5, Some(1.5)), (2.0, Some(20.0))]);
        assert!(held.whole && !held.simulated);
        // After a change to another vendor, no bar of the old vendor is returned.
        minutes.seen(true, Vec::new()).await;
        let held = minutes.read(&span).await;
        assert!(held.minutes.is_empty() && !held.whole && held.simulated);
    }
}
