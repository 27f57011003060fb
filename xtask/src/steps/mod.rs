//! The list of all checks, in the order in which they run: quick ones first, so that a slip shows early.

mod capture;
mod snapshots;
mod style;
mod suites;

use std::time::Duration;

use anyhow::{Result, bail};

use crate::{
    commands, equality, package, readme,
    step::{self, Outcome, Session, Step},
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
        about: "clippy has nothing to say",
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
        about: "licences, banned crates and sources are those of deny.toml",
        needs: &[CARGO_DENY],
        check: style::deny,
    },
    Step {
        name: "proto-pure",
        about: "the core imports nothing and knows no source of entropy",
        needs: &[WASM_UNKNOWN],
        check: wasm::core_is_pure,
    },
    Step {
        name: "tests",
        about: "all tests, natively",
        needs: &[],
        check: suites::native,
    },
    Step {
        name: "snapshots",
        about: "every committed snapshot belongs to a test",
        needs: &[],
        check: snapshots::none_is_unreferenced,
    },
    Step {
        name: "package",
        about: "the Debian package has what it must have, runs, and keeps keys when it is purged",
        needs: package::STEP_NEEDS,
        check: suites::package,
    },
    Step {
        name: "wasi",
        about: "the tests of proto, netstack, sim and tests on wasm32-wasip1 under node",
        needs: &[NODE, WASM_WASI],
        check: suites::wasi,
    },
    Step {
        name: "equality",
        about: "every built-in scenario: all engines and targets give the committed digests for 4 seeds, the event engine for 50",
        needs: &[NODE, NPM, CHROMIUM, WASM_WASI, WASM_UNKNOWN],
        check: equality::check,
    },
    Step {
        name: "browser",
        about: "the page plays a scenario in headless Chromium",
        needs: &[NODE, NPM, CHROMIUM, WASM_UNKNOWN],
        check: suites::browser,
    },
    Step {
        name: "netns",
        about: "the real program in network namespaces: what crosses, what does not, what is left behind; with a table of what each test took",
        needs: &[NAMESPACES],
        check: suites::namespaces,
    },
    Step {
        name: "capture",
        about: "tshark reads the capture and finds nothing malformed",
        needs: &[TSHARK],
        check: capture::tshark_reads_it,
    },
    Step {
        name: "commands",
        about: "the commands the pages promise work",
        needs: &[],
        check: commands::check,
    },
    Step {
        name: "readme",
        about: "what README.md has people with two Linux machines type, typed on two machines made of namespaces",
        needs: &[NAMESPACES, TERMINAL, CURL, PYTHON],
        check: readme::check,
    },
];

/// Prints the name of each step and what it checks.
pub(crate) fn list() {
    let rows: Vec<_> = STEPS
        .iter()
        .map(|step| format!("{:<12}{}", step.name, step.about))
        .collect();
    println!("{}", rows.join("\n"));
}

/// Runs all steps, or those named in `only`, and ends with the table and the line of counts; whether none failed.
///
/// # Errors
/// A name in `only` is not that of a step.
pub(crate) fn run(strict: bool, only: &[String]) -> Result<bool> {
    if let Some(unknown) = only
        .iter()
        .find(|name| STEPS.iter().all(|step| step.name != **name))
    {
        let names: Vec<_> = STEPS.iter().map(|step| step.name).collect();
        bail!("there is no step `{unknown}`; the steps are {}", names.join(", "));
    }
    let session = Session { strict };
    let chosen = STEPS
        .iter()
        .filter(|step| only.is_empty() || only.iter().any(|name| name == step.name));
    let results: Vec<_> = chosen.map(|step| (step, step::run(step, &session))).collect();
    println!("\n{}", summary(&results));
    Ok(!results
        .iter()
        .any(|(_, (outcome, _))| matches!(outcome, Outcome::Failed(_))))
}

/// The table of results, the reasons of what did not pass, and the counts alone on the last line.
fn summary(results: &[(&Step, (Outcome, Duration))]) -> String {
    let header = vec!["step".to_owned(), "seconds".to_owned(), "result".to_owned()];
    let row = |(step, (outcome, elapsed)): &(&Step, (Outcome, Duration))| {
        vec![
            step.name.to_owned(),
            format!("{:.1}", elapsed.as_secs_f64()),
            outcome.word().to_owned(),
        ]
    };
    let rows: Vec<_> = std::iter::once(header).chain(results.iter().map(row)).collect();
    let mut text = table::render(&rows);
    for (step, (outcome, _)) in results
        .iter()
        .filter(|(_, (outcome, _))| !outcome.reason().is_empty())
    {
        text += &format!("\n{} {}: {}\n", step.name, outcome.word(), outcome.reason());
    }
    let count = |word: &str| {
        results
            .iter()
            .filter(|(_, (outcome, _))| outcome.word() == word)
            .count()
    };
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
        let results = [
            (&STEPS[0], (Outcome::Passed, Duration::from_millis(1250))),
            (&STEPS[1], (Outcome::Failed("no".to_owned()), Duration::ZERO)),
            (&STEPS[2], (Outcome::Skipped("absent".to_owned()), Duration::ZERO)),
        ];
        let text = summary(&results);
        assert_eq!(text.lines().last(), Some("1 passed, 1 failed, 1 skipped"));
        assert!(text.contains("doc skipped: absent"));
    }

    #[test]
    fn an_unknown_step_is_refused_with_the_names_there_are() {
        let error = run(false, &["clipy".to_owned()]).unwrap_err().to_string();
        assert!(error.contains("`clipy`") && error.contains("clippy"));
    }

    #[test]
    fn step_names_are_unique() {
        let names: std::collections::BTreeSet<_> = STEPS.iter().map(|step| step.name).collect();
        assert_eq!(names.len(), STEPS.len());
    }
}
