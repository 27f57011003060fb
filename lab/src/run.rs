//! Run of a setup with one seed in one engine, and its result.

mod liveness;
mod selections;

use std::collections::BTreeMap;
use std::error::Error;
use std::fmt;
use std::net::SocketAddr;
use std::time::Duration;

use sandhog_peer::Instant;

use crate::checks::CheckResult;
use crate::engine;
use crate::limits::DEFAULT_MAX_RECORDS;
use crate::net::Faults;
use crate::progress::StepState;
use crate::record::{HostId, Record};
use crate::setup::{Expected, PENDING, Role, Setup, SetupError};
use crate::tape::TapeError;
use crate::trace::{Detail, Digest};
use crate::world::World;

/// Engine of a run. Both engines give the same trace.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Engine {
    /// Goes from event to event. It is fast, and also runs in a browser.
    Event,
    /// Runs the hosts as async tasks with sockets in turmoil, tick by tick.
    Turmoil,
}

impl Engine {
    /// The name on the command line.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Event => "event",
            Self::Turmoil => "turmoil",
        }
    }
}

/// Options of a run. The default is seed 1 in the event engine, with all records.
///
/// ```
/// use sandhog_lab::{Detail, Engine, RunOptions};
///
/// let options = RunOptions { seed: 42, ..RunOptions::default() };
/// assert_eq!((options.engine.name(), options.detail), ("event", Detail::Full));
/// ```
#[derive(Clone, Copy, Debug)]
pub struct RunOptions {
    /// Source of all randomness.
    pub seed: u64,
    /// The engine.
    pub engine: Engine,
    /// The amount of data to keep.
    pub detail: Detail,
    /// Largest number of records. A run with more records ends at once, and a check fails. With [`Detail::Full`], each record
    /// takes about 150 bytes of memory, and its packet as well.
    pub max_records: u64,
}

impl Default for RunOptions {
    fn default() -> Self {
        Self {
            seed: 1,
            engine: Engine::Event,
            detail: Detail::Full,
            max_records: DEFAULT_MAX_RECORDS,
        }
    }
}

/// The reason why a run is not possible.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum RunError {
    /// The setup has a mistake.
    Setup(SetupError),
    /// The tape does not fit the setup.
    Tape(TapeError),
    /// The turmoil engine supports only turmoil's tick of 1 ms.
    Resolution,
    /// This build of the laboratory has no turmoil engine.
    NoTurmoil,
    /// The system cannot start so many threads for a sweep.
    Threads {
        /// The wanted number.
        jobs: u64,
        /// The error of the system.
        error: String,
    },
    /// turmoil lost a datagram or ended a host. This is a bug in the laboratory, not in the protocol.
    Turmoil(String),
}

impl fmt::Display for RunError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Setup(mistake) => mistake.fmt(f),
            Self::Tape(mistake) => mistake.fmt(f),
            Self::Resolution => f.write_str(
                "the turmoil engine needs a resolution of 1ms; use the event engine for any other",
            ),
            Self::NoTurmoil => f.write_str("this build has no turmoil engine; use the event engine"),
            Self::Threads { jobs, error } => {
                write!(f, "cannot start {jobs} threads: {error}; use fewer")
            }
            Self::Turmoil(fault) => write!(f, "the turmoil engine failed: {fault}"),
        }
    }
}

impl Error for RunError {}

impl From<SetupError> for RunError {
    fn from(mistake: SetupError) -> Self {
        Self::Setup(mistake)
    }
}

/// A host or an adversary of a run, for reports.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RunHost {
    /// The name.
    pub name: String,
    /// The role.
    pub role: Role,
    /// The outer address at the start of the run.
    pub address: SocketAddr,
    /// The inner addresses with prefix lengths. Empty if it has no inner host or receives its addresses later.
    pub inner: Vec<String>,
}

/// A link of a run, for reports.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RunLink {
    /// One end.
    pub a: HostId,
    /// The other end.
    pub b: HostId,
    /// The configuration of both directions, with the terms of `tc netem`.
    pub description: String,
}

fn run_hosts(setup: &Setup) -> Vec<RunHost> {
    let hosts = setup.hosts.iter().map(|host| {
        let addresses = host.inner.iter().flat_map(|inner| &inner.addresses);
        RunHost {
            name: host.name.clone(),
            role: host.role(),
            address: host.address,
            inner: addresses
                .map(|(address, length)| format!("{address}/{length}"))
                .collect(),
        }
    });
    let adversaries = setup.adversaries.iter().map(|adversary| RunHost {
        name: adversary.name.clone(),
        role: Role::Adversary,
        address: adversary.address,
        inner: Vec::new(),
    });
    hosts.chain(adversaries).collect()
}

/// The links in the order of the setup. The first direction of a link decides the order of its ends.
fn run_links(setup: &Setup) -> Vec<RunLink> {
    let name = |id: HostId| {
        let hosts = setup.hosts.iter().map(|host| host.name.as_str());
        let mut names = hosts.chain(setup.adversaries.iter().map(|adversary| adversary.name.as_str()));
        names.nth(usize::from(id)).unwrap_or_default()
    };
    let mut links: Vec<RunLink> = Vec::new();
    for (a, b, forward) in &setup.links {
        if links.iter().any(|link| (link.a, link.b) == (*b, *a)) {
            continue;
        }
        let backward = setup.links.iter().find(|(from, to, _)| (from, to) == (b, a));
        let forward = forward.describe();
        let backward = backward.map_or_else(String::new, |(.., config)| config.describe());
        let description = match (forward == backward, forward.is_empty()) {
            (true, true) => "perfect".to_owned(),
            (true, false) => forward,
            (false, _) => format!(
                "{a} → {b}: {forward}; {b} → {a}: {backward}",
                a = name(*a),
                b = name(*b)
            ),
        };
        links.push(RunLink {
            a: *a,
            b: *b,
            description,
        });
    }
    links
}

/// Result of a run.
#[derive(Clone, Debug)]
pub struct Run {
    /// The seed.
    pub seed: u64,
    /// The engine.
    pub engine: Engine,
    /// SHA-256 over all records.
    pub digest: Digest,
    /// True if every check holds.
    pub passed: bool,
    /// The results of the clients' `start` commands, in one line.
    pub outcome: String,
    /// Simulated time at the end.
    pub end: Instant,
    /// The results of all checks.
    pub checks: Vec<CheckResult>,
    /// Counters of the network and of the peers: datagrams, losses by reason, drops by reason, and others.
    pub counters: BTreeMap<String, u64>,
    /// The name of the setup.
    pub name: String,
    /// The title of the setup.
    pub title: String,
    /// The description of the setup.
    pub about: String,
    /// The hosts and then the adversaries, by number.
    pub hosts: Vec<RunHost>,
    /// The links of the setup, one for each pair of hosts.
    pub links: Vec<RunLink>,
    /// Kinds of datagrams that the story and the diagrams count instead of listing each one.
    pub counted_kinds: Vec<&'static str>,
    /// Number of records of the trace.
    pub record_count: u64,
    /// The records. Empty for [`Detail::Digest`].
    pub records: Vec<Record>,
    /// The bytes of the datagram or packet of each record, by position of the record. Complete for [`Detail::Full`].
    pub packets: Vec<Option<Box<[u8]>>>,
}

/// Runs a setup.
///
/// A run that exceeds one of the [limits](crate::limits) ends at once, with the failed check `run stays within its limits`.
///
/// # Errors
///
/// [`RunError::Setup`] if the setup has a mistake, and another [`RunError`] if the engine cannot run it.
///
/// # Panics
///
/// Only if the protocol panics: `make_peer` of a host, a function of its [`Peer`](sandhog_peer::Peer), or a function of the
/// [`Rules`](crate::setup::Rules). The laboratory does not catch such a panic.
pub fn run_setup(setup: &Setup, options: &RunOptions) -> Result<Run, RunError> {
    setup.validate()?;
    Ok(finish(
        setup,
        options,
        run_world(setup, options, Faults::default())?,
    ))
}

/// Runs a valid setup with these faults and returns the final state.
pub(crate) fn run_world(setup: &Setup, options: &RunOptions, faults: Faults) -> Result<World, RunError> {
    let world = World::new(setup, options.seed, options.detail, options.max_records, faults);
    match options.engine {
        Engine::Event => Ok(engine::event::run(world)),
        Engine::Turmoil => run_in_turmoil(setup, world),
    }
}

/// The result of a run with the final state `world`.
pub(crate) fn finish(setup: &Setup, options: &RunOptions, world: World) -> Run {
    let expectations = setup.all_expectations();
    let mut checks: Vec<CheckResult> = expectations
        .iter()
        .flat_map(|expected| expectation(&world, expected))
        .collect();
    let exceeded = world.exceeded.clone();
    checks.extend(exceeded.map(failed_limit));
    checks.extend(world.checks.results());
    checks.extend(setup.liveness.map(|within| liveness::check(&world, within)));
    checks.extend(selections::unused(setup, &world));
    let (outcome, counters) = (outcome(&world), counters(&world));
    let (end, record_count) = (world.now, world.trace.len());
    let (digest, records, packets) = world.trace.finish();
    Run {
        seed: options.seed,
        engine: options.engine,
        digest,
        passed: checks.iter().all(|check| check.passed),
        outcome,
        end,
        checks,
        counters,
        name: setup.name.clone(),
        title: setup.title.clone(),
        about: setup.about.clone(),
        hosts: run_hosts(setup),
        links: run_links(setup),
        counted_kinds: setup.counted_kinds.clone(),
        record_count,
        records,
        packets,
    }
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
    /// Adds check P12: `other`, a second run of the same setup and seed, has the same digest.
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
            tested: true,
            detail,
        });
        self.passed &= passed;
    }

    /// Simulated duration of the run.
    #[must_use]
    pub fn sim_time(&self) -> Duration {
        self.end.saturating_duration_since(Instant::ZERO)
    }
}

/// Words between the name of a client and the number of its steps, in the name of a check.
pub(crate) const STEPS_CHECK: &str = " finishes ";

/// Words in the details of checks of which the work phase was too short.
pub(crate) const UNFINISHED: &[&str] = &[NOT_STARTED, NOT_ENDED, "in time"];
const NOT_STARTED: &str = "`start` did not complete";
const NOT_ENDED: &str = "the work phase did not end";

/// The checks of one client: the result of its start, its final status, and the success of its steps.
fn expectation(world: &World, expected: &Expected) -> Vec<CheckResult> {
    let host = &world.hosts[usize::from(expected.host)];
    let name = &host.spec.name;
    let wanted: Vec<&str> = expected.outcomes.iter().map(AsRef::as_ref).collect();
    let when = expected.at.map_or_else(String::new, |at| format!(" at {at}"));
    let (passed, detail) = match host.started {
        Some((result, at)) => {
            let passed = wanted.contains(&result) && expected.at.is_none_or(|expected| expected == at);
            let repeated = passed && wanted.len() == 1;
            (
                passed,
                if repeated {
                    format!("at {at}")
                } else {
                    format!("{result} at {at}")
                },
            )
        }
        None => (wanted.contains(&PENDING), NOT_STARTED.into()),
    };
    let outcome = match wanted.as_slice() {
        ["connected"] => format!("{name} is connected{when}"),
        wanted => format!("{name}: start ends with {}{when}", wanted.join(" or ")),
    };
    let mut checks = vec![client_check(outcome, passed, detail)];
    checks.extend(expected.finally.map(|wanted| {
        let detail = host.final_status.unwrap_or(NOT_ENDED);
        let passed = host.final_status == Some(wanted.name());
        client_check(format!("{name} is {} at the end", wanted.name()), passed, detail)
    }));
    checks.extend(
        host.address_mismatch
            .as_ref()
            .map(|detail| client_check(format!("{name} receives its inner addresses"), false, detail)),
    );
    let steps = host.progress.steps();
    if host.started.is_none_or(|(result, _)| result != "connected") || steps.is_empty() {
        return checks;
    }
    let failed = steps.iter().zip(1..).find_map(|(step, number)| match step {
        StepState::Ended { succeeded: true, .. } => None,
        StepState::Ended { text, .. } => Some(format!("step {number}: {text}")),
        StepState::Running => Some(format!("step {number} did not finish in time")),
        StepState::Pending => Some(format!("step {number} did not start in time")),
    });
    let plural = if steps.len() == 1 { "" } else { "s" };
    checks.push(client_check(
        format!("{name}{STEPS_CHECK}{} step{plural}", steps.len()),
        failed.is_none(),
        failed.unwrap_or_else(|| "all succeeded".into()),
    ));
    checks
}

fn client_check(name: String, passed: bool, detail: impl Into<String>) -> CheckResult {
    CheckResult {
        name,
        passed,
        tested: true,
        detail: detail.into(),
    }
}

/// The check of a run that exceeded a limit.
fn failed_limit(detail: String) -> CheckResult {
    client_check("run stays within its limits".into(), false, detail)
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
            for (name, count) in boot.others() {
                add(name, count);
            }
            for (reason, count) in boot.drops() {
                add(&format!("dropped.{}", reason.name()), count);
            }
        }
    }
    counters
}
