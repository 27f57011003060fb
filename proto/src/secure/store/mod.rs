//! User store of a secure server: the records of the users, and the file format.
//!
//! A record contains no password and nothing that is enough for a login. But anyone with both the store and
//! the server's setup can guess passwords offline. So only the server may read the two files, and they should
//! not be in the same backup.

mod line;
#[cfg(test)]
mod properties;
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
mod samples {
    //! Test users with genuine records.

    extern crate std;

    use std::sync::OnceLock;

    use rand_chacha::ChaCha20Rng;
    use rand_core::SeedableRng;

    use super::super::opaque::{ServerSetup, register};
    use super::*;

    // The curve is slow in a debug build, so values that need it are made once.

    pub(super) fn setup() -> ServerSetup {
        static SETUP: OnceLock<ServerSetup> = OnceLock::new();
        let make = || ServerSetup::generate(&mut ChaCha20Rng::from_seed([7; 32]));
        SETUP.get_or_init(make).clone()
    }

    pub(super) fn login(name: &str) -> Login {
        Login::new(name).unwrap()
    }

    /// One of three different records, 0 to 2.
    pub(super) fn record(index: usize) -> Record {
        static RECORDS: OnceLock<[Record; 3]> = OnceLock::new();
        let records = RECORDS.get_or_init(|| {
            let mut rng = ChaCha20Rng::from_seed([1; 32]);
            ["a", "b", "c"].map(|password| {
                register(&setup(), Suite::Laboratory, &login("kean"), password, &mut rng).unwrap()
            })
        });
        records[index].clone()
    }

    pub(super) fn user(name: &str) -> User {
        User {
            login: login(name),
            record: record(0),
            suite: Suite::Laboratory,
            disabled: false,
            expires: None,
            address4: None,
            address6: None,
            max_sessions: 1,
        }
    }

    /// Three users with all kinds of values.
    pub(super) fn store() -> UserStore {
        let mut store = UserStore::new();
        for user in [
            User {
                expires: Some(u64::MAX),
                address4: Some([10, 9, 0, 7].into()),
                max_sessions: u16::MAX,
                ..user("kean")
            },
            User {
                disabled: true,
                suite: Suite::Standard,
                record: record(1),
                address6: Some("fd00::7".parse().unwrap()),
                ..user("alice")
            },
            user("m-._@0"),
        ] {
            store.add(user).unwrap();
        }
        store
    }
}

#[cfg(test)]
mod tests {
    use alloc::format;
    use alloc::string::String;
    use alloc::vec::Vec;

    use base64::Engine as _;
    use base64::prelude::BASE64_URL_SAFE_NO_PAD as BASE64;

    use super::samples::{login, record, store, user};
    use super::*;

    #[test]
    fn users_are_found_and_listed_by_name() {
        let store = store();
        let names: Vec<_> = store.iter().map(|user| user.login.as_str()).collect();
        assert_eq!(names, ["alice", "kean", "m-._@0"]);
        assert_eq!((store.len(), store.is_empty()), (3, false));
        assert_eq!(store.get(&login("kean")).unwrap().max_sessions, u16::MAX);
        assert!(store.get(&login("nobody")).is_none());
        let fixed: Vec<_> = store.fixed_addresses().collect();
        assert_eq!(
            fixed,
            ["10.9.0.7".parse::<IpAddr>().unwrap(), "fd00::7".parse().unwrap()]
        );
    }

    #[test]
    fn a_name_can_be_added_only_once() {
        let mut store = store();
        let again = User {
            disabled: true,
            ..user("kean")
        };
        assert_eq!(store.add(again), Err(StoreOpError::AlreadyThere));
        assert!(!store.get(&login("kean")).unwrap().disabled);
    }

    #[test]
    fn an_address_has_one_user_and_is_free_after_its_user_is_removed() {
        let mut store = store();
        let bob = User {
            address4: Some([10, 9, 0, 8].into()),
            address6: Some("fd00::7".parse().unwrap()),
            ..user("bob")
        };
        let taken = StoreOpError::AddressTaken("fd00::7".parse().unwrap());
        assert_eq!(store.add(bob.clone()), Err(taken));
        assert_eq!(
            (store.len(), store.fixed_addresses().count()),
            (3, 2),
            "a failed call adds nothing"
        );
        assert_eq!(store.remove(&login("alice")).unwrap().login, login("alice"));
        assert_eq!(store.add(bob), Ok(()));
    }

    #[test]
    fn a_user_without_sessions_is_not_added() {
        let nobody = User {
            max_sessions: 0,
            ..user("nobody")
        };
        assert_eq!(store().add(nobody), Err(StoreOpError::NoSessions));
    }

    #[test]
    fn a_user_is_disabled_and_enabled() {
        let mut store = store();
        for _ in 0..2 {
            assert_eq!(store.disable(&login("kean")), Ok(()));
            assert!(store.get(&login("kean")).unwrap().disabled);
        }
        assert_eq!(store.enable(&login("kean")), Ok(()));
        assert!(!store.get(&login("kean")).unwrap().disabled);
    }

    #[test]
    fn a_changed_password_changes_the_record_and_nothing_else() {
        let mut store = store();
        let before = store.get(&login("kean")).unwrap().clone();
        assert_eq!(store.change(&login("kean"), record(2)), Ok(()));
        let after = store.get(&login("kean")).unwrap();
        assert_ne!(after.record.to_bytes(), before.record.to_bytes());
        assert_eq!(after.record.to_bytes(), record(2).to_bytes());
        assert_eq!((after.address4, after.expires), (before.address4, before.expires));
    }

    #[test]
    fn debug_shows_no_record() {
        let record = record(0).to_bytes();
        let shown = format!("{:?}", store());
        assert!(shown.contains("kean"));
        for bytes in record.chunks(4) {
            let list = format!("{bytes:?}");
            let hex: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
            for secret in [
                list.trim_matches(['[', ']']),
                &hex,
                &hex.to_uppercase(),
                &BASE64.encode(bytes)[..5],
            ] {
                assert!(!shown.contains(secret), "{secret} in {shown}");
            }
        }
    }

    #[test]
    fn an_unknown_user_cannot_be_changed() {
        let mut store = store();
        let nobody = login("nobody");
        let missing = Err(StoreOpError::NoSuchUser);
        assert_eq!(store.remove(&nobody).map(drop), missing);
        assert_eq!(store.disable(&nobody), missing);
        assert_eq!(store.enable(&nobody), missing);
        assert_eq!(store.change(&nobody, record(2)), missing);
        assert_eq!(store.len(), 3);
    }
}
