//! Run of a setup with one seed in one engine, and its result.

use std::collections::BTreeMap;
use std::error::Error;
use std::fmt;
use std::net::SocketAddr;
use std::time::Duration;

use sandhog_peer::Instant;

use crate::checks::CheckResult;
use crate::engine;
use crate::progress::{Liveness, StepState};
use crate::record::{HostId, Record, in_words};
use crate::setup::{Expected, Role, Setup, SetupError};
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

/// Options of a run. The default is seed 1 in the event engine, with all records.
#[derive(Clone, Copy, Debug)]
pub struct RunOptions {
    /// Everything random comes from it.
    pub seed: u64,
    /// Which engine.
    pub engine: Engine,
    /// How much to keep.
    pub detail: Detail,
}

impl Default for RunOptions {
    fn default() -> Self {
        Self {
            seed: 1,
            engine: Engine::Event,
            detail: Detail::Full,
        }
    }
}

/// The reason why a run is not possible.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum RunError {
    /// The setup has a mistake.
    Setup(SetupError),
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
            Self::Setup(mistake) => mistake.fmt(f),
            Self::Resolution => f.write_str(
                "the turmoil engine needs `resolution = \"1ms\"`; use `--engine event` for any other",
            ),
            Self::NoTurmoil => f.write_str("this build has no turmoil engine; use `--engine event`"),
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
    /// Its name.
    pub name: String,
    /// Its part.
    pub role: Role,
    /// Its outer address at the start of the run.
    pub address: SocketAddr,
    /// Its inner addresses with prefix lengths. Empty if it has no inner host or receives its addresses later.
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

/// The links in the order of the setup. A link is named after its first direction.
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
    /// How many records the trace has.
    pub record_count: u64,
    /// The records; empty unless [`Detail::Full`].
    pub records: Vec<Record>,
    /// The bytes that a record is about, by position; empty unless [`Detail::Full`].
    pub packets: Vec<Option<Box<[u8]>>>,
}

/// Runs a setup.
///
/// # Errors
///
/// [`RunError::Setup`] if the setup has a mistake, and another [`RunError`] if the engine cannot run it.
pub fn run_setup(setup: &Setup, options: &RunOptions) -> Result<Run, RunError> {
    setup.validate()?;
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
        name: setup.name.clone(),
        title: setup.title.clone(),
        about: setup.about.clone(),
        hosts: run_hosts(setup),
        links: run_links(setup),
        counted_kinds: setup.counted_kinds.clone(),
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
    let wanted: Vec<&str> = expected.outcomes.iter().map(AsRef::as_ref).collect();
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
