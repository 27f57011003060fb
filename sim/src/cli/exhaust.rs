//! Commands `exhaust` and `verify`: every schedule of a few faults, and the check of its certificate.

use std::fmt::Write as _;
use std::path::PathBuf;

use clap::Args;
use sandhog_lab::search::{
    Bounds, Certificate, Exhausted, FaultKind, SearchError, Start, Verified, exhaust, verify,
};
use serde_json::json;

use super::input::{read_count, read_text};
use super::progress::Meter;
use super::{BadInput, End, Program, bad_run, output, print, read_seed};
use crate::shrink::sentence;

/// Largest number of failures that are printed.
const MAX_PRINTED: usize = 10;

#[derive(Debug, Args)]
pub(super) struct ExhaustArguments {
    /// A built-in name (see `list`) or a scenario file
    scenario: String,
    /// Number of datagrams that can have a fault
    #[arg(long, value_name = "K", default_value = "12", value_parser = read_count, allow_negative_numbers = true)]
    datagrams: u32,
    /// Largest number of faults of a schedule
    #[arg(long, value_name = "N", default_value = "1", value_parser = read_count, allow_negative_numbers = true)]
    faults: u32,
    /// The kinds of faults: drop, double, late, hold, swap, damage, rebind, crash
    /// [default: all]
    #[arg(long, value_name = "KINDS", value_delimiter = ',')]
    kinds: Vec<FaultKind>,
    /// Start at a record number, or at the first record with this name, of the run
    /// without faults
    #[arg(long, value_name = "RECORD|EVENT", allow_negative_numbers = true)]
    from: Option<String>,
    /// The seed of the peers [default: the scenario's]
    #[arg(long, value_name = "N", value_parser = read_seed, allow_negative_numbers = true)]
    seed: Option<u64>,
    /// Run every schedule, also those from equal states
    #[arg(long)]
    no_pruning: bool,
    /// Write the certificate, and a tape for each smallest failing schedule, to this
    /// folder. Those of an earlier search in this folder are replaced
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
    /// Print one JSON object instead of the report
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Args)]
pub(super) struct VerifyArguments {
    /// A certificate that `exhaust` wrote
    certificate: PathBuf,
    /// The scenario, if it is not a built-in one
    #[arg(long, value_name = "SCENARIO")]
    scenario: Option<String>,
    /// Print one JSON object
    #[arg(long)]
    json: bool,
}

fn start(from: Option<&str>) -> Start {
    match from {
        None => Start::First,
        Some(text) => text
            .parse()
            .map_or_else(|_| Start::Event(text.into()), Start::Record),
    }
}

/// The message of a search that is not possible. `source` is the scenario or certificate with the mistake.
fn bad(source: &str, error: &SearchError) -> BadInput {
    match error {
        SearchError::Run(error) => bad_run(source, error),
        error => BadInput(format!("{source}: {error}")),
    }
}

/// Returns true for the name of a file of an earlier search.
fn is_earlier(name: &str) -> bool {
    let number = name
        .strip_prefix("failure-")
        .and_then(|rest| rest.strip_suffix(".tape"));
    name == CERTIFICATE || number.is_some_and(|number| number.parse::<u32>().is_ok())
}

/// Name of the file of a certificate.
const CERTIFICATE: &str = "certificate.json";

/// The certificate of a complete search, and a tape for each smallest failing schedule.
fn files(result: &Exhausted) -> Vec<output::File> {
    let certificate = result
        .complete
        .then(|| format!("{:#}\n", result.certificate.to_json()));
    let certificate = certificate.map(|text| (CERTIFICATE.to_owned(), text.into_bytes()));
    let tapes = (1..)
        .zip(&result.tapes)
        .map(|(number, (tape, _))| (format!("failure-{number}.tape"), tape.to_string().into_bytes()));
    certificate.into_iter().chain(tapes).collect()
}

impl Program<'_> {
    pub(super) fn exhaust(&self, arguments: &ExhaustArguments) -> Result<End, BadInput> {
        let scenario = self.find_scenario(&arguments.scenario)?;
        let folder = arguments
            .out
            .as_deref()
            .map(output::Folder::prepare)
            .transpose()
            .map_err(BadInput)?;
        let mut kinds = arguments.kinds.clone();
        kinds.sort_unstable();
        kinds.dedup();
        let bounds = Bounds {
            datagrams: arguments.datagrams,
            faults: arguments.faults,
            kinds: if kinds.is_empty() {
                FaultKind::ALL.to_vec()
            } else {
                kinds
            },
            start: start(arguments.from.as_deref()),
            seed: arguments.seed.unwrap_or(scenario.seed),
            prune: !arguments.no_pruning,
            ..Bounds::default()
        };
        let mut meter = Meter::new(0, None)?;
        let result = exhaust(&scenario.setup(), &bounds, &mut |progress| {
            meter.step(progress.failed)
        });
        meter.clear();
        let result = result.map_err(|error| bad(&arguments.scenario, &error))?;
        let written = match &folder {
            Some(folder) => folder.replace_all(&files(&result), is_earlier).map_err(BadInput),
            None => Ok(()),
        };
        if arguments.json {
            print(&format!("{:#}\n", result_json(&result, &meter)))?;
        } else {
            print(&report(&result, &meter))?;
        }
        if !result.complete {
            super::note("interrupted; the search is not complete, so there is no certificate");
        }
        written?;
        Ok(match (result.failing.is_empty(), result.complete) {
            (true, false) => End::Interrupted,
            (passed, _) => passed.into(),
        })
    }

    pub(super) fn verify(&self, arguments: &VerifyArguments) -> Result<End, BadInput> {
        let path = &arguments.certificate;
        let text = read_text(path, "certificate")?;
        let fail = |error| bad(&path.to_string_lossy(), &error);
        let certificate =
            Certificate::from_json(&text).map_err(|error| fail(SearchError::Certificate(error)))?;
        let name = arguments.scenario.as_deref().unwrap_or(&certificate.setup);
        let scenario = self.find_scenario(name)?;
        let mut meter = Meter::new(0, None)?;
        let verified = verify(&scenario.setup(), &certificate, &mut |progress| {
            meter.step(progress.failed)
        });
        meter.clear();
        let Verified { runs, checked, wrong } = match verified {
            Ok(verified) => verified,
            Err(SearchError::Certificate(error)) => {
                super::note(&format!("{}: {error}", path.display()));
                return Ok(End::Failed);
            }
            Err(SearchError::Interrupted) => {
                super::note("interrupted; the certificate is not verified");
                return Ok(End::Interrupted);
            }
            Err(error) => return Err(fail(error)),
        };
        if arguments.json {
            let wrong: Vec<String> = wrong.iter().map(ToString::to_string).collect();
            print(&format!(
                "{}\n",
                json!({ "runs": runs, "checked": checked, "wrong": wrong })
            ))?;
        } else {
            let wrong: Vec<String> = wrong
                .iter()
                .map(|schedule| format!("wrong: {schedule}\n"))
                .collect();
            print(&format!(
                "{}{runs} runs repeated, {checked} stopped or pruned schedules run in full, {} wrong\n",
                wrong.concat(),
                wrong.len()
            ))?;
        }
        Ok(wrong.is_empty().into())
    }
}

fn report(result: &Exhausted, meter: &Meter) -> String {
    let mut text = String::new();
    for (tape, failure) in result.tapes.iter().take(MAX_PRINTED) {
        let _ = writeln!(text, "{}\n  {}", sentence(tape, failure), tape.to_compact());
    }
    let more = result.tapes.len().saturating_sub(MAX_PRINTED);
    if more > 0 {
        let _ = writeln!(text, "and {more} more smallest failing schedules");
    }
    let certificate = &result.certificate;
    let _ = writeln!(
        text,
        "{} schedules, {} runs, {} stopped at a known state, {} pruned, {} states, {} failing, {} runs/s",
        certificate.bounds.schedules(),
        certificate.runs,
        certificate.stopped,
        certificate.pruned(),
        certificate.states,
        result.failing.len(),
        meter.rate(certificate.runs + certificate.stopped)
    );
    text
}

fn result_json(result: &Exhausted, meter: &Meter) -> serde_json::Value {
    let mut json = result.certificate.to_json();
    let failing = result.failing.iter().map(|failing| failing.schedule.to_string());
    json["failing_schedules"] = failing.collect::<Vec<_>>().into();
    let tapes = result.tapes.iter().map(|(tape, failure)| {
        json!({ "failure": failure.primary, "sentence": sentence(tape, failure), "tape": tape.to_compact() })
    });
    json["smallest"] = tapes.collect::<Vec<_>>().into();
    json["complete"] = result.complete.into();
    json["wall_seconds"] = (meter.elapsed().as_millis() as f64 / 1000.0).into();
    json
}
