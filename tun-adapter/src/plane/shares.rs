//! Shares of a queue: one source cannot fill it.
//!
//! A source may have as many waiting items as its part of the free room, and at least one. So one source leaves two thirds of the
//! queue free, and n sources that send too much leave a part of 1 / (n / 2 + 1). A source is not refused anything as long as it
//! uses less than its share, whatever the others do.

use std::collections::BTreeMap;
use std::net::IpAddr;

use sandhog_proto::DropReason;

/// The part of the free room that a source may have, in halves: 1 is a half.
pub(super) type Halves = usize;

/// A network of a sender: its level, and the first bits of its addresses.
pub(super) type Network = (Level, u64);

/// Size of a network.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Level {
    /// One IPv4 address.
    V4Address,
    /// An IPv4 prefix of 24 bits.
    V4Small,
    /// An IPv4 prefix of 16 bits.
    V4Large,
    /// An IPv6 prefix of 64 bits, the network of one machine.
    V6Machine,
    /// An IPv6 prefix of 56 bits.
    V6Small,
    /// An IPv6 prefix of 48 bits.
    V6Large,
}

/// The networks of an address with their parts. An IPv4-mapped IPv6 address counts as the IPv4 address.
pub(super) fn networks(source: IpAddr) -> [(Network, Halves); 3] {
    match source.to_canonical() {
        IpAddr::V4(address) => {
            let bits = u64::from(address.to_bits());
            [
                ((Level::V4Address, bits), 1),
                ((Level::V4Small, bits >> 8), 2),
                ((Level::V4Large, bits >> 16), 4),
            ]
        }
        IpAddr::V6(address) => {
            let bits = u64::try_from(address.to_bits() >> 64).unwrap_or_default();
            [
                ((Level::V6Machine, bits), 1),
                ((Level::V6Small, bits >> 8), 2),
                ((Level::V6Large, bits >> 16), 4),
            ]
        }
    }
}

/// Counts of the waiting items of a queue, by source.
#[derive(Debug)]
pub(super) struct Shares<K> {
    /// Room of the queue.
    room: usize,
    waiting: usize,
    counts: BTreeMap<K, usize>,
}

impl<K: Copy + Ord> Shares<K> {
    /// The shares of an empty queue.
    pub(super) const fn of(room: usize) -> Self {
        Self {
            room,
            waiting: 0,
            counts: BTreeMap::new(),
        }
    }

    /// Adds an item of these sources.
    ///
    /// # Errors
    ///
    /// [`DropReason::Overloaded`] if the queue is full, [`DropReason::ShareLimited`] if one of the sources has used up its share.
    /// Nothing is added.
    pub(super) fn enter<const N: usize>(&mut self, sources: &[(K, Halves); N]) -> Result<(), DropReason> {
        let free = self.room.saturating_sub(self.waiting);
        if free == 0 {
            return Err(DropReason::Overloaded);
        }
        let is_used_up = |(source, halves): &(K, Halves)| {
            let count = self.counts.get(source).copied().unwrap_or_default();
            count >= (free * halves / 2).max(1)
        };
        if sources.iter().any(is_used_up) {
            return Err(DropReason::ShareLimited);
        }
        self.waiting += 1;
        for (source, _) in sources {
            *self.counts.entry(*source).or_default() += 1;
        }
        Ok(())
    }

    /// Removes an item of these sources.
    pub(super) fn leave<const N: usize>(&mut self, sources: &[(K, Halves); N]) {
        self.waiting = self.waiting.saturating_sub(1);
        for (source, _) in sources {
            if let Some(count) = self.counts.get_mut(source) {
                *count -= 1;
                if *count == 0 {
                    self.counts.remove(source);
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ROOM: usize = 1200;

    /// Sends more items from each of these addresses, in turn, than there is room. Returns how many of each have entered.
    fn fill(shares: &mut Shares<Network>, addresses: &[&str]) -> Vec<usize> {
        let sources: Vec<_> = addresses
            .iter()
            .map(|address| networks(address.parse().expect("an address")))
            .collect();
        let mut entered = vec![0; sources.len()];
        for _ in 0..=ROOM {
            for (source, entered) in sources.iter().zip(&mut entered) {
                *entered += usize::from(shares.enter(source).is_ok());
            }
        }
        entered
    }

    #[test]
    fn an_address_gets_at_most_a_third_of_a_queue() {
        for address in ["192.0.2.1", "2001:db8::1", "::ffff:192.0.2.1"] {
            assert_eq!(fill(&mut Shares::of(ROOM), &[address]), [400]);
        }
    }

    #[test]
    fn a_prefix_gets_at_most_half_of_a_queue_and_a_large_one_two_thirds() {
        let total = |addresses: &[&str]| fill(&mut Shares::of(ROOM), addresses).iter().sum::<usize>();
        let small: Vec<_> = (0..=255).map(|last| format!("192.0.2.{last}")).collect();
        let small: Vec<_> = small.iter().map(String::as_str).collect();
        assert_eq!(total(&small), 600);
        let large: Vec<_> = (0..=255).map(|third| format!("192.0.{third}.1")).collect();
        let large: Vec<_> = large.iter().map(String::as_str).collect();
        assert_eq!(total(&large), 800);
        let v6: Vec<_> = (0..=255).map(|last| format!("2001:db8:7:{last:x}::1")).collect();
        let v6: Vec<_> = v6.iter().map(String::as_str).collect();
        assert_eq!(total(&v6), 600);
        let v6: Vec<_> = (0..=255)
            .map(|last| format!("2001:db8:7:{last:x}00::1"))
            .collect();
        let v6: Vec<_> = v6.iter().map(String::as_str).collect();
        assert_eq!(total(&v6), 800);
    }

    #[test]
    fn a_source_that_comes_late_gets_room_under_a_flood_from_a_hundred_networks() {
        let mut shares = Shares::of(ROOM);
        let flood: Vec<_> = (1..=100).map(|first| format!("{first}.0.0.1")).collect();
        let flood: Vec<_> = flood.iter().map(String::as_str).collect();
        assert!(fill(&mut shares, &flood).iter().all(|entered| *entered > 0));
        assert!(fill(&mut shares, &["192.0.2.1"])[0] > 1);
        assert_eq!(fill(&mut shares, &flood), [0; 100]);
        assert!(fill(&mut shares, &["2001:db8::1"])[0] > 1);
    }

    #[test]
    fn a_full_queue_and_a_used_up_share_have_different_reasons() {
        let mut shares = Shares::of(2);
        let [one, two, three] = [[(1, 1)], [(2, 1)], [(3, 1)]];
        assert_eq!(shares.enter(&one), Ok(()));
        assert_eq!(shares.enter(&one), Err(DropReason::ShareLimited));
        assert_eq!(shares.enter(&two), Ok(()));
        assert_eq!(shares.enter(&three), Err(DropReason::Overloaded));
    }

    #[test]
    fn items_that_have_left_count_no_more() {
        let mut shares = Shares::of(3);
        let source = [(1, 2), (2, 2)];
        for _ in 0..100 {
            assert_eq!(shares.enter(&source), Ok(()));
            shares.leave(&source);
        }
        assert!(shares.counts.is_empty(), "{shares:?}");
        assert_eq!(shares.waiting, 0);
    }
}
