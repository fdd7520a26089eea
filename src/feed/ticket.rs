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

use super::Why;
use super::link::Via;
use super::net::{self, Connector};
use super::rest::{self, Refusal};
use super::session::Source;
use crate::clock::{Clock, Moment, Utc};
use crate::config::Secret;

/// Where a hub and the proxy give tokens out.
const PATH: &str = "/api/ws-token";
/// What answers in JSON without a token: our hub's health, and the proxy's complaint.
pub(crate) const DOORS: [&str; 2] = ["/healthz", "/api/quotes"];

/// Somebody who was recognised is taken for the same this long.
const RECOGNISED: Duration = Duration::from_secs(30);
/// How long a token is good whose end cannot be understood; the usual five minutes and some doubt.
const UNTOLD: Duration = Duration::from_secs(4 * 60);
/// No token is trusted longer than this.
const TRUSTED: Duration = Duration::from_secs(10 * 60);
/// Whether a hub that gave none gives one now is asked after this.
const REFUSED: Duration = Duration::from_secs(60);
/// It is given up this long before it ends.
const MARGIN: Duration = Duration::from_secs(30);

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Answer {
    token: String,
    /// In milliseconds since the Unix epoch, by the other side's clock.
    expires_at: Option<f64>,
}

/// Makes sure that there is a hub at the other end before it is sent a token. Nothing is asked
/// where a certificate has done so, or where there is nothing to be kept from anybody.
///
/// # Errors
/// [`Why::Portal`] where something else has answered, or why nobody has.
async fn recognise(connector: &Connector, source: &Source) -> Result<(), Refusal> {
    if source.via == Via::Vendor || source.endpoint.secure || source.secret.is_none() {
        return Ok(());
    }
    let nobody = Source {
        secret: None,
        ..source.clone()
    };
    // The one that was there the last time is tried first: then it is one question.
    let usual = connector.door();
    for door in [usual, !usual] {
        let path = DOORS[usize::from(door)];
        let answer = rest::ask(connector, &nobody, Method::GET, path).await?;
        if judge(answer.status.as_u16(), answer.json.as_deref()) {
            connector.set_door(door);
            return Ok(());
        }
        match net::refusal(answer.status) {
            Why::Path => {}
            Why::Busy => {
                return Err(Refusal {
                    why: Why::Busy,
                    retry_after: answer.header(&RETRY_AFTER).map(str::to_owned),
                });
            }
            _ => return Err(Why::Portal.into()),
        }
    }
    Err(Why::Path.into())
}

/// Whether an answer to nobody is that of a hub, or of the proxy.
pub(crate) fn judge(status: u16, json: Option<&[u8]>) -> bool {
    #[derive(Deserialize)]
    struct Greeting {
        clusters: Option<serde_json::Map<String, serde_json::Value>>,
        error: Option<String>,
    }
    let greeting = json.and_then(|body| serde_json::from_slice::<Greeting>(body).ok());
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
pub(super) async fn ticket(connector: &Connector, source: &Source) -> Result<Option<Secret>, Why> {
    if source.via == Via::Vendor || source.secret.is_none() {
        return Ok(None);
    }
    let known = recognise(connector, source).await;
    known.map_err(|refusal| refusal.why)?;
    let fresh = fresh(connector, source).await?;
    Ok(fresh
        .map(|(token, _)| token)
        .or_else(|| source.secret.clone()))
}

/// An ephemeral token of a hub that was recognised, and when it ends; `None` where it offers none.
async fn fresh(
    connector: &Connector,
    source: &Source,
) -> Result<Option<(Secret, Option<f64>)>, Why> {
    match rest::fetch(connector, &source.endpoint, Method::POST, PATH, source).await {
        Ok(body) => {
            let answer = serde_json::from_slice::<Answer>(&body).ok();
            Ok(answer
                .and_then(|answer| Some((Secret::new(&answer.token).ok()?, answer.expires_at))))
        }
        // It answered, and has none for us: whoever is asked next will tell what it thinks of
        // our own. A page where a hub was is another matter.
        Err(refusal) if refusal.why.answered() && refusal.why != Why::Portal => Ok(None),
        Err(refusal) => Err(refusal.why),
    }
}

/// How long a token may be used. By our own clock, which may not be that of the other side.
fn lifetime(expires_at: Option<f64>, now: Option<Utc>) -> Duration {
    let left = expires_at.zip(now).map(|(end, now)| end - now.0 as f64);
    let left = left.filter(|millis| *millis > 0.0);
    let left = left.map_or(UNTOLD, |millis| Duration::from_millis(millis as u64));
    left.min(TRUSTED).saturating_sub(MARGIN)
}

/// Asks one source's REST, each time with what is due to it.
pub(super) struct Doorman {
    connector: Connector,
    source: Arc<Source>,
    clock: Clock,
    /// When the hub was last recognised, and how many links had been lost by then.
    recognised: Option<(Moment, u32)>,
    /// The source with the token of these minutes instead of its own, and until when.
    pass: Option<(Source, Moment)>,
}

impl Doorman {
    pub(super) fn new(connector: Connector, source: Arc<Source>, clock: Clock) -> Self {
        Self {
            connector,
            source,
            clock,
            recognised: None,
            pass: None,
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
    pub(super) async fn get(&mut self, path: &str) -> Result<Bytes, Refusal> {
        let kept = self.pass.is_some();
        let mut answer = self.attempt(path).await;
        let refused = |answer: &Result<_, Refusal>| matches!(answer, Err(refusal) if refusal.why == Why::Token);
        // A token may have ended, or the hub that gave it has; one that is new is no better.
        if refused(&answer) {
            self.pass = None;
            if kept {
                answer = self.attempt(path).await;
            }
        }
        if refused(&answer) {
            self.pass = None;
        }
        match &answer {
            Ok(_) => self.connector.answered(),
            Err(_) => self.recognised = None,
        }
        answer
    }

    async fn attempt(&mut self, path: &str) -> Result<Bytes, Refusal> {
        if self.source.via == Via::Vendor || self.source.secret.is_none() {
            let endpoint = rest::endpoint(&self.source);
            return rest::get(&self.connector, &endpoint, path, &self.source).await;
        }
        let now = self.clock.now().monotonic;
        let losses = self.connector.losses();
        let known = |(at, lost)| now < at + RECOGNISED && lost == losses;
        if !self.recognised.is_some_and(known) {
            self.recognised = None;
            recognise(&self.connector, &self.source).await?;
            self.recognised = Some((now, losses));
        }
        if self.pass.as_ref().is_none_or(|(_, until)| now >= *until) {
            self.pass = None;
            let fresh = fresh(&self.connector, &self.source).await?;
            // Where none is offered, its own one; whether that has changed is asked in a while.
            let (secret, wait) = match fresh {
                Some((token, end)) => (Some(token), lifetime(end, self.clock.now().utc)),
                None => (self.source.secret.clone(), REFUSED),
            };
            let pass = Source {
                secret,
                ..Source::clone(&self.source)
            };
            self.pass = Some((pass, now + wait));
        }
        let source = self.pass.as_ref().map_or(&*self.source, |(pass, _)| pass);
        rest::get(&self.connector, &source.endpoint, path, source).await
    }
}

#[cfg(test)]
mod tests;
