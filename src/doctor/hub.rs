//! Identifies the server (deskticker-hub, proxy, vendor or something else) and checks access and
//! upstream status. The first request contains no token; a token is sent only to a recognised
//! server.

use std::time::{Duration, Instant};

use hyper::header::{DATE, LOCATION};
use hyper::{Method, Uri};
use serde_json::Value;

use super::{CheckState, Finding};
use crate::config::Config;
use crate::feed::auth::{self, PROBE_PATHS};
use crate::feed::poller;
use crate::market::{Cluster, Symbol};
use crate::massive::printable;
use crate::net::connector::Connector;
use crate::net::failure::Failure;
use crate::net::http::{self, HttpAnswer};
use crate::net::source::{FeedProvider, FeedSource};
use crate::time::Utc;

/// The longest wait for the hub's connections to the vendor.
const JOINING: Duration = Duration::from_secs(5);
/// The delay between two requests for the upstream status.
const AGAIN: Duration = Duration::from_millis(300);

pub(super) const READ_LOG: &str = "Read the log of the hub, on the machine of the hub:\n  journalctl \
                                   -u deskticker-hub -n 50";

/// The properties of the server that the first response shows.
#[derive(Clone, Copy, Default)]
pub(crate) struct ServerGreeting {
    /// True for a deskticker-hub, which reports its upstream status and confirms its channels.
    pub(super) hub: bool,
    /// The time of the server's clock, from the `Date` header.
    pub(super) date: Option<Utc>,
}

/// Identifies the server with requests that contain no token. A server that the configuration
/// trusts may stay unidentified.
pub(crate) async fn recognise(
    connector: &Connector,
    source: &FeedSource,
) -> (Finding, ServerGreeting) {
    let (finding, greeting) = identify(connector, source).await;
    let identified = finding.state == CheckState::Ok;
    let finding = match (source.trusted, identified) {
        (false, _) => finding,
        (true, false) => Finding::ok(
            "hub",
            "the server does not identify itself; the configuration trusts it (trust = true)",
        ),
        (true, true) => Finding::warning(
            "hub",
            finding.found,
            "The server identifies itself, so the token needs no blind trust: remove the line \
             trust = true.",
        ),
    };
    (finding, greeting)
}

async fn identify(connector: &Connector, source: &FeedSource) -> (Finding, ServerGreeting) {
    let nobody = FeedSource {
        secret: None,
        ..source.clone()
    };
    let mut paths = PROBE_PATHS.as_slice();
    if source.provider == FeedProvider::Vendor {
        paths = &["/v1/marketstatus/now"];
    }
    let mut greeting = ServerGreeting::default();
    let (mut last, mut portal) = (None, None);
    for path in paths {
        let answer = match http::ask(connector, &nobody, Method::GET, path).await {
            Ok(answer) => answer,
            Err(reason) => {
                let remedy = "Is this the address and the port of a hub?";
                let finding = Finding::failed("hub", reason.to_string(), remedy);
                return (finding, ServerGreeting::default());
            }
        };
        greeting.date = answer.header(&DATE).and_then(Utc::from_http_date);
        match judge(&answer, source) {
            Some((finding, hub)) if finding.state == CheckState::Ok => {
                return (finding, ServerGreeting { hub, ..greeting });
            }
            // A failure at one path does not prove that the server is no hub: the proxy answers an
            // unknown path with its web page.
            Some((finding, _)) => portal = Some(finding),
            None => {}
        }
        last = Some(answer);
    }
    let unknown = || {
        let Some(answer) = last else {
            return Finding::failed("hub", "no request was sent", READ_LOG);
        };
        let status = answer.status.as_u16();
        if let Some((found, remedy)) = in_front(&answer, source) {
            return Finding::failed("hub", format!("{found} (status {status})"), remedy);
        }
        let found = format!("the server responds with status {status}: this server is not a hub");
        let remedy = "Correct the url in the configuration; the token was not sent. If the server is \
                      your own relay for WebSockets, add this line to [hub]:\n  trust = true";
        Finding::failed("hub", found, remedy)
    };
    (portal.unwrap_or_else(unknown), greeting)
}

/// Returns the problem of a server in front of the hub that answers instead of the hub, and its
/// remedy. Returns `None` for any other response.
fn in_front(answer: &HttpAnswer, source: &FeedSource) -> Option<(&'static str, &'static str)> {
    match answer.error(source).reason {
        Failure::Token => Some((
            "a login stands before the hub: this server requires a user name, a password or a check \
             of the browser",
            "Switch the login off for the url of the hub in that server (basic auth, access rules, a \
             bot check): the hub itself checks the token. Or write the address of the hub itself as \
             the url. The token was not sent.",
        )),
        Failure::Gateway => Some((
            "a proxy answers, but it cannot reach the hub",
            "Does the hub run, and does the proxy use its address, its port and the right scheme \
             (http or https)? On the machine of the hub:\n  systemctl status deskticker-hub",
        )),
        Failure::TlsRequired => Some((
            "the server requires TLS",
            "Write wss:// instead of ws:// in the url.",
        )),
        _ => None,
    }
}

/// Judges the response to a request without a token. Returns the finding, which is a failure for
/// the web page of another server, and true for a deskticker-hub. Returns `None` for a response
/// that does not show the kind of the server.
fn judge(answer: &HttpAnswer, source: &FeedSource) -> Option<(Finding, bool)> {
    let status = answer.status.as_u16();
    let json = answer
        .json
        .as_ref()
        .and_then(|body| serde_json::from_slice::<Value>(body).ok());
    if source.provider == FeedProvider::Hub && auth::judge(status, answer.json.as_deref()) {
        let report = json.filter(|report| report["clusters"].is_object());
        let hub = report.is_some();
        let found = report.map_or("responds like the proxy".to_owned(), |report| {
            let word = report["status"].as_str().map(printable).unwrap_or_default();
            format!("a deskticker-hub that reports the status: {word}")
        });
        return Some((Finding::ok("hub", found), hub));
    }
    let web = answer.status.is_redirection() || status == 511 || (status == 200 && json.is_none());
    if web {
        let goal = answer.header(&LOCATION);
        let goal = goal.and_then(|to| to.parse::<Uri>().ok());
        let found = match goal.as_ref().and_then(Uri::host).map(printable) {
            Some(host) => format!("PORTAL: a redirect to {host} instead of JSON"),
            None => "PORTAL: a web page instead of JSON".to_owned(),
        };
        let remedy = "The network requires a login first, or the url is not the url of a hub. Open \
                      any page in a browser in this network. The token was not sent.";
        return Some((Finding::failed("hub", found, remedy), false));
    }
    let denied = matches!(status, 401 | 403);
    // The vendor reports a missing key as JSON with the field `error` or `status`.
    let complaint =
        json.is_some_and(|body| body["error"].is_string() || body["status"].is_string());
    match source.provider {
        FeedProvider::Vendor if denied || (complaint && status < 500) => {
            Some((Finding::ok("hub", "responds like Massive"), false))
        }
        // The TLS certificate has already identified the hub. The ticker relies on the certificate
        // too.
        FeedProvider::Hub if denied && source.endpoint.secure => {
            Some((Finding::ok("hub", "requires a token"), false))
        }
        _ => None,
    }
}

/// Checks if the hub accepts the token. The short-lived token in the response is not used.
pub(crate) async fn token(connector: &Connector, source: &FeedSource) -> Finding {
    // The `channels` check then shows if the server accepts the token.
    let later = || {
        let found = "this server has no short-lived tokens; the check `channels` tests the token";
        Finding::ok("access", found)
    };
    let answer = match http::ask(connector, source, Method::POST, "/api/ws-token").await {
        Ok(answer) if source.trusted && answer.status != 200 => return later(),
        Err(_) if source.trusted => return later(),
        Ok(answer) => answer,
        Err(reason) => {
            return Finding::failed("access", reason.to_string(), "Run the doctor again.");
        }
    };
    match answer.status.as_u16() {
        200 if answer.json.is_some() => Finding::ok("access", "the token is accepted"),
        401 | 403 => unwelcome("access", source),
        // An old proxy has no endpoint for short-lived tokens.
        404 => later(),
        _ => {
            let found = answer.error(source).reason.to_string();
            Finding::failed("access", found, "Run the doctor again in a minute.")
        }
    }
}

pub(super) fn unwelcome(check: &'static str, source: &FeedSource) -> Finding {
    let secret = source.secret.as_ref().map_or("", |secret| secret.reveal());
    if secret.len() == 64 && secret.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        return Finding::failed(
            check,
            "the hub refused the token, which looks like the hash of a token",
            "The file of the hub has only hashes. The token is the text that this command prints \
             once; write it to the token file of this machine:\n  deskticker-hub token add NAME",
        );
    }
    Finding::failed(
        check,
        "the hub refused the token, because the token is not registered",
        "Create a token on the hub, and write the printed token to the token file of this \
         machine:\n  deskticker-hub token add NAME",
    )
}

/// Checks if the vendor accepts the key, and for which symbols. The check uses REST, because a
/// WebSocket connection would evict the connection that may be in use.
pub(super) async fn key(connector: &Connector, source: &FeedSource, symbols: &[Symbol]) -> Finding {
    match poller::quotes(connector, source, symbols).await {
        Ok(answer) if answer.refused.is_empty() => Finding::ok("access", "the key is accepted"),
        Ok(answer) => {
            let refused = answer.refused.iter();
            let refused = refused.map(|(who, words)| format!("{who} ({words})"));
            let refused = refused.collect::<Vec<_>>().join(", ");
            let remedy = "Does the plan include these symbols, and does Massive use this spelling?";
            let found = format!("the key is accepted, but not for {refused}");
            Finding::warning("access", found, remedy)
        }
        Err(reason @ Failure::Key) => Finding::failed(
            "access",
            reason.to_string(),
            "Compare the key in the key file with the key on the dashboard at massive.com.",
        ),
        Err(reason @ Failure::Plan) => Finding::failed(
            "access",
            reason.to_string(),
            "Compare the watchlist with the plan on the dashboard at massive.com.",
        ),
        Err(reason) => {
            let remedy = "Run the doctor again in a minute.";
            Finding::failed("access", reason.to_string(), remedy)
        }
    }
}

/// Checks the upstream status of the clusters that the watchlist needs. The check repeats its
/// request for a limited time, because the hub connects to the vendor only after a subscription.
pub(super) async fn upstream(
    connector: &Connector,
    config: &Config,
    time_limit: Duration,
) -> Finding {
    let end = Instant::now() + time_limit.min(JOINING);
    loop {
        let finding = upstream_now(connector, config).await;
        if finding.state != CheckState::Failed || Instant::now() >= end {
            return finding;
        }
        tokio::time::sleep(AGAIN).await;
    }
}

async fn upstream_now(connector: &Connector, config: &Config) -> Finding {
    // A hub at a public address sends the details only with a token.
    let answer = http::ask(connector, &config.source, Method::GET, "/healthz").await;
    let body = answer.ok().and_then(|answer| answer.json);
    let report: Value = serde_json::from_slice(&body.unwrap_or_default()).unwrap_or_default();
    let needed = |cluster: &Cluster| {
        let mut symbols = config.settings.watchlist.iter();
        symbols.any(|symbol| symbol.cluster() == *cluster)
    };
    judge_upstream(&report, Cluster::ALL.into_iter().filter(needed))
}

fn judge_upstream(report: &Value, needed: impl Iterator<Item = Cluster>) -> Finding {
    let mut said = Vec::new();
    let (mut down, mut troubled) = (false, false);
    for cluster in needed {
        let health = &report["clusters"][cluster.path()];
        if cluster == Cluster::Stocks && health.is_null() {
            said.push("shares come by REST".to_owned());
            continue;
        }
        let state = health["state"]
            .as_str()
            .map_or("not offered by this hub".to_owned(), printable);
        let mut text = format!("{cluster} {state}");
        if health["simulated"] == true {
            text.push_str(", simulated");
        }
        if let Some(reason) = health["why"].as_str() {
            troubled = true;
            text.push_str(&format!(" ({})", printable(reason)));
        }
        down |= matches!(state.as_str(), "down" | "not offered by this hub");
        said.push(text);
    }
    let said = said.join(", ");
    match (down, troubled) {
        (true, _) => Finding::failed("upstream", said, READ_LOG),
        (false, true) => Finding::warning("upstream", said, READ_LOG),
        (false, false) => Finding::ok("upstream", said),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn an_upstream_that_is_down_is_reported_with_its_sanitized_reason() {
        let report = json!({ "clusters": {
            "indices": { "state": "down", "why": "the key was\u{1b}[2J refused" },
            "options": { "state": "live", "why": null, "simulated": true },
        }});
        let clusters = |list: &'static [Cluster]| judge_upstream(&report, list.iter().copied());
        let finding = clusters(&[Cluster::Indices, Cluster::Options]);
        assert_eq!(finding.state, CheckState::Failed);
        let expected = "indices down (the key was [2J refused), options live, simulated";
        assert_eq!(finding.found, expected);
        assert_eq!(clusters(&[Cluster::Options]).state, CheckState::Ok);
        assert_eq!(
            clusters(&[Cluster::Stocks]),
            Finding::ok("upstream", "shares come by REST")
        );
        let report = json!({ "clusters": {} });
        assert_eq!(
            judge_upstream(&report, [Cluster::Options].into_iter()).found,
            "options not offered by this hub"
        );
        let closed = json!({ "clusters": { "indices": { "state": "closed", "why": "lost" } } });
        let closed = judge_upstream(&closed, [Cluster::Indices].into_iter());
        assert_eq!(closed.state, CheckState::Warning);
    }
}
