//! The group ristretto255 (RFC 9496) of the key exchange, with fast public keys.
//!
//! The bytes are those of the library's group. The library multiplies the base point like any other point. Here a table of its
//! multiples is used, which takes a quarter of the time. A login needs three public keys.

use curve25519_dalek::ristretto::{CompressedRistretto, RistrettoPoint};
use curve25519_dalek::scalar::Scalar;
use curve25519_dalek::traits::IsIdentity;
use opaque_ke::Ristretto255;
use opaque_ke::errors::{InternalError, ProtocolError};
use opaque_ke::generic_array::GenericArray;
use opaque_ke::key_exchange::group::Group;
use opaque_ke::key_exchange::group::ristretto255::NonZeroScalar;
use opaque_ke::key_exchange::tripledh::DiffieHellman;
use rand_core::{CryptoRng, RngCore};
use zeroize::{ZeroizeOnDrop, Zeroizing};

/// Number of bytes of an encoded point.
const POINT_LEN: usize = 32;

/// The library's group with a table of the base point.
pub(super) struct Tabled;

/// A point that is not the identity.
#[derive(Clone)]
pub(super) struct PublicKey(RistrettoPoint);

/// A scalar that is not zero.
#[derive(Clone, ZeroizeOnDrop)]
pub(super) struct SecretKey(Scalar);

impl From<NonZeroScalar> for SecretKey {
    fn from(key: NonZeroScalar) -> Self {
        let bytes = Zeroizing::new(Ristretto255::serialize_sk(&key).into());
        // The library's scalars are reduced, so the reduction changes nothing.
        Self(Scalar::from_bytes_mod_order(*bytes))
    }
}

impl Group for Tabled {
    type Pk = PublicKey;
    type PkLen = <Ristretto255 as Group>::PkLen;
    type Sk = SecretKey;
    type SkLen = <Ristretto255 as Group>::SkLen;

    fn serialize_pk(pk: &PublicKey) -> GenericArray<u8, Self::PkLen> {
        pk.0.compress().to_bytes().into()
    }

    fn deserialize_take_pk(bytes: &mut &[u8]) -> Result<PublicKey, ProtocolError> {
        let (point, rest) = bytes
            .split_first_chunk::<POINT_LEN>()
            .ok_or(ProtocolError::SerializationError)?;
        *bytes = rest;
        CompressedRistretto(*point)
            .decompress()
            .filter(|point| !point.is_identity())
            .map(PublicKey)
            .ok_or(ProtocolError::SerializationError)
    }

    fn random_sk<R: RngCore + CryptoRng>(rng: &mut R) -> SecretKey {
        Ristretto255::random_sk(rng).into()
    }

    fn derive_scalar(seed: GenericArray<u8, Self::SkLen>) -> Result<SecretKey, InternalError> {
        Ristretto255::derive_scalar(seed).map(SecretKey::from)
    }

    fn public_key(sk: &SecretKey) -> PublicKey {
        PublicKey(RistrettoPoint::mul_base(&sk.0))
    }

    fn serialize_sk(sk: &SecretKey) -> GenericArray<u8, Self::SkLen> {
        sk.0.to_bytes().into()
    }

    fn deserialize_take_sk(bytes: &mut &[u8]) -> Result<SecretKey, ProtocolError> {
        Ristretto255::deserialize_take_sk(bytes).map(SecretKey::from)
    }
}

impl DiffieHellman<Tabled> for SecretKey {
    #[expect(
        clippy::arithmetic_side_effects,
        reason = "points and scalars cannot overflow"
    )]
    fn diffie_hellman(&self, pk: &PublicKey) -> GenericArray<u8, <Tabled as Group>::PkLen> {
        Tabled::serialize_pk(&PublicKey(pk.0 * self.0))
    }
}
