//! Password hashes in the user store: Argon2id (RFC 9106) in PHC string format.

use alloc::format;
use alloc::string::{String, ToString};

use argon2::{Algorithm, Argon2, Params, PasswordHash, PasswordHasher, Version};
use base64::Engine;
use base64::engine::general_purpose::STANDARD_NO_PAD;
use rand_core::RngCore;

/// Cost of verifying a password.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HashCost {
    memory_kib: u32,
    iterations: u32,
    lanes: u32,
}

impl HashCost {
    /// For production: 19 MiB, two passes, one lane. About 20 ms on a common processor.
    pub const INTERACTIVE: Self = Self {
        memory_kib: 19 * 1024,
        iterations: 2,
        lanes: 1,
    };
    /// For simulations and tests only, where a login must cost nothing: 8 KiB, one pass, one lane.
    pub const LABORATORY: Self = Self {
        memory_kib: 8,
        iterations: 1,
        lanes: 1,
    };
}

/// Hashes `password` with Argon2id version 19 and returns a PHC string for [`User`](super::User).
///
/// `salt` must be random and different for each user. The call blocks for the time that `cost` needs.
#[must_use]
#[expect(
    clippy::expect_used,
    reason = "the costs are constants within the limits of RFC 9106, section 3.1"
)]
pub fn hash_password(password: &str, salt: [u8; 16], cost: HashCost) -> String {
    let params = Params::new(cost.memory_kib, cost.iterations, cost.lanes, None).expect("a valid cost");
    let salt = argon2::password_hash::SaltString::encode_b64(&salt).expect("16 bytes are a valid salt");
    Argon2::new(Algorithm::Argon2id, Version::V0x13, params)
        .hash_password(password.as_bytes(), &salt)
        .expect("a password below 4 GiB")
        .to_string()
}

/// Returns true if `phc` is a complete Argon2id hash that can be verified.
pub(super) fn is_usable(phc: &str) -> bool {
    read(phc).is_some()
}

/// Memory in KiB times passes, which determine the time of a verification. 0 if `phc` is not usable.
pub(super) fn cost(phc: &str) -> u64 {
    read(phc).map_or(0, |(params, _)| {
        u64::from(params.m_cost()).saturating_mul(u64::from(params.t_cost()))
    })
}

/// Returns a hash that costs as much to verify as `like` and matches no known password: salt and output are
/// random.
pub(super) fn fake(like: &str, rng: &mut impl RngCore) -> String {
    let (params, output_len) = read(like).unwrap_or_default();
    let mut random = [0; 16 + Params::DEFAULT_OUTPUT_LEN * 2];
    rng.fill_bytes(&mut random);
    let (salt, output) = random.split_at(16);
    let output = output.get(..output_len).unwrap_or(output);
    format!(
        "$argon2id$v=19$m={},t={},p={}${}${}",
        params.m_cost(),
        params.t_cost(),
        params.p_cost(),
        STANDARD_NO_PAD.encode(salt),
        STANDARD_NO_PAD.encode(output),
    )
}

/// Parameters and output length of an Argon2id hash.
fn read(phc: &str) -> Option<(Params, usize)> {
    let hash = PasswordHash::new(phc).ok()?;
    let is_argon2id = hash.algorithm == Algorithm::Argon2id.ident();
    let params = Params::try_from(&hash).ok()?;
    let output = hash.hash?;
    (is_argon2id && hash.salt.is_some()).then_some((params, output.len()))
}
