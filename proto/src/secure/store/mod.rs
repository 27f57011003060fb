//! User store of a secure server: the records of the users, and the file format.
//!
//! A record contains no password and nothing that is enough for a login. But anyone with both the store and
//! the server's setup can guess passwords offline. So only the server may read the two files, and they should
//! not be in the same backup.

mod line;
mod setup;
mod text;

use alloc::collections::BTreeMap;
use alloc::collections::btree_map::Entry;
use core::error::Error;
use core::fmt;
use core::net::{IpAddr, Ipv4Addr, Ipv6Addr};

pub use setup::{SetupError, setup_from_text, setup_to_text};
pub use text::{StoreError, StoreErrorKind};

use super::opaque::Record;
use super::{Login, Suite};
use crate::{Instant, State, describe};

/// A user who may log in.
#[derive(Clone, Debug)]
pub struct User {
    /// User name.
    pub login: Login,
    /// The registration record that a login is checked against.
    pub record: Record,
    /// The password stretching used for `record`.
    pub suite: Suite,
    /// True if every login is refused for now.
    pub disabled: bool,
    /// The second from which logins are refused, counted from 1970-01-01 00:00 UTC. `None`: never.
    pub expires: Option<u64>,
    /// Fixed inner IPv4 address of this user. `None`: an address of the pool.
    pub address4: Option<Ipv4Addr>,
    /// Fixed inner IPv6 address of this user. `None`: an address of the pool.
    pub address6: Option<Ipv6Addr>,
    /// Maximum number of simultaneous sessions, at least 1.
    pub max_sessions: u16,
}

impl User {
    /// The fixed addresses of this user.
    pub(super) fn fixed_addresses(&self) -> impl Iterator<Item = IpAddr> + use<> {
        let v4 = self.address4.map(IpAddr::V4);
        v4.into_iter().chain(self.address6.map(IpAddr::V6))
    }

    /// Describes the account. `unix_origin` is the second of the origin of time since 1970-01-01 00:00 UTC.
    fn describe(&self, state: &mut State<'_>, unix_origin: Option<u64>) {
        let Self {
            login,
            record,
            suite,
            disabled,
            expires,
            address4,
            address6,
            max_sessions,
        } = self;
        describe::text(state, login.as_str());
        describe::fingerprint(state, &record.to_bytes());
        state.number(suite.byte().into());
        state.flag(*disabled);
        // Without the date, no account expires.
        let expiry = expires.zip(unix_origin);
        state.deadline(expiry.map(|(expires, origin)| Instant::from_secs(expires.saturating_sub(origin))));
        describe::option(state, *address4, |state, address| {
            describe::ip(state, address.into());
        });
        describe::option(state, *address6, |state, address| {
            describe::ip(state, address.into());
        });
        state.number((*max_sessions).into());
    }
}

/// All users of a server, by name. Names and fixed addresses are unique.
#[derive(Clone, Debug, Default)]
pub struct UserStore {
    users: BTreeMap<Login, User>,
    /// The fixed addresses in `users`, always changed together with `users`.
    owners: BTreeMap<IpAddr, Login>,
}

impl UserStore {
    /// An empty store.
    #[must_use]
    pub const fn new() -> Self {
        Self {
            users: BTreeMap::new(),
            owners: BTreeMap::new(),
        }
    }

    /// Adds a user.
    ///
    /// # Errors
    ///
    /// [`StoreOpError::AlreadyThere`], [`StoreOpError::AddressTaken`] or [`StoreOpError::NoSessions`]. The
    /// store is unchanged then.
    pub fn add(&mut self, user: User) -> Result<(), StoreOpError> {
        if user.max_sessions == 0 {
            return Err(StoreOpError::NoSessions);
        }
        let entry = match self.users.entry(user.login.clone()) {
            Entry::Occupied(_) => return Err(StoreOpError::AlreadyThere),
            Entry::Vacant(entry) => entry,
        };
        if let Some(taken) = user
            .fixed_addresses()
            .find(|address| self.owners.contains_key(address))
        {
            return Err(StoreOpError::AddressTaken(taken));
        }
        for address in user.fixed_addresses() {
            self.owners.insert(address, user.login.clone());
        }
        entry.insert(user);
        Ok(())
    }

    /// Removes and returns a user.
    ///
    /// # Errors
    ///
    /// [`StoreOpError::NoSuchUser`].
    pub fn remove(&mut self, login: &Login) -> Result<User, StoreOpError> {
        let user = self.users.remove(login).ok_or(StoreOpError::NoSuchUser)?;
        for address in user.fixed_addresses() {
            self.owners.remove(&address);
        }
        Ok(user)
    }

    /// Refuses a user's logins until [`enable`](Self::enable). Has no effect if the user is already disabled.
    ///
    /// # Errors
    ///
    /// [`StoreOpError::NoSuchUser`].
    pub fn disable(&mut self, login: &Login) -> Result<(), StoreOpError> {
        self.get_mut(login)?.disabled = true;
        Ok(())
    }

    /// Allows a user's logins again.
    ///
    /// # Errors
    ///
    /// [`StoreOpError::NoSuchUser`].
    pub fn enable(&mut self, login: &Login) -> Result<(), StoreOpError> {
        self.get_mut(login)?.disabled = false;
        Ok(())
    }

    /// Replaces a user's record after a password change. The new password must be stretched with the user's
    /// suite.
    ///
    /// # Errors
    ///
    /// [`StoreOpError::NoSuchUser`].
    pub fn change(&mut self, login: &Login, record: Record) -> Result<(), StoreOpError> {
        self.get_mut(login)?.record = record;
        Ok(())
    }

    /// Returns the user with this name.
    #[must_use]
    pub fn get(&self, login: &Login) -> Option<&User> {
        self.users.get(login)
    }

    /// All users, sorted by name.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = &User> {
        self.users.values()
    }

    /// Number of users.
    #[must_use]
    pub fn len(&self) -> usize {
        self.users.len()
    }

    /// True if there are no users.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.users.is_empty()
    }

    /// The fixed addresses of all users. A [`Pool`](super::Pool) never assigns them.
    pub fn fixed_addresses(&self) -> impl Iterator<Item = IpAddr> {
        self.owners.keys().copied()
    }

    /// The user with this fixed address.
    pub(super) fn owner(&self, address: IpAddr) -> Option<&Login> {
        self.owners.get(&address)
    }

    /// Describes all accounts.
    pub(super) fn describe(&self, state: &mut State<'_>, unix_origin: Option<u64>) {
        let Self {
            users,
            owners: _, // the fixed addresses of the users
        } = self;
        describe::list(state, users.values(), |state, user| {
            user.describe(state, unix_origin);
        });
    }

    fn get_mut(&mut self, login: &Login) -> Result<&mut User, StoreOpError> {
        self.users.get_mut(login).ok_or(StoreOpError::NoSuchUser)
    }
}

/// Reason why a store was not changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum StoreOpError {
    /// A user with this name exists.
    AlreadyThere,
    /// No user has this name.
    NoSuchUser,
    /// Another user has this address.
    AddressTaken(IpAddr),
    /// The maximum number of sessions is 0, so the user could never log in.
    NoSessions,
}

impl fmt::Display for StoreOpError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::AlreadyThere => f.write_str("a user with this name already exists"),
            Self::NoSuchUser => f.write_str("no user has this name"),
            Self::AddressTaken(address) => write!(f, "another user has the address {address}"),
            Self::NoSessions => {
                f.write_str("max_sessions must be at least 1; to refuse a user's logins, disable the user")
            }
        }
    }
}

impl Error for StoreOpError {}

#[cfg(test)]
mod tests;
