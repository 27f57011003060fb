//! All checks, in the order in which they run. Quick checks run first, so that a small mistake shows early.

mod beside;
mod capture;
mod snapshots;
mod style;
mod suites;

use std::time::{Duration, Instant};

use anyhow::{Result, bail};

use self::beside::Beside;
use crate::{
    api, commands, equality, package, picture, publish, readme, shell,
    step::{self, Done, Outcome, Session, Step},
    table,
    tools::{
        CARGO_DENY, CHROMIUM, CURL, NAMESPACES, NODE, NPM, PYTHON, TERMINAL, TSHARK, WASM_UNKNOWN, WASM_WASI,
    },
    wasm,
};

const STEPS: &[Step] = &[
    Step {
        name: "fmt",
        about: "the sources are formatted",
        needs: &[],
        check: style::fmt,
    },
    Step {
        name: "clippy",
        about: "clippy finds nothing",
        needs: &[],
        check: style::clippy,
    },
    Step {
        name: "doc",
        about: "the documentation builds without a warning",
        needs: &[],
        check: style::doc,
    },
    Step {
        name: "deny",
        about: "licences, banned crates and sources follow deny.toml",
        needs: &[CARGO_DENY],
        check: style::deny,
    },
    Step {
        name: "build",
        about: "all programs, tests and examples compile; the later steps run them",
        needs: &[],
        check: suites::build,
    },
    Step {
        name: "tests",
        about: "all tests, natively",
        needs: &[],
        check: suites::native,
    },
    Step {
        name: "threads",
        about: "the code that threads share is correct in every order of its steps",
        needs: &[],
        check: suites::threads,
    },
    Step {
        name: "snapshots",
        about: "every committed snapshot is read by a test",
        needs: &[],
        check: snapshots::none_is_unreferenced,
    },
    Step {
        name: "picture",
        about: "docs/page.png shows the present page",
        needs: &[],
        check: picture::check,
    },
    Step {
        name: "api",
        about: "the public API of the libraries is that of the listings in docs/api",
        needs: &[],
        check: api::check,
    },
    Step {
        name: "publish",
        about: "each library can be packed for crates.io, and its package compiles",
        needs: &[],
        check: publish::check,
    },
    Step {
        name: "package",
        about: "the Debian package has all its files, runs, and keeps keys when it is purged",
        needs: package::STEP_NEEDS,
        check: suites::package,
    },
    Step {
        name: "wasi",
        about: "the tests of the portable packages on wasm32-wasip1 under node",
        needs: &[NODE, WASM_WASI],
        check: suites::wasi,
    },
    Step {
        name: "proto-pure",
        about: "the core imports nothing and has no source of entropy",
        needs: &[WASM_UNKNOWN],
        check: wasm::core_is_pure,
    },
    Step {
        name: "equality",
        about: "all engines and targets give the committed digests: for 4 seeds each, in the event engine for 50",
        needs: &[NODE, WASM_WASI],
        check: equality::check,
    },
    Step {
        name: "browser",
        about: "the page works in headless Chromium; ML-KEM passes its tests and every scenario gives its digests there",
        needs: &[NODE, NPM, CHROMIUM, WASM_UNKNOWN, WASM_WASI],
        check: suites::browser,
    },
    Step {
        name: "netns",
        about: "the real program in network namespaces: traffic, errors, cleanup; with a table of times",
        needs: &[NAMESPACES],
        check: suites::namespaces,
    },
    Step {
        name: "capture",
        about: "tshark reads a capture and finds nothing malformed",
        needs: &[TSHARK],
        check: capture::tshark_reads_it,
    },
    Step {
        name: "commands",
        about: "the commands of the documentation work",
        needs: &[],
        check: commands::check,
    },
    Step {
        name: "readme",
        about: "the commands of README.md for two Linux machines work on two machines made of namespaces",
        needs: &[NAMESPACES, TERMINAL, CURL, PYTHON],
        check: readme::check,
    },
];

/// Prints the name of each step and the rule that it checks.
pub(crate) fn list() {
    let rows: Vec<_> = STEPS
        .iter()
        .map(|step| format!("{:<12}{}", step.name, step.about))
        .collect();
    println!("{}", rows.join("\n"));
}

/// Runs all steps, or those named in `only`, and prints the table and the counts. Returns true if none failed.
///
/// # Errors
/// A name in `only` is not the name of a step.
pub(crate) fn run(strict: bool, only: &[String]) -> Result<bool> {
    if let Some(unknown) = only
        .iter()
        .find(|name| STEPS.iter().all(|step| step.name != **name))
    {
        let names: Vec<_> = STEPS.iter().map(|step| step.name).collect();
        bail!("there is no step `{unknown}`; the steps are {}", names.join(", "));
    }
    if only.is_empty() {
        shell::compile_once();
    }
    let session = Session { strict };
    let is_chosen = |step: &&Step| only.is_empty() || only.iter().any(|name| name == step.name);
    let chosen: Vec<_> = STEPS.iter().filter(is_chosen).collect();
    let (waiting, working) = chosen
        .iter()
        .partition::<Vec<&Step>, _>(|step| only.is_empty() && beside::NAMES.contains(&step.name));
    let started = Instant::now();
    let mut second = None;
    let mut results = Vec::new();
    for (step, number) in working.iter().zip(1..) {
        if step.name == beside::FROM && !waiting.is_empty() {
            second = Some(Beside::start(waiting.clone(), strict));
        }
        results.push(step::run(step, &session, &format!("{number}/{}", working.len())));
    }
    if let Some(second) = second {
        // A second process that cannot start must not lose the results of the other steps.
        let done = second.and_then(Beside::finish);
        results.extend(done.unwrap_or_else(|error| {
            let failed = |step: &&Step| beside::failed(step, &format!("{error:#}"));
            waiting.iter().map(failed).collect()
        }));
    }
    println!("\n{}", summary(&results, started.elapsed()));
    Ok(!results
        .iter()
        .any(|done| matches!(done.outcome, Outcome::Failed(_))))
}

/// The table of results with the wall time of the whole run, the reasons of steps that did not pass, and the counts alone on the
/// last line.
fn summary(results: &[Done], elapsed: Duration) -> String {
    let header = ["step", "seconds", "CPU seconds", "result"];
    let seconds = |time: Duration| format!("{:.1}", time.as_secs_f64());
    let row = |name: &str, elapsed, processor, word: &str| {
        vec![
            name.to_owned(),
            seconds(elapsed),
            seconds(processor),
            word.to_owned(),
        ]
    };
    let mut rows = vec![header.map(str::to_owned).to_vec()];
    rows.extend(
        results
            .iter()
            .map(|done| row(done.name, done.elapsed, done.processor, done.outcome.word())),
    );
    let processor = results.iter().map(|done| done.processor).sum();
    rows.push(row("all", elapsed, processor, ""));
    let mut text = table::render(&rows);
    for done in results.iter().filter(|done| !done.outcome.reason().is_empty()) {
        text += &format!(
            "\n{} {}: {}\n",
            done.name,
            done.outcome.word(),
            done.outcome.reason()
        );
    }
    let count = |word: &str| results.iter().filter(|done| done.outcome.word() == word).count();
    text + &format!(
        "\n{} passed, {} failed, {} skipped",
        count("passed"),
        count("FAILED"),
        count("skipped")
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_line_counts_the_results() {
        let done = |name, outcome| Done {
            name,
            outcome,
            elapsed: Duration::from_millis(1250),
            processor: Duration::ZERO,
        };
        let results = [
            done("fmt", Outcome::Passed),
            done("clippy", Outcome::Failed("no".to_owned())),
            done("doc", Outcome::Skipped("absent".to_owned())),
        ];
        let text = summary(&results, Duration::from_millis(3750));
        assert_eq!(text.lines().last(), Some("1 passed, 1 failed, 1 skipped"));
        assert!(
            text.contains("doc skipped: absent") && text.contains("3.8"),
            "{text}"
        );
    }

    #[test]
    fn an_unknown_step_is_rejected_with_the_list_of_names() {
        let error = run(false, &["clipy".to_owned()]).unwrap_err().to_string();
        assert!(error.contains("`clipy`") && error.contains("clippy"));
    }

    #[test]
    fn step_names_are_unique() {
        let names: std::collections::BTreeSet<_> = STEPS.iter().map(|step| step.name).collect();
        assert_eq!(names.len(), STEPS.len());
    }
}
