//! Configuration table `[metrics]` of servers and clients in both profiles.

use sandhog::config::{Client, Metrics, Server};
use sandhog::failure::Failure;

use crate::secure_configuration::BESIDE;
use crate::support::{Folder, SERVER, server_key_line};

const CLIENT: &str = concat!(
    "server = \"vpn.example.com:40404\"\nkey-file = \"key\"\nlogin = \"kean\"\n",
    server_key_line!()
);

fn folder() -> Folder {
    Folder::with_users(&["kean"])
}

/// The metrics settings of a server's file with `end` appended: of the secure profile and of the classic one.
fn load_server(folder: &Folder, end: &str) -> Result<[Option<Metrics>; 2], Failure> {
    folder.write("server.toml", &format!("{SERVER}\n{end}"));
    match Server::load(&folder.path("server.toml"))? {
        Server::Secure(server) => {
            let beside = server.classic.as_ref().and_then(|classic| classic.metrics);
            Ok([server.metrics, beside])
        }
        Server::Classic(server) => panic!("the wrong profile: {server:?}"),
    }
}

/// The same for a client.
fn load_client(folder: &Folder, end: &str) -> Result<Option<Metrics>, Failure> {
    folder.write("client.toml", &format!("{CLIENT}\n{end}"));
    match Client::load(&folder.path("client.toml"))? {
        Client::Secure(client) => Ok(client.metrics),
        Client::Classic(client) => Ok(client.metrics),
    }
}

#[test]
fn metrics_and_user_names_in_them_are_off_by_default() {
    let folder = folder();
    assert_eq!(load_server(&folder, "").expect("a valid file"), [None, None]);
    assert_eq!(load_client(&folder, "").expect("a valid file"), None);
    let load = |table: &str| {
        let table = format!("[metrics]\n{table}\n");
        let [server, _] = load_server(&folder, &table).expect("a valid file");
        assert_eq!(load_client(&folder, &table).expect("a valid file"), server);
        let Metrics { listen, login_names } = server.expect("a table");
        (listen.to_string(), login_names)
    };
    let local = "127.0.0.1:9586".to_owned();
    assert_eq!(load("listen = \"127.0.0.1:9586\""), (local.clone(), false));
    assert_eq!(
        load("listen = \"127.0.0.1:9586\"\nlogin-names = true"),
        (local, true)
    );
    for address in ["127.1.2.3:1", "[::1]:9586", "[::ffff:127.0.0.1]:9586"] {
        assert_eq!(
            load(&format!("listen = \"{address}\"")),
            (address.to_owned(), false)
        );
    }
}

#[test]
fn an_address_reachable_by_other_machines_needs_remote_access() {
    for address in [
        "0.0.0.0:9586",
        "[::]:9586",
        "192.0.2.1:9586",
        "[::ffff:192.0.2.1]:9586",
    ] {
        let folder = folder();
        let end = format!("[metrics]\nlogin-names = true\nlisten = \"{address}\"\n");
        let expected = |file: &str, before: &str| {
            let line = before.lines().count() + 4;
            format!(
                "error: {file}:{line}:10: other machines can reach {address}\n\
                help: metrics are neither encrypted nor protected by a password: use 127.0.0.1 or [::1], or, if a \
                 firewall limits the access, add `remote-access = true` to [metrics]"
            )
        };
        let failure = load_server(&folder, &end).expect_err("an invalid file");
        assert_eq!(folder.printed(&failure), expected("server.toml", SERVER));
        let failure = load_client(&folder, &end).expect_err("an invalid file");
        assert_eq!(folder.printed(&failure), expected("client.toml", CLIENT));

        let end = format!("{end}remote-access = true\n");
        let [metrics, _] = load_server(&folder, &end).expect("remote access is allowed");
        assert_eq!(metrics.expect("a table").listen.to_string(), address);
    }
}

#[test]
fn the_table_needs_an_address_and_rejects_unknown_keys() {
    let folder = folder();
    let bad = |table: &str| {
        let failure = load_server(&folder, &format!("[metrics]\n{table}\n")).expect_err("an invalid file");
        folder.printed(&failure)
    };
    let (table, first) = (SERVER.lines().count() + 2, SERVER.lines().count() + 3);
    assert_eq!(
        bad(""),
        format!("error: server.toml:{table}:1: missing key `listen`")
    );
    assert_eq!(
        bad("login-name = true"),
        format!("error: server.toml:{first}:1: unknown key `login-name`\nhelp: did you mean `login-names`?")
    );
    let form = "expected an address with a port such as 127.0.0.1:9586 or [::1]:9586";
    assert_eq!(
        bad("listen = \"localhost:9586\""),
        format!("error: server.toml:{first}:10: `localhost:9586`: {form}")
    );
    assert_eq!(
        bad("listen = 9586"),
        format!("error: server.toml:{first}:10: invalid type: integer `9586`, {form}")
    );
}

#[test]
fn the_two_profiles_of_a_server_have_separate_metrics() {
    let folder = folder();
    let end =
        format!("[metrics]\nlisten = \"127.0.0.1:1\"\n{BESIDE}[classic.metrics]\nlisten = \"127.0.0.1:2\"\n");
    let both = load_server(&folder, &end).expect("a valid file");
    assert_eq!(
        both.map(|metrics| metrics.map(|metrics| metrics.listen.port())),
        [Some(1), Some(2)]
    );
    let failure =
        load_server(&folder, &end.replace("127.0.0.1:2", "127.0.0.1:1")).expect_err("an invalid file");
    let printed = folder.printed(&failure);
    assert!(
        printed.ends_with(
            ": the metrics of the secure profile already use 127.0.0.1:1\n\
             help: use another port in `listen` under [classic.metrics]"
        ),
        "{printed}"
    );
}

#[test]
fn the_sample_files_of_init_contain_the_table_in_comments() {
    let folder = folder();
    sandhog::init::run(&folder.path("new"), None).expect("a new folder");
    for file in ["new/server.toml", "new/client.toml"] {
        let text = folder.read(file);
        let (before, table) = text.split_once("# [metrics] ").expect("a table in comments");
        let table = table.replace("\n# ", "\n");
        folder.write(file, &format!("{before}[metrics] {table}"));
    }
    let metrics = [
        Server::load(&folder.path("new/server.toml")).map(|server| match server {
            Server::Secure(server) => server.metrics,
            Server::Classic(server) => server.metrics,
        }),
        Client::load(&folder.path("new/client.toml")).map(|client| match client {
            Client::Secure(client) => client.metrics,
            Client::Classic(client) => client.metrics,
        }),
    ];
    for metrics in metrics {
        let metrics = metrics.expect("a valid file").expect("a table");
        assert_eq!(metrics.listen.to_string(), "127.0.0.1:9586");
    }
}
