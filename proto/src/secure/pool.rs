//! Pool of inner addresses that a server assigns to sessions. One pool has one address family.

use alloc::collections::BTreeMap;
use core::error::Error;
use core::fmt;
use core::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use super::Login;
use crate::{IpPrefix, State, describe};

/// Maximum number of released addresses whose last user is remembered.
const MAX_REMEMBERED: usize = 4096;

/// The addresses of one IPv4 or IPv6 network. Each session gets one.
///
/// These addresses are never assigned: the server's own address, reserved addresses of users with fixed
/// addresses, the first address (the network in IPv4; the subnet-router anycast address in IPv6, RFC 4291,
/// section 2.6.1), and the last one in IPv4 (broadcast). In a /31 (RFC 3021) and a /127 (RFC 6164) the first
/// and the last address are normal host addresses.
///
/// A user gets its last address again unless another user has got it since. The pool remembers the last 4096
/// released addresses for that; an older one counts as never used. The result depends only on the earlier
/// calls. Memory grows with the number of assigned, reserved and remembered addresses, not with the size of
/// the network.
#[derive(Debug)]
pub struct Pool {
    prefix: IpPrefix,
    /// First and last address that may be assigned.
    first: u128,
    last: u128,
    uses: BTreeMap<u128, Use>,
    /// Indexes of `uses`, always changed together with it: the address of each `Use::Assigned` session, and
    /// the user of each `Use::Remembered` address by release number.
    sessions: BTreeMap<(Login, u64), u128>,
    remembered: BTreeMap<u64, (Login, u128)>,
    releases: u64,
}

/// Use of an address. An address that is not in the table was never used.
#[derive(Debug)]
enum Use {
    Reserved,
    /// Assigned to a session.
    Assigned(Login, u64),
    /// Free. The value is the number of its last release.
    Remembered(u64),
}

/// Reason why a network cannot have a pool.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum PoolError {
    /// The prefix length is larger than the number of bits of the address.
    PrefixTooLong(IpPrefix),
    /// The server's own address is not a valid host address in that network.
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
                "{prefix}: not a host address of the network; use the server's own address, for example 10.9.0.1/24"
            ),
            Self::NoRoom(prefix) => write!(
                f,
                "{prefix}: no address is left for clients; make the prefix shorter"
            ),
        }
    }
}

impl Error for PoolError {}

impl Use {
    fn describe(&self, state: &mut State<'_>) {
        match self {
            Self::Reserved => state.number(0),
            // The session is described with the other sessions.
            Self::Assigned(login, _) => {
                state.number(1);
                describe::text(state, login.as_str());
            }
            // The order of the releases is described with them.
            Self::Remembered(_) => state.number(2),
        }
    }
}

impl Pool {
    /// A pool for the network of `prefix`, which is also the server's own address in it: `10.9.0.1/24`.
    /// Addresses in `reserved` outside this network are ignored.
    ///
    /// # Errors
    ///
    /// [`PoolError`] if the network is not usable.
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

    /// Replaces the set of reserved addresses. Those outside this network are ignored. A session that has one
    /// of them keeps it until [`release`](Self::release).
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

    /// Returns true if `address` is a host address of this network.
    #[must_use]
    pub fn has_host(&self, address: IpAddr) -> bool {
        self.prefix.contains(address) && (self.first..=self.last).contains(&to_bits(address))
    }

    /// Returns true if the address is assigned to a session.
    #[must_use]
    pub fn is_assigned(&self, address: IpAddr) -> bool {
        let used = self.uses.get(&to_bits(address));
        self.prefix.contains(address) && matches!(used, Some(Use::Assigned(..)))
    }

    /// The server's own address with the prefix length of the network.
    #[must_use]
    pub const fn prefix(&self) -> IpPrefix {
        self.prefix
    }

    /// Assigns an address to session `device` of `login`, until [`release`](Self::release). The order of
    /// preference is: the address that this session already has, the address that `login` released last, the
    /// lowest that was never used, the lowest that is free. `None` if no address is free.
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

    /// Releases an address. Does nothing if no session has it.
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

    /// The address that `login` released last, if it is still remembered for that user.
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

    /// Converts to an address of this pool's family. A value with more than 32 bits cannot be in an IPv4
    /// pool.
    fn to_address(&self, bits: u128) -> IpAddr {
        match (self.prefix.address, u32::try_from(bits)) {
            (IpAddr::V4(_), Ok(bits)) => Ipv4Addr::from_bits(bits).into(),
            _ => Ipv6Addr::from_bits(bits).into(),
        }
    }

    /// Describes the addresses that are in use, and the order in which the others were released.
    pub(super) fn describe(&self, state: &mut State<'_>) {
        let Self {
            prefix: _, // does not change
            first: _,  // does not change
            last: _,   // does not change
            uses,
            sessions,
            remembered,
            releases: _, // only the order of the numbers counts
        } = self;
        describe::list(state, uses.iter(), |state, (address, used)| {
            state.bytes(&address.to_be_bytes());
            used.describe(state);
        });
        // Each session has the next number, so only the order of the numbers counts.
        describe::list(state, sessions.iter(), |state, ((login, _), address)| {
            describe::text(state, login.as_str());
            state.bytes(&address.to_be_bytes());
        });
        describe::list(state, remembered.values(), |state, (login, address)| {
            describe::text(state, login.as_str());
            state.bytes(&address.to_be_bytes());
        });
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

/// The first and the last host address of a network.
fn hosts(prefix: IpPrefix) -> Result<(u128, u128), PoolError> {
    let (bits, has_broadcast) = match prefix.address {
        IpAddr::V4(_) => (32u32, true),
        IpAddr::V6(_) => (128, false),
    };
    let host_bits = bits
        .checked_sub(prefix.length.into())
        .ok_or(PoolError::PrefixTooLong(prefix))?;
    // All ones in the host part. A shift by 128 would overflow.
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

    /// Assigns an address to session `device` of `name` and prints it.
    fn assign(pool: &mut Pool, name: &str, device: u64) -> String {
        let address = pool.assign(&Login::new(name).unwrap(), device);
        address.map_or_else(|| "none".into(), |address| address.to_string())
    }

    fn release(pool: &mut Pool, address: &str) {
        pool.release(address.parse().unwrap());
    }

    /// All addresses of a pool, assigned to one user after the other.
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
    fn a_31_and_a_127_have_no_network_or_broadcast_address() {
        assert_eq!(everything(pool("10.9.0.1/31")), ["10.9.0.0"]);
        assert_eq!(everything(pool("10.9.0.0/31")), ["10.9.0.1"]);
        assert_eq!(everything(pool("fd00::/127")), ["fd00::1"]);
    }

    #[test]
    fn unusable_networks_are_rejected() {
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
    fn large_networks_are_not_enumerated() {
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
    fn a_user_gets_its_last_address_again() {
        let mut pool = pool("10.9.0.1/24");
        assert_eq!(assign(&mut pool, "kean", 1), "10.9.0.2");
        assert_eq!(assign(&mut pool, "alice", 2), "10.9.0.3");
        release(&mut pool, "10.9.0.2");
        release(&mut pool, "10.9.0.3");
        assert_eq!(
            assign(&mut pool, "bob", 3),
            "10.9.0.4",
            "addresses never used come first"
        );
        assert_eq!(assign(&mut pool, "alice", 4), "10.9.0.3");
        assert_eq!(assign(&mut pool, "kean", 5), "10.9.0.2");
    }

    #[test]
    fn a_user_with_two_sessions_gets_both_addresses_again() {
        let mut pool = pool("10.9.0.1/24");
        for (device, address) in [(1, "10.9.0.2"), (2, "10.9.0.3")] {
            assert_eq!(assign(&mut pool, "kean", device), address);
        }
        release(&mut pool, "10.9.0.3");
        release(&mut pool, "10.9.0.2");
        assert_eq!(
            assign(&mut pool, "kean", 3),
            "10.9.0.2",
            "the last release comes first"
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
    fn a_full_pool_assigns_the_lowest_free_address_even_if_another_user_had_it() {
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
            "its own address now belongs to another user"
        );
        assert_eq!(assign(&mut pool, "user5", 11), "none");
    }

    #[test]
    fn releasing_an_unassigned_address_changes_nothing() {
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
    fn at_most_4096_released_addresses_are_remembered() {
        let mut pool = pool("fd00::1/64");
        for n in 0..10_000 {
            let login = Login::new(&format!("user{n}")).unwrap();
            let address = pool.assign(&login, n).unwrap();
            pool.release(address);
        }
        assert_eq!(pool.remembered.len(), 4096);
        assert_eq!(pool.uses.len(), 4097, "4096 addresses and the server's own");
        assert_eq!(pool.sessions.len(), 0);
        // user9999 is remembered. user0 is not, so it gets the lowest address that counts as never used.
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
            // A fixed sequence over 9 users. Every third step releases an address.
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
