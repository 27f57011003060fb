//! Commands that the documentation shows. Those of the simulator and of examples are run, those of `xtask` are parsed, so
//! that no page shows a command that does not exist. A run that a page shows is repeated and compared.

use std::fs;

use anyhow::{Context as _, Result, ensure};

use crate::{shell, shown, step::Session, typed, workspace};

/// Pages whose commands are checked. The last one need not exist.
const PAGES: &[&str] = &[
    "README.md",
    "CONTRIBUTING.md",
    "docs/releasing.md",
    "docs/your-protocol.md",
];

/// Checks all pages.
///
/// # Errors
/// A command fails or does not exist, or no page shows a command of the simulator.
pub(crate) fn check(_: &Session) -> Result<()> {
    workspace::build_all()?;
    let mut run = 0;
    for page in PAGES.iter().filter(|page| shell::root().join(page).exists()) {
        let text =
            fs::read_to_string(shell::root().join(page)).with_context(|| format!("cannot read {page}"))?;
        shown::check(page, &text)?;
        for line in commands(&text) {
            if line.starts_with("cargo sim") || line.contains(" --example ") {
                run_one(line).with_context(|| format!("{page} shows `{line}`"))?;
                run += 1;
            } else if let Some(words) = line.strip_prefix("cargo xtask ") {
                let words: Vec<_> = words.split_whitespace().collect();
                let help = words.contains(&"--help");
                ensure!(
                    help || crate::accepts(&words).is_ok(),
                    "{page} shows `{line}`, which does not exist"
                );
            }
        }
    }
    ensure!(run > 0, "no page shows a command of the simulator");
    Ok(())
}

/// Runs one line as a reader would, but leaves nothing behind. Its output is dropped, and its files go to a scratch folder.
/// A scenario that the reader is to write is replaced by a built-in one.
fn run_one(line: &str) -> Result<()> {
    let command_line = line.split(" > ").next().unwrap_or_default();
    let mut words = Vec::new();
    let mut is_folder = false;
    for word in command_line.split_whitespace() {
        words.push(match word {
            _ if is_folder => shell::scratch("commands")?.join("out").display().to_string(),
            _ if word.ends_with(".toml") && !shell::root().join(word).exists() => {
                "sim/scenarios/first-light.toml".to_owned()
            }
            _ => word.to_owned(),
        });
        is_folder = word == "--out";
    }
    let mut command = typed::command(&words.join(" "))?;
    shell::read(&mut command).map(|_| println!("{line}: works"))
}

/// The commands in the shell blocks of a page, without prompts and comments.
fn commands(page: &str) -> Vec<&str> {
    let mut inside = false;
    let mut found = Vec::new();
    for line in page.lines() {
        if line.trim_start().starts_with("```") {
            inside = matches!(line.trim(), "```sh" | "```console" | "```bash");
        } else if inside {
            let line = line.split(" #").next().unwrap_or_default();
            let line = line.trim().trim_start_matches("$ ");
            if !line.is_empty() {
                found.push(line);
            }
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_shell_blocks_contain_commands() {
        let page = "```sh\ncargo sim list   # all of them\n$ cargo xtask test\n```\n```toml\nkey = 1\n```\ncargo no\n";
        assert_eq!(commands(page), ["cargo sim list", "cargo xtask test"]);
    }
}
