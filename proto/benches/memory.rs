//! Memory of an idle session on the server: growth of the heap divided by the number of sessions. `cargo
//! bench --package sandhog-proto --bench memory`. The exit status is 1 if the limit is exceeded.

use std::alloc::{GlobalAlloc, Layout, System};
use std::net::SocketAddr;
use std::process::ExitCode;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use sandhog_proto::secure::{Client, ClientConfig, Server, ServerConfig};
use sandhog_proto::{Batch, Instant, Peer, TunnelStatus};
use support::{client_config, login, server_address, server_config, store, user};

#[path = "../tests/secure/support.rs"]
#[expect(dead_code, reason = "only the tests use all of it")]
mod support;

/// Limit in bytes per idle session.
const PROMISED: usize = 4608;

/// Number of currently allocated bytes.
static HEAP: AtomicUsize = AtomicUsize::new(0);

struct Counting;

// SAFETY: all calls are passed on unchanged to the system allocator.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        HEAP.fetch_add(layout.size(), Ordering::Relaxed);
        // SAFETY: the caller keeps the contract.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        HEAP.fetch_sub(layout.size(), Ordering::Relaxed);
        // SAFETY: the caller keeps the contract.
        unsafe { System.dealloc(pointer, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// Each client has its own address and so its own source prefix.
fn address(n: usize) -> SocketAddr {
    let [.., high, low] = n.to_be_bytes();
    SocketAddr::from(([198, 18, high, low], 50_000))
}

fn config(sessions: usize) -> ServerConfig {
    ServerConfig {
        users: store((0..sessions).map(|n| user(&format!("user{n}")))),
        addresses: vec!["10.9.0.1/16".parse().unwrap(), "fd00::1/64".parse().unwrap()],
        ..server_config()
    }
}

/// Passes the datagrams in `batch` from `sender` through a turn of `peer`. Afterwards `batch` contains the
/// output.
fn exchange(peer: &mut impl Peer, now: Instant, batch: &mut Batch, sender: SocketAddr) {
    let mut output = Batch::default();
    for datagram in &mut batch.datagrams {
        datagram.remote = sender;
    }
    peer.turn(now, batch, &mut output);
    while let Some(job) = peer.poll_job() {
        peer.handle_job(now, job.run()).unwrap();
        peer.turn(now, &mut Batch::default(), &mut output);
    }
    while peer.poll_event().is_some() {}
    *batch = output;
}

/// Passes datagrams between client and server until both are silent.
fn talk(client: &mut Client, server: &mut Server, now: Instant, address: SocketAddr) {
    let mut batch = Batch::default();
    loop {
        exchange(client, now, &mut batch, server_address());
        if batch.is_empty() {
            return;
        }
        exchange(server, now, &mut batch, address);
    }
}

fn main() -> ExitCode {
    let sessions = if std::env::args().any(|argument| argument == "--bench") {
        1000
    } else {
        50
    };
    let mut server = Server::new(config(sessions)).unwrap();
    let before = HEAP.load(Ordering::Relaxed);
    // Not faster than the server answers first messages.
    let spacing = Duration::from_millis(2);
    let mut now = Instant::from_secs(1);
    for n in 0..sessions {
        // Clients with one seed would use the same nonces, and the server answers each nonce once.
        let mut seed = [0; 32];
        seed[..8].copy_from_slice(&(n as u64).to_be_bytes());
        let mut client = Client::new(ClientConfig {
            login: login(&format!("user{n}")),
            seed,
            ..client_config("kean", 1)
        });
        client.start(now).unwrap();
        talk(&mut client, &mut server, now, address(n));
        assert_eq!(client.status(), TunnelStatus::Connected);
        now = now + spacing;
    }
    let live = HEAP.load(Ordering::Relaxed) - before;
    // The server keeps some data of a login for half a minute. It is gone now.
    now = now + Duration::from_secs(60);
    server.handle_timeout(now).unwrap();
    assert_eq!(server.session_count(), sessions);
    let idle = (HEAP.load(Ordering::Relaxed) - before) / sessions;
    println!(
        "{sessions} sessions: {} bytes each right after the login, {idle} once idle; at most {PROMISED} are allowed",
        live / sessions
    );
    ExitCode::from(u8::from(idle > PROMISED))
}
