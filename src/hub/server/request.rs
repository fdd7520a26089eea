//! Reads the head of a request: the token, the address of the client and the origin of the web
//! page. All functions are pure; the router decides about the request.

use std::net::{IpAddr, SocketAddr};

use hyper::header::{
    ACCEPT_LANGUAGE, ACCESS_CONTROL_REQUEST_METHOD, AUTHORIZATION, CONNECTION, HOST, HeaderMap,
    HeaderName, ORIGIN, SEC_WEBSOCKET_KEY, SEC_WEBSOCKET_VERSION, UPGRADE,
};
use hyper::http::HeaderValue;
use hyper::{Method, Request, StatusCode, Version};
use percent_encoding::percent_decode_str;

use super::admission::{Origin, Via};
use super::response::{RefusedResponse, refuse};
use crate::hub::rest::query::TOKENS;
use crate::net::upgrade::lists;

const PROXY_TOKEN: HeaderName = HeaderName::from_static("x-massive-proxy-token");
const FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
const FETCH_SITE: HeaderName = HeaderName::from_static("sec-fetch-site");
/// The headers that only a reverse proxy adds.
const PROXY_HEADERS: [HeaderName; 3] = [
    FORWARDED_FOR,
    HeaderName::from_static("forwarded"),
    HeaderName::from_static("x-real-ip"),
];

/// The maximum number of tickers in one quote request, equal to the vendor's limit for one snapshot
/// request.
const TICKERS_LIMIT: usize = 250;
/// The maximum length of a ticker, in bytes. Every real ticker is shorter.
const TICKER_LENGTH: usize = 40;

/// Returns the origin of a request. The address is the peer or, behind a trusted reverse proxy, the
/// last address in `X-Forwarded-For` that is not a trusted proxy. A trusted proxy that sends no
/// such header is a program on its own machine.
pub(crate) fn origin_of(peer: IpAddr, headers: &HeaderMap, trusted: &[IpAddr]) -> Origin {
    let direct = Origin::direct(peer);
    if !PROXY_HEADERS.iter().any(|name| headers.contains_key(name)) {
        return direct;
    }
    if !trusted.contains(&peer.to_canonical()) {
        let via = Via::UnknownProxy;
        return Origin { via, ..direct };
    }
    let lines: Vec<&str> = headers
        .get_all(FORWARDED_FOR)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .collect();
    let mut address = None;
    for text in lines.iter().flat_map(|line| line.split(',')).rev() {
        address = forwarded_address(text);
        if address.is_none_or(|address| !trusted.contains(&address)) {
            break;
        }
    }
    Origin {
        address,
        via: Via::TrustedProxy,
    }
}

/// Parses an address in `X-Forwarded-For`. Some proxies add the port of the client, and write
/// brackets around an IPv6 address.
fn forwarded_address(text: &str) -> Option<IpAddr> {
    let text = text.trim();
    let bare = text
        .strip_prefix('[')
        .and_then(|text| text.strip_suffix(']'));
    let address = bare.unwrap_or(text).parse::<IpAddr>().ok();
    let with_port = || Some(text.parse::<SocketAddr>().ok()?.ip());
    Some(address.or_else(with_port)?.to_canonical())
}

/// Returns true if the hub may answer a request with this header `Host`. A browser that was sent to
/// the hub by the DNS server of another web page (DNS rebinding) writes the name of that page. Only
/// the requests of browsers have `Origin` or `Sec-Fetch-Site`.
pub(crate) fn host_allowed(headers: &HeaderMap, hosts: &[String], origins: &[String]) -> bool {
    let marks = [ORIGIN, FETCH_SITE];
    !marks.iter().any(|mark| headers.contains_key(mark)) || is_host_known(headers, hosts, origins)
}

/// Returns true if a client without a token may see more than the status of the hub under this
/// header `Host`. A browser that gets its own page over plain HTTP sends neither `Origin` nor
/// `Sec-Fetch-Site`, but always `Accept-Language`, which a page cannot remove. All other requests
/// need a token, which a foreign page does not know, or open a WebSocket, whose request always has
/// `Origin`.
pub(crate) fn may_see_details(headers: &HeaderMap, hosts: &[String], origins: &[String]) -> bool {
    !headers.contains_key(ACCEPT_LANGUAGE) || is_host_known(headers, hosts, origins)
}

/// Returns true if the header `Host` is an address or a name of this hub.
fn is_host_known(headers: &HeaderMap, hosts: &[String], origins: &[String]) -> bool {
    let host = headers.get(HOST).and_then(|host| host.to_str().ok());
    let Some(host) = host.map(str::to_ascii_lowercase) else {
        return false;
    };
    let name = match host.rsplit_once(':') {
        Some((name, port)) if port.bytes().all(|byte| byte.is_ascii_digit()) => name,
        _ => &host,
    };
    let bare = name
        .strip_prefix('[')
        .and_then(|name| name.strip_suffix(']'));
    let machine = rustix::system::uname();
    let machine = machine.nodename().to_string_lossy().to_ascii_lowercase();
    bare.unwrap_or(name).parse::<IpAddr>().is_ok()
        || name == "localhost"
        || name.ends_with(".local")
        || name == machine
        || hosts.iter().any(|known| known == name)
        || origins.iter().any(|origin| {
            let known = origin.split_once("://").map(|(_, known)| known);
            known == Some(name) || known == Some(&host)
        })
}

/// Returns true if the web page that sent the request may use the hub. A request without the header
/// `Origin` does not come from a web page and is always allowed.
pub(crate) fn origin_allowed(headers: &HeaderMap, allowed: &[String]) -> bool {
    let Some(origin) = headers.get(ORIGIN) else {
        return true;
    };
    let Ok(origin) = origin.to_str() else {
        return false;
    };
    let origin = origin.to_ascii_lowercase();
    if allowed.contains(&origin) {
        return true;
    }
    let (Some((scheme, authority)), Some(host)) = (
        origin.split_once("://"),
        headers.get(HOST).and_then(|host| host.to_str().ok()),
    ) else {
        return false;
    };
    let port = match scheme {
        "http" => ":80",
        "https" => ":443",
        _ => return false,
    };
    let bare = |text: &str| text.strip_suffix(port).unwrap_or(text).to_ascii_lowercase();
    bare(authority) == bare(host)
}

/// Returns the origin of the web page that sent the request, if the settings allow this origin.
pub(crate) fn allowed_origin<'a>(headers: &'a HeaderMap, allowed: &[String]) -> Option<&'a str> {
    let origin = headers.get(ORIGIN)?.to_str().ok()?;
    allowed
        .contains(&origin.to_ascii_lowercase())
        .then_some(origin)
}

/// Returns true for the request that a browser sends before the request of a web page, to ask for
/// permission (Fetch standard, CORS-preflight request).
pub(crate) fn is_preflight<B>(request: &Request<B>) -> bool {
    let asks = request
        .headers()
        .contains_key(ACCESS_CONTROL_REQUEST_METHOD);
    request.method() == Method::OPTIONS && asks
}

/// Returns the key of a WebSocket upgrade request (RFC 6455, 4.1).
///
/// # Errors
/// The request is no upgrade to version 13 of the protocol, or its key is invalid.
pub(crate) fn websocket_key<B>(request: &Request<B>) -> Result<&[u8], RefusedResponse> {
    let headers = request.headers();
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
    Ok(key)
}

/// Returns a parameter of the query, percent-decoded. A `+` does not become a space, because tokens
/// in standard base64 contain `+`.
pub(crate) fn parameter<B>(request: &Request<B>, name: &str) -> Option<String> {
    request
        .uri()
        .query()?
        .split('&')
        .filter_map(|part| part.split_once('='))
        .find(|(key, _)| *key == name)
        .map(|(_, value)| {
            let bytes: Vec<u8> = percent_decode_str(value).collect();
            String::from_utf8_lossy(&bytes).into_owned()
        })
}

/// Returns the token from the query (`token`, or `apiKey` as some clients of the vendor write), from `X-Massive-Proxy-Token` or from the bearer header, in
/// this order. An empty token counts as a wrong token and not as a missing token.
pub(crate) fn presented<B>(request: &Request<B>) -> Option<String> {
    let header = |name| {
        let value = request.headers().get(name)?;
        // `X-Massive-Proxy-Token` with a value that is not text counts as a wrong token.
        // `Authorization` with such a value counts as a missing token, because the value has no
        // scheme.
        Some(value.to_str().unwrap_or_default().to_owned())
    };
    TOKENS
        .iter()
        .find_map(|name| parameter(request, name))
        .or_else(|| header(PROXY_TOKEN))
        .or_else(|| {
            let value = header(AUTHORIZATION)?;
            let (scheme, token) = value.split_once(' ')?;
            scheme
                .eq_ignore_ascii_case("bearer")
                .then(|| token.to_owned())
        })
}

/// Returns the tickers of a quote request, whose names are separated by commas.
pub(crate) fn tickers_of(parameter: &str) -> Result<Vec<&str>, RefusedResponse> {
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

#[cfg(test)]
mod tests {
    use super::*;

    fn request(uri: &str, headers: &[(&str, &str)]) -> Request<()> {
        let mut request = Request::builder().uri(uri);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        request.body(()).unwrap()
    }

    #[test]
    fn a_token_is_found_in_the_url_and_in_both_headers() {
        let found = |uri: &str, headers: &[_]| presented(&request(uri, headers));
        let some = Some("a+b/c=".to_owned());
        assert_eq!(found("/x?token=a%2Bb%2fc%3D", &[]), some);
        // A client may send the token in the URL without percent-encoding.
        assert_eq!(found("/x?y=1&token=a+b/c=", &[]), some);
        assert_eq!(found("/x?y=1&apiKey=a%2Bb%2Fc%3D", &[]), some);
        assert_eq!(found("/x", &[("x-massive-proxy-token", "a+b/c=")]), some);
        assert_eq!(found("/x", &[("authorization", "bearer a+b/c=")]), some);
        assert_eq!(
            found("/x?tokens=1", &[("authorization", "Basic eA==")]),
            None
        );
        assert_eq!(found("/x?token=", &[]), Some(String::new()));
    }

    #[test]
    fn a_forwarded_address_is_accepted_only_from_a_trusted_proxy() {
        let address = |text: &str| text.parse::<IpAddr>().unwrap();
        let proxy = address("127.0.0.1");
        let origin = |peer: &str, lines: &[&str]| {
            let headers: Vec<_> = lines
                .iter()
                .map(|line| ("x-forwarded-for", *line))
                .collect();
            origin_of(address(peer), request("/", &headers).headers(), &[proxy])
        };
        let unknown = origin("192.0.2.9", &["198.51.100.1"]);
        assert_eq!(unknown.address, Some(address("192.0.2.9")));
        assert_eq!(unknown.via, Via::UnknownProxy);
        let forwarded = |peer: &str, lines: &[&str]| {
            let origin = origin(peer, lines);
            assert_eq!(origin.via, Via::TrustedProxy);
            assert!(!origin.is_this_machine());
            origin.address
        };
        let client = Some(address("198.51.100.1"));
        assert_eq!(forwarded("127.0.0.1", &["198.51.100.1"]), client);
        // A client can write any addresses to the left of the address that the proxy adds.
        let lines = ["203.0.113.5, 198.51.100.1", "127.0.0.1"];
        assert_eq!(forwarded("127.0.0.1", &lines), client);
        assert_eq!(forwarded("127.0.0.1", &["198.51.100.1:50123"]), client);
        let network = Some(address("2001:db8::1"));
        for text in ["2001:db8::1", "[2001:db8::1]", "[2001:db8::1]:443"] {
            assert_eq!(forwarded("::ffff:127.0.0.1", &[text]), network, "{text}");
        }
        assert_eq!(forwarded("127.0.0.1", &["198.51.100.1, junk"]), None);
        assert_eq!(forwarded("127.0.0.1", &["junk, 127.0.0.1"]), None);
        assert_eq!(forwarded("127.0.0.1", &["127.0.0.1"]), Some(proxy));
        assert_eq!(
            forwarded("127.0.0.1", &["127.0.0.2:99"]),
            Some(address("127.0.0.2"))
        );
        assert!(origin("127.0.0.1", &[]).is_this_machine());
    }

    #[test]
    fn a_browser_needs_a_host_name_of_this_hub() {
        let hosts = ["desk.example".to_owned()];
        let origins = ["https://page.example:8443".to_owned()];
        let allowed = |mark: &str, host: &str| {
            let request = request("/", &[(mark, "cross-site"), ("host", host)]);
            host_allowed(request.headers(), &hosts, &origins)
        };
        for host in [
            "192.0.2.1",
            "192.0.2.1:3000",
            "[2001:db8::1]:3000",
            "[::1]",
            "localhost:3000",
            "Hub.local:3000",
            "desk.example",
            "desk.example:3000",
            "page.example:8443",
        ] {
            assert!(
                allowed("sec-fetch-site", host) && allowed("origin", host),
                "{host}"
            );
        }
        for host in [
            "evil.example",
            "local",
            "desk.example.evil",
            "",
            "1.evil.example:3000",
        ] {
            assert!(
                !allowed("sec-fetch-site", host) && !allowed("origin", host),
                "{host}"
            );
            assert!(allowed("user-agent", host) && allowed("accept-language", host));
        }
    }

    #[test]
    fn a_page_is_allowed_only_from_the_same_or_a_configured_origin() {
        let allowed = |origin: &str, host: &str| {
            let request = request("/", &[("origin", origin), ("host", host)]);
            origin_allowed(request.headers(), &["https://desk.example".to_owned()])
        };
        assert!(allowed("http://hub.local:3000", "hub.local:3000"));
        assert!(allowed("https://Hub.local", "hub.local:443"));
        assert!(allowed("https://desk.example", "hub.local:3000"));
        assert!(!allowed("https://desk.example.evil", "hub.local:3000"));
        assert!(!allowed("http://hub.local:8080", "hub.local:3000"));
        assert!(!allowed("null", "hub.local:3000"));
        assert!(!allowed("ftp://hub.local", "hub.local"));
        assert!(origin_allowed(request("/", &[]).headers(), &[]));
    }
}
