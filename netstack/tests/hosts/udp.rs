//! Tests of UDP echo: replies, losses, payloads.

use std::net::SocketAddr;

use sandhog_netstack::{EventKind, Task, TaskError};

use crate::network::{ALICE, CANARY, Delivery, ECHO_PORT, bob, ms, network, random};

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
        let mut network = network();
        let task = network.start(ALICE, echo(to, 3));
        let summary = network.finish(ALICE, task).unwrap();
        assert_eq!((summary.sent, summary.received, summary.bytes), (3, 3, 300));
        for seq in 0..3 {
            assert_eq!(
                network.kinds(ALICE, task)[usize::from(seq)],
                EventKind::EchoReply { seq, rtt: ms(20) }
            );
        }
    }
}

#[test]
fn lost_datagrams_are_reported_and_the_others_are_counted() {
    let mut network = network().with_delivery(|sent| {
        if sent.nth == 0 {
            Delivery::Lost
        } else {
            Delivery::Normal
        }
    });
    let task = network.start(ALICE, echo(bob(ECHO_PORT), 5));
    let summary = network.finish(ALICE, task).unwrap();
    assert_eq!((summary.sent, summary.received), (5, 4));
    assert!(
        network
            .kinds(ALICE, task)
            .contains(&EventKind::EchoLost { seq: 0 })
    );
}

#[test]
fn datagrams_to_a_closed_port_are_lost() {
    let mut network = network();
    let task = network.start(ALICE, echo(bob(8), 2));
    assert_eq!(network.finish(ALICE, task).unwrap().received, 0);
}

#[test]
fn reordered_datagrams_are_matched_to_their_requests() {
    let mut random = random(3);
    let mut network = network().with_delivery(move |_| Delivery::Delayed(ms(random() % 100)));
    let burst = Task::UdpEcho {
        to: bob(ECHO_PORT),
        count: 50,
        interval: ms(1),
        payload_len: 24,
        timeout: ms(300),
    };
    let task = network.start(ALICE, burst);
    assert_eq!(network.finish(ALICE, task).unwrap().received, 50);
    let order: Vec<_> = network
        .kinds(ALICE, task)
        .into_iter()
        .map(|kind| format!("{kind:?}"))
        .collect();
    assert!(!order.is_sorted(), "no datagram was reordered");
}

#[test]
fn a_burst_without_an_interval_is_sent_at_once() {
    let mut network = network();
    let burst = Task::UdpEcho {
        to: bob(ECHO_PORT),
        count: 200,
        interval: ms(0),
        payload_len: 1372,
        timeout: ms(300),
    };
    let task = network.start(ALICE, burst);
    assert_eq!(network.tap.len(), 200);
    assert_eq!(network.finish(ALICE, task).unwrap().elapsed, ms(20));
}

#[test]
fn each_datagram_starts_with_the_canary_in_both_directions() {
    let mut network = network();
    let task = network.start(ALICE, echo(bob(ECHO_PORT), 2));
    network.finish(ALICE, task).unwrap();
    assert_eq!(network.tap.len(), 4);
    assert!(network.tap.iter().all(|(_, _, packet)| packet[28..44] == CANARY));
}

#[test]
fn payloads_that_are_too_short_or_too_long_fail_at_once() {
    let mut network = network();
    for given in [23, 1373] {
        let task = Task::UdpEcho {
            to: bob(ECHO_PORT),
            count: 1,
            interval: ms(1),
            payload_len: given,
            timeout: ms(1),
        };
        let task = network.start(ALICE, task);
        assert_eq!(
            network.result(ALICE, task),
            Some(Err(TaskError::PayloadLength {
                given,
                min: 24,
                max: 1372
            }))
        );
    }
}
