//! OPAQUE messages as byte arrays. Everything that a protocol may choose is a parameter.
//!
//! Only the choice of the cipher suite is specific to Sandhog. The test vectors of RFC 9807 run through these
//! functions.

use alloc::boxed::Box;

use opaque_ke::{
    CipherSuite, ClientLoginFinishParameters, ClientRegistrationFinishParameters, CredentialFinalization,
    CredentialRequest, CredentialResponse, Identifiers, RegistrationRequest, RegistrationResponse,
    Ristretto255, ServerLoginParameters, ServerRegistration, TripleDh,
};
use rand_chacha::ChaCha20Rng;
use rand_core::{CryptoRng, RngCore, SeedableRng};
use sha2::Sha512;
use zeroize::{Zeroize, Zeroizing};

use super::group::Tabled;
use super::stretch::Stretch;
use crate::secret::{Secret, erasing_stack};

/// Length of KE1 in bytes: blinded element (32), nonce (32), ephemeral public key (32).
pub(super) const KE1_LEN: usize = 96;
/// Length of KE2 in bytes: evaluated element (32), masking nonce (32), masked response (128), nonce (32), ephemeral
/// public key (32), MAC (64).
pub(super) const KE2_LEN: usize = 320;
/// Length of KE3 in bytes: MAC (64).
pub(super) const KE3_LEN: usize = 64;
/// Length of a registration request in bytes: blinded element (32).
pub(super) const REG1_LEN: usize = 32;
/// Length of a registration response in bytes: evaluated element (32), the server's public key (32).
pub(super) const REG2_LEN: usize = 64;
/// Length of a registration record in bytes.
pub const RECORD_LEN: usize = 192;
/// Length of OPAQUE's part of a server's setup in bytes.
pub(crate) const OPAQUE_SETUP_LEN: usize = 128;

/// A session key: the secret that both sides share after a login.
pub(crate) type SessionKey = Secret<64>;

/// ristretto255-SHA512, 3DH, SHA-512 throughout (RFC 9807, section 7).
struct Parts;

impl CipherSuite for Parts {
    type OprfCs = Ristretto255;
    type KeyExchange = TripleDh<Tabled, Sha512>;
    type Ksf = Stretch;
}

/// Any error of the library. The cause is dropped, because it must not matter.
#[derive(Debug)]
pub(super) struct Refused;

impl<T> From<opaque_ke::errors::ProtocolError<T>> for Refused {
    fn from(_: opaque_ke::errors::ProtocolError<T>) -> Self {
        Self
    }
}

/// Converts output of the library to an array. Its length is part of the library's types and equals the
/// constants above.
fn array<const N: usize>(bytes: &[u8]) -> [u8; N] {
    let mut array = [0; N];
    array.copy_from_slice(bytes);
    array
}

/// Copies a session key of the library.
fn copied(bytes: &[u8]) -> SessionKey {
    let mut key = SessionKey::zero();
    key.copy_from_slice(bytes);
    key
}

/// A server's keys. The library's type erases itself.
#[derive(Clone)]
pub(super) struct Setup(Box<opaque_ke::ServerSetup<Parts>>);

impl Setup {
    pub(super) fn generate(rng: &mut (impl RngCore + CryptoRng)) -> Self {
        Self(Box::new(erasing_stack(|| opaque_ke::ServerSetup::new(rng))))
    }

    pub(super) fn to_bytes(&self) -> Zeroizing<[u8; OPAQUE_SETUP_LEN]> {
        let bytes = Zeroizing::new(self.0.serialize());
        Zeroizing::new(array(&bytes))
    }

    pub(super) fn public_key(&self) -> [u8; 32] {
        array(&self.0.keypair().public().serialize())
    }

    pub(super) fn from_bytes(bytes: &[u8; OPAQUE_SETUP_LEN]) -> Result<Self, Refused> {
        let setup = erasing_stack(|| opaque_ke::ServerSetup::deserialize(bytes))?;
        Ok(Self(Box::new(setup)))
    }
}

/// A registration record. The library's type erases itself.
#[derive(Clone)]
pub(super) struct Record(ServerRegistration<Parts>);

impl Record {
    pub(super) fn from_bytes(bytes: &[u8; RECORD_LEN]) -> Result<Self, Refused> {
        Ok(Self(ServerRegistration::deserialize(bytes)?))
    }
}

/// State of a client between the two messages of a registration.
#[derive(Clone)]
pub(super) struct Registration(Box<opaque_ke::ClientRegistration<Parts>>);

impl Registration {
    pub(super) fn start(
        password: &[u8],
        rng: &mut (impl RngCore + CryptoRng),
    ) -> Result<(Self, [u8; REG1_LEN]), Refused> {
        let start = erasing_stack(|| opaque_ke::ClientRegistration::start(rng, password))?;
        Ok((Self(Box::new(start.state)), array(&start.message.serialize())))
    }

    pub(super) fn finish(
        &self,
        password: &[u8],
        stretch: Stretch,
        identifiers: Identifiers<'_>,
        reg2: &[u8; REG2_LEN],
        rng: &mut (impl RngCore + CryptoRng),
    ) -> Result<[u8; RECORD_LEN], Refused> {
        let reg2 = RegistrationResponse::deserialize(reg2)?;
        let parameters = ClientRegistrationFinishParameters::new(identifiers, Some(&stretch));
        let mut finish = erasing_stack(|| (*self.0).clone().finish(rng, password, reg2, parameters))?;
        finish.export_key.zeroize();
        Ok(array(&Zeroizing::new(finish.message.serialize())))
    }
}

/// The server's part of a registration.
pub(super) fn reg_respond(
    setup: &Setup,
    credential: &[u8],
    reg1: &[u8; REG1_LEN],
) -> Result<[u8; REG2_LEN], Refused> {
    let reg1 = RegistrationRequest::deserialize(reg1)?;
    let start = ServerRegistration::start(&setup.0, reg1, credential)?;
    Ok(array(&start.message.serialize()))
}

/// State of a client between KE1 and KE2.
#[derive(Clone)]
pub(super) struct ClientExchangeState(Box<opaque_ke::ClientLogin<Parts>>);

impl ClientExchangeState {
    pub(super) fn start(
        password: &[u8],
        rng: &mut (impl RngCore + CryptoRng),
    ) -> Result<(Self, [u8; KE1_LEN]), Refused> {
        let start = erasing_stack(|| opaque_ke::ClientLogin::start(rng, password))?;
        Ok((Self(Box::new(start.state)), array(&start.message.serialize())))
    }

    /// KE3, the session key, and the public key of the server.
    pub(super) fn finish(
        &self,
        password: &[u8],
        stretch: Stretch,
        identifiers: Identifiers<'_>,
        context: &[u8],
        ke2: &[u8; KE2_LEN],
    ) -> Result<([u8; KE3_LEN], SessionKey, [u8; 32]), Refused> {
        let ke2 = CredentialResponse::deserialize(ke2)?;
        let parameters = ClientLoginFinishParameters::new(Some(context), identifiers, Some(&stretch));
        // The library needs randomness only for key exchanges with signatures. 3DH has none, so the generator
        // is never used.
        let mut rng = ChaCha20Rng::from_seed([0; 32]);
        let mut finish = erasing_stack(|| (*self.0).clone().finish(&mut rng, password, ke2, parameters))?;
        let session_key = copied(&finish.session_key);
        finish.session_key.zeroize();
        finish.export_key.zeroize();
        let server_key = array(&finish.server_s_pk.serialize());
        Ok((array(&finish.message.serialize()), session_key, server_key))
    }
}

/// State of a server between KE2 and KE3. The library's type erases itself.
pub(super) struct ServerExchangeState(Box<opaque_ke::ServerLogin<Parts>>);

/// The server's answer to KE1.
pub(super) fn respond(
    setup: &Setup,
    record: Option<&Record>,
    credential: &[u8],
    identifiers: Identifiers<'_>,
    ke1: &[u8; KE1_LEN],
    context: &[u8],
    rng: &mut (impl RngCore + CryptoRng),
) -> Result<(ServerExchangeState, [u8; KE2_LEN]), Refused> {
    let ke1 = CredentialRequest::deserialize(ke1)?;
    let record = record.map(|record| record.0.clone());
    let parameters = ServerLoginParameters {
        context: Some(context),
        identifiers,
    };
    let start =
        erasing_stack(|| opaque_ke::ServerLogin::start(rng, &setup.0, record, ke1, credential, parameters))?;
    Ok((
        ServerExchangeState(Box::new(start.state)),
        array(&start.message.serialize()),
    ))
}

impl ServerExchangeState {
    /// Returns the session key if `ke3` is the one of this login. Compares in constant time.
    pub(super) fn verify(&self, ke3: &[u8; KE3_LEN]) -> Option<SessionKey> {
        let ke3 = CredentialFinalization::deserialize(ke3).ok()?;
        // 3DH has already bound identities and context in KE2. These parameters are for key exchanges with
        // signatures.
        let mut finish =
            erasing_stack(|| (*self.0).clone().finish(ke3, ServerLoginParameters::default())).ok()?;
        let session_key = copied(&finish.session_key);
        finish.session_key.zeroize();
        Some(session_key)
    }
}
