//! ML-KEM-768 (FIPS 203): a key encapsulation that withstands quantum computers.
//!
//! The login and every rekey use it together with X25519. So the keys stay secret unless both are broken.
//! The arithmetic is that of `libcrux-ml-kem`, which is formally verified. All randomness is a parameter.

use alloc::boxed::Box;
use core::fmt;

use libcrux_ml_kem::mlkem768::{self, MlKem768Ciphertext, MlKem768PrivateKey, MlKem768PublicKey};
use rand_core::{CryptoRng, RngCore};
use zeroize::Zeroizing;

use crate::secret::erasing_stack;

/// Length of a seed in bytes: `d ‖ z` of FIPS 203, section 7.1.
pub const SEED_LEN: usize = 64;
/// Length of an encapsulation key in bytes.
pub const PUBLIC_LEN: usize = 1184;
/// Length of a ciphertext in bytes.
pub const CIPHERTEXT_LEN: usize = 1088;
/// Length of a shared secret in bytes.
pub const SHARED_LEN: usize = 32;
/// Length of a decapsulation key in bytes.
const SECRET_LEN: usize = 2400;

/// A secret that both sides share after an encapsulation. Erased when dropped.
pub type SharedSecret = Zeroizing<[u8; SHARED_LEN]>;

/// The seed of a key pair. It takes 64 bytes instead of the 2400 of the decapsulation key. Erased when dropped, never
/// printed.
#[derive(Clone)]
pub struct Seed(Box<Zeroizing<[u8; SEED_LEN]>>);

impl Seed {
    /// Creates a seed from its bytes, `d ‖ z`. The caller must erase its own copy.
    #[must_use]
    pub fn new(bytes: [u8; SEED_LEN]) -> Self {
        Self(Box::new(Zeroizing::new(bytes)))
    }

    /// Generates a seed.
    pub fn generate(rng: &mut (impl RngCore + CryptoRng)) -> Self {
        let mut seed = Self::new([0; SEED_LEN]);
        rng.fill_bytes(&mut **seed.0);
        seed
    }

    /// The bytes of the seed.
    #[must_use]
    pub const fn as_bytes(&self) -> &Zeroizing<[u8; SEED_LEN]> {
        &self.0
    }

    /// The key pair of this seed (FIPS 203, algorithm 16).
    #[must_use]
    pub fn key_pair(&self) -> (SecretKey, PublicKey) {
        erasing_stack(|| {
            let (secret, public) = mlkem768::generate_key_pair(**self.0).into_parts();
            let mut kept = Box::new(Zeroizing::new([0; SECRET_LEN]));
            kept.copy_from_slice(secret.as_slice());
            (SecretKey(kept), PublicKey(Box::new(*public.as_slice())))
        })
    }
}

/// Hides the seed.
impl fmt::Debug for Seed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Seed([hidden])")
    }
}

/// A decapsulation key. Erased when dropped, never printed.
#[derive(Clone)]
pub struct SecretKey(Box<Zeroizing<[u8; SECRET_LEN]>>);

impl SecretKey {
    /// The shared secret of a ciphertext (FIPS 203, algorithm 21).
    ///
    /// There is no error: a changed ciphertext gives another secret, which only this key can compute (implicit rejection).
    #[must_use]
    pub fn decapsulate(&self, ciphertext: &[u8; CIPHERTEXT_LEN]) -> SharedSecret {
        erasing_stack(|| {
            let secret = MlKem768PrivateKey::from(&**self.0);
            let ciphertext = MlKem768Ciphertext::from(ciphertext);
            Zeroizing::new(mlkem768::decapsulate(&secret, &ciphertext))
        })
    }
}

/// Hides the key.
impl fmt::Debug for SecretKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SecretKey([hidden])")
    }
}

/// An encapsulation key. It is public.
#[derive(Clone, PartialEq, Eq)]
pub struct PublicKey(Box<[u8; PUBLIC_LEN]>);

impl PublicKey {
    /// Reads an encapsulation key.
    ///
    /// # Errors
    ///
    /// [`InvalidKey`] if a coefficient is not below the modulus 3329 (FIPS 203, section 7.2).
    pub fn new(bytes: &[u8; PUBLIC_LEN]) -> Result<Self, InvalidKey> {
        let is_valid = mlkem768::validate_public_key(&MlKem768PublicKey::from(bytes));
        is_valid.then(|| Self(Box::new(*bytes))).ok_or(InvalidKey)
    }

    /// The bytes of the key.
    #[must_use]
    pub const fn as_bytes(&self) -> &[u8; PUBLIC_LEN] {
        &self.0
    }

    /// The bytes of the key.
    #[must_use]
    pub fn into_bytes(self) -> Box<[u8; PUBLIC_LEN]> {
        self.0
    }

    /// A fresh shared secret and the ciphertext from which the owner of the key gets it (FIPS 203, algorithm 20).
    pub fn encapsulate(
        &self,
        rng: &mut (impl RngCore + CryptoRng),
    ) -> (Box<[u8; CIPHERTEXT_LEN]>, SharedSecret) {
        let mut randomness = Zeroizing::new([0; SHARED_LEN]);
        rng.fill_bytes(&mut *randomness);
        self.encapsulate_with(&randomness)
    }

    /// The same with chosen randomness, which must be fresh and secret. Test vectors need it.
    #[must_use]
    pub fn encapsulate_with(
        &self,
        randomness: &Zeroizing<[u8; SHARED_LEN]>,
    ) -> (Box<[u8; CIPHERTEXT_LEN]>, SharedSecret) {
        erasing_stack(|| {
            let public = MlKem768PublicKey::from(&*self.0);
            let (ciphertext, shared) = mlkem768::encapsulate(&public, **randomness);
            (Box::new(*ciphertext.as_slice()), Zeroizing::new(shared))
        })
    }
}

impl fmt::Debug for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("PublicKey")
    }
}

/// Bytes that are not an encapsulation key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct InvalidKey;

#[cfg(test)]
mod tests {
    use super::*;

    fn pair() -> (SecretKey, PublicKey) {
        Seed::new([7; SEED_LEN]).key_pair()
    }

    #[test]
    fn both_sides_get_the_same_secret() {
        let (secret, public) = pair();
        let (ciphertext, shared) = public.encapsulate_with(&Zeroizing::new([9; 32]));
        assert_eq!(*secret.decapsulate(&ciphertext), *shared);
    }

    #[test]
    fn a_key_with_a_coefficient_of_the_modulus_is_rejected() {
        let (_, public) = pair();
        assert_eq!(PublicKey::new(public.as_bytes()), Ok(public.clone()));
        let mut bytes = *public.as_bytes();
        // The first coefficient takes 12 bits, the lower ones first.
        (bytes[0], bytes[1]) = (0x01, (bytes[1] & 0xf0) | 0x0d);
        assert_eq!(PublicKey::new(&bytes), Err(InvalidKey));
    }

    #[test]
    fn a_ciphertext_with_a_changed_bit_gives_another_secret() {
        let (secret, public) = pair();
        let (mut ciphertext, shared) = public.encapsulate_with(&Zeroizing::new([9; 32]));
        for bit in 0..CIPHERTEXT_LEN * 8 {
            ciphertext[bit / 8] ^= 1 << (bit % 8);
            assert_ne!(*secret.decapsulate(&ciphertext), *shared, "bit {bit}");
            ciphertext[bit / 8] ^= 1 << (bit % 8);
        }
    }
}
