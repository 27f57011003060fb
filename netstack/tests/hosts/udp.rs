//! UDP echo: answers, losses, and what goes over the wire.

use std::net::SocketAddr;

use sandhog_netstack::{EventKind, Task, TaskError};

use crate::world::{ALICE, CANARY, ECHO_PORT, Fate, bob, dice, ms, world};

fn echo(to: SocketAddr, count: u16) -> Task {
    Task::UdpEcho {
        to,
        count,
        interval: ms(100),
        payload_len: 100,
        timeout: ms(250),
    }
}

#[test]
fn datagrams_come_back_over_ipv4_and_ipv6() {
    for to in [bob(ECHO_PORT), ([0xfd00, 0, 0, 0, 0, 0, 0, 1], ECHO_PORT).into()] {
        let mut world = world();
        let task = world.start(ALICE, echo(to, 3));
        let summary = world.finish(ALICE, task).unwrap();
        assert_eq!((summary.sent, summary.received, summary.bytes), (3, 3, 300));
        for seq in 0..3 {
            assert_eq!(
                world.kinds(ALICE, task)[usize::from(seq)],
                EventKind::EchoReply { seq, rtt: ms(20) }
            );
        }
    }
}

#[test]
fn lost_datagrams_are_reported_and_the_rest_counted() {
    let mut world = world().with_fate(|sent| if sent.nth == 0 { Fate::Lost } else { Fate::Arrive });
    let task = world.start(ALICE, echo(bob(ECHO_PORT), 5));
    let summary = world.finish(ALICE, task).unwrap();
    assert_eq!((summary.sent, summary.received), (5, 4));
    assert!(world.kinds(ALICE, task).contains(&EventKind::EchoLost { seq: 0 }));
}

#[test]
fn a_port_without_an_echo_service_loses_every_datagram() {
    let mut world = world();
    let task = world.start(ALICE, echo(bob(8), 2));
    assert_eq!(world.finish(ALICE, task).unwrap().received, 0);
}

#[test]
fn datagrams_that_overtake_each_other_are_told_apart() {
    let mut dice = dice(3);
    let mut world = world().with_fate(move |_| Fate::Late(ms(dice() % 100)));
    let burst = Task::UdpEcho {
        to: bob(ECHO_PORT),
        count: 50,
        interval: ms(1),
        payload_len: 24,
        timeout: ms(300),
    };
    let task = world.start(ALICE, burst);
    assert_eq!(world.finish(ALICE, task).unwrap().received, 50);
    let order: Vec<_> = world
        .kinds(ALICE, task)
        .into_iter()
        .map(|kind| format!("{kind:?}"))
        .collect();
    assert!(!order.is_sorted(), "nothing overtook anything");
}

#[test]
fn a_burst_without_an_interval_is_sent_at_once() {
    let mut world = world();
    let burst = Task::UdpEcho {
        to: bob(ECHO_PORT),
        count: 200,
        interval: ms(0),
        payload_len: 1372,
        timeout: ms(300),
    };
    let task = world.start(ALICE, burst);
    assert_eq!(world.tap.len(), 200);
    assert_eq!(world.finish(ALICE, task).unwrap().elapsed, ms(20));
}

#[test]
fn each_datagram_starts_with_the_canary_both_ways() {
    let mut world = world();
    let task = world.start(ALICE, echo(bob(ECHO_PORT), 2));
    world.finish(ALICE, task).unwrap();
    assert_eq!(world.tap.len(), 4);
    assert!(world.tap.iter().all(|(_, _, packet)| packet[28..44] == CANARY));
}

#[test]
fn a_payload_too_short_for_its_number_or_too_long_for_a_packet_fails_at_once() {
    let mut world = world();
    for given in [23, 1373] {
        let task = Task::UdpEcho {
            to: bob(ECHO_PORT),
            count: 1,
            interval: ms(1),
            payload_len: given,
            timeout: ms(1),
        };
        let task = world.start(ALICE, task);
        assert_eq!(
            world.result(ALICE, task),
            Some(Err(TaskError::PayloadLength {
                given,
                min: 24,
                max: 1372
            }))
        );
    }
}
