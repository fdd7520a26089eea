use std::io::{Read, Write};
use std::net::TcpListener;
use std::sync::Mutex;

use super::identity::judge;
use super::*;
use crate::net::endpoint::Endpoint;
use crate::time::{ManualClock, Now};

#[test]
fn a_token_is_replaced_30_seconds_before_its_expiry_and_within_ten_minutes() {
    let now = Some(Utc(1_795_444_200_000));
    let secs = |expires_at, now| lifetime(expires_at, now).as_secs();
    assert_eq!(secs(Some(1_795_444_500_000.0), now), 270);
    assert_eq!(secs(Some(1_795_544_500_000.0), now), 570);
    assert_eq!(secs(Some(1e300), now), 570);
    assert_eq!(secs(Some(1_795_444_210_000.0), now), 0);
    // One of the two clocks is wrong, or one of the two times is missing.
    assert_eq!(secs(Some(300_000.0), now), 210);
    assert_eq!(secs(Some(1_795_444_500_000.0), None), 210);
    assert_eq!(secs(None, now), 210);
}

#[test]
fn a_hub_is_distinguished_from_other_servers() {
    let hub = br#"{"status":"degraded","clusters":{"indices":{"state":"down"}}}"#;
    let error_body = br#"{"error":"tickers required"}"#;
    for (status, body) in [
        (200, hub.as_slice()),
        (503, hub),
        (400, error_body),
        (401, error_body),
        (403, error_body),
    ] {
        assert_eq!(judge(status, Some(body)), Some(body == hub), "{status}");
    }
    for (status, body) in [
        (200, error_body.as_slice()),
        (302, error_body),
        (404, error_body),
        (429, error_body),
        (502, error_body),
        (511, error_body),
        (401, hub),
        (200, br#"{"captive":true}"#),
        (200, br#"{"clusters":[]}"#),
        (403, br#"{"error":1}"#),
        (403, b"<html>"),
        (200, b""),
    ] {
        assert_eq!(judge(status, Some(body)), None, "{status}");
    }
    assert_eq!(judge(401, None), None);
}

const START: Utc = Utc(1_795_444_200_000);
const HEALTH: &str = r#"{"status":"ok","clusters":{}}"#;

/// A function that returns the status and the body of the response to a request.
type Answers = fn(&str) -> (u16, String);

/// A test server that answers one request per connection with `answers` and stores all requests.
struct Double {
    rest_client: AuthenticatedRest,
    hand: ManualClock,
    /// The method, path and token of each request.
    seen: Arc<Mutex<Vec<String>>>,
    answers: Arc<Mutex<Answers>>,
}

/// A hub that issues the token `one`, which is valid for five minutes.
fn hub(request: &str) -> (u16, String) {
    match request.split(' ').take(2).collect::<Vec<_>>()[..] {
        ["GET", "/healthz"] => (200, HEALTH.into()),
        ["POST", "/api/ws-token"] => {
            let end = START.0 + 300_000;
            (200, format!(r#"{{"token":"one","expiresAt":{end}}}"#))
        }
        _ => (200, "{}".into()),
    }
}

impl Double {
    fn new(answers: Answers) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let (seen, answers) = (Arc::default(), Arc::new(Mutex::new(answers)));
        std::thread::spawn({
            let (seen, answers): (Arc<Mutex<Vec<String>>>, _) =
                (Arc::clone(&seen), Arc::clone(&answers));
            move || {
                for stream in listener.incoming() {
                    let mut stream = stream.unwrap();
                    let mut head = Vec::new();
                    while !head.ends_with(b"\r\n\r\n") {
                        let mut byte = [0];
                        stream.read_exact(&mut byte).unwrap();
                        head.push(byte[0]);
                    }
                    let head = String::from_utf8(head).unwrap();
                    let token = head
                        .lines()
                        .find_map(|line| line.strip_prefix("x-massive-proxy-token: "));
                    let line = head.split(" HTTP").next().unwrap();
                    let request = format!("{line} {}", token.unwrap_or("-"));
                    let answer: Answers = *answers.lock().unwrap();
                    let (status, body) = answer(&request);
                    seen.lock().unwrap().push(request);
                    let length = body.len();
                    let kind = if body.starts_with('<') {
                        "text/html"
                    } else {
                        "application/json"
                    };
                    let head = format!("HTTP/1.1 {status} X\r\nContent-Type: {kind}");
                    let text = format!("{head}\r\nContent-Length: {length}\r\n\r\n{body}");
                    stream.write_all(text.as_bytes()).unwrap();
                }
            }
        });
        let (clock, hand) = Clock::manual(Now::new(Moment::ZERO, START));
        let source = FeedSource::new(
            FeedProvider::Hub,
            Endpoint::parse(&format!("ws://{address}")).unwrap(),
            Some(Secret::new("own").unwrap()),
        );
        let connector = Connector::new(None).unwrap();
        Self {
            rest_client: AuthenticatedRest::new(connector, Arc::new(source), clock),
            hand,
            seen,
            answers,
        }
    }

    fn behave(&self, answers: Answers) {
        *self.answers.lock().unwrap() = answers;
    }

    /// Sends a request, and returns its result and all requests that the server received.
    async fn get(&mut self) -> (Result<(), Failure>, Vec<String>) {
        let answer = self.rest_client.get("/x").await;
        let seen = std::mem::take(&mut *self.seen.lock().unwrap());
        (answer.map(drop).map_err(|refusal| refusal.reason), seen)
    }
}

const FIRST: [&str; 3] = ["GET /healthz -", "POST /api/ws-token own", "GET /x one"];

#[tokio::test]
async fn a_verified_hub_receives_requests_with_a_cached_short_lived_token() {
    let mut double = Double::new(hub);
    assert_eq!(
        double.get().await,
        (Ok(()), FIRST.map(String::from).to_vec())
    );
    double.hand.advance(Duration::from_secs(29));
    assert_eq!(double.get().await.1, ["GET /x one"]);
    double.hand.advance(Duration::from_secs(1));
    assert_eq!(double.get().await.1, ["GET /healthz -", "GET /x one"]);
    double.hand.advance(Duration::from_secs(239));
    assert_eq!(double.get().await.1, ["GET /healthz -", "GET /x one"]);
    // The token expires in 30 s, so the client replaces the token.
    double.hand.advance(Duration::from_secs(1));
    assert_eq!(double.get().await.1, FIRST[1..]);
}

#[tokio::test]
async fn a_refused_cached_token_is_renewed_once_and_a_second_refusal_is_final() {
    fn refuse(request: &str) -> (u16, String) {
        match request {
            "GET /x one" => (403, r#"{"error":"the token was refused"}"#.into()),
            _ => hub(request),
        }
    }
    let mut double = Double::new(hub);
    double.get().await.0.unwrap();
    double.behave(refuse);
    let renewed = ["GET /x one", "POST /api/ws-token own", "GET /x one"];
    let refused = (Err(Failure::Token), renewed.map(String::from).to_vec());
    assert_eq!(double.get().await, refused);
    // The refusal of a new token is final.
    let refused = (Err(Failure::Token), FIRST.map(String::from).to_vec());
    assert_eq!(double.get().await, refused);
}

#[tokio::test]
async fn the_configured_token_is_used_if_the_hub_issues_no_short_lived_tokens() {
    let mut double = Double::new(|request| match request {
        "POST /api/ws-token own" => (404, "<pre>Cannot POST</pre>".into()),
        _ => hub(request),
    });
    let own = ["GET /healthz -", "POST /api/ws-token own", "GET /x own"];
    assert_eq!(double.get().await.1, own);
    assert_eq!(double.get().await.1, ["GET /x own"]);
}

#[tokio::test]
async fn a_proxy_is_recognised_by_its_quotes_error_and_healthz_is_not_tried_again() {
    let mut double = Double::new(|request| match request {
        "GET /healthz -" => (404, "<pre>Cannot GET</pre>".into()),
        "GET /api/quotes -" => (400, r#"{"error":"tickers required"}"#.into()),
        _ => hub(request),
    });
    let first = ["GET /healthz -", "GET /api/quotes -", FIRST[1], FIRST[2]];
    assert_eq!(double.get().await.1, first);
    double.hand.advance(VERIFIED_FOR);
    assert_eq!(double.get().await.1, ["GET /api/quotes -", "GET /x one"]);
}

#[tokio::test]
async fn after_a_lost_connection_or_a_failure_no_unverified_server_receives_a_token() {
    fn portal(_: &str) -> (u16, String) {
        (200, "<html>Welcome to this hotel</html>".into())
    }
    let mut double = Double::new(hub);
    double.get().await.0.unwrap();
    // The machine is in another network while the verification of the hub would still be valid.
    double.rest_client.connector.lost();
    double.behave(portal);
    let paths = ["GET /healthz -", "GET /api/quotes -"];
    let portal = (Err(Failure::Portal), paths.map(String::from).to_vec());
    assert_eq!(double.get().await, portal);
    double.behave(hub);
    assert_eq!(double.get().await.1, ["GET /healthz -", "GET /x one"]);
    double.behave(|_| (502, r#"{"error":"no answer from the vendor"}"#.into()));
    assert_eq!(
        double.get().await,
        (Err(Failure::HubUpstream), vec!["GET /x one".to_owned()])
    );
    double.behave(|request| match request {
        "GET /healthz -" | "GET /api/quotes -" => (302, String::new()),
        _ => hub(request),
    });
    assert_eq!(double.get().await, portal);
}

#[tokio::test]
async fn a_server_that_is_no_hub_receives_no_token() {
    let mut double = Double::new(|_| (404, r#"{"error":"not here"}"#.into()));
    let paths = ["GET /healthz -", "GET /api/quotes -"];
    assert_eq!(
        double.get().await,
        (Err(Failure::NotAHub), paths.map(String::from).to_vec())
    );
    double.behave(|_| (503, "<html>".into()));
    assert_eq!(double.get().await.0, Err(Failure::Gateway));
    // The requests contain no token, so this server does not refuse a token.
    double.behave(|_| (403, "<html>Log in</html>".into()));
    assert_eq!(double.get().await.0, Err(Failure::Filtered));
}

#[tokio::test]
async fn a_refusal_of_the_data_is_not_a_refusal_of_the_token() {
    // A hub passes on the refusal of the vendor, and the proxy does the same in other words.
    for answers in [
        (|request| match request {
            "GET /x one" => {
                let body =
                    r#"{"error":"not authorized by the vendor","message":"not in the plan"}"#;
                (403, body.into())
            }
            _ => hub(request),
        }) as Answers,
        |request| match request {
            "GET /x one" => (403, r#"{"error":"Forbidden"}"#.into()),
            _ => hub(request),
        },
    ] {
        let mut double = Double::new(answers);
        assert_eq!(double.get().await.0, Err(Failure::Plan));
        // The verification and the token stay valid.
        double.behave(hub);
        assert_eq!(double.get().await, (Ok(()), vec![FIRST[2].to_owned()]));
    }
}

#[tokio::test]
async fn a_busy_token_endpoint_does_not_mean_that_the_hub_has_no_short_lived_tokens() {
    for status in [429, 502, 503, 504, 521] {
        let mut double = Double::new(hub);
        double.behave(match status {
            429 => |request| busy(429, request),
            502 => |request| busy(502, request),
            503 => |request| busy(503, request),
            504 => |request| busy(504, request),
            _ => |request| busy(521, request),
        });
        let (outcome, seen) = double.get().await;
        assert!(outcome.is_err(), "{status}");
        assert_eq!(seen, FIRST[..2], "{status}");
        double.behave(hub);
        assert_eq!(double.get().await.1, FIRST, "{status}");
    }
}

fn busy(status: u16, request: &str) -> (u16, String) {
    match request {
        "POST /api/ws-token own" => (status, r#"{"error":"later"}"#.into()),
        _ => hub(request),
    }
}
