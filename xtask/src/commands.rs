//! The commands that README.md and CONTRIBUTING.md show: those of the laboratory are run, those of `xtask` are parsed, so
//! that no page can promise what is not there.

use std::fs;

use anyhow::{Context as _, Result, anyhow, ensure};

use crate::{shell, step::Session};

const PAGES: &[&str] = &["README.md", "CONTRIBUTING.md"];

/// Checks all pages.
///
/// # Errors
/// A command fails or does not exist, or the first page shows none.
pub(crate) fn check(_: &Session) -> Result<()> {
    let mut run = 0;
    for page in PAGES {
        let text =
            fs::read_to_string(shell::root().join(page)).with_context(|| format!("cannot read {page}"))?;
        for line in commands(&text) {
            if line == "cargo sim" || line.starts_with("cargo sim ") {
                run_in_the_laboratory(line).with_context(|| format!("{page} shows `{line}`"))?;
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
    ensure!(run > 0, "no page shows a command of the laboratory");
    Ok(())
}

/// Runs one line as a reader would, except that nothing is left behind: what it prints is thrown away, what it writes goes
/// to a folder of ours, and the scenario that the reader is to write is one of the built-in ones.
fn run_in_the_laboratory(line: &str) -> Result<()> {
    let words = line
        .strip_prefix("cargo ")
        .ok_or_else(|| anyhow!("not a cargo command"))?;
    let command_line = words.split(" > ").next().unwrap_or_default();
    let mut command = shell::cargo("");
    let mut into_folder = false;
    for word in command_line.split_whitespace() {
        match word {
            _ if into_folder => command.arg(shell::scratch("commands")?.join("out")),
            _ if word.ends_with(".toml") && !shell::root().join(word).exists() => {
                command.arg("sim/scenarios/first-light.toml")
            }
            _ => command.arg(word),
        };
        into_folder = word == "--out";
    }
    shell::read(&mut command).map(|_| println!("{line}: works"))
}

/// The commands in the fenced shell blocks of a page: each line without its prompt and its comment.
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
    fn only_shell_blocks_hold_commands() {
        let page = "```sh\ncargo sim list   # all of them\n$ cargo xtask test\n```\n```toml\nkey = 1\n```\ncargo no\n";
        assert_eq!(commands(page), ["cargo sim list", "cargo xtask test"]);
    }
}
