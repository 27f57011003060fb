//! Properties that are looked at after every event of every run.
//!
//! P1 no inner plaintext and no password on the outer wire or in a log. P2 no nonce twice under one key. P3 each inner
//! packet is delivered unchanged, only from an authenticated peer, and where the protocol promises it at most once.
//! P4 no more bytes to an address that is not validated than it has earned. P5 a bound on state that no authenticated
//! peer stands behind. P6 a peer's address follows only fresh datagrams of authenticated hosts. P7 no key is used
//! beyond its age. P8 packets are conserved: sent and duplicated = delivered + lost for a reason + in flight. P11 inner
//! source addresses belong to the session. P9 and P12 are judged at the end, P10 by comparing two runs.
//!
//! Which of them a protocol is held to, and with which numbers, the setup's [`Rules`] say.

mod inner;
mod nonces;
mod outer;

use std::net::{IpAddr, SocketAddr};

use memchr::memmem::Finder;
use sandhog_peer::{Gauges, Instant};

use crate::record::{HostId, RecordId};
use crate::setup::{HostSpec, Rules};

/// Smallest length of a secret in bytes. A shorter one would be found in random bytes by chance.
pub const MIN_SECRET_LEN: usize = 6;

/// The result of one check.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CheckResult {
    /// Its name, beginning with its number (`P1 no plaintext outside`).
    pub name: String,
    /// Whether it held.
    pub passed: bool,
    /// What was looked at, or where it failed.
    pub detail: String,
}

/// The first record at which a property failed, and how.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Violation {
    record: RecordId,
    detail: String,
}

/// A property and how often it was looked at.
#[derive(Debug, Default)]
struct Property {
    looks: u64,
    violation: Option<Violation>,
}

impl Property {
    fn look(&mut self, holds: bool, record: RecordId, detail: impl FnOnce() -> String) {
        self.looks += 1;
        if !holds && self.violation.is_none() {
            self.violation = Some(Violation {
                record,
                detail: detail(),
            });
        }
    }

    fn result(&self, name: &str, what: &str) -> CheckResult {
        let detail = match &self.violation {
            None => format!("{} {what}", self.looks),
            Some(Violation { record, detail }) => format!("record {record}: {detail}"),
        };
        CheckResult {
            name: name.into(),
            passed: self.violation.is_none(),
            detail,
        }
    }
}

/// How many copies of datagrams were where.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Conservation {
    /// Datagrams sent, and duplicates made of them.
    pub(crate) made: u64,
    /// Delivered to a host.
    pub(crate) delivered: u64,
    /// Lost for a recorded reason.
    pub(crate) lost: u64,
}

/// What a host is to the checks.
#[derive(Clone, Copy, Debug)]
struct Role {
    /// It keeps to the protocol; only then is what it sends judged.
    honest: bool,
    /// It waits for others to begin, as a server does.
    waits: bool,
}

/// A datagram that a host sends.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Outgoing<'a> {
    pub(crate) record: RecordId,
    pub(crate) now: Instant,
    pub(crate) host: HostId,
    pub(crate) remote: SocketAddr,
    pub(crate) payload: &'a [u8],
    pub(crate) print: u64,
}

/// What was found of each property.
#[derive(Debug, Default)]
struct Found {
    plaintext: Property,
    nonce: Property,
    delivery: Property,
    amplification: Property,
    growth: Property,
    roaming: Property,
    key_age: Property,
    conservation: Property,
    inner_source: Property,
}

/// All properties of one run.
#[derive(Debug)]
pub(crate) struct Checks {
    rules: Rules,
    roles: Vec<Role>,
    secrets: Vec<Finder<'static>>,
    inner: inner::Inner,
    nonces: nonces::Nonces,
    balances: outer::Balances,
    arrivals: outer::Arrivals,
    keys: outer::Keys,
    found: Found,
}

impl Checks {
    /// Checks of `hosts` by `rules` that look for `secrets`.
    pub(crate) fn new(rules: &Rules, hosts: &[HostSpec], secrets: &[&[u8]]) -> Self {
        let role = |host: &HostSpec| Role {
            honest: !host.hostile,
            waits: host.script.is_none(),
        };
        let mut inner = inner::Inner::new(rules.at_most_once, rules.authenticates);
        for (id, host) in hosts.iter().enumerate() {
            let addresses = host.inner.iter().flat_map(|inner| &inner.addresses);
            inner.see_addresses(id as HostId, addresses.map(|(address, _)| *address).collect());
        }
        Self {
            rules: rules.clone(),
            roles: hosts.iter().map(role).collect(),
            secrets: secrets
                .iter()
                .map(|secret| Finder::new(secret).into_owned())
                .collect(),
            inner,
            nonces: nonces::Nonces::default(),
            balances: outer::Balances::default(),
            arrivals: outer::Arrivals::default(),
            keys: outer::Keys::default(),
            found: Found::default(),
        }
    }

    /// What is not in the setup keeps to nothing.
    fn role(&self, host: HostId) -> Role {
        let stranger = Role {
            honest: false,
            waits: false,
        };
        self.roles.get(usize::from(host)).copied().unwrap_or(stranger)
    }

    /// P1 for bytes that anyone may see: an outer datagram, or a line of a log.
    pub(crate) fn see_public_bytes(&mut self, record: RecordId, bytes: &[u8]) {
        if !self.rules.encrypts {
            return;
        }
        let leak = self.secrets.iter().find_map(|secret| secret.find(bytes));
        self.found.plaintext.look(leak.is_none(), record, || {
            format!(
                "a secret stands in plain at byte {} of {}",
                leak.unwrap_or_default(),
                bytes.len()
            )
        });
    }

    /// P1, P2, P4 and P7 for a datagram on its way out.
    pub(crate) fn see_sent(&mut self, sent: Outgoing<'_>) {
        self.see_public_bytes(sent.record, sent.payload);
        let role = self.role(sent.host);
        if !role.honest {
            return;
        }
        let nonce = self.rules.nonce_of.and_then(|nonce_of| nonce_of(sent.payload));
        if let Some(nonce) = &nonce {
            let used = self.nonces.see(nonce, sent.print).err();
            self.found
                .nonce
                .look(used.is_none(), sent.record, || used.unwrap_or_default().into());
        }
        if let Some(limit) = self.rules.key_age
            && nonce.is_some_and(|nonce| nonce.session)
            && let Some(age) = self.keys.age(sent.host, sent.remote, sent.now)
        {
            let age_in_words = || format!("a session datagram was sealed with a key of {} s", age.as_secs());
            self.found.key_age.look(age <= limit, sent.record, age_in_words);
        }
        if let Some(factor) = self.rules.amplification
            && role.waits
        {
            let len = sent.payload.len() as u64;
            let judged = self.balances.see_sent(sent.host, sent.remote, len, factor);
            if let Some(excess) = judged {
                self.found
                    .amplification
                    .look(excess.is_none(), sent.record, || excess.unwrap_or_default());
            }
        }
    }

    /// A datagram of `len` bytes arrives at `host`; `remote` is written on it as its source.
    pub(crate) fn see_received(
        &mut self,
        record: RecordId,
        host: HostId,
        remote: SocketAddr,
        len: u64,
        print: u64,
    ) {
        if self.rules.amplification.is_some() && self.role(host).waits {
            self.balances.see_received(host, remote, len);
        }
        if self.rules.fresh_roaming {
            self.arrivals.see(record, host, print);
        }
    }

    /// `host` starts afresh.
    pub(crate) fn see_boot(&mut self, host: HostId) {
        self.inner.see_boot(host);
        self.balances.see_boot(host);
        self.keys.see_boot(host);
    }

    /// `host` has authenticated `remote`.
    pub(crate) fn see_authenticated(&mut self, host: HostId, remote: HostId) {
        // What an adversary makes is never authentic, whatever a host may think of it.
        if self.role(remote).honest {
            self.inner.see_authenticated(host, remote);
        }
    }

    /// `host` has authenticated somebody who is at `remote`.
    pub(crate) fn see_validated(&mut self, host: HostId, remote: SocketAddr) {
        if self.rules.amplification.is_some() {
            self.balances.see_validated(host, remote);
        }
    }

    /// `host` seals with a new key: a server what goes to `remote`, a client everything.
    pub(crate) fn see_key(&mut self, host: HostId, remote: Option<SocketAddr>, now: Instant) {
        self.keys.see_new(host, remote, now);
    }

    /// The server `host` has let `login` in, who is at `remote`.
    pub(crate) fn see_session(&mut self, host: HostId, login: &str, remote: SocketAddr) {
        self.keys.see_session(host, login, remote);
    }

    /// The session of `login` at the server `host` is over.
    pub(crate) fn see_session_ended(&mut self, host: HostId, login: &str) {
        self.keys.see_session_ended(host, login);
    }

    /// The client `host` was given these inner addresses.
    pub(crate) fn see_addresses(&mut self, host: HostId, addresses: Vec<IpAddr>) {
        self.inner.see_addresses(host, addresses);
    }

    /// P6: a session of `host` stands elsewhere because of the datagram whose arrival is record `arrival`, which
    /// `from` had made.
    pub(crate) fn see_roamed(
        &mut self,
        record: RecordId,
        host: HostId,
        moved: [SocketAddr; 2],
        arrival: RecordId,
        from: Option<HostId>,
    ) {
        let fault = match from {
            None => Some("a session moved that no datagram had moved"),
            Some(from) if !self.inner.is_authenticated(host, from) => {
                Some("a datagram of somebody who is not authenticated moved a session")
            }
            Some(_) if self.arrivals.is_stale(arrival) => {
                Some("a copy of a datagram that had arrived before moved a session")
            }
            Some(_) => None,
        };
        if self.rules.fresh_roaming {
            self.found
                .roaming
                .look(fault.is_none(), record, || fault.unwrap_or_default().into());
        }
        let [old, new] = moved;
        self.keys.see_moved(host, old, new);
        self.see_validated(host, new);
    }

    /// P5 after a turn of `host`.
    pub(crate) fn see_gauges(&mut self, record: RecordId, host: HostId, gauges: Gauges) {
        let Some(bound) = self.rules.unauthenticated.filter(|_| self.role(host).honest) else {
            return;
        };
        let kept = gauges.unauthenticated;
        self.found.growth.look(kept <= bound, record, || {
            format!("{kept} entries of state for peers who are not authenticated, {bound} are allowed")
        });
    }

    /// An inner packet entered the tunnel at `host`.
    pub(crate) fn see_inner_out(&mut self, print: u64, host: HostId) {
        self.inner.see_out(print, host);
    }

    /// P3 and P11: an inner packet left the tunnel at `host`, made from a datagram of `from`.
    pub(crate) fn see_inner_in(
        &mut self,
        record: RecordId,
        packet: &[u8],
        print: u64,
        host: HostId,
        from: Option<HostId>,
    ) {
        if self.rules.delivers_unchanged {
            let fault = self.inner.fault(print, host, from);
            self.found
                .delivery
                .look(fault.is_none(), record, || fault.unwrap_or_default().into());
        }
        if let Some(from) = from.filter(|_| self.rules.inner_owner && self.role(host).waits) {
            let foreign = self.inner.foreign_source(packet, from);
            self.found
                .inner_source
                .look(foreign.is_none(), record, || foreign.unwrap_or_default());
        }
    }

    /// P8 after anything happened on the outer network.
    pub(crate) fn see_conservation(&mut self, record: RecordId, counts: Conservation, in_flight: u64) {
        let Conservation {
            made,
            delivered,
            lost,
        } = counts;
        self.found
            .conservation
            .look(made == delivered + lost + in_flight, record, || {
                format!("{made} made, but {delivered} delivered + {lost} lost + {in_flight} in flight")
            });
    }

    /// Those that the rules ask for, by number.
    pub(crate) fn results(&self) -> Vec<CheckResult> {
        let rules = &self.rules;
        let delivery = match (rules.at_most_once, rules.authenticates) {
            (true, true) => "P3 inner packets at most once, unchanged and authenticated",
            (false, true) => "P3 inner packets unchanged and authenticated",
            (true, false) => "P3 inner packets at most once and unchanged",
            (false, false) => "P3 inner packets unchanged",
        };
        let all = [
            (
                rules.encrypts,
                &self.found.plaintext,
                "P1 no plaintext outside",
                "datagrams and log lines searched",
            ),
            (
                rules.nonce_of.is_some(),
                &self.found.nonce,
                "P2 no nonce twice under a key",
                "nonces compared",
            ),
            (
                rules.delivers_unchanged,
                &self.found.delivery,
                delivery,
                "deliveries compared",
            ),
            (
                rules.amplification.is_some(),
                &self.found.amplification,
                "P4 no amplification",
                "datagrams to addresses that were not validated",
            ),
            (
                rules.unauthenticated.is_some(),
                &self.found.growth,
                "P5 bounded state for strangers",
                "turns measured",
            ),
            (
                rules.fresh_roaming,
                &self.found.roaming,
                "P6 only fresh datagrams move a session",
                "moves looked at",
            ),
            (
                rules.key_age.is_some(),
                &self.found.key_age,
                "P7 no key beyond its age",
                "session datagrams looked at",
            ),
            (
                true,
                &self.found.conservation,
                "P8 no datagram unaccounted for",
                "events balanced",
            ),
            (
                rules.inner_owner,
                &self.found.inner_source,
                "P11 inner sources belong to the session",
                "deliveries looked at",
            ),
        ];
        all.into_iter()
            .filter(|(asked, ..)| *asked)
            .map(|(_, property, name, what)| property.result(name, what))
            .collect()
    }
}

#[cfg(test)]
mod tests;
