//! ML-KEM-768 of RustCrypto, with the types of the core's module `kem`.

use ml_kem::kem::{Decapsulate, Key, KeyExport};
use ml_kem::{B32, DecapsulationKey768, EncapsulationKey768, array::Array};
use sandhog_proto::kem::{CIPHERTEXT_LEN, PUBLIC_LEN, SEED_LEN, SHARED_LEN};

/// A decapsulation key.
pub(crate) struct Secret(pub(crate) DecapsulationKey768);

impl Secret {
    /// The key of a seed.
    pub(crate) fn of_seed(seed: &[u8; SEED_LEN]) -> Self {
        Self(DecapsulationKey768::from_seed(Array(*seed)))
    }

    /// The bytes of the encapsulation key.
    pub(crate) fn public(&self) -> [u8; PUBLIC_LEN] {
        self.0.encapsulation_key().to_bytes().0
    }

    /// The shared secret of a ciphertext.
    pub(crate) fn decapsulate(&self, ciphertext: &[u8; CIPHERTEXT_LEN]) -> [u8; SHARED_LEN] {
        self.0.decapsulate(&Array(*ciphertext)).0
    }
}

/// The ciphertext and the shared secret of an encapsulation. None if the encapsulation key is invalid.
pub(crate) fn encapsulate(
    public: &[u8; PUBLIC_LEN],
    randomness: [u8; 32],
) -> Option<([u8; CIPHERTEXT_LEN], [u8; SHARED_LEN])> {
    let key: Key<EncapsulationKey768> = Array(*public);
    let public = EncapsulationKey768::new(&key).ok()?;
    let (ciphertext, shared) = public.encapsulate_deterministic(&B32::from(randomness));
    Some((ciphertext.0, shared.0))
}
