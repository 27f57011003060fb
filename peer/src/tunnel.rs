//! Tunnel status and network settings.
//!
//! The names are those of Apple's NetworkExtension (`NEVPNStatus`, `NEPacketTunnelNetworkSettings`), where the protocol
//! comes from.

use alloc::string::String;
use alloc::vec::Vec;
use core::fmt;
use core::net::IpAddr;

/// The state of a client's tunnel (`NEVPNStatus`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum TunnelStatus {
    /// The configuration is unusable.
    Invalid,
    /// The tunnel is down.
    Disconnected,
    /// Logging in for the first time since `start`.
    Connecting,
    /// The tunnel carries packets.
    Connected,
    /// The tunnel was up and is logging in again. Its settings stay applied.
    Reasserting,
    /// Going down on request.
    Disconnecting,
}

impl TunnelStatus {
    /// A stable name in kebab case.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Invalid => "invalid",
            Self::Disconnected => "disconnected",
            Self::Connecting => "connecting",
            Self::Connected => "connected",
            Self::Reasserting => "reasserting",
            Self::Disconnecting => "disconnecting",
        }
    }
}

/// An IP address with the prefix length of its network, like `10.9.0.2/24`. Also used for routes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct IpPrefix {
    /// The address.
    pub address: IpAddr,
    /// Prefix length in bits: 0 to 32, or 0 to 128 for IPv6.
    pub length: u8,
}

impl IpPrefix {
    /// Returns true if `address` is in this network. Addresses of different families never match.
    ///
    /// ```
    /// use sandhog_peer::IpPrefix;
    ///
    /// let network: IpPrefix = "10.9.0.0/24".parse().unwrap();
    /// assert!(network.contains("10.9.0.7".parse().unwrap()));
    /// assert!(!network.contains("10.9.1.7".parse().unwrap()));
    /// ```
    #[must_use]
    pub fn contains(&self, address: IpAddr) -> bool {
        let differing_bits = match (self.address, address) {
            (IpAddr::V4(a), IpAddr::V4(b)) => (a.to_bits() ^ b.to_bits()).leading_zeros(),
            (IpAddr::V6(a), IpAddr::V6(b)) => (a.to_bits() ^ b.to_bits()).leading_zeros(),
            _ => return false,
        };
        differing_bits >= u32::from(self.length)
    }
}

impl core::str::FromStr for IpPrefix {
    type Err = &'static str;

    /// Reads `10.9.0.2/24` or `fd00::2/64`; an address without a length is a host (`/32`, `/128`).
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let (address, length) = match text.split_once('/') {
            Some((address, length)) => (address, Some(length)),
            None => (text, None),
        };
        let address: IpAddr = address.parse().map_err(|_| "not an IP address")?;
        let longest = if address.is_ipv4() { 32 } else { 128 };
        let length = match length {
            Some(length) => length.parse().map_err(|_| "the prefix length is not a number")?,
            None => longest,
        };
        if length > longest {
            return Err("the prefix length is more than the address has bits");
        }
        Ok(Self { address, length })
    }
}

impl fmt::Display for IpPrefix {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.address, self.length)
    }
}

/// Settings of the network device that carries the tunnel (`NEPacketTunnelNetworkSettings`).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NetworkSettings {
    /// The server's outer address. Its route must not use the tunnel.
    pub tunnel_remote_address: IpAddr,
    /// Addresses of the tunnel device.
    pub addresses: Vec<IpPrefix>,
    /// Networks that are reached through the tunnel.
    pub included_routes: Vec<IpPrefix>,
    /// Networks that are reached without the tunnel.
    pub excluded_routes: Vec<IpPrefix>,
    /// Name servers to use while the tunnel is up.
    pub dns_servers: Vec<IpAddr>,
    /// Domains appended to short names.
    pub search_domains: Vec<String>,
    /// Largest inner IP packet, in bytes.
    pub mtu: u16,
}

impl NetworkSettings {
    /// Settings with the networks of `addresses` as routes, and without name servers.
    #[must_use]
    pub fn new(tunnel_remote_address: IpAddr, addresses: Vec<IpPrefix>, mtu: u16) -> Self {
        Self {
            tunnel_remote_address,
            included_routes: addresses.clone(),
            addresses,
            excluded_routes: Vec::new(),
            dns_servers: Vec::new(),
            search_domains: Vec::new(),
            mtu,
        }
    }
}
