//! The web server and the name server of the set-up by phone. Both run only while the Pi's own
//! network is open, at its address. This module never decides when the network opens or closes.

use std::convert::Infallible;
use std::fs;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use http_body_util::{BodyExt, Full, Limited};
use hyper::body::{Bytes, Incoming};
use hyper::header::{CACHE_CONTROL, CONTENT_TYPE, HeaderValue, LOCATION};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use tokio::net::{TcpListener, UdpSocket};
use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;
use tokio::time::timeout;

use super::page::{self, Answers};
use super::{PageEvent, call};

/// The maximum size of the answers, in bytes.
const BODY_LIMIT: usize = 16 << 10;
/// The maximum number of connections at the same time. A phone opens a few.
const CONNECTIONS: usize = 16;
/// The time limit of a connection.
const LIMIT: Duration = Duration::from_secs(60);

/// The page and the place for its answers.
pub(super) struct Page {
    pub(super) tool: PathBuf,
    pub(super) folder: PathBuf,
    pub(super) config: PathBuf,
    pub(super) address: SocketAddr,
    pub(super) events: mpsc::Sender<PageEvent>,
    /// The problem that the empty form shows: the Wi-Fi of the last answers did not work, or the
    /// report of a failed setup. `None` if there is no problem.
    pub(super) problem: Option<String>,
}

/// Starts both servers. They run until the sender of `ended` is dropped.
pub(super) async fn start(
    page: Arc<Page>,
    names: SocketAddr,
    ended: watch::Receiver<()>,
) -> io::Result<()> {
    let listener = TcpListener::bind(page.address).await?;
    let socket = UdpSocket::bind(names).await?;
    let address = page.address.ip();
    let mut end = ended.clone();
    tokio::spawn(async move {
        tokio::select! {
            _ = end.changed() => {}
            () = answer_names(socket, address) => {}
        }
    });
    let mut end = ended;
    tokio::spawn(async move {
        tokio::select! {
            _ = end.changed() => {}
            () = serve(listener, page) => {}
        }
    });
    Ok(())
}

async fn serve(listener: TcpListener, page: Arc<Page>) {
    let mut visits = JoinSet::new();
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept(), if visits.len() < CONNECTIONS => accepted,
            Some(_) = visits.join_next() => continue,
        };
        let Ok((stream, _)) = accepted else {
            tokio::time::sleep(Duration::from_secs(1)).await;
            continue;
        };
        let page = page.clone();
        visits.spawn(timeout(LIMIT, async move {
            let service = service_fn(|request| {
                let page = page.clone();
                async move { Ok::<_, Infallible>(page.response(request).await) }
            });
            http1::Builder::new()
                .keep_alive(false)
                .serve_connection(TokioIo::new(stream), service)
                .await
                .ok();
        }));
    }
}

impl Page {
    async fn response(&self, request: Request<Incoming>) -> Response<Full<Bytes>> {
        let root = request.uri().path() == "/";
        match (request.method(), root) {
            (&Method::POST, true) => {
                let body = Limited::new(request.into_body(), BODY_LIMIT)
                    .collect()
                    .await;
                let Ok(body) = body else {
                    let problem = "the answers are too long";
                    return html(page::form(Some(problem), &Answers::default()));
                };
                self.take(&String::from_utf8_lossy(&body.to_bytes())).await
            }
            (&Method::GET | &Method::HEAD, true) => {
                self.events.send(PageEvent::Visited).await.ok();
                html(page::form(self.problem.as_deref(), &Answers::default()))
            }
            // A phone requests a known address, to find out if the network needs a login. The phone
            // opens the page if the response leads to another address.
            _ => {
                let mut response = Response::new(Full::default());
                *response.status_mut() = StatusCode::FOUND;
                if let Ok(place) = HeaderValue::try_from(format!("http://{}/", self.address)) {
                    response.headers_mut().insert(LOCATION, place);
                }
                response
            }
        }
    }

    async fn take(&self, body: &str) -> Response<Full<Bytes>> {
        let answers = match Answers::parse(body) {
            Ok(answers) => answers,
            Err(problem) => return html(page::form(Some(problem), &Answers::default())),
        };
        if let Err(problem) = self.store(&answers).await {
            return html(page::form(Some(&problem), &answers));
        }
        self.events.send(PageEvent::Stored).await.ok();
        html(page::saved())
    }

    /// Writes the answers to the folder, and stores them with the command, which checks the values.
    async fn store(&self, answers: &Answers) -> Result<(), String> {
        let text = fs::read_to_string(&self.config).unwrap_or_default();
        let config = answers.configuration(&text).transpose()?;
        let files = [
            ("wifi.txt", answers.wifi()),
            ("token", answers.token()),
            ("key", answers.key()),
            ("deskticker.toml", config),
        ];
        let failed = |error: io::Error| format!("{}: {error}", self.folder.display());
        for (name, text) in &files {
            let file = self.folder.join(name);
            match text {
                Some(text) => fs::write(file, text).map_err(failed)?,
                None => drop(fs::remove_file(file)),
            }
        }
        let stored = call(&self.tool, &["store", &self.folder.to_string_lossy()]).await;
        // The folder is in memory, but a secret must not stay there.
        for (name, _) in &files {
            fs::remove_file(self.folder.join(name)).ok();
        }
        stored.map_err(|error| page::import_error(&error))
    }
}

fn html(text: String) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(Bytes::from(text)));
    let headers = response.headers_mut();
    headers.insert(
        CONTENT_TYPE,
        HeaderValue::from_static("text/html; charset=utf-8"),
    );
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

/// Answers each query for the IPv4 address of a name with this address (RFC 1035, section 4).
async fn answer_names(socket: UdpSocket, address: IpAddr) {
    let mut buffer = [0; 512];
    loop {
        let Ok((length, peer)) = socket.recv_from(&mut buffer).await else {
            tokio::time::sleep(Duration::from_secs(1)).await;
            continue;
        };
        if let Some(answer) = answer(&buffer[..length], address) {
            socket.send_to(&answer, peer).await.ok();
        }
    }
}

/// Returns the response to a query with one question, or `None` if the packet is not such a query.
fn answer(query: &[u8], address: IpAddr) -> Option<Vec<u8>> {
    let IpAddr::V4(address) = address else {
        return None;
    };
    let (head, rest) = query.split_at_checked(12)?;
    // A query has the top bit of the flags clear, and one question.
    if head[2] & 0x80 != 0 || head[4..6] != [0, 1] {
        return None;
    }
    let mut end = 0;
    while *rest.get(end)? != 0 {
        end += usize::from(rest[end]) + 1;
    }
    let question = rest.get(..end + 5)?;
    let wanted = question.ends_with(&[0, 1, 0, 1]);
    // The flags: a response, with recursion, without an error. Then the numbers of the records.
    let mut answer = [
        &head[..2],
        &[0x85, 0x80, 0, 1, 0, u8::from(wanted), 0, 0, 0, 0],
    ]
    .concat();
    answer.extend(question);
    if wanted {
        // The name is a pointer to the question. Type A, class IN, 10 s, four bytes.
        answer.extend([0xC0, 12, 0, 1, 0, 1, 0, 0, 0, 10, 0, 4]);
        answer.extend(address.octets());
    }
    Some(answer)
}

#[cfg(test)]
mod tests {
    use super::*;

    const ADDRESS: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(10, 42, 0, 1));

    fn query(kind: u8) -> Vec<u8> {
        let mut query = vec![0x12, 0x34, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0];
        query.extend(b"\x07captive\x05apple\x03com\0");
        query.extend([0, kind, 0, 1]);
        query
    }

    #[test]
    fn each_name_has_the_address_of_the_page() {
        let answer = answer(&query(1), ADDRESS).unwrap();
        assert_eq!(
            answer[..12],
            [0x12, 0x34, 0x85, 0x80, 0, 1, 0, 1, 0, 0, 0, 0]
        );
        assert_eq!(answer[12..query(1).len()], query(1)[12..]);
        assert!(answer.ends_with(&[0, 4, 10, 42, 0, 1]));
    }

    #[test]
    fn another_record_of_the_name_does_not_exist() {
        let answer = answer(&query(28), ADDRESS).unwrap();
        assert_eq!(answer[6..8], [0, 0]);
        assert_eq!(answer.len(), query(28).len());
    }

    #[test]
    fn a_packet_that_is_no_query_gets_no_answer() {
        let mut response = query(1);
        response[2] |= 0x80;
        let mut endless = query(1);
        endless.truncate(20);
        for packet in [&response[..], &endless, b"", b"short"] {
            assert_eq!(answer(packet, ADDRESS), None);
        }
    }
}
