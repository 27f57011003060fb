//! Limits on the work that senders can cause, in total.

use core::time::Duration;

use super::bucket::{Bucket, Limit};
use crate::{Instant, State};

/// Rate of X25519 for M1: 5000 per second, with a burst of 5000.
const DH_LIMIT: Limit = Limit {
    burst: 5000,
    refill: Duration::from_micros(200),
};

/// Rate of answers to KE1: 500 per second, with a burst of 500.
const KE1_LIMIT: Limit = Limit {
    burst: 500,
    refill: Duration::from_millis(2),
};

/// A rate limit for all sources together. Half of the burst is reserved for sources that have not been heard lately. So sources
/// that send many requests do not take the last token from an honest client.
macro_rules! rate {
    ($(#[$doc:meta])* $name:ident, $limit:ident) => {
        $(#[$doc])*
        #[derive(Debug)]
        pub(crate) struct $name(Bucket);

        impl $name {
            /// A full bucket.
            pub(crate) const fn new() -> Self {
                Self(Bucket::FULL)
            }

            /// Counts one more request, of a source that is `quiet` or not. Returns false if the limit is reached.
            pub(crate) fn take(&mut self, now: Instant, is_quiet: bool) -> bool {
                let reserved = if is_quiet { 0 } else { $limit.burst / 2 };
                self.0.take_leaving(now, $limit, reserved)
            }

            /// Describes the limit.
            pub(crate) fn describe(&self, state: &mut State<'_>) {
                let Self(bucket) = self;
                bucket.describe(state, $limit);
            }
        }
    };
}

rate! {
    /// Rate limit of the X25519 that opens M1, which takes some 40 µs.
    DhRate, DH_LIMIT
}

rate! {
    /// Rate limit for answers to KE1. Each answer costs the server some curve operations. There is one for clients with a ticket
    /// and one for all others.
    Ke1Rate, KE1_LIMIT
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ke1_is_answered_500_times_at_once_and_then_500_times_a_second() {
        let mut rate = Ke1Rate::new();
        let mut taken = |nanos| {
            let now = Instant::from_nanos(nanos);
            core::iter::from_fn(|| rate.take(now, true).then_some(())).count()
        };
        assert_eq!(taken(0), 500);
        assert_eq!(taken(1_999_999), 0);
        assert_eq!(taken(2_000_000), 1);
        assert_eq!(
            (3..=1_002).map(|millis| taken(millis * 1_000_000)).sum::<usize>(),
            500
        );
    }

    #[test]
    fn busy_sources_leave_half_of_the_burst_to_quiet_ones() {
        let mut rate = Ke1Rate::new();
        let mut taken =
            |is_quiet| core::iter::from_fn(|| rate.take(Instant::ZERO, is_quiet).then_some(())).count();
        assert_eq!(taken(false), 250);
        assert_eq!(taken(true), 250);
        assert_eq!(taken(false), 0);
    }
}
