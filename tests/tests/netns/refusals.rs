//! Bad input from the machine and from the user: a clear message with what to do, the right exit code, nothing left behind.

use std::fs;
use std::net::UdpSocket;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::CommandExt;
use std::process::Command;

use super::namespace::{Namespace, assert_unchanged};
use super::program::Program;
use super::tunnel::{Outer, Tunnel, World};

/// `nobody` on every Linux.
const NOBODY: u32 = 65_534;

/// Starts the program, which must end with `code`, say all of `said`, and leave the machine as it was.
#[track_caller]
fn refuses(namespace: &Namespace, command: Command, code: i32, said: &[&str]) {
    let before = namespace.state();
    let (ended, log) = namespace.enter(|| Program::spawn(command)).wait();
    assert_eq!(ended, Some(code), "{log}");
    for text in said {
        assert!(log.contains(text), "no {text:?} in: {log}");
    }
    assert_unchanged(&before, &namespace.state());
}

#[test]
fn an_unknown_user_ends_with_code_3_and_learns_no_more_than_with_a_wrong_password() {
    let world = world_or_skip!(World::secure(Outer::V4));
    let _server = world.start_server();
    world.edit("client.toml", "\"kean\"", "\"nobody-here\"");
    let command = world.role(&world.client, "client", "client.toml");
    let said = [
        "error: the server rejected the name or the password",
        "help: check `login`",
    ];
    refuses(&world.client, command, 3, &said);
}

#[test]
fn without_root_both_sides_end_with_code_1_and_say_which_right_they_need() {
    let world = world_or_skip!(World::secure(Outer::V4));
    for entry in fs::read_dir(world.path("")).expect("a folder of ours") {
        let path = entry.expect("an entry").path();
        let mode = if path.is_dir() { 0o777 } else { 0o644 };
        fs::set_permissions(path, fs::Permissions::from_mode(mode)).expect("ours");
    }
    fs::set_permissions(world.path(""), fs::Permissions::from_mode(0o777)).expect("ours");
    for (namespace, role) in [(&world.client, "client"), (&world.server, "server")] {
        let folder = world.runtime_folder(namespace);
        fs::set_permissions(folder, fs::Permissions::from_mode(0o777)).expect("ours");
        let mut command = world.role(namespace, role, &format!("{role}.toml"));
        command.uid(NOBODY).gid(NOBODY);
        refuses(
            namespace,
            command,
            1,
            &["error: cannot ", "help: ", "CAP_NET_ADMIN"],
        );
    }
}

#[test]
fn without_the_driver_both_sides_end_with_code_1_and_say_how_to_get_it() {
    let world = world_or_skip!(World::secure(Outer::V4));
    for role in ["client", "server"] {
        let inner = world.role(&world.client, role, &format!("{role}.toml"));
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
            .env("RUNTIME_DIRECTORY", world.runtime_folder(&world.client));
        let said = [
            "error: cannot open /dev/net/tun: ",
            "help: load the driver with `modprobe tun`",
        ];
        refuses(&world.client, command, 1, &said);
    }
}

#[test]
fn a_taken_port_and_a_foreign_address_end_the_server_with_code_1_and_advice() {
    let world = world_or_skip!(World::secure(Outer::V4));
    let command = || world.role(&world.server, "server", "server.toml");
    world.edit("server.toml", "0.0.0.0:40404", "192.0.2.1:40404");
    let said = [
        "error: cannot listen on UDP 192.0.2.1:40404: ",
        "help: this machine does not have that address",
    ];
    refuses(&world.server, command(), 1, &said);
    world.edit("server.toml", "192.0.2.1:40404", "0.0.0.0:40404");
    // Held to the end: a program that another test starts at this moment may hold a closed one a little longer.
    let _socket = world
        .server
        .enter(|| UdpSocket::bind("0.0.0.0:40404"))
        .expect("a free port");
    let said = [
        "error: cannot listen on UDP 0.0.0.0:40404: ",
        "help: another program has this port; `ss -ulpn 'sport = :40404'`",
    ];
    refuses(&world.server, command(), 1, &said);
}

#[test]
fn a_taken_device_name_ends_both_sides_with_code_1_and_advice() {
    let world = world_or_skip!(World::secure(Outer::V4));
    for (namespace, role) in [(&world.client, "client"), (&world.server, "server")] {
        namespace.run("ip", &["tuntap", "add", "sandhog0", "mode", "tun"]);
        let command = world.role(namespace, role, &format!("{role}.toml"));
        let said = [
            "error: cannot create the device `sandhog0`",
            "help: a device with this name already exists",
        ];
        refuses(namespace, command, 1, &said);
    }
}

#[test]
fn a_route_that_is_taken_ends_the_client_with_code_1_and_advice() {
    let world = world_or_skip!(World::secure(Outer::V4));
    world.edit("server.toml", "# [clients] ", "[clients] ");
    world.edit("server.toml", "# routes = ", "routes = ");
    world.client.run(
        "ip",
        &["route", "add", "192.0.2.0/24", "dev", "outer", "scope", "link"],
    );
    let _server = world.start_server();
    let command = world.role(&world.client, "client", "client.toml");
    let said = [
        "error: cannot add the route 192.0.2.0/24 through `sandhog0`",
        "help: this machine already has such a route (`ip route show 192.0.2.0/24`)",
    ];
    refuses(&world.client, command, 1, &said);
}

#[test]
fn an_address_that_another_device_has_ends_either_side_with_code_1_and_says_which() {
    let world = world_or_skip!(World::secure(Outer::V4));
    world.server.give("outer", "10.9.0.1/32").expect("an address");
    let command = || world.role(&world.server, "server", "server.toml");
    let said = [
        "error: cannot add the address 10.9.0.1/24 to `sandhog0`: `outer` already has it",
        "help: `ip address show to 10.9.0.1` shows it",
    ];
    refuses(&world.server, command(), 1, &said);
    world
        .server
        .run("ip", &["address", "delete", "10.9.0.1/32", "dev", "outer"]);
    let _server = world.start_server();
    world.client.give("outer", "fd00:9::2/128").expect("an address");
    let said = [
        "error: cannot add the address fd00:9::2/64 to `sandhog0`: `outer` already has it",
        "help: `ip address show to fd00:9::2` shows it",
    ];
    let command = world.role(&world.client, "client", "client.toml");
    refuses(&world.client, command, 1, &said);
}

#[test]
fn a_route_to_the_tunnels_own_network_ends_either_side_with_code_1_and_says_where_it_leads() {
    let world = world_or_skip!(World::secure(Outer::V4));
    let own = ["10.9.0.0/24", "dev", "outer", "scope", "link"];
    let said = [
        "error: cannot add the address 10.9.0.",
        "/24 to `sandhog0`: this machine already has a route to its network, through `outer`",
        "help: `ip route show 10.9.0.0/24` shows it",
    ];
    for (namespace, role) in [(&world.server, "server"), (&world.client, "client")] {
        let _server = (role == "client").then(|| world.start_server());
        namespace.run("ip", &[&["route", "add"], &own[..]].concat());
        let command = world.role(namespace, role, &format!("{role}.toml"));
        refuses(namespace, command, 1, &said);
        namespace.run("ip", &[&["route", "delete"], &own[..]].concat());
    }
}

#[test]
fn a_bad_configuration_ends_either_side_with_code_2_the_place_and_the_word_that_was_meant() {
    let world = world_or_skip!(World::secure(Outer::V4));
    for (namespace, role) in [(&world.server, "server"), (&world.client, "client")] {
        let file = format!("{role}.toml");
        world.edit(&file, "key-file", "key-fiel");
        let command = world.role(namespace, role, &file);
        let place = format!("{file}:");
        let said = [&place, "unknown key `key-fiel`", "help: ", "`key-file`"];
        refuses(namespace, command, 2, &said);
    }
}

#[test]
fn a_name_that_nobody_knows_ends_the_client_with_code_1_and_advice() {
    let world = world_or_skip!(World::secure(Outer::V4));
    world.edit("client.toml", "198.18.0.1:40404", "nobody.invalid:40404");
    let command = world.role(&world.client, "client", "client.toml");
    let said = [
        "error: cannot find the server nobody.invalid:40404: ",
        "help: check `server` and this machine's DNS",
    ];
    refuses(&world.client, command, 1, &said);
}

#[test]
fn a_server_that_cannot_be_reached_ends_the_client_with_code_4() {
    let world = world_or_skip!(World::secure(Outer::V4));
    world.edit("client.toml", "198.18.0.1:40404", "192.0.2.1:40404");
    let command = world.role(&world.client, "client", "client.toml");
    let said = ["error: the server did not answer in time\nhelp: check that the server is running"];
    refuses(&world.client, command, 4, &said);
}

#[test]
fn a_device_that_is_taken_away_ends_either_side_with_code_1() {
    let world = world_or_skip!(World::secure(Outer::V4));
    let Tunnel { server, client } = world.tunnel();
    for (namespace, program) in [(&world.client, client), (&world.server, server)] {
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
