//! The data path allocates nothing: counted by an allocator that counts.

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::net::SocketAddr;

use sandhog_proto::classic::{
    Client, ClientConfig, HashCost, Key, Server, ServerConfig, User, hash_password,
};
use sandhog_proto::{Batch, Instant, NetworkSettings, PacketBuf, Peer};

thread_local! {
    static ALLOCATIONS: Cell<u64> = const { Cell::new(0) };
}

struct Counting;

// SAFETY: everything is passed on to the system's allocator unchanged.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        let _ = ALLOCATIONS.try_with(|count| count.set(count.get() + 1));
        // SAFETY: the caller's promises are passed on.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        // SAFETY: the caller's promises are passed on.
        unsafe { System.dealloc(pointer, layout) }
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

/// Takes `batch.datagrams` through one turn of `peer`, as sent by `sender`; what comes out is in `batch` again.
fn exchange(peer: &mut impl Peer, batch: &mut Batch, spare: &mut Batch, sender: SocketAddr) {
    for datagram in &mut batch.datagrams {
        datagram.remote = sender;
    }
    peer.turn(NOW, batch, spare);
    core::mem::swap(batch, spare);
}

#[test]
fn packets_cross_client_and_server_without_an_allocation() {
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

    let mut bytes = [0; 1400];
    bytes[0] = 0x45;
    bytes[12..20].copy_from_slice(&[10, 9, 0, 2, 10, 9, 0, 1]);
    batch.packets = (0..32).map(|_| PacketBuf::copied_from(&bytes)).collect();
    let mut allocations = Vec::with_capacity(4);
    for _ in 0..4 {
        let before = ALLOCATIONS.get();
        exchange(&mut client, &mut batch, &mut spare, server_address());
        assert_eq!(batch.datagrams.len(), 32);
        exchange(&mut server, &mut batch, &mut spare, client_address());
        assert_eq!(batch.packets.len(), 32);
        allocations.push(ALLOCATIONS.get() - before);
    }
    assert_eq!(
        allocations[1..],
        [0, 0, 0],
        "after the first round, which makes room in the queues"
    );
}
