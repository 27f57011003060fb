//! P4, P6 and P7: amplification, moves of sessions, and the age of keys.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::time::Duration;

use sandhog_peer::Instant;

use crate::record::{HostId, RecordId};

/// P6: a move of a session, judged at the end of the turn.
#[derive(Clone, Copy, Debug)]
pub(super) struct Move {
    /// The record of the move.
    pub(super) record: RecordId,
    /// The record of the arrival that caused it.
    pub(super) arrival: RecordId,
    /// The host that created the arrived datagram. `None` if no datagram caused the move.
    pub(super) from: Option<HostId>,
}

/// Bytes between a server and an address, until the server validates the address.
#[derive(Debug, Default)]
struct Balance {
    received: u64,
    sent: u64,
    validated: bool,
}

/// P4: balances of all servers and addresses.
#[derive(Debug, Default)]
pub(super) struct Balances(BTreeMap<(HostId, SocketAddr), Balance>);

impl Balances {
    pub(super) fn on_received(&mut self, host: HostId, remote: SocketAddr, len: u64) {
        self.0.entry((host, remote)).or_default().received += len;
    }

    /// `host` has validated the address `remote`.
    pub(super) fn on_validated(&mut self, host: HostId, remote: SocketAddr) {
        self.0.entry((host, remote)).or_default().validated = true;
    }

    /// `host` booted and has validated no address.
    pub(super) fn on_boot(&mut self, host: HostId) {
        self.0.retain(|(other, _), _| *other != host);
    }

    /// Checks a datagram of `len` bytes to `remote`. At most `factor` bytes may be sent for each received byte. Returns `None` for
    /// a validated address, and otherwise the violation, if any.
    pub(super) fn on_sent(
        &mut self,
        host: HostId,
        remote: SocketAddr,
        len: u64,
        factor: u64,
    ) -> Option<Option<String>> {
        let balance = self.0.entry((host, remote)).or_default();
        if balance.validated {
            return None;
        }
        balance.sent += len;
        let Balance { received, sent, .. } = *balance;
        let exceeded = sent > received.saturating_mul(factor);
        Some(exceeded.then(|| {
            format!("{sent} bytes sent to the unvalidated address {remote}, and {received} received from it")
        }))
    }
}

/// P6: the datagrams that each host has received.
#[derive(Debug, Default)]
pub(super) struct Arrivals {
    /// Fingerprints of the datagrams, by host. Each host has a set of its own, so that the sets of a large network stay small.
    fingerprints: BTreeMap<HostId, BTreeSet<u64>>,
    /// Records of the arrivals of copies.
    stale: BTreeSet<RecordId>,
}

impl Arrivals {
    pub(super) fn add(&mut self, record: RecordId, host: HostId, fingerprint: u64) {
        if !self.fingerprints.entry(host).or_default().insert(fingerprint) {
            self.stale.insert(record);
        }
    }

    pub(super) fn is_stale(&self, record: RecordId) -> bool {
        self.stale.contains(&record)
    }
}

/// P7: creation times of the keys that hosts seal with.
#[derive(Debug, Default)]
pub(super) struct Keys {
    /// The key of each client.
    clients: BTreeMap<HostId, Instant>,
    /// The keys of each server, by address of the session.
    servers: BTreeMap<(HostId, SocketAddr), Instant>,
    /// The address of the last session of each user of a server.
    users: BTreeMap<(HostId, String), SocketAddr>,
}

impl Keys {
    /// `host` seals with a new key from `now` on: a server for `remote`, a client for all datagrams.
    pub(super) fn on_new_key(&mut self, host: HostId, remote: Option<SocketAddr>, now: Instant) {
        match remote {
            Some(remote) => self.servers.insert((host, remote), now),
            None => self.clients.insert(host, now),
        };
    }

    /// A session of the server `host` moved. The age of its key does not change.
    pub(super) fn on_moved(&mut self, host: HostId, from: SocketAddr, to: SocketAddr) {
        if let Some(since) = self.servers.remove(&(host, from)) {
            self.servers.insert((host, to), since);
        }
        for ((other, _), at) in &mut self.users {
            if (*other, *at) == (host, from) {
                *at = to;
            }
        }
    }

    /// The server `host` has accepted a user at `remote`.
    pub(super) fn on_session(&mut self, host: HostId, login: &str, remote: SocketAddr) {
        self.users.insert((host, login.to_owned()), remote);
    }

    /// The session of the user ended, and its key with it. The next session reports its key only after its first datagram.
    pub(super) fn on_session_ended(&mut self, host: HostId, login: &str) {
        if let Some(remote) = self.users.remove(&(host, login.to_owned())) {
            self.servers.remove(&(host, remote));
        }
    }

    /// `host` booted and has no key.
    pub(super) fn on_boot(&mut self, host: HostId) {
        self.clients.remove(&host);
        self.servers.retain(|(other, _), _| *other != host);
        self.users.retain(|(other, _), _| *other != host);
    }

    /// The age of the key with which `host` seals for `remote`. `None` if the host reported no key.
    pub(super) fn age(&self, host: HostId, remote: SocketAddr, now: Instant) -> Option<Duration> {
        let since = self
            .clients
            .get(&host)
            .or_else(|| self.servers.get(&(host, remote)))?;
        Some(now.saturating_duration_since(*since))
    }
}
