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

/// ChaCha20-Poly1305 (RFC 8439) as `ring` implements it, in assembly: some times as fast on x86-64 and AArch64.
///
/// `None` is a key that `ring` did not take, which 32 bytes never are.
#[cfg(feature = "ring")]
pub struct RingChaCha20Poly1305(Option<ring::aead::LessSafeKey>);

#[cfg(feature = "ring")]
impl RingChaCha20Poly1305 {
    fn key(bytes: &[u8; KEY_LEN]) -> Option<ring::aead::LessSafeKey> {
        ring::aead::UnboundKey::new(&ring::aead::CHACHA20_POLY1305, bytes)
            .ok()
            .map(ring::aead::LessSafeKey::new)
    }

    /// Puts another key where the key was: `ring` does not erase its keys by itself.
    fn erase(&mut self) {
        self.0 = Self::key(&[0; KEY_LEN]);
        // Somebody might look, as far as the compiler knows: the write stays.
        core::hint::black_box(&self.0);
    }
}

#[cfg(feature = "ring")]
impl Aead for RingChaCha20Poly1305 {
    fn new(key: &[u8; KEY_LEN]) -> Self {
        Self(Self::key(key))
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
impl Drop for RingChaCha20Poly1305 {
    fn drop(&mut self) {
        self.erase();
    }
}

#[cfg(feature = "ring")]
impl fmt::Debug for RingChaCha20Poly1305 {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("RingChaCha20Poly1305([hidden])")
    }
}

/// The implementation that the data path uses if nothing else is asked for: the fastest that was compiled in.
#[cfg(not(feature = "ring"))]
pub type DefaultAead = ChaCha20Poly1305;
/// The implementation that the data path uses if nothing else is asked for: the fastest that was compiled in.
#[cfg(feature = "ring")]
pub type DefaultAead = RingChaCha20Poly1305;

#[cfg(test)]
mod tests {
    use alloc::format;
    use alloc::vec;

    use super::*;

    fn hides_its_key_and_seals_in_place<A: Aead + fmt::Debug>() {
        let aead = A::new(&[7; KEY_LEN]);
        assert!(format!("{aead:?}").ends_with("([hidden])"));
        let mut body = vec![1; 100];
        let tag = aead.seal(&[9; NONCE_LEN], b"a", &mut body).unwrap();
        assert_ne!(body, [1; 100]);
        aead.open(&[9; NONCE_LEN], b"a", &mut body, &tag).unwrap();
        assert_eq!(body, [1; 100]);
    }

    fn refuses_what_was_changed<A: Aead>() {
        let aead = A::new(&[7; KEY_LEN]);
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
    fn the_portable_one_works_in_place_and_hides_its_key() {
        hides_its_key_and_seals_in_place::<ChaCha20Poly1305>();
    }

    #[test]
    fn the_portable_one_refuses_what_was_changed() {
        refuses_what_was_changed::<ChaCha20Poly1305>();
    }

    #[cfg(feature = "ring")]
    mod ring {
        use proptest::prelude::*;
        use proptest::test_runner::{Config, RngSeed};

        use super::*;

        #[test]
        fn ring_works_in_place_and_hides_its_key() {
            hides_its_key_and_seals_in_place::<RingChaCha20Poly1305>();
        }

        #[test]
        fn ring_refuses_what_was_changed() {
            refuses_what_was_changed::<RingChaCha20Poly1305>();
        }

        #[test]
        fn an_erased_key_is_another_key() {
            let mut erased = RingChaCha20Poly1305::new(&[7; KEY_LEN]);
            erased.erase();
            let zero = RingChaCha20Poly1305::new(&[0; KEY_LEN]);
            let tag = |aead: &RingChaCha20Poly1305| aead.seal(&[9; NONCE_LEN], b"", &mut [1; 20]);
            assert_eq!(tag(&erased), tag(&zero));
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
                key in any::<[u8; KEY_LEN]>(),
                nonce in any::<[u8; NONCE_LEN]>(),
                associated in prop::collection::vec(any::<u8>(), 0..40),
                body in prop::collection::vec(any::<u8>(), 0..1600),
                flip in prop::option::of((any::<prop::sample::Index>(), 0..8u8)),
            ) {
                let (portable, ring) = (ChaCha20Poly1305::new(&key), RingChaCha20Poly1305::new(&key));
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
