//! How a running tunnel is: what `sandhog status --json` prints, and what everything else that tells of it is made from.
//!
//! The JSON is a contract: within version 1 nothing is renamed or removed, and readers ignore what they do not know.

pub mod command;
mod text;
mod tracker;

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

pub(crate) use tracker::StatusTracker;

/// The version of the contract.
pub const VERSION: u32 = 1;

/// All tunnels of a machine.
#[derive(Clone, Debug, Deserialize, PartialEq, Eq, Serialize)]
pub struct Tunnels {
    /// [`VERSION`].
    pub version: u32,
    /// Those that run, in order of their devices' names.
    pub tunnels: Vec<Status>,
}

/// One tunnel. Times are seconds before now.
#[derive(Clone, Debug, Deserialize, PartialEq, Eq, Serialize)]
pub struct Status {
    /// The name of its device.
    pub device: String,
    /// `server` or `client`.
    pub role: Role,
    /// `secure` or `classic`.
    pub profile: Profile,
    /// The version of the program.
    pub program: String,
    /// The number of the process.
    pub pid: u32,
    /// Since when it runs.
    pub uptime_seconds: u64,
    /// A server is `listening`; a client's words are those of its log.
    pub status: String,
    /// Since when that is so.
    pub status_seconds: u64,
    /// The device's addresses with the lengths of their prefixes; none before a client's first login.
    pub addresses: Vec<String>,
    /// Largest packet in the tunnel, in bytes; 0 before a client's first login.
    pub mtu: u16,
    /// What was carried since the start.
    pub traffic: Traffic,
    /// What was not, by reason; the reasons that occurred.
    pub dropped: BTreeMap<String, u64>,
    /// On a client.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub client: Option<ClientStatus>,
    /// On a server.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub server: Option<ServerStatus>,
}

/// Which end of the tunnel.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Role {
    /// The one that lets users in.
    Server,
    /// The one that logs in.
    Client,
}

/// Which protocol.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Profile {
    /// The one to use.
    Secure,
    /// The insecure one.
    Classic,
}

/// What was carried. Bytes are those of packets in the tunnel.
#[derive(Clone, Copy, Debug, Default, Deserialize, PartialEq, Eq, Serialize)]
pub struct Traffic {
    /// Packets that came out of the tunnel.
    pub packets_received: u64,
    /// Their bytes.
    pub bytes_received: u64,
    /// Packets that went into the tunnel.
    pub packets_sent: u64,
    /// Their bytes.
    pub bytes_sent: u64,
    /// UDP datagrams that came in, whatever they were.
    pub datagrams_received: u64,
    /// UDP datagrams that went out.
    pub datagrams_sent: u64,
}

/// What only a client knows.
#[derive(Clone, Debug, Deserialize, PartialEq, Eq, Serialize)]
pub struct ClientStatus {
    /// The user's name.
    pub login: String,
    /// The server as the configuration names it.
    pub server: String,
    /// Where the server is.
    pub remote: String,
    /// Networks that are reached through the tunnel.
    pub routes: Vec<String>,
    /// Name servers that the server offers.
    pub dns: Vec<String>,
    /// Search domains that the server offers.
    pub search: Vec<String>,
    /// The session, while there is one. None in classic, which cannot know.
    pub session: Option<SessionStatus>,
}

/// What only a server knows.
#[derive(Clone, Debug, Deserialize, PartialEq, Eq, Serialize)]
pub struct ServerStatus {
    /// Where it listens.
    pub listen: String,
    /// How many users there are.
    pub users: usize,
    /// Logins that were begun and are not finished.
    pub logins_half_open: usize,
    /// Logins that were let in since the start.
    pub logins_accepted: u64,
    /// Logins that were refused since the start.
    pub logins_refused: u64,
    /// How many sessions there are.
    pub session_count: usize,
    /// The sessions in order of their logins. None in classic.
    pub sessions: Vec<UserSession>,
}

/// A session of a user on a server.
#[derive(Clone, Debug, Deserialize, PartialEq, Eq, Serialize)]
pub struct UserSession {
    /// The user's name.
    pub login: String,
    /// Where the client is.
    pub remote: String,
    /// The client's addresses in the tunnel.
    pub addresses: Vec<String>,
    /// The rest.
    #[serde(flatten)]
    pub session: SessionStatus,
}

/// A session.
#[derive(Clone, Debug, Deserialize, PartialEq, Eq, Serialize)]
pub struct SessionStatus {
    /// Since when it is.
    pub age_seconds: u64,
    /// How often it has changed its keys.
    pub epoch: u32,
    /// With what its packets are sealed.
    #[serde(default)]
    pub cipher: String,
    /// Since when the present keys are used.
    pub key_seconds: u64,
    /// When the other side gave a sign of life last.
    pub last_received_seconds: u64,
    /// Packets that came out of it.
    pub packets_received: u64,
    /// Their bytes.
    pub bytes_received: u64,
    /// Packets that went into it.
    pub packets_sent: u64,
    /// Their bytes.
    pub bytes_sent: u64,
}
