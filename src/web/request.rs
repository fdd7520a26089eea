//! The requests for the page: who may ask, and which answer is for which path. This module never
//! opens a connection.
//!
//! A page of another site that a browser has open must get nothing from this server, although the
//! browser can reach it. Such a page has another `Host` (DNS rebinding) or another `Origin`.

use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::AtomicUsize;

use hyper::body::{Bytes, Incoming};
use hyper::header::{
    ALLOW, CACHE_CONTROL, CONTENT_ENCODING, CONTENT_SECURITY_POLICY, HOST, HeaderMap, HeaderName,
    HeaderValue, ORIGIN, REFERRER_POLICY, X_CONTENT_TYPE_OPTIONS,
};
use hyper::{Method, Request, StatusCode};

use super::assets::{self, Asset};
use super::response::{Answer, body, json, refuse};
use super::{Site, metrics, viewer};
use crate::config::PageConfig;
use crate::display::{halted, png};
use crate::render::{Frame, Size};
use crate::time::millis;

/// The type of the Prometheus text format, version 0.0.4.
const PROMETHEUS: &str = "text/plain; version=0.0.4; charset=utf-8";
/// Not in the header crate's list.
const RESOURCE_POLICY: HeaderName = HeaderName::from_static("cross-origin-resource-policy");

/// Decides if a request may read the page.
#[derive(Debug)]
pub(super) struct Rules {
    /// The names by which a browser may call this machine, in lower case. An IP address is always
    /// allowed, because it cannot be rebound.
    names: Vec<String>,
}

impl Rules {
    pub(super) fn new(config: &PageConfig) -> Self {
        let mut names = vec!["localhost".to_owned()];
        let node = rustix::system::uname();
        let own = node.nodename().to_string_lossy().to_ascii_lowercase();
        if !own.is_empty() {
            names.push(format!("{own}.local"));
            names.push(own);
        }
        names.extend(config.hosts.iter().map(|name| name.to_ascii_lowercase()));
        Self { names }
    }

    /// Returns the reason why a request is refused; `None` if it may read.
    fn refusal(&self, headers: &HeaderMap) -> Option<(StatusCode, String)> {
        let text = |name| headers.get(name).map(|value| value.to_str().unwrap_or(""));
        let mut hosts = headers.get_all(HOST).iter();
        let (host, None) = (hosts.next(), hosts.next()) else {
            return Some((StatusCode::BAD_REQUEST, "two Host headers".to_owned()));
        };
        let host = host.and_then(|host| host.to_str().ok()).unwrap_or("");
        if !self.knows(host) {
            let name = name_of(host);
            return Some((
                StatusCode::FORBIDDEN,
                format!(
                    "this display does not know the name {name:?}; open it by its IP address, or \
                     add the name to its configuration: [page] hosts = [{name:?}]"
                ),
            ));
        }
        match text(ORIGIN) {
            Some(origin) if origin.strip_prefix("http://") != Some(host) => Some((
                StatusCode::FORBIDDEN,
                "a page of another site may not read this display".to_owned(),
            )),
            _ => None,
        }
    }

    /// Returns true for an IP address or a known name, with the port of the server or with any
    /// other port, because a proxy or a container can have another one.
    fn knows(&self, host: &str) -> bool {
        let name = name_of(host);
        name.trim_matches(['[', ']']).parse::<IpAddr>().is_ok()
            || self
                .names
                .contains(&name.trim_end_matches('.').to_ascii_lowercase())
    }
}

/// Returns the host of the header `Host` without its port.
fn name_of(host: &str) -> &str {
    match host.rsplit_once(':') {
        Some((name, port)) if port.bytes().all(|byte| byte.is_ascii_digit()) => name,
        _ => host,
    }
}

/// Answers one request.
pub(super) async fn answer(
    request: Request<Incoming>,
    rules: &Rules,
    site: &Arc<Site>,
    viewers: &Arc<AtomicUsize>,
) -> Answer {
    let mut answer = match rules.refusal(request.headers()) {
        Some((status, reason)) => refuse(status, &reason),
        None => respond(request, site, viewers).await,
    };
    let headers = answer.headers_mut();
    for (name, value) in [
        // An old price must not come out of a cache as a new one.
        (CACHE_CONTROL, "no-store"),
        (X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (REFERRER_POLICY, "no-referrer"),
        (RESOURCE_POLICY, "same-origin"),
    ] {
        headers.insert(name, HeaderValue::from_static(value));
    }
    answer
}

async fn respond(
    request: Request<Incoming>,
    site: &Arc<Site>,
    viewers: &Arc<AtomicUsize>,
) -> Answer {
    let path = request.uri().path().to_owned();
    let known = assets::find(&path).is_some()
        || matches!(
            path.as_str(),
            "/screen.png" | "/api/glass" | "/api/status" | "/api/values" | "/metrics" | "/healthz"
        );
    if !known {
        return refuse(StatusCode::NOT_FOUND, "not found");
    }
    if !matches!(*request.method(), Method::GET | Method::HEAD) {
        let mut answer = refuse(StatusCode::METHOD_NOT_ALLOWED, "only GET and HEAD");
        let allowed = HeaderValue::from_static("GET, HEAD");
        answer.headers_mut().insert(ALLOW, allowed);
        return answer;
    }
    if let Some(asset) = assets::find(&path) {
        return page(asset, &request);
    }
    match path.as_str() {
        "/api/glass" => viewer::upgrade(request, site, viewers),
        "/screen.png" => screen(site),
        path => by_status(path, site).await,
    }
}

/// Returns a part of the page.
fn page(asset: &Asset, request: &Request<Incoming>) -> Answer {
    let mut answer = body(asset.kind, asset.compressed());
    let headers = answer.headers_mut();
    headers.insert(CONTENT_ENCODING, HeaderValue::from_static("gzip"));
    // Some browsers do not count a WebSocket of the same host as `'self'`.
    let host = request
        .headers()
        .get(HOST)
        .and_then(|host| host.to_str().ok());
    let host = host.unwrap_or_default();
    let policy = format!(
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; \
         connect-src 'self' ws://{host}; manifest-src 'self'; base-uri 'none'; form-action 'none'; \
         frame-ancestors 'none'"
    );
    if let Ok(policy) = HeaderValue::try_from(policy) {
        headers.insert(CONTENT_SECURITY_POLICY, policy);
    }
    answer
}

/// Returns the picture of the glass. A picture that is no longer valid is a notice.
fn screen(site: &Site) -> Answer {
    let mut frame = Frame::new(Size::Tall);
    let picture = site.mirror.look(&mut frame);
    if site.clock.now().monotonic >= picture.until {
        frame = halted(frame.size());
    }
    match png::encode(&frame) {
        Ok(file) => body("image/png", file.into()),
        Err(error) => refuse(StatusCode::INTERNAL_SERVER_ERROR, &error.to_string()),
    }
}

/// Returns an answer that needs the status of the display.
async fn by_status(path: &str, site: &Site) -> Answer {
    let Some((status, age)) = site.status().await else {
        return refuse(
            StatusCode::SERVICE_UNAVAILABLE,
            "the display does not answer",
        );
    };
    let status = status.older(millis(age));
    match path {
        "/healthz" => body("text/plain; charset=utf-8", Bytes::from_static(b"ok\n")),
        "/metrics" => body(PROMETHEUS, metrics::render(&status).into()),
        "/api/values" => json(&status.values),
        _ => json(&status),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refusal(headers: &[(HeaderName, &str)]) -> Option<StatusCode> {
        let config = PageConfig {
            hosts: vec!["ticker.lan".into()],
            ..PageConfig::default()
        };
        let rules = Rules::new(&config);
        let mut map = HeaderMap::new();
        for (name, value) in headers {
            map.append(name, HeaderValue::from_str(value).unwrap());
        }
        rules.refusal(&map).map(|(status, _)| status)
    }

    #[test]
    fn only_known_names_and_addresses_may_be_the_host() {
        for host in [
            "127.0.0.1:8080",
            "192.168.1.7",
            "[::1]:8080",
            "localhost:8080",
            "LocalHost",
            "ticker.lan:80",
            "ticker.lan.",
        ] {
            assert_eq!(refusal(&[(HOST, host)]), None, "{host}");
        }
        for host in [
            "",
            "evil.example",
            "evil.example:8080",
            "ticker.lan.evil.example",
            "@",
            "a b",
        ] {
            let refused = Some(StatusCode::FORBIDDEN);
            assert_eq!(refusal(&[(HOST, host)]), refused, "{host:?}");
        }
        assert_eq!(refusal(&[]), Some(StatusCode::FORBIDDEN));
        let twice = [(HOST, "localhost"), (HOST, "localhost")];
        assert_eq!(refusal(&twice), Some(StatusCode::BAD_REQUEST));
    }

    #[test]
    fn a_page_of_another_origin_may_not_read() {
        let host = (HOST, "localhost:8080");
        let origin = |origin| refusal(&[host.clone(), (ORIGIN, origin)]);
        assert_eq!(origin("http://localhost:8080"), None);
        for foreign in [
            "http://evil.example",
            "http://localhost:8081",
            "https://localhost:8080",
            "http://localhost:8080.evil.example",
            "null",
            "",
        ] {
            assert_eq!(origin(foreign), Some(StatusCode::FORBIDDEN), "{foreign:?}");
        }
    }
}
