//! Quotes over HTTP: what the WebSocket never says (the previous close, the day, what is computed
//! of a contract), and the last value when nothing streams. Asks politely and parses
//! suspiciously: `last: 0` is no data.

mod asking;
mod market;
mod minutes;
mod rows;
mod schedule;

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{mpsc, watch};

pub(super) use asking::fetch;
pub(crate) use asking::{Answer, ask};
pub use asking::{Refusal, get, vendor_rest};
pub use market::status;
pub use minutes::bars;
pub(crate) use minutes::minute;

use super::audience::shown;
use super::link::Via;
use super::net::{Connector, Endpoint};
use super::session::Source;
use super::snapshot;
use super::ticket::Doorman;
use super::{Seed, Update, Why};
use crate::clock::{Clock, Now, Utc};
use crate::market::{Symbol, Ticker};
use schedule::{Job, Schedule, Service};

/// What the desk needs of REST.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Need {
    /// The quotes of these; what is due at about the same time is one request.
    pub asks: Vec<Ask>,
    /// Another number for each watchlist: it is asked for at once.
    pub list: u64,
    /// Another number after each return of a link and each step of the clock: what was known
    /// before may be old, or was judged wrongly.
    pub epoch: u64,
    /// How often the state of the markets is needed; `None` for never.
    pub market: Option<Duration>,
    /// The agreed wall time less the monotonic one, in milliseconds, to some seconds; `None` while there
    /// is none.
    pub offset: Option<i64>,
    /// The minutes of these since then, the start of a trading day: once for each list and epoch,
    /// and again after a failure.
    pub minutes: Vec<(Symbol, Utc)>,
}

/// How often the quotes of one symbol are needed.
#[derive(Clone, Debug, PartialEq)]
pub struct Ask {
    /// Whose.
    pub symbol: Symbol,
    /// So long after an answer they are asked for again; `None` if now and then will do.
    pub pace: Option<Duration>,
}

/// What has been said of the other side's words, each once until they change.
#[derive(Debug, Default)]
struct Told {
    /// By service.
    failures: [Option<Why>; 3],
    refused: Vec<(Ticker, String)>,
}

impl Told {
    /// Whether a failure is news; `None` is an answer.
    fn failure(&mut self, service: Service, why: Option<Why>) -> bool {
        let before = &mut self.failures[service as usize];
        std::mem::replace(before, why) != why && why.is_some()
    }

    /// Those of these refusals, of the answer about these symbols, that are news.
    fn refused(&mut self, now: Vec<(Ticker, String)>, asked: &[Symbol]) -> Vec<(Ticker, String)> {
        let known = |said: &(Ticker, String)| self.refused.contains(said);
        let news = now.iter().filter(|said| !known(said)).cloned().collect();
        let about = |ticker: &Ticker| asked.iter().any(|symbol| symbol.ticker() == ticker);
        self.refused.retain(|(ticker, _)| !about(ticker));
        self.refused.extend(now);
        news
    }
}

/// Keeps the desk supplied by REST until it is gone: at the start, when the watchlist changes or a
/// link returns, at the pace that is needed, now and then besides, and with growing waits while
/// there is no answer. One request at a time.
pub async fn keep_asking(
    connector: Connector,
    source: Arc<Source>,
    mut needs: watch::Receiver<Need>,
    updates: mpsc::Sender<Update>,
    clock: Clock,
) {
    let mut asker = Asker {
        via: source.via,
        doorman: Doorman::new(connector, source, clock.clone()),
        updates,
        clock,
        schedule: Schedule::new(),
        told: Told::default(),
        offset: None,
    };
    asker.want(&needs.borrow_and_update());
    loop {
        match needs.has_changed() {
            Ok(true) => asker.want(&needs.borrow_and_update()),
            Ok(false) => {}
            Err(_) => return,
        }
        let now = asker.now();
        if let Some(job) = asker.schedule.next(now) {
            if asker.perform(&job).await.is_err() {
                return;
            }
            continue;
        }
        tokio::select! {
            () = asker.clock.sleep_until(asker.schedule.due(now)) => {}
            // Looked at above, its end too.
            _ = needs.changed() => needs.mark_changed(),
        }
    }
}

/// The desk is gone.
struct Over;

struct Asker {
    via: Via,
    doorman: Doorman,
    updates: mpsc::Sender<Update>,
    clock: Clock,
    schedule: Schedule,
    told: Told,
    /// Of the agreed time, see [`Need`].
    offset: Option<i64>,
}

impl Asker {
    fn want(&mut self, need: &Need) {
        self.schedule.want(need);
        self.offset = need.offset;
    }

    /// The agreed time, if there is one.
    fn now(&self) -> Now {
        Now::of_offset(self.clock.now().monotonic, self.offset)
    }

    /// Asks, and tells the desk the answer.
    async fn perform(&mut self, job: &Job) -> Result<(), Over> {
        let began = self.clock.now().monotonic;
        let outcome = match job {
            Job::Quotes(symbols) => self.quotes(symbols).await,
            Job::Market => self.market().await,
            Job::Minutes(symbol, from) => self.minutes(symbol, *from).await,
        };
        let now = self.now();
        if let Some((utc, ago)) = self.doorman.take_date(now.monotonic.since(began)) {
            let at = now.monotonic - ago;
            let update = Update::ServerTime { at, utc };
            self.updates.send(update).await.map_err(|_| Over)?;
        }
        let service = job.service();
        let updates = match outcome {
            Ok(updates) => updates,
            Err(refusal) => {
                let said = refusal.wait(now.utc);
                self.schedule.failed(job, refusal.why, said, now.monotonic);
                // Once: a hub without quotes is no fault of its link.
                if self.told.failure(service, Some(refusal.why)) {
                    log::log!(service.level(), "{}: {}", service.name(), refusal.why);
                }
                return Ok(());
            }
        };
        self.told.failure(service, None);
        self.schedule.answered(job, &updates, now.monotonic);
        for update in updates {
            self.updates.send(update).await.map_err(|_| Over)?;
        }
        Ok(())
    }

    async fn quotes(&mut self, symbols: &[Symbol]) -> Result<Vec<Update>, Refusal> {
        let body = self.doorman.get(&path(self.via, symbols)).await?;
        let Quotes { seeds, refused } = read(self.via, &body, symbols)?;
        for (ticker, words) in self.told.refused(refused, symbols) {
            log::warn!("{ticker}: the vendor says {words}");
        }
        let seeds = seeds.into_iter();
        Ok(seeds.map(|seed| Update::Seed(Box::new(seed))).collect())
    }

    async fn market(&mut self) -> Result<Vec<Update>, Refusal> {
        let body = self.doorman.get(market::path(self.via)).await?;
        let (status, simulated) = market::status(&body).ok_or(Why::Protocol)?;
        Ok(vec![Update::Market(status, simulated)])
    }

    async fn minutes(&mut self, symbol: &Symbol, from: Utc) -> Result<Vec<Update>, Refusal> {
        // Before a day has begun there is nothing of it.
        let Some(to) = self.now().utc.filter(|to| *to > from) else {
            return Ok(Vec::new());
        };
        let path = minutes::path(self.via, symbol, from, to);
        let body = self.doorman.get(&path).await?;
        let (bars, simulated) = minutes::bars(&body, symbol, from, to).ok_or(Why::Protocol)?;
        // Nothing traded is nothing to tell.
        let ticker = Ticker::try_from(symbol.ticker()).ok();
        let ticker = ticker.filter(|_| !bars.is_empty());
        let update = ticker.map(|ticker| Update::Minutes {
            ticker,
            bars,
            simulated,
        });
        Ok(update.into_iter().collect())
    }
}

/// What an answer says.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Quotes {
    /// Of each symbol of which it says something.
    pub seeds: Vec<Seed>,
    /// The words for those it refuses, fit for a log.
    pub refused: Vec<(Ticker, String)>,
}

/// Asks once for what REST knows of these symbols. The secret goes to whoever is at the other end:
/// a plaintext hub must have been recognised before.
///
/// # Errors
/// Why there is no answer; an answer that lacks a symbol is no error.
pub async fn quotes(
    connector: &Connector,
    source: &Source,
    symbols: &[Symbol],
) -> Result<Quotes, Why> {
    let path = path(source.via, symbols);
    let body = get(connector, &endpoint(source), &path, source).await;
    read(source.via, &body.map_err(|refusal| refusal.why)?, symbols)
}

/// Where the REST of a source is.
pub(super) fn endpoint(source: &Source) -> Endpoint {
    match source.via {
        Via::Hub => source.endpoint.clone(),
        Via::Vendor => vendor_rest(&source.endpoint),
    }
}

/// Where the quotes of these are asked for.
fn path(via: Via, symbols: &[Symbol]) -> String {
    match via {
        Via::Hub => {
            // Indices by their plain names, as the proxy knows them.
            let names: Vec<String> = symbols.iter().map(Symbol::to_string).collect();
            format!("/api/quotes?tickers={}", names.join(","))
        }
        Via::Vendor => snapshot::path(symbols.iter().map(Symbol::ticker)),
    }
}

/// What an answer says of those that were asked for.
///
/// # Errors
/// It is no answer.
pub fn read(via: Via, body: &[u8], symbols: &[Symbol]) -> Result<Quotes, Why> {
    let answer = match via {
        Via::Hub => rows::rows(body),
        Via::Vendor => snapshot::read(body).map(|snapshot| Quotes {
            seeds: snapshot.seeds().collect(),
            refused: refusals(&snapshot.rows),
        }),
    };
    let mut answer = answer.map_err(|error| {
        log::debug!("quotes: {error}");
        Why::Protocol
    })?;
    let asked = |ticker: &Ticker| symbols.iter().any(|symbol| symbol.ticker() == ticker);
    answer.seeds.retain(|seed| asked(&seed.ticker));
    answer.refused.retain(|(ticker, _)| asked(ticker));
    Ok(answer)
}

/// The vendor's words for what it refuses.
fn refusals(rows: &[snapshot::Row]) -> Vec<(Ticker, String)> {
    let words = |row: &snapshot::Row| {
        let ticker = Ticker::try_from(row.ticker.as_str()).ok()?;
        Some((ticker, shown(row.error.as_ref()?)))
    };
    rows.iter().filter_map(words).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::market::Denial;

    fn symbols(names: &[&str]) -> Vec<Symbol> {
        names.iter().map(|name| name.parse().unwrap()).collect()
    }

    #[test]
    fn the_vendors_words_are_told_once_in_one_line_and_only_for_what_was_asked() {
        let body = br#"{"results":[{"ticker":"I:SPX","error":"NOT\nENTITLED\u001b[31m"},
            {"ticker":"I:\nforged","error":"NOT_FOUND"},{"ticker":"I:NDX","error":"NOT_FOUND"},
            {"ticker":"I:VIX","error":"NOT_FOUND"}]}"#;
        let (spx, vix) = (symbols(&["SPX"]), symbols(&["VIX"]));
        let refused = read(Via::Vendor, body, &spx).unwrap().refused;
        let words = (
            Ticker::try_from("I:SPX").unwrap(),
            "NOT ENTITLED [31m".into(),
        );
        assert_eq!(refused, [words]);
        let other = read(Via::Vendor, body, &vix).unwrap();
        assert_eq!(other.seeds[0].denial, Some(Denial::NotFound));
        let mut told = Told::default();
        assert_eq!(told.refused(refused.clone(), &spx), refused);
        assert_eq!(told.refused(refused.clone(), &spx), []);
        // An answer about another says nothing about this one.
        assert_eq!(told.refused(other.refused.clone(), &vix), other.refused);
        assert_eq!(told.refused(refused.clone(), &spx), []);
        assert_eq!(told.refused(Vec::new(), &spx), []);
        assert_eq!(told.refused(refused.clone(), &spx), refused);
    }

    #[test]
    fn a_failure_is_told_at_each_change_of_its_reason() {
        let mut told = Told::default();
        let news = [
            Some(Why::Timeout),
            Some(Why::Timeout),
            Some(Why::Busy),
            None,
            Some(Why::Busy),
        ]
        .map(|why| told.failure(Service::Quotes, why));
        assert_eq!(news, [true, false, true, false, true]);
        assert!(told.failure(Service::Market, Some(Why::Busy)));
    }

    #[test]
    fn the_vendors_late_endpoint_is_known_by_its_name() {
        let delayed = |via, text: &str| {
            let endpoint = Endpoint::parse(text).unwrap();
            let secret = None;
            Source {
                via,
                endpoint,
                secret,
            }
            .delayed()
        };
        assert!(delayed(Via::Vendor, "wss://delayed.massive.com"));
        assert!(!delayed(Via::Vendor, "wss://socket.massive.com"));
        assert!(!delayed(Via::Hub, "wss://delayed.example.org"));
    }
}
