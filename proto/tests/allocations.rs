//! Allocations on the data path: none. A counting allocator checks it.

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::iter;
use std::net::SocketAddr;

use rand_chacha::ChaCha20Rng;
use rand_chacha::rand_core::SeedableRng;
use sandhog_proto::aead::{Cipher, DefaultAead, KEY_LEN};
use sandhog_proto::classic::{
    Client, ClientConfig, HashCost, Key, Server, ServerConfig, User, hash_password,
};
use sandhog_proto::secure::{self, Opener, Sealer};
use sandhog_proto::{Batch, Instant, NetworkSettings, PacketBuf, Peer, TunnelStatus};

thread_local! {
    static ALLOCATIONS: Cell<u64> = const { Cell::new(0) };
}

struct Counting;

// SAFETY: all calls are passed on unchanged to the system allocator.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        let _ = ALLOCATIONS.try_with(|count| count.set(count.get() + 1));
        // SAFETY: the caller keeps the contract.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        // SAFETY: the caller keeps the contract.
        unsafe { System.dealloc(pointer, layout) }
    }

    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, new_size: usize) -> *mut u8 {
        let _ = ALLOCATIONS.try_with(|count| count.set(count.get() + 1));
        // SAFETY: the caller keeps the contract.
        unsafe { System.realloc(pointer, layout, new_size) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

const NOW: Instant = Instant::from_secs(1);

fn server_address() -> SocketAddr {
    "203.0.113.1:9999".parse().unwrap()
}

fn client_address() -> SocketAddr {
    "198.51.100.2:50000".parse().unwrap()
}

fn pair() -> (Client, Server) {
    let settings = NetworkSettings {
        tunnel_remote_address: server_address().ip(),
        addresses: vec![],
        included_routes: vec![],
        excluded_routes: vec![],
        dns_servers: vec![],
        search_domains: vec![],
        mtu: 1400,
    };
    let client = Client::new(ClientConfig {
        key: Key::new([1; 32]),
        login: "kean".to_owned(),
        password: "123456".to_owned().into(),
        server: server_address(),
        settings,
        seed: [1; 32],
    });
    let user = User {
        login: "kean".to_owned(),
        password_hash: hash_password("123456", [1; 16], HashCost::LABORATORY),
        addresses: vec![[10, 9, 0, 2].into()],
    };
    let config = ServerConfig {
        key: Key::new([1; 32]),
        users: vec![user],
        mtu: 1400,
        seed: [2; 32],
    };
    (client, Server::new(config).unwrap())
}

/// Passes `batch.datagrams` from `sender` through one turn of `peer`. Afterwards `batch` contains the output.
fn exchange(peer: &mut impl Peer, batch: &mut Batch, spare: &mut Batch, sender: SocketAddr) {
    for datagram in &mut batch.datagrams {
        datagram.remote = sender;
    }
    peer.turn(NOW, batch, spare);
    core::mem::swap(batch, spare);
}

#[test]
fn packets_pass_client_and_server_of_the_classic_profile_without_allocation() {
    let (mut client, mut server) = pair();
    let (mut batch, mut spare) = (Batch::default(), Batch::default());
    client.start(NOW).unwrap();
    exchange(&mut client, &mut batch, &mut spare, server_address());
    exchange(&mut server, &mut batch, &mut spare, client_address());
    let done = server.poll_job().unwrap().run();
    server.handle_job(NOW, done).unwrap();
    exchange(&mut server, &mut batch, &mut spare, client_address());
    exchange(&mut client, &mut batch, &mut spare, server_address());
    assert!(client.settings().is_some());

    let up = || packet([10, 9, 0, 2], [10, 9, 0, 1]);
    let allocations = rounds(|batch, spare| {
        batch.packets.extend(iter::repeat_with(up).take(32));
        let before = ALLOCATIONS.get();
        exchange(&mut client, batch, spare, server_address());
        assert_eq!(batch.datagrams.len(), 32);
        exchange(&mut server, batch, spare, client_address());
        assert_eq!(batch.packets.len(), 32);
        ALLOCATIONS.get() - before
    });
    assert_eq!(allocations, [0, 0, 0]);
}

/// An IPv4 packet of 1400 bytes.
fn packet(from: [u8; 4], to: [u8; 4]) -> PacketBuf {
    let mut bytes = [0; 1400];
    bytes[0] = 0x45;
    bytes[2..4].copy_from_slice(&1400u16.to_be_bytes());
    bytes[12..16].copy_from_slice(&from);
    bytes[16..20].copy_from_slice(&to);
    PacketBuf::copied_from(&bytes)
}

/// Results of `round` in three rounds, after a first round that allocates the queues.
fn rounds(mut round: impl FnMut(&mut Batch, &mut Batch) -> u64) -> [u64; 3] {
    let (mut batch, mut spare) = (Batch::default(), Batch::default());
    let mut next = || {
        let count = round(&mut batch, &mut spare);
        batch.clear();
        spare.clear();
        count
    };
    next();
    [next(), next(), next()]
}

fn secure_pair() -> (secure::Client, secure::Server) {
    let mut rng = ChaCha20Rng::from_seed([3; 32]);
    let psk = secure::Psk::new([1; 32]).unwrap();
    let setup = secure::ServerSetup::generate(&mut rng);
    let (login, suite) = (secure::Login::new("kean").unwrap(), secure::Suite::Laboratory);
    let record = secure::register(&setup, suite, &login, "123456", &mut rng).unwrap();
    let client = secure::Client::new(secure::ClientConfig {
        psk: psk.clone(),
        login: login.clone(),
        password: "123456".to_owned().into(),
        suite,
        server: server_address(),
        server_key: setup.server_key(),
        ticket: None,
        clock: None,
        mtu_search: false,
        seed: [1; 32],
    });
    let mut users = secure::UserStore::new();
    let user = secure::User {
        login,
        record,
        suite,
        disabled: false,
        expires: None,
        address4: None,
        address6: None,
        max_sessions: 1,
    };
    users.add(user).unwrap();
    let server = secure::Server::new(secure::ServerConfig {
        psk,
        second_psk: None,
        setup,
        users,
        suite,
        addresses: vec!["10.9.0.1/24".parse().unwrap()],
        mtu: 1420,
        dns: vec![],
        search: vec![],
        routes: vec![],
        keepalive: 25,
        isolate_clients: false,
        clock: None,
        checks_clock: true,
        seed: [2; 32],
    });
    (client, server.unwrap())
}

/// A connected client and its server.
fn secure_pair_connected() -> (secure::Client, secure::Server) {
    let (mut client, mut server) = secure_pair();
    let (mut batch, mut spare) = (Batch::default(), Batch::default());
    client.start(NOW).unwrap();
    for _ in 0..5 {
        exchange(&mut client, &mut batch, &mut spare, server_address());
        if let Some(job) = client.poll_job() {
            client.handle_job(NOW, job.run()).unwrap();
            exchange(&mut client, &mut batch, &mut spare, server_address());
        }
        exchange(&mut server, &mut batch, &mut spare, client_address());
    }
    assert_eq!(client.status(), TunnelStatus::Connected);
    (client, server)
}

#[test]
fn packets_pass_client_and_server_of_the_secure_profile_without_allocation() {
    let (mut client, mut server) = secure_pair_connected();
    let up = || packet([10, 9, 0, 2], [10, 9, 0, 1]);
    let down = || packet([10, 9, 0, 1], [10, 9, 0, 2]);
    let allocations = rounds(|batch, spare| {
        batch.packets.extend(iter::repeat_with(up).take(32));
        let before = ALLOCATIONS.get();
        exchange(&mut client, batch, spare, server_address());
        assert_eq!(batch.datagrams.len(), 32);
        exchange(&mut server, batch, spare, client_address());
        assert_eq!(batch.packets.len(), 32);
        let there = ALLOCATIONS.get() - before;

        batch.clear();
        batch.packets.extend(iter::repeat_with(down).take(32));
        let before = ALLOCATIONS.get();
        exchange(&mut server, batch, spare, client_address());
        assert_eq!(batch.datagrams.len(), 32);
        exchange(&mut client, batch, spare, server_address());
        assert_eq!(batch.packets.len(), 32);
        there + ALLOCATIONS.get() - before
    });
    assert_eq!(allocations, [0, 0, 0]);
}

#[test]
fn sealer_and_opener_seal_and_open_without_allocation() {
    for cipher in [Cipher::ChaCha20Poly1305, Cipher::Aes256Gcm] {
        let key = [7; KEY_LEN];
        let (sealer, opener) = (
            Sealer::<DefaultAead>::new(cipher, &key, 1),
            Opener::<DefaultAead>::new(cipher, &key, 1),
        );
        let mut buf = packet([10, 9, 0, 2], [10, 9, 0, 1]);
        let before = ALLOCATIONS.get();
        for _ in 0..10_000 {
            sealer.seal_packet(&mut buf, 1420).unwrap();
            opener.open(&mut buf).unwrap();
        }
        assert_eq!(ALLOCATIONS.get() - before, 0, "{cipher}");
        assert_eq!((sealer.messages(), buf.len()), (10_000, 1400));
    }
}
