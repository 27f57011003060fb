//! Scenarios in pieces, runs that must pass, and what tests ask of their records.

use std::time::Duration;

use sandhog_lab::record::{HostId, Record, RecordKind};
use sandhog_lab::setup::Setup;
use sandhog_proto::Instant;
use sandhog_sim::{Detail, Engine, Run, RunOptions, Scenario, run_setup};

pub(crate) const SERVER: HostId = 0;
pub(crate) const ALICE: HostId = 1;

/// A server, Alice with these steps, a link between them with these lines, and the rest.
pub(crate) fn scenario(duration: &str, steps: &str, link: &str, rest: &str) -> Scenario {
    let text = format!(
        r#"
title = "a test"
duration = "{duration}"
ends-early = false

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
inner = ["10.9.0.2/24"]
server = "server"
login = "alice"
password = "correct horse"
{steps}

[[link]]
between = ["alice", "server"]
{link}
{rest}"#
    );
    parse(&text)
}

pub(crate) fn parse(text: &str) -> Scenario {
    Scenario::parse("test.toml", text, &|_| Err("no files here".into()))
        .unwrap_or_else(|error| panic!("{error}"))
}

/// So many pings, this far apart, of which this many must be answered.
pub(crate) fn pings(count: u32, every: &str, replies: u32) -> String {
    format!(
        "[[client.do]]\nping = {{ to = \"10.9.0.1\", count = {count}, every = \"{every}\", replies = {replies} }}\n"
    )
}

/// Mallory on the path, who does these things.
pub(crate) fn mallory(acts: &str) -> String {
    format!(
        "[[adversary]]\nname = \"mallory\"\naddress = \"203.0.113.66:666\"\nbudget = 100000\n\
         on-path = [\"alice\", \"server\"]\n{acts}"
    )
}

/// By the event engine, whatever comes out.
pub(crate) fn run_any(setup: &Setup, seed: u64) -> Run {
    let options = RunOptions {
        seed,
        engine: Engine::Event,
        detail: Detail::Full,
    };
    run_setup(setup, &options).unwrap()
}

/// By the event engine; every check must hold.
#[track_caller]
pub(crate) fn run(setup: &Setup, seed: u64) -> Run {
    let run = run_any(setup, seed);
    for check in &run.checks {
        assert!(check.passed, "seed {seed}: {}: {}", check.name, check.detail);
    }
    run
}

/// By both engines, which must agree on every record; every check must hold.
#[track_caller]
pub(crate) fn run_both(scenario: &Scenario, seed: u64) -> Run {
    let setup = scenario.setup();
    let event = run(&setup, seed);
    let options = RunOptions {
        seed,
        engine: Engine::Turmoil,
        detail: Detail::Full,
    };
    let turmoil = run_setup(&setup, &options).unwrap();
    assert!(
        event.records == turmoil.records,
        "seed {seed}: the engines differ"
    );
    event
}

/// A built-in scenario by both engines.
#[track_caller]
pub(crate) fn run_builtin(name: &str, seed: u64) -> Run {
    run_both(&Scenario::builtin(name).expect("a built-in scenario"), seed)
}

/// The records of `host` that `pick` picks.
pub(crate) fn records<'a>(
    run: &'a Run,
    host: HostId,
    pick: impl Fn(&RecordKind) -> bool + 'a,
) -> impl Iterator<Item = &'a Record> {
    let own = run.records.iter().filter(move |record| record.host == Some(host));
    own.filter(move |record| pick(&record.kind))
}

/// When `host` sent datagrams of this kind.
pub(crate) fn sent(run: &Run, host: HostId, wanted: &str) -> Vec<Instant> {
    let is_wanted = |what: &What| matches!(what, RecordKind::Sent { kind, .. } if *kind == wanted);
    records(run, host, is_wanted).map(|record| record.at).collect()
}

/// Who logged in when.
pub(crate) fn logins(run: &Run) -> Vec<Instant> {
    let records = records(run, SERVER, |what| matches!(what, RecordKind::LoggedIn { .. }));
    records.map(|record| record.at).collect()
}

/// The times at which the server ended sessions, and why.
pub(crate) fn ends(run: &Run) -> Vec<(Instant, &'static str)> {
    let ends = run.records.iter().filter_map(|record| match record.kind {
        RecordKind::SessionEnded { reason, .. } => Some((record.at, reason)),
        _ => None,
    });
    ends.collect()
}

/// The statuses of a client's tunnel, in their order.
pub(crate) fn statuses(run: &Run, host: HostId) -> Vec<(Instant, &'static str)> {
    let changes = run.records.iter().filter(|record| record.host == Some(host));
    let changes = changes.filter_map(|record| match record.kind {
        RecordKind::Status { status } => Some((record.at, status)),
        _ => None,
    });
    changes.collect()
}

/// When `host` could not log in again, and why.
pub(crate) fn retries(run: &Run, host: HostId) -> Vec<(Instant, &'static str)> {
    let own = run.records.iter().filter(|record| record.host == Some(host));
    let retries = own.filter_map(|record| match record.kind {
        RecordKind::Retrying { error } => Some((record.at, error)),
        _ => None,
    });
    retries.collect()
}

/// When all faults healed, which is when the work was over.
pub(crate) fn healed(run: &Run) -> Instant {
    let is_healing = |record: &&Record| matches!(&record.kind, RecordKind::Fault { text } if text.starts_with("all faults"));
    run.records
        .iter()
        .find(is_healing)
        .map_or(run.end, |record| record.at)
}

/// When a client's `start` completed, and how.
pub(crate) fn started(run: &Run, host: HostId) -> Option<(Instant, &'static str)> {
    let own = run.records.iter().filter(|record| record.host == Some(host));
    own.filter_map(|record| match record.kind {
        RecordKind::Started { result } => Some((record.at, result)),
        _ => None,
    })
    .next()
}

/// What came of the record `id`.
pub(crate) fn consequences(run: &Run, id: u64) -> impl Iterator<Item = &RecordKind> {
    let caused = run.records.iter().filter(move |record| record.cause == id);
    caused.map(|record| &record.kind)
}

pub(crate) const fn ms(millis: u64) -> Instant {
    Instant::from_millis(millis)
}

pub(crate) fn between(from: Instant, to: Instant) -> Duration {
    to.saturating_duration_since(from)
}
