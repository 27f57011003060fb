//! Command `sweep`: many seeds of scenarios on several threads.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::num::NonZeroUsize;
use std::ops::{ControlFlow, Range};
use std::path::PathBuf;
use std::time::Duration;

use clap::Args;
use sandhog_lab::compare::Second;
use sandhog_lab::search::{FailingSeed, Family, Swarm, Sweep, SweepOptions, shrink_until, sweep};
use sandhog_lab::setup::Setup;
use sandhog_lab::suggest::suggestion;
use serde_json::json;

use super::comparison::Comparison;
use super::input::read_jobs;
use super::progress::Meter;
use super::tape::failure_files;
use super::{BadInput, End, EngineName, Program, bad_run, output, print, quoted};
use crate::shrink::{Document, sentence, shrink_scenario_until};
use crate::{RunError, Scenario};

/// Largest number of failing seeds that are shrunk.
const MAX_SHRUNK: usize = 20;

#[derive(Debug, Args)]
pub(super) struct Arguments {
    /// Built-in names (see `list`) or scenario files
    #[arg(required = true)]
    scenarios: Vec<String>,
    /// The seeds from A up to and without B
    #[arg(long, value_name = "A..B", value_parser = read_seeds, default_value = "1..1001", allow_hyphen_values = true)]
    seeds: Range<u64>,
    /// Number of threads [default: number of processors]
    #[arg(long, value_name = "N", value_parser = read_jobs, allow_negative_numbers = true)]
    jobs: Option<usize>,
    /// End after this time, such as 10m; seeds already begun are finished
    #[arg(long, value_name = "TIME", value_parser = read_budget, allow_hyphen_values = true)]
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
    let expected = || {
        format!(
            "expected two numbers from 0 to {}, such as `1..1001`, the second one larger",
            u64::MAX
        )
    };
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
    let time = span.ok().map(|span| span.0).filter(|time| !time.is_zero());
    time.ok_or_else(|| "expected a time longer than 0, such as `10m` or `90s`".into())
}

fn read_family(text: &str) -> Result<Family, String> {
    let all = Family::all();
    let found = all.iter().copied().find(|family| family.name() == text);
    found.ok_or_else(|| {
        let names: Vec<&str> = all.iter().map(|family| family.name()).collect();
        format!("`{text}` is not a kind of fault{}", suggestion(text, &names))
    })
}

impl Arguments {
    fn options(&self) -> SweepOptions {
        let jobs = self.jobs.and_then(NonZeroUsize::new);
        SweepOptions {
            seeds: self.seeds.clone(),
            jobs: jobs.unwrap_or_else(processors),
            engine: self.engine.engine(),
            swarm: self.swarm.then(|| Swarm {
                mandatory: self.with.iter().copied().collect::<BTreeSet<_>>(),
                excluded: self.without.iter().copied().collect::<BTreeSet<_>>(),
                ..Swarm::default()
            }),
            second: None,
        }
    }

    /// Checks that the options do not contradict each other.
    fn check(&self) -> Result<(), BadInput> {
        if let Some(family) = self.with.iter().find(|family| self.without.contains(family)) {
            return Err(BadInput(format!(
                "`{}` is in `--with` and in `--without`; remove it from one of them",
                family.name()
            )));
        }
        if Family::all().iter().all(|family| self.without.contains(family)) {
            return Err(BadInput(
                "`--without` excludes every kind of fault; remove some of them, or `--swarm`".into(),
            ));
        }
        Ok(())
    }
}

/// A failing seed with its shrunk tape.
struct Found<'a> {
    seed: &'a FailingSeed,
    sentence: String,
    compact: String,
    /// The file of the tape.
    file: Option<String>,
}

impl Program<'_> {
    pub(super) fn sweep(&self, arguments: &Arguments) -> Result<End, BadInput> {
        arguments.check()?;
        let scenarios = self.scenarios_of(&arguments.scenarios)?;
        let options = SweepOptions {
            second: arguments.comparison.second(self, &scenarios)?,
            ..arguments.options()
        };
        for scenario in &scenarios {
            super::warn(scenario, options.engine);
        }
        let folder = arguments
            .out
            .as_deref()
            .map(output::Folder::prepare)
            .transpose()
            .map_err(BadInput)?;
        let junit_report = arguments
            .junit
            .as_deref()
            .map(|path| output::Report::prepare(path, "--junit"))
            .transpose()
            .map_err(BadInput)?;
        let setups: Vec<_> = scenarios.iter().map(Scenario::setup).collect();
        let seeds = arguments.seeds.end - arguments.seeds.start;
        let mut meter = Meter::new(seeds.saturating_mul(setups.len() as u64), arguments.budget)?;
        let mut failed = 0;
        let result = sweep(&setups, &options, |run| {
            failed += u64::from(run.failing.is_some());
            meter.step(failed)
        });
        meter.clear();
        let result = result.map_err(|error| bad_run("sweep", &error))?;
        let (found, mut written) = self.shrink_all(
            arguments,
            &scenarios,
            &result,
            options.second.as_ref(),
            folder.as_ref(),
            &meter,
        )?;
        if let Some(report) = &junit_report {
            let reported = report.write(junit(&scenarios, &result, &found).as_bytes());
            written = written.and(reported);
        }
        if arguments.json {
            print(&format!(
                "{}\n",
                summary_json(&scenarios, &result, &found, meter.elapsed())
            ))?;
        } else {
            print(&self.report(arguments, &scenarios, &result, &found, &meter))?;
        }
        written
            .map_err(BadInput)
            .map(|()| end_of(&result, &arguments.seeds, &meter))
    }

    /// Shrinks the failing seeds and writes their files to `folder`. Returns all of them and the result of the writing, because a
    /// full disk must not lose the report.
    fn shrink_all<'a>(
        &self,
        arguments: &Arguments,
        scenarios: &[Scenario],
        result: &'a Sweep,
        second: Option<&Second>,
        folder: Option<&output::Folder>,
        meter: &Meter,
    ) -> Result<(Vec<Found<'a>>, Result<(), String>), BadInput> {
        let mut written = Ok(());
        let mut found = Vec::new();
        for seed in distinct_first(&result.failing) {
            let scenario = &scenarios[seed.setup];
            let go_on = &mut || meter.go_on();
            let (mut failing, files) = match (folder, second) {
                (Some(_), None) => {
                    let document = self.document(scenario.clone(), &arguments.scenarios[seed.setup])?;
                    found_with_files(&scenario.name, &document, seed, go_on)?
                }
                (_, second) => found_with_tape(&scenario.setup(), second, seed, go_on)?,
            };
            let writable = folder.filter(|_| written.is_ok());
            if let Some(folder) = writable {
                written = folder.write_all(&files);
            }
            failing.file = writable
                .filter(|_| written.is_ok())
                .zip(files.first())
                .map(|(folder, (file, _))| folder.path_of(file));
            found.push(failing);
        }
        Ok((found, written))
    }

    /// The scenarios with these names. Each file of a sweep begins with the name of its scenario, so two cannot have the same.
    fn scenarios_of(&self, names: &[String]) -> Result<Vec<Scenario>, BadInput> {
        let mut scenarios: Vec<Scenario> = Vec::new();
        for name in names {
            let scenario = self.find_scenario(name)?;
            if scenarios.iter().any(|other| other.name == scenario.name) {
                return Err(BadInput(format!(
                    "{name}: there are two scenarios with the name `{}`; remove or rename one of them",
                    scenario.name
                )));
            }
            let checked = scenario.setup().validate().map_err(RunError::from);
            checked.map_err(|error| bad_run(name, &error))?;
            scenarios.push(scenario);
        }
        Ok(scenarios)
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

/// A failing seed, and the file with its shrunk tape.
fn found_with_tape<'a>(
    setup: &Setup,
    second: Option<&Second>,
    seed: &'a FailingSeed,
    go_on: &mut dyn FnMut() -> ControlFlow<()>,
) -> Result<(Found<'a>, Vec<output::File>), BadInput> {
    let shrunk =
        shrink_until(setup, &seed.tape, second, go_on).map_err(|error| bad_run(&setup.name, &error))?;
    let unshrunk = || (seed.tape.clone(), seed.failure.clone());
    let (tape, failure) = shrunk.map_or_else(unshrunk, |shrunk| (shrunk.tape, shrunk.failure));
    let file = (
        format!("{}-{}.tape", setup.name, seed.seed),
        tape.to_string().into_bytes(),
    );
    let found = Found {
        seed,
        sentence: sentence(&tape, &failure),
        compact: tape.to_compact(),
        file: None,
    };
    Ok((found, vec![file]))
}

/// A failing seed, and its files: the shrunk tape, and in a folder beside it the shrunk scenario and the reports.
fn found_with_files<'a>(
    name: &str,
    document: &Document<'_>,
    seed: &'a FailingSeed,
    go_on: &mut dyn FnMut() -> ControlFlow<()>,
) -> Result<(Found<'a>, Vec<output::File>), BadInput> {
    let bad = |error| bad_run(name, &error);
    let shrunk = shrink_scenario_until(document, &seed.tape, go_on).map_err(bad)?;
    let (tape, failure) = match &shrunk {
        Some(shrunk) => (&shrunk.whole.tape, &shrunk.whole.failure),
        None => (&seed.tape, &seed.failure),
    };
    let inner = format!("{name}-{}", seed.seed);
    let mut files = vec![(format!("{inner}.tape"), tape.to_string().into_bytes())];
    if let Some(shrunk) = &shrunk {
        let failure = failure_files(shrunk).map_err(bad)?;
        files.extend(
            failure
                .into_iter()
                .map(|(file, content)| (format!("{inner}/{file}"), content)),
        );
    }
    let found = Found {
        seed,
        sentence: sentence(tape, failure),
        compact: tape.to_compact(),
        file: None,
    };
    Ok((found, files))
}

/// The end of the command, with a note about an early one.
fn end_of(result: &Sweep, seeds: &Range<u64>, meter: &Meter) -> End {
    let is_complete = result.end == seeds.end;
    match meter.interrupted() {
        Some(why) if !is_complete => {
            let last = result.end.saturating_sub(1);
            super::note(&format!("{why}; the last finished seed is {last}"));
        }
        _ if meter.is_interrupted() => super::note("interrupted; the tapes may not be the smallest ones"),
        _ => {}
    }
    let passed = result.failing.is_empty();
    match passed && !is_complete && meter.is_interrupted() {
        true => End::Interrupted,
        false => passed.into(),
    }
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
