//! Sending of datagrams: their records, their fates, and the copies in flight.

use sandhog_peer::Datagram;

use super::World;
use crate::adversary::Captured;
use crate::checks::Outgoing;
use crate::link::{Copy, Fate, LossReason};
use crate::net::{Flight, Sending};
use crate::record::{HostId, RecordId, RecordKind};
use crate::trace::fingerprint;

impl World {
    /// Sends a datagram of a host.
    pub(crate) fn send(&mut self, host: HostId, cause: RecordId, datagram: Datagram) {
        let Datagram {
            remote,
            kind,
            payload,
        } = datagram;
        let sending = self.net.decide(self.now, host, remote, kind, &payload);
        let fingerprint = fingerprint(&payload);
        let sent = self.record_sent(host, cause, &sending, kind, fingerprint, &payload);
        self.checks.on_sent(Outgoing {
            record: sent,
            now: self.now,
            cause,
            host,
            remote,
            payload: &payload,
            fingerprint,
        });
        self.steer_hosts(&sending.host_faults);
        let flight = Flight {
            record: 0,
            sent,
            sent_at: self.now,
            twin: false,
            twin_delivered: false,
            origin: host,
            from: self.hosts[usize::from(host)].address,
            to: remote,
            kind,
            fingerprint,
            payload,
        };
        match self.captured_by_adversaries(host, sent, &sending, &flight) {
            Some(seen) => {
                let (alterations, intercepted) = self.alterations(&seen, sending.fate);
                let replaced = self.adversaries.in_place_of(host, seen.target);
                match (intercepted, replaced) {
                    (true, _) => self.intercept(&seen, &sending),
                    (false, None) => self.launch_in_order(host, sent, sending.clone(), flight),
                    (false, Some(agent)) => {
                        let target = Some(self.adversary_id(agent));
                        let diverted = Sending {
                            target,
                            ..sending.clone()
                        };
                        self.launch(host, sent, &diverted, flight);
                    }
                }
                self.adversaries_react(&seen, &sending, alterations);
            }
            None => self.launch_in_order(host, sent, sending, flight),
        }
        self.checks
            .on_conservation(sent, self.net.counts, self.net.in_flight());
    }

    /// Records and counts a datagram that a host or an adversary sends.
    pub(super) fn record_sent(
        &mut self,
        sender: HostId,
        cause: RecordId,
        sending: &Sending,
        kind: &'static str,
        fingerprint: u64,
        payload: &[u8],
    ) -> RecordId {
        let record = RecordKind::Sent {
            to: sending.target,
            kind,
            nth: sending.nth,
            len: payload.len() as u64,
            fingerprint,
        };
        self.net.counts.made += 1;
        self.trace
            .add_packet(self.now, Some(sender), cause, record, payload)
    }

    /// The datagram as an on-path adversary sees it. `None` if no adversary is on the path.
    fn captured_by_adversaries(
        &self,
        sender: HostId,
        record: RecordId,
        sending: &Sending,
        flight: &Flight,
    ) -> Option<Captured> {
        let target = sending.target?;
        let seen = !self.adversaries.observers(sender, target).is_empty();
        seen.then(|| Captured {
            record,
            sender,
            target,
            nth: sending.nth,
            kind: flight.kind,
            from: flight.from,
            to: flight.to,
            payload: flight.payload.clone(),
        })
    }

    /// Puts the copies of a datagram in flight, or records its loss.
    pub(crate) fn launch(&mut self, source: HostId, sent: RecordId, sending: &Sending, flight: Flight) {
        match (sending.fate, sending.target) {
            (Fate::Copies([first, second]), Some(target)) => {
                self.net.counts.made += u64::from(second.is_some());
                let flight = Flight {
                    twin: second.is_some(),
                    ..flight
                };
                let second = second.map(|copy| (1, copy, flight.clone()));
                let first = first.map(|copy| (0, copy, flight));
                for (number, copy, flight) in first.into_iter().chain(second) {
                    match copy {
                        Ok(copy) => self.launch_copy(source, target, sent, (number, copy), flight),
                        Err(reason) => self.record_loss(Some(source), Some(target), sent, reason),
                    }
                }
            }
            (Fate::Lost(reason), target) => self.record_loss(Some(source), target, sent, reason),
            (Fate::Copies(_), None) => self.record_loss(Some(source), None, sent, LossReason::NoHost),
        }
    }

    fn launch_copy(
        &mut self,
        source: HostId,
        target: HostId,
        sent: RecordId,
        (number, copy): (u64, Copy),
        mut flight: Flight,
    ) {
        let due = self.net.arrival(self.now, copy.after);
        let corrupted = copy.flipped_bit.is_some();
        let kind = RecordKind::Flight {
            to: target,
            due,
            copy: number,
            corrupted,
        };
        flight.record = self.trace.add(self.now, Some(source), sent, kind);
        let key = self.net.launch(due, source, target, copy, flight);
        self.launched.push(key);
    }
}
