//! The HTTP/1.1 client (RFC 9110, RFC 9112): one GET, with the content verified against its `Content-Digest`.

use alloc::format;
use alloc::vec::Vec;
use core::net::SocketAddr;

use sha2::{Digest, Sha256};
use smoltcp::iface::SocketHandle;
use smoltcp::socket::tcp::Socket;

use crate::event::{HttpFault, TaskError};
use crate::http::{MAX_FIELDS, parse_digest_field};
use crate::options::TcpOptions;
use crate::stack::{Stack, TCP_BUFFER};
use crate::tcp::{Outbox, Outcome, receive_up_to};

/// Maximum length of a response's head (status line and fields), in bytes.
const MAX_HEAD: usize = 16 * 1024;
/// Buffer space for a request without its target, in bytes.
const REQUEST_ROOM: u64 = 1024;

/// The client side of a GET.
pub(crate) struct Get {
    request: Outbox,
    head: Vec<u8>,
    body: Option<Expected>,
    hash: Sha256,
    received: u64,
}

/// The content that the head of a response announces.
#[derive(Clone, Copy)]
struct Expected {
    /// Length of the head, in bytes.
    head_len: usize,
    status: u16,
    len: u64,
    sha256: [u8; 32],
}

impl Get {
    /// Opens the connection of a GET. `path` must have passed [`check_path`](crate::http::check_path).
    pub(crate) fn start(
        from: SocketAddr,
        path: &str,
        options: &TcpOptions,
        stack: &mut Stack,
    ) -> Result<(SocketHandle, Self), TaskError> {
        let request_room = path.len() as u64 + REQUEST_ROOM;
        let socket = stack.connect(from, TCP_BUFFER as u64, request_room, options)?;
        let request = format!(
            "GET {path} HTTP/1.1\r\nHost: {from}\r\nUser-Agent: sandhog-netstack\r\nConnection: close\r\n\r\n"
        );
        let get = Self {
            request: Outbox::new(request.into_bytes()),
            head: Vec::new(),
            body: None,
            hash: Sha256::new(),
            received: 0,
        };
        Ok((socket, get))
    }

    /// Does everything that is possible now, and reads at most `room` bytes.
    pub(crate) fn step(
        &mut self,
        socket: &mut Socket<'_>,
        room: &mut u64,
    ) -> Result<Option<Outcome>, TaskError> {
        self.request.send(socket);
        if self.body.is_none() && !self.receive_head(socket, room)? {
            return Ok(None);
        }
        let Some(expected) = self.body else {
            return Ok(None);
        };
        receive_up_to(socket, room, |data| self.take(data, expected.len));
        if self.received < expected.len {
            return Ok(None);
        }
        let computed: [u8; 32] = self.hash.finalize_reset().into();
        if computed != expected.sha256 {
            return Err(TaskError::DigestMismatch {
                announced: expected.sha256,
                computed,
            });
        }
        if expected.status != 200 {
            return Err(TaskError::HttpStatus(expected.status));
        }
        Ok(Some(Outcome {
            bytes: expected.len,
            sha256: computed,
        }))
    }

    pub(crate) fn received(&self) -> u64 {
        self.received
    }

    /// Returns true once the socket has taken the whole request.
    pub(crate) fn has_sent_all(&self) -> bool {
        self.request.is_sent()
    }

    /// Reads until the head is complete. Returns true once it is. Bytes after the head are consumed as body.
    fn receive_head(&mut self, socket: &mut Socket<'_>, room: &mut u64) -> Result<bool, TaskError> {
        receive_up_to(socket, room, |data| {
            let len = data.len().min(MAX_HEAD - self.head.len());
            self.head.extend_from_slice(&data[..len]);
            len
        });
        self.body = parse_head(&self.head).map_err(TaskError::BadResponse)?;
        if let Some(expected) = self.body {
            let head = core::mem::take(&mut self.head);
            self.take(&head[expected.head_len..], expected.len);
        }
        Ok(self.body.is_some())
    }

    /// Consumes the start of `data` up to the end of a body of `len` bytes. Returns the number of bytes consumed.
    fn take(&mut self, data: &[u8], len: u64) -> usize {
        let left = len - self.received;
        let taken = usize::try_from(left).map_or(data.len(), |left| left.min(data.len()));
        self.hash.update(&data[..taken]);
        self.received += taken as u64;
        taken
    }
}

/// Parses the head of a response. `None` until the head is complete.
fn parse_head(bytes: &[u8]) -> Result<Option<Expected>, HttpFault> {
    let mut fields = [httparse::EMPTY_HEADER; MAX_FIELDS];
    let mut response = httparse::Response::new(&mut fields);
    let head_len = match response.parse(bytes) {
        Ok(httparse::Status::Complete(head_len)) => head_len,
        Ok(httparse::Status::Partial) if bytes.len() < MAX_HEAD => return Ok(None),
        Ok(httparse::Status::Partial) => return Err(HttpFault::HeadTooLong),
        Err(_) => return Err(HttpFault::Malformed),
    };
    let field = |name: &str| {
        let found = response
            .headers
            .iter()
            .find(|field| field.name.eq_ignore_ascii_case(name));
        found.map(|field| field.value)
    };
    if field("Transfer-Encoding").is_some() {
        return Err(HttpFault::NoLength);
    }
    let len = field("Content-Length")
        // `u64::from_str` would accept a sign.
        .filter(|value| value.iter().all(u8::is_ascii_digit))
        .and_then(|value| core::str::from_utf8(value).ok()?.parse().ok())
        .ok_or(HttpFault::NoLength)?;
    let sha256 = field("Content-Digest")
        .and_then(parse_digest_field)
        .ok_or(HttpFault::NoDigest)?;
    Ok(Some(Expected {
        head_len,
        status: response.code.ok_or(HttpFault::Malformed)?,
        len,
        sha256,
    }))
}
