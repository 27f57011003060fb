//! How many logins each source may begin: the first limit behind the cookie.

use alloc::collections::{BTreeMap, BTreeSet};
use core::fmt;
use core::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use core::time::Duration;

use super::bucket::{Bucket, Limit};
use crate::Instant;

/// 20 logins a second from one prefix, five at once.
const LIMIT: Limit = Limit {
    burst: 5,
    refill: Duration::from_millis(50),
};

/// Most prefixes that are counted at a time.
pub(crate) const MAX_SOURCES: usize = 4096;

/// Who is taken for one sender: an IPv4 address, or the /64 of an IPv6 address, since one host commands all of it
/// (RFC 4291, section 2.5.4; RFC 8981 hosts change their address within it at will).
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum SourcePrefix {
    /// An address.
    V4([u8; 4]),
    /// The first 64 bits.
    V6([u8; 8]),
}

/// The prefix that `address` is counted under. An IPv4 address is the same whether the socket shows it as such or mapped
/// into IPv6 (`::ffff:192.0.2.1`): otherwise all of IPv4 would be one sender.
pub(crate) const fn source_prefix(address: IpAddr) -> SourcePrefix {
    match address.to_canonical() {
        IpAddr::V4(address) => SourcePrefix::V4(address.octets()),
        IpAddr::V6(address) => {
            let [a, b, c, d, e, f, g, h, ..] = address.octets();
            SourcePrefix::V6([a, b, c, d, e, f, g, h])
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

/// A bucket for each source prefix: 20 a second, 5 at once. It stands behind the cookie, so that only who receives at an
/// address can use up its bucket.
///
/// # A full table
///
/// A bucket is full again after at most 250 ms, and then says no more than none: it is forgotten. Only who sends from
/// more than [`MAX_SOURCES`] prefixes within that time can fill the table. Then the bucket that would be full soonest
/// gives way. Its owner gains what it spent, at most a burst, and only in the 250 ms in which it could have had a whole
/// burst from each of its other addresses: there is nothing to win by it. Nobody is turned away because of the
/// others, and what they can make the server do is limited in all by [`Ke1Rate`](super::Ke1Rate).
#[derive(Debug)]
pub(crate) struct SourceBuckets {
    buckets: BTreeMap<SourcePrefix, Bucket>,
    /// The same buckets, the one that is full soonest first.
    by_age: BTreeSet<(Bucket, SourcePrefix)>,
}

impl SourceBuckets {
    /// No source has sent anything.
    pub(crate) const fn new() -> Self {
        Self {
            buckets: BTreeMap::new(),
            by_age: BTreeSet::new(),
        }
    }

    /// Whether a login from `source` may begin; it is counted then.
    pub(crate) fn take(&mut self, now: Instant, source: IpAddr) -> bool {
        self.forget_full(now);
        let prefix = source_prefix(source);
        let before = self.buckets.get(&prefix).copied();
        let mut bucket = before.unwrap_or(Bucket::FULL);
        if !bucket.take(now, LIMIT) {
            return false;
        }
        match before {
            Some(before) => {
                self.by_age.remove(&(before, prefix));
            }
            None if self.buckets.len() >= MAX_SOURCES => self.forget_one(),
            None => {}
        }
        self.buckets.insert(prefix, bucket);
        self.by_age.insert((bucket, prefix));
        true
    }

    /// How many prefixes are counted, at most [`MAX_SOURCES`].
    #[cfg(test)]
    pub(crate) fn len(&self) -> usize {
        self.buckets.len()
    }

    fn forget_full(&mut self, now: Instant) {
        while self
            .by_age
            .first()
            .is_some_and(|(bucket, _)| bucket.full_at() <= now)
        {
            self.forget_one();
        }
    }

    fn forget_one(&mut self) {
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
    fn an_ipv4_address_stands_for_itself_and_an_ipv6_address_for_its_64() {
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
    fn a_mapped_ipv4_address_is_that_address() {
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
        let mut buckets = SourceBuckets::new();
        let source = ip("192.0.2.1");
        let mut taken = |millis| {
            let now = Instant::from_millis(millis);
            core::iter::from_fn(|| buckets.take(now, source).then_some(())).count()
        };
        assert_eq!(taken(1000), 5);
        assert_eq!(taken(1049), 0);
        assert_eq!(taken(1050), 1);
        assert_eq!(
            (1051..=2050).map(&mut taken).sum::<usize>(),
            20,
            "in the next second"
        );
        assert_eq!(taken(9000), 5);
    }

    #[test]
    fn addresses_of_one_64_share_a_bucket_and_others_do_not() {
        let mut buckets = SourceBuckets::new();
        for host in 1..=5 {
            assert!(buckets.take(Instant::ZERO, ip(&format!("2001:db8::{host}"))));
        }
        assert!(!buckets.take(Instant::ZERO, ip("2001:db8::6")));
        assert!(buckets.take(Instant::ZERO, ip("2001:db8:0:1::6")));
    }

    #[test]
    fn a_bucket_that_is_full_again_is_forgotten() {
        let mut buckets = SourceBuckets::new();
        for host in 0..=255 {
            assert!(buckets.take(Instant::ZERO, IpAddr::from([192, 0, 2, host])));
        }
        assert_eq!(buckets.len(), 256);
        assert!(buckets.take(Instant::from_millis(50), ip("198.51.100.1")));
        assert_eq!(buckets.len(), 1);
    }

    #[test]
    fn a_flood_of_sources_neither_grows_the_table_nor_shuts_out_an_honest_one() {
        let mut buckets = SourceBuckets::new();
        let mut rng = ChaCha20Rng::from_seed([1; 32]);
        let honest = ip("192.0.2.1");
        // 100,000 sources within a second: five times what the table can tell apart.
        for millis in 0..1000 {
            let now = Instant::from_millis(millis);
            for _ in 0..100 {
                let mut octets = [0; 16];
                rng.fill_bytes(&mut octets);
                octets[0] = 0x20;
                assert!(buckets.take(now, IpAddr::from(octets)));
            }
            assert!(buckets.len() <= MAX_SOURCES);
            assert_eq!(buckets.len(), buckets.by_age.len());
            if millis % 100 == 0 {
                assert!(buckets.take(now, honest));
            }
        }
        assert_eq!(buckets.len(), MAX_SOURCES, "the table was full");
    }

    #[test]
    fn the_bucket_that_gives_way_is_the_fullest() {
        let mut buckets = SourceBuckets::new();
        let greedy = ip("192.0.2.1");
        for _ in 0..5 {
            assert!(buckets.take(Instant::ZERO, greedy));
        }
        for source in 0..100_000u32 {
            assert!(buckets.take(Instant::ZERO, Ipv4Addr::from_bits(0x0a00_0000 + source).into()));
        }
        assert!(
            !buckets.take(Instant::ZERO, greedy),
            "an empty bucket is not the one that is forgotten"
        );
    }
}
