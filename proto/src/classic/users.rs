//! User store of a server: password hashes and inner addresses.

use alloc::collections::BTreeMap;
use alloc::string::String;
use alloc::vec::Vec;
use core::error::Error;
use core::fmt;
use core::net::IpAddr;

use rand_core::RngCore;

use super::password::{self, HashCost, hash_password};
use crate::{State, describe};

/// A user who may log in. Debug does not show the hash.
#[derive(Clone)]
pub struct User {
    /// User name, compared byte by byte.
    pub login: String,
    /// Argon2id hash of the password as a PHC string; see [`hash_password`].
    pub password_hash: String,
    /// Inner addresses of this user. Packets must come from one of them, and packets to them are routed to
    /// the user.
    pub addresses: Vec<IpAddr>,
}

impl fmt::Debug for User {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("User")
            .field("login", &self.login)
            .field("addresses", &self.addresses)
            .finish_non_exhaustive()
    }
}

/// Error in a server configuration.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ConfigError {
    /// Two users have this name.
    DuplicateLogin(String),
    /// Two users own this inner address.
    DuplicateAddress(IpAddr),
    /// The password hash of the user with this name is not a complete Argon2id PHC string.
    BadPasswordHash(String),
    /// The MTU is below 68 bytes, the minimum of IPv4 (RFC 791, section 3.2).
    MtuTooSmall(u16),
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::DuplicateLogin(login) => write!(f, "two users have the name {login:?}"),
            Self::DuplicateAddress(address) => write!(f, "two users have the address {address}"),
            Self::BadPasswordHash(login) => {
                write!(f, "the password hash of {login:?} is not an Argon2id PHC string")
            }
            Self::MtuTooSmall(mtu) => write!(f, "the MTU is {mtu} bytes, but IPv4 needs at least 68"),
        }
    }
}

impl Error for ConfigError {}

/// Position of a user in the store.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct UserId(usize);

impl UserId {
    /// Describes the position.
    pub(super) fn describe(self, state: &mut State<'_>) {
        let Self(position) = self;
        describe::len(state, position);
    }
}

/// All users, found by name and by address.
#[derive(Debug)]
pub(super) struct Users {
    users: Vec<User>,
    by_login: BTreeMap<String, UserId>,
    by_address: BTreeMap<IpAddr, UserId>,
    /// Hash against which passwords of unknown users are verified.
    fake_hash: FakeHash,
}

struct FakeHash(String);

impl fmt::Debug for FakeHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("FakeHash([hidden])")
    }
}

impl Users {
    pub(super) fn new(users: Vec<User>, rng: &mut impl RngCore) -> Result<Self, ConfigError> {
        let mut by_login = BTreeMap::new();
        let mut by_address = BTreeMap::new();
        for (index, user) in users.iter().enumerate() {
            if !password::is_usable(&user.password_hash) {
                return Err(ConfigError::BadPasswordHash(user.login.clone()));
            }
            if by_login.insert(user.login.clone(), UserId(index)).is_some() {
                return Err(ConfigError::DuplicateLogin(user.login.clone()));
            }
            for address in &user.addresses {
                if by_address.insert(*address, UserId(index)).is_some() {
                    return Err(ConfigError::DuplicateAddress(*address));
                }
            }
        }
        let costliest = users
            .iter()
            .map(|user| &user.password_hash)
            .max_by_key(|hash| password::cost(hash));
        let model = match costliest {
            Some(hash) => hash.clone(),
            None => hash_password("", [0; 16], HashCost::INTERACTIVE),
        };
        let fake_hash = FakeHash(password::fake(&model, rng));
        Ok(Self {
            users,
            by_login,
            by_address,
            fake_hash,
        })
    }

    /// Returns the user with this name, if any, and a hash against which the password is verified in any
    /// case.
    pub(super) fn find(&self, login: &str) -> (Option<UserId>, &str) {
        let id = self.by_login.get(login).copied();
        let hash = id
            .and_then(|id| self.get(id))
            .map_or(&self.fake_hash.0, |user| &user.password_hash);
        (id, hash)
    }

    pub(super) fn get(&self, id: UserId) -> Option<&User> {
        self.users.get(id.0)
    }

    /// Returns the owner of an inner address.
    pub(super) fn owner(&self, address: IpAddr) -> Option<UserId> {
        self.by_address.get(&address).copied()
    }
}

#[cfg(test)]
mod tests {
    use alloc::borrow::ToOwned;
    use alloc::vec;

    use rand_chacha::ChaCha20Rng;
    use rand_core::SeedableRng;

    use super::*;

    fn user(login: &str, cost: HashCost) -> User {
        let password_hash = hash_password("x", [1; 16], cost);
        User {
            login: login.to_owned(),
            password_hash,
            addresses: vec![],
        }
    }

    #[test]
    fn an_unknown_user_costs_as_much_as_the_most_expensive_known_one() {
        let costly = user("costly", HashCost::INTERACTIVE);
        let hash = costly.password_hash.clone();
        let users = vec![
            user("cheap", HashCost::LABORATORY),
            costly,
            user("last", HashCost::LABORATORY),
        ];
        let users = Users::new(users, &mut ChaCha20Rng::from_seed([1; 32])).unwrap();
        let (id, fake) = users.find("nobody");
        assert_eq!(id, None);
        assert!(fake.starts_with("$argon2id$v=19$m=19456,t=2,p=1$"), "{fake}");
        assert_eq!(fake.len(), hash.len());
        assert_ne!(fake, hash);
        assert!(password::is_usable(fake));
    }
}
