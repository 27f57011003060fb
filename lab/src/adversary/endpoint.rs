//! Endpoints of an adversary: peers that speak the protocol, with their addresses and deadlines.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::iter;
use std::net::SocketAddr;

use sandhog_peer::{Batch, Command, Datagram, EventKind, Instant, Peer};

use crate::limits::{MAX_EVENTS, MAX_JOBS, MAX_ROUNDS};
use crate::record::HostId;

/// Largest number of attempts of one adversary that are in progress at the same time. A new attempt ends the oldest one.
pub const MAX_ENDPOINTS: usize = 2048;

/// The peer of one attempt.
pub(crate) struct Endpoint {
    /// The number of the act.
    pub(crate) act: usize,
    pub(crate) address: SocketAddr,
    /// The host in whose place it answers. Then it has the address of that host.
    pub(crate) in_place_of: Option<HostId>,
    peer: Box<dyn Peer>,
    deadline: Option<Instant>,
    is_over: bool,
    input: Batch,
    output: Batch,
}

impl Endpoint {
    /// Starts `peer`.
    pub(crate) fn start(
        act: usize,
        address: SocketAddr,
        in_place_of: Option<HostId>,
        mut peer: Box<dyn Peer>,
        now: Instant,
    ) -> Self {
        // A server refuses the command. It waits for datagrams.
        let _ = peer.command(now, Command::Start);
        Self {
            act,
            address,
            in_place_of,
            peer,
            deadline: None,
            is_over: false,
            input: Batch::default(),
            output: Batch::default(),
        }
    }

    /// One turn with its jobs, which take no simulated time. Returns the datagrams of the peer.
    pub(crate) fn turn(&mut self, now: Instant, arrival: Option<Datagram>) -> Vec<Datagram> {
        self.input.datagrams.extend(arrival);
        for _ in 0..MAX_ROUNDS {
            let deadline = self.peer.turn(now, &mut self.input, &mut self.output);
            self.deadline = deadline.map(|(due, _)| due);
            self.input.clear();
            self.output.packets.clear();
            for event in iter::from_fn(|| self.peer.poll_event()).take(MAX_EVENTS as usize) {
                self.is_over |= matches!(event.kind, EventKind::Started(Err(_)) | EventKind::Cancelled(_));
            }
            let mut any = false;
            for _ in 0..MAX_JOBS {
                let Some(job) = self.peer.poll_job() else { break };
                any |= self.peer.handle_job(now, job.run()).is_ok();
            }
            if !any {
                break;
            }
        }
        std::mem::take(&mut self.output.datagrams)
    }
}

impl fmt::Debug for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Endpoint")
            .field("act", &self.act)
            .field("address", &self.address)
            .finish_non_exhaustive()
    }
}

/// The attempts of one adversary that are in progress, by number.
#[derive(Debug, Default)]
pub(super) struct Endpoints {
    begun: u64,
    alive: BTreeMap<u64, Endpoint>,
    addresses: BTreeMap<SocketAddr, u64>,
    /// Deadlines, on the grid.
    due: BTreeSet<(Instant, u64)>,
}

impl Endpoints {
    /// Adds an endpoint with its first deadline. Returns its number, and the endpoint that ended for it.
    pub(super) fn add(&mut self, endpoint: Endpoint) -> (u64, Option<Endpoint>) {
        let oldest = match self.alive.first_key_value() {
            Some((oldest, _)) if self.alive.len() >= MAX_ENDPOINTS => Some(*oldest),
            _ => None,
        };
        let ended = oldest.and_then(|oldest| self.remove(oldest));
        let number = self.begun;
        self.begun += 1;
        self.addresses.insert(endpoint.address, number);
        self.alive.insert(number, endpoint);
        (number, ended)
    }

    /// The endpoint at `address`.
    pub(super) fn at(&self, address: SocketAddr) -> Option<u64> {
        self.addresses.get(&address).copied()
    }

    /// Returns true if an endpoint answers in place of `host`.
    pub(super) fn replaces(&self, host: HostId) -> bool {
        self.alive
            .values()
            .any(|endpoint| endpoint.in_place_of == Some(host))
    }

    /// One turn of an endpoint. Its next deadline is at `step` or later, on the grid of `round`. Returns the endpoint as it is
    /// now and its datagrams.
    pub(super) fn turn(
        &mut self,
        number: u64,
        now: Instant,
        arrival: Option<Datagram>,
        on_grid: impl Fn(Instant) -> Instant,
    ) -> Option<(&Endpoint, Vec<Datagram>)> {
        let endpoint = self.alive.get_mut(&number)?;
        let before = endpoint.deadline.take();
        let datagrams = endpoint.turn(now, arrival);
        if let Some(before) = before {
            self.due.remove(&(before, number));
        }
        endpoint.deadline = endpoint.deadline.map(on_grid);
        if let Some(deadline) = endpoint.deadline {
            self.due.insert((deadline, number));
        }
        Some((endpoint, datagrams))
    }

    /// The endpoint with the next deadline.
    pub(super) fn next_due(&self) -> Option<(Instant, u64)> {
        self.due.first().copied()
    }

    /// Ends an endpoint whose start or tunnel has failed.
    pub(super) fn end_if_over(&mut self, number: u64) -> Option<Endpoint> {
        let is_over = self.alive.get(&number).is_some_and(|endpoint| endpoint.is_over);
        is_over.then(|| self.remove(number)).flatten()
    }

    fn remove(&mut self, number: u64) -> Option<Endpoint> {
        let endpoint = self.alive.remove(&number)?;
        if self.addresses.get(&endpoint.address) == Some(&number) {
            self.addresses.remove(&endpoint.address);
        }
        if let Some(deadline) = endpoint.deadline {
            self.due.remove(&(deadline, number));
        }
        Some(endpoint)
    }

    /// Ends all endpoints.
    pub(super) fn end_all(&mut self) -> Vec<Endpoint> {
        self.addresses.clear();
        self.due.clear();
        std::mem::take(&mut self.alive).into_values().collect()
    }
}
