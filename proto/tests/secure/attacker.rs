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
use hmac::{Hmac, Mac};
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
use sandhog_proto::kem::{PublicKey, Seed};
use serde_json::Value;
use sha2::{Digest, Sha512};
use x25519_dalek::{X25519_BASEPOINT_BYTES, x25519};

use crate::support::{Net, PASSWORD, START, Seen, server_address, setup, user};

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

/// A holder of the pre-shared key, who can read and write every control datagram.
pub(crate) struct Insider {
    up: [u8; 32],
    down: [u8; 32],
    mix: [u8; 64],
    pub(crate) rng: ChaCha20Rng,
    /// Wall clock in milliseconds since 1970.
    pub(crate) time: u64,
}

impl Insider {
    pub(crate) fn new(seed: u8) -> Self {
        Self::with_key(seed, &PSK)
    }

    pub(crate) fn with_key(seed: u8, psk: &[u8; 32]) -> Self {
        let prk = extract(b"sandhog/3", psk);
        Self {
            up: expand(&prk, b"ctl up"),
            down: expand(&prk, b"ctl down"),
            mix: expand(&prk, b"mix"),
            rng: ChaCha20Rng::from_seed([seed; 32]),
            time: START,
        }
    }

    /// Sets the clock to the time of `net`.
    pub(crate) fn at(&mut self, net: &Net) -> &mut Self {
        self.time = START + net.now.as_nanos() / 1_000_000;
        self
    }

    /// Seals this message as a datagram of the client (code 1) or the server (2).
    pub(crate) fn seal(&mut self, code: u8, message: &[u8]) -> Vec<u8> {
        let mut body = message.to_vec();
        assert!(body.len() <= CONTROL_LEN - 29, "{} bytes", body.len());
        body.resize(CONTROL_LEN - 29, 0);
        self.seal_bytes(code, &body)
    }

    /// Seals any bytes of any length.
    pub(crate) fn seal_bytes(&mut self, code: u8, plaintext: &[u8]) -> Vec<u8> {
        let mut nonce = [0; 12];
        self.rng.fill_bytes(&mut nonce);
        let key = if code == 1 { &self.up } else { &self.down };
        seal(key, code, nonce, plaintext)
    }

    /// Content of a control datagram, with its padding.
    #[track_caller]
    pub(crate) fn read(&self, datagram: &[u8]) -> Vec<u8> {
        let key = if datagram[0] == 1 { &self.up } else { &self.down };
        assert_eq!(datagram.len(), CONTROL_LEN);
        open(key, datagram).expect("sealed under the pre-shared key")
    }

    /// Returns the datagram with `change` applied to its content, sealed again.
    pub(crate) fn changed(&mut self, datagram: &[u8], change: impl FnOnce(&mut [u8])) -> Vec<u8> {
        let mut body = self.read(datagram);
        change(&mut body);
        self.seal_bytes(datagram[0], &body)
    }

    /// The same message as its sender would send it again: under a new nonce.
    pub(crate) fn again(&mut self, datagram: &[u8]) -> Vec<u8> {
        self.changed(datagram, |_| {})
    }

    pub(crate) fn random<const N: usize>(&mut self) -> [u8; N] {
        let mut bytes = [0; N];
        self.rng.fill_bytes(&mut bytes);
        bytes
    }

    /// An M2 of random bytes for the client's index `to`.
    pub(crate) fn forged_m2(&mut self, to: u32) -> Vec<u8> {
        let body = [&[0x34][..], &to.to_be_bytes(), &self.random::<964>()].concat();
        self.seal(2, &body)
    }
}

/// The client's receiver index in M0 or M1.
pub(crate) fn client_index(body: &[u8]) -> u32 {
    u32::from_be_bytes(*body[9..].first_chunk().unwrap())
}

/// The receiver index after the first byte: the receiver of M0r, M2 or M3.
pub(crate) fn receiver(body: &[u8]) -> u32 {
    u32::from_be_bytes(*body[1..].first_chunk().unwrap())
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

/// The public keys of `support::setup`, computed from its bytes.
pub(crate) struct PublicKeys {
    pub(crate) x25519: [u8; 32],
    pub(crate) opaque: Vec<u8>,
    pub(crate) kem: Vec<u8>,
    pub(crate) fingerprint: Vec<u8>,
}

pub(crate) fn public_keys(setup: &[u8]) -> PublicKeys {
    let x25519 = x25519(setup[128..160].try_into().unwrap(), X25519_BASEPOINT_BYTES);
    let opaque = ServerSetup::<Parts>::deserialize(&setup[..128]).unwrap();
    let opaque = opaque.keypair().public().serialize().to_vec();
    let (_, kem) = Seed::new(setup[160..224].try_into().unwrap()).key_pair();
    let kem = kem.as_bytes().to_vec();
    let all = [&b"sandhog/3 server"[..], &x25519, &opaque, &kem].concat();
    PublicKeys {
        x25519,
        opaque,
        kem,
        fingerprint: Sha512::digest(all)[..32].to_vec(),
    }
}

/// `"sandhog/3" ‖ suite ‖ C ‖ S ‖ F`, suite 0.
pub(crate) fn context(client: u32, server: u32) -> Vec<u8> {
    let fingerprint = public_keys(&*setup().to_bytes()).fingerprint;
    [
        b"sandhog/3\0",
        &client.to_be_bytes()[..],
        &server.to_be_bytes()[..],
        &fingerprint,
    ]
    .concat()
}

/// The context of a password change in this session.
pub(crate) fn change_context(session: &Session) -> Vec<u8> {
    let mut context = context(session.first.0, session.first.1);
    context[8] = b'c';
    context
}

/// The keys of the sealed parts of M1 and M2, without the name of the key.
fn login_prk(dh: &[u8; 32], cookie: &[u8], client: u32) -> [u8; 64] {
    extract(&[cookie, &client.to_be_bytes()].concat(), dh)
}

fn login_key(prk: &[u8; 64], name: &[u8], ephemeral: &[u8], more: &[u8]) -> [u8; 32] {
    let server = public_keys(&*setup().to_bytes()).x25519;
    expand(prk, &[name, ephemeral, &server, more].concat())
}

/// ChaCha20-Poly1305 without associated data, with a nonce of zeros.
fn seal_box(key: &[u8; 32], plaintext: &[u8]) -> Vec<u8> {
    let mut body = plaintext.to_vec();
    let cipher = ChaCha20Poly1305::new(key.into());
    let tag = cipher
        .encrypt_inout_detached(&[0; 12].into(), &[], body.as_mut_slice().into())
        .unwrap();
    [&body, &tag[..]].concat()
}

fn open_box(key: &[u8; 32], sealed: &[u8]) -> Option<Vec<u8>> {
    let (body, tag) = sealed.split_last_chunk::<16>()?;
    let mut body = body.to_vec();
    let cipher = ChaCha20Poly1305::new(key.into());
    cipher
        .decrypt_inout_detached(&[0; 12].into(), &[], body.as_mut_slice().into(), tag.into())
        .ok()?;
    Some(body)
}

pub(crate) fn hmac(key: &[u8], message: &[&[u8]]) -> Vec<u8> {
    let mut mac = <Hmac<Sha512> as Mac>::new_from_slice(key).unwrap();
    message.iter().for_each(|part| mac.update(part));
    mac.finalize().into_bytes().to_vec()
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
    /// X25519 secret of M1.
    pub(crate) ephemeral: [u8; 32],
    pub(crate) ticket: [u8; 32],
    login: String,
    input: Vec<u8>,
    state: ClientLogin<Parts>,
}

/// M2 as the client reads it.
pub(crate) struct M2 {
    pub(crate) index: u32,
    pub(crate) ke2: Vec<u8>,
    /// M1 without its time, then M2 without padding, then the encapsulation key.
    transcript: Vec<u8>,
}

impl Attempt {
    pub(crate) fn new(insider: &mut Insider, login: &str, password: &str) -> Self {
        let input = format!("sandhog/3\0{login}\0{password}").into_bytes();
        let start = ClientLogin::<Parts>::start(&mut insider.rng, &input).unwrap();
        Self {
            index: insider.rng.next_u32() | 1,
            ke1: start.message.serialize().to_vec(),
            ephemeral: insider.random(),
            ticket: [0; 32],
            login: login.to_owned(),
            input,
            state: start.state,
        }
    }

    fn prk(&self, cookie: &[u8; 16]) -> [u8; 64] {
        let server = public_keys(&*setup().to_bytes()).x25519;
        login_prk(&x25519(self.ephemeral, server), cookie, self.index)
    }

    fn public(&self) -> [u8; 32] {
        x25519(self.ephemeral, X25519_BASEPOINT_BYTES)
    }

    /// M1 without its first byte and its time.
    fn request(&self, cookie: &[u8; 16]) -> Vec<u8> {
        let mut name = self.login.clone().into_bytes();
        name.resize(64, 0);
        let length = u8::try_from(self.login.len()).unwrap();
        let content = [&[length][..], &name, &self.ke1, &self.ticket].concat();
        let key = login_key(&self.prk(cookie), b"m1", &self.public(), b"");
        let sealed = seal_box(&key, &content);
        [&self.index.to_be_bytes()[..], cookie, &self.public(), &sealed].concat()
    }

    /// M0, or M1 if there is a cookie.
    pub(crate) fn first_message(&self, insider: &mut Insider, cookie: Option<&[u8; 16]>) -> Vec<u8> {
        let time = insider.time.to_be_bytes();
        let body = match cookie {
            None => [&[0x31][..], &time, &self.index.to_be_bytes()].concat(),
            Some(cookie) => [&[0x33][..], &time, &self.request(cookie)].concat(),
        };
        insider.seal(1, &body)
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
    pub(crate) fn cookie(&self, insider: &mut Insider, net: &mut Net, from: SocketAddr) -> [u8; 16] {
        let m0 = self.first_message(insider.at(net), None);
        let answer = ask(net, from, &m0);
        *insider.read(&answer[0].bytes)[5..].first_chunk().unwrap()
    }

    /// Sends KE1 with a new cookie. Returns M2, if the server sends one.
    pub(crate) fn begin(&self, insider: &mut Insider, net: &mut Net, from: SocketAddr) -> Option<M2> {
        let cookie = self.cookie(insider, net, from);
        let m1 = self.first_message(insider.at(net), Some(&cookie));
        let answer = ask(net, from, &m1);
        let m2 = answer.iter().find(|seen| seen.kind == "ke2")?;
        Some(self.read_m2(insider, &cookie, &m2.bytes))
    }

    /// Reads the M2 for the M1 with this cookie.
    #[track_caller]
    pub(crate) fn read_m2(&self, insider: &Insider, cookie: &[u8; 16], m2: &[u8]) -> M2 {
        let body = insider.read(m2);
        assert_eq!((body[0], receiver(&body)), (0x34, self.index));
        let index = &body[5..9];
        let key = login_key(&self.prk(cookie), b"m2", &self.public(), index);
        let content = open_box(&key, &body[9..969]).expect("sealed for this M1");
        let keys = public_keys(&*setup().to_bytes());
        assert_eq!(
            (&content[..32], &content[352..]),
            (&keys.opaque[..], &keys.kem[592..])
        );
        assert!(body[969..].iter().all(|byte| *byte == 0));
        M2 {
            index: u32::from_be_bytes(index.try_into().unwrap()),
            ke2: content[32..352].to_vec(),
            transcript: [&self.request(cookie), &body[..969], &keys.kem].concat(),
        }
    }

    /// Processes M2. Returns M3 and the session.
    #[track_caller]
    pub(crate) fn confirm(&self, insider: &mut Insider, m2: &M2) -> (Vec<u8>, Session) {
        let (ke3, session_key) = self
            .finish(&context(self.index, m2.index), &m2.ke2)
            .expect("the password is right");
        let keys = public_keys(&*setup().to_bytes());
        let kem = PublicKey::new(keys.kem.as_slice().try_into().unwrap()).unwrap();
        let (ciphertext, shared) = kem.encapsulate(&mut insider.rng);
        let proof = [&[0x35][..], &m2.index.to_be_bytes(), &ke3, &*ciphertext].concat();
        let mac = hmac(&session_key, &[b"m3", &*ciphertext]);
        let m3 = insider.seal(1, &[&proof, &mac[..14]].concat());
        let transcript = Sha512::digest([&m2.transcript[..], &proof].concat());
        let chain = extract(&insider.mix, &[&session_key[..], &*shared, &transcript].concat());
        let mut session = Session::new(true, &chain, 0, m2.index);
        session.first = (self.index, m2.index);
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
    /// Indices of client and server of the login.
    first: (u32, u32),
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
            first: (0, 0),
        }
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

    /// The session in the next epoch, from both rekey messages and the shared secrets of X25519 and ML-KEM.
    pub(crate) fn after(
        &self,
        dh: &[u8; 32],
        shared: &[u8; 32],
        (rekey, rekeyed): (&[u8], &[u8]),
        theirs: u32,
    ) -> Self {
        let transcript = Sha512::new().chain_update(rekey).chain_update(rekeyed).finalize();
        let chain = extract(&self.next, &[&dh[..], shared, &transcript].concat());
        Self {
            first: self.first,
            ..Self::new(self.is_client, &chain, self.epoch + 1, theirs)
        }
    }

    /// A rekey request with any 32 bytes as X25519 key, and the encapsulation key of [`kem_seed`].
    pub(crate) fn rekey_message(&self, ours: u32, pk: &[u8; 32]) -> Vec<u8> {
        let (_, kem) = kem_seed().key_pair();
        let head = [
            &[1][..],
            &(self.epoch + 1).to_be_bytes(),
            &ours.to_be_bytes(),
            &[0],
        ]
        .concat();
        [&head, &pk[..], kem.as_bytes()].concat()
    }

    /// Rekeys with the server as a correct client does, one second later. The server gives a session one key a second.
    pub(crate) fn rekey(&mut self, insider: &mut Insider, net: &mut Net, from: SocketAddr) -> Recorded {
        net.run_for(Duration::from_secs(1));
        let secret = insider.random::<32>();
        let ours = insider.rng.next_u32() | 1;
        let rekey = self.rekey_message(ours, &x25519(secret, X25519_BASEPOINT_BYTES));
        let sealed = self.seal(&rekey);
        let answer = ask(net, from, &sealed);
        let mut rekeyed = self.open(&answer[0].bytes).unwrap();
        rekeyed.truncate(REKEYED_LEN);
        let dh = x25519(secret, rekey_public(&rekeyed));
        let shared = *kem_seed()
            .key_pair()
            .0
            .decapsulate(rekeyed[42..].try_into().unwrap());
        *self = self.after(&dh, &shared, (&rekey, &rekeyed), rekey_index(&rekeyed));
        Recorded {
            rekey,
            rekeyed,
            dh,
            shared,
        }
    }
}

/// Length of the answer to a rekey, without padding.
pub(crate) const REKEYED_LEN: usize = 42 + 1088;

/// Seed of the encapsulation key of every hand-made rekey.
pub(crate) fn kem_seed() -> Seed {
    Seed::new([5; 64])
}

/// The X25519 key in a rekey message.
pub(crate) fn rekey_public(message: &[u8]) -> [u8; 32] {
    *message[10..].first_chunk().unwrap()
}

/// The receiver index in a rekey message.
pub(crate) fn rekey_index(message: &[u8]) -> u32 {
    u32::from_be_bytes(*message[5..].first_chunk().unwrap())
}

/// A rekey as an observer records it, and the shared secrets, which the observer does not have.
pub(crate) struct Recorded {
    pub(crate) rekey: Vec<u8>,
    pub(crate) rekeyed: Vec<u8>,
    pub(crate) dh: [u8; 32],
    pub(crate) shared: [u8; 32],
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
