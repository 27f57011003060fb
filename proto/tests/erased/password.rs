//! The values between a password and the keys of OPAQUE (RFC 9497, RFC 9807), computed from the vectors.

use argon2::{Algorithm, Argon2, Block, Params, Version};
use curve25519_dalek::ristretto::CompressedRistretto;
use curve25519_dalek::scalar::Scalar;
use hkdf::Hkdf;
use sha2::{Digest, Sha512};
use zeroize::Zeroizing;

/// Results of the stretching.
pub(crate) struct Stretched {
    pub(crate) oprf: Zeroizing<Vec<u8>>,
    pub(crate) output: Zeroizing<Vec<u8>>,
    pub(crate) memory: Zeroizing<Vec<u8>>,
}

/// Stretches a password with suite 0. The record shows that the result is the right one.
pub(crate) fn stretched(input: &[u8], blind: &[u8], evaluated: &[u8], record: &[u8]) -> Stretched {
    let blind = Scalar::from_bytes_mod_order_wide(blind.try_into().unwrap());
    let evaluated = CompressedRistretto::from_slice(evaluated).unwrap();
    let element = (evaluated.decompress().unwrap() * blind.invert()).compress();
    let length = u16::try_from(input.len()).unwrap().to_be_bytes();
    let oprf = Sha512::new()
        .chain_update(length)
        .chain_update(input)
        .chain_update(32_u16.to_be_bytes())
        .chain_update(element.as_bytes())
        .chain_update(b"Finalize")
        .finalize();

    let params = Params::new(8, 1, 1, Some(64)).unwrap();
    let mut blocks = Zeroizing::new(vec![Block::default(); params.block_count()]);
    let mut output = Zeroizing::new(vec![0; 64]);
    Argon2::new(Algorithm::Argon2id, Version::V0x13, params)
        .hash_password_into_with_memory(&oprf, &[0; 16], &mut output, &mut *blocks)
        .unwrap();

    let (_, hkdf) = Hkdf::<Sha512>::extract(None, &[&*oprf, &**output].concat());
    let mut masking_key = [0; 64];
    hkdf.expand(b"MaskingKey", &mut masking_key).unwrap();
    assert_eq!(masking_key, record[32..96], "the masking key of the record");

    let words = blocks.iter().flat_map(|block| block.as_ref());
    Stretched {
        oprf: Zeroizing::new(oprf.to_vec()),
        output,
        memory: Zeroizing::new(words.flat_map(|word| word.to_le_bytes()).collect()),
    }
}
