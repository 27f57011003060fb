//! Tests of time and determinism: exact deadlines, no busy loop, equal bytes from equal seeds.

use std::time::Duration;

use sandhog_netstack::{Config, Host, Service, Task};

use crate::network::{
    ALICE, BOB, BULK_PORT, Delivery, Network, bob, config, download, ms, network, random, segment, upload,
};

#[test]
fn an_idle_host_has_no_deadline() {
    let mut network = network();
    assert_eq!(
        network.hosts.each_mut().map(|host| host.poll_timeout(ms(5))),
        [None, None]
    );
}

#[test]
fn no_work_is_due_before_a_deadline_and_some_work_is_due_at_it() {
    let mut random = random(5);
    let mut network = network().with_delivery(move |_| match random() % 10 {
        0 => Delivery::Lost,
        number => Delivery::Delayed(ms(number)),
    });
    let tasks = [download(200_000), upload(200_000)].map(|task| network.start(ALICE, task));
    let mut deadlines = 0;
    // `Network::step` asserts that there is progress at the deadline itself.
    while network.step(ms(600_000)) {
        for host in &mut network.hosts {
            let Some(deadline) = host.poll_timeout(network.now) else {
                continue;
            };
            let before = deadline - Duration::from_micros(1);
            if before <= network.now {
                continue;
            }
            deadlines += 1;
            host.handle_timeout(network.now);
            assert!(
                !host.poll_packet(&mut Vec::new()),
                "work was left undone at {:?}",
                network.now
            );
            assert_eq!(host.poll_timeout(network.now), Some(deadline));
        }
    }
    assert!(deadlines > 500);
    for task in tasks {
        network.result(ALICE, task).unwrap().unwrap();
    }
}

#[test]
fn echo_deadlines_are_exact_to_the_nanosecond() {
    let mut host = Host::new(config(2));
    let odd = Duration::from_nanos(1_234_567);
    let ping = Task::Ping {
        to: [10, 9, 0, 1].into(),
        count: 2,
        interval: odd,
        payload_len: 8,
        timeout: ms(9),
    };
    host.start(Duration::from_nanos(1), ping);
    assert_eq!(
        host.poll_timeout(Duration::from_nanos(1)),
        Some(odd + Duration::from_nanos(1))
    );
    let mut packet = Vec::new();
    assert!(host.poll_packet(&mut packet));
    host.handle_timeout(odd);
    assert!(
        !host.poll_packet(&mut packet),
        "one nanosecond before the deadline"
    );
    host.handle_timeout(odd + Duration::from_nanos(1));
    assert!(host.poll_packet(&mut packet));
}

/// All packets of a run over an impaired network with these seeds.
fn wire(alice: u64, bob_seed: u64) -> Vec<(usize, Duration, Vec<u8>)> {
    let mut bob_host = Host::new(Config {
        seed: bob_seed,
        ..config(1)
    });
    bob_host.serve(Service::Bulk { port: BULK_PORT });
    let mut random = random(9);
    let mut network = Network::new([
        Host::new(Config {
            seed: alice,
            ..config(2)
        }),
        bob_host,
    ])
    .with_delivery(move |_| {
        if random().is_multiple_of(20) {
            Delivery::Lost
        } else {
            Delivery::Delayed(ms(random() % 8))
        }
    });
    for task in [
        download(50_000),
        upload(50_000),
        Task::HttpGet {
            from: bob(80),
            path: "/".into(),
        },
    ] {
        network.start(ALICE, task);
    }
    network.run(ms(600_000));
    network.tap
}

#[test]
fn the_same_seed_gives_the_same_packets_at_the_same_times() {
    assert!(wire(1, 2) == wire(1, 2));
}

#[test]
fn another_seed_gives_other_sequence_numbers_and_ports() {
    let first = |host: usize, tap: Vec<(usize, Duration, Vec<u8>)>| {
        let (_, _, packet) = tap.into_iter().find(|(from, ..)| *from == host).unwrap();
        let segment = segment(&packet).unwrap();
        (segment.seq_number(), segment.src_port())
    };
    let (one, other) = (first(ALICE, wire(1, 2)), first(ALICE, wire(3, 2)));
    assert!(one.0 != other.0 && one.1 != other.1);
    assert_ne!(first(BOB, wire(1, 2)).0, first(BOB, wire(1, 3)).0);
}

#[test]
fn output_may_be_taken_late() {
    let mut alice = Host::new(config(2));
    let mut bob = Host::new(config(1));
    bob.serve(Service::Bulk { port: BULK_PORT });
    alice.start(ms(0), download(0));
    let ping = Task::Ping {
        to: [10, 9, 0, 1].into(),
        count: 1,
        interval: ms(1),
        payload_len: 8,
        timeout: ms(9),
    };
    alice.start(ms(0), ping);
    let mut packet = b"earlier content".to_vec();
    while alice.poll_packet(&mut packet) {
        bob.handle_packet(ms(1), &packet);
    }
    let mut back = Vec::new();
    while bob.poll_packet(&mut packet) {
        back.push(packet.clone());
    }
    assert_eq!(
        back.len(),
        2,
        "a SYN|ACK and an echo reply, in the order of the requests"
    );
    assert!(segment(&back[0]).unwrap().syn());
}
