//! The key schedule: from the session key of a login to the keys of each epoch.
//!
//! All derivations are HKDF (RFC 5869) with SHA-512. Values that leave this file are erased when dropped. The
//! hash crates do not erase their inner state, so the stack that they have used is overwritten.

use core::fmt;

use curve25519_dalek::MontgomeryPoint;
use hkdf::{Hkdf, HkdfExtract, InvalidLength};
use hmac::{Hmac, Mac};
use rand_core::{CryptoRng, RngCore};
use sha2::{Digest, Sha512};
use subtle::ConstantTimeEq;
use x25519_dalek::x25519;
use zeroize::Zeroize;

use crate::State;
use crate::aead::KEY_LEN;
use crate::kem::{CIPHERTEXT_LEN, SharedSecret};
use crate::secret::{Secret, erasing_small_stack, erasing_stack};

/// Output length of SHA-512 and therefore of HKDF-Extract, in bytes.
const HASH_LEN: usize = 64;
/// Length of an X25519 secret, a public key and a shared secret in bytes (RFC 7748, section 5).
const X25519_LEN: usize = 32;

/// Length of the MAC over the ciphertext in M3, in bytes. It fills the datagram.
pub(crate) const M3_MAC_LEN: usize = 14;

/// HKDF-Extract (RFC 5869, section 2.2) of the concatenated `ikm`.
pub(super) fn extract(salt: &[u8], ikm: &[&[u8]]) -> Secret<HASH_LEN> {
    erasing_small_stack(|| extract_here(salt, ikm))
}

fn extract_here(salt: &[u8], ikm: &[&[u8]]) -> Secret<HASH_LEN> {
    let mut hkdf = HkdfExtract::<Sha512>::new(Some(salt));
    for part in ikm {
        hkdf.input_ikm(part);
    }
    let (mut prk, _) = hkdf.finalize();
    let mut out = Secret::zero();
    out.copy_from_slice(&prk);
    prk.zeroize();
    out
}

/// HKDF-Expand (RFC 5869, section 2.3) with the concatenated `info`.
#[expect(
    clippy::expect_used,
    reason = "the lengths are constants of at most 255 hashes"
)]
pub(super) fn expand<const N: usize>(prk: &[u8; HASH_LEN], info: &[&[u8]]) -> Secret<N> {
    const { assert!(N <= 255 * HASH_LEN) };
    let mut out = Secret::zero();
    erasing_small_stack(|| fill(prk, info, &mut *out)).expect("a length within HKDF's limit");
    out
}

fn fill(prk: &[u8; HASH_LEN], info: &[&[u8]], out: &mut [u8]) -> Result<(), InvalidLength> {
    let hkdf = Hkdf::<Sha512>::from_prk(prk).map_err(|_| InvalidLength)?;
    hkdf.expand_multi_info(info, out)
}

/// `chain_e`: the secret from which the keys of epoch e are derived. It is erased after that.
pub(crate) struct Chain(Secret<HASH_LEN>);

impl Chain {
    /// `chain_0`, from the `mix` of the pre-shared key, the session key of OPAQUE, the shared secret of ML-KEM, and the
    /// transcript of the login.
    pub(crate) fn first(
        mix: &[u8; HASH_LEN],
        session_key: &[u8; HASH_LEN],
        shared: &SharedSecret,
        transcript: &[u8; HASH_LEN],
    ) -> Self {
        Self(extract(mix, &[session_key, &**shared, transcript]))
    }

    /// The keys of epoch `e`, and the secret for the next epoch. The chain itself is erased.
    pub(crate) fn epoch(self, e: u32) -> (EpochKeys, Next) {
        let e = e.to_be_bytes();
        let keys = EpochKeys {
            up: expand(&self.0, &[b"up", &e]),
            down: expand(&self.0, &[b"down", &e]),
        };
        (keys, Next(expand(&self.0, &[b"next", &e])))
    }
}

impl fmt::Debug for Chain {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Chain([hidden])")
    }
}

/// The keys of one epoch.
pub(crate) struct EpochKeys {
    /// From the client to the server.
    pub(crate) up: Secret<KEY_LEN>,
    /// From the server to the client.
    pub(crate) down: Secret<KEY_LEN>,
}

impl fmt::Debug for EpochKeys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("EpochKeys([hidden])")
    }
}

/// `next_e`: the secret from which epoch e + 1 is derived, together with the secrets of X25519 and
/// ML-KEM. It reveals
/// nothing about epoch e.
pub(crate) struct Next(Secret<HASH_LEN>);

impl Next {
    /// `chain_{e+1}`. Takes `&self`, because a rekey may be answered and then be replaced by another.
    pub(crate) fn chain(
        &self,
        dh: &[u8; X25519_LEN],
        shared: &SharedSecret,
        transcript: &[u8; HASH_LEN],
    ) -> Chain {
        Chain(extract(&*self.0, &[dh, &**shared, transcript]))
    }

    /// Describes the secret. It stands for all keys of the epoch: both sides of a session have it.
    pub(crate) fn describe(&self, state: &mut State<'_>) {
        let Self(secret) = self;
        state.secret(&**secret);
    }
}

impl fmt::Debug for Next {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Next([hidden])")
    }
}

/// SHA-512 over messages as sent, without padding. Each has a fixed length, so no other messages have the same
/// concatenation.
pub(crate) fn transcript(messages: &[&[u8]]) -> [u8; HASH_LEN] {
    let mut hash = Sha512::new();
    for message in messages {
        hash.update(message);
    }
    hash.finalize().into()
}

/// The MAC of a ciphertext for the server's encapsulation key in M3, under the session key of OPAQUE.
pub(crate) fn m3_mac(session_key: &[u8; HASH_LEN], ciphertext: &[u8; CIPHERTEXT_LEN]) -> [u8; M3_MAC_LEN] {
    cut(&mac(session_key, &[b"m3", ciphertext]))
}

/// The MAC of a registration request, under the session key of the proof of the old password.
pub(crate) fn reg1_mac(session_key: &[u8; HASH_LEN], reg1: &[u8; 32]) -> [u8; 32] {
    cut(&mac(session_key, &[b"reg1", reg1]))
}

/// The MAC of the answer to a registration request, under the same key.
pub(crate) fn reg2_mac(session_key: &[u8; HASH_LEN], reg1: &[u8; 32], reg2: &[u8; 64]) -> [u8; 32] {
    cut(&mac(session_key, &[b"reg2", reg1, reg2]))
}

/// The MAC of a new record, under the session key of the proof of the old password.
pub(crate) fn reg3_mac(session_key: &[u8; HASH_LEN], reg2: &[u8; 64], reg3: &[u8; 192]) -> [u8; 32] {
    cut(&mac(session_key, &[b"reg3", reg2, reg3]))
}

/// HMAC-SHA512 (RFC 2104) of the concatenated `message`.
#[expect(
    clippy::expect_used,
    reason = "HMAC takes keys of any length (RFC 2104, section 2)"
)]
pub(crate) fn mac(key: &[u8], message: &[&[u8]]) -> [u8; HASH_LEN] {
    erasing_small_stack(|| {
        let mut mac = Hmac::<Sha512>::new_from_slice(key).expect("a key of any length");
        for part in message {
            mac.update(part);
        }
        mac.finalize().into_bytes().into()
    })
}

/// The first `N` bytes of a hash.
pub(crate) fn cut<const N: usize>(hash: &[u8; HASH_LEN]) -> [u8; N] {
    const { assert!(N <= HASH_LEN) };
    let mut out = [0; N];
    for (to, from) in out.iter_mut().zip(hash) {
        *to = *from;
    }
    out
}

/// X25519 (RFC 7748, section 6.1). `None` if the result is all zero.
pub(crate) fn agree(secret: &[u8; X25519_LEN], theirs: &[u8; X25519_LEN]) -> Option<Secret<X25519_LEN>> {
    let mut shared = Secret::zero();
    erasing_stack(|| *shared = x25519(*secret, *theirs));
    let is_zero: bool = shared.ct_eq(&[0; X25519_LEN]).into();
    (!is_zero).then_some(shared)
}

/// X25519 secret of one side for one login or rekey. Erased when dropped.
#[derive(Clone)]
pub(crate) struct Ephemeral(Secret<X25519_LEN>);

impl Ephemeral {
    pub(crate) fn new(rng: &mut (impl RngCore + CryptoRng)) -> Self {
        let mut secret = Secret::zero();
        rng.fill_bytes(&mut *secret);
        Self(secret)
    }

    /// The public key for the peer.
    pub(crate) fn public(&self) -> [u8; X25519_LEN] {
        erasing_stack(|| MontgomeryPoint::mul_base_clamped(*self.0).to_bytes())
    }

    /// The shared secret. `None` if it is all zero: `theirs` is then a point of small order, with which every
    /// secret would give the same result (RFC 7748, section 6.1).
    pub(crate) fn agree(&self, theirs: &[u8; X25519_LEN]) -> Option<Secret<X25519_LEN>> {
        agree(&self.0, theirs)
    }

    /// Describes the secret by its public key, which the peer may have stored.
    pub(crate) fn describe(&self, state: &mut State<'_>) {
        let Self(_) = self; // the public key belongs to no other secret
        state.secret(&self.public());
    }
}

impl fmt::Debug for Ephemeral {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Ephemeral([hidden])")
    }
}

#[cfg(test)]
pub(super) mod tests;
