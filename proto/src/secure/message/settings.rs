//! Answer to a successful login (M4): the tunnel's settings, or the reason for a refusal.

use alloc::string::String;
use alloc::vec::Vec;
use core::error::Error;
use core::fmt;
use core::net::IpAddr;
use core::str::FromStr;

use serde::Deserialize;

use super::ParseError;
use super::json::{Bytes, Object, Text};
use crate::secure::ticket::{TICKET_LEN, Ticket};
use crate::{IpPrefix, NetworkSettings};

/// Smallest MTU of a tunnel in bytes: the IPv6 minimum (RFC 8200, section 5).
pub const MIN_MTU: u16 = 1280;
/// Maximum number of name servers in a settings message.
pub const MAX_DNS: usize = 8;
/// Maximum number of search domains in a settings message.
pub const MAX_SEARCH: usize = 8;
/// Maximum number of routes in a settings message.
pub const MAX_ROUTES: usize = 32;
/// Longest keepalive in seconds.
pub const MAX_KEEPALIVE: u16 = 600;

/// Longest domain name in bytes, as text (RFC 1035, section 2.3.4, without the final dot).
const MAX_DOMAIN_LEN: usize = 253;

/// Network settings of the client's tunnel device.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TunnelSettings {
    /// The client's IPv4 address with the prefix length of the tunnel network.
    pub address4: Option<IpPrefix>,
    /// The client's IPv6 address with the prefix length of the tunnel network.
    pub address6: Option<IpPrefix>,
    /// Largest inner IP packet in bytes, at least [`MIN_MTU`].
    pub mtu: u16,
    /// Name servers to use while the tunnel is up, at most [`MAX_DNS`].
    pub dns: Vec<IpAddr>,
    /// Domains to append to short names, at most [`MAX_SEARCH`]. They consist of ASCII letters, digits, `.`,
    /// `-` and `_`.
    pub search: Vec<String>,
    /// Networks to route through the tunnel, at most [`MAX_ROUTES`].
    pub routes: Vec<IpPrefix>,
    /// Seconds without traffic after which the client pings, at most [`MAX_KEEPALIVE`]. 0 means never.
    pub keepalive: u16,
}

impl TunnelSettings {
    /// Converts to the settings of a tunnel device, for a server at `remote`.
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

/// Reason why an authenticated user gets no session.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Refusal {
    /// The user is disabled.
    Disabled,
    /// The user's account has expired.
    Expired,
    /// No inner address is free.
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

/// Error in settings.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum SettingsError {
    /// `address4` is not an IPv4 address, or `address6` is not an IPv6 address.
    AddressFamily,
    /// The MTU is below [`MIN_MTU`].
    Mtu,
    /// More than [`MAX_DNS`] name servers.
    TooManyDns,
    /// More than [`MAX_SEARCH`] search domains.
    TooManySearch,
    /// A search domain is empty, too long, or contains characters that are not allowed in host names.
    SearchDomain,
    /// More than [`MAX_ROUTES`] routes.
    TooManyRoutes,
    /// The keepalive is above [`MAX_KEEPALIVE`].
    Keepalive,
}

impl fmt::Display for SettingsError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::AddressFamily => f.write_str("an address has the wrong IP version"),
            Self::Mtu => write!(f, "the MTU is below {MIN_MTU}"),
            Self::TooManyDns => write!(f, "more than {MAX_DNS} name servers"),
            Self::TooManySearch => write!(f, "more than {MAX_SEARCH} search domains"),
            Self::SearchDomain => f.write_str("a search domain is not a valid domain name"),
            Self::TooManyRoutes => write!(f, "more than {MAX_ROUTES} routes"),
            Self::Keepalive => write!(f, "the keepalive is above {MAX_KEEPALIVE} seconds"),
        }
    }
}

impl Error for SettingsError {}

impl TunnelSettings {
    /// Checks the rules that the types do not express. A peer rejects settings that violate them.
    ///
    /// # Errors
    ///
    /// [`SettingsError`], the first error found.
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

    /// Appends the settings to an object.
    fn write(&self, mut json: Object) -> Object {
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
    }
}

/// Content of M4 for an accepted login.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Accepted {
    pub(crate) settings: TunnelSettings,
    /// Wall clock of the server in milliseconds since 1970. `None` if it has no clock.
    pub(crate) time: Option<u64>,
    /// A ticket for the next login.
    pub(crate) ticket: Option<Ticket>,
}

impl Accepted {
    pub(super) fn to_json(&self) -> Vec<u8> {
        let mut json = self.settings.write(Object::new().plain("isOK", true));
        if let Some(time) = self.time {
            json = json.plain("time", time);
        }
        match &self.ticket {
            Some(ticket) => json.bytes("ticket", ticket),
            None => json,
        }
        .end()
    }

    pub(super) fn from_json(json: &[u8]) -> Result<Self, ParseError> {
        let fields: Fields<'_> = serde_json::from_slice(json)?;
        let settings = TunnelSettings {
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
        Ok(Self {
            settings,
            time: fields.time,
            ticket: fields.ticket.map(|ticket| ticket.0),
        })
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
    time: Option<u64>,
    ticket: Option<Bytes<TICKET_LEN>>,
}

fn read<T: FromStr>(text: Text<'_>) -> Result<T, ParseError> {
    text.0.parse().map_err(|_| ParseError::Malformed)
}

fn read_all<T: FromStr>(texts: Vec<Text<'_>>) -> Result<Vec<T>, ParseError> {
    texts.into_iter().map(read).collect()
}

/// Returns true if `text` can be passed to a resolver. The text comes from the server and is used in
/// arguments and files of other programs. So it must not begin like an option, nor contain separators of
/// words or lines.
fn is_domain(text: &str) -> bool {
    (1..=MAX_DOMAIN_LEN).contains(&text.len())
        && !text.starts_with(['-', '.'])
        && text
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-' | b'_'))
}
