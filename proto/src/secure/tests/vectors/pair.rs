//! A client and a server, directly connected, that log in, carry ten packets each way, rekey twice and change
//! the password.

use alloc::vec;
use alloc::vec::Vec;
use core::net::SocketAddr;

use zeroize::Zeroizing;

use super::packet::{PACKETS, packet};
use super::{
    CLIENT_SEED, NEW_PASSWORD, PASSWORD, PSK, SERVER_SEED, UNIX_MILLIS, account, client_address,
    server_address, setup,
};
use crate::aead::{Aead, Cipher, DefaultAead};
use crate::secure::frame::open;
use crate::secure::job::LoginFinished;
use crate::secure::message::Control;
use crate::secure::opaque::SessionKey;
use crate::secure::{
    Client, ClientConfig, Code, Psk, Record, Server, ServerConfig, Suite, User, UserStore, WallClock,
};
use crate::{Batch, Command, Datagram, EventKind, Instant, PacketBuf, Peer};
const MTU: u16 = 1420;

/// A client and a server, directly connected.
pub(super) struct Pair {
    client: Client,
    server: Server,
    now: Instant,
    pub(super) seen: Vec<(&'static str, Vec<u8>)>,
    /// Of the login, and of the proof in the password change.
    pub(super) session_keys: Vec<SessionKey>,
    rekeyed: usize,
    is_changed: bool,
    delivered: Vec<Vec<u8>>,
}

impl Pair {
    /// Both sides prefer `cipher`.
    pub(super) fn new(record: Record, cipher: Cipher) -> Self {
        let mut users = UserStore::new();
        let user = User {
            login: account(),
            record,
            suite: Suite::Laboratory,
            disabled: false,
            expires: None,
            address4: None,
            address6: None,
            max_sessions: 1,
        };
        users.add(user).unwrap();
        let clock = WallClock::new(Instant::ZERO, UNIX_MILLIS);
        let mut server = Server::new(ServerConfig {
            psk: Psk::new(PSK).unwrap(),
            second_psk: None,
            setup: setup(),
            users,
            suite: Suite::Laboratory,
            addresses: ["10.9.0.1/24", "fd00::1/64"]
                .map(|text| text.parse().unwrap())
                .to_vec(),
            mtu: MTU,
            dns: vec!["10.9.0.1".parse().unwrap()],
            search: vec!["example.org".into()],
            routes: ["10.9.0.0/24", "fd00::/64"]
                .map(|text| text.parse().unwrap())
                .to_vec(),
            // Long enough that no ping is sent before the rekey.
            keepalive: 600,
            isolate_clients: false,
            clock: Some(clock),
            checks_clock: true,
            seed: SERVER_SEED,
        })
        .unwrap();
        server.set_cipher(cipher);
        let mut client = Client::new(ClientConfig {
            psk: Psk::new(PSK).unwrap(),
            login: account(),
            password: Zeroizing::new(PASSWORD.into()),
            suite: Suite::Laboratory,
            server: server_address(),
            server_key: setup().server_key(),
            ticket: None,
            clock: Some(clock),
            mtu_search: false,
            seed: CLIENT_SEED,
        });
        client.set_cipher(cipher);
        Self {
            client,
            server,
            now: Instant::from_secs(1),
            seen: vec![],
            session_keys: vec![],
            rekeyed: 0,
            is_changed: false,
            delivered: vec![],
        }
    }

    /// Gives each side its packets, then runs both until they are silent.
    fn talk(&mut self, up: &[Vec<u8>], down: &[Vec<u8>]) {
        let batch = |packets: &[Vec<u8>]| Batch {
            datagrams: vec![],
            packets: packets
                .iter()
                .map(|bytes| PacketBuf::copied_from(bytes))
                .collect(),
        };
        let (mut to_client, mut to_server) = (batch(up), batch(down));
        loop {
            let mut sent = Batch::default();
            self.client.turn(self.now, &mut to_client, &mut sent);
            self.take_jobs();
            self.client.turn(self.now, &mut Batch::default(), &mut sent);
            self.carry(client_address(), sent, &mut to_server);
            let mut sent = Batch::default();
            self.server.turn(self.now, &mut to_server, &mut sent);
            while let Some(job) = self.server.poll_job() {
                self.server.handle_job(self.now, job.run()).unwrap();
            }
            self.server.turn(self.now, &mut Batch::default(), &mut sent);
            self.carry(server_address(), sent, &mut to_client);
            self.take_events();
            if to_client.is_empty() {
                return;
            }
        }
    }

    /// Records the datagrams sent from `source` and delivers them to the other side.
    fn carry(&mut self, source: SocketAddr, sent: Batch, to: &mut Batch) {
        self.delivered
            .extend(sent.packets.iter().map(|packet| packet.to_vec()));
        for datagram in sent.datagrams {
            self.seen.push((datagram.kind, datagram.payload.to_vec()));
            to.datagrams.push(Datagram {
                remote: source,
                ..datagram
            });
        }
    }

    fn take_jobs(&mut self) {
        while let Some(job) = self.client.poll_job() {
            let done = job.run();
            if let Some(Some(finished)) = done.result_ref::<LoginFinished>() {
                self.session_keys.push(finished.session_key.clone());
            }
            self.client.handle_job(self.now, done).unwrap();
        }
    }

    fn take_events(&mut self) {
        for peer in [&mut self.client as &mut dyn Peer, &mut self.server] {
            while let Some(event) = peer.poll_event() {
                assert!(!matches!(event.kind, EventKind::Dropped(_)), "{event:?}");
                self.rekeyed += usize::from(matches!(event.kind, EventKind::Rekeyed { .. }));
                self.is_changed |= matches!(event.kind, EventKind::PasswordChanged(Ok(())));
            }
        }
    }

    /// A login, after which the first rekey follows at once; ten packets each way; the second rekey when it is due; a
    /// password change.
    pub(super) fn run(&mut self) {
        self.client.command(self.now, Command::Start).unwrap();
        self.talk(&[], &[]);
        assert_eq!(self.rekeyed, 2, "both sides");
        self.now = Instant::from_secs(2);
        let up = PACKETS.map(|(version, len)| packet(version, len, true));
        self.talk(&up, &[]);
        self.now = Instant::from_secs(3);
        let down = PACKETS.map(|(version, len)| packet(version, len, false));
        self.talk(&[], &down);
        assert_eq!(self.delivered, [up, down].concat());
        while self.rekeyed == 2 {
            let (client, server) = (self.client.poll_timeout(), self.server.poll_timeout());
            (self.now, _) = client.into_iter().chain(server).min().unwrap();
            self.talk(&[], &[]);
        }
        assert_eq!(self.rekeyed, 4, "both sides");
        let password = Zeroizing::new(NEW_PASSWORD.into());
        self.client.change_password(self.now, password).unwrap();
        self.talk(&[], &[]);
        assert!(self.is_changed);
    }

    /// The datagram number `nth` of its kind, counted from 0.
    pub(super) fn nth(&self, kind: &str, nth: usize) -> &[u8] {
        let mut all = self.seen.iter().filter(|(seen, _)| *seen == kind);
        &all.nth(nth).expect(kind).1
    }

    /// The first control message of its kind, and its nonce.
    pub(super) fn control(&self, kind: &str) -> (Control, [u8; 12]) {
        let datagram = self.nth(kind, 0);
        let keys = Psk::new(PSK).unwrap().keys();
        let (code, key) = match datagram[0] {
            1 => (Code::Up, &keys.up),
            _ => (Code::Down, &keys.down),
        };
        let message = Control::parse(code, &opened(Cipher::default(), key, datagram)).unwrap();
        (message, datagram[1..13].try_into().unwrap())
    }
}

/// The body of a datagram, with its padding.
pub(super) fn opened(cipher: Cipher, key: &[u8; 32], datagram: &[u8]) -> Vec<u8> {
    let code = match datagram[0] {
        1 => Code::Up,
        2 => Code::Down,
        _ => Code::Session,
    };
    let mut buf = PacketBuf::copied_from(datagram);
    assert!(open(&DefaultAead::new(cipher, key), code, &mut buf), "wrong key");
    buf.to_vec()
}
