//! Clock and timer of the protocol: both use `CLOCK_BOOTTIME`, which also counts the time in suspend.
//!
//! Timers of the async runtime are not used. They run on `CLOCK_MONOTONIC`, which stops during suspend, so a
//! deadline would be late by the length of the suspend.

use std::io;
use std::os::fd::OwnedFd;

use rustix::time::{
    ClockId, Itimerspec, TimerfdClockId, TimerfdFlags, TimerfdTimerFlags, Timespec, clock_gettime,
    timerfd_create, timerfd_settime,
};
use sandhog_proto::Instant;
use tokio::io::unix::AsyncFd;

use crate::fd;

/// Time since boot.
#[must_use]
pub fn now() -> Instant {
    let time = clock_gettime(ClockId::Boottime);
    let (secs, nanos) = (time.tv_sec.unsigned_abs(), time.tv_nsec.unsigned_abs());
    Instant::from_nanos(secs.saturating_mul(1_000_000_000).saturating_add(nanos))
}

/// The boot time in seconds since 1970-01-01 00:00 UTC: the origin of [`now`]. Later corrections of the
/// system clock do not change a value that was read before.
#[must_use]
pub fn unix_origin() -> u64 {
    unix_now().saturating_sub(now().as_nanos() / 1_000_000_000)
}

/// The system clock, in seconds since 1970-01-01 00:00 UTC.
#[must_use]
pub fn unix_now() -> u64 {
    clock_gettime(ClockId::Realtime).tv_sec.max(0).unsigned_abs()
}

/// A timer on the clock of [`now`] (`timerfd`). Wakes one waiter at a deadline.
#[derive(Debug)]
pub struct Timer {
    fd: AsyncFd<OwnedFd>,
    armed: Option<Instant>,
}

impl Timer {
    /// Creates a timer that is not set.
    ///
    /// # Errors
    ///
    /// If the process has no file descriptor left, or when there is no tokio runtime with I/O.
    pub fn new() -> io::Result<Self> {
        let fd = timerfd_create(
            TimerfdClockId::Boottime,
            TimerfdFlags::NONBLOCK | TimerfdFlags::CLOEXEC,
        )?;
        Ok(Self {
            fd: fd::watch(fd)?,
            armed: None,
        })
    }

    /// Sets the timer. Does nothing if it is already set to this deadline.
    ///
    /// # Errors
    ///
    /// Those of `timerfd_settime`; none is known for a valid timer.
    pub fn arm(&mut self, deadline: Instant) -> io::Result<()> {
        if self.armed == Some(deadline) {
            return Ok(());
        }
        // A value of 0 would disarm the timer. 1 ns after boot is in the past as well.
        let nanos = deadline.as_nanos().max(1);
        let value = Timespec {
            tv_sec: (nanos / 1_000_000_000).cast_signed(),
            tv_nsec: (nanos % 1_000_000_000).cast_signed(),
        };
        let interval = Timespec {
            tv_sec: 0,
            tv_nsec: 0,
        };
        timerfd_settime(
            &self.fd,
            TimerfdTimerFlags::ABSTIME,
            &Itimerspec {
                it_interval: interval,
                it_value: value,
            },
        )?;
        self.armed = Some(deadline);
        Ok(())
    }

    /// Waits until the deadline has passed. Never returns if no deadline is set.
    ///
    /// # Errors
    ///
    /// If the runtime is shutting down.
    ///
    /// # Cancel safety
    ///
    /// May be dropped at any time; the timer stays set.
    pub async fn expired(&mut self) -> io::Result<()> {
        loop {
            let mut guard = self.fd.readable().await?;
            let mut expirations = [0; 8];
            if let Ok(read) = guard.try_io(|fd| Ok(rustix::io::read(fd, &mut expirations)?)) {
                read?;
                self.armed = None;
                return Ok(());
            }
        }
    }
}
