//! Configuration files of the classic profile: values of valid files, and messages for invalid ones with
//! file, line, column and advice.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;

use sandhog::config;
use sandhog::config::classic::{Client, Server};
use sandhog::failure::{Exit, Failure};
use tempfile::TempDir;

const SERVER: &str = r#"profile = "classic"
listen = "0.0.0.0:40404"
key-file = "key"

[device]
name = "tunnel"
addresses = ["10.9.0.1/24", "fd00:9::1/64"]
mtu = 1400

[[users]]
login = "kean"
password-hash = "$argon2id$v=19$m=8,t=1,p=1$c29tZXNhbHQ$0qmmKtgDpaFG4MRRD8E0Og"
addresses = ["10.9.0.2", "fd00:9::2"]
"#;

const CLIENT: &str = r#"profile = "classic"
server = "vpn.example.com:40404"
key-file = "key"
login = "kean"
password-file = "password"
included-routes = ["192.0.2.0/24"]

[device]
addresses = ["10.9.0.2/24"]
"#;

/// A folder with a key and a password that only their owner can read.
fn folder() -> TempDir {
    let folder = tempfile::tempdir().expect("a folder");
    write(&folder, "key", "c2FuZGhvZyB0ZXN0cyBpbiBuYW1lc3BhY2VzIG9ubHk=\n");
    write(&folder, "password", "correct horse\n");
    folder
}

fn write(folder: &TempDir, name: &str, text: &str) {
    let path = folder.path().join(name);
    fs::write(&path, text).expect("the test folder");
    fs::set_permissions(&path, Permissions::from_mode(0o600)).expect("a file of the test");
}

fn load_server(folder: &TempDir, text: &str) -> Result<Server, Failure> {
    write(folder, "server.toml", text);
    match config::Server::load(&folder.path().join("server.toml"))? {
        config::Server::Classic(server) => Ok(*server),
        config::Server::Secure(server) => panic!("the wrong profile: {server:?}"),
    }
}

fn load_client(folder: &TempDir, text: &str) -> Result<Client, Failure> {
    write(folder, "client.toml", text);
    read_client(folder)
}

fn read_client(folder: &TempDir) -> Result<Client, Failure> {
    match config::Client::load(&folder.path().join("client.toml"))? {
        config::Client::Classic(client) => Ok(*client),
        config::Client::Secure(client) => panic!("the wrong profile: {client:?}"),
    }
}

/// The printed error, without the folder.
fn printed(folder: &TempDir, failure: &Failure) -> String {
    assert_eq!(failure.exit, Exit::Input);
    failure
        .to_string()
        .replace(&format!("{}/", folder.path().display()), "")
}

/// Changes one thing in a valid file and compares the error.
#[track_caller]
fn check_server(change: (&str, &str), expected: &str) {
    assert!(SERVER.contains(change.0), "nothing to change");
    let folder = folder();
    let failure = load_server(&folder, &SERVER.replacen(change.0, change.1, 1)).expect_err("an invalid file");
    assert_eq!(printed(&folder, &failure), expected);
}

#[track_caller]
fn check_client(change: (&str, &str), expected: &str) {
    assert!(CLIENT.contains(change.0), "nothing to change");
    let folder = folder();
    let failure = load_client(&folder, &CLIENT.replacen(change.0, change.1, 1)).expect_err("an invalid file");
    assert_eq!(printed(&folder, &failure), expected);
}

#[test]
fn a_valid_server_file_is_loaded() {
    let server = load_server(&folder(), SERVER).expect("a valid file");
    assert_eq!(server.listen.to_string(), "0.0.0.0:40404");
    assert_eq!((server.device.name.as_str(), server.device.mtu), ("tunnel", 1400));
    assert_eq!(server.device.addresses[1].to_string(), "fd00:9::1/64");
    assert_eq!(server.users[0].login, "kean");
    assert_eq!(server.users[0].addresses.len(), 2);
    assert!(server.warnings.is_empty(), "{:?}", server.warnings);
}

#[test]
fn a_valid_client_file_is_loaded_and_other_settings_have_defaults() {
    let client = load_client(&folder(), CLIENT).expect("a valid file");
    assert_eq!(
        (client.server.host.as_str(), client.server.port),
        ("vpn.example.com", 40404)
    );
    assert_eq!(
        (client.login.as_str(), client.password.as_str()),
        ("kean", "correct horse")
    );
    assert_eq!(
        (client.device.name.as_str(), client.device.mtu),
        ("sandhog0", 1420)
    );
    assert_eq!(client.included_routes[0].to_string(), "192.0.2.0/24");
    assert!(client.warnings.is_empty(), "{:?}", client.warnings);
}

#[test]
fn an_unknown_key_is_reported_with_its_position_and_a_suggestion() {
    check_server(
        ("listen =", "lisen ="),
        "error: server.toml:2:1: unknown key `lisen`\nhelp: did you mean `listen`?",
    );
    check_client(
        ("addresses =", "adresses ="),
        "error: client.toml:9:1: unknown key `adresses`\nhelp: did you mean `addresses`?",
    );
}

#[test]
fn an_unknown_key_without_a_similar_one_is_reported_with_all_valid_keys() {
    check_client(
        ("login =", "zzz ="),
        "error: client.toml:4:1: unknown key `zzz`\nhelp: the valid keys are `profile`, `server`, `key`, `key-file`, `login`, \
         `password`, `password-file`, `device`, `included-routes`, `metrics`",
    );
}

#[test]
fn the_insecure_profile_must_be_named() {
    let folder = folder();
    let failure = load_server(&folder, &SERVER.replacen("profile = \"classic\"\n", "", 1))
        .expect_err("an invalid file");
    assert_eq!(
        printed(&folder, &failure),
        "error: server.toml:9:3: unknown key `users`\n\
         help: this looks like a file of the classic profile, which is insecure and must be named: `profile = \"classic\"`",
    );
    check_client(
        ("profile = \"classic\"\n", ""),
        "error: client.toml:8:1: unknown key `addresses`\n\
         help: this looks like a file of the classic profile, which is insecure and must be named: `profile = \"classic\"`",
    );
    check_server(
        ("classic", "clasic"),
        "error: server.toml:1:11: `clasic`: expected `secure` or `classic`\n\
         help: did you mean `classic`?",
    );
}

#[test]
fn an_invalid_value_is_reported_with_the_expected_format() {
    check_server(
        ("0.0.0.0:40404", "0.0.0.0"),
        "error: server.toml:2:10: `0.0.0.0`: expected an address with a port such as 0.0.0.0:40404 or [::]:40404",
    );
    check_server(
        ("10.9.0.1/24", "10.9.0.1/33"),
        "error: server.toml:7:14: `10.9.0.1/33`: expected an address with a prefix length such as 10.9.0.2/24 or \
         fd00:9::2/64",
    );
    check_server(
        ("mtu = 1400", "mtu = 80000"),
        "error: server.toml:8:7: invalid value: integer `80000`, expected a number of bytes from 1280 to 65478",
    );
    check_server(
        ("mtu = 1400", "mtu = \"1400\""),
        "error: server.toml:8:7: invalid type: string \"1400\", expected a number of bytes from 1280 to 65478",
    );
    check_server(
        ("\"tunnel\"", "\"a tunnel\""),
        "error: server.toml:6:8: `a tunnel`: expected a device name of 1 to 15 letters, digits, `-`, `_` or `.`, such \
         as sandhog0",
    );
    check_client(
        ("vpn.example.com:40404", "2001:db8::1"),
        "error: client.toml:2:10: `2001:db8::1`: expected a host and a port such as vpn.example.com:40404 or \
         [2001:db8::1]:40404",
    );
    check_client(
        ("192.0.2.0/24", "192.0.2.1/24"),
        "error: client.toml:6:20: 192.0.2.1/24 is an address, not a network\n\
         help: did you mean `192.0.2.0/24`?",
    );
}

#[test]
fn invalid_toml_is_reported_with_its_position() {
    check_server(
        ("[[users]]", "[[users]"),
        "error: server.toml:10:9: unclosed array table, expected `]`",
    );
}

#[test]
fn users_that_conflict_with_each_other_or_the_device_are_rejected() {
    check_server(
        ("\"10.9.0.2\"", "\"10.8.0.2\""),
        "error: server.toml:13:14: 10.8.0.2 is not in a network of the device (10.9.0.1/24, fd00:9::1/64)\n\
         help: use an address from one of these networks, or shorten a prefix under [device]",
    );
    check_server(
        ("\"10.9.0.2\"", "\"10.9.0.1\""),
        "error: server.toml:13:14: 10.9.0.1 is the server's own address",
    );
    let user = &SERVER[SERVER.find("[[users]]").expect("a user")..];
    let twice = |change: (&str, &str)| {
        let folder = folder();
        let failure = load_server(
            &folder,
            &format!("{SERVER}{}", user.replacen(change.0, change.1, 1)),
        );
        printed(&folder, &failure.expect_err("an invalid file"))
    };
    assert_eq!(
        twice(("", "")),
        "error: server.toml:15:9: the user `kean` is listed twice"
    );
    assert_eq!(
        twice(("kean", "ann")),
        "error: server.toml:17:14: 10.9.0.2 already belongs to the user `kean`"
    );
}

#[test]
fn a_password_in_place_of_its_hash_is_not_printed() {
    check_server(
        (
            "$argon2id$v=19$m=8,t=1,p=1$c29tZXNhbHQ$0qmmKtgDpaFG4MRRD8E0Og",
            "hunter2",
        ),
        "error: server.toml:12:17: the password hash of \"kean\" is not an Argon2id PHC string\n\
         help: create one with `sandhog hash-password`",
    );
}

#[test]
fn a_secret_must_be_given_exactly_once() {
    check_client(
        ("key-file = \"key\"\n", ""),
        "error: client.toml:1:1: missing key `key-file` (or `key`)",
    );
    check_client(
        ("password-file", "password = \"hunter2\"\npassword-file"),
        "error: client.toml:6:17: `password` and `password-file` cannot both be set",
    );
}

#[test]
fn an_invalid_key_is_reported_with_the_file_that_contains_it() {
    check_client(
        ("key-file = \"key\"", "key = \"c2hvcnQ=\""),
        "error: client.toml:3:7: the key has 5 bytes instead of 32; expected 32 bytes in base64\n\
        help: create one with `head -c 32 /dev/urandom | base64`",
    );
    let folder = folder();
    write(&folder, "key", "what is this\n");
    let failure = load_client(&folder, CLIENT).expect_err("no key");
    assert_eq!(
        printed(&folder, &failure),
        "error: key:1:1: the key is not base64; expected 32 bytes in base64\n\
        help: create one with `head -c 32 /dev/urandom | base64`"
    );
}

#[test]
fn an_unreadable_file_is_reported_with_the_line_that_names_it() {
    check_client(
        ("\"password\"", "\"nowhere\""),
        "error: client.toml:5:17: password-file: cannot read nowhere: No such file or directory (os error 2)",
    );
}

#[test]
fn the_published_key_of_the_article_is_accepted_with_a_warning() {
    let folder = folder();
    write(&folder, "key", "KGiEbfJODclOCzUVfWXBO7Y/ohnEVxf7+RnwaAA1/78=\n");
    let server = load_server(&folder, SERVER).expect("a valid file");
    assert!(
        server.warnings[0].starts_with("THIS KEY IS PUBLIC"),
        "{:?}",
        server.warnings
    );
}

#[test]
fn world_readable_secrets_cause_one_warning_per_file() {
    let folder = folder();
    let text = CLIENT.replace("password-file = \"password\"", "password = \"correct horse\"");
    write(&folder, "client.toml", &text);
    for name in ["client.toml", "key"] {
        fs::set_permissions(folder.path().join(name), Permissions::from_mode(0o644))
            .expect("a file of the test");
    }
    let client = read_client(&folder).expect("a valid file");
    let warned: Vec<_> = client
        .warnings
        .iter()
        .map(|warning| warning.rsplit('/').next())
        .collect();
    assert_eq!(warned, [Some("key`"), Some("client.toml`")]);
}

#[test]
fn debug_output_of_a_configuration_contains_no_secret() {
    let client = format!("{:?}", load_client(&folder(), CLIENT).expect("a valid file"));
    let server = format!("{:?}", load_server(&folder(), SERVER).expect("a valid file"));
    assert!(
        !client.contains("correct horse") && !client.contains("c2Fu"),
        "{client}"
    );
    assert!(!server.contains("argon2id"), "{server}");
}
