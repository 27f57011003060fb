//! Places for half-open logins, shared out fairly among networks.

use alloc::collections::BTreeMap;
use core::net::IpAddr;

use crate::{State, describe};

/// Maximum number of logins between KE2 and KE3.
pub(crate) const MAX_HALF_OPEN: usize = 1024;

/// Maximum number of them without a ticket.
pub(crate) const MAX_WITHOUT_TICKET: usize = 768;

/// A network of a source, at one of three levels: the first 16, 24 and 32 bits of an IPv4 address, or the first 48, 56 and 64
/// bits of an IPv6 address.
type Network = (usize, bool, [u8; 8]);

/// The half-open logins, by network.
///
/// A new login always gets a place. If the table is full, an older one gives way: the oldest one in the fullest network of the
/// lowest level, inside the fullest one of the middle level, inside the fullest one of the highest level. So a sender with many
/// addresses of one provider uses up only its own share. A login without a ticket never takes the place of one with a ticket.
#[derive(Debug, Default)]
pub(crate) struct Places {
    /// In the order of their arrival.
    logins: BTreeMap<u64, Place>,
    by_index: BTreeMap<u32, u64>,
    /// Number of logins of each network, without and with a ticket.
    counts: BTreeMap<(bool, Network), usize>,
    last: u64,
}

#[derive(Clone, Copy, Debug)]
struct Place {
    index: u32,
    source: IpAddr,
    has_ticket: bool,
}

/// The networks of an address, the largest first. An IPv4-mapped IPv6 address counts as the IPv4 address.
fn networks(source: IpAddr) -> [Network; 3] {
    let (octets, is_v4, lengths) = match source.to_canonical() {
        IpAddr::V4(address) => {
            let [a, b, c, d] = address.octets();
            ([a, b, c, d, 0, 0, 0, 0], true, [2, 3, 4])
        }
        IpAddr::V6(address) => {
            let [a, b, c, d, e, f, g, h, ..] = address.octets();
            ([a, b, c, d, e, f, g, h], false, [6, 7, 8])
        }
    };
    lengths.map(|length| {
        let mut prefix = octets;
        prefix.get_mut(length..).unwrap_or_default().fill(0);
        (length, is_v4, prefix)
    })
}

impl Places {
    /// Gives a place to a login, until [`leave`](Self::leave). Returns the login that must give way to it, if any. The caller
    /// must end that login.
    pub(crate) fn enter(&mut self, index: u32, source: IpAddr, has_ticket: bool) -> Option<u32> {
        self.last = self.last.saturating_add(1);
        let place = Place {
            index,
            source,
            has_ticket,
        };
        self.logins.insert(self.last, place);
        self.by_index.insert(index, self.last);
        for network in networks(source) {
            let count = self.counts.entry((has_ticket, network)).or_default();
            *count = count.saturating_add(1);
        }
        let without = self.logins.values().filter(|place| !place.has_ticket).count();
        if without > MAX_WITHOUT_TICKET {
            self.first_to_go(false)
        } else if self.logins.len() > MAX_HALF_OPEN {
            self.first_to_go(without == 0)
        } else {
            None
        }
    }

    /// Ends a login. Does nothing if it has no place.
    pub(crate) fn leave(&mut self, index: u32) {
        let number = self.by_index.remove(&index);
        let Some(place) = number.and_then(|number| self.logins.remove(&number)) else {
            return;
        };
        for network in networks(place.source) {
            let key = (place.has_ticket, network);
            if let Some(count) = self.counts.get_mut(&key) {
                *count = count.saturating_sub(1);
                if *count == 0 {
                    self.counts.remove(&key);
                }
            }
        }
    }

    fn first_to_go(&self, has_ticket: bool) -> Option<u32> {
        let fullness = |place: &Place| {
            networks(place.source).map(|network| {
                self.counts
                    .get(&(has_ticket, network))
                    .copied()
                    .unwrap_or_default()
            })
        };
        // The latest of equal logins would be the last maximum, so the order is reversed.
        let logins = self
            .logins
            .values()
            .rev()
            .filter(|place| place.has_ticket == has_ticket);
        logins
            .max_by_key(|place| fullness(place))
            .map(|place| place.index)
    }

    /// Describes the logins in their order.
    pub(crate) fn describe(&self, state: &mut State<'_>) {
        let Self {
            logins,
            by_index: _, // the same logins
            counts: _,   // follow from the logins
            last: _,     // only the order counts
        } = self;
        describe::list(state, logins.values(), |state, place| {
            let Place {
                index,
                source,
                has_ticket,
            } = place;
            describe::random(state, *index);
            describe::ip(state, *source);
            state.flag(*has_ticket);
        });
    }
}

#[cfg(test)]
mod tests {
    use alloc::vec::Vec;
    use core::net::Ipv4Addr;

    use super::*;

    fn source(a: u8, b: u8, c: u8, d: u8) -> IpAddr {
        Ipv4Addr::new(a, b, c, d).into()
    }

    /// Enters logins from index `from` on, and returns those that gave way.
    fn fill(
        places: &mut Places,
        from: u32,
        sources: impl Iterator<Item = IpAddr>,
        has_ticket: bool,
    ) -> Vec<u32> {
        let mut gone = Vec::new();
        for (index, source) in (from..).zip(sources) {
            if let Some(victim) = places.enter(index, source, has_ticket) {
                places.leave(victim);
                gone.push(victim);
            }
        }
        gone
    }

    #[test]
    fn logins_without_a_ticket_leave_places_for_those_with_one() {
        let mut places = Places::default();
        let gone = fill(
            &mut places,
            1,
            (0..800).map(|n| source(10, 0, (n / 256) as u8, n as u8)),
            false,
        );
        assert_eq!(gone.len(), 800 - MAX_WITHOUT_TICKET);
        let gone = fill(
            &mut places,
            2000,
            (0..256).map(|n| source(11, 0, 0, n as u8)),
            true,
        );
        assert!(gone.is_empty());
        assert_eq!(places.logins.len(), MAX_HALF_OPEN);
    }

    #[test]
    fn the_oldest_login_of_the_fullest_network_gives_way() {
        let mut places = Places::default();
        fill(&mut places, 1, (0..60).map(|n| source(10, n, 0, 1)), false);
        // 700 logins of one /16, most of them of one /24, most of these of one address.
        fill(&mut places, 1000, (0..50).map(|n| source(20, 1, n, 1)), false);
        fill(&mut places, 2000, (0..50).map(|n| source(20, 1, 99, n)), false);
        fill(&mut places, 3000, (0..608).map(|_| source(20, 1, 99, 200)), false);
        assert_eq!(places.logins.len(), MAX_WITHOUT_TICKET);
        let gone = fill(
            &mut places,
            5000,
            [source(30, 1, 1, 1), source(20, 1, 99, 200)].into_iter(),
            false,
        );
        assert_eq!(gone, [3000, 3001]);
    }

    #[test]
    fn a_flood_from_256_networks_leaves_an_honest_login_alone() {
        let mut places = Places::default();
        fill(&mut places, 1, [source(192, 0, 2, 1)].into_iter(), false);
        let flood = (0..20_000).map(|n: u32| source(10, n as u8, 0, 1));
        let gone = fill(&mut places, 2, flood, false);
        assert!(!gone.contains(&1) && gone.len() == 20_001 - MAX_WITHOUT_TICKET);
    }

    #[test]
    fn a_login_without_a_ticket_never_replaces_one_with_a_ticket() {
        let mut places = Places::default();
        fill(
            &mut places,
            1,
            (0..MAX_HALF_OPEN).map(|_| source(10, 0, 0, 1)),
            true,
        );
        let gone = fill(&mut places, 5000, (0..10).map(|n| source(20, n, 0, 1)), false);
        assert_eq!(gone, (5000..5010).collect::<Vec<_>>());
        let gone = fill(&mut places, 6000, [source(30, 0, 0, 1)].into_iter(), true);
        assert_eq!(gone, [1]);
    }

    #[test]
    fn an_ended_login_makes_room_for_another() {
        let mut places = Places::default();
        fill(
            &mut places,
            1,
            (0..MAX_WITHOUT_TICKET).map(|_| source(10, 0, 0, 1)),
            false,
        );
        places.leave(7);
        places.leave(7);
        assert_eq!(places.enter(9000, source(10, 0, 0, 1), false), None);
        assert_eq!(places.enter(9001, source(10, 0, 0, 1), false), Some(1));
    }

    #[test]
    fn the_table_stays_bounded_and_empties_again() {
        let mut places = Places::default();
        fill(
            &mut places,
            1,
            (0..5000).map(|n: u32| source(10, (n / 256) as u8, n as u8, 1)),
            false,
        );
        assert_eq!(places.logins.len(), MAX_WITHOUT_TICKET);
        for index in 1..=5000 {
            places.leave(index);
        }
        assert!(places.logins.is_empty() && places.by_index.is_empty() && places.counts.is_empty());
    }
}
