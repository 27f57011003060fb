//! One host's turn: the peer, the network stack behind it, and what its user does. The same in both engines.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use sandhog_netstack::{EventKind as StackEvent, Host as Stack, Task, TaskId};
use sandhog_peer::{
    Batch, Command, EventKind, Instant, NetworkSettings, PacketBuf, Peer, Reason, TunnelStatus,
};

use crate::net::round_up;
use crate::progress::{Liveness, StepState};
use crate::record::{HostId, RecordId, RecordKind, in_words};
use crate::setup::{Boot, HostSpec, InnerSpec};
use crate::task_text::{task_begins, task_ended};
use crate::trace::fingerprint;
use crate::world::{Arrival, World};

/// How often peer and stack may hand packets to each other within one turn. More is a loop between the two.
const MAX_ROUNDS: u32 = 10_000;

/// How often the laboratory's own ping is repeated.
const LIVENESS_INTERVAL: Duration = Duration::from_millis(500);

/// How long it waits for each answer; the scenario decides how long it may take in all.
const LIVENESS_PATIENCE: Duration = Duration::from_secs(60);

/// A host between its boot and its end.
pub(crate) struct Node {
    id: HostId,
    spec: Arc<HostSpec>,
    peer: Box<dyn Peer>,
    stack: Option<Stack>,
    /// What the stack was made of.
    inner: Option<InnerSpec>,
    stack_seed: u64,
    canary: [u8; 16],
    /// The peer's deadline as of its last turn.
    deadline: Option<(Instant, Reason)>,
    /// The tasks under way: their step, counted from 0, or `None` for the laboratory's ping.
    tasks: Vec<(TaskId, Option<usize>)>,
    /// Whether this boot has started the tunnel.
    started: bool,
    /// What causes things that no packet caused: boot, command or timer.
    cause: RecordId,
    /// Who made what arrived in this turn, and the address it came from, by the record of its arrival.
    senders: Vec<(RecordId, HostId, SocketAddr)>,
    input: Batch,
    output: Batch,
    packet: Vec<u8>,
}

impl Node {
    pub(crate) fn new(
        id: HostId,
        spec: Arc<HostSpec>,
        boot: &Boot,
        stack_seed: u64,
        canary: [u8; 16],
        record: RecordId,
    ) -> Self {
        let peer = (spec.make_peer)(boot);
        let mut node = Self {
            id,
            spec: Arc::clone(&spec),
            peer,
            stack: None,
            inner: None,
            stack_seed,
            canary,
            deadline: None,
            tasks: Vec::new(),
            started: false,
            cause: record,
            senders: Vec::new(),
            input: Batch::default(),
            output: Batch::default(),
            packet: Vec::new(),
        };
        if let Some(inner) = spec.inner.as_ref().filter(|inner| !inner.addresses.is_empty()) {
            node.put_stack(inner.clone());
        }
        node
    }

    /// Puts a host inside the tunnel.
    fn put_stack(&mut self, inner: InnerSpec) {
        let mut stack = Stack::new(inner.config(self.stack_seed, self.canary));
        inner
            .services
            .iter()
            .for_each(|service| stack.serve(service.clone()));
        self.stack = Some(stack);
        self.inner = Some(inner);
    }

    /// The peer has settings for its device. An inner host that the scenario describes must be what they describe;
    /// else there is one from now on with these addresses, and another one when they change.
    fn take_settings(&mut self, world: &mut World, settings: &NetworkSettings) {
        let Some(described) = self.spec.inner.clone() else {
            return;
        };
        let given = settings.addresses.iter();
        let given: Vec<(IpAddr, u8)> = given.map(|prefix| (prefix.address, prefix.length)).collect();
        if !described.addresses.is_empty() {
            let [expected, given] = [&described.addresses, &given].map(|addresses| listed(addresses));
            if expected != given {
                let detail = format!("{given} given, not {expected}");
                world.hosts[usize::from(self.id)].misgiven.get_or_insert(detail);
            }
            self.set_mtu(described.mtu.min(settings.mtu));
            return;
        }
        let inner = InnerSpec {
            addresses: given,
            mtu: settings.mtu,
            services: described.services,
        };
        let is_same_host = |present: &InnerSpec| present.addresses == inner.addresses;
        if self.inner.as_ref().is_some_and(is_same_host) {
            self.set_mtu(inner.mtu);
        } else {
            // What the host before was doing ends with it, and begins again.
            self.tasks.clear();
            world.hosts[usize::from(self.id)].progress.reboot();
            self.put_stack(inner);
        }
    }

    /// Gives the device another MTU, if it is another one.
    fn set_mtu(&mut self, mtu: u16) {
        if let (Some(stack), Some(inner)) = (&mut self.stack, &mut self.inner)
            && inner.mtu != mtu
        {
            stack.set_mtu(usize::from(mtu));
            inner.mtu = mtu;
        }
    }

    /// Takes everything that is there at `world.now`, acts on what is due, and tells when to come again: on the grid,
    /// at least one step away.
    pub(crate) fn turn(&mut self, world: &mut World, arrivals: Vec<Arrival>) -> Option<Instant> {
        self.senders.clear();
        for (sender, datagram) in arrivals {
            self.senders.push((datagram.payload.tag, sender, datagram.remote));
            self.input.datagrams.push(datagram);
        }
        self.take_due_timer(world);
        self.take_commands(world);
        let now = since_origin(world.now);
        if let Some(stack) = &mut self.stack
            && stack.poll_timeout(now).is_some_and(|due| due <= now)
        {
            stack.handle_timeout(now);
            self.drain_stack(world, None);
        }
        for _ in 0..MAX_ROUNDS {
            self.peer_turn(world);
            let more_jobs = self.run_jobs(world);
            self.deliver(world);
            self.advance_script(world);
            if self.input.is_empty() && !more_jobs {
                break;
            }
        }
        if let Some(counters) = world.hosts[usize::from(self.id)].counters.last_mut() {
            *counters = self.peer.counters();
        }
        let latest = world.trace.len();
        world.checks.see_gauges(latest, self.id, self.peer.gauges());
        self.next_turn(world)
    }

    fn take_due_timer(&mut self, world: &mut World) {
        if let Some((due, reason)) = self.deadline
            && due <= world.now
        {
            self.cause = world.record(
                Some(self.id),
                0,
                RecordKind::Timer {
                    reason: reason.name(),
                },
            );
        }
    }

    /// Gives the peer what its user asks for: the script's start, and the scenario's commands.
    fn take_commands(&mut self, world: &mut World) {
        let starts = self
            .spec
            .script
            .as_ref()
            .is_some_and(|script| !self.started && script.start <= world.now);
        if starts {
            self.started = true;
            self.command(world, Command::Start, self.cause);
        }
        while let Some((command, cause)) = world.hosts[usize::from(self.id)].commands.pop_front() {
            self.command(world, command, cause);
        }
    }

    fn command(&mut self, world: &mut World, command: Command, cause: RecordId) {
        self.cause = world.record(
            Some(self.id),
            cause,
            RecordKind::Command {
                command: command.name(),
            },
        );
        let progress = &mut world.hosts[usize::from(self.id)].progress;
        match command {
            Command::Start => progress.start_awaited(),
            Command::Stop => progress.start_completed(false),
            _ => {}
        }
        if let Err(misuse) = self.peer.command(world.now, command) {
            let text = format!("{} was refused: {misuse}", self.spec.name);
            world.record(Some(self.id), self.cause, RecordKind::Fault { text });
        }
    }

    /// One turn of the peer: its datagrams go out, its events are recorded.
    fn peer_turn(&mut self, world: &mut World) {
        self.deadline = self.peer.turn(world.now, &mut self.input, &mut self.output);
        self.input.clear();
        while let Some(event) = self.peer.poll_event() {
            self.peer_event(world, event.tag, event.kind);
        }
        for datagram in std::mem::take(&mut self.output.datagrams) {
            let cause = self.cause_of(datagram.payload.tag);
            world.send(self.id, cause, datagram);
        }
    }

    fn peer_event(&mut self, world: &mut World, tag: RecordId, event: EventKind) {
        self.tell_checks(world, tag, &event);
        let (host, now) = (usize::from(self.id), world.now);
        let kind = match event {
            EventKind::Status(status) => {
                world.hosts[host].status = Some(status);
                RecordKind::Status {
                    status: status.name(),
                }
            }
            EventKind::Started(result) => {
                if let Ok(settings) = &result {
                    self.take_settings(world, settings);
                }
                let result = result.map_or_else(|error| error.name(), |_| "connected");
                world.hosts[host].started.get_or_insert((result, now));
                world.hosts[host].progress.start_completed(result == "connected");
                RecordKind::Started { result }
            }
            EventKind::SettingsChanged(settings) => {
                self.take_settings(world, &settings);
                RecordKind::SettingsChanged
            }
            EventKind::Cancelled(error) => {
                world.hosts[host].progress.start_completed(false);
                RecordKind::Started { result: error.name() }
            }
            EventKind::LoggedIn { login, remote } => RecordKind::LoggedIn {
                login,
                from: world.net.host_at(remote),
            },
            EventKind::LoginRefused { remote } => RecordKind::LoginRefused {
                from: world.net.host_at(remote),
            },
            EventKind::Roamed { from, to } => RecordKind::Roamed {
                from: from.to_string(),
                to: to.to_string(),
            },
            EventKind::Retrying(error) => RecordKind::Retrying { error: error.name() },
            EventKind::Rekeyed { epoch } => RecordKind::Rekeyed { epoch },
            EventKind::SessionEnded { login, reason } => RecordKind::SessionEnded { login, reason },
            EventKind::Other(event) => RecordKind::Event { event },
            EventKind::Dropped(reason) => RecordKind::Dropped {
                reason: reason.name(),
            },
            _ => return,
        };
        world.record(Some(self.id), self.cause_of(tag), kind);
    }

    /// What an event means to the checks. It is told before its record is written, which will be the next.
    fn tell_checks(&self, world: &mut World, tag: RecordId, event: &EventKind) {
        let (now, sender) = (world.now, self.sender_of(tag));
        let is_client = self.spec.script.is_some();
        match event {
            EventKind::Status(TunnelStatus::Connected) => {
                if let Some(server) = sender {
                    world.checks.see_authenticated(self.id, server);
                }
                world.checks.see_key(self.id, None, now);
            }
            EventKind::Started(Ok(settings)) => {
                let addresses = settings.addresses.iter().map(|prefix| prefix.address);
                world.checks.see_addresses(self.id, addresses.collect());
                world.checks.see_key(self.id, None, now);
            }
            EventKind::SettingsChanged(settings) => {
                let addresses = settings.addresses.iter().map(|prefix| prefix.address);
                world.checks.see_addresses(self.id, addresses.collect());
            }
            EventKind::LoggedIn { login, remote } => {
                for from in [sender, world.net.host_at(*remote)].into_iter().flatten() {
                    world.checks.see_authenticated(self.id, from);
                }
                world.checks.see_validated(self.id, *remote);
                world.checks.see_session(self.id, login, *remote);
                world.checks.see_key(self.id, Some(*remote), now);
            }
            EventKind::SessionEnded { login, .. } => world.checks.see_session_ended(self.id, login),
            EventKind::Rekeyed { .. } if is_client => world.checks.see_key(self.id, None, now),
            EventKind::Rekeyed { .. } => {
                let remote = self.arrival_of(tag).map(|(_, _, remote)| *remote);
                if remote.is_some() {
                    world.checks.see_key(self.id, remote, now);
                }
            }
            EventKind::Roamed { from, to } => {
                let record = world.trace.len() + 1;
                world
                    .checks
                    .see_roamed(record, self.id, [*from, *to], tag, sender);
            }
            _ => {}
        }
    }

    /// Runs the slow work at once: in the laboratory it takes no time.
    fn run_jobs(&mut self, world: &World) -> bool {
        let mut any = false;
        while let Some(job) = self.peer.poll_job() {
            any |= self.peer.handle_job(world.now, job.run()).is_ok();
        }
        any
    }

    /// Hands what came out of the tunnel to the stack, one packet at a time, so that each answer has its cause.
    fn deliver(&mut self, world: &mut World) {
        for packet in std::mem::take(&mut self.output.packets) {
            let print = fingerprint(&packet);
            let kind = RecordKind::InnerIn {
                len: packet.len() as u64,
                print,
            };
            let id = world
                .trace
                .add_packet(world.now, Some(self.id), packet.tag, kind, &packet);
            world
                .checks
                .see_inner_in(id, &packet, print, self.id, self.sender_of(packet.tag));
            if let Some(stack) = &mut self.stack {
                stack.handle_packet(since_origin(world.now), &packet);
                self.drain_stack(world, Some(id));
            }
        }
    }

    /// Takes packets and events out of the stack. Without a `cause` it was the stack's own timer, which gets a record
    /// if anything comes of it.
    fn drain_stack(&mut self, world: &mut World, cause: Option<RecordId>) {
        let mut cause = cause;
        let Some(stack) = &mut self.stack else { return };
        while stack.poll_packet(&mut self.packet) {
            let timer = RecordKind::Timer { reason: "inner-host" };
            let cause = *cause.get_or_insert_with(|| world.record(Some(self.id), 0, timer));
            let print = fingerprint(&self.packet);
            let kind = RecordKind::InnerOut {
                len: self.packet.len() as u64,
                print,
            };
            let id = world
                .trace
                .add_packet(world.now, Some(self.id), cause, kind, &self.packet);
            world.checks.see_inner_out(print, self.id);
            self.input
                .packets
                .push(PacketBuf::copied_from(&self.packet).with_tag(id));
        }
        let mut events = Vec::new();
        while let Some(event) = stack.poll_event() {
            events.push(event);
        }
        for event in events {
            self.stack_event(world, cause.unwrap_or_default(), event.task, event.kind);
        }
    }

    fn stack_event(&mut self, world: &mut World, cause: RecordId, task: TaskId, event: StackEvent) {
        let Some(position) = self.tasks.iter().position(|(id, _)| *id == task) else {
            return;
        };
        let (_, step) = self.tasks[position];
        let number = step.map_or(0, |index| index as u32 + 1);
        let text = match &event {
            StackEvent::PingReply { seq, rtt } => format!("ping {}: {}", seq + 1, in_words(*rtt)),
            StackEvent::PingLost { seq } => format!("ping {}: no answer", seq + 1),
            StackEvent::EchoReply { seq, rtt } => format!("echo {}: {}", seq + 1, in_words(*rtt)),
            StackEvent::EchoLost { seq } => format!("echo {}: no answer", seq + 1),
            StackEvent::Connected => "TCP connection stands".into(),
            StackEvent::Done(_) | StackEvent::Failed(_) => {
                self.tasks.remove(position);
                self.task_over(world, cause, step, &event);
                return;
            }
        };
        world.record(Some(self.id), cause, RecordKind::Task { step: number, text });
        if let (None, StackEvent::PingReply { .. }) = (step, &event) {
            world.hosts[usize::from(self.id)]
                .progress
                .set_liveness(Liveness::Passed { at: world.now });
        }
    }

    fn task_over(&mut self, world: &mut World, cause: RecordId, step: Option<usize>, event: &StackEvent) {
        let Some((index, spec)) =
            step.and_then(|index| Some((index, self.spec.script.as_ref()?.steps.get(index)?)))
        else {
            return;
        };
        let (succeeded, text) = task_ended(spec, event);
        world.record(
            Some(self.id),
            cause,
            RecordKind::Task {
                step: index as u32 + 1,
                text: text.clone(),
            },
        );
        let state = StepState::Ended { succeeded, text };
        world.hosts[usize::from(self.id)].progress.set_step(index, state);
    }

    /// Begins what the client does next, and the laboratory's ping.
    fn advance_script(&mut self, world: &mut World) {
        let Some(script) = self.spec.script.clone() else {
            return;
        };
        if world.hosts[usize::from(self.id)].status != Some(TunnelStatus::Connected) {
            return;
        }
        if world.hosts[usize::from(self.id)].progress.liveness() == Liveness::Wanted {
            world.hosts[usize::from(self.id)]
                .progress
                .set_liveness(Liveness::Running);
            let ping = Task::Ping {
                to: script.liveness_target,
                count: u16::MAX,
                interval: LIVENESS_INTERVAL,
                payload_len: 56,
                timeout: LIVENESS_PATIENCE,
            };
            self.begin(world, None, ping);
        }
        while let Some((index, at)) = world.hosts[usize::from(self.id)]
            .progress
            .next_step(&script.steps)
        {
            if at > world.now {
                break;
            }
            world.hosts[usize::from(self.id)]
                .progress
                .set_step(index, StepState::Running);
            self.begin(world, Some(index), script.steps[index].task.clone());
        }
    }

    fn begin(&mut self, world: &mut World, step: Option<usize>, task: Task) {
        let Some(stack) = &mut self.stack else { return };
        let number = step.map_or(0, |index| index as u32 + 1);
        let text = task_begins(&task);
        self.tasks
            .push((stack.start(since_origin(world.now), task), step));
        let record = world.record(Some(self.id), 0, RecordKind::Task { step: number, text });
        self.drain_stack(world, Some(record));
    }

    /// The earliest of the peer's, the stack's and the script's deadlines.
    fn next_turn(&mut self, world: &World) -> Option<Instant> {
        let stack = self
            .stack
            .as_mut()
            .and_then(|stack| stack.poll_timeout(since_origin(world.now)));
        let stack = stack.map(|due| Instant::ZERO + due);
        let progress = &world.hosts[usize::from(self.id)].progress;
        let script = self.spec.script.as_ref().and_then(|script| match self.started {
            false => Some(script.start),
            true if progress.is_up() => progress
                .next_step(&script.steps)
                .map(|(_, at)| at)
                .filter(|at| *at > world.now),
            true => None,
        });
        let due = self
            .deadline
            .map(|(due, _)| due)
            .into_iter()
            .chain(stack)
            .chain(script)
            .min()?;
        Some(round_up(due, world.resolution).max(world.now + world.resolution))
    }

    /// The record behind a tag; what no input caused, the latest boot, command or timer did.
    fn cause_of(&self, tag: RecordId) -> RecordId {
        if tag == 0 { self.cause } else { tag }
    }

    fn sender_of(&self, tag: RecordId) -> Option<HostId> {
        self.arrival_of(tag).map(|(_, sender, _)| *sender)
    }

    fn arrival_of(&self, tag: RecordId) -> Option<&(RecordId, HostId, SocketAddr)> {
        self.senders.iter().find(|(record, ..)| *record == tag)
    }
}

fn since_origin(now: Instant) -> Duration {
    now.saturating_duration_since(Instant::ZERO)
}

/// Addresses in an order and a form of their own, to compare and to show.
fn listed(addresses: &[(IpAddr, u8)]) -> String {
    let mut addresses: Vec<_> = addresses.to_vec();
    addresses.sort_unstable();
    let addresses: Vec<_> = addresses
        .iter()
        .map(|(address, length)| format!("{address}/{length}"))
        .collect();
    addresses.join(", ")
}
