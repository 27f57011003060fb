//! Path changes: new addresses on either side, and a NAT that forgets its mappings.

use std::net::IpAddr;
use std::thread::sleep;
use std::time::Duration;

use super::namespace::Namespace;
use super::ping_three_times;
use super::tunnel::{CLIENT_INNER, Outer, SERVER_INNER, Testbed, Tunnel};

/// Replaces the outer address of a side.
fn move_to(namespace: &Namespace, old: &str, new: &str) {
    namespace.run("ip", &["address", "delete", old, "dev", "outer"]);
    namespace.add_address("outer", new).expect("a free address");
}

/// Checks that the session follows address changes of both sides, one after the other, without a new login.
fn roam(outer: Outer, prefix: &str, new: [&str; 2]) {
    let testbed = testbed_or_skip!(Testbed::secure(outer));
    let Tunnel {
        mut server,
        mut client,
    } = testbed.tunnel();
    let [server_old, client_old] = outer.addresses().map(|address| format!("{address}/{prefix}"));
    let [server_new, client_new] = new.map(|address| format!("{address}/{prefix}"));

    move_to(&testbed.client, &client_old, &client_new);
    // The first packet after the change may still have the old source address.
    until_ping(&testbed.client, SERVER_INNER[0]);
    ping_three_times(&testbed.client, SERVER_INNER[0]);
    ping_three_times(&testbed.server, CLIENT_INNER[1]);

    move_to(&testbed.server, &server_old, &server_new);
    // The server must send first: its new address is unknown.
    until_ping(&testbed.server, CLIENT_INNER[0]);
    client.wait_for("the server's address changed from ");
    ping_three_times(&testbed.client, SERVER_INNER[1]);

    let (_, log) = client.terminate();
    assert_eq!(log.matches("status: connecting").count(), 1, "{log}");
    assert!(!log.contains("reasserting"), "{log}");
    server.wait_for("session of kean ended: bye");
    let (_, log) = server.terminate();
    assert_eq!(log.matches("kean logged in").count(), 1, "{log}");
}

/// Pings until there is a reply.
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

/// Puts a NAT router between client and server. It maps each new flow to a random port.
fn put_nat_between(testbed: &Testbed) -> Namespace {
    let nat = Namespace::new().expect("a third namespace");
    nat.connect("inside", &testbed.client, "home")
        .expect("a pair of devices");
    nat.connect("outside", &testbed.server, "wide")
        .expect("a pair of devices");
    nat.add_address("inside", "198.18.1.1/24").expect("an address");
    nat.add_address("outside", "198.18.2.1/24").expect("an address");
    testbed
        .client
        .add_address("home", "198.18.1.2/24")
        .expect("an address");
    testbed
        .server
        .add_address("wide", "198.18.2.2/24")
        .expect("an address");
    let way = ["route", "add", "198.18.2.0/24", "via", "198.18.1.1"];
    testbed.client.run("ip", &way);
    nat.set_sysctl("ipv4/ip_forward", "1");
    nat.run(
        "nft",
        &[
            "add table ip nat; add chain ip nat out { type nat hook postrouting priority 100; }; \
           add rule ip nat out oifname outside masquerade fully-random",
        ],
    );
    testbed.edit("client.toml", "198.18.0.1:40404", "198.18.2.2:40404");
    nat
}

/// Makes the NAT forget flows after two seconds of silence, from its next packet on. This must follow the
/// login: on a busy machine, the password hash takes longer than that.
fn forget_after_two_seconds(testbed: &Testbed, nat: &Namespace) {
    for timeout in ["udp_timeout", "udp_timeout_stream"] {
        nat.set_sysctl(&format!("netfilter/nf_conntrack_{timeout}"), "2");
    }
    ping_three_times(&testbed.client, SERVER_INNER[0]);
}

/// A testbed with a NAT router, and clients that ping after `keepalive` seconds of silence.
fn behind_nat(keepalive: u16) -> Result<(Testbed, Namespace), String> {
    let testbed = Testbed::secure(Outer::V4)?;
    testbed.edit("server.toml", "# [clients] ", "[clients] ");
    testbed.edit(
        "server.toml",
        "# routes = [\"192.0.2.0/24\"]",
        &format!("keepalive = {keepalive}"),
    );
    let nat = put_nat_between(&testbed);
    Ok((testbed, nat))
}

#[test]
fn keepalives_preserve_the_mapping_of_a_nat_that_forgets_after_two_seconds() {
    let (testbed, nat) = testbed_or_skip!(behind_nat(1));
    let Tunnel { server, client } = testbed.tunnel();
    forget_after_two_seconds(&testbed, &nat);
    // Wait, because the test is about silence.
    sleep(Duration::from_secs(5));
    let to = CLIENT_INNER[0].to_string();
    testbed.server.run("ping", &["-c", "1", "-W", "2", &to]);
    let (_, log) = client.terminate();
    assert!(!log.contains("reasserting"), "{log}");
    drop(server);
}

#[test]
fn a_session_survives_a_nat_that_assigns_another_port() {
    let (testbed, nat) = testbed_or_skip!(behind_nat(0));
    let Tunnel { mut server, client } = testbed.tunnel();
    forget_after_two_seconds(&testbed, &nat);
    sleep(Duration::from_secs(4));
    // The NAT rejects the server's datagrams with an ICMP error.
    let to = CLIENT_INNER[0].to_string();
    testbed
        .server
        .run_to_failure("ping", &["-c", "1", "-W", "1", &to]);
    // The server may reply to the first ping before it knows the new address.
    until_ping(&testbed.client, SERVER_INNER[0]);
    ping_three_times(&testbed.client, SERVER_INNER[0]);
    ping_three_times(&testbed.server, CLIENT_INNER[0]);
    let (_, log) = client.terminate();
    assert!(!log.contains("reasserting"), "{log}");
    server.wait_for("session of kean ended: bye");
    let (_, log) = server.terminate();
    assert_eq!(log.matches("kean logged in").count(), 1, "{log}");
}
