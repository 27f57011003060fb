//! Status tracker: builds a [`Status`] from the state and the events of a peer.

use std::collections::BTreeMap;
use std::net::IpAddr;

use sandhog_proto::secure::{self, Login, SessionInfo};
use sandhog_proto::{Counters, EventKind, Instant, NetworkSettings, TunnelStatus};

use super::{ClientStatus, Profile, Role, ServerStatus, SessionStatus, Status, Traffic, UserSession};
use crate::clock;
use crate::config::DeviceName;

/// The methods that agree on the keys of each session: login and rekey use both. ML-KEM also resists quantum computers.
const KEY_EXCHANGE: &str = "X25519 + ML-KEM-768";

/// State collected from the events of a peer.
#[derive(Debug)]
pub(crate) struct StatusTracker {
    started: Instant,
    status: Option<TunnelStatus>,
    since: Instant,
    logins_accepted: u64,
    logins_refused: u64,
}

impl StatusTracker {
    /// A tracker that starts now.
    pub(crate) fn new() -> Self {
        let now = clock::now();
        Self {
            started: now,
            status: None,
            since: now,
            logins_accepted: 0,
            logins_refused: 0,
        }
    }

    /// Processes an event.
    pub(crate) fn on_event(&mut self, event: &EventKind) {
        match event {
            EventKind::Status(status) => (self.status, self.since) = (Some(*status), clock::now()),
            EventKind::LoggedIn { .. } => self.logins_accepted += 1,
            EventKind::LoginRefused { .. } => self.logins_refused += 1,
            _ => {}
        }
    }

    /// The part of the status that servers and clients share. The rest is empty.
    pub(crate) fn status(
        &self,
        role: Role,
        profile: Profile,
        device: &DeviceName,
        counters: &Counters,
    ) -> Status {
        let now = clock::now();
        let name = match role {
            Role::Server => "listening",
            Role::Client => self.status.unwrap_or(TunnelStatus::Disconnected).name(),
        };
        let dropped: BTreeMap<_, _> = counters
            .drops()
            .map(|(reason, count)| (reason.name().to_owned(), count))
            .collect();
        Status {
            device: device.to_string(),
            role,
            profile,
            program: env!("CARGO_PKG_VERSION").to_owned(),
            pid: std::process::id(),
            uptime_seconds: seconds(now, self.started),
            status: name.to_owned(),
            status_seconds: seconds(now, self.since),
            addresses: Vec::new(),
            mtu: 0,
            traffic: counters.into(),
            dropped,
            client: None,
            server: None,
        }
    }

    /// The part of the status for servers. `sessions` is empty in the classic profile.
    pub(crate) fn server<'a>(
        &self,
        listen: impl ToString,
        users: usize,
        half_open: usize,
        session_count: usize,
        sessions: impl Iterator<Item = (&'a Login, &'a [IpAddr], SessionInfo)>,
    ) -> ServerStatus {
        let now = clock::now();
        ServerStatus {
            listen: listen.to_string(),
            fingerprint: None,
            users,
            logins_half_open: half_open,
            logins_accepted: self.logins_accepted,
            logins_refused: self.logins_refused,
            session_count,
            sessions: sessions
                .map(|(login, addresses, info)| UserSession::new(now, login, addresses, &info))
                .collect(),
        }
    }
}

impl Status {
    /// Adds the settings of the device.
    pub(crate) fn with_settings(mut self, settings: &NetworkSettings) -> Self {
        self.addresses = texts(&settings.addresses);
        self.mtu = settings.mtu;
        self
    }
}

impl ClientStatus {
    /// The part of the status for clients. `settings` are the settings in force.
    pub(crate) fn new(
        login: &str,
        server: impl ToString,
        remote: impl ToString,
        settings: Option<&NetworkSettings>,
    ) -> Self {
        Self {
            login: login.to_owned(),
            server: server.to_string(),
            remote: remote.to_string(),
            fingerprint: None,
            routes: settings.map_or_else(Vec::new, |settings| texts(&settings.included_routes)),
            dns: settings.map_or_else(Vec::new, |settings| texts(&settings.dns_servers)),
            search: settings.map_or_else(Vec::new, |settings| settings.search_domains.clone()),
            session: None,
        }
    }

    /// Adds the fingerprint of the server.
    pub(crate) fn with_fingerprint(mut self, fingerprint: String) -> Self {
        self.fingerprint = Some(fingerprint);
        self
    }

    /// Adds the session of a client of the secure profile, and the present address of the server.
    pub(crate) fn with_session(mut self, client: &secure::Client) -> Self {
        if let Some(info) = client.session_info() {
            self.remote = info.remote.to_string();
            self.session = Some(SessionStatus::new(clock::now(), &info));
        }
        self
    }
}

impl ServerStatus {
    /// Adds the server's own fingerprint.
    pub(crate) fn with_fingerprint(mut self, fingerprint: String) -> Self {
        self.fingerprint = Some(fingerprint);
        self
    }
}

impl UserSession {
    fn new(now: Instant, login: &Login, addresses: &[IpAddr], info: &SessionInfo) -> Self {
        Self {
            login: login.as_str().to_owned(),
            remote: info.remote.to_string(),
            addresses: texts(addresses),
            session: SessionStatus::new(now, info),
        }
    }
}

impl SessionStatus {
    fn new(now: Instant, info: &SessionInfo) -> Self {
        Self {
            age_seconds: seconds(now, info.since),
            epoch: info.epoch,
            cipher: info.cipher.to_string(),
            key_exchange: KEY_EXCHANGE.to_owned(),
            key_seconds: seconds(now, info.keys_since),
            last_received_seconds: seconds(now, info.last_heard),
            packets_received: info.traffic.packets_in,
            bytes_received: info.traffic.bytes_in,
            packets_sent: info.traffic.packets_out,
            bytes_sent: info.traffic.bytes_out,
        }
    }
}

impl From<&Counters> for Traffic {
    fn from(counters: &Counters) -> Self {
        Self {
            packets_received: counters.packets_in,
            bytes_received: counters.bytes_in,
            packets_sent: counters.packets_out,
            bytes_sent: counters.bytes_out,
            datagrams_received: counters.datagrams_in,
            datagrams_sent: counters.datagrams_out,
        }
    }
}

fn seconds(now: Instant, then: Instant) -> u64 {
    now.saturating_duration_since(then).as_secs()
}

fn texts<T: ToString>(list: &[T]) -> Vec<String> {
    list.iter().map(ToString::to_string).collect()
}
