//! Load tests: a login during a flood of forged datagrams, or of begun logins, and a thousand sessions.

mod attempts;

use std::net::{Ipv4Addr, SocketAddr, UdpSocket};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use rand_chacha::rand_core::SeedableRng;
use sandhog_proto::secure::{
    CONTROL_LEN, Client, ClientConfig, Login, Psk, ServerKey, ServerSetup, Suite, Ticket, User, UserStore,
    WallClock, register, setup_from_text,
};
use sandhog_proto::{Batch, Command, Datagram, EventKind, PacketBuf, Peer};

use super::stranger::unix_millis;
use super::tunnel::{Outer, SERVER_INNER, Testbed};
use super::{SetOnDrop, ping_three_times};

/// Forged datagrams per second.
const FLOOD: u64 = 50_000;

/// Sends forged logins, session data and garbage until `is_over`, evenly spaced within a millisecond.
fn flood(socket: &UdpSocket, is_over: &AtomicBool, sent: &AtomicU64) {
    let forged: Vec<Vec<u8>> = [(1, CONTROL_LEN), (3, 1_000), (1, CONTROL_LEN), (3, 125), (7, 60)]
        .into_iter()
        .map(|(code, len)| {
            let mut bytes: Vec<u8> = (0..len).map(|at: usize| (at * 167 + len) as u8).collect();
            bytes[0] = code;
            bytes
        })
        .collect();
    let start = Instant::now();
    let mut count = 0;
    while !is_over.load(Ordering::Relaxed) {
        let due = start.elapsed().as_micros() as u64 * FLOOD / 1_000_000;
        for number in count..due {
            // A datagram lost in a full buffer does not matter.
            let _ = socket.send(&forged[number as usize % forged.len()]);
        }
        count = due;
        sent.store(count, Ordering::Relaxed);
        std::thread::sleep(Duration::from_millis(1));
    }
}

#[test]
fn a_user_logs_in_within_3_s_under_50000_forged_datagrams_per_second() {
    let testbed = testbed_or_skip!(Testbed::exclusive(Outer::V4));
    let server = testbed.start_server();
    let socket = testbed
        .client
        .enter(|| UdpSocket::bind("198.18.0.2:0"))
        .expect("a UDP socket");
    socket.connect("198.18.0.1:40404").expect("a route");
    let (is_over, sent) = (AtomicBool::new(false), AtomicU64::new(0));
    std::thread::scope(|scope| {
        let over = SetOnDrop(&is_over);
        scope.spawn(|| flood(&socket, &is_over, &sent));
        while sent.load(Ordering::Relaxed) < FLOOD / 5 {
            std::thread::yield_now();
        }
        let (start, before) = (Instant::now(), sent.load(Ordering::Relaxed));
        let client = testbed.start_client();
        let took = start.elapsed();
        ping_three_times(&testbed.client, SERVER_INNER[0]);
        let rate = (sent.load(Ordering::Relaxed) - before) as f64 / start.elapsed().as_secs_f64();
        drop(over);
        println!("logged in after {took:?} under {rate:.0} forged datagrams per second");
        assert!(took < Duration::from_secs(3), "{took:?}");
        assert!(rate > FLOOD as f64 * 0.9, "only {rate:.0} per second");
        drop(client);
    });
    let (_, log) = server.terminate();
    assert!(
        log.contains("authentication-failed ") && log.contains("unknown-index "),
        "{log}"
    );
}

const SESSIONS: u16 = 1_000;
/// Sessions per user, and clients per address: the limits of a server.
const PER_USER: u16 = 20;
/// Largest number of logins in progress at a time.
const CONCURRENT_LOGINS: usize = 50;

fn login(number: u16) -> Login {
    Login::new(&format!("user{number}")).expect("a login")
}

/// Writes users whose records use the cheap password hash of the laboratory. The server cannot detect that,
/// because only clients compute the hash. The user of `sandhog init` stays. Returns a ticket for each new user.
fn write_users(testbed: &Testbed, setup: &ServerSetup) -> Vec<Ticket> {
    let mut rng = rand_chacha::ChaCha20Rng::from_seed([7; 32]);
    let before = std::fs::read_to_string(testbed.path("users")).expect("a file of the test");
    let (mut users, mut tickets) = (UserStore::parse(&before).expect("users"), Vec::new());
    for number in 0..SESSIONS / PER_USER {
        let login = login(number);
        let record = register(setup, Suite::Laboratory, &login, "pass", &mut rng).expect("a record");
        tickets.push(setup.ticket(&login, &record, unix_millis() / 1000));
        let user = User {
            record,
            login,
            suite: Suite::Standard,
            disabled: false,
            expires: None,
            address4: None,
            address6: None,
            max_sessions: PER_USER,
        };
        users.add(user).expect("a new user");
    }
    std::fs::write(testbed.path("users"), users.to_text()).expect("the test folder");
    tickets
}

/// The values that the clients need to log in.
struct Keys {
    psk: Psk,
    server: ServerKey,
    /// By user.
    tickets: Vec<Ticket>,
}

impl Keys {
    /// Writes the users, and returns the values for their clients.
    fn with_users(testbed: &Testbed) -> Self {
        let read = |name| std::fs::read_to_string(testbed.path(name)).expect("a file of the test");
        let setup = setup_from_text(&read("sandhog.setup")).expect("a setup");
        Self {
            psk: Psk::from_base64(read("sandhog.key").trim()).expect("a key"),
            server: setup.server_key(),
            tickets: write_users(testbed, &setup),
        }
    }
}

/// A client without a device.
struct TestClient {
    peer: Client,
    socket: UdpSocket,
    address: Option<Ipv4Addr>,
    /// Time of the last ping, and number of pings.
    last_ping: (sandhog_proto::Instant, u32),
    answered: bool,
}

/// Time after which a ping without a reply is repeated, because a full queue may drop one.
const PING_INTERVAL: Duration = Duration::from_secs(1);

impl TestClient {
    /// Clients at one address have different users.
    fn start(keys: &Keys, number: u16, now: sandhog_proto::Instant) -> Self {
        let [high, low] = (number % (SESSIONS / PER_USER) + 2).to_be_bytes();
        let socket = UdpSocket::bind((Ipv4Addr::new(127, 0, high, low), 0)).expect("a UDP socket");
        socket.set_nonblocking(true).expect("a socket");
        let mut seed = [9; 32];
        seed[..2].copy_from_slice(&number.to_be_bytes());
        let mut peer = Client::new(ClientConfig {
            psk: keys.psk.clone(),
            login: login(number / PER_USER),
            password: "pass".to_owned().into(),
            suite: Suite::Standard,
            server: SocketAddr::from(([127, 0, 0, 1], 40404)),
            server_key: keys.server,
            ticket: Some(keys.tickets[usize::from(number / PER_USER)]),
            clock: Some(WallClock::new(now, unix_millis())),
            mtu_search: false,
            seed,
        });
        peer.set_stretching(Suite::Laboratory);
        peer.command(now, Command::Start).expect("a new client");
        Self {
            peer,
            socket,
            address: None,
            last_ping: (now, 0),
            answered: false,
        }
    }

    /// Returns the next ping if the tunnel is up and the ping is due.
    fn ping(&mut self, now: sandhog_proto::Instant) -> Option<PacketBuf> {
        let own = self.address.filter(|_| !self.answered)?;
        let (last, count) = self.last_ping;
        if count > 0 && now.saturating_duration_since(last) < PING_INTERVAL {
            return None;
        }
        self.last_ping = (now, count + 1);
        Some(PacketBuf::copied_from(&echo_request(own)))
    }

    /// Receives datagrams, runs a turn of the peer, and sends its datagrams. Pings through the tunnel once it
    /// is up.
    fn turn(&mut self, now: sandhog_proto::Instant, room: &mut [u8]) {
        let (mut input, mut output) = (Batch::default(), Batch::default());
        while let Ok((len, remote)) = self.socket.recv_from(room) {
            input.datagrams.push(Datagram {
                remote,
                kind: "",
                payload: PacketBuf::copied_from(&room[..len]),
            });
        }
        self.peer.turn(now, &mut input, &mut output);
        while let Some(job) = self.peer.poll_job() {
            self.peer
                .handle_job(now, job.run())
                .expect("a job of this client");
            self.peer.turn(now, &mut input, &mut output);
        }
        while let Some(event) = self.peer.poll_event() {
            match event.kind {
                EventKind::Started(Ok(settings)) => {
                    let own = settings.addresses.iter().find_map(|prefix| match prefix.address {
                        std::net::IpAddr::V4(address) => Some(address),
                        std::net::IpAddr::V6(_) => None,
                    });
                    self.address = Some(own.expect("an IPv4 address"));
                }
                EventKind::Started(Err(error)) | EventKind::Cancelled(error) => panic!("{error}"),
                _ => {}
            }
        }
        if let Some(ping) = self.ping(now) {
            input.packets.push(ping);
            self.peer.turn(now, &mut input, &mut output);
        }
        for datagram in &output.datagrams {
            self.socket
                .send_to(&datagram.payload, datagram.remote)
                .expect("loopback accepts all");
        }
        let own = self.address.map(|address| address.octets());
        let is_reply = |packet: &PacketBuf| {
            packet.get(20) == Some(&0) && packet.get(16..20) == own.as_ref().map(|own| &own[..])
        };
        self.answered |= output.packets.iter().any(is_reply);
    }
}

/// An ICMP echo request (RFC 792) to the server's own address in the tunnel.
fn echo_request(source: Ipv4Addr) -> Vec<u8> {
    let mut packet = vec![0x45, 0, 0, 28, 0, 0, 0, 0, 64, 1, 0, 0];
    packet.extend(source.octets());
    packet.extend([10, 9, 0, 1]);
    packet.extend([8, 0, 0, 0, 0, 7, 0, 1]);
    for (range, at) in [(0..20, 10), (20..28, 22)] {
        let words = packet[range]
            .chunks(2)
            .map(|pair| u32::from(u16::from_be_bytes([pair[0], pair[1]])));
        let sum: u32 = words.sum();
        let sum = !(((sum >> 16) + (sum & 0xffff)) as u16);
        packet[at..at + 2].copy_from_slice(&sum.to_be_bytes());
    }
    packet
}

#[test]
fn a_thousand_simultaneous_sessions_each_carry_their_own_packets() {
    let testbed = testbed_or_skip!(Testbed::exclusive(Outer::V4));
    testbed.edit("server.toml", "10.9.0.1/24", "10.9.0.1/16");
    let keys = Keys::with_users(&testbed);
    let server = testbed.start_server();
    let start = Instant::now();
    testbed.server.enter(|| {
        let now = || sandhog_proto::Instant::ZERO + start.elapsed();
        let mut clients: Vec<TestClient> = Vec::new();
        let mut room = vec![0; 1 << 16];
        while clients.iter().filter(|client| client.answered).count() < usize::from(SESSIONS) {
            assert!(
                start.elapsed() < Duration::from_secs(60),
                "{} sessions",
                clients.len()
            );
            let up = clients.iter().filter(|client| client.address.is_some()).count();
            while clients.len() < usize::from(SESSIONS) && clients.len() < up + CONCURRENT_LOGINS {
                clients.push(TestClient::start(&keys, clients.len() as u16, now()));
            }
            clients
                .iter_mut()
                .for_each(|client| client.turn(now(), &mut room));
            std::thread::sleep(Duration::from_millis(1));
        }
        let mut addresses: Vec<_> = clients.iter().filter_map(|client| client.address).collect();
        let pings: u32 = clients.iter().map(|client| client.last_ping.1).sum();
        println!("{pings} pings for a thousand replies");
        addresses.sort_unstable();
        addresses.dedup();
        assert_eq!(
            addresses.len(),
            usize::from(SESSIONS),
            "each session has its own address"
        );
    });
    let resident = server.resident_kib();
    println!(
        "a thousand sessions after {:?}, {resident} KiB resident",
        start.elapsed()
    );
    assert!(resident < 64 << 10, "{resident} KiB");
    let (_, log) = server.terminate();
    assert_eq!(log.matches(" logged in from ").count(), usize::from(SESSIONS));
}
