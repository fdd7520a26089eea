//! One HTTP connection to a REST server, which carries many requests one after the other. This
//! module sends the requests; it never opens a socket and never decides about a status.

use std::time::Duration;

use http_body_util::{BodyExt, Empty, Limited};
use hyper::body::{Body, Bytes, Incoming};
use hyper::client::conn::http1::{SendRequest, handshake};
use hyper::header::{CONTENT_TYPE, HeaderMap};
use hyper::{Request, StatusCode};
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite};

use super::endpoint::Endpoint;
use super::failure::Failure;

/// The maximum size of a response body, in bytes.
const BODY_LIMIT: usize = 1 << 20;
/// The maximum size of a body that is read only to keep the connection, in bytes.
const SKIPPED_BODY_LIMIT: u64 = 16 << 10;
/// The content type of a usable body. A character set can follow.
pub(super) const JSON: &str = "application/json";
/// The maximum time until the server acknowledges sent bytes (`TCP_USER_TIMEOUT`). After this time,
/// the kernel closes the connection. The limit is short, because the network can have changed since
/// the last request: the old connection then never works again, but a new connection works at once.
pub(super) const UNACKNOWLEDGED: Duration = Duration::from_secs(3);

/// A request without a body.
pub(super) type RestRequest = Request<Empty<Bytes>>;

/// The parts of a response.
#[derive(Debug)]
pub(super) struct RawAnswer {
    pub(super) status: StatusCode,
    pub(super) headers: HeaderMap,
    /// The body, if the body is JSON and the caller needs the body.
    pub(super) json: Option<Bytes>,
}

/// An open connection without a request in progress.
#[derive(Debug)]
pub(crate) struct RestConnection {
    /// The number of this connection, unique for its connector.
    pub(super) id: u64,
    endpoint: Endpoint,
    sender: SendRequest<Empty<Bytes>>,
}

impl RestConnection {
    /// Begins HTTP on an open byte stream. A task of its own reads and writes the bytes, and
    /// notices when the server closes the connection. The task ends when the returned value is
    /// dropped.
    ///
    /// # Errors
    ///
    /// The stream has ended.
    pub(super) async fn begin<S>(stream: S, endpoint: &Endpoint, id: u64) -> Result<Self, Failure>
    where
        S: AsyncRead + AsyncWrite + Send + Unpin + 'static,
    {
        let opened = handshake(TokioIo::new(stream)).await;
        let (sender, connection) = opened.map_err(|_| Failure::Lost)?;
        tokio::spawn(async move {
            // The sender of a request gets the same error.
            if let Err(error) = connection.await {
                log::debug!("a REST connection has ended: {error}");
            }
        });
        Ok(Self {
            id,
            endpoint: endpoint.clone(),
            sender,
        })
    }

    /// Returns true if the connection leads to this server and the server has not closed it.
    pub(super) fn is_open_to(&self, endpoint: &Endpoint) -> bool {
        self.endpoint == *endpoint && !self.sender.is_closed()
    }

    /// Sends a request and returns its response. If `whole` is true, the JSON body of every status
    /// is read; otherwise only the body of status 200. Also returns the connection, if another
    /// request is possible. Returns `None` if the connection ended before the response.
    pub(super) async fn send(
        mut self,
        request: RestRequest,
        whole: bool,
    ) -> Option<Result<(RawAnswer, Option<Self>), Failure>> {
        self.sender.ready().await.ok()?;
        let response = self.sender.send_request(request).await.ok()?;
        let (head, body) = response.into_parts();
        let kind = head.headers.get(CONTENT_TYPE);
        let kind = kind.and_then(|kind| kind.to_str().ok()).unwrap_or_default();
        let kind = kind.trim_start().get(..JSON.len()).unwrap_or_default();
        let wanted = kind.eq_ignore_ascii_case(JSON) && (whole || head.status == StatusCode::OK);
        let mut answer = RawAnswer {
            status: head.status,
            headers: head.headers,
            json: None,
        };
        if wanted {
            match Limited::new(body, BODY_LIMIT).collect().await {
                Ok(body) => answer.json = Some(body.to_bytes()),
                Err(_) => return Some(Err(Failure::Protocol)),
            }
            return Some(Ok((answer, Some(self))));
        }
        let kept = skip(body).await.then_some(self);
        Some(Ok((answer, kept)))
    }
}

/// Reads and discards a short body, so that the connection can be used again. Returns true if the
/// body was read to its end.
async fn skip(body: Incoming) -> bool {
    let length = body.size_hint().exact();
    length.is_some_and(|length| length <= SKIPPED_BODY_LIMIT) && body.collect().await.is_ok()
}
