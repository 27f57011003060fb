//! Limits on the work that senders can cause, in total and for each source.

use alloc::collections::BTreeMap;
use core::time::Duration;

use super::SourcePrefix;
use super::bucket::{Bucket, Limit};
use crate::{Instant, State, describe};

/// Rate of answers to KE1: 500 per second, with a burst of 500.
const KE1_LIMIT: Limit = Limit {
    burst: 500,
    refill: Duration::from_millis(2),
};

/// Maximum number of logins between KE2 and KE3.
pub(crate) const MAX_HALF_OPEN: usize = 1024;

/// Maximum number of logins between KE2 and KE3 from one source prefix.
pub(crate) const MAX_HALF_OPEN_PER_SOURCE: usize = 8;

/// Rate limit for answers to KE1: 500 per second in total, with a burst of 500. Each answer costs the server
/// some curve operations.
#[derive(Debug)]
pub(crate) struct Ke1Rate(Bucket);

impl Ke1Rate {
    /// A full bucket.
    pub(crate) const fn new() -> Self {
        Self(Bucket::FULL)
    }

    /// Counts one more answer. Returns false if the limit is reached.
    pub(crate) fn take(&mut self, now: Instant) -> bool {
        self.0.take(now, KE1_LIMIT)
    }

    /// Describes the limit.
    pub(crate) fn describe(&self, state: &mut State<'_>) {
        let Self(bucket) = self;
        bucket.describe(state, KE1_LIMIT);
    }
}

/// Limits of half-open logins: 1024 in total, 8 from one source prefix.
///
/// A half-open login holds memory for 10 seconds. The limit per prefix prevents one sender from using up the
/// total.
#[derive(Debug)]
pub(crate) struct HalfOpenCaps {
    total: usize,
    by_source: BTreeMap<SourcePrefix, usize>,
}

impl HalfOpenCaps {
    /// No half-open logins.
    pub(crate) const fn new() -> Self {
        Self {
            total: 0,
            by_source: BTreeMap::new(),
        }
    }

    /// Counts one more half-open login from `source` until [`leave`](Self::leave). Returns false if a limit
    /// is reached.
    pub(crate) fn enter(&mut self, source: SourcePrefix) -> bool {
        let from_source = self.by_source.get(&source).copied().unwrap_or_default();
        let is_full = self.total >= MAX_HALF_OPEN || from_source >= MAX_HALF_OPEN_PER_SOURCE;
        if is_full {
            return false;
        }
        self.total = self.total.saturating_add(1);
        self.by_source.insert(source, from_source.saturating_add(1));
        true
    }

    /// Ends a half-open login. `source` must be the value given to [`enter`](Self::enter), even if the
    /// session has another address now. Does nothing for a source without half-open logins.
    pub(crate) fn leave(&mut self, source: SourcePrefix) {
        let Some(from_source) = self.by_source.get_mut(&source) else {
            return;
        };
        self.total = self.total.saturating_sub(1);
        *from_source = from_source.saturating_sub(1);
        if *from_source == 0 {
            self.by_source.remove(&source);
        }
    }

    /// Describes the numbers of half-open logins.
    pub(crate) fn describe(&self, state: &mut State<'_>) {
        let Self { total, by_source } = self;
        describe::len(state, *total);
        describe::list(state, by_source.iter(), |state, (source, count)| {
            source.describe(state);
            describe::len(state, *count);
        });
    }

    /// Number of half-open logins, at most [`MAX_HALF_OPEN`].
    #[cfg(test)]
    pub(crate) const fn total(&self) -> usize {
        self.total
    }
}

#[cfg(test)]
mod tests {
    use core::net::Ipv4Addr;

    use super::super::source_prefix;
    use super::*;

    fn source(n: u32) -> SourcePrefix {
        source_prefix(Ipv4Addr::from_bits(n).into())
    }

    #[test]
    fn ke1_is_answered_500_times_at_once_and_then_500_times_a_second() {
        let mut rate = Ke1Rate::new();
        let mut taken = |nanos| {
            let now = Instant::from_nanos(nanos);
            core::iter::from_fn(|| rate.take(now).then_some(())).count()
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
    fn a_source_has_8_half_open_logins_and_all_sources_1024() {
        let mut caps = HalfOpenCaps::new();
        for n in 0..128 {
            let entered = (0..20).filter(|_| caps.enter(source(n))).count();
            assert_eq!(entered, 8);
        }
        assert_eq!(caps.total(), 1024);
        assert!(!caps.enter(source(128)), "the 1025th");
        caps.leave(source(0));
        assert!(caps.enter(source(128)));
        assert!(!caps.enter(source(129)));
    }

    #[test]
    fn a_login_that_ends_makes_room_for_another() {
        let mut caps = HalfOpenCaps::new();
        for _ in 0..8 {
            assert!(caps.enter(source(1)));
        }
        assert!(!caps.enter(source(1)));
        caps.leave(source(1));
        assert!(caps.enter(source(1)));
        assert!(!caps.enter(source(1)));
    }

    #[test]
    fn leaving_without_entering_makes_no_room() {
        let mut caps = HalfOpenCaps::new();
        for _ in 0..8 {
            assert!(caps.enter(source(1)));
        }
        for _ in 0..10 {
            caps.leave(source(2));
        }
        assert_eq!(caps.total(), 8);
        assert!(!caps.enter(source(1)));
    }

    #[test]
    fn a_flood_of_100_000_sources_keeps_the_table_bounded() {
        let mut caps = HalfOpenCaps::new();
        let entered = (0..100_000).filter(|n| caps.enter(source(*n))).count();
        assert_eq!((entered, caps.by_source.len()), (1024, 1024));
        for n in 0..100_000 {
            caps.leave(source(n));
        }
        assert_eq!((caps.total(), caps.by_source.len()), (0, 0));
    }
}
