//! The authentication of this client at a hub. A hub without TLS must be verified before this
//! client sends a token, because another server in the network can answer in its place. REST
//! requests and WebSocket upgrades use a short-lived token if the hub issues one. The device token
//! then never appears in an address, which a proxy on the network path can log. This module never
//! opens a WebSocket.

use std::sync::Arc;
use std::time::Duration;

use hyper::Method;
use hyper::body::Bytes;
use serde::Deserialize;

use crate::net::connector::Connector;
use crate::net::discovery;
use crate::net::failure::Failure;
use crate::net::http::{self, RestError};
use crate::net::source::{FeedProvider, FeedSource};
use crate::secret::Secret;
use crate::time::{Clock, Moment, Utc};

/// The path at which a hub and the proxy issue short-lived tokens (`POST`).
const PATH: &str = "/api/ws-token";
/// The paths that return JSON without a token: the health report of our hub, and the error response
/// of the proxy.
pub(crate) const PROBE_PATHS: [&str; 2] = ["/healthz", "/api/quotes"];

/// The time for which the verification of a hub is valid.
const VERIFIED_FOR: Duration = Duration::from_secs(30);
/// The assumed lifetime of a token without a usable expiry time. The usual lifetime is five
/// minutes, and this value is one minute shorter for safety.
const DEFAULT_LIFETIME: Duration = Duration::from_secs(4 * 60);
/// The maximum lifetime of a token, before the subtraction of [`MARGIN`].
const MAX_LIFETIME: Duration = Duration::from_secs(10 * 60);
/// The wait before the next token request to a hub that issued no short-lived token.
const RETRY_AFTER_REFUSAL: Duration = Duration::from_secs(60);
/// The time between the replacement of a token and its expiry.
const MARGIN: Duration = Duration::from_secs(30);

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct TokenAnswer {
    token: String,
    /// The expiry time in milliseconds since the Unix epoch, by the clock of the hub or proxy.
    expires_at: Option<f64>,
}

/// Verifies that the server is a hub or the proxy, before this client sends a token. The function
/// sends no request to the vendor, over TLS (the certificate already proves the identity of the
/// server), or if the source has no secret.
///
/// # Errors
///
/// If no path identifies a hub: [`Failure::Busy`], [`Failure::Gateway`], [`Failure::TlsRequired`] or
/// [`Failure::Filtered`] as the responses show, [`Failure::Portal`] if the server answers with
/// something else, [`Failure::Path`] if it has none of the paths. Otherwise the reason why no response
/// arrived.
async fn recognise(connector: &Connector, source: &FeedSource) -> Result<(), RestError> {
    if source.provider == FeedProvider::Vendor || source.endpoint.secure || source.secret.is_none()
    {
        return Ok(());
    }
    let nobody = FeedSource {
        secret: None,
        ..source.clone()
    };
    // The path of the last success comes first, so that one request is usually enough.
    let usual = connector.probe();
    let mut verdict = RestError::from(Failure::Path);
    for probe in [usual, !usual] {
        let path = PROBE_PATHS[usize::from(probe)];
        let answer = http::ask(connector, &nobody, Method::GET, path).await?;
        if judge(answer.status.as_u16(), answer.json.as_deref()) {
            connector.set_probe(probe);
            return Ok(());
        }
        // One path proves nothing against the server: the proxy answers an unknown path with its
        // web page, or with status 500 if it has no page.
        let error = answer.error(&source.endpoint);
        match error.reason {
            Failure::Path => {}
            Failure::Busy | Failure::Gateway | Failure::TlsRequired => verdict = error,
            // The request has no token, so this refusal is not about the token.
            Failure::Token if verdict.reason == Failure::Path => verdict = Failure::Filtered.into(),
            _ if verdict.reason == Failure::Path => verdict = Failure::Portal.into(),
            _ => {}
        }
    }
    Err(verdict)
}

/// Returns true if a response to a request without a token comes from a hub or from the proxy.
pub(crate) fn judge(status: u16, json: Option<&[u8]>) -> bool {
    #[derive(Deserialize)]
    struct HubAnswer {
        clusters: Option<serde_json::Map<String, serde_json::Value>>,
        error: Option<String>,
    }
    let greeting = json.and_then(|body| serde_json::from_slice::<HubAnswer>(body).ok());
    greeting.is_some_and(|greeting| match status {
        // A hub with a problem returns 503 and the same JSON body.
        200 | 503 => greeting.clusters.is_some(),
        400 | 401 | 403 => greeting.error.is_some(),
        _ => false,
    })
}

/// Returns a token for one WebSocket upgrade: a short-lived token if the hub offers one, otherwise
/// the token of the source. Returns `None` if the source has no token or if the source is the
/// vendor, because the vendor accepts no token in an address.
///
/// # Errors
///
/// The reason why the hub cannot be reached or why the server is not a hub. In both cases an
/// upgrade would fail too.
pub(super) async fn connect_token(
    connector: &Connector,
    source: &FeedSource,
) -> Result<Option<Secret>, Failure> {
    if source.provider == FeedProvider::Vendor || source.secret.is_none() {
        return Ok(None);
    }
    let known = recognise(connector, source).await;
    known.map_err(|refusal| refusal.reason)?;
    let fresh = fresh(connector, source).await?;
    Ok(fresh
        .map(|(token, _)| token)
        .or_else(|| source.secret.clone()))
}

/// Requests a short-lived token from a verified hub. Returns the token and its expiry time (in
/// milliseconds since the Unix epoch), or `None` if the hub issues no short-lived token.
async fn fresh(
    connector: &Connector,
    source: &FeedSource,
) -> Result<Option<(Secret, Option<f64>)>, Failure> {
    match http::fetch(connector, source, Method::POST, PATH).await {
        Ok(body) => {
            let answer = serde_json::from_slice::<TokenAnswer>(&body).ok();
            Ok(answer
                .and_then(|answer| Some((Secret::new(&answer.token).ok()?, answer.expires_at))))
        }
        // The server answered but issued no token, so the caller uses the device token. The
        // response to the next request shows if the server accepts the device token. A web page is
        // an error, because a web page does not come from the verified hub.
        Err(refusal) if refusal.reason.answered() && refusal.reason != Failure::Portal => Ok(None),
        Err(refusal) => Err(refusal.reason),
    }
}

/// Returns the time for which a token can be used, counted from `now`. The expiry time and `now`
/// come from two different clocks, so the function limits the effect of a wrong clock.
fn lifetime(expires_at: Option<f64>, now: Option<Utc>) -> Duration {
    let left = expires_at.zip(now).map(|(end, now)| end - now.0 as f64);
    let left = left.filter(|millis| *millis > 0.0);
    let left = left.map_or(DEFAULT_LIFETIME, |millis| {
        Duration::from_millis(millis as u64)
    });
    left.min(MAX_LIFETIME).saturating_sub(MARGIN)
}

/// A REST client for one source. Each request contains the secret that the source requires.
pub(super) struct AuthenticatedRest {
    connector: Connector,
    /// The source as the configuration has it.
    configured: Arc<FeedSource>,
    /// The source with the address of its hub.
    source: Arc<FeedSource>,
    clock: Clock,
    /// The time of the last verification of the hub, and the number of lost connections at that
    /// time.
    recognised: Option<(Moment, u32)>,
    /// The source with a short-lived token in place of the device token, and the time at which the
    /// token must be replaced. If the hub offers no short-lived token, the source keeps the device
    /// token.
    current_token: Option<(FeedSource, Moment)>,
}

impl AuthenticatedRest {
    pub(super) fn new(connector: Connector, source: Arc<FeedSource>, clock: Clock) -> Self {
        Self {
            connector,
            configured: source.clone(),
            source,
            clock,
            recognised: None,
            current_token: None,
        }
    }

    /// Takes the `Date` header of the latest response and the time since its arrival. Each date is
    /// returned once. `took` is the duration of the exchange; a slow exchange returns `None`.
    pub(super) fn take_date(&self, took: Duration) -> Option<(Utc, Duration)> {
        self.connector.take_date(took)
    }

    /// Requests the JSON body at `path`.
    ///
    /// # Errors
    ///
    /// The reason of the failure, and the wait that the server requested.
    pub(super) async fn get(&mut self, path: &str) -> Result<Bytes, RestError> {
        self.locate().await?;
        let kept = self.current_token.is_some();
        let mut answer = self.attempt(path).await;
        let refused = |answer: &Result<_, RestError>| matches!(answer, Err(refusal) if refusal.reason == Failure::Token);
        // A stored token can be expired, or its hub can have restarted, so one retry with a new
        // token is useful. The refusal of a new token is final.
        if refused(&answer) {
            self.current_token = None;
            if kept {
                answer = self.attempt(path).await;
            }
        }
        if refused(&answer) {
            self.current_token = None;
        }
        match &answer {
            Ok(_) => self.connector.answered(),
            Err(refusal) => {
                self.recognised = None;
                // A hub that has moved must be searched again, also if no WebSocket is open.
                if self.configured.endpoint.is_announced() && !refusal.reason.answered() {
                    self.connector.lost();
                }
            }
        }
        answer
    }

    /// Sets the source to the hub that announces itself, if the configuration has no address.
    async fn locate(&mut self) -> Result<(), RestError> {
        let located = discovery::locate(&self.connector, &self.configured).await?;
        if located != *self.source {
            self.source = Arc::new(located);
            (self.recognised, self.current_token) = (None, None);
        }
        Ok(())
    }

    async fn attempt(&mut self, path: &str) -> Result<Bytes, RestError> {
        if self.source.provider == FeedProvider::Vendor || self.source.secret.is_none() {
            return http::fetch(&self.connector, &self.source, Method::GET, path).await;
        }
        let now = self.clock.now().monotonic;
        let losses = self.connector.losses();
        let known = |(at, lost)| now < at + VERIFIED_FOR && lost == losses;
        if !self.recognised.is_some_and(known) {
            self.recognised = None;
            recognise(&self.connector, &self.source).await?;
            self.recognised = Some((now, losses));
        }
        if self
            .current_token
            .as_ref()
            .is_none_or(|(_, until)| now >= *until)
        {
            self.current_token = None;
            let fresh = fresh(&self.connector, &self.source).await?;
            // If the hub offers no short-lived token, use the device token and repeat the token
            // request after a wait.
            let (secret, wait) = match fresh {
                Some((token, end)) => (Some(token), lifetime(end, self.clock.now().utc)),
                None => (self.source.secret.clone(), RETRY_AFTER_REFUSAL),
            };
            let current_token = FeedSource {
                secret,
                ..FeedSource::clone(&self.source)
            };
            self.current_token = Some((current_token, now + wait));
        }
        let source = self
            .current_token
            .as_ref()
            .map_or(&*self.source, |(current_token, _)| current_token);
        http::fetch(&self.connector, source, Method::GET, path).await
    }
}

#[cfg(test)]
#[path = "tests/auth.rs"]
mod tests;
