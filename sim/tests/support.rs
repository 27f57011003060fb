//! The scenario of alice and a server, runs of it, and queries on the records of a run.

use std::time::Duration;

use sandhog_lab::record::{HostId, Record, RecordId, RecordKind};
use sandhog_lab::setup::Setup;
use sandhog_peer::Instant;
use sandhog_sim::builtin::ALL;
use sandhog_sim::{Detail, Engine, Run, RunOptions, Scenario, ScenarioError, run_setup};

pub(crate) const SERVER: HostId = 0;
pub(crate) const ALICE: HostId = 1;
/// The adversary of a scenario with one client.
pub(crate) const MALLORY: HostId = 2;

/// The scenario of alice and a server. The server knows the users alice and bob, and offers UDP echo and bulk TCP.
#[derive(Clone, Copy)]
pub(crate) struct AliceAndServer<'a> {
    pub(crate) profile: &'a str,
    pub(crate) duration: &'a str,
    pub(crate) ends_early: bool,
    /// The line `inner` of alice, and further keys. Without `inner`, the server assigns the address.
    pub(crate) inner: &'a str,
    /// Tables `[[client.do]]` of alice.
    pub(crate) steps: &'a str,
    /// Keys of the link between the two. If empty, there is no link.
    pub(crate) link: &'a str,
    /// Further tables.
    pub(crate) rest: &'a str,
}

impl Default for AliceAndServer<'_> {
    fn default() -> Self {
        Self {
            profile: "secure",
            duration: "6s",
            ends_early: true,
            inner: "inner = [\"10.9.0.2/24\"]",
            steps: "",
            link: "delay = \"10ms\"",
            rest: "",
        }
    }
}

impl AliceAndServer<'_> {
    /// The scenario in TOML.
    pub(crate) fn text(&self) -> String {
        let Self {
            profile,
            duration,
            ends_early,
            inner,
            steps,
            link,
            rest,
        } = self;
        let link = match link.is_empty() {
            true => String::new(),
            false => format!("[[link]]\nbetween = [\"alice\", \"server\"]\n{link}\n"),
        };
        format!(
            r#"
title = "a test"
profile = "{profile}"
duration = "{duration}"
ends-early = {ends_early}

[[server]]
name = "server"
address = "192.0.2.1:4000"
inner = ["10.9.0.1/24"]
serve = {{ udp-echo = 7, bulk = 5001 }}
user = [
  {{ login = "alice", password = "correct horse", addresses = ["10.9.0.2"] }},
  {{ login = "bob", password = "battery staple", addresses = ["10.9.0.3"] }},
]

[[client]]
name = "alice"
address = "198.51.100.2:50000"
{inner}
server = "server"
login = "alice"
password = "correct horse"

{steps}
{link}
{rest}"#
        )
    }

    pub(crate) fn parse(&self) -> Result<Scenario, ScenarioError> {
        parse(&self.text())
    }

    #[track_caller]
    pub(crate) fn scenario(&self) -> Scenario {
        self.parse().unwrap_or_else(|error| panic!("{error}"))
    }

    #[track_caller]
    pub(crate) fn setup(&self) -> Setup {
        self.scenario().setup()
    }
}

/// Reads a scenario that serves no files.
pub(crate) fn parse(text: &str) -> Result<Scenario, ScenarioError> {
    Scenario::parse("test.toml", text, &|_| Err("there are no files".into()))
}

/// The text of a built-in scenario.
pub(crate) fn source(name: &str) -> &'static str {
    let builtin = ALL.iter().find(|builtin| builtin.name == name);
    builtin.expect("a built-in scenario").source
}

/// The table of a step with `count` pings, of which `replies` must be answered.
pub(crate) fn pings(count: u32, every: &str, replies: u32) -> String {
    format!(
        "[[client.do]]\nping = {{ to = \"10.9.0.1\", count = {count}, every = \"{every}\", replies = {replies} }}\n"
    )
}

/// The tables of the adversary mallory, on the path between alice and the server, with these tables `[[adversary.do]]`.
pub(crate) fn mallory(acts: &str) -> String {
    mallory_with("on-path = [\"alice\", \"server\"]\nbudget = 100000", acts)
}

/// The tables of the adversary mallory with these keys and these tables `[[adversary.do]]`.
pub(crate) fn mallory_with(keys: &str, acts: &str) -> String {
    format!("[[adversary]]\nname = \"mallory\"\naddress = \"203.0.113.66:666\"\n{keys}\n{acts}\n")
}

fn run_engine(setup: &Setup, seed: u64, engine: Engine) -> Run {
    let options = RunOptions {
        seed,
        engine,
        detail: Detail::Full,
        ..RunOptions::default()
    };
    run_setup(setup, &options).unwrap()
}

/// Runs in the event engine. Checks may fail.
pub(crate) fn run_any(setup: &Setup, seed: u64) -> Run {
    run_engine(setup, seed, Engine::Event)
}

/// Runs in both engines, which must agree on every record and check. Checks may fail.
///
/// On WebAssembly, turmoil takes most of the time of a run. There it runs only the built-in scenarios and the tapes.
#[track_caller]
pub(crate) fn run_both_any(setup: &Setup, seed: u64) -> Run {
    if cfg!(target_family = "wasm") {
        return run_any(setup, seed);
    }
    compare_engines(setup, seed)
}

/// Runs in both engines on each target. They must agree on every record and check.
#[track_caller]
fn compare_engines(setup: &Setup, seed: u64) -> Run {
    let [event, turmoil] = [Engine::Event, Engine::Turmoil].map(|engine| run_engine(setup, seed, engine));
    assert!(
        event.records == turmoil.records,
        "seed {seed}: the engines differ"
    );
    assert_eq!(event.checks, turmoil.checks, "seed {seed}");
    event
}

/// Runs in the event engine. All checks must pass.
#[track_caller]
pub(crate) fn run(setup: &Setup, seed: u64) -> Run {
    passed(run_any(setup, seed))
}

/// Runs in both engines, which must agree on every record. All checks must pass.
#[track_caller]
pub(crate) fn run_both(setup: &Setup, seed: u64) -> Run {
    passed(run_both_any(setup, seed))
}

/// Runs a built-in scenario in both engines. All checks must pass.
#[track_caller]
pub(crate) fn run_builtin(name: &str, seed: u64) -> Run {
    let scenario = Scenario::builtin(name).expect("a built-in scenario");
    passed(compare_engines(&scenario.setup(), seed))
}

#[track_caller]
fn passed(run: Run) -> Run {
    for check in &run.checks {
        assert!(
            check.passed,
            "seed {}: {}: {}",
            run.seed, check.name, check.detail
        );
    }
    run
}

/// The names of the failed checks.
pub(crate) fn failed(run: &Run) -> Vec<&str> {
    let failed = run.checks.iter().filter(|check| !check.passed);
    failed.map(|check| check.name.as_str()).collect()
}

/// The records of `host` for which `pick` returns true.
pub(crate) fn records<'a>(
    run: &'a Run,
    host: HostId,
    pick: impl Fn(&RecordKind) -> bool + 'a,
) -> impl Iterator<Item = &'a Record> {
    let own = run.records.iter().filter(move |record| record.host == Some(host));
    own.filter(move |record| pick(&record.kind))
}

/// The times at which `host` sent datagrams of this kind.
pub(crate) fn sent(run: &Run, host: HostId, wanted: &str) -> Vec<Instant> {
    let is_wanted = |record: &RecordKind| matches!(record, RecordKind::Sent { kind, .. } if *kind == wanted);
    records(run, host, is_wanted).map(|record| record.at).collect()
}

/// The times at which the server accepted logins.
pub(crate) fn logins(run: &Run) -> Vec<Instant> {
    let records = records(run, SERVER, |kind| matches!(kind, RecordKind::LoggedIn { .. }));
    records.map(|record| record.at).collect()
}

/// The times at which sessions of servers ended, with the reasons.
pub(crate) fn ends(run: &Run) -> Vec<(Instant, &'static str)> {
    let ends = run.records.iter().filter_map(|record| match record.kind {
        RecordKind::SessionEnded { reason, .. } => Some((record.at, reason)),
        _ => None,
    });
    ends.collect()
}

/// The statuses of a client's tunnel, in their order.
pub(crate) fn statuses(run: &Run, host: HostId) -> Vec<(Instant, &'static str)> {
    let own = run.records.iter().filter(|record| record.host == Some(host));
    let changes = own.filter_map(|record| match record.kind {
        RecordKind::Status { status } => Some((record.at, status)),
        _ => None,
    });
    changes.collect()
}

/// The times at which another login of `host` failed, with the errors.
pub(crate) fn retries(run: &Run, host: HostId) -> Vec<(Instant, &'static str)> {
    let own = run.records.iter().filter(|record| record.host == Some(host));
    let retries = own.filter_map(|record| match record.kind {
        RecordKind::Retrying { error } => Some((record.at, error)),
        _ => None,
    });
    retries.collect()
}

/// The time at which the work ended and all faults were switched off.
pub(crate) fn work_end(run: &Run) -> Instant {
    let is_end = |record: &&Record| matches!(&record.kind, RecordKind::Fault { text } if text.starts_with("all faults"));
    let record = run.records.iter().find(is_end);
    record.map_or(run.end, |record| record.at)
}

/// The time at which the first `start` of a client finished, with its result.
pub(crate) fn started(run: &Run, host: HostId) -> Option<(Instant, &'static str)> {
    let own = run.records.iter().filter(|record| record.host == Some(host));
    own.filter_map(|record| match record.kind {
        RecordKind::Started { result } => Some((record.at, result)),
        _ => None,
    })
    .next()
}

/// The records that the record `id` caused.
pub(crate) fn consequences(run: &Run, id: RecordId) -> impl Iterator<Item = &RecordKind> {
    let caused = run.records.iter().filter(move |record| record.cause == id);
    caused.map(|record| &record.kind)
}

pub(crate) const fn ms(millis: u64) -> Instant {
    Instant::from_millis(millis)
}

pub(crate) fn between(from: Instant, to: Instant) -> Duration {
    to.saturating_duration_since(from)
}
