//! Event engine: goes from one tick to the next and calls the hosts directly, without tokio and without threads.

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

/// Runs `world` to the end.
pub(crate) fn run(world: World) -> World {
    run_observed(world, |_, _, _| {})
}

/// Runs `world` to the end, and calls `observe` with the state before each tick and the time of the tick.
pub(crate) fn run_observed(mut world: World, mut observe: impl FnMut(&World, &[Slot], Instant)) -> World {
    let mut slots: Vec<Slot> = world.hosts.iter().map(|_| Slot::default()).collect();
    let mut first = true;
    while !world.is_over() {
        let next = slots
            .iter()
            .filter_map(|slot| slot.deadline)
            .chain(world.next_due())
            .min();
        let now = if first { Some(Instant::ZERO) } else { next };
        let Some(now) = now else { break };
        observe(&world, &slots, now);
        tick(&mut world, &mut slots, now, first);
        first = false;
    }
    world
}

fn tick(world: &mut World, slots: &mut [Slot], now: Instant, first: bool) {
    let mut starting: Vec<bool> = vec![first; slots.len()];
    for power in world.begin_tick(now) {
        match power {
            Power::Crash(host) | Power::Restart(host) => slots[usize::from(host)] = Slot::default(),
        }
        match power {
            Power::Crash(host) => starting[usize::from(host)] = false,
            Power::Restart(host) => starting[usize::from(host)] = true,
        }
    }
    for (index, slot) in slots.iter_mut().enumerate() {
        if world.is_over() {
            return;
        }
        let host = index as HostId;
        let starts = starting[index];
        if starts {
            slot.node = Some(Node::boot(world, host));
        }
        let Some(node) = &mut slot.node else { continue };
        let wake_requested = world.take_wake_request(host);
        let arrivals = world.take_arrivals(host);
        if starts || wake_requested || !arrivals.is_empty() || slot.deadline.is_some_and(|due| due <= now) {
            slot.deadline = node.turn(world, arrivals);
        }
    }
    world.launched.clear();
    world.end_tick();
}
