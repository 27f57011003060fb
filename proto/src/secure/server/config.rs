//! What a server has to know, and what is wrong with it.

use alloc::string::String;
use alloc::vec::Vec;
use core::error::Error;
use core::fmt;
use core::net::IpAddr;

use crate::IpPrefix;
use crate::secure::message::{Message, SettingsError, TunnelSettings};
use crate::secure::pool::{Pool, PoolError};
use crate::secure::{CONTROL_LEN, MESSAGE_PADDING, OVERHEAD, Psk, ServerSetup, Suite, UserStore};

/// What a server has to know. Debug shows neither keys nor seed.
#[derive(Clone)]
pub struct ServerConfig {
    /// The pre-shared key.
    pub psk: Psk,
    /// The server's part of all passwords. Without it no user can log in, and there is no way to make it again.
    pub setup: ServerSetup,
    /// Who may log in.
    pub users: UserStore,
    /// What stretches the passwords.
    pub suite: Suite,
    /// The server's own inner addresses with the prefixes of the networks that clients get theirs from, `10.9.0.1/24`: at
    /// most one of each family, and at least one.
    pub addresses: Vec<IpPrefix>,
    /// Largest inner IP packet in bytes, at least [`MIN_MTU`](crate::secure::MIN_MTU).
    pub mtu: u16,
    /// Name servers for the clients.
    pub dns: Vec<IpAddr>,
    /// Search domains for the clients.
    pub search: Vec<String>,
    /// What the clients reach through the tunnel.
    pub routes: Vec<IpPrefix>,
    /// After how many seconds of silence a client pings: 0 (off) to 600.
    pub keepalive: u16,
    /// Whether clients are kept apart: a packet from one to an address of another is dropped.
    pub isolate_clients: bool,
    /// What the clock of the world showed, in seconds since 1970, at the origin of [`Instant`](crate::Instant). Without
    /// it no account expires.
    pub unix_origin: Option<u64>,
    /// Where everything random comes from. In earnest it must be fresh entropy for every run.
    pub seed: [u8; 32],
}

impl fmt::Debug for ServerConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ServerConfig")
            .field("users", &self.users.len())
            .field("suite", &self.suite)
            .field("addresses", &self.addresses)
            .field("mtu", &self.mtu)
            .finish_non_exhaustive()
    }
}

/// Why a server cannot be made of a configuration.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ConfigError {
    /// There is no inner address, or more than one of a family.
    Addresses,
    /// A network from which clients cannot get addresses.
    Pool(IpPrefix, PoolError),
    /// What the clients would be told does not fit the protocol.
    Settings(SettingsError),
    /// What the clients would be told is longer than the datagram that it answers.
    SettingsTooLong,
    /// A user's password is stretched in another way than this server's.
    Suite(String),
    /// A user's fixed address is none that a client can have in the server's inner networks.
    FixedAddressOutside(String, IpAddr),
    /// A user's fixed address is the server's own.
    FixedAddressOfServer(String, IpAddr),
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Addresses => f.write_str(
                "a server needs one inner address of its own, or one of each family: 10.9.0.1/24, fd00::1/64",
            ),
            // It names the network itself.
            Self::Pool(_, error) => error.fmt(f),
            Self::Settings(error) => error.fmt(f),
            Self::SettingsTooLong => f.write_str(
                "what every client is told is too long for one datagram: fewer routes, name servers or search domains",
            ),
            Self::Suite(login) => write!(
                f,
                "the record of {login} was made for another suite: set the password again"
            ),
            Self::FixedAddressOutside(login, address) => write!(
                f,
                "the fixed address {address} of {login} is none that a client can have in the networks of this server: \
                 give another one, or none"
            ),
            Self::FixedAddressOfServer(login, address) => write!(
                f,
                "the fixed address {address} of {login} is the server's own: give another one, or none"
            ),
        }
    }
}

impl Error for ConfigError {}

/// The address pools of a server.
#[derive(Debug)]
pub(super) struct Pools {
    pub(super) v4: Option<Pool>,
    pub(super) v6: Option<Pool>,
}

impl Pools {
    /// The pool for addresses of the family of `address`.
    pub(super) const fn of(&self, address: IpAddr) -> Option<&Pool> {
        match address {
            IpAddr::V4(_) => self.v4.as_ref(),
            IpAddr::V6(_) => self.v6.as_ref(),
        }
    }

    pub(super) const fn of_mut(&mut self, address: IpAddr) -> Option<&mut Pool> {
        match address {
            IpAddr::V4(_) => self.v4.as_mut(),
            IpAddr::V6(_) => self.v6.as_mut(),
        }
    }
}

impl ServerConfig {
    /// The pools of the inner networks, without the addresses that belong to users for good.
    pub(super) fn pools(&self) -> Result<Pools, ConfigError> {
        let pool = |is_v4: bool| {
            let mut prefixes = self
                .addresses
                .iter()
                .filter(|prefix| prefix.address.is_ipv4() == is_v4);
            match (prefixes.next(), prefixes.next()) {
                (None, _) => Ok(None),
                (Some(_), Some(_)) => Err(ConfigError::Addresses),
                (Some(prefix), None) => Pool::new(*prefix, self.users.fixed_addresses())
                    .map(Some)
                    .map_err(|error| ConfigError::Pool(*prefix, error)),
            }
        };
        let pools = Pools {
            v4: pool(true)?,
            v6: pool(false)?,
        };
        if pools.v4.is_none() && pools.v6.is_none() {
            return Err(ConfigError::Addresses);
        }
        Ok(pools)
    }

    /// What every client is told, but for its addresses.
    pub(super) fn settings(&self) -> Result<TunnelSettings, ConfigError> {
        let settings = TunnelSettings {
            address4: None,
            address6: None,
            mtu: self.mtu,
            dns: self.dns.clone(),
            search: self.search.clone(),
            routes: self.routes.clone(),
            keepalive: self.keepalive,
        };
        settings.check().map_err(ConfigError::Settings)?;
        // The longest that it becomes. It answers a control datagram, from an address that may be forged by then.
        let longest = |is_v4: bool, address: IpAddr, length| {
            let mut prefixes = self.addresses.iter();
            let is_there = prefixes.any(|prefix| prefix.address.is_ipv4() == is_v4);
            is_there.then_some(IpPrefix { address, length })
        };
        let longest = TunnelSettings {
            address4: longest(true, [255; 4].into(), 32),
            address6: longest(false, [0xffff; 8].into(), 128),
            ..settings.clone()
        };
        let len = Message::Settings(longest).to_json().len();
        if len.next_multiple_of(MESSAGE_PADDING).saturating_add(OVERHEAD) > CONTROL_LEN {
            return Err(ConfigError::SettingsTooLong);
        }
        Ok(settings)
    }
}
