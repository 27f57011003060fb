//! Process identity: process ID and start time, because the kernel reuses process IDs.

use std::fs;
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal};
use serde::{Deserialize, Serialize};

use crate::failure::Failure;

/// A process, identified by its ID and its start time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Process {
    /// The process ID.
    pub pid: u32,
    /// Start time, in clock ticks since boot (`starttime` in proc_pid_stat(5)).
    pub started: u64,
}

impl Process {
    /// The calling process.
    #[must_use]
    pub fn current() -> Self {
        let pid = std::process::id();
        // Without /proc the start time is unknown.
        let started = start_of(pid).unwrap_or_default();
        Self { pid, started }
    }

    /// Returns true if the process is running.
    #[must_use]
    pub fn is_alive(self) -> bool {
        start_of(self.pid) == Some(self.started)
    }

    /// Sends SIGTERM and waits. Returns true if the process has stopped before the timeout. A process that
    /// has already stopped is no error.
    ///
    /// # Errors
    ///
    /// If the process belongs to another user and the caller is not root.
    pub fn terminate(self, timeout: Duration) -> Result<bool, Failure> {
        let action = format!("stop the process {}", self.pid);
        let explain = |error: Errno| {
            let failure = Failure::runtime(&action, std::io::Error::from(error));
            match error {
                Errno::PERM => {
                    failure.with_help("run this command as root, or as the user that started the process")
                }
                _ => failure,
            }
        };
        let Some(pid) = self.pid.try_into().ok().and_then(Pid::from_raw) else {
            return Ok(true);
        };
        let handle = match pidfd_open(pid, PidfdFlags::empty()) {
            Ok(handle) => handle,
            Err(Errno::SRCH) => return Ok(true),
            Err(error) => return Err(explain(error)),
        };
        // The pidfd refers to one process for good. It may have been opened too late, so check the start time
        // again.
        if !self.is_alive() {
            return Ok(true);
        }
        match pidfd_send_signal(&handle, Signal::TERM) {
            Err(Errno::SRCH) => return Ok(true),
            result => result.map_err(explain)?,
        }
        let timeout = Timespec {
            tv_sec: timeout.as_secs().cast_signed(),
            tv_nsec: timeout.subsec_nanos().into(),
        };
        let mut handles = [PollFd::new(&handle, PollFlags::IN)];
        loop {
            match poll(&mut handles, Some(&timeout)) {
                Ok(ready) => return Ok(ready > 0),
                Err(Errno::INTR) => {}
                Err(error) => return Err(explain(error)),
            }
        }
    }
}

/// Start time of a process. Returns `None` if there is no such process, or if it is a zombie.
fn start_of(pid: u32) -> Option<u64> {
    let line = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The second field is the name in parentheses, which may contain spaces and parentheses.
    let (_, rest) = line.rsplit_once(')')?;
    let mut fields = rest.split_ascii_whitespace();
    if matches!(fields.next()?, "Z" | "X") {
        return None;
    }
    fields.nth(18)?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_with_the_same_id_and_another_start_time_is_not_the_same() {
        let this = Process::current();
        assert!(this.is_alive());
        let earlier = Process {
            started: this.started - 1,
            ..this
        };
        assert!(!earlier.is_alive());
        assert!(
            earlier.terminate(Duration::ZERO).is_ok_and(|ended| ended),
            "this test must not be stopped"
        );
    }

    #[test]
    fn terminate_waits_until_the_process_has_stopped() {
        let mut child = std::process::Command::new("sleep")
            .arg("1000")
            .spawn()
            .expect("the program `sleep`");
        let process = Process {
            pid: child.id(),
            started: start_of(child.id()).expect("a running process"),
        };
        let ended = process
            .terminate(Duration::from_secs(10))
            .expect("a child of ours");
        assert!(ended);
        assert!(!process.is_alive(), "a zombie is not alive");
        child.wait().expect("a child of ours");
    }
}
