//! Command `sweep`: many seeds of scenarios on several threads.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::num::NonZeroUsize;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::Args;
use sandhog_lab::compare::Second;
use sandhog_lab::search::{FailingSeed, Family, Swarm, Sweep, SweepOptions, shrink_compared, sweep};
use sandhog_lab::setup::Setup;
use sandhog_lab::suggest::suggestion;
use serde_json::json;

use super::comparison::Comparison;
use super::progress::Meter;
use super::tape::write_failure;
use super::{BadInput, EngineName, Program, output, print, quoted};
use crate::Scenario;
use crate::shrink::{Document, sentence, shrink_scenario};

/// Largest number of failing seeds that are shrunk.
const MAX_SHRUNK: usize = 20;

#[derive(Debug, Args)]
pub(super) struct Arguments {
    /// Built-in names (see `list`) or scenario files
    #[arg(required = true)]
    scenarios: Vec<String>,
    /// The seeds from A up to and without B
    #[arg(long, value_name = "A..B", value_parser = read_seeds, default_value = "1..1001")]
    seeds: Range<u64>,
    /// Number of threads [default: number of processors]
    #[arg(long, value_name = "N")]
    jobs: Option<NonZeroUsize>,
    /// End after this time, such as 10m; seeds already begun are finished
    #[arg(long, value_name = "TIME", value_parser = read_budget)]
    budget: Option<Duration>,
    /// Add faults of further kinds, each kind in half of the seeds
    ///
    /// Only the properties P1, P2, … are judged then, because the expectations of
    /// a scenario need not hold under arbitrary faults.
    #[arg(long)]
    swarm: bool,
    /// Kinds of faults that every seed of a swarm has
    #[arg(long, value_name = "KINDS", value_delimiter = ',', value_parser = read_family, requires = "swarm")]
    with: Vec<Family>,
    /// Kinds of faults that no seed of a swarm has
    #[arg(long, value_name = "KINDS", value_delimiter = ',', value_parser = read_family, requires = "swarm")]
    without: Vec<Family>,
    #[command(flatten)]
    comparison: Comparison,
    /// The engine; both give the same traces
    #[arg(long, value_name = "ENGINE", default_value = "event")]
    engine: EngineName,
    /// Write the shrunk tape of each failing seed to this folder, and its shrunk
    /// scenario with a story, a capture and a test to a folder of its own
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
    /// Write a report in the JUnit format to this file
    #[arg(long, value_name = "FILE")]
    junit: Option<PathBuf>,
    /// Print one JSON object instead of the report
    #[arg(long)]
    json: bool,
}

fn read_seeds(text: &str) -> Result<Range<u64>, String> {
    let expected = || "expected two numbers, such as `1..1001`, the second one larger".to_owned();
    let (start, end) = text.split_once("..").ok_or_else(expected)?;
    let (start, end) = (start.parse::<u64>(), end.trim_start_matches('=').parse::<u64>());
    match (start, end) {
        (Ok(start), Ok(end)) if start < end && !text.contains('=') => Ok(start..end),
        (Ok(start), Ok(end)) if start <= end && text.contains('=') && end < u64::MAX => Ok(start..end + 1),
        _ => Err(expected()),
    }
}

fn read_budget(text: &str) -> Result<Duration, String> {
    let text = text.trim();
    let minutes = text.strip_suffix('m').map(|number| format!("{number}min"));
    let span = minutes
        .as_deref()
        .unwrap_or(text)
        .parse::<sandhog_lab::values::Span>();
    span.map(|span| span.0)
        .map_err(|_| "expected a time, such as `10m` or `90s`".into())
}

fn read_family(text: &str) -> Result<Family, String> {
    let all = Family::all();
    let found = all.iter().copied().find(|family| family.name() == text);
    found.ok_or_else(|| {
        let names: Vec<&str> = all.iter().map(|family| family.name()).collect();
        format!("`{text}` is not a kind of fault{}", suggestion(text, &names))
    })
}

/// A failing seed with its shrunk tape.
struct Found<'a> {
    seed: &'a FailingSeed,
    sentence: String,
    compact: String,
    file: Option<String>,
}

impl Program<'_> {
    pub(super) fn sweep(&self, arguments: &Arguments) -> Result<bool, BadInput> {
        let names = arguments.scenarios.iter();
        let scenarios = names
            .map(|name| self.find_scenario(name))
            .collect::<Result<Vec<_>, _>>()?;
        let second = arguments.comparison.second(self, &scenarios)?;
        let engine = arguments.engine.engine();
        scenarios
            .iter()
            .for_each(|scenario| super::warn(scenario, engine));
        let folder = arguments
            .out
            .as_deref()
            .map(output::Folder::prepare)
            .transpose()
            .map_err(BadInput)?;
        let setups: Vec<_> = scenarios.iter().map(Scenario::setup).collect();
        let options = SweepOptions {
            seeds: arguments.seeds.clone(),
            jobs: arguments.jobs.unwrap_or_else(processors),
            engine,
            swarm: arguments.swarm.then(|| Swarm {
                mandatory: arguments.with.iter().copied().collect::<BTreeSet<_>>(),
                excluded: arguments.without.iter().copied().collect::<BTreeSet<_>>(),
                ..Swarm::default()
            }),
            second,
        };
        let seeds = arguments.seeds.end - arguments.seeds.start;
        let mut meter = Meter::new(seeds.saturating_mul(setups.len() as u64), arguments.budget)?;
        let mut failed = 0;
        let result = sweep(&setups, &options, |run| {
            failed += u64::from(run.failing.is_some());
            meter.step(failed)
        });
        meter.clear();
        let result = result.map_err(|error| BadInput(error.to_string()))?;
        let mut found = Vec::new();
        for seed in distinct_first(&result.failing) {
            let setup = &setups[seed.setup];
            found.push(match (&folder, &options.second) {
                (Some(folder), None) => {
                    let (scenario, name) = (&scenarios[seed.setup], &arguments.scenarios[seed.setup]);
                    let document = self.document(scenario.clone(), name)?;
                    found_with_files(folder, &setup.name, &document, seed)?
                }
                (folder, second) => found_with_tape(folder.as_ref(), setup, second.as_ref(), seed)?,
            });
        }
        if let Some(path) = &arguments.junit {
            output::write_file(path, junit(&scenarios, &result, &found).as_bytes()).map_err(BadInput)?;
        }
        if arguments.json {
            print(&format!(
                "{}\n",
                summary_json(&scenarios, &result, &found, meter.elapsed())
            ))?;
        } else {
            print(&self.report(arguments, &scenarios, &result, &found, &meter))?;
        }
        if let Some(why) = meter.interrupted().filter(|_| result.end < arguments.seeds.end) {
            super::note(&format!(
                "{why}; the last finished seed is {}",
                result.end.saturating_sub(1)
            ));
        }
        Ok(result.failing.is_empty())
    }

    fn report(
        &self,
        arguments: &Arguments,
        scenarios: &[Scenario],
        result: &Sweep,
        found: &[Found<'_>],
        meter: &Meter,
    ) -> String {
        let mut text = String::new();
        for Found {
            seed, sentence, file, ..
        } in found
        {
            let scenario = &scenarios[seed.setup].name;
            let _ = writeln!(text, "{scenario}, seed {}: {sentence}", seed.seed);
            let name = &arguments.scenarios[seed.setup];
            let second = arguments.comparison.typed();
            let _ = match file {
                Some(file) => writeln!(
                    text,
                    "  {} replay {} --scenario {}{second}",
                    self.command,
                    quoted(file),
                    quoted(name)
                ),
                None if arguments.swarm => Ok(()),
                None if !second.is_empty() => writeln!(
                    text,
                    "  {} sweep {} --seeds {}..={}{second}",
                    self.command,
                    quoted(name),
                    seed.seed,
                    seed.seed
                ),
                None => writeln!(
                    text,
                    "  {} run {} --seed {}",
                    self.command,
                    quoted(name),
                    seed.seed
                ),
            };
        }
        let more = result.failing.len().saturating_sub(found.len());
        if more > 0 {
            let _ = writeln!(text, "and {more} more failing seeds");
        }
        let rate = meter.rate(result.runs);
        let _ = writeln!(
            text,
            "{} runs (seeds {}..{}), {} failed, {rate} runs/s, digest {}",
            result.runs,
            arguments.seeds.start,
            result.end,
            result.failing.len(),
            result.digest
        );
        text
    }
}

/// A failing seed with its shrunk tape. Only the tape is written, if there is a `folder`.
fn found_with_tape<'a>(
    folder: Option<&output::Folder>,
    setup: &Setup,
    second: Option<&Second>,
    seed: &'a FailingSeed,
) -> Result<Found<'a>, BadInput> {
    let shrunk = shrink_compared(setup, &seed.tape, second).map_err(|error| BadInput(error.to_string()))?;
    let unshrunk = || (seed.tape.clone(), seed.failure.clone());
    let (tape, failure) = shrunk.map_or_else(unshrunk, |shrunk| (shrunk.tape, shrunk.failure));
    let mut found = Found {
        seed,
        sentence: sentence(&tape, &failure),
        compact: tape.to_compact(),
        file: None,
    };
    if let Some(folder) = folder {
        let file = format!("{}-{}.tape", setup.name, seed.seed);
        folder
            .write_one(&file, tape.to_string().as_bytes())
            .map_err(BadInput)?;
        found.file = Some(folder.path_of(&file));
    }
    Ok(found)
}

/// A failing seed with its shrunk tape in `folder`. A folder beside it has the shrunk scenario and the reports.
fn found_with_files<'a>(
    folder: &output::Folder,
    name: &str,
    document: &Document<'_>,
    seed: &'a FailingSeed,
) -> Result<Found<'a>, BadInput> {
    let shrunk = shrink_scenario(document, &seed.tape).map_err(|error| BadInput(error.to_string()))?;
    let (tape, failure) = match &shrunk {
        Some(shrunk) => (&shrunk.whole.tape, &shrunk.whole.failure),
        None => (&seed.tape, &seed.failure),
    };
    let name = format!("{name}-{}", seed.seed);
    let file = format!("{name}.tape");
    folder
        .write_one(&file, tape.to_string().as_bytes())
        .map_err(BadInput)?;
    if let Some(shrunk) = &shrunk {
        let inner = output::Folder::prepare(Path::new(&folder.path_of(&name))).map_err(BadInput)?;
        write_failure(&inner, shrunk)?;
    }
    Ok(Found {
        seed,
        sentence: sentence(tape, failure),
        compact: tape.to_compact(),
        file: Some(folder.path_of(&file)),
    })
}

/// The failing seeds to shrink: first one of each failure, then others.
fn distinct_first(failing: &[FailingSeed]) -> Vec<&FailingSeed> {
    let mut seen = BTreeSet::new();
    let (new, known): (Vec<_>, Vec<_>) = failing
        .iter()
        .partition(|seed| seen.insert((seed.setup, &seed.failure.primary, &seed.failure.detail)));
    new.into_iter().chain(known).take(MAX_SHRUNK).collect()
}

fn processors() -> NonZeroUsize {
    std::thread::available_parallelism().unwrap_or(NonZeroUsize::MIN)
}

fn summary_json(
    scenarios: &[Scenario],
    result: &Sweep,
    found: &[Found<'_>],
    wall: Duration,
) -> serde_json::Value {
    let seconds = |time: Duration| time.as_millis() as f64 / 1000.0;
    let failing = result.failing.iter().map(|seed| {
        let shrunk = found
            .iter()
            .find(|found| (found.seed.setup, found.seed.seed) == (seed.setup, seed.seed));
        json!({
            "scenario": scenarios[seed.setup].name,
            "seed": seed.seed,
            "failure": seed.failure.primary,
            "sentence": shrunk.map(|found| &found.sentence),
            "tape": shrunk.map(|found| &found.compact),
        })
    });
    let rate = (result.runs as f64 / wall.as_secs_f64().max(0.001)).round();
    json!({
        "runs": result.runs,
        "failed": result.failing.len(),
        "failing_seeds": result.failing.iter().map(|seed| seed.seed).collect::<BTreeSet<_>>(),
        "failing": failing.collect::<Vec<_>>(),
        "sim_seconds": seconds(result.sim_time),
        "wall_seconds": seconds(wall),
        "runs_per_second": rate,
        "end": result.end,
        "digest": result.digest.to_string(),
    })
}

/// The report in the JUnit format: a test suite for each scenario, and a test case for each failing seed and for all others.
fn junit(scenarios: &[Scenario], result: &Sweep, found: &[Found<'_>]) -> String {
    let mut text = format!(
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<testsuites tests=\"{}\" failures=\"{}\">\n",
        result.runs,
        result.failing.len()
    );
    let runs = result.runs / (scenarios.len() as u64).max(1);
    for (number, scenario) in scenarios.iter().enumerate() {
        let name = xml(&scenario.name);
        let failing: Vec<_> = result
            .failing
            .iter()
            .filter(|seed| seed.setup == number)
            .collect();
        let _ = writeln!(
            text,
            "  <testsuite name=\"{name}\" tests=\"{runs}\" failures=\"{}\">",
            failing.len()
        );
        for seed in &failing {
            let shrunk = found.iter().find(|found| std::ptr::eq(found.seed, *seed));
            let message = shrunk.map_or_else(|| seed.failure.to_string(), |found| found.sentence.clone());
            let _ = writeln!(
                text,
                "    <testcase classname=\"{name}\" name=\"seed {}\"><failure message=\"{}\"/></testcase>",
                seed.seed,
                xml(&message)
            );
        }
        let passed = runs - failing.len() as u64;
        let _ = writeln!(
            text,
            "    <testcase classname=\"{name}\" name=\"{passed} other seeds\"/>\n  </testsuite>"
        );
    }
    text.push_str("</testsuites>\n");
    text
}

/// A text inside an XML attribute.
fn xml(text: &str) -> String {
    text.replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&gt;")
        .replace('"', "&quot;")
}
