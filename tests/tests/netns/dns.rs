//! DNS settings of the client's machine during and after the tunnel: through systemd-resolved (replaced by a
//! script that records its arguments), and in /etc/resolv.conf.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::process::Command;

use super::network::full_tunnel;
use super::program::Program;
use super::tunnel::{Outer, Testbed};

/// The resolv.conf before the tunnel.
const OLD: &str = "# Written by hand.\nnameserver 127.0.0.53\noptions edns0\n";

/// A testbed where the client has its own /etc and /run, and a `resolvectl` that records its arguments.
struct ClientMachine {
    testbed: Testbed,
    /// Commands for further mounts before the program starts.
    mounts: String,
}

impl ClientMachine {
    /// The server offers name servers and a search domain. The client configures them by `method`.
    fn new(testbed: Testbed, method: &str) -> Self {
        for folder in ["etc", "bin", "run/systemd/resolve"] {
            fs::create_dir_all(testbed.path(folder)).expect("the test folder");
        }
        let status = Command::new("cp")
            .args(["-a", "/etc/."])
            .arg(testbed.path("etc"))
            .status();
        assert!(status.expect("cp").success());
        // It may be a symbolic link.
        fs::remove_file(testbed.path("etc/resolv.conf")).expect("every machine has one");
        testbed.write("etc/resolv.conf", OLD);
        // The client detects by this file that systemd-resolved runs, and by the address in the file above
        // that it is in use.
        testbed.write("run/systemd/resolve/resolv.conf", "nameserver 203.0.113.53\n");
        let calls = testbed.path("calls").display().to_string();
        testbed.write("bin/resolvectl", &format!("#!/bin/sh\necho \"$@\" >> {calls}\n"));
        let mode = fs::Permissions::from_mode(0o755);
        fs::set_permissions(testbed.path("bin/resolvectl"), mode).expect("a file of the test");
        testbed.edit(
            "server.toml",
            "# dns = [\"10.9.0.1\"]",
            "dns = [\"10.9.0.1\", \"fd00:9::1\"]",
        );
        testbed.edit("server.toml", "# search = ", "search = ");
        testbed.edit("client.toml", "dns = \"off\"", &format!("dns = \"{method}\""));
        Self {
            testbed,
            mounts: String::new(),
        }
    }

    /// A testbed whose server offers no routes to clients.
    fn split_tunnel(method: &str) -> Result<Self, String> {
        let testbed = Testbed::secure(Outer::V4)?;
        testbed.edit("server.toml", "# [clients] ", "[clients] ");
        Ok(Self::new(testbed, method))
    }

    /// The command that runs the program on the client's machine.
    fn command(&self, arguments: &[&str]) -> Command {
        let folder = |name: &str| self.testbed.path(name).display().to_string();
        let script = format!(
            "mount --bind {} /etc\nmount --bind {} /run\n{}\nexec {} \"$@\"",
            folder("etc"),
            folder("run"),
            self.mounts,
            self.testbed.program().display()
        );
        let path = std::env::var("PATH").expect("a search path");
        let mut command = Command::new("unshare");
        command
            .args(["--mount", "sh", "-e", "-c", &script, "sh"])
            .args(arguments)
            .env("PATH", format!("{}:{path}", folder("bin")))
            .env(
                "RUNTIME_DIRECTORY",
                self.testbed.runtime_folder(&self.testbed.client),
            );
        command
    }

    #[track_caller]
    fn start_client(&self) -> Program {
        let file = self.testbed.path("client.toml").display().to_string();
        let command = self.command(&["client", "--config", &file]);
        let mut client = self.testbed.client.enter(|| Program::spawn(command));
        client.wait_for("ready: ");
        client
    }

    /// Runs `sandhog down`, which must succeed, and returns its output.
    #[track_caller]
    fn down(&self) -> String {
        let command = self.command(&["down"]);
        let (code, printed) = self.testbed.client.enter(|| Program::spawn(command)).wait();
        assert_eq!(code, Some(0), "{printed}");
        printed
    }

    /// The recorded calls of `resolvectl`, one per line.
    fn calls(&self) -> Vec<String> {
        let text = fs::read_to_string(self.testbed.path("calls")).unwrap_or_default();
        text.lines().map(str::to_owned).collect()
    }

    fn resolv_conf(&self) -> String {
        fs::read_to_string(self.testbed.path("etc/resolv.conf")).expect("every machine has one")
    }

    /// The files in /etc whose names contain resolv.conf, except resolv.conf itself.
    fn backups(&self) -> Vec<PathBuf> {
        let entries = fs::read_dir(self.testbed.path("etc")).expect("the test folder");
        let paths = entries.map(|entry| entry.expect("an entry").path());
        let is_longer = |path: &PathBuf| {
            let name = path.file_name().expect("a name").to_string_lossy().into_owned();
            name.contains("resolv.conf") && name != "resolv.conf"
        };
        paths.filter(is_longer).collect()
    }

    #[track_caller]
    fn assert_restored(&self) {
        assert_eq!(self.resolv_conf(), OLD);
        assert!(self.backups().is_empty(), "{:?}", self.backups());
    }

    #[track_caller]
    fn assert_tunnel_dns(&self) {
        let text = self.resolv_conf();
        let own = "nameserver 10.9.0.1\nnameserver fd00:9::1\nsearch example.com\n";
        assert!(text.ends_with(own) && !text.contains("127.0.0.53"), "{text}");
        let backups = self.backups();
        assert_eq!(backups.len(), 1, "{backups:?}");
        assert_eq!(fs::read_to_string(&backups[0]).expect("a file"), OLD);
    }
}

const SERVERS_CALL: &str = "dns sandhog0 10.9.0.1 fd00:9::1";

#[test]
fn a_full_tunnel_with_a_kill_switch_sets_nft_rules_and_dns_until_it_ends() {
    let machine = ClientMachine::new(testbed_or_skip!(full_tunnel()), "auto");
    machine
        .testbed
        .edit("client.toml", "# kill-switch = false", "kill-switch = true");
    let rules = || machine.testbed.client.run("nft", &["list", "ruleset"]);
    assert_eq!(rules(), "");
    let _server = machine.testbed.start_server();
    let client = machine.start_client();
    let calls = [
        SERVERS_CALL,
        "domain sandhog0 ~. example.com",
        "default-route sandhog0 true",
    ];
    assert_eq!(machine.calls(), calls);
    let table = machine
        .testbed
        .client
        .run("nft", &["list", "table", "inet", "sandhog-sandhog0"]);
    assert!(
        table.contains("hook output") && table.contains("drop") && table.contains("oifname \"sandhog0\""),
        "{table}"
    );
    let (code, log) = client.terminate();
    assert_eq!(code, Some(0), "{log}");
    // systemd-resolved stores name servers per device, and forgets them together with the device.
    assert_eq!(machine.calls(), calls);
    let devices = machine.testbed.client.run("ip", &["-o", "link", "show"]);
    assert!(!devices.contains("sandhog0"), "{devices}");
    assert_eq!(rules(), "");
    machine.assert_restored();
}

#[test]
fn a_split_tunnel_resolves_only_its_search_domains_and_follows_changes() {
    let machine = testbed_or_skip!(ClientMachine::split_tunnel("auto"));
    let server = machine.testbed.start_server();
    let mut client = machine.start_client();
    let calls = |domain: &str| {
        let domain = format!("domain sandhog0 {domain}");
        [SERVERS_CALL, &domain, "default-route sandhog0 false"].map(str::to_owned)
    };
    assert_eq!(machine.calls(), calls("example.com"));
    machine.testbed.edit(
        "server.toml",
        "search = [\"example.com\"]",
        "search = [\"corp.example\"]",
    );
    let (code, log) = server.terminate();
    assert_eq!(code, Some(0), "{log}");
    let _server = machine.testbed.start_server();
    client.wait_for("status: reasserting");
    client.wait_for("name servers, set with resolvectl");
    let again = machine.calls();
    assert_eq!(again[3], "revert sandhog0");
    assert_eq!(again[4..], calls("corp.example"));
}

#[test]
fn after_kill_9_down_does_not_call_resolvectl_for_the_removed_device() {
    let machine = testbed_or_skip!(ClientMachine::split_tunnel("auto"));
    let _server = machine.testbed.start_server();
    machine.start_client().kill();
    let calls = machine.calls();
    let printed = machine.down();
    assert!(printed.contains("undone: name servers"), "{printed}");
    assert_eq!(machine.calls(), calls);
}

#[test]
fn resolv_conf_has_the_tunnels_name_servers_until_a_normal_end() {
    let machine = testbed_or_skip!(ClientMachine::split_tunnel("file"));
    let _server = machine.testbed.start_server();
    let client = machine.start_client();
    machine.assert_tunnel_dns();
    let (code, log) = client.terminate();
    assert_eq!(code, Some(0), "{log}");
    machine.assert_restored();
    assert_eq!(machine.calls(), Vec::<String>::new());
}

/// Checks that both `down` and the next start restore the file.
#[track_caller]
fn assert_restored_after_kill_9(machine: &ClientMachine) {
    let _server = machine.testbed.start_server();
    machine.start_client().kill();
    machine.assert_tunnel_dns();
    let printed = machine.down();
    assert!(printed.contains("undone: /etc/resolv.conf"), "{printed}");
    machine.assert_restored();

    machine.start_client().kill();
    let client = machine.start_client();
    machine.assert_tunnel_dns();
    let (code, log) = client.terminate();
    assert_eq!(code, Some(0), "{log}");
    machine.assert_restored();
}

#[test]
fn after_kill_9_down_or_the_next_start_restores_resolv_conf() {
    assert_restored_after_kill_9(&testbed_or_skip!(ClientMachine::split_tunnel("file")));
}

#[test]
fn after_kill_9_a_resolv_conf_that_is_a_mount_point_is_restored() {
    let mut machine = testbed_or_skip!(ClientMachine::split_tunnel("file"));
    machine.mounts = "mount --bind /etc/resolv.conf /etc/resolv.conf".to_owned();
    assert_restored_after_kill_9(&machine);
}
