//! The HTTP/1.1 server (RFC 9110, RFC 9112): GET of fixed files, one request per connection.

use alloc::borrow::Cow;
use alloc::collections::BTreeMap;
use alloc::format;
use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec::Vec;

use smoltcp::socket::tcp::Socket;

use crate::describe::Description;
use crate::http::{MAX_FIELDS, digest_field, sha256};
use crate::tcp::{Outbox, Progress, receive, send};

/// Maximum length of a request, in bytes.
const MAX_REQUEST: usize = 8 * 1024;
/// Space in the send buffer for the head of a response, in bytes.
const HEAD_ROOM: u64 = 1024;

/// The body of a response, shared by all connections that send it.
type Body = Arc<Cow<'static, [u8]>>;

/// The files of a server, by request target.
pub(crate) struct Files(BTreeMap<String, Body>);

impl Files {
    /// Maps request targets to files. A name without a leading `/` gets one.
    pub(crate) fn new(files: BTreeMap<String, Cow<'static, [u8]>>) -> Self {
        let target = |name: String| {
            if name.starts_with('/') {
                name
            } else {
                format!("/{name}")
            }
        };
        Self(
            files
                .into_iter()
                .map(|(name, body)| (target(name), Arc::new(body)))
                .collect(),
        )
    }

    /// Sizes of the receive and send buffers in bytes. With them, any response can be sent at full speed.
    pub(crate) fn buffers(&self) -> (u64, u64) {
        let longest = self.0.values().map(|body| body.len() as u64).max().unwrap_or(0);
        (MAX_REQUEST as u64, longest.saturating_add(HEAD_ROOM))
    }

    /// Describes names and lengths of the files. Their content does not change.
    pub(crate) fn describe(&self, to: &mut Description<'_>) {
        let Self(files) = self;
        to.len(files.len());
        for (name, body) in files {
            to.text(name);
            to.len(body.len());
        }
    }
}

/// The server side of one connection.
pub(crate) enum Server {
    Request(Vec<u8>),
    Response { head: Outbox, body: Body, sent: usize },
}

impl Server {
    pub(crate) fn new() -> Self {
        Self::Request(Vec::new())
    }

    /// Does everything that is possible now on an established connection.
    pub(crate) fn step(&mut self, socket: &mut Socket<'_>, files: &Files) -> Progress {
        if let Self::Request(request) = self {
            receive(socket, |data| {
                let len = data.len().min(MAX_REQUEST - request.len());
                request.extend_from_slice(&data[..len]);
                len
            });
            match respond(request, files) {
                Some((head, body)) => {
                    *self = Self::Response {
                        head: Outbox::new(head),
                        body,
                        sent: 0,
                    }
                }
                None if socket.may_recv() => return Progress::Open,
                None => return Progress::Broken,
            }
        }
        if let Self::Response { head, body, sent } = self
            && head.send(socket)
        {
            send(socket, |room| {
                let rest = &body[*sent..];
                let len = rest.len().min(room.len());
                room[..len].copy_from_slice(&rest[..len]);
                *sent += len;
                len
            });
            if *sent == body.len() {
                return Progress::Done;
            }
        }
        Progress::Open
    }
}

/// Head and body of the response. `None` until the request is complete or known to be invalid.
fn respond(request: &[u8], files: &Files) -> Option<(Vec<u8>, Body)> {
    let mut fields = [httparse::EMPTY_HEADER; MAX_FIELDS];
    let mut parsed = httparse::Request::new(&mut fields);
    let text = |text: &'static str| Arc::new(Cow::Borrowed(text.as_bytes()));
    let (status, body) = match parsed.parse(request) {
        Ok(httparse::Status::Partial) if request.len() < MAX_REQUEST => return None,
        Ok(httparse::Status::Partial) => ("431 Request Header Fields Too Large", text("request too long\n")),
        Ok(httparse::Status::Complete(_)) if parsed.method != Some("GET") => {
            ("405 Method Not Allowed", text("only GET is allowed\n"))
        }
        Ok(httparse::Status::Complete(_)) => match files.0.get(parsed.path.unwrap_or_default()) {
            Some(body) => ("200 OK", body.clone()),
            None => ("404 Not Found", text("no such file\n")),
        },
        Err(_) => ("400 Bad Request", text("not an HTTP/1.1 request\n")),
    };
    // A response to HEAD has the fields but no content (RFC 9110, 9.3.2).
    let content = if parsed.method == Some("HEAD") {
        text("")
    } else {
        body.clone()
    };
    let allow = if status.starts_with("405") {
        "Allow: GET\r\n"
    } else {
        ""
    };
    let head = format!(
        "HTTP/1.1 {status}\r\n{allow}Content-Length: {}\r\nContent-Digest: {}\r\nConnection: close\r\n\r\n",
        body.len(),
        // The digest covers the content that is sent (RFC 9530, section 2). For HEAD that is empty.
        digest_field(&sha256(&content)),
    );
    Some((head.into_bytes(), content))
}
