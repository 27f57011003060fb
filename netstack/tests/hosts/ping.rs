//! Ping: replies, losses, and what goes over the wire.

use std::net::IpAddr;

use sandhog_netstack::{EventKind, Task, TaskError};

use crate::world::{ALICE, BOB, CANARY, Fate, config, ms, world};

const BOB_V4: [u8; 4] = [10, 9, 0, 1];
const BOB_V6: [u16; 8] = [0xfd00, 0, 0, 0, 0, 0, 0, 1];

fn ping(to: impl Into<IpAddr>, count: u16) -> Task {
    Task::Ping {
        to: to.into(),
        count,
        interval: ms(1000),
        payload_len: 56,
        timeout: ms(500),
    }
}

#[test]
fn a_ping_over_ipv4_is_answered_after_one_round_trip() {
    let mut world = world();
    let task = world.start(ALICE, ping(BOB_V4, 2));
    let summary = world.finish(ALICE, task).unwrap();
    assert_eq!(
        world.kinds(ALICE, task)[..2],
        [
            EventKind::PingReply { seq: 0, rtt: ms(20) },
            EventKind::PingReply { seq: 1, rtt: ms(20) }
        ]
    );
    assert_eq!(
        (summary.sent, summary.received, summary.bytes, summary.elapsed),
        (2, 2, 112, ms(1020))
    );
}

#[test]
fn a_ping_over_ipv6_is_answered_after_one_round_trip() {
    let mut world = world();
    let task = world.start(ALICE, ping(BOB_V6, 1));
    assert_eq!(world.finish(ALICE, task).unwrap().received, 1);
    assert_eq!(
        world.kinds(ALICE, task)[0],
        EventKind::PingReply { seq: 0, rtt: ms(20) }
    );
}

#[test]
fn a_lost_ping_is_reported_at_its_timeout_and_the_next_goes_on() {
    let mut world = world().with_fate(|sent| if sent.nth == 0 { Fate::Lost } else { Fate::Arrive });
    let task = world.start(ALICE, ping(BOB_V4, 2));
    let summary = world.finish(ALICE, task).unwrap();
    assert_eq!((summary.sent, summary.received), (2, 1));
    let (_, at, lost) = &world.events[0];
    assert_eq!((*at, &lost.kind), (ms(500), &EventKind::PingLost { seq: 0 }));
    assert_eq!(
        world.events[1].2.kind,
        EventKind::PingReply { seq: 1, rtt: ms(20) }
    );
}

#[test]
fn a_reply_after_the_timeout_and_a_second_reply_change_nothing() {
    let mut world = world().with_fate(|sent| match sent.nth {
        0 => Fate::Late(ms(700)),
        _ => Fate::Twice,
    });
    let task = world.start(ALICE, ping(BOB_V4, 2));
    world.finish(ALICE, task).unwrap();
    world.run(ms(10_000));
    let kinds = world.kinds(ALICE, task);
    assert_eq!(kinds.len(), 3);
    assert_eq!(
        kinds[..2],
        [
            EventKind::PingLost { seq: 0 },
            EventKind::PingReply { seq: 1, rtt: ms(20) }
        ]
    );
}

#[test]
fn a_corrupted_ping_is_lost() {
    let mut world = world().with_fate(|sent| {
        if sent.from == ALICE {
            Fate::Corrupt(40)
        } else {
            Fate::Arrive
        }
    });
    for to in [IpAddr::from(BOB_V4), IpAddr::from(BOB_V6)] {
        let task = world.start(ALICE, ping(to, 1));
        assert_eq!(world.finish(ALICE, task).unwrap().received, 0);
    }
    assert!(
        world.tap.iter().all(|(from, ..)| *from == ALICE),
        "Bob has nothing to answer"
    );
}

#[test]
fn each_ping_starts_with_the_canary() {
    let mut world = world();
    let task = world.start(ALICE, ping(BOB_V4, 3));
    world.finish(ALICE, task).unwrap();
    assert_eq!(world.tap.len(), 6);
    for (_, _, packet) in &world.tap {
        assert_eq!(packet[28..44], CANARY);
    }
}

#[test]
fn pings_that_fit_no_packet_or_no_family_fail_at_once() {
    let mut world = world();
    let long = Task::Ping {
        to: BOB_V4.into(),
        count: 1,
        interval: ms(1),
        payload_len: 1373,
        timeout: ms(1),
    };
    let task = world.start(ALICE, long);
    assert_eq!(
        world.result(ALICE, task),
        Some(Err(TaskError::PayloadLength {
            given: 1373,
            min: 0,
            max: 1372
        }))
    );
    let task = world.start(ALICE, ping([224, 0, 0, 1], 1));
    assert_eq!(world.result(ALICE, task), Some(Err(TaskError::BadDestination)));
    let mut only_v4 = config(3);
    only_v4.addresses.truncate(1);
    world.hosts[BOB] = sandhog_netstack::Host::new(only_v4);
    let task = world.start(BOB, ping(BOB_V6, 1));
    assert_eq!(world.result(BOB, task), Some(Err(TaskError::NoSourceAddress)));
    assert!(world.tap.is_empty());
}

#[test]
fn two_hosts_with_the_same_seed_ping_each_other() {
    let mut world = world();
    world.hosts[ALICE] = sandhog_netstack::Host::new(sandhog_netstack::Config { seed: 1, ..config(2) });
    let there = world.start(ALICE, ping(BOB_V4, 3));
    let back = world.start(BOB, ping([10, 9, 0, 2], 3));
    assert_eq!(world.finish(ALICE, there).unwrap().received, 3);
    assert_eq!(world.finish(BOB, back).unwrap().received, 3);
}
