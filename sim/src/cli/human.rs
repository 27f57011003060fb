//! Output of `run` for a person: the story, the checks, then the numbers. Colours only on a terminal.

use std::fmt::Write;
use std::path::Path;
use std::time::Duration;

use anstyle::{AnsiColor, Style};
use sandhog_lab::record::in_words;
use sandhog_lab::report::story;

use crate::Run;

const BOLD: Style = Style::new().bold();
const DIM: Style = Style::new().dimmed();
const GOOD: Style = AnsiColor::Green.on_default().bold();
const BAD: Style = AnsiColor::Red.on_default().bold();

/// Prints all of it. anstream takes the colours out where they are not wanted.
pub(super) fn print_run(run: &Run, wall: Duration, out: Option<&Path>) {
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
    for check in &run.checks {
        let (style, mark) = if check.passed { (GOOD, "✓") } else { (BAD, "✗") };
        let _ = writeln!(text, "{style}{mark}{style:#} {}: {}", check.name, check.detail);
    }
    let _ = writeln!(text, "\n{}", numbers(run, wall));
    let _ = writeln!(text, "digest {}", run.digest);
    if let Some(out) = out {
        let _ = writeln!(
            text,
            "written to {}: trace.jsonl, capture.pcapng, diagram.mmd, diagram.svg",
            out.display()
        );
    }
    let failed = run.checks.iter().filter(|check| !check.passed).count();
    let _ = match failed {
        0 => writeln!(
            text,
            "{GOOD}passed{GOOD:#}: {}, all {} checks hold",
            run.outcome,
            run.checks.len()
        ),
        _ => writeln!(
            text,
            "{BAD}failed{BAD:#}: {}, {failed} of {} checks do not hold",
            run.outcome,
            run.checks.len()
        ),
    };
    super::print(&text);
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
        in_words(run.sim_time()),
        in_words(wall)
    )
}
