//! What crosses: ICMP, UDP and TCP of both families over networks of both families, packets of every size up to the MTU, and
//! each of them counted.

use std::net::IpAddr;

use super::ping_three_times;
use super::transfer::{tcp_both_ways, udp_round_trips};
use super::tunnel::{CLIENT_INNER, Outer, SERVER_INNER, World};

/// The tunnel's MTU, as `sandhog init` sets it.
const MTU: usize = 1420;
/// The headers of IP and of ICMP echo or UDP, which are equally long.
const HEADERS: [usize; 2] = [20 + 8, 40 + 8];

#[test]
fn icmp_udp_and_tcp_of_both_families_cross_an_ipv4_network() {
    all_cross(&world_or_skip!(World::secure(Outer::V4)));
}

#[test]
fn icmp_udp_and_tcp_of_both_families_cross_an_ipv6_network() {
    all_cross(&world_or_skip!(World::secure(Outer::V6)));
}

fn all_cross(world: &World) {
    let _tunnel = world.tunnel();
    let sizes = [0, 1, 15, 16, 17, 100, 1000, MTU - HEADERS[1]];
    for (server, client) in SERVER_INNER.into_iter().zip(CLIENT_INNER) {
        ping_three_times(&world.client, server);
        ping_three_times(&world.server, client);
        udp_round_trips(&world.client, &world.server, server, &sizes);
        udp_round_trips(&world.server, &world.client, client, &sizes);
    }
    for to in SERVER_INNER {
        tcp_both_ways(world, to, 1 << 20);
    }
}

/// One ping with so many bytes of payload; what `ping` says if it fails.
fn ping(world: &World, to: IpAddr, payload: usize, cut: &str) -> Result<String, String> {
    let (to, payload) = (to.to_string(), payload.to_string());
    let arguments = ["-c", "1", "-W", "5", "-M", cut, "-s", &payload, &to];
    world.client.try_run("ping", &arguments)
}

#[test]
fn a_packet_of_the_mtu_passes_and_one_byte_more_is_refused_or_cut_in_two() {
    let world = world_or_skip!(World::secure(Outer::V6));
    let _tunnel = world.tunnel();
    for (to, headers) in SERVER_INNER.into_iter().zip(HEADERS) {
        let count = || world.client.traffic("sandhog0").sent;
        let before = count();
        ping(&world, to, MTU - headers, "do").unwrap_or_else(|error| panic!("{error}"));
        let whole = count();
        assert_eq!(
            (whole.0 - before.0, whole.1 - before.1),
            (1, MTU as u64),
            "one packet of the MTU"
        );
        let refused = ping(&world, to, MTU - headers + 1, "do").expect_err("larger than the MTU");
        assert!(refused.to_lowercase().contains("message too long"), "{refused}");
        assert_eq!(count(), whole, "the kernel refuses it, the program never sees it");
        ping(&world, to, MTU - headers + 1, "dont").unwrap_or_else(|error| panic!("{error}"));
        assert_eq!(count().0 - whole.0, 2, "two fragments");
        ping(&world, to, 60_000, "dont").unwrap_or_else(|error| panic!("{error}"));
    }
    // 1420 bytes were chosen for an outer MTU of 1500: nothing was cut outside.
    for namespace in [&world.client, &world.server] {
        let counts = namespace.read("/proc/thread-self/net/snmp6");
        let datagrams = counts.lines().find(|line| line.starts_with("Udp6OutDatagrams"));
        assert!(datagrams.is_some_and(|line| !line.ends_with(" 0")), "{counts}");
        let outer = namespace.run("ip", &["-s", "-6", "route", "show", "dev", "outer"]);
        assert!(
            !outer.contains("mtu"),
            "the path's MTU was found too small: {outer}"
        );
    }
}

#[test]
fn ipv6_addresses_are_good_at_once_because_nobody_is_asked_whether_they_are_free() {
    let world = world_or_skip!(World::secure(Outer::V4));
    let _tunnel = world.tunnel();
    for (namespace, address) in [(&world.server, SERVER_INNER[1]), (&world.client, CLIENT_INNER[1])] {
        let shown = namespace.run("ip", &["-6", "-o", "address", "show", "dev", "sandhog0"]);
        let line = shown.lines().find(|line| line.contains(&format!("{address}/64")));
        assert!(line.is_some_and(|line| line.contains(" nodad")), "{shown}");
    }
}

#[test]
fn devices_and_programs_count_the_same_packets_and_bytes() {
    let world = world_or_skip!(World::secure(Outer::V4));
    let tunnel = world.tunnel();
    let sizes: Vec<usize> = (0..=MTU - HEADERS[1]).step_by(59).collect();
    let mut expected = (0, 0);
    for (to, headers) in SERVER_INNER.into_iter().zip(HEADERS) {
        udp_round_trips(&world.client, &world.server, to, &sizes);
        expected.0 += sizes.len();
        expected.1 += sizes.iter().map(|size| size + headers).sum::<usize>();
    }
    let expected = (expected.0 as u64, expected.1 as u64);
    for namespace in [&world.client, &world.server] {
        let traffic = namespace.traffic("sandhog0");
        assert_eq!((traffic.sent, traffic.received), (expected, expected));
    }
    let (server, client) = tunnel.stop();
    let (packets, bytes) = expected;
    let said = format!("received: {packets} packets, {bytes} bytes; sent: {packets} packets, {bytes} bytes");
    for log in [server, client] {
        assert!(
            log.contains(&said) && log.contains("dropped: none"),
            "{said}; {log}"
        );
    }
}
