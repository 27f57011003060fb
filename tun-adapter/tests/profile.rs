//! `sandhog profile`: the printed file works unchanged, for the user that the command names.

use sandhog::config::Client;
use sandhog::config::secure;
use sandhog_proto::secure::{Login, TICKET_FOR};

use crate::support::{Folder, PASSWORD, sandhog, setup, store, text};

/// Runs `sandhog profile --config server.toml ARGUMENTS`. Returns exit code, standard output and standard error.
fn profile(folder: &Folder, arguments: &[&str]) -> (Option<i32>, String, String) {
    let config = folder.name("server.toml");
    let output = sandhog(&[&["profile", "--config", &config], arguments].concat(), "");
    (
        output.status.code(),
        text(&output.stdout),
        folder.strip(&text(&output.stderr)),
    )
}

/// The configuration in the printed text.
fn load(folder: &Folder, printed: &str) -> secure::Client {
    folder.write("printed.toml", printed);
    match Client::load(&folder.path("printed.toml")).expect("a valid file") {
        Client::Secure(client) => *client,
        Client::Classic(_) => panic!("the wrong profile"),
    }
}

#[test]
fn a_profile_is_a_valid_file_with_server_user_and_the_server_key() {
    let folder = Folder::with_users(&["alice", "kean"]);
    let (code, printed, error) = profile(&folder, &["--server", "[2001:db8::1]:4000", "alice"]);
    assert_eq!((code, error.as_str()), (Some(0), ""));
    let client = load(&folder, &printed);
    assert_eq!(client.server.to_string(), "[2001:db8::1]:4000");
    assert_eq!(client.login.as_str(), "alice");
    assert_eq!(client.server_key, setup().server_key());
    assert!(client.warnings.is_empty(), "{:?}", client.warnings);
    assert!(!printed.contains(PASSWORD), "{printed}");
}

#[test]
fn the_ticket_of_a_profile_is_that_of_the_user_and_valid_for_400_days() {
    let folder = Folder::with_users(&["kean"]);
    let (_, printed, _) = profile(&folder, &["kean"]);
    let ticket = load(&folder, &printed).ticket.expect("a ticket");
    let made = ticket.expiry() - TICKET_FOR.as_secs();
    assert!(sandhog::clock::unix_now() - made < 3600, "made at {made}");
    let users = store(&["kean"]);
    let login = Login::new("kean").expect("a login");
    let user = users.get(&login).expect("a user");
    assert_eq!(setup().ticket(&login, &user.record, made), ticket.bytes());
}

#[test]
fn a_profile_names_the_key_file_of_the_server_without_its_folder() {
    for (path, name) in [
        ("/etc/sandhog/new.key", "new.key"),
        ("credential:sandhog.key", "sandhog.key"),
        ("it's \\\"new\\\"", "it's \"new\""),
    ] {
        let folder = Folder::with_users(&["kean"]);
        folder.write(
            "server.toml",
            &folder
                .read("server.toml")
                .replace("key-file = \"key\"", &format!("key-file = \"{path}\"")),
        );
        folder.write(name, &folder.read("key"));
        let (code, printed, error) = profile(&folder, &["kean"]);
        assert_eq!((code, error.as_str()), (Some(0), ""), "{path}");
        load(&folder, &printed);
    }
}

#[test]
fn a_profile_of_an_unknown_user_is_refused_with_2() {
    let folder = Folder::with_users(&["kean"]);
    let expected = "error: alice: no user has this name\nhelp: `sandhog user list` shows all users\n";
    let (code, printed, error) = profile(&folder, &["alice"]);
    assert_eq!((code, printed.as_str()), (Some(2), ""));
    assert_eq!(error, expected);
    let (code, _, error) = profile(&folder, &["--server", "vpn.example.com", "kean"]);
    assert_eq!(code, Some(2));
    assert!(error.contains("expected a host and a port"), "{error}");
}
