//! The wire format of the classic profile: `code (1) | nonce (12) | ciphertext | tag (16)`, no associated data.
//!
//! That is a code byte followed by what CryptoKit calls the combined form of ChaCha20-Poly1305 (RFC 8439).

use core::error::Error;
use core::fmt;

use rand_chacha::ChaCha20Rng;
use rand_core::{RngCore, SeedableRng};

use super::Key;
use crate::aead::{Aead, Cipher, NONCE_LEN, Portable, TAG_LEN};
use crate::{DropReason, PacketBuf};

/// Bytes that sealing adds to a body: code, nonce and tag.
pub const OVERHEAD: usize = HEADER_LEN + TAG_LEN;

/// How many messages one key may seal in all. Nonces are random, so the chance that two of them are equal grows with
/// the square of the count; at 2^32 messages it reaches 2^-33 (NIST SP 800-38D, section 8.3, sets this limit).
pub const MAX_MESSAGES: u64 = 1 << 32;

/// Largest UDP payload over IPv4 in bytes: 65,535 − 20 (IP header) − 8 (UDP header).
pub const MAX_DATAGRAM_LEN: usize = 65_507;

const HEADER_LEN: usize = 1 + NONCE_LEN;

/// The first byte of a datagram: what its body is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Code {
    /// 0x01, client to server: `{"login": string, "password": string}`.
    AuthRequest,
    /// 0x02, server to client: `{"isOK": bool}`.
    AuthResponse,
    /// 0x03, both ways: one IP packet.
    Data,
}

impl Code {
    /// The byte on the wire.
    #[must_use]
    pub const fn byte(self) -> u8 {
        match self {
            Self::AuthRequest => 0x01,
            Self::AuthResponse => 0x02,
            Self::Data => 0x03,
        }
    }

    /// The code of a byte on the wire, if it is one.
    #[must_use]
    pub const fn from_byte(byte: u8) -> Option<Self> {
        match byte {
            0x01 => Some(Self::AuthRequest),
            0x02 => Some(Self::AuthResponse),
            0x03 => Some(Self::Data),
            _ => None,
        }
    }

    /// A stable name in kebab case; also the [`Datagram::kind`](crate::Datagram::kind).
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::AuthRequest => "auth-request",
            Self::AuthResponse => "auth-response",
            Self::Data => "data",
        }
    }
}

/// Seals and opens datagrams under one key, in place.
///
/// Nonces are the output of ChaCha20 over a seed: as good as random to everybody else, the same for the same seed.
/// **Two codecs that hold the same key must never be given the same seed and stream**: they would use the same nonces,
/// and that betrays plaintext and authentication key.
pub struct Codec<A = Portable> {
    aead: A,
    nonces: ChaCha20Rng,
    sealed: u64,
}

impl<A: Aead> Codec<A> {
    /// A codec under `key` whose nonces come from `seed`. `stream` separates the uses of one seed from each other.
    #[must_use]
    pub fn new(key: &Key, seed: [u8; 32], stream: u64) -> Self {
        let mut nonces = ChaCha20Rng::from_seed(seed);
        nonces.set_stream(stream);
        Self {
            aead: A::new(Cipher::ChaCha20Poly1305, key.bytes()),
            nonces,
            sealed: 0,
        }
    }

    /// How many messages this codec has sealed under its key, those of [`count_earlier`](Self::count_earlier) included.
    #[must_use]
    pub const fn messages_sealed(&self) -> u64 {
        self.sealed
    }

    /// Counts messages that others, or earlier runs, have sealed under the same key; see [`MAX_MESSAGES`].
    pub const fn count_earlier(&mut self, messages: u64) {
        self.sealed = self.sealed.saturating_add(messages);
    }

    /// Seals the body in `buf` under the next nonce: afterwards `buf` is the datagram.
    ///
    /// # Errors
    ///
    /// [`SealError`]; `buf` is as it was.
    pub fn seal(&mut self, code: Code, buf: &mut PacketBuf) -> Result<(), SealError> {
        if self.sealed >= MAX_MESSAGES {
            return Err(SealError::KeyExhausted);
        }
        let mut nonce = [0; NONCE_LEN];
        self.nonces.fill_bytes(&mut nonce);
        self.seal_with_nonce(code, nonce, buf)?;
        self.sealed = self.sealed.saturating_add(1);
        Ok(())
    }

    /// Seals the body in `buf` under a nonce of the caller's: for test vectors and for hostile peers in tests. Not
    /// counted. A nonce used twice under one key betrays both messages.
    ///
    /// # Errors
    ///
    /// [`SealError::TooLarge`] if the datagram would not fit into UDP; `buf` is as it was.
    pub fn seal_with_nonce(
        &self,
        code: Code,
        nonce: [u8; NONCE_LEN],
        buf: &mut PacketBuf,
    ) -> Result<(), SealError> {
        if buf.len() > MAX_DATAGRAM_LEN - OVERHEAD {
            return Err(SealError::TooLarge);
        }
        let tag = self
            .aead
            .seal(&nonce, &[], buf)
            .map_err(|_| SealError::TooLarge)?;
        buf.append(&tag);
        buf.prepend(&nonce);
        buf.prepend(&[code.byte()]);
        Ok(())
    }

    /// Opens the datagram in `buf`: afterwards `buf` is the body.
    ///
    /// # Errors
    ///
    /// [`DecodeError::Malformed`] if the datagram has no known code or is too short,
    /// [`DecodeError::AuthenticationFailed`] if its tag does not fit; the bytes in `buf` are unspecified then.
    pub fn open(&self, buf: &mut PacketBuf) -> Result<Code, DecodeError> {
        let too_short = DecodeError::Malformed(Malformed::NotEnoughData);
        let code = *buf.first().ok_or(too_short)?;
        let code = Code::from_byte(code).ok_or(DecodeError::Malformed(Malformed::InvalidCode))?;
        buf.advance(1);
        let nonce = *buf.first_chunk::<NONCE_LEN>().ok_or(too_short)?;
        buf.advance(NONCE_LEN);
        let (body, tag) = buf.split_last_chunk_mut::<TAG_LEN>().ok_or(too_short)?;
        self.aead
            .open(&nonce, &[], body, tag)
            .map_err(|_| DecodeError::AuthenticationFailed)?;
        let body_len = body.len();
        buf.truncate(body_len);
        Ok(code)
    }
}

/// Never shows the key.
impl<A> fmt::Debug for Codec<A> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Codec")
            .field("sealed", &self.sealed)
            .finish_non_exhaustive()
    }
}

/// Why a body could not be sealed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SealError {
    /// The key has sealed [`MAX_MESSAGES`].
    KeyExhausted,
    /// The datagram would be longer than [`MAX_DATAGRAM_LEN`].
    TooLarge,
}

impl SealError {
    /// Under which reason the body is counted.
    #[must_use]
    pub const fn reason(self) -> DropReason {
        match self {
            Self::KeyExhausted => DropReason::KeyExhausted,
            Self::TooLarge => DropReason::TooLarge,
        }
    }
}

impl fmt::Display for SealError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::KeyExhausted => "the key has sealed as many messages as is safe",
            Self::TooLarge => "too large for a datagram",
        })
    }
}

impl Error for SealError {}

/// How a datagram is not made as the protocol says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Malformed {
    /// Shorter than code, nonce and tag.
    NotEnoughData,
    /// The first byte is no code.
    InvalidCode,
    /// Authentic, but the body is not what the code promises.
    Body,
}

/// Why a datagram was not understood. Three kinds, told apart because they point to three different culprits: a
/// broken sender, a wrong key or a changed datagram, and a peer that says the right thing at the wrong time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DecodeError {
    /// It is not made as the protocol says.
    Malformed(Malformed),
    /// The tag does not fit: another key, or changed on the way.
    AuthenticationFailed,
    /// Authentic and well-formed, but nothing that this side takes in its state.
    Unexpected(Code),
}

impl DecodeError {
    /// Under which reason the datagram is counted.
    #[must_use]
    pub const fn reason(self) -> DropReason {
        match self {
            Self::Malformed(Malformed::NotEnoughData) => DropReason::NotEnoughData,
            Self::Malformed(Malformed::InvalidCode) => DropReason::InvalidCode,
            Self::Malformed(Malformed::Body) => DropReason::MalformedBody,
            Self::AuthenticationFailed => DropReason::AuthenticationFailed,
            Self::Unexpected(_) => DropReason::Unexpected,
        }
    }
}

impl From<Malformed> for DecodeError {
    fn from(malformed: Malformed) -> Self {
        Self::Malformed(malformed)
    }
}

impl fmt::Display for Malformed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::NotEnoughData => "not enough data",
            Self::InvalidCode => "invalid packet code",
            Self::Body => "malformed body",
        })
    }
}

impl fmt::Display for DecodeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Malformed(malformed) => malformed.fmt(f),
            Self::AuthenticationFailed => f.write_str("authentication failed"),
            Self::Unexpected(code) => write!(f, "unexpected {}", code.name()),
        }
    }
}

impl Error for Malformed {}
impl Error for DecodeError {}
