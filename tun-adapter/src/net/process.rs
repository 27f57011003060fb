//! A process, told apart from a later one that got the same number.

use std::fs;
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal};
use serde::{Deserialize, Serialize};

use crate::failure::Failure;

/// A process by its number and the time at which it was started.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Process {
    /// Its number.
    pub pid: u32,
    /// When it was started, in clock ticks since the machine was (`starttime` in proc_pid_stat(5)).
    pub started: u64,
}

impl Process {
    /// The one that asks.
    #[must_use]
    pub fn current() -> Self {
        let pid = std::process::id();
        // Without /proc two processes of one number cannot be told apart.
        let started = start_of(pid).unwrap_or_default();
        Self { pid, started }
    }

    /// Whether it still runs.
    #[must_use]
    pub fn is_alive(self) -> bool {
        start_of(self.pid) == Some(self.started)
    }

    /// Sends SIGTERM and waits for the end; tells whether it came in time. Whoever has ended already is no error.
    ///
    /// # Errors
    ///
    /// Without the right to end it.
    pub fn terminate(self, patience: Duration) -> Result<bool, Failure> {
        let action = format!("end the process {}", self.pid);
        let explain = |error: Errno| {
            let failure = Failure::runtime(&action, std::io::Error::from(error));
            match error {
                Errno::PERM => failure.with_help("run this as the user who has started it, or as root"),
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
        // From here on the handle means one process. Is it the right one?
        if !self.is_alive() {
            return Ok(true);
        }
        match pidfd_send_signal(&handle, Signal::TERM) {
            Err(Errno::SRCH) => return Ok(true),
            result => result.map_err(explain)?,
        }
        let patience = Timespec {
            tv_sec: patience.as_secs().cast_signed(),
            tv_nsec: patience.subsec_nanos().into(),
        };
        let mut handles = [PollFd::new(&handle, PollFlags::IN)];
        loop {
            match poll(&mut handles, Some(&patience)) {
                Ok(ready) => return Ok(ready > 0),
                Err(Errno::INTR) => {}
                Err(error) => return Err(explain(error)),
            }
        }
    }
}

/// When the process of this number was started; `None` if there is none, or if it has ended and only waits to be asked for
/// its exit code.
fn start_of(pid: u32) -> Option<u64> {
    let line = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The name comes second, in parentheses, and may have anything in it.
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
    fn a_process_is_alive_until_it_ends_and_its_number_alone_does_not_bring_it_back() {
        let this = Process::current();
        assert!(this.is_alive());
        let earlier = Process {
            started: this.started - 1,
            ..this
        };
        assert!(!earlier.is_alive());
        assert!(
            earlier.terminate(Duration::ZERO).is_ok_and(|ended| ended),
            "and this test is not ended in its place"
        );
    }

    #[test]
    fn a_process_that_is_told_to_end_is_waited_for() {
        let mut child = std::process::Command::new("sleep")
            .arg("1000")
            .spawn()
            .expect("a program of every system");
        let process = Process {
            pid: child.id(),
            started: start_of(child.id()).expect("it runs"),
        };
        let ended = process
            .terminate(Duration::from_secs(10))
            .expect("a child of ours");
        assert!(ended);
        assert!(
            !process.is_alive(),
            "what waits to be asked for its exit code does not live"
        );
        child.wait().expect("a child of ours");
    }
}
