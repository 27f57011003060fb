//! Keys of the configuration files for the server's identity, tickets, a second pre-shared key, and clocks.

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use sandhog::config::secure::ClockCheck;
use sandhog_proto::secure::{ServerConfig, WallClock};

use crate::secure_configuration::{
    CLIENT, check_client, check_server, check_server_with, folder, load_client, load_server,
};
use crate::support::{KEY, SERVER, server_key_line, setup};

/// The advice for each problem with a server's key.
const COPY_IT: &str = "help: copy it from the profile that `sandhog profile` writes on the server";

#[test]
fn a_profile_without_a_server_key_is_rejected_with_the_way_to_get_it() {
    check_client(
        (server_key_line!(), ""),
        &format!("error: client.toml:1:1: missing key `server-key`\n{COPY_IT}"),
    );
}

#[test]
fn an_invalid_server_key_is_rejected_with_its_position() {
    let key = server_key_line!().trim_start_matches("server-key = ").trim_end();
    for wrong in ["\"\"", "\"c2hvcnQ=\"", "\"not base64\"", &key.replace("==", "")] {
        check_client(
            (key, wrong),
            &format!("error: client.toml:6:14: the server key is not 88 characters of base64\n{COPY_IT}"),
        );
    }
    check_client(
        (key, "1"),
        "error: client.toml:6:14: invalid type: integer `1`, expected a string",
    );
}

#[test]
fn the_key_of_a_server_is_accepted_in_a_profile() {
    let folder = folder();
    let key = setup().server_key();
    let line = format!("server-key = \"{}\"\n", key.to_base64());
    folder.write("client.toml", &CLIENT.replace(server_key_line!(), &line));
    assert_eq!(load_client(&folder).expect("a valid file").server_key, key);
}

#[test]
fn a_ticket_is_optional_and_an_invalid_one_is_rejected_without_showing_it() {
    let folder = folder();
    assert_eq!(load_client(&folder).expect("a valid file").ticket, None);
    let text = BASE64_STANDARD.encode([0x5a; 32]);
    folder.write("client.toml", &format!("ticket = \"{text}\"\n{CLIENT}"));
    let client = load_client(&folder).expect("a valid file");
    assert_eq!(client.ticket.map(|ticket| ticket.bytes()), Some([0x5a; 32]));
    assert!(!format!("{client:?}").contains(&text[..8]));
    for wrong in ["", "c2hvcnQ=", "not base64", &text[..40]] {
        check_client(
            ("login", &format!("ticket = \"{wrong}\"\nlogin")),
            "error: client.toml:3:10: the ticket is not 44 characters of base64\n\
             help: copy it from the profile that `sandhog profile` writes, or remove it: it is optional",
        );
    }
}

/// The configuration for the protocol of a server whose file has these lines at its beginning.
fn protocol_with(lines: &str) -> ServerConfig {
    let folder = folder();
    folder.write("key2", "c2FuZGhvZyB0ZXN0cyBpbiBuYW1lc3BhY2VzIG9ubHQ=\n");
    folder.write("server.toml", &format!("{lines}{SERVER}"));
    let server = load_server(&folder).expect("a valid file");
    let clock = WallClock::new(sandhog_proto::Instant::ZERO, 1);
    server.protocol([0; 32], Some(clock))
}

#[test]
fn a_server_has_one_pre_shared_key_unless_the_file_names_a_second_one() {
    assert!(protocol_with("").second_psk.is_none());
    let both = protocol_with("second-key-file = \"key2\"\n");
    assert!(both.second_psk.is_some_and(|second| second != both.psk));
}

#[test]
fn two_equal_pre_shared_keys_are_rejected_with_both_files() {
    let folder = folder();
    folder.write("key2", KEY);
    folder.write(
        "server.toml",
        &SERVER.replace("setup-file", "second-key-file = \"key2\"\nsetup-file"),
    );
    let failure = load_server(&folder).expect_err("equal keys");
    assert_eq!(
        folder.printed(&failure),
        "error: server.toml:3:19: key (key-file) and key2 (second-key-file) have the same key\n\
         help: remove `second-key-file`, or write a new key into one of the files: `openssl rand -base64 32`"
    );
}

#[test]
fn a_missing_or_invalid_second_key_is_rejected_like_the_first_one() {
    let line = ("setup-file", "second-key-file = \"nowhere\"\nsetup-file");
    check_server(
        line,
        "error: server.toml:3:19: second-key-file: cannot read nowhere: No such file or directory (os error 2)",
    );
    let line = ("setup-file", "second-key-file = \"users\"\nsetup-file");
    check_server(
        line,
        "error: users:1:1: the pre-shared key is not standard base64 with padding: make one with `openssl rand -base64 32`",
    );
}

#[test]
fn a_server_checks_the_clocks_of_clients_unless_the_file_says_otherwise() {
    for (line, checks) in [
        ("", true),
        ("clock = \"checked\"\n", true),
        ("clock = \"unchecked\"\n", false),
    ] {
        let config = protocol_with(line);
        assert_eq!(
            (config.checks_clock, config.clock.is_some()),
            (checks, true),
            "{line}"
        );
    }
    assert_eq!(
        load_server(&folder()).expect("a valid file").clock,
        ClockCheck::Checked
    );
    check_server(
        ("key-file", "clock = \"unchekced\"\nkey-file"),
        "error: server.toml:2:9: `unchekced`: expected `checked` or `unchecked`\nhelp: did you mean `unchecked`?",
    );
    check_server(
        ("key-file", "clock = false\nkey-file"),
        "error: server.toml:2:9: invalid type: boolean `false`, expected one of `checked`, `unchecked`",
    );
}

#[test]
fn a_setup_of_the_earlier_version_is_rejected_with_the_way_to_a_new_one() {
    let earlier = BASE64_STANDARD.encode([1; 126]);
    check_server_with(
        "setup",
        &format!("{{\"sandhog\":\"server-setup\",\"version\":1,\"setup\":\"{earlier}\"}}\n"),
        "error: setup:1:1: the server's setup is of an earlier version, without keys against quantum computers: make a new one \
         with `sandhog init`, and set the passwords of all users again",
    );
}
