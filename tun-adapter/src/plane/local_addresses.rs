//! Local addresses of the peers: each peer gets replies from the address that it uses.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::sync::OnceLock;

use sandhog_proto::secure::DataPath;

/// Largest number of local addresses that are distinguished. For peers of further addresses, the kernel chooses the source
/// address.
const MAX_ADDRESSES: usize = 64;
/// Largest number of peers in each half of [`RecentPeers`].
const MAX_RECENT_PEERS: usize = 1024;

/// The local addresses seen so far, numbered from 1. A session stores the number, not the address.
#[derive(Debug)]
pub(super) struct LocalAddresses([OnceLock<IpAddr>; MAX_ADDRESSES]);

impl Default for LocalAddresses {
    fn default() -> Self {
        Self([const { OnceLock::new() }; MAX_ADDRESSES])
    }
}

impl LocalAddresses {
    /// Returns the number of `address`. 0 without an address or if the table is full.
    pub(super) fn number(&self, address: Option<IpAddr>) -> u32 {
        let Some(address) = address else {
            return 0;
        };
        let place = self
            .0
            .iter()
            .position(|known| *known.get_or_init(|| address) == address);
        place.map_or(0, |place| place as u32 + 1)
    }

    /// Returns the local address that the peer of this session uses.
    pub(super) fn of(&self, path: &DataPath) -> Option<IpAddr> {
        let place = (path.user_data() as usize).checked_sub(1)?;
        self.0.get(place)?.get().copied()
    }
}

/// Local addresses of the peers that have recently sent something to the state machine. When the newer half
/// is full, the older half is forgotten.
#[derive(Debug, Default)]
pub(super) struct RecentPeers {
    newer: BTreeMap<SocketAddr, IpAddr>,
    older: BTreeMap<SocketAddr, IpAddr>,
}

impl RecentPeers {
    /// Stores the local address that `remote` uses, if it is known.
    pub(super) fn note(&mut self, remote: SocketAddr, local: Option<IpAddr>) {
        let Some(local) = local else {
            return;
        };
        if self.newer.len() >= MAX_RECENT_PEERS {
            self.older = std::mem::take(&mut self.newer);
        }
        self.newer.insert(remote, local);
    }

    /// Returns the local address that `remote` uses.
    pub(super) fn of(&self, remote: SocketAddr) -> Option<IpAddr> {
        self.newer
            .get(&remote)
            .or_else(|| self.older.get(&remote))
            .copied()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(last: u8) -> IpAddr {
        [192, 0, 2, last].into()
    }

    #[test]
    fn each_local_address_gets_its_own_number_until_the_table_is_full() {
        let local_addresses = LocalAddresses::default();
        let numbers = || (1..=70).map(|last| local_addresses.number(Some(address(last))));
        let first: Vec<_> = numbers().collect();
        let expected: Vec<u32> = (1..=64).chain([0; 6]).collect();
        assert_eq!(first, expected);
        assert_eq!(numbers().collect::<Vec<_>>(), first, "numbers are stable");
        assert_eq!(local_addresses.number(None), 0);
    }

    #[test]
    fn at_least_1024_recent_peers_are_remembered_and_at_most_2048() {
        let mut recent = RecentPeers::default();
        let peer = |port: u16| SocketAddr::new(address(1), port);
        for port in 0..10_000 {
            recent.note(peer(port), Some(address((port % 3) as u8)));
            recent.note(peer(20_000), None);
        }
        assert_eq!(recent.of(peer(9_999)), Some(address(0)));
        assert_eq!(recent.of(peer(10_000 - 1024)), Some(address(0)));
        assert_eq!((recent.of(peer(1)), recent.of(peer(20_000))), (None, None));
        assert!(recent.newer.len() + recent.older.len() <= 2 * MAX_RECENT_PEERS);
    }
}
