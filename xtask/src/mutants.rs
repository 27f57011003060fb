//! `cargo xtask mutants`: plants each known bug of the protocol in turn and names the tests that find it.

use std::{
    collections::BTreeSet,
    io::{BufRead as _, BufReader},
    process::{Command, Stdio},
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicUsize, Ordering},
        mpsc::{RecvTimeoutError, channel},
    },
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, anyhow, bail, ensure};

use crate::{shell, table};

/// The core's own list, so that neither side knows of a bug that the other does not.
#[path = "../../proto/src/mutant/list.rs"]
mod list;

use list::Mutant;

/// So many failed tests prove the point; what else would fail is not waited for.
const ENOUGH: usize = 3;

/// Tests of a module that take longer are for bugs that no other test has found.
const DEAR: Duration = Duration::from_secs(1);

/// How long the tests of a module may take without any bug.
const PATIENCE: Duration = Duration::from_secs(120);

/// The tests of one module.
struct Module {
    /// The binary they are in.
    binary: String,
    /// What the names of all of them begin with.
    prefix: String,
    /// How long they take without any bug.
    time: Duration,
    /// How long they may take. Not to come to an end is a way to fail.
    patience: Duration,
}

/// How one mutant fared.
struct Fate {
    mutant: Mutant,
    /// The first few tests that failed; none: it survived.
    found_by: Vec<String>,
    elapsed: Duration,
}

/// Prints the matrix of the bugs in `only`, or of all; whether each was found.
///
/// # Errors
/// A name in `only` is that of no bug, the tests cannot be built, or they fail without any bug.
pub(crate) fn run(only: &[String]) -> Result<bool> {
    let chosen = choose(only)?;
    let modules = without_bugs(build()?)?;
    let started = Instant::now();
    let fates = side_by_side(&chosen, |mutant| fate(*mutant, &modules))?;
    println!("\n{}", table::render(&rows(&fates)));
    let survivors = fates.iter().filter(|fate| fate.found_by.is_empty()).count();
    println!(
        "{} bugs planted, {} found, {survivors} survived, {:.0} s",
        fates.len(),
        fates.len() - survivors,
        started.elapsed().as_secs_f64()
    );
    Ok(survivors == 0)
}

fn choose(only: &[String]) -> Result<Vec<Mutant>> {
    let is_there = |name: &str| Mutant::ALL.iter().any(|mutant| mutant.name() == name);
    if let Some(unknown) = only.iter().find(|name| !is_there(name)) {
        let names: Vec<_> = Mutant::ALL.iter().map(|mutant| mutant.name()).collect();
        bail!("there is no bug `{unknown}`; the bugs are {}", names.join(", "));
    }
    let is_chosen = |mutant: &&Mutant| only.is_empty() || only.iter().any(|name| name == mutant.name());
    Ok(Mutant::ALL.iter().filter(is_chosen).copied().collect())
}

/// Builds the tests of the core with all bugs in them, none of them awake.
fn build() -> Result<Vec<Module>> {
    let line = "test --quiet --package sandhog-proto --features mutants --lib --test secure --no-run \
                --message-format=json";
    println!("$ cargo {line}");
    let mut modules = Vec::new();
    for binary in shell::read(&mut shell::cargo(line))?
        .lines()
        .filter_map(executable)
    {
        let mut listing = Command::new(&binary);
        let listing = shell::read(listing.args(["--list", "--format=terse"]))?;
        let prefixes: BTreeSet<_> = listing.lines().filter_map(prefix).collect();
        modules.extend(prefixes.into_iter().map(|prefix| Module {
            binary: binary.clone(),
            prefix,
            time: Duration::ZERO,
            patience: PATIENCE,
        }));
    }
    ensure!(!modules.is_empty(), "cargo has built no tests");
    Ok(modules)
}

/// The path in a line of cargo's JSON that tells of an executable.
fn executable(line: &str) -> Option<String> {
    let (_, rest) = line.split_once(r#""executable":""#)?;
    let (path, _) = rest.split_once('"')?;
    Some(path.to_owned())
}

/// The module in a line of the list of tests, `MODULE::NAME: test`.
fn prefix(line: &str) -> Option<String> {
    let (module, _) = line.strip_suffix(": test")?.rsplit_once("::")?;
    Some(format!("{module}::"))
}

/// Runs all tests without any bug; the quickest module first, since it will find most in the least time.
fn without_bugs(modules: Vec<Module>) -> Result<Vec<Module>> {
    let started = Instant::now();
    let times = side_by_side(&modules, |module| {
        let started = Instant::now();
        let failed = listen(module, None, usize::MAX)?;
        ensure!(
            failed.is_empty(),
            "without any bug there fails {}",
            failed.join(", ")
        );
        Ok(started.elapsed())
    })?;
    let mut timed: Vec<_> = times.into_iter().zip(modules).collect();
    timed.sort_by_key(|(time, _)| *time);
    println!(
        "without any bug all tests pass, {:.0} s",
        started.elapsed().as_secs_f64()
    );
    let settle = |(time, module): (Duration, Module)| Module {
        time,
        patience: Duration::from_secs(10) + 10 * time,
        ..module
    };
    Ok(timed.into_iter().map(settle).collect())
}

/// Does something to each of `inputs`, to as many at a time as there are processors; the results in their order.
fn side_by_side<I: Sync, O: Send>(inputs: &[I], one: impl Fn(&I) -> Result<O> + Sync) -> Result<Vec<O>> {
    let next = AtomicUsize::new(0);
    let work = || -> Result<Vec<(usize, O)>> {
        let mut done = Vec::new();
        while let at = next.fetch_add(1, Ordering::Relaxed)
            && let Some(input) = inputs.get(at)
        {
            done.push((at, one(input)?));
        }
        Ok(done)
    };
    let mut done = Vec::new();
    thread::scope(|scope| {
        let count = thread::available_parallelism().map_or(2, usize::from);
        let threads: Vec<_> = (0..count).map(|_| scope.spawn(work)).collect();
        for thread in threads {
            done.extend(thread.join().map_err(|_| anyhow!("a thread panicked"))??);
        }
        anyhow::Ok(())
    })?;
    done.sort_by_key(|(at, _)| *at);
    Ok(done.into_iter().map(|(_, output)| output).collect())
}

/// Lets the tests loose on one bug, until enough of them have failed.
fn fate(mutant: Mutant, modules: &[Module]) -> Result<Fate> {
    let started = Instant::now();
    let mut found_by = Vec::new();
    for module in modules {
        if !found_by.is_empty() && module.time > DEAR {
            break;
        }
        found_by.extend(listen(module, Some(mutant), ENOUGH - found_by.len())?);
        if found_by.len() >= ENOUGH {
            break;
        }
    }
    let verdict = if found_by.is_empty() { "SURVIVED" } else { "found" };
    println!("{:<32}{verdict}", mutant.name());
    Ok(Fate {
        mutant,
        found_by,
        elapsed: started.elapsed(),
    })
}

/// Runs the tests of a module, until `enough` of them have failed; their names.
fn listen(module: &Module, mutant: Option<Mutant>, enough: usize) -> Result<Vec<String>> {
    let mut command = Command::new(&module.binary);
    // One thread: the other processors are busy with other mutants, and so the last line tells where it has stopped.
    command
        .current_dir(shell::root().join("proto"))
        .args(["--test-threads=1", &module.prefix])
        .env_remove("SANDHOG_MUTANT")
        .stdout(Stdio::piped())
        .stderr(Stdio::null());
    if let Some(mutant) = mutant {
        command.env("SANDHOG_MUTANT", mutant.name());
    }
    let mut child = command
        .spawn()
        .with_context(|| format!("cannot start {}", module.binary))?;
    let stdout = child.stdout.take().context("its output is a pipe")?;
    let child = Mutex::new(child);
    // Whatever it is doing still; if it has ended, there is nothing to kill.
    let kill = || child.lock().unwrap_or_else(PoisonError::into_inner).kill();
    let (done, alarm) = channel::<()>();
    let failed = thread::scope(|scope| {
        scope.spawn(move || match alarm.recv_timeout(module.patience) {
            Err(RecvTimeoutError::Timeout) => kill(),
            _ => Ok(()),
        });
        let lines = BufReader::new(stdout).lines().map_while(Result::ok);
        let failed = lines.filter_map(|line| failed_test(&line)).take(enough).collect();
        drop(done);
        failed
    });
    // It has ended, or enough is known.
    let _ = kill();
    child
        .into_inner()
        .unwrap_or_else(PoisonError::into_inner)
        .wait()
        .context("cannot wait for the tests")?;
    Ok(failed)
}

/// The test that a line of libtest's output calls failed, or that never came to a result: `test NAME ... RESULT`.
fn failed_test(line: &str) -> Option<String> {
    let (name, result) = line.strip_prefix("test ")?.split_once(" ... ")?;
    match result {
        "FAILED" => Some(name.to_owned()),
        "" => Some(format!("{name} (has no end)")),
        _ => None,
    }
}

/// For each bug what it would mean, and the tests that found it, one below the other.
fn rows(fates: &[Fate]) -> Vec<Vec<String>> {
    let row = |cells: [&str; 4]| cells.map(str::to_owned).to_vec();
    let mut rows = vec![row(["bug", "it would mean that", "seconds", "found by"])];
    for fate in fates {
        let mut tests = fate
            .found_by
            .iter()
            .map(|name| name.trim_start_matches("secure::"));
        let seconds = format!("{:.1}", fate.elapsed.as_secs_f64());
        let first = tests.next().unwrap_or("NOBODY: it survived");
        rows.push(row([fate.mutant.name(), fate.mutant.meaning(), &seconds, first]));
        rows.extend(tests.map(|test| row(["", "", "", test])));
    }
    rows
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_bugs_are_unique_and_an_unknown_one_is_refused() {
        let names: BTreeSet<_> = Mutant::ALL.iter().map(|mutant| mutant.name()).collect();
        assert_eq!(names.len(), Mutant::ALL.len());
        let error = choose(&["accept-relpay".to_owned()]).unwrap_err().to_string();
        assert!(error.contains("`accept-relpay`") && error.contains("accept-replay"));
        assert_eq!(
            choose(&["accept-replay".to_owned()]).unwrap(),
            [Mutant::AcceptReplay]
        );
    }

    #[test]
    fn a_test_that_fails_or_never_ends_is_named() {
        assert_eq!(failed_test("test a::b ... FAILED").as_deref(), Some("a::b"));
        assert_eq!(
            failed_test("test a::b ... ").as_deref(),
            Some("a::b (has no end)")
        );
        assert_eq!(failed_test("test a::b ... ok"), None);
        assert_eq!(failed_test("test result: FAILED. 1 passed; 1 failed"), None);
    }

    #[test]
    fn modules_are_read_from_the_list_of_tests() {
        assert_eq!(prefix("a::tests::b: test").as_deref(), Some("a::tests::"));
        assert_eq!(prefix("3 tests, 0 benchmarks"), None);
    }

    #[test]
    fn a_survivor_is_told_from_a_find() {
        let fate = |found_by: &[&str]| Fate {
            mutant: Mutant::AcceptReplay,
            found_by: found_by.iter().map(|name| (*name).to_owned()).collect(),
            elapsed: Duration::from_millis(1250),
        };
        let rows = rows(&[fate(&["secure::a", "b"]), fate(&[])]);
        assert_eq!(rows.len(), 4);
        assert_eq!(rows[1][2..], ["1.2", "a"]);
        assert_eq!(rows[2], ["", "", "", "b"]);
        assert!(rows[3][3].contains("survived"));
    }
}
