//! Fixtures: a server, clients, and a network that records and can change every datagram.

use std::collections::{BTreeMap, VecDeque};
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use rand_chacha::ChaCha20Rng;
use rand_core::SeedableRng;
use sandhog_proto::secure::{
    Client, ClientConfig, Login, Psk, Server, ServerConfig, ServerSetup, Suite, User, UserStore, WallClock,
    register,
};
use sandhog_proto::{Batch, Command, Datagram, EventKind, Instant, PacketBuf, Peer, Reason, TunnelStatus};

pub(crate) const PASSWORD: &str = "correct horse";

pub(crate) fn psk() -> Psk {
    Psk::new([0x5a; 32]).unwrap()
}

/// Wall clock of all peers at the start of a test, in milliseconds since 1970.
pub(crate) const START: u64 = 1_800_000_000_000;

pub(crate) fn clock() -> WallClock {
    WallClock::new(Instant::ZERO, START)
}

pub(crate) fn setup() -> ServerSetup {
    ServerSetup::generate(&mut ChaCha20Rng::from_seed([7; 32]))
}

pub(crate) fn login(name: &str) -> Login {
    Login::new(name).unwrap()
}

pub(crate) fn user(name: &str) -> User {
    let mut rng = ChaCha20Rng::from_seed([9; 32]);
    let record = register(&setup(), Suite::Laboratory, &login(name), PASSWORD, &mut rng).unwrap();
    User {
        login: login(name),
        record,
        suite: Suite::Laboratory,
        disabled: false,
        expires: None,
        address4: None,
        address6: None,
        max_sessions: 1,
    }
}

pub(crate) fn store(users: impl IntoIterator<Item = User>) -> UserStore {
    let mut store = UserStore::default();
    users.into_iter().for_each(|user| store.add(user).unwrap());
    store
}

pub(crate) fn server_config() -> ServerConfig {
    ServerConfig {
        psk: psk(),
        second_psk: None,
        setup: setup(),
        users: store(["kean", "anna"].map(user)),
        suite: Suite::Laboratory,
        addresses: vec!["10.9.0.1/24".parse().unwrap(), "fd00::1/64".parse().unwrap()],
        mtu: 1420,
        dns: vec![],
        search: vec![],
        routes: vec!["10.9.0.0/24".parse().unwrap(), "fd00::/64".parse().unwrap()],
        keepalive: 25,
        isolate_clients: false,
        clock: Some(clock()),
        checks_clock: true,
        seed: [2; 32],
    }
}

pub(crate) fn client_config(name: &str, seed: u8) -> ClientConfig {
    ClientConfig {
        psk: psk(),
        login: login(name),
        password: PASSWORD.to_owned().into(),
        suite: Suite::Laboratory,
        server: server_address(),
        server_key: setup().server_key(),
        ticket: None,
        clock: Some(clock()),
        mtu_search: false,
        seed: [seed; 32],
    }
}

pub(crate) fn server_address() -> SocketAddr {
    "203.0.113.1:9999".parse().unwrap()
}

/// Outer address of the client with this number. Each client is in its own /24.
pub(crate) fn client_address(n: usize) -> SocketAddr {
    SocketAddr::from(([198, 51, u8::try_from(n).unwrap(), 2], 50_000))
}

pub(crate) fn ip(text: &str) -> IpAddr {
    text.parse().unwrap()
}

/// An IPv4 packet with `payload`. It has no header checksum, because no tunnel reads it.
pub(crate) fn packet(from: &str, to: &str, payload: &[u8]) -> PacketBuf {
    let (IpAddr::V4(from), IpAddr::V4(to)) = (ip(from), ip(to)) else {
        panic!("IPv4 only");
    };
    let len = u16::try_from(20 + payload.len()).unwrap();
    let mut bytes = vec![0x45, 0, 0, 0, 0, 0, 0, 0, 64, 17, 0, 0];
    bytes[2..4].copy_from_slice(&len.to_be_bytes());
    bytes.extend(from.octets());
    bytes.extend(to.octets());
    bytes.extend(payload);
    PacketBuf::copied_from(&bytes)
}

/// A datagram as it was sent.
#[derive(Clone, Debug)]
pub(crate) struct Seen {
    pub(crate) at: Instant,
    pub(crate) from: SocketAddr,
    pub(crate) to: SocketAddr,
    pub(crate) kind: &'static str,
    pub(crate) bytes: Vec<u8>,
}

/// Behaviour of the network: the copies of a datagram that arrive, each after a delay.
pub(crate) type Wire = Box<dyn FnMut(&Seen) -> Vec<(Duration, Seen)>>;

/// A data plane: removes the input that it can handle itself before the turns of the peers.
pub(crate) trait Carrier {
    fn at_server(&mut self, server: &mut Server, now: Instant, input: &mut Batch, output: &mut Batch);
    fn at_client(
        &mut self,
        n: usize,
        client: &mut Client,
        now: Instant,
        input: &mut Batch,
        output: &mut Batch,
    );
}

/// Default delay in each direction.
pub(crate) const DELAY: Duration = Duration::from_millis(20);

/// Limit that no test reaches. Two peers that answer each other without end do.
const ENDLESS: usize = 500_000;

pub(crate) struct ClientHost {
    pub(crate) peer: Client,
    pub(crate) address: SocketAddr,
    pub(crate) packets: Vec<PacketBuf>,
    pub(crate) events: Vec<(Instant, EventKind)>,
    /// Number of finished jobs.
    pub(crate) jobs: usize,
    /// While this is true, its jobs do not finish.
    pub(crate) is_busy: bool,
}

/// All peers of a test and the network between them.
pub(crate) struct Net {
    pub(crate) now: Instant,
    pub(crate) server: Server,
    pub(crate) server_packets: Vec<PacketBuf>,
    pub(crate) server_events: Vec<(Instant, EventKind)>,
    /// User files that the server has saved.
    pub(crate) saved: Vec<String>,
    pub(crate) disk_is_full: bool,
    /// While this is true, saves do not finish until [`finish_saves`](Self::finish_saves).
    pub(crate) disk_is_slow: bool,
    pub(crate) clients: Vec<ClientHost>,
    pub(crate) wire: Wire,
    /// All datagrams that were sent.
    pub(crate) log: Vec<Seen>,
    /// Without a data plane, the peers move their data themselves.
    pub(crate) carrier: Option<Box<dyn Carrier>>,
    flying: BTreeMap<(Instant, u64), Seen>,
    launched: u64,
}

impl Net {
    /// Creates a server and clients with these configurations, not started.
    pub(crate) fn new(server: ServerConfig, clients: impl IntoIterator<Item = ClientConfig>) -> Self {
        let host = |(n, config)| ClientHost {
            peer: Client::new(config),
            address: client_address(n),
            packets: Vec::new(),
            events: Vec::new(),
            jobs: 0,
            is_busy: false,
        };
        Self {
            now: Instant::ZERO,
            server: Server::new(server).unwrap(),
            server_packets: Vec::new(),
            server_events: Vec::new(),
            saved: Vec::new(),
            disk_is_full: false,
            disk_is_slow: false,
            clients: clients.into_iter().enumerate().map(host).collect(),
            wire: Box::new(|seen| vec![(DELAY, seen.clone())]),
            log: Vec::new(),
            carrier: None,
            flying: BTreeMap::new(),
            launched: 0,
        }
    }

    /// One client, `kean`, not started.
    pub(crate) fn pair() -> Self {
        Self::new(server_config(), [client_config("kean", 1)])
    }

    /// One connected client, one second later.
    pub(crate) fn connected() -> Self {
        let mut net = Self::pair();
        net.start(0);
        net.run_for(Duration::from_secs(1));
        assert_eq!(net.status(0), TunnelStatus::Connected);
        net
    }

    pub(crate) fn start(&mut self, n: usize) {
        self.command(n, Command::Start);
    }

    pub(crate) fn command(&mut self, n: usize, command: Command) {
        let now = self.now;
        self.clients[n].peer.command(now, command).unwrap();
        self.client_turn(n, vec![], vec![]);
    }

    pub(crate) fn status(&self, n: usize) -> TunnelStatus {
        self.clients[n].peer.status()
    }

    /// Time and result of the client's `start`.
    pub(crate) fn started(&self, n: usize) -> Option<(Instant, Result<(), &'static str>)> {
        self.clients[n].events.iter().find_map(|(at, kind)| match kind {
            EventKind::Started(result) => {
                Some((*at, result.as_ref().map(|_| ()).map_err(|error| error.name())))
            }
            _ => None,
        })
    }

    /// Inner address of the client.
    pub(crate) fn inner(&self, n: usize) -> String {
        let settings = self.clients[n].peer.settings().expect("the tunnel is up");
        settings.addresses[0].address.to_string()
    }

    /// Finishes the server's saves.
    pub(crate) fn finish_saves(&mut self) {
        self.disk_is_slow = false;
        self.server_turn(vec![], vec![]);
    }

    /// Sends an inner packet at the client.
    pub(crate) fn client_sends(&mut self, n: usize, packet: PacketBuf) {
        self.client_turn(n, vec![], vec![packet]);
    }

    /// Sends an inner packet at the server.
    pub(crate) fn server_sends(&mut self, packet: PacketBuf) {
        self.server_turn(vec![], vec![packet]);
    }

    /// Delivers a datagram from any address.
    pub(crate) fn inject(&mut self, from: SocketAddr, to: SocketAddr, bytes: &[u8]) {
        let seen = Seen {
            at: self.now,
            from,
            to,
            kind: "injected",
            bytes: bytes.to_vec(),
        };
        self.arrive(&seen);
    }

    /// Runs everything that happens within `duration`.
    pub(crate) fn run_for(&mut self, duration: Duration) {
        let end = self.now + duration;
        while let Some(due) = self.next_due().filter(|due| *due <= end) {
            self.now = self.now.max(due);
            while let Some(next) = self.flying.first_entry().filter(|next| next.key().0 <= self.now) {
                let seen = next.remove();
                self.arrive(&seen);
            }
            for n in 0..self.clients.len() {
                if self.client_due(n).is_some_and(|due| due <= self.now) {
                    self.client_turn(n, vec![], vec![]);
                }
            }
            if self.server.poll_timeout().is_some_and(|(due, _)| due <= self.now) {
                self.server_turn(vec![], vec![]);
            }
        }
        self.now = end;
    }

    fn client_due(&self, n: usize) -> Option<Instant> {
        self.clients[n].peer.poll_timeout().map(|(due, _)| due)
    }

    fn next_due(&self) -> Option<Instant> {
        let flying = self.flying.keys().map(|(at, _)| *at);
        let clients = (0..self.clients.len()).filter_map(|n| self.client_due(n));
        let server = self.server.poll_timeout().map(|(due, _)| due);
        flying.chain(clients).chain(server).min()
    }

    fn arrive(&mut self, seen: &Seen) {
        let datagram = Datagram {
            remote: seen.from,
            kind: "",
            payload: PacketBuf::copied_from(&seen.bytes),
        };
        if seen.to == server_address() {
            self.server_turn(vec![datagram], vec![]);
        } else if let Some(n) = self.clients.iter().position(|client| client.address == seen.to) {
            self.client_turn(n, vec![datagram], vec![]);
        }
    }

    fn client_turn(&mut self, n: usize, datagrams: Vec<Datagram>, packets: Vec<PacketBuf>) {
        let now = self.now;
        let mut input = Batch { datagrams, packets };
        let client = &mut self.clients[n];
        let address = client.address;
        let mut sent = VecDeque::new();
        loop {
            let mut output = Batch::default();
            if let Some(carrier) = &mut self.carrier {
                carrier.at_client(n, &mut client.peer, now, &mut input, &mut output);
            }
            client.peer.turn(now, &mut input, &mut output);
            sent.extend(output.datagrams);
            client.packets.extend(output.packets);
            while let Some(event) = client.peer.poll_event() {
                client.events.push((now, event.kind));
            }
            if client.is_busy {
                break;
            }
            let Some(job) = client.peer.poll_job() else {
                break;
            };
            client.jobs += 1;
            client.peer.handle_job(now, job.run()).unwrap();
        }
        self.launch(address, sent);
    }

    fn server_turn(&mut self, datagrams: Vec<Datagram>, packets: Vec<PacketBuf>) {
        let now = self.now;
        let mut input = Batch { datagrams, packets };
        loop {
            let mut output = Batch::default();
            if let Some(carrier) = &mut self.carrier {
                carrier.at_server(&mut self.server, now, &mut input, &mut output);
            }
            self.server.turn(now, &mut input, &mut output);
            self.server_packets.extend(output.packets);
            while let Some(event) = self.server.poll_event() {
                self.server_events.push((now, event.kind));
            }
            self.launch(server_address(), output.datagrams);
            if self.disk_is_slow {
                break;
            }
            let Some(job) = self.server.poll_job() else {
                break;
            };
            let done = if self.disk_is_full {
                job.fail()
            } else {
                self.saved.extend(job.text_to_save().map(str::to_owned));
                job.run()
            };
            self.server.handle_job(now, done).unwrap();
        }
    }

    fn launch(&mut self, from: SocketAddr, datagrams: impl IntoIterator<Item = Datagram>) {
        for datagram in datagrams {
            let seen = Seen {
                at: self.now,
                from,
                to: datagram.remote,
                kind: datagram.kind,
                bytes: datagram.payload.to_vec(),
            };
            self.log.push(seen.clone());
            assert!(
                self.log.len() < ENDLESS,
                "this has no end: {:?}",
                self.kinds().split_off(ENDLESS - 20)
            );
            for (delay, copy) in (self.wire)(&seen) {
                self.launched += 1;
                self.flying.insert((self.now + delay, self.launched), copy);
            }
        }
    }

    /// Kinds of all datagrams sent so far.
    pub(crate) fn kinds(&self) -> Vec<&'static str> {
        self.log.iter().map(|seen| seen.kind).collect()
    }

    /// The first datagram of a kind.
    pub(crate) fn first(&self, kind: &str) -> Seen {
        let found = self.log.iter().find(|seen| seen.kind == kind);
        found
            .unwrap_or_else(|| panic!("no {kind} among {:?}", self.kinds()))
            .clone()
    }

    /// Number of datagrams of a kind.
    pub(crate) fn count(&self, kind: &str) -> usize {
        self.log.iter().filter(|seen| seen.kind == kind).count()
    }

    /// The client's next timer.
    pub(crate) fn client_timer(&self, n: usize) -> Option<(Instant, Reason)> {
        self.clients[n].peer.poll_timeout()
    }
}
