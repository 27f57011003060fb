//! Scenarios: hosts, links, events and expected results. The types have the structure of the file.

pub mod adversary;
mod builtin;
mod clock;
mod error;
mod events;
mod expectations;
mod links;
mod messages;
mod profile;
mod schema;
mod schema_values;
mod setup;
mod source;
mod steps;
mod validate;

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use schemars::JsonSchema;
use serde::Deserialize;

use sandhog_lab::values::Span;
use sandhog_peer::IpPrefix;

pub use builtin::Builtin;
pub use clock::{Clock, ClockChange};
pub use error::ScenarioError;
pub use events::{AccountChange, AccountState, PasswordChange, TimedEvent};
pub use expectations::{Expectation, Finally};
pub use links::{Direction, Link};
pub use profile::{Features, Profile};
pub use sandhog_lab::{Pick, values};
#[cfg(feature = "cli")]
pub(crate) use source::unreadable;
pub use source::{Files, ReadFile};
pub use steps::{Download, Echo, Get, Ping, Step, Upload};

/// A scenario: hosts, links, events and expected results.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Scenario {
    /// The built-in name, or the name of the file without its ending. Not a key of the file.
    #[serde(skip)]
    pub name: String,
    /// The subject of the run, in one line.
    pub title: String,
    /// A paragraph that explains the scenario.
    #[serde(default)]
    pub about: String,
    /// Name of the protocol profile of all clients and servers.
    #[serde(default, rename = "profile")]
    profile_name: Option<String>,
    /// The protocol profile of all clients and servers. The key `profile` names it.
    #[serde(skip, default = "unresolved_profile")]
    pub profile: &'static dyn Profile,
    /// The seed of a run without `--seed`.
    #[serde(default = "default_seed")]
    pub seed: u64,
    /// The step of simulated time. Every event happens at a multiple of it. The turmoil engine needs 1 ms.
    #[serde(default = "default_resolution")]
    pub resolution: Span,
    /// The longest time for the work of the clients.
    pub duration: Span,
    /// If true, the work ends when all clients are done and no event is left. If false, it lasts for `duration`.
    #[serde(default = "default_ends_early")]
    pub ends_early: bool,
    /// The time within which a ping must pass after all faults were switched off (check P9). The default is that of the
    /// profile.
    pub liveness: Option<Span>,
    /// The servers, in the order of their turns.
    #[serde(rename = "server")]
    pub servers: Vec<Server>,
    /// The clients, in the order of their turns, after the servers.
    #[serde(rename = "client")]
    pub clients: Vec<Client>,
    /// The links. Two hosts without a link have a perfect connection.
    #[serde(default, rename = "link")]
    pub links: Vec<Link>,
    /// Faults and actions with their times.
    #[serde(default, rename = "event")]
    pub events: Vec<TimedEvent>,
    /// The attackers.
    #[serde(default, rename = "adversary")]
    pub adversaries: Vec<adversary::Adversary>,
    /// Expected results. A client without a table must connect and finish all its steps.
    #[serde(default, rename = "expect")]
    pub expect: Vec<Expectation>,
    /// The files that the servers serve, by name. They are in the folder of the scenario. Not a key of the file.
    #[serde(skip)]
    pub files: Files,
}

impl Scenario {
    /// The address of a server or client at the start of the run.
    fn address_of(&self, name: &str) -> Option<SocketAddr> {
        let servers = self.servers.iter().map(|host| (&host.name, host.address));
        let mut hosts = servers.chain(self.clients.iter().map(|host| (&host.name, host.address)));
        hosts
            .find(|(other, _)| *other == name)
            .map(|(_, address)| address)
    }
}

fn unresolved_profile() -> &'static dyn Profile {
    &profile::Unresolved
}

/// The seed of a scenario without the key `seed`.
pub(crate) const DEFAULT_SEED: u64 = 1;

fn default_seed() -> u64 {
    DEFAULT_SEED
}

fn default_resolution() -> Span {
    Span(Duration::from_millis(1))
}

fn default_ends_early() -> bool {
    true
}

fn default_mtu() -> u16 {
    1420
}

/// A server with its inner host.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Server {
    /// The name, for links, events and the story. 1 to 32 letters, digits, `-` and `_`.
    pub name: String,
    /// Address of its UDP socket on the outer network.
    pub address: SocketAddr,
    /// Addresses inside the tunnel, with prefix lengths.
    pub inner: Vec<String>,
    /// The largest inner packet, in bytes.
    #[serde(default = "default_mtu")]
    pub mtu: u16,
    /// The preferred cipher. A session uses it if the client prefers the same one. Secure profile only.
    #[serde(default)]
    pub cipher: Cipher,
    /// Its wall clock. A server without a clock cannot check the age of first messages. Secure profile only.
    #[serde(default)]
    pub clock: Clock,
    /// If false, the server does not check the age of first messages. Secure profile only.
    #[serde(default = "yes")]
    pub checks_clock: bool,
    /// The users who may log in.
    #[serde(default, rename = "user")]
    pub users: Vec<User>,
    /// The services of its inner host.
    #[serde(default)]
    pub serve: Serve,
}

const fn yes() -> bool {
    true
}

impl Server {
    /// The addresses inside the tunnel. Texts that are not addresses are left out. A valid scenario has none.
    #[must_use]
    pub fn inner_prefixes(&self) -> Vec<IpPrefix> {
        prefixes(&self.inner)
    }
}

/// The preferred cipher of a client or server. A session starts with ChaCha20-Poly1305, and keeps it if the two sides differ.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, JsonSchema)]
pub enum Cipher {
    /// ChaCha20-Poly1305 (RFC 8439), the cipher that every peer supports.
    #[default]
    #[serde(rename = "chacha20-poly1305")]
    ChaCha20Poly1305,
    /// AES-256-GCM (NIST SP 800-38D), faster on processors with instructions for AES.
    #[serde(rename = "aes-256-gcm")]
    Aes256Gcm,
}

/// A user of a server.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct User {
    /// The user name.
    pub login: String,
    /// The password, unencrypted. The simulator protects no secrets.
    pub password: String,
    /// The inner addresses of the user. If empty, a secure server assigns them.
    pub addresses: Vec<IpAddr>,
}

/// The services of an inner host. Every inner host answers pings.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Serve {
    /// UDP port of the echo service (RFC 862).
    pub udp_echo: Option<u16>,
    /// TCP port for bulk transfer with SHA-256.
    pub bulk: Option<u16>,
    /// TCP port for HTTP/1.1 GET of `files`.
    pub http: Option<u16>,
    /// Names of the served files. They are in the folder of the scenario.
    #[serde(default)]
    pub files: Vec<String>,
    /// Maximum number of TCP connections at the same time.
    #[serde(default = "default_connections")]
    pub connections: u16,
    /// Time after which a TCP connection is aborted if the client sends nothing (RFC 5482).
    #[serde(default = "default_tcp_timeout")]
    pub timeout: Span,
}

impl Default for Serve {
    fn default() -> Self {
        Self {
            udp_echo: None,
            bulk: None,
            http: None,
            files: Vec::new(),
            connections: default_connections(),
            timeout: default_tcp_timeout(),
        }
    }
}

fn default_connections() -> u16 {
    sandhog_netstack::MAX_CONNECTIONS as u16
}

fn default_tcp_timeout() -> Span {
    Span(sandhog_netstack::TCP_TIMEOUT)
}

/// A client with its inner host.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Client {
    /// The name, for links, events and the story. 1 to 32 letters, digits, `-` and `_`.
    pub name: String,
    /// Address of its UDP socket on the outer network.
    pub address: SocketAddr,
    /// Addresses inside the tunnel, with prefix lengths. Without this key, the server assigns the addresses and the MTU.
    #[serde(default)]
    pub inner: Vec<String>,
    /// The largest inner packet, in bytes.
    #[serde(default = "default_mtu")]
    pub mtu: u16,
    /// If true, the client searches for the largest packet that the path carries. Secure profile only.
    #[serde(default)]
    pub mtu_search: bool,
    /// The preferred cipher. A session uses it if the server prefers the same one. Secure profile only.
    #[serde(default)]
    pub cipher: Cipher,
    /// Its wall clock. A server does not answer a client whose clock differs by more than 30 s. Secure profile only.
    #[serde(default)]
    pub clock: Clock,
    /// The name of its server.
    pub server: String,
    /// The user name. Required by every profile with a login.
    #[serde(default)]
    pub login: String,
    /// The password. Required by every profile with a login.
    #[serde(default)]
    pub password: String,
    /// If true, the start ends after 10 s without an answer. If false, the client tries again. A client of the classic profile
    /// never tries again.
    #[serde(default)]
    pub once: bool,
    /// The time at which the tunnel is started.
    #[serde(default)]
    pub start: Span,
    /// The steps of its inner host once the tunnel is up, one after another.
    #[serde(default, rename = "do")]
    pub steps: Vec<Step>,
}

impl Client {
    /// The addresses inside the tunnel. Texts that are not addresses are left out. A valid scenario has none.
    #[must_use]
    pub fn inner_prefixes(&self) -> Vec<IpPrefix> {
        prefixes(&self.inner)
    }
}

fn prefixes(inner: &[String]) -> Vec<IpPrefix> {
    inner.iter().filter_map(|text| text.parse().ok()).collect()
}
