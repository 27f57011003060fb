//! What both engines share: the state of a run outside its hosts, and the rules of one tick.
//!
//! A tick is one point of the grid of time at which anything happens: first the controls of that time, then what
//! cannot be delivered, then the hosts' turns in order of their numbers. An engine finds out when the next tick is and
//! lets the hosts take their turns; everything that a trace can show is decided here.

use std::collections::{BTreeMap, VecDeque};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use sandhog_peer::{Command, Counters, Datagram, Instant, TunnelStatus};

use crate::adversary::{Adversaries, Captured};
use crate::checks::{Checks, Outgoing};
use crate::link::{Fate, LossReason};
use crate::net::{Flight, FlightKey, Net, Sending, round_up};
use crate::node::Node;
use crate::progress::Progress;
use crate::record::{HostId, RecordId, RecordKind};
use crate::rng::derive_seed;
use crate::setup::{Boot, Control, HostSpec, Setup};
use crate::trace::{Detail, Trace, fingerprint};

/// Who made a datagram that arrived, and the datagram: the record of its arrival is written, its tag set.
pub(crate) type Arrival = (HostId, Datagram);

/// A host as the laboratory sees it from outside.
#[derive(Debug)]
pub(crate) struct HostState {
    pub(crate) spec: Arc<HostSpec>,
    /// Where it is on the outer network at present.
    pub(crate) address: SocketAddr,
    /// What the client has done so far; survives a crash, for it is the laboratory's knowledge.
    pub(crate) progress: Progress,
    pub(crate) status: Option<TunnelStatus>,
    /// The first completion of `start`: its result and when.
    pub(crate) started: Option<(&'static str, Instant)>,
    /// The name of its status at the end of the work.
    pub(crate) finally: Option<&'static str>,
    /// What is wrong with the inner addresses that a client was given.
    pub(crate) misgiven: Option<String>,
    /// Counters of the boots that have ended, and of the present one.
    pub(crate) counters: Vec<Counters>,
    /// What the user asks for at the next turn.
    pub(crate) commands: VecDeque<(Command, RecordId)>,
    /// Whether it must take a turn though nothing is due.
    wake_requested: bool,
    up: bool,
    boots: u32,
    booted_at: Option<Instant>,
}

/// What happens to a host at the start of a tick, for the engine to carry out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Power {
    Crash(HostId),
    Restart(HostId),
}

/// Where a run stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    /// The clients do their work, under faults.
    Work,
    /// All faults have healed; a ping must pass until then.
    Liveness { until: Instant },
    /// Nothing more happens.
    Over,
}

/// What the laboratory itself does at a given time.
#[derive(Clone, Debug)]
enum Due {
    Control(Control),
    EndOfWork,
    Heal,
    EndOfLiveness,
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
    pub(crate) healed_at: Option<Instant>,
    pub(crate) launched: Vec<FlightKey>,
    due: BTreeMap<(Instant, u64), Due>,
    controls_left: usize,
    phase: Phase,
    ends_when_done: bool,
    liveness: Option<Duration>,
    seed: u64,
}

impl World {
    pub(crate) fn new(setup: &Setup, seed: u64, detail: Detail) -> Self {
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
            net: Net::new(setup, seed),
            adversaries: Adversaries::new(&setup.adversaries, seed, setup.resolution),
            losses: BTreeMap::new(),
            canary,
            healed_at: None,
            launched: Vec::new(),
            due: BTreeMap::new(),
            controls_left: setup.controls.len(),
            phase: Phase::Work,
            ends_when_done: setup.ends_when_done,
            liveness: setup.liveness,
            seed,
        };
        for (at, control) in &setup.controls {
            world.schedule(*at, Due::Control(control.clone()));
        }
        world.schedule(Instant::ZERO + setup.duration, Due::EndOfWork);
        world
    }

    fn schedule(&mut self, at: Instant, due: Due) {
        let key = (round_up(at, self.resolution), self.due.len() as u64);
        self.due.insert(key, due);
    }

    /// When the laboratory or the network next does something, hosts aside.
    pub(crate) fn next_due(&self) -> Option<Instant> {
        let own = self.due.first_key_value().map(|((at, _), _)| *at);
        own.into_iter()
            .chain(self.net.next_due())
            .chain(self.adversaries.next_due())
            .min()
    }

    /// Whether the run is over.
    pub(crate) fn is_over(&self) -> bool {
        self.phase == Phase::Over
    }

    /// Begins the tick at `now`: controls first, then the datagrams that find nobody at home.
    pub(crate) fn begin_tick(&mut self, now: Instant) -> Vec<Power> {
        self.now = now;
        let mut power = Vec::new();
        while let Some(entry) = self.due.first_entry().filter(|entry| entry.key().0 <= now) {
            match entry.remove() {
                Due::Control(control) => {
                    self.controls_left -= 1;
                    power.extend(self.control(&control));
                }
                Due::EndOfWork => self.end_work(),
                Due::Heal => self.heal(),
                Due::EndOfLiveness => self.phase = Phase::Over,
            }
        }
        self.act_adversaries();
        for target in self.net.targets_due(now) {
            if !self.is_host(target) {
                self.take_answers(target);
            } else if !self.receives(target) {
                self.lose_arrivals(target);
            }
        }
        power
    }

    /// Whether this is the number of a host, not of an adversary.
    pub(crate) fn is_host(&self, id: HostId) -> bool {
        usize::from(id) < self.hosts.len()
    }

    /// A host that starts in this very tick does not yet receive; neither does one that is down.
    fn receives(&self, host: HostId) -> bool {
        let state = &self.hosts[usize::from(host)];
        state.up && state.booted_at != Some(self.now)
    }

    fn lose_arrivals(&mut self, target: HostId) {
        while let Some((_, flight)) = self.net.take_due(self.now, target) {
            self.lose(Some(target), Some(target), flight.record, LossReason::HostDown);
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
            Control::Tell(text) => (text.clone(), None),
            Control::Rebind(..) => return None, // by now
        };
        let record = self.record(None, 0, RecordKind::Fault { text });
        match control {
            Control::Crash(host) => self.hosts[usize::from(*host)].up = false,
            Control::Restart(host) => self.hosts[usize::from(*host)].up = false, // until `boot`
            Control::Partition(a, b) => self.net.set_partitioned(*a, *b, true),
            Control::Repair(a, b) => self.net.set_partitioned(*a, *b, false),
            Control::Command(host, command) => {
                let state = &mut self.hosts[usize::from(*host)];
                state.wake_requested = true;
                state.commands.push_back((command.clone(), record));
            }
            Control::Rebind(..) | Control::Tell(_) => {}
        }
        power
    }

    fn rebind(&mut self, host: HostId, to: SocketAddr) {
        let state = &mut self.hosts[usize::from(host)];
        let from = std::mem::replace(&mut state.address, to);
        self.net.rebind(host, from, to);
        self.record(Some(host), 0, RecordKind::Rebound { to: to.to_string() });
    }

    /// Ends the tick: what every client has done so far decides how the run goes on.
    pub(crate) fn end_tick(&mut self) {
        match self.phase {
            Phase::Work if self.ends_when_done && !self.has_plans() && self.all_done() => {
                self.end_work();
            }
            Phase::Liveness { .. } if self.healed_at.is_some() && self.all_alive() => {
                self.phase = Phase::Over;
            }
            _ => {}
        }
    }

    /// Whether the scenario or an adversary will still do something.
    fn has_plans(&self) -> bool {
        self.controls_left > 0 || self.adversaries.next_due().is_some()
    }

    fn all_done(&self) -> bool {
        self.hosts.iter().all(|host| host.progress.is_done())
    }

    fn all_alive(&self) -> bool {
        self.hosts.iter().all(|host| !host.progress.awaits_liveness())
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
            host.finally = Some(status.name());
        }
        let connected = |host: &HostState| host.up && host.status == Some(TunnelStatus::Connected);
        match self.liveness {
            Some(liveness) if self.hosts.iter().any(connected) => {
                let heal_at = self.now + self.resolution;
                let until = round_up(heal_at + liveness, self.resolution);
                self.phase = Phase::Liveness { until };
                self.schedule(heal_at, Due::Heal);
                self.schedule(until, Due::EndOfLiveness);
            }
            _ => self.phase = Phase::Over,
        }
    }

    fn heal(&mut self) {
        self.net.heal();
        self.adversaries.rest();
        self.healed_at = Some(self.now);
        self.record(
            None,
            0,
            RecordKind::Fault {
                text: "all faults heal; a ping must pass".into(),
            },
        );
        for host in &mut self.hosts {
            if host.up && host.status == Some(TunnelStatus::Connected) && host.spec.script.is_some() {
                host.progress.want_liveness();
                host.wake_requested = true;
            }
        }
    }

    /// Starts a host: a fresh node that knows nothing of earlier boots.
    pub(crate) fn boot(&mut self, host: HostId) -> Node {
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
        self.checks.see_boot(host);
        let numbers = [u64::from(host), u64::from(number)];
        let boot = Boot {
            seed: derive_seed(self.seed, "peer", &numbers),
            number,
        };
        let stack_seed = derive_seed(self.seed, "stack", &numbers);
        let stack_seed = stack_seed
            .iter()
            .take(8)
            .fold(0, |seed, byte| seed << 8 | u64::from(*byte));
        Node::new(host, spec, &boot, stack_seed, self.canary, record)
    }

    /// Whether the host must take a turn now though nothing arrives or is due; asking clears it.
    pub(crate) fn take_wake_request(&mut self, host: HostId) -> bool {
        std::mem::take(&mut self.hosts[usize::from(host)].wake_requested)
    }

    #[cfg(feature = "turmoil")]
    pub(crate) fn wake_requested(&self, host: HostId) -> bool {
        self.hosts[usize::from(host)].wake_requested
    }

    /// Takes what arrives at `host` now, in order of sender and link sequence, and records it.
    pub(crate) fn take_arrivals(&mut self, host: HostId) -> Vec<Arrival> {
        let mut arrivals = Vec::new();
        while let Some((key, mut flight)) = self.net.take_due(self.now, host) {
            if flight.to != self.hosts[usize::from(host)].address {
                self.lose(Some(host), Some(host), flight.record, LossReason::NoHost);
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

    /// Records the arrival of a datagram that `source` had sent.
    pub(crate) fn receive(&mut self, host: HostId, source: HostId, flight: &Flight) -> RecordId {
        let (len, print) = (flight.payload.len() as u64, flight.print);
        let kind = RecordKind::Received {
            from: source,
            kind: flight.kind,
            len,
            print,
        };
        let id = self
            .trace
            .add_packet(self.now, Some(host), flight.record, kind, &flight.payload);
        self.net.counts.delivered += 1;
        self.checks.see_received(id, host, flight.from, len, print);
        self.checks
            .see_conservation(id, self.net.counts, self.net.in_flight());
        id
    }

    /// Puts a host's datagram on the network.
    pub(crate) fn send(&mut self, host: HostId, cause: RecordId, datagram: Datagram) {
        let Datagram {
            remote,
            kind,
            payload,
        } = datagram;
        let sending = self.net.decide(self.now, host, remote, kind, &payload);
        let print = fingerprint(&payload);
        let record = RecordKind::Sent {
            to: sending.target,
            kind,
            nth: sending.nth,
            len: payload.len() as u64,
            print,
        };
        let sent = self
            .trace
            .add_packet(self.now, Some(host), cause, record, &payload);
        self.checks.see_sent(Outgoing {
            record: sent,
            now: self.now,
            host,
            remote,
            payload: &payload,
            print,
        });
        self.net.counts.made += 1;
        let flight = Flight {
            record: 0,
            origin: host,
            from: self.hosts[usize::from(host)].address,
            to: remote,
            kind,
            print,
            payload,
        };
        match self.seen_by_adversaries(host, sent, &sending, &flight) {
            Some(seen) => {
                let (alterations, hold) = self.alterations(&seen, sending.fate);
                match hold {
                    true => self.hold_back(&seen, &sending),
                    false => self.launch(host, sent, &sending, flight),
                }
                self.show_adversaries(&seen, &sending, alterations);
            }
            None => self.launch(host, sent, &sending, flight),
        }
        self.checks
            .see_conservation(sent, self.net.counts, self.net.in_flight());
    }

    /// The datagram as an adversary sees it, if one does.
    fn seen_by_adversaries(
        &self,
        sender: HostId,
        record: RecordId,
        sending: &Sending,
        flight: &Flight,
    ) -> Option<Captured> {
        let target = sending.target?;
        let seen = !self.adversaries.watching(sender, target).is_empty();
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

    /// Lets the copies of a datagram set out, or loses it, as its fate is.
    pub(crate) fn launch(&mut self, source: HostId, sent: RecordId, sending: &Sending, flight: Flight) {
        match (sending.fate, sending.target) {
            (Fate::Copies([first, second]), Some(target)) => {
                self.net.counts.made += u64::from(second.is_some());
                let second = second.map(|copy| (1, copy, flight.clone()));
                let first = first.map(|copy| (0, copy, flight));
                for (number, copy, flight) in first.into_iter().chain(second) {
                    match copy {
                        Ok(copy) => self.launch_copy(source, target, sent, (number, copy), flight),
                        Err(reason) => self.lose(Some(source), Some(target), sent, reason),
                    }
                }
            }
            (Fate::Lost(reason), target) => self.lose(Some(source), target, sent, reason),
            (Fate::Copies(_), None) => self.lose(Some(source), None, sent, LossReason::NoHost),
        }
    }

    fn launch_copy(
        &mut self,
        source: HostId,
        target: HostId,
        sent: RecordId,
        (number, copy): (u64, crate::link::Copy),
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

    pub(crate) fn lose(
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

    /// Writes a record; what it says in words is searched for secrets.
    pub(crate) fn record(&mut self, host: Option<HostId>, cause: RecordId, kind: RecordKind) -> RecordId {
        let mut text = String::new();
        if let RecordKind::Fault { text: words }
        | RecordKind::Task { text: words, .. }
        | RecordKind::LoggedIn { login: words, .. }
        | RecordKind::SessionEnded { login: words, .. } = &kind
        {
            text.clone_from(words);
        }
        let id = self.trace.add(self.now, host, cause, kind);
        if !text.is_empty() {
            self.checks.see_public_bytes(id, text.as_bytes());
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
            finally: None,
            misgiven: None,
            counters: Vec::new(),
            commands: VecDeque::new(),
            wake_requested: false,
            up: false,
            boots: 0,
            booted_at: None,
        }
    }
}
