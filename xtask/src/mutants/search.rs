//! Test of the simulator's search commands: they must find planted bugs without a hint.

use std::{
    path::PathBuf,
    process::{Command, Output, Stdio},
    time::Instant,
};

use anyhow::{Context as _, Result, ensure};
use serde_json::Value;

use super::{copy, list, list::Bug};
use crate::{shell, table};

/// The searches, in the order in which they run. The first that finds a bug ends the search for it.
const SEARCHES: &[&str] = &[
    "exhaust clean-login --datagrams 12 --faults 1",
    "exhaust reconnect --from wake --datagrams 12 --faults 1",
    "sweep first-light standard reconnect rebind-port handshake-dup reordered cipher-change --swarm --seeds 1..25",
    "exhaust clean-login --datagrams 12 --faults 2",
    "sweep standard reconnect path-mtu cipher-change simultaneous-init --swarm --seeds 1..201",
];

/// The search whose failing schedules must be equal with and without pruning.
const PRUNED: &str = "exhaust clean-login --datagrams 12 --faults 2";

/// Number of bugs that a seed chooses.
const CHOSEN: usize = 3;

/// The simulator with all bugs.
pub(super) struct Simulator(PathBuf);

/// Result of the searches for one bug.
pub(super) struct Outcome<'a> {
    bug: &'a Bug,
    /// The shrunk failure and the command that found it. `None` if no command did.
    pub(super) found: Option<(String, &'a str)>,
    runs: u64,
    seconds: f64,
}

/// Searches for three bugs that `seed` chooses among those that network faults reach, or for all bugs. Prints the command, the
/// number of runs, the time and the shrunk failure of each. Returns true if all chosen bugs were found.
///
/// # Errors
/// An entry of the list does not fit the sources, or the simulator cannot be built.
pub(crate) fn run(seed: Option<u64>) -> Result<bool> {
    let bugs = list::read()?;
    let chosen: Vec<&Bug> = match seed {
        Some(seed) => choose(&bugs, seed),
        None => bugs.iter().collect(),
    };
    let simulator = Simulator::build(&bugs)?;
    let outcomes = super::in_parallel(&chosen, |bug| simulator.search(bug, SEARCHES, None))?;
    println!("\n{}", table::render(&rows(&outcomes)));
    let found = outcomes.iter().filter(|outcome| outcome.found.is_some()).count();
    println!("{} bugs searched, {found} found", outcomes.len());
    let wrong = outcomes
        .iter()
        .filter(|outcome| outcome.bug.reachable && outcome.found.is_none());
    Ok(wrong.count() == 0)
}

/// Compares the failing schedules with and without pruning, for ten bugs that `seed` chooses. Returns true if they are equal.
///
/// # Errors
/// An entry of the list does not fit the sources, or the simulator cannot be built.
pub(crate) fn compare_pruning(seed: u64) -> Result<bool> {
    const BUGS: usize = 10;
    let bugs = list::read()?;
    let simulator = Simulator::build(&bugs)?;
    let mut chosen = shuffled(bugs.iter().collect(), seed);
    // Those that network faults reach come first, because they change the failing schedules.
    chosen.sort_by_key(|bug| !bug.reachable);
    // A bug whose run without faults fails already cannot be searched.
    chosen.retain(|bug| matches!(simulator.json(PRUNED_BASE, Some(bug)), Ok(Some(_))));
    chosen.truncate(BUGS);
    ensure!(chosen.len() == BUGS, "only {} bugs can be searched", chosen.len());
    let rows = super::in_parallel(&chosen, |bug| {
        let answer = |line: &str| -> Result<Value> {
            let json = simulator.json(line, Some(bug))?;
            json.with_context(|| format!("`{line}` found no start with bug `{}`", bug.name))
        };
        let (pruned, full) = (answer(PRUNED)?, answer(&format!("{PRUNED} --no-pruning"))?);
        let equal = pruned["failing_digest"] == full["failing_digest"];
        let cells = [
            &pruned["failing"],
            &pruned["runs"],
            &full["failing"],
            &full["runs"],
        ];
        let mut row = vec![bug.name.clone()];
        row.extend(cells.map(Value::to_string));
        row.push(if equal { "equal" } else { "DIFFERENT" }.to_owned());
        Ok(row)
    })?;
    let all_equal = rows
        .iter()
        .all(|row| row.last().is_some_and(|word| word == "equal"));
    let header = [
        "bug",
        "failing",
        "runs",
        "failing unpruned",
        "runs unpruned",
        "sets",
    ];
    let mut all = vec![header.map(str::to_owned).to_vec()];
    all.extend(rows);
    println!("{PRUNED}\n{}", table::render(&all));
    Ok(all_equal)
}

/// The cheapest search, which shows whether the run without faults passes.
const PRUNED_BASE: &str = "exhaust clean-login --datagrams 1 --faults 1 --kinds double";

/// Three bugs that network faults reach.
fn choose(bugs: &[Bug], seed: u64) -> Vec<&Bug> {
    let reachable = bugs.iter().filter(|bug| bug.reachable).collect();
    let mut chosen = shuffled(reachable, seed);
    chosen.truncate(CHOSEN);
    chosen
}

/// The bugs in an order that depends on `seed`: sorted by a hash of name and seed (FNV-1a).
fn shuffled(mut bugs: Vec<&Bug>, seed: u64) -> Vec<&Bug> {
    bugs.sort_by_key(|bug| {
        let bytes = seed.to_be_bytes().into_iter().chain(bug.name.bytes());
        bytes.fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
            (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
        })
    });
    bugs
}

impl Simulator {
    /// Builds the copy of the sources with all bugs.
    pub(super) fn build(bugs: &[Bug]) -> Result<Self> {
        copy::update(bugs)?;
        let target = copy::folder().join("target");
        let mut command = shell::cargo("build --quiet --release --bin sandhog-sim --package");
        command
            .arg(copy::SIMULATOR)
            .arg("--manifest-path")
            .arg(copy::folder().join("Cargo.toml"))
            .arg("--target-dir")
            .arg(&target);
        shell::run(&mut command)?;
        Ok(Self(target.join("release/sandhog-sim")))
    }

    /// Runs a command with one bug, or without any.
    fn output(&self, line: &str, bug: Option<&Bug>) -> Result<Output> {
        let mut command = Command::new(&self.0);
        command
            .args(line.split(' '))
            .current_dir(list::folder())
            .env_remove(copy::CHOICE)
            .stdin(Stdio::null());
        if let Some(bug) = bug {
            command.env(copy::CHOICE, &bug.name);
        }
        command.output().context("cannot start the simulator")
    }

    /// The JSON of a search. `None` if it could not begin, because the run without faults fails already.
    fn json(&self, line: &str, bug: Option<&Bug>) -> Result<Option<Value>> {
        let output = self.output(&format!("{line} --json"), bug)?;
        if output.status.code().is_none_or(|code| code > 1) {
            return Ok(None);
        }
        let json = serde_json::from_slice(&output.stdout);
        json.with_context(|| format!("the output of `{line}` is not JSON"))
            .map(Some)
    }

    /// Runs the searches until one finds a failure that the bug causes: its tape passes without the bug. With a `property`, only
    /// failures of that property count.
    pub(super) fn search<'a>(
        &self,
        bug: &'a Bug,
        searches: &[&'a str],
        property: Option<&str>,
    ) -> Result<Outcome<'a>> {
        let started = Instant::now();
        let (mut runs, mut found) = (0, None);
        for line in searches {
            let Some(json) = self.json(&format!("{line}{}", jobs(line)), Some(bug))? else {
                // The search prints no property then.
                found = property
                    .is_none()
                    .then(|| ("the run without faults fails".to_owned(), *line));
                break;
            };
            runs += json["runs"].as_u64().unwrap_or_default();
            if let Some(sentence) = self.caused(line, &json, property)? {
                found = Some((sentence, *line));
                break;
            }
        }
        println!(
            "{:<36}{}",
            bug.name,
            found.as_ref().map_or("not found", |_| "found")
        );
        Ok(Outcome {
            bug,
            found,
            runs,
            seconds: started.elapsed().as_secs_f64(),
        })
    }

    /// The first failure of a search whose tape passes without any bug.
    fn caused(&self, line: &str, json: &Value, property: Option<&str>) -> Result<Option<String>> {
        let list = |name: &str| json[name].as_array().into_iter().flatten();
        let is_wanted = |failure: &str| property.is_none_or(|property| is_of(failure, property));
        let mut entries: Vec<&Value> = list("smallest").chain(list("failing")).collect();
        // The sentence of a smaller tape is shorter.
        entries.sort_by_key(|entry| entry["sentence"].as_str().map_or(0, str::len));
        for entry in entries {
            let (Some(sentence), Some(tape)) = (entry["sentence"].as_str(), entry["tape"].as_str()) else {
                continue;
            };
            if is_wanted(entry["failure"].as_str().unwrap_or_default())
                && self.passes(&replay_of(line, tape, entry["scenario"].as_str()), property)?
            {
                return Ok(Some(sentence.to_owned()));
            }
        }
        Ok(None)
    }

    /// Returns true if all checks of a run pass without any bug, or the checks of this property.
    fn passes(&self, line: &str, property: Option<&str>) -> Result<bool> {
        let Some(property) = property else {
            return Ok(self.output(line, None)?.status.success());
        };
        let json = self.json(line, None)?;
        let json = json.with_context(|| format!("`{line}` cannot run without the bug"))?;
        let checks = json["checks"].as_array().into_iter().flatten();
        let mut of_property = checks
            .filter(|check| is_of(check["name"].as_str().unwrap_or_default(), property))
            .peekable();
        ensure!(of_property.peek().is_some(), "`{line}` does not check {property}");
        Ok(of_property.all(|check| check["passed"] == true))
    }
}

/// Returns true if a check is one of this property: its name begins with it.
fn is_of(check: &str, property: &str) -> bool {
    check.split(' ').next() == Some(property)
}

/// The command that replays a tape which the search `line` found: with its scenario file, and with its second runs.
fn replay_of(line: &str, tape: &str, scenario: Option<&str>) -> String {
    let words: Vec<&str> = line.split(' ').collect();
    let mut replay = format!("replay {tape}");
    let file = scenario.map(|scenario| format!("{scenario}.toml"));
    if let Some(file) = file.filter(|file| words.contains(&file.as_str())) {
        replay += &format!(" --scenario {file}");
    }
    if words.contains(&"--repeat") {
        replay += " --repeat";
    }
    if let Some([option, twin]) = words.windows(2).find(|pair| pair[0] == "--looks-like") {
        replay += &format!(" {option} {twin}");
    }
    replay
}

/// One thread for a sweep, because each processor searches for another bug.
fn jobs(line: &str) -> &'static str {
    if line.starts_with("sweep") {
        " --jobs 1"
    } else {
        ""
    }
}

/// Table rows: each bug with its meaning, the command that found it, and the failure.
pub(super) fn rows(outcomes: &[Outcome<'_>]) -> Vec<Vec<String>> {
    let mut rows = vec![["bug", "runs", "seconds", "failure"].map(str::to_owned).to_vec()];
    for outcome in outcomes {
        let (failure, command) = match &outcome.found {
            Some((failure, command)) => (failure.as_str(), *command),
            None => ("NONE", ""),
        };
        let seconds = format!("{:.1}", outcome.seconds);
        rows.push(vec![
            outcome.bug.name.clone(),
            outcome.runs.to_string(),
            seconds,
            failure.to_owned(),
        ]);
        let empty = String::new;
        rows.push(vec![empty(), empty(), empty(), outcome.bug.meaning.clone()]);
        rows.push(vec![empty(), empty(), empty(), command.to_owned()]);
    }
    rows
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_replay_has_the_scenario_file_and_the_second_run_of_its_search() {
        let replay = |line| replay_of(line, "TAPE", Some("long-session"));
        assert_eq!(replay("sweep standard --swarm"), "replay TAPE");
        assert_eq!(
            replay("sweep long-session.toml --seeds 1..9"),
            "replay TAPE --scenario long-session.toml"
        );
        assert_eq!(replay("sweep standard --repeat"), "replay TAPE --repeat");
        assert_eq!(
            replay("sweep wrong-password --looks-like unknown-user --swarm"),
            "replay TAPE --looks-like unknown-user"
        );
    }

    #[test]
    fn a_property_is_not_one_that_begins_with_the_same_digit() {
        assert!(is_of("P1 no plaintext in outer datagrams", "P1"));
        assert!(!is_of("P13 accounts change only in accepted sessions", "P1"));
    }

    #[test]
    fn a_seed_chooses_three_bugs_that_network_faults_reach() {
        let bugs = list::read().unwrap();
        let names = |seed| -> Vec<&str> { choose(&bugs, seed).iter().map(|bug| bug.name.as_str()).collect() };
        assert_eq!(names(1).len(), CHOSEN);
        assert_eq!(names(1), names(1));
        assert!((2..20).any(|seed| names(seed) != names(1)));
        assert!(choose(&bugs, 1).iter().all(|bug| bug.reachable));
    }
}
