//! The sending half of a session's data path: a key, an index and a counter that never gives a number twice.
//!
//! It shares nothing with the state machine, so that a shell can seal on as many threads as it likes.

use core::error::Error;
use core::fmt;
use core::sync::atomic::{AtomicU64, Ordering};

use super::Code;
use super::frame::{OVERHEAD, pad, seal, session_nonce};
use crate::PacketBuf;
use crate::aead::{Aead, DefaultAead, KEY_LEN};

/// After how many messages under one key a new one is asked for.
pub const REKEY_AFTER_MESSAGES: u64 = 1 << 60;
/// The first counter that is never used: a key seals no more messages than this.
pub const REJECT_AFTER_MESSAGES: u64 = u64::MAX - (1 << 13);

/// To a multiple of this many bytes packets are padded: hides some of their length, costs little.
const PADDING: usize = 16;
/// Largest UDP payload over IPv4 in bytes: 65,535 − 20 (IP header) − 8 (UDP header).
const MAX_DATAGRAM_LEN: usize = 65_507;

/// Seals the datagrams of one session, epoch and direction, in place and without allocating.
///
/// Threads may share it: every datagram gets a counter of its own.
pub struct Sealer<A = DefaultAead> {
    aead: A,
    receiver_index: u32,
    next: AtomicU64,
}

impl<A: Aead> Sealer<A> {
    /// A sealer under `key` for the peer that calls this session `receiver_index` (not 0). The key must never have
    /// been given to another sealer.
    #[must_use]
    pub fn new(key: &[u8; KEY_LEN], receiver_index: u32) -> Self {
        Self::with_counter(key, receiver_index, 0)
    }

    /// The same, beginning at the counter `first`: for tests of what happens at the limits.
    #[doc(hidden)]
    #[must_use]
    pub fn with_counter(key: &[u8; KEY_LEN], receiver_index: u32, first: u64) -> Self {
        Self {
            aead: A::new(key),
            receiver_index,
            next: AtomicU64::new(first),
        }
    }

    /// Seals the IP packet in `buf`, with zeros behind it up to a multiple of 16 bytes, but never above `mtu`.
    /// Afterwards `buf` is the datagram, 29 bytes longer than that. Returns its counter.
    ///
    /// # Errors
    ///
    /// [`SealError::TooLarge`] if the packet is longer than `mtu`, or the datagram than UDP carries;
    /// [`SealError::Exhausted`] if the key has sealed [`REJECT_AFTER_MESSAGES`]. `buf` is as it was, and no counter
    /// is used up.
    pub fn seal_packet(&self, buf: &mut PacketBuf, mtu: usize) -> Result<u64, SealError> {
        if buf.len() > mtu {
            return Err(SealError::TooLarge);
        }
        let padded_len = buf.len().next_multiple_of(PADDING).min(mtu);
        self.seal_padded(buf, padded_len, 0)
    }

    /// Seals the JSON in `buf`, with spaces behind it up to `padded_len` bytes if it is shorter. Afterwards `buf` is
    /// the datagram, 29 bytes longer than that. Returns its counter.
    ///
    /// # Errors
    ///
    /// As [`seal_packet`](Self::seal_packet), without an MTU.
    pub fn seal_message(&self, buf: &mut PacketBuf, padded_len: usize) -> Result<u64, SealError> {
        self.seal_padded(buf, padded_len.max(buf.len()), b' ')
    }

    /// How many messages have been sealed; also the counter of the next.
    #[must_use]
    pub fn messages(&self) -> u64 {
        self.next.load(Ordering::Relaxed)
    }

    /// `padded_len` is at least the length of `buf`.
    fn seal_padded(&self, buf: &mut PacketBuf, padded_len: usize, filler: u8) -> Result<u64, SealError> {
        if padded_len > MAX_DATAGRAM_LEN - OVERHEAD {
            return Err(SealError::TooLarge);
        }
        let counter = self.take_counter()?;
        pad(buf, padded_len, filler);
        let nonce = session_nonce(self.receiver_index, counter);
        // Cannot fail: the cipher takes 2^38 bytes. A counter that were lost here would do no harm either.
        if seal(&self.aead, Code::Session, nonce, buf) {
            Ok(counter)
        } else {
            Err(SealError::TooLarge)
        }
    }

    /// A number that nobody else gets. Relaxed is enough: only the number itself is shared, and its changes have
    /// one order for all threads.
    fn take_counter(&self) -> Result<u64, SealError> {
        let step = |counter: u64| (counter < REJECT_AFTER_MESSAGES).then(|| counter.saturating_add(1));
        self.next
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, step)
            .map_err(|_| SealError::Exhausted)
    }
}

/// Never shows the key.
impl<A> fmt::Debug for Sealer<A> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sealer")
            .field("receiver_index", &self.receiver_index)
            .field("messages", &self.next.load(Ordering::Relaxed))
            .finish_non_exhaustive()
    }
}

/// Why something was not sealed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SealError {
    /// The key has sealed as many messages as it may, [`REJECT_AFTER_MESSAGES`].
    Exhausted,
    /// Longer than the MTU, or than a datagram can be.
    TooLarge,
}

impl fmt::Display for SealError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Exhausted => "the key has sealed as many messages as is safe",
            Self::TooLarge => "too large for the tunnel",
        })
    }
}

impl Error for SealError {}
