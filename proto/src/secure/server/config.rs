//! Configuration of a server, and its errors.

use alloc::boxed::Box;
use alloc::string::String;
use alloc::vec::Vec;
use core::error::Error;
use core::fmt;
use core::net::IpAddr;

use crate::IpPrefix;
use crate::secure::clock::WallClock;
use crate::secure::control::ControlKeys;
use crate::secure::message::{Accepted, Message, SettingsError, TunnelSettings};
use crate::secure::pool::{Pool, PoolError};
use crate::secure::ticket::TICKET_LEN;
use crate::secure::{CONTROL_LEN, MESSAGE_PADDING, OVERHEAD, Psk, ServerSetup, Suite, UserStore};

/// Configuration of a server. Debug does not show keys or seed.
#[derive(Clone)]
pub struct ServerConfig {
    /// The pre-shared key.
    pub psk: Psk,
    /// A second pre-shared key, which is also accepted. So the key can be changed client by client.
    pub second_psk: Option<Psk>,
    /// Setup of the server. Without it no user can log in, and it cannot be created again.
    pub setup: ServerSetup,
    /// The users that may log in.
    pub users: UserStore,
    /// Suite that stretches the passwords.
    pub suite: Suite,
    /// Inner addresses of the server with their prefix lengths, for example `10.9.0.1/24`. Clients get
    /// addresses from these networks. At least one, and at most one of each family.
    pub addresses: Vec<IpPrefix>,
    /// Maximum size of an inner IP packet in bytes, at least [`MIN_MTU`](crate::secure::MIN_MTU).
    pub mtu: u16,
    /// Name servers for the clients.
    pub dns: Vec<IpAddr>,
    /// Search domains for the clients.
    pub search: Vec<String>,
    /// Destinations that clients route through the tunnel.
    pub routes: Vec<IpPrefix>,
    /// Keepalive interval of the clients in seconds, 0 (off) to 600.
    pub keepalive: u16,
    /// True to isolate clients: a packet from one client to an address of another is dropped.
    pub isolate_clients: bool,
    /// The server's wall clock. Without it no account expires, no ticket is issued, and the clocks of clients are not checked.
    pub clock: Option<WallClock>,
    /// True to answer only clients whose clock differs by at most [`CLOCK_TOLERANCE`](crate::secure::CLOCK_TOLERANCE). Otherwise
    /// everybody who has recorded a first message can find the server.
    pub checks_clock: bool,
    /// Seed of all randomness. In production it must be fresh entropy for every run.
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

/// Error in a server configuration.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ConfigError {
    /// The two pre-shared keys are equal.
    EqualKeys,
    /// There is no inner address, or more than one of the same family.
    Addresses,
    /// A network from which clients cannot get addresses.
    Pool(IpPrefix, PoolError),
    /// The settings for the clients do not fit the protocol.
    Settings(SettingsError),
    /// The settings for the clients are longer than the datagram that they answer.
    SettingsTooLong,
    /// A user's password is stretched with another suite than the server's.
    Suite(String),
    /// A user's fixed address is not available to clients in the server's inner networks.
    FixedAddressOutside(String, IpAddr),
    /// A user's fixed address is the server's own address.
    FixedAddressOfServer(String, IpAddr),
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::EqualKeys => f.write_str(
                "the two pre-shared keys are equal: leave the second one out, or make a new one with `openssl rand -base64 32`",
            ),
            Self::Addresses => f.write_str(
                "a server needs one inner address of its own, or one of each family: 10.9.0.1/24, fd00::1/64",
            ),
            // The text of the inner error names the network.
            Self::Pool(_, error) => error.fmt(f),
            Self::Settings(error) => error.fmt(f),
            Self::SettingsTooLong => f.write_str(
                "the settings for the clients are too long for one datagram: use fewer routes, name servers or search domains",
            ),
            Self::Suite(login) => write!(
                f,
                "the record of {login} was made for another suite: set the password again"
            ),
            Self::FixedAddressOutside(login, address) => write!(
                f,
                "the fixed address {address} of {login} is not available to clients in the networks of this server: \
                 use another one, or none"
            ),
            Self::FixedAddressOfServer(login, address) => write!(
                f,
                "the fixed address {address} of {login} is the server's own address: use another one, or none"
            ),
        }
    }
}

impl Error for ConfigError {}

/// Address pools of a server.
#[derive(Debug)]
pub(super) struct Pools {
    pub(super) v4: Option<Pool>,
    pub(super) v6: Option<Pool>,
}

impl Pools {
    /// The pool for the address family of `address`.
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
    /// Returns the control keys of each pre-shared key.
    pub(super) fn keys(&self) -> Result<Vec<ControlKeys>, ConfigError> {
        if self.second_psk.as_ref().is_some_and(|second| *second == self.psk) {
            return Err(ConfigError::EqualKeys);
        }
        let all = core::iter::once(&self.psk).chain(&self.second_psk);
        Ok(all.map(ControlKeys::new).collect())
    }

    /// Returns the pools of the inner networks, without the addresses that are reserved for users.
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

    /// Returns the settings of all clients, without addresses.
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
        // The settings at their maximum length. They answer a control datagram whose source address may be
        // forged.
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
        let longest = Accepted {
            settings: longest,
            time: Some(u64::MAX),
            ticket: Some([0xff; TICKET_LEN]),
        };
        let len = Message::Settings(Box::new(longest)).to_bytes().len();
        if len.next_multiple_of(MESSAGE_PADDING).saturating_add(OVERHEAD) > CONTROL_LEN {
            return Err(ConfigError::SettingsTooLong);
        }
        Ok(settings)
    }
}
