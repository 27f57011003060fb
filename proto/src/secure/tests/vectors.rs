//! The test vectors of `docs/protocol.md`: a login, packets, two rekeys and a password change, with all
//! intermediate values.
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

use self::change::change_values;
use self::file::{ControlValues, Entry, EpochValues, Inputs, RegistrationValues, Vectors};
use self::login::{login_values, server_values, ticket_values};
use self::pair::{Pair, opened};
use self::rekey::{epoch_values, rekey_values};
use crate::aead::Cipher;
use crate::secret::Secret;
use crate::secure::frame::OVERHEAD;
use crate::secure::keys::extract;
use crate::secure::message::{Control, binary_len};
use crate::secure::opaque::{Registration, reg_respond};
use crate::secure::{Code, Login, Psk, Record, ServerSetup, Suite};
use crate::secure::{Generator, generator, seed_from};

mod change;
mod file;
mod login;
mod packet;
mod pair;
mod rekey;

const PSK: [u8; 32] = *b"test vectors: known to everyone!";
const LOGIN: &str = "kean";
/// Decomposed, so that NFC changes it.
const PASSWORD: &str = "cafe\u{301} noir";
const NEW_PASSWORD: &str = "tunnel vision";
/// Wall clock of both sides at the origin of their time.
const UNIX_MILLIS: u64 = 1_800_000_000_000;
const SETUP_SEED: [u8; 32] = [1; 32];
const REGISTRATION_SEED: [u8; 32] = [2; 32];
const CLIENT_SEED: [u8; 32] = [3; 32];
const SERVER_SEED: [u8; 32] = [4; 32];

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// A part of known length.
fn array<const N: usize>(bytes: &[u8]) -> [u8; N] {
    bytes.try_into().expect("the length of the type")
}

/// Draws like a peer and records the output.
struct Recorder {
    rng: Generator,
    drawn: Vec<Vec<u8>>,
}

impl Recorder {
    fn new(seed: [u8; 32]) -> Self {
        let rng = Generator::from_seed(&Secret::copied_from(&seed));
        Self { rng, drawn: vec![] }
    }

    fn of_stream(seed: [u8; 32], stream: u64) -> Self {
        let rng = generator(&seed, stream);
        Self { rng, drawn: vec![] }
    }

    /// The output since the last call.
    fn take<const N: usize>(&mut self) -> [Vec<u8>; N] {
        let drawn = core::mem::take(&mut self.drawn);
        drawn.try_into().expect("as many draws as the library makes")
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

fn account() -> Login {
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
    let (registration, reg1) = Registration::start(&account(), PASSWORD, &mut rng).unwrap();
    let [blind] = rng.take();
    let reg2 = reg_respond(setup().opaque(), &account(), &reg1).unwrap();
    let seed = seed_from(&mut rng.rng).get_seed();
    let record = registration
        .finish(Suite::Laboratory, &reg2, &Secret::copied_from(&seed))
        .unwrap();
    let at_once = crate::secure::register(
        &setup(),
        Suite::Laboratory,
        &account(),
        PASSWORD,
        &mut ChaCha20Rng::from_seed(REGISTRATION_SEED),
    );
    assert_eq!(at_once.unwrap().to_bytes(), record);
    let messages = (&reg1, &reg2, &record);
    let values = registration_values("caf\u{e9} noir", &blind, messages, ChaCha20Rng::from_seed(seed));
    (Record::from_bytes(&record).unwrap(), values)
}

/// The values of a registration. `rng` is the generator of the record, which begins with the nonce of the envelope.
fn registration_values(
    normalized: &str,
    blind: &[u8],
    (reg1, reg2, record): (&[u8; 32], &[u8; 64], &[u8; 192]),
    mut rng: ChaCha20Rng,
) -> RegistrationValues {
    let mut envelope_nonce = [0; 32];
    rng.fill_bytes(&mut envelope_nonce);
    assert_eq!(
        record[96..128],
        envelope_nonce,
        "the envelope begins with the nonce"
    );
    RegistrationValues {
        password_input: hex(format!("sandhog/3\0{LOGIN}\0{normalized}").as_bytes()),
        blind: hex(blind),
        reg1: hex(reg1),
        reg2: hex(reg2),
        envelope_nonce: hex(&envelope_nonce),
        record: hex(record),
    }
}

/// Length of a plaintext without its padding.
fn unpadded_len(code: u8, padded: &[u8]) -> usize {
    let control = match code {
        1 => Some(Code::Up),
        2 => Some(Code::Down),
        _ => None,
    };
    if let Some(code) = control {
        return Control::parse(code, padded).unwrap().to_bytes().len();
    }
    match padded[0] >> 4 {
        4 => usize::from(u16::from_be_bytes([padded[2], padded[3]])),
        6 => 40 + usize::from(u16::from_be_bytes([padded[4], padded[5]])),
        _ => binary_len(padded[0]).unwrap_or_else(|| padded.trim_ascii_end().len()),
    }
}

fn entry(
    (kind, datagram): &(&'static str, Vec<u8>),
    (key, cipher, bytes): (&'static str, Cipher, [u8; 32]),
) -> Entry {
    let padded = opened(cipher, &bytes, datagram);
    assert_eq!(datagram.len(), padded.len() + OVERHEAD);
    let plain = &padded[..unpadded_len(datagram[0], &padded)];
    let is_json = plain[0] == b'{';
    let is_packet = *kind == "data";
    Entry {
        kind,
        key,
        nonce: hex(&datagram[1..13]),
        text: is_json.then(|| String::from_utf8(plain.to_vec()).unwrap()),
        message: (!is_json && !is_packet).then(|| hex(plain)),
        packet: is_packet.then(|| hex(plain)),
        padded: is_packet.then(|| hex(&padded)),
        padded_length: padded.len(),
        datagram: hex(datagram),
    }
}

/// The key under which a datagram was sealed. Epoch 0 uses the default cipher, later ones that which both sides prefer.
fn key_of(datagram: &[u8], epochs: [&EpochValues; 3], preferred: Cipher) -> (&'static str, Cipher, [u8; 32]) {
    const NAMES: [[&str; 2]; 3] = [
        ["epoch_0.up", "epoch_0.down"],
        ["epoch_1.up", "epoch_1.down"],
        ["epoch_2.up", "epoch_2.down"],
    ];
    let control = Psk::new(PSK).unwrap().keys();
    match datagram[0] {
        1 => return ("control.up", Cipher::default(), *control.up),
        2 => return ("control.down", Cipher::default(), *control.down),
        _ => {}
    }
    let index = u32::from_be_bytes(array(&datagram[1..5]));
    for (e, (epoch, [up, down])) in epochs.into_iter().zip(NAMES).enumerate() {
        let cipher = if e == 0 { Cipher::default() } else { preferred };
        let key = |text: &str| array(&crate::secure::keys::tests::hex(text));
        if index == epoch.server_index {
            return (up, cipher, key(&epoch.up));
        }
        if index == epoch.client_index {
            return (down, cipher, key(&epoch.down));
        }
    }
    panic!("a datagram of no epoch");
}

fn inputs(cipher: Cipher) -> Inputs {
    Inputs {
        psk: hex(&PSK),
        login: LOGIN,
        password: PASSWORD,
        password_utf8: hex(PASSWORD.as_bytes()),
        new_password: NEW_PASSWORD,
        suite: Suite::Laboratory.byte(),
        cipher: cipher.name(),
        setup: hex(&*setup().to_bytes()),
        client_address: format!("{}", client_address()),
        client_seed: hex(&CLIENT_SEED),
        server_seed: hex(&SERVER_SEED),
    }
}

fn control_values() -> ControlValues {
    let control = Psk::new(PSK).unwrap().keys();
    ControlValues {
        prk: hex(&*extract(b"sandhog/3", &[&PSK])),
        up: hex(&*control.up),
        down: hex(&*control.down),
        mix: hex(&*control.mix),
    }
}

fn vectors(cipher: Cipher) -> Vectors {
    let (record, registration) = registered();
    let mut pair = Pair::new(record.clone(), cipher);
    pair.run();
    let (groups, (chain_0, keys), mut after) = login_values(&pair, &record);
    let default = Cipher::default();
    let (epoch_0, next_0) = epoch_values(0, (&chain_0, keys), after.indices, default);
    let (rekey_1, epoch_1, next_1) = rekey_values(&pair, &mut after, 0, (&epoch_0, &next_0, default), cipher);
    let (rekey_2, epoch_2, _) = rekey_values(&pair, &mut after, 1, (&epoch_1, &next_1, cipher), cipher);
    let change = change_values(&pair, after, &record, (&epoch_2, cipher));
    let epochs = [&epoch_0, &epoch_1, &epoch_2];
    let entries = pair.seen.iter();
    let entries = entries.map(|seen| entry(seen, key_of(&seen.1, epochs, cipher)));
    Vectors {
        about: "Sandhog, secure profile: a login, a rekey, ten packets each way, another rekey, a password change. \
                docs/protocol.md explains the names. Bytes are hex; suite 0 is for tests only.",
        inputs: inputs(cipher),
        datagrams: entries.collect(),
        control: control_values(),
        server: server_values(),
        ticket: ticket_values(&registration),
        registration,
        login: groups.login,
        cookie: groups.cookie,
        m1: groups.m1,
        m2: groups.m2,
        m3: groups.m3,
        epoch_0,
        rekey_1,
        epoch_1,
        rekey_2,
        epoch_2,
        change,
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

/// A login, a rekey, ten packets each way, another rekey and a password change, and nothing else.
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
            &["login", "cookie", "login-cookie", "ke2", "ke3", "settings"][..],
            &["ping", "rekey", "pong", "rekeyed", "ping", "pong"],
            &data,
            &["rekey", "rekeyed", "ping", "pong"],
            &["prove1", "prove2", "prove3", "reg2", "reg3", "reg-ok"],
        ]
        .concat()
    );
}
