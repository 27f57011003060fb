//! OPAQUE (RFC 9807): a login by password in which the server never sees the password, not even at
//! registration.
//!
//! This file chooses Sandhog's inputs to OPAQUE (password input, identities, context, cost) and hides the
//! library behind byte arrays. `exchange` is the protocol itself with these inputs as parameters, so the test
//! vectors of the RFC run through the same code. The group is ristretto255, the hash SHA-512, the key
//! exchange 3DH, the key stretching Argon2id.
//!
//! Every message has a fixed length ([`KE1_LEN`] and so on). A wrong password, an unknown user and a changed
//! byte are indistinguishable, for both sides.

use alloc::vec::Vec;
use core::error::Error;
use core::fmt;

use opaque_ke::Identifiers;
use rand_core::{CryptoRng, RngCore};
use unicode_normalization::UnicodeNormalization;
use zeroize::Zeroizing;

use self::exchange::{KE1_LEN, KE2_LEN, KE3_LEN, REG1_LEN, REG2_LEN, Refused};
use self::stretch::Stretch;
use super::{Generator, Login, MAX_LOGIN_LEN, Suite};
use crate::secret::Secret;

mod exchange;
mod group;
mod stretch;
#[cfg(test)]
mod tests;

pub use self::exchange::RECORD_LEN;
pub(crate) use self::exchange::{OPAQUE_SETUP_LEN, SessionKey};

/// Length of the context of a login in bytes.
pub(crate) const CONTEXT_LEN: usize = 50;
/// Longest input of the OPRF in bytes (RFC 9497: below 2^16). The library checks it only when the login is
/// finished.
const MAX_OPRF_INPUT_LEN: usize = 65_535;
/// Prefix of every password input and every context. The number is the protocol version.
const PROTOCOL: &[u8; 9] = b"sandhog/3";

/// The server's secrets for registrations and logins: the OPRF seed, its key pair, and the public key used for unknown users.
/// Anyone with these secrets and the records can guess passwords offline. Erased when dropped.
#[derive(Clone)]
pub(crate) struct OpaqueSetup(exchange::Setup);

impl OpaqueSetup {
    /// Generates a new setup.
    pub(crate) fn generate(rng: &mut (impl RngCore + CryptoRng)) -> Self {
        Self(exchange::Setup::generate(rng))
    }

    /// OPRF seed (64 bytes), private key (32), public key for unknown users (32).
    pub(crate) fn to_bytes(&self) -> Zeroizing<[u8; OPAQUE_SETUP_LEN]> {
        self.0.to_bytes()
    }

    /// Reads the output of [`Self::to_bytes`]. `None` for any other bytes.
    pub(crate) fn from_bytes(bytes: &[u8; OPAQUE_SETUP_LEN]) -> Option<Self> {
        exchange::Setup::from_bytes(bytes).map(Self).ok()
    }

    /// The server's public key.
    pub(crate) fn public_key(&self) -> [u8; 32] {
        self.0.public_key()
    }
}

/// The server's record of a user: the decoded registration record of RFC 9807. Erased when dropped.
///
/// Decoding decompresses a point of the curve, and encoding compresses it. Both are done here and not at login, where the time
/// would reveal whether a user exists.
#[derive(Clone)]
pub struct Record {
    decoded: exchange::Record,
    bytes: Secret<RECORD_LEN>,
}

impl Record {
    /// Reads the output of [`Self::to_bytes`], or the last message of a registration.
    ///
    /// # Errors
    ///
    /// [`BadRecord`] for any other bytes.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, BadRecord> {
        let bytes = bytes.try_into().map_err(|_| BadRecord)?;
        let decoded = exchange::Record::from_bytes(bytes).map_err(|Refused| BadRecord)?;
        let bytes = Secret::copied_from(bytes);
        Ok(Self { decoded, bytes })
    }

    /// Public key of the user (32 bytes), masking key (64), envelope (96).
    #[must_use]
    pub fn to_bytes(&self) -> [u8; RECORD_LEN] {
        *self.bytes
    }
}

/// Hides everything.
impl fmt::Debug for Record {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Record([hidden])")
    }
}

/// Registers a user on the server: both sides of a registration in one call.
///
/// Blocks while the password is stretched with `suite`. Does not keep the password.
///
/// # Errors
///
/// [`RegisterError::PasswordTooLong`].
pub(crate) fn register(
    setup: &OpaqueSetup,
    suite: Suite,
    login: &Login,
    password: &str,
    rng: &mut (impl RngCore + CryptoRng),
) -> Result<Record, RegisterError> {
    let (registration, reg1) = Registration::start(login, password, rng)
        .map_err(|PasswordTooLong| RegisterError::PasswordTooLong)?;
    let reg2 = reg_respond(setup, login, &reg1).map_err(|BadMessage| RegisterError::InvalidMessage)?;
    let mut seed = Secret::zero();
    rng.fill_bytes(&mut *seed);
    let record = registration.finish(suite, &reg2, &seed)?;
    Record::from_bytes(&record).map_err(|BadRecord| RegisterError::InvalidMessage)
}

/// The context that both sides bind to a login: suite, client's and server's receiver index, and the fingerprint of the
/// server's public keys.
pub(crate) fn context(
    suite: Suite,
    client_index: u32,
    server_index: u32,
    fingerprint: &[u8; 32],
) -> [u8; CONTEXT_LEN] {
    context_for(PROTOCOL, suite, (client_index, server_index), fingerprint)
}

/// The context of the proof inside a password change: suite, the two receiver indices with which the session began, and the
/// fingerprint. It differs from every context of a login.
pub(crate) fn change_context(
    suite: Suite,
    session_id: (u32, u32),
    fingerprint: &[u8; 32],
) -> [u8; CONTEXT_LEN] {
    context_for(b"sandhog/c", suite, session_id, fingerprint)
}

fn context_for(
    purpose: &[u8; 9],
    suite: Suite,
    (client_index, server_index): (u32, u32),
    fingerprint: &[u8; 32],
) -> [u8; CONTEXT_LEN] {
    let parts = purpose
        .iter()
        .copied()
        .chain([suite.byte()])
        .chain(client_index.to_be_bytes())
        .chain(server_index.to_be_bytes())
        .chain(*fingerprint);
    let mut context = [0; CONTEXT_LEN];
    for (to, from) in context.iter_mut().zip(parts) {
        *to = from;
    }
    context
}

/// The client's password input for the OPRF. It contains the user name, so that equal passwords of two users
/// give unrelated results whatever keys the server uses.
fn password_input(login: &Login, password: &str) -> Result<Zeroizing<Vec<u8>>, PasswordTooLong> {
    // NFC makes UTF-8 text at most three times as long (a test has the worst character). The buffer has this
    // size from the start, so that reallocation leaves no copy of a part of the password.
    let room = password
        .len()
        .saturating_mul(3)
        .saturating_add(MAX_LOGIN_LEN)
        .saturating_add(16);
    let mut input = Zeroizing::new(Vec::with_capacity(room));
    for part in [PROTOCOL, b"\0".as_slice(), login.as_str().as_bytes(), b"\0"] {
        input.extend_from_slice(part);
    }
    for char in password.nfc() {
        input.extend_from_slice(char.encode_utf8(&mut [0; 4]).as_bytes());
    }
    if input.len() > MAX_OPRF_INPUT_LEN {
        return Err(PasswordTooLong);
    }
    Ok(input)
}

/// The client's identity is its user name. The server has no name, because its public key is in the record's
/// envelope.
fn identifiers(login: &Login) -> Identifiers<'_> {
    Identifiers {
        client: Some(login.as_str().as_bytes()),
        server: None,
    }
}

/// State of the client between KE1 and KE2. Contains the password; erased when dropped.
#[derive(Clone)]
pub(crate) struct ClientLoginState {
    login: Login,
    input: Zeroizing<Vec<u8>>,
    state: exchange::ClientExchangeState,
}

impl ClientLoginState {
    /// Starts a login. Returns the state and KE1 for the server.
    pub(crate) fn start(
        login: &Login,
        password: &str,
        rng: &mut (impl RngCore + CryptoRng),
    ) -> Result<(Self, [u8; KE1_LEN]), PasswordTooLong> {
        let input = password_input(login, password)?;
        let (state, ke1) =
            exchange::ClientExchangeState::start(&input, rng).map_err(|Refused| PasswordTooLong)?;
        let login = login.clone();
        Ok((Self { login, input, state }, ke1))
    }

    /// Checks the server's KE2. Runs Argon2id and blocks for the time that `suite` takes.
    pub(crate) fn finish(
        &self,
        suite: Suite,
        context: &[u8; CONTEXT_LEN],
        ke2: &[u8; KE2_LEN],
    ) -> Result<Finished, LoginFailed> {
        let identifiers = identifiers(&self.login);
        self.state
            .finish(&self.input, Stretch::Argon2id(suite), identifiers, context, ke2)
            .map(|(ke3, session_key, server_key)| Finished {
                ke3,
                session_key,
                server_key,
            })
            .map_err(|Refused| LoginFailed)
    }
}

impl fmt::Debug for ClientLoginState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ClientLoginState([hidden])")
    }
}

/// Result of a login on the client. The server has shown that it holds the record of this password.
pub(crate) struct Finished {
    /// For the server.
    pub(crate) ke3: [u8; KE3_LEN],
    /// The key that both sides now share.
    pub(crate) session_key: SessionKey,
    /// The server's public key, from the envelope of the record.
    pub(crate) server_key: [u8; 32],
}

impl fmt::Debug for Finished {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Finished([hidden])")
    }
}

/// State of the server between KE2 and KE3. Erased when dropped.
pub(crate) struct ServerLoginState(exchange::ServerExchangeState);

impl ServerLoginState {
    /// Returns the session key if `ke3` is the client's. A wrong `ke3` changes nothing.
    pub(crate) fn verify(&self, ke3: &[u8; KE3_LEN]) -> Option<SessionKey> {
        self.0.verify(ke3)
    }
}

impl fmt::Debug for ServerLoginState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ServerLoginState([hidden])")
    }
}

/// Answers a KE1. If `record` is `None`, the user is unknown and the answer is a fake (RFC 9807, section
/// 10.9). A fake takes the same work and has the same size. Only the bytes of the OPRF are equal from one
/// login to the next, as for a known user, because they depend only on `setup`, `login` and `ke1`. All other
/// bytes are masked with a fresh nonce or are fresh. The masking key of a fake is also fresh. Only a holder
/// of the masking key could notice that, and nobody has it.
pub(crate) fn respond(
    setup: &OpaqueSetup,
    record: Option<&Record>,
    login: &Login,
    ke1: &[u8; KE1_LEN],
    context: &[u8; CONTEXT_LEN],
    rng: &mut (impl RngCore + CryptoRng),
) -> Result<(ServerLoginState, [u8; KE2_LEN]), Ke1Invalid> {
    let record = record.map(|record| &record.decoded);
    let credential = login.as_str().as_bytes();
    exchange::respond(
        &setup.0,
        record,
        credential,
        identifiers(login),
        ke1,
        context,
        rng,
    )
    .map(|(state, ke2)| (ServerLoginState(state), ke2))
    .map_err(|Refused| Ke1Invalid)
}

/// State of the client during a password change. Contains the new password; erased when dropped.
#[derive(Clone)]
pub(crate) struct Registration {
    login: Login,
    input: Zeroizing<Vec<u8>>,
    state: exchange::Registration,
}

impl Registration {
    /// Starts a registration. Returns the state and the first message for the server.
    pub(crate) fn start(
        login: &Login,
        password: &str,
        rng: &mut (impl RngCore + CryptoRng),
    ) -> Result<(Self, [u8; REG1_LEN]), PasswordTooLong> {
        let input = password_input(login, password)?;
        let (state, reg1) = exchange::Registration::start(&input, rng).map_err(|Refused| PasswordTooLong)?;
        let login = login.clone();
        Ok((Self { login, input, state }, reg1))
    }

    /// The record for the server, made from its answer. `seed` seeds the randomness of the record. Runs
    /// Argon2id and blocks for the time that `suite` takes.
    pub(crate) fn finish(
        &self,
        suite: Suite,
        reg2: &[u8; REG2_LEN],
        seed: &Secret<32>,
    ) -> Result<[u8; RECORD_LEN], RegisterError> {
        let identifiers = identifiers(&self.login);
        let mut rng = Generator::from_seed(seed);
        self.state
            .finish(&self.input, Stretch::Argon2id(suite), identifiers, reg2, &mut rng)
            .map_err(|Refused| RegisterError::InvalidMessage)
    }
}

impl fmt::Debug for Registration {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Registration([hidden])")
    }
}

/// The server's answer to the first message of a registration. Stores nothing.
pub(crate) fn reg_respond(
    setup: &OpaqueSetup,
    login: &Login,
    reg1: &[u8; REG1_LEN],
) -> Result<[u8; REG2_LEN], BadMessage> {
    exchange::reg_respond(&setup.0, login.as_str().as_bytes(), reg1).map_err(|Refused| BadMessage)
}

/// Bytes that are not a [`Record`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BadRecord;

impl fmt::Display for BadRecord {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "the registration record is damaged: it is not {RECORD_LEN} bytes of keys and envelope"
        )
    }
}

impl Error for BadRecord {}

/// Reason why a user could not be registered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RegisterError {
    /// The password is too long: user name and password together have at most about 65,000 bytes.
    PasswordTooLong,
    /// A message of the peer does not conform to RFC 9807.
    InvalidMessage,
}

impl fmt::Display for RegisterError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::PasswordTooLong => "the password is too long: use at most 60,000 bytes",
            Self::InvalidMessage => "a registration message of the peer is invalid",
        })
    }
}

impl Error for RegisterError {}

/// A password that is too long for the OPRF.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct PasswordTooLong;

/// A KE2 that does not match this login: wrong password, unknown user, another server, or a changed byte.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct LoginFailed;

/// A KE1 that does not conform to RFC 9807.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Ke1Invalid;

/// A message of a registration that does not conform to RFC 9807.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct BadMessage;
