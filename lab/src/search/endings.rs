//! Continuations of the states after the last fault. A run that reaches such a state again continues and ends in the same way.

use std::collections::BTreeMap;
use std::time::Duration;

use sandhog_peer::Instant;

use super::failure::Failure;
use super::schedule::Left;
use super::state::{Described, StateDigest};

/// A state after the last fault of a run.
#[derive(Clone, Debug)]
pub(super) struct Ending {
    run: usize,
    at: Instant,
    /// Number of datagrams of the run before the state.
    left: usize,
    /// Times in nanoseconds until the deadlines of the state.
    deadlines: Vec<u64>,
}

/// A run that was stopped, or ran to the end.
#[derive(Clone, Debug)]
pub(super) struct Known {
    pub(super) failure: Option<Failure>,
    pub(super) left: Vec<Left>,
    /// End of the work. The description of a state leaves out the limit of the work, because most runs do not reach it.
    pub(super) work_end: Instant,
    /// End of the run. A deadline after it makes no difference.
    pub(super) end: Instant,
}

impl Known {
    /// Returns true if the deadlines after a state of this run, and those of `state`, expire at the same times until the end of
    /// the run. Between the two states and the end, nothing else differs. So both runs end before the other deadlines.
    fn has_same_deadlines(&self, ending: &Ending, state: &Described) -> bool {
        let end = self.end.saturating_duration_since(ending.at) + MARGIN;
        let is_later = |deadline: u64| u128::from(deadline) > end.as_nanos();
        let mut pairs = ending.deadlines.iter().zip(&state.deadlines);
        ending.deadlines.len() == state.deadlines.len()
            && pairs.all(|(a, b)| a == b || (is_later(*a) && is_later(*b)))
    }
}

/// Deadlines are compared up to this time after the end of a run, in case that a peer acts some time before a deadline.
const MARGIN: Duration = Duration::from_secs(1);

/// The states after the last fault that were seen so far, and their runs.
#[derive(Debug)]
pub(super) struct Endings {
    states: BTreeMap<StateDigest, Vec<Ending>>,
    runs: Vec<Known>,
    /// The limit of the work.
    limit: Instant,
}

/// A state of a run that is not over, its time, and the number of datagrams before it.
pub(super) type Seen = (Described, Instant, usize);

impl Endings {
    /// No states yet. The work of each run has this limit.
    pub(super) fn new(limit: Instant) -> Self {
        Self {
            states: BTreeMap::new(),
            runs: Vec::new(),
            limit,
        }
    }

    /// A state from which a run continued as a run does that reaches `state` at `now`.
    pub(super) fn of(&self, state: &Described, now: Instant) -> Option<Ending> {
        let endings = self.states.get(&state.shape)?;
        endings
            .iter()
            .find(|ending| self.fits(ending, state, now))
            .cloned()
    }

    fn fits(&self, ending: &Ending, state: &Described, now: Instant) -> bool {
        self.runs.get(ending.run).is_some_and(|known| {
            self.has_same_limit(known, ending.at, now) && known.has_same_deadlines(ending, state)
        })
    }

    /// Returns true if the limit of the work has the same effect after a state at `at` and after one at `now`.
    fn has_same_limit(&self, known: &Known, at: Instant, now: Instant) -> bool {
        let is_over = known.work_end <= at;
        let is_limited = known.work_end >= self.limit;
        let end = now + known.work_end.saturating_duration_since(at);
        is_over || at == now || (!is_limited && end < self.limit)
    }

    /// The result of a run that has reached a known state at `now` after these datagrams.
    pub(super) fn complete(&self, ending: &Ending, now: Instant, mut left: Vec<Left>) -> Known {
        let known = &self.runs[ending.run];
        let later = |at: Instant| now + at.saturating_duration_since(ending.at);
        left.extend(known.left.iter().skip(ending.left).map(|datagram| Left {
            at: later(datagram.at),
            ..*datagram
        }));
        Known {
            failure: known.failure.clone(),
            left,
            work_end: later(known.work_end),
            end: later(known.end),
        }
    }

    /// Adds the states of a run.
    pub(super) fn add(&mut self, seen: Vec<Seen>, known: Known) {
        let run = self.runs.len();
        self.runs.push(known);
        for (state, at, left) in seen {
            let Described { shape, deadlines } = state;
            self.states.entry(shape).or_default().push(Ending {
                run,
                at,
                left,
                deadlines,
            });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMIT: Instant = Instant::from_secs(10);

    fn state(deadlines: &[u64]) -> Described {
        Described {
            shape: [7; 32],
            deadlines: deadlines.iter().map(|secs| secs * 1_000_000_000).collect(),
        }
    }

    /// A run whose work ends at `work_end`, and which ends 1 s later. Its state at 2 s has a deadline 20 s later.
    fn endings(work_end: u64) -> Endings {
        let mut endings = Endings::new(LIMIT);
        let known = Known {
            failure: None,
            left: Vec::new(),
            work_end: Instant::from_secs(work_end),
            end: Instant::from_secs(work_end + 1),
        };
        endings.add(vec![(state(&[20]), Instant::from_secs(2), 0)], known);
        endings
    }

    fn is_known(endings: &Endings, deadlines: &[u64], now: u64) -> bool {
        endings.of(&state(deadlines), Instant::from_secs(now)).is_some()
    }

    #[test]
    fn deadlines_after_the_end_of_the_run_are_equal() {
        // The known run ends 2 s after its state.
        assert!(is_known(&endings(3), &[30], 2));
        assert!(is_known(&endings(3), &[4], 2));
        assert!(!is_known(&endings(3), &[3], 2));
        assert!(!is_known(&endings(3), &[20, 20], 2));
    }

    #[test]
    fn a_run_that_would_reach_the_limit_of_the_work_is_another_run() {
        assert!(is_known(&endings(5), &[20], 6));
        assert!(!is_known(&endings(5), &[20], 7));
    }

    #[test]
    fn a_run_that_reached_the_limit_of_the_work_is_known_at_the_same_time_only() {
        assert!(is_known(&endings(10), &[20], 2));
        assert!(!is_known(&endings(10), &[20], 1));
    }
}
