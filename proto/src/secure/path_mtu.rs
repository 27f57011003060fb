//! Path MTU discovery with padded pings (RFC 8899, with the session as packetization layer).
//!
//! This module only decides sizes and times. The session seals the pings and reads the pongs. Sizes are those
//! of inner packets in bytes: a ping padded to a size makes a datagram as long as a packet of that size. All
//! sizes except the MTU of the server are multiples of 16, because the server pads packets to a multiple of
//! 16, limited only by its own MTU.

use alloc::vec::Vec;
use core::time::Duration;

use super::message::MIN_MTU;
use crate::{Instant, State, describe};

/// Number of tries before a size counts as too large (RFC 8899, section 5.1.2, MAX_PROBES).
pub const MTU_PROBES: u32 = 3;
/// Time to wait for the answers to one try: the minimum of RFC 8899 (section 5.1.1, PROBE_TIMER).
pub const MTU_PROBE_WAIT: Duration = Duration::from_secs(1);
/// Time after which the result of a search is verified, because the path may carry more or less by then.
pub const MTU_SEARCH_AGAIN: Duration = Duration::from_secs(120);
/// Precision of the search in bytes. Packets are padded to the same multiple.
pub const MTU_PRECISION: u16 = 16;

/// Maximum number of sizes tried at the same time. It is enough for all sizes between 1280 and 1420.
const SIZES_AT_ONCE: u16 = 8;

/// A search, its result so far, and its next step.
#[derive(Debug)]
pub(super) struct PathMtu {
    /// The MTU from the server. Larger sizes are not tried.
    most: u16,
    /// The largest size known to fit. [`MIN_MTU`] is assumed to fit.
    fits: u16,
    /// The smallest size known not to fit.
    too_large: u16,
    phase: Phase,
    /// True if a ping of size `fits` has been answered during this search.
    is_confirmed: bool,
    /// Numbers and sizes of the pings of this round that are in flight or lost.
    pings: Vec<(u64, u16)>,
}

#[derive(Debug)]
enum Phase {
    /// Waits until `at` for answers to pings of these sizes, largest first.
    Trying {
        sizes: Vec<u16>,
        tries: u32,
        at: Instant,
        /// True if this round verifies the result of an earlier search. One of the sizes is then the one that
        /// fitted before.
        is_verification: bool,
    },
    Settled {
        again: Instant,
    },
}

impl Phase {
    fn describe(&self, state: &mut State<'_>) {
        match self {
            Self::Trying {
                sizes,
                tries,
                at,
                is_verification,
            } => {
                state.number(0);
                describe::list(state, sizes.iter(), |state, size| state.number((*size).into()));
                state.number((*tries).into());
                state.deadline(Some(*at));
                state.flag(*is_verification);
            }
            Self::Settled { again } => {
                state.number(1);
                describe::timer(state, *again);
            }
        }
    }
}

impl PathMtu {
    /// A search that begins now, up to `most`.
    pub(super) fn new(now: Instant, most: u16) -> Self {
        let mut search = Self {
            most,
            fits: MIN_MTU,
            too_large: most.saturating_add(1),
            is_confirmed: true,
            phase: Phase::Settled {
                again: Instant::FAR_FUTURE,
            },
            pings: Vec::new(),
        };
        search.restart(now);
        search
    }

    /// Starts again because the path has changed.
    pub(super) fn restart(&mut self, now: Instant) {
        self.fits = MIN_MTU;
        self.too_large = self.most.saturating_add(1);
        if self.most > MIN_MTU {
            self.try_sizes(now, Vec::from([self.most]), false);
        }
    }

    /// The largest packet known to fit.
    pub(super) const fn mtu(&self) -> u16 {
        self.fits
    }

    /// Time at which [`due`](Self::due) must be called again.
    pub(super) const fn next_timeout(&self) -> Instant {
        match self.phase {
            Phase::Trying { at, .. } => at,
            Phase::Settled { again } => again,
        }
    }

    /// The sizes of the pings to send now, largest first. Call [`sent`](Self::sent) for each.
    pub(super) fn due(&mut self, now: Instant) -> Vec<u16> {
        if now < self.next_timeout() {
            return Vec::new();
        }
        match self.phase {
            Phase::Settled { .. } => {
                let mut sizes = Vec::from([self.most, self.fits]);
                sizes.dedup();
                self.try_sizes(now, sizes, true);
            }
            Phase::Trying { tries, .. } if tries >= MTU_PROBES => self.end_round(now),
            Phase::Trying { .. } => {}
        }
        let (fits, is_confirmed) = (self.fits, self.is_confirmed);
        match &mut self.phase {
            Phase::Trying { sizes, tries, at, .. } => {
                *tries = tries.saturating_add(1);
                *at = now.saturating_add(MTU_PROBE_WAIT);
                let is_open = |size: &u16| *size > fits || !is_confirmed;
                sizes.iter().copied().filter(is_open).collect()
            }
            Phase::Settled { .. } => Vec::new(),
        }
    }

    /// Records that ping `n`, padded to `size`, was sent.
    pub(super) fn sent(&mut self, n: u64, size: u16) {
        self.pings.push((n, size));
    }

    /// Records the answer to ping `n`.
    pub(super) fn answered(&mut self, now: Instant, n: u64) {
        let Some((_, size)) = self.pings.iter().find(|(sent, _)| *sent == n).copied() else {
            return;
        };
        self.is_confirmed |= size >= self.fits;
        self.fits = self.fits.max(size);
        if let Phase::Trying { sizes, .. } = &self.phase
            && sizes.iter().all(|size| *size <= self.fits)
        {
            self.narrow(now);
        }
    }

    /// Ends a round in which some sizes stayed unanswered after all tries.
    fn end_round(&mut self, now: Instant) {
        let Phase::Trying {
            sizes,
            is_verification,
            ..
        } = &self.phase
        else {
            return;
        };
        if !self.is_confirmed {
            // The path carries less than before.
            (self.fits, self.too_large) = (MIN_MTU, self.fits);
        } else if *is_verification {
            return self.settle(now);
        } else {
            let lost = sizes.iter().copied().filter(|size| *size > self.fits);
            self.too_large = lost.min().unwrap_or(self.too_large);
        }
        self.narrow(now);
    }

    /// Tries sizes between the largest that fits and the smallest that does not, or ends the search.
    fn narrow(&mut self, now: Instant) {
        // Multiples of 16 between the two, numbered from 1.
        let steps = self.too_large.saturating_sub(1).saturating_sub(self.fits) / MTU_PRECISION;
        if steps == 0 || self.fits >= self.most {
            return self.settle(now);
        }
        let count = u32::from(steps.min(SIZES_AT_ONCE));
        let size = |n: u32| {
            // `count` is not 0, because `steps` is not.
            let step = u32::from(steps).saturating_mul(n).checked_div(count).unwrap_or(n);
            let above = u16::try_from(step)
                .unwrap_or(u16::MAX)
                .saturating_mul(MTU_PRECISION);
            self.fits.saturating_add(above)
        };
        let sizes = (1..=count).rev().map(size).collect();
        self.try_sizes(now, sizes, false);
    }

    fn settle(&mut self, now: Instant) {
        self.pings.clear();
        let again = now.saturating_add(MTU_SEARCH_AGAIN);
        self.phase = Phase::Settled { again };
    }

    fn try_sizes(&mut self, now: Instant, sizes: Vec<u16>, is_verification: bool) {
        self.pings.clear();
        self.is_confirmed = !is_verification;
        self.phase = Phase::Trying {
            sizes,
            tries: 0,
            at: now,
            is_verification,
        };
    }

    /// Describes the search. `pings` is the number of the newest ping of the session.
    pub(super) fn describe(&self, state: &mut State<'_>, pings: u64) {
        let Self {
            most,
            fits,
            too_large,
            phase,
            is_confirmed,
            pings: sent,
        } = self;
        for size in [most, fits, too_large] {
            state.number((*size).into());
        }
        phase.describe(state);
        state.flag(*is_confirmed);
        describe::list(state, sent.iter(), |state, (n, size)| {
            state.number(pings.saturating_sub(*n));
            state.number((*size).into());
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A path that carries packets up to a size, and the pings so far.
    struct Path {
        carries: u16,
        round_trip: Duration,
        /// Loses each ping whose number is a multiple of this. 0 loses none.
        loses: u64,
        pings: u64,
        now: Instant,
        answers: Vec<(Instant, u64)>,
    }

    impl Path {
        fn of(carries: u16) -> Self {
            Self {
                carries,
                round_trip: Duration::from_millis(40),
                loses: 0,
                pings: 0,
                now: Instant::from_secs(1000),
                answers: Vec::new(),
            }
        }

        fn search(&self, most: u16) -> PathMtu {
            PathMtu::new(self.now, most)
        }

        /// Runs until nothing is due for longer than one try. Returns the time it took.
        #[track_caller]
        fn settle(&mut self, search: &mut PathMtu) -> Duration {
            let begin = self.now;
            loop {
                self.send_what_is_due(search);
                let answer = self.answers.iter().map(|(at, _)| *at).min();
                let next = answer.into_iter().chain([search.next_timeout()]).min().unwrap();
                let waited = self.now.saturating_duration_since(begin);
                if next.saturating_duration_since(self.now) > 2 * MTU_PROBE_WAIT {
                    return waited;
                }
                assert!(
                    waited < Duration::from_secs(60),
                    "the search does not end: {search:?}"
                );
                self.now = next;
                let (due, later) = self.answers.iter().partition(|(at, _)| *at <= self.now);
                self.answers = later;
                let due: Vec<(Instant, u64)> = due;
                for (_, n) in due {
                    search.answered(self.now, n);
                }
            }
        }

        fn send_what_is_due(&mut self, search: &mut PathMtu) {
            for size in search.due(self.now) {
                self.pings += 1;
                search.sent(self.pings, size);
                let is_lost = self.loses > 0 && self.pings.is_multiple_of(self.loses);
                if size <= self.carries && !is_lost {
                    self.answers.push((self.now + self.round_trip, self.pings));
                }
            }
        }
    }

    #[test]
    fn a_path_that_carries_everything_costs_one_ping() {
        let mut path = Path::of(9000);
        let mut search = path.search(1420);
        assert_eq!(search.mtu(), MIN_MTU, "before the first answer");
        assert_eq!(path.settle(&mut search), path.round_trip);
        assert_eq!((search.mtu(), path.pings), (1420, 1));
    }

    #[test]
    fn the_search_finds_the_largest_multiple_of_16_that_fits() {
        for most in [1281, 1290, 1420, 8900, 65_478] {
            for carries in [
                1280, 1281, 1287, 1288, 1289, 1350, 1380, 1412, 1419, 1420, 5000, 8899, 60_000,
            ] {
                let mut path = Path::of(carries);
                let mut search = path.search(most);
                path.settle(&mut search);
                let best = if carries >= most { most } else { carries / 16 * 16 };
                assert_eq!(search.mtu(), best, "{carries} of {most}");
            }
        }
    }

    #[test]
    fn the_usual_case_of_a_smaller_path_is_found_within_7_seconds() {
        let mut path = Path::of(1412);
        let mut search = path.search(1420);
        let took = path.settle(&mut search);
        assert!(took <= Duration::from_secs(7), "{took:?}");
        assert_eq!(search.mtu(), 1408);
        assert!(path.pings <= 9 * u64::from(MTU_PROBES), "{} pings", path.pings);
    }

    #[test]
    fn lost_pings_are_repeated() {
        let mut path = Path::of(1500);
        path.loses = 2;
        path.pings = 1;
        let mut search = path.search(1420);
        path.settle(&mut search);
        assert_eq!((search.mtu(), path.pings), (1420, 3));
    }

    #[test]
    fn an_answer_that_comes_after_the_next_try_still_counts() {
        let mut path = Path::of(1500);
        path.round_trip = Duration::from_millis(2500);
        let mut search = path.search(1420);
        path.settle(&mut search);
        assert_eq!(search.mtu(), 1420);
    }

    #[test]
    fn a_path_that_carries_less_than_before_is_noticed_at_the_next_search() {
        let mut path = Path::of(1500);
        let mut search = path.search(1420);
        path.settle(&mut search);
        path.carries = 1350;
        path.now = search.next_timeout();
        path.settle(&mut search);
        assert_eq!(search.mtu(), 1344);
    }

    #[test]
    fn a_path_that_now_carries_everything_is_noticed_at_the_next_search() {
        let mut path = Path::of(1350);
        let mut search = path.search(1420);
        path.settle(&mut search);
        let before = search.mtu();
        path.carries = 1500;
        path.now = search.next_timeout();
        path.settle(&mut search);
        assert!(before < 1351 && search.mtu() == 1420);
    }

    #[test]
    fn an_unchanged_path_is_confirmed_without_smaller_packets_in_between() {
        let mut path = Path::of(1500);
        let mut search = path.search(1420);
        path.settle(&mut search);
        let pings = path.pings;
        path.now = search.next_timeout();
        path.settle(&mut search);
        assert_eq!((search.mtu(), path.pings - pings), (1420, 1));
    }

    #[test]
    fn an_unchanged_smaller_path_costs_two_sizes_per_search() {
        let mut path = Path::of(1350);
        let mut search = path.search(1420);
        path.settle(&mut search);
        let (before, pings) = (search.mtu(), path.pings);
        path.now = search.next_timeout();
        path.settle(&mut search);
        assert_eq!(
            (search.mtu(), path.pings - pings),
            (before, 1 + u64::from(MTU_PROBES))
        );
    }

    #[test]
    fn the_search_on_a_new_path_starts_at_the_minimum_mtu() {
        let mut path = Path::of(1500);
        let mut search = path.search(1420);
        path.settle(&mut search);
        search.restart(path.now);
        assert_eq!(search.mtu(), MIN_MTU);
        path.settle(&mut search);
        assert_eq!(search.mtu(), 1420);
    }

    #[test]
    fn no_search_runs_if_the_mtu_is_the_minimum() {
        let path = Path::of(1500);
        let mut search = path.search(MIN_MTU);
        assert_eq!(search.next_timeout(), Instant::FAR_FUTURE);
        assert!(search.due(path.now).is_empty());
        search.restart(path.now);
        assert!(search.due(path.now).is_empty());
    }

    #[test]
    fn the_answer_to_another_ping_is_ignored() {
        let mut path = Path::of(1500);
        let mut search = path.search(1420);
        path.send_what_is_due(&mut search);
        search.answered(path.now, 77);
        assert_eq!(search.mtu(), MIN_MTU);
    }
}
