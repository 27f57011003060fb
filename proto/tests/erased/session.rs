//! The session of the test vectors: a login, ten packets each way, two rekeys and a password change.

use std::net::SocketAddr;
use std::time::Duration;

use sandhog_proto::secure::{
    Client, ClientConfig, Login, Psk, Record, Server, ServerConfig, ServerSetup, Suite, User, UserStore,
    WallClock,
};
use sandhog_proto::{Batch, Command, Datagram, EventKind, Instant, PacketBuf, Peer};
use zeroize::Zeroizing;

use crate::packet::{PACKETS, packet};
use crate::secrets::{Erased, Secrets, unmasked};
const UNIX_MILLIS: u64 = 1_800_000_000_000;

fn client_address() -> SocketAddr {
    "198.51.100.2:50000".parse().unwrap()
}

fn server_address() -> SocketAddr {
    "203.0.113.1:9999".parse().unwrap()
}

/// A client and a server, directly connected. Both are in blocks of their own, so that they are searched too.
pub(crate) struct Pair {
    client: Box<Client>,
    server: Box<Server>,
    now: Instant,
    /// Datagrams that must be sent, the next one last.
    expected: Vec<Vec<u8>>,
    new_password: Vec<u8>,
    rekeyed: usize,
    is_changed: bool,
}

fn text(secrets: &Secrets, name: &str) -> Zeroizing<String> {
    Zeroizing::new(str::from_utf8(&secrets.named(name)).unwrap().to_owned())
}

fn key(secrets: &Secrets, name: &str) -> [u8; 32] {
    secrets.named(name).as_slice().try_into().unwrap()
}

fn server(secrets: &Secrets) -> Box<Server> {
    let mut users = UserStore::new();
    users
        .add(User {
            login: Login::new("kean").unwrap(),
            record: Record::from_bytes(&unmasked(&secrets.record)).unwrap(),
            suite: Suite::Laboratory,
            disabled: false,
            expires: None,
            address4: None,
            address6: None,
            max_sessions: 1,
        })
        .unwrap();
    let prefixes = |texts: [&str; 2]| texts.map(|text| text.parse().unwrap()).to_vec();
    let config = ServerConfig {
        psk: Psk::new(key(secrets, "pre-shared key")).unwrap(),
        second_psk: None,
        setup: ServerSetup::from_bytes(&unmasked(&secrets.setup)).unwrap(),
        users,
        suite: Suite::Laboratory,
        addresses: prefixes(["10.9.0.1/24", "fd00::1/64"]),
        mtu: 1420,
        dns: vec!["10.9.0.1".parse().unwrap()],
        search: vec!["example.org".into()],
        routes: prefixes(["10.9.0.0/24", "fd00::/64"]),
        keepalive: 600,
        isolate_clients: false,
        clock: Some(WallClock::new(Instant::ZERO, UNIX_MILLIS)),
        checks_clock: true,
        seed: key(secrets, "seed of the server"),
    };
    let mut server = Box::new(Server::new(config).unwrap());
    server.set_cipher(secrets.cipher);
    server
}

fn client(secrets: &Secrets) -> Box<Client> {
    let setup = ServerSetup::from_bytes(&unmasked(&secrets.setup)).unwrap();
    let mut client = Box::new(Client::new(ClientConfig {
        psk: Psk::new(key(secrets, "pre-shared key")).unwrap(),
        login: Login::new("kean").unwrap(),
        password: text(secrets, "password"),
        suite: Suite::Laboratory,
        server: server_address(),
        server_key: setup.server_key(),
        ticket: None,
        clock: Some(WallClock::new(Instant::ZERO, UNIX_MILLIS)),
        mtu_search: false,
        seed: key(secrets, "seed of the client"),
    }));
    client.set_cipher(secrets.cipher);
    client
}

impl Pair {
    pub(crate) fn new(secrets: &Secrets) -> Self {
        let mut expected = secrets.datagrams.clone();
        expected.reverse();
        Self {
            client: client(secrets),
            server: server(secrets),
            now: Instant::from_secs(1),
            expected,
            new_password: secrets.masked_password(),
            rekeyed: 0,
            is_changed: false,
        }
    }

    /// Runs the session to the time at which the secrets of `until` are erased. The last time is the same as the one before it.
    pub(crate) fn run_until(&mut self, until: Erased) {
        self.client.command(self.now, Command::Start).unwrap();
        self.talk(&[], &[]);
        assert_eq!(self.rekeyed, 2, "both sides");
        if until == Erased::WhenUp {
            return;
        }
        self.now = Instant::from_secs(2);
        self.talk(&PACKETS.map(|(version, len)| packet(version, len, true)), &[]);
        self.now = Instant::from_secs(3);
        self.talk(&[], &PACKETS.map(|(version, len)| packet(version, len, false)));
        while self.rekeyed == 2 {
            self.wait();
        }
        assert_eq!(self.rekeyed, 4, "both sides");
        if until == Erased::AfterTheSecondRekey {
            return;
        }
        let password = unmasked(&self.new_password);
        let password = Zeroizing::new(str::from_utf8(&password).unwrap().to_owned());
        self.client.change_password(self.now, password).unwrap();
        self.talk(&[], &[]);
        assert!(self.is_changed && self.expected.is_empty());
        let end = self.now.saturating_add(Duration::from_secs(60));
        while self.now < end {
            self.wait();
        }
        assert_eq!(self.rekeyed, 4, "no third rekey");
    }

    /// Goes to the next timer.
    fn wait(&mut self) {
        let timers = [self.client.poll_timeout(), self.server.poll_timeout()];
        (self.now, _) = timers.into_iter().flatten().min().unwrap();
        self.talk(&[], &[]);
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
            let sent = turn(&mut *self.client, self.now, &mut to_client);
            self.carry(client_address(), sent, &mut to_server);
            let sent = turn(&mut *self.server, self.now, &mut to_server);
            self.carry(server_address(), sent, &mut to_client);
            self.take_events();
            if to_client.is_empty() {
                return;
            }
        }
    }

    /// Compares the datagrams sent from `source` with the vectors, and delivers them to the other side.
    fn carry(&mut self, source: SocketAddr, sent: Batch, to: &mut Batch) {
        for datagram in sent.datagrams {
            let expected = self.expected.pop();
            assert!(
                expected.as_deref() == Some(&*datagram.payload),
                "{}",
                datagram.kind
            );
            to.datagrams.push(Datagram {
                remote: source,
                ..datagram
            });
        }
    }

    fn take_events(&mut self) {
        for peer in [&mut *self.client as &mut dyn Peer, &mut *self.server] {
            while let Some(event) = peer.poll_event() {
                assert!(!matches!(event.kind, EventKind::Dropped(_)), "{event:?}");
                self.rekeyed += usize::from(matches!(event.kind, EventKind::Rekeyed { .. }));
                self.is_changed |= matches!(event.kind, EventKind::PasswordChanged(Ok(())));
            }
        }
    }
}

/// A turn of a peer, its jobs, and the turn after them.
fn turn(peer: &mut dyn Peer, now: Instant, input: &mut Batch) -> Batch {
    let mut sent = Batch::default();
    peer.turn(now, input, &mut sent);
    while let Some(job) = peer.poll_job() {
        peer.handle_job(now, job.run()).unwrap();
    }
    peer.turn(now, &mut Batch::default(), &mut sent);
    sent
}
