//! Password stretching: Argon2id (RFC 9106) between the OPRF and the keys, so that each guess is expensive.

use alloc::vec;

use argon2::{Algorithm, Argon2, Block, Params, Version};
use opaque_ke::errors::InternalError;
use opaque_ke::generic_array::{ArrayLength, GenericArray};
use opaque_ke::ksf::Ksf;
use zeroize::Zeroizing;

use super::super::Suite;

/// The key stretching function (RFC 9807, section 2).
#[derive(Clone, Copy, Debug)]
pub(super) enum Stretch {
    /// Argon2id version 19 with a salt of 16 zero bytes, as in RFC 9807, section 7. A constant salt is safe:
    /// the input depends on a secret of the server and is different for each user.
    Argon2id(Suite),
    /// No stretching, as in the test vectors of RFC 9807, Appendix C.
    #[cfg(test)]
    Identity,
}

/// Required by the library, but never used: every login has a suite.
impl Default for Stretch {
    fn default() -> Self {
        Self::Argon2id(Suite::Standard)
    }
}

impl Ksf for Stretch {
    fn hash<L: ArrayLength<u8>>(
        &self,
        input: GenericArray<u8, L>,
    ) -> Result<GenericArray<u8, L>, InternalError> {
        match self {
            Self::Argon2id(suite) => {
                let mut output = GenericArray::default();
                argon2id(*suite, &input, &mut output).map_err(|_| InternalError::KsfError)?;
                Ok(output)
            }
            #[cfg(test)]
            Self::Identity => Ok(input),
        }
    }
}

fn argon2id(suite: Suite, input: &[u8], output: &mut [u8]) -> argon2::Result<()> {
    let (memory_kib, passes, lanes) = match suite {
        Suite::Laboratory => (8, 1, 1),
        Suite::Standard => (64 * 1024, 3, 4),
    };
    let params = Params::new(memory_kib, passes, lanes, Some(output.len()))?;
    // The library would not erase the memory. With its content a guess could be checked without the server.
    let mut memory = Zeroizing::new(vec![Block::default(); params.block_count()]);
    Argon2::new(Algorithm::Argon2id, Version::V0x13, params).hash_password_into_with_memory(
        input,
        &[0; 16],
        output,
        &mut *memory,
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::secure::keys::tests::hex;

    /// The expected values come from OpenSSL, with the input 0 to 63.
    #[test]
    fn both_suites_match_the_specification() {
        let input: [u8; 64] = core::array::from_fn(|at| u8::try_from(at).unwrap());
        for (suite, expected) in [
            (
                Suite::Laboratory,
                "d57e96a0e76960a08d51b88fc0aab6e0bbb055d82626904333cf8163a06c36de\
                 278f8cf3f15d0a6e7752dcca01ef89b635e6f86618b77299da33ba4dbdd1b35c",
            ),
            (
                Suite::Standard,
                "763c05e205e6d06f9d49921578c5fc314590d8016bd8ccc98049f3da265fad5d\
                 4a27e85aaac6ac1de7cf2aeda7b8c767de0ff4e5db3ff8421d9bb3e8effb279b",
            ),
        ] {
            let output = Stretch::Argon2id(suite).hash(GenericArray::from(input)).unwrap();
            assert_eq!(output.as_slice(), hex(expected), "{suite:?}");
        }
    }

    #[test]
    fn the_default_suite_is_the_standard_one() {
        assert!(matches!(Stretch::default(), Stretch::Argon2id(Suite::Standard)));
    }
}
