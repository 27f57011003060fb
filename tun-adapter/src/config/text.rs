//! String values in configuration files. They are checked during parsing, so that errors have a position.

use std::fmt;
use std::marker::PhantomData;
use std::net::{IpAddr, SocketAddr};
use std::str::FromStr;

use sandhog_proto::IpPrefix;
use serde::de::{Deserialize, Deserializer, Error, Visitor};
use zeroize::Zeroizing;

/// A string that was parsed as a `T`.
pub(super) struct Text<T>(pub(super) T);

/// Error text for a string that is not a valid `Self`.
pub(super) trait Expected: FromStr {
    /// The format and an example, after the word "expected".
    const EXPECTED: &str;
}

impl<'de, T: Expected> Deserialize<'de> for Text<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct TextVisitor<T>(PhantomData<T>);

        impl<T: Expected> Visitor<'_> for TextVisitor<T> {
            type Value = T;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(T::EXPECTED)
            }

            fn visit_str<E: Error>(self, text: &str) -> Result<T, E> {
                text.parse()
                    .map_err(|_| E::custom(format_args!("`{text}`: expected {}", T::EXPECTED)))
            }
        }

        deserializer.deserialize_str(TextVisitor(PhantomData)).map(Self)
    }
}

impl Expected for IpAddr {
    const EXPECTED: &str = "an IP address such as 10.9.0.2 or fd00:9::2";
}

impl Expected for IpPrefix {
    const EXPECTED: &str = "an address with a prefix length such as 10.9.0.2/24 or fd00:9::2/64";
}

impl Expected for SocketAddr {
    const EXPECTED: &str = "an address with a port such as 0.0.0.0:40404 or [::]:40404";
}

/// The name of a network device: at most 15 bytes, the limit of the kernel.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeviceName(String);

impl DeviceName {
    /// The name.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl DeviceName {
    /// Description of the format.
    pub(crate) const FORM: &str =
        "a device name of 1 to 15 letters, digits, `-`, `_` or `.`, such as sandhog0";
}

impl Default for DeviceName {
    fn default() -> Self {
        Self("sandhog0".to_owned())
    }
}

impl fmt::Display for DeviceName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Stricter than `dev_valid_name` in the kernel, because the name is also part of file names, nftables tables
/// and arguments of other programs.
impl FromStr for DeviceName {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        let fits = (1..=15).contains(&text.len()) && text != "." && text != "..";
        let clean = text
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte))
            && !text.starts_with('-');
        if fits && clean {
            Ok(Self(text.to_owned()))
        } else {
            Err(())
        }
    }
}

impl Expected for DeviceName {
    const EXPECTED: &str = Self::FORM;
}

/// Address of a server: a host name or an IP address, and a UDP port.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Endpoint {
    /// A DNS name or an IP address, the latter without brackets.
    pub host: String,
    /// The UDP port, not 0.
    pub port: u16,
}

impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.host.contains(':') {
            write!(f, "[{}]:{}", self.host, self.port)
        } else {
            write!(f, "{}:{}", self.host, self.port)
        }
    }
}

impl FromStr for Endpoint {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        let (host, port) = text.rsplit_once(':').ok_or(())?;
        let port = port.parse().ok().filter(|port| *port != 0).ok_or(())?;
        let host = match host.strip_prefix('[').and_then(|host| host.strip_suffix(']')) {
            Some(address) => address.parse::<std::net::Ipv6Addr>().map_err(|_| ())?.to_string(),
            None if host.is_empty() || host.contains([':', '[', ']', '/']) => return Err(()),
            None => host.to_owned(),
        };
        Ok(Self { host, port })
    }
}

impl Endpoint {
    /// Description of the format.
    pub(crate) const FORM: &str = "a host and a port such as vpn.example.com:40404 or [2001:db8::1]:40404";
}

impl Expected for Endpoint {
    const EXPECTED: &str = Self::FORM;
}

/// A string that is zeroized on drop.
pub(super) struct Secret(pub(super) Zeroizing<String>);

impl FromStr for Secret {
    type Err = std::convert::Infallible;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Ok(Self(Zeroizing::new(text.to_owned())))
    }
}

impl Expected for Secret {
    const EXPECTED: &str = "a string";
}
