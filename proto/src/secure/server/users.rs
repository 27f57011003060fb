//! Change of the users of a running server: sessions, reserved addresses and a pending password change.

use alloc::vec::Vec;
use core::net::IpAddr;

use super::Server;
use super::config::{ConfigError, Pools};
use super::registry::SessionId;
use super::sessions::Entry;
use crate::Instant;
use crate::secure::{BYE_READDRESSED, BYE_REMOVED, Suite, User, UserStore};

impl Server {
    /// The current users.
    #[must_use]
    pub const fn users(&self) -> &UserStore {
        &self.users
    }

    /// Replaces the users.
    ///
    /// These sessions end:
    ///
    /// - sessions of users who are removed or disabled, or whose password has changed (anyone with a session
    ///   could change the password and undo that);
    /// - sessions with an address that their user would not get any more, because it is now reserved for
    ///   another user, or because the user has another fixed address, or none.
    ///
    /// All other sessions stay.
    ///
    /// A password change that is being stored applies to the new users too, if they contain the user with the
    /// record that is being replaced. The new users are then written again, with that record. Otherwise the
    /// new users are final for that user, and they are written as they are.
    ///
    /// # Errors
    ///
    /// [`ConfigError::Suite`], [`ConfigError::FixedAddressOutside`] or [`ConfigError::FixedAddressOfServer`];
    /// nothing has changed.
    pub fn set_users(&mut self, now: Instant, users: UserStore) -> Result<(), ConfigError> {
        check(&users, self.suite, &self.pools)?;
        let now = self.queues.advance(now);
        let why = |entry: &Entry| match users.get(&entry.login) {
            None => Some(BYE_REMOVED),
            Some(user) if user.disabled || self.has_changed_password(user) => Some(BYE_REMOVED),
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
        // The addresses of the ended sessions are free now, so they can be reserved.
        for pool in [&mut self.pools.v4, &mut self.pools.v6].into_iter().flatten() {
            pool.reserve(users.fixed_addresses());
        }
        self.users = users;
        if let Some(saving) = &mut self.saving {
            saving.is_outdated = true;
        }
        Ok(())
    }

    /// Returns true if this user's record has changed, except by the user's own password change.
    fn has_changed_password(&self, user: &User) -> bool {
        let record = user.record.to_bytes();
        let before = self.users.get(&user.login);
        let is_the_same = before.is_some_and(|before| before.record.to_bytes() == record);
        let is_own = self.saving.as_ref().is_some_and(|saving| saving.is_of(user));
        !is_the_same && !is_own
    }
}

/// Checks that a server with these pools can have these users.
///
/// # Errors
///
/// See [`Server::set_users`].
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

/// Returns true if a session has the addresses that its user would get among `users`: the fixed address, or
/// an address of the pool that is not reserved.
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
