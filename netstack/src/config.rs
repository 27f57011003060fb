//! The configuration of a host and its fixed limits.

use alloc::vec::Vec;
use core::fmt;
use core::net::IpAddr;
use core::time::Duration;

use smoltcp::wire::{IpAddress, IpVersion};

/// Default of the user timeout of a TCP connection (RFC 5482), counted from the first SYN on. A connection is aborted when its
/// peer has sent nothing for this time. The timeout also runs while no data is in flight, so a connection cannot outlive its
/// peer.
///
/// It is longer than the minimum of 100 s for `R2`, the time until a connection is aborted (RFC 9293, section 3.8.3). So a
/// connection survives an outage of some minutes. The time between two retransmissions grows to 60 s at most.
pub const TCP_TIMEOUT: Duration = Duration::from_secs(600);

/// Default of the maximum number of TCP connections of one host, including those in TIME-WAIT. A SYN beyond the limit
/// evicts the oldest connection in TIME-WAIT. If there is none, the SYN is refused.
pub const MAX_CONNECTIONS: usize = 64;

/// Limits of the TCP connections of one host.
///
/// ```
/// use core::time::Duration;
/// use sandhog_netstack::{Limits, MAX_CONNECTIONS, TCP_TIMEOUT};
///
/// let limits = Limits { connections: 200, ..Limits::default() };
/// assert_eq!(limits.timeout, TCP_TIMEOUT);
/// assert_eq!(Limits::default().connections, MAX_CONNECTIONS);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Maximum number of connections, as for [`MAX_CONNECTIONS`].
    pub connections: usize,
    /// User timeout of a connection, as for [`TCP_TIMEOUT`].
    pub timeout: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            connections: MAX_CONNECTIONS,
            timeout: TCP_TIMEOUT,
        }
    }
}

/// Maximum number of IP addresses of one host.
pub const MAX_ADDRESSES: usize = 8;

/// The configuration of a host.
///
/// ```
/// use sandhog_netstack::{Config, ConfigError};
///
/// let mut config = Config {
///     addresses: vec![([10, 9, 0, 2].into(), 24)],
///     mtu: 1280,
///     seed: 1,
///     canary: *b"never on a wire!",
/// };
/// assert_eq!(config.check(), Ok(()));
///
/// config.mtu = 500;
/// let error = config.check().unwrap_err();
/// assert_eq!(error, ConfigError::Mtu { given: 500, min: 576 });
/// assert_eq!(error.to_string(), "an MTU of 500 bytes is outside of 576 to 65535");
/// ```
#[derive(Clone, Debug)]
pub struct Config {
    /// The host's addresses, each with the length of its network prefix in bits. At most [`MAX_ADDRESSES`].
    pub addresses: Vec<(IpAddr, u8)>,
    /// Maximum length of an IP packet, in bytes: 576 to 65535, and at least 1280 if there is an IPv6 address.
    pub mtu: usize,
    /// The source of everything random: TCP sequence numbers, ports, echo identifiers, content.
    pub seed: u64,
    /// A marker that must never be visible outside of the tunnel. All generated content contains it, at least once in any
    /// 512 bytes. Each echo payload starts with it.
    pub canary: [u8; 16],
}

/// The reason why a [`Config`] is invalid.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ConfigError {
    /// More than [`MAX_ADDRESSES`] addresses.
    TooManyAddresses,
    /// An address that is unspecified, multicast or the limited broadcast address.
    NotUnicast(IpAddr),
    /// A prefix that is longer than the address, in bits.
    PrefixTooLong(IpAddr, u8),
    /// An MTU outside of its range.
    Mtu {
        /// The configured MTU, in bytes.
        given: usize,
        /// The smallest valid MTU for these addresses, in bytes (RFC 791, RFC 8200 section 5).
        min: usize,
    },
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TooManyAddresses => write!(f, "a host can have at most {MAX_ADDRESSES} addresses"),
            Self::NotUnicast(address) => write!(f, "{address} is not a unicast address"),
            Self::PrefixTooLong(address, prefix) => write!(f, "/{prefix} is too long a prefix for {address}"),
            Self::Mtu { given, min } => write!(f, "an MTU of {given} bytes is outside of {min} to 65535"),
        }
    }
}

impl core::error::Error for ConfigError {}

impl Config {
    /// Checks that [`Host::new`](crate::Host::new) accepts this configuration.
    ///
    /// # Errors
    /// The first problem found.
    pub fn check(&self) -> Result<(), ConfigError> {
        if self.addresses.len() > MAX_ADDRESSES {
            return Err(ConfigError::TooManyAddresses);
        }
        for &(address, prefix) in &self.addresses {
            if !is_unicast(address) {
                return Err(ConfigError::NotUnicast(address));
            }
            if prefix > if address.is_ipv4() { 32 } else { 128 } {
                return Err(ConfigError::PrefixTooLong(address, prefix));
            }
        }
        let min = smallest_mtu(
            self.addresses
                .iter()
                .map(|(address, _)| IpAddress::from(*address).version()),
        );
        if self.mtu < min || self.mtu > usize::from(u16::MAX) {
            return Err(ConfigError::Mtu { given: self.mtu, min });
        }
        Ok(())
    }
}

/// The smallest valid MTU for these address families, in bytes (RFC 791, RFC 8200 section 5).
pub(crate) fn smallest_mtu(mut families: impl Iterator<Item = IpVersion>) -> usize {
    if families.any(|family| family == IpVersion::Ipv6) {
        1280
    } else {
        576
    }
}

/// Returns true if `address` is not unspecified, multicast or the limited broadcast address.
pub(crate) fn is_unicast(address: IpAddr) -> bool {
    let broadcast = matches!(address, IpAddr::V4(address) if address.is_broadcast());
    !(address.is_unspecified() || address.is_multicast() || broadcast)
}
