//! Endpoints of the adversaries: their attempts, their turns, and the datagrams that reach them.

use std::net::SocketAddr;
use std::time::Duration;

use sandhog_peer::{Datagram, Instant};

use super::World;
use super::adversaries::{Forged, SPEAK};
use crate::adversary::{Endpoint, Plan, Source, Speak};
use crate::boot::Boot;
use crate::net::Flight;
use crate::record::HostId;
use crate::rng::derive_seed;

/// Number of random addresses that an attempt tries, until it finds one that no host has.
const MAX_DRAWS: usize = 16;

impl World {
    /// Begins all attempts of an act that are due now, from `number` on, and schedules the next.
    pub(super) fn speak(&mut self, agent: usize, act: usize, speak: &Speak, number: u64) {
        let due = |number: u64| -> Instant {
            let nanos = speak.spacing.as_nanos().saturating_mul(u128::from(number));
            speak.first + Duration::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX))
        };
        let mut number = number;
        while number < speak.count && due(number) <= self.now && self.adversaries.agents[agent].budget > 0 {
            if !self.count_attack(agent) {
                return;
            }
            self.begin_attempt(agent, act, speak, number);
            number += 1;
        }
        if number < speak.count && self.adversaries.agents[agent].budget > 0 {
            self.adversaries
                .plan(due(number), agent, act, Plan::Speak { number });
        }
    }

    /// Creates the peer of an attempt and gives it its first turn.
    fn begin_attempt(&mut self, agent: usize, act: usize, speak: &Speak, number: u64) {
        let Some(address) = self.endpoint_address(agent, act, &speak.from, number) else {
            return;
        };
        let own = self.adversaries.agents[agent].spec.seed;
        let numbers = [agent as u64, own, act as u64, number];
        let boot = Boot {
            seed: derive_seed(self.seed, "endpoint", &numbers),
            now: self.now,
            number: u32::try_from(number).unwrap_or(u32::MAX),
        };
        let in_place_of = match speak.from {
            Source::Host(host) => Some(host),
            _ => None,
        };
        if in_place_of.is_none() {
            self.net.claim(address, self.adversary_id(agent));
        }
        let peer = (speak.make_peer)(&boot);
        let endpoint = Endpoint::start(act, address, in_place_of, peer, self.now);
        let (endpoint, ended) = self.adversaries.agents[agent].add_endpoint(endpoint);
        self.release(agent, ended);
        self.endpoint_turn(agent, endpoint, None);
    }

    /// The address of an attempt. `None` if no address is left.
    fn endpoint_address(
        &mut self,
        agent: usize,
        act: usize,
        from: &Source,
        number: u64,
    ) -> Option<SocketAddr> {
        let own = self.adversaries.agents[agent].spec.address;
        let first = match from {
            Source::Host(host) => return Some(self.address_of(*host)),
            Source::Random => {
                let mut draws =
                    (0..MAX_DRAWS).map(|_| self.adversaries.agents[agent].random_source(act, own));
                return draws.find(|address| self.net.host_at(*address).is_none());
            }
            Source::Own => own,
            Source::Address(address) => *address,
        };
        let is_free = |address: SocketAddr| {
            let is_taken = self.adversaries.agents[agent].endpoint_at(address).is_some();
            !is_taken && (address == own || self.net.host_at(address).is_none())
        };
        let begin = u32::from(first.port()) + u32::try_from(number % 65_535).unwrap_or_default();
        let mut ports = (0..65_535).map(|step| (begin - 1 + step) % 65_535 + 1);
        ports.find_map(|port| {
            Some(SocketAddr::new(first.ip(), u16::try_from(port).ok()?)).filter(|at| is_free(*at))
        })
    }

    /// Gives a turn to each endpoint with a timer that is due now.
    pub(super) fn run_endpoints(&mut self) {
        while self.exceeded.is_none()
            && let Some((agent, endpoint)) = self.adversaries.due_endpoint(self.now)
        {
            self.endpoint_turn(agent, endpoint, None);
        }
    }

    /// Gives a turn to an endpoint, and sends its datagrams.
    fn endpoint_turn(&mut self, agent: usize, endpoint: u64, arrival: Option<Datagram>) {
        let turn = self.adversaries.endpoint_turn(agent, endpoint, self.now, arrival);
        let Some((address, datagrams)) = turn else { return };
        for datagram in datagrams {
            if !self.count_attack(agent) {
                return;
            }
            self.forge(Forged {
                agent,
                act: SPEAK,
                cause: datagram.payload.tag,
                origin: None,
                kind: datagram.kind,
                from: address,
                to: datagram.remote,
                payload: datagram.payload,
            });
        }
        let ended = self.adversaries.agents[agent].end_finished(endpoint);
        self.release(agent, ended);
    }

    /// Removes the addresses of endpoints that have ended from the network. The adversary keeps its own address.
    fn release(&mut self, agent: usize, addresses: impl IntoIterator<Item = SocketAddr>) {
        let own = self.adversaries.agents[agent].spec.address;
        let id = self.adversary_id(agent);
        for address in addresses.into_iter().filter(|address| *address != own) {
            self.net.release(address, id);
        }
    }

    /// Stops all adversaries for the rest of the run.
    pub(super) fn stop_adversaries(&mut self) {
        for agent in 0..self.adversaries.agents.len() {
            let ended = self.adversaries.agents[agent].end_endpoints();
            self.release(agent, ended);
        }
        self.adversaries.stop();
    }

    /// Records the datagrams that arrive at an adversary, and gives each to the endpoint at its destination.
    pub(super) fn receive_at_adversary(&mut self, target: HostId) {
        let agent = usize::from(target) - self.hosts.len();
        while let Some((key, flight)) = self.net.take_due(self.now, target) {
            let record = self.receive(target, key.source, &flight);
            let Flight {
                from,
                to,
                mut payload,
                ..
            } = flight;
            payload.tag = record;
            if let Some(endpoint) = self.adversaries.agents[agent].endpoint_at(to) {
                let datagram = Datagram {
                    remote: from,
                    kind: "",
                    payload,
                };
                self.endpoint_turn(agent, endpoint, Some(datagram));
            }
        }
    }
}
