//! The connection of one client. Owns the unsent bytes, and a small task that reads from the
//! socket. The task holds no buffer while no data arrives. The broker writes directly to the
//! socket, so the hub does not wake a task of the client for an event.

use std::io::{self, ErrorKind};
use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use hyper::body::Bytes;
use tokio::io::{Interest, Ready};
use tokio::sync::{Notify, mpsc};
use tokio::task::AbortHandle;

use super::allowance::{Allowance, ReadLimits};
use super::transport::Transport;
use super::websocket::{Decoder, FrameError, Message};
use crate::hub::auth::registry::Device;
use crate::hub::auth::sessions::DeviceSession;
use crate::hub::broker::delivery::ClientSlot;
use crate::hub::metrics::Metrics;
use crate::hub::server::admission::UnauthenticatedSlot;
use crate::net::hub_path::HubBelow;
use crate::time::{Clock, Moment};

/// The unique identity of a client. A later client can reuse the slot, but never the number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct ClientId {
    pub(crate) client_slot: ClientSlot,
    pub(crate) number: u64,
}

/// The messages from the task of a client to the broker.
#[derive(Debug)]
pub(crate) enum ClientInput {
    Message(Message),
    /// The client has violated the protocol.
    Broken(FrameError),
    /// The socket can take more bytes after it was full.
    Writable,
    /// The client must make way for another connection (see [`UnauthenticatedSlot`]).
    Evicted,
    /// The connection has ended.
    Gone,
}

/// The state that the broker and the task of the client share.
#[derive(Debug)]
pub(crate) struct ClientSocket {
    pub(crate) socket: Transport,
    /// The place of the client among the unauthenticated connections.
    unauthenticated_slot: Option<UnauthenticatedSlot>,
    /// The broker notifies the task after a change of `blocked` or `authenticated`.
    changed: Notify,
    /// True if the socket is full. The task then waits until the socket is writable, and sends
    /// `ClientInput::Writable`.
    blocked: AtomicBool,
    /// True after the authentication. The task reads only a few bytes from other clients.
    authenticated: AtomicBool,
    /// The monotonic receive time of the last data, in milliseconds.
    heard: AtomicU64,
    /// True after the hub has started to close the session. The task then discards all messages
    /// except a close frame.
    ignoring_input: AtomicBool,
}

impl ClientSocket {
    pub(crate) fn new(
        socket: Transport,
        unauthenticated_slot: Option<UnauthenticatedSlot>,
        now: Moment,
    ) -> Self {
        Self {
            socket,
            unauthenticated_slot,
            changed: Notify::new(),
            blocked: AtomicBool::new(false),
            authenticated: AtomicBool::new(false),
            heard: AtomicU64::new(now.as_millis()),
            ignoring_input: AtomicBool::new(false),
        }
    }

    /// Returns the monotonic receive time of the last data.
    pub(crate) fn heard(&self) -> Moment {
        Moment::from_millis(self.heard.load(Ordering::Relaxed))
    }

    /// Discards all further messages of the client except its close frame.
    pub(crate) fn ignore_input(&self) {
        self.ignoring_input.store(true, Ordering::Relaxed);
    }

    /// Counts the client as authenticated, so that the task reads more than a few bytes. Returns
    /// false if the device has used up its allowance of connections.
    pub(crate) fn authenticate(&self, device: &Device, now: Moment) -> bool {
        self.authenticated.store(true, Ordering::Relaxed);
        self.changed.notify_one();
        let unauthenticated_slot = self.unauthenticated_slot.as_ref();
        unauthenticated_slot
            .is_none_or(|unauthenticated_slot| unauthenticated_slot.authenticated(device, now))
    }

    fn blocked(&self) {
        self.blocked.store(true, Ordering::Relaxed);
        self.changed.notify_one();
    }

    /// Waits until the client must make way for another connection.
    async fn evicted(&self) {
        match &self.unauthenticated_slot {
            Some(unauthenticated_slot) => unauthenticated_slot.evicted().await,
            None => std::future::pending().await,
        }
    }

    /// Waits until the socket is ready for a read or a write, or for ever without an interest.
    async fn ready(&self, interest: Option<Interest>) -> io::Result<Ready> {
        match interest {
            Some(interest) => self.socket.ready(interest).await,
            None => std::future::pending().await,
        }
    }
}

/// The receiving side of a client: the decoder, the allowance and the decoded inputs.
struct Reader {
    decoder: Decoder,
    allowance: Allowance,
    inputs: Vec<ClientInput>,
}

impl Reader {
    /// Reads once and decodes the bytes. Returns false at the end of the stream or after a fatal
    /// error.
    fn read(&mut self, socket: &ClientSocket, authenticated: bool, now: Moment) -> bool {
        let most = self.allowance.turn(authenticated);
        let read = socket.socket.try_read(most, |bytes| self.decode(bytes));
        match read {
            Ok(received) => {
                self.charge(received.count, now);
                received.is_open
            }
            Err(error) => {
                let is_open =
                    matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted);
                if !is_open {
                    log::debug!("the connection of a client failed: {error}");
                }
                is_open
            }
        }
    }

    fn decode(&mut self, mut bytes: &[u8]) {
        loop {
            self.inputs.push(match self.decoder.decode(&mut bytes) {
                Ok(None) => break,
                Ok(Some(Message::Pong)) => continue,
                Ok(Some(message)) => ClientInput::Message(message),
                Err(fault) => ClientInput::Broken(fault),
            });
        }
    }

    /// Takes the decoded frames and this number of bytes of the connection from the allowance. With
    /// TLS, a client can send many bytes without any content.
    fn charge(&mut self, bytes: usize, now: Moment) {
        let counts = self.decoder.take_counts();
        self.allowance.take(bytes, counts, now);
    }
}

/// The state of a client session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ClientState {
    /// The client must authenticate before the time `until`.
    Unauthenticated { until: Moment },
    /// The client may subscribe to channels.
    Authenticated,
    /// The hub closes the session, and drops the connection at the time `until`.
    Closing { until: Moment },
}

/// The result of a write to a client.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum WriteOutcome {
    /// The kernel has accepted all bytes.
    All,
    /// The client stores the remaining bytes until the socket is writable.
    Some,
    /// The number of stored bytes has exceeded the limit.
    Full,
    /// The connection has ended.
    Gone,
}

/// The maximum number of bytes that may wait for one client after its socket is full. These bytes
/// are responses to a client that sends requests but does not read. Values do not wait here, except
/// the rest of a write that was only partly accepted.
const CLIENT_BACKLOG_LIMIT: usize = 256 << 10;

/// One client with its unsent bytes, as the broker stores it.
#[derive(Debug)]
pub(crate) struct Client {
    pub(crate) client_id: ClientId,
    pub(crate) socket_state: Arc<ClientSocket>,
    /// The address of the client; `None` if it is unknown.
    pub(crate) address: Option<IpAddr>,
    /// The session of the device, after the authentication.
    pub(crate) session: Option<DeviceSession>,
    /// The place in the tree of hubs, if the client is a hub.
    pub(crate) below: Option<Arc<HubBelow>>,
    pub(crate) state: ClientState,
    /// The monotonic time of the last ping. `unanswered` is the number of pings in a row without an
    /// answer.
    pub(crate) pinged: Moment,
    pub(crate) unanswered: u8,
    /// The bytes that the kernel has not accepted yet. Later frames wait behind these bytes,
    /// because the bytes of two frames must not mix.
    rest: Vec<u8>,
    /// True if bytes were discarded: the connection ends, and nothing is written any more.
    is_discarded: bool,
    /// The number of bytes in `rest` that were added after the socket was full.
    behind: usize,
    /// The number of bytes in `rest` that the backlog of all clients contains.
    pub(crate) counted: u64,
    /// The time at which the socket last took bytes from `rest`.
    pub(crate) took_bytes: Moment,
    task: AbortHandle,
}

impl Drop for Client {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Client {
    /// Creates a client that must authenticate before the time `until`.
    pub(crate) fn new(
        client_id: ClientId,
        socket_state: Arc<ClientSocket>,
        address: Option<IpAddr>,
        until: Moment,
        task: AbortHandle,
    ) -> Self {
        Self {
            client_id,
            pinged: socket_state.heard(),
            socket_state,
            address,
            session: None,
            below: None,
            state: ClientState::Unauthenticated { until },
            unanswered: 0,
            rest: Vec::new(),
            is_discarded: false,
            behind: 0,
            counted: 0,
            took_bytes: Moment::ZERO,
            task,
        }
    }

    /// Returns the device of an authenticated client.
    pub(crate) fn device(&self) -> Option<&Device> {
        self.session.as_ref().map(DeviceSession::device)
    }

    /// Stores the receive time of the client's last data for its device.
    pub(crate) fn note_seen(&self) {
        if let Some(session) = &self.session {
            session.see(self.socket_state.heard());
        }
    }

    /// Returns the number of bytes that wait for the socket.
    pub(crate) const fn waiting_bytes(&self) -> u64 {
        self.rest.len() as u64
    }

    /// Discards the bytes that wait. The caller must then drop the connection, because a frame may
    /// be incomplete.
    pub(crate) fn discard(&mut self) {
        self.rest = Vec::new();
        self.is_discarded = true;
    }

    /// Writes complete frames, and stores the bytes that the socket does not accept.
    pub(crate) fn write(&mut self, mut bytes: &[u8]) -> WriteOutcome {
        // The last frame may be incomplete, so another frame must not follow.
        if self.is_discarded {
            return WriteOutcome::Gone;
        }
        if self.rest.is_empty() {
            match self.push(bytes) {
                Ok(count) => bytes = &bytes[count..],
                Err(_) => return WriteOutcome::Gone,
            }
            if bytes.is_empty() {
                return WriteOutcome::All;
            }
            self.socket_state.blocked();
        } else {
            self.behind += bytes.len();
            if self.behind > CLIENT_BACKLOG_LIMIT
                && !matches!(self.state, ClientState::Closing { .. })
            {
                return WriteOutcome::Full;
            }
        }
        self.rest.reserve_exact(bytes.len());
        self.rest.extend_from_slice(bytes);
        WriteOutcome::Some
    }

    /// Writes the stored bytes as far as the socket accepts them.
    pub(crate) fn resume(&mut self) -> WriteOutcome {
        match self.push(&self.rest) {
            Ok(count) if count == self.rest.len() => {
                self.rest = Vec::new();
                self.behind = 0;
                WriteOutcome::All
            }
            Ok(count) => {
                self.rest.drain(..count);
                self.rest.shrink_to_fit();
                self.socket_state.blocked();
                WriteOutcome::Some
            }
            Err(_) => WriteOutcome::Gone,
        }
    }

    /// Returns true if stored bytes wait for the socket.
    pub(crate) const fn is_behind(&self) -> bool {
        !self.rest.is_empty()
    }

    /// Writes until the kernel accepts no more bytes. Returns the number of written bytes.
    fn push(&self, bytes: &[u8]) -> io::Result<usize> {
        let mut written = 0;
        while written < bytes.len() {
            match self.socket_state.socket.try_write(&bytes[written..]) {
                Ok(count) => written += count,
                Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(written)
    }
}

/// Reads the input of a client until the connection ends. The broker aborts this task when the
/// broker drops the client. After each read, the task lets the other tasks run, so that a client
/// that sends without a pause does not delay the others.
pub(crate) async fn listen(
    client_id: ClientId,
    socket_state: Arc<ClientSocket>,
    read_ahead: Bytes,
    limits: ReadLimits,
    metrics: Arc<Metrics>,
    clock: Clock,
    input_sender: mpsc::Sender<(ClientId, ClientInput)>,
) {
    let mut reader = Reader {
        decoder: Decoder::new(limits.message),
        allowance: Allowance::new(limits),
        inputs: Vec::new(),
    };
    reader.decode(&read_ahead);
    reader.charge(read_ahead.len(), clock.now().monotonic);
    drop(read_ahead);
    let mut last_pause = None;
    let mut open = true;
    loop {
        if socket_state.ignoring_input.load(Ordering::Relaxed) {
            use ClientInput::{Message as Received, Writable};
            let kept =
                |input: &ClientInput| matches!(input, Received(Message::Close(_)) | Writable);
            reader.inputs.retain(kept);
        }
        for input in std::mem::take(&mut reader.inputs) {
            // The send fails only if the event loop has ended, and then the session has ended too.
            if input_sender.send((client_id, input)).await.is_err() {
                return;
            }
        }
        if !open {
            input_sender.send((client_id, ClientInput::Gone)).await.ok();
            return;
        }
        let now = clock.now().monotonic;
        let authenticated = socket_state.authenticated.load(Ordering::Relaxed);
        let pause = reader.allowance.pause(authenticated, now);
        let reason = pause.map(|(reason, _)| reason);
        if let Some(reason) = reason.filter(|_| last_pause != reason) {
            reason.counter(&metrics).add(1);
        }
        last_pause = reason;
        let blocked = socket_state.blocked.load(Ordering::Relaxed);
        let interest = match (pause, blocked) {
            (None, false) => Some(Interest::READABLE),
            (None, true) => Some(Interest::READABLE | Interest::WRITABLE),
            (Some(_), false) => None,
            (Some(_), true) => Some(Interest::WRITABLE),
        };
        let resume = pause.map(|(_, until)| until);
        tokio::select! {
            ready = socket_state.ready(interest) => {
                let Ok(ready) = ready else {
                    open = false;
                    continue;
                };
                if blocked && ready.is_writable() {
                    socket_state.blocked.store(false, Ordering::Relaxed);
                    reader.inputs.push(ClientInput::Writable);
                }
                if pause.is_none() && (ready.is_readable() || ready.is_read_closed()) {
                    let now = clock.now().monotonic;
                    socket_state.heard.store(now.as_millis(), Ordering::Relaxed);
                    open = reader.read(&socket_state, authenticated, now);
                    tokio::task::yield_now().await;
                }
            }
            () = socket_state.changed.notified() => {}
            () = socket_state.evicted() => reader.inputs.push(ClientInput::Evicted),
            () = pause_until(&clock, resume) => {}
        }
    }
}

/// Waits until the end of a pause, or for ever without a pause. The timer is in a box, because each
/// idle client would otherwise need memory for a timer.
async fn pause_until(clock: &Clock, until: Option<Moment>) {
    match until {
        Some(until) => Box::pin(clock.sleep_until(until)).await,
        None => std::future::pending().await,
    }
}
