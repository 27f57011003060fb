//! One step of `cargo xtask test`: its needs, its time and its result.

use std::time::{Duration, Instant};

use anyhow::Result;

use crate::tools::Tool;

/// A named check.
pub(crate) struct Step {
    /// What `--only` takes.
    pub(crate) name: &'static str,
    /// What it checks, in one sentence.
    pub(crate) about: &'static str,
    /// What must be there before it can run.
    pub(crate) needs: &'static [Tool],
    /// The check itself.
    pub(crate) check: fn(&Session) -> Result<()>,
}

/// What the steps of one `cargo xtask test` share.
pub(crate) struct Session {
    /// Nothing may be skipped.
    pub(crate) strict: bool,
}

/// How a step ended.
pub(crate) enum Outcome {
    /// The check holds.
    Passed,
    /// It does not, or it could not be run although it had to; why.
    Failed(String),
    /// Something it needs is missing; what, and how to get it.
    Skipped(String),
}

impl Outcome {
    /// The word in the table.
    pub(crate) fn word(&self) -> &'static str {
        match self {
            Self::Passed => "passed",
            Self::Failed(_) => "FAILED",
            Self::Skipped(_) => "skipped",
        }
    }

    /// Why it did not pass; empty when it did.
    pub(crate) fn reason(&self) -> &str {
        match self {
            Self::Passed => "",
            Self::Failed(reason) | Self::Skipped(reason) => reason,
        }
    }
}

/// Runs one step and prints what it does; returns how it ended and the wall time it took.
pub(crate) fn run(step: &Step, session: &Session) -> (Outcome, Duration) {
    println!("\n== {}: {}", step.name, step.about);
    let started = Instant::now();
    let outcome = match missing(step.needs, session.strict) {
        Some(reason) if session.strict => Outcome::Failed(reason),
        Some(reason) => Outcome::Skipped(reason),
        None => match (step.check)(session) {
            Ok(()) => Outcome::Passed,
            Err(error) => Outcome::Failed(format!("{error:#}")),
        },
    };
    let elapsed = started.elapsed();
    println!(
        "== {}: {} after {:.1} s",
        step.name,
        outcome.word(),
        elapsed.as_secs_f64()
    );
    if !outcome.reason().is_empty() {
        println!("   {}", outcome.reason());
    }
    (outcome, elapsed)
}

/// The first of `needs` that is not to be had, with how to get it.
pub(crate) fn missing(needs: &[Tool], strict: bool) -> Option<String> {
    needs.iter().find_map(|tool| {
        if (tool.present)() {
            return None;
        }
        if strict {
            match tool.obtain() {
                Ok(true) => return None,
                Ok(false) => {}
                Err(error) => return Some(format!("{} cannot be installed: {error:#}", tool.name)),
            }
        }
        Some(format!("{} is missing; to get it: {}", tool.name, tool.advice))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const ABSENT: Tool = Tool {
        name: "unobtainium",
        present: || false,
        advice: "there is none",
        install: None,
    };

    fn outcome(needs: &'static [Tool], check: fn(&Session) -> Result<()>, strict: bool) -> Outcome {
        run(
            &Step {
                name: "probe",
                about: "a step of the tests",
                needs,
                check,
            },
            &Session { strict },
        )
        .0
    }

    #[test]
    fn a_missing_tool_skips_the_step_and_names_the_way_to_it() {
        let outcome = outcome(&[ABSENT], |_| Ok(()), false);
        assert!(matches!(&outcome, Outcome::Skipped(_)));
        assert!(outcome.reason().contains("unobtainium") && outcome.reason().contains("there is none"));
    }

    #[test]
    fn a_missing_tool_fails_the_step_in_strict_mode() {
        assert!(matches!(outcome(&[ABSENT], |_| Ok(()), true), Outcome::Failed(_)));
    }

    #[test]
    fn a_failing_check_fails_the_step() {
        assert!(
            matches!(outcome(&[], |_| anyhow::bail!("no"), false), Outcome::Failed(reason) if reason == "no")
        );
    }
}
