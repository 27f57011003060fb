//! Traffic tests: ICMP, UDP and TCP of both inner families over both outer families, packet sizes up to the
//! MTU, and counters.

use std::net::IpAddr;

use super::ping_three_times;
use super::transfer::{tcp_both_ways, udp_round_trips};
use super::tunnel::{CLIENT_INNER, Outer, SERVER_INNER, Testbed};

/// The default MTU of the tunnel.
const MTU: usize = 1420;
/// Length of the headers for both families: IP, and ICMP echo or UDP, which have the same length.
const HEADERS: [usize; 2] = [20 + 8, 40 + 8];

#[test]
fn icmp_udp_and_tcp_of_both_families_pass_an_outer_ipv4_network() {
    assert_all_pass(&testbed_or_skip!(Testbed::secure(Outer::V4)));
}

#[test]
fn icmp_udp_and_tcp_of_both_families_pass_an_outer_ipv6_network() {
    assert_all_pass(&testbed_or_skip!(Testbed::secure(Outer::V6)));
}

fn assert_all_pass(testbed: &Testbed) {
    let _tunnel = testbed.tunnel();
    let sizes = [0, 1, 15, 16, 17, 100, 1000, MTU - HEADERS[1]];
    for (server, client) in SERVER_INNER.into_iter().zip(CLIENT_INNER) {
        ping_three_times(&testbed.client, server);
        ping_three_times(&testbed.server, client);
        udp_round_trips(&testbed.client, &testbed.server, server, &sizes);
        udp_round_trips(&testbed.server, &testbed.client, client, &sizes);
    }
    for to in SERVER_INNER {
        tcp_both_ways(testbed, to, 1 << 20);
    }
}

/// Sends one ping with `payload` bytes of payload. Returns the output of `ping`, or its error.
fn ping(testbed: &Testbed, to: IpAddr, payload: usize, fragmentation: &str) -> Result<String, String> {
    let (to, payload) = (to.to_string(), payload.to_string());
    let arguments = ["-c", "1", "-W", "5", "-M", fragmentation, "-s", &payload, &to];
    testbed.client.try_run("ping", &arguments)
}

#[test]
fn a_packet_of_mtu_size_passes_and_a_longer_one_is_rejected_or_fragmented() {
    let testbed = testbed_or_skip!(Testbed::secure(Outer::V6));
    let _tunnel = testbed.tunnel();
    for (to, headers) in SERVER_INNER.into_iter().zip(HEADERS) {
        let count = || testbed.client.traffic("sandhog0").sent;
        let before = count();
        ping(&testbed, to, MTU - headers, "do").unwrap_or_else(|error| panic!("{error}"));
        let whole = count();
        assert_eq!(
            (whole.0 - before.0, whole.1 - before.1),
            (1, MTU as u64),
            "one packet of the MTU"
        );
        let refused = ping(&testbed, to, MTU - headers + 1, "do").expect_err("larger than the MTU");
        assert!(refused.to_lowercase().contains("message too long"), "{refused}");
        assert_eq!(count(), whole, "the kernel rejects it before the device");
        ping(&testbed, to, MTU - headers + 1, "dont").unwrap_or_else(|error| panic!("{error}"));
        assert_eq!(count().0 - whole.0, 2, "two fragments");
        ping(&testbed, to, 60_000, "dont").unwrap_or_else(|error| panic!("{error}"));
    }
    // The MTU of 1420 fits an outer MTU of 1500, so no outer datagram was fragmented.
    for namespace in [&testbed.client, &testbed.server] {
        let counts = namespace.read("/proc/thread-self/net/snmp6");
        let datagrams = counts.lines().find(|line| line.starts_with("Udp6OutDatagrams"));
        assert!(datagrams.is_some_and(|line| !line.ends_with(" 0")), "{counts}");
        let outer = namespace.run("ip", &["-s", "-6", "route", "show", "dev", "outer"]);
        assert!(
            !outer.contains("mtu"),
            "the kernel has stored a smaller path MTU: {outer}"
        );
    }
}

#[test]
fn ipv6_addresses_are_usable_immediately_without_duplicate_detection() {
    let testbed = testbed_or_skip!(Testbed::secure(Outer::V4));
    let _tunnel = testbed.tunnel();
    for (namespace, address) in [
        (&testbed.server, SERVER_INNER[1]),
        (&testbed.client, CLIENT_INNER[1]),
    ] {
        let shown = namespace.run("ip", &["-6", "-o", "address", "show", "dev", "sandhog0"]);
        let line = shown.lines().find(|line| line.contains(&format!("{address}/64")));
        assert!(line.is_some_and(|line| line.contains(" nodad")), "{shown}");
    }
}

#[test]
fn devices_and_programs_count_the_same_packets_and_bytes() {
    let testbed = testbed_or_skip!(Testbed::secure(Outer::V4));
    let tunnel = testbed.tunnel();
    let sizes: Vec<usize> = (0..=MTU - HEADERS[1]).step_by(59).collect();
    let mut expected = (0, 0);
    for (to, headers) in SERVER_INNER.into_iter().zip(HEADERS) {
        udp_round_trips(&testbed.client, &testbed.server, to, &sizes);
        expected.0 += sizes.len();
        expected.1 += sizes.iter().map(|size| size + headers).sum::<usize>();
    }
    let expected = (expected.0 as u64, expected.1 as u64);
    for namespace in [&testbed.client, &testbed.server] {
        let traffic = namespace.traffic("sandhog0");
        assert_eq!((traffic.sent, traffic.received), (expected, expected));
    }
    let (server, client) = tunnel.stop();
    let (packets, bytes) = expected;
    let printed =
        format!("received: {packets} packets, {bytes} bytes; sent: {packets} packets, {bytes} bytes");
    for log in [server, client] {
        assert!(
            log.contains(&printed) && log.contains("dropped: none"),
            "{printed}; {log}"
        );
    }
}
