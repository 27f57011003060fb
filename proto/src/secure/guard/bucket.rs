//! A token bucket stored as one number.

use core::time::Duration;

use crate::{Instant, State};

/// Size and refill rate of a bucket.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Limit {
    /// Tokens in a full bucket.
    pub(super) burst: u32,
    /// Time for one token.
    pub(super) refill: Duration,
}

/// A token bucket, stored as the time at which it will be full again.
///
/// This is the virtual scheduling algorithm (ITU-T I.371, annex A, also called GCRA). Taking a token moves
/// that time by the refill time of one token. A token is available if the new time is at most a whole burst
/// after `now`. No remainder is rounded. A full bucket holds no information, so it need not be stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Bucket {
    full_at: Instant,
}

/// Largest burst of a bucket whose tokens are described one by one.
const LARGE: u32 = 16;

impl Bucket {
    /// A full bucket.
    pub(super) const FULL: Self = Self {
        full_at: Instant::ZERO,
    };

    /// Takes a token. Returns false if there is none.
    pub(super) fn take(&mut self, now: Instant, limit: Limit) -> bool {
        self.take_leaving(now, limit, 0)
    }

    /// Takes a token if at least `reserved` tokens are left then. Returns false otherwise.
    pub(super) fn take_leaving(&mut self, now: Instant, limit: Limit, reserved: u32) -> bool {
        let full_at = self.full_at.max(now).saturating_add(limit.refill);
        let most = limit.burst.saturating_sub(reserved);
        let is_there = full_at.saturating_duration_since(now) <= limit.refill.saturating_mul(most);
        if is_there {
            self.full_at = full_at;
        }
        is_there
    }

    /// Returns one token. A full bucket stays full.
    pub(super) fn give_back(&mut self, limit: Limit) {
        let since_origin = self.full_at.saturating_duration_since(Instant::ZERO);
        self.full_at = Instant::ZERO.saturating_add(since_origin.saturating_sub(limit.refill));
    }

    /// Returns true if the bucket is full. Then it holds no information.
    pub(super) fn is_full(self, now: Instant) -> bool {
        self.full_at <= now
    }

    /// Describes the times at which each token is available again, or the time until the bucket is full if it is large.
    pub(super) fn describe(self, state: &mut State<'_>, limit: Limit) {
        let Self { full_at } = self;
        if limit.burst > LARGE {
            state.duration(full_at.saturating_duration_since(state.now()));
            return;
        }
        let until_full = full_at.saturating_duration_since(Instant::ZERO);
        for missing in 0..limit.burst {
            let until = until_full.saturating_sub(limit.refill.saturating_mul(missing));
            state.deadline(Some(Instant::ZERO.saturating_add(until)));
        }
    }

    /// Time at which the bucket is full again if nothing is taken until then.
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
    fn a_token_is_refilled_to_the_nanosecond() {
        let mut bucket = Bucket::FULL;
        assert_eq!(take_all(&mut bucket, Instant::ZERO), 3);
        assert!(!bucket.take(Instant::from_nanos(9_999_999), LIMIT));
        assert!(bucket.take(Instant::from_nanos(10_000_000), LIMIT));
        assert!(!bucket.take(Instant::from_nanos(10_000_000), LIMIT));
        assert_eq!(
            take_all(&mut bucket, Instant::from_millis(35)),
            2,
            "half a token is not lost"
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
    fn a_clock_that_runs_back_gives_no_extra_tokens() {
        let mut bucket = Bucket::FULL;
        assert_eq!(take_all(&mut bucket, Instant::from_secs(10)), 3);
        assert_eq!(take_all(&mut bucket, Instant::from_secs(9)), 0);
    }
}
