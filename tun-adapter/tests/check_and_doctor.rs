//! `sandhog check` and `sandhog doctor`: checks of a configuration file and of the machine.

use std::net::UdpSocket;

use crate::support::{Folder, KEY, sandhog, server_key_line, text};

const CLIENT: &str = concat!(
    "server = \"127.0.0.1:40404\"\nkey-file = \"key\"\nlogin = \"kean\"\n",
    server_key_line!()
);

#[test]
fn check_describes_a_valid_file() {
    let folder = Folder::with_users(&["alice", "kean"]);
    folder.write("client.toml", CLIENT);
    let expected = [
        ("server.toml", "server, secure profile, 2 users"),
        (
            "client.toml",
            "client, secure profile, user kean; will ask for the password",
        ),
    ];
    for (name, kind) in expected {
        let output = sandhog(&["check", &folder.name(name)], "");
        assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
        assert_eq!(
            folder.strip(&text(&output.stdout)),
            format!("{name}: valid: {kind}\n")
        );
    }
}

#[test]
fn check_reports_the_same_error_as_a_start() {
    let folder = Folder::with_users(&["kean"]);
    folder.write("client.toml", &CLIENT.replace("login", "logn"));
    folder.write("short", "c2hvcnQ=\n");
    folder.write(
        "server.toml",
        &folder.read("server.toml").replace("\"key\"", "\"short\""),
    );
    for (role, name) in [("client", "client.toml"), ("server", "server.toml")] {
        let checked = sandhog(&["check", &folder.name(name)], "");
        let started = sandhog(&[role, "--config", &folder.name(name)], "");
        assert_eq!(checked.status.code(), Some(2));
        assert_eq!(started.status.code(), Some(2));
        assert_eq!(text(&checked.stderr), text(&started.stderr));
        assert!(checked.stdout.is_empty());
    }
}

#[test]
fn check_warns_of_world_readable_secrets_and_exits_with_0() {
    let folder = Folder::with_users(&["kean"]);
    folder.permit("key", 0o644);
    let output = sandhog(&["check", &folder.name("server.toml")], "");
    assert_eq!(output.status.code(), Some(0));
    let said = folder.strip(&text(&output.stdout));
    assert!(
        said.contains("\nwarning: key contains secrets, and every user"),
        "{said}"
    );
}

#[test]
fn check_rejects_a_file_of_neither_role_or_both_roles() {
    let folder = Folder::new();
    folder.write("neither.toml", "login = \"kean\"\n");
    folder.write("both.toml", &format!("listen = \"0.0.0.0:1\"\n{CLIENT}"));
    for (name, has) in [
        ("neither.toml", "neither `listen` nor"),
        ("both.toml", "both `listen` and"),
    ] {
        let output = sandhog(&["check", &folder.name(name)], "");
        assert_eq!(output.status.code(), Some(2));
        let said = folder.strip(&text(&output.stderr));
        assert!(
            said.starts_with(&format!("error: {name} has {has} `server`\nhelp: ")),
            "{said}"
        );
    }
}

#[test]
fn check_suggests_the_key_that_was_misspelt() {
    let folder = Folder::new();
    for (old, new) in [("listen", "listne"), ("server", "sever")] {
        folder.write(
            "typo.toml",
            &format!("# A comment.\n{new} = \"192.0.2.1:40404\"\n"),
        );
        let output = sandhog(&["check", &folder.name("typo.toml")], "");
        assert_eq!(output.status.code(), Some(2));
        assert_eq!(
            folder.strip(&text(&output.stderr)),
            format!("error: typo.toml:2:1: unknown key `{new}`\nhelp: did you mean `{old}`?\n")
        );
    }
}

#[test]
fn doctor_prints_one_line_for_each_part_of_the_machine() {
    let output = sandhog(&["doctor"], "");
    let said = text(&output.stdout);
    for subject in [
        "TUN driver",
        "privileges",
        "clock",
        "IPv6",
        "receive buffers",
        "nftables",
        "DNS",
    ] {
        let lines = said.lines().filter(|line| {
            let (level, rest) = line.split_at(6.min(line.len()));
            ["ok    ", "warn  ", "FAIL  "].contains(&level) && rest.starts_with(&format!("{subject}: "))
        });
        assert_eq!(lines.count(), 1, "{subject}: {said}");
    }
    let fails = said.lines().any(|line| line.starts_with("FAIL"));
    assert_eq!(output.status.code(), Some(i32::from(fails)), "{said}");
}

#[test]
fn doctor_reports_a_port_that_is_in_use() {
    let socket = UdpSocket::bind("127.0.0.1:0").expect("a free port");
    let address = socket.local_addr().expect("a bound socket").to_string();
    let folder = Folder::with_users(&["kean"]);
    let config = folder.read("server.toml").replace("0.0.0.0:40404", &address);
    folder.write(
        "server.toml",
        &config.replace("[device]", "[device]\nname = \"sandhog-doctor\""),
    );
    let output = sandhog(&["doctor", "--config", &folder.name("server.toml")], "");
    let said = text(&output.stdout);
    assert_eq!(output.status.code(), Some(1), "{said}");
    assert!(
        said.contains(&format!(
            "FAIL  port: cannot listen on UDP {address}: Address already in use"
        )),
        "{said}"
    );
    assert!(
        said.contains("\n      help: another program uses this port"),
        "{said}"
    );
    assert!(
        said.contains("ok    device name: sandhog-doctor is free"),
        "{said}"
    );
}

#[test]
fn doctor_checks_the_route_to_the_server_and_reports_errors_in_the_file() {
    let folder = Folder::new();
    folder.write("key", KEY);
    folder.write("client.toml", CLIENT);
    let output = sandhog(&["doctor", "--config", &folder.name("client.toml")], "");
    let said = text(&output.stdout);
    assert!(
        said.contains("ok    route to the server: source address 127.0.0.1"),
        "{said}"
    );
    assert!(said.contains("ok    MTU to the server: 6553"), "{said}");

    folder.write("client.toml", &CLIENT.replace("login", "logn"));
    let output = sandhog(&["doctor", "--config", &folder.name("client.toml")], "");
    let said = folder.strip(&text(&output.stdout));
    assert_eq!(output.status.code(), Some(1));
    assert!(
        said.contains("FAIL  configuration: client.toml:3:1: unknown key `logn`"),
        "{said}"
    );
}
