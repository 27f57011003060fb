//! Commands `replay` and `shrink`: runs of a tape, and the smallest scenario and tape of a failure.

use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};

use clap::Args;
use sandhog_lab::replay::{replay, replay_compared};
use sandhog_lab::tape::Tape;
use serde_json::json;

use super::comparison::Comparison;
use super::progress::Stopwatch;
use super::{BadInput, EngineName, Program, human, output, print, quoted};
use crate::shrink::{Document, ShrunkScenario, sentence, shrink_scenario, story, test};
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
    #[command(flatten)]
    comparison: Comparison,
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
    /// Write scenario.toml, failure.tape, story.md, capture.pcapng and test.rs to this
    /// folder
    #[arg(long, value_name = "DIR")]
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
        let second = arguments
            .comparison
            .second(self, std::slice::from_ref(&scenario))?;
        let out = arguments.out.as_deref();
        let folder = out.map(output::Folder::prepare).transpose().map_err(BadInput)?;
        let start = Stopwatch::start();
        let options = RunOptions {
            seed: tape.seed,
            engine: arguments.engine.engine(),
            detail: Detail::Full,
            ..RunOptions::default()
        };
        let setup = scenario.setup();
        let replayed = match &second {
            Some(second) => replay_compared(&setup, &tape, &options, second),
            None => replay(&setup, &tape, &options),
        };
        let replayed = match replayed {
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
        let document = self.document(scenario, &name)?;
        let out = arguments.out.as_deref();
        let folder = out.map(output::Folder::prepare).transpose().map_err(BadInput)?;
        let shrunk = shrink_scenario(&document, &tape).map_err(|error| BadInput(error.to_string()));
        let shrunk = shrunk.and_then(|shrunk| {
            shrunk.ok_or_else(|| {
                BadInput(format!(
                    "{}: the replay of this tape passes, so there is no failure to shrink",
                    arguments.tape
                ))
            })
        });
        let shrunk = shrunk.inspect_err(|_| folder.iter().for_each(output::Folder::abandon))?;
        if let Some(folder) = &folder {
            write_failure(folder, &shrunk)?;
        }
        if arguments.json {
            print(&format!("{}\n", shrunk_json(&shrunk)))?;
        } else {
            let sentence = sentence(&shrunk.tape, &shrunk.failure);
            let rest = match &folder {
                Some(folder) => self.repeat_failure(folder),
                None => format!("\n{}\n{}\n{}", shrunk.document, shrunk.tape, test(&shrunk)),
            };
            print(&format!("{sentence}\n{rest}"))?;
        }
        Ok(false)
    }

    /// The document of a scenario: the text of the built-in scenario or of the file `name`.
    pub(super) fn document(&self, scenario: Scenario, name: &str) -> Result<Document<'_>, BadInput> {
        let builtin = self.builtins().into_iter().find(|builtin| builtin.name == name);
        let text = match builtin {
            Some(builtin) => builtin.source.to_owned(),
            None => fs::read_to_string(name).map_err(|error| BadInput(format!("{name}: {error}")))?,
        };
        Ok(Document::of(self.profiles, scenario, name, &text))
    }

    /// The command that repeats a failure in this folder.
    fn repeat_failure(&self, folder: &output::Folder) -> String {
        let path = folder.path_of(TAPE_FILE);
        format!("repeat it with:\n{} replay {}\n", self.command, quoted(&path))
    }
}

/// Name of the file of a shrunk tape. `scenario.toml` is beside it.
const TAPE_FILE: &str = "failure.tape";

/// Writes all files about a shrunk failure, and the files that its scenario serves.
pub(super) fn write_failure(folder: &output::Folder, shrunk: &ShrunkScenario<'_>) -> Result<(), BadInput> {
    let options = RunOptions {
        detail: Detail::Full,
        ..RunOptions::default()
    };
    let setup = shrunk.document.scenario().setup();
    let replayed = replay(&setup, &shrunk.tape, &options).map_err(|error| {
        folder.abandon();
        BadInput(error.to_string())
    })?;
    let run = &replayed.run;
    let mut files = vec![
        ("scenario.toml", shrunk.document.to_string().into_bytes()),
        (TAPE_FILE, shrunk.tape.to_string().into_bytes()),
        ("story.md", story(shrunk, run).into_bytes()),
        ("capture.pcapng", report::capture(run)),
        ("test.rs", test(shrunk).into_bytes()),
    ];
    let served = shrunk.document.files();
    files.extend(served.map(|(name, content)| (name, content.to_vec())));
    folder.write_all(&files).map_err(BadInput)
}

fn shrunk_json(shrunk: &ShrunkScenario<'_>) -> serde_json::Value {
    json!({
        "sentence": sentence(&shrunk.tape, &shrunk.failure),
        "failure": shrunk.failure.primary,
        "detail": shrunk.failure.detail,
        "faults": shrunk.tape.entries.len(),
        "runs": shrunk.runs,
        "scenario": shrunk.document.to_string(),
        "tape": shrunk.tape.to_string(),
        "compact": shrunk.tape.to_compact(),
        "test": test(shrunk),
    })
}

impl EngineName {
    pub(super) fn engine(self) -> Engine {
        match self {
            Self::Event => Engine::Event,
            Self::Turmoil => Engine::Turmoil,
        }
    }
}
