//! OPAQUE of a client (RFC 9807): a login and the registration of a new password, from the specification alone.

use argon2::{Algorithm, Argon2, Params, Version};
use opaque_ke::errors::InternalError;
use opaque_ke::generic_array::{ArrayLength, GenericArray};
use opaque_ke::ksf::Ksf;
use opaque_ke::{
    CipherSuite, ClientLogin, ClientLoginFinishParameters, ClientRegistration,
    ClientRegistrationFinishParameters, CredentialResponse, Identifiers, RegistrationResponse, Ristretto255,
    ServerSetup, TripleDh,
};
use rand_chacha::ChaCha20Rng;
use sha2::Sha512;

/// The algorithms of the protocol.
struct Parts;

impl CipherSuite for Parts {
    type OprfCs = Ristretto255;
    type KeyExchange = TripleDh<Ristretto255, Sha512>;
    type Ksf = Laboratory;
}

/// The stretching of suite 0: Argon2id, 8 KiB, one pass, one lane, a salt of zeros.
#[derive(Default)]
struct Laboratory;

impl Ksf for Laboratory {
    fn hash<L: ArrayLength<u8>>(
        &self,
        input: GenericArray<u8, L>,
    ) -> Result<GenericArray<u8, L>, InternalError> {
        let mut output = GenericArray::<u8, L>::default();
        let params = Params::new(8, 1, 1, Some(output.len())).map_err(|_| InternalError::KsfError)?;
        Argon2::new(Algorithm::Argon2id, Version::V0x13, params)
            .hash_password_into(&input, &[0; 16], &mut output)
            .map_err(|_| InternalError::KsfError)?;
        Ok(output)
    }
}

/// The input of the OPRF.
fn input(login: &str, password: &str) -> Vec<u8> {
    format!("sandhog/3\0{login}\0{password}").into_bytes()
}

fn identifiers(login: &str) -> Identifiers<'_> {
    Identifiers {
        client: Some(login.as_bytes()),
        server: None,
    }
}

/// The context of a login or of a password change.
pub(super) struct Context {
    pub(super) purpose: &'static [u8; 9],
    /// Receiver indices of client and server.
    pub(super) indices: [u32; 2],
    /// Fingerprint of the server's keys.
    pub(super) fingerprint: [u8; 32],
}

/// The public key in a setup of OPAQUE.
pub(super) fn public_key(setup: &[u8]) -> Vec<u8> {
    let setup = ServerSetup::<Parts>::deserialize(setup).expect("a valid setup");
    setup.keypair().public().serialize().to_vec()
}

/// A login before KE2.
pub(super) struct Attempt {
    login: String,
    input: Vec<u8>,
    state: ClientLogin<Parts>,
}

impl Attempt {
    /// Starts a login. Returns KE1. `None` if the password is too long.
    pub(super) fn start(rng: &mut ChaCha20Rng, login: &str, password: &str) -> Option<(Self, Vec<u8>)> {
        let input = input(login, password);
        let start = ClientLogin::<Parts>::start(rng, &input).ok()?;
        let attempt = Self {
            login: login.to_owned(),
            input,
            state: start.state,
        };
        Some((attempt, start.message.serialize().to_vec()))
    }

    /// KE3 and the session key. `None` if the password is wrong.
    pub(super) fn finish(
        &self,
        rng: &mut ChaCha20Rng,
        context: &Context,
        ke2: &[u8],
    ) -> Option<(Vec<u8>, Vec<u8>)> {
        let Context {
            purpose,
            indices: [ours, theirs],
            fingerprint,
        } = context;
        let context = [
            &purpose[..],
            b"\0",
            &ours.to_be_bytes(),
            &theirs.to_be_bytes(),
            fingerprint,
        ]
        .concat();
        let ke2 = CredentialResponse::deserialize(ke2).ok()?;
        let parameters =
            ClientLoginFinishParameters::new(Some(&context), identifiers(&self.login), Some(&Laboratory));
        let state = self.state.clone();
        let finish = state.finish(rng, &self.input, ke2, parameters).ok()?;
        Some((finish.message.serialize().to_vec(), finish.session_key.to_vec()))
    }
}

/// The registration of a new password before `reg2`.
pub(super) struct Registration {
    login: String,
    input: Vec<u8>,
    state: ClientRegistration<Parts>,
}

impl Registration {
    /// Starts a registration. Returns `reg1`. `None` if the password is too long.
    pub(super) fn start(rng: &mut ChaCha20Rng, login: &str, password: &str) -> Option<(Self, Vec<u8>)> {
        let input = input(login, password);
        let start = ClientRegistration::<Parts>::start(rng, &input).ok()?;
        let registration = Self {
            login: login.to_owned(),
            input,
            state: start.state,
        };
        Some((registration, start.message.serialize().to_vec()))
    }

    /// The new record. `None` if `reg2` is not valid.
    pub(super) fn finish(&self, rng: &mut ChaCha20Rng, reg2: &[u8]) -> Option<Vec<u8>> {
        let reg2 = RegistrationResponse::deserialize(reg2).ok()?;
        let parameters = ClientRegistrationFinishParameters::new(identifiers(&self.login), Some(&Laboratory));
        let state = self.state.clone();
        let finish = state.finish(rng, &self.input, reg2, parameters).ok()?;
        Some(finish.message.serialize().to_vec())
    }
}
