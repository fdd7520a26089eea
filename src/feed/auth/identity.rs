//! The identification of a server, and the reason why a server that may be another one does not
//! accept a WebSocket. Its requests contain no token.

use hyper::Method;
use serde::Deserialize;

use crate::market::Cluster;
use crate::net::Boxed;
use crate::net::connector::Connector;
use crate::net::failure::Failure;
use crate::net::http::{self, HttpAnswer, RestError};
use crate::net::source::{FeedProvider, FeedSource};

/// The paths that return JSON without a token: the health report of a hub, and the error response
/// of the proxy.
pub(super) const PROBE_PATHS: [&str; 2] = ["/healthz", "/api/quotes"];

/// A server that has identified itself as a hub or as the proxy.
#[derive(Debug)]
pub(crate) struct Identity {
    /// True for a deskticker-hub, false for the proxy.
    pub(crate) is_hub: bool,
    /// The response that identifies the server.
    pub(crate) answer: HttpAnswer,
}

/// Identifies the server with requests that contain no token.
///
/// # Errors
///
/// If no path identifies a hub: [`Failure::Busy`], [`Failure::Gateway`], [`Failure::TlsRequired`],
/// [`Failure::Filtered`] or [`Failure::Portal`] as the responses show, [`Failure::UrlPath`] if the
/// path in the address is the likely cause, otherwise [`Failure::NotAHub`]. Without a response, the
/// reason why none arrived.
#[inline(never)]
pub(crate) fn identify<'a>(
    connector: &'a Connector,
    source: &'a FeedSource,
) -> Boxed<'a, Result<Identity, RestError>> {
    Box::pin(async move {
        let mut nobody = FeedSource {
            secret: None,
            ..source.clone()
        };
        let error = match identify_at(connector, &nobody).await {
            Err(error) if !nobody.endpoint.base.is_empty() => error,
            outcome => return outcome,
        };
        // A proxy can forward the path to the hub, so the path alone is no error.
        nobody.endpoint.base.clear();
        let is_cause = match error.reason {
            Failure::NotAHub => true,
            // The proxy answers an unknown path with its web page.
            Failure::Portal | Failure::Filtered => identify_at(connector, &nobody).await.is_ok(),
            _ => false,
        };
        let reason = if is_cause {
            Failure::UrlPath
        } else {
            error.reason
        };
        Err(RestError { reason, ..error })
    })
}

async fn identify_at(connector: &Connector, nobody: &FeedSource) -> Result<Identity, RestError> {
    // The path of the last success comes first, so that one request is usually enough.
    let usual = connector.probe();
    let mut verdict = RestError::from(Failure::NotAHub);
    for probe in [usual, !usual] {
        let path = PROBE_PATHS[usize::from(probe)];
        let answer = http::ask(connector, nobody, Method::GET, path).await?;
        if let Some(is_hub) = judge(answer.status.as_u16(), answer.json.as_deref()) {
            connector.set_probe(probe);
            return Ok(Identity { is_hub, answer });
        }
        // A failure at one path does not prove that the server is no hub: the proxy answers an
        // unknown path with its web page, or with status 500 if it has no page.
        let mut error = answer.error(nobody);
        error.reason = match error.reason {
            // The request has no token, so this refusal is not about the token.
            Failure::Token => Failure::Filtered,
            Failure::HubUpstream => Failure::Gateway,
            Failure::Busy | Failure::Gateway | Failure::TlsRequired | Failure::Portal => {
                error.reason
            }
            _ => Failure::NotAHub,
        };
        let overrides = matches!(
            error.reason,
            Failure::Busy | Failure::Gateway | Failure::TlsRequired
        );
        if overrides || verdict.reason == Failure::NotAHub {
            verdict = error;
        }
    }
    Err(verdict)
}

/// Returns true for the response of a hub, and false for the response of the proxy, to a request
/// without a token. Returns `None` for a response of any other server.
pub(super) fn judge(status: u16, json: Option<&[u8]>) -> Option<bool> {
    #[derive(Deserialize)]
    struct HubAnswer {
        clusters: Option<serde_json::Map<String, serde_json::Value>>,
        error: Option<String>,
    }
    let greeting: HubAnswer = serde_json::from_slice(json?).ok()?;
    match status {
        // A hub with a problem returns 503 and the same JSON body.
        200 | 503 => greeting.clusters.map(|_| true),
        400 | 401 | 403 => greeting.error.map(|_| false),
        _ => None,
    }
}

/// Returns the reason why an upgrade failed. `is_hub` is the kind of the server, if the server has
/// identified itself in this attempt.
pub(super) async fn explain(
    connector: &Connector,
    source: &FeedSource,
    error: &RestError,
    is_hub: Option<bool>,
    cluster: Cluster,
) -> Failure {
    let is_unclear = matches!(
        error.reason,
        Failure::Portal | Failure::Protocol | Failure::Path | Failure::Busy
    );
    // A server that names a wait is known to be overloaded. Further requests would add to its load.
    let is_busy = error.reason == Failure::Busy && error.retry_after.is_some();
    if !is_unclear || is_busy || source.provider == FeedProvider::Vendor {
        return error.reason;
    }
    let is_hub = match is_hub {
        Some(is_hub) => is_hub,
        None => match identify(connector, source).await {
            Ok(identity) => identity.is_hub,
            Err(other) if other.reason == Failure::UrlPath => return other.reason,
            Err(_) => return error.reason,
        },
    };
    // An upgrade request without its headers is an ordinary request: for the web page, or for a path
    // that does not exist. A hub answers such a request with status 426. The proxy does not serve
    // shares, so only its other paths exist in any case.
    let is_dropped = match error.status.map(|status| status.as_u16()) {
        Some(200..=400) => true,
        Some(404 | 500) => !is_hub && cluster != Cluster::Stocks,
        _ => false,
    };
    if is_dropped {
        return Failure::UpgradeDropped;
    }
    error.reason
}
