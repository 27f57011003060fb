//! Smallest tape of a failure: delta debugging of the faults, then simpler faults.
//!
//! The method is `ddmin` (Zeller and Hildebrandt, "Simplifying and Isolating Failure-Inducing Input", 2002). A smaller tape is
//! accepted only if it has the same failure, or a part of it: see [`Failure::is_same`].

use std::ops::ControlFlow;
use std::time::Duration;

use sandhog_peer::Instant;

use super::failure::Failure;
use crate::compare::Second;
use crate::replay::{Replay, replay_compared, replay_with};
use crate::run::{RunError, RunOptions};
use crate::setup::Setup;
use crate::tape::{Entry, Fault, Tape};
use crate::trace::Detail;

/// A shrunk tape.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Shrunk {
    /// The smallest tape found. Each entry has the time at which its datagram is sent.
    pub tape: Tape,
    /// Its failure.
    pub failure: Failure,
    /// Number of runs.
    pub runs: u64,
}

/// Shrinks a tape of a setup. Returns `None` if the tape does not fail.
///
/// # Errors
///
/// The setup cannot run.
pub fn shrink(setup: &Setup, tape: &Tape) -> Result<Option<Shrunk>, RunError> {
    shrink_until(setup, tape, None, &mut || ControlFlow::Continue(()))
}

/// Shrinks a tape as [`shrink`]. With `second`, the property that compares each run with a second one may be the failure.
/// `on_run` is called before each run but the first, and can end the search early. The result is then the smallest tape so far.
///
/// # Errors
///
/// As [`shrink`].
pub fn shrink_until(
    setup: &Setup,
    tape: &Tape,
    second: Option<&Second>,
    on_run: &mut dyn FnMut() -> ControlFlow<()>,
) -> Result<Option<Shrunk>, RunError> {
    let mut shrinker = Shrinker {
        setup,
        second,
        wanted: None,
        runs: 0,
        on_run,
        ended: false,
    };
    let Some(failure) = shrinker.failure(tape)? else {
        return Ok(None);
    };
    shrinker.wanted = Some(failure);
    let mut tape = tape.clone();
    loop {
        let before = tape.entries.clone();
        tape.entries = shrinker.fewer(&tape)?;
        tape.entries = shrinker.merged(&tape)?;
        tape.entries = shrinker.simpler(&tape)?;
        if tape.entries == before {
            break;
        }
    }
    let replay = shrinker.replay(&tape)?;
    let failure = Failure::of(&replay.run);
    Ok(failure.map(|failure| Shrunk {
        tape: timed(tape, &replay.tape),
        failure,
        runs: shrinker.runs + 1,
    }))
}

/// The tape with the times of its datagrams in `recorded`.
fn timed(mut tape: Tape, recorded: &Tape) -> Tape {
    for entry in &mut tape.entries {
        let same = recorded.entries.iter().find(|other| {
            let (a, b) = (&other.datagrams, &entry.datagrams);
            (&a.sender, &a.receiver, &a.kind) == (&b.sender, &b.receiver, &b.kind) && a.nth == b.nth
        });
        entry.sent_at = same.and_then(|same| same.sent_at);
    }
    tape
}

fn options() -> RunOptions {
    RunOptions {
        detail: Detail::Digest,
        ..RunOptions::default()
    }
}

struct Shrinker<'a, 'b> {
    setup: &'a Setup,
    second: Option<&'a Second>,
    wanted: Option<Failure>,
    runs: u64,
    on_run: &'b mut dyn FnMut() -> ControlFlow<()>,
    /// True after `on_run` has ended the search.
    ended: bool,
}

impl Shrinker<'_, '_> {
    fn replay(&self, tape: &Tape) -> Result<Replay, RunError> {
        match self.second {
            Some(second) => replay_compared(self.setup, tape, &options(), second),
            None => replay_with(self.setup, tape, &options()),
        }
    }

    fn failure(&mut self, tape: &Tape) -> Result<Option<Failure>, RunError> {
        self.runs += 1;
        Ok(Failure::of(&self.replay(tape)?.run))
    }

    /// Returns true if a tape with these entries has the same failure. False for each tape after the end of the search.
    fn fails(&mut self, tape: &Tape, entries: &[Entry]) -> Result<bool, RunError> {
        self.ended = self.ended || (self.on_run)().is_break();
        if self.ended {
            return Ok(false);
        }
        let candidate = Tape {
            entries: entries.to_vec(),
            ..tape.clone()
        };
        let found = self.failure(&candidate)?;
        Ok(match (&self.wanted, found) {
            (Some(wanted), Some(found)) => wanted.is_same(&found),
            _ => false,
        })
    }

    /// Removes as many entries as possible in [`MAX_RUNS`] runs. If many faults are needed together, the runs are not enough, and
    /// [`merged`](Self::merged) makes one rule of them.
    fn fewer(&mut self, tape: &Tape) -> Result<Vec<Entry>, RunError> {
        let mut entries = tape.entries.clone();
        if self.fails(tape, &[])? {
            return Ok(Vec::new());
        }
        let last = self.runs + MAX_RUNS;
        let mut parts = 2;
        while entries.len() >= 2 && self.runs < last && !self.ended {
            let size = entries.len().div_ceil(parts);
            let mut reduced = false;
            let mut start = 0;
            while start < entries.len() && entries.len() >= 2 && self.runs < last && !self.ended {
                let mut rest = entries.clone();
                rest.drain(start..(start + size).min(entries.len()));
                if self.fails(tape, &rest)? {
                    entries = rest;
                    reduced = true;
                } else {
                    start += size;
                }
            }
            if !reduced {
                if size == 1 {
                    break;
                }
                parts = (parts * 2).min(entries.len());
            } else {
                parts = 2.max(parts - 1);
            }
        }
        Ok(entries)
    }

    /// Replaces equal faults of several datagrams by one fault of all datagrams from the first of them on.
    fn merged(&mut self, tape: &Tape) -> Result<Vec<Entry>, RunError> {
        let mut entries = tape.entries.clone();
        let mut index = 0;
        while index < entries.len() && !self.ended {
            let first = entries[index].clone();
            let is_same = |other: &Entry| {
                let (a, b) = (&first.datagrams, &other.datagrams);
                first.fault == other.fault
                    && (&a.sender, &a.receiver, &a.kind) == (&b.sender, &b.receiver, &b.kind)
            };
            if entries.iter().filter(|other| is_same(other)).count() > 1 {
                let mut candidate: Vec<Entry> =
                    entries.iter().filter(|other| !is_same(other)).cloned().collect();
                let mut onwards = first.clone();
                onwards.datagrams.onwards = true;
                candidate.insert(index.min(candidate.len()), onwards);
                if self.fails(tape, &candidate)? {
                    entries = candidate;
                }
            }
            index += 1;
        }
        Ok(entries)
    }

    /// Selects single and earlier datagrams, replaces them by simpler ones, and times by rounder ones.
    fn simpler(&mut self, tape: &Tape) -> Result<Vec<Entry>, RunError> {
        let mut entries = tape.entries.clone();
        for index in 0..entries.len() {
            if self.ended {
                break;
            }
            if entries[index].datagrams.onwards {
                let mut candidate = entries.clone();
                candidate[index].datagrams.onwards = false;
                if self.fails(tape, &candidate)? {
                    entries = candidate;
                }
            }
            let nth = entries[index].datagrams.nth;
            for earlier in EARLY.iter().copied().filter(|early| *early < nth) {
                let mut candidate = entries.clone();
                candidate[index].datagrams.nth = earlier;
                if self.fails(tape, &candidate)? {
                    entries = candidate;
                    break;
                }
            }
            for fault in simpler_faults(&entries[index]) {
                let mut candidate = entries.clone();
                candidate[index].fault = fault;
                if self.fails(tape, &candidate)? {
                    entries = candidate;
                    break;
                }
            }
        }
        Ok(entries)
    }
}

/// Largest number of runs of one pass that removes faults.
const MAX_RUNS: u64 = 200;

/// Numbers of datagrams that replace larger ones, so that the steps of a smaller scenario reach them.
const EARLY: &[u64] = &[1, 2, 3, 5, 10];

/// Faults that are simpler than that of the entry, the simplest first.
fn simpler_faults(entry: &Entry) -> Vec<Fault> {
    let sent_at = entry.sent_at.unwrap_or(Instant::ZERO);
    let steps = [1_u64, 10, 100, 1_000, 10_000, 60_000].map(Duration::from_millis);
    match &entry.fault {
        Fault::Drop | Fault::Double => Vec::new(),
        Fault::Late(time) | Fault::Delay(time) => {
            let rounder = steps.into_iter().filter(|step| step < time).map(Fault::Late);
            [Fault::Drop].into_iter().chain(rounder).collect()
        }
        Fault::Hold(until) => {
            let whole = until.as_nanos().div_ceil(1_000_000_000);
            let rounder = Instant::from_secs(whole);
            let late = steps
                .into_iter()
                .filter(|step| sent_at + *step < *until)
                .map(Fault::Late);
            let late = late.chain((rounder != *until).then_some(Fault::Hold(rounder)));
            [Fault::Drop].into_iter().chain(late).collect()
        }
        Fault::DelayCopy(_) | Fault::FlipCopy(_) | Fault::Swap | Fault::Flip(_) => {
            vec![Fault::Drop, Fault::Double]
        }
        Fault::Rebind { .. } => Vec::new(),
        Fault::Crash { host, down } => {
            let shorter = steps.into_iter().filter(|step| step < down);
            shorter
                .map(|down| Fault::Crash {
                    host: host.clone(),
                    down,
                })
                .collect()
        }
    }
}
