//! The client side of a TCP task: its connection, from the first SYN to the result.

use core::time::Duration;

use smoltcp::iface::SocketHandle;
use smoltcp::socket::tcp::{Socket, State};

use crate::bulk::{Download, Upload};
use crate::event::{EventKind, Summary, TaskError};
use crate::http_client::Get;
use crate::options::{Pace, TcpOptions};
use crate::stack::{Stack, net_duration};
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

impl Conversation {
    /// Number of content bytes that have arrived: at the client, or acknowledged by the server.
    fn transferred(&self, socket: &Socket<'_>) -> u64 {
        match self {
            Self::Download(download) => download.received(),
            Self::Upload(upload) => upload.acknowledged(socket),
            Self::Get(get) => get.received(),
        }
    }

    /// Returns true once the socket has taken everything that the client sends.
    fn has_sent_all(&self) -> bool {
        match self {
            Self::Download(download) => download.has_sent_all(),
            Self::Upload(upload) => upload.has_sent_all(),
            Self::Get(get) => get.has_sent_all(),
        }
    }
}

/// The end of a conversation.
enum End {
    /// Everything has arrived, and its SHA-256 is correct.
    Complete(Outcome),
    /// The client aborts the connection after this number of content bytes.
    Abort { bytes: u64 },
}

/// A client's TCP connection with its conversation.
pub(crate) struct Client {
    pub(crate) socket: SocketHandle,
    conversation: Conversation,
    started: Duration,
    connected: bool,
    options: TcpOptions,
    timeout: Duration,
    /// The reads of a slow reader, from the time at which the connection is established.
    pace: Option<Pace>,
    /// The time at which a slow reader reads again. `None` if nothing waits for it.
    next_read: Option<Duration>,
}

impl Client {
    pub(crate) fn new(
        started: Duration,
        socket: SocketHandle,
        conversation: Conversation,
        options: TcpOptions,
        timeout: Duration,
    ) -> Self {
        Self {
            socket,
            conversation,
            started,
            connected: false,
            options,
            timeout,
            pace: None,
            next_read: None,
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
        let result = self.advance(now, socket, ended, emit).transpose()?;
        match result {
            Ok(End::Complete(_)) => socket.close(),
            Ok(End::Abort { .. }) | Err(_) => socket.abort(),
        }
        Some(result.map(|end| {
            let (bytes, sha256) = match end {
                End::Complete(outcome) => (outcome.bytes, Some(outcome.sha256)),
                End::Abort { bytes } => (bytes, None),
            };
            Summary {
                bytes,
                sha256,
                elapsed: now.saturating_sub(self.started),
                sent: 0,
                received: 0,
            }
        }))
    }

    /// The time at which a slow reader reads again.
    pub(crate) fn deadline(&self) -> Option<Duration> {
        self.next_read
    }

    fn advance(
        &mut self,
        now: Duration,
        socket: &mut Socket<'_>,
        ended: Ended,
        emit: &mut dyn FnMut(EventKind),
    ) -> Result<Option<End>, TaskError> {
        let timed_out = TaskError::TimedOut { after: self.timeout };
        if !self.connected {
            match (socket.state(), ended) {
                (State::SynSent | State::SynReceived, _) => return Ok(None),
                (State::Closed, Ended::ByPacket) => return Err(TaskError::Refused),
                (State::Closed, Ended::ByTimeout) => return Err(timed_out),
                _ => {}
            }
            self.connected = true;
            self.pace = self.options.read_rate.map(|rate| Pace::new(rate, now));
            emit(EventKind::Connected);
        }
        let outcome = self.converse(now, socket)?;
        let bytes = self.conversation.transferred(socket);
        if self.options.reset_after.is_some_and(|limit| bytes >= limit) && socket.state() != State::Closed {
            return Ok(Some(End::Abort { bytes }));
        }
        if self.options.half_close && self.conversation.has_sent_all() {
            socket.close();
        }
        match (outcome, socket.state(), ended) {
            (Some(outcome), ..) => Ok(Some(End::Complete(outcome))),
            (None, State::Closed, Ended::ByPacket) => Err(TaskError::Reset),
            (None, State::Closed, Ended::ByTimeout) => Err(timed_out),
            (None, ..) if !socket.may_recv() => {
                let received = match self.conversation {
                    Conversation::Upload(_) => 0,
                    _ => bytes,
                };
                Err(TaskError::ClosedEarly { received })
            }
            (None, ..) => Ok(None),
        }
    }

    /// Sends and reads what is possible now.
    fn converse(&mut self, now: Duration, socket: &mut Socket<'_>) -> Result<Option<Outcome>, TaskError> {
        let allowance = self.pace.as_ref().map_or(u64::MAX, |pace| pace.allowance(now));
        let mut room = allowance;
        let outcome = match &mut self.conversation {
            Conversation::Download(download) => download.step(socket, &mut room),
            Conversation::Upload(upload) => upload.step(socket),
            Conversation::Get(get) => get.step(socket, &mut room),
        };
        self.next_read = None;
        if let Some(pace) = &mut self.pace {
            pace.take(allowance - room);
            self.next_read = socket.can_recv().then(|| pace.next_read(now));
            // While data waits for the reader, it is not the server that is silent.
            socket.set_timeout(match self.next_read {
                Some(_) => None,
                None => Some(net_duration(self.timeout)),
            });
        }
        outcome
    }
}
