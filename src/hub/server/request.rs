//! Reads the head of a request: the token, the address of the client and the origin of the web
//! page. All functions are pure; the router decides about the request.

use std::net::IpAddr;

use hyper::Request;
use hyper::header::{AUTHORIZATION, HOST, HeaderMap, HeaderName, ORIGIN};
use percent_encoding::percent_decode_str;

const PROXY_TOKEN: HeaderName = HeaderName::from_static("x-massive-proxy-token");
const FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");

/// Returns the client address for the rate limit. The address is the peer or, behind a trusted
/// reverse proxy, the last address in `X-Forwarded-For` that is not a trusted proxy.
pub(crate) fn origin_of(peer: IpAddr, headers: &HeaderMap, trusted: &[IpAddr]) -> IpAddr {
    let peer = peer.to_canonical();
    if !trusted.contains(&peer) {
        return peer;
    }
    let lines: Vec<&str> = headers
        .get_all(FORWARDED_FOR)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .collect();
    lines
        .iter()
        .flat_map(|line| line.split(','))
        .rev()
        .map_while(|text| text.trim().parse::<IpAddr>().ok())
        .map(|address| address.to_canonical())
        .find(|address| !trusted.contains(address))
        .unwrap_or(peer)
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

/// Returns the token from the query, from `X-Massive-Proxy-Token` or from the bearer header, in
/// this order. An empty token counts as a wrong token and not as a missing token.
pub(crate) fn presented<B>(request: &Request<B>) -> Option<String> {
    let header = |name| {
        let value = request.headers().get(name)?;
        // `X-Massive-Proxy-Token` with a value that is not text counts as a wrong token.
        // `Authorization` with such a value counts as a missing token, because the value has no
        // scheme.
        Some(value.to_str().unwrap_or_default().to_owned())
    };
    parameter(request, "token")
        .or_else(|| header(PROXY_TOKEN))
        .or_else(|| {
            let value = header(AUTHORIZATION)?;
            let (scheme, token) = value.split_once(' ')?;
            scheme
                .eq_ignore_ascii_case("bearer")
                .then(|| token.to_owned())
        })
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
        assert_eq!(origin("192.0.2.9", &["198.51.100.1"]), address("192.0.2.9"));
        assert_eq!(
            origin("127.0.0.1", &["198.51.100.1"]),
            address("198.51.100.1")
        );
        // A client can write any addresses to the left of the address that the proxy adds.
        assert_eq!(
            origin("127.0.0.1", &["203.0.113.5, 198.51.100.1", "127.0.0.1"]),
            address("198.51.100.1")
        );
        assert_eq!(
            origin("::ffff:127.0.0.1", &["2001:db8::1"]),
            address("2001:db8::1")
        );
        assert_eq!(origin("127.0.0.1", &["198.51.100.1, junk"]), proxy);
        assert_eq!(origin("127.0.0.1", &[]), proxy);
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
