//! What does not cross, and what does not get out of hand: foreign sources, loops, garbage.

use std::net::UdpSocket;

use super::namespace::Namespace;
use super::ping_three_times;
use super::tunnel::{Outer, SERVER_INNER, Tunnel, World};

#[test]
fn packets_from_addresses_that_the_client_was_not_given_come_out_nowhere() {
    let world = world_or_skip!(World::secure(Outer::V4));
    let Tunnel {
        mut server,
        client: _client,
    } = world.tunnel();
    for (foreign, to) in ["10.9.0.99", "fd00:9::99"].into_iter().zip(SERVER_INNER) {
        let length = if to.is_ipv4() { 24 } else { 64 };
        let foreign_prefix = format!("{foreign}/{length}");
        world
            .client
            .give("sandhog0", &foreign_prefix)
            .expect("a second address");
        let before = world.server.traffic("sandhog0");
        let ping = ["-c", "2", "-i", "0.1", "-W", "1", "-I", foreign, &to.to_string()];
        world.client.run_to_failure("ping", &ping);
        assert_eq!(world.server.traffic("sandhog0"), before, "from {foreign}");
        world
            .client
            .run("ip", &["address", "delete", &foreign_prefix, "dev", "sandhog0"]);
        ping_three_times(&world.client, to);
    }
    server.wait_for("dropped a packet: source-not-allowed");
    let (_, log) = server.terminate();
    assert!(log.contains("dropped: source-not-allowed 4"), "{log}");
}

#[test]
fn a_route_that_leads_the_tunnel_into_itself_does_not_eat_the_machine() {
    let world = world_or_skip!(World::secure(Outer::V4));
    let Tunnel { server, client } = world.tunnel();
    ping_three_times(&world.client, SERVER_INNER[0]);
    let to_server = "198.18.0.1/32";
    world
        .client
        .run("ip", &["route", "add", to_server, "dev", "sandhog0"]);
    let before = world.client.traffic("sandhog0").sent;
    let to = SERVER_INNER[0].to_string();
    world
        .client
        .run_to_failure("ping", &["-c", "5", "-i", "0.1", "-W", "1", &to]);
    let after = world.client.traffic("sandhog0").sent;
    // Each ping comes back into the device as the datagram that carries it, and is known there.
    let (packets, bytes) = (after.0 - before.0, after.1 - before.1);
    assert!(
        packets < 50 && bytes < 50_000,
        "five pings have become {packets} packets, {bytes} bytes"
    );
    world
        .client
        .run("ip", &["route", "delete", to_server, "dev", "sandhog0"]);
    world
        .client
        .run("ping", &["-c", "1", "-w", "5", "-i", "0.2", &to]);
    let (_, log) = client.terminate();
    assert!(log.contains("dropped: routing-loop "), "{log}");
    let (code, log) = server.terminate();
    assert_eq!(code, Some(0), "{log}");
}

#[test]
fn a_full_tunnel_whose_mark_is_ignored_does_not_eat_the_machine() {
    let world = world_or_skip!(super::network::full_tunnel());
    let Tunnel { server, client } = world.tunnel();
    let ping = |more: &[&str]| {
        let arguments = [&["-i", "0.1", super::network::FAR], more].concat();
        world.client.try_run("ping", &arguments)
    };
    ping(&["-c", "3", "-W", "2"]).expect("a full tunnel");
    // Before the rule that lets the tunnel's own datagrams out by their mark, another one that leads them in.
    let rule = ["priority", "100", "lookup", "51821"];
    world.client.run("ip", &[&["rule", "add"], &rule[..]].concat());
    let before = world.client.traffic("sandhog0").sent;
    ping(&["-c", "5", "-W", "1"]).expect_err("the way is a loop");
    let after = world.client.traffic("sandhog0").sent;
    let (packets, bytes) = (after.0 - before.0, after.1 - before.1);
    assert!(
        packets < 50 && bytes < 50_000,
        "five pings have become {packets} packets, {bytes} bytes"
    );
    world.client.run("ip", &[&["rule", "delete"], &rule[..]].concat());
    ping(&["-c", "1", "-w", "5"]).expect("the tunnel is as before");
    let (code, log) = client.terminate();
    assert!(code == Some(0) && log.contains("dropped: routing-loop "), "{log}");
    let (code, log) = server.terminate();
    assert_eq!(code, Some(0), "{log}");
}

/// Sends datagrams of many sizes and first bytes, up to the longest there can be; how many.
fn send_garbage(from: &Namespace, to: &str, drained: impl Fn()) -> u64 {
    let socket = from
        .enter(|| UdpSocket::bind("198.18.0.2:0").or_else(|_| UdpSocket::bind("198.18.0.1:0")))
        .expect("a UDP socket");
    let sizes = [0, 1, 12, 13, 28, 29, 100, 128, 1000, 1453, 9000, 65_507];
    let mut sent = 0;
    for size in sizes {
        for first in [0, 1, 2, 3, 4, 255_u8] {
            let mut bytes: Vec<u8> = (0..size).map(|at| (at * 31 + size) as u8).collect();
            if let Some(byte) = bytes.first_mut() {
                *byte = first;
            }
            socket.send_to(&bytes, to).expect("send");
            sent += 1;
            if size > 1500 {
                drained();
            }
        }
        drained();
    }
    sent
}

#[test]
fn garbage_of_every_size_up_to_65507_bytes_changes_nothing_on_either_side() {
    let world = world_or_skip!(World::secure(Outer::V4));
    let tunnel = world.tunnel();
    let sockets = world.client.read("/proc/thread-self/net/udp");
    let port = sockets
        .lines()
        .filter_map(|line| line.split_whitespace().nth(1)?.split_once(':'))
        .filter_map(|(_, port)| u16::from_str_radix(port, 16).ok())
        .find(|port| *port != 0)
        .expect("the client's socket");
    // Pings in between, so that the kernel's buffers never overflow: every datagram is to be seen.
    let to = SERVER_INNER[0].to_string();
    let drained = || drop(world.client.run("ping", &["-c", "1", "-W", "2", &to]));
    let sent = send_garbage(&world.client, "198.18.0.1:40404", drained);
    send_garbage(&world.server, &format!("198.18.0.2:{port}"), drained);
    let (server, client) = tunnel.stop();
    for log in [server, client] {
        let dropped = log.rsplit("dropped: ").next().expect("the last line");
        let counts = dropped
            .split([' ', ',', '\n'])
            .filter_map(|word| word.parse::<u64>().ok());
        assert_eq!(counts.sum::<u64>(), sent, "each is counted: {log}");
    }
}
