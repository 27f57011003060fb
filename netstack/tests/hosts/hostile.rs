//! Tests with hostile packets: no panic, no busy loop, bounded memory.

use proptest::collection::vec;
use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};
use sandhog_netstack::{MAX_CONNECTIONS, TCP_TIMEOUT, Task};
use smoltcp::wire::{Ipv4Packet, TcpPacket};

use crate::network::{
    ALICE, BOB, ECHO_PORT, HTTP_PORT, Network, bob, download, fix_checksums, ms, network, segment, upload,
};

/// Runs a property test with the same cases in every run: a fixed seed, and no file of past failures.
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

/// A network with one task of each kind under way.
fn busy() -> Network {
    let mut network = network();
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
        network.start(ALICE, task);
    }
    network
}

/// Runs until no host has a deadline. `Network::step` asserts that no host spins.
fn settle(mut network: Network) {
    network.run(5 * TCP_TIMEOUT);
    assert_eq!(
        network
            .hosts
            .each_mut()
            .map(|host| host.poll_timeout(network.now)),
        [None, None]
    );
}

#[test]
fn arbitrary_bytes_cause_no_panic() {
    check(400, vec(vec(any::<u8>(), 0..120), 1..8), |packets| {
        let mut network = busy();
        network.run(ms(45));
        for packet in packets {
            network.inject(ALICE, &packet);
            network.inject(BOB, &packet);
        }
    });
}

#[test]
fn modified_packets_with_valid_checksums_cause_no_panic_and_all_tasks_end() {
    let change = (
        any::<prop::sample::Index>(),
        any::<prop::sample::Index>(),
        any::<u8>(),
    );
    // Changes to headers are the most dangerous, so half of all changes are in the first 64 bytes.
    let strategy = (vec((change, any::<bool>(), any::<bool>()), 1..40), 20_u64..200);
    check(150, strategy, |(changes, until)| {
        let mut network = busy();
        network.run(ms(until));
        let tap = network.tap.clone();
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
            network.inject(if to_alice { ALICE } else { BOB }, &packet);
        }
        settle(network);
    });
}

#[test]
fn truncated_packets_cause_no_panic() {
    let mut network = busy();
    network.run(ms(100));
    for (from, _, packet) in network.tap.clone() {
        for len in (0..packet.len().min(80)).chain([packet.len() - 1]) {
            network.inject(1 - from, &packet[..len]);
        }
    }
    settle(network);
}

#[test]
fn a_syn_flood_opens_no_more_connections_than_the_limit() {
    let mut network = network();
    network.start(ALICE, download(1));
    let syn = network.tap[0].2.clone();
    for port in 1..2000 {
        let mut syn = syn.clone();
        TcpPacket::new_unchecked(Ipv4Packet::new_unchecked(&mut syn[..]).payload_mut()).set_src_port(port);
        fix_checksums(&mut syn);
        network.hosts[BOB].handle_packet(network.now, &syn);
    }
    let (mut packet, mut accepted, mut refused) = (Vec::new(), 0, 0);
    while network.hosts[BOB].poll_packet(&mut packet) {
        let segment = segment(&packet).unwrap();
        accepted += usize::from(segment.syn() && segment.ack());
        refused += usize::from(segment.rst());
    }
    assert_eq!((accepted, refused), (MAX_CONNECTIONS, 1999 - MAX_CONNECTIONS));
    network.run(ms(120_000));
    let task = network.start(ALICE, download(1));
    network.finish(ALICE, task).unwrap();
}

#[test]
fn packets_to_other_addresses_are_ignored() {
    let mut network = network();
    network.start(ALICE, download(1));
    let mut syn = network.tap[0].2.clone();
    Ipv4Packet::new_unchecked(&mut syn[..]).set_dst_addr([10, 9, 0, 77].into());
    fix_checksums(&mut syn);
    let before = network.tap.len();
    network.inject(BOB, &syn);
    assert_eq!(network.tap.len(), before);
}
