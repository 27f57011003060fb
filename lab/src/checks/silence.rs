//! P14: a server sends a datagram to a stranger only as the answer to a fresh datagram of a protocol participant.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::time::Duration;

use sandhog_peer::Instant;

use crate::record::{HostId, RecordId};

/// A datagram of a stranger that arrived at a server.
#[derive(Clone, Copy, Debug)]
struct Arrival {
    host: HostId,
    from: SocketAddr,
    /// The fault that forbids an answer, if there is one.
    fault: Option<&'static str>,
    /// Time at which a participant made the datagram.
    made: Instant,
}

/// The datagrams of the participants, and those that strangers have sent to servers.
#[derive(Debug, Default)]
pub(super) struct Silence {
    /// Creation times of the datagrams of hosts, and of adversaries that speak the protocol, by fingerprint.
    made: BTreeMap<u64, Instant>,
    /// Fingerprints of the datagrams that have arrived at each server, also before its last boot.
    seen: BTreeSet<(HostId, u64)>,
    /// Arrivals from strangers in the present turns, by record.
    arrivals: BTreeMap<RecordId, Arrival>,
}

impl Silence {
    /// A participant has made a datagram, which may begin a login.
    pub(super) fn on_made(&mut self, fingerprint: u64, now: Instant) {
        self.made.entry(fingerprint).or_insert(now);
    }

    /// A datagram of a stranger arrived at the server `host`.
    pub(super) fn on_received(&mut self, record: RecordId, host: HostId, from: SocketAddr, fingerprint: u64) {
        let made = self.made.get(&fingerprint);
        let fault = match made {
            None => Some("to bytes that no participant has made"),
            Some(_) if !self.seen.insert((host, fingerprint)) => Some("to a copy of an earlier datagram"),
            Some(_) => None,
        };
        let made = made.copied().unwrap_or(Instant::ZERO);
        let arrival = Arrival {
            host,
            from,
            fault,
            made,
        };
        self.arrivals.insert(record, arrival);
    }

    /// The turn of `host` ended. Its jobs are done too, so it answers nothing that has arrived so far.
    pub(super) fn on_turn_end(&mut self, host: HostId) {
        self.arrivals.retain(|_, arrival| arrival.host != host);
    }

    /// The fault of a datagram to the stranger `remote`, if there is one. The datagram answers the arrival `cause`.
    pub(super) fn fault(
        &self,
        cause: RecordId,
        remote: SocketAddr,
        now: Instant,
        limit: Duration,
    ) -> Option<String> {
        let fault = match self.arrivals.get(&cause) {
            None => "although no datagram asked for it".into(),
            Some(arrival) if arrival.from != remote => format!("although {} asked for it", arrival.from),
            Some(Arrival {
                fault: Some(fault), ..
            }) => (*fault).into(),
            Some(Arrival { made, .. }) => {
                let age = now.saturating_duration_since(*made);
                if age <= limit {
                    return None;
                }
                format!("to a datagram that was {} s old", age.as_secs())
            }
        };
        Some(format!("the server answered the stranger {remote} {fault}"))
    }
}
