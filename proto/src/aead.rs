//! The authenticated cipher behind a small trait, so that a faster implementation can take its place.

use core::error::Error;
use core::fmt;

use chacha20poly1305::aead::AeadInOut;
use chacha20poly1305::{KeyInit, Nonce, Tag};

/// Length of a key in bytes (RFC 8439, section 2.8).
pub const KEY_LEN: usize = 32;
/// Length of a nonce in bytes (RFC 8439, section 2.8).
pub const NONCE_LEN: usize = 12;
/// Length of an authentication tag in bytes (RFC 8439, section 2.8).
pub const TAG_LEN: usize = 16;

/// Authenticated encryption with associated data (AEAD), in place: a body is sealed and opened where it lies.
///
/// Implementations must give identical bytes: which one is used is a matter of speed.
pub trait Aead {
    /// Takes a key. Implementations erase their copy when dropped.
    fn new(key: &[u8; KEY_LEN]) -> Self
    where
        Self: Sized;

    /// Encrypts `body` where it lies and returns the tag over it and `associated`.
    ///
    /// # Errors
    ///
    /// [`AeadError`] if `body` is longer than the cipher allows (2^38 − 64 bytes); `body` is unspecified then.
    fn seal(
        &self,
        nonce: &[u8; NONCE_LEN],
        associated: &[u8],
        body: &mut [u8],
    ) -> Result<[u8; TAG_LEN], AeadError>;

    /// Checks `tag` over `body` and `associated`, then decrypts `body` where it lies.
    ///
    /// # Errors
    ///
    /// [`AeadError`] if the tag does not fit; no plaintext has been produced then.
    fn open(
        &self,
        nonce: &[u8; NONCE_LEN],
        associated: &[u8],
        body: &mut [u8],
        tag: &[u8; TAG_LEN],
    ) -> Result<(), AeadError>;
}

/// A body that could not be sealed, or whose tag does not fit. Says no more, so that nobody can ask it questions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AeadError;

impl fmt::Display for AeadError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("authentication failed")
    }
}

impl Error for AeadError {}

/// ChaCha20-Poly1305 (RFC 8439) as RustCrypto implements it: portable, no assembly, the same on WebAssembly.
pub struct ChaCha20Poly1305(chacha20poly1305::ChaCha20Poly1305);

impl Aead for ChaCha20Poly1305 {
    fn new(key: &[u8; KEY_LEN]) -> Self {
        Self(chacha20poly1305::ChaCha20Poly1305::new(key.into()))
    }

    fn seal(
        &self,
        nonce: &[u8; NONCE_LEN],
        associated: &[u8],
        body: &mut [u8],
    ) -> Result<[u8; TAG_LEN], AeadError> {
        self.0
            .encrypt_inout_detached(&Nonce::from(*nonce), associated, body.into())
            .map(Into::into)
            .map_err(|_| AeadError)
    }

    fn open(
        &self,
        nonce: &[u8; NONCE_LEN],
        associated: &[u8],
        body: &mut [u8],
        tag: &[u8; TAG_LEN],
    ) -> Result<(), AeadError> {
        self.0
            .decrypt_inout_detached(&Nonce::from(*nonce), associated, body.into(), &Tag::from(*tag))
            .map_err(|_| AeadError)
    }
}

impl fmt::Debug for ChaCha20Poly1305 {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ChaCha20Poly1305([hidden])")
    }
}

/// The implementation that the data path uses if nothing else is asked for: the fastest that was compiled in.
pub type DefaultAead = ChaCha20Poly1305;
