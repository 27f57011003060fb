//! What all TCP conversations share: the life of a client's connection, and moving bytes in and out of a socket.

use alloc::vec::Vec;
use core::time::Duration;

use smoltcp::iface::SocketHandle;
use smoltcp::socket::tcp::{Socket, State};

use crate::bulk::{Download, Upload};
use crate::event::{EventKind, Summary, TaskError};
use crate::http_client::Get;
use crate::stack::Stack;

/// What a connection that is found closed was closed by. smoltcp does not say, but a reset comes with a packet, and its
/// timeout strikes when it sends.
#[derive(Clone, Copy)]
pub(crate) enum Ended {
    /// A packet has just been processed.
    ByPacket,
    /// The sockets have just been asked what they have to send.
    ByTimeout,
}

/// What a conversation was about, once it is over.
pub(crate) struct Outcome {
    pub(crate) bytes: u64,
    pub(crate) sha256: [u8; 32],
}

/// The conversation of a client.
pub(crate) enum Conversation {
    Download(Download),
    Upload(Upload),
    Get(Get),
}

/// A client's TCP connection and what it is for.
pub(crate) struct Client {
    pub(crate) socket: SocketHandle,
    conversation: Conversation,
    started: Duration,
    connected: bool,
}

impl Client {
    pub(crate) fn new(started: Duration, socket: SocketHandle, conversation: Conversation) -> Self {
        Self {
            socket,
            conversation,
            started,
            connected: false,
        }
    }

    /// Does all that can be done now. After a result the socket is closed or aborted, and has yet to be seen off.
    pub(crate) fn step(
        &mut self,
        now: Duration,
        stack: &mut Stack,
        ended: Ended,
        emit: &mut dyn FnMut(EventKind),
    ) -> Option<Result<Summary, TaskError>> {
        let socket = stack.tcp(self.socket);
        let result = self.advance(socket, ended, emit).transpose()?;
        match result {
            Ok(_) => socket.close(),
            Err(_) => socket.abort(),
        }
        Some(result.map(|outcome| Summary {
            bytes: outcome.bytes,
            sha256: Some(outcome.sha256),
            elapsed: now.saturating_sub(self.started),
            sent: 0,
            received: 0,
        }))
    }

    fn advance(
        &mut self,
        socket: &mut Socket<'_>,
        ended: Ended,
        emit: &mut dyn FnMut(EventKind),
    ) -> Result<Option<Outcome>, TaskError> {
        if !self.connected {
            match (socket.state(), ended) {
                (State::SynSent | State::SynReceived, _) => return Ok(None),
                (State::Closed, Ended::ByPacket) => return Err(TaskError::Refused),
                (State::Closed, Ended::ByTimeout) => return Err(TaskError::TimedOut),
                _ => {}
            }
            self.connected = true;
            emit(EventKind::Connected);
        }
        let (outcome, received) = match &mut self.conversation {
            Conversation::Download(download) => (download.step(socket)?, download.received()),
            Conversation::Upload(upload) => (upload.step(socket)?, 0),
            Conversation::Get(get) => (get.step(socket)?, get.received()),
        };
        match (outcome, socket.state(), ended) {
            (Some(outcome), ..) => Ok(Some(outcome)),
            (None, State::Closed, Ended::ByPacket) => Err(TaskError::Reset),
            (None, State::Closed, Ended::ByTimeout) => Err(TaskError::TimedOut),
            (None, ..) if !socket.may_recv() => Err(TaskError::ClosedEarly { received }),
            (None, ..) => Ok(None),
        }
    }
}

/// A short message on its way into a socket.
pub(crate) struct Outbox {
    bytes: Vec<u8>,
    sent: usize,
}

impl Outbox {
    pub(crate) fn new(bytes: Vec<u8>) -> Self {
        Self { bytes, sent: 0 }
    }

    /// Sends as much as the socket takes; `true` once it has taken all.
    pub(crate) fn send(&mut self, socket: &mut Socket<'_>) -> bool {
        send(socket, |room| {
            let rest = &self.bytes[self.sent..];
            let len = rest.len().min(room.len());
            room[..len].copy_from_slice(&rest[..len]);
            self.sent += len;
            len
        });
        self.sent == self.bytes.len()
    }
}

/// A message of a fixed length on its way out of a socket.
pub(crate) struct Inbox<const LEN: usize> {
    bytes: [u8; LEN],
    len: usize,
}

impl<const LEN: usize> Inbox<LEN> {
    pub(crate) fn new() -> Self {
        Self {
            bytes: [0; LEN],
            len: 0,
        }
    }

    /// The message, once it has come.
    pub(crate) fn receive(&mut self, socket: &mut Socket<'_>) -> Option<&[u8; LEN]> {
        receive(socket, |data| {
            let len = data.len().min(LEN - self.len);
            self.bytes[self.len..self.len + len].copy_from_slice(&data[..len]);
            self.len += len;
            len
        });
        (self.len == LEN).then_some(&self.bytes)
    }
}

/// Lets `fill` write into the socket's send buffer until either has enough. `fill` returns how much it wrote.
pub(crate) fn send(socket: &mut Socket<'_>, mut fill: impl FnMut(&mut [u8]) -> usize) {
    while socket.can_send() {
        let filled = socket.send(|room| {
            let len = fill(room);
            (len, len)
        });
        if filled.unwrap_or(0) == 0 {
            return;
        }
    }
}

/// Lets `take` read from the socket's receive buffer until either has enough. `take` returns how much it took.
pub(crate) fn receive(socket: &mut Socket<'_>, mut take: impl FnMut(&[u8]) -> usize) {
    while socket.can_recv() {
        let taken = socket.recv(|data| {
            let len = take(data);
            (len, len)
        });
        if taken.unwrap_or(0) == 0 {
            return;
        }
    }
}
