//! One client's connection. Owns what is half written to it, and a small task that reads it and
//! holds no buffer while nothing comes. Writing is done by whoever has something to say, at once
//! and on the socket itself: no task is woken for an event.

use std::io::{self, ErrorKind};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use hyper::body::Bytes;
use tokio::io::Interest;
use tokio::sync::{Notify, mpsc};
use tokio::task::AbortHandle;

use super::transport::Transport;
use super::websocket::{Decoder, FrameError, Message};
use crate::hub::auth::authenticator::Device;
use crate::hub::broker::last_value::ClientSlot;
use crate::time::{Clock, Moment};

/// Read at once; on the stack, never kept.
const READ_BUFFER: usize = 4096;

/// Which client, now and never again: a seat is given to the next when one leaves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct ClientId {
    pub(crate) client_slot: ClientSlot,
    pub(crate) number: u64,
}

/// What a client's task tells the fan-out.
#[derive(Debug)]
pub(crate) enum ClientInput {
    Text(String),
    Binary,
    Ping(Vec<u8>),
    /// Its farewell.
    Close(Option<u16>),
    /// It broke the rules; nothing more is heard of it but its end.
    Broken(FrameError),
    /// The socket has room again.
    Writable,
    /// The connection has ended.
    Gone,
}

/// What the fan-out and the client's task share.
#[derive(Debug)]
pub(crate) struct ClientSocket {
    pub(crate) socket: Transport,
    /// The fan-out waits for room; told once there is.
    blocked: Notify,
    /// When anything last came, in milliseconds.
    heard: AtomicU64,
    /// Whatever comes is thrown away: the farewell has been sent.
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

    /// Asks to be told when the socket has room.
    pub(crate) fn wait_for_room(&self) {
        self.blocked.notify_one();
    }

    /// When anything last came.
    pub(crate) fn heard(&self) -> Moment {
        Moment::from_millis(self.heard.load(Ordering::Relaxed))
    }

    /// Hears nothing any more but the client's farewell and the end.
    pub(crate) fn ignore_input(&self) {
        self.ignoring_input.store(true, Ordering::Relaxed);
    }

    /// Reads once and decodes it; `false` if that was the end.
    fn read(&self, decoder: &mut Decoder, broken: &mut bool, said: &mut Vec<ClientInput>) -> bool {
        let mut piece = [0; READ_BUFFER];
        match self.socket.try_read(&mut piece) {
            Ok(0) => false,
            Ok(count) => {
                decode(&piece[..count], decoder, broken, said);
                true
            }
            Err(error) => is_passing(&error),
        }
    }
}

/// Whether an error of a socket means no more than to try again.
fn is_passing(error: &io::Error) -> bool {
    matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted)
}

fn decode(mut bytes: &[u8], decoder: &mut Decoder, broken: &mut bool, said: &mut Vec<ClientInput>) {
    while !*broken {
        let heard = match decoder.decode(&mut bytes) {
            Ok(None) => return,
            Ok(Some(Message::Text(text))) => ClientInput::Text(text),
            // Some clients send their text in binary frames.
            Ok(Some(Message::Binary(bytes))) => {
                String::from_utf8(bytes).map_or(ClientInput::Binary, ClientInput::Text)
            }
            Ok(Some(Message::Ping(payload))) => ClientInput::Ping(payload),
            Ok(Some(Message::Pong)) => continue,
            Ok(Some(Message::Close(code))) => {
                *broken = true;
                ClientInput::Close(code)
            }
            Err(fault) => {
                *broken = true;
                ClientInput::Broken(fault)
            }
        };
        said.push(heard);
    }
}

/// How far a client has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ClientState {
    /// It has until then to authenticate.
    Unauthenticated { until: Moment },
    /// It may have what it asks for.
    Authenticated,
    /// It has been told to go, and is thrown out then.
    Closing { until: Moment },
}

/// What came of writing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum WriteOutcome {
    /// The kernel has all of it.
    All,
    /// The rest is kept until the socket has room.
    Some,
    /// Too much is kept already.
    Full,
    /// Nobody is there.
    Gone,
}

/// What may wait for one client behind what its socket did not take, in bytes: answers to
/// requests that it sends without reading. (Of values nothing waits but what was half written.)
const BACKLOG_LIMIT: usize = 256 << 10;

/// One client, as the fan-out knows it.
#[derive(Debug)]
pub(crate) struct Client {
    pub(crate) client_id: ClientId,
    pub(crate) socket_state: Arc<ClientSocket>,
    pub(crate) device: Option<Device>,
    pub(crate) state: ClientState,
    /// When it was last asked whether it is there, and how often without an answer.
    pub(crate) asked: Moment,
    pub(crate) unanswered: u8,
    /// What the kernel has not taken yet; frames are never mixed, so what follows waits too.
    rest: Vec<u8>,
    /// How much of that came after the socket was full.
    behind: usize,
    task: AbortHandle,
}

impl Drop for Client {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Client {
    pub(crate) fn new(
        client_id: ClientId,
        socket_state: Arc<ClientSocket>,
        device: Option<Device>,
        state: ClientState,
        task: AbortHandle,
    ) -> Self {
        Self {
            client_id,
            asked: socket_state.heard(),
            socket_state,
            device,
            state,
            unanswered: 0,
            rest: Vec::new(),
            behind: 0,
            task,
        }
    }

    /// Writes whole frames, or keeps what does not fit.
    pub(crate) fn write(&mut self, mut bytes: &[u8]) -> WriteOutcome {
        if self.rest.is_empty() {
            match self.push(bytes) {
                Ok(count) => bytes = &bytes[count..],
                Err(_) => return WriteOutcome::Gone,
            }
            if bytes.is_empty() {
                return WriteOutcome::All;
            }
            self.socket_state.wait_for_room();
        } else {
            self.behind += bytes.len();
            if self.behind > BACKLOG_LIMIT && !matches!(self.state, ClientState::Closing { .. }) {
                return WriteOutcome::Full;
            }
        }
        self.rest.extend_from_slice(bytes);
        WriteOutcome::Some
    }

    /// Goes on with what is kept.
    pub(crate) fn resume(&mut self) -> WriteOutcome {
        match self.push(&self.rest) {
            Ok(count) if count == self.rest.len() => {
                self.rest = Vec::new();
                self.behind = 0;
                WriteOutcome::All
            }
            Ok(count) => {
                self.rest.drain(..count);
                self.socket_state.wait_for_room();
                WriteOutcome::Some
            }
            Err(_) => WriteOutcome::Gone,
        }
    }

    /// Whether something is kept.
    pub(crate) const fn is_behind(&self) -> bool {
        !self.rest.is_empty()
    }

    /// Writes until the kernel takes no more.
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

/// Listens to a client until it is gone. The fan-out ends this task when it is done with it.
pub(crate) async fn listen(
    client_id: ClientId,
    socket_state: Arc<ClientSocket>,
    read_ahead: Bytes,
    limit: usize,
    clock: Clock,
    input_sender: mpsc::Sender<(ClientId, ClientInput)>,
) {
    let mut decoder = Decoder::new(limit);
    let mut broken = false;
    let mut said = Vec::new();
    decode(&read_ahead, &mut decoder, &mut broken, &mut said);
    drop(read_ahead);
    let mut waiting = false;
    let mut open = true;
    loop {
        let ignoring_input = socket_state.ignoring_input.load(Ordering::Relaxed);
        for said in std::mem::take(&mut said) {
            if ignoring_input && !matches!(said, ClientInput::Close(_) | ClientInput::Writable) {
                continue;
            }
            // An error means that the fan-out has ended, and this client with it.
            if input_sender.send((client_id, said)).await.is_err() {
                return;
            }
        }
        if !open {
            input_sender.send((client_id, ClientInput::Gone)).await.ok();
            return;
        }
        let interest = if waiting {
            Interest::READABLE | Interest::WRITABLE
        } else {
            Interest::READABLE
        };
        tokio::select! {
            ready = socket_state.socket.ready(interest) => {
                let Ok(ready) = ready else {
                    open = false;
                    continue;
                };
                if waiting && ready.is_writable() {
                    waiting = false;
                    said.push(ClientInput::Writable);
                }
                if ready.is_readable() || ready.is_read_closed() {
                    socket_state.heard.store(clock.now().monotonic.as_millis(), Ordering::Relaxed);
                    open = socket_state.read(&mut decoder, &mut broken, &mut said);
                }
            }
            () = socket_state.blocked.notified(), if !waiting => waiting = true,
        }
    }
}
