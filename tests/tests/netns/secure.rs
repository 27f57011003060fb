//! Secure profile, with the files of `sandhog init` and `sandhog user`. Clients get their settings from the
//! server.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;

use super::ping_three_times;
use super::transfer::transfer_both_ways;
use super::tunnel::{CLIENT_INNER, KEY, Outer, PASSWORD, SERVER_INNER, Testbed, Tunnel, USER};

#[test]
fn pings_of_both_families_pass_between_addresses_assigned_by_the_server() {
    let testbed = testbed_or_skip!(Testbed::secure(Outer::V4));
    let tunnel = testbed.tunnel();
    for to in SERVER_INNER {
        ping_three_times(&testbed.client, to);
    }
    for to in CLIENT_INNER {
        ping_three_times(&testbed.server, to);
    }
    let (server_log, client_log) = tunnel.stop();
    let packets = "received: 12 packets, 1128 bytes; sent: 12 packets, 1128 bytes";
    for log in [&server_log, &client_log] {
        assert!(log.contains(packets) && log.contains("dropped: none"), "{log}");
        assert!(!log.contains("INSECURE"), "{log}");
    }
    assert!(server_log.contains("session of kean ended: bye"), "{server_log}");
}

#[test]
fn tcp_data_arrives_unchanged_and_is_unreadable_outside() {
    let testbed = testbed_or_skip!(Testbed::secure(Outer::V4));
    let _tunnel = testbed.tunnel();
    transfer_both_ways(&testbed);
}

#[test]
fn a_wrong_password_exits_with_3_and_is_not_logged() {
    let testbed = testbed_or_skip!(Testbed::secure(Outer::V4));
    testbed.write("password", "not the battery staple\n");
    let server = testbed.start_server();
    let (code, client_log) = testbed.spawn_client().wait();
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
fn a_client_with_another_key_gets_no_reply_and_exits_with_4() {
    let testbed = testbed_or_skip!(Testbed::secure(Outer::V4));
    let mut server = testbed.start_server();
    testbed.write("other.key", "c2FuZGhvZyB0ZXN0cyBpbiBuYW1lc3BhY2VzIG9ubHk=\n");
    testbed.edit("client.toml", "\"sandhog.key\"", "\"other.key\"");
    let (code, log) = testbed.spawn_client_once().wait();
    assert_eq!(code, Some(4), "{log}");
    server.wait_for("dropped a packet: authentication-failed");
    let (_, log) = server.terminate();
    assert!(
        log.contains("datagrams received: ") && log.contains(", sent: 0;"),
        "{log}"
    );
}

#[test]
fn a_client_that_starts_before_its_server_connects_once_the_server_runs() {
    let testbed = testbed_or_skip!(Testbed::secure(Outer::V4));
    let mut client = testbed.spawn_client();
    client.wait_for(
        "login failed: the server did not answer in time; will retry; help: check that the server is running",
    );
    let _server = testbed.start_server();
    client.wait_for("ready: ");
    ping_three_times(&testbed.client, SERVER_INNER[0]);
}

#[test]
fn a_disabled_user_loses_the_session_on_sighup_and_can_log_in_when_enabled() {
    let testbed = testbed_or_skip!(Testbed::secure(Outer::V4));
    let Tunnel {
        mut server,
        mut client,
    } = testbed.tunnel();
    testbed.user(&["disable", USER], "");
    ping_three_times(&testbed.client, SERVER_INNER[0]);
    server.send_sighup();
    server.wait_for("session of kean ended: removed");
    client.wait_for("login failed: the account is disabled");
    let lost = testbed
        .client
        .run_to_failure("ping", &["-c", "1", "-W", "1", &SERVER_INNER[0].to_string()]);
    assert!(lost.contains("100% packet loss"), "{lost}");
    let (code, log) = client.terminate();
    assert_eq!(code, Some(0), "{log}");

    let (code, log) = testbed.spawn_client().wait();
    assert_eq!(code, Some(3), "{log}");
    assert!(log.contains("error: the account is disabled\nhelp: "), "{log}");

    testbed.user(&["enable", USER], "");
    server.send_sighup();
    server.wait_for("users: 1");
    let _client = testbed.start_client();
    ping_three_times(&testbed.client, SERVER_INNER[0]);
}

#[test]
fn a_user_changes_the_password_and_the_old_one_is_rejected() {
    let testbed = testbed_or_skip!(Testbed::secure(Outer::V4));
    let mut server = testbed.start_server();
    let before = fs::read_to_string(testbed.path("users")).expect("the users");
    let config = testbed.path("client.toml").display().to_string();
    let passwd = ["passwd", "--config", &config, "--password-stdin"];
    let (code, printed) = testbed
        .client
        .enter(|| testbed.try_sandhog(&passwd, "battery staple\n"));
    assert_eq!(code, Some(0), "{printed}");
    server.wait_for("kean changed the password");
    let after = fs::read_to_string(testbed.path("users")).expect("the users");
    assert_ne!(after, before);
    assert_eq!(
        tickets(&testbed).len(),
        1,
        "the ticket for the new password is kept"
    );

    let (code, log) = testbed.spawn_client().wait();
    assert_eq!(code, Some(3), "{log}");
    testbed.write("password", "battery staple\n");
    let _client = testbed.start_client();
    ping_three_times(&testbed.client, SERVER_INNER[0]);
}

#[test]
fn an_expired_user_is_rejected_with_code_3_and_the_reason() {
    let testbed = testbed_or_skip!(Testbed::secure(Outer::V4));
    testbed.user(&["remove", USER], "");
    testbed.user(
        &["add", "--password-stdin", "--expires", "2020-01-01", USER],
        PASSWORD,
    );
    let _server = testbed.start_server();
    let (code, log) = testbed.spawn_client().wait();
    assert_eq!(code, Some(3), "{log}");
    assert!(log.contains("error: the account has expired\nhelp: "), "{log}");
}

#[test]
fn sighup_loads_a_user_with_a_fixed_address_and_unlocks_a_user() {
    let testbed = testbed_or_skip!(Testbed::secure(Outer::V4));
    let Tunnel {
        mut server,
        mut client,
    } = testbed.tunnel();
    testbed.user(
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
    testbed.user(&["unlock", USER], "");
    server.send_sighup();
    server.wait_for("kean is unlocked");
    server.wait_for("users: 2");
    assert!(!testbed.path("users.unlock").exists());
    let (code, _) = client.terminate();
    assert_eq!(code, Some(0));
    testbed.edit("client.toml", "\"kean\"", "\"alice\"");
    client = testbed.start_client();
    ping_three_times(&testbed.server, "10.9.0.77".parse().expect("an address"));
    let (_, log) = client.terminate();
    assert!(log.contains("addresses: 10.9.0.77/24, fd00:9::"), "{log}");
}

#[test]
fn without_a_mark_a_route_that_contains_the_server_exits_with_2() {
    let testbed = testbed_or_skip!(Testbed::secure(Outer::V4));
    testbed.edit("client.toml", "dns = \"off\"", "dns = \"off\"\nfwmark = 0");
    testbed.edit("server.toml", "# [clients] ", "[clients] ");
    testbed.edit(
        "server.toml",
        "# routes = [\"192.0.2.0/24\"]",
        "routes = [\"198.18.0.0/16\"]",
    );
    let mut server = testbed.start_server();
    let (code, log) = testbed.spawn_client().wait();
    assert_eq!(code, Some(2), "{log}");
    assert!(
        log.contains(
            "error: 198.18.0.0/16 would route the datagrams to the server 198.18.0.1 into the tunnel"
        ),
        "{log}"
    );
    server.wait_for("session of kean ended: bye");
}

#[test]
fn a_damaged_file_with_users_is_rejected_on_sighup_and_the_old_users_stay() {
    let testbed = testbed_or_skip!(Testbed::secure(Outer::V4));
    let Tunnel { mut server, client } = testbed.tunnel();
    let users = fs::read_to_string(testbed.path("users")).expect("the users");
    let cut = users.replace("{\"end\":1}\n", "");
    fs::write(testbed.path("users"), &cut).expect("the test folder");
    server.send_sighup();
    server.wait_for("nothing reloaded, keeping the old users and keys: ");
    ping_three_times(&testbed.client, SERVER_INNER[0]);
    let (code, _) = client.terminate();
    assert_eq!(code, Some(0));
    let _client = testbed.start_client();
    assert_eq!(fs::read_to_string(testbed.path("users")).expect("the users"), cut);
    let (_, log) = server.terminate();
    assert!(
        log.contains("users:3: the last line is missing or has the wrong number of users"),
        "{log}"
    );
}

#[test]
fn a_login_on_another_device_ends_the_first_client_with_code_5() {
    let testbed = testbed_or_skip!(Testbed::secure(Outer::V4));
    let _server = testbed.start_server();
    let first = testbed.start_client();
    let second = fs::read_to_string(testbed.path("client.toml")).expect("a file of the test");
    testbed.write(
        "second.toml",
        &format!("{second}\n[device]\nname = \"sandhog1\"\n"),
    );
    let mut second = testbed.spawn(&testbed.client, "client", "second.toml");
    second.wait_for("ready: ");
    let (code, log) = first.wait();
    assert_eq!(code, Some(5), "{log}");
    assert!(
        log.contains("error: the session went to another device of the same user"),
        "{log}"
    );
}

#[test]
fn a_client_logs_in_to_a_restarted_server_again_and_applies_new_settings() {
    let testbed = testbed_or_skip!(Testbed::secure(Outer::V4));
    testbed.edit("server.toml", "# [clients] ", "[clients] ");
    testbed.edit("server.toml", "# dns = ", "dns = ");
    testbed.edit(
        "server.toml",
        "# routes = [\"192.0.2.0/24\"]",
        "routes = [\"192.0.2.0/24\", \"2001:db8:2::/48\"]",
    );
    let Tunnel { server, mut client } = testbed.tunnel();
    let routes = |family| {
        testbed
            .client
            .run("ip", &[family, "route", "show", "dev", "sandhog0"])
    };
    assert!(routes("-4").contains("192.0.2.0/24"), "{}", routes("-4"));
    assert!(routes("-6").contains("2001:db8:2::/48"), "{}", routes("-6"));

    let (code, log) = server.terminate();
    assert_eq!(code, Some(0), "{log}");
    client.wait_for("status: reasserting");
    testbed.edit(
        "server.toml",
        "\"10.9.0.1/24\", \"fd00:9::1/64\"",
        "\"10.10.0.1/24\", \"fd00:9::5/64\"",
    );
    testbed.edit("server.toml", "\"192.0.2.0/24\", ", "\"198.51.100.0/24\", ");
    let _server = testbed.start_server();
    client.wait_for("addresses: 10.10.0.2/24, fd00:9::");
    client.wait_for("status: connected");
    for to in ["10.10.0.1", "fd00:9::5"] {
        ping_three_times(&testbed.client, to.parse().expect("an address"));
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
        log.contains("name servers of the server are not used, because `dns` is \"off\": 10.9.0.1"),
        "{log}"
    );
}

#[test]
fn a_client_with_the_key_of_another_server_exits_with_3_and_names_both_commands() {
    let testbed = testbed_or_skip!(Testbed::secure(Outer::V4));
    let server = testbed.start_server();
    let key = |file: &str| {
        let text = fs::read_to_string(testbed.path(file)).expect("a file of the test");
        let line = text.lines().find(|line| line.starts_with("server-key = "));
        line.expect("the server's key").to_owned()
    };
    let other = testbed.path("other").display().to_string();
    let (code, printed) = testbed.try_sandhog(&["init", "--folder", &other], "");
    assert_eq!(code, Some(0), "{printed}");
    testbed.edit("client.toml", &key("client.toml"), &key("other/client.toml"));
    let (code, log) = testbed.spawn_client().wait();
    assert_eq!(code, Some(3), "{log}");
    let said = "error: the server has another key than the configuration\nhelp: ";
    assert!(log.contains(said) && log.contains("`sandhog status`"), "{log}");
    let (_, log) = server.terminate();
    assert!(!log.contains("logged in"), "{log}");
}

/// The stored tickets of the client.
fn tickets(testbed: &Testbed) -> Vec<PathBuf> {
    let files = fs::read_dir(testbed.runtime_folder(&testbed.client)).expect("the test folder");
    let paths = files.map(|file| file.expect("an entry").path());
    paths
        .filter(|path| path.extension().is_some_and(|ending| ending == "ticket"))
        .collect()
}

#[test]
fn a_client_keeps_its_ticket_and_ignores_a_damaged_one() {
    let testbed = testbed_or_skip!(Testbed::secure(Outer::V4));
    let _server = testbed.start_server();
    assert!(tickets(&testbed).is_empty());
    let (_, log) = testbed.start_client().terminate();
    assert!(!log.contains("ticket"), "{log}");
    let [ticket] = tickets(&testbed).try_into().expect("one ticket");
    let stored = fs::read_to_string(&ticket).expect("a ticket");
    assert_eq!(stored.len(), 45, "{stored}");
    let mode = fs::metadata(&ticket).expect("a ticket").permissions().mode();
    assert_eq!(mode & 0o777, 0o600);

    fs::write(&ticket, "damaged").expect("the test folder");
    let (code, log) = testbed.start_client().terminate();
    assert_eq!(code, Some(0), "{log}");
    assert!(log.contains("ignoring the stored ticket"), "{log}");
    assert_eq!(fs::read_to_string(&ticket).expect("a ticket").len(), 45);
}

/// The reply of the server to `sandhog reload`.
fn reload(testbed: &Testbed) -> (Option<i32>, String) {
    let (code, stdout, stderr) = testbed.query(&testbed.server, &["reload"]);
    (code, stdout + &stderr)
}

#[test]
fn reload_changes_the_key_of_a_server_while_sessions_go_on() {
    let testbed = testbed_or_skip!(Testbed::secure(Outer::V4));
    let Tunnel { server, client } = testbed.tunnel();
    let done = (Some(0), "sandhog0: 1 user\n".to_owned());
    let [old, new] = ["\"sandhog.key\"", "\"new.key\""];
    testbed.write("new.key", &format!("{KEY}\n"));
    let names = format!("\nkey-file = {new}\nsecond-key-file = {old}");
    testbed.edit("server.toml", &format!("\nkey-file = {old}"), &names);
    assert_eq!(reload(&testbed), done);
    ping_three_times(&testbed.client, SERVER_INNER[0]);
    client.terminate();
    testbed.edit("client.toml", old, new);
    testbed.start_client().terminate();
    testbed.edit("client.toml", new, old);
    let client = testbed.start_client();

    // Now the old key opens no session, but its sessions stay.
    testbed.edit("server.toml", &format!("\nsecond-key-file = {old}"), "");
    assert_eq!(reload(&testbed), done);
    ping_three_times(&testbed.client, SERVER_INNER[0]);
    client.terminate();
    let (_, log) = testbed.spawn_client_once().wait();
    assert!(
        log.contains("error: the server did not answer in time\n"),
        "{log}"
    );
    testbed.edit("client.toml", old, new);
    testbed.start_client().terminate();
    server.terminate();
}

#[test]
fn reload_keeps_users_and_keys_if_a_key_file_has_an_error() {
    let testbed = testbed_or_skip!(Testbed::secure(Outer::V4));
    let mut server = testbed.start_server();
    testbed.user(&["add", "--password-stdin", "alice"], PASSWORD);
    testbed.edit(
        "server.toml",
        "\nkey-file = \"sandhog.key\"",
        "\nkey-file = \"new.key\"",
    );
    let (code, printed) = reload(&testbed);
    assert_eq!(code, Some(2), "{printed}");
    assert!(
        printed.contains("server.toml:") && printed.contains("new.key"),
        "{printed}"
    );
    server.wait_for("nothing reloaded, keeping the old users and keys: ");
    let client = testbed.start_client();
    ping_three_times(&testbed.client, SERVER_INNER[0]);
    client.terminate();
    server.terminate();
}

#[test]
fn reload_reads_files_that_only_another_user_may_read() {
    let testbed = testbed_or_skip!(Testbed::secure(Outer::V4));
    for name in ["server.toml", "sandhog.key"] {
        let path = testbed.path(name);
        std::os::unix::fs::chown(&path, Some(65_534), None).expect("root may");
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).expect("root may");
    }
    let server = testbed.start_server();
    assert_eq!(reload(&testbed), (Some(0), "sandhog0: 1 user\n".to_owned()));
    server.terminate();
}

#[test]
fn while_the_key_is_changed_clients_with_the_old_and_the_new_one_log_in() {
    let testbed = testbed_or_skip!(Testbed::secure(Outer::V4));
    testbed.write("new.key", &format!("{KEY}\n"));
    testbed.edit(
        "server.toml",
        "\nkey-file = \"sandhog.key\"",
        "\nkey-file = \"new.key\"\nsecond-key-file = \"sandhog.key\"",
    );
    let _server = testbed.start_server();
    let log_in = || {
        let client = testbed.start_client();
        ping_three_times(&testbed.client, SERVER_INNER[0]);
        client.terminate();
    };
    log_in();
    testbed.edit("client.toml", "\"sandhog.key\"", "\"new.key\"");
    log_in();
}
