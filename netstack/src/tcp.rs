//! Byte transfer between TCP sockets and the protocols above them, shared by clients and servers.

use alloc::vec::Vec;

use smoltcp::socket::tcp::Socket;

/// The result of one step of a server's connection.
pub(crate) enum Progress {
    /// The conversation continues.
    Open,
    /// Everything has been sent. The connection can be closed in order.
    Done,
    /// The client broke the protocol or closed too early. The connection is reset.
    Broken,
}

/// The result of a client's conversation.
pub(crate) struct Outcome {
    pub(crate) bytes: u64,
    pub(crate) sha256: [u8; 32],
}

/// A short message that is being written into a socket.
pub(crate) struct Outbox {
    bytes: Vec<u8>,
    sent: usize,
}

impl Outbox {
    pub(crate) fn new(bytes: Vec<u8>) -> Self {
        Self { bytes, sent: 0 }
    }

    /// Sends as much as the socket takes. Returns true once the socket has taken everything.
    pub(crate) fn send(&mut self, socket: &mut Socket<'_>) -> bool {
        send(socket, |room| {
            let rest = &self.bytes[self.sent..];
            let len = rest.len().min(room.len());
            room[..len].copy_from_slice(&rest[..len]);
            self.sent += len;
            len
        });
        self.is_sent()
    }

    /// Returns true once the socket has taken everything.
    pub(crate) fn is_sent(&self) -> bool {
        self.sent == self.bytes.len()
    }
}

/// A message of fixed length that is being read from a socket.
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

    /// Reads from the socket. Returns the message once it is complete.
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

/// Lets `fill` write into the socket's send buffer until the buffer is full or `fill` writes nothing.
/// `fill` returns the number of bytes that it wrote.
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

/// Lets `take` read from the socket's receive buffer until the buffer is empty or `take` reads nothing.
/// `take` returns the number of bytes that it read.
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

/// The same as [`receive`], for at most `room` bytes. Subtracts the number of bytes from `room`.
pub(crate) fn receive_up_to(socket: &mut Socket<'_>, room: &mut u64, mut take: impl FnMut(&[u8]) -> usize) {
    receive(socket, |data| {
        let len = usize::try_from(*room).map_or(data.len(), |room| room.min(data.len()));
        let taken = take(&data[..len]);
        *room -= taken as u64;
        taken
    });
}
