//! The pre-shared key. Datagrams not sealed under keys derived from it get no reply.

use alloc::boxed::Box;
use core::error::Error;
use core::fmt;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use subtle::ConstantTimeEq;
use zeroize::{Zeroize, ZeroizeOnDrop, Zeroizing};

use super::keys;
use crate::aead::KEY_LEN;
use crate::secret::Secret;

/// The key from the article on which this protocol is based. It is public:
/// `KGiEbfJODclOCzUVfWXBO7Y/ohnEVxf7+RnwaAA1/78=`.
const PUBLISHED: [u8; KEY_LEN] = [
    0x28, 0x68, 0x84, 0x6d, 0xf2, 0x4e, 0x0d, 0xc9, 0x4e, 0x0b, 0x35, 0x15, 0x7d, 0x65, 0xc1, 0x3b, 0xb6,
    0x3f, 0xa2, 0x19, 0xc4, 0x57, 0x17, 0xfb, 0xf9, 0x19, 0xf0, 0x68, 0x00, 0x35, 0xff, 0xbf,
];

/// The pre-shared key of a secure tunnel: 32 random bytes. Erased when dropped, never printed.
#[derive(Clone, Zeroize, ZeroizeOnDrop)]
pub struct Psk(Box<[u8; KEY_LEN]>);

impl Psk {
    /// Creates a key from its bytes. The caller must erase its own copy.
    ///
    /// # Errors
    ///
    /// [`PskError::AllZero`] and [`PskError::Published`] for keys that are not secret.
    pub fn new(bytes: [u8; KEY_LEN]) -> Result<Self, PskError> {
        let key = Self(Box::new(bytes));
        if key.0.ct_eq(&[0; KEY_LEN]).into() {
            return Err(PskError::AllZero);
        }
        if key.0.ct_eq(&PUBLISHED).into() {
            return Err(PskError::Published);
        }
        Ok(key)
    }

    /// Creates a key from bytes of unchecked length.
    ///
    /// # Errors
    ///
    /// [`PskError`] if the length is not 32 or the key is not secret.
    pub fn from_slice(bytes: &[u8]) -> Result<Self, PskError> {
        match bytes.try_into() {
            Ok(bytes) => Self::new(bytes),
            Err(_) => Err(PskError::WrongLength(bytes.len())),
        }
    }

    /// Reads a key from standard base64 with padding (44 characters), the form in configuration files.
    ///
    /// # Errors
    ///
    /// [`PskError`] if `text` is not a usable key. The error contains no part of the key.
    pub fn from_base64(text: &str) -> Result<Self, PskError> {
        let bytes = Zeroizing::new(STANDARD.decode(text).map_err(|_| PskError::NotBase64)?);
        Self::from_slice(&bytes)
    }

    /// The keys that the profile derives from the pre-shared key, one for each purpose.
    pub(crate) fn keys(&self) -> PskKeys {
        let prk = keys::extract(b"sandhog/3", &[&*self.0]);
        PskKeys {
            up: keys::expand(&prk, &[b"ctl up"]),
            down: keys::expand(&prk, &[b"ctl down"]),
            mix: keys::expand(&prk, &[b"mix"]),
        }
    }
}

/// Compares in constant time.
impl PartialEq for Psk {
    fn eq(&self, other: &Self) -> bool {
        self.0.ct_eq(&*other.0).into()
    }
}

impl Eq for Psk {}

/// Hides the key.
impl fmt::Debug for Psk {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Psk([hidden])")
    }
}

/// The keys derived from a [`Psk`].
pub(crate) struct PskKeys {
    /// For control datagrams from the client to the server.
    pub(crate) up: Secret<KEY_LEN>,
    /// For control datagrams from the server to the client.
    pub(crate) down: Secret<KEY_LEN>,
    /// Part of the session keys. An attacker who can break OPAQUE still needs the pre-shared key.
    pub(crate) mix: Secret<64>,
}

/// Reason why a value is not a usable pre-shared key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PskError {
    /// The key has this number of bytes instead of 32.
    WrongLength(usize),
    /// The text is not standard base64 with padding.
    NotBase64,
    /// All bytes are zero.
    AllZero,
    /// The key is the example of a published article.
    Published,
}

impl fmt::Display for PskError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::WrongLength(len) => write!(f, "the pre-shared key has {len} bytes instead of {KEY_LEN}"),
            Self::NotBase64 => f.write_str("the pre-shared key is not standard base64 with padding"),
            Self::AllZero => f.write_str("the pre-shared key is all zeros"),
            Self::Published => f.write_str("the pre-shared key is the published example that everyone knows"),
        }?;
        f.write_str(": make one with `openssl rand -base64 32`")
    }
}

impl Error for PskError {}

#[cfg(test)]
mod tests {
    use alloc::format;
    use alloc::string::ToString;

    use super::*;

    const PUBLISHED_TEXT: &str = "KGiEbfJODclOCzUVfWXBO7Y/ohnEVxf7+RnwaAA1/78=";

    #[test]
    fn published_and_all_zero_keys_are_rejected() {
        assert_eq!(Psk::new([0; 32]).unwrap_err(), PskError::AllZero);
        assert_eq!(Psk::from_base64(PUBLISHED_TEXT).unwrap_err(), PskError::Published);
        assert_eq!(Psk::new(PUBLISHED).unwrap_err(), PskError::Published);
    }

    #[test]
    fn wrong_lengths_and_invalid_base64_are_rejected() {
        assert_eq!(Psk::from_slice(&[1; 31]).unwrap_err(), PskError::WrongLength(31));
        assert_eq!(Psk::from_slice(&[1; 33]).unwrap_err(), PskError::WrongLength(33));
        assert_eq!(Psk::from_slice(&[]).unwrap_err(), PskError::WrongLength(0));
        assert_eq!(Psk::from_base64("AQEB").unwrap_err(), PskError::WrongLength(3));
        let unpadded = PUBLISHED_TEXT.trim_end_matches('=');
        for text in ["not base64!", unpadded] {
            assert_eq!(Psk::from_base64(text).unwrap_err(), PskError::NotBase64);
        }
    }

    #[test]
    fn a_key_one_bit_away_from_a_rejected_one_is_accepted() {
        let mut bytes = PUBLISHED;
        bytes[31] ^= 1;
        assert!(Psk::from_slice(&bytes).is_ok());
        bytes = [0; 32];
        bytes[0] = 1;
        assert!(Psk::new(bytes).is_ok());
    }

    #[test]
    fn the_key_is_not_printed_and_errors_say_what_to_do() {
        assert_eq!(format!("{:?}", Psk::new([7; 32]).unwrap()), "Psk([hidden])");
        assert!(PskError::AllZero.to_string().contains("openssl rand -base64 32"));
    }
}
