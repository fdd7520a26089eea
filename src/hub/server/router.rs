//! The router of the hub's HTTP server: checks the limits and the token of each request and returns
//! the response. Owns no connection, and never logs a query or a header.

use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex, PoisonError};

use http_body_util::Full;
use hyper::header::{
    ALLOW, CONNECTION, CONTENT_TYPE, RETRY_AFTER, SEC_WEBSOCKET_ACCEPT, SEC_WEBSOCKET_KEY,
    SEC_WEBSOCKET_VERSION, UPGRADE, WWW_AUTHENTICATE,
};
use hyper::http::HeaderValue;
use hyper::{Request, Response, StatusCode, Version};
use log::Level;
use serde_json::json;
use tokio::sync::watch;
use tokio_tungstenite::tungstenite::handshake::derive_accept_key;

use super::limits::{ConnectionSlots, RateLimiter};
use super::paths::{Route, method_name};
use super::request::{origin_allowed, origin_of, parameter, presented};
use super::response::{
    HttpResponse, RefusalReason, RefusedResponse, from_vendor, json_text, refuse, with,
};
use crate::hub::HubSettings;
use crate::hub::auth::authenticator::Authenticator;
use crate::hub::auth::registry::Device;
use crate::hub::broker::event_loop::Acceptor;
use crate::hub::health::{self, UpstreamHealth};
use crate::hub::metrics::Metrics;
use crate::hub::rest::aggregates::{AggregatesRequest, BarCache};
use crate::hub::rest::quotes::QuoteCache;
use crate::hub::upstream::DENIED_FOR;
use crate::market::{Calendar, Cluster};
use crate::net::discovery::proof;
use crate::net::upgrade::{HUB_HEADER, lists};
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
    /// The address of the hub to which the client has connected; `None` if it is not known.
    pub(crate) local: Option<SocketAddr>,
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

/// An upgrade that the hub has accepted. The listener passes the connection to the acceptor after the
/// response.
#[derive(Clone, Debug)]
pub(crate) struct AcceptedUpgrade {
    pub(crate) cluster: Cluster,
    pub(crate) acceptor: Acceptor,
    pub(crate) device: Option<Device>,
}

impl Router {
    /// Returns the response to a request. The response to an accepted upgrade has the extension
    /// [`AcceptedUpgrade`].
    pub(crate) async fn answer<B>(&self, request: &Request<B>, peer_info: Peer) -> HttpResponse {
        let route = Route::of(request.uri().path());
        // Behind a reverse proxy all clients have the same peer address. Only the headers contain
        // the address of the client.
        let settings = self.settings.borrow().clone();
        let proxies = &settings.trusted_proxies;
        let address = origin_of(peer_info.peer, request.headers(), proxies);
        let outcome = self
            .decide(request, peer_info, address, route, &settings)
            .await;
        let answer = outcome.unwrap_or_else(|refusal| *refusal);
        // The hub logs one line for each response, without any text from the client, and logs a
        // refusal with its reason at level `info`. A rate limit prevents a client from filling the
        // log with refusals.
        let reason = answer.extensions().get::<RefusalReason>();
        let complain = reason.is_some() && self.within(&self.log_rates, address, COMPLAINTS);
        log::log!(
            if complain { Level::Info } else { Level::Debug },
            "{address} {} {} {} {}",
            method_name(request.method()),
            route.map_or("(unknown path)", Route::name),
            answer.status().as_u16(),
            reason.map_or("", |reason| reason.0)
        );
        answer
    }

    async fn decide<B>(
        &self,
        request: &Request<B>,
        peer_info: Peer,
        address: IpAddr,
        route: Option<Route>,
        settings: &HubSettings,
    ) -> Result<HttpResponse, RefusedResponse> {
        let proxies = &settings.trusted_proxies;
        let within = if proxies.contains(&peer_info.peer.to_canonical()) {
            self.within_rate(address, settings)
        } else {
            peer_info.refused != Some(RejectReason::Rate)
        };
        if !within {
            self.metrics.refused_rate.add(1);
            let after = [(RETRY_AFTER, "60")];
            return refuse(StatusCode::TOO_MANY_REQUESTS, "too many requests", &after);
        }
        let Some(route) = route else {
            return refuse(StatusCode::NOT_FOUND, "nothing is served here", &[]);
        };
        let (methods, allowed) = route.methods();
        if !methods.contains(request.method()) {
            let allow = [(ALLOW, allowed)];
            return refuse(StatusCode::METHOD_NOT_ALLOWED, "not this method", &allow);
        }
        let watching = matches!(route, Route::Health | Route::Metrics);
        if peer_info.refused == Some(RejectReason::Full) && !watching {
            return self.full();
        }
        match route {
            Route::Socket(cluster) => self.upgrade(request, cluster, settings),
            Route::Token => self.token(request),
            Route::Proof => self.prove(request, peer_info.local),
            Route::Quotes => {
                self.authenticate(request)?;
                let tickers = parameter(request, "tickers").unwrap_or_default();
                let rows = self.quotes.quotes(&tickers_of(&tickers)?).await;
                Ok(from_vendor(rows))
            }
            // The minute bars of a session in the format of the vendor.
            Route::Minutes => {
                self.authenticate(request)?;
                let now = self.clock.now();
                let request = match AggregatesRequest::parse(request.uri().path(), now) {
                    Ok(request) => request,
                    Err((status, words)) => return refuse(status, words, &[]),
                };
                let bars = self.minutes.answer(&self.quotes, &request, now).await;
                Ok(from_vendor(bars))
            }
            Route::Market => {
                self.authenticate(request)?;
                Ok(from_vendor(self.quotes.market_status().await))
            }
            Route::Health => Ok(self.health()),
            Route::Metrics => Ok(self.metrics_page(settings)),
        }
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

    /// Checks an upgrade request and returns the response with status 101. All refusals come before
    /// the upgrade, so the client gets an HTTP status with the reason.
    fn upgrade<B>(
        &self,
        request: &Request<B>,
        cluster: Cluster,
        settings: &HubSettings,
    ) -> Result<HttpResponse, RefusedResponse> {
        let headers = request.headers();
        let mut acceptors = self.acceptors.iter();
        let Some((_, acceptor)) = acceptors.find(|(served, _)| *served == cluster) else {
            return refuse(StatusCode::NOT_FOUND, "this hub does not serve that", &[]);
        };
        let mut upstreams = self.health.iter();
        let upstream = upstreams.find(|health| health.cluster == cluster);
        if let Some(since) = upstream.and_then(UpstreamHealth::barred) {
            let left = (since + DENIED_FOR).since(self.clock.now().monotonic);
            return refuse(
                StatusCode::NOT_FOUND,
                "the vendor does not serve that to this hub: its key was refused, or its plan \
                 does not include it",
                &[(RETRY_AFTER, &*left.as_secs().max(1).to_string())],
            );
        }
        let upgrades = request.version() >= Version::HTTP_11
            && lists(headers, &CONNECTION, "upgrade")
            && lists(headers, &UPGRADE, "websocket");
        let version = headers.get(SEC_WEBSOCKET_VERSION);
        if !upgrades || version.is_none_or(|version| version != "13") {
            // RFC 6455 (4.4) requires `Sec-WebSocket-Version` and RFC 9110 (15.5.22) requires
            // `Upgrade` in this response.
            return refuse(
                StatusCode::UPGRADE_REQUIRED,
                "a WebSocket, version 13, is served here",
                &[(SEC_WEBSOCKET_VERSION, "13"), (UPGRADE, "websocket")],
            );
        }
        let key = headers.get(SEC_WEBSOCKET_KEY).map(HeaderValue::as_bytes);
        let decoded = key.and_then(|key| data_encoding::BASE64.decode(key).ok());
        let (Some(key), Some(16)) = (key, decoded.map(|bytes| bytes.len())) else {
            return refuse(StatusCode::BAD_REQUEST, "no proper Sec-WebSocket-Key", &[]);
        };
        if !origin_allowed(headers, &settings.origins) {
            self.metrics.refused_origins.add(1);
            let reason = "not from this origin (see origins in the settings)";
            return refuse(StatusCode::FORBIDDEN, reason, &[]);
        }
        let limits = &settings.limits;
        // This check must come before the token check, because a short-lived token is used up by
        // its check.
        if self.metrics.clients.value() >= limits.connections {
            return self.full();
        }
        let device = match presented(request) {
            Some(token) => {
                let now = self.clock.now();
                let Some(device) = self.authenticator.authenticate_upgrade(&token, now) else {
                    return self.wrong_token();
                };
                Some(device)
            }
            // A client without a token may authenticate later with an `auth` action, as the
            // official clients of the vendor do.
            None if self.metrics.unauthenticated_clients.value() >= limits.unauthenticated => {
                return self.full();
            }
            None => None,
        };
        let mut answer = Response::new(Full::default());
        *answer.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
        answer.extensions_mut().insert(AcceptedUpgrade {
            cluster,
            acceptor: acceptor.clone(),
            device,
        });
        let answer = with(answer, CONNECTION, "Upgrade");
        let answer = with(answer, UPGRADE, "websocket");
        let answer = with(answer, SEC_WEBSOCKET_ACCEPT, &derive_accept_key(key));
        Ok(with(answer, HUB_HEADER, env!("CARGO_PKG_VERSION")))
    }

    fn full<T>(&self) -> Result<T, RefusedResponse> {
        self.metrics.refused_full.add(1);
        let after = [(RETRY_AFTER, FULL_RETRY)];
        refuse(StatusCode::SERVICE_UNAVAILABLE, "the hub is full", &after)
    }

    fn wrong_token<T>(&self) -> Result<T, RefusedResponse> {
        self.metrics.refused_tokens.add(1);
        refuse(StatusCode::FORBIDDEN, "the token was refused", &[])
    }

    fn token_of<B>(&self, request: &Request<B>) -> Result<String, RefusedResponse> {
        presented(request).map_or_else(
            || {
                self.metrics.refused_tokens.add(1);
                let scheme = [(WWW_AUTHENTICATE, "Bearer")];
                refuse(StatusCode::UNAUTHORIZED, "a token is needed", &scheme)
            },
            Ok,
        )
    }

    /// Checks the token of a REST request.
    fn authenticate<B>(&self, request: &Request<B>) -> Result<(), RefusedResponse> {
        let (token, now) = (self.token_of(request)?, self.clock.now());
        match self.authenticator.authenticate_request(&token, now) {
            Some(_) => Ok(()),
            None => self.wrong_token(),
        }
    }

    /// Returns a new short-lived token. The request must contain the token of a device, because a
    /// short-lived token could otherwise renew itself for ever.
    fn token<B>(&self, request: &Request<B>) -> Result<HttpResponse, RefusedResponse> {
        let Some(device) = self.authenticator.check(&self.token_of(request)?) else {
            return self.wrong_token();
        };
        match self.authenticator.issue(&device, self.clock.now()) {
            Ok((token, expires)) => {
                let body = json!({ "token": token, "expiresAt": expires });
                Ok(json_text(StatusCode::OK, body.to_string()))
            }
            Err(reason) => refuse(StatusCode::INTERNAL_SERVER_ERROR, reason, &[]),
        }
    }

    /// Proves to a display that this hub knows its token. The display has found this hub by its
    /// announcement, and sends its token only after this proof.
    fn prove<B>(
        &self,
        request: &Request<B>,
        local: Option<SocketAddr>,
    ) -> Result<HttpResponse, RefusedResponse> {
        let value = |name| parameter(request, name).unwrap_or_default();
        let parsed = local
            .and_then(|local| proof::Request::parse(&value("challenge"), &value("proof"), local));
        let Some(parsed) = parsed else {
            return refuse(
                StatusCode::BAD_REQUEST,
                "no proper challenge and proof",
                &[],
            );
        };
        let Some((challenge, proof)) = self.authenticator.prove(&parsed) else {
            self.metrics.refused_tokens.add(1);
            let reason = "no registered display has sent this proof to this address";
            return refuse(StatusCode::FORBIDDEN, reason, &[]);
        };
        let body = json!({ "challenge": challenge, "proof": proof });
        Ok(json_text(StatusCode::OK, body.to_string()))
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
        let content_type = "text/plain; version=0.0.4; charset=utf-8";
        with(Response::new(Full::from(text)), CONTENT_TYPE, content_type)
    }
}

/// Returns the tickers of a quote request, whose names are separated by commas.
fn tickers_of(parameter: &str) -> Result<Vec<&str>, RefusedResponse> {
    let tickers = parameter.split(',').map(str::trim);
    let tickers: Vec<&str> = tickers.filter(|ticker| !ticker.is_empty()).collect();
    let plain = |ticker: &&str| {
        ticker.len() <= TICKER_LENGTH && ticker.bytes().all(|byte| byte.is_ascii_graphic())
    };
    let wrong = if tickers.is_empty() {
        "tickers required"
    } else if tickers.len() > TICKERS_LIMIT {
        "too many tickers, 250 at most"
    } else if !tickers.iter().all(plain) {
        "one of these is no ticker"
    } else {
        return Ok(tickers);
    };
    refuse(StatusCode::BAD_REQUEST, wrong, &[])
}
