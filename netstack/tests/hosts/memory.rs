//! Tests of memory use: bytes of an idle host, allocations per packet.
//!
//! The counters are per thread, and each test runs in a thread of its own. So tests that run at the same time do not count.

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::time::Duration;

use sandhog_netstack::{Config, EventKind, Host, Service, Task};

/// The system's allocator with counters.
struct Counting;

thread_local! {
    // Constant values without a destructor: an access allocates nothing.
    static BYTES: Cell<usize> = const { Cell::new(0) };
    static ALLOCATIONS: Cell<usize> = const { Cell::new(0) };
}

// SAFETY: each call is passed to the system's allocator unchanged.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        BYTES.set(BYTES.get().wrapping_add(layout.size()));
        ALLOCATIONS.set(ALLOCATIONS.get() + 1);
        // SAFETY: the caller keeps `alloc`'s contract.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
        BYTES.set(BYTES.get().wrapping_sub(layout.size()));
        // SAFETY: the caller keeps `dealloc`'s contract.
        unsafe { System.dealloc(block, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

fn bytes() -> usize {
    BYTES.get()
}

fn allocations() -> usize {
    ALLOCATIONS.get()
}

fn host(last: u8) -> Host {
    let addresses = vec![([10, 9, 0, last].into(), 24)];
    Host::new(Config {
        addresses,
        mtu: 1400,
        seed: 1,
        canary: *b"canary-canary-16",
    })
}

/// Delivers packets in both directions, without delay, until there are none.
fn exchange(now: Duration, alice: &mut Host, bob: &mut Host, packet: &mut Vec<u8>) {
    loop {
        let mut moved = false;
        while alice.poll_packet(packet) {
            bob.handle_packet(now, packet);
            moved = true;
        }
        while bob.poll_packet(packet) {
            alice.handle_packet(now, packet);
            moved = true;
        }
        if !moved {
            return;
        }
    }
}

#[test]
fn idle_hosts_are_small_and_packets_need_almost_no_allocations() {
    let before = bytes();
    let mut alice = host(2);
    let mut bob = host(1);
    bob.serve(Service::Bulk { port: 5001 });
    bob.serve(Service::UdpEcho { port: 7 });
    let idle = bytes() - before + 2 * size_of::<Host>();
    assert!(idle < 20_000, "two idle hosts take {idle} bytes");

    let mut packet = Vec::new();
    let ping = Task::Ping {
        to: [10, 9, 0, 1].into(),
        count: 1000,
        interval: Duration::from_millis(1),
        payload_len: 1000,
        timeout: Duration::from_secs(1),
    };
    alice.start(Duration::ZERO, ping);
    let start = allocations();
    for millis in 0..1000 {
        alice.handle_timeout(Duration::from_millis(millis));
        exchange(Duration::from_millis(millis), &mut alice, &mut bob, &mut packet);
        while let Some(event) = alice.poll_event() {
            assert!(!matches!(event.kind, EventKind::PingLost { .. }));
        }
    }
    let pings = allocations() - start;
    assert!(pings < 20, "1000 pings took {pings} allocations");

    let start = allocations();
    alice.start(
        Duration::from_secs(1),
        Task::Download {
            from: ([10, 9, 0, 1], 5001).into(),
            bytes: 4 << 20,
        },
    );
    let mut now = Duration::from_secs(1);
    let mut done = false;
    while !done {
        exchange(now, &mut alice, &mut bob, &mut packet);
        while let Some(event) = alice.poll_event() {
            done |= matches!(event.kind, EventKind::Done(_));
        }
        now += Duration::from_millis(10);
        alice.handle_timeout(now);
        bob.handle_timeout(now);
    }
    let packets = (4 << 20) / 1360;
    let transfer = allocations() - start;
    assert!(
        transfer < packets / 10,
        "{packets} data packets took {transfer} allocations"
    );

    now += Duration::from_secs(11);
    bob.handle_timeout(now);
    exchange(now, &mut alice, &mut bob, &mut packet);
    let after = bytes() - before;
    assert!(
        after < 120_000,
        "after the transfer, two idle hosts keep {after} bytes"
    );
}
