//! The ciphers against their specifications and Wycheproof, through the trait that the core uses.
//!
//! Private parts of the core (OPAQUE, key schedule, cookies) have their test vectors inside the crate: see
//! `vectors` in `secure::opaque::tests` and `secure::keys::tests`.

use sandhog_proto::aead::{Aead, AeadError, Cipher, Portable, TAG_LEN};
use wycheproof::aead::{TestName, TestSet};

/// RFC 8439, section 2.8.2.
mod rfc_8439 {
    pub(super) const NONCE: [u8; 12] = [0x07, 0, 0, 0, 0x40, 0x41, 0x42, 0x43, 0x44, 0x45, 0x46, 0x47];
    pub(super) const AAD: [u8; 12] = [
        0x50, 0x51, 0x52, 0x53, 0xc0, 0xc1, 0xc2, 0xc3, 0xc4, 0xc5, 0xc6, 0xc7,
    ];
    pub(super) const PLAINTEXT: &[u8; 114] = b"Ladies and Gentlemen of the class of '99: \
        If I could offer you only one tip for the future, sunscreen would be it.";
    pub(super) const CIPHERTEXT: [u8; 114] = [
        0xd3, 0x1a, 0x8d, 0x34, 0x64, 0x8e, 0x60, 0xdb, 0x7b, 0x86, 0xaf, 0xbc, 0x53, 0xef, 0x7e, 0xc2, 0xa4,
        0xad, 0xed, 0x51, 0x29, 0x6e, 0x08, 0xfe, 0xa9, 0xe2, 0xb5, 0xa7, 0x36, 0xee, 0x62, 0xd6, 0x3d, 0xbe,
        0xa4, 0x5e, 0x8c, 0xa9, 0x67, 0x12, 0x82, 0xfa, 0xfb, 0x69, 0xda, 0x92, 0x72, 0x8b, 0x1a, 0x71, 0xde,
        0x0a, 0x9e, 0x06, 0x0b, 0x29, 0x05, 0xd6, 0xa5, 0xb6, 0x7e, 0xcd, 0x3b, 0x36, 0x92, 0xdd, 0xbd, 0x7f,
        0x2d, 0x77, 0x8b, 0x8c, 0x98, 0x03, 0xae, 0xe3, 0x28, 0x09, 0x1b, 0x58, 0xfa, 0xb3, 0x24, 0xe4, 0xfa,
        0xd6, 0x75, 0x94, 0x55, 0x85, 0x80, 0x8b, 0x48, 0x31, 0xd7, 0xbc, 0x3f, 0xf4, 0xde, 0xf0, 0x8e, 0x4b,
        0x7a, 0x9d, 0xe5, 0x76, 0xd2, 0x65, 0x86, 0xce, 0xc6, 0x4b, 0x61, 0x16,
    ];
    pub(super) const TAG: [u8; 16] = [
        0x1a, 0xe1, 0x0b, 0x59, 0x4f, 0x09, 0xe2, 0x6a, 0x7e, 0x90, 0x2e, 0xcb, 0xd0, 0x60, 0x06, 0x91,
    ];

    /// 0x80 to 0x9f.
    pub(super) fn key() -> [u8; 32] {
        std::array::from_fn(|at| 0x80 + u8::try_from(at).unwrap())
    }
}

fn passes_rfc_8439<A: Aead>() {
    use rfc_8439::{AAD, CIPHERTEXT, NONCE, PLAINTEXT, TAG, key};
    let aead = A::new(Cipher::ChaCha20Poly1305, &key());
    let mut body = *PLAINTEXT;
    assert_eq!(aead.seal(&NONCE, &AAD, &mut body), Ok(TAG));
    assert_eq!(body, CIPHERTEXT);
    assert_eq!(aead.open(&NONCE, &AAD, &mut body, &TAG), Ok(()));
    assert_eq!(body, *PLAINTEXT);
}

/// Vectors whose nonce does not have 12 bytes do not fit our types. They are counted, so that none is
/// forgotten.
fn passes_wycheproof<A: Aead>() {
    let counts = |cipher, name| passes_set::<A>(cipher, &TestSet::load(name).unwrap());
    assert_eq!(
        counts(Cipher::ChaCha20Poly1305, TestName::ChaCha20Poly1305),
        (256, 60, 9)
    );
    assert_eq!(counts(Cipher::Aes256Gcm, TestName::AesGcm), (39, 27, 39));
}

/// Numbers of valid, invalid and unsupported vectors in a set.
fn passes_set<A: Aead>(cipher: Cipher, set: &TestSet) -> (usize, usize, usize) {
    let (mut sealed, mut refused, mut unsayable) = (0, 0, 0);
    let groups = set.test_groups.iter();
    // Keys of other lengths belong to other ciphers.
    let groups = groups.filter(|group| group.key_size == 256);
    for test in groups.flat_map(|group| &group.tests) {
        let (Ok(nonce), Ok(tag)) = (
            test.nonce[..].try_into(),
            <&[u8; TAG_LEN]>::try_from(&test.tag[..]),
        ) else {
            unsayable += 1;
            continue;
        };
        let aead = A::new(cipher, test.key[..].try_into().unwrap());
        let mut body = test.ct.to_vec();
        let opened = aead.open(nonce, &test.aad, &mut body, tag);
        if test.result.must_fail() {
            assert_eq!(opened, Err(AeadError), "{test:?}");
            refused += 1;
        } else {
            assert_eq!(opened, Ok(()), "{test:?}");
            assert_eq!(body, test.pt[..], "{test:?}");
            assert_eq!(
                aead.seal(nonce, &test.aad, &mut body).as_ref(),
                Ok(tag),
                "{test:?}"
            );
            assert_eq!(body, test.ct[..], "{test:?}");
            sealed += 1;
        }
    }
    (sealed, refused, unsayable)
}

#[test]
fn the_portable_cipher_passes_rfc_8439() {
    passes_rfc_8439::<Portable>();
}

#[test]
fn the_portable_ciphers_pass_wycheproof() {
    passes_wycheproof::<Portable>();
}

#[cfg(feature = "ring")]
#[test]
fn ring_passes_rfc_8439() {
    passes_rfc_8439::<sandhog_proto::aead::Ring>();
}

#[cfg(feature = "ring")]
#[test]
fn the_ciphers_of_ring_pass_wycheproof() {
    passes_wycheproof::<sandhog_proto::aead::Ring>();
}
