//! A login and one packet between a client and a server in memory.
//!
//! ```text
//! cargo run -p sandhog-proto --example login
//! ```

use std::net::SocketAddr;
use std::time::Duration;

use rand_chacha::ChaCha20Rng;
use rand_core::SeedableRng;
use sandhog_proto::secure::{
    Client, ClientConfig, Login, Psk, Server, ServerConfig, ServerKey, ServerSetup, Suite, User, UserStore,
    WallClock, register,
};
use sandhog_proto::{Batch, Command, EventKind, Instant, PacketBuf, Peer, TunnelStatus};

const CLIENT: &str = "192.0.2.2:50000";
const SERVER: &str = "192.0.2.1:40404";

/// The cheapest password stretching. A real server uses `Suite::Standard`.
const SUITE: Suite = Suite::Laboratory;

fn main() {
    // A real program takes its seeds from the operating system.
    let mut rng = ChaCha20Rng::from_seed([1; 32]);
    let psk = Psk::new([2; 32]).expect("not a published key");
    let setup = ServerSetup::generate(&mut rng);
    let mut client = client(psk.clone(), setup.server_key());
    let mut server = server(psk, setup, &mut rng);

    client
        .command(Instant::ZERO, Command::Start)
        .expect("a new client");
    let (mut to_server, mut to_client) = (Batch::default(), Batch::default());
    let mut is_sent = false;
    // A round trip of 20 ms.
    for round in 0..20 {
        let now = Instant::from_millis(20 * round);
        let mut output = turn(&mut client, now, &mut to_client, "client");
        send(&mut output, CLIENT, &mut to_server);
        let later = now + Duration::from_millis(10);
        let mut output = turn(&mut server, later, &mut to_server, "server");
        if let Some(packet) = output.packets.pop() {
            println!("{later}  server  received a packet of {} bytes", packet.len());
            assert_eq!(packet[..], ip_packet()[..]);
            return;
        }
        send(&mut output, SERVER, &mut to_client);
        if client.status() == TunnelStatus::Connected && !is_sent {
            is_sent = true;
            to_client.packets.push(PacketBuf::copied_from(&ip_packet()));
        }
    }
    panic!("the packet did not arrive");
}

/// One turn of a peer, its jobs and its events. Prints the events.
fn turn(peer: &mut impl Peer, now: Instant, input: &mut Batch, name: &str) -> Batch {
    let mut output = Batch::default();
    peer.turn(now, input, &mut output);
    // A real program runs jobs on another thread, because they take a tenth of a second.
    while let Some(job) = peer.poll_job() {
        peer.handle_job(now, job.run()).expect("a job of this peer");
        peer.turn(now, input, &mut output);
    }
    while let Some(event) = peer.poll_event() {
        match event.kind {
            EventKind::Started(result) => println!("{now}  {name}  started: {result:?}"),
            EventKind::LoggedIn { login, remote } => {
                println!("{now}  {name}  {login} logged in from {remote}");
            }
            other => println!("{now}  {name}  {other:?}"),
        }
    }
    output
}

/// The network: it writes the sender's address on each datagram.
fn send(output: &mut Batch, from: &str, input: &mut Batch) {
    for mut datagram in output.datagrams.drain(..) {
        datagram.remote = from.parse().expect("an address");
        input.datagrams.push(datagram);
    }
}

fn client(psk: Psk, server_key: ServerKey) -> Client {
    Client::new(ClientConfig {
        psk,
        login: Login::new("alice").expect("a valid name"),
        password: String::from("correct horse").into(),
        suite: SUITE,
        server: SERVER.parse::<SocketAddr>().expect("an address"),
        server_key,
        ticket: None,
        clock: Some(clock()),
        mtu_search: false,
        seed: [3; 32],
    })
}

/// The wall clock of both peers. A real program reads it from the operating system.
fn clock() -> WallClock {
    WallClock::new(Instant::ZERO, 1_800_000_000_000)
}

fn server(psk: Psk, setup: ServerSetup, rng: &mut ChaCha20Rng) -> Server {
    let login = Login::new("alice").expect("a valid name");
    let record = register(&setup, SUITE, &login, "correct horse", rng).expect("a short password");
    let mut users = UserStore::default();
    let alice = User {
        login,
        record,
        suite: SUITE,
        disabled: false,
        expires: None,
        address4: None,
        address6: None,
        max_sessions: 1,
    };
    users.add(alice).expect("the first user");
    let network = "10.9.0.1/24".parse().expect("a prefix");
    Server::new(ServerConfig {
        psk,
        second_psk: None,
        setup,
        users,
        suite: SUITE,
        addresses: vec![network],
        routes: vec![network],
        mtu: 1420,
        dns: Vec::new(),
        search: Vec::new(),
        keepalive: 25,
        isolate_clients: false,
        clock: Some(clock()),
        checks_clock: true,
        seed: [4; 32],
    })
    .expect("a valid configuration")
}

/// An IPv4 packet without payload from 10.9.0.2 to 10.9.0.1 (RFC 791). The server gives the first client 10.9.0.2.
fn ip_packet() -> [u8; 20] {
    [69, 0, 0, 20, 0, 0, 0, 0, 64, 17, 0, 0, 10, 9, 0, 2, 10, 9, 0, 1]
}
