//! Checks P1 to P8, P11, P13 and P14, which run after every event of every run.
//!
//! - P1: no plaintext and no secret appears in an outer datagram or in a text of the trace.
//! - P2: no nonce is reused under a key.
//! - P3: inner packets are delivered unchanged, only from authenticated hosts, and at most once if the protocol promises that.
//! - P4: a server sends only a limited number of bytes to an unvalidated address.
//! - P5: the state for unauthenticated peers is bounded.
//! - P6: a session moves only after a fresh datagram of an authenticated host.
//! - P7: no key is used longer than its limit.
//! - P8: every datagram is accounted for: sent + duplicated = delivered + lost with a reason + in flight.
//! - P11: the source address of an inner packet belongs to its sender.
//! - P13: an account changes only in a session that the server has accepted.
//! - P14: a server answers a stranger only if the stranger's datagram is fresh and a participant has made it.
//!
//! The [`Rules`] of the setup switch each of them on or off and set the limits, except P8, which always runs. P9 follows
//! at the end of a run. P10 and P12 compare two runs ([`compare`](crate::compare)).

mod accounts;
mod inner;
mod nonces;
mod outer;
mod secrets;
mod silence;

use std::net::{IpAddr, SocketAddr};

use sandhog_peer::{Gauges, Instant};

use crate::record::{HostId, RecordId};
use crate::setup::{HostSpec, Rules};

/// The result of one check.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CheckResult {
    /// The name. For a property it begins with its number, such as `P1 no plaintext in outer datagrams`.
    pub name: String,
    /// True if the run does not violate the property.
    pub passed: bool,
    /// False if the run had nothing to examine. Then `detail` is the reason.
    pub tested: bool,
    /// The amount of checked data, the reason why there was none, or the reason and the record of the failure.
    pub detail: String,
}

/// The first violation of a property.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Violation {
    record: RecordId,
    detail: String,
}

/// A property, the number of its checks, and its first violation.
#[derive(Debug, Default)]
struct Property {
    count: u64,
    violation: Option<Violation>,
}

impl Property {
    fn check(&mut self, holds: bool, record: RecordId, detail: impl FnOnce() -> String) {
        self.count += 1;
        if !holds && self.violation.is_none() {
            self.violation = Some(Violation {
                record,
                detail: detail(),
            });
        }
    }

    /// The result. `objects` names the checked things in the plural.
    fn result(&self, name: &str, objects: &str) -> CheckResult {
        let detail = match (&self.violation, self.count) {
            (None, 0) => format!("nothing to examine, no {objects}"),
            (None, count) => format!("{count} {objects} checked"),
            (Some(Violation { record, detail }), _) => format!("record {record}: {detail}"),
        };
        CheckResult {
            name: name.into(),
            passed: self.violation.is_none(),
            tested: self.count > 0,
            detail,
        }
    }
}

/// Numbers of copies of datagrams, for P8.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Conservation {
    /// Sent datagrams and their duplicates.
    pub(crate) made: u64,
    /// Copies delivered to a host or an adversary.
    pub(crate) delivered: u64,
    /// Copies lost for a recorded reason.
    pub(crate) lost: u64,
}

/// Role of a host in the checks.
#[derive(Clone, Copy, Debug)]
struct Role {
    /// True if the host follows the protocol. The datagrams of other hosts are not checked.
    honest: bool,
    /// True for a server, which waits for clients.
    server: bool,
}

/// A datagram that a host sends.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Outgoing<'a> {
    pub(crate) record: RecordId,
    pub(crate) now: Instant,
    /// The record of the arrival that it answers, or of a timer.
    pub(crate) cause: RecordId,
    pub(crate) host: HostId,
    pub(crate) remote: SocketAddr,
    pub(crate) payload: &'a [u8],
    pub(crate) fingerprint: u64,
}

/// State of each property.
#[derive(Debug, Default)]
struct Properties {
    plaintext: Property,
    nonce: Property,
    delivery: Property,
    amplification: Property,
    growth: Property,
    roaming: Property,
    key_age: Property,
    conservation: Property,
    inner_source: Property,
    account: Property,
    silence: Property,
}

/// A property in the results: true if the rules switch it on, its name, and the objects that it counts.
type Row<'a> = (bool, &'a Property, &'static str, &'static str);

/// All checks of one run.
#[derive(Debug)]
pub(crate) struct Checks {
    rules: Rules,
    roles: Vec<Role>,
    secrets: secrets::Secrets,
    inner: inner::Inner,
    nonces: nonces::Nonces,
    balances: outer::Balances,
    arrivals: outer::Arrivals,
    /// The moves of sessions in the present turn.
    moves: Vec<outer::Move>,
    keys: outer::Keys,
    accounts: accounts::Accounts,
    silence: silence::Silence,
    /// Sessions that ended in this turn. Their last datagrams follow.
    ended: Vec<(HostId, String)>,
    properties: Properties,
}

impl Checks {
    /// The checks of `hosts` by `rules`. P1 searches for `secrets`.
    pub(crate) fn new(rules: &Rules, hosts: &[HostSpec], secrets: &[&[u8]]) -> Self {
        let role = |host: &HostSpec| Role {
            honest: !host.hostile,
            server: host.script.is_none(),
        };
        let mut inner = inner::Inner::new(rules.at_most_once, rules.authenticates);
        for (id, host) in hosts.iter().enumerate() {
            let addresses = host.inner.iter().flat_map(|inner| &inner.addresses);
            inner.on_addresses(id as HostId, addresses.map(|(address, _)| *address).collect());
        }
        Self {
            rules: rules.clone(),
            roles: hosts.iter().map(role).collect(),
            secrets: secrets::Secrets::new(secrets),
            inner,
            nonces: nonces::Nonces::default(),
            balances: outer::Balances::default(),
            arrivals: outer::Arrivals::default(),
            moves: Vec::new(),
            keys: outer::Keys::default(),
            accounts: accounts::Accounts::default(),
            silence: silence::Silence::default(),
            ended: Vec::new(),
            properties: Properties::default(),
        }
    }

    /// The role of a host. An adversary is not honest.
    fn role(&self, host: HostId) -> Role {
        let adversary = Role {
            honest: false,
            server: false,
        };
        self.roles.get(usize::from(host)).copied().unwrap_or(adversary)
    }

    /// P1 for public bytes: an outer datagram, or a text of the trace.
    pub(crate) fn on_public_bytes(&mut self, record: RecordId, bytes: &[u8]) {
        if !self.rules.encrypts {
            return;
        }
        let leak = self.secrets.find(bytes);
        self.properties.plaintext.check(leak.is_none(), record, || {
            format!(
                "a secret appears in plain text at byte {} of {}",
                leak.unwrap_or_default(),
                bytes.len()
            )
        });
    }

    /// P1, P2, P4, P7 and P14 for a datagram that a host sends.
    pub(crate) fn on_sent(&mut self, sent: Outgoing<'_>) {
        self.on_public_bytes(sent.record, sent.payload);
        let role = self.role(sent.host);
        if !role.honest {
            return;
        }
        let nonce = self.rules.nonce_of.and_then(|nonce_of| nonce_of(sent.payload));
        if let Some(nonce) = &nonce {
            let reused = self.nonces.add(nonce, sent.fingerprint).err();
            self.properties.nonce.check(reused.is_none(), sent.record, || {
                reused.unwrap_or_default().into()
            });
        }
        if let Some(limit) = self.rules.key_age
            && nonce.is_some_and(|nonce| nonce.session)
            && let Some(age) = self.keys.age(sent.host, sent.remote, sent.now)
        {
            let detail = || {
                format!(
                    "a session datagram was sealed with a key that is {} s old",
                    age.as_secs()
                )
            };
            self.properties.key_age.check(age <= limit, sent.record, detail);
        }
        self.check_silence(&sent, role, nonce.is_some_and(|nonce| nonce.session));
        if let Some(factor) = self.rules.amplification
            && role.server
        {
            let len = sent.payload.len() as u64;
            if let Some(excess) = self.balances.on_sent(sent.host, sent.remote, len, factor) {
                self.properties
                    .amplification
                    .check(excess.is_none(), sent.record, || excess.unwrap_or_default());
            }
        }
    }

    /// P14 for a datagram of an honest host. A datagram of a session begins no login.
    fn check_silence(&mut self, sent: &Outgoing<'_>, role: Role, of_session: bool) {
        let Some(limit) = self.rules.first_message_age else {
            return;
        };
        if !role.server {
            if !of_session {
                self.silence.on_made(sent.fingerprint, sent.now);
            }
        } else if !self.accounts.knows(sent.host, sent.remote) {
            let fault = self.silence.fault(sent.cause, sent.remote, sent.now, limit);
            self.properties
                .silence
                .check(fault.is_none(), sent.record, || fault.unwrap_or_default());
        }
    }

    /// An adversary that speaks the protocol has made a datagram.
    pub(crate) fn on_spoken(&mut self, fingerprint: u64, now: Instant) {
        if self.rules.first_message_age.is_some() {
            self.silence.on_made(fingerprint, now);
        }
    }

    /// A datagram of `len` bytes with the source address `remote` arrived at `host`.
    pub(crate) fn on_received(
        &mut self,
        record: RecordId,
        host: HostId,
        remote: SocketAddr,
        len: u64,
        fingerprint: u64,
    ) {
        let is_server = self.role(host).server;
        if self.rules.amplification.is_some() && is_server {
            self.balances.on_received(host, remote, len);
        }
        if self.rules.first_message_age.is_some() && is_server && !self.accounts.knows(host, remote) {
            self.silence.on_received(record, host, remote, fingerprint);
        }
        if self.rules.fresh_roaming {
            self.arrivals.add(record, host, fingerprint);
        }
    }

    /// `host` booted.
    pub(crate) fn on_boot(&mut self, host: HostId) {
        self.inner.on_boot(host);
        self.balances.on_boot(host);
        self.keys.on_boot(host);
        self.accounts.on_boot(host);
    }

    /// `host` has authenticated `remote`.
    pub(crate) fn on_authenticated(&mut self, host: HostId, remote: HostId) {
        // Datagrams of an adversary are never authentic, even if a host accepts them.
        if self.role(remote).honest {
            self.inner.on_authenticated(host, remote);
        }
    }

    /// `host` has validated the address `remote`.
    pub(crate) fn on_validated(&mut self, host: HostId, remote: SocketAddr) {
        if self.rules.amplification.is_some() {
            self.balances.on_validated(host, remote);
        }
    }

    /// `host` seals with a new key: a server for `remote`, a client for all datagrams.
    pub(crate) fn on_new_key(&mut self, host: HostId, remote: Option<SocketAddr>, now: Instant) {
        self.keys.on_new_key(host, remote, now);
    }

    /// The server `host` has accepted the user `login` at `remote`.
    pub(crate) fn on_session(&mut self, host: HostId, login: &str, remote: SocketAddr) {
        self.keys.on_session(host, login, remote);
        self.accounts.on_session(host, login, remote);
    }

    /// The session of `login` at the server `host` ended.
    pub(crate) fn on_session_ended(&mut self, host: HostId, login: &str) {
        self.keys.on_session_ended(host, login);
        self.ended.push((host, login.to_owned()));
    }

    /// P13: the server `host` changed the account `login`. A datagram from `remote` asked for it.
    pub(crate) fn on_account_changed(
        &mut self,
        record: RecordId,
        host: HostId,
        login: &str,
        remote: Option<SocketAddr>,
    ) {
        if self.rules.accepted_changes && self.role(host).honest {
            let fault = self.accounts.fault(host, login, remote);
            self.properties
                .account
                .check(fault.is_none(), record, || fault.unwrap_or_default().into());
        }
    }

    /// The client `host` received these inner addresses.
    pub(crate) fn on_addresses(&mut self, host: HostId, addresses: Vec<IpAddr>) {
        self.inner.on_addresses(host, addresses);
    }

    /// P6: a session of `host` moved. The datagram that caused the move arrived with record `arrival`, and `from` had created
    /// it. The move is judged at the end of the turn, because the peer may report the login after the move.
    pub(crate) fn on_roamed(
        &mut self,
        record: RecordId,
        host: HostId,
        moved: [SocketAddr; 2],
        arrival: RecordId,
        from: Option<HostId>,
    ) {
        if self.rules.fresh_roaming {
            self.moves.push(outer::Move {
                record,
                arrival,
                from,
            });
        }
        let [old, new] = moved;
        self.keys.on_moved(host, old, new);
        self.accounts.on_moved(host, old, new);
        self.on_validated(host, new);
    }

    /// P5 and P6 at the end of a turn of `host`.
    pub(crate) fn on_turn_end(&mut self, record: RecordId, host: HostId, gauges: Gauges) {
        for (host, login) in std::mem::take(&mut self.ended) {
            self.accounts.on_session_ended(host, &login);
        }
        self.silence.on_turn_end(host);
        self.check_moves(host);
        self.check_gauges(record, host, gauges);
    }

    /// P6: judges the moves of this turn.
    fn check_moves(&mut self, host: HostId) {
        for moved in std::mem::take(&mut self.moves) {
            let fault = match moved.from {
                None => Some("a session moved without a datagram"),
                Some(from) if !self.inner.is_authenticated(host, from) => {
                    Some("a datagram of an unauthenticated host moved a session")
                }
                Some(_) if self.arrivals.is_stale(moved.arrival) => {
                    Some("a copy of an earlier datagram moved a session")
                }
                Some(_) => None,
            };
            self.properties
                .roaming
                .check(fault.is_none(), moved.record, || fault.unwrap_or_default().into());
        }
    }

    /// P5: the state for unauthenticated peers.
    fn check_gauges(&mut self, record: RecordId, host: HostId, gauges: Gauges) {
        let Some(bound) = self.rules.unauthenticated.filter(|_| self.role(host).honest) else {
            return;
        };
        let entries = gauges.unauthenticated;
        self.properties.growth.check(entries <= bound, record, || {
            format!("{entries} entries of state for unauthenticated peers; the limit is {bound}")
        });
    }

    /// An inner packet entered the tunnel at `host`.
    pub(crate) fn on_inner_out(&mut self, fingerprint: u64, host: HostId) {
        self.inner.on_out(fingerprint, host);
    }

    /// P3 and P11: an inner packet left the tunnel at `host`. A datagram of `from` carried it.
    pub(crate) fn on_inner_in(
        &mut self,
        record: RecordId,
        packet: &[u8],
        fingerprint: u64,
        host: HostId,
        from: Option<HostId>,
    ) {
        if self.rules.delivers_unchanged {
            let fault = self.inner.fault(fingerprint, host, from);
            self.properties
                .delivery
                .check(fault.is_none(), record, || fault.unwrap_or_default().into());
        }
        if let Some(from) = from.filter(|_| self.rules.inner_owner && self.role(host).server) {
            let foreign = self.inner.foreign_source(packet, from);
            self.properties
                .inner_source
                .check(foreign.is_none(), record, || foreign.unwrap_or_default());
        }
    }

    /// P8 after an event of the outer network.
    pub(crate) fn on_conservation(&mut self, record: RecordId, counts: Conservation, in_flight: u64) {
        let Conservation {
            made,
            delivered,
            lost,
        } = counts;
        self.properties
            .conservation
            .check(made == delivered + lost + in_flight, record, || {
                format!("{made} sent, but {delivered} delivered + {lost} lost + {in_flight} in flight")
            });
    }

    /// The number of violated properties.
    pub(crate) fn violations(&self) -> u64 {
        self.enabled()
            .filter(|(property, ..)| property.violation.is_some())
            .count() as u64
    }

    /// The name of P3, with the promises of the protocol.
    const fn delivery_name(&self) -> &'static str {
        match (self.rules.at_most_once, self.rules.authenticates) {
            (true, true) => "P3 inner packets unchanged, authenticated, at most once",
            (false, true) => "P3 inner packets unchanged, authenticated",
            (true, false) => "P3 inner packets unchanged, at most once",
            (false, false) => "P3 inner packets unchanged",
        }
    }

    /// The results of the checks that the rules switch on, by number.
    pub(crate) fn results(&self) -> Vec<CheckResult> {
        self.enabled()
            .map(|(property, name, objects)| property.result(name, objects))
            .collect()
    }

    /// The properties that the rules switch on, each with its name and the objects that it counts.
    fn enabled(&self) -> impl Iterator<Item = (&Property, &'static str, &'static str)> {
        let all = self.of_datagrams().into_iter().chain(self.of_sessions());
        all.filter(|(is_enabled, ..)| *is_enabled)
            .map(|(_, property, name, objects)| (property, name, objects))
    }

    /// The properties P1 to P5.
    fn of_datagrams(&self) -> [Row<'_>; 5] {
        let rules = &self.rules;
        [
            (
                rules.encrypts,
                &self.properties.plaintext,
                "P1 no plaintext in outer datagrams",
                "datagrams and texts",
            ),
            (
                rules.nonce_of.is_some(),
                &self.properties.nonce,
                "P2 no nonce reused under a key",
                "nonces",
            ),
            (
                rules.delivers_unchanged,
                &self.properties.delivery,
                self.delivery_name(),
                "deliveries",
            ),
            (
                rules.amplification.is_some(),
                &self.properties.amplification,
                "P4 no amplification",
                "datagrams to unvalidated addresses",
            ),
            (
                rules.unauthenticated.is_some(),
                &self.properties.growth,
                "P5 bounded state for unauthenticated peers",
                "turns",
            ),
        ]
    }

    /// The properties P6 and later.
    fn of_sessions(&self) -> [Row<'_>; 6] {
        let rules = &self.rules;
        [
            (
                rules.fresh_roaming,
                &self.properties.roaming,
                "P6 sessions move only after fresh datagrams",
                "session moves",
            ),
            (
                rules.key_age.is_some(),
                &self.properties.key_age,
                "P7 no key older than its limit",
                "session datagrams",
            ),
            (
                true,
                &self.properties.conservation,
                "P8 every datagram accounted for",
                "network events",
            ),
            (
                rules.inner_owner,
                &self.properties.inner_source,
                "P11 inner source addresses belong to the sender",
                "deliveries",
            ),
            (
                rules.accepted_changes,
                &self.properties.account,
                "P13 accounts change only in accepted sessions",
                "account changes",
            ),
            (
                rules.first_message_age.is_some(),
                &self.properties.silence,
                "P14 strangers get answers only to fresh messages",
                "datagrams to strangers",
            ),
        ]
    }
}

#[cfg(test)]
mod tests;
