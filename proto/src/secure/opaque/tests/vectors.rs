//! The test vectors of RFC 9807, Appendix C, for our cipher suite. They run through the same functions as
//! every login.
//!
//! `proto/tests/vectors/rfc9807.json` has the values under the names of the RFC. Randomness is replayed in
//! the order in which the library draws it. A later version of the library with another order fails here.

use alloc::vec::Vec;

use opaque_ke::Identifiers;
use rand_core::{CryptoRng, Error, RngCore};
use serde_json::Value;

use crate::secure::keys::tests::hex;
use crate::secure::opaque::exchange::{
    ClientExchangeState, Record, Registration, Setup, reg_respond, respond,
};
use crate::secure::opaque::stretch::Stretch;

/// One vector of the appendix.
struct Vector(Value);

impl Vector {
    fn new(section: &str) -> Self {
        let text = include_str!("../../../../tests/vectors/rfc9807.json");
        let file: Value = serde_json::from_str(text).unwrap();
        Self(file["vectors"][section].clone())
    }

    fn optional(&self, name: &str) -> Option<Vec<u8>> {
        self.0.get(name).map(|value| hex(value.as_str().unwrap()))
    }

    #[track_caller]
    fn get(&self, name: &str) -> Vec<u8> {
        self.optional(name).expect(name)
    }

    #[track_caller]
    fn array<const N: usize>(&self, name: &str) -> [u8; N] {
        self.get(name).try_into().expect("the length of our types")
    }

    /// The RFC does not specify the public key for unknown users. The vectors for known users do not use it.
    fn setup(&self) -> Setup {
        let parts = ["oprf_seed", "server_private_key", "client_public_key"];
        let bytes = parts.map(|name| self.get(name)).concat();
        Setup::from_bytes(&bytes.try_into().unwrap()).unwrap()
    }
}

/// Returns prepared bytes and panics when they are used up.
struct Replay(Vec<u8>);

impl Replay {
    fn new(parts: &[&[u8]]) -> Self {
        Self(parts.concat())
    }

    #[track_caller]
    fn assert_empty(&self) {
        assert!(self.0.is_empty(), "{} bytes were not drawn", self.0.len());
    }
}

impl RngCore for Replay {
    fn next_u32(&mut self) -> u32 {
        panic!("the library draws bytes only")
    }

    fn next_u64(&mut self) -> u64 {
        panic!("the library draws bytes only")
    }

    fn fill_bytes(&mut self, dest: &mut [u8]) {
        let rest = self.0.split_off(dest.len());
        dest.copy_from_slice(&self.0);
        self.0 = rest;
    }

    fn try_fill_bytes(&mut self, dest: &mut [u8]) -> Result<(), Error> {
        self.fill_bytes(dest);
        Ok(())
    }
}

impl CryptoRng for Replay {}

/// A blind is drawn as 64 bytes and reduced modulo the order of the group. Followed by 32 zero bytes, it
/// stays unchanged.
const WIDE: &[u8] = &[0; 32];

fn registers(vector: &Vector) {
    let (client, server) = (
        vector.optional("client_identity"),
        vector.optional("server_identity"),
    );
    let identifiers = Identifiers {
        client: client.as_deref(),
        server: server.as_deref(),
    };
    let password = vector.get("password");

    let mut rng = Replay::new(&[&vector.get("blind_registration"), WIDE]);
    let (registration, reg1) = Registration::start(&password, &mut rng).unwrap();
    rng.assert_empty();
    assert_eq!(reg1, vector.array("registration_request"));

    let reg2 = reg_respond(&vector.setup(), &vector.get("credential_identifier"), &reg1).unwrap();
    assert_eq!(reg2, vector.array("registration_response"));

    let mut rng = Replay::new(&[&vector.get("envelope_nonce")]);
    let record = registration
        .finish(&password, Stretch::Identity, identifiers, &reg2, &mut rng)
        .unwrap();
    rng.assert_empty();
    assert_eq!(record, vector.array("registration_upload"));
}

/// The server's randomness: the masking key for an unknown user, then the values of the RFC.
fn server_rng(vector: &Vector, masking_key: &[u8]) -> Replay {
    Replay::new(&[
        masking_key,
        &vector.get("masking_nonce"),
        &vector.get("server_keyshare_seed"),
        &vector.get("server_nonce"),
    ])
}

fn logs_in(vector: &Vector) {
    let (client, server) = (
        vector.optional("client_identity"),
        vector.optional("server_identity"),
    );
    let identifiers = Identifiers {
        client: client.as_deref(),
        server: server.as_deref(),
    };
    let (password, context) = (vector.get("password"), vector.get("Context"));

    let mut rng = Replay::new(&[
        &vector.get("blind_login"),
        WIDE,
        &vector.get("client_keyshare_seed"),
        &vector.get("client_nonce"),
    ]);
    let (client, ke1) = ClientExchangeState::start(&password, &mut rng).unwrap();
    rng.assert_empty();
    assert_eq!(ke1, vector.array("KE1"));

    let record = Record::from_bytes(&vector.array("registration_upload")).unwrap();
    let credential = vector.get("credential_identifier");
    let mut rng = server_rng(vector, &[0; 64]);
    let (server, ke2) = respond(
        &vector.setup(),
        Some(&record),
        &credential,
        identifiers,
        &ke1,
        &context,
        &mut rng,
    )
    .unwrap();
    rng.assert_empty();
    assert_eq!(ke2, vector.array("KE2"));

    let (ke3, session_key, _) = client
        .finish(&password, Stretch::Identity, identifiers, &context, &ke2)
        .unwrap();
    assert_eq!(ke3, vector.array("KE3"));
    assert_eq!(*session_key, vector.array("session_key"));
    assert_eq!(server.verify(&ke3), Some(session_key));
}

/// RFC 9807, Appendix C.1.1: without identities.
#[test]
fn real_vector_1_passes() {
    let vector = Vector::new("C.1.1");
    registers(&vector);
    logs_in(&vector);
}

/// RFC 9807, Appendix C.1.2: with identities of both sides.
#[test]
fn real_vector_2_passes() {
    let vector = Vector::new("C.1.2");
    registers(&vector);
    logs_in(&vector);
}

/// RFC 9807, Appendix C.2.1: the answer to an unknown user.
#[test]
fn fake_vector_1_passes() {
    let vector = Vector::new("C.2.1");
    let (client, server) = (vector.get("client_identity"), vector.get("server_identity"));
    let identifiers = Identifiers {
        client: Some(&client),
        server: Some(&server),
    };
    let mut rng = server_rng(&vector, &vector.get("masking_key"));
    let (credential, context) = (vector.get("credential_identifier"), vector.get("Context"));
    let ke1 = vector.array("KE1");
    let (_, ke2) = respond(
        &vector.setup(),
        None,
        &credential,
        identifiers,
        &ke1,
        &context,
        &mut rng,
    )
    .unwrap();
    rng.assert_empty();
    assert_eq!(ke2, vector.array("KE2"));
}
