//! Wire format of the classic profile: `code (1) | nonce (12) | ciphertext | tag (16)`, no associated data.
//!
//! After the code byte this is the combined form of ChaCha20-Poly1305 (RFC 8439) in CryptoKit.

use core::error::Error;
use core::fmt;

use rand_chacha::ChaCha20Rng;
use rand_core::{RngCore, SeedableRng};

use super::Key;
use crate::aead::{Aead, Cipher, NONCE_LEN, Portable, TAG_LEN};
use crate::{DropReason, PacketBuf, State, describe};

/// Bytes that sealing adds to a body: code, nonce and tag.
pub const OVERHEAD: usize = HEADER_LEN + TAG_LEN;

/// Maximum number of messages under one key. Nonces are random, so the probability of two equal nonces grows
/// with the square of the number. At 2^32 messages it is 2^-33 (limit of NIST SP 800-38D, section 8.3).
pub const MAX_MESSAGES: u64 = 1 << 32;

/// Largest UDP payload over IPv4 in bytes: 65,535 − 20 (IP header) − 8 (UDP header).
pub const MAX_DATAGRAM_LEN: usize = 65_507;

const HEADER_LEN: usize = 1 + NONCE_LEN;

/// First byte of a datagram: the type of its body.
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
    /// The code on the wire.
    #[must_use]
    pub const fn byte(self) -> u8 {
        match self {
            Self::AuthRequest => 0x01,
            Self::AuthResponse => 0x02,
            Self::Data => 0x03,
        }
    }

    /// Returns the code of a byte on the wire, `None` if it is unknown.
    #[must_use]
    pub const fn from_byte(byte: u8) -> Option<Self> {
        match byte {
            0x01 => Some(Self::AuthRequest),
            0x02 => Some(Self::AuthResponse),
            0x03 => Some(Self::Data),
            _ => None,
        }
    }

    /// Stable name in kebab case, also used as [`Datagram::kind`](crate::Datagram::kind).
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
/// Nonces are the output of ChaCha20 over a seed. They look random without the seed, and are the same for the
/// same seed. **Two codecs with the same key must never have the same seed and stream.** They would use the
/// same nonces, and that reveals plaintext and authentication key.
pub struct Codec<A = Portable> {
    aead: A,
    nonces: ChaCha20Rng,
    sealed: u64,
}

impl<A: Aead> Codec<A> {
    /// Creates a codec with `key` whose nonces come from `seed`. `stream` separates the uses of one seed.
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

    /// Number of messages sealed under the key, including those of [`count_earlier`](Self::count_earlier).
    #[must_use]
    pub const fn messages_sealed(&self) -> u64 {
        self.sealed
    }

    /// Counts messages that others or earlier runs have sealed under the same key. See [`MAX_MESSAGES`].
    pub const fn count_earlier(&mut self, messages: u64) {
        self.sealed = self.sealed.saturating_add(messages);
    }

    /// Describes the count of messages, which counts only near its limit.
    pub(super) fn describe(&self, state: &mut State<'_>) {
        let Self {
            aead: _,   // the key does not change
            nonces: _, // positions of generators do not count
            sealed,
        } = self;
        describe::remaining(state, MAX_MESSAGES, *sealed);
    }

    /// Seals the body in `buf` under the next nonce. Afterwards `buf` contains the datagram.
    ///
    /// # Errors
    ///
    /// [`SealError`]; `buf` is unchanged.
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

    /// Seals the body in `buf` under a given nonce, for test vectors and attackers in tests. The message is
    /// not counted. A nonce that is used twice under one key reveals both messages.
    ///
    /// # Errors
    ///
    /// [`SealError::TooLarge`] if the datagram would not fit into UDP; `buf` is unchanged.
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

    /// Opens the datagram in `buf`. Afterwards `buf` contains the body.
    ///
    /// # Errors
    ///
    /// [`DecodeError::Malformed`] if the code is unknown or the datagram is too short,
    /// [`DecodeError::AuthenticationFailed`] if the tag is wrong. The bytes in `buf` are then unspecified.
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

/// Does not show the key.
impl<A> fmt::Debug for Codec<A> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Codec")
            .field("sealed", &self.sealed)
            .finish_non_exhaustive()
    }
}

/// Error of [`Codec::seal`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SealError {
    /// The key has sealed [`MAX_MESSAGES`] messages.
    KeyExhausted,
    /// The datagram would be longer than [`MAX_DATAGRAM_LEN`].
    TooLarge,
}

impl SealError {
    /// Drop reason under which the body is counted.
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
            Self::KeyExhausted => "the key has sealed the maximum number of messages",
            Self::TooLarge => "too large for a datagram",
        })
    }
}

impl Error for SealError {}

/// Format error of a datagram.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Malformed {
    /// The datagram is shorter than code, nonce and tag.
    NotEnoughData,
    /// The first byte is no known code.
    InvalidCode,
    /// The datagram is authentic, but the body does not match the code.
    Body,
}

/// Error of decoding a datagram. The three kinds have different causes: a broken sender, a wrong key or a
/// changed datagram, and a message at the wrong time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DecodeError {
    /// The format is wrong.
    Malformed(Malformed),
    /// The tag is wrong: the sender has another key, or the datagram was changed in transit.
    AuthenticationFailed,
    /// The message is valid, but this side does not expect it in its current state.
    Unexpected(Code),
}

impl DecodeError {
    /// Drop reason under which the datagram is counted.
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
