//! Properties that are looked at after every event of every run.
//!
//! P1 no inner plaintext and no password on the outer wire or in a log. P3 each inner packet is delivered unchanged
//! and only from an authenticated peer ("at most once" is not promised by the classic profile). P8 packets are
//! conserved: sent and duplicated = delivered + lost for a reason + in flight. P9 and P12 are judged at the end.

use std::collections::BTreeSet;

use memchr::memmem::Finder;

use crate::record::{HostId, RecordId};

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

/// All properties of one run.
#[derive(Debug)]
pub(crate) struct Checks {
    secrets: Vec<Finder<'static>>,
    plaintext: Property,
    delivery: Property,
    conservation: Property,
    inner_sent: BTreeSet<(u64, HostId)>,
    authenticated: BTreeSet<(HostId, HostId)>,
}

impl Checks {
    /// Checks that look for `secrets`.
    pub(crate) fn new(secrets: &[&[u8]]) -> Self {
        Self {
            secrets: secrets
                .iter()
                .map(|secret| Finder::new(secret).into_owned())
                .collect(),
            plaintext: Property::default(),
            delivery: Property::default(),
            conservation: Property::default(),
            inner_sent: BTreeSet::new(),
            authenticated: BTreeSet::new(),
        }
    }

    /// P1 for bytes that anyone may see: an outer datagram, or a line of a log.
    pub(crate) fn see_public_bytes(&mut self, record: RecordId, bytes: &[u8]) {
        let leak = self.secrets.iter().find_map(|secret| secret.find(bytes));
        self.plaintext.look(leak.is_none(), record, || {
            format!(
                "a secret stands in plain at byte {} of {}",
                leak.unwrap_or_default(),
                bytes.len()
            )
        });
    }

    /// An inner packet entered the tunnel at `host`.
    pub(crate) fn see_inner_out(&mut self, print: u64, host: HostId) {
        self.inner_sent.insert((print, host));
    }

    /// `host` has authenticated `remote`.
    pub(crate) fn see_authenticated(&mut self, host: HostId, remote: HostId) {
        self.authenticated.insert((host, remote));
    }

    /// P3: an inner packet left the tunnel at `host`, made from a datagram of `from`.
    pub(crate) fn see_inner_in(&mut self, record: RecordId, print: u64, host: HostId, from: Option<HostId>) {
        let detail = match from {
            None => Some("an inner packet came out that no datagram had brought"),
            Some(from) if !self.authenticated.contains(&(host, from)) => {
                Some("an inner packet came out of a datagram from a host that was not authenticated")
            }
            Some(from) if !self.inner_sent.contains(&(print, from)) => {
                Some("an inner packet came out that its sender had not put in, or it was changed on the way")
            }
            Some(_) => None,
        };
        self.delivery
            .look(detail.is_none(), record, || detail.unwrap_or_default().into());
    }

    /// P8 after anything happened on the outer network.
    pub(crate) fn see_conservation(&mut self, record: RecordId, counts: Conservation, in_flight: u64) {
        let Conservation {
            made,
            delivered,
            lost,
        } = counts;
        self.conservation
            .look(made == delivered + lost + in_flight, record, || {
                format!("{made} made, but {delivered} delivered + {lost} lost + {in_flight} in flight")
            });
    }

    /// P1, P3 and P8.
    pub(crate) fn results(&self) -> Vec<CheckResult> {
        vec![
            self.plaintext
                .result("P1 no plaintext outside", "datagrams and log lines searched"),
            self.delivery.result(
                "P3 inner packets unchanged and authenticated",
                "deliveries compared",
            ),
            self.conservation
                .result("P8 no datagram unaccounted for", "events balanced"),
        ]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn failed(checks: &Checks) -> Vec<String> {
        checks
            .results()
            .into_iter()
            .filter(|result| !result.passed)
            .map(|result| result.name)
            .collect()
    }

    #[test]
    fn a_canary_on_the_wire_is_found() {
        let mut checks = Checks::new(&[b"canary-canary-16"]);
        checks.see_public_bytes(1, b"nothing here");
        assert!(failed(&checks).is_empty());
        checks.see_public_bytes(2, b"...canary-canary-16...");
        assert_eq!(failed(&checks), ["P1 no plaintext outside"]);
    }

    #[test]
    fn a_packet_that_nobody_sent_is_found() {
        let mut checks = Checks::new(&[]);
        checks.see_authenticated(0, 1);
        checks.see_inner_out(42, 1);
        checks.see_inner_in(1, 42, 0, Some(1));
        assert!(failed(&checks).is_empty());
        checks.see_inner_in(2, 43, 0, Some(1));
        assert_eq!(failed(&checks), ["P3 inner packets unchanged and authenticated"]);
    }

    #[test]
    fn a_packet_from_a_host_that_never_logged_in_is_found() {
        let mut checks = Checks::new(&[]);
        checks.see_inner_out(42, 2);
        checks.see_inner_in(1, 42, 0, Some(2));
        assert_eq!(failed(&checks), ["P3 inner packets unchanged and authenticated"]);
    }

    #[test]
    fn a_vanished_datagram_is_found() {
        let mut checks = Checks::new(&[]);
        checks.see_conservation(
            1,
            Conservation {
                made: 3,
                delivered: 1,
                lost: 1,
            },
            1,
        );
        assert!(failed(&checks).is_empty());
        checks.see_conservation(
            2,
            Conservation {
                made: 3,
                delivered: 1,
                lost: 1,
            },
            0,
        );
        assert_eq!(failed(&checks), ["P8 no datagram unaccounted for"]);
    }
}
