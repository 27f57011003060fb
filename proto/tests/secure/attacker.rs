//! Hand-made peers, written from the specification alone: a holder of the pre-shared key, a client and a
//! server.
//!
//! They share only cryptographic primitives with the crate. So any peer that understands them implements the
//! written format. They can also do what no correct peer does: send any field, any counter, any point of the
//! curve.

use std::net::SocketAddr;
use std::time::Duration;

use argon2::{Algorithm, Argon2, Params, Version};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use chacha20poly1305::aead::AeadInOut;
use chacha20poly1305::{ChaCha20Poly1305, KeyInit};
use hkdf::Hkdf;
use opaque_ke::errors::InternalError;
use opaque_ke::generic_array::{ArrayLength, GenericArray};
use opaque_ke::ksf::Ksf;
use opaque_ke::{
    CipherSuite, ClientLogin, ClientLoginFinishParameters, CredentialFinalization, CredentialRequest,
    CredentialResponse, Identifiers, Ristretto255, ServerLogin, ServerLoginParameters, ServerRegistration,
    ServerSetup, TripleDh,
};
use rand_chacha::ChaCha20Rng;
use rand_core::{RngCore, SeedableRng};
use serde_json::Value;
use sha2::{Digest, Sha512};
use x25519_dalek::{X25519_BASEPOINT_BYTES, x25519};

use crate::support::{Net, PASSWORD, Seen, server_address, setup, user};

/// The bytes of `support::psk`.
pub(crate) const PSK: [u8; 32] = [0x5a; 32];
/// Length of every control datagram.
pub(crate) const CONTROL_LEN: usize = 1200;

pub(crate) fn b64(bytes: &[u8]) -> String {
    URL_SAFE_NO_PAD.encode(bytes)
}

pub(crate) fn from_b64(text: &Value) -> Vec<u8> {
    URL_SAFE_NO_PAD.decode(text.as_str().unwrap()).unwrap()
}

/// The receiver index in a message.
pub(crate) fn index(of: &Value) -> u32 {
    u32::try_from(of.as_u64().unwrap()).unwrap()
}

fn extract(salt: &[u8], ikm: &[u8]) -> [u8; 64] {
    Hkdf::<Sha512>::extract(Some(salt), ikm).0.into()
}

fn expand<const N: usize>(prk: &[u8; 64], info: &[u8]) -> [u8; N] {
    let mut out = [0; N];
    Hkdf::<Sha512>::from_prk(prk)
        .unwrap()
        .expand(info, &mut out)
        .unwrap();
    out
}

/// `code | nonce | ciphertext | tag`, with the code as associated data.
pub(crate) fn seal(key: &[u8; 32], code: u8, nonce: [u8; 12], plaintext: &[u8]) -> Vec<u8> {
    let mut body = plaintext.to_vec();
    let cipher = ChaCha20Poly1305::new(key.into());
    let tag = cipher
        .encrypt_inout_detached(&nonce.into(), &[code], body.as_mut_slice().into())
        .unwrap();
    [&[code], &nonce[..], &body, &tag[..]].concat()
}

pub(crate) fn open(key: &[u8; 32], datagram: &[u8]) -> Option<Vec<u8>> {
    let (header, rest) = datagram.split_first_chunk::<13>()?;
    let (body, tag) = rest.split_last_chunk::<16>()?;
    let [code, nonce @ ..] = *header;
    let mut body = body.to_vec();
    let cipher = ChaCha20Poly1305::new(key.into());
    cipher
        .decrypt_inout_detached(&nonce.into(), &[code], body.as_mut_slice().into(), tag.into())
        .ok()?;
    Some(body)
}

fn padded(json: &str, len: usize) -> Vec<u8> {
    assert!(json.len() <= len, "{} bytes", json.len());
    format!("{json:len$}").into_bytes()
}

/// A holder of the pre-shared key, who can read and write every control datagram.
pub(crate) struct Insider {
    up: [u8; 32],
    down: [u8; 32],
    mix: [u8; 64],
    pub(crate) rng: ChaCha20Rng,
}

impl Insider {
    pub(crate) fn new(seed: u8) -> Self {
        let prk = extract(b"sandhog/2", &PSK);
        Self {
            up: expand(&prk, b"ctl up"),
            down: expand(&prk, b"ctl down"),
            mix: expand(&prk, b"mix"),
            rng: ChaCha20Rng::from_seed([seed; 32]),
        }
    }

    /// Seals this JSON as a datagram of the client (code 1) or the server (2).
    pub(crate) fn seal(&mut self, code: u8, json: &str) -> Vec<u8> {
        self.seal_bytes(code, &padded(json, CONTROL_LEN - 29))
    }

    /// Seals any bytes of any length.
    pub(crate) fn seal_bytes(&mut self, code: u8, plaintext: &[u8]) -> Vec<u8> {
        let mut nonce = [0; 12];
        self.rng.fill_bytes(&mut nonce);
        let key = if code == 1 { &self.up } else { &self.down };
        seal(key, code, nonce, plaintext)
    }

    /// Content of a control datagram.
    #[track_caller]
    pub(crate) fn read(&self, datagram: &[u8]) -> Value {
        let key = if datagram[0] == 1 { &self.up } else { &self.down };
        assert_eq!(datagram.len(), CONTROL_LEN);
        serde_json::from_slice(&open(key, datagram).expect("sealed under the pre-shared key")).unwrap()
    }

    /// Returns the datagram with `change` applied to its content, sealed again.
    pub(crate) fn changed(&mut self, datagram: &[u8], change: impl FnOnce(&mut Value)) -> Vec<u8> {
        let mut json = self.read(datagram);
        change(&mut json);
        self.seal(datagram[0], &json.to_string())
    }

    pub(crate) fn random<const N: usize>(&mut self) -> [u8; N] {
        let mut bytes = [0; N];
        self.rng.fill_bytes(&mut bytes);
        bytes
    }

    /// A KE2 of random bytes for the client's index `to`.
    pub(crate) fn forged_ke2(&mut self, to: u32) -> Vec<u8> {
        let (server, ke2) = (self.rng.next_u32() | 1, b64(&self.random::<320>()));
        self.seal(
            2,
            &format!(r#"{{"v":2,"t":"ke2","to":{to},"idx":{server},"ke2":"{ke2}"}}"#),
        )
    }
}

/// Delivers a datagram to the server. Returns all datagrams that the server sends immediately.
pub(crate) fn ask(net: &mut Net, from: SocketAddr, datagram: &[u8]) -> Vec<Seen> {
    let before = net.log.len();
    net.inject(from, server_address(), datagram);
    net.log[before..].to_vec()
}

/// The cipher suite of RFC 9807, section 7, with the stretching of the laboratory suite.
pub(crate) struct Parts;

impl CipherSuite for Parts {
    type OprfCs = Ristretto255;
    type KeyExchange = TripleDh<Ristretto255, Sha512>;
    type Ksf = Laboratory;
}

/// Argon2id, 8 KiB, one pass, one lane, a salt of zeros.
#[derive(Default)]
pub(crate) struct Laboratory;

impl Ksf for Laboratory {
    fn hash<L: ArrayLength<u8>>(
        &self,
        input: GenericArray<u8, L>,
    ) -> Result<GenericArray<u8, L>, InternalError> {
        let mut output = GenericArray::<u8, L>::default();
        let params = Params::new(8, 1, 1, Some(output.len())).unwrap();
        Argon2::new(Algorithm::Argon2id, Version::V0x13, params)
            .hash_password_into(&input, &[0; 16], &mut output)
            .unwrap();
        Ok(output)
    }
}

/// `"sandhog/2" ‖ suite ‖ C ‖ S`, suite 0.
pub(crate) fn context(client: u32, server: u32) -> Vec<u8> {
    [
        b"sandhog/2\0",
        &client.to_be_bytes()[..],
        &server.to_be_bytes()[..],
    ]
    .concat()
}

fn identifiers(login: &str) -> Identifiers<'_> {
    Identifiers {
        client: Some(login.as_bytes()),
        server: None,
    }
}

/// A hand-made login before KE2.
pub(crate) struct Attempt {
    pub(crate) index: u32,
    pub(crate) ke1: Vec<u8>,
    login: String,
    input: Vec<u8>,
    state: ClientLogin<Parts>,
}

impl Attempt {
    pub(crate) fn new(insider: &mut Insider, login: &str, password: &str) -> Self {
        let input = format!("sandhog/2\0{login}\0{password}").into_bytes();
        let start = ClientLogin::<Parts>::start(&mut insider.rng, &input).unwrap();
        Self {
            index: insider.rng.next_u32() | 1,
            ke1: start.message.serialize().to_vec(),
            login: login.to_owned(),
            input,
            state: start.state,
        }
    }

    /// M0, or M1 if there is a cookie.
    pub(crate) fn first_message(&self, insider: &mut Insider, cookie: Option<&str>) -> Vec<u8> {
        let cookie = cookie.map_or(String::new(), |cookie| format!(r#","cookie":"{cookie}""#));
        let (index, login, ke1) = (self.index, &self.login, b64(&self.ke1));
        let json = format!(r#"{{"v":2,"t":"login","idx":{index},"login":"{login}","ke1":"{ke1}"{cookie}}}"#);
        insider.seal(1, &json)
    }

    /// KE3 and session key. `None` if KE2 does not match password and context.
    pub(crate) fn finish(&self, context: &[u8], ke2: &[u8]) -> Option<(Vec<u8>, Vec<u8>)> {
        let ke2 = CredentialResponse::deserialize(ke2).unwrap();
        let parameters =
            ClientLoginFinishParameters::new(Some(context), identifiers(&self.login), Some(&Laboratory));
        let mut rng = ChaCha20Rng::from_seed([0; 32]);
        let finish = self
            .state
            .clone()
            .finish(&mut rng, &self.input, ke2, parameters)
            .ok()?;
        Some((finish.message.serialize().to_vec(), finish.session_key.to_vec()))
    }

    /// The cookie that the server returns for M0.
    pub(crate) fn cookie(&self, insider: &mut Insider, net: &mut Net, from: SocketAddr) -> String {
        let m0 = self.first_message(insider, None);
        let answer = ask(net, from, &m0);
        insider.read(&answer[0].bytes)["cookie"]
            .as_str()
            .unwrap()
            .to_owned()
    }

    /// Sends KE1 with a new cookie. Returns M2, if the server sends one.
    pub(crate) fn begin(&self, insider: &mut Insider, net: &mut Net, from: SocketAddr) -> Option<Value> {
        let cookie = self.cookie(insider, net, from);
        let m1 = self.first_message(insider, Some(&cookie));
        let answer = ask(net, from, &m1);
        answer.first().map(|m2| insider.read(&m2.bytes))
    }

    /// Processes M2. Returns M3 and the session.
    #[track_caller]
    pub(crate) fn confirm(&self, insider: &mut Insider, m2: &Value) -> (Vec<u8>, Session) {
        let server = index(&m2["idx"]);
        let (ke3, session_key) = self
            .finish(&context(self.index, server), &from_b64(&m2["ke2"]))
            .expect("the password is right");
        let m3 = insider.seal(
            1,
            &format!(r#"{{"v":2,"t":"ke3","to":{server},"ke3":"{}"}}"#, b64(&ke3)),
        );
        let session = Session::client(&insider.mix, &session_key, self.index, server);
        (m3, session)
    }
}

/// A hand-made session of either side.
#[derive(Clone)]
pub(crate) struct Session {
    is_client: bool,
    pub(crate) epoch: u32,
    pub(crate) up: [u8; 32],
    pub(crate) down: [u8; 32],
    pub(crate) next: [u8; 64],
    /// The index in the nonces of this side.
    pub(crate) theirs: u32,
    pub(crate) counter: u64,
}

impl Session {
    fn new(is_client: bool, chain: &[u8; 64], epoch: u32, theirs: u32) -> Self {
        let key = |name: &str| [name.as_bytes(), &epoch.to_be_bytes()].concat();
        Self {
            is_client,
            epoch,
            up: expand(chain, &key("up")),
            down: expand(chain, &key("down")),
            next: expand(chain, &key("next")),
            theirs,
            counter: 0,
        }
    }

    fn client(mix: &[u8; 64], session_key: &[u8], _ours: u32, theirs: u32) -> Self {
        Self::new(true, &extract(mix, session_key), 0, theirs)
    }

    /// The next datagram.
    pub(crate) fn seal(&mut self, plaintext: &[u8]) -> Vec<u8> {
        let counter = self.counter;
        self.counter += 1;
        self.seal_at(counter, plaintext)
    }

    /// A datagram with any counter.
    pub(crate) fn seal_at(&self, counter: u64, plaintext: &[u8]) -> Vec<u8> {
        let key = if self.is_client { &self.up } else { &self.down };
        let nonce = [&self.theirs.to_be_bytes()[..], &counter.to_be_bytes()].concat();
        seal(key, 3, nonce.try_into().unwrap(), plaintext)
    }

    pub(crate) fn open(&self, datagram: &[u8]) -> Option<Vec<u8>> {
        open(if self.is_client { &self.down } else { &self.up }, datagram)
    }

    /// Content of a message of the other side.
    #[track_caller]
    pub(crate) fn read(&self, datagram: &[u8]) -> Value {
        serde_json::from_slice(&self.open(datagram).expect("under this epoch's key")).unwrap()
    }

    /// The session in the next epoch, from both rekey messages and the shared secret.
    pub(crate) fn after(&self, dh: &[u8; 32], rekey: &[u8], rekeyed: &[u8], theirs: u32) -> Self {
        let transcript = Sha512::new().chain_update(rekey).chain_update(rekeyed).finalize();
        let chain = extract(&self.next, &[&dh[..], &transcript].concat());
        Self::new(self.is_client, &chain, self.epoch + 1, theirs)
    }

    /// A rekey request with any 32 bytes as public key.
    pub(crate) fn rekey_json(&self, ours: u32, pk: &[u8; 32]) -> String {
        let (n, pk) = (self.epoch + 1, b64(pk));
        format!(r#"{{"t":"rekey","n":{n},"idx":{ours},"pk":"{pk}"}}"#)
    }

    /// Rekeys with the server as a correct client does, one second later. The server gives a session one key a second.
    pub(crate) fn rekey(&mut self, insider: &mut Insider, net: &mut Net, from: SocketAddr) -> Recorded {
        net.run_for(Duration::from_secs(1));
        let secret = insider.random::<32>();
        let ours = insider.rng.next_u32() | 1;
        let rekey = self.rekey_json(ours, &x25519(secret, X25519_BASEPOINT_BYTES));
        let sealed = self.seal(rekey.as_bytes());
        let answer = ask(net, from, &sealed);
        let rekeyed = self.open(&answer[0].bytes).unwrap();
        let rekeyed = rekeyed.trim_ascii_end().to_vec();
        let json: Value = serde_json::from_slice(&rekeyed).unwrap();
        let theirs: [u8; 32] = from_b64(&json["pk"]).try_into().unwrap();
        let dh = x25519(secret, theirs);
        let rekey = rekey.into_bytes();
        *self = self.after(&dh, &rekey, &rekeyed, index(&json["idx"]));
        Recorded { rekey, rekeyed, dh }
    }
}

/// A rekey as an observer records it, and the shared secret, which the observer does not have.
pub(crate) struct Recorded {
    pub(crate) rekey: Vec<u8>,
    pub(crate) rekeyed: Vec<u8>,
    pub(crate) dh: [u8; 32],
}

/// An address that belongs to no client of a [`Net`].
pub(crate) fn elsewhere(n: u16) -> SocketAddr {
    let [high, low] = n.to_be_bytes();
    SocketAddr::from(([192, 0, high, low], 40_000))
}

/// A hand-made client at `elsewhere(1)` that is logged in, and its settings.
pub(crate) fn logged_in(net: &mut Net, insider: &mut Insider, name: &str) -> (Session, Value) {
    let from = elsewhere(1);
    let attempt = Attempt::new(insider, name, PASSWORD);
    let m2 = attempt.begin(insider, net, from).expect("the server answers KE1");
    let (m3, mut session) = attempt.confirm(insider, &m2);
    let settings = session.read(&ask(net, from, &m3)[0].bytes);
    let ping = session.seal(br#"{"t":"ping","n":1}"#);
    let pong = ask(net, from, &ping);
    assert_eq!(session.read(&pong[0].bytes)["t"], "pong");
    net.run_for(Duration::from_secs(1));
    (session, settings)
}

/// A hand-made server. It answers KE1 without a cookie.
pub(crate) struct HandServer {
    setup: ServerSetup<Parts>,
    record: Option<ServerRegistration<Parts>>,
    state: Option<ServerLogin<Parts>>,
    client: u32,
    server: u32,
}

impl HandServer {
    /// A server that `kean` accepts as genuine.
    pub(crate) fn genuine() -> Self {
        let setup = ServerSetup::deserialize(&*setup().to_bytes()).unwrap();
        let record = ServerRegistration::deserialize(&user("kean").record.to_bytes()).unwrap();
        Self {
            setup,
            record: Some(record),
            state: None,
            client: 0,
            server: 0x0102_0304,
        }
    }

    /// M2 for M0 or M1.
    pub(crate) fn ke2(&mut self, insider: &mut Insider, first_message: &[u8]) -> Vec<u8> {
        let first_message = insider.read(first_message);
        self.client = index(&first_message["idx"]);
        let login = first_message["login"].as_str().unwrap();
        let context = context(self.client, self.server);
        let parameters = ServerLoginParameters {
            context: Some(&context),
            identifiers: identifiers(login),
        };
        let ke1 = CredentialRequest::deserialize(&from_b64(&first_message["ke1"])).unwrap();
        let start = ServerLogin::start(
            &mut insider.rng,
            &self.setup,
            self.record.clone(),
            ke1,
            login.as_bytes(),
            parameters,
        )
        .unwrap();
        self.state = Some(start.state);
        let (client, server, ke2) = (self.client, self.server, b64(&start.message.serialize()));
        insider.seal(
            2,
            &format!(r#"{{"v":2,"t":"ke2","to":{client},"idx":{server},"ke2":"{ke2}"}}"#),
        )
    }

    /// The session, if M3 is valid.
    pub(crate) fn finish(&self, insider: &Insider, m3: &[u8]) -> Option<Session> {
        let m3 = insider.read(m3);
        assert_eq!(index(&m3["to"]), self.server);
        let ke3 = CredentialFinalization::deserialize(&from_b64(&m3["ke3"])).unwrap();
        let state = self.state.clone().expect("KE2 was sent");
        let finish = state.finish(ke3, ServerLoginParameters::default()).ok()?;
        let chain = extract(&insider.mix, &finish.session_key);
        Some(Session::new(false, &chain, 0, self.client))
    }
}
