//! Matrix of planted bugs: `cargo xtask mutants` plants each bug of a list and names the tests that find it.
//!
//! The sources contain only correct code. The bugs are in a copy of them, which is built once. An environment variable
//! chooses one bug for each run of the tests.

mod copy;
mod list;
mod plant;
mod properties;
mod search;

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

pub(crate) use self::{
    properties::run as properties,
    search::{compare_pruning, run as search},
};

use self::list::{Bug, Place};

/// Number of failed tests after which a bug counts as found and the others are not run.
const ENOUGH: usize = 3;

/// Modules whose tests take longer run only if no other test has found the bug.
const SLOW: Duration = Duration::from_secs(1);

/// Time limit for the tests of a module without any bug.
const TIMEOUT: Duration = Duration::from_secs(120);

/// The package of some bugs, whose tests find them.
#[derive(Debug, PartialEq, Eq)]
struct Suite {
    package: &'static str,
    folder: &'static str,
    /// Options of cargo that select the tests.
    tests: &'static str,
}

/// The tests of bugs in the protocol.
const PROTOCOL: &Suite = &Suite {
    package: "sandhog-proto",
    folder: "proto",
    tests: "--lib --test secure --test erased",
};

/// The tests of bugs that are only in the laboratory and in its inner hosts.
const LABORATORY: &Suite = &Suite {
    package: "sandhog-lab",
    folder: "lab",
    tests: "--lib --test main",
};

/// The tests of one module.
struct Module {
    suite: &'static Suite,
    /// The binary they are in.
    binary: String,
    /// Prefix of all their names.
    prefix: String,
    /// Duration without any bug.
    time: Duration,
    /// Time limit. A test that does not end by then has failed.
    timeout: Duration,
}

/// Result for one bug.
struct Outcome<'a> {
    bug: &'a Bug,
    /// The first few tests that failed. If there is none, the bug has survived.
    found_by: Vec<String>,
    elapsed: Duration,
}

/// Prints the matrix of the bugs in `only`, or of all bugs. Returns true if all were found.
///
/// # Errors
/// A name in `only` is unknown, an entry does not fit the sources, the tests cannot be built, or they fail without any bug.
pub(crate) fn run(only: &[String]) -> Result<bool> {
    let bugs = list::read()?;
    let chosen = choose(&bugs, only)?;
    copy::update(&bugs)?;
    let mut modules = Vec::new();
    for suite in [PROTOCOL, LABORATORY] {
        if chosen.iter().any(|bug| suite_of(bug) == suite) {
            modules.extend(build(suite)?);
        }
    }
    let modules = without_bugs(modules)?;
    let started = Instant::now();
    let outcomes = in_parallel(&chosen, |bug| test(bug, &modules))?;
    println!("\n{}", table::render(&rows(&outcomes)));
    let survivors = outcomes
        .iter()
        .filter(|outcome| outcome.found_by.is_empty())
        .count();
    println!(
        "{} bugs planted, {} found, {survivors} survived, {:.0} s",
        outcomes.len(),
        outcomes.len() - survivors,
        started.elapsed().as_secs_f64()
    );
    Ok(survivors == 0)
}

fn choose<'a>(bugs: &'a [Bug], only: &[String]) -> Result<Vec<&'a Bug>> {
    if let Some(unknown) = only
        .iter()
        .find(|name| !bugs.iter().any(|bug| bug.name == **name))
    {
        let names: Vec<_> = bugs.iter().map(|bug| bug.name.as_str()).collect();
        bail!("there is no bug `{unknown}`; the bugs are {}", names.join(", "));
    }
    let is_chosen = |bug: &&Bug| only.is_empty() || only.contains(&bug.name);
    Ok(bugs.iter().filter(is_chosen).collect())
}

/// The tests that find a bug.
fn suite_of(bug: &Bug) -> &'static Suite {
    let is_protocol = |place: &Place| place.file.starts_with("proto/");
    if bug.places.iter().any(is_protocol) {
        PROTOCOL
    } else {
        LABORATORY
    }
}

/// Builds the tests of a package of the copy.
fn build(suite: &'static Suite) -> Result<Vec<Module>> {
    let cargo = |more: &str| {
        let mut command = shell::cargo("test --quiet --no-run --package");
        command
            .arg(suite.package)
            .args(suite.tests.split(' '))
            .arg("--manifest-path")
            .arg(copy::folder().join("Cargo.toml"))
            .arg("--target-dir")
            .arg(shell::target_dir())
            .args(more.split_whitespace());
        command
    };
    shell::run(&mut cargo(""))?;
    let built = shell::read(&mut cargo("--message-format=json"))?;
    let mut modules = Vec::new();
    for binary in built.lines().filter_map(executable) {
        let mut listing = Command::new(&binary);
        let listing = shell::read(listing.args(["--list", "--format=terse"]))?;
        let prefixes: BTreeSet<_> = listing.lines().filter_map(prefix).collect();
        modules.extend(prefixes.into_iter().map(|prefix| Module {
            suite,
            binary: binary.clone(),
            prefix,
            time: Duration::ZERO,
            timeout: TIMEOUT,
        }));
    }
    ensure!(!modules.is_empty(), "cargo has built no tests");
    Ok(modules)
}

/// The path of an executable in a line of cargo's JSON output.
fn executable(line: &str) -> Option<String> {
    let (_, rest) = line.split_once(r#""executable":""#)?;
    let (path, _) = rest.split_once('"')?;
    Some(path.to_owned())
}

/// The module in a line of the list of tests, `MODULE::NAME: test`.
fn prefix(line: &str) -> Option<String> {
    let name = line.strip_suffix(": test")?;
    Some(match name.rsplit_once("::") {
        Some((module, _)) => format!("{module}::"),
        None => name.to_owned(),
    })
}

/// Runs all tests without any bug. Returns the modules sorted by duration: the quickest runs first.
fn without_bugs(modules: Vec<Module>) -> Result<Vec<Module>> {
    let started = Instant::now();
    let times = in_parallel(&modules, |module| {
        let started = Instant::now();
        let failed = failed_tests(module, None, usize::MAX)?;
        ensure!(
            failed.is_empty(),
            "these tests fail without any bug: {}",
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
    let with_time = |(time, module): (Duration, Module)| Module {
        time,
        timeout: Duration::from_secs(10) + 10 * time,
        ..module
    };
    Ok(timed.into_iter().map(with_time).collect())
}

/// Calls `one` for each input, on as many threads as there are processors. Returns the results in the order of the inputs.
fn in_parallel<I: Sync, O: Send>(inputs: &[I], one: impl Fn(&I) -> Result<O> + Sync) -> Result<Vec<O>> {
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

/// Runs the tests with one bug, until enough of them have failed.
fn test<'a>(bug: &'a Bug, modules: &[Module]) -> Result<Outcome<'a>> {
    let started = Instant::now();
    let mut found_by = Vec::new();
    let suite = suite_of(bug);
    for module in modules.iter().filter(|module| module.suite == suite) {
        if !found_by.is_empty() && module.time > SLOW {
            break;
        }
        found_by.extend(failed_tests(module, Some(bug), ENOUGH - found_by.len())?);
        if found_by.len() >= ENOUGH {
            break;
        }
    }
    let verdict = if found_by.is_empty() { "SURVIVED" } else { "found" };
    println!("{:<32}{verdict}", bug.name);
    Ok(Outcome {
        bug,
        found_by,
        elapsed: started.elapsed(),
    })
}

/// Runs the tests of a module until `enough` of them have failed. Returns the names of the failed tests.
fn failed_tests(module: &Module, bug: Option<&Bug>, enough: usize) -> Result<Vec<String>> {
    let mut command = Command::new(&module.binary);
    // One thread, because the other processors run other bugs, and so that the last line names the test that does not end.
    command
        .current_dir(copy::folder().join(module.suite.folder))
        .args(["--test-threads=1", &module.prefix])
        .env_remove(copy::CHOICE)
        .stdout(Stdio::piped())
        .stderr(Stdio::null());
    if let Some(bug) = bug {
        command.env(copy::CHOICE, &bug.name);
    }
    let mut child = command
        .spawn()
        .with_context(|| format!("cannot start {}", module.binary))?;
    let stdout = child.stdout.take().context("its output is a pipe")?;
    let child = Mutex::new(child);
    // Fails if the process has ended already, which is fine.
    let kill = || child.lock().unwrap_or_else(PoisonError::into_inner).kill();
    let (done, alarm) = channel::<()>();
    let failed = thread::scope(|scope| {
        scope.spawn(move || match alarm.recv_timeout(module.timeout) {
            Err(RecvTimeoutError::Timeout) => kill(),
            _ => Ok(()),
        });
        let lines = BufReader::new(stdout).lines().map_while(Result::ok);
        let failed = lines.filter_map(|line| failed_test(&line)).take(enough).collect();
        drop(done);
        failed
    });
    // The tests have ended, or enough of them have failed.
    let _ = kill();
    child
        .into_inner()
        .unwrap_or_else(PoisonError::into_inner)
        .wait()
        .context("cannot wait for the tests")?;
    Ok(failed)
}

/// The failed test in a line of libtest's output, `test NAME ... RESULT`. Without a result, the test did not end.
fn failed_test(line: &str) -> Option<String> {
    let (name, result) = line.strip_prefix("test ")?.split_once(" ... ")?;
    match result {
        "FAILED" => Some(name.to_owned()),
        "" => Some(format!("{name} (does not end)")),
        _ => None,
    }
}

/// Table rows: each bug with its meaning and the tests that found it, one per row.
fn rows(outcomes: &[Outcome<'_>]) -> Vec<Vec<String>> {
    let row = |cells: [&str; 4]| cells.map(str::to_owned).to_vec();
    let mut rows = vec![row(["bug", "meaning", "seconds", "found by"])];
    for outcome in outcomes {
        let mut tests = outcome
            .found_by
            .iter()
            .map(|name| name.trim_start_matches("secure::"));
        let seconds = format!("{:.1}", outcome.elapsed.as_secs_f64());
        let first = tests.next().unwrap_or("NONE: it survived");
        rows.push(row([&outcome.bug.name, &outcome.bug.meaning, &seconds, first]));
        rows.extend(tests.map(|test| row(["", "", "", test])));
    }
    rows
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn every_entry_of_the_list_fits_the_sources() {
        let mut errors = Vec::new();
        for bug in &list::read().unwrap() {
            for Place { file, .. } in &bug.places {
                let planted = fs::read_to_string(shell::root().join(file))
                    .with_context(|| format!("{}: cannot read {file}", bug.entry))
                    .and_then(|text| plant::plant(file, &text, std::slice::from_ref(bug)));
                errors.extend(planted.err().map(|error| format!("{error:#}")));
            }
        }
        assert!(errors.is_empty(), "{}", errors.join("\n"));
    }

    #[test]
    fn the_tests_of_the_laboratory_run_only_for_its_own_bugs() {
        let bugs = list::read().unwrap();
        let suite = |name: &str| {
            let bug = bugs.iter().find(|bug| bug.name == name);
            suite_of(bug.unwrap()).package
        };
        assert_eq!(suite("accept-replay"), "sandhog-proto");
        assert_eq!(suite("forged-source-taken"), "sandhog-proto");
        assert_eq!(suite("arrivals-in-hash-order"), "sandhog-lab");
    }

    #[test]
    fn an_unknown_bug_is_rejected_with_the_list_of_names() {
        let bugs = list::read().unwrap();
        let error = choose(&bugs, &["accept-relpay".to_owned()])
            .unwrap_err()
            .to_string();
        assert!(error.contains("`accept-relpay`") && error.contains("accept-replay"));
        let chosen = choose(&bugs, &["accept-replay".to_owned()]).unwrap();
        assert_eq!(chosen.len(), 1);
        assert_eq!(chosen[0].name, "accept-replay");
        assert_eq!(choose(&bugs, &[]).unwrap().len(), bugs.len());
    }

    #[test]
    fn a_test_that_fails_or_does_not_end_is_named() {
        assert_eq!(failed_test("test a::b ... FAILED").as_deref(), Some("a::b"));
        assert_eq!(
            failed_test("test a::b ... ").as_deref(),
            Some("a::b (does not end)")
        );
        assert_eq!(failed_test("test a::b ... ok"), None);
        assert_eq!(failed_test("test result: FAILED. 1 passed; 1 failed"), None);
    }

    #[test]
    fn modules_are_read_from_the_list_of_tests() {
        assert_eq!(prefix("a::tests::b: test").as_deref(), Some("a::tests::"));
        assert_eq!(prefix("of_no_module: test").as_deref(), Some("of_no_module"));
        assert_eq!(prefix("3 tests, 0 benchmarks"), None);
    }

    #[test]
    fn a_survivor_is_marked_in_the_table() {
        let bug = Bug {
            name: "a-bug".to_owned(),
            meaning: "Packets are lost.".to_owned(),
            reachable: false,
            violation: None,
            entry: String::new(),
            places: Vec::new(),
        };
        let outcome = |found_by: &[&str]| Outcome {
            bug: &bug,
            found_by: found_by.iter().map(|name| (*name).to_owned()).collect(),
            elapsed: Duration::from_millis(1250),
        };
        let rows = rows(&[outcome(&["secure::a", "b"]), outcome(&[])]);
        assert_eq!(rows.len(), 4);
        assert_eq!(rows[1][2..], ["1.2", "a"]);
        assert_eq!(rows[2], ["", "", "", "b"]);
        assert!(rows[3][3].contains("survived"));
    }
}
