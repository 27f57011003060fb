//! Command line of the laboratory, for the profiles of this crate or of another protocol.
//!
//! Scripts rely on its commands, its JSON and its exit codes: 0 for all checks passed, 1 for a failed check, 2 for bad input and
//! for output that cannot be written.

mod comparison;
mod exhaust;
mod explain;
mod human;
mod input;
mod output;
mod progress;
#[cfg(unix)]
mod relay;
mod sweep;
mod tape;

use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::{Args, CommandFactory, FromArgMatches, Parser, Subcommand, ValueEnum};
use sandhog_lab::suggest::nearest;

use self::progress::Stopwatch;
use crate::plain_text::escaped;
use crate::profile::PROFILES;
use crate::scenario::{Builtin, Profile};
use crate::{Detail, Engine, Run, RunError, RunOptions, Scenario, report, run};

/// The exit codes of the program and of `run`.
const EXIT_CODES: &str = "Exit codes:
  0  all checks passed
  1  a check failed; the last line is the command that repeats the run
  2  bad input, or output that cannot be written; no report was written";
/// The exit codes of the commands that search, and can be interrupted.
const SEARCH_CODES: &str = "Exit codes:
  0    all checks passed
  1    a check failed
  2    bad input, or output that cannot be written
  130  ended by Ctrl-C or SIGTERM, and no check failed before; the finished
       part was reported. A second signal ends the program at once";
/// The exit codes of `replay`.
const REPLAY_CODES: &str = "Exit codes:
  0  all checks passed
  1  a check failed
  2  bad input, or output that cannot be written; no report was written";
/// The exit codes of `shrink`.
const SHRINK_CODES: &str = "Exit codes:
  1  the tape fails, and the smallest failure was reported; after Ctrl-C or
     SIGTERM the smallest one so far
  2  bad input, a tape that does not fail, or output that cannot be written";
/// The exit codes of `explain` and `diff`.
const COMPARE_CODES: &str = "Exit codes:
  0  the text was printed; for `diff`: the runs are equal
  1  `diff` found a difference
  2  bad input, or the text cannot be printed";
/// The exit codes of `list` and `schema`.
const PRINT_CODES: &str = "Exit codes:
  0  the text was printed
  2  bad command line, or the text cannot be printed";
/// The exit codes of `relay`.
#[cfg(unix)]
const RELAY_CODES: &str = "Exit codes:
  0  stopped by SIGTERM or SIGINT
  2  bad input, a socket that cannot be used, or a line that
     cannot be printed";

/// Width of the help texts, in columns.
const HELP_WIDTH: usize = 80;

/// Runs a tunnel protocol over a simulated network. Every run can be repeated
/// from its seed.
#[derive(Debug, Parser)]
#[command(version, after_help = EXIT_CODES, term_width = HELP_WIDTH)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// List the built-in scenarios
    #[command(after_help = PRINT_CODES)]
    List {
        /// Print a JSON array of {"name", "title", "about"}
        #[arg(long)]
        json: bool,
    },
    /// Run a scenario and print its story
    #[command(after_help = EXIT_CODES)]
    Run(RunArguments),
    /// Run many seeds of scenarios, and shrink the failures
    #[command(after_help = SEARCH_CODES)]
    Sweep(sweep::Arguments),
    /// Run every schedule of a few faults
    #[command(after_help = SEARCH_CODES)]
    Exhaust(exhaust::ExhaustArguments),
    /// Check the certificate of an exhaustive search
    #[command(after_help = SEARCH_CODES)]
    Verify(exhaust::VerifyArguments),
    /// Run a scenario with the faults of a tape
    #[command(after_help = REPLAY_CODES)]
    Replay(tape::ReplayArguments),
    /// Find the smallest scenario and tape with the same failure
    #[command(after_help = SHRINK_CODES)]
    Shrink(tape::ShrinkArguments),
    /// Print the causes and effects of a record
    #[command(after_help = COMPARE_CODES)]
    Explain(explain::ExplainArguments),
    /// Print the first difference of two runs, tapes or traces
    #[command(after_help = COMPARE_CODES)]
    Diff(explain::DiffArguments),
    /// Print the JSON Schema of scenario files
    #[command(after_help = PRINT_CODES)]
    Schema,
    /// Forward UDP datagrams to a server over a simulated link, in real time
    ///
    /// The relay forwards datagrams from clients to the server, and the replies
    /// back, until SIGTERM or SIGINT. It prints its address when it is ready, and
    /// the numbers of forwarded and lost datagrams at the end.
    #[cfg(unix)]
    #[command(after_help = RELAY_CODES)]
    Relay(relay::Arguments),
}

#[derive(Debug, Args)]
struct RunArguments {
    /// A built-in name (see `list`) or a scenario file, .toml or .json
    scenario: String,
    /// The seed of all randomness [default: the scenario's]
    #[arg(long, value_name = "N", value_parser = read_seed, allow_negative_numbers = true)]
    seed: Option<u64>,
    /// The engine; both give the same trace
    #[arg(long, value_name = "ENGINE", default_value = "event")]
    engine: EngineName,
    /// Write trace.jsonl, capture.pcapng, diagram.mmd and diagram.svg to this folder
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
    /// Print one JSON object instead of the story
    #[arg(long)]
    json: bool,
    /// Print nothing unless a check fails
    #[arg(long)]
    quiet: bool,
}

impl RunArguments {
    /// The smallest amount of data that the output needs.
    fn detail(&self) -> Detail {
        match (&self.out, self.json || self.quiet) {
            (Some(_), _) => Detail::Full,
            (None, true) => Detail::Digest,
            (None, false) => Detail::Records,
        }
    }
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum EngineName {
    Event,
    Turmoil,
}

fn read_seed(text: &str) -> Result<u64, String> {
    text.parse()
        .map_err(|_| format!("a seed is a whole number from 0 to {}", u64::MAX))
}

/// Error message for bad input, or for output that cannot be written. Exit code 2.
struct BadInput(String);

impl BadInput {
    /// Prints the message without control characters. Returns the exit code.
    fn exit(self) -> ExitCode {
        let _ = writeln!(anstream::stderr(), "error: {}", escaped(&self.0));
        ExitCode::from(2)
    }
}

/// The message of a run that is not possible, with the flag that makes it possible. `source` is the scenario or tape with the
/// mistake.
fn bad_run(source: &str, error: &RunError) -> BadInput {
    BadInput(match error {
        RunError::Resolution => {
            "the turmoil engine needs a resolution of 1ms; use `--engine event` for any other".into()
        }
        RunError::NoTurmoil => "this build has no turmoil engine; use `--engine event`".into(),
        RunError::Threads { .. } => format!("{error} `--jobs`"),
        RunError::Setup(_) | RunError::Tape(_) => format!("{source}: {error}"),
        other => other.to_string(),
    })
}

/// End of a command without bad input.
#[derive(Clone, Copy, PartialEq, Eq)]
enum End {
    /// All checks passed.
    Passed,
    /// A check failed.
    Failed,
    /// Ctrl-C or SIGTERM ended the command before any check failed.
    Interrupted,
}

impl From<bool> for End {
    fn from(passed: bool) -> Self {
        match passed {
            true => Self::Passed,
            false => Self::Failed,
        }
    }
}

impl From<End> for ExitCode {
    fn from(end: End) -> Self {
        match end {
            End::Passed => Self::SUCCESS,
            End::Failed => Self::FAILURE,
            End::Interrupted => Self::from(INTERRUPTED),
        }
    }
}

/// The exit code after SIGINT or SIGTERM: that of a shell for a command that SIGINT has ended.
const INTERRUPTED: u8 = 130;

/// The program: its profiles, and the command that the user typed to start it.
struct Program<'a> {
    profiles: &'a [&'static dyn Profile],
    command: String,
}

/// Runs the command line of `sandhog-sim` for this process.
#[must_use]
pub fn main() -> ExitCode {
    main_with(PROFILES)
}

/// Runs the command line for this process, with the profiles of any protocol.
///
/// The program has the commands and options of `sandhog-sim`. A scenario names its profile: `profile = "arq"`. The first
/// profile is the default. `list` prints the scenarios that the profiles contain.
#[must_use]
pub fn main_with(profiles: &[&'static dyn Profile]) -> ExitCode {
    let path = std::env::args_os().next().unwrap_or_else(|| "sandhog-sim".into());
    let name = Path::new(&path).file_stem().unwrap_or_default().to_string_lossy();
    let parser = Arguments::command().name(name.to_string());
    let parsed = parser
        .try_get_matches()
        .and_then(|matches| Arguments::from_arg_matches(&matches));
    let arguments = match parsed {
        Ok(arguments) => arguments,
        Err(error) => {
            let printed = error.print().and_then(|()| io::stdout().flush());
            return match output_error(printed) {
                Err(failed) if !error.use_stderr() => failed.exit(),
                _ if error.use_stderr() => ExitCode::from(2),
                _ => ExitCode::SUCCESS,
            };
        }
    };
    let program = Program {
        profiles,
        command: typed_command(&path.to_string_lossy(), &name),
    };
    match program.dispatch(arguments.command) {
        Ok(end) => end.into(),
        Err(error) => error.exit(),
    }
}

/// The command that starts this program again: `cargo sim` if cargo started it through that alias, the path if the user typed
/// a path, and the name otherwise.
fn typed_command(path: &str, name: &str) -> String {
    // `cargo run` sets this variable for the program that it starts.
    let by_cargo = std::env::var_os("CARGO_PKG_NAME").is_some_and(|package| package == "sandhog-sim");
    match (
        by_cargo && name == "sandhog-sim",
        path.contains(std::path::MAIN_SEPARATOR),
    ) {
        (true, _) => "cargo sim".into(),
        (false, true) => quoted(path),
        (false, false) => name.into(),
    }
}

/// Prints to standard output.
fn print(text: &str) -> Result<(), BadInput> {
    let mut out = anstream::stdout().lock();
    output_error(out.write_all(text.as_bytes()).and_then(|()| out.flush()))
}

/// The error of a write to standard output. A closed pipe (`| head`) is not an error.
fn output_error(written: io::Result<()>) -> Result<(), BadInput> {
    match written {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => {
            Err(BadInput(format!("cannot write to standard output: {error}")))
        }
        _ => Ok(()),
    }
}

/// Prints a note to standard error.
fn note(text: &str) {
    let _ = writeln!(anstream::stderr(), "{}", escaped(text));
}

/// Prints the warnings about a scenario.
fn warn(scenario: &Scenario, engine: Engine) {
    for warning in sandhog_lab::warnings(&scenario.setup(), engine) {
        note(&format!("warning: {warning}"));
    }
}

impl Program<'_> {
    /// Runs a command.
    fn dispatch(&self, command: Command) -> Result<End, BadInput> {
        match command {
            Command::List { json } => self.list(json).map(End::from),
            Command::Run(arguments) => self.run_one(&arguments).map(End::from),
            Command::Sweep(arguments) => self.sweep(&arguments),
            Command::Exhaust(arguments) => self.exhaust(&arguments),
            Command::Verify(arguments) => self.verify(&arguments),
            Command::Replay(arguments) => self.replay(&arguments).map(End::from),
            Command::Shrink(arguments) => self.shrink(&arguments).map(End::from),
            Command::Explain(arguments) => self.explain(&arguments).map(End::from),
            Command::Diff(arguments) => self.diff(&arguments).map(End::from),
            Command::Schema => {
                print(&format!("{:#}\n", Scenario::schema_with(self.profiles))).map(|()| End::Passed)
            }
            #[cfg(unix)]
            Command::Relay(arguments) => relay::run(self, arguments).map(|()| End::Passed),
        }
    }

    /// The built-in scenarios of all profiles.
    fn builtins(&self) -> Vec<Builtin> {
        self.profiles
            .iter()
            .flat_map(|profile| profile.scenarios())
            .collect()
    }

    fn builtin(&self, name: &str) -> Option<Result<Scenario, BadInput>> {
        let builtin = self.builtins().into_iter().find(|builtin| builtin.name == name)?;
        Some(self.read_builtin(&builtin))
    }

    fn read_builtin(&self, builtin: &Builtin) -> Result<Scenario, BadInput> {
        builtin
            .scenario_with(self.profiles)
            .map_err(|error| BadInput(error.to_string()))
    }

    fn list(&self, json: bool) -> Result<bool, BadInput> {
        let mut rows = Vec::new();
        for builtin in self.builtins() {
            let scenario = self.read_builtin(&builtin)?;
            rows.push((builtin.name, scenario.title, scenario.about));
        }
        print_list(&rows, json).map(|()| true)
    }

    /// The built-in scenario or the scenario file `name`.
    fn find_scenario(&self, name: &str) -> Result<Scenario, BadInput> {
        if let Some(scenario) = self.builtin(name) {
            return scenario;
        }
        let path = Path::new(name);
        let names: Vec<&str> = self.builtins().iter().map(|builtin| builtin.name).collect();
        let looks_like_a_file = path.extension().is_some() || name.contains(std::path::MAIN_SEPARATOR);
        if !looks_like_a_file && !path.exists() {
            let advice = match nearest(name, names.iter().copied()) {
                Some(nearest) => format!("did you mean `{nearest}`?"),
                None => format!("`{} list` prints the built-in scenarios", self.command),
            };
            return Err(BadInput(format!(
                "there is no built-in scenario and no file `{name}`; {advice}"
            )));
        }
        Scenario::load_with(self.profiles, path).map_err(|error| {
            let stem = path.file_stem().unwrap_or_default().to_string_lossy();
            let builtin = nearest(&stem, names.iter().copied()).filter(|_| !path.exists());
            let hint = builtin.map_or_else(String::new, |name| {
                format!(" (`{name}` is a built-in scenario; use the name without folder and ending)")
            });
            BadInput(format!("{error}{hint}"))
        })
    }

    fn run_one(&self, arguments: &RunArguments) -> Result<bool, BadInput> {
        let scenario = self.find_scenario(&arguments.scenario)?;
        let seed = arguments.seed.unwrap_or(scenario.seed);
        let out = arguments.out.as_deref();
        let engine = match arguments.engine {
            EngineName::Event => Engine::Event,
            EngineName::Turmoil => Engine::Turmoil,
        };
        warn(&scenario, engine);
        // Before the run, so that an unwritable folder is reported at once.
        let folder = out.map(output::Folder::prepare).transpose().map_err(BadInput)?;
        let start = Stopwatch::start();
        let options = RunOptions {
            seed,
            engine,
            detail: arguments.detail(),
            ..RunOptions::default()
        };
        let bad = |error| bad_run(&arguments.scenario, &error);
        let mut run = run(&scenario, &options).map_err(bad)?;
        let wall = start.elapsed();
        // P12: a second run, in the event engine, which is faster and must give the same trace.
        let again = RunOptions {
            engine: Engine::Event,
            detail: Detail::Digest,
            ..options
        };
        let repeated = crate::run(&scenario, &again).map_err(bad)?;
        run.check_repeat(&repeated);
        let tells_failure = arguments.quiet && !arguments.json && !run.passed;
        if tells_failure && run.records.is_empty() {
            // Only now is it known that the story must be printed.
            let detail = Detail::Records;
            run = crate::run(&scenario, &RunOptions { detail, ..options }).map_err(bad)?;
            run.check_repeat(&repeated);
        }
        if let Some(folder) = folder {
            folder.write(&run).map_err(BadInput)?;
        }
        if arguments.json {
            print(&format!("{}\n", report::summary_json(&run, wall)))?;
        } else if !arguments.quiet || !run.passed {
            human::print_run(&run, wall, out)?;
        }
        if !run.passed {
            let _ = writeln!(
                anstream::stderr(),
                "repeat this run with:\n{}",
                escaped(&repeat_command(&self.command, &arguments.scenario, &run))
            );
        }
        Ok(run.passed)
    }
}

/// Prints the names and titles.
fn print_list(rows: &[(&str, String, String)], json: bool) -> Result<(), BadInput> {
    if json {
        let array: serde_json::Value = rows
            .iter()
            .map(|(name, title, about)| serde_json::json!({ "name": name, "title": title, "about": about }))
            .collect();
        print(&format!("{array:#}\n"))
    } else {
        let width = rows.iter().map(|(name, ..)| name.len()).max().unwrap_or_default();
        let lines: String = rows
            .iter()
            .map(|(name, title, _)| format!("{name:width$}  {title}\n"))
            .collect();
        print(&lines)
    }
}

/// The command that repeats the run.
fn repeat_command(program: &str, scenario: &str, run: &Run) -> String {
    format!(
        "{program} run {} --seed {} --engine {}",
        quoted(scenario),
        run.seed,
        run.engine.name()
    )
}

/// An argument for a POSIX shell.
fn quoted(word: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_./".contains(c);
    if !word.is_empty() && word.chars().all(plain) {
        word.to_owned()
    } else {
        format!("'{}'", word.replace('\'', "'\\''"))
    }
}
