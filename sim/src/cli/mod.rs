//! The command line of the laboratory. Scripts rely on its commands, its JSON and its exit codes: 0 all checks hold,
//! 1 a check failed, 2 bad input and nothing written.

mod human;
mod output;
#[cfg(unix)]
mod relay;

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::{Parser, Subcommand, ValueEnum};

use crate::scenario::{nearest, suggest};
use crate::{Detail, Engine, Run, RunOptions, Scenario, builtin, report, run, scenario};

const EXIT_CODES: &str = "Exit codes:
  0  all checks hold
  1  a check failed; the last line is the command that repeats it
  2  bad input; nothing was written";

/// Runs the Sandhog protocol over a simulated network, replayable from one seed.
#[derive(Debug, Parser)]
#[command(name = "sandhog-sim", version, after_help = EXIT_CODES)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Names the built-in scenarios
    List {
        /// Print a JSON array of {"name", "title", "about"}
        #[arg(long)]
        json: bool,
    },
    /// Runs a scenario and tells its story
    Run {
        /// A built-in name (see `list`) or a scenario file, .toml or .json
        scenario: String,
        /// The seed that everything random comes from [default: the scenario's]
        #[arg(long, value_name = "N", value_parser = read_seed, allow_negative_numbers = true)]
        seed: Option<u64>,
        /// What runs it; both give the same trace
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
    },
    /// Prints the JSON Schema of scenario files
    Schema,
    /// Passes UDP datagrams on to a server and back, over a link of the laboratory in real time, until SIGTERM or SIGINT
    ///
    /// Prints where it listens once it does, and at the end what it has passed on and lost.
    #[cfg(unix)]
    Relay(relay::Arguments),
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

/// Bad input: one clear sentence, exit code 2.
struct BadInput(String);

/// Runs the command line of this process.
#[must_use]
pub fn main() -> ExitCode {
    let arguments = match Arguments::try_parse() {
        Ok(arguments) => arguments,
        Err(error) => {
            // A reader that has gone away (`| head`) is not our failure.
            let _ = error.print();
            return if error.use_stderr() {
                ExitCode::from(2)
            } else {
                ExitCode::SUCCESS
            };
        }
    };
    match dispatch(arguments.command) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(BadInput(message)) => {
            let _ = writeln!(anstream::stderr(), "error: {message}");
            ExitCode::from(2)
        }
    }
}

/// Carries out a command; tells whether all checks hold.
fn dispatch(command: Command) -> Result<bool, BadInput> {
    match command {
        Command::List { json } => list(json),
        Command::Run {
            scenario,
            seed,
            engine,
            out,
            json,
            quiet,
        } => {
            let engine = match engine {
                EngineName::Event => Engine::Event,
                EngineName::Turmoil => Engine::Turmoil,
            };
            run_one(&scenario, seed, engine, out.as_deref(), json, quiet)
        }
        Command::Schema => {
            print(&format!("{:#}\n", scenario::schema()));
            Ok(true)
        }
        #[cfg(unix)]
        Command::Relay(arguments) => relay::run(arguments).map(|()| true),
    }
}

/// Prints to standard output; a reader that has gone away is not our failure.
fn print(text: &str) {
    let mut out = anstream::stdout().lock();
    let _ = out.write_all(text.as_bytes()).and_then(|()| out.flush());
}

fn list(json: bool) -> Result<bool, BadInput> {
    let mut rows = Vec::new();
    for entry in builtin::ALL {
        let scenario = entry.scenario().map_err(|error| BadInput(error.to_string()))?;
        rows.push((entry.name, scenario.title, scenario.about));
    }
    if json {
        let array: serde_json::Value = rows
            .iter()
            .map(|(name, title, about)| serde_json::json!({ "name": name, "title": title, "about": about }))
            .collect();
        print(&format!("{array:#}\n"));
    } else {
        let width = rows.iter().map(|(name, ..)| name.len()).max().unwrap_or_default();
        let lines: String = rows
            .iter()
            .map(|(name, title, _)| format!("{name:width$}  {title}\n"))
            .collect();
        print(&lines);
    }
    Ok(true)
}

/// A built-in scenario, or a file.
fn find_scenario(name: &str) -> Result<Scenario, BadInput> {
    if let Some(scenario) = Scenario::builtin(name) {
        return Ok(scenario);
    }
    let path = Path::new(name);
    let names = || builtin::ALL.iter().map(|entry| entry.name);
    let looks_like_a_file = path.extension().is_some() || name.contains(std::path::MAIN_SEPARATOR);
    if !looks_like_a_file && !path.exists() {
        let names: Vec<&str> = names().collect();
        return Err(BadInput(format!(
            "there is no built-in scenario and no file `{name}`{}",
            suggest(name, &names)
        )));
    }
    Scenario::load(path).map_err(|error| {
        let stem = path.file_stem().unwrap_or_default().to_string_lossy();
        let builtin = nearest(&stem, names()).filter(|_| !path.exists());
        let hint = builtin.map_or_else(String::new, |name| {
            format!(" (`{name}` is built in, without a file)")
        });
        BadInput(format!("{error}{hint}"))
    })
}

#[expect(
    clippy::disallowed_types,
    clippy::disallowed_methods,
    reason = "tells a person how long it took; no run sees it"
)]
fn run_one(
    name: &str,
    seed: Option<u64>,
    engine: Engine,
    out: Option<&Path>,
    json: bool,
    quiet: bool,
) -> Result<bool, BadInput> {
    let scenario = find_scenario(name)?;
    let seed = seed.unwrap_or(scenario.seed);
    // Before the run, so that a folder that cannot be written costs no time.
    let folder = out.map(output::Folder::prepare).transpose().map_err(BadInput)?;
    let start = std::time::Instant::now();
    let options = RunOptions {
        seed,
        engine,
        detail: Detail::Full,
    };
    let mut run = match run(&scenario, &options) {
        Ok(run) => run,
        Err(error) => {
            folder.iter().for_each(output::Folder::abandon);
            return Err(BadInput(error.to_string()));
        }
    };
    let wall = start.elapsed();
    // P12: once more, with the event engine, which is the faster one and must agree with the other.
    let again = RunOptions {
        engine: Engine::Event,
        detail: Detail::Digest,
        ..options
    };
    run.check_repeat(&crate::run(&scenario, &again).map_err(|error| BadInput(error.to_string()))?);
    if let Some(folder) = folder {
        folder.write(&scenario, &run).map_err(BadInput)?;
    }
    if json {
        print(&format!("{}\n", report::summary_json(&scenario, &run, wall)));
    } else if !quiet || !run.passed {
        human::print_run(&scenario, &run, wall, out);
    }
    if !run.passed {
        let _ = writeln!(
            anstream::stderr(),
            "repeat it with\n{}",
            repeat_command(name, &run)
        );
    }
    Ok(run.passed)
}

/// One line that repeats the run.
fn repeat_command(name: &str, run: &Run) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_./".contains(c);
    let name = if name.chars().all(plain) {
        name.to_owned()
    } else {
        format!("'{}'", name.replace('\'', "'\\''"))
    };
    format!(
        "sandhog-sim run {name} --seed {} --engine {}",
        run.seed,
        run.engine.name()
    )
}
