//! The bulk protocol: a stretch of content over TCP in one direction, checked by its SHA-256.
//!
//! The client opens with a request of 21 bytes: `BLK1`, one byte `D` (download) or `U` (upload), a `u64` content seed,
//! a `u64` length in bytes; integers are big-endian. Then
//!
//! - of a download the server sends the content, made from that seed, and its SHA-256 (32 bytes), and closes;
//! - of an upload the client sends the content and its SHA-256, and the server answers with what it received, the
//!   length as `u64` and the SHA-256 that it computed itself (40 bytes), and closes.

use alloc::vec::Vec;
use core::net::SocketAddr;
use core::time::Duration;

use smoltcp::socket::tcp::Socket;

use crate::content::{Content, Sink, Source};
use crate::event::TaskError;
use crate::service::Served;
use crate::stack::Stack;
use crate::tcp::{Client, Conversation, Inbox, Outbox, Outcome, receive, send};

const MAGIC: [u8; 4] = *b"BLK1";
const DOWNLOAD: u8 = b'D';
const UPLOAD: u8 = b'U';
/// Magic, direction, seed, length.
const REQUEST_LEN: usize = 21;
/// Length and SHA-256.
const REPORT_LEN: usize = 40;
/// Room for request or report and for the SHA-256 after the content, beyond the content itself.
const OVERHEAD: u64 = 64;
/// Room for messages alone.
const SMALL: u64 = 4096;

/// Starts a download.
pub(crate) fn download(
    now: Duration,
    from: SocketAddr,
    bytes: u64,
    stack: &mut Stack,
) -> Result<Client, TaskError> {
    let socket = stack.connect(from, bytes.saturating_add(OVERHEAD), SMALL)?;
    let request = Outbox::new(request(DOWNLOAD, stack.random(), bytes));
    let conversation = Conversation::Download(Download {
        request,
        sink: Sink::new(bytes),
    });
    Ok(Client::new(now, socket, conversation))
}

/// Starts an upload.
pub(crate) fn upload(
    now: Duration,
    to: SocketAddr,
    bytes: u64,
    stack: &mut Stack,
) -> Result<Client, TaskError> {
    let socket = stack.connect(to, SMALL, bytes.saturating_add(OVERHEAD))?;
    let seed = stack.random();
    let source = Source::new(Content::new(seed, stack.canary()), bytes);
    let request = Outbox::new(request(UPLOAD, seed, bytes));
    let conversation = Conversation::Upload(Upload {
        request,
        source,
        bytes,
        report: Inbox::new(),
    });
    Ok(Client::new(now, socket, conversation))
}

fn request(direction: u8, seed: u64, bytes: u64) -> Vec<u8> {
    let mut request = Vec::with_capacity(REQUEST_LEN);
    request.extend_from_slice(&MAGIC);
    request.push(direction);
    request.extend_from_slice(&seed.to_be_bytes());
    request.extend_from_slice(&bytes.to_be_bytes());
    request
}

/// The client's side of a download.
pub(crate) struct Download {
    request: Outbox,
    sink: Sink,
}

impl Download {
    pub(crate) fn step(&mut self, socket: &mut Socket<'_>) -> Result<Option<Outcome>, TaskError> {
        self.request.send(socket);
        receive(socket, |data| self.sink.take(data));
        match self.sink.finished() {
            None => Ok(None),
            Some(verdict) => compare(verdict.announced, verdict.computed, self.sink.received()).map(Some),
        }
    }

    pub(crate) fn received(&self) -> u64 {
        self.sink.received()
    }
}

/// The client's side of an upload.
pub(crate) struct Upload {
    request: Outbox,
    source: Source,
    bytes: u64,
    report: Inbox<REPORT_LEN>,
}

impl Upload {
    pub(crate) fn step(&mut self, socket: &mut Socket<'_>) -> Result<Option<Outcome>, TaskError> {
        if self.request.send(socket) {
            send(socket, |room| self.source.fill(room));
        }
        let Some((announced, report)) = self.source.finished().zip(self.report.receive(socket)) else {
            return Ok(None);
        };
        // The server cannot have come to this hash with another length.
        let [_, _, _, _, _, _, _, _, computed @ ..] = *report;
        compare(announced, computed, self.bytes).map(Some)
    }
}

fn compare(announced: [u8; 32], computed: [u8; 32], bytes: u64) -> Result<Outcome, TaskError> {
    if announced == computed {
        Ok(Outcome {
            bytes,
            sha256: computed,
        })
    } else {
        Err(TaskError::DigestMismatch { announced, computed })
    }
}

/// The server's side of one connection.
pub(crate) enum Server {
    Request(Inbox<REQUEST_LEN>),
    Sending(Source),
    Receiving(Sink),
    Reporting(Outbox),
}

impl Server {
    pub(crate) fn new() -> Self {
        Self::Request(Inbox::new())
    }

    /// Does all that can be done now, on a connection that has been established.
    pub(crate) fn step(&mut self, socket: &mut Socket<'_>, canary: &[u8; 16]) -> Served {
        if let Self::Request(inbox) = self
            && let Some(request) = inbox.receive(socket)
        {
            let [
                m0,
                m1,
                m2,
                m3,
                direction,
                seed @ ..,
                b0,
                b1,
                b2,
                b3,
                b4,
                b5,
                b6,
                b7,
            ] = *request;
            let bytes = u64::from_be_bytes([b0, b1, b2, b3, b4, b5, b6, b7]);
            *self = match ([m0, m1, m2, m3], direction) {
                (MAGIC, DOWNLOAD) => {
                    let content = Content::new(u64::from_be_bytes(seed), canary);
                    Self::Sending(Source::new(content, bytes))
                }
                (MAGIC, UPLOAD) => Self::Receiving(Sink::new(bytes)),
                _ => return Served::Broken,
            };
        }
        if let Self::Receiving(sink) = self {
            receive(socket, |data| sink.take(data));
            if let Some(verdict) = sink.finished() {
                let mut report = sink.received().to_be_bytes().to_vec();
                report.extend_from_slice(&verdict.computed);
                *self = Self::Reporting(Outbox::new(report));
            }
        }
        match self {
            Self::Sending(source) => {
                send(socket, |room| source.fill(room));
                if source.finished().is_some() {
                    Served::Done
                } else {
                    Served::Open
                }
            }
            Self::Reporting(report) => {
                if report.send(socket) {
                    Served::Done
                } else {
                    Served::Open
                }
            }
            Self::Request(_) | Self::Receiving(_) if socket.may_recv() => Served::Open,
            Self::Request(_) | Self::Receiving(_) => Served::Broken,
        }
    }
}
