//! The group of the key exchange beside that of the library.

use opaque_ke::Ristretto255;
use opaque_ke::key_exchange::group::Group;
use opaque_ke::key_exchange::tripledh::DiffieHellman;
use rand_chacha::ChaCha20Rng;
use rand_core::SeedableRng;

use crate::secure::opaque::group::Tabled;

/// Order of the group, little-endian (RFC 9496, section 4.4).
const ORDER: [u8; 32] = [
    0xed, 0xd3, 0xf5, 0x5c, 0x1a, 0x63, 0x12, 0x58, 0xd6, 0x9c, 0xf7, 0xa2, 0xde, 0xf9, 0xde, 0x14, 0, 0, 0,
    0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0x10,
];

#[test]
fn keys_and_shared_secrets_equal_those_of_the_library() {
    for seed in 0..64 {
        let (mut own, mut library) = (ChaCha20Rng::seed_from_u64(seed), ChaCha20Rng::seed_from_u64(seed));
        let (secret, expected) = (Tabled::random_sk(&mut own), Ristretto255::random_sk(&mut library));
        assert_eq!(
            Tabled::serialize_sk(&secret),
            Ristretto255::serialize_sk(&expected)
        );
        let public = Tabled::serialize_pk(&Tabled::public_key(&secret));
        assert_eq!(
            public,
            Ristretto255::serialize_pk(&Ristretto255::public_key(&expected))
        );
        let derived = Tabled::derive_scalar(public).unwrap();
        let shared = derived.diffie_hellman(&Tabled::deserialize_take_pk(&mut &*public).unwrap());
        let expected = Ristretto255::derive_scalar(public)
            .unwrap()
            .diffie_hellman(&Ristretto255::deserialize_take_pk(&mut &*public).unwrap());
        assert_eq!(shared, expected);
    }
}

#[test]
fn a_public_key_is_read_from_the_front_of_the_bytes() {
    let mut rng = ChaCha20Rng::seed_from_u64(1);
    let public = Tabled::serialize_pk(&Tabled::public_key(&Tabled::random_sk(&mut rng)));
    let bytes = [&*public, &[7, 8]].concat();
    let mut rest = &*bytes;
    assert_eq!(
        Tabled::serialize_pk(&Tabled::deserialize_take_pk(&mut rest).unwrap()),
        public
    );
    assert_eq!(rest, [7, 8]);
}

#[test]
fn the_identity_an_invalid_point_and_a_short_key_are_rejected() {
    for bytes in [&[0; 32][..], &[0xff; 32], &[1; 31], &[]] {
        assert!(Tabled::deserialize_take_pk(&mut &*bytes).is_err(), "{bytes:?}");
    }
}

#[test]
fn the_scalar_zero_and_an_unreduced_scalar_are_rejected() {
    for bytes in [[0; 32], ORDER, [0xff; 32]] {
        assert!(Tabled::deserialize_take_sk(&mut &bytes[..]).is_err(), "{bytes:?}");
    }
}
