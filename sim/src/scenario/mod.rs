//! Scenarios: who takes part, over which links, what happens, and what is expected. The types mirror the file.

pub mod adversary;
mod adversary_setup;
mod error;
mod messages;
mod source;
mod validate;

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use schemars::JsonSchema;
use serde::Deserialize;

use sandhog_lab::values::{Chance, Delay, Rate, Size, Span};
use sandhog_peer::{StartError, TunnelStatus};

use crate::profile::{PROFILES, Profile};

pub(crate) use adversary_setup::adversary_spec;
pub use error::ScenarioError;
pub use sandhog_lab::{Pick, values};
pub use source::{Files, ReadFile};

/// A whole scenario, as its file says it.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Scenario {
    /// The name it was found under: a built-in name or a file name without its ending. Not a key of the file.
    #[serde(skip)]
    pub name: String,
    /// One line that says what is shown.
    pub title: String,
    /// A paragraph on what to look for.
    #[serde(default)]
    pub about: String,
    /// The name of the protocol profile of clients and servers.
    #[serde(default, rename = "profile")]
    profile_name: Option<String>,
    /// The protocol profile of clients and servers. The key `profile` names it.
    #[serde(skip, default = "default_profile")]
    pub profile: &'static dyn Profile,
    /// The seed of a run that names none.
    #[serde(default = "default_seed")]
    pub seed: u64,
    /// The grid on which things happen; every event falls on a multiple of it. The turmoil engine needs 1 ms.
    #[serde(default = "default_resolution")]
    pub resolution: Span,
    /// When the work ends at the latest. It ends sooner when everybody is done and no event is left.
    pub duration: Span,
    /// Whether it may end sooner.
    #[serde(default = "default_ends_early")]
    pub ends_early: bool,
    /// How soon after all faults have healed a ping must pass (property P9).
    #[serde(default = "default_liveness")]
    pub liveness: Span,
    /// The servers, in the order in which they take turns.
    #[serde(rename = "server")]
    pub servers: Vec<Server>,
    /// The clients, who take their turns after the servers.
    #[serde(rename = "client")]
    pub clients: Vec<Client>,
    /// The links. Hosts without a link between them have a perfect one.
    #[serde(default, rename = "link")]
    pub links: Vec<Link>,
    /// What happens at a given time.
    #[serde(default, rename = "event")]
    pub events: Vec<TimedEvent>,
    /// Who is after the others.
    #[serde(default, rename = "adversary")]
    pub adversaries: Vec<adversary::Adversary>,
    /// What must come out. A client that is not named here must connect, and finish everything it does.
    #[serde(default, rename = "expect")]
    pub expect: Vec<Expectation>,
    /// Files beside the scenario that its servers serve, by the name used in the scenario. Not a key of the file.
    #[serde(skip)]
    pub files: Files,
}

impl Scenario {
    /// The address of a server or client at the beginning.
    pub(crate) fn address_of(&self, name: &str) -> Option<SocketAddr> {
        let servers = self.servers.iter().map(|host| (&host.name, host.address));
        let mut hosts = servers.chain(self.clients.iter().map(|host| (&host.name, host.address)));
        hosts
            .find(|(other, _)| *other == name)
            .map(|(_, address)| address)
    }
}

fn default_profile() -> &'static dyn Profile {
    PROFILES[0]
}

fn default_seed() -> u64 {
    1
}

fn default_resolution() -> Span {
    Span(Duration::from_millis(1))
}

fn default_ends_early() -> bool {
    true
}

fn default_liveness() -> Span {
    Span(Duration::from_secs(10))
}

fn default_mtu() -> u16 {
    1420
}

/// A server and the host behind it.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Server {
    /// Its name, for links, events and the story.
    pub name: String,
    /// Its UDP socket on the outer network.
    pub address: SocketAddr,
    /// Its addresses inside the tunnel, with prefix lengths.
    pub inner: Vec<String>,
    /// Largest inner packet in bytes.
    #[serde(default = "default_mtu")]
    pub mtu: u16,
    /// What it seals with for clients that say the same; in the secure profile only.
    #[serde(default)]
    pub cipher: Cipher,
    /// Who may log in.
    #[serde(default, rename = "user")]
    pub users: Vec<User>,
    /// What its inner host offers.
    #[serde(default)]
    pub serve: Serve,
}

/// What a side would like to seal with. A session begins with the first, and stays with it if the sides differ.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, JsonSchema)]
pub enum Cipher {
    /// What everybody has (RFC 8439).
    #[default]
    #[serde(rename = "chacha20-poly1305")]
    ChaCha20Poly1305,
    /// What is faster on many processors (NIST SP 800-38D).
    #[serde(rename = "aes-256-gcm")]
    Aes256Gcm,
}

impl From<Cipher> for sandhog_proto::aead::Cipher {
    fn from(cipher: Cipher) -> Self {
        match cipher {
            Cipher::ChaCha20Poly1305 => Self::ChaCha20Poly1305,
            Cipher::Aes256Gcm => Self::Aes256Gcm,
        }
    }
}

/// A user as the server knows them.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct User {
    /// The name to log in with.
    pub login: String,
    /// The password in plain; a laboratory has no secrets.
    pub password: String,
    /// The inner addresses that are theirs.
    pub addresses: Vec<IpAddr>,
}

/// What an inner host offers. Every host answers pings.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Serve {
    /// UDP port that sends back what it gets (RFC 862).
    pub udp_echo: Option<u16>,
    /// TCP port for bulk transfer with SHA-256.
    pub bulk: Option<u16>,
    /// TCP port for HTTP/1.1 GET of `files`.
    pub http: Option<u16>,
    /// Files in the scenario's folder to serve, by their names there.
    #[serde(default)]
    pub files: Vec<String>,
}

/// A client and the host behind it.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Client {
    /// Its name, for links, events and the story.
    pub name: String,
    /// Its UDP socket on the outer network.
    pub address: SocketAddr,
    /// Its addresses inside the tunnel, with prefix lengths. Without them it takes those that the server gives it,
    /// and the MTU with them.
    #[serde(default)]
    pub inner: Vec<String>,
    /// Largest inner packet in bytes.
    #[serde(default = "default_mtu")]
    pub mtu: u16,
    /// Whether the client looks for the largest packet that the path carries; in the secure profile only.
    #[serde(default)]
    pub mtu_search: bool,
    /// What it seals with if its server says the same; in the secure profile only.
    #[serde(default)]
    pub cipher: Cipher,
    /// The server's name.
    pub server: String,
    /// The user name. Required by every profile with a login.
    #[serde(default)]
    pub login: String,
    /// The password. Required by every profile with a login.
    #[serde(default)]
    pub password: String,
    /// When the tunnel is started.
    #[serde(default)]
    pub start: Span,
    /// What its inner host does once the tunnel is up, one after another.
    #[serde(default, rename = "do")]
    pub steps: Vec<Step>,
}

/// One thing that an inner host does. Exactly one of `ping`, `echo`, `download`, `upload` and `get`.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Step {
    /// Not before this time.
    #[serde(default)]
    pub at: Span,
    /// Begin together with the step before it, instead of after it.
    #[serde(default)]
    pub meanwhile: bool,
    /// ICMP echo requests.
    pub ping: Option<Ping>,
    /// UDP datagrams to an echo port.
    pub echo: Option<Echo>,
    /// TCP from a bulk port.
    pub download: Option<Download>,
    /// TCP to a bulk port.
    pub upload: Option<Upload>,
    /// HTTP GET.
    pub get: Option<Get>,
}

/// ICMP echo requests (RFC 792, RFC 4443).
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Ping {
    /// Inner address.
    pub to: IpAddr,
    /// How many.
    #[serde(default = "default_count")]
    pub count: u16,
    /// Time from one to the next.
    #[serde(default = "default_interval")]
    pub every: Span,
    /// Bytes of payload.
    #[serde(default = "default_payload")]
    pub size: u16,
    /// When an unanswered one counts as lost.
    #[serde(default = "default_reply_timeout")]
    pub timeout: Span,
    /// How many replies make it a success.
    #[serde(default = "default_replies")]
    pub replies: u16,
}

fn default_count() -> u16 {
    4
}

fn default_interval() -> Span {
    Span(Duration::from_secs(1))
}

fn default_payload() -> u16 {
    56
}

fn default_reply_timeout() -> Span {
    Span(Duration::from_secs(2))
}

fn default_replies() -> u16 {
    1
}

/// UDP datagrams to an echo port.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Echo {
    /// Inner address and port.
    pub to: SocketAddr,
    /// How many.
    #[serde(default = "default_count")]
    pub count: u16,
    /// Time from one to the next.
    #[serde(default = "default_interval")]
    pub every: Span,
    /// Bytes of payload.
    #[serde(default = "default_payload")]
    pub size: u16,
    /// When an unanswered one counts as lost.
    #[serde(default = "default_reply_timeout")]
    pub timeout: Span,
    /// How many replies make it a success.
    #[serde(default = "default_replies")]
    pub replies: u16,
}

/// TCP from a bulk port, checked by SHA-256.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Download {
    /// Inner address and port.
    pub from: SocketAddr,
    /// How much.
    pub bytes: Size,
}

/// TCP to a bulk port, checked by SHA-256.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Upload {
    /// Inner address and port.
    pub to: SocketAddr,
    /// How much.
    pub bytes: Size,
}

/// HTTP/1.1 GET.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Get {
    /// Inner address and port.
    pub from: SocketAddr,
    /// Path, `/hello.txt`.
    pub path: String,
}

/// A link between two hosts, in the words of `tc netem`. What stands here holds both ways.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Link {
    /// The two hosts.
    pub between: [String; 2],
    /// Delay, jitter, correlation. Jitter reorders.
    pub delay: Option<Delay>,
    /// Random loss.
    pub loss: Option<Chance>,
    /// Random duplication.
    pub duplicate: Option<Chance>,
    /// One random bit flipped.
    pub corrupt: Option<Chance>,
    /// Bandwidth; datagrams wait in a queue for their turn.
    pub rate: Option<Rate>,
    /// How many datagrams the queue holds; netem's default is 1000.
    pub limit: Option<u32>,
    /// Largest outer IP packet in bytes; larger ones vanish.
    pub mtu: Option<u16>,
    /// Overrides from the first host to the second.
    pub forward: Option<Direction>,
    /// Overrides from the second host to the first.
    pub backward: Option<Direction>,
}

/// One direction of a link: overrides, and datagrams picked by what they mean.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Direction {
    /// Delay, jitter, correlation.
    pub delay: Option<Delay>,
    /// Random loss.
    pub loss: Option<Chance>,
    /// Random duplication.
    pub duplicate: Option<Chance>,
    /// One random bit flipped.
    pub corrupt: Option<Chance>,
    /// Bandwidth.
    pub rate: Option<Rate>,
    /// How many datagrams the queue holds.
    pub limit: Option<u32>,
    /// Largest outer IP packet in bytes.
    pub mtu: Option<u16>,
    /// Datagrams that never arrive.
    #[serde(default)]
    pub drop: Vec<Pick>,
    /// Datagrams that take longer than the others, by `by`.
    #[serde(default)]
    pub late: Vec<Pick>,
    /// Datagrams that arrive twice.
    #[serde(default)]
    pub double: Vec<Pick>,
    /// Datagrams that arrive with one bit flipped.
    #[serde(default)]
    pub damage: Vec<Pick>,
}

/// Something that happens at a given time. Exactly one of the keys beside `at`, `every`, `times` and `to`.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct TimedEvent {
    /// When, rounded up to the resolution.
    pub at: Span,
    /// It happens again and again, this long after the time before.
    pub every: Option<Span>,
    /// How often in all, with `every`; without it until the run is over.
    pub times: Option<u32>,
    /// This host dies at once and loses its state.
    pub crash: Option<String>,
    /// This host starts afresh (also if it had not crashed).
    pub restart: Option<String>,
    /// Nothing that these two hosts send to each other arrives any more.
    pub partition: Option<[String; 2]>,
    /// The partition between these two hosts ends.
    pub repair: Option<[String; 2]>,
    /// This client's user takes the tunnel down.
    pub stop: Option<String>,
    /// This client's user brings the tunnel up again.
    pub start: Option<String>,
    /// This client's machine goes to sleep.
    pub sleep: Option<String>,
    /// This client's machine wakes up.
    pub wake: Option<String>,
    /// This client's network is another one.
    pub network_changed: Option<String>,
    /// This client has another address outside (`to`) and does not notice: its NAT has bound it anew.
    pub rebind: Option<String>,
    /// The new address of `rebind`. With `every`, the port is one higher each time.
    pub to: Option<SocketAddr>,
    /// A server's operator changes a user's account. It outlives the server's crashes.
    pub account: Option<AccountChange>,
}

/// What an operator does to an account. Exactly one of `becomes` and `password`.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct AccountChange {
    /// The server whose user it is.
    pub server: String,
    /// The user's login.
    pub login: String,
    /// What becomes of the account.
    pub becomes: Option<AccountState>,
    /// The password that it has from now on.
    pub password: Option<String>,
}

/// What becomes of an account.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum AccountState {
    /// It is still there, and lets nobody in.
    Disabled,
    /// It lets its user in again.
    Enabled,
    /// It is gone.
    Removed,
}

impl TimedEvent {
    /// When it happens in a run of this `duration`, each time with its number from 0.
    pub(crate) fn occurrences(&self, duration: Span) -> impl Iterator<Item = (u16, Duration)> {
        let (at, every) = (self.at.0, self.every.unwrap_or_default().0);
        let times = match self.every {
            Some(_) => self.times.unwrap_or(u32::MAX),
            None => 1,
        };
        (0..=u16::MAX)
            .zip(0..times)
            .map(move |(number, _)| (number, at.saturating_add(every.saturating_mul(u32::from(number)))))
            .take_while(move |(_, at)| *at < duration.0)
    }

    /// The address of a `rebind` when it happens for this time.
    pub(crate) fn rebound_to(&self, number: u16) -> Option<SocketAddr> {
        let to = self.to?;
        Some(SocketAddr::new(to.ip(), to.port().checked_add(number)?))
    }
}

/// What must come out for one client.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Expectation {
    /// The client.
    pub client: String,
    /// How its `start` completes.
    pub outcome: String,
    /// Another outcome that is as good, where chance decides.
    pub or: Option<String>,
    /// Exactly when.
    pub at: Option<Span>,
    /// The status of its tunnel when the work is done, before the faults heal.
    pub finally: Option<Finally>,
}

/// Where a tunnel is in its life.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Finally {
    /// It is down.
    Disconnected,
    /// It is coming up for the first time.
    Connecting,
    /// It is up.
    Connected,
    /// It was up, and logs in again.
    Reasserting,
}

impl From<Finally> for TunnelStatus {
    fn from(status: Finally) -> Self {
        match status {
            Finally::Disconnected => Self::Disconnected,
            Finally::Connecting => Self::Connecting,
            Finally::Connected => Self::Connected,
            Finally::Reasserting => Self::Reasserting,
        }
    }
}

/// The outcomes that an expectation may name: `connected`, the start errors, and those of the profile.
pub(crate) fn outcomes(profile: &dyn Profile) -> Vec<&'static str> {
    let errors = StartError::ALL.iter().map(|error| error.name());
    let own = profile.outcomes().iter().copied();
    ["connected"].into_iter().chain(errors).chain(own).collect()
}

/// The JSON Schema of a scenario file (draft 2020-12) for the profiles of this crate.
#[must_use]
pub fn schema() -> serde_json::Value {
    schema_with(PROFILES)
}

/// The JSON Schema of a scenario file (draft 2020-12) for other profiles.
#[must_use]
pub fn schema_with(profiles: &[&'static dyn Profile]) -> serde_json::Value {
    let mut schema = schemars::schema_for!(Scenario).to_value();
    let names: Vec<&str> = profiles.iter().map(|profile| profile.name()).collect();
    let mut all: Vec<&str> = profiles.iter().flat_map(|profile| outcomes(*profile)).collect();
    all.sort_unstable();
    all.dedup();
    for (pointer, values, default) in [
        ("/properties/profile", &names, names.first()),
        ("/$defs/Expectation/properties/outcome", &all, None),
    ] {
        let place = schema
            .pointer_mut(pointer)
            .and_then(serde_json::Value::as_object_mut);
        let Some(place) = place else { continue };
        place.insert("type".into(), "string".into());
        place.insert("enum".into(), values.as_slice().into());
        if let Some(default) = default {
            place.insert("default".into(), (*default).into());
        }
    }
    schema
}
