//! Outer network: the addresses of the hosts, the link directions between them, and the copies in flight.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::Duration;

use sandhog_peer::{Instant, PacketBuf, State};

use crate::checks::Conservation;
use crate::grid::round_up;
use crate::link::{Copy, Fate, LinkConfig, LinkDirection, LossReason};
use crate::record::{HostId, RecordId};
use crate::setup::Setup;
use crate::tape::{Departure, Director, Fault, HostFault, NoFaults, entries_of};
use crate::trace::fingerprint;

/// The position of a copy in the total order of arrivals: time, receiver, sender, sequence number on the link.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct FlightKey {
    /// Time of arrival.
    pub(crate) due: Instant,
    /// The receiver.
    pub(crate) target: HostId,
    /// The sender.
    pub(crate) source: HostId,
    /// Sequence number of the copy on this link direction, from 1.
    pub(crate) sequence: u64,
}

/// A copy of a datagram in flight.
#[derive(Clone, Debug)]
pub(crate) struct Flight {
    /// Its `Flight` record.
    pub(crate) record: RecordId,
    /// Its `Sent` record.
    pub(crate) sent: RecordId,
    /// Time of sending.
    pub(crate) sent_at: Instant,
    /// True if there is another copy of the same datagram.
    pub(crate) twin: bool,
    /// True after the delivery of another copy.
    pub(crate) twin_delivered: bool,
    /// The host that created the bytes. An adversary may send bytes of another host.
    pub(crate) origin: HostId,
    /// Source address. An adversary may forge it.
    pub(crate) from: SocketAddr,
    /// Destination address.
    pub(crate) to: SocketAddr,
    /// Message kind, from the sender.
    pub(crate) kind: &'static str,
    /// The first 8 bytes of the payload's SHA-256.
    pub(crate) fingerprint: u64,
    /// UDP payload. Empty while the turmoil engine carries it.
    pub(crate) payload: PacketBuf,
}

/// A link direction and the number of copies that it has carried.
#[derive(Debug)]
struct Direction {
    link: LinkDirection,
    sequence: u64,
    /// Largest sequence number of a delivered copy.
    newest_delivered: u64,
}

/// Source of the faults of the network.
#[derive(Debug)]
pub(crate) struct Faults {
    /// True if the links draw random faults and delays from the seed.
    pub(crate) random: bool,
    /// Further faults.
    pub(crate) director: Box<dyn Director>,
    /// True if every fault is noted for a tape.
    pub(crate) noted: bool,
}

impl Default for Faults {
    /// The random faults of the links.
    fn default() -> Self {
        Self {
            random: true,
            director: Box::new(NoFaults),
            noted: false,
        }
    }
}

/// A fault of a run, for its tape.
#[derive(Clone, Debug)]
pub(crate) struct Noted {
    pub(crate) departure: Departure,
    pub(crate) fault: NotedFault,
}

/// The fault of a datagram, or of a host at that time.
#[derive(Clone, Debug)]
pub(crate) enum NotedFault {
    Datagram(Fault),
    Host(HostFault),
}

/// A datagram that waits for the next datagram of its direction, so that it arrives after it.
#[derive(Clone, Debug)]
pub(crate) struct Swapped {
    pub(crate) sent_at: Instant,
    pub(crate) sent: RecordId,
    pub(crate) sending: Sending,
    pub(crate) flight: Flight,
}

/// Longest time for which a swapped datagram waits for the next one.
pub(crate) const SWAP_LIMIT: Duration = Duration::from_secs(1);

/// The outer network of one run.
#[derive(Debug)]
pub(crate) struct Net {
    seed: u64,
    faults: Faults,
    /// True after all faults were switched off.
    faults_are_off: bool,
    /// Faults of this run, if they are noted.
    pub(crate) noted: Vec<Noted>,
    /// Swapped datagrams by direction: sender and receiver.
    swapped: BTreeMap<(HostId, HostId), Swapped>,
    /// The latest arrival of a datagram that a fault delayed.
    delayed_until: Instant,
    resolution: Duration,
    addresses: BTreeMap<SocketAddr, HostId>,
    directions: BTreeMap<(HostId, HostId), Direction>,
    in_flight: BTreeMap<FlightKey, Flight>,
    pub(crate) counts: Conservation,
}

/// The network's decision about a datagram, for the trace.
#[derive(Clone, Debug)]
pub(crate) struct Sending {
    /// The receiver. `None` if no host has the address.
    pub(crate) target: Option<HostId>,
    /// Its number among the datagrams of its kind on this direction, from 1.
    pub(crate) nth: u64,
    pub(crate) fate: Fate,
    /// True if the datagram must arrive after the next one of its direction.
    pub(crate) swapped: bool,
    /// Faults of hosts at this time.
    pub(crate) host_faults: Vec<HostFault>,
}

impl Sending {
    /// A datagram to an address without a host.
    const NOWHERE: Self = Self {
        target: None,
        nth: 0,
        fate: Fate::Lost(LossReason::NoHost),
        swapped: false,
        host_faults: Vec::new(),
    };
}

impl Net {
    pub(crate) fn new(setup: &Setup, seed: u64, faults: Faults) -> Self {
        let mut net = Self {
            seed,
            faults,
            faults_are_off: false,
            noted: Vec::new(),
            swapped: BTreeMap::new(),
            delayed_until: Instant::ZERO,
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

    /// Returns true after all faults were switched off.
    pub(crate) const fn faults_are_off(&self) -> bool {
        self.faults_are_off
    }

    /// The host or adversary at `address`.
    pub(crate) fn host_at(&self, address: SocketAddr) -> Option<HostId> {
        self.addresses.get(&address).copied()
    }

    /// Moves `host` from the address `from` to the address `to`. A host that had the address `to` loses it.
    pub(crate) fn rebind(&mut self, host: HostId, from: SocketAddr, to: SocketAddr) {
        self.addresses.remove(&from);
        self.addresses.insert(to, host);
    }

    /// Gives `address` to `host`, in addition to its present ones.
    pub(crate) fn claim(&mut self, address: SocketAddr, host: HostId) {
        self.addresses.insert(address, host);
    }

    /// Takes `address` from `host`, unless another host has it now.
    pub(crate) fn release(&mut self, address: SocketAddr, host: HostId) {
        if self.host_at(address) == Some(host) {
            self.addresses.remove(&address);
        }
    }

    /// Decides the fate of a datagram. [`launch`](Self::launch) then sends its copies.
    pub(crate) fn decide(
        &mut self,
        now: Instant,
        source: HostId,
        remote: SocketAddr,
        kind: &'static str,
        payload: &[u8],
    ) -> Sending {
        let Some(target) = self.host_at(remote) else {
            return Sending::NOWHERE;
        };
        let payload_len = payload.len() as u64;
        // UDP header 8; IP header 20 (RFC 791) or 40 (RFC 8200).
        let ip_len = payload_len + if remote.is_ipv4() { 28 } else { 48 };
        let random = self.faults.random;
        let link = &mut self.direction(source, target).link;
        let candidate = link.count(now, kind);
        let nominal = link.nominal();
        let mut draws = if random {
            link.draw(payload_len)
        } else {
            nominal.clone()
        };
        let departure = Departure {
            now,
            sender: source,
            receiver: target,
            kind,
            nth: candidate.nth,
            payload_len,
            faults_are_off: self.faults_are_off,
        };
        let mut steering = self.faults.director.steer(&departure);
        let new_port = steering
            .new_port
            .and_then(|host| Some((host, self.unused_port(host)?)));
        steering
            .hosts
            .extend(new_port.map(|(host, to)| HostFault::Rebind(host, to)));
        let swapped = steering.apply(&mut draws);
        let link = &mut self.direction(source, target).link;
        let fate = link.fate(candidate, &draws, ip_len, payload_len);
        if self.faults.noted {
            let faults = match fate {
                Fate::Lost(LossReason::Random) | Fate::Copies(_) => entries_of(&nominal, &draws),
                Fate::Lost(_) => Vec::new(),
            };
            let faults = faults.into_iter().chain(swapped.then_some(Fault::Swap));
            let faults = faults.map(NotedFault::Datagram);
            let hosts = steering.hosts.iter().copied().map(NotedFault::Host);
            self.noted
                .extend(faults.chain(hosts).map(|fault| Noted { departure, fault }));
        }
        if draws.hold.is_some() || !draws.late.is_zero() {
            self.note_delay(now, fate);
        }
        Sending {
            target: Some(target),
            nth: candidate.nth,
            fate,
            swapped,
            host_faults: steering.hosts,
        }
    }

    /// Notes the arrival of a datagram that a fault delays.
    fn note_delay(&mut self, now: Instant, fate: Fate) {
        if let Fate::Copies(copies) = fate {
            let arrivals = copies
                .into_iter()
                .flatten()
                .flatten()
                .map(|copy| now + copy.after);
            self.delayed_until = arrivals.fold(self.delayed_until, Instant::max);
        }
    }

    /// Returns true while a datagram that a fault delayed is in flight.
    pub(crate) fn has_delayed(&self, now: Instant) -> bool {
        now < self.delayed_until || !self.swapped.is_empty()
    }

    /// Keeps a swapped datagram until [`take_swapped`](Self::take_swapped).
    pub(crate) fn swap(&mut self, direction: (HostId, HostId), datagram: Swapped) {
        self.swapped.insert(direction, datagram);
    }

    /// Takes the swapped datagram of a direction.
    pub(crate) fn take_swapped(&mut self, direction: (HostId, HostId)) -> Option<Swapped> {
        self.swapped.remove(&direction)
    }

    /// Takes a swapped datagram that was sent at `until` or earlier.
    pub(crate) fn take_swapped_until(&mut self, until: Instant) -> Option<((HostId, HostId), Swapped)> {
        let waiting = self.swapped.iter();
        let direction = *waiting
            .filter(|(_, datagram)| datagram.sent_at <= until)
            .map(|(key, _)| key)
            .next()?;
        Some((direction, self.swapped.remove(&direction)?))
    }

    /// The time at which the first swapped datagram stops waiting.
    fn swap_limit(&self) -> Option<Instant> {
        self.swapped
            .values()
            .map(|datagram| datagram.sent_at + SWAP_LIMIT)
            .min()
    }

    /// The times at which the entries of a tape were used.
    pub(crate) fn used_entries(&self) -> &[Option<Instant>] {
        self.faults.director.used()
    }

    /// The present address of `host` with the next port that no host has.
    fn unused_port(&self, host: HostId) -> Option<SocketAddr> {
        let present = self.addresses.iter().find(|(_, id)| **id == host);
        let address = *present?.0;
        let mut candidates = (1..=u16::MAX).map(|step| {
            let port = address.port().checked_add(step).unwrap_or(step);
            SocketAddr::new(address.ip(), port)
        });
        candidates.find(|candidate| !self.addresses.contains_key(candidate))
    }

    /// The arrival time of a copy with the delay `after`: rounded up to the grid, and at least one step from now.
    pub(crate) fn arrival(&self, now: Instant, after: Duration) -> Instant {
        round_up(now + after, self.resolution).max(now + self.resolution)
    }

    /// Puts a copy in flight and returns its position in the order of arrivals.
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
            flight.fingerprint = fingerprint(&flight.payload);
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

    /// The time of the next arrival, or of the launch of a swapped datagram.
    pub(crate) fn next_due(&self) -> Option<Instant> {
        let arrival = self.in_flight.first_key_value().map(|(key, _)| key.due);
        arrival
            .into_iter()
            .chain(self.swap_limit().map(|limit| round_up(limit, self.resolution)))
            .min()
    }

    /// Number of copies in flight.
    pub(crate) fn in_flight(&self) -> u64 {
        (self.in_flight.len() + self.swapped.len()) as u64
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
        let (key, flight) = self.in_flight.remove_entry(&key)?;
        if flight.twin {
            let twins = self
                .in_flight
                .values_mut()
                .filter(|other| other.sent == flight.sent);
            twins.for_each(|other| other.twin_delivered = true);
        }
        let direction = self.direction(key.source, key.target);
        direction.newest_delivered = direction.newest_delivered.max(key.sequence);
        Some((key, flight))
    }

    /// The receivers of the copies that are due at `now`, in order, without repetition.
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

    /// Takes the payload out of a copy, until [`put_payload`](Self::put_payload) puts it back.
    #[cfg(feature = "turmoil")]
    pub(crate) fn lend_payload(&mut self, key: FlightKey) -> Option<PacketBuf> {
        self.in_flight
            .get_mut(&key)
            .map(|flight| std::mem::take(&mut flight.payload))
    }

    /// Puts the payload of a copy back. Returns false if the copy is not in flight any more.
    #[cfg(feature = "turmoil")]
    pub(crate) fn put_payload(&mut self, key: FlightKey, payload: PacketBuf) -> bool {
        self.in_flight
            .get_mut(&key)
            .map(|flight| flight.payload = payload)
            .is_some()
    }

    /// Number of datagrams of this kind from `source` to `target`, or of any kind.
    pub(crate) fn sent(&self, source: HostId, target: HostId, kind: Option<&str>) -> u64 {
        let direction = self.directions.get(&(source, target));
        direction.map_or(0, |direction| direction.link.sent(kind))
    }

    /// Describes the copies in flight and the state of the links. Returns false if random faults decide about datagrams.
    pub(crate) fn describe(&self, state: &mut State<'_>) -> bool {
        state.flag(self.faults_are_off);
        state.number(self.addresses.len() as u64);
        for (address, host) in &self.addresses {
            state.bytes(address.to_string().as_bytes());
            state.number(u64::from(*host));
        }
        state.number(self.in_flight.len() as u64);
        for (key, flight) in &self.in_flight {
            state.deadline(Some(key.due));
            state.number(u64::from(key.source) << 16 | u64::from(key.target));
            state.number(u64::from(flight.origin));
            state.bytes(flight.kind.as_bytes());
            state.number(flight.payload.len() as u64);
            for address in [flight.from, flight.to] {
                state.number(self.host_at(address).map_or(0, |host| u64::from(host) + 1));
            }
            // A receiver treats a datagram by its age, and by those that arrived before it: its replay window remembers both.
            state.age(Some(flight.sent_at));
            state.flag(flight.twin_delivered);
            let newest = self.directions.get(&(key.source, key.target));
            let newest = newest.map_or(0, |direction| direction.newest_delivered);
            state.number(newest.saturating_sub(key.sequence));
            state.secret(&flight.payload);
        }
        state.number(self.swapped.len() as u64);
        for (direction, swapped) in &self.swapped {
            state.number(u64::from(direction.0) << 16 | u64::from(direction.1));
            state.age(Some(swapped.sent_at));
            state.secret(&swapped.flight.payload);
        }
        for direction in self.directions.values() {
            direction.link.describe(state);
        }
        !self.faults.random
    }

    /// Starts or ends a partition between two hosts, in both directions.
    pub(crate) fn set_partitioned(&mut self, a: HostId, b: HostId, partitioned: bool) {
        self.direction(a, b).link.set_partitioned(partitioned);
        self.direction(b, a).link.set_partitioned(partitioned);
    }

    /// Removes every fault from every link.
    pub(crate) fn switch_faults_off(&mut self) {
        self.faults_are_off = true;
        self.directions
            .values_mut()
            .for_each(|direction| direction.link.switch_faults_off());
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
            newest_delivered: 0,
        }
    }
}
