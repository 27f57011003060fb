//! Rate limits for each source, the first checks after the cookie.

use alloc::collections::{BTreeMap, BTreeSet};
use alloc::vec::Vec;
use core::fmt;
use core::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use core::time::Duration;

use super::bucket::{Bucket, Limit};
use crate::{Instant, State, describe};

/// A limit for each prefix.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum SourceLimit {
    /// X25519 for M1: 500 per second, with a burst of 500.
    Dh,
    /// Answers to KE1 without a ticket: 20 per second, with a burst of 5.
    Ke1,
}

impl SourceLimit {
    const fn limit(self) -> Limit {
        match self {
            Self::Dh => Limit {
                burst: 500,
                refill: Duration::from_millis(2),
            },
            Self::Ke1 => Limit {
                burst: 5,
                refill: Duration::from_millis(50),
            },
        }
    }
}

/// Maximum number of prefixes counted at a time.
pub(crate) const MAX_SOURCES: usize = 4096;

/// Addresses that count as one sender: an IPv4 address, or the /64 of an IPv6 address. One host can use a
/// whole /64 (RFC 4291, section 2.5.4), and hosts change their address within it (RFC 8981).
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum SourcePrefix {
    /// An address.
    V4([u8; 4]),
    /// The first 64 bits.
    V6([u8; 8]),
}

/// The prefix under which `address` is counted. An IPv4-mapped IPv6 address (`::ffff:192.0.2.1`) counts as
/// the IPv4 address. Otherwise all of IPv4 would be one sender.
pub(crate) const fn source_prefix(address: IpAddr) -> SourcePrefix {
    match address.to_canonical() {
        IpAddr::V4(address) => SourcePrefix::V4(address.octets()),
        IpAddr::V6(address) => {
            let [a, b, c, d, e, f, g, h, ..] = address.octets();
            SourcePrefix::V6([a, b, c, d, e, f, g, h])
        }
    }
}

impl SourcePrefix {
    /// Describes the prefix.
    pub(crate) fn describe(&self, state: &mut State<'_>) {
        match self {
            Self::V4(octets) => state.bytes(octets),
            Self::V6(octets) => state.bytes(octets),
        }
    }
}

impl fmt::Debug for SourcePrefix {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::V4(octets) => write!(f, "{}/32", Ipv4Addr::from(octets)),
            Self::V6([a, b, c, d, e, g, h, i]) => {
                let address = Ipv6Addr::from([a, b, c, d, e, g, h, i, 0, 0, 0, 0, 0, 0, 0, 0]);
                write!(f, "{address}/64")
            }
        }
    }
}

/// One bucket per source prefix. It is checked after the cookie, so only a host that receives datagrams at an address can use up
/// its bucket.
///
/// # A full table
///
/// A bucket is full again after at most 1 s and is then removed. So only a sender that uses more than
/// [`MAX_SOURCES`] prefixes within that time can fill the table. Then the bucket that would be full soonest
/// is removed. Its owner gains at most one burst. The gain is useless: in the same time the sender could
/// have had a whole burst from each of its other addresses. No sender is rejected because of others, and
/// [`DhRate`](super::DhRate) and [`Ke1Rate`](super::Ke1Rate) limit the total work of the server.
#[derive(Debug)]
pub(crate) struct SourceBuckets {
    limit: SourceLimit,
    buckets: BTreeMap<SourcePrefix, Bucket>,
    /// The same buckets. The one that is full soonest comes first.
    by_age: BTreeSet<(Bucket, SourcePrefix)>,
}

impl SourceBuckets {
    /// An empty table.
    pub(crate) const fn new(limit: SourceLimit) -> Self {
        Self {
            limit,
            buckets: BTreeMap::new(),
            by_age: BTreeSet::new(),
        }
    }

    /// Counts a request from `source`. `None` if its limit is reached, otherwise true if it has sent none lately.
    pub(crate) fn take(&mut self, now: Instant, source: IpAddr) -> Option<bool> {
        self.remove_full(now);
        let prefix = source_prefix(source);
        let before = self.buckets.get(&prefix).copied();
        let mut bucket = before.unwrap_or(Bucket::FULL);
        if !bucket.take(now, self.limit.limit()) {
            return None;
        }
        match before {
            Some(before) => {
                self.by_age.remove(&(before, prefix));
            }
            None if self.buckets.len() >= MAX_SOURCES => self.remove_fullest(),
            None => {}
        }
        self.buckets.insert(prefix, bucket);
        self.by_age.insert((bucket, prefix));
        Some(before.is_none())
    }

    /// Number of prefixes counted, at most [`MAX_SOURCES`].
    #[cfg(test)]
    pub(crate) fn len(&self) -> usize {
        self.buckets.len()
    }

    fn remove_full(&mut self, now: Instant) {
        while self
            .by_age
            .first()
            .is_some_and(|(bucket, _)| bucket.full_at() <= now)
        {
            self.remove_fullest();
        }
    }

    /// Describes the buckets that are not full.
    pub(crate) fn describe(&self, state: &mut State<'_>) {
        let Self {
            limit,
            buckets,
            by_age: _, // the same buckets
        } = self;
        let now = state.now();
        let used: Vec<_> = buckets
            .iter()
            .filter(|(_, bucket)| !bucket.is_full(now))
            .collect();
        describe::list(state, used.into_iter(), |state, (prefix, bucket)| {
            prefix.describe(state);
            bucket.describe(state, limit.limit());
        });
    }

    fn remove_fullest(&mut self) {
        if let Some((_, prefix)) = self.by_age.pop_first() {
            self.buckets.remove(&prefix);
        }
    }
}

#[cfg(test)]
mod tests {
    use alloc::format;

    use rand_chacha::ChaCha20Rng;
    use rand_core::{RngCore, SeedableRng};

    use super::*;

    fn ip(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    #[test]
    fn a_source_prefix_is_an_ipv4_address_or_an_ipv6_64() {
        assert_ne!(source_prefix(ip("192.0.2.1")), source_prefix(ip("192.0.2.2")));
        assert_eq!(
            source_prefix(ip("2001:db8::1")),
            source_prefix(ip("2001:db8::ffff:2"))
        );
        assert_ne!(
            source_prefix(ip("2001:db8::1")),
            source_prefix(ip("2001:db8:0:1::1"))
        );
        assert_eq!(format!("{:?}", source_prefix(ip("192.0.2.1"))), "192.0.2.1/32");
        assert_eq!(format!("{:?}", source_prefix(ip("2001:db8::1"))), "2001:db8::/64");
    }

    #[test]
    fn an_ipv4_mapped_address_has_the_prefix_of_the_ipv4_address() {
        assert_eq!(
            source_prefix(ip("::ffff:192.0.2.1")),
            source_prefix(ip("192.0.2.1"))
        );
        assert_ne!(
            source_prefix(ip("::ffff:192.0.2.1")),
            source_prefix(ip("::ffff:192.0.2.2"))
        );
    }

    #[test]
    fn a_source_gets_five_at_once_and_then_one_each_50_ms() {
        let mut buckets = SourceBuckets::new(SourceLimit::Ke1);
        let source = ip("192.0.2.1");
        let mut taken = |millis| {
            let now = Instant::from_millis(millis);
            core::iter::from_fn(|| buckets.take(now, source)).count()
        };
        assert_eq!(taken(1000), 5);
        assert_eq!(taken(1049), 0);
        assert_eq!(taken(1050), 1);
        assert_eq!(
            (1051..=2050).map(&mut taken).sum::<usize>(),
            20,
            "during the next second"
        );
        assert_eq!(taken(9000), 5);
    }

    #[test]
    fn a_source_is_quiet_until_its_first_request() {
        let mut buckets = SourceBuckets::new(SourceLimit::Dh);
        let source = ip("192.0.2.1");
        assert_eq!(buckets.take(Instant::ZERO, source), Some(true));
        assert_eq!(buckets.take(Instant::ZERO, source), Some(false));
        assert_eq!(buckets.take(Instant::from_millis(4), source), Some(true));
    }

    #[test]
    fn addresses_of_one_64_share_a_bucket_and_others_do_not() {
        let mut buckets = SourceBuckets::new(SourceLimit::Ke1);
        for host in 1..=5 {
            assert!(
                buckets
                    .take(Instant::ZERO, ip(&format!("2001:db8::{host}")))
                    .is_some()
            );
        }
        assert!(buckets.take(Instant::ZERO, ip("2001:db8::6")).is_none());
        assert!(buckets.take(Instant::ZERO, ip("2001:db8:0:1::6")).is_some());
    }

    #[test]
    fn a_bucket_that_is_full_again_is_removed() {
        let mut buckets = SourceBuckets::new(SourceLimit::Ke1);
        for host in 0..=255 {
            assert!(
                buckets
                    .take(Instant::ZERO, IpAddr::from([192, 0, 2, host]))
                    .is_some()
            );
        }
        assert_eq!(buckets.len(), 256);
        assert!(
            buckets
                .take(Instant::from_millis(50), ip("198.51.100.1"))
                .is_some()
        );
        assert_eq!(buckets.len(), 1);
    }

    #[test]
    fn a_flood_of_sources_neither_grows_the_table_nor_blocks_an_honest_source() {
        let mut buckets = SourceBuckets::new(SourceLimit::Ke1);
        let mut rng = ChaCha20Rng::from_seed([1; 32]);
        let honest = ip("192.0.2.1");
        // 100,000 sources within a second: five times more than the table can distinguish.
        for millis in 0..1000 {
            let now = Instant::from_millis(millis);
            for _ in 0..100 {
                let mut octets = [0; 16];
                rng.fill_bytes(&mut octets);
                octets[0] = 0x20;
                assert!(buckets.take(now, IpAddr::from(octets)).is_some());
            }
            assert!(buckets.len() <= MAX_SOURCES);
            assert_eq!(buckets.len(), buckets.by_age.len());
            if millis % 100 == 0 {
                assert!(buckets.take(now, honest).is_some());
            }
        }
        assert_eq!(buckets.len(), MAX_SOURCES, "the table was full");
    }

    #[test]
    fn a_full_table_drops_the_fullest_bucket() {
        let mut buckets = SourceBuckets::new(SourceLimit::Ke1);
        let greedy = ip("192.0.2.1");
        for _ in 0..5 {
            assert!(buckets.take(Instant::ZERO, greedy).is_some());
        }
        for source in 0..100_000u32 {
            assert!(
                buckets
                    .take(Instant::ZERO, Ipv4Addr::from_bits(0x0a00_0000 + source).into())
                    .is_some()
            );
        }
        assert!(
            buckets.take(Instant::ZERO, greedy).is_none(),
            "an empty bucket is not removed"
        );
    }
}
