//! One run of a schedule, with the states and datagrams that later schedules start from.

use std::cell::RefCell;
use std::collections::BTreeSet;
use std::ops::ControlFlow;
use std::rc::Rc;

use sandhog_peer::Instant;

use super::endings::{Endings, Known, Seen};
use super::failure::Failure;
use super::faults::{FaultKind, Values};
use super::schedule::{Left, Schedule, Scheduled};
use super::state::{Described, StateDigest, describe_state};
use crate::engine::event::run_observed;
use crate::net::Faults;
use crate::replay::tape_of;
use crate::run::{Run, RunOptions, finish};
use crate::setup::Setup;
use crate::tape::Tape;
use crate::trace::Detail;
use crate::world::World;

/// The state before a datagram leaves: the state before its tick, its position in the tick, and the faults of the tick.
pub(super) type StateKey = (StateDigest, u32, Vec<(u32, FaultKind)>);

/// A run of a schedule.
#[derive(Debug)]
pub(super) struct Node {
    pub(super) schedule: Schedule,
    pub(super) failure: Option<Failure>,
    /// True if the run stopped at a known state. Its later datagrams are those of the known run.
    pub(super) is_stopped: bool,
    /// The datagrams of the run before the end of all faults.
    pub(super) left: Vec<Left>,
    /// The state before each datagram of the window that follows the last fault, by ordinal. `None` if it is not described.
    pub(super) states: Vec<(u32, Option<StateKey>)>,
}

/// Runs schedules of a setup.
#[derive(Debug)]
pub(super) struct Runner<'a> {
    pub(super) setup: &'a Setup,
    pub(super) seed: u64,
    pub(super) values: Values,
    /// Number of datagrams before the start of the search.
    pub(super) skipped: u32,
    /// Number of datagrams in which faults are possible.
    pub(super) window: u32,
    clients: Vec<bool>,
}

impl<'a> Runner<'a> {
    pub(super) fn new(setup: &'a Setup, seed: u64, values: Values, skipped: u32, window: u32) -> Self {
        Self {
            setup,
            seed,
            values,
            skipped,
            window,
            clients: setup.hosts.iter().map(|host| host.script.is_some()).collect(),
        }
    }

    /// Options of a run that keeps this amount of data.
    fn options(&self, detail: Detail) -> RunOptions {
        RunOptions {
            seed: self.seed,
            detail,
            ..RunOptions::default()
        }
    }

    fn world(&self, schedule: &Schedule, detail: Detail, noted: bool) -> (World, Rc<RefCell<Vec<Left>>>) {
        let left = Rc::new(RefCell::new(Vec::new()));
        let director = Scheduled {
            schedule: schedule.clone(),
            values: self.values,
            clients: self.clients.clone(),
            skipped: self.skipped,
            left: Rc::clone(&left),
        };
        let faults = Faults {
            random: false,
            director: Box::new(director),
            noted,
        };
        (
            World::new(
                self.setup,
                self.seed,
                detail,
                self.options(detail).max_records,
                faults,
            ),
            left,
        )
    }

    /// Runs a schedule to the end, without a look at its states.
    pub(super) fn run(&self, schedule: &Schedule) -> Node {
        let (world, left) = self.world(schedule, Detail::Digest, false);
        let world = run_observed(world, |_, _, _| ControlFlow::Continue(()));
        let run = finish(self.setup, &self.options(Detail::Digest), world);
        Node {
            schedule: schedule.clone(),
            failure: Failure::under_faults(&run),
            is_stopped: false,
            left: left.take(),
            states: Vec::new(),
        }
    }

    /// Runs a schedule until a state whose continuation is known. If the schedule `branches`, the states of the window are kept,
    /// and the run does not stop before the end of the window.
    pub(super) fn run_to_known(&self, schedule: &Schedule, branches: bool, endings: &mut Endings) -> Node {
        let (world, left) = self.world(schedule, Detail::Digest, false);
        let first = schedule.first_free() + self.skipped;
        let last = self.skipped + self.window;
        // Ticks that end before the window, or begin after it, are not described.
        let mut ticks: Vec<(u32, Option<StateDigest>)> = Vec::new();
        let mut seen: Vec<Seen> = Vec::new();
        let mut known = None;
        let (mut work_end, mut end) = (Instant::ZERO, Instant::ZERO);
        let world = run_observed(world, |world, slots, now| {
            end = now;
            if world.is_working() {
                work_end = now;
            }
            let count = left.borrow().len() as u32;
            let is_in_window = branches && count < last && count + MAX_DATAGRAMS_OF_A_TICK >= first;
            let is_after_faults = count >= first && world.checks.violations() == 0;
            if !is_in_window && !is_after_faults {
                return ControlFlow::Continue(());
            }
            let state = describe_state(world, now, slots.iter().map(|slot| slot.node.as_ref()));
            if is_in_window {
                let digest = state.as_ref().map(Described::digest);
                match ticks.last_mut() {
                    Some((before, newest)) if *before == count => *newest = digest,
                    _ => ticks.push((count, digest)),
                }
            }
            let Some(state) = state.filter(|_| is_after_faults) else {
                return ControlFlow::Continue(());
            };
            if !branches || count >= last || world.faults_are_off() {
                known = endings.of(&state, now).map(|ending| (ending, now));
            }
            if known.is_some() {
                return ControlFlow::Break(());
            }
            seen.push((state, now, count as usize));
            ControlFlow::Continue(())
        });
        let left = left.take();
        let result = match &known {
            Some((ending, now)) => endings.complete(ending, *now, left),
            None => Known {
                failure: Failure::under_faults(&finish(self.setup, &self.options(Detail::Digest), world)),
                left,
                work_end,
                end,
            },
        };
        endings.add(seen, result.clone());
        let Known { failure, left, .. } = result;
        let states = self.states(schedule, &ticks, left.len() as u32);
        Node {
            schedule: schedule.clone(),
            failure,
            is_stopped: known.is_some(),
            left,
            states,
        }
    }

    /// The states before the datagrams that follow the last fault.
    fn states(
        &self,
        schedule: &Schedule,
        ticks: &[(u32, Option<StateDigest>)],
        count: u32,
    ) -> Vec<(u32, Option<StateKey>)> {
        let end = count.min(self.skipped + self.window);
        let first = schedule.first_free() + self.skipped;
        let state = |number: u32| {
            let (before, digest) = ticks.iter().rev().find(|(before, _)| *before <= number)?;
            let in_tick = schedule.0.iter().filter_map(|(ordinal, kind)| {
                let position = (ordinal + self.skipped).checked_sub(*before)?;
                Some((position, *kind))
            });
            Some(((*digest)?, number - before, in_tick.collect()))
        };
        (first..end)
            .map(|number| (number - self.skipped, state(number)))
            .collect()
    }

    /// Runs a schedule with all records, and writes its faults down.
    pub(super) fn record(&self, schedule: &Schedule) -> (Run, Tape) {
        let (world, _) = self.world(schedule, Detail::Full, true);
        let world = run_observed(world, |_, _, _| ControlFlow::Continue(()));
        let tape = tape_of(self.setup, self.seed, &world);
        (finish(self.setup, &self.options(Detail::Full), world), tape)
    }
}

/// Largest number of datagrams in one tick for which the state before the tick is looked up.
const MAX_DATAGRAMS_OF_A_TICK: u32 = 16;

impl Node {
    /// Returns true if this run from datagram `own` on, and `other` from datagram `others` on, send the same datagrams at the
    /// same times, measured from that datagram, and have the same result.
    pub(super) fn continues_like(&self, own: usize, other: &Self, others: usize) -> bool {
        let names = |node: &Self| -> Option<BTreeSet<String>> {
            node.failure
                .as_ref()
                .map(|failure| failure.checks.keys().cloned().collect())
        };
        let (Some(tail), Some(other_tail)) = (self.left.get(own..), other.left.get(others..)) else {
            return false;
        };
        let (Some(start), Some(other_start)) = (tail.first(), other_tail.first()) else {
            return false;
        };
        let since = |left: &Left, start: &Left| left.at.saturating_duration_since(start.at);
        tail.len() == other_tail.len()
            && names(self) == names(other)
            && tail.iter().zip(other_tail).all(|(a, b)| {
                since(a, start) == since(b, other_start)
                    && (a.sender, a.receiver, a.kind, a.len) == (b.sender, b.receiver, b.kind, b.len)
            })
    }
}
