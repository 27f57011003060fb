//! The server's machine as a router for its clients: only when asked for, only for them, and not a moment longer.

use std::net::{IpAddr, UdpSocket};
use std::time::Duration;

use super::namespace::{Namespace, assert_unchanged};
use super::ping_three_times;
use super::tunnel::{Outer, Tunnel, World};

/// A host behind the server, in networks that the clients are offered.
const FAR: [&str; 2] = ["203.0.113.2", "2001:db8:3::2"];
/// The server there.
const NEAR: [&str; 2] = ["203.0.113.1", "2001:db8:3::1"];

/// A world with a third machine behind the server. `forwarding` is what the server's file says of it.
fn with_network_behind(forwarding: &str) -> Result<(World, Namespace), String> {
    let world = World::secure(Outer::V4)?;
    let far = Namespace::new()?;
    far.join("gate", &world.server, "yard")?;
    for (far_address, near) in FAR.into_iter().zip(NEAR) {
        let length = if near.contains(':') { 64 } else { 24 };
        far.give("gate", &format!("{far_address}/{length}"))?;
        world.server.give("yard", &format!("{near}/{length}"))?;
    }
    // A router asks who has an address from its link-local one (RFC 4861, section 7.2.2).
    world.server.give("yard", "fe80::1/64")?;
    world.edit("server.toml", "# [clients] ", "[clients] ");
    world.edit(
        "server.toml",
        "# routes = [\"192.0.2.0/24\"]",
        &format!("routes = [\"203.0.113.0/24\", \"2001:db8:3::/64\"]\n{forwarding}"),
    );
    Ok((world, far))
}

/// From which address a host sees the client.
#[track_caller]
fn seen_as(world: &World, host: &Namespace, address: &str) -> IpAddr {
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
    let socket = world
        .client
        .enter(|| UdpSocket::bind((any, 0)))
        .expect("a UDP socket");
    socket.send_to(b"hello", to).expect("a route");
    listener.recv_from(&mut [0; 16]).expect("a datagram").1.ip()
}

#[test]
fn with_masquerade_clients_reach_networks_behind_the_server_under_its_address_and_a_stop_undoes_it() {
    let (world, far) = world_or_skip!(with_network_behind(
        "[forwarding]\nenabled = true\nmasquerade = true"
    ));
    let before = world.server.state();
    let tunnel = world.tunnel();
    for (to, near) in FAR.into_iter().zip(NEAR) {
        ping_three_times(&world.client, to.parse().expect("an address"));
        assert_eq!(seen_as(&world, &far, to).to_string(), near);
    }
    let table = world.server.run("nft", &["list", "tables"]);
    assert_eq!(table.trim(), "table inet sandhog-sandhog0-server");
    tunnel.stop();
    assert_unchanged(&before, &world.server.state());
}

#[test]
fn without_masquerade_clients_keep_their_addresses_and_nobody_else_is_forwarded() {
    let (world, far) = world_or_skip!(with_network_behind("[forwarding]\nenabled = true"));
    for (network, via) in [
        ("10.9.0.0/24", NEAR[0]),
        ("fd00:9::/64", NEAR[1]),
        ("198.18.0.0/24", NEAR[0]),
    ] {
        far.run("ip", &["route", "add", network, "via", via]);
    }
    let _tunnel = world.tunnel();
    for to in FAR {
        ping_three_times(&world.client, to.parse().expect("an address"));
    }
    assert_eq!(seen_as(&world, &far, FAR[0]).to_string(), "10.9.0.2");
    // Outside of the tunnel the same machine is a stranger, and the server no router for it.
    let around = [
        "route",
        "add",
        "203.0.113.2/32",
        "via",
        "198.18.0.1",
        "dev",
        "outer",
    ];
    world.client.run("ip", &around);
    let lost = world
        .client
        .run_to_failure("ping", &["-c", "2", "-i", "0.1", "-W", "1", FAR[0]]);
    assert!(lost.contains("100% packet loss"), "{lost}");
}

#[test]
fn a_server_that_was_not_asked_to_forwards_nothing_and_changes_nothing() {
    let (world, _far) = world_or_skip!(with_network_behind(""));
    let _tunnel = world.tunnel();
    let lost = world
        .client
        .run_to_failure("ping", &["-c", "2", "-i", "0.1", "-W", "1", FAR[0]]);
    assert!(lost.contains("100% packet loss"), "{lost}");
    assert_eq!(world.server.read("/proc/sys/net/ipv4/ip_forward").trim(), "0");
    assert_eq!(world.server.run("nft", &["list", "ruleset"]), "");
}

#[test]
fn what_a_killed_server_has_changed_is_undone_by_down_and_by_the_next_start() {
    let (world, _far) = world_or_skip!(with_network_behind(
        "[forwarding]\nenabled = true\nmasquerade = true"
    ));
    // A device that forwarded before is to do so afterwards.
    world.server.set("ipv4/conf/yard/forwarding", "1");
    world.server.set("ipv6/conf/yard/forwarding", "1");
    let before = world.server.state();
    drop(world.start_server());
    assert_ne!(world.server.state(), before, "a kill leaves switches and table");
    let down = || world.ask(&world.server, &["down", "--device", "sandhog0"]);
    let (code, said, error) = world.server.enter(down);
    assert_eq!(code, Some(0), "{said}{error}");
    assert_unchanged(&before, &world.server.state());

    drop(world.start_server());
    let Tunnel { server, client } = world.tunnel();
    ping_three_times(&world.client, FAR[0].parse().expect("an address"));
    drop(client);
    let (code, log) = server.terminate();
    assert_eq!(code, Some(0), "{log}");
    assert_unchanged(&before, &world.server.state());
}
