//! Routing and kill switch of the client: the path of packets with and without the tunnel, and the cleanup
//! afterwards.
//!
//! The server is reached through the client's default route, as over the Internet. 192.0.2.1 is an address of
//! the Internet.

use std::fs;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use super::ping_three_times;
use super::program::Program;
use super::tunnel::{Outer, Testbed};

/// An address of the server's machine, behind the client's default route.
const SERVER_FAR: &str = "203.0.113.1";
/// An address of the Internet. It is on the server's machine, too.
pub(super) const FAR: &str = "192.0.2.1";
/// The same for IPv6.
const FAR_V6: &str = "2001:db8:1::1";
/// Address of the server's machine on the local link.
const NEAR: &str = "198.18.0.1";
const NEAR_V6: &str = "2001:db8::1";

/// A testbed where the client's default routes go to the server's machine, and the server offers `routes`.
fn testbed_with_routes(routes: &str) -> Result<Testbed, String> {
    let testbed = Testbed::secure(Outer::V4)?;
    for address in [SERVER_FAR, FAR, "192.0.2.129", FAR_V6] {
        testbed
            .server
            .run("ip", &["address", "add", address, "dev", "lo"]);
    }
    for (namespace, address) in [(&testbed.server, NEAR_V6), (&testbed.client, "2001:db8::2")] {
        let address = format!("{address}/64");
        namespace.run("ip", &["address", "add", &address, "dev", "outer", "nodad"]);
    }
    // Wait for duplicate address detection of the link-local addresses. The kernel adds their routes
    // afterwards.
    let start = Instant::now();
    while [&testbed.client, &testbed.server].iter().any(|namespace| {
        namespace
            .run("ip", &["address", "show", "tentative"])
            .contains("inet6")
    }) {
        assert!(
            start.elapsed() < Duration::from_secs(10),
            "addresses stay tentative"
        );
    }
    testbed
        .client
        .run("ip", &["route", "add", "default", "via", NEAR]);
    testbed
        .client
        .run("ip", &["-6", "route", "add", "default", "via", NEAR_V6]);
    testbed.edit("client.toml", NEAR, SERVER_FAR);
    testbed.edit("server.toml", "# [clients] ", "[clients] ");
    testbed.edit(
        "server.toml",
        "# routes = [\"192.0.2.0/24\"]",
        &format!("routes = {routes}"),
    );
    Ok(testbed)
}

/// A testbed where the client sends all traffic through the tunnel.
pub(super) fn full_tunnel() -> Result<Testbed, String> {
    testbed_with_routes("[\"0.0.0.0/0\", \"::/0\"]")
}

impl Testbed {
    /// Adds lines to the client's file.
    fn configure(&self, lines: &str) {
        self.edit("client.toml", "dns = \"off\"", &format!("dns = \"off\"\n{lines}"));
    }

    /// Sends one ping from the client. Returns whether there was a reply, and whether the ping used the
    /// tunnel.
    fn ping_once(&self, to: &str) -> (bool, bool) {
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

    /// The network state that `down` must restore.
    fn network_state(&self) -> String {
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

    /// Runs `sandhog down` on the client's side, which must succeed, and returns its output.
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
const OUTSIDE_TUNNEL: (bool, bool) = (true, false);
const UNREACHABLE: (bool, bool) = (false, false);

#[test]
fn a_full_tunnel_excludes_neighbours_and_its_own_datagrams() {
    let testbed = testbed_or_skip!(full_tunnel());
    let before = testbed.network_state();
    let tunnel = testbed.tunnel();
    for to in [FAR, FAR_V6] {
        ping_three_times(&testbed.client, to.parse().expect("an address"));
    }
    assert_eq!(testbed.ping_once(NEAR), OUTSIDE_TUNNEL);
    assert_eq!(testbed.ping_once(NEAR_V6), OUTSIDE_TUNNEL);
    tunnel.stop();
    assert_eq!(testbed.network_state(), before);
    assert_eq!(testbed.ping_once(FAR), OUTSIDE_TUNNEL);
}

#[test]
fn a_route_that_contains_the_server_does_not_capture_the_tunnels_datagrams() {
    let testbed = testbed_or_skip!(testbed_with_routes("[\"203.0.113.0/24\"]"));
    testbed
        .server
        .run("ip", &["address", "add", "203.0.113.9", "dev", "lo"]);
    let before = testbed.network_state();
    let tunnel = testbed.tunnel();
    assert_eq!(testbed.ping_once("203.0.113.9"), THROUGH_TUNNEL);
    assert_eq!(testbed.ping_once(FAR), OUTSIDE_TUNNEL);
    tunnel.stop();
    assert_eq!(testbed.network_state(), before);
}

#[test]
fn excluded_networks_bypass_the_tunnel() {
    let testbed = testbed_or_skip!(full_tunnel());
    testbed.configure("excluded-routes = [\"192.0.2.128/25\"]");
    let before = testbed.network_state();
    let tunnel = testbed.tunnel();
    assert_eq!(testbed.ping_once("192.0.2.129"), OUTSIDE_TUNNEL);
    assert_eq!(testbed.ping_once(FAR), THROUGH_TUNNEL);
    tunnel.stop();
    assert_eq!(testbed.network_state(), before);
}

#[test]
fn ipv6_does_not_bypass_a_tunnel_that_carries_only_ipv4() {
    let testbed = testbed_or_skip!(testbed_with_routes("[\"0.0.0.0/0\"]"));
    testbed.edit(
        "server.toml",
        "\"10.9.0.1/24\", \"fd00:9::1/64\"",
        "\"10.9.0.1/24\"",
    );
    let before = testbed.network_state();
    assert_eq!(testbed.ping_once(FAR_V6), OUTSIDE_TUNNEL);
    let tunnel = testbed.tunnel();
    assert_eq!(testbed.ping_once(FAR), THROUGH_TUNNEL);
    assert_eq!(testbed.ping_once(FAR_V6), UNREACHABLE);
    assert_eq!(
        testbed.ping_once(NEAR_V6),
        OUTSIDE_TUNNEL,
        "neighbours are reachable"
    );
    tunnel.stop();
    assert_eq!(testbed.network_state(), before);

    testbed.configure("ipv6-outside = \"leave\"");
    let _tunnel = testbed.tunnel();
    assert_eq!(testbed.ping_once(FAR_V6), OUTSIDE_TUNNEL);
}

#[test]
fn after_kill_9_down_restores_everything() {
    let testbed = testbed_or_skip!(full_tunnel());
    testbed.configure("kill-switch = true\nexcluded-routes = [\"192.0.2.128/25\"]");
    let before = testbed.network_state();
    let tunnel = testbed.tunnel();
    tunnel.client.kill();
    assert_ne!(testbed.network_state(), before);
    let printed = testbed.down();
    assert!(
        printed.contains("undone: kill switch, routing table 51821"),
        "{printed}"
    );
    assert_eq!(testbed.network_state(), before);
    assert!(testbed.down().contains("there is nothing to undo"));
}

#[test]
fn down_stops_a_running_client_and_cleans_up_without_a_record() {
    let testbed = testbed_or_skip!(full_tunnel());
    testbed.configure("kill-switch = true");
    let before = testbed.network_state();
    let tunnel = testbed.tunnel();
    let printed = testbed.down();
    assert!(
        printed.contains("has stopped and its changes are undone"),
        "{printed}"
    );
    assert_eq!(testbed.network_state(), before);
    let (code, log) = tunnel.client.wait();
    assert_eq!(code, Some(0), "{log}");

    let client = testbed.start_client();
    client.kill();
    let record = testbed.runtime_folder(&testbed.client).join("sandhog0.json");
    fs::write(&record, "{ \"process\": ").expect("a file of the test");
    let printed = testbed.down();
    assert!(
        printed.contains("nftables table sandhog-sandhog0, routing table 51821"),
        "{printed}"
    );
    // Without a record, the old value of the sysctl (last in the state) is unknown.
    let without_switch = |machine: &str| machine.trim_end().trim_end_matches(['0', '1']).to_owned();
    assert_eq!(without_switch(&testbed.network_state()), without_switch(&before));
    assert!(!record.exists());
}

#[test]
fn the_kill_switch_blocks_before_login_and_after_kill_9_until_the_next_start() {
    let testbed = testbed_or_skip!(full_tunnel());
    testbed.configure("kill-switch = true");
    assert_eq!(testbed.ping_once(NEAR), OUTSIDE_TUNNEL);
    // There is no server yet, so no login.
    let mut client = testbed.spawn_client();
    client.wait_for("kill switch: ");
    for to in [NEAR, FAR, FAR_V6] {
        assert_eq!(testbed.ping_once(to), UNREACHABLE, "{to} before the login");
    }
    let _server = testbed.start_server();
    client.wait_for("ready: ");
    assert_eq!(testbed.ping_once(FAR), THROUGH_TUNNEL);
    assert_eq!(testbed.ping_once(NEAR), UNREACHABLE);

    client.kill();
    for to in [NEAR, FAR, FAR_V6] {
        assert_eq!(testbed.ping_once(to), UNREACHABLE, "{to} after kill -9");
    }
    let mut client = testbed.spawn_client();
    client.wait_for("was killed; undoing the changes that it left");
    client.wait_for("the kill switch of sandhog0 stays until the new one is in place");
    client.wait_for("ready: ");
    assert_eq!(testbed.ping_once(FAR), THROUGH_TUNNEL);
    let (code, log) = client.terminate();
    assert_eq!(code, Some(0), "{log}");
    assert_eq!(testbed.ping_once(NEAR), OUTSIDE_TUNNEL);
}

#[test]
fn the_kill_switch_stays_after_a_crash_but_not_after_a_failed_first_login() {
    let testbed = testbed_or_skip!(full_tunnel());
    testbed.configure("kill-switch = true");
    let before = testbed.network_state();
    let _server = testbed.start_server();
    testbed.write("password", "not the battery staple\n");
    let (code, log) = testbed.spawn_client().wait();
    assert_eq!(code, Some(3), "{log}");
    assert_eq!(testbed.network_state(), before);

    testbed.write("password", &format!("{}\n", super::tunnel::PASSWORD));
    let client = testbed.start_client();
    testbed.client.run("ip", &["link", "delete", "sandhog0"]);
    let (code, log) = client.wait();
    assert_eq!(code, Some(1), "{log}");
    assert!(
        log.contains("the kill switch stays: `sandhog down --device sandhog0` removes it"),
        "{log}"
    );
    assert_eq!(testbed.ping_once(NEAR), UNREACHABLE);
    testbed.down();
    assert_eq!(testbed.network_state(), before);
}

#[test]
fn a_firewall_mark_in_use_exits_with_1_and_without_the_key_a_free_one_is_found() {
    let testbed = testbed_or_skip!(full_tunnel());
    testbed
        .client
        .run("ip", &["rule", "add", "fwmark", "0xca6d", "table", "100"]);
    let before = testbed.network_state();
    testbed.configure("fwmark = 51821");
    let _server = testbed.start_server();
    let (code, log) = testbed.spawn_client().wait();
    assert_eq!(code, Some(1), "{log}");
    assert!(log.contains("error: cannot use the mark 51821: "), "{log}");
    assert!(
        log.contains("help: `ip rule` and `ip route show table 51821`"),
        "{log}"
    );
    assert_eq!(testbed.network_state(), before);

    testbed.edit("client.toml", "fwmark = 51821\n", "");
    let mut client = testbed.spawn_client();
    client.wait_for("its own datagrams skip it (mark 51822)");
    client.wait_for("ready: ");
    assert_eq!(testbed.ping_once(FAR), THROUGH_TUNNEL);
    client.terminate();
    assert_eq!(testbed.network_state(), before);
}

#[test]
fn without_nft_a_kill_switch_exits_with_1_before_any_change() {
    let testbed = testbed_or_skip!(full_tunnel());
    testbed.configure("kill-switch = true");
    let before = testbed.network_state();
    let folder = testbed.path("empty");
    fs::create_dir(&folder).expect("the test folder");
    let nft = testbed.client.run("sh", &["-c", "command -v nft"]);
    let script = format!(
        "mount --bind {} $(dirname {})\nexec {} \"$@\"",
        folder.display(),
        nft.trim(),
        testbed.program().display()
    );
    let (code, log) = spawn_client_with_mounts(&testbed, &script).wait();
    assert_eq!(code, Some(1), "{log}");
    assert!(
        log.contains("error: cannot set the kill switch: the program `nft` is not installed\nhelp: "),
        "{log}"
    );
    assert_eq!(testbed.network_state(), before);
}

/// Starts the client by a script in its own mount namespace.
fn spawn_client_with_mounts(testbed: &Testbed, script: &str) -> Program {
    let mut command = Command::new("unshare");
    command.args(["--mount", "sh", "-e", "-c", script, "sh", "client", "--config"]);
    command.arg(testbed.path("client.toml"));
    command.env("RUNTIME_DIRECTORY", testbed.runtime_folder(&testbed.client));
    command.stdout(Stdio::null());
    testbed.client.enter(|| Program::spawn(command))
}
