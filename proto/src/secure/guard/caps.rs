//! What all senders together, and each by itself, may keep the server busy with.

use alloc::collections::BTreeMap;
use core::time::Duration;

use super::SourcePrefix;
use super::bucket::{Bucket, Limit};
use crate::Instant;

/// Answers to KE1: 500 a second. The server may catch up on as many at once.
const KE1_LIMIT: Limit = Limit {
    burst: 500,
    refill: Duration::from_millis(2),
};

/// Most logins between KE2 and KE3.
pub(crate) const MAX_HALF_OPEN: usize = 1024;

/// Most logins between KE2 and KE3 from one source prefix.
pub(crate) const MAX_HALF_OPEN_PER_SOURCE: usize = 8;

/// How many KE1 are answered in all: 500 a second, 500 at once. Each costs the server some curve operations.
#[derive(Debug)]
pub(crate) struct Ke1Rate(Bucket);

impl Ke1Rate {
    /// None has been answered.
    pub(crate) const fn new() -> Self {
        Self(Bucket::FULL)
    }

    /// Whether one more is answered; it is counted then.
    pub(crate) fn take(&mut self, now: Instant) -> bool {
        self.0.take(now, KE1_LIMIT)
    }
}

/// How many logins are half open: 1024 in all, 8 from one source prefix.
///
/// A half-open login holds memory for 10 seconds. The cap of a prefix stands so that one sender cannot use up those
/// of all the others.
#[derive(Debug)]
pub(crate) struct HalfOpenCaps {
    total: usize,
    by_source: BTreeMap<SourcePrefix, usize>,
}

impl HalfOpenCaps {
    /// None is half open.
    pub(crate) const fn new() -> Self {
        Self {
            total: 0,
            by_source: BTreeMap::new(),
        }
    }

    /// Whether one more from `source` may be half open; it is counted then, until [`leave`](Self::leave).
    pub(crate) fn enter(&mut self, source: SourcePrefix) -> bool {
        let from_source = self.by_source.get(&source).copied().unwrap_or_default();
        if self.total >= MAX_HALF_OPEN || from_source >= MAX_HALF_OPEN_PER_SOURCE {
            return false;
        }
        self.total = self.total.saturating_add(1);
        self.by_source.insert(source, from_source.saturating_add(1));
        true
    }

    /// One from `source` is no longer half open. `source` is that of [`enter`](Self::enter), whatever address the
    /// session has now; one that nobody entered from changes nothing.
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

    /// How many are half open, at most [`MAX_HALF_OPEN`].
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
    fn a_source_has_8_and_all_together_1024() {
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
    fn who_leaves_may_enter_again() {
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
    fn leaving_without_having_entered_makes_no_room() {
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
