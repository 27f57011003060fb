//! State of the adversaries: captured datagrams, remaining budgets, scheduled attacks, and endpoints.

use std::collections::{BTreeMap, VecDeque};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;

use sandhog_peer::{Datagram, Instant, PacketBuf};

use super::endpoint::Endpoints;
use super::{Act, AdversarySpec, Bytes, Endpoint, Pick};
use crate::grid::round_up;
use crate::record::{HostId, RecordId};
use crate::rng::{Stream, derive_seed};

/// Number of captured datagrams that an adversary keeps of each kind. The oldest are dropped first.
const MAX_RECORDED: usize = 256;

/// A datagram that an adversary has seen.
#[derive(Clone, Debug)]
pub(crate) struct Captured {
    /// Its `Sent` record.
    pub(crate) record: RecordId,
    /// The sender.
    pub(crate) sender: HostId,
    /// The receiver.
    pub(crate) target: HostId,
    /// Its number among the datagrams of its kind in its direction, from 1.
    pub(crate) nth: u64,
    pub(crate) kind: &'static str,
    pub(crate) from: SocketAddr,
    pub(crate) to: SocketAddr,
    pub(crate) payload: PacketBuf,
}

/// A scheduled attack.
#[derive(Clone, Debug)]
pub(crate) enum Plan {
    /// The next datagram of an [`Act::Inject`], by number from 0.
    Inject { number: u64 },
    /// The next copy of an [`Act::Replay`]. `left` more copies follow it.
    Replay { captured: Box<Captured>, left: u64 },
    /// The next attempt of an [`Act::Speak`], by number from 0.
    Speak { number: u64 },
}

/// State of one adversary.
#[derive(Debug)]
pub(crate) struct Agent {
    pub(crate) spec: AdversarySpec,
    pub(crate) budget: u64,
    /// Random numbers of each act.
    streams: Vec<Stream>,
    /// Captured datagrams by kind, only for the kinds that an act sends again.
    recorded: BTreeMap<String, VecDeque<Captured>>,
    /// The newest datagram to each receiver, only if an act copies headers.
    newest: BTreeMap<HostId, Captured>,
    copies_headers: bool,
    endpoints: Endpoints,
}

/// All adversaries of a run, and their schedule.
#[derive(Debug)]
pub(crate) struct Adversaries {
    resolution: Duration,
    pub(crate) agents: Vec<Agent>,
    /// Agent, act and attack, by time and order of scheduling.
    schedule: BTreeMap<(Instant, u64), (usize, usize, Plan)>,
    scheduled: u64,
    stopped: bool,
}

impl Adversaries {
    pub(crate) fn new(specs: &[AdversarySpec], seed: u64, resolution: Duration) -> Self {
        let mut adversaries = Self {
            resolution,
            agents: Vec::new(),
            schedule: BTreeMap::new(),
            scheduled: 0,
            stopped: false,
        };
        for (index, spec) in specs.iter().enumerate() {
            adversaries.agents.push(Agent::new(spec, index, seed));
            for (act, action) in spec.acts.iter().enumerate() {
                let (first, plan) = match action {
                    Act::Inject(inject) if inject.count > 0 => (inject.first, Plan::Inject { number: 0 }),
                    Act::Speak(speak) if speak.count > 0 => (speak.first, Plan::Speak { number: 0 }),
                    _ => continue,
                };
                adversaries.plan(first, index, act, plan);
            }
        }
        adversaries
    }

    /// The names of the adversaries, and the numbers of datagrams that they have sent.
    pub(crate) fn sent(&self) -> impl Iterator<Item = (&str, u64)> {
        let agents = self.agents.iter();
        agents.map(|agent| (agent.spec.name.as_str(), agent.spec.budget - agent.budget))
    }

    /// Schedules an attack, rounded up to the grid.
    pub(crate) fn plan(&mut self, at: Instant, agent: usize, act: usize, plan: Plan) {
        let key = (round_up(at, self.resolution), self.scheduled);
        self.scheduled += 1;
        self.schedule.insert(key, (agent, act, plan));
    }

    /// The time of the next scheduled attack, or of the next timer of an endpoint.
    pub(crate) fn next_due(&self) -> Option<Instant> {
        let scheduled = self.schedule.first_key_value().map(|((at, _), _)| *at);
        let timers = self.agents.iter().filter_map(|agent| agent.endpoints.next_due());
        timers.map(|(at, _)| at).chain(scheduled).min()
    }

    /// The next endpoint with a timer that is due at `now`: its adversary and its number.
    pub(crate) fn due_endpoint(&self, now: Instant) -> Option<(usize, u64)> {
        let timers = self
            .agents
            .iter()
            .map(|agent| agent.endpoints.next_due())
            .enumerate();
        timers
            .filter_map(|(agent, due)| Some((agent, due?)))
            .find(|(_, (at, _))| *at <= now)
            .map(|(agent, (_, number))| (agent, number))
    }

    /// Takes the next attack that is due at `now`.
    pub(crate) fn take_due(&mut self, now: Instant) -> Option<(usize, usize, Plan)> {
        let first = self.schedule.first_entry().filter(|entry| entry.key().0 <= now)?;
        Some(first.remove())
    }

    /// Stops all attacks for the rest of the run.
    pub(crate) fn stop(&mut self) {
        self.schedule.clear();
        self.stopped = true;
    }

    /// The adversary that answers in place of `target` on the link from `sender`.
    pub(crate) fn in_place_of(&self, sender: HostId, target: HostId) -> Option<usize> {
        let mut observers = self.observers(sender, target).into_iter();
        observers.find(|agent| self.agents[*agent].endpoints.replaces(target))
    }

    /// One turn of an endpoint, with the datagram that has arrived. Returns its address and the datagrams that the adversary
    /// sends.
    pub(crate) fn endpoint_turn(
        &mut self,
        agent: usize,
        number: u64,
        now: Instant,
        arrival: Option<Datagram>,
    ) -> Option<(SocketAddr, Vec<Datagram>)> {
        let resolution = self.resolution;
        let on_grid = |due: Instant| round_up(due, resolution).max(now + resolution);
        let Agent { endpoints, spec, .. } = self.agents.get_mut(agent)?;
        let (endpoint, mut datagrams) = endpoints.turn(number, now, arrival, on_grid)?;
        if let Some(Act::Speak(speak)) = spec.acts.get(endpoint.act) {
            datagrams.retain(|datagram| speak.withheld.iter().all(|kind| kind != datagram.kind));
        }
        Some((endpoint.address, datagrams))
    }

    /// The adversaries on the link between the two hosts.
    pub(crate) fn observers(&self, sender: HostId, target: HostId) -> Vec<usize> {
        let sees = |agent: &Agent| match agent.spec.on_path {
            Some((a, b)) => [(a, b), (b, a)].contains(&(sender, target)),
            None => false,
        };
        let observers = self.agents.iter().enumerate().filter(|(_, agent)| sees(agent));
        match self.stopped {
            true => Vec::new(),
            false => observers.map(|(index, _)| index).collect(),
        }
    }
}

impl Agent {
    fn new(spec: &AdversarySpec, index: usize, seed: u64) -> Self {
        let seed = derive_seed(seed, "adversary", &[index as u64, spec.seed]);
        let injects = spec.acts.iter().filter_map(|act| match act {
            Act::Inject(inject) => Some(&inject.bytes),
            _ => None,
        });
        let mut recorded = BTreeMap::new();
        let mut copies_headers = false;
        for bytes in injects {
            match bytes {
                Bytes::Recorded(kind) => drop(recorded.insert(kind.clone(), VecDeque::new())),
                Bytes::CopiedHeader { .. } => copies_headers = true,
                Bytes::Random(_) | Bytes::Exactly(_) => {}
            }
        }
        Self {
            endpoints: Endpoints::default(),
            budget: spec.budget,
            streams: (0..spec.acts.len())
                .map(|act| Stream::new(seed, act as u64))
                .collect(),
            spec: spec.clone(),
            recorded,
            newest: BTreeMap::new(),
            copies_headers,
        }
    }

    /// Stores a captured datagram if an act may need it later.
    pub(crate) fn store(&mut self, captured: &Captured) {
        if let Some(recorded) = self.recorded.get_mut(captured.kind) {
            if recorded.len() == MAX_RECORDED {
                recorded.pop_front();
            }
            recorded.push_back(captured.clone());
        }
        if self.copies_headers {
            self.newest.insert(captured.target, captured.clone());
        }
    }

    /// Returns true if an act selects a datagram. Draws a random number only for a selection with a probability.
    pub(crate) fn picks(&mut self, act: usize, pick: &Pick, seen: &Captured) -> bool {
        let fits = pick.kind == seen.kind
            && pick.nth.is_none_or(|nth| nth == seen.nth)
            && pick.by.is_none_or(|by| by == seen.sender);
        fits && pick.chance.is_none_or(|chance| self.streams[act].happens(chance))
    }

    /// Flips the given bit, or a random one. A number beyond the end flips no bit.
    pub(crate) fn flip(&mut self, act: usize, bit: Option<u64>, payload: &mut [u8]) {
        let bits = payload.len() as u64 * 8;
        let bit = bit.unwrap_or_else(|| self.streams[act].below(bits));
        let byte = usize::try_from(bit / 8)
            .ok()
            .and_then(|index| payload.get_mut(index));
        if let Some(byte) = byte {
            *byte ^= 0x80 >> (bit % 8);
        }
    }

    /// The payload of datagram `number` to `target`, and the captured datagram if the payload is a copy. `None` if no suitable
    /// datagram was captured yet.
    pub(crate) fn payload(
        &mut self,
        act: usize,
        bytes: &Bytes,
        target: HostId,
        number: u64,
    ) -> Option<(Option<Captured>, PacketBuf)> {
        let random = |stream: &mut Stream, len: u64| -> Vec<u8> {
            (0..len).map(|_| (stream.next() >> 24) as u8).collect()
        };
        let stream = &mut self.streams[act];
        Some(match bytes {
            Bytes::Random(len) => (None, PacketBuf::copied_from(&random(stream, *len))),
            Bytes::Exactly(bytes) => (None, PacketBuf::copied_from(bytes)),
            Bytes::CopiedHeader { header, len } => {
                let seen = self.newest.get(&target)?;
                let len = len.unwrap_or(seen.payload.len() as u64);
                let mut payload = random(stream, len);
                let copied = (*header).min(payload.len()).min(seen.payload.len());
                payload[..copied].copy_from_slice(&seen.payload[..copied]);
                (None, PacketBuf::copied_from(&payload))
            }
            Bytes::Recorded(kind) => {
                let recorded = self.recorded.get(kind)?;
                let index = number.checked_rem(recorded.len() as u64)?;
                let seen = recorded.get(index as usize)?.clone();
                let payload = seen.payload.clone();
                (Some(seen), payload)
            }
        })
    }

    /// Adds an endpoint. Returns its number, and the address of the one that ended for it.
    pub(crate) fn add_endpoint(&mut self, endpoint: Endpoint) -> (u64, Option<SocketAddr>) {
        let (number, ended) = self.endpoints.add(endpoint);
        (number, ended.map(|endpoint| endpoint.address))
    }

    /// The number of the endpoint at `address`.
    pub(crate) fn endpoint_at(&self, address: SocketAddr) -> Option<u64> {
        self.endpoints.at(address)
    }

    /// Ends an endpoint that has failed, or all endpoints if the budget is used up. Returns their addresses.
    pub(crate) fn end_finished(&mut self, number: u64) -> Vec<SocketAddr> {
        if self.budget == 0 {
            return self.end_endpoints();
        }
        let ended = self.endpoints.end_if_over(number);
        ended.map(|endpoint| endpoint.address).into_iter().collect()
    }

    /// Ends all endpoints. Returns their addresses.
    pub(crate) fn end_endpoints(&mut self) -> Vec<SocketAddr> {
        let ended = self.endpoints.end_all().into_iter();
        ended.map(|endpoint| endpoint.address).collect()
    }

    /// A random source address: for IPv4 mostly global unicast, for IPv6 in the documentation prefix (RFC 3849). The port is not a
    /// well-known port.
    pub(crate) fn random_source(&mut self, act: usize, like: SocketAddr) -> SocketAddr {
        let stream = &mut self.streams[act];
        let port = 1024 + stream.below(64_512) as u16;
        let ip: IpAddr = if like.is_ipv4() {
            let [_, b, c, d] = stream.next().to_be_bytes();
            let first = 11 + stream.below(116) as u8; // 11 to 126: neither private (10) nor loopback (127)
            Ipv4Addr::new(first, b, c, d).into()
        } else {
            let mut bits = [0; 16];
            for chunk in bits.chunks_exact_mut(4) {
                chunk.copy_from_slice(&stream.next().to_be_bytes());
            }
            bits[..4].copy_from_slice(&[0x20, 0x01, 0x0d, 0xb8]);
            Ipv6Addr::from(bits).into()
        };
        SocketAddr::new(ip, port)
    }
}
