//! Commands `replay` and `shrink`: runs of a tape, and the smallest tape of a failure.

use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};

use clap::Args;
use sandhog_lab::replay::replay;
use sandhog_lab::search::{Failure, Shrunk, shrink};
use sandhog_lab::tape::Tape;
use serde_json::json;

use super::progress::Stopwatch;
use super::{BadInput, EngineName, Program, human, output, print, quoted};
use crate::{Detail, Engine, RunOptions, Scenario, report};

/// Largest tape file in bytes.
const MAX_TAPE_LEN: u64 = 64 << 20;

#[derive(Debug, Args)]
pub(super) struct ReplayArguments {
    /// A tape: a file, or the compact form
    tape: String,
    /// The scenario, if it is not a built-in one and not beside the tape
    #[arg(long, value_name = "SCENARIO")]
    scenario: Option<String>,
    /// The engine; both give the same trace
    #[arg(long, value_name = "ENGINE", default_value = "event")]
    engine: EngineName,
    /// Write trace.jsonl, capture.pcapng, diagram.mmd and diagram.svg to this folder
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
    /// Print one JSON object instead of the story
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Args)]
pub(super) struct ShrinkArguments {
    /// A tape: a file, or the compact form
    tape: String,
    /// The scenario, if it is not a built-in one and not beside the tape
    #[arg(long, value_name = "SCENARIO")]
    scenario: Option<String>,
    /// Write the shrunk tape to this file instead of standard output
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
    /// Print one JSON object
    #[arg(long)]
    json: bool,
}

/// A tape from a file or from its compact form.
pub(super) fn read_tape(text: &str) -> Result<Tape, BadInput> {
    let path = Path::new(text);
    if !path.exists() {
        let compact = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
        if text.len() < 20 || !text.chars().all(compact) {
            return Err(BadInput(format!(
                "there is no file `{text}`, and this is not the compact form of a tape"
            )));
        }
        return Tape::from_compact(text).map_err(|error| BadInput(error.to_string()));
    }
    let fail = |error: &dyn std::fmt::Display| BadInput(format!("{}: {error}", path.display()));
    let length = fs::metadata(path).map_err(|error| fail(&error))?.len();
    if length > MAX_TAPE_LEN {
        return Err(fail(&"the file is larger than 64 MiB, and no tape is that long"));
    }
    let content = fs::read_to_string(path).map_err(|error| fail(&error))?;
    content.parse().map_err(|error| fail(&error))
}

impl Program<'_> {
    /// The scenario of a tape: the given one, a built-in one, or a file beside the tape.
    pub(super) fn scenario_of(
        &self,
        tape: &Tape,
        given: Option<&str>,
        tape_path: &str,
    ) -> Result<(Scenario, String), BadInput> {
        if let Some(given) = given {
            return Ok((self.find_scenario(given)?, given.to_owned()));
        }
        if let Some(scenario) = self.builtin(&tape.setup) {
            return Ok((scenario?, tape.setup.clone()));
        }
        let beside = Path::new(tape_path).with_file_name(format!("{}.toml", tape.setup));
        let name = beside.to_string_lossy().into_owned();
        if beside.exists() {
            return Ok((self.find_scenario(&name)?, name));
        }
        Err(BadInput(format!(
            "the tape is of the scenario `{}`, which is not a built-in one; pass its file with `--scenario FILE`",
            tape.setup
        )))
    }

    pub(super) fn replay(&self, arguments: &ReplayArguments) -> Result<bool, BadInput> {
        let tape = read_tape(&arguments.tape)?;
        let (scenario, _) = self.scenario_of(&tape, arguments.scenario.as_deref(), &arguments.tape)?;
        let out = arguments.out.as_deref();
        let folder = out.map(output::Folder::prepare).transpose().map_err(BadInput)?;
        let start = Stopwatch::start();
        let options = RunOptions {
            seed: tape.seed,
            engine: arguments.engine.engine(),
            detail: Detail::Full,
            ..RunOptions::default()
        };
        let replayed = match replay(&scenario.setup(), &tape, &options) {
            Ok(replayed) => replayed,
            Err(error) => {
                folder.iter().for_each(output::Folder::abandon);
                return Err(BadInput(format!("{}: {error}", arguments.tape)));
            }
        };
        let wall = start.elapsed();
        if let Some(folder) = folder {
            folder.write(&replayed.run).map_err(BadInput)?;
        }
        if arguments.json {
            let mut summary = report::summary_json(&replayed.run, wall);
            summary["divergence"] = replayed.divergence.as_ref().map_or(
                serde_json::Value::Null,
                |divergence| json!({ "fault": divergence.entry, "text": divergence.to_string() }),
            );
            print(&format!("{summary}\n"))?;
        } else {
            human::print_run(&replayed.run, wall, out)?;
            if let Some(divergence) = &replayed.divergence {
                let _ = writeln!(anstream::stderr(), "the run diverged from the tape: {divergence}");
            }
        }
        Ok(replayed.run.passed)
    }

    pub(super) fn shrink(&self, arguments: &ShrinkArguments) -> Result<bool, BadInput> {
        let tape = read_tape(&arguments.tape)?;
        let (scenario, name) = self.scenario_of(&tape, arguments.scenario.as_deref(), &arguments.tape)?;
        let shrunk = shrink(&scenario.setup(), &tape).map_err(|error| BadInput(error.to_string()))?;
        let shrunk = shrunk.ok_or_else(|| {
            BadInput(format!(
                "{}: the replay of this tape passes, so there is no failure to shrink",
                arguments.tape
            ))
        })?;
        if let Some(path) = &arguments.out {
            output::write_file(path, shrunk.tape.to_string().as_bytes()).map_err(BadInput)?;
        }
        if arguments.json {
            print(&format!("{}\n", shrunk_json(&shrunk)))?;
        } else {
            let target = arguments.out.as_ref().map_or_else(
                || format!("\n{}", shrunk.tape),
                |path| {
                    format!(
                        "repeat it with:\n{} replay {} --scenario {}\n",
                        self.command,
                        quoted(&path.to_string_lossy()),
                        quoted(&name)
                    )
                },
            );
            print(&format!("{}\n{target}", sentence(&shrunk.tape, &shrunk.failure)))?;
        }
        Ok(false)
    }
}

fn shrunk_json(shrunk: &Shrunk) -> serde_json::Value {
    json!({
        "sentence": sentence(&shrunk.tape, &shrunk.failure),
        "failure": shrunk.failure.primary,
        "detail": shrunk.failure.detail,
        "faults": shrunk.tape.entries.len(),
        "runs": shrunk.runs,
        "tape": shrunk.tape.to_string(),
        "compact": shrunk.tape.to_compact(),
    })
}

/// A failure and its faults in one sentence.
pub(super) fn sentence(tape: &Tape, failure: &Failure) -> String {
    let faults: Vec<String> = tape
        .entries
        .iter()
        .map(|entry| format!("{}: {}", entry.datagrams, entry.fault))
        .collect();
    let cause = match faults.as_slice() {
        [] => "without any fault".to_owned(),
        faults => format!("with {}", faults.join(", ")),
    };
    format!("{} fails {cause} ({})", failure.primary, failure.detail)
}

impl EngineName {
    pub(super) fn engine(self) -> Engine {
        match self {
            Self::Event => Engine::Event,
            Self::Turmoil => Engine::Turmoil,
        }
    }
}
