//! Time and determinism: exact deadlines, no busy loop, the same seed gives the same bytes.

use std::time::Duration;

use sandhog_netstack::{Config, Host, Service, Task};

use crate::world::{
    ALICE, BOB, BULK_PORT, Fate, World, bob, config, dice, download, ms, segment, upload, world,
};

#[test]
fn an_idle_host_has_no_deadline() {
    let mut world = world();
    assert_eq!(
        world.hosts.each_mut().map(|host| host.poll_timeout(ms(5))),
        [None, None]
    );
}

#[test]
fn before_a_deadline_nothing_happens_and_at_it_something_does() {
    let mut dice = dice(5);
    let mut world = world().with_fate(move |_| match dice() % 10 {
        0 => Fate::Lost,
        roll => Fate::Late(ms(roll)),
    });
    let tasks = [download(200_000), upload(200_000)].map(|task| world.start(ALICE, task));
    let mut deadlines = 0;
    // `World::step` checks that progress is made at the deadline itself.
    while world.step(ms(600_000)) {
        for host in &mut world.hosts {
            let Some(deadline) = host.poll_timeout(world.now) else {
                continue;
            };
            let before = deadline - Duration::from_micros(1);
            if before <= world.now {
                continue;
            }
            deadlines += 1;
            host.handle_timeout(world.now);
            assert!(
                !host.poll_packet(&mut Vec::new()),
                "something was left undone at {:?}",
                world.now
            );
            assert_eq!(host.poll_timeout(world.now), Some(deadline));
        }
    }
    assert!(deadlines > 500);
    for task in tasks {
        world.result(ALICE, task).unwrap().unwrap();
    }
}

#[test]
fn a_deadline_between_milliseconds_is_exact() {
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
    assert!(!host.poll_packet(&mut packet), "a nanosecond too early");
    host.handle_timeout(odd + Duration::from_nanos(1));
    assert!(host.poll_packet(&mut packet));
}

/// Everything on the wire of a run over a rough network with these seeds.
fn wire(alice: u64, bob_seed: u64) -> Vec<(usize, Duration, Vec<u8>)> {
    let mut bob_host = Host::new(Config {
        seed: bob_seed,
        ..config(1)
    });
    bob_host.serve(Service::Bulk { port: BULK_PORT });
    let mut dice = dice(9);
    let mut world = World::new([
        Host::new(Config {
            seed: alice,
            ..config(2)
        }),
        bob_host,
    ])
    .with_fate(move |_| {
        if dice().is_multiple_of(20) {
            Fate::Lost
        } else {
            Fate::Late(ms(dice() % 8))
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
        world.start(ALICE, task);
    }
    world.run(ms(600_000));
    world.tap
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
    let mut packet = b"what was here before".to_vec();
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
