//! Identifies the server (deskticker-hub, proxy, vendor or something else) and checks access and
//! upstream status. The first request contains no token; a token is sent only to a recognised
//! server.

use std::time::{Duration, Instant};

use hyper::Method;
use serde_json::Value;

use super::{CheckState, Finding};
use crate::config::Config;
use crate::feed::auth::{self, Identity};
use crate::feed::poller;
use crate::market::{Cluster, Symbol};
use crate::massive::printable;
use crate::net::connector::Connector;
use crate::net::failure::Failure;
use crate::net::http::{self, RestError};
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

/// Identifies the server with requests that contain no token, as the ticker does. A server that the
/// configuration trusts may stay unidentified, and so may a server with a valid certificate.
pub(crate) async fn recognise(
    connector: &Connector,
    source: &FeedSource,
) -> (Finding, ServerGreeting) {
    let identity = match source.provider {
        FeedProvider::Hub => auth::identify(connector, source).await,
        FeedProvider::Vendor => vendor(connector, source).await,
    };
    let greeting = ServerGreeting {
        hub: identity.as_ref().is_ok_and(|identity| identity.is_hub),
        date: connector.take_date(Duration::ZERO).map(|(utc, _)| utc),
    };
    let finding = match identity {
        Ok(_) if source.provider == FeedProvider::Vendor => {
            Finding::ok("hub", "responds like Massive")
        }
        Ok(identity) => {
            let report = identity.answer.json.unwrap_or_default();
            let report: Value = serde_json::from_slice(&report).unwrap_or_default();
            let word = report["status"].as_str().map(printable).unwrap_or_default();
            let found = match identity.is_hub {
                true => format!("a deskticker-hub that reports the status: {word}"),
                false => "responds like the proxy".to_owned(),
            };
            match source.trusted {
                false => Finding::ok("hub", found),
                true => Finding::warning(
                    "hub",
                    found,
                    "The server identifies itself, so the token needs no blind trust: remove the \
                     line trust = true.",
                ),
            }
        }
        Err(error) if source.trusted && error.reason != Failure::TlsRequired => Finding::ok(
            "hub",
            "the server does not identify itself; the configuration trusts it (trust = true)",
        ),
        Err(error)
            if source.endpoint.secure
                && matches!(error.reason, Failure::Filtered | Failure::NotAHub) =>
        {
            let found = "the server does not identify itself; its certificate is valid";
            Finding::ok("hub", found)
        }
        Err(error) => {
            let mut finding = failed("hub", &error, source);
            if let Some(remedy) = &mut finding.remedy {
                remedy.push_str("\nThe token was not sent.");
            }
            finding
        }
    };
    (finding, greeting)
}

/// Identifies the vendor with a request that contains no key.
async fn vendor(connector: &Connector, source: &FeedSource) -> Result<Identity, RestError> {
    let nobody = FeedSource {
        secret: None,
        ..source.clone()
    };
    let answer = http::ask(connector, &nobody, Method::GET, "/v1/marketstatus/now").await?;
    let error = answer.error(source);
    // The vendor reports a missing key as JSON with the field `error` or `status`.
    let body = answer.json.as_deref().unwrap_or_default();
    let body: Value = serde_json::from_slice(body).unwrap_or_default();
    let complains = body["error"].is_string() || body["status"].is_string();
    let denies = matches!(error.reason, Failure::Key | Failure::Plan);
    match denies || (complains && answer.status.as_u16() < 500) {
        true => Ok(Identity {
            is_hub: false,
            answer,
        }),
        false => Err(error),
    }
}

/// Returns the finding for a failure of the connection: the text of the log, and the next steps.
pub(super) fn failed(check: &'static str, error: &RestError, source: &FeedSource) -> Finding {
    let text = error.reason.to_string();
    // A text has the form "problem: remedy".
    let (problem, remedy) = text.split_once(": ").unwrap_or((&text, ""));
    let mut start = remedy.chars();
    let mut remedy: String = start
        .next()
        .map(|c| c.to_ascii_uppercase())
        .into_iter()
        .collect();
    remedy.push_str(start.as_str());
    if !remedy.is_empty() && !remedy.ends_with('?') {
        remedy.push('.');
    }
    let status = error
        .status
        .map(|status| format!(" (status {})", status.as_u16()));
    let found = match (error.reason, &error.redirect) {
        (Failure::Token, _) => return unwelcome(check, source),
        (Failure::Portal, Some(host)) => {
            format!("PORTAL: a redirect to {} instead of JSON", printable(host))
        }
        (Failure::Portal, None) => {
            "PORTAL: a web page or other data instead of the report of a hub".to_owned()
        }
        _ => format!("{problem}{}", status.unwrap_or_default()),
    };
    let steps = match error.reason {
        Failure::Gateway => {
            "Does the hub run, and does the proxy use its address, its port and the right scheme \
             (http or https)? On the machine of the hub:\n  systemctl status deskticker-hub"
        }
        Failure::UpgradeDropped => {
            "Add these lines to the location of the hub in nginx, whose path must include /ws/, and \
             reload nginx:\n  proxy_http_version 1.1;\n  proxy_set_header Upgrade \
             $http_upgrade;\n  proxy_set_header Connection \"upgrade\";"
        }
        Failure::Filtered => {
            "Switch the login off for the url of the hub in that server (basic auth, access rules, a \
             bot check): the hub itself checks the token. Or write the address of the hub itself as \
             the url."
        }
        Failure::Portal => "Open any page in a browser in this network.",
        Failure::Issuer => "  ca_file = \"/etc/deskticker/hub.pem\"",
        Failure::CaFile | Failure::CaFileOrIntermediate => {
            "On the machine of the hub, hub.toml names the certificate:\n  [tls]\n  cert = \"…\""
        }
        Failure::Intermediate => {
            "  [tls]\n  cert = \"…/fullchain.pem\"     # in hub.toml, not cert.pem"
        }
        Failure::Protocol | Failure::Path | Failure::HubUpstream | Failure::Busy => READ_LOG,
        _ if remedy.is_empty() => "Is this the address and the port of a hub?",
        _ => "",
    };
    let between = if remedy.is_empty() || steps.is_empty() {
        ""
    } else {
        "\n"
    };
    Finding::failed(check, found, format!("{remedy}{between}{steps}"))
}

/// Checks if the hub accepts the token. The short-lived token in the response is not used.
pub(crate) async fn token(connector: &Connector, source: &FeedSource) -> Finding {
    match auth::issued(connector, source, None).await {
        Ok(Some(_)) => Finding::ok("access", "the token is accepted"),
        Err(error) if !source.trusted => failed("access", &error, source),
        // The `channels` check then shows if the server accepts the token.
        _ => {
            let found =
                "this server has no short-lived tokens; the check `channels` tests the token";
            Finding::ok("access", found)
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
    let mut above = &report["through"];
    while let Some(url) = above["url"].as_str() {
        said.push(format!("through {}", printable(url)));
        troubled |= above["why"].is_string();
        above = &above["report"]["through"];
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
        let live = json!({ "state": "live", "why": null });
        let through = json!({ "url": "ws://a:3000", "why": null, "report": {
            "through": { "url": "ws://b:3000", "why": "lost" },
        }});
        let report = json!({ "clusters": { "indices": live }, "through": through });
        let finding = judge_upstream(&report, [Cluster::Indices].into_iter());
        let expected = "indices live, through ws://a:3000, through ws://b:3000";
        assert_eq!(finding.found, expected);
        assert_eq!(finding.state, CheckState::Warning);
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
