//! `sandhog init`: the created files work unchanged, and existing files are kept.

use std::fs;
use std::io::Write;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::process::{Output, Stdio};

use sandhog::config::{Client, Server};

use crate::support::{Folder, command, sandhog, text};

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
fn init_creates_all_files_for_a_server_and_its_client() {
    let folder = Folder::new();
    let output = init(&folder, "new");
    assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
    let mode = |name: &str| {
        fs::metadata(folder.path(name))
            .expect("created")
            .permissions()
            .mode()
            & 0o777
    };
    assert_eq!(mode("new"), 0o700);
    for name in NAMES {
        assert_eq!(mode(&format!("new/{name}")), 0o600, "{name}");
    }
    let Server::Secure(server) = Server::load(&folder.path("new/server.toml")).expect("a valid file") else {
        panic!("the wrong profile");
    };
    assert!(server.users.is_empty() && server.warnings.is_empty());
    let Client::Secure(client) = Client::load(&folder.path("new/client.toml")).expect("a valid file") else {
        panic!("the wrong profile");
    };
    assert_eq!(client.server.to_string(), "[2001:db8::1]:4000");
    assert_eq!(client.server_key, server.setup.server_key());
    assert_eq!(client.ticket, None, "there is no user yet");
}

#[test]
fn the_output_asks_for_backups_and_contains_no_secret() {
    let folder = Folder::new();
    let said = text(&init(&folder, ".").stdout);
    assert!(said.contains("Back up sandhog.setup and users"), "{said}");
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
fn the_printed_commands_work_from_the_current_folder() {
    let folder = Folder::new();
    let run = |arguments: &[&str], input: &str| {
        let mut child = command(arguments)
            .current_dir(folder.path("."))
            .stdin(Stdio::piped())
            .spawn()
            .expect("the program starts");
        let written = child.stdin.take().expect("a pipe").write_all(input.as_bytes());
        let output = child.wait_with_output().expect("the program ends");
        assert!(
            written.is_ok() && output.status.success(),
            "{}",
            text(&output.stderr)
        );
        text(&output.stdout)
    };
    let said = run(&["init", "--folder", "new"], "");
    let line = said
        .lines()
        .find(|line| line.contains("user add"))
        .expect("a command");
    let mut arguments: Vec<_> = line.split_whitespace().skip(1).collect();
    assert_eq!(arguments.pop(), Some("NAME"));
    arguments.extend(["--password-stdin", "kean"]);
    run(&arguments, "correct horse\n");
    assert!(folder.read("new/users").contains("\"kean\""));
}

#[test]
fn the_output_has_the_fingerprint_that_doctor_shows_for_both_files() {
    let folder = Folder::new();
    let said = text(&init(&folder, ".").stdout);
    let (_, rest) = said
        .split_once("The fingerprint of the server is\n  ")
        .expect("a fingerprint");
    let fingerprint = rest.lines().next().expect("a line");
    assert_eq!(fingerprint.len(), 64, "{said}");
    for file in ["server.toml", "client.toml"] {
        let output = sandhog(&["doctor", "--config", &folder.name(file)], "");
        let found = text(&output.stdout);
        assert!(
            found.contains(&format!("ok    server's fingerprint: {fingerprint}\n")),
            "{found}"
        );
    }
}

#[test]
fn two_servers_get_different_secrets() {
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
fn nothing_is_created_if_one_of_the_files_exists() {
    for name in NAMES {
        let folder = Folder::new();
        folder.write(name, "old\n");
        let output = init(&folder, ".");
        assert_eq!(output.status.code(), Some(2), "{name}");
        let said = folder.strip(&text(&output.stderr)).replace("./", "");
        assert!(
            said.starts_with(&format!(
                "error: {name} already exists\nhelp: nothing was created or changed"
            )),
            "{said}"
        );
        assert_eq!(folder.names(), [name]);
        assert_eq!(folder.read(name), "old\n");
    }
}

#[test]
fn a_dangling_symbolic_link_is_not_followed() {
    let folder = Folder::new();
    symlink("elsewhere", folder.path("users")).expect("the test folder");
    assert_eq!(init(&folder, ".").status.code(), Some(2));
    assert_eq!(folder.names(), ["users"]);
}
