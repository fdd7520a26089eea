//! Checks the path to the server: name resolution, TCP connection and TLS handshake. Sends no
//! application data.

use std::io::ErrorKind;
use std::net::{IpAddr, SocketAddr};
use std::time::{Duration, Instant};

use tokio::net::TcpStream;
use tokio::time::timeout;

use super::machine::words;
use super::{Finding, hub};
use crate::net::connector::Connector;
use crate::net::discovery;
use crate::net::endpoint::Endpoint;
use crate::net::failure::Failure;
use crate::net::failure_mapping::CertificateProblem;
use crate::net::source::FeedSource;
use crate::time::{Now, Utc};

/// The time limit for name resolution. A resolver waits five seconds for a dead name server before
/// it tries the next name server.
const RESOLVE: Duration = Duration::from_secs(8);
const CONNECT: Duration = Duration::from_secs(3);
const HANDSHAKE: Duration = Duration::from_secs(8);
/// The remaining validity, in days, below which a certificate causes a warning: an automatic
/// renewal would have replaced the certificate earlier.
const SOON: i64 = 10;

const DAY: i64 = 86_400_000;

const NO_TLS: &str = "Is this the port of a TLS server? A url with ws:// instead of wss:// connects \
                      without TLS.";

/// Formats an endpoint without its path, because the path may contain a secret.
pub(super) fn place(endpoint: &Endpoint) -> String {
    if endpoint.is_announced() {
        return endpoint.to_string();
    }
    let scheme = if endpoint.secure { "wss" } else { "ws" };
    let path = if endpoint.base.is_empty() { "" } else { "/…" };
    format!("{scheme}://{}{path}", endpoint.authority())
}

pub(super) async fn resolve(endpoint: &Endpoint) -> (Finding, Vec<SocketAddr>) {
    let host = endpoint.host.as_str();
    if let Ok(address) = host.parse::<IpAddr>() {
        let found = format!("{host} is an address, not a name");
        let addresses = vec![(address, endpoint.port).into()];
        return (Finding::ok("dns", found), addresses);
    }
    let mut addresses = Vec::new();
    let start = Instant::now();
    let looking = timeout(RESOLVE, tokio::net::lookup_host((host, endpoint.port))).await;
    let took = start.elapsed().as_millis();
    let found = match looking {
        Ok(found) => {
            addresses = found.map(Vec::from_iter).unwrap_or_default();
            format!("{host} has no address")
        }
        Err(_) => format!("no DNS answer for {host} in {took} ms"),
    };
    if addresses.is_empty() {
        return (Finding::failed("dns", found, nameless(host)), addresses);
    }
    let list = addresses.iter().map(|address| address.ip().to_string());
    let list: Vec<String> = list.collect();
    let found = format!("{host} is {} ({took} ms)", list.join(", "));
    (Finding::ok("dns", found), addresses)
}

/// Searches for the hub that announces itself. Returns its endpoint if exactly one hub announces
/// itself and has proved that it knows the token.
pub(super) async fn announced(
    connector: &Connector,
    source: &FeedSource,
) -> (Finding, Option<Endpoint>) {
    let write = "Write the address of your hub to the configuration:\n  [hub]\n  url = \
                 \"ws://192.0.2.7:3000\"";
    let hubs = match discovery::search().await {
        Ok(hubs) => hubs,
        Err(reason) => {
            let remedy = "Check the cable or the Wi-Fi:\n  ip address";
            return (Finding::failed("dns", reason.to_string(), remedy), None);
        }
    };
    let [hub] = &hubs[..] else {
        let finding = match hubs.is_empty() {
            true => {
                let remedy = format!(
                    "Is the hub running in this network, with announce = true? A firewall or a \
                     guest network can block multicast. If nothing helps:\n{write}"
                );
                Finding::failed("dns", "no hub announces itself in this network", remedy)
            }
            false => {
                let found = format!(
                    "{} hubs announce themselves, and none of them is used: {}",
                    hubs.len(),
                    discovery::places(&hubs)
                );
                Finding::failed("dns", found, write)
            }
        };
        return (finding, None);
    };
    match discovery::take(connector, source, hub).await {
        Ok(endpoint) => {
            let found = format!("found {}, which knows the token", hub.place());
            (Finding::ok("dns", found), Some(endpoint))
        }
        Err(reason) => {
            let found = format!("found {}, but it is not used: {reason}", hub.place());
            let remedy = match reason {
                Failure::Unproven | Failure::Token => format!(
                    "Create a token on this hub and write it to the token file of this machine:\n  \
                     deskticker-hub token add NAME\nIs it not your hub? {write}"
                ),
                _ => write.to_owned(),
            };
            (Finding::failed("dns", found, remedy), None)
        }
    }
}

fn nameless(host: &str) -> String {
    let first = if host.ends_with(".local") {
        "Names in .local need mDNS on both machines:\n  sudo apt install avahi-daemon libnss-mdns"
    } else {
        "Is the network up, and does this machine have a name server?\n  ip route\n  cat \
         /etc/resolv.conf"
    };
    format!("{first}\nOr write the IP address instead of the name: url = \"ws://192.0.2.7:3000\"")
}

/// Tries every address in order. Returns the first connection that opens.
pub(super) async fn connect(
    endpoint: &Endpoint,
    addresses: &[SocketAddr],
) -> (Finding, Option<TcpStream>) {
    let mut open = None;
    let mut said = Vec::new();
    let (mut refused, mut failed) = (false, false);
    for address in addresses {
        let start = Instant::now();
        let outcome = timeout(CONNECT, TcpStream::connect(address)).await;
        let took = start.elapsed().as_millis();
        failed |= !matches!(outcome, Ok(Ok(_)));
        said.push(match outcome {
            Ok(Ok(stream)) => {
                open.get_or_insert(stream);
                format!("{address} in {took} ms")
            }
            Ok(Err(error)) => {
                refused |= error.kind() == ErrorKind::ConnectionRefused;
                format!("{address}: {}", words(&error))
            }
            Err(_) => format!("{address}: no answer"),
        });
    }
    let said = said.join(", ");
    let port = endpoint.port;
    let finding = match (&open, failed) {
        (Some(_), false) => Finding::ok("tcp", said),
        (Some(_), true) => {
            let remedy = "The addresses that fail delay each start: is IPv6 enabled on this \
                          machine, but not on the router?";
            Finding::warning("tcp", said, remedy)
        }
        (None, _) if refused => {
            let remedy = format!(
                "The machine answers, but no program listens on port {port}: correct the port, or \
                 check the hub on that machine:\n  systemctl status deskticker-hub"
            );
            Finding::failed("tcp", said, remedy)
        }
        (None, _) => {
            let remedy = format!(
                "Is that machine on and in the same network, and does its firewall allow port \
                 {port}?"
            );
            Finding::failed("tcp", said, remedy)
        }
    };
    (finding, open)
}

pub(super) async fn tls(
    connector: &Connector,
    source: &FeedSource,
    stream: TcpStream,
    now: Now,
) -> Finding {
    let start = Instant::now();
    let session = connector.certificate(&source.endpoint, stream);
    let Ok(session) = timeout(HANDSHAKE, session).await else {
        return Finding::failed("tls", "no answer to the handshake", NO_TLS);
    };
    let took = start.elapsed().as_millis();
    match session {
        Ok(end) => judge(end, now, took),
        Err(reason) => distrusted(&reason, source, now),
    }
}

fn judge(end: Option<Utc>, now: Now, took: u128) -> Finding {
    let found = format!("trusted ({took} ms)");
    let (Some(end), Some(utc)) = (end, now.utc) else {
        return Finding::ok("tls", found);
    };
    let found = format!("{found}, valid until {}", end.day());
    let left = end.millis_since(utc) / DAY;
    if left < SOON {
        let remedy = format!(
            "The certificate expires in {left} days: renew the certificate on the server, then \
             `systemctl reload`."
        );
        return Finding::warning("tls", found, remedy);
    }
    Finding::ok("tls", found)
}

fn distrusted(reason: &CertificateProblem, source: &FeedSource, now: Now) -> Finding {
    let host = &source.endpoint.host;
    let since =
        |time: &Option<Utc>| time.map_or_else(String::new, |time| format!(" on {}", time.day()));
    let here = now.utc.map_or("not set".to_owned(), Utc::day);
    let (found, remedy) = match reason {
        CertificateProblem::Expired(end) => (
            format!("the certificate has expired{}", since(end)),
            format!(
                "Renew the certificate on the server. (The clock of this machine shows \
                     {here}.)"
            ),
        ),
        CertificateProblem::NotYet(start) => (
            format!(
                "the certificate is not valid yet, its validity begins{}",
                since(start)
            ),
            format!(
                "The clock of this machine shows {here}, so the clock is wrong. Let the network \
                 set the clock:\n  sudo timedatectl set-ntp true"
            ),
        ),
        CertificateProblem::Name(names) if names.is_empty() => (
            format!(
                "the certificate is not for {host}: it has no subjectAltName, and the name in \
                     its subject does not count"
            ),
            format!("Create another certificate on the hub:\n  deskticker-hub certificate {host}"),
        ),
        CertificateProblem::Name(names) => (
            format!(
                "the certificate is not for {host}, but for {}",
                names.join(", ")
            ),
            format!(
                "Write a url with a host name of the certificate, or create another certificate on \
                 the hub:\n  deskticker-hub certificate {host}"
            ),
        ),
        CertificateProblem::Other(Failure::Tls, words) => (
            format!("the TLS handshake failed: {words}"),
            NO_TLS.to_owned(),
        ),
        CertificateProblem::Other(Failure::Lost, _) => (
            "the server closed the connection during the TLS handshake".to_owned(),
            NO_TLS.to_owned(),
        ),
        CertificateProblem::Other(reason, _) => {
            return hub::failed("tls", &(*reason).into(), source);
        }
    };
    Finding::failed("tls", found, remedy)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::doctor::CheckState;
    use crate::net::source::FeedProvider;
    use crate::time::Moment;

    #[test]
    fn a_certificate_that_expires_in_less_than_ten_days_causes_a_warning() {
        // The current time of this test is 2026-11-23 00:00 UTC.
        let now = Now::new(Moment::ZERO, Utc(1_795_392_000_000));
        let after = |days: i64| judge(Some(Utc(1_795_392_000_000 + days * DAY)), now, 12);
        assert_eq!(
            after(40),
            Finding::ok("tls", "trusted (12 ms), valid until 2027-01-02")
        );
        assert_eq!(after(10).state, CheckState::Ok);
        let soon = after(9);
        assert_eq!(
            (soon.state, soon.found.as_str()),
            (
                CheckState::Warning,
                "trusted (12 ms), valid until 2026-12-02"
            )
        );
        assert!(soon.remedy.unwrap().contains("expires in 9 days"));
    }

    #[test]
    fn a_missing_name_and_a_missing_intermediate_certificate_have_their_own_remedies() {
        let now = Now::new(Moment::ZERO, Utc(1_795_392_000_000));
        let words = |problem: CertificateProblem| {
            let endpoint = Endpoint::parse("wss://hub.local").unwrap();
            let source = FeedSource::new(FeedProvider::Hub, endpoint, None);
            let finding = distrusted(&problem, &source, now);
            finding.found + &finding.remedy.unwrap_or_default()
        };
        let nameless = words(CertificateProblem::Name(Vec::new()));
        assert!(
            nameless.contains("no subjectAltName") && nameless.contains("certificate hub.local")
        );
        let short = words(CertificateProblem::Other(
            Failure::Intermediate,
            String::new(),
        ));
        assert!(short.contains("fullchain.pem") && short.contains("not cert.pem"));
    }

    #[test]
    fn a_url_path_is_never_shown_because_a_path_can_be_a_secret() {
        let shown = |url| place(&Endpoint::parse(url).unwrap());
        assert_eq!(shown("wss://hub.example/s3cr3t/"), "wss://hub.example/…");
        assert_eq!(shown("ws://[::1]:3000"), "ws://[::1]:3000");
    }
}
