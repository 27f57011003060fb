//! Output of the simulator that the documentation shows: each shown run is repeated and compared.
//!
//! A text block whose second line is `NAME, seed N, ENGINE engine` shows a run. A line `...` stands for any number of lines.

use anyhow::{Result, bail};

use crate::{shell, typed};

/// Line of the output that ends with a duration, which differs from run to run.
const TIMED: &str = " simulated in ";

/// A run that a page shows.
#[derive(Debug, PartialEq, Eq)]
struct Shown<'a> {
    /// Number of the first line on the page, from 1.
    number: usize,
    /// The command that prints it.
    command: String,
    lines: Vec<&'a str>,
}

/// Repeats the runs that the text of a page shows.
///
/// # Errors
/// A run fails, or the page shows something else than it prints.
pub(crate) fn check(page: &str, text: &str) -> Result<()> {
    for shown in runs(text) {
        let printed = shell::read(&mut typed::command(&shown.command)?)?;
        if let Some((number, line)) = difference(&shown, &printed) {
            bail!("{page}:{number}: `{}` does not print `{line}`", shown.command);
        }
        println!("{page}:{}: `{}` prints this", shown.number, shown.command);
    }
    Ok(())
}

/// The runs that a page shows.
fn runs(text: &str) -> Vec<Shown<'_>> {
    let mut found = Vec::new();
    let mut lines = text.lines().zip(1..);
    while let Some((line, number)) = lines.next() {
        if line != "```text" {
            continue;
        }
        let lines: Vec<_> = lines
            .by_ref()
            .map(|(line, _)| line)
            .take_while(|line| *line != "```")
            .collect();
        if let Some(command) = lines.get(1).and_then(|line| command(line)) {
            found.push(Shown {
                number: number + 1,
                command,
                lines,
            });
        }
    }
    found
}

/// The command for the line `NAME, seed N, ENGINE engine`.
fn command(line: &str) -> Option<String> {
    let mut parts = line.split(", ");
    let (name, seed, engine) = (parts.next()?, parts.next()?, parts.next()?);
    let (seed, engine) = (seed.strip_prefix("seed ")?, engine.strip_suffix(" engine")?);
    Some(format!("cargo sim run {name} --seed {seed} --engine {engine}"))
}

/// The first shown line that is not printed in its place, with its number on the page.
fn difference<'a>(shown: &Shown<'a>, printed: &str) -> Option<(usize, &'a str)> {
    let is_same = |line: &str, other: &str| match line.split_once(TIMED) {
        Some((before, _)) => other.split_once(TIMED).is_some_and(|(other, _)| other == before),
        None => line == other,
    };
    let mut printed = printed.lines();
    let mut is_gap = false;
    for (line, number) in shown.lines.iter().zip(shown.number..) {
        if line.trim() == "..." {
            is_gap = true;
            continue;
        }
        let is_there = if is_gap {
            printed.any(|other| is_same(line, other))
        } else {
            printed.next().is_some_and(|other| is_same(line, other))
        };
        if !is_there {
            return Some((number, line));
        }
        is_gap = false;
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    const PAGE: &str = "# A page\n```text\nno run\n```\n```text\nTitle\na, seed 7, event engine\n\n 1 s x\n ...\n3 s simulated in 2 ms\npassed\n```\n";
    const PRINTED: &str =
        "Title\na, seed 7, event engine\n\n 1 s x\n 2 s y\n 3 s z\n3 s simulated in 1.5 ms\npassed\n";

    #[test]
    fn a_shown_run_is_known_by_its_second_line() {
        let runs = runs(PAGE);
        assert_eq!(runs.len(), 1);
        assert_eq!(
            (runs[0].number, &*runs[0].command),
            (6, "cargo sim run a --seed 7 --engine event")
        );
    }

    #[test]
    fn dots_stand_for_lines_and_durations_are_ignored() {
        assert_eq!(difference(&runs(PAGE)[0], PRINTED), None);
    }

    #[test]
    fn a_line_that_is_not_printed_is_found_with_its_number() {
        let runs = runs(PAGE);
        let difference = |printed: &str| difference(&runs[0], printed);
        assert_eq!(
            difference(&PRINTED.replace("1 s x", "1 s w")),
            Some((9, " 1 s x"))
        );
        assert_eq!(
            difference(&PRINTED.replace("passed", "failed")),
            Some((12, "passed"))
        );
    }
}
