//! Two network namespaces without names, and processes in them. They all disappear when this process ends or is killed.

use std::fs;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStderr, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail, ensure};

use crate::shell;

/// Timeout for a program that is being started.
pub(super) const TIMEOUT: Duration = Duration::from_secs(30);
/// Name of the device at both ends of the cable. RFC 2544 reserves its network for such measurements.
const CABLE: &str = "shbcable";

/// A child process, killed on drop.
#[derive(Debug)]
pub(super) struct Process(Child);

impl Process {
    /// Starts `command` so that the kernel kills it when this thread ends.
    pub(super) fn start(command: &mut Command) -> Result<Self> {
        let shown = format!("{command:?}");
        let child = command.stdin(Stdio::null()).stdout(Stdio::null()).spawn();
        child.map(Self).with_context(|| format!("cannot start {shown}"))
    }

    pub(super) fn id(&self) -> u32 {
        self.0.id()
    }

    /// Processor time of all threads so far.
    pub(super) fn processor_time(&self) -> Result<Duration> {
        let mut total = Duration::ZERO;
        for thread in fs::read_dir(format!("/proc/{}/task", self.id()))? {
            let text = fs::read_to_string(thread?.path().join("schedstat"))?;
            let nanos = text.split_whitespace().next().and_then(|word| word.parse().ok());
            total += Duration::from_nanos(nanos.context("schedstat is empty")?);
        }
        Ok(total)
    }

    /// Resident memory, in bytes.
    pub(super) fn resident(&self) -> Result<u64> {
        let text = fs::read_to_string(format!("/proc/{}/status", self.id()))?;
        let line = text.lines().find_map(|line| line.strip_prefix("VmRSS:"));
        let kib = line.and_then(|line| line.split_whitespace().next()?.parse::<u64>().ok());
        Ok(kib.context("the status of a process has no VmRSS")? * 1024)
    }

    /// Returns true if the process has ended.
    fn has_ended(&mut self) -> Result<bool> {
        Ok(self.0.try_wait()?.is_some())
    }

    /// Waits for `text` on standard error, which must be a pipe. Later output is read and dropped.
    pub(super) fn wait_for(&mut self, text: &str, timeout: Duration) -> Result<()> {
        let stderr = self.0.stderr.take().context("standard error is not a pipe")?;
        let lines = read_lines(stderr);
        let deadline = Instant::now() + timeout;
        let mut log = String::new();
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            let Ok(line) = lines.recv_timeout(left) else {
                bail!("waiting for `{text}`: timeout. The output:\n{log}");
            };
            if line.contains(text) {
                return Ok(());
            }
            log += &line;
            log.push('\n');
        }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // An error means that the process has already ended.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn read_lines(stderr: ChildStderr) -> Receiver<String> {
    let (sender, lines) = channel();
    std::thread::spawn(move || {
        for line in BufReader::new(stderr).lines().map_while(Result::ok) {
            // The receiver may be gone, but the pipe must be emptied.
            let _ = sender.send(line);
        }
    });
    lines
}

/// A network namespace, kept alive by a process that sleeps.
#[derive(Debug)]
pub(super) struct Space {
    holder: Process,
}

impl Space {
    /// Creates a namespace with only a loopback device.
    pub(super) fn new() -> Result<Self> {
        let own = fs::read_link("/proc/self/ns/net")?;
        let mut command = mortal("unshare");
        let mut holder = Process::start(command.args(["--net", "sleep", "infinity"]))?;
        let path = format!("/proc/{}/ns/net", holder.id());
        wait_until("a network namespace", || {
            ensure!(!holder.has_ended()?, "`unshare --net` has failed");
            Ok(fs::read_link(&path).is_ok_and(|space| space != own))
        })?;
        let space = Self { holder };
        space.ip("link set lo up")?;
        Ok(space)
    }

    /// A command for `program` in this namespace.
    pub(super) fn command(&self, program: impl AsRef<Path>) -> Command {
        self.enter(mortal("nsenter"), program)
    }

    /// A command for `program` in this namespace, in a session of its own, as daemons have. Linux may share the processors by
    /// session (sched(7), "The autogroup feature"), and so the daemon gets the same share as in real use.
    pub(super) fn daemon(&self, program: impl AsRef<Path>) -> Command {
        let mut command = mortal("setsid");
        command.arg("nsenter");
        self.enter(command, program)
    }

    fn enter(&self, mut command: Command, program: impl AsRef<Path>) -> Command {
        command.arg(format!("--net=/proc/{}/ns/net", self.holder.id()));
        command.arg(program.as_ref());
        command
    }

    /// Runs `ip` in this namespace with the words of `line`.
    pub(super) fn ip(&self, line: &str) -> Result<()> {
        let mut command = self.command("ip");
        shell::read(command.args(line.split_whitespace())).map(drop)
    }
}

/// A command for `program`, which the kernel kills when this process ends.
fn mortal(program: &str) -> Command {
    let mut command = Command::new("setpriv");
    command.args(["--pdeathsig", "KILL", program]);
    command
}

/// Polls until `is_so` returns true.
///
/// # Errors
/// `is_so` fails, or the timeout has expired.
pub(super) fn wait_until(what: &str, mut is_so: impl FnMut() -> Result<bool>) -> Result<()> {
    let deadline = Instant::now() + TIMEOUT;
    while !is_so()? {
        ensure!(Instant::now() < deadline, "waiting for {what}: timeout");
        std::thread::sleep(Duration::from_millis(10));
    }
    Ok(())
}

/// Two namespaces and the cable between them.
#[derive(Debug)]
pub(super) struct Network {
    /// Namespace of the servers.
    pub(super) server: Space,
    /// Namespace of the clients.
    pub(super) client: Space,
    /// Folder for files.
    pub(super) folder: PathBuf,
    _iperf3: Process,
}

impl Network {
    /// The server's address on the cable.
    pub(super) const SERVER: &str = "198.18.7.1";
    const CLIENT: &str = "198.18.7.2";

    /// Creates the namespaces and the cable, and starts the server of `iperf3`.
    pub(super) fn new() -> Result<Self> {
        let folder = shell::scratch("bench-tun")?;
        let (server, client) = (Space::new()?, Space::new()?);
        let line = format!(
            "link add {CABLE} netns {} type veth peer name {CABLE} netns {}",
            server.holder.id(),
            client.holder.id()
        );
        shell::read(shell::command("ip", &line).stdin(Stdio::null()))?;
        for (space, address) in [(&server, Self::SERVER), (&client, Self::CLIENT)] {
            space.ip(&format!("address add {address}/24 dev {CABLE}"))?;
            space.ip(&format!("link set {CABLE} up"))?;
        }
        let iperf3 = Process::start(server.daemon("iperf3").arg("--server"))?;
        Ok(Self {
            server,
            client,
            folder,
            _iperf3: iperf3,
        })
    }
}
