//! The client machine's name servers while the tunnel is up and after its end: through systemd-resolved, which a script plays
//! that notes what it is told, and in /etc/resolv.conf.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::process::Command;

use super::network::full_tunnel;
use super::program::Program;
use super::tunnel::{Outer, World};

/// A machine's resolv.conf before the tunnel.
const OLD: &str = "# Written by hand.\nnameserver 127.0.0.53\noptions edns0\n";

/// A world whose client's machine has an /etc and a /run of its own, and a `resolvectl` that writes its arguments down.
struct Machine {
    world: World,
    /// What is mounted besides, before the program starts.
    mounts: String,
}

impl Machine {
    /// The server offers name servers and a search domain; the client tells its machine by `method`.
    fn new(world: World, method: &str) -> Self {
        for folder in ["etc", "bin", "run/systemd/resolve"] {
            fs::create_dir_all(world.path(folder)).expect("a folder of ours");
        }
        let status = Command::new("cp")
            .args(["-a", "/etc/."])
            .arg(world.path("etc"))
            .status();
        assert!(status.expect("cp").success());
        // It may be a link.
        fs::remove_file(world.path("etc/resolv.conf")).expect("every machine has one");
        world.write("etc/resolv.conf", OLD);
        // By this the client knows that systemd-resolved runs, and by the address in the file above that it is asked.
        world.write("run/systemd/resolve/resolv.conf", "nameserver 203.0.113.53\n");
        let told = world.path("told").display().to_string();
        world.write("bin/resolvectl", &format!("#!/bin/sh\necho \"$@\" >> {told}\n"));
        let mode = fs::Permissions::from_mode(0o755);
        fs::set_permissions(world.path("bin/resolvectl"), mode).expect("a file of ours");
        world.edit(
            "server.toml",
            "# dns = [\"10.9.0.1\"]",
            "dns = [\"10.9.0.1\", \"fd00:9::1\"]",
        );
        world.edit("server.toml", "# search = ", "search = ");
        world.edit("client.toml", "dns = \"off\"", &format!("dns = \"{method}\""));
        Self {
            world,
            mounts: String::new(),
        }
    }

    /// A world whose server offers no routes.
    fn split_tunnel(method: &str) -> Result<Self, String> {
        let world = World::secure(Outer::V4)?;
        world.edit("server.toml", "# [clients] ", "[clients] ");
        Ok(Self::new(world, method))
    }

    /// The program on the client's machine.
    fn command(&self, arguments: &[&str]) -> Command {
        let folder = |name: &str| self.world.path(name).display().to_string();
        let script = format!(
            "mount --bind {} /etc\nmount --bind {} /run\n{}\nexec {} \"$@\"",
            folder("etc"),
            folder("run"),
            self.mounts,
            self.world.program().display()
        );
        let path = std::env::var("PATH").expect("a search path");
        let mut command = Command::new("unshare");
        command
            .args(["--mount", "sh", "-e", "-c", &script, "sh"])
            .args(arguments)
            .env("PATH", format!("{}:{path}", folder("bin")))
            .env("RUNTIME_DIRECTORY", self.world.runtime_folder(&self.world.client));
        command
    }

    #[track_caller]
    fn start_client(&self) -> Program {
        let file = self.world.path("client.toml").display().to_string();
        let command = self.command(&["client", "--config", &file]);
        let mut client = self.world.client.enter(|| Program::spawn(command));
        client.wait_for("ready: ");
        client
    }

    /// `sandhog down`, which must go well; gives what it said.
    #[track_caller]
    fn down(&self) -> String {
        let command = self.command(&["down"]);
        let (code, said) = self.world.client.enter(|| Program::spawn(command)).wait();
        assert_eq!(code, Some(0), "{said}");
        said
    }

    /// What `resolvectl` was told so far, a call a line.
    fn told(&self) -> Vec<String> {
        let text = fs::read_to_string(self.world.path("told")).unwrap_or_default();
        text.lines().map(str::to_owned).collect()
    }

    fn resolv_conf(&self) -> String {
        fs::read_to_string(self.world.path("etc/resolv.conf")).expect("every machine has one")
    }

    /// Whatever is in /etc under the name of resolv.conf or a longer one.
    fn kept(&self) -> Vec<PathBuf> {
        let entries = fs::read_dir(self.world.path("etc")).expect("a folder of ours");
        let paths = entries.map(|entry| entry.expect("an entry").path());
        let is_longer = |path: &PathBuf| {
            let name = path.file_name().expect("a name").to_string_lossy().into_owned();
            name.contains("resolv.conf") && name != "resolv.conf"
        };
        paths.filter(is_longer).collect()
    }

    #[track_caller]
    fn is_as_before(&self) {
        assert_eq!(self.resolv_conf(), OLD);
        assert!(self.kept().is_empty(), "{:?}", self.kept());
    }

    #[track_caller]
    fn is_of_the_tunnel(&self) {
        let text = self.resolv_conf();
        let own = "nameserver 10.9.0.1\nnameserver fd00:9::1\nsearch example.com\n";
        assert!(text.ends_with(own) && !text.contains("127.0.0.53"), "{text}");
        let kept = self.kept();
        assert_eq!(kept.len(), 1, "{kept:?}");
        assert_eq!(fs::read_to_string(&kept[0]).expect("a file"), OLD);
    }
}

const SERVERS_TOLD: &str = "dns sandhog0 10.9.0.1 fd00:9::1";

#[test]
fn a_full_tunnel_with_a_kill_switch_shows_in_nft_and_is_asked_for_all_names_until_it_ends() {
    let machine = Machine::new(world_or_skip!(full_tunnel()), "auto");
    machine
        .world
        .edit("client.toml", "# kill-switch = false", "kill-switch = true");
    let rules = || machine.world.client.run("nft", &["list", "ruleset"]);
    assert_eq!(rules(), "");
    let _server = machine.world.start_server();
    let client = machine.start_client();
    let told = [
        SERVERS_TOLD,
        "domain sandhog0 ~. example.com",
        "default-route sandhog0 true",
    ];
    assert_eq!(machine.told(), told);
    let table = machine
        .world
        .client
        .run("nft", &["list", "table", "inet", "sandhog-sandhog0"]);
    assert!(
        table.contains("hook output") && table.contains("drop") && table.contains("oifname \"sandhog0\""),
        "{table}"
    );
    let (code, log) = client.terminate();
    assert_eq!(code, Some(0), "{log}");
    // It knows name servers by their device, and forgets them with it.
    assert_eq!(machine.told(), told);
    let devices = machine.world.client.run("ip", &["-o", "link", "show"]);
    assert!(!devices.contains("sandhog0"), "{devices}");
    assert_eq!(rules(), "");
    machine.is_as_before();
}

#[test]
fn a_split_tunnel_is_asked_for_its_search_domains_only_and_others_come_in_the_place_of_those() {
    let machine = world_or_skip!(Machine::split_tunnel("auto"));
    let server = machine.world.start_server();
    let mut client = machine.start_client();
    let told = |domain: &str| {
        let domain = format!("domain sandhog0 {domain}");
        [SERVERS_TOLD, &domain, "default-route sandhog0 false"].map(str::to_owned)
    };
    assert_eq!(machine.told(), told("example.com"));
    machine.world.edit(
        "server.toml",
        "search = [\"example.com\"]",
        "search = [\"corp.example\"]",
    );
    let (code, log) = server.terminate();
    assert_eq!(code, Some(0), "{log}");
    let _server = machine.world.start_server();
    client.wait_for("status: reasserting");
    client.wait_for("name servers, by resolvectl");
    let again = machine.told();
    assert_eq!(again[3], "revert sandhog0");
    assert_eq!(again[4..], told("corp.example"));
}

#[test]
fn after_kill_9_down_says_nothing_of_a_device_that_systemd_resolved_has_forgotten() {
    let machine = world_or_skip!(Machine::split_tunnel("auto"));
    let _server = machine.world.start_server();
    machine.start_client().kill();
    let told = machine.told();
    let said = machine.down();
    assert!(said.contains("undone: the name servers"), "{said}");
    assert_eq!(machine.told(), told);
}

#[test]
fn resolv_conf_holds_the_tunnels_name_servers_and_a_normal_end_puts_the_old_ones_back() {
    let machine = world_or_skip!(Machine::split_tunnel("file"));
    let _server = machine.world.start_server();
    let client = machine.start_client();
    machine.is_of_the_tunnel();
    let (code, log) = client.terminate();
    assert_eq!(code, Some(0), "{log}");
    machine.is_as_before();
    assert_eq!(machine.told(), Vec::<String>::new());
}

/// Twice, because both are to bring it back: `down`, and the next start.
#[track_caller]
fn comes_back_after_kill_9(machine: &Machine) {
    let _server = machine.world.start_server();
    machine.start_client().kill();
    machine.is_of_the_tunnel();
    let said = machine.down();
    assert!(said.contains("undone: /etc/resolv.conf"), "{said}");
    machine.is_as_before();

    machine.start_client().kill();
    let client = machine.start_client();
    machine.is_of_the_tunnel();
    let (code, log) = client.terminate();
    assert_eq!(code, Some(0), "{log}");
    machine.is_as_before();
}

#[test]
fn after_kill_9_down_puts_resolv_conf_back_and_so_does_the_next_start() {
    comes_back_after_kill_9(&world_or_skip!(Machine::split_tunnel("file")));
}

#[test]
fn a_resolv_conf_that_is_a_mount_as_in_containers_comes_back_after_kill_9_as_well() {
    let mut machine = world_or_skip!(Machine::split_tunnel("file"));
    machine.mounts = "mount --bind /etc/resolv.conf /etc/resolv.conf".to_owned();
    comes_back_after_kill_9(&machine);
}
