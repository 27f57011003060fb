//! The client's place in its machine's network: where packets go while the tunnel is up, what gets out when it is not, and
//! that everything is as before afterwards.
//!
//! The server is reached through the client's default route, as over the Internet, for which the address 192.0.2.1 stands.

use std::fs;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use super::ping_three_times;
use super::program::Program;
use super::tunnel::{Outer, World};

/// An address of the server's machine, behind the client's default route.
const SERVER_FAR: &str = "203.0.113.1";
/// An address of the Internet, which is the server's machine as well.
pub(super) const FAR: &str = "192.0.2.1";
/// The same of IPv6.
const FAR_V6: &str = "2001:db8:1::1";
/// The server's machine as a neighbour.
const NEAR: &str = "198.18.0.1";
const NEAR_V6: &str = "2001:db8::1";

/// A client whose default routes lead to the server's machine, which offers `routes`.
fn world(routes: &str) -> Result<World, String> {
    let world = World::secure(Outer::V4)?;
    for address in [SERVER_FAR, FAR, "192.0.2.129", FAR_V6] {
        world.server.run("ip", &["address", "add", address, "dev", "lo"]);
    }
    for (namespace, address) in [(&world.server, NEAR_V6), (&world.client, "2001:db8::2")] {
        let address = format!("{address}/64");
        namespace.run("ip", &["address", "add", &address, "dev", "outer", "nodad"]);
    }
    // The kernel makes sure that nobody else has its link-local addresses, and routes come with them.
    let begun = Instant::now();
    while [&world.client, &world.server].iter().any(|namespace| {
        namespace
            .run("ip", &["address", "show", "tentative"])
            .contains("inet6")
    }) {
        assert!(
            begun.elapsed() < Duration::from_secs(10),
            "addresses stay tentative"
        );
    }
    world.client.run("ip", &["route", "add", "default", "via", NEAR]);
    world
        .client
        .run("ip", &["-6", "route", "add", "default", "via", NEAR_V6]);
    world.edit("client.toml", NEAR, SERVER_FAR);
    world.edit("server.toml", "# [clients] ", "[clients] ");
    world.edit(
        "server.toml",
        "# routes = [\"192.0.2.0/24\"]",
        &format!("routes = {routes}"),
    );
    Ok(world)
}

/// A client that sends everything through the tunnel.
pub(super) fn full_tunnel() -> Result<World, String> {
    world("[\"0.0.0.0/0\", \"::/0\"]")
}

impl World {
    /// Adds lines to the client's file.
    fn configure(&self, lines: &str) {
        self.edit("client.toml", "dns = \"off\"", &format!("dns = \"off\"\n{lines}"));
    }

    /// One ping from the client; whether it was answered, and whether it went through the tunnel.
    fn reach(&self, to: &str) -> (bool, bool) {
        let has_device = || {
            self.client
                .enter(|| fs::read_to_string("/proc/thread-self/net/dev"))
        };
        let packets = || {
            has_device()
                .is_ok_and(|table| table.contains("sandhog0:"))
                .then(|| self.client.tunnel_packets().0)
        };
        let before = packets();
        let arguments = ["-c", "1", "-W", "1", to];
        let answered = self.client.try_run("ping", &arguments).is_ok();
        (answered, packets() != before)
    }

    /// All that `down` is to bring back.
    fn machine(&self) -> String {
        let commands: [(&str, &[&str]); 6] = [
            ("ip", &["rule"]),
            ("ip", &["-6", "rule"]),
            ("ip", &["route", "show", "table", "all"]),
            ("ip", &["-6", "route", "show", "table", "all"]),
            ("nft", &["list", "ruleset"]),
            ("cat", &["/proc/sys/net/ipv4/conf/all/src_valid_mark"]),
        ];
        commands
            .map(|(program, arguments)| self.client.run(program, arguments))
            .join("----\n")
    }

    /// `sandhog down` on the client's side, which must go well; gives what it said.
    #[track_caller]
    fn down(&self) -> String {
        let mut command = self.command(&self.client);
        command.arg("down");
        let output = self
            .client
            .enter(|| command.output())
            .expect("a program that starts");
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
        text(&output.stdout)
    }
}

const THROUGH_TUNNEL: (bool, bool) = (true, true);
const BESIDE_TUNNEL: (bool, bool) = (true, false);
const NOWHERE: (bool, bool) = (false, false);

#[test]
fn a_full_tunnel_takes_default_traffic_and_neither_neighbours_nor_its_own_datagrams() {
    let world = world_or_skip!(full_tunnel());
    let before = world.machine();
    let tunnel = world.tunnel();
    for to in [FAR, FAR_V6] {
        ping_three_times(&world.client, to.parse().expect("an address"));
    }
    assert_eq!(world.reach(NEAR), BESIDE_TUNNEL);
    assert_eq!(world.reach(NEAR_V6), BESIDE_TUNNEL);
    tunnel.stop();
    assert_eq!(world.machine(), before);
    assert_eq!(world.reach(FAR), BESIDE_TUNNEL);
}

#[test]
fn a_route_that_holds_the_server_goes_into_the_tunnel_and_the_tunnel_itself_does_not() {
    let world = world_or_skip!(world("[\"203.0.113.0/24\"]"));
    world
        .server
        .run("ip", &["address", "add", "203.0.113.9", "dev", "lo"]);
    let before = world.machine();
    let tunnel = world.tunnel();
    assert_eq!(world.reach("203.0.113.9"), THROUGH_TUNNEL);
    assert_eq!(world.reach(FAR), BESIDE_TUNNEL);
    tunnel.stop();
    assert_eq!(world.machine(), before);
}

#[test]
fn what_is_excluded_goes_as_before_the_tunnel() {
    let world = world_or_skip!(full_tunnel());
    world.configure("excluded-routes = [\"192.0.2.128/25\"]");
    let before = world.machine();
    let tunnel = world.tunnel();
    assert_eq!(world.reach("192.0.2.129"), BESIDE_TUNNEL);
    assert_eq!(world.reach(FAR), THROUGH_TUNNEL);
    tunnel.stop();
    assert_eq!(world.machine(), before);
}

#[test]
fn ipv6_does_not_leak_where_the_tunnel_carries_ipv4_only() {
    let world = world_or_skip!(world("[\"0.0.0.0/0\"]"));
    world.edit(
        "server.toml",
        "\"10.9.0.1/24\", \"fd00:9::1/64\"",
        "\"10.9.0.1/24\"",
    );
    let before = world.machine();
    assert_eq!(world.reach(FAR_V6), BESIDE_TUNNEL);
    let tunnel = world.tunnel();
    assert_eq!(world.reach(FAR), THROUGH_TUNNEL);
    assert_eq!(world.reach(FAR_V6), NOWHERE);
    assert_eq!(world.reach(NEAR_V6), BESIDE_TUNNEL, "neighbours are reached");
    tunnel.stop();
    assert_eq!(world.machine(), before);

    world.configure("ipv6-outside = \"leave\"");
    let _tunnel = world.tunnel();
    assert_eq!(world.reach(FAR_V6), BESIDE_TUNNEL);
}

#[test]
fn after_kill_9_down_brings_everything_back() {
    let world = world_or_skip!(full_tunnel());
    world.configure("kill-switch = true\nexcluded-routes = [\"192.0.2.128/25\"]");
    let before = world.machine();
    let tunnel = world.tunnel();
    tunnel.client.kill();
    assert_ne!(world.machine(), before);
    let said = world.down();
    assert!(
        said.contains("undone: kill switch, routing table 51821"),
        "{said}"
    );
    assert_eq!(world.machine(), before);
    assert!(world.down().contains("there is nothing to undo"));
}

#[test]
fn down_ends_a_running_client_and_finds_its_leavings_without_a_record() {
    let world = world_or_skip!(full_tunnel());
    world.configure("kill-switch = true");
    let before = world.machine();
    let tunnel = world.tunnel();
    let said = world.down();
    assert!(said.contains("has stopped and its changes are undone"), "{said}");
    assert_eq!(world.machine(), before);
    let (code, log) = tunnel.client.wait();
    assert_eq!(code, Some(0), "{log}");

    let client = world.start_client();
    client.kill();
    let record = world.runtime_folder(&world.client).join("sandhog0.json");
    fs::write(&record, "{ \"process\": ").expect("a file of ours");
    let said = world.down();
    assert!(
        said.contains("nftables table sandhog-sandhog0, routing table 51821"),
        "{said}"
    );
    // Nobody knows any more what the switch of the kernel, which stands last, was before.
    let without_switch = |machine: &str| machine.trim_end().trim_end_matches(['0', '1']).to_owned();
    assert_eq!(without_switch(&world.machine()), without_switch(&before));
    assert!(!record.exists());
}

#[test]
fn the_kill_switch_is_closed_before_the_login_stays_after_kill_9_and_is_taken_over_by_the_next_start() {
    let world = world_or_skip!(full_tunnel());
    world.configure("kill-switch = true");
    assert_eq!(world.reach(NEAR), BESIDE_TUNNEL);
    // There is no server yet, so there is no login.
    let mut client = world.spawn_client();
    client.wait_for("kill switch: ");
    for to in [NEAR, FAR, FAR_V6] {
        assert_eq!(world.reach(to), NOWHERE, "{to} before the login");
    }
    let _server = world.start_server();
    client.wait_for("ready: ");
    assert_eq!(world.reach(FAR), THROUGH_TUNNEL);
    assert_eq!(world.reach(NEAR), NOWHERE);

    client.kill();
    for to in [NEAR, FAR, FAR_V6] {
        assert_eq!(world.reach(to), NOWHERE, "{to} after kill -9");
    }
    let mut client = world.spawn_client();
    client.wait_for("was killed; undoing the changes that it left");
    client.wait_for("the kill switch of sandhog0 stays until the new one is in place");
    client.wait_for("ready: ");
    assert_eq!(world.reach(FAR), THROUGH_TUNNEL);
    let (code, log) = client.terminate();
    assert_eq!(code, Some(0), "{log}");
    assert_eq!(world.reach(NEAR), BESIDE_TUNNEL);
}

#[test]
fn a_failed_first_login_leaves_no_kill_switch_and_an_end_that_nobody_asked_for_does() {
    let world = world_or_skip!(full_tunnel());
    world.configure("kill-switch = true");
    let before = world.machine();
    let _server = world.start_server();
    world.write("password", "not the battery staple\n");
    let (code, log) = world.spawn_client().wait();
    assert_eq!(code, Some(3), "{log}");
    assert_eq!(world.machine(), before);

    world.write("password", &format!("{}\n", super::tunnel::PASSWORD));
    let client = world.start_client();
    world.client.run("ip", &["link", "delete", "sandhog0"]);
    let (code, log) = client.wait();
    assert_eq!(code, Some(1), "{log}");
    assert!(
        log.contains("the kill switch stays: `sandhog down --device sandhog0` lifts it"),
        "{log}"
    );
    assert_eq!(world.reach(NEAR), NOWHERE);
    world.down();
    assert_eq!(world.machine(), before);
}

#[test]
fn a_taken_mark_ends_the_client_with_code_1_and_a_free_one_is_found() {
    let world = world_or_skip!(full_tunnel());
    world
        .client
        .run("ip", &["rule", "add", "fwmark", "0xca6d", "table", "100"]);
    let before = world.machine();
    world.configure("fwmark = 51821");
    let _server = world.start_server();
    let (code, log) = world.spawn_client().wait();
    assert_eq!(code, Some(1), "{log}");
    assert!(log.contains("error: cannot use the mark 51821: "), "{log}");
    assert!(
        log.contains("help: `ip rule` and `ip route show table 51821`"),
        "{log}"
    );
    assert_eq!(world.machine(), before);

    world.edit("client.toml", "fwmark = 51821\n", "");
    let mut client = world.spawn_client();
    client.wait_for("(mark and table 51822)");
    client.wait_for("ready: ");
    assert_eq!(world.reach(FAR), THROUGH_TUNNEL);
    client.terminate();
    assert_eq!(world.machine(), before);
}

#[test]
fn without_nft_a_kill_switch_ends_the_client_with_code_1_before_anything_is_done() {
    let world = world_or_skip!(full_tunnel());
    world.configure("kill-switch = true");
    let before = world.machine();
    let folder = world.path("empty");
    fs::create_dir(&folder).expect("a folder of ours");
    let nft = world.client.run("sh", &["-c", "command -v nft"]);
    let script = format!(
        "mount --bind {} $(dirname {})\nexec {} \"$@\"",
        folder.display(),
        nft.trim(),
        world.program().display()
    );
    let (code, log) = client_in_own_mounts(&world, &script).wait();
    assert_eq!(code, Some(1), "{log}");
    assert!(
        log.contains("error: cannot set the kill switch: the program `nft` is not installed\nhelp: "),
        "{log}"
    );
    assert_eq!(world.machine(), before);
}

/// Starts the client by a script that may mount what it likes, for itself alone.
fn client_in_own_mounts(world: &World, script: &str) -> Program {
    let mut command = Command::new("unshare");
    command.args(["--mount", "sh", "-e", "-c", script, "sh", "client", "--config"]);
    command.arg(world.path("client.toml"));
    command.env("RUNTIME_DIRECTORY", world.runtime_folder(&world.client));
    command.stdout(Stdio::null());
    world.client.enter(|| Program::spawn(command))
}
