//! Fixtures of the fuzz targets: two peers of the secure profile, and the control keys that both derive from the pre-shared key.

pub mod files;

use std::{net::SocketAddr, sync::LazyLock, time::Duration};

use hkdf::Hkdf;
use rand_chacha::ChaCha20Rng;
use rand_core::SeedableRng;
use sandhog_proto::{
    Batch, Datagram, Instant, PacketBuf, Peer,
    aead::{Aead, Cipher, Portable},
    secure::{
        CONTROL_LEN, Client, ClientConfig, HEADER_LEN, Login, Psk, Server, ServerConfig, ServerSetup, Suite,
        User, UserStore, WallClock, register,
    },
};
use sha2::Sha512;

/// Bytes of the body of a control datagram.
pub const BODY_LEN: usize = CONTROL_LEN - HEADER_LEN - TAG_LEN;
const TAG_LEN: usize = sandhog_proto::aead::TAG_LEN;

const PSK: [u8; 32] = [0x5a; 32];
const PASSWORD: &str = "correct horse";
/// Label of the key derivation.
const LABEL: &[u8] = b"sandhog/3";
/// Wall clock of both peers at the start, in milliseconds since 1970.
const START: u64 = 1_800_000_000_000;

/// Address of the server.
#[must_use]
pub fn server_address() -> SocketAddr {
    ([203, 0, 113, 1], 9999).into()
}

/// Address of the client, or of another host with the same format.
#[must_use]
pub fn client_address(host: u8) -> SocketAddr {
    ([198, 51, host, 2], 50_000).into()
}

static SETUP: LazyLock<ServerSetup> =
    LazyLock::new(|| ServerSetup::generate(&mut ChaCha20Rng::from_seed([7; 32])));

static USERS: LazyLock<UserStore> = LazyLock::new(|| {
    let login = login();
    let mut rng = ChaCha20Rng::from_seed([9; 32]);
    let record = register(&SETUP, Suite::Laboratory, &login, PASSWORD, &mut rng).expect("a record");
    let user = User {
        login,
        record,
        suite: Suite::Laboratory,
        disabled: false,
        expires: None,
        address4: None,
        address6: None,
        max_sessions: 1,
    };
    let mut users = UserStore::new();
    users.add(user).expect("an empty store");
    users
});

fn login() -> Login {
    Login::new("kean").expect("a valid login")
}

fn psk() -> Psk {
    Psk::new(PSK).expect("not a published key")
}

/// A server with one user.
#[must_use]
pub fn server() -> Server {
    let config = ServerConfig {
        psk: psk(),
        second_psk: None,
        setup: SETUP.clone(),
        users: USERS.clone(),
        suite: Suite::Laboratory,
        addresses: vec!["10.9.0.1/24".parse().expect("a prefix")],
        mtu: 1420,
        dns: vec![],
        search: vec![],
        routes: vec![],
        keepalive: 25,
        isolate_clients: false,
        clock: Some(WallClock::new(Instant::ZERO, START)),
        // A fuzzer does not find the time.
        checks_clock: false,
        seed: [2; 32],
    };
    Server::new(config).expect("a valid configuration")
}

/// A client with the password of that user. It has not started.
#[must_use]
pub fn client() -> Client {
    Client::new(ClientConfig {
        psk: psk(),
        login: login(),
        password: PASSWORD.to_owned().into(),
        suite: Suite::Laboratory,
        server: server_address(),
        server_key: SETUP.server_key(),
        ticket: None,
        clock: Some(WallClock::new(Instant::ZERO, START)),
        mtu_search: false,
        seed: [1; 32],
    })
}

/// Lets a peer take its input and finish all its jobs. Returns its datagrams.
pub fn turn(peer: &mut dyn Peer, now: Instant, datagrams: Vec<Datagram>) -> Vec<Datagram> {
    let mut input = Batch::default();
    let mut output = Batch::default();
    input.datagrams = datagrams;
    peer.turn(now, &mut input, &mut output);
    while let Some(job) = peer.poll_job() {
        peer.handle_job(now, job.run()).expect("the job of this peer");
        peer.turn(now, &mut input, &mut output);
    }
    while peer.poll_event().is_some() {}
    output.datagrams
}

/// A datagram from this address.
#[must_use]
pub fn datagram(remote: SocketAddr, bytes: &[u8]) -> Datagram {
    Datagram {
        remote,
        kind: "",
        payload: PacketBuf::copied_from(bytes),
    }
}

/// The direction of a control datagram.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Direction {
    /// From the client to the server.
    Up,
    /// From the server to the client.
    Down,
}

impl Direction {
    const fn code(self) -> u8 {
        match self {
            Self::Up => 1,
            Self::Down => 2,
        }
    }
}

/// The control keys of both directions, and the counter of the nonces.
pub struct Control {
    up: Portable,
    down: Portable,
    sealed: u64,
}

impl Control {
    /// The keys of the peers.
    ///
    /// # Panics
    ///
    /// The core derives its keys in another way. Then this file is out of date.
    #[must_use]
    pub fn new() -> Self {
        let mut client = client();
        client
            .command(Instant::ZERO, sandhog_proto::Command::Start)
            .expect("a new client");
        let first = turn(&mut client, Instant::ZERO, vec![]);
        let first = first.first().expect("the first datagram of a login");
        let control = Self::of_label(LABEL);
        let opened = control.open(Direction::Up, &first.payload);
        assert!(opened.is_some(), "the first datagram is sealed under another key");
        control
    }

    fn of_label(label: &[u8]) -> Self {
        let (_, keys) = Hkdf::<Sha512>::extract(Some(label), &PSK);
        let cipher = |info: &str| {
            let mut key = [0; 32];
            keys.expand(info.as_bytes(), &mut key).expect("a short key");
            Portable::new(Cipher::ChaCha20Poly1305, &key)
        };
        Self {
            up: cipher("ctl up"),
            down: cipher("ctl down"),
            sealed: 0,
        }
    }

    const fn cipher(&self, direction: Direction) -> &Portable {
        match direction {
            Direction::Up => &self.up,
            Direction::Down => &self.down,
        }
    }

    /// Seals a body of any length under a new nonce.
    ///
    /// # Panics
    ///
    /// The body is longer than a cipher allows.
    #[must_use]
    pub fn seal(&mut self, direction: Direction, mut body: Vec<u8>) -> Vec<u8> {
        self.sealed += 1;
        let mut nonce = [0xfe; 12];
        nonce[4..].copy_from_slice(&self.sealed.to_be_bytes());
        let code = [direction.code()];
        let cipher = self.cipher(direction);
        let tag = cipher.seal(&nonce, &code, &mut body).expect("a short body");
        [&code[..], &nonce, &body, &tag].concat()
    }

    /// The body of a control datagram. None if the datagram is another one.
    #[must_use]
    pub fn open(&self, direction: Direction, datagram: &[u8]) -> Option<Vec<u8>> {
        let (header, rest) = datagram.split_first_chunk::<HEADER_LEN>()?;
        let (body, tag) = rest.split_last_chunk::<TAG_LEN>()?;
        let [code, nonce @ ..] = *header;
        let mut body = body.to_vec();
        let is_control = code == direction.code() && datagram.len() == CONTROL_LEN;
        let opened = self.cipher(direction).open(&nonce, &[code], &mut body, tag);
        (is_control && opened.is_ok()).then_some(body)
    }
}

impl Default for Control {
    fn default() -> Self {
        Self::new()
    }
}

/// A reader of the fuzzer's bytes. After the end, all numbers are 0.
pub struct Bytes<'a>(pub &'a [u8]);

impl<'a> Bytes<'a> {
    /// True if all bytes are read.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The next byte.
    pub fn byte(&mut self) -> u8 {
        self.take(1).first().copied().unwrap_or(0)
    }

    /// The next two bytes as a number.
    pub fn number(&mut self) -> usize {
        usize::from(self.byte()) | usize::from(self.byte()) << 8
    }

    /// The next `len` bytes, or those that are left.
    pub fn take(&mut self, len: usize) -> &'a [u8] {
        let (taken, rest) = self.0.split_at(len.min(self.0.len()));
        self.0 = rest;
        taken
    }
}

/// Time between two rounds of an exchange.
pub const ROUND: Duration = Duration::from_millis(20);
