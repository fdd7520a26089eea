//! The minutes of the session, for displays that come in the middle of it. Owned by one task, which
//! is told of every bar of a minute that passes; what came before that is asked of the vendor once
//! for all, and merged.

use std::ops::Range;

use serde::Deserialize;
use tokio::sync::{mpsc, oneshot};

use super::quotes::{QuoteCache, QuotesError};
use crate::hub::RelayedEvent;
pub(crate) use crate::hub::rest::aggregates_request::{AggregatesRequest, InvalidRequest};
use crate::hub::rest::bar_store::BarStore;
use crate::market::{Bar, ChannelKind, Ticker};
use crate::massive::websocket;
use crate::time::Now;

/// Orders that may wait before an upstream or a request does.
const QUEUE: usize = 64;
/// In milliseconds.
pub(crate) const MINUTE: i64 = 60_000;

/// One bar, and how much was traded in it, where somebody said.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct CachedBar {
    pub(super) bar: Bar,
    pub(super) volume: Option<f64>,
}

/// What there is of a span of time.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct CachedBars {
    pub(super) minutes: Vec<CachedBar>,
    /// There is no other.
    pub(super) whole: bool,
    /// They are not real.
    pub(super) simulated: bool,
}

/// A span of time of one ticker, in milliseconds.
#[derive(Clone, Debug)]
pub(crate) struct BarRange {
    pub(super) ticker: Ticker,
    /// The end does not belong to it.
    pub(super) times: Range<i64>,
}

enum BarCommand {
    /// An upstream is up, and its prices are simulated or not; and these events on channels of
    /// minutes have passed.
    Seen(bool, Vec<RelayedEvent>),
    /// The vendor's own, which are all there are of this span; and whether they are simulated.
    Fetched(BarRange, Vec<CachedBar>, bool),
    Read(BarRange, oneshot::Sender<CachedBars>),
}

/// The way to whoever keeps the minutes.
#[derive(Clone, Debug)]
pub struct BarCache(mpsc::Sender<BarCommand>);

impl BarCache {
    /// The way to an empty store, and what keeps it: to be run as long as anybody has the way.
    pub fn new() -> (Self, impl Future<Output = ()> + Send + 'static) {
        let (commands, ordered) = mpsc::channel(QUEUE);
        (Self(commands), keep(ordered))
    }

    /// An upstream is up, whose prices are simulated or not; and these events on channels of
    /// minutes have passed, if any.
    pub(crate) async fn seen(&self, simulated: bool, bars: Vec<RelayedEvent>) {
        self.order(BarCommand::Seen(simulated, bars)).await;
    }

    /// The body that answers for these minutes. Where the vendor cannot be asked for those that did
    /// not pass here it holds those that did, and `stale: true`.
    ///
    /// # Errors
    /// Why there is no answer, if there is none at all.
    pub(crate) async fn answer(
        &self,
        quotes: &QuoteCache,
        asked: &AggregatesRequest,
        now: Now,
    ) -> Result<String, QuotesError> {
        let span = asked.span(now);
        let mut held = self.read(&span).await;
        let told = quotes.simulated().filter(|told| *told != held.simulated);
        if let Some(simulated) = told {
            // By REST alone the vendor has said that it is another.
            self.seen(simulated, Vec::new()).await;
            held = self.read(&span).await;
        }
        if held.whole {
            return Ok(asked.body(&held, false));
        }
        let path = asked.path(&span);
        let simulated = |body: &[u8]| Some(asked.minutes(body)?.1);
        let answer = quotes.minutes(&path, simulated).await;
        let stale = match &answer {
            Ok(answer) => {
                let made = now.utc.map(|utc| utc.0 - answer.age.as_millis() as i64);
                let (fetched, simulated) = asked.minutes(&answer.body).unwrap_or_default();
                let span = asked.fetched(&span, made);
                self.order(BarCommand::Fetched(span, fetched, simulated))
                    .await;
                answer.stale
            }
            Err(_) => true,
        };
        let held = self.read(&span).await;
        match answer {
            Err(error) if held.minutes.is_empty() => Err(error),
            _ => Ok(asked.body(&held, stale)),
        }
    }

    async fn read(&self, span: &BarRange) -> CachedBars {
        let (reply, held) = oneshot::channel();
        self.order(BarCommand::Read(span.clone(), reply)).await;
        held.await.unwrap_or_default()
    }

    async fn order(&self, order: BarCommand) {
        // Nobody keeps anything any more: the hub is ending.
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
            // Whoever asked may have stopped waiting.
            BarCommand::Read(span, reply) => drop(reply.send(store.read(&span))),
        }
    }
}

/// What `wire` does not read of a bar.
#[derive(Deserialize)]
struct BarVolume {
    v: Option<f64>,
}

/// The bar of an event; `text` is used again for each.
fn read(event: &RelayedEvent, text: &mut String) -> Option<CachedBar> {
    let json = std::str::from_utf8(&event.json).ok()?;
    text.clear();
    text.push('[');
    text.push_str(json);
    text.push(']');
    let Some(Ok(websocket::MarketEvent::Bar { kind, bar, .. })) = websocket::events(text).next()
    else {
        return None;
    };
    let traded = serde_json::from_str(json).ok();
    let volume = traded.and_then(|traded: BarVolume| traded.v);
    (kind == ChannelKind::Minute).then_some(CachedBar {
        bar,
        volume: volume.filter(|volume| *volume >= 0.0),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::hub::Arrival;
    use crate::market::Channel;

    #[tokio::test]
    async fn bars_that_pass_are_kept_and_a_corrected_one_replaces() {
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
        let told: Vec<_> = held
            .minutes
            .iter()
            .map(|minute| (minute.bar.close.as_f64(), minute.volume))
            .collect();
        assert_eq!(told, [(1.5, Some(1.5)), (2.0, Some(20.0))]);
        assert!(held.whole && !held.simulated);
        // Another vendor: nothing of this one is repeated.
        minutes.seen(true, Vec::new()).await;
        let held = minutes.read(&span).await;
        assert!(held.minutes.is_empty() && !held.whole && held.simulated);
    }
}
