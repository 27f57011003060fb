//! Running `sandhog` process: log lines, signals, and exit code.

use std::io::{BufRead, BufReader, Read};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::thread;
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};

/// Longest wait for the next log line. A client detects after 15 s that its server is gone.
const TIMEOUT: Duration = Duration::from_secs(20);

/// A running process. It is killed on drop.
#[derive(Debug)]
pub(super) struct Program {
    child: Child,
    lines: Receiver<String>,
    log: String,
}

impl Program {
    /// Path of the program.
    pub(super) fn path() -> Result<PathBuf, String> {
        find("sandhog", "SANDHOG_BIN")
    }

    /// Path of the simulator.
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
        forward_lines(child.stdout.take().expect("a pipe"), sender.clone());
        forward_lines(child.stderr.take().expect("a pipe"), sender);
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
            match self.lines.recv_timeout(TIMEOUT) {
                Ok(line) => {
                    self.record(&line);
                    if line.contains(text) {
                        return;
                    }
                }
                Err(error) => panic!("waiting for {text:?}: {error}; the log:\n{}", self.log),
            }
        }
    }

    /// Waits for the end, and returns exit code and log.
    #[track_caller]
    pub(super) fn wait(mut self) -> (Option<i32>, String) {
        loop {
            match self.lines.recv_timeout(TIMEOUT) {
                Ok(line) => self.record(&line),
                Err(RecvTimeoutError::Disconnected) => break,
                Err(RecvTimeoutError::Timeout) => panic!("the program does not end; the log:\n{}", self.log),
            }
        }
        let status = self.child.wait().expect("a child process");
        (status.code(), std::mem::take(&mut self.log))
    }

    /// Sends SIGTERM, then the same as [`wait`](Self::wait).
    #[track_caller]
    pub(super) fn terminate(self) -> (Option<i32>, String) {
        self.send(Signal::TERM);
        self.wait()
    }

    /// Sends SIGKILL and waits for the end.
    pub(super) fn kill(mut self) {
        self.child.kill().expect("a child that has not been waited for");
        self.child.wait().expect("a child process");
    }

    /// Resident memory in KiB.
    pub(super) fn resident_kib(&self) -> u64 {
        let path = format!("/proc/{}/status", self.child.id());
        let status = std::fs::read_to_string(path).expect("a running process");
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
        let kib = line.and_then(|line| line.split_whitespace().next()?.parse().ok());
        kib.expect("a number of KiB")
    }

    /// The kernel's status of each thread.
    pub(super) fn thread_states(&self) -> Vec<String> {
        let threads =
            std::fs::read_dir(format!("/proc/{}/task", self.child.id())).expect("a running process");
        let state = |thread: std::io::Result<std::fs::DirEntry>| {
            std::fs::read_to_string(thread.expect("a thread").path().join("status")).ok()
        };
        threads.filter_map(state).collect()
    }

    /// Sends SIGHUP.
    pub(super) fn send_sighup(&self) {
        self.send(Signal::HUP);
    }

    /// Stops the process (SIGSTOP), as during a suspend.
    pub(super) fn suspend(&self) {
        self.send(Signal::STOP);
    }

    /// Continues the process (SIGCONT).
    pub(super) fn resume(&self) {
        self.send(Signal::CONT);
    }

    fn send(&self, signal: Signal) {
        let pid = Pid::from_child(&self.child);
        kill_process(pid, signal).expect("a child that has not been waited for");
    }

    fn record(&mut self, line: &str) {
        self.log.push_str(line);
        self.log.push('\n');
    }
}

/// Path of a program: the value of the environment variable `variable`, or `name` in the folder above this
/// test binary.
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
    path.ok_or_else(|| {
        format!("the program {name} is missing: run `cargo build --package {name}`, or set {variable}")
    })
}

/// Forwards the lines of a pipe to a channel.
fn forward_lines(pipe: impl Read + Send + 'static, to: Sender<String>) {
    thread::spawn(move || {
        BufReader::new(pipe)
            .lines()
            .map_while(Result::ok)
            .try_for_each(|line| to.send(line))
    });
}

impl Drop for Program {
    fn drop(&mut self) {
        // An error means that the process has already ended.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
