//! What the server gives a client that has logged in (M4), or why it gives nothing.

use alloc::string::String;
use alloc::vec::Vec;
use core::error::Error;
use core::fmt;
use core::net::IpAddr;
use core::str::FromStr;

use serde::Deserialize;

use super::ParseError;
use super::json::{Object, Text};
use crate::{IpPrefix, NetworkSettings};

/// Smallest MTU of a tunnel in bytes: what IPv6 needs (RFC 8200, section 5).
pub const MIN_MTU: u16 = 1280;
/// Most name servers in a message with settings.
pub const MAX_DNS: usize = 8;
/// Most search domains in a message with settings.
pub const MAX_SEARCH: usize = 8;
/// Most routes in a message with settings.
pub const MAX_ROUTES: usize = 32;
/// Longest keepalive in seconds.
pub const MAX_KEEPALIVE: u16 = 600;

/// Longest domain name in bytes, in text (RFC 1035, section 2.3.4, without the final dot).
const MAX_DOMAIN_LEN: usize = 253;

/// How the client sets its device up.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TunnelSettings {
    /// The client's own IPv4 address, with the length of the tunnel network's prefix.
    pub address4: Option<IpPrefix>,
    /// The client's own IPv6 address, with the length of the tunnel network's prefix.
    pub address6: Option<IpPrefix>,
    /// Largest inner IP packet in bytes, at least [`MIN_MTU`].
    pub mtu: u16,
    /// Name servers to ask while the tunnel is up, at most [`MAX_DNS`].
    pub dns: Vec<IpAddr>,
    /// Domains appended to short names, at most [`MAX_SEARCH`]: ASCII letters, digits, `.`, `-` and `_`.
    pub search: Vec<String>,
    /// Networks to be reached through the tunnel, at most [`MAX_ROUTES`].
    pub routes: Vec<IpPrefix>,
    /// After how many seconds of silence the client pings, at most [`MAX_KEEPALIVE`]; 0 is never.
    pub keepalive: u16,
}

impl TunnelSettings {
    /// The same in the words of a tunnel device, for a server at `remote`.
    pub(crate) fn into_network_settings(self, remote: IpAddr) -> NetworkSettings {
        NetworkSettings {
            tunnel_remote_address: remote,
            addresses: self.address4.into_iter().chain(self.address6).collect(),
            included_routes: self.routes,
            excluded_routes: Vec::new(),
            dns_servers: self.dns,
            search_domains: self.search,
            mtu: self.mtu,
        }
    }
}

/// Why an authenticated user gets no session.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Refusal {
    /// The user is disabled.
    Disabled,
    /// The user's time is over.
    Expired,
    /// There is no address left.
    Full,
}

impl Refusal {
    /// The name on the wire.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Disabled => "disabled",
            Self::Expired => "expired",
            Self::Full => "full",
        }
    }

    pub(super) fn from_name(name: &str) -> Option<Self> {
        [Self::Disabled, Self::Expired, Self::Full]
            .into_iter()
            .find(|refusal| refusal.name() == name)
    }
}

/// What is wrong with settings.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum SettingsError {
    /// `address4` is no IPv4 address, or `address6` no IPv6 address.
    AddressFamily,
    /// The MTU is below [`MIN_MTU`].
    Mtu,
    /// More than [`MAX_DNS`] name servers.
    TooManyDns,
    /// More than [`MAX_SEARCH`] search domains.
    TooManySearch,
    /// A search domain that is empty, too long, or has characters that no host name has.
    SearchDomain,
    /// More than [`MAX_ROUTES`] routes.
    TooManyRoutes,
    /// The keepalive is above [`MAX_KEEPALIVE`].
    Keepalive,
}

impl fmt::Display for SettingsError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::AddressFamily => f.write_str("an address of the other IP version"),
            Self::Mtu => write!(f, "the MTU is below {MIN_MTU}"),
            Self::TooManyDns => write!(f, "more than {MAX_DNS} name servers"),
            Self::TooManySearch => write!(f, "more than {MAX_SEARCH} search domains"),
            Self::SearchDomain => f.write_str("a search domain that is no domain name"),
            Self::TooManyRoutes => write!(f, "more than {MAX_ROUTES} routes"),
            Self::Keepalive => write!(f, "the keepalive is above {MAX_KEEPALIVE} seconds"),
        }
    }
}

impl Error for SettingsError {}

impl TunnelSettings {
    /// Checks what the types alone do not say. A peer takes no settings that fail this.
    ///
    /// # Errors
    ///
    /// [`SettingsError`], the first that is found.
    pub fn check(&self) -> Result<(), SettingsError> {
        let is_wrong = [
            (
                self.address4.is_some_and(|prefix| !prefix.address.is_ipv4())
                    || self.address6.is_some_and(|prefix| !prefix.address.is_ipv6()),
                SettingsError::AddressFamily,
            ),
            (self.mtu < MIN_MTU, SettingsError::Mtu),
            (self.dns.len() > MAX_DNS, SettingsError::TooManyDns),
            (self.search.len() > MAX_SEARCH, SettingsError::TooManySearch),
            (
                !self.search.iter().all(|domain| is_domain(domain)),
                SettingsError::SearchDomain,
            ),
            (self.routes.len() > MAX_ROUTES, SettingsError::TooManyRoutes),
            (self.keepalive > MAX_KEEPALIVE, SettingsError::Keepalive),
        ];
        match is_wrong.into_iter().find(|(is_wrong, _)| *is_wrong) {
            Some((_, error)) => Err(error),
            None => Ok(()),
        }
    }

    pub(super) fn to_json(&self) -> Vec<u8> {
        let mut json = Object::new().plain("isOK", true);
        for (key, prefix) in [("addr4", self.address4), ("addr6", self.address6)] {
            if let Some(prefix) = prefix {
                json = json.text(key, prefix);
            }
        }
        json.plain("mtu", self.mtu)
            .list("dns", &self.dns)
            .list("search", &self.search)
            .list("routes", &self.routes)
            .plain("keepalive", self.keepalive)
            .end()
    }

    pub(super) fn from_json(json: &[u8]) -> Result<Self, ParseError> {
        let fields: Fields<'_> = serde_json::from_slice(json)?;
        let settings = Self {
            address4: fields.addr4.map(read).transpose()?,
            address6: fields.addr6.map(read).transpose()?,
            mtu: fields.mtu,
            dns: read_all(fields.dns)?,
            search: fields
                .search
                .into_iter()
                .map(|text| text.0.into_owned())
                .collect(),
            routes: read_all(fields.routes)?,
            keepalive: fields.keepalive,
        };
        settings.check().map_err(|_| ParseError::Malformed)?;
        Ok(settings)
    }
}

#[derive(Deserialize)]
struct Fields<'a> {
    #[serde(borrow)]
    addr4: Option<Text<'a>>,
    #[serde(borrow)]
    addr6: Option<Text<'a>>,
    mtu: u16,
    #[serde(borrow, default)]
    dns: Vec<Text<'a>>,
    #[serde(borrow, default)]
    search: Vec<Text<'a>>,
    #[serde(borrow, default)]
    routes: Vec<Text<'a>>,
    keepalive: u16,
}

fn read<T: FromStr>(text: Text<'_>) -> Result<T, ParseError> {
    text.0.parse().map_err(|_| ParseError::Malformed)
}

fn read_all<T: FromStr>(texts: Vec<Text<'_>>) -> Result<Vec<T>, ParseError> {
    texts.into_iter().map(read).collect()
}

/// Whether `text` can be given to a resolver. It comes from the server and ends in other programs' arguments and
/// files, so it must not begin as an option does, nor contain what separates words and lines.
fn is_domain(text: &str) -> bool {
    (1..=MAX_DOMAIN_LEN).contains(&text.len())
        && !text.starts_with(['-', '.'])
        && text
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-' | b'_'))
}
