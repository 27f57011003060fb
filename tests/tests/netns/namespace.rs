//! A network namespace with a name, for as long as the test runs.

use std::fs::File;
use std::os::fd::AsFd;
use std::process::Command;
use std::sync::atomic::{AtomicU32, Ordering};
use std::thread;

use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};

/// Removed when dropped, also when the test panics.
#[derive(Debug)]
pub(super) struct Namespace {
    name: String,
}

impl Namespace {
    /// Makes one. Its name has the process and a number in it, so that test runs do not meet.
    pub(super) fn new() -> Result<Self, String> {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let number = COUNT.fetch_add(1, Ordering::Relaxed);
        let name = format!("sandhog-{}-{number}", std::process::id());
        ip(&["netns", "add", &name])?;
        let namespace = Self { name };
        namespace.try_run("ip", &["link", "set", "lo", "up"])?;
        Ok(namespace)
    }

    /// Its name.
    pub(super) fn name(&self) -> &str {
        &self.name
    }

    /// Joins two namespaces by a pair of devices, both called `outer`, with known hardware addresses.
    pub(super) fn join(&self, other: &Self) -> Result<(), String> {
        let end = |namespace: &Self, last: u8| {
            let hardware = format!("02:00:00:00:00:{last:02x}");
            format!("outer address {hardware} netns {}", namespace.name)
        };
        let (this, other) = (end(self, 1), end(other, 2));
        let command = format!("link add {this} type veth peer name {other}");
        ip(&command.split(' ').collect::<Vec<_>>())
    }

    /// Runs `work` on a thread of its own inside the namespace. Sockets and processes made there stay there.
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

    /// Runs a program inside to its end, which must be a good one, and gives what it printed.
    #[track_caller]
    pub(super) fn run(&self, program: &str, arguments: &[&str]) -> String {
        self.try_run(program, arguments)
            .unwrap_or_else(|error| panic!("{error}"))
    }

    /// The same for a program that must fail; gives what it printed on both outputs.
    #[track_caller]
    pub(super) fn run_to_failure(&self, program: &str, arguments: &[&str]) -> String {
        match self.try_run(program, arguments) {
            Ok(text) => panic!("{program} has succeeded: {text}"),
            Err(text) => text,
        }
    }

    pub(super) fn try_run(&self, program: &str, arguments: &[&str]) -> Result<String, String> {
        self.enter(|| run(program, arguments))
    }

    /// Packets that went into the tunnel's device here and that came out of it, as the kernel counts them.
    pub(super) fn tunnel_packets(&self) -> (u64, u64) {
        let table = self
            .enter(|| std::fs::read_to_string("/proc/thread-self/net/dev"))
            .expect("a table of devices");
        let line = table
            .lines()
            .find_map(|line| line.trim().strip_prefix("sandhog0:"))
            .expect("the tunnel's device");
        let columns: Vec<u64> = line
            .split_whitespace()
            .map(|column| column.parse().expect("a number"))
            .collect();
        (columns[9], columns[1])
    }
}

impl Drop for Namespace {
    fn drop(&mut self) {
        if let Err(error) = ip(&["netns", "delete", &self.name]) {
            eprintln!("{error}");
        }
    }
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
