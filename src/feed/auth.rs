//! Who is let in with what. A plaintext hub is recognised before any token is sent to it, for
//! whoever runs the network may answer in its place; and what is sent is a token of a few minutes,
//! got with the device's own: the device's token then stands in no address, where a proxy on the
//! way might log it.

use std::sync::Arc;
use std::time::Duration;

use hyper::Method;
use hyper::body::Bytes;
use hyper::header::RETRY_AFTER;
use serde::Deserialize;

use super::Failure;
use super::connection::FeedProvider;
use super::poller;
use super::poller::RestError;
use super::session::FeedSource;
use crate::config::Secret;
use crate::net::connector;
use crate::net::connector::Connector;
use crate::time::{Clock, Moment, Utc};

/// Where a hub and the proxy give tokens out.
const PATH: &str = "/api/ws-token";
/// What answers in JSON without a token: our hub's health, and the proxy's complaint.
pub(crate) const PROBE_PATHS: [&str; 2] = ["/healthz", "/api/quotes"];

/// Somebody who was recognised is taken for the same this long.
const VERIFIED_FOR: Duration = Duration::from_secs(30);
/// How long a token is good whose end cannot be understood; the usual five minutes and some doubt.
const DEFAULT_LIFETIME: Duration = Duration::from_secs(4 * 60);
/// No token is trusted longer than this.
const MAX_LIFETIME: Duration = Duration::from_secs(10 * 60);
/// Whether a hub that gave none gives one now is asked after this.
const RETRY_AFTER_REFUSAL: Duration = Duration::from_secs(60);
/// It is given up this long before it ends.
const MARGIN: Duration = Duration::from_secs(30);

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct TokenAnswer {
    token: String,
    /// In milliseconds since the Unix epoch, by the other side's clock.
    expires_at: Option<f64>,
}

/// Makes sure that there is a hub at the other end before it is sent a token. Nothing is asked
/// where a certificate has done so, or where there is nothing to be kept from anybody.
///
/// # Errors
/// [`Failure::Portal`] where something else has answered, or why nobody has.
async fn recognise(connector: &Connector, source: &FeedSource) -> Result<(), RestError> {
    if source.provider == FeedProvider::Vendor || source.endpoint.secure || source.secret.is_none()
    {
        return Ok(());
    }
    let nobody = FeedSource {
        secret: None,
        ..source.clone()
    };
    // The one that was there the last time is tried first: then it is one question.
    let usual = connector.probe();
    for probe in [usual, !usual] {
        let path = PROBE_PATHS[usize::from(probe)];
        let answer = poller::ask(connector, &nobody, Method::GET, path).await?;
        if judge(answer.status.as_u16(), answer.json.as_deref()) {
            connector.set_probe(probe);
            return Ok(());
        }
        match connector::refusal(answer.status) {
            Failure::Path => {}
            Failure::Busy => {
                return Err(RestError {
                    reason: Failure::Busy,
                    retry_after: answer.header(&RETRY_AFTER).map(str::to_owned),
                });
            }
            _ => return Err(Failure::Portal.into()),
        }
    }
    Err(Failure::Path.into())
}

/// Whether an answer to nobody is that of a hub, or of the proxy.
pub(crate) fn judge(status: u16, json: Option<&[u8]>) -> bool {
    #[derive(Deserialize)]
    struct HubAnswer {
        clusters: Option<serde_json::Map<String, serde_json::Value>>,
        error: Option<String>,
    }
    let greeting = json.and_then(|body| serde_json::from_slice::<HubAnswer>(body).ok());
    greeting.is_some_and(|greeting| match status {
        // A hub that is not well is one all the same.
        200 | 503 => greeting.clusters.is_some(),
        400 | 401 | 403 => greeting.error.is_some(),
        _ => false,
    })
}

/// A token for one upgrade: an ephemeral one where the hub offers them, else the source's own.
/// `None` where the source has none, or it does not belong into an address.
///
/// # Errors
/// The hub cannot be reached, or is none; then an upgrade could not be had either.
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

/// An ephemeral token of a hub that was recognised, and when it ends; `None` where it offers none.
async fn fresh(
    connector: &Connector,
    source: &FeedSource,
) -> Result<Option<(Secret, Option<f64>)>, Failure> {
    match poller::fetch(connector, &source.endpoint, Method::POST, PATH, source).await {
        Ok(body) => {
            let answer = serde_json::from_slice::<TokenAnswer>(&body).ok();
            Ok(answer
                .and_then(|answer| Some((Secret::new(&answer.token).ok()?, answer.expires_at))))
        }
        // It answered, and has none for us: whoever is asked next will tell what it thinks of
        // our own. A page where a hub was is another matter.
        Err(refusal) if refusal.reason.answered() && refusal.reason != Failure::Portal => Ok(None),
        Err(refusal) => Err(refusal.reason),
    }
}

/// How long a token may be used. By our own clock, which may not be that of the other side.
fn lifetime(expires_at: Option<f64>, now: Option<Utc>) -> Duration {
    let left = expires_at.zip(now).map(|(end, now)| end - now.0 as f64);
    let left = left.filter(|millis| *millis > 0.0);
    let left = left.map_or(DEFAULT_LIFETIME, |millis| {
        Duration::from_millis(millis as u64)
    });
    left.min(MAX_LIFETIME).saturating_sub(MARGIN)
}

/// Asks one source's REST, each time with what is due to it.
pub(super) struct AuthenticatedRest {
    connector: Connector,
    source: Arc<FeedSource>,
    clock: Clock,
    /// When the hub was last recognised, and how many links had been lost by then.
    recognised: Option<(Moment, u32)>,
    /// The source with the token of these minutes instead of its own, and until when.
    current_token: Option<(FeedSource, Moment)>,
}

impl AuthenticatedRest {
    pub(super) fn new(connector: Connector, source: Arc<FeedSource>, clock: Clock) -> Self {
        Self {
            connector,
            source,
            clock,
            recognised: None,
            current_token: None,
        }
    }

    /// The `Date` of the latest answer, and how long ago that came; once.
    pub(super) fn take_date(&self, took: Duration) -> Option<(Utc, Duration)> {
        self.connector.take_date(took)
    }

    /// The JSON at a path.
    ///
    /// # Errors
    /// Why there is none.
    pub(super) async fn get(&mut self, path: &str) -> Result<Bytes, RestError> {
        let kept = self.current_token.is_some();
        let mut answer = self.attempt(path).await;
        let refused = |answer: &Result<_, RestError>| matches!(answer, Err(refusal) if refusal.reason == Failure::Token);
        // A token may have ended, or the hub that gave it has; one that is new is no better.
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
            Err(_) => self.recognised = None,
        }
        answer
    }

    async fn attempt(&mut self, path: &str) -> Result<Bytes, RestError> {
        if self.source.provider == FeedProvider::Vendor || self.source.secret.is_none() {
            let endpoint = poller::endpoint(&self.source);
            return poller::get(&self.connector, &endpoint, path, &self.source).await;
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
            // Where none is offered, its own one; whether that has changed is asked in a while.
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
        poller::get(&self.connector, &source.endpoint, path, source).await
    }
}

#[cfg(test)]
#[path = "tests/auth.rs"]
mod tests;
