//! Configuration files of the secure profile: values of valid files, and messages for invalid ones and for
//! the files that they name.

use std::fs;

use sandhog::config::secure::{Client, Server};
use sandhog::config::{self, Offload};
use sandhog::failure::Failure;
use sandhog::net::client::{Ipv6Outside, Mark, Options};
use sandhog::net::dns::Method;
use sandhog_proto::aead::Cipher;
use sandhog_proto::secure::{Suite, User, UserStore};

use crate::support::{Folder, KEY, SERVER, server_key_line, store, user};

pub(crate) const CLIENT: &str = concat!(
    r#"server = "vpn.example.com:40404"
key-file = "key"
login = "kean"
password-file = "password"
included-routes = ["198.51.100.0/24"]
"#,
    server_key_line!()
);

/// A folder with all files of a valid server and a valid client.
pub(crate) fn folder() -> Folder {
    let folder = Folder::with_users(&["alice", "kean"]);
    folder.write("client.toml", CLIENT);
    folder.write("password", "correct horse\n");
    folder
}

pub(crate) fn load_server(folder: &Folder) -> Result<Server, Failure> {
    match config::Server::load(&folder.path("server.toml"))? {
        config::Server::Secure(server) => Ok(*server),
        config::Server::Classic(server) => panic!("the wrong profile: {server:?}"),
    }
}

pub(crate) fn load_client(folder: &Folder) -> Result<Client, Failure> {
    match config::Client::load(&folder.path("client.toml"))? {
        config::Client::Secure(client) => Ok(*client),
        config::Client::Classic(client) => panic!("the wrong profile: {client:?}"),
    }
}

/// Replaces one file of a valid server and compares the error. Loading must not change the file.
#[track_caller]
pub(crate) fn check_server_with(name: &str, text: &str, expected: &str) {
    let folder = folder();
    folder.write(name, text);
    let failure = load_server(&folder).expect_err("an invalid file");
    assert_eq!(folder.printed(&failure), expected);
    assert_eq!(folder.read(name), text);
}

/// The same with one change in the server's configuration file.
#[track_caller]
pub(crate) fn check_server(change: (&str, &str), expected: &str) {
    assert!(SERVER.contains(change.0), "nothing to change");
    check_server_with("server.toml", &SERVER.replacen(change.0, change.1, 1), expected);
}

#[track_caller]
pub(crate) fn check_client(change: (&str, &str), expected: &str) {
    assert!(CLIENT.contains(change.0), "nothing to change");
    let folder = folder();
    folder.write("client.toml", &CLIENT.replacen(change.0, change.1, 1));
    let failure = load_client(&folder).expect_err("an invalid file");
    assert_eq!(folder.printed(&failure), expected);
}

#[test]
fn a_file_without_a_profile_uses_the_secure_one() {
    let folder = folder();
    let server = load_server(&folder).expect("a valid file");
    assert_eq!(server.listen.to_string(), "0.0.0.0:40404");
    assert_eq!(
        (server.device.name.as_str(), server.device.mtu),
        ("sandhog0", 1420)
    );
    let logins: Vec<_> = server.users.iter().map(|user| user.login.as_str()).collect();
    assert_eq!(logins, ["alice", "kean"]);
    assert_eq!(server.clients.routes[0].to_string(), "192.0.2.0/24");
    assert_eq!(server.clients.search, ["example.com"]);
    assert_eq!(server.clients.keepalive, 25);
    assert!(server.warnings.is_empty(), "{:?}", server.warnings);

    let client = load_client(&folder).expect("a valid file");
    assert_eq!(client.server.to_string(), "vpn.example.com:40404");
    assert_eq!(client.login.as_str(), "kean");
    assert_eq!(client.password.expect("a password").as_str(), "correct horse");
    assert_eq!(client.device.as_str(), "sandhog0");
    assert_eq!(client.network.included[0].to_string(), "198.51.100.0/24");
    assert!(client.warnings.is_empty(), "{:?}", client.warnings);
}

#[test]
fn the_secure_profile_may_be_named_and_clients_need_only_four_keys() {
    let folder = folder();
    folder.write("server.toml", &format!("profile = \"secure\"\n{SERVER}"));
    assert!(load_server(&folder).is_ok());
    let three: String = CLIENT.lines().take(3).map(|line| format!("{line}\n")).collect();
    folder.write("client.toml", &(three + server_key_line!()));
    let client = load_client(&folder).expect("a valid file");
    assert!(client.password.is_none() && client.network == Options::default());
}

#[test]
fn all_offload_features_are_on_unless_the_file_switches_them_off() {
    let folder = folder();
    let all = Offload::default();
    assert!(all.tun_segmentation && all.udp_segmentation && all.udp_coalescing);
    assert_eq!(load_server(&folder).expect("a valid file").offload, all);
    assert_eq!(load_client(&folder).expect("a valid file").offload, all);
    let less = "\n[offload]\ntun-segmentation = false\nudp-coalescing = false\n";
    folder.write("server.toml", &format!("{SERVER}{less}"));
    folder.write("client.toml", &format!("{CLIENT}{less}"));
    let expected = Offload {
        udp_segmentation: true,
        tun_segmentation: false,
        udp_coalescing: false,
    };
    assert_eq!(load_server(&folder).expect("a valid file").offload, expected);
    assert_eq!(load_client(&folder).expect("a valid file").offload, expected);
}

#[test]
fn an_invalid_or_well_known_key_is_rejected_with_the_reason() {
    let refused = |line: &str, reason: &str| {
        let expected =
            format!("error: key:1:1: the pre-shared key {reason}: make one with `openssl rand -base64 32`");
        check_server_with("key", line, &expected);
        let folder = folder();
        folder.write("key", line);
        let failure = load_client(&folder).expect_err("an invalid key");
        assert_eq!(folder.printed(&failure), expected);
    };
    refused("c2hvcnQ=\n", "has 5 bytes instead of 32");
    refused("", "has 0 bytes instead of 32");
    refused("what is this\n", "is not standard base64 with padding");
    refused("AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=\n", "is all zeros");
    refused(
        "KGiEbfJODclOCzUVfWXBO7Y/ohnEVxf7+RnwaAA1/78=\n",
        "is the published example that everyone knows",
    );
}

#[test]
fn users_of_another_version_are_rejected() {
    let text = store(&["kean"])
        .to_text()
        .replace("\"version\":1", "\"version\":2");
    check_server_with(
        "users",
        &text,
        "error: users:1: version 2 of the user store; this program supports version 1: use a newer program",
    );
}

#[test]
fn a_truncated_record_and_a_truncated_file_are_rejected_with_their_line() {
    let text = store(&["alice", "kean"]).to_text();
    let record = text
        .lines()
        .nth(2)
        .expect("kean")
        .split('"')
        .nth(7)
        .expect("a record");
    check_server_with(
        "users",
        &text.replace(record, &record[..200]),
        "error: users:3: the record of kean is damaged; restore it from a backup, or remove and add the user",
    );
    let cut = &text[..text.len() - "{\"end\":2}\n".len()];
    check_server_with(
        "users",
        cut,
        "error: users:4: the last line is missing or has the wrong number of users: part of the file is lost; \
         restore it from a backup, or correct the number if you removed a user by hand",
    );
}

#[test]
fn a_user_name_that_occurs_twice_is_rejected_with_its_line() {
    let text = store(&["alice", "kean"]).to_text();
    let kean = text.lines().nth(2).expect("kean");
    let twice = text
        .replace("{\"end\":2}", "{\"end\":3}")
        .replace(kean, &format!("{kean}\n{kean}"));
    check_server_with(
        "users",
        &twice,
        "error: users:4: a line above has the same user name, kean; remove one of them",
    );
}

#[test]
fn users_with_the_laboratory_suite_are_rejected() {
    let mut users = UserStore::new();
    let laboratory = User {
        suite: Suite::Laboratory,
        ..user("kean")
    };
    users.add(laboratory).expect("a first user");
    check_server_with(
        "users",
        &users.to_text(),
        "error: users: the record of kean was made for another suite: set the password again\n\
         help: a real server accepts only suite 1. `sandhog user passwd` converts kean to it",
    );
}

#[test]
fn a_missing_file_is_reported_with_the_line_that_names_it() {
    check_server(
        ("\"users\"", "\"nowhere\""),
        "error: server.toml:4:14: users-file: cannot read nowhere: No such file or directory (os error 2)\n\
        help: restore it from a backup; `sandhog init` creates an empty one for a new server",
    );
    check_server(
        ("\"setup\"", "\"nowhere\""),
        "error: server.toml:3:14: setup-file: cannot read nowhere: No such file or directory (os error 2)\n\
        help: restore it from a backup; `sandhog init` creates one for a new server, but with a new one no existing user \
         can log in",
    );
    check_client(
        ("\"password\"", "\"nowhere\""),
        "error: client.toml:4:17: password-file: cannot read nowhere: No such file or directory (os error 2)",
    );
}

#[test]
fn an_invalid_setup_is_rejected_and_not_printed() {
    check_server_with(
        "setup",
        KEY,
        "error: setup:1:1: not a server's setup; the file must begin with {\"sandhog\":\"server-setup\",\"version\":2,\"setup\":\"",
    );
}

#[test]
fn networks_without_addresses_for_clients_are_rejected() {
    check_server(
        ("10.9.0.1/24", "10.9.0.1/32"),
        "error: server.toml:6:1: 10.9.0.1/32: no address is left for clients; make the prefix shorter",
    );
    check_server(
        ("fd00:9::1/64", "10.8.0.1/24"),
        "error: server.toml:6:1: a server needs one inner address of its own, or one of each family: 10.9.0.1/24, \
         fd00::1/64",
    );
}

#[test]
fn invalid_settings_for_clients_are_rejected() {
    check_server(
        ("example.com", "exa mple"),
        "error: server.toml:9:1: a search domain is not a valid domain name",
    );
    check_server(
        ("dns = [", "keepalive = 601\ndns = ["),
        "error: server.toml:9:1: the keepalive is above 600 seconds",
    );
    check_server(
        ("192.0.2.0/24", "192.0.2.1/24"),
        "error: server.toml:10:11: 192.0.2.1/24 is an address, not a network\n\
         help: did you mean `192.0.2.0/24`?",
    );
}

#[test]
fn a_clients_network_settings_are_loaded() {
    let folder = folder();
    let more = "excluded-routes = [\"203.0.113.0/24\"]\nfwmark = 4660\nipv6-outside = \"leave\"\n\
                dns = \"resolvconf\"\nkill-switch = true\n";
    folder.write("client.toml", &format!("{CLIENT}{more}"));
    let network = load_client(&folder).expect("a valid file").network;
    assert_eq!(network.excluded[0].to_string(), "203.0.113.0/24");
    assert_eq!(network.mark, Mark::Number(4660));
    assert_eq!(network.ipv6_outside, Ipv6Outside::Leave);
    assert_eq!(network.dns, Method::Resolvconf);
    assert!(network.kill_switch);
}

#[test]
fn keys_that_need_a_firewall_mark_and_reserved_marks_are_rejected() {
    let login = "login = \"kean\"\n";
    let change = |more: &str| format!("{login}fwmark = {more}\n");
    check_client(
        (login, &change("254")),
        "error: client.toml:4:10: expected a mark above 255\n\
        help: the mark is also the number of a routing table, and numbers up to 255 are reserved by the system",
    );
    let help = "remove `fwmark`; the client then chooses a free mark";
    check_client(
        (login, &change("0\nkill-switch = true")),
        &format!(
            "error: client.toml:5:15: `kill-switch` needs a firewall mark, but `fwmark` is 0\nhelp: {help}"
        ),
    );
    check_client(
        (login, &change("0\nexcluded-routes = [\"10.1.0.0/16\"]")),
        &format!(
            "error: client.toml:5:20: `excluded-routes` needs a firewall mark, but `fwmark` is 0\nhelp: {help}"
        ),
    );
    check_client(
        (login, &format!("{login}dns = \"resolvctl\"\n")),
        "error: client.toml:4:7: `resolvctl`: expected one of `auto`, `resolvectl`, `resolvconf`, \
         `file`, `off`\nhelp: did you mean `resolvectl`?",
    );
}

#[test]
fn unknown_keys_and_invalid_values_are_reported_with_their_position() {
    let folder = folder();
    folder.write("server.toml", &SERVER.replacen("users-file", "user-file", 1));
    let failure = load_server(&folder).expect_err("an invalid file");
    assert_eq!(
        folder.printed(&failure),
        "error: server.toml:4:1: unknown key `user-file`\nhelp: did you mean `users-file`?",
    );
    check_client(
        ("\"kean\"", "\"Kean\""),
        "error: client.toml:3:9: 'K' is not allowed in a user name: use a to z, 0 to 9 and . _ @ -",
    );
    check_client(
        ("login = \"kean\"\n", ""),
        "error: client.toml:1:1: missing key `login`",
    );
    folder.write("password", "\n");
    let failure = load_client(&folder).expect_err("no password");
    assert_eq!(
        folder.printed(&failure),
        "error: password:1:1: the password is empty"
    );
}

#[test]
fn world_readable_secrets_cause_one_warning_per_file() {
    let folder = folder();
    for name in ["key", "setup", "users", "password", "server.toml"] {
        folder.permit(name, 0o644);
    }
    let named = |warnings: &[String]| {
        let names = warnings.iter().map(|warning| folder.strip(warning));
        let names = names.map(|warning| warning.split(' ').next().unwrap_or_default().to_owned());
        names.collect::<Vec<_>>()
    };
    let server = load_server(&folder).expect("a valid file");
    assert_eq!(named(&server.warnings), ["key", "setup", "users"]);
    let client = load_client(&folder).expect("a valid file");
    assert_eq!(named(&client.warnings), ["key", "password"]);
}

#[test]
fn debug_output_of_a_configuration_contains_no_secret() {
    let folder = folder();
    let client = format!("{:?}", load_client(&folder).expect("a valid file"));
    let server = format!("{:?}", load_server(&folder).expect("a valid file"));
    let setup = fs::read_to_string(folder.path("setup")).expect("the setup");
    let setup = setup.split('"').nth(9).expect("the secret");
    assert!(!client.contains("correct horse"), "{client}");
    for secret in [&setup[..12], "c2Fu", "seed"] {
        assert!(
            !server.contains(secret) && !client.contains(secret),
            "{secret}: {server} {client}"
        );
    }
}

/// The same with lines appended to the server's configuration file.
#[track_caller]
fn check_server_and(more: &str, place: &str, message: &str) {
    let text = format!("{SERVER}\n{more}");
    let line = text.lines().count() - more.lines().count() + 1;
    let expected = format!("error: server.toml:{line}:{place}: {message}\n");
    check_server_with("server.toml", &text, expected.trim_end());
}

#[test]
fn a_client_uses_its_keys_for_two_minutes_unless_the_file_says_less() {
    let folder = folder();
    let load = |line: &str| {
        folder.write(
            "client.toml",
            &format!("rekey-after = 30\n{CLIENT}").replace("rekey-after = 30", line),
        );
        load_client(&folder)
    };
    assert_eq!(load("").expect("a valid file").rekey_after.as_secs(), 120);
    assert_eq!(
        load("rekey-after = 11")
            .expect("a valid file")
            .rekey_after
            .as_secs(),
        11
    );
    for seconds in [10, 121] {
        let failure = load(&format!("rekey-after = {seconds}")).expect_err("too short or too long");
        assert!(
            failure.to_string().contains("expected 11 to 120 seconds"),
            "{failure}"
        );
    }
}

#[test]
fn forwarding_is_off_by_default() {
    let folder = folder();
    let server = load_server(&folder).expect("a valid file");
    assert!(!server.forwarding.is_enabled && !server.forwarding.masquerades && server.classic.is_none());
    folder.write(
        "server.toml",
        &format!("{SERVER}\n[forwarding]\nenabled = true\nmasquerade = true\n"),
    );
    let server = load_server(&folder).expect("a valid file");
    assert!(server.forwarding.is_enabled && server.forwarding.masquerades);
}

#[test]
fn masquerade_without_forwarding_is_rejected() {
    check_server_and(
        "[forwarding]\nmasquerade = true\n",
        "1",
        "`masquerade` has no effect without forwarding\n\
         help: add `enabled = true` to [forwarding]",
    );
}

/// The table `[classic]` for a second server in the same process.
pub(crate) const BESIDE: &str = r#"[classic]
listen = "0.0.0.0:40405"
key-file = "key"
[classic.device]
name = "classic0"
addresses = ["10.8.0.1/24"]
[[classic.users]]
login = "old"
password-hash = "$argon2id$v=19$m=8,t=1,p=1$c29tZXNhbHQ$nfV2eDwO7GHuPVTZGcM+yyZeMqkKRYDCiXAFjKKLlEM"
addresses = ["10.8.0.2"]
"#;

#[test]
fn the_classic_profile_can_run_next_to_the_secure_one() {
    let folder = folder();
    folder.write("server.toml", &format!("{SERVER}\n{BESIDE}"));
    let classic = load_server(&folder)
        .expect("a valid file")
        .classic
        .expect("both profiles");
    assert_eq!(classic.listen.to_string(), "0.0.0.0:40405");
    assert_eq!(classic.device.name.as_str(), "classic0");
    assert_eq!(classic.users[0].login, "old");
}

#[test]
fn the_two_profiles_must_not_share_a_port_a_device_or_a_network() {
    for (old, new, message) in [
        (
            "name = \"classic0\"",
            "name = \"sandhog0\"",
            "the secure profile already uses the device `sandhog0`\nhelp: use another `name` under [classic.device]",
        ),
        (
            "40405",
            "40404",
            "the secure profile already uses the port 40404\nhelp: use another port in `listen` under [classic]",
        ),
        (
            "10.8.0.1/24",
            "10.8.0.1/5",
            "the networks 10.8.0.1/5 and 10.9.0.1/24 overlap\nhelp: use other networks under [classic.device]",
        ),
    ] {
        check_server_and(&BESIDE.replace(old, new), "1", message);
    }
}

#[test]
fn both_sides_accept_known_ciphers_and_reject_unknown_ones() {
    let folder = folder();
    let read = |name: &str| {
        let line = format!("cipher = \"{name}\"\n");
        folder.write("client.toml", &(line.clone() + CLIENT));
        folder.write("server.toml", &(line + SERVER));
        (load_client(&folder), load_server(&folder))
    };
    for cipher in [Cipher::ChaCha20Poly1305, Cipher::Aes256Gcm] {
        let (client, server) = read(cipher.name());
        assert_eq!(client.expect("a valid file").cipher, cipher);
        assert_eq!(server.expect("a valid file").cipher, cipher);
    }
    let (client, server) = read("auto");
    let (client, server) = (client.expect("a valid file"), server.expect("a valid file"));
    assert_eq!(
        client.cipher, server.cipher,
        "`auto` gives the same cipher on one machine"
    );
    let (client, server) = read("aes-128-gcm");
    let failure = client.expect_err("an unknown cipher");
    let message = failure.message();
    assert!(
        message.contains("`auto`, `chacha20-poly1305`, `aes-256-gcm`"),
        "{message}"
    );
    server.expect_err("an unknown cipher");
}

#[test]
fn a_value_of_the_wrong_type_is_rejected_with_the_valid_names() {
    let login = "login = \"kean\"\n";
    for (value, found) in [
        ("1", "integer `1`"),
        ("true", "boolean `true`"),
        ("[\"auto\"]", "sequence"),
    ] {
        check_client(
            (login, &format!("{login}dns = {value}\n")),
            &format!(
                "error: client.toml:4:7: invalid type: {found}, expected one of `auto`, `resolvectl`, \
                 `resolvconf`, `file`, `off`"
            ),
        );
    }
    let folder = folder();
    for key in ["profile", "cipher", "ipv6-outside"] {
        folder.write("client.toml", &format!("{key} = 2026-11-27\n{CLIENT}"));
        let failure = load_client(&folder).expect_err("not a string");
        let message = failure.message();
        assert!(message.contains("expected one of `"), "{message}");
    }
}

#[test]
fn a_client_searches_for_the_path_mtu_by_default() {
    let folder = folder();
    for (line, searches) in [
        ("", true),
        ("mtu-search = true\n", true),
        ("mtu-search = false\n", false),
    ] {
        folder.write("client.toml", &format!("{line}{CLIENT}"));
        let client = load_client(&folder).expect("a valid file");
        assert_eq!(client.mtu_search, searches, "{line}");
    }
}
