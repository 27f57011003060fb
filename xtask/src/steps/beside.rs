//! Steps that mostly wait, run in a second process beside the other steps.

use std::{
    fs::{self, File},
    path::PathBuf,
    process::{Child, Stdio},
    time::Duration,
};

use anyhow::{Context as _, Result};

use crate::{
    shell,
    step::{Done, Outcome, Step},
    workspace,
};

/// Names of these steps. They wait for pings and time limits in network namespaces.
pub(super) const NAMES: &[&str] = &["netns", "readme"];

/// The step at which they start. It and the later ones compile nothing large.
pub(super) const FROM: &str = "equality";

/// The second process.
pub(super) struct Beside<'a> {
    steps: Vec<&'a Step>,
    child: Child,
    output: PathBuf,
}

impl<'a> Beside<'a> {
    /// Starts the steps, with their output in a file.
    ///
    /// # Errors
    /// The process or the file cannot be created.
    pub(super) fn start(steps: Vec<&'a Step>, strict: bool) -> Result<Self> {
        let output = shell::scratch("beside")?.join("output.txt");
        let file = File::create(&output).with_context(|| format!("cannot create {}", output.display()))?;
        // The step `build` has replaced the file of this program.
        let program = workspace::program("xtask")?;
        let mut command = shell::command(&program.to_string_lossy(), "test");
        if strict {
            command.arg("--strict");
        }
        for step in &steps {
            command.args(["--only", step.name]);
        }
        println!("\n== {} beside the next steps", names(&steps));
        let child = command
            .stdin(Stdio::null())
            .stderr(file.try_clone()?)
            .stdout(file)
            .spawn()
            .context("cannot start a second process")?;
        Ok(Self { steps, child, output })
    }

    /// Waits for the end, prints the output, and returns the results.
    ///
    /// # Errors
    /// The output cannot be read.
    pub(super) fn finish(mut self) -> Result<Vec<Done>> {
        let status = self.child.wait()?;
        let output = String::from_utf8_lossy(&fs::read(&self.output)?).into_owned();
        println!(
            "\n== {} have run beside the last steps\n{output}",
            names(&self.steps)
        );
        let lost = format!("the process ended with {status}; its output is above");
        let results = self.steps.iter();
        Ok(results
            .map(|step| result(step.name, &output).unwrap_or_else(|| failed(step, &lost)))
            .collect())
    }
}

/// The result of a step that has not run, for this reason.
pub(super) fn failed(step: &Step, reason: &str) -> Done {
    Done {
        name: step.name,
        outcome: Outcome::Failed(reason.to_owned()),
        elapsed: Duration::ZERO,
        processor: Duration::ZERO,
    }
}

fn names(steps: &[&Step]) -> String {
    let names: Vec<_> = steps.iter().map(|step| step.name).collect();
    names.join(" and ")
}

/// The result of a step, from its row in the table and from the line with the reason.
fn result(name: &'static str, output: &str) -> Option<Done> {
    let seconds = |text: &str| Duration::try_from_secs_f64(text.parse().ok()?).ok();
    output.lines().rev().find_map(|line| {
        let words: Vec<_> = line.split_whitespace().collect();
        let &[first, elapsed, processor, word] = &words[..] else {
            return None;
        };
        if first != name {
            return None;
        }
        let reason = || {
            let start = format!("{name} {word}: ");
            let line = output.lines().rev().find_map(|line| line.strip_prefix(&start));
            line.unwrap_or("the reason is above").to_owned()
        };
        let outcome = match word {
            "passed" => Outcome::Passed,
            "FAILED" => Outcome::Failed(reason()),
            "skipped" => Outcome::Skipped(reason()),
            _ => return None,
        };
        Some(Done {
            name,
            outcome,
            elapsed: seconds(elapsed)?,
            processor: seconds(processor)?,
        })
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::steps::summary;

    fn done(name: &'static str, outcome: Outcome) -> Done {
        Done {
            name,
            outcome,
            elapsed: Duration::from_millis(2500),
            processor: Duration::from_millis(1500),
        }
    }

    #[test]
    fn the_results_are_read_from_the_summary_of_the_second_process() {
        let reason = "one test has failed";
        let steps = [
            done("netns", Outcome::Failed(reason.to_owned())),
            done("readme", Outcome::Passed),
        ];
        let text = summary(&steps, Duration::from_secs(5));
        let failed = result("netns", &text).expect("a row");
        assert_eq!(
            (failed.outcome.word(), failed.outcome.reason()),
            ("FAILED", reason)
        );
        let passed = result("readme", &text).expect("a row");
        assert_eq!(passed.outcome.word(), "passed");
        assert_eq!(
            (passed.elapsed.as_millis(), passed.processor.as_millis()),
            (2500, 1500)
        );
    }

    #[test]
    fn a_step_without_a_row_has_no_result() {
        let text = summary(&[done("readme", Outcome::Passed)], Duration::ZERO);
        assert!(result("netns", &text).is_none());
        assert!(result("readme", "readme 1.0 0.5 unknown\n").is_none());
    }
}
