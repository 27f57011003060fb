//! Tests of ping: replies, losses, payloads.

use std::net::IpAddr;

use sandhog_netstack::{EventKind, Task, TaskError};

use crate::network::{ALICE, BOB, CANARY, Delivery, config, ms, network};

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
    let mut network = network();
    let task = network.start(ALICE, ping(BOB_V4, 2));
    let summary = network.finish(ALICE, task).unwrap();
    assert_eq!(
        network.kinds(ALICE, task)[..2],
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
    let mut network = network();
    let task = network.start(ALICE, ping(BOB_V6, 1));
    assert_eq!(network.finish(ALICE, task).unwrap().received, 1);
    assert_eq!(
        network.kinds(ALICE, task)[0],
        EventKind::PingReply { seq: 0, rtt: ms(20) }
    );
}

#[test]
fn a_lost_ping_is_reported_at_its_timeout_and_the_next_ping_follows() {
    let mut network = network().with_delivery(|sent| {
        if sent.nth == 0 {
            Delivery::Lost
        } else {
            Delivery::Normal
        }
    });
    let task = network.start(ALICE, ping(BOB_V4, 2));
    let summary = network.finish(ALICE, task).unwrap();
    assert_eq!((summary.sent, summary.received), (2, 1));
    let (_, at, lost) = &network.events[0];
    assert_eq!((*at, &lost.kind), (ms(500), &EventKind::PingLost { seq: 0 }));
    assert_eq!(
        network.events[1].2.kind,
        EventKind::PingReply { seq: 1, rtt: ms(20) }
    );
}

#[test]
fn late_and_duplicate_replies_are_ignored() {
    let mut network = network().with_delivery(|sent| match sent.nth {
        0 => Delivery::Delayed(ms(700)),
        _ => Delivery::Duplicated,
    });
    let task = network.start(ALICE, ping(BOB_V4, 2));
    network.finish(ALICE, task).unwrap();
    network.run(ms(10_000));
    let kinds = network.kinds(ALICE, task);
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
    let mut network = network().with_delivery(|sent| {
        if sent.from == ALICE {
            Delivery::Corrupted(40)
        } else {
            Delivery::Normal
        }
    });
    for to in [IpAddr::from(BOB_V4), IpAddr::from(BOB_V6)] {
        let task = network.start(ALICE, ping(to, 1));
        assert_eq!(network.finish(ALICE, task).unwrap().received, 0);
    }
    assert!(
        network.tap.iter().all(|(from, ..)| *from == ALICE),
        "Bob must not reply"
    );
}

#[test]
fn each_ping_payload_starts_with_the_canary() {
    let mut network = network();
    let task = network.start(ALICE, ping(BOB_V4, 3));
    network.finish(ALICE, task).unwrap();
    assert_eq!(network.tap.len(), 6);
    for (_, _, packet) in &network.tap {
        assert_eq!(packet[28..44], CANARY);
    }
}

#[test]
fn pings_with_an_invalid_length_or_destination_fail_at_once() {
    let mut network = network();
    let long = Task::Ping {
        to: BOB_V4.into(),
        count: 1,
        interval: ms(1),
        payload_len: 1373,
        timeout: ms(1),
    };
    let task = network.start(ALICE, long);
    assert_eq!(
        network.result(ALICE, task),
        Some(Err(TaskError::PayloadLength {
            given: 1373,
            min: 0,
            max: 1372
        }))
    );
    let task = network.start(ALICE, ping([224, 0, 0, 1], 1));
    assert_eq!(network.result(ALICE, task), Some(Err(TaskError::BadDestination)));
    let mut only_v4 = config(3);
    only_v4.addresses.truncate(1);
    network.hosts[BOB] = sandhog_netstack::Host::new(only_v4);
    let task = network.start(BOB, ping(BOB_V6, 1));
    assert_eq!(network.result(BOB, task), Some(Err(TaskError::NoSourceAddress)));
    assert!(network.tap.is_empty());
}

#[test]
fn two_hosts_with_the_same_seed_ping_each_other() {
    let mut network = network();
    network.hosts[ALICE] = sandhog_netstack::Host::new(sandhog_netstack::Config { seed: 1, ..config(2) });
    let there = network.start(ALICE, ping(BOB_V4, 3));
    let back = network.start(BOB, ping([10, 9, 0, 2], 3));
    assert_eq!(network.finish(ALICE, there).unwrap().received, 3);
    assert_eq!(network.finish(BOB, back).unwrap().received, 3);
}
