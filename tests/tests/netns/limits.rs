//! Packets that must be dropped: foreign source addresses, routing loops, garbage.

use std::net::UdpSocket;

use super::namespace::Namespace;
use super::ping_three_times;
use super::tunnel::{Outer, SERVER_INNER, Testbed, Tunnel};

#[test]
fn packets_from_addresses_not_assigned_to_the_client_are_dropped() {
    let testbed = testbed_or_skip!(Testbed::secure(Outer::V4));
    let Tunnel {
        mut server,
        client: _client,
    } = testbed.tunnel();
    for (foreign, to) in ["10.9.0.99", "fd00:9::99"].into_iter().zip(SERVER_INNER) {
        let length = if to.is_ipv4() { 24 } else { 64 };
        let foreign_prefix = format!("{foreign}/{length}");
        testbed
            .client
            .add_address("sandhog0", &foreign_prefix)
            .expect("a second address");
        let before = testbed.server.traffic("sandhog0");
        let ping = ["-c", "2", "-i", "0.1", "-W", "1", "-I", foreign, &to.to_string()];
        testbed.client.run_to_failure("ping", &ping);
        assert_eq!(testbed.server.traffic("sandhog0"), before, "from {foreign}");
        testbed
            .client
            .run("ip", &["address", "delete", &foreign_prefix, "dev", "sandhog0"]);
        ping_three_times(&testbed.client, to);
    }
    server.wait_for("dropped a packet: source-not-allowed");
    let (_, log) = server.terminate();
    assert!(log.contains("dropped: source-not-allowed 4"), "{log}");
}

#[test]
fn a_route_into_the_tunnel_for_its_own_datagrams_causes_no_packet_storm() {
    let testbed = testbed_or_skip!(Testbed::secure(Outer::V4));
    let Tunnel { server, client } = testbed.tunnel();
    ping_three_times(&testbed.client, SERVER_INNER[0]);
    let to_server = "198.18.0.1/32";
    testbed
        .client
        .run("ip", &["route", "add", to_server, "dev", "sandhog0"]);
    let before = testbed.client.traffic("sandhog0").sent;
    let to = SERVER_INNER[0].to_string();
    testbed
        .client
        .run_to_failure("ping", &["-c", "5", "-i", "0.1", "-W", "1", &to]);
    let after = testbed.client.traffic("sandhog0").sent;
    // The datagram of each ping is routed into the device again, and is detected there.
    let (packets, bytes) = (after.0 - before.0, after.1 - before.1);
    assert!(
        packets < 50 && bytes < 50_000,
        "five pings caused {packets} packets, {bytes} bytes"
    );
    testbed
        .client
        .run("ip", &["route", "delete", to_server, "dev", "sandhog0"]);
    testbed
        .client
        .run("ping", &["-c", "1", "-w", "5", "-i", "0.2", &to]);
    let (_, log) = client.terminate();
    assert!(log.contains("dropped: routing-loop "), "{log}");
    let (code, log) = server.terminate();
    assert_eq!(code, Some(0), "{log}");
}

#[test]
fn a_full_tunnel_whose_mark_is_ignored_causes_no_packet_storm() {
    let testbed = testbed_or_skip!(super::network::full_tunnel());
    let Tunnel { server, client } = testbed.tunnel();
    let ping = |more: &[&str]| {
        let arguments = [&["-i", "0.1", super::network::FAR], more].concat();
        testbed.client.try_run("ping", &arguments)
    };
    ping(&["-c", "3", "-W", "2"]).expect("a full tunnel");
    // A rule with higher priority routes the tunnel's own datagrams into the tunnel.
    let rule = ["priority", "100", "lookup", "51821"];
    testbed.client.run("ip", &[&["rule", "add"], &rule[..]].concat());
    let before = testbed.client.traffic("sandhog0").sent;
    ping(&["-c", "5", "-W", "1"]).expect_err("a routing loop");
    let after = testbed.client.traffic("sandhog0").sent;
    let (packets, bytes) = (after.0 - before.0, after.1 - before.1);
    assert!(
        packets < 50 && bytes < 50_000,
        "five pings caused {packets} packets, {bytes} bytes"
    );
    testbed
        .client
        .run("ip", &[&["rule", "delete"], &rule[..]].concat());
    ping(&["-c", "1", "-w", "5"]).expect("the tunnel is as before");
    let (code, log) = client.terminate();
    assert!(code == Some(0) && log.contains("dropped: routing-loop "), "{log}");
    let (code, log) = server.terminate();
    assert_eq!(code, Some(0), "{log}");
}

/// Sends datagrams of many sizes up to the maximum, with various first bytes. Returns their number.
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
    let testbed = testbed_or_skip!(Testbed::secure(Outer::V4));
    let tunnel = testbed.tunnel();
    let sockets = testbed.client.read("/proc/thread-self/net/udp");
    let port = sockets
        .lines()
        .filter_map(|line| line.split_whitespace().nth(1)?.split_once(':'))
        .filter_map(|(_, port)| u16::from_str_radix(port, 16).ok())
        .find(|port| *port != 0)
        .expect("the client's socket");
    // Pings in between ensure that the kernel's buffers never overflow, so that every datagram is counted.
    let to = SERVER_INNER[0].to_string();
    let drained = || drop(testbed.client.run("ping", &["-c", "1", "-W", "2", &to]));
    let sent = send_garbage(&testbed.client, "198.18.0.1:40404", drained);
    send_garbage(&testbed.server, &format!("198.18.0.2:{port}"), drained);
    let (server, client) = tunnel.stop();
    for log in [server, client] {
        let dropped = log.rsplit("dropped: ").next().expect("the last line");
        let counts = dropped
            .split([' ', ',', '\n'])
            .filter_map(|word| word.parse::<u64>().ok());
        assert_eq!(counts.sum::<u64>(), sent, "every datagram is counted: {log}");
    }
}
