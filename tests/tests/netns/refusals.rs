//! Startup errors: message with advice, exit code, and cleanup.

use std::fs;
use std::net::UdpSocket;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::CommandExt;
use std::process::Command;

use super::namespace::{Namespace, assert_unchanged};
use super::program::Program;
use super::tunnel::{Outer, Testbed, Tunnel};

/// The user id of `nobody` on every Linux.
const NOBODY: u32 = 65_534;

/// Runs the program, which must exit with `code`, print all of `printed`, and leave the network state
/// unchanged.
#[track_caller]
fn assert_rejected(namespace: &Namespace, command: Command, code: i32, printed: &[&str]) {
    let before = namespace.state();
    let (ended, log) = namespace.enter(|| Program::spawn(command)).wait();
    assert_eq!(ended, Some(code), "{log}");
    for text in printed {
        assert!(log.contains(text), "no {text:?} in: {log}");
    }
    assert_unchanged(&before, &namespace.state());
}

#[test]
fn an_unknown_user_exits_with_3_and_the_message_for_a_wrong_password() {
    let testbed = testbed_or_skip!(Testbed::secure(Outer::V4));
    let _server = testbed.start_server();
    testbed.edit("client.toml", "\"kean\"", "\"nobody-here\"");
    let command = testbed.role(&testbed.client, "client", "client.toml");
    let printed = [
        "error: the server rejected the name or the password",
        "help: check `login`",
    ];
    assert_rejected(&testbed.client, command, 3, &printed);
}

#[test]
fn without_root_both_sides_exit_with_1_and_name_the_needed_capability() {
    let testbed = testbed_or_skip!(Testbed::secure(Outer::V4));
    for entry in fs::read_dir(testbed.path("")).expect("the test folder") {
        let path = entry.expect("an entry").path();
        let mode = if path.is_dir() { 0o777 } else { 0o644 };
        fs::set_permissions(path, fs::Permissions::from_mode(mode)).expect("a file of the test");
    }
    fs::set_permissions(testbed.path(""), fs::Permissions::from_mode(0o777)).expect("a file of the test");
    for (namespace, role) in [(&testbed.client, "client"), (&testbed.server, "server")] {
        let folder = testbed.runtime_folder(namespace);
        fs::set_permissions(folder, fs::Permissions::from_mode(0o777)).expect("a file of the test");
        let mut command = testbed.role(namespace, role, &format!("{role}.toml"));
        command.uid(NOBODY).gid(NOBODY);
        assert_rejected(
            namespace,
            command,
            1,
            &["error: cannot ", "help: ", "CAP_NET_ADMIN"],
        );
    }
}

#[test]
fn without_the_tun_driver_both_sides_exit_with_1_and_advice() {
    let testbed = testbed_or_skip!(Testbed::secure(Outer::V4));
    for role in ["client", "server"] {
        let inner = testbed.role(&testbed.client, role, &format!("{role}.toml"));
        let mut command = Command::new("unshare");
        command
            .args([
                "--mount",
                "sh",
                "-c",
                "mount -t tmpfs tmpfs /dev/net && exec \"$0\" \"$@\"",
            ])
            .arg(inner.get_program())
            .args(inner.get_args())
            .env("RUNTIME_DIRECTORY", testbed.runtime_folder(&testbed.client));
        let printed = [
            "error: cannot open /dev/net/tun: ",
            "help: load the driver with `modprobe tun`",
        ];
        assert_rejected(&testbed.client, command, 1, &printed);
    }
}

#[test]
fn a_port_in_use_and_a_foreign_address_exit_with_1_and_advice() {
    let testbed = testbed_or_skip!(Testbed::secure(Outer::V4));
    let command = || testbed.role(&testbed.server, "server", "server.toml");
    testbed.edit("server.toml", "0.0.0.0:40404", "192.0.2.1:40404");
    let printed = [
        "error: cannot listen on UDP 192.0.2.1:40404: ",
        "help: this machine does not have that address",
    ];
    assert_rejected(&testbed.server, command(), 1, &printed);
    testbed.edit("server.toml", "192.0.2.1:40404", "0.0.0.0:40404");
    // The socket stays open until the end of the test: a child process of another test may inherit it and
    // keep the port busy.
    let _socket = testbed
        .server
        .enter(|| UdpSocket::bind("0.0.0.0:40404"))
        .expect("a free port");
    let printed = [
        "error: cannot listen on UDP 0.0.0.0:40404: ",
        "help: another program uses this port: `ss -ulpn 'sport = :40404'`",
    ];
    assert_rejected(&testbed.server, command(), 1, &printed);
}

#[test]
fn a_device_name_in_use_exits_with_1_and_advice() {
    let testbed = testbed_or_skip!(Testbed::secure(Outer::V4));
    for (namespace, role) in [(&testbed.client, "client"), (&testbed.server, "server")] {
        namespace.run("ip", &["tuntap", "add", "sandhog0", "mode", "tun"]);
        let command = testbed.role(namespace, role, &format!("{role}.toml"));
        let printed = [
            "error: cannot create the device `sandhog0`",
            "help: a device with this name already exists",
        ];
        assert_rejected(namespace, command, 1, &printed);
    }
}

#[test]
fn a_route_that_exists_exits_with_1_and_advice() {
    let testbed = testbed_or_skip!(Testbed::secure(Outer::V4));
    testbed.edit("server.toml", "# [clients] ", "[clients] ");
    testbed.edit("server.toml", "# routes = ", "routes = ");
    testbed.client.run(
        "ip",
        &["route", "add", "192.0.2.0/24", "dev", "outer", "scope", "link"],
    );
    let _server = testbed.start_server();
    let command = testbed.role(&testbed.client, "client", "client.toml");
    let printed = [
        "error: cannot add the route 192.0.2.0/24 through `sandhog0`",
        "help: this machine already has such a route (`ip route show 192.0.2.0/24`)",
    ];
    assert_rejected(&testbed.client, command, 1, &printed);
}

#[test]
fn an_address_on_another_device_exits_with_1_and_names_the_device() {
    let testbed = testbed_or_skip!(Testbed::secure(Outer::V4));
    testbed
        .server
        .add_address("outer", "10.9.0.1/32")
        .expect("an address");
    let command = || testbed.role(&testbed.server, "server", "server.toml");
    let printed = [
        "error: cannot add the address 10.9.0.1/24 to `sandhog0`: `outer` already has it",
        "help: `ip address show to 10.9.0.1` shows it",
    ];
    assert_rejected(&testbed.server, command(), 1, &printed);
    testbed
        .server
        .run("ip", &["address", "delete", "10.9.0.1/32", "dev", "outer"]);
    let _server = testbed.start_server();
    testbed
        .client
        .add_address("outer", "fd00:9::2/128")
        .expect("an address");
    let printed = [
        "error: cannot add the address fd00:9::2/64 to `sandhog0`: `outer` already has it",
        "help: `ip address show to fd00:9::2` shows it",
    ];
    let command = testbed.role(&testbed.client, "client", "client.toml");
    assert_rejected(&testbed.client, command, 1, &printed);
}

#[test]
fn a_route_to_the_tunnels_own_network_exits_with_1_and_names_its_device() {
    let testbed = testbed_or_skip!(Testbed::secure(Outer::V4));
    let own = ["10.9.0.0/24", "dev", "outer", "scope", "link"];
    let printed = [
        "error: cannot add the address 10.9.0.",
        "/24 to `sandhog0`: this machine already has a route to its network, through `outer`",
        "help: `ip route show 10.9.0.0/24` shows it",
    ];
    for (namespace, role) in [(&testbed.server, "server"), (&testbed.client, "client")] {
        let _server = (role == "client").then(|| testbed.start_server());
        namespace.run("ip", &[&["route", "add"], &own[..]].concat());
        let command = testbed.role(namespace, role, &format!("{role}.toml"));
        assert_rejected(namespace, command, 1, &printed);
        namespace.run("ip", &[&["route", "delete"], &own[..]].concat());
    }
}

#[test]
fn an_invalid_configuration_exits_with_2_a_position_and_a_suggestion() {
    let testbed = testbed_or_skip!(Testbed::secure(Outer::V4));
    for (namespace, role) in [(&testbed.server, "server"), (&testbed.client, "client")] {
        let file = format!("{role}.toml");
        testbed.edit(&file, "key-file = \"sandhog.key\"", "key-fiel = \"sandhog.key\"");
        let command = testbed.role(namespace, role, &file);
        let place = format!("{file}:");
        let printed = [&place, "unknown key `key-fiel`", "help: ", "`key-file`"];
        assert_rejected(namespace, command, 2, &printed);
    }
}

#[test]
fn an_unknown_server_name_exits_with_1_and_advice() {
    let testbed = testbed_or_skip!(Testbed::secure(Outer::V4));
    testbed.edit("client.toml", "198.18.0.1:40404", "nobody.invalid:40404");
    let command = testbed.role(&testbed.client, "client", "client.toml");
    let printed = [
        "error: cannot resolve the server nobody.invalid:40404: ",
        "help: check `server` in the configuration and this machine's DNS",
    ];
    assert_rejected(&testbed.client, command, 1, &printed);
}

#[test]
fn an_unreachable_server_exits_with_4() {
    let testbed = testbed_or_skip!(Testbed::secure(Outer::V4));
    testbed.edit("client.toml", "198.18.0.1:40404", "192.0.2.1:40404");
    let mut command = testbed.role(&testbed.client, "client", "client.toml");
    command.arg("--once");
    let printed = [
        "error: the server did not answer in time\nhelp: check that the server is running",
        "a server ignores clients whose clock differs by more than 30 s",
        " UTC\n",
    ];
    assert_rejected(&testbed.client, command, 4, &printed);
}

#[test]
fn a_removed_device_ends_either_side_with_code_1() {
    let testbed = testbed_or_skip!(Testbed::secure(Outer::V4));
    let Tunnel { server, client } = testbed.tunnel();
    for (namespace, program) in [(&testbed.client, client), (&testbed.server, server)] {
        namespace.run("ip", &["link", "delete", "sandhog0"]);
        let (code, log) = program.wait();
        assert_eq!(code, Some(1), "{log}");
        assert!(
            log.contains("error: cannot read from the tunnel device")
                && log.contains("help: the device was removed while it was in use; start the program again"),
            "{log}"
        );
    }
}
