//! The users of a server of the secure profile: what it knows of them, and the file that it is kept in.
//!
//! No password and nothing that one could log in with stands in a record. But whoever has both the store and the
//! server's setup can guess passwords at home, so both files are for the server's eyes only, and not in one backup.

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

/// Somebody who may log in.
#[derive(Clone, Debug)]
pub struct User {
    /// Name.
    pub login: Login,
    /// What a login is held against.
    pub record: Record,
    /// What the password was stretched with when `record` was made.
    pub suite: Suite,
    /// Whether every login is refused for now.
    pub disabled: bool,
    /// The first second in which logins are refused for ever, in seconds since 1970-01-01 00:00 UTC. `None`: never.
    pub expires: Option<u64>,
    /// The inner IPv4 address that is always this user's. `None`: one of the pool.
    pub address4: Option<Ipv4Addr>,
    /// The inner IPv6 address that is always this user's. `None`: one of the pool.
    pub address6: Option<Ipv6Addr>,
    /// How many sessions there may be at a time, at least 1.
    pub max_sessions: u16,
}

impl User {
    /// The addresses that are always this user's.
    pub(super) fn fixed_addresses(&self) -> impl Iterator<Item = IpAddr> + use<> {
        let v4 = self.address4.map(IpAddr::V4);
        v4.into_iter().chain(self.address6.map(IpAddr::V6))
    }
}

/// All users of a server, by name. No two have the same name or the same address.
#[derive(Clone, Debug, Default)]
pub struct UserStore {
    users: BTreeMap<Login, User>,
    /// The fixed addresses in `users`, always changed together with them.
    owners: BTreeMap<IpAddr, Login>,
}

impl UserStore {
    /// A store without users.
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
    /// [`StoreOpError::AlreadyThere`], [`StoreOpError::AddressTaken`] or [`StoreOpError::NoSessions`]; nothing has
    /// changed then.
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

    /// Removes a user, who is given back.
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

    /// Refuses a user's logins until [`enable`](Self::enable). One who is disabled stays so.
    ///
    /// # Errors
    ///
    /// [`StoreOpError::NoSuchUser`].
    pub fn disable(&mut self, login: &Login) -> Result<(), StoreOpError> {
        self.get_mut(login)?.disabled = true;
        Ok(())
    }

    /// Takes a user's logins again.
    ///
    /// # Errors
    ///
    /// [`StoreOpError::NoSuchUser`].
    pub fn enable(&mut self, login: &Login) -> Result<(), StoreOpError> {
        self.get_mut(login)?.disabled = false;
        Ok(())
    }

    /// Gives a user a new record: the password has changed. It was stretched with the user's suite.
    ///
    /// # Errors
    ///
    /// [`StoreOpError::NoSuchUser`].
    pub fn change(&mut self, login: &Login, record: Record) -> Result<(), StoreOpError> {
        self.get_mut(login)?.record = record;
        Ok(())
    }

    /// The user of this name.
    #[must_use]
    pub fn get(&self, login: &Login) -> Option<&User> {
        self.users.get(login)
    }

    /// All users, by name.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = &User> {
        self.users.values()
    }

    /// The number of users.
    #[must_use]
    pub fn len(&self) -> usize {
        self.users.len()
    }

    /// Whether there are no users.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.users.is_empty()
    }

    /// All addresses that are always some user's: those that a [`Pool`](super::Pool) keeps off.
    pub fn fixed_addresses(&self) -> impl Iterator<Item = IpAddr> {
        self.owners.keys().copied()
    }

    /// Whose fixed address this is.
    pub(super) fn owner(&self, address: IpAddr) -> Option<&Login> {
        self.owners.get(&address)
    }

    fn get_mut(&mut self, login: &Login) -> Result<&mut User, StoreOpError> {
        self.users.get_mut(login).ok_or(StoreOpError::NoSuchUser)
    }
}

/// Why a store was not changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum StoreOpError {
    /// There is a user of this name.
    AlreadyThere,
    /// There is no user of this name.
    NoSuchUser,
    /// Another user has this address.
    AddressTaken(IpAddr),
    /// A user without a single session could never log in.
    NoSessions,
}

impl fmt::Display for StoreOpError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::AlreadyThere => f.write_str("there is a user of this name already"),
            Self::NoSuchUser => f.write_str("there is no user of this name"),
            Self::AddressTaken(address) => write!(f, "another user has the address {address}"),
            Self::NoSessions => {
                f.write_str("max_sessions is at least 1; to refuse a user's logins, disable the user")
            }
        }
    }
}

impl Error for StoreOpError {}

#[cfg(test)]
mod samples {
    //! Users to test with. Their records are genuine.

    extern crate std;

    use std::sync::OnceLock;

    use rand_chacha::ChaCha20Rng;
    use rand_core::SeedableRng;

    use super::super::opaque::{ServerSetup, register};
    use super::*;

    // The curve is slow in a debug build, so that what needs it is made once.

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

    /// Three users with everything that there is to store.
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
    fn a_name_is_taken_once() {
        let mut store = store();
        let again = User {
            disabled: true,
            ..user("kean")
        };
        assert_eq!(store.add(again), Err(StoreOpError::AlreadyThere));
        assert!(!store.get(&login("kean")).unwrap().disabled);
    }

    #[test]
    fn an_address_is_taken_once_and_free_again_when_its_user_is_removed() {
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
            "nothing is half added"
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
    fn who_is_not_there_cannot_be_changed() {
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
