//! Sources of the faults of a run: none, or a tape.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::Duration;

use sandhog_peer::Instant;

use super::{Entry, Fault, Tape, TapeError};
use crate::link::Draws;
use crate::record::HostId;

/// A datagram that leaves a host or an adversary.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Departure {
    pub(crate) now: Instant,
    pub(crate) sender: HostId,
    pub(crate) receiver: HostId,
    pub(crate) kind: &'static str,
    /// Number among the datagrams of its kind in its direction, from 1.
    pub(crate) nth: u64,
    /// Length of the UDP payload in bytes.
    pub(crate) payload_len: u64,
    /// True after all faults were switched off.
    pub(crate) faults_are_off: bool,
}

/// A fault of a host.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum HostFault {
    /// Another outer address before the datagram leaves.
    Rebind(HostId, SocketAddr),
    /// A crash after the datagram has left, and the time until the restart.
    Crash(HostId, Duration),
}

/// Faults of one datagram, and of hosts at the time it leaves.
#[derive(Clone, Debug, Default)]
pub(crate) struct Steering {
    /// The faults of the datagram, in addition to those that the link draws.
    pub(crate) faults: Vec<Fault>,
    /// The faults of hosts.
    pub(crate) hosts: Vec<HostFault>,
    /// A host that gets an unused port of its address before the datagram leaves.
    pub(crate) new_port: Option<HostId>,
}

impl Steering {
    /// Changes the decisions of the link. Returns true if the datagram must arrive after the next one.
    pub(crate) fn apply(&self, draws: &mut Draws) -> bool {
        let mut swapped = false;
        for fault in &self.faults {
            match fault {
                Fault::Drop => draws.lost = true,
                Fault::Double => draws.duplicated = true,
                Fault::Delay(time) => draws.delays[0] = *time,
                Fault::DelayCopy(time) => draws.delays[1] = *time,
                Fault::Late(time) => draws.late += *time,
                Fault::Hold(until) => draws.hold = draws.hold.max(Some(*until)),
                Fault::Flip(bit) => draws.flipped_bits[0] = Some(*bit),
                Fault::FlipCopy(bit) => draws.flipped_bits[1] = Some(*bit),
                Fault::Swap => swapped = true,
                Fault::Rebind { .. } | Fault::Crash { .. } => {}
            }
        }
        swapped
    }
}

/// The faults of the datagram that turn the decisions `nominal` into `draws`.
pub(crate) fn entries_of(nominal: &Draws, draws: &Draws) -> Vec<Fault> {
    let mut faults = Vec::new();
    if draws.lost {
        return vec![Fault::Drop];
    }
    if draws.delays[0] != nominal.delays[0] {
        faults.push(Fault::Delay(draws.delays[0]));
    }
    faults.extend(draws.flipped_bits[0].map(Fault::Flip));
    if draws.duplicated {
        faults.push(Fault::Double);
        if draws.delays[1] != nominal.delays[1] {
            faults.push(Fault::DelayCopy(draws.delays[1]));
        }
        faults.extend(draws.flipped_bits[1].map(Fault::FlipCopy));
    }
    if !draws.late.is_zero() {
        faults.push(Fault::Late(draws.late));
    }
    faults.extend(draws.hold.map(Fault::Hold));
    faults
}

/// Source of the faults of a run. It must be deterministic.
pub(crate) trait Director: std::fmt::Debug {
    /// The faults of a datagram that leaves now.
    fn steer(&mut self, departure: &Departure) -> Steering;

    /// The result of the source after the run: the entries of a tape with the time of their first use.
    fn used(&self) -> &[Option<Instant>] {
        &[]
    }
}

/// A source without faults.
#[derive(Debug)]
pub(crate) struct NoFaults;

impl Director for NoFaults {
    fn steer(&mut self, _: &Departure) -> Steering {
        Steering::default()
    }
}

/// Values by direction (sender and receiver) and kind.
type ByKind<T> = BTreeMap<(HostId, HostId), BTreeMap<String, T>>;

/// The faults of a tape.
#[derive(Debug)]
pub(crate) struct Player {
    /// Entries by direction and kind: those of one datagram by number, and those of all later datagrams.
    exact: ByKind<BTreeMap<u64, Vec<usize>>>,
    onwards: ByKind<Vec<(u64, usize)>>,
    faults: Vec<PlayedFault>,
    used: Vec<Option<Instant>>,
}

#[derive(Debug)]
enum PlayedFault {
    Datagram(Fault),
    Host(HostFault),
}

impl Player {
    /// The faults of `tape` for hosts and adversaries with these `names`, by number.
    ///
    /// # Errors
    ///
    /// The tape names a host that does not exist.
    pub(crate) fn new(tape: &Tape, names: &[&str]) -> Result<Self, TapeError> {
        let mut player = Self {
            exact: BTreeMap::new(),
            onwards: BTreeMap::new(),
            faults: Vec::new(),
            used: vec![None; tape.entries.len()],
        };
        for (index, entry) in tape.entries.iter().enumerate() {
            player.add(index, entry, names)?;
        }
        Ok(player)
    }

    fn add(&mut self, index: usize, entry: &Entry, names: &[&str]) -> Result<(), TapeError> {
        let id = |name: &str| -> Result<HostId, TapeError> {
            let found = names.iter().position(|other| *other == name);
            let found = found.and_then(|index| HostId::try_from(index).ok());
            found.ok_or_else(|| TapeError::no_host(index, name, names))
        };
        let address = &entry.datagrams;
        let direction = (id(&address.sender)?, id(&address.receiver)?);
        self.faults.push(match &entry.fault {
            Fault::Rebind { host, to } => PlayedFault::Host(HostFault::Rebind(id(host)?, *to)),
            Fault::Crash { host, down } => PlayedFault::Host(HostFault::Crash(id(host)?, *down)),
            fault => PlayedFault::Datagram(fault.clone()),
        });
        if address.onwards {
            let kinds = self.onwards.entry(direction).or_default();
            kinds
                .entry(address.kind.clone())
                .or_default()
                .push((address.nth, index));
        } else {
            let kinds = self.exact.entry(direction).or_default();
            let numbers = kinds.entry(address.kind.clone()).or_default();
            numbers.entry(address.nth).or_default().push(index);
        }
        Ok(())
    }
}

impl Director for Player {
    fn steer(&mut self, departure: &Departure) -> Steering {
        let direction = (departure.sender, departure.receiver);
        let exact = self.exact.get(&direction);
        let exact = exact.and_then(|kinds| kinds.get(departure.kind)?.get(&departure.nth));
        let onwards = self.onwards.get(&direction);
        let onwards = onwards.and_then(|kinds| kinds.get(departure.kind));
        // A fault of all later datagrams ends when all faults are switched off.
        let onwards = onwards.into_iter().flatten();
        let onwards = onwards.filter(|(nth, _)| *nth <= departure.nth && !departure.faults_are_off);
        let mut steering = Steering::default();
        for index in exact.into_iter().flatten().chain(onwards.map(|(_, index)| index)) {
            self.used[*index].get_or_insert(departure.now);
            match &self.faults[*index] {
                PlayedFault::Datagram(fault) => steering.faults.push(fault.clone()),
                PlayedFault::Host(fault) => steering.hosts.push(*fault),
            }
        }
        steering
    }

    fn used(&self) -> &[Option<Instant>] {
        &self.used
    }
}
