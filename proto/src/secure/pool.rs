//! The inner addresses that a server gives to sessions, one family to a pool.

use alloc::collections::BTreeMap;
use core::error::Error;
use core::fmt;
use core::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use super::Login;
use crate::IpPrefix;

/// Most released addresses whose last login is remembered.
const MAX_REMEMBERED: usize = 4096;

/// The addresses of one network, IPv4 or IPv6, of which each session gets one.
///
/// Never given out are the server's own address, the first one (the network in IPv4; the routers' anycast address in
/// IPv6, RFC 4291, section 2.6.1), the last one in IPv4 (broadcast), and those that were reserved for users with fixed
/// addresses. A /31 (RFC 3021) and a /127 (RFC 6164) have no first and last one of that sort.
///
/// A login gets the address back that it had last, as long as nobody else has got it since. The last 4096 released
/// addresses are remembered for that; an older one counts as never used. Which address a login gets depends only on the
/// calls before. Memory is that of the addresses that are assigned, reserved or remembered, however large the network.
#[derive(Debug)]
pub struct Pool {
    prefix: IpPrefix,
    /// First and last address that could be given out.
    first: u128,
    last: u128,
    uses: BTreeMap<u128, Use>,
    /// Where the sessions of `Use::Assigned` are, and the login of each `Use::Remembered` by its release number: views of
    /// `uses`, always changed together.
    sessions: BTreeMap<(Login, u64), u128>,
    remembered: BTreeMap<u64, (Login, u128)>,
    releases: u64,
}

/// What an address is used for. One that is not in the table was never used.
#[derive(Debug)]
enum Use {
    Reserved,
    /// A session has it.
    Assigned(Login, u64),
    /// It is free; this release was its last.
    Remembered(u64),
}

/// Why a network gives no pool.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum PoolError {
    /// The prefix length is more than the address has bits.
    PrefixTooLong(IpPrefix),
    /// The server's own address is not one that a host can have in that network.
    NotAHost(IpPrefix),
    /// The network has no address besides the server's.
    NoRoom(IpPrefix),
}

impl fmt::Display for PoolError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::PrefixTooLong(prefix) => {
                write!(f, "{prefix}: the prefix is longer than the address")
            }
            Self::NotAHost(prefix) => write!(
                f,
                "{prefix}: the server cannot have this address; give one of its own in the network, as in 10.9.0.1/24"
            ),
            Self::NoRoom(prefix) => write!(
                f,
                "{prefix}: no address is left for clients; make the prefix shorter"
            ),
        }
    }
}

impl Error for PoolError {}

impl Pool {
    /// A pool of the network around `prefix`, which is the server's own address in it: `10.9.0.1/24`. Addresses in
    /// `reserved` that are not of this network do not matter.
    ///
    /// # Errors
    ///
    /// [`PoolError`] if there can be no such network.
    pub fn new(prefix: IpPrefix, reserved: impl Iterator<Item = IpAddr>) -> Result<Self, PoolError> {
        let (first, last) = hosts(prefix)?;
        let own = to_bits(prefix.address);
        if !(first..=last).contains(&own) || !is_for_hosts(prefix.address) {
            return Err(PoolError::NotAHost(prefix));
        }
        if first == last {
            return Err(PoolError::NoRoom(prefix));
        }
        let mut pool = Self {
            prefix,
            first,
            last,
            uses: BTreeMap::new(),
            sessions: BTreeMap::new(),
            remembered: BTreeMap::new(),
            releases: 0,
        };
        pool.reserve(reserved);
        Ok(pool)
    }

    /// Keeps off `reserved` from now on, in place of what it kept off before; those that are not of this network do not
    /// matter. A session that has one of them keeps it until [`release`](Self::release).
    pub fn reserve(&mut self, reserved: impl Iterator<Item = IpAddr>) {
        self.uses.retain(|_, used| !matches!(used, Use::Reserved));
        let prefix = self.prefix;
        let reserved = reserved.filter(|address| prefix.contains(*address)).map(to_bits);
        for address in reserved.chain([to_bits(prefix.address)]) {
            match self.uses.get(&address) {
                Some(Use::Assigned(..)) => continue,
                Some(Use::Remembered(release)) => _ = self.remembered.remove(release),
                Some(Use::Reserved) | None => {}
            }
            self.uses.insert(address, Use::Reserved);
        }
    }

    /// Whether a client could have this address: one of a host in this network.
    #[must_use]
    pub fn has_host(&self, address: IpAddr) -> bool {
        self.prefix.contains(address) && (self.first..=self.last).contains(&to_bits(address))
    }

    /// Whether a session has this address of the pool.
    #[must_use]
    pub fn is_assigned(&self, address: IpAddr) -> bool {
        let used = self.uses.get(&to_bits(address));
        self.prefix.contains(address) && matches!(used, Some(Use::Assigned(..)))
    }

    /// The server's own address and the length of the network's prefix.
    #[must_use]
    pub const fn prefix(&self) -> IpPrefix {
        self.prefix
    }

    /// An address for session `device` of `login`, until [`release`](Self::release): the one that this session has, or
    /// the one that `login` released last, or the lowest that was never used, or the lowest that is free. `None` if none
    /// is.
    pub fn assign(&mut self, login: &Login, device: u64) -> Option<IpAddr> {
        let session = (login.clone(), device);
        if let Some(address) = self.sessions.get(&session) {
            return Some(self.to_address(*address));
        }
        let address = self
            .last_of(login)
            .or_else(|| self.lowest_never_used())
            .or_else(|| self.lowest_remembered())?;
        let before = self.uses.insert(address, Use::Assigned(login.clone(), device));
        if let Some(Use::Remembered(release)) = before {
            self.remembered.remove(&release);
        }
        self.sessions.insert(session, address);
        Some(self.to_address(address))
    }

    /// Takes an address back. One that no session has changes nothing.
    pub fn release(&mut self, address: IpAddr) {
        if !self.prefix.contains(address) {
            return;
        }
        let address = to_bits(address);
        let Some(Use::Assigned(login, device)) = self.uses.get(&address) else {
            return;
        };
        let session = (login.clone(), *device);
        self.sessions.remove(&session);
        self.releases = self.releases.saturating_add(1);
        self.uses.insert(address, Use::Remembered(self.releases));
        self.remembered.insert(self.releases, (session.0, address));
        if self.remembered.len() > MAX_REMEMBERED
            && let Some((_, (_, oldest))) = self.remembered.pop_first()
        {
            self.uses.remove(&oldest);
        }
    }

    /// The address that `login` released last, if it is still remembered as that login's.
    fn last_of(&self, login: &Login) -> Option<u128> {
        let mut latest_first = self.remembered.values().rev();
        latest_first
            .find(|(owner, _)| owner == login)
            .map(|(_, address)| *address)
    }

    /// The first gap in the table.
    fn lowest_never_used(&self) -> Option<u128> {
        let mut candidate = self.first;
        for (used, _) in self.uses.range(self.first..) {
            if *used != candidate {
                break;
            }
            candidate = candidate.checked_add(1)?;
        }
        (candidate <= self.last).then_some(candidate)
    }

    fn lowest_remembered(&self) -> Option<u128> {
        self.remembered.values().map(|(_, address)| *address).min()
    }

    /// The address of this pool's family. What does not fit 32 bits cannot be in an IPv4 pool.
    fn to_address(&self, bits: u128) -> IpAddr {
        match (self.prefix.address, u32::try_from(bits)) {
            (IpAddr::V4(_), Ok(bits)) => Ipv4Addr::from_bits(bits).into(),
            _ => Ipv6Addr::from_bits(bits).into(),
        }
    }
}

fn to_bits(address: IpAddr) -> u128 {
    match address {
        IpAddr::V4(address) => address.to_bits().into(),
        IpAddr::V6(address) => address.to_bits(),
    }
}

const fn is_for_hosts(address: IpAddr) -> bool {
    !address.is_unspecified() && !address.is_loopback() && !address.is_multicast()
}

/// The first and last address that hosts of a network can have.
fn hosts(prefix: IpPrefix) -> Result<(u128, u128), PoolError> {
    let (bits, has_broadcast) = match prefix.address {
        IpAddr::V4(_) => (32u32, true),
        IpAddr::V6(_) => (128, false),
    };
    let host_bits = bits
        .checked_sub(prefix.length.into())
        .ok_or(PoolError::PrefixTooLong(prefix))?;
    // All ones in the host's part: 128 of them do not come out of a shift.
    let host_mask = 1u128
        .checked_shl(host_bits)
        .map_or(u128::MAX, |end| end.saturating_sub(1));
    let network = to_bits(prefix.address) & !host_mask;
    let end = network | host_mask;
    if host_bits < 2 {
        return Ok((network, end));
    }
    let last = end.saturating_sub(u128::from(has_broadcast));
    Ok((network.saturating_add(1), last))
}

#[cfg(test)]
mod tests {
    use alloc::format;
    use alloc::string::{String, ToString};
    use alloc::vec::Vec;

    use super::*;

    fn pool(prefix: &str) -> Pool {
        pool_without(prefix, &[])
    }

    fn pool_without(prefix: &str, reserved: &[&str]) -> Pool {
        let reserved = reserved.iter().map(|address| address.parse().unwrap());
        Pool::new(prefix.parse().unwrap(), reserved).unwrap()
    }

    /// Gives session `device` of `name` an address and shows it.
    fn assign(pool: &mut Pool, name: &str, device: u64) -> String {
        let address = pool.assign(&Login::new(name).unwrap(), device);
        address.map_or_else(|| "none".into(), |address| address.to_string())
    }

    fn release(pool: &mut Pool, address: &str) {
        pool.release(address.parse().unwrap());
    }

    /// All that a pool gives out, to one user after the other.
    fn everything(mut pool: Pool) -> Vec<String> {
        let all = (0..).map(|n| assign(&mut pool, &format!("user{n}"), n));
        all.take_while(|address| address != "none").collect()
    }

    #[test]
    fn network_broadcast_own_and_reserved_addresses_are_never_given_out() {
        let pool = pool_without("10.9.0.1/29", &["10.9.0.3", "10.9.0.5", "10.8.0.2", "fd00::2"]);
        assert_eq!(everything(pool), ["10.9.0.2", "10.9.0.4", "10.9.0.6"]);
        let pool = pool_without("fd00::2/125", &["fd00::4", "10.9.0.2"]);
        assert_eq!(
            everything(pool),
            ["fd00::1", "fd00::3", "fd00::5", "fd00::6", "fd00::7"]
        );
    }

    #[test]
    fn a_pair_has_no_network_and_no_broadcast_address() {
        assert_eq!(everything(pool("10.9.0.1/31")), ["10.9.0.0"]);
        assert_eq!(everything(pool("10.9.0.0/31")), ["10.9.0.1"]);
        assert_eq!(everything(pool("fd00::/127")), ["fd00::1"]);
    }

    #[test]
    fn a_network_that_cannot_be_is_refused() {
        let new = |text: &str| Pool::new(text.parse().unwrap(), [].into_iter()).unwrap_err();
        for text in ["10.9.0.1/32", "fd00::1/128"] {
            assert_eq!(new(text), PoolError::NoRoom(text.parse().unwrap()));
        }
        for text in [
            "10.9.0.0/24",
            "10.9.0.255/24",
            "fd00::/64",
            "0.0.0.0/31",
            "127.0.0.1/8",
            "ff02::1/16",
        ] {
            assert_eq!(new(text), PoolError::NotAHost(text.parse().unwrap()), "{text}");
        }
        let prefix = IpPrefix {
            address: [10, 9, 0, 1].into(),
            length: 33,
        };
        let error = Pool::new(prefix, [].into_iter()).unwrap_err();
        assert_eq!(error, PoolError::PrefixTooLong(prefix));
        assert!(error.to_string().starts_with("10.9.0.1/33: "), "{error}");
    }

    #[test]
    fn large_networks_are_not_counted_through() {
        for (prefix, first, second) in [
            ("10.9.0.1/8", "10.0.0.1", "10.0.0.2"),
            ("10.9.0.1/0", "0.0.0.1", "0.0.0.2"),
            ("fd00::1/64", "fd00::2", "fd00::3"),
            ("fd00::1/0", "::1", "::2"),
        ] {
            let mut pool = pool(prefix);
            assert_eq!(assign(&mut pool, "kean", 1), first);
            assert_eq!(assign(&mut pool, "kean", 2), second);
            assert_eq!(pool.prefix().to_string(), prefix);
        }
    }

    #[test]
    fn a_login_gets_back_the_address_it_had_last() {
        let mut pool = pool("10.9.0.1/24");
        assert_eq!(assign(&mut pool, "kean", 1), "10.9.0.2");
        assert_eq!(assign(&mut pool, "alice", 2), "10.9.0.3");
        release(&mut pool, "10.9.0.2");
        release(&mut pool, "10.9.0.3");
        assert_eq!(
            assign(&mut pool, "bob", 3),
            "10.9.0.4",
            "never used comes before used"
        );
        assert_eq!(assign(&mut pool, "alice", 4), "10.9.0.3");
        assert_eq!(assign(&mut pool, "kean", 5), "10.9.0.2");
    }

    #[test]
    fn a_login_with_two_sessions_gets_both_addresses_back() {
        let mut pool = pool("10.9.0.1/24");
        for (device, address) in [(1, "10.9.0.2"), (2, "10.9.0.3")] {
            assert_eq!(assign(&mut pool, "kean", device), address);
        }
        release(&mut pool, "10.9.0.3");
        release(&mut pool, "10.9.0.2");
        assert_eq!(
            assign(&mut pool, "kean", 3),
            "10.9.0.2",
            "the one released last comes first"
        );
        assert_eq!(assign(&mut pool, "kean", 4), "10.9.0.3");
        assert_eq!(assign(&mut pool, "kean", 5), "10.9.0.4");
    }

    #[test]
    fn a_session_that_asks_again_keeps_its_address() {
        let mut pool = pool("10.9.0.1/24");
        assert_eq!(assign(&mut pool, "kean", 1), "10.9.0.2");
        assert_eq!(assign(&mut pool, "kean", 1), "10.9.0.2");
        assert_eq!(assign(&mut pool, "alice", 1), "10.9.0.3");
    }

    #[test]
    fn a_full_pool_gives_the_lowest_free_address_even_if_it_was_somebody_elses() {
        let mut pool = pool("10.9.0.1/29");
        for n in 2..=6 {
            assert_eq!(assign(&mut pool, &format!("user{n}"), n), format!("10.9.0.{n}"));
        }
        assert_eq!(assign(&mut pool, "late", 9), "none");
        release(&mut pool, "10.9.0.5");
        release(&mut pool, "10.9.0.3");
        assert_eq!(assign(&mut pool, "late", 9), "10.9.0.3");
        assert_eq!(
            assign(&mut pool, "user3", 10),
            "10.9.0.5",
            "its own is another's now"
        );
        assert_eq!(assign(&mut pool, "user5", 11), "none");
    }

    #[test]
    fn releasing_what_nobody_has_changes_nothing() {
        let mut pool = pool_without("10.9.0.1/29", &["10.9.0.2"]);
        for address in [
            "10.9.0.1", "10.9.0.2", "10.9.0.4", "10.9.0.7", "10.8.0.1", "fd00::1", "::a09:3",
        ] {
            release(&mut pool, address);
        }
        assert_eq!(assign(&mut pool, "kean", 1), "10.9.0.3");
        for _ in 0..2 {
            release(&mut pool, "10.9.0.3");
        }
        assert_eq!(everything(pool), ["10.9.0.4", "10.9.0.5", "10.9.0.6", "10.9.0.3"]);
    }

    #[test]
    fn no_more_than_4096_released_addresses_are_remembered_and_the_oldest_is_forgotten() {
        let mut pool = pool("fd00::1/64");
        for n in 0..10_000 {
            let login = Login::new(&format!("user{n}")).unwrap();
            let address = pool.assign(&login, n).unwrap();
            pool.release(address);
        }
        assert_eq!(pool.remembered.len(), 4096);
        assert_eq!(pool.uses.len(), 4097, "and the server's own");
        assert_eq!(pool.sessions.len(), 0);
        // user9999 is remembered, user0 is not and gets the lowest that counts as never used.
        let last = pool.remembered.last_key_value().unwrap().1.1;
        assert_eq!(
            assign(&mut pool, "user9999", 1),
            Ipv6Addr::from_bits(last).to_string()
        );
        let gap = pool.lowest_never_used().unwrap();
        assert_eq!(
            assign(&mut pool, "user0", 2),
            Ipv6Addr::from_bits(gap).to_string()
        );
    }

    #[test]
    fn no_two_sessions_ever_have_the_same_address() {
        let mut pool = pool("10.9.0.1/26");
        let mut held: Vec<(u64, String)> = Vec::new();
        for n in 0..5_000u64 {
            // A fixed walk over 9 logins; every third step gives one back.
            if n % 3 == 2 && !held.is_empty() {
                let index = usize::try_from(n * 7).unwrap() % held.len();
                release(&mut pool, &held.swap_remove(index).1);
                continue;
            }
            let address = assign(&mut pool, &format!("user{}", n % 9), n);
            if address == "none" {
                assert_eq!(held.len(), 61);
                release(&mut pool, &held.swap_remove(0).1);
                continue;
            }
            assert!(held.iter().all(|(_, other)| *other != address), "{address} twice");
            held.push((n, address));
        }
    }
}
