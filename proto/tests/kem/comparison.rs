//! Comparison of the core's ML-KEM-768 with that of RustCrypto on random input. The example `kem` uses it too.

use rand_chacha::ChaCha20Rng;
use rand_core::{RngCore, SeedableRng};
use sandhog_proto::kem::{CIPHERTEXT_LEN, PUBLIC_LEN, PublicKey, SEED_LEN, SHARED_LEN, SecretKey, Seed};

use super::second;

/// Bytes of an encapsulation key that hold coefficients of 12 bits. The rest is a seed.
const COEFFICIENTS: usize = PUBLIC_LEN - 32;
/// The modulus of ML-KEM.
const MODULUS: u16 = 3329;

/// A key pair, an encapsulation and their bytes, equal in both implementations.
pub(crate) struct Exchange {
    /// The decapsulation key of the core.
    pub(crate) ours: SecretKey,
    /// The decapsulation key of RustCrypto.
    pub(crate) theirs: second::Secret,
    /// The encapsulation key.
    pub(crate) public: [u8; PUBLIC_LEN],
    /// The ciphertext.
    pub(crate) ciphertext: [u8; CIPHERTEXT_LEN],
    /// The shared secret.
    pub(crate) shared: [u8; SHARED_LEN],
}

/// A generator of test input.
pub(crate) fn generator(seed: u64) -> ChaCha20Rng {
    ChaCha20Rng::seed_from_u64(seed)
}

fn bytes<const N: usize>(rng: &mut ChaCha20Rng) -> [u8; N] {
    let mut bytes = [0; N];
    rng.fill_bytes(&mut bytes);
    bytes
}

/// A number below `end`.
fn below(rng: &mut ChaCha20Rng, end: usize) -> usize {
    rng.next_u32() as usize % end
}

/// Generates a key pair, encapsulates and decapsulates with both implementations.
///
/// # Panics
///
/// Two results differ.
pub(crate) fn exchange(rng: &mut ChaCha20Rng) -> Exchange {
    let seed: [u8; SEED_LEN] = bytes(rng);
    let (ours, public) = Seed::new(seed).key_pair();
    let theirs = second::Secret::of_seed(&seed);
    assert_eq!(*public.as_bytes(), theirs.public(), "key pair of {seed:02x?}");

    let randomness: [u8; 32] = bytes(rng);
    let (ciphertext, shared) = public.encapsulate_with(&randomness.into());
    let expected = second::encapsulate(public.as_bytes(), randomness);
    assert_eq!(
        Some((*ciphertext, *shared)),
        expected,
        "encapsulation of {randomness:02x?} for the key pair of {seed:02x?}"
    );
    let exchange = Exchange {
        ours,
        theirs,
        public: *public.as_bytes(),
        ciphertext: *ciphertext,
        shared: *shared,
    };
    assert_eq!(
        exchange.decapsulated(&exchange.ciphertext),
        exchange.shared,
        "decapsulation of {randomness:02x?} with the key pair of {seed:02x?}"
    );
    exchange
}

impl Exchange {
    /// The secret that both implementations get from a ciphertext.
    ///
    /// # Panics
    ///
    /// They get different ones.
    pub(crate) fn decapsulated(&self, ciphertext: &[u8; CIPHERTEXT_LEN]) -> [u8; SHARED_LEN] {
        let ours = *self.ours.decapsulate(ciphertext);
        assert_eq!(
            ours,
            self.theirs.decapsulate(ciphertext),
            "decapsulation of {ciphertext:02x?}"
        );
        ours
    }
}

/// Decapsulates a damaged ciphertext with both implementations.
///
/// # Panics
///
/// The secrets differ, or one of them is that of the intact ciphertext.
pub(crate) fn damaged_ciphertext(exchange: &Exchange, rng: &mut ChaCha20Rng) {
    let mut ciphertext = exchange.ciphertext;
    damage(&mut ciphertext, rng);
    if ciphertext != exchange.ciphertext {
        assert_ne!(
            exchange.decapsulated(&ciphertext),
            exchange.shared,
            "{ciphertext:02x?}"
        );
    }
}

/// Reads a damaged encapsulation key with both implementations, and encapsulates if it is valid.
/// Returns true if it is.
///
/// # Panics
///
/// The results differ.
pub(crate) fn damaged_key(exchange: &Exchange, rng: &mut ChaCha20Rng) -> bool {
    let mut public = exchange.public;
    if rng.next_u32().is_multiple_of(2) {
        damage(&mut public, rng);
    } else {
        let value = MODULUS - 2 + u16::try_from(below(rng, 4)).unwrap();
        set_coefficient(&mut public, below(rng, COEFFICIENTS * 2 / 3), value);
    }
    let randomness: [u8; 32] = bytes(rng);
    let ours = PublicKey::new(&public).ok().map(|key| {
        let (ciphertext, shared) = key.encapsulate_with(&randomness.into());
        (*ciphertext, *shared)
    });
    assert_eq!(
        ours,
        second::encapsulate(&public, randomness),
        "encapsulation key {public:02x?}"
    );
    ours.is_some()
}

/// Changes some bits, some bytes, a range, or everything.
fn damage(data: &mut [u8], rng: &mut ChaCha20Rng) {
    let len = data.len();
    match below(rng, 4) {
        0 => (0..=below(rng, 4)).for_each(|_| data[below(rng, len)] ^= 1 << below(rng, 8)),
        1 => (0..=below(rng, 16)).for_each(|_| data[below(rng, len)] = rng.next_u32().to_le_bytes()[0]),
        2 => {
            let start = below(rng, len);
            let end = start + below(rng, len - start) + 1;
            let value = [0, 0xff][below(rng, 2)];
            data[start..end].fill(value);
        }
        _ => rng.fill_bytes(data),
    }
}

/// Sets a coefficient of an encapsulation key. Two coefficients take three bytes, the lower bits first.
pub(crate) fn set_coefficient(public: &mut [u8; PUBLIC_LEN], index: usize, value: u16) {
    let at = index / 2 * 3;
    let [low, high] = value.to_le_bytes();
    if index.is_multiple_of(2) {
        public[at] = low;
        public[at + 1] = (public[at + 1] & 0xf0) | high;
    } else {
        public[at + 1] = (public[at + 1] & 0x0f) | (low << 4);
        public[at + 2] = (low >> 4) | (high << 4);
    }
}
