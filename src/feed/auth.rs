//! The authentication of this client at a hub. A hub without TLS must be verified before this
//! client sends a token, because another server in the network can answer in its place. REST
//! requests and WebSocket upgrades use a short-lived token if the hub issues one. The device token
//! then never appears in an address, which a proxy on the network path can log. The upgrade itself is
//! in `net::upgrade`.

mod identity;

use std::sync::Arc;
use std::time::Duration;

use hyper::Method;
use hyper::body::Bytes;
use serde::Deserialize;
use tokio::task::JoinSet;

use super::rest_paths;
use crate::market::{Cluster, Symbol};
use crate::massive::quotes;
use crate::net::Boxed;
use crate::net::connector::Connector;
use crate::net::discovery;
use crate::net::failure::Failure;
use crate::net::http::{self, RestError};
use crate::net::source::{FeedProvider, FeedSource};
use crate::net::upgrade::Upgraded;
use crate::secret::Secret;
use crate::time::{Clock, Moment, Utc};
pub(crate) use identity::{Identity, identify};
use identity::{PROBE_PATHS, explain, judge};

/// The path at which a hub and the proxy issue short-lived tokens (`POST`).
const PATH: &str = "/api/ws-token";
/// The time for which the verification of a hub is valid.
const VERIFIED_FOR: Duration = Duration::from_secs(30);
/// The assumed lifetime of a token without a usable expiry time. The usual lifetime is five
/// minutes, and this value is one minute shorter for safety.
const DEFAULT_LIFETIME: Duration = Duration::from_secs(4 * 60);
/// The maximum lifetime of a token, before the subtraction of [`MARGIN`].
const MAX_LIFETIME: Duration = Duration::from_secs(10 * 60);
/// The time limit of the token request to a server that the configuration trusts. A relay can leave
/// this request without an answer, and then the device token is used.
const TRUSTED_LIMIT: Duration = Duration::from_secs(1);
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
/// sends no request if the server is the vendor, if the connection uses TLS (the certificate proves
/// the identity of the server), if the source has no secret, or if the configuration trusts the
/// server.
///
/// # Errors
///
/// The error of [`identify`].
async fn recognise(
    connector: &Connector,
    source: &FeedSource,
) -> Result<Option<Identity>, RestError> {
    let is_vendor = source.provider == FeedProvider::Vendor;
    if is_vendor || source.endpoint.secure || source.secret.is_none() || source.trusted {
        return Ok(None);
    }
    identify(connector, source).await.map(Some)
}

/// Opens a WebSocket to a cluster of the hub or the vendor. Each attempt needs a new token, because
/// a short-lived token is valid for one upgrade. Each attempt also verifies the server again.
///
/// # Errors
///
/// The reason why the server cannot be reached, or why it refuses the upgrade.
async fn open(
    connector: Connector,
    source: Arc<FeedSource>,
    cluster: Cluster,
) -> Result<Upgraded, RestError> {
    let source = discovery::locate(&connector, &source).await?;
    let known = recognise(&connector, &source).await?;
    let is_hub = known.map(|identity| identity.is_hub);
    let opened = async {
        let token = connect_token(&connector, &source).await?;
        let path = source.path(cluster, token.as_ref());
        connector.websocket(&source.endpoint, &path).await
    };
    match opened.await {
        Ok(opened) => Ok(opened),
        Err(error) => {
            let reason = explain(&connector, &source, &error, is_hub, cluster).await;
            Err(RestError { reason, ..error })
        }
    }
}

/// The time after which a parallel attempt starts. Without a parallel attempt, a server that
/// accepts and then sends nothing, a silent name server or a lost packet would block the
/// connection.
const PARALLEL_AFTER: Duration = Duration::from_millis(1500);
/// The maximum number of parallel attempts.
const MAX_ATTEMPTS: usize = 5;

/// Opens a WebSocket like [`open`]. A hub can have several parallel attempts, and the function
/// returns the result of the attempt that ends first.
#[inline(never)]
pub(super) fn attempt(
    connector: Connector,
    source: Arc<FeedSource>,
    cluster: Cluster,
) -> Boxed<'static, Result<Upgraded, RestError>> {
    Box::pin(async move {
        // The end of this function drops the set and cancels all unfinished attempts.
        let mut tries = JoinSet::new();
        loop {
            tries.spawn(open(connector.clone(), source.clone(), cluster));
            let more = source.provider == FeedProvider::Hub && tries.len() < MAX_ATTEMPTS;
            let first = if more {
                tokio::time::timeout(PARALLEL_AFTER, tries.join_next())
                    .await
                    .ok()
            } else {
                Some(tries.join_next().await)
            };
            match first {
                Some(Some(Ok(outcome))) => return outcome,
                // The attempt panicked, and the panic was already reported.
                Some(_) => return Err(Failure::Lost.into()),
                None => {}
            }
        }
    })
}

/// Returns a token for one WebSocket upgrade: a short-lived token if the hub offers one, otherwise
/// the token of the source. Returns `None` if the source has no token or if the source is the
/// vendor, because the vendor accepts no token in an address. The server must be recognised before
/// this call.
///
/// # Errors
///
/// The reason why the hub cannot be reached. An upgrade would fail too.
async fn connect_token(
    connector: &Connector,
    source: &FeedSource,
) -> Result<Option<Secret>, RestError> {
    if source.provider == FeedProvider::Vendor || source.secret.is_none() {
        return Ok(None);
    }
    let fresh = fresh(connector, source, None).await?;
    Ok(fresh
        .map(|(token, _)| token)
        .or_else(|| source.secret.clone()))
}

/// Requests a short-lived token from a verified or trusted hub. Returns the token and its expiry
/// time (in milliseconds since the Unix epoch), or `None` if the hub issues no short-lived token. A
/// trusted relay can send any response, so its response is never a failure. `only` is the
/// connection for the request; see [`http::ask_on`].
///
/// # Errors
///
/// No answer arrived, or the answer does not concern short-lived tokens: the server is overloaded,
/// the hub behind a proxy cannot be reached, or a web page answered.
async fn fresh(
    connector: &Connector,
    source: &FeedSource,
    only: Option<u64>,
) -> Result<Option<(Secret, Option<f64>)>, RestError> {
    if source.trusted {
        let answer = tokio::time::timeout(TRUSTED_LIMIT, issued(connector, source, only)).await;
        return Ok(answer.ok().and_then(Result::ok).flatten());
    }
    match issued(connector, source, only).await {
        // The caller uses the device token. The response to the next request shows if the server
        // accepts the device token.
        Err(error) if error.reason == Failure::Token => Ok(None),
        outcome => outcome,
    }
}

/// Does the same as [`fresh`] for a server that is not trusted, but also returns the refusal of the
/// token as an error.
pub(crate) async fn issued(
    connector: &Connector,
    source: &FeedSource,
    only: Option<u64>,
) -> Result<Option<(Secret, Option<f64>)>, RestError> {
    let answer = http::ask_on(connector, source, Method::POST, PATH, only).await?;
    let error = answer.error(source);
    match answer.status.as_u16() {
        200 => {
            let body = answer.json.ok_or(Failure::Portal)?;
            let answer = serde_json::from_slice::<TokenAnswer>(&body).ok();
            Ok(answer
                .and_then(|answer| Some((Secret::new(&answer.token).ok()?, answer.expires_at))))
        }
        // The proxy without its web page answers an unknown path with status 500.
        500 | 501 => Ok(None),
        _ => match error.reason {
            Failure::Busy
            | Failure::Gateway
            | Failure::HubUpstream
            | Failure::TlsRequired
            | Failure::Token
            | Failure::Portal => Err(error),
            // The server has no such path.
            _ => Ok(None),
        },
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

/// A successful verification of a hub.
#[derive(Clone, Copy)]
struct Verification {
    at: Moment,
    /// The connector's number of lost or failed connections at the time `at`. A later loss ends the
    /// verification.
    losses: u32,
    /// The connection that delivered the proof. The verification is valid on this connection
    /// without a time limit, and on other connections for [`VERIFIED_FOR`].
    connection: Option<u64>,
}

/// A REST client for one source. Each request contains the secret that the source requires.
#[derive(Clone)]
pub(crate) struct AuthenticatedRest {
    connector: Connector,
    /// All hubs of the source, and the index of the hub in use.
    all: Arc<FeedSource>,
    active: usize,
    /// The source with only the hub in use.
    source: FeedSource,
    clock: Clock,
    /// The last verification of the hub.
    recognised: Option<Verification>,
    /// The source with a short-lived token in place of the device token, and the time at which the
    /// token must be replaced. If the hub offers no short-lived token, the source keeps the device
    /// token.
    current_token: Option<(FeedSource, Moment)>,
}

impl AuthenticatedRest {
    pub(crate) fn new(connector: Connector, source: Arc<FeedSource>, clock: Clock) -> Self {
        Self {
            active: connector.active(),
            source: source.at(connector.active()),
            connector,
            all: source,
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

    /// Returns true if this client is for this source.
    pub(crate) fn is_for(&self, source: &FeedSource) -> bool {
        *self.all == *source
    }

    /// Returns true if the hub has issued a short-lived token for the last request.
    pub(crate) fn has_issued_token(&self) -> bool {
        let current = self.current_token.as_ref();
        current.is_some_and(|(source, _)| source.secret != self.source.secret)
    }

    /// Requests the report of a deskticker-hub about its health: the JSON of `/healthz`.
    ///
    /// # Errors
    ///
    /// As [`AuthenticatedRest::get`].
    pub(crate) async fn health(&mut self) -> Result<Bytes, RestError> {
        self.get(PROBE_PATHS[0]).await
    }

    /// Requests the JSON body at `path`.
    ///
    /// # Errors
    ///
    /// The reason of the failure, and the wait that the server requested.
    pub(crate) async fn get(&mut self, path: &str) -> Result<Bytes, RestError> {
        self.locate().await?;
        let kept = self.current_token.is_some();
        let mut answer = self.attempt(path).await;
        // A stored token can be expired, or its hub can have restarted, so one retry with a new
        // token is useful. The refusal of a new token is final.
        if is(&answer, Failure::Token) && kept {
            self.current_token = None;
            answer = self.attempt(path).await;
        }
        if is(&answer, Failure::Token) {
            self.current_token = None;
        }
        if let Err(error) = &mut answer
            && matches!(error.reason, Failure::Portal | Failure::Path)
            && self.source.endpoint.secure
            && !self.source.endpoint.base.is_empty()
            && let Err(other) = identify(&self.connector, &self.source).await
            && other.reason == Failure::UrlPath
        {
            error.reason = Failure::UrlPath;
        }
        match &answer {
            Ok(_) => self.connector.answered(),
            Err(refusal) if refusal.reason == Failure::Plan => self.connector.answered(),
            Err(refusal) => {
                self.recognised = None;
                // The hub may have a new address, so it must be searched for again, even if no
                // WebSocket is open.
                if self.all.endpoint.is_announced() && !refusal.reason.answered() {
                    self.connector.lost();
                }
            }
        }
        answer
    }

    /// Sets the source to the hub in use: a hub of the configuration, or else the hub that
    /// announces itself.
    async fn locate(&mut self) -> Result<(), RestError> {
        let active = self.connector.active();
        let configured = self.all.at(active);
        let located = discovery::locate(&self.connector, &configured).await?;
        if active != self.active || located != self.source {
            (self.active, self.source) = (active, located);
            (self.recognised, self.current_token) = (None, None);
        }
        Ok(())
    }

    async fn attempt(&mut self, path: &str) -> Result<Bytes, RestError> {
        if self.source.provider == FeedProvider::Vendor || self.source.secret.is_none() {
            return self.request(&self.source, path, None, false).await;
        }
        let now = self.clock.now().monotonic;
        let losses = self.connector.losses();
        let known = self.recognised.filter(|known| known.losses == losses);
        let only = known.filter(|known| now >= known.at + VERIFIED_FOR);
        let only = only.and_then(|known| known.connection);
        if known.is_some_and(|known| now < known.at + VERIFIED_FOR) || only.is_some() {
            let answer = self.send(path, only).await;
            // After a lost connection, the hub must be verified again.
            if only.is_none() || !is(&answer, Failure::Lost) {
                return answer;
            }
        }
        self.recognised = None;
        let identity = recognise(&self.connector, &self.source).await?;
        self.recognised = Some(Verification {
            at: now,
            losses,
            connection: identity.map(|identity| identity.answer.connection),
        });
        self.send(path, None).await
    }

    /// Sends a request to the verified hub with a short-lived token, if the hub issues one.
    async fn send(&mut self, path: &str, only: Option<u64>) -> Result<Bytes, RestError> {
        let now = self.clock.now().monotonic;
        let mut issued = false;
        if self
            .current_token
            .as_ref()
            .is_none_or(|(_, until)| now >= *until)
        {
            self.current_token = None;
            let fresh = fresh(&self.connector, &self.source, only).await?;
            issued = fresh.is_some();
            // If the hub offers no short-lived token, use the device token and repeat the token
            // request after a wait.
            let (secret, wait) = match fresh {
                Some((token, end)) => (Some(token), lifetime(end, self.clock.now().utc)),
                None => (self.source.secret.clone(), RETRY_AFTER_REFUSAL),
            };
            let current_token = FeedSource {
                secret,
                ..self.source.clone()
            };
            self.current_token = Some((current_token, now + wait));
        }
        let source = self
            .current_token
            .as_ref()
            .map_or(&self.source, |(current_token, _)| current_token);
        self.request(source, path, only, issued).await
    }

    /// Sends one request with the secret of `source`. `issued` is true if the hub has issued this
    /// secret a moment ago.
    async fn request(
        &self,
        source: &FeedSource,
        path: &str,
        only: Option<u64>,
        issued: bool,
    ) -> Result<Bytes, RestError> {
        let answer = http::ask_on(&self.connector, source, Method::GET, path, only).await?;
        let status = answer.status.as_u16();
        if status == 200 {
            // Without JSON, the server sent a web page.
            return Ok(answer.json.ok_or(Failure::Portal)?);
        }
        // A hub with a problem reports its health with status 503.
        let is_report = path == PROBE_PATHS[0]
            && judge(answer.status.as_u16(), answer.json.as_deref()) == Some(true);
        if is_report && let Some(report) = answer.json {
            return Ok(report);
        }
        let mut error = answer.error(source);
        error.reason = match (source.provider, status) {
            (FeedProvider::Vendor, 401) => Failure::Key,
            (FeedProvider::Vendor, 403) => Failure::Plan,
            (FeedProvider::Hub, 403) if is_about_data(answer.json.as_deref(), issued) => {
                Failure::Plan
            }
            _ => error.reason,
        };
        Err(error)
    }
}

/// Returns true if a response with status 403 refuses the requested data, and not the token. The
/// hub and the proxy then pass on the message of the vendor. A token that was issued a moment ago
/// (`issued`) is valid, unless the response names the token.
fn is_about_data(json: Option<&[u8]>, issued: bool) -> bool {
    #[derive(Deserialize)]
    struct Refusal {
        error: String,
        #[serde(default)]
        message: String,
    }
    let refusal = json.and_then(|body| serde_json::from_slice::<Refusal>(body).ok());
    refusal.is_some_and(|refusal| {
        !refusal.error.contains("token") && (issued || !refusal.message.is_empty())
    })
}

fn is(answer: &Result<Bytes, RestError>, reason: Failure) -> bool {
    matches!(answer, Err(refusal) if refusal.reason == reason)
}

/// Returns true if a hub answers, accepts the token, and is not cut off from its vendor. `symbol`
/// is an instrument for a request that the hub forwards to the vendor.
pub(crate) async fn hub_works(
    connector: Connector,
    source: FeedSource,
    clock: Clock,
    symbol: Option<&Symbol>,
) -> bool {
    let nobody = FeedSource {
        secret: None,
        ..source.clone()
    };
    // A hub with a failed upstream answers 503. The proxy does not have this path.
    let health = http::ask(&connector, &nobody, Method::GET, PROBE_PATHS[0]).await;
    if health.is_ok_and(|answer| answer.status == 503) {
        return false;
    }
    let (provider, trusted) = (source.provider, source.trusted);
    let mut rest = AuthenticatedRest::new(connector, Arc::new(source), clock);
    let path = rest_paths::quotes(provider, symbol.map_or(&[], std::slice::from_ref));
    match rest.get(&path).await {
        Ok(body) => quotes::rows(&body).is_ok_and(|reply| !reply.repeated),
        Err(refusal) => match refusal.reason {
            // The hub has accepted the token, and its vendor has answered.
            Failure::Plan => true,
            // A trusted relay may serve no REST requests.
            Failure::Path | Failure::UpgradeDropped => trusted,
            _ => false,
        },
    }
}

#[cfg(test)]
#[path = "tests/auth.rs"]
mod tests;
