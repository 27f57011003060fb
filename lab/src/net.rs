//! The outer network: who has which address, the link directions between hosts, and what is on its way.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::Duration;

use sandhog_peer::{Instant, PacketBuf};

use crate::checks::Conservation;
use crate::link::{Copy, Fate, LinkConfig, LinkDirection, LossReason};
use crate::record::{HostId, RecordId};
use crate::setup::Setup;
use crate::trace::fingerprint;

/// The place of a copy in the one order in which everything arrives: time, receiver, sender, link sequence.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct FlightKey {
    /// When it arrives.
    pub(crate) due: Instant,
    /// Who receives it.
    pub(crate) target: HostId,
    /// Who sent it.
    pub(crate) source: HostId,
    /// The how-manieth copy on this link direction.
    pub(crate) sequence: u64,
}

/// A copy of a datagram on its way.
#[derive(Clone, Debug)]
pub(crate) struct Flight {
    /// The `Flight` record.
    pub(crate) record: RecordId,
    /// Who made the bytes; not always who sent them.
    pub(crate) origin: HostId,
    /// The source address that is written on it.
    pub(crate) from: SocketAddr,
    /// The address that it is sent to.
    pub(crate) to: SocketAddr,
    /// What its sender meant.
    pub(crate) kind: &'static str,
    /// The first 8 bytes of the payload's SHA-256.
    pub(crate) print: u64,
    /// UDP payload. Empty while turmoil carries it.
    pub(crate) payload: PacketBuf,
}

/// A link direction and the number of copies it has carried.
#[derive(Debug)]
struct Direction {
    link: LinkDirection,
    sequence: u64,
}

/// The outer network of one run.
#[derive(Debug)]
pub(crate) struct Net {
    seed: u64,
    resolution: Duration,
    addresses: BTreeMap<SocketAddr, HostId>,
    directions: BTreeMap<(HostId, HostId), Direction>,
    in_flight: BTreeMap<FlightKey, Flight>,
    pub(crate) counts: Conservation,
}

/// What the network made of a datagram, for the trace to tell.
#[derive(Debug)]
pub(crate) struct Sending {
    /// To whom; `None` if nobody has the address.
    pub(crate) target: Option<HostId>,
    /// Which one of its kind on this direction, from 1.
    pub(crate) nth: u64,
    /// Its fate.
    pub(crate) fate: Fate,
}

impl Net {
    pub(crate) fn new(setup: &Setup, seed: u64) -> Self {
        let mut net = Self {
            seed,
            resolution: setup.resolution,
            addresses: BTreeMap::new(),
            directions: BTreeMap::new(),
            in_flight: BTreeMap::new(),
            counts: Conservation::default(),
        };
        for (id, host) in setup.hosts.iter().enumerate() {
            net.addresses.insert(host.address, id as HostId);
        }
        for (id, adversary) in (setup.hosts.len()..).zip(&setup.adversaries) {
            net.addresses.insert(adversary.address, id as HostId);
        }
        for (source, target, config) in &setup.links {
            net.directions.insert(
                (*source, *target),
                Direction::new(config.clone(), seed, *source, *target),
            );
        }
        net
    }

    /// Who has `address`.
    pub(crate) fn host_at(&self, address: SocketAddr) -> Option<HostId> {
        self.addresses.get(&address).copied()
    }

    /// Gives `host`, who had the address `from`, another one. Whoever had that has none any more.
    pub(crate) fn rebind(&mut self, host: HostId, from: SocketAddr, to: SocketAddr) {
        self.addresses.remove(&from);
        self.addresses.insert(to, host);
    }

    /// Decides the fate of a datagram. Copies set out with [`launch`](Self::launch).
    pub(crate) fn decide(
        &mut self,
        now: Instant,
        source: HostId,
        remote: SocketAddr,
        kind: &'static str,
        payload: &[u8],
    ) -> Sending {
        let Some(target) = self.host_at(remote) else {
            return Sending {
                target: None,
                nth: 0,
                fate: Fate::Lost(LossReason::NoHost),
            };
        };
        let payload_len = payload.len() as u64;
        // UDP header 8; IP header 20 (RFC 791) or 40 (RFC 8200).
        let ip_len = payload_len + if remote.is_ipv4() { 28 } else { 48 };
        let (nth, fate) = self
            .direction(source, target)
            .link
            .decide(now, kind, ip_len, payload_len);
        Sending {
            target: Some(target),
            nth,
            fate,
        }
    }

    /// When a copy arrives that takes `after`: on the grid, rounded up, and at least one step away.
    pub(crate) fn arrival(&self, now: Instant, after: Duration) -> Instant {
        round_up(now + after, self.resolution).max(now + self.resolution)
    }

    /// Sends a copy on its way and tells its place.
    pub(crate) fn launch(
        &mut self,
        due: Instant,
        source: HostId,
        target: HostId,
        copy: Copy,
        mut flight: Flight,
    ) -> FlightKey {
        if let Some(bit) = copy.flipped_bit {
            let byte = usize::try_from(bit / 8)
                .ok()
                .and_then(|index| flight.payload.get_mut(index));
            if let Some(byte) = byte {
                *byte ^= 0x80 >> (bit % 8);
            }
            flight.print = fingerprint(&flight.payload);
        }
        let direction = self.direction(source, target);
        direction.sequence += 1;
        let key = FlightKey {
            due,
            target,
            source,
            sequence: direction.sequence,
        };
        self.in_flight.insert(key, flight);
        key
    }

    /// When the next copy arrives.
    pub(crate) fn next_due(&self) -> Option<Instant> {
        self.in_flight.first_key_value().map(|(key, _)| key.due)
    }

    /// The number of copies on their way.
    pub(crate) fn in_flight(&self) -> u64 {
        self.in_flight.len() as u64
    }

    /// Takes the next copy that is due for `target` at `now`.
    pub(crate) fn take_due(&mut self, now: Instant, target: HostId) -> Option<(FlightKey, Flight)> {
        let first = FlightKey {
            due: now,
            target,
            source: 0,
            sequence: 0,
        };
        let last = FlightKey {
            source: HostId::MAX,
            sequence: u64::MAX,
            ..first
        };
        let key = *self.in_flight.range(first..=last).next()?.0;
        self.in_flight.remove_entry(&key)
    }

    /// The receivers of what is due at `now`, in order, each once.
    pub(crate) fn targets_due(&self, now: Instant) -> Vec<HostId> {
        let due = self
            .in_flight
            .keys()
            .take_while(|key| key.due <= now)
            .map(|key| key.target);
        let mut targets: Vec<HostId> = due.collect();
        targets.dedup();
        targets
    }

    /// The payload of a copy, to be carried by somebody else until [`put_payload`](Self::put_payload).
    #[cfg(feature = "turmoil")]
    pub(crate) fn lend_payload(&mut self, key: FlightKey) -> Option<PacketBuf> {
        self.in_flight
            .get_mut(&key)
            .map(|flight| std::mem::take(&mut flight.payload))
    }

    /// Gives a copy its payload back. Tells whether it was still awaited.
    #[cfg(feature = "turmoil")]
    pub(crate) fn put_payload(&mut self, key: FlightKey, payload: PacketBuf) -> bool {
        self.in_flight
            .get_mut(&key)
            .map(|flight| flight.payload = payload)
            .is_some()
    }

    /// Cuts or joins both directions between two hosts.
    pub(crate) fn set_partitioned(&mut self, a: HostId, b: HostId, partitioned: bool) {
        self.direction(a, b).link.set_partitioned(partitioned);
        self.direction(b, a).link.set_partitioned(partitioned);
    }

    /// Takes every fault off every link.
    pub(crate) fn heal(&mut self) {
        self.directions
            .values_mut()
            .for_each(|direction| direction.link.heal());
    }

    fn direction(&mut self, source: HostId, target: HostId) -> &mut Direction {
        let seed = self.seed;
        self.directions
            .entry((source, target))
            .or_insert_with(|| Direction::new(LinkConfig::default(), seed, source, target))
    }
}

impl Direction {
    fn new(config: LinkConfig, seed: u64, source: HostId, target: HostId) -> Self {
        Self {
            link: LinkDirection::new(config, seed, source, target),
            sequence: 0,
        }
    }
}

/// `time` on the grid of `resolution`, rounded up.
pub(crate) fn round_up(time: Instant, resolution: Duration) -> Instant {
    let step = u64::try_from(resolution.as_nanos()).unwrap_or(u64::MAX).max(1);
    Instant::from_nanos(time.as_nanos().div_ceil(step).saturating_mul(step))
}
