//! P4, P6 and P7: how a host treats the addresses on the outer network, and how long it uses a key.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::time::Duration;

use sandhog_peer::Instant;

use crate::record::{HostId, RecordId};

/// What went between a host and an address before the host knew who is there.
#[derive(Debug, Default)]
struct Balance {
    received: u64,
    sent: u64,
    validated: bool,
}

/// P4: how much a host that waits for others has sent to addresses that anybody may have written on a datagram.
#[derive(Debug, Default)]
pub(super) struct Balances(BTreeMap<(HostId, SocketAddr), Balance>);

impl Balances {
    pub(super) fn see_received(&mut self, host: HostId, remote: SocketAddr, len: u64) {
        self.0.entry((host, remote)).or_default().received += len;
    }

    /// `host` knows who is at `remote`.
    pub(super) fn see_validated(&mut self, host: HostId, remote: SocketAddr) {
        self.0.entry((host, remote)).or_default().validated = true;
    }

    /// `host` starts afresh and knows nobody.
    pub(super) fn see_boot(&mut self, host: HostId) {
        self.0.retain(|(other, _), _| *other != host);
    }

    /// What is wrong with sending `len` more bytes to `remote`, where `factor` times the received ones are allowed.
    /// The inner `None`: nothing; the outer: the address is a validated one, which is not looked at.
    pub(super) fn see_sent(
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
        let too_much = sent > received.saturating_mul(factor);
        Some(too_much.then(|| {
            format!("{sent} bytes were sent to {remote}, which is not validated and had sent {received}")
        }))
    }
}

/// P6: which datagrams a host has had before.
#[derive(Debug, Default)]
pub(super) struct Arrivals {
    /// By host, the prints of what was delivered to it.
    prints: BTreeSet<(HostId, u64)>,
    /// The arrivals of bytes that had arrived before.
    stale: BTreeSet<RecordId>,
}

impl Arrivals {
    pub(super) fn see(&mut self, record: RecordId, host: HostId, print: u64) {
        if !self.prints.insert((host, print)) {
            self.stale.insert(record);
        }
    }

    pub(super) fn is_stale(&self, record: RecordId) -> bool {
        self.stale.contains(&record)
    }
}

/// P7: since when a host has had the key that it seals with.
#[derive(Debug, Default)]
pub(super) struct Keys {
    /// A client has one.
    clients: BTreeMap<HostId, Instant>,
    /// A server has one for each session, which stands at an address.
    servers: BTreeMap<(HostId, SocketAddr), Instant>,
    /// Where the last session of a server's user stands.
    users: BTreeMap<(HostId, String), SocketAddr>,
}

impl Keys {
    /// `host` seals with a new key from `now` on: a server what goes to `remote`, a client everything.
    pub(super) fn see_new(&mut self, host: HostId, remote: Option<SocketAddr>, now: Instant) {
        match remote {
            Some(remote) => self.servers.insert((host, remote), now),
            None => self.clients.insert(host, now),
        };
    }

    /// A session of the server `host` stands elsewhere; its key is as old as before.
    pub(super) fn see_moved(&mut self, host: HostId, from: SocketAddr, to: SocketAddr) {
        if let Some(since) = self.servers.remove(&(host, from)) {
            self.servers.insert((host, to), since);
        }
        for ((other, _), at) in &mut self.users {
            if (*other, *at) == (host, from) {
                *at = to;
            }
        }
    }

    /// The server `host` has let a user in, who is at `remote`.
    pub(super) fn see_session(&mut self, host: HostId, login: &str, remote: SocketAddr) {
        self.users.insert((host, login.to_owned()), remote);
    }

    /// The session of that user is over, and its key with it. The next one tells of its own only after it has sent.
    pub(super) fn see_session_ended(&mut self, host: HostId, login: &str) {
        if let Some(remote) = self.users.remove(&(host, login.to_owned())) {
            self.servers.remove(&(host, remote));
        }
    }

    /// `host` starts afresh, with no key.
    pub(super) fn see_boot(&mut self, host: HostId) {
        self.clients.remove(&host);
        self.servers.retain(|(other, _), _| *other != host);
        self.users.retain(|(other, _), _| *other != host);
    }

    /// How old the key is with which `host` seals for `remote`; `None` if it never told of one.
    pub(super) fn age(&self, host: HostId, remote: SocketAddr, now: Instant) -> Option<Duration> {
        let since = self
            .clients
            .get(&host)
            .or_else(|| self.servers.get(&(host, remote)))?;
        Some(now.saturating_duration_since(*since))
    }
}
