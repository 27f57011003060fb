//! Classic profile: both configuration files contain all settings.

use super::ping_three_times;
use super::transfer::transfer_both_ways;
use super::tunnel::{CLIENT_INNER, Outer, SERVER_INNER, Testbed};

#[test]
fn only_pings_of_both_families_pass_in_both_directions() {
    let testbed = testbed_or_skip!(Testbed::classic(Outer::V4));
    let tunnel = testbed.tunnel();
    for to in SERVER_INNER {
        ping_three_times(&testbed.client, to);
    }
    for to in CLIENT_INNER {
        ping_three_times(&testbed.server, to);
    }
    let (server_log, client_log) = tunnel.stop();
    let packets = "received: 12 packets, 1128 bytes; sent: 12 packets, 1128 bytes";
    for log in [server_log, client_log] {
        assert!(log.contains(packets) && log.contains("dropped: none"), "{log}");
    }
}

#[test]
fn an_outer_ipv6_network_carries_both_inner_families() {
    let testbed = testbed_or_skip!(Testbed::classic(Outer::V6));
    let _tunnel = testbed.tunnel();
    for to in SERVER_INNER {
        ping_three_times(&testbed.client, to);
    }
}

#[test]
fn tcp_data_arrives_unchanged_and_is_unreadable_outside() {
    let testbed = testbed_or_skip!(Testbed::classic(Outer::V4));
    let _tunnel = testbed.tunnel();
    transfer_both_ways(&testbed);
}

#[test]
fn a_stopped_client_leaves_no_device_and_the_next_one_logs_in() {
    let testbed = testbed_or_skip!(Testbed::classic(Outer::V4));
    let server = testbed.start_server();
    for _ in 0..2 {
        let client = testbed.start_client();
        assert!(testbed.client.run("ip", &["link"]).contains("sandhog0"));
        let (code, log) = client.terminate();
        assert_eq!(code, Some(0), "{log}");
        assert!(!testbed.client.run("ip", &["link"]).contains("sandhog0"));
    }
    let (code, log) = server.terminate();
    assert_eq!(
        (code, log.matches("kean logged in").count()),
        (Some(0), 2),
        "{log}"
    );
}

#[test]
fn a_wrong_password_exits_with_3_and_is_not_logged() {
    let testbed = testbed_or_skip!(Testbed::classic(Outer::V4));
    testbed.write("password", "not the battery staple\n");
    let server = testbed.start_server();
    let (code, client_log) = testbed.spawn_client().wait();
    assert_eq!(code, Some(3), "{client_log}");
    assert!(
        client_log.contains("error: the server rejected the name or the password"),
        "{client_log}"
    );
    let (_, server_log) = server.terminate();
    assert!(
        server_log.contains("refused a login from 198.18.0.2:"),
        "{server_log}"
    );
    assert!(!client_log.contains("staple") && !server_log.contains("staple"));
}

#[test]
fn a_server_that_does_not_answer_exits_with_4_after_ten_seconds() {
    let testbed = testbed_or_skip!(Testbed::classic(Outer::V4));
    let (code, log) = testbed.spawn_client().wait();
    assert_eq!(code, Some(4), "{log}");
    assert!(
        log.contains("error: the server did not answer in time\nhelp: check that the server is running"),
        "{log}"
    );
}

#[test]
fn a_device_name_in_use_exits_with_1_and_advice() {
    let testbed = testbed_or_skip!(Testbed::classic(Outer::V4));
    testbed
        .client
        .run("ip", &["tuntap", "add", "sandhog0", "mode", "tun"]);
    let (code, log) = testbed.spawn_client().wait();
    assert_eq!(code, Some(1), "{log}");
    assert!(
        log.contains("error: cannot create the device `sandhog0`"),
        "{log}"
    );
    assert!(
        log.contains("help: a device with this name already exists"),
        "{log}"
    );
}

#[test]
fn a_removed_device_ends_the_server_with_code_1() {
    let testbed = testbed_or_skip!(Testbed::classic(Outer::V4));
    let server = testbed.start_server();
    testbed.server.run("ip", &["link", "delete", "sandhog0"]);
    let (code, log) = server.wait();
    assert_eq!(code, Some(1), "{log}");
    assert!(log.contains("error: cannot read from the tunnel device"), "{log}");
}
