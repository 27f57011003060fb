//! `cargo xtask explore`: search for failures of the protocol with random seeds, and a report.

use std::{
    collections::BTreeSet,
    fmt::Write as _,
    fs,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    time::{SystemTime, UNIX_EPOCH},
};

use anyhow::{Context as _, Result, ensure};
use serde_json::Value;

use crate::shell;

/// A scenario that must fail: no datagram arrives, but the client must connect. If the search does not find this, it is broken.
const CANARY: &str = r#"
title = "A canary: no datagram arrives"
duration = "12s"
server = [{ name = "server", address = "192.0.2.1:4000", inner = ["10.9.0.1/24"], user = [{ login = "alice", password = "correct horse", addresses = ["10.9.0.2"] }] }]
client = [{ name = "alice", address = "192.0.2.2:4000", inner = ["10.9.0.2/24"], server = "server", login = "alice", password = "correct horse" }]
link = [{ between = ["alice", "server"], loss = "100%" }]
"#;

/// Exhaustive searches: options after the command.
const SEARCHES: &[&str] = &[
    "clean-login --datagrams 12 --faults 2",
    "reconnect --from wake --datagrams 12 --faults 2 --kinds drop,hold,swap,rebind",
];

/// A failure that a search found.
struct Found {
    source: String,
    sentence: String,
    tape: String,
}

/// Searches for `minutes`, from the seed `seed` on. Returns true if only known faults were found.
///
/// # Errors
/// The simulator cannot be built, the canary passes, or the report cannot be written.
pub(crate) fn run(minutes: u32, seed: Option<u64>) -> Result<bool> {
    shell::run(&mut shell::cargo(
        "build --quiet --release --package sandhog-sim --bin sandhog-sim",
    ))?;
    let program = shell::target_dir().join("release/sandhog-sim");
    let folder = shell::scratch("explore")?;
    let seed = seed.map_or_else(another_seed, Ok)?;
    println!(
        "first seed {seed}; to repeat the search: cargo xtask explore --minutes {minutes} --seed {seed}"
    );
    check_canary(&program, &folder)?;
    let mut found = Vec::new();
    for search in SEARCHES {
        let result = json(sim(&program, &format!("exhaust {search} --json")))?;
        println!(
            "exhaust {search}: {} runs, {} failing",
            result["runs"], result["failing"]
        );
        found.extend(failures(&result["smallest"], &format!("exhaust {search}")));
    }
    let scenarios = scenarios(&program)?;
    let seconds = u64::from(minutes) * 60 / (scenarios.len() as u64).max(1);
    for scenario in &scenarios {
        let line = format!(
            "sweep {scenario} --swarm --seeds {seed}..{} --budget {}s --json",
            seed + 10_000_000,
            seconds.max(1)
        );
        let result = json(sim(&program, &line))?;
        println!("{scenario}: {} runs, {} failed", result["runs"], result["failed"]);
        found.extend(failures(&result["failing"], &line));
    }
    report(&folder, seed, &found)
}

fn another_seed() -> Result<u64> {
    Ok(SystemTime::now().duration_since(UNIX_EPOCH)?.as_secs())
}

fn sim(program: &Path, line: &str) -> Command {
    let mut command = Command::new(program);
    command.args(line.split(' '));
    command
}

/// The JSON that a search prints. Its exit status is 1 if it found a failure.
fn json(mut command: Command) -> Result<Value> {
    let output = command.stderr(Stdio::inherit()).output()?;
    ensure!(
        output.status.code().is_some_and(|code| code < 2),
        "{} failed",
        shell::display(&command)
    );
    serde_json::from_slice(&output.stdout)
        .with_context(|| format!("the output of {} is not JSON", shell::display(&command)))
}

fn check_canary(program: &Path, folder: &Path) -> Result<()> {
    let path = folder.join("canary.toml");
    fs::write(&path, CANARY)?;
    let mut command = sim(program, "sweep --seeds 1..4 --json");
    let result = json({
        command.arg(&path);
        command
    })?;
    ensure!(
        result["failed"] == 3,
        "the canary must fail with 3 of 3 seeds, but {} failed",
        result["failed"]
    );
    Ok(())
}

fn scenarios(program: &Path) -> Result<Vec<String>> {
    let list = json(sim(program, "list --json"))?;
    let names = list.as_array().into_iter().flatten();
    Ok(names
        .filter_map(|entry| Some(entry["name"].as_str()?.to_owned()))
        .collect())
}

fn failures(list: &Value, source: &str) -> Vec<Found> {
    let entries = list.as_array().into_iter().flatten();
    let found = entries.filter_map(|entry| {
        Some(Found {
            source: source.to_owned(),
            sentence: entry["sentence"].as_str()?.to_owned(),
            tape: entry["tape"].as_str()?.to_owned(),
        })
    });
    found.collect()
}

/// Writes the report: each different failure once. Returns true if all are known.
fn report(folder: &Path, seed: u64, found: &[Found]) -> Result<bool> {
    let known = known_faults()?;
    let mut seen = BTreeSet::new();
    let (mut text, mut new) = (format!("# Search from seed {seed}\n"), 0);
    for Found {
        source,
        sentence,
        tape,
    } in found
    {
        let signature = signature(sentence);
        if !seen.insert(signature.clone()) {
            continue;
        }
        let is_known = known.contains(&signature);
        new += usize::from(!is_known);
        let word = if is_known { "known" } else { "new" };
        let _ = write!(
            text,
            "\n## {word}: {sentence}\n\n- found by: `{source}`\n- tape: `{tape}`\n"
        );
    }
    let path: PathBuf = folder.join("report.md");
    fs::write(&path, text)?;
    println!(
        "{} different failures, {new} of them new: {}",
        seen.len(),
        path.display()
    );
    Ok(new == 0)
}

/// The signatures of the tapes of known faults. A tape without a fault of the network has none: its cause is in its scenario.
fn known_faults() -> Result<BTreeSet<BTreeSet<String>>> {
    let folder = shell::root().join("sim/tapes/known");
    let mut known = BTreeSet::new();
    for entry in fs::read_dir(folder)? {
        let text = fs::read_to_string(entry?.path())?;
        known.insert(text.lines().filter_map(fault_of).collect());
    }
    known.remove(&BTreeSet::new());
    Ok(known)
}

/// The kinds of datagrams and faults of a failure. Two failures with the same ones have the same cause as a rule.
fn signature(sentence: &str) -> BTreeSet<String> {
    let faults = sentence.split_once(" make").map_or("", |(faults, _)| faults);
    faults.split(", ").filter_map(fault_of).collect()
}

/// Direction, kind and fault of a line of a tape, such as `alice→server ke3 rebind`. `None` for another line.
fn fault_of(line: &str) -> Option<String> {
    let (place, fault) = line.split_once(": ").filter(|(place, _)| place.contains('→'))?;
    let mut words = place
        .split(' ')
        .filter(|word| !word.starts_with('#') && *word != "from");
    let (direction, kind) = (words.next()?, words.next()?);
    Some(format!("{direction} {kind} {}", fault.split(' ').next()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sentence_and_a_tape_of_the_same_failure_have_one_signature() {
        let sentence = "server→alice bye #1: late 10s, server→alice settings from #2: drop make P9 fail: alice: disconnected";
        let tape =
            "# fails: P9\nseed 1\nserver→alice bye #3 @ 20.1s: late 9s\nserver→alice settings #2: drop\nend";
        assert_eq!(signature(sentence), tape.lines().filter_map(fault_of).collect());
        assert_eq!(signature(sentence).len(), 2);
    }
}
