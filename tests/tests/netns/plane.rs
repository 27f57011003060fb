//! Data plane: several packet threads, switched-off offload features, and a server with several addresses.

use std::fs;

use super::ping_three_times;
use super::transfer::transfer_both_ways;
use super::tunnel::{CLIENT_INNER, Outer, SERVER_INNER, Testbed};

/// Adds lines at the start and at the end of both configuration files.
fn extend(testbed: &Testbed, first: &str, last: &str) {
    for file in ["server.toml", "client.toml"] {
        let text = fs::read_to_string(testbed.path(file)).expect("a file of the test");
        testbed.write(file, &format!("{first}\n{text}\n{last}\n"));
    }
}

#[test]
fn several_threads_carry_a_transfer_unchanged_and_stop_on_request() {
    let testbed = testbed_or_skip!(Testbed::secure(Outer::V4));
    extend(&testbed, "workers = 3", "");
    let tunnel = testbed.tunnel();
    transfer_both_ways(&testbed);
    ping_three_times(&testbed.client, SERVER_INNER[1]);
    let (server_log, client_log) = tunnel.stop();
    for log in [&server_log, &client_log] {
        assert!(log.contains("dropped: none"), "{log}");
    }
}

#[test]
fn a_transfer_is_unchanged_with_each_offload_off_and_with_all_off() {
    let off = |keys: &[&str]| {
        let lines: Vec<_> = keys.iter().map(|key| format!("{key} = false")).collect();
        format!("[offload]\n{}", lines.join("\n"))
    };
    let keys = ["tun-segmentation", "udp-segmentation", "udp-coalescing"];
    for keys in [&keys[..1], &keys[1..2], &keys[2..], &keys] {
        let testbed = testbed_or_skip!(Testbed::secure(Outer::V4));
        extend(&testbed, "", &off(keys));
        let _tunnel = testbed.tunnel();
        transfer_both_ways(&testbed);
    }
}

#[test]
fn a_server_replies_from_the_address_that_the_client_uses() {
    let second = "198.18.0.77";
    let testbed = testbed_or_skip!(Testbed::secure(Outer::V4));
    let address = format!("{second}/24");
    testbed
        .server
        .run("ip", &["address", "add", &address, "dev", "outer"]);
    testbed.edit("client.toml", "198.18.0.1:40404", &format!("{second}:40404"));
    let tunnel = testbed.tunnel();
    ping_three_times(&testbed.client, SERVER_INNER[0]);
    ping_three_times(&testbed.server, CLIENT_INNER[0]);
    let (code, status, _) = testbed.query(&testbed.client, &["status"]);
    assert!(
        code == Some(0) && status.contains(&format!("{second}:40404")),
        "{status}"
    );
    let (_, client_log) = tunnel.stop();
    assert!(!client_log.contains("has moved"), "{client_log}");
}
