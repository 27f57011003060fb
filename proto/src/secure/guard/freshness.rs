//! Freshness of control datagrams: a recorded datagram gets no answer.

use alloc::collections::BTreeSet;
use alloc::vec::Vec;
use core::time::Duration;

use crate::aead::NONCE_LEN;
use crate::{DropReason, State, describe};

/// Largest difference between the clocks of a client and its server.
pub const CLOCK_TOLERANCE: Duration = Duration::from_secs(30);

/// A step back of the server's clock by more than this is like a new start.
const STEP_BACK: u64 = 60_000;

/// Maximum number of datagrams that are remembered.
pub(crate) const MAX_REMEMBERED: usize = 65_536;

const TOLERANCE: u64 = 30_000;

/// The datagrams that were accepted lately, by time and nonce. Times are milliseconds since 1970.
///
/// Only holders of the pre-shared key can fill the table. A full table forgets the oldest datagram, so that logins go on.
#[derive(Debug)]
pub(crate) struct Freshness {
    /// Earlier times are not accepted.
    floor: u64,
    /// Latest reading of the server's clock.
    latest: u64,
    seen: BTreeSet<[u8; NONCE_LEN]>,
    /// The same datagrams by time. Those without a time have the time of their arrival.
    by_time: BTreeSet<(u64, [u8; NONCE_LEN])>,
}

impl Freshness {
    /// The state of a server that starts at `wall`. It does not know the datagrams that were accepted before. So it accepts none
    /// that was made before.
    pub(crate) const fn new(wall: u64) -> Self {
        Self {
            floor: wall,
            latest: wall,
            seen: BTreeSet::new(),
            by_time: BTreeSet::new(),
        }
    }

    /// Accepts a datagram that its sender has made at `time`, while the server's clock shows `wall`.
    ///
    /// # Errors
    ///
    /// [`DropReason::Stale`] if the clocks differ by more than [`CLOCK_TOLERANCE`], or if the datagram may be from before the
    /// start. [`DropReason::Replayed`] for a copy.
    pub(crate) fn accept(&mut self, wall: u64, time: u64, nonce: [u8; NONCE_LEN]) -> Result<(), DropReason> {
        self.advance(wall);
        if time < self.floor || time.abs_diff(wall) > TOLERANCE {
            return Err(DropReason::Stale);
        }
        self.remember(time, nonce)
    }

    /// Accepts a datagram without a time.
    ///
    /// # Errors
    ///
    /// [`DropReason::Replayed`] for a copy.
    pub(crate) fn accept_untimed(&mut self, wall: u64, nonce: [u8; NONCE_LEN]) -> Result<(), DropReason> {
        self.advance(wall);
        self.remember(wall, nonce)
    }

    fn remember(&mut self, time: u64, nonce: [u8; NONCE_LEN]) -> Result<(), DropReason> {
        if !self.seen.insert(nonce) {
            return Err(DropReason::Replayed);
        }
        self.by_time.insert((time, nonce));
        if self.seen.len() > MAX_REMEMBERED {
            self.forget_first();
        }
        Ok(())
    }

    fn forget_first(&mut self) {
        if let Some((_, nonce)) = self.by_time.pop_first() {
            self.seen.remove(&nonce);
        }
    }

    /// Forgets the datagrams whose time is not accepted any more.
    pub(crate) fn advance(&mut self, wall: u64) {
        if wall.saturating_add(STEP_BACK) < self.latest {
            // The clock was wrong. Datagrams with later times may have been recorded and forgotten.
            (self.floor, self.latest) = (wall, wall);
            return;
        }
        self.latest = self.latest.max(wall);
        let oldest = self.latest.saturating_sub(TOLERANCE);
        self.floor = self.floor.max(oldest);
        while self.by_time.first().is_some_and(|(time, _)| *time < oldest) {
            self.forget_first();
        }
    }

    /// Describes the datagrams that would be recognised.
    pub(crate) fn describe(&self, state: &mut State<'_>, wall: u64) {
        let Self {
            floor,
            latest,
            seen: _, // the same datagrams
            by_time,
        } = self;
        state.number(wall.saturating_sub(*floor).min(TOLERANCE));
        state.number(latest.saturating_sub(wall));
        let oldest = wall.saturating_sub(TOLERANCE);
        let current: Vec<_> = by_time.iter().filter(|(time, _)| *time >= oldest).collect();
        describe::list(state, current.into_iter(), |state, (time, nonce)| {
            state.number(time.saturating_sub(oldest));
            state.secret(nonce);
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const START: u64 = 1_800_000_000_000;

    fn nonce(n: u32) -> [u8; NONCE_LEN] {
        let mut nonce = [0; NONCE_LEN];
        nonce[..4].copy_from_slice(&n.to_be_bytes());
        nonce
    }

    #[test]
    fn a_datagram_is_accepted_once() {
        let mut freshness = Freshness::new(START);
        for wall in [START + 1_000, START + 20_000, START + 31_000] {
            let first = wall == START + 1_000;
            let expected = if first { Ok(()) } else { Err(DropReason::Replayed) };
            assert_eq!(freshness.accept(wall, START + 1_000, nonce(1)), expected);
        }
        assert_eq!(
            freshness.accept(START + 31_001, START + 1_000, nonce(1)),
            Err(DropReason::Stale)
        );
        assert!(freshness.seen.is_empty());
    }

    #[test]
    fn a_copy_of_a_datagram_without_a_time_is_recognised_later_too() {
        let mut freshness = Freshness::new(START);
        assert_eq!(freshness.accept_untimed(START + 5, nonce(1)), Ok(()));
        assert_eq!(
            freshness.accept_untimed(START + 30_005, nonce(1)),
            Err(DropReason::Replayed)
        );
        assert_eq!(freshness.accept_untimed(START + 5, nonce(2)), Ok(()));
    }

    #[test]
    fn a_clock_may_differ_by_30_s_either_way() {
        let mut freshness = Freshness::new(START);
        let wall = START + 100_000;
        let cases = [
            (wall - 30_001, false),
            (wall - 30_000, true),
            (wall + 30_000, true),
            (wall + 30_001, false),
            (0, false),
            (u64::MAX, false),
        ];
        for (n, (time, is_accepted)) in (0..).zip(cases) {
            assert_eq!(
                freshness.accept(wall, time, nonce(n)).is_ok(),
                is_accepted,
                "{time}"
            );
        }
    }

    #[test]
    fn nothing_from_before_the_start_is_accepted() {
        let mut freshness = Freshness::new(START);
        assert_eq!(
            freshness.accept(START + 5, START - 1, nonce(1)),
            Err(DropReason::Stale)
        );
        assert_eq!(freshness.accept(START + 5, START, nonce(1)), Ok(()));
    }

    #[test]
    fn a_clock_that_was_a_year_ahead_does_not_stop_logins() {
        let mut freshness = Freshness::new(START);
        let year = 365 * 24 * 3_600_000;
        assert_eq!(freshness.accept(START + year, START + year, nonce(1)), Ok(()));
        assert_eq!(
            freshness.accept(START + 10, START + 9, nonce(2)),
            Err(DropReason::Stale)
        );
        assert_eq!(freshness.accept(START + 20, START + 20, nonce(3)), Ok(()));
    }

    #[test]
    fn a_small_step_back_of_the_clock_lets_no_copy_in() {
        let mut freshness = Freshness::new(START);
        assert_eq!(freshness.accept(START + 100, START + 30_000, nonce(1)), Ok(()));
        assert_eq!(freshness.accept(START + 60_001, START + 60_001, nonce(2)), Ok(()));
        let back = START + 50_000;
        assert_eq!(
            freshness.accept(back, START + 30_000, nonce(1)),
            Err(DropReason::Stale)
        );
        assert_eq!(
            freshness.accept(back, START + 60_001, nonce(2)),
            Err(DropReason::Replayed)
        );
    }

    #[test]
    fn a_full_table_stays_bounded_and_goes_on() {
        let mut freshness = Freshness::new(START);
        for n in 0..70_000 {
            assert_eq!(
                freshness.accept(START + 9, START + 1 + u64::from(n % 8), nonce(n)),
                Ok(())
            );
        }
        assert_eq!(
            (freshness.seen.len(), freshness.by_time.len()),
            (MAX_REMEMBERED, MAX_REMEMBERED)
        );
    }
}
