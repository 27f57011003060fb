//! Deterministic payload with the canary in it, for TCP transfers, UDP datagrams and pings.

use alloc::vec::Vec;

use sha2::{Digest, Sha256};

/// Length of one block in bytes. Each block starts with the canary, so any 512 bytes contain a complete canary.
pub(crate) const BLOCK: usize = 256;
/// Number of blocks that are generated. The content repeats them and changes only the block number.
const PAGE_BLOCKS: usize = 8;
/// Position of the block number in a block: a big-endian `u64` after the canary.
const NUMBER: core::ops::Range<usize> = 16..24;

/// One step of SplitMix64 (Steele, Lea, Flood: "Fast splittable pseudorandom number generators", 2014).
pub(crate) fn split_mix(state: &mut u64) -> u64 {
    *state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let mut z = *state;
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

/// An endless byte sequence, determined by seed and canary.
///
/// Block `n` is: canary (16 bytes), `n` (8 bytes, big-endian), pattern.
pub(crate) struct Content {
    page: Vec<u8>,
}

impl Content {
    pub(crate) fn new(mut seed: u64, canary: &[u8; 16]) -> Self {
        let mut page = Vec::with_capacity(PAGE_BLOCKS * BLOCK);
        for _ in 0..PAGE_BLOCKS {
            page.extend_from_slice(canary);
            for _ in 0..(BLOCK - canary.len()) / 8 {
                page.extend_from_slice(&split_mix(&mut seed).to_be_bytes());
            }
        }
        Self { page }
    }

    /// Fills `out` with the content from `offset` on.
    pub(crate) fn fill(&self, mut offset: u64, mut out: &mut [u8]) {
        while !out.is_empty() {
            let number = offset / BLOCK as u64;
            let start = (offset % BLOCK as u64) as usize;
            let len = out.len().min(BLOCK - start);
            let (head, rest) = out.split_at_mut(len);
            let at = (number % PAGE_BLOCKS as u64) as usize * BLOCK + start;
            head.copy_from_slice(&self.page[at..at + len]);
            for (place, byte) in NUMBER.zip(number.to_be_bytes()) {
                // A place before `start` wraps to an index far beyond `head`.
                if let Some(slot) = head.get_mut(place.wrapping_sub(start)) {
                    *slot = byte;
                }
            }
            offset = offset.wrapping_add(len as u64);
            out = rest;
        }
    }

    /// Fills `out` with the payload of echo request `seq`: the canary, the block number, the pattern, as far as they fit.
    pub(crate) fn fill_echo(&self, seq: u16, out: &mut [u8]) {
        self.fill(u64::from(seq) * ECHO_STRIDE, out);
    }
}

/// Distance between the payloads of consecutive echo requests, in bytes. The longest payload is shorter, so payloads
/// never overlap.
const ECHO_STRIDE: u64 = 1 << 16;
/// Length of the shortest payload from which [`echo_seq`] can read the number, in bytes.
pub(crate) const ECHO_SEQ_LEN: usize = NUMBER.end;

/// The sequence number in a payload from [`Content::fill_echo`]. `None` if the payload cannot be such a payload.
pub(crate) fn echo_seq(payload: &[u8]) -> Option<u16> {
    let number = u64::from_be_bytes(payload.get(NUMBER)?.try_into().ok()?);
    u16::try_from(number.checked_mul(BLOCK as u64)? / ECHO_STRIDE).ok()
}

/// Length of a SHA-256 in bytes.
const HASH_LEN: usize = 32;

/// A generator of content with a known length, followed by its SHA-256.
pub(crate) struct Source {
    content: Content,
    offset: u64,
    len: u64,
    hash: Sha256,
    trailer: Option<[u8; HASH_LEN]>,
    trailer_sent: usize,
}

impl Source {
    pub(crate) fn new(content: Content, len: u64) -> Self {
        Self {
            content,
            offset: 0,
            len,
            hash: Sha256::new(),
            trailer: None,
            trailer_sent: 0,
        }
    }

    /// Writes the next bytes to the start of `out`. Returns their number, which is 0 at the end or for an empty `out`.
    pub(crate) fn fill(&mut self, out: &mut [u8]) -> usize {
        let left = self.len - self.offset;
        let len = usize::try_from(left).map_or(out.len(), |left| left.min(out.len()));
        let (body, rest) = out.split_at_mut(len);
        self.content.fill(self.offset, body);
        self.hash.update(&*body);
        self.offset += len as u64;
        if self.offset < self.len {
            return len;
        }
        let trailer = *self
            .trailer
            .get_or_insert_with(|| self.hash.finalize_reset().into());
        let tail = &trailer[self.trailer_sent..];
        let tail = &tail[..tail.len().min(rest.len())];
        rest[..tail.len()].copy_from_slice(tail);
        self.trailer_sent += tail.len();
        len + tail.len()
    }

    /// Number of content bytes written so far.
    pub(crate) fn written(&self) -> u64 {
        self.offset
    }

    /// The SHA-256 of the content. `None` until everything has been written.
    pub(crate) fn finished(&self) -> Option<[u8; HASH_LEN]> {
        self.trailer.filter(|_| self.trailer_sent == HASH_LEN)
    }
}

/// A consumer of content with a known length and of the SHA-256 after it. It hashes the content and does not store it.
pub(crate) struct Sink {
    received: u64,
    len: u64,
    hash: Sha256,
    trailer: [u8; HASH_LEN],
    trailer_len: usize,
}

/// The two SHA-256 values that a [`Sink`] has at the end.
pub(crate) struct Verdict {
    pub(crate) computed: [u8; HASH_LEN],
    pub(crate) announced: [u8; HASH_LEN],
}

impl Sink {
    pub(crate) fn new(len: u64) -> Self {
        Self {
            received: 0,
            len,
            hash: Sha256::new(),
            trailer: [0; HASH_LEN],
            trailer_len: 0,
        }
    }

    /// Consumes the start of `data`. Returns the number of bytes that belonged to the content and its trailer.
    pub(crate) fn take(&mut self, data: &[u8]) -> usize {
        let left = self.len - self.received;
        let (body, rest) =
            data.split_at(usize::try_from(left).map_or(data.len(), |left| left.min(data.len())));
        self.hash.update(body);
        self.received += body.len() as u64;
        let tail = &rest[..rest.len().min(HASH_LEN - self.trailer_len)];
        self.trailer[self.trailer_len..self.trailer_len + tail.len()].copy_from_slice(tail);
        self.trailer_len += tail.len();
        body.len() + tail.len()
    }

    /// Number of content bytes consumed so far.
    pub(crate) fn received(&self) -> u64 {
        self.received
    }

    /// Both hashes. `None` until everything has arrived.
    pub(crate) fn finished(&self) -> Option<Verdict> {
        (self.trailer_len == HASH_LEN).then(|| Verdict {
            computed: self.hash.clone().finalize().into(),
            announced: self.trailer,
        })
    }
}
