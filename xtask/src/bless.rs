//! `cargo xtask bless`: stores the present results of the built-in scenarios as the expected ones.
//!
//! The results are the digests of the committed seeds, and the story of one run, which the tests compare with a snapshot.

use std::{collections::BTreeSet, fs, path::PathBuf, process::Command};

use anyhow::{Context as _, Result};

use crate::{
    golden::{self, Digests},
    shell, workspace,
};

/// Rewrites the digests and the stories of `scenarios`, or of all built-in scenarios if the list is empty.
///
/// # Errors
/// A scenario does not exist, a check of a run fails, or a file cannot be written.
pub(crate) fn run(scenarios: &[String]) -> Result<()> {
    let program = workspace::build_program("digests")?;
    let digests = || Command::new(&program);
    let mut command = digests();
    command.args(["--engine", "event", "--seeds", &golden::SEEDS.to_string()]);
    let text = shell::read(command.args(scenarios)).context(
        "the digests cannot be computed. A new scenario must be in the list of sim/src/builtin.rs first",
    )?;
    let names: BTreeSet<String> = golden::parse(&text)?.into_keys().map(|(name, _)| name).collect();
    write_digests(&text, scenarios)?;
    for name in &names {
        write_story(name, &shell::read(digests().args(["--story", name]))?)?;
    }
    println!("Read the changes before you commit them: git diff -- tests");
    Ok(())
}

fn write_digests(text: &str, scenarios: &[String]) -> Result<()> {
    let file = golden::path();
    let old = fs::read_to_string(&file).unwrap_or_default();
    let new = if scenarios.is_empty() {
        text.to_owned()
    } else {
        merge(&old, text)?
    };
    let summary = summary(&golden::parse(&old)?, &golden::parse(&new)?);
    fs::write(&file, new).with_context(|| format!("cannot write {}", file.display()))?;
    println!("tests/golden/digests.txt: {summary}");
    Ok(())
}

/// The old lines with those of the scenarios in `new` replaced. A scenario that was not there comes last.
fn merge(old: &str, new: &str) -> Result<String> {
    let name = |line: &str| line.split(' ').next().unwrap_or_default().to_owned();
    let mut waiting: Vec<&str> = new.lines().collect();
    let names: BTreeSet<_> = waiting.iter().map(|line| name(line)).collect();
    let mut lines = Vec::new();
    for line in old.lines() {
        let name_of_line = name(line);
        if !names.contains(&name_of_line) {
            lines.push(line);
            continue;
        }
        // All lines of a scenario take the place of its first line.
        lines.extend(waiting.iter().filter(|line| name(line) == name_of_line));
        waiting.retain(|line| name(line) != name_of_line);
    }
    lines.extend(waiting);
    let text = lines.join("\n") + "\n";
    golden::parse(&text)?;
    Ok(text)
}

fn summary(before: &Digests, after: &Digests) -> String {
    let new = after.keys().filter(|run| !before.contains_key(run)).count();
    let changed = after
        .iter()
        .filter(|(run, digest)| before.get(run).is_some_and(|old| old != *digest))
        .count();
    let removed = before.keys().filter(|run| !after.contains_key(run)).count();
    format!(
        "{} digests; {new} new, {changed} changed, {removed} removed",
        after.len()
    )
}

/// The snapshot of a scenario, from the root of the checkout.
fn snapshot(name: &str) -> PathBuf {
    format!("tests/tests/snapshots/story@{name}.snap").into()
}

fn write_story(name: &str, story: &str) -> Result<()> {
    let path = snapshot(name);
    let file = shell::root().join(&path);
    let text = format!("---\nsource: tests/tests/stories.rs\n---\n{}\n", story.trim_end());
    let old = fs::read_to_string(&file).ok();
    if old.as_ref() == Some(&text) {
        println!("{}: unchanged", path.display());
        return Ok(());
    }
    fs::write(&file, &text).with_context(|| format!("cannot write {}", file.display()))?;
    let word = if old.is_some() { "changed" } else { "new" };
    println!("{}: {word}, {} lines", path.display(), text.lines().count());
    let list = fs::read_to_string(shell::root().join("tests/tests/main.rs")).unwrap_or_default();
    if !list.contains(&format!("\"{name}\"")) {
        println!("   No test reads it yet. Add the scenario to the list in tests/tests/main.rs.");
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_lines_of_the_given_scenarios_are_replaced() {
        let old = "a 0 x\na 1 x\nb 0 x\nb 1 x\nc 0 x\n";
        assert_eq!(
            merge(old, "b 0 y\nb 1 y\nb 2 y\n").unwrap(),
            "a 0 x\na 1 x\nb 0 y\nb 1 y\nb 2 y\nc 0 x\n"
        );
        assert_eq!(merge("a 0 x\n", "d 0 y\n").unwrap(), "a 0 x\nd 0 y\n");
    }

    #[test]
    fn the_summary_counts_new_changed_and_removed_digests() {
        let digests = |text| golden::parse(text).unwrap();
        assert_eq!(
            summary(
                &digests("a 0 x\na 1 x\nb 0 x\n"),
                &digests("a 0 x\na 1 y\nc 0 x\n")
            ),
            "3 digests; 1 new, 1 changed, 1 removed"
        );
    }
}
