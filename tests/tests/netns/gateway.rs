//! Forwarding on the server: only if configured, only for clients, and only while the server runs.

use std::net::{IpAddr, UdpSocket};
use std::time::Duration;

use super::namespace::{Namespace, assert_unchanged};
use super::ping_three_times;
use super::tunnel::{Outer, Testbed, Tunnel};

/// Addresses of a host behind the server, in networks that the server offers to clients.
const FAR: [&str; 2] = ["203.0.113.2", "2001:db8:3::2"];
/// The server's addresses in these networks.
const NEAR: [&str; 2] = ["203.0.113.1", "2001:db8:3::1"];

/// A testbed with a third machine behind the server. `forwarding` is the table in the server's file.
fn testbed_with_far_host(forwarding: &str) -> Result<(Testbed, Namespace), String> {
    let testbed = Testbed::secure(Outer::V4)?;
    let far = Namespace::new()?;
    far.connect("gate", &testbed.server, "yard")?;
    for (far_address, near) in FAR.into_iter().zip(NEAR) {
        let length = if near.contains(':') { 64 } else { 24 };
        far.add_address("gate", &format!("{far_address}/{length}"))?;
        testbed.server.add_address("yard", &format!("{near}/{length}"))?;
    }
    // A router sends neighbour solicitations from its link-local address (RFC 4861, section 7.2.2).
    testbed.server.add_address("yard", "fe80::1/64")?;
    testbed.edit("server.toml", "# [clients] ", "[clients] ");
    testbed.edit(
        "server.toml",
        "# routes = [\"192.0.2.0/24\"]",
        &format!("routes = [\"203.0.113.0/24\", \"2001:db8:3::/64\"]\n{forwarding}"),
    );
    Ok((testbed, far))
}

/// Returns the source address of the client's datagrams at a host.
#[track_caller]
fn source_seen_by(testbed: &Testbed, host: &Namespace, address: &str) -> IpAddr {
    let address: IpAddr = address.parse().expect("an address");
    let listener = host
        .enter(|| UdpSocket::bind((address, 0)))
        .expect("a UDP socket");
    listener
        .set_read_timeout(Some(Duration::from_secs(5)))
        .expect("a time limit");
    let to = listener.local_addr().expect("a bound socket");
    let any: IpAddr = if to.is_ipv4() {
        [0; 4].into()
    } else {
        [0_u16; 8].into()
    };
    let socket = testbed
        .client
        .enter(|| UdpSocket::bind((any, 0)))
        .expect("a UDP socket");
    socket.send_to(b"hello", to).expect("a route");
    listener.recv_from(&mut [0; 16]).expect("a datagram").1.ip()
}

#[test]
fn with_masquerade_clients_use_the_servers_address_until_the_server_stops() {
    let (testbed, far) = testbed_or_skip!(testbed_with_far_host(
        "[forwarding]\nenabled = true\nmasquerade = true"
    ));
    let before = testbed.server.state();
    let tunnel = testbed.tunnel();
    for (to, near) in FAR.into_iter().zip(NEAR) {
        ping_three_times(&testbed.client, to.parse().expect("an address"));
        assert_eq!(source_seen_by(&testbed, &far, to).to_string(), near);
    }
    let table = testbed.server.run("nft", &["list", "tables"]);
    assert_eq!(table.trim(), "table inet sandhog-sandhog0-server");
    tunnel.stop();
    assert_unchanged(&before, &testbed.server.state());
}

#[test]
fn without_masquerade_clients_keep_their_addresses_and_others_are_not_forwarded() {
    let (testbed, far) = testbed_or_skip!(testbed_with_far_host("[forwarding]\nenabled = true"));
    for (network, via) in [
        ("10.9.0.0/24", NEAR[0]),
        ("fd00:9::/64", NEAR[1]),
        ("198.18.0.0/24", NEAR[0]),
    ] {
        far.run("ip", &["route", "add", network, "via", via]);
    }
    let _tunnel = testbed.tunnel();
    for to in FAR {
        ping_three_times(&testbed.client, to.parse().expect("an address"));
    }
    assert_eq!(source_seen_by(&testbed, &far, FAR[0]).to_string(), "10.9.0.2");
    // Packets of the same machine outside the tunnel are not forwarded.
    let around = [
        "route",
        "add",
        "203.0.113.2/32",
        "via",
        "198.18.0.1",
        "dev",
        "outer",
    ];
    testbed.client.run("ip", &around);
    let lost = testbed
        .client
        .run_to_failure("ping", &["-c", "2", "-i", "0.1", "-W", "1", FAR[0]]);
    assert!(lost.contains("100% packet loss"), "{lost}");
}

#[test]
fn a_server_without_forwarding_forwards_nothing_and_changes_nothing() {
    let (testbed, _far) = testbed_or_skip!(testbed_with_far_host(""));
    let _tunnel = testbed.tunnel();
    let lost = testbed
        .client
        .run_to_failure("ping", &["-c", "2", "-i", "0.1", "-W", "1", FAR[0]]);
    assert!(lost.contains("100% packet loss"), "{lost}");
    assert_eq!(testbed.server.read("/proc/sys/net/ipv4/ip_forward").trim(), "0");
    assert_eq!(testbed.server.run("nft", &["list", "ruleset"]), "");
}

#[test]
fn down_and_the_next_start_undo_the_changes_of_a_killed_server() {
    let (testbed, _far) = testbed_or_skip!(testbed_with_far_host(
        "[forwarding]\nenabled = true\nmasquerade = true"
    ));
    // A device that forwarded before must forward afterwards.
    testbed.server.set_sysctl("ipv4/conf/yard/forwarding", "1");
    testbed.server.set_sysctl("ipv6/conf/yard/forwarding", "1");
    let before = testbed.server.state();
    drop(testbed.start_server());
    assert_ne!(
        testbed.server.state(),
        before,
        "a kill leaves sysctls and a table"
    );
    let down = || testbed.query(&testbed.server, &["down", "--device", "sandhog0"]);
    let (code, printed, error) = testbed.server.enter(down);
    assert_eq!(code, Some(0), "{printed}{error}");
    assert_unchanged(&before, &testbed.server.state());

    drop(testbed.start_server());
    let Tunnel { server, client } = testbed.tunnel();
    ping_three_times(&testbed.client, FAR[0].parse().expect("an address"));
    drop(client);
    let (code, log) = server.terminate();
    assert_eq!(code, Some(0), "{log}");
    assert_unchanged(&before, &testbed.server.state());
}
