//! Event engine: goes from one tick to the next and calls the hosts directly, without tokio and without threads.

use std::collections::BTreeSet;
use std::ops::ControlFlow;

use sandhog_peer::Instant;

use crate::node::Node;
use crate::record::HostId;
use crate::world::{Power, World};

/// A host of the engine, with its next deadline.
#[derive(Default)]
pub(crate) struct Slot {
    pub(crate) node: Option<Node>,
    /// The time of its next turn.
    deadline: Option<Instant>,
}

/// All hosts of the engine, and their deadlines in order. A tick visits only the hosts that are due, so its cost does not depend
/// on the number of hosts.
struct Slots {
    slots: Vec<Slot>,
    deadlines: BTreeSet<(Instant, HostId)>,
}

impl Slots {
    fn new(hosts: usize) -> Self {
        Self {
            slots: (0..hosts).map(|_| Slot::default()).collect(),
            deadlines: BTreeSet::new(),
        }
    }

    /// The time of the first deadline.
    fn next_deadline(&self) -> Option<Instant> {
        self.deadlines.first().map(|(at, _)| *at)
    }

    /// The hosts whose deadline has come.
    fn due(&self, now: Instant) -> impl Iterator<Item = HostId> {
        let due = self.deadlines.range(..=(now, HostId::MAX));
        due.map(|(_, host)| *host)
    }

    /// Replaces the node and the deadline of a host.
    fn set_node(&mut self, host: HostId, node: Option<Node>) {
        self.set_deadline(host, None);
        self.slots[usize::from(host)].node = node;
    }

    fn set_deadline(&mut self, host: HostId, deadline: Option<Instant>) {
        let slot = &mut self.slots[usize::from(host)];
        if let Some(at) = slot.deadline {
            self.deadlines.remove(&(at, host));
        }
        slot.deadline = deadline;
        self.deadlines.extend(deadline.map(|at| (at, host)));
    }
}

/// Runs `world` to the end.
pub(crate) fn run(world: World) -> World {
    run_observed(world, |_, _, _| ControlFlow::Continue(()))
}

/// Runs `world`, and calls `observe` with the state before each tick and the time of the tick. The run ends early if `observe`
/// returns a break.
pub(crate) fn run_observed(
    mut world: World,
    mut observe: impl FnMut(&World, &[Slot], Instant) -> ControlFlow<()>,
) -> World {
    let mut slots = Slots::new(world.hosts.len());
    // The first tick starts all hosts.
    let mut starting: BTreeSet<HostId> = (0..).take(world.hosts.len()).collect();
    let mut next = Some(Instant::ZERO);
    while let Some(now) = next.filter(|_| !world.is_over()) {
        if observe(&world, &slots.slots, now).is_break() {
            break;
        }
        tick(&mut world, &mut slots, now, std::mem::take(&mut starting));
        next = slots.next_deadline().into_iter().chain(world.next_due()).min();
    }
    world
}

fn tick(world: &mut World, slots: &mut Slots, now: Instant, mut starting: BTreeSet<HostId>) {
    for power in world.begin_tick(now) {
        match power {
            Power::Crash(host) => {
                slots.set_node(host, None);
                starting.remove(&host);
            }
            Power::Restart(host) => {
                slots.set_node(host, None);
                starting.insert(host);
            }
        }
    }
    let mut visited: BTreeSet<HostId> = slots.due(now).chain(world.hosts_to_visit()).collect();
    visited.extend(&starting);
    for host in visited {
        if world.is_over() {
            return;
        }
        let starts = starting.contains(&host);
        if starts {
            let node = Node::boot(world, host);
            slots.set_node(host, Some(node));
        }
        let slot = &mut slots.slots[usize::from(host)];
        let Some(node) = &mut slot.node else { continue };
        let wake_requested = world.take_wake_request(host);
        let arrivals = world.take_arrivals(host);
        let is_due = slot.deadline.is_some_and(|due| due <= now);
        if starts || wake_requested || !arrivals.is_empty() || is_due {
            let deadline = node.turn(world, arrivals);
            slots.set_deadline(host, deadline);
        }
    }
    world.launched.clear();
    world.end_tick();
}
