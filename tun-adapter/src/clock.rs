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
use sandhog_proto::secure::WallClock;
use tokio::io::unix::AsyncFd;

use crate::date::Date;
use crate::fd;

/// Time since boot.
#[must_use]
pub fn now() -> Instant {
    let time = clock_gettime(ClockId::Boottime);
    let (secs, nanos) = (time.tv_sec.unsigned_abs(), time.tv_nsec.unsigned_abs());
    Instant::from_nanos(secs.saturating_mul(1_000_000_000).saturating_add(nanos))
}

/// The system clock, in seconds since 1970-01-01 00:00 UTC.
#[must_use]
pub fn unix_now() -> u64 {
    unix_millis() / 1000
}

/// The system clock, in milliseconds since 1970-01-01 00:00 UTC.
#[must_use]
pub fn unix_millis() -> u64 {
    let time = clock_gettime(ClockId::Realtime);
    let (secs, nanos) = (time.tv_sec.max(0).unsigned_abs(), time.tv_nsec.unsigned_abs());
    secs.saturating_mul(1000).saturating_add(nanos / 1_000_000)
}

/// The system clock as an input of the protocol. It is wrong after the system clock was set: [`ClockWatch`] finds that.
#[must_use]
pub fn wall() -> WallClock {
    WallClock::new(now(), unix_millis())
}

/// The system clock as text, for messages: `2026-11-28 19:40:12 UTC`.
#[must_use]
pub fn utc_text() -> String {
    utc(unix_now())
}

/// A Unix time as text.
fn utc(seconds: u64) -> String {
    let (minutes, hours) = (seconds / 60, seconds / 3600);
    match Date::of(seconds) {
        Some(date) => format!(
            "{date} {:02}:{:02}:{:02} UTC",
            hours % 24,
            minutes % 60,
            seconds % 60
        ),
        None => format!("{seconds} s after 1970-01-01 00:00 UTC"),
    }
}

/// Watch for changes of the system clock. It compares the clock with the time since boot, which nobody can set.
#[derive(Debug, Default)]
pub struct ClockWatch {
    /// The latest reading that was reported.
    reported: Option<WallClock>,
}

impl ClockWatch {
    /// Smallest step that is reported. NTP corrects smaller errors by the speed of both clocks. So there are no steps of that
    /// size, except between the two readings of one call.
    const STEP: u64 = 500;

    /// Returns `unix_millis` (the system clock at `now`) if it was set since the last report. The first call always reports.
    pub fn step(&mut self, now: Instant, unix_millis: u64) -> Option<u64> {
        let expected = self.reported.map(|clock| clock.read(now));
        if expected.is_some_and(|expected| expected.abs_diff(unix_millis) < Self::STEP) {
            return None;
        }
        self.reported = Some(WallClock::new(now, unix_millis));
        Some(unix_millis)
    }
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_step_of_the_clock_is_reported_once_and_its_normal_speed_never() {
        let mut watch = ClockWatch::default();
        let at = Instant::from_secs;
        assert_eq!(
            watch.step(at(100), 5_000_000),
            Some(5_000_000),
            "the first reading"
        );
        assert_eq!(watch.step(at(101), 5_001_000), None);
        assert_eq!(watch.step(at(200), 5_100_200), None, "200 ms are no step");
        for set in [9_000_000, 4_000_000] {
            assert_eq!(watch.step(at(300), set), Some(set));
            assert_eq!(watch.step(at(310), set + 10_000), None);
        }
    }

    #[test]
    fn small_differences_are_reported_when_they_have_added_up() {
        let mut watch = ClockWatch::default();
        watch.step(Instant::from_secs(0), 0);
        let reports = (1..=6).filter(|seconds| {
            let slow = seconds * 1000 - seconds * 100;
            watch.step(Instant::from_secs(*seconds), slow).is_some()
        });
        assert_eq!(reports.collect::<Vec<_>>(), [5]);
    }

    #[test]
    fn a_time_has_date_and_seconds_in_utc() {
        assert_eq!(utc(1_795_894_812), "2026-11-28 19:40:12 UTC");
        assert_eq!(utc(0), "1970-01-01 00:00:00 UTC");
        assert_eq!(
            utc(u64::MAX),
            format!("{} s after 1970-01-01 00:00 UTC", u64::MAX)
        );
    }
}
