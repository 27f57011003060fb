//! The server's long-term secrets, and the public values that a client knows about them.

use alloc::boxed::Box;
use alloc::string::String;
use alloc::sync::Arc;
use core::error::Error;
use core::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use curve25519_dalek::MontgomeryPoint;
use rand_core::{CryptoRng, RngCore};
use sha2::{Digest, Sha512};
use zeroize::{Zeroize, Zeroizing};

use super::keys::agree;
use super::login_box::LoginSecret;
use super::message::KEY_HALF_LEN;
use super::opaque::{self, OpaqueSetup, Record, RegisterError};
use super::ticket::{TICKET_FOR, Ticket, TicketKey};
use super::{Login, Suite};
use crate::kem::{self, PUBLIC_LEN, PublicKey, SEED_LEN, SecretKey, Seed};
use crate::secret::{Secret, erasing_stack};

/// Length of a server's setup in bytes.
pub const SETUP_LEN: usize = 256;

/// Length of a server's key in a client's configuration, in bytes.
pub const SERVER_KEY_LEN: usize = 64;

/// The server's long-term secrets: those of OPAQUE, an X25519 key, the seed of an ML-KEM-768 key, and the key of its tickets.
/// Without them nobody can log in, so keep a copy. Erased when dropped, never printed.
#[derive(Clone)]
pub struct ServerSetup {
    opaque: OpaqueSetup,
    x25519: Secret<32>,
    seed: Seed,
    /// Made from the seed once, because that takes as long as a decapsulation.
    kem: Arc<SecretKey>,
    ticket_key: TicketKey,
    public: Arc<PublicKeys>,
}

/// The public keys of a server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct PublicKeys {
    pub(super) x25519: [u8; 32],
    pub(super) opaque: [u8; 32],
    pub(super) kem: PublicKey,
    pub(super) fingerprint: [u8; 32],
}

/// The value by which a client recognises its server: the server's X25519 key and the fingerprint of all its public keys.
/// It is not secret.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct ServerKey {
    pub(super) x25519: [u8; 32],
    pub(super) fingerprint: [u8; 32],
}

impl PublicKeys {
    fn new(x25519: [u8; 32], opaque: [u8; 32], kem: PublicKey) -> Self {
        let fingerprint = fingerprint(&x25519, &opaque, kem.as_bytes());
        Self {
            x25519,
            opaque,
            kem,
            fingerprint,
        }
    }

    /// A half of the encapsulation key: the first goes into M0r, the second into M2.
    pub(super) fn kem_half(&self, is_first: bool) -> Box<[u8; KEY_HALF_LEN]> {
        let (first, second) = self.kem.as_bytes().split_at(KEY_HALF_LEN);
        let mut half = Box::new([0; KEY_HALF_LEN]);
        half.copy_from_slice(if is_first { first } else { second });
        half
    }
}

/// SHA-512 of the three public keys, cut to 32 bytes.
fn fingerprint(x25519: &[u8; 32], opaque: &[u8; 32], kem: &[u8; PUBLIC_LEN]) -> [u8; 32] {
    let hash = Sha512::new()
        .chain_update(b"sandhog/3 server")
        .chain_update(x25519)
        .chain_update(opaque)
        .chain_update(kem)
        .finalize();
    let mut cut = [0; 32];
    for (to, from) in cut.iter_mut().zip(hash) {
        *to = from;
    }
    cut
}

impl ServerSetup {
    /// Generates a new setup. Users registered with another setup cannot log in with it.
    pub fn generate(rng: &mut (impl RngCore + CryptoRng)) -> Self {
        let opaque = OpaqueSetup::generate(rng);
        let mut x25519 = Secret::zero();
        rng.fill_bytes(&mut *x25519);
        let seed = Seed::generate(rng);
        let mut ticket_key = Secret::zero();
        rng.fill_bytes(&mut *ticket_key);
        Self::new(opaque, x25519, seed, TicketKey(ticket_key))
    }

    fn new(opaque: OpaqueSetup, x25519: Secret<32>, seed: Seed, ticket_key: TicketKey) -> Self {
        let (secret, public) = seed.key_pair();
        let point = erasing_stack(|| MontgomeryPoint::mul_base_clamped(*x25519).to_bytes());
        let public = PublicKeys::new(point, opaque.public_key(), public);
        Self {
            opaque,
            x25519,
            seed,
            kem: Arc::new(secret),
            ticket_key,
            public: Arc::new(public),
        }
    }

    /// OPAQUE's OPRF seed (64 bytes), private key (32) and public key for unknown users (32), X25519 secret (32), ML-KEM-768
    /// seed (64), ticket key (32).
    #[must_use]
    pub fn to_bytes(&self) -> Zeroizing<[u8; SETUP_LEN]> {
        let mut bytes = Zeroizing::new([0; SETUP_LEN]);
        let opaque = self.opaque.to_bytes();
        let parts = opaque
            .iter()
            .chain(&*self.x25519)
            .chain(self.seed.as_bytes().iter())
            .chain(&*self.ticket_key.0);
        for (to, from) in bytes.iter_mut().zip(parts) {
            *to = *from;
        }
        bytes
    }

    /// Reads the output of [`Self::to_bytes`].
    ///
    /// # Errors
    ///
    /// [`BadSetup`] for any other bytes.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, BadSetup> {
        let bytes: &[u8; SETUP_LEN] = bytes.try_into().map_err(|_| BadSetup)?;
        let (opaque, rest) = bytes.split_first_chunk().ok_or(BadSetup)?;
        let (x25519, rest) = rest.split_first_chunk().ok_or(BadSetup)?;
        let (seed, ticket_key) = rest.split_first_chunk::<SEED_LEN>().ok_or(BadSetup)?;
        Ok(Self::new(
            OpaqueSetup::from_bytes(opaque).ok_or(BadSetup)?,
            Secret::copied_from(x25519),
            Seed::new(*seed),
            TicketKey(Secret::copied_from(ticket_key.try_into().map_err(|_| BadSetup)?)),
        ))
    }

    /// The key by which clients recognise a server with this setup.
    #[must_use]
    pub fn server_key(&self) -> ServerKey {
        ServerKey {
            x25519: self.public.x25519,
            fingerprint: self.public.fingerprint,
        }
    }

    /// A ticket for a user with this record. `now` is in seconds since 1970. The ticket is valid for [`TICKET_FOR`].
    #[must_use]
    pub fn ticket(&self, login: &Login, record: &Record, now: u64) -> Ticket {
        let expiry = now.saturating_add(TICKET_FOR.as_secs());
        self.ticket_key.issue(login, &record.to_bytes(), expiry)
    }

    /// Returns true if `ticket` is valid for this user at `now` (seconds since 1970, `None` without a clock). Takes the same
    /// time for an unknown user, whose record is `None`.
    pub(super) fn accepts_ticket(
        &self,
        ticket: &Ticket,
        login: &Login,
        record: Option<&Record>,
        now: Option<u64>,
    ) -> bool {
        let bytes = record.map_or([0; opaque::RECORD_LEN], Record::to_bytes);
        let is_valid = self.ticket_key.accepts(ticket, login, &bytes, now);
        is_valid & record.is_some()
    }

    pub(super) const fn opaque(&self) -> &OpaqueSetup {
        &self.opaque
    }

    pub(super) fn public(&self) -> &PublicKeys {
        &self.public
    }

    /// The secret of an M1 with this cookie, receiver index and ephemeral key. `None` if the key is a point of small order.
    pub(super) fn login_secret(
        &self,
        cookie: &[u8; 16],
        index: u32,
        ephemeral: &[u8; 32],
    ) -> Option<LoginSecret> {
        let dh = agree(&self.x25519, ephemeral)?;
        Some(LoginSecret::new(
            &dh,
            (cookie, index),
            ephemeral,
            &self.public.x25519,
        ))
    }

    /// The shared secret of a ciphertext for this server.
    pub(super) fn decapsulate(&self, ciphertext: &[u8; kem::CIPHERTEXT_LEN]) -> kem::SharedSecret {
        self.kem.decapsulate(ciphertext)
    }
}

/// Hides everything.
impl fmt::Debug for ServerSetup {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ServerSetup([hidden])")
    }
}

/// Registers a user on the server: both sides of a registration in one call.
///
/// Blocks while the password is stretched with `suite`. Does not keep the password.
///
/// # Errors
///
/// [`RegisterError::PasswordTooLong`].
pub fn register(
    setup: &ServerSetup,
    suite: Suite,
    login: &Login,
    password: &str,
    rng: &mut (impl RngCore + CryptoRng),
) -> Result<Record, RegisterError> {
    opaque::register(&setup.opaque, suite, login, password, rng)
}

impl ServerKey {
    /// Reads the key from standard base64 with padding (88 characters), the form in configuration files.
    ///
    /// # Errors
    ///
    /// [`BadServerKey`] for any other text.
    pub fn from_base64(text: &str) -> Result<Self, BadServerKey> {
        let mut bytes = STANDARD.decode(text).map_err(|_| BadServerKey)?;
        let key: [u8; SERVER_KEY_LEN] = bytes.as_slice().try_into().map_err(|_| BadServerKey)?;
        bytes.zeroize();
        let (x25519, rest) = key.split_first_chunk().ok_or(BadServerKey)?;
        Ok(Self {
            x25519: *x25519,
            fingerprint: rest.try_into().map_err(|_| BadServerKey)?,
        })
    }

    /// The output that [`Self::from_base64`] reads.
    #[must_use]
    pub fn to_base64(&self) -> String {
        let mut bytes = [0; SERVER_KEY_LEN];
        for (to, from) in bytes.iter_mut().zip(self.x25519.iter().chain(&self.fingerprint)) {
            *to = *from;
        }
        STANDARD.encode(bytes)
    }

    /// The fingerprint of the server's public keys. People compare it.
    #[must_use]
    pub const fn fingerprint(&self) -> &[u8; 32] {
        &self.fingerprint
    }

    /// Returns true if a server with this key has these OPAQUE and ML-KEM keys.
    pub(super) fn matches(&self, opaque: &[u8; 32], kem: &[u8; PUBLIC_LEN]) -> bool {
        fingerprint(&self.x25519, opaque, kem) == self.fingerprint
    }
}

impl fmt::Debug for ServerKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ServerKey({})", self.to_base64())
    }
}

/// Bytes that are not a [`ServerSetup`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BadSetup;

impl fmt::Display for BadSetup {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "the server's setup is damaged: it is not {SETUP_LEN} bytes of seeds and keys"
        )
    }
}

impl Error for BadSetup {}

/// A text that is not a [`ServerKey`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BadServerKey;

impl fmt::Display for BadServerKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "the server key is not {SERVER_KEY_LEN} bytes in standard base64: copy it from the server's profile"
        )
    }
}

impl Error for BadServerKey {}

#[cfg(test)]
mod tests {
    use rand_chacha::ChaCha20Rng;
    use rand_core::SeedableRng;

    use super::*;

    fn setup(seed: u8) -> ServerSetup {
        ServerSetup::generate(&mut ChaCha20Rng::from_seed([seed; 32]))
    }

    #[test]
    fn a_setup_is_read_back_with_the_same_public_keys() {
        let before = setup(1);
        let bytes = before.to_bytes();
        let after = ServerSetup::from_bytes(&*bytes).unwrap();
        assert_eq!(*after.to_bytes(), *bytes);
        assert_eq!(after.public(), before.public());
        assert!(ServerSetup::from_bytes(&bytes[1..]).is_err());
    }

    #[test]
    fn a_server_key_is_read_back_and_other_texts_are_rejected() {
        let key = setup(1).server_key();
        let text = key.to_base64();
        assert_eq!(text.len(), 88);
        assert_eq!(ServerKey::from_base64(&text), Ok(key));
        for wrong in ["", "x", &text[1..], &text[..84]] {
            assert_eq!(ServerKey::from_base64(wrong), Err(BadServerKey));
        }
    }

    #[test]
    fn a_fingerprint_covers_all_three_keys() {
        let (ours, other) = (setup(1), setup(2));
        let (key, public) = (ours.server_key(), ours.public());
        assert!(key.matches(&public.opaque, public.kem.as_bytes()));
        assert!(!key.matches(&other.public().opaque, public.kem.as_bytes()));
        assert!(!key.matches(&public.opaque, other.public().kem.as_bytes()));
        let another = ServerKey {
            x25519: other.public().x25519,
            ..key
        };
        assert!(!another.matches(&public.opaque, public.kem.as_bytes()));
    }

    #[test]
    fn an_ephemeral_key_of_small_order_is_refused() {
        assert!(setup(1).login_secret(&[0; 16], 1, &[0; 32]).is_none());
        assert!(setup(1).login_secret(&[0; 16], 1, &[9; 32]).is_some());
    }
}
