//! One step of `cargo xtask test`: its tools, its time and its result.

use std::{
    fs,
    time::{Duration, Instant},
};

use anyhow::Result;

use crate::tools::Tool;

/// A named check.
pub(crate) struct Step {
    /// Name, for `--only`.
    pub(crate) name: &'static str,
    /// The rule that is checked, in one sentence.
    pub(crate) about: &'static str,
    /// Tools without which the step cannot run.
    pub(crate) needs: &'static [Tool],
    /// The check itself.
    pub(crate) check: fn(&Session) -> Result<()>,
}

/// Settings that the steps of one `cargo xtask test` share.
pub(crate) struct Session {
    /// True if nothing may be skipped.
    pub(crate) strict: bool,
}

/// Result of a step.
pub(crate) enum Outcome {
    /// The check passed.
    Passed,
    /// The check failed, or it could not run although it had to. With the reason.
    Failed(String),
    /// A tool is missing. With its name and how to install it.
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

    /// The reason of a failed or skipped step; empty for a step that passed.
    pub(crate) fn reason(&self) -> &str {
        match self {
            Self::Passed => "",
            Self::Failed(reason) | Self::Skipped(reason) => reason,
        }
    }
}

/// A step that has run.
pub(crate) struct Done {
    pub(crate) name: &'static str,
    pub(crate) outcome: Outcome,
    /// Wall time.
    pub(crate) elapsed: Duration,
    /// Processor time of all programs that the step started; zero if the system does not tell it.
    pub(crate) processor: Duration,
}

/// Runs one step and prints its output. `position` is shown first, for instance `3/18`.
pub(crate) fn run(step: &Step, session: &Session, position: &str) -> Done {
    println!("\n== {position} {}: {}", step.name, step.about);
    let (started, before) = (Instant::now(), processor_time());
    let outcome = match missing(step.needs) {
        Some(reason) if session.strict => Outcome::Failed(reason),
        Some(reason) => Outcome::Skipped(reason),
        None => match (step.check)(session) {
            Ok(()) => Outcome::Passed,
            Err(error) => Outcome::Failed(format!("{error:#}")),
        },
    };
    let done = Done {
        name: step.name,
        outcome,
        elapsed: started.elapsed(),
        processor: processor_time().saturating_sub(before),
    };
    println!(
        "== {}: {} after {:.1} s",
        done.name,
        done.outcome.word(),
        done.elapsed.as_secs_f64()
    );
    if !done.outcome.reason().is_empty() {
        println!("   {}", done.outcome.reason());
    }
    done
}

/// Installs missing tools if cargo or rustup can. Returns the first that is still missing, and how to install it.
pub(crate) fn missing(needs: &[Tool]) -> Option<String> {
    needs.iter().find_map(|tool| {
        if (tool.present)() {
            return None;
        }
        match tool.obtain() {
            Ok(true) => None,
            Ok(false) => Some(format!(
                "{} is missing. To install it: {}",
                tool.name, tool.advice
            )),
            Err(error) => Some(format!(
                "{} cannot be installed: {error:#}. Try it by hand: {}",
                tool.name, tool.advice
            )),
        }
    })
}

/// Processor time of all programs that this one has started and that have ended (proc_pid_stat(5), cutime and cstime).
fn processor_time() -> Duration {
    let text = fs::read_to_string("/proc/self/stat").unwrap_or_default();
    // The name of the program is in parentheses and may contain blanks. The field after it is the third.
    let fields = text.rsplit_once(')').map_or("", |(_, fields)| fields);
    let ticks = fields.split_whitespace().skip(13).take(2);
    let ticks: u64 = ticks.filter_map(|field| field.parse::<u64>().ok()).sum();
    // A tick is 10 ms for programs, independently of the kernel's timer.
    Duration::from_millis(ticks * 10)
}

#[cfg(test)]
mod tests {
    use super::*;

    const ABSENT: Tool = Tool {
        name: "unobtainium",
        present: || false,
        advice: "no package has it",
        install: None,
    };

    const UNINSTALLABLE: Tool = Tool {
        install: Some(|| crate::shell::command("false", "")),
        ..ABSENT
    };

    fn outcome(needs: &'static [Tool], check: fn(&Session) -> Result<()>, strict: bool) -> Outcome {
        let step = Step {
            name: "probe",
            about: "a step of the tests",
            needs,
            check,
        };
        run(&step, &Session { strict }, "1/1").outcome
    }

    #[test]
    fn a_missing_tool_skips_the_step_with_instructions() {
        let outcome = outcome(&[ABSENT], |_| Ok(()), false);
        assert!(matches!(&outcome, Outcome::Skipped(_)));
        assert!(outcome.reason().contains("unobtainium") && outcome.reason().contains("no package has it"));
    }

    #[test]
    fn a_missing_tool_fails_the_step_in_strict_mode() {
        assert!(matches!(outcome(&[ABSENT], |_| Ok(()), true), Outcome::Failed(_)));
    }

    #[test]
    fn an_installation_that_fails_is_tried_without_strict_and_skips_the_step() {
        let outcome = outcome(&[UNINSTALLABLE], |_| Ok(()), false);
        assert!(matches!(&outcome, Outcome::Skipped(reason) if reason.contains("cannot be installed")));
    }

    #[test]
    fn a_failing_check_fails_the_step() {
        assert!(
            matches!(outcome(&[], |_| anyhow::bail!("no"), false), Outcome::Failed(reason) if reason == "no")
        );
    }
}
