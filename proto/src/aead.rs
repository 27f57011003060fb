//! The authenticated ciphers behind a small trait, so that a faster implementation can take its place.

use alloc::boxed::Box;
use core::error::Error;
use core::fmt;

use aes_gcm::Aes256Gcm;
use chacha20poly1305::aead::AeadInOut;
use chacha20poly1305::{ChaCha20Poly1305, KeyInit, Nonce, Tag};

/// Length of a key in bytes, for every [`Cipher`].
pub const KEY_LEN: usize = 32;
/// Length of a nonce in bytes, for every [`Cipher`].
pub const NONCE_LEN: usize = 12;
/// Length of an authentication tag in bytes, for every [`Cipher`].
pub const TAG_LEN: usize = 16;

/// A cipher with authentication: key of 32 bytes, nonce of 12, tag of 16.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Cipher {
    /// ChaCha20-Poly1305 (RFC 8439): fast everywhere, and what everybody has.
    #[default]
    ChaCha20Poly1305,
    /// AES-256-GCM (NIST SP 800-38D, RFC 5116): faster where the processor has instructions for AES and carry-less
    /// multiplication, and some times slower where it has none.
    Aes256Gcm,
}

impl Cipher {
    /// The name on the wire, in files and for people: that of the IANA registry of AEAD algorithms in kebab case.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::ChaCha20Poly1305 => "chacha20-poly1305",
            Self::Aes256Gcm => "aes-256-gcm",
        }
    }

    /// The cipher of a [`name`](Self::name).
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

/// Authenticated encryption with associated data (AEAD), in place: a body is sealed and opened where it lies.
///
/// Implementations must give identical bytes: which one is used is a matter of speed.
pub trait Aead {
    /// Takes a key. Implementations erase their copy when dropped.
    fn new(cipher: Cipher, key: &[u8; KEY_LEN]) -> Self
    where
        Self: Sized;

    /// Encrypts `body` where it lies and returns the tag over it and `associated`.
    ///
    /// # Errors
    ///
    /// [`AeadError`] if `body` is longer than the cipher allows (2^36 − 32 bytes at least); `body` is unspecified then.
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

/// The ciphers as RustCrypto implements them: portable, no assembly, the same on WebAssembly.
pub struct Portable(Keyed);

/// The key of AES has its round keys beside it, some 1 KiB without instructions for them: most peers have none.
enum Keyed {
    ChaCha20Poly1305(ChaCha20Poly1305),
    Aes256Gcm(Box<Aes256Gcm>),
}

impl Aead for Portable {
    fn new(cipher: Cipher, key: &[u8; KEY_LEN]) -> Self {
        Self(match cipher {
            Cipher::ChaCha20Poly1305 => Keyed::ChaCha20Poly1305(ChaCha20Poly1305::new(key.into())),
            Cipher::Aes256Gcm => Keyed::Aes256Gcm(Box::new(Aes256Gcm::new(key.into()))),
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

/// The ciphers as `ring` implements them, in assembly: some times as fast on x86-64 and AArch64.
///
/// `None` is a key that `ring` did not take, which 32 bytes never are.
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

    /// Puts another key where the key was: `ring` does not erase its keys by itself. One of the same cipher, which takes the
    /// same bytes.
    fn erase(&mut self) {
        let algorithm = self.0.as_ref().map(ring::aead::LessSafeKey::algorithm);
        self.0 = algorithm.and_then(|algorithm| Self::key(algorithm, &[0; KEY_LEN]));
        // Somebody might look, as far as the compiler knows: the write stays.
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

    /// `ring` decrypts while it authenticates, and erases the body if the tag does not fit.
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

/// The implementation that the data path uses if nothing else is asked for: the fastest that was compiled in.
#[cfg(not(feature = "ring"))]
pub type DefaultAead = Portable;
/// The implementation that the data path uses if nothing else is asked for: the fastest that was compiled in.
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

    fn refuses_what_was_changed<A: Aead>(cipher: Cipher) {
        let aead = A::new(cipher, &[7; KEY_LEN]);
        let nonce = [9; NONCE_LEN];
        let mut sealed = [1; 20];
        let tag = aead.seal(&nonce, b"a", &mut sealed).unwrap();
        let refused = |nonce, associated: &[u8], mut body: [u8; 20], tag| {
            assert_eq!(aead.open(&nonce, associated, &mut body, &tag), Err(AeadError));
            assert_ne!(body, [1; 20], "no plaintext is given out");
        };
        refused([8; NONCE_LEN], b"a", sealed, tag);
        refused(nonce, b"b", sealed, tag);
        refused(nonce, b"", sealed, tag);
        for n in 0..sealed.len() {
            let mut changed = sealed;
            changed[n] ^= 0x80;
            refused(nonce, b"a", changed, tag);
        }
        for n in 0..TAG_LEN {
            let mut changed = tag;
            changed[n] ^= 1;
            refused(nonce, b"a", sealed, changed);
        }
    }

    #[test]
    fn a_cipher_is_found_by_its_name_and_no_other() {
        for cipher in CIPHERS {
            assert_eq!(Cipher::from_name(cipher.name()), Some(cipher));
        }
        for name in ["", "AES-256-GCM", "aes-128-gcm", "aes-256-gcm ", "null"] {
            assert_eq!(Cipher::from_name(name), None, "{name}");
        }
    }

    #[test]
    fn the_portable_one_works_in_place_and_hides_its_key() {
        CIPHERS
            .into_iter()
            .for_each(hides_its_key_and_seals_in_place::<Portable>);
    }

    #[test]
    fn the_portable_one_refuses_what_was_changed() {
        CIPHERS.into_iter().for_each(refuses_what_was_changed::<Portable>);
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
        fn ring_refuses_what_was_changed() {
            CIPHERS.into_iter().for_each(refuses_what_was_changed::<Ring>);
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
            fn both_give_the_same_bytes_and_refuse_the_same(
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
