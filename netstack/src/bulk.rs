//! The bulk transfer protocol: content over TCP in one direction, verified by its SHA-256.
//!
//! The client opens with a request of 21 bytes: `BLK1`, one byte `D` (download) or `U` (upload), a `u64` content seed,
//! a `u64` length in bytes. Integers are big-endian.
//!
//! - Download: the server sends the content, generated from that seed, and its SHA-256 (32 bytes). Then it closes.
//! - Upload: the client sends the content and its SHA-256. The server replies with a report of 40 bytes: the received
//!   length as `u64`, and the SHA-256 that it computed itself. Then it closes.

use alloc::vec::Vec;
use core::net::SocketAddr;

use smoltcp::iface::SocketHandle;
use smoltcp::socket::tcp::Socket;

use crate::content::{Content, Sink, Source};
use crate::event::TaskError;
use crate::options::TcpOptions;
use crate::stack::Stack;
use crate::tcp::{Inbox, Outbox, Outcome, Progress, receive, receive_up_to, send};

const MAGIC: [u8; 4] = *b"BLK1";
const DOWNLOAD: u8 = b'D';
const UPLOAD: u8 = b'U';
/// Magic, direction, seed, length.
const REQUEST_LEN: usize = 21;
/// Length and SHA-256.
const REPORT_LEN: usize = 40;
/// Buffer space beyond the content, in bytes: for the request or the report, and for the SHA-256.
const OVERHEAD: u64 = 64;
/// Buffer space for a direction without content, in bytes.
const SMALL: u64 = 4096;

fn request(direction: u8, seed: u64, bytes: u64) -> Vec<u8> {
    let mut request = Vec::with_capacity(REQUEST_LEN);
    request.extend_from_slice(&MAGIC);
    request.push(direction);
    request.extend_from_slice(&seed.to_be_bytes());
    request.extend_from_slice(&bytes.to_be_bytes());
    request
}

/// The client side of a download.
pub(crate) struct Download {
    request: Outbox,
    sink: Sink,
}

impl Download {
    /// Opens the connection of a download.
    pub(crate) fn start(
        from: SocketAddr,
        bytes: u64,
        options: &TcpOptions,
        stack: &mut Stack,
    ) -> Result<(SocketHandle, Self), TaskError> {
        let socket = stack.connect(from, bytes.saturating_add(OVERHEAD), SMALL, options)?;
        let download = Self {
            request: Outbox::new(request(DOWNLOAD, stack.random(), bytes)),
            sink: Sink::new(bytes),
        };
        Ok((socket, download))
    }

    /// Does everything that is possible now, and reads at most `room` bytes.
    pub(crate) fn step(
        &mut self,
        socket: &mut Socket<'_>,
        room: &mut u64,
    ) -> Result<Option<Outcome>, TaskError> {
        self.request.send(socket);
        receive_up_to(socket, room, |data| self.sink.take(data));
        match self.sink.finished() {
            None => Ok(None),
            Some(verdict) => compare(verdict.announced, verdict.computed, self.sink.received()).map(Some),
        }
    }

    pub(crate) fn received(&self) -> u64 {
        self.sink.received()
    }

    /// Returns true once the socket has taken the whole request.
    pub(crate) fn has_sent_all(&self) -> bool {
        self.request.is_sent()
    }
}

/// The client side of an upload.
pub(crate) struct Upload {
    request: Outbox,
    source: Source,
    bytes: u64,
    report: Inbox<REPORT_LEN>,
}

impl Upload {
    /// Opens the connection of an upload.
    pub(crate) fn start(
        to: SocketAddr,
        bytes: u64,
        options: &TcpOptions,
        stack: &mut Stack,
    ) -> Result<(SocketHandle, Self), TaskError> {
        let socket = stack.connect(to, SMALL, bytes.saturating_add(OVERHEAD), options)?;
        let seed = stack.random();
        let upload = Self {
            request: Outbox::new(request(UPLOAD, seed, bytes)),
            source: Source::new(Content::new(seed, stack.canary()), bytes),
            bytes,
            report: Inbox::new(),
        };
        Ok((socket, upload))
    }

    pub(crate) fn step(&mut self, socket: &mut Socket<'_>) -> Result<Option<Outcome>, TaskError> {
        if self.request.send(socket) {
            send(socket, |room| self.source.fill(room));
        }
        let Some((announced, report)) = self.source.finished().zip(self.report.receive(socket)) else {
            return Ok(None);
        };
        // The report's length needs no check: content of another length has another hash.
        let [_, _, _, _, _, _, _, _, computed @ ..] = *report;
        compare(announced, computed, self.bytes).map(Some)
    }

    /// Number of content bytes that the server has acknowledged.
    pub(crate) fn acknowledged(&self, socket: &Socket<'_>) -> u64 {
        self.source.written().saturating_sub(socket.send_queue() as u64)
    }

    /// Returns true once the socket has taken the whole content.
    pub(crate) fn has_sent_all(&self) -> bool {
        self.source.finished().is_some()
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

/// The server side of one connection.
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

    /// Does everything that is possible now on an established connection.
    pub(crate) fn step(&mut self, socket: &mut Socket<'_>, canary: &[u8; 16]) -> Progress {
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
                _ => return Progress::Broken,
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
                    Progress::Done
                } else {
                    Progress::Open
                }
            }
            Self::Reporting(report) => {
                if report.send(socket) {
                    Progress::Done
                } else {
                    Progress::Open
                }
            }
            Self::Request(_) | Self::Receiving(_) if socket.may_recv() => Progress::Open,
            Self::Request(_) | Self::Receiving(_) => Progress::Broken,
        }
    }
}
