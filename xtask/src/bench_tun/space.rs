//! Two network namespaces without names, and processes in them. Everything goes when this process does, whatever its end.

use std::fs;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStderr, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail, ensure};

use crate::shell;

/// Longest wait for anything that is being started.
pub(super) const PATIENCE: Duration = Duration::from_secs(30);
/// The device at either end of the cable. Its network is set aside for such measurements by RFC 2544.
const CABLE: &str = "shbcable";

/// A process of ours, killed when dropped.
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

    /// What it has ended with, if it has.
    fn has_ended(&mut self) -> Result<bool> {
        Ok(self.0.try_wait()?.is_some())
    }

    /// Waits until it says `text` on standard error, which must be a pipe; what follows is read and thrown away.
    pub(super) fn wait_for(&mut self, text: &str, patience: Duration) -> Result<()> {
        let stderr = self.0.stderr.take().context("standard error is no pipe")?;
        let lines = read_lines(stderr);
        let deadline = Instant::now() + patience;
        let mut log = String::new();
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            let Ok(line) = lines.recv_timeout(left) else {
                bail!("waiting for `{text}` in vain; what was said:\n{log}");
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
        // An error means that it has ended already.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn read_lines(stderr: ChildStderr) -> Receiver<String> {
    let (sender, lines) = channel();
    std::thread::spawn(move || {
        for line in BufReader::new(stderr).lines().map_while(Result::ok) {
            // Nobody listens any more; the pipe must not fill.
            let _ = sender.send(line);
        }
    });
    lines
}

/// A network namespace, held by a process that does nothing else.
#[derive(Debug)]
pub(super) struct Space {
    holder: Process,
}

impl Space {
    /// Makes one with nothing but a loopback device in it.
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

    /// `program`, to be run inside.
    pub(super) fn command(&self, program: impl AsRef<Path>) -> Command {
        self.enter(mortal("nsenter"), program)
    }

    /// `program`, to be run inside in a session of its own, as daemons do: where processors are shared out by session
    /// (sched(7), "The autogroup feature"), it shares with those who send through it as it does in use.
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

    /// Runs `ip` inside with the words of `line`.
    pub(super) fn ip(&self, line: &str) -> Result<()> {
        let mut command = self.command("ip");
        shell::read(command.args(line.split_whitespace())).map(drop)
    }
}

/// `program`, which does not outlive this process.
fn mortal(program: &str) -> Command {
    let mut command = Command::new("setpriv");
    command.args(["--pdeathsig", "KILL", program]);
    command
}

/// Asks again and again until the answer is yes.
pub(super) fn wait_until(what: &str, mut is_so: impl FnMut() -> Result<bool>) -> Result<()> {
    let deadline = Instant::now() + PATIENCE;
    while !is_so()? {
        ensure!(Instant::now() < deadline, "waiting for {what} in vain");
        std::thread::sleep(Duration::from_millis(10));
    }
    Ok(())
}

/// Two machines and a cable.
#[derive(Debug)]
pub(super) struct World {
    /// Where servers run.
    pub(super) server: Space,
    /// Where clients run.
    pub(super) client: Space,
    /// For files.
    pub(super) folder: PathBuf,
    _iperf3: Process,
}

impl World {
    /// The server's address on the cable.
    pub(super) const SERVER: &str = "198.18.7.1";
    const CLIENT: &str = "198.18.7.2";

    /// Makes them, and starts what `iperf3` talks to.
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
