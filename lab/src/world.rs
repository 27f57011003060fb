//! State of a run outside its hosts, and the rules of one tick. Both engines share it.
//!
//! A tick is a point of the time grid at which something happens. The order within a tick is: controls, adversaries, arrivals
//! at hosts that are down, then the turns of the hosts by number. An engine only finds the time of the next tick and calls the hosts.
//! This module decides everything that a trace can show.

mod adversaries;
mod describe;
mod endpoints;
mod faults;
mod limits;
mod liveness;
mod sending;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use sandhog_peer::{Command, Counters, Datagram, Instant, TunnelStatus};

use crate::adversary::Adversaries;
use crate::checks::Checks;
use crate::grid::round_up;
use crate::link::LossReason;
use crate::net::{Faults, Flight, FlightKey, Net};
use crate::progress::Progress;
use crate::record::{HostId, RecordId, RecordKind};
use crate::rng::derive_seed;
use crate::setup::{Boot, Control, HostSpec, Setup};
use crate::task_text::FAULTS_OFF;
use crate::trace::{Detail, Trace};

/// A datagram that has arrived, and the host that created it. Its tag is the record of its arrival.
pub(crate) type Arrival = (HostId, Datagram);

/// The state of a host that survives its crash.
#[derive(Debug)]
pub(crate) struct HostState {
    pub(crate) spec: Arc<HostSpec>,
    /// Its present address on the outer network.
    pub(crate) address: SocketAddr,
    /// The progress of the client's script.
    pub(crate) progress: Progress,
    pub(crate) status: Option<TunnelStatus>,
    /// Result and time of the first completed `start`.
    pub(crate) started: Option<(&'static str, Instant)>,
    /// The name of its status at the end of the work phase.
    pub(crate) final_status: Option<&'static str>,
    /// The first difference between the inner addresses that the client received and those of the setup.
    pub(crate) address_mismatch: Option<String>,
    /// The counters of each boot, the present one last.
    pub(crate) counters: Vec<Counters>,
    /// The user's commands for the next turn, with their records.
    pub(crate) commands: VecDeque<(Command, RecordId)>,
    up: bool,
    boots: u32,
    booted_at: Option<Instant>,
}

/// A crash or restart at the start of a tick. The engine carries it out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Power {
    Crash(HostId),
    Restart(HostId),
}

/// Phase of a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    /// The clients run their scripts, under faults.
    Work,
    /// All faults are off. A ping of each client that must be alive must pass before `until`.
    Liveness { until: Instant },
    /// The run is over.
    Over,
}

/// Inputs of a new node.
pub(crate) struct NodeInputs {
    pub(crate) spec: Arc<HostSpec>,
    pub(crate) boot: Boot,
    /// Randomness of the inner network stack.
    pub(crate) stack_seed: u64,
    /// The record of the boot.
    pub(crate) record: RecordId,
}

/// A scheduled action of the laboratory.
#[derive(Clone, Debug)]
enum Due {
    Control(Control),
    /// The crash of a host by a tape, unless it is down.
    Crash(HostId),
    /// The restart after it, unless the host is up.
    Restart(HostId),
    WorkEnd,
    FaultsOff,
    LivenessEnd,
}

/// The state of a run outside its hosts.
#[derive(Debug)]
pub(crate) struct World {
    pub(crate) now: Instant,
    pub(crate) resolution: Duration,
    pub(crate) hosts: Vec<HostState>,
    pub(crate) trace: Trace,
    pub(crate) checks: Checks,
    pub(crate) net: Net,
    pub(crate) adversaries: Adversaries,
    pub(crate) losses: BTreeMap<&'static str, u64>,
    pub(crate) canary: [u8; 16],
    pub(crate) faults_off_at: Option<Instant>,
    pub(crate) launched: Vec<FlightKey>,
    /// The first limit that the run exceeded, and the host. It has ended the run.
    pub(crate) exceeded: Option<String>,
    max_records: u64,
    /// Number of attacks in this tick.
    attacks: u32,
    /// The hosts that must take a turn although nothing arrives and nothing is due.
    wake_requests: BTreeSet<HostId>,
    due: BTreeMap<(Instant, u64), Due>,
    scheduled: u64,
    controls_left: usize,
    phase: Phase,
    /// The host that was found pending last.
    pending_host: usize,
    ends_when_done: bool,
    liveness: Option<Duration>,
    seed: u64,
}

impl World {
    pub(crate) fn new(setup: &Setup, seed: u64, detail: Detail, max_records: u64, faults: Faults) -> Self {
        let mut canary = [0; 16];
        canary.copy_from_slice(&derive_seed(seed, "canary", &[])[..16]);
        let scripts = setup.hosts.iter().filter_map(|host| host.script.as_ref());
        let passwords = scripts
            .filter_map(|script| script.secret.as_deref())
            .map(str::as_bytes);
        let secrets: Vec<&[u8]> = passwords.chain([&canary[..]]).collect();
        let mut world = Self {
            now: Instant::ZERO,
            resolution: setup.resolution,
            hosts: setup.hosts.iter().map(HostState::new).collect(),
            trace: Trace::new(detail),
            checks: Checks::new(&setup.rules, &setup.hosts, &secrets),
            net: Net::new(setup, seed, faults),
            adversaries: Adversaries::new(&setup.adversaries, seed, setup.resolution),
            losses: BTreeMap::new(),
            canary,
            faults_off_at: None,
            launched: Vec::new(),
            exceeded: None,
            max_records,
            attacks: 0,
            wake_requests: BTreeSet::new(),
            due: BTreeMap::new(),
            scheduled: 0,
            controls_left: setup.controls.len(),
            phase: Phase::Work,
            pending_host: 0,
            ends_when_done: setup.ends_when_done,
            liveness: setup.liveness,
            seed,
        };
        for expected in &setup.expectations {
            world.hosts[usize::from(expected.host)].progress.expect(expected);
        }
        for (at, control) in &setup.controls {
            world.schedule(*at, Due::Control(control.clone()));
        }
        world.schedule(Instant::ZERO + setup.duration, Due::WorkEnd);
        world
    }

    fn schedule(&mut self, at: Instant, due: Due) {
        let key = (round_up(at, self.resolution), self.scheduled);
        self.scheduled += 1;
        self.due.insert(key, due);
    }

    /// The time of the next scheduled action, arrival or attack. Deadlines of hosts are not included.
    pub(crate) fn next_due(&self) -> Option<Instant> {
        let own = self.due.first_key_value().map(|((at, _), _)| *at);
        own.into_iter()
            .chain(self.net.next_due())
            .chain(self.adversaries.next_due())
            .min()
    }

    /// Returns true at the end of the run.
    pub(crate) fn is_over(&self) -> bool {
        self.phase == Phase::Over
    }

    /// Returns true after all faults were switched off.
    pub(crate) const fn faults_are_off(&self) -> bool {
        self.net.faults_are_off()
    }

    /// Returns true during the work phase.
    pub(crate) fn is_working(&self) -> bool {
        self.phase == Phase::Work
    }

    /// Begins the tick at `now`: controls, adversaries, and arrivals at hosts that are down.
    pub(crate) fn begin_tick(&mut self, now: Instant) -> Vec<Power> {
        self.now = now;
        self.attacks = 0;
        let mut power = Vec::new();
        while let Some(entry) = self.due.first_entry().filter(|entry| entry.key().0 <= now) {
            match entry.remove() {
                Due::Control(control) => {
                    self.controls_left -= 1;
                    power.extend(self.control(&control));
                }
                Due::Crash(host) => power.extend(self.host_fault(&Control::Crash(host), true)),
                Due::Restart(host) => power.extend(self.host_fault(&Control::Restart(host), false)),
                Due::WorkEnd => self.end_work(),
                Due::FaultsOff => self.switch_faults_off(),
                Due::LivenessEnd => self.phase = Phase::Over,
            }
        }
        self.release_swapped();
        self.run_adversaries();
        for target in self.net.targets_due(now) {
            if !self.is_host(target) {
                self.receive_at_adversary(target);
            } else if !self.receives(target) {
                self.drop_arrivals(target);
            }
        }
        power
    }

    /// Returns true for the number of a host, and false for that of an adversary.
    pub(crate) fn is_host(&self, id: HostId) -> bool {
        usize::from(id) < self.hosts.len()
    }

    /// Returns false for a host that is down or that starts in this tick.
    fn receives(&self, host: HostId) -> bool {
        let state = &self.hosts[usize::from(host)];
        state.up && state.booted_at != Some(self.now)
    }

    fn drop_arrivals(&mut self, target: HostId) {
        while let Some((_, flight)) = self.net.take_due(self.now, target) {
            self.record_loss(Some(target), Some(target), flight.record, LossReason::HostDown);
        }
    }

    fn control(&mut self, control: &Control) -> Option<Power> {
        if let Control::Rebind(host, to) = control {
            self.rebind(*host, *to);
            return None;
        }
        let name = |id: &HostId| self.hosts[usize::from(*id)].spec.name.clone();
        let (text, power) = match control {
            Control::Crash(host) => (format!("{} crashes", name(host)), Some(Power::Crash(*host))),
            Control::Restart(host) => (format!("{} restarts", name(host)), Some(Power::Restart(*host))),
            Control::Partition(a, b) => (
                format!("{} and {} are cut off from each other", name(a), name(b)),
                None,
            ),
            Control::Repair(a, b) => (
                format!("{} and {} can reach each other again", name(a), name(b)),
                None,
            ),
            Control::Command(host, command) => (format!("{}'s user: {}", name(host), command.name()), None),
            Control::Note(text) => (text.clone(), None),
            Control::Rebind(..) => return None,
        };
        let record = self.record(None, 0, RecordKind::Fault { text });
        match control {
            Control::Crash(host) => self.hosts[usize::from(*host)].up = false,
            Control::Restart(host) => self.hosts[usize::from(*host)].up = false, // until `begin_boot`
            Control::Partition(a, b) => self.net.set_partitioned(*a, *b, true),
            Control::Repair(a, b) => self.net.set_partitioned(*a, *b, false),
            Control::Command(host, command) => {
                self.wake_requests.insert(*host);
                let state = &mut self.hosts[usize::from(*host)];
                state.commands.push_back((command.clone(), record));
            }
            Control::Rebind(..) | Control::Note(_) => {}
        }
        power
    }

    fn rebind(&mut self, host: HostId, to: SocketAddr) {
        let state = &mut self.hosts[usize::from(host)];
        let from = std::mem::replace(&mut state.address, to);
        self.net.rebind(host, from, to);
        self.record(Some(host), 0, RecordKind::Rebound { to: to.to_string() });
    }

    /// Ends the tick. The progress of the clients decides about the next phase.
    pub(crate) fn end_tick(&mut self) {
        let phase = self.phase;
        match phase {
            Phase::Work if self.ends_when_done && !self.has_plans() && self.all_done() => {
                self.end_work();
            }
            Phase::Liveness { .. } if self.faults_off_at.is_some() && self.all_alive() => {
                self.phase = Phase::Over;
            }
            _ => {}
        }
    }

    /// Returns true if a control or an attack is still scheduled, or a fault delays a datagram.
    fn has_plans(&self) -> bool {
        self.controls_left > 0 || self.adversaries.next_due().is_some() || self.net.has_delayed(self.now)
    }

    /// Returns true if no client has an open step.
    fn all_done(&mut self) -> bool {
        self.none_is_pending(|host| !host.progress.is_done())
    }

    /// Returns true if no client must still show that its tunnel works.
    fn all_alive(&mut self) -> bool {
        self.none_is_pending(|host| host.progress.awaits_liveness())
    }

    /// Returns true if no host is pending. The search begins at the host that was found last, because that one is mostly still
    /// pending. So the cost does not depend on the number of hosts.
    fn none_is_pending(&mut self, is_pending: impl Fn(&HostState) -> bool) -> bool {
        let (before, after) = self.hosts.split_at(self.pending_host);
        let mut hosts = (self.pending_host..).zip(after).chain((0..).zip(before));
        match hosts.find(|(_, host)| is_pending(host)) {
            Some((host, _)) => {
                self.pending_host = host;
                false
            }
            None => true,
        }
    }

    fn end_work(&mut self) {
        if self.phase != Phase::Work {
            return;
        }
        for host in &mut self.hosts {
            let status = host
                .status
                .filter(|_| host.up)
                .unwrap_or(TunnelStatus::Disconnected);
            host.final_status = Some(status.name());
        }
        match self.liveness {
            Some(liveness) if self.hosts.iter().any(|host| self.must_be_alive(host)) => {
                let faults_off_at = self.now + self.resolution;
                let until = round_up(faults_off_at + liveness, self.resolution);
                self.phase = Phase::Liveness { until };
                self.schedule(faults_off_at, Due::FaultsOff);
                self.schedule(until, Due::LivenessEnd);
            }
            _ => self.phase = Phase::Over,
        }
    }

    fn switch_faults_off(&mut self) {
        self.net.switch_faults_off();
        self.release_all_swapped();
        self.stop_adversaries();
        self.faults_off_at = Some(self.now);
        self.record(
            None,
            0,
            RecordKind::Fault {
                text: FAULTS_OFF.into(),
            },
        );
        self.request_liveness();
    }

    /// Records a boot of `host` and returns the inputs of its new node. No state of earlier boots remains.
    pub(crate) fn begin_boot(&mut self, host: HostId) -> NodeInputs {
        let now = self.now;
        let state = &mut self.hosts[usize::from(host)];
        let number = state.boots;
        state.boots += 1;
        state.up = true;
        state.booted_at = Some(now);
        state.status = None;
        state.progress.reboot();
        state.counters.push(Counters::default());
        let spec = Arc::clone(&state.spec);
        let record = self.record(Some(host), 0, RecordKind::Boot { boot: number });
        self.checks.on_boot(host);
        let numbers = [u64::from(host), u64::from(number)];
        let boot = Boot {
            seed: derive_seed(self.seed, "peer", &numbers),
            now,
            number,
        };
        let stack_seed = derive_seed(self.seed, "stack", &numbers);
        let stack_seed = stack_seed
            .iter()
            .take(8)
            .fold(0, |seed, byte| seed << 8 | u64::from(*byte));
        NodeInputs {
            spec,
            boot,
            stack_seed,
            record,
        }
    }

    /// Returns true if the host must take a turn although nothing arrives and nothing is due. Clears the request.
    pub(crate) fn take_wake_request(&mut self, host: HostId) -> bool {
        self.wake_requests.remove(&host)
    }

    #[cfg(feature = "turmoil")]
    pub(crate) fn wake_requested(&self, host: HostId) -> bool {
        self.wake_requests.contains(&host)
    }

    /// The hosts that must take a turn in this tick because something arrives, or because of a request.
    pub(crate) fn hosts_to_visit(&self) -> impl Iterator<Item = HostId> {
        let targets = self.net.targets_due(self.now).into_iter();
        let targets = targets.filter(|target| self.is_host(*target));
        targets.chain(self.wake_requests.iter().copied())
    }

    /// Takes the datagrams that arrive at `host` now, in order of sender and sequence number, and records them.
    pub(crate) fn take_arrivals(&mut self, host: HostId) -> Vec<Arrival> {
        let mut arrivals = Vec::new();
        while let Some((key, mut flight)) = self.net.take_due(self.now, host) {
            if flight.to != self.hosts[usize::from(host)].address {
                self.record_loss(Some(host), Some(host), flight.record, LossReason::NoHost);
                continue;
            }
            flight.payload.tag = self.receive(host, key.source, &flight);
            let datagram = Datagram {
                remote: flight.from,
                kind: "",
                payload: flight.payload,
            };
            arrivals.push((flight.origin, datagram));
        }
        arrivals
    }

    /// Records the arrival of a datagram from `source`.
    pub(crate) fn receive(&mut self, host: HostId, source: HostId, flight: &Flight) -> RecordId {
        let (len, fingerprint) = (flight.payload.len() as u64, flight.fingerprint);
        let kind = RecordKind::Received {
            from: source,
            kind: flight.kind,
            len,
            fingerprint,
        };
        let id = self
            .trace
            .add_packet(self.now, Some(host), flight.record, kind, &flight.payload);
        self.net.counts.delivered += 1;
        self.checks.on_received(id, host, flight.from, len, fingerprint);
        self.checks
            .on_conservation(id, self.net.counts, self.net.in_flight());
        id
    }

    pub(crate) fn record_loss(
        &mut self,
        host: Option<HostId>,
        to: Option<HostId>,
        cause: RecordId,
        reason: LossReason,
    ) {
        self.net.counts.lost += 1;
        *self.losses.entry(reason.name()).or_default() += 1;
        self.trace.add(
            self.now,
            host,
            cause,
            RecordKind::Lost {
                to,
                reason: reason.name(),
            },
        );
    }

    /// Adds a record. Its text is searched for secrets.
    pub(crate) fn record(&mut self, host: Option<HostId>, cause: RecordId, kind: RecordKind) -> RecordId {
        let mut text = String::new();
        if let RecordKind::Fault { text: public }
        | RecordKind::Task { text: public, .. }
        | RecordKind::LoggedIn { login: public, .. }
        | RecordKind::SessionEnded { login: public, .. } = &kind
        {
            text.clone_from(public);
        }
        let id = self.trace.add(self.now, host, cause, kind);
        if !text.is_empty() {
            self.checks.on_public_bytes(id, text.as_bytes());
        }
        id
    }
}

impl HostState {
    fn new(spec: &HostSpec) -> Self {
        Self {
            spec: Arc::new(spec.clone()),
            address: spec.address,
            progress: Progress::new(spec.script.as_ref()),
            status: None,
            started: None,
            final_status: None,
            address_mismatch: None,
            counters: Vec::new(),
            commands: VecDeque::new(),
            up: false,
            boots: 0,
            booted_at: None,
        }
    }
}
