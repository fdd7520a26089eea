//! Tests of servers that do not work, and of what the user reads about them: the reason of the
//! connection, which is in the log and selects the word on the panel, and the finding of the doctor
//! name the same cause.
#![allow(clippy::unwrap_used)]

#[path = "support/fake_machine.rs"]
mod fake_machine;
#[path = "support/proxy_server.rs"]
mod proxy_server;
#[path = "support/running_ticker.rs"]
mod running_ticker;
#[path = "support/tls_front.rs"]
mod tls_front;

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use deskticker::doctor::CheckState;
use deskticker::feed::Update;
use deskticker::feed::session::{Session, SubscriptionDemand};
use deskticker::feed::subscriptions;
use deskticker::market::Cluster;
use deskticker::net::connector::Connector;
use deskticker::net::endpoint::Endpoint;
use deskticker::net::failure::Failure;
use deskticker::net::source::{FeedProvider, FeedSource};
use deskticker::secret::Secret;
use deskticker::time::Clock;
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, Issuer, KeyPair};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{mpsc, watch};
use tokio_rustls::TlsAcceptor;

use fake_machine::{Machine, TOKEN, echo_server, simulated};
use proxy_server::{Proxy, json};
use running_ticker::{Background, TIME_LIMIT};

/// The first reason for which the connection of a ticker fails.
fn reason(url: &str, ca_file: Option<&Path>, trusted: bool) -> Failure {
    let mut source = FeedSource::new(
        FeedProvider::Hub,
        Endpoint::parse(url).unwrap(),
        Some(Secret::new(TOKEN).unwrap()),
    );
    source.trusted = trusted;
    let (updates, mut incoming) = mpsc::channel(64);
    let watchlist = running_ticker::symbols(&["SPX", "VIX"]);
    let (_demand, demand) = watch::channel(SubscriptionDemand {
        channels: subscriptions::route(&watchlist, Cluster::Indices),
        ..SubscriptionDemand::default()
    });
    let session = Session {
        cluster: Cluster::Indices,
        source: Arc::new(source),
        connector: Connector::new(ca_file).unwrap(),
        demand,
        updates,
        clock: Clock::system(),
    };
    running_ticker::block_on(async {
        let failing = async {
            loop {
                if let Some(Update::Status(_, status)) = incoming.recv().await
                    && let Some(reason) = status.reason
                {
                    return reason;
                }
            }
        };
        tokio::select! {
            () = session.run() => panic!("the session has ended"),
            reason = tokio::time::timeout(TIME_LIMIT, failing) => reason.expect("a failure"),
        }
    })
}

/// Checks that the connection fails for this reason, and that the check of the doctor names the same
/// reason with this remedy.
#[track_caller]
fn assert_named(
    url: &str,
    ca_file: Option<&Path>,
    trusted: bool,
    expected: Failure,
    (check, remedy): (&str, &str),
) {
    assert_eq!(reason(url, ca_file, trusted), expected, "{url}");
    let ca_file = ca_file.map_or(String::new(), |file| format!("ca_file = {file:?}\n"));
    let trust = if trusted { "trust = true\n" } else { "" };
    let text = format!("[hub]\nurl = \"{url}\"\n{ca_file}{trust}");
    let mut machine = Machine::pi("link-failure").with_config(&text);
    machine.time_limit = Duration::from_secs(8);
    let doctor_run = machine.run_doctor();
    let text = expected.to_string();
    let problem = text.split(": ").next().unwrap();
    doctor_run.assert_finding(check, CheckState::Failed, problem, remedy);
    assert!(
        !doctor_run.text().contains("PORTAL"),
        "{}",
        doctor_run.text()
    );
}

/// Starts a server that passes each connection to `serve`, until the drop of the result.
fn server<F, Fut>(serve: F) -> Background<SocketAddr>
where
    F: Fn(TcpStream) -> Fut + Send + Sync + 'static,
    Fut: Future<Output = ()> + Send + 'static,
{
    Background::start(move || async move {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(serve(stream));
            }
        });
        address
    })
}

/// Reads the head of a request. Returns `None` if the connection ends first.
async fn head(client: &mut TcpStream) -> Option<String> {
    let mut request = Vec::new();
    while !request.ends_with(b"\r\n\r\n") {
        request.push(client.read_u8().await.ok()?);
    }
    String::from_utf8(request).ok()
}

/// A proxy that forwards requests as nginx does with a bare `proxy_pass`: as HTTP/1.0, with
/// `Connection: close`, and without the header `Upgrade`.
fn bare_proxy(behind: SocketAddr) -> Background<SocketAddr> {
    server(move |mut client| async move {
        let Some(request) = head(&mut client).await else {
            return;
        };
        let request = request.replace("HTTP/1.1", "HTTP/1.0");
        let kept = |line: &&str| {
            let line = line.to_lowercase();
            !line.starts_with("connection:") && !line.starts_with("upgrade:")
        };
        let lines: Vec<&str> = request.trim_end().lines().filter(kept).collect();
        let request = format!("{}\r\nconnection: close\r\n\r\n", lines.join("\r\n"));
        let mut server = TcpStream::connect(behind).await.unwrap();
        server.write_all(request.as_bytes()).await.unwrap();
        tokio::io::copy(&mut server, &mut client).await.ok();
    })
}

/// A proxy that forwards the requests below `/desk` as nginx does with `location /desk/` and
/// `proxy_pass http://hub/`, upgrades too.
fn proxy_below_desk(behind: SocketAddr) -> Background<SocketAddr> {
    server(move |mut client| async move {
        let Some(request) = head(&mut client).await else {
            return;
        };
        let request = request.replacen(" /desk/", " /", 1);
        let request = request.replace("connection: keep-alive", "connection: close");
        let mut server = TcpStream::connect(behind).await.unwrap();
        server.write_all(request.as_bytes()).await.unwrap();
        tokio::io::copy_bidirectional(&mut client, &mut server)
            .await
            .ok();
    })
}

/// The answer of a TLS server to a request without TLS.
#[derive(Clone, Copy, Debug)]
enum ToPlain {
    /// The library rustls sends an alert.
    Alert,
    /// Node closes the connection.
    Close,
    /// nginx answers with status 400.
    BadRequest,
}

#[test]
fn a_url_without_tls_for_a_tls_port_says_write_wss() {
    let authority = tls_front::authority();
    let acceptor = tls_front::acceptor(&authority, &["localhost"], 2000, 4000);
    for answer in [ToPlain::Alert, ToPlain::Close, ToPlain::BadRequest] {
        let acceptor = acceptor.clone();
        let tls = server(move |mut stream| {
            let acceptor = acceptor.clone();
            async move {
                let mut first = [0];
                stream.peek(&mut first).await.ok();
                match answer {
                    ToPlain::Close if first != [0x16] => {}
                    ToPlain::BadRequest if first != [0x16] => {
                        head(&mut stream).await;
                        let body = "<html>The plain HTTP request was sent to HTTPS port</html>";
                        let length = body.len();
                        let head = "HTTP/1.1 400 Bad Request\r\nContent-Type: text/html";
                        let text = format!("{head}\r\nContent-Length: {length}\r\n\r\n{body}");
                        stream.write_all(text.as_bytes()).await.ok();
                    }
                    _ => drop(acceptor.accept(stream).await),
                }
            }
        });
        let url = format!("ws://{}", tls.value);
        for trusted in [false, true] {
            let found = ("hub", "Write wss:// in the url.");
            assert_named(&url, None, trusted, Failure::TlsRequired, found);
        }
    }
}

#[test]
fn a_redirect_to_https_on_the_same_host_says_write_wss() {
    let redirect = echo_server(
        "HTTP/1.1 301 Moved Permanently\r\nLocation: https://127.0.0.1/healthz\r\n\
         Content-Length: 0\r\n\r\n",
    );
    let url = format!("ws://{}", redirect.value.0);
    let found = ("hub", "Write wss:// in the url.");
    assert_named(&url, None, false, Failure::TlsRequired, found);
}

#[test]
fn a_url_with_tls_for_a_plain_port_says_write_ws_although_the_server_stays_silent_or_closes() {
    // This server answers the bytes of a TLS handshake as a damaged request.
    let hub = simulated();
    // This server waits for the end of a request, which a TLS handshake does not contain.
    let silent = echo_server("HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n");
    let closing = server(|mut stream| async move {
        let mut start = [0; 3];
        stream.read_exact(&mut start).await.ok();
        if start == *b"GET" {
            let answer = b"HTTP/1.1 302 Found\r\nLocation: /login\r\nContent-Length: 0\r\n\r\n";
            stream.write_all(answer).await.ok();
        }
    });
    for address in [hub.value.0, silent.value.0, closing.value] {
        let url = format!("wss://localhost:{}", address.port());
        let found = ("tls", "write ws:// in the url");
        assert_named(&url, None, false, Failure::PlainPort, found);
    }
}

/// A certificate authority with this name, and a certificate from it.
fn authority(
    name: &str,
    by: Option<&CertifiedIssuer<'static, KeyPair>>,
) -> CertifiedIssuer<'static, KeyPair> {
    let mut params = CertificateParams::new(Vec::new()).unwrap();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.distinguished_name.push(DnType::CommonName, name);
    let key = KeyPair::generate().unwrap();
    match by {
        Some(by) => CertifiedIssuer::signed_by(params, key, by).unwrap(),
        None => CertifiedIssuer::self_signed(params, key).unwrap(),
    }
}

/// The certificate of a server and its key.
fn leaf(by: &Issuer<'_, impl rcgen::SigningKey>) -> (rcgen::Certificate, PrivateKeyDer<'static>) {
    let mut params = CertificateParams::new(vec!["localhost".to_owned()]).unwrap();
    params
        .distinguished_name
        .push(DnType::CommonName, "the server");
    let key = KeyPair::generate().unwrap();
    let certificate = params.signed_by(&key, by).unwrap();
    let key = PrivatePkcs8KeyDer::from(key.serialize_der());
    (certificate, PrivateKeyDer::from(key))
}

/// A TLS server with this chain before a hub.
fn tls_before(
    behind: SocketAddr,
    chain: Vec<CertificateDer<'static>>,
    key: PrivateKeyDer<'static>,
) -> Background<SocketAddr> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(chain, key)
        .unwrap();
    let acceptor = TlsAcceptor::from(Arc::new(config));
    Background::start(move || tls_front::before(behind, acceptor))
}

#[test]
fn a_ca_file_with_another_certificate_is_never_answered_with_set_ca_file() {
    let hub = simulated();
    let pem = |name: &str, pem: &str| tls_front::ca_file(&format!("words-{name}"), pem);
    let root = authority("root", None);
    let intermediate = authority("intermediate", Some(&root));
    let (certificate, key) = leaf(&intermediate);
    let root_file = pem("root", &root.pem());
    let other_file = pem("other", &authority("other", None).pem());
    let renewed_file = pem("renewed", &authority("intermediate", None).pem());
    let chain = vec![certificate.der().clone(), intermediate.der().clone()];
    let short = vec![certificate.der().clone()];
    let served = |chain: &[CertificateDer<'static>]| {
        tls_before(hub.value.0, chain.to_vec(), key.clone_key())
    };
    let (whole, short) = (served(&chain), served(&short));
    let url = |tls: &Background<SocketAddr>| format!("wss://localhost:{}", tls.value.port());
    let named = |tls, file: &PathBuf, expected, remedy| {
        assert_named(&url(tls), Some(file), false, expected, ("tls", remedy));
    };
    let copy = "Copy the right certificate to this file";
    named(&whole, &other_file, Failure::CaFile, copy);
    // An authority with the same name and a new key.
    named(&short, &renewed_file, Failure::CaFile, copy);
    // Both causes are possible: a chain that is not complete, or the certificate of another
    // authority.
    for file in [&root_file, &other_file] {
        let reason = Failure::CaFileOrIntermediate;
        named(
            &short,
            file,
            reason,
            "use fullchain.pem instead of cert.pem",
        );
    }
    let both = Failure::CaFileOrIntermediate.to_string();
    assert!(both.contains("or the server does not send its intermediate certificate"));

    // The certificate of the server itself is enough, although its issuer is not known.
    let own_file = pem("own", &certificate.pem());
    for file in [&own_file, &pem("chain", &(certificate.pem() + &root.pem()))] {
        let text = format!("[hub]\nurl = \"{}\"\nca_file = {file:?}\n", url(&short));
        let doctor_run = Machine::pi("own-certificate")
            .with_config(&text)
            .run_doctor();
        doctor_run.assert_finding("channels", CheckState::Ok, "4 of 4 confirmed", "");
    }
    // The name of the server must be right all the same.
    let other_host = format!("wss://127.0.0.1:{}", short.value.port());
    assert_eq!(
        reason(&other_host, Some(&own_file), false),
        Failure::HostName
    );
}

#[test]
fn a_proxy_that_drops_the_upgrade_is_named_with_the_lines_to_add() {
    let lines = "\n  proxy_set_header Upgrade $http_upgrade;\n";
    let found = ("channels", lines);
    let hub = simulated();
    let bare = bare_proxy(hub.value.0);
    let url = format!("ws://{}", bare.value);
    assert_named(&url, None, false, Failure::UpgradeDropped, found);

    // The proxy of the users answers an ordinary request for the path of a WebSocket as it answers
    // any unknown path.
    let html = |status: &str| {
        let head = format!("HTTP/1.1 {status}\r\nContent-Type: text/html");
        (head, "<html></html>".to_owned())
    };
    let authority = tls_front::authority();
    let ca_file = tls_front::ca_file("words-bare", &authority.pem());
    for page in [
        html("200 OK"),
        html("302 Found\r\nLocation: /"),
        html("400 Bad Request"),
        html("404 Not Found"),
        json(
            "500 Internal Server Error",
            r#"{"error":"Internal server error"}"#,
        ),
    ] {
        let proxy = Proxy::start(Clock::system());
        proxy.behave(|behaviour| {
            (behaviour.token, behaviour.page) = (TOKEN.into(), page.clone());
        });
        let bare = bare_proxy(proxy.address);
        let url = format!("ws://{}", bare.value);
        assert_named(&url, None, false, Failure::UpgradeDropped, found);
        let acceptor = tls_front::acceptor(&authority, &["localhost"], 2000, 4000);
        let behind = bare.value;
        let tls = Background::start(move || tls_front::before(behind, acceptor));
        let url = format!("wss://localhost:{}", tls.value.port());
        assert_named(&url, Some(&ca_file), false, Failure::UpgradeDropped, found);
    }
}

#[test]
fn a_wrong_path_in_the_url_is_named_and_a_path_that_a_proxy_forwards_works() {
    let hub = simulated();
    let proxy = Proxy::start(Clock::system());
    proxy.behave(|behaviour| behaviour.token = TOKEN.into());
    let found = ("hub", "Write the url without a path, like ws://HOST:PORT");
    let authority = tls_front::authority();
    let ca_file = tls_front::ca_file("words-path", &authority.pem());
    for address in [hub.value.0, proxy.address] {
        for path in ["ws/indices", "hub"] {
            let url = format!("ws://{address}/{path}");
            assert_named(&url, None, false, Failure::UrlPath, found);
        }
        let acceptor = tls_front::acceptor(&authority, &["localhost"], 2000, 4000);
        let tls = Background::start(move || tls_front::before(address, acceptor));
        let url = format!("wss://localhost:{}/hub", tls.value.port());
        assert_named(&url, Some(&ca_file), false, Failure::UrlPath, found);
    }
    // A captive portal answers below each path, so the path is not the cause.
    let page = "HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nContent-Length: 5\r\n\r\nlogin";
    let portal = echo_server(page);
    let url = format!("ws://{}/desk", portal.value.0);
    assert_eq!(reason(&url, None, false), Failure::Portal);

    let front = proxy_below_desk(hub.value.0);
    let url = format!("ws://{}/desk", front.value);
    let doctor_run = Machine::pi("path").with_hub(url).run_doctor();
    doctor_run.assert_finding("channels", CheckState::Ok, "4 of 4 confirmed", "");
}
