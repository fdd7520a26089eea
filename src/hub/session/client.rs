//! The connection of one client. Owns the unsent bytes, and a small task that reads from the
//! socket. The task holds no buffer while no data arrives. The broker writes directly to the
//! socket, so the hub does not wake a task of the client for an event.

use std::io::{self, ErrorKind};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use hyper::body::Bytes;
use tokio::io::Interest;
use tokio::sync::{Notify, mpsc};
use tokio::task::AbortHandle;

use super::transport::Transport;
use super::websocket::{Decoder, FrameError, Message};
use crate::hub::auth::registry::Device;
use crate::hub::broker::delivery::ClientSlot;
use crate::time::{Clock, Moment};

/// The size of the read buffer in bytes. The buffer is on the stack and exists only during a read.
const READ_BUFFER: usize = 4096;

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
    /// The connection has ended.
    Gone,
}

/// The state that the broker and the task of the client share.
#[derive(Debug)]
pub(crate) struct ClientSocket {
    pub(crate) socket: Transport,
    /// The broker notifies the task when the socket is full. The task then waits until the socket
    /// is writable, and sends `ClientInput::Writable`.
    blocked: Notify,
    /// The monotonic receive time of the last data, in milliseconds.
    heard: AtomicU64,
    /// True after the hub has started to close the session. The task then discards all messages
    /// except a close frame.
    ignoring_input: AtomicBool,
}

impl ClientSocket {
    pub(crate) fn new(socket: Transport, now: Moment) -> Self {
        Self {
            socket,
            blocked: Notify::new(),
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

    /// Reads once and decodes the bytes. Returns false at the end of the stream or after a fatal
    /// error.
    fn read(&self, decoder: &mut Decoder, inputs: &mut Vec<ClientInput>) -> bool {
        let mut piece = [0; READ_BUFFER];
        match self.socket.try_read(&mut piece) {
            Ok(0) => false,
            Ok(count) => {
                decode(&piece[..count], decoder, inputs);
                true
            }
            Err(error) => {
                matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted)
            }
        }
    }
}

fn decode(mut bytes: &[u8], decoder: &mut Decoder, inputs: &mut Vec<ClientInput>) {
    loop {
        inputs.push(match decoder.decode(&mut bytes) {
            Ok(None) => return,
            Ok(Some(Message::Pong)) => continue,
            Ok(Some(message)) => ClientInput::Message(message),
            Err(fault) => ClientInput::Broken(fault),
        });
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
const BACKLOG_LIMIT: usize = 256 << 10;

/// One client with its unsent bytes, as the broker stores it.
#[derive(Debug)]
pub(crate) struct Client {
    pub(crate) client_id: ClientId,
    pub(crate) socket_state: Arc<ClientSocket>,
    pub(crate) device: Option<Device>,
    pub(crate) state: ClientState,
    /// The monotonic time of the last ping. `unanswered` is the number of pings in a row without an
    /// answer.
    pub(crate) pinged: Moment,
    pub(crate) unanswered: u8,
    /// The bytes that the kernel has not accepted yet. Later frames wait behind these bytes,
    /// because the bytes of two frames must not mix.
    rest: Vec<u8>,
    /// The number of bytes in `rest` that were added after the socket was full.
    behind: usize,
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
        until: Moment,
        task: AbortHandle,
    ) -> Self {
        Self {
            client_id,
            pinged: socket_state.heard(),
            socket_state,
            device: None,
            state: ClientState::Unauthenticated { until },
            unanswered: 0,
            rest: Vec::new(),
            behind: 0,
            task,
        }
    }

    /// Writes complete frames, and stores the bytes that the socket does not accept.
    pub(crate) fn write(&mut self, mut bytes: &[u8]) -> WriteOutcome {
        if self.rest.is_empty() {
            match self.push(bytes) {
                Ok(count) => bytes = &bytes[count..],
                Err(_) => return WriteOutcome::Gone,
            }
            if bytes.is_empty() {
                return WriteOutcome::All;
            }
            self.socket_state.blocked.notify_one();
        } else {
            self.behind += bytes.len();
            if self.behind > BACKLOG_LIMIT && !matches!(self.state, ClientState::Closing { .. }) {
                return WriteOutcome::Full;
            }
        }
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
                self.socket_state.blocked.notify_one();
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
/// broker drops the client.
pub(crate) async fn listen(
    client_id: ClientId,
    socket_state: Arc<ClientSocket>,
    read_ahead: Bytes,
    limit: usize,
    clock: Clock,
    input_sender: mpsc::Sender<(ClientId, ClientInput)>,
) {
    let mut decoder = Decoder::new(limit);
    let mut inputs = Vec::new();
    decode(&read_ahead, &mut decoder, &mut inputs);
    drop(read_ahead);
    let mut interest = Interest::READABLE;
    let mut open = true;
    loop {
        if socket_state.ignoring_input.load(Ordering::Relaxed) {
            use ClientInput::{Message as Received, Writable};
            inputs.retain(|input| matches!(input, Received(Message::Close(_)) | Writable));
        }
        for input in std::mem::take(&mut inputs) {
            // The send fails only if the event loop has ended, and then the session has ended too.
            if input_sender.send((client_id, input)).await.is_err() {
                return;
            }
        }
        if !open {
            input_sender.send((client_id, ClientInput::Gone)).await.ok();
            return;
        }
        tokio::select! {
            ready = socket_state.socket.ready(interest) => {
                let Ok(ready) = ready else {
                    open = false;
                    continue;
                };
                if interest.is_writable() && ready.is_writable() {
                    interest = Interest::READABLE;
                    inputs.push(ClientInput::Writable);
                }
                if ready.is_readable() || ready.is_read_closed() {
                    socket_state.heard.store(clock.now().monotonic.as_millis(), Ordering::Relaxed);
                    open = socket_state.read(&mut decoder, &mut inputs);
                }
            }
            () = socket_state.blocked.notified(), if !interest.is_writable() => {
                interest = Interest::READABLE | Interest::WRITABLE;
            }
        }
    }
}
