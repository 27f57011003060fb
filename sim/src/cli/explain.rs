//! Commands `explain` and `diff`: causes and effects of a record, and the first difference of two traces.

use std::path::Path;

use clap::Args;
use sandhog_lab::explain::{Trace, difference, explain};
use sandhog_lab::replay::replay;
use serde_json::json;

use super::input::{read_record, read_text};
use super::tape::{is_compact, read_tape};
use super::{BadInput, Program, bad_run, note, print};
use crate::{Detail, Engine, RunOptions, Scenario, run};

const SOURCES: &str =
    "a trace.jsonl, a tape, or a scenario, also with a seed and an engine such as first-light:7:turmoil";

#[derive(Debug, Args)]
pub(super) struct ExplainArguments {
    /// A trace.jsonl, a tape, or a scenario, also with a seed and an engine such as first-light:7:turmoil
    trace: String,
    /// The number of the record
    #[arg(long, value_name = "N", alias = "record", value_parser = read_record, allow_negative_numbers = true)]
    packet: u64,
}

#[derive(Debug, Args)]
pub(super) struct DiffArguments {
    /// A trace.jsonl, a tape, or a scenario, also with a seed and an engine such as first-light:7:turmoil
    a: String,
    /// The other one
    b: String,
    /// Print one JSON object
    #[arg(long)]
    json: bool,
}

impl Program<'_> {
    pub(super) fn explain(&self, arguments: &ExplainArguments) -> Result<bool, BadInput> {
        let trace = self.trace(&arguments.trace)?;
        let text = explain(&trace, arguments.packet).ok_or_else(|| {
            let last = trace.rows().last().map_or(0, |row| row.id);
            BadInput(format!(
                "there is no record {}; the trace has the records 1 to {last}",
                arguments.packet
            ))
        })?;
        print(&text)?;
        Ok(true)
    }

    pub(super) fn diff(&self, arguments: &DiffArguments) -> Result<bool, BadInput> {
        let (a, b) = (self.trace(&arguments.a)?, self.trace(&arguments.b)?);
        let difference = difference(&a, &b);
        if arguments.json {
            let object = difference.as_ref().map(|found| {
                json!({ "equal": found.equal, "kind": found.kind, "a": found.sides[0], "b": found.sides[1] })
            });
            print(&format!("{}\n", json!({ "difference": object })))?;
        } else {
            let equal = || format!("The traces are equal: {} records.\n", a.rows().len());
            print(&difference.as_ref().map_or_else(equal, ToString::to_string))?;
        }
        Ok(difference.is_none())
    }

    /// The trace in a file, of a tape, or of a scenario with a seed.
    fn trace(&self, source: &str) -> Result<Trace, BadInput> {
        let path = Path::new(source);
        let fail = |error: &dyn std::fmt::Display| BadInput(format!("{source}: {error}"));
        match path.extension().and_then(|extension| extension.to_str()) {
            Some("jsonl") => read_text(path, "trace")?.parse().map_err(|error| fail(&error)),
            extension
                if extension == Some("tape") || (is_compact(source) && self.builtin(source).is_none()) =>
            {
                let tape = read_tape(source)?;
                let (scenario, _) = self.scenario_of(&tape, None, source)?;
                let replayed = replay(&scenario.setup(), &tape, &options(tape.seed))
                    .map_err(|error| bad_run(source, &error))?;
                if let Some(divergence) = &replayed.divergence {
                    note(&format!("{source}: the run diverged from the tape: {divergence}"));
                }
                Trace::of(&replayed.run).map_err(|error| fail(&error))
            }
            _ => {
                let (scenario, options) = self.seeded(source)?;
                let run = run(&scenario, &options).map_err(|error| bad_run(source, &error))?;
                Trace::of(&run).map_err(|error| fail(&error))
            }
        }
    }

    /// A scenario, with the seed and the engine after colons.
    fn seeded(&self, source: &str) -> Result<(Scenario, RunOptions), BadInput> {
        let unknown = || BadInput(format!("`{source}`: expected {SOURCES}"));
        let mut parts = match Path::new(source).exists() {
            true => vec![source],
            false => source.split(':').collect(),
        };
        let engine = match parts.last() {
            Some(&"turmoil") => Some(Engine::Turmoil),
            Some(&"event") => Some(Engine::Event),
            _ => None,
        };
        if engine.is_some() {
            parts.pop();
        }
        let (name, seed) = match parts[..] {
            [name] => (name, None),
            [name, seed] => (name, Some(seed.parse().map_err(|_| unknown())?)),
            _ => return Err(unknown()),
        };
        let scenario = self.find_scenario(name)?;
        let seed = seed.unwrap_or(scenario.seed);
        let engine = engine.unwrap_or(Engine::Event);
        Ok((
            scenario,
            RunOptions {
                engine,
                ..options(seed)
            },
        ))
    }
}

fn options(seed: u64) -> RunOptions {
    RunOptions {
        seed,
        detail: Detail::Full,
        ..RunOptions::default()
    }
}
