//! Output of `run` for people: the story, the checks, the numbers. Colours only on a terminal.

use std::fmt::Write;
use std::path::Path;
use std::time::Duration;

use anstyle::{AnsiColor, Style};
use sandhog_lab::CheckResult;
use sandhog_lab::record::format_duration;
use sandhog_lab::report::story;

use super::BadInput;
use crate::Run;
use crate::plain_text::escaped;

const BOLD: Style = Style::new().bold();
const DIM: Style = Style::new().dimmed();
const GOOD: Style = AnsiColor::Green.on_default().bold();
const BAD: Style = AnsiColor::Red.on_default().bold();

/// Prints the run. anstream removes the colours if the output is not a terminal.
pub(super) fn print_run(run: &Run, wall: Duration, out: Option<&Path>) -> Result<(), BadInput> {
    let mut text = format!("{BOLD}{}{BOLD:#}\n", run.title);
    let _ = writeln!(
        text,
        "{DIM}{}, seed {}, {} engine{DIM:#}\n",
        run.name,
        run.seed,
        run.engine.name()
    );
    text.push_str(&story(run));
    text.push('\n');
    // The failed checks follow at the end, where nobody overlooks them.
    for check in run.checks.iter().filter(|check| check.passed) {
        text.push_str(&line(check));
    }
    let _ = writeln!(text, "\n{}", numbers(run, wall));
    let _ = writeln!(text, "digest {}", run.digest);
    if let Some(out) = out {
        let _ = writeln!(
            text,
            "written to {}: trace.jsonl, capture.pcapng, diagram.mmd, diagram.svg",
            escaped(&out.display().to_string())
        );
    }
    text.push_str(&summary(run));
    super::print(&text)
}

/// One check. A check that had nothing to examine has a dash instead of a tick.
fn line(check: &CheckResult) -> String {
    let (style, mark) = match (check.passed, check.tested) {
        (true, true) => (GOOD, "✓"),
        (true, false) => (DIM, "–"),
        (false, _) => (BAD, "✗"),
    };
    format!("{style}{mark}{style:#} {}: {}\n", check.name, check.detail)
}

/// The numbers of checks, and then the failed checks.
fn summary(run: &Run) -> String {
    let count = |wanted: fn(&CheckResult) -> bool| run.checks.iter().filter(|check| wanted(check)).count();
    let passed = count(|check| check.passed && check.tested);
    let untested = match count(|check| check.passed && !check.tested) {
        0 => String::new(),
        count => format!(", {count} had nothing to examine"),
    };
    let total = run.checks.len();
    let numbers = format!("{}, {passed} of {total} checks passed{untested}", run.outcome);
    match count(|check| !check.passed) {
        0 => format!("{GOOD}passed{GOOD:#}: {numbers}\n"),
        failed => {
            let checks = run.checks.iter().filter(|check| !check.passed).map(line);
            format!(
                "{BAD}failed{BAD:#}: {numbers}, {failed} failed:\n{}",
                checks.collect::<String>()
            )
        }
    }
}

fn numbers(run: &Run, wall: Duration) -> String {
    let count = |name: &str| run.counters.get(name).copied().unwrap_or_default();
    let lost: Vec<String> = run
        .counters
        .iter()
        .filter_map(|(name, count)| Some(format!("{count} lost ({})", name.strip_prefix("lost.")?)))
        .collect();
    let mut parts = vec![
        format!("{} datagrams", count("datagrams.made")),
        format!("{} delivered", count("datagrams.delivered")),
    ];
    parts.extend(lost);
    parts.push(format!("{} in flight at the end", count("datagrams.in-flight")));
    format!(
        "{}\n{} simulated in {}",
        parts.join(", "),
        format_duration(run.sim_time()),
        format_duration(wall)
    )
}
