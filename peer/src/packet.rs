//! Packet buffer with headroom and tailroom, for sealing and opening in place.

use alloc::vec::Vec;
use core::fmt;
use core::ops::{Deref, DerefMut};

/// The bytes of one packet or datagram, with free space before and after them.
///
/// A packet read from a device becomes a datagram by growing into its headroom (code and nonce) and its tailroom
/// (authentication tag); a received datagram becomes a packet by shrinking. Neither copies nor allocates.
///
/// A default buffer allocates no memory. It gets its headroom with the first byte.
///
/// ```
/// use sandhog_peer::PacketBuf;
///
/// let mut buf = PacketBuf::copied_from(b"packet");
/// buf.prepend(&[3]);
/// buf.append(b"tag");
/// assert_eq!(&buf[..], b"\x03packettag");
/// buf.advance(1);
/// buf.truncate(6);
/// assert_eq!(&buf[..], b"packet");
/// ```
#[derive(Clone, Default)]
pub struct PacketBuf {
    storage: Vec<u8>,
    start: usize,
    end: usize,
    /// A number of the shell. The protocol copies it to every output that this packet causes, and never reads it. The
    /// laboratory stores the record number of the cause here. 0 means "no cause".
    pub tag: u64,
}

impl PacketBuf {
    /// Free bytes before a packet, enough for the header of every profile (code 1, nonce 12).
    pub const HEADROOM: usize = 16;
    /// Free bytes after a packet: padding to 16 and a 16-byte authentication tag.
    pub const TAILROOM: usize = 32;

    /// An empty buffer that can hold `capacity` bytes between headroom and tailroom without allocating again.
    #[must_use]
    pub fn with_capacity(capacity: usize) -> Self {
        let mut storage = Vec::with_capacity(capacity.saturating_add(Self::HEADROOM + Self::TAILROOM));
        storage.resize(Self::HEADROOM, 0);
        Self {
            storage,
            start: Self::HEADROOM,
            end: Self::HEADROOM,
            tag: 0,
        }
    }

    /// A buffer that holds a copy of `bytes`.
    #[must_use]
    pub fn copied_from(bytes: &[u8]) -> Self {
        let mut buf = Self::with_capacity(bytes.len());
        buf.append(bytes);
        buf
    }

    /// The same buffer with the tag `tag`.
    #[must_use]
    pub fn with_tag(mut self, tag: u64) -> Self {
        self.tag = tag;
        self
    }

    /// Number of bytes.
    #[must_use]
    pub fn len(&self) -> usize {
        self.end.saturating_sub(self.start)
    }

    /// Returns true if there are no bytes.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.start == self.end
    }

    /// Removes the bytes and the tag, keeps the memory, and restores the headroom.
    pub fn clear(&mut self) {
        self.start = Self::HEADROOM;
        self.end = Self::HEADROOM;
        self.storage.resize(Self::HEADROOM, 0);
        self.tag = 0;
    }

    /// Truncates the storage at `end`, so that it can grow there. A buffer without memory gets its headroom.
    fn cut_behind_end(&mut self) {
        if self.storage.is_empty() {
            self.storage.resize(Self::HEADROOM, 0);
            (self.start, self.end) = (Self::HEADROOM, Self::HEADROOM);
        }
        self.storage.truncate(self.end);
    }

    /// Adds `bytes` at the end.
    pub fn append(&mut self, bytes: &[u8]) {
        self.cut_behind_end();
        self.storage.extend_from_slice(bytes);
        self.end = self.storage.len();
    }

    /// Sets the length to `len` bytes. New bytes are 0, and surplus bytes are removed from the end.
    pub fn resize(&mut self, len: usize) {
        self.cut_behind_end();
        self.end = self.start.saturating_add(len);
        self.storage.resize(self.end, 0);
    }

    /// Adds `header` at the front, into the headroom if it fits there.
    pub fn prepend(&mut self, header: &[u8]) {
        if let Some(start) = self.start.checked_sub(header.len()) {
            self.start = start;
        } else {
            let missing = header.len().saturating_sub(self.start);
            self.storage.splice(..0, core::iter::repeat_n(0, missing));
            self.end = self.end.saturating_add(missing);
            self.start = 0;
        }
        if let Some(front) = self.get_mut(..header.len()) {
            front.copy_from_slice(header);
        }
    }

    /// Removes up to `count` bytes from the front.
    pub fn advance(&mut self, count: usize) {
        self.start = self.start.saturating_add(count).min(self.end);
    }

    /// Keeps the first `len` bytes, if there are more.
    pub fn truncate(&mut self, len: usize) {
        self.end = self.start.saturating_add(len).min(self.end);
    }
}

impl Deref for PacketBuf {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        self.storage.get(self.start..self.end).unwrap_or_default()
    }
}

impl DerefMut for PacketBuf {
    fn deref_mut(&mut self) -> &mut [u8] {
        self.storage.get_mut(self.start..self.end).unwrap_or_default()
    }
}

/// Length and tag only, because the bytes may be secret.
impl fmt::Debug for PacketBuf {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PacketBuf({} bytes, tag {})", self.len(), self.tag)
    }
}
