//! What is asked of the hub over HTTP and what it answers: who is let in by which token, and what
//! everybody else is told. Owns no connection, and logs no address, query or header.

use std::net::IpAddr;
use std::sync::Arc;
use std::sync::{Mutex, PoisonError};

use http_body_util::Full;
use hyper::body::Bytes;
use hyper::header::{
    ALLOW, AUTHORIZATION, CACHE_CONTROL, CONNECTION, CONTENT_TYPE, HOST, HeaderMap, HeaderName,
    ORIGIN, RETRY_AFTER, SEC_WEBSOCKET_ACCEPT, SEC_WEBSOCKET_KEY, SEC_WEBSOCKET_VERSION, UPGRADE,
    WWW_AUTHENTICATE,
};
use hyper::http::HeaderValue;
use hyper::{Method, Request, Response, StatusCode, Version};
use percent_encoding::percent_decode_str;
use serde_json::{Value, json};
use tokio::sync::watch;
use tokio_tungstenite::tungstenite::handshake::derive_accept_key;

use super::Settings;
use super::fanout::Door;
use super::health::{self, Health};
use super::limits::{Rates, Tally};
use super::metrics::Metrics;
use super::quotes::{Quotes, QuotesError};
use super::token::{Device, Gate};
use crate::clock::Clock;
use crate::market::{Calendar, Cluster};

/// More than the vendor answers at once.
const TICKERS_LIMIT: usize = 250;
/// Longer than any ticker that somebody might mean.
const TICKER_LENGTH: usize = 40;
/// When to try again at a hub that is full, in seconds.
const FULL_RETRY: &str = "10";

const PROXY_TOKEN: HeaderName = HeaderName::from_static("x-massive-proxy-token");
const FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");

/// Everything that an answer may need.
pub(super) struct Porter {
    pub(super) gate: Arc<Gate>,
    pub(super) doors: Vec<(Cluster, Door)>,
    pub(super) quotes: Quotes,
    pub(super) health: Vec<Health>,
    pub(super) metrics: Arc<Metrics>,
    pub(super) settings: watch::Receiver<Settings>,
    pub(super) calendar: Calendar,
    pub(super) clock: Clock,
    pub(super) rates: Mutex<Rates>,
    /// Connections that are not a client of a fan-out yet, or never will be.
    pub(super) visits: Tally,
}

/// Who asks.
#[derive(Clone, Copy, Debug)]
pub(super) struct Visitor {
    pub(super) peer: IpAddr,
    /// There is no room for another; this one is only told so.
    pub(super) full: bool,
}

/// Who is to be handed to the fan-out once the upgrade has been answered.
#[derive(Clone, Debug)]
pub(super) struct Admission {
    pub(super) cluster: Cluster,
    pub(super) device: Option<Device>,
}

pub(super) type Answer = Response<Full<Bytes>>;

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Route {
    Socket(Cluster),
    Token,
    Quotes,
    Market,
    Health,
    Metrics,
}

impl Route {
    fn of(path: &str) -> Option<Self> {
        match path {
            "/api/ws-token" => Some(Self::Token),
            "/api/quotes" => Some(Self::Quotes),
            "/api/market/status" => Some(Self::Market),
            "/healthz" => Some(Self::Health),
            "/metrics" => Some(Self::Metrics),
            // The vendor's own paths too: a client that is only given another host then works.
            _ => {
                let name = path.strip_prefix("/ws/").or(path.strip_prefix('/'))?;
                let mut all = Cluster::ALL.into_iter();
                all.find(|cluster| cluster.path() == name).map(Self::Socket)
            }
        }
    }

    const fn methods(self) -> (&'static [Method], &'static str) {
        match self {
            Self::Socket(_) => (&[Method::GET], "GET"),
            Self::Token => (&[Method::POST], "POST"),
            _ => (&[Method::GET, Method::HEAD], "GET, HEAD"),
        }
    }

    /// What is logged of a path: nothing that the other side wrote.
    const fn name(self) -> &'static str {
        match self {
            Self::Socket(Cluster::Indices) => "/ws/indices",
            Self::Socket(Cluster::Options) => "/ws/options",
            Self::Socket(Cluster::Stocks) => "/ws/stocks",
            Self::Token => "/api/ws-token",
            Self::Quotes => "/api/quotes",
            Self::Market => "/api/market/status",
            Self::Health => "/healthz",
            Self::Metrics => "/metrics",
        }
    }
}

impl Porter {
    /// The answer to a request, and whom to let in with it.
    pub(super) async fn answer<B>(
        &self,
        request: &Request<B>,
        visitor: Visitor,
    ) -> (Answer, Option<Admission>) {
        let route = Route::of(request.uri().path());
        let outcome = self.decide(request, visitor, route).await;
        let (answer, admission) = match outcome {
            Ok((answer, admission)) => (answer, admission),
            Err(refusal) => (refusal, None),
        };
        log::debug!(
            "{} {} {} {}",
            visitor.peer,
            if *request.method() == Method::POST {
                "POST"
            } else {
                "GET"
            },
            route.map_or("(unknown path)", Route::name),
            answer.status().as_u16()
        );
        (answer, admission)
    }

    async fn decide<B>(
        &self,
        request: &Request<B>,
        visitor: Visitor,
        route: Option<Route>,
    ) -> Result<(Answer, Option<Admission>), Answer> {
        let settings = self.settings.borrow().clone();
        let address = origin_of(visitor.peer, request.headers(), &settings.trusted_proxies);
        if !self.within_rate(address, &settings) {
            self.metrics.refused_rate.add(1);
            log::debug!("{address} comes too often");
            let refusal = refuse(StatusCode::TOO_MANY_REQUESTS, "too many requests");
            return Err(with(refusal, RETRY_AFTER, "60"));
        }
        let route = route.ok_or_else(|| refuse(StatusCode::NOT_FOUND, "nothing is served here"))?;
        let (methods, allowed) = route.methods();
        if !methods.contains(request.method()) {
            let refusal = refuse(StatusCode::METHOD_NOT_ALLOWED, "not this method");
            return Err(with(refusal, ALLOW, allowed));
        }
        let watching = matches!(route, Route::Health | Route::Metrics);
        if visitor.full && !watching {
            return Err(self.full());
        }
        let answer = match route {
            Route::Socket(cluster) => {
                let (answer, admission) = self.upgrade(request, cluster, &settings)?;
                return Ok((answer, Some(admission)));
            }
            Route::Token => self.token(request)?,
            Route::Quotes => self.quotes(request).await?,
            Route::Market => {
                self.recognised(request)?;
                let status = self.quotes.market_status().await;
                status.map_or_else(
                    |error| failed(&error),
                    |body| json_text(StatusCode::OK, body),
                )
            }
            Route::Health => self.health(),
            Route::Metrics => self.numbers(&settings),
        };
        Ok((answer, None))
    }

    fn within_rate(&self, address: IpAddr, settings: &Settings) -> bool {
        let mut rates = self.rates.lock().unwrap_or_else(PoisonError::into_inner);
        rates.take(
            address,
            settings.limits.per_minute,
            self.clock.now().monotonic,
        )
    }

    fn full(&self) -> Answer {
        self.metrics.refused_full.add(1);
        let refusal = refuse(StatusCode::SERVICE_UNAVAILABLE, "the hub is full");
        with(refusal, RETRY_AFTER, FULL_RETRY)
    }

    /// Everything that can be refused is refused before the upgrade.
    fn upgrade<B>(
        &self,
        request: &Request<B>,
        cluster: Cluster,
        settings: &Settings,
    ) -> Result<(Answer, Admission), Answer> {
        let headers = request.headers();
        if !self.doors.iter().any(|(served, _)| *served == cluster) {
            return Err(refuse(
                StatusCode::NOT_FOUND,
                "this hub does not serve that",
            ));
        }
        let upgrades = request.version() >= Version::HTTP_11
            && lists(headers, &CONNECTION, "upgrade")
            && lists(headers, &UPGRADE, "websocket");
        let version = headers.get(SEC_WEBSOCKET_VERSION);
        if !upgrades || version.is_none_or(|version| version != "13") {
            let refusal = refuse(
                StatusCode::UPGRADE_REQUIRED,
                "a WebSocket, version 13, is served here",
            );
            let refusal = with(refusal, SEC_WEBSOCKET_VERSION, "13");
            // `Connection: upgrade` is what RFC 9110 wants beside it; the exchange ends anyway.
            return Err(with(refusal, UPGRADE, "websocket"));
        }
        let key = headers.get(SEC_WEBSOCKET_KEY).map(HeaderValue::as_bytes);
        let decoded = key.and_then(|key| data_encoding::BASE64.decode(key).ok());
        let (Some(key), Some(16)) = (key, decoded.map(|bytes| bytes.len())) else {
            return Err(refuse(
                StatusCode::BAD_REQUEST,
                "no proper Sec-WebSocket-Key",
            ));
        };
        if !origin_allowed(headers, &settings.origins) {
            self.metrics.refused_origin.add(1);
            log::info!(
                "an upgrade from a foreign origin was refused: see `origins` in the settings"
            );
            return Err(refuse(StatusCode::FORBIDDEN, "not from this origin"));
        }
        let limits = &settings.limits;
        let count = |limit: usize| u64::try_from(limit).unwrap_or(u64::MAX);
        // Before the token, for an ephemeral one is used up by being checked.
        if self.metrics.clients.value() >= count(limits.connections) {
            return Err(self.full());
        }
        let device = match presented(request) {
            Some(token) => {
                let device = self.gate.admit(&token, self.clock.now());
                Some(device.ok_or_else(|| self.wrong_token())?)
            }
            // It may still authenticate with an `auth` action, as the official clients do.
            None if self.metrics.unauthenticated.value() >= count(limits.unauthenticated) => {
                return Err(self.full());
            }
            None => None,
        };
        let mut answer = Response::new(Full::default());
        *answer.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
        let answer = with(answer, CONNECTION, "Upgrade");
        let answer = with(answer, UPGRADE, "websocket");
        let answer = with(answer, SEC_WEBSOCKET_ACCEPT, &derive_accept_key(key));
        Ok((answer, Admission { cluster, device }))
    }

    fn wrong_token(&self) -> Answer {
        self.metrics.refused_token.add(1);
        refuse(StatusCode::FORBIDDEN, "the token was refused")
    }

    fn no_token(&self) -> Answer {
        self.metrics.refused_token.add(1);
        let refusal = refuse(StatusCode::UNAUTHORIZED, "a token is needed");
        with(refusal, WWW_AUTHENTICATE, "Bearer")
    }

    fn recognised<B>(&self, request: &Request<B>) -> Result<Device, Answer> {
        let token = presented(request).ok_or_else(|| self.no_token())?;
        let device = self.gate.recognise(&token, self.clock.now());
        device.ok_or_else(|| self.wrong_token())
    }

    /// Only a device's own token gives another: an ephemeral one could renew itself for ever.
    fn token<B>(&self, request: &Request<B>) -> Result<Answer, Answer> {
        let token = presented(request).ok_or_else(|| self.no_token())?;
        let device = self.gate.check(&token).ok_or_else(|| self.wrong_token())?;
        Ok(match self.gate.issue(&device, self.clock.now()) {
            Ok((token, expires)) => json_text(
                StatusCode::OK,
                json!({ "token": token, "expiresAt": expires }).to_string(),
            ),
            Err(why) => refuse(StatusCode::INTERNAL_SERVER_ERROR, why),
        })
    }

    async fn quotes<B>(&self, request: &Request<B>) -> Result<Answer, Answer> {
        self.recognised(request)?;
        let bad = |message: &str| refuse(StatusCode::BAD_REQUEST, message);
        let tickers = parameter(request, "tickers").unwrap_or_default();
        let tickers: Vec<&str> = tickers
            .split(',')
            .map(str::trim)
            .filter(|ticker| !ticker.is_empty())
            .collect();
        if tickers.is_empty() {
            return Err(bad("tickers required"));
        }
        if tickers.len() > TICKERS_LIMIT {
            return Err(bad("too many tickers, 250 at most"));
        }
        let plain = |ticker: &&str| {
            ticker.len() <= TICKER_LENGTH && ticker.bytes().all(|byte| byte.is_ascii_graphic())
        };
        if !tickers.iter().all(plain) {
            return Err(bad("one of these is no ticker"));
        }
        let rows = self.quotes.quotes(&tickers).await;
        Ok(rows.map_or_else(
            |error| failed(&error),
            |body| json_text(StatusCode::OK, body),
        ))
    }

    fn health(&self) -> Answer {
        let (well, report) = health::report(&self.health, &self.calendar, self.clock.now());
        let status = if well {
            StatusCode::OK
        } else {
            StatusCode::SERVICE_UNAVAILABLE
        };
        json_text(status, report.to_string())
    }

    fn numbers(&self, settings: &Settings) -> Answer {
        let mut text = self.metrics.render();
        let (calendar, now) = (&self.calendar, self.clock.now());
        health::render(&mut text, &self.health, &settings.limits, calendar, now);
        let answer = Response::new(Full::from(text));
        with(
            answer,
            CONTENT_TYPE,
            "text/plain; version=0.0.4; charset=utf-8",
        )
    }
}

/// Whose allowance a request is on: the peer's or, if that is a reverse proxy that is trusted, the
/// last address that it did not add itself.
fn origin_of(peer: IpAddr, headers: &HeaderMap, trusted: &[IpAddr]) -> IpAddr {
    let peer = peer.to_canonical();
    if !trusted.contains(&peer) {
        return peer;
    }
    let lines: Vec<&str> = headers
        .get_all(FORWARDED_FOR)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .collect();
    lines
        .iter()
        .flat_map(|line| line.split(','))
        .rev()
        .map_while(|text| text.trim().parse::<IpAddr>().ok())
        .map(|address| address.to_canonical())
        .find(|address| !trusted.contains(address))
        .unwrap_or(peer)
}

/// Whether a page may use the hub: one without an origin is no page.
fn origin_allowed(headers: &HeaderMap, allowed: &[String]) -> bool {
    let Some(origin) = headers.get(ORIGIN) else {
        return true;
    };
    let Ok(origin) = origin.to_str() else {
        return false;
    };
    let origin = origin.to_ascii_lowercase();
    if allowed.contains(&origin) {
        return true;
    }
    let (Some((scheme, authority)), Some(host)) = (
        origin.split_once("://"),
        headers.get(HOST).and_then(|host| host.to_str().ok()),
    ) else {
        return false;
    };
    let port = match scheme {
        "http" => ":80",
        "https" => ":443",
        _ => return false,
    };
    let bare = |text: &str| text.strip_suffix(port).unwrap_or(text).to_ascii_lowercase();
    bare(authority) == bare(host)
}

/// Whether a header that is a list has this word in it.
fn lists(headers: &HeaderMap, name: &HeaderName, word: &str) -> bool {
    headers
        .get_all(name)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .any(|part| part.trim().eq_ignore_ascii_case(word))
}

/// A parameter of the query. A `+` stays one: tokens in standard base64 hold it.
fn parameter<B>(request: &Request<B>, name: &str) -> Option<String> {
    request
        .uri()
        .query()?
        .split('&')
        .filter_map(|part| part.split_once('='))
        .find(|(key, _)| *key == name)
        .map(|(_, value)| {
            let bytes: Vec<u8> = percent_decode_str(value).collect();
            String::from_utf8_lossy(&bytes).into_owned()
        })
}

/// The token that somebody has given, in whichever way; an empty one is a wrong one.
fn presented<B>(request: &Request<B>) -> Option<String> {
    let header = |name| {
        let value = request.headers().get(name)?;
        // What is no text is no token, and not the same as none.
        Some(value.to_str().unwrap_or_default().to_owned())
    };
    parameter(request, "token")
        .or_else(|| header(PROXY_TOKEN))
        .or_else(|| {
            let value = header(AUTHORIZATION)?;
            let (scheme, token) = value.split_once(' ')?;
            scheme
                .eq_ignore_ascii_case("bearer")
                .then(|| token.to_owned())
        })
}

/// What a caller is told if the vendor gives no answer. 403 if it has refused the key or the plan.
fn failed(error: &QuotesError) -> Answer {
    let (status, word) = if error.why.refuses() {
        (StatusCode::FORBIDDEN, "not authorized by the vendor")
    } else {
        (StatusCode::BAD_GATEWAY, "no answer from the vendor")
    };
    let body = json!({ "error": word, "message": error.why.to_string() });
    let answer = json_text(status, body.to_string());
    match error.retry_after {
        Some(seconds) => with(answer, RETRY_AFTER, &seconds.to_string()),
        None => answer,
    }
}

fn refuse(status: StatusCode, message: &str) -> Answer {
    let body: Value = json!({ "error": message });
    json_text(status, body.to_string())
}

fn json_text(status: StatusCode, body: String) -> Answer {
    let mut answer = Response::new(Full::from(body));
    *answer.status_mut() = status;
    let answer = with(answer, CONTENT_TYPE, "application/json");
    with(answer, CACHE_CONTROL, "no-store")
}

fn with(mut answer: Answer, name: HeaderName, value: &str) -> Answer {
    // Every value here is made of our own words and numbers; one that is not is left out.
    if let Ok(value) = HeaderValue::from_str(value) {
        answer.headers_mut().insert(name, value);
    }
    answer
}
