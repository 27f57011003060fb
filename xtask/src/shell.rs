//! Start of other programs, always in the root of the checkout, with the command line printed first.

use std::{
    env,
    io::{BufRead as _, BufReader},
    path::{Path, PathBuf},
    process::{Command, Stdio},
    sync::OnceLock,
};

use anyhow::{Context as _, Result, bail, ensure};

/// The root of the checkout.
pub(crate) fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .parent()
        .expect("the folder of xtask is in the root")
}

/// The folder that cargo builds into: `CARGO_TARGET_DIR` or `target`.
pub(crate) fn target_dir() -> PathBuf {
    env::var_os("CARGO_TARGET_DIR").map_or_else(|| root().join("target"), |folder| root().join(folder))
}

/// An empty folder for the files of one step: `target/xtask/NAME`.
pub(crate) fn scratch(name: &str) -> Result<PathBuf> {
    let folder = target_dir().join("xtask").join(name);
    if folder.exists() {
        std::fs::remove_dir_all(&folder).with_context(|| format!("cannot empty {}", folder.display()))?;
    }
    std::fs::create_dir_all(&folder).with_context(|| format!("cannot create {}", folder.display()))?;
    Ok(folder)
}

/// A program to be started in the root of the checkout. Its arguments are the words of `line`, split at blanks.
pub(crate) fn command(program: &str, line: &str) -> Command {
    let mut command = Command::new(program);
    command.args(line.split_whitespace()).current_dir(root());
    // Cargo tells this program about its own package. The build script of `ring` reads these variables, so cargo would
    // compile `ring` again whenever a person calls cargo directly.
    let is_about_the_package =
        |name: &str| name.starts_with("CARGO_PKG_") || name.starts_with("CARGO_MANIFEST_");
    for (name, _) in env::vars_os() {
        if name.to_str().is_some_and(is_about_the_package) {
            command.env_remove(name);
        }
    }
    command
}

/// Set if cargo must write no data for incremental compilation.
static COMPLETE: OnceLock<()> = OnceLock::new();

/// Switches off incremental compilation in this program's calls of cargo. A run of all checks compiles everything once, and the
/// data for the next compilation would cost a tenth of its time. Cargo keeps the files of incremental compilation apart.
pub(crate) fn compile_once() {
    COMPLETE.get_or_init(|| ());
}

/// `cargo` with the words of `line`.
pub(crate) fn cargo(line: &str) -> Command {
    let mut command = command("cargo", line);
    if COMPLETE.get().is_some() && env::var_os(INCREMENTAL).is_none() {
        command.env(INCREMENTAL, "0");
    }
    command
}

/// The variable of cargo for incremental compilation.
const INCREMENTAL: &str = "CARGO_INCREMENTAL";

/// `git` with the words of `line`.
pub(crate) fn git(line: &str) -> Command {
    command("git", line)
}

/// Runs a command. Its output is shown.
///
/// # Errors
/// The program cannot be started, or its exit status is not 0.
pub(crate) fn run(command: &mut Command) -> Result<()> {
    println!("$ {}", display(command));
    let status = command
        .status()
        .with_context(|| format!("cannot start `{}`", display(command)))?;
    ensure!(status.success(), "`{}` ended with {status}", display(command));
    Ok(())
}

/// Runs a command and returns its standard output.
///
/// # Errors
/// The program cannot be started, its exit status is not 0, or its output is not UTF-8.
pub(crate) fn read(command: &mut Command) -> Result<String> {
    let output = command
        .stderr(Stdio::inherit())
        .output()
        .with_context(|| format!("cannot start `{}`", display(command)))?;
    let text = String::from_utf8(output.stdout).context("the output is not UTF-8")?;
    if !output.status.success() {
        bail!("`{}` ended with {}\n{text}", display(command), output.status);
    }
    Ok(text)
}

/// Runs a command and passes each line of its standard output to `take` as soon as it is printed.
///
/// # Errors
/// The program cannot be started, its exit status is not 0, or its output is not UTF-8.
pub(crate) fn read_lines(command: &mut Command, mut take: impl FnMut(&str)) -> Result<()> {
    println!("$ {}", display(command));
    let mut child = command
        .stdout(Stdio::piped())
        .spawn()
        .with_context(|| format!("cannot start `{}`", display(command)))?;
    let output = child.stdout.take().context("standard output is not a pipe")?;
    for line in BufReader::new(output).lines() {
        take(&line.context("the output is not UTF-8")?);
    }
    let status = child.wait()?;
    ensure!(status.success(), "`{}` ended with {status}", display(command));
    Ok(())
}

/// True if one of the folders of `PATH` contains `program`.
pub(crate) fn on_path(program: &str) -> bool {
    env::var_os("PATH")
        .is_some_and(|path| env::split_paths(&path).any(|folder| folder.join(program).is_file()))
}

/// The command line as a person would type it, with the variables that are set for it first.
pub(crate) fn display(command: &Command) -> String {
    let variables = command.get_envs().filter_map(|(name, value)| {
        value.map(|value| format!("{}={}", name.to_string_lossy(), value.to_string_lossy()))
    });
    let words = std::iter::once(command.get_program()).chain(command.get_args());
    variables
        .chain(words.map(|word| word.to_string_lossy().into_owned()))
        .collect::<Vec<_>>()
        .join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_command_is_displayed_as_a_person_would_type_it() {
        let mut command = cargo("doc --no-deps");
        command.env("RUSTDOCFLAGS", "-Dwarnings");
        assert_eq!(display(&command), "RUSTDOCFLAGS=-Dwarnings cargo doc --no-deps");
    }
}
