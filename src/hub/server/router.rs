//! The router of the hub's HTTP server: checks the limits and the token of each request and returns
//! the response. Owns no connection, and never logs a query or a header.

use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};

use http_body_util::Full;
use hyper::header::{
    ALLOW, CONNECTION, CONTENT_TYPE, RETRY_AFTER, SEC_WEBSOCKET_ACCEPT, SEC_WEBSOCKET_KEY,
    SEC_WEBSOCKET_VERSION, UPGRADE, WWW_AUTHENTICATE,
};
use hyper::http::HeaderValue;
use hyper::{Method, Request, Response, StatusCode, Version};
use log::Level;
use serde_json::json;
use tokio::sync::watch;
use tokio_tungstenite::tungstenite::handshake::derive_accept_key;

use super::limits::{ConnectionSlots, RateLimiter};
use super::paths::{Route, method_name};
use super::request::{lists, origin_allowed, origin_of, parameter, presented};
use super::response::{
    HttpResponse, RefusalReason, RefusedResponse, failed, json_text, refuse, with,
};
use crate::hub::HubSettings;
use crate::hub::auth::authenticator::Authenticator;
use crate::hub::auth::registry::Device;
use crate::hub::broker::event_loop::Acceptor;
use crate::hub::health::{self, UpstreamHealth};
use crate::hub::metrics::Metrics;
use crate::hub::rest::aggregates::{AggregatesRequest, BarCache, InvalidRequest};
use crate::hub::rest::quotes::QuoteCache;
use crate::hub::upstream::DENIED_FOR;
use crate::market::{Calendar, Cluster};
use crate::net::upgrade::HUB_HEADER;
use crate::time::Clock;

/// The maximum number of tickers in one quote request, equal to the vendor's limit for one snapshot
/// request.
const TICKERS_LIMIT: usize = 250;
/// The maximum length of a ticker, in bytes. Every real ticker is shorter.
const TICKER_LENGTH: usize = 40;
/// The number of refusals per minute and address that the hub logs at level `info`. The hub logs
/// further refusals at level `debug`.
const COMPLAINTS: u64 = 6;
/// The value of the header `Retry-After` from a full hub, in seconds.
const FULL_RETRY: &str = "10";

/// The state that the handlers of all requests share.
pub(crate) struct Router {
    pub(crate) authenticator: Arc<Authenticator>,
    pub(crate) acceptors: Vec<(Cluster, Acceptor)>,
    pub(crate) quotes: QuoteCache,
    pub(crate) minutes: BarCache,
    pub(crate) health: Vec<UpstreamHealth>,
    pub(crate) metrics: Arc<Metrics>,
    pub(crate) settings: watch::Receiver<HubSettings>,
    pub(crate) calendar: Calendar,
    pub(crate) clock: Clock,
    pub(crate) rates: Mutex<RateLimiter>,
    /// The rate limiter for refusals at log level `info`.
    pub(crate) log_rates: Mutex<RateLimiter>,
    /// The slots of HTTP connections. A connection that becomes a client of an event loop gives its
    /// slot back.
    pub(crate) visits: ConnectionSlots,
    /// The slots of connections that only get a refusal with a reason.
    pub(crate) refusal_slots: ConnectionSlots,
}

/// The peer of a connection.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Peer {
    pub(crate) peer: IpAddr,
    /// The reason for a refusal that the listener decided before the request, or `None`.
    pub(crate) refused: Option<RejectReason>,
}

/// The reason for a refusal that the listener knows before it reads the request.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum RejectReason {
    /// The hub has the maximum number of connections.
    Full,
    /// The address of the client has used up its allowance.
    Rate,
}

/// The cluster and the device of an upgrade that the hub has accepted. The listener passes both to
/// the event loop after the response.
#[derive(Clone, Debug)]
pub(crate) struct AcceptedUpgrade {
    pub(crate) cluster: Cluster,
    pub(crate) device: Option<Device>,
}

impl Router {
    /// Returns the response to a request, and the accepted upgrade if the hub upgrades the
    /// connection.
    pub(crate) async fn answer<B>(
        &self,
        request: &Request<B>,
        peer_info: Peer,
    ) -> (HttpResponse, Option<AcceptedUpgrade>) {
        let route = Route::of(request.uri().path());
        // Behind a reverse proxy all clients have the same peer address. Only the headers contain
        // the address of the client.
        let settings = self.settings.borrow().clone();
        let proxies = &settings.trusted_proxies;
        let address = origin_of(peer_info.peer, request.headers(), proxies);
        let outcome = self
            .decide(request, peer_info, address, route, settings)
            .await;
        let (answer, admission) = match outcome {
            Ok((answer, admission)) => (answer, admission),
            Err(refusal) => (*refusal, None),
        };
        self.log_answer(request.method(), route, address, &answer);
        (answer, admission)
    }

    /// Logs one line for each response, without any text from the client. The hub logs a refusal
    /// with its reason at level `info`. A rate limit prevents a client from filling the log with
    /// refusals.
    fn log_answer(
        &self,
        method: &Method,
        route: Option<Route>,
        address: IpAddr,
        answer: &HttpResponse,
    ) {
        let reason = answer.extensions().get::<RefusalReason>();
        let log_at_info = reason.is_some() && self.within(&self.log_rates, address, COMPLAINTS);
        log::log!(
            if log_at_info {
                Level::Info
            } else {
                Level::Debug
            },
            "{} {} {} {} {}",
            address,
            method_name(method),
            route.map_or("(unknown path)", Route::name),
            answer.status().as_u16(),
            reason.map_or("", |reason| reason.0)
        );
    }

    async fn decide<B>(
        &self,
        request: &Request<B>,
        peer_info: Peer,
        address: IpAddr,
        route: Option<Route>,
        settings: HubSettings,
    ) -> Result<(HttpResponse, Option<AcceptedUpgrade>), RefusedResponse> {
        let proxies = &settings.trusted_proxies;
        let within = if proxies.contains(&peer_info.peer.to_canonical()) {
            self.within_rate(address, &settings)
        } else {
            peer_info.refused != Some(RejectReason::Rate)
        };
        if !within {
            self.metrics.refused_rate.add(1);
            let after = [(RETRY_AFTER, "60")];
            return Err(refuse(
                StatusCode::TOO_MANY_REQUESTS,
                "too many requests",
                &after,
            ));
        }
        let route =
            route.ok_or_else(|| refuse(StatusCode::NOT_FOUND, "nothing is served here", &[]))?;
        let (methods, allowed) = route.methods();
        if !methods.contains(request.method()) {
            let allow = [(ALLOW, allowed)];
            return Err(refuse(
                StatusCode::METHOD_NOT_ALLOWED,
                "not this method",
                &allow,
            ));
        }
        let watching = matches!(route, Route::Health | Route::Metrics);
        if peer_info.refused == Some(RejectReason::Full) && !watching {
            return Err(self.full());
        }
        let answer = match route {
            Route::Socket(cluster) => {
                let (answer, admission) = self.upgrade(request, cluster, &settings)?;
                return Ok((answer, Some(admission)));
            }
            Route::Token => self.token(request)?,
            Route::Quotes => self.quotes(request).await?,
            Route::Minutes => self.minutes(request).await?,
            Route::Market => {
                self.authenticated_device(request)?;
                let status = self.quotes.market_status().await;
                status.map_or_else(
                    |error| failed(&error),
                    |body| json_text(StatusCode::OK, body),
                )
            }
            Route::Health => self.health(),
            Route::Metrics => self.metrics_page(&settings),
        };
        Ok((answer, None))
    }

    /// Takes one request from the allowance of the address. Returns false if the allowance is used
    /// up.
    pub(crate) fn within_rate(&self, address: IpAddr, settings: &HubSettings) -> bool {
        self.within(&self.rates, address, settings.limits.per_minute)
    }

    fn within(&self, rates: &Mutex<RateLimiter>, address: IpAddr, per_minute: u64) -> bool {
        let mut rates = rates.lock().unwrap_or_else(PoisonError::into_inner);
        rates.take(address, per_minute, self.clock.now().monotonic)
    }

    fn full(&self) -> RefusedResponse {
        self.metrics.refused_full.add(1);
        let after = [(RETRY_AFTER, FULL_RETRY)];
        refuse(StatusCode::SERVICE_UNAVAILABLE, "the hub is full", &after)
    }

    /// Checks an upgrade request and returns the response with status 101. All refusals come before
    /// the upgrade, so the client gets an HTTP status with the reason.
    fn upgrade<B>(
        &self,
        request: &Request<B>,
        cluster: Cluster,
        settings: &HubSettings,
    ) -> Result<(HttpResponse, AcceptedUpgrade), RefusedResponse> {
        let headers = request.headers();
        if !self.acceptors.iter().any(|(served, _)| *served == cluster) {
            return Err(refuse(
                StatusCode::NOT_FOUND,
                "this hub does not serve that",
                &[],
            ));
        }
        let mut upstreams = self.health.iter();
        let upstream = upstreams.find(|health| health.cluster == cluster);
        if let Some(since) = upstream.and_then(UpstreamHealth::barred) {
            let left = (since + DENIED_FOR).since(self.clock.now().monotonic);
            let after = [(RETRY_AFTER, &*left.as_secs().max(1).to_string())];
            return Err(refuse(
                StatusCode::NOT_FOUND,
                "the vendor does not serve that to this hub: its key was refused, or its plan \
                 does not include it",
                &after,
            ));
        }
        let upgrades = request.version() >= Version::HTTP_11
            && lists(headers, &CONNECTION, "upgrade")
            && lists(headers, &UPGRADE, "websocket");
        let version = headers.get(SEC_WEBSOCKET_VERSION);
        if !upgrades || version.is_none_or(|version| version != "13") {
            // RFC 6455 (4.4) requires `Sec-WebSocket-Version` and RFC 9110 (15.5.22) requires
            // `Upgrade` in this response.
            return Err(refuse(
                StatusCode::UPGRADE_REQUIRED,
                "a WebSocket, version 13, is served here",
                &[(SEC_WEBSOCKET_VERSION, "13"), (UPGRADE, "websocket")],
            ));
        }
        let key = headers.get(SEC_WEBSOCKET_KEY).map(HeaderValue::as_bytes);
        let decoded = key.and_then(|key| data_encoding::BASE64.decode(key).ok());
        let (Some(key), Some(16)) = (key, decoded.map(|bytes| bytes.len())) else {
            return Err(refuse(
                StatusCode::BAD_REQUEST,
                "no proper Sec-WebSocket-Key",
                &[],
            ));
        };
        if !origin_allowed(headers, &settings.origins) {
            self.metrics.refused_origins.add(1);
            return Err(refuse(
                StatusCode::FORBIDDEN,
                "not from this origin (see origins in the settings)",
                &[],
            ));
        }
        let limits = &settings.limits;
        // This check must come before the token check, because a short-lived token is used up by
        // its check.
        if self.metrics.clients.value() >= limits.connections {
            return Err(self.full());
        }
        let device = match presented(request) {
            Some(token) => {
                let device = self
                    .authenticator
                    .authenticate_upgrade(&token, self.clock.now());
                Some(device.ok_or_else(|| self.wrong_token())?)
            }
            // A client without a token may authenticate later with an `auth` action, as the
            // official clients of the vendor do.
            None if self.metrics.unauthenticated_clients.value() >= limits.unauthenticated => {
                return Err(self.full());
            }
            None => None,
        };
        let mut answer = Response::new(Full::default());
        *answer.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
        let answer = with(answer, CONNECTION, "Upgrade");
        let answer = with(answer, UPGRADE, "websocket");
        let answer = with(answer, SEC_WEBSOCKET_ACCEPT, &derive_accept_key(key));
        let answer = with(answer, HUB_HEADER, env!("CARGO_PKG_VERSION"));
        Ok((answer, AcceptedUpgrade { cluster, device }))
    }

    fn wrong_token(&self) -> RefusedResponse {
        self.metrics.refused_tokens.add(1);
        refuse(StatusCode::FORBIDDEN, "the token was refused", &[])
    }

    fn no_token(&self) -> RefusedResponse {
        self.metrics.refused_tokens.add(1);
        let scheme = [(WWW_AUTHENTICATE, "Bearer")];
        refuse(StatusCode::UNAUTHORIZED, "a token is needed", &scheme)
    }

    fn authenticated_device<B>(&self, request: &Request<B>) -> Result<Device, RefusedResponse> {
        let token = presented(request).ok_or_else(|| self.no_token())?;
        let device = self
            .authenticator
            .authenticate_request(&token, self.clock.now());
        device.ok_or_else(|| self.wrong_token())
    }

    /// Returns a new short-lived token. The request must contain the token of a device, because a
    /// short-lived token could otherwise renew itself for ever.
    fn token<B>(&self, request: &Request<B>) -> Result<HttpResponse, RefusedResponse> {
        let token = presented(request).ok_or_else(|| self.no_token())?;
        let device = self
            .authenticator
            .check(&token)
            .ok_or_else(|| self.wrong_token())?;
        Ok(match self.authenticator.issue(&device, self.clock.now()) {
            Ok((token, expires)) => json_text(
                StatusCode::OK,
                json!({ "token": token, "expiresAt": expires }).to_string(),
            ),
            Err(reason) => *refuse(StatusCode::INTERNAL_SERVER_ERROR, reason, &[]),
        })
    }

    async fn quotes<B>(&self, request: &Request<B>) -> Result<HttpResponse, RefusedResponse> {
        self.authenticated_device(request)?;
        let bad = |message: &'static str| refuse(StatusCode::BAD_REQUEST, message, &[]);
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

    /// Returns the minute bars of a session in the format of the vendor.
    async fn minutes<B>(&self, request: &Request<B>) -> Result<HttpResponse, RefusedResponse> {
        self.authenticated_device(request)?;
        let request =
            AggregatesRequest::parse(request.uri().path()).map_err(|wrong| match wrong {
                InvalidRequest::Unserved(words) => refuse(StatusCode::NOT_FOUND, words, &[]),
                InvalidRequest::Senseless(words) => refuse(StatusCode::BAD_REQUEST, words, &[]),
            })?;
        let now = self.clock.now();
        let body = self.minutes.answer(&self.quotes, &request, now).await;
        Ok(body.map_or_else(
            |error| failed(&error),
            |body| json_text(StatusCode::OK, body),
        ))
    }

    fn health(&self) -> HttpResponse {
        let simulated = self.quotes.simulated() == Some(true);
        let now = self.clock.now();
        let (well, report) = health::report(&self.health, simulated, &self.calendar, now);
        let status = if well {
            StatusCode::OK
        } else {
            StatusCode::SERVICE_UNAVAILABLE
        };
        json_text(status, report.to_string())
    }

    fn metrics_page(&self, settings: &HubSettings) -> HttpResponse {
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
