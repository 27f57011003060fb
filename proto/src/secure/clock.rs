//! The wall clock of a peer, as an input.

use crate::Instant;

/// A wall clock: the time of day that a peer's machine shows. A peer never reads it. Its shell tells it the time, and tells it
/// again when the clock was set.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WallClock {
    /// Milliseconds since 1970 at the origin of [`Instant`]. Negative if the clock is behind the monotonic time.
    origin: i128,
    /// Reading when it was set.
    set_to: u64,
}

impl WallClock {
    /// A clock that shows `unix_millis` (milliseconds since 1970) at `now`.
    #[must_use]
    pub fn new(now: Instant, unix_millis: u64) -> Self {
        Self {
            origin: i128::from(unix_millis).saturating_sub(millis(now)),
            set_to: unix_millis,
        }
    }

    /// Milliseconds since 1970 at `now`.
    #[must_use]
    pub fn read(self, now: Instant) -> u64 {
        let time = self.origin.saturating_add(millis(now)).max(0);
        u64::try_from(time).unwrap_or(u64::MAX)
    }

    /// Milliseconds since 1970 when the clock was set.
    pub(super) const fn set_to(self) -> u64 {
        self.set_to
    }

    /// Seconds since 1970 at `now`.
    #[must_use]
    pub fn seconds(self, now: Instant) -> u64 {
        self.read(now) / 1000
    }
}

fn millis(now: Instant) -> i128 {
    i128::from(now.as_nanos() / 1_000_000)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_clock_goes_on_with_the_monotonic_time() {
        let clock = WallClock::new(Instant::from_secs(100), 5_000);
        assert_eq!(clock.read(Instant::from_secs(101)), 6_000);
        assert_eq!(clock.seconds(Instant::from_secs(101)), 6);
        assert_eq!(clock.read(Instant::ZERO), 0, "never before 1970");
    }
}
