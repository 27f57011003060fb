//! One run: a setup, a seed and an engine in; digest, outcome, checks and, if wanted, the whole trace out.

use std::collections::BTreeMap;
use std::error::Error;
use std::fmt;
use std::time::Duration;

use sandhog_proto::Instant;

use crate::checks::CheckResult;
use crate::engine;
use crate::progress::{Liveness, StepState};
use crate::record::{Record, in_words};
use crate::scenario::Scenario;
use crate::setup::{Expected, Setup};
use crate::trace::{Detail, Digest};
use crate::world::World;

/// Which engine runs it. Both give the same trace.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Engine {
    /// Jumps from event to event; for sweeps and the browser.
    Event,
    /// Tasks and sockets in turmoil, tick by tick.
    Turmoil,
}

impl Engine {
    /// Its name on the command line.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Event => "event",
            Self::Turmoil => "turmoil",
        }
    }
}

/// How to run a setup.
#[derive(Clone, Copy, Debug)]
pub struct RunOptions {
    /// Everything random comes from it.
    pub seed: u64,
    /// Which engine.
    pub engine: Engine,
    /// How much to keep.
    pub detail: Detail,
}

/// Why there is no run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RunError {
    /// The turmoil engine only has turmoil's tick of 1 ms.
    Resolution,
    /// This build of the laboratory has no turmoil engine.
    NoTurmoil,
    /// turmoil did not do what the engine relies on; a mistake in the laboratory, not in the protocol.
    Turmoil(String),
}

impl fmt::Display for RunError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Resolution => f.write_str(
                "the turmoil engine needs `resolution = \"1ms\"`; use `--engine event` for any other",
            ),
            Self::NoTurmoil => f.write_str("this build has no turmoil engine; use `--engine event`"),
            Self::Turmoil(fault) => write!(f, "the turmoil engine failed: {fault}"),
        }
    }
}

impl Error for RunError {}

/// What came out of a run.
#[derive(Clone, Debug)]
pub struct Run {
    /// The seed it ran with.
    pub seed: u64,
    /// The engine that ran it.
    pub engine: Engine,
    /// SHA-256 over all records.
    pub digest: Digest,
    /// Whether every check holds.
    pub passed: bool,
    /// How each client's `start` completed, in words.
    pub outcome: String,
    /// The simulation's clock at the end.
    pub end: Instant,
    /// All checks.
    pub checks: Vec<CheckResult>,
    /// What was counted: datagrams, losses by reason, drops by reason.
    pub counters: BTreeMap<String, u64>,
    /// Names of the hosts and adversaries by number.
    pub host_names: Vec<String>,
    /// How many records the trace has.
    pub record_count: u64,
    /// The records; empty unless [`Detail::Full`].
    pub records: Vec<Record>,
    /// The bytes that a record is about, by position; empty unless [`Detail::Full`].
    pub packets: Vec<Option<Box<[u8]>>>,
}

/// Runs a scenario.
///
/// # Errors
///
/// [`RunError`] if the engine cannot run it.
pub fn run(scenario: &Scenario, options: &RunOptions) -> Result<Run, RunError> {
    run_setup(&Setup::of(scenario), options)
}

/// Runs a setup.
///
/// # Errors
///
/// [`RunError`] if the engine cannot run it.
pub fn run_setup(setup: &Setup, options: &RunOptions) -> Result<Run, RunError> {
    let world = World::new(setup, options.seed, options.detail);
    let world = match options.engine {
        Engine::Event => engine::event::run(world),
        Engine::Turmoil => run_in_turmoil(setup, world)?,
    };
    let mut checks: Vec<CheckResult> = setup
        .expectations
        .iter()
        .flat_map(|expected| expectation(&world, expected))
        .collect();
    checks.extend(world.checks.results());
    checks.extend(setup.liveness.map(|within| liveness(&world, within)));
    let (outcome, counters) = (outcome(&world), counters(&world));
    let (end, record_count) = (world.now, world.trace.len());
    let hosts = world.hosts.iter().map(|host| host.spec.name.as_str());
    let host_names = hosts
        .chain(world.adversaries.names())
        .map(str::to_owned)
        .collect();
    let (digest, records, packets) = world.trace.finish();
    Ok(Run {
        seed: options.seed,
        engine: options.engine,
        digest,
        passed: checks.iter().all(|check| check.passed),
        outcome,
        end,
        checks,
        counters,
        host_names,
        record_count,
        records,
        packets,
    })
}

#[cfg(feature = "turmoil")]
fn run_in_turmoil(setup: &Setup, world: World) -> Result<World, RunError> {
    if setup.resolution != engine::turmoil::TICK {
        return Err(RunError::Resolution);
    }
    engine::turmoil::run(world).map_err(RunError::Turmoil)
}

#[cfg(not(feature = "turmoil"))]
fn run_in_turmoil(_: &Setup, _: World) -> Result<World, RunError> {
    Err(RunError::NoTurmoil)
}

impl Run {
    /// Adds property P12: the digest of `other`, a second run of the same setup and seed, is the same.
    pub fn check_repeat(&mut self, other: &Self) {
        let passed = self.digest == other.digest;
        let engine = other.engine.name();
        let detail = if passed {
            format!(
                "a second run with the {engine} engine gave the same {} records",
                self.record_count
            )
        } else {
            format!(
                "a second run with the {engine} engine gave digest {}",
                other.digest
            )
        };
        self.checks.push(CheckResult {
            name: "P12 same seed, same digest".into(),
            passed,
            detail,
        });
        self.passed &= passed;
    }

    /// The end of the simulation, as a length of time.
    #[must_use]
    pub fn sim_time(&self) -> Duration {
        self.end.saturating_duration_since(Instant::ZERO)
    }
}

/// What was expected of one client: how its start completes and when, and that it finishes what it does.
fn expectation(world: &World, expected: &Expected) -> Vec<CheckResult> {
    let host = &world.hosts[usize::from(expected.host)];
    let name = &host.spec.name;
    let wanted: Vec<&str> = expected.outcomes.iter().map(|outcome| outcome.name()).collect();
    let when = expected.at.map_or_else(String::new, |at| format!(" at {at}"));
    let (passed, detail) = match host.started {
        Some((result, at)) => {
            let passed = wanted.contains(&result) && expected.at.is_none_or(|expected| expected == at);
            (passed, format!("{result} at {at}"))
        }
        None => (false, "`start` never completed".into()),
    };
    let outcome = CheckResult {
        name: format!("{name}: {}{when}", wanted.join(" or ")),
        passed,
        detail,
    };
    let mut checks = vec![outcome];
    checks.extend(expected.finally.map(|wanted| CheckResult {
        name: format!("{name}: finally {}", wanted.name()),
        passed: host.finally == Some(wanted.name()),
        detail: host.finally.unwrap_or("the work has not ended").into(),
    }));
    checks.extend(host.misgiven.as_ref().map(|detail| CheckResult {
        name: format!("{name}: is given its inner addresses"),
        passed: false,
        detail: detail.clone(),
    }));
    let steps = host.progress.steps();
    if host.started.is_none_or(|(result, _)| result != "connected") || steps.is_empty() {
        return checks;
    }
    let failed = steps.iter().zip(1..).find_map(|(step, number)| match step {
        StepState::Ended { succeeded: true, .. } => None,
        StepState::Ended { text, .. } => Some(format!("step {number}: {text}")),
        StepState::Running => Some(format!("step {number} was not finished when the time was up")),
        StepState::Pending => Some(format!("step {number} was not begun when the time was up")),
    });
    let done = CheckResult {
        name: format!(
            "{name}: finishes its {} step{}",
            steps.len(),
            if steps.len() == 1 { "" } else { "s" }
        ),
        passed: failed.is_none(),
        detail: failed.unwrap_or_else(|| "all succeeded".into()),
    };
    checks.push(done);
    checks
}

/// P9: after all faults have healed, a ping passes in time.
fn liveness(world: &World, within: Duration) -> CheckResult {
    let name = "P9 alive after healing".to_owned();
    let Some(healed_at) = world.healed_at else {
        return CheckResult {
            name,
            passed: true,
            detail: "no tunnel was up that could be asked".into(),
        };
    };
    let mut details = Vec::new();
    let mut passed = true;
    for host in &world.hosts {
        match host.progress.liveness() {
            Liveness::NotWanted => {}
            Liveness::Passed { at } => {
                let after = in_words(at.saturating_duration_since(healed_at));
                details.push(format!("{}: a ping passed {after} after healing", host.spec.name));
            }
            Liveness::Wanted | Liveness::Running => {
                passed = false;
                details.push(format!(
                    "{}: no ping passed within {}",
                    host.spec.name,
                    in_words(within)
                ));
            }
        }
    }
    CheckResult {
        name,
        passed,
        detail: details.join("; "),
    }
}

fn outcome(world: &World) -> String {
    let clients: Vec<_> = world
        .hosts
        .iter()
        .filter(|host| host.spec.script.is_some())
        .collect();
    let result = |host: &crate::world::HostState| host.started.map_or("unfinished", |(result, _)| result);
    match clients.as_slice() {
        [] => "no clients".into(),
        [only] => result(only).into(),
        many => {
            let each: Vec<String> = many
                .iter()
                .map(|host| format!("{} {}", host.spec.name, result(host)))
                .collect();
            each.join(", ")
        }
    }
}

fn counters(world: &World) -> BTreeMap<String, u64> {
    let counts = world.net.counts;
    let mut counters = BTreeMap::from([
        ("records".to_owned(), world.trace.len()),
        ("datagrams.made".to_owned(), counts.made),
        ("datagrams.delivered".to_owned(), counts.delivered),
        ("datagrams.in-flight".to_owned(), world.net.in_flight()),
    ]);
    for (reason, count) in &world.losses {
        counters.insert(format!("lost.{reason}"), *count);
    }
    for (name, sent) in world.adversaries.sent() {
        counters.insert(format!("{name}.sent"), sent);
    }
    for host in &world.hosts {
        for boot in &host.counters {
            let mut add = |name: &str, count: u64| {
                *counters.entry(format!("{}.{name}", host.spec.name)).or_default() += count;
            };
            add("packets-out", boot.packets_out);
            add("bytes-out", boot.bytes_out);
            add("packets-in", boot.packets_in);
            add("bytes-in", boot.bytes_in);
            for (reason, count) in boot.drops() {
                add(&format!("dropped.{}", reason.name()), count);
            }
        }
    }
    counters
}
