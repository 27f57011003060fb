//! A hand-made server, written from the specification alone.

use opaque_ke::{
    CredentialFinalization, CredentialRequest, ServerLogin, ServerLoginParameters, ServerRegistration,
    ServerSetup,
};
use sandhog_proto::kem::Seed;
use sha2::{Digest, Sha512};
use x25519_dalek::x25519;

use crate::attacker::{
    Insider, Parts, Session, client_index, context, extract, hmac, identifiers, login_key, login_prk,
    open_box, public_keys, receiver, seal_box,
};
use crate::support::{setup, user};

/// A hand-made server. It accepts every cookie.
pub(crate) struct HandServer {
    setup: Vec<u8>,
    record: Option<ServerRegistration<Parts>>,
    state: Option<ServerLogin<Parts>>,
    client: u32,
    server: u32,
    transcript: Vec<u8>,
}

impl HandServer {
    /// A server that `kean` accepts as genuine.
    pub(crate) fn genuine() -> Self {
        Self {
            setup: setup().to_bytes().to_vec(),
            record: Some(ServerRegistration::deserialize(&user("kean").record.to_bytes()).unwrap()),
            state: None,
            client: 0,
            server: 0x0102_0304,
            transcript: Vec::new(),
        }
    }

    /// M0r for M0 or M1.
    pub(crate) fn cookie(&self, insider: &mut Insider, first_message: &[u8]) -> Vec<u8> {
        let client = client_index(&insider.read(first_message)).to_be_bytes();
        let keys = public_keys(&self.setup);
        let cookie = insider.random::<16>();
        let body = [&[0x32][..], &client, &cookie, &keys.fingerprint, &keys.kem[..592]].concat();
        insider.seal(2, &body)
    }

    /// M2 for M1.
    pub(crate) fn ke2(&mut self, insider: &mut Insider, m1: &[u8]) -> Vec<u8> {
        let m1 = insider.read(m1);
        let (request, rest) = (&m1[9..270], &m1[270..]);
        assert!(m1[0] == 0x33 && rest.iter().all(|byte| *byte == 0));
        let (cookie, ephemeral, sealed) = (&request[4..20], &request[20..52], &request[52..]);
        self.client = client_index(&m1);
        let secret = self.setup[128..160].try_into().unwrap();
        let prk = login_prk(
            &x25519(secret, ephemeral.try_into().unwrap()),
            cookie,
            self.client,
        );
        let content = open_box(&login_key(&prk, b"m1", ephemeral, b""), sealed).expect("for this server");
        let login = std::str::from_utf8(&content[1..=usize::from(content[0])]).unwrap();
        let context = context(self.client, self.server);
        let parameters = ServerLoginParameters {
            context: Some(&context),
            identifiers: identifiers(login),
        };
        let start = ServerLogin::start(
            &mut insider.rng,
            &ServerSetup::deserialize(&self.setup[..128]).unwrap(),
            self.record.clone(),
            CredentialRequest::deserialize(&content[65..161]).unwrap(),
            login.as_bytes(),
            parameters,
        )
        .unwrap();
        self.state = Some(start.state);
        let keys = public_keys(&self.setup);
        let server = self.server.to_be_bytes();
        let content = [&keys.opaque[..], &start.message.serialize(), &keys.kem[592..]].concat();
        let sealed = seal_box(&login_key(&prk, b"m2", ephemeral, &server), &content);
        let body = [&[0x34][..], &self.client.to_be_bytes(), &server, &sealed].concat();
        self.transcript = [request, &body, &keys.kem].concat();
        insider.seal(2, &body)
    }

    /// The session, if M3 is valid.
    pub(crate) fn finish(&self, insider: &Insider, m3: &[u8]) -> Option<Session> {
        let m3 = insider.read(m3);
        assert_eq!((m3[0], receiver(&m3)), (0x35, self.server));
        let (proof, mac) = m3.split_at(1157);
        let ke3 = CredentialFinalization::deserialize(&proof[5..69]).unwrap();
        let state = self.state.clone().expect("KE2 was sent");
        let finish = state.finish(ke3, ServerLoginParameters::default()).ok()?;
        let ciphertext = &proof[69..];
        assert_eq!(mac, &hmac(&finish.session_key, &[b"m3", ciphertext])[..14]);
        let (kem, _) = Seed::new(self.setup[160..224].try_into().unwrap()).key_pair();
        let shared = kem.decapsulate(ciphertext.try_into().unwrap());
        let transcript = Sha512::digest([&self.transcript[..], proof].concat());
        let ikm = [&finish.session_key[..], &*shared, &transcript].concat();
        Some(Session::new(false, &extract(&insider.mix, &ikm), 0, self.client))
    }
}
