//! Quotes over HTTP: what the WebSocket never says (the previous close), and the last value when
//! nothing streams. Asks politely and parses suspiciously: `last: 0` is no data.

use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use http_body_util::{BodyExt, Empty, Limited};
use hyper::body::Bytes;
use hyper::header::{
    ACCEPT, AUTHORIZATION, CONTENT_TYPE, HOST, HeaderMap, HeaderName, RETRY_AFTER,
};
use hyper::{Method, Request, StatusCode};
use hyper_util::rt::TokioIo;
use serde::Deserialize;
use serde::de::IgnoredAny;
use tokio::sync::{mpsc, watch};

use super::audience::shown;
use super::link::Via;
use super::net::{self, Connector, Endpoint};
use super::session::Source;
use super::snapshot::{self, positive};
use super::{Close, Seed, Update, Why, wire};
use crate::clock::{Clock, Moment};
use crate::market::{Price, Symbol, Ticker};

/// The answer must be here within this.
const LIMIT: Duration = Duration::from_secs(10);
/// An answer larger than this is refused, in bytes.
const BODY_LIMIT: usize = 1 << 20;
/// Where the proxy and the hub look for the token of a request.
const TOKEN_HEADER: &str = "x-massive-proxy-token";

/// Asked again this long after a complete answer: the previous close changes once a day.
const ASK_AGAIN: Duration = Duration::from_secs(600);
/// Asked again this long after a failure; it doubles up to [`ASK_AGAIN`].
const RETRY_FIRST: Duration = Duration::from_secs(5);
/// Asked again this long after an answer while REST is all there is. The vendor's free plan
/// allows five calls a minute.
const PACE: Duration = Duration::from_secs(15);
/// Asked again no later than this after a failure while REST is all there is.
const RETRY_IN_NEED: Duration = Duration::from_secs(60);

/// What the desk needs of REST.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Need {
    /// Of these.
    pub symbols: Vec<Symbol>,
    /// Another number for each watchlist: it is asked for at once.
    pub list: u64,
    /// Another number after each return of a link and each step of the clock: what was known
    /// before may be old, or was judged wrongly.
    pub epoch: u64,
    /// A value that could change is streamed by nobody now.
    pub unfed: bool,
}

/// When REST is asked again, by what is needed in the meantime.
#[derive(Clone, Copy, Debug)]
struct Pause {
    answered: Moment,
    /// While all is well.
    wait: Duration,
    /// While REST is all there is.
    in_need: Duration,
}

impl Pause {
    fn due(&self, asked: &Need, need: &Need) -> Moment {
        if need.list != asked.list {
            return Moment::ZERO;
        }
        let mut wait = self.wait;
        if need.unfed {
            wait = wait.min(self.in_need);
        }
        if need.epoch != asked.epoch {
            wait = wait.min(PACE);
        }
        self.answered + wait
    }
}

/// What has been said of the other side's words, each once until they change.
#[derive(Debug, Default)]
struct Told {
    failure: Option<Why>,
    refused: Vec<(Ticker, String)>,
}

impl Told {
    /// Whether a failure is news; `None` is an answer.
    fn failure(&mut self, why: Option<Why>) -> bool {
        std::mem::replace(&mut self.failure, why) != why && why.is_some()
    }

    /// Those of these refusals that are news.
    fn refused(&mut self, now: Vec<(Ticker, String)>) -> Vec<(Ticker, String)> {
        let before = std::mem::replace(&mut self.refused, now);
        let news = self.refused.iter().filter(|said| !before.contains(said));
        news.cloned().collect()
    }
}

/// Keeps the desk supplied with quotes by REST until it is gone: at the start, when the watchlist
/// changes or a link returns, often while nothing streams, now and then after that, and with
/// growing waits while there is no answer.
pub async fn keep_asking(
    connector: Connector,
    source: Arc<Source>,
    mut needs: watch::Receiver<Need>,
    updates: mpsc::Sender<Update>,
    clock: Clock,
) {
    let mut retry = RETRY_FIRST;
    let mut told = Told::default();
    loop {
        let asked = needs.borrow_and_update().clone();
        let (wait, in_need) = match quotes(&connector, &source, &asked.symbols).await {
            Ok(Quotes { seeds, refused }) => {
                told.failure(None);
                for (ticker, words) in told.refused(refused) {
                    log::warn!("{ticker}: the vendor says {words}");
                }
                let complete = seeds.len() == asked.symbols.len()
                    && seeds
                        .iter()
                        .all(|seed| seed.price.is_none() || seed.stamp.is_some());
                for seed in seeds {
                    if updates.send(Update::Seed(seed)).await.is_err() {
                        return;
                    }
                }
                let wait = if complete {
                    retry = RETRY_FIRST;
                    ASK_AGAIN
                } else {
                    next(&mut retry)
                };
                (wait, PACE)
            }
            Err(why) => {
                // Once: a hub without quotes is no fault of its link.
                if told.failure(Some(why)) {
                    log::warn!("quotes: {why}");
                }
                (next(&mut retry), RETRY_IN_NEED)
            }
        };
        let pause = Pause {
            answered: clock.now().monotonic,
            wait,
            in_need,
        };
        loop {
            let due = pause.due(&asked, &needs.borrow_and_update());
            if due == Moment::ZERO {
                break;
            }
            tokio::select! {
                () = clock.sleep_until(due) => break,
                changed = needs.changed() => {
                    if changed.is_err() {
                        return;
                    }
                }
            }
        }
    }
}

fn next(retry: &mut Duration) -> Duration {
    let wait = *retry;
    *retry = (wait * 2).min(ASK_AGAIN);
    wait
}

/// What an answer says.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Quotes {
    /// Of each symbol of which it says something.
    pub seeds: Vec<Seed>,
    /// The words for those it refuses, fit for a log.
    pub refused: Vec<(Ticker, String)>,
}

/// Asks for the last values and the previous closes of these symbols.
///
/// # Errors
/// Why there is no answer; an answer that lacks a symbol is no error.
pub async fn quotes(
    connector: &Connector,
    source: &Source,
    symbols: &[Symbol],
) -> Result<Quotes, Why> {
    let (path, endpoint) = match source.via {
        Via::Hub => {
            // The proxy knows indices by their plain names.
            let names: Vec<&str> = symbols.iter().map(Symbol::name).collect();
            (
                format!("/api/quotes?tickers={}", names.join(",")),
                source.endpoint.clone(),
            )
        }
        Via::Vendor => {
            let path = snapshot::path(symbols.iter().map(Symbol::ticker));
            (path, vendor_rest(&source.endpoint))
        }
    };
    let body = get(connector, &endpoint, &path, source)
        .await
        .map_err(|refusal| refusal.why)?;
    let answer = match source.via {
        Via::Hub => proxy_rows(&body).map(|seeds| Quotes {
            seeds,
            refused: Vec::new(),
        }),
        Via::Vendor => snapshot::rows(&body).map(|rows| Quotes {
            seeds: rows.iter().filter_map(snapshot::Row::seed).collect(),
            refused: refusals(&rows, symbols),
        }),
    };
    let mut answer = answer.map_err(|error| {
        log::debug!("quotes: {error}");
        Why::Protocol
    })?;
    let asked = |seed: &Seed| symbols.iter().any(|symbol| symbol.ticker() == seed.ticker);
    answer.seeds.retain(asked);
    Ok(answer)
}

/// The vendor's words for those symbols that it refuses: one for each that was asked for.
fn refusals(rows: &[snapshot::Row], symbols: &[Symbol]) -> Vec<(Ticker, String)> {
    let of = |symbol: &Symbol| {
        let row = rows.iter().find(|row| row.ticker == symbol.ticker())?;
        let words = shown(row.error.as_ref()?);
        Some((Ticker::try_from(symbol.ticker()).ok()?, words))
    };
    symbols.iter().filter_map(of).collect()
}

/// The vendor's REST stands beside its sockets, `api.` for `socket.` or `delayed.`; any other
/// host (a simulator) serves both.
pub fn vendor_rest(sockets: &Endpoint) -> Endpoint {
    let mut endpoint = sockets.clone();
    for prefix in ["socket.", "delayed."] {
        if let Some(domain) = sockets.host.strip_prefix(prefix) {
            endpoint.host = format!("api.{domain}");
        }
    }
    endpoint
}

/// Why there is no answer, and what was said about asking again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// The reason.
    pub why: Why,
    /// The `Retry-After` of the answer: seconds, or a date.
    pub retry_after: Option<String>,
}

impl From<Why> for Refusal {
    fn from(why: Why) -> Self {
        Self {
            why,
            retry_after: None,
        }
    }
}

/// The JSON at a path below the endpoint.
///
/// # Errors
/// Why there is none.
pub async fn get(
    connector: &Connector,
    endpoint: &Endpoint,
    path: &str,
    source: &Source,
) -> Result<Bytes, Refusal> {
    fetch(connector, endpoint, Method::GET, path, source).await
}

/// The JSON that answers a request without a body.
///
/// # Errors
/// Why there is none.
pub(super) async fn fetch(
    connector: &Connector,
    endpoint: &Endpoint,
    method: Method,
    path: &str,
    source: &Source,
) -> Result<Bytes, Refusal> {
    tokio::time::timeout(LIMIT, request(connector, endpoint, method, path, source))
        .await
        .map_err(|_| Why::Timeout)?
}

async fn request(
    connector: &Connector,
    endpoint: &Endpoint,
    method: Method,
    path: &str,
    source: &Source,
) -> Result<Bytes, Refusal> {
    let answer = exchange(connector, endpoint, method, path, source, false).await?;
    if answer.status != StatusCode::OK {
        return Err(Refusal {
            why: net::refusal(answer.status),
            retry_after: answer.header(&RETRY_AFTER).map(str::to_owned),
        });
    }
    // A web page where JSON was due.
    Ok(answer.json.ok_or(Why::Portal)?)
}

/// What a server says to a request, before anybody has judged it.
#[derive(Debug)]
pub(crate) struct Answer {
    /// Its status.
    pub(crate) status: StatusCode,
    headers: HeaderMap,
    /// Its body, if that is JSON; of another status than 200 only where it was asked for.
    pub(crate) json: Option<Bytes>,
}

impl Answer {
    /// A header, if it is text.
    pub(crate) fn header(&self, name: &HeaderName) -> Option<&str> {
        self.headers.get(name)?.to_str().ok()
    }
}

/// What the source answers to a request without a body, whatever it is. Boxed, so that its code is
/// there once, however many ask.
///
/// # Errors
/// Why it answers nothing.
pub(crate) fn ask<'a>(
    connector: &'a Connector,
    source: &'a Source,
    method: Method,
    path: &'a str,
) -> Asking<'a> {
    Box::pin(async move {
        let asking = exchange(connector, &source.endpoint, method, path, source, true);
        let answer = tokio::time::timeout(LIMIT, asking).await;
        answer.map_err(|_| Why::Timeout)?
    })
}

/// An answer that is on its way.
pub(crate) type Asking<'a> = Pin<Box<dyn Future<Output = Result<Answer, Why>> + Send + 'a>>;

/// `whole` reads the JSON of every status. Boxed, as `ask` is.
fn exchange<'a>(
    connector: &'a Connector,
    endpoint: &'a Endpoint,
    method: Method,
    path: &'a str,
    source: &'a Source,
    whole: bool,
) -> Asking<'a> {
    let exchange = exchanged(connector, endpoint, method, path, source, whole);
    Box::pin(exchange)
}

async fn exchanged(
    connector: &Connector,
    endpoint: &Endpoint,
    method: Method,
    path: &str,
    source: &Source,
    whole: bool,
) -> Result<Answer, Why> {
    let mut builder = Request::builder()
        .method(method)
        .uri(format!("{}{path}", endpoint.base))
        .header(HOST, endpoint.authority())
        .header(ACCEPT, "application/json");
    if let Some(secret) = &source.secret {
        builder = match source.via {
            Via::Hub => builder.header(TOKEN_HEADER, secret.reveal()),
            Via::Vendor => builder.header(AUTHORIZATION, format!("Bearer {}", secret.reveal())),
        };
    }
    let request = builder
        .body(Empty::<Bytes>::new())
        .map_err(|_| Why::Protocol)?;
    let stream = connector.stream(endpoint).await?;
    let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream))
        .await
        .map_err(|_| Why::Lost)?;
    let exchange = async {
        let response = sender.send_request(request).await.map_err(|_| Why::Lost)?;
        let (head, body) = response.into_parts();
        let json = head.headers.get(CONTENT_TYPE).is_some_and(|kind| {
            kind.to_str().is_ok_and(|kind| {
                kind.trim_start()
                    .to_ascii_lowercase()
                    .starts_with("application/json")
            })
        });
        let json = if json && (whole || head.status == StatusCode::OK) {
            let body = Limited::new(body, BODY_LIMIT).collect().await;
            Some(body.map_err(|_| Why::Protocol)?.to_bytes())
        } else {
            None
        };
        Ok(Answer {
            status: head.status,
            headers: head.headers,
            json,
        })
    };
    tokio::pin!(exchange);
    tokio::select! {
        outcome = &mut exchange => outcome,
        // Driving the connection is what lets the exchange go on; when it has ended, what it had
        // read is still there to be taken.
        _ = connection => exchange.await,
    }
}

#[derive(Deserialize)]
struct ProxyAnswer {
    results: Vec<Row<ProxyRow>>,
}

/// A row that cannot be read costs none of the others.
#[derive(Deserialize)]
#[serde(untagged)]
enum Row<T> {
    Good(T),
    Junk(IgnoredAny),
}

impl<T> Row<T> {
    fn good(&self) -> Option<&T> {
        match self {
            Row::Good(row) => Some(row),
            Row::Junk(_) => None,
        }
    }
}

/// A row of the proxy's `/api/quotes`.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct ProxyRow {
    symbol: String,
    last: Option<f64>,
    change: Option<f64>,
    as_of: Option<f64>,
    previous_close: Option<f64>,
    /// The hub's; the proxy has no such word.
    #[serde(default)]
    delayed: bool,
    source: Option<String>,
}

fn proxy_rows(body: &[u8]) -> Result<Vec<Seed>, serde_json::Error> {
    let answer: ProxyAnswer = serde_json::from_slice(body)?;
    let rows = answer.results.iter().filter_map(Row::good);
    Ok(rows.filter_map(ProxyRow::seed).collect())
}

impl ProxyRow {
    fn seed(&self) -> Option<Seed> {
        if matches!(self.source.as_deref(), Some("error" | "none")) {
            return None;
        }
        // `last: 0` means no data, never a price.
        let price = self.last.and_then(positive)?;
        // Indices come back prefixed or plain.
        let symbol: Symbol = self.symbol.parse().ok()?;
        let derived = || {
            // Where both are zero nothing is known; a change of exactly zero with a price is one.
            let change = Price::from_f64(self.change?)?;
            Some(Price::from_scaled(price.scaled() - change.scaled()))
                .filter(|close| *close > Price::from_scaled(0))
                .map(Close::Derived)
        };
        let told = self.previous_close.and_then(positive).map(Close::Told);
        Some(Seed {
            ticker: Ticker::try_from(symbol.ticker()).ok()?,
            price: Some(price),
            // Milliseconds for indices, nanoseconds for stocks: told by magnitude.
            stamp: wire::stamp(self.as_of),
            delayed: self.delayed,
            previous_close: told.or_else(derived),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::Utc;

    fn price(number: f64) -> Option<Price> {
        Price::from_f64(number)
    }

    #[test]
    fn the_proxys_traps_are_stepped_around() {
        let body = br#"{"results":[
            {"symbol":"I:SPX","last":5912.34,"change":24.73,"changePercent":0.42,"asOf":1764086430905,"source":"indices"},
            {"symbol":"VIX","last":17.25,"change":-0.4,"changePercent":-2.27,"asOf":1764086430905642800,"source":"indices-fallback"},
            {"symbol":"NDX","last":0,"change":0,"changePercent":0,"asOf":0,"source":"none"},
            {"symbol":"???","last":1,"source":"error"}]}"#;
        let seeds = proxy_rows(body).unwrap();
        assert_eq!(seeds.len(), 2, "a last of 0 is no price: {seeds:?}");
        assert_eq!(seeds[0].ticker, "I:SPX");
        assert_eq!(seeds[0].previous_close, price(5887.61).map(Close::Derived));
        assert_eq!(seeds[1].ticker, "I:VIX");
        assert_eq!(
            seeds[1].stamp,
            Some(Utc(1_764_086_430_906)),
            "nanoseconds are told by their magnitude, and rounded"
        );
        assert_eq!(seeds[1].previous_close, price(17.65).map(Close::Derived));
    }

    #[test]
    fn the_hubs_own_words_are_taken_as_told() {
        let body = br#"{"results":[{"symbol":"I:SPX","last":5912.34,"change":24.73,
            "asOf":1764086430905,"source":"indices","previousClose":5887.5,"delayed":true}]}"#;
        let seed = proxy_rows(body).unwrap().remove(0);
        assert_eq!(seed.previous_close, price(5887.5).map(Close::Told));
        assert!(seed.delayed);
    }

    #[test]
    fn the_vendors_words_are_told_once_in_one_line_and_only_for_what_was_asked() {
        let body = br#"{"results":[{"ticker":"I:SPX","error":"NOT\nENTITLED\u001b[31m"},
            {"ticker":"I:\nforged","error":"NOT_FOUND"},{"ticker":"I:NDX","error":"NOT_FOUND"}]}"#;
        let rows = snapshot::rows(body).unwrap();
        let refused = refusals(&rows, &["SPX".parse().unwrap()]);
        let words = (
            Ticker::try_from("I:SPX").unwrap(),
            "NOT ENTITLED [31m".into(),
        );
        assert_eq!(refused, [words]);
        let mut told = Told::default();
        assert_eq!(told.refused(refused.clone()), refused);
        assert_eq!(told.refused(refused.clone()), []);
        assert_eq!(told.refused(Vec::new()), []);
        assert_eq!(told.refused(refused.clone()), refused);
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
        .map(|why| told.failure(why));
        assert_eq!(news, [true, false, true, false, true]);
    }

    #[test]
    fn rest_is_asked_often_while_nothing_streams_and_once_when_a_link_returns() {
        let pause = Pause {
            answered: Moment::from_secs(100),
            wait: ASK_AGAIN,
            in_need: PACE,
        };
        let asked = Need::default();
        let due = |change: fn(&mut Need)| {
            let mut need = asked.clone();
            change(&mut need);
            pause.due(&asked, &need)
        };
        assert_eq!(due(|_| {}), Moment::from_secs(700));
        assert_eq!(due(|need| need.unfed = true), Moment::from_secs(115));
        assert_eq!(due(|need| need.epoch = 1), Moment::from_secs(115));
        assert_eq!(due(|need| need.list = 1), Moment::ZERO);
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

    #[test]
    fn the_vendors_rest_stands_beside_its_sockets() {
        let rest = |text: &str| vendor_rest(&Endpoint::parse(text).unwrap()).to_string();
        assert_eq!(rest("wss://socket.massive.com"), "wss://api.massive.com");
        assert_eq!(rest("wss://delayed.massive.com"), "wss://api.massive.com");
        assert_eq!(rest("ws://127.0.0.1:9"), "ws://127.0.0.1:9");
    }
}
