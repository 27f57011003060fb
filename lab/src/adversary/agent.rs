//! What an adversary knows and plans: the datagrams it has seen, the budget it has left, what it will do when.

use std::collections::{BTreeMap, VecDeque};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;

use sandhog_peer::{Instant, PacketBuf};

use super::{Act, AdversarySpec, Bytes, Pick};
use crate::net::round_up;
use crate::record::{HostId, RecordId};
use crate::rng::{Stream, derive_seed};

/// Of each kind that it floods with, an adversary keeps the newest datagrams, this many.
const MOST_RECORDED: usize = 256;

/// A datagram that an adversary has seen.
#[derive(Clone, Debug)]
pub(crate) struct Captured {
    /// Its `Sent` record.
    pub(crate) record: RecordId,
    /// Who sent it.
    pub(crate) sender: HostId,
    /// Whom it was for.
    pub(crate) target: HostId,
    /// Which one of its kind in its direction.
    pub(crate) nth: u64,
    pub(crate) kind: &'static str,
    pub(crate) from: SocketAddr,
    pub(crate) to: SocketAddr,
    pub(crate) payload: PacketBuf,
}

/// Something that an adversary will do at a given time.
#[derive(Clone, Debug)]
pub(super) enum Plan {
    /// The datagram of this number of an [`Act::Inject`].
    Inject { number: u64 },
    /// A copy of an [`Act::Replay`], and how many more after it.
    Replay { captured: Box<Captured>, left: u64 },
}

/// One adversary at work.
#[derive(Debug)]
pub(crate) struct Agent {
    pub(super) spec: AdversarySpec,
    pub(super) budget: u64,
    /// One for each act.
    streams: Vec<Stream>,
    /// By kind; only kinds that an act sends again later.
    recorded: BTreeMap<String, VecDeque<Captured>>,
    /// By receiver; only if an act copies headers.
    newest: BTreeMap<HostId, Captured>,
    copies_headers: bool,
}

/// All adversaries of a run, and their agenda.
#[derive(Debug)]
pub(crate) struct Adversaries {
    resolution: Duration,
    pub(super) agents: Vec<Agent>,
    /// By time and order of planning: whose plan, for which act.
    agenda: BTreeMap<(Instant, u64), (usize, usize, Plan)>,
    planned: u64,
    resting: bool,
}

impl Adversaries {
    pub(crate) fn new(specs: &[AdversarySpec], seed: u64, resolution: Duration) -> Self {
        let mut adversaries = Self {
            resolution,
            agents: Vec::new(),
            agenda: BTreeMap::new(),
            planned: 0,
            resting: false,
        };
        for (index, spec) in specs.iter().enumerate() {
            adversaries.agents.push(Agent::new(spec, index, seed));
            for (act, action) in spec.acts.iter().enumerate() {
                if let Act::Inject(inject) = action
                    && inject.count > 0
                {
                    adversaries.plan(inject.first, index, act, Plan::Inject { number: 0 });
                }
            }
        }
        adversaries
    }

    /// How many datagrams each has sent.
    pub(crate) fn sent(&self) -> impl Iterator<Item = (&str, u64)> {
        let agents = self.agents.iter();
        agents.map(|agent| (agent.spec.name.as_str(), agent.spec.budget - agent.budget))
    }

    /// Plans something, on the grid.
    pub(super) fn plan(&mut self, at: Instant, agent: usize, act: usize, plan: Plan) {
        let key = (round_up(at, self.resolution), self.planned);
        self.planned += 1;
        self.agenda.insert(key, (agent, act, plan));
    }

    /// When one of them next does something of its own accord.
    pub(crate) fn next_due(&self) -> Option<Instant> {
        self.agenda.first_key_value().map(|((at, _), _)| *at)
    }

    /// Takes the next plan that is due at `now`.
    pub(super) fn take_due(&mut self, now: Instant) -> Option<(usize, usize, Plan)> {
        let first = self.agenda.first_entry().filter(|entry| entry.key().0 <= now)?;
        Some(first.remove())
    }

    /// From now on they leave everybody in peace.
    pub(crate) fn rest(&mut self) {
        self.agenda.clear();
        self.resting = true;
    }

    /// Who sees what these two hosts send to each other.
    pub(crate) fn watching(&self, sender: HostId, target: HostId) -> Vec<usize> {
        let sees = |agent: &Agent| match agent.spec.on_path {
            Some((a, b)) => [(a, b), (b, a)].contains(&(sender, target)),
            None => false,
        };
        let watching = self.agents.iter().enumerate().filter(|(_, agent)| sees(agent));
        match self.resting {
            true => Vec::new(),
            false => watching.map(|(index, _)| index).collect(),
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

    /// Keeps what an act may need later.
    pub(super) fn keep(&mut self, captured: &Captured) {
        if let Some(recorded) = self.recorded.get_mut(captured.kind) {
            if recorded.len() == MOST_RECORDED {
                recorded.pop_front();
            }
            recorded.push_back(captured.clone());
        }
        if self.copies_headers {
            self.newest.insert(captured.target, captured.clone());
        }
    }

    /// Whether an act picks a datagram. Draws only where chance decides.
    pub(super) fn picks(&mut self, act: usize, pick: &Pick, seen: &Captured) -> bool {
        let fits = pick.kind == seen.kind
            && pick.nth.is_none_or(|nth| nth == seen.nth)
            && pick.by.is_none_or(|by| by == seen.sender);
        fits && pick.chance.is_none_or(|chance| self.streams[act].happens(chance))
    }

    /// Flips a bit: the given one, or any. One beyond the end flips nothing.
    pub(super) fn flip(&mut self, act: usize, bit: Option<u64>, payload: &mut [u8]) {
        let bits = payload.len() as u64 * 8;
        let bit = bit.unwrap_or_else(|| self.streams[act].below(bits));
        let byte = usize::try_from(bit / 8)
            .ok()
            .and_then(|index| payload.get_mut(index));
        if let Some(byte) = byte {
            *byte ^= 0x80 >> (bit % 8);
        }
    }

    /// What is in the datagram of this number for `target`: who made it if it is a copy of one that was seen, and the
    /// bytes. `None` if nothing was seen yet to make it from.
    pub(super) fn make(
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
                let mut made = random(stream, len);
                let copied = (*header).min(made.len()).min(seen.payload.len());
                made[..copied].copy_from_slice(&seen.payload[..copied]);
                (None, PacketBuf::copied_from(&made))
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

    /// An address that probably nobody has: global unicast for IPv4 (but for a few reserved blocks), the prefix of
    /// documentation (RFC 3849) for IPv6, and no well-known port.
    pub(super) fn random_source(&mut self, act: usize, like: SocketAddr) -> SocketAddr {
        let stream = &mut self.streams[act];
        let port = 1024 + stream.below(64_512) as u16;
        let ip: IpAddr = if like.is_ipv4() {
            let [_, b, c, d] = stream.next().to_be_bytes();
            let first = 11 + stream.below(116) as u8; // 11 to 126: neither private 10 nor loopback 127
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
