//! Pre-shared key of the classic profile. All peers of a tunnel have it.

use core::error::Error;
use core::fmt;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use zeroize::{Zeroize, ZeroizeOnDrop, Zeroizing};

use crate::aead::KEY_LEN;

/// A pre-shared key of 32 bytes. Erased when dropped, never printed.
#[derive(Clone, Zeroize, ZeroizeOnDrop)]
pub struct Key([u8; KEY_LEN]);

impl Key {
    /// Creates a key from its bytes. The caller erases its own copy.
    #[must_use]
    pub const fn new(bytes: [u8; KEY_LEN]) -> Self {
        Self(bytes)
    }

    /// Parses a key from a configuration file: standard base64 with padding, 44 characters.
    ///
    /// # Errors
    ///
    /// [`KeyError`] if `text` is not base64 or does not encode 32 bytes. The error contains no part of the
    /// key.
    pub fn from_base64(text: &str) -> Result<Self, KeyError> {
        let bytes = Zeroizing::new(STANDARD.decode(text).map_err(|_| KeyError::NotBase64)?);
        match bytes.as_slice().try_into() {
            Ok(bytes) => Ok(Self(bytes)),
            Err(_) => Err(KeyError::WrongLength(bytes.len())),
        }
    }

    pub(super) const fn bytes(&self) -> &[u8; KEY_LEN] {
        &self.0
    }
}

/// Hides the key.
impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Key([hidden])")
    }
}

/// Error of [`Key::from_base64`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KeyError {
    /// The text is not standard base64 with padding.
    NotBase64,
    /// The text encodes this number of bytes instead of 32.
    WrongLength(usize),
}

impl fmt::Display for KeyError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotBase64 => f.write_str("the key is not base64"),
            Self::WrongLength(len) => write!(f, "the key has {len} bytes instead of {KEY_LEN}"),
        }
    }
}

impl Error for KeyError {}
