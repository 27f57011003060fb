//! Equal traces on all engines and targets: the digests of each, compared line by line.

use std::{collections::BTreeMap, process::Command, thread};

use anyhow::{Context as _, Result, anyhow, ensure};

use crate::{
    golden::{self, Digests, Seeds},
    page, shell,
    step::{self, Session},
    table,
    tools::{CHROMIUM, NODE, NPM, Tool, WASM_UNKNOWN, WASM_WASI},
    workspace,
};

/// One way to run the scenarios.
struct Column {
    name: &'static str,
    /// Tools that it needs besides Rust.
    needs: &'static [Tool],
    /// The command that prints a line `name seed digest` for each run.
    command: fn(Seeds) -> Command,
}

/// The first column is the reference for the others.
const COLUMNS: &[Column] = &[
    Column {
        name: "event",
        needs: &[],
        command: |seeds| native("event", seeds),
    },
    Column {
        name: "again",
        needs: &[],
        command: |seeds| native("event", seeds),
    },
    Column {
        name: "turmoil",
        needs: &[],
        command: |seeds| native("turmoil", seeds),
    },
    Column {
        name: "wasi-event",
        needs: &[NODE, WASM_WASI],
        command: |seeds| wasi("event", seeds),
    },
    Column {
        name: "wasi-turmoil",
        needs: &[NODE, WASM_WASI],
        command: |seeds| wasi("turmoil", seeds),
    },
    Column {
        name: BROWSER,
        needs: &[NODE, NPM, CHROMIUM, WASM_UNKNOWN],
        command: browser,
    },
];

/// The column of the page.
const BROWSER: &str = "browser";

fn native(engine: &str, seeds: Seeds) -> Command {
    let program = shell::target_dir().join("debug/digests");
    let mut command = Command::new(program);
    command
        .current_dir(shell::root())
        .args(["--engine", engine, "--seeds", &seeds.to_string()]);
    command
}

fn wasi(engine: &str, seeds: Seeds) -> Command {
    let mut command = Command::new(shell::root().join("tests/wasi/runner.mjs"));
    command
        .current_dir(shell::root())
        .arg(shell::target_dir().join("wasm32-wasip1/debug/digests.wasm"));
    command.args(["--engine", engine, "--seeds", &seeds.to_string()]);
    command
}

fn browser(seeds: Seeds) -> Command {
    page::script(&["--digests", &seeds.start.to_string(), &seeds.end.to_string()])
}

/// Seeds that every column runs in `cargo xtask test`. They are few, because WebAssembly is slow.
const SEEDS_OF_THE_STEP: Seeds = Seeds { start: 0, end: 4 };

/// The step `equality`: a part of the seeds in every column except the browser, and all committed seeds in the native event
/// engine.
///
/// # Errors
/// A build or a run fails, or two digests differ.
pub(crate) fn check(_: &Session) -> Result<()> {
    let committed = run(golden::SEEDS, &[], &all_except(&["event"]), false)?;
    let everywhere = run(SEEDS_OF_THE_STEP, &[], &[BROWSER.to_owned()], false)?;
    ensure!(committed && everywhere, "two digests differ");
    Ok(())
}

/// The digests in the browser, for the same part of the seeds.
///
/// # Errors
/// A build or a run fails, or two digests differ.
pub(crate) fn check_browser() -> Result<()> {
    let is_equal = run(SEEDS_OF_THE_STEP, &[], &all_except(&["event", BROWSER]), false)?;
    ensure!(is_equal, "two digests differ");
    Ok(())
}

fn all_except(kept: &[&str]) -> Vec<String> {
    let names = COLUMNS.iter().map(|column| column.name);
    names
        .filter(|name| !kept.contains(name))
        .map(str::to_owned)
        .collect()
}

/// Runs the columns in parallel and prints the table and the first difference of each. Returns true if there is none. With
/// `replays`, the digests are those of recorded runs that are replayed.
///
/// # Errors
/// A build or a run fails, or a column in `without` does not exist.
pub(crate) fn run(seeds: Seeds, scenarios: &[String], without: &[String], replays: bool) -> Result<bool> {
    if let Some(unknown) = without
        .iter()
        .find(|name| COLUMNS.iter().all(|column| column.name != **name))
    {
        return Err(anyhow!(
            "there is no column `{unknown}`; the columns are {}",
            all_except(&[]).join(", ")
        ));
    }
    let columns: Vec<_> = COLUMNS
        .iter()
        .filter(|column| !without.iter().any(|name| name == column.name))
        .collect();
    for column in &columns {
        let missing = step::missing(column.needs);
        ensure!(
            missing.is_none(),
            "column {}: {}",
            column.name,
            missing.unwrap_or_default()
        );
    }
    build(&columns)?;
    let mut results = collect(&columns, seeds, scenarios, replays)?;
    results.push(("committed", committed(seeds, scenarios)?));
    let (_, reference) = &results[0];
    println!("{}", table::render(&rows(reference, &results)));
    let differences: Vec<_> = results
        .iter()
        .filter_map(|(name, digests)| first_difference(reference, name, digests))
        .collect();
    differences.iter().for_each(|difference| println!("{difference}"));
    Ok(differences.is_empty())
}

fn build(columns: &[&Column]) -> Result<()> {
    workspace::build_program("digests")?;
    if columns.iter().any(|column| column.name.starts_with("wasi-")) {
        shell::run(shell::cargo(&workspace::tests_on_wasi()).args(["--quiet", "--no-run"]))?;
    }
    if columns.iter().any(|column| column.name == BROWSER) {
        page::build()?;
    }
    Ok(())
}

/// Starts all columns at once, each in a thread, and waits for their digests.
fn collect(
    columns: &[&Column],
    seeds: Seeds,
    scenarios: &[String],
    replays: bool,
) -> Result<Vec<(&'static str, Digests)>> {
    thread::scope(|scope| {
        let started: Vec<_> = columns
            .iter()
            .map(|column| {
                let mut command = (column.command)(seeds);
                command.args(replays.then_some("--replays")).args(scenarios);
                (
                    column.name,
                    scope.spawn(move || golden::parse(&shell::read(&mut command)?)),
                )
            })
            .collect();
        started
            .into_iter()
            .map(|(name, thread)| {
                let digests = thread
                    .join()
                    .map_err(|_| anyhow!("the thread of column {name} panicked"))?;
                Ok((name, digests.with_context(|| format!("column {name}"))?))
            })
            .collect()
    })
}

/// The committed digests of these seeds and scenarios.
fn committed(seeds: Seeds, scenarios: &[String]) -> Result<Digests> {
    let wanted = |(name, seed): &(String, u64)| {
        (seeds.start..seeds.end).contains(seed) && (scenarios.is_empty() || scenarios.contains(name))
    };
    Ok(golden::read()?
        .into_iter()
        .filter(|(run, _)| wanted(run))
        .collect())
}

/// A row for each scenario: the number of runs, and for each column the number of runs that equal the reference.
fn rows(reference: &Digests, results: &[(&str, Digests)]) -> Vec<Vec<String>> {
    let mut header = vec!["scenario".to_owned(), "runs".to_owned()];
    header.extend(results.iter().skip(1).map(|(name, _)| (*name).to_owned()));
    let mut runs: BTreeMap<&str, usize> = BTreeMap::new();
    reference
        .keys()
        .for_each(|(name, _)| *runs.entry(name).or_default() += 1);
    let row = |(scenario, runs): (&str, usize)| {
        let equal = |digests: &Digests| {
            let of_scenario = reference.iter().filter(|((name, _), _)| name == scenario);
            of_scenario
                .filter(|(run, digest)| digests.get(run) == Some(digest))
                .count()
        };
        let mut row = vec![scenario.to_owned(), runs.to_string()];
        row.extend(
            results
                .iter()
                .skip(1)
                .map(|(_, digests)| equal(digests).to_string()),
        );
        row
    };
    std::iter::once(header).chain(runs.into_iter().map(row)).collect()
}

/// The first run whose digest is missing in the reference or in `digests`, or differs between them.
///
/// Committed digests exist for some seeds only. A run of another seed is not a difference.
fn first_difference(reference: &Digests, column: &str, digests: &Digests) -> Option<String> {
    let beyond =
        |seed: u64| column == "committed" && !(golden::SEEDS.start..golden::SEEDS.end).contains(&seed);
    let runs = reference.keys().chain(digests.keys());
    let (scenario, seed) = runs
        .filter(|(_, seed)| !beyond(*seed))
        .find(|run| reference.get(run) != digests.get(run))?;
    let run = (scenario.clone(), *seed);
    let digest = |of: &Digests| {
        of.get(&run)
            .map_or_else(|| "no such run".to_owned(), Clone::clone)
    };
    let advice = match column {
        "turmoil" => format!("cargo sim diff {scenario}:{seed} {scenario}:{seed}:turmoil"),
        _ => format!(
            "in the commit before: cargo sim run {scenario} --seed {seed} --out before; \
             here: cargo sim diff before/trace.jsonl {scenario}:{seed}"
        ),
    };
    Some(format!(
        "{column} first differs at {scenario} seed {seed}:\n  event      {}\n  {column:<10} {}\n\
         to see the first difference and its causes: {advice}",
        digest(reference),
        digest(digests)
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn digests(text: &str) -> Digests {
        golden::parse(text).unwrap()
    }

    #[test]
    fn the_first_difference_is_shown_with_both_digests() {
        let text =
            first_difference(&digests("a 0 x\na 1 y\n"), "turmoil", &digests("a 0 x\na 1 z\n")).unwrap();
        assert!(text.contains("a seed 1") && text.contains('y') && text.contains('z'));
    }

    #[test]
    fn a_missing_run_is_a_difference() {
        assert!(first_difference(&digests("a 0 x\n"), "browser", &Digests::new()).is_some());
        assert!(first_difference(&Digests::new(), "browser", &digests("a 0 x\n")).is_some());
        assert!(first_difference(&digests("a 50 x\n"), "committed", &Digests::new()).is_none());
    }

    #[test]
    fn the_table_counts_equal_runs_by_scenario() {
        let reference = digests("a 0 x\na 1 y\nb 0 z\n");
        let results = [
            ("event", reference.clone()),
            ("turmoil", digests("a 0 x\nb 0 z\n")),
        ];
        let rows = rows(&reference, &results);
        assert_eq!(rows[1], ["a", "2", "1"]);
        assert_eq!(rows[2], ["b", "1", "1"]);
    }
}
