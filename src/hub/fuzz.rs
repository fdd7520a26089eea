//! The processing of bytes from outside, with one function for each kind of input. A fuzzer calls
//! these functions with arbitrary bytes (`tests/fuzz`), and `cargo test` with the inputs that a
//! fuzzer has found. Each function panics if a promise is broken. Not a part of the programs.

use std::net::IpAddr;
use std::sync::OnceLock;
use std::time::Duration;

use futures_util::FutureExt;
use hyper::Request;
use hyper::header::HOST;
use tokio::io::AsyncReadExt;

use super::auth::authenticator::Authenticator;
use super::rest::aggregates_request::AggregatesRequest;
use super::rest::cache::CachedAnswer;
use super::rest::vendor_form::{SnapshotRequest, previous_request};
use super::rest::{quote_rows, quotes};
use super::server::paths::Route;
use super::server::request;
use super::server::request_head::{HEAD_LIMIT, WithHead};
use super::session::protocol::{self, ClientRequest, StatusFrame};
use super::session::websocket::{Decoder, FrameError, Message};
use crate::market::{Calendar, Channel, Cluster, Symbol};
use crate::massive::{aggregates, market_status, snapshot};
use crate::time::{Moment, Now, Utc};

/// 2026-11-23 is a Monday; 15:00 UTC is 10:00 in New York.
const NOW: Now = Now::new(Moment::from_secs(100), Utc(1_795_446_000_000));

/// The maximum size of a message from a client in these functions.
const LIMIT: usize = 1000;

/// Decodes the frames of a client, and reads each message as a request. The result must not depend on
/// the pieces in which the bytes arrive.
pub fn client_messages(bytes: &[u8]) {
    let (messages, fault) = decode(bytes, usize::MAX);
    let (in_pieces, other_fault) = decode(bytes, 1 + bytes.len() % 7);
    assert_eq!((&messages, fault), (&in_pieces, other_fault));
    for message in messages {
        let text = match message {
            Message::Text(text) => text,
            Message::Binary(bytes) => String::from_utf8_lossy(&bytes).into_owned(),
            Message::Ping(payload) => {
                assert!(payload.len() <= 125);
                continue;
            }
            Message::Pong | Message::Close(_) => continue,
        };
        assert!(text.len() <= 3 * LIMIT);
        client_request(&text);
    }
    // A fuzzer rarely creates a valid frame with a mask, so the bytes are also read as a message.
    if let Ok(text) = std::str::from_utf8(bytes) {
        client_request(text);
    }
}

fn decode(bytes: &[u8], piece: usize) -> (Vec<Message>, Option<FrameError>) {
    let mut decoder = Decoder::new(LIMIT);
    let mut messages = Vec::new();
    for mut piece in bytes.chunks(piece.min(bytes.len().max(1))) {
        loop {
            match decoder.decode(&mut piece) {
                Ok(Some(message)) => messages.push(message),
                Ok(None) => break,
                Err(fault) => return (messages, Some(fault)),
            }
        }
        assert!(piece.is_empty());
    }
    (messages, None)
}

fn client_request(text: &str) {
    match ClientRequest::parse(text) {
        Err(words) => {
            assert!(words.len() < 500, "{words}");
            is_json(
                &StatusFrame::one("error", &words)
                    .finish()
                    .unwrap_or_default(),
            );
        }
        Ok(ClientRequest::Subscribe(names) | ClientRequest::Unsubscribe(names)) => {
            for name in names {
                for cluster in Cluster::ALL {
                    let Some(channel) = protocol::channel(cluster, &name) else {
                        continue;
                    };
                    // The vendor gets this text.
                    assert_eq!(Channel::parse(&channel.to_string()), Some(channel));
                }
            }
        }
        Ok(ClientRequest::Report(report)) => {
            let words = format!("{}{}", report.version, report.page);
            assert!(
                words.chars().all(|char| matches!(char, ' '..='~')),
                "{words}"
            );
        }
        Ok(ClientRequest::Auth(_) | ClientRequest::Ping) => {}
    }
}

/// Reads a request head, and decides the address of the client, its token and the permissions of a web
/// page. Only a client that connects from this machine without a proxy counts as this machine.
pub fn request_heads(bytes: &[u8]) {
    let mut stream = WithHead::new(bytes);
    let complete = stream.read_head().now_or_never();
    let complete = complete.is_some_and(|read| read.is_ok_and(|complete| complete));
    if complete {
        let mut again = Vec::new();
        stream.read_to_end(&mut again).now_or_never();
        assert_eq!(again, bytes, "all bytes are read again");
    }
    assert!(complete || bytes.len() < HEAD_LIMIT || bytes.is_empty());
    let text = String::from_utf8_lossy(bytes);
    let mut lines = text.split('\n').map(|line| line.trim_end_matches('\r'));
    let mut words = lines.next().unwrap_or_default().split(' ');
    let (method, uri) = (words.next().unwrap_or("GET"), words.next().unwrap_or("/"));
    let mut builder = Request::builder().method(method).uri(uri);
    for line in lines.take_while(|line| !line.is_empty()) {
        if let Some((name, value)) = line.split_once(':') {
            builder = builder.header(name, value.trim());
        }
    }
    let Ok(request) = builder.body(()) else {
        return;
    };
    let (headers, path) = (request.headers(), request.uri().path());
    for peer in ["127.0.0.1", "192.0.2.1", "::1"] {
        let peer: IpAddr = peer.parse().unwrap_or(IpAddr::from([0; 4]));
        for trusted in [&[][..], &[peer]] {
            let origin = request::origin_of(peer, headers, trusted);
            if origin.is_this_machine() {
                assert!(peer.is_loopback() && !headers.contains_key("x-forwarded-for"));
            }
        }
    }
    let host = headers.get(HOST).and_then(|host| host.to_str().ok());
    if request::host_allowed(headers, &[], &[]) && headers.contains_key("origin") {
        assert!(host.is_some(), "a page is never allowed without a host");
    }
    request::origin_allowed(headers, &["https://desk.example".to_owned()]);
    request::presented(&request);
    if let Some(tickers) = request::parameter(&request, "tickers") {
        request::tickers_of(&tickers).ok();
    }
    if Route::of(path).is_some() {
        let query = request.uri().query();
        AggregatesRequest::parse(path, query, NOW).ok();
        SnapshotRequest::parse(query, path.ends_with("indices")).ok();
        drop(previous_request(path, query));
    }
}

/// Presents a text as a token. Only the token of the device and the short-lived token that the hub has
/// issued are accepted.
pub fn tokens(bytes: &[u8]) {
    const TOKEN: &str = "a-token-for-the-fuzzer";
    static KNOWN: OnceLock<Option<(Authenticator, String)>> = OnceLock::new();
    let known = KNOWN.get_or_init(|| {
        let device = "kitchen".into();
        let authenticator = Authenticator::single(device, TOKEN).ok()?;
        let (issued, _) = authenticator.issue(&"kitchen".into(), NOW).ok()?;
        Some((authenticator, issued))
    });
    let Some((authenticator, issued)) = known else {
        panic!("the authenticator does not start");
    };
    let text = String::from_utf8_lossy(bytes);
    // A fuzzer cannot guess a signature, so the issued token is also tried with a change.
    let changed = match bytes {
        [] => issued.clone(),
        [at, change, ..] => {
            let mut changed = issued.clone().into_bytes();
            let at = usize::from(*at) % changed.len();
            changed[at] ^= change & 0x7f;
            String::from_utf8_lossy(&changed).into_owned()
        }
        _ => format!("{issued}{text}"),
    };
    for presented in [&*text, &changed] {
        let device = authenticator.authenticate_request(presented, NOW);
        let real = [TOKEN, issued].contains(&presented.trim());
        assert_eq!(device.is_some(), real, "{presented:?}");
    }
}

/// Reads a REST response of the vendor, and builds the responses of the hub from it.
pub fn rest_answers(bytes: &[u8]) {
    let tickers = ["SPX", "SPY", "O:SPY261218C00650000"];
    for stale in [false, true] {
        if let Some(body) = quotes::answer(&tickers, bytes, Duration::from_secs(3), stale) {
            is_json(&body);
        }
    }
    if let Some(info) = quote_rows::known_status(bytes, &Calendar::us(), NOW) {
        assert!(info.ttl <= Duration::from_secs(24 * 3600), "{info:?}");
        let answer = CachedAnswer {
            body: hyper::body::Bytes::copy_from_slice(bytes),
            age: info.age,
            stale: info.stale,
            simulated: info.simulated == Some(true),
        };
        is_json(&quote_rows::with_age(&answer).unwrap_or_default());
    }
    if let Ok(read) = snapshot::read(bytes) {
        assert!(read.seeds().count() <= bytes.len());
    }
    market_status::status(bytes);
    for name in ["SPX", "SPY"] {
        let Ok(symbol) = name.parse::<Symbol>() else {
            continue;
        };
        let (from, to) = (Utc(0), Utc(i64::MAX));
        if let Some((bars, _)) = aggregates::bars(bytes, &symbol, from, to) {
            assert!(bars.is_sorted_by_key(|bar| bar.start), "{bars:?}");
        }
        aggregates::read(bytes, &symbol);
    }
}

fn is_json(text: &str) {
    let read: Result<serde_json::Value, _> = serde_json::from_str(text);
    assert!(read.is_ok(), "{text}");
}

#[cfg(test)]
mod tests {
    use super::*;
    use data_encoding::BASE64;
    use std::path::Path;

    /// Calls the function with each input of a corpus: one in each line, in base64.
    fn replay(target: &str, run: fn(&[u8])) {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fuzz/corpus");
        let corpus = std::fs::read_to_string(folder.join(target)).unwrap();
        assert!(corpus.lines().count() >= 20, "{target}");
        for line in corpus.lines() {
            run(&BASE64.decode(line.as_bytes()).unwrap());
        }
    }

    #[test]
    fn no_known_message_of_a_client_breaks_a_promise() {
        replay("client_messages", client_messages);
    }

    #[test]
    fn no_known_request_head_breaks_a_promise() {
        replay("request_heads", request_heads);
    }

    #[test]
    fn no_known_text_is_taken_for_a_token() {
        replay("tokens", tokens);
    }

    #[test]
    fn no_known_answer_of_the_vendor_breaks_a_promise() {
        replay("rest_answers", rest_answers);
    }
}
