//! The vectors of NIST for ML-KEM-768, from `tests/vectors/ml-kem-768.json`. The file `README.md` beside it has their source.

use sandhog_proto::kem::{CIPHERTEXT_LEN, PublicKey, SEED_LEN, Seed};
use serde::Deserialize;
use sha2::{Digest as _, Sha256};

use crate::{hex, long_form};

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Vectors {
    key_gen: Vec<KeyPair>,
    encapsulation: Vec<Encapsulation>,
    decapsulation: Vec<Decapsulation>,
    encapsulation_key_check: Vec<KeyCheck>,
}

/// Key generation. `dkSha256` is the SHA-256 hash of the decapsulation key.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct KeyPair {
    tc_id: u32,
    d: String,
    z: String,
    ek: String,
    dk_sha256: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Encapsulation {
    tc_id: u32,
    ek: String,
    m: String,
    c: String,
    k: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Decapsulation {
    tc_id: u32,
    dk: String,
    c: String,
    k: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct KeyCheck {
    tc_id: u32,
    ek: String,
    test_passed: bool,
}

fn vectors() -> Vectors {
    serde_json::from_str(include_str!("../vectors/ml-kem-768.json")).unwrap()
}

fn seed(vector: &KeyPair) -> [u8; SEED_LEN] {
    let bytes = [hex(&vector.d), hex(&vector.z)].concat();
    bytes.try_into().unwrap()
}

#[test]
fn key_pairs_are_those_of_nist() {
    let vectors = vectors().key_gen;
    for vector in &vectors {
        let (_, public) = Seed::new(seed(vector)).key_pair();
        assert_eq!(public.as_bytes()[..], hex(&vector.ek), "tcId {}", vector.tc_id);
        assert_eq!(
            PublicKey::new(public.as_bytes()),
            Ok(public),
            "tcId {}",
            vector.tc_id
        );
    }
    assert_eq!(vectors.len(), 25);
}

/// The core does not show its decapsulation key. So its arithmetic is checked, and then that the core's key does the same.
#[test]
fn decapsulation_keys_are_those_of_nist() {
    for vector in vectors().key_gen {
        let expanded = long_form::key(seed(&vector));
        assert_eq!(
            Sha256::digest(&expanded)[..],
            hex(&vector.dk_sha256),
            "tcId {}",
            vector.tc_id
        );
        let (secret, public) = Seed::new(seed(&vector)).key_pair();
        let (mut ciphertext, shared) = public.encapsulate_with(&[1; 32].into());
        for change in [0, 1] {
            ciphertext[0] ^= change;
            let ours = *secret.decapsulate(&ciphertext);
            let expected = long_form::decapsulate(&expanded, &*ciphertext);
            assert_eq!(Some(ours), expected, "tcId {}", vector.tc_id);
            assert_eq!(ours == *shared, change == 0, "tcId {}", vector.tc_id);
        }
    }
}

#[test]
fn ciphertexts_and_secrets_are_those_of_nist() {
    let vectors = vectors().encapsulation;
    for vector in &vectors {
        let public = PublicKey::new(hex(&vector.ek)[..].try_into().unwrap()).unwrap();
        let randomness: [u8; 32] = hex(&vector.m).try_into().unwrap();
        let (ciphertext, shared) = public.encapsulate_with(&randomness.into());
        assert_eq!(ciphertext[..], hex(&vector.c), "tcId {}", vector.tc_id);
        assert_eq!(shared[..], hex(&vector.k), "tcId {}", vector.tc_id);
    }
    assert_eq!(vectors.len(), 25);
}

/// These vectors have no seeds, so the core's arithmetic is called directly. Some of the ciphertexts are changed.
#[test]
fn decapsulation_gives_the_secrets_of_nist() {
    let vectors = vectors().decapsulation;
    for vector in &vectors {
        let (key, ciphertext) = (hex(&vector.dk), hex(&vector.c));
        let expected: [u8; 32] = hex(&vector.k).try_into().unwrap();
        let ours = long_form::decapsulate(&key, &ciphertext);
        assert_eq!(ours, Some(expected), "tcId {}", vector.tc_id);
        let ciphertext: [u8; CIPHERTEXT_LEN] = ciphertext.try_into().unwrap();
        let theirs = long_form::second_secret(&key).unwrap().decapsulate(&ciphertext);
        assert_eq!(theirs, expected, "tcId {}", vector.tc_id);
    }
    assert_eq!(vectors.len(), 10);
}

/// The invalid keys of this set are too long. Keys with a large coefficient are in the set of Wycheproof.
#[test]
fn encapsulation_keys_are_accepted_as_by_nist() {
    let vectors = vectors().encapsulation_key_check;
    let mut accepted = 0;
    for vector in &vectors {
        let key = hex(&vector.ek);
        let is_valid = key[..].try_into().is_ok_and(|key| PublicKey::new(key).is_ok());
        assert_eq!(is_valid, vector.test_passed, "tcId {}", vector.tc_id);
        accepted += usize::from(is_valid);
    }
    assert_eq!((accepted, vectors.len()), (5, 10));
}
