//! The test vectors of `docs/protocol.md`: a login, packets and a rekey, with all intermediate values.
//!
//! A real client and a real server talk to each other. All randomness comes from their two seeds, so the test
//! can draw it again. It computes every value in the file from the building blocks and compares the values
//! with the datagrams. `tests/vectors/secure.json` (and `secure-aes-256-gcm.json` for that cipher) must
//! contain exactly the result. `SANDHOG_BLESS=1 cargo test --package sandhog-proto --lib vectors` writes both
//! files.

extern crate std;

use alloc::format;
use alloc::string::String;
use alloc::vec;
use alloc::vec::Vec;
use core::net::SocketAddr;

use rand_chacha::ChaCha20Rng;
use rand_core::{CryptoRng, RngCore, SeedableRng};

use self::file::{
    ControlValues, CookieValues, Entry, EpochValues, Inputs, LoginValues, RegistrationValues, RekeyValues,
    Vectors,
};
use self::pair::{Pair, opened};

use crate::Instant;
use crate::aead::Cipher;
use crate::retransmit::{MAX_JITTER, jitter};
use crate::secure::cookie::Cookies;
use crate::secure::frame::OVERHEAD;
use crate::secure::keys::{Chain, Ephemeral, expand, extract, transcript};
use crate::secure::message::{Control, Message};
use crate::secure::opaque::{ClientLoginState, Registration, context, reg_respond, respond};
use crate::secure::{Login, Psk, Record, ServerSetup, Suite, forget, generator, seed_from, stream};

mod file;
mod pair;

const PSK: [u8; 32] = *b"test vectors: known to everyone!";
const LOGIN: &str = "kean";
/// Decomposed, so that NFC changes it.
const PASSWORD: &str = "cafe\u{301} noir";
const SETUP_SEED: [u8; 32] = [1; 32];
const REGISTRATION_SEED: [u8; 32] = [2; 32];
const CLIENT_SEED: [u8; 32] = [3; 32];
const SERVER_SEED: [u8; 32] = [4; 32];

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Draws like a peer and records the output.
struct Recorder {
    rng: ChaCha20Rng,
    drawn: Vec<Vec<u8>>,
}

impl Recorder {
    fn new(seed: [u8; 32]) -> Self {
        let rng = ChaCha20Rng::from_seed(seed);
        Self { rng, drawn: vec![] }
    }

    fn of_stream(seed: [u8; 32], stream: u64) -> Self {
        let rng = generator(&seed, stream);
        Self { rng, drawn: vec![] }
    }

    /// The output since the last call, in hex.
    fn take<const N: usize>(&mut self) -> [String; N] {
        let drawn: Vec<_> = self.drawn.drain(..).map(|bytes| hex(&bytes)).collect();
        drawn.try_into().expect("as many draws as the library makes")
    }

    /// Draws the nonce of a control datagram.
    fn nonce(&mut self) {
        self.rng.fill_bytes(&mut [0; 12]);
    }

    /// The secret of the first rekey of the session that begins now.
    fn ephemeral(&mut self) -> [u8; 32] {
        let mut rng = seed_from(&mut self.rng);
        jitter(&mut rng, MAX_JITTER);
        let mut secret = [0; 32];
        rng.fill_bytes(&mut secret);
        secret
    }
}

impl RngCore for Recorder {
    fn next_u32(&mut self) -> u32 {
        panic!("the library draws bytes only")
    }

    fn next_u64(&mut self) -> u64 {
        panic!("the library draws bytes only")
    }

    fn fill_bytes(&mut self, dest: &mut [u8]) {
        self.rng.fill_bytes(dest);
        self.drawn.push(dest.to_vec());
    }

    fn try_fill_bytes(&mut self, dest: &mut [u8]) -> Result<(), rand_core::Error> {
        self.fill_bytes(dest);
        Ok(())
    }
}

impl CryptoRng for Recorder {}

fn login() -> Login {
    Login::new(LOGIN).unwrap()
}

fn setup() -> ServerSetup {
    ServerSetup::generate(&mut ChaCha20Rng::from_seed(SETUP_SEED))
}

fn client_address() -> SocketAddr {
    "198.51.100.2:50000".parse().unwrap()
}

fn server_address() -> SocketAddr {
    "203.0.113.1:9999".parse().unwrap()
}

/// The registration, step by step. [`register`](crate::secure::register) does the same in one call.
fn registered() -> (Record, RegistrationValues) {
    let mut rng = Recorder::new(REGISTRATION_SEED);
    let (registration, reg1) = Registration::start(&login(), PASSWORD, &mut rng).unwrap();
    let [blind] = rng.take();
    let reg2 = reg_respond(&setup(), &login(), &reg1).unwrap();
    let seed = seed_from(&mut rng.rng).get_seed();
    let record = registration.finish(Suite::Laboratory, &reg2, seed).unwrap();
    let mut envelope_nonce = [0; 32];
    ChaCha20Rng::from_seed(seed).fill_bytes(&mut envelope_nonce);
    assert_eq!(
        record[96..128],
        envelope_nonce,
        "the envelope begins with the nonce"
    );
    let at_once = crate::secure::register(
        &setup(),
        Suite::Laboratory,
        &login(),
        PASSWORD,
        &mut ChaCha20Rng::from_seed(REGISTRATION_SEED),
    );
    assert_eq!(at_once.unwrap().to_bytes(), record);
    let values = RegistrationValues {
        password_input: hex("sandhog/2\0kean\0caf\u{e9} noir".as_bytes()),
        blind,
        reg1: hex(&reg1),
        reg2: hex(&reg2),
        envelope_nonce: hex(&envelope_nonce),
        record: hex(&record),
    };
    (Record::from_bytes(&record).unwrap(), values)
}

fn entry(
    (kind, datagram): &(&'static str, Vec<u8>),
    (key, cipher, bytes): (&'static str, Cipher, [u8; 32]),
) -> Entry {
    let padded = opened(cipher, &bytes, datagram);
    assert_eq!(datagram.len(), padded.len() + OVERHEAD);
    let is_json = padded[0] == b'{';
    let len = match padded[0] >> 4 {
        4 => usize::from(u16::from_be_bytes([padded[2], padded[3]])),
        6 => 40 + usize::from(u16::from_be_bytes([padded[4], padded[5]])),
        _ => padded.trim_ascii_end().len(),
    };
    let text = is_json.then(|| String::from_utf8(padded[..len].to_vec()).unwrap());
    Entry {
        kind,
        key,
        nonce: hex(&datagram[1..13]),
        text,
        packet: (!is_json).then(|| hex(&padded[..len])),
        padded: (!is_json).then(|| hex(&padded)),
        padded_length: padded.len(),
        datagram: hex(datagram),
    }
}

/// Random values of client and server for the login, compared with the datagrams; and the secrets of their
/// first rekey.
fn login_values(pair: &Pair, record: &Record) -> (LoginValues, [[u8; 32]; 2]) {
    let keys = Psk::new(PSK).unwrap().keys();
    let mut client = Recorder::of_stream(CLIENT_SEED, stream::CLIENT);
    let client_index = client.rng.next_u32();
    let (_, ke1) = ClientLoginState::start(&login(), PASSWORD, &mut client).unwrap();
    let [blind, client_keyshare_seed, client_nonce] = client.take();
    forget(&mut client.rng);
    let Control::Login { index, ke1: sent, .. } = pair.control("login", &keys.up) else {
        panic!("M0");
    };
    assert_eq!((index, *sent), (client_index, ke1));
    // M0 and M1, each with the jitter of its retransmission, and the number of the job.
    for _ in 0..2 {
        client.nonce();
        client.rng.next_u32();
    }
    client.rng.next_u64();

    let mut server = Recorder::of_stream(SERVER_SEED, stream::SERVER);
    server.nonce();
    let Control::Ke2 {
        index: server_index,
        ke2: sent,
        ..
    } = pair.control("ke2", &keys.down)
    else {
        panic!("M2");
    };
    let context = context(Suite::Laboratory, client_index, server_index);
    let (state, ke2) = respond(&setup(), Some(record), &login(), &ke1, &context, &mut server).unwrap();
    assert_eq!(*sent, ke2);
    let [_, masking_nonce, server_keyshare_seed, server_nonce] = server.take();
    forget(&mut server.rng);
    server.nonce();
    let Control::Ke3 { ke3, .. } = pair.control("ke3", &keys.up) else {
        panic!("M3");
    };
    let session_key = state.verify(&ke3).unwrap();
    assert_eq!(Some(&session_key), pair.session_key.as_ref());
    let values = LoginValues {
        client_index,
        server_index,
        blind,
        client_keyshare_seed,
        client_nonce,
        ke1: hex(&ke1),
        context: hex(&context),
        masking_nonce,
        server_keyshare_seed,
        server_nonce,
        ke2: hex(&ke2),
        ke3: hex(&ke3),
        session_key: hex(&*session_key),
    };
    (values, [client.ephemeral(), server.ephemeral()])
}

/// The cookie secret is the first output of its generator, because the login ends before the secret rotates.
fn cookie_values(pair: &Pair, client_index: u32) -> CookieValues {
    let rng = generator(&SERVER_SEED, stream::COOKIES);
    let mut secret = [0; 32];
    rng.clone().fill_bytes(&mut secret);
    let cookie = Cookies::new(rng).make(Instant::from_secs(1), client_address(), client_index);
    let keys = Psk::new(PSK).unwrap().keys();
    let Control::Cookie { cookie: sent, .. } = pair.control("cookie", &keys.down) else {
        panic!("M0r");
    };
    assert_eq!(sent, cookie);
    let port = client_address().port().to_be_bytes();
    let input = [&[198, 51, 100, 2][..], &port, &client_index.to_be_bytes()].concat();
    CookieValues {
        secret: hex(&secret),
        input: hex(&input),
        cookie: hex(&cookie),
    }
}

/// The keys of an epoch, computed with the formulas and compared with those of the peers.
fn epoch_values(
    e: u32,
    chain: &[u8; 64],
    keys: Chain,
    [client_index, server_index]: [u32; 2],
) -> EpochValues {
    let be = e.to_be_bytes();
    let (up, down) = (
        expand::<32>(chain, &[b"up", &be]),
        expand::<32>(chain, &[b"down", &be]),
    );
    let (keys, _) = keys.epoch(e);
    assert_eq!((&keys.up, &keys.down), (&up, &down));
    EpochValues {
        client_index,
        server_index,
        chain: hex(chain),
        up: hex(&*up),
        down: hex(&*down),
        next: hex(&*expand::<64>(chain, &[b"next", &be])),
    }
}

/// The rekey message of one side, the public key and the index in it.
fn side(pair: &Pair, kind: &str, key: &[u8; 32], secret: [u8; 32]) -> (String, [u8; 32], u32) {
    let text = String::from_utf8(opened(Cipher::default(), key, pair.nth(kind, 0))).unwrap();
    let text = String::from(text.trim_end());
    let (Message::Rekey(new) | Message::Rekeyed(new)) = Message::parse(text.as_bytes()).unwrap() else {
        panic!("{text}");
    };
    let ephemeral = Ephemeral::new(&mut Fixed(secret));
    assert_eq!((new.n, ephemeral.public()), (1, new.pk));
    (text, new.pk, new.index)
}

/// Draws one secret.
struct Fixed([u8; 32]);

impl RngCore for Fixed {
    fn next_u32(&mut self) -> u32 {
        panic!("a secret is drawn as bytes")
    }

    fn next_u64(&mut self) -> u64 {
        panic!("a secret is drawn as bytes")
    }

    fn fill_bytes(&mut self, dest: &mut [u8]) {
        dest.copy_from_slice(&self.0);
    }

    fn try_fill_bytes(&mut self, dest: &mut [u8]) -> Result<(), rand_core::Error> {
        self.fill_bytes(dest);
        Ok(())
    }
}

impl CryptoRng for Fixed {}

/// The rekey and epoch 1: its chain from the formula, its keys compared with those of the peers.
fn rekey_values(
    pair: &Pair,
    epoch_0: &EpochValues,
    chain_0: Chain,
    [client, server]: [[u8; 32]; 2],
) -> (RekeyValues, EpochValues) {
    let (keys, next) = chain_0.epoch(0);
    let (rekey, client_public, client_index) = side(pair, "rekey", &keys.up, client);
    let (rekeyed, server_public, server_index) = side(pair, "rekeyed", &keys.down, server);
    let dh = Ephemeral::new(&mut Fixed(client)).agree(&server_public).unwrap();
    let same = Ephemeral::new(&mut Fixed(server)).agree(&client_public).unwrap();
    assert_eq!(dh, same);
    let transcript = transcript(rekey.as_bytes(), rekeyed.as_bytes());
    let next_0 = crate::secure::keys::tests::hex(&epoch_0.next);
    let chain_1 = extract(&next_0, &[&*dh, &transcript]);
    let indices = [client_index, server_index];
    let epoch_1 = epoch_values(1, &chain_1, next.chain(&dh, &transcript), indices);
    let values = RekeyValues {
        client_secret: hex(&client),
        client_public: hex(&client_public),
        server_secret: hex(&server),
        server_public: hex(&server_public),
        dh: hex(&*dh),
        rekey,
        rekeyed,
        transcript: hex(&transcript),
    };
    (values, epoch_1)
}

/// The key under which a datagram was sealed. Only epoch 1 uses the cipher that both sides prefer.
fn key_of(datagram: &[u8], epochs: [&EpochValues; 2], preferred: Cipher) -> (&'static str, Cipher, [u8; 32]) {
    let control = Psk::new(PSK).unwrap().keys();
    let index = u32::from_be_bytes(datagram[1..5].try_into().unwrap());
    let key = |text: &str| crate::secure::keys::tests::hex(text).try_into().unwrap();
    match datagram[0] {
        1 => ("control.up", Cipher::default(), *control.up),
        2 => ("control.down", Cipher::default(), *control.down),
        _ if index == epochs[0].server_index => ("epoch_0.up", Cipher::default(), key(&epochs[0].up)),
        _ if index == epochs[0].client_index => ("epoch_0.down", Cipher::default(), key(&epochs[0].down)),
        _ if index == epochs[1].server_index => ("epoch_1.up", preferred, key(&epochs[1].up)),
        _ => ("epoch_1.down", preferred, key(&epochs[1].down)),
    }
}

fn vectors(cipher: Cipher) -> Vectors {
    let (record, registration) = registered();
    let mut pair = Pair::new(record.clone(), cipher);
    pair.run();
    let control = Psk::new(PSK).unwrap().keys();
    let (login, secrets) = login_values(&pair, &record);
    let cookie = cookie_values(&pair, login.client_index);
    let session_key = pair.session_key.as_ref().unwrap();
    let chain_0 = extract(&*control.mix, &[&**session_key]);
    let first = || Chain::first(&control.mix, session_key);
    let epoch_0 = epoch_values(0, &chain_0, first(), [login.client_index, login.server_index]);
    let (rekey, epoch_1) = rekey_values(&pair, &epoch_0, first(), secrets);
    let entries = pair.seen.iter();
    let entries = entries.map(|seen| entry(seen, key_of(&seen.1, [&epoch_0, &epoch_1], cipher)));
    Vectors {
        about: "Sandhog, secure profile: a login, ten packets each way, a rekey. docs/protocol.md explains the names. \
                Bytes are hex; suite 0 is for tests only.",
        inputs: Inputs {
            psk: hex(&PSK),
            login: LOGIN,
            password: PASSWORD,
            password_utf8: hex(PASSWORD.as_bytes()),
            suite: Suite::Laboratory.byte(),
            setup: hex(&*setup().to_bytes()),
            client_address: format!("{}", client_address()),
            client_seed: hex(&CLIENT_SEED),
            server_seed: hex(&SERVER_SEED),
        },
        datagrams: entries.collect(),
        control: ControlValues {
            prk: hex(&*extract(b"sandhog/2", &[&PSK])),
            up: hex(&*control.up),
            down: hex(&*control.down),
            mix: hex(&*control.mix),
        },
        registration,
        login,
        cookie,
        epoch_0,
        rekey,
        epoch_1,
    }
}

/// Compares the result with a committed file, or writes the file.
fn check_file(name: &str, committed: &str, cipher: Cipher) {
    let text = serde_json::to_string_pretty(&vectors(cipher)).unwrap() + "\n";
    if std::env::var_os("SANDHOG_BLESS").is_some_and(|bless| bless == "1") {
        let file = format!("{}/tests/vectors/{name}", env!("CARGO_MANIFEST_DIR"));
        return std::fs::write(file, text).unwrap();
    }
    let lines = committed.lines().zip(text.lines()).zip(1..);
    for ((committed, now), line) in lines {
        assert_eq!(committed, now, "tests/vectors/{name}, line {line}");
    }
    assert_eq!(committed.len(), text.len(), "tests/vectors/{name}");
}

#[test]
fn the_peers_reproduce_the_vectors() {
    let committed = include_str!("../../../tests/vectors/secure.json");
    check_file("secure.json", committed, Cipher::ChaCha20Poly1305);
}

#[test]
fn the_peers_reproduce_the_vectors_with_aes() {
    let committed = include_str!("../../../tests/vectors/secure-aes-256-gcm.json");
    check_file("secure-aes-256-gcm.json", committed, Cipher::Aes256Gcm);
}

/// A login, ten packets each way and a rekey, and nothing else.
#[test]
fn the_vectors_contain_every_kind_in_order() {
    let (record, _) = registered();
    let mut pair = Pair::new(record, Cipher::ChaCha20Poly1305);
    pair.run();
    let kinds: Vec<_> = pair.seen.iter().map(|(kind, _)| *kind).collect();
    let data = ["data"; 20];
    assert_eq!(
        kinds,
        [
            &[
                "login",
                "cookie",
                "login-cookie",
                "ke2",
                "ke3",
                "settings",
                "ping",
                "pong"
            ][..],
            &data,
            &["rekey", "rekeyed", "ping", "pong"],
        ]
        .concat()
    );
}
