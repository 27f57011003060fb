//! The client side of a TCP task: its connection, from the first SYN to the result.

use core::time::Duration;

use smoltcp::iface::SocketHandle;
use smoltcp::socket::tcp::{Socket, State};

use crate::bulk::{Download, Upload};
use crate::event::{EventKind, Summary, TaskError};
use crate::http_client::Get;
use crate::stack::Stack;
use crate::tcp::Outcome;

/// The cause of a close, told apart by the moment at which a socket is found closed.
///
/// smoltcp does not report the cause. A reset comes with a packet, and smoltcp's timeout takes effect when a socket sends.
#[derive(Clone, Copy)]
pub(crate) enum Ended {
    /// The stack has just processed a packet.
    ByPacket,
    /// The stack has just polled the sockets for packets to send.
    ByTimeout,
}

/// The protocol on a client's connection.
pub(crate) enum Conversation {
    Download(Download),
    Upload(Upload),
    Get(Get),
}

/// A client's TCP connection with its conversation.
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

    /// Does everything that is possible now. After a result the socket is closing or aborted, and the caller removes it
    /// once the connection is over.
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
