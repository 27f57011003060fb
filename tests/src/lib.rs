//! Shared code of the tests, the program `digests` and the benchmarks: runs of built-in scenarios by name,
//! and the format of the committed digests.

use std::error::Error;
use std::fmt;

use sandhog_lab::replay::{record, replay};
use sandhog_lab::tape::Tape;
use sandhog_sim::{Detail, Engine, Run, RunOptions, Scenario, builtin, report};

/// The committed digests: a line `name seed digest` for each built-in scenario and seed, from seed 0.
pub const GOLDEN: &str = include_str!("../golden/digests.txt");

/// The seed of the runs whose stories are committed.
pub const STORY_SEED: u64 = 7;

/// The names of all built-in scenarios, in their order.
pub fn names() -> impl Iterator<Item = &'static str> {
    builtin::ALL.iter().map(|scenario| scenario.name)
}

/// Runs a built-in scenario.
///
/// # Panics
/// Panics if there is no built-in scenario with this name, or if the engine cannot run it.
#[must_use]
pub fn run(name: &str, seed: u64, engine: Engine, detail: Detail) -> Run {
    let scenario =
        Scenario::builtin(name).unwrap_or_else(|| panic!("there is no built-in scenario `{name}`"));
    let options = RunOptions {
        seed,
        engine,
        detail,
        ..RunOptions::default()
    };
    sandhog_sim::run(&scenario, &options).unwrap_or_else(|error| panic!("{name} seed {seed}: {error}"))
}

/// The text that the snapshot of a built-in scenario holds.
///
/// # Panics
/// There is no built-in scenario of that name, or the event engine cannot run it.
#[must_use]
pub fn story(name: &str) -> String {
    report::story(&run(name, STORY_SEED, Engine::Event, Detail::Full))
}

/// One line of the committed digests.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Line<'a> {
    /// The name of the built-in scenario.
    pub name: &'a str,
    /// The seed of the run.
    pub seed: u64,
    /// Its digest, 64 hexadecimal digits.
    pub digest: String,
}

impl<'a> Line<'a> {
    /// Runs a built-in scenario and keeps only its digest.
    ///
    /// # Panics
    /// Panics if there is no built-in scenario with this name, or if a check of the run fails.
    #[must_use]
    pub fn of_run(name: &'a str, seed: u64, engine: Engine) -> Self {
        let run = run(name, seed, engine, Detail::Digest);
        if let Some(failed) = run.checks.iter().find(|check| !check.passed) {
            panic!("{name} seed {seed}: {}: {}", failed.name, failed.detail);
        }
        Self {
            name,
            seed,
            digest: run.digest.to_string(),
        }
    }

    /// Records a run of a built-in scenario in the event engine, replays the text of its tape, and keeps the digest of the replay.
    ///
    /// # Panics
    /// Panics if there is no built-in scenario with this name, or if the tape cannot be replayed.
    #[must_use]
    pub fn of_replay(name: &'a str, seed: u64, engine: Engine) -> Self {
        let setup = Scenario::builtin(name)
            .unwrap_or_else(|| panic!("there is no built-in scenario `{name}`"))
            .setup();
        let options = RunOptions {
            seed,
            detail: Detail::Digest,
            ..RunOptions::default()
        };
        let replayed = || -> Result<String, Box<dyn Error>> {
            let (_, tape) = record(&setup, &options)?;
            let tape: Tape = tape.to_string().parse()?;
            let options = RunOptions { engine, ..options };
            Ok(replay(&setup, &tape, &options)?.run.digest.to_string())
        };
        Self {
            name,
            seed,
            digest: replayed().unwrap_or_else(|error| panic!("{name} seed {seed}: {error}")),
        }
    }

    /// Returns the committed digest of a run, if there is one.
    #[must_use]
    pub fn committed(name: &'a str, seed: u64) -> Option<Self> {
        let start = format!("{name} {seed} ");
        let digest = GOLDEN.lines().find_map(|line| line.strip_prefix(&start))?;
        Some(Self {
            name,
            seed,
            digest: digest.to_owned(),
        })
    }
}

impl fmt::Display for Line<'_> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{} {} {}", self.name, self.seed, self.digest)
    }
}
