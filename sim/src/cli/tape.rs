//! Commands `replay` and `shrink`: runs of a tape, and the smallest scenario and tape of a failure.

use std::io::Write as _;
use std::path::{Path, PathBuf};

use clap::Args;
use sandhog_lab::replay::{replay, replay_compared};
use sandhog_lab::tape::Tape;
use serde_json::json;

use super::comparison::Comparison;
use super::input::read_text;
use super::progress::{Meter, Stopwatch};
use super::{BadInput, EngineName, Program, bad_run, human, note, output, print, quoted};
use crate::shrink::{Document, ShrunkScenario, sentence, shrink_scenario_until, story, test};
use crate::{Detail, Engine, RunError, RunOptions, Scenario, report};

/// Shortest compact form of a tape. Any shorter word is the name of a file.
const MIN_COMPACT_LEN: usize = 20;

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

/// Returns true if a word can only be the compact form of a tape.
pub(super) fn is_compact(text: &str) -> bool {
    let compact = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
    text.len() >= MIN_COMPACT_LEN && text.chars().all(compact) && !Path::new(text).exists()
}

/// A tape from a file or from its compact form. The file can have both forms.
pub(super) fn read_tape(text: &str) -> Result<Tape, BadInput> {
    if is_compact(text) {
        return Tape::from_compact(text).map_err(|error| BadInput(error.to_string()));
    }
    let path = Path::new(text);
    let content = read_text(path, "tape").map_err(|BadInput(error)| match path.exists() {
        true => BadInput(error),
        false => BadInput(format!(
            "{error}; a compact tape has only letters, digits, `-` and `_`"
        )),
    })?;
    let fail = |error: &dyn std::fmt::Display| BadInput(format!("{}: {error}", path.display()));
    let word = content.trim();
    if is_compact(word) && !word.starts_with("sandhog") {
        return Tape::from_compact(word).map_err(|error| fail(&error));
    }
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
            "{tape_path}: the tape is of the scenario `{}`, which is not a built-in one; pass its file with `--scenario FILE`",
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
        let replayed = replayed.map_err(|error| bad_run(&arguments.tape, &error))?;
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
        let mut meter = Meter::new(0, None)?;
        let shrunk = shrink_scenario_until(&document, &tape, &mut || meter.step_of_shrink());
        meter.clear();
        let shrunk = shrunk.map_err(|error| bad_run(&arguments.tape, &error))?;
        let shrunk = shrunk.ok_or_else(|| {
            BadInput(format!(
                "{}: the replay of this tape passes, so there is no failure to shrink",
                arguments.tape
            ))
        })?;
        if let Some(folder) = &folder {
            let files = failure_files(&shrunk).map_err(|error| bad_run(&arguments.tape, &error))?;
            folder.write_all(&files).map_err(BadInput)?;
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
        if meter.is_interrupted() {
            note("interrupted; this is the smallest failure so far");
        }
        Ok(false)
    }

    /// The document of a scenario: the text of the built-in scenario or of the file `name`.
    pub(super) fn document(&self, scenario: Scenario, name: &str) -> Result<Document<'_>, BadInput> {
        let builtin = self.builtins().into_iter().find(|builtin| builtin.name == name);
        let text = match builtin {
            Some(builtin) => builtin.source.to_owned(),
            None => read_text(Path::new(name), "scenario")?,
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

/// All files about a shrunk failure, and the files that its scenario serves.
pub(super) fn failure_files(shrunk: &ShrunkScenario<'_>) -> Result<Vec<output::File>, RunError> {
    let options = RunOptions {
        detail: Detail::Full,
        ..RunOptions::default()
    };
    let setup = shrunk.document.scenario().setup();
    let run = replay(&setup, &shrunk.tape, &options)?.run;
    let mut files = vec![
        (
            "scenario.toml".to_owned(),
            shrunk.document.to_string().into_bytes(),
        ),
        (TAPE_FILE.to_owned(), shrunk.tape.to_string().into_bytes()),
        ("story.md".to_owned(), story(shrunk, &run).into_bytes()),
        ("capture.pcapng".to_owned(), report::capture(&run)),
        ("test.rs".to_owned(), test(shrunk).into_bytes()),
    ];
    let served = shrunk.document.files();
    files.extend(served.map(|(name, content)| (name.to_owned(), content.to_vec())));
    Ok(files)
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
