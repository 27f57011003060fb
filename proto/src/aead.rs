//! Authenticated ciphers behind a small trait, so that implementations can be exchanged.

use alloc::boxed::Box;
use core::error::Error;
use core::fmt;

use aes_gcm::Aes256Gcm;
use chacha20poly1305::aead::AeadInOut;
use chacha20poly1305::{ChaCha20Poly1305, KeyInit, Nonce, Tag};

use crate::secret::erasing_small_stack;

/// Length of a key in bytes, the same for every [`Cipher`].
pub const KEY_LEN: usize = 32;
/// Length of a nonce in bytes, the same for every [`Cipher`].
pub const NONCE_LEN: usize = 12;
/// Length of an authentication tag in bytes, the same for every [`Cipher`].
pub const TAG_LEN: usize = 16;

/// An authenticated cipher with a key of 32 bytes, a nonce of 12 bytes and a tag of 16 bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Cipher {
    /// ChaCha20-Poly1305 (RFC 8439): fast on every processor, and supported by every peer.
    #[default]
    ChaCha20Poly1305,
    /// AES-256-GCM (NIST SP 800-38D, RFC 5116): faster on processors with instructions for AES and carry-less
    /// multiplication, several times slower on others.
    Aes256Gcm,
}

impl Cipher {
    /// The name on the wire, in files and in output: the name in the IANA registry of AEAD algorithms, in
    /// kebab case.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::ChaCha20Poly1305 => "chacha20-poly1305",
            Self::Aes256Gcm => "aes-256-gcm",
        }
    }

    /// Returns the cipher with this [`name`](Self::name).
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        [Self::ChaCha20Poly1305, Self::Aes256Gcm]
            .into_iter()
            .find(|cipher| cipher.name() == name)
    }
}

impl fmt::Display for Cipher {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// Authenticated encryption with associated data (AEAD), in place.
///
/// All implementations produce identical bytes. They differ only in speed.
pub trait Aead {
    /// Creates a cipher with this key. Implementations erase their copy of the key when dropped.
    fn new(cipher: Cipher, key: &[u8; KEY_LEN]) -> Self
    where
        Self: Sized;

    /// Encrypts `body` in place. Returns the tag over the ciphertext and `associated`.
    ///
    /// # Errors
    ///
    /// [`AeadError`] if `body` is longer than the cipher allows (the limit is at least 2^36 − 32 bytes). The
    /// content of `body` is then unspecified.
    fn seal(
        &self,
        nonce: &[u8; NONCE_LEN],
        associated: &[u8],
        body: &mut [u8],
    ) -> Result<[u8; TAG_LEN], AeadError>;

    /// Verifies `tag` over `body` and `associated`, then decrypts `body` in place.
    ///
    /// # Errors
    ///
    /// [`AeadError`] if the tag is wrong. No plaintext has been produced in this case.
    fn open(
        &self,
        nonce: &[u8; NONCE_LEN],
        associated: &[u8],
        body: &mut [u8],
        tag: &[u8; TAG_LEN],
    ) -> Result<(), AeadError>;
}

/// Error of sealing or opening: the body is too long, or the tag is wrong. It has no details, so an attacker
/// learns nothing from it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AeadError;

impl fmt::Display for AeadError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("authentication failed")
    }
}

impl Error for AeadError {}

/// Portable ciphers of RustCrypto: no assembly, also on WebAssembly.
pub struct Portable(Keyed);

/// The keys are in blocks of their own. If they were inside, the unused bytes of this enum could contain parts of a key.
enum Keyed {
    ChaCha20Poly1305(Box<ChaCha20Poly1305>),
    Aes256Gcm(Box<Aes256Gcm>),
}

impl Aead for Portable {
    fn new(cipher: Cipher, key: &[u8; KEY_LEN]) -> Self {
        erasing_small_stack(|| {
            Self(match cipher {
                Cipher::ChaCha20Poly1305 => {
                    Keyed::ChaCha20Poly1305(Box::new(ChaCha20Poly1305::new(key.into())))
                }
                Cipher::Aes256Gcm => Keyed::Aes256Gcm(Box::new(Aes256Gcm::new(key.into()))),
            })
        })
    }

    fn seal(
        &self,
        nonce: &[u8; NONCE_LEN],
        associated: &[u8],
        body: &mut [u8],
    ) -> Result<[u8; TAG_LEN], AeadError> {
        let (nonce, body) = (Nonce::from(*nonce), body.into());
        match &self.0 {
            Keyed::ChaCha20Poly1305(aead) => aead.encrypt_inout_detached(&nonce, associated, body),
            Keyed::Aes256Gcm(aead) => aead.encrypt_inout_detached(&nonce, associated, body),
        }
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
        let (nonce, body, tag) = (Nonce::from(*nonce), body.into(), Tag::from(*tag));
        match &self.0 {
            Keyed::ChaCha20Poly1305(aead) => aead.decrypt_inout_detached(&nonce, associated, body, &tag),
            Keyed::Aes256Gcm(aead) => aead.decrypt_inout_detached(&nonce, associated, body, &tag),
        }
        .map_err(|_| AeadError)
    }
}

impl fmt::Debug for Portable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Portable([hidden])")
    }
}

/// Ciphers of `ring` in assembly: several times faster on x86-64 and AArch64.
///
/// `None` means a key that `ring` rejects. It never rejects 32 bytes.
#[cfg(feature = "ring")]
pub struct Ring(Option<ring::aead::LessSafeKey>);

#[cfg(feature = "ring")]
impl Ring {
    fn key(
        algorithm: &'static ring::aead::Algorithm,
        bytes: &[u8; KEY_LEN],
    ) -> Option<ring::aead::LessSafeKey> {
        ring::aead::UnboundKey::new(algorithm, bytes)
            .ok()
            .map(ring::aead::LessSafeKey::new)
    }

    /// Overwrites the key, because `ring` does not erase its keys. The new key is for the same cipher, so it
    /// occupies the same bytes.
    fn erase(&mut self) {
        let algorithm = self.0.as_ref().map(ring::aead::LessSafeKey::algorithm);
        self.0 = algorithm.and_then(|algorithm| Self::key(algorithm, &[0; KEY_LEN]));
        // Keeps the compiler from removing the write.
        core::hint::black_box(&self.0);
    }
}

#[cfg(feature = "ring")]
impl Aead for Ring {
    fn new(cipher: Cipher, key: &[u8; KEY_LEN]) -> Self {
        let algorithm = match cipher {
            Cipher::ChaCha20Poly1305 => &ring::aead::CHACHA20_POLY1305,
            Cipher::Aes256Gcm => &ring::aead::AES_256_GCM,
        };
        Self(Self::key(algorithm, key))
    }

    fn seal(
        &self,
        nonce: &[u8; NONCE_LEN],
        associated: &[u8],
        body: &mut [u8],
    ) -> Result<[u8; TAG_LEN], AeadError> {
        let nonce = ring::aead::Nonce::assume_unique_for_key(*nonce);
        self.0
            .as_ref()
            .and_then(|key| {
                key.seal_in_place_separate_tag(nonce, ring::aead::Aad::from(associated), body)
                    .ok()
            })
            .and_then(|tag| tag.as_ref().try_into().ok())
            .ok_or(AeadError)
    }

    /// `ring` decrypts while it authenticates. It erases the body if the tag is wrong.
    fn open(
        &self,
        nonce: &[u8; NONCE_LEN],
        associated: &[u8],
        body: &mut [u8],
        tag: &[u8; TAG_LEN],
    ) -> Result<(), AeadError> {
        let nonce = ring::aead::Nonce::assume_unique_for_key(*nonce);
        let associated = ring::aead::Aad::from(associated);
        let key = self.0.as_ref().ok_or(AeadError)?;
        key.open_in_place_separate_tag(nonce, associated, (*tag).into(), body, 0..)
            .map(|_| ())
            .map_err(|_| AeadError)
    }
}

#[cfg(feature = "ring")]
impl Drop for Ring {
    fn drop(&mut self) {
        self.erase();
    }
}

#[cfg(feature = "ring")]
impl fmt::Debug for Ring {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Ring([hidden])")
    }
}

/// The default implementation of the data path: the fastest one that is compiled in.
#[cfg(not(feature = "ring"))]
pub type DefaultAead = Portable;
/// The default implementation of the data path: the fastest one that is compiled in.
#[cfg(feature = "ring")]
pub type DefaultAead = Ring;

#[cfg(test)]
mod tests {
    use alloc::format;
    use alloc::vec;

    use super::*;

    const CIPHERS: [Cipher; 2] = [Cipher::ChaCha20Poly1305, Cipher::Aes256Gcm];

    fn hides_its_key_and_seals_in_place<A: Aead + fmt::Debug>(cipher: Cipher) {
        let aead = A::new(cipher, &[7; KEY_LEN]);
        assert!(format!("{aead:?}").ends_with("([hidden])"));
        let mut body = vec![1; 100];
        let tag = aead.seal(&[9; NONCE_LEN], b"a", &mut body).unwrap();
        assert_ne!(body, [1; 100]);
        aead.open(&[9; NONCE_LEN], b"a", &mut body, &tag).unwrap();
        assert_eq!(body, [1; 100]);
    }

    fn rejects_changed_datagrams<A: Aead>(cipher: Cipher) {
        let aead = A::new(cipher, &[7; KEY_LEN]);
        let nonce = [9; NONCE_LEN];
        let mut sealed = [1; 20];
        let tag = aead.seal(&nonce, b"a", &mut sealed).unwrap();
        let rejected = |nonce, associated: &[u8], mut body: [u8; 20], tag| {
            assert_eq!(aead.open(&nonce, associated, &mut body, &tag), Err(AeadError));
            assert_ne!(body, [1; 20], "no plaintext is produced");
        };
        rejected([8; NONCE_LEN], b"a", sealed, tag);
        rejected(nonce, b"b", sealed, tag);
        rejected(nonce, b"", sealed, tag);
        for n in 0..sealed.len() {
            let mut changed = sealed;
            changed[n] ^= 0x80;
            rejected(nonce, b"a", changed, tag);
        }
        for n in 0..TAG_LEN {
            let mut changed = tag;
            changed[n] ^= 1;
            rejected(nonce, b"a", sealed, changed);
        }
    }

    #[test]
    fn a_cipher_is_found_by_its_exact_name() {
        for cipher in CIPHERS {
            assert_eq!(Cipher::from_name(cipher.name()), Some(cipher));
        }
        for name in ["", "AES-256-GCM", "aes-128-gcm", "aes-256-gcm ", "null"] {
            assert_eq!(Cipher::from_name(name), None, "{name}");
        }
    }

    #[test]
    fn the_portable_cipher_works_in_place_and_hides_its_key() {
        CIPHERS
            .into_iter()
            .for_each(hides_its_key_and_seals_in_place::<Portable>);
    }

    #[test]
    fn the_portable_cipher_rejects_changed_datagrams() {
        CIPHERS
            .into_iter()
            .for_each(rejects_changed_datagrams::<Portable>);
    }

    #[cfg(feature = "ring")]
    mod ring {
        use proptest::prelude::*;
        use proptest::test_runner::{Config, RngSeed};

        use super::*;

        #[test]
        fn ring_works_in_place_and_hides_its_key() {
            CIPHERS
                .into_iter()
                .for_each(hides_its_key_and_seals_in_place::<Ring>);
        }

        #[test]
        fn ring_rejects_changed_datagrams() {
            CIPHERS.into_iter().for_each(rejects_changed_datagrams::<Ring>);
        }

        #[test]
        fn an_erased_key_is_another_key() {
            for cipher in CIPHERS {
                let mut erased = Ring::new(cipher, &[7; KEY_LEN]);
                erased.erase();
                let zero = Ring::new(cipher, &[0; KEY_LEN]);
                let tag = |aead: &Ring| aead.seal(&[9; NONCE_LEN], b"", &mut [1; 20]);
                assert_eq!(tag(&erased), tag(&zero));
            }
        }

        proptest! {
            #![proptest_config(Config {
                cases: 512,
                rng_seed: RngSeed::Fixed(0x5a4d_8439),
                failure_persistence: None,
                ..Config::default()
            })]

            #[test]
            fn both_implementations_give_the_same_bytes_and_errors(
                cipher in prop::sample::select(&CIPHERS),
                key in any::<[u8; KEY_LEN]>(),
                nonce in any::<[u8; NONCE_LEN]>(),
                associated in prop::collection::vec(any::<u8>(), 0..40),
                body in prop::collection::vec(any::<u8>(), 0..1600),
                flip in prop::option::of((any::<prop::sample::Index>(), 0..8u8)),
            ) {
                let (portable, ring) = (Portable::new(cipher, &key), Ring::new(cipher, &key));
                let (mut one, mut other) = (body.clone(), body.clone());
                let mut tag = portable.seal(&nonce, &associated, &mut one).unwrap();
                prop_assert_eq!(ring.seal(&nonce, &associated, &mut other).unwrap(), tag);
                prop_assert_eq!(&one, &other);
                if let Some((place, bit)) = flip {
                    let place = place.index(one.len() + TAG_LEN);
                    let changed = [&mut one, &mut other].map(|sealed| {
                        sealed.get_mut(place).map(|byte| *byte ^= 1 << bit).is_some()
                    });
                    if !changed[0] {
                        tag[place - one.len()] ^= 1 << bit;
                    }
                }
                let opened = portable.open(&nonce, &associated, &mut one, &tag);
                prop_assert_eq!(ring.open(&nonce, &associated, &mut other, &tag), opened);
                prop_assert_eq!(opened.is_err(), flip.is_some());
                if opened.is_ok() {
                    prop_assert_eq!(&one, &body);
                    prop_assert_eq!(&other, &body);
                }
            }
        }
    }
}
