//! A running `sandhog`: its log line by line, its end, its exit code.

use std::io::{BufRead, BufReader, Read};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::thread;
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};

/// Longest wait for the next line of a log. A client notices after 15 s that its server is gone.
const PATIENCE: Duration = Duration::from_secs(20);

/// Killed when dropped.
#[derive(Debug)]
pub(super) struct Program {
    child: Child,
    lines: Receiver<String>,
    log: String,
}

impl Program {
    /// Where the program is.
    pub(super) fn path() -> Result<PathBuf, String> {
        find("sandhog", "SANDHOG_BIN")
    }

    /// Where the laboratory's program is.
    pub(super) fn laboratory() -> Result<PathBuf, String> {
        find("sandhog-sim", "SANDHOG_SIM_BIN")
    }

    /// Starts the program in the namespace of the calling thread.
    pub(super) fn spawn(mut command: Command) -> Self {
        let mut child = command
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("a program that starts");
        let (sender, lines) = channel();
        pass_on(child.stdout.take().expect("a pipe"), sender.clone());
        pass_on(child.stderr.take().expect("a pipe"), sender);
        Self {
            child,
            lines,
            log: String::new(),
        }
    }

    /// Reads the log until a line has `text` in it.
    #[track_caller]
    pub(super) fn wait_for(&mut self, text: &str) {
        loop {
            match self.lines.recv_timeout(PATIENCE) {
                Ok(line) => {
                    self.note(&line);
                    if line.contains(text) {
                        return;
                    }
                }
                Err(error) => panic!("waiting for {text:?}: {error}; the log:\n{}", self.log),
            }
        }
    }

    /// Waits for the end and gives exit code and log.
    #[track_caller]
    pub(super) fn wait(mut self) -> (Option<i32>, String) {
        loop {
            match self.lines.recv_timeout(PATIENCE) {
                Ok(line) => self.note(&line),
                Err(RecvTimeoutError::Disconnected) => break,
                Err(RecvTimeoutError::Timeout) => panic!("the program does not end; the log:\n{}", self.log),
            }
        }
        let status = self.child.wait().expect("a child of ours");
        (status.code(), std::mem::take(&mut self.log))
    }

    /// Sends SIGTERM, then as [`wait`](Self::wait).
    #[track_caller]
    pub(super) fn terminate(self) -> (Option<i32>, String) {
        self.send(Signal::TERM);
        self.wait()
    }

    /// Sends SIGKILL and waits for the end.
    pub(super) fn kill(mut self) {
        self.child.kill().expect("a child that has not been waited for");
        self.child.wait().expect("a child of ours");
    }

    /// How much memory it has, in KiB.
    pub(super) fn resident_kib(&self) -> u64 {
        let path = format!("/proc/{}/status", self.child.id());
        let status = std::fs::read_to_string(path).expect("a process of ours");
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
        let kib = line.and_then(|line| line.split_whitespace().next()?.parse().ok());
        kib.expect("a number of KiB")
    }

    /// What the kernel says of each of its threads.
    pub(super) fn thread_states(&self) -> Vec<String> {
        let threads =
            std::fs::read_dir(format!("/proc/{}/task", self.child.id())).expect("a process of ours");
        let state = |thread: std::io::Result<std::fs::DirEntry>| {
            std::fs::read_to_string(thread.expect("a thread").path().join("status")).ok()
        };
        threads.filter_map(state).collect()
    }

    /// Sends SIGHUP.
    pub(super) fn hang_up(&self) {
        self.send(Signal::HUP);
    }

    /// Takes the processor from it, as a machine does that sleeps.
    pub(super) fn stand_still(&self) {
        self.send(Signal::STOP);
    }

    /// Gives the processor back.
    pub(super) fn go_on(&self) {
        self.send(Signal::CONT);
    }

    fn send(&self, signal: Signal) {
        let pid = Pid::from_child(&self.child);
        kill_process(pid, signal).expect("a child that has not been waited for");
    }

    fn note(&mut self, line: &str) {
        self.log.push_str(line);
        self.log.push('\n');
    }
}

/// A program that the environment variable `variable` names, or else the one called `name` in the folder above this test.
fn find(name: &str, variable: &str) -> Result<PathBuf, String> {
    if let Some(path) = std::env::var_os(variable) {
        return Ok(path.into());
    }
    let test = std::env::current_exe().map_err(|error| error.to_string())?;
    let path = test
        .ancestors()
        .nth(2)
        .map(|folder| folder.join(name))
        .filter(|path| path.exists());
    path.ok_or_else(|| format!("there is no program: `cargo build --package {name}`, or set {variable}"))
}

/// Sends what comes out of a pipe on, line by line.
fn pass_on(pipe: impl Read + Send + 'static, to: Sender<String>) {
    thread::spawn(move || {
        BufReader::new(pipe)
            .lines()
            .map_while(Result::ok)
            .try_for_each(|line| to.send(line))
    });
}

impl Drop for Program {
    fn drop(&mut self) {
        // An error means that it has ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
