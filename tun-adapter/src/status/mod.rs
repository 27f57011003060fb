//! Status of a running tunnel, as `sandhog status --json` prints it. The other outputs are made from the same
//! data.
//!
//! The JSON is stable: within version 1, no field is renamed or removed. Readers must ignore unknown fields.

pub mod command;
mod text;
mod tracker;

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

pub(crate) use tracker::StatusTracker;

/// Version of the JSON format.
pub const VERSION: u32 = 1;

/// All running tunnels of a machine.
#[derive(Clone, Debug, Deserialize, PartialEq, Eq, Serialize)]
pub struct Tunnels {
    /// [`VERSION`].
    pub version: u32,
    /// The tunnels, sorted by device name.
    pub tunnels: Vec<Status>,
}

/// Status of one tunnel. Times are ages in seconds.
#[derive(Clone, Debug, Deserialize, PartialEq, Eq, Serialize)]
pub struct Status {
    /// Name of the device.
    pub device: String,
    /// `server` or `client`.
    pub role: Role,
    /// `secure` or `classic`.
    pub profile: Profile,
    /// Version of the program.
    pub program: String,
    /// The process ID.
    pub pid: u32,
    /// Time since the start of the tunnel.
    pub uptime_seconds: u64,
    /// `listening` for a server. For a client, the status as in its log.
    pub status: String,
    /// Time since the last change of the status.
    pub status_seconds: u64,
    /// Addresses of the device with prefix lengths. Empty before a client's first login.
    pub addresses: Vec<String>,
    /// MTU of the tunnel, in bytes. 0 before a client's first login.
    pub mtu: u16,
    /// Traffic since the start.
    pub traffic: Traffic,
    /// Number of dropped packets and datagrams by reason. Only reasons that have occurred.
    pub dropped: BTreeMap<String, u64>,
    /// Present for a client.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub client: Option<ClientStatus>,
    /// Present for a server.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub server: Option<ServerStatus>,
}

/// The role of this side of the tunnel.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Role {
    /// Accepts logins.
    Server,
    /// Logs in.
    Client,
}

/// The protocol.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Profile {
    /// The secure profile.
    Secure,
    /// The insecure classic profile.
    Classic,
}

/// Traffic counters. Bytes are those of the packets inside the tunnel.
#[derive(Clone, Copy, Debug, Default, Deserialize, PartialEq, Eq, Serialize)]
pub struct Traffic {
    /// Packets received through the tunnel.
    pub packets_received: u64,
    /// Bytes of the received packets.
    pub bytes_received: u64,
    /// Packets sent through the tunnel.
    pub packets_sent: u64,
    /// Bytes of the sent packets.
    pub bytes_sent: u64,
    /// UDP datagrams received, valid or not.
    pub datagrams_received: u64,
    /// UDP datagrams sent.
    pub datagrams_sent: u64,
}

/// Status of a client.
#[derive(Clone, Debug, Deserialize, PartialEq, Eq, Serialize)]
pub struct ClientStatus {
    /// The user name.
    pub login: String,
    /// The server as in the configuration.
    pub server: String,
    /// The present address of the server.
    pub remote: String,
    /// Fingerprint of the server's public keys. `None` in the classic profile.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fingerprint: Option<String>,
    /// Networks routed through the tunnel.
    pub routes: Vec<String>,
    /// Name servers from the server.
    pub dns: Vec<String>,
    /// Search domains from the server.
    pub search: Vec<String>,
    /// The session. `None` without a session, and always in the classic profile.
    pub session: Option<SessionStatus>,
}

/// Status of a server.
#[derive(Clone, Debug, Deserialize, PartialEq, Eq, Serialize)]
pub struct ServerStatus {
    /// Listen address.
    pub listen: String,
    /// Fingerprint of the server's public keys. `None` in the classic profile.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fingerprint: Option<String>,
    /// Number of users.
    pub users: usize,
    /// Logins in progress.
    pub logins_half_open: usize,
    /// Logins accepted since the start.
    pub logins_accepted: u64,
    /// Logins refused since the start.
    pub logins_refused: u64,
    /// Number of sessions.
    pub session_count: usize,
    /// The sessions, sorted by user name. Empty in the classic profile.
    pub sessions: Vec<UserSession>,
}

/// A session of a user on a server.
#[derive(Clone, Debug, Deserialize, PartialEq, Eq, Serialize)]
pub struct UserSession {
    /// The user name.
    pub login: String,
    /// The present address of the client.
    pub remote: String,
    /// The client's addresses in the tunnel.
    pub addresses: Vec<String>,
    /// The session.
    #[serde(flatten)]
    pub session: SessionStatus,
}

/// Status of a session.
#[derive(Clone, Debug, Deserialize, PartialEq, Eq, Serialize)]
pub struct SessionStatus {
    /// Age of the session.
    pub age_seconds: u64,
    /// Number of rekeys.
    pub epoch: u32,
    /// The cipher.
    #[serde(default)]
    pub cipher: String,
    /// The methods that agreed on the keys. An attacker must break both.
    #[serde(default)]
    pub key_exchange: String,
    /// Age of the present keys.
    pub key_seconds: u64,
    /// Time since the last authenticated datagram from the peer.
    pub last_received_seconds: u64,
    /// Packets received.
    pub packets_received: u64,
    /// Bytes of the received packets.
    pub bytes_received: u64,
    /// Packets sent.
    pub packets_sent: u64,
    /// Bytes of the sent packets.
    pub bytes_sent: u64,
}
