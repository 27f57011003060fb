//! One host: its peer, the network stack behind the peer, and the client's script. It is the same in both engines.

mod notices;

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use sandhog_netstack::{EventKind as StackEvent, Host as Stack, Task, TaskId};
use sandhog_peer::{
    Batch, Command, EventKind, Instant, NetworkSettings, PacketBuf, Peer, Reason, State, TunnelStatus,
};

use crate::grid::round_up;
use crate::limits::{Limited, TurnUse};
use crate::progress::{Liveness, StepState};
use crate::record::{HostId, RecordId, RecordKind, format_duration};
use crate::setup::{HostSpec, InnerSpec};
use crate::task_text::{task_begins, task_ended};
use crate::trace::fingerprint;
use crate::world::{Arrival, NodeInputs, World};

/// Interval of the laboratory's pings (P9).
const LIVENESS_INTERVAL: Duration = Duration::from_millis(500);

/// Timeout of each ping of P9. The setup limits the time of all of them.
const LIVENESS_TIMEOUT: Duration = Duration::from_secs(60);

/// A host during one boot.
pub(crate) struct Node {
    id: HostId,
    spec: Arc<HostSpec>,
    peer: Box<dyn Peer>,
    stack: Option<Stack>,
    /// The description that the stack was created from.
    inner: Option<InnerSpec>,
    stack_seed: u64,
    canary: [u8; 16],
    /// The peer's deadline, from its last turn.
    deadline: Option<(Instant, Reason)>,
    /// The running tasks with their steps, from 0, or `None` for the ping of P9.
    tasks: Vec<(TaskId, Option<usize>)>,
    /// True if the script has started the tunnel in this boot.
    started: bool,
    /// The cause of outputs without a tag: the last boot, command or timer.
    cause: RecordId,
    /// The arrivals of this turn: record, the host that created the bytes, and source address.
    senders: Vec<(RecordId, HostId, SocketAddr)>,
    /// The limited activities of this turn.
    used: TurnUse,
    input: Batch,
    output: Batch,
    packet: Vec<u8>,
}

impl Node {
    /// Starts a host with a new peer.
    pub(crate) fn boot(world: &mut World, id: HostId) -> Self {
        let NodeInputs {
            spec,
            boot,
            stack_seed,
            record,
        } = world.begin_boot(id);
        let peer = (spec.make_peer)(&boot);
        let mut node = Self {
            id,
            spec: Arc::clone(&spec),
            peer,
            stack: None,
            inner: None,
            stack_seed,
            canary: world.canary,
            deadline: None,
            tasks: Vec::new(),
            started: false,
            cause: record,
            senders: Vec::new(),
            used: TurnUse::default(),
            input: Batch::default(),
            output: Batch::default(),
            packet: Vec::new(),
        };
        if let Some(inner) = spec.inner.as_ref().filter(|inner| !inner.addresses.is_empty()) {
            node.start_stack(inner.clone());
        }
        node
    }

    /// Creates the inner host.
    fn start_stack(&mut self, inner: InnerSpec) {
        let mut stack = Stack::new(inner.config(self.stack_seed, self.canary));
        stack.set_limits(inner.limits);
        inner
            .services
            .iter()
            .for_each(|service| stack.serve(service.clone()));
        self.stack = Some(stack);
        self.inner = Some(inner);
    }

    /// Applies the settings that the peer received. If the setup gives the addresses of the inner host, they must be equal.
    /// Otherwise an inner host with the received addresses is created, and replaced when they change.
    fn apply_settings(&mut self, world: &mut World, settings: &NetworkSettings) {
        let Some(described) = self.spec.inner.clone() else {
            return;
        };
        let received = settings.addresses.iter();
        let received: Vec<(IpAddr, u8)> = received.map(|prefix| (prefix.address, prefix.length)).collect();
        if !described.addresses.is_empty() {
            let [expected, received] =
                [&described.addresses, &received].map(|addresses| sorted_list(addresses));
            if expected != received {
                let detail = format!("received {received}, expected {expected}");
                world.hosts[usize::from(self.id)]
                    .address_mismatch
                    .get_or_insert(detail);
            }
            let mtu = described.mtu.min(settings.mtu);
            if self.accepts(world, &InnerSpec { mtu, ..described }) {
                self.set_mtu(mtu);
            }
            return;
        }
        let inner = InnerSpec {
            addresses: received,
            mtu: settings.mtu,
            ..described
        };
        if !self.accepts(world, &inner) {
            return;
        }
        let is_same_host = |present: &InnerSpec| present.addresses == inner.addresses;
        if self.inner.as_ref().is_some_and(is_same_host) {
            self.set_mtu(inner.mtu);
        } else {
            // The tasks of the old inner host start again on the new one.
            self.tasks.clear();
            world.hosts[usize::from(self.id)].progress.restart_tasks();
            self.start_stack(inner);
        }
    }

    /// Returns true if an inner host can have these settings. Otherwise a check of the client fails.
    fn accepts(&self, world: &mut World, inner: &InnerSpec) -> bool {
        let Err(error) = inner.config(self.stack_seed, self.canary).check() else {
            return true;
        };
        let detail = format!("received invalid settings: {error}");
        world.hosts[usize::from(self.id)]
            .address_mismatch
            .get_or_insert(detail);
        false
    }

    /// Changes the MTU of the inner host.
    fn set_mtu(&mut self, mtu: u16) {
        if let (Some(stack), Some(inner)) = (&mut self.stack, &mut self.inner)
            && inner.mtu != mtu
        {
            stack.set_mtu(usize::from(mtu));
            inner.mtu = mtu;
        }
    }

    /// Handles all arrivals and due timers at `world.now`. Returns the time of the next turn, on the grid and at least one step
    /// from now.
    pub(crate) fn turn(&mut self, world: &mut World, arrivals: Vec<Arrival>) -> Option<Instant> {
        self.senders.clear();
        self.used = TurnUse::default();
        for (sender, datagram) in arrivals {
            self.senders.push((datagram.payload.tag, sender, datagram.remote));
            self.input.datagrams.push(datagram);
        }
        self.record_due_timer(world);
        self.take_commands(world);
        let now = since_origin(world.now);
        if let Some(stack) = &mut self.stack
            && stack.poll_timeout(now).is_some_and(|due| due <= now)
        {
            stack.handle_timeout(now);
            self.drain_stack(world, None);
        }
        while self.may(world, Limited::Rounds) {
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
        world.checks.on_turn_end(latest, self.id, self.peer.gauges());
        self.next_turn(world)
    }

    fn record_due_timer(&mut self, world: &mut World) {
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

    /// Gives the peer the commands of its user: the start of the script, and the commands of the setup.
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
        world.hosts[usize::from(self.id)].progress.on_command(&command);
        if let Err(misuse) = self.peer.command(world.now, command) {
            let text = format!("{} was refused: {misuse}", self.spec.name);
            world.record(Some(self.id), self.cause, RecordKind::Fault { text });
        }
    }

    /// Counts an activity of this turn. Returns false if the run has exceeded a limit.
    fn may(&mut self, world: &mut World, limited: Limited) -> bool {
        if let Err(problem) = self.used.add(limited) {
            world.exceed(&format!("{}: {problem}", self.spec.name));
        }
        world.is_within_limits()
    }

    /// One turn of the peer. Its datagrams are sent and its events recorded.
    fn peer_turn(&mut self, world: &mut World) {
        self.deadline = self.peer.turn(world.now, &mut self.input, &mut self.output);
        self.input.clear();
        while let Some(event) = self.peer.poll_event() {
            if !self.may(world, Limited::Events) {
                return;
            }
            self.on_peer_event(world, event.tag, event.kind);
        }
        for datagram in std::mem::take(&mut self.output.datagrams) {
            if !self.may(world, Limited::Datagrams) {
                return;
            }
            let cause = self.cause_of(datagram.payload.tag);
            world.send(self.id, cause, datagram);
        }
    }

    fn on_peer_event(&mut self, world: &mut World, tag: RecordId, event: EventKind) {
        self.notify_checks(world, tag, &event);
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
                    self.apply_settings(world, settings);
                }
                let progress = &mut world.hosts[host].progress;
                match &result {
                    Ok(_) => progress.start_completed(),
                    Err(error) => progress.start_failed(error.name()),
                }
                let result = result.map_or_else(|error| error.name(), |_| "connected");
                if world.is_working() {
                    world.hosts[host].started.get_or_insert((result, now));
                }
                RecordKind::Started { result }
            }
            EventKind::SettingsChanged(settings) => {
                self.apply_settings(world, &settings);
                RecordKind::SettingsChanged
            }
            EventKind::Cancelled(error) => {
                world.hosts[host].progress.start_failed(error.name());
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
            EventKind::RecordChanged { .. } => RecordKind::Event {
                event: "record-changed",
            },
            EventKind::PasswordChanged(result) => RecordKind::Event {
                event: result.map_or("password-change-failed", |()| "password-changed"),
            },
            EventKind::Other(event) => RecordKind::Event { event },
            EventKind::Dropped(reason) => RecordKind::Dropped {
                reason: reason.name(),
            },
            _ => return,
        };
        world.record(Some(self.id), self.cause_of(tag), kind);
    }

    /// Runs the peer's jobs. In simulated time they take no time.
    fn run_jobs(&mut self, world: &mut World) -> bool {
        let mut any = false;
        while let Some(job) = self.peer.poll_job() {
            if !self.may(world, Limited::Jobs) {
                return false;
            }
            any |= self.peer.handle_job(world.now, job.run()).is_ok();
        }
        any
    }

    /// Gives the packets from the tunnel to the stack, one at a time, so that each reply has its cause.
    fn deliver(&mut self, world: &mut World) {
        for packet in std::mem::take(&mut self.output.packets) {
            if !self.may(world, Limited::Packets) {
                return;
            }
            let fingerprint = fingerprint(&packet);
            let kind = RecordKind::InnerIn {
                len: packet.len() as u64,
                fingerprint,
            };
            let id = world
                .trace
                .add_packet(world.now, Some(self.id), packet.tag, kind, &packet);
            world
                .checks
                .on_inner_in(id, &packet, fingerprint, self.id, self.sender_of(packet.tag));
            if let Some(stack) = &mut self.stack {
                stack.handle_packet(since_origin(world.now), &packet);
                self.drain_stack(world, Some(id));
            }
        }
    }

    /// Takes packets and events out of the stack. Without a `cause`, a timer of the stack caused them. It gets a record if there
    /// is a packet.
    fn drain_stack(&mut self, world: &mut World, cause: Option<RecordId>) {
        let mut cause = cause;
        let Some(stack) = &mut self.stack else { return };
        while stack.poll_packet(&mut self.packet) {
            let timer = RecordKind::Timer { reason: "inner-host" };
            let cause = *cause.get_or_insert_with(|| world.record(Some(self.id), 0, timer));
            let fingerprint = fingerprint(&self.packet);
            let kind = RecordKind::InnerOut {
                len: self.packet.len() as u64,
                fingerprint,
            };
            let id = world
                .trace
                .add_packet(world.now, Some(self.id), cause, kind, &self.packet);
            world.checks.on_inner_out(fingerprint, self.id);
            self.input
                .packets
                .push(PacketBuf::copied_from(&self.packet).with_tag(id));
        }
        let mut events = Vec::new();
        while let Some(event) = stack.poll_event() {
            events.push(event);
        }
        for event in events {
            self.on_stack_event(world, cause.unwrap_or_default(), event.task, event.kind);
        }
    }

    fn on_stack_event(&mut self, world: &mut World, cause: RecordId, task: TaskId, event: StackEvent) {
        let Some(position) = self.tasks.iter().position(|(id, _)| *id == task) else {
            return;
        };
        let (_, step) = self.tasks[position];
        let number = step.map_or(0, |index| index as u32 + 1);
        let text = match &event {
            StackEvent::PingReply { seq, rtt } => format!("ping {}: {}", seq + 1, format_duration(*rtt)),
            StackEvent::PingLost { seq } => format!("ping {}: no answer", seq + 1),
            StackEvent::EchoReply { seq, rtt } => format!("echo {}: {}", seq + 1, format_duration(*rtt)),
            StackEvent::EchoLost { seq } => format!("echo {}: no answer", seq + 1),
            StackEvent::Connected => "TCP connection stands".into(),
            StackEvent::Done(_) | StackEvent::Failed(_) => {
                self.tasks.remove(position);
                self.on_task_end(world, cause, step, &event);
                return;
            }
        };
        world.record(Some(self.id), cause, RecordKind::Task { step: number, text });
        if let (None, StackEvent::PingReply { .. }) = (step, &event) {
            world.hosts[usize::from(self.id)]
                .progress
                .liveness_passed(world.now);
        }
    }

    fn on_task_end(&mut self, world: &mut World, cause: RecordId, step: Option<usize>, event: &StackEvent) {
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

    /// Starts the next steps of the script, and the ping of P9.
    fn advance_script(&mut self, world: &mut World) {
        let spec = Arc::clone(&self.spec);
        let Some(script) = &spec.script else {
            return;
        };
        if world.hosts[usize::from(self.id)].status != Some(TunnelStatus::Connected) {
            return;
        }
        if world.hosts[usize::from(self.id)].progress.liveness() == Liveness::Requested {
            world.hosts[usize::from(self.id)].progress.liveness_started();
            let ping = Task::Ping {
                to: script.liveness_target,
                count: u16::MAX,
                interval: LIVENESS_INTERVAL,
                payload_len: 56,
                timeout: LIVENESS_TIMEOUT,
            };
            self.start_task(world, None, ping);
        }
        if !world.is_working() {
            return;
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
            self.start_task(world, Some(index), script.steps[index].task.clone());
        }
    }

    fn start_task(&mut self, world: &mut World, step: Option<usize>, task: Task) {
        let Some(stack) = &mut self.stack else { return };
        let number = step.map_or(0, |index| index as u32 + 1);
        let text = task_begins(&task);
        self.tasks
            .push((stack.start(since_origin(world.now), task), step));
        let record = world.record(Some(self.id), 0, RecordKind::Task { step: number, text });
        self.drain_stack(world, Some(record));
    }

    /// The earliest deadline of the peer, the stack and the script.
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

    /// Describes the host before a turn at `now`. Returns false if the peer or the inner host does not describe its state.
    pub(crate) fn describe(&self, now: Instant, state: &mut State<'_>) -> bool {
        state.flag(self.started);
        state.number(self.tasks.len() as u64);
        for (_, step) in &self.tasks {
            state.number(step.map_or(0, |step| step as u64 + 1));
        }
        let Some(stack) = &self.stack else {
            return self.peer.describe(state);
        };
        let complete = stack.describe(since_origin(now), &mut |number| state.number(number));
        complete && self.peer.describe(state)
    }

    /// The record that a tag refers to, or the last boot, command or timer for tag 0.
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

/// The addresses as sorted text, for comparison and for reports.
fn sorted_list(addresses: &[(IpAddr, u8)]) -> String {
    let mut addresses: Vec<_> = addresses.to_vec();
    addresses.sort_unstable();
    let addresses: Vec<_> = addresses
        .iter()
        .map(|(address, length)| format!("{address}/{length}"))
        .collect();
    addresses.join(", ")
}
