//! A token bucket of one number.

use core::time::Duration;

use crate::Instant;

/// What a bucket holds and how fast it fills.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Limit {
    /// Tokens in a full bucket.
    pub(super) burst: u32,
    /// Time for one token.
    pub(super) refill: Duration,
}

/// A token bucket, kept as the instant at which it will be full again.
///
/// This is the virtual scheduling algorithm (ITU-T I.371, annex A, better known as GCRA): taking a token moves that
/// instant by the time of one token, and a token is there as long as the instant stays within a whole burst of `now`.
/// No remainder is ever rounded, and a bucket that is full says no more than one that is not there.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Bucket {
    full_at: Instant,
}

impl Bucket {
    /// A full bucket.
    pub(super) const FULL: Self = Self {
        full_at: Instant::ZERO,
    };

    /// Takes a token if there is one.
    pub(super) fn take(&mut self, now: Instant, limit: Limit) -> bool {
        let full_at = self.full_at.max(now).saturating_add(limit.refill);
        let is_there = full_at.saturating_duration_since(now) <= limit.refill.saturating_mul(limit.burst);
        if is_there {
            self.full_at = full_at;
        }
        is_there
    }

    /// Puts one token back; a full bucket stays full.
    pub(super) fn give_back(&mut self, limit: Limit) {
        let since_origin = self.full_at.saturating_duration_since(Instant::ZERO);
        self.full_at = Instant::ZERO.saturating_add(since_origin.saturating_sub(limit.refill));
    }

    /// When it is full again, if nothing is taken until then.
    pub(super) const fn full_at(self) -> Instant {
        self.full_at
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMIT: Limit = Limit {
        burst: 3,
        refill: Duration::from_millis(10),
    };

    fn take_all(bucket: &mut Bucket, now: Instant) -> usize {
        core::iter::from_fn(|| bucket.take(now, LIMIT).then_some(())).count()
    }

    #[test]
    fn a_full_bucket_gives_its_burst_and_no_more() {
        for now in [Instant::ZERO, Instant::from_secs(1_000_000)] {
            let mut bucket = Bucket::FULL;
            assert_eq!(take_all(&mut bucket, now), 3);
        }
    }

    #[test]
    fn a_token_comes_back_at_its_nanosecond() {
        let mut bucket = Bucket::FULL;
        assert_eq!(take_all(&mut bucket, Instant::ZERO), 3);
        assert!(!bucket.take(Instant::from_nanos(9_999_999), LIMIT));
        assert!(bucket.take(Instant::from_nanos(10_000_000), LIMIT));
        assert!(!bucket.take(Instant::from_nanos(10_000_000), LIMIT));
        assert_eq!(
            take_all(&mut bucket, Instant::from_millis(35)),
            2,
            "the half token is kept"
        );
        assert!(bucket.take(Instant::from_millis(40), LIMIT));
    }

    #[test]
    fn idle_time_fills_no_more_than_the_burst() {
        let mut bucket = Bucket::FULL;
        assert_eq!(take_all(&mut bucket, Instant::ZERO), 3);
        assert_eq!(take_all(&mut bucket, Instant::from_secs(3600)), 3);
    }

    #[test]
    fn a_token_put_back_is_there_at_once_but_never_above_the_burst() {
        let mut bucket = Bucket::FULL;
        assert_eq!(take_all(&mut bucket, Instant::ZERO), 3);
        bucket.give_back(LIMIT);
        assert_eq!(take_all(&mut bucket, Instant::ZERO), 1);
        for _ in 0..10 {
            bucket.give_back(LIMIT);
        }
        assert_eq!(take_all(&mut bucket, Instant::ZERO), 3);
    }

    #[test]
    fn a_clock_that_runs_back_gives_nothing_away() {
        let mut bucket = Bucket::FULL;
        assert_eq!(take_all(&mut bucket, Instant::from_secs(10)), 3);
        assert_eq!(take_all(&mut bucket, Instant::from_secs(9)), 0);
    }
}
