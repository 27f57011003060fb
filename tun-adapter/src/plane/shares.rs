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
///
/// As long as less than a third of the queue is used, no source can be above its share. Nothing is counted then, because counting
/// costs more than the queue itself.
#[derive(Debug)]
pub(super) struct Shares<K> {
    /// Room of the queue.
    room: usize,
    waiting: usize,
    /// `None` if nothing is counted.
    counts: Option<BTreeMap<K, usize>>,
}

impl<K: Copy + Ord> Shares<K> {
    /// The shares of an empty queue.
    pub(super) const fn of(room: usize) -> Self {
        Self {
            room,
            waiting: 0,
            counts: None,
        }
    }

    /// Adds an item of these sources. `others` returns the sources of the items that wait already.
    ///
    /// # Errors
    ///
    /// [`DropReason::Overloaded`] if the queue is full, [`DropReason::ShareLimited`] if one of the sources has used up its share.
    /// Nothing is added.
    pub(super) fn enter<const N: usize, I: Iterator<Item = [(K, Halves); N]>>(
        &mut self,
        sources: &[(K, Halves); N],
        others: impl FnOnce() -> I,
    ) -> Result<(), DropReason> {
        if self.waiting < self.room / 3 && self.counts.is_none() {
            self.waiting += 1;
            return Ok(());
        }
        let free = self.room.saturating_sub(self.waiting);
        if free == 0 {
            return Err(DropReason::Overloaded);
        }
        let counts = self.counts.get_or_insert_with(|| {
            let mut counts = BTreeMap::new();
            others().for_each(|sources| count(&mut counts, &sources));
            counts
        });
        let is_used_up = |(source, halves): &(K, Halves)| {
            let count = counts.get(source).copied().unwrap_or_default();
            count >= (free * halves / 2).max(1)
        };
        if sources.iter().any(is_used_up) {
            return Err(DropReason::ShareLimited);
        }
        self.waiting += 1;
        count(counts, sources);
        Ok(())
    }

    /// Removes an item of these sources.
    pub(super) fn leave<const N: usize>(&mut self, sources: &[(K, Halves); N]) {
        self.waiting = self.waiting.saturating_sub(1);
        let Some(counts) = &mut self.counts else { return };
        if self.waiting == 0 {
            self.counts = None;
            return;
        }
        for (source, _) in sources {
            if let Some(count) = counts.get_mut(source) {
                *count -= 1;
                if *count == 0 {
                    counts.remove(source);
                }
            }
        }
    }
}

fn count<K: Copy + Ord>(counts: &mut BTreeMap<K, usize>, sources: &[(K, Halves)]) {
    for (source, _) in sources {
        *counts.entry(*source).or_default() += 1;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ROOM: usize = 1200;

    /// A queue that contains only the sources.
    struct Queue(Shares<Network>, Vec<[(Network, Halves); 3]>);

    impl Queue {
        fn new() -> Self {
            Self(Shares::of(ROOM), Vec::new())
        }

        fn enter(&mut self, source: [(Network, Halves); 3]) -> bool {
            let is_in = self.0.enter(&source, || self.1.iter().copied()).is_ok();
            self.1.extend(is_in.then_some(source));
            is_in
        }
    }

    /// Sends more items from each of these addresses, in turn, than there is room. Returns how many of each have entered.
    fn fill(queue: &mut Queue, addresses: &[&str]) -> Vec<usize> {
        let sources: Vec<_> = addresses
            .iter()
            .map(|address| networks(address.parse().expect("an address")))
            .collect();
        let mut entered = vec![0; sources.len()];
        for _ in 0..=ROOM {
            for (source, entered) in sources.iter().zip(&mut entered) {
                *entered += usize::from(queue.enter(*source));
            }
        }
        entered
    }

    #[test]
    fn an_address_gets_at_most_a_third_of_a_queue() {
        for address in ["192.0.2.1", "2001:db8::1", "::ffff:192.0.2.1"] {
            assert_eq!(fill(&mut Queue::new(), &[address]), [400]);
        }
    }

    #[test]
    fn a_prefix_gets_at_most_half_of_a_queue_and_a_large_one_two_thirds() {
        let total = |addresses: &[&str]| fill(&mut Queue::new(), addresses).iter().sum::<usize>();
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
        let mut queue = Queue::new();
        let flood: Vec<_> = (1..=100).map(|first| format!("{first}.0.0.1")).collect();
        let flood: Vec<_> = flood.iter().map(String::as_str).collect();
        assert!(fill(&mut queue, &flood).iter().all(|entered| *entered > 0));
        assert!(fill(&mut queue, &["192.0.2.1"])[0] > 1);
        assert_eq!(fill(&mut queue, &flood), [0; 100]);
        assert!(fill(&mut queue, &["2001:db8::1"])[0] > 1);
    }

    #[test]
    fn a_full_queue_and_a_used_up_share_have_different_reasons() {
        let mut shares = Shares::of(2);
        let [one, two, three] = [[(1, 1)], [(2, 1)], [(3, 1)]];
        assert_eq!(shares.enter(&one, || [].into_iter()), Ok(()));
        assert_eq!(
            shares.enter(&one, || [one].into_iter()),
            Err(DropReason::ShareLimited)
        );
        assert_eq!(shares.enter(&two, || [one].into_iter()), Ok(()));
        assert_eq!(
            shares.enter(&three, || [one, two].into_iter()),
            Err(DropReason::Overloaded)
        );
    }

    #[test]
    fn items_that_have_left_count_no_more() {
        let source = |address: &str| networks(address.parse().expect("an address"));
        let (one, two) = (source("192.0.2.1"), source("2001:db8::1"));
        let mut queue = Queue::new();
        assert!((0..ROOM / 2).all(|number| queue.enter(if number % 2 == 0 { one } else { two })));
        for _ in 0..ROOM {
            queue.0.leave(&one);
            assert!(queue.enter(one));
        }
        for left in [one, two] {
            (0..ROOM / 4).for_each(|_| queue.0.leave(&left));
        }
        assert!(queue.0.counts.is_none() && queue.0.waiting == 0, "{:?}", queue.0);
    }
}
