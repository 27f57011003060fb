//! Runs of many seeds on several threads. The result does not depend on the number of threads.

use std::collections::BTreeMap;
use std::num::NonZeroUsize;
use std::ops::{ControlFlow, Range};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc;
use std::time::Duration;

use sha2::{Digest as _, Sha256};

use super::failure::Failure;
use super::swarm::Swarm;
use crate::compare::Second;
use crate::net::Faults;
use crate::replay::tape_of;
use crate::run::{Engine, Run, RunError, RunOptions, finish, run_world};
use crate::setup::Setup;
use crate::tape::Tape;
use crate::trace::{Detail, Digest};

/// Largest number of threads of a sweep. More of them need much memory and are not faster.
pub const MAX_JOBS: usize = 1024;

/// Largest number of results that wait for the reader.
const MAX_WAITING: usize = 1024;

/// Options of a sweep.
#[derive(Clone, Debug)]
pub struct SweepOptions {
    /// The seeds.
    pub seeds: Range<u64>,
    /// Number of threads. At most [`MAX_JOBS`] are used.
    pub jobs: NonZeroUsize,
    /// The engine.
    pub engine: Engine,
    /// Random faults of further kinds. With it, only the properties P1, P2, … are judged, because an expectation of a setup
    /// need not hold under arbitrary faults.
    pub swarm: Option<Swarm>,
    /// A second run of each seed, with which a property compares the first one.
    pub second: Option<Second>,
}

/// A seed whose run fails.
#[derive(Clone, Debug)]
pub struct FailingSeed {
    /// Position of the setup.
    pub setup: usize,
    /// The seed.
    pub seed: u64,
    /// The failed checks.
    pub failure: Failure,
    /// The faults of the run.
    pub tape: Tape,
}

/// Result of one run of a sweep, in the order of seeds.
#[derive(Clone, Debug)]
pub struct SweepRun {
    /// Position of the setup.
    pub setup: usize,
    /// The seed.
    pub seed: u64,
    /// Simulated time.
    pub sim_time: Duration,
    /// The failure and the tape, if the run failed.
    pub failing: Option<(Failure, Tape)>,
    digest: Digest,
}

/// Result of a sweep.
#[derive(Clone, Debug)]
pub struct Sweep {
    /// Number of runs.
    pub runs: u64,
    /// The failing seeds, in order.
    pub failing: Vec<FailingSeed>,
    /// Simulated time of all runs.
    pub sim_time: Duration,
    /// SHA-256 over the digests of all runs in order.
    pub digest: Digest,
    /// The seed after the last one that was run with every setup.
    pub end: u64,
}

/// Runs every setup with every seed. `on_run` is called for each run in the order of seeds, and of setups within a seed. It can
/// end the sweep. Runs that other threads have finished by then are dropped, so the result is that of a prefix of the seeds.
///
/// # Errors
///
/// The first setup that cannot run, or [`RunError::Threads`].
pub fn sweep(
    setups: &[Setup],
    options: &SweepOptions,
    mut on_run: impl FnMut(&SweepRun) -> ControlFlow<()>,
) -> Result<Sweep, RunError> {
    for setup in setups {
        setup.validate()?;
    }
    if let Some(Second::Twin(twin)) = &options.second {
        twin.validate()?;
    }
    let count = setups.len() as u64;
    let total = (options.seeds.end.saturating_sub(options.seeds.start)).saturating_mul(count);
    let jobs = options.jobs.get().min(MAX_JOBS) as u64;
    let jobs = jobs.min(total);
    let execute = |number: u64| {
        let (seed, setup) = (options.seeds.start + number / count, (number % count) as usize);
        run_seed(&setups[setup], setup, seed, options)
    };
    let mut collected = Collected::default();
    let take = |result: Result<SweepRun, RunError>| {
        let run = result?;
        let flow = on_run(&run);
        collected.add(run);
        // All setups have the same last seed.
        Ok(match collected.runs % count {
            0 => flow,
            _ => ControlFlow::Continue(()),
        })
    };
    match jobs {
        // WebAssembly has no threads, so one job needs none.
        0 | 1 => in_turn(total, execute, take)?,
        _ => in_threads(total, jobs, execute, take)?,
    }
    Ok(collected.finish(options.seeds.start, count))
}

/// Passes the results of `execute` for the numbers below `total` to `take`, in order, until that returns a break or an error.
fn in_turn<T>(
    total: u64,
    execute: impl Fn(u64) -> T,
    mut take: impl FnMut(T) -> Result<ControlFlow<()>, RunError>,
) -> Result<(), RunError> {
    for number in 0..total {
        if take(execute(number))?.is_break() {
            break;
        }
    }
    Ok(())
}

/// As [`in_turn`], with this number of threads.
///
/// # Errors
///
/// [`RunError::Threads`] if a thread cannot be started.
fn in_threads<T: Send>(
    total: u64,
    jobs: u64,
    execute: impl Fn(u64) -> T + Sync,
    mut take: impl FnMut(T) -> Result<ControlFlow<()>, RunError>,
) -> Result<(), RunError> {
    let (next, stop) = (AtomicU64::new(0), AtomicBool::new(false));
    std::thread::scope(|scope| {
        // A full channel stops the threads, so that a slow reader does not make the results grow.
        let (sender, results) = mpsc::sync_channel(MAX_WAITING);
        for _ in 0..jobs {
            let (sender, next, stop, execute) = (sender.clone(), &next, &stop, &execute);
            let run = move || {
                while !stop.load(Ordering::Relaxed) {
                    let number = next.fetch_add(1, Ordering::Relaxed);
                    if number >= total || sender.send((number, execute(number))).is_err() {
                        break;
                    }
                }
            };
            std::thread::Builder::new()
                .spawn_scoped(scope, run)
                .map_err(|error| {
                    stop.store(true, Ordering::Relaxed);
                    let error = error.to_string();
                    RunError::Threads { jobs, error }
                })?;
        }
        drop(sender);
        let mut early = BTreeMap::new();
        let mut expected = 0;
        for (number, result) in results {
            early.insert(number, result);
            while let Some(result) = early.remove(&expected) {
                expected += 1;
                let flow = take(result).inspect_err(|_| stop.store(true, Ordering::Relaxed))?;
                if flow.is_break() {
                    stop.store(true, Ordering::Relaxed);
                    return Ok(());
                }
            }
        }
        Ok(())
    })
}

#[derive(Default)]
struct Collected {
    runs: u64,
    failing: Vec<FailingSeed>,
    sim_time: Duration,
    hash: Sha256,
}

impl Collected {
    fn add(&mut self, run: SweepRun) {
        self.runs += 1;
        self.sim_time += run.sim_time;
        self.hash.update(run.digest.0);
        self.failing
            .extend(run.failing.map(|(failure, tape)| FailingSeed {
                setup: run.setup,
                seed: run.seed,
                failure,
                tape,
            }));
    }

    fn finish(self, start: u64, setups: u64) -> Sweep {
        Sweep {
            runs: self.runs,
            failing: self.failing,
            sim_time: self.sim_time,
            digest: Digest(self.hash.finalize().into()),
            end: start + self.runs.checked_div(setups).unwrap_or_default(),
        }
    }
}

/// The setup and the faults of a seed.
fn prepared(setup: &Setup, seed: u64, swarm: Option<&Swarm>, noted: bool) -> (Option<Setup>, Faults) {
    let Some(swarm) = swarm else {
        let faults = Faults {
            noted,
            ..Faults::default()
        };
        return (None, faults);
    };
    let families = swarm.families(seed);
    let faults = Faults {
        random: true,
        director: swarm.director(setup, seed, &families),
        noted,
    };
    (Some(swarm.reduce(setup, &families)), faults)
}

fn judge(run: &Run, swarm: bool) -> Option<Failure> {
    match swarm {
        true => Failure::of_properties(run),
        false => Failure::of(run),
    }
}

fn run_seed(setup: &Setup, number: usize, seed: u64, options: &SweepOptions) -> Result<SweepRun, RunError> {
    let swarm = options.swarm.as_ref();
    let run_options = RunOptions {
        seed,
        engine: options.engine,
        detail: options.second.as_ref().map_or(Detail::Digest, Second::detail),
        ..RunOptions::default()
    };
    let execute = |setup: &Setup| -> Result<Run, RunError> {
        let (reduced, faults) = prepared(setup, seed, swarm, false);
        let used = reduced.as_ref().unwrap_or(setup);
        Ok(finish(used, &run_options, run_world(used, &run_options, faults)?))
    };
    let mut run = execute(setup)?;
    if let Some(second) = &options.second {
        second.judge(setup, &mut run, execute)?;
    }
    let failing = match judge(&run, swarm.is_some()) {
        None => None,
        Some(failure) => {
            let (reduced, faults) = prepared(setup, seed, swarm, true);
            let used = reduced.as_ref().unwrap_or(setup);
            let world = run_world(used, &run_options, faults)?;
            Some((failure, tape_of(used, seed, &world)))
        }
    };
    Ok(SweepRun {
        setup: number,
        seed,
        sim_time: run.sim_time(),
        failing,
        digest: run.digest,
    })
}
