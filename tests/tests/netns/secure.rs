//! The secure profile, with the files that `sandhog init` and `sandhog user` make: the server hands the rest out.

use std::fs;

use super::ping_three_times;
use super::transfer::transfer_both_ways;
use super::tunnel::{CLIENT_INNER, Outer, PASSWORD, SERVER_INNER, Tunnel, USER, World};

#[test]
fn pings_of_both_families_cross_between_addresses_that_the_server_hands_out() {
    let world = world_or_skip!(World::secure(Outer::V4));
    let tunnel = world.tunnel();
    for to in SERVER_INNER {
        ping_three_times(&world.client, to);
    }
    for to in CLIENT_INNER {
        ping_three_times(&world.server, to);
    }
    let (server_log, client_log) = tunnel.stop();
    let packets = "received: 12 packets, 1128 bytes; sent: 12 packets, 1128 bytes";
    for log in [&server_log, &client_log] {
        assert!(log.contains(packets) && log.contains("dropped: none"), "{log}");
        assert!(!log.contains("INSECURE"), "{log}");
    }
    assert!(
        server_log.contains("a session of kean has ended: bye"),
        "{server_log}"
    );
}

#[test]
fn tcp_crosses_whole_in_both_directions_and_unreadable_from_outside() {
    let world = world_or_skip!(World::secure(Outer::V4));
    let _tunnel = world.tunnel();
    transfer_both_ways(&world);
}

#[test]
fn a_wrong_password_ends_with_code_3_and_is_in_no_log() {
    let world = world_or_skip!(World::secure(Outer::V4));
    world.write("password", "not the battery staple\n");
    let server = world.start_server();
    let (code, client_log) = world.spawn_client().wait();
    assert_eq!(code, Some(3), "{client_log}");
    assert!(
        client_log.contains("error: the server rejected the name or the password"),
        "{client_log}"
    );
    let (_, server_log) = server.terminate();
    assert!(!client_log.contains("staple") && !server_log.contains("staple"));
    assert!(!server_log.contains("logged in"), "{server_log}");
}

#[test]
fn a_client_with_another_key_gets_no_answer_and_ends_with_code_4() {
    let world = world_or_skip!(World::secure(Outer::V4));
    let mut server = world.start_server();
    world.write("other.key", "c2FuZGhvZyB0ZXN0cyBpbiBuYW1lc3BhY2VzIG9ubHk=\n");
    world.edit("client.toml", "\"sandhog.key\"", "\"other.key\"");
    let (code, log) = world.spawn_client().wait();
    assert_eq!(code, Some(4), "{log}");
    server.wait_for("dropped a packet: authentication-failed");
    let (_, log) = server.terminate();
    assert!(
        log.contains("datagrams received: ") && log.contains(", sent: 0;"),
        "{log}"
    );
}

#[test]
fn a_disabled_user_loses_the_session_on_sighup_and_is_let_in_when_enabled() {
    let world = world_or_skip!(World::secure(Outer::V4));
    let Tunnel {
        mut server,
        mut client,
    } = world.tunnel();
    world.user(&["disable", USER], "");
    ping_three_times(&world.client, SERVER_INNER[0]);
    server.hang_up();
    server.wait_for("a session of kean has ended: removed");
    client.wait_for("cannot log in again: the account is disabled");
    let lost = world
        .client
        .run_to_failure("ping", &["-c", "1", "-W", "1", &SERVER_INNER[0].to_string()]);
    assert!(lost.contains("100% packet loss"), "{lost}");
    let (code, log) = client.terminate();
    assert_eq!(code, Some(0), "{log}");

    let (code, log) = world.spawn_client().wait();
    assert_eq!(code, Some(3), "{log}");
    assert!(log.contains("error: the account is disabled\nhelp: "), "{log}");

    world.user(&["enable", USER], "");
    server.hang_up();
    server.wait_for("users: 1");
    let _client = world.start_client();
    ping_three_times(&world.client, SERVER_INNER[0]);
}

#[test]
fn a_user_changes_the_password_and_the_old_one_is_of_no_more_use() {
    let world = world_or_skip!(World::secure(Outer::V4));
    let mut server = world.start_server();
    let before = fs::read_to_string(world.path("users")).expect("the users");
    let config = world.path("client.toml").display().to_string();
    let passwd = ["passwd", "--config", &config, "--password-stdin"];
    let (code, said) = world
        .client
        .enter(|| world.try_sandhog(&passwd, "battery staple\n"));
    assert_eq!(code, Some(0), "{said}");
    server.wait_for("kean has a new password");
    let after = fs::read_to_string(world.path("users")).expect("the users");
    assert_ne!(after, before);

    let (code, log) = world.spawn_client().wait();
    assert_eq!(code, Some(3), "{log}");
    world.write("password", "battery staple\n");
    let _client = world.start_client();
    ping_three_times(&world.client, SERVER_INNER[0]);
}

#[test]
fn an_expired_user_is_refused_with_code_3_and_the_reason() {
    let world = world_or_skip!(World::secure(Outer::V4));
    world.user(&["remove", USER], "");
    world.user(
        &["add", "--password-stdin", "--expires", "2020-01-01", USER],
        PASSWORD,
    );
    let _server = world.start_server();
    let (code, log) = world.spawn_client().wait();
    assert_eq!(code, Some(3), "{log}");
    assert!(log.contains("error: the account has expired\nhelp: "), "{log}");
}

#[test]
fn a_fixed_address_comes_with_the_user_and_an_unlock_with_sighup() {
    let world = world_or_skip!(World::secure(Outer::V4));
    let Tunnel {
        mut server,
        mut client,
    } = world.tunnel();
    world.user(
        &[
            "add",
            "--password-stdin",
            "--address",
            "10.9.0.77",
            "--expires",
            "9999-12-31",
            "alice",
        ],
        PASSWORD,
    );
    world.user(&["unlock", USER], "");
    server.hang_up();
    server.wait_for("kean is unlocked");
    server.wait_for("users: 2");
    assert!(!world.path("users.unlock").exists());
    let (code, _) = client.terminate();
    assert_eq!(code, Some(0));
    world.edit("client.toml", "\"kean\"", "\"alice\"");
    client = world.start_client();
    ping_three_times(&world.server, "10.9.0.77".parse().expect("an address"));
    let (_, log) = client.terminate();
    assert!(log.contains("addresses: 10.9.0.77/24, fd00:9::"), "{log}");
}

#[test]
fn without_a_mark_a_route_that_would_lead_the_tunnel_into_itself_ends_the_client_with_code_2() {
    let world = world_or_skip!(World::secure(Outer::V4));
    world.edit("client.toml", "dns = \"off\"", "dns = \"off\"\nfwmark = 0");
    world.edit("server.toml", "# [clients] ", "[clients] ");
    world.edit(
        "server.toml",
        "# routes = [\"192.0.2.0/24\"]",
        "routes = [\"198.18.0.0/16\"]",
    );
    let mut server = world.start_server();
    let (code, log) = world.spawn_client().wait();
    assert_eq!(code, Some(2), "{log}");
    assert!(
        log.contains(
            "error: 198.18.0.0/16 would lead the datagrams for the server 198.18.0.1 into the tunnel itself"
        ),
        "{log}"
    );
    server.wait_for("a session of kean has ended: bye");
}

#[test]
fn a_damaged_users_file_is_refused_on_sighup_and_the_old_users_stay() {
    let world = world_or_skip!(World::secure(Outer::V4));
    let Tunnel { mut server, client } = world.tunnel();
    let users = fs::read_to_string(world.path("users")).expect("the users");
    let cut = users.replace("{\"end\":1}\n", "");
    fs::write(world.path("users"), &cut).expect("a folder of ours");
    server.hang_up();
    server.wait_for("keeping the old users: ");
    ping_three_times(&world.client, SERVER_INNER[0]);
    let (code, _) = client.terminate();
    assert_eq!(code, Some(0));
    let _client = world.start_client();
    assert_eq!(fs::read_to_string(world.path("users")).expect("the users"), cut);
    let (_, log) = server.terminate();
    assert!(
        log.contains("users:3: the last line is missing or has the wrong number of users"),
        "{log}"
    );
}

#[test]
fn another_device_of_the_same_user_ends_the_first_with_code_5() {
    let world = world_or_skip!(World::secure(Outer::V4));
    let _server = world.start_server();
    let first = world.start_client();
    let second = fs::read_to_string(world.path("client.toml")).expect("a file of ours");
    world.write(
        "second.toml",
        &format!("{second}\n[device]\nname = \"sandhog1\"\n"),
    );
    let mut second = world.spawn(&world.client, "client", "second.toml");
    second.wait_for("ready: ");
    let (code, log) = first.wait();
    assert_eq!(code, Some(5), "{log}");
    assert!(
        log.contains("error: the session went to another device of the same user"),
        "{log}"
    );
}

#[test]
fn a_client_finds_back_to_a_restarted_server_and_takes_its_new_settings() {
    let world = world_or_skip!(World::secure(Outer::V4));
    world.edit("server.toml", "# [clients] ", "[clients] ");
    world.edit("server.toml", "# dns = ", "dns = ");
    world.edit(
        "server.toml",
        "# routes = [\"192.0.2.0/24\"]",
        "routes = [\"192.0.2.0/24\", \"2001:db8:2::/48\"]",
    );
    let Tunnel { server, mut client } = world.tunnel();
    let routes = |family| {
        world
            .client
            .run("ip", &[family, "route", "show", "dev", "sandhog0"])
    };
    assert!(routes("-4").contains("192.0.2.0/24"), "{}", routes("-4"));
    assert!(routes("-6").contains("2001:db8:2::/48"), "{}", routes("-6"));

    let (code, log) = server.terminate();
    assert_eq!(code, Some(0), "{log}");
    client.wait_for("status: reasserting");
    world.edit(
        "server.toml",
        "\"10.9.0.1/24\", \"fd00:9::1/64\"",
        "\"10.10.0.1/24\", \"fd00:9::5/64\"",
    );
    world.edit("server.toml", "\"192.0.2.0/24\", ", "\"198.51.100.0/24\", ");
    let _server = world.start_server();
    client.wait_for("addresses: 10.10.0.2/24, fd00:9::");
    client.wait_for("status: connected");
    for to in ["10.10.0.1", "fd00:9::5"] {
        ping_three_times(&world.client, to.parse().expect("an address"));
    }
    let (v4, v6) = (routes("-4"), routes("-6"));
    assert!(
        v4.contains("198.51.100.0/24") && !v4.contains("192.0.2.0/24"),
        "{v4}"
    );
    assert!(!v4.contains("10.9.0.0/24"), "{v4}");
    assert!(v6.contains("2001:db8:2::/48"), "{v6}");
    let (_, log) = client.terminate();
    assert!(
        log.contains("the server offers name servers, and `dns` is off: 10.9.0.1"),
        "{log}"
    );
}
