//! Named network namespace that exists until it is dropped.

use std::fs::File;
use std::os::fd::AsFd;
use std::process::Command;
use std::sync::atomic::{AtomicU32, Ordering};
use std::thread;

use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};

/// Packets and bytes that a device has carried.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Traffic {
    /// From the machine into the device.
    pub(super) sent: (u64, u64),
    /// From the device into the machine.
    pub(super) received: (u64, u64),
}

/// A network namespace. It is removed on drop, also if the test panics.
#[derive(Debug)]
pub(super) struct Namespace {
    name: String,
}

impl Namespace {
    /// Creates a namespace. Its name contains the process id and a number, so that test runs do not collide.
    pub(super) fn new() -> Result<Self, String> {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let number = COUNT.fetch_add(1, Ordering::Relaxed);
        let name = format!("sandhog-{}-{number}", std::process::id());
        ip(&["netns", "add", &name])?;
        let namespace = Self { name };
        namespace.try_run("ip", &["link", "set", "lo", "up"])?;
        Ok(namespace)
    }

    /// The name.
    pub(super) fn name(&self) -> &str {
        &self.name
    }

    /// Connects two namespaces by a veth pair with these names and known hardware addresses, and brings both
    /// devices up.
    pub(super) fn connect(&self, name: &str, other: &Self, other_name: &str) -> Result<(), String> {
        let end = |namespace: &Self, name: &str, last: u8| {
            let hardware = format!("02:00:00:00:00:{last:02x}");
            format!("{name} address {hardware} netns {}", namespace.name)
        };
        let (this, that) = (end(self, name, 1), end(other, other_name, 2));
        let command = format!("link add {this} type veth peer name {that}");
        ip(&command.split(' ').collect::<Vec<_>>())?;
        for (namespace, name) in [(self, name), (other, other_name)] {
            // IPv6 link-local addresses would appear later, after duplicate address detection.
            namespace.try_run("ip", &["link", "set", name, "addrgenmode", "none", "up"])?;
        }
        Ok(())
    }

    /// Adds an address with prefix length to a device. IPv6 addresses are usable immediately.
    pub(super) fn add_address(&self, device: &str, address: &str) -> Result<(), String> {
        let no_detection: &[&str] = if address.contains(':') { &["nodad"] } else { &[] };
        let command = [&["address", "add", address, "dev", device], no_detection].concat();
        self.try_run("ip", &command).map(drop)
    }

    /// Reads a file whose content depends on the namespace, such as those in `/proc/thread-self/net`.
    #[track_caller]
    pub(super) fn read(&self, path: &str) -> String {
        self.enter(|| std::fs::read_to_string(path))
            .unwrap_or_else(|error| panic!("{path}: {error}"))
    }

    /// Sets a sysctl by its path below `/proc/sys/net`.
    #[track_caller]
    pub(super) fn set_sysctl(&self, switch: &str, value: &str) {
        let path = format!("/proc/sys/net/{switch}");
        self.enter(|| std::fs::write(&path, value))
            .unwrap_or_else(|error| panic!("{path}: {error}"));
    }

    /// The network state that a program could change: devices, addresses, routes, rules, nftables, sockets,
    /// and the sysctls for forwarding.
    pub(super) fn state(&self) -> String {
        let commands = [
            "ip -o link show",
            "ip -o address show",
            "ip -4 route show table all",
            "ip -6 route show table all",
            "ip -4 rule show",
            "ip -6 rule show",
            "nft list ruleset",
        ];
        let outputs = commands.into_iter().map(|command| {
            let mut words = command.split(' ');
            let program = words.next().unwrap_or_default();
            let output = self.try_run(program, &words.collect::<Vec<_>>());
            format!("$ {command}\n{}", output.unwrap_or_else(|error| error))
        });
        let files = [
            "/proc/sys/net/ipv4/ip_forward",
            "/proc/sys/net/ipv4/conf/all/src_valid_mark",
            "/proc/sys/net/ipv6/conf/all/forwarding",
            "/proc/sys/net/ipv6/conf/default/forwarding",
        ];
        let files = files
            .into_iter()
            .map(|file| format!("$ {file}\n{}", self.read(file)));
        let sockets = ["udp", "udp6"].map(|table| {
            let sockets = self.read(&format!("/proc/thread-self/net/{table}"));
            format!("{table}: {} sockets\n", sockets.lines().count() - 1)
        });
        outputs.chain(files).chain(sockets).collect()
    }

    /// Runs `work` on a new thread inside the namespace. Sockets and processes created there stay there.
    pub(super) fn enter<T: Send>(&self, work: impl FnOnce() -> T + Send) -> T {
        let path = format!("/run/netns/{}", self.name);
        thread::scope(|scope| {
            let inside = scope.spawn(|| {
                let file = File::open(path).expect("the namespace exists");
                move_into_link_name_space(file.as_fd(), Some(LinkNameSpaceType::Network))
                    .expect("root may enter");
                work()
            });
            inside
                .join()
                .unwrap_or_else(|panic| std::panic::resume_unwind(panic))
        })
    }

    /// Runs a program inside, which must succeed, and returns its standard output.
    #[track_caller]
    pub(super) fn run(&self, program: &str, arguments: &[&str]) -> String {
        self.try_run(program, arguments)
            .unwrap_or_else(|error| panic!("{error}"))
    }

    /// The same for a program that must fail. Returns standard output and standard error.
    #[track_caller]
    pub(super) fn run_to_failure(&self, program: &str, arguments: &[&str]) -> String {
        match self.try_run(program, arguments) {
            Ok(text) => panic!("{program} succeeded: {text}"),
            Err(text) => text,
        }
    }

    /// The same for a program that may fail.
    pub(super) fn try_run(&self, program: &str, arguments: &[&str]) -> Result<String, String> {
        self.enter(|| run(program, arguments))
    }

    /// The kernel's counts of packets sent into the tunnel's device and received from it.
    pub(super) fn tunnel_packets(&self) -> (u64, u64) {
        let traffic = self.traffic("sandhog0");
        (traffic.sent.0, traffic.received.0)
    }

    /// The kernel's counters of a device.
    #[track_caller]
    pub(super) fn traffic(&self, device: &str) -> Traffic {
        let table = self.read("/proc/thread-self/net/dev");
        let line = table
            .lines()
            .find_map(|line| line.trim().strip_prefix(device)?.strip_prefix(':'))
            .unwrap_or_else(|| panic!("no device {device} in {table}"));
        let columns: Vec<u64> = line
            .split_whitespace()
            .map(|column| column.parse().expect("a number"))
            .collect();
        Traffic {
            sent: (columns[9], columns[8]),
            received: (columns[1], columns[0]),
        }
    }
}

impl Drop for Namespace {
    fn drop(&mut self) {
        if let Err(error) = ip(&["netns", "delete", &self.name]) {
            eprintln!("{error}");
        }
    }
}

/// Compares two states of a namespace, and shows only the differences.
#[track_caller]
pub(super) fn assert_unchanged(before: &str, after: &str) {
    let lines = |of: &str, other: &str| -> Vec<String> {
        let other: Vec<_> = other.lines().collect();
        let missing = of.lines().filter(|line| !other.contains(line));
        missing.map(str::to_owned).collect()
    };
    let (gone, new) = (lines(before, after), lines(after, before));
    assert!(before == after, "gone: {gone:#?}, new: {new:#?}");
}

fn ip(arguments: &[&str]) -> Result<(), String> {
    run("ip", arguments).map(drop)
}

fn run(program: &str, arguments: &[&str]) -> Result<String, String> {
    let command = format!("{program} {}", arguments.join(" "));
    let output = Command::new(program)
        .args(arguments)
        .output()
        .map_err(|error| format!("{command}: {error}"))?;
    let text = |bytes| String::from_utf8_lossy(bytes).into_owned();
    if output.status.success() {
        Ok(text(&output.stdout))
    } else {
        Err(format!(
            "{command}: {}{}",
            text(&output.stdout),
            text(&output.stderr)
        ))
    }
}
