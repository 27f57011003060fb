//! How a server takes another set of users while it runs: who may stay, whose address is whose, and what is still to be
//! stored.

use alloc::vec::Vec;
use core::net::IpAddr;

use super::Server;
use super::config::{ConfigError, Pools};
use super::registry::SessionId;
use super::sessions::Entry;
use crate::Instant;
use crate::secure::{BYE_READDRESSED, BYE_REMOVED, Suite, User, UserStore};

impl Server {
    /// The users, as they are now.
    #[must_use]
    pub const fn users(&self) -> &UserStore {
        &self.users
    }

    /// Takes another set of users.
    ///
    /// Sessions of those who are gone, disabled or have another password end: whoever has a session may change the
    /// password, and would undo that. So do sessions whose addresses would not be given to their user any more, because
    /// somebody has one of them for good now, or because the user has another, or none. All others stay.
    ///
    /// A password that is being stored at this time counts for the user in the new set, if that user is there with the
    /// record that is being replaced; the new set is then written once more, with that record in it. If not, whoever made
    /// the new set has decided about that user, and it is written as it is.
    ///
    /// # Errors
    ///
    /// [`ConfigError::Suite`], [`ConfigError::FixedAddressOutside`] or [`ConfigError::FixedAddressOfServer`]; nothing has
    /// changed then.
    pub fn set_users(&mut self, now: Instant, users: UserStore) -> Result<(), ConfigError> {
        check(&users, self.suite, &self.pools)?;
        let now = self.queues.advance(now);
        let why = |entry: &Entry| match users.get(&entry.login) {
            None => Some(BYE_REMOVED),
            Some(user) if user.disabled || self.has_another_password(user) => Some(BYE_REMOVED),
            Some(user) if !keeps_its_addresses(entry, user, &users, &self.pools) => Some(BYE_READDRESSED),
            Some(_) => None,
        };
        let ended: Vec<(SessionId, &'static str)> = self
            .sessions
            .iter()
            .filter_map(|(id, entry)| Some((id, why(entry)?)))
            .collect();
        for (id, why) in ended {
            self.end_with_bye(now, id, why, 0);
        }
        // What those sessions had is free by now, so that it can be kept for its owner.
        for pool in [&mut self.pools.v4, &mut self.pools.v6].into_iter().flatten() {
            pool.reserve(users.fixed_addresses());
        }
        self.users = users;
        if let Some(saving) = &mut self.saving {
            saving.is_outdated = true;
        }
        Ok(())
    }

    /// Whether this user's password has become another, and not by the user's own doing.
    fn has_another_password(&self, user: &User) -> bool {
        let record = user.record.to_bytes();
        let before = self.users.get(&user.login);
        let is_the_same = before.is_some_and(|before| before.record.to_bytes() == record);
        let is_own = self.saving.as_ref().is_some_and(|saving| saving.is_of(user));
        !is_the_same && !is_own
    }
}

/// Whether a server with these pools can have these users.
///
/// # Errors
///
/// As [`Server::set_users`].
pub(super) fn check(users: &UserStore, suite: Suite, pools: &Pools) -> Result<(), ConfigError> {
    for user in users.iter() {
        let name = || user.login.as_str().into();
        if user.suite != suite {
            return Err(ConfigError::Suite(name()));
        }
        for address in user.fixed_addresses() {
            match pools.of(address) {
                Some(pool) if pool.prefix().address == address => {
                    return Err(ConfigError::FixedAddressOfServer(name(), address));
                }
                Some(pool) if pool.has_host(address) => {}
                _ => return Err(ConfigError::FixedAddressOutside(name(), address)),
            }
        }
    }
    Ok(())
}

/// Whether a session has the addresses that its user would get among `users`: the fixed one, or one of the pool that is
/// nobody's.
fn keeps_its_addresses(entry: &Entry, user: &User, users: &UserStore, pools: &Pools) -> bool {
    entry.addresses.iter().all(|address| {
        let fixed = match address {
            IpAddr::V4(_) => user.address4.map(IpAddr::V4),
            IpAddr::V6(_) => user.address6.map(IpAddr::V6),
        };
        match fixed {
            Some(fixed) => fixed == *address,
            None => {
                users.owner(*address).is_none()
                    && pools.of(*address).is_some_and(|pool| pool.is_assigned(*address))
            }
        }
    })
}
