//! `sandhog init`: what it makes works as it stands, and what is there already stays.

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::process::Output;

use sandhog::config::{Client, Server};

use crate::support::{Folder, sandhog, text};

const NAMES: [&str; 5] = [
    "client.toml",
    "sandhog.key",
    "sandhog.setup",
    "server.toml",
    "users",
];

fn init(folder: &Folder, name: &str) -> Output {
    sandhog(
        &[
            "init",
            "--folder",
            &folder.name(name),
            "--server",
            "[2001:db8::1]:4000",
        ],
        "",
    )
}

#[test]
fn a_new_server_and_its_client_need_nothing_else() {
    let folder = Folder::new();
    let output = init(&folder, "new");
    assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
    let mode = |name: &str| {
        fs::metadata(folder.path(name))
            .expect("made")
            .permissions()
            .mode()
            & 0o777
    };
    assert_eq!(mode("new"), 0o700);
    for name in NAMES {
        assert_eq!(mode(&format!("new/{name}")), 0o600, "{name}");
    }
    let Server::Secure(server) = Server::load(&folder.path("new/server.toml")).expect("a good file") else {
        panic!("of the wrong profile");
    };
    assert!(server.users.is_empty() && server.warnings.is_empty());
    let Client::Secure(client) = Client::load(&folder.path("new/client.toml")).expect("a good file") else {
        panic!("of the wrong profile");
    };
    assert_eq!(client.server.to_string(), "[2001:db8::1]:4000");
}

#[test]
fn what_is_said_warns_to_keep_a_copy_and_shows_no_secret() {
    let folder = Folder::new();
    let said = text(&init(&folder, ".").stdout);
    assert!(said.contains("Keep a copy of sandhog.setup and users"), "{said}");
    let setup = folder.read("sandhog.setup");
    let secrets = [
        folder.read("sandhog.key"),
        setup.split('"').nth(9).expect("a secret").to_owned(),
    ];
    for secret in secrets {
        assert!(secret.len() > 40 && !said.contains(&secret[..12]), "{said}");
    }
}

#[test]
fn no_two_servers_have_the_same_secrets() {
    let folder = Folder::new();
    for name in ["one", "two"] {
        assert!(init(&folder, name).status.success());
    }
    for name in ["sandhog.key", "sandhog.setup"] {
        assert_ne!(
            folder.read(&format!("one/{name}")),
            folder.read(&format!("two/{name}"))
        );
    }
}

#[test]
fn nothing_is_made_where_one_of_the_files_is() {
    for name in NAMES {
        let folder = Folder::new();
        folder.write(name, "old\n");
        let output = init(&folder, ".");
        assert_eq!(output.status.code(), Some(2), "{name}");
        let said = folder.strip(&text(&output.stderr)).replace("./", "");
        assert!(
            said.starts_with(&format!(
                "error: {name} is there already\nhelp: nothing was made or changed"
            )),
            "{said}"
        );
        assert_eq!(folder.names(), [name]);
        assert_eq!(folder.read(name), "old\n");
    }
}

#[test]
fn a_link_that_leads_nowhere_is_not_followed() {
    let folder = Folder::new();
    symlink("elsewhere", folder.path("users")).expect("our folder");
    assert_eq!(init(&folder, ".").status.code(), Some(2));
    assert_eq!(folder.names(), ["users"]);
}
