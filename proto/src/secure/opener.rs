//! The receiving half of a session's data path: a key, an index and the replay window.
//!
//! It shares nothing with the state machine, so that a shell can open on as many threads as it likes; only the
//! window is behind a lock, and never while anything is decrypted.

use core::error::Error;
use core::fmt;
use core::sync::atomic::{AtomicU64, Ordering};

use spin::Mutex;

use super::Code;
use super::frame::{open, session_header};
use super::message::trimmed;
use super::window::{Accepted, Window};
use crate::PacketBuf;
use crate::aead::{Aead, DefaultAead, KEY_LEN};

/// How many datagrams may fail to open before the key is given up: each is an attempt at forging one
/// (RFC 9001, section 6.6, has this number for the same cipher).
pub const MAX_FAILED_OPENS: u64 = 1 << 36;

/// Opens the datagrams of one session, epoch and direction, in place and without allocating.
///
/// Threads may share it. Each datagram is given out once, whatever order and however often it comes.
pub struct Opener<A = DefaultAead> {
    aead: A,
    index: u32,
    window: Mutex<Window>,
    failed: AtomicU64,
}

/// A datagram that was authentic and new.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Opened {
    /// Its counter.
    pub counter: u64,
    /// Whether that is above every earlier one.
    pub newest: bool,
    /// What the buffer holds now.
    pub body: Body,
}

/// What a session datagram carries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Body {
    /// An IP packet, without padding.
    Packet,
    /// A JSON message, without padding.
    Message,
}

impl<A: Aead> Opener<A> {
    /// An opener under `key` for the session that this side calls `index` (not 0).
    #[must_use]
    pub fn new(key: &[u8; KEY_LEN], index: u32) -> Self {
        Self::with_failures(key, index, 0)
    }

    /// The same after `failed` datagrams that did not open: for tests of what happens at the limit.
    #[doc(hidden)]
    #[must_use]
    pub fn with_failures(key: &[u8; KEY_LEN], index: u32, failed: u64) -> Self {
        Self {
            aead: A::new(key),
            index,
            window: Mutex::new(Window::new()),
            failed: AtomicU64::new(failed),
        }
    }

    /// The index that datagrams for this opener carry.
    #[must_use]
    pub const fn index(&self) -> u32 {
        self.index
    }

    /// Opens the datagram in `buf`: afterwards `buf` is its body, padding cut off.
    ///
    /// # Errors
    ///
    /// [`OpenError`]; the bytes in `buf` are unspecified then. Only an authentic datagram moves the window.
    pub fn open(&self, buf: &mut PacketBuf) -> Result<Opened, OpenError> {
        let (index, counter) = session_header(buf).ok_or(OpenError::Malformed)?;
        if index != self.index {
            return Err(OpenError::WrongIndex);
        }
        if self.failed.load(Ordering::Relaxed) >= MAX_FAILED_OPENS {
            return Err(OpenError::Exhausted);
        }
        if !self.window.lock().check(counter) {
            return Err(OpenError::Replayed);
        }
        if !open(&self.aead, Code::Session, buf) {
            // At the limit nothing is opened any more, so that it cannot wrap.
            self.failed.fetch_add(1, Ordering::Relaxed);
            return Err(OpenError::AuthenticationFailed);
        }
        // Another thread may have opened a copy of it in the meantime: only here it is decided.
        let newest = match self.window.lock().accept(counter) {
            Accepted::Newest => true,
            Accepted::Late => false,
            Accepted::Refused => return Err(OpenError::Replayed),
        };
        let (body, len) = body(buf).ok_or(OpenError::NotIp)?;
        buf.truncate(len);
        Ok(Opened {
            counter,
            newest,
            body,
        })
    }
}

/// What `plaintext` is, and how long without padding. IPv4: RFC 791, section 3.1; IPv6: RFC 8200, section 3.
///
/// `None` if it is neither, or says of itself that it is shorter than its header or longer than what came.
fn body(plaintext: &[u8]) -> Option<(Body, usize)> {
    let first = *plaintext.first()?;
    if first == b'{' {
        return Some((Body::Message, trimmed(plaintext).len()));
    }
    let (len, header_len) = match first >> 4 {
        4 => {
            let [_, _, high, low, ..] = plaintext.first_chunk::<20>()?;
            (usize::from(u16::from_be_bytes([*high, *low])), 20)
        }
        6 => {
            let [_, _, _, _, high, low, ..] = plaintext.first_chunk::<40>()?;
            let payload_len = usize::from(u16::from_be_bytes([*high, *low]));
            (payload_len.saturating_add(40), 40)
        }
        _ => return None,
    };
    (header_len..=plaintext.len())
        .contains(&len)
        .then_some((Body::Packet, len))
}

/// Never shows the key.
impl<A> fmt::Debug for Opener<A> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Opener")
            .field("index", &self.index)
            .field("failed", &self.failed.load(Ordering::Relaxed))
            .finish_non_exhaustive()
    }
}

/// Why a datagram was not opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OpenError {
    /// No session datagram: another code, shorter than 29 bytes, or an index of 0.
    Malformed,
    /// For another session.
    WrongIndex,
    /// Its counter was seen before, is too old, or is none that a sender may use.
    Replayed,
    /// The tag does not fit: another key, or changed on the way.
    AuthenticationFailed,
    /// [`MAX_FAILED_OPENS`] datagrams did not open: the key opens nothing any more.
    Exhausted,
    /// Authentic, but neither an IP packet nor a message. Its counter is used up.
    NotIp,
}

impl fmt::Display for OpenError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Malformed => "not a session datagram",
            Self::WrongIndex => "for another session",
            Self::Replayed => "seen before, or too old",
            Self::AuthenticationFailed => "authentication failed",
            Self::Exhausted => "too many datagrams under this key did not open",
            Self::NotIp => "neither an IP packet nor a message",
        })
    }
}

impl Error for OpenError {}
