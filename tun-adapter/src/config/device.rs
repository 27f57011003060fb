//! Configuration table `[device]`: the TUN device on this machine.

use std::fmt;

use sandhog_proto::IpPrefix;
use serde::Deserialize;
use serde::de::{Deserializer, Error, Unexpected, Visitor};

use super::text::{DeviceName, Text};

/// The TUN device on this machine.
#[derive(Debug)]
pub struct Device {
    /// Its name.
    pub name: DeviceName,
    /// Its addresses, at least one.
    pub addresses: Vec<IpPrefix>,
    /// Largest inner IP packet in bytes.
    pub mtu: u16,
}

/// The table `[device]` with all settings.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct DeviceTable {
    name: Option<Text<DeviceName>>,
    addresses: OneOrMore<Text<IpPrefix>>,
    #[serde(default)]
    mtu: Mtu,
}

/// The table `[device]` of a client that gets all other settings from the server.
#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct NameTable {
    name: Option<Text<DeviceName>>,
}

impl From<DeviceTable> for Device {
    fn from(table: DeviceTable) -> Self {
        Self {
            name: table.name.map(|name| name.0).unwrap_or_default(),
            addresses: table.addresses.0.into_iter().map(|prefix| prefix.0).collect(),
            mtu: table.mtu.0,
        }
    }
}

impl From<NameTable> for DeviceName {
    fn from(table: NameTable) -> Self {
        table.name.map(|name| name.0).unwrap_or_default()
    }
}

/// A list with at least one entry.
pub(super) struct OneOrMore<T>(pub(super) Vec<T>);

impl<'de, T: Deserialize<'de>> Deserialize<'de> for OneOrMore<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let list = Vec::deserialize(deserializer)?;
        if list.is_empty() {
            return Err(D::Error::custom("expected at least one entry"));
        }
        Ok(Self(list))
    }
}

/// Largest inner packet in bytes. At least the minimum MTU of IPv6 (RFC 8200, section 5), at most the size
/// that fits into one UDP datagram.
struct Mtu(u16);

impl Mtu {
    const MIN: u16 = 1280;
    /// 65,535 minus the headers of IPv4 and UDP, code, nonce and tag.
    const MAX: u16 = 65_535 - 20 - 8 - 29;
}

impl Default for Mtu {
    /// An outer MTU of 1500 minus the headers of IPv6 and UDP, code, nonce and tag, rounded down to
    /// WireGuard's value.
    fn default() -> Self {
        Self(1420)
    }
}

impl<'de> Deserialize<'de> for Mtu {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct MtuVisitor;

        impl Visitor<'_> for MtuVisitor {
            type Value = Mtu;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "a number of bytes from {} to {}", Mtu::MIN, Mtu::MAX)
            }

            fn visit_i64<E: Error>(self, bytes: i64) -> Result<Mtu, E> {
                u16::try_from(bytes)
                    .ok()
                    .filter(|bytes| (Mtu::MIN..=Mtu::MAX).contains(bytes))
                    .map(Mtu)
                    .ok_or_else(|| E::invalid_value(Unexpected::Signed(bytes), &self))
            }
        }

        deserializer.deserialize_i64(MtuVisitor)
    }
}
