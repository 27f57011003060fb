//! Tests of the description of a host: equal states are equal, and each kind of event makes a difference.

use std::time::Duration;

use sandhog_netstack::{Host, Service, Task};

use crate::network::{
    ALICE, BOB, BULK_PORT, Delivery, ECHO_PORT, HTTP_PORT, Network, bob, config, download, files, ms, network,
};

/// The description, if it is complete.
fn described(host: &Host, now: Duration) -> Option<Vec<u64>> {
    let mut parts = Vec::new();
    let is_complete = host.describe(now, &mut |part| parts.push(part));
    is_complete.then_some(parts)
}

/// The descriptions of both hosts.
#[track_caller]
fn both(network: &Network) -> [Vec<u64>; 2] {
    [ALICE, BOB].map(|host| described(&network.hosts[host], network.now).expect("no TCP socket is open"))
}

fn ping(count: u16) -> Task {
    Task::Ping {
        to: [10, 9, 0, 1].into(),
        count,
        interval: ms(1000),
        payload_len: 56,
        timeout: ms(500),
    }
}

fn echo(count: u16) -> Task {
    Task::UdpEcho {
        to: bob(ECHO_PORT),
        count,
        interval: ms(100),
        payload_len: 100,
        timeout: ms(250),
    }
}

/// A network that loses this packet, counted over both directions.
fn losing(nth: u64) -> Network {
    network().with_delivery(move |sent| {
        if sent.nth == nth {
            Delivery::Lost
        } else {
            Delivery::Normal
        }
    })
}

#[test]
fn a_host_after_its_tasks_is_equal_to_a_host_without_tasks() {
    let expected = both(&network());
    for nth in [0, 1, 1000] {
        let mut network = losing(nth);
        let tasks = [network.start(ALICE, ping(3)), network.start(ALICE, echo(3))];
        for task in tasks {
            network.finish(ALICE, task).unwrap();
        }
        assert_eq!(both(&network), expected, "packet {nth} is lost");
    }
}

#[test]
fn a_description_does_not_depend_on_the_start_of_time() {
    let at = |start| {
        let mut network = network();
        network.now = start;
        network.start(ALICE, ping(3));
        network.start(ALICE, echo(20));
        network.run(start + ms(1005));
        network.now = start + ms(1005);
        both(&network)
    };
    assert_eq!(at(Duration::ZERO), at(ms(1_000_000)));
}

#[test]
fn earlier_tasks_and_random_numbers_make_no_difference() {
    let mut first = network();
    first.start(ALICE, ping(2));
    let mut later = Network::new([
        Host::new(sandhog_netstack::Config {
            seed: 99,
            ..config(2)
        }),
        Host::new(config(1)),
    ]);
    let task = later.start(ALICE, echo(2));
    later.finish(ALICE, task).unwrap();
    later.start(ALICE, ping(2));
    let [expected, _] = both(&first);
    let [alice, _] = both(&later);
    assert_eq!(alice, expected);
}

/// Name, and two series of events whose results differ.
type Row = (&'static str, Step, Step);

type Step = fn(&mut Network);

const TASKS: [Row; 5] = [
    (
        "task",
        |_| {},
        |network| {
            network.start(ALICE, ping(1));
        },
    ),
    (
        "number of requests",
        |network| {
            network.start(ALICE, ping(2));
        },
        |network| {
            network.start(ALICE, ping(3));
        },
    ),
    (
        "reply",
        |network| {
            network.start(ALICE, ping(2));
            network.run(ms(15));
            network.now = ms(25);
        },
        |network| {
            network.start(ALICE, ping(2));
            network.run(ms(25));
            network.now = ms(25);
        },
    ),
    (
        "age of a request",
        |network| {
            network.start(ALICE, ping(2));
            network.now = ms(5);
        },
        |network| {
            network.now = ms(5);
            network.start(ALICE, ping(2));
        },
    ),
    (
        "order of the tasks",
        |network| {
            network.start(ALICE, ping(2));
            network.start(ALICE, echo(2));
        },
        |network| {
            network.start(ALICE, echo(2));
            network.start(ALICE, ping(2));
        },
    ),
];

const SETTINGS: [Row; 4] = [
    (
        "service",
        |_| {},
        |network| network.hosts[ALICE].serve(Service::UdpEcho { port: 7 }),
    ),
    (
        "kind of service",
        |network| network.hosts[ALICE].serve(Service::Bulk { port: BULK_PORT }),
        |network| {
            network.hosts[ALICE].serve(Service::Http {
                port: HTTP_PORT,
                files: files(),
            });
        },
    ),
    ("MTU", |_| {}, |network| network.hosts[ALICE].set_mtu(1280)),
    (
        "packet and event that were not taken",
        |_| {},
        |network| {
            let task = Task::HttpGet {
                from: bob(HTTP_PORT),
                path: "no slash".to_owned(),
            };
            network.hosts[ALICE].start(Duration::ZERO, task);
        },
    ),
];

#[test]
fn each_kind_of_event_makes_a_difference() {
    for (name, left, right) in TASKS.into_iter().chain(SETTINGS) {
        let [left, right] = [left, right].map(|step| {
            let mut network = network();
            step(&mut network);
            (network.now, both(&network))
        });
        assert_eq!(left.0, right.0, "{name}");
        assert_ne!(left.1, right.1, "{name}");
    }
}

#[test]
fn a_host_with_a_tcp_socket_is_not_described_until_the_socket_is_gone() {
    let mut network = network();
    let expected = both(&network);
    let task = network.start(ALICE, download(10_000));
    assert_eq!(described(&network.hosts[ALICE], network.now), None);
    network.finish(ALICE, task).unwrap();
    assert_eq!(described(&network.hosts[BOB], network.now), None, "TIME-WAIT");
    network.run(network.now + ms(60_000));
    assert_eq!(both(&network), expected);
}
