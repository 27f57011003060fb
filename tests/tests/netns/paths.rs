//! Ways that change: addresses of either side, and a NAT that forgets.

use std::net::IpAddr;
use std::thread::sleep;
use std::time::Duration;

use super::namespace::Namespace;
use super::ping_three_times;
use super::tunnel::{CLIENT_INNER, Outer, SERVER_INNER, Tunnel, World};

/// Takes the outer address of a side away and gives it another.
fn move_to(namespace: &Namespace, old: &str, new: &str) {
    namespace.run("ip", &["address", "delete", old, "dev", "outer"]);
    namespace.give("outer", new).expect("a free address");
}

/// Both sides move, one after the other, and both are followed without a new login.
fn roam(outer: Outer, prefix: &str, new: [&str; 2]) {
    let world = world_or_skip!(World::secure(outer));
    let Tunnel {
        mut server,
        mut client,
    } = world.tunnel();
    let [server_old, client_old] = outer.addresses().map(|address| format!("{address}/{prefix}"));
    let [server_new, client_new] = new.map(|address| format!("{address}/{prefix}"));

    move_to(&world.client, &client_old, &client_new);
    // The first packet after the move may have been sent by the old address.
    until_ping(&world.client, SERVER_INNER[0]);
    ping_three_times(&world.client, SERVER_INNER[0]);
    ping_three_times(&world.server, CLIENT_INNER[1]);

    move_to(&world.server, &server_old, &server_new);
    // The server speaks first: nobody else knows where it is.
    until_ping(&world.server, CLIENT_INNER[0]);
    client.wait_for("the server has moved from ");
    ping_three_times(&world.client, SERVER_INNER[1]);

    let (_, log) = client.terminate();
    assert_eq!(log.matches("status: connecting").count(), 1, "{log}");
    assert!(!log.contains("reasserting"), "{log}");
    server.wait_for("a session of kean has ended: bye");
    let (_, log) = server.terminate();
    assert_eq!(log.matches("kean logged in").count(), 1, "{log}");
}

/// Pings until an answer comes.
#[track_caller]
fn until_ping(from: &Namespace, to: IpAddr) {
    from.run("ping", &["-c", "1", "-w", "5", "-i", "0.2", &to.to_string()]);
}

#[test]
fn a_session_follows_both_sides_to_other_ipv4_addresses() {
    roam(Outer::V4, "24", ["198.18.0.11", "198.18.0.12"]);
}

#[test]
fn a_session_follows_both_sides_to_other_ipv6_addresses() {
    roam(Outer::V6, "64", ["2001:db8::11", "2001:db8::12"]);
}

/// A router between client and server that hides the client, and binds each new flow to a port of its own choice.
fn put_nat_between(world: &World) -> Namespace {
    let nat = Namespace::new().expect("a third namespace");
    nat.join("inside", &world.client, "home")
        .expect("a pair of devices");
    nat.join("outside", &world.server, "wide")
        .expect("a pair of devices");
    nat.give("inside", "198.18.1.1/24").expect("an address");
    nat.give("outside", "198.18.2.1/24").expect("an address");
    world.client.give("home", "198.18.1.2/24").expect("an address");
    world.server.give("wide", "198.18.2.2/24").expect("an address");
    let way = ["route", "add", "198.18.2.0/24", "via", "198.18.1.1"];
    world.client.run("ip", &way);
    nat.set("ipv4/ip_forward", "1");
    nat.run(
        "nft",
        &[
            "add table ip nat; add chain ip nat out { type nat hook postrouting priority 100; }; \
           add rule ip nat out oifname outside masquerade fully-random",
        ],
    );
    world.edit("client.toml", "198.18.0.1:40404", "198.18.2.2:40404");
    nat
}

/// From its next packet on, the router forgets a flow that has been silent for two seconds. Not before there is a session:
/// on a busy machine a login is silent for longer, while the password is stretched.
fn forget_after_two_seconds(world: &World, nat: &Namespace) {
    for timeout in ["udp_timeout", "udp_timeout_stream"] {
        nat.set(&format!("netfilter/nf_conntrack_{timeout}"), "2");
    }
    ping_three_times(&world.client, SERVER_INNER[0]);
}

/// A world with such a router, and clients that ping after so many seconds of silence.
fn behind_nat(keepalive: u16) -> Result<(World, Namespace), String> {
    let world = World::secure(Outer::V4)?;
    world.edit("server.toml", "# [clients] ", "[clients] ");
    world.edit(
        "server.toml",
        "# routes = [\"192.0.2.0/24\"]",
        &format!("keepalive = {keepalive}"),
    );
    let nat = put_nat_between(&world);
    Ok((world, nat))
}

#[test]
fn keepalives_hold_the_way_through_a_nat_that_forgets_after_two_seconds() {
    let (world, nat) = world_or_skip!(behind_nat(1));
    let Tunnel { server, client } = world.tunnel();
    forget_after_two_seconds(&world, &nat);
    // Time has to pass: silence is what is tested.
    sleep(Duration::from_secs(5));
    let to = CLIENT_INNER[0].to_string();
    world.server.run("ping", &["-c", "1", "-W", "2", &to]);
    let (_, log) = client.terminate();
    assert!(!log.contains("reasserting"), "{log}");
    drop(server);
}

#[test]
fn a_session_outlives_a_nat_that_has_forgotten_it_and_takes_another_port() {
    let (world, nat) = world_or_skip!(behind_nat(0));
    let Tunnel { mut server, client } = world.tunnel();
    forget_after_two_seconds(&world, &nat);
    sleep(Duration::from_secs(4));
    // What the server sends finds no way in, and the router tells it so.
    let to = CLIENT_INNER[0].to_string();
    world.server.run_to_failure("ping", &["-c", "1", "-W", "1", &to]);
    // The answer to the first one may be under way before the server knows where to.
    until_ping(&world.client, SERVER_INNER[0]);
    ping_three_times(&world.client, SERVER_INNER[0]);
    ping_three_times(&world.server, CLIENT_INNER[0]);
    let (_, log) = client.terminate();
    assert!(!log.contains("reasserting"), "{log}");
    server.wait_for("a session of kean has ended: bye");
    let (_, log) = server.terminate();
    assert_eq!(log.matches("kean logged in").count(), 1, "{log}");
}
