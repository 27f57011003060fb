//! Packets that no honest host sends: no panic, no busy loop, no growth.

use proptest::collection::vec;
use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};
use sandhog_netstack::{MAX_CONNECTIONS, Task};
use smoltcp::wire::{Ipv4Packet, TcpPacket};

use crate::world::{
    ALICE, BOB, ECHO_PORT, HTTP_PORT, World, bob, download, fix_checksums, ms, segment, upload, world,
};

/// The same cases in every run: nothing random, no file of past failures.
fn check<S: Strategy>(cases: u32, strategy: S, test: impl Fn(S::Value)) {
    let config = Config {
        cases,
        failure_persistence: None,
        ..Config::default()
    };
    let rng = proptest::test_runner::TestRng::deterministic_rng(proptest::test_runner::RngAlgorithm::ChaCha);
    let mut runner = TestRunner::new_with_rng(config, rng);
    runner
        .run(&strategy, |value| {
            test(value);
            Ok(())
        })
        .unwrap();
}

/// A world in the middle of everything that hosts can do.
fn busy() -> World {
    let mut world = world();
    let ping = Task::Ping {
        to: [10, 9, 0, 1].into(),
        count: 9,
        interval: ms(9),
        payload_len: 56,
        timeout: ms(90),
    };
    let echo = Task::UdpEcho {
        to: ([0xfd00, 0, 0, 0, 0, 0, 0, 1], ECHO_PORT).into(),
        count: 9,
        interval: ms(9),
        payload_len: 56,
        timeout: ms(90),
    };
    let get = Task::HttpGet {
        from: bob(HTTP_PORT),
        path: "/every-byte".into(),
    };
    for task in [ping, echo, download(200_000), upload(200_000), get] {
        world.start(ALICE, task);
    }
    world
}

/// Runs to the end; `World::step` asserts that no host spins.
fn settle(mut world: World) {
    world.run(ms(300_000));
    assert_eq!(
        world.hosts.each_mut().map(|host| host.poll_timeout(world.now)),
        [None, None]
    );
}

#[test]
fn any_bytes_are_taken_without_a_panic() {
    check(400, vec(vec(any::<u8>(), 0..120), 1..8), |packets| {
        let mut world = busy();
        world.run(ms(45));
        for packet in packets {
            world.inject(ALICE, &packet);
            world.inject(BOB, &packet);
        }
    });
}

#[test]
fn changed_packets_with_right_checksums_are_taken_without_a_panic_and_all_tasks_end() {
    let change = (
        any::<prop::sample::Index>(),
        any::<prop::sample::Index>(),
        any::<u8>(),
    );
    // Headers are where the trouble is: half of all changes go into the first 64 bytes.
    let strategy = (vec((change, any::<bool>(), any::<bool>()), 1..40), 20_u64..200);
    check(150, strategy, |(changes, until)| {
        let mut world = busy();
        world.run(ms(until));
        let tap = world.tap.clone();
        for ((packet, byte, value), in_header, to_alice) in changes {
            let (_, _, packet) = packet.get(&tap);
            let mut packet = packet.clone();
            let range = if in_header {
                packet.len().min(64)
            } else {
                packet.len()
            };
            packet[byte.index(range)] = value;
            fix_checksums(&mut packet);
            world.inject(if to_alice { ALICE } else { BOB }, &packet);
        }
        settle(world);
    });
}

#[test]
fn truncated_packets_are_taken_without_a_panic() {
    let mut world = busy();
    world.run(ms(100));
    for (from, _, packet) in world.tap.clone() {
        for len in (0..packet.len().min(80)).chain([packet.len() - 1]) {
            world.inject(1 - from, &packet[..len]);
        }
    }
    settle(world);
}

#[test]
fn a_flood_of_connection_attempts_takes_no_more_than_the_limit() {
    let mut world = world();
    world.start(ALICE, download(1));
    let syn = world.tap[0].2.clone();
    for port in 1..2000 {
        let mut syn = syn.clone();
        TcpPacket::new_unchecked(Ipv4Packet::new_unchecked(&mut syn[..]).payload_mut()).set_src_port(port);
        fix_checksums(&mut syn);
        world.hosts[BOB].handle_packet(world.now, &syn);
    }
    let (mut packet, mut taken, mut refused) = (Vec::new(), 0, 0);
    while world.hosts[BOB].poll_packet(&mut packet) {
        let segment = segment(&packet).unwrap();
        taken += usize::from(segment.syn() && segment.ack());
        refused += usize::from(segment.rst());
    }
    assert_eq!((taken, refused), (MAX_CONNECTIONS, 1999 - MAX_CONNECTIONS));
    world.run(ms(120_000));
    let task = world.start(ALICE, download(1));
    world.finish(ALICE, task).unwrap();
}

#[test]
fn packets_to_other_addresses_are_ignored() {
    let mut world = world();
    world.start(ALICE, download(1));
    let mut syn = world.tap[0].2.clone();
    Ipv4Packet::new_unchecked(&mut syn[..]).set_dst_addr([10, 9, 0, 77].into());
    fix_checksums(&mut syn);
    let before = world.tap.len();
    world.inject(BOB, &syn);
    assert_eq!(world.tap.len(), before);
}
