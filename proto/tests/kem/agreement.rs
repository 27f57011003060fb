//! ML-KEM-768 of the core against that of RustCrypto. `cargo xtask kem` runs the same comparison 10^5 times.

use sandhog_proto::kem::{CIPHERTEXT_LEN, InvalidKey, PUBLIC_LEN, PublicKey};

use crate::comparison::{damaged_ciphertext, damaged_key, exchange, generator, set_coefficient};

/// Number of comparisons of each kind. On WebAssembly, a tenth is enough, because they take longer there.
const CASES: usize = if cfg!(target_family = "wasm") { 200 } else { 2000 };

#[test]
fn both_implementations_agree_on_random_keys_and_ciphertexts() {
    let mut rng = generator(1);
    for _ in 0..CASES {
        exchange(&mut rng);
    }
}

#[test]
fn both_implementations_agree_on_damaged_ciphertexts() {
    let mut rng = generator(2);
    for _ in 0..CASES / 10 {
        let exchange = exchange(&mut rng);
        for _ in 0..10 {
            damaged_ciphertext(&exchange, &mut rng);
        }
    }
}

#[test]
fn both_implementations_accept_the_same_damaged_encapsulation_keys() {
    let mut rng = generator(3);
    let exchange = exchange(&mut rng);
    let accepted = (0..CASES).filter(|_| damaged_key(&exchange, &mut rng)).count();
    assert!(
        (CASES / 10..CASES * 9 / 10).contains(&accepted),
        "{accepted} of {CASES}"
    );
}

#[test]
fn a_changed_bit_of_a_ciphertext_gives_the_same_secret_in_both() {
    let exchange = exchange(&mut generator(4));
    let mut ciphertext = exchange.ciphertext;
    for bit in 0..CIPHERTEXT_LEN * 8 {
        ciphertext[bit / 8] ^= 1 << (bit % 8);
        assert_ne!(exchange.decapsulated(&ciphertext), exchange.shared, "bit {bit}");
        ciphertext[bit / 8] ^= 1 << (bit % 8);
    }
}

#[test]
fn every_coefficient_of_an_encapsulation_key_must_be_below_the_modulus() {
    let public = exchange(&mut generator(5)).public;
    for index in 0..(PUBLIC_LEN - 32) * 2 / 3 {
        let with = |value| {
            let mut public = public;
            set_coefficient(&mut public, index, value);
            PublicKey::new(&public).map(|_| ())
        };
        assert_eq!(with(3328), Ok(()), "coefficient {index}");
        assert_eq!(with(3329), Err(InvalidKey), "coefficient {index}");
        assert_eq!(with(4095), Err(InvalidKey), "coefficient {index}");
    }
}
