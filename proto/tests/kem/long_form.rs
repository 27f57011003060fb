//! Decapsulation keys in the long form: `s ‖ ek ‖ H(ek) ‖ z`.
//!
//! The core reads and keeps only seeds. Some vectors have decapsulation keys without a seed, so they cannot go through the core's
//! module `kem`. The functions here call the same two functions as that module.

use libcrux_ml_kem::mlkem768::{self, MlKem768Ciphertext, MlKem768PrivateKey};
use ml_kem::DecapsulationKey768;
use sandhog_proto::kem::{CIPHERTEXT_LEN, SEED_LEN, SHARED_LEN};

use crate::second;

/// The decapsulation key of a seed.
pub(crate) fn key(seed: [u8; SEED_LEN]) -> Vec<u8> {
    mlkem768::generate_key_pair(seed)
        .private_key()
        .as_slice()
        .to_vec()
}

/// The shared secret of a ciphertext. None if a length is wrong, or if the key fails the checks of FIPS 203, section 7.3.
pub(crate) fn decapsulate(key: &[u8], ciphertext: &[u8]) -> Option<[u8; SHARED_LEN]> {
    let key = MlKem768PrivateKey::try_from(key).ok()?;
    let ciphertext = MlKem768Ciphertext::from(<&[u8; CIPHERTEXT_LEN]>::try_from(ciphertext).ok()?);
    mlkem768::validate_private_key(&key, &ciphertext).then(|| mlkem768::decapsulate(&key, &ciphertext))
}

/// The key of a seed, from the second implementation.
#[expect(deprecated, reason = "the vectors have keys in the long form")]
pub(crate) fn second_key(seed: &[u8; SEED_LEN]) -> Vec<u8> {
    ml_kem::ExpandedKeyEncoding::to_expanded_bytes(&second::Secret::of_seed(seed).0).to_vec()
}

/// The key with these bytes in the second implementation. None if it fails the same checks.
#[expect(deprecated, reason = "the vectors have keys in the long form")]
pub(crate) fn second_secret(key: &[u8]) -> Option<second::Secret> {
    let key = DecapsulationKey768::from_expanded(key.try_into().ok()?);
    key.ok().map(second::Secret)
}
