//! The classic profile: both files say everything.

use super::ping_three_times;
use super::transfer::transfer_both_ways;
use super::tunnel::{CLIENT_INNER, Outer, SERVER_INNER, World};

#[test]
fn pings_of_both_families_cross_in_both_directions_and_nothing_else_does() {
    let world = world_or_skip!(World::classic(Outer::V4));
    let tunnel = world.tunnel();
    for to in SERVER_INNER {
        ping_three_times(&world.client, to);
    }
    for to in CLIENT_INNER {
        ping_three_times(&world.server, to);
    }
    let (server_log, client_log) = tunnel.stop();
    let packets = "received: 12 packets, 1128 bytes; sent: 12 packets, 1128 bytes";
    for log in [server_log, client_log] {
        assert!(log.contains(packets) && log.contains("dropped: none"), "{log}");
    }
}

#[test]
fn an_ipv6_network_outside_carries_both_families_inside() {
    let world = world_or_skip!(World::classic(Outer::V6));
    let _tunnel = world.tunnel();
    for to in SERVER_INNER {
        ping_three_times(&world.client, to);
    }
}

#[test]
fn tcp_crosses_whole_in_both_directions_and_unreadable_from_outside() {
    let world = world_or_skip!(World::classic(Outer::V4));
    let _tunnel = world.tunnel();
    transfer_both_ways(&world);
}

#[test]
fn a_stopped_client_leaves_no_device_and_the_next_one_logs_in() {
    let world = world_or_skip!(World::classic(Outer::V4));
    let server = world.start_server();
    for _ in 0..2 {
        let client = world.start_client();
        assert!(world.client.run("ip", &["link"]).contains("sandhog0"));
        let (code, log) = client.terminate();
        assert_eq!(code, Some(0), "{log}");
        assert!(!world.client.run("ip", &["link"]).contains("sandhog0"));
    }
    let (code, log) = server.terminate();
    assert_eq!(
        (code, log.matches("kean logged in").count()),
        (Some(0), 2),
        "{log}"
    );
}

#[test]
fn a_wrong_password_ends_with_code_3_and_is_in_no_log() {
    let world = world_or_skip!(World::classic(Outer::V4));
    world.write("password", "not the battery staple\n");
    let server = world.start_server();
    let (code, client_log) = world.spawn_client().wait();
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
fn a_silent_server_ends_with_code_4_after_ten_seconds() {
    let world = world_or_skip!(World::classic(Outer::V4));
    let (code, log) = world.spawn_client().wait();
    assert_eq!(code, Some(4), "{log}");
    assert!(
        log.contains("error: the server did not answer in time\nhelp: check that the server is running"),
        "{log}"
    );
}

#[test]
fn a_taken_device_name_ends_with_code_1_and_advice() {
    let world = world_or_skip!(World::classic(Outer::V4));
    world
        .client
        .run("ip", &["tuntap", "add", "sandhog0", "mode", "tun"]);
    let (code, log) = world.spawn_client().wait();
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
fn a_device_that_is_taken_away_ends_the_program_with_code_1() {
    let world = world_or_skip!(World::classic(Outer::V4));
    let server = world.start_server();
    world.server.run("ip", &["link", "delete", "sandhog0"]);
    let (code, log) = server.wait();
    assert_eq!(code, Some(1), "{log}");
    assert!(log.contains("error: cannot read from the tunnel device"), "{log}");
}
