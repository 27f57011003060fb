//! Schedule of faults, by the order in which datagrams leave.

use std::fmt;

use sandhog_peer::Instant;

use super::bounds::Bounds;
use super::failure::Failure;
use super::faults::{FaultKind, Values};
use crate::record::HostId;
use crate::tape::{Departure, Director, Steering};

/// Faults of a run: each applies to the datagram with a number in the order of sending, from 0 at the start of the search.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Schedule(pub Vec<(u32, FaultKind)>);

impl Schedule {
    /// The schedule with one more fault, of a later datagram.
    pub(super) fn with(&self, ordinal: u32, kind: FaultKind) -> Self {
        let mut faults = self.0.clone();
        faults.push((ordinal, kind));
        Self(faults)
    }

    /// Number of the first datagram after the last fault.
    pub(super) fn first_free(&self) -> u32 {
        self.0.last().map_or(0, |(ordinal, _)| ordinal + 1)
    }
}

impl fmt::Display for Schedule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let faults = self
            .0
            .iter()
            .map(|(ordinal, kind)| format!("{}:{kind}", ordinal + 1));
        f.write_str(&faults.collect::<Vec<_>>().join(" "))
    }
}

/// A schedule whose run fails.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FailingSchedule {
    /// The schedule.
    pub schedule: Schedule,
    /// The failed checks.
    pub failure: Failure,
    /// True if the schedule was run. False if an equal state was explored before.
    pub was_run: bool,
}

/// A datagram of a run, for the comparison of two runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Left {
    pub(super) at: Instant,
    pub(super) sender: HostId,
    pub(super) receiver: HostId,
    pub(super) kind: &'static str,
    pub(super) len: u64,
}

/// Applies a schedule to a run, and lists the datagrams.
#[derive(Debug)]
pub(super) struct Scheduled {
    pub(super) schedule: Schedule,
    pub(super) values: Values,
    /// True for the numbers of clients.
    pub(super) clients: Vec<bool>,
    /// Number of datagrams before the start of the search.
    pub(super) skipped: u32,
    pub(super) left: std::rc::Rc<std::cell::RefCell<Vec<Left>>>,
}

impl Director for Scheduled {
    fn steer(&mut self, departure: &Departure) -> Steering {
        let mut steering = Steering::default();
        if departure.faults_are_off {
            return steering;
        }
        let mut left = self.left.borrow_mut();
        let number = left.len() as u32;
        left.push(Left {
            at: departure.now,
            sender: departure.sender,
            receiver: departure.receiver,
            kind: departure.kind,
            len: departure.payload_len,
        });
        let faults = self.schedule.0.iter();
        for (_, kind) in faults.filter(|(ordinal, _)| ordinal + self.skipped == number) {
            self.values.add(*kind, departure, &self.clients, &mut steering);
        }
        steering
    }
}

/// All schedules within bounds, those with the fewest faults first.
#[derive(Debug)]
pub(super) struct Schedules<'a> {
    kinds: &'a [FaultKind],
    datagrams: u32,
    faults: u32,
    /// The next schedule: ordinals, and indices of kinds.
    next: Option<Vec<(u32, usize)>>,
}

impl<'a> Schedules<'a> {
    pub(super) fn new(bounds: &'a Bounds) -> Self {
        Self {
            kinds: &bounds.kinds,
            datagrams: bounds.datagrams,
            faults: bounds.faults.min(bounds.datagrams),
            next: Some(Vec::new()),
        }
    }

    /// The schedule after `current`, like the next number of an odometer.
    fn after(&self, mut current: Vec<(u32, usize)>) -> Option<Vec<(u32, usize)>> {
        if let Some(place) = current.iter().rposition(|(_, kind)| kind + 1 < self.kinds.len()) {
            current[place].1 += 1;
            current.iter_mut().skip(place + 1).for_each(|(_, kind)| *kind = 0);
            return Some(current);
        }
        let len = current.len() as u32;
        let movable = (0..len)
            .rev()
            .find(|place| current[*place as usize].0 + (len - place) < self.datagrams);
        let (place, first) = match movable {
            Some(place) => (place, current[place as usize].0 + 1),
            None if len < self.faults => {
                current.push((0, 0));
                (0, 0)
            }
            None => return None,
        };
        for (offset, (ordinal, _)) in (0..).zip(current.iter_mut().skip(place as usize)) {
            *ordinal = first + offset;
        }
        current.iter_mut().for_each(|(_, kind)| *kind = 0);
        Some(current)
    }
}

impl Iterator for Schedules<'_> {
    type Item = Schedule;

    fn next(&mut self) -> Option<Schedule> {
        let current = self.next.take()?;
        let faults = current
            .iter()
            .map(|(ordinal, kind)| (*ordinal, self.kinds[*kind]));
        let schedule = Schedule(faults.collect());
        self.next = self.after(current);
        Some(schedule)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn every_schedule_within_the_bounds_is_listed_once() {
        let bounds = Bounds {
            datagrams: 5,
            faults: 3,
            ..Bounds::default()
        };
        let all: Vec<Schedule> = Schedules::new(&bounds).collect();
        assert_eq!(all.len() as u64, bounds.schedules());
        assert_eq!(all.iter().collect::<BTreeSet<_>>().len(), all.len());
        assert!(
            all.iter()
                .all(|schedule| schedule.0.is_sorted_by(|a, b| a.0 < b.0))
        );
    }
}
