//! The router of the hub's HTTP server: checks the limits and the token of each request and returns
//! the response. Owns no connection, and never logs a query or a header.

use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex, PoisonError};

use http_body_util::Full;
use hyper::header::{
    ALLOW, CONNECTION, CONTENT_TYPE, RETRY_AFTER, SEC_WEBSOCKET_ACCEPT, UPGRADE, WWW_AUTHENTICATE,
};
use hyper::{Request, Response, StatusCode};
use log::Level;
use serde_json::json;
use tokio::sync::watch;
use tokio_tungstenite::tungstenite::handshake::derive_accept_key;

use super::admission::{Admission, KeptConnection, Origin, UnauthenticatedSlot};
use super::handshakes::Handshakes;
use super::limits::{ConnectionSlots, Limits, RateLimiter};
use super::paths::{Route, method_name};
use super::request::{
    allowed_origin, host_allowed, is_preflight, may_see_details, origin_allowed, origin_of,
    parameter, presented, websocket_key,
};
use super::response::{
    HttpResponse, RefusalReason, RefusedResponse, allow_origin, json_text, preflight, refuse, with,
};
use crate::hub::HubSettings;
use crate::hub::auth::authenticator::Authenticator;
use crate::hub::auth::registry::Device;
use crate::hub::broker::event_loop::Acceptor;
use crate::hub::health::{self, UpstreamHealth};
use crate::hub::metrics::{Metrics, devices, process};
use crate::hub::rest::aggregates::BarCache;
use crate::hub::rest::quotes::QuoteCache;
use crate::hub::upstream::hub_above::AboveReport;
use crate::market::{Calendar, Cluster};
use crate::net::discovery::proof;
use crate::net::hub_path::{HubBelow, HubPath, PATH_HEADER, identities};
use crate::net::upgrade::HUB_HEADER;
use crate::time::Clock;

/// The number of refusals per minute and address that the hub logs at level `info`. The hub logs
/// further refusals at level `debug`.
const COMPLAINTS: u64 = 6;
/// The part of all connections that the hub keeps without a request. A display can always open a new
/// connection for its next request, so the other connections are for WebSockets.
const KEPT_SHARE: u64 = 8;
/// The value of the header `Retry-After` from a full hub, in seconds.
const FULL_RETRY: &str = "10";

/// The state that the handlers of all requests share.
pub(crate) struct Router {
    pub(crate) authenticator: Arc<Authenticator>,
    pub(crate) acceptors: Vec<(Cluster, Acceptor)>,
    pub(crate) quotes: Arc<QuoteCache>,
    /// The place of this hub in a tree of hubs.
    pub(crate) hub_path: HubPath,
    /// The last report of the hub above; `None` if the server above is the vendor.
    pub(crate) above: Option<watch::Receiver<AboveReport>>,
    pub(crate) minutes: BarCache,
    pub(crate) health: Vec<UpstreamHealth>,
    pub(crate) metrics: Arc<Metrics>,
    pub(crate) settings: watch::Receiver<HubSettings>,
    pub(crate) calendar: Calendar,
    pub(crate) clock: Clock,
    pub(crate) admission: Admission,
    /// The WebSocket handshakes of the last second.
    pub(crate) handshakes: Mutex<Handshakes>,
    /// The rate limiter for refusals at log level `info`, by address.
    pub(crate) log_rates: Mutex<RateLimiter<u64>>,
    /// The rate limiter for requests for bars, by device.
    pub(crate) bar_rates: Mutex<RateLimiter<Device>>,
    /// The slots of HTTP connections. A connection that becomes a client of an event loop gives its
    /// slot back.
    pub(crate) visits: ConnectionSlots,
    /// The slots of connections that the hub keeps for the next REST request of a device.
    pub(crate) kept: ConnectionSlots,
}

/// The peer of a connection.
#[derive(Clone, Debug)]
pub(crate) struct Peer {
    pub(crate) peer: IpAddr,
    /// True if the peer is a trusted reverse proxy.
    pub(crate) is_proxy: bool,
    /// True if the hub has the maximum number of connections.
    pub(crate) full: bool,
    /// The place of the connection until its authentication.
    pub(crate) unauthenticated_slot: UnauthenticatedSlot,
    /// The address of the hub to which the client has connected; `None` if it is not known.
    pub(crate) local: Option<SocketAddr>,
}

/// An upgrade that the hub has accepted. The listener passes the connection to the acceptor after
/// the response.
#[derive(Clone, Debug)]
pub(crate) struct AcceptedUpgrade {
    pub(crate) cluster: Cluster,
    pub(crate) acceptor: Acceptor,
    pub(crate) device: Option<Device>,
    /// The address of the client; `None` if it is unknown.
    pub(crate) address: Option<IpAddr>,
    /// The place of a client that must still authenticate.
    pub(crate) unauthenticated_slot: Option<UnauthenticatedSlot>,
    /// The place of a client that is a hub, and of the hubs below it.
    pub(crate) below: Option<Arc<HubBelow>>,
}

impl Router {
    /// Returns the response to a request. `is_first` is true for the first request of its connection,
    /// which the rate limiter has counted together with the connection. The response to an accepted
    /// upgrade has the extension [`AcceptedUpgrade`], and the response to a REST request with a valid
    /// token has the extension [`Device`].
    pub(crate) async fn answer<B>(
        &self,
        request: &Request<B>,
        peer_info: &Peer,
        is_first: bool,
    ) -> HttpResponse {
        let route = Route::of(request.uri().path());
        // Behind a reverse proxy all clients have the same peer address. Only the headers contain
        // the address of the client.
        let settings = self.settings.borrow().clone();
        let proxies = &settings.trusted_proxies;
        let origin = origin_of(peer_info.peer, request.headers(), proxies);
        let outcome = self
            .decide(request, peer_info, is_first, origin, route, &settings)
            .await;
        let mut answer = outcome.unwrap_or_else(|refusal| *refusal);
        if let Some(page) = allowed_origin(request.headers(), &settings.origins)
            && !matches!(route, Some(Route::Socket(_) | Route::Metrics))
        {
            answer = allow_origin(answer, page);
        }
        let path = route.map_or("(unknown path)", Route::name);
        self.metrics
            .http_requests
            .add(path, answer.status().as_u16());
        // The hub logs one line for each response, without any text from the client, and logs a
        // refusal with its reason at level `info`. A rate limit prevents a client from filling the
        // log with refusals.
        let reason = answer.extensions().get::<RefusalReason>();
        let complain = reason.is_some() && self.may_complain(origin);
        log::log!(
            if complain { Level::Info } else { Level::Debug },
            "{origin} {} {} {} {}",
            method_name(request.method()),
            path,
            answer.status().as_u16(),
            reason.map_or("", |reason| reason.0)
        );
        answer
    }

    async fn decide<B>(
        &self,
        request: &Request<B>,
        peer_info: &Peer,
        is_first: bool,
        origin: Origin,
        route: Option<Route>,
        settings: &HubSettings,
    ) -> Result<HttpResponse, RefusedResponse> {
        if !host_allowed(request.headers(), &settings.hosts, &settings.origins) {
            self.metrics.refused_origins.add(1);
            let reason = "not under this host name (see hosts in the settings)";
            return refuse(StatusCode::MISDIRECTED_REQUEST, reason, &[]);
        }
        let watching = matches!(route, Some(Route::Health | Route::Metrics));
        let device = self.device_of(request);
        if let Some(device) = &device {
            let (address, now) = (origin.address, self.clock.now().monotonic);
            let sessions = self.authenticator.sessions();
            sessions.note_request(device, address, now);
        }
        if !self.within_rate(peer_info, is_first, origin, device.as_ref()) {
            self.metrics.refused_rate.add(1);
            let after = [(RETRY_AFTER, "60")];
            return refuse(StatusCode::TOO_MANY_REQUESTS, "too many requests", &after);
        }
        let most = settings.limits.unauthenticated;
        if device.is_none()
            && peer_info.is_proxy
            && !peer_info.unauthenticated_slot.belongs_to(origin, most)
        {
            return self.full();
        }
        let Some(route) = route else {
            return refuse(StatusCode::NOT_FOUND, "nothing is served here", &[]);
        };
        let (methods, allowed) = route.methods();
        let is_page = allowed_origin(request.headers(), &settings.origins).is_some();
        if is_page && is_preflight(request) {
            return Ok(preflight(allowed));
        }
        if !methods.contains(request.method()) {
            let allow = [(ALLOW, allowed)];
            return refuse(StatusCode::METHOD_NOT_ALLOWED, "not this method", &allow);
        }
        if peer_info.full && !watching {
            return self.full();
        }
        let HubSettings { hosts, origins, .. } = settings;
        let sees_details = settings.public_metrics
            || (origin.is_private() && may_see_details(request.headers(), hosts, origins));
        match route {
            Route::Socket(cluster) => self.upgrade(request, cluster, settings, peer_info, origin),
            Route::Token => self.token(request),
            Route::Proof => self.prove(request, peer_info.local),
            Route::Rest(route) => self.rest(request, route, device, peer_info, settings).await,
            Route::Health => Ok(self.health(sees_details || device.is_some())),
            Route::Metrics if !sees_details => {
                let reason = "the metrics are only for private addresses, and for browsers only \
                              under a name of this hub (see metrics.public and hosts in the \
                              settings)";
                refuse(StatusCode::FORBIDDEN, reason, &[])
            }
            Route::Metrics => Ok(self.metrics_page(settings)),
        }
    }

    /// Returns the device of the token in the request; `None` without a valid token.
    fn device_of<B>(&self, request: &Request<B>) -> Option<Device> {
        let (token, now) = (presented(request)?, self.clock.now());
        self.authenticator.authenticate_request(&token, now)
    }

    /// Counts the request for its device, or for its address if the client has no valid token.
    /// Returns false if the allowance is used up.
    fn within_rate(
        &self,
        peer_info: &Peer,
        is_first: bool,
        origin: Origin,
        device: Option<&Device>,
    ) -> bool {
        let (unauthenticated_slot, now) =
            (&peer_info.unauthenticated_slot, self.clock.now().monotonic);
        // The listener has already counted a client that did not come through a proxy.
        let within = match is_first {
            true => unauthenticated_slot.charge(origin, now),
            false => unauthenticated_slot.charge_again(origin, now),
        };
        device.map_or(within, |device| {
            unauthenticated_slot.authenticated(device, now)
        })
    }

    fn may_complain(&self, origin: Origin) -> bool {
        let now = self.clock.now().monotonic;
        let mut rates = (self.log_rates.lock()).unwrap_or_else(PoisonError::into_inner);
        origin.is_this_machine() || rates.take(origin.key(), COMPLAINTS, now)
    }

    /// Checks an upgrade request and returns the response with status 101. All refusals come before
    /// the upgrade, so the client gets an HTTP status with the reason.
    fn upgrade<B>(
        &self,
        request: &Request<B>,
        cluster: Cluster,
        settings: &HubSettings,
        peer_info: &Peer,
        origin: Origin,
    ) -> Result<HttpResponse, RefusedResponse> {
        let headers = request.headers();
        let mut acceptors = self.acceptors.iter();
        let Some((_, acceptor)) = acceptors.find(|(served, _)| *served == cluster) else {
            return refuse(StatusCode::NOT_FOUND, "this hub does not serve that", &[]);
        };
        let mut upstreams = self.health.iter();
        let upstream = upstreams.find(|health| health.cluster == cluster);
        if let Some(retry_at) = upstream.and_then(UpstreamHealth::barred) {
            let left = retry_at.since(self.clock.now().monotonic);
            return refuse(
                StatusCode::NOT_FOUND,
                "this hub does not get that: the vendor has refused its key, the plan does not \
                 include it, or the hub above does not serve it",
                &[(RETRY_AFTER, &*left.as_secs().max(1).to_string())],
            );
        }
        let key = websocket_key(request)?;
        if !origin_allowed(headers, &settings.origins) {
            self.metrics.refused_origins.add(1);
            let reason = "not from this origin (see origins in the settings)";
            return refuse(StatusCode::FORBIDDEN, reason, &[]);
        }
        let device = match presented(request) {
            Some(token) => {
                let now = self.clock.now();
                // These checks must come first, because the authentication uses up a short-lived
                // token.
                if let Some(device) = self.authenticator.authenticate_request(&token, now) {
                    if self.has_its_share(&device, settings) {
                        self.metrics.refused_device_share.add(1);
                        let after = [(RETRY_AFTER, FULL_RETRY)];
                        let reason = "this device has as many connections as it may \
                                      (device_connections)";
                        return refuse(StatusCode::SERVICE_UNAVAILABLE, reason, &after);
                    }
                    self.admit_handshake(settings.limits.handshakes)?;
                }
                let Some(device) = self.authenticator.authenticate_upgrade(&token, now) else {
                    return self.wrong_token();
                };
                Some(device)
            }
            // A client without a token may authenticate later with an `auth` action, as the
            // official clients of the vendor do. Such clients do not count among the handshakes, so
            // that strangers cannot use up the handshakes. They have limits of their own.
            None => None,
        };
        let ids = identities(headers);
        let is_hub = !ids.is_empty();
        let below = is_hub.then(|| self.hub_path.enter(ids)).flatten();
        if is_hub && below.is_none() {
            let reason = "a loop: this hub gets its prices from the hub that connects";
            return refuse(StatusCode::LOOP_DETECTED, reason, &[]);
        }
        let unauthenticated_slot = device
            .is_none()
            .then(|| peer_info.unauthenticated_slot.clone());
        let mut answer = Response::new(Full::default());
        *answer.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
        answer.extensions_mut().insert(AcceptedUpgrade {
            cluster,
            acceptor: acceptor.clone(),
            device,
            address: origin.address,
            unauthenticated_slot,
            below: below.map(Arc::new),
        });
        let answer = with(answer, PATH_HEADER, &self.hub_path.upward().join(","));
        let answer = with(answer, CONNECTION, "Upgrade");
        let answer = with(answer, UPGRADE, "websocket");
        let answer = with(answer, SEC_WEBSOCKET_ACCEPT, &derive_accept_key(key));
        Ok(with(answer, HUB_HEADER, env!("CARGO_PKG_VERSION")))
    }

    /// Counts a handshake, or puts it off if the hub has admitted `most` of them within the last
    /// second.
    fn admit_handshake(&self, most: u64) -> Result<(), RefusedResponse> {
        let now = self.clock.now().monotonic;
        let handshakes = self.handshakes.lock();
        let admitted = handshakes
            .unwrap_or_else(PoisonError::into_inner)
            .admit(most, now);
        admitted.or_else(|wait| {
            self.metrics.refused_handshakes.add(1);
            let after = [(RETRY_AFTER, &*wait.to_string())];
            let reason = "too many clients connect at once (handshakes)";
            refuse(StatusCode::SERVICE_UNAVAILABLE, reason, &after)
        })
    }

    /// Returns true if the device already has its full share of the connections.
    fn has_its_share(&self, device: &Device, settings: &HubSettings) -> bool {
        self.authenticator.sessions().count(device) >= self.share(&settings.limits)
    }

    /// Returns the maximum number of connections of one device.
    fn share(&self, limits: &Limits) -> u64 {
        match self.authenticator.has_other_devices() {
            true => limits.device_connections,
            false => u64::MAX,
        }
    }

    /// Returns the place of a kept connection in the share of its device. Returns `None` if the
    /// device already has its full share, or if the hub already keeps enough connections. The hub
    /// then closes the connection after the response.
    pub(crate) fn keep(&self, device: &Device) -> Option<KeptConnection> {
        let settings = self.settings.borrow();
        let limits = &settings.limits;
        let slot = self.kept.enter((limits.connections / KEPT_SHARE).max(1))?;
        let sessions = self.authenticator.sessions();
        let session = sessions.open(device, self.share(limits))?;
        Some(KeptConnection::new(session, slot))
    }

    fn full<T>(&self) -> Result<T, RefusedResponse> {
        self.metrics.refused_full.add(1);
        let after = [(RETRY_AFTER, FULL_RETRY)];
        refuse(StatusCode::SERVICE_UNAVAILABLE, "the hub is full", &after)
    }

    pub(crate) fn wrong_token<T>(&self) -> Result<T, RefusedResponse> {
        self.metrics.refused_tokens.add(1);
        refuse(StatusCode::FORBIDDEN, "the token was refused", &[])
    }

    pub(crate) fn token_of<B>(&self, request: &Request<B>) -> Result<String, RefusedResponse> {
        presented(request).map_or_else(
            || {
                self.metrics.refused_tokens.add(1);
                let scheme = [(WWW_AUTHENTICATE, "Bearer")];
                refuse(StatusCode::UNAUTHORIZED, "a token is needed", &scheme)
            },
            Ok,
        )
    }

    /// Returns a new short-lived token. The request must contain the token of a device, because a
    /// client could otherwise renew a short-lived token without end.
    fn token<B>(&self, request: &Request<B>) -> Result<HttpResponse, RefusedResponse> {
        let Some(device) = self.authenticator.check(&self.token_of(request)?) else {
            return self.wrong_token();
        };
        match self.authenticator.issue(&device, self.clock.now()) {
            Ok((token, expires)) => {
                let body = json!({ "token": token, "expiresAt": expires });
                Ok(of_device(
                    json_text(StatusCode::OK, body.to_string()),
                    device,
                ))
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
            let reason = "no valid challenge and proof";
            return refuse(StatusCode::BAD_REQUEST, reason, &[]);
        };
        let Some((challenge, proof)) = self.authenticator.prove(&parsed) else {
            self.metrics.refused_tokens.add(1);
            let reason = "no registered display has sent this proof to this address";
            return refuse(StatusCode::FORBIDDEN, reason, &[]);
        };
        let body = json!({ "challenge": challenge, "proof": proof });
        Ok(json_text(StatusCode::OK, body.to_string()))
    }

    /// Returns the health of the hub. A client that may not see the details gets only the status.
    fn health(&self, detailed: bool) -> HttpResponse {
        let simulated = self.quotes.simulated() == Some(true);
        let now = self.clock.now();
        let (well, mut report) = health::report(&self.health, simulated, &self.calendar, now);
        if detailed {
            report["version"] = env!("CARGO_PKG_VERSION").into();
            report["hubs"] = self.hub_path.upward().into();
            if let Some(above) = &self.above {
                report["through"] = above.borrow().json(now.monotonic);
            }
        } else {
            // Displays recognize a hub by the field `clusters`.
            report = json!({ "status": report["status"], "clusters": {} });
        }
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
        devices::render(&mut text, &self.authenticator.statuses(), now);
        process::render(&mut text, now);
        let content_type = "text/plain; version=0.0.4; charset=utf-8";
        with(Response::new(Full::from(text)), CONTENT_TYPE, content_type)
    }
}

/// Stores the device in the response, so that the listener knows that the request had a valid
/// token.
pub(crate) fn of_device(mut answer: HttpResponse, device: Device) -> HttpResponse {
    answer.extensions_mut().insert(device);
    answer
}
